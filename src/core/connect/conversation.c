/*
 * Conversations: who may say what where.
 *
 *             opened by anything but a reply
 *                          │
 *                          ▼           refuse, reject-proposal by a party, when opened by request or propose
 *   absent ────────────▶  open  ─────────────────────────────────────────────────────────────────────────▶ ended
 *      ▲                   │ ▲         accept-proposal, when opened by propose                               │
 *      │                   └─┘ anything else by opener or party; a reply only after someone else has spoken  │
 *      └──────────────────── `idle` after its last message ◀──────────────────────────────────────────────────┘
 *
 * 1. The parties are the receivers of the first message; later receivers join nobody.
 * 2. What is not allowed is 105, and changes nothing.
 * 3. A record stays until it has been idle long enough, an ended one too: so its id cannot be opened a second time meanwhile.
 */
#include "connect/order.h"

#include "base/encode.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/deadline_heap.h"
#include "base/slot_index.h"
#include "base/slot_pool.h"

#define FEW 6 /* parties kept inside the record; most messages have one receiver */

struct item {
    uint64_t number;
    uint8_t id16[16];
    ifab_usec idle_from;
    uint32_t opener, last_speaker;
    uint32_t few[FEW];
    uint32_t many; /* slot in `lists` when there are more than FEW; else 0 */
    uint8_t opened_by, party_count, said, hazards;
    bool ended, open_to_all, answered;
};
struct party_list {
    uint32_t parties[IFAB_RECEIVER_MAX];
};
struct ifab_conversations {
    struct ifab_conversation_limits limits;
    struct ifab_slot_pool pool, lists;
    struct ifab_slot_index by_id, by_number;
    struct ifab_u64map openers; /* talent → conversations it opened */
    struct ifab_deadline_heap ends;
    uint32_t count;
};

static struct item *item_at(const struct ifab_conversations *self, uint32_t slot)
{
    return ifab_slot_pool_at(&self->pool, slot);
}

static uint32_t hash_of_id(const struct ifab_conversations *self, const uint8_t id16[16])
{
    return (uint32_t)(ifab_hash64(ifab_view_of(id16, 16), self->limits.seed) >> 32);
}

static uint32_t hash_of_number(const struct ifab_conversations *self, uint64_t number)
{
    uint8_t key[8], *at = key;
    ifab_put_u64(&at, number);
    return (uint32_t)(ifab_hash64(ifab_view_of(key, sizeof key), self->limits.seed) >> 32);
}

static uint32_t slot_of_id(const struct ifab_conversations *self, const uint8_t id16[16])
{
    uint32_t hash = hash_of_id(self, id16), at = ifab_slot_index_home(&self->by_id, hash), slot;
    while ((slot = ifab_slot_index_next(&self->by_id, hash, &at)) != 0) {
        if (memcmp(item_at(self, slot)->id16, id16, 16) == 0)
            return slot;
    }
    return 0;
}

static uint32_t slot_of_number(const struct ifab_conversations *self, uint64_t number)
{
    uint32_t hash = hash_of_number(self, number), at = ifab_slot_index_home(&self->by_number, hash), slot;
    while ((slot = ifab_slot_index_next(&self->by_number, hash, &at)) != 0) {
        if (item_at(self, slot)->number == number)
            return slot;
    }
    return 0;
}

ifab_status ifab_conversations_new(const struct ifab_conversation_limits *limits, struct ifab_conversations **ret)
{
    if (limits->total == 0 || limits->per_talent == 0 || limits->idle <= 0)
        return IFAB_INVALID;
    struct ifab_conversations *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->limits = *limits;
    ifab_slot_pool_init(&self->pool, sizeof(struct item));
    ifab_slot_pool_init(&self->lists, sizeof(struct party_list));
    *ret = self;
    return IFAB_OK;
}

void ifab_conversations_free(struct ifab_conversations *self)
{
    if (self == NULL)
        return;
    ifab_slot_pool_fini(&self->pool);
    ifab_slot_pool_fini(&self->lists);
    ifab_slot_index_fini(&self->by_id);
    ifab_slot_index_fini(&self->by_number);
    ifab_u64map_fini(&self->openers);
    ifab_deadline_heap_fini(&self->ends);
    ifab_free(self);
}

ifab_status ifab_conversations_reserve(struct ifab_conversations *self, size_t n)
{
    if (!ifab_slot_pool_reserve(&self->pool, n) || !ifab_slot_pool_reserve(&self->lists, n) ||
        !ifab_slot_index_reserve(&self->by_id, n) || !ifab_slot_index_reserve(&self->by_number, n) ||
        !ifab_deadline_heap_reserve(&self->ends, ifab_slot_pool_capacity(&self->pool)))
        return IFAB_NOMEM;
    return ifab_u64map_reserve(&self->openers, n);
}

static const uint32_t *parties_of(const struct ifab_conversations *self, const struct item *item)
{
    return item->many == 0 ? item->few : ((const struct party_list *)ifab_slot_pool_at(&self->lists, item->many))->parties;
}

static uint64_t opened_by_talent(const struct ifab_conversations *self, uint32_t talent)
{
    uint64_t count = 0;
    (void)ifab_u64map_get(&self->openers, talent, &count);
    return count;
}

static ifab_usec end_of(const struct ifab_conversations *self, ifab_usec idle_from)
{
    return idle_from > IFAB_NEVER - self->limits.idle ? IFAB_NEVER : idle_from + self->limits.idle;
}

/* What each performative may do; the rest is in the picture above. */
struct move {
    bool reply;        /* opens nothing */
    bool refuses;      /* by a party: ends what request or propose opened */
    bool accepts;      /* ends what propose opened */
    bool can_be_ended; /* opened by it, an exchange may be refused */
};
static const struct move moves[IFAB_PERFORMATIVE_COUNT] = {
    [IFAB_PERFORMATIVE_REQUEST] = {.can_be_ended = true},
    [IFAB_PERFORMATIVE_PROPOSE] = {.can_be_ended = true},
    [IFAB_PERFORMATIVE_AGREE] = {.reply = true},
    [IFAB_PERFORMATIVE_REFUSE] = {.reply = true, .refuses = true},
    [IFAB_PERFORMATIVE_REJECT_PROPOSAL] = {.reply = true, .refuses = true},
    [IFAB_PERFORMATIVE_ACCEPT_PROPOSAL] = {.reply = true, .accepts = true},
};

static void add_party(struct ifab_conversation *conversation, uint32_t talent)
{
    uint32_t at = conversation->party_count;
    while (at > 0 && conversation->parties[at - 1] > talent)
        at--;
    if (talent == conversation->opener || (at > 0 && conversation->parties[at - 1] == talent))
        return;
    memmove(&conversation->parties[at + 1], &conversation->parties[at], (conversation->party_count - at) * sizeof conversation->parties[0]);
    conversation->parties[at] = talent;
    conversation->party_count++;
}

static enum ifab_code check_open(const struct ifab_conversations *self, const struct ifab_envelope *envelope, uint32_t talent,
                                 const uint32_t *receivers, size_t receiver_count, ifab_usec wall, uint64_t number, const struct item *dead,
                                 struct ifab_conversation *ret_next, struct ifab_refusal *ret_refusal)
{
    if (moves[envelope->performative].reply)
        return ifab_refuse(ret_refusal, IFAB_CODE_PROTOCOL_VIOLATION, "conversation_id",
                           "%s needs an open conversation; this one is not open here", ifab_performative_name(envelope->performative));
    if (receiver_count > IFAB_RECEIVER_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_PROTOCOL_VIOLATION, "receiver", "more than %d receivers", IFAB_RECEIVER_MAX);
    if (dead == NULL && self->count >= self->limits.total)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "conversation_id", "%u conversations are kept already", self->count);
    uint64_t opened = opened_by_talent(self, talent);
    if (dead != NULL && dead->opener == talent)
        opened--; /* the one that this replaces */
    if (opened >= self->limits.per_talent)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "conversation_id", "this sender keeps %u conversations already",
                           self->limits.per_talent);
    memset(ret_next, 0, sizeof *ret_next);
    ret_next->number = number;
    memcpy(ret_next->id16, envelope->conversation16, 16);
    ret_next->opener = ret_next->last_speaker = talent;
    ret_next->opened_by = (uint8_t)envelope->performative;
    ret_next->said = (uint8_t)(envelope->performative + 1);
    ret_next->idle_from = wall;
    ret_next->open_to_all = receiver_count == 0;
    for (size_t i = 0; i < envelope->receiver_count; i++)
        ret_next->open_to_all |= envelope->receivers[i].kind == IFAB_RECEIVER_TOPIC;
    for (size_t i = 0; i < receiver_count; i++)
        add_party(ret_next, receivers[i]);
    return IFAB_CODE_NONE;
}

static void read_item(const struct ifab_conversations *self, const struct item *item, struct ifab_conversation *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->number = item->number;
    memcpy(ret->id16, item->id16, 16);
    ret->opener = item->opener;
    ret->opened_by = item->opened_by;
    ret->ended = item->ended;
    ret->open_to_all = item->open_to_all;
    ret->answered = item->answered;
    ret->idle_from = item->idle_from;
    ret->party_count = item->party_count;
    memcpy(ret->parties, parties_of(self, item), item->party_count * sizeof ret->parties[0]);
    ret->last_speaker = item->last_speaker;
    ret->said = item->said;
    ret->hazards = item->hazards;
}

static bool may_speak(const struct ifab_conversation *conversation, uint32_t talent)
{
    if (conversation->open_to_all || talent == conversation->opener)
        return true;
    for (uint32_t i = 0; i < conversation->party_count; i++) {
        if (conversation->parties[i] == talent)
            return true;
    }
    return false;
}

enum ifab_code ifab_conversations_check(const struct ifab_conversations *self, const struct ifab_envelope *envelope, uint32_t talent,
                                        const uint32_t *receivers, size_t receiver_count, ifab_usec wall, uint64_t next_number,
                                        struct ifab_conversation *ret_next, struct ifab_refusal *ret_refusal)
{
    uint32_t slot = slot_of_id(self, envelope->conversation16);
    if ((unsigned)envelope->performative >= IFAB_PERFORMATIVE_COUNT)
        return ifab_refuse(ret_refusal, IFAB_CODE_PROTOCOL_VIOLATION, "performative", "unknown performative");
    if (slot == 0)
        return check_open(self, envelope, talent, receivers, receiver_count, wall, next_number, NULL, ret_next, ret_refusal);
    const struct item *item = item_at(self, slot);
    if (end_of(self, item->idle_from) < wall) /* ended by idleness, only not removed yet: its record is used again */
        return check_open(self, envelope, talent, receivers, receiver_count, wall, item->number, item, ret_next, ret_refusal);

    struct ifab_conversation next;
    read_item(self, item, &next);
    const struct move *move = &moves[envelope->performative];
    if (!may_speak(&next, talent)) /* before its state: a stranger learns nothing more */
        return ifab_refuse(ret_refusal, IFAB_CODE_PROTOCOL_VIOLATION, "conversation_id",
                           "it belongs to its opener and the receivers it named");
    if (next.ended)
        return ifab_refuse(ret_refusal, IFAB_CODE_PROTOCOL_VIOLATION, "conversation_id", "this conversation has ended");
    if (move->reply && talent == next.opener && !next.answered)
        return ifab_refuse(ret_refusal, IFAB_CODE_PROTOCOL_VIOLATION, "performative", "%s: nobody else has spoken here yet",
                           ifab_performative_name(envelope->performative));
    if (move->refuses && talent != next.opener && moves[next.opened_by].can_be_ended)
        next.ended = true;
    if (move->accepts && next.opened_by == IFAB_PERFORMATIVE_PROPOSE)
        next.ended = true;
    next.answered = next.answered || talent != next.opener;
    next.last_speaker = talent;
    next.parent_said = next.said;
    next.parent_hazards = next.hazards;
    next.said = (uint8_t)(envelope->performative + 1);
    if (next.idle_from < wall)
        next.idle_from = wall;
    *ret_next = next;
    return IFAB_CODE_NONE;
}

static void drop(struct ifab_conversations *self, uint32_t slot)
{
    const struct item *item = item_at(self, slot);
    uint64_t left = opened_by_talent(self, item->opener);
    (void)ifab_slot_index_remove(&self->by_id, hash_of_id(self, item->id16), slot);
    (void)ifab_slot_index_remove(&self->by_number, hash_of_number(self, item->number), slot);
    ifab_deadline_heap_remove(&self->ends, slot);
    if (left > 1)
        (void)ifab_u64map_put(&self->openers, item->opener, left - 1); /* replaces: cannot fail */
    else
        (void)ifab_u64map_remove(&self->openers, item->opener);
    if (item->many != 0)
        ifab_slot_pool_give(&self->lists, item->many);
    ifab_slot_pool_give(&self->pool, slot);
    self->count--;
}

static void fill(struct ifab_conversations *self, struct item *item, const struct ifab_conversation *from)
{
    item->number = from->number;
    memcpy(item->id16, from->id16, 16);
    item->idle_from = from->idle_from;
    item->opener = from->opener;
    item->last_speaker = from->last_speaker;
    item->opened_by = from->opened_by;
    item->said = from->said;
    item->hazards = from->hazards;
    item->party_count = (uint8_t)from->party_count;
    item->ended = from->ended;
    item->open_to_all = from->open_to_all;
    item->answered = from->answered;
    uint32_t *to = item->few;
    if (from->party_count > FEW) {
        item->many = ifab_slot_pool_take(&self->lists);
        to = ((struct party_list *)ifab_slot_pool_at(&self->lists, item->many))->parties;
    }
    memcpy(to, from->parties, from->party_count * sizeof *to);
}

void ifab_conversations_put(struct ifab_conversations *self, const struct ifab_conversation *conversation)
{
    if (conversation->party_count > IFAB_RECEIVER_MAX || conversation->opened_by >= IFAB_PERFORMATIVE_COUNT)
        return; /* neither check() nor unpack() makes one */
    uint32_t old = slot_of_number(self, conversation->number);
    if (old != 0)
        drop(self, old);
    old = slot_of_id(self, conversation->id16);
    if (old != 0)
        drop(self, old);
    uint32_t slot = ifab_slot_pool_take(&self->pool);
    fill(self, item_at(self, slot), conversation);
    ifab_slot_index_insert(&self->by_id, hash_of_id(self, conversation->id16), slot);
    ifab_slot_index_insert(&self->by_number, hash_of_number(self, conversation->number), slot);
    ifab_deadline_heap_set(&self->ends, slot, end_of(self, conversation->idle_from), conversation->number);
    (void)ifab_u64map_put(&self->openers, conversation->opener, opened_by_talent(self, conversation->opener) + 1); /* room since reserve */
    self->count++;
}

void ifab_conversations_remove(struct ifab_conversations *self, uint64_t number)
{
    uint32_t slot = slot_of_number(self, number);
    if (slot != 0)
        drop(self, slot);
}

size_t ifab_conversations_dead(const struct ifab_conversations *self, ifab_usec wall, uint64_t *ret_numbers, size_t max)
{
    return ifab_deadline_heap_first(&self->ends, wall, ret_numbers, max);
}

size_t ifab_conversations_count(const struct ifab_conversations *self)
{
    return self->count;
}
