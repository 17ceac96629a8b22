/* Ed25519 against RFC 8032 section 7.1, keys that no one may use, the signer. Wycheproof and speccheck: test_ed25519_vectors.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"

static const struct {
    const char *seed, *key, *message, *sig;
} rfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
     "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static struct ifab_view hex(const char *text, uint8_t *bytes)
{
    assert_int_equal(ifab_hex_decode(ifab_view_str(text), bytes, strlen(text) / 2), IFAB_OK);
    return ifab_view_of(bytes, strlen(text) / 2);
}

static void signs_and_verifies_the_vectors_of_rfc_8032(void **state)
{
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rfc8032); i++) {
        uint8_t seed[32], key[32], bytes[8], sig[64], made[64], public32[32];
        struct ifab_view message = hex(rfc8032[i].message, bytes);
        struct ifab_signer *signer = NULL;
        hex(rfc8032[i].seed, seed);
        hex(rfc8032[i].key, key);
        hex(rfc8032[i].sig, sig);
        assert_int_equal(ifab_signer_from_seed(seed, &signer, NULL), IFAB_OK);
        ifab_signer_public(signer, public32);
        assert_memory_equal(public32, key, 32);
        ifab_signer_sign(signer, message, made);
        assert_memory_equal(made, sig, 64);
        assert_true(ifab_ed25519_key_valid(key));
        assert_true(ifab_ed25519_verify(key, message, sig));
        for (size_t bit = 0; bit < 512; bit++) { /* INV-02: no other signature passes */
            sig[bit / 8] ^= (uint8_t)(1U << (bit % 8));
            assert_false(ifab_ed25519_verify(key, message, sig));
            sig[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        }
        for (size_t bit = 0; bit < 256; bit++) {
            key[bit / 8] ^= (uint8_t)(1U << (bit % 8));
            assert_false(ifab_ed25519_verify(key, message, sig));
            key[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        }
        ifab_signer_freep(&signer);
        assert_null(signer);
    }
}

static void refuses_keys_of_small_order_and_other_encodings(void **state)
{
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000", /* order 4 */
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000", /* order 1 */
        "0100000000000000000000000000000000000000000000000000000000000080", /* negative zero */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* order 2 */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", /* order 8 */
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* y = p: not canonical */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0200000000000000000000000000000000000000000000000000000000000000", /* not on the curve */
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        uint8_t key[32], sig[64] = {1};
        hex(bad[i], key);
        assert_false(ifab_ed25519_key_valid(key));
        assert_false(ifab_ed25519_verify(key, IFAB_VIEW("x"), sig));
    }
}

static void makes_keys_that_differ_and_derives_by_purpose(void **state)
{
    struct ifab_signer *a = NULL, *b = NULL;
    uint8_t ka[32], kb[32], sig[64], head[32], head_again[32], other[32], of_b[32];

    (void)state;
    assert_int_equal(ifab_signer_new_random(&a, NULL), IFAB_OK);
    assert_int_equal(ifab_signer_new_random(&b, NULL), IFAB_OK);
    ifab_signer_public(a, ka);
    ifab_signer_public(b, kb);
    assert_memory_not_equal(ka, kb, 32);
    assert_true(ifab_ed25519_key_valid(ka));
    ifab_signer_sign(a, IFAB_VIEW("hello"), sig);
    assert_true(ifab_ed25519_verify(ka, IFAB_VIEW("hello"), sig));
    assert_false(ifab_ed25519_verify(ka, IFAB_VIEW("hellp"), sig));
    assert_false(ifab_ed25519_verify(kb, IFAB_VIEW("hello"), sig));
    ifab_signer_derive(a, "head", head);
    ifab_signer_derive(a, "head", head_again);
    ifab_signer_derive(a, "heads", other);
    ifab_signer_derive(b, "head", of_b);
    assert_memory_equal(head, head_again, 32);
    assert_memory_not_equal(head, other, 32);
    assert_memory_not_equal(head, of_b, 32);
    ifab_signer_free(a);
    ifab_signer_free(b);
    ifab_signer_free(NULL);
}

static void derives_by_hmac_of_the_seed(void **state)
{
    uint8_t seed[32], want[32], got[32];
    struct ifab_signer *signer = NULL;

    (void)state;
    hex(rfc8032[0].seed, seed);
    assert_int_equal(ifab_signer_from_seed(seed, &signer, NULL), IFAB_OK);
    ifab_hmac_sha256(ifab_view_of(seed, 32), IFAB_VIEW("infrafabric head"), want);
    ifab_signer_derive(signer, "head", got);
    assert_memory_equal(got, want, 32);
    ifab_signer_free(signer);
}

static void says_when_memory_is_out(void **state)
{
    struct ifab_signer *signer = NULL;

    (void)state;
    ifab_mem_fail_at(1);
    assert_int_equal(ifab_signer_new_random(&signer, NULL), IFAB_NOMEM);
    assert_null(signer);
    ifab_mem_fail_at(0);
}

static void names_a_key_by_its_digest(void **state)
{
    uint8_t key[32];
    size_t size = 0;
    char id[19];

    (void)state;
    assert_int_equal(ifab_base64url_decode(IFAB_VIEW("3jISCrU5OdlQliDzgzsa6Q4sBBvcDDnI4785e0uVHsk"), key, sizeof key, &size), IFAB_OK);
    ifab_key_id(key, id);
    assert_string_equal(id, "k-59d0a0f6cf9bdcdb");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_and_verifies_the_vectors_of_rfc_8032),
        cmocka_unit_test(refuses_keys_of_small_order_and_other_encodings),
        cmocka_unit_test(makes_keys_that_differ_and_derives_by_purpose),
        cmocka_unit_test(derives_by_hmac_of_the_seed),
        cmocka_unit_test(says_when_memory_is_out),
        cmocka_unit_test(names_a_key_by_its_digest),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
