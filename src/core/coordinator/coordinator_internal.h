#ifndef COORDINATOR_INTERNAL_H
#define COORDINATOR_INTERNAL_H
/* What the files of the coordinator share. */
#include "base/deadline_heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/slot_index.h"
#include "base/slot_pool.h"
#include "coordinator/coordinator.h"
#include "pairing.h"

struct swarm_node {
    struct ifab_swarm swarm; /* its views point into text */
    uint8_t record32[32];    /* SHA-256 of its record */
    uint32_t in_flight, blocked; /* tasks it holds; of them blocked */
    ifab_usec heard;             /* run */
    uint64_t looked;             /* which look for help for a task of it was the last */
    struct ifab_swarm_help help;
    uint8_t text[]; /* record, skills, members */
};
struct task_item {
    struct ifab_task task;
    struct pairing_links links; /* in its lane, while ready */
    uint32_t lane;              /* while queued */
    uint32_t waiters;           /* first edge of those that wait for it */
    uint32_t ordered;           /* its place among all, by number */
    uint32_t blocked_next, blocked_previous; /* in the list of blocked ones */
    uint32_t wanting_next, wanting_previous; /* in the queue of those that want help */
};
struct edge { /* one that waits for another */
    uint32_t waiter, next; /* slot of a task; of an edge */
};
struct task_class { /* one set of needs, as long as something queued has it */
    char needs[IFAB_TASK_NEEDS_SIZE];
    struct ifab_names names;
    uint32_t lanes;             /* how many */
    uint32_t open_ready;        /* ready tasks of it that are open to all */
    uint32_t open_root;         /* lanes of accounts open to all, by course */
    uint32_t steal_root;        /* lanes of swarms whose queue is long: least priority, oldest */
    uint32_t previous, next;    /* in the list of all */
};
struct lane { /* of one account, priority, class and price, help apart */
    uint32_t account, task_class, root, queued, ready; /* queued: also those that are not ready */
    uint32_t previous, next;                            /* in the account's list */
    struct pairing_links links;
    uint32_t price; /* as price_of() says */
    uint8_t priority;
    bool help; /* its tasks help another: what they may cost is held for the swarm that was asked, so nobody steals them */
    enum { LANE_IDLE, LANE_OPEN, LANE_STEAL } in; /* which heap of its class */
};
struct account { /* a swarm's queue, or that of one who makes tasks open to all */
    uint64_t key;                   /* number of the swarm; OPEN_ACCOUNT | talent */
    uint32_t queued, ready, lanes, lane_count;
    uint64_t tags[IFAB_PRIORITIES]; /* start tag of each flow: whose is least is served first */
    uint32_t flow_ready[IFAB_PRIORITIES];
};
#define OPEN_ACCOUNT ((uint64_t)1 << 63)

struct closed_item {
    struct ifab_closed_task closed;
};
struct ifab_coordinator {
    struct ifab_coordinator_limits limits;
    size_t reserved; /* so many more are known to find room; 0: look again */
    /* swarms, in order of number */
    struct swarm_node **swarms;
    size_t swarm_count, swarm_room;
    struct ifab_map swarm_by_id; /* lower case -> pointer */
    /* tasks */
    struct ifab_slot_pool tasks, edges, lanes, classes, accounts, closed;
    struct ifab_map task_by_id;         /* -> slot */
    struct ifab_u64map task_by_number;  /* -> slot */
    struct ifab_deadline_heap by_run, by_wall;
    uint32_t *ordered; /* slots by number; 0: one that has gone */
    size_t ordered_count, ordered_room, ordered_gaps;
    uint64_t ordered_newest; /* the largest number that was ever among them */
    uint32_t counts[IFAB_TASK_STATE_COUNT];
    uint32_t blocked; /* list of those */
    uint32_t wanting, wanting_last, wanting_count; /* queue of those that want help */
    uint64_t looks, places;         /* how many there were for them; see ifab_coordinator_places() */
    struct ifab_u64map creators; /* talent -> open tasks of it */
    /* queues */
    struct ifab_u64map account_by_key;
    struct ifab_u64map made_by; /* account slot << 32 | talent -> tasks of it there */
    struct ifab_map class_by_needs;
    struct ifab_map lane_by_key; /* account, priority, class, price, help -> slot */
    uint32_t class_list;
    uint64_t course; /* virtual time */
    /* closed ones */
    struct ifab_slot_index closed_by_id, closed_by_number;
    struct ifab_deadline_heap closed_ends[2]; /* [minted]: when they are forgotten */
    uint32_t closed_count;
};

static inline struct task_item *task_item_at(const struct ifab_coordinator *self, uint32_t slot) { return ifab_slot_pool_at(&self->tasks, slot); }
struct swarm_node *ifab_coordinator__swarm(const struct ifab_coordinator *self, uint64_t number);
size_t ifab_coordinator__swarm_place(const struct ifab_coordinator *self, uint64_t number); /* among swarms; their count: there is no such one */

/* queue.c: a queued task enters its lane; ready ones can be picked. */
ifab_status ifab_queue__reserve(struct ifab_coordinator *self, size_t n);
void ifab_queue__init(struct ifab_coordinator *self);
void ifab_queue__fini(struct ifab_coordinator *self);
void ifab_queue__enter(struct ifab_coordinator *self, uint32_t slot);
void ifab_queue__leave(struct ifab_coordinator *self, uint32_t slot);
uint64_t ifab_queue__key(const struct ifab_task *task); /* of its account */
/* Of one maker, in the queue of a swarm: how many; the ready one of less priority (the least, then the oldest) that gives way for it, 0: none. */
uint32_t ifab_queue__made_by(const struct ifab_coordinator *self, uint64_t key, uint32_t talent);
struct ifab_task_number ifab_queue__least_of(const struct ifab_coordinator *self, uint64_t key, unsigned priority, uint32_t talent);
const struct account *ifab_queue__account(const struct ifab_coordinator *self, uint64_t key);

/* closed.c */
ifab_status ifab_closed__reserve(struct ifab_coordinator *self, size_t n);
void ifab_closed__init(struct ifab_coordinator *self);
void ifab_closed__fini(struct ifab_coordinator *self);
#endif
