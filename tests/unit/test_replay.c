/* Replay memory: what it keeps, for how long, in how much room. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "connect/replay.h"
#include "crypto/crypto.h"

static const uint8_t key16[16] = {1, 2, 3};
static const struct ifab_replay_limits wide = {.per_talent = 65536, .total = 4194304};

static int setup(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

static struct ifab_replay_tag tag_of(uint32_t talent, uint32_t id, uint32_t nonce, ifab_usec expiry)
{
    uint8_t id16[16] = {(uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24)};
    uint8_t nonce12[12] = {(uint8_t)nonce, (uint8_t)(nonce >> 8), (uint8_t)(nonce >> 16), (uint8_t)(nonce >> 24)};
    struct ifab_replay_tag tag;
    ifab_replay_tags(key16, talent, id16, nonce12, sizeof nonce12, &tag);
    tag.expiry = expiry;
    tag.index = id;
    tag.decision = IFAB_DECISION_SHARE;
    return tag;
}

static struct ifab_replay *make(const struct ifab_replay_limits *limits)
{
    struct ifab_replay *replay = NULL;
    assert_int_equal(ifab_replay_new(limits, &replay), IFAB_OK);
    return replay;
}

static void add(struct ifab_replay *replay, const struct ifab_replay_tag *tag)
{
    assert_int_equal(ifab_replay_reserve(replay, 1), IFAB_OK);
    ifab_replay_add(replay, tag);
}

static enum ifab_replay_verdict check(const struct ifab_replay *replay, const struct ifab_replay_tag *tag)
{
    return ifab_replay_check(replay, tag, NULL, NULL);
}

static void refuses_an_id_or_a_nonce_a_second_time(void **state)
{
    (void)state; /* INV-03 */
    struct ifab_replay *replay = make(&wide);
    struct ifab_replay_tag first = tag_of(1, 10, 20, 5 * IFAB_HOUR + 1234567), kept;
    bool same_id = false;
    assert_int_equal(check(replay, &first), IFAB_REPLAY_FRESH);
    add(replay, &first);
    assert_int_equal(ifab_replay_check(replay, &first, &kept, &same_id), IFAB_REPLAY_SEEN);
    assert_true(same_id);
    assert_memory_equal(&kept.id_tag16, &first.id_tag16, 16);
    assert_memory_equal(&kept.nonce_tag16, &first.nonce_tag16, 16);
    assert_int_equal(kept.expiry, first.expiry);
    assert_int_equal(kept.index, 10);
    assert_int_equal(kept.talent, 1);
    assert_int_equal(kept.decision, IFAB_DECISION_SHARE);

    struct ifab_replay_tag other = tag_of(1, 11, 20, 6 * IFAB_HOUR);
    assert_int_equal(ifab_replay_check(replay, &other, &kept, &same_id), IFAB_REPLAY_SEEN);
    assert_false(same_id);
    assert_int_equal(kept.index, 10);
    other = tag_of(1, 10, 21, 6 * IFAB_HOUR);
    assert_int_equal(ifab_replay_check(replay, &other, NULL, &same_id), IFAB_REPLAY_SEEN);
    assert_true(same_id);
    other = tag_of(2, 10, 20, 5 * IFAB_HOUR); /* ids and nonces are each talent's own */
    assert_int_equal(check(replay, &other), IFAB_REPLAY_FRESH);
    ifab_replay_free(replay);
}

static void makes_tags_that_tell_id_from_nonce_and_talents_apart(void **state)
{
    (void)state;
    struct ifab_replay_tag a, b;
    const uint8_t same16[16] = {9};
    ifab_replay_tags(key16, 1, same16, same16, 16, &a);
    ifab_replay_tags(key16, 2, same16, same16, 16, &b);
    assert_memory_not_equal(a.id_tag16, a.nonce_tag16, 16);
    assert_memory_not_equal(a.id_tag16, b.id_tag16, 16);
    assert_memory_not_equal(a.nonce_tag16, b.nonce_tag16, 16);
    uint8_t other16[16] = {1};
    ifab_replay_tags(other16, 1, same16, same16, 16, &b);
    assert_memory_not_equal(a.id_tag16, b.id_tag16, 16);
    ifab_replay_tags(key16, 1, same16, same16, 15, &b);
    assert_memory_not_equal(a.nonce_tag16, b.nonce_tag16, 16);
}

static void keeps_a_message_until_its_minute_and_the_skew_are_over(void **state)
{
    (void)state; /* INV-03 */
    struct ifab_replay *replay = make(&wide);
    const ifab_usec skew = IFAB_MINUTE, expiry = 100 * IFAB_MINUTE + 5;
    struct ifab_replay_tag tag = tag_of(1, 1, 1, expiry), late = tag_of(1, 2, 2, expiry + IFAB_MINUTE);
    add(replay, &tag);
    add(replay, &late);
    assert_int_equal(ifab_replay_dropped_until(replay), INT64_MIN);
    ifab_replay_expire(replay, expiry + skew, skew);
    assert_int_equal(check(replay, &tag), IFAB_REPLAY_SEEN);
    ifab_replay_expire(replay, 102 * IFAB_MINUTE - 1, skew);
    assert_int_equal(check(replay, &tag), IFAB_REPLAY_SEEN);
    ifab_replay_expire(replay, 102 * IFAB_MINUTE, skew);
    assert_int_equal(ifab_replay_count(replay), 1);
    assert_int_equal(ifab_replay_dropped_until(replay), expiry);
    assert_int_equal(check(replay, &tag), IFAB_REPLAY_QUOTA); /* forgotten is not fresh: fail closed */
    assert_int_equal(check(replay, &late), IFAB_REPLAY_SEEN);

    ifab_replay_expire(replay, 50 * IFAB_MINUTE, skew); /* the clock goes back: nothing comes back, nothing is forgotten */
    assert_int_equal(check(replay, &tag), IFAB_REPLAY_QUOTA);
    assert_int_equal(check(replay, &late), IFAB_REPLAY_SEEN);
    ifab_replay_expire(replay, 1000 * IFAB_MINUTE, skew);
    assert_int_equal(ifab_replay_count(replay), 0);
    assert_int_equal(ifab_replay_count_talent(replay, 1), 0);
    assert_int_equal(ifab_replay_dropped_until(replay), expiry + IFAB_MINUTE);
    ifab_replay_set_dropped_until(replay, 7); /* only ever up */
    assert_int_equal(ifab_replay_dropped_until(replay), expiry + IFAB_MINUTE);
    ifab_replay_set_dropped_until(replay, 2 * expiry);
    assert_int_equal(ifab_replay_dropped_until(replay), 2 * expiry);
    ifab_replay_free(replay);
}

static void answers_quota_at_each_bound_and_replay_before_it(void **state)
{
    (void)state;
    const struct ifab_replay_limits limits = {.per_talent = 3, .total = 5};
    struct ifab_replay *replay = make(&limits);
    for (uint32_t i = 0; i < 3; i++) {
        struct ifab_replay_tag tag = tag_of(1, i, i, IFAB_HOUR);
        assert_int_equal(check(replay, &tag), IFAB_REPLAY_FRESH);
        add(replay, &tag);
    }
    struct ifab_replay_tag seen = tag_of(1, 0, 99, IFAB_HOUR), more = tag_of(1, 3, 3, IFAB_HOUR);
    assert_int_equal(ifab_replay_count_talent(replay, 1), 3);
    assert_int_equal(check(replay, &more), IFAB_REPLAY_QUOTA);
    assert_int_equal(check(replay, &seen), IFAB_REPLAY_SEEN);
    for (uint32_t i = 0; i < 2; i++) {
        struct ifab_replay_tag tag = tag_of(2, i, i, IFAB_HOUR);
        assert_int_equal(check(replay, &tag), IFAB_REPLAY_FRESH);
        add(replay, &tag);
    }
    more = tag_of(3, 0, 0, IFAB_HOUR);
    assert_int_equal(check(replay, &more), IFAB_REPLAY_QUOTA);
    ifab_replay_expire(replay, 2 * IFAB_HOUR, 0);
    more = tag_of(3, 0, 0, 3 * IFAB_HOUR);
    assert_int_equal(check(replay, &more), IFAB_REPLAY_FRESH);
    ifab_replay_free(replay);
}

static void keeps_what_lies_outside_the_ring_of_minutes(void **state)
{
    (void)state; /* INV-03: check refuses it, but what was added all the same (at load, after a clock was set) is never lost */
    struct ifab_replay *replay = make(&wide);
    struct ifab_replay_tag near = tag_of(1, 1, 1, 10 * IFAB_MINUTE), far = tag_of(1, 2, 2, (10 + 128) * IFAB_MINUTE),
                           early = tag_of(1, 3, 3, 11 * IFAB_MINUTE), late = tag_of(1, 4, 4, (11 + 256) * IFAB_MINUTE + 7);
    add(replay, &near);
    assert_int_equal(check(replay, &far), IFAB_REPLAY_QUOTA);
    add(replay, &far);
    assert_int_equal(check(replay, &near), IFAB_REPLAY_SEEN);
    assert_int_equal(check(replay, &far), IFAB_REPLAY_SEEN);
    ifab_replay_expire(replay, 100 * IFAB_MINUTE, 0);
    assert_int_equal(check(replay, &near), IFAB_REPLAY_SEEN); /* kept for the longer of both */
    add(replay, &late);
    assert_int_equal(check(replay, &early), IFAB_REPLAY_QUOTA);
    add(replay, &early);
    ifab_replay_expire(replay, 200 * IFAB_MINUTE, 0);
    assert_int_equal(ifab_replay_count(replay), 2);
    assert_int_equal(check(replay, &early), IFAB_REPLAY_SEEN);
    assert_int_equal(check(replay, &late), IFAB_REPLAY_SEEN);
    assert_int_equal(ifab_replay_dropped_until(replay), far.expiry);
    struct ifab_replay_tag kept;
    assert_int_equal(ifab_replay_check(replay, &early, &kept, NULL), IFAB_REPLAY_SEEN);
    assert_true(kept.expiry >= early.expiry && kept.expiry <= late.expiry);
    ifab_replay_expire(replay, 1000 * IFAB_MINUTE, 0);
    assert_int_equal(ifab_replay_count(replay), 0);
    assert_int_equal(ifab_replay_dropped_until(replay), late.expiry);
    ifab_replay_free(replay);
}

static void changes_the_decision_it_keeps(void **state)
{
    (void)state;
    struct ifab_replay *replay = make(&wide);
    struct ifab_replay_tag tag = tag_of(1, 1, 1, IFAB_HOUR + 59999999), other = tag_of(1, 2, 2, IFAB_HOUR), kept;
    add(replay, &tag);
    for (uint8_t decision = IFAB_DECISION_DENY; decision <= IFAB_DECISION_SHARE; decision++) {
        ifab_replay_set_decision(replay, tag.id_tag16, decision);
        assert_int_equal(ifab_replay_check(replay, &tag, &kept, NULL), IFAB_REPLAY_SEEN);
        assert_int_equal(kept.decision, decision);
        assert_int_equal(kept.expiry, tag.expiry);
    }
    ifab_replay_set_decision(replay, other.id_tag16, IFAB_DECISION_DENY); /* absent: nothing */
    assert_int_equal(ifab_replay_count(replay), 1);
    ifab_replay_free(replay);
}

static void needs_at_most_80_bytes_a_live_message(void **state)
{
    (void)state; /* DESIGN section 8: RSS per live message */
    struct ifab_replay *replay = make(&wide);
    const ifab_usec start = 1000 * IFAB_HOUR;
    size_t worst = 0, at = 0;
    for (uint32_t i = 0; i < 400000; i++) { /* spread over an hour, as traffic is */
        struct ifab_replay_tag tag = tag_of(i % 7, i, i, start + (ifab_usec)i * 9000);
        add(replay, &tag);
        if (i >= 100000 && ifab_replay_bytes(replay) * 100 / (i + 1) > worst) {
            worst = ifab_replay_bytes(replay) * 100 / (i + 1);
            at = i + 1;
        }
        if (i + 1 == 200000) {
            print_message("# %zu bytes a live message at 200000\n", ifab_replay_bytes(replay) / 200000);
            assert_true(ifab_replay_bytes(replay) <= 200000 * 80);
        }
    }
    print_message("# at worst %zu.%02zu bytes between 100000 and 400000 live ones, at %zu\n", worst / 100, worst % 100, at);
    assert_true(worst <= 8000);
    for (uint32_t i = 0; i < 400000; i++) {
        struct ifab_replay_tag tag = tag_of(i % 7, i, i, start);
        assert_int_equal(check(replay, &tag), IFAB_REPLAY_SEEN);
    }
    size_t peak = ifab_replay_bytes(replay);
    ifab_replay_expire(replay, start + 3 * IFAB_HOUR, 0);
    assert_int_equal(ifab_replay_count(replay), 0);
    for (int i = 0; i < 400000 / 16; i++) /* what ended leaves a little with every call */
        ifab_replay_expire(replay, start + 3 * IFAB_HOUR, 0);
    assert_true(ifab_replay_bytes(replay) < peak / 2); /* records go back; the index stays for the next peak */
    ifab_replay_free(replay);
}

static void finds_nothing_of_what_has_ended_while_it_is_cleared_away(void **state)
{
    (void)state;
    struct ifab_replay *replay = make(&wide);
    for (uint32_t i = 0; i < 1000; i++) {
        struct ifab_replay_tag tag = tag_of(1, i, i, IFAB_HOUR);
        add(replay, &tag);
    }
    size_t once = ifab_replay_bytes(replay);
    ifab_replay_expire(replay, 2 * IFAB_HOUR, 0);
    assert_int_equal(ifab_replay_count(replay), 0);
    assert_int_equal(ifab_replay_count_talent(replay, 1), 0);
    for (uint32_t i = 0; i < 1000; i++) { /* the same ids in new messages, long before the old ones have left the index */
        struct ifab_replay_tag tag = tag_of(1, i, i, 3 * IFAB_HOUR), first;
        assert_int_equal(check(replay, &tag), IFAB_REPLAY_FRESH);
        tag.index = 5000 + i;
        add(replay, &tag);
        assert_int_equal(ifab_replay_check(replay, &tag, &first, NULL), IFAB_REPLAY_SEEN);
        assert_int_equal(first.index, 5000 + i);
    }
    assert_int_equal(ifab_replay_count(replay), 1000);
    assert_true(ifab_replay_bytes(replay) < once + 20000); /* adding clears away too: the old ones made room for the new */
    ifab_replay_free(replay);
}

static void adds_without_allocating_after_reserve(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 127, 128, 129, 1000, 5000};
    for (size_t s = 0; s < IFAB_COUNT(sizes); s++) {
        struct ifab_replay *replay = make(&wide);
        for (uint32_t round = 0; round < 3; round++) {
            assert_int_equal(ifab_replay_reserve(replay, sizes[s]), IFAB_OK);
            for (uint32_t i = 0; i < sizes[s]; i++) { /* each in another minute than the one before, each of its own talent */
                struct ifab_replay_tag tag = tag_of(i, round * 10000 + i, round * 10000 + i, (ifab_usec)(i % 128) * IFAB_MINUTE);
                ifab_mem_fail_at(1);
                ifab_replay_add(replay, &tag);
                assert_false(ifab_mem_failed());
                ifab_mem_fail_at(0);
            }
        }
        assert_int_equal(ifab_replay_count(replay), 3 * sizes[s]);
        ifab_replay_free(replay);
    }
}

static void survives_every_failing_allocation(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ifab_replay *replay = NULL;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_replay_new(&wide, &replay);
        if (status == IFAB_OK) {
            status = ifab_replay_reserve(replay, 200);
            if (status == IFAB_OK) {
                struct ifab_replay_tag tag = tag_of(1, 1, 1, 1);
                ifab_replay_add(replay, &tag);
                assert_int_equal(check(replay, &tag), IFAB_REPLAY_SEEN);
                status = ifab_replay_reserve(replay, 5000);
                assert_int_equal(check(replay, &tag), IFAB_REPLAY_SEEN); /* a failed reserve changes nothing */
            }
        }
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        if (replay != NULL && failed) { /* and works later */
            struct ifab_replay_tag tag = tag_of(2, 2, 2, 2);
            add(replay, &tag);
            assert_int_equal(check(replay, &tag), IFAB_REPLAY_SEEN);
        }
        ifab_replay_free(replay);
        if (!failed)
            break;
        assert_true(n < 2000);
    }
    ifab_replay_free(NULL);
}

static void refuses_limits_that_would_keep_nothing(void **state)
{
    (void)state;
    struct ifab_replay *replay = NULL;
    const struct ifab_replay_limits bad[] = {{0, 1}, {1, 0}, {1, UINT32_MAX}};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_int_equal(ifab_replay_new(&bad[i], &replay), IFAB_INVALID);
    assert_null(replay);
}

static void packs_a_tag_and_refuses_nonsense(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_REPLAY_TAG_SIZE + 1] = {0};
    struct ifab_replay_tag tag = tag_of(0xfffffffe, 5, 6, INT64_C(253402300799) * IFAB_SECOND), back;
    tag.index = UINT64_MAX - 3;
    ifab_replay_tag_pack(&tag, bytes);
    assert_int_equal(bytes[48], 0xfe); /* talent, little-endian, after tags, expiry and index */
    assert_true(ifab_replay_tag_unpack(ifab_view_of(bytes, IFAB_REPLAY_TAG_SIZE), &back));
    assert_memory_equal(back.id_tag16, tag.id_tag16, 16);
    assert_memory_equal(back.nonce_tag16, tag.nonce_tag16, 16);
    assert_int_equal(back.expiry, tag.expiry);
    assert_int_equal(back.index, tag.index);
    assert_int_equal(back.talent, tag.talent);
    assert_int_equal(back.decision, tag.decision);
    for (size_t size = 0; size < sizeof bytes; size++) {
        if (size != IFAB_REPLAY_TAG_SIZE)
            assert_false(ifab_replay_tag_unpack(ifab_view_of(bytes, size), &back));
    }
    assert_false(ifab_replay_tag_unpack(ifab_view_of(bytes, sizeof bytes), &back));
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{39, 0x80}, {52, 4}, {52, 255}, {53, 1}, {54, 1}, {55, 1}};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        uint8_t was = bytes[bad[i].at];
        bytes[bad[i].at] = bad[i].value;
        assert_false(ifab_replay_tag_unpack(ifab_view_of(bytes, IFAB_REPLAY_TAG_SIZE), &back));
        bytes[bad[i].at] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_an_id_or_a_nonce_a_second_time),
        cmocka_unit_test(makes_tags_that_tell_id_from_nonce_and_talents_apart),
        cmocka_unit_test(keeps_a_message_until_its_minute_and_the_skew_are_over),
        cmocka_unit_test(answers_quota_at_each_bound_and_replay_before_it),
        cmocka_unit_test(keeps_what_lies_outside_the_ring_of_minutes),
        cmocka_unit_test(changes_the_decision_it_keeps),
        cmocka_unit_test(needs_at_most_80_bytes_a_live_message),
        cmocka_unit_test(finds_nothing_of_what_has_ended_while_it_is_cleared_away),
        cmocka_unit_test(adds_without_allocating_after_reserve),
        cmocka_unit_test(survives_every_failing_allocation),
        cmocka_unit_test(refuses_limits_that_would_keep_nothing),
        cmocka_unit_test(packs_a_tag_and_refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
