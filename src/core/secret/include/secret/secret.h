#ifndef SECRET_SECRET_H
#define SECRET_SECRET_H
/*
 * What the log knows of secrets: names, versions, origins and times, never a byte of a value, nor anything made of one. DESIGN section 5 Vault;
 * INV-09, INV-16. Two kinds of trust records, canonical JSON, the same bytes in the store and in the entry of each change:
 *   secret {"counter","created_at","name","origins":["scheme://host[:port]",…],"revoked_at"?,"rotated_at","v":1,"version"}
 *   mark   {"counter","digest":"sha256:…","v":1}      the vault that holds all values: how many changes it has seen, and its SHA-256
 * A revoked secret stays as a tombstone: its versions go on when the name is set again.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/id.h"
#include "base/time.h"

#define IFAB_SECRET_MAX         1024 /* names, revoked ones too */
#define IFAB_SECRET_ORIGINS     8
#define IFAB_ORIGIN_MAX         268 /* bytes: "https://" + 253 of a host + ":65535", or an address in brackets */
#define IFAB_SECRET_RECORD_MAX  4096
#define IFAB_SECRET_VERSION_MAX 1000000

/*
 * scheme://host[:port] and nothing else, in one spelling, so that bytes can be compared: scheme http, https, ws or wss; host and port as
 * base/authority.h spells them, an IPv6 address in brackets; the port left out where it is the scheme's own. *ret_why (may be NULL): what is
 * expected instead, to stand behind "must be". Records may hold others: they were made when more spellings were taken, and match no request.
 */
bool ifab_origin_valid(struct ifab_view text, const char **ret_why);

struct ifab_secret { /* owned by the table; valid until the next load of this number */
    uint64_t number;
    struct ifab_view name, origins[IFAB_SECRET_ORIGINS];
    size_t origin_count;
    uint32_t version;                       /* 1 and up: the how-many-th value */
    uint64_t counter;                       /* of the vault when it last changed */
    ifab_usec created, rotated, revoked_at; /* wall, whole milliseconds; revoked_at IFAB_NEVER: live */
    struct ifab_view record;                /* its canonical bytes */
};
struct ifab_secret_mark {
    uint64_t counter; /* 0: no secret was ever set */
    uint8_t digest32[32];
};

struct ifab_secrets;
IFAB_MUST_CHECK ifab_status ifab_secrets_new(struct ifab_secrets **ret);
void ifab_secrets_free(struct ifab_secrets *self); /* accepts NULL */
/* IFAB_CORRUPT: no such record, not in its canonical form, or its name is another's; IFAB_NOMEM. Nothing has changed then. No bytes: IFAB_CORRUPT,
 * a secret's record never goes. */
IFAB_MUST_CHECK ifab_status ifab_secrets_load(struct ifab_secrets *self, uint64_t number, struct ifab_view record, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_secrets_load_mark(struct ifab_secrets *self, struct ifab_view record, struct ifab_error *err);
const struct ifab_secret *ifab_secrets_find(const struct ifab_secrets *self, struct ifab_view name);
const struct ifab_secret *ifab_secrets_next(const struct ifab_secrets *self, uint64_t number); /* number above this; NULL: no more */
size_t ifab_secrets_count(const struct ifab_secrets *self);                                    /* revoked ones too */
size_t ifab_secrets_live(const struct ifab_secrets *self);
const struct ifab_secret_mark *ifab_secrets_mark(const struct ifab_secrets *self);
/* SHA-256 over (u64le number, SHA-256 of the record) in order of number, then the mark's record. docs/formats/store.md. */
void ifab_secrets_trust_root(const struct ifab_secrets *self, uint8_t ret_root32[32]);

enum ifab_secret_act { IFAB_SECRET_SET, IFAB_SECRET_ROTATE, IFAB_SECRET_REVOKE };
struct ifab_secret_request {
    enum ifab_secret_act act;
    struct ifab_view name;
    const struct ifab_view *origins; /* SET: 1..IFAB_SECRET_ORIGINS; ROTATE: 0 keeps those it has; REVOKE: 0 */
    size_t origin_count;
    ifab_usec wall;
};
/*
 * What the secret becomes by this act; number 0: a new one. Its views are the request's, or the present record's. 206: none of this name, or revoked;
 * 208; 305; 409: there is one already, or one whose name differs in case alone.
 */
enum ifab_code ifab_secret_next(const struct ifab_secrets *self, const struct ifab_secret_request *request, struct ifab_secret *ret_next,
                                struct ifab_refusal *ret_refusal);
void ifab_secret_write(struct ifab_buf *buf, const struct ifab_secret *secret);
void ifab_secret_mark_write(struct ifab_buf *buf, const struct ifab_secret_mark *mark);
/* May its value go to this origin? *ret_secret: the live secret of this name. 206: none, or revoked; 003: the operator has not named this origin. */
enum ifab_code ifab_secret_for(const struct ifab_secrets *self, struct ifab_view name, struct ifab_view origin, const struct ifab_secret **ret_secret,
                               struct ifab_refusal *ret_refusal);
#endif
