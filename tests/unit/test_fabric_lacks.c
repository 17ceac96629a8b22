/*
 * Who waits for money is refused each time, and stands in the log once for each state of what it waits for: the budget's limit and period, the breaker,
 * and whether a claim of its own went well in between. DESIGN section 5 (Witness), INV-13, INV-14.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "task_rig.h"

#include "base/id.h"

#define REFUSED "\"operation\":\"task_refused\""

static void have(const char *id, enum ifab_subject subject, const char *name, enum ifab_period period, uint64_t limit)
{
    struct ifab_command set = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, ADM)};
    set.u.budget.request = (struct ifab_budget_request){
        .id = ifab_view_str(id), .name = ifab_view_str(name), .subject = subject, .unit = IFAB_UNIT_USD_MICRO, .period = period, .limit = limit};
    if (rig_do(&rig, &set)->code != IFAB_CODE_NONE)
        fail_msg("%s", rig.outcome.reply.refusal.message);
}

static void make(const char *id, int64_t usd_micro)
{
    struct ifab_command c = new_task(id, "sql");
    c.u.task.budget[IFAB_UNIT_USD_MICRO] = usd_micro;
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

/* Refused, with its whole answer, and so many entries about it; again and again no more than that, nor any other change that is kept. */
static void stands_once(uint32_t talent, const char *id, enum ifab_code code, const char *says, size_t more)
{
    for (int i = 0; i < 20; i++) {
        size_t before = rig.entry_count;
        assert_int_equal(claim(talent, "data", id), code);
        assert_int_equal(rig.entry_count - before, i == 0 ? more : 0);
        assert_non_null(strstr(rig.outcome.reply.refusal.message, says));
        assert_int_equal(rig.outcome.reply.refusal.code, code);
        assert_int_equal(rig.outcome.count_code, i == 0 && more > 0 ? IFAB_CODE_NONE : code); /* it comes into the log as a count */
        for (size_t k = 0; k < rig.outcome.change_count && (i > 0 || more == 0); k++)
            fail_msg("a change of kind %u", rig.outcome.changes[k].kind);
        if (i == 0 && more > 0) {
            assert_non_null(strstr(rig_last(&rig), REFUSED));
            assert_non_null(strstr(rig_last(&rig), says));
        }
        rig.now.run += IFAB_SECOND;
        rig.now.wall += IFAB_SECOND;
    }
}

static void spent_is_told_once_for_each_state(void **state)
{
    (void)state;
    make("first", 100);
    make("second", 100);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_DAY, 100);
    assert_int_equal(claim(ANN, "data", "first"), IFAB_CODE_NONE);
    assert_int_equal(end_with(ANN, "first", IFAB_TASK_COMPLETE, fence, 100), IFAB_CODE_NONE);
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left of 100", 1);
    stands_once(ANN, "second", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left of 100", 0); /* the same, asked for by its name */
    stands_once(0, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left", 1);                /* of another */
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_DAY, 150);
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has 50 of 150", 1);
    stands_once(0, "second", IFAB_CODE_BUDGET_EXCEEDED, "purse has 50 of 150", 1);
    rig_pass(&rig, IFAB_DAY);
    make("whole", 150);
    assert_int_equal(claim(BOB, "data", "whole"), IFAB_CODE_PERMISSION_DENIED); /* what it lacks is not money: told each time */
    assert_non_null(strstr(rig_last(&rig), REFUSED));
    assert_int_equal(claim(0, "data", "whole"), IFAB_CODE_NONE);
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left of 150", 1); /* another day's */
}

static void a_claim_that_went_well_ends_it(void **state)
{
    (void)state;
    make("dear", 500);
    make("cheap", 10);
    make("cheap2", 10);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, 100);
    stands_once(ANN, "dear", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1);
    stands_once(0, "dear", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE); /* another, past the dear one */
    stands_once(ANN, "dear", IFAB_CODE_BUDGET_EXCEEDED, "purse has 90 of 100", 1);
    stands_once(0, "dear", IFAB_CODE_BUDGET_EXCEEDED, "purse has 90 of 100", 0); /* not of theirs */
    assert_int_equal(claim(ANN, "data", "cheap2"), IFAB_CODE_NONE);
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has 80 of 100", 1);
    assert_int_equal(claim(ANN, "data", "cheap2"), IFAB_CODE_NONE); /* the same lease: nothing was claimed */
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has 80 of 100", 0);
}

/* Each budget is told of by itself, also where a claim meets the one and then the other. */
static void each_budget_is_told_by_itself(void **state)
{
    (void)state;
    char trace[37];
    make("one", 10);
    make("two", 10);
    ifab_uuid_format(task("one")->trace16, trace);
    have("of-one", IFAB_SUBJECT_TRACE, trace, IFAB_PERIOD_TOTAL, 9);
    ifab_uuid_format(task("two")->trace16, trace);
    have("of-two", IFAB_SUBJECT_TRACE, trace, IFAB_PERIOD_TOTAL, 8);
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "of-one has 9 of 9", 1); /* the first that it met */
    stands_once(ANN, "two", IFAB_CODE_BUDGET_EXCEEDED, "of-two has 8 of 8", 1);
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "of-one has 9 of 9", 0);
    stands_once(ANN, "two", IFAB_CODE_BUDGET_EXCEEDED, "of-two has 8 of 8", 0);
}

static void a_breaker_is_told_once_until_it_opens_again(void **state)
{
    static const struct {
        const char *first, *next;
        uint64_t limit, cost, more;
    } rounds[] = {{"a", "a-next", 100, 5000, 10000}, {"b", "b-next", 10001, 50000, 100000}};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rounds); i++) {
        have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, rounds[i].limit);
        make(rounds[i].first, -1);
        make(rounds[i].next, -1);
        assert_int_equal(claim(ANN, "data", rounds[i].first), IFAB_CODE_NONE);
        assert_int_equal(end_with(ANN, rounds[i].first, IFAB_TASK_COMPLETE, fence, rounds[i].cost), IFAB_CODE_NONE); /* an overrun stops it */
        stands_once(ANN, "", IFAB_CODE_CIRCUIT_BREAKER_OPEN, "", 1);
        stands_once(0, "", IFAB_CODE_CIRCUIT_BREAKER_OPEN, "", 1); /* who makes no claim that goes well: told by the entry that opened it alone */
        struct ifab_command reset = {.type = IFAB_COMMAND_BREAKER_RESET, .principal = &rig.principal, .why = IFAB_VIEW("looked at")};
        reset.u.breaker.kind = IFAB_BREAKER_SWARM;
        reset.u.breaker.name = IFAB_VIEW("data");
        assert_int_equal(rig_do(&rig, &reset)->code, IFAB_CODE_NONE);
        stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left", 1);
        have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, rounds[i].more);
        assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE);
        assert_int_equal(end_with(ANN, rounds[i].next, IFAB_TASK_COMPLETE, fence, 1), IFAB_CODE_NONE);
    }
}

/* The one record of a kind gets that number, as in a store that counts each kind by itself. */
static void renumber(uint8_t kind, uint64_t number)
{
    struct rig_record *to = rig_record(&rig, kind, number);
    for (size_t i = 0; i < rig.record_count; i++) {
        struct rig_record *from = &rig.records[i];
        if (from == to || from->kind != kind || from->bytes == NULL)
            continue;
        assert_null(to->bytes);
        to->bytes = from->bytes;
        to->size = from->size;
        from->bytes = NULL;
    }
    assert_non_null(to->bytes);
}

/* A number is a record's only beside its kind: a budget and a breaker that have the same are two things to lack. */
static void a_breaker_takes_no_budgets_place(void **state)
{
    (void)state;
    struct ifab_command reset = {.type = IFAB_COMMAND_BREAKER_RESET, .principal = &rig.principal, .why = IFAB_VIEW("looked at")};
    uint64_t fences[2];
    reset.u.breaker.kind = IFAB_BREAKER_SWARM;
    reset.u.breaker.name = IFAB_VIEW("data");
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, 100);
    for (int i = 0; i < 3; i++)
        make(i == 0 ? "a" : i == 1 ? "b" : "c", -1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(claim(ANN, "data", i == 0 ? "a" : "b"), IFAB_CODE_NONE);
        fences[i] = fence;
    }
    assert_int_equal(end_with(ANN, "a", IFAB_TASK_COMPLETE, fences[0], 5000), IFAB_CODE_NONE); /* an overrun stops it */
    uint64_t budget = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("purse"))->number;
    renumber(IFAB_KIND_BREAKER, budget);
    rig_restart(&rig);
    assert_int_equal(rig_do(&rig, &reset)->code, IFAB_CODE_NONE);
    stands_once(0, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left", 1);
    assert_int_equal(end_with(ANN, "b", IFAB_TASK_COMPLETE, fences[1], 5000), IFAB_CODE_NONE);
    stands_once(0, "", IFAB_CODE_CIRCUIT_BREAKER_OPEN, "", 1);
    assert_int_equal(rig_do(&rig, &reset)->code, IFAB_CODE_NONE);
    stands_once(0, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has nothing left", 0);
}

/* Past her allowance of entries a refusal is counted, not told; so the first that may be told is. */
static void what_was_only_counted_is_told_later(void **state)
{
    (void)state;
    make("t", 500);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, 100);
    for (int i = 0; i < 10; i++)
        assert_int_equal(claim(ANN, "data", "none"), IFAB_CODE_TASK_NOT_FOUND);
    size_t entries = rig.entry_count;
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(rig.entry_count, entries);
    assert_int_equal(rig.outcome.count_code, IFAB_CODE_BUDGET_EXCEEDED);
    rig.now.run += IFAB_MINUTE;
    stands_once(ANN, "t", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1);
}

/* Memory alone: a start forgets it, which is one more entry for each and nothing else; and it is bounded, for the same price. */
static void it_is_forgotten_for_one_entry_each(void **state)
{
    (void)state;
    make("t", 500);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, 100);
    stands_once(ANN, "t", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1);
    rig_restart(&rig);
    stands_once(ANN, "t", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1);
    char id[16], trace[37]; /* more budgets than one who claims has places */
    for (int i = 0; i < 9; i++) {
        snprintf(id, sizeof id, "t%d", i);
        make(id, 10);
        ifab_uuid_format(task(id)->trace16, trace);
        have(id, IFAB_SUBJECT_TRACE, trace, IFAB_PERIOD_TOTAL, 1);
        rig_pass(&rig, IFAB_MINUTE);
        stands_once(ANN, id, IFAB_CODE_BUDGET_EXCEEDED, "has 1 of 1", 1);
    }
    stands_once(ANN, "t8", IFAB_CODE_BUDGET_EXCEEDED, "t8 has 1 of 1", 0);
    stands_once(ANN, "t1", IFAB_CODE_BUDGET_EXCEEDED, "t1 has 1 of 1", 0);
    stands_once(ANN, "t", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1); /* the oldest had to go */
}

/* However many there are that ask for it: of each one entry, also of those who share their places. */
static void each_who_claims_is_told_of(void **state)
{
    (void)state;
    make("t", 500);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, 100);
    for (uint32_t uid = 5000; uid < 7000; uid++) {
        rig.principal.uid = uid;
        size_t before = rig.entry_count;
        assert_int_equal(claim(0, "data", "t"), IFAB_CODE_BUDGET_EXCEEDED);
        assert_int_equal(rig.entry_count - before, 1);
        assert_int_equal(claim(0, "data", "t"), IFAB_CODE_BUDGET_EXCEEDED);
        assert_int_equal(rig.entry_count - before, 1);
        rig.now.run += IFAB_SECOND;
    }
}

/* What was only decided is told of by nobody. */
static void what_is_decided_alone_is_not_told(void **state)
{
    (void)state;
    make("t", 500);
    have("purse", IFAB_SUBJECT_SWARM, "data", IFAB_PERIOD_TOTAL, 100);
    struct ifab_principal p = as(ANN);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &p};
    c.u.claim.swarm = IFAB_VIEW("data");
    for (int i = 0; i < 3; i++) { /* a dry run, or a challenge: INV-14 */
        rig_decide(&rig, &c);
        assert_int_equal(rig.outcome.reply.code, IFAB_CODE_BUDGET_EXCEEDED);
        assert_int_equal(rig.outcome.entry_count, 1);
    }
    stands_once(ANN, "", IFAB_CODE_BUDGET_EXCEEDED, "purse has 100 of 100", 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spent_is_told_once_for_each_state, setup, teardown),
        cmocka_unit_test_setup_teardown(a_claim_that_went_well_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(each_budget_is_told_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_breaker_is_told_once_until_it_opens_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_breaker_takes_no_budgets_place, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_only_counted_is_told_later, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_forgotten_for_one_entry_each, setup, teardown),
        cmocka_unit_test_setup_teardown(each_who_claims_is_told_of, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_decided_alone_is_not_told, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
