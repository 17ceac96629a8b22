/* See deadline_heap.h. */
#include "base/deadline_heap.h"

#include "base/mem.h"

#define FIRST_MAX 256

bool ifab_deadline_heap_reserve(struct ifab_deadline_heap *self, uint32_t slots)
{
    if (slots > self->capacity) { /* grows with the blocks of the pool, but by a half at least */
        uint32_t capacity = self->capacity + self->capacity / 2;
        if (capacity < slots)
            capacity = slots;
        struct ifab_deadline *items = ifab_realloc(self->items, (size_t)capacity * sizeof *items);
        if (items == NULL)
            return false;
        self->items = items;
        self->capacity = capacity;
    }
    if (slots >= self->place_capacity) {
        uint32_t capacity = self->capacity + 1;
        uint32_t *places = ifab_realloc(self->places, (size_t)capacity * sizeof *places);
        if (places == NULL)
            return false;
        memset(places + self->place_capacity, 0, (size_t)(capacity - self->place_capacity) * sizeof *places);
        self->places = places;
        self->place_capacity = capacity;
    }
    return true;
}

void ifab_deadline_heap_fini(struct ifab_deadline_heap *self)
{
    ifab_free(self->items);
    ifab_free(self->places);
    *self = (struct ifab_deadline_heap){.items = NULL};
}

static bool before(const struct ifab_deadline *a, const struct ifab_deadline *b)
{
    return a->when != b->when ? a->when < b->when : a->number < b->number;
}

static void place(struct ifab_deadline_heap *self, uint32_t at, struct ifab_deadline item)
{
    self->items[at] = item;
    self->places[item.slot] = at + 1;
}

static void settle(struct ifab_deadline_heap *self, uint32_t at, struct ifab_deadline item)
{
    while (at > 0 && before(&item, &self->items[(at - 1) / 2])) {
        place(self, at, self->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= self->count)
            break;
        if (child + 1 < self->count && before(&self->items[child + 1], &self->items[child]))
            child++;
        if (!before(&self->items[child], &item))
            break;
        place(self, at, self->items[child]);
        at = child;
    }
    place(self, at, item);
}

void ifab_deadline_heap_set(struct ifab_deadline_heap *self, uint32_t slot, ifab_usec when, uint64_t number)
{
    uint32_t at = self->places[slot] != 0 ? self->places[slot] - 1 : self->count++;
    settle(self, at, (struct ifab_deadline){.when = when, .number = number, .slot = slot});
}

void ifab_deadline_heap_remove(struct ifab_deadline_heap *self, uint32_t slot)
{
    if (self->places[slot] == 0)
        return;
    uint32_t at = self->places[slot] - 1;
    self->places[slot] = 0;
    self->count--;
    if (at < self->count)
        settle(self, at, self->items[self->count]);
}

/* The next one is always a child of one that was taken: those wait in `open`, sorted, the smallest at the end. */
size_t ifab_deadline_heap_first(const struct ifab_deadline_heap *self, ifab_usec wall, uint64_t *ret_numbers, size_t max)
{
    uint32_t open[FIRST_MAX + 1];
    size_t open_count = 0, count = 0;
    max = max < FIRST_MAX ? max : FIRST_MAX;
    if (max > 0 && self->count > 0 && self->items[0].when < wall)
        open[open_count++] = 0;
    while (open_count > 0 && count < max) {
        uint32_t at = open[--open_count];
        ret_numbers[count++] = self->items[at].number;
        for (uint32_t child = at * 2 + 1; child <= at * 2 + 2 && child < self->count; child++) {
            if (self->items[child].when >= wall)
                continue;
            size_t i = open_count++;
            for (; i > 0 && before(&self->items[open[i - 1]], &self->items[child]); i--)
                open[i] = open[i - 1];
            open[i] = child;
        }
    }
    return count;
}
