/*
 * From a tree of JSON (or of YAML, whose plain scalars the schema types here) to a set. All or nothing: the first thing that is wrong ends it, with the
 * node where it stands. Nothing of the source is borrowed afterwards.
 */
#include "rule_internal.h"

#include "base/id.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>

#define SET_MAX ((size_t)256 << 20)
#define CANONICAL_MAX ((size_t)8 << 20)

struct compiler {
    const struct ifab_rule_source *source;
    struct ifab_ruleset *set;
    const struct ifab_json *where;
    struct ifab_error *err;
    size_t tests;   /* of the rule being read */
    unsigned about; /* and what it is about */
    struct ifab_view path; /* of the last test: neighbours that ask for the same share it, and are told by it */
};

static ifab_status wrong(struct compiler *c, const struct ifab_json *where, ifab_status status, const char *text)
{
    if (c->where == NULL)
        c->where = where;
    return ifab_fail(c->err, status, "%s", text);
}

static ifab_status no_memory(struct compiler *c) { return wrong(c, c->source->root, IFAB_NOMEM, "out of memory for the rules"); }

#define OPERATORS "is, not, above, at_least, below, at_most, starts_with, ends_with, contains or exists"

static ifab_status wrong_word(struct compiler *c, const struct ifab_json *where, const char *before, struct ifab_view name, const char *after,
                              const char *meant)
{
    char text[256];
    struct ifab_buf b = IFAB_BUF_INIT(sizeof text);
    ifab_buf_format(&b, "%s\"" IFAB_FMT "\"%s", before, (int)(name.size > 64 ? 64 : name.size), (const char *)name.data, after);
    if (meant != NULL)
        ifab_buf_format(&b, "; did you mean \"%s\"?", meant);
    else if (strcmp(before, "unknown field ") == 0 && name.size <= 32 && memchr(name.data, '.', name.size) == NULL)
        ifab_buf_format(&b, c->about == ABOUT_CAPABILITIES ? "; a parameter is param." IFAB_FMT : "; what a message carries itself is scope." IFAB_FMT " or data." IFAB_FMT,
                        IFAB_ARG(name), IFAB_ARG(name));
    size_t size = b.size < sizeof text - 1 ? b.size : sizeof text - 1;
    if (size > 0)
        memcpy(text, b.data, size);
    text[size] = '\0';
    ifab_buf_fini(&b);
    return wrong(c, where, IFAB_INVALID, text);
}

/* Where no name is near: all that there are. */
static ifab_status wrong_name(struct compiler *c, const struct ifab_json *where, const char *before, struct ifab_view name, const char *meant,
                              const char *const *names, size_t count)
{
    char known[160];
    size_t size = 0;
    for (size_t i = 0; meant == NULL && i < count && size < sizeof known; i++)
        size += (size_t)snprintf(known + size, sizeof known - size, "%s%s", i == 0 ? "; expected is one of " : ", ", names[i]);
    return wrong_word(c, where, before, name, size > 0 ? known : "", meant);
}

static bool is_plain(const struct compiler *c, const struct ifab_json *node)
{
    return node->type == IFAB_JSON_STRING && c->source->plain != NULL && c->source->plain(node, c->source->user);
}

/* ---- scalars ---- */

static ifab_status copy_string(struct compiler *c, struct ifab_view from, struct ifab_view *ret)
{
    return ifab_arena_copy(&c->set->arena, from, ret) == IFAB_OK ? IFAB_OK : no_memory(c);
}

/* NUL-terminated, printable, within its limit: it is shown and logged. */
static ifab_status take_text(struct compiler *c, const struct ifab_json *node, const char *what, size_t max, const char **ret)
{
    struct ifab_view text;
    char message[128];
    struct ifab_buf b = IFAB_BUF_INIT(sizeof message);
    bool good = ifab_json_string(node, &text) && text.size > 0 && text.size <= max;
    for (size_t i = 0; good && i < text.size; i++)
        good = text.data[i] >= 0x20 && text.data[i] != 0x7F;
    if (!good) {
        ifab_buf_format(&b, "%s is text of 1 to %zu bytes without control characters", what, max);
        memcpy(message, b.data != NULL ? (const char *)b.data : "", b.size);
        message[b.size] = '\0';
        ifab_buf_fini(&b);
        return wrong(c, node, IFAB_INVALID, message);
    }
    char *copy = ifab_arena_calloc(&c->set->arena, text.size + 1, 1);
    if (copy == NULL)
        return no_memory(c);
    memcpy(copy, text.data, text.size);
    *ret = copy;
    return IFAB_OK;
}

/* What a plain scalar says when nothing else types it: true, false, null, a JSON number, else a string. */
static ifab_status type_plain(struct compiler *c, struct ifab_view text, struct rule_value *ret)
{
    struct ifab_arena arena;
    const struct ifab_json *typed;
    ifab_arena_init(&arena, 65536);
    bool scalar = ifab_json_read(text, NULL, &arena, &typed, NULL) == IFAB_OK;
    ifab_status status = IFAB_OK;
    if (scalar && typed->type == IFAB_JSON_NUMBER)
        *ret = (struct rule_value){.type = VALUE_NUMBER, .number = typed->u.number.value};
    else if (scalar && (typed->type == IFAB_JSON_TRUE || typed->type == IFAB_JSON_FALSE || typed->type == IFAB_JSON_NULL))
        *ret = (struct rule_value){.type = typed->type == IFAB_JSON_TRUE ? VALUE_TRUE : typed->type == IFAB_JSON_FALSE ? VALUE_FALSE : VALUE_NULL};
    else {
        ret->type = VALUE_STRING;
        status = copy_string(c, text, &ret->string);
    }
    ifab_arena_fini(&arena);
    return status;
}

static ifab_status read_value(struct compiler *c, const struct ifab_json *node, struct rule_value *ret)
{
    *ret = (struct rule_value){.type = VALUE_NULL};
    switch (node->type) {
    case IFAB_JSON_NULL: return IFAB_OK;
    case IFAB_JSON_TRUE: ret->type = VALUE_TRUE; return IFAB_OK;
    case IFAB_JSON_FALSE: ret->type = VALUE_FALSE; return IFAB_OK;
    case IFAB_JSON_NUMBER:
        ret->type = VALUE_NUMBER;
        ret->number = node->u.number.value;
        return IFAB_OK;
    case IFAB_JSON_STRING:
        if (is_plain(c, node))
            return type_plain(c, node->u.string, ret);
        ret->type = VALUE_STRING;
        return copy_string(c, node->u.string, &ret->string);
    case IFAB_JSON_ARRAY:
    case IFAB_JSON_OBJECT: break;
    }
    return wrong(c, node, IFAB_INVALID, "expected a text, a number, true or false");
}

/* A literal of the type that the field has; a plain 10 under a text field is the text "10". */
static ifab_status take_literal(struct compiler *c, const struct ifab_json *node, enum field_type type, struct rule_value *ret)
{
    IFAB_TRY(read_value(c, node, ret));
    if (type == FIELD_STRING && node->type == IFAB_JSON_STRING && ret->type != VALUE_STRING) {
        ret->type = VALUE_STRING;
        IFAB_TRY(copy_string(c, node->u.string, &ret->string));
    }
    if (type == FIELD_STRING && ret->type != VALUE_STRING)
        return wrong(c, node, IFAB_INVALID, "this field is a text: expected a text");
    if (type == FIELD_NUMBER && ret->type != VALUE_NUMBER)
        return wrong(c, node, IFAB_INVALID, "this field is a number: expected a number");
    if (type == FIELD_FLAG && ret->type != VALUE_TRUE && ret->type != VALUE_FALSE)
        return wrong(c, node, IFAB_INVALID, "this field is true or false");
    if (ret->type == VALUE_STRING && ret->string.size > IFAB_RULE_LITERAL_MAX)
        return wrong(c, node, IFAB_TOO_LARGE, "a literal has at most 256 bytes");
    return IFAB_OK;
}

/* What the field never is would never match: a slip there must not switch a rule off unnoticed. */
static ifab_status check_words(struct compiler *c, const struct ifab_json *node, const struct rule_test *test)
{
    for (size_t i = 0; i < test->literal_count; i++) {
        const char *meant, *what; /* " is no …" */
        if (test->literals[i].type == VALUE_STRING && (what = ifab_rule__unfit(test->field, test->literals[i].string, &meant)) != NULL)
            return wrong_word(c, node->type == IFAB_JSON_ARRAY ? &node->u.array.items[i] : node, "", test->literals[i].string, what, meant);
    }
    return IFAB_OK;
}

static ifab_status take_literals(struct compiler *c, const struct ifab_json *node, enum field_type type, struct rule_test *test)
{
    bool list = node->type == IFAB_JSON_ARRAY;
    size_t count = list ? node->u.array.count : 1;
    if (count == 0)
        return wrong(c, node, IFAB_INVALID, "an empty list matches nothing: leave the test out or name a value");
    if (count > IFAB_RULE_LITERALS_MAX)
        return wrong(c, node, IFAB_TOO_LARGE, "a test names at most 256 values");
    test->literals = ifab_arena_calloc(&c->set->arena, count, sizeof *test->literals);
    if (test->literals == NULL)
        return no_memory(c);
    for (size_t i = 0; i < count; i++)
        IFAB_TRY(take_literal(c, list ? &node->u.array.items[i] : node, type, &test->literals[i]));
    test->literal_count = count;
    return IFAB_OK;
}

/* ---- conditions ---- */

static ifab_status take_operand(struct compiler *c, const struct ifab_json *node, const struct rule_operator_row *row, struct rule_test *test)
{
    enum field_type type = test->field->type;
    struct rule_value flag;
    switch (row->operand) {
    case OPERAND_LITERALS: IFAB_TRY(take_literals(c, node, type, test)); return check_words(c, node, test);
    case OPERAND_NUMBER:
        if (type != FIELD_NUMBER && type != FIELD_ANY)
            return wrong(c, node, IFAB_INVALID, "this field is no number: above, at_least, below and at_most do not apply");
        return node->type == IFAB_JSON_ARRAY ? wrong(c, node, IFAB_INVALID, "expected one number") : take_literals(c, node, FIELD_NUMBER, test);
    case OPERAND_STRINGS:
        if (type != FIELD_STRING && type != FIELD_ANY)
            return wrong(c, node, IFAB_INVALID, "this field is no text: starts_with, ends_with and contains do not apply");
        IFAB_TRY(take_literals(c, node, FIELD_STRING, test));
        for (size_t i = 0; i < test->literal_count; i++)
            if (test->literals[i].string.size == 0)
                return wrong(c, node, IFAB_INVALID, "every text contains the empty one");
        return IFAB_OK;
    case OPERAND_FLAG:
        IFAB_TRY(take_literal(c, node, FIELD_FLAG, &flag));
        test->wanted = flag.type == VALUE_TRUE;
        return IFAB_OK;
    }
    return wrong(c, node, IFAB_INVALID, "no such operator");
}

static struct rule_condition *new_condition(struct compiler *c, enum condition_kind kind, size_t parts)
{
    struct rule_condition *condition = ifab_arena_calloc(&c->set->arena, 1, sizeof *condition);
    if (condition == NULL)
        return NULL;
    condition->kind = kind;
    condition->parts = ifab_arena_calloc(&c->set->arena, parts + 1, sizeof(struct rule_condition *));
    return condition->parts == NULL ? NULL : condition;
}

static ifab_status take_test(struct compiler *c, const struct rule_field *field, struct ifab_view path, const struct ifab_json *node,
                             const struct rule_operator_row *row, struct rule_condition **ret)
{
    if (++c->tests > IFAB_RULE_TESTS_MAX)
        return wrong(c, node, IFAB_TOO_LARGE, "a rule has at most 64 tests");
    struct rule_condition *condition = new_condition(c, CONDITION_TEST, 0);
    if (condition == NULL)
        return no_memory(c);
    condition->test.field = field;
    condition->test.op = row == NULL ? OPERATOR_IS : row->op;
    if (c->path.data == NULL || !ifab_view_equal(c->path, path))
        IFAB_TRY(copy_string(c, path, &c->path));
    condition->test.path = c->path;
    IFAB_TRY(take_operand(c, node, row != NULL ? row : ifab_rule__operator(IFAB_VIEW("is")), &condition->test));
    *ret = condition;
    return IFAB_OK;
}

/*
 * Normal form, so that the canonical form compiles to itself: all holds no all, any holds no any, and neither has one part only. Depth is that of the
 * normal form; the recursion itself is bounded by the reader's depth.
 */
static ifab_status finish(struct compiler *c, const struct ifab_json *node, struct rule_condition *condition, struct rule_condition **ret)
{
    size_t count = 0;
    unsigned depth = 0;
    for (size_t i = 0; i < condition->part_count; i++)
        count += condition->parts[i]->kind == condition->kind ? condition->parts[i]->part_count : 1;
    struct rule_condition *flat = new_condition(c, condition->kind, count);
    if (flat == NULL)
        return no_memory(c);
    for (size_t i = 0; i < condition->part_count; i++) {
        struct rule_condition *part = condition->parts[i];
        bool same = part->kind == condition->kind && condition->kind != CONDITION_NOT;
        for (size_t k = 0; k < (same ? part->part_count : 1); k++)
            flat->parts[flat->part_count++] = same ? part->parts[k] : part;
    }
    if (flat->part_count == 1 && flat->kind != CONDITION_NOT) {
        *ret = flat->parts[0];
        return IFAB_OK;
    }
    for (size_t i = 0; i < flat->part_count; i++)
        depth = flat->parts[i]->depth > depth ? flat->parts[i]->depth : depth;
    flat->depth = depth + 1;
    if (flat->depth > IFAB_RULE_DEPTH_MAX)
        return wrong(c, node, IFAB_TOO_LARGE, "conditions are at most 8 deep");
    *ret = flat;
    return IFAB_OK;
}

/* field: literal, list, or an object of operators that must all hold. */
static ifab_status take_field(struct compiler *c, const struct ifab_json_member *m, struct rule_condition **ret)
{
    struct ifab_view path;
    const struct rule_field *field = ifab_rule__field(m->name, &path);
    if (field == NULL)
        return wrong_word(c, &m->value, "unknown field ", m->name, "", ifab_rule__nearest_field(m->name, c->about));
    if ((field->about & c->about) == 0)
        return wrong_word(c, &m->value, "", m->name, c->about == ABOUT_MESSAGES ? " is asked under `capabilities`, not of messages" : " is asked of messages, not of capabilities",
                          NULL);
    if (path.size > IFAB_RULE_LITERAL_MAX || (path.size > 0 && (path.data[0] == '.' || path.data[path.size - 1] == '.')))
        return wrong(c, &m->value, IFAB_INVALID, "a path is names joined by single dots, at most 256 bytes");
    for (size_t i = 1; i < path.size; i++)
        if (path.data[i] == '.' && path.data[i - 1] == '.')
            return wrong(c, &m->value, IFAB_INVALID, "a path is names joined by single dots, at most 256 bytes");
    if (m->value.type != IFAB_JSON_OBJECT)
        return take_test(c, field, path, &m->value, NULL, ret);
    size_t count = m->value.u.object.count;
    if (count == 0)
        return wrong(c, &m->value, IFAB_INVALID, "no operator: expected " OPERATORS);
    struct rule_condition *all = new_condition(c, CONDITION_ALL, count);
    if (all == NULL)
        return no_memory(c);
    for (size_t i = 0; i < count; i++) {
        const struct ifab_json_member *one = &m->value.u.object.members[i];
        const struct rule_operator_row *row = ifab_rule__operator(one->name);
        const char *meant = row == NULL ? ifab_rule__nearest_operator(one->name) : NULL;
        if (row == NULL)
            return wrong_word(c, &one->value, "unknown operator ", one->name, meant == NULL ? "; expected is one of " OPERATORS : "", meant);
        IFAB_TRY(take_test(c, field, path, &one->value, row, &all->parts[all->part_count]));
        all->part_count++;
    }
    return finish(c, &m->value, all, ret);
}

static ifab_status take_condition(struct compiler *c, const struct ifab_json *node, struct rule_condition **ret);

static ifab_status take_parts(struct compiler *c, const struct ifab_json *node, enum condition_kind kind, struct rule_condition **ret)
{
    if (node->type != IFAB_JSON_ARRAY || node->u.array.count == 0)
        return wrong(c, node, IFAB_INVALID, "expected a list of conditions");
    struct rule_condition *condition = new_condition(c, kind, node->u.array.count);
    if (condition == NULL)
        return no_memory(c);
    for (size_t i = 0; i < node->u.array.count; i++) {
        IFAB_TRY(take_condition(c, &node->u.array.items[i], &condition->parts[i]));
        condition->part_count++;
    }
    return finish(c, node, condition, ret);
}

static ifab_status take_member(struct compiler *c, const struct ifab_json_member *m, struct rule_condition **ret)
{
    if (ifab_view_is(m->name, "all") || ifab_view_is(m->name, "any"))
        return take_parts(c, &m->value, ifab_view_is(m->name, "all") ? CONDITION_ALL : CONDITION_ANY, ret);
    if (!ifab_view_is(m->name, "not"))
        return take_field(c, m, ret);
    struct rule_condition *negation = new_condition(c, CONDITION_NOT, 1);
    if (negation == NULL)
        return no_memory(c);
    IFAB_TRY(take_condition(c, &m->value, &negation->parts[0]));
    negation->part_count = 1;
    return finish(c, &m->value, negation, ret);
}

/* An object: all of its members hold. An empty one holds always. */
static ifab_status take_condition(struct compiler *c, const struct ifab_json *node, struct rule_condition **ret)
{
    if (node->type != IFAB_JSON_OBJECT)
        return wrong(c, node, IFAB_INVALID, "expected conditions: field: value, or all, any, not");
    struct rule_condition *all = new_condition(c, CONDITION_ALL, node->u.object.count);
    if (all == NULL)
        return no_memory(c);
    for (size_t i = 0; i < node->u.object.count; i++) {
        IFAB_TRY(take_member(c, &node->u.object.members[i], &all->parts[i]));
        all->part_count++;
    }
    return finish(c, node, all, ret);
}

/* ---- rules ---- */

static ifab_status take_id(struct compiler *c, const struct ifab_json *rule, const char **ret)
{
    const struct ifab_json *id = ifab_json_get(rule, "id");
    struct ifab_view text;
    if (id == NULL)
        return wrong(c, rule, IFAB_INVALID, "a rule needs an id");
    if (!ifab_json_string(id, &text) || !ifab_name_valid(text) || ifab_view_starts(text, IFAB_VIEW("builtin.")))
        return wrong(c, id, IFAB_INVALID, "an id is a name: letters, digits, '.', '_', '-', at most 64, and does not begin with builtin.");
    return take_text(c, id, "an id", IFAB_RULE_ID_MAX, ret);
}

static ifab_status check_members(struct compiler *c, const struct ifab_json *node, const char *what, const char *const *names, size_t count)
{
    if (node->type != IFAB_JSON_OBJECT)
        return wrong(c, node, IFAB_INVALID, "expected names and values");
    for (size_t i = 0; i < node->u.object.count; i++) {
        const struct ifab_json_member *m = &node->u.object.members[i];
        const char *meant = NULL;
        size_t least = 3, n = 0;
        for (; n < count && !ifab_view_is(m->name, names[n]); n++) {
            size_t far = ifab_edit_distance(m->name, ifab_view_str(names[n]));
            meant = far < least ? names[n] : meant;
            least = far < least ? far : least;
        }
        if (n == count)
            return wrong_name(c, &m->value, what, m->name, meant, names, count);
    }
    return IFAB_OK;
}

static ifab_status take_when(struct compiler *c, const struct ifab_json *node, struct rule *rule)
{
    const struct ifab_json *when = ifab_json_get(node, "when"), *reason = ifab_json_get(node, "reason");
    c->tests = 0;
    rule->reason = "operator rule";
    if (when == NULL)
        return wrong(c, node, IFAB_INVALID, "a rule needs `when`; `when: {}` holds always");
    if (reason != NULL)
        IFAB_TRY(take_text(c, reason, "a reason", IFAB_RULE_REASON_MAX, &rule->reason));
    return take_condition(c, when, &rule->when);
}

static ifab_status take_effect(struct compiler *c, const struct ifab_json *node, struct rule *rule)
{
    const struct ifab_json *effect = ifab_json_get(node, "effect"), *votes = ifab_json_get(node, "votes");
    struct ifab_view text = {NULL, 0};
    struct rule_value number;
    bool capability = c->about == ABOUT_CAPABILITIES;
    if (effect == NULL)
        return wrong(c, node, IFAB_INVALID, capability ? "a rule needs an effect: deny, escalate or share" : "a rule needs an effect: deny, escalate, hold or pass");
    (void)ifab_json_string(effect, &text);
    for (enum ifab_rule_effect e = IFAB_RULE_PASS; e <= IFAB_RULE_DENY; e++)
        if (!(capability && (e == IFAB_RULE_PASS || e == IFAB_RULE_HOLD)) && ifab_view_is(text, ifab_rule_effect_name(e)))
            rule->effect = e;
    if (capability && ifab_view_is(text, "share"))
        rule->effect = IFAB_RULE_PASS;
    if (rule->effect == IFAB_RULE_NONE)
        return wrong(c, effect, IFAB_INVALID,
                     capability ? "what a capability does is deny, escalate or share" : "an effect is deny, escalate, hold or pass; rules cannot loosen");
    if (votes == NULL)
        return IFAB_OK;
    IFAB_TRY(take_literal(c, votes, FIELD_NUMBER, &number));
    if (rule->effect != IFAB_RULE_ESCALATE)
        return wrong(c, votes, IFAB_INVALID, "votes belong to the effect escalate");
    if (!(number.number >= 1 && number.number <= IFAB_RULE_VOTES_MAX) || (double)(uint32_t)number.number != number.number)
        return wrong(c, votes, IFAB_INVALID, "votes is an integer from 1 to 16");
    rule->votes = (uint32_t)number.number;
    return IFAB_OK;
}

static ifab_status take_rule(struct compiler *c, const struct ifab_json *node, struct rule *rule)
{
    static const char *const names[] = {"id", "effect", "votes", "reason", "when"};
    IFAB_TRY(check_members(c, node, "unknown name in a rule ", names, IFAB_COUNT(names)));
    IFAB_TRY(take_id(c, node, &rule->id));
    IFAB_TRY(take_effect(c, node, rule));
    return take_when(c, node, rule);
}

static ifab_status take_hazard(struct compiler *c, const struct ifab_json *node, struct rule *rule)
{
    static const char *const names[] = {"id", "hazard", "reason", "when"};
    IFAB_TRY(check_members(c, node, "unknown name in a derived hazard ", names, IFAB_COUNT(names)));
    IFAB_TRY(take_id(c, node, &rule->id));
    const struct ifab_json *hazard = ifab_json_get(node, "hazard");
    struct rule_test list = {0};
    if (hazard == NULL)
        return wrong(c, node, IFAB_INVALID, "a derived hazard needs `hazard`");
    IFAB_TRY(take_literals(c, hazard, FIELD_STRING, &list));
    struct ifab_view *views = ifab_arena_calloc(&c->set->arena, list.literal_count, sizeof *views);
    if (views == NULL)
        return no_memory(c);
    for (size_t i = 0; i < list.literal_count; i++) {
        unsigned bit = ifab_hazard_parse(list.literals[i].string);
        if (bit == IFAB_HAZARD_UNKNOWN)
            return wrong(c, hazard, IFAB_INVALID, "a hazard is legal, safety, conflict>20%, ethical, privacy, financial, security or technical");
        rule->hazards |= bit;
        views[i] = list.literals[i].string;
    }
    rule->hazard_names = views;
    rule->hazard_count = list.literal_count;
    return take_when(c, node, rule);
}

static ifab_status take_list(struct compiler *c, const char *name, size_t max, ifab_status (*take)(struct compiler *, const struct ifab_json *, struct rule *),
                             struct rule **ret, size_t *ret_count)
{
    const struct ifab_json *list = ifab_json_get(c->source->root, name);
    if (list == NULL)
        return IFAB_OK;
    if (list->type != IFAB_JSON_ARRAY)
        return wrong(c, list, IFAB_INVALID, "expected a list");
    if (list->u.array.count > max)
        return wrong(c, list, IFAB_TOO_LARGE, "too many rules: at most 10,000, 1,000 about capabilities, and 1,000 derived hazards");
    struct rule *rules = ifab_arena_calloc(&c->set->arena, list->u.array.count + 1, sizeof *rules);
    if (rules == NULL)
        return no_memory(c);
    for (size_t i = 0; i < list->u.array.count; i++)
        IFAB_TRY(take(c, &list->u.array.items[i], &rules[i]));
    *ret = rules;
    *ret_count = list->u.array.count;
    return IFAB_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct rule *x = a, *y = b;
    return strcmp(x->id, y->id);
}

/* The node of the second one with this id, for the message. */
static const struct ifab_json *second_with_id(const struct ifab_json *list, const char *id)
{
    struct ifab_view text;
    const struct ifab_json *found = NULL;
    for (size_t i = 0; list != NULL && list->type == IFAB_JSON_ARRAY && i < list->u.array.count; i++)
        if (ifab_json_string(ifab_json_get(&list->u.array.items[i], "id"), &text) && ifab_view_is(text, id))
            found = ifab_json_get(&list->u.array.items[i], "id");
    return found;
}

static ifab_status check_ids(struct compiler *c)
{
    static const char *const lists[] = {"rules", "capabilities", "hazards"};
    struct ifab_ruleset *set = c->set;
    size_t count = set->rule_count + set->hazard_count + set->capability_count;
    struct rule *all = ifab_arena_calloc(&set->arena, count + 1, sizeof *all);
    const struct ifab_json *where = NULL;
    if (all == NULL)
        return no_memory(c);
    if (set->rule_count > 0) {
        qsort(set->rules, set->rule_count, sizeof *set->rules, by_id);
        memcpy(all, set->rules, set->rule_count * sizeof *all);
    }
    if (set->capability_count > 0) {
        qsort(set->capabilities, set->capability_count, sizeof *set->capabilities, by_id);
        memcpy(all + set->rule_count, set->capabilities, set->capability_count * sizeof *all);
    }
    if (set->hazard_count > 0)
        memcpy(all + set->rule_count + set->capability_count, set->hazards, set->hazard_count * sizeof *all);
    qsort(all, count, sizeof *all, by_id);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(all[i - 1].id, all[i].id) != 0)
            continue;
        for (size_t n = 0; n < IFAB_COUNT(lists) && where == NULL; n++)
            where = second_with_id(ifab_json_get(c->source->root, lists[n]), all[i].id);
        return wrong(c, where, IFAB_INVALID, "this id stands twice: an id names one rule or hazard");
    }
    return IFAB_OK;
}

static ifab_status take_root(struct compiler *c)
{
    static const char *const names[] = {"v", "why", "hazards", "rules", "capabilities"};
    const struct ifab_json *root = c->source->root, *version = ifab_json_get(root, "v"), *why = ifab_json_get(root, "why");
    struct rule_value v;
    const char *text;
    IFAB_TRY(check_members(c, root, "unknown name ", names, IFAB_COUNT(names)));
    if (version == NULL || ifab_json_get(root, "rules") == NULL)
        return wrong(c, root, IFAB_INVALID, "expected `v: 1` and `rules: []`");
    IFAB_TRY(read_value(c, version, &v));
    if (v.type != VALUE_NUMBER || v.number != 1)
        return wrong(c, version, IFAB_UNSUPPORTED, "version of the rule set is not 1");
    if (why != NULL) {
        IFAB_TRY(take_text(c, why, "why", 1024, &text));
        c->set->why = ifab_view_str(text);
    }
    c->about = ABOUT_CAPABILITIES;
    IFAB_TRY(take_list(c, "capabilities", IFAB_RULE_CAPABILITIES_MAX, take_rule, &c->set->capabilities, &c->set->capability_count));
    c->about = ABOUT_MESSAGES;
    IFAB_TRY(take_list(c, "hazards", IFAB_RULE_HAZARDS_MAX, take_hazard, &c->set->hazards, &c->set->hazard_count));
    IFAB_TRY(take_list(c, "rules", IFAB_RULES_MAX, take_rule, &c->set->rules, &c->set->rule_count));
    for (size_t i = 0; i < c->set->rule_count; i++)
        c->set->denies |= c->set->rules[i].effect == IFAB_RULE_DENY;
    return check_ids(c);
}

ifab_status ifab_ruleset_compile(const struct ifab_rule_source *source, struct ifab_ruleset **ret_set, const struct ifab_json **ret_where,
                                 struct ifab_error *err)
{
    struct ifab_ruleset *set = ifab_calloc(1, sizeof *set);
    struct compiler c = {.source = source, .set = set, .err = err};
    *ret_where = NULL;
    if (set == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory for the rules");
    ifab_arena_init(&set->arena, SET_MAX);
    ifab_status status = take_root(&c);
    if (status == IFAB_OK)
        status = ifab_rule__canonical(set, CANONICAL_MAX) ? IFAB_OK : ifab_fail(err, IFAB_TOO_LARGE, "the rule set is larger than 8 MiB");
    if (status == IFAB_OK)
        status = ifab_rule__index(set, err);
    if (status != IFAB_OK) {
        *ret_where = c.where;
        ifab_ruleset_free(set);
        return status;
    }
    *ret_set = set;
    return IFAB_OK;
}

void ifab_ruleset_free(struct ifab_ruleset *self)
{
    if (self == NULL)
        return;
    ifab_arena_fini(&self->arena);
    ifab_free(self);
}

size_t ifab_ruleset_count(const struct ifab_ruleset *self) { return self == NULL ? 0 : self->rule_count; }
size_t ifab_ruleset_hazards(const struct ifab_ruleset *self) { return self == NULL ? 0 : self->hazard_count; }
size_t ifab_ruleset_capabilities(const struct ifab_ruleset *self) { return self == NULL ? 0 : self->capability_count; }
struct ifab_view ifab_ruleset_canonical(const struct ifab_ruleset *self) { return self->canonical; }
struct ifab_view ifab_ruleset_why(const struct ifab_ruleset *self) { return self->why; }
