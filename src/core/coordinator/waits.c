/*
 * Who waits for whom: blocked tasks that can never go on by themselves, since each waits for help from a swarm all of whose hands are blocked as well.
 *
 * 1. The graph has a vertex for each blocked task and one for each swarm. A task waits for what helps it: a blocked task, or the swarm in whose queue its
 *    help stands. A swarm waits for its hands, which are blocked tasks. So there are at most IFAB_TASK_HELPERS_MAX + 1 edges a task, however many hands.
 * 2. What can go on is found first: a swarm that has a hand free, or one that is not blocked; a task all of whose help goes on, a swarm one of whose hands
 *    does. Who goes on is told to those that wait for it, once. What waits for a person (no helper, or a dead one) goes on.
 * 3. Among the other tasks, circles are the strongly connected components (Tarjan 1972, without recursion), a task that waits for itself included. Of each,
 *    one gives way: of least priority, then the youngest. So the victim does not depend on where the search begins (INV-14), nor does their order.
 * 4. Steps and memory are linear in blocked tasks, swarms and slots of tasks. Memory is taken once, before the search.
 */
#include "coordinator_internal.h"

#define NOBODY UINT32_MAX
#define EDGES  IFAB_TASK_HELPERS_MAX

struct vertex { /* a blocked task, or, behind all of those, a swarm */
    uint32_t slot;               /* task */
    uint32_t left;               /* task: help that does not go on yet. Swarm: hands that are blocked */
    uint32_t hand;               /* swarm: its first hand. Task: the next one of the same swarm */
    uint32_t waiters;            /* the first edge that leads here */
    uint32_t index, low, parent; /* Tarjan's; index 0: not seen; parent: the one before it in the walk */
    uint32_t step;               /* task: edges that were looked at. Swarm: the next hand to look at */
    bool goes_on, on_stack;
};
struct edge_to { /* place / EDGES: the task that waits */
    uint32_t vertex; /* for which; NOBODY: no such edge */
    uint32_t next;   /* of those that lead to the same vertex */
};
struct search {
    const struct ifab_coordinator *self;
    struct vertex *vertices;
    struct edge_to *edges;
    uint32_t *stack;   /* room for each vertex: of what goes on, then Tarjan's */
    uint32_t *by_slot; /* the vertex of a blocked task, plus one */
    uint32_t tasks, stacked, next_index;
    struct ifab_task_number *victims;
    size_t found, max;
};

static const struct ifab_task *task_of(const struct search *s, uint32_t at) { return &task_item_at(s->self, s->vertices[at].slot)->task; }

static uint32_t vertex_of_swarm(const struct search *s, uint64_t number)
{
    size_t place = ifab_coordinator__swarm_place(s->self, number);
    return place < s->self->swarm_count ? s->tasks + (uint32_t)place : NOBODY;
}

/* ---- 1. the graph ---- */

static bool take_memory(struct search *s, struct ifab_arena *arena)
{
    size_t count = s->tasks + s->self->swarm_count;
    s->vertices = ifab_arena_calloc(arena, count, sizeof *s->vertices);
    s->edges = ifab_arena_calloc(arena, (size_t)s->tasks * EDGES, sizeof *s->edges);
    s->stack = ifab_arena_calloc(arena, count, sizeof *s->stack);
    s->by_slot = ifab_arena_calloc(arena, (size_t)ifab_slot_pool_capacity(&s->self->tasks) + 1, sizeof *s->by_slot);
    return s->vertices != NULL && s->edges != NULL && s->stack != NULL && s->by_slot != NULL;
}

static void add_vertices(struct search *s)
{
    uint32_t count = 0;
    for (size_t i = 0; i < s->tasks + s->self->swarm_count; i++)
        s->vertices[i].waiters = s->vertices[i].hand = s->vertices[i].parent = NOBODY;
    for (uint32_t slot = s->self->blocked; slot != 0; slot = task_item_at(s->self, slot)->blocked_next) {
        uint32_t owner = vertex_of_swarm(s, task_item_at(s->self, slot)->task.owner.n), at = count++;
        s->vertices[at].slot = slot;
        s->by_slot[slot] = at + 1;
        if (owner == NOBODY)
            continue;
        s->vertices[at].hand = s->vertices[owner].hand;
        s->vertices[owner].hand = at;
        s->vertices[owner].left++;
    }
}

/* For whom does one wait that this task helps? */
static uint32_t waits_for(const struct search *s, uint64_t helper)
{
    uint64_t slot;
    if (helper == 0 || !ifab_u64map_get(&s->self->task_by_number, helper, &slot))
        return NOBODY;
    const struct ifab_task *task = &task_item_at(s->self, (uint32_t)slot)->task;
    if (task->state == IFAB_TASK_BLOCKED)
        return s->by_slot[slot] - 1;
    return task->state == IFAB_TASK_QUEUED ? vertex_of_swarm(s, task->queue.n) : NOBODY;
}

static void add_edges(struct search *s)
{
    for (uint32_t i = 0; i < s->tasks * EDGES; i++) {
        uint32_t from = i / EDGES, to = waits_for(s, task_of(s, from)->helpers[i % EDGES]);
        s->edges[i].vertex = to;
        if (to == NOBODY)
            continue;
        s->edges[i].next = s->vertices[to].waiters;
        s->vertices[to].waiters = i;
        s->vertices[from].left++;
    }
}

/* ---- 2. what goes on ---- */

static void goes_on(struct search *s, uint32_t at)
{
    if (s->vertices[at].goes_on)
        return;
    s->vertices[at].goes_on = true;
    s->stack[s->stacked++] = at;
}

static void find_what_goes_on(struct search *s)
{
    for (uint32_t at = 0; at < s->tasks; at++)
        if (s->vertices[at].left == 0)
            goes_on(s, at);
    for (uint32_t i = 0; i < s->self->swarm_count; i++) {
        const struct swarm_node *swarm = s->self->swarms[i];
        if (swarm->in_flight < swarm->swarm.concurrency || swarm->in_flight > s->vertices[s->tasks + i].left)
            goes_on(s, s->tasks + i);
    }
    while (s->stacked > 0) {
        uint32_t at = s->stack[--s->stacked];
        uint32_t owner = at < s->tasks ? vertex_of_swarm(s, task_of(s, at)->owner.n) : NOBODY;
        if (owner != NOBODY)
            goes_on(s, owner);
        for (uint32_t edge = s->vertices[at].waiters; edge != NOBODY; edge = s->edges[edge].next)
            if (--s->vertices[edge / EDGES].left == 0)
                goes_on(s, edge / EDGES);
    }
}

/* ---- 3. circles ---- */

static bool gives_way(const struct ifab_task *a, const struct ifab_task *b) /* a rather than b */
{
    return a->priority != b->priority ? a->priority > b->priority : a->number.n > b->number.n;
}

/* In order of number, however the tasks came to lie: the least ones, when there are more than were asked for. */
static void add_victim(struct search *s, struct ifab_task_number victim)
{
    size_t i = s->found < s->max ? s->found++ : s->max;
    for (; i > 0 && s->victims[i - 1].n > victim.n; i--)
        if (i < s->max)
            s->victims[i] = s->victims[i - 1];
    if (i < s->max)
        s->victims[i] = victim;
}

/* The component whose root this is comes off the stack; a circle gives up one of it. */
static void take_component(struct search *s, uint32_t root)
{
    const struct ifab_task *victim = NULL;
    size_t size = 0;
    bool circle = false;
    uint32_t at;
    do {
        at = s->stack[--s->stacked];
        s->vertices[at].on_stack = false;
        size++;
        if (at >= s->tasks)
            continue;
        const struct ifab_task *task = task_of(s, at);
        if (victim == NULL || gives_way(task, victim))
            victim = task;
        for (uint32_t e = 0; e < EDGES; e++)
            circle = circle || s->edges[at * EDGES + e].vertex == at;
    } while (at != root);
    if (victim != NULL && (circle || size > 1))
        add_victim(s, victim->number);
}

/* The next one that this one waits for; tasks that go on are left out. NOBODY: there is none any more. */
static uint32_t next_of(const struct search *s, uint32_t at)
{
    struct vertex *vertex = &s->vertices[at];
    for (;;) {
        uint32_t to;
        if (at < s->tasks) {
            if (vertex->step == EDGES)
                return NOBODY;
            to = s->edges[at * EDGES + vertex->step++].vertex;
        } else {
            to = vertex->step;
            if (to == NOBODY)
                return NOBODY;
            vertex->step = s->vertices[to].hand;
        }
        if (to != NOBODY && (to >= s->tasks || !s->vertices[to].goes_on))
            return to;
    }
}

static void enter(struct search *s, uint32_t at, uint32_t parent)
{
    struct vertex *vertex = &s->vertices[at];
    vertex->index = vertex->low = ++s->next_index;
    vertex->parent = parent;
    vertex->step = at < s->tasks ? 0 : vertex->hand;
    vertex->on_stack = true;
    s->stack[s->stacked++] = at;
}

static void walk(struct search *s, uint32_t start)
{
    enter(s, start, NOBODY);
    for (uint32_t at = start; at != NOBODY;) {
        struct vertex *vertex = &s->vertices[at];
        uint32_t to = next_of(s, at);
        if (to == NOBODY) {
            if (vertex->low == vertex->index)
                take_component(s, at);
            at = vertex->parent;
            if (at != NOBODY && vertex->low < s->vertices[at].low)
                s->vertices[at].low = vertex->low;
        } else if (s->vertices[to].index == 0) {
            enter(s, to, at);
            at = to;
        } else if (s->vertices[to].on_stack && s->vertices[to].index < vertex->low) {
            vertex->low = s->vertices[to].index;
        }
    }
}

bool ifab_tasks_in_circles(const struct ifab_coordinator *self, struct ifab_arena *arena, struct ifab_task_number *ret_victims, size_t max, size_t *ret_count)
{
    struct search s = {.self = self, .tasks = self->counts[IFAB_TASK_BLOCKED], .victims = ret_victims, .max = max};
    *ret_count = 0;
    if (s.tasks == 0)
        return true;
    if (!take_memory(&s, arena))
        return false;
    add_vertices(&s);
    add_edges(&s);
    find_what_goes_on(&s);
    for (uint32_t at = 0; at < s.tasks; at++)
        if (!s.vertices[at].goes_on && s.vertices[at].index == 0)
            walk(&s, at);
    *ret_count = s.found;
    return true;
}
