#ifndef LOOP_FOLLOW_H
#define LOOP_FOLLOW_H
/* What readers ask of the follower. Threads: any. */
#include "node.h"

struct follower_source { /* user of follower_node() */
    struct node *node;
    struct ifab_store *store; /* the asking thread's own handle */
};
ifab_status follower_tile(struct node *node, struct ifab_store *store, const struct ifab_tile *tile, struct ifab_buf *out, struct ifab_error *err);
/* Entry bundle of `width` entries; they must be committed. */
ifab_status follower_bundle(struct node *node, struct ifab_store *store, uint64_t number, unsigned width, struct ifab_buf *out, struct ifab_error *err);
ifab_status follower_query(struct node *node, enum ifab_index_kind kind, struct ifab_view key, uint64_t from, uint64_t to, size_t limit,
                           uint64_t *ret_indexes, size_t *ret_count, struct ifab_error *err);
/* follow_facts.c: what index.db keeps of an entry, at most 4 + IFAB_RECEIVER_MAX items behind those that are there. Threads: any. */
struct facts_out {
    struct ifab_arena *arena; /* keys may lie in it, or in the entry */
    struct ifab_index_item *items;
    size_t count;
};
#define FACTS_MOST (4 + IFAB_RECEIVER_MAX)
void entry_facts(const struct ifab_stored_entry *entry, struct facts_out *out);
bool entry_delivers(const struct ifab_json *tree, const struct ifab_json **ret_receivers);
void follower_free(struct node *node);
#endif
