#ifndef SUPPORT_RULE_MODEL_H
#define SUPPORT_RULE_MODEL_H
/*
 * For the models of the rule language: conditions drawn as text, and a naive reader of the same JSON that shares nothing with the guard (no index, no
 * normal form, loops alone). Whoever includes it names the fields in `asked` and says in see() what stands in one of them. Include it after cmocka.h.
 */
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

/* ---- conditions as text ---- */

static const char *const strings[] = {"\"a\"", "\"b\"", "\"prod\"", "\"\"", "\"abc\""};
static const char *const anything[] = {"\"a\"", "\"prod\"", "1", "2", "true", "false", "null", "\"1\""};
static const char *const numbers[] = {"0", "1", "2", "1.5", "1e3"};
static const char *const flags[] = {"true", "false"};
#define ONE(array) (array)[pick(IFAB_COUNT(array))]

/* Words of fields whose literals are checked: some of them, without and with quotes. */
#define QUOTED(word) "\"" word "\""
#define AS_IT_IS(word) word
#define ROLES(X) X("agent"), X("operator"), X("admin")
#define NAMES(X) X("a"), X("prod"), X("abc")
static const char *const roles[] = {ROLES(AS_IT_IS)}, *const role_literals[] = {ROLES(QUOTED)};
static const char *const people[] = {NAMES(AS_IT_IS)}, *const name_literals[] = {NAMES(QUOTED)};

enum kind { STRING, ANY, NUMBER, FLAG, KINDS };
struct field {
    const char *name, *const *literals;
    unsigned count;
};
struct fields { /* of which a test may ask, by kind */
    const struct field *of[KINDS];
    unsigned count[KINDS]; /* FLAG: may be 0 */
};
#define FIELD(name, literals) {name, literals, IFAB_COUNT(literals)}
static const struct fields *asked;

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
    enum kind kind = asked->count[FLAG] > 0 && pick(16) == 0 ? FLAG : (enum kind)pick(FLAG);
    const struct field *field = &asked->of[kind][pick(asked->count[kind])];
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

/* ---- what is asked ---- */

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

static const struct ifab_json *draw_object(struct ifab_arena *arena, struct ifab_buf *text, const char *const *names, unsigned count)
{
    const struct ifab_json *tree = NULL;
    struct ifab_view copy;
    if (pick(4) == 0)
        return NULL;
    ifab_buf_clear(text);
    ifab_buf_char(text, '{');
    for (unsigned i = 0, n = 0; i < count; i++)
        if (pick(3) > 0) {
            ifab_buf_format(text, "%s\"%s\":", n++ > 0 ? "," : "", names[i]);
            put_value(text, 0);
        }
    ifab_buf_char(text, '}');
    assert_int_equal(ifab_arena_copy(arena, ifab_buf_as_view(text), &copy), IFAB_OK);
    assert_int_equal(ifab_json_read(copy, NULL, arena, &tree, NULL), IFAB_OK);
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

static void see(const struct naive *n, const char *field, struct seen *seen); /* the includer's; seen is zeroed */

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
/* object.name, or object.name.within */
static void see_member(struct seen *seen, const struct ifab_json *object, const char *name, const char *within)
{
    const struct ifab_json *value = object == NULL ? NULL : ifab_json_get(object, name);
    if (value != NULL && within != NULL && value->type != IFAB_JSON_OBJECT)
        seen->present = seen->odd = true;
    else if (value != NULL)
        see_json(seen, within == NULL ? value : ifab_json_get(value, within));
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
    memset(&seen, 0, sizeof seen);
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
#endif
