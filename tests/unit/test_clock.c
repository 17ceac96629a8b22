/* Wall and run time: followed when it drifts, not believed when it jumps, never backwards over a restart (DESIGN section 4, Time). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/node.h"

#define T0 (1700000000 * IFAB_SECOND)
#define BOOT0 (1000 * IFAB_SECOND)

static void small_steps_are_followed(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, BOOT0, T0, 0, false);
    for (int second = 1; second <= 1000; second++) { /* half a second too fast each second: slewed, within the bound at each step */
        struct ifab_now now = clock_step(&clock, T0 + second * (IFAB_SECOND * 3 / 2), BOOT0 + second * IFAB_SECOND, &jumped);
        assert_false(jumped);
        assert_int_equal(now.wall, T0 + second * (IFAB_SECOND * 3 / 2));
        assert_int_equal(now.run, second * IFAB_SECOND);
    }
}

static void jump_is_not_believed_until_accepted(void **state)
{
    static const ifab_usec jumps[] = {61 * IFAB_SECOND, IFAB_DAY, -61 * IFAB_SECOND, -IFAB_DAY};
    (void)state;
    for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        struct clock clock;
        bool jumped;
        clock_start(&clock, T0, BOOT0, T0, 0, false);
        struct ifab_now now = clock_step(&clock, T0 + IFAB_SECOND + jumps[i], BOOT0 + IFAB_SECOND, &jumped);
        assert_true(jumped);
        assert_true(clock.doubt);
        assert_int_equal(now.wall, T0 + IFAB_SECOND); /* the old course goes on */
        now = clock_step(&clock, T0 + 9 * IFAB_SECOND + jumps[i], BOOT0 + 9 * IFAB_SECOND, &jumped);
        assert_false(jumped); /* said once */
        assert_int_equal(now.wall, T0 + 9 * IFAB_SECOND);
        assert_int_equal(now.run, 9 * IFAB_SECOND);
        clock_accept(&clock, T0 + 10 * IFAB_SECOND + jumps[i], BOOT0 + 10 * IFAB_SECOND);
        now = clock_step(&clock, T0 + 11 * IFAB_SECOND + jumps[i], BOOT0 + 11 * IFAB_SECOND, &jumped);
        assert_false(jumped);
        assert_int_equal(now.wall, T0 + 11 * IFAB_SECOND + jumps[i]);
        assert_int_equal(now.run, 11 * IFAB_SECOND); /* run does not jump with it */
    }
}

/* Most who read the clock do nothing about a jump; the turn that does hears of it all the same, once, whoever was first. */
static void a_jump_is_told_to_who_asks_whoever_noticed_it(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, BOOT0, T0, 0, false);
    for (int second = 1; second <= 3; second++) {
        struct ifab_now now = clock_step(&clock, T0 + IFAB_DAY, BOOT0 + second * IFAB_SECOND, NULL);
        assert_int_equal(now.wall, T0 + second * IFAB_SECOND);
        assert_true(clock.doubt);
    }
    clock_step(&clock, T0 + IFAB_DAY, BOOT0 + 4 * IFAB_SECOND, &jumped);
    assert_true(jumped);
    clock_step(&clock, T0 + IFAB_DAY, BOOT0 + 5 * IFAB_SECOND, NULL);
    clock_step(&clock, T0 + IFAB_DAY, BOOT0 + 6 * IFAB_SECOND, &jumped);
    assert_false(jumped);
    clock_step(&clock, T0 + 7 * IFAB_SECOND, BOOT0 + 7 * IFAB_SECOND, NULL); /* it has come back, and jumps anew, and back: nothing to tell */
    clock_step(&clock, T0 + IFAB_DAY, BOOT0 + 8 * IFAB_SECOND, NULL);
    clock_step(&clock, T0 + 9 * IFAB_SECOND, BOOT0 + 9 * IFAB_SECOND, &jumped);
    assert_false(jumped);
    clock_step(&clock, T0 + IFAB_DAY, BOOT0 + 10 * IFAB_SECOND, NULL);
    clock_accept(&clock, T0 + IFAB_DAY, BOOT0 + 11 * IFAB_SECOND);
    clock_step(&clock, T0 + IFAB_DAY, BOOT0 + 12 * IFAB_SECOND, &jumped);
    assert_false(jumped);
}

static void sixty_seconds_are_still_followed(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, BOOT0, T0, 0, false);
    clock_step(&clock, T0 + 60 * IFAB_SECOND, BOOT0, &jumped);
    assert_false(jumped);
    clock_start(&clock, T0, BOOT0, T0, 0, false);
    clock_step(&clock, T0 + 60 * IFAB_SECOND + 1, BOOT0, &jumped);
    assert_true(jumped);
}

static void clock_that_comes_back_is_believed_again(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, BOOT0, T0, 0, false);
    clock_step(&clock, T0 + IFAB_HOUR, BOOT0, &jumped);
    assert_true(clock.doubt);
    clock_step(&clock, T0 + IFAB_SECOND, BOOT0 + IFAB_SECOND, &jumped);
    assert_false(clock.doubt);
}

/* INV-03: over a restart run never goes back, whatever the wall clock says. */
static void run_goes_on_over_a_restart(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0 + 500 * IFAB_SECOND, 7 * IFAB_SECOND, T0, 42 * IFAB_SECOND, false);
    struct ifab_now now = clock_step(&clock, T0 + 500 * IFAB_SECOND, 7 * IFAB_SECOND, &jumped);
    assert_int_equal(now.run, 542 * IFAB_SECOND);
    clock_start(&clock, T0 - 5 * IFAB_SECOND, 7 * IFAB_SECOND, T0, 42 * IFAB_SECOND, false); /* a little behind: run stands still, wall is followed */
    now = clock_step(&clock, T0 - 5 * IFAB_SECOND, 7 * IFAB_SECOND, &jumped);
    assert_int_equal(now.run, 42 * IFAB_SECOND);
    assert_false(clock.doubt);
}

static void start_far_behind_what_was_written_is_in_doubt(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0 - IFAB_DAY, BOOT0, T0, 0, false);
    assert_true(clock.doubt);
    struct ifab_now now = clock_step(&clock, T0 - IFAB_DAY + IFAB_SECOND, BOOT0 + IFAB_SECOND, &jumped);
    assert_int_equal(now.wall, T0 + IFAB_SECOND); /* time goes on from what was written */
    assert_false(jumped);
}

static void restart_does_not_accept_a_jump(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0 + IFAB_DAY, BOOT0, T0, 0, true); /* a forward jump stood unaccepted when it stopped */
    assert_true(clock.doubt);
    assert_int_equal(clock_step(&clock, T0 + IFAB_DAY, BOOT0, &jumped).wall, T0);
    clock_start(&clock, T0 + IFAB_DAY, BOOT0, T0, 0, false); /* a day off without doubt is a day off */
    assert_false(clock.doubt);
    clock_start(&clock, T0 + IFAB_SECOND, BOOT0, T0, 0, true); /* it has come back */
    assert_false(clock.doubt);
}

/* INV-11: no two fabrics that go on from one another, or from the same backup, give the same fence. */
static void a_restore_goes_on_beyond_every_fence_that_was_given(void **state)
{
    const struct restore_old first = {.fence_offset = 0, .size = 5000, .wall = T0};
    struct ifab_error err = {0};
    uint64_t one, other, again;
    (void)state;
    assert_int_equal(restore_fence_offset(T0 + 1000, &first, &one, &err), IFAB_OK);
    assert_int_equal(restore_fence_offset(T0 + 2000, &first, &other, &err), IFAB_OK); /* the same backup, a millisecond later */
    assert_true(one > first.fence_offset + first.size && other >= one + 1000);
    const struct restore_old second = {.fence_offset = one, .size = 900, .wall = T0 + 3000}; /* a backup of the restored one, and soon after it */
    assert_int_equal(restore_fence_offset(T0 + 4000, &second, &again, &err), IFAB_OK);
    assert_true(again > other && again > one + second.size);
    assert_true(again + ((uint64_t)1 << 40) < (uint64_t)1 << 53); /* a fence is a number in JSON */
}

/* INV-11 */
static void a_restore_under_a_clock_that_is_behind_or_mad_is_refused(void **state)
{
    const struct restore_old old = {.fence_offset = 0, .size = 5000, .wall = T0};
    const struct restore_old busy = {.fence_offset = T0, .size = 2000, .wall = T0 + 1000}; /* two entries a microsecond: no such fabric */
    struct ifab_error err = {0};
    uint64_t offset = 7;
    (void)state;
    assert_int_equal(restore_fence_offset(T0, &old, &offset, &err), IFAB_INVALID);
    assert_int_equal(restore_fence_offset(T0 - IFAB_DAY, &old, &offset, &err), IFAB_INVALID);
    assert_int_equal(restore_fence_offset(0, &old, &offset, &err), IFAB_INVALID);
    assert_int_equal(restore_fence_offset(((ifab_usec)1 << 52) + 1, &old, &offset, &err), IFAB_INVALID);
    assert_int_equal(restore_fence_offset(T0 + 1500, &busy, &offset, &err), IFAB_INVALID);
    assert_int_equal(offset, 7);
    assert_int_equal(restore_fence_offset(T0 + 1, &old, &offset, &err), IFAB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_steps_are_followed),
        cmocka_unit_test(jump_is_not_believed_until_accepted),
        cmocka_unit_test(a_jump_is_told_to_who_asks_whoever_noticed_it),
        cmocka_unit_test(sixty_seconds_are_still_followed),
        cmocka_unit_test(clock_that_comes_back_is_believed_again),
        cmocka_unit_test(run_goes_on_over_a_restart),
        cmocka_unit_test(restart_does_not_accept_a_jump),
        cmocka_unit_test(a_restore_goes_on_beyond_every_fence_that_was_given),
        cmocka_unit_test(a_restore_under_a_clock_that_is_behind_or_mad_is_refused),
        cmocka_unit_test(start_far_behind_what_was_written_is_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
