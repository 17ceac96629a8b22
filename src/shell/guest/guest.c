/* Calls: their input, the pool, their answer; and the life of it all. */
#include "guest_internal.h"

#include "base/id.h"
#include "crypto/crypto.h"
#include "governor/breaker.h"
#include "json/json.h"
#include "redact/redact.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- input and answer ---- */

static const char *const tasks[] = {"plan", "apply", "dry-run", "health"};

/* {"context":{…},"operation","params"} */
static bool put_input(const struct running *r, const struct ifab_guest_call *call, struct ifab_buf *b)
{
    char trace[37];
    ifab_uuid_format(call->trace16, trace);
    ifab_buf_str(b, "{\"context\":{\"capability\":");
    ifab_json_put_string(b, r->spec->capability);
    ifab_buf_str(b, ",\"config\":");
    ifab_buf_view(b, call->config.size > 0 ? call->config : IFAB_VIEW("{}"));
    ifab_buf_format(b, ",\"mode\":\"%s\",\"talent\":", tasks[call->task]);
    ifab_json_put_string(b, r->talent);
    ifab_buf_format(b, ",\"trace\":\"%s\"},\"operation\":", trace);
    ifab_json_put_string(b, call->operation != NULL ? call->operation->name : IFAB_VIEW("health"));
    ifab_buf_str(b, ",\"params\":");
    ifab_buf_view(b, call->params.size > 0 ? call->params : IFAB_VIEW("{}"));
    ifab_buf_char(b, '}');
    return ifab_buf_status(b) == IFAB_OK;
}

static void unlink_running(struct running *r)
{
    *(r->prev != NULL ? &r->prev->next : &r->guests->first) = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    r->guests->count--;
    ifab_guest__sockets_end(r);
    ifab_guest__spec_drop(r->spec);
    ifab_arena_fini(&r->arena);
    ifab_free(r);
}

/* How the pool says that it ended, in the words of an outcome. What never began was surely not done. */
static enum ifab_call_end end_of(const struct ifab_chassis_result *result)
{
    if (result->code == IFAB_CODE_CAPABILITY_NOT_ALLOWED)
        return result->began ? IFAB_CALL_REVOKED : IFAB_CALL_GONE;
    if (!result->began && (result->code == IFAB_CODE_QUEUE_FULL || result->code == IFAB_CODE_SYSTEM_ERROR))
        return IFAB_CALL_NOT_DONE;
    if (result->code == IFAB_CODE_DEADLINE_EXCEEDED)
        return result->began ? IFAB_CALL_DEADLINE : IFAB_CALL_NOT_DONE;
    if (result->code == IFAB_CODE_SANDBOX_VIOLATION && (result->trap == IFAB_TRAP_KILLED || result->trap == IFAB_TRAP_HOST_DENIED))
        return IFAB_CALL_VIOLATION;
    return IFAB_CALL_TRAP;
}

static void on_done(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    struct running *r = user;
    struct ifab_guest_answer answer = {.end = IFAB_CALL_TRAP, .fuel = result->fuel_used, .took = result->wall, .host_calls = r->reached};
    (void)call;
    if (result->code != IFAB_CODE_NONE) {
        answer.end = end_of(result);
        answer.code = result->code;
        answer.text = ifab_guest__text(ifab_view_str(result->text != NULL ? result->text : ""), &r->arena);
    } else if (!ifab_guest_read(r->task, result->output, &r->arena, &answer)) {
        answer.end = IFAB_CALL_TRAP;
        answer.code = IFAB_CODE_SANDBOX_VIOLATION;
        answer.text = IFAB_VIEW("its output is not an answer of the guest ABI");
    }
    ifab_guest__own_end(r, &answer);
    if (r->alarm.size > 0 && answer.end != IFAB_CALL_REVOKED) {
        answer.end = IFAB_CALL_VIOLATION;
        answer.code = IFAB_CODE_SANDBOX_VIOLATION;
        answer.text = ifab_guest__text(r->alarm, &r->arena);
        answer.output = IFAB_VIEW("");
    }
    ifab_guest_done_fn *done = r->done;
    done(r->user, &answer);
    unlink_running(r);
}

/* ---- begin ---- */

static bool copy_text(struct ifab_arena *arena, struct ifab_view text, struct ifab_view *ret) { return ifab_arena_copy(arena, text, ret) == IFAB_OK; }

/* Of one operation's effect, so not the spec's; their texts are. */
static bool take_rows(struct running *r, const struct ifab_operation *operation)
{
    r->rows = ifab_arena_calloc(&r->arena, r->spec->manifest.http_count + 1, sizeof *r->rows);
    if (r->rows != NULL)
        r->row_count = ifab_egress_rows_of(&r->spec->manifest, operation != NULL ? operation->effect : IFAB_EFFECT_NONE, r->rows);
    return r->rows != NULL;
}

static bool take_call(struct ifab_guests *self, struct running *r, const struct ifab_guest_call *call)
{
    char tenant[128], digest[65];
    r->spec = ifab_guest__spec(self, call->manifest);
    if (r->spec == NULL)
        return false;
    for (size_t i = 0; i < sizeof r->spec->manifest.digest32; i++) /* whole: a part of it could be met by another manifest */
        snprintf(digest + 2 * i, 3, "%02x", r->spec->manifest.digest32[i]);
    snprintf(tenant, sizeof tenant, "%u/%s", call->talent_number, digest);
    return copy_text(&r->arena, ifab_view_str(tenant), &r->tenant) && copy_text(&r->arena, call->talent, &r->talent) &&
           copy_text(&r->arena, call->plan_id, &r->plan_id) && take_rows(r, call->operation);
}

static ifab_status start(struct ifab_guests *self, struct running *r, const struct ifab_guest_call *call)
{
    static const enum ifab_export exports[] = {IFAB_EXPORT_PLAN, IFAB_EXPORT_APPLY, IFAB_EXPORT_APPLY, IFAB_EXPORT_HEALTH};
    const struct ifab_capability_limits *limits = &r->spec->manifest.limits;
    struct ifab_buf input = IFAB_BUF_INIT(IFAB_CHASSIS_INPUT_MAX);
    struct ifab_chassis_request request = {
        .module = call->module,
        .imports = r->spec->manifest.imports,
        .memory_pages = limits->memory_mib * 16 < IFAB_FRAME_PAGES_MAX ? limits->memory_mib * 16 : IFAB_FRAME_PAGES_MAX,
        .export_ = exports[call->task],
        .deadline_ms = limits->deadline_ms,
        .fuel = limits->fuel,
        .output_max = limits->response_kib * 1024 < IFAB_CALL_OUTPUT_MAX ? limits->response_kib * 1024 : (uint32_t)IFAB_CALL_OUTPUT_MAX,
        .host_calls_max = 1000,
    };
    request.tenant.talent = call->talent_number;
    memcpy(request.tenant.manifest32, r->spec->manifest.digest32, 32);
    ifab_status status = put_input(r, call, &input) ? IFAB_OK : IFAB_NOMEM;
    request.input = ifab_buf_as_view(&input);
    if (status == IFAB_OK)
        status = ifab_chassis_call(self->chassis, &request, on_done, r, &r->call);
    ifab_buf_fini(&input);
    return status;
}

ifab_status ifab_guest_begin(struct ifab_guests *self, const struct ifab_guest_call *call, ifab_guest_done_fn *done, void *user)
{
    struct running *r = self->closing || self->count >= CALLS_MAX ? NULL : ifab_calloc(1, sizeof *r);
    if (r == NULL)
        return self->closing ? IFAB_AGAIN : self->count >= CALLS_MAX ? IFAB_FULL : IFAB_NOMEM;
    *r = (struct running){.guests = self, .task = call->task, .talent_number = call->talent_number, .done = done, .user = user,
                          .idempotent = call->operation != NULL && call->operation->idempotent};
    ifab_arena_init(&r->arena, GUEST_ARENA);
    r->next = self->first;
    if (self->first != NULL)
        self->first->prev = r;
    self->first = r;
    self->count++;
    ifab_status status = take_call(self, r, call) ? start(self, r, call) : IFAB_NOMEM;
    if (status != IFAB_OK)
        unlink_running(r);
    return status;
}

void ifab_guests_revoke(struct ifab_guests *self, const uint8_t manifest32[32]) { (void)ifab_chassis_revoke(self->chassis, manifest32); }

/* What it asks outside ends in this very turn: an answer about a secret that is on its way here finds nobody. */
static void end_questions(struct ifab_guests *self, const struct running *r)
{
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        if (self->questions[i].host_call != 0 && self->questions[i].running == r)
            ifab_guest__host_gone(self, self->questions[i].host_call);
}

void ifab_guests_review(struct ifab_guests *self, bool (*may)(void *user, uint32_t talent, const struct ifab_manifest *manifest), void *user)
{
    for (struct running *r = self->first; r != NULL; r = r->next) {
        if (may(user, r->talent_number, &r->spec->manifest))
            continue;
        (void)ifab_chassis_cancel(self->chassis, r->call, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "what it needs was revoked while it ran");
        end_questions(self, r);
    }
}

void ifab_guests_recheck(struct ifab_guests *self, ifab_guest_good_fn *good, void *user)
{
    for (const struct running *r = self->first; r != NULL; r = r->next)
        if (!good(user, 0, r->spec->manifest.digest32)) {
            (void)ifab_chassis_revoke(self->chassis, r->spec->manifest.digest32); /* its done comes later: nothing is unlinked here */
            end_questions(self, r);
        }
    for (struct kv_tenant *t = self->kv_first, *next; t != NULL; t = next) {
        next = t->next;
        if (!good(user, t->talent, t->manifest32))
            ifab_guest__kv_drop(self, t);
    }
}

ifab_status ifab_guests_module(struct ifab_view wasm, const uint8_t sha256[32], struct ifab_chassis_module **ret_module, struct ifab_error *err)
{
    return ifab_chassis_module_new(wasm, sha256, ret_module, err);
}
void ifab_guests_sandbox(const struct ifab_guests *self, struct ifab_guest_sandbox *ret)
{
    struct ifab_chassis_stats stats;
    memset(ret, 0, sizeof *ret);
    ifab_chassis_stats(self->chassis, &stats);
    _Static_assert(sizeof ret->engine >= 2 * IFAB_FRAME_NAME_MAX + 2, "room for an engine");
    if (!ifab_chassis_engine(self->chassis, ret->engine, &ret->walls))
        ret->engine[0] = '\0';
    ret->workers = stats.workers;
    ret->refused_walls = stats.refused_walls;
    ret->wrong_frames = stats.wrong_frames;
    ret->deadline_kills = stats.deadline_kills;
    ret->cache_bad = stats.cache_bad;
}
#define ONE_MORE(name, bit, text) +1
_Static_assert(0 IFAB_WALL_MAP(ONE_MORE) == IFAB_GUEST_WALLS, "all of them");
#undef ONE_MORE
uint32_t ifab_guests_wall(const char *name) { return ifab_wall_of(name); }
void ifab_guests_module_drop(struct ifab_chassis_module *module) { ifab_chassis_module_unref(module); }

/* ---- life ---- */

static void on_wake(uv_async_t *handle) { ifab_guest__egress_events(handle->data); }
static void wake(void *user) { (void)uv_async_send(&((struct ifab_guests *)user)->wake); }

static ifab_status take_exceptions(struct ifab_guests *self, const struct ifab_guest_options *o, struct ifab_error *err)
{
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < o->exception_count; i++)
        bytes += strlen(o->exceptions[i].capability);
    self->exceptions = ifab_calloc(o->exception_count + 1, sizeof *self->exceptions);
    self->exception_texts = ifab_malloc(bytes + 1);
    if (self->exceptions == NULL || self->exception_texts == NULL)
        return ifab_fail(err, IFAB_NOMEM, "guests: out of memory");
    for (size_t i = 0; i < o->exception_count; i++) {
        struct ifab_egress_exception *e = &self->exceptions[i];
        size_t size = strlen(o->exceptions[i].capability);
        memcpy(self->exception_texts + at, o->exceptions[i].capability, size);
        e->capability = ifab_view_of(self->exception_texts + at, size);
        e->port = o->exceptions[i].port;
        at += size;
        IFAB_TRY(ifab_cidr_parse(ifab_view_str(o->exceptions[i].net), &e->net, err));
    }
    self->options.exception_count = o->exception_count;
    return IFAB_OK;
}

static ifab_status take_listeners(struct ifab_guests *self, const struct ifab_guest_options *o, struct ifab_error *err)
{
    self->listeners = ifab_calloc(o->listener_count + 1, sizeof *self->listeners);
    if (self->listeners == NULL)
        return ifab_fail(err, IFAB_NOMEM, "guests: out of memory");
    for (size_t i = 0; i < o->listener_count; i++) {
        const char *text = o->listeners[i], *colon = strrchr(text, ':');
        struct ifab_view host = ifab_view_of((const uint8_t *)text, colon != NULL ? (size_t)(colon - text) : 0);
        if (host.size > 2 && host.data[0] == '[')
            host = ifab_view_of(host.data + 1, host.size - 2);
        if (colon == NULL || !ifab_address_parse(host, &self->listeners[i].address))
            return ifab_fail(err, IFAB_INVALID, "listener %s is no address and port", text);
        self->listeners[i].port = (uint16_t)strtoul(colon + 1, NULL, 10);
    }
    return IFAB_OK;
}

/* Beside this program, where it is installed, or in a build's own tree: never from PATH. */
static bool find_program(const char *name, char *path, size_t size)
{
    static const char *const folders[] = {"", "../libexec/infrafabric/", "../if-sandbox/"};
    char relative[128];
    for (size_t i = 0; i < IFAB_COUNT(folders); i++) {
        snprintf(relative, sizeof relative, "%s%s", folders[i], name);
        if (ifab_chassis_program_path(relative, path, size) == IFAB_OK)
            return true;
    }
    return false;
}

static ifab_status start_pool(struct ifab_guests *self, const struct ifab_guest_options *o, struct ifab_error *err)
{
    char execute[1100], prepare[1100];
    struct ifab_chassis_options options;
    const struct ifab_chassis_handlers handlers = {ifab_guest__host_call, ifab_guest__host_gone, self};
    ifab_chassis_options_default(&options);
    if ((o->execute_path == NULL && !find_program("if-sandbox", execute, sizeof execute)) ||
        (o->prepare_path == NULL && !find_program("if-sandbox-prepare", prepare, sizeof prepare)))
        return ifab_fail(err, IFAB_UNSUPPORTED, "if-sandbox and if-sandbox-prepare are not beside ifd, or others than their owner may write to them: it was "
                                                "built or installed without capabilities");
    options.execute_path = o->execute_path != NULL ? o->execute_path : execute;
    options.prepare_path = o->prepare_path != NULL ? o->prepare_path : prepare;
    options.cache_path = o->cache_path;
    memcpy(options.mac_key32, o->mac_key32, 32);
    options.walls |= o->walls;
    if (o->workers > 0) {
        options.workers = o->workers;
        options.workers_per_tenant = options.workers_per_tenant < o->workers ? options.workers_per_tenant : o->workers;
    }
    ifab_status status = ifab_chassis_new(o->loop, &options, &handlers, &self->chassis, err);
    ifab_wipe(options.mac_key32, sizeof options.mac_key32);
    return status;
}

static void freed(struct ifab_guests *self)
{
    if (self->handles > 0 || !self->pool_closed)
        return;
    void (*closed)(void *) = self->closed;
    void *user = self->closed_user;
    ifab_guest__kv_free(self);
    ifab_token_table_free(self->rates);
    ifab_guest__specs_free(self);
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        ifab_guest__question_end(&self->questions[i]);
    ifab_free(self->exceptions);
    ifab_free(self->exception_texts);
    ifab_free(self->listeners);
    ifab_free(self);
    if (closed != NULL)
        closed(user);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ifab_guests *self = handle->data;
    self->handles--;
    freed(self);
}

static void on_pool_closed(void *user)
{
    struct ifab_guests *self = user;
    self->pool_closed = true;
    ifab_egress_close(self->egress); /* who waited for it is gone */
    self->egress = NULL;
    uv_close((uv_handle_t *)&self->wake, on_handle_closed);
    uv_close((uv_handle_t *)&self->timer, on_handle_closed);
}

ifab_status ifab_guests_new(const struct ifab_guest_options *options, struct ifab_guests **ret_guests, struct ifab_error *err)
{
    struct ifab_guests *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "guests: out of memory");
    self->options = *options;
    ifab_wipe(self->options.mac_key32, sizeof self->options.mac_key32);
    self->options.exception_count = 0;
    ifab_map_init(&self->kv, 1);
    ifab_map_init(&self->kv_tenants, 2);
    const struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI, .wake = wake, .user = self, .ca_file = options->ca_file};
    ifab_status status = take_exceptions(self, options, err);
    if (status == IFAB_OK)
        status = take_listeners(self, options, err);
    if (status == IFAB_OK && uv_async_init(options->loop, &self->wake, on_wake) != 0)
        status = ifab_fail(err, IFAB_INTERNAL, "guests: loop");
    if (status != IFAB_OK) {
        self->pool_closed = true;
        freed(self);
        return status;
    }
    (void)uv_timer_init(options->loop, &self->timer); /* cannot fail */
    self->wake.data = self->timer.data = self;
    self->handles = 2;
    status = ifab_egress_curl_open(&settings, &self->egress, err);
    if (status == IFAB_OK)
        status = start_pool(self, options, err);
    if (status != IFAB_OK) {
        on_pool_closed(self);
        return status;
    }
    *ret_guests = self;
    return IFAB_OK;
}

void ifab_guests_close(struct ifab_guests *self, void (*closed)(void *user), void *user)
{
    self->closing = true;
    self->closed = closed;
    self->closed_user = user;
    ifab_chassis_close(self->chassis, on_pool_closed, self);
}
