/*
 * Random rules about capabilities over random calls against a naive reader of the same JSON (rule_model.h), which takes the first by id that matches, and
 * nothing where none does. Rules about messages and derived hazards stand in the same sets and must not matter. And: the canonical form compiles to
 * itself and answers the same. IFAB_SEED=N repeats a run; IFAB_RUNS=N rule sets instead of 100,000, ten calls each.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rule_model.h"

/* ---- rule sets as text ---- */

/* Words of fields whose literals are checked. */
#define CAPABILITIES(X) X("vmix.switcher"), X("door.lock"), X("prod")
#define EFFECTS(X) X("read"), X("write"), X("physical"), X("payment")
static const char *const capabilities[] = {CAPABILITIES(AS_IT_IS)}, *const capability_literals[] = {CAPABILITIES(QUOTED)};
static const char *const effects[] = {EFFECTS(AS_IT_IS)}, *const effect_literals[] = {EFFECTS(QUOTED)};

static const struct field string_fields[] = {
    FIELD("sender", name_literals),         FIELD("sender.role", role_literals), FIELD("sender.owner", name_literals),
    FIELD("capability", capability_literals), FIELD("version", strings),           FIELD("operation", name_literals),
    FIELD("effect", effect_literals),
};
static const struct field any_fields[] = {FIELD("param.x", anything), FIELD("param.y.z", anything), FIELD("param.list", anything)};
static const struct field number_fields[] = {FIELD("cost.usd_micro", numbers), FIELD("cost.tokens", numbers), FIELD("cost.calls", numbers)};
static const struct fields of_calls = {
    .of = {string_fields, any_fields, number_fields, NULL},
    .count = {IFAB_COUNT(string_fields), IFAB_COUNT(any_fields), IFAB_COUNT(number_fields), 0},
};

/* Rules of the other lists, which hold always: whoever asks them of a call gives another answer. */
static void put_others(struct ifab_buf *b)
{
    static const char *const said[] = {"pass", "deny", "escalate"};
    ifab_buf_str(b, "\"hazards\":[");
    if (pick(2))
        ifab_buf_str(b, "{\"id\":\"0-hazard\",\"hazard\":\"legal\",\"when\":{}}");
    ifab_buf_str(b, "],\"rules\":[");
    if (pick(2))
        ifab_buf_format(b, "{\"id\":\"0-message\",\"effect\":\"%s\",\"when\":{}}", ONE(said));
    ifab_buf_char(b, ']');
}

static void put_set(struct ifab_buf *b)
{
    static const char *const said[] = {"share", "escalate", "deny"};
    const char *ids[] = {"10-a", "2", "2-b", "9", "A", "Z", "Z.z", "a", "a.b", "b10", "b2", "z"}; /* as bytes they stand so */
    unsigned count = pick(IFAB_COUNT(ids));
    for (unsigned i = 0; i < count; i++) { /* any of them, in any order */
        unsigned other = i + pick((unsigned)IFAB_COUNT(ids) - i);
        const char *id = ids[i];
        ids[i] = ids[other];
        ids[other] = id;
    }
    ifab_buf_str(b, "{\"v\":1,\"capabilities\":[");
    for (unsigned i = 0; i < count; i++) {
        const char *effect = ONE(said);
        ifab_buf_format(b, "%s{\"id\":\"%s\",\"effect\":\"%s\"", i > 0 ? "," : "", ids[i], effect);
        if (pick(2))
            ifab_buf_format(b, ",\"reason\":\"because %u\"", pick(100));
        if (strcmp(effect, "escalate") == 0 && pick(2))
            ifab_buf_format(b, ",\"votes\":%u", 1 + pick(IFAB_RULE_VOTES_MAX));
        ifab_buf_str(b, ",\"when\":");
        put_condition(b, 0);
        ifab_buf_char(b, '}');
    }
    ifab_buf_str(b, "],");
    put_others(b);
    ifab_buf_char(b, '}');
}

/* ---- calls ---- */

struct call {
    struct ifab_rule_subject subject;
    struct ifab_arena arena;
    struct ifab_buf text;
};

static void draw_call(struct call *c)
{
    static const char *const params[] = {"x", "y", "list"};
    ifab_arena_reset(&c->arena);
    c->subject = (struct ifab_rule_subject){
        .sender = DRAW(people),
        .role = DRAW(roles),
        .owner = DRAW(people),
        .capability = DRAW(capabilities),
        .version = draw_view(),
        .operation = DRAW(people),
        .effect = DRAW(effects),
        .cost_usd_micro = draw_number(),
        .cost_tokens = draw_number(),
        .cost_calls = draw_number(),
    };
    c->subject.params = draw_object(&c->arena, &c->text, params, IFAB_COUNT(params));
}

/* ---- the naive reader ---- */

static void see(const struct naive *n, const char *field, struct seen *seen)
{
    const struct ifab_rule_subject *s = n->s;
    if (strcmp(field, "sender") == 0)
        see_optional(seen, s->sender);
    else if (strcmp(field, "sender.role") == 0)
        see_optional(seen, s->role);
    else if (strcmp(field, "sender.owner") == 0)
        see_optional(seen, s->owner);
    else if (strcmp(field, "capability") == 0)
        see_optional(seen, s->capability);
    else if (strcmp(field, "version") == 0)
        see_optional(seen, s->version);
    else if (strcmp(field, "operation") == 0)
        see_optional(seen, s->operation);
    else if (strcmp(field, "effect") == 0)
        see_optional(seen, s->effect);
    else if (strcmp(field, "cost.usd_micro") == 0)
        see_number(seen, s->cost_usd_micro);
    else if (strcmp(field, "cost.tokens") == 0)
        see_number(seen, s->cost_tokens);
    else if (strcmp(field, "cost.calls") == 0)
        see_number(seen, s->cost_calls);
    else if (strcmp(field, "param.y.z") == 0)
        see_member(seen, s->params, "y", "z");
    else
        see_member(seen, s->params, field + strlen("param."), NULL);
}

struct answer {
    char effect[16], id[65], reason[129];
    unsigned votes;
};

static void copy_text(const struct ifab_json *rule, const char *name, char *ret, size_t size)
{
    struct ifab_view text;
    if (ifab_json_get(rule, name) == NULL)
        return;
    assert_true(ifab_json_string(ifab_json_get(rule, name), &text));
    snprintf(ret, size, IFAB_FMT, IFAB_ARG(text));
}

/* Every rule is asked, and of those that match the one with the smallest id answers. */
static void naive_capability(const struct ifab_json *root, const struct ifab_rule_subject *s, struct answer *ret)
{
    const struct naive n = {.s = s};
    const struct ifab_json *list = ifab_json_get(root, "capabilities");
    *ret = (struct answer){.effect = "none"};
    for (size_t i = 0; i < list->u.array.count; i++) {
        const struct ifab_json *rule = &list->u.array.items[i];
        struct answer one = {.reason = "operator rule"};
        copy_text(rule, "id", one.id, sizeof one.id);
        copy_text(rule, "effect", one.effect, sizeof one.effect);
        copy_text(rule, "reason", one.reason, sizeof one.reason);
        if (ifab_json_get(rule, "votes") != NULL)
            one.votes = (unsigned)ifab_json_get(rule, "votes")->u.number.value;
        enum three match = naive_ask(&n, ifab_json_get(rule, "when"));
        if (match == NO || (match == MAYBE && strcmp(one.effect, "share") == 0)) /* what allows something must be sure */
            continue;
        if (ret->id[0] == '\0' || strcmp(one.id, ret->id) < 0)
            *ret = one;
    }
}

static bool same_answer(const struct ifab_rule_answer *got, const struct answer *due)
{
    const char *effect = got->effect == IFAB_RULE_PASS ? "share" : ifab_rule_effect_name(got->effect);
    return strcmp(effect, due->effect) == 0 && strcmp(got->id, due->id) == 0 && strcmp(got->reason, due->reason) == 0 && got->votes == due->votes &&
           got->hazards == 0;
}

static void calls_are_answered_as_a_naive_reader_does(void **state) /* INV-06 */
{
    (void)state;
    const char *runs_text = getenv("IFAB_RUNS");
    unsigned long runs = runs_text != NULL ? strtoul(runs_text, NULL, 10) : 100000, answered[IFAB_RULE_DENY + 1] = {0};
    struct call c = {.text = IFAB_BUF_INIT(1 << 20)};
    ifab_arena_init(&c.arena, 16 << 20);
    for (unsigned long run = 0; run < runs; run++) {
        uint64_t at = seed;
        struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
        struct ifab_arena arena, arena2;
        const struct ifab_json *root, *root2;
        ifab_arena_init(&arena, 16 << 20);
        ifab_arena_init(&arena2, 16 << 20);
        put_set(&text);
        struct ifab_ruleset *set = compile(ifab_buf_as_view(&text), &arena, &root);
        struct ifab_ruleset *again = compile(ifab_ruleset_canonical(set), &arena2, &root2);
        if (!ifab_view_equal(ifab_ruleset_canonical(set), ifab_ruleset_canonical(again)))
            fail_msg("seed %llu: the canonical form is not its own", (unsigned long long)at);
        for (int i = 0; i < 10; i++) {
            struct ifab_rule_answer got, got2;
            struct answer due;
            draw_call(&c);
            ifab_ruleset_capability(set, &c.subject, &got);
            ifab_ruleset_capability(again, &c.subject, &got2);
            naive_capability(root, &c.subject, &due);
            if (!same_answer(&got, &due) || !same_answer(&got2, &due))
                fail_msg("seed %llu, call %d: got %s %s %u, canonical %s, naive %s %s %u\n" IFAB_FMT, (unsigned long long)at, i, got.id,
                         ifab_rule_effect_name(got.effect), got.votes, got2.id, due.id, due.effect, due.votes, IFAB_ARG(ifab_buf_as_view(&text)));
            answered[got.effect]++;
        }
        ifab_ruleset_free(set);
        ifab_ruleset_free(again);
        ifab_arena_fini(&arena);
        ifab_arena_fini(&arena2);
        ifab_buf_fini(&text);
    }
    print_message("# %lu rule sets, %lu calls: no rule %lu, share %lu, escalate %lu, deny %lu\n", runs, runs * 10, answered[IFAB_RULE_NONE],
                  answered[IFAB_RULE_PASS], answered[IFAB_RULE_ESCALATE], answered[IFAB_RULE_DENY]);
    for (enum ifab_rule_effect e = IFAB_RULE_NONE; e <= IFAB_RULE_DENY; e++) /* the generator reaches every answer there is */
        assert_true(e == IFAB_RULE_HOLD ? answered[e] == 0 : answered[e] > runs / 2);
    ifab_arena_fini(&c.arena);
    ifab_buf_fini(&c.text);
}

int main(void)
{
    const char *text = getenv("IFAB_SEED");
    if (text != NULL)
        seed = strtoull(text, NULL, 10);
    asked = &of_calls;
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_are_answered_as_a_naive_reader_does)};
    return cmocka_run_group_tests_name("call_rules_model", tests, NULL, NULL);
}
