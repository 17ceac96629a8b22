#ifndef POOL_INTERNAL_H
#define POOL_INTERNAL_H
/*
 * Between the pool's files. Who frees what: a worker frees itself when its process is reaped and its handles are closed; a call when its callback
 * has run; a module with its last reference (calls, compilers and file jobs hold one).
 * Nothing here calls a callback of the user's but ifab_chassis__settle(), which runs at the end of every uv callback of ours, and
 * on_host_call from the frame that asks.
 */
#include "base/map.h"
#include "pool/artifact.h"
#include "pool/pool.h"

#include <sys/types.h>

#define CHASSIS_TEXT         IFAB_FRAME_TEXT_MAX
#define CHASSIS_STRIKES_FREE 2U    /* so many are nobody's fault: the next worker comes at once */
#define CHASSIS_STRIKES_MOST 6U
#define CHASSIS_FORGET_RESTS 200U  /* so many rests without another one, and they are forgotten */

/* LOADING → IDLE ⇄ BUSY (execute); STARTING → COMPILING (prepare); any → DYING (killed, or gone), then it is reaped and freed. */
enum chassis_state { CHASSIS_LOADING, CHASSIS_IDLE, CHASSIS_BUSY, CHASSIS_STARTING, CHASSIS_COMPILING, CHASSIS_DYING };

/* NONE → WANTED (waits for engine and a file thread) → READING → MISSING (waits for a compiler) → COMPILING → HELD | FAILED; a failure
 * that another try may mend leaves NONE behind. */
enum chassis_prepared { CHASSIS_NONE, CHASSIS_WANTED, CHASSIS_READING, CHASSIS_MISSING, CHASSIS_COMPILE, CHASSIS_HELD, CHASSIS_FAILED };

struct ifab_chassis_module {
    unsigned refs;
    uint8_t wasm_sha256[32];
    struct ifab_buf wasm;
    enum chassis_prepared state;
    struct ifab_buf artifact; /* HELD */
    enum ifab_code code;      /* FAILED */
    char text[CHASSIS_TEXT + 1];
    unsigned tries;                   /* compilers that failed over it in a row */
    struct ifab_chassis_module *next; /* in the pool's list while WANTED..COMPILE; the list holds a reference */
};

struct chassis_process {
    pid_t pid;
    int pidfd, fd; /* fd: our end of the socket */
};

/* What its calls and workers share; there while it has any. So what a waiting call may hope for costs no walk over all workers. */
struct chassis_tenant {
    struct ifab_chassis_tenant id;
    uint32_t refs;       /* calls, workers that are not dying */
    uint32_t waiting;    /* calls */
    uint32_t live, idle; /* execute workers */
    uint64_t passed;     /* the pump that found no worker for it: its other calls need not ask */
    unsigned strikes;    /* its workers that had to end before their time, up to CHASSIS_STRIKES_MOST; forgotten when none came for a while */
    uint64_t rests_until, struck; /* uv_now() ms: no worker of it is started before; when the last one ended so */
    struct chassis_tenant *next_struck; /* in the pool's list while it has strikes, which holds a reference */
};

struct chassis_list;
struct chassis_call {
    uint64_t id;
    struct chassis_list *list; /* the one it is in: waiting, bound or ended */
    struct chassis_call *prev, *next;
    struct chassis_tenant *tenant;       /* a reference */
    struct ifab_chassis_request request; /* input: of `input` */
    struct ifab_buf input;
    uint8_t load32[32]; /* what the worker must have loaded */
    ifab_chassis_done_fn *done;
    void *user;
    struct chassis_worker *worker; /* bound to it: loading for it, or running it */
    uint64_t waits_until;          /* uv_now() ms */
    uint64_t began_nsec;           /* uv_hrtime() */
    uint64_t gone_host;            /* on_host_gone is owed */
    struct ifab_chassis_result result;
    struct ifab_buf output;
    char text[CHASSIS_TEXT + 1];
};
struct chassis_list {
    struct chassis_call *first, *last;
    uint32_t count;
    bool waits; /* its calls count as their tenants' waiting ones */
};

struct chassis_worker {
    struct ifab_chassis *pool;
    struct chassis_worker *prev, *next;
    enum ifab_sandbox_role role;
    enum chassis_state state;
    struct chassis_process process;
    bool exited;        /* and reaped */
    uv_poll_t io, gone; /* data NULL: not open */
    uv_timer_t timer;
    unsigned handles; /* not yet closed */
    struct ifab_buf in, out;
    size_t out_at, in_want, in_max;
    bool polls_out, loaded;
    /* execute */
    struct chassis_tenant *shared; /* a reference, until it dies; NULL: a compiler */
    struct ifab_chassis_tenant tenant;
    uint8_t load32[32];
    uint32_t imports, cpu_seconds, served, frame_call, host_calls;
    uint64_t busy_msec, idle_since;
    uint64_t ready_nsec, served_nsec; /* CPU that it had used once loaded; wall of the calls that have ended since, which is more than their CPU */
    struct chassis_call *call;
    uint64_t host_id; /* a host call waits for its answer; 0: none */
    bool soft_passed, stepped_back;
    /* prepare; NULL: it only tells the engine */
    struct ifab_chassis_module *module;
};

struct chassis_engine {
    bool known;
    char name[IFAB_FRAME_NAME_MAX + 1], version[IFAB_FRAME_NAME_MAX + 1];
    uint8_t config32[32];
    uint32_t walls;
    struct ifab_buf config;
};

struct ifab_chassis {
    uv_loop_t *loop;
    struct ifab_chassis_options options;
    char *execute_path, *prepare_path; /* owned */
    struct ifab_chassis_handlers handlers;
    struct ifab_artifact_cache *cache; /* NULL: none */
    struct chassis_engine engine;
    struct chassis_worker *workers; /* all of them, dying ones too */
    uint32_t dying, live, idle;     /* live, idle: execute workers */
    struct ifab_map tenants;        /* talent and manifest → struct chassis_tenant */
    struct chassis_tenant *struck;  /* each with strikes */
    uint64_t forget_at;             /* uv_now() ms: they are looked at then */
    uint64_t pumps;
    struct chassis_list waiting, bound, ended; /* bound: of a worker; ended: its callback is owed */
    struct ifab_chassis_module *modules;       /* being prepared */
    struct ifab_u64map calls;                  /* id → struct chassis_call of waiting and bound */
    uint64_t call_ids, host_ids, uses;
    uint32_t frame_calls;
    unsigned jobs; /* on libuv's threads */
    uv_timer_t soon, expiry;
    bool closing, freeing;
    bool wants_engine; /* until a compiler has told it, or failed to */
    unsigned handles;
    void (*closed)(void *user);
    void *closed_user;
    struct ifab_chassis_stats stats;
};

/* spawn.c */
ifab_status ifab_chassis__spawn(const char *path, struct chassis_process *ret, struct ifab_error *err);
void ifab_chassis__signal(const struct chassis_process *self, int signal_number); /* through the pidfd */
uint64_t ifab_chassis__cpu(const struct chassis_process *self);                   /* ns that it has used; 0: not known */
bool ifab_chassis__step_back(const struct chassis_process *self);                 /* less of a busy CPU from now on, for good; false: the kernel refuses */
bool ifab_chassis__reap(const struct chassis_process *self);                      /* true: it has ended and is reaped */
void ifab_chassis__wait(const struct chassis_process *self);                      /* until it has ended, for one that was killed */

/* worker.c */
ifab_status ifab_chassis__worker_start(struct ifab_chassis *pool, enum ifab_sandbox_role role, struct chassis_worker **ret, struct ifab_error *err);
/* SIGKILL; whatever it did for a call or a module must have been taken from it before. Does nothing to a dying one. */
void ifab_chassis__worker_kill(struct chassis_worker *self);
/* Every change of a worker's state but the first goes through here: it is counted. */
void ifab_chassis__worker_state(struct chassis_worker *self, enum chassis_state state);
void ifab_chassis__worker_timer(struct chassis_worker *self, uint64_t msec);
/* Sends what is in self->out, now or when there is room. false: the other side is gone. */
bool ifab_chassis__worker_flush(struct chassis_worker *self);
/* The worker went wrong or away: kills it and ends what it was doing. */
void ifab_chassis__worker_failed(struct chassis_worker *self, enum ifab_code code, const char *text);
/* Checks READY against role and policy; text says what is wrong. */
bool ifab_chassis__ready(struct chassis_worker *self, const struct ifab_frame *frame, struct ifab_frame_ready *ret, char ret_text[CHASSIS_TEXT + 1]);

/* execute.c: an execute worker's life */
bool ifab_chassis__execute_start(struct ifab_chassis *pool, struct chassis_call *call, struct ifab_error *err); /* loading for this call */
void ifab_chassis__execute_call(struct chassis_worker *self, struct chassis_call *call);
void ifab_chassis__execute_frame(struct chassis_worker *self, const struct ifab_frame *frame);
void ifab_chassis__execute_timer(struct chassis_worker *self);

/* prepare.c: modules, compilers, files */
void ifab_chassis__want(struct ifab_chassis *pool, struct ifab_chassis_module *module);
void ifab_chassis__prepare_pump(struct ifab_chassis *pool);
void ifab_chassis__prepare_frame(struct chassis_worker *self, const struct ifab_frame *frame);
void ifab_chassis__prepare_failed(struct chassis_worker *self, enum ifab_code code, const char *text, bool for_good);
void ifab_chassis__prepare_forget(struct ifab_chassis *pool); /* closing: nobody waits for a module any more */
/* The engine is another one than was known: it is learned anew, and this module compiled anew. */
void ifab_chassis__engine_changed(struct ifab_chassis *pool, struct ifab_chassis_module *module);
bool ifab_chassis__engine_is(const struct ifab_chassis *pool, const struct ifab_frame_ready *ready);

/* call.c */
/* Ends a waiting or bound call: its callback is owed from now on. A worker bound to it is let go of, not killed. */
void ifab_chassis__finish(struct ifab_chassis *pool, struct chassis_call *call, enum ifab_code code, enum ifab_trap trap, const char *text);
void ifab_chassis__settle(struct ifab_chassis *pool); /* only from uv callbacks */
void ifab_chassis__soon(struct ifab_chassis *pool);   /* settle in the loop's next turn */
void ifab_chassis__pump(struct ifab_chassis *pool);   /* waiting calls get workers */

/* tenant.c */
/* A reference; NULL: no memory. */
struct chassis_tenant *ifab_chassis__tenant(struct ifab_chassis *pool, const struct ifab_chassis_tenant *id);
void ifab_chassis__tenant_drop(struct ifab_chassis *pool, struct chassis_tenant *tenant); /* accepts NULL */
/* A guest of this tenant made its worker end before its time: a trap, what it was killed for, a module that would not load. The next ones rest before they start. */
void ifab_chassis__strike(struct ifab_chassis *pool, struct chassis_tenant *tenant); /* accepts NULL */
void ifab_chassis__started(struct ifab_chassis *pool, struct chassis_tenant *tenant); /* a worker of it: the next one rests as well */
bool ifab_chassis__is_noisy(const struct chassis_tenant *tenant);                    /* its workers start stepped back */
void ifab_chassis__forget(struct ifab_chassis *pool, uint64_t now);                  /* strikes of long ago; all, when the pool closes */

/* pool.c */
void ifab_chassis__close_step(struct ifab_chassis *pool); /* frees it once nothing is left */
#endif
