/*
 * From a module's bytes to an artifact: learn the engine, look into the cache, else compile in a process of its own that ends with it.
 * The state of a module is a row of enum chassis_prepared; every way out of WANTED..COMPILE goes through settled().
 */
#include "crypto/crypto.h"
#include "log/log.h"
#include "pool_internal.h"

#include <assert.h>

#define TRIES_MAX 3U /* compilers lost over one module until it is given up */

/* ---- a module's end of being prepared ---- */

static void unlink_module(struct ifab_chassis *pool, struct ifab_chassis_module *module)
{
    struct ifab_chassis_module **at = &pool->modules;
    while (*at != module)
        at = &(*at)->next;
    *at = module->next;
    module->next = NULL;
    ifab_chassis_module_unref(module);
}

static void settled(struct ifab_chassis *pool, struct ifab_chassis_module *module, enum chassis_prepared state)
{
    module->state = state;
    unlink_module(pool, module);
}

static void module_failed(struct ifab_chassis *pool, struct ifab_chassis_module *module, enum ifab_code code, const char *text, bool for_good)
{
    if (for_good) {
        module->code = code;
        (void)snprintf(module->text, sizeof module->text, "%s", text);
    }
    for (struct chassis_call *c = pool->waiting.first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->request.module == module)
            ifab_chassis__finish(pool, c, code, IFAB_TRAP_NONE, text);
    }
    settled(pool, module, for_good ? CHASSIS_FAILED : CHASSIS_NONE);
}

/* Without an engine nothing that waits can go on. The next call asks for it again. */
static void no_engine(struct ifab_chassis *pool, enum ifab_code code, const char *text)
{
    pool->wants_engine = false;
    while (pool->modules != NULL)
        module_failed(pool, pool->modules, code, text, false);
    while (pool->waiting.first != NULL)
        ifab_chassis__finish(pool, pool->waiting.first, code, IFAB_TRAP_NONE, text);
}

void ifab_chassis__prepare_failed(struct chassis_worker *self, enum ifab_code code, const char *text, bool for_good)
{
    struct ifab_chassis_module *module = self->module;
    struct ifab_chassis *pool = self->pool;
    self->module = NULL;
    if (module == NULL && !pool->engine.known)
        no_engine(pool, code, text);
    else if (module != NULL)
        module_failed(pool, module, code, text, for_good || ++module->tries >= TRIES_MAX);
}

void ifab_chassis__prepare_forget(struct ifab_chassis *pool)
{
    for (struct chassis_worker *w = pool->workers; w != NULL; w = w->next)
        w->module = NULL;
    while (pool->modules != NULL)
        settled(pool, pool->modules, CHASSIS_NONE);
}

/* ---- the engine ---- */

static void digest_of(struct ifab_view config, uint8_t ret32[32]) { ifab_sha256(config, ret32); }

bool ifab_chassis__engine_is(const struct ifab_chassis *pool, const struct ifab_frame_ready *ready)
{
    uint8_t config32[32];
    digest_of(ready->config, config32);
    return pool->engine.known && ifab_view_is(ready->engine, pool->engine.name) && ifab_view_is(ready->version, pool->engine.version) &&
           memcmp(config32, pool->engine.config32, sizeof config32) == 0;
}

void ifab_chassis__engine_changed(struct ifab_chassis *pool, struct ifab_chassis_module *module)
{
    pool->engine.known = false;
    if (module->state != CHASSIS_HELD)
        return;
    ifab_buf_fini(&module->artifact);
    module->state = CHASSIS_NONE;
}

static bool learn(struct ifab_chassis *pool, const struct ifab_frame_ready *ready)
{
    struct chassis_engine *engine = &pool->engine;
    ifab_buf_clear(&engine->config);
    ifab_buf_view(&engine->config, ready->config);
    if (ifab_buf_status(&engine->config) != IFAB_OK)
        return false;
    (void)snprintf(engine->name, sizeof engine->name, IFAB_FMT, IFAB_ARG(ready->engine));
    (void)snprintf(engine->version, sizeof engine->version, IFAB_FMT, IFAB_ARG(ready->version));
    digest_of(ready->config, engine->config32);
    engine->walls = ready->walls;
    engine->known = true;
    return true;
}

/* ---- the cache, on libuv's threads ---- */

struct file_job {
    uv_work_t work;
    struct ifab_chassis *pool;
    struct ifab_chassis_module *module; /* a reference */
    uint8_t key32[32];
    bool writes;
    struct ifab_buf bytes; /* its own: the module may change meanwhile */
    ifab_status status;
    struct ifab_error err;
};

static void job_free(struct file_job *job)
{
    ifab_chassis_module_unref(job->module);
    ifab_buf_fini(&job->bytes);
    ifab_free(job);
}

static void on_work(uv_work_t *work)
{
    struct file_job *job = work->data;
    job->status = job->writes ? ifab_artifact_cache_put(job->pool->cache, job->key32, ifab_buf_as_view(&job->bytes), &job->err)
                              : ifab_artifact_cache_get(job->pool->cache, job->key32, &job->bytes, &job->err);
}

static void hold(struct ifab_chassis *pool, struct ifab_chassis_module *module, struct ifab_buf *bytes)
{
    module->artifact = *bytes;
    *bytes = (struct ifab_buf){0};
    module->tries = 0;
    settled(pool, module, CHASSIS_HELD);
}

static void read_done(struct file_job *job)
{
    struct ifab_chassis *pool = job->pool;
    if (pool->closing || job->module->state != CHASSIS_READING)
        return;
    if (job->status == IFAB_OK) {
        pool->stats.cache_hits++;
        hold(pool, job->module, &job->bytes);
        return;
    }
    pool->stats.cache_misses++;
    pool->stats.cache_bad += job->status == IFAB_CORRUPT;
    job->module->state = CHASSIS_MISSING;
}

static void on_worked(uv_work_t *work, int status)
{
    struct file_job *job = work->data;
    struct ifab_chassis *pool = job->pool;
    if (status != 0)
        job->status = IFAB_AGAIN;
    if (job->status != IFAB_OK && job->status != IFAB_NOT_FOUND)
        IFAB_LOG(IFAB_LOG_WARN, "sandbox: artifact cache", IFAB_F_TEXT("why", job->err.text));
    if (!job->writes)
        read_done(job);
    job_free(job);
    pool->jobs--;
    ifab_chassis__settle(pool);
}

static bool queue_job(struct ifab_chassis *pool, struct ifab_chassis_module *module, bool writes)
{
    const struct chassis_engine *engine = &pool->engine;
    struct file_job *job = pool->cache == NULL ? NULL : ifab_calloc(1, sizeof *job);
    if (job == NULL)
        return false;
    job->work.data = job;
    job->pool = pool;
    job->module = ifab_chassis_module_ref(module);
    job->writes = writes;
    ifab_artifact_key(module->wasm_sha256, ifab_view_str(engine->name), ifab_view_str(engine->version), ifab_buf_as_view(&engine->config),
                      job->key32);
    ifab_buf_init(&job->bytes, pool->options.artifact_bytes);
    if (writes)
        ifab_buf_view(&job->bytes, ifab_buf_as_view(&module->artifact));
    if (ifab_buf_status(&job->bytes) != IFAB_OK || uv_queue_work(pool->loop, &job->work, on_work, on_worked) != 0) {
        job_free(job);
        return false;
    }
    pool->jobs++;
    return true;
}

/* ---- compilers ---- */

static uint32_t compilers(const struct ifab_chassis *pool)
{
    uint32_t count = 0;
    for (const struct chassis_worker *w = pool->workers; w != NULL; w = w->next)
        count += w->role == IFAB_SANDBOX_PREPARE && w->state != CHASSIS_DYING;
    return count;
}

/* module NULL: only to tell the engine. */
static bool start_compiler(struct ifab_chassis *pool, struct ifab_chassis_module *module, struct ifab_error *err)
{
    struct chassis_worker *worker;
    if (ifab_chassis__worker_start(pool, IFAB_SANDBOX_PREPARE, &worker, err) != IFAB_OK)
        return false;
    worker->module = module;
    ifab_chassis__worker_timer(worker, module == NULL ? pool->options.load_ms : pool->options.prepare_ms);
    return true;
}

static void pump_module(struct ifab_chassis *pool, struct ifab_chassis_module *module)
{
    struct ifab_error err = {.text = ""};
    if (module->state == CHASSIS_WANTED)
        module->state = queue_job(pool, module, false) ? CHASSIS_READING : CHASSIS_MISSING;
    if (module->state != CHASSIS_MISSING || compilers(pool) >= pool->options.preparers || pool->dying >= pool->options.workers)
        return;
    if (start_compiler(pool, module, &err))
        module->state = CHASSIS_COMPILE;
    else
        module_failed(pool, module, IFAB_CODE_SYSTEM_ERROR, err.text, false);
}

void ifab_chassis__want(struct ifab_chassis *pool, struct ifab_chassis_module *module)
{
    if (module->state != CHASSIS_NONE)
        return;
    struct ifab_chassis_module **last = &pool->modules; /* behind those that wait already: each gets its turn */
    while (*last != NULL)
        last = &(*last)->next;
    module->state = CHASSIS_WANTED;
    module->next = NULL;
    *last = ifab_chassis_module_ref(module);
}

void ifab_chassis__prepare_pump(struct ifab_chassis *pool)
{
    struct ifab_error err = {.text = ""};
    if (!pool->engine.known) {
        if (pool->wants_engine && compilers(pool) == 0 && !start_compiler(pool, NULL, &err))
            no_engine(pool, IFAB_CODE_SYSTEM_ERROR, err.text);
        return;
    }
    for (struct ifab_chassis_module *m = pool->modules, *next; m != NULL; m = next) {
        next = m->next;
        pump_module(pool, m);
    }
}

static void compile(struct chassis_worker *self, const struct ifab_frame_ready *ready)
{
    struct ifab_chassis *pool = self->pool;
    struct ifab_chassis_module *module = self->module;
    bool known = ifab_chassis__engine_is(pool, ready);
    if (!known && !learn(pool, ready)) {
        ifab_chassis__worker_failed(self, IFAB_CODE_SYSTEM_ERROR, "out of memory");
    } else if (module == NULL || !known) { /* only asked, or another engine than the one whose cache was looked into */
        self->module = NULL;
        if (module != NULL)
            module->state = CHASSIS_WANTED;
        ifab_chassis__worker_kill(self);
    } else if (ifab_frame_bytes_write(&self->out, IFAB_FRAME_COMPILE, ifab_buf_as_view(&module->wasm)) != IFAB_OK) {
        ifab_chassis__worker_failed(self, IFAB_CODE_SYSTEM_ERROR, "out of memory");
    } else {
        self->state = CHASSIS_COMPILING;
        if (!ifab_chassis__worker_flush(self))
            ifab_chassis__worker_failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the compiler ended by itself");
    }
}

static void artifact(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct ifab_chassis *pool = self->pool;
    struct ifab_chassis_module *module = self->module;
    struct ifab_buf bytes = IFAB_BUF_INIT(pool->options.artifact_bytes);
    ifab_buf_view(&bytes, frame->payload);
    if (ifab_buf_status(&bytes) != IFAB_OK || bytes.size == 0) {
        ifab_buf_fini(&bytes);
        ifab_chassis__worker_failed(self, IFAB_CODE_SYSTEM_ERROR, "no artifact");
        return;
    }
    self->module = NULL;
    pool->stats.compiled++;
    (void)ifab_chassis_module_ref(module);
    hold(pool, module, &bytes);
    (void)queue_job(pool, module, true); /* not kept: compiled again after a restart */
    ifab_chassis_module_unref(module);
    ifab_chassis__worker_kill(self);
}

static void refused(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct ifab_frame_load_failed why;
    char text[CHASSIS_TEXT + 1];
    if (ifab_frame_load_failed_read(frame, &why) != IFAB_OK) {
        self->pool->stats.wrong_frames++;
        ifab_chassis__worker_failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the compiler sent a malformed LOAD_FAILED");
        return;
    }
    bool ours = why.error == IFAB_LOAD_ERROR_ENGINE || why.error == IFAB_LOAD_ERROR_INTERNAL;
    (void)snprintf(text, sizeof text, "%s: " IFAB_FMT, ifab_load_error_name(why.error), IFAB_ARG(why.text));
    ifab_chassis__prepare_failed(self, ours ? IFAB_CODE_SYSTEM_ERROR : IFAB_CODE_INVALID_MANIFEST, text, !ours);
    ifab_chassis__worker_kill(self);
}

void ifab_chassis__prepare_frame(struct chassis_worker *self, const struct ifab_frame *frame)
{
    struct ifab_frame_ready ready;
    char text[CHASSIS_TEXT + 1];
    if (self->state == CHASSIS_STARTING) {
        if (ifab_chassis__ready(self, frame, &ready, text))
            compile(self, &ready);
        else
            ifab_chassis__worker_failed(self, IFAB_CODE_SANDBOX_VIOLATION, text);
    } else if (frame->type == IFAB_FRAME_ARTIFACT) {
        artifact(self, frame);
    } else if (frame->type == IFAB_FRAME_LOAD_FAILED) {
        refused(self, frame);
    } else {
        self->pool->stats.wrong_frames++;
        ifab_chassis__worker_failed(self, IFAB_CODE_SANDBOX_VIOLATION, "the compiler sent a frame out of turn");
    }
}
