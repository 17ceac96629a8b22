/*
 * Values in locked memory. A value changes its state and nothing else; it is wiped when it leaves. Invariant: at most one value of a name is current.
 */
#include "vault_internal.h"

#define STARTS_SIZE 8192 /* 65,536 bits */

ifab_status vault_values_init(struct vault_values *self, struct ifab_error *err)
{
    *self = (struct vault_values){.next_id = 1};
    return ifab_locked_new(STARTS_SIZE, &self->starts, err);
}

static void value_free(struct vault_value *value)
{
    ifab_locked_free(value->bytes);
    ifab_free(value);
}

void vault_values_fini(struct vault_values *self)
{
    for (size_t i = 0; i < self->count; i++)
        value_free(self->items[i]);
    ifab_free(self->items);
    ifab_free(self->sorted);
    ifab_locked_free(self->starts);
    *self = (struct vault_values){0};
}

static void note_start(struct vault_values *self, const uint8_t *bytes)
{
    self->starts[bytes[0] * 32 + bytes[1] / 8] |= (uint8_t)(1U << (bytes[1] % 8));
}

static int by_start(const void *a, const void *b)
{
    struct vault_value *const *one = a, *const *other = b;
    return memcmp((*one)->bytes, (*other)->bytes, IFAB_VAULT_VALUE_MIN);
}

/* So that a text full of what many values begin with costs no more than another. */
static void find_starts(struct vault_values *self)
{
    ifab_wipe(self->starts, STARTS_SIZE);
    for (size_t i = 0; i < self->count; i++) {
        note_start(self, self->items[i]->bytes);
        self->sorted[i] = self->items[i];
    }
    if (self->count > 0)
        qsort(self->sorted, self->count, sizeof(struct vault_value *), by_start);
}

size_t vault_values_longest(const struct vault_values *self, const uint8_t *at, size_t left)
{
    size_t low = 0, high = self->count, longest = 0;
    if ((self->starts[at[0] * 32 + at[1] / 8] & (1U << (at[1] % 8))) == 0)
        return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(self->sorted[middle]->bytes, at, IFAB_VAULT_VALUE_MIN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < self->count && memcmp(self->sorted[low]->bytes, at, IFAB_VAULT_VALUE_MIN) == 0; low++) {
        const struct vault_value *value = self->sorted[low];
        if (value->size <= left && value->size > longest && memcmp(value->bytes, at, value->size) == 0)
            longest = value->size;
    }
    return longest;
}

static struct ifab_view keep(struct ifab_view v, uint8_t **at)
{
    struct ifab_view kept = ifab_view_of(*at, v.size);
    ifab_put_bytes(at, v.data, v.size);
    return kept;
}

static struct vault_value *value_new(const struct ifab_vault_about *about, struct ifab_view bytes, struct ifab_error *err)
{
    size_t size = about->name.size;
    for (size_t i = 0; i < about->origin_count; i++)
        size += about->origins[i].size;
    struct vault_value *value = ifab_calloc(1, sizeof *value + size);
    if (value == NULL) {
        (void)ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
        return NULL;
    }
    if (ifab_locked_new(bytes.size, &value->bytes, err) != IFAB_OK) {
        ifab_free(value);
        return NULL;
    }
    uint8_t *at = value->text;
    memcpy(value->bytes, bytes.data, bytes.size);
    value->size = bytes.size;
    value->about = *about;
    value->about.name = keep(about->name, &at);
    for (size_t i = 0; i < about->origin_count; i++)
        value->about.origins[i] = keep(about->origins[i], &at);
    return value;
}

static bool room(struct vault_values *self)
{
    if (self->count < self->room)
        return true;
    size_t wanted = self->room == 0 ? 16 : self->room * 2;
    struct vault_value **items = ifab_realloc(self->items, wanted * sizeof(struct vault_value *));
    if (items == NULL)
        return false;
    self->items = items;
    struct vault_value **sorted = ifab_realloc(self->sorted, wanted * sizeof(struct vault_value *));
    if (sorted == NULL)
        return false;
    self->sorted = sorted;
    self->room = wanted;
    return true;
}

struct vault_value *vault_values_current(const struct vault_values *self, struct ifab_view name)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i]->state == VAULT_CURRENT && ifab_view_equal(self->items[i]->about.name, name))
            return self->items[i];
    return NULL;
}

struct vault_value *vault_values_newest(const struct vault_values *self, struct ifab_view name)
{
    for (size_t i = self->count; i > 0; i--) {
        struct vault_value *value = self->items[i - 1];
        if (value->state != VAULT_PAST && value->removed_at == 0 && ifab_view_equal(value->about.name, name))
            return value;
    }
    return NULL;
}

ifab_status vault_values_add(struct vault_values *self, enum vault_state state, const struct ifab_vault_about *about, struct ifab_view bytes,
                             struct ifab_error *err)
{
    struct ifab_error why = {0};
    struct vault_value *value = room(self) ? value_new(about, bytes, &why) : NULL;
    if (value == NULL)
        return why.status != IFAB_OK ? ifab_fail(err, why.status, "%s", why.text) : ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    value->state = state;
    value->id = self->next_id++;
    self->items[self->count++] = value;
    find_starts(self);
    return IFAB_OK;
}

static void take_out(struct vault_values *self, size_t i)
{
    value_free(self->items[i]);
    self->count--;
    memmove(self->items + i, self->items + i + 1, (self->count - i) * sizeof(struct vault_value *));
}

void vault_values_settle(struct vault_values *self, uint64_t counter)
{
    size_t past = 0;
    for (size_t i = 0; i < self->count; i++) {
        struct vault_value *value = self->items[i];
        if (value->state == VAULT_STAGED && value->about.counter <= counter)
            value->state = VAULT_CURRENT;
        if (value->removed_at != 0 && value->removed_at <= counter) {
            value->state = VAULT_PAST;
            value->removed_at = 0;
        }
        past += value->state == VAULT_PAST;
    }
    for (size_t i = 0; i < self->count && past > IFAB_VAULT_RECORDS_MAX;) {
        if (self->items[i]->state != VAULT_PAST) {
            i++;
            continue;
        }
        take_out(self, i);
        past--;
    }
    find_starts(self);
}

void vault_values_back(struct vault_values *self, uint64_t counter)
{
    for (size_t i = 0; i < self->count;) {
        struct vault_value *value = self->items[i];
        if (value->removed_at > counter)
            value->removed_at = 0;
        if (value->state == VAULT_STAGED && value->about.counter > counter)
            take_out(self, i);
        else
            i++;
    }
    find_starts(self);
}
