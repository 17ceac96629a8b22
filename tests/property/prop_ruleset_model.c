/*
 * Random rule sets over random messages against a naive reader of the same JSON: no index, no normal form, every rule in order of id. And: the canonical
 * form compiles to itself and answers the same. IFAB_SEED=N repeats a run; IFAB_RUNS=N rule sets
 * instead of 100,000, ten messages each.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rule_model.h"

/* ---- rule sets as text ---- */

static const char *const hazard_names[] = {"legal", "safety", "privacy"};

/* Words of fields whose literals are checked. */
#define PERFORMATIVES(X) X("inform"), X("request"), X("agree"), X("query-if")
#define SIXTEEN "0123456789abcdef"
#define DIGESTS(X) X("sha256:" SIXTEEN SIXTEEN SIXTEEN SIXTEEN), X("sha256:" SIXTEEN SIXTEEN SIXTEEN "fedcba9876543210")
#define DOMAINS(X) X("a.example"), X("prod.example"), X("b.test")
#define BITS(X) X("legal"), X("safety"), X("conflict>20%"), X("unknown"), X("other")
static const char *const performatives[] = {PERFORMATIVES(AS_IT_IS)}, *const performative_literals[] = {PERFORMATIVES(QUOTED)};
static const char *const digests[] = {DIGESTS(AS_IT_IS)}, *const digest_literals[] = {DIGESTS(QUOTED)};
static const char *const domains[] = {DOMAINS(AS_IT_IS)}, *const domain_literals[] = {DOMAINS(QUOTED)};
static const char *const bits[] = {BITS(AS_IT_IS)}, *const bit_literals[] = {BITS(QUOTED)}; /* by their number, as guard.h has them */

static const struct field string_fields[] = {
    FIELD("claim_id", strings), FIELD("sender.instance", strings), FIELD("receiver", strings), FIELD("hazards", strings), FIELD("claim", strings),
    FIELD("performative", performative_literals), FIELD("sender", name_literals), FIELD("sender.role", role_literals),
    FIELD("sender.owner", name_literals), FIELD("topic_hash", digest_literals), FIELD("evidence.type", strings), FIELD("evidence.url", strings),
    FIELD("evidence.domain", domain_literals), FIELD("parent.performative", performative_literals), FIELD("parent.hazards", bit_literals),
};
static const struct field any_fields[] = {FIELD("scope.x", anything), FIELD("scope.y.z", anything), FIELD("data.x", anything), FIELD("data.list", anything)};
static const struct field number_fields[] = {
    FIELD("confidence", numbers), FIELD("receiver.count", numbers), FIELD("evidence.count", numbers), FIELD("confidence.raw", numbers),
    FIELD("source_diversity.domain_unique", numbers), FIELD("ttl_s", numbers), FIELD("size", numbers),
};
static const struct field flag_fields[] = {FIELD("is_claim", flags)};
static const struct fields of_messages = {
    .of = {string_fields, any_fields, number_fields, flag_fields},
    .count = {IFAB_COUNT(string_fields), IFAB_COUNT(any_fields), IFAB_COUNT(number_fields), IFAB_COUNT(flag_fields)},
};

static void put_set(struct ifab_buf *b)
{
    static const char *const effects[] = {"pass", "hold", "escalate", "deny"};
    unsigned hazards = pick(3), rules = pick(12);
    ifab_buf_str(b, "{\"v\":1,\"hazards\":[");
    for (unsigned i = 0; i < hazards; i++) {
        ifab_buf_format(b, "%s{\"id\":\"h%u\",\"hazard\":\"%s\",\"when\":", i > 0 ? "," : "", i, ONE(hazard_names));
        put_condition(b, 0);
        ifab_buf_char(b, '}');
    }
    ifab_buf_str(b, "],\"rules\":[");
    for (unsigned i = 0; i < rules; i++) { /* ids fall, so that their order is not that of the text */
        const char *effect = ONE(effects);
        ifab_buf_format(b, "%s{\"id\":\"r%02u\",\"effect\":\"%s\"", i > 0 ? "," : "", 99 - i, effect);
        if (strcmp(effect, "escalate") == 0 && pick(2))
            ifab_buf_format(b, ",\"votes\":%u", 1 + pick(IFAB_RULE_VOTES_MAX));
        ifab_buf_str(b, ",\"when\":");
        put_condition(b, 0);
        ifab_buf_char(b, '}');
    }
    ifab_buf_str(b, "]}");
}

/* ---- messages ---- */

struct message {
    struct ifab_rule_subject subject;
    struct ifab_view receivers[4], hazards[4];
    struct ifab_rule_evidence evidence[4];
    struct ifab_arena arena;
    struct ifab_buf text;
};

/* What stands in the envelope's head, of its sender and its conversation. */
static void draw_head(struct ifab_rule_subject *s)
{
    s->performative = DRAW(performatives);
    s->sender = DRAW(people);
    s->role = DRAW(roles);
    s->owner = DRAW(people);
    s->topic_hash = DRAW(digests);
    s->ttl_s = draw_number();
    s->size = draw_number();
    s->is_claim = pick(2) == 0;
    if (pick(2))
        s->parent_performative = ifab_view_str(ONE(performatives));
    s->parent_hazards = pick(3) == 0 ? pick(1U << IFAB_COUNT(bits)) : 0;
}

static void draw_evidence(struct message *m)
{
    struct ifab_rule_subject *s = &m->subject;
    s->evidence_count = pick(4);
    for (size_t i = 0; i < s->evidence_count; i++) {
        m->evidence[i] = (struct ifab_rule_evidence){.type = draw_view(), .url = draw_view()};
        if (pick(3) > 0)
            m->evidence[i].domain = ifab_view_str(ONE(domains));
    }
    s->evidence = m->evidence;
    s->has_domain_unique = pick(3) > 0;
    s->domain_unique = draw_number();
}

static void draw_message(struct message *m)
{
    static const char *const scope[] = {"x", "y"}, *const data[] = {"x", "list"};
    struct ifab_rule_subject *s = &m->subject;
    ifab_arena_reset(&m->arena);
    memset(s, 0, sizeof *s);
    s->claim_id = draw_view();
    s->instance = draw_view();
    if (pick(2))
        s->claim = draw_view();
    s->receiver_count = pick(4);
    for (size_t i = 0; i < s->receiver_count; i++)
        m->receivers[i] = draw_view();
    s->receivers = m->receivers;
    s->hazard_count = pick(3);
    for (size_t i = 0; i < s->hazard_count; i++)
        m->hazards[i] = pick(2) ? draw_view() : ifab_view_str(ONE(hazard_names));
    s->hazards = m->hazards;
    s->has_confidence = pick(3) > 0;
    s->confidence = draw_number();
    s->has_confidence_raw = pick(3) > 0;
    s->confidence_raw = draw_number();
    draw_head(s);
    draw_evidence(m);
    s->scope = draw_object(&m->arena, &m->text, scope, 2);
    s->data = draw_object(&m->arena, &m->text, data, 2);
}

/* ---- the naive reader ---- */

/* What has one text or one number at most. false: another field. */
static bool see_one(const struct ifab_rule_subject *s, const char *field, struct seen *seen)
{
    const struct {
        const char *field;
        struct ifab_view text;
    } texts[] = {{"performative", s->performative}, {"sender", s->sender}, {"sender.role", s->role}, {"sender.owner", s->owner},
                 {"topic_hash", s->topic_hash}, {"parent.performative", s->parent_performative}};
    const struct {
        const char *field;
        bool there;
        double number;
    } all_numbers[] = {{"confidence.raw", s->has_confidence_raw, s->confidence_raw},
                       {"source_diversity.domain_unique", s->has_domain_unique, s->domain_unique},
                       {"ttl_s", true, s->ttl_s},
                       {"size", true, s->size}};
    for (size_t i = 0; i < IFAB_COUNT(texts); i++)
        if (strcmp(field, texts[i].field) == 0) {
            see_optional(seen, texts[i].text);
            return true;
        }
    for (size_t i = 0; i < IFAB_COUNT(all_numbers); i++)
        if (strcmp(field, all_numbers[i].field) == 0) {
            if (all_numbers[i].there)
                see_number(seen, all_numbers[i].number);
            return true;
        }
    return false;
}
static void see_evidence(const struct ifab_rule_subject *s, const char *what, struct seen *seen)
{
    for (size_t i = 0; i < s->evidence_count; i++) {
        const struct ifab_rule_evidence *e = &s->evidence[i];
        struct ifab_view text = strcmp(what, "type") == 0 ? e->type : strcmp(what, "url") == 0 ? e->url : e->domain;
        if (text.size > 0)
            see_string(seen, text);
    }
}
static void see(const struct naive *n, const char *field, struct seen *seen)
{
    const struct ifab_rule_subject *s = n->s;
    if (see_one(s, field, seen))
        return;
    if (strcmp(field, "claim_id") == 0)
        see_string(seen, s->claim_id);
    else if (strcmp(field, "is_claim") == 0) {
        seen->made[0] = (struct ifab_json){.type = s->is_claim ? IFAB_JSON_TRUE : IFAB_JSON_FALSE};
        seen->values[seen->count++] = &seen->made[0];
        seen->present = true;
    } else if (strcmp(field, "parent.hazards") == 0) {
        for (size_t i = 0; i < IFAB_COUNT(bits); i++)
            if ((s->parent_hazards >> i & 1) != 0)
                see_string(seen, ifab_view_str(bits[i]));
    } else if (strcmp(field, "sender.instance") == 0)
        see_string(seen, s->instance);
    else if (strcmp(field, "claim") == 0 && s->claim.data != NULL)
        see_string(seen, s->claim);
    else if (strcmp(field, "receiver") == 0)
        for (size_t i = 0; i < s->receiver_count; i++)
            see_string(seen, s->receivers[i]);
    else if (strcmp(field, "hazards") == 0) {
        for (size_t i = 0; i < s->hazard_count; i++)
            see_string(seen, s->hazards[i]);
        for (size_t i = 0; i < n->derived_count; i++)
            see_string(seen, ifab_view_str(n->derived[i]));
    } else if (strcmp(field, "confidence") == 0 && s->has_confidence)
        see_number(seen, s->confidence);
    else if (strcmp(field, "receiver.count") == 0)
        see_number(seen, (double)s->receiver_count);
    else if (strcmp(field, "evidence.count") == 0)
        see_number(seen, (double)s->evidence_count);
    else if (strncmp(field, "evidence.", 9) == 0)
        see_evidence(s, field + 9, seen);
    else if (strcmp(field, "scope.x") == 0)
        see_member(seen, s->scope, "x", NULL);
    else if (strcmp(field, "scope.y.z") == 0)
        see_member(seen, s->scope, "y", "z");
    else if (strncmp(field, "data.", 5) == 0)
        see_member(seen, s->data, field + 5, NULL);
}

static void naive_evaluate(const struct ifab_json *root, const struct ifab_rule_subject *s, char ret_id[65], const char **ret_effect, unsigned *ret_votes,
                           unsigned *ret_hazards)
{
    struct naive n = {.s = s};
    static char names[16][32];
    const struct ifab_json *hazards = ifab_json_get(root, "hazards"), *rules = ifab_json_get(root, "rules");
    *ret_hazards = 0;
    for (size_t i = 0; i < hazards->u.array.count; i++) {
        struct ifab_view name;
        assert_true(ifab_json_string(ifab_json_get(&hazards->u.array.items[i], "hazard"), &name));
        if (naive_ask(&n, ifab_json_get(&hazards->u.array.items[i], "when")) == NO)
            continue;
        *ret_hazards |= ifab_hazard_parse(name);
        snprintf(names[n.derived_count], sizeof names[0], IFAB_FMT, IFAB_ARG(name));
        n.derived[n.derived_count] = names[n.derived_count];
        n.derived_count++;
    }
    *ret_effect = "none";
    *ret_votes = 0;
    ret_id[0] = '\0';
    for (size_t i = rules->u.array.count; i-- > 0;) { /* put_set() gives falling ids */
        struct ifab_view id, effect;
        const struct ifab_json *rule = &rules->u.array.items[i];
        assert_true(ifab_json_string(ifab_json_get(rule, "id"), &id) && ifab_json_string(ifab_json_get(rule, "effect"), &effect));
        enum three match = naive_ask(&n, ifab_json_get(rule, "when"));
        if (match == NO || (match == MAYBE && ifab_view_is(effect, "pass")))
            continue;
        snprintf(ret_id, 65, IFAB_FMT, IFAB_ARG(id));
        if (ifab_json_get(rule, "votes") != NULL)
            *ret_votes = (unsigned)ifab_json_get(rule, "votes")->u.number.value;
        for (enum ifab_rule_effect e = IFAB_RULE_PASS; e <= IFAB_RULE_DENY; e++)
            if (ifab_view_is(effect, ifab_rule_effect_name(e)))
                *ret_effect = ifab_rule_effect_name(e);
        return;
    }
}

static void answers_as_a_naive_reader_does(void **state) /* INV-06 */
{
    (void)state;
    const char *runs_text = getenv("IFAB_RUNS");
    unsigned long runs = runs_text != NULL ? strtoul(runs_text, NULL, 10) : 100000, matched = 0;
    struct message m = {.text = IFAB_BUF_INIT(1 << 20)};
    ifab_arena_init(&m.arena, 16 << 20);
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
            char id[65];
            const char *effect;
            unsigned votes, hazards;
            draw_message(&m);
            ifab_ruleset_evaluate(set, &m.subject, &got);
            ifab_ruleset_evaluate(again, &m.subject, &got2);
            naive_evaluate(root, &m.subject, id, &effect, &votes, &hazards);
            if (strcmp(got.id, id) != 0 || strcmp(ifab_rule_effect_name(got.effect), effect) != 0 || got.hazards != hazards ||
                got.votes != votes || strcmp(got2.id, id) != 0 || got2.hazards != hazards || got2.votes != votes)
                fail_msg("seed %llu, message %d: got %s %s %u, canonical %s, naive %s %s %u\n" IFAB_FMT, (unsigned long long)at, i, got.id,
                         ifab_rule_effect_name(got.effect), got.hazards, got2.id, id, effect, hazards, IFAB_ARG(ifab_buf_as_view(&text)));
            matched += got.effect != IFAB_RULE_NONE;
        }
        ifab_ruleset_free(set);
        ifab_ruleset_free(again);
        ifab_arena_fini(&arena);
        ifab_arena_fini(&arena2);
        ifab_buf_fini(&text);
    }
    print_message("# %lu rule sets, %lu messages, %lu matched\n", runs, runs * 10, matched);
    assert_true(matched > runs && matched < runs * 10); /* both kinds were seen */
    ifab_arena_fini(&m.arena);
    ifab_buf_fini(&m.text);
}

int main(void)
{
    const char *text = getenv("IFAB_SEED");
    if (text != NULL)
        seed = strtoull(text, NULL, 10);
    asked = &of_messages;
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_as_a_naive_reader_does)};
    return cmocka_run_group_tests_name("ruleset_model", tests, NULL, NULL);
}
