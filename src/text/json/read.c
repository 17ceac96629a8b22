/*
 * The reader: one pass, no recursion. Values whose container is still open wait on a stack of segments; when the container closes they
 * are copied, in order, to an array of their exact number.
 * Invariants: 1. a container's own slot lies below its children on the stack. 2. at most 32 containers are open. 3. members of a closed
 * object are sorted and their names differ.
 */
#include "internal.h"

/* For the working space on the stack: 3 KiB that are written before they are read, at every document; hardening would zero them first. */
#if defined(__has_attribute) && __has_attribute(uninitialized)
#define UNSET __attribute__((uninitialized))
#else
#define UNSET
#endif
#define SEGMENT_SLOTS 32
#define SIZE_DEFAULT ((size_t)1 << 20)

struct segment {
    struct segment *below, *above; /* above: kept for the next time when it becomes empty */
    size_t used;
    struct ifab_json_member slots[SEGMENT_SLOTS]; /* an item of an array has no name */
};
struct mark { /* a height of the stack */
    struct segment *segment;
    size_t used;
};
struct frame { /* an open container */
    struct ifab_json *value;
    struct mark mark; /* height before its first child */
    size_t count;
};
struct document {
    struct ifab_json__reader r;
    struct segment *top;
    struct frame frames[IFAB_JSON_MAX_DEPTH];
    size_t depth;
};

static struct ifab_json_member *push(struct document *d)
{
    if (d->top->used == SEGMENT_SLOTS) {
        struct segment *next = d->top->above;
        if (next == NULL) {
            next = ifab_arena_alloc(d->r.arena, sizeof *next);
            if (next == NULL)
                return NULL;
            next->below = d->top;
            next->above = NULL;
            d->top->above = next;
        }
        next->used = 0;
        d->top = next;
    }
    return &d->top->slots[d->top->used++];
}

/* The slot at *at, moving it one up. */
static const struct ifab_json_member *walk(struct mark *at)
{
    if (at->used == at->segment->used) {
        at->segment = at->segment->above;
        at->used = 0;
    }
    return &at->segment->slots[at->used++];
}

static void drop_to(struct document *d, struct mark mark)
{
    d->top = mark.segment;
    d->top->used = mark.used;
}

static void skip_space(struct ifab_json__reader *r)
{
    while (r->at != r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static ifab_status close_array(struct document *d, const struct frame *frame)
{
    struct ifab_json *items = ifab_arena_alloc(d->r.arena, frame->count * sizeof *items);
    if (items == NULL)
        return IFAB_JSON__NOMEM(&d->r);
    struct mark at = frame->mark;
    for (size_t i = 0; i < frame->count; i++)
        items[i] = walk(&at)->value;
    frame->value->u.array.items = items;
    frame->value->u.array.count = frame->count;
    return IFAB_OK;
}

static ifab_status sort_members(struct document *d, const struct frame *frame, struct ifab_json__ranked *ranked)
{
    struct mark at = frame->mark;
    for (size_t i = 0; i < frame->count; i++) {
        const struct ifab_json_member *member = walk(&at);
        ranked[i] = (struct ifab_json__ranked){ifab_json__prefix(member->name), member};
    }
    const struct ifab_json_member *second = ifab_json__sort(ranked, frame->count);
    if (second != NULL)
        return IFAB_JSON__REFUSE(&d->r, d->r.start + second->offset, "name used twice in one object");
    struct ifab_json_member *members = ifab_arena_alloc(d->r.arena, frame->count * sizeof *members);
    if (members == NULL)
        return IFAB_JSON__NOMEM(&d->r);
    for (size_t i = 0; i < frame->count; i++)
        members[i] = *ranked[i].member;
    frame->value->u.object.members = members;
    frame->value->u.object.count = frame->count;
    return IFAB_OK;
}

/* Two sizes of working space on the stack: a small object should not pay for a large one. */
static ifab_status close_few(struct document *d, const struct frame *frame)
{
    struct ifab_json__ranked ranked[24];
    return sort_members(d, frame, ranked);
}

__attribute__((noinline)) static ifab_status close_many(struct document *d, const struct frame *frame)
{
    struct ifab_json__ranked ranked[IFAB_JSON_MAX_NAMES];
    return sort_members(d, frame, ranked);
}

static ifab_status close_container(struct document *d)
{
    const struct frame *frame = &d->frames[d->depth - 1];
    d->r.at++;
    if (frame->count > 0) {
        if (frame->value->type == IFAB_JSON_ARRAY)
            IFAB_TRY(close_array(d, frame));
        else
            IFAB_TRY(frame->count <= 24 ? close_few(d, frame) : close_many(d, frame));
        drop_to(d, frame->mark);
    }
    d->depth--;
    return IFAB_OK;
}

static ifab_status open_container(struct document *d, struct ifab_json *value, enum ifab_json_type type)
{
    if (d->depth == IFAB_JSON_MAX_DEPTH)
        return IFAB_JSON__REFUSE(&d->r, d->r.at, "nested deeper than %d", IFAB_JSON_MAX_DEPTH);
    value->type = type;
    if (type == IFAB_JSON_ARRAY) {
        value->u.array.items = NULL;
        value->u.array.count = 0;
    } else {
        value->u.object.members = NULL;
        value->u.object.count = 0;
    }
    d->frames[d->depth++] = (struct frame){value, {d->top, d->top->used}, 0};
    d->r.at++;
    return IFAB_OK;
}

static ifab_status read_word(struct ifab_json__reader *r, const char *word, enum ifab_json_type type, struct ifab_json *value)
{
    size_t size = strlen(word);
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
        return IFAB_JSON__REFUSE(r, r->at, "a value is expected: true, false, null, a number, a string, an array or an object");
    r->at += size;
    value->type = type;
    return IFAB_OK;
}

/* A scalar whole, or the opening of a container, which shows in d->depth. */
static ifab_status read_value(struct document *d, struct ifab_json *value)
{
    struct ifab_json__reader *r = &d->r;
    if (r->at == r->end)
        return IFAB_JSON__REFUSE(r, r->at, "the document ends where a value is expected");
    value->offset = (uint32_t)(r->at - r->start);
    uint8_t c = *r->at;
    if (c == '"') {
        value->type = IFAB_JSON_STRING;
        return ifab_json__read_string(r, &value->u.string);
    }
    if (c == '{')
        return open_container(d, value, IFAB_JSON_OBJECT);
    if (c == '[')
        return open_container(d, value, IFAB_JSON_ARRAY);
    if (c == '-' || (c >= '0' && c <= '9'))
        return ifab_json__read_number(r, value);
    if (c == 'n')
        return read_word(r, "null", IFAB_JSON_NULL, value);
    if (c == 'f')
        return read_word(r, "false", IFAB_JSON_FALSE, value);
    if (c == '/')
        return IFAB_JSON__REFUSE(r, r->at, "JSON has no comments");
    return read_word(r, "true", IFAB_JSON_TRUE, value);
}

/* The slot for the next child of the innermost container; in an object its name and colon are read first. */
static ifab_status next_slot(struct document *d, struct ifab_json **ret_slot)
{
    struct ifab_json__reader *r = &d->r;
    struct frame *frame = &d->frames[d->depth - 1];
    struct ifab_json_member *slot = push(d);
    if (slot == NULL)
        return IFAB_JSON__NOMEM(r);
    skip_space(r);
    if (frame->value->type == IFAB_JSON_OBJECT) {
        if (r->at == r->end || *r->at != '"')
            return IFAB_JSON__REFUSE(r, r->at, "a name in quotes is expected");
        if (frame->count == IFAB_JSON_MAX_NAMES)
            return IFAB_JSON__REFUSE(r, r->at, "more than %d names in one object", IFAB_JSON_MAX_NAMES);
        slot->offset = (uint32_t)(r->at - r->start);
        IFAB_TRY(ifab_json__read_string(r, &slot->name));
        skip_space(r);
        if (r->at == r->end || *r->at != ':')
            return IFAB_JSON__REFUSE(r, r->at, "':' is expected after a name");
        r->at++;
        skip_space(r);
    }
    frame->count++;
    *ret_slot = &slot->value;
    return IFAB_OK;
}

/* Behind a value or an opening bracket. *ret_slot NULL: the document's value is complete. */
static ifab_status advance(struct document *d, struct ifab_json **ret_slot)
{
    struct ifab_json__reader *r = &d->r;
    *ret_slot = NULL;
    while (d->depth > 0) {
        const struct frame *frame = &d->frames[d->depth - 1];
        bool object = frame->value->type == IFAB_JSON_OBJECT;
        skip_space(r);
        if (r->at != r->end && *r->at == (object ? '}' : ']')) {
            IFAB_TRY(close_container(d));
            continue;
        }
        if (frame->count > 0 && (r->at == r->end || *r->at != ','))
            return IFAB_JSON__REFUSE(r, r->at, object ? "',' or '}' is expected" : "',' or ']' is expected");
        if (frame->count > 0)
            r->at++;
        return next_slot(d, ret_slot);
    }
    return IFAB_OK;
}

static ifab_status read_document(struct document *d, struct ifab_json *root)
{
    static const uint8_t bom[3] = {0xef, 0xbb, 0xbf};
    struct ifab_json__reader *r = &d->r;
    if (r->end - r->at >= 3 && memcmp(r->at, bom, 3) == 0)
        return IFAB_JSON__REFUSE(r, r->at, "the document starts with a byte order mark");
    skip_space(r);
    for (struct ifab_json *slot = root; slot != NULL;) {
        IFAB_TRY(read_value(d, slot));
        IFAB_TRY(advance(d, &slot));
    }
    skip_space(r);
    if (r->at != r->end)
        return IFAB_JSON__REFUSE(r, r->at, "bytes after the end of the document");
    return IFAB_OK;
}

ifab_status ifab_json_read(struct ifab_view bytes, const struct ifab_json_limits *limits, struct ifab_arena *arena,
                           const struct ifab_json **ret_value, struct ifab_error *err)
{
    size_t max = limits == NULL || limits->max_size == 0 ? SIZE_DEFAULT : limits->max_size;
    if (bytes.size > max || bytes.size >= UINT32_MAX) /* offsets have 32 bits */
        return ifab_fail(err, IFAB_TOO_LARGE, "document of %zu bytes: at most %zu", bytes.size, max);
    if (bytes.data == NULL)
        bytes = IFAB_VIEW(""); /* so that pointers into it may be compared */
    struct segment first UNSET;
    struct document d UNSET;
    first.below = first.above = NULL;
    first.used = 0;
    d.r = (struct ifab_json__reader){bytes.data, bytes.data, bytes.data + bytes.size, arena, err,
                                     limits != NULL && limits->all_numbers_safe};
    d.top = &first;
    d.depth = 0;
    struct ifab_json *root = ifab_arena_alloc(arena, sizeof *root);
    if (root == NULL)
        return IFAB_JSON__NOMEM(&d.r);
    IFAB_TRY(read_document(&d, root));
    *ret_value = root;
    return IFAB_OK;
}
