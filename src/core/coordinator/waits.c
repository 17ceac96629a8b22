/*
 * Who waits for whom: blocked tasks that can never go on by themselves, since each waits for help from a swarm all of whose hands are blocked as well.
 *
 * 1. What can go on is found first: a swarm that has a hand free, or a task that is not blocked; a blocked task whose helpers all are worked on, or wait
 *    in the queue of such a swarm; and so on until nothing changes. What waits for a person (no helper, or a dead one) counts as going on.
 * 2. Among the rest, circles are the strongly connected components (Tarjan 1972, without recursion), a task that waits for itself included. Of each, one
 *    gives way: of least priority, then the youngest. So the victim does not depend on where the search begins (INV-14).
 */
#include "coordinator_internal.h"

struct wait_node {
    uint32_t slot;
    bool goes_on, on_stack;
    uint32_t index, low, parent; /* Tarjan's; index 0: not seen; parent: place + 1 of the one before it in the walk */
    uint32_t edge;               /* next edge to look at */
};

static uint32_t slot_of(const struct ifab_coordinator *self, uint64_t number)
{
    uint64_t slot;
    return number != 0 && ifab_u64map_get(&self->task_by_number, number, &slot) ? (uint32_t)slot : 0;
}

static const struct ifab_task *task_of(const struct ifab_coordinator *self, const struct wait_node *node) { return &task_item_at(self, node->slot)->task; }

/* Has this swarm a hand that is free, or will be? */
static bool swarm_goes_on(const struct ifab_coordinator *self, const struct wait_node *nodes, size_t count, uint64_t number)
{
    const struct swarm_node *swarm = ifab_coordinator__swarm(self, number);
    uint32_t blocked = 0;
    if (swarm == NULL || swarm->in_flight < swarm->swarm.concurrency)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (task_of(self, &nodes[i])->owner.n != number)
            continue;
        if (nodes[i].goes_on)
            return true;
        blocked++;
    }
    return swarm->in_flight > blocked;
}

static bool helper_goes_on(const struct ifab_coordinator *self, const struct wait_node *nodes, size_t count, uint64_t number)
{
    uint32_t slot = slot_of(self, number);
    const struct ifab_task *helper = slot == 0 ? NULL : &task_item_at(self, slot)->task;
    if (helper == NULL || (helper->state != IFAB_TASK_BLOCKED && helper->state != IFAB_TASK_QUEUED))
        return true;
    if (helper->state == IFAB_TASK_QUEUED)
        return helper->queue.n == 0 || swarm_goes_on(self, nodes, count, helper->queue.n);
    for (size_t i = 0; i < count; i++)
        if (nodes[i].slot == slot)
            return nodes[i].goes_on;
    return true;
}

static void find_what_goes_on(const struct ifab_coordinator *self, struct wait_node *nodes, size_t count)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < count; i++) {
            const struct ifab_task *task = task_of(self, &nodes[i]);
            bool goes_on = true;
            for (size_t h = 0; h < IFAB_TASK_HELPERS_MAX; h++)
                goes_on = goes_on && (task->helpers[h] == 0 || helper_goes_on(self, nodes, count, task->helpers[h]));
            if (!goes_on || nodes[i].goes_on)
                continue;
            nodes[i].goes_on = changed = true;
        }
    }
}

/* Does a wait for b: is b a helper of it that is blocked, or one of the hands of a swarm in whose queue a helper of it stands? */
static bool waits_for(const struct ifab_coordinator *self, const struct wait_node *a, const struct wait_node *b)
{
    const struct ifab_task *task = task_of(self, a);
    for (size_t h = 0; h < IFAB_TASK_HELPERS_MAX; h++) {
        uint32_t slot = slot_of(self, task->helpers[h]);
        const struct ifab_task *helper = slot == 0 ? NULL : &task_item_at(self, slot)->task;
        if (helper != NULL && (slot == b->slot || (helper->state == IFAB_TASK_QUEUED && helper->queue.n != 0 && helper->queue.n == task_of(self, b)->owner.n)))
            return true;
    }
    return false;
}

static bool gives_way(const struct ifab_task *a, const struct ifab_task *b) /* a rather than b */
{
    return a->priority != b->priority ? a->priority > b->priority : a->number.n > b->number.n;
}

struct search {
    const struct ifab_coordinator *self;
    struct wait_node *nodes;
    uint32_t *stack;
    size_t count, stacked;
    uint32_t next_index;
    struct ifab_task_number *victims;
    size_t found, max;
};

/* The component whose root this is comes off the stack; a circle gives up one of it. */
static void take_component(struct search *s, uint32_t root)
{
    const struct ifab_task *victim = NULL;
    size_t size = 0;
    bool circle;
    uint32_t at;
    do {
        at = s->stack[--s->stacked];
        s->nodes[at].on_stack = false;
        const struct ifab_task *task = task_of(s->self, &s->nodes[at]);
        if (victim == NULL || gives_way(task, victim))
            victim = task;
        size++;
    } while (at != root);
    circle = size > 1 || waits_for(s->self, &s->nodes[root], &s->nodes[root]);
    if (circle && s->found < s->max)
        s->victims[s->found++] = victim->number;
}

static void walk(struct search *s, uint32_t start)
{
    uint32_t at = start;
    s->nodes[at].index = s->nodes[at].low = ++s->next_index;
    s->nodes[at].on_stack = true;
    s->stack[s->stacked++] = at;
    for (;;) {
        struct wait_node *node = &s->nodes[at];
        if (node->edge < s->count) {
            struct wait_node *to = &s->nodes[node->edge];
            uint32_t place = node->edge++;
            if (to->goes_on || !waits_for(s->self, node, to))
                continue;
            if (to->index == 0) {
                to->index = to->low = ++s->next_index;
                to->parent = at + 1;
                to->on_stack = true;
                s->stack[s->stacked++] = place;
                at = place;
            } else if (to->on_stack && to->index < node->low) {
                node->low = to->index;
            }
            continue;
        }
        uint32_t parent = node->parent;
        if (node->low == node->index)
            take_component(s, at);
        if (parent == 0)
            return;
        if (node->low < s->nodes[parent - 1].low)
            s->nodes[parent - 1].low = node->low;
        at = parent - 1;
    }
}

size_t ifab_tasks_in_circles(const struct ifab_coordinator *self, struct ifab_arena *arena, struct ifab_task_number *ret_victims, size_t max)
{
    size_t blocked = self->counts[IFAB_TASK_BLOCKED], count = 0;
    if (blocked == 0 || blocked > IFAB_TASKS_CIRCLES_MAX)
        return 0;
    struct wait_node *nodes = ifab_arena_calloc(arena, blocked, sizeof *nodes);
    uint32_t *stack = ifab_arena_calloc(arena, blocked, sizeof *stack);
    if (nodes == NULL || stack == NULL)
        return 0;
    for (uint32_t slot = self->blocked; slot != 0; slot = task_item_at(self, slot)->blocked_next)
        nodes[count++].slot = slot;
    find_what_goes_on(self, nodes, count);
    struct search s = {.self = self, .nodes = nodes, .stack = stack, .count = count, .victims = ret_victims, .max = max};
    for (uint32_t i = 0; i < count; i++)
        if (!nodes[i].goes_on && nodes[i].index == 0)
            walk(&s, i);
    return s.found;
}
