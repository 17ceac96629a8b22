/* What changed between two manifests, as JSON pointers (RFC 6901): for an admin who has to see it, not to apply it. */
#include "capability_internal.h"

#include <stdio.h>

struct place {
    const struct place *parent;
    struct ifab_view name;
};
struct diff {
    struct ifab_arena *arena;
    struct ifab_manifest_change *changes;
    size_t max, count, total;
};

static size_t put_place(struct ifab_buf *buf, const struct place *place)
{
    if (place == NULL)
        return 0;
    put_place(buf, place->parent);
    ifab_buf_char(buf, '/');
    for (size_t i = 0; i < place->name.size; i++) {
        if (place->name.data[i] == '~' || place->name.data[i] == '/')
            ifab_buf_str(buf, place->name.data[i] == '~' ? "~0" : "~1");
        else
            ifab_buf_put(buf, place->name.data + i, 1);
    }
    return buf->size;
}

static ifab_status found(struct diff *diff, const struct place *place, const struct ifab_json *before, const struct ifab_json *after)
{
    diff->total++;
    if (diff->count == diff->max)
        return IFAB_OK;
    struct ifab_buf pointer = IFAB_BUF_INIT(4 * IFAB_MANIFEST_MAX);
    put_place(&pointer, place);
    ifab_status status = ifab_buf_status(&pointer);
    if (status == IFAB_OK)
        status = ifab_arena_copy(diff->arena, ifab_buf_as_view(&pointer), &diff->changes[diff->count].pointer);
    ifab_buf_fini(&pointer);
    if (status != IFAB_OK)
        return IFAB_NOMEM;
    diff->changes[diff->count].before = before;
    diff->changes[diff->count++].after = after;
    return IFAB_OK;
}

static ifab_status compare(struct diff *diff, const struct place *place, const struct ifab_json *before, const struct ifab_json *after);

/* Members of both in one walk: they are in the same order. */
static ifab_status compare_objects(struct diff *diff, const struct place *place, const struct ifab_json *before, const struct ifab_json *after)
{
    size_t i = 0, j = 0;
    while (i < before->u.object.count || j < after->u.object.count) {
        const struct ifab_json_member *old = i < before->u.object.count ? &before->u.object.members[i] : NULL;
        const struct ifab_json_member *new = j < after->u.object.count ? &after->u.object.members[j] : NULL;
        int order = old == NULL ? 1 : new == NULL ? -1 : ifab_view_compare(old->name, new->name);
        struct place here = {place, order <= 0 ? old->name : new->name};
        i += order <= 0;
        j += order >= 0;
        if (place == NULL && ifab_view_is(here.name, "signature"))
            continue;
        IFAB_TRY(order == 0  ? compare(diff, &here, &old->value, &new->value)
                 : order < 0 ? found(diff, &here, &old->value, NULL)
                             : found(diff, &here, NULL, &new->value));
    }
    return IFAB_OK;
}

static bool same_scalar(const struct ifab_json *a, const struct ifab_json *b)
{
    if (a->type == IFAB_JSON_STRING)
        return ifab_view_equal(a->u.string, b->u.string);
    return a->type != IFAB_JSON_NUMBER || a->u.number.value == b->u.number.value;
}

static ifab_status compare(struct diff *diff, const struct place *place, const struct ifab_json *before, const struct ifab_json *after)
{
    if (before->type != after->type)
        return found(diff, place, before, after);
    if (before->type == IFAB_JSON_OBJECT)
        return compare_objects(diff, place, before, after);
    if (before->type != IFAB_JSON_ARRAY)
        return same_scalar(before, after) ? IFAB_OK : found(diff, place, before, after);
    if (before->u.array.count != after->u.array.count)
        return found(diff, place, before, after);
    for (size_t i = 0; i < before->u.array.count; i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        struct place here = {place, ifab_view_str(index)};
        IFAB_TRY(compare(diff, &here, &before->u.array.items[i], &after->u.array.items[i]));
    }
    return IFAB_OK;
}

ifab_status ifab_manifest_diff(const struct ifab_json *before, const struct ifab_json *after, struct ifab_arena *arena,
                               struct ifab_manifest_change *ret_changes, size_t max, size_t *ret_count, size_t *ret_total)
{
    struct diff diff = {arena, ret_changes, max, 0, 0};
    IFAB_TRY(compare(&diff, NULL, before, after));
    *ret_count = diff.count;
    *ret_total = diff.total;
    return IFAB_OK;
}
