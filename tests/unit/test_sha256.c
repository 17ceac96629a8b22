/* SHA-256 and HMAC against published answers (FIPS 180-4 examples, RFC 4231), streaming against one call, keyed tags. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"

static void assert_hex(const uint8_t *bytes, size_t size, const char *hex)
{
    uint8_t want[64];

    assert_int_equal(ifab_hex_decode(ifab_view_str(hex), want, size), IFAB_OK);
    assert_memory_equal(bytes, want, size);
}

static void hashes_the_published_examples(void **state)
{
    static const struct {
        const char *text, *digest;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        uint8_t digest32[32];
        ifab_sha256(ifab_view_str(rows[i].text), digest32);
        assert_hex(digest32, 32, rows[i].digest);
    }
}

static void hashes_a_million_bytes_in_pieces(void **state)
{
    struct ifab_sha256 hash;
    uint8_t digest32[32], piece[1000];

    (void)state;
    memset(piece, 'a', sizeof piece);
    ifab_sha256_begin(&hash);
    for (int i = 0; i < 1000; i++)
        ifab_sha256_add(&hash, ifab_view_of(piece, sizeof piece));
    ifab_sha256_end(&hash, digest32);
    assert_hex(digest32, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void gives_the_same_digest_however_the_bytes_are_cut(void **state)
{
    uint8_t bytes[200], whole32[32], two32[32], three32[32], streamed32[32];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    ifab_sha256(ifab_view_of(bytes, sizeof bytes), whole32);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        struct ifab_view a = ifab_view_of(bytes, cut), b = ifab_view_of(bytes + cut, sizeof bytes - cut);
        struct ifab_sha256 hash;
        size_t half = b.size / 2;
        ifab_sha256_2(a, b, two32);
        assert_memory_equal(two32, whole32, 32);
        ifab_sha256_3(a, ifab_view_of(b.data, half), ifab_view_of(b.data + half, b.size - half), three32);
        assert_memory_equal(three32, whole32, 32);
        ifab_sha256_begin(&hash);
        ifab_sha256_add(&hash, a);
        ifab_sha256_add(&hash, b);
        ifab_sha256_end(&hash, streamed32);
        assert_memory_equal(streamed32, whole32, 32);
    }
}

static void makes_the_macs_of_rfc_4231(void **state)
{
    uint8_t key[131], text[152], mac32[32];

    (void)state;
    memset(key, 0x0b, 20); /* case 1 */
    ifab_hmac_sha256(ifab_view_of(key, 20), IFAB_VIEW("Hi There"), mac32);
    assert_hex(mac32, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    ifab_hmac_sha256(IFAB_VIEW("Jefe"), IFAB_VIEW("what do ya want for nothing?"), mac32); /* case 2 */
    assert_hex(mac32, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 20); /* case 3 */
    memset(text, 0xdd, 50);
    ifab_hmac_sha256(ifab_view_of(key, 20), ifab_view_of(text, 50), mac32);
    assert_hex(mac32, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    memset(key, 0xaa, 131); /* case 6: key longer than a block */
    ifab_hmac_sha256(ifab_view_of(key, 131), IFAB_VIEW("Test Using Larger Than Block-Size Key - Hash Key First"), mac32);
    assert_hex(mac32, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    ifab_hmac_sha256((struct ifab_view){NULL, 0}, (struct ifab_view){NULL, 0}, mac32); /* nothing at all */
    assert_hex(mac32, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void tags_with_siphash_2_4_128(void **state)
{
    uint8_t key16[16], text[15], tag16[16];

    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        key16[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        text[i] = i;
    ifab_tag16(key16, (struct ifab_view){NULL, 0}, tag16); /* the reference implementation's vectors for 0 and 15 bytes */
    assert_hex(tag16, 16, "a3817f04ba25a8e66df67214c7550293");
    ifab_tag16(key16, ifab_view_of(text, 15), tag16);
    assert_hex(tag16, 16, "5493e99933b0a8117e08ec0f97cfc3d9");
}

static void compares_and_wipes(void **state)
{
    uint8_t a[40], b[40];

    (void)state;
    ifab_random(a, sizeof a);
    memcpy(b, a, sizeof b);
    assert_true(ifab_equal_ct(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= 1;
        assert_false(ifab_equal_ct(a, b, sizeof a));
        b[i] ^= 1;
    }
    assert_true(ifab_equal_ct(NULL, NULL, 0));
    ifab_wipe(a, sizeof a);
    for (size_t i = 0; i < sizeof a; i++)
        assert_int_equal(a[i], 0);
    ifab_random(a, sizeof a);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_the_published_examples),
        cmocka_unit_test(hashes_a_million_bytes_in_pieces),
        cmocka_unit_test(gives_the_same_digest_however_the_bytes_are_cut),
        cmocka_unit_test(makes_the_macs_of_rfc_4231),
        cmocka_unit_test(tags_with_siphash_2_4_128),
        cmocka_unit_test(compares_and_wipes),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
