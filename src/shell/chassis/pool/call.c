/* Calls: taken in, waiting, given to workers, ended. */
#include "crypto/crypto.h"
#include "pool_internal.h"

#include <assert.h>

static void list_take(struct chassis_call *call)
{
    struct chassis_list *list = call->list;
    *(call->prev != NULL ? &call->prev->next : &list->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &list->last) = call->prev;
    call->prev = call->next = NULL;
    call->list = NULL;
    list->count--;
    call->tenant->waiting -= list->waits;
}

static void list_move(struct chassis_call *call, struct chassis_list *list)
{
    if (call->list != NULL)
        list_take(call);
    call->list = list;
    call->prev = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = call;
    list->last = call;
    list->count++;
    call->tenant->waiting += list->waits;
}

static void call_free(struct ifab_chassis *self, struct chassis_call *call)
{
    ifab_chassis__tenant_drop(self, call->tenant);
    ifab_chassis_module_unref(call->request.module);
    ifab_buf_fini(&call->input);
    ifab_buf_fini(&call->output);
    ifab_free(call);
}

/* ---- taken in ---- */

static bool fits(const struct ifab_chassis_request *r)
{
    const struct ifab_frame_call frame = {r->export_, r->deadline_ms, r->output_max, r->host_calls_max, r->fuel, r->input};
    const struct ifab_frame_load load = {IFAB_MODULE_ARTIFACT, r->memory_pages, 0, 1, r->imports, 1, IFAB_VIEW("x")};
    return r->module != NULL && r->input.size <= IFAB_CHASSIS_INPUT_MAX && r->deadline_ms / 1000 + 3 <= IFAB_FRAME_CPU_MAX &&
           ifab_frame_call_valid(&frame) && ifab_frame_load_valid(&load);
}

/* What a worker has loaded: two requests with the same can share it. */
static void load_digest(const struct ifab_chassis_request *request, uint8_t ret32[32])
{
    uint8_t fixed[8];
    for (unsigned i = 0; i < 4; i++) {
        fixed[i] = (uint8_t)(request->imports >> (8 * i));
        fixed[4 + i] = (uint8_t)(request->memory_pages >> (8 * i));
    }
    ifab_sha256_2(ifab_view_of(request->module->wasm_sha256, 32), ifab_view_of(fixed, sizeof fixed), ret32);
}

static bool room(const struct ifab_chassis *self, const struct chassis_tenant *tenant)
{
    return self->waiting.count < self->options.waiting && tenant->waiting < self->options.waiting_per_tenant;
}

ifab_status ifab_chassis_call(struct ifab_chassis *self, const struct ifab_chassis_request *request, ifab_chassis_done_fn *done, void *user,
                              uint64_t *ret_call)
{
    if (self->closing)
        return IFAB_AGAIN;
    if (done == NULL || !fits(request))
        return IFAB_INVALID;
    struct chassis_tenant *tenant = ifab_chassis__tenant(self, &request->tenant);
    bool fits_in = tenant != NULL && room(self, tenant);
    struct chassis_call *call = fits_in ? ifab_calloc(1, sizeof *call) : NULL;
    if (call == NULL) {
        ifab_status status = tenant != NULL && !fits_in ? IFAB_FULL : IFAB_NOMEM;
        ifab_chassis__tenant_drop(self, tenant);
        return status;
    }
    call->tenant = tenant;
    ifab_buf_init(&call->input, IFAB_CHASSIS_INPUT_MAX);
    ifab_buf_init(&call->output, IFAB_FRAME_OUTPUT_MAX);
    ifab_buf_view(&call->input, request->input);
    call->id = self->call_ids + 1;
    if (ifab_buf_status(&call->input) != IFAB_OK || ifab_u64map_put(&self->calls, call->id, (uint64_t)(uintptr_t)call) != IFAB_OK) {
        call_free(self, call); /* its module is not referenced yet */
        return IFAB_NOMEM;
    }
    self->call_ids++;
    self->stats.calls++;
    call->request = *request;
    call->request.input = ifab_buf_as_view(&call->input);
    call->request.module = ifab_chassis_module_ref(request->module);
    call->done = done;
    call->user = user;
    load_digest(request, call->load32);
    uv_update_time(self->loop);
    call->waits_until = uv_now(self->loop) + self->options.wait_ms;
    list_move(call, &self->waiting);
    *ret_call = call->id;
    ifab_chassis__pump(self);
    ifab_chassis__soon(self);
    return IFAB_OK;
}

/* ---- ended ---- */

void ifab_chassis__finish(struct ifab_chassis *pool, struct chassis_call *call, enum ifab_code code, enum ifab_trap trap, const char *text)
{
    struct chassis_worker *worker = call->worker;
    struct ifab_chassis_result *result = &call->result;
    if (worker != NULL) {
        if (worker->host_id != 0)
            call->gone_host = worker->host_id;
        worker->host_id = 0;
        result->host_calls = worker->host_calls;
        worker->call = NULL;
        call->worker = NULL;
    }
    if (result->began) {
        result->wall = (ifab_usec)((uv_hrtime() - call->began_nsec) / 1000);
        if (trap == IFAB_TRAP_KILLED)
            result->fuel_used = call->request.fuel; /* nobody knows: the whole grant */
        if (worker != NULL) {
            worker->busy_msec += (uint64_t)(result->wall + 999) / 1000;
            worker->served_nsec += (uint64_t)(result->wall + 1) * 1000;
        }
    }
    pool->stats.traps += trap != IFAB_TRAP_NONE;
    result->code = code;
    result->trap = trap;
    (void)snprintf(call->text, sizeof call->text, "%s", text);
    (void)ifab_u64map_remove(&pool->calls, call->id);
    list_move(call, &pool->ended);
}

static struct chassis_call *find(const struct ifab_chassis *self, uint64_t id)
{
    uint64_t at;
    return ifab_u64map_get(&self->calls, id, &at) ? (struct chassis_call *)(uintptr_t)at : NULL; /* NOLINT(performance-no-int-to-ptr) */
}

/* Out of whatever it is in; the worker that has it, if any, goes with it. */
static void drop(struct ifab_chassis *self, struct chassis_call *call, enum ifab_code code, const char *text)
{
    struct chassis_worker *worker = call->worker;
    ifab_chassis__finish(self, call, code, IFAB_TRAP_KILLED, text);
    if (worker != NULL)
        ifab_chassis__worker_kill(worker);
}

bool ifab_chassis_cancel(struct ifab_chassis *self, uint64_t id, enum ifab_code code, const char *text)
{
    struct chassis_call *call = find(self, id);
    if (call == NULL || code == IFAB_CODE_NONE)
        return false;
    drop(self, call, code, text);
    ifab_chassis__soon(self);
    return true;
}

/* Calls and workers of a manifest (or, without one, of a talent). */
static size_t end_all(struct ifab_chassis *self, const uint8_t *manifest32, uint64_t talent, const char *text)
{
    struct chassis_list *const lists[] = {&self->waiting, &self->bound};
    size_t count = 0;
    for (size_t i = 0; i < IFAB_COUNT(lists); i++) {
        for (struct chassis_call *c = lists[i]->first, *next; c != NULL; c = next) {
            const struct ifab_chassis_tenant *t = &c->request.tenant;
            next = c->next;
            if (manifest32 != NULL ? memcmp(t->manifest32, manifest32, 32) != 0 : t->talent != talent)
                continue;
            drop(self, c, IFAB_CODE_CAPABILITY_NOT_ALLOWED, text);
            count++;
        }
    }
    for (struct chassis_worker *w = self->workers; w != NULL; w = w->next) {
        bool meant = manifest32 != NULL ? memcmp(w->tenant.manifest32, manifest32, 32) == 0 : w->tenant.talent == talent;
        if (w->role == IFAB_SANDBOX_EXECUTE && meant)
            ifab_chassis__worker_kill(w); /* what it did was dropped above */
    }
    ifab_chassis__soon(self);
    return count;
}

size_t ifab_chassis_revoke(struct ifab_chassis *self, const uint8_t manifest32[32])
{
    return end_all(self, manifest32, 0, "the capability was revoked");
}
size_t ifab_chassis_revoke_talent(struct ifab_chassis *self, uint64_t talent) { return end_all(self, NULL, talent, "the talent was revoked"); }

/* ---- given to workers ---- */

static struct chassis_worker *find_idle(struct ifab_chassis *self, const struct chassis_call *call)
{
    if (self->idle == 0)
        return NULL;
    for (struct chassis_worker *w = self->workers; w != NULL; w = w->next) {
        if (w->state == CHASSIS_IDLE && w->shared == call->tenant && memcmp(w->load32, call->load32, 32) == 0) {
            if (w->busy_msec + call->request.deadline_ms + 1000 <= (uint64_t)w->cpu_seconds * 1000)
                return w;
            ifab_chassis__worker_kill(w); /* its CPU limit could end it within this call */
        }
    }
    return NULL;
}

/* The one idle longest; of this tenant, or of any. NULL: none is. */
static struct chassis_worker *idle_longest(const struct ifab_chassis *self, const struct chassis_tenant *tenant)
{
    struct chassis_worker *oldest = NULL;
    for (struct chassis_worker *w = self->workers; w != NULL; w = w->next) {
        if (w->state == CHASSIS_IDLE && (tenant == NULL || w->shared == tenant) && (oldest == NULL || w->idle_since < oldest->idle_since))
            oldest = w;
    }
    return oldest;
}

/* Room for one more worker of this tenant: another idle one may have to go for it. */
static bool make_room(struct ifab_chassis *self, const struct chassis_tenant *tenant)
{
    bool full = tenant->live >= self->options.workers_per_tenant;
    if (self->dying >= self->options.workers)
        return false; /* processes that are killed but not yet gone are bounded too */
    if (!full && self->live < self->options.workers)
        return true;
    if (full ? tenant->idle == 0 : self->idle == 0)
        return false;
    ifab_chassis__worker_kill(idle_longest(self, full ? tenant : NULL));
    return true;
}

static void refuse(struct ifab_chassis *self, struct chassis_call *call, enum ifab_code code, const char *text)
{
    ifab_chassis__finish(self, call, code, IFAB_TRAP_NONE, text);
}

static void try_call(struct ifab_chassis *self, struct chassis_call *call)
{
    struct ifab_chassis_module *module = call->request.module;
    struct chassis_worker *idle = find_idle(self, call);
    struct ifab_error err = {.text = ""};
    if (!self->engine.known) {
        self->wants_engine = true;
    } else if (idle != NULL) {
        list_move(call, &self->bound);
        ifab_chassis__execute_call(idle, call);
    } else if (module->state == CHASSIS_FAILED) {
        refuse(self, call, module->code, module->text);
    } else if (module->state != CHASSIS_HELD) {
        ifab_chassis__want(self, module);
    } else if (uv_now(self->loop) >= call->tenant->rests_until && make_room(self, call->tenant)) {
        list_move(call, &self->bound);
        ifab_chassis__started(self, call->tenant);
        if (!ifab_chassis__execute_start(self, call, &err))
            refuse(self, call, IFAB_CODE_SYSTEM_ERROR, err.text);
    }
}

static void on_expiry(uv_timer_t *timer) { ifab_chassis__settle(timer->data); }

void ifab_chassis__pump(struct ifab_chassis *self)
{
    uint64_t now = uv_now(self->loop), wake = UINT64_MAX;
    ifab_chassis__forget(self, now);
    self->pumps++;
    for (struct chassis_call *c = self->waiting.first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->waits_until <= now) {
            refuse(self, c, IFAB_CODE_QUEUE_FULL, "no sandbox was free in time");
        } else if (c->tenant->passed != self->pumps) {
            try_call(self, c);
            if (c->list == &self->waiting)
                c->tenant->passed = self->pumps; /* what there is not for the first of its calls there is for none behind it */
        }
        if (c->list == &self->waiting && c->tenant->rests_until > now && c->tenant->rests_until < wake)
            wake = c->tenant->rests_until;
    }
    ifab_chassis__prepare_pump(self);
    const struct chassis_call *first = self->waiting.first; /* all wait equally long: the first one's time is over first */
    if (first != NULL)
        (void)uv_timer_start(&self->expiry, on_expiry, (first->waits_until < wake ? first->waits_until : wake) - now, 0);
    else
        (void)uv_timer_stop(&self->expiry);
}

static void on_soon(uv_timer_t *timer) { ifab_chassis__settle(timer->data); }
void ifab_chassis__soon(struct ifab_chassis *pool)
{
    if (!pool->freeing)
        (void)uv_timer_start(&pool->soon, on_soon, 0, 0);
}

void ifab_chassis__settle(struct ifab_chassis *self)
{
    if (self->freeing)
        return;
    if (!self->closing)
        ifab_chassis__pump(self);
    for (struct chassis_call *call; (call = self->ended.first) != NULL;) {
        list_take(call);
        call->result.output = ifab_buf_as_view(&call->output);
        call->result.text = call->text;
        if (call->gone_host != 0)
            self->handlers.on_host_gone(self->handlers.user, call->gone_host);
        call->done(call->user, call->id, &call->result);
        call_free(self, call);
    }
    ifab_chassis__close_step(self);
}
