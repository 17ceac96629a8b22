/* Ids of tasks that are closed: so that one is not made twice. See coordinator.h. */
#include "coordinator_internal.h"

static struct closed_item *item_at(const struct ifab_coordinator *self, uint32_t slot) { return ifab_slot_pool_at(&self->closed, slot); }

static uint32_t hash_of(const struct ifab_coordinator *self, const void *bytes, size_t size)
{
    return (uint32_t)(ifab_hash64(ifab_view_of(bytes, size), self->limits.seed ^ 15) >> 32);
}

ifab_status ifab_closed__reserve(struct ifab_coordinator *self, size_t n)
{
    bool room = ifab_slot_pool_reserve(&self->closed, n) && ifab_slot_index_reserve(&self->closed_by_id, n) &&
                ifab_slot_index_reserve(&self->closed_by_number, n);
    uint32_t slots = room ? ifab_slot_pool_capacity(&self->closed) : 0;
    room = room && ifab_deadline_heap_reserve(&self->closed_ends[0], slots) && ifab_deadline_heap_reserve(&self->closed_ends[1], slots);
    return room ? IFAB_OK : IFAB_NOMEM;
}

void ifab_closed__init(struct ifab_coordinator *self) { ifab_slot_pool_init(&self->closed, sizeof(struct closed_item)); }

void ifab_closed__fini(struct ifab_coordinator *self)
{
    ifab_slot_pool_fini(&self->closed);
    ifab_slot_index_fini(&self->closed_by_id);
    ifab_slot_index_fini(&self->closed_by_number);
    ifab_deadline_heap_fini(&self->closed_ends[0]);
    ifab_deadline_heap_fini(&self->closed_ends[1]);
}

static uint32_t slot_of_number(const struct ifab_coordinator *self, uint64_t number)
{
    uint32_t hash = hash_of(self, &number, sizeof number), at = ifab_slot_index_home(&self->closed_by_number, hash), slot;
    while ((slot = ifab_slot_index_next(&self->closed_by_number, hash, &at)) != 0)
        if (item_at(self, slot)->closed.number == number)
            return slot;
    return 0;
}

const struct ifab_closed_task *ifab_closed_task_find(const struct ifab_coordinator *self, struct ifab_view id)
{
    uint8_t id16[16];
    uint32_t slot;
    ifab_task_id16(id, id16);
    uint32_t hash = hash_of(self, id16, 16), at = ifab_slot_index_home(&self->closed_by_id, hash);
    while ((slot = ifab_slot_index_next(&self->closed_by_id, hash, &at)) != 0)
        if (memcmp(item_at(self, slot)->closed.id16, id16, 16) == 0)
            return &item_at(self, slot)->closed;
    return NULL;
}

const struct ifab_closed_task *ifab_closed_task_next(const struct ifab_coordinator *self, uint32_t *at)
{
    uint32_t chosen = self->closed_ends[0].count, minted = self->closed_ends[1].count, i = (*at)++;
    if (i >= chosen + minted)
        return NULL;
    return &item_at(self, i < chosen ? self->closed_ends[0].items[i].slot : self->closed_ends[1].items[i - chosen].slot)->closed;
}

size_t ifab_closed_task_count(const struct ifab_coordinator *self) { return self->closed_count; }

void ifab_closed_task_put(struct ifab_coordinator *self, const struct ifab_closed_task *closed)
{
    self->reserved = 0;
    ifab_closed_task_remove(self, closed->number);
    uint32_t slot = ifab_slot_pool_take(&self->closed);
    item_at(self, slot)->closed = *closed;
    ifab_slot_index_insert(&self->closed_by_id, hash_of(self, closed->id16, 16), slot);
    ifab_slot_index_insert(&self->closed_by_number, hash_of(self, &closed->number, sizeof closed->number), slot);
    ifab_deadline_heap_set(&self->closed_ends[closed->minted], slot, closed->closed + IFAB_CLOSED_TASK_LIFE, closed->number);
    self->closed_count++;
}

void ifab_closed_task_remove(struct ifab_coordinator *self, uint64_t number)
{
    uint32_t slot = slot_of_number(self, number);
    if (slot == 0)
        return;
    struct closed_item *item = item_at(self, slot);
    ifab_deadline_heap_remove(&self->closed_ends[item->closed.minted], slot);
    (void)ifab_slot_index_remove(&self->closed_by_id, hash_of(self, item->closed.id16, 16), slot);
    (void)ifab_slot_index_remove(&self->closed_by_number, hash_of(self, &number, sizeof number), slot);
    ifab_slot_pool_give(&self->closed, slot);
    self->closed_count--;
}

size_t ifab_closed_tasks_dead(const struct ifab_coordinator *self, ifab_usec wall, uint64_t *ret_numbers, size_t max)
{
    size_t above = self->closed_count > self->limits.closed ? self->closed_count - self->limits.closed : 0;
    if (above > 0) /* of the minted ones the oldest give way: nobody can choose such an id again */
        return ifab_deadline_heap_first(&self->closed_ends[1], IFAB_NEVER, ret_numbers, above < max ? above : max);
    size_t count = ifab_deadline_heap_first(&self->closed_ends[1], wall + 1, ret_numbers, max);
    return count > 0 ? count : ifab_deadline_heap_first(&self->closed_ends[0], wall + 1, ret_numbers, max);
}

ifab_usec ifab_closed_tasks_due(const struct ifab_coordinator *self)
{
    ifab_usec due = IFAB_NEVER;
    for (int minted = 0; minted < 2; minted++)
        if (self->closed_ends[minted].count > 0 && self->closed_ends[minted].items[0].when < due)
            due = self->closed_ends[minted].items[0].when;
    return self->closed_count > self->limits.closed ? 0 : due;
}
