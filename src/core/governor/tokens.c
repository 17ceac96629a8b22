/* Token buckets and waits before another attempt. */
#include "base/mem.h"
#include "governor/breaker.h"

ifab_usec ifab_backoff(unsigned attempt, uint64_t random)
{
    static const ifab_usec steps[] = {1 * IFAB_SECOND, 2 * IFAB_SECOND, 5 * IFAB_SECOND, 10 * IFAB_SECOND, 30 * IFAB_SECOND};
    ifab_usec most = steps[attempt < IFAB_COUNT(steps) ? attempt : IFAB_COUNT(steps) - 1];
    return (ifab_usec)(random % ((uint64_t)most + 1));
}

struct ifab_tokens ifab_tokens_full(uint32_t burst, ifab_usec run) { return (struct ifab_tokens){burst, run}; }

/* Tokens since `since`, whole ones: the time of the part that is left over stays. A second is a whole number of µs, so nothing drifts. */
static void refill(struct ifab_tokens *self, uint32_t rate, uint32_t burst, ifab_usec run)
{
    ifab_usec passed = run > self->since ? run - self->since : 0;
    if (self->held > burst)
        self->held = burst;
    uint64_t missing = burst - self->held, whole = (uint64_t)(passed / IFAB_SECOND);
    uint64_t made = whole > missing ? missing + 1 : whole * rate + (uint64_t)(passed % IFAB_SECOND) * rate / (uint64_t)IFAB_SECOND;
    if (made >= missing) {
        *self = (struct ifab_tokens){burst, run > self->since ? run : self->since};
        return;
    }
    self->held += made;
    self->since += (ifab_usec)((made * (uint64_t)IFAB_SECOND + rate - 1) / rate); /* the first moment at which so many were made */
}

enum ifab_code ifab_tokens_take(struct ifab_tokens *self, uint32_t rate, uint32_t burst, ifab_usec run, struct ifab_refusal *r)
{
    refill(self, rate, burst, run);
    if (self->held > 0) {
        self->held--;
        return IFAB_CODE_NONE;
    }
    ifab_usec next = self->since + ((ifab_usec)IFAB_SECOND + rate - 1) / rate;
    (void)ifab_refuse(r, IFAB_CODE_RATE_LIMIT_EXCEEDED, "", "more than %u a second", rate);
    if (r != NULL)
        r->retry_after_ms = next > run ? (next - run + 999) / 1000 : 1;
    return IFAB_CODE_RATE_LIMIT_EXCEEDED;
}
