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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_spent_lets_nothing_new_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(an_overrun_is_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(poison_stops_nobody_but_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sum_that_cannot_be_written_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(help_is_not_stolen, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
