/*
 * Swarms: registering one is an operator's act, its record whole in an entry (INV-16), every member a talent of this fabric. Who may act for one; and
 * that it is there: memory of the running daemon, no entry, nothing durable.
 */
#include "fabric_internal.h"

#include "base/encode.h"

#include <string.h>

/* ---- who acts for it ---- */

bool ifab_fabric__operates(const struct ifab_principal *p) { return p->role == IFAB_ROLE_OPERATOR || p->role == IFAB_ROLE_ADMIN; }

enum ifab_code ifab_fabric__may_act(const struct ifab_command *command, struct ifab_refusal *refusal)
{
    const struct ifab_principal *p = command->principal;
    if (p != NULL && p->kind != IFAB_PRINCIPAL_NONE && (ifab_fabric__operates(p) || p->role == IFAB_ROLE_AGENT))
        return IFAB_CODE_NONE;
    return ifab_refuse(refusal, IFAB_CODE_PERMISSION_DENIED, NULL, "this needs the role agent or operator");
}

enum ifab_code ifab_fabric__may_act_for(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_swarm *swarm,
                                        struct ifab_refusal *refusal)
{
    const struct ifab_principal *p = command->principal;
    const struct ifab_talent *talent = p->kind == IFAB_PRINCIPAL_TALENT ? ifab_talents_at(self->talents, p->talent) : NULL;
    if ((p->kind == IFAB_PRINCIPAL_UID && ifab_fabric__operates(p)) || (talent != NULL && ifab_swarm_has_member(swarm, talent->name)))
        return IFAB_CODE_NONE;
    ifab_refuse(refusal, IFAB_CODE_PERMISSION_DENIED, "swarm", "the swarm " IFAB_FMT " does not name you as a member", IFAB_ARG(swarm->id));
    if (refusal != NULL)
        refusal->hint = "Ask an operator to register the swarm anew, with you beside its members: ifctl swarm register replaces all of it.";
    return IFAB_CODE_PERMISSION_DENIED;
}

/* ---- it is there ---- */

void ifab_fabric__hear(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_swarm_number swarm)
{
    uint8_t bytes[8], *at = bytes;
    if (o->now.run - ifab_swarm_heard(self->coordinator, swarm) < IFAB_SWARM_HEARD_STEP)
        return;
    ifab_put_u64(&at, (uint64_t)o->now.run);
    ifab_fabric__change(o, IFAB_KIND_HEARD, swarm.n, bytes, sizeof bytes);
}

bool ifab_fabric__load_heard(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    ifab_usec run = (ifab_usec)ifab_get_u64(&r);
    if (r.bad || r.at != r.end)
        return false;
    ifab_swarm_hear(self->coordinator, (struct ifab_swarm_number){number}, run);
    return true;
}

static enum ifab_code heartbeat(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_refusal *r = &o->reply.refusal;
    enum ifab_code code = ifab_fabric__may_act(command, r);
    const struct ifab_swarm *swarm = ifab_swarm_find(self->coordinator, command->u.heartbeat.swarm);
    if (code == IFAB_CODE_NONE && swarm == NULL)
        code = ifab_refuse(r, IFAB_CODE_NOT_FOUND, "swarm", "no swarm " IFAB_FMT, IFAB_ARG(command->u.heartbeat.swarm));
    if (code == IFAB_CODE_NONE)
        code = ifab_fabric__may_act_for(self, command, swarm, r);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_fabric__hear(self, o, swarm->number);
    enum ifab_swarm_state state = ifab_fabric_swarm_state(self, swarm, o->now.run);
    if (state == IFAB_SWARM_OFFLINE) /* until this very step */
        state = ifab_swarm_queued(self->coordinator, swarm->number) > 0 ? IFAB_SWARM_ACTIVE : IFAB_SWARM_IDLE;
    ifab_buf_clear(&o->scratch);
    ifab_buf_format(&o->scratch, "{\"holds_ms\":%lld,\"state\":\"%s\",\"swarm\":", (long long)(IFAB_SWARM_HEARD_FOR / 1000), ifab_swarm_state_name(state));
    ifab_json_put_string(&o->scratch, swarm->id);
    ifab_buf_char(&o->scratch, '}');
    ifab_fabric__reply_json(o, &o->scratch, 200);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_heartbeat(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    enum ifab_code code = heartbeat(self, command, o);
    if (code != IFAB_CODE_NONE)
        ifab_fabric__refuse_as(self, command, o, IFAB_EVENT_TASK_REFUSED, code,
                               command->principal != NULL && command->principal->kind == IFAB_PRINCIPAL_TALENT ? command->principal->talent : 0,
                               command->u.heartbeat.swarm);
}

/* ---- registering ---- */

static enum ifab_code check_members(const struct ifab_fabric *self, const struct ifab_swarm_request *request, struct ifab_refusal *refusal)
{
    for (size_t i = 0; i < request->member_count; i++) {
        const struct ifab_talent *talent = ifab_talents_find(self->talents, request->members[i]);
        if (talent == NULL || talent->removed_at != IFAB_NEVER)
            return ifab_refuse(refusal, IFAB_CODE_TALENT_NOT_FOUND, "members", "no talent " IFAB_FMT, IFAB_ARG(request->members[i]));
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code decide(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool *ret_repeated)
{
    struct ifab_swarm_request request = command->u.swarm.request;
    struct ifab_swarm_number number;
    struct ifab_view why;
    char actor[96];
    enum ifab_code code = ifab_fabric__authority(self, command, o, false, 0, actor, &why);
    *ret_repeated = ifab_fabric__idempotent(self, command, code, o);
    if (*ret_repeated || code != IFAB_CODE_NONE)
        return code;
    request.wall = o->now.wall;
    code = check_members(self, &request, &o->reply.refusal);
    ifab_buf_clear(&o->scratch);
    if (code == IFAB_CODE_NONE)
        code = ifab_swarm_register(self->coordinator, &request, &o->scratch, &number, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    bool new = number.n == 0;
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"record\":");
    ifab_buf_view(&o->payload, record);
    ifab_buf_char(&o->payload, '}');
    struct ifab_entry fields = {
        .event = IFAB_EVENT_SWARM_REGISTER,
        .actor = ifab_view_str(actor),
        .why = why,
        .subject = request.id,
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    if (new)
        number.n = o->next_number++;
    ifab_fabric__change(o, IFAB_KIND_SWARM, number.n, record.data, record.size);
    if (new)
        ifab_fabric__hear(self, o, number); /* its workers have as long as a heartbeat holds to come */
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_str(b, "},\"swarm\":");
    ifab_buf_view(b, record);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, new ? 201 : 200);
    ifab_fabric__keep_reply(self, command, o);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_swarm(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated;
    enum ifab_code code = decide(self, command, o, &repeated);
    if (!repeated && code != IFAB_CODE_NONE)
        ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0,
                                command->u.swarm.request.id);
}
