/*
 * The allocator: blocks of a power of two, a free list a size; what no list has is cut from the end of the heap.
 * Invariant: in front of each block stand 16 bytes, its class and whether it is in use; a block that is given back twice, or was never
 * taken, traps. Both operations take constant time; at most half of a block is unused.
 */
#include "guest_internal.h"

#define CLASS_LEAST 5  /* 32 bytes with its head */
#define CLASS_MOST  27 /* 128 MiB: more than a guest may have */
#define HEAD        16U
#define USED        0x1fab05edU
#define FREE        0x1fab0f2eU

struct head {
    uint32_t state, class_;
    struct head *next; /* while free */
};
_Static_assert(sizeof(struct head) <= HEAD, "a head fits in front of its block");

static struct head *free_lists[CLASS_MOST + 1];
static uintptr_t top; /* 0: nothing was cut yet */

static struct head *cut(uint32_t class_)
{
    size_t size = (size_t)1 << class_;
    if (top == 0)
        top = (ifg_platform_heap_begin() + HEAD - 1) & ~(uintptr_t)(HEAD - 1);
    uintptr_t end = ifg_platform_heap_end();
    if (top > end || (end - top < size && !ifg_platform_grow(size - (end - top))))
        return NULL;
    struct head *block = (struct head *)top; /* NOLINT(performance-no-int-to-ptr): memory begins as a number */
    top += size;
    return block;
}

void *ifg__heap_take(size_t size)
{
    uint32_t class_ = CLASS_LEAST;
    while (class_ <= CLASS_MOST && ((size_t)1 << class_) - HEAD < size)
        class_++;
    if (class_ > CLASS_MOST)
        return NULL;
    struct head *block = free_lists[class_];
    if (block != NULL) {
        if (block->state != FREE || block->class_ != class_)
            ifg_platform_trap(); /* somebody wrote into a free block */
        free_lists[class_] = block->next;
    } else if ((block = cut(class_)) == NULL) {
        return NULL;
    }
    block->state = USED;
    block->class_ = class_;
    block->next = NULL;
    return (char *)block + HEAD;
}

void ifg__heap_give(void *memory)
{
    uintptr_t at = (uintptr_t)memory;
    if (top == 0 || at % HEAD != 0 || at < ifg_platform_heap_begin() + HEAD || at > top - HEAD)
        ifg_platform_trap();
    struct head *block = (struct head *)(void *)((char *)memory - HEAD);
    if (block->state != USED || block->class_ < CLASS_LEAST || block->class_ > CLASS_MOST)
        ifg_platform_trap();
    block->state = FREE;
    block->next = free_lists[block->class_];
    free_lists[block->class_] = block;
}

void *ifg_alloc(size_t size)
{
    void *memory = ifg__heap_take(size);
    if (memory == NULL)
        ifg_platform_trap();
    return memory;
}

void ifg_free(void *memory)
{
    if (memory != NULL)
        ifg__heap_give(memory);
}
