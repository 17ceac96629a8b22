/* Tiles and bundles: kept as tails while they fill, written as files when full, made again from the entries when missing or not believed. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "follow_internal.h"

#define REMAKE 16 /* tiles a turn */

static void tile_path(const struct node *node, const struct ifab_tile *tile, char *ret, size_t size)
{
    char part[64];
    ifab_tile_format(tile, part);
    snprintf(ret, size, "%s/tiles/%s", node->config.data_dir, part);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

/* Its pages are given back: hardly anybody reads a bundle soon, and fresh memory is the larger part of what writing one costs. */
static void forget(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
}

/* Temporary name, then rename: a reader sees a whole file or none. Failure is no harm: it is made again when asked for. */
static void write_tile(const struct node *node, const struct ifab_tile *tile, struct ifab_view bytes)
{
    char path[1200], temp[1300];
    struct ifab_error err = {0};
    tile_path(node, tile, path, sizeof path);
    snprintf(temp, sizeof temp, "%s.%lx", path, (unsigned long)uv_thread_self());
    unlink(temp);
    if (node_write_file(temp, bytes, 0600, &err) == IFAB_DENIED) { /* the folder may be missing yet */
        make_parents(path);
        err = (struct ifab_error){0};
        (void)node_write_file(temp, bytes, 0600, &err);
    }
    if (err.status != IFAB_OK || rename(temp, path) != 0)
        unlink(temp);
    else if (tile->entries)
        forget(path);
}

ifab_status follower__entries(struct ifab_store *store, uint64_t first, size_t count, struct ifab_arena *arena, struct ifab_stored_entry *ret,
                              struct ifab_error *err)
{
    size_t got = 0, all = 0;
    while (all < count) {
        IFAB_TRY(ifab_store_read(store, first + all, count - all, false, arena, ret + all, &got, err));
        if (got == 0)
            return ifab_fail(err, IFAB_CORRUPT, "entry %llu is missing", (unsigned long long)(first + all));
        all += got;
    }
    return IFAB_OK;
}

static void root_256(const void *hashes, unsigned count, uint8_t ret32[32]) /* count hashes of 32 bytes; a power of two */
{
    uint8_t level[WIDTH][32];
    memcpy(level, hashes, (size_t)count * 32);
    for (unsigned n = count; n > 1; n /= 2)
        for (unsigned i = 0; i < n / 2; i++)
            ifab_node_hash(level[2 * i], level[2 * i + 1], level[i]);
    memcpy(ret32, level[0], 32);
}

static ifab_status make_tile(struct node *node, struct ifab_store *store, unsigned level, uint64_t number, uint8_t ret[WIDTH][32],
                             struct ifab_error *err);

static ifab_status full_tile(struct node *node, struct ifab_store *store, unsigned level, uint64_t number, uint8_t ret[WIDTH][32],
                             struct ifab_error *err)
{
    struct ifab_tile tile = {.level = level, .number = number, .width = WIDTH};
    struct ifab_buf bytes = IFAB_BUF_INIT(WIDTH * 32 + 1);
    char path[1200];
    tile_path(node, &tile, path, sizeof path);
    ifab_status status = level >= atomic_load(&node->follower->trust) ? IFAB_NOT_FOUND : node_read_file(path, WIDTH * 32, &bytes, NULL);
    if (status == IFAB_OK && bytes.size == WIDTH * 32) {
        memcpy(ret, bytes.data, bytes.size);
        ifab_buf_fini(&bytes);
        return IFAB_OK;
    }
    ifab_buf_fini(&bytes);
    IFAB_TRY(make_tile(node, store, level, number, ret, err));
    write_tile(node, &tile, ifab_view_of(ret, WIDTH * 32));
    return IFAB_OK;
}

/* From the entries, or from the tiles a level below: depth is bounded by LEVELS. */
static ifab_status make_tile(struct node *node, struct ifab_store *store, unsigned level, uint64_t number, uint8_t ret[WIDTH][32],
                             struct ifab_error *err)
{
    if (level > 0) {
        uint8_t(*below)[32] = ifab_malloc(WIDTH * 32);
        ifab_status status = below == NULL ? ifab_fail(err, IFAB_NOMEM, "tile") : IFAB_OK;
        for (unsigned i = 0; i < WIDTH && status == IFAB_OK; i++) {
            status = full_tile(node, store, level - 1, number * WIDTH + i, below, err);
            if (status == IFAB_OK)
                root_256(below, WIDTH, ret[i]);
        }
        ifab_free(below);
        return status;
    }
    struct ifab_stored_entry entries[WIDTH];
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)64 << 20);
    ifab_status status = follower__entries(store, number * WIDTH, WIDTH, &arena, entries, err);
    for (unsigned i = 0; i < WIDTH && status == IFAB_OK; i++)
        ifab_leaf_hash(entries[i].entry, ret[i]);
    ifab_arena_fini(&arena);
    return status;
}

static ifab_status good_tile(struct node *node, struct ifab_store *store, unsigned level, uint64_t number, uint8_t ret[WIDTH][32],
                             struct ifab_error *err);

/* The hash that stands for a full tile one level up. The tails are vouched for by the root; what they do not hold is in a tile that is checked in turn. */
static ifab_status hash_above(struct node *node, struct ifab_store *store, unsigned level, uint64_t number, uint8_t ret_hash32[32],
                              struct ifab_error *err)
{
    struct follower *f = node->follower;
    const struct tail *tail = &f->tails[level + 1];
    uv_mutex_lock(&f->lock);
    bool above = number < tail->base, here = !above && number - tail->base < tail->count;
    if (here)
        memcpy(ret_hash32, tail->hashes[number - tail->base], 32);
    uv_mutex_unlock(&f->lock);
    if (here)
        return IFAB_OK;
    if (!above)
        return ifab_fail(err, IFAB_NOT_FOUND, "tile");
    uint8_t(*hashes)[32] = ifab_malloc(WIDTH * 32);
    ifab_status status = hashes == NULL ? ifab_fail(err, IFAB_NOMEM, "tile") : good_tile(node, store, level + 1, number / WIDTH, hashes, err);
    if (status == IFAB_OK)
        memcpy(ret_hash32, hashes[number % WIDTH], 32);
    ifab_free(hashes);
    return status;
}

/* A full tile for others: what lies in the file may have been altered since. Then it is made again, at last from the entries alone. */
static ifab_status good_tile(struct node *node, struct ifab_store *store, unsigned level, uint64_t number, uint8_t ret[WIDTH][32],
                             struct ifab_error *err)
{
    const struct ifab_tile tile = {.level = level, .number = number, .width = WIDTH};
    uint8_t root[32], above[32];
    IFAB_TRY(full_tile(node, store, level, number, ret, err));
    if (level + 1 >= LEVELS)
        return IFAB_OK;
    IFAB_TRY(hash_above(node, store, level, number, above, err));
    for (int turn = 0; root_256(ret, WIDTH, root), memcmp(root, above, 32) != 0; turn++) {
        if (turn == 2)
            return ifab_fail(err, IFAB_CORRUPT, "the entries do not give the hashes of the log: ifctl witness verify finds the first that is wrong");
        IFAB_LOG(IFAB_LOG_WARN, "tiles: one is not of this log; made again", IFAB_F_NUM("level", level), IFAB_F_NUM("number", number));
        if (turn == 1) /* those below it are not believed either: from the entries */
            follower_distrust(node);
        IFAB_TRY(make_tile(node, store, level, number, ret, err));
        write_tile(node, &tile, ifab_view_of(ret, WIDTH * 32));
    }
    return IFAB_OK;
}

/* The entries of a bundle's file are those of its tile. */
static bool bundle_holds(struct node *node, struct ifab_store *store, uint64_t number, struct ifab_view bundle)
{
    struct follower *f = node->follower;
    struct ifab_view entry;
    uint8_t leaf[32];
    unsigned same = 0;
    uv_mutex_lock(&f->lock);
    bool full = number < f->tails[0].base / WIDTH;
    uv_mutex_unlock(&f->lock);
    uint8_t(*hashes)[32] = full ? ifab_malloc(WIDTH * 32) : NULL;
    bool good = hashes != NULL && good_tile(node, store, 0, number, hashes, NULL) == IFAB_OK;
    for (; good && same < WIDTH && ifab_bundle_next(&bundle, &entry); same++) {
        ifab_leaf_hash(entry, leaf);
        good = memcmp(leaf, hashes[same], 32) == 0;
    }
    ifab_free(hashes);
    return good && same == WIDTH && bundle.size == 0;
}

ifab_status follower_bundle(struct node *node, struct ifab_store *store, uint64_t number, unsigned width, struct ifab_buf *out, struct ifab_error *err)
{
    struct ifab_tile tile = {.entries = true, .number = number, .width = WIDTH};
    struct ifab_stored_entry entries[WIDTH];
    struct ifab_arena arena;
    char path[1200];
    tile_path(node, &tile, path, sizeof path);
    if (width == WIDTH && node_read_file(path, (size_t)WIDTH * 65538, out, NULL) == IFAB_OK &&
        bundle_holds(node, store, number, ifab_buf_as_view(out)))
        return IFAB_OK;
    ifab_buf_clear(out);
    ifab_arena_init(&arena, (size_t)64 << 20);
    ifab_status status = follower__entries(store, number * WIDTH, width, &arena, entries, err);
    for (unsigned i = 0; i < width && status == IFAB_OK; i++)
        ifab_bundle_put(out, entries[i].entry);
    ifab_arena_fini(&arena);
    if (status == IFAB_OK && width == WIDTH)
        write_tile(node, &tile, ifab_buf_as_view(out));
    return status == IFAB_OK ? ifab_buf_status(out) : status;
}

/* Hash tile as served: full from the file, partial from the tail. IFAB_NOT_FOUND: not that wide yet. */
ifab_status follower_tile(struct node *node, struct ifab_store *store, const struct ifab_tile *tile, struct ifab_buf *out, struct ifab_error *err)
{
    struct follower *f = node->follower;
    if (tile->level >= LEVELS)
        return IFAB_NOT_FOUND;
    uv_mutex_lock(&f->lock);
    const struct tail *tail = &f->tails[tile->level];
    bool full = tile->number < tail->base / WIDTH, partial = tile->number == tail->base / WIDTH && tile->width <= tail->count;
    if (!full && partial)
        ifab_buf_put(out, tail->hashes, (size_t)tile->width * 32);
    uv_mutex_unlock(&f->lock);
    if (full) {
        uint8_t(*hashes)[32] = ifab_malloc(WIDTH * 32);
        ifab_status status = hashes == NULL ? IFAB_NOMEM : good_tile(node, store, tile->level, tile->number, hashes, err);
        if (status == IFAB_OK)
            ifab_buf_put(out, hashes, (size_t)tile->width * 32);
        ifab_free(hashes);
        return status;
    }
    return partial ? ifab_buf_status(out) : IFAB_NOT_FOUND;
}

/* An ifab_node_fn over tiles; user is a struct follower_source. */
ifab_status follower_node(void *user, unsigned level, uint64_t index, uint8_t ret_hash32[32], struct ifab_error *err)
{
    struct follower_source *source = user;
    unsigned l = level / 8, r = level % 8, width = 1U << r;
    uint64_t first = index << r;
    struct ifab_tile tile = {.level = l, .number = first / WIDTH, .width = (unsigned)(first % WIDTH) + width};
    struct ifab_buf bytes = IFAB_BUF_INIT(WIDTH * 32);
    ifab_status status = follower_tile(source->node, source->store, &tile, &bytes, err);
    if (status == IFAB_OK && bytes.size >= (size_t)tile.width * 32)
        root_256(bytes.data + (first % WIDTH) * 32, width, ret_hash32);
    else if (status == IFAB_OK)
        status = IFAB_NOT_FOUND;
    ifab_buf_fini(&bytes);
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "node (%u, %llu) is not stored", level, (unsigned long long)index);
}

ifab_status follower_root(struct node *node, uint64_t size, uint8_t ret_root32[32], struct ifab_error *err)
{
    struct follower_source source = {node, NULL};
    IFAB_TRY(reader_handle(node, &source.store, err));
    ifab_status status = ifab_tree_root_of(size, follower_node, &source, ret_root32, err);
    ifab_store_close(source.store);
    return status;
}

void follower__push(struct node *node, unsigned level, const uint8_t hash32[32])
{
    struct follower *f = node->follower;
    struct tail *tail = &f->tails[level];
    memcpy(tail->hashes[tail->count], hash32, 32);
    if (tail->count + 1 < WIDTH) {
        tail->count++;
        return;
    }
    uint8_t root[32];
    struct ifab_tile tile = {.level = level, .number = tail->base / WIDTH, .width = WIDTH};
    root_256(tail->hashes, WIDTH, root);
    write_tile(node, &tile, ifab_view_of(tail->hashes, WIDTH * 32)); /* the file stands before the tail moves on */
    tail->base += WIDTH;
    tail->count = 0;
    if (level + 1 < LEVELS)
        follower__push(node, level + 1, root);
}

void follower__bundle(struct node *node, uint64_t index, struct ifab_view entry)
{
    struct follower *f = node->follower;
    struct ifab_tile tile = {.entries = true, .number = index / WIDTH, .width = WIDTH};
    if (index % WIDTH == 0 || f->bundle.size == 0) {
        ifab_buf_fini(&f->bundle); /* one of large entries is not kept for ever */
        ifab_buf_init(&f->bundle, (size_t)WIDTH * 65538);
        f->bundle_from = index;
    }
    ifab_bundle_put(&f->bundle, entry);
    if (index % WIDTH != WIDTH - 1)
        return;
    if (f->bundle_from % WIDTH == 0 && ifab_buf_status(&f->bundle) == IFAB_OK) {
        write_tile(node, &tile, ifab_buf_as_view(&f->bundle));
    } else { /* begun before this start */
        ifab_buf_clear(&f->bundle);
        (void)follower_bundle(node, f->store, tile.number, WIDTH, &f->bundle, NULL);
    }
    ifab_buf_clear(&f->bundle);
}

/* The tails as they are at `size`, from files and at most 255 entries. */
ifab_status follower__tails(struct node *node, uint64_t size, struct ifab_error *err)
{
    struct follower *f = node->follower;
    uint8_t(*below)[32] = ifab_malloc(WIDTH * 32);
    ifab_status status = below == NULL ? ifab_fail(err, IFAB_NOMEM, "tiles") : IFAB_OK;
    for (unsigned level = 0; level < LEVELS && status == IFAB_OK; level++) {
        struct tail *tail = &f->tails[level];
        uint64_t hashes = size >> (8 * level);
        tail->base = hashes / WIDTH * WIDTH;
        tail->count = (unsigned)(hashes % WIDTH);
        struct ifab_stored_entry entries[WIDTH];
        if (level == 0) {
            ifab_arena_reset(&f->arena);
            status = follower__entries(f->store, tail->base, tail->count, &f->arena, entries, err);
        }
        for (unsigned i = 0; i < tail->count && status == IFAB_OK; i++) {
            if (level == 0) {
                ifab_leaf_hash(entries[i].entry, tail->hashes[i]);
                continue;
            }
            status = full_tile(node, f->store, level - 1, tail->base + i, below, err);
            if (status == IFAB_OK)
                root_256(below, WIDTH, tail->hashes[i]);
        }
    }
    ifab_free(below);
    f->size = size;
    return status;
}

/*
 * Somebody met a wrong tile: from then on none is believed, and here, level by level from below, all are made again; then they are believed.
 * New ones, which come from push(), are right in any case.
 */
bool follower__remake(struct node *node)
{
    struct follower *f = node->follower;
    unsigned time = atomic_load(&f->distrusted), level = atomic_load(&f->trust);
    struct ifab_error err = {0};
    uint8_t(*hashes)[32] = level < LEVELS ? ifab_malloc(WIDTH * 32) : NULL;
    if (hashes == NULL)
        return false;
    if (f->remake_of != time)
        f->remake_next = 0;
    f->remake_of = time;
    uint64_t full = f->tails[level].base / WIDTH; /* this thread alone changes tails */
    ifab_status status = IFAB_OK;
    for (unsigned n = 0; n < REMAKE && f->remake_next < full && status == IFAB_OK; n++) {
        struct ifab_tile tile = {.level = level, .number = f->remake_next, .width = WIDTH};
        status = make_tile(node, f->store, level, tile.number, hashes, &err);
        if (status == IFAB_OK)
            write_tile(node, &tile, ifab_view_of(hashes, WIDTH * 32));
        f->remake_next += status == IFAB_OK;
    }
    ifab_free(hashes);
    if (status != IFAB_OK) {
        IFAB_LOG(IFAB_LOG_ERROR, "tiles: cannot be made again", IFAB_F_TEXT("error", err.text));
        return false;
    }
    if (f->remake_next < full)
        return true;
    f->remake_next = 0;
    atomic_store(&f->trust, level + 1);
    if (atomic_load(&f->distrusted) != time) /* met another one meanwhile: from the start */
        atomic_store(&f->trust, 0);
    else if (level + 1 == LEVELS)
        IFAB_LOG(IFAB_LOG_INFO, "tiles: all made again from the entries", IFAB_F_NUM("entries", f->size));
    return true;
}

void follower_distrust(struct node *node)
{
    atomic_fetch_add(&node->follower->distrusted, 1);
    atomic_store(&node->follower->trust, 0);
}
