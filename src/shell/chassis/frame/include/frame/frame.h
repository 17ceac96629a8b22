#ifndef FRAME_FRAME_H
#define FRAME_FRAME_H
/*
 * The frames between the daemon and a sandbox process: docs/formats/sandbox.md. Pure; reads borrow, writers append.
 *
 * One frame: u32 payload length · u8 type · u8 zero × 3 · u32 call id · payload. All numbers little-endian. The daemon talks on the
 * worker's fd 0, the worker on its fd 1; there is no third channel.
 *
 *   execute worker                              prepare worker (one module, then it exits)
 *     daemon  LOAD                                worker  READY         (sealed before it has seen a byte of the module)
 *     worker  LOADED, READY | LOAD_FAILED, exit   daemon  COMPILE | BYE
 *     daemon  CALL ─┐                             worker  ARTIFACT | LOAD_FAILED, then it exits
 *     worker   HOST_CALL ⇄ HOST_RESULT (0…n)
 *     worker   RESULT ─┘  … again CALL, or BYE (the worker exits 0)
 *
 * 1. One call at a time: between CALL and RESULT the only frame to the worker is HOST_RESULT, and only after a HOST_CALL. Everything else
 *    ends the worker (exit 2); the daemon treats any frame out of turn, malformed or above its bound as a worker gone wrong: SIGKILL.
 * 2. Every frame about a call carries the call id of its CALL (1…2^32−1, chosen by the daemon); all others carry 0.
 * 3. Readers refuse, never repair: unknown types, bytes that are not zero where zero is written here, lengths that leave a rest.
 * 4. Three stops, independent: fuel (in CALL) · the deadline in CALL, in milliseconds of the worker's own CPU time, and at any moment
 *    SIGALRM from the daemon ("the deadline of the running call is reached": send it through the pidfd at deadline − margin; the call ends with
 *    RESULT DEADLINE; outside a call it does nothing) · SIGKILL through the pidfd at deadline + margin. Only the last is trusted.
 *    A worker that waits for HOST_RESULT is not stopped by SIGALRM until the answer comes: answer with IFAB_HOST_DEADLINE then.
 * 5. After a RESULT whose trap is not NONE the worker still serves, but the daemon recycles it (BYE).
 */
#include "base/buf.h"
#include "base/encode.h"
#include "base/status.h"
#include "base/view.h"

#include <stdbool.h>

#define IFAB_FRAME_HEAD       12U                 /* bytes before the payload */
#define IFAB_FRAME_LARGE_MAX  (64U * 1024 * 1024) /* payload of LOAD, COMPILE, ARTIFACT */
#define IFAB_FRAME_SMALL_MAX  (1024U * 1024)      /* payload of every other frame: so response_kib of a manifest is below 1,024 */
#define IFAB_FRAME_TEXT_MAX   256U                /* a text for people: printable ASCII, no line end */
#define IFAB_FRAME_CONFIG_MAX 2048U               /* the engine's whole configuration as text */
#define IFAB_FRAME_NAME_MAX   32U                 /* engine name, engine version */
#define IFAB_FRAME_RANDOM_MAX 1024U               /* bytes one `random` may ask for */

/* X(name, number, from the daemon, carries a call id, large, text) */
#define IFAB_FRAME_MAP(X)                      \
    X(LOAD, 1, 1, 0, 1, "LOAD")                \
    X(COMPILE, 2, 1, 0, 1, "COMPILE")          \
    X(CALL, 3, 1, 1, 0, "CALL")                \
    X(HOST_RESULT, 4, 1, 1, 0, "HOST_RESULT")  \
    X(BYE, 5, 1, 0, 0, "BYE")                  \
    X(READY, 65, 0, 0, 0, "READY")             \
    X(LOADED, 66, 0, 0, 0, "LOADED")           \
    X(LOAD_FAILED, 67, 0, 0, 0, "LOAD_FAILED") \
    X(ARTIFACT, 68, 0, 0, 1, "ARTIFACT")       \
    X(HOST_CALL, 69, 0, 1, 0, "HOST_CALL")     \
    X(RESULT, 70, 0, 1, 0, "RESULT")
#define IFAB_FRAME_E_(name, number, daemon, call, large, text) IFAB_FRAME_##name = (number),
enum ifab_frame_type { IFAB_FRAME_MAP(IFAB_FRAME_E_) };
#undef IFAB_FRAME_E_
enum ifab_frame_from { IFAB_FRAME_FROM_WORKER, IFAB_FRAME_FROM_DAEMON };

/* The walls of a worker, one bit each in READY: X(name, bit, text). docs/formats/sandbox.md says what each one stops. */
#define IFAB_WALL_MAP(X)                                                                                       \
    X(NO_NEW_PRIVS, 0, "no_new_privs") /* no set-uid program can be gained */                                  \
    X(PDEATHSIG, 1, "pdeathsig")       /* SIGKILL when the daemon dies */                                      \
    X(NOT_DUMPABLE, 2, "not_dumpable") /* no ptrace, no /proc/PID/mem, no core */                              \
    X(LANDLOCK, 3, "landlock")         /* no file, whatever the path; where known, no TCP and no signal out */ \
    X(RLIMITS, 4, "rlimits")           /* CORE FSIZE NPROC NOFILE 0, DATA, CPU, AS */                          \
    X(NAMESPACES, 5, "namespaces")     /* own user, network, IPC, UTS, cgroup namespaces */                    \
    X(DESCRIPTORS, 6, "descriptors")   /* nothing above fd 1 is open */                                        \
    X(SECCOMP, 7, "seccomp")           /* the list of calls; anything else is SIGSYS */
#define IFAB_WALL_E_(name, bit, text) IFAB_WALL_##name = 1U << (bit),
enum ifab_wall { IFAB_WALL_MAP(IFAB_WALL_E_) };
#undef IFAB_WALL_E_
/* What every worker must have; the rest depends on the kernel and is policy. */
#define IFAB_WALL_MANDATORY \
    (IFAB_WALL_NO_NEW_PRIVS | IFAB_WALL_PDEATHSIG | IFAB_WALL_NOT_DUMPABLE | IFAB_WALL_RLIMITS | IFAB_WALL_DESCRIPTORS | IFAB_WALL_SECCOMP)

/* Imports of the guest's module `if`: X(name, number, also in plan). Bit 1 << number in ifab_frame_load.imports. */
#define IFAB_IMPORT_MAP(X) \
    X(log, 0, 1)           \
    X(http, 1, 0)          \
    X(secret_ref, 2, 0)    \
    X(kv_get, 3, 0)        \
    X(kv_put, 4, 0)        \
    X(now, 5, 0)           \
    X(random, 6, 0)
#define IFAB_IMPORT_E_(name, number, plan) IFAB_IMPORT_##name = (number),
enum ifab_import { IFAB_IMPORT_MAP(IFAB_IMPORT_E_) IFAB_IMPORT_COUNT };
#undef IFAB_IMPORT_E_
#define IFAB_IMPORT_ALL ((1U << IFAB_IMPORT_COUNT) - 1)

/* How a call ended: X(name, number, text). KILLED is the daemon's own word for a worker that is gone; no frame carries it. */
#define IFAB_TRAP_MAP(X)                                                                                                \
    X(NONE, 0, "none")                                                                                                  \
    X(FUEL, 1, "fuel")               /* the grant is used up */                                                         \
    X(DEADLINE, 2, "deadline")       /* in the guest or while the daemon worked for it */                               \
    X(MEMORY, 3, "memory")           /* the guest's allocator gave nothing, or an instance had no room */               \
    X(STACK, 4, "stack")             /* 256 KiB of it */                                                                \
    X(OOB, 5, "oob")                 /* outside memory or table, or a pointer to the host that is */                    \
    X(UNREACHABLE, 6, "unreachable") /* the guest gave up: unreachable, division, wrong indirect call */                \
    X(HOST_DENIED, 7, "host_denied") /* an import not allowed in this call, too many of them, or ended by the daemon */ \
    X(KILLED, 8, "killed")
#define IFAB_TRAP_E_(name, number, text) IFAB_TRAP_##name = (number),
enum ifab_trap { IFAB_TRAP_MAP(IFAB_TRAP_E_) IFAB_TRAP_COUNT };
#undef IFAB_TRAP_E_

/* Why a module or artifact was not taken: X(name, number, text) */
#define IFAB_LOAD_ERROR_MAP(X)                                                                           \
    X(MALFORMED, 1, "malformed") /* not WebAssembly of the enabled features, or not an artifact */       \
    X(IMPORT, 2, "import")       /* the text is module.name: unknown, of another type, or not granted */ \
    X(EXPORT, 3, "export")       /* the text is the name: missing or of another type */                  \
    X(LIMIT, 4, "limit")         /* asks for more memory, table or functions than granted */             \
    X(START, 5, "start")         /* a start function: nothing of a guest runs but its calls */           \
    X(ENGINE, 6, "engine")       /* made by another engine, version or configuration */                  \
    X(INTERNAL, 7, "internal")   /* the worker itself: out of memory */
#define IFAB_LOAD_ERROR_E_(name, number, text) IFAB_LOAD_ERROR_##name = (number),
enum ifab_load_error { IFAB_LOAD_ERROR_MAP(IFAB_LOAD_ERROR_E_) };
#undef IFAB_LOAD_ERROR_E_

enum ifab_module_kind { IFAB_MODULE_WASM, IFAB_MODULE_ARTIFACT }; /* WASM: only the null engine of the tests takes it in LOAD */
enum ifab_export { IFAB_EXPORT_PLAN, IFAB_EXPORT_APPLY, IFAB_EXPORT_HEALTH, IFAB_EXPORT_COUNT };
enum ifab_sandbox_role { IFAB_SANDBOX_EXECUTE, IFAB_SANDBOX_PREPARE };

/* LOAD: u8 kind · u8 zero × 3 · u32 memory_pages · u32 table_elements · u32 slots · u32 imports · u32 cpu_seconds · module bytes (rest, ≥ 1) */
struct ifab_frame_load {
    enum ifab_module_kind kind;
    uint32_t memory_pages;   /* 64 KiB each, 1…256: the most the guest's memory may grow to */
    uint32_t table_elements; /* 0…65,536 */
    uint32_t slots;          /* instances that can live at once, 1…16; a worker runs one call at a time, so 1 is usual */
    uint32_t imports;        /* bits by enum ifab_import: what the signed manifest names; a module asking for another is refused */
    uint32_t cpu_seconds;    /* RLIMIT_CPU over the worker's whole life, 1…86,400: recycle before */
    struct ifab_view bytes;  /* borrowed */
};
#define IFAB_FRAME_PAGES_MAX 256U
#define IFAB_FRAME_TABLE_MAX 65536U
#define IFAB_FRAME_SLOTS_MAX 16U
#define IFAB_FRAME_CPU_MAX   86400U

/* COMPILE: module bytes (≥ 1), nothing else. The prepare worker's CPU limit is IFAB_FRAME_PREPARE_CPU seconds. */
#define IFAB_FRAME_PREPARE_CPU 120U

/* CALL: u8 export · u8 zero × 3 · u32 deadline_ms · u32 output_max · u32 host_calls_max · u64 fuel · input bytes (rest) */
struct ifab_frame_call {
    enum ifab_export export_; /* plan, apply or health: in plan and health only the import `log` may be called */
    uint32_t deadline_ms;     /* of the worker's CPU time, 1…3,600,000 */
    uint32_t output_max;      /* bytes of output, 0…IFAB_FRAME_OUTPUT_MAX; a longer one ends with OOB */
    uint32_t host_calls_max;  /* 0…2^32−1; one more ends with HOST_DENIED */
    uint64_t fuel;            /* 1…2^62 */
    struct ifab_view input;   /* borrowed; the guest's parameters, as bytes */
};
#define IFAB_FRAME_DEADLINE_MAX 3600000U
#define IFAB_FRAME_OUTPUT_MAX   (IFAB_FRAME_SMALL_MAX - 64U)
#define IFAB_FRAME_FUEL_MAX     (UINT64_C(1) << 62)

/* HOST_CALL: u8 import · u8 zero × 3 · u32 number · u32 length of a · a · u32 length of b · b */
struct ifab_frame_host_call {
    enum ifab_import import;
    uint32_t number;    /* log: level 0 debug … 3 error; random: bytes wanted, 1…IFAB_FRAME_RANDOM_MAX; else 0 */
    struct ifab_view a; /* borrowed. log: text; http: the request, JSON; secret_ref: name; kv_get, kv_put: key, ≥ 1 byte; else empty */
    struct ifab_view b; /* borrowed. kv_put: value; else empty */
};

/*
 * HOST_RESULT: u8 status · u8 zero × 3 · bytes (rest; empty unless OK)
 * bytes when OK: http: the response, JSON; secret_ref: a handle (a name, never the secret); kv_get: the value; now: u64 µs;
 * random: as many as asked for; log, kv_put: empty. X(name, number, text)
 */
#define IFAB_HOST_MAP(X)                                                                                               \
    X(OK, 0, "ok")                                                                                                     \
    X(REFUSED, 1, "refused")         /* by manifest, policy or type of the request: the guest sees −1 and goes on */ \
    X(NOT_FOUND, 2, "not_found")     /* −2 */                                                                        \
    X(TOO_LARGE, 3, "too_large")     /* −3 */                                                                        \
    X(LIMITED, 4, "limited")         /* rate or budget: −4 */                                                        \
    X(UNAVAILABLE, 5, "unavailable") /* the other side failed or its time was over: −5 */                            \
    X(DENIED, 6, "denied")           /* ends the call with HOST_DENIED (revoked, attacked) */                          \
    X(DEADLINE, 7, "deadline")       /* ends the call with DEADLINE */
#define IFAB_HOST_E_(name, number, text) IFAB_HOST_##name = (number),
enum ifab_host_status { IFAB_HOST_MAP(IFAB_HOST_E_) IFAB_HOST_COUNT };
#undef IFAB_HOST_E_
struct ifab_frame_host_result {
    enum ifab_host_status status;
    struct ifab_view bytes; /* borrowed */
};

/* BYE: empty. The worker exits 0. End of file on fd 0 between frames does the same. */

/* READY: u32 walls · u8 role · u8 zero × 3 · u8 length, engine · u8 length, version · u32 length, config; nothing after */
struct ifab_frame_ready {
    uint32_t walls; /* bits of enum ifab_wall that took effect */
    enum ifab_sandbox_role role;
    struct ifab_view engine, version; /* borrowed; 1…IFAB_FRAME_NAME_MAX bytes: "wasmtime", "48.0.8" */
    /* Borrowed; lines "name value", ≤ IFAB_FRAME_CONFIG_MAX: every setting of the engine and the CPU features it compiles for. Its SHA-256 is
     * part of the artifact's key; both roles of one build on one machine give the same text. Learn it at start from a prepare worker. */
    struct ifab_view config;
};

/* LOADED: u32 memory_pages (the module's minimum) · u32 imports (bits the module really asks for) */
struct ifab_frame_loaded {
    uint32_t memory_pages, imports;
};

/* LOAD_FAILED: u8 error · u8 zero × 3 · text (rest, ≤ IFAB_FRAME_TEXT_MAX) */
struct ifab_frame_load_failed {
    enum ifab_load_error error;
    struct ifab_view text; /* borrowed */
};

/* ARTIFACT: the bytes (≥ 1), nothing else: native code for the LOAD of this very engine and config. Keep it under a MAC. */

/* RESULT: u8 trap · u8 zero × 3 · u32 host_calls · u64 fuel_used · output (rest; with a trap a text ≤ IFAB_FRAME_TEXT_MAX) */
struct ifab_frame_result {
    enum ifab_trap trap;     /* never KILLED */
    uint32_t host_calls;     /* made by the guest, refused ones too */
    uint64_t fuel_used;      /* ≤ the grant; the whole grant after FUEL and DEADLINE */
    struct ifab_view output; /* borrowed; ≤ output_max of the call. UTF-8 is not promised: the guest wrote it */
};

struct ifab_frame {
    enum ifab_frame_type type;
    uint32_t call;            /* call id, 0 where the type has none */
    struct ifab_view payload; /* borrowed from the bytes it was read from */
};

/**
 * Take the first whole frame off the front of what has arrived.
 *
 * @param from      who wrote these bytes: types of the other side are refused
 * @param bytes     what has arrived and not been taken; any size
 * @param ret       written on IFAB_OK; its payload borrows from bytes
 * @param ret_size  IFAB_OK: bytes this frame took, head included. IFAB_AGAIN: bytes that must be there before asking again makes sense
 *                  (IFAB_FRAME_HEAD, or the whole frame; never above IFAB_FRAME_HEAD + the bound of the type)
 * @return IFAB_OK · IFAB_AGAIN more bytes are needed · IFAB_INVALID type, zero bytes or call id · IFAB_TOO_LARGE payload above its bound
 * Threads: any. The head is judged as soon as its twelve bytes are there, before a byte of payload is waited for.
 */
IFAB_MUST_CHECK ifab_status ifab_frame_read(enum ifab_frame_from from, struct ifab_view bytes, struct ifab_frame *ret, size_t *ret_size);

/* Payloads: IFAB_OK, or IFAB_INVALID for anything not exactly as described above, ranges included. Views in ret borrow from the frame. */
IFAB_MUST_CHECK ifab_status ifab_frame_load_read(const struct ifab_frame *frame, struct ifab_frame_load *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_call_read(const struct ifab_frame *frame, struct ifab_frame_call *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_host_call_read(const struct ifab_frame *frame, struct ifab_frame_host_call *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_host_result_read(const struct ifab_frame *frame, struct ifab_frame_host_result *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_ready_read(const struct ifab_frame *frame, struct ifab_frame_ready *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_loaded_read(const struct ifab_frame *frame, struct ifab_frame_loaded *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_load_failed_read(const struct ifab_frame *frame, struct ifab_frame_load_failed *ret);
IFAB_MUST_CHECK ifab_status ifab_frame_result_read(const struct ifab_frame *frame, struct ifab_frame_result *ret);

/* Are all values in their ranges? What reader and writer ask. */
bool ifab_frame_load_valid(const struct ifab_frame_load *load);
bool ifab_frame_call_valid(const struct ifab_frame_call *call);
bool ifab_frame_host_call_valid(const struct ifab_frame_host_call *call);
bool ifab_frame_host_result_valid(const struct ifab_frame_host_result *result);
bool ifab_frame_ready_valid(const struct ifab_frame_ready *ready);
bool ifab_frame_loaded_valid(const struct ifab_frame_loaded *loaded);
bool ifab_frame_load_failed_valid(const struct ifab_frame_load_failed *failed);
bool ifab_frame_result_valid(const struct ifab_frame_result *result);

/*
 * Writers: append one whole frame. IFAB_OK; IFAB_INVALID: a value out of its range (ours to prevent; nothing appended); IFAB_TOO_LARGE or
 * IFAB_NOMEM: the buffer's own failure, or a payload above its bound. What a writer writes the reader reads back equal.
 */
IFAB_MUST_CHECK ifab_status ifab_frame_load_write(struct ifab_buf *to, const struct ifab_frame_load *load);
IFAB_MUST_CHECK ifab_status ifab_frame_bytes_write(struct ifab_buf *to, enum ifab_frame_type type,
                                                   struct ifab_view bytes); /* COMPILE, ARTIFACT, BYE */
IFAB_MUST_CHECK ifab_status ifab_frame_call_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_call *body);
IFAB_MUST_CHECK ifab_status ifab_frame_host_call_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_host_call *body);
IFAB_MUST_CHECK ifab_status ifab_frame_host_result_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_host_result *body);
IFAB_MUST_CHECK ifab_status ifab_frame_ready_write(struct ifab_buf *to, const struct ifab_frame_ready *body);
IFAB_MUST_CHECK ifab_status ifab_frame_loaded_write(struct ifab_buf *to, const struct ifab_frame_loaded *body);
IFAB_MUST_CHECK ifab_status ifab_frame_load_failed_write(struct ifab_buf *to, const struct ifab_frame_load_failed *body);
IFAB_MUST_CHECK ifab_status ifab_frame_result_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_result *body);

const char *ifab_frame_type_name(enum ifab_frame_type type); /* static; "?" for none of them */
const char *ifab_trap_name(enum ifab_trap trap);
const char *ifab_load_error_name(enum ifab_load_error error);
const char *ifab_host_status_name(enum ifab_host_status status);
const char *ifab_import_name(enum ifab_import import);
/* The names of the bits of walls, joined by ' '; ret_text holds at least IFAB_WALL_TEXT bytes. */
#define IFAB_WALL_TEXT 128U
void ifab_wall_text(uint32_t walls, char ret_text[IFAB_WALL_TEXT]);
uint32_t ifab_wall_of(const char *name); /* its bit; 0: no wall */
#endif
