#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H
/*
 * What keeps secrets: authenticated encryption, keys from passphrases, boxes that only one key opens, and memory that is locked, left out of core
 * files and wiped. libsodium. Threads: any, after ifab_crypto_init().
 */
#include "crypto/crypto.h"

/*
 * Locked memory between guard pages, zeroed. IFAB_FULL: the system locks no more (RLIMIT_MEMLOCK); IFAB_NOMEM. Memory that cannot be locked is
 * never given out. size >= 1.
 */
IFAB_MUST_CHECK ifab_status ifab_locked_new(size_t size, uint8_t **ret_bytes, struct ifab_error *err);
void ifab_locked_free(uint8_t *bytes); /* wipes; accepts NULL */
void ifab_locked_freep(uint8_t **bytes);

#define IFAB_AEAD_KEY   32
#define IFAB_AEAD_NONCE 24
#define IFAB_AEAD_TAG   16
/* XChaCha20-Poly1305. ret_sealed: plain.size + IFAB_AEAD_TAG bytes, the caller's. A nonce is drawn anew for each call (ifab_random). Source:
 * draft-irtf-cfrg-xchacha-03. */
void ifab_aead_seal(const uint8_t key32[IFAB_AEAD_KEY], const uint8_t nonce24[IFAB_AEAD_NONCE], struct ifab_view associated, struct ifab_view plain,
                    uint8_t *ret_sealed);
/* ret_plain: sealed.size - IFAB_AEAD_TAG bytes. IFAB_DENIED: other key, nonce, associated data or bytes; ret_plain holds nothing of it. */
IFAB_MUST_CHECK ifab_status ifab_aead_open(const uint8_t key32[IFAB_AEAD_KEY], const uint8_t nonce24[IFAB_AEAD_NONCE], struct ifab_view associated,
                                           struct ifab_view sealed, uint8_t *ret_plain);

/* Argon2id, version 1.3, one lane (RFC 9106). passes 1..16, memory 8 KiB..1 GiB, else IFAB_INVALID; IFAB_NOMEM. Takes as long as it takes. */
#define IFAB_PASSPHRASE_PASSES     3
#define IFAB_PASSPHRASE_MEMORY_KIB 65536
IFAB_MUST_CHECK ifab_status ifab_passphrase_key(struct ifab_view passphrase, const uint8_t salt16[16], uint32_t passes, uint32_t memory_kib,
                                                uint8_t ret_key32[32], struct ifab_error *err);
/* A key for one purpose out of another: HMAC(key32, "infrafabric " + purpose + LF + context). */
void ifab_subkey(const uint8_t key32[32], const char *purpose, struct ifab_view context, uint8_t ret_key32[32]);

/* A sealed box: anybody seals to a public X25519 key, its holder alone opens (libsodium's crypto_box_seal; 48 bytes longer than the text). */
#define IFAB_BOX_OVERHEAD 48
void ifab_box_keypair(uint8_t ret_secret32[32], uint8_t ret_public32[32]);
IFAB_MUST_CHECK ifab_status ifab_box_seal(const uint8_t public32[32], struct ifab_view plain, uint8_t *ret_sealed); /* IFAB_INVALID: no such key */
IFAB_MUST_CHECK ifab_status ifab_box_open(const uint8_t secret32[32], const uint8_t public32[32], struct ifab_view sealed,
                                          uint8_t *ret_plain); /* IFAB_DENIED: not sealed to it, or altered; ret_plain holds nothing of it */
#endif
