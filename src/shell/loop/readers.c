/* Two readers: lists and log queries on snapshots of their own, so that a long query never holds up the step. */
#include "node.h"

#include <string.h>

#define JOBS_MAX 1024
#define TOLD_IN_TURN ((size_t)1 << 20) /* bytes of answers in one turn of the loop */
#define PARKED_MOST (10 * IFAB_SECOND) /* then 504: the follower is stuck, or far behind */

struct job *job_new(struct request *request)
{
    struct job *job = ifab_calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    ifab_arena_init(&job->arena, (size_t)64 << 20);
    ifab_arena_init(&job->scratch, (size_t)16 << 20);
    ifab_buf_init(&job->out, (size_t)64 << 20);
    job->request = request;
    job->finish = job_reply;
    job->refusal.offset = job->refusal.retry_after_ms = -1;
    return job;
}

void job_free(struct job *job)
{
    if (job == NULL)
        return;
    ifab_arena_fini(&job->arena);
    ifab_arena_fini(&job->scratch);
    ifab_buf_fini(&job->out);
    ifab_free(job);
}

void job_reply(struct node *node, struct job *job)
{
    if (job->code == IFAB_CODE_NONE && ifab_buf_status(&job->out) != IFAB_OK)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    if (job->code != IFAB_CODE_NONE)
        reply_error(node, job->request, &job->refusal);
    else
        reply_text(node, job->request, job->status == 0 ? 200 : job->status, job->content_type != NULL ? job->content_type : "application/json",
                   ifab_buf_as_view(&job->out));
    job_free(job);
}

static void give(struct node *node, struct job *job)
{
    uv_mutex_lock(&node->reader_lock);
    job->next = NULL;
    if (node->jobs_last == NULL)
        node->jobs_first = job;
    else
        node->jobs_last->next = job;
    node->jobs_last = job;
    uv_cond_signal(&node->reader_wake);
    uv_mutex_unlock(&node->reader_lock);
}

/* It must not hold a reader's thread while the follower comes: it waits here. Counted first: the follower tells whoever is counted. */
static bool park(struct node *node, struct job *job)
{
    atomic_fetch_add(&node->parked_count, 1);
    if (job->needs <= follower_reached(node)) {
        atomic_fetch_sub(&node->parked_count, 1);
        return false;
    }
    job->parked_until = clock_now(&node->clock, NULL).run + PARKED_MOST;
    job->next = NULL;
    if (node->parked_last == NULL)
        node->parked_first = job;
    else
        node->parked_last->next = job;
    node->parked_last = job;
    follower_ask(node);
    return true;
}

void jobs_unpark(struct node *node)
{
    struct job *job = node->parked_first, *late = NULL;
    if (job == NULL)
        return;
    uint64_t reached = follower_reached(node);
    ifab_usec run = clock_now(&node->clock, NULL).run;
    node->parked_first = node->parked_last = NULL;
    for (struct job *next; job != NULL; job = next) {
        next = job->next;
        if (job->needs > reached && job->parked_until > run) {
            job->next = NULL;
            if (node->parked_last == NULL)
                node->parked_first = job;
            else
                node->parked_last->next = job;
            node->parked_last = job;
            continue;
        }
        atomic_fetch_sub(&node->parked_count, 1);
        if (job->needs <= reached) {
            give(node, job);
        } else {
            job->next = late;
            late = job;
        }
    }
    for (struct job *next; late != NULL; late = next) { /* its finish may push others */
        next = late->next;
        uv_mutex_lock(&node->reader_lock);
        node->jobs_waiting--;
        uv_mutex_unlock(&node->reader_lock);
        late->code = ifab_refuse(&late->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "tiles and index are behind the log");
        late->finish(node, late);
    }
}

void job_push(struct node *node, struct job *job)
{
    if (job == NULL)
        return;
    uv_mutex_lock(&node->reader_lock);
    bool full = node->jobs_waiting >= JOBS_MAX && !job->always;
    node->jobs_waiting += !full;
    uv_mutex_unlock(&node->reader_lock);
    if (!full && (job->needs == 0 || !park(node, job)))
        give(node, job);
    if (full) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_QUEUE_FULL, NULL, "too many reads wait");
        job->finish(node, job);
    }
}

/* A thread's own handle. Others may hold a lock for a moment, while they open theirs or the WAL moves: tried again, for up to 10 s. */
ifab_status reader_handle(struct node *node, struct ifab_store **ret_store, struct ifab_error *err)
{
    ifab_status status = IFAB_AGAIN;
    for (int tries = 0; status == IFAB_AGAIN && tries < 1000; tries++) {
        if (tries > 0)
            uv_sleep(10);
        *err = (struct ifab_error){0};
        status = ifab_store_reader(node->store, ret_store, err);
    }
    return status;
}

static void run(void *user)
{
    struct node *node = user;
    struct ifab_store *store = NULL;
    struct ifab_error err = {0};
    if (reader_handle(node, &store, &err) != IFAB_OK)
        IFAB_LOG(IFAB_LOG_ERROR, "reader: no handle", IFAB_F_TEXT("error", err.text));
    uv_mutex_lock(&node->reader_lock);
    for (;;) {
        while (node->jobs_first == NULL && !node->readers_stop)
            uv_cond_wait(&node->reader_wake, &node->reader_lock);
        struct job *job = node->jobs_first;
        if (job == NULL)
            break;
        node->jobs_first = job->next;
        if (node->jobs_first == NULL)
            node->jobs_last = NULL;
        uv_mutex_unlock(&node->reader_lock);
        if (store == NULL && ifab_store_reader(node->store, &store, NULL) != IFAB_OK) /* not for ever: each job tries */
            job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "the store cannot be read");
        else
            job->run(node, store, job);
        uv_mutex_lock(&node->reader_lock);
        job->next = node->jobs_done;
        node->jobs_done = job;
        node->jobs_waiting--;
        uv_async_send(&node->read_done);
    }
    uv_mutex_unlock(&node->reader_lock);
    ifab_store_close(store);
}

/* What the readers have done, in the order in which they ended. Answers are large: after some of them others have their turn of the loop. */
static void on_done(uv_async_t *handle)
{
    struct node *node = handle->data;
    size_t told = 0;
    uv_mutex_lock(&node->reader_lock);
    struct job *job = node->jobs_done, *newest = job, *first = NULL;
    node->jobs_done = NULL;
    uv_mutex_unlock(&node->reader_lock);
    while (job != NULL) { /* newest first as linked */
        struct job *next = job->next;
        job->next = first;
        first = job;
        job = next;
    }
    if (node->jobs_ended_first == NULL)
        node->jobs_ended_first = first;
    else if (first != NULL)
        node->jobs_ended_last->next = first;
    if (newest != NULL)
        node->jobs_ended_last = newest;
    while (node->jobs_ended_first != NULL && told < TOLD_IN_TURN) {
        job = node->jobs_ended_first;
        node->jobs_ended_first = job->next;
        told += job->out.size + 1;
        job->finish(node, job);
    }
    if (node->jobs_ended_first != NULL)
        uv_async_send(&node->read_done);
    jobs_unpark(node);
}

ifab_status readers_start(struct node *node, struct ifab_error *err)
{
    if (uv_mutex_init(&node->reader_lock) != 0 || uv_cond_init(&node->reader_wake) != 0 ||
        uv_async_init(&node->loop, &node->read_done, on_done) != 0)
        return ifab_fail(err, IFAB_INTERNAL, "readers");
    node->read_done.data = node;
    for (size_t i = 0; i < 2; i++)
        if (uv_thread_create(&node->readers[i], run, node) != 0)
            return ifab_fail(err, IFAB_INTERNAL, "cannot start a reader");
    return IFAB_OK;
}

void readers_stop(struct node *node)
{
    uv_mutex_lock(&node->reader_lock);
    node->readers_stop = true;
    uv_cond_broadcast(&node->reader_wake);
    uv_mutex_unlock(&node->reader_lock);
    for (size_t i = 0; i < 2; i++)
        uv_thread_join(&node->readers[i]);
    struct job *lists[] = {node->jobs_first, node->jobs_done, node->jobs_ended_first, node->parked_first};
    for (size_t i = 0; i < IFAB_COUNT(lists); i++) {
        for (struct job *job = lists[i], *next; job != NULL; job = next) {
            next = job->next;
            request_free(job->request); /* NULL where a waiter holds it */
            job_free(job);
        }
    }
}
