#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H
/*
 * One call of a capability's guest, from its input to its answer: the sandbox pool, and what the guest asks of the daemon meanwhile (HTTP through
 * egress, names of secrets, keys and values, time, random bytes, lines for the operator). docs/formats/guest-abi.md; INV-07, INV-08, INV-09.
 * It decides nothing: whoever calls has looked at grant, limits and budget, and has the intent on stable storage (INV-04).
 *
 * Threads: the loop's alone. Each accepted call ends in exactly one `done`, later.
 */
#include "base/code.h"
#include "base/status.h"
#include "base/time.h"
#include "base/view.h"
#include "capability/manifest.h"
#include "fabric/fabric.h"

#include <uv.h>

struct ifab_guests;
struct ifab_chassis_module; /* a module's bytes: counted references */

enum ifab_guest_task { IFAB_GUEST_PLAN, IFAB_GUEST_APPLY, IFAB_GUEST_DRY_RUN, IFAB_GUEST_HEALTH };
struct ifab_guest_call { /* all borrowed until ifab_guest_begin() returns */
    enum ifab_guest_task task;
    const struct ifab_manifest *manifest;
    const struct ifab_operation *operation; /* NULL: health */
    struct ifab_view params;                /* canonical JSON object */
    struct ifab_view config;                /* canonical JSON object: values of requires_config; may be empty */
    struct ifab_view talent;                /* name */
    uint32_t talent_number;
    struct ifab_view plan_id;               /* "plan-…": key of what is idempotent; may be empty */
    uint8_t trace16[16];
    struct ifab_chassis_module *module;
};
struct ifab_guest_answer { /* views borrowed until done returns */
    enum ifab_call_end end;
    enum ifab_code code;      /* the pool's own, where end is not OK; else NONE */
    uint64_t fuel;
    ifab_usec took;
    uint32_t host_calls;      /* that reached outside */
    struct ifab_view text;    /* end not OK: what went wrong, redacted, at most 256 bytes */
    struct ifab_view output;  /* APPLY, DRY_RUN, HEALTH: the guest's result, canonical JSON, redacted; PLAN: {"effects","summary"} */
    struct ifab_view summary; /* PLAN: redacted; may be empty */
    bool has_cost;            /* what the guest says it will cost, or did */
    struct ifab_cost cost;
};
typedef void ifab_guest_done_fn(void *user, const struct ifab_guest_answer *answer);

struct ifab_guest_exception { /* the operator's: this capability may reach this net on this port. Texts: "if://capability/…", "10.0.0.0/8" */
    const char *capability, *net;
    uint16_t port;
};
struct ifab_guest_options { /* copied, texts too; handlers are called on the loop */
    uv_loop_t *loop;
    const char *execute_path, *prepare_path; /* absolute; NULL: if-sandbox, if-sandbox-prepare beside this program */
    const char *cache_path;                  /* of compiled modules */
    uint8_t mac_key32[32];
    uint32_t workers;                        /* 0: the default */
    uint32_t walls;                          /* ifab_guests_wall() of those that must stand beside the mandatory ones */
    const char *ca_file;                     /* NULL: the system's authorities */
    const struct ifab_guest_exception *exceptions;
    size_t exception_count;
    const char *const *listeners;            /* "ADDRESS:PORT" of this daemon; never reached */
    size_t listener_count;
    void *user;
    ifab_usec (*wall)(void *user);
    /* A live secret of this name: its version; 0: none. */
    uint32_t (*secret)(void *user, struct ifab_view name);
    /* May its value go there? call: the user of ifab_guest_begin(). Answered by ifab_guest_secret(), when that stands in the log. */
    void (*ask)(void *user, uint64_t question, enum ifab_guest_task task, void *call, struct ifab_view name, struct ifab_view origin);
    /* Lends the value for the length of use(); returns what use returns. IFAB_DENIED, IFAB_NOT_FOUND: use is not called. */
    ifab_status (*lend)(void *user, struct ifab_view name, struct ifab_view origin, ifab_status (*use)(void *use_user, struct ifab_view value),
                        void *use_user);
    void (*line)(void *user, struct ifab_view capability, uint32_t talent, unsigned level, struct ifab_view text); /* redacted */
};
/* IFAB_UNSUPPORTED: built or installed without the sandbox (509); IFAB_INVALID: an exception or a listener; IFAB_DENIED: others may look into the cache;
 * IFAB_IO, IFAB_NOMEM. */
ifab_status ifab_guests_new(const struct ifab_guest_options *options, struct ifab_guests **ret_guests, struct ifab_error *err);
/* Ends all calls (their done comes), then frees. closed is called once nothing runs any more. */
void ifab_guests_close(struct ifab_guests *self, void (*closed)(void *user), void *user);

/* What stands around guests, and what went wrong with it since the start. */
struct ifab_guest_sandbox {
    char engine[72]; /* "wasmtime 48.0.8"; "": not told yet */
    uint32_t walls;  /* ifab_guests_wall() of those of the process that told it */
    uint32_t workers;
    uint64_t refused_walls, wrong_frames, deadline_kills, cache_bad;
};
void ifab_guests_sandbox(const struct ifab_guests *self, struct ifab_guest_sandbox *ret);
#define IFAB_GUEST_WALLS 8 /* so many there are */
uint32_t ifab_guests_wall(const char *name); /* the bit of a wall by its name in docs/formats/sandbox.md; 0: no wall */

/* The bytes must have this digest: IFAB_DENIED. */
ifab_status ifab_guests_module(struct ifab_view wasm, const uint8_t sha256[32], struct ifab_chassis_module **ret_module, struct ifab_error *err);
void ifab_guests_module_drop(struct ifab_chassis_module *module);

/* IFAB_FULL: no room; IFAB_INVALID, IFAB_AGAIN (closing), IFAB_NOMEM: done will not come, nothing was begun. */
IFAB_MUST_CHECK ifab_status ifab_guest_begin(struct ifab_guests *self, const struct ifab_guest_call *call, ifab_guest_done_fn *done, void *user);
/* code: NONE, or why it is not lent: PERMISSION_DENIED, SECRET_NOT_FOUND, or what failed. */
void ifab_guest_secret(struct ifab_guests *self, uint64_t question, enum ifab_code code);
/* INV-07: everything of this manifest ends now, instances that wait warm too. */
void ifab_guests_revoke(struct ifab_guests *self, const uint8_t manifest32[32]);
/* And every call that may not run any more, with what it is asking outside. may: talent 0 is the fabric's own look at a capability's health. */
void ifab_guests_review(struct ifab_guests *self, bool (*may)(void *user, uint32_t talent, const struct ifab_manifest *manifest), void *user);
/*
 * The registry or a talent has changed. good is asked of each manifest that runs (talent 0) and of each pair that keeps keys and values, whether its
 * module is still held or not. Calls of what is not good end; keys and values of it go.
 */
typedef bool ifab_guest_good_fn(void *user, uint32_t talent, const uint8_t manifest32[32]);
void ifab_guests_recheck(struct ifab_guests *self, ifab_guest_good_fn *good, void *user);
/* Values that no answer from outside may hold, one after the other, IFAB_GUEST_LIVE_MAX at most; called anew whenever a secret has changed, and
 * later again where it failed: until one succeeds nothing is sent (503). each and user: as long as self. */
#define IFAB_GUEST_LIVE_MAX 2112
typedef void ifab_guest_live_fn(void *user, bool (*take)(void *take_user, struct ifab_view value), void *take_user);
ifab_status ifab_guests_set_live(struct ifab_guests *self, ifab_guest_live_fn *each, void *user);

/* answer.c, pure: what a guest's output says. false: it is not an answer of the guest ABI. Views in arena. */
struct ifab_arena;
bool ifab_guest_read(enum ifab_guest_task task, struct ifab_view output, struct ifab_arena *arena, struct ifab_guest_answer *ret_answer);
#endif
