#ifndef BASE_SLOT_POOL_H
#define BASE_SLOT_POOL_H
/*
 * Records of one size in blocks of 64 that never move, named by a number 1, 2, 3…; 0 names none. Room is made by reserve, so that
 * taking a slot afterwards cannot fail.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ifab_slot_pool {
    uint8_t **blocks;
    uint32_t *free_slots; /* a stack; room for every slot there is */
    uint32_t block_count, free_count;
    size_t item_size;
};

void ifab_slot_pool_init(struct ifab_slot_pool *self, size_t item_size);
void ifab_slot_pool_fini(struct ifab_slot_pool *self);
bool ifab_slot_pool_reserve(struct ifab_slot_pool *self, size_t more);
uint32_t ifab_slot_pool_take(struct ifab_slot_pool *self); /* zeroed; after reserve */
void ifab_slot_pool_give(struct ifab_slot_pool *self, uint32_t slot);
void *ifab_slot_pool_at(const struct ifab_slot_pool *self, uint32_t slot);
uint32_t ifab_slot_pool_capacity(const struct ifab_slot_pool *self);
#endif
