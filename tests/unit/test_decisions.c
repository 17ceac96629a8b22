/* The table of open decisions, its record and its buckets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "guard/guard.h"

#include <math.h>

static struct ifab_open_decision held(uint64_t number, uint32_t talent, ifab_usec deadline)
{
    struct ifab_open_decision decision;
    memset(&decision, 0, sizeof decision);
    decision.number = number;
    decision.state = IFAB_DECISION_HOLD;
    decision.talent = talent;
    decision.deadline_run = deadline;
    decision.id16[0] = (uint8_t)number;
    memset(decision.owner_digest16, (int)talent, 16);
    decision.facts.has_claim_id = decision.facts.has_scope = true;
    decision.facts.claim_key16[3] = 7;
    decision.facts.scope_digest32[5] = 6;
    return decision;
}

/* Every field different from zero, every list full. */
static struct ifab_open_decision full(void)
{
    struct ifab_open_decision d;
    memset(&d, 0, sizeof d);
    d.number = 77;
    d.state = IFAB_DECISION_ESCALATE;
    d.step2_met = true;
    d.talent = 0x01020304;
    memset(d.id16, 0x11, 16);
    memset(d.owner_digest16, 0x12, 16);
    d.index = 0x1122334455667788;
    d.admitted_at = 1762943000000000;
    d.deadline_run = 99;
    d.expires_wall = IFAB_NEVER;
    memset(d.message_digest32, 0x13, 32);
    memset(d.policy_digest32, 0x14, 32);
    memset(d.topic32, 0x15, 32);
    memset(d.trace16, 0x16, 16);
    memset(d.id_tag16, 0x17, 16);
    d.receiver_count = IFAB_GUARD_RECEIVERS_MAX;
    d.voter_count = IFAB_GUARD_VOTERS_MAX;
    d.votes_needed = 3;
    d.facts.domain_count = d.facts.hash_count = IFAB_GUARD_SOURCES_MAX;
    d.facts.parent_performative = 13;
    d.facts.parent_hazards = 31;
    d.facts.ruled.hazards = 17;
    d.facts.ruled.effect = 3; /* escalate */
    d.facts.ruled.votes = 16;
    memset(d.facts.ruled.id, 'i', sizeof d.facts.ruled.id - 1);
    memset(d.facts.ruled.reason, 'r', sizeof d.facts.ruled.reason - 1);
    for (uint32_t i = 0; i < 64; i++) {
        d.receivers[i] = i + 1000;
        d.voters[i] = (struct ifab_voter){i + 2000, i / 2, i % 2 == 0 ? (uint8_t)(i / 2 % 3) : 0};
        memset(d.facts.domains[i], (int)i, 16);
        memset(d.facts.hashes[i], (int)i + 100, 16);
    }
    d.facts.is_claim = d.facts.has_scope = d.facts.has_confidence = d.facts.secret_found = true;
    d.facts.second_source_kind = d.facts.has_claim_id = true;
    d.facts.confidence = 0.25;
    d.facts.hazards = 31;
    memset(d.facts.claim_key16, 0x18, 16);
    memset(d.facts.scope_digest32, 0x19, 32);
    return d;
}

static void record_comes_back_as_it_was(void **state)
{
    (void)state;
    static const double numbers[] = {0.25, -0.0, NAN, INFINITY, 1e-310};
    uint8_t bytes[IFAB_OPEN_DECISION_PACKED_MAX], again[IFAB_OPEN_DECISION_PACKED_MAX];
    for (size_t i = 0; i < IFAB_COUNT(numbers); i++) {
        struct ifab_open_decision d = full(), back;
        memset(&back, 0xff, sizeof back);
        d.facts.confidence = numbers[i];
        size_t size = ifab_open_decision_pack(&d, bytes);
        assert_true(size <= sizeof bytes);
        assert_true(ifab_open_decision_unpack(ifab_view_of(bytes, size), 77, &back));
        assert_int_equal(back.number, 77);
        assert_memory_equal(&back.facts.confidence, &d.facts.confidence, sizeof(double));
        assert_int_equal(back.voters[2].voted, 1);
        assert_int_equal(back.receivers[63], 1063);
        assert_int_equal(back.facts.hazards, 31);
        assert_int_equal(back.expires_wall, IFAB_NEVER);
        assert_int_equal(ifab_open_decision_pack(&back, again), size);
        assert_memory_equal(bytes, again, size);
    }
    struct ifab_open_decision d = held(5, 1, 10), back; /* the smallest: nothing optional */
    d.facts.has_claim_id = d.facts.has_scope = false;
    memset(&d.facts.claim_key16, 0, 16);
    memset(&d.facts.scope_digest32, 0, 32);
    size_t size = ifab_open_decision_pack(&d, bytes);
    assert_true(ifab_open_decision_unpack(ifab_view_of(bytes, size), 5, &back));
    assert_int_equal(ifab_open_decision_pack(&back, again), size);
    assert_memory_equal(bytes, again, size);
}

/* Every field of the struct reaches the record: a change of it changes the bytes. */
static void record_tells_every_field_apart(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_OPEN_DECISION_PACKED_MAX], other[IFAB_OPEN_DECISION_PACKED_MAX];
    struct ifab_open_decision base = full();
    size_t size = ifab_open_decision_pack(&base, bytes), changes = 0;
#define CHANGED(change)                                                                          \
    do {                                                                                         \
        struct ifab_open_decision d = full();                                                    \
        change;                                                                                  \
        size_t other_size = ifab_open_decision_pack(&d, other);                                  \
        assert_true(other_size != size || memcmp(bytes, other, size) != 0);                      \
        changes++;                                                                               \
    } while (0)
    CHANGED(d.state = IFAB_DECISION_HOLD);
    CHANGED(d.step2_met = false);
    CHANGED(d.talent++);
    CHANGED(d.id16[15]++);
    CHANGED(d.owner_digest16[15]++);
    CHANGED(d.index++);
    CHANGED(d.admitted_at++);
    CHANGED(d.deadline_run++);
    CHANGED(d.expires_wall--);
    CHANGED(d.message_digest32[31]++);
    CHANGED(d.policy_digest32[31]++);
    CHANGED(d.topic32[31]++);
    CHANGED(d.trace16[15]++);
    CHANGED(d.id_tag16[15]++);
    CHANGED(d.receivers[63]++);
    CHANGED(d.receiver_count--);
    CHANGED(d.votes_needed++);
    CHANGED(d.voters[63].talent++);
    CHANGED(d.voters[63].owner++);
    CHANGED(d.voters[62].voted ^= 1);
    CHANGED(d.voter_count--);
    CHANGED(d.facts.is_claim = false);
    CHANGED(d.facts.has_scope = false);
    CHANGED(d.facts.has_confidence = false);
    CHANGED(d.facts.secret_found = false);
    CHANGED(d.facts.second_source_kind = false);
    CHANGED(d.facts.has_claim_id = false);
    CHANGED(d.facts.confidence = 0.26);
    CHANGED(d.facts.hazards = 30);
    CHANGED(d.facts.claim_key16[15]++);
    CHANGED(d.facts.scope_digest32[31]++);
    CHANGED(d.facts.domains[63][15]++);
    CHANGED(d.facts.domain_count--);
    CHANGED(d.facts.hashes[63][15]++);
    CHANGED(d.facts.hash_count--);
#undef CHANGED
    assert_int_equal(changes, 35);
}

static void refuses_every_truncation_and_every_longer_record(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_OPEN_DECISION_PACKED_MAX + 1] = {0};
    struct ifab_open_decision d = full(), back;
    size_t size = ifab_open_decision_pack(&d, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = ifab_malloc(cut + 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(exact);
        memcpy(exact + 1, bytes, cut);
        assert_false(ifab_open_decision_unpack(ifab_view_of(exact + 1, cut), 1, &back));
        ifab_free(exact);
    }
    bytes[size] = 0;
    assert_false(ifab_open_decision_unpack(ifab_view_of(bytes, size + 1), 1, &back));
    assert_false(ifab_open_decision_unpack(ifab_view_of(bytes, sizeof bytes), 1, &back));
    assert_false(ifab_open_decision_unpack(ifab_view_of(NULL, 0), 1, &back));
}

static void every_flipped_bit_is_refused_or_kept(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_OPEN_DECISION_PACKED_MAX], again[IFAB_OPEN_DECISION_PACKED_MAX];
    struct ifab_open_decision d = full(), back;
    size_t size = ifab_open_decision_pack(&d, bytes), refused = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (!ifab_open_decision_unpack(ifab_view_of(bytes, size), 1, &back)) {
            refused++;
        } else {
            assert_int_equal(ifab_open_decision_pack(&back, again), size);
            assert_memory_equal(again, bytes, size);
        }
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(refused > 50); /* version, state, flags, counts, votes */
}

static void refuses_records_no_fabric_wrote(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_OPEN_DECISION_PACKED_MAX];
    struct ifab_open_decision back;
#define REFUSED(change)                                                                  \
    do {                                                                                 \
        struct ifab_open_decision d = full();                                            \
        change;                                                                          \
        size_t size = ifab_open_decision_pack(&d, bytes);                                \
        assert_false(ifab_open_decision_unpack(ifab_view_of(bytes, size), 1, &back));    \
    } while (0)
    REFUSED(d.state = IFAB_DECISION_DENY);
    REFUSED(d.state = IFAB_DECISION_SHARE);
    REFUSED(d.voters[3].talent = d.voters[0].talent);     /* one voter twice */
    REFUSED(d.voters[2].voted = d.voters[3].voted = 1);   /* one owner twice: 2 and 3 share one */
    REFUSED(d.voters[0].voted = 3);                       /* neither yes nor no */
#undef REFUSED
}

static void finds_by_number_id_deadline_and_claim(void **state)
{
    (void)state;
    struct ifab_decisions *table;
    assert_int_equal(ifab_decisions_new(1, &table), IFAB_OK);
    assert_int_equal(ifab_decisions_next_deadline(table), IFAB_NEVER);
    assert_null(ifab_decisions_due(table, IFAB_NEVER));
    assert_null(ifab_decisions_after(table, 0));
    assert_int_equal(ifab_decisions_reserve(table, 3), IFAB_OK);
    struct ifab_open_decision a = held(1, 1, 300), b = held(2, 2, 100), c = held(3, 3, 100);
    c.id16[0] = 1; /* the same id by another talent */
    ifab_decisions_put(table, &c);
    ifab_decisions_put(table, &a);
    ifab_decisions_put(table, &b);
    assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_HOLD), 3);
    assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_ESCALATE), 0);
    assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_SHARE), 0);
    assert_int_equal(ifab_decisions_find(table, a.id16)->number, 1); /* first by number */
    assert_int_equal(ifab_decisions_at(table, 3)->talent, 3);
    assert_null(ifab_decisions_at(table, 4));
    assert_int_equal(ifab_decisions_next_deadline(table), 100);
    assert_null(ifab_decisions_due(table, 99));
    assert_int_equal(ifab_decisions_due(table, 100)->number, 2); /* equal deadlines: the smaller number */
    assert_int_equal(ifab_decisions_after(table, 0)->number, 1);
    assert_int_equal(ifab_decisions_after(table, 1)->number, 2);
    assert_null(ifab_decisions_after(table, 3));
    assert_null(ifab_decisions_after(table, UINT64_MAX));

    struct ifab_guard_facts later = a.facts;
    uint8_t owner[16];
    memset(owner, 2, 16);
    later.second_source_kind = true;
    assert_int_equal(ifab_decisions_matched(table, 0, &later, 2, owner)->number, 1);
    assert_int_equal(ifab_decisions_matched(table, 1, &later, 2, owner)->number, 3); /* 2 is its own */
    assert_null(ifab_decisions_matched(table, 3, &later, 2, owner));
    a.state = IFAB_DECISION_ESCALATE; /* its deadline came: held no longer */
    a.deadline_run = 50;
    ifab_decisions_put(table, &a);
    assert_int_equal(ifab_decisions_matched(table, 0, &later, 2, owner)->number, 3);
    assert_int_equal(ifab_decisions_next_deadline(table), 50);
    assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_ESCALATE), 1);

    ifab_decisions_remove(table, 1);
    ifab_decisions_remove(table, 1);
    assert_int_equal(ifab_decisions_find(table, a.id16)->number, 3);
    ifab_decisions_remove(table, 3);
    assert_null(ifab_decisions_find(table, a.id16));
    assert_int_equal(ifab_decisions_due(table, 100)->number, 2);
    ifab_decisions_free(table);
    ifab_decisions_free(NULL);
}

static void reserve_survives_every_failed_allocation(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct ifab_decisions *table = NULL;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_decisions_new(1, &table);
        if (status == IFAB_OK)
            status = ifab_decisions_reserve(table, 20);
        failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        if (table != NULL && failed)
            assert_int_equal(ifab_decisions_reserve(table, 20), IFAB_OK);
        if (table != NULL) {
            ifab_mem_fail_at(1); /* after reserve nothing allocates */
            for (uint64_t i = 1; i <= 20; i++) {
                struct ifab_open_decision d = held(i, (uint32_t)i, 1);
                d.facts.claim_key16[0] = (uint8_t)i;
                struct ifab_bucket bucket = {(uint32_t)i, 1, 1, 0, 0};
                ifab_decisions_put(table, &d);
                ifab_decisions_put_bucket(table, &bucket);
            }
            assert_false(ifab_mem_failed());
            ifab_mem_fail_at(0);
            assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_HOLD), 20);
        }
        ifab_decisions_free(table);
    }
}

static struct ifab_guard_rules small_rules(void)
{
    struct ifab_guard_rules rules;
    ifab_guard_rules_default(&rules);
    rules.loaded = true;
    rules.hold_burst = 3;
    rules.hold_refill = 1000000;
    rules.escalate_burst = 1;
    rules.escalate_refill = 5000000;
    rules.open_max = 5;
    rules.open_max_talent = 2;
    return rules;
}

static void bucket_empties_and_refills_in_run_time(void **state)
{
    (void)state;
    struct ifab_decisions *table;
    struct ifab_guard_rules rules = small_rules();
    struct ifab_bucket next;
    struct ifab_refusal refusal;
    assert_int_equal(ifab_decisions_new(1, &table), IFAB_OK);
    assert_int_equal(ifab_decisions_reserve(table, 1), IFAB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 4, 1000, &next, &refusal), IFAB_CODE_NONE);
        ifab_decisions_put_bucket(table, &next);
    }
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 4, 1000, &next, &refusal), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(refusal.retry_after_ms, 1001);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 4, 1000999, &next, &refusal), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(refusal.retry_after_ms, 1);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 4, 1001000, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(next.hold_tokens, 0);
    assert_int_equal(next.hold_from, 1001000);
    /* the other state has its own tokens; another talent its own bucket */
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_ESCALATE, 4, 1000, &next, &refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 5, 1000, &next, &refusal), IFAB_CODE_NONE);
    /* run went back: nothing is won, nothing is locked up */
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 4, 0, &next, &refusal), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(refusal.retry_after_ms, 1001);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 4, IFAB_NEVER, &next, &refusal), IFAB_CODE_NONE);
    assert_int_equal(next.hold_tokens, 2);
    ifab_decisions_free(table);
}

/* INV-06: zeroed rules admit nothing; a bucket without refill time is never filled again; nothing but HOLD and ESCALATE waits. */
static void zeroed_rules_admit_nothing(void **state)
{
    (void)state;
    struct ifab_decisions *table;
    struct ifab_guard_rules rules;
    struct ifab_bucket next;
    struct ifab_refusal refusal;
    memset(&rules, 0, sizeof rules);
    assert_int_equal(ifab_decisions_new(1, &table), IFAB_OK);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 1, 0, &next, &refusal), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(refusal.retry_after_ms, -1);
    rules.hold_burst = 2;
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 1, 0, &next, &refusal), IFAB_CODE_QUEUE_FULL);
    rules.open_max = rules.open_max_talent = 1;
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 1, 0, &next, &refusal), IFAB_CODE_NONE);
    next.hold_tokens = 0;
    ifab_decisions_put_bucket(table, &next);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 1, IFAB_NEVER, &next, &refusal),
                     IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_SHARE, 1, 0, &next, &refusal), IFAB_CODE_SYSTEM_ERROR);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_DENY, 1, 0, &next, &refusal), IFAB_CODE_SYSTEM_ERROR);
    ifab_decisions_free(table);
}

static void full_queue_is_told_from_an_empty_bucket(void **state)
{
    (void)state;
    struct ifab_decisions *table;
    struct ifab_guard_rules rules = small_rules();
    struct ifab_bucket next;
    struct ifab_refusal refusal;
    assert_int_equal(ifab_decisions_new(1, &table), IFAB_OK);
    assert_int_equal(ifab_decisions_reserve(table, 6), IFAB_OK);
    for (uint64_t i = 1; i <= 5; i++) {
        struct ifab_open_decision d = held(i, i <= 2 ? 1 : (uint32_t)i, 1);
        ifab_decisions_put(table, &d);
        assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 1, 0, &next, &refusal),
                         i < 2   ? IFAB_CODE_NONE
                         : i < 5 ? IFAB_CODE_QUOTA_EXCEEDED /* this talent's bound */
                                 : IFAB_CODE_QUEUE_FULL);   /* everybody's */
        assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 9, 0, &next, &refusal),
                         i < 5 ? IFAB_CODE_NONE : IFAB_CODE_QUEUE_FULL);
    }
    ifab_decisions_remove(table, 1);
    assert_int_equal(ifab_decisions_admit(table, &rules, IFAB_DECISION_HOLD, 1, 0, &next, &refusal), IFAB_CODE_NONE);
    ifab_decisions_free(table);
}

static void bucket_record_is_strict(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_BUCKET_PACKED + 1] = {0}, again[IFAB_BUCKET_PACKED];
    struct ifab_bucket bucket = {0x01020304, 5, 6, 7, IFAB_NEVER}, back;
    assert_int_equal(ifab_bucket_pack(&bucket, bytes), IFAB_BUCKET_PACKED);
    assert_true(ifab_bucket_unpack(ifab_view_of(bytes, IFAB_BUCKET_PACKED), 0x01020304, &back));
    assert_int_equal(back.hold_tokens, 5);
    assert_int_equal(back.escalate_tokens, 6);
    assert_int_equal(back.hold_from, 7);
    assert_int_equal(back.escalate_from, IFAB_NEVER);
    assert_int_equal(ifab_bucket_pack(&back, again), IFAB_BUCKET_PACKED);
    assert_memory_equal(bytes, again, IFAB_BUCKET_PACKED);
    assert_false(ifab_bucket_unpack(ifab_view_of(bytes, IFAB_BUCKET_PACKED), 0x01020305, &back)); /* of another talent */
    for (size_t size = 0; size <= IFAB_BUCKET_PACKED + 1; size++)
        assert_int_equal(ifab_bucket_unpack(ifab_view_of(bytes, size), 0x01020304, &back), size == IFAB_BUCKET_PACKED);
    bytes[19] |= 0x80; /* before the beginning of run time */
    assert_false(ifab_bucket_unpack(ifab_view_of(bytes, IFAB_BUCKET_PACKED), 0x01020304, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was),
        cmocka_unit_test(record_tells_every_field_apart),
        cmocka_unit_test(refuses_every_truncation_and_every_longer_record),
        cmocka_unit_test(every_flipped_bit_is_refused_or_kept),
        cmocka_unit_test(refuses_records_no_fabric_wrote),
        cmocka_unit_test(finds_by_number_id_deadline_and_claim),
        cmocka_unit_test(reserve_survives_every_failed_allocation),
        cmocka_unit_test(bucket_empties_and_refills_in_run_time),
        cmocka_unit_test(zeroed_rules_admit_nothing),
        cmocka_unit_test(full_queue_is_told_from_an_empty_bucket),
        cmocka_unit_test(bucket_record_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
