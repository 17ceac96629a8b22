/* Retries: exponential steps from the manifest, full jitter, the provider's own wish, never past the deadline. */
#include "egress/retry.h"

#include "base/mem.h"

#define WAIT_MAX (300 * IFAB_SECOND)

bool ifab_retry_is_failure(int status) { return status == 0 || status >= 500; }

bool ifab_retry_again(const struct ifab_retry_policy *policy, const struct ifab_retry_event *event, ifab_usec *ret_wait)
{
    static const uint16_t usual[] = {1, 2, 5, 10, 30};
    const uint16_t *steps = policy->backoff_count > 0 ? policy->backoff : usual;
    size_t count = policy->backoff_count > 0 ? policy->backoff_count : IFAB_COUNT(usual);
    bool worth = ifab_retry_is_failure(event->status) || event->status == 429;
    if (!policy->repeatable || !worth || event->attempt == 0 || event->attempt >= policy->attempts || count > IFAB_EGRESS_BACKOFF_MAX)
        return false;
    if (policy->attempts > IFAB_EGRESS_ATTEMPTS_MAX)
        return false;
    size_t step = event->attempt - 1 < count ? event->attempt - 1 : count - 1;
    ifab_usec most = steps[step] * IFAB_SECOND;
    if (most > WAIT_MAX)
        most = WAIT_MAX;
    ifab_usec wait = most == 0 ? 0 : (ifab_usec)(event->random % (uint64_t)(most + 1));
    if (event->retry_after > wait)
        wait = event->retry_after;
    if (event->remaining <= 0 || wait >= event->remaining)
        return false;
    *ret_wait = wait;
    return true;
}
