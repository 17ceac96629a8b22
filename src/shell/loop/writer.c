/*
 * The writer commits one batch at a time beside the loop; the checkpointer moves the WAL on: PASSIVE, every 2 MiB. SQLite begins the WAL
 * anew only at a commit that finds all of it moved and nobody reading in it, which under load never happens by itself: a commit always comes
 * between. So the writer stands still for one checkpoint when WAL_MOST is reached. What it waits for is exact: wal_bytes is what the last
 * commit left, 0 once a checkpoint has moved just that.
 */
#include "node.h"

#define WAL_STEP ((uint64_t)2 << 20)
#define WAL_MORE ((uint64_t)8 << 20) /* how much further it may grow each time it could not begin anew: a reader (a backup) is in it */
#define WAL_WAIT ((uint64_t)250 * 1000 * 1000)
#define CHECKPOINT_EVERY ((uint64_t)20 * 1000 * 1000) /* ns */
#define WAITED_FOR ((uint64_t)1000 * 1000)
#define IDLE_EVERY ((uint64_t)500 * 1000 * 1000)

bool writer_must_wait(const struct node *node) { return atomic_load(&node->wal_bytes) > atomic_load(&node->wal_most); }

/* Called under writer_lock. */
static void wait_for_checkpoint(struct node *node)
{
    uint64_t began = uv_hrtime();
    node->writer_waits = true;
    while (writer_must_wait(node) && !node->writer_stop && uv_hrtime() - began < WAL_WAIT) {
        uv_cond_signal(&node->checkpointer_wake);
        uv_cond_timedwait(&node->writer_wake, &node->writer_lock, CHECKPOINT_EVERY);
    }
    node->writer_waits = false;
    atomic_fetch_add(&node->wal_waited_usec, (uv_hrtime() - began) / 1000);
}

/* After each commit, on the thread that made it. */
void writer_wrote(struct node *node)
{
    uint64_t now = ifab_store_wal_bytes(node->store), before = atomic_exchange(&node->wal_bytes, now);
    uint64_t moved = atomic_load(&node->wal_moved), most = atomic_load(&node->wal_most);
    if (now < node->wal_end) { /* begun anew */
        atomic_store(&node->wal_moved, moved = 0);
        atomic_store(&node->wal_most, WAL_MOST);
    } else if (now > most && (before == 0 || before > most)) { /* waited, and it goes on all the same */
        atomic_store(&node->wal_most, now + WAL_MORE);
    }
    node->wal_end = now;
    if (before < moved + WAL_STEP && now >= moved + WAL_STEP)
        uv_cond_signal(&node->checkpointer_wake);
}

static void run_writer(void *user)
{
    struct node *node = user;
    uv_mutex_lock(&node->writer_lock);
    for (;;) {
        while (node->to_write == NULL && !node->writer_stop)
            uv_cond_wait(&node->writer_wake, &node->writer_lock);
        struct batch *batch = node->to_write;
        if (batch == NULL)
            break;
        node->to_write = NULL;
        if (writer_must_wait(node))
            wait_for_checkpoint(node);
        uv_mutex_unlock(&node->writer_lock);
        batch_commit(node, batch);
        writer_wrote(node);
        uv_mutex_lock(&node->writer_lock);
        node->has_written = batch;
        uv_async_send(&node->written);
    }
    uv_mutex_unlock(&node->writer_lock);
}

static void checkpoint(struct node *node, struct ifab_store *store)
{
    struct ifab_error err = {0};
    uint64_t before = atomic_load(&node->wal_bytes), left = 0;
    if (ifab_store_checkpoint(store, &left, &err) != IFAB_OK || left > 0)
        return;
    atomic_store(&node->wal_moved, before);                           /* at least; what was committed meanwhile may be among it */
    (void)atomic_compare_exchange_strong(&node->wal_bytes, &before, 0); /* nothing was: the next commit begins it anew */
}

static void run_checkpointer(void *user)
{
    struct node *node = user;
    struct ifab_store *store = NULL;
    struct ifab_error err = {0};
    if (reader_handle(node, &store, &err) != IFAB_OK) {
        IFAB_LOG(IFAB_LOG_ERROR, "checkpointer: no handle", IFAB_F_TEXT("error", err.text));
        return;
    }
    uv_mutex_lock(&node->writer_lock);
    while (!node->writer_stop) {
        uint64_t wal = atomic_load(&node->wal_bytes), moved = atomic_load(&node->wal_moved);
        bool much = wal >= moved + WAL_STEP;
        uint64_t pause = node->writer_waits ? WAITED_FOR : much ? CHECKPOINT_EVERY : IDLE_EVERY;
        uv_cond_timedwait(&node->checkpointer_wake, &node->writer_lock, pause);
        if (node->writer_stop)
            break;
        uv_mutex_unlock(&node->writer_lock);
        checkpoint(node, store);
        uv_mutex_lock(&node->writer_lock);
        uv_cond_signal(&node->writer_wake);
    }
    uv_mutex_unlock(&node->writer_lock);
    ifab_store_close(store);
}

ifab_status writer_start(struct node *node, struct ifab_error *err)
{
    atomic_store(&node->wal_most, WAL_MOST);
    if (uv_mutex_init(&node->writer_lock) != 0 || uv_cond_init(&node->writer_wake) != 0 || uv_cond_init(&node->checkpointer_wake) != 0 ||
        uv_thread_create(&node->writer, run_writer, node) != 0)
        return ifab_fail(err, IFAB_INTERNAL, "cannot start the writer");
    if (uv_thread_create(&node->checkpointer, run_checkpointer, node) != 0)
        return ifab_fail(err, IFAB_INTERNAL, "cannot start the checkpointer");
    return IFAB_OK;
}

void writer_give(struct node *node, struct batch *batch)
{
    uv_mutex_lock(&node->writer_lock);
    node->to_write = batch;
    uv_cond_signal(&node->writer_wake);
    uv_mutex_unlock(&node->writer_lock);
}

void writer_stop(struct node *node)
{
    uv_mutex_lock(&node->writer_lock);
    node->writer_stop = true;
    uv_cond_signal(&node->writer_wake);
    uv_cond_signal(&node->checkpointer_wake);
    uv_mutex_unlock(&node->writer_lock);
    uv_thread_join(&node->writer);
    uv_thread_join(&node->checkpointer);
    uv_cond_destroy(&node->writer_wake);
    uv_cond_destroy(&node->checkpointer_wake);
    uv_mutex_destroy(&node->writer_lock);
}
