/*
 * The table of open tasks. See coordinator.h.
 *
 * 1. put replaces: what hung on the old one (lane, deadlines, edges, counts) is taken off before, put on after. So memory is a function of the
 *    records, whatever their order.
 * 2. Nothing here decides: the fabric asks, decides, and gives the records back.
 */
#include "coordinator_internal.h"

#define OPEN_MAX 200000
#define OPEN_PER_CREATOR 50000
#define CLOSED_MAX 2000000
#define LANES_PER_ACCOUNT (128 * IFAB_PRIORITIES)
#define RETURNING 513 /* tasks that one step may put back into queues: dependents, or what is due at a tick */

void ifab_coordinator_limits_default(struct ifab_coordinator_limits *ret_limits)
{
    *ret_limits = (struct ifab_coordinator_limits){.open = OPEN_MAX, .open_per_creator = OPEN_PER_CREATOR, .closed = CLOSED_MAX};
}

ifab_status ifab_coordinator_new(const struct ifab_coordinator_limits *limits, struct ifab_coordinator **ret)
{
    struct ifab_coordinator *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->limits = *limits;
    ifab_map_init(&self->swarm_by_id, limits->seed ^ 13);
    ifab_map_init(&self->task_by_id, limits->seed ^ 14);
    ifab_slot_pool_init(&self->tasks, sizeof(struct task_item));
    ifab_slot_pool_init(&self->edges, sizeof(struct edge));
    ifab_queue__init(self);
    ifab_closed__init(self);
    *ret = self;
    return IFAB_OK;
}

void ifab_coordinator_free(struct ifab_coordinator *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->swarm_count; i++)
        ifab_free(self->swarms[i]);
    ifab_free(self->swarms);
    ifab_map_fini(&self->swarm_by_id);
    ifab_map_fini(&self->task_by_id);
    ifab_u64map_fini(&self->task_by_number);
    ifab_u64map_fini(&self->creators);
    ifab_slot_pool_fini(&self->tasks);
    ifab_slot_pool_fini(&self->edges);
    ifab_deadline_heap_fini(&self->by_run);
    ifab_deadline_heap_fini(&self->by_wall);
    ifab_free(self->ordered);
    ifab_queue__fini(self);
    ifab_closed__fini(self);
    ifab_free(self);
}

/* The list by number, without gaps when more than half of it are. */
static void close_gaps(struct ifab_coordinator *self)
{
    size_t to = 0;
    for (size_t i = 0; i < self->ordered_count; i++)
        if (self->ordered[i] != 0) {
            task_item_at(self, self->ordered[i])->ordered = (uint32_t)to;
            self->ordered[to++] = self->ordered[i];
        }
    self->ordered_count = to;
    self->ordered_gaps = 0;
}

static ifab_status reserve_ordered(struct ifab_coordinator *self, size_t n)
{
    if (self->ordered_gaps > self->ordered_count / 2)
        close_gaps(self);
    if (self->ordered_room - self->ordered_count >= n)
        return IFAB_OK;
    size_t room = self->ordered_room + self->ordered_room / 2 + n + 64;
    uint32_t *bigger = ifab_realloc(self->ordered, room * sizeof *bigger);
    if (bigger == NULL)
        return IFAB_NOMEM;
    self->ordered = bigger;
    self->ordered_room = room;
    return IFAB_OK;
}

/* Asked before every command, of which few touch a task: what was found is remembered until something is put. What is removed gives room back. */
ifab_status ifab_coordinator_reserve(struct ifab_coordinator *self, size_t n)
{
    if (n <= self->reserved)
        return IFAB_OK;
    if (!ifab_slot_pool_reserve(&self->tasks, n) || !ifab_slot_pool_reserve(&self->edges, n * IFAB_TASK_DEPENDS_MAX))
        return IFAB_NOMEM;
    uint32_t slots = ifab_slot_pool_capacity(&self->tasks);
    if (!ifab_deadline_heap_reserve(&self->by_run, slots) || !ifab_deadline_heap_reserve(&self->by_wall, slots))
        return IFAB_NOMEM;
    IFAB_TRY(ifab_map_reserve(&self->task_by_id, n));
    IFAB_TRY(ifab_u64map_reserve(&self->task_by_number, n));
    IFAB_TRY(ifab_u64map_reserve(&self->creators, n));
    IFAB_TRY(reserve_ordered(self, n));
    IFAB_TRY(ifab_queue__reserve(self, n + RETURNING));
    IFAB_TRY(ifab_closed__reserve(self, n));
    self->reserved = n;
    return IFAB_OK;
}

/* ---- finding ---- */

static uint32_t slot_of(const struct ifab_coordinator *self, uint64_t number)
{
    uint64_t slot;
    return ifab_u64map_get(&self->task_by_number, number, &slot) ? (uint32_t)slot : 0;
}

const struct ifab_task *ifab_task_at(const struct ifab_coordinator *self, struct ifab_task_number number)
{
    uint32_t slot = slot_of(self, number.n);
    return slot == 0 ? NULL : &task_item_at(self, slot)->task;
}

const struct ifab_task *ifab_task_find(const struct ifab_coordinator *self, struct ifab_view id)
{
    uint64_t slot;
    return ifab_map_get(&self->task_by_id, id, &slot) ? &task_item_at(self, (uint32_t)slot)->task : NULL;
}

static uint64_t number_at(const struct ifab_coordinator *self, size_t place) /* the first one from here on; UINT64_MAX: none */
{
    while (place < self->ordered_count && self->ordered[place] == 0)
        place++;
    return place < self->ordered_count ? task_item_at(self, self->ordered[place])->task.number.n : UINT64_MAX;
}

/* Place of the first task whose number is above this one: a binary search over a list with gaps. */
static size_t place_after(const struct ifab_coordinator *self, uint64_t number)
{
    size_t low = 0, high = self->ordered_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (number_at(self, middle) <= number)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < self->ordered_count && self->ordered[low] == 0)
        low++;
    return low;
}

const struct ifab_task *ifab_task_after(const struct ifab_coordinator *self, struct ifab_task_number number)
{
    uint32_t slot = slot_of(self, number.n);
    size_t place = slot != 0 ? (size_t)task_item_at(self, slot)->ordered + 1 : place_after(self, number.n);
    while (place < self->ordered_count && self->ordered[place] == 0)
        place++;
    return place < self->ordered_count ? &task_item_at(self, self->ordered[place])->task : NULL;
}

size_t ifab_task_count(const struct ifab_coordinator *self, enum ifab_task_state state) { return self->counts[state]; }

/* ---- what hangs on a task ---- */

static void link_edges(struct ifab_coordinator *self, uint32_t slot)
{
    const struct ifab_task *task = &task_item_at(self, slot)->task;
    for (size_t i = 0; i < task->depends_count; i++) {
        uint32_t on = slot_of(self, task->depends_on[i]);
        if (on == 0)
            continue; /* the fabric never puts such a one; at a start it has not been read yet, or is checked by its caller */
        uint32_t at = ifab_slot_pool_take(&self->edges);
        struct edge *edge = ifab_slot_pool_at(&self->edges, at);
        *edge = (struct edge){.waiter = slot, .next = task_item_at(self, on)->waiters};
        task_item_at(self, on)->waiters = at;
    }
}

static void unlink_edges(struct ifab_coordinator *self, uint32_t slot)
{
    const struct ifab_task *task = &task_item_at(self, slot)->task;
    for (size_t i = 0; i < task->depends_count; i++) {
        uint32_t on = slot_of(self, task->depends_on[i]);
        uint32_t *at = on == 0 ? NULL : &task_item_at(self, on)->waiters;
        while (at != NULL && *at != 0) {
            struct edge *edge = ifab_slot_pool_at(&self->edges, *at);
            if (edge->waiter == slot) {
                uint32_t gone = *at;
                *at = edge->next;
                ifab_slot_pool_give(&self->edges, gone);
                break;
            }
            at = &edge->next;
        }
    }
}

static void set_deadlines(struct ifab_coordinator *self, uint32_t slot)
{
    const struct ifab_task *t = &task_item_at(self, slot)->task;
    ifab_usec run = ifab_task_owned(t->state) ? t->lease_until : t->retry_at, wall = t->state == IFAB_TASK_DEAD ? IFAB_NEVER : t->deadline;
    if (t->early && t->not_before < wall)
        wall = t->not_before;
    if (run != 0)
        ifab_deadline_heap_set(&self->by_run, slot, run, t->number.n);
    else
        ifab_deadline_heap_remove(&self->by_run, slot);
    if (wall != IFAB_NEVER)
        ifab_deadline_heap_set(&self->by_wall, slot, wall, t->number.n);
    else
        ifab_deadline_heap_remove(&self->by_wall, slot);
}

static void count_creator(struct ifab_coordinator *self, uint32_t talent, bool more)
{
    uint64_t count = 0;
    (void)ifab_u64map_get(&self->creators, talent, &count);
    (void)ifab_u64map_put(&self->creators, talent, more ? count + 1 : count - 1); /* talents are bounded */
}

static void leave_blocked(struct ifab_coordinator *self, uint32_t slot)
{
    struct task_item *item = task_item_at(self, slot);
    if (item->blocked_previous != 0)
        task_item_at(self, item->blocked_previous)->blocked_next = item->blocked_next;
    else
        self->blocked = item->blocked_next;
    if (item->blocked_next != 0)
        task_item_at(self, item->blocked_next)->blocked_previous = item->blocked_previous;
    item->blocked_next = item->blocked_previous = 0;
}

static void enter_blocked(struct ifab_coordinator *self, uint32_t slot)
{
    task_item_at(self, slot)->blocked_next = self->blocked;
    if (self->blocked != 0)
        task_item_at(self, self->blocked)->blocked_previous = slot;
    self->blocked = slot;
}

/* A hand (2), or a place in a queue (1). */
static int place_of(const struct ifab_task *task) { return ifab_task_owned(task->state) ? 2 : task->state == IFAB_TASK_QUEUED; }
static bool wants(const struct ifab_task *task) { return task->wants_size > 0; }

static void leave_wanting(struct ifab_coordinator *self, uint32_t slot)
{
    struct task_item *item = task_item_at(self, slot);
    *(item->wanting_previous != 0 ? &task_item_at(self, item->wanting_previous)->wanting_next : &self->wanting) = item->wanting_next;
    *(item->wanting_next != 0 ? &task_item_at(self, item->wanting_next)->wanting_previous : &self->wanting_last) = item->wanting_previous;
    item->wanting_next = item->wanting_previous = 0;
    self->wanting_count--;
}

static void enter_wanting(struct ifab_coordinator *self, uint32_t slot)
{
    task_item_at(self, slot)->wanting_previous = self->wanting_last;
    *(self->wanting_last != 0 ? &task_item_at(self, self->wanting_last)->wanting_next : &self->wanting) = slot;
    self->wanting_last = slot;
    self->wanting_count++;
}

static void take_off(struct ifab_coordinator *self, uint32_t slot)
{
    const struct ifab_task *task = &task_item_at(self, slot)->task;
    struct swarm_node *owner = ifab_coordinator__swarm(self, task->owner.n);
    if (task->state == IFAB_TASK_QUEUED)
        ifab_queue__leave(self, slot);
    if (task->state == IFAB_TASK_BLOCKED)
        leave_blocked(self, slot);
    unlink_edges(self, slot);
    self->counts[task->state]--;
    if (owner != NULL) {
        owner->in_flight--;
        owner->blocked -= task->state == IFAB_TASK_BLOCKED;
    }
}

static void hang_on(struct ifab_coordinator *self, uint32_t slot)
{
    const struct ifab_task *task = &task_item_at(self, slot)->task;
    struct swarm_node *owner = ifab_coordinator__swarm(self, task->owner.n);
    if (task->state == IFAB_TASK_QUEUED)
        ifab_queue__enter(self, slot);
    if (task->state == IFAB_TASK_BLOCKED)
        enter_blocked(self, slot);
    link_edges(self, slot);
    self->counts[task->state]++;
    if (owner != NULL) {
        owner->in_flight++;
        owner->blocked += task->state == IFAB_TASK_BLOCKED;
    }
    set_deadlines(self, slot);
}

/* A new one has the largest number, but for a start that reads in another order. */
static void enter_order(struct ifab_coordinator *self, uint32_t slot)
{
    uint64_t number = task_item_at(self, slot)->task.number.n;
    size_t place = self->ordered_count;
    if (number < self->ordered_newest && place_after(self, number) < place) {
        place = place_after(self, number);
        memmove(self->ordered + place + 1, self->ordered + place, (self->ordered_count - place) * sizeof *self->ordered);
        for (size_t i = place + 1; i <= self->ordered_count; i++)
            if (self->ordered[i] != 0)
                task_item_at(self, self->ordered[i])->ordered = (uint32_t)i;
    }
    self->ordered[place] = slot;
    task_item_at(self, slot)->ordered = (uint32_t)place;
    self->ordered_count++;
    if (number > self->ordered_newest)
        self->ordered_newest = number;
}

void ifab_task_put(struct ifab_coordinator *self, const struct ifab_task *task)
{
    self->reserved = 0;
    uint32_t slot = slot_of(self, task->number.n);
    if (slot != 0) {
        const struct ifab_task *old = &task_item_at(self, slot)->task;
        bool wanted = wants(old);
        self->places += place_of(old) != 0 && place_of(old) != place_of(task);
        take_off(self, slot);
        task_item_at(self, slot)->task = *task;
        hang_on(self, slot);
        if (wanted && !wants(task))
            leave_wanting(self, slot);
        else if (!wanted && wants(task))
            enter_wanting(self, slot);
        return;
    }
    slot = ifab_slot_pool_take(&self->tasks);
    task_item_at(self, slot)->task = *task;
    (void)ifab_u64map_put(&self->task_by_number, task->number.n, slot); /* there is room */
    (void)ifab_map_put(&self->task_by_id, ifab_view_str(task->id), slot);
    enter_order(self, slot);
    count_creator(self, task->creator.talent, true);
    hang_on(self, slot);
    if (wants(task))
        enter_wanting(self, slot);
}

void ifab_task_remove(struct ifab_coordinator *self, struct ifab_task_number number)
{
    uint32_t slot = slot_of(self, number.n);
    if (slot == 0)
        return;
    struct task_item *item = task_item_at(self, slot);
    take_off(self, slot);
    self->places += place_of(&item->task) != 0;
    if (wants(&item->task))
        leave_wanting(self, slot);
    for (uint32_t at = item->waiters, next; at != 0; at = next) { /* their records change in the same step */
        next = ((struct edge *)ifab_slot_pool_at(&self->edges, at))->next;
        ifab_slot_pool_give(&self->edges, at);
    }
    ifab_deadline_heap_remove(&self->by_run, slot);
    ifab_deadline_heap_remove(&self->by_wall, slot);
    count_creator(self, item->task.creator.talent, false);
    (void)ifab_u64map_remove(&self->task_by_number, number.n);
    (void)ifab_map_remove(&self->task_by_id, ifab_view_str(item->task.id));
    self->ordered[item->ordered] = 0;
    self->ordered_gaps++;
    ifab_slot_pool_give(&self->tasks, slot);
}

size_t ifab_task_dependents(const struct ifab_coordinator *self, struct ifab_task_number number, uint64_t *ret_numbers, size_t max)
{
    uint32_t slot = slot_of(self, number.n);
    size_t count = 0;
    for (uint32_t at = slot == 0 ? 0 : task_item_at(self, slot)->waiters; at != 0 && count < max;) {
        const struct edge *edge = ifab_slot_pool_at(&self->edges, at);
        uint64_t waiter = task_item_at(self, edge->waiter)->task.number.n;
        size_t i = count++;
        for (; i > 0 && ret_numbers[i - 1] > waiter; i--) /* in order of number, however the edges came to lie */
            ret_numbers[i] = ret_numbers[i - 1];
        ret_numbers[i] = waiter;
        at = edge->next;
    }
    return count;
}

/* ---- room ---- */

static struct ifab_task_number least_below(const struct ifab_coordinator *self, uint64_t key, unsigned priority)
{
    const struct ifab_task *least = NULL;
    const struct account *account = ifab_queue__account(self, key);
    for (uint32_t at = account == NULL ? 0 : account->lanes; at != 0;) {
        const struct lane *lane = ifab_slot_pool_at(&self->lanes, at);
        if (lane->root != 0 && lane->priority > priority) {
            const struct ifab_task *task = &task_item_at(self, lane->root)->task;
            if (least == NULL || task->priority > least->priority ||
                (task->priority == least->priority && (task->queued_index < least->queued_index ||
                                                       (task->queued_index == least->queued_index && task->number.n < least->number.n))))
                least = task;
        }
        at = lane->next;
    }
    return least == NULL ? (struct ifab_task_number){0} : least->number;
}

enum ifab_code ifab_task_admit(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_task_number *ret_shed,
                               struct ifab_refusal *ret_refusal)
{
    const struct swarm_node *swarm = ifab_coordinator__swarm(self, task->queue.n);
    const struct account *account = ifab_queue__account(self, ifab_queue__key(task));
    uint64_t mine = 0;
    *ret_shed = (struct ifab_task_number){0};
    (void)ifab_u64map_get(&self->creators, task->creator.talent, &mine);
    if (self->task_by_number.count >= self->limits.open)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, NULL, "%u tasks are open in this fabric, which is its limit", self->limits.open);
    if (mine >= self->limits.open_per_creator)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, NULL, "%u open tasks were made by this one, which is the limit",
                           self->limits.open_per_creator);
    if (!task->minted && self->closed_ends[0].count + self->task_by_number.count >= self->limits.closed)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "id", "so many chosen ids are remembered for 30 days; let the fabric choose one");
    if (account != NULL && account->lane_count >= LANES_PER_ACCOUNT)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "needs", "tasks of too many different needs, priorities and prices wait in this queue");
    enum ifab_code code = ifab_task_readmit(self, task, NULL);
    if (code != IFAB_CODE_NONE && swarm->swarm.queue_policy == IFAB_QUEUE_SHED_LOWEST)
        *ret_shed = least_below(self, ifab_queue__key(task), task->priority);
    return ret_shed->n != 0 ? IFAB_CODE_NONE : ifab_task_readmit(self, task, ret_refusal);
}

enum ifab_code ifab_task_readmit(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_refusal *ret_refusal)
{
    const struct swarm_node *swarm = ifab_coordinator__swarm(self, task->queue.n);
    const struct account *account = ifab_queue__account(self, ifab_queue__key(task));
    if (swarm == NULL || account == NULL || account->queued < swarm->swarm.queue_limit)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_QUEUE_FULL, "swarm", "%u tasks wait in the queue of " IFAB_FMT ", which is its limit", account->queued,
                       IFAB_ARG(swarm->swarm.id));
}

enum ifab_code ifab_task_stranger(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_task_number *shed,
                                  struct ifab_refusal *ret_refusal)
{
    const struct swarm_node *swarm = ifab_coordinator__swarm(self, task->queue.n);
    uint32_t mine = ifab_queue__made_by(self, ifab_queue__key(task), task->creator.talent);
    if (swarm == NULL)
        return IFAB_CODE_NONE;
    if (shed->n != 0) {
        *shed = mine == 0 ? (struct ifab_task_number){0} : ifab_queue__least_of(self, ifab_queue__key(task), task->priority, task->creator.talent);
        return shed->n != 0 ? IFAB_CODE_NONE : ifab_task_readmit(self, task, ret_refusal);
    }
    uint32_t share = swarm->swarm.queue_limit / 2 > 0 ? swarm->swarm.queue_limit / 2 : 1;
    if (mine < share)
        return IFAB_CODE_NONE;
    return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "swarm", "%u tasks of yours wait in the queue of " IFAB_FMT ", half of its places; more is for its members",
                       mine, IFAB_ARG(swarm->swarm.id));
}

/* ---- what is due ---- */

size_t ifab_tasks_expired(const struct ifab_coordinator *self, ifab_usec run, uint64_t *ret_numbers, size_t max)
{
    return ifab_deadline_heap_first(&self->by_run, run + 1, ret_numbers, max);
}

size_t ifab_tasks_timed(const struct ifab_coordinator *self, ifab_usec wall, uint64_t *ret_numbers, size_t max)
{
    return ifab_deadline_heap_first(&self->by_wall, wall + 1, ret_numbers, max);
}

ifab_usec ifab_tasks_due_run(const struct ifab_coordinator *self) { return self->by_run.count == 0 ? IFAB_NEVER : self->by_run.items[0].when; }
ifab_usec ifab_tasks_due_wall(const struct ifab_coordinator *self) { return self->by_wall.count == 0 ? IFAB_NEVER : self->by_wall.items[0].when; }

static uint64_t last_look(const struct ifab_coordinator *self, uint32_t slot)
{
    const struct swarm_node *owner = ifab_coordinator__swarm(self, task_item_at(self, slot)->task.owner.n);
    return owner == NULL ? 0 : owner->looked;
}

/* The first of the swarm whose turn is the longest ago, beyond that of `after`; 0: none. */
static uint32_t next_wanting(const struct ifab_coordinator *self, uint32_t after)
{
    uint32_t best = 0;
    size_t seen = 0;
    for (uint32_t at = self->wanting; at != 0 && seen < IFAB_TASK_WANTING_SEEN; at = task_item_at(self, at)->wanting_next, seen++) {
        bool later = after == 0 || (task_item_at(self, at)->task.owner.n != task_item_at(self, after)->task.owner.n && last_look(self, at) >= last_look(self, after));
        if (later && (best == 0 || last_look(self, at) < last_look(self, best)))
            best = at;
    }
    return best;
}

size_t ifab_tasks_wanting(const struct ifab_coordinator *self, uint64_t *ret_numbers, size_t max)
{
    size_t count = 0;
    for (uint32_t at = next_wanting(self, 0); at != 0 && count < max; at = next_wanting(self, at))
        ret_numbers[count++] = task_item_at(self, at)->task.number.n;
    return count;
}

void ifab_task_looked_at(struct ifab_coordinator *self, struct ifab_task_number number)
{
    uint32_t slot = slot_of(self, number.n);
    struct swarm_node *owner = slot == 0 ? NULL : ifab_coordinator__swarm(self, task_item_at(self, slot)->task.owner.n);
    if (owner != NULL)
        owner->looked = ++self->looks;
    if (slot == 0 || !wants(&task_item_at(self, slot)->task))
        return;
    leave_wanting(self, slot);
    enter_wanting(self, slot);
}

uint32_t ifab_tasks_wanting_count(const struct ifab_coordinator *self) { return self->wanting_count; }
uint64_t ifab_coordinator_places(const struct ifab_coordinator *self) { return self->places; }

/* May this claimer take this one: is it in its queue or open to all, and do its skills cover what is needed? */
bool ifab_task_fits(const struct ifab_coordinator *self, const struct ifab_task *task, struct ifab_swarm_number swarm, const struct ifab_names *skills)
{
    struct ifab_names needs = ifab_task_needs(task);
    (void)self;
    return (task->queue.n == 0 || task->queue.n == swarm.n) && ifab_names_cover(skills, &needs);
}
