/*
 * Leaves against hash tiles, level by level. Each level holds the hashes of its current tile and the small tree over them; the root of a
 * full tile becomes the next hash one level up. So every node is computed once, and the root of any prefix is the fold of what the levels
 * hold. The tile of the leaves is read before them and each is compared at once: the first entry that differs is the one that is reported.
 */
#include "verify_internal.h"

#define LEVELS 8 /* 2^64 leaves */

struct level {
    struct ifab_tree tree; /* over hashes; at most 256 leaves */
    uint8_t hashes[VERIFY_TILE][32];
    uint64_t number; /* of the tile being filled */
};
struct verify_tree {
    int dir_fd;
    uint64_t size;
    struct ifab_buf file; /* the tile of the leaves, or one of another level */
    struct level levels[LEVELS];
};

ifab_status ifab_verify__tree_new(int dir_fd, uint64_t size, struct verify_tree **ret_tree)
{
    struct verify_tree *self = ifab_calloc(1, sizeof *self);

    if (self == NULL)
        return IFAB_NOMEM;
    self->dir_fd = dir_fd;
    self->size = size;
    ifab_buf_init(&self->file, VERIFY_TILE * 32 + 1);
    *ret_tree = self;
    return IFAB_OK;
}

void ifab_verify__tree_free(struct verify_tree *self)
{
    if (self == NULL)
        return;
    ifab_buf_fini(&self->file);
    ifab_free(self);
}

/* Tiles above level 0 can be computed from it, so an export may leave them out; where they are, they must be right. */
static ifab_status load_tile(struct verify_tree *self, unsigned number, size_t width, bool *ret_here, struct ifab_verify_report *report,
                             struct ifab_error *err)
{
    const struct ifab_tile tile = {.level = number, .number = self->levels[number].number, .width = (unsigned)width};
    const uint64_t first = tile.number * VERIFY_TILE << (8 * number);
    char path[64];
    ifab_status status;

    ifab_tile_format(&tile, path);
    *ret_here = false;
    status = ifab_verify__file(self->dir_fd, path, VERIFY_TILE * 32, &self->file, err);
    if (status == IFAB_NOT_FOUND) {
        if (number == 0)
            ifab_verify__broken_at(report, first, "%s is missing", path);
        return IFAB_OK;
    }
    if (status == IFAB_TOO_LARGE || status == IFAB_INVALID || (status == IFAB_OK && self->file.size != width * 32)) {
        ifab_verify__broken_at(report, first, "%s: not %zu hashes", path, width);
        return IFAB_OK;
    }
    *ret_here = status == IFAB_OK;
    return status;
}

static ifab_status check_upper_tile(struct verify_tree *self, unsigned number, struct ifab_verify_report *report, struct ifab_error *err)
{
    const struct level *level = &self->levels[number];
    const size_t width = (size_t)level->tree.size;
    bool here;

    IFAB_TRY(load_tile(self, number, width, &here, report, err));
    if (here && memcmp(self->file.data, level->hashes, width * 32) != 0)
        ifab_verify__broken_at(report, level->number * VERIFY_TILE << (8 * number),
                               "tile of level %u, number %llu: not the hashes of the entries", number, (unsigned long long)level->number);
    return IFAB_OK;
}

static ifab_status add(struct verify_tree *self, unsigned number, const uint8_t hash32[32], struct ifab_verify_report *report,
                       struct ifab_error *err)
{
    struct level *level = &self->levels[number];

    memcpy(level->hashes[level->tree.size], hash32, 32);
    ifab_tree_append(&level->tree, hash32);
    if (level->tree.size < VERIFY_TILE)
        return IFAB_OK;
    if (number > 0)
        IFAB_TRY(check_upper_tile(self, number, report, err));
    level->number++;
    level->tree.size = 0;
    return number + 1 < LEVELS ? add(self, number + 1, level->tree.edge[8], report, err) : IFAB_OK;
}

ifab_status ifab_verify__tree_add(struct verify_tree *self, const uint8_t leaf32[32], struct ifab_verify_report *report,
                                  struct ifab_error *err)
{
    const struct level *level = &self->levels[0];
    const uint64_t first = level->number * VERIFY_TILE;
    const size_t at = (size_t)level->tree.size;
    bool here = true;

    if (at == 0)
        IFAB_TRY(load_tile(self, 0, self->size - first < VERIFY_TILE ? (size_t)(self->size - first) : VERIFY_TILE, &here, report, err));
    if (!here)
        return IFAB_OK;
    if (memcmp(self->file.data + 32 * at, leaf32, 32) != 0) {
        ifab_verify__broken_at(report, first + at, "its hash is not the one in the tile");
        return IFAB_OK;
    }
    return add(self, 0, leaf32, report, err);
}

ifab_status ifab_verify__tree_end(struct verify_tree *self, struct ifab_verify_report *report, struct ifab_error *err)
{
    for (unsigned number = 1; number < LEVELS; number++)
        if (self->levels[number].tree.size > 0)
            IFAB_TRY(check_upper_tile(self, number, report, err));
    return IFAB_OK;
}

void ifab_verify__tree_root(const struct verify_tree *self, uint8_t ret_root32[32])
{
    struct ifab_tree whole = {0};

    for (unsigned number = 0; number < LEVELS; number++) {
        const struct ifab_tree *part = &self->levels[number].tree;
        whole.size |= part->size << (8 * number);
        for (unsigned bit = 0; bit < 8; bit++)
            if ((part->size >> bit & 1) != 0)
                memcpy(whole.edge[8 * number + bit], part->edge[bit], 32);
    }
    ifab_tree_root(&whole, ret_root32);
}
