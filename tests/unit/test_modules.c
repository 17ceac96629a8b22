/* Modules that calls have read: found by manifest, bounded by number and by bytes, the longest unused first to go. INV-12 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/modules.h"
#include "crypto/crypto.h"
#include "guest/guest.h"
#include "support.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)

static struct modules modules;

static int tear_down(void **state)
{
    (void)state;
    modules_free(&modules);
    assert_int_equal(modules.bytes, 0);
    return 0;
}

static const uint8_t *digest(unsigned number)
{
    static uint8_t digest32[32];
    digest32[0] = (uint8_t)(number >> 8);
    digest32[31] = (uint8_t)number;
    return digest32;
}

/* What it says of itself; its bytes are a few. */
static const struct call_module *put(unsigned number, uint64_t size)
{
    struct ifab_module about = {.size = size};
    struct ifab_chassis_module *bytes = NULL;
    struct ifab_view wasm = IFAB_VIEW("\0asm\1\0\0\0");
    ifab_sha256(wasm, about.sha256);
    assert_int_equal(ifab_guests_module(wasm, about.sha256, &bytes, NULL), IFAB_OK);
    return modules_put(&modules, digest(number), &about, bytes);
}

static bool there(unsigned number) /* without using it */
{
    for (size_t i = 0; i < MODULES_MAX; i++)
        if (modules.rows[i].bytes != NULL && memcmp(modules.rows[i].manifest32, digest(number), 32) == 0)
            return true;
    return false;
}

static void one_is_found_by_its_manifest(void **state)
{
    (void)state;
    assert_null(modules_find(&modules, digest(1)));
    const struct call_module *one = put(1, 10);
    assert_ptr_equal(modules_find(&modules, digest(1)), one);
    assert_null(modules_find(&modules, digest(2)));
    assert_ptr_equal(put(1, 10), one); /* read twice at once: the first stays */
    assert_int_equal(modules.bytes, 10);
    modules_drop(&modules, &modules.rows[0]);
    assert_null(modules_find(&modules, digest(1)));
    assert_int_equal(modules.bytes, 0);
}

static void so_many_and_the_longest_unused_goes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MODULES_MAX; i++)
        (void)put(i, 1);
    (void)modules_find(&modules, digest(0));
    (void)put(100, 1);
    assert_true(there(0) && !there(1) && there(2) && there(100));
    assert_int_equal(modules.bytes, MODULES_MAX);
}

static void so_many_bytes_and_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        (void)put(i, 50 * MIB);
    assert_int_equal(modules.bytes, 250 * MIB);
    (void)put(5, 6 * MIB); /* exactly full */
    assert_true(there(0) && modules.bytes == MODULES_BYTES_MAX);
    (void)modules_find(&modules, digest(0));
    (void)put(6, 1); /* one byte more: the longest unused goes, and no other */
    assert_true(there(0) && !there(1) && there(2) && there(5) && there(6));
    assert_int_equal(modules.bytes, 206 * MIB + 1);
    (void)put(7, 150 * MIB); /* as many as it takes */
    assert_true(!there(2) && !there(3) && there(4) == false && there(0) && there(7));
    assert_true(modules.bytes <= MODULES_BYTES_MAX);
    (void)put(8, MODULES_BYTES_MAX);
    assert_true(there(8) && !there(0) && !there(7) && modules.bytes == MODULES_BYTES_MAX);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
static const struct CMUnitTest tests[] = {TEST(one_is_found_by_its_manifest), TEST(so_many_and_the_longest_unused_goes), TEST(so_many_bytes_and_no_more)};
TEST_MAIN(tests)
