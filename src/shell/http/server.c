/* The server as a whole: its loop handles, the turn in which answers are written, stop, kill and the end. */
#include <signal.h>

#include "base/mem.h"
#include "internal.h"

static struct ifab_http__connection *of_dirty(struct ifab_http__link *link)
{
    return (struct ifab_http__connection *)(void *)((char *)link - offsetof(struct ifab_http__connection, dirty));
}

/* What was answered since the last turn leaves: answers of one connection in one write. */
static void write_all(struct ifab_http_server *self)
{
    while (!ifab_http__link_alone(&self->dirty)) {
        struct ifab_http__link *link = self->dirty.next;
        ifab_http__link_remove(link);
        ifab_http__pump(of_dirty(link));
    }
    uv_idle_stop(&self->idle);
}

static void on_check(uv_check_t *check)
{
    struct ifab_http_server *self = check->data;
    if (!ifab_http__link_alone(&self->dirty))
        write_all(self);
}

static void on_idle(uv_idle_t *idle)
{
    write_all(idle->data);
}

void ifab_http__server_wake(struct ifab_http_server *self)
{
    if (!uv_is_active((const uv_handle_t *)&self->idle) && !self->base_closing)
        uv_idle_start(&self->idle, on_idle);
}

/* A peer that leaves while we write must cost its connection, not the process. */
static void ignore_sigpipe(void)
{
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && (old.sa_flags & SA_SIGINFO) == 0 && old.sa_handler == SIG_DFL) {
        struct sigaction ignore = {.sa_flags = 0};
        ignore.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &ignore, NULL);
    }
}

static void release(struct ifab_http_server *self)
{
    while (self->spare != NULL) {
        struct ifab_http__exchange *old = self->spare;
        self->spare = old->next;
        ifab_free(old);
    }
    ifab_free(self->slots);
    ifab_free(self->free_slots);
    ifab_free(self->slab);
    ifab_free(self);
}

ifab_status ifab_http_server_new(uv_loop_t *loop, const struct ifab_http_limits *limits, const struct ifab_http_handlers *handlers,
                                 struct ifab_http_server **ret_server, struct ifab_error *err)
{
    if (handlers->on_request == NULL || limits->connections == 0 || limits->connections > 32767 || limits->tcp_connections > 32767 || limits->pipelined == 0
        || limits->head_bytes == 0 || limits->head_bytes > 1024 * 1024 || limits->header_count == 0 || limits->header_count > 1024)
        return ifab_fail(err, IFAB_INVALID, "http limits");
    struct ifab_http_server *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "http server");
    size_t slots = ifab_http_slots(limits);
    self->slots = ifab_calloc(slots, sizeof(struct ifab_http__connection *));
    self->free_slots = ifab_calloc(slots, sizeof *self->free_slots);
    self->slab = ifab_malloc(IFAB_HTTP__SLAB);
    if (self->slots == NULL || self->free_slots == NULL || self->slab == NULL) {
        release(self);
        return ifab_fail(err, IFAB_NOMEM, "http server");
    }
    self->loop = loop;
    self->limits = *limits;
    self->handlers = *handlers;
    self->date_second = -1;
    for (uint32_t slot = (uint32_t)slots; slot > 0; slot--)
        self->free_slots[self->free_count++] = slot - 1;
    ifab_http__link_init(&self->dirty);
    for (size_t i = 0; i < WAIT_CLASSES; i++)
        ifab_http__link_init(&self->waits[i]);
    /* These three cannot fail. Unreferenced: only sockets keep the loop running. */
    uv_timer_init(loop, &self->timer);
    uv_check_init(loop, &self->check);
    uv_idle_init(loop, &self->idle);
    self->timer.data = self->check.data = self->idle.data = self;
    self->handles = 3;
    uv_check_start(&self->check, on_check);
    uv_unref((uv_handle_t *)&self->timer);
    uv_unref((uv_handle_t *)&self->check);
    ignore_sigpipe();
    *ret_server = self;
    return IFAB_OK;
}

void ifab_http__handle_closed(struct ifab_http_server *self)
{
    if (--self->handles > 0)
        return;
    void (*done)(void *user) = self->done;
    void *user = self->done_user;
    if (self->freed)
        release(self);
    else if (done != NULL)
        done(user); /* may free us */
}

static void base_closed(uv_handle_t *handle)
{
    ifab_http__handle_closed(handle->data);
}

void ifab_http__wind_up(struct ifab_http_server *self)
{
    if (!self->stopping || self->base_closing || self->connection_count > 0)
        return;
    self->base_closing = true;
    uv_close((uv_handle_t *)&self->timer, base_closed);
    uv_close((uv_handle_t *)&self->check, base_closed);
    uv_close((uv_handle_t *)&self->idle, base_closed);
}

void ifab_http_server_stop(struct ifab_http_server *self, void (*done)(void *user), void *user)
{
    self->stopping = true;
    self->done = done;
    self->done_user = user;
    ifab_http__listeners_close(self);
    for (size_t i = 0; i < ifab_http_slots(&self->limits); i++) {
        struct ifab_http__connection *conn = self->slots[i];
        if (conn == NULL || conn->lingers)
            continue;
        ifab_http__stop_reading(conn, READING_DISCARDS);
        if (conn->first == NULL && ifab_http__unsent(conn) == 0)
            ifab_http__close(conn); /* idle, or a request not yet whole: nothing of it was done */
        else
            ifab_http__dirty(conn);
    }
    ifab_http__wind_up(self);
}

void ifab_http_server_kill(struct ifab_http_server *self)
{
    self->stopping = true;
    ifab_http__listeners_close(self);
    for (size_t i = 0; i < ifab_http_slots(&self->limits); i++) {
        if (self->slots[i] != NULL)
            ifab_http__close(self->slots[i]);
    }
    ifab_http__wind_up(self);
}

void ifab_http_server_free(struct ifab_http_server *self)
{
    if (self == NULL)
        return;
    if (self->handles == 0) {
        release(self);
        return;
    }
    self->freed = true; /* the loop still knows our handles: the last one to close takes the memory along */
    self->done = NULL;
    ifab_http_server_kill(self);
}

size_t ifab_http_slots(const struct ifab_http_limits *limits)
{
    return limits->connections + limits->tcp_connections;
}

void ifab_http_set_tls(struct ifab_http_server *self, const struct ifab_tls_context *context) { self->tls = context; }

size_t ifab_http_connections(const struct ifab_http_server *self)
{
    return self->connection_count;
}
