/* Plan, vote, apply, outcome as commands: the order of INV-07, one apply a plan, what stands in the log, money, what a start finds. INV-04, INV-06,
 * INV-07, INV-10, INV-13. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#include "base/encode.h"
#include "json/json.h"
#include "capability_support.h"
#include "falsify/falsify.h"
#include "guard/ruleset.h"

static struct rig rig;
static struct ifab_principal agent_a, agent_b;
static struct ifab_ruleset *rules;
enum { ADM = 2, OPS, A, B };
static uint8_t hash32[32]; /* of the last plan */
static char plan_text[80];

static const char RULES[] = "{\"v\":1,\"rules\":[],\"capabilities\":["
                            "{\"id\":\"10-not-nine\",\"effect\":\"deny\",\"reason\":\"input 9 is on air\",\"when\":{\"param.input\":9}},"
                            "{\"id\":\"20-studio\",\"effect\":\"share\",\"when\":{\"capability\":\"vmix.switcher\"}},"
                            "{\"id\":\"30-asked\",\"effect\":\"escalate\",\"when\":{\"capability\":\"asked.first\"}}]}";

static struct ifab_principal agent(uint32_t number, const char *name)
{
    struct ifab_principal p = {.kind = IFAB_PRINCIPAL_TALENT, .role = IFAB_ROLE_AGENT, .talent = number, .uid = 0x80000000U | number};
    snprintf(p.actor, sizeof p.actor, "if://agent/%s", name);
    return p;
}

static struct ifab_guard_rules rule_set(const char *text)
{
    struct ifab_guard_rules set = rig.settings.rules;
    struct ifab_arena arena;
    const struct ifab_json *root = NULL, *where = NULL;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(text), NULL, &arena, &root, NULL), IFAB_OK);
    const struct ifab_rule_source source = {.root = root};
    ifab_ruleset_free(rules);
    assert_int_equal(ifab_ruleset_compile(&source, &rules, &where, NULL), IFAB_OK);
    ifab_arena_fini(&arena);
    set.set = rules;
    ifab_sha256(ifab_ruleset_canonical(rules), set.digest32);
    return set;
}

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    assert_int_equal(rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT), ADM);
    assert_int_equal(rig_add(&rig, "Ops", "olga", IFAB_ROLE_OPERATOR, 13, IFAB_ORDER_STRICT), OPS);
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT), A);
    assert_int_equal(rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT), B);
    agent_a = agent(A, "A");
    agent_b = agent(B, "B");
    struct ifab_guard_rules set = rule_set(RULES);
    rig_rules(&rig, &set);
    capability_publish(&rig, ADM);
    capability_allow(&rig, ADM, "vmix.switcher", "1.0.0", CAPABILITY_SWITCHER);
    capability_allow(&rig, ADM, "asked.first", "1.0.0", CAPABILITY_ASKED);
    rig_grant(&rig, "A", "if://capability/vmix.switcher");
    rig_grant(&rig, "A", "studio:control");
    rig_grant(&rig, "A", "if://capability/asked.first");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    ifab_ruleset_free(rules);
    rules = NULL;
    return 0;
}

static bool body_has(const char *text)
{
    struct ifab_view body = rig.outcome.reply.body;
    return memmem(body.data, body.size, text, strlen(text)) != NULL;
}

static size_t entries_with(const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < rig.entry_count; i++)
        count += memmem(rig.entries[i].bytes, rig.entries[i].size, text, strlen(text)) != NULL;
    return count;
}

static enum ifab_code plan(const struct ifab_principal *who, const char *name, const char *operation, const char *params)
{
    static struct ifab_module module;
    struct ifab_arena arena;
    const struct ifab_json *tree = NULL;
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_PLAN, .principal = who, .why = IFAB_VIEW("the show begins")};
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(params), NULL, &arena, &tree, NULL), IFAB_OK);
    module = capability_module();
    command.u.plan.id = ifab_view_str(id);
    command.u.plan.operation = ifab_view_str(operation);
    command.u.plan.params = tree;
    command.u.plan.module = &module;
    const struct ifab_reply *reply = rig_do(&rig, &command);
    if (reply->code == IFAB_CODE_NONE && !reply->is_decision) {
        const char *at = memmem(reply->body.data, reply->body.size, "\"plan_hash\":\"", 13);
        assert_non_null(at);
        memcpy(plan_text, at + 13, 71);
        plan_text[71] = '\0';
        assert_int_equal(ifab_hex_decode(ifab_view_of((const uint8_t *)at + 20, 64), hash32, 32), IFAB_OK);
    }
    ifab_arena_fini(&arena);
    return reply->code;
}

static struct ifab_module good_module;
static enum ifab_code apply_with(const struct ifab_principal *who, const char *name, bool dry, const struct ifab_module *module)
{
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_APPLY, .principal = who};
    command.u.apply.id = ifab_view_str(id);
    memcpy(command.u.apply.hash32, hash32, 32);
    command.u.apply.module = module;
    command.u.apply.dry_run = dry;
    return rig_do(&rig, &command)->code;
}

static enum ifab_code apply(const struct ifab_principal *who, const char *name)
{
    good_module = capability_module();
    return apply_with(who, name, false, &good_module);
}

static enum ifab_code outcome(enum ifab_call_end end, uint32_t host_calls, const char *output)
{
    const struct ifab_plan *p = ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32);
    struct ifab_command command = {.type = IFAB_COMMAND_OUTCOME};
    assert_non_null(p);
    command.u.called.number = p->number;
    command.u.called.intent = p->intent;
    command.u.called.end = end;
    command.u.called.fuel = 12345;
    command.u.called.took = 7000;
    command.u.called.host_calls = host_calls;
    command.u.called.output = ifab_view_str(output);
    return rig_do(&rig, &command)->code;
}

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
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    struct ifab_guard_rules none = rule_set("{\"v\":1,\"rules\":[]}");
    rig_rules(&rig, &none);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_CONFLICT); /* planned under other rules */
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.is_decision);
    assert_true(body_has("builtin.capability-default"));
    for (int i = 0; i < 40; i++) /* denials are not a way to fill the log */
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_true(entries_with("builtin.capability-default") <= 12);
}

static uint64_t ask(const char *sender, const char *hash)
{
    char content[256];
    snprintf(content, sizeof content, "{\"data\":{\"apply\":{\"plan_hash\":\"%s\"}}}", hash);
    struct rig_message m = rig_message(&rig, sender, content);
    m.performative = "request";
    m.receiver = "\"if://fabric/" RIG_ORIGIN "\"";
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    return m.id;
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
    ask("if://agent/A/1", plan_text); /* it is asked for once */
    assert_int_equal(rig.outcome.reply.decision, IFAB_DECISION_DENY);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_PERMISSION_DENIED);
    rig_restart(&rig);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Ops", "approve"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_not_equal(rig.outcome.reply.plan, 0);
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

static void limits_breaker_and_budget_in_that_order(void **state)
{
    (void)state;
    struct ifab_command budget = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal};
    budget.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("cap"), .name = IFAB_VIEW("vmix.switcher"), .subject = IFAB_SUBJECT_CAPABILITY,
                                                           .unit = IFAB_UNIT_USD_MICRO, .period = IFAB_PERIOD_TOTAL, .limit = 7 * 1500};
    budget.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &budget)->code, IFAB_CODE_NONE);
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

/* ---- falsify: preflight over decide (DESIGN section 5) ---- */

static enum ifab_falsified falsify(const struct ifab_principal *who, const char *name, bool secret, struct ifab_buf *b)
{
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_APPLY, .principal = who};
    good_module = capability_module();
    command.u.apply.id = ifab_view_str(id);
    memcpy(command.u.apply.hash32, hash32, 32);
    command.u.apply.module = &good_module;
    struct ifab_fabric_head before, after;
    ifab_fabric_head(rig.fabric, &before);
    ifab_arena_reset(&rig.arena);
    ifab_buf_clear(b);
    enum ifab_falsified verdict = ifab_falsify_apply(rig.fabric, &command, rig.now, secret, &rig.arena, b);
    ifab_fabric_head(rig.fabric, &after);
    assert_memory_equal(&before, &after, sizeof before); /* it never applies anything */
    ifab_buf_char(b, '\0');
    assert_int_equal(ifab_buf_status(b), IFAB_OK);
    return verdict;
}

static bool found(const struct ifab_buf *b, const char *challenge, const char *verdict)
{
    char start[80], end[80];
    snprintf(start, sizeof start, "\"challenge\":\"%s\"", challenge);
    snprintf(end, sizeof end, "\"verdict\":\"%s\"}", verdict);
    const char *at = strstr((const char *)b->data, start), *next = at == NULL ? NULL : strstr(at, "\"verdict\":");
    return next != NULL && strncmp(next, end, strlen(end)) == 0;
}

static void a_good_act_survives_its_challenges(void **state)
{
    (void)state;
    static const char *const all[] = {"authority", "stale-plan", "secret-in-params", "manifest-drift", "tampered-module", "grant",
                                      "physical-without-approval", "rate", "breaker", "budget"};
    struct ifab_buf b = IFAB_BUF_INIT(16384);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_SURVIVED);
    for (size_t i = 0; i < IFAB_COUNT(all); i++)
        if (!found(&b, all[i], "survived"))
            fail_msg("%s: %s", all[i], (const char *)b.data);
    assert_int_equal(falsify(&agent_a, "vmix.switcher", true, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "secret-in-params", "falsified"));
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE); /* the plan was not used up */
    ifab_buf_fini(&b);
}

static void what_would_stop_it_is_named(void **state)
{
    (void)state;
    struct ifab_buf b = IFAB_BUF_INIT(16384);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "physical-without-approval", "falsified"));
    assert_true(found(&b, "grant", "survived"));
    assert_true(found(&b, "budget", "inconclusive")); /* it does not come so far */
    rig_pass(&rig, IFAB_PLAN_LIFE + IFAB_SECOND);
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "stale-plan", "falsified"));
    assert_true(found(&b, "tampered-module", "inconclusive"));
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    capability_revoke(&rig, ADM, "vmix.switcher");
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "manifest-drift", "falsified"));
    assert_int_equal(plan(&agent_a, "asked.first", "", "{}"), IFAB_CODE_NONE);
    assert_int_equal(falsify(&agent_b, "asked.first", false, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "stale-plan", "falsified")); /* another's plan is none */
    ifab_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plan_is_applied_once, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_come_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(no_rule_no_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_physical_waits_for_a_vote, setup, teardown),
        cmocka_unit_test_setup_teardown(a_vote_against_it_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_that_come_back_bring_no_approval, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_breaker_and_budget_in_that_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rate_and_the_room_are_the_manifests, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dry_run_uses_nothing_up, setup, teardown),
        cmocka_unit_test_setup_teardown(an_intent_without_outcome_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idempotent_one_may_be_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sandbox_that_was_attacked_is_high, setup, teardown),
        cmocka_unit_test_setup_teardown(a_good_act_survives_its_challenges, setup, teardown),
        cmocka_unit_test_setup_teardown(what_would_stop_it_is_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
