/*
 * libyaml events into a JSON tree. Two passes: the tokens first, because the event parser hides some of what is refused here (a lone
 * "!" before a plain scalar) and because depth must be bounded before it costs anything; then the events build the tree.
 * Every scalar is a string. Ordinals of nodes and names index the table of marks.
 */
#include "yaml/yaml_tree.h"

#include "base/mem.h"

#include <yaml.h>

#define SIZE_MAX_BYTES ((size_t)8 << 20) /* a rule set of 10,000 rules */

struct builder {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; owned */
    bool has_event;
    struct ifab_arena *arena;
    struct ifab_error *err;
    struct ifab_yaml_mark *marks;
    size_t mark_count, mark_capacity;
    unsigned depth;
};

static ifab_status refuse(struct ifab_error *err, yaml_mark_t where, const char *what)
{
    if (err != NULL && err->status == IFAB_OK)
        err->line = (uint32_t)where.line + 1;
    return ifab_fail(err, IFAB_INVALID, "line %zu, column %zu: %s", where.line + 1, where.column + 1, what);
}

static ifab_status no_memory(struct ifab_error *err)
{
    return ifab_fail(err, IFAB_NOMEM, "document needs more memory than its limit");
}

static ifab_status refuse_syntax(struct ifab_error *err, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return no_memory(err);
    yaml_mark_t where = parser->error == YAML_READER_ERROR ? parser->mark : parser->problem_mark;
    return refuse(err, where, parser->problem != NULL ? parser->problem : "not YAML");
}

static ifab_status start_parser(yaml_parser_t *parser, struct ifab_view bytes, struct ifab_error *err)
{
    if (!yaml_parser_initialize(parser))
        return no_memory(err);
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, bytes.data, bytes.size);
    return IFAB_OK;
}

/* NULL: the token is one of those that are read. */
static const char *refused_token(yaml_token_type_t type)
{
    struct token_row {
        yaml_token_type_t type;
        const char *why;
    };
    static const struct token_row rows[] = {
        {YAML_TAG_TOKEN, "tags (!…) are refused"},
        {YAML_ANCHOR_TOKEN, "anchors (&…) are refused"},
        {YAML_ALIAS_TOKEN, "aliases (*…) are refused: quote the text if it is meant to start with '*'"},
        {YAML_VERSION_DIRECTIVE_TOKEN, "directives (%…) are refused"},
        {YAML_TAG_DIRECTIVE_TOKEN, "directives (%…) are refused"},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (rows[i].type == type)
            return rows[i].why;
    return NULL;
}

static int depth_step(yaml_token_type_t type)
{
    if (type == YAML_BLOCK_SEQUENCE_START_TOKEN || type == YAML_BLOCK_MAPPING_START_TOKEN || type == YAML_FLOW_SEQUENCE_START_TOKEN ||
        type == YAML_FLOW_MAPPING_START_TOKEN)
        return 1;
    return type == YAML_BLOCK_END_TOKEN || type == YAML_FLOW_SEQUENCE_END_TOKEN || type == YAML_FLOW_MAPPING_END_TOKEN ? -1 : 0;
}

static ifab_status check_tokens(yaml_parser_t *parser, struct ifab_error *err)
{
    int depth = 0;
    for (bool end = false; !end;) {
        yaml_token_t token;
        if (!yaml_parser_scan(parser, &token))
            return refuse_syntax(err, parser);
        yaml_mark_t where = token.start_mark;
        const char *why = refused_token(token.type);
        depth += depth_step(token.type);
        end = token.type == YAML_STREAM_END_TOKEN;
        yaml_token_delete(&token);
        if (why != NULL)
            return refuse(err, where, why);
        if (depth > IFAB_JSON_MAX_DEPTH)
            return refuse(err, where, "nested deeper than 32");
    }
    return IFAB_OK;
}

static ifab_status next_event(struct builder *b)
{
    if (b->has_event)
        yaml_event_delete(&b->event);
    b->has_event = yaml_parser_parse(&b->parser, &b->event) != 0;
    return b->has_event ? IFAB_OK : refuse_syntax(b->err, &b->parser);
}

static ifab_status refuse_here(struct builder *b, const char *what)
{
    return refuse(b->err, b->event.start_mark, what);
}

/* Gives the current event the next ordinal. */
static ifab_status mark_event(struct builder *b, uint32_t *ret_ordinal)
{
    if (b->mark_count == b->mark_capacity) {
        size_t capacity = b->mark_capacity == 0 ? 64 : b->mark_capacity * 2;
        struct ifab_yaml_mark *marks = ifab_arena_alloc(b->arena, capacity * sizeof *marks);
        if (marks == NULL)
            return no_memory(b->err);
        if (b->mark_count > 0)
            memcpy(marks, b->marks, b->mark_count * sizeof *marks);
        b->marks = marks;
        b->mark_capacity = capacity;
    }
    bool quoted = b->event.type == YAML_SCALAR_EVENT && b->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    yaml_mark_t at = b->event.start_mark;
    b->marks[b->mark_count] = (struct ifab_yaml_mark){(uint32_t)at.line + 1, (uint32_t)at.column + 1, quoted};
    *ret_ordinal = (uint32_t)b->mark_count++;
    return IFAB_OK;
}

static ifab_status take_scalar(struct builder *b, struct ifab_view *ret_text)
{
    struct ifab_view text = {b->event.data.scalar.value, b->event.data.scalar.length};
    if (text.size > 0 && memchr(text.data, 0, text.size) != NULL)
        return refuse_here(b, "NUL in a scalar");
    if (ifab_arena_copy(b->arena, text, ret_text) != IFAB_OK)
        return no_memory(b->err);
    return IFAB_OK;
}

/* The children of one open container; grows by doubling. */
struct children {
    struct ifab_json_member *slots;
    size_t count, capacity;
};

static struct ifab_json_member *add_child(struct builder *b, struct children *children)
{
    if (children->count == children->capacity) {
        size_t capacity = children->capacity == 0 ? 8 : children->capacity * 2;
        struct ifab_json_member *slots = ifab_arena_alloc(b->arena, capacity * sizeof *slots);
        if (slots == NULL)
            return NULL;
        if (children->count > 0)
            memcpy(slots, children->slots, children->count * sizeof *slots);
        children->slots = slots;
        children->capacity = capacity;
    }
    return &children->slots[children->count++];
}

static ifab_status build_node(struct builder *b, struct ifab_json *ret_node);

static ifab_status build_list(struct builder *b, struct ifab_json *ret_node)
{
    struct children children = {0};
    IFAB_TRY(next_event(b));
    while (b->event.type != YAML_SEQUENCE_END_EVENT) {
        struct ifab_json item = {0};
        IFAB_TRY(build_node(b, &item));
        struct ifab_json_member *slot = add_child(b, &children);
        if (slot == NULL)
            return no_memory(b->err);
        slot->value = item;
    }
    ret_node->type = IFAB_JSON_ARRAY;
    ret_node->u.array.count = children.count;
    ret_node->u.array.items = ifab_arena_calloc(b->arena, children.count, sizeof(struct ifab_json));
    if (ret_node->u.array.items == NULL)
        return no_memory(b->err);
    for (size_t i = 0; i < children.count; i++)
        ret_node->u.array.items[i] = children.slots[i].value;
    return next_event(b);
}

static ifab_status build_name(struct builder *b, struct ifab_json_member *ret_member)
{
    if (b->event.type != YAML_SCALAR_EVENT)
        return refuse_here(b, "a name must be a scalar");
    if (b->event.data.scalar.length == 0)
        return refuse_here(b, "a name is empty");
    IFAB_TRY(take_scalar(b, &ret_member->name));
    if (b->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && ifab_view_is(ret_member->name, "<<"))
        return refuse_here(b, "merge keys (<<) are refused");
    IFAB_TRY(mark_event(b, &ret_member->offset));
    return next_event(b);
}

static ifab_status sort_members(struct builder *b, const struct children *children, struct ifab_json *ret_node)
{
    struct ifab_json_member *sorted = ifab_arena_calloc(b->arena, children->count, sizeof *sorted);
    if (sorted == NULL)
        return no_memory(b->err);
    const struct ifab_json_member *second = ifab_json_sort_members(children->slots, children->count, sorted);
    if (second != NULL) {
        struct ifab_yaml_mark at = b->marks[second->offset];
        if (b->err != NULL && b->err->status == IFAB_OK)
            b->err->line = at.line;
        return ifab_fail(b->err, IFAB_INVALID, "line %u, column %u: name \"%.*s\" is used twice", at.line, at.column,
                         (int)(second->name.size > 64 ? 64 : second->name.size), (const char *)second->name.data);
    }
    ret_node->type = IFAB_JSON_OBJECT;
    ret_node->u.object.members = sorted;
    ret_node->u.object.count = children->count;
    return IFAB_OK;
}

static ifab_status build_object(struct builder *b, struct ifab_json *ret_node)
{
    struct children children = {0};
    IFAB_TRY(next_event(b));
    while (b->event.type != YAML_MAPPING_END_EVENT) {
        struct ifab_json_member member = {0};
        if (children.count == IFAB_JSON_MAX_NAMES)
            return refuse_here(b, "more than 1024 names in one mapping");
        IFAB_TRY(build_name(b, &member));
        IFAB_TRY(build_node(b, &member.value));
        struct ifab_json_member *slot = add_child(b, &children);
        if (slot == NULL)
            return no_memory(b->err);
        *slot = member;
    }
    IFAB_TRY(sort_members(b, &children, ret_node));
    return next_event(b);
}

/* From the node's first event to behind its last. Recursion is bounded by the depth. */
static ifab_status build_node(struct builder *b, struct ifab_json *ret_node)
{
    IFAB_TRY(mark_event(b, &ret_node->offset));
    if (b->event.type == YAML_SCALAR_EVENT) {
        ret_node->type = IFAB_JSON_STRING;
        IFAB_TRY(take_scalar(b, &ret_node->u.string));
        return next_event(b);
    }
    if (b->event.type != YAML_SEQUENCE_START_EVENT && b->event.type != YAML_MAPPING_START_EVENT)
        return refuse_here(b, "a value is expected");
    if (b->depth == IFAB_JSON_MAX_DEPTH)
        return refuse_here(b, "nested deeper than 32");
    b->depth++;
    IFAB_TRY(b->event.type == YAML_SEQUENCE_START_EVENT ? build_list(b, ret_node) : build_object(b, ret_node));
    b->depth--;
    return IFAB_OK;
}

static ifab_status build_document(struct builder *b, struct ifab_json *root)
{
    root->type = IFAB_JSON_OBJECT; /* what an empty document is */
    IFAB_TRY(next_event(b));       /* stream start */
    IFAB_TRY(next_event(b));
    if (b->event.type == YAML_STREAM_END_EVENT)
        return mark_event(b, &root->offset);
    IFAB_TRY(next_event(b)); /* behind document start */
    const yaml_event_t *event = &b->event;
    if (event->type == YAML_SCALAR_EVENT && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && event->data.scalar.length == 0) {
        IFAB_TRY(mark_event(b, &root->offset));
        IFAB_TRY(next_event(b));
    } else {
        IFAB_TRY(build_node(b, root));
    }
    IFAB_TRY(next_event(b)); /* behind document end */
    return b->event.type == YAML_STREAM_END_EVENT ? IFAB_OK : refuse_here(b, "a second document is refused");
}

static ifab_status build(struct builder *b, struct ifab_view bytes, struct ifab_json *root)
{
    IFAB_TRY(start_parser(&b->parser, bytes, b->err));
    ifab_status status = build_document(b, root);
    if (b->has_event)
        yaml_event_delete(&b->event);
    yaml_parser_delete(&b->parser);
    return status;
}

ifab_status ifab_yaml_read(struct ifab_view bytes, struct ifab_arena *arena, struct ifab_yaml *ret_yaml, struct ifab_error *err)
{
    struct builder b = {.arena = arena, .err = err};
    if (bytes.size > SIZE_MAX_BYTES)
        return ifab_fail(err, IFAB_TOO_LARGE, "document of %zu bytes: at most %zu", bytes.size, SIZE_MAX_BYTES);
    if (bytes.data == NULL)
        bytes = IFAB_VIEW("");
    if (ifab_view_starts(bytes, IFAB_VIEW("\xef\xbb\xbf")))
        return refuse(err, (yaml_mark_t){0}, "the document starts with a byte order mark");
    IFAB_TRY(start_parser(&b.parser, bytes, err));
    ifab_status status = check_tokens(&b.parser, err);
    yaml_parser_delete(&b.parser);
    IFAB_TRY(status);
    struct ifab_json *root = ifab_arena_calloc(arena, 1, sizeof *root);
    if (root == NULL)
        return no_memory(err);
    IFAB_TRY(build(&b, bytes, root));
    *ret_yaml = (struct ifab_yaml){root, b.marks, b.mark_count};
    return IFAB_OK;
}

struct ifab_yaml_mark ifab_yaml_position(const struct ifab_yaml *yaml, const struct ifab_json *node)
{
    if (node == NULL || node->offset >= yaml->mark_count)
        return (struct ifab_yaml_mark){0};
    return yaml->marks[node->offset];
}
