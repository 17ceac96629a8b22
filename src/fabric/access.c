/*
 * Tokens, invites, and the enrolment that uses an invite up: authority, the core's record, one entry in which that record stands whole
 * (INV-16). The secrets themselves never come here: commands carry their digests.
 */
#include "fabric_internal.h"

#include "base/id.h"

#include <stdio.h>
#include <string.h>

/* {"entry":…,NAME:record} */
static void reply(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_outcome_entry *entry, const char *name,
                  struct ifab_view record, int http)
{
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_format(b, "},\"%s\":", name);
    ifab_buf_view(b, record);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, http);
}

/* An entry about a talent in whose payload the record stands under this name. before: further members, each with its comma. */
static bool record_entry(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, struct ifab_view talent,
                         const char *actor, struct ifab_view why, const char *before, const char *name, struct ifab_view record,
                         struct ifab_outcome_entry **ret_entry)
{
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(&o->scratch);
    ifab_buf_str(&o->scratch, "if://agent/");
    ifab_buf_view(&o->scratch, talent);
    struct ifab_view subject = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(p);
    ifab_buf_format(p, "{%s\"%s\":", before, name);
    ifab_buf_view(p, record);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {
        .event = event,
        .actor = ifab_view_str(actor),
        .why = why,
        .subject = subject,
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), ret_entry);
}

struct act {                              /* what was found out about the command */
    const struct ifab_access_item *token; /* to be revoked */
    const struct ifab_talent *talent;     /* whose token */
    struct ifab_view name;
    bool need_admin;
    uint32_t self_talent; /* whose own signature is enough */
};

/*
 * SURFACE section 8: an operator handles what is for talents of role agent; more is an admin's. A talent of role agent may make and revoke
 * its own tokens by its own key: it holds what the token stands for.
 */
static struct act look(const struct ifab_fabric *self, const struct ifab_command *command)
{
    const struct ifab_access_request *request = &command->u.access.request;
    struct act act = {.name = request->talent};
    uint8_t id16[16];
    if (command->type == IFAB_COMMAND_INVITE) {
        act.need_admin = request->role != IFAB_ROLE_AGENT;
        return act;
    }
    if (command->u.access.revoke.size > 0) {
        if (ifab_id_parse(command->u.access.revoke, "tok-", id16) == IFAB_OK)
            act.token = ifab_accesses_by_id(self->accesses, IFAB_ACCESS_TOKEN, id16);
        act.name = act.token != NULL ? act.token->talent : (struct ifab_view){NULL, 0};
    }
    act.talent = ifab_talents_find(self->talents, act.name);
    bool agent = act.talent != NULL && act.talent->role == IFAB_ROLE_AGENT;
    bool more = command->u.access.revoke.size == 0 && request->role != IFAB_ROLE_NONE && request->role != IFAB_ROLE_AGENT;
    act.need_admin = (act.talent != NULL && !agent) || more;
    act.self_talent = agent && !more ? act.talent->number : 0;
    return act;
}

static enum ifab_code make(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                           const struct act *act, bool *ret_keep, uint64_t *ret_before)
{
    struct ifab_access_request request = command->u.access.request;
    struct ifab_refusal *refusal = &o->reply.refusal;
    request.wall = o->now.wall;
    *ret_keep = true;
    *ret_before = 0;
    ifab_buf_clear(&o->scratch);
    if (command->type == IFAB_COMMAND_INVITE)
        return ifab_invite_create(self->accesses, self->talents, &request, &o->scratch, ret_before, refusal);
    if (command->u.access.revoke.size > 0)
        return ifab_token_revoke(self->accesses, act->token, o->now.wall, &o->scratch, ret_keep, refusal);
    return ifab_token_create(self->accesses, self->talents, &request, &o->scratch, refusal);
}

static enum ifab_code decide(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                             const struct act *act, bool *ret_repeated)
{
    bool invite = command->type == IFAB_COMMAND_INVITE, revoke = !invite && command->u.access.revoke.size > 0, keep;
    uint8_t kind = invite ? IFAB_KIND_INVITE : IFAB_KIND_TOKEN;
    char actor[96];
    struct ifab_view why;
    uint64_t before;
    enum ifab_code code = ifab_fabric__authority(self, command, o, act->need_admin, act->self_talent, actor, &why);
    *ret_repeated = ifab_fabric__idempotent(self, command, code, o);
    if (*ret_repeated || code != IFAB_CODE_NONE)
        return code;
    code = make(self, command, o, act, &keep, &before);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    const char *name = invite ? "invite" : "token";
    enum ifab_event event = invite ? IFAB_EVENT_TALENT_INVITE : revoke ? IFAB_EVENT_TOKEN_REVOKE : IFAB_EVENT_TOKEN_CREATE;
    struct ifab_outcome_entry *entry;
    if (!record_entry(self, o, event, act->name, actor, why, "", name, record, &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    if (before != 0)
        ifab_fabric__change(o, kind, before, NULL, 0);
    uint64_t number = revoke ? act->token->number : o->next_number++;
    ifab_fabric__change(o, kind, number, keep ? record.data : NULL, keep ? record.size : 0);
    reply(self, o, entry, name, record, revoke ? 200 : 201);
    if (revoke)
        ifab_fabric__keep_reply(self, command, o);
    else
        ifab_fabric__keep_secret(self, command, o);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_access(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated;
    struct act act = look(self, command);
    enum ifab_code code = decide(self, command, o, &act, &repeated);
    if (!repeated && code != IFAB_CODE_NONE)
        ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0,
                                act.name.size > 0 ? act.name : command->u.access.revoke);
}

/*
 * One refusal for every code that is not good: mistyped, used, ended. It is counted for who is at the other end and leaves no entry, since
 * nobody is known by it (INV-01).
 */
static void wrong_code(const struct ifab_command *command, struct ifab_outcome *o)
{
    ifab_refuse(&o->reply.refusal, IFAB_CODE_PERMISSION_DENIED, "code", "this code is not good: mistyped, used already, or past its hour");
    o->reply.refusal.hint = "Ask who invited you for a new one: ifctl talent invite NAME.";
    ifab_fabric__refused(o, IFAB_CODE_PERMISSION_DENIED);
    o->count_code = IFAB_CODE_PERMISSION_DENIED;
    o->count_source = command->u.enroll.source;
    memcpy(o->count_sample16, command->u.enroll.code_hash32, 16);
}

void ifab_fabric__decide_enroll(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_access_item *invite = ifab_accesses_by_hash(self->accesses, IFAB_ACCESS_INVITE, command->u.enroll.code_hash32);
    uint32_t number;
    char uuid[37], before[96], actor[96], why[64];
    if (ifab_fabric__idempotent(self, command, IFAB_CODE_NONE, o))
        return;
    if (invite == NULL || invite->expires <= o->now.wall) {
        wrong_code(command, o);
        return;
    }
    struct ifab_talent_request request = {
        .name = invite->talent,
        .owner = invite->owner,
        .role_name = invite->role_name,
        .role = invite->role,
        .pubkey32 = command->u.enroll.pubkey32,
        .expires_at = IFAB_NEVER,
        .wall = o->now.wall,
    };
    ifab_buf_clear(&o->scratch);
    enum ifab_code code = ifab_registry_publisher_by_key(self->registry, request.pubkey32) != NULL
                              ? ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "pubkey", "this key is or was a publisher's; a key has one use")
                              : ifab_talent_add(self->talents, &request, &o->scratch, &number, &o->reply.refusal);
    if (code != IFAB_CODE_NONE) {
        ifab_fabric__refuse_act(self, command, o, code, 0, invite->talent);
        return;
    }
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    struct ifab_outcome_entry *entry;
    ifab_uuid_format(invite->id16, uuid);
    snprintf(before, sizeof before, "\"invite\":\"inv-%s\",", uuid);
    snprintf(why, sizeof why, "enrolled by invite inv-%s", uuid);
    snprintf(actor, sizeof actor, "if://agent/" IFAB_FMT, IFAB_ARG(invite->talent));
    if (!record_entry(self, o, IFAB_EVENT_TALENT_ENROLL, invite->talent, actor, ifab_view_str(why), before, "record", record, &entry))
        return;
    ifab_fabric__change(o, IFAB_KIND_TALENT, number, record.data, record.size);
    ifab_fabric__change(o, IFAB_KIND_INVITE, invite->number, NULL, 0); /* in one commit with its effect: a code works once */
    reply(self, o, entry, "talent", record, 201);
    ifab_fabric__keep_reply(self, command, o);
}

void ifab_fabric__end_accesses(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most)
{
    enum ifab_access_kind kinds[256];
    uint64_t numbers[256];
    size_t count = ifab_accesses_dead(self->accesses, o->now.wall, most < 256 ? most : 256, kinds, numbers);
    for (size_t i = 0; i < count; i++)
        ifab_fabric__change(o, (uint8_t)kinds[i], numbers[i], NULL, 0);
}
