/*
 * Whose claims are refused for a budget without room, or for their swarm's breaker, and stand in the log so. Who waits for money asks again and again;
 * each time it is answered and counted (refusals.c: an entry a minute for all), but the log learns nothing new: one for (who, swarm, budget) until that has changed, which is when a claim
 * of theirs succeeds, the budget has another limit, or its period begins anew. A breaker: until it is opened by another entry.
 *
 * 1. A place is named by decide and filled by apply, so that outcomes replay to the same table (INV-14). Memory only: after a start the first such
 *    refusal of each is an entry once more, and that is all that is lost.
 * 2. Bounded: who claims for a swarm has WAYS places, shared with whoever falls on the same ones. A full set gives up the one that was told first: for the
 *    same price.
 */
#include "fabric_internal.h"

#include "base/encode.h"

#include <string.h>

#define WAYS 8
_Static_assert(IFAB_LACKS % WAYS == 0, "whole sets");

/* First place of the set. */
static uint64_t set_of(const struct ifab_fabric *self, uint32_t talent, uint32_t uid, uint64_t swarm)
{
    uint8_t key[16], *at = key;
    ifab_put_u32(&at, talent);
    ifab_put_u32(&at, uid);
    ifab_put_u64(&at, swarm);
    return ifab_hash64(ifab_view_of(key, sizeof key), self->settings.seed ^ 13) % (IFAB_LACKS / WAYS) * WAYS;
}

static bool of_same(const struct ifab_lack *a, const struct ifab_lack *b)
{
    return a->of != 0 && a->talent == b->talent && a->uid == b->uid && a->swarm == b->swarm;
}

static bool same(const struct ifab_lack *a, const struct ifab_lack *b) { return of_same(a, b) && a->kind == b->kind && a->of == b->of; }

bool ifab_fabric__lack_told(const struct ifab_fabric *self, const struct ifab_outcome *o)
{
    const struct ifab_lack *l = &o->lacks;
    if (self->lacks == NULL || l->of == 0)
        return false;
    const struct ifab_lack *set = self->lacks + set_of(self, l->talent, l->uid, l->swarm);
    for (size_t i = 0; i < WAYS; i++)
        if (same(&set[i], l) && set[i].version == l->version && set[i].since == l->since)
            return true;
    return false;
}

/* Its own place, when the same was told of another state; else a free one, else the oldest. */
static size_t place_for(const struct ifab_lack *set, const struct ifab_lack *lack)
{
    size_t best = 0;
    for (size_t i = 0; i < WAYS; i++) {
        if (same(&set[i], lack))
            return i;
        if (set[best].of != 0 && (set[i].of == 0 || set[i].index < set[best].index))
            best = i;
    }
    return best;
}

void ifab_fabric__lack_tell(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t index)
{
    struct ifab_lack lack = o->lacks;
    if (lack.of == 0)
        return;
    uint64_t place = set_of(self, lack.talent, lack.uid, lack.swarm);
    if (self->lacks != NULL)
        place += place_for(self->lacks + place, &lack);
    lack.index = index;
    ifab_fabric__change(o, IFAB_KIND_LACK, place, &lack, sizeof lack);
}

void ifab_fabric__lack_over(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_task_principal who, struct ifab_swarm_number swarm)
{
    const struct ifab_lack own = {.talent = who.talent, .uid = who.uid, .swarm = swarm.n};
    if (self->lacks == NULL)
        return;
    uint64_t first = set_of(self, who.talent, who.uid, swarm.n);
    for (size_t i = 0; i < WAYS; i++)
        if (of_same(&self->lacks[first + i], &own))
            ifab_fabric__change(o, IFAB_KIND_LACK, first + i, NULL, 0);
}

bool ifab_fabric__load_lack(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes)
{
    if (number >= IFAB_LACKS || (bytes.size != 0 && bytes.size != sizeof(struct ifab_lack)))
        return false;
    if (self->lacks == NULL && bytes.size > 0)
        self->lacks = ifab_calloc(IFAB_LACKS, sizeof *self->lacks); /* no memory: nothing is kept, and the next refusal is told again */
    if (self->lacks == NULL)
        return true;
    memset(&self->lacks[number], 0, sizeof self->lacks[number]);
    if (bytes.size > 0)
        memcpy(&self->lacks[number], bytes.data, bytes.size);
    return true;
}
