#ifndef ANCHOR_ANCHOR_H
#define ANCHOR_ANCHOR_H
/* Anchors: checkpoints kept elsewhere. Directory back-end: one file a checkpoint, "<origin with / as _>-<size, 20 digits>.checkpoint", written to a
 * temporary name, fsynced, renamed, directory fsynced; never overwritten with other content. */
#include "base/arena.h"
#include "base/status.h"

#define IFAB_ANCHOR_ABI 1
#define IFAB_ANCHOR_ORIGIN_MAX 180 /* bytes, at least 1, no control characters: leaves room for size and suffix in a file name */
#define IFAB_ANCHOR_NOTE_MAX 65536 /* bytes; the first line of a note is its origin (C2SP tlog-checkpoint), else put is IFAB_INVALID */
struct ifab_anchor_item {
    uint64_t size;
    struct ifab_view note; /* the signed note, whole */
};
struct ifab_anchor;
struct ifab_anchor_ops {
    unsigned abi;
    const char *name;
    /* Durable when it returns. The same note again is fine; other bytes for the same origin and size: IFAB_CONFLICT.
     * IFAB_NOT_FOUND: the place itself has gone; IFAB_DENIED; IFAB_FULL: nothing kept; IFAB_IO. */
    ifab_status (*put)(struct ifab_anchor *self, struct ifab_view origin, uint64_t size, struct ifab_view note, struct ifab_error *err);
    /* All of an origin, ascending by size, at most max (the newest). Foreign files are skipped; one of ours that cannot be read is
     * IFAB_CORRUPT: an anchor that is lost must not look like none. Size comes from the name. */
    ifab_status (*list)(struct ifab_anchor *self, struct ifab_view origin, size_t max, struct ifab_arena *arena, struct ifab_anchor_item *ret_items,
                        size_t *ret_count, struct ifab_error *err);
    void (*close)(struct ifab_anchor *self);
};
struct ifab_anchor {
    const struct ifab_anchor_ops *ops;
};
/* The directory must exist (IFAB_NOT_FOUND): an anchor store that vanished must not look like an empty one. */
IFAB_MUST_CHECK ifab_status ifab_anchor_directory_open(const char *path, struct ifab_anchor **ret_anchor, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_anchor_memory_open(struct ifab_anchor **ret_anchor, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_anchor_put(struct ifab_anchor *self, struct ifab_view origin, uint64_t size, struct ifab_view note, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_anchor_list(struct ifab_anchor *self, struct ifab_view origin, size_t max, struct ifab_arena *arena,
                                             struct ifab_anchor_item *ret_items, size_t *ret_count, struct ifab_error *err);
void ifab_anchor_close(struct ifab_anchor *self);
#endif
