/*
 * Secrets in a tree: strings below a secret name, strings that hit by their form, and pairs that carry a name beside its value, as
 * [["Authorization", "…"]] and {"name": "Authorization", "value": "…"}. Depth is bounded by the reader.
 */
#include "internal.h"

#include "base/mem.h"

#include <stdio.h>

/* What the place of a value says about it. */
enum place { PLACE_OPEN, PLACE_LIST /* an item of a list */, PLACE_SECRET };

static bool secret_string(const struct ifab_json *value)
{
    return value->type == IFAB_JSON_STRING && ifab_redact_secret_name(value->u.string);
}

/* ["Authorization", "…"] inside a list: two tags of an ordinary list are no pair. */
static bool secret_pair(const struct ifab_json *value, enum place place)
{
    return place == PLACE_LIST && value->u.array.count == 2 && secret_string(&value->u.array.items[0]);
}

/* {"name": "Authorization", "value": "…"} */
static bool names_secret(const struct ifab_json *object)
{
    static const char *const carriers[] = {"name", "key", "header"};
    if (ifab_json_get(object, "value") == NULL)
        return false;
    for (size_t i = 0; i < IFAB_COUNT(carriers); i++) {
        const struct ifab_json *name = ifab_json_get(object, carriers[i]);
        if (name != NULL && secret_string(name))
            return true;
    }
    return false;
}

static enum place item_place(const struct ifab_json *array, size_t i, enum place place)
{
    if (place == PLACE_SECRET || (i == 1 && secret_pair(array, place)))
        return PLACE_SECRET;
    return PLACE_LIST;
}

static enum place member_place(const struct ifab_json_member *member, enum place place, bool names)
{
    if (place == PLACE_SECRET || ifab_redact_secret_name(member->name) || (names && ifab_view_is(member->name, "value")))
        return PLACE_SECRET;
    return PLACE_OPEN;
}

static bool hits_string(struct ifab_view text, enum place place)
{
    if (place == PLACE_SECRET)
        return text.size > 0 && !ifab_view_is(text, IFAB_REDACTED);
    return ifab_redact_hits_text(text);
}

static bool hits(const struct ifab_json *value, enum place place)
{
    if (value->type == IFAB_JSON_STRING)
        return hits_string(value->u.string, place);
    if (value->type == IFAB_JSON_ARRAY) {
        for (size_t i = 0; i < value->u.array.count; i++)
            if (hits(&value->u.array.items[i], item_place(value, i, place)))
                return true;
    } else if (value->type == IFAB_JSON_OBJECT) {
        bool names = names_secret(value);
        for (size_t i = 0; i < value->u.object.count; i++) {
            const struct ifab_json_member *member = &value->u.object.members[i];
            if (ifab_redact_hits_text(member->name) || hits(&member->value, member_place(member, place, names)))
                return true;
        }
    }
    return false;
}

bool ifab_redact_hits_json(const struct ifab_json *value)
{
    return hits(value, PLACE_OPEN);
}

static void put(struct ifab_buf *buf, const struct ifab_json *value, enum place place);

static void put_string(struct ifab_buf *buf, struct ifab_view text, enum place place)
{
    if (!hits_string(text, place)) {
        ifab_json_put_string(buf, text);
    } else if (place == PLACE_SECRET) {
        ifab_json_put_cstr(buf, IFAB_REDACTED);
    } else {
        struct ifab_buf plain = IFAB_BUF_INIT(SIZE_MAX);
        ifab_redact_text(&plain, text);
        if (ifab_buf_status(&plain) == IFAB_OK)
            ifab_json_put_string(buf, ifab_buf_as_view(&plain));
        else if (buf->failed == IFAB_OK)
            buf->failed = ifab_buf_status(&plain);
        ifab_buf_fini(&plain);
    }
}

static void put_member(struct ifab_buf *buf, const struct ifab_json_member *member, enum place place, bool *first)
{
    if (!*first)
        ifab_buf_char(buf, ',');
    *first = false;
    ifab_json_put_string(buf, member->name);
    ifab_buf_char(buf, ':');
    put(buf, &member->value, place);
}

/* Names that are secrets become ***REDACTED***-1, -2, … of fixed width, all in their place in the order: the form stays canonical. */
#define NAME_MARK IFAB_REDACTED "-"

static void put_hidden(struct ifab_buf *buf, const struct ifab_json *value, enum place place, bool names, bool *first)
{
    unsigned number = 0;
    for (size_t i = 0; i < value->u.object.count; i++) {
        struct ifab_json_member member = value->u.object.members[i];
        if (!ifab_redact_hits_text(member.name))
            continue;
        enum place inside = member_place(&member, place, names);
        char name[sizeof NAME_MARK + 8];
        int size = snprintf(name, sizeof name, NAME_MARK "%04u", ++number);
        member.name = ifab_view_of(name, (size_t)size);
        put_member(buf, &member, inside, first);
    }
}

static void put_object(struct ifab_buf *buf, const struct ifab_json *value, enum place place)
{
    bool first = true, hidden = false, names = names_secret(value);
    ifab_buf_char(buf, '{');
    for (size_t i = 0; i < value->u.object.count; i++) {
        const struct ifab_json_member *member = &value->u.object.members[i];
        if (!hidden && ifab_view_compare(member->name, IFAB_VIEW(NAME_MARK)) > 0) {
            put_hidden(buf, value, place, names, &first);
            hidden = true;
        }
        if (!ifab_redact_hits_text(member->name))
            put_member(buf, member, member_place(member, place, names), &first);
    }
    if (!hidden)
        put_hidden(buf, value, place, names, &first);
    ifab_buf_char(buf, '}');
}

static void put(struct ifab_buf *buf, const struct ifab_json *value, enum place place)
{
    switch (value->type) {
    case IFAB_JSON_STRING:
        put_string(buf, value->u.string, place);
        return;
    case IFAB_JSON_ARRAY:
        ifab_buf_char(buf, '[');
        for (size_t i = 0; i < value->u.array.count; i++) {
            if (i > 0)
                ifab_buf_char(buf, ',');
            put(buf, &value->u.array.items[i], item_place(value, i, place));
        }
        ifab_buf_char(buf, ']');
        return;
    case IFAB_JSON_OBJECT:
        put_object(buf, value, place);
        return;
    case IFAB_JSON_NULL:
    case IFAB_JSON_FALSE:
    case IFAB_JSON_TRUE:
    case IFAB_JSON_NUMBER:
        ifab_json_write(buf, value);
        return;
    }
}

void ifab_redact_json(struct ifab_buf *buf, const struct ifab_json *value)
{
    put(buf, value, PLACE_OPEN);
}
