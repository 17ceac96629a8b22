/* Sequence numbers: once each, per instance and key epoch; records packed and read back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "connect/order.h"

#include <stdlib.h>

static struct ifab_sequences *make(void)
{
    struct ifab_sequences *sequences = NULL;
    assert_int_equal(ifab_sequences_new(42, &sequences), IFAB_OK);
    return sequences;
}

static void put(struct ifab_sequences *sequences, const struct ifab_sequence *sequence)
{
    assert_int_equal(ifab_sequences_reserve(sequences, 1), IFAB_OK);
    ifab_sequences_put(sequences, sequence);
}

/* Checks and, if it may pass, puts; wall 0, valid for 100. */
static enum ifab_code say(struct ifab_sequences *sequences, uint32_t talent, uint32_t epoch, const char *instance,
                          enum ifab_order_mode mode, uint64_t seq, uint64_t next_number)
{
    struct ifab_sequence next;
    struct ifab_view name = ifab_view_str(instance);
    enum ifab_code code = ifab_sequences_check(sequences, talent, epoch, name, mode, seq, 100, 0, next_number, &next, NULL);
    if (code == IFAB_CODE_NONE)
        put(sequences, &next);
    return code;
}

static void strict_takes_only_what_grows(void **state)
{
    (void)state; /* INV-03 */
    struct ifab_sequences *s = make();
    struct ifab_refusal refusal = {0};
    struct ifab_sequence next;
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 5, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 3, 2), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_STRICT, 5, 100, 0, 2, &next, &refusal),
                     IFAB_CODE_OUT_OF_ORDER);
    assert_true(refusal.has_last_seq);
    assert_int_equal(refusal.last_seq, 5);
    assert_string_equal(refusal.field, "seq");
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 6, 2), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 9007199254740991, 2), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 9007199254740991, 2), IFAB_CODE_OUT_OF_ORDER);
    /* each its own: another instance, none, another epoch, another talent */
    assert_int_equal(say(s, 1, 1, "A", IFAB_ORDER_STRICT, 1, 2), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "", IFAB_ORDER_STRICT, 1, 3), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 2, "a", IFAB_ORDER_STRICT, 1, 4), IFAB_CODE_NONE);
    assert_int_equal(say(s, 2, 1, "a", IFAB_ORDER_STRICT, 1, 5), IFAB_CODE_NONE);
    assert_int_equal(ifab_sequences_find(s, 1, 1, IFAB_VIEW("a"))->number, 1);
    assert_int_equal(ifab_sequences_find(s, 2, 1, IFAB_VIEW("a"))->number, 5);
    assert_null(ifab_sequences_find(s, 3, 1, IFAB_VIEW("a")));
    ifab_sequences_free(s);
}

static void check_changes_nothing(void **state)
{
    (void)state;
    struct ifab_sequences *s = make();
    struct ifab_sequence next;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_WINDOW, 7, 100, 0, 1, &next, NULL), IFAB_CODE_NONE);
    assert_null(ifab_sequences_find(s, 1, 1, IFAB_VIEW("a")));
    ifab_sequences_free(s);
}

static void window_takes_each_number_once_in_any_order(void **state)
{
    (void)state; /* INV-03: against a list of what passed */
    struct ifab_sequences *s = make();
    enum { SPAN = 60000 };
    static bool passed[SPAN];
    memset(passed, 0, sizeof passed);
    uint64_t last = 0, rolled = 88172645463325252ULL;
    for (int i = 0; i < 40000; i++) {
        rolled ^= rolled << 13;
        rolled ^= rolled >> 7;
        rolled ^= rolled << 17;
        uint64_t below = last < 1100 ? last : 1100; /* a quarter a little above the last one, the rest in and just below the window */
        uint64_t seq = rolled % 4 == 0 ? last + 1 + rolled / 4 % 3 : last - below + rolled / 4 % (below + 1);
        if (seq == 0)
            seq = 1;
        if (seq >= SPAN)
            break;
        bool fresh = last == 0 || seq > last || (last - seq < IFAB_ORDER_WINDOW_SIZE && !passed[seq]);
        assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, seq, 1), fresh ? IFAB_CODE_NONE : IFAB_CODE_OUT_OF_ORDER);
        passed[seq] = passed[seq] || fresh;
        if (fresh && seq > last)
            last = seq;
        assert_int_equal(ifab_sequences_find(s, 1, 1, IFAB_VIEW("w"))->last_seq, last);
    }
    assert_true(last > 3000);
    ifab_sequences_free(s);
}

static void window_ends_at_1024(void **state)
{
    (void)state;
    struct ifab_sequences *s = make();
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 5000, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 5000 - 1024, 1), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 5000 - 1023, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 5000 - 1023, 1), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 9007199254740991, 1), IFAB_CODE_NONE); /* further than the window is long */
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 5001, 1), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 9007199254740990, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "w", IFAB_ORDER_WINDOW, 9007199254740990, 1), IFAB_CODE_OUT_OF_ORDER);
    ifab_sequences_free(s);
}

static void changing_the_mode_opens_no_number_twice(void **state)
{
    (void)state; /* INV-03 */
    struct ifab_sequences *s = make();
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_STRICT, 10, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_STRICT, 20, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_WINDOW, 10, 1), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_WINDOW, 15, 1), IFAB_CODE_OUT_OF_ORDER); /* strict knows nothing of it: counts as used */
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_WINDOW, 25, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_WINDOW, 10, 1), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_WINDOW, 22, 1), IFAB_CODE_NONE);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_STRICT, 24, 1), IFAB_CODE_OUT_OF_ORDER);
    assert_int_equal(say(s, 1, 1, "m", IFAB_ORDER_STRICT, 26, 1), IFAB_CODE_NONE);
    assert_int_equal(ifab_sequences_find(s, 1, 1, IFAB_VIEW("m"))->window[0], 0);
    ifab_sequences_free(s);
}

static void a_dead_instance_starts_afresh(void **state)
{
    (void)state;
    struct ifab_sequences *s = make();
    struct ifab_sequence next;
    uint64_t number = 0;
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 50, 7), IFAB_CODE_NONE);
    assert_false(ifab_sequences_dead(s, 100, &number, 1));
    assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_STRICT, 5, 300, 100, 8, &next, NULL), IFAB_CODE_OUT_OF_ORDER);
    assert_true(ifab_sequences_dead(s, 101, &number, 1));
    assert_int_equal(number, 7);
    /* not removed yet: its record is used again */
    assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_STRICT, 5, 300, 101, 8, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(next.number, 7);
    assert_int_equal(next.last_seq, 5);
    assert_int_equal(next.live_until, 300);
    ifab_sequences_remove(s, 7);
    ifab_sequences_remove(s, 7);
    assert_false(ifab_sequences_dead(s, 101, &number, 1));
    assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_STRICT, 5, 300, 101, 8, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(next.number, 8);
    ifab_sequences_free(s);
}

static void lives_as_long_as_its_longest_message(void **state)
{
    (void)state;
    struct ifab_sequences *s = make();
    struct ifab_sequence next;
    assert_int_equal(say(s, 1, 1, "a", IFAB_ORDER_STRICT, 1, 1), IFAB_CODE_NONE);
    assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_STRICT, 2, 50, 0, 2, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(next.live_until, 100);
    assert_int_equal(ifab_sequences_check(s, 1, 1, IFAB_VIEW("a"), IFAB_ORDER_STRICT, 2, 150, 0, 2, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(next.live_until, 150);
    ifab_sequences_free(s);
}

static void at_most_64_instances_of_a_talent_live(void **state)
{
    (void)state;
    struct ifab_sequences *s = make();
    struct ifab_sequence next;
    char name[2] = {'0', 0};
    for (uint64_t i = 0; i < 64; i++) {
        name[0] = (char)('0' + i);
        assert_int_equal(say(s, 9, (uint32_t)(i / 32), name, IFAB_ORDER_STRICT, 1, 100 - i), IFAB_CODE_NONE);
    }
    assert_int_equal(say(s, 9, 1, "one-more", IFAB_ORDER_STRICT, 1, 200), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(say(s, 8, 1, "one-more", IFAB_ORDER_STRICT, 1, 200), IFAB_CODE_NONE);
    assert_int_equal(say(s, 9, 0, "0", IFAB_ORDER_STRICT, 2, 201), IFAB_CODE_NONE);
    uint64_t cursor = 0, last = 0, walked = 0;
    for (const struct ifab_sequence *at; (at = ifab_sequences_next(s, 9, &cursor)) != NULL; walked++) {
        assert_true(at->number > last && at->talent == 9);
        last = at->number;
    }
    assert_int_equal(walked, 64);
    /* dead ones do not count, removed or not */
    assert_int_equal(ifab_sequences_check(s, 9, 1, IFAB_VIEW("one-more"), IFAB_ORDER_STRICT, 1, 300, 101, 300, &next, NULL),
                     IFAB_CODE_NONE);
    ifab_sequences_remove(s, 50);
    assert_int_equal(say(s, 9, 1, "one-more", IFAB_ORDER_STRICT, 1, 300), IFAB_CODE_NONE);
    for (uint64_t i = 1; i <= 300; i++)
        ifab_sequences_remove(s, i);
    cursor = 0;
    assert_null(ifab_sequences_next(s, 9, &cursor));
    assert_null(ifab_sequences_find(s, 9, 0, IFAB_VIEW("0")));
    ifab_sequences_free(s);
}

static void names_the_dead_in_one_order_whatever_came_first(void **state)
{
    (void)state; /* INV-14 */
    enum { COUNT = 1000 };
    struct ifab_sequences *s[2] = {make(), make()};
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned n = turn == 0 ? i : COUNT - 1 - i;
            struct ifab_sequence one = {.number = n + 1, .talent = n / 50, .epoch = n, .last_seq = 1, .live_until = (n * 7919 % 101)};
            put(s[turn], &one);
            if (n % 3 == 0) { /* moved later or earlier in the order */
                one.live_until = n * 31 % 101;
                put(s[turn], &one);
            }
        }
    }
    ifab_usec when = 0;
    uint64_t before = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t a = 0, b = 0;
        assert_true(ifab_sequences_dead(s[0], 200, &a, 1) && ifab_sequences_dead(s[1], 200, &b, 1));
        assert_int_equal(a, b);
        uint64_t n = a - 1;
        ifab_usec ends = (ifab_usec)(n % 3 == 0 ? n * 31 % 101 : n * 7919 % 101);
        assert_true(ends > when || (ends == when && a > before) || i == 0);
        when = ends;
        before = a;
        ifab_sequences_remove(s[0], a);
        ifab_sequences_remove(s[1], b);
    }
    uint64_t none = 0;
    assert_false(ifab_sequences_dead(s[0], INT64_MAX, &none, 1));
    ifab_sequences_free(s[0]);
    ifab_sequences_free(s[1]);
}

static void keeps_one_record_a_key(void **state)
{
    (void)state;
    struct ifab_sequences *s = make();
    struct ifab_sequence one = {.number = 1, .talent = 1, .epoch = 1, .last_seq = 5, .live_until = 9}, two = one;
    two.number = 2;
    two.last_seq = 6;
    put(s, &one);
    put(s, &two);
    assert_int_equal(ifab_sequences_find(s, 1, 1, IFAB_VIEW(""))->number, 2);
    uint64_t cursor = 0, number = 0;
    assert_non_null(ifab_sequences_next(s, 1, &cursor));
    assert_null(ifab_sequences_next(s, 1, &cursor));
    two.talent = 3; /* a number whose key changes */
    put(s, &two);
    assert_null(ifab_sequences_find(s, 1, 1, IFAB_VIEW("")));
    assert_int_equal(ifab_sequences_find(s, 3, 1, IFAB_VIEW(""))->last_seq, 6);
    assert_true(ifab_sequences_dead(s, 10, &number, 1));
    assert_int_equal(number, 2);
    ifab_sequences_free(s);
}

static void packs_every_field_and_refuses_nonsense(void **state)
{
    (void)state;
    struct ifab_sequence strict = {
        .number = 3, .talent = 0xfffffffe, .epoch = 0x01020304, .last_seq = 9007199254740991, .live_until = INT64_MAX};
    struct ifab_sequence window = strict, back;
    uint8_t bytes[IFAB_SEQUENCE_PACKED_MAX];
    window.instance_size = IFAB_NAME_MAX;
    memset(window.instance, 'x', IFAB_NAME_MAX);
    for (size_t i = 0; i < IFAB_COUNT(window.window); i++)
        window.window[i] = 0x0123456789abcdef + i * 2;
    size_t size = ifab_sequence_pack(&strict, bytes);
    assert_true(size < 32); /* no window, no name */
    assert_true(ifab_sequence_unpack(ifab_view_of(bytes, size), 3, &back));
    assert_memory_equal(&back, &strict, sizeof back);
    size = ifab_sequence_pack(&window, bytes);
    assert_true(size <= IFAB_SEQUENCE_PACKED_MAX);
    assert_true(ifab_sequence_unpack(ifab_view_of(bytes, size), 3, &back));
    assert_memory_equal(&back, &window, sizeof back);
    for (size_t i = 0; i < size; i++) {
        uint8_t *copy = malloc(i + 1); /* exact: a read past the end is seen */
        assert_non_null(copy);
        memcpy(copy, bytes, i);
        assert_false(ifab_sequence_unpack(ifab_view_of(copy, i), 3, &back));
        free(copy);
    }
    bytes[size] = 0;
    assert_false(ifab_sequence_unpack(ifab_view_of(bytes, size + 1), 3, &back));
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 0}, {0, 2}, {16, 0x20}, {24, 0x80}, {25, 15}, {25, 17}, {26, 0xee}, {154, 65}, {154, 63}, {155, '.'}, {160, '/'}};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        uint8_t was = bytes[bad[i].at];
        bytes[bad[i].at] = bad[i].value;
        if (ifab_sequence_unpack(ifab_view_of(bytes, size), 3, &back))
            fail_msg("byte %zu = %u was taken", bad[i].at, bad[i].value);
        bytes[bad[i].at] = was;
    }
    for (size_t i = 1; i < 16; i++)
        window.window[i] = i == 1 ? 5 : 0;
    size = ifab_sequence_pack(&window, bytes);
    assert_int_equal(bytes[25], 2); /* words up to the last one that says something */
    assert_true(ifab_sequence_unpack(ifab_view_of(bytes, size), 3, &back));
    bytes[34] = 0; /* a zero word at the end: another spelling of a shorter record */
    assert_false(ifab_sequence_unpack(ifab_view_of(bytes, size), 3, &back));
    memset(&strict.last_seq, 0, sizeof strict.last_seq);
    size = ifab_sequence_pack(&strict, bytes);
    assert_false(ifab_sequence_unpack(ifab_view_of(bytes, size), 3, &back));
}

static void puts_without_allocating_after_reserve(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 700; n = n * 3 + 1) {
        struct ifab_sequences *s = make();
        for (uint64_t round = 0; round < 3; round++) {
            assert_int_equal(ifab_sequences_reserve(s, n), IFAB_OK);
            ifab_mem_fail_at(1);
            for (uint64_t i = 0; i < n; i++) {
                struct ifab_sequence one = {.number = round * 1000 + i + 1, .talent = (uint32_t)(round * 1000 + i), .last_seq = 1};
                ifab_sequences_put(s, &one);
            }
            assert_false(ifab_mem_failed());
            ifab_mem_fail_at(0);
        }
        ifab_sequences_free(s);
    }
    for (uint64_t n = 1;; n++) {
        struct ifab_sequences *s = NULL;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_sequences_new(1, &s);
        if (status == IFAB_OK)
            status = ifab_sequences_reserve(s, 500);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        ifab_sequences_free(s);
        if (!failed)
            break;
        assert_true(n < 100);
    }
    ifab_sequences_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_takes_only_what_grows),
        cmocka_unit_test(check_changes_nothing),
        cmocka_unit_test(window_takes_each_number_once_in_any_order),
        cmocka_unit_test(window_ends_at_1024),
        cmocka_unit_test(changing_the_mode_opens_no_number_twice),
        cmocka_unit_test(a_dead_instance_starts_afresh),
        cmocka_unit_test(lives_as_long_as_its_longest_message),
        cmocka_unit_test(at_most_64_instances_of_a_talent_live),
        cmocka_unit_test(names_the_dead_in_one_order_whatever_came_first),
        cmocka_unit_test(keeps_one_record_a_key),
        cmocka_unit_test(packs_every_field_and_refuses_nonsense),
        cmocka_unit_test(puts_without_allocating_after_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
