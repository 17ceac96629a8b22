/*
 * Ed25519 verification, RFC 8032 strict. libsodium is the one packaged library that refuses small-order keys and S >= L, so nothing
 * else verifies here (DESIGN section 8).
 */
#include "crypto_internal.h"

#include <sodium.h>

bool ifab_ed25519_verify(const uint8_t pubkey32[32], struct ifab_view message, const uint8_t sig64[64])
{
    static const uint8_t nothing[1];

    return crypto_sign_verify_detached(sig64, message.size > 0 ? message.data : nothing, message.size, pubkey32) == 0;
}

/*
 * Adding the neutral element decodes the point, checks that it lies on the curve and encodes it again: equal bytes mean that the
 * encoding was canonical (y < p, no negative zero). Doubling three times ends at the neutral element exactly for the eight points of small
 * order. Not crypto_core_ed25519_is_valid_point(): it also refuses keys outside the prime-order group, whose signatures RFC 8032 accepts.
 */
bool ifab_ed25519_key_valid(const uint8_t pubkey32[32])
{
    static const uint8_t neutral32[32] = {1};
    uint8_t point32[32], twice32[32];

    if (crypto_core_ed25519_add(point32, pubkey32, neutral32) != 0 || memcmp(point32, pubkey32, 32) != 0)
        return false;
    for (int i = 0; i < 3; i++) {
        if (crypto_core_ed25519_add(twice32, point32, point32) != 0)
            return false;
        memcpy(point32, twice32, 32);
    }
    return memcmp(point32, neutral32, 32) != 0;
}

void ifab_key_id(const uint8_t pubkey32[32], char ret_text[19])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest32[32];

    ifab_sha256(ifab_view_of(pubkey32, 32), digest32);
    ret_text[0] = 'k';
    ret_text[1] = '-';
    for (size_t i = 0; i < 8; i++) {
        ret_text[2 + 2 * i] = digits[digest32[i] >> 4];
        ret_text[3 + 2 * i] = digits[digest32[i] & 15];
    }
    ret_text[18] = '\0';
}
