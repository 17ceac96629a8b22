/* Anchors in memory: the readable reference. Nothing outlives it. Threads: one at a time. */
#include "anchor/anchor.h"
#include "base/mem.h"

#include <assert.h>

struct kept {
    uint8_t *origin, *note; /* owned */
    size_t origin_size, note_size;
    uint64_t size;
};
struct memory {
    struct ifab_anchor base;
    struct kept *items; /* ascending by size, of all origins */
    size_t count, room;
};

static struct memory *of(struct ifab_anchor *base) { return (struct memory *)(void *)base; }

static uint8_t *copied(struct ifab_view v)
{
    uint8_t *bytes = ifab_malloc(v.size);
    if (bytes != NULL)
        memcpy(bytes, v.data, v.size);
    return bytes;
}

static bool is_of(const struct kept *k, struct ifab_view origin)
{
    return ifab_view_equal(ifab_view_of(k->origin, k->origin_size), origin);
}

static ifab_status memory_put(struct ifab_anchor *base, struct ifab_view origin, uint64_t size, struct ifab_view note,
                              struct ifab_error *err)
{
    struct memory *self = of(base);
    size_t at = 0;
    for (; at < self->count && self->items[at].size <= size; at++) {
        const struct kept *k = &self->items[at];
        if (k->size != size || !is_of(k, origin))
            continue;
        if (ifab_view_equal(ifab_view_of(k->note, k->note_size), note))
            return IFAB_OK;
        return ifab_fail(err, IFAB_CONFLICT, "anchor: another checkpoint of size %llu is kept", (unsigned long long)size);
    }
    if (self->count == self->room) {
        struct kept *grown = ifab_realloc(self->items, (self->room + 16) * sizeof *grown);
        if (grown == NULL)
            return ifab_fail(err, IFAB_NOMEM, "anchor");
        self->items = grown;
        self->room += 16;
    }
    struct kept k = {copied(origin), copied(note), origin.size, note.size, size};
    if (k.origin == NULL || k.note == NULL) {
        ifab_free(k.origin);
        ifab_free(k.note);
        return ifab_fail(err, IFAB_NOMEM, "anchor");
    }
    memmove(&self->items[at + 1], &self->items[at], (self->count - at) * sizeof k);
    self->items[at] = k;
    self->count++;
    return IFAB_OK;
}

static ifab_status memory_list(struct ifab_anchor *base, struct ifab_view origin, size_t max, struct ifab_arena *arena,
                               struct ifab_anchor_item *ret_items, size_t *ret_count, struct ifab_error *err)
{
    const struct memory *self = of(base);
    size_t all = 0, count = 0;
    for (size_t i = 0; i < self->count; i++)
        all += is_of(&self->items[i], origin);
    size_t skip = all > max ? all - max : 0; /* the newest */
    for (size_t i = 0; i < self->count; i++) {
        const struct kept *k = &self->items[i];
        if (!is_of(k, origin))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        ret_items[count].size = k->size;
        ifab_status status = ifab_arena_copy(arena, ifab_view_of(k->note, k->note_size), &ret_items[count].note);
        if (status != IFAB_OK)
            return ifab_fail(err, status, "anchor: list");
        count++;
    }
    *ret_count = count;
    return IFAB_OK;
}

static void memory_close(struct ifab_anchor *base)
{
    struct memory *self = of(base);
    for (size_t i = 0; i < self->count; i++) {
        ifab_free(self->items[i].origin);
        ifab_free(self->items[i].note);
    }
    ifab_free(self->items);
    ifab_free(self);
}

static const struct ifab_anchor_ops memory_ops = {IFAB_ANCHOR_ABI, "memory", memory_put, memory_list, memory_close};

ifab_status ifab_anchor_memory_open(struct ifab_anchor **ret_anchor, struct ifab_error *err)
{
    assert(ret_anchor != NULL);
    struct memory *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "anchor");
    self->base.ops = &memory_ops;
    *ret_anchor = &self->base;
    return IFAB_OK;
}
