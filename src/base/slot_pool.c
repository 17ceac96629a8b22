/* See slot_pool.h. */
#include "base/slot_pool.h"

#include "base/mem.h"

#include <string.h>

#define BLOCK 64

void ifab_slot_pool_init(struct ifab_slot_pool *self, size_t item_size)
{
    *self = (struct ifab_slot_pool){.item_size = item_size};
}

void ifab_slot_pool_fini(struct ifab_slot_pool *self)
{
    for (uint32_t i = 0; i < self->block_count; i++)
        ifab_free(self->blocks[i]);
    ifab_free(self->blocks);
    ifab_free(self->free_slots);
    *self = (struct ifab_slot_pool){.item_size = self->item_size};
}

static bool add_block(struct ifab_slot_pool *self)
{
    if (self->block_count >= UINT32_MAX / BLOCK - 1)
        return false;
    /* the arrays have power-of-two sizes: they move rarely, and their size need not be kept */
    if ((self->block_count & (self->block_count - 1)) == 0) {
        size_t room = self->block_count == 0 ? 1 : (size_t)self->block_count * 2;
        uint8_t **blocks = ifab_realloc(self->blocks, room * sizeof *blocks);
        if (blocks == NULL)
            return false;
        self->blocks = blocks;
        uint32_t *free_slots = ifab_realloc(self->free_slots, room * BLOCK * sizeof *free_slots);
        if (free_slots == NULL)
            return false;
        self->free_slots = free_slots;
    }
    uint8_t *block = ifab_calloc(BLOCK, self->item_size);
    if (block == NULL)
        return false;
    uint32_t first = self->block_count * BLOCK + 1;
    self->blocks[self->block_count++] = block;
    for (uint32_t i = BLOCK; i > 0; i--)
        self->free_slots[self->free_count++] = first + i - 1;
    return true;
}

bool ifab_slot_pool_reserve(struct ifab_slot_pool *self, size_t more)
{
    while (self->free_count < more) {
        if (!add_block(self))
            return false;
    }
    return true;
}

void *ifab_slot_pool_at(const struct ifab_slot_pool *self, uint32_t slot)
{
    return self->blocks[(slot - 1) / BLOCK] + (size_t)((slot - 1) % BLOCK) * self->item_size;
}

uint32_t ifab_slot_pool_take(struct ifab_slot_pool *self)
{
    uint32_t slot = self->free_slots[--self->free_count];
    memset(ifab_slot_pool_at(self, slot), 0, self->item_size);
    return slot;
}

void ifab_slot_pool_give(struct ifab_slot_pool *self, uint32_t slot)
{
    self->free_slots[self->free_count++] = slot;
}

uint32_t ifab_slot_pool_capacity(const struct ifab_slot_pool *self)
{
    return self->block_count * BLOCK;
}
