/*
 * The verify pool: up to 16 tickets at a time, one of each connection in turn, finished in any order; the loop takes them in ticket order. Who has failed
 * too often is refused before anything more is verified for them. Late ones: one at a time, by workers alone, few at a time while others are about; the
 * loop hears of them when the worker has nothing else to do.
 */
#include "node.h"

#include <string.h>

#define TAKE 16

size_t ticket_message_max;
const uint8_t *ticket_tag_key16;
const char *ticket_origin;

/* One act of the header; its why as it may stand in the log: redacted, it may have grown, so cut between characters. */
static enum ifab_code verify_act(struct ticket *t, struct ifab_view header, struct ifab_view route, struct ifab_admin_act *act)
{
    enum ifab_code code = ifab_admit_act(header, route, t->bytes, ifab_view_str(ticket_origin), t->keyring, t->wall, &t->arena, act, &t->refusal);
    struct ifab_view why = context_redacted(&t->arena, ifab_view_str(act->why));
    if (!ifab_view_is(why, act->why)) /* not as it was signed: nobody could prove it */
        act->text = (struct ifab_view){NULL, 0};
    if (why.size > sizeof act->why - 1)
        for (why.size = sizeof act->why - 1; why.size > 0 && (why.data[why.size] & 0xC0) == 0x80;)
            why.size--;
    memmove(act->why, why.data, why.size);
    act->why[why.size] = '\0';
    return code;
}

static void verify(struct ticket *t)
{
    if (t->verify == VERIFY_MESSAGE) {
        t->admitted = ifab_arena_alloc(&t->arena, sizeof *t->admitted);
        if (t->admitted == NULL) {
            t->code = ifab_refuse(&t->refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
            return;
        }
        t->code = ifab_admit_message(t->bytes, ticket_message_max, t->keyring, ticket_tag_key16, t->wall, &t->arena, t->admitted, &t->refusal);
        t->command.type = IFAB_COMMAND_MESSAGE;
        t->command.u.message.envelope = &t->admitted->envelope;
        t->command.u.message.talent = t->admitted->talent;
        t->command.u.message.key_version = t->admitted->key_version;
        t->command.u.message.facts = &t->admitted->facts;
    } else if (t->verify == VERIFY_VOTE) {
        t->code = ifab_admit_vote(t->bytes, t->request->params[0], t->keyring, t->wall, &t->arena, &t->command, &t->refusal);
        t->command.u.vote.why = context_redacted(&t->arena, t->command.u.vote.why);
    } else if (t->verify == VERIFY_ENROLL) {
        t->code = ifab_admit_enroll(t->bytes, ifab_view_str(ticket_origin), &t->arena, &t->command, &t->refusal);
    } else if (t->verify == VERIFY_ACT) {
        struct ifab_buf route = IFAB_BUF_INIT(1024);
        struct ifab_view header = t->request->admin;
        const uint8_t *comma = memchr(header.data, ',', header.size); /* a second admin's act may stand behind it */
        ifab_buf_str(&route, t->request->method);
        ifab_buf_char(&route, ' ');
        ifab_buf_view(&route, t->request->path);
        t->code = verify_act(t, comma == NULL ? header : ifab_view_of(header.data, (size_t)(comma - header.data)), ifab_buf_as_view(&route), &t->act);
        t->command.act = &t->act;
        struct ifab_admin_act *second = comma == NULL || t->code != IFAB_CODE_NONE ? NULL : ifab_arena_calloc(&t->arena, 1, sizeof *second);
        if (second != NULL)
            t->code = verify_act(t, ifab_view_of(comma + 1, header.size - (size_t)(comma + 1 - header.data)), ifab_buf_as_view(&route), second);
        else if (comma != NULL && t->code == IFAB_CODE_NONE)
            t->code = ifab_refuse(&t->refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        t->command.second = second;
        ifab_buf_fini(&route);
    }
}

void ticket_verify(struct ticket *t)
{
    if (t->request != NULL && t->request->charge != NULL && charge_empty(t->request->charge)) {
        t->overdrawn = true;
        t->code = ifab_refuse(&t->refusal, IFAB_CODE_RATE_LIMIT_EXCEEDED, NULL, "too many failed signatures came from here; this one was not looked at");
        return;
    }
    verify(t);
    if (t->code == IFAB_CODE_INVALID_SIGNATURE && t->request != NULL && t->request->charge != NULL)
        charge_take(t->request->charge);
}

static void to_its_ring(struct pool *self, struct lane *lane)
{
    unsigned which = atomic_load_explicit(&lane->late, memory_order_relaxed);
    struct lane_ring *ring = &self->turns[which];
    lane->job_ring = which;
    self->waiting[which] += lane->jobs;
    lane->job_next = NULL;
    if (ring->first == NULL)
        ring->first = lane;
    else
        ring->last->job_next = lane;
    ring->last = lane;
}

/* Of the lane whose turn it is; the others' come before. */
static struct ticket *take_one(struct pool *self, struct lane_ring *ring)
{
    struct lane *lane = ring->first;
    struct ticket *t = lane->job_first;
    ring->first = lane->job_next;
    lane->job_first = t->job_next;
    self->waiting[lane->job_ring] -= lane->jobs--;
    if (lane->job_first != NULL)
        to_its_ring(self, lane);
    t->job_next = NULL;
    atomic_store_explicit(&t->state, TICKET_TAKEN, memory_order_relaxed);
    return t;
}

/* Under the lock. */
static struct ticket *take(struct pool *self, bool worker, uint64_t now_ns, size_t *ret_count)
{
    struct ticket *first = NULL, *last = NULL;
    size_t count = 0;
    bool late = worker && self->turns[1].first != NULL;
    *ret_count = 0;
    if (self->turns[0].first == NULL && !late) /* also while the threads are still being counted */
        return NULL;
    if (late)
        pace_on(&self->pace, now_ns, self->thread_count > 0 ? self->thread_count : 1);
    if (late && self->late_taken == 0 && pace_overdue(&self->pace)) {
        *ret_count = 1;
        return take_one(self, &self->turns[1]);
    }
    /* A single reader takes few when few wait, so that several verifiers share what is there. */
    size_t share = self->waiting[0] / (self->thread_count + 1) + 1;
    while (self->turns[0].first != NULL && count < TAKE && count < share) {
        struct ticket *t = take_one(self, &self->turns[0]);
        if (first == NULL)
            first = t;
        else
            last->job_next = t;
        last = t;
        count++;
    }
    uint64_t others_ns = atomic_load_explicit(&self->others_ns, memory_order_relaxed);
    bool free = self->late_taken == 0 || !pace_others(now_ns, others_ns);
    if (count == 0 && late && free && pace_allows(&self->pace, now_ns, others_ns)) {
        first = take_one(self, &self->turns[1]); /* and no more: others may come meanwhile */
        count = 1;
    }
    *ret_count = count;
    return first;
}

struct ticket *pool_take(struct pool *self, bool worker, uint64_t now_ns, size_t *ret_count)
{
    uv_mutex_lock(&self->lock);
    struct ticket *t = take(self, worker, now_ns, ret_count);
    uv_mutex_unlock(&self->lock);
    return t;
}

/* A worker's: waits for something to do. *owes: verified tickets that the loop has not been told of; it is before anybody sleeps. *late: what it had is late;
 * what it gets. NULL: the end. */
static struct ticket *take_or_wait(struct pool *self, size_t *owes, bool *late)
{
    struct ticket *t;
    size_t count;
    uv_mutex_lock(&self->lock);
    self->late_taken -= *late;
    for (;;) {
        uint64_t now_ns = uv_hrtime();
        size_t waiting = self->waiting[1];
        t = take(self, true, now_ns, &count);
        *late = self->waiting[1] < waiting;
        self->late_taken += *late;
        if (t != NULL || self->stop)
            break;
        if (*owes > 0)
            uv_async_send(self->done);
        *owes = 0;
        self->sleeping++;
        if (self->turns[1].first == NULL)
            uv_cond_wait(&self->wake, &self->lock);
        else /* until the next period: this one's are done */
            (void)uv_cond_timedwait(&self->wake, &self->lock, self->pace.began_ns + PACE_EVERY_NS - now_ns);
        self->sleeping--;
    }
    uv_mutex_unlock(&self->lock);
    return t;
}

static void run(void *user)
{
    struct pool *self = user;
    size_t owes = 0;
    bool late = false;
    struct ticket *t;
    while ((t = take_or_wait(self, &owes, &late)) != NULL) {
        while (t != NULL) {
            struct ticket *next = t->job_next; /* once verified it is the loop's */
            ticket_verify(t);
            atomic_store_explicit(&t->state, TICKET_VERIFIED, memory_order_release);
            t = next;
            owes++;
        }
        if (late && owes < TAKE) /* waking the loop for each costs as much as its step */
            continue;
        uv_async_send(self->done);
        owes = 0;
    }
}

ifab_status pool_start(struct pool *self, size_t threads, uv_async_t *done, struct ifab_error *err)
{
    self->done = done;
    self->threads = ifab_calloc(threads, sizeof *self->threads);
    if (self->threads == NULL || uv_mutex_init(&self->lock) != 0 || uv_cond_init(&self->wake) != 0)
        return ifab_fail(err, IFAB_NOMEM, "verify workers");
    for (size_t i = 0; i < threads; i++, self->thread_count++)
        if (uv_thread_create(&self->threads[i], run, self) != 0)
            return ifab_fail(err, IFAB_INTERNAL, "cannot start a verify worker");
    return IFAB_OK;
}

/* A late one whose turn has not come wakes nobody but for the first, who then looks at the clock. */
static bool wakes(const struct pool *self, const struct lane *lane)
{
    uint64_t now_ns = uv_hrtime(), others_ns = atomic_load_explicit(&self->others_ns, memory_order_relaxed);
    return lane->job_ring == 0 || self->waiting[1] == 1 || !pace_others(now_ns, others_ns) ||
           (self->late_taken == 0 && pace_is_open(&self->pace, now_ns, others_ns));
}

void pool_push(struct pool *self, struct lane *lane, struct ticket *t)
{
    uv_mutex_lock(&self->lock);
    t->job_next = NULL;
    if (lane->job_first != NULL) {
        lane->job_last->job_next = t;
    } else {
        lane->job_first = t;
        to_its_ring(self, lane); /* with no jobs yet */
    }
    lane->job_last = t;
    lane->jobs++;
    self->waiting[lane->job_ring]++;
    if (self->sleeping > 0 && wakes(self, lane)) /* one that is awake looks for more by itself */
        uv_cond_signal(&self->wake);
    uv_mutex_unlock(&self->lock);
}

void pool_in_turn(struct pool *self, struct lane *lane)
{
    if (!lane->was_late)
        return;
    uv_mutex_lock(&self->lock);
    lane->was_late = false;
    if (lane->jobs > 0 && lane->job_ring == 1) {
        struct lane_ring *late = &self->turns[1];
        struct lane *before = NULL;
        for (struct lane *at = late->first; at != lane; at = at->job_next)
            before = at;
        *(before != NULL ? &before->job_next : &late->first) = lane->job_next;
        if (late->last == lane)
            late->last = before;
        self->waiting[1] -= lane->jobs;
        to_its_ring(self, lane);
        if (self->sleeping > 0)
            uv_cond_signal(&self->wake);
    }
    uv_mutex_unlock(&self->lock);
}

void pool_stop(struct pool *self)
{
    if (self->threads == NULL)
        return;
    uv_mutex_lock(&self->lock);
    self->stop = true;
    uv_cond_broadcast(&self->wake);
    uv_mutex_unlock(&self->lock);
    for (size_t i = 0; i < self->thread_count; i++)
        uv_thread_join(&self->threads[i]);
    ifab_free(self->threads);
    self->threads = NULL;
    uv_cond_destroy(&self->wake);
    uv_mutex_destroy(&self->lock);
}
