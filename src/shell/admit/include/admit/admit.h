#ifndef ADMIT_ADMIT_H
#define ADMIT_ADMIT_H
/*
 * What runs before the step, on any thread: size, strict parse, schema, sender known, key equal and valid, signature; and the facts that policy needs and the
 * pure rooms cannot derive (redaction, registrable domains). INV-01: the first failure decides the code; nothing here changes state.
 */
#include "base/arena.h"
#include "connect/envelope.h"
#include "fabric/fabric.h"
#include "guard/guard.h"
#include "talent/talent.h"

IFAB_MUST_CHECK ifab_status ifab_admit_init(struct ifab_error *err); /* once, before threads: loads the public suffix list */
void ifab_admit_fini(void);

struct ifab_admitted {
    struct ifab_envelope envelope;
    struct ifab_guard_facts facts;
    uint32_t talent;      /* number */
    uint64_t key_version; /* of the record that verified it */
};
/*
 * bytes, keyring and arena outlive ret_admitted. max_size 0 = 64 KiB.
 * NONE; 109 101 110 106 001 004; 500 out of memory. wall: for a key's validity only; the step judges again.
 */
enum ifab_code ifab_admit_message(struct ifab_view bytes, size_t max_size, const struct ifab_keyring *keyring, const uint8_t tag_key16[16],
                                  ifab_usec wall, struct ifab_arena *arena, struct ifab_admitted *ret_admitted, struct ifab_refusal *ret_refusal);
/* The facts of an envelope, whose evidence gets its domains; domains and evidence as keyed digests. false: out of memory; the facts are then those of a message that is denied. */
IFAB_MUST_CHECK bool ifab_admit_facts(struct ifab_envelope *envelope, const uint8_t tag_key16[16], struct ifab_arena *arena, struct ifab_guard_facts *ret_facts);
/* Registrable domain of a URL's host (lower case), the host itself where it has none (address, single label); size 0: no host. */
struct ifab_view ifab_admit_domain(struct ifab_view url, struct ifab_arena *arena);

/* A vote (SURFACE section 3). path_id: the decision named in the request's path; must be the one inside. Fills command->u.vote and type. */
enum ifab_code ifab_admit_vote(struct ifab_view bytes, struct ifab_view path_id, const struct ifab_keyring *keyring, ifab_usec wall,
                               struct ifab_arena *arena, struct ifab_command *ret_command, struct ifab_refusal *ret_refusal);
/* The header IF-Admin: base64url of the canonical form. route: "POST /v1/talents" as requested. body: the exact bytes. origin: of this fabric. */
enum ifab_code ifab_admit_act(struct ifab_view header, struct ifab_view route, struct ifab_view body, struct ifab_view origin,
                              const struct ifab_keyring *keyring, ifab_usec wall, struct ifab_arena *arena, struct ifab_admin_act *ret_act,
                              struct ifab_refusal *ret_refusal);
/* The body of POST /v1/enroll: proof of possession of the new key. Fills command->u.enroll (not source) and type. 208, 001; the code is judged in the step. */
#define IFAB_INVITE_CODE_SIZE 39 /* "XXXX-…": eight groups of four of A-Z and 2-7 */
bool ifab_admit_code_valid(struct ifab_view text);
enum ifab_code ifab_admit_enroll(struct ifab_view bytes, struct ifab_view origin, struct ifab_arena *arena, struct ifab_command *ret_command,
                                 struct ifab_refusal *ret_refusal);
#endif
