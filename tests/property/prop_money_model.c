/*
 * INV-10: budgets, reservations, settlements against a model that keeps every amount on a list and adds it up each time. Random courses with a
 * reload from the records between any two steps, many reservations at once, limits raised and lowered, clocks that jump over periods and back; and
 * two small budgets with two reservations in full. IFAB_SEED=N repeats a run, IFAB_COMMANDS=N makes it longer, IFAB_SEQUENCES=N is how many short courses
 * there are (20,000; 1,000,000 in make check).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "governor/money.h"

#include <stdio.h>
#include <stdlib.h>

#define BUDGETS 6
#define HELD_MAX 24
#define SPENT_MAX 20000

static uint64_t seed = 20251112, commands = 60000;

static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* ---- the store: records as bytes ---- */

struct bytes {
    uint8_t data[IFAB_RESERVATION_PACKED_MAX];
    size_t size;
};
static struct bytes budget_records[BUDGETS + 1], state_records[BUDGETS + 1], held_records[HELD_MAX];
static uint64_t held_numbers[HELD_MAX], next_number;
static struct ifab_money *money;

static void keep(struct bytes *to, struct ifab_view from)
{
    assert_true(from.size <= sizeof to->data);
    if (from.size > 0)
        memcpy(to->data, from.data, from.size);
    to->size = from.size;
}

static struct ifab_view view(const struct bytes *bytes) { return ifab_view_of(bytes->data, bytes->size); }

static void reload(void)
{
    struct ifab_error err = {0};
    ifab_money_free(money);
    assert_int_equal(ifab_money_new(seed, &money), IFAB_OK);
    for (uint64_t i = 1; i <= BUDGETS; i++)
        if (budget_records[i].size > 0)
            assert_int_equal(ifab_money_load_budget(money, i, view(&budget_records[i]), &err), IFAB_OK);
    for (uint64_t i = 1; i <= BUDGETS; i++)
        if (state_records[i].size > 0)
            assert_int_equal(ifab_money_load_state(money, i, view(&state_records[i]), &err), IFAB_OK);
    for (size_t i = 0; i < HELD_MAX; i++)
        if (held_records[i].size > 0)
            assert_int_equal(ifab_money_load_reservation(money, held_numbers[i], view(&held_records[i]), &err), IFAB_OK);
    if (ifab_money_loaded(money, &err) != IFAB_OK)
        fail_msg("%s", err.text);
}

/* ---- the model: facts on a list, added up ---- */

static const struct {
    enum ifab_subject subject;
    const char *name;
    enum ifab_unit unit;
    enum ifab_period period;
} things[BUDGETS + 1] = {
    {0, NULL, 0, 0},
    {IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL},
    {IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_TOKENS, IFAB_PERIOD_HOUR},
    {IFAB_SUBJECT_PROVIDER, "openai", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY},
    {IFAB_SUBJECT_PROVIDER, "openai", IFAB_UNIT_CALLS, IFAB_PERIOD_WEEK},
    {IFAB_SUBJECT_SWARM, "s", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_MONTH},
    {IFAB_SUBJECT_TALENT, "B", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR},
};
struct fact { /* so much left a budget in a period, within its limit or not */
    uint64_t amount;
    ifab_usec start;
    uint8_t budget;
    bool overrun;
};
struct model_held {
    bool open;
    struct ifab_spend spend;
    ifab_usec starts[BUDGETS + 1]; /* -1: not of it */
};
static struct fact facts[SPENT_MAX];
static size_t fact_count;
static struct model_held held[HELD_MAX];
static uint64_t limits[BUDGETS + 1], highest[BUDGETS + 1];
static bool alive[BUDGETS + 1], gone[BUDGETS + 1]; /* a number is never used again */
static unsigned levels_seen[BUDGETS + 1];
static ifab_usec levels_start[BUDGETS + 1];
static ifab_usec wall;

static bool touches(const struct ifab_spend *spend, const uint64_t *amounts, int b)
{
    return alive[b] && amounts[things[b].unit] > 0 && ifab_view_is(spend->subjects[things[b].subject], things[b].name);
}

static uint64_t sum(int b, ifab_usec start, bool overrun)
{
    uint64_t total = 0;
    for (size_t i = 0; i < fact_count; i++)
        if (facts[i].budget == b && facts[i].start == start && facts[i].overrun == overrun)
            total += facts[i].amount;
    return total < IFAB_MONEY_MAX ? total : IFAB_MONEY_MAX;
}

static uint64_t sum_held(int b, ifab_usec start)
{
    uint64_t total = 0;
    for (size_t i = 0; i < HELD_MAX; i++)
        if (held[i].open && held[i].starts[b] == start)
            total += held[i].spend.amounts[things[b].unit];
    return total;
}

/* The slow way to a period's beginning: through the written form of the time. */
static ifab_usec start_of(enum ifab_period period, ifab_usec at)
{
    char text[25];
    ifab_usec start = 0;
    if (period == IFAB_PERIOD_TOTAL)
        return 0;
    ifab_time_format(at, text);
    if (period == IFAB_PERIOD_HOUR)
        memcpy(text + 14, "00:00.000Z", 10);
    else
        memcpy(text + 11, "00:00:00.000Z", 13);
    if (period == IFAB_PERIOD_MONTH)
        memcpy(text + 8, "01", 2);
    assert_int_equal(ifab_time_parse(ifab_view_of(text, 24), &start), IFAB_OK);
    while (period == IFAB_PERIOD_WEEK && (start / IFAB_DAY) % 7 != 4) /* 1970-01-05, day 4, was a Monday */
        start -= IFAB_DAY;
    return start;
}

/* Periods never come twice: the newest that was ever touched. */
static ifab_usec current[BUDGETS + 1];
static ifab_usec now_start(int b)
{
    ifab_usec start = start_of(things[b].period, wall);
    return start > current[b] ? start : current[b];
}

static void add_fact(int b, ifab_usec start, uint64_t amount, bool overrun)
{
    if (amount == 0)
        return;
    if (fact_count == SPENT_MAX) { /* old periods are of no account any more */
        size_t kept = 0;
        for (size_t i = 0; i < fact_count; i++)
            if (facts[i].start == now_start(facts[i].budget))
                facts[kept++] = facts[i];
        fact_count = kept;
        for (size_t i = 0; kept > SPENT_MAX / 2 && i < kept; i++) /* many of one: as one */
            for (size_t k = i + 1; k < kept; k++)
                if (facts[i].budget == facts[k].budget && facts[i].start == facts[k].start && facts[i].overrun == facts[k].overrun) {
                    facts[i].amount += facts[k].amount;
                    facts[k--] = facts[--kept];
                }
        fact_count = kept;
    }
    facts[fact_count++] = (struct fact){amount, start, (uint8_t)b, overrun};
}

static uint64_t model_spent(int b)
{
    uint64_t spent = sum(b, now_start(b), false) + sum(b, now_start(b), true);
    return spent < IFAB_MONEY_MAX ? spent : IFAB_MONEY_MAX;
}

static uint64_t model_left(int b)
{
    ifab_usec start = now_start(b);
    uint64_t taken = model_spent(b) + sum_held(b, start);
    return limits[b] > taken ? limits[b] - taken : 0;
}

static void model_spend(int b, uint64_t amount)
{
    ifab_usec start = now_start(b);
    uint64_t left = model_left(b), fit = amount < left ? amount : left;
    add_fact(b, start, fit, false);
    add_fact(b, start, amount - fit, true);
}

static unsigned model_levels(int b)
{
    static const unsigned percents[] = {50, 80, 95, 100};
    uint64_t spent = model_spent(b);
    unsigned bits = 0;
    for (unsigned i = 0; i < 4; i++)
        bits |= spent * 100 >= limits[b] * percents[i] ? 1U << i : 0;
    return bits;
}

/* What is told once must not be told again in this period under this limit. */
static void check_levels(int b, unsigned reached)
{
    if (levels_start[b] != now_start(b)) {
        levels_start[b] = now_start(b);
        levels_seen[b] = 0;
    }
    if (reached != (model_levels(b) & ~levels_seen[b]))
        fail_msg("budget %d: levels %x reached, expected %x; limit %llu, spent %llu, seen %x", b, reached, model_levels(b) & ~levels_seen[b],
                 (unsigned long long)limits[b], (unsigned long long)model_spent(b), levels_seen[b]);
    levels_seen[b] |= reached;
}

static void take(const struct ifab_money_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        uint64_t b = plan->lines[i].budget->number;
        uint8_t packed[IFAB_BUDGET_STATE_PACKED];
        assert_true(i == 0 || plan->lines[i - 1].budget->number < b);
        keep(&state_records[b], ifab_view_of(packed, ifab_budget_state_pack(&plan->lines[i].next, packed)));
        assert_int_equal(ifab_money_load_state(money, b, view(&state_records[b]), NULL), IFAB_OK);
        current[b] = now_start((int)b);
        check_levels((int)b, plan->lines[i].reached);
    }
}

/* INV-10 of every budget, and the numbers are those of the model. */
static void check_all(void)
{
    for (int b = 1; b <= BUDGETS; b++) {
        const struct ifab_budget *budget = ifab_money_budget_at(money, (uint64_t)b);
        assert_int_equal(budget != NULL, alive[b]);
        if (budget == NULL)
            continue;
        struct ifab_budget_state s = ifab_budget_now(budget->period, &budget->state, wall);
        ifab_usec start = now_start(b);
        assert_int_equal(s.period_start, start);
        assert_int_equal(s.settled, sum(b, start, false));
        assert_int_equal(s.overrun, sum(b, start, true));
        assert_int_equal(s.reserved, sum_held(b, start));
        assert_true(s.settled + s.reserved <= highest[b]);
        assert_int_equal(ifab_budget_left(budget->limit, &s), model_left(b));
    }
}

/* ---- commands ---- */

static uint64_t draw_amount(void)
{
    static const uint64_t small[] = {0, 0, 1, 2, 3, 5, 10, 40, 97};
    return draw() % 200 == 0 ? IFAB_MONEY_MAX : small[draw() % 9];
}

static struct ifab_spend draw_spend(void)
{
    static const char *const talents[] = {"", "A", "B", "A"}, *const providers[] = {"", "openai", "other"}, *const swarms[] = {"", "s"};
    return (struct ifab_spend){
        .subjects = {[IFAB_SUBJECT_TALENT] = ifab_view_str(talents[draw() % 4]),
                     [IFAB_SUBJECT_PROVIDER] = ifab_view_str(providers[draw() % 3]),
                     [IFAB_SUBJECT_SWARM] = ifab_view_str(swarms[draw() % 2])},
        .amounts = {draw_amount(), draw_amount(), draw_amount()},
    };
}

static void set_limit(int b, uint64_t limit)
{
    char id[8];
    struct ifab_buf record = IFAB_BUF_INIT(4096);
    uint64_t number;
    if (gone[b])
        return;
    snprintf(id, sizeof id, "b%d", b);
    struct ifab_budget_request request = {ifab_view_str(id), ifab_view_str(things[b].name), things[b].subject, things[b].unit, things[b].period, limit, wall};
    assert_int_equal(ifab_budget_set(money, &request, &record, &number, NULL), IFAB_CODE_NONE);
    assert_int_equal(number, alive[b] ? (uint64_t)b : 0);
    struct ifab_budget_state none = {0};
    unsigned reached;
    const struct ifab_budget *old = ifab_money_budget_at(money, number);
    struct ifab_budget_state next = ifab_money_relimit(things[b].period, old != NULL ? &old->state : &none, limit, wall, &reached);
    uint8_t packed[IFAB_BUDGET_STATE_PACKED];
    keep(&budget_records[b], ifab_buf_as_view(&record));
    keep(&state_records[b], ifab_view_of(packed, ifab_budget_state_pack(&next, packed)));
    assert_int_equal(ifab_money_load_budget(money, (uint64_t)b, view(&budget_records[b]), NULL), IFAB_OK);
    assert_int_equal(ifab_money_load_state(money, (uint64_t)b, view(&state_records[b]), NULL), IFAB_OK);
    ifab_buf_fini(&record);
    alive[b] = true;
    current[b] = now_start(b);
    if (limit > highest[b])
        highest[b] = limit;
    limits[b] = limit;
    if (levels_start[b] != now_start(b)) {
        levels_start[b] = now_start(b);
        levels_seen[b] = 0;
    }
    assert_int_equal(reached, model_levels(b) & ~levels_seen[b]);
    levels_seen[b] = model_levels(b); /* a changed limit begins anew */
}

static void remove_budget(int b)
{
    keep(&budget_records[b], IFAB_VIEW(""));
    keep(&state_records[b], IFAB_VIEW(""));
    assert_int_equal(ifab_money_load_state(money, (uint64_t)b, IFAB_VIEW(""), NULL), IFAB_OK);
    assert_int_equal(ifab_money_load_budget(money, (uint64_t)b, IFAB_VIEW(""), NULL), IFAB_OK);
    gone[b] = gone[b] || alive[b];
    alive[b] = false;
    limits[b] = highest[b] = 0;
    for (size_t i = 0; i < HELD_MAX; i++)
        held[i].starts[b] = -1;
}

static void reserve(void)
{
    struct ifab_money_plan plan;
    struct ifab_spend spend = draw_spend();
    bool urgent = draw() % 2 == 0, fits = true, some = spend.amounts[0] > 0 || spend.amounts[1] > 0 || spend.amounts[2] > 0;
    size_t slot = draw() % HELD_MAX;
    if (held[slot].open)
        return;
    for (int b = 1; b <= BUDGETS; b++) {
        uint64_t spent = alive[b] ? model_spent(b) : 0;
        if (touches(&spend, spend.amounts, b))
            fits = fits && spend.amounts[things[b].unit] <= model_left(b) &&
                   (urgent || !(spent * 100 >= limits[b] * 95 && spent * 100 < limits[b] * 100));
    }
    enum ifab_code code = ifab_money_reserve(money, &spend, urgent, wall, NULL, NULL, &plan, NULL);
    assert_int_equal(code, !some ? IFAB_CODE_INVALID_PARAMS : fits ? IFAB_CODE_NONE : IFAB_CODE_BUDGET_EXCEEDED);
    if (code != IFAB_CODE_NONE) {
        assert_int_equal(plan.count, 0); /* all or nothing */
        return;
    }
    struct ifab_reservation v = {.number = ++next_number, .owner = 1, .made = wall, .deadline = IFAB_NEVER, .spend = spend, .line_count = plan.count};
    memcpy(v.id16, &v.number, 8);
    held[slot] = (struct model_held){.open = true, .spend = spend};
    for (int b = 1; b <= BUDGETS; b++)
        held[slot].starts[b] = touches(&spend, spend.amounts, b) ? now_start(b) : -1;
    for (size_t i = 0; i < plan.count; i++)
        v.lines[i] = (struct ifab_reservation_line){plan.lines[i].budget->number, plan.lines[i].next.period_start};
    uint8_t packed[IFAB_RESERVATION_PACKED_MAX];
    keep(&held_records[slot], ifab_view_of(packed, ifab_reservation_pack(&v, packed)));
    held_numbers[slot] = v.number;
    assert_int_equal(ifab_money_load_reservation(money, v.number, view(&held_records[slot]), NULL), IFAB_OK);
    take(&plan);
}

/* May anything begin at all? Slowly: each budget of the subjects, in any unit; what it holds itself is no hindrance. */
static void admit(void)
{
    struct ifab_money_plan room;
    struct ifab_reservation v;
    struct ifab_spend spend = draw_spend();
    size_t slot = draw() % HELD_MAX;
    bool urgent = draw() % 2 == 0, may = true, own = held[slot].open && draw() % 2 == 0;
    if (own) {
        spend = held[slot].spend;
        assert_true(ifab_money_reservation_at(money, held_numbers[slot], &v));
    }
    for (int b = 1; b <= BUDGETS; b++) {
        if (!alive[b] || !ifab_view_is(spend.subjects[things[b].subject], things[b].name))
            continue;
        uint64_t spent = model_spent(b), taken = spent + sum_held(b, now_start(b));
        if (own && held[slot].starts[b] == now_start(b))
            taken -= spend.amounts[things[b].unit];
        may = may && taken < limits[b] && (urgent || spent * 100 < limits[b] * 95);
    }
    assert_int_equal(ifab_money_admit(money, spend.subjects, own ? &v : NULL, urgent, wall, NULL, NULL, &room, NULL),
                     may ? IFAB_CODE_NONE : IFAB_CODE_BUDGET_EXCEEDED);
}

static void settle(bool release)
{
    struct ifab_money_plan plan;
    struct ifab_reservation v;
    size_t slot = draw() % HELD_MAX;
    uint64_t amounts[IFAB_UNIT_COUNT] = {draw_amount(), draw_amount(), draw_amount()};
    if (!held[slot].open)
        return;
    if (draw() % 2 == 0)
        memcpy(amounts, held[slot].spend.amounts, sizeof amounts);
    assert_true(ifab_money_reservation_at(money, held_numbers[slot], &v));
    ifab_money_settle(money, &v, release ? NULL : amounts, wall, NULL, NULL, &plan);
    struct model_held was = held[slot];
    held[slot].open = false;
    for (int b = 1; b <= BUDGETS; b++) {
        uint64_t spent = release ? 0 : amounts[things[b].unit], of = was.starts[b] >= 0 ? was.spend.amounts[things[b].unit] : 0;
        uint64_t within = spent < of ? spent : of;
        if (!alive[b])
            continue;
        if (was.starts[b] >= 0 && was.starts[b] == now_start(b))
            add_fact(b, was.starts[b], within, false);
        if (was.starts[b] >= 0 || (!release && touches(&was.spend, amounts, b)))
            model_spend(b, spent - within);
    }
    keep(&held_records[slot], IFAB_VIEW(""));
    assert_int_equal(ifab_money_load_reservation(money, held_numbers[slot], IFAB_VIEW(""), NULL), IFAB_OK);
    take(&plan);
}

static void charge(void)
{
    struct ifab_money_plan plan;
    struct ifab_spend spend = draw_spend();
    ifab_money_charge(money, &spend, wall, NULL, NULL, &plan);
    for (int b = 1; b <= BUDGETS; b++)
        if (touches(&spend, spend.amounts, b))
            model_spend(b, spend.amounts[things[b].unit] < IFAB_MONEY_MAX ? spend.amounts[things[b].unit] : IFAB_MONEY_MAX);
    take(&plan);
}

static void begin(void)
{
    memset(budget_records, 0, sizeof budget_records);
    memset(state_records, 0, sizeof state_records);
    memset(held_records, 0, sizeof held_records);
    memset(held, 0, sizeof held);
    memset(limits, 0, sizeof limits);
    memset(highest, 0, sizeof highest);
    memset(alive, 0, sizeof alive);
    memset(gone, 0, sizeof gone);
    memset(levels_seen, 0, sizeof levels_seen);
    memset(levels_start, 0, sizeof levels_start);
    memset(current, 0, sizeof current);
    fact_count = 0;
    reload();
}

static void step(void)
{
    static const uint64_t some[] = {0, 1, 10, 100, 100, 1000, 1000, 5000, IFAB_MONEY_MAX};
    switch (draw() % 16) {
    case 0:
        set_limit(1 + (int)(draw() % BUDGETS), some[draw() % 9]);
        break;
    case 1:
        if (draw() % 6 == 0)
            remove_budget(1 + (int)(draw() % BUDGETS));
        break;
    case 2:
        reload(); /* a crash: only records are left */
        break;
    case 3: { /* the clock: on, over a period's end, back */
        static const ifab_usec jumps[] = {IFAB_SECOND, IFAB_MINUTE, IFAB_HOUR / 2, IFAB_HOUR, IFAB_DAY, 9 * IFAB_DAY, -IFAB_HOUR, -IFAB_DAY};
        wall += jumps[draw() % 8];
        break;
    }
    case 4:
    case 5:
        charge();
        break;
    case 6:
        settle(true);
        break;
    case 15:
        admit();
        break;
    case 7:
    case 8:
    case 9:
        settle(false);
        break;
    default:
        reserve();
        break;
    }
}

static void random_courses_are_those_of_the_model(void **state)
{
    (void)state;
    for (uint64_t done = 0; done < commands; done++) {
        if (done % 500 == 0) {
            wall = (ifab_usec)(draw() % 20000) * IFAB_DAY + (ifab_usec)(draw() % 86400) * IFAB_SECOND + 30 * IFAB_DAY;
            begin();
        }
        step();
        check_all();
    }
}

/* Many short ones: each begins with nothing but a limit or two, and goes 1 to 16 steps. */
static void short_courses_are_those_of_the_model(void **state)
{
    const char *given = getenv("IFAB_SEQUENCES");
    uint64_t sequences = given != NULL ? strtoull(given, NULL, 10) : 20000;
    (void)state;
    for (uint64_t i = 0; i < sequences; i++) {
        wall = (ifab_usec)(draw() % 20000) * IFAB_DAY + (ifab_usec)(draw() % 86400) * IFAB_SECOND + 30 * IFAB_DAY;
        begin();
        for (uint64_t b = 1 + draw() % 2; b > 0; b--)
            set_limit(1 + (int)(draw() % BUDGETS), 100 + draw() % 4000);
        for (uint64_t steps = 1 + draw() % 16; steps > 0; steps--) {
            step();
            check_all();
        }
    }
}

/*
 * In full: two budgets of one talent, two reservations and two charges; each step may be any of the acts, and each may be followed by a crash.
 * Every course of five steps, with and without a crash behind each.
 */
#define DEPTH 5
static struct {
    struct bytes budgets[BUDGETS + 1], states[BUDGETS + 1], held_records[HELD_MAX];
    uint64_t held_numbers[HELD_MAX];
    struct model_held held[HELD_MAX];
    struct fact facts[64];
    size_t fact_count;
    ifab_usec current[BUDGETS + 1], levels_start[BUDGETS + 1];
    unsigned levels_seen[BUDGETS + 1];
} saved[DEPTH];
static uint64_t courses;

static void small_reserve(size_t slot)
{
    struct ifab_spend spend = {.subjects = {[IFAB_SUBJECT_TALENT] = IFAB_VIEW("A")}, .amounts = {2, 1, 0}};
    struct ifab_money_plan plan;
    bool fits = model_left(1) >= 2 && model_left(2) >= 1;
    if (held[slot].open)
        return;
    bool paused = model_levels(1) == 7 || model_levels(2) == 7;
    assert_int_equal(ifab_money_reserve(money, &spend, false, wall, NULL, NULL, &plan, NULL), fits && !paused ? IFAB_CODE_NONE : IFAB_CODE_BUDGET_EXCEEDED);
    if (!fits || paused)
        return;
    struct ifab_reservation v = {.number = 10 + slot, .owner = 1, .made = wall, .deadline = IFAB_NEVER, .spend = spend, .line_count = 2};
    v.id16[0] = (uint8_t)(slot + 1);
    held[slot] = (struct model_held){.open = true, .spend = spend};
    for (int b = 1; b <= BUDGETS; b++)
        held[slot].starts[b] = b <= 2 ? now_start(b) : -1;
    for (size_t i = 0; i < 2; i++)
        v.lines[i] = (struct ifab_reservation_line){i + 1, plan.lines[i].next.period_start};
    uint8_t packed[IFAB_RESERVATION_PACKED_MAX];
    keep(&held_records[slot], ifab_view_of(packed, ifab_reservation_pack(&v, packed)));
    held_numbers[slot] = v.number;
    assert_int_equal(ifab_money_load_reservation(money, v.number, view(&held_records[slot]), NULL), IFAB_OK);
    take(&plan);
}

static void small_settle(size_t slot, const uint64_t *amounts)
{
    struct ifab_reservation v;
    struct ifab_money_plan plan;
    if (!held[slot].open)
        return;
    assert_true(ifab_money_reservation_at(money, held_numbers[slot], &v));
    ifab_money_settle(money, &v, amounts, wall, NULL, NULL, &plan);
    struct model_held was = held[slot];
    held[slot].open = false;
    for (int b = 1; b <= 2; b++) {
        uint64_t spent = amounts == NULL ? 0 : amounts[things[b].unit], of = was.spend.amounts[things[b].unit], within = spent < of ? spent : of;
        if (was.starts[b] == now_start(b))
            add_fact(b, was.starts[b], within, false);
        model_spend(b, spent - within);
    }
    keep(&held_records[slot], IFAB_VIEW(""));
    assert_int_equal(ifab_money_load_reservation(money, held_numbers[slot], IFAB_VIEW(""), NULL), IFAB_OK);
    take(&plan);
}

static void small_act(unsigned act)
{
    static const uint64_t less[] = {1, 1, 0}, same[] = {2, 1, 0}, more[] = {5, 2, 0};
    switch (act) {
    case 0:
    case 1:
        small_reserve(act);
        break;
    case 2:
    case 3:
        small_settle(act - 2, less);
        break;
    case 4:
        small_settle(0, same);
        break;
    case 5:
        small_settle(1, more);
        break;
    case 6:
    case 7:
        small_settle(act - 6, NULL);
        break;
    default: {
        struct ifab_spend spend = {.subjects = {[IFAB_SUBJECT_TALENT] = IFAB_VIEW("A")}, .amounts = {1, 0, 0}};
        struct ifab_money_plan plan;
        ifab_money_charge(money, &spend, wall, NULL, NULL, &plan);
        model_spend(1, 1);
        take(&plan);
        break;
    }
    case 9:
        wall += IFAB_HOUR; /* over the end of the second one's period */
        break;
    }
}

static void courses_from(unsigned depth)
{
    ifab_usec at = wall;
    memcpy(saved[depth].budgets, budget_records, sizeof budget_records);
    memcpy(saved[depth].states, state_records, sizeof state_records);
    memcpy(saved[depth].held_records, held_records, sizeof held_records);
    memcpy(saved[depth].held_numbers, held_numbers, sizeof held_numbers);
    memcpy(saved[depth].held, held, sizeof held);
    memcpy(saved[depth].facts, facts, sizeof saved[depth].facts);
    memcpy(saved[depth].current, current, sizeof current);
    memcpy(saved[depth].levels_start, levels_start, sizeof levels_start);
    memcpy(saved[depth].levels_seen, levels_seen, sizeof levels_seen);
    saved[depth].fact_count = fact_count;
    for (unsigned act = 0; act < 20; act++) {
        memcpy(state_records, saved[depth].states, sizeof state_records);
        memcpy(held_records, saved[depth].held_records, sizeof held_records);
        memcpy(held_numbers, saved[depth].held_numbers, sizeof held_numbers);
        memcpy(held, saved[depth].held, sizeof held);
        memcpy(facts, saved[depth].facts, sizeof saved[depth].facts);
        memcpy(current, saved[depth].current, sizeof current);
        memcpy(levels_start, saved[depth].levels_start, sizeof levels_start);
        memcpy(levels_seen, saved[depth].levels_seen, sizeof levels_seen);
        fact_count = saved[depth].fact_count;
        wall = at;
        reload();
        small_act(act % 10);
        if (act >= 10) /* a crash: what follows knows only what was kept */
            reload();
        check_all();
        assert_true(fact_count <= 64);
        courses++;
        if (depth + 1 < DEPTH)
            courses_from(depth + 1);
        wall = at;
    }
}

/* Same acts without a crash go through the very same states: so reload stands at the head of every branch, and the crash is tried behind each act. */
static void two_budgets_two_reservations_in_full(void **state)
{
    (void)state;
    wall = (ifab_usec)20000 * IFAB_DAY + 59 * IFAB_MINUTE;
    begin();
    set_limit(1, 5);
    set_limit(2, 3);
    unsigned depth = getenv("IFAB_COMMANDS") != NULL && commands >= 1000000 ? 0 : 1; /* one step fewer in a usual run */
    courses_from(depth);
    printf("# %llu states\n", (unsigned long long)courses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_courses_are_those_of_the_model),
        cmocka_unit_test(short_courses_are_those_of_the_model),
        cmocka_unit_test(two_budgets_two_reservations_in_full),
    };
    if (getenv("IFAB_SEED") != NULL)
        seed = strtoull(getenv("IFAB_SEED"), NULL, 10);
    if (getenv("IFAB_COMMANDS") != NULL)
        commands = strtoull(getenv("IFAB_COMMANDS"), NULL, 10);
    printf("# IFAB_SEED=%llu\n", (unsigned long long)seed);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ifab_money_free(money);
    return failed;
}
