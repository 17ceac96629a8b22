#ifndef LOOP_ORDER_H
#define LOOP_ORDER_H
/* Turns and shares of the tickets that wait. Threads: the loop; what is marked belongs to the pool's lock. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/time.h"
#include "base/view.h"

struct ticket;
struct ifab_keyring;

#define ORDER_MAX 65536          /* tickets before the step */
#define ORDER_VERIFIED_MAX 16384 /* of them messages with a good signature that wait for a batch */
#define ORDER_SINGLES 256        /* of those that are no line of a body: see order_room_single() */
#define ORDER_LATE_FOR IFAB_SECOND
#define ORDER_LATE_MOST 4
#define ORDER_LATE_UNANSWERED 2  /* requests of a late connection that are read before the first of them is answered */
#define ORDER_ASKED 64           /* tickets that wait on a connection of which nothing is known, before nobody asks whom the next one names */
#define ORDER_NAMED_PART 8       /* one in so many connections may be late for the talent that it names */
#define ORDER_LET_IN 10          /* late ones that get a turn at a time, whoever else waits */
#define PACE_TICKETS 8           /* late ones a worker verifies */
#define PACE_EVERY_NS UINT64_C(100000000) /* in so much time, one worker at a time: seldom and together, so that few of the others meet them, */
#define PACE_OTHERS_NS UINT64_C(1000000000) /* while others are about: something of theirs came so short ago */

struct lane { /* of a connection, while it has tickets */
    struct lane *next;           /* in the ring of turns; among the spare */
    struct ticket *first, *last; /* in order of arrival */
    size_t count, singles;       /* singles: that are no line of a body */
    uint64_t connection;
    uint32_t slot;
    _Atomic bool late;           /* it waits for those in turn; the pool asks as well */
    bool was_late;               /* and the pool may have jobs of it among the late ones */
    bool named;                  /* late for the talent that it names: one of order.named */
    struct lane *job_next;       /* the pool's: whose signatures are to be verified, in turns as well */
    struct ticket *job_first, *job_last;
    size_t jobs;
    unsigned job_ring;           /* where it stands, if it has any */
};
struct lane_ring {
    struct lane *first, *last;
};
struct pace { /* of late ones before the verifiers */
    uint64_t began_ns;     /* of this period */
    size_t left, overdue;  /* in it: when nobody in turn waits; whoever else waits, since the period before left them over */
};
struct lateness { /* of the connection in a slot; of a talent */
    uint64_t connection;
    ifab_usec until;  /* run */
    unsigned refused; /* 0: not late; a 302 adds two, up to ORDER_LATE_MOST, what was taken one less */
    bool known;       /* something of it was taken: it is judged by itself alone */
    bool named;       /* late for the talent that it names */
};
struct order_talent {
    uint32_t waiting; /* its messages between signature and step */
    struct lateness late;
};
struct order {
    struct lane_ring turns[2]; /* in turn; late */
    struct lane **of_slot;
    struct lateness *late_of;
    size_t slots;
    struct lane *spare;
    size_t count, lanes;  /* tickets; lanes that have some */
    struct order_talent *of_talent; /* by number */
    size_t talents, verified;
    ifab_usec some_late; /* run: until then some talent may be late */
    size_t named;        /* lanes that are late for the talent they name */
};

/* slots: of connections; any other slot has a lane for each ticket. */
IFAB_MUST_CHECK ifab_status order_init(struct order *self, size_t slots);
void order_fini(struct order *self); /* frees lanes, not tickets */
bool order_ready(struct order *self); /* room for one order_add(); false: out of memory */
/* May this connection have `more` tickets waiting beyond those it has? false: 304. */
bool order_room(const struct order *self, uint32_t slot, uint64_t connection, size_t more);
/* One more request of its own: also, whoever has some waiting has no more than would be answered soon. */
bool order_room_single(const struct order *self, uint32_t slot, uint64_t connection);
/* Its lane; one that is not late and was_late: as pool_in_turn() asks. */
struct lane *order_add(struct order *self, struct ticket *ticket, uint32_t slot, uint64_t connection, ifab_usec run);
struct ticket *order_head(const struct order *self); /* whose turn it is; NULL: none waits */
struct ticket *order_take(struct order *self);
/* A message with a good signature got 302: what this connection brings within the next second waits until nobody else does. */
void order_put_late(struct order *self, uint32_t slot, uint64_t connection, ifab_usec run);
/* One was taken: a connection that was told 302 for a third of its messages or fewer is not late for long. The lane whose lateness ends by it, or NULL. */
struct lane *order_put_good(struct order *self, uint32_t slot, uint64_t connection);
/* The same of the talent whose signature it was: a connection that brings its next message first is late from the start (order_names_late()). */
void order_talent_late(struct order *self, uint32_t talent, ifab_usec run);
void order_talent_good(struct order *self, uint32_t talent);
/*
 * Does a message on a connection of which nothing is known name a talent that is late? It may be a forger's: it makes late only what it came by.
 * Reads the message, if some talent is late at all.
 */
bool order_names_late(const struct order *self, uint32_t slot, uint64_t connection, const struct ifab_keyring *keyring, struct ifab_view message, ifab_usec run);
/*
 * It is late then. false: an eighth of all connections wait so, also such whose other end has gone; each holds its place until its turn, so this one is
 * refused at once (304).
 */
bool order_put_named(struct order *self, uint32_t slot, uint64_t connection, ifab_usec run);
void order_let_in(struct order *self); /* from time to time: some that are late and verified get one turn, whoever else waits */
/* Nobody in turn waits: what comes in turn now is next. */
bool order_nobody_in_turn(const struct order *self);
/* A new period if it is time; workers at least 1. Times are of one clock that does not go back. */
void pace_on(struct pace *self, uint64_t now_ns, size_t workers);
bool pace_overdue(struct pace *self); /* true: a late one is verified first. Each true counts one */
bool pace_others(uint64_t now_ns, uint64_t others_ns); /* are others about? others_ns: when something in turn came last */
/* Nobody in turn waits: may a late one be verified? */
bool pace_is_open(const struct pace *self, uint64_t now_ns, uint64_t others_ns);
/* The same; each true counts one. */
bool pace_allows(struct pace *self, uint64_t now_ns, uint64_t others_ns);
/* One more message of this talent between signature and step: as many as places are free. false: 304. Each is given back once. */
bool order_share_take(struct order *self, uint32_t talent);
void order_share_give(struct order *self, uint32_t talent);
#endif
