#ifndef POOL_POOL_H
#define POOL_POOL_H
/*
 * The daemon's side of the sandbox: starts worker processes, keeps warm ones, gives each call three stops, hands host calls to the daemon.
 * Everything runs on one loop thread; files of the artifact cache are read and written on libuv's own threads.
 *
 * 1. A worker serves one tenant = (talent number, manifest digest) with one module, one call at a time; a fresh instance each is the
 *    worker's promise. It ends after calls_per_worker calls, any trap, any kill, idle_ms (a second once it has stepped back), or to make room (the
 *    one idle longest). A tenant whose guests make workers end waits before its next one starts: rest_ms.
 * 2. A worker is trusted with nothing: a frame out of turn, malformed, too large, about another call, an import that was not granted, more host
 *    calls or fuel than granted, or walls below policy: SIGKILL, and the call ends with 501.
 * 3. Deadline, host calls included: at deadline - margin SIGALRM (or the waiting host call is answered with DEADLINE), at
 *    deadline + margin SIGKILL through the pidfd. Fuel and the worker's own CPU deadline are in CALL.
 * 4. Each accepted call ends in exactly one callback, later, never within the call of ours that caused it.
 * 5. Bounds: workers in all and a tenant, calls waiting in all and a tenant, compilers, bytes of input, output, artifact, cache, time for each step.
 */
#include "base/code.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/time.h"
#include "base/view.h"
#include "frame/frame.h"

#include <uv.h>

struct ifab_chassis;        /* the pool */
struct ifab_chassis_module; /* a module's bytes and, once prepared, its artifact; counted references; of one pool */

struct ifab_chassis_options {
    const char *execute_path, *prepare_path; /* absolute; copied. See ifab_chassis_program_path() */
    const char *cache_path;                  /* directory for artifacts, made 0700; NULL: no cache */
    uint8_t mac_key32[32];                   /* for the cache: ifab_signer_derive(log key, "artifact cache"); copied, wiped at the end */
    uint64_t cache_bytes;                    /* all files of the cache together */
    uint32_t walls;                          /* bits of enum ifab_wall that every worker must have; IFAB_WALL_MANDATORY at least */
    uint32_t workers, workers_per_tenant;    /* 1..256; 1..workers */
    uint32_t waiting, waiting_per_tenant;    /* calls that wait for a worker: 1..4,096; 1..waiting */
    uint32_t preparers;                      /* compilers at a time: 1..4; modules in the order in which they were first called */
    uint32_t calls_per_worker;               /* 1..1,000,000 */
    uint32_t wait_ms;                        /* longest a call waits for a worker, its start included: then 304 */
    uint32_t load_ms, prepare_ms;            /* LOAD sent to READY; start of a compiler to its artifact, best below wait_ms: then SIGKILL */
    uint32_t idle_ms;                        /* a worker without work ends */
    uint32_t margin_ms;                      /* around the deadline; at most half of it */
    uint32_t rest_ms;                        /* 0..10,000: before a worker of a tenant whose workers ended before their time starts; from the
                                                third such one on, up to eight times as long; forgotten after 200 times as long. 0: none */
    uint32_t worker_cpu_seconds;             /* RLIMIT_CPU over a worker's life; recycled before: see frame.h */
    size_t artifact_bytes;                   /* largest artifact taken, 1..IFAB_CHASSIS_ARTIFACT_MAX */
};
#define IFAB_CHASSIS_ARTIFACT_MAX ((size_t)IFAB_FRAME_LARGE_MAX - 64) /* LOAD has other fields in front */
/* Defaults for everything but paths and key: 16 workers, 2 a tenant, 1,024 waiting, 64 a tenant, 1 compiler, 10,000 calls, … */
void ifab_chassis_options_default(struct ifab_chassis_options *ret);
/* DIR/name where DIR is the running program's own directory, never PATH. IFAB_NOT_FOUND: no such program file there; IFAB_TOO_LARGE. */
ifab_status ifab_chassis_program_path(const char *name, char *ret_path, size_t size);

/* ---- Modules ---- */

/*
 * The daemon has verified manifest, publisher and allow-list; here the bytes must have the manifest's digest. wasm is copied.
 * IFAB_DENIED: another digest (204). IFAB_TOO_LARGE: above IFAB_FRAME_LARGE_MAX. IFAB_INVALID: empty. IFAB_NOMEM.
 */
ifab_status ifab_chassis_module_new(struct ifab_view wasm, const uint8_t wasm_sha256[32], struct ifab_chassis_module **ret_module,
                                    struct ifab_error *err);
struct ifab_chassis_module *ifab_chassis_module_ref(struct ifab_chassis_module *self);
void ifab_chassis_module_unref(struct ifab_chassis_module *self); /* accepts NULL */

/* ---- Calls ---- */

struct ifab_chassis_tenant {
    uint64_t talent; /* its number */
    uint8_t manifest32[32];
};

struct ifab_chassis_request {
    struct ifab_chassis_tenant tenant;
    struct ifab_chassis_module *module; /* borrowed; a reference is taken */
    uint32_t imports;                   /* bits by enum ifab_import: the manifest's imports[] */
    uint32_t memory_pages;              /* 64 KiB each, 1..256: limits.memory_mib × 16 */
    enum ifab_export export_;
    struct ifab_view input;  /* copied; ≤ IFAB_CHASSIS_INPUT_MAX */
    uint32_t deadline_ms;    /* 1..IFAB_FRAME_DEADLINE_MAX, from CALL on, host calls included */
    uint64_t fuel;           /* 1..IFAB_FRAME_FUEL_MAX */
    uint32_t output_max;     /* 0..IFAB_FRAME_OUTPUT_MAX: limits.response_kib × 1,024 */
    uint32_t host_calls_max; /* 1,000 is what the guest ABI says */
};
#define IFAB_CHASSIS_INPUT_MAX ((size_t)256 * 1024)

struct ifab_chassis_result {
    enum ifab_code code;     /* NONE: no trap, output is the guest's. 207 not such a module · 304 no worker in time · 500 501 502 · 201 revoked */
    enum ifab_trap trap;     /* NONE also where the call never began: see began */
    bool began;              /* CALL was sent: the guest may have had effects through host calls */
    uint32_t host_calls;     /* that reached the daemon */
    uint64_t fuel_used;      /* ≤ the grant; the whole grant after FUEL, DEADLINE, KILLED; 0 where it never began */
    ifab_usec wall;          /* CALL sent to the end, µs of a clock that only grows */
    struct ifab_view output; /* code NONE: ≤ output_max bytes of the guest's, UTF-8 not promised. Borrowed until the callback returns */
    const char *text;        /* code not NONE: why, printable ASCII. Borrowed likewise */
};
typedef void ifab_chassis_done_fn(void *user, uint64_t call, const struct ifab_chassis_result *result);

/*
 * Queue a call. ret_call names it until its callback; numbers are not used twice.
 * IFAB_OK: done will be called once. IFAB_FULL: 304. IFAB_INVALID: a value out of its range. IFAB_AGAIN: the pool is closing. IFAB_NOMEM.
 */
IFAB_MUST_CHECK ifab_status ifab_chassis_call(struct ifab_chassis *self, const struct ifab_chassis_request *request, ifab_chassis_done_fn *done,
                                              void *user, uint64_t *ret_call);
/* End a call from outside: trap KILLED with this code and text (copied). Returns whether it was there. Its callback comes later. */
bool ifab_chassis_cancel(struct ifab_chassis *self, uint64_t call, enum ifab_code code, const char *text);

/* ---- Host calls ---- */

struct ifab_chassis_host_call {
    uint64_t id; /* for the answer; of this one host call */
    uint64_t call;
    void *user; /* of ifab_chassis_call() */
    struct ifab_chassis_tenant tenant;
    enum ifab_export export_;
    const struct ifab_frame_host_call *args; /* borrowed until the handler returns */
    ifab_usec left;                          /* until the deadline, µs: the time that an HTTP exchange may take */
};
struct ifab_chassis_handlers {
    /* A guest asks. It is one of the imports granted; in plan and health only log. Answer now or later with ifab_chassis_host_result(). */
    void (*on_host_call)(void *user, const struct ifab_chassis_host_call *host_call);
    /* Nobody waits for this answer any more (deadline, revoked, worker gone): drop what was begun. Not called after an answer. */
    void (*on_host_gone)(void *user, uint64_t host_call);
    void *user;
};
/*
 * Answer a host call; bytes are copied, empty unless OK. IFAB_OK; IFAB_NOT_FOUND: nobody waits any more; IFAB_TOO_LARGE: above a frame: the
 * guest was told TOO_LARGE; IFAB_INVALID: a value out of its range, still to be answered.
 */
ifab_status ifab_chassis_host_result(struct ifab_chassis *self, uint64_t host_call, enum ifab_host_status status, struct ifab_view bytes);

/* ---- Life ---- */

/*
 * loop must outlive the pool. Starts a compiler to learn the engine. IFAB_UNSUPPORTED (509): a program is not there, or this kernel has no pidfd;
 * IFAB_INVALID: an option out of its range; IFAB_IO: the cache's directory; IFAB_NOMEM.
 */
ifab_status ifab_chassis_new(uv_loop_t *loop, const struct ifab_chassis_options *options, const struct ifab_chassis_handlers *handlers,
                             struct ifab_chassis **ret_chassis, struct ifab_error *err);
/* Kill all workers, end all calls (their callbacks come), reap, then free and call closed. No call after this. Accepts NULL: no callback. */
void ifab_chassis_close(struct ifab_chassis *self, void (*closed)(void *user), void *user);

/*
 * End everything of this manifest now: workers killed, running and waiting calls 201, pending host calls gone (INV-07). Returns how many
 * calls. The caller drops its reference of the module.
 */
size_t ifab_chassis_revoke(struct ifab_chassis *self, const uint8_t manifest32[32]);
size_t ifab_chassis_revoke_talent(struct ifab_chassis *self, uint64_t talent); /* the same for everything of a talent */

struct ifab_chassis_stats {
    uint32_t workers, idle, busy, waiting, preparing;   /* now */
    uint64_t started, killed, calls, traps, host_calls; /* since the pool was made */
    uint64_t refused_walls, wrong_frames, deadline_kills;
    uint64_t stepped_back;                              /* processes that the kernel let step back */
    uint64_t compiled, cache_hits, cache_misses, cache_bad; /* cache_bad: files whose MAC was wrong, removed */
};
void ifab_chassis_stats(const struct ifab_chassis *self, struct ifab_chassis_stats *ret);
/* Engine as the compiler said it at start: "wasmtime 48.0.8", the walls it had. false: not known yet, or no worker ever stood. */
bool ifab_chassis_engine(const struct ifab_chassis *self, char ret_engine[2 * IFAB_FRAME_NAME_MAX + 2], uint32_t *ret_walls);
#endif
