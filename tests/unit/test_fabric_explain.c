/* What explain says is what the send then does: parents, plans, voters. And explaining changes nothing. DESIGN section 5 Guard. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan_support.h"

#define SCOPED(n, more) "{\"scope\":{\"n\":" n "},\"confidence\":{\"normalized\":0.9,\"raw\":0.9}" more "}"
#define CONTENT(more) SCOPED("1", more)

static char said[65536]; /* by the last explain */

static struct ifab_view member(const struct ifab_json *tree, const char *name)
{
    struct ifab_view text;
    assert_true(ifab_json_string(ifab_json_get(tree, name), &text));
    return text;
}

/* Into `said`; its tree, in *arena. The fabric is the same afterwards. */
static const struct ifab_json *explain(const struct rig_message *m, struct ifab_arena *arena)
{
    struct ifab_fabric_head before, after;
    struct ifab_buf b = IFAB_BUF_INIT(sizeof said);
    struct ifab_refusal refusal = {0};
    struct ifab_command command;
    const struct ifab_json *tree = NULL;
    ifab_fabric_head(rig.fabric, &before);
    ifab_arena_reset(&rig.arena);
    assert_int_equal(rig_admit(&rig, rig_text(&rig, m), &command), IFAB_CODE_NONE);
    assert_int_equal(ifab_fabric_explain(rig.fabric, command.u.message.envelope, command.u.message.facts, rig.now.wall, &b, &refusal), IFAB_CODE_NONE);
    ifab_buf_char(&b, '\0');
    assert_int_equal(ifab_buf_status(&b), IFAB_OK);
    memcpy(said, b.data, b.size);
    ifab_buf_fini(&b);
    assert_int_equal(ifab_json_read(ifab_view_str(said), NULL, arena, &tree, NULL), IFAB_OK);
    ifab_fabric_head(rig.fabric, &after);
    assert_memory_equal(before.trust_root32, after.trust_root32, 32);
    assert_int_equal(before.size, after.size);
    return tree;
}

/* Explains, sends, compares: decision, rule, reason, votes. votes: 0: none are said. */
static void as_sent(const struct rig_message *m, const char *decision, const char *rule, unsigned votes)
{
    static const char *const members[] = {"decision", "rule", "reason"};
    struct ifab_arena arena;
    const struct ifab_json *tree, *receipt = NULL;
    ifab_arena_init(&arena, 1 << 20);
    (void)explain(m, &arena);
    tree = explain(m, &arena); /* twice: the first used nothing up */
    assert_int_equal(rig_send(&rig, m), IFAB_CODE_NONE);
    assert_int_equal(ifab_json_read(rig.outcome.reply.body, NULL, &arena, &receipt, NULL), IFAB_OK);
    for (size_t i = 0; i < IFAB_COUNT(members); i++)
        if (!ifab_view_equal(member(tree, members[i]), member(receipt, members[i])))
            fail_msg("%s: explained\n%s\nsent\n" IFAB_FMT, members[i], said, IFAB_ARG(rig.outcome.reply.body));
    if (!ifab_view_is(member(tree, "decision"), decision) || !ifab_view_is(member(tree, "rule"), rule))
        fail_msg("wanted %s by %s: %s", decision, rule, said);
    const struct ifab_json *needed = ifab_json_get(tree, "votes_needed");
    assert_int_equal(needed != NULL, votes > 0);
    if (votes > 0)
        assert_int_equal((unsigned)needed->u.number.value, votes);
    if (strcmp(decision, "ESCALATE") == 0)
        assert_int_equal(rig_open(&rig, m->id)->votes_needed, votes);
    ifab_arena_fini(&arena);
}

static void take_rules(const char *text)
{
    struct ifab_ruleset *before = rules;
    rules = NULL;
    struct ifab_guard_rules set = rule_set(text);
    rig_rules(&rig, &set);
    ifab_ruleset_free(before);
}

static struct rig_message reply_to(uint64_t conversation, const char *sender, const char *performative)
{
    struct rig_message m = rig_message(&rig, sender, CONTENT(""));
    m.conversation = conversation;
    m.performative = performative;
    return m;
}

static uint64_t request(const char *content)
{
    struct rig_message m = rig_message(&rig, "if://agent/A", content);
    m.performative = "request";
    m.receiver = "\"if://agent/B\"";
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    return m.conversation;
}

static void a_reply_is_judged_with_what_was_said_before(void **state)
{
    (void)state;
    take_rules("{\"v\":1,\"hazards\":[{\"id\":\"h\",\"hazard\":\"legal\",\"when\":{\"parent.hazards\":\"other\"}}],\"rules\":["
               "{\"id\":\"10-no\",\"effect\":\"deny\",\"when\":{\"performative\":\"agree\",\"parent.performative\":\"request\"}}]}");
    uint64_t talk = request(CONTENT(""));
    struct rig_message m = reply_to(talk, "if://agent/B", "inform");
    as_sent(&m, "SHARE", "builtin.default-share", 0);
    m = reply_to(talk, "if://agent/B", "agree"); /* after inform: the last message counts */
    as_sent(&m, "SHARE", "builtin.default-share", 0);
    m = reply_to(request(CONTENT("")), "if://agent/B", "agree");
    as_sent(&m, "DENY", "10-no", 0);
    assert_non_null(strstr(said, "\"id\":\"10-no\",\"match\":\"yes\""));
    m = reply_to(request(CONTENT(",\"hazards\":[\"financial\"]")), "if://agent/B", "inform");
    as_sent(&m, "ESCALATE", "builtin.hazard", 1);
    assert_non_null(strstr(said, "\"id\":\"h\",\"match\":\"yes\""));
}

/* Who may not speak there is refused before anything is judged, so what it would be told is that of a message without a past. */
static void a_conversation_of_others_is_not_told(void **state)
{
    (void)state;
    take_rules("{\"v\":1,\"rules\":[{\"id\":\"10-no\",\"effect\":\"deny\",\"when\":{\"parent.hazards\":\"other\"}}]}");
    uint64_t talk = request(CONTENT(",\"hazards\":[\"financial\"]"));
    struct ifab_arena arena;
    ifab_arena_init(&arena, 1 << 20);
    struct rig_message party = reply_to(talk, "if://agent/B", "inform"), stranger = reply_to(talk, "if://agent/Ops", "inform");
    assert_true(ifab_view_is(member(explain(&party, &arena), "decision"), "DENY"));
    assert_true(ifab_view_is(member(explain(&stranger, &arena), "decision"), "SHARE"));
    assert_null(strstr(said, "10-no"));
    assert_int_equal(rig_send(&rig, &stranger), IFAB_CODE_PROTOCOL_VIOLATION);
    ifab_arena_fini(&arena);
}

static void votes_are_told_and_an_escalation_without_voters_is_a_deny(void **state)
{
    (void)state;
    take_rules("{\"v\":1,\"rules\":[{\"id\":\"10-three\",\"effect\":\"escalate\",\"votes\":3,\"when\":{\"scope.n\":3}},"
               "{\"id\":\"20-four\",\"effect\":\"escalate\",\"votes\":4,\"when\":{\"scope.n\":4}}]}"); /* owners: operator, adam, olga */
    struct rig_message m = rig_message(&rig, "if://agent/A", SCOPED("3", ""));
    as_sent(&m, "ESCALATE", "10-three", 3);
    assert_non_null(strstr(said, "{\"decision\":null,\"step\":\"voters\"}]"));
    m = rig_message(&rig, "if://agent/A", SCOPED("4", ""));
    as_sent(&m, "DENY", "builtin.no-voters", 4);
    assert_non_null(strstr(said, "\"rule\":\"builtin.no-voters\",\"step\":\"voters\"}]"));
    m = rig_message(&rig, "if://agent/Ops", SCOPED("3", "")); /* its own owner is no voter */
    as_sent(&m, "DENY", "builtin.no-voters", 3);
    m = rig_message(&rig, "if://agent/A", CONTENT(",\"hazards\":[\"legal\"]"));
    as_sent(&m, "ESCALATE", "builtin.hazard", 1);
    m = rig_message(&rig, "if://agent/A", CONTENT(""));
    as_sent(&m, "SHARE", "builtin.default-share", 0);
    assert_null(strstr(said, "voters"));
}

static struct rig_message asks(const char *sender, const char *hash, char content[256])
{
    snprintf(content, 256, "{\"data\":{\"apply\":{\"plan_hash\":\"%s\"}}}", hash);
    struct rig_message m = rig_message(&rig, sender, content);
    m.performative = "request";
    m.receiver = "\"if://fabric/" RIG_ORIGIN "\"";
    return m;
}

static void a_request_for_a_call_is_judged_with_its_plan(void **state)
{
    (void)state;
    char content[256];
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    struct rig_message m = asks("if://agent/B", plan_text, content); /* another's */
    as_sent(&m, "DENY", "builtin.plan", 0);
    m = asks("if://agent/A", "nonsense", content);
    as_sent(&m, "DENY", "builtin.plan", 0);
    m = asks("if://agent/A", plan_text, content);
    as_sent(&m, "ESCALATE", "builtin.plan", 1);
    m = asks("if://agent/A", plan_text, content); /* it is asked for once: by the send, not by explaining */
    as_sent(&m, "DENY", "builtin.plan", 0);
    assert_int_equal(plan(&agent_a, "vmix.switcher", "strobe", "{}"), IFAB_CODE_NONE);
    rig_pass(&rig, IFAB_PLAN_LIFE + IFAB_SECOND);
    m = asks("if://agent/A", plan_text, content);
    as_sent(&m, "DENY", "builtin.plan", 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reply_is_judged_with_what_was_said_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_conversation_of_others_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(votes_are_told_and_an_escalation_without_voters_is_a_deny, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_for_a_call_is_judged_with_its_plan, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
