#ifndef GOVERNOR_HEAP_H
#define GOVERNOR_HEAP_H
/*
 * What is due first: a binary heap over (when, number). The order is total, so what comes out does not depend on the order in which things
 * were put in (INV-14). Each item's owner keeps its place, from 1; 0: not in the heap.
 */
#include "base/time.h"

struct due {
    ifab_usec when;
    uint64_t number;
    uint32_t *place;
};
struct due_heap { /* zeroed = empty */
    struct due *items;
    uint32_t count, capacity;
};
bool ifab_due__reserve(struct due_heap *self, uint32_t more);
void ifab_due__fini(struct due_heap *self);
void ifab_due__set(struct due_heap *self, ifab_usec when, uint64_t number, uint32_t *place); /* inserts or moves; after reserve cannot fail */
void ifab_due__remove(struct due_heap *self, uint32_t *place);
ifab_usec ifab_due__first(const struct due_heap *self); /* IFAB_NEVER */
/* Numbers of those due at `now`, in order, at most max (<= 256). */
size_t ifab_due__until(const struct due_heap *self, ifab_usec now, uint64_t *ret_numbers, size_t max);
#endif
