#ifndef LOOP_FOLLOW_INTERNAL_H
#define LOOP_FOLLOW_INTERNAL_H
/* Inside of the follower: follow.c takes entries in, follow_tiles.c keeps and makes tiles. */
#include "follow.h"

#define LEVELS 8
#define WIDTH 256

struct tail {
    uint64_t base; /* index at this level of hashes[0]; a multiple of 256 */
    unsigned count;
    uint8_t hashes[WIDTH][32];
};
struct handed { /* entries of one commit, durable */
    struct handed *next;
    uint64_t first;
    size_t count, bytes;
    uint32_t sizes[]; /* then the entries, one after the other */
};
struct follower {
    uv_thread_t thread;
    uv_mutex_t lock;          /* tails, size, target, stop */
    uv_mutex_t index_lock;    /* index: one handle, short questions */
    uv_mutex_t wake_lock;     /* target, stop, asked: what the loop may touch without waiting for a file */
    uv_cond_t wake, moved;
    struct ifab_tree tree;    /* over the entries taken in: the only root that is ever signed */
    _Atomic unsigned trust, distrusted; /* tile files of so many levels from below are believed, others made again; how often that began */
    unsigned remake_of;       /* the follower's own: the one of `distrusted` that it works on */
    uint64_t remake_next;
    struct handed *handed_first, *handed_last; /* under wake_lock, handed_bytes too */
    size_t handed_bytes;
    struct ifab_buf bundle;   /* of the entries from the last full one on; bundle_from: the first in it */
    uint64_t bundle_from;
    struct ifab_index_item *items; /* for one chunk */
    size_t item_room;
    struct tail tails[LEVELS];
    uint64_t size, indexed, target;
    struct ifab_store *store;
    struct ifab_index *index;
    struct ifab_arena arena;
    bool stop, halted, started; /* halted: stop, as those who wait under lock see it */
    bool stuck; /* index.db cannot be filled now (no room): tiles go on, questions are answered 504, every wake tries again */
    bool asked; /* somebody asked while it was stuck */
    bool gathering; /* under wake_lock: it waits for more, and for no longer than that */
    size_t turn;              /* the follower's own: entries of this turn */
    uint64_t committed_ns; /* under wake_lock: when it last heard of a commit */
};

/* follow_tiles.c */
ifab_status follower__entries(struct ifab_store *store, uint64_t first, size_t count, struct ifab_arena *arena, struct ifab_stored_entry *ret,
                              struct ifab_error *err);
void follower__push(struct node *node, unsigned level, const uint8_t hash32[32]);             /* under lock */
void follower__bundle(struct node *node, uint64_t index, struct ifab_view entry);             /* the next entry: its bundle is written when full */
ifab_status follower__tails(struct node *node, uint64_t size, struct ifab_error *err);       /* as they are at size */
bool follower__remake(struct node *node); /* some tiles that are not believed; false: nothing left to do, or it failed */
#endif
