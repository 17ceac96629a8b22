/*
 * Which task next: accounts, lanes, and the course of the queue. See coordinator.h and docs/decisions/fair-claims.md.
 *
 *   account (a swarm's queue, or of one maker of open tasks)  --< lane (priority, set of needs, price, help or not)  --< ready tasks, the oldest first
 *   class (a set of needs)  --< lanes open to all, by start tag      --< lanes of long queues of swarms but help, least priority and oldest first
 *
 * 1. A flow is an account's ready tasks of one priority. Its start tag grows with each task served by SCALE over its weight, so flows that always
 *    have work are served in proportion to their weights; one that comes anew starts at the course, so nothing is saved up by being idle.
 * 2. Weights: 8, 4, 2, 1 by priority, times the swarm's; doubled for each minute that the flow's first task waits, up to that of P0.
 * 3. Tasks of a lane cost about the same (price_of), so who cannot pay for its first passes over the lane, not over what is cheap behind it. Lanes of one
 *    flow have one tag, and the older first task goes first: prices change nothing in the order of those who can pay.
 * 4. A lane's place in a heap depends on its flow's tag and its first task: it is taken out before either changes.
 */
#include "coordinator_internal.h"

#include "base/encode.h"

#include <string.h>

#define SCALE ((uint64_t)1 << 32)
#define AGE IFAB_MINUTE
static const uint32_t weights[IFAB_PRIORITIES] = {8, 4, 2, 1};

static struct lane *lane_at(const struct ifab_coordinator *self, uint32_t slot) { return ifab_slot_pool_at(&self->lanes, slot); }
static struct account *account_at(const struct ifab_coordinator *self, uint32_t slot) { return ifab_slot_pool_at(&self->accounts, slot); }
static struct task_class *class_at(const struct ifab_coordinator *self, uint32_t slot) { return ifab_slot_pool_at(&self->classes, slot); }

/* ---- orders ---- */

static bool older(const struct ifab_task *a, const struct ifab_task *b)
{
    return a->queued_index != b->queued_index ? a->queued_index < b->queued_index : a->number.n < b->number.n;
}

static struct pairing_links *task_links(const void *owner, uint32_t slot) { return &task_item_at(owner, slot)->links; }
static bool task_before(const void *owner, uint32_t a, uint32_t b) { return older(&task_item_at(owner, a)->task, &task_item_at(owner, b)->task); }
static const struct pairing_order by_age = {task_links, task_before};

static struct pairing_links *lane_links(const void *owner, uint32_t slot) { return &lane_at(owner, slot)->links; }

static const struct ifab_task *first_of(const struct ifab_coordinator *self, const struct lane *lane)
{
    return &task_item_at(self, lane->root)->task;
}

static uint64_t tag_of(const struct ifab_coordinator *self, const struct lane *lane)
{
    return account_at(self, lane->account)->tags[lane->priority];
}

static bool course_before(const void *owner, uint32_t a, uint32_t b)
{
    const struct lane *left = lane_at(owner, a), *right = lane_at(owner, b);
    uint64_t x = tag_of(owner, left), y = tag_of(owner, right);
    return x != y ? x < y : older(first_of(owner, left), first_of(owner, right));
}
static const struct pairing_order by_course = {lane_links, course_before};

static bool steal_before(const void *owner, uint32_t a, uint32_t b)
{
    const struct lane *left = lane_at(owner, a), *right = lane_at(owner, b);
    return left->priority != right->priority ? left->priority > right->priority : older(first_of(owner, left), first_of(owner, right));
}
static const struct pairing_order by_stealing = {lane_links, steal_before};

/* ---- lanes in their class's heaps ---- */

static void lane_out(struct ifab_coordinator *self, uint32_t slot)
{
    struct lane *lane = lane_at(self, slot);
    struct task_class *class = class_at(self, lane->task_class);
    if (lane->in == LANE_OPEN)
        class->open_root = ifab_pairing__remove(&by_course, self, class->open_root, slot);
    else if (lane->in == LANE_STEAL)
        class->steal_root = ifab_pairing__remove(&by_stealing, self, class->steal_root, slot);
    lane->in = LANE_IDLE;
}

static void lane_in(struct ifab_coordinator *self, uint32_t slot)
{
    struct lane *lane = lane_at(self, slot);
    struct task_class *class = class_at(self, lane->task_class);
    const struct account *account = account_at(self, lane->account);
    if (lane->ready == 0)
        return;
    if ((account->key & OPEN_ACCOUNT) != 0) {
        class->open_root = ifab_pairing__insert(&by_course, self, class->open_root, slot);
        lane->in = LANE_OPEN;
    } else if (account->ready > IFAB_STEAL_ABOVE && !lane->help) {
        class->steal_root = ifab_pairing__insert(&by_stealing, self, class->steal_root, slot);
        lane->in = LANE_STEAL;
    }
}

/* All lanes of an account, or of one of its flows (priority < IFAB_PRIORITIES), are taken out or put back. */
static void account_lanes(struct ifab_coordinator *self, const struct account *account, unsigned priority,
                          void (*what)(struct ifab_coordinator *, uint32_t))
{
    for (uint32_t slot = account->lanes; slot != 0; slot = lane_at(self, slot)->next)
        if (priority >= IFAB_PRIORITIES || lane_at(self, slot)->priority == priority)
            what(self, slot);
}

static void set_tag(struct ifab_coordinator *self, struct account *account, unsigned priority, uint64_t tag)
{
    if (account->tags[priority] == tag)
        return;
    account_lanes(self, account, priority, lane_out);
    account->tags[priority] = tag;
    account_lanes(self, account, priority, lane_in);
}

/* ---- accounts, classes, lanes come and go ---- */

uint64_t ifab_queue__key(const struct ifab_task *task) { return task->queue.n != 0 ? task->queue.n : OPEN_ACCOUNT | task->creator.talent; }

static uint32_t account_slot(const struct ifab_coordinator *self, uint64_t key)
{
    uint64_t slot;
    return ifab_u64map_get(&self->account_by_key, key, &slot) ? (uint32_t)slot : 0;
}

const struct account *ifab_queue__account(const struct ifab_coordinator *self, uint64_t key)
{
    uint32_t slot = account_slot(self, key);
    return slot == 0 ? NULL : account_at(self, slot);
}

static uint32_t account_of(struct ifab_coordinator *self, uint64_t key)
{
    uint32_t slot = account_slot(self, key);
    if (slot != 0)
        return slot;
    slot = ifab_slot_pool_take(&self->accounts);
    *account_at(self, slot) = (struct account){.key = key};
    (void)ifab_u64map_put(&self->account_by_key, key, slot); /* there is room */
    return slot;
}

static uint32_t class_of(struct ifab_coordinator *self, const struct ifab_task *task)
{
    struct ifab_view needs = ifab_view_of(task->needs, task->needs_size);
    uint64_t found;
    if (ifab_map_get(&self->class_by_needs, needs, &found))
        return (uint32_t)found;
    uint32_t slot = ifab_slot_pool_take(&self->classes);
    struct task_class *class = class_at(self, slot);
    if (needs.size > 0)
        memcpy(class->needs, needs.data, needs.size);
    (void)ifab_names_read(ifab_view_of(class->needs, needs.size), &class->names);
    class->next = self->class_list;
    if (class->next != 0)
        class_at(self, class->next)->previous = slot;
    self->class_list = slot;
    (void)ifab_map_put(&self->class_by_needs, needs, slot); /* there is room */
    return slot;
}

static void class_release(struct ifab_coordinator *self, uint32_t slot)
{
    struct task_class *class = class_at(self, slot);
    if (--class->lanes > 0)
        return;
    (void)ifab_map_remove(&self->class_by_needs, ifab_view_of(class->needs, class->names.size));
    if (class->previous != 0)
        class_at(self, class->previous)->next = class->next;
    else
        self->class_list = class->next;
    if (class->next != 0)
        class_at(self, class->next)->previous = class->previous;
    ifab_slot_pool_give(&self->classes, slot);
}

/* Up to what power of four a task may cost, in each unit: 0 (nothing) to 27. */
static uint32_t price_of(const struct ifab_task *task)
{
    uint32_t price = 0;
    for (size_t unit = 0; unit < IFAB_COUNT_OF_UNITS; unit++) {
        uint32_t power = 0;
        for (int64_t left = task->budget[unit]; left > 0; left >>= 2)
            power++;
        price = price << 5 | power;
    }
    return price;
}

#define LANE_KEY 14
static struct ifab_view lane_key(uint8_t storage[LANE_KEY], const struct lane *lane)
{
    uint8_t *at = storage;
    ifab_put_u32(&at, lane->account);
    ifab_put_u8(&at, lane->priority);
    ifab_put_u32(&at, lane->task_class);
    ifab_put_u32(&at, lane->price);
    ifab_put_u8(&at, lane->help);
    return ifab_view_of(storage, LANE_KEY);
}

static uint32_t lane_of(struct ifab_coordinator *self, const struct ifab_task *task)
{
    uint8_t key[LANE_KEY];
    uint64_t found;
    uint32_t account = account_of(self, ifab_queue__key(task)), class = class_of(self, task);
    struct lane sought = {.account = account, .task_class = class, .price = price_of(task), .priority = task->priority, .help = task->parent != 0};
    struct ifab_view name = lane_key(key, &sought);
    if (ifab_map_get(&self->lane_by_key, name, &found))
        return (uint32_t)found;
    uint32_t slot = ifab_slot_pool_take(&self->lanes);
    struct lane *lane = lane_at(self, slot);
    struct account *of = account_at(self, account);
    *lane = sought;
    lane->next = of->lanes;
    if (of->lanes != 0)
        lane_at(self, of->lanes)->previous = slot;
    of->lanes = slot;
    of->lane_count++;
    class_at(self, class)->lanes++;
    (void)ifab_map_put(&self->lane_by_key, name, slot); /* there is room */
    return slot;
}

static void lane_release(struct ifab_coordinator *self, uint32_t slot)
{
    struct lane *lane = lane_at(self, slot);
    struct account *account = account_at(self, lane->account);
    uint8_t key[LANE_KEY];
    if (lane->queued > 0)
        return;
    (void)ifab_map_remove(&self->lane_by_key, lane_key(key, lane));
    if (lane->previous != 0)
        lane_at(self, lane->previous)->next = lane->next;
    else
        account->lanes = lane->next;
    if (lane->next != 0)
        lane_at(self, lane->next)->previous = lane->previous;
    account->lane_count--;
    class_release(self, lane->task_class);
    ifab_slot_pool_give(&self->lanes, slot);
}

ifab_status ifab_queue__reserve(struct ifab_coordinator *self, size_t n)
{
    if (!ifab_slot_pool_reserve(&self->lanes, n) || !ifab_slot_pool_reserve(&self->classes, n) || !ifab_slot_pool_reserve(&self->accounts, n))
        return IFAB_NOMEM;
    IFAB_TRY(ifab_map_reserve(&self->class_by_needs, n));
    IFAB_TRY(ifab_map_reserve(&self->lane_by_key, n));
    IFAB_TRY(ifab_u64map_reserve(&self->made_by, n));
    return ifab_u64map_reserve(&self->account_by_key, n);
}

void ifab_queue__init(struct ifab_coordinator *self)
{
    ifab_slot_pool_init(&self->lanes, sizeof(struct lane));
    ifab_slot_pool_init(&self->classes, sizeof(struct task_class));
    ifab_slot_pool_init(&self->accounts, sizeof(struct account));
    ifab_map_init(&self->class_by_needs, self->limits.seed ^ 11);
    ifab_map_init(&self->lane_by_key, self->limits.seed ^ 12);
}

void ifab_queue__fini(struct ifab_coordinator *self)
{
    ifab_slot_pool_fini(&self->lanes);
    ifab_slot_pool_fini(&self->classes);
    ifab_slot_pool_fini(&self->accounts);
    ifab_map_fini(&self->class_by_needs);
    ifab_map_fini(&self->lane_by_key);
    ifab_u64map_fini(&self->account_by_key);
    ifab_u64map_fini(&self->made_by);
}

/* ---- tasks come and go ---- */

/* A queue that becomes long, or is no more: all its lanes change their place. */
static void count_ready(struct ifab_coordinator *self, struct account *account, unsigned priority, bool more)
{
    uint32_t before = account->ready, after = more ? before + 1 : before - 1;
    bool crosses = (account->key & OPEN_ACCOUNT) == 0 && (before > IFAB_STEAL_ABOVE) != (after > IFAB_STEAL_ABOVE);
    account->flow_ready[priority] += more ? 1 : (uint32_t)-1;
    if (crosses)
        account_lanes(self, account, IFAB_PRIORITIES, lane_out);
    account->ready = after;
    if (crosses)
        account_lanes(self, account, IFAB_PRIORITIES, lane_in);
}

/* In the queue of a swarm; who makes tasks open to all has a queue for each maker already. */
static void count_made(struct ifab_coordinator *self, uint32_t account, const struct ifab_task *task, bool more)
{
    uint64_t key = (uint64_t)account << 32 | task->creator.talent, count = 0;
    if ((account_at(self, account)->key & OPEN_ACCOUNT) != 0)
        return;
    (void)ifab_u64map_get(&self->made_by, key, &count);
    if (!more && count == 1)
        (void)ifab_u64map_remove(&self->made_by, key);
    else
        (void)ifab_u64map_put(&self->made_by, key, more ? count + 1 : count - 1); /* there is room */
}

uint32_t ifab_queue__made_by(const struct ifab_coordinator *self, uint64_t key, uint32_t talent)
{
    uint64_t count = 0;
    (void)ifab_u64map_get(&self->made_by, (uint64_t)account_slot(self, key) << 32 | talent, &count);
    return (uint32_t)count;
}

struct ifab_task_number ifab_queue__least_of(const struct ifab_coordinator *self, uint64_t key, unsigned priority, uint32_t talent)
{
    const struct account *account = ifab_queue__account(self, key);
    const struct ifab_task *least = NULL;
    for (uint32_t slot = account == NULL ? 0 : account->lanes; slot != 0; slot = lane_at(self, slot)->next) {
        const struct lane *lane = lane_at(self, slot);
        if (lane->priority <= priority || (least != NULL && lane->priority < least->priority))
            continue;
        for (uint32_t at = lane->root; at != 0; at = ifab_pairing__next(&by_age, self, lane->root, at)) {
            const struct ifab_task *task = &task_item_at(self, at)->task;
            if (task->creator.talent == talent && (least == NULL || task->priority > least->priority || older(task, least)))
                least = task;
        }
    }
    return least == NULL ? (struct ifab_task_number){0} : least->number;
}

void ifab_queue__enter(struct ifab_coordinator *self, uint32_t slot)
{
    struct task_item *item = task_item_at(self, slot);
    unsigned priority = item->task.priority;
    item->lane = lane_of(self, &item->task);
    struct lane *lane = lane_at(self, item->lane);
    struct account *account = account_at(self, lane->account);
    lane->queued++;
    account->queued++;
    count_made(self, lane->account, &item->task, true);
    if (!ifab_task_ready(&item->task))
        return;
    if (account->flow_ready[priority] == 0 && account->tags[priority] < self->course)
        set_tag(self, account, priority, self->course);
    lane_out(self, item->lane);
    lane->root = ifab_pairing__insert(&by_age, self, lane->root, slot);
    lane->ready++;
    class_at(self, lane->task_class)->open_ready += (account->key & OPEN_ACCOUNT) != 0;
    count_ready(self, account, priority, true);
    if (lane->in == LANE_IDLE)
        lane_in(self, item->lane);
}

void ifab_queue__leave(struct ifab_coordinator *self, uint32_t slot)
{
    struct task_item *item = task_item_at(self, slot);
    struct lane *lane = lane_at(self, item->lane);
    struct account *account = account_at(self, lane->account);
    if (ifab_task_ready(&item->task)) {
        lane_out(self, item->lane);
        lane->root = ifab_pairing__remove(&by_age, self, lane->root, slot);
        lane->ready--;
        class_at(self, lane->task_class)->open_ready -= (account->key & OPEN_ACCOUNT) != 0;
        count_ready(self, account, lane->priority, false);
        if (lane->in == LANE_IDLE)
            lane_in(self, item->lane);
    }
    lane->queued--;
    account->queued--;
    count_made(self, lane->account, &item->task, false);
    lane_release(self, item->lane);
    item->lane = 0;
}

/* ---- the choice ---- */

struct choice {
    const struct lane *lane;
    uint64_t tag;
};

static void consider(const struct ifab_coordinator *self, uint32_t slot, struct choice *best)
{
    const struct lane *lane = lane_at(self, slot);
    uint64_t tag = tag_of(self, lane);
    if (lane->ready == 0)
        return;
    if (best->lane == NULL || tag < best->tag || (tag == best->tag && older(first_of(self, lane), first_of(self, best->lane))))
        *best = (struct choice){lane, tag};
}

/*
 * The first of a heap that was not passed over; 0: none. Those that were lie at its top, so only their children are looked at, and so much of them
 * as ends in time.
 */
#define PASSED_IN_HEAP 512
#define LOOKED_AT_MOST 4096
typedef bool passed_fn(const struct ifab_coordinator *self, const struct ifab_task_passed *passed, uint32_t slot);
static uint32_t first_in(const struct ifab_coordinator *self, const struct pairing_order *order, uint32_t root, passed_fn *is_passed,
                         const struct ifab_task_passed *passed)
{
    uint32_t above[PASSED_IN_HEAP], best = 0;
    size_t count = 0, looked = 0;
    if (root == 0 || !is_passed(self, passed, root))
        return root;
    above[count++] = root;
    while (count > 0) {
        uint32_t child = order->links(self, above[--count])->child;
        for (; child != 0 && looked < LOOKED_AT_MOST; looked++, child = order->links(self, child)->next) {
            if (!is_passed(self, passed, child))
                best = best == 0 || order->before(self, child, best) ? child : best;
            else if (count < PASSED_IN_HEAP)
                above[count++] = child;
        }
    }
    return best;
}

static bool task_passed(const struct ifab_coordinator *self, const struct ifab_task_passed *passed, uint32_t slot)
{
    for (size_t i = 0; passed != NULL && i < passed->trace_count; i++)
        if (memcmp(passed->traces16[i], task_item_at(self, slot)->task.trace16, 16) == 0)
            return true;
    return false;
}

/* Was this lane looked at and passed over, or as many of its account as are, or is there nothing in it but what was? */
static bool lane_passed(const struct ifab_coordinator *self, const struct ifab_task_passed *passed, uint32_t slot)
{
    const struct lane *lane = lane_at(self, slot);
    size_t of_account = 0;
    for (size_t i = 0; passed != NULL && i < passed->count; i++) {
        if (passed->lanes[i] == slot)
            return true;
        of_account += passed->accounts[i] == lane->account;
    }
    return of_account >= IFAB_TASK_PASSED_EACH || first_in(self, &by_age, lane->root, task_passed, passed) == 0;
}

/* Lanes of the claimer's own queue need no look: whatever of them fits was taken before. */
static const struct lane *steal(const struct ifab_coordinator *self, const struct ifab_names *skills, const struct ifab_task_passed *passed)
{
    uint32_t best = 0;
    for (uint32_t c = self->class_list; c != 0; c = class_at(self, c)->next) {
        const struct task_class *class = class_at(self, c);
        uint32_t first = class->steal_root == 0 || !ifab_names_cover(skills, &class->names) ? 0 : first_in(self, &by_stealing, class->steal_root, lane_passed, passed);
        if (first != 0 && (best == 0 || steal_before(self, first, best)))
            best = first;
    }
    return best == 0 ? NULL : lane_at(self, best);
}

static uint64_t weight_of(const struct ifab_coordinator *self, const struct account *account, const struct lane *lane, ifab_usec run)
{
    const struct swarm_node *swarm = (account->key & OPEN_ACCOUNT) != 0 ? NULL : ifab_coordinator__swarm(self, account->key);
    ifab_usec waited = run - first_of(self, lane)->queued_run;
    uint64_t weight = weights[lane->priority];
    for (ifab_usec age = AGE; age <= waited && weight < weights[0]; age += AGE)
        weight *= 2;
    return weight * (swarm == NULL ? 1 : swarm->swarm.weight);
}

/* key 8, priority 1, start tag 8, course 8 */
static void write_course(const struct ifab_coordinator *self, const struct lane *lane, ifab_usec run, uint8_t ret_course[IFAB_COURSE_PACKED])
{
    const struct account *account = account_at(self, lane->account);
    uint64_t tag = account->tags[lane->priority];
    uint8_t *at = ret_course;
    ifab_put_u64(&at, account->key);
    ifab_put_u8(&at, lane->priority);
    ifab_put_u64(&at, tag + SCALE / weight_of(self, account, lane, run));
    ifab_put_u64(&at, tag > self->course ? tag : self->course);
}

const struct ifab_task *ifab_task_pick(const struct ifab_coordinator *self, struct ifab_swarm_number swarm, const struct ifab_names *skills,
                                       ifab_usec run, const struct ifab_task_passed *passed, bool *ret_stolen, uint8_t ret_course[IFAB_COURSE_PACKED])
{
    const struct account *own = ifab_queue__account(self, swarm.n);
    struct choice best = {NULL, 0};
    *ret_stolen = false;
    for (uint32_t slot = own == NULL ? 0 : own->lanes; slot != 0; slot = lane_at(self, slot)->next)
        if (ifab_names_cover(skills, &class_at(self, lane_at(self, slot)->task_class)->names) && !lane_passed(self, passed, slot))
            consider(self, slot, &best);
    for (uint32_t c = self->class_list; c != 0; c = class_at(self, c)->next) {
        uint32_t root = class_at(self, c)->open_root;
        uint32_t first = root == 0 || !ifab_names_cover(skills, &class_at(self, c)->names) ? 0 : first_in(self, &by_course, root, lane_passed, passed);
        if (first != 0)
            consider(self, first, &best);
    }
    if (best.lane == NULL) {
        best.lane = steal(self, skills, passed);
        *ret_stolen = best.lane != NULL;
    }
    if (best.lane == NULL)
        return NULL;
    write_course(self, best.lane, run, ret_course);
    return &task_item_at(self, first_in(self, &by_age, best.lane->root, task_passed, passed))->task;
}

bool ifab_task_pass(const struct ifab_coordinator *self, struct ifab_task_number number, bool of_trace, struct ifab_task_passed *passed)
{
    uint64_t slot;
    if (passed->count == IFAB_TASK_PASSED_MAX || !ifab_u64map_get(&self->task_by_number, number.n, &slot))
        return false;
    if (of_trace && passed->trace_count < IFAB_TASK_PASSED_TRACES) {
        memcpy(passed->traces16[passed->trace_count++], task_item_at(self, (uint32_t)slot)->task.trace16, 16);
        return true;
    }
    passed->lanes[passed->count] = task_item_at(self, (uint32_t)slot)->lane;
    passed->accounts[passed->count] = lane_at(self, passed->lanes[passed->count])->account;
    passed->count++;
    return true;
}

/* What is counted in a round of offers: tasks of a lane of the own queue, of a class that are open to all, of a lane that is stolen from. */
enum { GIVEN_OWN = 1, GIVEN_OPEN, GIVEN_STOLEN };

static bool give(struct ifab_u64map *given, unsigned what, uint32_t slot, uint32_t ready)
{
    uint64_t key = (uint64_t)what << 32 | slot, count = 0;
    (void)ifab_u64map_get(given, key, &count);
    if (count >= ready)
        return false;
    (void)ifab_u64map_put(given, key, count + 1); /* without memory one too many is told */
    return true;
}

bool ifab_task_offer(const struct ifab_coordinator *self, struct ifab_swarm_number swarm, const struct ifab_names *skills, struct ifab_u64map *given)
{
    const struct account *own = ifab_queue__account(self, swarm.n);
    bool any = false;
    for (uint32_t slot = own == NULL ? 0 : own->lanes; slot != 0; slot = lane_at(self, slot)->next) {
        const struct lane *lane = lane_at(self, slot);
        if (lane->ready == 0 || !ifab_names_cover(skills, &class_at(self, lane->task_class)->names))
            continue;
        any = true;
        if (give(given, GIVEN_OWN, slot, lane->ready))
            return true;
    }
    for (uint32_t c = self->class_list; c != 0; c = class_at(self, c)->next) {
        const struct task_class *class = class_at(self, c);
        if (class->open_ready == 0 || !ifab_names_cover(skills, &class->names))
            continue;
        any = true;
        if (give(given, GIVEN_OPEN, c, class->open_ready))
            return true;
    }
    const struct lane *stolen = any ? NULL : steal(self, skills, NULL);
    return stolen != NULL && give(given, GIVEN_STOLEN, class_at(self, stolen->task_class)->steal_root, 1);
}

bool ifab_course_load(struct ifab_coordinator *self, struct ifab_view bytes)
{
    struct ifab_reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    uint64_t key = ifab_get_u64(&r);
    unsigned priority = ifab_get_u8(&r);
    uint64_t tag = ifab_get_u64(&r), course = ifab_get_u64(&r);
    uint32_t slot = account_slot(self, key);
    if (r.bad || r.at != r.end || priority >= IFAB_PRIORITIES || slot == 0)
        return false;
    self->course = course;
    set_tag(self, account_at(self, slot), priority, tag);
    return true;
}
