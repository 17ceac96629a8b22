/* The pool's life, and modules. */
#include "crypto/crypto.h"
#include "pool_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

void ifab_chassis_options_default(struct ifab_chassis_options *ret)
{
    *ret = (struct ifab_chassis_options){
        .cache_bytes = (uint64_t)1 << 30,
        .walls = IFAB_WALL_MANDATORY,
        .workers = 16,
        .workers_per_tenant = 2,
        .waiting = 1024,
        .waiting_per_tenant = 64,
        .preparers = 1,
        .calls_per_worker = 10000,
        .wait_ms = 30000,
        .load_ms = 5000,
        .prepare_ms = 25000, /* below wait_ms: the call that waits for it gets the answer */
        .idle_ms = 60000,
        .margin_ms = 20,
        .rest_ms = 50,
        .worker_cpu_seconds = 600,
        .artifact_bytes = (size_t)32 << 20,
    };
}

static bool in(uint64_t value, uint64_t least, uint64_t most) { return value >= least && value <= most; }

static bool options_valid(const struct ifab_chassis_options *o)
{
    return o->execute_path != NULL && o->execute_path[0] == '/' && o->prepare_path != NULL && o->prepare_path[0] == '/' &&
           (o->walls & IFAB_WALL_MANDATORY) == IFAB_WALL_MANDATORY && in(o->workers, 1, 256) && in(o->workers_per_tenant, 1, o->workers) &&
           in(o->waiting, 1, 4096) && in(o->waiting_per_tenant, 1, o->waiting) && in(o->preparers, 1, 4) && in(o->calls_per_worker, 1, 1000000) &&
           in(o->wait_ms, 1, 3600000) && in(o->load_ms, 1, 3600000) && in(o->prepare_ms, 1, 3600000) && in(o->idle_ms, 1, 86400000) &&
           in(o->margin_ms, 1, 60000) && in(o->rest_ms, 0, 10000) && in(o->worker_cpu_seconds, 1, IFAB_FRAME_CPU_MAX) && in(o->artifact_bytes, 1, IFAB_CHASSIS_ARTIFACT_MAX);
}

/* A program to start: a regular file that we may run and that only root or we may change; a group is others too. */
static bool program_ok(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid()) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
           access(path, X_OK) == 0;
}

ifab_status ifab_chassis_program_path(const char *name, char *ret_path, size_t size)
{
    char own[PATH_MAX];
    ssize_t got = readlink("/proc/self/exe", own, sizeof own - 1);
    if (got <= 0)
        return IFAB_NOT_FOUND;
    own[got] = '\0';
    char *slash = strrchr(own, '/');
    if (slash == NULL)
        return IFAB_NOT_FOUND;
    *slash = '\0';
    int length = snprintf(ret_path, size, "%s/%s", own, name);
    if (length < 0 || (size_t)length >= size)
        return IFAB_TOO_LARGE;
    return program_ok(ret_path) ? IFAB_OK : IFAB_NOT_FOUND;
}

/* ---- modules ---- */

ifab_status ifab_chassis_module_new(struct ifab_view wasm, const uint8_t wasm_sha256[32], struct ifab_chassis_module **ret_module,
                                    struct ifab_error *err)
{
    uint8_t digest32[32];
    if (wasm.size == 0)
        return ifab_fail(err, IFAB_INVALID, "module: empty");
    if (wasm.size > IFAB_FRAME_LARGE_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "module: at most %u bytes", IFAB_FRAME_LARGE_MAX);
    ifab_sha256(wasm, digest32);
    if (!ifab_equal_ct(digest32, wasm_sha256, sizeof digest32))
        return ifab_fail(err, IFAB_DENIED, "module: its digest is not the one in the manifest");
    struct ifab_chassis_module *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "module");
    self->refs = 1;
    memcpy(self->wasm_sha256, digest32, sizeof digest32);
    ifab_buf_init(&self->wasm, IFAB_FRAME_LARGE_MAX);
    ifab_buf_view(&self->wasm, wasm);
    if (ifab_buf_status(&self->wasm) != IFAB_OK) {
        ifab_chassis_module_unref(self);
        return ifab_fail(err, IFAB_NOMEM, "module");
    }
    *ret_module = self;
    return IFAB_OK;
}

struct ifab_chassis_module *ifab_chassis_module_ref(struct ifab_chassis_module *self)
{
    self->refs++;
    return self;
}

void ifab_chassis_module_unref(struct ifab_chassis_module *self)
{
    if (self == NULL || --self->refs > 0)
        return;
    ifab_buf_fini(&self->wasm);
    ifab_buf_fini(&self->artifact);
    ifab_free(self);
}

/* ---- life ---- */

static void free_memory(struct ifab_chassis *self)
{
    ifab_artifact_cache_close(self->cache);
    ifab_wipe(self->options.mac_key32, sizeof self->options.mac_key32);
    ifab_buf_fini(&self->engine.config);
    ifab_u64map_fini(&self->calls);
    ifab_map_fini(&self->tenants);
    ifab_free(self->execute_path);
    ifab_free(self->prepare_path);
    ifab_free(self);
}

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *to = ifab_malloc(size);
    if (to != NULL)
        memcpy(to, text, size);
    return to;
}

static bool have_pidfd(void)
{
    int fd = pidfd_open(getpid(), 0);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static ifab_status usable(const struct ifab_chassis_options *options, struct ifab_error *err)
{
    if (!options_valid(options))
        return ifab_fail(err, IFAB_INVALID, "sandbox: an option is out of its range");
    const char *const paths[] = {options->execute_path, options->prepare_path};
    for (size_t i = 0; i < IFAB_COUNT(paths); i++) {
        if (!program_ok(paths[i]))
            return ifab_fail(err, IFAB_UNSUPPORTED, "sandbox: %.200s is not there, or others may change it", paths[i]);
    }
    return have_pidfd() ? IFAB_OK : ifab_fail(err, IFAB_UNSUPPORTED, "sandbox: this kernel has no pidfd_open (Linux 5.3 or later)");
}

ifab_status ifab_chassis_new(uv_loop_t *loop, const struct ifab_chassis_options *options, const struct ifab_chassis_handlers *handlers,
                             struct ifab_chassis **ret_chassis, struct ifab_error *err)
{
    ifab_status status = usable(options, err);
    struct ifab_chassis *self = status == IFAB_OK ? ifab_calloc(1, sizeof *self) : NULL;
    if (self == NULL)
        return status != IFAB_OK ? status : ifab_fail(err, IFAB_NOMEM, "sandbox");
    self->loop = loop;
    self->options = *options;
    self->handlers = *handlers;
    ifab_buf_init(&self->engine.config, IFAB_FRAME_CONFIG_MAX);
    ifab_map_init(&self->tenants, uv_hrtime());
    self->waiting.waits = true;
    self->execute_path = copy(options->execute_path);
    self->prepare_path = copy(options->prepare_path);
    if (self->execute_path == NULL || self->prepare_path == NULL)
        status = ifab_fail(err, IFAB_NOMEM, "sandbox");
    else if (options->cache_path != NULL)
        status = ifab_artifact_cache_open(options->cache_path, options->mac_key32, options->cache_bytes, &self->cache, err);
    if (status != IFAB_OK) {
        free_memory(self);
        return status;
    }
    self->options.execute_path = self->execute_path;
    self->options.prepare_path = self->prepare_path;
    self->options.cache_path = NULL; /* was the caller's */
    self->soon.data = self->expiry.data = self;
    (void)uv_timer_init(loop, &self->soon);
    (void)uv_timer_init(loop, &self->expiry);
    self->handles = 2;
    self->wants_engine = true;
    ifab_chassis__soon(self);
    *ret_chassis = self;
    return IFAB_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct ifab_chassis *self = handle->data;
    if (--self->handles > 0)
        return;
    void (*closed)(void *user) = self->closed;
    void *user = self->closed_user;
    free_memory(self);
    if (closed != NULL)
        closed(user);
}

void ifab_chassis__close_step(struct ifab_chassis *self)
{
    if (!self->closing || self->freeing || self->workers != NULL || self->jobs > 0 || self->ended.first != NULL)
        return;
    self->freeing = true;
    uv_close((uv_handle_t *)&self->soon, on_closed);
    uv_close((uv_handle_t *)&self->expiry, on_closed);
}

void ifab_chassis_close(struct ifab_chassis *self, void (*closed)(void *user), void *user)
{
    if (self == NULL)
        return;
    assert(!self->closing);
    self->closing = true;
    self->closed = closed;
    self->closed_user = user;
    struct chassis_list *const lists[] = {&self->waiting, &self->bound};
    for (size_t i = 0; i < IFAB_COUNT(lists); i++) {
        while (lists[i]->first != NULL) {
            struct chassis_call *call = lists[i]->first;
            bool began = call->result.began;
            ifab_chassis__finish(self, call, began ? IFAB_CODE_SYSTEM_ERROR : IFAB_CODE_QUEUE_FULL, began ? IFAB_TRAP_KILLED : IFAB_TRAP_NONE,
                                 "the daemon is stopping");
        }
    }
    ifab_chassis__forget(self, 0);
    ifab_chassis__prepare_forget(self);
    for (struct chassis_worker *w = self->workers; w != NULL; w = w->next)
        ifab_chassis__worker_kill(w);
    ifab_chassis__soon(self);
}

void ifab_chassis_stats(const struct ifab_chassis *self, struct ifab_chassis_stats *ret)
{
    *ret = self->stats;
    ret->waiting = self->waiting.count;
    for (const struct chassis_worker *w = self->workers; w != NULL; w = w->next) {
        ret->workers++; /* until it is reaped */
        ret->idle += w->state == CHASSIS_IDLE;
        ret->busy += w->state == CHASSIS_BUSY;
        ret->preparing += w->state == CHASSIS_STARTING || w->state == CHASSIS_COMPILING;
    }
}

bool ifab_chassis_engine(const struct ifab_chassis *self, char ret_engine[2 * IFAB_FRAME_NAME_MAX + 2], uint32_t *ret_walls)
{
    if (!self->engine.known)
        return false;
    (void)snprintf(ret_engine, 2 * (size_t)IFAB_FRAME_NAME_MAX + 2, "%s %s", self->engine.name, self->engine.version);
    *ret_walls = self->engine.walls;
    return true;
}
