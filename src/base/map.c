/*
 * Map from bytes to a number: linear probing, and removal shifts back, so that there are no tombstones.
 * Invariants: 1. at most 3/4 of the slots are in use. 2. a key is reachable from its home slot without a free slot between.
 * 3. after ifab_map_reserve(n) the next n puts cannot fail for keys up to IFAB_MAP_SPARE_KEY bytes: when the allocator refuses one,
 * a spare block made by reserve is used.
 */
#include "base/map.h"

#include "base/mem.h"

struct ifab_map_spare {
    struct ifab_map_spare *next;
    uint8_t rest[IFAB_MAP_SPARE_KEY - sizeof(struct ifab_map_spare *)];
};

static uint64_t rotate(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein): one round a word, three at the end; the second half of the key is derived from the seed. */
uint64_t ifab_hash64(struct ifab_view bytes, uint64_t seed)
{
    uint64_t k1 = (seed ^ 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
    uint64_t v[4] = {seed ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL, seed ^ 0x6c7967656e657261ULL,
                     k1 ^ 0x7465646279746573ULL};
    size_t at = 0;
    for (; bytes.size - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)bytes.size << 56;
    for (unsigned shift = 0; at < bytes.size; at++, shift += 8)
        last |= (uint64_t)bytes.data[at] << shift;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void ifab_map_init(struct ifab_map *self, uint64_t seed)
{
    *self = (struct ifab_map){.seed = seed};
}

void ifab_map_fini(struct ifab_map *self)
{
    for (size_t i = 0; i < self->capacity; i++)
        ifab_free(self->slots[i].key);
    ifab_free(self->slots);
    while (self->spare != NULL) {
        struct ifab_map_spare *next = self->spare->next;
        ifab_free(self->spare);
        self->spare = next;
    }
    *self = (struct ifab_map){.seed = self->seed};
}

static ifab_status grow_to(struct ifab_map *self, size_t capacity)
{
    struct ifab_map_slot *slots = ifab_calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return IFAB_NOMEM;
    for (size_t i = 0; i < self->capacity; i++) {
        if (self->slots[i].key == NULL)
            continue;
        size_t at = self->slots[i].hash & (capacity - 1);
        while (slots[at].key != NULL)
            at = (at + 1) & (capacity - 1);
        slots[at] = self->slots[i];
    }
    ifab_free(self->slots);
    self->slots = slots;
    self->capacity = capacity;
    return IFAB_OK;
}

ifab_status ifab_map_reserve(struct ifab_map *self, size_t more)
{
    if (more > (size_t)1 << 30 || self->count > (size_t)1 << 30) /* the home slot comes from 32 bits of hash */
        return IFAB_NOMEM;
    while (self->spare_count < more) {
        struct ifab_map_spare *spare = ifab_malloc(sizeof *spare);
        if (spare == NULL)
            return IFAB_NOMEM;
        spare->next = self->spare;
        self->spare = spare;
        self->spare_count++;
    }
    size_t need = self->count + more, capacity = self->capacity == 0 ? 16 : self->capacity;
    while (need > capacity / 4 * 3)
        capacity *= 2;
    return capacity == self->capacity ? IFAB_OK : grow_to(self, capacity);
}

/* The slot that holds key, or the free one where it belongs. The table has a free slot. */
static size_t find(const struct ifab_map *self, struct ifab_view key, uint32_t hash)
{
    size_t at = hash & (self->capacity - 1);
    for (; self->slots[at].key != NULL; at = (at + 1) & (self->capacity - 1)) {
        const struct ifab_map_slot *slot = &self->slots[at];
        if (slot->hash == hash && slot->key_size == key.size && (key.size == 0 || memcmp(slot->key, key.data, key.size) == 0))
            break;
    }
    return at;
}

static uint32_t hash_of(const struct ifab_map *self, struct ifab_view key)
{
    return (uint32_t)ifab_hash64(key, self->seed);
}

bool ifab_map_get(const struct ifab_map *self, struct ifab_view key, uint64_t *ret_value)
{
    if (self->count == 0)
        return false;
    const struct ifab_map_slot *slot = &self->slots[find(self, key, hash_of(self, key))];
    if (slot->key == NULL)
        return false;
    if (ret_value != NULL)
        *ret_value = slot->value;
    return true;
}

static uint8_t *copy_key(struct ifab_map *self, struct ifab_view key)
{
    uint8_t *copy = ifab_malloc(key.size == 0 ? 1 : key.size);
    if (copy == NULL && self->spare != NULL && key.size <= IFAB_MAP_SPARE_KEY) {
        copy = (uint8_t *)self->spare;
        self->spare = self->spare->next;
        self->spare_count--;
    }
    if (copy != NULL && key.size > 0)
        memcpy(copy, key.data, key.size);
    return copy;
}

ifab_status ifab_map_put(struct ifab_map *self, struct ifab_view key, uint64_t value)
{
    if (key.size > UINT32_MAX)
        return IFAB_NOMEM;
    uint32_t hash = hash_of(self, key);
    if (self->count > 0) {
        struct ifab_map_slot *slot = &self->slots[find(self, key, hash)];
        if (slot->key != NULL) {
            slot->value = value;
            return IFAB_OK;
        }
    }
    if (self->count + 1 > self->capacity / 4 * 3)
        IFAB_TRY(grow_to(self, self->capacity == 0 ? 16 : self->capacity * 2));
    uint8_t *copy = copy_key(self, key);
    if (copy == NULL)
        return IFAB_NOMEM;
    self->slots[find(self, key, hash)] = (struct ifab_map_slot){copy, (uint32_t)key.size, hash, value};
    self->count++;
    return IFAB_OK;
}

bool ifab_map_remove(struct ifab_map *self, struct ifab_view key)
{
    if (self->count == 0)
        return false;
    size_t mask = self->capacity - 1, hole = find(self, key, hash_of(self, key));
    if (self->slots[hole].key == NULL)
        return false;
    ifab_free(self->slots[hole].key);
    for (size_t at = (hole + 1) & mask; self->slots[at].key != NULL; at = (at + 1) & mask) {
        size_t home = self->slots[at].hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its home lies behind the hole: it may not move before it */
        self->slots[hole] = self->slots[at];
        hole = at;
    }
    memset(&self->slots[hole], 0, sizeof self->slots[hole]);
    self->count--;
    return true;
}

bool ifab_map_next(const struct ifab_map *self, size_t *cursor, struct ifab_view *ret_key, uint64_t *ret_value)
{
    while (*cursor < self->capacity) {
        const struct ifab_map_slot *slot = &self->slots[(*cursor)++];
        if (slot->key == NULL)
            continue;
        if (ret_key != NULL)
            *ret_key = (struct ifab_view){slot->key, slot->key_size};
        if (ret_value != NULL)
            *ret_value = slot->value;
        return true;
    }
    return false;
}
