#ifndef EGRESS_RETRY_H
#define EGRESS_RETRY_H
/* Whether and when a request is made again. requirements FL-LIM-2, FL-LIM-4. Pure: the random bytes come in. Threads: any. */
#include "base/time.h"

#define IFAB_EGRESS_ATTEMPTS_MAX 6
#define IFAB_EGRESS_BACKOFF_MAX  16

struct ifab_retry_policy {
    uint32_t attempts;                         /* 1..IFAB_EGRESS_ATTEMPTS_MAX in all */
    bool repeatable;                           /* idempotent, or sent with an idempotency key: else nothing is made again */
    uint16_t backoff[IFAB_EGRESS_BACKOFF_MAX]; /* seconds, from the manifest */
    size_t backoff_count;                      /* 0: 1 2 5 10 30 */
};
struct ifab_retry_event {
    uint32_t attempt;      /* the one that has ended: 1, 2, … */
    int status;            /* HTTP; 0: no answer came (transport) */
    ifab_usec retry_after; /* of the answer; -1: none */
    ifab_usec remaining;   /* until the deadline */
    uint64_t random;       /* fresh for each attempt */
};
/* true: again, after *ret_wait (full jitter over the backoff, at least retry_after). Never when the wait would pass the deadline. */
bool ifab_retry_again(const struct ifab_retry_policy *policy, const struct ifab_retry_event *event, ifab_usec *ret_wait);
/* For breakers: a failure of the provider (no answer, 5xx), not of the caller (other statuses). */
bool ifab_retry_is_failure(int status);
#endif
