/* The governor's own parts: calendar, records, matching, breakers, token buckets, prices, reputation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "governor/breaker.h"
#include "governor/match.h"
#include "governor/prices.h"

#include "base/encode.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static ifab_usec at(const char *text)
{
    ifab_usec wall = -1;
    assert_int_equal(ifab_time_parse(ifab_view_str(text), &wall), IFAB_OK);
    return wall;
}

static void periods_follow_the_utc_calendar(void **state)
{
    (void)state;
    static const struct {
        enum ifab_period period;
        const char *wall, *start, *end;
    } cases[] = {
        {IFAB_PERIOD_HOUR, "2025-11-12T10:22:33.444Z", "2025-11-12T10:00:00Z", "2025-11-12T11:00:00Z"},
        {IFAB_PERIOD_DAY, "2024-02-29T23:59:59.999Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
        {IFAB_PERIOD_WEEK, "2025-11-16T23:59:59Z", "2025-11-10T00:00:00Z", "2025-11-17T00:00:00Z"}, /* a Sunday */
        {IFAB_PERIOD_WEEK, "2025-11-17T00:00:00Z", "2025-11-17T00:00:00Z", "2025-11-24T00:00:00Z"}, /* a Monday */
        {IFAB_PERIOD_WEEK, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-05T00:00:00Z"},
        {IFAB_PERIOD_WEEK, "1970-01-05T00:00:00Z", "1970-01-05T00:00:00Z", "1970-01-12T00:00:00Z"},
        {IFAB_PERIOD_MONTH, "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
        {IFAB_PERIOD_MONTH, "2025-12-31T23:59:59Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"},
        {IFAB_PERIOD_MONTH, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        if (ifab_period_start(cases[i].period, at(cases[i].wall)) != at(cases[i].start) ||
            ifab_period_end(cases[i].period, at(cases[i].wall)) != at(cases[i].end))
            fail_msg("case %zu: %s", i, cases[i].wall);
    }
    assert_int_equal(ifab_period_start(IFAB_PERIOD_TOTAL, at("2025-11-12T10:22:33Z")), 0);
    assert_true(ifab_period_end(IFAB_PERIOD_TOTAL, 0) == IFAB_NEVER);
    assert_true(ifab_period_end(IFAB_PERIOD_MONTH, at("9999-12-31T00:00:00Z")) == IFAB_NEVER);
    for (enum ifab_period p = 0; p < IFAB_PERIOD_TOTAL; p++) /* without gaps, and each begins with its own start */
        for (ifab_usec wall = at("2023-12-25T00:00:00Z"), n = 0; n < 40; n++, wall = ifab_period_end(p, wall)) {
            assert_int_equal(ifab_period_start(p, ifab_period_end(p, wall)), ifab_period_end(p, wall));
            assert_int_equal(ifab_period_start(p, ifab_period_end(p, wall) - 1), ifab_period_start(p, wall));
        }
}

static void words_are_read_as_they_are_written(void **state)
{
    (void)state;
    enum ifab_unit unit;
    enum ifab_subject subject;
    enum ifab_period period;
    enum ifab_strategy strategy;
    for (enum ifab_unit i = 0; i < IFAB_UNIT_COUNT; i++)
        assert_true(ifab_unit_parse(ifab_view_str(ifab_unit_name(i)), &unit) && unit == i);
    for (enum ifab_subject i = 0; i < IFAB_SUBJECT_COUNT; i++)
        assert_true(ifab_subject_parse(ifab_view_str(ifab_subject_name(i)), &subject) && subject == i);
    for (enum ifab_period i = 0; i < IFAB_PERIOD_COUNT; i++)
        assert_true(ifab_period_parse(ifab_view_str(ifab_period_name(i)), &period) && period == i);
    for (enum ifab_strategy i = 0; i < IFAB_STRATEGY_COUNT; i++)
        assert_true(ifab_strategy_parse(ifab_view_str(ifab_strategy_name(i)), &strategy) && strategy == i);
    assert_false(ifab_unit_parse(IFAB_VIEW("USD_MICRO"), &unit) || ifab_subject_parse(IFAB_VIEW(""), &subject) || ifab_period_parse(IFAB_VIEW("year"), &period));
}

/* ---- records: any cut, any lie ---- */

static void packed_records_have_one_spelling(void **state)
{
    (void)state;
    struct ifab_reservation v = {.number = 7, .owner = 3, .made = 5, .deadline = 9, .index = 2, .line_count = 2}, back;
    uint8_t bytes[IFAB_RESERVATION_PACKED_MAX], again[IFAB_RESERVATION_PACKED_MAX];
    v.spend.subjects[IFAB_SUBJECT_PROVIDER] = IFAB_VIEW("openai");
    v.spend.subjects[IFAB_SUBJECT_CAPABILITY] = IFAB_VIEW("if://capability/x.y");
    v.spend.amounts[0] = 5;
    v.lines[0] = (struct ifab_reservation_line){3, 0};
    v.lines[1] = (struct ifab_reservation_line){4, 0};
    size_t size = ifab_reservation_pack(&v, bytes);
    assert_true(ifab_reservation_unpack(ifab_view_of(bytes, size), 7, &back));
    assert_int_equal(ifab_reservation_pack(&back, again), size);
    assert_memory_equal(bytes, again, size);
    for (size_t cut = 0; cut < size; cut++)
        assert_false(ifab_reservation_unpack(ifab_view_of(bytes, cut), 7, &back));
    bytes[size] = 0;
    assert_false(ifab_reservation_unpack(ifab_view_of(bytes, size + 1), 7, &back));
    v.lines[1].budget = 3; /* one budget twice */
    size = ifab_reservation_pack(&v, bytes);
    assert_false(ifab_reservation_unpack(ifab_view_of(bytes, size), 7, &back));
    v.lines[1].budget = 4;
    v.spend.amounts[0] = IFAB_MONEY_MAX + 1;
    size = ifab_reservation_pack(&v, bytes);
    assert_false(ifab_reservation_unpack(ifab_view_of(bytes, size), 7, &back));
    struct ifab_budget_state s = {.settled = IFAB_MONEY_MAX, .reserved = 1}, got;
    uint8_t packed[IFAB_BUDGET_STATE_PACKED];
    assert_false(ifab_budget_state_unpack(ifab_view_of(packed, ifab_budget_state_pack(&s, packed)), &got));
    s.settled--;
    assert_true(ifab_budget_state_unpack(ifab_view_of(packed, ifab_budget_state_pack(&s, packed)), &got));
    packed[40] = 16; /* a level that there is not */
    assert_false(ifab_budget_state_unpack(ifab_view_of(packed, sizeof packed), &got));
    struct ifab_breaker b = {.number = 1, .kind = IFAB_BREAKER_SWARM, .name = IFAB_VIEW("s")}, other;
    uint8_t third[IFAB_BREAKER_PACKED_MAX];
    for (int i = 0; i < 130; i++)
        ifab_service_note(&b.service, i % 3 != 0, i * 1000);
    size = ifab_breaker_pack(&b, third);
    assert_true(ifab_breaker_unpack(ifab_view_of(third, size), 1, &other));
    assert_memory_equal(&other.service, &b.service, sizeof b.service);
    for (size_t cut = 0; cut < size; cut++)
        assert_false(ifab_breaker_unpack(ifab_view_of(third, cut), 1, &other));
    b.state = IFAB_BREAKER_HALF_OPEN; /* a swarm is never half open */
    b.cause = IFAB_CAUSE_FAILURES;
    assert_false(ifab_breaker_unpack(ifab_view_of(third, ifab_breaker_pack(&b, third)), 1, &other));
}

/* INV-16: a budget is followed by itself, with another limit and the next version; by nothing else. */
static void a_budget_changes_only_by_its_limit(void **state)
{
    (void)state;
#define RECORD(id, limit, name, period, version)                                                                                         \
    "{\"created_at\":\"2025-11-12T10:22:00.000Z\",\"id\":\"" id "\",\"limit\":" limit ",\"name\":\"" name "\",\"period\":\"" period              \
    "\",\"subject\":\"talent\",\"unit\":\"calls\",\"v\":1,\"version\":" version "}"
    static const char *const wrong[] = {RECORD("a", "6", "A", "day", "3"), RECORD("a", "6", "A", "day", "1"), RECORD("a", "6", "B", "day", "2"),
                                        RECORD("b", "6", "A", "day", "2"), RECORD("a", "6", "A", "week", "2"), RECORD("a", "6.0", "A", "day", "2"),
                                        RECORD("a", "-1", "A", "day", "2"), "{}"};
    struct ifab_money *money = NULL;
    assert_int_equal(ifab_money_new(1, &money), IFAB_OK);
    assert_int_equal(ifab_money_load_budget(money, 4, ifab_view_str(RECORD("a", "5", "A", "day", "1")), NULL), IFAB_OK);
    for (size_t i = 0; i < IFAB_COUNT(wrong); i++) {
        if (ifab_money_load_budget(money, 4, ifab_view_str(wrong[i]), NULL) != IFAB_CORRUPT)
            fail_msg("taken: %s", wrong[i]);
        assert_int_equal(ifab_money_budget_at(money, 4)->limit, 5);
    }
    assert_int_equal(ifab_money_load_budget(money, 4, ifab_view_str(RECORD("a", "6", "A", "day", "2")), NULL), IFAB_OK);
    assert_int_equal(ifab_money_budget(money, IFAB_VIEW("a"))->limit, 6);
    assert_null(ifab_money_budget(money, IFAB_VIEW("A"))); /* found as it is spelled */
    ifab_money_free(money);
#undef RECORD
}

/* INV-10: nothing above 2^53-1 is reserved, also where no budget is touched. */
static void amounts_have_a_bound(void **state)
{
    (void)state;
    struct ifab_money *money = NULL;
    struct ifab_money_plan plan;
    assert_int_equal(ifab_money_new(1, &money), IFAB_OK);
    for (enum ifab_unit unit = 0; unit < IFAB_UNIT_COUNT; unit++) {
        struct ifab_spend spend = {0};
        spend.amounts[unit] = IFAB_MONEY_MAX;
        assert_int_equal(ifab_money_reserve(money, &spend, false, 0, NULL, NULL, &plan, NULL), IFAB_CODE_NONE);
        spend.amounts[unit]++;
        assert_int_equal(ifab_money_reserve(money, &spend, false, 0, NULL, NULL, &plan, NULL), IFAB_CODE_INVALID_PARAMS);
        spend.amounts[unit] = UINT64_MAX;
        assert_int_equal(ifab_money_reserve(money, &spend, false, 0, NULL, NULL, &plan, NULL), IFAB_CODE_INVALID_PARAMS);
    }
    ifab_money_free(money);
}

/* ---- matching ---- */

#define V(text) {(const uint8_t *)(text), sizeof(text) - 1}

static struct ifab_candidate candidate(const char *id, const struct ifab_view *skills, size_t count, uint64_t cost, uint32_t num, uint32_t den)
{
    return (struct ifab_candidate){.id = ifab_view_str(id), .skills = skills, .skill_count = count, .cost_usd_micro = cost, .reputation = {num, den}, .at_most = 5};
}

/* The seeds' example: 1.0 x 0.9 / 2 beats 1.0 x 0.95 / 15; and 70 % is enough, less is not. */
static void who_covers_seventy_percent_is_ranked_by_score(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a"), V("b"), V("c"), V("d"), V("e"), V("f"), V("g"), V("h"), V("i"), V("j")};
    static const struct ifab_view seven[] = {V("a"), V("b"), V("c"), V("d"), V("e"), V("f"), V("g")};
    const struct ifab_candidate all[] = {
        candidate("opus", needs, 10, 15000000, 95, 100), candidate("haiku", needs, 10, 2000000, 90, 100), candidate("seven", seven, 7, 2000000, 90, 100),
        candidate("six", seven, 6, 1, 100, 100),         candidate("asker", needs, 10, 1, 100, 100),      candidate("free", needs, 10, 0, 1, 1000000),
    };
    struct ifab_match_question q = {.needs = needs, .need_count = 10, .not_this = IFAB_VIEW("asker")};
    struct ifab_match m[6];
    size_t fit;
    assert_int_equal(ifab_match_all(&q, all, 6, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(fit, 4);
    static const size_t order[] = {5, 1, 2, 0, 4, 3}; /* free: 1e-6 / 1 > 0.9 / 2e6; then as the formula says; the others by id */
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(m[i].candidate, order[i]);
    assert_int_equal(m[4].misfit, IFAB_MISFIT_ASKER);
    assert_int_equal(m[5].misfit, IFAB_MISFIT_COVERAGE);
    q.strategy = IFAB_STRATEGY_CHEAPEST;
    assert_int_equal(ifab_match_all(&q, all, 6, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(m[0].candidate, 5);
    assert_int_equal(m[3].candidate, 0);
    q.strategy = IFAB_STRATEGY_REPUTATION;
    assert_int_equal(ifab_match_all(&q, all, 6, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(m[0].candidate, 0);
    q.need_count = 0;
    assert_int_equal(ifab_match_all(&q, all, 6, m, &fit, NULL), IFAB_CODE_INVALID_PARAMS); /* FL-GOV-2 */
}

static void names_that_stand_twice_count_once(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a"), V("a"), V("a"), V("b")}, have[] = {V("a"), V("a")};
    const struct ifab_candidate all[] = {candidate("x", have, 2, 1, 7, 10)};
    struct ifab_match_question q = {.needs = needs, .need_count = 4};
    struct ifab_match m[1];
    size_t fit;
    assert_int_equal(ifab_match_all(&q, all, 1, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(fit, 0); /* one of two, not three of four */
}

static void what_keeps_one_from_helping_has_an_order(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a")};
    struct ifab_candidate c = candidate("x", needs, 1, 50, 7, 10);
    struct ifab_match_question q = {.needs = needs, .need_count = 1, .has_cost_max = true, .cost_max = 50};
    struct ifab_match m[1];
    size_t fit;
#define NOW(expected)                                                                   \
    do {                                                                                \
        assert_int_equal(ifab_match_all(&q, &c, 1, m, &fit, NULL), IFAB_CODE_NONE);     \
        assert_int_equal(m[0].misfit, expected);                                        \
        assert_int_equal(fit, (expected) == IFAB_MISFIT_NONE);                          \
    } while (0)
    NOW(IFAB_MISFIT_NONE);
    q.cost_max = 49;
    NOW(IFAB_MISFIT_COST);
    c.in_hand = 5;
    NOW(IFAB_MISFIT_BUSY);
    c.budget_spent = true;
    NOW(IFAB_MISFIT_BUDGET);
    c.breaker_open = true;
    NOW(IFAB_MISFIT_BREAKER);
    c.away = true;
    NOW(IFAB_MISFIT_AWAY);
    q.not_this = IFAB_VIEW("x");
    NOW(IFAB_MISFIT_ASKER);
}

/* Whatever order they come in, one answer: ties by reputation, tasks in hand, id. */
static void one_order_for_one_question(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a")};
    struct ifab_candidate all[5] = {candidate("e", needs, 1, 4, 8, 10), candidate("b", needs, 1, 2, 4, 10), candidate("d", needs, 1, 2, 4, 10),
                                    candidate("c", needs, 1, 2, 4, 10), candidate("a", needs, 1, 3, 6, 10)};
    all[1].in_hand = 1; /* all five have the score 0.2 per µ$ */
    struct ifab_match_question q = {.needs = needs, .need_count = 1};
    const char *expected = "eacdb";
    for (unsigned turn = 0; turn < 120; turn++) {
        struct ifab_candidate mixed[5];
        unsigned left = turn, used = 0;
        for (unsigned i = 0; i < 5; i++) { /* the turn-th permutation */
            unsigned skip = left % (5 - i), k = 0;
            left /= 5 - i;
            while ((used >> k & 1) != 0 || skip-- > 0)
                k++;
            used |= 1U << k;
            mixed[i] = all[k];
        }
        struct ifab_match m[5];
        size_t fit;
        assert_int_equal(ifab_match_all(&q, mixed, 5, m, &fit, NULL), IFAB_CODE_NONE);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(mixed[m[i].candidate].id.data[0], expected[i]);
    }
}

/* Scores are fractions, compared exactly: doubles would call these two equal. */
static void scores_are_compared_exactly(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a")};
    struct ifab_candidate all[2] = {candidate("a", needs, 1, IFAB_MONEY_MAX, 1, 1), candidate("b", needs, 1, IFAB_MONEY_MAX - 1, 1, 1)};
    struct ifab_match_question q = {.needs = needs, .need_count = 1};
    struct ifab_match m[2];
    size_t fit;
    assert_int_equal(ifab_match_all(&q, all, 2, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(m[0].candidate, 1);
}

/* FL-GOV-4: one that covers 0.70 alone, else a cover of at most two; each its own part; never the blocked one. */
static void helpers_get_parts_of_their_own(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a"), V("b"), V("c"), V("d")}, ab[] = {V("a"), V("b")}, cd[] = {V("c"), V("d")}, abc[] = {V("a"), V("b"), V("c")},
                                  d[] = {V("d"), V("x")};
    struct ifab_match_question q = {.needs = needs, .need_count = 4, .not_this = IFAB_VIEW("blocked")};
    struct ifab_helper h[IFAB_HELPERS_MAX];
    size_t count;
    const struct ifab_candidate two[] = {candidate("blocked", needs, 4, 1, 1, 1), candidate("x", ab, 2, 5, 9, 10), candidate("y", cd, 2, 9, 9, 10)};
    assert_int_equal(ifab_match_helpers(&q, two, 3, h, &count, NULL), IFAB_CODE_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(h[0].candidate, 1);
    assert_int_equal(h[0].part, 3);
    assert_int_equal(h[1].candidate, 2);
    assert_int_equal(h[1].part, 12);
    assert_int_equal(ifab_match_helpers(&q, two, 2, h, &count, NULL), IFAB_CODE_NONE);
    assert_int_equal(count, 0); /* half: a person must */
    const struct ifab_candidate whole[] = {candidate("x", ab, 2, 1, 1, 1), candidate("y", abc, 3, 1000, 1, 2), candidate("z", d, 2, 9, 9, 10)};
    assert_int_equal(ifab_match_helpers(&q, whole, 3, h, &count, NULL), IFAB_CODE_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(h[0].candidate, 1); /* 3 of 4 alone goes before the cheap half */
    assert_int_equal(h[0].part, 7);
    assert_int_equal(h[1].candidate, 2);
    assert_int_equal(h[1].part, 8);
    const struct ifab_candidate one[] = {candidate("w", needs, 4, 1000, 1, 2), candidate("y", abc, 3, 1, 1, 1)};
    assert_int_equal(ifab_match_helpers(&q, one, 1, h, &count, NULL), IFAB_CODE_NONE);
    assert_int_equal(count, 1); /* nothing is left for a second */
    struct ifab_candidate busy[] = {candidate("x", ab, 2, 5, 9, 10), candidate("y", cd, 2, 9, 9, 10)};
    busy[1].in_hand = 5;
    assert_int_equal(ifab_match_helpers(&q, busy, 2, h, &count, NULL), IFAB_CODE_NONE);
    assert_int_equal(count, 0);
}

static void an_answer_says_why(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a"), V("b")}, a[] = {V("a")};
    const struct ifab_candidate all[] = {candidate("x", needs, 2, 2000000, 9, 10), candidate("y", a, 1, 1000000, 7, 10)};
    struct ifab_match_question q = {.needs = needs, .need_count = 2};
    struct ifab_buf buf = IFAB_BUF_INIT(4096);
    assert_int_equal(ifab_match_explain(&q, all, 2, &buf, NULL), IFAB_CODE_NONE);
    ifab_buf_char(&buf, '\0');
    assert_string_equal((const char *)buf.data,
                        "{\"items\":[{\"candidate\":\"x\",\"cost_usd_micro\":2000000,\"coverage\":{\"covered\":2,\"of\":2},\"fits\":true,\"missing\":[],"
                        "\"reputation\":\"0.900000\",\"score\":\"0.450000\",\"why\":\"fits\"},{\"candidate\":\"y\",\"cost_usd_micro\":1000000,\"coverage\":"
                        "{\"covered\":1,\"of\":2},\"fits\":false,\"missing\":[\"b\"],\"reputation\":\"0.700000\",\"score\":\"0.350000\",\"why\":\"covers less "
                        "than 70 % of what is needed\"}],\"needs\":[\"a\",\"b\"],\"strategy\":\"score\"}");
    ifab_buf_fini(&buf);
}

/* wu-lun weighs a relation, and only where it is named. */
static void relations_weigh_only_where_named(void **state)
{
    (void)state;
    static const struct ifab_view needs[] = {V("a")};
    struct ifab_candidate all[2] = {candidate("a", needs, 1, 100, 90, 100), candidate("b", needs, 1, 100, 80, 100)};
    all[0].relation = IFAB_RELATION_SPOUSE; /* .70 x .90 < .95 x .80 */
    all[1].relation = IFAB_RELATION_RULER;
    struct ifab_match_question q = {.needs = needs, .need_count = 1};
    struct ifab_match m[2];
    size_t fit;
    assert_int_equal(ifab_match_all(&q, all, 2, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(m[0].candidate, 0);
    q.strategy = IFAB_STRATEGY_WU_LUN;
    assert_int_equal(ifab_match_all(&q, all, 2, m, &fit, NULL), IFAB_CODE_NONE);
    assert_int_equal(m[0].candidate, 1);
}

/* ---- breakers, buckets, reputation ---- */

static void a_capabilitys_breaker_opens_probes_closes(void **state)
{
    (void)state;
    struct ifab_breaker b = {.kind = IFAB_BREAKER_CAPABILITY, .name = IFAB_VIEW("x")}, next;
    struct ifab_refusal refusal = {0};
    ifab_usec run = 1000;
    for (int i = 0; i < 4; i++)
        assert_false(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, run));
    for (int i = 0; i < 100; i++)
        assert_false(ifab_breaker_note(&b, IFAB_VERDICT_CALLER, 0, run)); /* the caller's own mistakes do not count */
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_GOOD, 0, run));
    for (int i = 0; i < 4; i++)
        assert_false(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, run)); /* in a row */
    assert_true(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, run));
    assert_int_equal(ifab_breaker_admit(&b, run + 1, &next, &refusal), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
    assert_int_equal(refusal.retry_after_ms, 60000);
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_GOOD, 0, run)); /* a late answer closes nothing */
    assert_int_equal(b.state, IFAB_BREAKER_OPEN);
    run += IFAB_BREAKER_OPEN_FOR;
    assert_int_equal(ifab_breaker_admit(&b, run - 1, &next, NULL), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
    assert_int_equal(ifab_breaker_admit(&b, run, &next, NULL), IFAB_CODE_NONE);
    b = next;
    assert_int_equal(b.state, IFAB_BREAKER_HALF_OPEN);
    assert_int_equal(ifab_breaker_admit(&b, run, &next, NULL), IFAB_CODE_CIRCUIT_BREAKER_OPEN); /* one probe */
    assert_true(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, run)); /* bad: a fresh timer */
    assert_int_equal(ifab_breaker_admit(&b, run + IFAB_BREAKER_OPEN_FOR - 1, &next, NULL), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
    run += IFAB_BREAKER_OPEN_FOR;
    assert_int_equal(ifab_breaker_admit(&b, run, &b, NULL), IFAB_CODE_NONE);
    run += IFAB_BREAKER_OPEN_FOR; /* a probe that never comes back */
    assert_int_equal(ifab_breaker_admit(&b, run, &b, NULL), IFAB_CODE_NONE);
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_GOOD, 0, run));
    assert_int_equal(b.state, IFAB_BREAKER_CLOSED);
    assert_int_equal(b.failures, 0);
}

static void a_swarms_breaker_waits_for_a_person(void **state)
{
    (void)state;
    struct ifab_breaker b = {.kind = IFAB_BREAKER_SWARM, .name = IFAB_VIEW("s")}, next;
    struct ifab_refusal refusal = {0};
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, 1));
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, 1));
    assert_true(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, 1));
    assert_int_equal(ifab_breaker_admit(&b, 365 * IFAB_DAY, &next, &refusal), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_GOOD, 0, 2));
    assert_int_equal(b.state, IFAB_BREAKER_OPEN);
    ifab_breaker_reset(&b);
    assert_int_equal(ifab_breaker_admit(&b, 2, &next, NULL), IFAB_CODE_NONE);
    assert_false(ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, 3)); /* counts from the start again */
}

static void a_bucket_refills_without_drift(void **state)
{
    (void)state;
    struct ifab_tokens t = ifab_tokens_full(3, 0);
    struct ifab_refusal refusal = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(ifab_tokens_take(&t, 7, 3, 0, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_tokens_take(&t, 7, 3, 0, &refusal), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(refusal.retry_after_ms, 143); /* a seventh of a second */
    assert_int_equal(ifab_tokens_take(&t, 7, 3, 142857, NULL), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_int_equal(ifab_tokens_take(&t, 7, 3, 142858, NULL), IFAB_CODE_NONE);
    uint64_t taken = 0; /* asked every 10 ms for 1,000 s: seven a second, not one more */
    struct ifab_tokens u = ifab_tokens_full(1, 0);
    for (ifab_usec run = 0; run < 1000 * IFAB_SECOND; run += 10000)
        taken += ifab_tokens_take(&u, 7, 1, run, NULL) == IFAB_CODE_NONE;
    assert_in_range(taken, 6500, 7001);
    assert_int_equal(ifab_tokens_take(&t, 7, 3, 400 * IFAB_DAY, NULL), IFAB_CODE_NONE); /* full, and no more than that */
    assert_int_equal(t.held, 2);
    assert_int_equal(ifab_tokens_take(&t, 7, 3, 0, NULL), IFAB_CODE_NONE); /* a time before: nothing is made of it */
    assert_int_equal(t.held, 1);
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        static const ifab_usec most[] = {1, 2, 5, 10, 30, 30, 30, 30};
        for (uint64_t random = 0; random < 1000; random++)
            assert_true(ifab_backoff(attempt, random * 104729 * 7919) <= most[attempt] * IFAB_SECOND);
        assert_int_equal(ifab_backoff(attempt, (uint64_t)most[attempt] * 1000000), most[attempt] * IFAB_SECOND);
    }
}

static void buckets_are_bounded_and_apart(void **state)
{
    (void)state;
    struct ifab_token_table *table = NULL;
    struct ifab_tokens next;
    assert_int_equal(ifab_token_table_new(1, &table), IFAB_OK);
    for (uint32_t i = 0; i < IFAB_TOKEN_BUCKETS_MAX; i++) {
        assert_int_equal(ifab_token_table_take(table, i, IFAB_VIEW("x"), 1, 2, 0, &next, NULL), IFAB_CODE_NONE);
        assert_int_equal(ifab_token_table_put(table, i, IFAB_VIEW("x"), 1, 2, &next), IFAB_OK);
    }
    assert_int_equal(ifab_token_table_take(table, 1, IFAB_VIEW("y"), 1, 2, 0, &next, NULL), IFAB_CODE_RATE_LIMIT_EXCEEDED); /* all in use */
    assert_int_equal(ifab_token_table_take(table, 1, IFAB_VIEW("x"), 1, 2, 0, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_token_table_take(table, 1, IFAB_VIEW("y"), 1, 2, 2 * IFAB_SECOND, &next, NULL), IFAB_CODE_NONE); /* full ones make room */
    assert_int_equal(ifab_token_table_put(table, 1, IFAB_VIEW("y"), 1, 2, &next), IFAB_OK);
    assert_true(ifab_token_table_count(table) <= IFAB_TOKEN_BUCKETS_MAX);
    ifab_token_table_free(table);
}

static void a_service_record_has_quantiles_and_an_error_budget(void **state)
{
    (void)state;
    const struct ifab_slo slo = {.success_permille = 950, .p99_ms = 500}, strict = {.success_permille = 1000, .p99_ms = 500};
    struct ifab_service s = {0};
    assert_int_equal(ifab_service_p95_ms(NULL), 0);
    assert_int_equal(ifab_service_budget_permille(NULL, &slo), 1000);
    assert_int_equal(ifab_service_budget_permille(&s, &slo), 1000);
    for (int i = 1; i <= 100; i++)
        ifab_service_note(&s, true, i * 1000); /* 1 ms to 100 ms */
    assert_int_equal(ifab_service_p95_ms(&s), 95);
    assert_int_equal(ifab_service_p99_ms(&s), 99);
    assert_int_equal(ifab_service_budget_permille(&s, &strict), 1000);
    static const unsigned left[] = {800, 600, 400, 200, 0, 0}; /* five of a hundred may fail */
    for (size_t i = 0; i < IFAB_COUNT(left); i++) {
        ifab_service_note(&s, false, 1000);
        assert_int_equal(ifab_service_budget_permille(&s, &slo), left[i]);
        assert_int_equal(ifab_service_budget_permille(&s, &strict), 0);
    }
}

static void reputation_has_a_prior_and_objectives(void **state)
{
    (void)state;
    const struct ifab_slo slo = {.success_permille = 950, .p99_ms = 500};
    struct ifab_service s = {0};
    struct ifab_ratio r = ifab_service_reputation(NULL, &slo);
    assert_true(r.num * 10 == r.den * 7);
    for (int i = 0; i < 9; i++)
        ifab_service_note(&s, false, IFAB_MINUTE);
    r = ifab_service_reputation(&s, &slo);
    assert_true(r.num == 7 && r.den == 19); /* too few to hold objectives against it */
    ifab_service_note(&s, false, IFAB_MINUTE);
    r = ifab_service_reputation(&s, &slo);
    assert_true(r.num == 7 * 8 * 9 && r.den == 20 * 10 * 10);
    for (int i = 0; i < 100; i++)
        ifab_service_note(&s, true, 100000);
    r = ifab_service_reputation(&s, &slo);
    assert_true(r.num == 107 && r.den == 110);
    assert_int_equal(ifab_service_p99_ms(&s), 100);
    assert_int_equal(ifab_service_p95_ms(&s), 100);
    ifab_service_note(&s, true, IFAB_MINUTE); /* one of a hundred: the 99th of 100 is still good */
    assert_int_equal(ifab_service_p99_ms(&s), 100);
    ifab_service_note(&s, true, IFAB_MINUTE);
    assert_int_equal(ifab_service_p99_ms(&s), 60000);
    r = ifab_service_reputation(&s, &slo);
    assert_true(r.num == 107 * 9 && r.den == 1100);
    ifab_service_note(&s, true, INT64_MAX);
    assert_int_equal(s.took_ms[2 + 10], UINT32_MAX);
}

/* ---- prices ---- */

static void prices_have_dates_and_round_up_once(void **state)
{
    (void)state;
    static const char table[] = "{\"rows\":[{\"from\":\"2026-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":800000,\"model\":\"haiku\",\"out_usd_micro_per_mtok\":4000000},"
                                "{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":250000,\"model\":\"haiku\",\"out_usd_micro_per_mtok\":1250000,"
                                "\"call_usd_micro\":3}]}";
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_buf record = IFAB_BUF_INIT(IFAB_PRICE_RECORD_MAX);
    struct ifab_prices *prices = NULL;
    uint64_t usd = 0;
    ifab_arena_init(&arena, (size_t)1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(table), NULL, &arena, &tree, NULL), IFAB_OK);
    assert_int_equal(ifab_prices_set(tree, &record, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_prices_new(&prices), IFAB_OK);
    assert_int_equal(ifab_prices_load(prices, ifab_buf_as_view(&record), NULL), IFAB_OK);
    assert_int_equal(ifab_prices_load(prices, ifab_view_str(table), NULL), IFAB_CORRUPT); /* as a person wrote it: another order */
    assert_int_equal(ifab_prices_count(prices), 2);
    assert_null(ifab_prices_find(prices, IFAB_VIEW("haiku"), at("2024-12-31T23:59:59Z")));
    assert_null(ifab_prices_find(prices, IFAB_VIEW("opus"), at("2026-12-31T23:59:59Z")));
    const struct ifab_price *old = ifab_prices_find(prices, IFAB_VIEW("haiku"), at("2025-12-31T23:59:59Z"));
    const struct ifab_price *now = ifab_prices_find(prices, IFAB_VIEW("haiku"), at("2026-01-01T00:00:00Z"));
    assert_int_equal(old->in, 250000);
    assert_int_equal(now->in, 800000);
    assert_true(ifab_price_cost(old, 1, 0, 0, &usd) && usd == 1); /* 0.25 µ$ */
    assert_true(ifab_price_cost(old, 1, 1, 0, &usd) && usd == 2); /* 0.25 + 1.25, rounded up once */
    assert_true(ifab_price_cost(old, 4, 0, 2, &usd) && usd == 7);
    assert_true(ifab_price_cost(old, 1000000, 1000000, 0, &usd) && usd == 1500000);
    struct ifab_price dear = {.in = IFAB_PRICE_MAX, .out = IFAB_PRICE_MAX};
    assert_false(ifab_price_cost(&dear, IFAB_MONEY_MAX, IFAB_MONEY_MAX, 0, &usd));
    assert_false(ifab_price_cost(old, IFAB_MONEY_MAX + 1, 0, 0, &usd));
    struct ifab_error err = {0};
    for (size_t i = 0; i < record.size; i++) { /* one spelling: any other is not taken, and the table stays as it is */
        record.data[i] ^= 0x20;
        if (ifab_prices_load(prices, ifab_buf_as_view(&record), &err) == IFAB_OK) {
            struct ifab_buf again = IFAB_BUF_INIT(IFAB_PRICE_RECORD_MAX);
            assert_true(ifab_view_equal(ifab_prices_record(prices), ifab_buf_as_view(&record)));
            ifab_buf_fini(&again);
        }
        record.data[i] ^= 0x20;
    }
    assert_int_equal(ifab_prices_load(prices, IFAB_VIEW(""), NULL), IFAB_OK);
    assert_null(ifab_prices_digest(prices));
    static const char *const bad[] = {
        "{\"rows\":[]}",
        "{}",
        "{\"rows\":[{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":-1,\"model\":\"m\",\"out_usd_micro_per_mtok\":1}]}",
        "{\"rows\":[{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":0.5,\"model\":\"m\",\"out_usd_micro_per_mtok\":1}]}",
        "{\"rows\":[{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":1,\"model\":\"\\u0007\",\"out_usd_micro_per_mtok\":1}]}",
        "{\"rows\":[{\"from\":\"2025-13-01T00:00:00Z\",\"in_usd_micro_per_mtok\":1,\"model\":\"m\",\"out_usd_micro_per_mtok\":1}]}",
        ("{\"rows\":[{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":1,\"model\":\"m\",\"out_usd_micro_per_mtok\":1},"
         "{\"from\":\"2025-01-01T00:00:00.000Z\",\"in_usd_micro_per_mtok\":2,\"model\":\"m\",\"out_usd_micro_per_mtok\":1}]}"),
        "{\"rows\":[{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":1,\"model\":\"m\",\"out_usd_micro_per_mtok\":1,\"x\":1}]}",
    };
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        ifab_buf_clear(&record);
        assert_int_equal(ifab_json_read(ifab_view_str(bad[i]), NULL, &arena, &tree, NULL), IFAB_OK);
        if (ifab_prices_set(tree, &record, NULL) != IFAB_CODE_INVALID_PARAMS)
            fail_msg("taken: %s", bad[i]);
    }
    ifab_prices_free(prices);
    ifab_buf_fini(&record);
    ifab_arena_fini(&arena);
}

/* What was asked of memory and not given changes nothing. */
static void without_memory_nothing_changes(void **state)
{
    (void)state;
    struct ifab_money *money = NULL;
    struct ifab_buf record = IFAB_BUF_INIT(4096);
    uint64_t number = 0;
    assert_int_equal(ifab_money_new(1, &money), IFAB_OK);
    struct ifab_budget_request request = {.id = IFAB_VIEW("b"), .name = IFAB_VIEW("A"), .subject = IFAB_SUBJECT_TALENT, .period = IFAB_PERIOD_DAY, .limit = 5};
    assert_int_equal(ifab_budget_set(money, &request, &record, &number, NULL), IFAB_CODE_NONE);
    for (uint64_t n = 1;; n++) {
        ifab_mem_fail_at(n);
        ifab_status status = ifab_money_load_budget(money, 4, ifab_buf_as_view(&record), NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (!failed) {
            assert_int_equal(status, IFAB_OK);
            break;
        }
        assert_int_equal(status, IFAB_NOMEM);
        assert_null(ifab_money_budget(money, IFAB_VIEW("b")));
        assert_null(ifab_money_of(money, IFAB_SUBJECT_TALENT, IFAB_VIEW("A"), 0));
        assert_int_equal(ifab_money_budget_count(money, false), 0);
    }
    struct ifab_reservation v = {.number = 5, .id16 = {1}, .owner = 2, .deadline = 7};
    uint8_t packed[IFAB_RESERVATION_PACKED_MAX];
    size_t size = ifab_reservation_pack(&v, packed);
    for (uint64_t n = 1;; n++) {
        ifab_mem_fail_at(n);
        ifab_status status = ifab_money_load_reservation(money, 5, ifab_view_of(packed, size), NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (!failed) {
            assert_int_equal(status, IFAB_OK);
            break;
        }
        assert_int_equal(ifab_money_reservation_count(money), 0);
        assert_int_equal(ifab_money_reservations_of(money, 2), 0);
        assert_true(ifab_money_due(money) == IFAB_NEVER);
    }
    ifab_money_free(money);
    ifab_buf_fini(&record);
}

/* Deadlines in order, however they came: ties by number; those that ended are gone. */
static void deadlines_come_in_order(void **state)
{
    (void)state;
    struct ifab_money *money = NULL;
    uint64_t numbers[256], seed = 12345;
    assert_int_equal(ifab_money_new(1, &money), IFAB_OK);
    for (uint64_t n = 1; n <= 2000; n++) {
        struct ifab_reservation v = {.number = n, .owner = 1};
        uint8_t packed[IFAB_RESERVATION_PACKED_MAX];
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        v.deadline = (ifab_usec)(seed >> 33) % 300;
        memcpy(v.id16, &n, 8);
        assert_int_equal(ifab_money_load_reservation(money, n, ifab_view_of(packed, ifab_reservation_pack(&v, packed)), NULL), IFAB_OK);
    }
    for (uint64_t n = 3; n <= 2000; n += 3)
        assert_int_equal(ifab_money_load_reservation(money, n, IFAB_VIEW(""), NULL), IFAB_OK);
    ifab_usec before = 0;
    uint64_t last = 0, seen = 0;
    for (size_t count; (count = ifab_money_overdue(money, 1000, numbers, 100)) > 0;)
        for (size_t i = 0; i < count; i++) {
            struct ifab_reservation v;
            assert_true(ifab_money_reservation_at(money, numbers[i], &v));
            assert_true(v.deadline > before || (v.deadline == before && v.number > last));
            before = v.deadline;
            last = v.number;
            seen++;
            assert_int_equal(ifab_money_load_reservation(money, numbers[i], IFAB_VIEW(""), NULL), IFAB_OK);
        }
    assert_int_equal(seen, 2000 - 666);
    assert_int_equal(ifab_money_reservation_count(money), 0);
    assert_int_equal(ifab_money_reservations_of(money, 1), 0);
    ifab_money_free(money);
}

/* docs/formats/money.md, whose example other code has made. */
static void the_page_on_money_is_what_is_packed(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "00800f725a43060064000000000000000000000000000000900100000000000000fbed1e6343060000",
        "01000193000000007000800000000000000a019300000000700080000000000000010200000000fbed1e6343060000a3e111000000000700000000000000900100000000000000000000000000000000000000000000066f70656e6169000644656d6f2e410001050000000000000000800f725a430600",
        "0102010103000000404b4c00000000000000000000000000090000000000000005616c706861010100dc050000",
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        uint8_t bytes[IFAB_RESERVATION_PACKED_MAX], again[IFAB_RESERVATION_PACKED_MAX];
        size_t size = strlen(rows[i]) / 2, back = 0;
        struct ifab_budget_state s;
        struct ifab_reservation v;
        struct ifab_breaker b;
        assert_int_equal(ifab_hex_decode(ifab_view_str(rows[i]), bytes, size), IFAB_OK);
        struct ifab_view packed = ifab_view_of(bytes, size);
        if (i == 0) {
            assert_true(ifab_budget_state_unpack(packed, &s) && s.settled == 100 && s.reserved == 400 && s.period_start == at("2025-11-12T00:00:00Z"));
            back = ifab_budget_state_pack(&s, again);
        } else if (i == 1) {
            assert_true(ifab_reservation_unpack(packed, 3, &v) && v.owner == 2 && v.spend.amounts[IFAB_UNIT_USD_MICRO] == 400 && v.lines[0].budget == 5);
            assert_true(ifab_view_is(v.spend.subjects[IFAB_SUBJECT_PROVIDER], "openai") && ifab_view_is(v.spend.subjects[IFAB_SUBJECT_TALENT], "Demo.A"));
            back = ifab_reservation_pack(&v, again);
        } else {
            assert_true(ifab_breaker_unpack(packed, 3, &b) && b.failures == 3 && ifab_view_is(b.name, "alpha") && b.service.took_ms[0] == 1500);
            back = ifab_breaker_pack(&b, again);
        }
        assert_int_equal(back, size);
        assert_memory_equal(bytes, again, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_follow_the_utc_calendar),
        cmocka_unit_test(words_are_read_as_they_are_written),
        cmocka_unit_test(packed_records_have_one_spelling),
        cmocka_unit_test(amounts_have_a_bound),
        cmocka_unit_test(a_budget_changes_only_by_its_limit),
        cmocka_unit_test(the_page_on_money_is_what_is_packed),
        cmocka_unit_test(who_covers_seventy_percent_is_ranked_by_score),
        cmocka_unit_test(names_that_stand_twice_count_once),
        cmocka_unit_test(what_keeps_one_from_helping_has_an_order),
        cmocka_unit_test(one_order_for_one_question),
        cmocka_unit_test(scores_are_compared_exactly),
        cmocka_unit_test(helpers_get_parts_of_their_own),
        cmocka_unit_test(an_answer_says_why),
        cmocka_unit_test(relations_weigh_only_where_named),
        cmocka_unit_test(a_capabilitys_breaker_opens_probes_closes),
        cmocka_unit_test(a_swarms_breaker_waits_for_a_person),
        cmocka_unit_test(a_bucket_refills_without_drift),
        cmocka_unit_test(buckets_are_bounded_and_apart),
        cmocka_unit_test(a_service_record_has_quantiles_and_an_error_budget), cmocka_unit_test(reputation_has_a_prior_and_objectives),
        cmocka_unit_test(prices_have_dates_and_round_up_once),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(deadlines_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
