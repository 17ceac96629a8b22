/*
 * What money lets tasks do: what is spent lets none begin, what one costs is counted where it was done, and what help may hold. INV-10.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "task_rig.h"

#include "base/id.h"

static void have(const char *id, enum ifab_subject subject, const char *name, enum ifab_unit unit, uint64_t limit)
{
    struct ifab_command set = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, ADM)};
    set.u.budget.request = (struct ifab_budget_request){
        .id = ifab_view_str(id), .name = ifab_view_str(name), .subject = subject, .unit = unit, .period = IFAB_PERIOD_TOTAL, .limit = limit};
    if (rig_do(&rig, &set)->code != IFAB_CODE_NONE)
        fail_msg("%s", rig.outcome.reply.refusal.message);
}

static struct ifab_budget_state purse(const char *id)
{
    const struct ifab_budget *budget = ifab_money_budget(ifab_fabric_money(rig.fabric), ifab_view_str(id));
    assert_non_null(budget);
    return budget->state;
}

static void make(const char *id, unsigned priority, int64_t usd_micro)
{
    struct ifab_command c = new_task(id, "sql");
    c.u.task.priority = (uint8_t)priority;
    c.u.task.budget[IFAB_UNIT_USD_MICRO] = usd_micro;
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

static enum ifab_code complete(uint32_t talent, const char *id, struct ifab_cost cost)
{
    struct ifab_principal p = as(talent);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    c.u.task_act.id = ifab_view_str(id);
    c.u.task_act.event = IFAB_TASK_COMPLETE;
    c.u.task_act.fence.n = fence;
    c.u.task_act.percent = -1;
    c.u.task_act.has_cost = true;
    c.u.task_act.cost = cost;
    return rig_do(&rig, &c)->code;
}

static struct ifab_cost cost_of(enum ifab_unit unit, uint64_t amount)
{
    struct ifab_cost cost = {.has_usd = true};
    if (unit == IFAB_UNIT_USD_MICRO)
        cost.usd_micro = amount;
    else if (unit == IFAB_UNIT_TOKENS)
        cost.tokens_out = amount;
    else
        cost.calls = amount;
    return cost;
}

/* Whatever it counts, and whatever the next one says it would cost: paused at 95 % for all but P0, then nothing more. */
static void what_is_spent_lets_nothing_new_begin(void **state)
{
    static const enum ifab_subject subjects[] = {IFAB_SUBJECT_SWARM, IFAB_SUBJECT_TALENT, IFAB_SUBJECT_TRACE};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(subjects) * IFAB_UNIT_COUNT; i++) {
        enum ifab_subject subject = subjects[i / IFAB_UNIT_COUNT];
        enum ifab_unit unit = (enum ifab_unit)(i % IFAB_UNIT_COUNT);
        char trace[37];
        if (i > 0) {
            teardown(NULL);
            setup(NULL);
        }
        make("first", 2, -1);
        make("plain", 2, -1);
        make("says", 2, 10);
        make("free", 2, 0);
        make("urgent", 0, -1);
        ifab_uuid_format(task(subject == IFAB_SUBJECT_TRACE ? "first" : "plain")->trace16, trace);
        have("purse", subject, subject == IFAB_SUBJECT_SWARM ? "data" : subject == IFAB_SUBJECT_TALENT ? "Ann" : trace, unit, 100);
        assert_int_equal(claim(ANN, "data", "first"), IFAB_CODE_NONE);
        if (subject == IFAB_SUBJECT_TRACE) { /* its own next attempt */
            assert_int_equal(act(ANN, "first", IFAB_TASK_FAIL, fence), IFAB_CODE_NONE);
            rig_pass(&rig, IFAB_HOUR);
            struct ifab_command spent = {.type = IFAB_COMMAND_COST, .principal = &rig.principal};
            spent.u.cost.cost = cost_of(unit, 95);
            memcpy(spent.trace16, task("first")->trace16, 16);
            assert_int_equal(rig_do(&rig, &spent)->code, IFAB_CODE_NONE);
            assert_int_equal(claim(ANN, "data", "first"), IFAB_CODE_BUDGET_EXCEEDED);
            assert_non_null(strstr(rig.outcome.reply.refusal.message, "purse"));
            assert_int_equal(claim(ANN, "data", "plain"), IFAB_CODE_NONE); /* of another trace */
            continue;
        }
        assert_int_equal(complete(ANN, "first", cost_of(unit, 95)), IFAB_CODE_NONE);
        static const char *const ids[] = {"plain", "says", "free"};
        for (size_t k = 0; k < IFAB_COUNT(ids); k++) {
            assert_int_equal(claim(ANN, "data", ids[k]), IFAB_CODE_BUDGET_EXCEEDED);
            assert_non_null(strstr(rig.outcome.reply.refusal.message, "purse is paused"));
            assert_int_equal(state_of(ids[k]), IFAB_TASK_QUEUED);
        }
        assert_int_equal(claim(ANN, "data", "urgent"), IFAB_CODE_NONE);
        assert_int_equal(complete(ANN, "urgent", cost_of(unit, 5)), IFAB_CODE_NONE); /* exactly its limit */
        make("last", 0, -1);
        assert_int_equal(claim(ANN, "data", "last"), IFAB_CODE_BUDGET_EXCEEDED);
        assert_non_null(strstr(rig.outcome.reply.refusal.message, "purse has nothing left"));
        assert_int_equal(claim(ANN, "data", "plain"), IFAB_CODE_BUDGET_EXCEEDED);
        assert_int_equal(purse("purse").overrun, 0);
        rig_restart(&rig);
        assert_int_equal(claim(ANN, "data", "last"), IFAB_CODE_BUDGET_EXCEEDED);
    }
}

/* The purse of a trace is nobody else's: what is of it waits, and what is beside it in the same queue, like it in all else, does not. */
static void a_spent_trace_holds_up_nothing_else(void **state)
{
    char trace[37];
    (void)state;
    make("first", 2, 10);
    make("second", 2, 10);
    ifab_uuid_format(task("first")->trace16, trace);
    have("purse", IFAB_SUBJECT_TRACE, trace, IFAB_UNIT_USD_MICRO, 9);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE);
    assert_int_equal(state_of("second"), IFAB_TASK_CLAIMED);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_BUDGET_EXCEEDED); /* nothing but the first is left */
    assert_non_null(strstr(rig.outcome.reply.refusal.message, "purse has 9 of 9"));
    assert_int_equal(state_of("first"), IFAB_TASK_QUEUED);
    have("purse", IFAB_SUBJECT_TRACE, trace, IFAB_UNIT_USD_MICRO, 10);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE);
    assert_int_equal(state_of("first"), IFAB_TASK_CLAIMED);
}

/* The overrun of one is the last: the next does not begin, neither named nor as what comes next. */
static void an_overrun_is_the_last(void **state)
{
    (void)state;
    have("purse", IFAB_SUBJECT_TALENT, "Ann", IFAB_UNIT_USD_MICRO, 100);
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "t%d", i);
        make(id, 0, -1);
        enum ifab_code code = claim(ANN, "data", i % 2 == 0 ? id : "");
        assert_int_equal(code, i < 2 ? IFAB_CODE_NONE : IFAB_CODE_BUDGET_EXCEEDED);
        if (code == IFAB_CODE_NONE)
            assert_int_equal(complete(ANN, id, cost_of(IFAB_UNIT_USD_MICRO, 90)), IFAB_CODE_NONE);
    }
    assert_int_equal(purse("purse").settled, 100);
    assert_int_equal(purse("purse").overrun, 80);
    struct ifab_principal other = as(0); /* who is not she goes on */
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &other};
    c.u.claim.swarm = IFAB_VIEW("data");
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

/* Who makes a task is a stranger to those who do it: what nobody can do says nothing of them. */
static void poison_stops_nobody_but_itself(void **state)
{
    char id[8];
    (void)state;
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "t%d", i);
        make(id, 2, -1);
        assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
        assert_int_equal(act(ANN, id, i < 5 ? IFAB_TASK_POISON : IFAB_TASK_FAIL, fence), IFAB_CODE_NONE);
        assert_int_equal(entries_with("\"operation\":\"tripped\""), i < 7 ? 0 : 1);
    }
    make("next", 0, -1);
    assert_int_equal(claim(ANN, "data", "next"), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
}

/* Both kinds of tokens are counted as one: a sum that cannot be written is the caller's mistake, and changes nothing. */
static void a_sum_that_cannot_be_written_is_refused(void **state)
{
    static const struct {
        uint64_t in, out;
        enum ifab_code code;
    } cases[] = {
        {IFAB_MONEY_MAX, 1, IFAB_CODE_INVALID_PARAMS},
        {1, IFAB_MONEY_MAX, IFAB_CODE_INVALID_PARAMS},
        {IFAB_MONEY_MAX, IFAB_MONEY_MAX, IFAB_CODE_INVALID_PARAMS},
        {IFAB_MONEY_MAX - 1, 1, IFAB_CODE_NONE},
    };
    (void)state;
    make("t", 2, -1);
    struct ifab_principal operator = as(0);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &operator};
    c.u.claim.swarm = IFAB_VIEW("data");
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    fence = rig.outcome.reply.fence.n;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_cost cost = {.has_usd = true, .tokens_in = cases[i].in, .tokens_out = cases[i].out};
        assert_int_equal(complete(0, "t", cost), cases[i].code);
        assert_int_equal(state_of("t"), cases[i].code == IFAB_CODE_NONE ? IFAB_TASK_DONE : IFAB_TASK_CLAIMED);
    }
}

static uint64_t blocked(const char *id, int64_t usd_micro) /* by Ann; who helps knows go */
{
    make(id, 2, usd_micro);
    assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
    uint64_t held = fence;
    assert_int_equal(act(ANN, id, IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
    return held;
}

/* What it may cost is held for the swarm that was asked: however long that one's queue, nobody else works at its expense. */
static void help_is_not_stolen(void **state)
{
    char id[8];
    (void)state;
    assert_int_equal(swarm("near", "go", "Eve", 20), IFAB_CODE_NONE);
    have("purse", IFAB_SUBJECT_SWARM, "near", IFAB_UNIT_USD_MICRO, 1000000);
    assert_int_equal(swarm("data", "sql", "Ann", 20), IFAB_CODE_NONE);
    for (int i = 0; i < IFAB_STEAL_ABOVE + 1; i++) {
        snprintf(id, sizeof id, "t%d", i);
        (void)blocked(id, 100);
        assert_non_null(helper_of(id, 0));
    }
    assert_int_equal(swarm("thief", "go", "Bob", 20), IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "thief", ""), IFAB_CODE_NOT_FOUND);
    assert_int_equal(claim(BOB, "thief", helper_of("t0", 0)->id), IFAB_CODE_PERMISSION_DENIED);
    struct ifab_command own = new_task("own", "go"); /* no help: that may be taken */
    own.u.task.swarm = IFAB_VIEW("near");
    own.u.task.priority = 0;
    assert_int_equal(rig_do(&rig, &own)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "thief", ""), IFAB_CODE_NONE);
    assert_int_equal(task("own")->owner.n, ifab_swarm_find(ifab_fabric_coordinator(rig.fabric), IFAB_VIEW("thief"))->number.n);
    assert_int_equal(claim(BOB, "thief", ""), IFAB_CODE_NOT_FOUND);
    assert_int_equal(claim(EVE, "near", ""), IFAB_CODE_NONE);
}

/* skills, needs: one letter each */
static size_t letters(const char *text, struct ifab_view ret[8])
{
    for (size_t i = 0; text[i] != '\0'; i++)
        ret[i] = ifab_view_of(text + i, 1);
    return strlen(text);
}

static void helper_swarm(const char *id, const char *skills, uint64_t cost, uint32_t queue_limit)
{
    struct ifab_view have[8], eve[] = {IFAB_VIEW("Eve")};
    struct ifab_command c = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    c.u.swarm.request = (struct ifab_swarm_request){.id = ifab_view_str(id), .skills = have, .skill_count = letters(skills, have), .members = eve,
                                                    .member_count = 1, .concurrency = 50, .cost_per_hour = (int64_t)cost, .queue_limit = queue_limit,
                                                    .queue_policy = IFAB_QUEUE_REJECT};
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

static uint64_t block_for(const char *id, const char *needs, int64_t usd_micro)
{
    struct ifab_view missing[8];
    struct ifab_principal p = as(ANN);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    make(id, 2, usd_micro);
    assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
    c.u.task_act.id = ifab_view_str(id);
    c.u.task_act.event = IFAB_TASK_BLOCK;
    c.u.task_act.fence.n = fence;
    c.u.task_act.percent = -1;
    c.u.task_act.needs = missing;
    c.u.task_act.need_count = letters(needs, missing);
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    return fence;
}

static void assert_asked(const char *id, const char *first, int64_t first_usd, const char *second, int64_t second_usd)
{
    const struct ifab_coordinator *c = ifab_fabric_coordinator(rig.fabric);
    const struct ifab_task *helpers[] = {helper_of(id, 0), helper_of(id, 1)};
    const char *const names[] = {first, second};
    int64_t usd[] = {first_usd, second_usd};
    for (size_t i = 0; i < 2; i++) {
        if (names[i] == NULL) {
            assert_null(helpers[i]);
            continue;
        }
        assert_non_null(helpers[i]);
        assert_true(ifab_view_is(ifab_swarm_at(c, helpers[i]->queue)->id, names[i]));
        assert_int_equal(helpers[i]->budget[IFAB_UNIT_USD_MICRO], usd[i]);
    }
}

static void spend(const char *of, uint64_t usd_micro)
{
    struct ifab_command c = {.type = IFAB_COMMAND_COST, .principal = &rig.principal};
    c.u.cost.cost = cost_of(IFAB_UNIT_USD_MICRO, usd_micro);
    c.u.cost.swarm = ifab_view_str(of);
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

/* Who has no room in its queue or its money is passed over for the next best; what is asked covers 0.70, or nobody is asked but a person. FL-GOV-4 */
static void who_cannot_help_is_passed_over(void **state)
{
    (void)state;
    helper_swarm("best", "g", 1, 100);
    helper_swarm("full", "g", 2, 1);
    helper_swarm("next", "g", 1000, 100);
    have("purse", IFAB_SUBJECT_SWARM, "best", IFAB_UNIT_USD_MICRO, 1000);
    struct ifab_command waits = new_task("waits", "g");
    waits.u.task.swarm = IFAB_VIEW("full");
    assert_int_equal(rig_do(&rig, &waits)->code, IFAB_CODE_NONE);
    (void)block_for("t0", "g", 40);
    assert_asked("t0", "best", 40, NULL, 0);
    spend("best", 951); /* paused, with some left */
    (void)block_for("t1", "g", 40);
    assert_asked("t1", "next", 40, NULL, 0);
    (void)block_for("unsaid", "g", -1); /* nothing would be held for it: it may not begin all the same */
    assert_asked("unsaid", "next", -1, NULL, 0);
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), 0);
    /* two that need each other */
    helper_swarm("p", "p", 1, 100);
    helper_swarm("q-poor", "q", 1, 100);
    helper_swarm("q-rich", "q", 1000, 100);
    have("poor", IFAB_SUBJECT_SWARM, "q-poor", IFAB_UNIT_USD_MICRO, 9); /* a tenth of it is nothing */
    (void)block_for("t2", "pq", 400);
    assert_asked("t2", "p", 200, "q-rich", 200);
    assert_int_equal(purse("poor").reserved, 0);
    helper_swarm("q-rich", "z", 1000, 100);
    size_t held = ifab_money_reservation_count(ifab_fabric_money(rig.fabric)), asked = entries_with("\"operation\":\"help\"");
    (void)block_for("t3", "pq", 400);
    assert_asked("t3", NULL, 0, NULL, 0);
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), 1);
    assert_int_equal(ifab_money_reservation_count(ifab_fabric_money(rig.fabric)), held);
    assert_int_equal(entries_with("\"operation\":\"help\""), asked);
}

/* Of the queue of a swarm that it is no member of nobody gets more than half, by asking for help neither. */
static void help_fills_half_of_a_queue(void **state)
{
    (void)state;
    helper_swarm("best", "g", 1, 4);
    helper_swarm("next", "g", 1000, 100);
    (void)block_for("t0", "g", 40);
    (void)block_for("t1", "g", 40);
    assert_asked("t0", "best", 40, NULL, 0);
    assert_asked("t1", "best", 40, NULL, 0);
    (void)block_for("t2", "g", 40);
    assert_asked("t2", "next", 40, NULL, 0);
    struct ifab_command own = new_task("own", "g"); /* an operator's is for two more */
    own.u.task.swarm = IFAB_VIEW("best");
    assert_int_equal(rig_do(&rig, &own)->code, IFAB_CODE_NONE);
}

/* Each gets its part of those who are asked, not of those who might have been. FL-GOV-12 */
static void a_part_is_of_those_who_are_asked(void **state)
{
    (void)state;
    helper_swarm("most", "abc", 1, 100);
    helper_swarm("rest", "d", 1, 100);
    (void)block_for("t0", "abcd", 400);
    assert_asked("t0", "most", 200, "rest", 200);
    have("poor", IFAB_SUBJECT_SWARM, "rest", IFAB_UNIT_USD_MICRO, 9);
    (void)block_for("t1", "abcd", 400);
    assert_asked("t1", "most", 400, NULL, 0);
}

/* What both would hold together is asked, not each by itself. */
static void two_helpers_share_what_is_left_of_a_trace(void **state)
{
    char trace[37];
    (void)state;
    helper_swarm("p", "p", 1, 100);
    helper_swarm("q", "q", 1, 100);
    make("t", 2, 400);
    ifab_uuid_format(task("t")->trace16, trace);
    assert_int_equal(act(0, "t", IFAB_TASK_CANCEL, 0), IFAB_CODE_NONE);
    have("way", IFAB_SUBJECT_TRACE, trace, IFAB_UNIT_USD_MICRO, 799);
    struct ifab_command c = new_task("u", "sql");
    c.u.task.budget[IFAB_UNIT_USD_MICRO] = 400;
    (void)ifab_uuid_parse(ifab_view_str(trace), c.trace16);
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "u"), IFAB_CODE_NONE); /* 399 are left */
    struct ifab_view needs[8];
    struct ifab_principal p = as(ANN);
    struct ifab_command b = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    b.u.task_act.id = IFAB_VIEW("u");
    b.u.task_act.event = IFAB_TASK_BLOCK;
    b.u.task_act.fence.n = fence;
    b.u.task_act.percent = -1;
    b.u.task_act.needs = needs;
    b.u.task_act.need_count = letters("pq", needs);
    assert_int_equal(rig_do(&rig, &b)->code, IFAB_CODE_NONE);
    assert_asked("u", NULL, 0, NULL, 0);
    assert_int_equal(purse("way").reserved, 400);
    have("way", IFAB_SUBJECT_TRACE, trace, IFAB_UNIT_USD_MICRO, 800);
    assert_int_equal(act(ANN, "u", IFAB_TASK_UNBLOCK, fence), IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &b)->code, IFAB_CODE_NONE);
    assert_asked("u", "p", 200, "q", 200);
    assert_int_equal(purse("way").reserved, 800);
}

/* A stranger's block takes a tenth of what is left of the tightest budget in each unit, and never the last of it. INV-10 */
static void help_takes_a_tenth_of_what_is_left(void **state)
{
    char id[8];
    (void)state;
    assert_int_equal(swarm("data", "sql", "Ann", 1000), IFAB_CODE_NONE);
    helper_swarm("near", "g", 1, 1000);
    have("wide", IFAB_SUBJECT_SWARM, "near", IFAB_UNIT_USD_MICRO, 1000000);
    (void)block_for("t", "g", 1000000);
    assert_asked("t", "near", 100000, NULL, 0);
    assert_int_equal(purse("wide").reserved, 100000);
    struct ifab_command tight = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, ADM)};
    tight.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("tight"), .name = IFAB_VIEW("near"), .subject = IFAB_SUBJECT_SWARM,
                                                          .unit = IFAB_UNIT_USD_MICRO, .period = IFAB_PERIOD_DAY, .limit = 1005};
    assert_int_equal(rig_do(&rig, &tight)->code, IFAB_CODE_NONE);
    have("tokens", IFAB_SUBJECT_SWARM, "near", IFAB_UNIT_TOKENS, 5); /* of another unit: of no account */
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "t%d", i);
        (void)block_for(id, "g", 1000000);
        if (i == 0)
            assert_asked(id, "near", 100, NULL, 0);
    }
    assert_true(purse("tight").reserved >= 990 && purse("tight").reserved < 1000);
    assert_null(helper_of("t99", 0)); /* a tenth of nine is nothing: a person is asked */
    struct ifab_command own = new_task("own", "g");
    own.u.task.swarm = IFAB_VIEW("near");
    own.u.task.budget[IFAB_UNIT_USD_MICRO] = 5;
    assert_int_equal(rig_do(&rig, &own)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "near", "own"), IFAB_CODE_NONE);
}

/* Who helps claims as anybody does: what is held for it is there for it alone, and what is spent stops it. */
static void what_is_held_for_a_helper_lets_it_begin(void **state)
{
    char helper[65];
    (void)state;
    helper_swarm("near", "g", 1, 100);
    have("purse", IFAB_SUBJECT_SWARM, "near", IFAB_UNIT_USD_MICRO, 1000);
    (void)block_for("t", "g", 100);
    memcpy(helper, helper_of("t", 0)->id, sizeof helper);
    spend("near", 900);
    struct ifab_command own = new_task("own", "g");
    own.u.task.swarm = IFAB_VIEW("near");
    assert_int_equal(rig_do(&rig, &own)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "near", "own"), IFAB_CODE_BUDGET_EXCEEDED);
    have("calls", IFAB_SUBJECT_TALENT, "Eve", IFAB_UNIT_CALLS, 0);
    assert_int_equal(claim(EVE, "near", helper), IFAB_CODE_BUDGET_EXCEEDED);
    have("calls", IFAB_SUBJECT_TALENT, "Eve", IFAB_UNIT_CALLS, 1);
    assert_int_equal(claim(EVE, "near", helper), IFAB_CODE_NONE);
    assert_int_equal(end_with(EVE, helper, IFAB_TASK_COMPLETE, fence, 100), IFAB_CODE_NONE);
    assert_int_equal(purse("purse").settled, 1000);
    assert_int_equal(purse("purse").overrun, 0);
}

static void helper_id(const char *of, size_t i, char ret_id[65])
{
    const struct ifab_task *helper = helper_of(of, i);
    assert_non_null(helper);
    memcpy(ret_id, helper->id, sizeof helper->id);
}

static void assert_wanted(size_t times)
{
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), times);
    assert_int_equal(entries_with("its helpers are done"), 0);
}

/* Who dies is followed by the next best, with what it might have cost and one attempt less: three in all, none twice; then a person. FL-GOV-4 */
static void who_dies_is_followed_by_the_next_best(void **state)
{
    static const struct {
        const char *swarm;
        int64_t usd;
    } asked[] = {{"best", 40}, {"next", 40}, {"third", 40}};
    char helper[65] = "", last[65];
    (void)state;
    helper_swarm("best", "g", 1, 100);
    helper_swarm("next", "g", 1000, 100);
    helper_swarm("third", "g", 2000, 100);
    helper_swarm("fourth", "g", 900000, 100);
    for (size_t i = 0; i < IFAB_COUNT(asked); i++)
        have(asked[i].swarm, IFAB_SUBJECT_SWARM, asked[i].swarm, IFAB_UNIT_USD_MICRO, 1000);
    uint64_t held = block_for("t", "g", 40);
    for (size_t i = 0; i < IFAB_COUNT(asked); i++) {
        assert_asked("t", asked[i].swarm, asked[i].usd, NULL, 0);
        assert_int_equal(purse(asked[i].swarm).reserved, 40);
        assert_int_equal(helper_of("t", 0)->max_attempts, 3 - i);
        helper_id("t", 0, helper);
        assert_wanted(0);
        assert_int_equal(claim(EVE, asked[i].swarm, helper), IFAB_CODE_NONE);
        assert_int_equal(end_with(EVE, helper, IFAB_TASK_POISON, fence, 7), IFAB_CODE_NONE);
        assert_int_equal(state_of("t"), IFAB_TASK_BLOCKED);
        assert_int_equal(state_of(helper), IFAB_TASK_DEAD);
        assert_int_equal(purse(asked[i].swarm).reserved, 0);
    }
    assert_wanted(1);
    helper_id("t", 0, last);
    assert_string_equal(last, helper); /* it is what the block waits for: a person may give it another life */
    rig_restart(&rig);
    assert_int_equal(act(0, helper, IFAB_TASK_REPLAY, 0), IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "third", helper), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, helper, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_RUNNING);
    assert_int_equal(entries_with("its helpers are done"), 1);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, held), IFAB_CODE_NONE);
}

/* One that was cancelled is not done: neither alone nor as one of two does it let the blocked one go on. */
static void who_is_cancelled_has_not_helped(void **state)
{
    char helper[65], other[65];
    (void)state;
    helper_swarm("p", "p", 1, 100);
    helper_swarm("q", "q", 1, 100);
    helper_swarm("q-next", "q", 1000, 100);
    uint64_t held = block_for("t", "pq", 400);
    assert_asked("t", "p", 200, "q", 200);
    helper_id("t", 0, other);
    for (size_t i = 0; i < 2; i++) {
        assert_wanted(0);
        helper_id("t", 1, helper);
        assert_int_equal(act(0, helper, IFAB_TASK_CANCEL, 0), IFAB_CODE_NONE);
        assert_int_equal(state_of("t"), IFAB_TASK_BLOCKED);
        if (i == 0)
            assert_asked("t", "p", 200, "q-next", 200);
        if (i == 0) /* who was cancelled before is forgotten, and could be asked again */
            helper_swarm("q", "z", 1, 100);
    }
    assert_wanted(1);
    assert_int_equal(claim(EVE, "p", other), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, other, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_BLOCKED); /* half of it is not done */
    rig_restart(&rig);
    assert_wanted(1);
    assert_int_equal(state_of("t"), IFAB_TASK_BLOCKED);
    assert_int_equal(act(ANN, "t", IFAB_TASK_UNBLOCK, held), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, held), IFAB_CODE_NONE);
}

/* One in whose place another was asked counts no more, whatever becomes of it. */
static void who_was_replaced_ends_no_block(void **state)
{
    char first[65], second[65];
    (void)state;
    helper_swarm("best", "g", 1, 100);
    helper_swarm("next", "g", 1000, 100);
    (void)block_for("t", "g", 40);
    helper_id("t", 0, first);
    assert_int_equal(claim(EVE, "best", first), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, first, IFAB_TASK_POISON, fence), IFAB_CODE_NONE);
    helper_id("t", 0, second);
    assert_string_not_equal(first, second);
    assert_int_equal(act(0, first, IFAB_TASK_REPLAY, 0), IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "best", first), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, first, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_BLOCKED);
    assert_wanted(0);
    assert_int_equal(claim(EVE, "next", second), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, second, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_RUNNING);
}

/* Leases that run out for the last time, several at once: each is followed, over so many steps as that takes. */
static void help_that_ends_by_itself_is_followed_too(void **state)
{
    char id[8], helper[65];
    (void)state;
    assert_int_equal(swarm("data", "sql", "Ann", 50), IFAB_CODE_NONE);
    helper_swarm("best", "g", 1, 100);
    helper_swarm("next", "g", 1000, 100);
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "t%d", i);
        uint64_t held = block_for(id, "g", 40);
        struct ifab_principal p = as(ANN);
        struct ifab_command c = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
        c.u.task_act.id = ifab_view_str(id);
        c.u.task_act.event = IFAB_TASK_RENEW;
        c.u.task_act.fence.n = held;
        c.u.task_act.percent = -1;
        c.u.task_act.lease = IFAB_HOUR;
        assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    }
    for (int attempt = 1; attempt <= 3; attempt++) {
        for (int i = 0; i < 5; i++) {
            snprintf(id, sizeof id, "t%d", i);
            assert_asked(id, "best", 40, NULL, 0);
            helper_id(id, 0, helper);
            assert_int_equal(claim(EVE, "best", helper), IFAB_CODE_NONE);
        }
        if (attempt == 3) { /* so many in one step */
            rig.now.run += 31 * IFAB_SECOND;
            for (size_t dead = 2; dead <= 6; dead += 2) {
                rig_tick(&rig);
                assert_int_equal(ifab_task_count(ifab_fabric_coordinator(rig.fabric), IFAB_TASK_DEAD), dead < 5 ? dead : 5);
            }
        }
        rig_pass(&rig, 36 * IFAB_SECOND); /* nobody renews; and the wait before the next attempt */
        struct ifab_command there = {.type = IFAB_COMMAND_HEARTBEAT, .principal = &rig.principal};
        there.u.heartbeat.swarm = IFAB_VIEW("next");
        assert_int_equal(rig_do(&rig, &there)->code, IFAB_CODE_NONE);
    }
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "t%d", i);
        assert_asked(id, "next", 40, NULL, 0);
    }
    assert_wanted(0);
    assert_int_equal(ifab_task_count(ifab_fabric_coordinator(rig.fabric), IFAB_TASK_DEAD), 5);
}

static void assert_body(const char *text, bool has)
{
    struct ifab_view body = rig.outcome.reply.body;
    if ((memmem(body.data, body.size, text, strlen(text)) != NULL) != has)
        fail_msg("%s: %.*s", text, (int)body.size, (const char *)body.data);
}

/* More than it was to cost: recorded and said, also while its budget has room; 0 is nothing, and what is absent has no bound. INV-10 */
static void more_than_was_held_is_recorded(void **state)
{
    static const struct {
        int64_t usd, tokens;
        uint64_t told_usd, told_tokens;
        const char *beyond; /* NULL: none */
    } cases[] = {
        {400, -1, 400, 9, NULL},
        {400, -1, 401, 9, "\"over_reserved\":{\"calls\":0,\"tokens\":0,\"usd_micro\":1}"},
        {0, -1, 0, 9, NULL},
        {0, -1, 5, 9, "\"over_reserved\":{\"calls\":0,\"tokens\":0,\"usd_micro\":5}"},
        {-1, -1, 5, 9, NULL},
        {-1, 7, 5, 9, "\"over_reserved\":{\"calls\":0,\"tokens\":2,\"usd_micro\":0}"},
    };
    (void)state;
    for (int purse_there = 0; purse_there < 2; purse_there++) {
        if (purse_there)
            have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_UNIT_USD_MICRO, 1000000);
        for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
            char id[8];
            snprintf(id, sizeof id, "t%d-%zu", purse_there, i);
            struct ifab_command c = new_task(id, "sql");
            c.u.task.budget[IFAB_UNIT_USD_MICRO] = cases[i].usd;
            c.u.task.budget[IFAB_UNIT_TOKENS] = cases[i].tokens;
            assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
            assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
            size_t before = entries_with("\"over_reserved\":");
            struct ifab_cost cost = {.has_usd = true, .usd_micro = cases[i].told_usd, .tokens_in = cases[i].told_tokens};
            assert_int_equal(complete(ANN, id, cost), IFAB_CODE_NONE);
            assert_int_equal(entries_with("\"over_reserved\":") - before, cases[i].beyond != NULL);
            assert_body("\"over\":[]", true);
            assert_body("over_reserved", cases[i].beyond != NULL);
            if (cases[i].beyond != NULL) {
                assert_body(cases[i].beyond, true);
                assert_true(entries_with(cases[i].beyond) > 0);
            }
        }
    }
    assert_int_equal(purse("purse").overrun, 0);
    make("last", 2, -1);
    assert_int_equal(claim(ANN, "data", "last"), IFAB_CODE_NONE);
    assert_int_equal(complete(ANN, "last", cost_of(IFAB_UNIT_USD_MICRO, 1000000)), IFAB_CODE_NONE); /* passes the purse, and says so */
    assert_body("\"over\":[\"purse\"]", true);
    assert_body("\"state\":\"done\"", true);
    make("plain", 0, -1);
    struct ifab_command reset = {.type = IFAB_COMMAND_BREAKER_RESET, .principal = &rig.principal, .why = IFAB_VIEW("seen")};
    reset.u.breaker.kind = IFAB_BREAKER_SWARM;
    reset.u.breaker.name = IFAB_VIEW("data");
    assert_int_equal(rig_do(&rig, &reset)->code, IFAB_CODE_NONE);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_UNIT_USD_MICRO, 9000000);
    assert_int_equal(claim(ANN, "data", "plain"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "plain", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_body("\"over", false); /* no cost, nothing to say of one */
}

/* The same of a reservation over HTTP. */
static void a_settlement_of_more_says_so(void **state)
{
    char id[41];
    (void)state;
    struct ifab_command c = {.type = IFAB_COMMAND_RESERVE, .principal = &rig.principal};
    c.u.cost.ttl = IFAB_MINUTE;
    for (uint64_t i = 0; i < 2; i++) {
        c.type = IFAB_COMMAND_RESERVE;
        c.u.cost.id = IFAB_VIEW("");
        c.u.cost.cost = cost_of(IFAB_UNIT_USD_MICRO, 10);
        assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
        const char *at = memmem(rig.outcome.reply.body.data, rig.outcome.reply.body.size, "rsv-", 4);
        assert_non_null(at);
        snprintf(id, sizeof id, "%.40s", at);
        c.type = IFAB_COMMAND_SETTLE;
        c.u.cost.id = ifab_view_str(id);
        c.u.cost.cost = cost_of(IFAB_UNIT_USD_MICRO, 10 + i);
        assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
        assert_int_equal(rig.outcome.reply.http, 200);
        assert_body("\"over_reserved\":{\"calls\":0,\"tokens\":0,\"usd_micro\":1}", i == 1);
        assert_int_equal(strstr(rig_last(&rig), "\"over_reserved\"") != NULL, i == 1);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_spent_lets_nothing_new_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(a_spent_trace_holds_up_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(an_overrun_is_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(poison_stops_nobody_but_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sum_that_cannot_be_written_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(help_is_not_stolen, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_was_held_is_recorded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_settlement_of_more_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(who_cannot_help_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(help_fills_half_of_a_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_is_of_those_who_are_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(two_helpers_share_what_is_left_of_a_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(help_takes_a_tenth_of_what_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_held_for_a_helper_lets_it_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(who_dies_is_followed_by_the_next_best, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_cancelled_has_not_helped, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_replaced_ends_no_block, setup, teardown),
        cmocka_unit_test_setup_teardown(help_that_ends_by_itself_is_followed_too, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
