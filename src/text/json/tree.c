/* Look-ups in a tree that was read, and the order of members for trees that come from elsewhere. */
#include "internal.h"

#include <assert.h>

const struct ifab_json *ifab_json_get(const struct ifab_json *object, const char *name)
{
    if (object == NULL || object->type != IFAB_JSON_OBJECT)
        return NULL;
    struct ifab_view wanted = ifab_view_str(name);
    const struct ifab_json_member *members = object->u.object.members;
    size_t low = 0, high = object->u.object.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = ifab_json__compare(wanted, members[middle].name);
        if (order == 0)
            return &members[middle].value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool ifab_json_string(const struct ifab_json *value, struct ifab_view *ret_string)
{
    if (value == NULL || value->type != IFAB_JSON_STRING)
        return false;
    *ret_string = value->u.string;
    return true;
}

struct ifab_view ifab_json_text(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

bool ifab_json_integer(const struct ifab_json *value, int64_t *ret_integer)
{
    if (value == NULL || value->type != IFAB_JSON_NUMBER || !value->u.number.integer)
        return false;
    *ret_integer = (int64_t)value->u.number.value;
    return true;
}

const struct ifab_json_member *ifab_json_sort_members(const struct ifab_json_member *members, size_t count,
                                                      struct ifab_json_member *ret_sorted)
{
    struct ifab_json__ranked ranked[IFAB_JSON_MAX_NAMES];
    assert(count <= IFAB_JSON_MAX_NAMES);
    for (size_t i = 0; i < count; i++)
        ranked[i] = (struct ifab_json__ranked){ifab_json__prefix(members[i].name), &members[i]};
    const struct ifab_json_member *second = ifab_json__sort(ranked, count);
    for (size_t i = 0; i < count && second == NULL; i++)
        ret_sorted[i] = *ranked[i].member;
    return second;
}
