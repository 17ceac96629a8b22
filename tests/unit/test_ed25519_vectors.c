/* Ed25519 against Project Wycheproof and ed25519-speccheck. Here, and not beside crypto, because reading them needs JSON. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "json/json.h"

static struct ifab_arena arena;

static const struct ifab_json *load(const char *name)
{
    const struct ifab_json_limits limits = {.max_size = 16 << 20};
    const struct ifab_json *tree = NULL;
    const char *vectors = getenv("IFAB_VECTORS");
    char path[4096];
    uint8_t *text;
    size_t size;
    FILE *file;

    snprintf(path, sizeof path, "%s/ed25519/%s", vectors != NULL ? vectors : "tests/vectors", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    text = ifab_arena_alloc(&arena, 1 << 20);
    assert_non_null(text);
    size = fread(text, 1, 1 << 20, file);
    fclose(file);
    assert_int_equal(ifab_json_read(ifab_view_of(text, size), &limits, &arena, &tree, NULL), IFAB_OK);
    return tree;
}

/* Hex of any length into the arena. */
static struct ifab_view bytes_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view hex = {NULL, 0};
    uint8_t *bytes;

    assert_true(ifab_json_string(ifab_json_get(object, name), &hex));
    bytes = ifab_arena_alloc(&arena, hex.size / 2 + 1);
    assert_non_null(bytes);
    assert_int_equal(ifab_hex_decode(hex, bytes, hex.size / 2), IFAB_OK);
    return ifab_view_of(bytes, hex.size / 2);
}

static void follows_wycheproof(void **state)
{
    const struct ifab_json *groups;
    size_t valid = 0, invalid = 0;

    (void)state;
    groups = ifab_json_get(load("wycheproof_ed25519_test.json"), "testGroups");
    assert_non_null(groups);
    for (size_t g = 0; g < groups->u.array.count; g++) {
        const struct ifab_json *group = &groups->u.array.items[g], *tests = ifab_json_get(group, "tests");
        struct ifab_view key = bytes_of(ifab_json_get(group, "publicKey"), "pk");
        assert_int_equal(key.size, 32);
        for (size_t t = 0; t < tests->u.array.count; t++) {
            const struct ifab_json *test = &tests->u.array.items[t];
            struct ifab_view sig = bytes_of(test, "sig"), result = {NULL, 0};
            bool want, got;
            int64_t id = 0;
            assert_true(ifab_json_string(ifab_json_get(test, "result"), &result));
            assert_true(ifab_json_integer(ifab_json_get(test, "tcId"), &id));
            want = ifab_view_is(result, "valid");
            got = sig.size == 64 && ifab_ed25519_verify(key.data, bytes_of(test, "msg"), sig.data); /* callers hold 64 bytes by type */
            if (want != got)
                fail_msg("case %d", (int)id);
            if (want)
                valid++;
            else
                invalid++;
        }
    }
    assert_int_equal(valid + invalid, 151);
    assert_true(valid > 50 && invalid > 50);
}

static void accepts_only_case_3_of_speccheck(void **state)
{
    const struct ifab_json *cases;

    (void)state;
    cases = load("speccheck_cases.json");
    assert_int_equal(cases->type, IFAB_JSON_ARRAY);
    assert_int_equal(cases->u.array.count, 12);
    for (size_t i = 0; i < cases->u.array.count; i++) {
        const struct ifab_json *one = &cases->u.array.items[i];
        struct ifab_view key = bytes_of(one, "pub_key"), sig = bytes_of(one, "signature");
        assert_int_equal(key.size, 32);
        assert_int_equal(sig.size, 64);
        if (ifab_ed25519_verify(key.data, bytes_of(one, "message"), sig.data) != (i == 3))
            fail_msg("case %zu", i);
        if (i == 3)
            assert_true(ifab_ed25519_key_valid(key.data)); /* mixed order is no reason to refuse it */
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_wycheproof),
        cmocka_unit_test(accepts_only_case_3_of_speccheck),
    };
    int failed;

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    ifab_arena_init(&arena, 64 << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ifab_arena_fini(&arena);
    return failed;
}
