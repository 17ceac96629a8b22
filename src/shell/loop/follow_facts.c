/*
 * What index.db keeps of an entry: trace, component, type, subject, and the receivers of what is delivered. Entries are canonical, so one walk
 * over the bytes finds it; where something is not as we write it, the strict reader decides.
 */
#include <string.h>

#include "follow.h"

struct walk { /* over canonical JSON; never beyond end */
    const uint8_t *at, *end;
};
struct member {
    struct ifab_view name, value; /* value: the bytes as they stand, quotes included */
};
struct facts { /* of the top level; size 0: not there */
    struct ifab_view component, operation, payload, subject, trace, type;
};

static bool skip_string(struct walk *w) /* at its quote */
{
    const uint8_t *from = ++w->at;
    for (;;) {
        const uint8_t *quote = w->at < w->end ? memchr(w->at, '"', (size_t)(w->end - w->at)) : NULL;
        if (quote == NULL)
            return false;
        size_t slashes = 0;
        while (quote - slashes > from && quote[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        w->at = quote + 1;
        if (slashes % 2 == 0)
            return true;
    }
}

static bool skip_value(struct walk *w)
{
    size_t depth = 0;
    while (w->at < w->end) {
        uint8_t c = *w->at;
        if (c == '"') {
            if (!skip_string(w))
                return false;
            if (depth == 0)
                return true;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return true; /* behind a number or a word */
        w->at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return true;
    }
    return false;
}

/* The next member of an object; w stands behind its brace or behind a value. false: the end, or nonsense (*good tells). */
static bool next_member(struct walk *w, struct member *ret, bool *good)
{
    *good = w->at < w->end;
    if (!*good || *w->at == '}')
        return false;
    if (*w->at == ',')
        w->at++;
    const uint8_t *from = w->at;
    *good = w->at < w->end && *from == '"' && skip_string(w) && w->at < w->end && *w->at == ':';
    if (!*good)
        return false;
    ret->name = ifab_view_of(from + 1, (size_t)(w->at - from) - 2);
    from = ++w->at;
    *good = skip_value(w);
    ret->value = ifab_view_of(from, (size_t)(w->at - from));
    return *good;
}

static bool open_object(struct ifab_view bytes, struct walk *ret)
{
    if (bytes.size < 2 || bytes.data[0] != '{')
        return false;
    *ret = (struct walk){bytes.data + 1, bytes.data + bytes.size};
    return true;
}

static struct ifab_view member_of(struct ifab_view object, const char *name)
{
    struct walk w;
    struct member m;
    bool good = open_object(object, &w);
    while (good && next_member(&w, &m, &good))
        if (ifab_view_is(m.name, name))
            return m.value;
    return (struct ifab_view){NULL, 0};
}

/* Text of a string without escapes; null and what is not there: empty. false: the strict reader has to look. */
static bool plain(struct ifab_view value, struct ifab_view *ret)
{
    *ret = (struct ifab_view){NULL, 0};
    if (value.size < 2 || value.data[0] != '"')
        return value.size == 0 || ifab_view_is(value, "null");
    *ret = ifab_view_of(value.data + 1, value.size - 2);
    return memchr(ret->data, '\\', ret->size) == NULL;
}

static bool read_facts(struct ifab_view entry, struct facts *ret)
{
    const struct {
        const char *name;
        struct ifab_view *value;
    } wanted[] = {{"component", &ret->component}, {"operation", &ret->operation}, {"payload", &ret->payload},
                  {"subject", &ret->subject},     {"trace", &ret->trace},         {"type", &ret->type}};
    struct walk w;
    struct member m;
    bool good = open_object(entry, &w);
    size_t next = 0; /* canonical: in this order */
    while (good && next < IFAB_COUNT(wanted) && next_member(&w, &m, &good))
        if (ifab_view_is(m.name, wanted[next].name))
            *wanted[next++].value = m.value;
    return good && next == IFAB_COUNT(wanted) && plain(ret->component, &ret->component) && plain(ret->operation, &ret->operation) &&
           plain(ret->subject, &ret->subject) && plain(ret->trace, &ret->trace) && plain(ret->type, &ret->type);
}

static void add_item(struct facts_out *out, uint64_t index, enum ifab_index_kind kind, struct ifab_view key)
{
    if (key.size > 0 && key.size <= IFAB_INDEX_KEY_MAX)
        out->items[out->count++] = (struct ifab_index_item){.index = index, .kind = kind, .key = key};
}

/* NAME of NAME[/INSTANCE]: an inbox is the talent's, whichever instance was meant. */
static void add_receiver(struct facts_out *out, uint64_t index, struct ifab_view uri)
{
    struct ifab_view prefix = IFAB_VIEW("if://agent/");
    if (!ifab_view_starts(uri, prefix))
        return;
    struct ifab_view path = ifab_view_of(uri.data + prefix.size, uri.size - prefix.size);
    const uint8_t *slash = path.size > 0 ? memchr(path.data, '/', path.size) : NULL;
    if (slash != NULL)
        path.size = (size_t)(slash - path.data);
    add_item(out, index, IFAB_INDEX_RECEIVER, path);
}

static void add_facts(struct facts_out *out, uint64_t index, const struct facts *f)
{
    uint8_t *id16 = ifab_arena_alloc(out->arena, 32);
    if (id16 != NULL && ifab_uuid_parse(f->trace, id16) == IFAB_OK)
        add_item(out, index, IFAB_INDEX_TRACE, ifab_view_of(id16, 16));
    add_item(out, index, IFAB_INDEX_COMPONENT, f->component);
    add_item(out, index, IFAB_INDEX_TYPE, f->type);
    if (id16 != NULL && ifab_id_parse(f->subject, "msg-", id16 + 16) == IFAB_OK)
        add_item(out, index, IFAB_INDEX_SUBJECT, ifab_view_of(id16 + 16, 16));
}

/* Which member of the payload names the receivers: 1 header.receiver, 2 receiver, 0 none. */
static int delivery(struct ifab_view type, struct ifab_view operation)
{
    if (ifab_view_is(type, "message") && ifab_view_is(operation, "share"))
        return 1;
    return ifab_view_is(type, "decision") && ifab_view_is(operation, "released") ? 2 : 0;
}

static bool walk_receivers(const struct facts *f, uint64_t index, struct facts_out *out)
{
    int where = delivery(f->type, f->operation);
    struct ifab_view list = where == 0   ? (struct ifab_view){NULL, 0}
                            : where == 1 ? member_of(member_of(f->payload, "header"), "receiver")
                                         : member_of(f->payload, "receiver");
    if (list.size == 0)
        return true;
    struct walk w = {list.data, list.data + list.size};
    bool array = *w.at == '[';
    for (size_t i = 0; i < IFAB_RECEIVER_MAX && w.at < w.end && array; i++) {
        struct ifab_view uri;
        const uint8_t *from = ++w.at; /* behind the bracket or a comma */
        if (from < w.end && *from == ']')
            break;
        if (!skip_value(&w) || !plain(ifab_view_of(from, (size_t)(w.at - from)), &uri))
            return false;
        add_receiver(out, index, uri);
        if (w.at < w.end && *w.at == ']')
            break;
    }
    return true;
}

/* Is this entry a delivery: a message shared, or one released later? Its receivers then. */
bool entry_delivers(const struct ifab_json *tree, const struct ifab_json **ret_receivers)
{
    struct ifab_view type, operation;
    const struct ifab_json *payload = ifab_json_get(tree, "payload"), *receivers = NULL;
    if (!ifab_json_string(ifab_json_get(tree, "type"), &type) || !ifab_json_string(ifab_json_get(tree, "operation"), &operation))
        return false;
    int where = delivery(type, operation);
    if (where != 0)
        receivers = ifab_json_get(where == 1 ? ifab_json_get(payload, "header") : payload, "receiver");
    *ret_receivers = receivers;
    return receivers != NULL && receivers->type == IFAB_JSON_ARRAY;
}

static void strict_facts(struct facts_out *out, const struct ifab_stored_entry *entry)
{
    const struct ifab_json *tree, *receivers;
    struct ifab_json_limits limits = {0};
    struct facts f = {0};
    if (ifab_json_read(entry->entry, &limits, out->arena, &tree, NULL) != IFAB_OK)
        return;
    (void)ifab_json_string(ifab_json_get(tree, "trace"), &f.trace);
    (void)ifab_json_string(ifab_json_get(tree, "component"), &f.component);
    (void)ifab_json_string(ifab_json_get(tree, "type"), &f.type);
    (void)ifab_json_string(ifab_json_get(tree, "subject"), &f.subject);
    add_facts(out, entry->index, &f);
    if (!entry_delivers(tree, &receivers))
        return;
    for (size_t i = 0; i < receivers->u.array.count && i < IFAB_RECEIVER_MAX; i++) {
        struct ifab_view uri;
        if (ifab_json_string(&receivers->u.array.items[i], &uri))
            add_receiver(out, entry->index, uri);
    }
}

void entry_facts(const struct ifab_stored_entry *entry, struct facts_out *out)
{
    size_t before = out->count;
    struct facts f = {0};
    if (read_facts(entry->entry, &f)) {
        add_facts(out, entry->index, &f);
        if (walk_receivers(&f, entry->index, out))
            return;
    }
    out->count = before;
    strict_facts(out, entry);
}
