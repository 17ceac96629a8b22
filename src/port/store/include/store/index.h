#ifndef STORE_INDEX_H
#define STORE_INDEX_H
/*
 * index.db: where entries of a trace, component, type or receiver stand in the log. A convenience beside the log: filled after the commit
 * by a follower, never synced, thrown away and filled again from 0 when there is any doubt about it. An answer is a hint where to read; the
 * entries themselves say what is true.
 */
#include "base/status.h"
#include "base/view.h"

enum ifab_index_kind {                           /* numbers are on disk */
                       IFAB_INDEX_TRACE = 1,     /* 16 bytes */
                       IFAB_INDEX_COMPONENT = 2, /* text of the entry */
                       IFAB_INDEX_TYPE = 3,      /* text of the entry */
                       IFAB_INDEX_RECEIVER = 4,  /* name of a talent to whom it delivers */
                       IFAB_INDEX_SUBJECT = 5,   /* 16 bytes of the message id it is about */
};
#define IFAB_INDEX_KEY_MAX 128 /* bytes of a key, at least 1 */

struct ifab_index_item {
    uint64_t index;
    enum ifab_index_kind kind;
    struct ifab_view key; /* borrowed */
};
struct ifab_index_options {
    const char *directory;     /* holds index.db; must exist */
    const uint8_t *identity32; /* of the log, e.g. the hash of its entry 0: the index of another log is thrown away */
    uint64_t store_size;       /* entries the store has: an index that knows more is of another history and thrown away */
    void (*between)(void *user); /* NULL, or called behind every 64 rows of an ifab_index_add(), on its thread; may sleep, may not use the index */
    void *user;
};
struct ifab_index;

/* Opens or makes it. Damaged, of another log, ahead of the store, or not closed before the machine went down: deleted and begun at position
 * 0. IFAB_AGAIN: locked by another process; IFAB_DENIED; IFAB_FULL; IFAB_IO; IFAB_NOMEM. */
IFAB_MUST_CHECK ifab_status ifab_index_open(const struct ifab_index_options *options, struct ifab_index **ret_index,
                                            struct ifab_error *err);
/* Entries [0, position) are in it. */
IFAB_MUST_CHECK ifab_status ifab_index_position(struct ifab_index *self, uint64_t *ret_position, struct ifab_error *err);
/* Adds items of entries [present position, position), any order, and moves the position: both or neither. An item twice is fine.
 * IFAB_INVALID: position goes back, or an item is outside; IFAB_DENIED: a reader; IFAB_FULL: nothing added.
 * IFAB_CORRUPT, IFAB_IO: close all handles and open again, it will be rebuilt. */
IFAB_MUST_CHECK ifab_status ifab_index_add(struct ifab_index *self, const struct ifab_index_item *items, size_t count, uint64_t position,
                                           struct ifab_error *err);
/* Indexes in [from, to) with that key, ascending, at most limit, into ret_indexes. */
IFAB_MUST_CHECK ifab_status ifab_index_query(struct ifab_index *self, enum ifab_index_kind kind, struct ifab_view key, uint64_t from,
                                             uint64_t to, size_t limit, uint64_t *ret_indexes, size_t *ret_count, struct ifab_error *err);
/* A further handle for another thread: it only asks. Close readers before the first handle. */
IFAB_MUST_CHECK ifab_status ifab_index_reader(struct ifab_index *self, struct ifab_index **ret_reader, struct ifab_error *err);
void ifab_index_close(struct ifab_index *self); /* accepts NULL */
void ifab_index_closep(struct ifab_index **self);
#endif
