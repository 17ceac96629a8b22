/*
 * Parameters: the subset of JSON Schema a manifest may use, and a call's parameters against it. The schema is data of the publisher, so it is
 * checked as strictly as what it describes: a keyword that is not understood is refused, not skipped.
 */
#include "base/global_flags.h"
#include "capability_internal.h"

#include <stdio.h>

/* X(NAME, "text") */
#define TYPE_MAP(X)    X(OBJECT, "object") X(STRING, "string") X(INTEGER, "integer") X(NUMBER, "number") X(BOOLEAN, "boolean") X(ARRAY, "array")
#define G_(name, text) TYPE_##name,
enum param_type { TYPE_MAP(G_) TYPE_COUNT };
#undef G_
#define G_(name, text) text,
static const char *const type_names[] = {TYPE_MAP(G_)};
#undef G_
#define BIT(type) (1U << TYPE_##type)

/* Keywords and the types they go with. */
static const struct {
    const char *name;
    uint32_t types;
} keywords[] = {
    {"type", ~0U},
    {"description", ~0U},
    {"default", ~0U},
    {"enum", BIT(STRING) | BIT(INTEGER) | BIT(NUMBER)},
    {"properties", BIT(OBJECT)},
    {"required", BIT(OBJECT)},
    {"additionalProperties", BIT(OBJECT)},
    {"minimum", BIT(INTEGER) | BIT(NUMBER)},
    {"maximum", BIT(INTEGER) | BIT(NUMBER)},
    {"minLength", BIT(STRING)},
    {"maxLength", BIT(STRING)},
    {"maxItems", BIT(ARRAY)},
    {"items", BIT(ARRAY)},
};

struct where { /* a chain on the stack: it becomes text only when something is refused */
    const struct where *parent;
    struct ifab_view name;
};

static size_t put_where(char *text, size_t size, const struct where *where)
{
    size_t at = where->parent == NULL ? 0 : put_where(text, size, where->parent);
    if (at > 0 && at + 1 < size && where->name.size > 0 && where->name.data[0] != '[')
        text[at++] = '.';
    for (size_t i = 0; i < where->name.size && at + 1 < size; i++)
        text[at++] = where->name.data[i] >= 0x20 && where->name.data[i] < 0x7f ? (char)where->name.data[i] : '?';
    text[at] = '\0';
    return at;
}

static enum ifab_code refuse(struct ifab_refusal *ret_refusal, enum ifab_code code, const struct where *where, const struct ifab_json *at,
                             const char *text)
{
    char field[sizeof ret_refusal->field];
    put_where(field, sizeof field, where);
    ifab_refuse(ret_refusal, code, field, "%s%s%s", field, field[0] == '\0' ? "params " : " ", text);
    if (ret_refusal != NULL && at != NULL)
        ret_refusal->offset = at->offset;
    return code;
}

static enum ifab_code bad(struct ifab_refusal *ret_refusal, const struct where *where, const struct ifab_json *at, const char *text)
{
    return refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, where, at, text);
}

static enum param_type type_of(const struct ifab_json *schema)
{
    struct ifab_view name = ifab_capability__string(schema, "type");
    enum param_type type = TYPE_OBJECT;
    while (type < TYPE_COUNT && !ifab_view_is(name, type_names[type]))
        type++;
    return type;
}

#define PARAM_NAME_MAX 64
#define ITEMS_USUAL 1024 /* where nothing is said */
#define ITEMS_MAX 4096
static bool param_name_valid(struct ifab_view name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || (!(c >= '0' && c <= '9') && c != '_' && c != '-')))
            return false;
    }
    return name.size >= 1 && name.size <= PARAM_NAME_MAX;
}

bool ifab_param_name_reserved(struct ifab_view name)
{
#define G_(flag, letter, value, help) {flag, letter},
    static const struct {
        const char *name;
        char letter;
    } flags[] = {IFAB_GLOBAL_FLAG_MAP(G_)};
#undef G_
    for (size_t i = 0; i < IFAB_COUNT(flags); i++)
        if (ifab_view_equal_nocase(name, ifab_view_str(flags[i].name)) || (name.size == 1 && name.data[0] == (uint8_t)flags[i].letter))
            return true;
    return false;
}

static bool is_number(const struct ifab_json *value) { return value != NULL && value->type == IFAB_JSON_NUMBER; }

static bool scalar_fits(enum param_type type, const struct ifab_json *value)
{
    switch (type) {
    case TYPE_STRING:
        return value->type == IFAB_JSON_STRING;
    case TYPE_INTEGER:
        return is_number(value) && value->u.number.integer;
    case TYPE_NUMBER:
        return is_number(value);
    case TYPE_BOOLEAN:
        return value->type == IFAB_JSON_TRUE || value->type == IFAB_JSON_FALSE;
    case TYPE_OBJECT:
        return value->type == IFAB_JSON_OBJECT;
    case TYPE_ARRAY:
        return value->type == IFAB_JSON_ARRAY;
    case TYPE_COUNT:
        break;
    }
    return false;
}

static bool scalar_equal(const struct ifab_json *a, const struct ifab_json *b)
{
    if (a->type != b->type)
        return false;
    return a->type == IFAB_JSON_STRING ? ifab_view_equal(a->u.string, b->u.string) : a->u.number.value == b->u.number.value;
}

/* Code points; the tree holds valid UTF-8. */
static size_t length_of(struct ifab_view text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.size; i++)
        length += (text.data[i] & 0xc0) != 0x80;
    return length;
}

static enum ifab_code check_enum(const struct ifab_json *schema, const struct where *where, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *list = ifab_json_get(schema, "enum");
    if (list == NULL)
        return IFAB_CODE_NONE;
    if (list->type != IFAB_JSON_ARRAY || list->u.array.count < 1 || list->u.array.count > 256)
        return bad(ret_refusal, where, list, "enum must be a list of 1 to 256 values");
    for (size_t i = 0; i < list->u.array.count; i++)
        if (!scalar_fits(type_of(schema), &list->u.array.items[i]))
            return bad(ret_refusal, where, &list->u.array.items[i], "enum holds a value of another type");
    return IFAB_CODE_NONE;
}

/* A pair of bounds: numbers (integers where `whole`), from lowest on, the first not above the second. */
static enum ifab_code check_bounds(const struct ifab_json *schema, const char *low_name, const char *high_name, bool whole, bool may_be_negative,
                                   const struct where *where, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *low = low_name == NULL ? NULL : ifab_json_get(schema, low_name), *high = ifab_json_get(schema, high_name);
    const struct ifab_json *both[] = {low, high};
    for (size_t i = 0; i < 2; i++) {
        if (both[i] == NULL)
            continue;
        if (!is_number(both[i]) || (whole && !both[i]->u.number.integer) || (!may_be_negative && both[i]->u.number.value < 0))
            return bad(ret_refusal, where, both[i], "has a bound that is no number of its kind");
    }
    if (low != NULL && high != NULL && low->u.number.value > high->u.number.value)
        return bad(ret_refusal, where, low, "has a lower bound above the upper one");
    return IFAB_CODE_NONE;
}

static enum ifab_code check_schema(const struct ifab_json *schema, const struct where *where, int depth, struct ifab_refusal *ret_refusal);
static enum ifab_code check_value(const struct ifab_json *schema, const struct ifab_json *value, const struct where *where, enum ifab_code code,
                                  struct ifab_refusal *ret_refusal);

static enum ifab_code check_required(const struct ifab_json *schema, const struct where *where, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *list = ifab_json_get(schema, "required"), *properties = ifab_json_get(schema, "properties");
    if (list == NULL)
        return IFAB_CODE_NONE;
    if (list->type != IFAB_JSON_ARRAY || list->u.array.count > 64)
        return bad(ret_refusal, where, list, "required must be a list of at most 64 names");
    for (size_t i = 0; i < list->u.array.count; i++) {
        const struct ifab_json *name = &list->u.array.items[i];
        bool known = false;
        for (size_t p = 0; name->type == IFAB_JSON_STRING && properties != NULL && p < properties->u.object.count; p++)
            known = known || ifab_view_equal(properties->u.object.members[p].name, name->u.string);
        for (size_t j = 0; j < i; j++)
            known = known && !scalar_equal(name, &list->u.array.items[j]);
        if (!known)
            return bad(ret_refusal, where, name, "required must name its properties, each once");
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code check_object_schema(const struct ifab_json *schema, const struct where *where, int depth, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *properties = ifab_json_get(schema, "properties"), *more = ifab_json_get(schema, "additionalProperties");
    if (more != NULL && more->type != IFAB_JSON_TRUE && more->type != IFAB_JSON_FALSE)
        return bad(ret_refusal, where, more, "additionalProperties must be true or false");
    if (properties != NULL && (properties->type != IFAB_JSON_OBJECT || properties->u.object.count > 64))
        return bad(ret_refusal, where, properties, "properties must be an object of at most 64");
    for (size_t i = 0; properties != NULL && i < properties->u.object.count; i++) {
        const struct ifab_json_member *member = &properties->u.object.members[i];
        struct where here = {where, member->name};
        if (!param_name_valid(member->name))
            return bad(ret_refusal, &here, &member->value, "must be 1 to 64 letters, digits, '_' and '-', first a letter");
        if (depth == 1 && ifab_param_name_reserved(member->name)) {
            bad(ret_refusal, &here, &member->value, "is named like a global flag of ifctl");
            if (ret_refusal != NULL)
                ret_refusal->hint = "Give the parameter another name; ifctl help lists the global flags.";
            return IFAB_CODE_INVALID_MANIFEST;
        }
        enum ifab_code code = check_schema(&member->value, &here, depth + 1, ret_refusal);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    return check_required(schema, where, ret_refusal);
}

static enum ifab_code check_keywords(const struct ifab_json *schema, const struct where *where, struct ifab_refusal *ret_refusal)
{
    enum param_type type = type_of(schema);
    if (type == TYPE_COUNT)
        return bad(ret_refusal, where, schema, "type must be object, string, integer, number, boolean or array");
    for (size_t i = 0; i < schema->u.object.count; i++) {
        const struct ifab_json_member *member = &schema->u.object.members[i];
        size_t k = 0;
        while (k < IFAB_COUNT(keywords) && !ifab_view_is(member->name, keywords[k].name))
            k++;
        struct where here = {where, member->name};
        if (k == IFAB_COUNT(keywords)) {
            bad(ret_refusal, &here, &member->value, "is no keyword that is supported here");
            if (ret_refusal != NULL)
                ret_refusal->hint = "Keywords: type, properties, required, additionalProperties, enum, minimum, maximum, minLength, maxLength, "
                                    "maxItems, items, default, description.";
            return IFAB_CODE_INVALID_MANIFEST;
        }
        if ((keywords[k].types & 1U << type) == 0)
            return bad(ret_refusal, &here, &member->value, "does not go with this type");
    }
    const struct ifab_json *description = ifab_json_get(schema, "description");
    if (description != NULL && (description->type != IFAB_JSON_STRING || description->u.string.size > 1000))
        return bad(ret_refusal, where, description, "description must be a string of at most 1000 bytes");
    return IFAB_CODE_NONE;
}

/* What belongs to one type alone. */
static enum ifab_code check_by_type(const struct ifab_json *schema, const struct where *where, int depth, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *items = ifab_json_get(schema, "items");
    struct where inside = {where, IFAB_VIEW("items")};
    enum ifab_code code;
    switch (type_of(schema)) {
    case TYPE_OBJECT:
        return check_object_schema(schema, where, depth, ret_refusal);
    case TYPE_ARRAY:
        code = check_bounds(schema, NULL, "maxItems", true, false, where, ret_refusal);
        if (code == IFAB_CODE_NONE && ifab_json_get(schema, "maxItems") != NULL && ifab_json_get(schema, "maxItems")->u.number.value > ITEMS_MAX)
            code = bad(ret_refusal, where, ifab_json_get(schema, "maxItems"), "maxItems is at most 4096");
        if (code == IFAB_CODE_NONE && items == NULL)
            code = bad(ret_refusal, where, schema, "items is required of an array");
        return code != IFAB_CODE_NONE ? code : check_schema(items, &inside, depth + 1, ret_refusal);
    case TYPE_STRING:
        return check_bounds(schema, "minLength", "maxLength", true, false, where, ret_refusal);
    case TYPE_INTEGER:
        return check_bounds(schema, "minimum", "maximum", true, true, where, ret_refusal);
    case TYPE_NUMBER:
        return check_bounds(schema, "minimum", "maximum", false, true, where, ret_refusal);
    case TYPE_BOOLEAN:
    case TYPE_COUNT:
        break;
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code check_schema(const struct ifab_json *schema, const struct where *where, int depth, struct ifab_refusal *ret_refusal)
{
    if (schema->type != IFAB_JSON_OBJECT)
        return bad(ret_refusal, where, schema, "must be a schema: an object");
    if (depth > IFAB_PARAMS_DEPTH_MAX)
        return bad(ret_refusal, where, schema, "is nested too deep");
    enum ifab_code code = check_keywords(schema, where, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_enum(schema, where, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_by_type(schema, where, depth, ret_refusal);
    const struct ifab_json *usual = ifab_json_get(schema, "default");
    if (code != IFAB_CODE_NONE || usual == NULL)
        return code;
    struct where here = {where, IFAB_VIEW("default")};
    return check_value(schema, usual, &here, IFAB_CODE_INVALID_MANIFEST, ret_refusal);
}

enum ifab_code ifab_params__schema_check(const struct ifab_json *schema, const char *field, struct ifab_refusal *ret_refusal)
{
    struct where where = {NULL, ifab_view_str(field)};
    if (schema->type == IFAB_JSON_OBJECT && !ifab_view_is(ifab_capability__string(schema, "type"), "object"))
        return bad(ret_refusal, &where, schema, "type must be object");
    return check_schema(schema, &where, 1, ret_refusal);
}

static bool in_enum(const struct ifab_json *schema, const struct ifab_json *value)
{
    const struct ifab_json *list = ifab_json_get(schema, "enum");
    bool found = list == NULL;
    for (size_t i = 0; list != NULL && !found && i < list->u.array.count; i++)
        found = scalar_equal(&list->u.array.items[i], value);
    return found;
}

/* NULL: within. */
static const char *out_of_bounds(const struct ifab_json *schema, double number, const char *low_name, const char *high_name)
{
    const struct ifab_json *low = low_name == NULL ? NULL : ifab_json_get(schema, low_name), *high = ifab_json_get(schema, high_name);
    if (low != NULL && number < low->u.number.value)
        return "is below what its schema allows";
    return high != NULL && number > high->u.number.value ? "is above what its schema allows" : NULL;
}

static enum ifab_code check_members(const struct ifab_json *schema, const struct ifab_json *value, const struct where *where, enum ifab_code code,
                                    struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *properties = ifab_json_get(schema, "properties"), *required = ifab_json_get(schema, "required");
    const struct ifab_json *more = ifab_json_get(schema, "additionalProperties");
    for (size_t i = 0; i < value->u.object.count; i++) {
        const struct ifab_json_member *member = &value->u.object.members[i];
        const struct ifab_json *sub = NULL;
        for (size_t p = 0; properties != NULL && sub == NULL && p < properties->u.object.count; p++)
            if (ifab_view_equal(properties->u.object.members[p].name, member->name))
                sub = &properties->u.object.members[p].value;
        struct where here = {where, member->name};
        if (sub == NULL && (more == NULL || more->type != IFAB_JSON_TRUE))
            return refuse(ret_refusal, code, &here, &member->value, "is not a parameter");
        enum ifab_code refused = sub == NULL ? IFAB_CODE_NONE : check_value(sub, &member->value, &here, code, ret_refusal);
        if (refused != IFAB_CODE_NONE)
            return refused;
    }
    for (size_t i = 0; required != NULL && i < required->u.array.count; i++) {
        struct ifab_view name = required->u.array.items[i].u.string;
        bool there = false;
        for (size_t m = 0; m < value->u.object.count && !there; m++)
            there = ifab_view_equal(value->u.object.members[m].name, name);
        for (size_t p = 0; properties != NULL && p < properties->u.object.count && !there; p++) /* a default stands in for it */
            there = ifab_view_equal(properties->u.object.members[p].name, name) &&
                    ifab_json_get(&properties->u.object.members[p].value, "default") != NULL;
        struct where here = {where, name};
        if (!there)
            return refuse(ret_refusal, code, &here, value, "is required");
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code check_items(const struct ifab_json *schema, const struct ifab_json *value, const struct where *where, enum ifab_code code,
                                  struct ifab_refusal *ret_refusal)
{
    const char *wrong = out_of_bounds(schema, (double)value->u.array.count, NULL, "maxItems");
    if (wrong != NULL || (ifab_json_get(schema, "maxItems") == NULL && value->u.array.count > ITEMS_USUAL))
        return refuse(ret_refusal, code, where, value, "has more items than its schema allows");
    for (size_t i = 0; i < value->u.array.count; i++) {
        char index[24];
        snprintf(index, sizeof index, "[%zu]", i);
        struct where here = {where, ifab_view_str(index)};
        enum ifab_code refused = check_value(ifab_json_get(schema, "items"), &value->u.array.items[i], &here, code, ret_refusal);
        if (refused != IFAB_CODE_NONE)
            return refused;
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code check_value(const struct ifab_json *schema, const struct ifab_json *value, const struct where *where, enum ifab_code code,
                                  struct ifab_refusal *ret_refusal)
{
    enum param_type type = type_of(schema);
    const char *wrong = NULL;
    if (!scalar_fits(type, value)) {
        char text[64];
        snprintf(text, sizeof text, "must be of type %s", type < TYPE_COUNT ? type_names[type] : "?");
        return refuse(ret_refusal, code, where, value, text);
    }
    if (!in_enum(schema, value))
        return refuse(ret_refusal, code, where, value, "is none of the values its schema lists");
    if (type == TYPE_INTEGER || type == TYPE_NUMBER)
        wrong = out_of_bounds(schema, value->u.number.value, "minimum", "maximum");
    if (type == TYPE_STRING)
        wrong = out_of_bounds(schema, (double)length_of(value->u.string), "minLength", "maxLength");
    if (wrong != NULL)
        return refuse(ret_refusal, code, where, value, wrong);
    if (type == TYPE_OBJECT)
        return check_members(schema, value, where, code, ret_refusal);
    return type == TYPE_ARRAY ? check_items(schema, value, where, code, ret_refusal) : IFAB_CODE_NONE;
}

static ifab_status fill(const struct ifab_json *schema, const struct ifab_json *value, struct ifab_arena *arena, struct ifab_json *ret);

static ifab_status fill_object(const struct ifab_json *schema, const struct ifab_json *value, struct ifab_arena *arena, struct ifab_json *ret)
{
    const struct ifab_json *properties = ifab_json_get(schema, "properties");
    size_t known = properties == NULL ? 0 : properties->u.object.count, count = value->u.object.count;
    struct ifab_json_member *members = ifab_arena_calloc(arena, count + known + 1, sizeof *members);
    struct ifab_json_member *sorted = ifab_arena_calloc(arena, count + known + 1, sizeof *sorted);
    if (members == NULL || sorted == NULL)
        return IFAB_NOMEM;
    if (count > 0)
        memcpy(members, value->u.object.members, count * sizeof *members);
    for (size_t p = 0; p < known; p++) {
        const struct ifab_json_member *property = &properties->u.object.members[p];
        const struct ifab_json *usual = ifab_json_get(&property->value, "default");
        size_t m = 0;
        while (m < value->u.object.count && !ifab_view_equal(members[m].name, property->name))
            m++;
        if (m < value->u.object.count)
            IFAB_TRY(fill(&property->value, &value->u.object.members[m].value, arena, &members[m].value));
        else if (usual != NULL)
            members[count++] = (struct ifab_json_member){property->name, property->offset, *usual};
    }
    if (count > IFAB_JSON_MAX_NAMES)
        return IFAB_TOO_LARGE;
    (void)ifab_json_sort_members(members, count, sorted); /* no name stands twice: one that is there was not added */
    *ret = (struct ifab_json){.type = IFAB_JSON_OBJECT, .offset = value->offset, .u.object = {sorted, count}};
    return IFAB_OK;
}

/* The value with defaults where members are absent. It has been checked. */
static ifab_status fill(const struct ifab_json *schema, const struct ifab_json *value, struct ifab_arena *arena, struct ifab_json *ret)
{
    if (value->type == IFAB_JSON_OBJECT)
        return fill_object(schema, value, arena, ret);
    *ret = *value;
    if (value->type != IFAB_JSON_ARRAY)
        return IFAB_OK;
    ret->u.array.items = ifab_arena_calloc(arena, value->u.array.count + 1, sizeof *ret);
    if (ret->u.array.items == NULL)
        return IFAB_NOMEM;
    for (size_t i = 0; i < value->u.array.count; i++)
        IFAB_TRY(fill(ifab_json_get(schema, "items"), &value->u.array.items[i], arena, &ret->u.array.items[i]));
    return IFAB_OK;
}

static bool size_fits(const struct ifab_json *params)
{
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_PARAMS_MAX);
    ifab_json_write(&buf, params);
    bool fits = ifab_buf_status(&buf) == IFAB_OK;
    ifab_buf_fini(&buf);
    return fits;
}

enum ifab_code ifab_params_check(const struct ifab_json *schema, const struct ifab_json *params, struct ifab_arena *arena,
                                 const struct ifab_json **ret_params, struct ifab_refusal *ret_refusal)
{
    static const struct ifab_json nothing = {.type = IFAB_JSON_OBJECT};
    struct where root = {NULL, {NULL, 0}};
    if (params == NULL)
        params = &nothing;
    if (params->type != IFAB_JSON_OBJECT)
        return refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, &root, params, "must be an object");
    if (schema == NULL && params->u.object.count > 0) {
        struct where here = {&root, params->u.object.members[0].name};
        return refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, &here, params, "is not a parameter: this operation takes none");
    }
    enum ifab_code code = schema == NULL ? IFAB_CODE_NONE : check_value(schema, params, &root, IFAB_CODE_INVALID_PARAMS, ret_refusal);
    struct ifab_json *filled = NULL;
    if (code == IFAB_CODE_NONE && schema != NULL) {
        filled = ifab_arena_alloc(arena, sizeof *filled);
        ifab_status status = filled == NULL ? IFAB_NOMEM : fill(schema, params, arena, filled);
        if (status == IFAB_TOO_LARGE)
            return refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, &root, params, "has too many members");
        if (status != IFAB_OK)
            return ifab_capability__nomem(ret_refusal);
    }
    const struct ifab_json *all = filled == NULL ? params : filled;
    if (code == IFAB_CODE_NONE && !size_fits(all))
        return refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, &root, params, "is too large");
    if (code == IFAB_CODE_NONE)
        *ret_params = all;
    return code;
}
