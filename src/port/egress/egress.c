/*
 * What callers call: rules first, then the table; and the queue of events that every back-end shares.
 * Invariant: an id stands in `flying` from a successful submit until its last event is pushed, and has exactly one last event.
 */
#include "egress/egress.h"

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "job.h"

#include <assert.h>
#include <stdarg.h>

static const struct {
    enum ifab_code code;
    bool alarm;
    const char *text;
} failures[IFAB_EGRESS_FAILURE_COUNT] = {
#define ROW(name, code_, alarm_, text_) [IFAB_EGRESS_##name] = {IFAB_CODE_##code_, alarm_, text_},
    IFAB_EGRESS_FAILURE_MAP(ROW)
#undef ROW
};
const char *ifab_egress_failure_text(enum ifab_egress_failure failure) { return failures[failure < IFAB_EGRESS_FAILURE_COUNT ? failure : 0].text; }

void ifab_egress__problem(struct ifab_egress_problem *ret, enum ifab_egress_failure failure, const char *format, ...)
{
    if (ret == NULL)
        return;
    memset(ret, 0, sizeof *ret);
    ret->failure = failure;
    ret->code = failures[failure].code;
    ret->alarm = failures[failure].alarm;
    int used = snprintf(ret->text, sizeof ret->text, "%s", failures[failure].text);
    if (format != NULL && used > 0 && (size_t)used + 3 < sizeof ret->text) {
        va_list args;
        va_start(args, format);
        memcpy(ret->text + used, ": ", 3);
        (void)vsnprintf(ret->text + used + 2, sizeof ret->text - (size_t)used - 2, format, args);
        va_end(args);
    }
}

static bool usable(const struct ifab_egress *self) { return self != NULL && self->ops != NULL && self->ops->abi == IFAB_EGRESS_ABI; }

ifab_status ifab_egress__init(struct ifab_egress *self, const struct ifab_egress_ops *ops, const struct ifab_egress_settings *settings,
                              struct ifab_error *err)
{
    if (settings == NULL || settings->version != IFAB_EGRESS_ABI || settings->requests_max > IFAB_EGRESS_REQUESTS_MAX ||
        settings->tenant_max > IFAB_EGRESS_REQUESTS_MAX)
        return ifab_fail(err, IFAB_INVALID, "egress: settings of another version, or more than %d requests in flight", IFAB_EGRESS_REQUESTS_MAX);
    if (pthread_mutex_init(&self->lock, NULL) != 0)
        return ifab_fail(err, IFAB_NOMEM, "egress");
    self->ops = ops;
    self->sink = self;
    self->wake = settings->wake;
    self->user = settings->user;
    self->requests_max = settings->requests_max != 0 ? settings->requests_max : 64;
    self->tenant_max = settings->tenant_max != 0 ? settings->tenant_max : self->requests_max / 4 > 0 ? self->requests_max / 4 : 1;
    self->next_id = 1;
    return IFAB_OK;
}

static struct ifab_egress_live *live_ref(struct ifab_egress_live *live)
{
    if (live != NULL)
        atomic_fetch_add(&live->refs, 1);
    return live;
}
static void live_unref(struct ifab_egress_live *live)
{
    if (live != NULL && atomic_fetch_sub(&live->refs, 1) == 1) {
        ifab_leak_set_free(live->set);
        ifab_free(live);
    }
}
void ifab_egress__fini(struct ifab_egress *self)
{
    for (struct ifab_egress_event *event; (event = self->first) != NULL;) {
        self->first = event->next_;
        ifab_egress_event_free(event);
    }
    live_unref(self->live);
    (void)pthread_mutex_destroy(&self->lock);
}
ifab_status ifab_egress_set_live(struct ifab_egress *self, struct ifab_leak_set *set)
{
    struct ifab_egress_live *live = NULL, *before;
    assert(usable(self));
    if (set != NULL) {
        live = ifab_calloc(1, sizeof *live);
        if (live == NULL)
            return IFAB_NOMEM;
        live->set = set;
        atomic_init(&live->refs, 1);
    }
    (void)pthread_mutex_lock(&self->lock);
    before = self->live;
    self->live = live;
    self->blind = false;
    (void)pthread_mutex_unlock(&self->lock);
    live_unref(before);
    return IFAB_OK;
}
void ifab_egress_set_blind(struct ifab_egress *self)
{
    assert(usable(self));
    (void)pthread_mutex_lock(&self->lock);
    self->blind = true;
    (void)pthread_mutex_unlock(&self->lock);
}

void ifab_egress__job_free(struct ifab_egress_job *job)
{
    if (job == NULL)
        return;
    if (job->storage.data != NULL)
        ifab_wipe(job->storage.data, job->storage.capacity);
    ifab_buf_fini(&job->storage);
    ifab_leak_set_free(job->own);
    ifab_leak_set_free(job->answer);
    live_unref(job->live);
    ifab_egress_event_free(job->reserve);
    ifab_arena_fini(&job->arena);
    ifab_wipe(job, sizeof *job);
    ifab_free(job);
}

struct ifab_egress_event *ifab_egress__event_new(const struct ifab_egress_job *job, enum ifab_egress_kind kind)
{
    struct ifab_egress_event *event = ifab_calloc(1, sizeof *event);
    if (event != NULL) {
        event->kind = kind;
        event->id = job->id;
        event->tag = job->tag;
    }
    return event;
}
void ifab_egress_event_free(struct ifab_egress_event *event)
{
    if (event == NULL)
        return;
    if (event->body_.data != NULL)
        ifab_wipe(event->body_.data, event->body_.capacity);
    ifab_buf_fini(&event->body_);
    ifab_buf_fini(&event->head_);
    ifab_free(event->fields_);
    ifab_free(event);
}

/* A message of no bytes waits, too. */
static size_t weight(const struct ifab_egress_event *event) { return event->kind == IFAB_EGRESS_MESSAGE ? event->body.size + sizeof *event : 0; }
static bool is_last(enum ifab_egress_kind kind) { return kind == IFAB_EGRESS_FAILED || kind == IFAB_EGRESS_ANSWER || kind == IFAB_EGRESS_CLOSED; }
void ifab_egress__push(struct ifab_egress *self, struct ifab_egress_event *event)
{
    struct ifab_egress *sink = self->sink;
    (void)pthread_mutex_lock(&sink->lock);
    event->next_ = NULL;
    if (sink->first == NULL)
        sink->first = event;
    else
        sink->last->next_ = event;
    sink->last = event;
    for (size_t i = 0; i < sink->requests_max; i++) {
        if (sink->flying[i].id != event->id)
            continue;
        sink->flying[i].waiting += weight(event);
        sink->flying[i].open = event->kind == IFAB_EGRESS_OPENED || sink->flying[i].open;
        if (is_last(event->kind))
            sink->flying[i].id = 0;
    }
    (void)pthread_mutex_unlock(&sink->lock);
    if (sink->wake != NULL)
        sink->wake(sink->user);
}
size_t ifab_egress__waiting(struct ifab_egress *self, uint64_t id)
{
    struct ifab_egress *sink = self->sink;
    size_t waiting = 0;
    (void)pthread_mutex_lock(&sink->lock);
    for (size_t i = 0; i < sink->requests_max; i++)
        waiting = sink->flying[i].id == id ? sink->flying[i].waiting : waiting;
    (void)pthread_mutex_unlock(&sink->lock);
    return waiting;
}
void ifab_egress__on_its_way(struct ifab_egress *self, uint64_t id, size_t size)
{
    struct ifab_egress *sink = self->sink;
    (void)pthread_mutex_lock(&sink->lock);
    for (size_t i = 0; i < sink->requests_max; i++) {
        if (sink->flying[i].id == id)
            sink->flying[i].unsent -= size;
    }
    (void)pthread_mutex_unlock(&sink->lock);
}
void ifab_egress__fail(struct ifab_egress *self, struct ifab_egress_job *job, enum ifab_egress_failure failure, const char *detail, uint32_t attempts,
                       bool maybe_sent, const char *address)
{
    struct ifab_egress_event *event = IFAB_TAKE(job->reserve);
    assert(event != NULL && failure != IFAB_EGRESS_NONE);
    if (detail == NULL)
        ifab_egress__problem(&event->problem, failure, NULL);
    else
        ifab_egress__problem(&event->problem, failure, "%s", detail);
    event->attempts = attempts;
    event->maybe_sent = maybe_sent;
    if (address != NULL)
        (void)snprintf(event->address, sizeof event->address, "%s", address);
    ifab_egress__push(self, event);
}

void ifab_egress__redirect(struct ifab_egress *self, uint64_t call, struct ifab_view text)
{
    struct ifab_egress *sink = self->sink;
    struct ifab_url url;
    bool anywhere = ifab_url_parse(text, &url, NULL) != IFAB_OK; /* with a fragment, a user, %62 for b: servers may spell it so, and it is not normalised here */
    (void)pthread_mutex_lock(&sink->lock);
    sink->redirects[sink->redirect_next].anywhere = anywhere;
    if (!anywhere)
        ifab_egress__target(&url, sink->redirects[sink->redirect_next].target32);
    sink->redirects[sink->redirect_next].call = call;
    sink->redirect_next = (sink->redirect_next + 1) % IFAB_EGRESS_REDIRECTS;
    (void)pthread_mutex_unlock(&sink->lock);
}
static bool was_redirect(struct ifab_egress *self, const struct ifab_egress_job *job)
{
    uint8_t target32[32];
    bool found = false;
    ifab_egress__target(&job->url, target32);
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < IFAB_EGRESS_REDIRECTS; i++)
        found = found || (self->redirects[i].call == job->call &&
                          (self->redirects[i].anywhere || memcmp(self->redirects[i].target32, target32, 32) == 0));
    (void)pthread_mutex_unlock(&self->lock);
    return found;
}

/* A place among those in flight, an id, and the live values. IFAB_AGAIN, IFAB_NOMEM; IFAB_DENIED: what would come back could not be searched. */
static ifab_status take_off(struct ifab_egress *self, struct ifab_egress_job *job, bool redirected, struct ifab_egress_problem *problem)
{
    size_t free_at = SIZE_MAX, of_tenant = 0;
    struct ifab_buf origin = IFAB_BUF_INIT(IFAB_EGRESS__ORIGIN_MAX);
    ifab_origin_write(&job->url.origin, &origin);
    ifab_buf_char(&origin, '\0');
    if (ifab_buf_status(&origin) != IFAB_OK) {
        ifab_buf_fini(&origin);
        return IFAB_NOMEM;
    }
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->requests_max; i++) {
        if (self->flying[i].id == 0)
            free_at = i;
        else
            of_tenant += memcmp(self->flying[i].tenant32, job->tenant32, 32) == 0;
    }
    bool room = free_at != SIZE_MAX && of_tenant < self->tenant_max, blind = self->blind;
    if (room && !blind) {
        job->id = self->next_id++;
        self->flying[free_at].id = job->id;
        self->flying[free_at].waiting = self->flying[free_at].unsent = 0;
        self->flying[free_at].open = self->flying[free_at].answered = false;
        self->flying[free_at].redirected = redirected;
        memcpy(self->flying[free_at].origin, origin.data, origin.size);
        memcpy(self->flying[free_at].tenant32, job->tenant32, 32);
        job->live = live_ref(self->live);
    }
    (void)pthread_mutex_unlock(&self->lock);
    ifab_buf_fini(&origin);
    if (blind)
        ifab_egress__problem(problem, IFAB_EGRESS_UNSEARCHED, NULL);
    return blind ? IFAB_DENIED : room ? IFAB_OK : IFAB_AGAIN;
}
static void land(struct ifab_egress *self, uint64_t id)
{
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->requests_max; i++) {
        if (self->flying[i].id == id)
            self->flying[i].id = 0;
    }
    (void)pthread_mutex_unlock(&self->lock);
}
size_t ifab_egress_in_flight(struct ifab_egress *self)
{
    size_t count = 0;
    assert(usable(self));
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->requests_max; i++)
        count += self->flying[i].id != 0;
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}

ifab_status ifab_egress_submit(struct ifab_egress *self, const struct ifab_egress_request *request, uint64_t *ret_id,
                               struct ifab_egress_problem *ret_problem)
{
    struct ifab_egress_job *job = NULL;
    assert(usable(self) && request != NULL && ret_id != NULL);
    ifab_egress__problem(ret_problem, IFAB_EGRESS_SYSTEM, NULL);
    ifab_status status = ifab_egress__job_new(request, &job, ret_problem);
    bool redirected = status == IFAB_OK && (request->redirected || was_redirect(self, job));
    if (status == IFAB_OK)
        status = take_off(self, job, redirected, ret_problem);
    if (status == IFAB_OK) {
        uint64_t id = job->id;
        status = ifab_egress__job_seal(job, request, redirected, ret_problem);
        if (status == IFAB_OK && (job->reserve = ifab_egress__event_new(job, IFAB_EGRESS_FAILED)) == NULL)
            status = IFAB_NOMEM;
        if (status == IFAB_OK)
            status = self->ops->submit(self, job);
        if (status == IFAB_OK) {
            job = NULL;
            *ret_id = id;
            ifab_egress__problem(ret_problem, IFAB_EGRESS_NONE, NULL);
        } else {
            land(self, id);
        }
    }
    ifab_egress__job_free(job);
    return status;
}
ifab_status ifab_egress_send(struct ifab_egress *self, uint64_t id, bool binary, struct ifab_view bytes)
{
    assert(usable(self));
    return ifab_egress__say(self, id, binary, bytes, NULL);
}
ifab_status ifab_egress__say(struct ifab_egress *self, uint64_t id, bool binary, struct ifab_view bytes, struct ifab_leak_set *own)
{
    if (bytes.size > IFAB_EGRESS_MESSAGE_MAX)
        return IFAB_TOO_LARGE;
    if (!binary && !ifab_utf8_valid(bytes))
        return IFAB_INVALID;
    ifab_status status = IFAB_NOT_FOUND;
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->requests_max; i++) {
        if (self->flying[i].id != id || id == 0 || !self->flying[i].open)
            continue;
        status = bytes.size > IFAB_EGRESS_SOCKET_QUEUE - self->flying[i].unsent ? IFAB_FULL : IFAB_OK;
        self->flying[i].unsent += status == IFAB_OK ? bytes.size : 0;
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (status != IFAB_OK)
        return status;
    status = own == NULL ? self->ops->send(self, id, binary, bytes) : self->ops->answer(self, id, bytes, own);
    if (status != IFAB_OK)
        ifab_egress__on_its_way(self, id, bytes.size);
    return status;
}
ifab_status ifab_egress_shut(struct ifab_egress *self, uint64_t id, uint16_t code)
{
    assert(usable(self));
    if (code != 1000 && code != 1001 && !(code >= 3000 && code <= 4999))
        return IFAB_INVALID;
    return self->ops->shut(self, id, code);
}
void ifab_egress_cancel(struct ifab_egress *self, uint64_t id)
{
    assert(usable(self));
    self->ops->cancel(self, id);
}
struct ifab_egress_event *ifab_egress_take(struct ifab_egress *self)
{
    assert(usable(self));
    (void)pthread_mutex_lock(&self->lock);
    struct ifab_egress_event *event = self->first;
    if (event != NULL)
        self->first = event->next_;
    for (size_t i = 0; event != NULL && i < self->requests_max; i++) {
        if (self->flying[i].id == event->id)
            self->flying[i].waiting -= weight(event);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return event;
}
void ifab_egress_close(struct ifab_egress *self)
{
    if (self == NULL)
        return;
    assert(usable(self));
    self->ops->close(self);
}
