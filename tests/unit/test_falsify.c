/* Preflight over decide: each of the ten challenges where it survives, is falsified, and could not be made. INV-06, INV-07, INV-10. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan_support.h"

#include "falsify/falsify.h"

#define IFAB_X_(name, text, question) text,
static const char *const challenges[] = {IFAB_CHALLENGE_MAP(IFAB_X_)}; /* in the order of the step */
#undef IFAB_X_
static const struct ifab_module *module_said; /* NULL: the one that the manifest names */

static enum ifab_falsified falsify(const struct ifab_principal *who, const char *name, bool secret, struct ifab_buf *b)
{
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_APPLY, .principal = who};
    good_module = capability_module();
    command.u.apply.id = ifab_view_str(id);
    memcpy(command.u.apply.hash32, hash32, 32);
    command.u.apply.module = module_said != NULL ? module_said : &good_module;
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

/* Its evidence begins so. */
static bool shows(const struct ifab_buf *b, const char *challenge, const char *evidence)
{
    char start[200];
    snprintf(start, sizeof start, "\"challenge\":\"%s\",\"evidence\":\"%s", challenge, evidence);
    return strstr((const char *)b->data, start) != NULL;
}

static void a_good_act_survives_its_challenges(void **state)
{
    (void)state;
    static const char *const shown[][2] = {{"authority", "by the socket's operator, who is no talent: IF_ERR_003"},
                                           {"stale-plan", "when the plan has expired: IF_ERR_"},
                                           {"tampered-module", "with one bit of the module changed: IF_ERR_"},
                                           {"grant", "the step looked for the grant and every scope and found them; another talent is refused"}};
    struct ifab_buf b = IFAB_BUF_INIT(16384);
    assert_int_equal(IFAB_COUNT(challenges), 10);
    for (uint32_t other = ADM; other <= B; other++) { /* whoever else is asked about could do it with a plan of their own */
        static const char *const names[] = {[ADM] = "Adm", [OPS] = "Ops", [B] = "B"};
        if (other == A)
            continue;
        rig_grant(&rig, names[other], "if://capability/vmix.switcher");
        rig_grant(&rig, names[other], "studio:control");
    }
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_SURVIVED);
    for (size_t i = 0; i < IFAB_COUNT(challenges); i++)
        if (!found(&b, challenges[i], "survived"))
            fail_msg("%s: %s", challenges[i], (const char *)b.data);
    for (size_t i = 0; i < IFAB_COUNT(shown); i++)
        if (!shows(&b, shown[i][0], shown[i][1]))
            fail_msg("%s: %s", shown[i][0], (const char *)b.data);
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

/* A challenge that could not be made says so: a refusal of something else is not its proof. */
static void what_was_not_looked_at_has_not_survived(void **state)
{
    (void)state;
    static const char *const unseen[] = {"secret-in-params", "grant", "physical-without-approval", "tampered-module", "manifest-drift"};
    struct ifab_buf b = IFAB_BUF_INIT(16384);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    uint8_t mine[32];
    memcpy(mine, hash32, 32);
    for (int what = 0; what < 3; what++) { /* none with this hash; another's; mine, seen by its talent */
        memcpy(hash32, mine, 32);
        hash32[0] ^= (uint8_t)(what == 0);
        assert_int_equal(falsify(what == 1 ? &agent_b : &agent_a, "vmix.switcher", what == 1, &b), what == 2 ? IFAB_SURVIVED : IFAB_FALSIFIED);
        for (size_t i = 0; i < IFAB_COUNT(unseen); i++)
            if (!found(&b, unseen[i], what == 2 ? "survived" : "inconclusive"))
                fail_msg("%d %s: %s", what, unseen[i], (const char *)b.data);
    }
    capability_revoke(&rig, ADM, "vmix.switcher"); /* the step stops before it looks at grants */
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "grant", "inconclusive"));
    assert_true(found(&b, "secret-in-params", "survived"));
    assert_int_equal(plan(&agent_a, "asked.first", "", "{}"), IFAB_CODE_NONE);
    struct ifab_command revoke = rig_talent_command(&rig, IFAB_ACT_REVOKE, "A");
    revoke.u.talent.request.scope = IFAB_VIEW("if://capability/asked.first");
    revoke.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &revoke)->code, IFAB_CODE_NONE);
    assert_int_equal(falsify(&agent_a, "asked.first", false, &b), IFAB_FALSIFIED);
    assert_true(found(&b, "grant", "falsified"));
    ifab_buf_fini(&b);
}

/* ---- each challenge, falsified: what stops the act, and nothing else does ---- */

static struct ifab_principal caller;

static void talent_act(enum ifab_talent_act act, const char *name, const char *scope)
{
    struct ifab_command command = rig_talent_command(&rig, act, name);
    command.u.talent.request.scope = ifab_view_str(scope);
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

static void call_once(enum ifab_call_end end)
{
    uint8_t mine[32];
    memcpy(mine, hash32, 32);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":2}"), IFAB_CODE_NONE);
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(end, 1, "{}"), IFAB_CODE_NONE);
    memcpy(hash32, mine, 32); /* the plan that is challenged is the one from before */
}

static void may_only_read(void) { caller.role = IFAB_ROLE_READONLY; }
static void is_removed(void) { talent_act(IFAB_ACT_REMOVE, "A", ""); }

static void is_denied(void) /* a way in of a lesser role than the plan was made with */
{
    struct ifab_guard_rules set = rule_set("{\"v\":1,\"rules\":[],\"capabilities\":["
                                           "{\"id\":\"op\",\"effect\":\"share\",\"when\":{\"sender.role\":\"operator\"}}]}");
    rig_rules(&rig, &set);
    rig_grant(&rig, "Ops", "if://capability/vmix.switcher");
    rig_grant(&rig, "Ops", "studio:control");
    caller = agent(OPS, "Ops");
    struct ifab_principal whole = caller;
    whole.role = IFAB_ROLE_OPERATOR;
    assert_int_equal(plan(&whole, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    assert_false(rig.outcome.reply.is_decision);
}

static void is_over(void) /* and nothing has been cleared away yet */
{
    rig.now.wall += IFAB_PLAN_LIFE;
    rig.now.run += IFAB_PLAN_LIFE;
}

static void is_done(void)
{
    assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    assert_int_equal(outcome(IFAB_CALL_OK, 1, "{}"), IFAB_CODE_NONE);
}

static void is_unknown(void) { hash32[0] ^= 1; }
static void is_revoked(void) { capability_revoke(&rig, ADM, "vmix.switcher"); }

static void is_another_module(void)
{
    static struct ifab_module other;
    other = capability_module();
    other.sha256[0] ^= 1;
    module_said = &other;
}

static void has_no_grant(void) { talent_act(IFAB_ACT_REVOKE, "A", "if://capability/vmix.switcher"); }
static void has_no_scope(void) { talent_act(IFAB_ACT_REVOKE, "A", "studio:control"); }
static void is_physical(void) { assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE); }

static void comes_too_often(void)
{
    for (int i = 0; i < 4; i++) /* its burst */
        call_once(IFAB_CALL_OK);
}

static void finds_no_room(void)
{
    uint8_t mine[32];
    memcpy(mine, hash32, 32);
    for (int i = 0; i < 2; i++) { /* its concurrency */
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":2}"), IFAB_CODE_NONE);
        assert_int_equal(apply(&agent_a, "vmix.switcher"), IFAB_CODE_NONE);
    }
    memcpy(hash32, mine, 32);
}

static void is_broken(void)
{
    for (int i = 0; i < 5; i++, rig_pass(&rig, IFAB_SECOND))
        call_once(IFAB_CALL_PROVIDER);
}

static void is_too_dear(void)
{
    struct ifab_command command = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal};
    command.u.budget.request = (struct ifab_budget_request){.id = IFAB_VIEW("cap"),
                                                            .name = IFAB_VIEW("vmix.switcher"),
                                                            .subject = IFAB_SUBJECT_CAPABILITY,
                                                            .unit = IFAB_UNIT_USD_MICRO,
                                                            .period = IFAB_PERIOD_TOTAL,
                                                            .limit = 2 * 1500 - 1};
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    call_once(IFAB_CALL_OK);
}

/* Rows that ask the step nothing of their own: what stands before the one that stopped it was looked at, what stands behind it was not. */
static bool only_reads(enum ifab_challenge c)
{
    return c == IFAB_CHALLENGE_MANIFEST_DRIFT || c == IFAB_CHALLENGE_RATE || c == IFAB_CHALLENGE_BREAKER || c == IFAB_CHALLENGE_BUDGET;
}

static void each_challenge_names_what_stops_the_act(void **state)
{
    static const struct {
        enum ifab_challenge stopped;
        void (*make)(void);
        const char *evidence;
        enum ifab_code code; /* of the act itself, afterwards: what was foretold comes true; NONE: a rule denies it */
    } rows[] = {
        {IFAB_CHALLENGE_AUTHORITY, may_only_read, "as it is: IF_ERR_003", IFAB_CODE_PERMISSION_DENIED},
        {IFAB_CHALLENGE_AUTHORITY, is_removed, "as it is: IF_ERR_003", IFAB_CODE_PERMISSION_DENIED},
        {IFAB_CHALLENGE_AUTHORITY, is_denied, "as it is: DENY by a rule", IFAB_CODE_NONE},
        {IFAB_CHALLENGE_STALE_PLAN, is_over, "as it is: IF_ERR_", IFAB_CODE_CONFLICT},
        {IFAB_CHALLENGE_STALE_PLAN, is_done, "as it is: IF_ERR_", IFAB_CODE_CONFLICT},
        {IFAB_CHALLENGE_STALE_PLAN, is_unknown, "as it is: IF_ERR_", IFAB_CODE_NOT_FOUND},
        {IFAB_CHALLENGE_MANIFEST_DRIFT, is_revoked, "as it is: IF_ERR_201", IFAB_CODE_CAPABILITY_NOT_ALLOWED},
        {IFAB_CHALLENGE_MANIFEST_DRIFT, is_another_module, "as it is: IF_ERR_", IFAB_CODE_DIGEST_MISMATCH},
        {IFAB_CHALLENGE_GRANT, has_no_grant, "as it is: IF_ERR_205", IFAB_CODE_GRANT_MISSING},
        {IFAB_CHALLENGE_GRANT, has_no_scope, "as it is: IF_ERR_205", IFAB_CODE_GRANT_MISSING},
        {IFAB_CHALLENGE_APPROVAL, is_physical, "as it is: IF_ERR_003", IFAB_CODE_PERMISSION_DENIED},
        {IFAB_CHALLENGE_RATE, comes_too_often, "as it is: IF_ERR_", IFAB_CODE_RATE_LIMIT_EXCEEDED},
        {IFAB_CHALLENGE_RATE, finds_no_room, "as it is: IF_ERR_", IFAB_CODE_QUEUE_FULL},
        {IFAB_CHALLENGE_BREAKER, is_broken, "as it is: IF_ERR_", IFAB_CODE_CIRCUIT_BREAKER_OPEN},
        {IFAB_CHALLENGE_BUDGET, is_too_dear, "as it is: IF_ERR_", IFAB_CODE_BUDGET_EXCEEDED},
    };
    struct ifab_buf b = IFAB_BUF_INIT(16384);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        assert_int_equal(setup(state), 0);
        module_said = NULL;
        assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
        caller = agent_a;
        rows[i].make();
        if (falsify(&caller, "vmix.switcher", false, &b) != IFAB_FALSIFIED || !shows(&b, challenges[rows[i].stopped], rows[i].evidence))
            fail_msg("%zu: %s", i, (const char *)b.data);
        for (enum ifab_challenge c = 0; c < IFAB_CHALLENGE_COUNT; c++)
            if (found(&b, challenges[c], "falsified") != (c == rows[i].stopped) ||
                (only_reads(c) && c != rows[i].stopped && !found(&b, challenges[c], c < rows[i].stopped ? "survived" : "inconclusive")))
                fail_msg("%zu %s: %s", i, challenges[c], (const char *)b.data);
        good_module = capability_module();
        assert_int_equal(apply_with(&caller, "vmix.switcher", false, module_said != NULL ? module_said : &good_module), rows[i].code);
        assert_int_equal(rig.outcome.reply.plan, 0);
        assert_int_equal(teardown(state), 0);
    }
    module_said = NULL;
    ifab_buf_fini(&b);
}

/* The one that no state of a fabric brings about: a changed module would have to pass. Where the module itself is another, nothing is shown by it. */
static void what_refuses_any_module_shows_nothing_of_one_bit(void **state)
{
    (void)state;
    struct ifab_buf b = IFAB_BUF_INIT(16384);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "", "{\"input\":1}"), IFAB_CODE_NONE);
    is_another_module();
    assert_int_equal(falsify(&agent_a, "vmix.switcher", false, &b), IFAB_FALSIFIED);
    module_said = NULL;
    assert_true(found(&b, "tampered-module", "inconclusive"));
    assert_true(found(&b, "manifest-drift", "falsified"));
    ifab_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_act_survives_its_challenges, setup, teardown),
        cmocka_unit_test_setup_teardown(what_would_stop_it_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_looked_at_has_not_survived, setup, teardown),
        cmocka_unit_test(each_challenge_names_what_stops_the_act),
        cmocka_unit_test_setup_teardown(what_refuses_any_module_shows_nothing_of_one_bit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
