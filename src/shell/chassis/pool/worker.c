/*
 * A worker process as the loop sees it: its socket, its end, one timer. What frames mean is for execute.c and prepare.c.
 * Invariant: a frame is taken only whole, in turn and within its bound; whatever else comes, the worker is killed.
 */
#include "log/log.h"
#include "pool_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_AT_LEAST ((size_t)16384) /* a turn; more when a frame is known to be longer */
#define READ_AT_MOST  ((size_t)256 * 1024)

static void on_io(uv_poll_t *handle, int status, int events);
static void on_gone(uv_poll_t *handle, int status, int events);
static void on_timer(uv_timer_t *handle);

static void unlink_worker(struct chassis_worker *self)
{
    struct ifab_chassis *pool = self->pool;
    *(self->prev != NULL ? &self->prev->next : &pool->workers) = self->next;
    if (self->next != NULL)
        self->next->prev = self->prev;
    pool->dying--;
}

static void on_closed(uv_handle_t *handle)
{
    struct chassis_worker *self = handle->data;
    struct ifab_chassis *pool = self->pool;
    if (--self->handles > 0)
        return;
    unlink_worker(self);
    (void)close(self->process.pidfd);
    (void)close(self->process.fd);
    ifab_buf_fini(&self->in);
    ifab_buf_fini(&self->out);
    ifab_free(self);
    ifab_chassis__settle(pool);
}

static void close_handles(struct chassis_worker *self)
{
    uv_close((uv_handle_t *)&self->timer, on_closed);
    if (self->io.data != NULL)
        uv_close((uv_handle_t *)&self->io, on_closed);
    if (self->gone.data != NULL)
        uv_close((uv_handle_t *)&self->gone, on_closed);
}

/* A poll's data is set once it is open. */
static bool watch(struct chassis_worker *self, uv_poll_t *poll, int fd, uv_poll_cb fn)
{
    if (uv_poll_init(self->pool->loop, poll, fd) != 0)
        return false;
    poll->data = self;
    self->handles++;
    return uv_poll_start(poll, UV_READABLE, fn) == 0;
}

static void link_worker(struct chassis_worker *self)
{
    self->next = self->pool->workers;
    if (self->next != NULL)
        self->next->prev = self;
    self->pool->workers = self;
}

ifab_status ifab_chassis__worker_start(struct ifab_chassis *pool, enum ifab_sandbox_role role, struct chassis_worker **ret, struct ifab_error *err)
{
    bool prepares = role == IFAB_SANDBOX_PREPARE;
    struct chassis_worker *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "sandbox");
    ifab_status status = ifab_chassis__spawn(prepares ? pool->prepare_path : pool->execute_path, &self->process, err);
    if (status != IFAB_OK) {
        ifab_free(self);
        return status;
    }
    self->pool = pool;
    self->role = role;
    self->state = prepares ? CHASSIS_STARTING : CHASSIS_LOADING;
    self->in_max = IFAB_FRAME_HEAD + (prepares ? pool->options.artifact_bytes : IFAB_FRAME_SMALL_MAX);
    ifab_buf_init(&self->in, self->in_max + READ_AT_MOST);
    ifab_buf_init(&self->out, IFAB_FRAME_HEAD + (size_t)IFAB_FRAME_LARGE_MAX);
    self->in_want = IFAB_FRAME_HEAD;
    link_worker(self);
    (void)uv_timer_init(pool->loop, &self->timer);
    self->timer.data = self;
    self->handles = 1;
    pool->stats.started++;
    if (!watch(self, &self->io, self->process.fd, on_io) || !watch(self, &self->gone, self->process.pidfd, on_gone)) {
        ifab_chassis__worker_kill(self); /* nobody would see its end: it is waited for here */
        ifab_chassis__wait(&self->process);
        close_handles(self);
        return ifab_fail(err, IFAB_AGAIN, "sandbox: its process cannot be watched");
    }
    *ret = self;
    return IFAB_OK;
}

void ifab_chassis__worker_state(struct chassis_worker *self, enum chassis_state state)
{
    struct ifab_chassis *pool = self->pool;
    struct chassis_tenant *tenant = self->shared;
    uint32_t was = self->state == CHASSIS_IDLE, is = state == CHASSIS_IDLE;
    self->state = state;
    if (tenant == NULL)
        return;
    pool->idle = pool->idle - was + is;
    tenant->idle = tenant->idle - was + is;
    if (state != CHASSIS_DYING)
        return;
    pool->live--;
    tenant->live--;
    self->shared = NULL;
    ifab_chassis__tenant_drop(pool, tenant);
}

void ifab_chassis__worker_kill(struct chassis_worker *self)
{
    if (self->state == CHASSIS_DYING)
        return;
    assert(self->call == NULL && self->module == NULL);
    ifab_chassis__worker_state(self, CHASSIS_DYING);
    self->pool->dying++;
    (void)uv_timer_stop(&self->timer);
    if (self->io.data != NULL)
        (void)uv_poll_stop(&self->io);
    if (self->exited) {
        close_handles(self);
        return;
    }
    self->pool->stats.killed++;
    ifab_chassis__signal(&self->process, SIGKILL);
}

void ifab_chassis__worker_failed(struct chassis_worker *self, enum ifab_code code, const char *text)
{
    struct chassis_call *call = self->call;
    if (self->state == CHASSIS_DYING)
        return;
    IFAB_LOG(IFAB_LOG_WARN, "sandbox: worker ended", IFAB_F_TEXT("why", text), IFAB_F_NUM("pid", self->process.pid));
    if (self->role == IFAB_SANDBOX_PREPARE)
        ifab_chassis__prepare_failed(self, code, text, false);
    else if (call != NULL)
        ifab_chassis__finish(self->pool, call, code, IFAB_TRAP_KILLED, text);
    if (self->state == CHASSIS_BUSY) /* not one that does not get ready */
        ifab_chassis__strike(self->pool, self->shared);
    ifab_chassis__worker_kill(self);
}

void ifab_chassis__worker_timer(struct chassis_worker *self, uint64_t msec)
{
    uv_update_time(self->pool->loop);
    (void)uv_timer_start(&self->timer, on_timer, msec, 0);
}

static void on_timer(uv_timer_t *handle)
{
    struct chassis_worker *self = handle->data;
    struct ifab_chassis *pool = self->pool;
    if (self->role == IFAB_SANDBOX_PREPARE)
        ifab_chassis__worker_failed(self, IFAB_CODE_DEADLINE_EXCEEDED, "the compiler took longer than it may");
    else
        ifab_chassis__execute_timer(self);
    ifab_chassis__settle(pool);
}

/* The process has ended. What it wrote before is still to be read: an artifact, or the last result. */
static void on_gone(uv_poll_t *handle, int status, int events)
{
    struct chassis_worker *self = handle->data;
    struct ifab_chassis *pool = self->pool;
    (void)status;
    (void)events;
    if (!ifab_chassis__reap(&self->process))
        return;
    self->exited = true;
    (void)uv_poll_stop(&self->gone);
    if (self->state == CHASSIS_DYING)
        close_handles(self); /* else the end of its socket comes, at the latest the timer */
    ifab_chassis__settle(pool);
}

bool ifab_chassis__worker_flush(struct chassis_worker *self)
{
    struct ifab_buf *out = &self->out;
    while (self->out_at < out->size) {
        ssize_t sent = send(self->process.fd, out->data + self->out_at, out->size - self->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return false;
        if (sent < 0)
            break;
        self->out_at += (size_t)sent;
    }
    bool rest = self->out_at < out->size;
    if (!rest) {
        size_t limit = out->limit;
        if (out->capacity > READ_AT_MOST) { /* a module went out: its room is not kept */
            ifab_buf_fini(out);
            ifab_buf_init(out, limit);
        }
        ifab_buf_clear(out);
        self->out_at = 0;
    }
    if (rest != self->polls_out) {
        self->polls_out = rest;
        (void)uv_poll_start(&self->io, UV_READABLE | (rest ? UV_WRITABLE : 0), on_io);
    }
    return true;
}

/* One recv a turn, so that no worker keeps the loop to itself. false: end of file or an error. */
static bool receive(struct chassis_worker *self)
{
    struct ifab_buf *in = &self->in;
    size_t more = self->in_want > in->size ? self->in_want - in->size : 0;
    more = more < READ_AT_LEAST ? READ_AT_LEAST : more > READ_AT_MOST ? READ_AT_MOST : more;
    if (ifab_buf_reserve(in, more) != IFAB_OK)
        return false;
    ssize_t got = recv(self->process.fd, in->data + in->size, more, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    in->size += (size_t)got;
    return got > 0;
}

/* All whole frames; what is left of the next one moves to the front. */
static void take_frames(struct chassis_worker *self)
{
    struct ifab_buf *in = &self->in;
    size_t at = 0;
    while (self->state != CHASSIS_DYING && at < in->size) {
        struct ifab_frame frame;
        size_t size = 0;
        ifab_status status = ifab_frame_read(IFAB_FRAME_FROM_WORKER, ifab_view_of(in->data + at, in->size - at), &frame, &size);
        if (status == IFAB_AGAIN && size <= self->in_max) {
            self->in_want = size;
            break;
        }
        if (status != IFAB_OK || size > self->in_max) {
            self->pool->stats.wrong_frames++;
            ifab_chassis__worker_failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process sent bytes that are no frame it may send");
            return;
        }
        if (self->role == IFAB_SANDBOX_PREPARE)
            ifab_chassis__prepare_frame(self, &frame);
        else
            ifab_chassis__execute_frame(self, &frame);
        at += size;
    }
    if (at > 0) {
        memmove(in->data, in->data + at, in->size - at);
        in->size -= at;
    }
}

static void on_io(uv_poll_t *handle, int status, int events)
{
    struct chassis_worker *self = handle->data;
    struct ifab_chassis *pool = self->pool;
    bool alive = status == 0;
    if (alive && (events & UV_WRITABLE) != 0)
        alive = ifab_chassis__worker_flush(self);
    if (alive && (events & UV_READABLE) != 0)
        alive = receive(self);
    take_frames(self);
    if (!alive)
        ifab_chassis__worker_failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process ended by itself");
    ifab_chassis__settle(pool);
}

bool ifab_chassis__ready(struct chassis_worker *self, const struct ifab_frame *frame, struct ifab_frame_ready *ret, char ret_text[CHASSIS_TEXT + 1])
{
    char names[IFAB_WALL_TEXT];
    if (frame->type != IFAB_FRAME_READY || ifab_frame_ready_read(frame, ret) != IFAB_OK || ret->role != self->role) {
        self->pool->stats.wrong_frames++;
        (void)snprintf(ret_text, CHASSIS_TEXT + 1, "the sandbox process sent %s in place of READY", ifab_frame_type_name(frame->type));
        return false;
    }
    uint32_t missing = self->pool->options.walls & ~ret->walls;
    if (missing != 0) {
        self->pool->stats.refused_walls++;
        ifab_wall_text(missing, names);
        (void)snprintf(ret_text, CHASSIS_TEXT + 1, "the sandbox process lacks walls that policy wants: %s", names);
        return false;
    }
    return true;
}
