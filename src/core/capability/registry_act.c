/* Judging a load, and the acts: a request makes a record, or a refusal. Nothing changes here; ifab_registry_load() takes the record in. */
#include "base/id.h"
#include "crypto/crypto.h"
#include "registry_internal.h"

static ifab_usec whole_ms(ifab_usec wall) { return wall - wall % 1000; }

bool ifab_publisher_may_sign(const struct ifab_publisher *publisher, struct ifab_view name)
{
    for (size_t i = 0; i < publisher->namespace_count; i++) {
        struct ifab_view space = publisher->namespaces[i];
        if (ifab_view_is(space, "*") || ifab_view_equal(space, name) ||
            (ifab_view_starts(name, space) && name.size > space.size && name.data[space.size] == '.'))
            return true;
    }
    return false;
}

/* Revoked is revoked, whatever the clock says. */
static enum ifab_code check_publisher(const struct ifab_registry *self, const struct ifab_publisher *publisher, const struct ifab_manifest *manifest,
                                      ifab_usec wall, struct ifab_refusal *ret_refusal)
{
    const char *why = NULL;
    if (publisher->revoked_at != IFAB_NEVER)
        why = "is revoked";
    else if (ifab_registry__lookup(self, 'K', ifab_view_of(publisher->pubkey32, 32), IFAB_VIEW("")) != NULL)
        why = "has a key that is revoked";
    else if (wall < publisher->not_before)
        why = "is not valid yet";
    else if (wall >= publisher->not_after)
        why = "is past its validity";
    else if (!ifab_publisher_may_sign(publisher, manifest->name))
        why = "may not sign in this namespace";
    if (why == NULL)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_UNTRUSTED_PUBLISHER, "signature.pubkey", "publisher " IFAB_FMT " %s", IFAB_ARG(publisher->name), why);
}

/*
 * A signature that was good stays good: for the allow-list's own copy of a manifest, which never changes, that is found out once, not in every step of
 * every call. What is compared here is which copy it is, so that no other bytes pass for it.
 */
static enum ifab_code check_signature(const struct ifab_registry *self, const struct ifab_manifest *manifest, const uint8_t registered32[32],
                                      struct ifab_refusal *ret_refusal)
{
    struct registry_row *row = ifab_registry__lookup(self, 'a', manifest->id, manifest->version);
    bool own = row != NULL && &row->manifest == manifest;
    if (own && row->verified && ifab_equal_ct(manifest->pubkey32, registered32, 32))
        return IFAB_CODE_NONE;
    enum ifab_code code = ifab_manifest_verify(manifest, registered32, ret_refusal);
    if (code == IFAB_CODE_NONE && own)
        row->verified = true;
    return code;
}

/* Signature, then publisher. */
static enum ifab_code check_signed(const struct ifab_registry *self, const struct ifab_manifest *manifest, ifab_usec wall,
                                   const struct ifab_publisher **ret_publisher, struct ifab_refusal *ret_refusal)
{
    if (!manifest->has_signature)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature", "manifest is not signed");
    const struct ifab_publisher *publisher = ifab_registry_publisher_by_key(self, manifest->pubkey32);
    if (publisher == NULL) {
        char key_id[19];
        ifab_key_id(manifest->pubkey32, key_id);
        return ifab_refuse(ret_refusal, IFAB_CODE_UNTRUSTED_PUBLISHER, "signature.pubkey", "key %s is that of no publisher here", key_id);
    }
    enum ifab_code code = check_signature(self, manifest, publisher->pubkey32, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_publisher(self, publisher, manifest, wall, ret_refusal);
    if (code == IFAB_CODE_NONE)
        *ret_publisher = publisher;
    return code;
}

/* Revoked is told from what never was: the code's own hint, to allow it, helps nobody there, for a revocation is for ever. */
static enum ifab_code hinted(struct ifab_refusal *r, enum ifab_code code, const char *hint)
{
    if (r != NULL)
        r->hint = hint;
    return code;
}

static enum ifab_code revoked(struct ifab_refusal *r, enum ifab_code code)
{
    return hinted(r, code, "An admin took it back for good. See what is allowed: ifctl capability list.");
}

/* 201 its id, 202 its version or digest. */
static enum ifab_code check_revoked(const struct ifab_registry *self, const struct ifab_manifest *m, struct ifab_refusal *ret_refusal)
{
    if (ifab_registry__lookup(self, 'I', m->id, IFAB_VIEW("")) != NULL)
        return revoked(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id", IFAB_FMT " is revoked", IFAB_ARG(m->id)));
    if (ifab_registry__lookup(self, 'V', m->id, m->version) != NULL)
        return revoked(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_VERSION_NOT_ALLOWED, "version", IFAB_FMT "@" IFAB_FMT " is revoked", IFAB_ARG(m->id),
                                                IFAB_ARG(m->version)));
    if (ifab_registry__lookup(self, 'D', ifab_view_of(m->digest32, 32), IFAB_VIEW("")) != NULL)
        return revoked(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_VERSION_NOT_ALLOWED, "version", "this manifest of " IFAB_FMT " is revoked",
                                                IFAB_ARG(m->id)));
    return IFAB_CODE_NONE;
}

static enum ifab_code check_time(const struct ifab_manifest *m, ifab_usec wall, struct ifab_refusal *ret_refusal)
{
    if (wall < m->not_after)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_VERSION_NOT_ALLOWED, "not_after", IFAB_FMT "@" IFAB_FMT " is past its not_after", IFAB_ARG(m->id),
                       IFAB_ARG(m->version));
}

static bool has_id(const struct ifab_registry *self, struct ifab_view id)
{
    for (const struct ifab_allowed *a = ifab_registry_allowed_next(self, 0); a != NULL; a = ifab_registry_allowed_next(self, a->number))
        if (ifab_view_equal(a->manifest->id, id))
            return true;
    return false;
}

static enum ifab_code not_allowed(const struct ifab_registry *self, struct ifab_view id, struct ifab_view version, struct ifab_refusal *ret_refusal)
{
    if (!has_id(self, id))
        return ifab_refuse(ret_refusal, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id", "this capability was never put on the allow-list");
    return ifab_refuse(ret_refusal, IFAB_CODE_VERSION_NOT_ALLOWED, "version", "version " IFAB_FMT " was never put on the allow-list",
                       (int)(version.size < 40 ? version.size : 40), (const char *)version.data);
}

enum ifab_code ifab_capability_load_check(const struct ifab_registry *self, const struct ifab_manifest *m, const struct ifab_module *module,
                                          ifab_usec wall, struct ifab_refusal *ret_refusal)
{
    const struct ifab_publisher *publisher = NULL;
    enum ifab_code code = check_signed(self, m, wall, &publisher, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    const struct ifab_allowed *allowed = ifab_registry_allowed(self, m->id, m->version);
    if (allowed == NULL)
        return not_allowed(self, m->id, m->version, ret_refusal);
    if (!ifab_equal_ct(allowed->manifest->digest32, m->digest32, 32) || !ifab_view_equal(allowed->publisher, publisher->name))
        return ifab_refuse(ret_refusal, IFAB_CODE_DIGEST_MISMATCH, "digest", "the manifest is not the one that is allowed as this version");
    code = check_revoked(self, m, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_time(m, wall, ret_refusal);
    if (code == IFAB_CODE_NONE && module != NULL && module->size != m->entrypoint.size)
        return ifab_refuse(ret_refusal, IFAB_CODE_DIGEST_MISMATCH, "entrypoint.size", "the module has %llu bytes, its manifest says %u",
                           (unsigned long long)module->size, m->entrypoint.size);
    if (code == IFAB_CODE_NONE && module != NULL && !ifab_equal_ct(module->sha256, m->entrypoint.sha256, 32))
        return ifab_refuse(ret_refusal, IFAB_CODE_DIGEST_MISMATCH, "entrypoint.sha256", "the module is not the one that its manifest names");
    return code;
}

const char *ifab_registry_revoked(const struct ifab_registry *self, const struct ifab_allowed *allowed)
{
    const struct ifab_manifest *m = allowed->manifest;
    const struct ifab_publisher *publisher = ifab_registry_publisher(self, allowed->publisher);
    struct ifab_view none = {NULL, 0};
    if (ifab_registry__lookup(self, 'I', m->id, none) != NULL)
        return "id";
    if (ifab_registry__lookup(self, 'V', m->id, m->version) != NULL)
        return "version";
    if (ifab_registry__lookup(self, 'D', ifab_view_of(m->digest32, 32), none) != NULL)
        return "digest";
    if (publisher == NULL || publisher->revoked_at != IFAB_NEVER)
        return "publisher";
    return ifab_registry__lookup(self, 'K', ifab_view_of(m->pubkey32, 32), none) != NULL ? "key" : NULL;
}

/* Of all versions: none was ever allowed, all are revoked, or what is not is past its time. */
static enum ifab_code none_allowed(const struct ifab_registry *self, struct ifab_view id, struct ifab_refusal *ret_refusal)
{
    size_t known = 0, gone = 0;
    for (const struct ifab_allowed *a = ifab_registry_allowed_next(self, 0); a != NULL; a = ifab_registry_allowed_next(self, a->number)) {
        bool same = ifab_view_equal(a->manifest->id, id);
        known += same;
        gone += same && ifab_registry_revoked(self, a) != NULL;
    }
    if (known == 0)
        return not_allowed(self, id, IFAB_VIEW(""), ret_refusal);
    if (gone == known)
        return revoked(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id",
                                                "this capability is revoked, in every version that was allowed"));
    return hinted(ret_refusal,
                  ifab_refuse(ret_refusal, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id",
                              "no version of this capability is allowed now: what is not revoked is past its not_after"),
                  "Ask its publisher for a new version, and an admin to allow it.");
}

enum ifab_code ifab_registry_find(const struct ifab_registry *self, struct ifab_view id, struct ifab_view version, ifab_usec wall,
                                  const struct ifab_allowed **ret_allowed, struct ifab_refusal *ret_refusal)
{
    const struct ifab_allowed *best = version.size == 0 ? NULL : ifab_registry_allowed(self, id, version);
    const struct ifab_allowed *a = version.size == 0 ? ifab_registry_allowed_next(self, 0) : NULL;
    for (; a != NULL; a = ifab_registry_allowed_next(self, a->number)) {
        if (!ifab_view_equal(a->manifest->id, id) || ifab_registry_revoked(self, a) != NULL || wall >= a->manifest->not_after)
            continue;
        if (best == NULL || ifab_capability_version_compare(best->manifest->version, a->manifest->version) < 0)
            best = a;
    }
    if (best == NULL && version.size == 0)
        return none_allowed(self, id, ret_refusal);
    if (best == NULL)
        return not_allowed(self, id, version, ret_refusal);
    *ret_allowed = best;
    return IFAB_CODE_NONE;
}

/* ---- acts ---- */

static enum ifab_code check_wall(ifab_usec wall, struct ifab_refusal *ret_refusal)
{
    if (wall >= 0 && wall <= IFAB_REGISTRY__WALL_MAX)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "the clock is outside the years 1970 to 9999");
}

static enum ifab_code finish(struct ifab_buf *record, size_t before, size_t max, struct ifab_refusal *ret_refusal)
{
    ifab_status status = ifab_buf_status(record);
    if (status == IFAB_OK && record->size - before <= max)
        return IFAB_CODE_NONE;
    record->size = before;
    if (status == IFAB_NOMEM)
        return ifab_capability__nomem(ret_refusal);
    return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "", "the record would have more than %zu bytes", max);
}

/* Into order, each once; false: one is no namespace, or stands there twice. */
static bool sort_namespaces(const struct ifab_publisher_request *request, struct ifab_view ret_sorted[IFAB_NAMESPACES_MAX])
{
    for (size_t i = 0; i < request->namespace_count; i++) {
        size_t at = i;
        if (!ifab_registry__namespace_valid(request->namespaces[i]))
            return false;
        for (; at > 0 && ifab_view_compare(ret_sorted[at - 1], request->namespaces[i]) >= 0; at--) {
            if (ifab_view_equal(ret_sorted[at - 1], request->namespaces[i]))
                return false;
            ret_sorted[at] = ret_sorted[at - 1];
        }
        ret_sorted[at] = request->namespaces[i];
    }
    return true;
}

static enum ifab_code check_new(const struct ifab_registry *self, const struct ifab_publisher_request *request, struct ifab_refusal *ret_refusal)
{
    struct ifab_view key = ifab_view_of(request->pubkey32, 32), none = {NULL, 0};
    if (!ifab_name_valid(request->name))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "name", "not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, no \"..\"");
    if (!ifab_ed25519_key_valid(request->pubkey32))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "pubkey", "not an Ed25519 public key");
    if (request->not_after <= request->wall || (request->not_after != IFAB_NEVER && request->not_after > IFAB_REGISTRY__WALL_MAX))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "not_after", "must be later than now");
    if (ifab_registry__lookup(self, 'n', request->name, none) != NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "name", "a publisher has or had this name, letter case aside");
    if (ifab_registry__lookup(self, 'k', key, none) != NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "pubkey", "a publisher has or had this key");
    if (ifab_registry__lookup(self, 'K', key, none) != NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "pubkey", "this key is revoked");
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_publisher_add(const struct ifab_registry *self, const struct ifab_publisher_request *request, struct ifab_buf *record,
                                  struct ifab_refusal *ret_refusal)
{
    struct ifab_view sorted[IFAB_NAMESPACES_MAX];
    size_t before = record->size;
    enum ifab_code code = check_wall(request->wall, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_new(self, request, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (request->namespace_count < 1 || request->namespace_count > IFAB_NAMESPACES_MAX || !sort_namespaces(request, sorted))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "namespaces",
                           "1 to %d beginnings of capability names up to a dot, each once, or \"*\"", IFAB_NAMESPACES_MAX);
    if (ifab_registry_count(self, IFAB_REGISTRY_PUBLISHER) >= IFAB_PUBLISHERS_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "%d publishers are the most, revoked ones too", IFAB_PUBLISHERS_MAX);
    struct ifab_publisher publisher = {.name = request->name,
                                       .namespaces = sorted,
                                       .namespace_count = request->namespace_count,
                                       .created = whole_ms(request->wall),
                                       .not_before = whole_ms(request->wall),
                                       .not_after = request->not_after == IFAB_NEVER ? IFAB_NEVER : whole_ms(request->not_after),
                                       .revoked_at = IFAB_NEVER};
    memcpy(publisher.pubkey32, request->pubkey32, 32);
    ifab_registry__write_publisher(record, &publisher);
    return finish(record, before, IFAB_PUBLISHER_RECORD_MAX, ret_refusal);
}

enum ifab_code ifab_publisher_revoke(const struct ifab_registry *self, struct ifab_view name, ifab_usec wall, struct ifab_buf *record,
                                     uint64_t *ret_number, struct ifab_refusal *ret_refusal)
{
    const struct ifab_publisher *publisher = ifab_registry_publisher(self, name);
    size_t before = record->size;
    enum ifab_code code = check_wall(wall, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (publisher == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_NOT_FOUND, "name", "no publisher of this name");
    if (publisher->revoked_at != IFAB_NEVER)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "name", "this publisher is revoked already");
    struct ifab_publisher revoked = *publisher;
    revoked.revoked_at = whole_ms(wall);
    *ret_number = publisher->number;
    ifab_registry__write_publisher(record, &revoked);
    return finish(record, before, IFAB_PUBLISHER_RECORD_MAX, ret_refusal);
}

enum ifab_code ifab_capability_allow(const struct ifab_registry *self, const struct ifab_manifest *manifest, ifab_usec wall, struct ifab_buf *record,
                                     const struct ifab_allowed **ret_known, struct ifab_refusal *ret_refusal)
{
    const struct ifab_publisher *publisher = NULL;
    const struct ifab_allowed *known = ifab_registry_allowed(self, manifest->id, manifest->version);
    bool same = known != NULL && ifab_equal_ct(known->manifest->digest32, manifest->digest32, 32);
    size_t before = record->size;
    if (ret_known != NULL)
        *ret_known = same ? NULL : known;
    enum ifab_code code = check_wall(wall, ret_refusal);
    if (code == IFAB_CODE_NONE && known != NULL && !same)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "version",
                           IFAB_FMT "@" IFAB_FMT " is known with another manifest: a change needs a new version", IFAB_ARG(manifest->id),
                           IFAB_ARG(manifest->version));
    if (code == IFAB_CODE_NONE)
        code = check_signed(self, manifest, wall, &publisher, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_revoked(self, manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_time(manifest, wall, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (same)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "version", "this version is on the allow-list already");
    if (ifab_registry_count(self, IFAB_REGISTRY_ALLOWED) >= IFAB_ALLOWED_MAX ||
        self->allowed_bytes + IFAB_ALLOWED_RECORD_MAX > IFAB_ALLOWED_BYTES_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "the allow-list is full, with what is revoked");
    ifab_registry__write_allowed(record, manifest, publisher->name, whole_ms(wall));
    return finish(record, before, IFAB_ALLOWED_RECORD_MAX, ret_refusal);
}

static enum ifab_code check_named(const struct ifab_registry *self, const struct ifab_revoke_request *request, struct ifab_refusal *ret_refusal)
{
    int named = (request->id.size > 0) + (request->digest32 != NULL) + (request->pubkey32 != NULL);
    if (named != 1 || (request->version.size > 0 && request->id.size == 0))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "", "name one thing: an id, with or without a version, a digest or a key");
    if (request->id.size > 0 && !ifab_capability_id_valid(request->id))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "id", "not a capability's id");
    if (request->version.size > 0 && !ifab_capability_version_valid(request->version))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "version", "three numbers: 1.0.0");
    bool known = request->id.size == 0 ||
                 (request->version.size > 0 ? ifab_registry_allowed(self, request->id, request->version) != NULL : has_id(self, request->id));
    if (!known)
        return ifab_refuse(ret_refusal, IFAB_CODE_NOT_FOUND, "id", "nothing of this id and version is on the allow-list");
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_capability_revoke(const struct ifab_registry *self, const struct ifab_revoke_request *request, struct ifab_buf *record,
                                      struct ifab_refusal *ret_refusal)
{
    uint8_t storage[IFAB_REGISTRY__KEY_MAX];
    uint64_t pointer;
    size_t before = record->size;
    enum ifab_code code = check_wall(request->wall, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_named(self, request, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_revocation revocation = {.id = request->id,
                                         .version = request->version,
                                         .digest32 = request->digest32,
                                         .pubkey32 = request->pubkey32,
                                         .revoked_at = whole_ms(request->wall)};
    if (ifab_map_get(&self->index, ifab_registry__revocation_key(storage, &revocation), &pointer))
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "", "revoked already");
    if (ifab_registry_count(self, IFAB_REGISTRY_REVOCATION) >= IFAB_REVOCATIONS_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "%d revocations are the most", IFAB_REVOCATIONS_MAX);
    ifab_registry__write_revocation(record, &revocation);
    return finish(record, before, IFAB_REVOCATION_RECORD_MAX, ret_refusal);
}
