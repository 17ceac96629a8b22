/*
 * Forgery by mutation: a signed manifest is changed at random. Whatever is still read and still verifies under the publisher's key says the very same:
 * it has the same canonical form. IFAB_MUTATIONS (50,000) and IFAB_SEED set the run. INV-02, INV-07.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "capability/manifest.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 4096
static const char plain[] =
    "{\"id\":\"if://capability/vmix.switcher\",\"version\":\"1.1.0\",\"summary\":\"Caf\\u00e9\",\"entrypoint\":{\"module\":\"vmix/switcher.wasm\",\"sha256\":"
    "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"size\":1234,\"abi\":1},\"operations\":{\"take\":{\"params\":{\"type\":"
    "\"object\",\"properties\":{\"scene\":{\"type\":\"string\",\"maxLength\":5,\"default\":\"a\"}}},\"effect\":\"physical\"}},\"imports\":[\"log\",\"http\"],"
    "\"http\":[{\"scheme\":\"https\",\"host\":\"a.example\",\"path\":\"/api/*\",\"methods\":[\"GET\"]}],\"limits\":{\"rps\":3,\"burst\":6}}";
static uint64_t state64;

static size_t roll(size_t below)
{
    state64 += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    uint64_t z = state64;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ (z >> 31)) % below);
}

static void sign_with(void *user, struct ifab_view bytes, uint8_t ret_sig64[64])
{
    ifab_signer_sign(user, bytes, ret_sig64);
}

/* One of: a bit, a byte from elsewhere in it, a piece taken out, doubled, moved, a blank put in. */
static size_t mutate(uint8_t *text, size_t size)
{
    size_t at = roll(size), from = roll(size), length = 1 + roll(24);
    length = at + length > size ? size - at : length;
    switch (roll(6)) {
    case 0:
        text[at] ^= (uint8_t)(1U << roll(8));
        return size;
    case 1:
        text[at] = text[from];
        return size;
    case 2:
        memmove(text + at, text + at + length, size - at - length);
        return size - length;
    case 3:
        if (size + length > ROOM)
            return size;
        memmove(text + at + length, text + at, size - at);
        return size + length;
    case 4:
        for (size_t i = 0; i < length && from + i < size; i++)
            text[at + i] = text[from + i];
        return size;
    default:
        if (size == ROOM)
            return size;
        memmove(text + at + 1, text + at, size - at);
        text[at] = ' ';
        return size + 1;
    }
}

static void nothing_but_the_same_passes(void **unused)
{
    (void)unused;
    const char *count_text = getenv("IFAB_MUTATIONS"), *seed_text = getenv("IFAB_SEED");
    size_t count = count_text == NULL ? 50000 : strtoul(count_text, NULL, 10), passed = 0, read = 0;
    static uint8_t seed32[32] = {7}, key32[32], text[ROOM];
    struct ifab_signer *signer;
    struct ifab_manifest original, changed;
    struct ifab_arena arena, other;
    struct ifab_refusal refusal;
    struct ifab_buf whole = IFAB_BUF_INIT(ROOM);
    state64 = seed_text == NULL ? 42 : strtoull(seed_text, NULL, 10);
    printf("# seed %llu\n", (unsigned long long)state64);
    assert_int_equal(ifab_signer_from_seed(seed32, &signer, NULL), IFAB_OK);
    ifab_signer_public(signer, key32);
    ifab_arena_init(&arena, IFAB_MANIFEST_ARENA_MAX);
    ifab_arena_init(&other, IFAB_MANIFEST_ARENA_MAX);
    assert_int_equal(ifab_manifest_read(ifab_view_str(plain), &arena, &original, &refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_sign(&original, key32, sign_with, signer, &whole, NULL), IFAB_OK);
    assert_int_equal(ifab_manifest_read(ifab_buf_as_view(&whole), &arena, &original, &refusal), IFAB_CODE_NONE);
    for (size_t i = 0; i < count; i++) {
        size_t size = whole.size, times = 1 + roll(2);
        memcpy(text, whole.data, size);
        while (times-- > 0 && size > 0)
            size = mutate(text, size);
        ifab_arena_reset(&other);
        if (ifab_manifest_read(ifab_view_of(text, size), &other, &changed, &refusal) != IFAB_CODE_NONE)
            continue;
        read++;
        if (ifab_manifest_verify(&changed, key32, &refusal) != IFAB_CODE_NONE)
            continue;
        passed++;
        if (!ifab_view_equal(changed.canonical, original.canonical) || memcmp(changed.digest32, original.digest32, 32) != 0)
            fail_msg("mutation %zu passed as another manifest: %.*s", i, (int)size, (const char *)text);
    }
    printf("# %zu mutations, %zu read, %zu the same in another spelling\n", count, read, passed);
    assert_true(count < 10000 || (passed > 0 && read > passed)); /* or nothing was tried */
    ifab_arena_fini(&arena);
    ifab_arena_fini(&other);
    ifab_buf_fini(&whole);
    ifab_signer_free(signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_but_the_same_passes)};
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
