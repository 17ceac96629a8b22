/*
 * The follower: after each commit it brings hash tiles, entry bundles and index.db up to the committed size, on a thread and handles of its own.
 * Full tiles and bundles are immutable files under data/tiles/, a cache of the log: what is missing is made again from the entries. Partial tiles
 * come from the tails kept here. Entries come from who committed them, as long as few wait; else from the store.
 */
#include <string.h>

#include "follow_internal.h"

#define CHUNK 1024 /* entries a turn */
#define HANDED_MOST ((size_t)4 << 20) /* bytes of entries that wait here; what comes above is read from the store */
#define GATHER ((uint64_t)50 * 1000 * 1000) /* ns: how long a few entries wait for more, unless somebody asks */
#define PIECE 32 /* entries of work, some 0.1 ms */
#define LONG_TURN 256 /* entries: a shorter one is done in about a slice */
#define COMMITS_GO_ON ((uint64_t)2 * 1000 * 1000) /* ns since the last one */
#define GIVE_WAY ((uint64_t)50 * 1000) /* ns */

static bool open_index(struct node *node);

/*
 * Between two pieces of work, while commits go on: a thread that runs on for milliseconds keeps the writer, when it has just been woken on the same core,
 * from that core for as long, also when the other one has nothing to do. Not while somebody waits for what is done here.
 */
static void give_way(void *user)
{
    struct follower *f = ((struct node *)user)->follower;
    uv_mutex_lock(&f->wake_lock);
    if (f->turn >= LONG_TURN && !f->stop && !f->asked && uv_hrtime() - f->committed_ns < COMMITS_GO_ON) {
        f->gathering = true;
        uv_cond_timedwait(&f->wake, &f->wake_lock, GIVE_WAY);
        f->gathering = false;
    }
    uv_mutex_unlock(&f->wake_lock);
}

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
    struct facts_out facts = {.arena = &f->arena, .items = f->items};
    for (size_t i = 0; i < count; i++) {
        if (f->item_room - facts.count < FACTS_MOST) {
            struct ifab_index_item *more = ifab_realloc(f->items, (f->item_room * 2 + FACTS_MOST) * sizeof *more);
            if (more == NULL)
                return false;
            f->items = facts.items = more;
            f->item_room = f->item_room * 2 + FACTS_MOST;
        }
        entry_facts(&entries[i], &facts);
        if (i % PIECE == PIECE - 1)
            give_way(node);
    }
    uv_mutex_lock(&f->index_lock);
    ifab_status status = ifab_index_add(f->index, facts.items, facts.count, position, &err);
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

/* Entries [from, from + *count) as they were handed over, at most so many; *ret_next: where the next that was handed over begin. */
static bool take_handed(struct follower *f, uint64_t from, size_t *count, struct ifab_stored_entry *entries, uint64_t *ret_next)
{
    size_t got = 0;
    uv_mutex_lock(&f->wake_lock);
    while (f->handed_first != NULL && f->handed_first->first + f->handed_first->count <= from) { /* taken in before */
        struct handed *old = f->handed_first;
        f->handed_first = old->next;
        f->handed_bytes -= old->bytes;
        if (f->handed_first == NULL)
            f->handed_last = NULL;
        ifab_free(old);
    }
    *ret_next = f->handed_first == NULL ? UINT64_MAX : f->handed_first->first;
    for (const struct handed *h = f->handed_first; h != NULL && h->first <= from + got && got < *count; h = h->next) {
        const uint8_t *at = (const uint8_t *)&h->sizes[h->count];
        for (size_t i = 0; i < h->count && got < *count; at += h->sizes[i++])
            if (h->first + i == from + got)
                entries[got++] = (struct ifab_stored_entry){.index = h->first + i, .entry = ifab_view_of(at, h->sizes[i])};
    }
    uv_mutex_unlock(&f->wake_lock); /* only this thread takes them away */
    if (got > 0)
        *count = got;
    return got > 0;
}

void follower_hand(struct node *node, const struct batch *batch)
{
    struct follower *f = node->follower;
    size_t bytes = sizeof(struct handed) + batch->entry_count * sizeof(uint32_t);
    if (f == NULL || batch->entry_count == 0)
        return;
    for (size_t i = 0; i < batch->entry_count; i++)
        bytes += batch->entries[i].entry.size;
    uv_mutex_lock(&f->wake_lock);
    bool room = !f->stop && f->handed_bytes + bytes <= HANDED_MOST;
    uv_mutex_unlock(&f->wake_lock);
    struct handed *h = room ? ifab_malloc(bytes) : NULL;
    if (h == NULL)
        return; /* read from the store later */
    *h = (struct handed){.first = batch->entries[0].index, .count = batch->entry_count, .bytes = bytes};
    uint8_t *at = (uint8_t *)&h->sizes[h->count];
    for (size_t i = 0; i < h->count; i++) {
        h->sizes[i] = (uint32_t)batch->entries[i].entry.size;
        memcpy(at, batch->entries[i].entry.data, h->sizes[i]);
        at += h->sizes[i];
    }
    uv_mutex_lock(&f->wake_lock);
    if (f->handed_last == NULL)
        f->handed_first = h;
    else
        f->handed_last->next = h;
    f->handed_last = h;
    f->handed_bytes += bytes;
    uv_mutex_unlock(&f->wake_lock);
}

/* Tails and tree; the lock is held for a tile's width at a time, since others wait for it. */
static void take_tiles(struct node *node, const struct ifab_stored_entry *entries, size_t count)
{
    struct follower *f = node->follower;
    for (size_t i = 0; i < count;) {
        uint8_t leaves[WIDTH][32];
        size_t n = 0;
        for (; i + n < count && n < WIDTH; n++)
            ifab_leaf_hash(entries[i + n].entry, leaves[n]);
        uv_mutex_lock(&f->lock);
        for (size_t k = 0; k < n; k++) {
            follower__push(node, 0, leaves[k]);
            ifab_tree_append(&f->tree, leaves[k]);
        }
        f->size += n;
        uv_mutex_unlock(&f->lock);
        for (; n > 0; n--, i++)
            follower__bundle(node, entries[i].index, entries[i].entry);
        give_way(node);
    }
}

/* One chunk from where index and tiles stand. false: nothing to do, or it failed. */
static bool take_chunk(struct node *node, uint64_t target, bool *try_index)
{
    struct follower *f = node->follower;
    struct ifab_stored_entry entries[CHUNK];
    struct ifab_error err = {0};
    uint64_t from = *try_index && f->indexed < f->size ? f->indexed : f->size, next;
    size_t count = target - from > CHUNK ? CHUNK : (size_t)(target - from);
    if (count == 0)
        return false;
    f->turn = count;
    ifab_arena_reset(&f->arena);
    if (!take_handed(f, from, &count, entries, &next)) {
        if (next > from && next - from < count)
            count = (size_t)(next - from);
        if (follower__entries(f->store, from, count, &f->arena, entries, &err) != IFAB_OK) {
            IFAB_LOG(IFAB_LOG_ERROR, "follower: entries cannot be read", IFAB_F_TEXT("error", err.text));
            return false;
        }
    }
    bool filled = *try_index && from == f->indexed && take_index(node, entries, count, from + count);
    *try_index = *try_index && (filled || from != f->indexed);
    if (from + count > f->size) { /* else the index had to go further back */
        size_t known = (size_t)(f->size - from);
        take_tiles(node, entries + known, count - known);
    }
    uv_mutex_lock(&f->lock);
    if (filled)
        f->indexed = from + count;
    f->stuck = !*try_index;
    moved(node);
    uv_mutex_unlock(&f->lock);
    return true;
}

/* Small commits are taken in together: a transaction of index.db for each would cost more than the commit. Called under wake_lock. */
static void gather(struct follower *f)
{
    uint64_t until = uv_hrtime() + GATHER, now;
    f->gathering = true;
    while (!f->stop && !f->asked && f->target > f->size && f->target - f->size < CHUNK && (now = uv_hrtime()) < until)
        uv_cond_timedwait(&f->wake, &f->wake_lock, until - now);
    f->gathering = false;
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
        bool remake = follower__remake(node);
        uv_mutex_lock(&f->wake_lock);
        while (!f->stop && !more && !remake && f->target == target && !f->asked)
            uv_cond_wait(&f->wake, &f->wake_lock);
        if (!more) /* woken by a commit or by a question: it may go now */
            try_index = true;
    }
    uv_mutex_unlock(&f->wake_lock);
}

static bool open_index(struct node *node)
{
    struct follower *f = node->follower;
    struct ifab_stored_entry first;
    struct ifab_index *index = NULL;
    struct ifab_error err = {0};
    uint8_t identity[32];
    uint64_t position = 0;
    if (follower__entries(f->store, 0, 1, &f->arena, &first, &err) != IFAB_OK)
        return false;
    ifab_sha256(first.entry, identity);
    struct ifab_index_options options = {.directory = node->config.data_dir, .identity32 = identity, .store_size = f->size, .between = give_way, .user = node};
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
        IFAB_TRY(follower__tails(node, head.size, err));
        IFAB_TRY(follower_root(node, head.size, root, err));
        if (memcmp(root, head.root32, 32) == 0)
            return IFAB_OK;
        IFAB_LOG(IFAB_LOG_WARN, "tiles: not those of this log; made again from the entries", IFAB_F_NUM("entries", head.size));
        follower_distrust(node);
    }
    return ifab_fail(err, IFAB_CORRUPT, "the entries do not give the stored root: ifctl witness verify finds the first that is wrong");
}

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
    atomic_store(&f->trust, LEVELS);
    ifab_buf_init(&f->bundle, (size_t)WIDTH * 65538);
    ifab_arena_init(&f->arena, (size_t)128 << 20);
    IFAB_TRY(reader_handle(node, &f->store, err));
    IFAB_TRY(load_tree(node, err));
    ifab_arena_fini(&f->arena); /* of up to 255 entries and a tree of tiles: not kept */
    ifab_arena_init(&f->arena, (size_t)128 << 20);
    f->target = node->committed_size; /* index.db is opened by the thread: the log is served without it, and who asks for it waits */
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
    f->committed_ns = uv_hrtime();
    if (!f->gathering || size - f->size >= CHUNK) /* one that gathers comes back by itself: a commit need not change threads; its size stands still */
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
    for (struct handed *h = f->handed_first, *next; h != NULL; h = next) {
        next = h->next;
        ifab_free(h);
    }
    ifab_index_close(f->index);
    ifab_store_close(f->store);
    ifab_arena_fini(&f->arena);
    ifab_buf_fini(&f->bundle);
    ifab_free(f->items);
    ifab_free(node->follower);
    node->follower = NULL;
}
