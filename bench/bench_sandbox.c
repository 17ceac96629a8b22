/*
 * bench_sandbox FOLDER GUEST: what a capability's call costs, in µs at p50: the engine in this process beside Wasmtime without our layer, then real
 * sandbox processes behind their walls, beside one with the null engine (frames and two switches of process, nothing else).
 */
#include "sandbox/engine.h"
#include "sandbox.h"

#include <time.h>
#include <wasmtime.h>

#define CYCLES 20000
#define CALLS 20000
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

static wasm_trap_t *refuse(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count)
{
    (void)env;
    (void)caller;
    (void)values;
    (void)count;
    return NULL;
}

/* The same work by Wasmtime alone, with its pool, fuel, epochs and limiter, and none of our judgements. */
static void bare_cycle(struct ifab_view artifact)
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
    wasm_engine_t *engine = wasm_engine_new_with_config(config);
    wasmtime_linker_t *linker = wasmtime_linker_new(engine);
    wasmtime_module_t *module = NULL;
    wasmtime_instance_pre_t *pre = NULL;
    wasm_importtype_vec_t imports;
    need(wasmtime_module_deserialize(engine, artifact.data, artifact.size, &module) == NULL, "bare: deserialize");
    wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size; i++) {
        const wasm_name_t *name = wasm_importtype_name(imports.data[i]);
        const wasm_functype_t *type = wasm_externtype_as_functype_const(wasm_importtype_type(imports.data[i]));
        need(wasmtime_linker_define_func_unchecked(linker, "if", 2, name->data, name->size, type, refuse, NULL, NULL) == NULL, "bare: define");
    }
    need(wasmtime_linker_instantiate_pre(linker, module, &pre) == NULL, "bare: link");
    for (size_t i = 0; i < CYCLES; i++) {
        wasmtime_instance_t instance;
        wasmtime_extern_t memory, alloc, apply;
        wasm_trap_t *trap = NULL;
        wasmtime_val_raw_t values[2] = {{.i32 = 10}};
        double began = now_us();
        wasmtime_store_t *store = wasmtime_store_new(engine, NULL, NULL);
        wasmtime_context_t *context = wasmtime_store_context(store);
        wasmtime_store_limiter(store, 32 << 16, 1000, 1, 1, 1);
        wasmtime_context_set_epoch_deadline(context, 1000);
        bool good = wasmtime_context_set_fuel(context, 1000000) == NULL && wasmtime_instance_pre_instantiate(pre, context, &instance, &trap) == NULL &&
                    wasmtime_instance_export_get(context, &instance, "memory", 6, &memory) && wasmtime_instance_export_get(context, &instance, "if_alloc", 8, &alloc) &&
                    wasmtime_instance_export_get(context, &instance, "if_apply", 8, &apply) &&
                    wasmtime_func_call_unchecked(context, &alloc.of.func, values, 1, &trap) == NULL && trap == NULL;
        memcpy(wasmtime_memory_data(context, &memory.of.memory) + values[0].i32, "echo hello", 10);
        values[1].i32 = 10;
        good = good && wasmtime_func_call_unchecked(context, &apply.of.func, values, 2, &trap) == NULL && trap == NULL;
        wasmtime_store_delete(store);
        samples[i] = now_us() - began;
        need(good, "bare: a call failed");
    }
    printf("bare_cycle_us %.3f\n", quantile(CYCLES, 0.5));
    wasm_importtype_vec_delete(&imports);
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
    bare_cycle(ifab_buf_as_view(&artifact));
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
