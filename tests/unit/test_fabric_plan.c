/* Plan, vote, apply, outcome as commands: the order of INV-07, one apply a plan, what stands in the log, money, what a start finds. INV-04, INV-06,
 * INV-07, INV-10, INV-13. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan_support.h"

static void a_plan_is_applied_once(void **state)
{
    (void)state;
    size_t before = rig.entry_count;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":3}"), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 201);
    assert_true(body_has("\"decision\":\"SHARE\""));
    assert_true(body_has("\"operation\":\"cut\""));
    assert_true(body_has("\"params\":{\"fade_ms\":0,\"input\":3}")); /* what was not said is filled in, and covered by the hash */
    assert_non_null(strstr(rig_last(&rig), "\"why\":\"the show begins\""));
    assert_int_equal(rig.entry_count, before + 1);

    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.plan, ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32)->number);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"intent\""));
    assert_non_null(strstr(rig_last(&rig), "\"why_from\":")); /* INV-13 */
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT); /* it runs */

    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{\"ok\":true}"), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 200);
    assert_true(body_has("\"fuel\":12345"));
    assert_true(body_has("\"result\":{\"ok\":true}"));
    assert_int_equal(entries_with("\"operation\":\"outcome\""), 1);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT); /* it is done */
    assert_int_equal(rig.outcome.reply.plan, 0);
    struct ifab_command again = {.type = IFAB_COMMAND_OUTCOME}; /* an outcome that comes twice */
    again.u.called.number = ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32)->number;
    again.u.called.intent = ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32)->intent;
    assert_int_equal(rig_do(&rig, &again)->code, IFAB_CODE_CONFLICT);
    rig_pass(&rig, IFAB_PLAN_LIFE + IFAB_SECOND);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), 0);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NOT_FOUND);
}

/* A module is read only for who has every grant: asked before it is read, and the step says the same of one that was not. */
static void nobody_reads_a_module_without_grants(void **state) /* INV-07 */
{
    const struct ifab_manifest *manifest = NULL;
    struct ifab_view id = IFAB_VIEW("if://capability/vmix.switcher"), none = IFAB_VIEW("");
    struct ifab_principal reader = agent_a;
    struct ifab_command command = {.type = IFAB_COMMAND_PLAN, .principal = &agent_b, .why = IFAB_VIEW("the show begins")};
    (void)state;
    command.u.plan.id = id;
    assert_true(ifab_fabric_may_use(rig.fabric, &agent_a, id, none, rig.now, &manifest));
    assert_true(ifab_view_equal(manifest->id, id));
    assert_false(ifab_fabric_may_use(rig.fabric, &agent_a, IFAB_VIEW("if://capability/no.such"), none, rig.now, &manifest));
    assert_false(ifab_fabric_may_use(rig.fabric, &rig.principal, id, none, rig.now, &manifest));
    reader.role = IFAB_ROLE_READONLY;
    assert_false(ifab_fabric_may_use(rig.fabric, &reader, id, none, rig.now, &manifest));
    assert_false(ifab_fabric_may_use(rig.fabric, &agent_b, id, none, rig.now, &manifest));
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_GRANT_MISSING);
    rig_grant(&rig, "B", "if://capability/vmix.switcher");
    assert_false(ifab_fabric_may_use(rig.fabric, &agent_b, id, none, rig.now, &manifest)); /* a scope is missing */
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_GRANT_MISSING);
    rig_grant(&rig, "B", "studio:control");
    assert_true(ifab_fabric_may_use(rig.fabric, &agent_b, id, none, rig.now, &manifest));
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_DIGEST_MISMATCH); /* nothing but the module is missing */
}

/* The refusal says what is the matter, and to plan again. */
static void assert_plan_again(const char *message)
{
    assert_string_equal(rig.outcome.reply.refusal.message, message);
    assert_non_null(rig.outcome.reply.refusal.hint);
    assert_non_null(strstr(rig.outcome.reply.refusal.hint, "Plan again"));
}

static void checks_come_in_their_order(void **state) /* INV-07 */
{
    (void)state;
    struct ifab_module other = capability_module();
    other.sha256[0] ^= 1;
    assert_int_equal(plan(&agent_a, "no.such", "", "{}"), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(plan(&rig.principal, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_PERMISSION_DENIED); /* the socket is no talent */
    assert_int_equal(plan(&agent_b, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_GRANT_MISSING);
    assert_string_equal(rig.outcome.reply.refusal.field, "grant");
    rig_grant(&rig, "B", "if://capability/vmix.switcher");
    assert_int_equal(plan(&agent_b, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_GRANT_MISSING);
    assert_string_equal(rig.outcome.reply.refusal.field, "scope");
    assert_int_equal(plan(&agent_a, "vmix.switcher", "nothing", "{}"), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":\"x\"}"), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1,\"more\":1}"), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(apply_with(&agent_a, "vmix.switcher", false, NULL), IFAB_CODE_DIGEST_MISMATCH);
    assert_int_equal(apply_with(&agent_a, "vmix.switcher", false, &other), IFAB_CODE_DIGEST_MISMATCH);
    assert_int_equal(apply(&agent_b, "vmix.switcher"), IFAB_CODE_NOT_FOUND); /* another's plan is no plan */
    assert_plan_again("no plan of B with this hash: it has expired, or there was none");
    assert_int_equal(apply(&agent_a, "asked.first"), IFAB_CODE_NOT_FOUND);
    capability_revoke(&rig, ADM, "vmix.switcher"); /* in between */
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(apply_with(&agent_a, "vmix.switcher", false, NULL), IFAB_CODE_CAPABILITY_NOT_ALLOWED); /* nothing is read of what is revoked */
    assert_int_equal(rig.outcome.reply.plan, 0);
}

static void no_rule_no_effect(void **state) /* INV-06 */
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":9}"), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.is_decision);
    assert_int_equal(rig.outcome.reply.http, 403);
    assert_true(body_has("input 9 is on air"));
    assert_false(body_has("\"hint\"")); /* a rule speaks for itself */
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    struct ifab_guard_rules none = rule_set("{\"v\":1,\"rules\":[]}");
    rig_rules(&rig, &none);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT); /* planned under other rules */
    assert_plan_again("the rules have changed since it was planned; plan again");
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.is_decision);
    assert_true(body_has("builtin.capability-default"));
    assert_true(body_has("\"hint\":\"An operator lets it pass"));
    assert_true(body_has("{capability: vmix.switcher, operation: "));
    for (int i = 0; i < 40; i++) /* denials are not a way to fill the log */
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_true(entries_with("builtin.capability-default") <= 12);
}

/* Of the one decision that waits. */
static void assert_subject(const char *text)
{
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    const struct ifab_open_decision *d = ifab_decisions_after(ifab_fabric_decisions(rig.fabric), 0);
    assert_non_null(d);
    ifab_fabric_decision_json(rig.fabric, d, &b);
    ifab_buf_char(&b, '\0');
    assert_int_equal(ifab_buf_status(&b), IFAB_OK);
    assert_non_null(strstr((const char *)b.data, text));
    ifab_buf_fini(&b);
}

static void what_is_physical_waits_for_a_vote(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    assert_true(body_has("\"decision\":\"ESCALATE\""));
    assert_true(body_has("a physical effect"));
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_PERMISSION_DENIED);

    ask("if://agent/B/1", plan_text); /* another's */
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);
    ask("if://agent/A/1", "sha256:0000000000000000000000000000000000000000000000000000000000000000");
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);
    ask("if://agent/A/1", "nonsense");
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);

    uint64_t id = ask("if://agent/A/1", plan_text);
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_ESCALATE);
    assert_subject("\"subject\":\"vmix.switcher.strobe\"");
    ask("if://agent/A/1", plan_text); /* it is asked for once */
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_PERMISSION_DENIED);
    rig_restart(&rig);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "approve"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_not_equal(rig.outcome.reply.plan, 0);
}

/* The voters' time is longer than the plan's: they are asked no more than it lives. */
static void a_plan_that_expires_takes_its_question_with_it(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    uint64_t id = ask("if://agent/A/1", plan_text);
    uint64_t other = ask("if://agent/B/1", "nonsense"); /* denied at once */
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);
    assert_int_not_equal(id, other);
    rig_pass(&rig, 9 * IFAB_MINUTE);
    assert_non_null(ifab_decisions_after(ifab_fabric_decisions(rig.fabric), 0));
    rig_pass(&rig, 2 * IFAB_MINUTE);
    assert_null(ifab_decisions_after(ifab_fabric_decisions(rig.fabric), 0));
    assert_int_equal(entries_with("the plan that it asks for has expired"), 1);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), 0);
    assert_int_not_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "approve"), IFAB_CODE_NONE);
    rig_restart(&rig);
    assert_null(ifab_decisions_after(ifab_fabric_decisions(rig.fabric), 0));
}

/* Whoever asked in a message that is denied asks again in a better one. */
static void a_message_that_is_denied_asks_for_nothing(void **state)
{
    (void)state;
    char content[256];
    assert_int_equal(plan(&agent_a, "asked.first", "", "{}"), IFAB_CODE_NONE);
    snprintf(content, sizeof content, "{\"data\":{\"apply\":{\"plan_hash\":\"%s\"},\"password\":\"correct horse battery staple\"}}", plan_text);
    struct rig_message m = rig_message(&rig, "if://agent/A/1", content);
    m.performative = "request";
    m.receiver = "\"if://fabric/" RIG_ORIGIN "\"";
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_DENY);
    uint64_t id = ask("if://agent/A/1", plan_text);
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_ESCALATE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "approve"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "asked.first"), IFAB_CODE_NONE);
}

static void a_vote_against_it_ends_it(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "asked.first", "", "{}"), IFAB_CODE_NONE);
    assert_true(body_has("30-asked"));
    uint64_t id = ask("if://agent/A/1", plan_text);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "refuse"), IFAB_CODE_NONE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Adm", "refuse"), IFAB_CODE_NONE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/operator", "refuse"), IFAB_CODE_NONE); /* nobody is left who could approve */
    assert_int_equal(apply(&agent_a, "asked.first"), IFAB_CODE_CONFLICT);
    ask("if://agent/A/1", plan_text);
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);
}

static void rules_that_come_back_bring_no_approval(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    uint64_t id = ask("if://agent/A/1", plan_text);
    struct ifab_ruleset *first = rules;
    struct ifab_guard_rules before = ifab_fabric_settings(rig.fabric)->rules;
    rules = NULL;
    struct ifab_guard_rules none = rule_set("{\"v\":1,\"rules\":[]}");
    rig_rules(&rig, &none); /* nothing asks for the message: it is routed in the step */
    assert_null(rig_open(&rig, id));
    struct ifab_ruleset *second = rules;
    rules = first;
    rig_rules(&rig, &before);
    ifab_ruleset_free(second);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT);
    assert_true(strstr(rig.outcome.reply.refusal.message, "denied") != NULL);
}

/* The last plan, as whoever made it reads it. */
static void assert_plan_says(const char *text)
{
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    ifab_fabric_plan_json(rig.fabric, ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32), &b);
    ifab_buf_char(&b, '\0');
    assert_int_equal(ifab_buf_status(&b), IFAB_OK);
    assert_non_null(strstr((const char *)b.data, text));
    ifab_buf_fini(&b);
}

/* Its rules let it pass, but it was asked for, and a rule about messages wants a vote: a call whose end nobody saw does not get around the refusal. */
static void who_asked_waits_for_the_answer(void **state)
{
    (void)state;
    struct ifab_guard_rules asked = rule_set("{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"escalate\",\"when\":{\"data.apply.plan_hash\":{\"exists\":true}}}],"
                                             "\"capabilities\":[{\"id\":\"c\",\"effect\":\"share\",\"when\":{}}]}");
    rig_rules(&rig, &asked);
    for (int approves = 0; approves < 2; approves++) {
        assert_int_equal(plan(&agent_a, "vmix.switcher", "state", "{}"), IFAB_CODE_NONE);
        assert_true(body_has("\"decision\":\"SHARE\""));
        uint64_t id = ask("if://agent/A/1", plan_text);
        assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_ESCALATE);
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_PERMISSION_DENIED);
        assert_string_equal(rig.outcome.reply.refusal.message, "approval was asked for and is not decided");
        assert_plan_says("\"state\":\"needed\",\"votes\":0}");
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", approves ? "approve" : "refuse"), IFAB_CODE_NONE);
        if (approves) {
            assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
            continue;
        }
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Adm", "refuse"), IFAB_CODE_NONE);
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/operator", "refuse"), IFAB_CODE_NONE);
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT);
    }
}

static void budget(enum ifab_unit unit, uint64_t limit)
{
    struct ifab_command command = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal};
    command.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("cap"), .name = IFAB_VIEW("vmix.switcher"), .subject = IFAB_SUBJECT_CAPABILITY,
                                                            .unit = unit, .period = IFAB_PERIOD_TOTAL, .limit = limit};
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

static void limits_breaker_and_budget_in_that_order(void **state)
{
    (void)state;
    budget(IFAB_UNIT_USD_MICRO, 7 * 1500);
    for (int i = 0; i < 5; i++) { /* failures in a row */
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
        assert_int_equal(outcome(IFAB_CALL_PROVIDER, (uint32_t)(i == 0), ""), IFAB_CODE_NONE);
        assert_int_equal(rig.outcome.reply.http, 503);
        assert_true(body_has("IF_ERR_503"));
        rig_pass(&rig, IFAB_SECOND);
    }
    const struct ifab_budget *b = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("cap"));
    assert_int_equal(b->state.settled, 1500); /* the one that reached outside; what did not cost nothing */
    assert_int_equal(b->state.reserved, 0);
    assert_int_equal(entries_with("\"component\":\"CircuitBreaker\""), 1);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CIRCUIT_BREAKER_OPEN);
    rig_pass(&rig, 61 * IFAB_SECOND);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE); /* the plan was not used up by the refusal */
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    for (int i = 0; i < 5; i++) {
        rig_pass(&rig, IFAB_SECOND);
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
        assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    }
    rig_pass(&rig, IFAB_SECOND);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(b->state.settled, 7 * 1500);
    assert_int_equal(b->state.reserved, 0);
}

static void the_rate_and_the_room_are_the_manifests(void **state)
{
    (void)state;
    int planned = 0, applied = 0;
    for (int i = 0; i < 8; i++) { /* burst 4, concurrency 2 */
        planned += plan(&agent_a, "vmix.switcher", "", "{\"input\":1}") == IFAB_CODE_NONE;
        enum ifab_code code = apply(&agent_a, "vmix.switcher");
        assert_int_equal(code, i < 2 ? IFAB_CODE_NONE : IFAB_CODE_QUEUE_FULL); /* nothing is taken for what is refused */
        applied += code == IFAB_CODE_NONE;
    }
    assert_int_equal(planned, 8);
    assert_int_equal(applied, 2);
    uint64_t after = 0;
    for (const struct ifab_plan *p; (p = ifab_plan_next(ifab_fabric_plans(rig.fabric), after)) != NULL;) {
        after = p->number;
        if (p->state == IFAB_PLAN_APPLYING) {
            memcpy(hash32, p->hash32, 32);
            assert_int_equal(outcome(IFAB_CALL_NOT_DONE, 0, ""), IFAB_CODE_NONE);
            assert_true(body_has("IF_ERR_304"));
        }
    }
    int refused = 0;
    for (int i = 0; i < 8; i++) {
        enum ifab_code code = apply(&agent_a, "vmix.switcher");
        refused += code == IFAB_CODE_RATE_LIMIT_EXCEEDED;
        if (code == IFAB_CODE_NONE)
            assert_int_equal(outcome(IFAB_CALL_NOT_DONE, 0, ""), IFAB_CODE_NONE); /* nothing was done: the plan lives on */
    }
    assert_true(refused >= 4);
}

/* The rate is the manifest's: plans that are done stand in nobody's way, and are not more than are kept. */
static void what_has_ended_makes_room(void **state)
{
    (void)state;
    uint8_t first32[32];
    capability_allow(&rig, ADM, "vmix.switcher", "1.1.0", "\"operations\":{\"cut\":{\"effect\":\"write\"}},\"limits\":{\"rps\":100,\"burst\":100,\"backoff\":[1]}");
    for (int i = 0; i < IFAB_PLAN_ENDED_MAX + IFAB_PLAN_PER_TALENT; i++) {
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{}"), IFAB_CODE_NONE);
        if (i == 0)
            memcpy(first32, hash32, 32);
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
        assert_int_equal(outcome(IFAB_CALL_OK, 1, "{\"ok\":true}"), IFAB_CODE_NONE);
        rig_pass(&rig, IFAB_SECOND / 2);
        assert_true(ifab_plans_count(ifab_fabric_plans(rig.fabric)) <= IFAB_PLAN_ENDED_MAX + 2);
    }
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT); /* the last one is still known */
    memcpy(hash32, first32, 32);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NOT_FOUND); /* the first one is not, and is not done again */
    for (int i = 0; i <= IFAB_PLAN_PER_TALENT; i++)
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{}"), i < IFAB_PLAN_PER_TALENT ? IFAB_CODE_NONE : IFAB_CODE_QUOTA_EXCEEDED);
}

static void a_dry_run_uses_nothing_up(void **state)
{
    (void)state;
    good_module = capability_module();
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply_with(&agent_a, "vmix.switcher", true, &good_module), IFAB_CODE_NONE); /* reads only: no approval */
    assert_int_equal(outcome(IFAB_CALL_OK, 2, "{\"would\":1}"), IFAB_CODE_NONE);
    assert_true(body_has("\"mode\":\"dry-run\""));
    assert_int_equal(ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32)->state, IFAB_PLAN_PLANNED);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(ifab_money_reservation_count(ifab_fabric_money(rig.fabric)), 0);
}

static void an_intent_without_outcome_is_reported(void **state) /* INV-04 */
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    uint8_t cut[32];
    memcpy(cut, hash32, 32);
    rig_pass(&rig, IFAB_SECOND);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 0); /* it runs, for all anybody knows */
    rig_restart(&rig);
    rig_pass(&rig, IFAB_SECOND);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 1);
    rig_restart(&rig);
    rig_pass(&rig, 2 * IFAB_PLAN_LIFE);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 1); /* once */
    memcpy(hash32, cut, 32);
    const struct ifab_plan *p = ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), cut);
    assert_non_null(p); /* it does not go by itself */
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT); /* not idempotent: never repeated */
    struct ifab_command close = {.type = IFAB_COMMAND_PLAN_CLOSE, .principal = &agent_a, .why = IFAB_VIEW("looked at the studio")};
    memcpy(close.u.close.plan16, p->id16, 16);
    close.u.close.done = true;
    assert_int_equal(rig_do(&rig, &close)->code, IFAB_CODE_PERMISSION_DENIED);
    close.principal = &rig.principal;
    assert_int_equal(rig_do(&rig, &close)->code, IFAB_CODE_NONE);
    assert_int_equal(entries_with("\"outcome\":\"done\""), 1);
    assert_int_equal(rig_do(&rig, &close)->code, IFAB_CODE_NOT_FOUND);
    assert_int_equal(ifab_plans_count(ifab_fabric_plans(rig.fabric)), 0);
}

static void an_idempotent_one_may_be_repeated(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "state", "{}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    rig_restart(&rig);
    rig_pass(&rig, IFAB_SECOND);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
    assert_int_equal(entries_with("\"operation\":\"intent\""), 2);
    assert_int_equal(ifab_money_reservation_count(ifab_fabric_money(rig.fabric)), 0);
}

static void what_never_began_says_why_and_leaves_the_plan(void **state)
{
    static const struct {
        enum ifab_call_end end;
        const char *code, *retryable;
        uint16_t http;
    } rows[] = {
        {IFAB_CALL_NOT_DONE, "IF_ERR_304", "\"retryable\":true", 503},
        {IFAB_CALL_UNCONFIGURED, "IF_ERR_506", "\"retryable\":false", 500},
        {IFAB_CALL_GONE, "IF_ERR_201", "\"retryable\":false", 403},
    };
    (void)state;
    budget(IFAB_UNIT_CALLS, 10);
    const struct ifab_budget *calls = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("cap"));
    assert_int_equal(plan(&agent_a, "vmix.switcher", "state", "{}"), IFAB_CODE_NONE);
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
            assert_int_equal(outcome(rows[i].end, 0, ""), IFAB_CODE_NONE);
            assert_int_equal(rig.outcome.reply.http, rows[i].http);
            assert_true(body_has(rows[i].code) && body_has(rows[i].retryable) && body_has("can still be applied") && body_has("\"usd_micro\":0"));
            assert_int_equal(ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32)->state, again ? IFAB_PLAN_DANGLING : IFAB_PLAN_PLANNED);
            assert_int_equal(calls->state.reserved, again); /* of the first try: what it cost nobody knows */
            assert_int_equal(calls->state.settled, 0);
            rig_pass(&rig, IFAB_SECOND);
        }
        if (again)
            continue;
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
        rig_restart(&rig); /* from here on nobody knows whether the first try happened */
        calls = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("cap"));
        rig_pass(&rig, IFAB_SECOND);
    }
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_PROVIDER, 1, ""), IFAB_CODE_NONE);
    assert_true(body_has("IF_ERR_503") && body_has("\"retryable\":false") && body_has("Plan again")); /* this plan is used up */
}

static void a_sandbox_that_was_attacked_is_high(void **state)
{
    (void)state;
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_VIOLATION, 0, ""), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 500);
    assert_int_equal(entries_with("\"operation\":\"sandbox_violation\""), 1);
    assert_true(entries_with("\"severity\":\"HIGH\"") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plan_is_applied_once, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_reads_a_module_without_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_come_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(no_rule_no_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_physical_waits_for_a_vote, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_that_expires_takes_its_question_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_that_is_denied_asks_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_vote_against_it_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_that_come_back_bring_no_approval, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asked_waits_for_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_breaker_and_budget_in_that_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rate_and_the_room_are_the_manifests, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_ended_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dry_run_uses_nothing_up, setup, teardown),
        cmocka_unit_test_setup_teardown(an_intent_without_outcome_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idempotent_one_may_be_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(what_never_began_says_why_and_leaves_the_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sandbox_that_was_attacked_is_high, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
