/* Wall and run time: followed when it drifts, not believed when it jumps, never backwards over a restart (DESIGN section 4, Time). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/clock.h"

#define T0 (1700000000 * IFAB_SECOND)
#define B0 (1000 * IFAB_SECOND)

static void small_steps_are_followed(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, B0, T0, 0, false);
    for (int second = 1; second <= 1000; second++) { /* half a second too fast each second: slewed, within the bound at each step */
        struct ifab_now now = clock_step(&clock, T0 + second * (IFAB_SECOND * 3 / 2), B0 + second * IFAB_SECOND, &jumped);
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
        clock_start(&clock, T0, B0, T0, 0, false);
        struct ifab_now now = clock_step(&clock, T0 + IFAB_SECOND + jumps[i], B0 + IFAB_SECOND, &jumped);
        assert_true(jumped);
        assert_true(clock.doubt);
        assert_int_equal(now.wall, T0 + IFAB_SECOND); /* the old course goes on */
        now = clock_step(&clock, T0 + 9 * IFAB_SECOND + jumps[i], B0 + 9 * IFAB_SECOND, &jumped);
        assert_false(jumped); /* said once */
        assert_int_equal(now.wall, T0 + 9 * IFAB_SECOND);
        assert_int_equal(now.run, 9 * IFAB_SECOND);
        clock_accept(&clock, T0 + 10 * IFAB_SECOND + jumps[i], B0 + 10 * IFAB_SECOND);
        now = clock_step(&clock, T0 + 11 * IFAB_SECOND + jumps[i], B0 + 11 * IFAB_SECOND, &jumped);
        assert_false(jumped);
        assert_int_equal(now.wall, T0 + 11 * IFAB_SECOND + jumps[i]);
        assert_int_equal(now.run, 11 * IFAB_SECOND); /* run does not jump with it */
    }
}

static void sixty_seconds_are_still_followed(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, B0, T0, 0, false);
    clock_step(&clock, T0 + 60 * IFAB_SECOND, B0, &jumped);
    assert_false(jumped);
    clock_start(&clock, T0, B0, T0, 0, false);
    clock_step(&clock, T0 + 60 * IFAB_SECOND + 1, B0, &jumped);
    assert_true(jumped);
}

static void clock_that_comes_back_is_believed_again(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0, B0, T0, 0, false);
    clock_step(&clock, T0 + IFAB_HOUR, B0, &jumped);
    assert_true(clock.doubt);
    clock_step(&clock, T0 + IFAB_SECOND, B0 + IFAB_SECOND, &jumped);
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
    clock_start(&clock, T0 - IFAB_DAY, B0, T0, 0, false);
    assert_true(clock.doubt);
    struct ifab_now now = clock_step(&clock, T0 - IFAB_DAY + IFAB_SECOND, B0 + IFAB_SECOND, &jumped);
    assert_int_equal(now.wall, T0 + IFAB_SECOND); /* time goes on from what was written */
    assert_false(jumped);
}

static void restart_does_not_accept_a_jump(void **state)
{
    struct clock clock;
    bool jumped;
    (void)state;
    clock_start(&clock, T0 + IFAB_DAY, B0, T0, 0, true); /* a forward jump stood unaccepted when it stopped */
    assert_true(clock.doubt);
    assert_int_equal(clock_step(&clock, T0 + IFAB_DAY, B0, &jumped).wall, T0);
    clock_start(&clock, T0 + IFAB_DAY, B0, T0, 0, false); /* a day off without doubt is a day off */
    assert_false(clock.doubt);
    clock_start(&clock, T0 + IFAB_SECOND, B0, T0, 0, true); /* it has come back */
    assert_false(clock.doubt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_steps_are_followed),
        cmocka_unit_test(jump_is_not_believed_until_accepted),
        cmocka_unit_test(sixty_seconds_are_still_followed),
        cmocka_unit_test(clock_that_comes_back_is_believed_again),
        cmocka_unit_test(run_goes_on_over_a_restart),
        cmocka_unit_test(restart_does_not_accept_a_jump),
        cmocka_unit_test(start_far_behind_what_was_written_is_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
