/*
 * Meters of a talent: how fast it may send (302) and how many of its refusals become entries. Two GCRA buckets in run time (integer, no drift) and a
 * byte quota a day. Volatile: a restart fills them.
 */
#include "fabric_internal.h"

#include <string.h>

static bool gcra(ifab_usec *tat, ifab_usec run, uint32_t per_second, uint32_t burst, ifab_usec *ret_wait)
{
    ifab_usec step = IFAB_SECOND / (per_second == 0 ? 1 : per_second);
    ifab_usec from = *tat > run ? *tat : run;
    ifab_usec depth = step * (burst == 0 ? 1 : burst);
    if (from - run > depth - step) {
        *ret_wait = from - run - (depth - step);
        return false;
    }
    *tat = from + step;
    return true;
}

struct ifab_meter ifab_fabric__meter(const struct ifab_fabric *self, uint32_t talent, ifab_usec run)
{
    if (talent < self->meter_room && self->meters[talent].talent == talent)
        return self->meters[talent];
    return (struct ifab_meter){.talent = talent, .rate_tat = run, .refusal_tat = run, .day = run};
}

enum ifab_code ifab_fabric__rate(const struct ifab_fabric *self, struct ifab_meter *meter, ifab_usec run, struct ifab_refusal *refusal)
{
    ifab_usec wait;
    if (gcra(&meter->rate_tat, run, self->settings.rate_per_second, self->settings.rate_burst, &wait))
        return IFAB_CODE_NONE;
    ifab_refuse(refusal, IFAB_CODE_RATE_LIMIT_EXCEEDED, NULL, "more than %u messages a second", self->settings.rate_per_second);
    refusal->retry_after_ms = wait / 1000 + 1;
    return IFAB_CODE_RATE_LIMIT_EXCEEDED;
}

bool ifab_fabric__may_enter_refusal(const struct ifab_fabric *self, struct ifab_meter *meter, ifab_usec run, size_t bytes)
{
    ifab_usec wait;
    if (run - meter->day >= IFAB_DAY) {
        meter->day = run;
        meter->day_bytes = 0;
    }
    if (meter->day_bytes + bytes > self->settings.refusal_bytes_per_day)
        return false;
    if (!gcra(&meter->refusal_tat, run, self->settings.refusals_per_second, self->settings.refusals_per_second, &wait))
        return false;
    meter->day_bytes += bytes;
    return true;
}

bool ifab_fabric__put_meter(struct ifab_outcome *o, const struct ifab_meter *meter)
{
    return ifab_fabric__change(o, IFAB_KIND_METER, meter->talent, meter, sizeof *meter);
}

void ifab_fabric__load_meter(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes)
{
    if (bytes.size == sizeof(struct ifab_meter) && number < self->meter_room)
        memcpy(&self->meters[number], bytes.data, sizeof(struct ifab_meter));
}
