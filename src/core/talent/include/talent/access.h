#ifndef TALENT_ACCESS_H
#define TALENT_ACCESS_H
/*
 * What lets somebody in for a while: tokens, and invites with which a talent enrols itself. DESIGN section 5 Talent; INV-02, INV-16.
 * Each is a trust record, canonical JSON, the same bytes in the store and, as payload.token or payload.invite, in the entry of its act:
 *   token  {"created_at","expires_at","hash","id","name"?,"revoked_at"?,"role","talent","v":1}
 *   invite {"created_at","expires_at","hash","id","name","owner","role","role_name","v":1}
 * hash is "sha256:" + SHA-256 of the secret's text ("ift_…", or the code with its hyphens): the secret itself never comes here.
 * A token's role is one of the built-in names and never rises: rights are those of both roles, the talent's as it is when it is used.
 */
#include "talent/talent.h"

#define IFAB_TOKEN_PER_TALENT  64    /* that are neither ended nor revoked; so many revoked ones are remembered beside them */
#define IFAB_TOKEN_MAX         10000 /* in all; revoked ones are remembered up to half of it, so that they keep no live one out */
#define IFAB_TOKEN_TTL_MIN     (60 * IFAB_SECOND)
#define IFAB_TOKEN_TTL_MAX     IFAB_DAY
#define IFAB_INVITE_MAX        1000
#define IFAB_INVITE_TTL_MAX    IFAB_HOUR
#define IFAB_ACCESS_RECORD_MAX 1024 /* bytes; a record within the bounds of its fields is always smaller */

enum ifab_access_kind { IFAB_ACCESS_TOKEN = 10, IFAB_ACCESS_INVITE = 11 }; /* kinds of the store: on disk, never change */
struct ifab_access_item { /* owned by the table; valid until the next load of this number */
    enum ifab_access_kind kind;
    uint64_t number;
    uint8_t hash32[32], id16[16];
    struct ifab_view talent;           /* whose token; the name an invite is for */
    struct ifab_view label;            /* token: its name, may be empty */
    struct ifab_view owner, role_name; /* invite */
    enum ifab_role role;
    ifab_usec created, expires, revoked_at; /* wall; revoked_at IFAB_NEVER when not */
    struct ifab_view record;                /* its canonical bytes */
};

struct ifab_accesses;
ifab_status ifab_accesses_new(uint64_t seed, struct ifab_accesses **ret);
void ifab_accesses_free(struct ifab_accesses *self); /* accepts NULL */
/*
 * Take a record in, or away when it has no bytes. A token that is there may only be followed by itself, revoked. IFAB_CORRUPT: not such a
 * record, not in its canonical form, hash or id of another, or no such change can be made; IFAB_NOMEM. In both cases nothing has changed.
 */
IFAB_MUST_CHECK ifab_status ifab_accesses_load(struct ifab_accesses *self, enum ifab_access_kind kind, uint64_t number,
                                               struct ifab_view record, struct ifab_error *err);
/* By the digest of the secret: found or not, what is compared is a digest, in constant time. NULL: none. Ended and revoked ones too. */
const struct ifab_access_item *ifab_accesses_by_hash(const struct ifab_accesses *self, enum ifab_access_kind kind,
                                                     const uint8_t hash32[32]);
const struct ifab_access_item *ifab_accesses_by_id(const struct ifab_accesses *self, enum ifab_access_kind kind, const uint8_t id16[16]);
/* The next one with a number above this; NULL: no more. In order of number. */
const struct ifab_access_item *ifab_accesses_next(const struct ifab_accesses *self, uint64_t number);
size_t ifab_accesses_count(const struct ifab_accesses *self, enum ifab_access_kind kind);
ifab_usec ifab_accesses_due(const struct ifab_accesses *self); /* wall: when the first one ends; IFAB_NEVER */
/* Some of those that have ended: up to max, their kinds and numbers. */
size_t ifab_accesses_dead(const struct ifab_accesses *self, ifab_usec wall, size_t max, enum ifab_access_kind *ret_kinds,
                          uint64_t *ret_numbers);
/* SHA-256 over all of them in order of number: for each (u8 kind, u64le number, SHA-256 of the bytes). docs/formats/store.md. */
void ifab_accesses_trust_root(const struct ifab_accesses *self, uint8_t ret_root32[32]);

/* Is it good now? With the talent as it is: NULL when there is none. */
bool ifab_token_valid(const struct ifab_access_item *token, const struct ifab_talent *talent, ifab_usec wall);
/* The rights of two roles: the lesser one of both. An admin's are an operator's: what an admin may beyond that takes a signature. */
enum ifab_role ifab_token_role(enum ifab_role token, enum ifab_role talent);

/* Acts: check the request and append the record to buf. Nothing changes before ifab_accesses_load(). */
struct ifab_access_request {
    struct ifab_view talent, label;    /* token: whose, and what it is called (may be empty) */
    struct ifab_view owner, role_name; /* invite; empty: the talent's own name, "agent" */
    enum ifab_role role;               /* token: NONE is the talent's own; invite: what role_name maps to */
    const uint8_t *hash32, *id16;      /* drawn by the shell */
    ifab_usec ttl, wall;
};
/* 203, 208, 305; 409: the digest or id is known. */
enum ifab_code ifab_token_create(const struct ifab_accesses *self, const struct ifab_talents *talents,
                                 const struct ifab_access_request *request, struct ifab_buf *record, struct ifab_refusal *ret_refusal);
/* *ret_keep: false when enough revoked ones of this talent are remembered; the record is then for the entry only. 404: none, ended or
 * revoked. */
enum ifab_code ifab_token_revoke(const struct ifab_accesses *self, const struct ifab_access_item *token, ifab_usec wall,
                                 struct ifab_buf *record, bool *ret_keep, struct ifab_refusal *ret_refusal);
/* *ret_before: number of the open invite for the same name, which this one takes the place of; 0: none. 208, 305, 409: name taken. */
enum ifab_code ifab_invite_create(const struct ifab_accesses *self, const struct ifab_talents *talents,
                                  const struct ifab_access_request *request, struct ifab_buf *record, uint64_t *ret_before,
                                  struct ifab_refusal *ret_refusal);
#endif
