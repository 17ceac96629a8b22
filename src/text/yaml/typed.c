/*
 * YAML's scalars under a schema: a field of text keeps its scalar as it stands, a number or a truth value is read as JSON spells it. Where the schema
 * leaves a value open, a plain scalar that JSON would take for a number, true, false or null is that; all others, and quoted ones, are text.
 */
#include "yaml/yaml_tree.h"

struct typing {
    const struct ifab_yaml *yaml;
    struct ifab_arena *arena;
};

static ifab_status type_value(const struct typing *t, const struct ifab_schema_field *field, const struct ifab_json *from, struct ifab_json *to);

static const struct ifab_schema_field *field_of(const struct ifab_schema *schema, struct ifab_view name)
{
    for (size_t i = 0; schema != NULL && i < schema->count; i++)
        if (ifab_view_is(name, schema->fields[i].name))
            return &schema->fields[i];
    return NULL;
}

/* Is this field's scalar text? NULL: nothing is known of it. */
static bool is_text(const struct ifab_schema_field *field)
{
    return field != NULL && (field->kind == IFAB_SCHEMA_STRING || field->kind == IFAB_SCHEMA_CONST || field->kind == IFAB_SCHEMA_STRING_OR_LIST);
}

static ifab_status type_scalar(const struct typing *t, const struct ifab_schema_field *field, const struct ifab_json *from, struct ifab_json *to)
{
    const struct ifab_json *read = NULL;
    *to = *from;
    if (is_text(field) || ifab_yaml_position(t->yaml, from).quoted)
        return IFAB_OK;
    ifab_status status = ifab_json_read(from->u.string, NULL, t->arena, &read, NULL);
    if (status == IFAB_NOMEM)
        return IFAB_NOMEM;
    if (status != IFAB_OK || read->type == IFAB_JSON_STRING || read->type == IFAB_JSON_ARRAY || read->type == IFAB_JSON_OBJECT)
        return IFAB_OK; /* text: what is wrong with it, the schema's check says */
    *to = *read;
    to->offset = from->offset;
    return IFAB_OK;
}

static ifab_status type_object(const struct typing *t, const struct ifab_schema *schema, const struct ifab_json *from, struct ifab_json *to)
{
    struct ifab_json_member *members = ifab_arena_calloc(t->arena, from->u.object.count + 1, sizeof *members);
    if (members == NULL)
        return IFAB_NOMEM;
    for (size_t i = 0; i < from->u.object.count; i++) {
        const struct ifab_json_member *member = &from->u.object.members[i];
        members[i] = *member;
        IFAB_TRY(type_value(t, field_of(schema, member->name), &member->value, &members[i].value));
    }
    *to = *from;
    to->u.object.members = members;
    return IFAB_OK;
}

/* Depth is bounded: the reader refused more than 32. */
static ifab_status type_value(const struct typing *t, const struct ifab_schema_field *field, const struct ifab_json *from, struct ifab_json *to)
{
    if (from->type == IFAB_JSON_STRING)
        return type_scalar(t, field, from, to);
    if (from->type == IFAB_JSON_OBJECT)
        return type_object(t, field != NULL && field->kind == IFAB_SCHEMA_OBJECT ? field->sub : NULL, from, to);
    *to = *from;
    if (from->type != IFAB_JSON_ARRAY)
        return IFAB_OK;
    to->u.array.items = ifab_arena_calloc(t->arena, from->u.array.count + 1, sizeof *to);
    if (to->u.array.items == NULL)
        return IFAB_NOMEM;
    const struct ifab_schema_field *item = field == NULL ? NULL : field->item;
    for (size_t i = 0; i < from->u.array.count; i++)
        IFAB_TRY(type_value(t, item, &from->u.array.items[i], &to->u.array.items[i]));
    return IFAB_OK;
}

ifab_status ifab_yaml_typed(const struct ifab_yaml *yaml, const struct ifab_schema *schema, struct ifab_arena *arena,
                            const struct ifab_json **ret_tree, struct ifab_error *err)
{
    const struct typing t = {yaml, arena};
    const struct ifab_schema_field root = {.kind = IFAB_SCHEMA_OBJECT, .sub = schema};
    struct ifab_json *tree = ifab_arena_alloc(arena, sizeof *tree);
    if (tree == NULL || type_value(&t, &root, yaml->root, tree) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "YAML: out of memory");
    *ret_tree = tree;
    return IFAB_OK;
}
