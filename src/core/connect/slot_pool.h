#ifndef CONNECT_SLOT_POOL_H
#define CONNECT_SLOT_POOL_H
/*
 * Records of one size in blocks of 64 that never move, named by a number 1, 2, 3…; 0 names none. Room is made by reserve, so that
 * taking a slot afterwards cannot fail.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slot_pool {
    uint8_t **blocks;
    uint32_t *free_slots; /* a stack; room for every slot there is */
    uint32_t block_count, free_count;
    size_t item_size;
};

void ifab_slot_pool__init(struct slot_pool *self, size_t item_size);
void ifab_slot_pool__fini(struct slot_pool *self);
bool ifab_slot_pool__reserve(struct slot_pool *self, size_t more);
uint32_t ifab_slot_pool__take(struct slot_pool *self); /* zeroed; after reserve */
void ifab_slot_pool__give(struct slot_pool *self, uint32_t slot);
void *ifab_slot_pool__at(const struct slot_pool *self, uint32_t slot);
uint32_t ifab_slot_pool__capacity(const struct slot_pool *self);
#endif
