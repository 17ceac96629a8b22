#ifndef CAPABILITY_REGISTRY_H
#define CAPABILITY_REGISTRY_H
/*
 * Who may publish, what is allowed, what is revoked. DESIGN section 5 Talent and Chassis; INV-02, INV-07, INV-16; FL-CAP-1, -8.
 * Each is a trust record, canonical JSON, the same bytes in the store and, as payload.record, in the entry of its act:
 *   publisher  {"created_at","key_id","name","namespaces":[…],"not_after"?,"not_before","pubkey","revoked_at"?,"v":1}
 *   allowed    {"allowed_at","digest","id","manifest":{…},"publisher","v":1,"version"}
 *   revocation {"digest" | "id","version"? | "pubkey", "revoked_at","v":1}
 * A publisher changes only by being revoked; names and keys are never used again. What is allowed stays remembered with its whole manifest, so
 * one id@version can never become another. A revocation is for ever. docs/formats/capability.md.
 */
#include "capability/manifest.h"

#define IFAB_PUBLISHERS_MAX       1000
#define IFAB_NAMESPACES_MAX       32
#define IFAB_ALLOWED_MAX          2000
#define IFAB_ALLOWED_BYTES_MAX    ((size_t)32 << 20) /* of all their records */
#define IFAB_REVOCATIONS_MAX      10000
#define IFAB_PUBLISHER_RECORD_MAX 8192
#define IFAB_ALLOWED_RECORD_MAX   (IFAB_MANIFEST_MAX + 1024)
#define IFAB_REVOCATION_RECORD_MAX 512

enum ifab_registry_kind { IFAB_REGISTRY_PUBLISHER = 23, IFAB_REGISTRY_ALLOWED = 24, IFAB_REGISTRY_REVOCATION = 25 }; /* kinds of the store: never change */

struct ifab_publisher { /* owned by the table; valid until the next load of this number */
    uint64_t number;
    struct ifab_view name; /* of SURFACE section 1; unique whatever the letter case */
    uint8_t pubkey32[32];
    const struct ifab_view *namespaces; /* "vmix": of the names vmix and vmix.…, by whole parts; "*": all. In order, each once */
    size_t namespace_count;
    ifab_usec created, not_before, not_after, revoked_at; /* wall; IFAB_NEVER when open */
    struct ifab_view record;
};
struct ifab_allowed { /* owned by the table, for its life */
    uint64_t number;
    const struct ifab_manifest *manifest;
    struct ifab_view publisher; /* name */
    ifab_usec allowed_at;
    struct ifab_view record;
};
struct ifab_revocation { /* one of the three; the others size 0, NULL */
    uint64_t number;
    struct ifab_view id, version;  /* version size 0: every version, also later ones */
    const uint8_t *digest32;       /* of a manifest */
    const uint8_t *pubkey32;       /* of a publisher, known here or not */
    ifab_usec revoked_at;
    struct ifab_view record;
};

struct ifab_registry;
ifab_status ifab_registry_new(uint64_t seed, struct ifab_registry **ret);
void ifab_registry_free(struct ifab_registry *self); /* accepts NULL */
/*
 * Take a record in. IFAB_CORRUPT: not such a record, not in its canonical form, name, key or id@version of another, or what no act can do to the
 * record that is there (the same bytes again change nothing); IFAB_NOMEM. In both cases nothing has changed.
 */
IFAB_MUST_CHECK ifab_status ifab_registry_load(struct ifab_registry *self, enum ifab_registry_kind kind, uint64_t number, struct ifab_view record,
                                               struct ifab_error *err);
const struct ifab_publisher *ifab_registry_publisher(const struct ifab_registry *self, struct ifab_view name); /* exact case; revoked ones too */
const struct ifab_publisher *ifab_registry_publisher_by_key(const struct ifab_registry *self, const uint8_t pubkey32[32]);
const struct ifab_allowed *ifab_registry_allowed(const struct ifab_registry *self, struct ifab_view id, struct ifab_view version); /* revoked ones too */
/* The next one with a number above this; NULL: no more. */
const struct ifab_publisher *ifab_registry_publisher_next(const struct ifab_registry *self, uint64_t number);
const struct ifab_allowed *ifab_registry_allowed_next(const struct ifab_registry *self, uint64_t number);
const struct ifab_revocation *ifab_registry_revocation_next(const struct ifab_registry *self, uint64_t number);
size_t ifab_registry_count(const struct ifab_registry *self, enum ifab_registry_kind kind);
/* What revokes it: its id, id@version, digest or key; or a revoked publisher. NULL: nothing. Words for people. */
const char *ifab_registry_revoked(const struct ifab_registry *self, const struct ifab_allowed *allowed);
bool ifab_publisher_may_sign(const struct ifab_publisher *publisher, struct ifab_view capability_name);
/* SHA-256 over all of them in order of kind and number: for each (u8 kind, u64le number, SHA-256 of the bytes). docs/formats/store.md. */
void ifab_registry_trust_root(const struct ifab_registry *self, uint8_t ret_root32[32]);

/*
 * What a call names: id, or id and version; version size 0: the largest that is neither revoked nor past its not_after. 201: nothing of this id,
 * or all of it revoked; 202: not this version.
 */
enum ifab_code ifab_registry_find(const struct ifab_registry *self, struct ifab_view id, struct ifab_view version, ifab_usec wall,
                                  const struct ifab_allowed **ret_allowed, struct ifab_refusal *ret_refusal);
struct ifab_module { /* the bytes as they were opened: digest and size of what would be run */
    uint8_t sha256[32];
    uint64_t size; /* bytes */
};
/*
 * INV-07, at every load and again in the step of every apply, in this order: signature by the registered key (001; 005 where nobody registered it) ·
 * publisher: not revoked, within its validity and namespaces (005) · allow-list: id (201), version and its time (202), manifest digest (204), not
 * revoked (201 its id, 202 its version or digest) · module: size and digest (204). module NULL: it was not looked at in this call, and the caller says
 * elsewhere that it was. NONE: it may be loaded. Of the allow-list's own copy the signature is verified once and found good from then on; so one
 * thread at a time.
 */
enum ifab_code ifab_capability_load_check(const struct ifab_registry *self, const struct ifab_manifest *manifest, const struct ifab_module *module,
                                          ifab_usec wall, struct ifab_refusal *ret_refusal);

/* Acts: check the request and append the record to buf. Nothing changes before ifab_registry_load(). */
struct ifab_publisher_request {
    struct ifab_view name;
    const uint8_t *pubkey32;
    const struct ifab_view *namespaces; /* any order */
    size_t namespace_count;
    ifab_usec not_after; /* IFAB_NEVER */
    ifab_usec wall;
};
/* 208, 305; 409: name (also in other case) or key is or was another's, or the key is revoked. */
enum ifab_code ifab_publisher_add(const struct ifab_registry *self, const struct ifab_publisher_request *request, struct ifab_buf *record,
                                  struct ifab_refusal *ret_refusal);
/* 404; 409: it is revoked. */
enum ifab_code ifab_publisher_revoke(const struct ifab_registry *self, struct ifab_view name, ifab_usec wall, struct ifab_buf *record,
                                     uint64_t *ret_number, struct ifab_refusal *ret_refusal);
/*
 * Puts it on the allow-list: signature and publisher as a load has them, not revoked, not past its not_after. 001, 005, 201, 202; 305 full; 409: this
 * id@version is there. *ret_known (may be NULL): it is there with another manifest, ifab_manifest_diff() says how they differ; else NULL.
 */
enum ifab_code ifab_capability_allow(const struct ifab_registry *self, const struct ifab_manifest *manifest, ifab_usec wall, struct ifab_buf *record,
                                     const struct ifab_allowed **ret_known, struct ifab_refusal *ret_refusal);
struct ifab_revoke_request { /* one of the three; digests and keys need not be known */
    struct ifab_view id, version;
    const uint8_t *digest32, *pubkey32;
    ifab_usec wall;
};
/* 208; 305; 404: nothing of this id or id@version is allowed; 409: revoked already. */
enum ifab_code ifab_capability_revoke(const struct ifab_registry *self, const struct ifab_revoke_request *request, struct ifab_buf *record,
                                      struct ifab_refusal *ret_refusal);
#endif
