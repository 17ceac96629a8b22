/* The index behind replay memory, sequences and conversations: see slot_index.h. */
#include "base/slot_index.h"

#include "base/mem.h"

#define SMALLEST 32
#define LARGEST UINT32_C(0x3FFFFFFF)

static bool rebuild(struct ifab_slot_index *self, uint64_t capacity)
{
    if (capacity > LARGEST)
        return false;
    struct ifab_slot_index next = {.capacity = (uint32_t)capacity};
    next.slots = ifab_calloc((size_t)capacity, sizeof *next.slots);
    if (next.slots == NULL)
        return false;
    for (uint32_t i = 0; i < self->capacity; i++) {
        if (self->slots[i].ref != 0)
            ifab_slot_index_insert(&next, self->slots[i].hash, self->slots[i].ref);
    }
    ifab_free(self->slots);
    *self = next;
    return true;
}

bool ifab_slot_index_reserve(struct ifab_slot_index *self, size_t more)
{
    if (more > LARGEST)
        return false;
    uint64_t count = (uint64_t)self->count + more;
    uint64_t needed = count + count / 4 + 1; /* at most 4/5 full */
    if (needed <= self->capacity)
        return true; /* never shrinks: an earlier and larger reserve may still be counted on */
    uint64_t grown = (uint64_t)self->capacity + self->capacity / 8;
    if (grown < SMALLEST)
        grown = SMALLEST;
    return rebuild(self, needed > grown ? needed : grown);
}

void ifab_slot_index_fini(struct ifab_slot_index *self)
{
    ifab_free(self->slots);
    *self = (struct ifab_slot_index){NULL, 0, 0};
}

void ifab_slot_index_insert(struct ifab_slot_index *self, uint32_t hash, uint32_t ref)
{
    uint32_t at = ifab_slot_index_home(self, hash);
    while (self->slots[at].ref != 0)
        at = at + 1 == self->capacity ? 0 : at + 1;
    self->slots[at] = (struct ifab_slot_index_slot){.ref = ref, .hash = hash};
    self->count++;
}

bool ifab_slot_index_remove(struct ifab_slot_index *self, uint32_t hash, uint32_t ref)
{
    if (self->count == 0)
        return false;
    uint32_t hole = ifab_slot_index_home(self, hash);
    while (self->slots[hole].ref != ref || self->slots[hole].hash != hash) {
        if (self->slots[hole].ref == 0)
            return false;
        hole = hole + 1 == self->capacity ? 0 : hole + 1;
    }
    /* Shift back what would no longer be reached: an entry moves into the hole unless its home lies behind the hole. */
    for (uint32_t at = hole;;) {
        at = at + 1 == self->capacity ? 0 : at + 1;
        if (self->slots[at].ref == 0)
            break;
        uint32_t home = ifab_slot_index_home(self, self->slots[at].hash);
        bool reachable = hole <= at ? hole < home && home <= at : hole < home || home <= at;
        if (!reachable) {
            self->slots[hole] = self->slots[at];
            hole = at;
        }
    }
    self->slots[hole] = (struct ifab_slot_index_slot){0, 0};
    self->count--;
    return true;
}

size_t ifab_slot_index_bytes(const struct ifab_slot_index *self)
{
    return (size_t)self->capacity * sizeof *self->slots;
}
