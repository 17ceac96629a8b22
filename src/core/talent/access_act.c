/* Acts on tokens and invites: a request makes a record, or a refusal. Nothing changes here; ifab_accesses_load() takes the record in. */
#include "base/id.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "talent/access.h"
#include "talent_internal.h"

static ifab_usec whole_ms(ifab_usec wall) { return wall - wall % 1000; }

static enum ifab_code check_life(const struct ifab_access_request *request, ifab_usec least, ifab_usec most,
                                 struct ifab_refusal *ret_refusal)
{
    if (request->wall < 0 || request->wall > IFAB_TALENT__WALL_MAX - most)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "the clock is outside the years 1970 to 9999");
    if (request->ttl < least || request->ttl > most || request->ttl % IFAB_SECOND != 0)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "ttl_s", "%lld to %lld seconds", (long long)(least / IFAB_SECOND),
                           (long long)(most / IFAB_SECOND));
    return IFAB_CODE_NONE;
}

static enum ifab_code finish(const struct ifab_access_item *item, struct ifab_buf *record, struct ifab_refusal *ret_refusal)
{
    size_t before = record->size;
    ifab_access__write(record, item);
    if (ifab_buf_status(record) == IFAB_OK)
        return IFAB_CODE_NONE;
    record->size = before;
    return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "no memory for the record");
}

static enum ifab_code check_new(const struct ifab_accesses *self, enum ifab_access_kind kind, const struct ifab_access_request *request,
                                struct ifab_refusal *ret_refusal)
{
    if (ifab_accesses_by_hash(self, kind, request->hash32) != NULL || ifab_accesses_by_id(self, kind, request->id16) != NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "id", "this id or digest was drawn before; try again");
    return IFAB_CODE_NONE;
}

static size_t tokens_of(const struct ifab_accesses *self, struct ifab_view talent, ifab_usec wall, bool revoked)
{
    size_t count = 0;
    for (const struct ifab_access_item *item = ifab_accesses_next(self, 0); item != NULL; item = ifab_accesses_next(self, item->number))
        count += item->kind == IFAB_ACCESS_TOKEN && item->expires > wall && (item->revoked_at != IFAB_NEVER) == revoked &&
                 ifab_view_equal(item->talent, talent);
    return count;
}

enum ifab_code ifab_token_create(const struct ifab_accesses *self, const struct ifab_talents *talents,
                                 const struct ifab_access_request *request, struct ifab_buf *record, struct ifab_refusal *ret_refusal)
{
    enum ifab_code code = check_life(request, IFAB_TOKEN_TTL_MIN, IFAB_TOKEN_TTL_MAX, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    const struct ifab_talent *talent = ifab_talents_find(talents, request->talent);
    if (talent == NULL || talent->removed_at != IFAB_NEVER)
        return ifab_refuse(ret_refusal, IFAB_CODE_TALENT_NOT_FOUND, "talent",
                           talent == NULL ? "no such talent" : "this talent has been removed");
    if (request->label.size > 0 && !ifab_name_valid(request->label))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "name", "not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, no \"..\"");
    code = check_new(self, IFAB_ACCESS_TOKEN, request, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (tokens_of(self, request->talent, request->wall, false) >= IFAB_TOKEN_PER_TALENT)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "talent", "%d live tokens a talent are the most; revoke one",
                           IFAB_TOKEN_PER_TALENT);
    if (ifab_accesses_count(self, IFAB_ACCESS_TOKEN) >= IFAB_TOKEN_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "%d tokens in all are the most; wait until some end", IFAB_TOKEN_MAX);
    struct ifab_access_item item = {
        .kind = IFAB_ACCESS_TOKEN,
        .talent = talent->name,
        .label = request->label,
        .role = request->role == IFAB_ROLE_NONE ? talent->role : request->role,
        .created = whole_ms(request->wall),
        .expires = whole_ms(request->wall) + request->ttl,
        .revoked_at = IFAB_NEVER,
    };
    memcpy(item.hash32, request->hash32, 32);
    memcpy(item.id16, request->id16, 16);
    return finish(&item, record, ret_refusal);
}

enum ifab_code ifab_token_revoke(const struct ifab_accesses *self, const struct ifab_access_item *token, ifab_usec wall,
                                 struct ifab_buf *record, bool *ret_keep, struct ifab_refusal *ret_refusal)
{
    if (token == NULL || token->kind != IFAB_ACCESS_TOKEN || token->expires <= wall || token->revoked_at != IFAB_NEVER)
        return ifab_refuse(ret_refusal, IFAB_CODE_NOT_FOUND, "id", "no such token that has neither ended nor been revoked");
    if (wall < 0 || wall > IFAB_TALENT__WALL_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "the clock is outside the years 1970 to 9999");
    struct ifab_access_item item = *token;
    item.revoked_at = whole_ms(wall);
    *ret_keep = tokens_of(self, token->talent, wall, true) < IFAB_TOKEN_PER_TALENT && ifab_accesses_count(self, IFAB_ACCESS_TOKEN) <= IFAB_TOKEN_MAX / 2;
    return finish(&item, record, ret_refusal);
}

enum ifab_code ifab_invite_create(const struct ifab_accesses *self, const struct ifab_talents *talents,
                                  const struct ifab_access_request *request, struct ifab_buf *record, uint64_t *ret_before,
                                  struct ifab_refusal *ret_refusal)
{
    struct ifab_buf unused = IFAB_BUF_INIT(IFAB_TALENT_RECORD_MAX);
    uint32_t number;
    enum ifab_code code = check_life(request, IFAB_SECOND, IFAB_INVITE_TTL_MAX, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    /* What would be refused at its use is refused now: the same checks, the key apart. */
    struct ifab_talent_request talent = {.name = request->talent,
                                         .owner = request->owner,
                                         .role_name = request->role_name,
                                         .role = request->role,
                                         .expires_at = IFAB_NEVER,
                                         .wall = request->wall};
    code = ifab_talent_add(talents, &talent, &unused, &number, ret_refusal);
    ifab_buf_fini(&unused);
    if (code == IFAB_CODE_NONE)
        code = check_new(self, IFAB_ACCESS_INVITE, request, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    *ret_before = 0;
    for (const struct ifab_access_item *i = ifab_accesses_next(self, 0); i != NULL && *ret_before == 0;
         i = ifab_accesses_next(self, i->number))
        if (i->kind == IFAB_ACCESS_INVITE && ifab_view_equal_nocase(i->talent, request->talent))
            *ret_before = i->number;
    if (*ret_before == 0 && ifab_accesses_count(self, IFAB_ACCESS_INVITE) >= IFAB_INVITE_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "%d open invites are the most; they end after an hour",
                           IFAB_INVITE_MAX);
    struct ifab_access_item item = {
        .kind = IFAB_ACCESS_INVITE,
        .talent = request->talent,
        .owner = request->owner.size == 0 ? request->talent : request->owner,
        .role_name = request->role_name.size == 0 ? IFAB_VIEW("agent") : request->role_name,
        .role = request->role_name.size == 0 && request->role == IFAB_ROLE_NONE ? IFAB_ROLE_AGENT : request->role,
        .created = whole_ms(request->wall),
        .expires = whole_ms(request->wall) + request->ttl,
        .revoked_at = IFAB_NEVER,
    };
    memcpy(item.hash32, request->hash32, 32);
    memcpy(item.id16, request->id16, 16);
    return finish(&item, record, ret_refusal);
}

bool ifab_token_valid(const struct ifab_access_item *token, const struct ifab_talent *talent, ifab_usec wall)
{
    return token != NULL && token->kind == IFAB_ACCESS_TOKEN && token->revoked_at == IFAB_NEVER && wall < token->expires &&
           talent != NULL && talent->removed_at == IFAB_NEVER && ifab_view_equal(talent->name, token->talent);
}

enum ifab_role ifab_token_role(enum ifab_role token, enum ifab_role talent)
{
    enum ifab_role role = token < talent ? token : talent; /* declared in order: each may what those before it may, of others' things too */
    return role == IFAB_ROLE_ADMIN ? IFAB_ROLE_OPERATOR : role;
}
