/* How plans end and what that costs: intents that nobody saw the end of, dry runs, prices, breakers, traces, what is revoked meanwhile. INV-04, INV-06,
 * INV-07, INV-10, INV-13. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan_support.h"

#define PRICED "studio.priced"
#define PRICED_REST                                                                                                                       \
    "\"operations\":{\"go\":{\"effect\":\"write\",\"cost_estimate\":{\"usd_micro\":1500,\"tokens\":10,\"calls\":2}},"                      \
    "\"again\":{\"effect\":\"write\",\"idempotent\":true,\"cost_estimate\":{\"usd_micro\":1000}},"                                         \
    "\"lock\":{\"effect\":\"physical\"}},\"default_operation\":\"go\",\"scopes\":[\"studio:control\"],"                                    \
    "\"limits\":{\"rps\":100,\"burst\":100,\"backoff\":[1]}"

static int setup_priced(void **state)
{
    setup(state);
    capability_allow(&rig, ADM, PRICED, "1.0.0", PRICED_REST);
    rig_grant(&rig, "A", "if://capability/" PRICED);
    return 0;
}

static void budget(const char *id, enum ifab_unit unit, uint64_t limit)
{
    struct ifab_command command = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal};
    command.u.budget.request = (struct ifab_budget_request){.id = ifab_view_str(id), .name = IFAB_VIEW(PRICED), .subject = IFAB_SUBJECT_CAPABILITY,
                                                            .unit = unit, .period = IFAB_PERIOD_TOTAL, .limit = limit};
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

static void expect_budget(const char *id, uint64_t settled, uint64_t reserved)
{
    const struct ifab_budget *b = ifab_money_budget(ifab_fabric_money(rig.fabric), ifab_view_str(id));
    assert_int_equal(b->state.settled, settled);
    assert_int_equal(b->state.reserved, reserved);
}

static const struct ifab_plan *last_plan(void) { return ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32); }

static void expect_state(enum ifab_plan_state state)
{
    assert_non_null(last_plan());
    assert_string_equal(ifab_plan_state_name(last_plan()->state), ifab_plan_state_name(state));
}

static enum ifab_code dry_run(const char *name)
{
    good_module = capability_module();
    return apply_with(&agent_a, name, true, &good_module);
}

static enum ifab_code close_plan(bool done)
{
    struct ifab_command command = {.type = IFAB_COMMAND_PLAN_CLOSE, .principal = &rig.principal, .why = IFAB_VIEW("looked at the studio")};
    memcpy(command.u.close.plan16, last_plan()->id16, 16);
    command.u.close.done = done;
    return rig_do(&rig, &command)->code;
}

static void talent_act(enum ifab_talent_act act, const char *name, const char *scope)
{
    struct ifab_command command = rig_talent_command(&rig, act, name);
    command.u.talent.request.scope = ifab_view_str(scope);
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

static void start_again(void)
{
    rig_restart(&rig);
    rig_pass(&rig, IFAB_SECOND);
}

static void expect_traces(uint64_t from, uint64_t planned) /* of the entries from there on: that of the plan */
{
    static const char member[] = "\"trace\":\"";
    char trace[sizeof member + 36];
    const char *at = strstr(rig_entry_text(&rig, planned), member);
    assert_non_null(at);
    snprintf(trace, sizeof trace, "%s", at);
    for (; from < rig.entry_count; from++)
        if (strstr(rig_entry_text(&rig, from), trace) == NULL)
            fail_msg("not %s: %s", trace, rig_entry_text(&rig, from));
}

static void without_params_there_are_none(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, PRICED, "go", NULL), IFAB_CODE_NONE);
    assert_true(body_has("\"params\":{}"));
    assert_int_equal(plan(&agent_a, "vmix.switcher", "cut", NULL), IFAB_CODE_INVALID_PARAMS); /* one is required */
}

/* What was asked stands in the plan's entry alone, and what came of it beside the outcome's: there it can be erased. */
static void only_the_plan_tells_the_params(void **state)
{
    (void)state;
    static const char asked[] = "\"input\":741", said[] = "\"said\":742";
    assert_int_equal(plan(&agent_a, "vmix.switcher", "cut", "{\"input\":741}"), IFAB_CODE_NONE);
    assert_int_equal(dry_run("vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{\"said\":742}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{\"said\":742}"), IFAB_CODE_NONE);
    assert_true(body_has(said));
    assert_int_equal(plan(&agent_a, "vmix.switcher", "cut", "{\"input\":741}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    start_again();
    assert_int_equal(close_plan(true), IFAB_CODE_NONE);
    assert_int_equal(entries_with("\"operation\":\"planned\""), 2);
    assert_int_equal(entries_with(asked), 2);
    assert_int_equal(entries_with(said), 0);
}

/* INV-04 INV-10: what a first try may have spent stays held until somebody knows. */
static void what_dangles_keeps_what_it_holds(void **state)
{
    (void)state;
    budget("usd", IFAB_UNIT_USD_MICRO, 1500); /* no room for two */
    assert_int_equal(plan(&agent_a, PRICED, "again", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    start_again();
    expect_state(IFAB_PLAN_DANGLING);
    expect_budget("usd", 0, 1000);
    uint64_t held = last_plan()->reservation, intent = last_plan()->intent;
    assert_int_not_equal(held, 0);

    assert_int_equal(dry_run(PRICED), IFAB_CODE_CONFLICT); /* a try would end as one that can be made again, and the intent would be forgotten */
    expect_state(IFAB_PLAN_DANGLING);
    assert_int_equal(last_plan()->intent, intent);
    expect_budget("usd", 0, 1000);

    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    expect_state(IFAB_PLAN_AGAIN);
    assert_int_equal(last_plan()->reservation, held);
    expect_budget("usd", 0, 1000);
    assert_int_equal(outcome(IFAB_CALL_NOT_DONE, 0, ""), IFAB_CODE_NONE);
    assert_true(body_has("IF_ERR_304"));
    expect_state(IFAB_PLAN_DANGLING); /* the first try's end is as unknown as before */
    expect_budget("usd", 0, 1000);

    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    start_again(); /* the second one is lost too */
    expect_state(IFAB_PLAN_DANGLING);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 2);
    rig_pass(&rig, IFAB_PLAN_LIFE);
    expect_state(IFAB_PLAN_DANGLING);
    assert_int_equal(close_plan(true), IFAB_CODE_NONE);
    expect_budget("usd", 1000, 0);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), 0);
}

static void what_is_done_again_costs_once(void **state)
{
    (void)state;
    budget("usd", IFAB_UNIT_USD_MICRO, 1500);
    assert_int_equal(plan(&agent_a, PRICED, "again", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    start_again();
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    expect_state(IFAB_PLAN_DONE);
    expect_budget("usd", 1000, 0);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_CONFLICT);
}

static void closed_after_what_it_held_has_ended_it_still_costs(void **state)
{
    (void)state;
    budget("usd", IFAB_UNIT_USD_MICRO, 5000);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    start_again();
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_CONFLICT); /* nobody called it idempotent */
    rig_pass(&rig, IFAB_DAY);
    expect_state(IFAB_PLAN_DANGLING);
    assert_int_equal(close_plan(true), IFAB_CODE_NONE);
    expect_budget("usd", 1500, 0);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    start_again();
    expect_budget("usd", 1500, 1500);
    assert_int_equal(close_plan(false), IFAB_CODE_NONE);
    expect_budget("usd", 1500, 0);
}

/* INV-10: it reads outside, so it costs. */
static void a_dry_run_holds_and_pays_what_it_costs(void **state)
{
    (void)state;
    budget("usd", IFAB_UNIT_USD_MICRO, 4000);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(dry_run(PRICED), IFAB_CODE_NONE);
    expect_budget("usd", 0, 1500);
    assert_int_equal(outcome(IFAB_CALL_OK, 0, "{}"), IFAB_CODE_NONE); /* nothing went out */
    assert_true(body_has("\"usd_micro\":0"));
    expect_budget("usd", 0, 0);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(dry_run(PRICED), IFAB_CODE_NONE);
        assert_int_equal(outcome(i == 1 ? IFAB_CALL_OK : IFAB_CALL_PROVIDER, 2, "{}"), IFAB_CODE_NONE);
        assert_true(body_has("\"usd_micro\":1500"));
        expect_budget("usd", (uint64_t)i * 1500, 0);
        expect_state(IFAB_PLAN_PLANNED);
    }
    assert_int_equal(dry_run(PRICED), IFAB_CODE_BUDGET_EXCEEDED);
    expect_state(IFAB_PLAN_PLANNED);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_BUDGET_EXCEEDED);
}

/* Whoever lost the answer gets it again with its key; nothing is done, held or entered for that. */
static void an_answer_is_kept_for_its_key(void **state)
{
    (void)state;
    char first[1024];
    budget("usd", IFAB_UNIT_USD_MICRO, 40000);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    key_said = "dry";
    assert_int_equal(dry_run(PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_PROVIDER, 1, "{}"), IFAB_CODE_NONE);
    assert_int_equal(dry_run(PRICED), IFAB_CODE_NONE); /* it failed, and may be tried again */
    assert_false(rig.outcome.reply.replayed);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    key_said = "one";
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_CONFLICT); /* under way */
    assert_int_equal(outcome(IFAB_CALL_NOT_DONE, 0, ""), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE); /* that was no end */
    assert_false(rig.outcome.reply.replayed);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{\"said\":1}"), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.body.size < sizeof first);
    snprintf(first, sizeof first, IFAB_FMT, IFAB_ARG(rig.outcome.reply.body));
    size_t entries = rig.entry_count;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
        assert_true(rig.outcome.reply.replayed);
        assert_int_equal(rig.outcome.reply.http, 200);
        assert_true(ifab_view_is(rig.outcome.reply.body, first));
        assert_int_equal(rig.outcome.reply.plan, 0); /* nothing is begun */
        assert_int_equal(rig.entry_count, entries);
        start_again();
        entries = rig.entry_count;
    }
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_CONFLICT); /* one key, another plan */
    key_said = "two";
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_PROVIDER, 1, ""), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE); /* how it failed is an answer too */
    assert_true(rig.outcome.reply.replayed && rig.outcome.reply.http >= 500 && body_has("IF_ERR_"));
    key_said = NULL;
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_CONFLICT);
}

static void a_dry_run_that_was_lost_is_the_governors_to_report(void **state)
{
    (void)state;
    budget("usd", IFAB_UNIT_USD_MICRO, 4000);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(dry_run(PRICED), IFAB_CODE_NONE);
    start_again();
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 0); /* it only read */
    assert_int_equal(entries_with("\"operation\":\"failed\""), 1);
    expect_state(IFAB_PLAN_PLANNED);
    assert_int_equal(last_plan()->reservation, 0);
    expect_budget("usd", 0, 1500); /* it may have cost */
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    expect_budget("usd", 0, 3000);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    expect_budget("usd", 1500, 1500); /* each has its own */
    rig_pass(&rig, IFAB_HOUR);
    assert_int_equal(entries_with("\"operation\":\"expired\""), 1);
    expect_budget("usd", 1500, 0);
}

static void once_round(enum ifab_code want)
{
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), want);
    if (want != IFAB_CODE_NONE)
        return;
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 0, "{}"), IFAB_CODE_NONE);
    rig.now.wall += IFAB_SECOND / 50;
    rig.now.run += IFAB_SECOND / 50;
}

static void what_has_ended_takes_nobodys_place(void **state)
{
    (void)state;
    uint8_t first[32];
    for (size_t i = 0; i < IFAB_PLAN_ENDED_MAX + 6; i++) {
        once_round(IFAB_CODE_NONE);
        if (i == 0)
            memcpy(first, hash32, 32);
        if (i == IFAB_PLAN_ENDED_MAX - 1)
            assert_non_null(ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), first));
    }
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), IFAB_PLAN_ENDED_MAX); /* in memory, and in what a start finds */
    assert_null(ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), first));
    assert_int_equal(plan(&agent_a, "asked.first", "", "{}"), IFAB_CODE_NONE); /* what a vote ends makes its room too */
    uint64_t id = ask("if://agent/A/1", plan_text);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "refuse"), IFAB_CODE_NONE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Adm", "refuse"), IFAB_CODE_NONE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/operator", "refuse"), IFAB_CODE_NONE);
    expect_state(IFAB_PLAN_DENIED);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), IFAB_PLAN_ENDED_MAX);
    rig_restart(&rig);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), IFAB_PLAN_ENDED_MAX);
    for (size_t i = 0; i < IFAB_PLAN_PER_TALENT; i++)
        assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    once_round(IFAB_CODE_QUOTA_EXCEEDED); /* these are open */
}

/* INV-10: the estimate that budgets hold is the one that was signed, or more. */
static void a_guest_only_adds_to_its_price(void **state)
{
    (void)state;
    static const struct ifab_cost less = {.has_usd = true, .usd_micro = 1}, more = {.has_usd = true, .usd_micro = 2000};
    static const struct ifab_cost tokens = {.tokens_in = 11}, calls = {.calls = 3};
    static const struct {
        const struct ifab_cost *said;
        uint64_t usd_micro, tokens, calls;
    } rows[] = {{NULL, 1500, 10, 2}, {&less, 1500, 10, 2}, {&more, 2000, 10, 2}, {&tokens, 1500, 11, 2}, {&calls, 1500, 10, 3}};
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        cost_said = rows[i].said;
        assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
        assert_int_equal(last_plan()->usd_micro, rows[i].usd_micro);
        assert_int_equal(last_plan()->tokens, rows[i].tokens);
        assert_int_equal(last_plan()->calls, rows[i].calls);
    }
}

/* What a guest does not say it did cost is as it was planned. */
static void what_is_not_said_costs_what_was_planned(void **state)
{
    (void)state;
    static const struct ifab_cost usd = {.has_usd = true, .usd_micro = 7}, tokens = {.tokens_in = 3, .tokens_out = 1}, calls = {.calls = 5};
    static const struct ifab_cost free_of_charge = {.has_usd = true};
    static const struct {
        const struct ifab_cost *said;
        uint64_t usd_micro, tokens, calls;
    } rows[] = {{NULL, 1500, 10, 2}, {&usd, 7, 10, 2}, {&tokens, 1500, 4, 2}, {&calls, 1500, 10, 5}, {&free_of_charge, 0, 10, 2}};
    uint64_t spent[3] = {0};
    budget("usd", IFAB_UNIT_USD_MICRO, 100000);
    budget("tokens", IFAB_UNIT_TOKENS, 1000);
    budget("calls", IFAB_UNIT_CALLS, 100);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
        assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
        cost_said = rows[i].said;
        assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
        expect_budget("usd", spent[0] += rows[i].usd_micro, 0);
        expect_budget("tokens", spent[1] += rows[i].tokens, 0);
        expect_budget("calls", spent[2] += rows[i].calls, 0);
    }
}

static const struct ifab_breaker *breaker(void)
{
    return ifab_breakers_find(ifab_fabric_breakers(rig.fabric), IFAB_BREAKER_CAPABILITY, IFAB_VIEW(PRICED));
}

static void fail_once(bool dry)
{
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(dry ? dry_run(PRICED) : apply(&agent_a, PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_PROVIDER, 1, ""), IFAB_CODE_NONE);
}

static void try_once(void)
{
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(dry_run(PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
}

/* INV-10 */
static void dry_runs_say_nothing_to_a_breaker(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        fail_once(true);
    assert_true(breaker() == NULL || (breaker()->state == IFAB_BREAKER_CLOSED && breaker()->failures == 0));
    for (int i = 0; i < 4; i++) {
        fail_once(false);
        try_once(); /* does not reset it */
    }
    assert_int_equal(breaker()->failures, 4);
    fail_once(false);
    assert_int_equal(breaker()->state, IFAB_BREAKER_OPEN);
    rig_pass(&rig, 2 * IFAB_MINUTE);
    try_once(); /* does not close it either */
    assert_int_not_equal(breaker()->state, IFAB_BREAKER_CLOSED);
    assert_int_equal(entries_with("\"component\":\"CircuitBreaker\""), 1);
    rig_pass(&rig, 2 * IFAB_MINUTE);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    assert_int_equal(breaker()->state, IFAB_BREAKER_CLOSED);
}

static const struct own { /* the fabric's own refusals inside a call */
    enum ifab_call_end end;
    const char *code, *hint;
    uint16_t http;
    bool repeatable;
} owns[] = {
    {IFAB_CALL_ADDRESS, "IF_ERR_003", "egress.allow", 403, false},
    {IFAB_CALL_DRY_WRITE, "IF_ERR_003", "marks read", 403, false},
    {IFAB_CALL_DENIED, "IF_ERR_003", "ifctl secret list", 403, false},
    {IFAB_CALL_NO_SECRET, "IF_ERR_206", "ifctl secret set NAME --for ORIGIN", 404, false},
    {IFAB_CALL_UNNAMED_SECRET, "IF_ERR_206", "only its publisher can add the name to requires_secrets", 404, false},
    {IFAB_CALL_LIMITED, "IF_ERR_302", "limits.rps", 429, true},
    {IFAB_CALL_BUSY, "IF_ERR_304", "Wait a little. ", 503, true},
};

/* INV-10: the provider has no part in it. */
static void what_the_fabric_refuses_is_no_failure_of_a_provider(void **state)
{
    (void)state;
    for (int dry = 0; dry < 2; dry++)
        for (size_t i = 0; i < IFAB_COUNT(owns); i++) {
            assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
            key_said = dry ? NULL : owns[i].hint;
            assert_int_equal(dry ? dry_run(PRICED) : apply(&agent_a, PRICED), IFAB_CODE_NONE);
            assert_int_equal(outcome(owns[i].end, 0, ""), IFAB_CODE_NONE);
            assert_int_equal(rig.outcome.reply.http, owns[i].http);
            assert_true(body_has(owns[i].code) && body_has(owns[i].hint) && body_has(dry ? "can still be applied" : "Plan again"));
            assert_int_equal(body_has("ifctl secret set"), owns[i].end == IFAB_CALL_NO_SECRET);
            assert_true(body_has(dry && owns[i].repeatable ? "\"retryable\":true" : "\"retryable\":false"));
            assert_int_equal(entries_with(owns[i].hint), (size_t)dry + 1); /* the log says the same */
            expect_state(dry ? IFAB_PLAN_PLANNED : IFAB_PLAN_DONE);
            if (!dry) { /* who lost the answer is told the same */
                assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
                assert_true(rig.outcome.reply.replayed && rig.outcome.reply.http == owns[i].http && body_has(owns[i].code));
            }
            key_said = NULL;
        }
    assert_true(breaker() == NULL || (breaker()->state == IFAB_BREAKER_CLOSED && breaker()->failures == 0));
}

static void no_dry_run_while_a_vote_is_open(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    assert_int_equal(dry_run("vmix.switcher"), IFAB_CODE_NONE); /* before anybody is asked */
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    uint64_t id = ask("if://agent/A/1", plan_text);
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_ESCALATE);
    assert_int_equal(dry_run("vmix.switcher"), IFAB_CODE_CONFLICT); /* the vote would find it TRYING, and be lost */
    assert_int_equal(rig.outcome.reply.plan, 0);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "approve"), IFAB_CODE_NONE);
    assert_int_equal(dry_run("vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
}

/* INV-13: from any entry of a call one finds all the others. */
static void all_entries_of_a_call_have_its_trace(void **state)
{
    (void)state;
    budget("usd", IFAB_UNIT_USD_MICRO, 100000);
    for (int i = 0; i < 5; i++) { /* the last one opens the breaker */
        assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
        size_t from = rig.entry_count - 1;
        assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
        assert_int_equal(outcome(IFAB_CALL_PROVIDER, 1, ""), IFAB_CODE_NONE);
        assert_true(rig.entry_count - from >= (i == 4 ? 5U : 4U)); /* plan, intent, outcome, cost, breaker */
        expect_traces(from, from);
    }
    assert_non_null(strstr(rig_last(&rig), "\"component\":\"CircuitBreaker\""));
    rig_pass(&rig, 2 * IFAB_MINUTE);
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    size_t planned = rig.entry_count - 1;
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    start_again();
    size_t from = rig.entry_count;
    assert_int_equal(close_plan(true), IFAB_CODE_NONE);
    assert_true(rig.entry_count - from >= 2);
    expect_traces(from, planned);
}

/* INV-06: a token of a lesser role is judged as that. */
static void rules_see_the_role_of_the_way_in(void **state)
{
    (void)state;
    struct ifab_guard_rules set = rule_set("{\"v\":1,\"rules\":[],\"capabilities\":[{\"id\":\"op\",\"effect\":\"share\",\"when\":{\"sender.role\":\"operator\"}}]}");
    rig_rules(&rig, &set);
    rig_grant(&rig, "Ops", "if://capability/" PRICED);
    rig_grant(&rig, "Ops", "studio:control");
    struct ifab_principal less = agent(OPS, "Ops"), whole = less;
    whole.role = IFAB_ROLE_OPERATOR;
    assert_int_equal(plan(&less, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.is_decision);
    assert_int_equal(plan(&whole, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_false(rig.outcome.reply.is_decision);
    assert_int_equal(apply(&less, PRICED), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.is_decision);
    assert_int_equal(rig.outcome.reply.plan, 0);
    assert_int_equal(apply(&whole, PRICED), IFAB_CODE_NONE);
    assert_int_not_equal(rig.outcome.reply.plan, 0);
}

/* INV-04: the disk was full and the fabric read what is durable anew; the guests run on all the while. */
static void what_runs_goes_on_over_a_full_disk(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, PRICED, "go", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    struct ifab_fabric *before = rig.fabric, *loaded = rig_load(&rig, rig.now.wall);
    ifab_fabric_resume(loaded, rig.now, false);
    ifab_fabric_keep_counts(loaded, before);
    rig.fabric = loaded;
    ifab_fabric_free(before);
    rig_pass(&rig, IFAB_MINUTE);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 0);
    expect_state(IFAB_PLAN_APPLYING);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    expect_state(IFAB_PLAN_DONE);
}

static struct ifab_command secret_of_call(void)
{
    struct ifab_command command = {.type = IFAB_COMMAND_SECRET_GET, .principal = &rig.principal};
    command.u.secret_get.name = IFAB_VIEW("one");
    command.u.secret_get.origin = IFAB_VIEW("https://api.example.com");
    command.u.secret_get.plan = last_plan()->number;
    command.u.secret_get.intent = last_plan()->intent;
    return command;
}

/* INV-07 INV-09: a call under way that lost what it needs is lent nothing any more. */
static void no_secret_for_what_was_revoked(void **state)
{
    (void)state;
    static const struct ifab_view origin = {(const uint8_t *)"https://api.example.com", 23};
    struct ifab_command set = {.type = IFAB_COMMAND_SECRET, .principal = &rig.principal, .why = IFAB_VIEW("test")}, get;
    set.act = rig_act(&rig, ADM);
    set.u.secret.request = (struct ifab_secret_request){.act = IFAB_SECRET_SET, .name = IFAB_VIEW("one"), .origins = &origin, .origin_count = 1};
    set.u.secret.mark.counter = 1;
    assert_int_equal(rig_do(&rig, &set)->code, IFAB_CODE_NONE);
    assert_int_equal(plan(&agent_a, PRICED, "again", "{}"), IFAB_CODE_NONE);
    get = secret_of_call();
    assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_CONFLICT); /* planned is not begun */
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    get = secret_of_call();
    assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_NONE);
    static const char *const needed[] = {"if://capability/" PRICED, "studio:control"};
    for (size_t i = 0; i < IFAB_COUNT(needed); i++) {
        talent_act(IFAB_ACT_REVOKE, "A", needed[i]);
        size_t gets = entries_with("\"operation\":\"get\"");
        assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_CONFLICT);
        assert_int_equal(entries_with("\"operation\":\"get\""), gets);
        rig_grant(&rig, "A", needed[i]);
        assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_NONE);
    }
    start_again();
    assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_CONFLICT); /* it dangles: nobody runs */
    assert_int_equal(apply(&agent_a, PRICED), IFAB_CODE_NONE);
    get = secret_of_call();
    assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_NONE); /* again */
    capability_revoke(&rig, ADM, PRICED);
    assert_int_equal(rig_do(&rig, &get)->code, IFAB_CODE_CONFLICT);
}

static void who_may_call_may_now(void **state) /* INV-07 */
{
    (void)state;
    const struct ifab_allowed *allowed;
    struct ifab_refusal unused;
    assert_int_equal(ifab_registry_find(ifab_fabric_registry(rig.fabric), IFAB_VIEW("if://capability/" PRICED), IFAB_VIEW("1.0.0"), rig.now.wall, &allowed, &unused),
                     IFAB_CODE_NONE);
    const struct ifab_manifest *m = allowed->manifest;
    assert_true(ifab_fabric_may_call(rig.fabric, A, m, rig.now.wall));
    assert_false(ifab_fabric_may_call(rig.fabric, B, m, rig.now.wall));
    assert_true(ifab_fabric_may_call(rig.fabric, 0, m, rig.now.wall)); /* the fabric's own look at its health */
    assert_false(ifab_fabric_may_call(rig.fabric, 77, m, rig.now.wall));
    rig_grant(&rig, "B", "if://capability/" PRICED);
    assert_false(ifab_fabric_may_call(rig.fabric, B, m, rig.now.wall)); /* a scope is missing */
    struct ifab_command grant = rig_talent_command(&rig, IFAB_ACT_GRANT, "B");
    grant.u.talent.request.scope = IFAB_VIEW("studio:control");
    grant.u.talent.request.expires_at = rig.now.wall + IFAB_HOUR;
    grant.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &grant)->code, IFAB_CODE_NONE);
    assert_true(ifab_fabric_may_call(rig.fabric, B, m, rig.now.wall));
    assert_false(ifab_fabric_may_call(rig.fabric, B, m, rig.now.wall + 2 * IFAB_HOUR)); /* ends by itself */
    struct ifab_manifest other = *m;
    other.digest32[0] ^= 1; /* not this very manifest */
    assert_false(ifab_fabric_may_call(rig.fabric, A, &other, rig.now.wall));
    talent_act(IFAB_ACT_REMOVE, "B", "");
    assert_false(ifab_fabric_may_call(rig.fabric, B, m, rig.now.wall));
    capability_revoke(&rig, ADM, PRICED); /* its record is still there */
    assert_false(ifab_fabric_may_call(rig.fabric, A, m, rig.now.wall));
    assert_false(ifab_fabric_may_call(rig.fabric, 0, m, rig.now.wall));
}

/* INV-04: intents of the old log are told in the new one, and wait for a person there. */
static void restated_intents_dangle(void **state)
{
    (void)state;
    uint8_t old[3][32];
    struct ifab_plan copies[3];
    static uint8_t packed[3][IFAB_PLAN_PACKED_MAX];
    for (size_t i = 0; i < 3; i++) { /* dangling, running, trying */
        assert_int_equal(plan(&agent_a, PRICED, i == 0 ? "go" : "again", "{}"), IFAB_CODE_NONE);
        memcpy(old[i], hash32, 32);
        assert_int_equal(i == 2 ? dry_run(PRICED) : apply(&agent_a, PRICED), IFAB_CODE_NONE);
        if (i == 0)
            start_again();
        size_t size = ifab_plan_pack(last_plan(), packed[i]);
        assert_true(ifab_plan_unpack(ifab_view_of(packed[i], size), last_plan()->number, &copies[i]));
    }
    teardown(state);
    setup_priced(state); /* another fabric, of the same talents */
    for (size_t i = 0; i < 3; i++) {
        size_t entries = rig.entry_count;
        struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
        command.u.restate.plan = &copies[i];
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        assert_int_equal(rig.entry_count, entries + 1);
        assert_non_null(strstr(rig_last(&rig), i == 2 ? "\"operation\":\"failed\"" : "\"operation\":\"dangling\""));
    }
    start_again();
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), 2);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 2); /* not once more */
    memcpy(hash32, old[2], 32);
    assert_null(last_plan());
    for (size_t i = 0; i < 2; i++) {
        memcpy(hash32, old[i], 32);
        expect_state(IFAB_PLAN_DANGLING);
        assert_non_null(strstr(rig_entry_text(&rig, last_plan()->intent), "\"operation\":\"dangling\"")); /* of this log */
        assert_int_equal(close_plan(i == 0), IFAB_CODE_NONE);
        assert_null(last_plan());
    }
    rig_restart(&rig);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_params_there_are_none, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(only_the_plan_tells_the_params, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(what_dangles_keeps_what_it_holds, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(what_is_done_again_costs_once, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(closed_after_what_it_held_has_ended_it_still_costs, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(a_dry_run_holds_and_pays_what_it_costs, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(an_answer_is_kept_for_its_key, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(a_dry_run_that_was_lost_is_the_governors_to_report, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(what_has_ended_takes_nobodys_place, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(a_guest_only_adds_to_its_price, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_said_costs_what_was_planned, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(dry_runs_say_nothing_to_a_breaker, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(what_the_fabric_refuses_is_no_failure_of_a_provider, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(no_dry_run_while_a_vote_is_open, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(all_entries_of_a_call_have_its_trace, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(rules_see_the_role_of_the_way_in, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(what_runs_goes_on_over_a_full_disk, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(no_secret_for_what_was_revoked, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(who_may_call_may_now, setup_priced, teardown),
        cmocka_unit_test_setup_teardown(restated_intents_dangle, setup_priced, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
