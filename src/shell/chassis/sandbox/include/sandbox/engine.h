#ifndef SANDBOX_ENGINE_H
#define SANDBOX_ENGINE_H
/*
 * What runs guests inside a sandbox process: a table of functions an engine, one conformance suite over all (tests/conformance/conformance_engine.c).
 * Rows: Wasmtime, with the compiler in the prepare program and without it in the execute program, and a null engine that
 * interprets a few fixed programs, so that worker and pool are tested without Rust.
 *
 * Guest ABI 1 (docs/formats/sandbox.md): exports memory if_alloc if_free if_plan if_apply if_health, imports of module `if` alone.
 * 1. Nothing that comes out of a module runs before the walls stand, and of the guest itself nothing but its calls: a start function is refused,
 *    warming runs host code alone, what the compiler made to fill a fresh memory runs behind the walls first.
 * 2. Every call gets a fresh instance: nothing survives in guest memory.
 * 3. Every guest pointer is checked against the memory's size at the moment of use, and again after the guest's allocator has run.
 */
#include "base/buf.h"
#include "base/status.h"
#include "frame/frame.h"

#include <signal.h>

#define IFAB_ENGINE_ABI     1U
#define IFAB_ENGINE_TICK_MS 10U /* the worker calls ifab_engine_tick() after so much of its own CPU time */

/* Bits of caps. */
#define IFAB_ENGINE_COMPILES   (1U << 0) /* has compile: prepare programs only */
#define IFAB_ENGINE_TAKES_WASM (1U << 1) /* load takes IFAB_MODULE_WASM */

struct ifab_engine_ops;

/* The common front of every engine's own struct. Its counters are written by signal handlers. */
struct ifab_engine {
    const struct ifab_engine_ops *ops;
    volatile sig_atomic_t ticks, stop; /* since the running call began */
    sig_atomic_t deadline_ticks;
};

/* Why load or compile refused: goes out as LOAD_FAILED. */
struct ifab_engine_failure {
    enum ifab_load_error error;
    char text[IFAB_FRAME_TEXT_MAX + 1]; /* printable ASCII */
};

/*
 * What the guest asks of the daemon. IFAB_OK; IFAB_TOO_LARGE or IFAB_INVALID: it was not asked. The result's bytes are borrowed until the
 * next host call; so is the input of the call from the first one on.
 */
typedef ifab_status ifab_engine_host_fn(void *user, const struct ifab_frame_host_call *call, struct ifab_frame_host_result *ret);

struct ifab_engine_call {
    struct ifab_frame_call frame;
    ifab_engine_host_fn *host;
    void *user;
};

struct ifab_engine_ops {
    unsigned abi;        /* IFAB_ENGINE_ABI */
    const char *name;    /* as READY says it */
    const char *version; /* of the engine, not of this table */
    unsigned caps;
    /* The whole configuration and the CPU features, as lines "name value": the same text in every program of one build on one machine. */
    void (*config)(struct ifab_buf *to);
    /* slots: 1…IFAB_FRAME_SLOTS_MAX instances at once. IFAB_NOMEM, IFAB_INTERNAL. Opened once a process. */
    ifab_status (*open)(uint32_t slots, struct ifab_engine **ret, struct ifab_error *err);
    /* Bytes of a module to an artifact for load; NULL without IFAB_ENGINE_COMPILES. IFAB_INVALID: ret_failure says why. */
    ifab_status (*compile)(struct ifab_engine *self, struct ifab_view wasm, struct ifab_buf *ret_artifact, struct ifab_engine_failure *ret_failure);
    /* Take in what a LOAD brought, once. Import names and types, exports and limits are judged here. IFAB_INVALID: ret_failure says why. */
    ifab_status (*load)(struct ifab_engine *self, const struct ifab_frame_load *load, struct ifab_frame_loaded *ret,
                        struct ifab_engine_failure *ret_failure);
    /* Before the walls: touch what a call needs of the process, so that afterwards nothing asks the kernel for more. Runs no code of the module. */
    ifab_status (*warm)(struct ifab_engine *self, struct ifab_error *err);
    /* Behind the walls: an instance in every slot at once. IFAB_INVALID: it asks for more than was granted; ret_failure says so. */
    ifab_status (*probe)(struct ifab_engine *self, struct ifab_engine_failure *ret_failure);
    /*
     * One call in a fresh instance, gone when it returns. Cannot fail: what goes wrong is a trap in *ret. ret->output is borrowed from output, which
     * holds call->frame.output_max bytes and at least IFAB_FRAME_TEXT_MAX.
     */
    void (*call)(struct ifab_engine *self, const struct ifab_engine_call *call, uint8_t *output, struct ifab_frame_result *ret);
    /* Make the running guest ask ifab_engine_due() soon. From a signal handler or another thread. */
    void (*interrupt)(struct ifab_engine *self);
    void (*close)(struct ifab_engine *self); /* accepts NULL */
};

extern const struct ifab_engine_ops ifab_engine_null;          /* compiles and takes wasm: tests only */
extern const struct ifab_engine_ops ifab_engine_wasmtime;      /* in programs linked with the execute library */
extern const struct ifab_engine_ops ifab_engine_wasmtime_full; /* in programs linked with the full library */

/* One call, its counters begun anew. */
void ifab_engine_run(struct ifab_engine *self, const struct ifab_engine_call *call, uint8_t *output, struct ifab_frame_result *ret);
void ifab_engine_tick(struct ifab_engine *self); /* IFAB_ENGINE_TICK_MS of CPU time are over; from a signal handler */
void ifab_engine_stop(struct ifab_engine *self); /* the deadline of the running call is reached; from a signal handler or thread */
/* For engines, while a call runs: is its deadline reached? */
static inline bool ifab_engine_due(const struct ifab_engine *self) { return self->stop != 0 || self->ticks >= self->deadline_ticks; }

/*
 * For engines. One host call: phase, count, answer and deadline judged. IFAB_TRAP_NONE: *ret holds the daemon's status, never DENIED or DEADLINE,
 * with bytes of the length that the import promises; anything else ends the guest's call with that trap. *count: host calls so far, counted on.
 */
enum ifab_trap ifab_engine_ask(const struct ifab_engine *self, const struct ifab_engine_call *call, const struct ifab_frame_host_call *ask,
                               uint32_t *count, struct ifab_frame_host_result *ret);
/* Fills a failure; text is cut to its first line and to printable ASCII. Returns IFAB_INVALID. */
ifab_status ifab_engine_fail(struct ifab_engine_failure *to, enum ifab_load_error error, const char *text, size_t size);
/* Ends a call: a trap with its text in output. */
void ifab_engine_trap(struct ifab_frame_result *ret, enum ifab_trap trap, uint8_t *output, const char *text);
/*
 * What a module's bytes say of themselves before an engine reads them: IFAB_OK, or IFAB_INVALID with a failure: not WebAssembly 1
 * (MALFORMED) or with a start section (START).
 */
ifab_status ifab_engine_scan(struct ifab_view wasm, struct ifab_engine_failure *ret_failure);
#endif
