/*
 * 10^5 operations on the table against a plain array; 10^6 pairs, of which one may be a second source for the other; buckets against a model that counts
 * token by token. IFAB_SEED=N repeats a run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "guard/guard.h"

#include <stdio.h>
#include <stdlib.h>

#define MODEL_MAX 120
static struct ifab_open_decision model[MODEL_MAX]; /* in no order */
static size_t model_count;
static uint64_t seed = 20251112, operation;

static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Few, sometimes as many as fit, seldom more than are looked at. */
static size_t draw_count(void)
{
    uint64_t kind = draw() % 64;
    return kind == 0 ? IFAB_GUARD_SOURCES_MAX + 1 : kind == 1 ? IFAB_GUARD_SOURCES_MAX : draw() % 3;
}

/* Small domains, so that ids, claims, deadlines and owners collide. */
static void draw_facts(struct ifab_guard_facts *facts)
{
    memset(facts, 0, sizeof *facts);
    facts->has_claim_id = draw() % 8 != 0;
    facts->has_scope = draw() % 8 != 0;
    facts->second_source_kind = draw() % 4 != 0;
    if (facts->has_claim_id)
        facts->claim_key16[15] = (uint8_t)(draw() % 4);
    if (facts->has_scope)
        facts->scope_digest32[31] = (uint8_t)(draw() % 2);
    facts->domain_count = draw_count();
    facts->hash_count = draw_count();
    for (size_t i = 0; i < facts->domain_count && i < IFAB_GUARD_SOURCES_MAX; i++) /* those that differ differ in their last byte */
        facts->domains[i][15] = (uint8_t)(draw() % (facts->domain_count > 2 ? 255 : 12));
    for (size_t i = 0; i < facts->hash_count && i < IFAB_GUARD_SOURCES_MAX; i++)
        facts->hashes[i][15] = (uint8_t)(draw() % (facts->hash_count > 2 ? 255 : 12));
}

/* Two talents an owner; but a talent may have come under another. */
static void draw_owner(uint8_t ret16[16], uint32_t talent)
{
    memset(ret16, 7, 16);
    ret16[15] = (uint8_t)(draw() % 8 == 0 ? draw() % 4 : talent / 2);
}

static void draw_decision(struct ifab_open_decision *d, uint64_t number)
{
    memset(d, 0, sizeof *d);
    d->number = number;
    d->state = draw() % 3 == 0 ? IFAB_DECISION_ESCALATE : IFAB_DECISION_HOLD;
    d->talent = 1 + (uint32_t)(draw() % 6);
    draw_owner(d->owner_digest16, d->talent);
    d->id16[0] = (uint8_t)(draw() % 40);
    d->deadline_run = (ifab_usec)(draw() % 50);
    draw_facts(&d->facts);
}

static const struct ifab_open_decision *model_at(uint64_t number)
{
    for (size_t i = 0; i < model_count; i++)
        if (model[i].number == number)
            return &model[i];
    return NULL;
}

/* The smallest number above `number`, or NULL. */
static const struct ifab_open_decision *model_after(uint64_t number)
{
    const struct ifab_open_decision *best = NULL;
    for (size_t i = 0; i < model_count; i++)
        if (model[i].number > number && (best == NULL || model[i].number < best->number))
            best = &model[i];
    return best;
}

static const struct ifab_open_decision *model_find(const uint8_t id16[16])
{
    const struct ifab_open_decision *best = NULL;
    for (size_t i = 0; i < model_count; i++)
        if (memcmp(model[i].id16, id16, 16) == 0 && (best == NULL || model[i].number < best->number))
            best = &model[i];
    return best;
}

static const struct ifab_open_decision *model_due(ifab_usec run)
{
    const struct ifab_open_decision *best = NULL;
    for (size_t i = 0; i < model_count; i++)
        if (model[i].deadline_run <= run && (best == NULL || model[i].deadline_run < best->deadline_run ||
                                             (model[i].deadline_run == best->deadline_run && model[i].number < best->number)))
            best = &model[i];
    return best;
}

static size_t model_count_of(enum ifab_decision state)
{
    size_t n = 0;
    for (size_t i = 0; i < model_count; i++)
        n += model[i].state == state;
    return n;
}

static void same(const struct ifab_open_decision *a, const struct ifab_open_decision *b)
{
    if ((a == NULL) != (b == NULL) || (a != NULL && a->number != b->number))
        fail_msg("operation %llu of this seed: number %llu, the model says %llu", (unsigned long long)operation,
                 a == NULL ? 0ULL : (unsigned long long)a->number, b == NULL ? 0ULL : (unsigned long long)b->number);
    if (a == NULL)
        return;
    uint8_t x[IFAB_OPEN_DECISION_PACKED_MAX], y[IFAB_OPEN_DECISION_PACKED_MAX];
    size_t size = ifab_open_decision_pack(a, x);
    assert_int_equal(size, ifab_open_decision_pack(b, y));
    assert_memory_equal(x, y, size);
}

static bool some_equal(const uint8_t (*a)[16], size_t a_count, const uint8_t (*b)[16], size_t b_count)
{
    bool equal = false;
    for (size_t i = 0; i < a_count * b_count; i++)
        equal |= memcmp(a[i / b_count], b[i % b_count], 16) == 0;
    return equal;
}

/* DESIGN section 5, one condition a line. */
static bool is_source(const struct ifab_open_decision *held, const struct ifab_guard_facts *later, uint32_t talent, const uint8_t owner16[16])
{
    const struct ifab_guard_facts *first = &held->facts;
    bool good = held->state == IFAB_DECISION_HOLD;
    good &= later->second_source_kind; /* inform or agree */
    good &= first->has_claim_id && later->has_claim_id && memcmp(first->claim_key16, later->claim_key16, 16) == 0;
    good &= first->has_scope && later->has_scope && memcmp(first->scope_digest32, later->scope_digest32, 32) == 0;
    good &= held->talent != talent;
    good &= memcmp(held->owner_digest16, owner16, 16) != 0;
    if (first->domain_count > 64 || later->domain_count > 64 || first->hash_count > 64 || later->hash_count > 64)
        return false; /* not all of them are known */
    good &= !some_equal(first->domains, first->domain_count, later->domains, later->domain_count);
    good &= !some_equal(first->hashes, first->hash_count, later->hashes, later->hash_count);
    return good;
}

static void check_matched(const struct ifab_decisions *table)
{
    struct ifab_guard_facts later;
    uint8_t owner[16];
    uint32_t talent = 1 + (uint32_t)(draw() % 7);
    draw_facts(&later);
    draw_owner(owner, talent);
    uint64_t number = draw() % 2 == 0 ? 0 : draw() % 200;
    for (int steps = 0; steps < 5; steps++) {
        const struct ifab_open_decision *got = ifab_decisions_matched(table, number, &later, talent, owner), *due = model_after(number);
        while (due != NULL && !is_source(due, &later, talent, owner)) {
            assert_false(ifab_guard_second_source(due, &later, talent, owner));
            due = model_after(due->number);
        }
        assert_true(due == NULL || ifab_guard_second_source(due, &later, talent, owner));
        same(got, due);
        if (got == NULL)
            return;
        number = got->number;
    }
}

static void put(struct ifab_decisions *table)
{
    uint64_t number = 1 + draw() % 200;
    struct ifab_open_decision *at = NULL;
    for (size_t i = 0; i < model_count; i++)
        if (model[i].number == number)
            at = &model[i];
    if (at == NULL && model_count == MODEL_MAX)
        return;
    if (at == NULL)
        at = &model[model_count++];
    draw_decision(at, number);
    assert_int_equal(ifab_decisions_reserve(table, 1), IFAB_OK);
    ifab_mem_fail_at(1);
    ifab_decisions_put(table, at);
    assert_false(ifab_mem_failed());
    ifab_mem_fail_at(0);
}

static void take_out(struct ifab_decisions *table, uint64_t number)
{
    ifab_decisions_remove(table, number);
    for (size_t i = 0; i < model_count; i++)
        if (model[i].number == number)
            model[i] = model[--model_count];
}

static void table_answers_as_a_plain_array(void **state)
{
    (void)state;
    struct ifab_decisions *table;
    unsigned long matches = 0;
    assert_int_equal(ifab_decisions_new(seed, &table), IFAB_OK);
    for (operation = 0; operation < 100000; operation++) {
        uint64_t kind = draw() % 10, number = draw() % 202;
        uint8_t id16[16] = {(uint8_t)(draw() % 42)};
        bool growing = operation / 2000 % 2 == 0; /* full and empty tables both */
        if (kind < (growing ? 4U : 2U))
            put(table);
        else if (kind < 5)
            take_out(table, number);
        else if (kind == 5)
            same(ifab_decisions_find(table, id16), model_find(id16));
        else if (kind == 6)
            same(ifab_decisions_at(table, number), model_at(number));
        else if (kind == 7)
            same(ifab_decisions_after(table, number), model_after(number));
        else if (kind == 8)
            same(ifab_decisions_due(table, (ifab_usec)number / 4), model_due((ifab_usec)number / 4));
        else
            check_matched(table), matches++;
        assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_HOLD), model_count_of(IFAB_DECISION_HOLD));
        assert_int_equal(ifab_decisions_count(table, IFAB_DECISION_ESCALATE), model_count_of(IFAB_DECISION_ESCALATE));
        const struct ifab_open_decision *first = model_due(IFAB_NEVER);
        assert_int_equal(ifab_decisions_next_deadline(table), first == NULL ? IFAB_NEVER : first->deadline_run);
    }
    while (model_count > 0) { /* in order of deadline, as the fabric does */
        const struct ifab_open_decision *due = model_due(IFAB_NEVER);
        same(ifab_decisions_due(table, IFAB_NEVER), due);
        take_out(table, due->number);
    }
    assert_int_equal(ifab_decisions_next_deadline(table), IFAB_NEVER);
    assert_true(matches > 1000);
    ifab_decisions_free(table);
}

static void a_million_pairs_are_sources_as_the_model_says(void **state)
{
    static struct ifab_open_decision held;
    static struct ifab_guard_facts later;
    unsigned long sources = 0;
    (void)state;
    for (operation = 0; operation < 1000000; operation++) {
        uint32_t talent = 1 + (uint32_t)(draw() % 7);
        uint8_t owner[16];
        draw_decision(&held, 1);
        draw_facts(&later);
        draw_owner(owner, talent);
        bool due = is_source(&held, &later, talent, owner);
        if (ifab_guard_second_source(&held, &later, talent, owner) != due)
            fail_msg("pair %llu of this seed: the model says %d", (unsigned long long)operation, due);
        sources += due;
    }
    assert_true(sources > 10000);
}

/* One talent's bucket, token by token. */
struct naive {
    uint32_t tokens;
    ifab_usec from;
};

/* What is refused leaves no record: the bucket stays as it was. */
static bool naive_take(struct naive *kept, uint32_t burst, ifab_usec every, ifab_usec run)
{
    struct naive copy = *kept, *naive = &copy;
    if (naive->tokens >= burst || naive->from > run) {
        naive->tokens = naive->tokens < burst ? naive->tokens : burst;
        naive->from = run;
    }
    while (naive->tokens < burst && naive->from + every <= run) {
        naive->tokens++;
        naive->from += every;
        if (naive->tokens == burst)
            naive->from = run;
    }
    if (naive->tokens == 0)
        return false;
    naive->tokens--;
    *kept = copy;
    return true;
}

static void buckets_count_as_the_model_through_jumps_of_run(void **state)
{
    (void)state;
    struct ifab_decisions *table;
    struct ifab_guard_rules rules;
    ifab_guard_rules_default(&rules);
    rules.hold_burst = 7;
    rules.hold_refill = 1000;
    rules.escalate_burst = 3;
    rules.escalate_refill = 7777;
    struct naive naive[8][2];
    for (size_t i = 0; i < 8; i++) {
        naive[i][0] = (struct naive){rules.hold_burst, 0};
        naive[i][1] = (struct naive){rules.escalate_burst, 0};
    }
    unsigned long taken = 0, refused = 0;
    ifab_usec run = 5;
    assert_int_equal(ifab_decisions_new(1, &table), IFAB_OK);
    assert_int_equal(ifab_decisions_reserve(table, 8), IFAB_OK);
    for (operation = 0; operation < 100000; operation++) {
        uint64_t jump = draw() % 100;
        if (jump < 60)
            run += (ifab_usec)(draw() % 400);
        else if (jump < 62)
            run += (ifab_usec)(draw() % (1ULL << 40));
        else if (jump < 63)
            run = (ifab_usec)(draw() % (uint64_t)(run + 1)); /* a restored state */
        uint32_t talent = (uint32_t)(draw() % 8);
        bool hold = draw() % 2 == 0;
        struct ifab_bucket next;
        struct ifab_refusal refusal;
        enum ifab_code code =
            ifab_decisions_admit(table, &rules, hold ? IFAB_DECISION_HOLD : IFAB_DECISION_ESCALATE, talent, run, &next, &refusal);
        bool due = naive_take(&naive[talent][!hold], hold ? rules.hold_burst : rules.escalate_burst,
                              hold ? rules.hold_refill : rules.escalate_refill, run);
        if ((code == IFAB_CODE_NONE) != due)
            fail_msg("operation %llu of this seed: code %d", (unsigned long long)operation, (int)code);
        if (code == IFAB_CODE_NONE) {
            assert_true(next.hold_tokens <= rules.hold_burst && next.escalate_tokens <= rules.escalate_burst);
            ifab_decisions_put_bucket(table, &next);
            taken++;
        } else {
            assert_int_equal(code, IFAB_CODE_RATE_LIMIT_EXCEEDED);
            assert_true(refusal.retry_after_ms >= 1 && refusal.retry_after_ms <= 9);
            refused++;
        }
    }
    assert_true(taken > 1000 && refused > 1000);
    ifab_decisions_free(table);
}

int main(void)
{
    const char *text = getenv("IFAB_SEED");
    if (text != NULL)
        seed = strtoull(text, NULL, 10);
    printf("# seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_answers_as_a_plain_array),
        cmocka_unit_test(a_million_pairs_are_sources_as_the_model_says),
        cmocka_unit_test(buckets_count_as_the_model_through_jumps_of_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
