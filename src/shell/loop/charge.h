#ifndef LOOP_CHARGE_H
#define LOOP_CHARGE_H
/*
 * Failed signatures, charged to who is at the other end: uid of the Unix socket, else address; never to the sender they name (DESIGN section 4).
 * 100 a second, burst 1,000. One bucket a principal: names are compared whole, so that no two share one.
 */
#include <stdatomic.h>

#include "base/time.h"
#include "http/server.h"

#define CHARGE_PER_SECOND 100
#define CHARGE_BURST 1000
#define CHARGES 4096 /* more than connections: each request in flight keeps its bucket */

struct charge {
    _Atomic int64_t tat;  /* boot time at which the bucket is full again; workers raise it */
    char name[64];        /* "uid:1000", "127.0.0.1" */
    uint32_t next;        /* in its chain; 0: last. Places count from 1 */
    uint32_t refs;        /* requests that hold it: not given away meanwhile. The loop's */
    uint32_t name_size;
};
struct charges {
    struct charge *rows;
    uint32_t *chains;
    uint32_t used;
    uint64_t seed;
};
IFAB_MUST_CHECK ifab_status charges_init(struct charges *self, uint64_t seed);
void charges_fini(struct charges *self);
/* The bucket of this peer, held until charge_drop(). When all are in use one that is full again is taken, else the fullest. NULL: each is held. */
struct charge *charge_hold(struct charges *self, const struct ifab_http_peer *peer, ifab_usec boot);
void charge_drop(struct charge *self); /* accepts NULL */
bool charge_empty(const struct charge *self); /* any thread: no signature is verified for this principal now */
void charge_take(struct charge *self); /* any thread */
/* The same at a given time. */
bool charge_empty_at(const struct charge *self, ifab_usec boot);
void charge_take_at(struct charge *self, ifab_usec boot);
#endif
