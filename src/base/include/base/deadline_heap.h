#ifndef BASE_DEADLINE_HEAP_H
#define BASE_DEADLINE_HEAP_H
/*
 * Which record ends first: a binary heap over (when, number), one item a slot of a slot_pool. The order is total, so what comes out
 * does not depend on the order in which things were put in (INV-14).
 */
#include "base/time.h"

#include <stdbool.h>

struct ifab_deadline {
    ifab_usec when;
    uint64_t number;
    uint32_t slot;
};
struct ifab_deadline_heap { /* zeroed = empty */
    struct ifab_deadline *items;
    uint32_t *places; /* by slot: its place in items, from 1; 0: not in the heap */
    uint32_t count, capacity, place_capacity;
};

bool ifab_deadline_heap_reserve(struct ifab_deadline_heap *self, uint32_t slots); /* room for slots 1..slots */
void ifab_deadline_heap_fini(struct ifab_deadline_heap *self);
void ifab_deadline_heap_set(struct ifab_deadline_heap *self, uint32_t slot, ifab_usec when, uint64_t number); /* inserts or moves */
void ifab_deadline_heap_remove(struct ifab_deadline_heap *self, uint32_t slot);
/* Numbers of the first max (at most 256) that end before `wall`, in order; changes nothing. */
size_t ifab_deadline_heap_first(const struct ifab_deadline_heap *self, ifab_usec wall, uint64_t *ret_numbers, size_t max);
#endif
