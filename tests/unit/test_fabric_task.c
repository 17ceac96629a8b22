/*
 * Tasks and swarms as commands: who may, what stands in the log, fences, leases, dependencies, deadlines, what a start finds. INV-10, INV-11, INV-13,
 * INV-16. The choice of the next task is the core's and tested there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "task_rig.h"

/* INV-11: one owner, a fence that only grows, the old one refused. */
static void a_task_has_one_owner_at_a_time(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(create("t", "sql"), IFAB_CODE_CONFLICT);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE);
    uint64_t first = fence;
    assert_int_equal(fence, rig.entry_count - 1); /* index of its entry, in the first incarnation */
    assert_int_equal(claim(0, "data", "t"), IFAB_CODE_TASK_OWNED);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NOT_FOUND);
    rig_pass(&rig, 30 * IFAB_SECOND);
    assert_int_equal(state_of("t"), IFAB_TASK_QUEUED);
    assert_int_equal(task("t")->attempt, 2);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_INVALID_TRANSITION); /* it waits a second */
    rig_pass(&rig, IFAB_SECOND);
    assert_int_equal(claim(0, "data", "t"), IFAB_CODE_NONE);
    assert_true(fence > first);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, first), IFAB_CODE_STALE_FENCE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, fence + 100), IFAB_CODE_STALE_FENCE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, 0), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(act(0, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_DONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, first), IFAB_CODE_STALE_FENCE); /* late, and stale */
    assert_int_equal(act(0, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_INVALID_TRANSITION);
    assert_int_equal(create("t", "sql"), IFAB_CODE_CONFLICT); /* for 30 days */
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_INVALID_TRANSITION);
}

static void the_same_claim_is_the_same_lease_without_an_entry(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    size_t entries = rig.entry_count;
    ifab_usec until = task("t")->lease_until;
    rig.now.run += IFAB_SECOND;
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(rig.entry_count, entries);
    assert_int_equal(task("t")->lease_until, until);
}

static void a_talent_acts_for_its_swarms_only(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "data", "t"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(claim(EVE, "data", ""), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(claim(OPS, "data", "t"), IFAB_CODE_PERMISSION_DENIED); /* not even an operator that is a talent */
    assert_int_equal(claim(BOB, "code", "t"), IFAB_CODE_NO_QUALIFIED_SWARM);
    assert_int_equal(claim(BOB, "none", "t"), IFAB_CODE_NOT_FOUND);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(act(BOB, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_PERMISSION_DENIED); /* knows the fence, is no member */
    assert_int_equal(act(EVE, "t", IFAB_TASK_CANCEL, 0), IFAB_CODE_PERMISSION_DENIED);
    rig.principal.role = IFAB_ROLE_READONLY;
    assert_int_equal(create("u", "sql"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(swarm("more", "sql", "Ann", 1), IFAB_CODE_PERMISSION_DENIED);
    rig.principal.role = IFAB_ROLE_OPERATOR;
    assert_int_equal(swarm("more", "sql", "Nobody", 1), IFAB_CODE_TALENT_NOT_FOUND);
    /* a member that is taken out of the swarm loses what it holds for it */
    assert_int_equal(swarm("data", "sql", "Eve", 5), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(act(EVE, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
}

static void refusals_of_known_ones_stand_in_the_log(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(claim(0, "data", "t"), IFAB_CODE_TASK_OWNED);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"task_refused\""));
    size_t entries = rig.entry_count;
    for (int i = 0; i < 100; i++) /* a race of many losers does not fill the log */
        assert_int_equal(claim(0, "data", "t"), IFAB_CODE_TASK_OWNED);
    assert_in_range(rig.entry_count - entries, 1, 11);
}

static void concurrency_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(create("a", "rust"), IFAB_CODE_NONE);
    assert_int_equal(create("b", "rust"), IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "code", "a"), IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "code", "b"), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(claim(BOB, "code", ""), IFAB_CODE_NOT_FOUND); /* a long poll waits */
    assert_int_equal(act(BOB, "a", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "code", ""), IFAB_CODE_NONE);
}

static void poison_is_dead_and_can_be_given_another_life(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    uint64_t first = fence;
    assert_int_equal(act(ANN, "t", IFAB_TASK_POISON, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_DEAD);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"dead\""));
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_INVALID_TRANSITION);
    assert_int_equal(act(ANN, "t", IFAB_TASK_REPLAY, 0), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(act(0, "t", IFAB_TASK_REPLAY, 0), IFAB_CODE_NONE);
    assert_int_equal(task("t")->attempt, 1);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, first), IFAB_CODE_STALE_FENCE);
}

static void failures_end_in_death_after_the_last_attempt(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    for (int attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
        assert_int_equal(task("t")->attempt, attempt);
        assert_int_equal(act(ANN, "t", attempt == 2 ? IFAB_TASK_SHUTDOWN : IFAB_TASK_FAIL, fence), IFAB_CODE_NONE);
        if (attempt == 2) { /* a worker that ends takes no attempt away */
            assert_int_equal(task("t")->attempt, 2);
            assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
            assert_int_equal(act(ANN, "t", IFAB_TASK_FAIL, fence), IFAB_CODE_NONE);
        }
        rig_pass(&rig, 2 * IFAB_SECOND);
    }
    assert_int_equal(state_of("t"), IFAB_TASK_DEAD);
}

static void what_depends_waits_and_an_orphan_dies(void **state)
{
    struct ifab_view on[] = {IFAB_VIEW("a"), IFAB_VIEW("b")};
    (void)state;
    assert_int_equal(create("a", "sql"), IFAB_CODE_NONE);
    assert_int_equal(create("b", "sql"), IFAB_CODE_NONE);
    struct ifab_command c = new_task("c", "sql");
    c.u.task.depends_on = on;
    c.u.task.depends_count = 2;
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    struct ifab_command d = new_task("d", "sql"), e = new_task("e", "sql");
    d.u.task.depends_on = on + 1;
    d.u.task.depends_count = 1;
    assert_int_equal(rig_do(&rig, &d)->code, IFAB_CODE_NONE);
    struct ifab_view unknown = IFAB_VIEW("zz");
    e.u.task.depends_on = &unknown;
    e.u.task.depends_count = 1;
    assert_int_equal(rig_do(&rig, &e)->code, IFAB_CODE_TASK_NOT_FOUND);
    assert_int_equal(claim(ANN, "data", "c"), IFAB_CODE_INVALID_TRANSITION);
    assert_int_equal(claim(ANN, "data", "a"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "a", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(task("c")->depends_count, 1);
    rig_restart(&rig);
    assert_int_equal(claim(ANN, "data", "b"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "b", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "c"), IFAB_CODE_NONE);
    struct ifab_command f = new_task("f", "sql");
    struct ifab_view on_d = IFAB_VIEW("d");
    f.u.task.depends_on = &on_d;
    f.u.task.depends_count = 1;
    assert_int_equal(rig_do(&rig, &f)->code, IFAB_CODE_NONE);
    assert_int_equal(act(0, "d", IFAB_TASK_CANCEL, 0), IFAB_CODE_NONE);
    assert_int_equal(state_of("f"), IFAB_TASK_DEAD);
    assert_int_equal(state_of("d"), IFAB_TASK_CANCELLED);
}

static void time_brings_and_ends(void **state)
{
    (void)state;
    struct ifab_command c = new_task("later", "sql");
    c.u.task.not_before = rig.now.wall + 10 * IFAB_SECOND;
    c.u.task.deadline = rig.now.wall + 60 * IFAB_SECOND;
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NOT_FOUND);
    rig_pass(&rig, 10 * IFAB_SECOND);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE);
    rig_pass(&rig, 25 * IFAB_SECOND);
    assert_int_equal(act(ANN, "later", IFAB_TASK_RENEW, fence), IFAB_CODE_NONE);
    rig_pass(&rig, 26 * IFAB_SECOND);
    assert_int_equal(state_of("later"), IFAB_TASK_DEAD);
    assert_int_equal(act(ANN, "later", IFAB_TASK_COMPLETE, fence), IFAB_CODE_STALE_FENCE);
    struct ifab_command past = new_task("past", "sql");
    past.u.task.deadline = rig.now.wall;
    assert_int_equal(rig_do(&rig, &past)->code, IFAB_CODE_INVALID_PARAMS);
}

static void a_claim_that_nobody_heard_of_is_given_back(void **state)
{
    (void)state;
    assert_int_equal(create("a", "sql"), IFAB_CODE_NONE);
    assert_int_equal(create("b", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "a", IFAB_TASK_GIVE_BACK, fence), IFAB_CODE_NONE);
    assert_int_equal(task("a")->attempt, 1);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_NONE); /* it has kept its place */
    assert_int_equal(state_of("a"), IFAB_TASK_CLAIMED);
    assert_int_equal(claim(ANN, "data", "a"), IFAB_CODE_NONE); /* asked again, and told: it is not given back under its holder's feet */
    fence = task("a")->fence.n;
    assert_int_equal(act(ANN, "a", IFAB_TASK_GIVE_BACK, fence), IFAB_CODE_INVALID_TRANSITION);
    assert_int_equal(act(ANN, "a", IFAB_TASK_SHUTDOWN, fence), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "a"), IFAB_CODE_NONE);
    assert_false(task("a")->told);
    assert_int_equal(act(ANN, "a", IFAB_TASK_PROGRESS, fence), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "a", IFAB_TASK_GIVE_BACK, fence), IFAB_CODE_INVALID_TRANSITION);
}

static void everything_outlives_a_restart(void **state)
{
    (void)state;
    assert_int_equal(create("q", "sql"), IFAB_CODE_NONE);
    assert_int_equal(create("w", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "w"), IFAB_CODE_NONE);
    uint64_t held = fence;
    assert_int_equal(create("done", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "done"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "done", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    rig_restart(&rig);
    assert_int_equal(state_of("q"), IFAB_TASK_QUEUED);
    assert_int_equal(state_of("w"), IFAB_TASK_CLAIMED);
    assert_int_equal(state_of("done"), IFAB_TASK_DONE);
    assert_int_equal(ifab_swarm_count(ifab_fabric_coordinator(rig.fabric)), 2);
    assert_int_equal(act(ANN, "w", IFAB_TASK_COMPLETE, held), IFAB_CODE_NONE);
}

/* INV-16: a swarm's members may act; who adds one in the store is found out. */
static void an_edited_swarm_is_found_at_a_start(void **state)
{
    struct ifab_fabric *fabric = NULL;
    (void)state;
    for (size_t i = 0; i < rig.record_count; i++) {
        struct rig_record *record = &rig.records[i];
        char *name = record->kind == IFAB_KIND_SWARM ? strstr((char *)record->bytes, "\"Ann\"") : NULL;
        if (name == NULL)
            continue;
        memcpy(name, "\"Eve\"", 5);
        assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
        memcpy(name, "\"Ann\"", 5);
        assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_OK);
        ifab_fabric_free(fabric);
        return;
    }
    fail_msg("no swarm in the store");
}

static void every_change_says_who_and_why(void **state)
{
    (void)state; /* INV-13 */
    struct ifab_command c = new_task("t", "sql");
    c.why = IFAB_VIEW("");
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    char from[64];
    snprintf(from, sizeof from, "\"why_from\":%zu", rig.entry_count - 1);
    assert_non_null(strstr(rig_last(&rig), "\"why\":\"the quarter ends\""));
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), from));
    assert_non_null(strstr(rig_last(&rig), "\"actor\":\"if://agent/Ann\""));
    rig_pass(&rig, 31 * IFAB_SECOND);
    assert_non_null(strstr(rig_last(&rig), from));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"expire\""));
}

static void payload_and_result_lie_beside_their_entries(void **state)
{
    struct ifab_principal ann = as(ANN);
    (void)state;
    struct ifab_command c = new_task("", "sql");
    c.u.task.payload = IFAB_VIEW("{\"quarter\":3}");
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    const struct rig_entry *made = &rig.entries[rig.entry_count - 1];
    assert_int_equal(made->message_size, 13);
    assert_memory_equal(made->message, "{\"quarter\":3}", 13);
    struct ifab_command take = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &ann};
    take.u.claim.swarm = IFAB_VIEW("data");
    const struct ifab_reply *reply = rig_do(&rig, &take);
    assert_true(reply->with_payload);
    assert_int_equal(reply->payload_index, rig.entry_count - 2);
    char id[65];
    memcpy(id, ifab_task_at(ifab_fabric_coordinator(rig.fabric), reply->task)->id, sizeof id);
    assert_int_equal(strncmp(id, "task-", 5), 0);
    struct ifab_command done = {.type = IFAB_COMMAND_TASK_ACT, .principal = &ann};
    done.u.task_act.id = ifab_view_str(id);
    done.u.task_act.event = IFAB_TASK_COMPLETE;
    done.u.task_act.fence = reply->fence;
    done.u.task_act.percent = -1;
    done.u.task_act.result = IFAB_VIEW("{\"rows\":7}");
    assert_int_equal(rig_do(&rig, &done)->code, IFAB_CODE_NONE);
    assert_memory_equal(rig.entries[rig.entry_count - 1].message, "{\"rows\":7}", 10);
    assert_non_null(strstr(rig_last(&rig), "\"result\":{\"digest\":\"sha256:"));
}

static uint64_t taken(void) /* settled and held of the one budget */
{
    const struct ifab_budget *budget = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("purse"));
    assert_non_null(budget);
    assert_true(budget->state.settled + budget->state.reserved <= budget->limit);
    return budget->state.settled + budget->state.reserved;
}

/* INV-10: what is held and spent never passes the budget, and a task that ends any way gives back what it did not use. */
static void a_budget_stops_a_swarm_at_exactly_its_limit(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    uint64_t fences[4];
    (void)state;
    struct ifab_command set = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, ADM)};
    set.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("purse"), .name = IFAB_VIEW("data"), .subject = IFAB_SUBJECT_SWARM,
                                                        .unit = IFAB_UNIT_USD_MICRO, .period = IFAB_PERIOD_TOTAL, .limit = 1000};
    assert_int_equal(rig_do(&rig, &set)->code, IFAB_CODE_NONE);
    for (size_t i = 0; i < 4; i++) {
        struct ifab_command c = new_task(ids[i], "sql");
        c.u.task.budget[0] = 400;
        c.u.task.priority = 0; /* goes on where a budget is paused */
        assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(claim(ANN, "data", ids[i]), IFAB_CODE_NONE);
        fences[i] = fence;
    }
    assert_int_equal(taken(), 800);
    assert_int_equal(claim(ANN, "data", "c"), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(state_of("c"), IFAB_TASK_QUEUED);
    rig_restart(&rig); /* a crash between what is held and what is spent */
    assert_int_equal(taken(), 800);
    assert_int_equal(end_with(ANN, "a", IFAB_TASK_COMPLETE, fences[0], 300), IFAB_CODE_NONE);
    assert_int_equal(taken(), 700);
    assert_int_equal(end_with(ANN, "a", IFAB_TASK_COMPLETE, fences[0], 300), IFAB_CODE_INVALID_TRANSITION); /* once */
    assert_int_equal(taken(), 700);
    assert_int_equal(claim(ANN, "data", "c"), IFAB_CODE_BUDGET_EXCEEDED);
    rig_pass(&rig, 30 * IFAB_SECOND); /* b's lease runs out: what it held is free again */
    assert_int_equal(state_of("b"), IFAB_TASK_QUEUED);
    assert_int_equal(taken(), 300);
    assert_int_equal(end_with(ANN, "b", IFAB_TASK_COMPLETE, fences[1], 9999), IFAB_CODE_STALE_FENCE);
    assert_int_equal(taken(), 300);
    assert_int_equal(claim(ANN, "data", "c"), IFAB_CODE_NONE);
    assert_int_equal(taken(), 700);
    assert_int_equal(act(0, "c", IFAB_TASK_CANCEL, 0), IFAB_CODE_NONE);
    assert_int_equal(taken(), 300);
    assert_int_equal(claim(ANN, "data", "d"), IFAB_CODE_NONE);
    assert_int_equal(end_with(ANN, "d", IFAB_TASK_FAIL, fence, 400), IFAB_CODE_NONE); /* a failure costs, too */
    assert_int_equal(taken(), 700);
    rig_pass(&rig, 2 * IFAB_SECOND);
    assert_int_equal(claim(ANN, "data", "d"), IFAB_CODE_BUDGET_EXCEEDED);
}

static void purse_of(const char *name, uint64_t limit)
{
    struct ifab_command set = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, ADM)};
    set.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("purse"), .name = ifab_view_str(name), .subject = IFAB_SUBJECT_SWARM,
                                                        .unit = IFAB_UNIT_USD_MICRO, .period = IFAB_PERIOD_TOTAL, .limit = limit};
    assert_int_equal(rig_do(&rig, &set)->code, IFAB_CODE_NONE);
}

static enum ifab_code create_by(uint32_t talent, const char *id, uint8_t priority, int64_t usd_micro, const char *queue)
{
    struct ifab_principal p = as(talent);
    struct ifab_command c = new_task(id, "sql");
    c.principal = &p;
    c.u.task.priority = priority;
    c.u.task.budget[0] = usd_micro;
    c.u.task.swarm = ifab_view_str(queue);
    return rig_do(&rig, &c)->code;
}

static const char *claimed_next(void)
{
    static char id[65];
    size_t before = rig.entry_count;
    if (claim(ANN, "data", "") != IFAB_CODE_NONE)
        return "";
    for (size_t i = before; i < rig.entry_count; i++)
        if (strstr(rig_entry_text(&rig, i), "\"operation\":\"claim\"") != NULL)
            snprintf(id, sizeof id, "%s", strstr(rig_entry_text(&rig, i), "\"subject\":\"") + strlen("\"subject\":\""));
    *strchr(id, '"') = '\0';
    return id;
}

/* A task nobody here can pay for, as urgent as can be, by whomever: it waits, and what is behind it does not. */
static void a_dear_task_holds_up_nothing_else(void **state)
{
    char id[16];
    (void)state;
    purse_of("data", 1000);
    assert_int_equal(create_by(EVE, "pill", 0, (int64_t)IFAB_AMOUNT_MAX, ""), IFAB_CODE_NONE);
    for (int i = 0; i < 45; i++) { /* and more of them, of every price */
        snprintf(id, sizeof id, "pill%d", i);
        assert_int_equal(create_by(EVE, id, 0, (int64_t)20000 << i % 38, ""), IFAB_CODE_NONE);
    }
    assert_int_equal(create_by(0, "dear", 2, 5000, "data"), IFAB_CODE_NONE);
    assert_int_equal(create_by(0, "small", 2, 100, "data"), IFAB_CODE_NONE);
    assert_int_equal(create_by(0, "free", 2, -1, "data"), IFAB_CODE_NONE);
    assert_int_equal(create_by(BOB, "open", 3, 200, ""), IFAB_CODE_NONE);
    assert_string_equal(claimed_next(), "small");
    assert_string_equal(claimed_next(), "open"); /* the flow that was served gives way: as ever */
    assert_string_equal(claimed_next(), "free");
    assert_int_equal(claim(ANN, "data", ""), IFAB_CODE_BUDGET_EXCEEDED); /* nothing else is there */
    assert_int_equal(taken(), 300);
    assert_int_equal(state_of("dear"), IFAB_TASK_QUEUED);
    assert_int_equal(task("dear")->attempt, 1);
    purse_of("data", 10000); /* and when there is room, it is its turn */
    assert_string_equal(claimed_next(), "dear");
}

/* A full queue is full for those who come back from the dead, too. */
static void a_dead_task_does_not_pass_a_full_queue(void **state)
{
    static const struct ifab_view sql[] = {{(const uint8_t *)"sql", 3}}, ann[] = {{(const uint8_t *)"Ann", 3}};
    (void)state;
    struct ifab_command two = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    two.u.swarm.request = (struct ifab_swarm_request){.id = IFAB_VIEW("data"), .skills = sql, .skill_count = 1, .members = ann, .member_count = 1,
                                                      .queue_limit = 2, .queue_policy = IFAB_QUEUE_SHED_LOWEST};
    assert_int_equal(rig_do(&rig, &two)->code, IFAB_CODE_NONE);
    assert_int_equal(create_by(EVE, "a", 0, -1, "data"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "a"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "a", IFAB_TASK_POISON, fence), IFAB_CODE_NONE);
    assert_int_equal(create_by(EVE, "b", 3, -1, "data"), IFAB_CODE_NONE);
    assert_int_equal(create_by(EVE, "c", 3, -1, "data"), IFAB_CODE_QUOTA_EXCEEDED); /* half of two */
    assert_int_equal(act(EVE, "a", IFAB_TASK_REPLAY, 0), IFAB_CODE_QUOTA_EXCEEDED); /* that way neither */
    assert_int_equal(create_by(ANN, "c", 3, -1, "data"), IFAB_CODE_NONE);
    assert_int_equal(act(0, "a", IFAB_TASK_REPLAY, 0), IFAB_CODE_QUEUE_FULL); /* and it sheds nothing */
    assert_int_equal(state_of("a"), IFAB_TASK_DEAD);
    assert_int_equal(create_by(BOB, "d", 0, -1, "data"), IFAB_CODE_QUEUE_FULL); /* nothing of others gives way to a stranger */
    assert_int_equal(state_of("b"), IFAB_TASK_QUEUED);
    assert_int_equal(create_by(ANN, "e", 0, -1, "data"), IFAB_CODE_NONE); /* a member's does: the oldest of the least */
    assert_int_equal(state_of("b"), IFAB_TASK_DEAD);
    assert_int_equal(claim(ANN, "data", "e"), IFAB_CODE_NONE);
    assert_int_equal(act(0, "a", IFAB_TASK_REPLAY, 0), IFAB_CODE_NONE);
    assert_int_equal(create_by(OPS, "f", 0, -1, "data"), IFAB_CODE_NONE); /* an operator sheds as well */
    assert_int_equal(state_of("c"), IFAB_TASK_DEAD);
}

/* Three failures of a swarm in a row: nothing more until a person has looked. */
static void a_swarm_that_fails_is_stopped(void **state)
{
    char id[8];
    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "t%d", i);
        assert_int_equal(create(id, "sql"), IFAB_CODE_NONE);
        assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
        assert_int_equal(act(ANN, id, IFAB_TASK_FAIL, fence), IFAB_CODE_NONE);
    }
    assert_int_equal(create("more", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "more"), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
}

/* block() asks another swarm, never the blocked one; its task is in that swarm's queue; when it is done, the blocked one goes on. */
static void the_blocked_is_helped_and_goes_on(void **state)
{
    char helper[65];
    (void)state;
    assert_int_equal(swarm("gophers", "go", "Eve", 5), IFAB_CODE_NONE);
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    uint64_t held = fence;
    assert_int_equal(act(ANN, "t", IFAB_TASK_BLOCK, held), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_BLOCKED);
    assert_non_null(helper_of("t", 0));
    assert_null(helper_of("t", 1));
    memcpy(helper, helper_of("t", 0)->id, sizeof helper);
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 1);
    assert_int_equal(claim(BOB, "code", ""), IFAB_CODE_NOT_FOUND);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, held), IFAB_CODE_INVALID_TRANSITION);
    rig_restart(&rig);
    assert_int_equal(claim(EVE, "gophers", ""), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_RENEW, held), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, helper, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_RUNNING);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, held), IFAB_CODE_NONE);
}

static void nobody_can_help_so_a_person_is_asked(void **state)
{
    (void)state;
    assert_int_equal(swarm("data", "go", "Ann", 5), IFAB_CODE_NONE); /* the blocked one can do it: it is not asked */
    assert_int_equal(create("t", "go"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
    assert_null(helper_of("t", 0));
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), 1);
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 0);
}

/* Help lasts as long as the block, and help for helpers as long as theirs. */
static void help_ends_with_the_block(void **state)
{
    char first[65], second[65];
    (void)state;
    assert_int_equal(swarm("gophers", "go", "Eve", 5), IFAB_CODE_NONE);
    static const enum ifab_task_event ways[] = {IFAB_TASK_UNBLOCK, IFAB_TASK_CANCEL, IFAB_TASK_POISON, IFAB_TASK_EXPIRE};
    for (size_t i = 0; i < IFAB_COUNT(ways); i++) {
        char id[8];
        snprintf(id, sizeof id, "t%zu", i);
        assert_int_equal(create(id, "sql"), IFAB_CODE_NONE);
        assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
        uint64_t held = fence;
        assert_int_equal(act(ANN, id, IFAB_TASK_BLOCK, held), IFAB_CODE_NONE);
        memcpy(first, helper_of(id, 0)->id, sizeof first);
        assert_int_equal(claim(EVE, "gophers", first), IFAB_CODE_NONE);
        assert_int_equal(swarm("more", "go", "Bob", 5), IFAB_CODE_NONE);
        assert_int_equal(act(EVE, first, IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
        memcpy(second, helper_of(first, 0)->id, sizeof second);
        assert_int_equal(task(second)->depth, 2);
        if (ways[i] == IFAB_TASK_EXPIRE)
            rig_pass(&rig, 31 * IFAB_SECOND);
        else
            assert_int_equal(act(ways[i] == IFAB_TASK_CANCEL ? 0 : ANN, id, ways[i], held), IFAB_CODE_NONE);
        assert_int_equal(state_of(first), IFAB_TASK_CANCELLED);
        assert_int_equal(state_of(second), IFAB_TASK_CANCELLED);
        assert_int_equal(act(EVE, first, IFAB_TASK_COMPLETE, fence), IFAB_CODE_INVALID_TRANSITION); /* it is closed */
    }
}

/*
 * Each of two swarms waits for the other: the younger of equal priority gives way, and both come to an end. Help is asked only of who has a hand free,
 * so this takes an operator who leaves them fewer hands.
 */
static void a_circle_of_waits_is_broken(void **state)
{
    char helper[65];
    (void)state;
    assert_int_equal(swarm("data", "sql", "Ann", 2), IFAB_CODE_NONE);
    assert_int_equal(swarm("gophers", "go", "Eve", 2), IFAB_CODE_NONE);
    struct ifab_command a = new_task("a", "sql"), b;
    assert_int_equal(rig_do(&rig, &a)->code, IFAB_CODE_NONE);
    b = new_task("b", "go");
    assert_int_equal(rig_do(&rig, &b)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "a"), IFAB_CODE_NONE);
    uint64_t ann = fence;
    assert_int_equal(claim(EVE, "gophers", "b"), IFAB_CODE_NONE);
    uint64_t eve = fence;
    assert_int_equal(act(ANN, "a", IFAB_TASK_BLOCK, ann), IFAB_CODE_NONE); /* needs go: waits in the queue of the gophers */
    memcpy(helper, helper_of("a", 0)->id, sizeof helper);
    rig_pass(&rig, IFAB_SECOND);
    assert_int_equal(state_of("a"), IFAB_TASK_BLOCKED); /* Eve is at work: no circle */
    static const struct ifab_view sql[] = {{(const uint8_t *)"sql", 3}};
    struct ifab_principal p = as(EVE);
    struct ifab_command block = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    block.u.task_act.id = IFAB_VIEW("b");
    block.u.task_act.event = IFAB_TASK_BLOCK;
    block.u.task_act.fence.n = eve;
    block.u.task_act.percent = -1;
    block.u.task_act.needs = sql;
    block.u.task_act.need_count = 1;
    assert_int_equal(rig_do(&rig, &block)->code, IFAB_CODE_NONE);
    rig_tick(&rig);
    assert_int_equal(state_of("b"), IFAB_TASK_BLOCKED); /* each has a hand free for the other */
    assert_int_equal(swarm("data", "sql", "Ann", 1), IFAB_CODE_NONE);
    rig_tick(&rig);
    assert_int_equal(state_of("b"), IFAB_TASK_BLOCKED); /* one still has */
    assert_int_equal(swarm("gophers", "go", "Eve", 1), IFAB_CODE_NONE);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run); /* at once */
    rig_tick(&rig);
    assert_int_equal(state_of("b"), IFAB_TASK_QUEUED);
    assert_int_equal(task("b")->attempt, 1);
    assert_int_equal(state_of("a"), IFAB_TASK_BLOCKED);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run); /* what gave way may have been in another circle as well: it is looked again */
    rig_tick(&rig);
    assert_int_equal(entries_with("\"operation\":\"yield\""), 1);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
    assert_int_equal(act(EVE, "b", IFAB_TASK_COMPLETE, eve), IFAB_CODE_STALE_FENCE);
    assert_int_equal(claim(EVE, "gophers", helper), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, helper, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "a", IFAB_TASK_COMPLETE, ann), IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "gophers", "b"), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, "b", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
}

static void blocks(uint32_t talent, const char *id, const char *need, uint64_t with)
{
    const struct ifab_view needs[] = {ifab_view_str(need)};
    struct ifab_principal p = as(talent);
    struct ifab_command block = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    block.u.task_act.id = ifab_view_str(id);
    block.u.task_act.event = IFAB_TASK_BLOCK;
    block.u.task_act.fence.n = with;
    block.u.task_act.percent = -1;
    block.u.task_act.needs = needs;
    block.u.task_act.need_count = 1;
    assert_int_equal(rig_do(&rig, &block)->code, IFAB_CODE_NONE);
}

/* Two circles of two and one of three, closed in the same moment: of each the youngest gives way, within two steps, and the others go on waiting. */
static void several_circles_are_broken(void **state)
{
    static const struct { char id[3], own[3], waits_for[3]; bool yields; } tasks[] = {
        {"a0", "k0", "k1", false}, {"a1", "k1", "k0", true},
        {"b0", "k2", "k3", false}, {"b1", "k3", "k2", true},
        {"c0", "k4", "k5", false}, {"c1", "k5", "k6", false}, {"c2", "k6", "k4", true},
    };
    uint64_t fences[IFAB_COUNT(tasks)];
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(tasks); i++) {
        assert_int_equal(swarm(tasks[i].own, tasks[i].own, "Ann", 2), IFAB_CODE_NONE);
        assert_int_equal(create(tasks[i].id, tasks[i].own), IFAB_CODE_NONE);
        assert_int_equal(claim(ANN, tasks[i].own, tasks[i].id), IFAB_CODE_NONE);
        fences[i] = fence;
    }
    for (size_t i = 0; i < IFAB_COUNT(tasks); i++)
        blocks(ANN, tasks[i].id, tasks[i].waits_for, fences[i]);
    for (size_t i = 0; i < IFAB_COUNT(tasks); i++)
        assert_int_equal(swarm(tasks[i].own, tasks[i].own, "Ann", 1), IFAB_CODE_NONE);
    rig_tick(&rig);
    assert_int_equal(entries_with("\"operation\":\"yield\""), 2); /* so many that are helped end in one step */
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
    rig_tick(&rig);
    assert_int_equal(entries_with("\"operation\":\"yield\""), 3);
    for (size_t i = 0; i < IFAB_COUNT(tasks); i++)
        assert_int_equal(state_of(tasks[i].id), tasks[i].yields ? IFAB_TASK_QUEUED : IFAB_TASK_BLOCKED);
    rig_tick(&rig);
    assert_int_equal(entries_with("\"operation\":\"yield\""), 3); /* no more than that */
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
}

/* Two circles with a task in common: one of both gives way, which leaves the other as it was, so one of that follows at the next tick. */
static void circles_with_a_task_in_common_are_both_broken(void **state)
{
    static const char *const tasks[] = {"a", "b", "c"}, *const own[] = {"k0", "k1", "k2"};
    static const struct ifab_view both[] = {{(const uint8_t *)"k1", 2}, {(const uint8_t *)"k2", 2}};
    uint64_t fences[3];
    struct ifab_principal p = as(ANN);
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(swarm(own[i], own[i], "Ann", 3), IFAB_CODE_NONE);
        assert_int_equal(create(tasks[i], own[i]), IFAB_CODE_NONE);
        assert_int_equal(claim(ANN, own[i], tasks[i]), IFAB_CODE_NONE);
        fences[i] = fence;
    }
    struct ifab_command block = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    block.u.task_act.id = IFAB_VIEW("a");
    block.u.task_act.event = IFAB_TASK_BLOCK;
    block.u.task_act.fence.n = fences[0];
    block.u.task_act.percent = -1;
    block.u.task_act.needs = both;
    block.u.task_act.need_count = 2;
    assert_int_equal(rig_do(&rig, &block)->code, IFAB_CODE_NONE);
    assert_non_null(helper_of("a", 1));
    blocks(ANN, "b", "k0", fences[1]);
    blocks(ANN, "c", "k0", fences[2]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(swarm(own[i], own[i], "Ann", 1), IFAB_CODE_NONE);
    rig_tick(&rig);
    assert_int_equal(state_of("c"), IFAB_TASK_QUEUED);
    assert_int_equal(state_of("b"), IFAB_TASK_BLOCKED);
    rig_tick(&rig);
    assert_int_equal(state_of("b"), IFAB_TASK_QUEUED);
    rig_tick(&rig);
    assert_int_equal(state_of("a"), IFAB_TASK_BLOCKED);
    assert_int_equal(entries_with("\"operation\":\"yield\""), 2);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
}

/* INV-10: what was held for a helper is free again when its task is shed from a full queue. */
static void a_helper_that_is_shed_holds_nothing(void **state)
{
    static const struct ifab_view go[] = {{(const uint8_t *)"go", 2}}, eve[] = {{(const uint8_t *)"Eve", 3}};
    (void)state;
    struct ifab_command set = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, ADM)};
    set.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("purse"), .name = IFAB_VIEW("gophers"), .subject = IFAB_SUBJECT_SWARM,
                                                        .unit = IFAB_UNIT_USD_MICRO, .period = IFAB_PERIOD_TOTAL, .limit = 1000};
    struct ifab_command gophers = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    gophers.u.swarm.request = (struct ifab_swarm_request){.id = IFAB_VIEW("gophers"), .skills = go, .skill_count = 1, .members = eve, .member_count = 1,
                                                          .queue_limit = 1, .queue_policy = IFAB_QUEUE_SHED_LOWEST};
    assert_int_equal(rig_do(&rig, &gophers)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &set)->code, IFAB_CODE_NONE);
    struct ifab_command t = new_task("t", "sql");
    t.u.task.budget[0] = 400;
    assert_int_equal(rig_do(&rig, &t)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
    assert_int_equal(taken(), 100); /* a tenth of what is left */
    const struct ifab_task *helper = helper_of("t", 0);
    struct ifab_command first = new_task("urgent", "go");
    first.u.task.swarm = IFAB_VIEW("gophers");
    first.u.task.priority = 0;
    char id[65];
    memcpy(id, helper->id, sizeof id);
    assert_int_equal(rig_do(&rig, &first)->code, IFAB_CODE_NONE);
    assert_int_equal(state_of(id), IFAB_TASK_DEAD);
    assert_int_equal(taken(), 0);
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), 1); /* there is nobody else */
    rig_restart(&rig);
    assert_int_equal(taken(), 0);
}

/* 100 tasks, ten claimers each, in any order: one winner each. */
static void of_many_claimers_one_wins(void **state)
{
    char id[16];
    (void)state;
    assert_int_equal(swarm("data", "sql", "Ann", 1000), IFAB_CODE_NONE);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "t%d", i);
        assert_int_equal(create(id, "sql"), IFAB_CODE_NONE);
    }
    for (int i = 0; i < 100; i++) {
        int won = 0;
        snprintf(id, sizeof id, "t%d", i);
        for (uint32_t c = 0; c < 10; c++) {
            struct ifab_principal p = as(0);
            p.uid = 100 + c;
            struct ifab_command command = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &p};
            command.u.claim.swarm = IFAB_VIEW("data");
            command.u.claim.id = ifab_view_str(id);
            won += rig_do(&rig, &command)->code == IFAB_CODE_NONE;
        }
        assert_int_equal(won, 1);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_task_has_one_owner_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_claim_is_the_same_lease_without_an_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_talent_acts_for_its_swarms_only, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_of_known_ones_stand_in_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(concurrency_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(poison_is_dead_and_can_be_given_another_life, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_end_in_death_after_the_last_attempt, setup, teardown),
        cmocka_unit_test_setup_teardown(what_depends_waits_and_an_orphan_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(time_brings_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(a_claim_that_nobody_heard_of_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_outlives_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edited_swarm_is_found_at_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(every_change_says_who_and_why, setup, teardown),
        cmocka_unit_test_setup_teardown(payload_and_result_lie_beside_their_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(of_many_claimers_one_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(a_budget_stops_a_swarm_at_exactly_its_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dear_task_holds_up_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_task_does_not_pass_a_full_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(a_swarm_that_fails_is_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(the_blocked_is_helped_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_can_help_so_a_person_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(help_ends_with_the_block, setup, teardown),
        cmocka_unit_test_setup_teardown(a_circle_of_waits_is_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(several_circles_are_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(circles_with_a_task_in_common_are_both_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_helper_that_is_shed_holds_nothing, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
