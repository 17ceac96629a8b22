/* The wrappers callers use: they check what can be checked by shape, then call the table. */
#include "anchor/anchor.h"

#include <assert.h>

static bool usable(const struct ifab_anchor *self) { return self != NULL && self->ops != NULL && self->ops->abi == IFAB_ANCHOR_ABI; }

/* C2SP tlog-checkpoint: the origin is one line of text. Control characters would also make file names nobody can type. */
static bool origin_ok(struct ifab_view origin)
{
    if (origin.size == 0 || origin.size > IFAB_ANCHOR_ORIGIN_MAX || origin.data == NULL)
        return false;
    for (size_t i = 0; i < origin.size; i++) {
        if (origin.data[i] < 0x20 || origin.data[i] == 0x7f)
            return false;
    }
    return true;
}

ifab_status ifab_anchor_put(struct ifab_anchor *self, struct ifab_view origin, uint64_t size, struct ifab_view note, struct ifab_error *err)
{
    assert(usable(self));
    if (!origin_ok(origin))
        return ifab_fail(err, IFAB_INVALID, "anchor: an origin has 1 to %d bytes without control characters", IFAB_ANCHOR_ORIGIN_MAX);
    if (note.size == 0 || note.data == NULL)
        return ifab_fail(err, IFAB_INVALID, "anchor: empty note");
    if (note.size > IFAB_ANCHOR_NOTE_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "anchor: a note has at most %d bytes", IFAB_ANCHOR_NOTE_MAX);
    /* its first line is the origin: two origins that share a file name are told apart by it */
    if (note.size <= origin.size || !ifab_view_starts(note, origin) || note.data[origin.size] != '\n')
        return ifab_fail(err, IFAB_INVALID, "anchor: the note is not of this origin");
    return self->ops->put(self, origin, size, note, err);
}

ifab_status ifab_anchor_list(struct ifab_anchor *self, struct ifab_view origin, size_t max, struct ifab_arena *arena,
                             struct ifab_anchor_item *ret_items, size_t *ret_count, struct ifab_error *err)
{
    assert(usable(self));
    if (!origin_ok(origin))
        return ifab_fail(err, IFAB_INVALID, "anchor: an origin has 1 to %d bytes without control characters", IFAB_ANCHOR_ORIGIN_MAX);
    if (arena == NULL || ret_count == NULL || (max > 0 && ret_items == NULL))
        return ifab_fail(err, IFAB_INVALID, "anchor: list without a place for it");
    if (max == 0) {
        *ret_count = 0;
        return IFAB_OK;
    }
    return self->ops->list(self, origin, max, arena, ret_items, ret_count, err);
}

void ifab_anchor_close(struct ifab_anchor *self)
{
    if (self == NULL)
        return;
    assert(usable(self));
    self->ops->close(self);
}
