/*
 * The follower: after each commit it brings hash tiles, entry bundles and index.db up to the committed size, on a thread and handles of its own.
 * Full tiles and bundles are immutable files under data/tiles/, a cache of the log: what is missing is made again from the entries. Partial tiles
 * come from the tails kept here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "follow.h"

#define LEVELS 8
#define WIDTH 256
#define CHUNK 256 /* entries a turn */
#define GATHER ((uint64_t)20 * 1000 * 1000) /* ns: how long a few entries wait for more, unless somebody asks */

struct tail {
    uint64_t base; /* index at this level of hashes[0]; a multiple of 256 */
    unsigned count;
    uint8_t hashes[WIDTH][32];
};
struct follower {
    uv_thread_t thread;
    uv_mutex_t lock;          /* tails, size, target, stop */
    uv_mutex_t index_lock;    /* index: one handle, short questions */
    uv_mutex_t wake_lock;     /* target, stop, asked: what the loop may touch without waiting for a file */
    uv_cond_t wake, moved;
    struct ifab_tree tree;    /* over the entries taken in: the only root that is ever signed */
    _Atomic bool distrust;    /* tile files are not read but made again */
    struct tail tails[LEVELS];
    uint64_t size, indexed, target;
    struct ifab_store *store;
    struct ifab_index *index;
    struct ifab_arena arena;
    bool stop, halted, started; /* halted: stop, as those who wait under lock see it */
    bool stuck; /* index.db cannot be filled now (no room): tiles go on, questions are answered 504, every wake tries again */
    bool asked; /* somebody asked while it was stuck */
};

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
}

static ifab_status read_entries(struct ifab_store *store, uint64_t first, size_t count, struct ifab_arena *arena, struct ifab_stored_entry *ret,
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
    ifab_status status = atomic_load(&node->follower->distrust) ? IFAB_NOT_FOUND : node_read_file(path, WIDTH * 32, &bytes, NULL);
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
    ifab_status status = read_entries(store, number * WIDTH, WIDTH, &arena, entries, err);
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
        bool before = turn == 1 && atomic_exchange(&node->follower->distrust, true);
        ifab_status status = make_tile(node, store, level, number, ret, err);
        if (turn == 1)
            atomic_store(&node->follower->distrust, before);
        IFAB_TRY(status);
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
    if (width == WIDTH && node_read_file(path, (size_t)WIDTH * 65538, out, NULL) == IFAB_OK && bundle_holds(node, store, number, ifab_buf_as_view(out)))
        return IFAB_OK;
    ifab_buf_clear(out);
    ifab_arena_init(&arena, (size_t)64 << 20);
    ifab_status status = read_entries(store, number * WIDTH, width, &arena, entries, err);
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

/* ---- taking entries in ---- */

static void push(struct node *node, unsigned level, const uint8_t hash32[32])
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
        push(node, level + 1, root);
}

static void add_item(struct ifab_index_item *items, size_t *count, uint64_t index, enum ifab_index_kind kind, struct ifab_view key)
{
    if (key.size > 0 && key.size <= IFAB_INDEX_KEY_MAX)
        items[(*count)++] = (struct ifab_index_item){.index = index, .kind = kind, .key = key};
}

/* NAME of NAME[/INSTANCE]: an inbox is the talent's, whichever instance was meant. */
static struct ifab_view talent_of(struct ifab_view path)
{
    const uint8_t *slash = path.size > 0 ? memchr(path.data, '/', path.size) : NULL;
    return slash == NULL ? path : ifab_view_of(path.data, (size_t)(slash - path.data));
}

/* trace, component, type, subject; and for what is delivered its receivers. At most 4 + 64 items. */
static void index_entry(struct ifab_arena *arena, const struct ifab_stored_entry *entry, struct ifab_index_item *items, size_t *count)
{
    const struct ifab_json *tree, *receivers;
    struct ifab_view text;
    struct ifab_json_limits limits = {0};
    if (ifab_json_read(entry->entry, &limits, arena, &tree, NULL) != IFAB_OK)
        return;
    if (ifab_json_string(ifab_json_get(tree, "trace"), &text)) {
        uint8_t *trace = ifab_arena_alloc(arena, 16);
        if (trace != NULL && ifab_uuid_parse(text, trace) == IFAB_OK)
            add_item(items, count, entry->index, IFAB_INDEX_TRACE, ifab_view_of(trace, 16));
    }
    if (ifab_json_string(ifab_json_get(tree, "component"), &text))
        add_item(items, count, entry->index, IFAB_INDEX_COMPONENT, text);
    if (ifab_json_string(ifab_json_get(tree, "type"), &text))
        add_item(items, count, entry->index, IFAB_INDEX_TYPE, text);
    if (ifab_json_string(ifab_json_get(tree, "subject"), &text)) {
        uint8_t *id = ifab_arena_alloc(arena, 16);
        if (id != NULL && ifab_id_parse(text, "msg-", id) == IFAB_OK)
            add_item(items, count, entry->index, IFAB_INDEX_SUBJECT, ifab_view_of(id, 16));
    }
    if (!entry_delivers(tree, &receivers))
        return;
    for (size_t i = 0; i < receivers->u.array.count && i < IFAB_RECEIVER_MAX; i++) {
        struct ifab_view prefix = IFAB_VIEW("if://agent/");
        if (ifab_json_string(&receivers->u.array.items[i], &text) && ifab_view_starts(text, prefix))
            add_item(items, count, entry->index, IFAB_INDEX_RECEIVER, talent_of(ifab_view_of(text.data + prefix.size, text.size - prefix.size)));
    }
}

/* Is this entry a delivery: a message shared, or one released later? Its receivers then. */
bool entry_delivers(const struct ifab_json *tree, const struct ifab_json **ret_receivers)
{
    struct ifab_view type, operation;
    const struct ifab_json *payload = ifab_json_get(tree, "payload");
    if (!ifab_json_string(ifab_json_get(tree, "type"), &type) || !ifab_json_string(ifab_json_get(tree, "operation"), &operation))
        return false;
    const struct ifab_json *receivers = NULL;
    if (ifab_view_is(type, "message") && ifab_view_is(operation, "share"))
        receivers = ifab_json_get(ifab_json_get(payload, "header"), "receiver");
    else if (ifab_view_is(type, "decision") && ifab_view_is(operation, "released"))
        receivers = ifab_json_get(payload, "receiver");
    *ret_receivers = receivers;
    return receivers != NULL && receivers->type == IFAB_JSON_ARRAY;
}

static bool open_index(struct node *node);

/* Called under lock. */
static void moved(struct node *node)
{
    uv_cond_broadcast(&node->follower->moved);
    if (atomic_load(&node->parked_count) > 0)
        uv_async_send(&node->read_done);
}

/* true: index.db holds these as well. A full disk leaves it behind; anything else makes it anew. */
static bool take_index(struct node *node, const struct ifab_stored_entry *entries, size_t count, uint64_t position)
{
    struct follower *f = node->follower;
    struct ifab_error err = {0};
    size_t items = 0;
    struct ifab_index_item *list = ifab_arena_alloc(&f->arena, count * (4 + IFAB_RECEIVER_MAX) * sizeof *list);
    if (list == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        index_entry(&f->arena, &entries[i], list, &items);
    uv_mutex_lock(&f->index_lock);
    ifab_status status = ifab_index_add(f->index, list, items, position, &err);
    if (status != IFAB_OK && status != IFAB_FULL) {
        ifab_index_close(f->index);
        f->index = NULL;
    }
    uv_mutex_unlock(&f->index_lock);
    if (status != IFAB_OK && !f->stuck)
        IFAB_LOG(IFAB_LOG_WARN, "index.db: not filled; questions by id, receiver and trace are answered 504 until it is",
                 IFAB_F_TEXT("error", err.text));
    return status == IFAB_OK;
}

/* One chunk from where index and tiles stand. false: nothing to do, or it failed. */
static bool take_chunk(struct node *node, uint64_t target, bool *try_index)
{
    struct follower *f = node->follower;
    struct ifab_stored_entry entries[CHUNK];
    struct ifab_error err = {0};
    uint64_t from = *try_index && f->indexed < f->size ? f->indexed : f->size;
    size_t count = target - from > CHUNK ? CHUNK : (size_t)(target - from);
    if (count == 0)
        return false;
    ifab_arena_reset(&f->arena);
    if (read_entries(f->store, from, count, &f->arena, entries, &err) != IFAB_OK) {
        IFAB_LOG(IFAB_LOG_ERROR, "follower: entries cannot be read", IFAB_F_TEXT("error", err.text));
        return false;
    }
    bool filled = *try_index && from == f->indexed && take_index(node, entries, count, from + count);
    *try_index = *try_index && (filled || from != f->indexed);
    uv_mutex_lock(&f->lock);
    for (size_t i = 0; i < count; i++) {
        uint8_t leaf[32];
        if (from + i != f->size)
            continue; /* the index had to go further back */
        ifab_leaf_hash(entries[i].entry, leaf);
        push(node, 0, leaf);
        ifab_tree_append(&f->tree, leaf);
        f->size++;
    }
    if (filled)
        f->indexed = from + count;
    f->stuck = !*try_index;
    moved(node);
    uv_mutex_unlock(&f->lock);
    if ((from + count) / WIDTH > from / WIDTH) { /* a bundle is full: made once, now */
        struct ifab_buf bundle = IFAB_BUF_INIT((size_t)WIDTH * 65538);
        (void)follower_bundle(node, f->store, (from + count) / WIDTH - 1, WIDTH, &bundle, &err);
        ifab_buf_fini(&bundle);
    }
    return true;
}

/* Small commits are taken in together: a transaction of index.db for each would cost more than the commit. Called under wake_lock. */
static void gather(struct follower *f)
{
    uint64_t until = uv_hrtime() + GATHER, now;
    while (!f->stop && !f->asked && f->target > f->size && f->target - f->size < CHUNK && (now = uv_hrtime()) < until)
        uv_cond_timedwait(&f->wake, &f->wake_lock, until - now);
}

static void run(void *user)
{
    struct node *node = user;
    struct follower *f = node->follower;
    bool try_index = true;
    uv_mutex_lock(&f->wake_lock);
    while (!f->stop) {
        gather(f);
        f->asked = false;
        uint64_t target = f->target;
        uv_mutex_unlock(&f->wake_lock);
        try_index = try_index && (f->index != NULL || open_index(node));
        bool more = take_chunk(node, target, &try_index);
        uv_mutex_lock(&f->lock);
        f->stuck = !try_index;
        if (!more)
            moved(node);
        uv_mutex_unlock(&f->lock);
        uv_mutex_lock(&f->wake_lock);
        while (!f->stop && !more && f->target == target && !f->asked)
            uv_cond_wait(&f->wake, &f->wake_lock);
        if (!more) /* woken by a commit or by a question: it may go now */
            try_index = true;
    }
    uv_mutex_unlock(&f->wake_lock);
}

/* The tails as they are at `size`, from files and at most 255 entries. */
static ifab_status load_tails(struct node *node, uint64_t size, struct ifab_error *err)
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
            status = read_entries(f->store, tail->base, tail->count, &f->arena, entries, err);
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

static bool open_index(struct node *node)
{
    struct follower *f = node->follower;
    struct ifab_stored_entry first;
    struct ifab_index *index = NULL;
    struct ifab_error err = {0};
    uint8_t identity[32];
    uint64_t position = 0;
    if (read_entries(f->store, 0, 1, &f->arena, &first, &err) != IFAB_OK)
        return false;
    ifab_sha256(first.entry, identity);
    struct ifab_index_options options = {.directory = node->config.data_dir, .identity32 = identity, .store_size = f->size};
    if (ifab_index_open(&options, &index, &err) != IFAB_OK || ifab_index_position(index, &position, &err) != IFAB_OK) {
        if (!f->stuck)
            IFAB_LOG(IFAB_LOG_WARN, "index.db: cannot be opened; questions by id, receiver and trace are answered 504 until it is",
                     IFAB_F_TEXT("error", err.text));
        ifab_index_close(index);
        return false;
    }
    uv_mutex_lock(&f->index_lock);
    f->index = index;
    uv_mutex_unlock(&f->index_lock);
    uv_mutex_lock(&f->lock);
    f->indexed = position;
    uv_mutex_unlock(&f->lock);
    return true;
}

/* Tails come from files that nobody vouches for: their root must be the committed one, else they are made again from the entries. */
static ifab_status load_tree(struct node *node, struct ifab_error *err)
{
    struct follower *f = node->follower;
    struct ifab_fabric_head head;
    uint8_t root[32];
    ifab_fabric_head(node->fabric, &head);
    if (!ifab_tree_unpack(ifab_view_of(head.edge, head.edge_size), &f->tree))
        return ifab_fail(err, IFAB_CORRUPT, "the edge of the tree does not parse");
    for (int turn = 0; turn < 2; turn++) {
        IFAB_TRY(load_tails(node, head.size, err));
        IFAB_TRY(follower_root(node, head.size, root, err));
        if (memcmp(root, head.root32, 32) == 0) {
            atomic_store(&f->distrust, false);
            return IFAB_OK;
        }
        IFAB_LOG(IFAB_LOG_WARN, "tiles: not those of this log; made again from the entries", IFAB_F_NUM("entries", head.size));
        follower_distrust(node);
    }
    return ifab_fail(err, IFAB_CORRUPT, "the entries do not give the stored root: ifctl witness verify finds the first that is wrong");
}

void follower_distrust(struct node *node) { atomic_store(&node->follower->distrust, true); }

void follower_head(struct node *node, uint64_t *ret_size, uint8_t ret_root32[32])
{
    uv_mutex_lock(&node->follower->lock);
    *ret_size = node->follower->tree.size;
    ifab_tree_root(&node->follower->tree, ret_root32);
    uv_mutex_unlock(&node->follower->lock);
}

ifab_status follower_start(struct node *node, struct ifab_error *err)
{
    struct follower *f = ifab_calloc(1, sizeof *f);
    if (f == NULL || uv_mutex_init(&f->lock) != 0 || uv_mutex_init(&f->index_lock) != 0 || uv_cond_init(&f->wake) != 0 ||
        uv_cond_init(&f->moved) != 0 || uv_mutex_init(&f->wake_lock) != 0)
        return ifab_fail(err, IFAB_NOMEM, "follower");
    node->follower = f;
    ifab_arena_init(&f->arena, (size_t)128 << 20);
    IFAB_TRY(reader_handle(node, &f->store, err));
    IFAB_TRY(load_tree(node, err));
    f->stuck = !open_index(node);
    f->target = node->committed_size;
    if (uv_thread_create(&f->thread, run, node) != 0)
        return ifab_fail(err, IFAB_INTERNAL, "cannot start the follower");
    f->started = true;
    return IFAB_OK;
}

void follower_wake(struct node *node, uint64_t size)
{
    struct follower *f = node->follower;
    if (f == NULL)
        return;
    uv_mutex_lock(&f->wake_lock);
    f->target = size;
    uv_cond_signal(&f->wake);
    uv_mutex_unlock(&f->wake_lock);
}

uint64_t follower_reached(struct node *node)
{
    struct follower *f = node->follower;
    if (f == NULL)
        return 0;
    uv_mutex_lock(&f->lock);
    uint64_t reached = f->halted ? UINT64_MAX : f->stuck || f->indexed > f->size ? f->size : f->indexed;
    uv_mutex_unlock(&f->lock);
    return reached;
}

void follower_ask(struct node *node)
{
    struct follower *f = node->follower;
    if (f == NULL)
        return;
    uv_mutex_lock(&f->wake_lock);
    f->asked = true;
    uv_cond_signal(&f->wake);
    uv_mutex_unlock(&f->wake_lock);
}

uint64_t follower_size(struct node *node)
{
    uv_mutex_lock(&node->follower->lock);
    uint64_t size = node->follower->size;
    uv_mutex_unlock(&node->follower->lock);
    return size;
}

ifab_status follower_wait(struct node *node, uint64_t size)
{
    struct follower *f = node->follower;
    ifab_status status = IFAB_OK;
    uv_mutex_lock(&f->wake_lock);
    f->asked = true; /* no gathering while somebody waits */
    uv_cond_signal(&f->wake);
    uv_mutex_unlock(&f->wake_lock);
    uv_mutex_lock(&f->lock);
    while (status == IFAB_OK && !f->halted && (f->size < size || (!f->stuck && f->indexed < size)))
        if (uv_cond_timedwait(&f->moved, &f->lock, (uint64_t)10 * 1000 * 1000 * 1000) != 0)
            status = IFAB_AGAIN;
    uv_mutex_unlock(&f->lock);
    return status;
}

ifab_status follower_query(struct node *node, enum ifab_index_kind kind, struct ifab_view key, uint64_t from, uint64_t to, size_t limit,
                           uint64_t *ret_indexes, size_t *ret_count, struct ifab_error *err)
{
    struct follower *f = node->follower;
    *ret_count = 0;
    uv_mutex_lock(&f->lock);
    bool behind = f->indexed < to;
    uv_mutex_unlock(&f->lock);
    if (behind) {
        uv_mutex_lock(&f->wake_lock);
        f->asked = true;
        uv_cond_signal(&f->wake);
        uv_mutex_unlock(&f->wake_lock);
    }
    if (behind)
        return ifab_fail(err, IFAB_AGAIN, "index.db is behind the log");
    uv_mutex_lock(&f->index_lock);
    ifab_status status = f->index == NULL ? ifab_fail(err, IFAB_AGAIN, "index.db is not usable")
                                          : ifab_index_query(f->index, kind, key, from, to, limit, ret_indexes, ret_count, err);
    uv_mutex_unlock(&f->index_lock);
    return status;
}

void follower_halt(struct node *node)
{
    struct follower *f = node->follower;
    if (f == NULL)
        return;
    uv_mutex_lock(&f->wake_lock);
    f->stop = true;
    uv_cond_broadcast(&f->wake);
    uv_mutex_unlock(&f->wake_lock);
    uv_mutex_lock(&f->lock);
    f->halted = true;
    uv_cond_broadcast(&f->moved);
    uv_mutex_unlock(&f->lock);
    if (f->started)
        uv_thread_join(&f->thread);
}

void follower_free(struct node *node)
{
    struct follower *f = node->follower;
    if (f == NULL)
        return;
    ifab_index_close(f->index);
    ifab_store_close(f->store);
    ifab_arena_fini(&f->arena);
    ifab_free(node->follower);
    node->follower = NULL;
}
