/*
 * Budgets and reservations in memory.
 *
 * 1. What read takes, write gives back byte for byte: a record has one spelling.
 * 2. load is all or nothing; a budget changes only by its limit and version (INV-16).
 * 3. What was held by a budget's period under way is the sum of the reservations of that period: ifab_money_loaded() looks.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "money_internal.h"

#define KIND_BUDGET 16 /* of the store */

ifab_status ifab_money_new(uint64_t seed, struct ifab_money **ret)
{
    struct ifab_money *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    ifab_map_init(&self->by_id, seed);
    ifab_map_init(&self->by_subject, seed ^ 1); /* agents choose the names that are looked up */
    ifab_map_init(&self->reservation_by_id, seed ^ 2);
    *ret = self;
    return IFAB_OK;
}

static void budget_free(struct budget_node *node)
{
    if (node != NULL)
        ifab_free(node->bytes);
    ifab_free(node);
}

void ifab_money_free(struct ifab_money *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->budget_count; i++)
        budget_free(self->budgets[i]);
    for (size_t i = 0; i < self->reservation_count; i++)
        ifab_free(self->reservations[i]);
    ifab_free(self->budgets);
    ifab_free(self->reservations);
    ifab_map_fini(&self->by_id);
    ifab_map_fini(&self->by_subject);
    ifab_map_fini(&self->reservation_by_id);
    ifab_u64map_fini(&self->per_owner);
    ifab_due__fini(&self->idle);
    ifab_due__fini(&self->due);
    ifab_free(self);
}

/* ---- budgets ---- */

static size_t budget_place(const struct ifab_money *self, uint64_t number)
{
    size_t low = 0, high = self->budget_count;
    if (high > 0 && self->budgets[high - 1]->budget.number < number) /* numbers grow */
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->budgets[middle]->budget.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct budget_node *budget_at(const struct ifab_money *self, uint64_t number)
{
    size_t place = budget_place(self, number);
    return place < self->budget_count && self->budgets[place]->budget.number == number ? self->budgets[place] : NULL;
}

struct ifab_view ifab_money__subject_key(uint8_t storage[SUBJECT_KEY_MAX], enum ifab_subject subject, struct ifab_view name)
{
    size_t size = name.size < IFAB_SUBJECT_NAME_MAX ? name.size : IFAB_SUBJECT_NAME_MAX;
    storage[0] = (uint8_t)subject;
    if (size > 0)
        memcpy(storage + 1, name.data, size);
    return ifab_view_of(storage, size + 1);
}

const struct budget_node *ifab_money__of_subject(const struct ifab_money *self, enum ifab_subject subject, struct ifab_view name)
{
    uint8_t storage[SUBJECT_KEY_MAX];
    uint64_t pointer;
    if (name.size == 0 || name.size > IFAB_SUBJECT_NAME_MAX ||
        !ifab_map_get(&self->by_subject, ifab_money__subject_key(storage, subject, name), &pointer))
        return NULL;
    return (const struct budget_node *)(uintptr_t)pointer;
}

static bool room(void **array, size_t *have, size_t count)
{
    if (count < *have)
        return true;
    size_t wanted = *have == 0 ? 16 : *have * 2;
    void *bigger = ifab_realloc(*array, wanted * sizeof(void *));
    if (bigger == NULL)
        return false;
    *array = bigger;
    *have = wanted;
    return true;
}

/* The views of a budget that was read from `from`, over the copy of those bytes. */
static void point_into(struct ifab_budget *budget, const uint8_t *from, const uint8_t *copy)
{
    budget->id.data = copy + (budget->id.data - from);
    budget->name.data = copy + (budget->name.data - from);
    budget->record = (struct ifab_view){copy, budget->record.size};
}

static uint8_t *copied(struct ifab_view bytes)
{
    uint8_t *copy = ifab_malloc(bytes.size);
    if (copy != NULL)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

static bool link_budget(struct ifab_money *self, struct budget_node *node)
{
    uint8_t lower[IFAB_NAME_MAX], key[SUBJECT_KEY_MAX];
    const struct ifab_budget *b = &node->budget;
    uint64_t first = 0;
    struct ifab_view id = ifab_budget__lower(b->id, lower), subject = ifab_money__subject_key(key, b->subject, b->name);
    (void)ifab_map_get(&self->by_subject, subject, &first);
    if (ifab_map_put(&self->by_id, id, (uint64_t)(uintptr_t)node) != IFAB_OK)
        return false;
    if (ifab_map_put(&self->by_subject, subject, (uint64_t)(uintptr_t)node) == IFAB_OK) {
        node->next = (struct budget_node *)(uintptr_t)first;
        return true;
    }
    (void)ifab_map_remove(&self->by_id, id);
    return false;
}

static void unlink_budget(struct ifab_money *self, struct budget_node *node)
{
    uint8_t lower[IFAB_NAME_MAX], key[SUBJECT_KEY_MAX];
    struct ifab_view subject = ifab_money__subject_key(key, node->budget.subject, node->budget.name);
    uint64_t pointer = 0;
    (void)ifab_map_remove(&self->by_id, ifab_budget__lower(node->budget.id, lower));
    (void)ifab_map_get(&self->by_subject, subject, &pointer);
    struct budget_node *at = (struct budget_node *)(uintptr_t)pointer;
    if (at == node && node->next == NULL) {
        (void)ifab_map_remove(&self->by_subject, subject);
    } else if (at == node) {
        (void)ifab_map_put(&self->by_subject, subject, (uint64_t)(uintptr_t)node->next); /* the key is there: its value is replaced */
    } else {
        while (at != NULL && at->next != node)
            at = at->next;
        if (at != NULL)
            at->next = node->next;
    }
}

static void take_budget(struct ifab_money *self, size_t place)
{
    struct budget_node *node = self->budgets[place];
    unlink_budget(self, node);
    ifab_due__remove(&self->idle, &node->idle);
    self->trace_count -= node->budget.subject == IFAB_SUBJECT_TRACE;
    self->budget_count--;
    memmove(self->budgets + place, self->budgets + place + 1, (self->budget_count - place) * sizeof(struct budget_node *));
    budget_free(node);
}

/* Of a trace that holds nothing: it ends when it was not used for long enough. */
static void note_idle(struct ifab_money *self, struct budget_node *node)
{
    ifab_usec used = node->budget.state.used_at > node->budget.created ? node->budget.state.used_at : node->budget.created;
    if (node->budget.subject != IFAB_SUBJECT_TRACE)
        return;
    if (node->budget.state.reserved > 0)
        ifab_due__remove(&self->idle, &node->idle);
    else
        ifab_due__set(&self->idle, used, node->budget.number, &node->idle);
}

static ifab_status insert_budget(struct ifab_money *self, size_t place, const struct ifab_budget *budget, uint64_t number, struct ifab_error *err)
{
    uint8_t lower[IFAB_NAME_MAX];
    uint64_t unused;
    if (ifab_map_get(&self->by_id, ifab_budget__lower(budget->id, lower), &unused))
        return ifab_fail(err, IFAB_CORRUPT, "budget %llu: its id belongs to another", (unsigned long long)number);
    for (const struct budget_node *n = ifab_money__of_subject(self, budget->subject, budget->name); n != NULL; n = n->next)
        if (n->budget.unit == budget->unit && n->budget.period == budget->period)
            return ifab_fail(err, IFAB_CORRUPT, "budget %llu: another counts the same", (unsigned long long)number);
    struct budget_node *node = ifab_calloc(1, sizeof *node);
    uint8_t *bytes = node == NULL ? NULL : copied(budget->record);
    void *array = self->budgets;
    bool good = bytes != NULL && room(&array, &self->budget_room, self->budget_count) && ifab_due__reserve(&self->idle, 1);
    self->budgets = array;
    if (good) {
        node->budget = *budget;
        node->budget.number = number;
        point_into(&node->budget, budget->record.data, bytes);
        good = link_budget(self, node);
    }
    if (!good) {
        ifab_free(bytes);
        ifab_free(node);
        return ifab_fail(err, IFAB_NOMEM, "budget");
    }
    node->bytes = bytes;
    ifab_sha256(node->budget.record, node->digest32);
    memmove(self->budgets + place + 1, self->budgets + place, (self->budget_count - place) * sizeof(struct budget_node *));
    self->budgets[place] = node;
    self->budget_count++;
    self->trace_count += budget->subject == IFAB_SUBJECT_TRACE;
    note_idle(self, node);
    return IFAB_OK;
}

/* The only change there is: another limit in the next version. */
static ifab_status replace_budget(struct budget_node *node, const struct ifab_budget *budget, struct ifab_error *err)
{
    struct ifab_budget expected = node->budget;
    struct ifab_buf buf = IFAB_BUF_INIT(2 * IFAB_BUDGET_RECORD_MAX);
    expected.limit = budget->limit;
    expected.version++;
    ifab_budget__write(&buf, &expected);
    bool memory = ifab_buf_status(&buf) == IFAB_OK, fits = memory && ifab_view_equal(ifab_buf_as_view(&buf), budget->record);
    ifab_buf_fini(&buf);
    if (memory && !fits)
        return ifab_fail(err, IFAB_CORRUPT, "budget %llu: not what follows from the record that is there", (unsigned long long)node->budget.number);
    uint8_t *bytes = memory ? copied(budget->record) : NULL;
    if (bytes == NULL)
        return ifab_fail(err, IFAB_NOMEM, "budget");
    expected = *budget;
    expected.number = node->budget.number;
    expected.state = node->budget.state;
    point_into(&expected, budget->record.data, bytes);
    node->budget = expected;
    ifab_free(node->bytes);
    node->bytes = bytes;
    ifab_sha256(node->budget.record, node->digest32);
    return IFAB_OK;
}

ifab_status ifab_money_load_budget(struct ifab_money *self, uint64_t number, struct ifab_view record, struct ifab_error *err)
{
    size_t place = budget_place(self, number);
    struct budget_node *node = budget_at(self, number);
    struct ifab_budget budget;
    struct ifab_arena arena;
    if (record.size == 0) {
        if (node != NULL)
            take_budget(self, place);
        return IFAB_OK;
    }
    if (node != NULL && ifab_view_equal(node->budget.record, record))
        return IFAB_OK;
    ifab_arena_init(&arena, (size_t)1 << 20);
    ifab_status status = ifab_budget__read(record, &arena, &budget, err);
    if (status == IFAB_OK)
        status = node != NULL ? replace_budget(node, &budget, err) : insert_budget(self, place, &budget, number, err);
    ifab_arena_fini(&arena);
    return status;
}

ifab_status ifab_money_load_state(struct ifab_money *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    struct budget_node *node = budget_at(self, number);
    struct ifab_budget_state state = {0};
    if (node == NULL && bytes.size == 0)
        return IFAB_OK;
    if (node == NULL || (bytes.size > 0 && !ifab_budget_state_unpack(bytes, &state)) ||
        state.period_start != ifab_period_start(node->budget.period, state.used_at))
        return ifab_fail(err, IFAB_CORRUPT, "state of budget %llu does not parse, or there is no such budget", (unsigned long long)number);
    node->budget.state = state;
    note_idle(self, node);
    return IFAB_OK;
}

const struct ifab_budget *ifab_money_budget(const struct ifab_money *self, struct ifab_view id)
{
    uint8_t lower[IFAB_NAME_MAX];
    uint64_t pointer;
    if (id.size > IFAB_NAME_MAX || !ifab_map_get(&self->by_id, ifab_budget__lower(id, lower), &pointer))
        return NULL;
    const struct ifab_budget *budget = &((const struct budget_node *)(uintptr_t)pointer)->budget;
    return ifab_view_equal(budget->id, id) ? budget : NULL;
}

const struct ifab_budget *ifab_money_budget_at(const struct ifab_money *self, uint64_t number)
{
    const struct budget_node *node = budget_at(self, number);
    return node != NULL ? &node->budget : NULL;
}

const struct ifab_budget *ifab_money_budget_next(const struct ifab_money *self, uint64_t number)
{
    size_t place = number == UINT64_MAX ? self->budget_count : budget_place(self, number + 1);
    return place < self->budget_count ? &self->budgets[place]->budget : NULL;
}

const struct ifab_budget *ifab_money_of(const struct ifab_money *self, enum ifab_subject subject, struct ifab_view name, uint64_t number)
{
    const struct ifab_budget *least = NULL;
    for (const struct budget_node *n = ifab_money__of_subject(self, subject, name); n != NULL; n = n->next)
        if (n->budget.number > number && (least == NULL || n->budget.number < least->number))
            least = &n->budget;
    return least;
}

size_t ifab_money_budget_count(const struct ifab_money *self, bool traces)
{
    return traces ? self->trace_count : self->budget_count - self->trace_count;
}

size_t ifab_money_idle(const struct ifab_money *self, ifab_usec wall, uint64_t *ret_numbers, size_t max, ifab_usec *ret_due)
{
    ifab_usec first = ifab_due__first(&self->idle);
    *ret_due = first == IFAB_NEVER ? IFAB_NEVER : first + IFAB_TRACE_BUDGET_IDLE;
    return wall < *ret_due ? 0 : ifab_due__until(&self->idle, wall - IFAB_TRACE_BUDGET_IDLE, ret_numbers, max);
}

void ifab_money_trust_root(const struct ifab_money *self, uint8_t ret_root32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    for (size_t i = 0; i < self->budget_count; i++) {
        uint8_t row[41], *at = row;
        ifab_put_u8(&at, KIND_BUDGET);
        ifab_put_u64(&at, self->budgets[i]->budget.number);
        ifab_put_bytes(&at, self->budgets[i]->digest32, 32);
        ifab_sha256_add(&hash, (struct ifab_view){row, sizeof row});
    }
    ifab_sha256_end(&hash, ret_root32);
}

/* ---- reservations ---- */

static size_t reservation_place(const struct ifab_money *self, uint64_t number)
{
    size_t low = 0, high = self->reservation_count;
    if (high > 0 && self->reservations[high - 1]->number < number)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->reservations[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void count_owner(struct ifab_money *self, uint32_t owner, bool up)
{
    uint64_t held = 0;
    (void)ifab_u64map_get(&self->per_owner, owner, &held);
    held = up ? held + 1 : held - 1;
    if (held == 0)
        (void)ifab_u64map_remove(&self->per_owner, owner);
    else
        (void)ifab_u64map_put(&self->per_owner, owner, held); /* room reserved, or there */
}

static void take_reservation(struct ifab_money *self, size_t place)
{
    struct reservation_node *node = self->reservations[place];
    (void)ifab_map_remove(&self->reservation_by_id, ifab_view_of(node->id16, 16));
    ifab_due__remove(&self->due, &node->due);
    count_owner(self, node->owner, false);
    self->reservation_count--;
    memmove(self->reservations + place, self->reservations + place + 1, (self->reservation_count - place) * sizeof(struct reservation_node *));
    ifab_free(node);
}

static ifab_status put_reservation(struct ifab_money *self, size_t place, const struct ifab_reservation *v, struct ifab_view bytes, struct ifab_error *err)
{
    uint64_t unused;
    if (ifab_map_get(&self->reservation_by_id, ifab_view_of(v->id16, 16), &unused))
        return ifab_fail(err, IFAB_CORRUPT, "reservation %llu: its id belongs to another", (unsigned long long)v->number);
    struct reservation_node *node = ifab_malloc(sizeof *node + bytes.size);
    void *array = self->reservations;
    bool good = node != NULL && room(&array, &self->reservation_room, self->reservation_count) && ifab_due__reserve(&self->due, 1) &&
                ifab_u64map_reserve(&self->per_owner, 1) == IFAB_OK &&
                ifab_map_put(&self->reservation_by_id, ifab_view_of(v->id16, 16), v->number) == IFAB_OK;
    self->reservations = array;
    if (!good) {
        ifab_free(node);
        return ifab_fail(err, IFAB_NOMEM, "reservation");
    }
    *node = (struct reservation_node){.number = v->number, .owner = v->owner, .size = bytes.size};
    memcpy(node->id16, v->id16, 16);
    memcpy(node->bytes, bytes.data, bytes.size);
    memmove(self->reservations + place + 1, self->reservations + place, (self->reservation_count - place) * sizeof(struct reservation_node *));
    self->reservations[place] = node;
    self->reservation_count++;
    count_owner(self, v->owner, true);
    if (v->deadline != IFAB_NEVER)
        ifab_due__set(&self->due, v->deadline, v->number, &node->due);
    return IFAB_OK;
}

/* A reservation never changes but by a restore, which makes it anew: so the same number again is the same bytes. */
ifab_status ifab_money_load_reservation(struct ifab_money *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    size_t place = reservation_place(self, number);
    struct reservation_node *node =
        place < self->reservation_count && self->reservations[place]->number == number ? self->reservations[place] : NULL;
    struct ifab_reservation v;
    if (bytes.size == 0) {
        if (node != NULL)
            take_reservation(self, place);
        return IFAB_OK;
    }
    if (node != NULL && ifab_view_equal(ifab_view_of(node->bytes, node->size), bytes))
        return IFAB_OK;
    if (node != NULL || number == 0 || !ifab_reservation_unpack(bytes, number, &v))
        return ifab_fail(err, IFAB_CORRUPT, "reservation %llu does not parse", (unsigned long long)number);
    return put_reservation(self, place, &v, bytes, err);
}

static bool unpack(const struct reservation_node *node, struct ifab_reservation *ret)
{
    return ifab_reservation_unpack(ifab_view_of(node->bytes, node->size), node->number, ret); /* it was, when it was loaded */
}

bool ifab_money_reservation_at(const struct ifab_money *self, uint64_t number, struct ifab_reservation *ret)
{
    size_t place = reservation_place(self, number);
    return place < self->reservation_count && self->reservations[place]->number == number && unpack(self->reservations[place], ret);
}

bool ifab_money_reservation(const struct ifab_money *self, const uint8_t id16[16], struct ifab_reservation *ret)
{
    uint64_t number;
    return ifab_map_get(&self->reservation_by_id, ifab_view_of(id16, 16), &number) && ifab_money_reservation_at(self, number, ret);
}

bool ifab_money_reservation_next(const struct ifab_money *self, uint64_t number, struct ifab_reservation *ret)
{
    size_t place = number == UINT64_MAX ? self->reservation_count : reservation_place(self, number + 1);
    return place < self->reservation_count && unpack(self->reservations[place], ret);
}

bool ifab_money_reservation_of(const struct ifab_money *self, uint32_t owner, uint64_t number, struct ifab_reservation *ret)
{
    size_t place = number == UINT64_MAX ? self->reservation_count : reservation_place(self, number + 1);
    while (place < self->reservation_count && self->reservations[place]->owner != owner)
        place++;
    return place < self->reservation_count && unpack(self->reservations[place], ret);
}

size_t ifab_money_reservation_count(const struct ifab_money *self) { return self->reservation_count; }

size_t ifab_money_reservations_of(const struct ifab_money *self, uint32_t owner)
{
    uint64_t held = 0;
    (void)ifab_u64map_get(&self->per_owner, owner, &held);
    return (size_t)held;
}

ifab_usec ifab_money_due(const struct ifab_money *self) { return ifab_due__first(&self->due); }

size_t ifab_money_overdue(const struct ifab_money *self, ifab_usec run, uint64_t *ret_numbers, size_t max)
{
    return ifab_due__until(&self->due, run, ret_numbers, max);
}

/* What a budget holds in the period under way, from its reservations: subtracted, all must end at nothing. */
ifab_status ifab_money_loaded(const struct ifab_money *self, struct ifab_error *err)
{
    struct ifab_reservation v;
    uint64_t *held = ifab_calloc(self->budget_count + 1, sizeof *held);
    bool good = true;
    if (held == NULL)
        return ifab_fail(err, IFAB_NOMEM, "budgets");
    for (size_t i = 0; i < self->reservation_count; i++) {
        if (!unpack(self->reservations[i], &v))
            continue;
        for (size_t l = 0; l < v.line_count; l++) {
            size_t place = budget_place(self, v.lines[l].budget);
            const struct budget_node *node = place < self->budget_count ? self->budgets[place] : NULL;
            if (node != NULL && node->budget.number == v.lines[l].budget && node->budget.state.period_start == v.lines[l].period_start &&
                held[place] <= IFAB_MONEY_MAX)
                held[place] += v.spend.amounts[node->budget.unit];
        }
    }
    size_t bad = 0;
    for (size_t i = 0; i < self->budget_count && good; i++) {
        good = held[i] == self->budgets[i]->budget.state.reserved;
        bad = i;
    }
    ifab_free(held);
    if (!good)
        return ifab_fail(err, IFAB_CORRUPT, "budget " IFAB_FMT " does not hold what its reservations say", IFAB_ARG(self->budgets[bad]->budget.id));
    return IFAB_OK;
}
