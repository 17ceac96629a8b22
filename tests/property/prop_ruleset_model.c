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

#include "base/mem.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20261121;

static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
static unsigned pick(unsigned n) { return (unsigned)(draw() % n); }

/* ---- rule sets as text ---- */

static const char *const strings[] = {"\"a\"", "\"b\"", "\"prod\"", "\"\"", "\"abc\""};
static const char *const anything[] = {"\"a\"", "\"prod\"", "1", "2", "true", "false", "null", "\"1\""};
static const char *const numbers[] = {"0", "1", "2", "1.5", "1e3"};
static const char *const flags[] = {"true", "false"};
static const char *const hazard_names[] = {"legal", "safety", "privacy"};
#define ONE(array) (array)[pick(IFAB_COUNT(array))]

/* Words of fields whose literals are checked: some of them, without and with quotes. */
#define QUOTED(word) "\"" word "\""
#define PERFORMATIVES(X) X("inform"), X("request"), X("agree"), X("query-if")
#define ROLES(X) X("agent"), X("operator"), X("admin")
#define NAMES(X) X("a"), X("prod"), X("abc")
#define SIXTEEN "0123456789abcdef"
#define DIGESTS(X) X("sha256:" SIXTEEN SIXTEEN SIXTEEN SIXTEEN), X("sha256:" SIXTEEN SIXTEEN SIXTEEN "fedcba9876543210")
#define DOMAINS(X) X("a.example"), X("prod.example"), X("b.test")
#define BITS(X) X("legal"), X("safety"), X("conflict>20%"), X("unknown"), X("other")
#define AS_IT_IS(word) word
static const char *const performatives[] = {PERFORMATIVES(AS_IT_IS)}, *const performative_literals[] = {PERFORMATIVES(QUOTED)};
static const char *const roles[] = {ROLES(AS_IT_IS)}, *const role_literals[] = {ROLES(QUOTED)};
static const char *const people[] = {NAMES(AS_IT_IS)}, *const name_literals[] = {NAMES(QUOTED)};
static const char *const digests[] = {DIGESTS(AS_IT_IS)}, *const digest_literals[] = {DIGESTS(QUOTED)};
static const char *const domains[] = {DOMAINS(AS_IT_IS)}, *const domain_literals[] = {DOMAINS(QUOTED)};
static const char *const bits[] = {BITS(AS_IT_IS)}, *const bit_literals[] = {BITS(QUOTED)}; /* by their number, as guard.h has them */

struct field {
    const char *name, *const *literals;
    unsigned count;
};
#define FIELD(name, literals) {name, literals, IFAB_COUNT(literals)}
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

static void put_literals(struct ifab_buf *b, const char *const *from, unsigned count)
{
    unsigned n = 1 + pick(3);
    if (n == 1) {
        ifab_buf_str(b, from[pick(count)]);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        ifab_buf_format(b, "%s%s", i == 0 ? "[" : ",", from[pick(count)]);
    ifab_buf_char(b, ']');
}

static void put_field(struct ifab_buf *b)
{
    static const char *const comparisons[] = {"above", "at_least", "below", "at_most"}, *const parts[] = {"starts_with", "ends_with", "contains"};
    enum { STRING, ANY, NUMBER, FLAG };
    unsigned kind = pick(16) == 0 ? FLAG : pick(3);
    const struct field *field = kind == STRING ? &ONE(string_fields) : kind == ANY ? &ONE(any_fields) : kind == NUMBER ? &ONE(number_fields)
                                                                                                                       : &ONE(flag_fields);
    ifab_buf_format(b, "\"%s\":", field->name);
    switch (pick(6)) {
    case 0: ifab_buf_format(b, "{\"exists\":%s}", pick(2) ? "true" : "false"); return;
    case 1:
        ifab_buf_str(b, "{\"not\":");
        put_literals(b, field->literals, field->count);
        ifab_buf_char(b, '}');
        return;
    case 2:
        if (kind == FLAG)
            break;
        if (kind == STRING)
            ifab_buf_format(b, "{\"%s\":\"%c\"}", ONE(parts), "abpc"[pick(4)]);
        else
            ifab_buf_format(b, "{\"%s\":%s}", ONE(comparisons), ONE(numbers));
        return;
    case 3:
        if (kind == ANY) {
            ifab_buf_format(b, "{\"%s\":\"a\",\"exists\":true}", ONE(parts));
            return;
        }
        break;
    default: break;
    }
    put_literals(b, field->literals, field->count);
}

static void put_condition(struct ifab_buf *b, unsigned depth)
{
    unsigned kind = depth > 2 ? 9 : pick(10);
    if (kind < 2) {
        unsigned n = 1 + pick(3);
        ifab_buf_str(b, kind == 0 ? "{\"all\":[" : "{\"any\":[");
        for (unsigned i = 0; i < n; i++) {
            if (i > 0)
                ifab_buf_char(b, ',');
            put_condition(b, depth + 1);
        }
        ifab_buf_str(b, "]}");
    } else if (kind == 2) {
        ifab_buf_str(b, "{\"not\":");
        put_condition(b, depth + 1);
        ifab_buf_char(b, '}');
    } else if (kind == 3) {
        ifab_buf_str(b, "{}");
    } else {
        ifab_buf_char(b, '{');
        put_field(b);
        ifab_buf_char(b, '}');
    }
}

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
        ifab_buf_format(b, "%s{\"id\":\"r%02u\",\"effect\":\"%s\",\"when\":", i > 0 ? "," : "", 99 - i, ONE(effects));
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

static void put_value(struct ifab_buf *b, unsigned depth)
{
    static const char *const values[] = {"\"a\"", "\"prod\"", "1", "1.5", "2", "true", "null", "\"1\"", "\"\"", "1000"};
    unsigned kind = pick(8);
    if (kind == 0 && depth < 2) {
        ifab_buf_char(b, '[');
        for (unsigned i = 0, n = pick(4); i < n; i++) {
            if (i > 0)
                ifab_buf_char(b, ',');
            put_value(b, depth + 1);
        }
        ifab_buf_char(b, ']');
    } else if (kind == 1 && depth < 2) {
        ifab_buf_str(b, "{\"z\":");
        put_value(b, depth + 1);
        ifab_buf_char(b, '}');
    } else {
        ifab_buf_str(b, ONE(values));
    }
}

static const struct ifab_json *draw_object(struct message *m, const char *const *names, unsigned count)
{
    const struct ifab_json *tree = NULL;
    struct ifab_view copy;
    if (pick(4) == 0)
        return NULL;
    ifab_buf_clear(&m->text);
    ifab_buf_char(&m->text, '{');
    for (unsigned i = 0, n = 0; i < count; i++)
        if (pick(3) > 0) {
            ifab_buf_format(&m->text, "%s\"%s\":", n++ > 0 ? "," : "", names[i]);
            put_value(&m->text, 0);
        }
    ifab_buf_char(&m->text, '}');
    assert_int_equal(ifab_arena_copy(&m->arena, ifab_buf_as_view(&m->text), &copy), IFAB_OK);
    assert_int_equal(ifab_json_read(copy, NULL, &m->arena, &tree, NULL), IFAB_OK);
    return tree;
}

static struct ifab_view draw_view(void)
{
    static const char *const texts[] = {"a", "b", "prod", "abc", "zzz", ""};
    return ifab_view_str(ONE(texts));
}

static double draw_number(void)
{
    double zero = 0;
    if (pick(50) == 0)
        return zero / zero; /* not a number: must be read strictly */
    return pick(8) == 0 ? 1000 : (double)pick(5) / 2;
}

/* data NULL: absent */
#define DRAW(array) (pick(6) == 0 ? (struct ifab_view){NULL, 0} : ifab_view_str(ONE(array)))

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
    s->scope = draw_object(m, scope, 2);
    s->data = draw_object(m, data, 2);
}

/* ---- the naive reader ---- */

enum three { NO, YES, MAYBE };
struct seen { /* of one field */
    const struct ifab_json *values[64];
    struct ifab_json made[64];
    size_t count;
    bool present, odd;
};
struct naive {
    const struct ifab_rule_subject *s;
    const char *derived[16];
    size_t derived_count;
};

static void see_string(struct seen *seen, struct ifab_view text)
{
    seen->made[seen->count] = (struct ifab_json){.type = IFAB_JSON_STRING, .u.string = text};
    seen->values[seen->count] = &seen->made[seen->count];
    seen->count++;
    seen->present = true;
}
static void see_number(struct seen *seen, double number)
{
    seen->present = true;
    if (!(number >= -1e300 && number <= 1e300)) {
        seen->odd = true;
        return;
    }
    seen->made[seen->count] = (struct ifab_json){.type = IFAB_JSON_NUMBER};
    seen->made[seen->count].u.number.value = number;
    seen->values[seen->count] = &seen->made[seen->count];
    seen->count++;
}
static void see_json(struct seen *seen, const struct ifab_json *value)
{
    if (value == NULL)
        return;
    seen->present = true;
    if (value->type == IFAB_JSON_OBJECT)
        seen->odd = true;
    else if (value->type != IFAB_JSON_ARRAY)
        seen->values[seen->count++] = value;
    else
        for (size_t i = 0; i < value->u.array.count; i++) {
            if (value->u.array.items[i].type >= IFAB_JSON_ARRAY)
                seen->odd = true;
            else
                seen->values[seen->count++] = &value->u.array.items[i];
        }
}
static void see_optional(struct seen *seen, struct ifab_view text)
{
    if (text.data != NULL)
        see_string(seen, text);
}
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
    memset(seen, 0, sizeof *seen);
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
    else if (strcmp(field, "scope.x") == 0 && s->scope != NULL)
        see_json(seen, ifab_json_get(s->scope, "x"));
    else if (strcmp(field, "data.x") == 0 && s->data != NULL)
        see_json(seen, ifab_json_get(s->data, "x"));
    else if (strcmp(field, "data.list") == 0 && s->data != NULL)
        see_json(seen, ifab_json_get(s->data, "list"));
    else if (strcmp(field, "scope.y.z") == 0 && s->scope != NULL) {
        const struct ifab_json *y = ifab_json_get(s->scope, "y");
        if (y != NULL && y->type != IFAB_JSON_OBJECT)
            seen->present = seen->odd = true;
        else if (y != NULL)
            see_json(seen, ifab_json_get(y, "z"));
    }
}

static bool same(const struct ifab_json *a, const struct ifab_json *b)
{
    if (a->type != b->type)
        return false;
    return a->type == IFAB_JSON_STRING ? ifab_view_equal(a->u.string, b->u.string) : a->type != IFAB_JSON_NUMBER || a->u.number.value == b->u.number.value;
}
static bool part_of(const char *op, struct ifab_view text, struct ifab_view part)
{
    for (size_t i = 0; i + part.size <= text.size; i++)
        if (memcmp(text.data + i, part.data, part.size) == 0 &&
            (strcmp(op, "contains") == 0 || (strcmp(op, "starts_with") == 0 && i == 0) || (strcmp(op, "ends_with") == 0 && i + part.size == text.size)))
            return true;
    return false;
}
static enum three one_value(const char *op, const struct ifab_json *value, const struct ifab_json *literal)
{
    if (strcmp(op, "is") == 0 || strcmp(op, "not") == 0)
        return same(value, literal) ? YES : NO;
    if (strstr(op, "with") != NULL || strcmp(op, "contains") == 0)
        return value->type != IFAB_JSON_STRING ? MAYBE : part_of(op, value->u.string, literal->u.string) ? YES : NO;
    if (value->type != IFAB_JSON_NUMBER)
        return MAYBE;
    double v = value->u.number.value, l = literal->u.number.value;
    bool holds = strcmp(op, "above") == 0 ? v > l : strcmp(op, "at_least") == 0 ? v >= l : strcmp(op, "below") == 0 ? v < l : v <= l;
    return holds ? YES : NO;
}
static enum three naive_test(const struct naive *n, const char *field, const char *op, const struct ifab_json *operand)
{
    struct seen seen;
    enum three result = NO;
    see(n, field, &seen);
    if (strcmp(op, "exists") == 0)
        return seen.present == (operand->type == IFAB_JSON_TRUE) ? YES : NO;
    for (size_t i = 0; i < seen.count; i++)
        for (size_t k = 0; k < (operand->type == IFAB_JSON_ARRAY ? operand->u.array.count : 1); k++) {
            enum three one = one_value(op, seen.values[i], operand->type == IFAB_JSON_ARRAY ? &operand->u.array.items[k] : operand);
            result = one == YES || result == YES ? YES : one == MAYBE ? MAYBE : result;
        }
    if (result == NO && seen.odd)
        result = MAYBE;
    return strcmp(op, "not") != 0 || result == MAYBE ? result : result == YES ? NO : YES;
}
static enum three naive_ask(const struct naive *n, const struct ifab_json *c)
{
    bool maybe = false;
    for (size_t i = 0; i < c->u.object.count; i++) {
        const struct ifab_json_member *m = &c->u.object.members[i];
        char name[64];
        snprintf(name, sizeof name, IFAB_FMT, IFAB_ARG(m->name));
        enum three one = YES;
        if (strcmp(name, "not") == 0) {
            one = naive_ask(n, &m->value);
            one = one == MAYBE ? MAYBE : one == YES ? NO : YES;
        } else if (strcmp(name, "all") == 0 || strcmp(name, "any") == 0) {
            bool all = strcmp(name, "all") == 0, some_maybe = false, some_yes = false, some_no = false;
            for (size_t k = 0; k < m->value.u.array.count; k++) {
                enum three part = naive_ask(n, &m->value.u.array.items[k]);
                some_maybe |= part == MAYBE;
                some_yes |= part == YES;
                some_no |= part == NO;
            }
            one = all ? (some_no ? NO : some_maybe ? MAYBE : YES) : (some_yes ? YES : some_maybe ? MAYBE : NO);
        } else if (m->value.type == IFAB_JSON_OBJECT) {
            bool some_maybe = false, some_no = false;
            for (size_t k = 0; k < m->value.u.object.count; k++) {
                char op[32];
                snprintf(op, sizeof op, IFAB_FMT, IFAB_ARG(m->value.u.object.members[k].name));
                enum three part = naive_test(n, name, op, &m->value.u.object.members[k].value);
                some_maybe |= part == MAYBE;
                some_no |= part == NO;
            }
            one = some_no ? NO : some_maybe ? MAYBE : YES;
        } else {
            one = naive_test(n, name, "is", &m->value);
        }
        if (one == NO)
            return NO;
        maybe |= one == MAYBE;
    }
    return maybe ? MAYBE : YES;
}
static void naive_evaluate(const struct ifab_json *root, const struct ifab_rule_subject *s, char ret_id[65], const char **ret_effect, unsigned *ret_hazards)
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
    ret_id[0] = '\0';
    for (size_t i = rules->u.array.count; i-- > 0;) { /* put_set() gives falling ids */
        struct ifab_view id, effect;
        const struct ifab_json *rule = &rules->u.array.items[i];
        assert_true(ifab_json_string(ifab_json_get(rule, "id"), &id) && ifab_json_string(ifab_json_get(rule, "effect"), &effect));
        enum three match = naive_ask(&n, ifab_json_get(rule, "when"));
        if (match == NO || (match == MAYBE && ifab_view_is(effect, "pass")))
            continue;
        snprintf(ret_id, 65, IFAB_FMT, IFAB_ARG(id));
        for (enum ifab_rule_effect e = IFAB_RULE_PASS; e <= IFAB_RULE_DENY; e++)
            if (ifab_view_is(effect, ifab_rule_effect_name(e)))
                *ret_effect = ifab_rule_effect_name(e);
        return;
    }
}

static struct ifab_ruleset *compile(struct ifab_view text, struct ifab_arena *arena, const struct ifab_json **ret_root)
{
    struct ifab_ruleset *set = NULL;
    const struct ifab_json *where = NULL;
    struct ifab_error err = {0};
    assert_int_equal(ifab_json_read(text, NULL, arena, ret_root, &err), IFAB_OK);
    const struct ifab_rule_source source = {.root = *ret_root};
    ifab_status status = ifab_ruleset_compile(&source, &set, &where, &err);
    if (status != IFAB_OK)
        print_error("seed %llu: %s\n" IFAB_FMT "\n", (unsigned long long)seed, err.text, IFAB_ARG(text));
    assert_int_equal(status, IFAB_OK);
    return set;
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
            unsigned hazards;
            draw_message(&m);
            ifab_ruleset_evaluate(set, &m.subject, &got);
            ifab_ruleset_evaluate(again, &m.subject, &got2);
            naive_evaluate(root, &m.subject, id, &effect, &hazards);
            if (strcmp(got.id, id) != 0 || strcmp(ifab_rule_effect_name(got.effect), effect) != 0 || got.hazards != hazards ||
                strcmp(got2.id, id) != 0 || got2.hazards != hazards)
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_as_a_naive_reader_does)};
    return cmocka_run_group_tests_name("ruleset_model", tests, NULL, NULL);
}
