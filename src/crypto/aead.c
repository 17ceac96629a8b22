/* Authenticated encryption, keys from passphrases, sealed boxes: thin over libsodium, with the bounds that this project sets. */
#include "crypto_internal.h"

#include "crypto/secret.h"

#include <assert.h>
#include <sodium.h>

#define PASSES_MAX     16
#define MEMORY_MIN_KIB 8
#define MEMORY_MAX_KIB (1024 * 1024)
#define PURPOSE_MAX    64
#define CONTEXT_MAX    64

_Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == IFAB_AEAD_KEY && crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == IFAB_AEAD_NONCE &&
                   crypto_aead_xchacha20poly1305_ietf_ABYTES == IFAB_AEAD_TAG,
               "the sizes of the header");
_Static_assert(crypto_box_SEALBYTES == IFAB_BOX_OVERHEAD && crypto_box_SECRETKEYBYTES == 32 && crypto_box_PUBLICKEYBYTES == 32,
               "the sizes of the header");

static const uint8_t nothing[1];

static const uint8_t *bytes_of(struct ifab_view view) { return view.size > 0 ? view.data : nothing; }

void ifab_aead_seal(const uint8_t key32[32], const uint8_t nonce24[24], struct ifab_view associated, struct ifab_view plain, uint8_t *ret_sealed)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(ret_sealed, NULL, bytes_of(plain), plain.size, bytes_of(associated), associated.size, NULL, nonce24,
                                               key32);
}

ifab_status ifab_aead_open(const uint8_t key32[32], const uint8_t nonce24[24], struct ifab_view associated, struct ifab_view sealed,
                           uint8_t *ret_plain)
{
    uint8_t none[1]; /* an empty text has no place of its own */
    if (sealed.size < IFAB_AEAD_TAG)
        return IFAB_DENIED;
    size_t size = sealed.size - IFAB_AEAD_TAG;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(size > 0 ? ret_plain : none, NULL, NULL, sealed.data, sealed.size, bytes_of(associated),
                                                   associated.size, nonce24, key32) == 0)
        return IFAB_OK;
    ifab_wipe(ret_plain, size);
    return IFAB_DENIED;
}

ifab_status ifab_passphrase_key(struct ifab_view passphrase, const uint8_t salt16[16], uint32_t passes, uint32_t memory_kib, uint8_t ret_key32[32],
                                struct ifab_error *err)
{
    _Static_assert(crypto_pwhash_SALTBYTES == 16, "salt of 16 bytes");
    if (passes == 0 || passes > PASSES_MAX || memory_kib < MEMORY_MIN_KIB || memory_kib > MEMORY_MAX_KIB)
        return ifab_fail(err, IFAB_INVALID, "Argon2id with %u passes over %u KiB is outside of what is taken (1..%d, %d..%d)", passes, memory_kib,
                         PASSES_MAX, MEMORY_MIN_KIB, MEMORY_MAX_KIB);
    if (crypto_pwhash(ret_key32, 32, (const char *)bytes_of(passphrase), passphrase.size, salt16, passes, (size_t)memory_kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return ifab_fail(err, IFAB_NOMEM, "Argon2id needs %u KiB of memory", memory_kib);
    return IFAB_OK;
}

void ifab_subkey(const uint8_t key32[32], const char *purpose, struct ifab_view context, uint8_t ret_key32[32])
{
    uint8_t text[16 + PURPOSE_MAX + CONTEXT_MAX], *at = text;
    assert(strlen(purpose) <= PURPOSE_MAX && context.size <= CONTEXT_MAX);
    ifab_put_bytes(&at, "infrafabric ", 12);
    ifab_put_bytes(&at, purpose, strlen(purpose));
    ifab_put_u8(&at, '\n');
    ifab_put_bytes(&at, context.data, context.size);
    ifab_hmac_sha256(ifab_view_of(key32, 32), ifab_view_of(text, (size_t)(at - text)), ret_key32);
}

void ifab_box_keypair(uint8_t ret_secret32[32], uint8_t ret_public32[32]) { crypto_box_keypair(ret_public32, ret_secret32); }

ifab_status ifab_box_seal(const uint8_t public32[32], struct ifab_view plain, uint8_t *ret_sealed)
{
    return crypto_box_seal(ret_sealed, bytes_of(plain), plain.size, public32) == 0 ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_box_open(const uint8_t secret32[32], const uint8_t public32[32], struct ifab_view sealed, uint8_t *ret_plain)
{
    uint8_t none[1];
    if (sealed.size < IFAB_BOX_OVERHEAD)
        return IFAB_DENIED;
    size_t size = sealed.size - IFAB_BOX_OVERHEAD;
    if (crypto_box_seal_open(size > 0 ? ret_plain : none, sealed.data, sealed.size, public32, secret32) == 0)
        return IFAB_OK;
    ifab_wipe(ret_plain, size);
    return IFAB_DENIED;
}
