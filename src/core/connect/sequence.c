/*
 * Sequence numbers, one record per (talent, key epoch, instance): INV-03 for `seq`.
 * 1. A number passes once: above the last one, or (window mode) within 1,024 below it and not yet seen.
 * 2. A record lives while its last message could be valid; afterwards the same instance starts afresh, in the same record if that
 *    has not been removed yet.
 * 3. A key is in the table once: a record put under the key of another replaces it.
 */
#include "base/encode.h"
#include "base/map.h"
#include "base/mem.h"
#include "connect/order.h"
#include "base/deadline_heap.h"
#include "base/slot_index.h"
#include "base/slot_pool.h"

#define INSTANCES_MAX 64
#define KEY_MAX (4 + 4 + IFAB_NAME_MAX)

struct item {
    struct ifab_sequence record; /* first: what find() hands out */
    uint32_t next_of_talent;     /* slot; 0: the last one */
};
struct ifab_sequences {
    uint64_t seed;
    struct ifab_slot_pool pool;
    struct ifab_slot_index by_key, by_number;
    struct ifab_u64map talents; /* talent → slot of its first item */
    struct ifab_deadline_heap ends;
};

static struct item *item_at(const struct ifab_sequences *self, uint32_t slot)
{
    return ifab_slot_pool_at(&self->pool, slot);
}

static uint32_t hash_of_key(const struct ifab_sequences *self, uint32_t talent, uint32_t epoch, struct ifab_view instance)
{
    uint8_t key[KEY_MAX], *at = key;
    ifab_put_u32(&at, talent);
    ifab_put_u32(&at, epoch);
    ifab_put_bytes(&at, instance.data, instance.size);
    return (uint32_t)(ifab_hash64(ifab_view_of(key, (size_t)(at - key)), self->seed) >> 32);
}

static uint32_t hash_of_number(const struct ifab_sequences *self, uint64_t number)
{
    uint8_t key[8], *at = key;
    ifab_put_u64(&at, number);
    return (uint32_t)(ifab_hash64(ifab_view_of(key, sizeof key), self->seed) >> 32);
}

static struct ifab_view instance_of(const struct ifab_sequence *sequence)
{
    return ifab_view_of(sequence->instance, sequence->instance_size);
}

static uint32_t slot_of_key(const struct ifab_sequences *self, uint32_t talent, uint32_t epoch, struct ifab_view instance)
{
    if (instance.size > IFAB_NAME_MAX)
        return 0;
    uint32_t hash = hash_of_key(self, talent, epoch, instance), at = ifab_slot_index_home(&self->by_key, hash), slot;
    while ((slot = ifab_slot_index_next(&self->by_key, hash, &at)) != 0) {
        const struct ifab_sequence *found = &item_at(self, slot)->record;
        if (found->talent == talent && found->epoch == epoch && ifab_view_equal(instance_of(found), instance))
            return slot;
    }
    return 0;
}

static uint32_t slot_of_number(const struct ifab_sequences *self, uint64_t number)
{
    uint32_t hash = hash_of_number(self, number), at = ifab_slot_index_home(&self->by_number, hash), slot;
    while ((slot = ifab_slot_index_next(&self->by_number, hash, &at)) != 0) {
        if (item_at(self, slot)->record.number == number)
            return slot;
    }
    return 0;
}

ifab_status ifab_sequences_new(uint64_t seed, struct ifab_sequences **ret)
{
    struct ifab_sequences *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->seed = seed;
    ifab_slot_pool_init(&self->pool, sizeof(struct item));
    *ret = self;
    return IFAB_OK;
}

void ifab_sequences_free(struct ifab_sequences *self)
{
    if (self == NULL)
        return;
    ifab_slot_pool_fini(&self->pool);
    ifab_slot_index_fini(&self->by_key);
    ifab_slot_index_fini(&self->by_number);
    ifab_u64map_fini(&self->talents);
    ifab_deadline_heap_fini(&self->ends);
    ifab_free(self);
}

ifab_status ifab_sequences_reserve(struct ifab_sequences *self, size_t n)
{
    if (!ifab_slot_pool_reserve(&self->pool, n) || !ifab_slot_index_reserve(&self->by_key, n) ||
        !ifab_slot_index_reserve(&self->by_number, n) || !ifab_deadline_heap_reserve(&self->ends, ifab_slot_pool_capacity(&self->pool)))
        return IFAB_NOMEM;
    return ifab_u64map_reserve(&self->talents, n);
}

static uint32_t first_of_talent(const struct ifab_sequences *self, uint32_t talent)
{
    uint64_t slot = 0;
    (void)ifab_u64map_get(&self->talents, talent, &slot);
    return (uint32_t)slot;
}

static unsigned live_of_talent(const struct ifab_sequences *self, uint32_t talent, ifab_usec wall)
{
    unsigned live = 0;
    for (uint32_t slot = first_of_talent(self, talent); slot != 0; slot = item_at(self, slot)->next_of_talent)
        live += item_at(self, slot)->record.live_until >= wall;
    return live;
}

static bool window_has(const struct ifab_sequence *sequence, uint64_t back)
{
    return (sequence->window[back / 64] >> (back % 64) & 1) != 0;
}

/* Moves every bit `by` places up, as last_seq grows by `by`; what leaves the window counts as used. */
static void window_shift(struct ifab_sequence *sequence, uint64_t by)
{
    uint64_t words = by / 64, bits = by % 64;
    for (size_t i = IFAB_COUNT(sequence->window); i > 0; i--) {
        uint64_t from = i - 1 < words ? 0 : sequence->window[i - 1 - words];
        uint64_t below = i - 1 < words + 1 ? 0 : sequence->window[i - 2 - words];
        sequence->window[i - 1] = bits == 0 ? from : from << bits | below >> (64 - bits);
    }
}

static enum ifab_code refuse_order(struct ifab_refusal *ret_refusal, uint64_t seq, uint64_t last_seq, const char *why)
{
    (void)ifab_refuse(ret_refusal, IFAB_CODE_OUT_OF_ORDER, "seq", "seq %llu %s %llu, the last one of this sender",
                      (unsigned long long)seq, why, (unsigned long long)last_seq);
    if (ret_refusal != NULL) {
        ret_refusal->has_last_seq = true;
        ret_refusal->last_seq = last_seq;
    }
    return IFAB_CODE_OUT_OF_ORDER;
}

static enum ifab_code advance_window(struct ifab_sequence *next, uint64_t seq, struct ifab_refusal *ret_refusal)
{
    /* written in strict mode: nothing is known of what lies below, so all of it counts as used */
    if ((next->window[0] & 1) == 0)
        memset(next->window, 0xFF, sizeof next->window);
    if (seq > next->last_seq) {
        window_shift(next, seq - next->last_seq);
        next->window[0] |= 1;
        next->last_seq = seq;
        return IFAB_CODE_NONE;
    }
    uint64_t back = next->last_seq - seq;
    if (back >= IFAB_ORDER_WINDOW_SIZE)
        return refuse_order(ret_refusal, seq, next->last_seq, "is 1,024 or more below");
    if (window_has(next, back))
        return refuse_order(ret_refusal, seq, next->last_seq, "was used already, not above");
    next->window[back / 64] |= UINT64_C(1) << (back % 64);
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_sequences_check(const struct ifab_sequences *self, uint32_t talent, uint32_t epoch, struct ifab_view instance,
                                    enum ifab_order_mode mode, uint64_t seq, ifab_usec valid_until, ifab_usec wall, uint64_t next_number,
                                    struct ifab_sequence *ret_next, struct ifab_refusal *ret_refusal)
{
    uint32_t slot = slot_of_key(self, talent, epoch, instance);
    const struct ifab_sequence *found = slot == 0 ? NULL : &item_at(self, slot)->record;
    struct ifab_sequence next = {.number = found == NULL ? next_number : found->number};
    if (found != NULL && found->live_until >= wall) {
        next = *found;
        if (mode == IFAB_ORDER_WINDOW) {
            enum ifab_code code = advance_window(&next, seq, ret_refusal);
            if (code != IFAB_CODE_NONE)
                return code;
        } else {
            if (seq <= next.last_seq)
                return refuse_order(ret_refusal, seq, next.last_seq, "is not above");
            next.last_seq = seq;
            memset(next.window, 0, sizeof next.window);
        }
        if (next.live_until < valid_until)
            next.live_until = valid_until;
        *ret_next = next;
        return IFAB_CODE_NONE;
    }
    if (instance.size > IFAB_NAME_MAX)
        return refuse_order(ret_refusal, seq, 0, "of an instance name that is too long comes after");
    if (live_of_talent(self, talent, wall) >= INSTANCES_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "sender",
                           "%d instances of this talent are live; one lives until its last message ends", INSTANCES_MAX);
    next.talent = talent;
    next.epoch = epoch;
    next.instance_size = (uint8_t)instance.size;
    if (instance.size > 0)
        memcpy(next.instance, instance.data, instance.size);
    next.last_seq = seq;
    next.live_until = valid_until;
    next.window[0] = mode == IFAB_ORDER_WINDOW ? 1 : 0;
    *ret_next = next;
    return IFAB_CODE_NONE;
}

static void unlink_of_talent(struct ifab_sequences *self, uint32_t slot)
{
    uint32_t talent = item_at(self, slot)->record.talent, next = item_at(self, slot)->next_of_talent;
    uint32_t at = first_of_talent(self, talent);
    if (at == slot) {
        if (next == 0)
            (void)ifab_u64map_remove(&self->talents, talent);
        else
            (void)ifab_u64map_put(&self->talents, talent, next); /* replaces: cannot fail */
        return;
    }
    while (item_at(self, at)->next_of_talent != slot)
        at = item_at(self, at)->next_of_talent;
    item_at(self, at)->next_of_talent = next;
}

static void drop(struct ifab_sequences *self, uint32_t slot)
{
    const struct ifab_sequence *record = &item_at(self, slot)->record;
    (void)ifab_slot_index_remove(&self->by_key, hash_of_key(self, record->talent, record->epoch, instance_of(record)), slot);
    (void)ifab_slot_index_remove(&self->by_number, hash_of_number(self, record->number), slot);
    ifab_deadline_heap_remove(&self->ends, slot);
    unlink_of_talent(self, slot);
    ifab_slot_pool_give(&self->pool, slot);
}

void ifab_sequences_put(struct ifab_sequences *self, const struct ifab_sequence *sequence)
{
    if (sequence->instance_size > IFAB_NAME_MAX)
        return; /* neither check() nor unpack() makes one */
    uint32_t slot = slot_of_number(self, sequence->number);
    uint32_t same_key = slot_of_key(self, sequence->talent, sequence->epoch, instance_of(sequence));
    if (slot != 0 && slot == same_key) { /* the common case: only seq and time have changed */
        item_at(self, slot)->record = *sequence;
        ifab_deadline_heap_set(&self->ends, slot, sequence->live_until, sequence->number);
        return;
    }
    if (slot != 0)
        drop(self, slot);
    if (same_key != 0)
        drop(self, same_key);
    slot = ifab_slot_pool_take(&self->pool);
    struct item *item = item_at(self, slot);
    item->record = *sequence;
    item->next_of_talent = first_of_talent(self, sequence->talent);
    (void)ifab_u64map_put(&self->talents, sequence->talent, slot); /* room since reserve */
    ifab_slot_index_insert(&self->by_key, hash_of_key(self, sequence->talent, sequence->epoch, instance_of(sequence)), slot);
    ifab_slot_index_insert(&self->by_number, hash_of_number(self, sequence->number), slot);
    ifab_deadline_heap_set(&self->ends, slot, sequence->live_until, sequence->number);
}

void ifab_sequences_remove(struct ifab_sequences *self, uint64_t number)
{
    uint32_t slot = slot_of_number(self, number);
    if (slot != 0)
        drop(self, slot);
}

size_t ifab_sequences_dead(const struct ifab_sequences *self, ifab_usec wall, uint64_t *ret_numbers, size_t max)
{
    return ifab_deadline_heap_first(&self->ends, wall, ret_numbers, max);
}

const struct ifab_sequence *ifab_sequences_find(const struct ifab_sequences *self, uint32_t talent, uint32_t epoch,
                                                struct ifab_view instance)
{
    uint32_t slot = slot_of_key(self, talent, epoch, instance);
    return slot == 0 ? NULL : &item_at(self, slot)->record;
}

const struct ifab_sequence *ifab_sequences_next(const struct ifab_sequences *self, uint32_t talent, uint64_t *cursor)
{
    const struct ifab_sequence *best = NULL;
    for (uint32_t slot = first_of_talent(self, talent); slot != 0; slot = item_at(self, slot)->next_of_talent) {
        const struct ifab_sequence *record = &item_at(self, slot)->record;
        if (record->number >= *cursor && (best == NULL || record->number < best->number))
            best = record;
    }
    if (best == NULL || best->number == UINT64_MAX)
        return NULL;
    *cursor = best->number + 1;
    return best;
}
