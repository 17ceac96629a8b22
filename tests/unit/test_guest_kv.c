/* What capabilities keep for talents: every bound, what is full, and what goes with a revocation. INV-07, INV-08 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/guest/guest_internal.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

#define TENANTS 80
#define MIB     ((size_t)1 << 20)

static struct ifab_guests guests;
static struct running who[TENANTS];
static struct guest_spec specs[TENANTS];
static char names[TENANTS][32];
static uint8_t bytes[65537];

static int set_up(void **state)
{
    (void)state;
    memset(&guests, 0, sizeof guests);
    ifab_map_init(&guests.kv, 1);
    ifab_map_init(&guests.kv_tenants, 2);
    memset(bytes, 'v', sizeof bytes);
    for (unsigned i = 0; i < TENANTS; i++) { /* two talents a manifest */
        who[i] = (struct running){.guests = &guests, .talent_number = 1 + i % 2};
        specs[i].manifest.digest32[0] = (uint8_t)(i / 2);
        who[i].spec = &specs[i];
        snprintf(names[i], sizeof names[i], "%u/%016x", 1 + i % 2, i / 2);
        who[i].tenant = ifab_view_str(names[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ifab_guest__kv_free(&guests);
    assert_int_equal(guests.kv_total, 0);
    return 0;
}

static enum ifab_host_status put(unsigned tenant, unsigned key, size_t size)
{
    char text[16];
    snprintf(text, sizeof text, "key%u", key);
    return ifab_guest__kv_put(&guests, &who[tenant], ifab_view_str(text), ifab_view_of(bytes, size));
}

static enum ifab_host_status get(unsigned tenant, unsigned key, size_t *ret_size)
{
    char text[16];
    struct ifab_view value = {NULL, 0};
    snprintf(text, sizeof text, "key%u", key);
    enum ifab_host_status status = ifab_guest__kv_get(&guests, who[tenant].tenant, ifab_view_str(text), &value);
    *ret_size = value.size;
    return status;
}

static void what_is_kept_is_found_by_its_own_alone(void **state)
{
    size_t size;
    (void)state;
    assert_int_equal(get(0, 1, &size), IFAB_HOST_NOT_FOUND);
    assert_int_equal(put(0, 1, 10), IFAB_HOST_OK);
    assert_int_equal(put(0, 1, 20), IFAB_HOST_OK); /* replaced */
    assert_int_equal(get(0, 1, &size), IFAB_HOST_OK);
    assert_int_equal(size, 20);
    assert_int_equal(guests.kv_total, 20);
    assert_int_equal(get(1, 1, &size), IFAB_HOST_NOT_FOUND); /* another talent */
    assert_int_equal(get(2, 1, &size), IFAB_HOST_NOT_FOUND); /* another manifest */
    assert_int_equal(put(0, 2, 0), IFAB_HOST_OK); /* removes what is not there */
    assert_int_equal(put(0, 1, 0), IFAB_HOST_OK);
    assert_int_equal(get(0, 1, &size), IFAB_HOST_NOT_FOUND);
    assert_null(guests.kv_first);
    assert_int_equal(guests.kv_tenants.count, 0);
    assert_int_equal(ifab_guest__kv_put(&guests, &who[0], IFAB_VIEW(""), IFAB_VIEW("v")), IFAB_HOST_REFUSED);
    assert_int_equal(ifab_guest__kv_put(&guests, &who[0], ifab_view_of(bytes, 129), IFAB_VIEW("v")), IFAB_HOST_REFUSED);
    assert_int_equal(ifab_guest__kv_put(&guests, &who[0], ifab_view_of(bytes, 128), IFAB_VIEW("v")), IFAB_HOST_OK);
    assert_int_equal(put(0, 1, 65537), IFAB_HOST_TOO_LARGE);
}

static void one_keeps_no_more_than_its_share(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(put(0, i, 1), IFAB_HOST_OK);
    assert_int_equal(put(0, 256, 1), IFAB_HOST_LIMITED);
    assert_int_equal(put(0, 255, 0), IFAB_HOST_OK);
    assert_int_equal(put(0, 256, 1), IFAB_HOST_OK);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(put(1, i, 65536), IFAB_HOST_OK);
    assert_int_equal(put(1, 16, 1), IFAB_HOST_LIMITED);
    assert_int_equal(put(1, 0, 65535), IFAB_HOST_OK); /* one byte less makes room for one */
    assert_int_equal(put(1, 16, 1), IFAB_HOST_OK);
    assert_int_equal(put(1, 17, 1), IFAB_HOST_LIMITED);
}

static void all_together_keep_64_mib(void **state)
{
    (void)state;
    for (unsigned tenant = 0; tenant < 64; tenant++)
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(put(tenant, i, 65536), IFAB_HOST_OK);
    assert_int_equal(guests.kv_total, 64 * MIB);
    assert_int_equal(put(64, 0, 1), IFAB_HOST_LIMITED); /* its own share is empty; the whole is full */
    assert_int_equal(put(3, 0, 65536), IFAB_HOST_OK);   /* the same size again is no more */
    assert_int_equal(put(3, 0, 65000), IFAB_HOST_OK);
    assert_int_equal(put(64, 0, 536), IFAB_HOST_OK);
    assert_int_equal(put(64, 1, 1), IFAB_HOST_LIMITED);
    assert_int_equal(guests.kv_total, 64 * MIB);
}

static bool good(void *user, uint32_t talent, const uint8_t manifest32[32])
{
    const int *bad = user; /* a talent, a manifest */
    return (int)talent != bad[0] && (int)manifest32[0] != bad[1];
}

static void what_is_revoked_is_forgotten(void **state)
{
    int none[2] = {-1, -1}, manifest[2] = {-1, 1}, talent[2] = {2, -1};
    size_t size;
    (void)state;
    for (unsigned tenant = 0; tenant < 6; tenant++)
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(put(tenant, i, 100 + tenant), IFAB_HOST_OK);
    uint64_t before = guests.kv_total;
    ifab_guests_recheck(&guests, good, none);
    assert_int_equal(guests.kv_total, before);
    ifab_guests_recheck(&guests, good, manifest); /* tenants 2 and 3 */
    for (unsigned tenant = 0; tenant < 6; tenant++)
        assert_int_equal(get(tenant, 1, &size), tenant / 2 == 1 ? IFAB_HOST_NOT_FOUND : IFAB_HOST_OK);
    assert_int_equal(guests.kv_total, before - (uint64_t)3 * (102 + 103));
    ifab_guests_recheck(&guests, good, talent); /* 1, 5 */
    for (unsigned tenant = 0; tenant < 6; tenant++)
        assert_int_equal(get(tenant, 2, &size), tenant == 0 || tenant == 4 ? IFAB_HOST_OK : IFAB_HOST_NOT_FOUND);
    assert_int_equal(guests.kv_tenants.count, 2);
    assert_int_equal(guests.kv.count, 6);
    assert_int_equal(put(2, 1, 1), IFAB_HOST_OK); /* who is let in again begins with nothing */
    assert_int_equal(get(2, 2, &size), IFAB_HOST_NOT_FOUND);
}

static void without_memory_nothing_is_kept_and_nothing_lost(void **state)
{
    size_t size;
    (void)state;
    assert_int_equal(put(0, 0, 50), IFAB_HOST_OK);
    for (unsigned i = 0; i < 8; i++) {
        ifab_mem_fail_at(i + 1U);
        enum ifab_host_status status = put(1, 1, 60);
        ifab_mem_fail_at(0);
        if (status == IFAB_HOST_OK)
            break;
        assert_int_equal(status, IFAB_HOST_UNAVAILABLE);
        assert_int_equal(guests.kv_total, 50);
        assert_int_equal(guests.kv_tenants.count, 1);
    }
    assert_int_equal(get(0, 0, &size), IFAB_HOST_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
static const struct CMUnitTest tests[] = {TEST(what_is_kept_is_found_by_its_own_alone), TEST(one_keeps_no_more_than_its_share), TEST(all_together_keep_64_mib),
                                          TEST(what_is_revoked_is_forgotten), TEST(without_memory_nothing_is_kept_and_nothing_lost)};
TEST_MAIN(tests)
