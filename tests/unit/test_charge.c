/* Failed signatures are charged to who is at the other end, each in a bucket of its own: 100 a second, burst 1,000. INV-01 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../src/shell/loop/node.h"

#define T0 (1000 * IFAB_SECOND)

static struct charges charges;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(charges_init(&charges, 1), IFAB_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    charges_fini(&charges);
    return 0;
}

static struct charge *hold(const char *address, unsigned uid)
{
    struct ifab_http_peer peer = {.unix_socket = address == NULL, .uid = uid};
    snprintf(peer.address, sizeof peer.address, "%s", address == NULL ? "unix" : address);
    struct charge *c = charge_hold(&charges, &peer, T0);
    assert_non_null(c);
    return c;
}

static size_t drain(struct charge *c, ifab_usec boot)
{
    size_t taken = 0;
    for (; !charge_empty_at(c, boot) && taken < 5000; taken++)
        charge_take_at(c, boot);
    return taken;
}

static void burst_then_a_hundred_a_second(void **state)
{
    (void)state;
    struct charge *c = hold("127.0.0.1:4000", 0);
    assert_int_equal(drain(c, T0), CHARGE_BURST);
    assert_true(charge_empty_at(c, T0));
    assert_true(charge_empty_at(c, T0 + IFAB_SECOND / CHARGE_PER_SECOND - 1));
    assert_int_equal(drain(c, T0 + IFAB_SECOND), CHARGE_PER_SECOND);
    assert_int_equal(drain(c, T0 + 3600 * IFAB_SECOND), CHARGE_BURST);
}

static void ports_of_an_address_share_and_addresses_and_uids_do_not(void **state)
{
    (void)state;
    struct charge *a = hold("127.0.0.1:4000", 0);
    assert_ptr_equal(a, hold("127.0.0.1:4001", 0));
    assert_int_equal(drain(a, T0), CHARGE_BURST);
    const char *others[] = {"127.0.0.11:4000", "127.0.0.2:4000", "[::1]:4000", NULL};
    for (size_t i = 0; i < IFAB_COUNT(others); i++)
        assert_false(charge_empty_at(hold(others[i], 0), T0));
    assert_ptr_equal(hold(NULL, 1000), hold(NULL, 1000));
    assert_ptr_not_equal(hold(NULL, 1000), hold(NULL, 100));
}

static void no_two_of_many_share_a_bucket(void **state)
{
    (void)state;
    struct charge *first = hold(NULL, 0);
    assert_int_equal(drain(first, T0), CHARGE_BURST);
    for (unsigned uid = 1; uid < CHARGES; uid++) {
        struct charge *c = hold(NULL, uid);
        assert_ptr_not_equal(c, first);
        assert_false(charge_empty_at(c, T0));
        charge_drop(c);
    }
    assert_true(charge_empty_at(first, T0));
}

/* The table is full: a newcomer takes the place of one that is full again, never that of one who owes, never one that is held. */
static void newcomers_do_not_wash_debts_off(void **state)
{
    (void)state;
    struct charge *debtor = hold(NULL, 1), *held = hold(NULL, 2);
    assert_int_equal(drain(debtor, T0), CHARGE_BURST);
    charge_drop(debtor);
    for (unsigned uid = 3; uid < 3 * CHARGES; uid++)
        charge_drop(hold(NULL, uid));
    assert_ptr_equal(debtor, hold(NULL, 1));
    assert_true(charge_empty_at(debtor, T0));
    assert_ptr_equal(held, hold(NULL, 2));
}

static void table_of_held_ones_takes_nobody_in(void **state)
{
    (void)state;
    for (unsigned uid = 0; uid < CHARGES; uid++)
        (void)hold(NULL, uid);
    struct ifab_http_peer peer = {.unix_socket = true, .uid = CHARGES};
    assert_null(charge_hold(&charges, &peer, T0));
    charge_drop(hold(NULL, 5));
    charge_drop(hold(NULL, 5));
    charge_drop(&charges.rows[1]);
    assert_non_null(charge_hold(&charges, &peer, T0));
}

/* An empty bucket refuses before the bytes are looked at: even a message that would be good is not verified. */
static void empty_bucket_refuses_before_anything_is_verified(void **state)
{
    (void)state;
    struct charge *c = hold(NULL, 1000);
    struct request request = {.charge = c};
    struct ticket ticket = {.request = &request, .verify = VERIFY_MESSAGE, .bytes = IFAB_VIEW("not even JSON")};
    for (int i = 0; i < 2 * CHARGE_BURST; i++)
        charge_take(c);
    ifab_arena_init(&ticket.arena, 1 << 20);
    ticket_verify(&ticket);
    assert_int_equal(ticket.code, IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_true(ticket.overdrawn);
    assert_null(ticket.admitted);
    ifab_arena_fini(&ticket.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(burst_then_a_hundred_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ports_of_an_address_share_and_addresses_and_uids_do_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_two_of_many_share_a_bucket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(newcomers_do_not_wash_debts_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(table_of_held_ones_takes_nobody_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_bucket_refuses_before_anything_is_verified, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
