/*
 * bench_sandbox FOLDER GUEST: what a capability's call costs, in µs at p50: the engine in this process beside Wasmtime without our layer, then real
 * sandbox processes behind their walls, beside one with the null engine (frames and two switches of process, nothing else).
 */
#include "sandbox.h"
#include "sandbox/engine.h"

#include <time.h>
#include <wasmtime.h>

#define CYCLES 20000
#define CALLS  20000
#define STARTS 60

static double samples[CYCLES > CALLS ? CYCLES : CALLS];

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(size_t count, double q)
{
    qsort(samples, count, sizeof *samples, by_size);
    return samples[(size_t)(q * (double)(count - 1))];
}

static void need(bool fact, const char *what)
{
    if (!fact) {
        fprintf(stderr, "bench_sandbox: %s\n", what);
        exit(1);
    }
}

/* --- in this process --- */
static ifab_status no_host(void *user, const struct ifab_frame_host_call *call, struct ifab_frame_host_result *ret)
{
    (void)user;
    (void)call;
    ret->status = IFAB_HOST_REFUSED;
    return IFAB_OK;
}

static void cycle(struct ifab_view artifact)
{
    struct ifab_engine *engine = NULL;
    struct ifab_engine_failure failure;
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_loaded loaded;
    struct ifab_engine_call call = {.frame = sandbox_call, .host = no_host};
    struct ifab_frame_result result;
    static uint8_t output[65536];
    load.bytes = artifact;
    call.frame.input = IFAB_VIEW("echo hello");
    need(ifab_engine_wasmtime_full.open(1, &engine, NULL) == IFAB_OK && engine->ops->load(engine, &load, &loaded, &failure) == IFAB_OK, "load");
    for (size_t i = 0; i < CYCLES; i++) {
        double began = now_us();
        ifab_engine_run(engine, &call, output, &result);
        samples[i] = now_us() - began;
        need(result.trap == IFAB_TRAP_NONE, "a call trapped");
    }
    printf("cycle_us %.3f\n", quantile(CYCLES, 0.5));
    engine->ops->close(engine);
}

/* Every import answers NOT_FOUND, as the shortest way back would be. */
static wasm_trap_t *refuse(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count)
{
    (void)env;
    (void)caller;
    if (count > 0)
        values[0].i64 = IFAB_HOST_NOT_FOUND;
    return NULL;
}

/* The same work by Wasmtime alone, with its pool, fuel, epochs and limiter, and none of our judgements. */
struct bare {
    wasm_engine_t *engine;
    wasmtime_linker_t *linker;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre;
};

static wasm_config_t *bare_config(void)
{
    wasm_config_t *config = wasm_config_new();
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_config_consume_fuel_set(config, true);
    wasmtime_config_epoch_interruption_set(config, true);
    wasmtime_config_max_wasm_stack_set(config, 256 * 1024);
    wasmtime_config_memory_reservation_set(config, UINT64_C(4) << 30);
    wasmtime_config_memory_guard_size_set(config, 32 << 20);
    wasmtime_config_memory_reservation_for_growth_set(config, 0);
    wasmtime_config_memory_may_move_set(config, false);
    wasmtime_config_memory_init_cow_set(config, false);
    wasmtime_config_native_unwind_info_set(config, false);
    wasmtime_config_shared_memory_set(config, false);
    wasmtime_config_gc_support_set(config, false);
    wasmtime_config_wasm_simd_set(config, false);
    wasmtime_config_wasm_relaxed_simd_set(config, false);
    wasmtime_config_wasm_tail_call_set(config, false);
    wasmtime_config_wasm_multi_memory_set(config, false);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_wasm_stack_switching_set(config, false);
    wasmtime_config_cranelift_nan_canonicalization_set(config, true);
    wasmtime_pooling_allocation_config_decommit_batch_size_set(pool, 1);
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, 128 * 1024);
    wasmtime_pooling_allocation_config_table_keep_resident_set(pool, 16 * 1024);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, 16 << 20);
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, 1);
    wasmtime_pooling_allocation_config_total_memories_set(pool, 1);
    wasmtime_pooling_allocation_config_total_tables_set(pool, 1);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
    return config;
}

static struct bare bare_open(struct ifab_view artifact)
{
    struct bare b = {.engine = wasm_engine_new_with_config(bare_config())};
    wasm_importtype_vec_t imports;
    b.linker = wasmtime_linker_new(b.engine);
    need(wasmtime_module_deserialize(b.engine, artifact.data, artifact.size, &b.module) == NULL, "bare: deserialize");
    wasmtime_module_imports(b.module, &imports);
    for (size_t i = 0; i < imports.size; i++) {
        const wasm_name_t *name = wasm_importtype_name(imports.data[i]);
        const wasm_functype_t *type = wasm_externtype_as_functype_const(wasm_importtype_type(imports.data[i]));
        need(wasmtime_linker_define_func_unchecked(b.linker, "if", 2, name->data, name->size, type, refuse, NULL, NULL) == NULL, "bare: define");
    }
    wasm_importtype_vec_delete(&imports);
    need(wasmtime_linker_instantiate_pre(b.linker, b.module, &b.pre) == NULL, "bare: link");
    return b;
}

static void bare_close(struct bare *b)
{
    wasmtime_instance_pre_delete(b->pre);
    wasmtime_module_delete(b->module);
    wasmtime_linker_delete(b->linker);
    wasm_engine_delete(b->engine);
}

static void bare_call(const struct bare *b, const char *input)
{
    wasmtime_instance_t instance;
    wasmtime_extern_t memory, alloc, apply;
    wasm_trap_t *trap = NULL;
    int32_t size = (int32_t)strlen(input);
    wasmtime_val_raw_t values[2] = {{.i32 = size}};
    wasmtime_store_t *store = wasmtime_store_new(b->engine, NULL, NULL);
    wasmtime_context_t *context = wasmtime_store_context(store);
    wasmtime_store_limiter(store, 32 << 16, 1000, 1, 1, 1);
    wasmtime_context_set_epoch_deadline(context, 1000);
    bool good = wasmtime_context_set_fuel(context, 1000000) == NULL && wasmtime_instance_pre_instantiate(b->pre, context, &instance, &trap) == NULL &&
                wasmtime_instance_export_get(context, &instance, "memory", 6, &memory) &&
                wasmtime_instance_export_get(context, &instance, "if_alloc", 8, &alloc) &&
                wasmtime_instance_export_get(context, &instance, "if_apply", 8, &apply) &&
                wasmtime_func_call_unchecked(context, &alloc.of.func, values, 1, &trap) == NULL && trap == NULL;
    memcpy(wasmtime_memory_data(context, &memory.of.memory) + values[0].i32, input, (size_t)size);
    values[1].i32 = size;
    good = good && wasmtime_func_call_unchecked(context, &apply.of.func, values, 2, &trap) == NULL && trap == NULL;
    wasmtime_store_delete(store);
    need(good, "bare: a call failed");
}

static void bare_calls(const struct bare *b, const char *name, const char *input)
{
    for (size_t i = 0; i < CYCLES; i++) {
        double began = now_us();
        bare_call(b, input);
        samples[i] = now_us() - began;
    }
    printf("%s_us %.3f\n", name, quantile(CYCLES, 0.5));
}

static void bare(struct ifab_view artifact)
{
    struct bare b = bare_open(artifact);
    bare_calls(&b, "bare_cycle", "echo hello");
    bare_calls(&b, "bare_host", "get key");
    bare_close(&b);
    for (size_t i = 0; i < STARTS; i++) {
        double began = now_us();
        b = bare_open(artifact);
        bare_call(&b, "echo hello");
        samples[i] = now_us() - began;
        bare_close(&b);
    }
    printf("bare_cold_us %.1f\n", quantile(STARTS, 0.5));
}

/* --- processes --- */
static void start(struct sandbox *s, const char *program, struct ifab_view module)
{
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1] = "";
    uint32_t walls;
    load.bytes = module;
    sandbox_start(s, program);
    need(sandbox_load(s, &load, &walls, &failed, text), text);
}

static void calls(const char *name, struct sandbox *s, const char *input)
{
    struct ifab_frame_call call = sandbox_call;
    struct ifab_frame_result result;
    call.input = ifab_view_str(input);
    for (size_t i = 0; i < CALLS; i++) {
        double began = now_us();
        need(sandbox_run(s, 1, &call, &result) && result.trap == IFAB_TRAP_NONE, "a call failed");
        samples[i] = now_us() - began;
    }
    printf("%s_us %.3f\n%s_p99_us %.3f\n", name, quantile(CALLS, 0.5), name, quantile(CALLS, 0.99));
}

int main(int argc, char **argv)
{
    struct ifab_buf artifact = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1];
    struct sandbox s;
    static const char null_module[] = "null 1\nimport if.kv_get\n";
    need(argc == 3, "usage: bench_sandbox FOLDER GUEST");
    setenv("IFAB_SANDBOX", argv[1], 1);
    struct ifab_buf wasm = test_read_file(argv[2]);
    double began = now_us();
    need(sandbox_prepare("if-sandbox-prepare", ifab_buf_as_view(&wasm), &artifact, &failed, text), text);
    printf("prepare_us %.0f\n", now_us() - began);
    bare(ifab_buf_as_view(&artifact));
    cycle(ifab_buf_as_view(&artifact));
    start(&s, "if-sandbox-null", ifab_view_str(null_module));
    calls("null_call", &s, "echo hello");
    sandbox_end(&s);
    start(&s, "if-sandbox", ifab_buf_as_view(&artifact));
    calls("warm_call", &s, "echo hello");
    calls("host_call", &s, "get key");
    sandbox_end(&s);
    for (size_t i = 0; i < STARTS; i++) {
        struct ifab_frame_call call = sandbox_call;
        struct ifab_frame_result result;
        call.input = IFAB_VIEW("echo hello");
        began = now_us();
        start(&s, "if-sandbox", ifab_buf_as_view(&artifact));
        need(sandbox_run(&s, 1, &call, &result) && result.trap == IFAB_TRAP_NONE, "a first call failed");
        samples[i] = now_us() - began;
        sandbox_end(&s);
    }
    printf("cold_call_us %.1f\n", quantile(STARTS, 0.5));
    return 0;
}
