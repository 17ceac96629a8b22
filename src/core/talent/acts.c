/*
 * Acts: the present record and a request make the next record, or a refusal. Nothing changes here; ifab_talents_load() takes the record in.
 * Times are written in milliseconds: a start is never later than asked, an end never later either.
 */
#include "base/id.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "talent_internal.h"

struct draft { /* a talent whose arrays may be changed */
    struct ifab_talent talent;
    struct ifab_key keys[IFAB_TALENT_KEYS_MAX];
    struct ifab_tls_key tls_keys[IFAB_TALENT_TLS_KEYS_MAX];
    struct ifab_grant grants[IFAB_TALENT_GRANTS_MAX];
};

static ifab_usec whole_ms(ifab_usec wall)
{
    return wall - wall % 1000;
}

static enum ifab_code check_clock(ifab_usec wall, struct ifab_refusal *ret_refusal)
{
    if (wall >= 0 && wall <= IFAB_TALENT__WALL_MAX)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "the clock is outside the years 1970 to 9999");
}

/* One use, one holder, for ever. */
static enum ifab_code check_free(const struct ifab_talents *self, const uint8_t spki32[32], const char *field, struct ifab_refusal *ret_refusal)
{
    const struct ifab_talent *holder = ifab_talents__spki_holder(self, spki32);
    if (holder == NULL)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, field, "this key is or was held by " IFAB_FMT "; keys are never used again",
                       IFAB_ARG(holder->name));
}

/* Free for a new holder: on the curve, not of small order (208), and nobody's ever (409; INV-02). */
static enum ifab_code check_new_key(const struct ifab_talents *self, const uint8_t *pubkey32, struct ifab_refusal *ret_refusal)
{
    if (pubkey32 == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "pubkey", "a public key is needed");
    if (!ifab_ed25519_key_valid(pubkey32))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "pubkey",
                           "not a valid Ed25519 public key (off the curve or of small order)");
    uint8_t spki32[32];
    ifab_spki_digest(pubkey32, spki32);
    return check_free(self, spki32, "pubkey", ret_refusal);
}

static void add_key(struct draft *draft, const uint8_t pubkey32[32], ifab_usec wall)
{
    struct ifab_key *key = &draft->keys[draft->talent.key_count++];
    memcpy(key->pubkey32, pubkey32, 32);
    key->epoch = (uint32_t)draft->talent.key_count; /* keys are never dropped: the count is the largest epoch */
    key->not_before = whole_ms(wall);
    key->not_after = key->revoked_at = IFAB_NEVER;
}

/* The present talent as a draft of its next version. 203: unknown or removed. */
static enum ifab_code begin(const struct ifab_talents *self, const struct ifab_talent_request *request, struct draft *draft,
                            struct ifab_refusal *ret_refusal)
{
    enum ifab_code code = check_clock(request->wall, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    const struct ifab_talent *present = ifab_talents_find(self, request->name);
    if (present == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_TALENT_NOT_FOUND, "name", "no such talent");
    if (present->removed_at != IFAB_NEVER)
        return ifab_refuse(ret_refusal, IFAB_CODE_TALENT_NOT_FOUND, "name", "this talent has been removed");
    draft->talent = *present;
    if (present->key_count > 0)
        memcpy(draft->keys, present->keys, present->key_count * sizeof *present->keys);
    if (present->tls_key_count > 0)
        memcpy(draft->tls_keys, present->tls_keys, present->tls_key_count * sizeof *present->tls_keys);
    if (present->grant_count > 0)
        memcpy(draft->grants, present->grants, present->grant_count * sizeof *present->grants);
    draft->talent.version++;
    return IFAB_CODE_NONE;
}

/* Appends the record whole or not at all. */
static enum ifab_code finish(struct draft *draft, struct ifab_buf *record, uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    size_t before = record->size;
    draft->talent.keys = draft->keys;
    draft->talent.tls_keys = draft->tls_keys;
    draft->talent.grants = draft->grants;
    ifab_talent__write(record, &draft->talent);
    if (ifab_buf_status(record) != IFAB_OK) {
        record->size = before;
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "no memory for the talent's record");
    }
    *ret_number = draft->talent.number;
    return IFAB_CODE_NONE;
}

static enum ifab_code check_add(const struct ifab_talents *self, const struct ifab_talent_request *request,
                                const struct ifab_talent *talent, struct ifab_refusal *ret_refusal)
{
    if (!ifab_name_valid(talent->name))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "name", "not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, no \"..\"");
    if (!ifab_name_valid(talent->owner))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "owner", "not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, no \"..\"");
    if (!ifab_name_valid(talent->role_name) || (unsigned)talent->role > IFAB_ROLE_ADMIN ||
        !ifab_talent__role_fits(talent->role_name, talent->role))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "role", "no such role");
    if (request->mode > 1)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "mode", "strict or window");
    if (!ifab_talents__name_free(self, talent->name))
        return ifab_refuse_hint(ret_refusal,
                                ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "name", "taken, also in another spelling or by a removed talent; names are never used again"),
                                "Choose another name.");
    if (!ifab_talents__owner_fits(self, talent->owner, talent->name))
        return ifab_refuse_hint(ret_refusal,
                                ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "owner", "known here in another spelling: " IFAB_FMT,
                                            IFAB_ARG(ifab_talents__owner_known(self, talent->owner, talent->name))),
                                "Write the owner in that spelling, or choose another.");
    if (self->count >= IFAB_TALENT_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "%u talents are the most", (unsigned)IFAB_TALENT_MAX);
    return request->pubkey32 == NULL ? IFAB_CODE_NONE : check_new_key(self, request->pubkey32, ret_refusal);
}

enum ifab_code ifab_talent_add(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                               uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    struct draft draft;
    memset(&draft, 0, sizeof draft);
    struct ifab_talent *talent = &draft.talent;
    bool plain = request->role_name.size == 0;
    enum ifab_code code = check_clock(request->wall, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    talent->number = (uint32_t)self->count + 1;
    talent->version = 1;
    talent->name = request->name;
    talent->owner = request->owner.size == 0 ? request->name : request->owner;
    talent->role_name = plain ? IFAB_VIEW("agent") : request->role_name;
    talent->role = plain && request->role == IFAB_ROLE_NONE ? IFAB_ROLE_AGENT : request->role;
    talent->mode = request->mode;
    talent->created = whole_ms(request->wall);
    talent->removed_at = IFAB_NEVER;
    code = check_add(self, request, talent, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (request->pubkey32 != NULL)
        add_key(&draft, request->pubkey32, request->wall);
    return finish(&draft, record, ret_number, ret_refusal);
}

/* Place of the scope among the grants, or where it would stand. */
static size_t grant_place(const struct draft *draft, struct ifab_view scope, bool *ret_there)
{
    size_t at = 0;
    while (at < draft->talent.grant_count && ifab_view_compare(draft->grants[at].scope, scope) < 0)
        at++;
    *ret_there = at < draft->talent.grant_count && ifab_view_equal(draft->grants[at].scope, scope);
    return at;
}

enum ifab_code ifab_talent_grant(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                 uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    struct draft draft;
    enum ifab_code code = begin(self, request, &draft, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (!ifab_scope_valid(request->scope))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "scope", "1 to 128 visible ASCII characters without quote and backslash");
    ifab_usec expires_at = request->expires_at == IFAB_NEVER ? IFAB_NEVER : whole_ms(request->expires_at);
    if (expires_at != IFAB_NEVER && (expires_at <= request->wall || expires_at > IFAB_TALENT__WALL_MAX))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "expires_at", "must lie ahead, before the year 10000");

    bool there;
    size_t at = grant_place(&draft, request->scope, &there);
    if (!there) {
        if (draft.talent.grant_count >= IFAB_TALENT_GRANTS_MAX)
            return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "scope", "%u grants are the most", (unsigned)IFAB_TALENT_GRANTS_MAX);
        memmove(draft.grants + at + 1, draft.grants + at, (draft.talent.grant_count - at) * sizeof *draft.grants);
        draft.talent.grant_count++;
    }
    draft.grants[at] = (struct ifab_grant){request->scope, expires_at};
    return finish(&draft, record, ret_number, ret_refusal);
}

enum ifab_code ifab_talent_rotate(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                  uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    struct draft draft;
    enum ifab_code code = begin(self, request, &draft, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (request->overlap < 0 || request->overlap > IFAB_TALENT_OVERLAP_MAX || request->wall > IFAB_TALENT__WALL_MAX - request->overlap)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "overlap", "0 to 366 days");
    code = check_new_key(self, request->pubkey32, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (draft.talent.key_count >= IFAB_TALENT_KEYS_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "pubkey", "%u keys are the most, revoked ones counted",
                           (unsigned)IFAB_TALENT_KEYS_MAX);

    ifab_usec end = whole_ms(request->wall + request->overlap);
    for (size_t i = 0; i < draft.talent.key_count; i++) {
        struct ifab_key *key = &draft.keys[i];
        if (key->revoked_at != IFAB_NEVER)
            continue;
        if (request->overlap == 0)
            key->revoked_at = end;
        else if (key->not_after > end)
            key->not_after = end;
    }
    add_key(&draft, request->pubkey32, request->wall);
    return finish(&draft, record, ret_number, ret_refusal);
}

/* Those there end with the overlap; IFAB_NEVER: they go on. */
static void end_tls_keys(struct draft *draft, const struct ifab_talent_request *request)
{
    ifab_usec end = request->overlap == IFAB_NEVER ? IFAB_NEVER : whole_ms(request->wall + request->overlap);
    for (size_t i = 0; i < draft->talent.tls_key_count && end != IFAB_NEVER; i++) {
        struct ifab_tls_key *key = &draft->tls_keys[i];
        if (key->revoked_at != IFAB_NEVER)
            continue;
        if (request->overlap == 0)
            key->revoked_at = end;
        else if (key->not_after > end)
            key->not_after = end;
    }
}

enum ifab_code ifab_talent_tls_key(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                   uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    struct draft draft;
    enum ifab_code code = begin(self, request, &draft, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (request->overlap != IFAB_NEVER &&
        (request->overlap < 0 || request->overlap > IFAB_TALENT_OVERLAP_MAX || request->wall > IFAB_TALENT__WALL_MAX - request->overlap))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "overlap", "0 to 366 days");
    ifab_usec end = request->expires_at == IFAB_NEVER ? IFAB_NEVER : whole_ms(request->expires_at);
    if (end != IFAB_NEVER && (end <= request->wall || end > IFAB_TALENT__WALL_MAX))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "expires_at", "must lie ahead, before the year 10000");
    if (request->spki32 == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "spki", "the digest of the certificate's public key is needed");
    code = check_free(self, request->spki32, "spki", ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (draft.talent.tls_key_count >= IFAB_TALENT_TLS_KEYS_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "spki", "%u TLS keys are the most, revoked ones counted",
                           (unsigned)IFAB_TALENT_TLS_KEYS_MAX);
    end_tls_keys(&draft, request);
    struct ifab_tls_key *key = &draft.tls_keys[draft.talent.tls_key_count++];
    memcpy(key->spki32, request->spki32, 32);
    key->not_before = whole_ms(request->wall);
    key->not_after = end;
    key->revoked_at = IFAB_NEVER;
    return finish(&draft, record, ret_number, ret_refusal);
}

/* Likewise of the TLS keys. */
static size_t revoke_tls_keys(struct draft *draft, const uint8_t *spki32, ifab_usec wall)
{
    size_t revoked = 0;
    for (size_t i = 0; i < draft->talent.tls_key_count; i++) {
        struct ifab_tls_key *key = &draft->tls_keys[i];
        if (key->revoked_at != IFAB_NEVER || (spki32 != NULL && memcmp(key->spki32, spki32, 32) != 0))
            continue;
        key->revoked_at = whole_ms(wall);
        revoked++;
    }
    return revoked;
}

/* Revokes those of the open keys that are meant (NULL: all) and says how many that were. */
static size_t revoke_keys(struct draft *draft, const uint8_t *pubkey32, ifab_usec wall)
{
    size_t revoked = 0;
    for (size_t i = 0; i < draft->talent.key_count; i++) {
        struct ifab_key *key = &draft->keys[i];
        if (key->revoked_at != IFAB_NEVER || (pubkey32 != NULL && memcmp(key->pubkey32, pubkey32, 32) != 0))
            continue;
        key->revoked_at = whole_ms(wall);
        revoked++;
    }
    return revoked;
}

enum ifab_code ifab_talent_revoke(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                  uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    struct draft draft;
    enum ifab_code code = begin(self, request, &draft, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if ((request->scope.size > 0) + (request->pubkey32 != NULL) + (request->spki32 != NULL) > 1)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "scope", "one key or one scope, not both in one act");
    if (request->scope.size > 0) {
        bool there;
        size_t at = grant_place(&draft, request->scope, &there);
        if (!there)
            return ifab_refuse(ret_refusal, IFAB_CODE_NOT_FOUND, "scope", "this talent has no such grant");
        draft.talent.grant_count--;
        memmove(draft.grants + at, draft.grants + at + 1, (draft.talent.grant_count - at) * sizeof *draft.grants);
    } else {
        size_t revoked = request->spki32 == NULL ? revoke_keys(&draft, request->pubkey32, request->wall) : 0;
        revoked += request->pubkey32 == NULL ? revoke_tls_keys(&draft, request->spki32, request->wall) : 0;
        if (revoked == 0)
            return ifab_refuse(ret_refusal, IFAB_CODE_NOT_FOUND, request->spki32 != NULL ? "spki" : "pubkey",
                               "this talent has no such key that is not revoked yet");
    }
    return finish(&draft, record, ret_number, ret_refusal);
}

enum ifab_code ifab_talent_remove(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                  uint32_t *ret_number, struct ifab_refusal *ret_refusal)
{
    struct draft draft;
    enum ifab_code code = begin(self, request, &draft, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    (void)revoke_keys(&draft, NULL, request->wall);
    (void)revoke_tls_keys(&draft, NULL, request->wall);
    draft.talent.grant_count = 0;
    draft.talent.removed_at = whole_ms(request->wall);
    return finish(&draft, record, ret_number, ret_refusal);
}
