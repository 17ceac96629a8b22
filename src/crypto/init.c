/* Start of the provider, randomness, and the few helpers that must not be optimised away. */
#include "crypto/crypto.h"

#include <sodium.h>

ifab_status ifab_crypto_init_late(struct ifab_error *err)
{
    if (sodium_init() < 0) /* 1: it ran before, which is fine */
        return ifab_fail(err, IFAB_INTERNAL, "libsodium does not start");
    return IFAB_OK;
}

/* A library that was swapped or built wrong is found here, not in the first log that does not verify. */
ifab_status ifab_crypto_check_hash(struct ifab_error *err)
{
    static const uint8_t empty32[32] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                        0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    uint8_t digest32[32];
    ifab_sha256(IFAB_VIEW(""), digest32);
    if (memcmp(digest32, empty32, sizeof digest32) != 0)
        return ifab_fail(err, IFAB_INTERNAL, "libcrypto's SHA-256 gives a wrong answer");
    return IFAB_OK;
}

ifab_status ifab_crypto_init(struct ifab_error *err)
{
    IFAB_TRY(ifab_crypto_init_late(err));
    return ifab_crypto_check_hash(err);
}

void ifab_random(void *ret_bytes, size_t size)
{
    randombytes_buf(ret_bytes, size); /* getrandom(); ends the process when the kernel has none */
}

void ifab_wipe(void *bytes, size_t size)
{
    if (size > 0)
        sodium_memzero(bytes, size);
}

bool ifab_equal_ct(const void *a, const void *b, size_t size)
{
    return size == 0 || sodium_memcmp(a, b, size) == 0;
}

void ifab_tag16(const uint8_t key16[16], struct ifab_view bytes, uint8_t ret_tag16[16])
{
    _Static_assert(crypto_shorthash_siphashx24_BYTES == 16 && crypto_shorthash_siphashx24_KEYBYTES == 16, "tag of 16 bytes");
    static const uint8_t nothing[1];

    crypto_shorthash_siphashx24(ret_tag16, bytes.size > 0 ? bytes.data : nothing, bytes.size, key16);
}
