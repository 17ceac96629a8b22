/* Storms: buckets, bounds on what waits, entries about refusals, the table of counts. DESIGN section 5 Guard and Witness. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#define A "if://agent/A"
#define B "if://agent/B"

static struct rig rig;

static void begin(const struct ifab_fabric_settings *settings)
{
    rig_new(&rig, settings);
    rig.unsigned_ok = true;
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT);
}

static enum ifab_code send(const char *sender, const char *content)
{
    struct rig_message m = rig_message(&rig, sender, content);
    return rig_send(&rig, &m);
}

static size_t open_count(void)
{
    return ifab_decisions_count(ifab_fabric_decisions(rig.fabric), IFAB_DECISION_HOLD) +
           ifab_decisions_count(ifab_fabric_decisions(rig.fabric), IFAB_DECISION_ESCALATE);
}

/* A bucket a talent and state; over it 302 with a time after which the same message passes; others are not touched. */
static void bucket_of_a_talent_empties_for_itself_alone(void **state)
{
    (void)state;
    for (int escalate = 0; escalate < 2; escalate++) {
        const char *content = escalate ? RIG_ESCALATED : RIG_HELD, *other = escalate ? RIG_HELD : RIG_ESCALATED;
        struct ifab_fabric_settings settings;
        rig_settings(&settings);
        settings.rules.hold_burst = settings.rules.escalate_burst = 3;
        settings.rules.hold_refill = settings.rules.escalate_refill = 2 * IFAB_SECOND;
        begin(&settings);
        for (int i = 0; i < 3; i++)
            assert_int_equal(send(A, content), IFAB_CODE_NONE);
        struct rig_message m = rig_message(&rig, A, content);
        size_t entries = rig.entry_count;
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_RATE_LIMIT_EXCEEDED);
        int64_t wait = rig.outcome.reply.refusal.retry_after_ms;
        assert_true(wait > 0 && wait <= 2001);
        assert_int_equal(rig.entry_count, entries + 1); /* witnessed */
        assert_non_null(strstr(rig_last(&rig), "IF_ERR_302"));
        assert_int_equal(open_count(), 3);
        rig_restart(&rig); /* the bucket is durable */
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_RATE_LIMIT_EXCEEDED);
        assert_int_equal(send(A, other), IFAB_CODE_NONE);
        assert_int_equal(send(A, RIG_SHARED), IFAB_CODE_NONE);
        assert_int_equal(send(B, content), IFAB_CODE_NONE);
        m.seq = ++rig.n;
        rig.now.run += wait * 1000;
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
        rig_free(&rig);
    }
}

/* 305: this talent's quota. 304: the daemon is full. Nothing live is evicted. */
static void full_table_refuses_and_evicts_nothing(void **state)
{
    (void)state;
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rules.hold_burst = 1000;
    settings.rules.open_max = 300;
    begin(&settings);
    for (int i = 0; i < 256; i++)
        assert_int_equal(send(A, RIG_HELD), IFAB_CODE_NONE);
    assert_int_equal(send(A, RIG_HELD), IFAB_CODE_QUOTA_EXCEEDED);
    for (int i = 256; i < 300; i++)
        assert_int_equal(send(B, RIG_HELD), IFAB_CODE_NONE);
    assert_int_equal(send(B, RIG_HELD), IFAB_CODE_QUEUE_FULL);
    assert_non_null(strstr(rig_last(&rig), "IF_ERR_304"));
    assert_int_equal(send(A, RIG_HELD), IFAB_CODE_QUEUE_FULL);
    assert_int_equal(send(B, "{\"confidence\":{\"normalized\":0.9,\"raw\":0.9},\"scope\":{}}"),
                     IFAB_CODE_NONE); /* what need not wait passes */
    assert_int_equal(open_count(), 300);
    rig_restart(&rig);
    assert_int_equal(open_count(), 300);
    rig_free(&rig);
}

/* The rate of messages itself: 302, and the wait it names is enough. */
static void rate_of_a_talent_is_bounded(void **state)
{
    (void)state;
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rate_per_second = 10;
    settings.rate_burst = 5;
    begin(&settings);
    unsigned passed = 0;
    for (int ms = 0; ms < 10000; ms += 10) {
        passed += send(A, RIG_SHARED) == IFAB_CODE_NONE;
        rig.now.run += 10000;
    }
    assert_in_range(passed, 100, 105);
    while (send(A, RIG_SHARED) == IFAB_CODE_NONE)
        ;
    int64_t wait = rig.outcome.reply.refusal.retry_after_ms;
    assert_in_range(wait, 1, 101);
    assert_int_equal(send(B, RIG_SHARED), IFAB_CODE_NONE);
    rig.now.run += wait * 1000;
    assert_int_equal(send(A, RIG_SHARED), IFAB_CODE_NONE);
    rig_free(&rig);
}

/* Entries about refusals: 10 a second and sender; past that they are counted, and the counts come to the log. */
static void refusals_of_a_sender_become_few_entries_and_the_rest_is_counted(void **state)
{
    (void)state;
    begin(NULL);
    struct rig_message m = rig_message(&rig, A, RIG_SHARED);
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    rig_tick(&rig);
    size_t before = rig.entry_count;
    for (int i = 0; i < 2000; i++) { /* 200 a second */
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_REPLAY_DETECTED);
        rig.now.run += 5000;
    }
    size_t entries = rig.entry_count - before;
    assert_in_range(entries, 100, 110);
    size_t other = rig.entry_count;
    struct rig_message b = rig_message(&rig, B, RIG_SHARED);
    assert_int_equal(rig_send(&rig, &b), IFAB_CODE_NONE);
    assert_int_equal(rig_send(&rig, &b), IFAB_CODE_REPLAY_DETECTED);
    assert_int_equal(rig.entry_count, other + 2); /* another sender has an allowance of its own */
    rig_tick(&rig);
    char counted[64];
    snprintf(counted, sizeof counted, "\"total\":%zu,", 2000 - entries);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"refusals_counted\""));
    assert_non_null(strstr(rig_last(&rig), counted));
    assert_non_null(strstr(rig_last(&rig), "\"source\":\"A\""));
    rig_free(&rig);
}

static void daily_quota_of_refusal_bytes_ends_and_comes_back(void **state)
{
    (void)state;
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.refusal_bytes_per_day = 8000;
    begin(&settings);
    struct rig_message m = rig_message(&rig, A, RIG_SHARED);
    m.ttl_s = 3600;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    size_t before = rig.entry_count, bytes = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_REPLAY_DETECTED);
        rig.now.run += IFAB_SECOND;
    }
    size_t entries = rig.entry_count - before;
    assert_in_range(entries, 5, 20);
    for (size_t i = before; i < rig.entry_count; i++)
        bytes += rig.entries[i].size;
    assert_true(bytes <= 12000);
    rig.now.run += IFAB_DAY;
    before = rig.entry_count;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_REPLAY_DETECTED);
    assert_int_equal(rig.entry_count, before + 1);
    rig_free(&rig);
}

/* ---- counts of what was refused before a valid signature ---- */

static void count(enum ifab_code code, struct ifab_view source)
{
    static const uint8_t sample[16] = {1, 2, 3};
    ifab_fabric_count_refusal(rig.fabric, code, source, sample, rig.now.run);
}

static const struct ifab_json *last_payload(void)
{
    const struct ifab_json *entry;
    const struct rig_entry *last = &rig.entries[rig.entry_count - 1];
    assert_int_equal(ifab_json_read(ifab_view_of(last->bytes, last->size), &(struct ifab_json_limits){0}, &rig.arena, &entry, NULL),
                     IFAB_OK);
    assert_non_null(ifab_json_get(entry, "payload"));
    return ifab_json_get(entry, "payload");
}

static int64_t number(const struct ifab_json *object, const char *name)
{
    int64_t n = -1;
    assert_true(ifab_json_integer(ifab_json_get(object, name), &n));
    return n;
}

/* INV-01: the only thing that unauthenticated bytes change is a bounded table; one entry a minute carries it. */
static void counts_are_bounded_and_flushed_once_a_minute(void **state)
{
    (void)state;
    begin(NULL);
    rig_pass(&rig, 2 * IFAB_MINUTE);
    size_t before = rig.entry_count;
    for (unsigned i = 0; i < 5000; i++) {
        char source[32];
        snprintf(source, sizeof source, "10.0.%u.%u", i / 256, i % 256);
        count(i % 2 == 0 ? IFAB_CODE_INVALID_ENVELOPE : IFAB_CODE_INVALID_SIGNATURE, ifab_view_str(source));
    }
    assert_int_equal(rig.entry_count, before);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
    rig_tick(&rig);
    assert_int_equal(rig.entry_count, before + 1);
    const struct ifab_json *payload = last_payload();
    assert_int_equal(number(payload, "total"), 5000);
    int64_t listed = 0;
    const struct ifab_json *counts = ifab_json_get(payload, "counts");
    for (size_t i = 0; i < counts->u.array.count; i++)
        listed += number(&counts->u.array.items[i], "count");
    assert_int_equal(listed + number(payload, "unlisted"), 5000);
    assert_true(counts->u.array.count >= 64 && counts->u.array.count <= 1024);
    ifab_usec flushed = rig.now.run;
    for (int second = 0; second < 300; second++) { /* five minutes of garbage: five entries */
        for (int i = 0; i < 100; i++)
            count(IFAB_CODE_INVALID_ENVELOPE, IFAB_VIEW("10.0.0.1"));
        rig_pass(&rig, IFAB_SECOND);
        rig_tick(&rig); /* also when nothing is due */
    }
    assert_int_equal(rig.now.run, flushed + 300 * IFAB_SECOND);
    assert_in_range(rig.entry_count - before - 1, 4, 5);
    rig_free(&rig);
}

/* Whatever the source is called: the entry is written, within its size, and is JSON. */
static void counts_of_hostile_sources_still_make_an_entry(void **state)
{
    (void)state;
    begin(NULL);
    for (int kind = 0; kind < 3; kind++) {
        rig_pass(&rig, 2 * IFAB_MINUTE);
        size_t before = rig.entry_count;
        for (unsigned i = 0; i < 1500; i++) {
            uint8_t source[80];
            memset(source, kind == 0 ? 1 : kind == 1 ? 0xFF : 'x', sizeof source);
            if (kind == 2) /* a character across the place where it is cut */
                for (size_t at = 0; at + 1 < sizeof source; at += 2)
                    memcpy(source + at, "\xC3\xA9", 2);
            source[0] = (uint8_t)(1 + i % 127);
            source[1] = (uint8_t)(1 + i / 127);
            for (uint64_t n = 0; n < 3; n++)
                count(IFAB_CODE_INVALID_ENVELOPE, ifab_view_of(source, sizeof source));
        }
        rig_tick(&rig);
        assert_int_equal(rig.outcome.reply.code, IFAB_CODE_NONE);
        assert_int_equal(rig.entry_count, before + 1);
        assert_int_equal(number(last_payload(), "total"), 4500);
    }
    rig_free(&rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_of_a_talent_empties_for_itself_alone),
        cmocka_unit_test(full_table_refuses_and_evicts_nothing),
        cmocka_unit_test(rate_of_a_talent_is_bounded),
        cmocka_unit_test(refusals_of_a_sender_become_few_entries_and_the_rest_is_counted),
        cmocka_unit_test(daily_quota_of_refusal_bytes_ends_and_comes_back),
        cmocka_unit_test(counts_are_bounded_and_flushed_once_a_minute),
        cmocka_unit_test(counts_of_hostile_sources_still_make_an_entry),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
