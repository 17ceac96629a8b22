#ifndef CRYPTO_INTERNAL_H
#define CRYPTO_INTERNAL_H
/* Shared inside src/crypto only. */
#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"

#define IFAB_CRYPTO__TEXT_MAX 16384 /* bytes of a key file or key line: anything longer is none */

void ifab_crypto__hmac(struct ifab_view key, struct ifab_view a, struct ifab_view b, uint8_t ret_mac32[32]); /* over a || b */
/* The 32 bytes that a private key is made of; borrowed, in locked memory. */
const uint8_t *ifab_signer__seed(const struct ifab_signer *self);
struct ifab_view ifab_crypto__trim(struct ifab_view text); /* without white space around it */
/* PEM of one DER structure, e.g. label "PUBLIC KEY". */
#define IFAB_PEM__DER_MAX 4096
void ifab_pem__write(struct ifab_buf *pem, const char *label, const uint8_t *der, size_t size);
bool ifab_pem__is(struct ifab_view text, const char *label); /* does it begin so */
/* One block of that label and nothing else. ret_der may be overwritten on failure too; wipe it when it was secret. */
bool ifab_pem__read(struct ifab_view text, const char *label, uint8_t ret_der[IFAB_PEM__DER_MAX], size_t *ret_size);
/* C2SP signed-note: name without white space, control characters or '+', at most 255 bytes. */
bool ifab_note__name_valid(struct ifab_view name);
/* First four bytes of SHA-256(name || "\n" || 0x01 || key). */
void ifab_note__key_hash(struct ifab_view name, const uint8_t pubkey32[32], uint8_t ret_hash4[4]);
#define IFAB_NOTE__NAME_MAX 255
#define IFAB_NOTE__ED25519  0x01
#endif
