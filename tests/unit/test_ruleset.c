/* The rule language, point by point: what compiles, what is refused and where, and the strict reading of what cannot be compared. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

#include <stdio.h>

static ifab_status compile(const char *text, struct ifab_ruleset **ret_set, uint32_t *ret_offset, struct ifab_error *err)
{
    struct ifab_arena arena;
    const struct ifab_json *root = NULL, *where = NULL;
    *ret_set = NULL;
    ifab_arena_init(&arena, 64 << 20);
    ifab_status status = ifab_json_read(ifab_view_str(text), NULL, &arena, &root, err);
    if (status == IFAB_OK) {
        const struct ifab_rule_source source = {.root = root};
        status = ifab_ruleset_compile(&source, ret_set, &where, err);
    }
    *ret_offset = where != NULL ? where->offset : 0;
    ifab_arena_fini(&arena); /* nothing of the source is borrowed: evaluation after this proves it under ASan */
    return status;
}

static struct ifab_ruleset *good(const char *text)
{
    struct ifab_ruleset *set;
    struct ifab_error err = {0};
    uint32_t offset;
    if (compile(text, &set, &offset, &err) != IFAB_OK)
        fail_msg("%s: %s", text, err.text);
    return set;
}

#define RULE(effect, when) "{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"" effect "\",\"when\":" when "}]}"

#define CAPABILITY(effect, when) "{\"v\":1,\"capabilities\":[{\"id\":\"r\",\"effect\":\"" effect "\",\"when\":" when "}],\"rules\":[]}"

static void refuses_with_place_and_suggestion(void **state)
{
    static const struct {
        const char *text, *at, *says;
    } cases[] = {
        {"[]", "[", "expected names"},
        {"{\"rules\":[]}", "{", "expected `v: 1`"},
        {"{\"v\":1}", "{", "expected `v: 1`"},
        {"{\"v\":2,\"rules\":[]}", "2", "version"},
        {"{\"v\":1,\"rules\":{}}", "{}", "a list"},
        {"{\"v\":1,\"rule\":[],\"rules\":[]}", "[]", "did you mean \"rules\""},
        {RULE("share", "{}"), "\"share\"", "cannot loosen"},
        {RULE("allow", "{}"), "\"allow\"", "deny, escalate, hold or pass"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"when\":{}}]}", "{\"id\"", "needs an effect"},
        {"{\"v\":1,\"rules\":[{\"effect\":\"deny\",\"when\":{}}]}", "{\"effect\"", "needs an id"},
        {"{\"v\":1,\"rules\":[{\"id\":\"builtin.x\",\"effect\":\"deny\",\"when\":{}}]}", "\"builtin.x\"", "does not begin with builtin"},
        {"{\"v\":1,\"rules\":[{\"id\":\"a b\",\"effect\":\"deny\",\"when\":{}}]}", "\"a b\"", "an id is a name"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\"}]}", "{\"id\"", "needs `when`"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"wehn\":{}}]}", "{}", "did you mean \"when\""},
        {RULE("deny", "{\"sendr\":\"a\"}"), "\"a\"", "did you mean \"sender\""},
        {RULE("deny", "{\"zebra\":\"a\"}"), "\"a\"", "unknown field \"zebra\"; what a message carries itself is scope.zebra or data.zebra"},
        {RULE("deny", "{\"scope.\":\"a\"}"), "\"a\"", "unknown field"},
        {RULE("deny", "{\"scope.a..b\":\"a\"}"), "\"a\"", "single dots"},
        {RULE("deny", "{\"scope.a.\":\"a\"}"), "\"a\"", "single dots"},
        {RULE("deny", "{\"confidence\":{\"abvoe\":1}}"), "1}", "did you mean \"above\""},
        {RULE("deny", "{\"confidence\":{\"zebra\":1}}"), "1}", "\"zebra\"; expected is one of is, not, above, at_least, below, at_most, starts_with, ends_with, contains or exists"},
        {RULE("deny", "{\"confidence\":{}}"), "{}}", "no operator: expected is, not, above"},
        {RULE("deny", "{\"confidence\":\"high\"}"), "\"high\"", "is a number"},
        {RULE("deny", "{\"sender\":3}"), "3", "is a text"},
        {RULE("deny", "{\"sender\":{\"above\":3}}"), "3", "is no number"},
        {RULE("deny", "{\"confidence\":{\"contains\":\"3\"}}"), "\"3\"", "is no text"},
        {RULE("deny", "{\"is_claim\":\"yes\"}"), "\"yes\"", "true or false"},
        {RULE("deny", "{\"sender\":{\"exists\":1}}"), "1}", "true or false"},
        {RULE("deny", "{\"sender\":[]}"), "[]", "empty list"},
        {RULE("deny", "{\"sender\":{\"contains\":\"\"}}"), "\"\"", "the empty one"},
        {RULE("deny", "{\"sender\":{\"is\":{}}}"), "{}", "expected a text"},
        {RULE("deny", "{\"performative\":\"infrom\"}"), "\"infrom\"", "\"infrom\" is no performative; did you mean \"inform\"?"},
        {RULE("deny", "{\"performative\":[\"agree\",\"tell\"]}"), "\"tell\"", "\"tell\" is no performative"},
        {RULE("deny", "{\"parent.performative\":{\"not\":\"Request\"}}"), "\"Request\"", "did you mean \"request\"?"},
        {RULE("deny", "{\"sender.role\":\"opertor\"}"), "\"opertor\"", "did you mean \"operator\"?"},
        {RULE("deny", "{\"not\":{\"sender.role\":\"analyst\"}}"), "\"analyst\"", "is no role: agent, readonly"},
        {RULE("deny", "{\"sender\":\"if://agent/A\"}"), "\"if:", "without if://agent/"},
        {RULE("deny", "{\"sender.owner\":\"a b\"}"), "\"a b\"", "is no name"},
        {RULE("deny", "{\"receiver\":\"if://agent/A\"}"), "\"if:", "its name alone"},
        {RULE("deny", "{\"topic_hash\":\"sha256:AB\"}"), "\"sha256:AB\"", "is no digest"},
        {RULE("deny", "{\"evidence.domain\":\"https://evil.example\"}"), "\"https:", "is no registrable domain"},
        {RULE("deny", "{\"evidence.domain\":\"Evil.example\"}"), "\"Evil.example\"", "lower case"},
        {CAPABILITY("pass", "{}"), "\"pass\"", "deny, escalate or share"},
        {CAPABILITY("hold", "{}"), "\"hold\"", "deny, escalate or share"},
        {CAPABILITY("share", "{\"scope.a\":1}"), "1", "asked of messages"},
        {CAPABILITY("share", "{\"performative\":\"inform\"}"), "\"inform\"", "asked of messages"},
        {CAPABILITY("share", "{\"capabilty\":\"a\"}"), "\"a\"", "did you mean \"capability\""},
        {CAPABILITY("share", "{\"input\":\"a\"}"), "\"a\"", "a parameter is param.input"},
        {CAPABILITY("share", "{\"capability\":\"if://capability/a\"}"), "\"if:", "without if://capability/"},
        {CAPABILITY("share", "{\"capability\":\"a..b\"}"), "\"a..b\"", "is no capability"},
        {CAPABILITY("share", "{\"effect\":\"wirte\"}"), "\"wirte\"", "did you mean \"write\""},
        {RULE("deny", "{\"effect\":\"read\"}"), "\"read\"", "asked under `capabilities`"},
        {"{\"v\":1,\"capabilities\":[{\"id\":\"r\",\"effect\":\"deny\",\"when\":{}}],\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"when\":{}}]}", "\"r\",\"effect\":\"deny\",\"when\":{}}]}",
         "stands twice"},
        {RULE("deny", "{\"any\":[]}"), "[]", "a list of conditions"},
        {RULE("deny", "{\"any\":{}}"), "{}", "a list of conditions"},
        {RULE("deny", "{\"not\":[]}"), "[]", "expected conditions"},
        {RULE("deny", "3"), "3", "expected conditions"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"votes\":2,\"when\":{}}]}", "2,", "effect escalate"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"escalate\",\"votes\":0,\"when\":{}}]}", "0,", "1 to 16"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"escalate\",\"votes\":17,\"when\":{}}]}", "17", "1 to 16"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"escalate\",\"votes\":1.5,\"when\":{}}]}", "1.5", "1 to 16"},
        {"{\"v\":1,\"rules\":[],\"hazards\":[{\"id\":\"h\",\"hazard\":\"leagl\",\"when\":{}}]}", "\"leagl\"", "a hazard is"},
        {"{\"v\":1,\"rules\":[],\"hazards\":[{\"id\":\"h\",\"when\":{}}]}", "{\"id\"", "needs `hazard`"},
        {"{\"v\":1,\"rules\":[],\"hazards\":[{\"id\":\"h\",\"hazard\":\"legal\",\"effect\":\"deny\",\"when\":{}}]}", "\"deny\"",
         "unknown name in a derived hazard \"effect\"; expected is one of id, hazard, reason, when"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"reason\":\"a\\nb\",\"when\":{}}]}", "\"a\\nb\"", "control characters"},
        {"{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"when\":{}},{\"id\":\"r\",\"effect\":\"hold\",\"when\":{}}]}", "\"r\",\"effect\":\"hold\"",
         "stands twice"},
        {"{\"v\":1,\"hazards\":[{\"id\":\"r\",\"hazard\":\"legal\",\"when\":{}}],\"rules\":[{\"id\":\"r\",\"effect\":\"hold\",\"when\":{}}]}",
         "\"r\",\"effect\":\"hold\"", "stands twice"},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_ruleset *set;
        struct ifab_error err = {0};
        uint32_t offset;
        ifab_status status = compile(cases[i].text, &set, &offset, &err);
        if (status == IFAB_OK || set != NULL || strstr(err.text, cases[i].says) == NULL ||
            strncmp(cases[i].text + offset, cases[i].at, strlen(cases[i].at)) != 0)
            fail_msg("%s: status %d, \"%s\" at %s", cases[i].text, (int)status, err.text, cases[i].text + offset);
    }
}

static struct ifab_rule_answer answer(const struct ifab_ruleset *set, const char *scope, const struct ifab_rule_subject *base)
{
    struct ifab_rule_subject subject = base != NULL ? *base : (struct ifab_rule_subject){.sender = IFAB_VIEW("A")};
    struct ifab_rule_answer result;
    struct ifab_arena arena;
    ifab_arena_init(&arena, 1 << 20);
    if (scope != NULL)
        assert_int_equal(ifab_json_read(ifab_view_str(scope), NULL, &arena, &subject.scope, NULL), IFAB_OK);
    ifab_ruleset_evaluate(set, &subject, &result);
    ifab_arena_fini(&arena);
    return result;
}

static void reads_strictly_what_cannot_be_compared(void **state) /* INV-06 */
{
    static const struct {
        const char *when, *scope;
        bool tightens, passes;
    } cases[] = {
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":101}", true, true},
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":100}", false, false},
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":\"101\"}", true, false},      /* a text where a number was meant */
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":{\"amount\":1}}", true, false},
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":[1,101]}", true, true},         /* any of them */
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":[1,2]}", false, false},
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":[[101]]}", true, false},
        {"{\"scope.usd\":{\"above\":100}}", "{\"usd\":null}", true, false},
        {"{\"scope.usd\":{\"above\":100}}", "{}", false, false},                      /* absent */
        {"{\"scope.usd\":{\"above\":100}}", NULL, false, false},
        {"{\"scope.env\":\"prod\"}", "{\"env\":\"prod\"}", true, true},
        {"{\"scope.env\":\"prod\"}", "{\"env\":\"Prod\"}", false, false},
        {"{\"scope.env\":\"prod\"}", "{\"env\":[\"test\",\"prod\"]}", true, true},
        {"{\"scope.env\":\"prod\"}", "{\"env\":{\"name\":\"prod\"}}", true, false},
        {"{\"scope.env\":\"prod\"}", "{\"env\":5}", false, false},
        {"{\"scope.env\":{\"not\":\"prod\"}}", "{\"env\":\"test\"}", true, true},
        {"{\"scope.env\":{\"not\":\"prod\"}}", "{}", true, true},
        {"{\"scope.env\":{\"not\":\"prod\"}}", "{\"env\":\"prod\"}", false, false},
        {"{\"scope.env\":{\"not\":\"prod\"}}", "{\"env\":{}}", true, false},
        {"{\"not\":{\"scope.env\":\"prod\"}}", "{\"env\":{}}", true, false},
        {"{\"scope.a.b\":1}", "{\"a\":{\"b\":1}}", true, true},
        {"{\"scope.a.b\":1}", "{\"a\":5}", true, false}, /* something else on the way */
        {"{\"scope.a.b\":1}", "{\"a\":{}}", false, false},
        {"{\"scope.a\":{\"exists\":true}}", "{\"a\":{}}", true, true},
        {"{\"scope.a\":{\"exists\":false}}", "{\"a\":null}", false, false},
        {"{\"scope.a\":{\"exists\":false}}", "{}", true, true},
        {"{\"scope.a\":true}", "{\"a\":true}", true, true},
        {"{\"scope.a\":true}", "{\"a\":\"true\"}", false, false},
        {"{\"scope.a\":{\"starts_with\":\"x\",\"ends_with\":\"y\"}}", "{\"a\":\"x..y\"}", true, true},
        {"{\"scope.a\":{\"starts_with\":\"x\",\"ends_with\":\"y\"}}", "{\"a\":\"x..\"}", false, false},
        {"{\"scope.a\":{\"contains\":\"aab\"}}", "{\"a\":\"aaaab\"}", true, true},
        {"{\"scope.a\":{\"contains\":\"aab\"}}", "{\"a\":\"ab\"}", false, false},
        {"{\"scope.a\":{\"contains\":\"x\"}}", "{\"a\":7}", true, false},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        char deny[512], pass[512];
        snprintf(deny, sizeof deny, "{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"when\":%s}]}", cases[i].when);
        snprintf(pass, sizeof pass, "{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"pass\",\"when\":%s}]}", cases[i].when);
        struct ifab_ruleset *a = good(deny), *b = good(pass);
        bool tightens = answer(a, cases[i].scope, NULL).effect == IFAB_RULE_DENY, passes = answer(b, cases[i].scope, NULL).effect == IFAB_RULE_PASS;
        if (tightens != cases[i].tightens || passes != cases[i].passes)
            fail_msg("%s on %s: deny %d, pass %d", cases[i].when, cases[i].scope != NULL ? cases[i].scope : "nothing", tightens, passes);
        ifab_ruleset_free(a);
        ifab_ruleset_free(b);
    }
}

static void reads_more_values_than_it_looks_at_strictly(void **state)
{
    struct ifab_ruleset *set = good(RULE("deny", "{\"scope.a\":\"prod\"}"));
    char scope[1024] = "{\"a\":[";
    (void)state;
    for (int i = 0; i < IFAB_RULE_VALUES_MAX; i++)
        strncat(scope, "\"x\",", sizeof scope - strlen(scope) - 1);
    strncat(scope, "\"prod\"]}", sizeof scope - strlen(scope) - 1);
    assert_int_equal(answer(set, scope, NULL).effect, IFAB_RULE_DENY);
    ifab_ruleset_free(set);
}

static void first_match_by_id_answers(void **state)
{
    struct ifab_ruleset *set = good("{\"v\":1,\"rules\":["
                                    "{\"id\":\"20\",\"effect\":\"deny\",\"when\":{}},"
                                    "{\"id\":\"10\",\"effect\":\"escalate\",\"votes\":2,\"reason\":\"B asks\",\"when\":{\"sender\":\"B\"}},"
                                    "{\"id\":\"05\",\"effect\":\"pass\",\"when\":{\"sender\":[\"C\",\"D\"]}}]}");
    struct ifab_rule_subject s = {.sender = IFAB_VIEW("A")};
    (void)state;
    assert_string_equal(answer(set, NULL, &s).id, "20");
    s.sender = IFAB_VIEW("D");
    assert_string_equal(answer(set, NULL, &s).id, "05");
    assert_int_equal(answer(set, NULL, &s).effect, IFAB_RULE_PASS);
    s.sender = IFAB_VIEW("B");
    struct ifab_rule_answer b = answer(set, NULL, &s);
    assert_string_equal(b.id, "10");
    assert_string_equal(b.reason, "B asks");
    assert_int_equal(b.votes, 2);
    ifab_ruleset_free(set);
}

static void derived_hazards_stand_before_the_rules(void **state)
{
    struct ifab_ruleset *set = good("{\"v\":1,\"hazards\":[{\"id\":\"h\",\"hazard\":[\"legal\",\"privacy\"],\"when\":{\"evidence.domain\":\"court.example\"}}],"
                                    "\"rules\":[{\"id\":\"r\",\"effect\":\"hold\",\"when\":{\"hazards\":\"privacy\"}}]}");
    struct ifab_rule_evidence evidence = {.domain = IFAB_VIEW("court.example")};
    struct ifab_rule_subject s = {.evidence = &evidence, .evidence_count = 1};
    struct ifab_rule_answer got = answer(set, NULL, &s);
    (void)state;
    assert_int_equal(got.hazards, IFAB_HAZARD_LEGAL | IFAB_HAZARD_OTHER);
    assert_string_equal(got.id, "r");
    evidence.domain = IFAB_VIEW("other.example");
    got = answer(set, NULL, &s);
    assert_int_equal(got.hazards, 0);
    assert_int_equal(got.effect, IFAB_RULE_NONE);
    ifab_ruleset_free(set);
}

/* A message made to be expensive is escalated, not waited for. */
static enum ifab_rule_effect capability(const struct ifab_ruleset *set, const char *name, const char *effect, const char *params, struct ifab_rule_answer *a)
{
    struct ifab_arena arena;
    const struct ifab_json *tree = NULL;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(params), NULL, &arena, &tree, NULL), IFAB_OK);
    struct ifab_rule_subject s = {.sender = IFAB_VIEW("Studio.Agent"), .role = IFAB_VIEW("agent"), .owner = IFAB_VIEW("Studio"),
                                  .capability = ifab_view_str(name), .version = IFAB_VIEW("1.0.0"), .operation = IFAB_VIEW("cut"),
                                  .effect = ifab_view_str(effect), .params = tree, .cost_usd_micro = 1500, .cost_calls = 1};
    ifab_ruleset_capability(set, &s, a);
    ifab_arena_fini(&arena);
    return a->effect;
}

static void what_a_capability_does_is_denied_without_a_rule(void **state) /* INV-06 */
{
    (void)state;
    struct ifab_rule_answer a;
    struct ifab_ruleset *none = good("{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"pass\",\"when\":{}}]}");
    assert_int_equal(capability(none, "vmix.switcher", "read", "{}", &a), IFAB_RULE_NONE);
    assert_int_equal(capability(NULL, "vmix.switcher", "read", "{}", &a), IFAB_RULE_NONE);
    ifab_ruleset_free(none);
    struct ifab_ruleset *set = good("{\"v\":1,\"capabilities\":["
                                    "{\"id\":\"30\",\"effect\":\"share\",\"when\":{\"capability\":\"vmix.switcher\",\"effect\":[\"read\",\"write\"]}},"
                                    "{\"id\":\"10\",\"effect\":\"deny\",\"reason\":\"not that one\",\"when\":{\"param.input\":{\"above\":8}}},"
                                    "{\"id\":\"20\",\"effect\":\"escalate\",\"votes\":2,\"when\":{\"capability\":\"door.lock\",\"cost.usd_micro\":{\"at_least\":1000}}}],"
                                    "\"rules\":[]}");
    assert_int_equal(ifab_ruleset_capabilities(set), 3);
    assert_int_equal(ifab_ruleset_count(set), 0);
    assert_int_equal(ifab_ruleset_hazards(set), 0);
    assert_int_equal(capability(set, "vmix.switcher", "write", "{\"input\":3}", &a), IFAB_RULE_PASS);
    assert_string_equal(a.id, "30");
    assert_int_equal(capability(set, "vmix.switcher", "write", "{\"input\":9}", &a), IFAB_RULE_DENY);
    assert_string_equal(a.reason, "not that one");
    assert_int_equal(capability(set, "vmix.switcher", "write", "{\"input\":\"9\"}", &a), IFAB_RULE_DENY); /* cannot be compared: the strict reading */
    assert_int_equal(capability(set, "vmix.switcher", "payment", "{}", &a), IFAB_RULE_NONE);
    assert_int_equal(capability(set, "door.lock", "physical", "{}", &a), IFAB_RULE_ESCALATE);
    assert_int_equal(a.votes, 2);
    struct ifab_view canonical = ifab_ruleset_canonical(set);
    char text[2048];
    assert_true(canonical.size < sizeof text);
    memcpy(text, canonical.data, canonical.size);
    text[canonical.size] = '\0';
    struct ifab_ruleset *again = good(text);
    assert_true(ifab_view_equal(ifab_ruleset_canonical(again), canonical));
    ifab_ruleset_free(again);
    ifab_ruleset_free(set);
}

static void too_much_work_escalates(void **state) /* INV-06 */
{
    struct ifab_buf text = IFAB_BUF_INIT(8 << 20);
    static char claim[60000];
    memset(claim, 'a', sizeof claim);
    (void)state;
    ifab_buf_str(&text, "{\"v\":1,\"rules\":[");
    for (int i = 0; i < 2000; i++)
        ifab_buf_format(&text, "%s{\"id\":\"r%d\",\"effect\":\"hold\",\"when\":{\"claim\":{\"contains\":\"aaaaaaaaaaab%d\"}}}", i > 0 ? "," : "", i, i);
    size_t size = text.size;
    ifab_buf_str(&text, "]}");
    ifab_buf_char(&text, '\0');
    struct ifab_ruleset *set = good((const char *)text.data);
    struct ifab_rule_subject s = {.claim = ifab_view_of(claim, sizeof claim)};
    struct ifab_rule_answer got = answer(set, NULL, &s);
    assert_int_equal(got.effect, IFAB_RULE_ESCALATE);
    assert_string_equal(got.id, "builtin.rules-work");
    text.size = size;
    ifab_buf_str(&text, ",{\"id\":\"z\",\"effect\":\"deny\",\"when\":{\"claim\":{\"starts_with\":\"a\"}}}]}");
    ifab_buf_char(&text, '\0');
    struct ifab_ruleset *denying = good((const char *)text.data);
    assert_int_equal(answer(denying, NULL, &s).effect, IFAB_RULE_DENY); /* not a way around z */
    ifab_ruleset_free(denying);
    s.claim.size = 100;
    assert_int_equal(answer(set, NULL, &s).effect, IFAB_RULE_NONE);
    ifab_ruleset_free(set);
    ifab_buf_fini(&text);
}

static void too_much_work_for_a_call_allows_nothing(void **state) /* INV-06 */
{
    struct ifab_buf text = IFAB_BUF_INIT(8 << 20), params = IFAB_BUF_INIT(1 << 20);
    struct ifab_rule_answer a;
    (void)state;
    ifab_buf_str(&text, "{\"v\":1,\"capabilities\":[");
    for (int i = 0; i < IFAB_RULE_CAPABILITIES_MAX - 1; i++)
        ifab_buf_format(&text, "{\"id\":\"r%d\",\"effect\":\"deny\",\"when\":{\"param.text\":{\"contains\":\"aaaaaaaaaaab%d\"}}},", i, i);
    ifab_buf_str(&text, "{\"id\":\"z\",\"effect\":\"share\",\"when\":{\"capability\":\"vmix.switcher\"}}],\"rules\":[]}");
    ifab_buf_char(&text, '\0');
    struct ifab_ruleset *set = good((const char *)text.data);
    assert_int_equal(capability(set, "vmix.switcher", "read", "{\"text\":\"a\"}", &a), IFAB_RULE_PASS);
    ifab_buf_str(&params, "{\"text\":\"");
    for (int i = 0; i < 16000; i++)
        ifab_buf_char(&params, 'a');
    ifab_buf_str(&params, "\"}");
    ifab_buf_char(&params, '\0');
    assert_int_equal(capability(set, "vmix.switcher", "read", (const char *)params.data, &a), IFAB_RULE_DENY);
    assert_string_equal(a.id, "builtin.rules-work");
    ifab_ruleset_free(set);
    ifab_buf_fini(&text);
    ifab_buf_fini(&params);
}

static void bounds_hold_at_their_edge(void **state)
{
    static const struct {
        int tests, depth;
        bool fits;
    } cases[] = {{64, 1, true}, {65, 1, false}, {1, 8, true}, {1, 9, false}};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
        struct ifab_ruleset *set;
        struct ifab_error err = {0};
        uint32_t offset;
        ifab_buf_str(&text, "{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"when\":");
        for (int d = 1; d < cases[i].depth + (cases[i].tests == 1); d++)
            ifab_buf_str(&text, "{\"not\":");
        ifab_buf_str(&text, "{\"any\":[");
        for (int t = 0; t < cases[i].tests; t++)
            ifab_buf_format(&text, "%s{\"sender\":\"s%d\"}", t > 0 ? "," : "", t);
        ifab_buf_str(&text, "]}");
        for (int d = 1; d < cases[i].depth + (cases[i].tests == 1); d++)
            ifab_buf_char(&text, '}');
        ifab_buf_str(&text, "}]}");
        ifab_buf_char(&text, '\0');
        ifab_status status = compile((const char *)text.data, &set, &offset, &err);
        assert_int_equal(status, cases[i].fits ? IFAB_OK : IFAB_TOO_LARGE);
        ifab_ruleset_free(set);
        ifab_buf_fini(&text);
    }
}

static void memory_may_end_at_any_allocation(void **state)
{
    static const char text[] = "{\"v\":1,\"hazards\":[{\"id\":\"h\",\"hazard\":\"legal\",\"when\":{\"scope.x\":{\"above\":1}}}],\"rules\":["
                               "{\"id\":\"a\",\"effect\":\"deny\",\"when\":{\"sender\":[\"A\",\"B\"],\"any\":[{\"claim\":\"x\"},{\"ttl_s\":5}]}},"
                               "{\"id\":\"b\",\"effect\":\"pass\",\"when\":{}}]}";
    (void)state;
    for (uint64_t n = 1; n < 10000; n++) {
        struct ifab_ruleset *set;
        struct ifab_error err = {0};
        uint32_t offset;
        ifab_mem_fail_at(n);
        ifab_status status = compile(text, &set, &offset, &err);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (!failed) {
            assert_int_equal(status, IFAB_OK);
            ifab_ruleset_free(set);
            return;
        }
        if (status == IFAB_OK) /* the failure may have hit what can do without */
            ifab_ruleset_free(set);
        else
            assert_null(set);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_place_and_suggestion),
        cmocka_unit_test(reads_strictly_what_cannot_be_compared),
        cmocka_unit_test(reads_more_values_than_it_looks_at_strictly),
        cmocka_unit_test(first_match_by_id_answers),
        cmocka_unit_test(derived_hazards_stand_before_the_rules),
        cmocka_unit_test(what_a_capability_does_is_denied_without_a_rule),
        cmocka_unit_test(too_much_work_for_a_call_allows_nothing),
        cmocka_unit_test(too_much_work_escalates),
        cmocka_unit_test(bounds_hold_at_their_edge),
        cmocka_unit_test(memory_may_end_at_any_allocation),
    };
    return cmocka_run_group_tests_name("ruleset", tests, NULL, NULL);
}
