/*
 * How a swarm is: derived from what is known of it, kept nowhere. See coordinator.h.
 *
 * Someone who holds a task is vouched for by its lease; someone who holds none by when it was last heard of.
 */
#include "coordinator_internal.h"

#define NAME(name, text) text,
static const char *const names[] = {IFAB_SWARM_STATE_MAP(NAME)};
#undef NAME

/* The first row whose facts all hold says it; the last one asks for none. */
static const struct {
    unsigned facts;
    enum ifab_swarm_state state;
} rows[] = {
    {IFAB_SWARM_STOPPED, IFAB_SWARM_ERROR},
    {IFAB_SWARM_WORKS, IFAB_SWARM_WORKING},
    {IFAB_SWARM_BLOCKS, IFAB_SWARM_BLOCKED},
    {IFAB_SWARM_SILENT, IFAB_SWARM_OFFLINE},
    {IFAB_SWARM_AWAITED, IFAB_SWARM_ACTIVE},
    {0, IFAB_SWARM_IDLE},
};

const char *ifab_swarm_state_name(enum ifab_swarm_state state) { return (size_t)state < IFAB_COUNT(names) ? names[state] : "?"; }

enum ifab_swarm_state ifab_swarm_state_of(unsigned facts)
{
    size_t i = 0;
    while ((facts & rows[i].facts) != rows[i].facts)
        i++;
    return rows[i].state;
}

enum ifab_swarm_state ifab_swarm_state(const struct ifab_coordinator *self, struct ifab_swarm_number swarm, bool stopped, ifab_usec run)
{
    const struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    if (node == NULL)
        return IFAB_SWARM_OFFLINE;
    unsigned facts = stopped ? IFAB_SWARM_STOPPED : 0;
    facts |= node->in_flight > node->blocked ? IFAB_SWARM_WORKS : 0;
    facts |= node->blocked > 0 ? IFAB_SWARM_BLOCKS : 0;
    facts |= run - node->heard >= IFAB_SWARM_HEARD_FOR ? IFAB_SWARM_SILENT : 0;
    facts |= ifab_swarm_queued(self, swarm) > 0 ? IFAB_SWARM_AWAITED : 0;
    return ifab_swarm_state_of(facts);
}

ifab_usec ifab_swarm_heard(const struct ifab_coordinator *self, struct ifab_swarm_number swarm)
{
    const struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    return node == NULL ? 0 : node->heard;
}

void ifab_swarm_hear(struct ifab_coordinator *self, struct ifab_swarm_number swarm, ifab_usec run)
{
    struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    if (node == NULL || run <= node->heard)
        return;
    self->places += run - node->heard >= IFAB_SWARM_HEARD_FOR;
    node->heard = run;
}
