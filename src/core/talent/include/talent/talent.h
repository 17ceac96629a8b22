#ifndef TALENT_TALENT_H
#define TALENT_TALENT_H
/*
 * Talents: who may speak, with which keys, role and grants. DESIGN section 5 Talent; INV-02, INV-16.
 * A talent is one trust record: canonical JSON, the same bytes in the store and, as payload.record, in the entry of the act that made it:
 *   {"created","grants":[{"expires_at"?,"scope"}],"keys":[{"epoch","key_id","not_after"?,"not_before","pubkey","revoked_at"?}],"mode",
 *    "name","number","owner","removed_at"?,"role","role_name","tls_keys"?:[{"not_after"?,"not_before","revoked_at"?,"spki"}],"version"}
 * Acts make the next record from the present one; load takes it in: one path for apply and start. Names, epochs and keys are never used again.
 * Keys stand in order of epoch (1, 2, … without gaps), grants in order of scope, tls_keys as they were enrolled (absent while there is none): the
 * SHA-256 of the SubjectPublicKeyInfo of client certificates ("sha256:…"). A key has one use: one that signs is no TLS key, nor the other way
 * round. Times in milliseconds, always with them; mode is "strict" or "window", role one of the built-in names. An owner is a name; it is spelled
 * like the talent or the other owner that differs only in case.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"

/* built in; X(NAME, "text", agent's own only … see SURFACE section 8). Order is not rank: rights are bits. */
enum ifab_role { IFAB_ROLE_NONE = 0, IFAB_ROLE_AGENT, IFAB_ROLE_READONLY, IFAB_ROLE_AUDITOR, IFAB_ROLE_OPERATOR, IFAB_ROLE_ADMIN };
const char *ifab_role_name(enum ifab_role role);
enum ifab_role ifab_role_parse(struct ifab_view name); /* IFAB_ROLE_NONE: unknown */

#define IFAB_TALENT_MAX 100000
#define IFAB_TALENT_KEYS_MAX 32   /* also revoked ones: they are never used again */
#define IFAB_TALENT_TLS_KEYS_MAX 32 /* likewise */
#define IFAB_TALENT_GRANTS_MAX 128
#define IFAB_TALENT_RECORD_MAX 40960                  /* bytes; a record within the bounds above is always smaller */
#define IFAB_TALENT_OVERLAP_MAX (366 * IFAB_DAY)      /* rotate */
struct ifab_key {
    uint8_t pubkey32[32];
    uint32_t epoch; /* 1, 2, … per talent */
    ifab_usec not_before, not_after, revoked_at; /* wall; IFAB_NEVER when open */
};
struct ifab_tls_key {
    uint8_t spki32[32];
    ifab_usec not_before, not_after, revoked_at; /* as above */
};
struct ifab_grant {
    struct ifab_view scope;   /* "guard:scope", "topic:<16 hex>", "veritas:secrets", "if://capability/…": 1..128 of 0x21..0x7e but '"' and '\\' */
    ifab_usec expires_at;     /* IFAB_NEVER */
};
struct ifab_talent { /* owned by the table; valid until the next load of this talent */
    uint32_t number;
    uint64_t version; /* grows by one with each act */
    struct ifab_view name, owner, role_name;
    enum ifab_role role;
    uint8_t mode; /* enum ifab_order_mode */
    ifab_usec created, removed_at; /* IFAB_NEVER */
    const struct ifab_key *keys;
    size_t key_count;
    const struct ifab_tls_key *tls_keys;
    size_t tls_key_count;
    const struct ifab_grant *grants;
    size_t grant_count;
    struct ifab_view record; /* its canonical bytes */
};

struct ifab_talents;
ifab_status ifab_talents_new(uint64_t seed, struct ifab_talents **ret);
void ifab_talents_free(struct ifab_talents *self);
/*
 * Take a record in: the one after the last number, or the next version of one that is there (the same bytes again change nothing).
 * Makes its own copies. IFAB_CORRUPT: not such a record, not in its canonical form, name or key of another, or what no act can do to the
 * present record (a key or name changed, a revocation or removal undone); IFAB_NOMEM. In both cases nothing has changed.
 */
IFAB_MUST_CHECK ifab_status ifab_talents_load(struct ifab_talents *self, uint32_t number, struct ifab_view record, struct ifab_error *err);
const struct ifab_talent *ifab_talents_find(const struct ifab_talents *self, struct ifab_view name); /* exact case; removed ones too */
const struct ifab_talent *ifab_talents_at(const struct ifab_talents *self, uint32_t number);
const struct ifab_talent *ifab_talents_by_key(const struct ifab_talents *self, const uint8_t pubkey32[32], const struct ifab_key **ret_key);
/* The talent that holds, or held, this as a TLS key; NULL: nobody. Whether it is good now is ifab_tls_key_valid()'s to say. */
const struct ifab_talent *ifab_talents_by_spki(const struct ifab_talents *self, const uint8_t spki32[32], const struct ifab_tls_key **ret_key);
bool ifab_tls_key_valid(const struct ifab_talent *talent, const struct ifab_tls_key *key, ifab_usec wall); /* NULL: false */
uint32_t ifab_talents_count(const struct ifab_talents *self); /* numbers are 1..count */
bool ifab_talent_has_grant(const struct ifab_talent *talent, struct ifab_view scope, ifab_usec wall); /* false when removed or expired */
/* The key with these bytes, if valid at wall: NONE and ret_key. KEY_REVOKED: revoked, expired, not yet valid, talent removed.
 * INVALID_SIGNATURE: not one of its keys. */
enum ifab_code ifab_talent_key_check(const struct ifab_talent *talent, const uint8_t pubkey32[32], ifab_usec wall, const struct ifab_key **ret_key,
                                     struct ifab_refusal *ret_refusal);
/* SHA-256 over all trust records in key order: for each (u8 kind, u64le number, u64le size, bytes). See docs/formats/store.md. */
void ifab_talents_trust_root(const struct ifab_talents *self, uint8_t ret_root32[32]);

/* Acts: check the request against the table and append the talent's next record to buf. Nothing changes before ifab_talents_load(). */
struct ifab_talent_request {
    struct ifab_view name, owner, role_name; /* add; owner empty: the talent's own name; role_name empty: "agent" */
    enum ifab_role role;                     /* add: what role_name maps to */
    const uint8_t *pubkey32;                 /* add (may be NULL: no key yet), rotate, revoke of one key */
    const uint8_t *spki32;                   /* TLS key, revoke of one */
    uint8_t mode;
    struct ifab_view scope;                  /* grant, revoke of a grant */
    ifab_usec expires_at;                    /* grant, TLS key; IFAB_NEVER */
    ifab_usec overlap;                       /* rotate, TLS key: the old keys of this use stay valid so long. 0: revoked at once; TLS key, IFAB_NEVER:
                                              * as they are */
    ifab_usec wall;
};
enum ifab_code ifab_talent_add(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                               uint32_t *ret_number, struct ifab_refusal *ret_refusal);   /* 409 name (also in other case) or key taken; 208; 305 full */
enum ifab_code ifab_talent_grant(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                 uint32_t *ret_number, struct ifab_refusal *ret_refusal); /* 203, 208, 305; same scope: expiry replaced */
enum ifab_code ifab_talent_rotate(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                  uint32_t *ret_number, struct ifab_refusal *ret_refusal);
/* Another key for client certificates; 203, 208, 305; 409: it is or was held by somebody, for whatever use. */
enum ifab_code ifab_talent_tls_key(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                   uint32_t *ret_number, struct ifab_refusal *ret_refusal);
/* With pubkey32 or spki32: that key. With scope: that grant. With none of them: every key of both uses. 404 when there is none such. */
enum ifab_code ifab_talent_revoke(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                  uint32_t *ret_number, struct ifab_refusal *ret_refusal);
enum ifab_code ifab_talent_remove(const struct ifab_talents *self, const struct ifab_talent_request *request, struct ifab_buf *record,
                                  uint32_t *ret_number, struct ifab_refusal *ret_refusal); /* tombstone: keys revoked, grants dropped */

/*
 * Read-only snapshot for the verify workers: name -> number, version, keys. Immutable; reference-counted (atomic), so that the loop can replace it.
 */
struct ifab_keyring;
struct ifab_keyring_entry {
    struct ifab_view name;
    uint32_t number;
    uint64_t version;
    const struct ifab_key *keys;
    size_t key_count;
    bool removed;
};
ifab_status ifab_keyring_new(const struct ifab_talents *talents, struct ifab_keyring **ret);
struct ifab_keyring *ifab_keyring_ref(struct ifab_keyring *self);
void ifab_keyring_unref(struct ifab_keyring *self); /* accepts NULL */
const struct ifab_keyring_entry *ifab_keyring_find(const struct ifab_keyring *self, struct ifab_view name);
/* The talent that holds these 32 bytes as a key, revoked ones too; NULL: nobody. */
const struct ifab_keyring_entry *ifab_keyring_find_key(const struct ifab_keyring *self, const uint8_t pubkey32[32]);
#endif
