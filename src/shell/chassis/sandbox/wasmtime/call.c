/*
 * Calls: a fresh instance each, guest ABI 1, traps normalised. 1. Guest memory is asked for its place and size at every use: the guest's
 * allocator may have grown it. 2. While if_alloc runs for us, no import may be called: there is one host call at a time, and the bytes we are
 * about to copy stay where they are. 3. Why a call ended is in running.reason where we ended it ourselves; only otherwise
 * does the engine's trap say it.
 */
#include "internal.h"

#include "base/mem.h"

#define PAGE (INT64_C(64) * 1024)
#define PROBE_FUEL 1000000 /* filling a memory costs one per data segment or so */

struct running {
    struct wasmtime_engine *engine;
    const struct ifab_engine_call *call;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    wasmtime_memory_t memory;
    wasmtime_func_t alloc;
    enum ifab_trap reason;
    const char *text;
    uint32_t host_calls;
    bool allocating;
};

static bool stop(struct running *self, enum ifab_trap reason, const char *text)
{
    if (self->reason == IFAB_TRAP_NONE) {
        self->reason = reason;
        self->text = text;
    }
    return false;
}

/* --- traps --- */
static bool stop_by_code(struct running *self, wasmtime_trap_code_t code)
{
    static const struct {
        enum ifab_trap trap;
        const char *text;
    } rows[] = {
        [WASMTIME_TRAP_CODE_STACK_OVERFLOW] = {IFAB_TRAP_STACK, "the stack is used up"},
        [WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS] = {IFAB_TRAP_OOB, "outside memory"},
        [WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS] = {IFAB_TRAP_OOB, "outside a table"},
        [WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL] = {IFAB_TRAP_UNREACHABLE, "indirect call to nothing"},
        [WASMTIME_TRAP_CODE_BAD_SIGNATURE] = {IFAB_TRAP_UNREACHABLE, "indirect call of another type"},
        [WASMTIME_TRAP_CODE_INTEGER_OVERFLOW] = {IFAB_TRAP_UNREACHABLE, "integer overflow"},
        [WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO] = {IFAB_TRAP_UNREACHABLE, "division by zero"},
        [WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER] = {IFAB_TRAP_UNREACHABLE, "a float that is no integer"},
        [WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED] = {IFAB_TRAP_UNREACHABLE, "unreachable"},
        [WASMTIME_TRAP_CODE_INTERRUPT] = {IFAB_TRAP_DEADLINE, "the deadline is reached"},
        [WASMTIME_TRAP_CODE_OUT_OF_FUEL] = {IFAB_TRAP_FUEL, "the fuel is used up"},
    };
    if (code < IFAB_COUNT(rows) && rows[code].text != NULL)
        return stop(self, rows[code].trap, rows[code].text);
    return stop(self, IFAB_TRAP_UNREACHABLE, "a trap of another kind");
}

/* How a call into the guest went: true when it returned. Frees error and trap. */
static bool returned(struct running *self, wasmtime_error_t *error, wasm_trap_t *trap)
{
    wasmtime_trap_code_t code = 0;
    if (error != NULL) {
        wasmtime_error_delete(error);
        return stop(self, IFAB_TRAP_UNREACHABLE, "an error of the engine");
    }
    if (trap == NULL)
        return true;
    bool known = wasmtime_trap_code(trap, &code);
    wasm_trap_delete(trap);
    return known ? stop_by_code(self, code) : stop(self, IFAB_TRAP_UNREACHABLE, "a trap of another kind");
}

static wasmtime_error_t *on_epoch(wasmtime_context_t *context, void *data, uint64_t *delta, wasmtime_update_deadline_kind_t *kind)
{
    struct running *self = data;
    (void)context;
    if (ifab_engine_due(&self->engine->base)) {
        stop(self, IFAB_TRAP_DEADLINE, "the deadline is reached");
        return wasmtime_error_new("deadline");
    }
    *delta = 1;
    *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

/* --- guest memory --- */
/* Bytes [at, at + size) of guest memory as it is now; false: they are not all in it. */
static bool reach(struct running *self, uint32_t at, uint32_t size, uint8_t **ret)
{
    size_t all = wasmtime_memory_data_size(self->context, &self->memory);
    if (at > all || size > all - at)
        return stop(self, IFAB_TRAP_OOB, "a pointer outside memory");
    *ret = wasmtime_memory_data(self->context, &self->memory) + at;
    return true;
}

static bool view(struct running *self, int32_t at, int32_t size, struct ifab_view *ret)
{
    uint8_t *bytes;
    if (!reach(self, (uint32_t)at, (uint32_t)size, &bytes))
        return false;
    *ret = ifab_view_of(bytes, (uint32_t)size);
    return true;
}

/* Copies bytes into the guest, where its allocator says. */
static bool hand_over(struct running *self, struct ifab_view bytes, uint32_t *ret_at)
{
    wasmtime_val_raw_t value = {.i32 = (int32_t)bytes.size};
    wasm_trap_t *trap = NULL;
    uint8_t *to;
    *ret_at = 0;
    if (bytes.size == 0)
        return true;
    self->allocating = true;
    wasmtime_error_t *error = wasmtime_func_call_unchecked(self->context, &self->alloc, &value, 1, &trap);
    self->allocating = false;
    if (!returned(self, error, trap))
        return false;
    if (value.i32 == 0)
        return stop(self, IFAB_TRAP_MEMORY, "if_alloc gave nothing");
    if (!reach(self, (uint32_t)value.i32, (uint32_t)bytes.size, &to))
        return false;
    memcpy(to, bytes.data, bytes.size);
    *ret_at = (uint32_t)value.i32;
    return true;
}

/* --- imports --- */
/* What the guest's arguments ask for; false: a pointer is outside. */
static bool arguments(struct running *self, enum ifab_import import, const wasmtime_val_raw_t *v, struct ifab_frame_host_call *ret)
{
    *ret = (struct ifab_frame_host_call){.import = import};
    switch (import) {
    case IFAB_IMPORT_log:
        ret->number = (uint32_t)v[0].i32;
        return view(self, v[1].i32, v[2].i32, &ret->a);
    case IFAB_IMPORT_http:
    case IFAB_IMPORT_secret_ref:
    case IFAB_IMPORT_kv_get:
        return view(self, v[0].i32, v[1].i32, &ret->a);
    case IFAB_IMPORT_kv_put:
        return view(self, v[0].i32, v[1].i32, &ret->a) && view(self, v[2].i32, v[3].i32, &ret->b);
    case IFAB_IMPORT_random: {
        struct ifab_view place;
        ret->number = (uint32_t)v[1].i32;
        return view(self, v[0].i32, v[1].i32, &place);
    }
    case IFAB_IMPORT_now:
    case IFAB_IMPORT_COUNT:
        break;
    }
    return true;
}

/* The daemon's answer as the guest sees it. v: the arguments, where the result goes too. */
static bool results(struct running *self, enum ifab_import import, const struct ifab_frame_host_result *result, wasmtime_val_raw_t *v)
{
    int32_t failed = -(int32_t)result->status; /* 0 when OK */
    uint32_t at = 0;
    uint8_t *place;
    struct ifab_reader r = {result->bytes.data, result->bytes.data + result->bytes.size, false};
    switch (import) {
    case IFAB_IMPORT_http:
    case IFAB_IMPORT_secret_ref:
    case IFAB_IMPORT_kv_get:
        if (failed == 0 && !hand_over(self, result->bytes, &at))
            return false;
        v[0].i64 = failed != 0 ? failed : (int64_t)((uint64_t)at << 32 | result->bytes.size);
        return true;
    case IFAB_IMPORT_random:
        if (failed == 0 && !reach(self, (uint32_t)v[0].i32, (uint32_t)result->bytes.size, &place))
            return false;
        if (failed == 0)
            memcpy(place, result->bytes.data, result->bytes.size);
        v[0].i32 = failed;
        return true;
    case IFAB_IMPORT_kv_put:
        v[0].i32 = failed;
        return true;
    case IFAB_IMPORT_now:
        v[0].i64 = failed != 0 ? failed : (int64_t)ifab_get_u64(&r);
        return true;
    case IFAB_IMPORT_log:
    case IFAB_IMPORT_COUNT:
        break;
    }
    return true;
}

wasm_trap_t *ifab_wasmtime__import(void *hook, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count)
{
    const struct import_hook *h = hook;
    struct running *self = h->engine->running;
    struct ifab_frame_host_call ask;
    struct ifab_frame_host_result result;
    (void)caller;
    (void)count;
    if (self->allocating)
        stop(self, IFAB_TRAP_HOST_DENIED, "an import called by if_alloc");
    else if (arguments(self, h->import, values, &ask)) {
        enum ifab_trap trap = ifab_engine_ask(&h->engine->base, self->call, &ask, &self->host_calls, &result);
        if (trap != IFAB_TRAP_NONE)
            stop(self, trap, ifab_import_name(h->import));
        else if (results(self, h->import, &result, values))
            return NULL;
    }
    return wasmtime_trap_new("host", 4);
}

/* --- instances --- */
static bool open_store(struct wasmtime_engine *engine, struct running *self, uint64_t fuel)
{
    self->engine = engine;
    self->store = wasmtime_store_new(engine->engine, NULL, NULL);
    if (self->store == NULL)
        return stop(self, IFAB_TRAP_MEMORY, "no store");
    self->context = wasmtime_store_context(self->store);
    wasmtime_store_limiter(self->store, engine->memory_pages * PAGE, engine->table_elements, 1, 1, 1);
    wasmtime_store_epoch_deadline_callback(self->store, on_epoch, self, NULL);
    wasmtime_context_set_epoch_deadline(self->context, 1);
    return returned(self, wasmtime_context_set_fuel(self->context, fuel), NULL);
}

static bool instantiate(struct running *self)
{
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error = wasmtime_instance_pre_instantiate(self->engine->pre, self->context, &self->instance, &trap);
    if (error == NULL)
        return returned(self, NULL, trap);
    wasmtime_error_delete(error);
    return stop(self, IFAB_TRAP_MEMORY, "no room for an instance");
}

static bool find(struct running *self, const char *name, wasmtime_extern_kind_t kind, wasmtime_extern_t *ret)
{
    /* load has seen them all, with their types */
    return (wasmtime_instance_export_get(self->context, &self->instance, name, strlen(name), ret) && ret->kind == kind) ||
           stop(self, IFAB_TRAP_UNREACHABLE, "an export is gone");
}

static bool bind(struct running *self, enum ifab_export export_, wasmtime_func_t *ret)
{
    static const char *const names[IFAB_EXPORT_COUNT] = {"if_plan", "if_apply", "if_health"};
    wasmtime_extern_t memory, alloc, entry;
    if (!find(self, "memory", WASMTIME_EXTERN_MEMORY, &memory) || !find(self, "if_alloc", WASMTIME_EXTERN_FUNC, &alloc) ||
        !find(self, names[export_], WASMTIME_EXTERN_FUNC, &entry))
        return false;
    self->memory = memory.of.memory;
    self->alloc = alloc.of.func;
    *ret = entry.of.func;
    return true;
}

/* Parameters in, the guest's function, its output out. */
static bool run(struct running *self, uint8_t *output, struct ifab_frame_result *ret)
{
    const struct ifab_frame_call *frame = &self->call->frame;
    wasmtime_val_raw_t values[2];
    wasmtime_func_t entry;
    wasm_trap_t *trap = NULL;
    struct ifab_view bytes;
    uint32_t at;
    if (ifab_engine_due(&self->engine->base)) /* an interrupt from before the epoch's deadline was set */
        return stop(self, IFAB_TRAP_DEADLINE, "the deadline is reached");
    if (!instantiate(self) || !bind(self, frame->export_, &entry) || !hand_over(self, frame->input, &at))
        return false;
    values[0] = (wasmtime_val_raw_t){.i32 = (int32_t)at};
    values[1] = (wasmtime_val_raw_t){.i32 = (int32_t)frame->input.size};
    wasmtime_error_t *error = wasmtime_func_call_unchecked(self->context, &entry, values, 2, &trap);
    if (!returned(self, error, trap))
        return false;
    uint64_t packed = (uint64_t)values[0].i64;
    if (!view(self, (int32_t)(packed >> 32), (int32_t)(packed & UINT32_MAX), &bytes))
        return false;
    if (bytes.size > frame->output_max)
        return stop(self, IFAB_TRAP_OOB, "more output than allowed");
    if (bytes.size > 0)
        memcpy(output, bytes.data, bytes.size);
    ret->output = ifab_view_of(output, bytes.size);
    return true;
}

void ifab_wasmtime__call(struct ifab_engine *base, const struct ifab_engine_call *call, uint8_t *output, struct ifab_frame_result *ret)
{
    struct running self = {.call = call};
    struct wasmtime_engine *engine = (struct wasmtime_engine *)base;
    engine->running = &self;
    uint64_t left = 0;
    bool done = open_store(engine, &self, call->frame.fuel) && run(&self, output, ret);
    if (self.store != NULL) {
        wasmtime_error_t *error = wasmtime_context_get_fuel(self.context, &left);
        if (error != NULL)
            wasmtime_error_delete(error);
        wasmtime_store_delete(self.store);
    }
    ret->fuel_used = call->frame.fuel - (left < call->frame.fuel ? left : call->frame.fuel);
    ret->host_calls = self.host_calls;
    if (!done)
        ifab_engine_trap(ret, self.reason, output, self.text);
    engine->running = NULL;
}

/* --- before the walls --- */
static wasm_trap_t *only_traps(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count)
{
    (void)env;
    (void)caller;
    (void)values;
    (void)count;
    return wasmtime_trap_new("warm", 4);
}

/* A call of a function of ours, which traps: the engine's signal stack, its unwinding and what it keeps per thread come to be. */
static bool warm_call(struct running *self)
{
    wasm_valtype_vec_t params, none;
    wasmtime_val_raw_t value = {.i64 = 0};
    wasmtime_func_t function;
    wasm_trap_t *trap = NULL;
    wasm_valtype_vec_new_empty(&params);
    wasm_valtype_vec_new_empty(&none);
    wasm_functype_t *type = wasm_functype_new(&params, &none);
    wasmtime_func_new_unchecked(self->context, type, only_traps, NULL, NULL, &function);
    wasm_functype_delete(type);
    wasmtime_error_t *error = wasmtime_func_call_unchecked(self->context, &function, &value, 1, &trap);
    bool trapped = trap != NULL || error != NULL; /* what a function of ours ends with comes back as an error */
    if (error != NULL)
        wasmtime_error_delete(error);
    if (trap != NULL)
        wasm_trap_delete(trap);
    return trapped;
}

ifab_status ifab_wasmtime__warm(struct ifab_engine *base, struct ifab_error *err)
{
    struct running self = {0};
    bool good = open_store((struct wasmtime_engine *)base, &self, 1) && warm_call(&self);
    if (self.store != NULL)
        wasmtime_store_delete(self.store);
    return good ? IFAB_OK : ifab_fail(err, IFAB_INTERNAL, "the engine does not warm up");
}

/* --- behind the walls --- */
ifab_status ifab_wasmtime__probe(struct ifab_engine *base, struct ifab_engine_failure *ret_failure)
{
    struct wasmtime_engine *engine = (struct wasmtime_engine *)base;
    struct running all[IFAB_FRAME_SLOTS_MAX] = {0};
    bool good = true;
    for (uint32_t i = 0; i < engine->slots; i++) /* all at once: each takes a slot of its own */
        good = open_store(engine, &all[i], PROBE_FUEL) && instantiate(&all[i]) && good;
    for (uint32_t i = 0; i < engine->slots; i++)
        if (all[i].store != NULL)
            wasmtime_store_delete(all[i].store);
    static const char text[] = "an instance needs more than was granted, or does not fit into itself";
    return good ? IFAB_OK : ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_LIMIT, text, sizeof text - 1);
}
