/*
 * Entries of a damaged log, from the database and, where that has nothing more, from full bundles of its tiles. An entry is taken only when
 * it is canonical, has its index and hangs on the one before; a prefix is proven when the log's key signed its root: the head under its
 * HMAC, or an anchor.
 */
#include "salvage.h"

#include <inttypes.h>
#include <string.h>

#include "base/encode.h"

#define BUNDLE_MAX ((size_t)256 * (IFAB_ENTRY_MAX + 2))

/* The full bundle that holds the entry; there is none of a last, partial one. */
static bool from_tiles(struct salvage *s, uint64_t index, struct ifab_view *ret_entry)
{
    struct ifab_tile tile = {.entries = true, .number = index / 256, .width = 256};
    struct ifab_view rest, entry = {NULL, 0};
    char name[64], path[1300];
    if (s->bundle_number != tile.number || s->bundle.size == 0) {
        ifab_tile_format(&tile, name);
        snprintf(path, sizeof path, "%s/tiles/%s", s->old->config.data_dir, name);
        ifab_buf_clear(&s->bundle);
        s->bundle_number = tile.number;
        if (node_read_file(path, BUNDLE_MAX, &s->bundle, NULL) != IFAB_OK)
            ifab_buf_clear(&s->bundle);
    }
    rest = ifab_buf_as_view(&s->bundle);
    for (uint64_t i = 0; i <= index % 256; i++)
        if (!ifab_bundle_next(&rest, &entry))
            return false;
    return ifab_arena_copy(&s->arena, entry, ret_entry) == IFAB_OK;
}

static bool hangs_on(struct salvage *s, uint64_t index, struct ifab_view bytes, const struct ifab_json **ret_tree)
{
    struct ifab_view text = {NULL, 0};
    uint8_t prev32[32];
    int64_t number = -1;
    if (ifab_json_read(bytes, NULL, &s->arena, ret_tree, NULL) != IFAB_OK)
        return false;
    ifab_buf_clear(&s->canonical);
    ifab_json_write(&s->canonical, *ret_tree);
    return ifab_buf_status(&s->canonical) == IFAB_OK && ifab_view_equal(ifab_buf_as_view(&s->canonical), bytes) &&
           ifab_json_integer(ifab_json_get(*ret_tree, "index"), &number) && number >= 0 && (uint64_t)number == index &&
           ifab_json_string(ifab_json_get(*ret_tree, "prev_hash"), &text) && ifab_hex_decode(text, prev32, 32) == IFAB_OK &&
           memcmp(prev32, s->prev32, 32) == 0 && ifab_json_string(ifab_json_get(*ret_tree, "time"), &text) && ifab_time_parse(text, &s->time) == IFAB_OK;
}

bool salvage_next(struct salvage *s, uint64_t index, struct ifab_stored_entry *ret_entry, const struct ifab_json **ret_tree)
{
    uint8_t leaf32[32];
    ifab_arena_reset(&s->arena);
    *ret_entry = (struct ifab_stored_entry){.index = index};
    bool good = ifab_salvage_entry(s->source, index, &s->arena, ret_entry) && hangs_on(s, index, ret_entry->entry, ret_tree);
    if (!good) {
        ifab_arena_reset(&s->arena);
        *ret_entry = (struct ifab_stored_entry){.index = index};
        if (!from_tiles(s, index, &ret_entry->entry) || !hangs_on(s, index, ret_entry->entry, ret_tree))
            return false;
        s->from_tiles++;
    }
    ifab_sha256(ret_entry->entry, s->prev32);
    ifab_leaf_hash(ret_entry->entry, leaf32);
    ifab_tree_append(&s->tree, leaf32);
    return true;
}

static void add_tree(struct salvage *s, uint64_t size, const uint8_t root32[32])
{
    if (size > s->largest)
        s->largest = size;
    if (s->tree_count < SALVAGE_TREES && size > 0) {
        s->trees[s->tree_count].size = size;
        memcpy(s->trees[s->tree_count++].root32, root32, 32);
    }
}

/* The head that the last commit left, when it is still under its HMAC. */
static void take_head(struct salvage *s)
{
    struct ifab_view meta;
    uint8_t mac32[32];
    if (!ifab_salvage_head(s->source, &s->arena, &s->head, &meta))
        return;
    node_mac(s->old->mac_key32, &s->head, meta, mac32);
    if ((!ifab_equal_ct(mac32, s->head.mac32, 32) && !log_key_is_next(s->old, &s->head, meta)) || !ifab_meta_unpack(meta, &s->meta))
        return;
    s->has_head = true;
    s->fence_offset = s->meta.fence_offset;
    s->has_fence = true;
    add_tree(s, s->head.size, s->head.root32);
}

/* Whose key it is only the log itself can tell; so every key of the directory may have signed it, and the entries must have its root. */
static void take_note(struct salvage *s, struct ifab_view note)
{
    struct ifab_view text;
    struct ifab_checkpoint checkpoint;
    uint8_t public32[32];
    ifab_signer_public(s->old->log_key, public32);
    bool good = ifab_note_verify(note, ifab_view_str(s->old->origin), public32, &text, NULL) == IFAB_OK;
    if (good && ifab_checkpoint_read(text, &checkpoint, NULL) == IFAB_OK && ifab_view_is(checkpoint.origin, s->old->origin))
        add_tree(s, checkpoint.size, checkpoint.root32);
}

static ifab_status take_anchors(struct salvage *s, struct ifab_error *err)
{
    for (size_t i = 0; i < s->old->config.anchor_dir_count; i++) {
        struct ifab_anchor *anchor = NULL;
        struct ifab_anchor_item items[SALVAGE_TREES / 4];
        struct ifab_arena arena;
        size_t count = 0;
        ifab_arena_init(&arena, (size_t)16 << 20);
        ifab_status status = ifab_anchor_directory_open(s->old->config.anchor_dirs[i], &anchor, err);
        if (status == IFAB_OK)
            status = ifab_anchor_list(anchor, ifab_view_str(s->old->origin), IFAB_COUNT(items), &arena, items, &count, err);
        for (size_t k = 0; k < count && status == IFAB_OK; k++)
            take_note(s, items[k].note);
        ifab_anchor_close(anchor);
        ifab_arena_fini(&arena);
        IFAB_TRY(status); /* what stands there decides what may be believed: it must be readable */
    }
    return IFAB_OK;
}

static ifab_status take_checkpoint(struct salvage *s, struct ifab_error *err)
{
    struct ifab_buf note = IFAB_BUF_INIT(65536);
    size_t before = s->tree_count;
    ifab_status status = s->options->checkpoint == NULL ? IFAB_OK : node_read_file(s->options->checkpoint, 65000, &note, err);
    if (status == IFAB_OK && s->options->checkpoint != NULL) {
        take_note(s, ifab_buf_as_view(&note));
        if (s->tree_count == before)
            status = ifab_fail(err, IFAB_INVALID, "%s is no checkpoint of this log by the key in %s", s->options->checkpoint, s->old->key_dir);
    }
    ifab_buf_fini(&note);
    return status;
}

/* A signed tree that the entries contradict: this is another history, and nothing of it is gone on from. */
static ifab_status compare(struct salvage *s, uint64_t size, struct ifab_error *err)
{
    uint8_t root32[32];
    for (size_t i = 0; i < s->tree_count; i++) {
        if (s->trees[i].size != size)
            continue;
        ifab_tree_root(&s->tree, root32);
        if (memcmp(root32, s->trees[i].root32, 32) != 0)
            return ifab_fail(err, IFAB_CORRUPT, "the first %" PRIu64 " entries are not those that the log's key signed: they were altered", size);
        s->trees[i].met = true;
        s->report.proven = size > s->report.proven ? size : s->report.proven;
    }
    return IFAB_OK;
}

ifab_status salvage_survey(struct salvage *s, struct ifab_error *err)
{
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    take_head(s);
    IFAB_TRY(take_anchors(s, err));
    IFAB_TRY(take_checkpoint(s, err));
    while (salvage_next(s, s->report.readable, &entry, &tree)) {
        s->report.readable++;
        IFAB_TRY(compare(s, s->report.readable, err));
    }
    s->report.committed_known = s->has_head;
    s->report.committed = s->has_head ? s->head.size : s->largest;
    return IFAB_OK;
}
