/* Acts on talents: authority, the core's next record, one entry in which that record stands whole (INV-16). */
#include "fabric_internal.h"

#include <string.h>

static const struct {
    enum ifab_event event;
    enum ifab_code (*next)(const struct ifab_talents *, const struct ifab_talent_request *, struct ifab_buf *, uint32_t *, struct ifab_refusal *);
} acts[] = {
    [IFAB_ACT_ADD] = {IFAB_EVENT_TALENT_ADD, ifab_talent_add},
    [IFAB_ACT_GRANT] = {IFAB_EVENT_TALENT_GRANT, ifab_talent_grant},
    [IFAB_ACT_REVOKE] = {IFAB_EVENT_TALENT_REVOKE, ifab_talent_revoke},
    [IFAB_ACT_ROTATE] = {IFAB_EVENT_TALENT_ROTATE, ifab_talent_rotate},
    [IFAB_ACT_TLS_KEY] = {IFAB_EVENT_TALENT_TLS_KEY, ifab_talent_tls_key},
    [IFAB_ACT_REMOVE] = {IFAB_EVENT_TALENT_REMOVE, ifab_talent_remove},
};

bool ifab_fabric__sensitive_scope(const struct ifab_fabric *self, struct ifab_view scope)
{
    for (size_t i = 0; i < self->settings.sensitive_count; i++)
        if (ifab_view_is(scope, self->settings.sensitive_scopes[i]))
            return true;
    return false;
}

/* SURFACE section 8: an operator handles talents of role agent; another's key, roles above agent and sensitive grants are an admin's. */
static bool needs_admin(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_talent *talent)
{
    const struct ifab_talent_request *request = &command->u.talent.request;
    if (command->u.talent.act == IFAB_ACT_ADD)
        return request->role != IFAB_ROLE_AGENT;
    if (command->u.talent.act == IFAB_ACT_ROTATE || command->u.talent.act == IFAB_ACT_TLS_KEY)
        return true;
    if (command->u.talent.act == IFAB_ACT_GRANT && ifab_fabric__sensitive_scope(self, request->scope))
        return true;
    return talent != NULL && talent->role != IFAB_ROLE_AGENT;
}

static bool valid_now(const struct ifab_key *key, ifab_usec wall)
{
    return key->revoked_at == IFAB_NEVER && key->not_before <= wall && wall < key->not_after;
}

/*
 * Whose own signature is enough: a new key of its own that signs; and, of role agent, a key for its certificates, as it may make its own tokens. What
 * stands above an agent is let in by an admin.
 */
static uint32_t own_act(const struct ifab_command *command, const struct ifab_talent *talent)
{
    bool rotate = command->u.talent.act == IFAB_ACT_ROTATE, tls = command->u.talent.act == IFAB_ACT_TLS_KEY;
    return talent != NULL && (rotate || (tls && talent->role == IFAB_ROLE_AGENT)) ? talent->number : 0;
}

static size_t keys_valid_but(const struct ifab_talent *talent, const uint8_t *pubkey32, ifab_usec wall)
{
    size_t count = 0;
    for (size_t i = 0; i < talent->key_count && talent->removed_at == IFAB_NEVER; i++)
        count += valid_now(&talent->keys[i], wall) && (pubkey32 == NULL || memcmp(talent->keys[i].pubkey32, pubkey32, 32) != 0);
    return count;
}

/*
 * A revocation reaches what waits: in its own step every open decision is denied that a key which it takes may have signed. Which key signed is not
 * kept, so each counts that was good when the message was admitted. At most 256 of a talent are open.
 */
static void deny_what_waits(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_talent *talent,
                            uint64_t cause)
{
    const struct ifab_talent_request *request = &command->u.talent.request;
    enum ifab_talent_act act = command->u.talent.act;
    bool rotated = act == IFAB_ACT_ROTATE && request->overlap == 0, removed = act == IFAB_ACT_REMOVE;
    bool revoked = act == IFAB_ACT_REVOKE && request->spki32 == NULL && request->scope.size == 0;
    if (talent == NULL || (!rotated && !removed && !revoked))
        return;
    for (const struct ifab_open_decision *d = ifab_decisions_after(self->decisions, 0); d != NULL; d = ifab_decisions_after(self->decisions, d->number)) {
        bool taken = removed;
        for (size_t i = 0; i < talent->key_count && !taken; i++)
            taken = valid_now(&talent->keys[i], d->admitted_at) &&
                    (!revoked || request->pubkey32 == NULL || memcmp(talent->keys[i].pubkey32, request->pubkey32, 32) == 0);
        if (d->talent == talent->number && taken)
            ifab_fabric__close_denied(self, o, d, "the key of its sender was revoked while it waited", IFAB_VIEW(""), IFAB_VIEW(""), cause);
    }
}

/* Without an admin nobody could ever add one again: the last valid key of the last admin stays (rotate it instead). */
static bool last_admin(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_talent *talent, ifab_usec wall)
{
    const struct ifab_talent_request *request = &command->u.talent.request;
    bool revokes = command->u.talent.act == IFAB_ACT_REVOKE && request->scope.size == 0 && request->spki32 == NULL;
    bool takes_keys = command->u.talent.act == IFAB_ACT_REMOVE || revokes;
    if (!takes_keys || talent == NULL || talent->role != IFAB_ROLE_ADMIN)
        return false;
    if (command->u.talent.act == IFAB_ACT_REVOKE && request->pubkey32 != NULL && keys_valid_but(talent, request->pubkey32, wall) > 0)
        return false;
    for (size_t i = 0; i < self->approver_count; i++) {
        const struct ifab_talent *other = ifab_talents_at(self->talents, self->approvers[i]);
        if (other != talent && other->role == IFAB_ROLE_ADMIN && keys_valid_but(other, NULL, wall) > 0)
            return false;
    }
    return true;
}

/* A new key of a talent that signs manifests already. */
static bool publisher_key(const struct ifab_fabric *self, const struct ifab_command *command)
{
    const struct ifab_talent_request *request = &command->u.talent.request;
    bool new = command->u.talent.act == IFAB_ACT_ADD || command->u.talent.act == IFAB_ACT_ROTATE;
    return new && request->pubkey32 != NULL && ifab_registry_publisher_by_key(self->registry, request->pubkey32) != NULL;
}

/* Who else said so, and why (INV-13). */
static void put_second(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_buf *p)
{
    ifab_buf_str(p, ",\"second\":{\"actor\":\"if://agent/");
    ifab_buf_view(p, ifab_talents_at(self->talents, command->second->talent)->name);
    ifab_buf_str(p, "\",\"why\":");
    ifab_json_put_cstr(p, command->second->why);
    ifab_buf_char(p, '}');
}

static enum ifab_code decide(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool *ret_repeated)
{
    struct ifab_talent_request request = command->u.talent.request;
    const struct ifab_talent *talent = command->u.talent.act == IFAB_ACT_ADD ? NULL : ifab_talents_find(self->talents, request.name);
    char actor[96];
    struct ifab_view why;
    uint32_t number = 0;
    enum ifab_code code = ifab_fabric__authority(self, command, o, needs_admin(self, command, talent), own_act(command, talent), actor, &why);
    *ret_repeated = ifab_fabric__idempotent(self, command, code, o);
    if (*ret_repeated || code != IFAB_CODE_NONE)
        return code;
    bool second = command->second != NULL && command->second->present;
    if (second || (command->u.talent.act == IFAB_ACT_GRANT && ifab_fabric__sensitive_scope(self, request.scope))) {
        code = ifab_fabric__second_admin(self, command, o);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    if (last_admin(self, command, talent, o->now.wall))
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "name", "the last admin with a valid key stays: add another admin first, or rotate the key");
    if (publisher_key(self, command))
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "pubkey", "this key is or was a publisher's; a key has one use");
    request.wall = o->now.wall;
    struct ifab_buf *record = &o->scratch, *p = &o->payload;
    ifab_buf_clear(record);
    code = acts[command->u.talent.act].next(self->talents, &request, record, &number, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_view kept = ifab_fabric__keep(o, record);
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"record\":");
    ifab_buf_view(p, kept);
    if (second)
        put_second(self, command, p);
    ifab_buf_char(p, '}');
    ifab_buf_clear(record);
    ifab_buf_str(record, "if://agent/");
    ifab_buf_view(record, request.name);
    struct ifab_view subject = ifab_fabric__keep(o, record);
    struct ifab_entry fields = {
        .event = acts[command->u.talent.act].event,
        .actor = ifab_view_str(actor),
        .why = why,
        .subject = subject,
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    uint64_t cause = entry->index;
    ifab_fabric__change(o, IFAB_KIND_TALENT, number, kept.data, kept.size);
    if (talent != NULL && (talent->role == IFAB_ROLE_OPERATOR || talent->role == IFAB_ROLE_ADMIN))
        o->routing = IFAB_ROUTING_MORE; /* it may have been a voter: the next TICK looks who can still be reached */
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_str(b, "},\"talent\":");
    ifab_buf_view(b, kept);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, command->u.talent.act == IFAB_ACT_ADD ? 201 : 200);
    deny_what_waits(self, command, o, talent, cause);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_talent(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated;
    enum ifab_code code = decide(self, command, o, &repeated);
    if (repeated)
        return;
    if (code == IFAB_CODE_NONE) {
        ifab_fabric__keep_reply(self, command, o);
        return;
    }
    ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0,
                            command->u.talent.request.name);
}
