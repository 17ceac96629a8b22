#ifndef CAPABILITY_PLAN_H
#define CAPABILITY_PLAN_H
/*
 * Plans: what a talent means to have a capability do, fixed before it is done. DESIGN section 5 Chassis; INV-04, INV-07. Pure.
 *
 *   PLANNED --apply--> APPLYING --outcome--> DONE            a plan is applied once, by its own talent, until it expires
 *   PLANNED --dry run--> TRYING --outcome--> PLANNED         reads only; nothing is used up
 *   APPLYING --start without an outcome--> DANGLING --a person says what became of it--> gone
 *   DANGLING --apply, of what may be done twice--> AGAIN --outcome--> DONE, or DANGLING when it was not begun
 *   PLANNED --refused by a vote--> DENIED
 *
 * PLANNED, DENIED and DONE are forgotten when the plan expires, of the last two the oldest sooner where there are many; APPLYING, AGAIN and DANGLING
 * never by themselves: they are an intent without an outcome.
 * A plan whose effect must be approved names the message that asks for it; the vote binds that message, which holds the plan's hash.
 *
 *   PLAN  kind 28 of the store, packed; not a trust record
 */
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"

#define IFAB_PLAN_LIFE        (600 * IFAB_SECOND) /* wall: from plan to apply */
#define IFAB_PLAN_MAX         10000               /* open ones in all; 305 */
#define IFAB_PLAN_PER_TALENT  64                  /* open ones */
#define IFAB_PLAN_ENDED_MAX   1024                /* DONE and DENIED that are still known */
#define IFAB_PLAN_PARAMS_MAX  16384 /* bytes of canonical JSON */
#define IFAB_PLAN_EFFECTS_MAX 16384 /* bytes of what a guest says it will do: kept in the plan's entry */
#define IFAB_PLAN_BYTES_MAX   (64U << 20) /* of all plans together; 305 */
#define IFAB_PLAN_PACKED_MAX  (IFAB_PLAN_PARAMS_MAX + 1024)

/* X(NAME, "word"): the order is on disk. */
#define IFAB_PLAN_STATE_MAP(X)                                                                                              \
    X(PLANNED, "planned") X(TRYING, "trying") X(APPLYING, "applying") X(DONE, "done") X(DANGLING, "dangling") X(DENIED, "denied") \
    X(AGAIN, "applying-again")
#define IFAB_C_(name, text) IFAB_PLAN_##name,
enum ifab_plan_state { IFAB_PLAN_STATE_MAP(IFAB_C_) IFAB_PLAN_STATE_COUNT };
#undef IFAB_C_
const char *ifab_plan_state_name(enum ifab_plan_state state);

struct ifab_plan { /* views: owned by the table, valid until the next load of this number */
    uint64_t number;
    enum ifab_plan_state state;
    uint32_t talent;
    uint32_t votes;             /* an approval needs so many; 0: none is needed */
    bool approved;              /* its message was released */
    bool idempotent;            /* may be done twice, with its id as key */
    uint8_t effect;             /* of the operation: enum of capability/manifest.h */
    uint8_t id16[16];           /* "plan-" + UUID */
    uint8_t hash32[32], manifest32[32], policy32[32];
    uint8_t trace16[16];
    uint8_t message32[32];      /* digest of the message that asks for approval; zero: none yet. An id can come again, a digest cannot */
    uint8_t message16[16];      /* and its id, for people */
    ifab_usec created, expires; /* wall, whole milliseconds */
    uint64_t index;             /* of the plan's entry: its why */
    uint64_t intent;            /* of the entry of the apply (or dry run) under way, or last; 0: none */
    ifab_usec started;          /* wall: of that */
    uint64_t reservation;       /* number; 0: none */
    uint64_t usd_micro, tokens, calls; /* what it may cost: <= 2^53-1 */
    struct ifab_view capability;       /* "if://capability/ID@VERSION" */
    struct ifab_view operation, params; /* params: canonical JSON, defaults filled in */
};
/* Bytes written, at most IFAB_PLAN_PACKED_MAX; operation and params are within their bounds. */
size_t ifab_plan_pack(const struct ifab_plan *plan, uint8_t ret_bytes[IFAB_PLAN_PACKED_MAX]);
bool ifab_plan_unpack(struct ifab_view bytes, uint64_t number, struct ifab_plan *ret_plan); /* views point into bytes; one spelling a plan */

/*
 * SHA-256("IF-PLAN-v1\n" + canonical {capability, cost, expires_at, log, manifest, operation, params, plan_id, policy_digest, scopes, talent, v}):
 * appends the canonical form to buf and gives its digest. Everything that apply will look at again is in it. scopes: sorted, as the manifest has them.
 */
struct ifab_plan_facts {
    struct ifab_view log, talent;
    const struct ifab_view *scopes;
    size_t scope_count;
};
IFAB_MUST_CHECK ifab_status ifab_plan_hash(const struct ifab_plan *plan, const struct ifab_plan_facts *facts, struct ifab_buf *buf, uint8_t ret_hash32[32]);

struct ifab_plans;
ifab_status ifab_plans_new(uint64_t seed, struct ifab_plans **ret);
void ifab_plans_free(struct ifab_plans *self); /* accepts NULL */
/* Take a record in, or away when it has no bytes. IFAB_CORRUPT: no such record, hash or message of another; IFAB_NOMEM. Nothing has changed then. */
IFAB_MUST_CHECK ifab_status ifab_plans_load(struct ifab_plans *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
const struct ifab_plan *ifab_plan_by_hash(const struct ifab_plans *self, const uint8_t hash32[32]);       /* NULL: none */
const struct ifab_plan *ifab_plan_by_message(const struct ifab_plans *self, const uint8_t message32[32]); /* whose approval it asks for */
const struct ifab_plan *ifab_plan_at(const struct ifab_plans *self, uint64_t number);
const struct ifab_plan *ifab_plan_next(const struct ifab_plans *self, uint64_t number); /* above this number, in order */
size_t ifab_plans_count(const struct ifab_plans *self);
bool ifab_plan_is_running(const struct ifab_plan *plan); /* APPLYING, AGAIN, TRYING: no outcome yet */
size_t ifab_plans_open(const struct ifab_plans *self);   /* how many of these */
/* The oldest that has ended where there are IFAB_PLAN_ENDED_MAX of them: it makes room for the next. 0: none has to. */
uint64_t ifab_plans_spare(const struct ifab_plans *self);
/* Of one capability (without its version), those that run: for its limit of concurrency. */
size_t ifab_plans_applying(const struct ifab_plans *self, struct ifab_view capability);
/* NONE; 305: too many, of this talent, in all, or too many bytes. */
enum ifab_code ifab_plans_room(const struct ifab_plans *self, uint32_t talent, size_t bytes, struct ifab_refusal *ret_refusal);
/* Numbers of those that have expired and can be forgotten, in order of number, at most max; *ret_due, wall: when the next one will be. Plans live
   equally long: where the clock was set back a younger one waits for the older. */
size_t ifab_plans_expired(const struct ifab_plans *self, ifab_usec wall, uint64_t *ret_numbers, size_t max, ifab_usec *ret_due);
#endif
