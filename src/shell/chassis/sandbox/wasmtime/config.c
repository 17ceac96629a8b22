/*
 * The configuration: one list sets it and writes it down, so that the text (whose digest is part of every artifact's key) cannot say anything
 * else than what is set. Numbers: chassis facts, docs/decisions/wasmtime.md.
 */
#include "internal.h"

#include "base/mem.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* X(setting, value): both libraries have these setters. */
#define CONFIG_MAP(X)                                                                \
    X(consume_fuel, true)                                                            \
    X(epoch_interruption, true)                                                      \
    X(max_wasm_stack, 256 * KIB)                                                     \
    X(memory_reservation, 4 * GIB)                                                   \
    X(memory_guard_size, 32 * MIB)                                                   \
    X(memory_reservation_for_growth, 0)                                              \
    X(memory_may_move, false)                                                        \
    X(memory_init_cow, false) /* no mapping a call: after the walls there is none */ \
    X(native_unwind_info, false)                                                     \
    X(signals_based_traps, true)                                                     \
    X(debug_info, false)                                                             \
    X(profiler, WASMTIME_PROFILING_STRATEGY_NONE)                                    \
    X(shared_memory, false)                                                          \
    X(gc_support, false)                                                             \
    X(wasm_simd, false)                                                              \
    X(wasm_relaxed_simd, false)                                                      \
    X(wasm_tail_call, false)                                                         \
    X(wasm_multi_memory, false)                                                      \
    X(wasm_memory64, false)                                                          \
    X(wasm_wide_arithmetic, false)                                                   \
    X(wasm_custom_page_sizes, false)                                                 \
    X(wasm_branch_hinting, false)                                                    \
    X(wasm_bulk_memory, true)                                                        \
    X(wasm_multi_value, true)

/* X(setting, value) of the pool; how many slots it has is no part of the text: it changes no code. */
#define POOL_MAP(X)                                     \
    X(decommit_batch_size, 1)                           \
    X(linear_memory_keep_resident, 128 * KIB)           \
    X(table_keep_resident, 16 * KIB)                    \
    X(max_core_instance_size, 256 * KIB)                \
    X(max_memories_per_module, 1)                       \
    X(max_tables_per_module, 1)                         \
    X(max_memory_size, IFAB_FRAME_PAGES_MAX * 64 * KIB) \
    X(table_elements, IFAB_FRAME_TABLE_MAX)

void ifab_wasmtime__config(struct ifab_buf *to)
{
#define LINE(name, value) ifab_buf_format(to, "%s %llu\n", #name, (unsigned long long)(value));
    ifab_buf_format(to, "engine wasmtime %s\nabi %u\n", WASMTIME_VERSION, IFAB_ENGINE_ABI);
    CONFIG_MAP(LINE)
    IFAB_WASMTIME_COMPILER_MAP(LINE)
    POOL_MAP(LINE)
#undef LINE
    ifab_wasmtime__cpu(to);
}

static void set_pool(wasm_config_t *config, uint32_t slots)
{
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
#define SET(name, value) wasmtime_pooling_allocation_config_##name##_set(pool, value);
    POOL_MAP(SET)
    SET(max_unused_warm_slots, slots)
    SET(total_core_instances, slots)
    SET(total_memories, slots)
    SET(total_tables, slots)
#undef SET
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
}

ifab_status ifab_wasmtime__open(const struct ifab_engine_ops *ops, void (*compiler)(wasm_config_t *), uint32_t slots, struct ifab_engine **ret,
                                struct ifab_error *err)
{
    struct wasmtime_engine *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "wasmtime");
    wasm_config_t *config = wasm_config_new();
#define SET(name, value) wasmtime_config_##name##_set(config, value);
    CONFIG_MAP(SET)
#undef SET
    if (compiler != NULL)
        compiler(config);
    set_pool(config, slots);
    self->base.ops = ops;
    self->slots = slots;
    self->engine = wasm_engine_new_with_config(config); /* takes config */
    self->linker = self->engine != NULL ? wasmtime_linker_new(self->engine) : NULL;
    if (self->linker == NULL) {
        ifab_wasmtime__close(&self->base);
        return ifab_fail(err, IFAB_INTERNAL, "wasmtime does not open");
    }
    *ret = &self->base;
    return IFAB_OK;
}

void ifab_wasmtime__interrupt(struct ifab_engine *base) { wasmtime_engine_increment_epoch(((struct wasmtime_engine *)base)->engine); }

void ifab_wasmtime__close(struct ifab_engine *base)
{
    struct wasmtime_engine *self = (struct wasmtime_engine *)base;
    if (self == NULL)
        return;
    if (self->pre != NULL)
        wasmtime_instance_pre_delete(self->pre);
    if (self->module != NULL)
        wasmtime_module_delete(self->module);
    if (self->linker != NULL)
        wasmtime_linker_delete(self->linker);
    if (self->engine != NULL)
        wasm_engine_delete(self->engine);
    ifab_free(self);
}
