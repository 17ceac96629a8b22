/*
 * The table of open decisions: by number (sorted array), by deadline (heap), by id and by (claim key, scope) (chains).
 *
 * 1. Every node stands in the array and in the heap, once; in the id chain, once; in the claim chain exactly when it is held and has a
 *    claim_id and a scope.
 * 2. Memory is made by reserve alone. Chains hang on a keyed hash: two keys may share one, so whoever walks compares.
 * 3. No answer depends on the seed or on the order of insertion.
 */
#include "base/mem.h"
#include "table.h"

ifab_status ifab_decisions_new(uint64_t seed, struct ifab_decisions **ret)
{
    struct ifab_decisions *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->seed = seed;
    *ret = self;
    return IFAB_OK;
}

void ifab_decisions_free(struct ifab_decisions *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        ifab_free(self->ordered[i]);
    while (self->spare != NULL) {
        struct decision_node *node = self->spare;
        self->spare = node->next_spare;
        ifab_free(node);
    }
    for (size_t i = 0; i < CHAIN_COUNT; i++)
        ifab_u64map_fini(&self->chains[i]);
    ifab_u64map_fini(&self->talent_index);
    ifab_free(self->talents);
    ifab_free(self->ordered);
    ifab_free(self->heap);
    ifab_free(self);
}

static ifab_status reserve_arrays(struct ifab_decisions *self, size_t n)
{
    if (n <= self->capacity - self->count)
        return IFAB_OK;
    size_t capacity = self->capacity * 2 > self->count + n ? self->capacity * 2 : self->count + n;
    if (capacity > SIZE_MAX / sizeof *self->heap)
        return IFAB_NOMEM;
    struct decision_node **ordered = ifab_realloc(self->ordered, capacity * sizeof(struct decision_node *));
    if (ordered == NULL)
        return IFAB_NOMEM;
    self->ordered = ordered;
    struct decision_node **heap = ifab_realloc(self->heap, capacity * sizeof(struct decision_node *));
    if (heap == NULL)
        return IFAB_NOMEM; /* ordered is larger than it must be: no harm */
    self->heap = heap;
    self->capacity = capacity;
    return IFAB_OK;
}

ifab_status ifab_decisions_reserve(struct ifab_decisions *self, size_t n)
{
    IFAB_TRY(reserve_arrays(self, n));
    IFAB_TRY(ifab_guard__talents_reserve(self, n));
    for (size_t i = 0; i < CHAIN_COUNT; i++)
        IFAB_TRY(ifab_u64map_reserve(&self->chains[i], n));
    while (self->spare_count < n) {
        struct decision_node *node = ifab_malloc(sizeof *node);
        if (node == NULL)
            return IFAB_NOMEM;
        node->next_spare = self->spare;
        self->spare = node;
        self->spare_count++;
    }
    return IFAB_OK;
}

/* First place in ordered[] whose number is not below. */
static size_t lower_bound(const struct ifab_decisions *self, uint64_t number)
{
    size_t low = 0, high = self->count;
    if (high > 0 && self->ordered[high - 1]->decision.number < number)
        return high; /* numbers grow: the usual case */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->ordered[middle]->decision.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct decision_node *node_at(const struct ifab_decisions *self, uint64_t number)
{
    size_t at = lower_bound(self, number);
    return at < self->count && self->ordered[at]->decision.number == number ? self->ordered[at] : NULL;
}

static struct decision_node *chain_first(const struct ifab_decisions *self, unsigned which, uint64_t key)
{
    uint64_t first;
    return ifab_u64map_get(&self->chains[which], key, &first) ? (struct decision_node *)(uintptr_t)first : NULL;
}

static void chain_set_first(struct ifab_decisions *self, unsigned which, uint64_t key, struct decision_node *node)
{
    if (node == NULL)
        (void)ifab_u64map_remove(&self->chains[which], key);
    else
        ifab_guard__must(ifab_u64map_put(&self->chains[which], key, (uint64_t)(uintptr_t)node) == IFAB_OK);
}

static void chain_link(struct ifab_decisions *self, unsigned which, uint64_t key, struct decision_node *node)
{
    struct decision_node *prev = NULL, *next = chain_first(self, which, key);
    while (next != NULL && next->decision.number < node->decision.number) {
        prev = next;
        next = next->chain[which].next;
    }
    node->chain[which].prev = prev;
    node->chain[which].next = next;
    node->chain[which].key = key;
    node->chain[which].linked = true;
    if (next != NULL)
        next->chain[which].prev = node;
    if (prev != NULL)
        prev->chain[which].next = node;
    else
        chain_set_first(self, which, key, node);
}

static void chain_unlink(struct ifab_decisions *self, unsigned which, struct decision_node *node)
{
    if (!node->chain[which].linked)
        return;
    struct decision_node *prev = node->chain[which].prev, *next = node->chain[which].next;
    if (next != NULL)
        next->chain[which].prev = prev;
    if (prev != NULL)
        prev->chain[which].next = next;
    else
        chain_set_first(self, which, node->chain[which].key, next);
    node->chain[which].linked = false;
}

static uint64_t id_key(const struct ifab_decisions *self, const uint8_t id16[16])
{
    return ifab_hash64(ifab_view_of(id16, 16), self->seed);
}

static uint64_t claim_key(const struct ifab_decisions *self, const struct ifab_guard_facts *facts)
{
    uint8_t both[48];
    memcpy(both, facts->claim_key16, 16);
    memcpy(both + 16, facts->scope_digest32, 32);
    return ifab_hash64(ifab_view_of(both, sizeof both), self->seed);
}

static size_t *count_of(struct ifab_decisions *self, enum ifab_decision state)
{
    return state == IFAB_DECISION_HOLD ? &self->held : &self->escalated;
}

/* Into heap, chains and counts; heap_count nodes stand in the heap already. */
static void attach(struct ifab_decisions *self, size_t heap_count, struct decision_node *node)
{
    const struct ifab_open_decision *d = &node->decision;
    ifab_guard__heap_insert(self->heap, heap_count, node);
    chain_link(self, CHAIN_ID, id_key(self, d->id16), node);
    if (d->state == IFAB_DECISION_HOLD && d->facts.has_claim_id && d->facts.has_scope)
        chain_link(self, CHAIN_CLAIM, claim_key(self, &d->facts), node);
    ifab_guard__talent_row(self, d->talent)->open++;
    ++*count_of(self, d->state);
}

static void detach(struct ifab_decisions *self, struct decision_node *node)
{
    ifab_guard__heap_remove(self->heap, self->count, node);
    for (unsigned i = 0; i < CHAIN_COUNT; i++)
        chain_unlink(self, i, node);
    ifab_guard__talent_row(self, node->decision.talent)->open--;
    --*count_of(self, node->decision.state);
}

void ifab_decisions_put(struct ifab_decisions *self, const struct ifab_open_decision *decision)
{
    ifab_guard__must(decision->number != 0 && (decision->state == IFAB_DECISION_HOLD || decision->state == IFAB_DECISION_ESCALATE));
    struct decision_node *node = node_at(self, decision->number);
    if (node != NULL) {
        detach(self, node);
        memmove(&node->decision, decision, sizeof *decision);
        attach(self, self->count - 1, node);
        return;
    }
    ifab_guard__must(ifab_decisions_reserve(self, 1) == IFAB_OK); /* does nothing after the caller's own */
    node = self->spare;
    self->spare = node->next_spare;
    self->spare_count--;
    memset(node, 0, sizeof *node);
    node->decision = *decision;

    size_t at = lower_bound(self, decision->number);
    memmove(self->ordered + at + 1, self->ordered + at, (self->count - at) * sizeof(struct decision_node *));
    self->ordered[at] = node;
    attach(self, self->count, node);
    self->count++;
}

void ifab_decisions_remove(struct ifab_decisions *self, uint64_t number)
{
    size_t at = lower_bound(self, number);
    if (at == self->count || self->ordered[at]->decision.number != number)
        return;
    struct decision_node *node = self->ordered[at];
    detach(self, node);
    self->count--;
    memmove(self->ordered + at, self->ordered + at + 1, (self->count - at) * sizeof(struct decision_node *));
    ifab_free(node);
}

const struct ifab_open_decision *ifab_decisions_find(const struct ifab_decisions *self, const uint8_t id16[16])
{
    struct decision_node *node = chain_first(self, CHAIN_ID, id_key(self, id16));
    while (node != NULL && memcmp(node->decision.id16, id16, 16) != 0)
        node = node->chain[CHAIN_ID].next;
    return node == NULL ? NULL : &node->decision;
}

const struct ifab_open_decision *ifab_decisions_at(const struct ifab_decisions *self, uint64_t number)
{
    const struct decision_node *node = node_at(self, number);
    return node == NULL ? NULL : &node->decision;
}

size_t ifab_decisions_count(const struct ifab_decisions *self, enum ifab_decision state)
{
    if (state == IFAB_DECISION_HOLD)
        return self->held;
    return state == IFAB_DECISION_ESCALATE ? self->escalated : 0;
}

ifab_usec ifab_decisions_next_deadline(const struct ifab_decisions *self)
{
    return self->count == 0 ? IFAB_NEVER : self->heap[0]->decision.deadline_run;
}

const struct ifab_open_decision *ifab_decisions_due(const struct ifab_decisions *self, ifab_usec run)
{
    return self->count > 0 && self->heap[0]->decision.deadline_run <= run ? &self->heap[0]->decision : NULL;
}

const struct ifab_open_decision *ifab_decisions_after(const struct ifab_decisions *self, uint64_t number)
{
    size_t at = number == UINT64_MAX ? self->count : lower_bound(self, number + 1);
    return at < self->count ? &self->ordered[at]->decision : NULL;
}

const struct ifab_open_decision *ifab_decisions_matched(const struct ifab_decisions *self, uint64_t number,
                                                        const struct ifab_guard_facts *facts, uint32_t talent,
                                                        const uint8_t owner_digest16[16])
{
    if (!facts->has_claim_id || !facts->has_scope || !facts->second_source_kind)
        return NULL;
    uint64_t key = claim_key(self, facts);
    const struct decision_node *node = chain_first(self, CHAIN_CLAIM, key), *present = number == 0 ? NULL : node_at(self, number);
    if (present != NULL && present->chain[CHAIN_CLAIM].linked && present->chain[CHAIN_CLAIM].key == key)
        node = present; /* a walk goes on where it stood instead of at the beginning */
    for (; node != NULL; node = node->chain[CHAIN_CLAIM].next)
        if (node->decision.number > number && ifab_guard_second_source(&node->decision, facts, talent, owner_digest16))
            return &node->decision;
    return NULL;
}
