#ifndef BASE_SLOT_INDEX_H
#define BASE_SLOT_INDEX_H
/*
 * Open-addressing index from a 32-bit hash to a non-zero 32-bit reference; whoever owns the records compares them. Eight bytes a
 * slot, at most 4/5 full, linear probing, deletion by shifting back (no tombstones, so it never ages).
 * The home of a hash is hash × capacity ÷ 2^32: capacity can be any number (so it grows by an eighth, not by doubling) and slots
 * lie nearly in the order of their hashes, which makes growing a pass over two sequences instead of random writes.
 * The hash must be hard to predict for senders: a keyed tag, or ifab_hash64() with a seed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ifab_slot_index_slot {
    uint32_t ref; /* 0: free */
    uint32_t hash;
};
struct ifab_slot_index { /* zeroed = empty */
    struct ifab_slot_index_slot *slots;
    uint32_t capacity, count;
};

bool ifab_slot_index_reserve(struct ifab_slot_index *self, size_t more); /* false: out of memory, nothing changed */
void ifab_slot_index_fini(struct ifab_slot_index *self);
void ifab_slot_index_insert(struct ifab_slot_index *self, uint32_t hash, uint32_t ref); /* after reserve; cannot fail */
bool ifab_slot_index_remove(struct ifab_slot_index *self, uint32_t hash, uint32_t ref);
size_t ifab_slot_index_bytes(const struct ifab_slot_index *self);

static inline uint32_t ifab_slot_index_home(const struct ifab_slot_index *self, uint32_t hash)
{
    return (uint32_t)(((uint64_t)hash * self->capacity) >> 32);
}

/* References stored under this hash, one a call; 0 at the end. *at starts as ifab_slot_index_home(). */
static inline uint32_t ifab_slot_index_next(const struct ifab_slot_index *self, uint32_t hash, uint32_t *at)
{
    if (self->count == 0)
        return 0;
    for (;;) { /* ends: at least a fifth of the slots is free */
        const struct ifab_slot_index_slot *slot = &self->slots[*at];
        if (slot->ref == 0)
            return 0;
        *at = *at + 1 == self->capacity ? 0 : *at + 1;
        if (slot->hash == hash)
            return slot->ref;
    }
}
#endif
