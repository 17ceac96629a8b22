#ifndef SANDBOX_WASMTIME_INTERNAL_H
#define SANDBOX_WASMTIME_INTERNAL_H
/*
 * Wasmtime through its C API. Compiled once a program, with the headers of the library that program links: the two differ in wasmtime/conf.h.
 * config.c the settings · module.c what a module may import and must export · call.c instances, guest ABI, traps ·
 * execute.c and full.c the two rows of the engine table.
 */
#include "sandbox/engine.h"

#include <wasmtime.h>

struct running;

struct import_hook { /* what an import's callback is given */
    struct wasmtime_engine *engine;
    enum ifab_import import;
};

struct wasmtime_engine {
    struct ifab_engine base;
    wasm_engine_t *engine;
    wasmtime_linker_t *linker;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre;
    uint32_t slots, memory_pages, table_elements;
    struct import_hook hooks[IFAB_IMPORT_COUNT];
    struct running *running; /* the call in hand, or NULL */
};

/* config.c: the settings, and the same as text. */
ifab_status ifab_wasmtime__open(const struct ifab_engine_ops *ops, void (*compiler)(wasm_config_t *), uint32_t slots, struct ifab_engine **ret,
                                struct ifab_error *err);
void ifab_wasmtime__config(struct ifab_buf *to);
void ifab_wasmtime__interrupt(struct ifab_engine *base);
void ifab_wasmtime__close(struct ifab_engine *base);
void ifab_wasmtime__cpu(struct ifab_buf *to); /* cpu_<family>.c: a line with what this processor can do */
/* For full.c: what only the library with the compiler has setters for. X(setting, value) */
#define IFAB_WASMTIME_COMPILER_MAP(X)                \
    X(strategy, WASMTIME_STRATEGY_CRANELIFT)         \
    X(cranelift_nan_canonicalization, true)          \
    X(cranelift_debug_verifier, false)               \
    X(cranelift_opt_level, WASMTIME_OPT_LEVEL_SPEED) \
    X(wasm_stack_switching, false)

/* module.c */
ifab_status ifab_wasmtime__judge(const wasmtime_module_t *module, const struct ifab_frame_load *limits, struct ifab_frame_loaded *ret,
                                 struct ifab_engine_failure *ret_failure);
ifab_status ifab_wasmtime__load(struct ifab_engine *base, const struct ifab_frame_load *load, struct ifab_frame_loaded *ret,
                                struct ifab_engine_failure *ret_failure);
/* An engine's error as a failure; frees it. */
ifab_status ifab_wasmtime__refuse(struct ifab_engine_failure *to, enum ifab_load_error error, wasmtime_error_t *cause);

/* call.c */
wasm_trap_t *ifab_wasmtime__import(void *hook, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count);
ifab_status ifab_wasmtime__warm(struct ifab_engine *base, struct ifab_error *err);
ifab_status ifab_wasmtime__probe(struct ifab_engine *base, struct ifab_engine_failure *ret_failure);
void ifab_wasmtime__call(struct ifab_engine *base, const struct ifab_engine_call *call, uint8_t *output, struct ifab_frame_result *ret);
#endif
