/*
 * An execute worker: loads for one call, runs it, then waits for the next of its tenant. The three stops are here.
 * Invariant: self->call is set exactly while LOADING and BUSY; a host call is open only while BUSY; a frame counts only from a worker that has
 * taken all it was sent, so that what is kept for one that does not read is a single answer.
 */
#include "pool_internal.h"

#include <assert.h>
#include <signal.h>

#define TABLE_ELEMENTS 10000U
#define STEPPED_BACK_IDLE_MSEC 1000U
#define LOOK_MSEC      2U /* a call that has computed for longer steps back; so long after its begin it is looked at, then after twice as long, … */

static void failed(struct chassis_worker *self, enum ifab_code code, const char *text) { ifab_chassis__worker_failed(self, code, text); }

static void wrong(struct chassis_worker *self, const char *text)
{
    self->pool->stats.wrong_frames++;
    failed(self, IFAB_CODE_SANDBOX_VIOLATION, text);
}

static void step_back(struct chassis_worker *self)
{
    self->stepped_back = true; /* or refused: it is not asked again */
    self->pool->stats.stepped_back += ifab_chassis__step_back(&self->process);
}

bool ifab_chassis__execute_start(struct ifab_chassis *pool, struct chassis_call *call, struct ifab_error *err)
{
    struct chassis_worker *self = NULL;
    uint32_t seconds = call->request.deadline_ms / 1000 + 3;
    if (ifab_chassis__worker_start(pool, IFAB_SANDBOX_EXECUTE, &self, err) != IFAB_OK)
        return false;
    self->tenant = call->request.tenant;
    self->shared = call->tenant;
    self->shared->refs++;
    self->shared->live++;
    pool->live++;
    self->imports = call->request.imports;
    self->cpu_seconds = seconds > pool->options.worker_cpu_seconds ? seconds : pool->options.worker_cpu_seconds;
    memcpy(self->load32, call->load32, sizeof self->load32);
    const struct ifab_frame_load load = {
        .kind = IFAB_MODULE_ARTIFACT,
        .memory_pages = call->request.memory_pages,
        .table_elements = TABLE_ELEMENTS,
        .slots = 1,
        .imports = call->request.imports,
        .cpu_seconds = self->cpu_seconds,
        .bytes = ifab_buf_as_view(&call->request.module->artifact),
    };
    self->call = call;
    call->worker = self;
    ifab_chassis__worker_timer(self, pool->options.load_ms);
    if (ifab_frame_load_write(&self->out, &load) != IFAB_OK)
        failed(self, IFAB_CODE_SYSTEM_ERROR, "out of memory");
    else if (!ifab_chassis__worker_flush(self))
        failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process ended by itself");
    return true;
}

static uint64_t margin(const struct chassis_worker *self)
{
    uint64_t most = self->call->request.deadline_ms / 2;
    return self->pool->options.margin_ms < most ? self->pool->options.margin_ms : most;
}

/* Until the soft stop; a worker that has not stepped back is looked at before. */
static void arm(struct chassis_worker *self)
{
    uint64_t gone = (uv_hrtime() - self->call->began_nsec) / 1000000, soft = self->call->request.deadline_ms - margin(self);
    uint64_t left = soft > gone ? soft - gone : 0, next = gone > LOOK_MSEC ? gone : LOOK_MSEC;
    ifab_chassis__worker_timer(self, !self->stepped_back && left > next ? next : left);
}

void ifab_chassis__execute_call(struct chassis_worker *self, struct chassis_call *call)
{
    const struct ifab_chassis_request *request = &call->request;
    assert(self->state == CHASSIS_IDLE && self->call == NULL);
    self->frame_call = ++self->pool->frame_calls != 0 ? self->pool->frame_calls : ++self->pool->frame_calls;
    const struct ifab_frame_call frame = {request->export_,        request->deadline_ms, request->output_max,
                                          request->host_calls_max, request->fuel,        request->input};
    ifab_chassis__worker_state(self, CHASSIS_BUSY);
    self->call = call;
    self->host_calls = 0;
    self->soft_passed = false;
    call->worker = self;
    call->result.began = true;
    call->began_nsec = uv_hrtime();
    arm(self);
    if (ifab_frame_call_write(&self->out, self->frame_call, &frame) != IFAB_OK)
        failed(self, IFAB_CODE_SYSTEM_ERROR, "out of memory");
    else if (!ifab_chassis__worker_flush(self))
        failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process ended by itself");
}

/* The call is over; the worker rests, or ends where it has done enough or something went wrong in it. */
static void rest(struct chassis_worker *self, bool reuse)
{
    const struct ifab_chassis_options *options = &self->pool->options;
    self->served++;
    ifab_chassis__worker_state(self, CHASSIS_IDLE);
    self->idle_since = ++self->pool->uses;
    if (!reuse)
        ifab_chassis__strike(self->pool, self->shared);
    uint32_t idle_ms = self->stepped_back && options->idle_ms > STEPPED_BACK_IDLE_MSEC ? STEPPED_BACK_IDLE_MSEC : options->idle_ms;
    if (reuse && self->served < options->calls_per_worker)
        ifab_chassis__worker_timer(self, idle_ms); /* who computed for long once may have a fresh one for its next short call */
    else
        ifab_chassis__worker_kill(self);
}

/* ---- while it loads ---- */

static void load_failed(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct ifab_frame_load_failed why;
    char text[CHASSIS_TEXT + 1];
    if (ifab_frame_load_failed_read(frame, &why) != IFAB_OK) {
        wrong(self, "the sandbox process sent a malformed LOAD_FAILED");
        return;
    }
    bool engine = why.error == IFAB_LOAD_ERROR_ENGINE, ours = engine || why.error == IFAB_LOAD_ERROR_INTERNAL;
    struct ifab_chassis_module *module = self->call->request.module;
    if (engine)
        ifab_chassis__engine_changed(self->pool, module);
    (void)snprintf(text, sizeof text, "%s: " IFAB_FMT, ifab_load_error_name(why.error), IFAB_ARG(why.text));
    ifab_chassis__finish(self->pool, self->call, ours ? IFAB_CODE_SYSTEM_ERROR : IFAB_CODE_INVALID_MANIFEST, IFAB_TRAP_NONE, text);
    if (!ours)
        ifab_chassis__strike(self->pool, self->shared);
    ifab_chassis__worker_kill(self);
}

static void loading(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct ifab_frame_loaded loaded;
    struct ifab_frame_ready ready;
    char text[CHASSIS_TEXT + 1];
    if (frame->type == IFAB_FRAME_LOAD_FAILED && !self->loaded) {
        load_failed(self, frame);
    } else if (frame->type == IFAB_FRAME_LOADED && !self->loaded) {
        if (ifab_frame_loaded_read(frame, &loaded) != IFAB_OK || (loaded.imports & ~self->imports) != 0)
            wrong(self, "the sandbox process loaded what was not granted");
        self->loaded = true;
    } else if (!self->loaded) {
        wrong(self, "the sandbox process sent a frame out of turn");
    } else if (!ifab_chassis__ready(self, frame, &ready, text)) {
        failed(self, IFAB_CODE_SANDBOX_VIOLATION, text);
    } else if (!ifab_chassis__engine_is(self->pool, &ready)) {
        ifab_chassis__engine_changed(self->pool, self->call->request.module);
        failed(self, IFAB_CODE_SYSTEM_ERROR, "the sandbox process has another engine than the compiler");
    } else {
        struct chassis_call *call = self->call;
        ifab_chassis__worker_state(self, CHASSIS_IDLE);
        self->out.limit = IFAB_FRAME_HEAD + (size_t)IFAB_FRAME_SMALL_MAX; /* no module any more, and flush() gave its room back */
        self->call = NULL;
        self->ready_nsec = ifab_chassis__cpu(&self->process);
        call->worker = NULL;
        if (ifab_chassis__is_noisy(self->shared)) /* not before: a busy machine is no reason not to get ready */
            step_back(self);
        ifab_chassis__execute_call(self, call);
    }
}

/* ---- while it runs ---- */

static enum ifab_code code_of(enum ifab_trap trap)
{
    switch (trap) {
    case IFAB_TRAP_NONE:
        return IFAB_CODE_NONE;
    case IFAB_TRAP_DEADLINE:
        return IFAB_CODE_DEADLINE_EXCEEDED;
    case IFAB_TRAP_FUEL: /* the same input would use it up again */
    case IFAB_TRAP_MEMORY:
    case IFAB_TRAP_STACK:
    case IFAB_TRAP_OOB:
    case IFAB_TRAP_UNREACHABLE:
    case IFAB_TRAP_HOST_DENIED:
    case IFAB_TRAP_KILLED:
    case IFAB_TRAP_COUNT:
        break;
    }
    return IFAB_CODE_SANDBOX_VIOLATION;
}

static void result(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct chassis_call *call = self->call;
    struct ifab_frame_result body;
    char text[CHASSIS_TEXT + 1] = "";
    bool fits = ifab_frame_result_read(frame, &body) == IFAB_OK && body.fuel_used <= call->request.fuel && body.host_calls >= self->host_calls &&
                (body.trap != IFAB_TRAP_NONE || body.output.size <= call->request.output_max);
    if (!fits) {
        wrong(self, "the sandbox process sent a result that does not fit its call");
        return;
    }
    bool clean = body.trap == IFAB_TRAP_NONE, whole = body.trap == IFAB_TRAP_FUEL || body.trap == IFAB_TRAP_DEADLINE;
    call->result.fuel_used = whole ? call->request.fuel : body.fuel_used;
    if (clean)
        ifab_buf_view(&call->output, body.output);
    else
        (void)snprintf(text, sizeof text, "%s: " IFAB_FMT, ifab_trap_name(body.trap), IFAB_ARG(body.output));
    bool kept = ifab_buf_status(&call->output) == IFAB_OK;
    ifab_chassis__finish(self->pool, call, kept ? code_of(body.trap) : IFAB_CODE_SYSTEM_ERROR, body.trap, kept ? text : "out of memory");
    rest(self, clean);
}

/* To the worker, the answer of the open host call. */
static bool answer(struct chassis_worker *self, enum ifab_host_status status, struct ifab_view bytes)
{
    const struct ifab_frame_host_result body = {status, bytes};
    return ifab_frame_host_result_write(&self->out, self->frame_call, &body) == IFAB_OK && ifab_chassis__worker_flush(self);
}

static bool allowed(const struct chassis_worker *self, enum ifab_import import)
{
#define PLAN(name, number, plan) (uint32_t)((plan) << (number)) |
    const uint32_t plan = IFAB_IMPORT_MAP(PLAN) 0;
#undef PLAN
    uint32_t may = self->call->request.export_ == IFAB_EXPORT_APPLY ? self->imports : self->imports & plan;
    return (may >> import & 1) != 0;
}

static void host_call(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct ifab_chassis *pool = self->pool;
    const struct chassis_call *call = self->call;
    struct ifab_frame_host_call args;
    if (ifab_frame_host_call_read(frame, &args) != IFAB_OK || !allowed(self, args.import)) {
        wrong(self, "the sandbox process asked for what was not granted");
        return;
    }
    if (self->host_calls == call->request.host_calls_max) {
        wrong(self, "the sandbox process made more host calls than granted");
        return;
    }
    self->host_calls++;
    pool->stats.host_calls++;
    if (self->soft_passed) {
        if (!answer(self, IFAB_HOST_DEADLINE, (struct ifab_view){NULL, 0}))
            failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process ended by itself");
        return;
    }
    ifab_usec spent = (ifab_usec)((uv_hrtime() - call->began_nsec) / 1000);
    ifab_usec left = (ifab_usec)(call->request.deadline_ms - margin(self)) * 1000 - spent;
    self->host_id = ++pool->host_ids;
    const struct ifab_chassis_host_call asked = {
        .id = self->host_id,
        .call = call->id,
        .user = call->user,
        .tenant = self->tenant,
        .export_ = call->request.export_,
        .args = &args,
        .left = left > 0 ? left : 0,
    };
    pool->handlers.on_host_call(pool->handlers.user, &asked);
}

ifab_status ifab_chassis_host_result(struct ifab_chassis *self, uint64_t host_call, enum ifab_host_status status, struct ifab_view bytes)
{
    struct chassis_worker *worker = self->workers;
    while (worker != NULL && (worker->host_id != host_call || host_call == 0))
        worker = worker->next;
    if (worker == NULL)
        return IFAB_NOT_FOUND;
    const struct ifab_frame_host_result body = {status, bytes};
    if (!ifab_frame_host_result_valid(&body))
        return IFAB_INVALID;
    bool fits = bytes.size <= IFAB_FRAME_SMALL_MAX - 4;
    worker->host_id = 0;
    if (!answer(worker, fits ? status : IFAB_HOST_TOO_LARGE, fits ? bytes : (struct ifab_view){NULL, 0}))
        failed(worker, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process ended by itself");
    ifab_chassis__soon(self);
    return fits ? IFAB_OK : IFAB_TOO_LARGE;
}

void ifab_chassis__execute_frame(struct chassis_worker *self, const struct ifab_frame *frame)
{
    if (self->out.size > 0)
        wrong(self, "the sandbox process sent a frame before it took what it was sent");
    else if (self->state == CHASSIS_LOADING)
        loading(self, frame);
    else if (self->state != CHASSIS_BUSY || self->host_id != 0 || frame->call != self->frame_call)
        wrong(self, "the sandbox process sent a frame out of turn");
    else if (frame->type == IFAB_FRAME_RESULT)
        result(self, frame);
    else if (frame->type == IFAB_FRAME_HOST_CALL)
        host_call(self, frame);
    else
        wrong(self, "the sandbox process sent a frame out of turn");
}

/* deadline - margin: the guest is told. Host calls of it from here on are answered with DEADLINE. */
static void soft_stop(struct chassis_worker *self)
{
    self->soft_passed = true;
    ifab_chassis__worker_timer(self, 2 * margin(self) + 1);
    if (self->host_id == 0) {
        ifab_chassis__signal(&self->process, SIGALRM);
        return;
    }
    self->call->gone_host = self->host_id;
    self->host_id = 0;
    if (!answer(self, IFAB_HOST_DEADLINE, (struct ifab_view){NULL, 0}))
        failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the sandbox process ended by itself");
}

/*
 * A call that computes for long steps back behind the others: it has what is left of the CPUs, and a hundred short calls of other tenants do not wait
 * for its turn to end. One that waits for an answer from elsewhere does not: what counts is CPU.
 */
static void look(struct chassis_worker *self)
{
    uint64_t used = ifab_chassis__cpu(&self->process), before = self->ready_nsec + self->served_nsec;
    if (used > before && used - before > LOOK_MSEC * UINT64_C(1000000)) {
        step_back(self);
    } else if (used <= before) { /* its earlier calls waited much: from here on it is counted exactly */
        self->ready_nsec = used;
        self->served_nsec = 0;
    }
    arm(self);
}

void ifab_chassis__execute_timer(struct chassis_worker *self)
{
    uint64_t soft = self->state != CHASSIS_BUSY ? 0 : (uint64_t)(self->call->request.deadline_ms - margin(self)) * 1000000;
    if (self->state == CHASSIS_LOADING) {
        failed(self, IFAB_CODE_SYSTEM_ERROR, "the sandbox process did not get ready in time");
    } else if (self->state == CHASSIS_BUSY && !self->soft_passed && uv_hrtime() - self->call->began_nsec < soft) {
        look(self);
    } else if (self->state == CHASSIS_BUSY && !self->soft_passed) {
        soft_stop(self);
    } else if (self->state == CHASSIS_BUSY) {
        self->pool->stats.deadline_kills++;
        failed(self, IFAB_CODE_DEADLINE_EXCEEDED, "the deadline passed and the sandbox process was killed");
    } else if (self->state == CHASSIS_IDLE) {
        ifab_chassis__worker_kill(self);
    }
}
