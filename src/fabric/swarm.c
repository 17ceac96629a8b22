/* Registering a swarm: an operator's act, its record whole in an entry (INV-16). Every member is a talent of this fabric. */
#include "fabric_internal.h"

#include <string.h>

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
    ifab_fabric__change(o, IFAB_KIND_SWARM, new ? o->next_number++ : number.n, record.data, record.size);
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
