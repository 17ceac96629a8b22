/* What help came to, swarm by swarm: counts that only grow. See coordinator.h. */
#include "coordinator_internal.h"

#include "base/encode.h"

#define VERSION 1

static uint64_t sum(uint64_t a, uint64_t b) { return b < IFAB_AMOUNT_MAX - a ? a + b : IFAB_AMOUNT_MAX; } /* each at most that */

void ifab_swarm_help_add(struct ifab_swarm_help *self, const struct ifab_swarm_help *more)
{
    self->asked = sum(self->asked, more->asked);
    self->completed = sum(self->completed, more->completed);
    self->cost = sum(self->cost, more->cost);
    self->wasted = sum(self->wasted, more->wasted);
}

bool ifab_swarm_help_any(const struct ifab_swarm_help *self) { return self->asked + self->completed + self->cost > 0; }

int ifab_swarm_help_permille(const struct ifab_swarm_help *self)
{
    return self->cost == 0 ? -1 : (int)(self->wasted * 1000 / self->cost); /* below 2^63 */
}

size_t ifab_swarm_help_pack(const struct ifab_swarm_help *help, uint8_t ret_bytes[IFAB_SWARM_HELP_PACKED])
{
    uint8_t *at = ret_bytes;
    ifab_put_u8(&at, VERSION);
    ifab_put_u64(&at, help->asked);
    ifab_put_u64(&at, help->completed);
    ifab_put_u64(&at, help->cost);
    ifab_put_u64(&at, help->wasted);
    return (size_t)(at - ret_bytes);
}

bool ifab_swarm_help_unpack(struct ifab_view bytes, struct ifab_swarm_help *ret_help)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    uint8_t version = ifab_get_u8(&r);
    struct ifab_swarm_help h = {.asked = ifab_get_u64(&r)};
    h.completed = ifab_get_u64(&r);
    h.cost = ifab_get_u64(&r);
    h.wasted = ifab_get_u64(&r);
    if (r.bad || r.at != r.end || version != VERSION || h.asked > IFAB_AMOUNT_MAX || h.completed > IFAB_AMOUNT_MAX || h.cost > IFAB_AMOUNT_MAX || h.wasted > h.cost)
        return false;
    *ret_help = h;
    return true;
}

const struct ifab_swarm_help *ifab_swarm_help(const struct ifab_coordinator *self, struct ifab_swarm_number swarm)
{
    const struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    return node == NULL ? NULL : &node->help;
}

bool ifab_swarm_put_help(struct ifab_coordinator *self, struct ifab_swarm_number swarm, const struct ifab_swarm_help *help)
{
    struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    if (node != NULL)
        node->help = *help;
    return node != NULL;
}

struct ifab_swarm_help ifab_swarm_help_total(const struct ifab_coordinator *self)
{
    struct ifab_swarm_help total = {0};
    for (size_t i = 0; i < self->swarm_count; i++)
        ifab_swarm_help_add(&total, &self->swarms[i]->help);
    return total;
}
