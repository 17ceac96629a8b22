/* Retries. requirements FL-LIM-2, FL-LIM-4 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/retry.h"
#include "support.h"

static const struct ifab_retry_policy three = {.attempts = 3, .repeatable = true};
static bool again(const struct ifab_retry_policy *p, uint32_t attempt, int status, ifab_usec after, ifab_usec remaining, uint64_t random,
                  ifab_usec *wait)
{
    return ifab_retry_again(p, &(struct ifab_retry_event){attempt, status, after, remaining, random}, wait);
}
static void only_failures_of_the_provider_and_429(void **state)
{
    ifab_usec wait;
    (void)state;
    for (int status = 100; status < 600; status++)
        assert_int_equal(again(&three, 1, status, -1, IFAB_HOUR, 0, &wait), status >= 500 || status == 429);
    assert_true(again(&three, 1, 0, -1, IFAB_HOUR, 0, &wait));
    assert_true(ifab_retry_is_failure(0));
    assert_true(ifab_retry_is_failure(500));
    assert_false(ifab_retry_is_failure(429));
    assert_false(ifab_retry_is_failure(404));
}
static void never_what_may_not_be_repeated(void **state)
{
    struct ifab_retry_policy once = three, many = three;
    ifab_usec wait;
    (void)state;
    once.repeatable = false;
    assert_false(again(&once, 1, 500, -1, IFAB_HOUR, 0, &wait));
    assert_false(again(&three, 3, 500, -1, IFAB_HOUR, 0, &wait));
    assert_true(again(&three, 2, 500, -1, IFAB_HOUR, 0, &wait));
    assert_false(again(&three, 0, 500, -1, IFAB_HOUR, 0, &wait));
    many.attempts = IFAB_EGRESS_ATTEMPTS_MAX + 1;
    assert_false(again(&many, 1, 500, -1, IFAB_HOUR, 0, &wait));
    assert_false(again(&(struct ifab_retry_policy){.attempts = 0}, 1, 500, -1, IFAB_HOUR, 0, &wait));
}
static void waits_with_full_jitter_over_the_list(void **state)
{
    static const ifab_usec most[] = {1, 2, 5, 10, 30, 30};
    struct ifab_retry_policy all = {.attempts = IFAB_EGRESS_ATTEMPTS_MAX, .repeatable = true}, own = three;
    struct test_random random = {1};
    (void)state;
    for (uint32_t attempt = 1; attempt < IFAB_EGRESS_ATTEMPTS_MAX; attempt++) {
        ifab_usec wait, low = IFAB_HOUR, high = -1;
        for (int i = 0; i < 2000; i++) {
            assert_true(again(&all, attempt, 500, -1, IFAB_HOUR, test_random_u64(&random), &wait));
            assert_true(wait >= 0 && wait <= most[attempt - 1] * IFAB_SECOND);
            low = wait < low ? wait : low;
            high = wait > high ? wait : high;
        }
        assert_true(low < most[attempt - 1] * IFAB_SECOND / 20 && high > most[attempt - 1] * IFAB_SECOND / 20 * 19);
    }
    own.backoff[0] = 0;
    own.backoff_count = 1;
    ifab_usec wait = 77;
    assert_true(again(&own, 2, 500, -1, IFAB_HOUR, UINT64_MAX, &wait));
    assert_int_equal(wait, 0);
    own.backoff_count = IFAB_EGRESS_BACKOFF_MAX + 1;
    assert_false(again(&own, 1, 500, -1, IFAB_HOUR, 0, &wait));
}
static void honours_retry_after_within_the_deadline(void **state)
{
    ifab_usec wait;
    (void)state;
    assert_true(again(&three, 1, 429, 7 * IFAB_SECOND, 8 * IFAB_SECOND, 0, &wait));
    assert_int_equal(wait, 7 * IFAB_SECOND);
    assert_false(again(&three, 1, 429, 8 * IFAB_SECOND, 8 * IFAB_SECOND, 0, &wait));
    assert_false(again(&three, 1, 429, INT64_MAX, 8 * IFAB_SECOND, 0, &wait));
    assert_false(again(&three, 1, 500, -1, 0, 0, &wait));
    assert_false(again(&three, 1, 500, -1, -5, 0, &wait));
}
static const struct CMUnitTest tests[] = {
    cmocka_unit_test(only_failures_of_the_provider_and_429),
    cmocka_unit_test(never_what_may_not_be_repeated),
    cmocka_unit_test(waits_with_full_jitter_over_the_list),
    cmocka_unit_test(honours_retry_after_within_the_deadline),
};
TEST_MAIN(tests)
