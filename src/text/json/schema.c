/*
 * The checker of schema tables. A path is a chain of frames on the C stack; it becomes text only when something is refused, so a document
 * that fits costs no formatting. Recursion follows the tables and the tree, both at most 32 deep.
 */
#include "json/schema.h"

#include <stdio.h>

struct path {
    const struct path *parent;
    struct ifab_view name; /* size 0: an item */
    size_t index;
};
struct check {
    enum ifab_code code;
    const char *what;
    struct ifab_refusal *ret;
};

/* Names come from outside: what is not printable ASCII shows as '?'. */
static size_t put_name(char *text, size_t size, size_t at, struct ifab_view name)
{
    for (size_t i = 0; i < name.size && at + 1 < size; i++)
        text[at++] = name.data[i] >= 0x20 && name.data[i] < 0x7f ? (char)name.data[i] : '?';
    text[at] = '\0';
    return at;
}

/* "content.evidence[3].url"; cut at the end of text. */
static size_t put_path(char *text, size_t size, const struct path *path)
{
    if (path == NULL) {
        text[0] = '\0';
        return 0;
    }
    size_t at = put_path(text, size, path->parent);
    if (path->name.size == 0 && path->parent != NULL) {
        char index[24];
        snprintf(index, sizeof index, "[%zu]", path->index);
        return put_name(text, size, at, ifab_view_str(index));
    }
    if (at > 0)
        at = put_name(text, size, at, IFAB_VIEW("."));
    return put_name(text, size, at, path->name);
}

static enum ifab_code refuse(const struct check *c, const struct path *path, uint32_t offset, const char *is, const char *expected)
{
    char field[sizeof c->ret->field];
    put_path(field, sizeof field, path);
    ifab_refuse(c->ret, c->code, field, "%s %s%s", field[0] == '\0' ? c->what : field, is, expected);
    if (c->ret != NULL)
        c->ret->offset = offset;
    return c->code;
}

static void describe_range(char *text, size_t size, const char *what, int64_t min, int64_t max, const char *unit)
{
    if (min == 0 && max == 0)
        snprintf(text, size, "%s", what);
    else if (min == max)
        snprintf(text, size, "%s of exactly %lld %s", what, (long long)min, unit);
    else if (max == 0)
        snprintf(text, size, "%s of at least %lld %s", what, (long long)min, unit);
    else
        snprintf(text, size, "%s of %lld to %lld %s", what, (long long)min, (long long)max, unit);
}

static void describe_number(char *text, size_t size, const struct ifab_schema_field *field)
{
    char low[32], high[32];
    if (field->num_min == 0 && field->num_max == 0) {
        snprintf(text, size, "a number");
        return;
    }
    int low_size = (int)ifab_json_format_double(field->num_min, low), high_size = (int)ifab_json_format_double(field->num_max, high);
    snprintf(text, size, "a number from %.*s to %.*s", low_size, low, high_size, high);
}

/* What a value of this field looks like, for "X must be …". */
static void describe(char *text, size_t size, const struct ifab_schema_field *field)
{
    switch (field->kind) {
    case IFAB_SCHEMA_STRING:
        describe_range(text, size, "a string", field->min, field->max, "bytes");
        return;
    case IFAB_SCHEMA_INTEGER:
        if (field->min == 0 && field->max == 0)
            snprintf(text, size, "an integer");
        else
            snprintf(text, size, "an integer from %lld to %lld", (long long)field->min, (long long)field->max);
        return;
    case IFAB_SCHEMA_NUMBER:
        describe_number(text, size, field);
        return;
    case IFAB_SCHEMA_BOOL:
        snprintf(text, size, "true or false");
        return;
    case IFAB_SCHEMA_OBJECT:
    case IFAB_SCHEMA_OPEN:
        snprintf(text, size, "an object");
        return;
    case IFAB_SCHEMA_ANY:
        snprintf(text, size, "a value");
        return;
    case IFAB_SCHEMA_LIST:
        describe_range(text, size, "a list", field->min, field->max, "items");
        return;
    case IFAB_SCHEMA_STRING_OR_LIST:
        describe_range(text, size, "a string or a list", field->min, field->max, "strings");
        return;
    case IFAB_SCHEMA_CONST:
        snprintf(text, size, "\"%s\"", field->text);
        return;
    }
    snprintf(text, size, "absent");
}

static enum ifab_code refuse_kind(const struct check *c, const struct path *path, const struct ifab_schema_field *field,
                                  const struct ifab_json *value)
{
    char expected[120];
    describe(expected, sizeof expected, field);
    return refuse(c, path, value->offset, "must be ", expected);
}

static bool in_range(uint64_t count, int64_t min, int64_t max)
{
    return count >= (uint64_t)min && (max == 0 || count <= (uint64_t)max);
}

static enum ifab_code check_object(const struct check *c, const struct path *path, const struct ifab_schema *schema,
                                   const struct ifab_json *object);
static enum ifab_code check_value(const struct check *c, const struct path *path, const struct ifab_schema_field *field,
                                  const struct ifab_json *value);

static enum ifab_code check_string(const struct check *c, const struct path *path, const struct ifab_schema_field *field,
                                   const struct ifab_json *value)
{
    const char *why = NULL;
    if (!in_range(value->u.string.size, field->min, field->max))
        return refuse_kind(c, path, field, value);
    if (field->check == NULL || field->check(value->u.string, &why))
        return IFAB_CODE_NONE;
    return why == NULL ? refuse(c, path, value->offset, "is not valid", "") : refuse(c, path, value->offset, "must be ", why);
}

static enum ifab_code check_list(const struct check *c, const struct path *path, const struct ifab_schema_field *field,
                                 const struct ifab_json *value)
{
    if (!in_range(value->u.array.count, field->min, field->max))
        return refuse_kind(c, path, field, value);
    for (size_t i = 0; field->item != NULL && i < value->u.array.count; i++) {
        struct path item = {path, {NULL, 0}, i};
        enum ifab_code code = check_value(c, &item, field->item, &value->u.array.items[i]);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    return IFAB_CODE_NONE;
}

static bool number_fits(const struct ifab_schema_field *field, const struct ifab_json *value)
{
    double number = value->u.number.value;
    if (field->kind == IFAB_SCHEMA_NUMBER)
        return (field->num_min == 0 && field->num_max == 0) || (number >= field->num_min && number <= field->num_max);
    if (!value->u.number.integer)
        return false;
    return (field->min == 0 && field->max == 0) || ((int64_t)number >= field->min && (int64_t)number <= field->max);
}

static bool kind_fits(const struct ifab_schema_field *field, const struct ifab_json *value)
{
    switch (field->kind) {
    case IFAB_SCHEMA_STRING:
        return value->type == IFAB_JSON_STRING;
    case IFAB_SCHEMA_INTEGER:
    case IFAB_SCHEMA_NUMBER:
        return value->type == IFAB_JSON_NUMBER && number_fits(field, value);
    case IFAB_SCHEMA_BOOL:
        return value->type == IFAB_JSON_TRUE || value->type == IFAB_JSON_FALSE;
    case IFAB_SCHEMA_OBJECT:
    case IFAB_SCHEMA_OPEN:
        return value->type == IFAB_JSON_OBJECT;
    case IFAB_SCHEMA_ANY:
        return true;
    case IFAB_SCHEMA_LIST:
        return value->type == IFAB_JSON_ARRAY;
    case IFAB_SCHEMA_STRING_OR_LIST:
        return value->type == IFAB_JSON_ARRAY || value->type == IFAB_JSON_STRING;
    case IFAB_SCHEMA_CONST:
        return value->type == IFAB_JSON_STRING && ifab_view_is(value->u.string, field->text);
    }
    return false;
}

static enum ifab_code check_value(const struct check *c, const struct path *path, const struct ifab_schema_field *field,
                                  const struct ifab_json *value)
{
    if (!kind_fits(field, value))
        return refuse_kind(c, path, field, value);
    if (field->kind == IFAB_SCHEMA_STRING)
        return check_string(c, path, field, value);
    if (field->kind == IFAB_SCHEMA_OBJECT && field->sub != NULL)
        return check_object(c, path, field->sub, value);
    if (value->type == IFAB_JSON_ARRAY && (field->kind == IFAB_SCHEMA_LIST || field->kind == IFAB_SCHEMA_STRING_OR_LIST))
        return check_list(c, path, field, value);
    if (field->kind == IFAB_SCHEMA_STRING_OR_LIST && field->item != NULL)
        return check_value(c, path, field->item, value);
    return IFAB_CODE_NONE;
}

/* One edit apart, letter case aside: a letter more, fewer, other, or two exchanged. */
static bool one_slip(struct ifab_view a, struct ifab_view b)
{
    if (ifab_view_equal_nocase(a, b))
        return true;
    size_t from = 0, a_end = a.size, b_end = b.size;
    while (from < a_end && from < b_end && a.data[from] == b.data[from])
        from++;
    while (a_end > from && b_end > from && a.data[a_end - 1] == b.data[b_end - 1]) {
        a_end--;
        b_end--;
    }
    size_t a_rest = a_end - from, b_rest = b_end - from;
    bool exchanged = a_rest == 2 && b_rest == 2 && a.data[from] == b.data[from + 1] && a.data[from + 1] == b.data[from];
    return (a_rest <= 1 && b_rest <= 1) || exchanged;
}

static enum ifab_code refuse_unknown(const struct check *c, const struct path *path, const struct ifab_schema *schema,
                                     const struct ifab_json *object)
{
    const struct ifab_json_member *unknown = NULL;
    for (size_t i = 0; i < object->u.object.count; i++) {
        const struct ifab_json_member *member = &object->u.object.members[i];
        bool known = false;
        for (size_t f = 0; f < schema->count && !known; f++)
            known = ifab_view_is(member->name, schema->fields[f].name);
        if (!known && (unknown == NULL || member->offset < unknown->offset))
            unknown = member;
    }
    if (unknown == NULL)
        return IFAB_CODE_NONE;
    struct path where = {path, unknown->name, 0};
    char field[sizeof c->ret->field], name[48];
    put_path(field, sizeof field, &where);
    put_name(name, sizeof name, 0, unknown->name);
    const char *meant = NULL;
    for (size_t f = 0; f < schema->count && meant == NULL && unknown->name.size > 2; f++)
        if (one_slip(unknown->name, ifab_view_str(schema->fields[f].name)))
            meant = schema->fields[f].name;
    if (meant != NULL)
        ifab_refuse(c->ret, c->code, field, "unknown field \"%s\" in %s; did you mean \"%s\"?", name, schema->what, meant);
    else
        ifab_refuse(c->ret, c->code, field, "unknown field \"%s\" in %s", name, schema->what);
    if (c->ret != NULL)
        c->ret->offset = unknown->offset;
    return c->code;
}

static const struct ifab_json *member_of(const struct ifab_json *object, struct ifab_view name)
{
    const struct ifab_json_member *members = object->u.object.members;
    if (object->u.object.count > 32) /* a large object is not scanned once a row */
        return ifab_json_get(object, (const char *)name.data);
    for (size_t i = 0; i < object->u.object.count; i++)
        if (ifab_view_equal(members[i].name, name))
            return &members[i].value;
    return NULL;
}

static enum ifab_code check_object(const struct check *c, const struct path *path, const struct ifab_schema *schema,
                                   const struct ifab_json *object)
{
    size_t found = 0;
    for (size_t f = 0; f < schema->count; f++) {
        const struct ifab_schema_field *field = &schema->fields[f];
        struct path here = {path, ifab_view_str(field->name), 0};
        const struct ifab_json *value = member_of(object, here.name);
        if (value == NULL) {
            if (field->required)
                return refuse(c, &here, object->offset, "is required", "");
            continue;
        }
        found++;
        enum ifab_code code = check_value(c, &here, field, value);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    return found == object->u.object.count ? IFAB_CODE_NONE : refuse_unknown(c, path, schema, object);
}

enum ifab_code ifab_schema_check(const struct ifab_schema *schema, const struct ifab_json *document, enum ifab_code code,
                                 struct ifab_refusal *ret_refusal)
{
    const struct check c = {code, schema->what, ret_refusal};
    if (document->type != IFAB_JSON_OBJECT)
        return refuse(&c, NULL, document->offset, "must be ", "an object");
    return check_object(&c, NULL, schema, document);
}
