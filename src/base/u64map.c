/* Map from 64-bit keys to 64-bit values: as map.c, without copies of keys; keys are our own ids, so the hash needs no secret. */
#include "base/map.h"

#include "base/mem.h"

static size_t home_of(uint64_t key, size_t capacity)
{
    key ^= key >> 30; /* the finaliser of SplitMix64: every bit of the key reaches the low bits */
    key *= 0xbf58476d1ce4e5b9ULL;
    key ^= key >> 27;
    key *= 0x94d049bb133111ebULL;
    key ^= key >> 31;
    return (size_t)key & (capacity - 1);
}

static size_t find(const struct ifab_u64map *self, uint64_t key)
{
    size_t at = home_of(key, self->capacity);
    while (self->slots[at].used && self->slots[at].key != key)
        at = (at + 1) & (self->capacity - 1);
    return at;
}

void ifab_u64map_fini(struct ifab_u64map *self)
{
    ifab_free(self->slots);
    *self = (struct ifab_u64map){0};
}

static ifab_status grow_to(struct ifab_u64map *self, size_t capacity)
{
    struct ifab_u64map next = {ifab_calloc(capacity, sizeof(struct ifab_u64map_slot)), self->count, capacity};
    if (next.slots == NULL)
        return IFAB_NOMEM;
    for (size_t i = 0; i < self->capacity; i++)
        if (self->slots[i].used)
            next.slots[find(&next, self->slots[i].key)] = self->slots[i];
    ifab_free(self->slots);
    *self = next;
    return IFAB_OK;
}

ifab_status ifab_u64map_reserve(struct ifab_u64map *self, size_t more)
{
    if (more > (size_t)1 << 40)
        return IFAB_NOMEM;
    size_t need = self->count + more, capacity = self->capacity == 0 ? 16 : self->capacity;
    while (need > capacity / 4 * 3)
        capacity *= 2;
    return capacity == self->capacity ? IFAB_OK : grow_to(self, capacity);
}

bool ifab_u64map_get(const struct ifab_u64map *self, uint64_t key, uint64_t *ret_value)
{
    if (self->count == 0)
        return false;
    const struct ifab_u64map_slot *slot = &self->slots[find(self, key)];
    if (!slot->used)
        return false;
    if (ret_value != NULL)
        *ret_value = slot->value;
    return true;
}

ifab_status ifab_u64map_put(struct ifab_u64map *self, uint64_t key, uint64_t value)
{
    if (self->count > 0) {
        struct ifab_u64map_slot *slot = &self->slots[find(self, key)];
        if (slot->used) {
            slot->value = value;
            return IFAB_OK;
        }
    }
    if (self->count + 1 > self->capacity / 4 * 3)
        IFAB_TRY(grow_to(self, self->capacity == 0 ? 16 : self->capacity * 2));
    self->slots[find(self, key)] = (struct ifab_u64map_slot){key, value, true};
    self->count++;
    return IFAB_OK;
}

bool ifab_u64map_remove(struct ifab_u64map *self, uint64_t key)
{
    if (self->count == 0)
        return false;
    size_t mask = self->capacity - 1, hole = find(self, key);
    if (!self->slots[hole].used)
        return false;
    for (size_t at = (hole + 1) & mask; self->slots[at].used; at = (at + 1) & mask) {
        size_t home = home_of(self->slots[at].key, self->capacity);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        self->slots[hole] = self->slots[at];
        hole = at;
    }
    self->slots[hole] = (struct ifab_u64map_slot){0};
    self->count--;
    return true;
}

bool ifab_u64map_next(const struct ifab_u64map *self, size_t *cursor, uint64_t *ret_key, uint64_t *ret_value)
{
    while (*cursor < self->capacity) {
        const struct ifab_u64map_slot *slot = &self->slots[(*cursor)++];
        if (!slot->used)
            continue;
        if (ret_key != NULL)
            *ret_key = slot->key;
        if (ret_value != NULL)
            *ret_value = slot->value;
        return true;
    }
    return false;
}
