#include "heap.h"

#include "base/mem.h"

#define UNTIL_MAX 256

bool ifab_due__reserve(struct due_heap *self, uint32_t more)
{
    if (more <= self->capacity - self->count)
        return true;
    uint32_t capacity = self->capacity * 2 > self->count + more ? self->capacity * 2 : self->count + more + 16;
    struct due *items = ifab_realloc(self->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    self->items = items;
    self->capacity = capacity;
    return true;
}

void ifab_due__fini(struct due_heap *self)
{
    ifab_free(self->items);
    *self = (struct due_heap){NULL, 0, 0};
}

static bool before(const struct due *a, const struct due *b) { return a->when != b->when ? a->when < b->when : a->number < b->number; }

static void put(struct due_heap *self, uint32_t at, struct due item)
{
    self->items[at] = item;
    *item.place = at + 1;
}

static void settle(struct due_heap *self, uint32_t at, struct due item)
{
    while (at > 0 && before(&item, &self->items[(at - 1) / 2])) {
        put(self, at, self->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= self->count)
            break;
        if (child + 1 < self->count && before(&self->items[child + 1], &self->items[child]))
            child++;
        if (!before(&self->items[child], &item))
            break;
        put(self, at, self->items[child]);
        at = child;
    }
    put(self, at, item);
}

void ifab_due__set(struct due_heap *self, ifab_usec when, uint64_t number, uint32_t *place)
{
    uint32_t at = *place == 0 ? self->count++ : *place - 1;
    settle(self, at, (struct due){when, number, place});
}

void ifab_due__remove(struct due_heap *self, uint32_t *place)
{
    if (*place == 0)
        return;
    uint32_t at = *place - 1;
    *place = 0;
    self->count--;
    if (at < self->count)
        settle(self, at, self->items[self->count]);
}

ifab_usec ifab_due__first(const struct due_heap *self) { return self->count == 0 ? IFAB_NEVER : self->items[0].when; }

/* The frontier: items whose parent was taken. The least of them is the next. */
size_t ifab_due__until(const struct due_heap *self, ifab_usec now, uint64_t *ret_numbers, size_t max)
{
    uint32_t frontier[UNTIL_MAX + 2];
    size_t count = 0, waiting = 0;
    max = max < UNTIL_MAX ? max : UNTIL_MAX;
    if (self->count > 0)
        frontier[waiting++] = 0;
    while (count < max && waiting > 0) {
        size_t least = 0;
        for (size_t i = 1; i < waiting; i++)
            if (before(&self->items[frontier[i]], &self->items[frontier[least]]))
                least = i;
        uint32_t at = frontier[least];
        if (self->items[at].when > now)
            break;
        ret_numbers[count++] = self->items[at].number;
        frontier[least] = frontier[--waiting];
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < self->count; child++)
            frontier[waiting++] = child;
    }
    return count;
}
