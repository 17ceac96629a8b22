#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H
/*
 * One provider behind one header: Ed25519, keyed tags, AEAD by libsodium; SHA-256 and HMAC by libcrypto (processor instructions).
 * Everything here is a pure function of its arguments, but for ifab_random() and ifab_crypto_init(). Threads: any, after init.
 */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

IFAB_MUST_CHECK ifab_status ifab_crypto_init(struct ifab_error *err); /* once, before threads; IFAB_INTERNAL */
/* The same in two, for a program that loads libcrypto with its first hash and checks that hash then. IFAB_INTERNAL */
IFAB_MUST_CHECK ifab_status ifab_crypto_init_late(struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_crypto_check_hash(struct ifab_error *err);
void ifab_random(void *ret_bytes, size_t size);                     /* from the kernel */
void ifab_wipe(void *bytes, size_t size);                           /* not optimised away */
bool ifab_equal_ct(const void *a, const void *b, size_t size);      /* constant time */

void ifab_sha256(struct ifab_view bytes, uint8_t ret_digest32[32]);
void ifab_sha256_2(struct ifab_view a, struct ifab_view b, uint8_t ret_digest32[32]); /* of a || b */
void ifab_sha256_3(struct ifab_view a, struct ifab_view b, struct ifab_view c, uint8_t ret_digest32[32]);
struct ifab_sha256 {
    _Alignas(16) uint8_t opaque[128];
}; /* streaming, caller's storage */
void ifab_sha256_begin(struct ifab_sha256 *self);
void ifab_sha256_add(struct ifab_sha256 *self, struct ifab_view bytes);
void ifab_sha256_end(struct ifab_sha256 *self, uint8_t ret_digest32[32]);
void ifab_sha1_websocket(struct ifab_view bytes, uint8_t ret_digest20[20]); /* RFC 6455 4.2.2, nothing else */
void ifab_hmac_sha256(struct ifab_view key, struct ifab_view bytes, uint8_t ret_mac32[32]);
/* 16-byte keyed tag (SipHash-2-4-128): replay memory. Not a MAC for outsiders. */
void ifab_tag16(const uint8_t key16[16], struct ifab_view bytes, uint8_t ret_tag16[16]);

/* Ed25519, RFC 8032 strict: canonical encodings, S < L, small-order keys refused, cofactorless. */
bool ifab_ed25519_verify(const uint8_t pubkey32[32], struct ifab_view message, const uint8_t sig64[64]);
bool ifab_ed25519_key_valid(const uint8_t pubkey32[32]); /* on the curve, canonical, not of small order */

/* A private key: locked memory, wiped, never formatted. */
struct ifab_signer;
ifab_status ifab_signer_new_random(struct ifab_signer **ret_signer, struct ifab_error *err);
ifab_status ifab_signer_from_seed(const uint8_t seed32[32], struct ifab_signer **ret_signer, struct ifab_error *err);
void ifab_signer_free(struct ifab_signer *self); /* wipes; accepts NULL */
void ifab_signer_freep(struct ifab_signer **self);
void ifab_signer_public(const struct ifab_signer *self, uint8_t ret_pubkey32[32]);
void ifab_signer_sign(const struct ifab_signer *self, struct ifab_view message, uint8_t ret_sig64[64]);
/* HMAC key bound to this private key and a purpose: HMAC(seed, "infrafabric " + purpose). For the store's head. */
void ifab_signer_derive(const struct ifab_signer *self, const char *purpose, uint8_t ret_key32[32]);

/* Key id: "k-" + first 16 hex of SHA-256 of the raw key. 18 characters and NUL. */
void ifab_key_id(const uint8_t pubkey32[32], char ret_text[19]);

/* PKCS#8 PEM (RFC 8410), passphrase = encrypted PKCS#8 (PBES2, scrypt or PBKDF2-SHA256, AES-256-CBC). passphrase.size 0 = none.
 * IFAB_DENIED: wrong or missing passphrase; IFAB_INVALID: not such a key. Text out goes into buf (wipe it). */
ifab_status ifab_key_pem_read(struct ifab_view pem, struct ifab_view passphrase, struct ifab_signer **ret_signer, struct ifab_error *err);
ifab_status ifab_key_pem_write(const struct ifab_signer *self, struct ifab_view passphrase, struct ifab_buf *pem, struct ifab_error *err);
void ifab_spki_pem_write(const uint8_t pubkey32[32], struct ifab_buf *pem);
void ifab_spki_digest(const uint8_t pubkey32[32], uint8_t ret_digest32[32]); /* SHA-256 of its DER SubjectPublicKeyInfo: as a certificate has it */
/* Public key in base64url, SPKI PEM or an "ssh-ed25519 AAAA… [comment]" line. IFAB_INVALID. */
ifab_status ifab_pubkey_read(struct ifab_view text, uint8_t ret_pubkey32[32], struct ifab_error *err);

/* C2SP signed-note: names, verifier keys "<name>+<hex8>+<base64(0x01||key)>", signer keys "PRIVATE+KEY+…". */
ifab_status ifab_note_vkey_write(struct ifab_view name, const uint8_t pubkey32[32], struct ifab_buf *text);
ifab_status ifab_note_vkey_read(struct ifab_view text, struct ifab_view *ret_name, uint8_t ret_pubkey32[32], struct ifab_error *err);
ifab_status ifab_note_skey_write(struct ifab_view name, const struct ifab_signer *key, struct ifab_buf *text); /* secret */
ifab_status ifab_note_skey_read(struct ifab_view text, struct ifab_view *ret_name, struct ifab_signer **ret_key, struct ifab_error *err);
/* text must end with '\n'. Appends text, blank line and the signature line. */
ifab_status ifab_note_sign(struct ifab_view text, struct ifab_view name, const struct ifab_signer *key, struct ifab_buf *note);
/* ret_text borrowed from note (with its last '\n'). IFAB_INVALID: malformed note; IFAB_DENIED: no good signature by that key. */
ifab_status ifab_note_verify(struct ifab_view note, struct ifab_view name, const uint8_t pubkey32[32], struct ifab_view *ret_text,
                             struct ifab_error *err);
#endif
