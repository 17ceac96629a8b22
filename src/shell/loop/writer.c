/* The writer commits one batch at a time beside the loop; the checkpointer moves the WAL on: PASSIVE every 20 ms above 2 MiB. */
#include "node.h"

#define WAL_BEGIN ((uint64_t)2 << 20)
#define WAL_WAIT ((uint64_t)5 * 1000 * 1000 * 1000) /* a reader may hold the WAL; commits go on after this, and it grows */
#define CHECKPOINT_EVERY ((uint64_t)20 * 1000 * 1000) /* ns */
#define IDLE_EVERY ((uint64_t)500 * 1000 * 1000)

/* Above 32 MiB not yet moved into the database the writer waits for the checkpointer, so that the WAL stays as long as it was made. */
static void wait_for_checkpoint(struct node *node)
{
    uint64_t began = uv_hrtime();
    while (atomic_load(&node->wal_bytes) > WAL_MOST && !node->writer_stop && uv_hrtime() - began < WAL_WAIT) {
        uv_cond_signal(&node->checkpointer_wake);
        uv_cond_timedwait(&node->writer_wake, &node->writer_lock, CHECKPOINT_EVERY);
    }
    atomic_fetch_add(&node->wal_waited_usec, (uv_hrtime() - began) / 1000);
}

/* The checkpointer measures what is left; in between commits add what they wrote: a page a few rows, and the head. */
void writer_wrote(struct node *node, const struct batch *batch)
{
    uint64_t bytes = batch->bytes + batch->tags.size + 4 * 8192;
    uint64_t before = atomic_fetch_add(&node->wal_bytes, bytes);
    if (before <= WAL_BEGIN && before + bytes > WAL_BEGIN) /* from here on it comes every 20 ms by itself */
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
        if (atomic_load(&node->wal_bytes) > WAL_MOST)
            wait_for_checkpoint(node);
        uv_mutex_unlock(&node->writer_lock);
        batch_commit(node, batch);
        writer_wrote(node, batch);
        uv_mutex_lock(&node->writer_lock);
        node->has_written = batch;
        uv_async_send(&node->written);
    }
    uv_mutex_unlock(&node->writer_lock);
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
        uint64_t wal = atomic_load(&node->wal_bytes);
        uv_cond_timedwait(&node->checkpointer_wake, &node->writer_lock, wal > WAL_BEGIN ? CHECKPOINT_EVERY : IDLE_EVERY);
        if (node->writer_stop)
            break;
        uv_mutex_unlock(&node->writer_lock);
        err = (struct ifab_error){0};
        if (ifab_store_checkpoint(store, &wal, &err) == IFAB_OK)
            atomic_store(&node->wal_bytes, wal);
        uv_mutex_lock(&node->writer_lock);
        uv_cond_signal(&node->writer_wake);
    }
    uv_mutex_unlock(&node->writer_lock);
    ifab_store_close(store);
}

ifab_status writer_start(struct node *node, struct ifab_error *err)
{
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
