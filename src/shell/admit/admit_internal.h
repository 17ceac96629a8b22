#ifndef ADMIT_INTERNAL_H
#define ADMIT_INTERNAL_H
#include "admit/admit.h"

/* The key in the document must be one of those registered for the talent, now valid: NONE, 001, 004. INV-02 */
enum ifab_code ifab_admit__key(const struct ifab_keyring_entry *entry, const uint8_t pubkey32[32], ifab_usec wall, struct ifab_refusal *ret_refusal);
/* Decodes and checks signature{algorithm,key_id?,pubkey,sig} of an object over domain + canonical form without sig; digest of those bytes. */
struct ifab_json;
enum ifab_code ifab_admit__signature(const struct ifab_json *object, const char *domain, const uint8_t registered32[32], struct ifab_arena *arena,
                                     uint8_t ret_digest32[32], struct ifab_refusal *ret_refusal);
extern const struct ifab_schema ifab_admit__signature_schema;
#endif
