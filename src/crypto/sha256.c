/*
 * SHA-256 and HMAC-SHA-256. The low-level calls of libcrypto: same code and processor instructions as EVP, but no allocation, no lookup
 * of a provider and nothing that can fail, which is what a tree of hashes needs.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto_internal.h"

#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct ifab_sha256), "the caller's storage holds a context");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct ifab_sha256), "and is aligned for it");

#define BLOCK 64 /* bytes a round takes: RFC 2104 calls it B */

static SHA256_CTX *context(struct ifab_sha256 *self)
{
    return (SHA256_CTX *)(void *)self->opaque;
}

void ifab_sha256_begin(struct ifab_sha256 *self)
{
    (void)SHA256_Init(context(self)); /* these three return 1 whatever happens */
}

void ifab_sha256_add(struct ifab_sha256 *self, struct ifab_view bytes)
{
    if (bytes.size > 0)
        (void)SHA256_Update(context(self), bytes.data, bytes.size);
}

void ifab_sha256_end(struct ifab_sha256 *self, uint8_t ret_digest32[32])
{
    (void)SHA256_Final(ret_digest32, context(self));
}

void ifab_sha256_3(struct ifab_view a, struct ifab_view b, struct ifab_view c, uint8_t ret_digest32[32])
{
    struct ifab_sha256 hash;

    ifab_sha256_begin(&hash);
    ifab_sha256_add(&hash, a);
    ifab_sha256_add(&hash, b);
    ifab_sha256_add(&hash, c);
    ifab_sha256_end(&hash, ret_digest32);
}

void ifab_sha256_2(struct ifab_view a, struct ifab_view b, uint8_t ret_digest32[32])
{
    ifab_sha256_3(a, b, (struct ifab_view){NULL, 0}, ret_digest32);
}

void ifab_sha256(struct ifab_view bytes, uint8_t ret_digest32[32])
{
    ifab_sha256_3(bytes, (struct ifab_view){NULL, 0}, (struct ifab_view){NULL, 0}, ret_digest32);
}

/* RFC 2104: H(K ^ opad || H(K ^ ipad || text)), text = a || b. */
void ifab_crypto__hmac(struct ifab_view key, struct ifab_view a, struct ifab_view b, uint8_t ret_mac32[32])
{
    uint8_t pad[BLOCK] = {0}, inner32[32];
    struct ifab_sha256 hash;

    if (key.size > BLOCK)
        ifab_sha256(key, pad);
    else if (key.size > 0)
        memcpy(pad, key.data, key.size);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    ifab_sha256_begin(&hash);
    ifab_sha256_add(&hash, ifab_view_of(pad, BLOCK));
    ifab_sha256_add(&hash, a);
    ifab_sha256_add(&hash, b);
    ifab_sha256_end(&hash, inner32);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    ifab_sha256_2(ifab_view_of(pad, BLOCK), ifab_view_of(inner32, sizeof inner32), ret_mac32);
    ifab_wipe(pad, sizeof pad);
    ifab_wipe(inner32, sizeof inner32);
    ifab_wipe(&hash, sizeof hash);
}

void ifab_hmac_sha256(struct ifab_view key, struct ifab_view bytes, uint8_t ret_mac32[32])
{
    ifab_crypto__hmac(key, bytes, (struct ifab_view){NULL, 0}, ret_mac32);
}
