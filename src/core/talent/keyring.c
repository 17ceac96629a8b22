/*
 * What the verify workers see of the talents: an immutable snapshot. It shares the table's nodes, each by a reference, so that making one
 * copies no key; the last one to let go frees, on whichever thread that is.
 */
#include <string.h>

#include "base/mem.h"
#include "talent_internal.h"

struct ifab_keyring {
    atomic_uint refs;
    uint32_t *slots; /* by hash of the exact name, open addressing: place + 1, 0 = free. At most half full */
    size_t mask;     /* number of slots - 1 */
    uint64_t seed;
    size_t count;
    struct talent_node **nodes;
    struct ifab_keyring_entry *entries;
};

/* The slot that holds this name, or the free one where it would stand. */
static uint32_t *slot_of(const struct ifab_keyring *self, struct ifab_view name)
{
    size_t at = (size_t)ifab_hash64(name, self->seed) & self->mask;
    while (self->slots[at] != 0 && !ifab_view_equal(self->entries[self->slots[at] - 1].name, name))
        at = (at + 1) & self->mask;
    return &self->slots[at];
}

/* One flat index rather than a map, which would copy every name: the loop makes a snapshot at each change of a talent. */
static ifab_status fill(struct ifab_keyring *self, const struct ifab_talents *talents)
{
    if (talents->count == 0)
        return IFAB_OK;
    size_t slot_count = 16;
    while (slot_count < talents->count * 2)
        slot_count *= 2;
    self->mask = slot_count - 1;
    self->nodes = ifab_calloc(talents->count, sizeof(struct talent_node *));
    self->entries = ifab_calloc(talents->count, sizeof *self->entries);
    self->slots = ifab_calloc(slot_count, sizeof *self->slots);
    if (self->nodes == NULL || self->entries == NULL || self->slots == NULL)
        return IFAB_NOMEM;
    for (size_t i = 0; i < talents->count; i++) {
        struct talent_node *node = talents->nodes[i];
        const struct ifab_talent *talent = &node->talent;
        atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
        self->nodes[i] = node;
        self->entries[i] = (struct ifab_keyring_entry){talent->name, talent->number,    talent->version,
                                                       talent->keys, talent->key_count, talent->removed_at != IFAB_NEVER};
        *slot_of(self, talent->name) = (uint32_t)i + 1;
        self->count = i + 1;
    }
    return IFAB_OK;
}

ifab_status ifab_keyring_new(const struct ifab_talents *talents, struct ifab_keyring **ret)
{
    struct ifab_keyring *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    atomic_init(&self->refs, 1);
    self->seed = talents->seed;
    if (fill(self, talents) != IFAB_OK) {
        ifab_keyring_unref(self);
        return IFAB_NOMEM;
    }
    *ret = self;
    return IFAB_OK;
}

struct ifab_keyring *ifab_keyring_ref(struct ifab_keyring *self)
{
    atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    return self;
}

void ifab_keyring_unref(struct ifab_keyring *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < self->count; i++)
        ifab_talent__node_unref(self->nodes[i]);
    ifab_free(self->nodes);
    ifab_free(self->entries);
    ifab_free(self->slots);
    ifab_free(self);
}

const struct ifab_keyring_entry *ifab_keyring_find(const struct ifab_keyring *self, struct ifab_view name)
{
    uint32_t place = self->count == 0 ? 0 : *slot_of(self, name);
    return place == 0 ? NULL : &self->entries[place - 1];
}

/* Admin acts are rare: a walk, so that snapshots stay cheap to make. */
const struct ifab_keyring_entry *ifab_keyring_find_key(const struct ifab_keyring *self, const uint8_t pubkey32[32])
{
    for (size_t i = 0; i < self->count; i++)
        for (size_t k = 0; k < self->entries[i].key_count; k++)
            if (memcmp(self->entries[i].keys[k].pubkey32, pubkey32, 32) == 0)
                return &self->entries[i];
    return NULL;
}
