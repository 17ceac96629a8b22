/*
 * Plans in memory: by number (sorted array), by hash and by the message that asks for approval (maps).
 *
 * 1. load is all or nothing. A plan that is there is followed by itself only: number, id, hash, talent and what the hash covers never change.
 * 2. bytes is the sum of all records; running lists those without an outcome; ended and per_talent count those that have and have not ended.
 */
#include "base/map.h"
#include "base/mem.h"
#include "capability/plan.h"

#include <string.h>

struct plan_node {
    struct ifab_plan plan;
    uint8_t *bytes; /* owned; the plan's views point into it */
    size_t size;
};
struct ifab_plans {
    struct plan_node **nodes; /* by number */
    size_t count, room, bytes, ended, open;
    struct plan_node **running; /* open of them, in no order; room as for nodes */
    struct ifab_map by_hash, by_message;
    struct ifab_u64map per_talent;
};

ifab_status ifab_plans_new(uint64_t seed, struct ifab_plans **ret)
{
    struct ifab_plans *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    ifab_map_init(&self->by_hash, seed);
    ifab_map_init(&self->by_message, seed ^ 1);
    *ret = self;
    return IFAB_OK;
}

static void node_free(struct plan_node *node)
{
    if (node != NULL)
        ifab_free(node->bytes);
    ifab_free(node);
}

void ifab_plans_free(struct ifab_plans *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        node_free(self->nodes[i]);
    ifab_free(self->nodes);
    ifab_free(self->running);
    ifab_map_fini(&self->by_hash);
    ifab_map_fini(&self->by_message);
    ifab_u64map_fini(&self->per_talent);
    ifab_free(self);
}

static size_t place_of(const struct ifab_plans *self, uint64_t number)
{
    size_t low = 0, high = self->count;
    if (high > 0 && self->nodes[high - 1]->plan.number < number) /* numbers grow */
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->nodes[middle]->plan.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct plan_node *node_at(const struct ifab_plans *self, uint64_t number)
{
    size_t at = place_of(self, number);
    return at < self->count && self->nodes[at]->plan.number == number ? self->nodes[at] : NULL;
}

static struct plan_node *found(const struct ifab_map *map, const uint8_t *key, size_t size)
{
    uint64_t pointer;
    return ifab_map_get(map, ifab_view_of(key, size), &pointer) ? (struct plan_node *)(uintptr_t)pointer : NULL;
}

static bool asks(const struct ifab_plan *plan)
{
    static const uint8_t none32[32];
    return memcmp(plan->message32, none32, 32) != 0;
}

bool ifab_plan_is_running(const struct ifab_plan *plan)
{
    return plan->state == IFAB_PLAN_APPLYING || plan->state == IFAB_PLAN_TRYING || plan->state == IFAB_PLAN_AGAIN;
}

static bool has_ended(const struct ifab_plan *plan) { return plan->state == IFAB_PLAN_DONE || plan->state == IFAB_PLAN_DENIED; }

static void count_talent(struct ifab_plans *self, uint32_t talent, bool more)
{
    uint64_t count = 0;
    (void)ifab_u64map_get(&self->per_talent, talent, &count);
    if (more || count > 1)
        (void)ifab_u64map_put(&self->per_talent, talent, more ? count + 1 : count - 1); /* room was made, or is there */
    else
        (void)ifab_u64map_remove(&self->per_talent, talent);
}

static void drop(struct ifab_plans *self, size_t at)
{
    struct plan_node *node = self->nodes[at];
    (void)ifab_map_remove(&self->by_hash, ifab_view_of(node->plan.hash32, 32));
    if (asks(&node->plan))
        (void)ifab_map_remove(&self->by_message, ifab_view_of(node->plan.message32, 32));
    if (has_ended(&node->plan))
        self->ended--;
    else
        count_talent(self, node->plan.talent, false);
    for (size_t i = 0; i < self->open; i++)
        if (self->running[i] == node)
            self->running[i] = self->running[--self->open];
    self->bytes -= node->size;
    memmove(self->nodes + at, self->nodes + at + 1, (self->count - at - 1) * sizeof *self->nodes);
    self->count--;
    node_free(node);
}

/* What the hash covers, and the hash, stay; so does the message once there is one. */
static bool follows(const struct ifab_plan *old, const struct ifab_plan *next)
{
    return old->talent == next->talent && memcmp(old->id16, next->id16, 16) == 0 && memcmp(old->hash32, next->hash32, 32) == 0 &&
           memcmp(old->manifest32, next->manifest32, 32) == 0 && ifab_view_equal(old->capability, next->capability) &&
           ifab_view_equal(old->operation, next->operation) && ifab_view_equal(old->params, next->params) &&
           (!asks(old) || (memcmp(old->message32, next->message32, 32) == 0 && memcmp(old->message16, next->message16, 16) == 0));
}

static ifab_status make_room(struct ifab_plans *self)
{
    IFAB_TRY(ifab_map_reserve(&self->by_hash, 1));
    IFAB_TRY(ifab_map_reserve(&self->by_message, 1));
    IFAB_TRY(ifab_u64map_reserve(&self->per_talent, 1));
    if (self->count < self->room)
        return IFAB_OK;
    size_t room = self->room == 0 ? 16 : self->room * 2;
    struct plan_node **bigger = ifab_realloc(self->nodes, room * sizeof(struct plan_node *));
    if (bigger == NULL)
        return IFAB_NOMEM;
    self->nodes = bigger;
    bigger = ifab_realloc(self->running, room * sizeof(struct plan_node *));
    if (bigger == NULL)
        return IFAB_NOMEM;
    self->running = bigger;
    self->room = room;
    return IFAB_OK;
}

static struct plan_node *node_new(struct ifab_view bytes, uint64_t number)
{
    struct plan_node *node = ifab_calloc(1, sizeof *node);
    if (node == NULL || (node->bytes = ifab_malloc(bytes.size)) == NULL) {
        node_free(node);
        return NULL;
    }
    memcpy(node->bytes, bytes.data, bytes.size);
    node->size = bytes.size;
    (void)ifab_plan_unpack(ifab_view_of(node->bytes, bytes.size), number, &node->plan); /* was looked at */
    return node;
}

ifab_status ifab_plans_load(struct ifab_plans *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    struct plan_node *old = node_at(self, number);
    struct ifab_plan plan;
    if (bytes.size == 0) {
        if (old == NULL)
            return ifab_fail(err, IFAB_CORRUPT, "plan %llu is taken away and is not there", (unsigned long long)number);
        drop(self, place_of(self, number));
        return IFAB_OK;
    }
    if (!ifab_plan_unpack(bytes, number, &plan))
        return ifab_fail(err, IFAB_CORRUPT, "plan record %llu does not parse", (unsigned long long)number);
    struct plan_node *same_hash = found(&self->by_hash, plan.hash32, 32), *same_message = asks(&plan) ? found(&self->by_message, plan.message32, 32) : NULL;
    if ((same_hash != NULL && same_hash != old) || (same_message != NULL && same_message != old) || (old != NULL && !follows(&old->plan, &plan)))
        return ifab_fail(err, IFAB_CORRUPT, "plan record %llu: hash, message or content of another", (unsigned long long)number);
    struct plan_node *node = make_room(self) == IFAB_OK ? node_new(bytes, number) : NULL;
    if (node == NULL)
        return ifab_fail(err, IFAB_NOMEM, "plans: out of memory");
    if (old != NULL)
        drop(self, place_of(self, number));
    size_t at = place_of(self, number);
    memmove(self->nodes + at + 1, self->nodes + at, (self->count - at) * sizeof *self->nodes);
    self->nodes[at] = node;
    self->count++;
    self->bytes += node->size;
    if (ifab_plan_is_running(&node->plan))
        self->running[self->open++] = node;
    if (has_ended(&node->plan))
        self->ended++;
    else
        count_talent(self, plan.talent, true);
    (void)ifab_map_put(&self->by_hash, ifab_view_of(plan.hash32, 32), (uint64_t)(uintptr_t)node); /* room was made */
    if (asks(&plan))
        (void)ifab_map_put(&self->by_message, ifab_view_of(plan.message32, 32), (uint64_t)(uintptr_t)node);
    return IFAB_OK;
}

static const struct ifab_plan *plan_of(const struct plan_node *node) { return node != NULL ? &node->plan : NULL; }

const struct ifab_plan *ifab_plan_by_hash(const struct ifab_plans *self, const uint8_t hash32[32]) { return plan_of(found(&self->by_hash, hash32, 32)); }

const struct ifab_plan *ifab_plan_by_message(const struct ifab_plans *self, const uint8_t message32[32])
{
    return plan_of(found(&self->by_message, message32, 32));
}

const struct ifab_plan *ifab_plan_at(const struct ifab_plans *self, uint64_t number) { return plan_of(node_at(self, number)); }

const struct ifab_plan *ifab_plan_next(const struct ifab_plans *self, uint64_t number)
{
    size_t at = number == UINT64_MAX ? self->count : place_of(self, number + 1);
    return at < self->count ? &self->nodes[at]->plan : NULL;
}

size_t ifab_plans_count(const struct ifab_plans *self) { return self->count; }
size_t ifab_plans_open(const struct ifab_plans *self) { return self->open; }

uint64_t ifab_plans_spare(const struct ifab_plans *self)
{
    for (size_t i = 0; i < self->count && self->ended >= IFAB_PLAN_ENDED_MAX; i++)
        if (has_ended(&self->nodes[i]->plan))
            return self->nodes[i]->plan.number;
    return 0;
}

size_t ifab_plans_applying(const struct ifab_plans *self, struct ifab_view capability)
{
    size_t count = 0;
    for (size_t i = 0; i < self->open; i++) {
        const struct ifab_plan *p = &self->running[i]->plan;
        count += p->capability.size > capability.size && ifab_view_starts(p->capability, capability) &&
                 p->capability.data[capability.size] == '@';
    }
    return count;
}

enum ifab_code ifab_plans_room(const struct ifab_plans *self, uint32_t talent, size_t bytes, struct ifab_refusal *r)
{
    uint64_t of_talent = 0;
    (void)ifab_u64map_get(&self->per_talent, talent, &of_talent);
    if (of_talent >= IFAB_PLAN_PER_TALENT)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "%d plans of this talent wait to be applied or to expire", IFAB_PLAN_PER_TALENT);
    if (self->count - self->ended >= IFAB_PLAN_MAX || bytes > IFAB_PLAN_BYTES_MAX - self->bytes)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "so many plans wait that there is no room for one more");
    return IFAB_CODE_NONE;
}

size_t ifab_plans_expired(const struct ifab_plans *self, ifab_usec wall, uint64_t *ret_numbers, size_t max, ifab_usec *ret_due)
{
    size_t count = 0;
    *ret_due = IFAB_NEVER;
    for (size_t i = 0; i < self->count; i++) {
        const struct ifab_plan *p = &self->nodes[i]->plan;
        if (ifab_plan_is_running(p) || p->state == IFAB_PLAN_DANGLING)
            continue;
        if (p->expires > wall || count == max) {
            *ret_due = p->expires;
            break;
        }
        ret_numbers[count++] = p->number;
    }
    return count;
}
