#ifndef COORDINATOR_COORDINATOR_H
#define COORDINATOR_COORDINATOR_H
/*
 * Swarms and tasks: who may do what, and that each task is done by one. DESIGN section 5 Coordinator; INV-11. Pure.
 *
 * A swarm is a trust record (who may act for it), canonical JSON. A task is one packed record; what may become of it is one table (task_state.c).
 * Every claim carries a fence, the index of its entry plus the incarnation's offset: it only grows, and whoever holds an older one is refused.
 * Queues are by account: a swarm's own, or those of the talents whose tasks are open to all. Among the tasks a claimer may take, the account and
 * priority that was served least for its weight goes first (start-time fair queueing, docs/decisions/fair-claims.md); within one, the oldest.
 * Times: leases in run, what a person wrote (not before, deadline) in wall.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/id.h"
#include "base/map.h"
#include "base/time.h"
#include "coordinator/names.h"

/* Three kinds of numbers that must not be mixed up: types of their own, so that swapping two does not compile. */
struct ifab_task_number { uint64_t n; };  /* of the record; 0: none */
struct ifab_swarm_number { uint64_t n; }; /* of the record; 0: none */
struct ifab_fence { uint64_t n; };        /* 0: none */

/* ---- states: X(NAME, "text", owned, open) ---- */
#define IFAB_TASK_STATE_MAP(X)              \
    X(QUEUED, "queued", false, true)        \
    X(CLAIMED, "claimed", true, true)       \
    X(RUNNING, "running", true, true)       \
    X(BLOCKED, "blocked", true, true)       \
    X(DEAD, "dead", false, true)            \
    X(DONE, "done", false, false)           \
    X(CANCELLED, "cancelled", false, false)
enum ifab_task_state {
    IFAB_TASK_NONE = 0,
#define IFAB_T_(name, text, owned, open) IFAB_TASK_##name,
    IFAB_TASK_STATE_MAP(IFAB_T_)
#undef IFAB_T_
        IFAB_TASK_STATE_COUNT
};
/* What can happen to a task. */
enum ifab_task_event {
    IFAB_TASK_CLAIM,    /* a worker takes it */
    IFAB_TASK_GIVE_BACK, /* it was claimed, and nobody heard of it: as if it had not been */
    IFAB_TASK_RENEW,
    IFAB_TASK_PROGRESS,
    IFAB_TASK_COMPLETE,
    IFAB_TASK_FAIL,     /* transient: again, another attempt */
    IFAB_TASK_SHUTDOWN, /* the worker ends: again, the same attempt */
    IFAB_TASK_POISON,   /* it can never be done: dead */
    IFAB_TASK_EXPIRE,   /* its lease ran out: again, another attempt */
    IFAB_TASK_EXHAUST,  /* FAIL or EXPIRE at the last attempt */
    IFAB_TASK_LATE,     /* its deadline passed */
    IFAB_TASK_ORPHAN,   /* what it waits for was cancelled */
    IFAB_TASK_SHED,     /* its queue was full, and this was the least of it */
    IFAB_TASK_BLOCK,
    IFAB_TASK_UNBLOCK,
    IFAB_TASK_YIELD,    /* blocked in a circle: it gives way, the same attempt */
    IFAB_TASK_CANCEL,
    IFAB_TASK_REPLAY,   /* a person gives a dead one another life */
    IFAB_TASK_EVENT_COUNT
};
const char *ifab_task_state_name(enum ifab_task_state state);
enum ifab_task_state ifab_task_state_parse(struct ifab_view name); /* NONE: no such state */
bool ifab_task_owned(enum ifab_task_state state);                  /* has an owner, a fence that counts, and a lease */
bool ifab_task_open(enum ifab_task_state state);                   /* has a record still; dead ones wait for a person */
/* The one table of transitions. NONE: not possible in this state (605). */
bool ifab_task_by_holder(enum ifab_task_event event); /* needs the fence that counts */
enum ifab_task_state ifab_task_next(enum ifab_task_state state, enum ifab_task_event event);

/* ---- a task: one record of kind TASK ---- */
#define IFAB_TASK_NEEDS_MAX      16
#define IFAB_TASK_NEEDS_SIZE     256 /* bytes of their names together, each with one more; of what is missing as well */
#define IFAB_TASK_SKILLS_SIZE    384 /* of both together */
#define IFAB_TASK_DEPENDS_MAX    16
#define IFAB_TASK_DEPENDENTS_MAX 256 /* how many may wait for one: so many records change when it is done */
#define IFAB_TASK_ATTEMPTS_MAX   100
#define IFAB_TASK_HELPERS_MAX    2
#define IFAB_TASK_DEPTH_MAX      3 /* of help for helpers; beyond it a person is asked */
#define IFAB_TASK_LEASE_MIN      (100 * (ifab_usec)1000)
#define IFAB_TASK_LEASE_MAX      IFAB_HOUR
#define IFAB_TASK_LEASE_DEFAULT  (30 * IFAB_SECOND)
#define IFAB_TASK_LEASE_AT_START IFAB_MINUTE /* after a start a lease gets its own length again, at most this */
#define IFAB_TASK_PAYLOAD_MAX    65536
#define IFAB_PRIORITIES          4
#define IFAB_COUNT_OF_UNITS      3                    /* usd_micro, tokens, calls */
#define IFAB_AMOUNT_MAX          INT64_C(9007199254740991) /* 2^53 - 1: INV-10 */
struct ifab_task_principal { /* who acts: a talent, or, with talent 0, a person at the socket */
    uint32_t talent, uid;
};
struct ifab_task {
    struct ifab_task_number number;
    char id[IFAB_NAME_MAX + 1], type[IFAB_NAME_MAX + 1];
    enum ifab_task_state state;
    uint8_t priority; /* 0 (P0) .. 3 */
    bool minted;      /* the id is one of ours: nobody else makes it again */
    bool told;        /* claimed: its holder has asked again and been answered, so it is not given back */
    char needs[IFAB_TASK_SKILLS_SIZE]; /* packed; and behind them its wants */
    uint16_t needs_size, wants_size;   /* wants: what is missing of a blocked one while nobody could be asked for it */
    struct ifab_swarm_number queue; /* whose it is; 0: open to all */
    struct ifab_task_principal creator;
    uint64_t created_index;         /* of the entry that made it: its why is inherited */
    ifab_usec created;              /* wall */
    uint64_t queued_index;          /* of the entry that put it into its queue: the older, the earlier */
    ifab_usec queued_run;           /* run: since when it waits */
    struct ifab_swarm_number owner; /* owned states */
    struct ifab_task_principal worker;
    struct ifab_fence fence;        /* of its last claim */
    ifab_usec lease, lease_until;   /* length; run */
    uint32_t attempt, max_attempts; /* attempt counts from 1 */
    uint8_t percent;
    ifab_usec not_before, deadline; /* wall; 0, IFAB_NEVER */
    bool early;                     /* queued: not_before has not come yet */
    ifab_usec retry_at;             /* run; queued: not before that, after a failure; 0: at once */
    uint64_t depends_on[IFAB_TASK_DEPENDS_MAX]; /* numbers of open tasks; done ones are taken out */
    uint8_t depends_count;
    uint64_t parent;                /* number of the blocked task it helps; 0 */
    uint64_t helpers[IFAB_TASK_HELPERS_MAX]; /* blocked: numbers of the tasks that help it, until they are done; 0. One that came to nothing stays when nobody else could be asked */
    uint8_t depth;                  /* how many parents are above it */
    uint8_t trace16[16];
    uint8_t payload32[32];          /* digest of the payload's bytes; size 0: none. They lie in a record of kind TASK_DATA */
    uint32_t payload_size;
    int64_t budget[IFAB_COUNT_OF_UNITS];              /* usd_micro, tokens, calls; -1: not limited */
    uint64_t reservation;           /* number; 0: none */
    char note[129];                 /* of the last progress, block or failure; UTF-8 */
};
#define IFAB_TASK_PACKED_MAX 1024
/* The invariants: what holds of a task whatever happened to it. */
bool ifab_task_consistent(const struct ifab_task *task);
size_t ifab_task_pack(const struct ifab_task *task, uint8_t ret_bytes[IFAB_TASK_PACKED_MAX]);
bool ifab_task_unpack(struct ifab_view bytes, uint64_t number, struct ifab_task *ret_task);
struct ifab_names ifab_task_needs(const struct ifab_task *task); /* borrowed from it */
struct ifab_names ifab_task_wants(const struct ifab_task *task); /* borrowed from it */
/* In place of those it had; NULL: none. False: too many, or beside its needs there is no room for them; nothing has changed. */
bool ifab_task_set_wants(struct ifab_task *task, const struct ifab_names *wants);

/*
 * What a claimer, a holder, a person or time does to a task: judged by the table, and by who holds it.
 * 602: claimed by another; 603: an older fence than the one that counts, or a claim that has ended; 605: not possible in this state; 208.
 * On success *ret_next is the task as it will be; when that is DONE or CANCELLED, it has no record any more but TASK_CLOSED.
 */
struct ifab_task_act {
    enum ifab_task_event event; /* FAIL and EXPIRE become EXHAUST at the last attempt */
    struct ifab_fence fence;    /* what the holder showed */
    struct ifab_task_principal who;
    struct ifab_swarm_number swarm; /* CLAIM: for whom */
    struct ifab_fence next_fence;   /* CLAIM: of its entry */
    uint64_t reservation;           /* CLAIM: what holds its cost; 0: nothing */
    ifab_usec lease;                /* CLAIM, RENEW; 0: default, as before */
    int percent;                    /* PROGRESS: 0..100; -1: unchanged */
    struct ifab_view note;          /* UTF-8; cut at a character's end to fit */
    uint64_t index;                 /* of the entry that this becomes */
    struct ifab_now now;
};
enum ifab_code ifab_task_act(const struct ifab_task *task, const struct ifab_task_act *act, struct ifab_task *ret_next, struct ifab_refusal *ret_refusal);
/* The same claim again, by the same one for the same swarm: nothing is to be done. */
bool ifab_task_same_claim(const struct ifab_task *task, struct ifab_task_principal who, struct ifab_swarm_number swarm);
/* Before the n-th attempt (from 2): 1 2 5 10 30 30 ... s. */
ifab_usec ifab_task_backoff(uint32_t attempt);

/* What is kept of a closed one: record of kind TASK_CLOSED. */
struct ifab_closed_task {
    uint64_t number;
    uint8_t id16[16]; /* of SHA-256 of its id */
    bool minted;
    enum ifab_task_state state; /* DONE, CANCELLED */
    struct ifab_fence fence;    /* of its last claim */
    uint32_t creator;           /* talent, 0: a person; it may read what came of it, and so may */
    struct ifab_swarm_number owner; /* the members of the swarm that did it, or, when nobody had it, for which it waited */
    uint64_t created_index;     /* of the entry that made it: older ones about this id are about another */
    uint64_t index;             /* of the entry that closed it: all about it; 0 (after a restore): it stands in the lost log */
    ifab_usec closed;           /* wall */
};
#define IFAB_CLOSED_TASK_PACKED     63
#define IFAB_CLOSED_TASK_LIFE       (30 * IFAB_DAY)
void ifab_task_id16(struct ifab_view id, uint8_t ret_id16[16]);
size_t ifab_closed_task_pack(const struct ifab_closed_task *closed, uint8_t ret_bytes[IFAB_CLOSED_TASK_PACKED]);
bool ifab_closed_task_unpack(struct ifab_view bytes, uint64_t number, struct ifab_closed_task *ret_closed);

/* ---- swarms: {"concurrency","cost_per_hour"?{"usd_micro"},"created","id","members","model"?,"queue"{"limit","policy"},"skills","v":1,"weight"} ---- */
#define IFAB_SWARM_MAX         10000
#define IFAB_SWARM_SKILLS_MAX  64
#define IFAB_SWARM_MEMBERS_MAX 256
#define IFAB_SWARM_RECORD_MAX  32768
enum ifab_queue_policy { IFAB_QUEUE_REJECT = 0, IFAB_QUEUE_BLOCK, IFAB_QUEUE_SHED_LOWEST };
struct ifab_swarm { /* owned by the table; valid until the next load of this number */
    struct ifab_swarm_number number;
    struct ifab_view id, model;
    struct ifab_names skills;
    struct ifab_names members; /* names of talents */
    int64_t cost_per_hour;     /* usd_micro */
    uint32_t concurrency;      /* claims at once; 1..1,000 */
    uint32_t weight;           /* 1..16: its share beside others */
    uint32_t queue_limit;
    enum ifab_queue_policy queue_policy;
    ifab_usec created;
    struct ifab_view record; /* its canonical bytes */
};
struct ifab_swarm_request {
    struct ifab_view id, model;
    const struct ifab_view *skills, *members;
    size_t skill_count, member_count;
    int64_t cost_per_hour;
    uint32_t concurrency, weight, queue_limit; /* 0: default 5, 1, 10,000 */
    enum ifab_queue_policy queue_policy;
    ifab_usec wall;
};

/* ---- the table ---- */
struct ifab_coordinator_limits {
    uint64_t seed;
    uint32_t open, open_per_creator; /* 200,000; 50,000 */
    uint32_t closed;                 /* 2,000,000 */
};
void ifab_coordinator_limits_default(struct ifab_coordinator_limits *ret_limits);
struct ifab_coordinator;
ifab_status ifab_coordinator_new(const struct ifab_coordinator_limits *limits, struct ifab_coordinator **ret);
void ifab_coordinator_free(struct ifab_coordinator *self); /* accepts NULL */
/* Room for n more tasks, closed ones, accounts and lanes: afterwards n of each put cannot fail. */
ifab_status ifab_coordinator_reserve(struct ifab_coordinator *self, size_t n);

/* Swarms. Load: as ifab_accesses_load(); IFAB_CORRUPT, IFAB_NOMEM: nothing has changed. A swarm's id and number stay. */
IFAB_MUST_CHECK ifab_status ifab_swarm_load(struct ifab_coordinator *self, uint64_t number, struct ifab_view record, struct ifab_error *err);
const struct ifab_swarm *ifab_swarm_find(const struct ifab_coordinator *self, struct ifab_view id);
const struct ifab_swarm *ifab_swarm_at(const struct ifab_coordinator *self, struct ifab_swarm_number number);
const struct ifab_swarm *ifab_swarm_after(const struct ifab_coordinator *self, struct ifab_swarm_number number); /* 0: the first */
size_t ifab_swarm_count(const struct ifab_coordinator *self);
void ifab_swarms_trust_root(const struct ifab_coordinator *self, uint8_t ret_root32[32]); /* as ifab_accesses_trust_root() */
/* Checks the request and appends the record; *ret_number: of the swarm it changes, 0: a new one. 208, 305; 409: differs only in case. */
enum ifab_code ifab_swarm_register(const struct ifab_coordinator *self, const struct ifab_swarm_request *request, struct ifab_buf *record,
                                   struct ifab_swarm_number *ret_number, struct ifab_refusal *ret_refusal);
bool ifab_swarm_has_member(const struct ifab_swarm *swarm, struct ifab_view talent);
uint32_t ifab_swarm_in_flight(const struct ifab_coordinator *self, struct ifab_swarm_number swarm); /* owned tasks */
uint32_t ifab_swarm_queued(const struct ifab_coordinator *self, struct ifab_swarm_number swarm);
/* How many more tasks its queue takes. UINT32_MAX: there is none to wait for, since its policy is not `block`. */
uint32_t ifab_swarm_room(const struct ifab_coordinator *self, struct ifab_swarm_number swarm);

/*
 * ---- how a swarm is: X(NAME, "name") ----
 * ERROR: stopped, until a person resets its breaker. WORKING: it holds tasks and works on some. BLOCKED: it holds tasks, all of them blocked. OFFLINE:
 * it holds none and was not heard of for IFAB_SWARM_HEARD_FOR. ACTIVE: it was, and tasks wait in its queue. IDLE: it was, and none do.
 *
 * Derived, and kept nowhere. Bound: a swarm whose last worker died is OFFLINE when IFAB_SWARM_HEARD_FOR has passed and the leases that it held have run
 * out, whichever is later. After a start each was heard of just now.
 */
#define IFAB_SWARM_STATE_MAP(X) \
    X(ACTIVE, "ACTIVE")         \
    X(IDLE, "IDLE")             \
    X(WORKING, "WORKING")       \
    X(BLOCKED, "BLOCKED")       \
    X(ERROR, "ERROR")           \
    X(OFFLINE, "OFFLINE")
#define IFAB_C_(name, text) IFAB_SWARM_##name,
enum ifab_swarm_state { IFAB_SWARM_STATE_MAP(IFAB_C_) IFAB_SWARM_STATE_COUNT };
#undef IFAB_C_
enum ifab_swarm_fact {
    IFAB_SWARM_STOPPED = 1, /* its breaker is not closed */
    IFAB_SWARM_WORKS = 2,   /* a task of it is claimed or running */
    IFAB_SWARM_BLOCKS = 4,  /* a task of it is blocked */
    IFAB_SWARM_SILENT = 8,  /* not heard of */
    IFAB_SWARM_AWAITED = 16, /* tasks wait in its queue */
};
#define IFAB_SWARM_HEARD_FOR  IFAB_MINUTE /* so long a heartbeat holds: twice the longest wait for a task */
#define IFAB_SWARM_HEARD_STEP IFAB_SECOND /* closer to each other they say nothing new */
const char *ifab_swarm_state_name(enum ifab_swarm_state state);
enum ifab_swarm_state ifab_swarm_state_of(unsigned facts); /* bits of enum ifab_swarm_fact: the one table */
/* stopped: the governor's to say. No such swarm: OFFLINE. */
enum ifab_swarm_state ifab_swarm_state(const struct ifab_coordinator *self, struct ifab_swarm_number swarm, bool stopped, ifab_usec run);
ifab_usec ifab_swarm_heard(const struct ifab_coordinator *self, struct ifab_swarm_number swarm); /* run; of the volatile record HEARD */
void ifab_swarm_hear(struct ifab_coordinator *self, struct ifab_swarm_number swarm, ifab_usec run); /* never goes back */

/*
 * ---- what help came to: record of kind SWARM_HELP, number = the swarm that helped ----
 * The cost of help is what its holder told when it ended, as the entries of costs say: what ended without a word (cancelled, a lease that ran out, a
 * deadline) counts none. All of it but what ends with complete is wasted.
 */
struct ifab_swarm_help { /* each at most IFAB_AMOUNT_MAX, and stays there */
    uint64_t asked, completed; /* tasks of type help given to its queue; those that it completed, also from another's queue */
    uint64_t cost, wasted;     /* usd_micro; wasted <= cost */
};
#define IFAB_SWARM_HELP_PACKED 33
void ifab_swarm_help_add(struct ifab_swarm_help *self, const struct ifab_swarm_help *more);
int ifab_swarm_help_permille(const struct ifab_swarm_help *self); /* wasted of cost, 0..1000, rounded down; -1: nothing was spent */
size_t ifab_swarm_help_pack(const struct ifab_swarm_help *help, uint8_t ret_bytes[IFAB_SWARM_HELP_PACKED]);
bool ifab_swarm_help_any(const struct ifab_swarm_help *self); /* it was asked, or has helped */
bool ifab_swarm_help_unpack(struct ifab_view bytes, struct ifab_swarm_help *ret_help);
const struct ifab_swarm_help *ifab_swarm_help(const struct ifab_coordinator *self, struct ifab_swarm_number swarm); /* NULL: no such swarm */
bool ifab_swarm_put_help(struct ifab_coordinator *self, struct ifab_swarm_number swarm, const struct ifab_swarm_help *help); /* false: no such swarm */
struct ifab_swarm_help ifab_swarm_help_total(const struct ifab_coordinator *self);

/* Tasks. put copies; after reserve it cannot fail. */
void ifab_task_put(struct ifab_coordinator *self, const struct ifab_task *task);
void ifab_task_remove(struct ifab_coordinator *self, struct ifab_task_number number);
const struct ifab_task *ifab_task_at(const struct ifab_coordinator *self, struct ifab_task_number number);
const struct ifab_task *ifab_task_find(const struct ifab_coordinator *self, struct ifab_view id);
const struct ifab_task *ifab_task_after(const struct ifab_coordinator *self, struct ifab_task_number number); /* in order of number; 0: the first */
size_t ifab_task_count(const struct ifab_coordinator *self, enum ifab_task_state state);
void ifab_closed_task_put(struct ifab_coordinator *self, const struct ifab_closed_task *closed);
void ifab_closed_task_remove(struct ifab_coordinator *self, uint64_t number);
const struct ifab_closed_task *ifab_closed_task_find(const struct ifab_coordinator *self, struct ifab_view id);
/* The next one after *at (0 at first), in any order that stays as long as nothing changes; NULL at the end. */
const struct ifab_closed_task *ifab_closed_task_next(const struct ifab_coordinator *self, uint32_t *at);
size_t ifab_closed_task_count(const struct ifab_coordinator *self);
/* Those past their life, or, when there are too many, the oldest minted ones: they may be forgotten. Numbers of up to max, at most 256. */
size_t ifab_closed_tasks_dead(const struct ifab_coordinator *self, ifab_usec wall, uint64_t *ret_numbers, size_t max);
ifab_usec ifab_closed_tasks_due(const struct ifab_coordinator *self); /* wall; IFAB_NEVER */
/* Room for one more task of this creator, in this queue? NONE; 304 (queue), 305 (creator, fabric). *ret_shed: what gives way, 0: nothing. */
enum ifab_code ifab_task_admit(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_task_number *ret_shed,
                               struct ifab_refusal *ret_refusal);
/* Back into its queue, of one that has died: room there? 304; nothing gives way for it. */
enum ifab_code ifab_task_readmit(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_refusal *ret_refusal);
/*
 * In the queue of a swarm that it is no member of, one maker has at most half of the places: 305. And what a full queue gives up for it is its own.
 * That is asked after ifab_task_admit(), and changes what gives way; 304.
 */
enum ifab_code ifab_task_stranger(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_task_number *shed,
                                  struct ifab_refusal *ret_refusal);
/* Those that wait for this one to be done; at most IFAB_TASK_DEPENDENTS_MAX. */
size_t ifab_task_dependents(const struct ifab_coordinator *self, struct ifab_task_number number, uint64_t *ret_numbers, size_t max);
bool ifab_task_ready(const struct ifab_task *task); /* queued, waits for no other task and no time: stands in a lane */

/*
 * Which one next? For a claimer of this swarm (0: a person, for the tasks open to all) that has these skills: NULL, or the task and whether it
 * is taken out of another swarm's queue, and the course of the queue after it: bytes of the volatile record COURSE. Work is taken from another
 * swarm when more than five wait there and nothing else fits: of lowest priority, the oldest; never help, which is paid by whom it was asked of.
 */
#define IFAB_COURSE_PACKED 25
#define IFAB_STEAL_ABOVE   5
/*
 * What a claimer cannot pay for is passed over, and with it what waits in the same queue with the same priority, the same needs and a like price (up to the
 * same power of four, in each unit); then the next is picked. So many at most, and of one queue (a swarm's, or a maker's of tasks open to all). A task
 * whose trace has a purse of its own is passed over with what is of that trace alone: what only waits beside it has other money. So many traces at most.
 */
#define IFAB_TASK_PASSED_MAX    32
#define IFAB_TASK_PASSED_EACH   8
#define IFAB_TASK_PASSED_TRACES 8
struct ifab_task_passed { /* zeroed: nothing; valid until a task changes */
    uint32_t lanes[IFAB_TASK_PASSED_MAX], accounts[IFAB_TASK_PASSED_MAX];
    uint8_t traces16[IFAB_TASK_PASSED_TRACES][16];
    size_t count, trace_count;
};
const struct ifab_task *ifab_task_pick(const struct ifab_coordinator *self, struct ifab_swarm_number swarm, const struct ifab_names *skills,
                                       ifab_usec run, const struct ifab_task_passed *passed /* NULL: nothing */, bool *ret_stolen,
                                       uint8_t ret_course[IFAB_COURSE_PACKED]);
/* This one, which was just picked, is passed over, with its kind or, while there is room for one more of these, with its trace. False: as many as may be were. */
bool ifab_task_pass(const struct ifab_coordinator *self, struct ifab_task_number number, bool of_trace, struct ifab_task_passed *passed);
/*
 * Of those who wait for work, who is told to ask? Is there a ready task that this one may take and that was offered to none in this round? Then it
 * counts as offered: a round begins with an empty map, and each task is offered once. Of what is taken out of others' queues one at a time.
 */
bool ifab_task_offer(const struct ifab_coordinator *self, struct ifab_swarm_number swarm, const struct ifab_names *skills, struct ifab_u64map *given);
bool ifab_course_load(struct ifab_coordinator *self, struct ifab_view bytes); /* false: no such bytes */
/* May this claimer take this one at all? */
bool ifab_task_fits(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_swarm_number swarm, const struct ifab_names *skills);

/* Due: leases that ran out (run), deadlines and waits (wall). Numbers of up to max (at most 256); IFAB_NEVER. */
size_t ifab_tasks_expired(const struct ifab_coordinator *self, ifab_usec run, uint64_t *ret_numbers, size_t max);
size_t ifab_tasks_timed(const struct ifab_coordinator *self, ifab_usec wall, uint64_t *ret_numbers, size_t max);
ifab_usec ifab_tasks_due_run(const struct ifab_coordinator *self);
ifab_usec ifab_tasks_due_wall(const struct ifab_coordinator *self);

/*
 * Blocked tasks that want help: numbers of up to max, at most two, each of another swarm, of those whose turn is the longest ago; of a swarm the one that
 * was looked at the longest ago. Of the first IFAB_TASK_WANTING_SEEN in the queue. And: this one was looked at; how many there are.
 */
#define IFAB_TASK_WANTING_SEEN 1024
size_t ifab_tasks_wanting(const struct ifab_coordinator *self, uint64_t *ret_numbers, size_t max);
void ifab_task_looked_at(struct ifab_coordinator *self, struct ifab_task_number number);
uint32_t ifab_tasks_wanting_count(const struct ifab_coordinator *self);
/* Grows with each place that somebody may have for them: a hand that is free again, a place in a queue, a swarm that is registered or was heard of after a
 * silence. Volatile. */
uint64_t ifab_coordinator_places(const struct ifab_coordinator *self);

/*
 * Blocked tasks that wait for themselves through others: one of each circle, which has to give way (waits.c says which). Numbers of up to max, the least
 * ones, in order. The arena is for the search, which is linear however many are blocked. False: no memory, and nothing is known.
 */
bool ifab_tasks_in_circles(const struct ifab_coordinator *self, struct ifab_arena *arena, struct ifab_task_number *ret_victims, size_t max, size_t *ret_count);
#endif
