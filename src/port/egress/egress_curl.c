/*
 * HTTP by libcurl. The owner's thread puts orders into a queue; the back-end's thread takes them, runs all transfers in one epoll, and pushes events.
 * Invariants: (1) a transfer belongs to the thread from its order to its last event; (2) every way out of a transfer pushes exactly one last event.
 */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "curl_internal.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

ifab_usec ifab_egress__curl_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (ifab_usec)now.tv_sec * IFAB_SECOND + now.tv_nsec / 1000;
}

static void transfer_free(struct egress_curl *self, struct transfer *t)
{
    for (struct transfer **at = &self->transfers; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    if (t->fd >= 0)
        (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, t->fd, NULL);
    ifab_egress__easy_end(t);
    ifab_egress__ws_free(t->ws);
    ifab_egress__job_free(t->job);
    ifab_free(t);
}
static void fail(struct egress_curl *self, struct transfer *t, enum ifab_egress_failure failure, const char *detail)
{
    ifab_egress__fail(&self->base, t->job, failure, detail, t->attempt, t->sent, t->address);
    transfer_free(self, t);
}
static void begin(struct egress_curl *self, struct transfer *t)
{
    ifab_status status = ifab_egress__easy_begin(t, ifab_egress__curl_now());
    if (status != IFAB_OK)
        fail(self, t, IFAB_EGRESS_SYSTEM, status == IFAB_NOMEM ? "out of memory" : "libcurl refuses it");
}

/* What libcurl's result is in our words. */
static enum ifab_egress_failure failure_of(const struct transfer *t, CURLcode result)
{
    if (t->reader.failure != IFAB_EGRESS_NONE)
        return t->reader.failure;
    if (t->verdict != IFAB_EGRESS_NONE)
        return t->verdict;
    switch ((int)result) {
    case CURLE_OK:
        return IFAB_EGRESS_NONE;
    case CURLE_OPERATION_TIMEDOUT:
        return ifab_egress__curl_now() + 1000 >= t->deadline ? IFAB_EGRESS_DEADLINE : IFAB_EGRESS_TRANSPORT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return IFAB_EGRESS_TLS;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return IFAB_EGRESS_RESPONSE;
    case CURLE_OUT_OF_MEMORY: /* libcurl says this too of a header line above its own bound */
        return t->requests > 0 && !t->reader.final_head ? IFAB_EGRESS_RESPONSE : IFAB_EGRESS_SYSTEM;
    default:
        return IFAB_EGRESS_TRANSPORT;
    }
}
static bool again(struct transfer *t, enum ifab_egress_failure failure)
{
    ifab_usec now = ifab_egress__curl_now(), wait;
    curl_off_t after = 0;
    bool transport = failure == IFAB_EGRESS_TRANSPORT;
    if (!transport && failure != IFAB_EGRESS_NONE)
        return false;
    if (!transport)
        (void)curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after);
    if (after > IFAB_EGRESS_TIMEOUT_MAX / IFAB_SECOND)
        after = IFAB_EGRESS_TIMEOUT_MAX / IFAB_SECOND + 1;
    struct ifab_retry_event event = {t->attempt, transport ? 0 : t->reader.status, after > 0 ? (ifab_usec)after * IFAB_SECOND : -1, t->deadline - now,
                                     t->job->random[(t->attempt - 1) % IFAB_EGRESS_ATTEMPTS_MAX]};
    if (!ifab_retry_again(&t->job->retry, &event, &wait))
        return false;
    ifab_egress__easy_end(t);
    t->state = TRANSFER_WAITING;
    t->due = now + wait;
    return true;
}
static void answer(struct egress_curl *self, struct transfer *t)
{
    char *target = NULL;
    struct ifab_egress_event *event = ifab_egress__reader_event(&t->reader, t->attempt, t->address);
    if (event == NULL) {
        fail(self, t, IFAB_EGRESS_SYSTEM, "out of memory");
        return;
    }
    if (event->status / 100 == 3 && curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &target) == CURLE_OK && target != NULL)
        ifab_egress__redirect(&self->base, t->job->call, ifab_view_str(target));
    ifab_egress__push(&self->base, event);
    transfer_free(self, t);
}

/* WebSocket */
static bool say_opened(struct transfer *t)
{
    if (t->opened)
        return true;
    struct ifab_egress_event *event = ifab_egress__event_new(t->job, IFAB_EGRESS_OPENED);
    if (event == NULL)
        return false;
    t->opened = true;
    ifab_egress__problem(&event->problem, IFAB_EGRESS_NONE, NULL);
    (void)snprintf(event->address, sizeof event->address, "%s", t->address);
    ifab_egress__push(&t->owner->base, event);
    return true;
}
static bool deliver(void *user, bool binary, struct ifab_view bytes)
{
    struct transfer *t = user;
    if (ifab_egress__waiting(&t->owner->base, t->job->id) + sizeof(struct ifab_egress_event) + bytes.size > IFAB_EGRESS_SOCKET_QUEUE || !say_opened(t))
        return false;
    struct ifab_egress_event *event = ifab_egress__event_new(t->job, IFAB_EGRESS_MESSAGE);
    if (event == NULL)
        return false;
    ifab_buf_init(&event->body_, bytes.size);
    ifab_buf_view(&event->body_, bytes);
    if (ifab_buf_status(&event->body_) != IFAB_OK) {
        ifab_egress_event_free(event);
        return false;
    }
    event->body = ifab_buf_as_view(&event->body_);
    event->binary = binary;
    ifab_egress__problem(&event->problem, IFAB_EGRESS_NONE, NULL);
    ifab_egress__push(&t->owner->base, event);
    return true;
}
static void watch(struct transfer *t, int how)
{
    struct epoll_event event = {.events = EPOLLIN | (t->wants_out ? (uint32_t)EPOLLOUT : 0U), .data.u64 = TAG_SOCKET | (uint32_t)t->fd};
    (void)epoll_ctl(t->owner->epoll_fd, how, t->fd, &event);
}
/* Writes what can be written. false: the connection is gone. */
static bool write_out(struct transfer *t)
{
    bool waits = false;
    for (struct ifab_view out; !waits && (out = ifab_egress__ws_output(t->ws)).size > 0;) {
        size_t sent = 0;
        CURLcode result = curl_easy_send(t->easy, out.data, out.size, &sent);
        if (result != CURLE_OK && result != CURLE_AGAIN)
            return false;
        waits = result == CURLE_AGAIN;
        t->sent = true;
        ifab_egress__ws_sent(t->ws, sent);
    }
    if (waits != t->wants_out) {
        t->wants_out = waits;
        watch(t, EPOLL_CTL_MOD);
    }
    return true;
}
static void socket_closed(struct egress_curl *self, struct transfer *t, int code)
{
    struct ifab_egress_event *event = IFAB_TAKE(t->job->reserve);
    (void)write_out(t); /* our half of the closing handshake */
    event->kind = IFAB_EGRESS_CLOSED;
    event->status = code;
    ifab_egress__problem(&event->problem, IFAB_EGRESS_NONE, NULL);
    ifab_egress__push(&self->base, event);
    transfer_free(self, t);
}
static void socket_ready(struct egress_curl *self, struct transfer *t)
{
    uint8_t bytes[16384];
    enum ifab_egress_failure failure = IFAB_EGRESS_TRANSPORT;
    const char *detail = "the connection ended";
    for (int rounds = 0; rounds < 64; rounds++) { /* others wait; epoll will say it again */
        size_t size = 0;
        int code = 0;
        CURLcode result = curl_easy_recv(t->easy, bytes, sizeof bytes, &size);
        if (result == CURLE_AGAIN)
            break;
        bool good = result == CURLE_OK && size > 0 && ifab_egress__ws_receive(t->ws, ifab_view_of(bytes, size), &failure, &detail);
        if (ifab_egress__ws_is_open(t->ws))
            good = say_opened(t) && good;
        if (!good) {
            fail(self, t, failure, detail);
            return;
        }
        if (ifab_egress__ws_is_closed(t->ws, &code)) {
            socket_closed(self, t, code);
            return;
        }
    }
    if (!write_out(t))
        fail(self, t, IFAB_EGRESS_TRANSPORT, "the connection ended");
}
/* Connected, with TLS where the scheme says so; the address was judged when the socket was made. */
static void socket_begin(struct egress_curl *self, struct transfer *t)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD ||
        ifab_egress__ws_new(t->job, deliver, t, &t->ws) != IFAB_OK) {
        fail(self, t, IFAB_EGRESS_SYSTEM, "no socket");
        return;
    }
    t->state = TRANSFER_SOCKET;
    t->fd = fd;
    watch(t, EPOLL_CTL_ADD);
    if (!write_out(t))
        fail(self, t, IFAB_EGRESS_TRANSPORT, "the connection ended");
}

static void done(struct egress_curl *self, struct transfer *t, CURLcode result)
{
    enum ifab_egress_failure failure = failure_of(t, result);
    if (result == CURLE_COULDNT_RESOLVE_HOST)
        t->resolving = false; /* it did say something */
    if (failure == IFAB_EGRESS_NONE && t->job->socket) {
        socket_begin(self, t);
        return;
    }
    if (failure == IFAB_EGRESS_NONE && !ifab_egress__reader_end(&t->reader))
        failure = t->reader.failure;
    const char *detail = t->reader.failure != IFAB_EGRESS_NONE ? t->reader.detail : ifab_egress__easy_detail(t, result);
    if (again(t, failure))
        return;
    if (failure == IFAB_EGRESS_NONE)
        answer(self, t);
    else
        fail(self, t, failure, detail);
}

/* Orders */
static struct transfer *find(struct egress_curl *self, uint64_t id)
{
    struct transfer *t = self->transfers;
    while (t != NULL && t->job->id != id)
        t = t->next;
    return t;
}
static void start(struct egress_curl *self, struct ifab_egress_job *job)
{
    struct transfer *t = ifab_calloc(1, sizeof *t);
    if (t == NULL) {
        ifab_egress__fail(&self->base, job, IFAB_EGRESS_SYSTEM, "out of memory", 0, false, NULL);
        ifab_egress__job_free(job);
        return;
    }
    t->owner = self;
    t->job = job;
    t->fd = -1;
    t->deadline = ifab_egress__curl_now() + job->timeout;
    if (job->socket)
        memcpy(job->pool32, &job->id, sizeof job->id); /* shares with nobody */
    t->next = self->transfers;
    self->transfers = t;
    begin(self, t);
}
static void obey(struct egress_curl *self, struct order *order)
{
    struct transfer *t = order->kind == ORDER_SUBMIT ? NULL : find(self, order->id);
    ifab_status status = IFAB_OK;
    switch (order->kind) {
    case ORDER_SUBMIT:
        start(self, IFAB_TAKE(order->job));
        return;
    case ORDER_CANCEL:
        if (t != NULL)
            fail(self, t, IFAB_EGRESS_CANCELLED, NULL);
        return;
    case ORDER_SEND:
        ifab_egress__on_its_way(&self->base, order->id, order->bytes.size);
        if (t == NULL || t->ws == NULL)
            return;
        if (order->own != NULL && t->job->answer == NULL) {
            t->job->answer = IFAB_TAKE(order->own);
            ifab_egress__ws_answers(t->ws);
        }
        status = ifab_egress__ws_send(t->ws, order->binary, ifab_buf_as_view(&order->bytes));
        break;
    case ORDER_SHUT:
        if (t == NULL || t->ws == NULL)
            return;
        status = ifab_egress__ws_shut(t->ws, order->code);
        break;
    }
    if ((status != IFAB_OK && status != IFAB_NOT_FOUND) || !write_out(t))
        fail(self, t, status == IFAB_OK ? IFAB_EGRESS_TRANSPORT : IFAB_EGRESS_SYSTEM,
             status == IFAB_OK ? "the connection ended" : "no room for what must be sent");
}
static void order_free(struct order *order)
{
    ifab_egress__job_free(order->job);
    ifab_leak_set_free(order->own);
    if (order->bytes.data != NULL)
        ifab_wipe(order->bytes.data, order->bytes.size);
    ifab_buf_fini(&order->bytes);
    ifab_free(order);
}
/* false: stop */
static bool take_orders(struct egress_curl *self)
{
    uint64_t count;
    (void)!read(self->wake_fd, &count, sizeof count);
    (void)pthread_mutex_lock(&self->orders_lock);
    struct order *all = self->first;
    bool go_on = !self->stopping;
    self->first = self->last = NULL;
    (void)pthread_mutex_unlock(&self->orders_lock);
    for (struct order *order; (order = all) != NULL;) {
        all = order->next;
        if (go_on)
            obey(self, order);
        order_free(order);
    }
    return go_on;
}

static void collect(struct egress_curl *self, struct pool *pool)
{
    int left;
    for (CURLMsg *message; pool->used && (message = curl_multi_info_read(pool->multi, &left)) != NULL;) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE || curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private) != CURLE_OK)
            continue;
        done(self, (struct transfer *)(void *)private, message->data.result);
    }
}
static void run_timers(struct egress_curl *self)
{
    ifab_usec now = ifab_egress__curl_now();
    int running;
    for (size_t i = 0; i < POOLS_MAX; i++) {
        struct pool *pool = &self->pools[i];
        if (pool->used && pool->due <= now) {
            pool->due = IFAB_NEVER;
            (void)curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        if (pool->used)
            collect(self, pool);
    }
    for (struct transfer *t = self->transfers, *next; t != NULL; t = next) {
        next = t->next;
        if (t->state == TRANSFER_WAITING && t->due <= now)
            begin(self, t);
        else if (t->deadline <= now) /* libcurl's own timer may come a moment before its time and then never again */
            fail(self, t, IFAB_EGRESS_DEADLINE, NULL);
    }
    ifab_egress__pool_reap(self, now);
}
static int wait_ms(const struct egress_curl *self)
{
    ifab_usec due = IFAB_NEVER, now = ifab_egress__curl_now();
    for (size_t i = 0; i < POOLS_MAX; i++) {
        const struct pool *pool = &self->pools[i];
        ifab_usec at = !pool->used ? IFAB_NEVER : pool->transfers == 0 ? pool->idle + POOL_IDLE + 1000 : pool->due;
        due = at < due ? at : due;
    }
    for (const struct transfer *t = self->transfers; t != NULL; t = t->next) {
        ifab_usec at = t->state == TRANSFER_WAITING && t->due < t->deadline ? t->due : t->deadline;
        due = at < due ? at : due;
    }
    if (due == IFAB_NEVER)
        return -1;
    return due <= now ? 0 : due - now > IFAB_MINUTE ? 60000 : (int)((due - now + 999) / 1000);
}
static void handle(struct egress_curl *self, const struct epoll_event *event)
{
    int running, mask = (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) | (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                        (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    uint64_t tag = event->data.u64;
    int fd = (int)(uint32_t)tag;
    if ((tag & TAG_SOCKET) != 0) {
        struct transfer *t = self->transfers;
        while (t != NULL && t->fd != fd)
            t = t->next;
        if (t != NULL)
            socket_ready(self, t);
        return;
    }
    struct pool *pool = &self->pools[(tag >> 32) % POOLS_MAX];
    if (pool->used) /* an event of a socket that is gone means nothing to libcurl */
        (void)curl_multi_socket_action(pool->multi, fd, mask, &running);
}
static void *thread_main(void *user)
{
    struct egress_curl *self = user;
    struct epoll_event events[64];
    for (bool go_on = true; go_on;) {
        int count = epoll_wait(self->epoll_fd, events, (int)IFAB_COUNT(events), wait_ms(self));
        assert(count >= 0 || errno == EINTR);
        bool orders = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == TAG_WAKE)
                orders = true;
            else
                handle(self, &events[i]);
        }
        if (orders)
            go_on = take_orders(self);
        run_timers(self);
    }
    while (self->transfers != NULL)
        transfer_free(self, self->transfers);
    for (size_t i = 0; i < POOLS_MAX; i++) {
        if (self->pools[i].used)
            ifab_egress__pool_drop(&self->pools[i]);
    }
    return NULL;
}

/* The owner's side */
static ifab_status give(struct egress_curl *self, struct order *order)
{
    uint64_t one = 1;
    (void)pthread_mutex_lock(&self->orders_lock);
    if (self->first == NULL)
        self->first = order;
    else
        self->last->next = order;
    self->last = order;
    (void)pthread_mutex_unlock(&self->orders_lock);
    (void)!write(self->wake_fd, &one, sizeof one);
    return IFAB_OK;
}
static ifab_status curl_submit(struct ifab_egress *base, struct ifab_egress_job *job)
{
    struct order *order = ifab_calloc(1, sizeof *order);
    if (order == NULL)
        return IFAB_NOMEM;
    order->kind = ORDER_SUBMIT;
    order->job = job;
    return give((struct egress_curl *)(void *)base, order);
}
static ifab_status say(struct ifab_egress *base, uint64_t id, bool binary, struct ifab_view bytes, struct ifab_leak_set *own)
{
    struct order *order = ifab_calloc(1, sizeof *order);
    if (order == NULL)
        return IFAB_NOMEM;
    *order = (struct order){.kind = ORDER_SEND, .id = id, .binary = binary, .bytes = IFAB_BUF_INIT(IFAB_EGRESS_MESSAGE_MAX)};
    ifab_buf_view(&order->bytes, bytes);
    if (ifab_buf_status(&order->bytes) != IFAB_OK) {
        order_free(order);
        return IFAB_NOMEM;
    }
    order->own = own;
    return give((struct egress_curl *)(void *)base, order);
}
static ifab_status curl_send(struct ifab_egress *base, uint64_t id, bool binary, struct ifab_view bytes) { return say(base, id, binary, bytes, NULL); }
static ifab_status curl_answer(struct ifab_egress *base, uint64_t id, struct ifab_view text, struct ifab_leak_set *own)
{
    return say(base, id, false, text, own);
}
static ifab_status curl_shut(struct ifab_egress *base, uint64_t id, uint16_t code)
{
    struct order *order = ifab_calloc(1, sizeof *order);
    if (order == NULL)
        return IFAB_NOMEM;
    *order = (struct order){.kind = ORDER_SHUT, .id = id, .code = code};
    return give((struct egress_curl *)(void *)base, order);
}
static void curl_cancel(struct ifab_egress *base, uint64_t id)
{
    struct order *order = ifab_calloc(1, sizeof *order);
    if (order == NULL)
        return; /* its time limit ends it */
    *order = (struct order){.kind = ORDER_CANCEL, .id = id};
    (void)give((struct egress_curl *)(void *)base, order);
}
static void release(struct egress_curl *self)
{
    if (self->epoll_fd >= 0)
        (void)close(self->epoll_fd);
    if (self->wake_fd >= 0)
        (void)close(self->wake_fd);
    curl_slist_free_all(self->resolve);
    ifab_free(self->ca_file);
    (void)pthread_mutex_destroy(&self->orders_lock);
    ifab_egress__fini(&self->base);
    ifab_free(self);
}
static void curl_close(struct ifab_egress *base)
{
    struct egress_curl *self = (struct egress_curl *)(void *)base;
    uint64_t one = 1;
    (void)pthread_mutex_lock(&self->orders_lock);
    self->stopping = true;
    (void)pthread_mutex_unlock(&self->orders_lock);
    (void)!write(self->wake_fd, &one, sizeof one);
    (void)pthread_join(self->thread, NULL);
    release(self);
}
static const struct ifab_egress_ops curl_ops = {IFAB_EGRESS_ABI, "curl", curl_submit, curl_send, curl_shut, curl_cancel, curl_close, curl_answer};

/* libcurl's memory holds header lines with secrets for a while: what it gives back is wiped first. */
static void wiping_free(void *old)
{
    if (old != NULL)
        explicit_bzero(old, malloc_usable_size(old));
    free(old);
}
static void *wiping_realloc(void *old, size_t size)
{
    size_t before = old == NULL ? 0 : malloc_usable_size(old);
    void *grown = malloc(size > 0 ? size : 1);
    if (grown == NULL)
        return NULL;
    if (old != NULL)
        memcpy(grown, old, before < size ? before : size);
    wiping_free(old);
    return grown;
}
static CURLcode global_result;
static void global_begin(void) { global_result = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup, calloc); }

static ifab_status check_library(struct ifab_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (getenv("SSLKEYLOGFILE") != NULL)
        return ifab_fail(err, IFAB_INVALID, "egress: SSLKEYLOGFILE is set: libcurl would write the keys of its connections there. Unset it.");
    (void)pthread_once(&once, global_begin);
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
    int need = CURL_VERSION_SSL | CURL_VERSION_ASYNCHDNS;
    if (global_result != CURLE_OK || version->version_num < 0x075700 || (version->features & need) != need)
        return ifab_fail(err, IFAB_UNSUPPORTED, "egress: libcurl %s: at least 7.87 with TLS and a resolver that does not block is needed",
                         version->version);
    return IFAB_OK;
}
static ifab_status set_up(struct egress_curl *self, const struct ifab_egress_settings *settings, struct ifab_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TAG_WAKE};
    if (settings->ca_file != NULL) {
        size_t size = strlen(settings->ca_file) + 1;
        if (access(settings->ca_file, R_OK) != 0)
            return ifab_fail(err, IFAB_NOT_FOUND, "egress: %s cannot be read", settings->ca_file);
        if ((self->ca_file = ifab_malloc(size)) == NULL)
            return ifab_fail(err, IFAB_NOMEM, "egress");
        memcpy(self->ca_file, settings->ca_file, size);
    }
    for (const char *const *at = settings->resolve; at != NULL && *at != NULL; at++) {
        struct curl_slist *longer = curl_slist_append(self->resolve, *at);
        if (longer == NULL)
            return ifab_fail(err, IFAB_NOMEM, "egress");
        self->resolve = longer;
    }
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->epoll_fd < 0 || self->wake_fd < 0 || epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) != 0)
        return ifab_fail(err, IFAB_FULL, "egress: no descriptor");
    if (pthread_create(&self->thread, NULL, thread_main, self) != 0)
        return ifab_fail(err, IFAB_FULL, "egress: no thread");
    return IFAB_OK;
}
ifab_status ifab_egress_curl_open(const struct ifab_egress_settings *settings, struct ifab_egress **ret_egress, struct ifab_error *err)
{
    IFAB_TRY(check_library(err));
    struct egress_curl *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "egress");
    self->epoll_fd = self->wake_fd = -1;
    ifab_status status = ifab_egress__init(&self->base, &curl_ops, settings, err);
    if (status != IFAB_OK) {
        ifab_free(self);
        return status;
    }
    if (pthread_mutex_init(&self->orders_lock, NULL) != 0) {
        ifab_egress__fini(&self->base);
        ifab_free(self);
        return ifab_fail(err, IFAB_NOMEM, "egress");
    }
    status = set_up(self, settings, err);
    if (status != IFAB_OK) {
        release(self);
        return status;
    }
    *ret_egress = &self->base;
    return IFAB_OK;
}
