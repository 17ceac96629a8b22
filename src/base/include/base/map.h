#ifndef BASE_MAP_H
#define BASE_MAP_H
/*
 * Open-addressing map from bytes (copied) to a uint64_t. Room is made apart from insertion, so that a core's apply
 * cannot fail: ifab_map_reserve() in the prepare step, ifab_map_put() afterwards.
 * Hash: SipHash-like keyed by `seed`, given by the shell at start (flooding); iteration order is not part of any result.
 */
#include "base/status.h"
#include "base/view.h"

struct ifab_map_spare;
struct ifab_map_slot {
    uint8_t *key; /* owned; NULL = free */
    uint32_t key_size, hash;
    uint64_t value;
};
struct ifab_map {
    struct ifab_map_slot *slots;
    size_t count, capacity; /* capacity: 0 or a power of two; at most 3/4 full */
    uint64_t seed;
    struct ifab_map_spare *spare; /* owned: blocks that ifab_map_reserve() made for keys, used when the allocator refuses */
    size_t spare_count;
};
#define IFAB_MAP_SPARE_KEY 512 /* after ifab_map_reserve(n), n puts of keys up to this many bytes cannot fail */
void ifab_map_init(struct ifab_map *self, uint64_t seed);
void ifab_map_fini(struct ifab_map *self);
ifab_status ifab_map_reserve(struct ifab_map *self, size_t more);             /* IFAB_NOMEM; nothing changed */
bool ifab_map_get(const struct ifab_map *self, struct ifab_view key, uint64_t *ret_value);
ifab_status ifab_map_put(struct ifab_map *self, struct ifab_view key, uint64_t value); /* inserts or replaces; IFAB_NOMEM */
bool ifab_map_remove(struct ifab_map *self, struct ifab_view key);
/* Walk: *cursor starts at 0; false at the end. Do not change the map meanwhile. */
bool ifab_map_next(const struct ifab_map *self, size_t *cursor, struct ifab_view *ret_key, uint64_t *ret_value);

/* The same for 64-bit keys: value != 0 not required; key any. */
struct ifab_u64map_slot {
    uint64_t key, value;
    bool used;
};
struct ifab_u64map {
    struct ifab_u64map_slot *slots;
    size_t count, capacity;
};
void ifab_u64map_fini(struct ifab_u64map *self); /* zeroed = empty */
ifab_status ifab_u64map_reserve(struct ifab_u64map *self, size_t more);
bool ifab_u64map_get(const struct ifab_u64map *self, uint64_t key, uint64_t *ret_value);
ifab_status ifab_u64map_put(struct ifab_u64map *self, uint64_t key, uint64_t value);
bool ifab_u64map_remove(struct ifab_u64map *self, uint64_t key);
bool ifab_u64map_next(const struct ifab_u64map *self, size_t *cursor, uint64_t *ret_key, uint64_t *ret_value);
uint64_t ifab_hash64(struct ifab_view bytes, uint64_t seed); /* non-cryptographic but keyed; for tables */
#endif
