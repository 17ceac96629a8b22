/* The body of a checkpoint: exact bytes, one spelling, truncation at each byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "crypto/crypto.h"
#include "witness/witness.h"

#define GOOD "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

static void reads_and_writes_the_example_of_the_specification(void **state)
{
    struct ifab_checkpoint read;
    struct ifab_buf text = IFAB_BUF_INIT(1000);

    (void)state;
    assert_int_equal(ifab_checkpoint_read(IFAB_VIEW(GOOD), &read, NULL), IFAB_OK);
    assert_true(ifab_view_is(read.origin, "example.com/behind-the-sofa"));
    assert_true(read.size == 20852163);
    assert_int_equal(read.root32[0], 0x0a);
    assert_int_equal(read.root32[31], 0x62);
    assert_int_equal(ifab_checkpoint_write(&read, &text), IFAB_OK);
    assert_true(ifab_view_is(ifab_buf_as_view(&text), GOOD));
    ifab_buf_fini(&text);
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof GOOD - 1; size++) {
        struct ifab_checkpoint read = {.size = 77};
        uint8_t *cut = ifab_malloc(size + 1);
        memcpy(cut, GOOD, size);
        assert_int_equal(ifab_checkpoint_read(ifab_view_of(cut, size), &read, NULL), IFAB_INVALID);
        assert_true(read.size == 77);
        ifab_free(cut);
    }
}

static void refuses_other_spellings(void **state)
{
    static const char root[] = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    const struct {
        const char *origin, *size, *root, *rest;
        ifab_status status;
    } rows[] = {
        {"a\n", "0\n", root, "\n", IFAB_OK},
        {"a\n", "999999999999999999\n", root, "\n", IFAB_OK},
        {"a\n", "1000000000000000000\n", root, "\n", IFAB_INVALID},
        {"\n", "1\n", root, "\n", IFAB_INVALID},
        {"a\x7f\n", "1\n", root, "\n", IFAB_INVALID},
        {"a\tb\n", "1\n", root, "\n", IFAB_INVALID},
        {"a\xff\n", "1\n", root, "\n", IFAB_INVALID},
        {"a\n", "\n", root, "\n", IFAB_INVALID},
        {"a\n", "01\n", root, "\n", IFAB_INVALID},
        {"a\n", "+1\n", root, "\n", IFAB_INVALID},
        {"a\n", "-1\n", root, "\n", IFAB_INVALID},
        {"a\n", "1 \n", root, "\n", IFAB_INVALID},
        {"a\n", "0x1\n", root, "\n", IFAB_INVALID},
        {"a\n", "1\n", "CsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=", "\n", IFAB_INVALID},
        {"a\n", "1\n", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I", "\n", IFAB_INVALID},
        {"a\n", "1\n", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=", "\n", IFAB_INVALID}, /* unused bits */
        {"a\n", "1\n", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==", "\n", IFAB_INVALID},
        {"a\n", "1\n", "", "\n", IFAB_INVALID},
        {"a\n", "1\n", root, "\nextension\n", IFAB_INVALID},
        {"a\n", "1\n", root, "\n\n", IFAB_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_buf text = IFAB_BUF_INIT(1000);
        struct ifab_checkpoint read;
        ifab_buf_str(&text, rows[i].origin);
        ifab_buf_str(&text, rows[i].size);
        ifab_buf_str(&text, rows[i].root);
        ifab_buf_str(&text, rows[i].rest);
        if (ifab_checkpoint_read(ifab_buf_as_view(&text), &read, NULL) != rows[i].status)
            fail_msg("row %zu", i);
        ifab_buf_fini(&text);
    }
}

static void bounds_the_origin(void **state)
{
    char origin[257];
    struct ifab_buf text = IFAB_BUF_INIT(1000);
    struct ifab_checkpoint checkpoint = {0}, read;

    (void)state;
    memset(origin, 'o', sizeof origin);
    checkpoint.origin = ifab_view_of(origin, 255);
    assert_int_equal(ifab_checkpoint_write(&checkpoint, &text), IFAB_OK);
    assert_int_equal(ifab_checkpoint_read(ifab_buf_as_view(&text), &read, NULL), IFAB_OK);
    checkpoint.origin.size = 256;
    assert_int_equal(ifab_checkpoint_write(&checkpoint, &text), IFAB_INVALID);
    checkpoint.origin = IFAB_VIEW("a\nb"); /* would smuggle a line in */
    assert_int_equal(ifab_checkpoint_write(&checkpoint, &text), IFAB_INVALID);
    checkpoint.origin.size = 0;
    assert_int_equal(ifab_checkpoint_write(&checkpoint, &text), IFAB_INVALID);
    ifab_buf_fini(&text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_the_example_of_the_specification),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_other_spellings),
        cmocka_unit_test(bounds_the_origin),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
