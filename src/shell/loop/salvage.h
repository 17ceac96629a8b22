#ifndef LOOP_SALVAGE_H
#define LOOP_SALVAGE_H
/* Shared by salvage.c, salvage_read.c, salvage_keep.c: going on from what can still be read of a damaged log. */
#include "connect/envelope.h"
#include "node.h"

#define SALVAGE_TREES 64
struct signed_tree { /* the log's key answers for it: what it covers is the log's */
    uint64_t size;
    uint8_t root32[32];
    bool met; /* the entries that were read have this root */
};
struct salvage {
    const struct ifab_salvage_options *options;
    struct node *old;
    struct ifab_salvage *source;
    struct ifab_arena arena; /* of one entry */
    struct ifab_buf canonical, bundle; /* bundle: of the tiles, when the database has nothing more */
    uint64_t bundle_number, bundle_count;
    struct signed_tree trees[SALVAGE_TREES];
    size_t tree_count;
    struct ifab_head head;
    bool has_head; /* under its HMAC */
    struct ifab_meta meta;
    uint64_t largest; /* that was ever signed or committed, as far as is known */
    /* of the pass */
    struct ifab_tree tree;
    uint8_t prev32[32];
    ifab_usec time;
    uint64_t from_tiles;
    struct ifab_salvage_report report;
    /* what entries say, copied */
    struct ifab_arena kept;
    struct ifab_view records[65536]; /* of talents, by number */
    struct ifab_buf changes[IFAB_LOG_KEYS_MAX];
    size_t change_count;
    uint8_t rules32[32];
    bool has_rules;
    struct ifab_view rules;
    uint64_t fence_offset;
    bool has_fence;
    struct ifab_u64map messages, erased;
    uint8_t (*hashes[8])[32]; /* of the tile being filled, a level each */
    size_t hash_counts[8];
    uint64_t tile_numbers[8];
    struct ifab_buf out; /* entry bundle being filled */
    char export[1200];
    struct ifab_money *money; /* as the entries leave it: salvage_money.c */
    struct ifab_breakers *breakers;
    struct ifab_prices *prices;
    uint64_t money_number;
    struct ifab_registry *registry; /* as the entries leave it */
    uint64_t registry_number;
};

/* salvage_money.c: what this entry says of money, if anything */
ifab_status salvage_money(struct salvage *s, const struct ifab_json *tree, struct ifab_error *err);

/* salvage_read.c: entry i, and that it is the one behind i - 1. false: it cannot be read, or is another's. */
bool salvage_next(struct salvage *s, uint64_t index, struct ifab_stored_entry *ret_entry, const struct ifab_json **ret_tree);
ifab_status salvage_survey(struct salvage *s, struct ifab_error *err); /* how far it can be read, and how far that is proven */

/* salvage_keep.c: what stands in the first `size` entries, written out as an export and taken in. */
ifab_status salvage_keep(struct salvage *s, uint64_t size, struct ifab_error *err);
#endif
