/*
 * The registry in memory: rows by kind and number, found by what they are known by.
 *
 * 1. load is all or nothing. A publisher that is there changes only by being revoked, everything else not at all (INV-16).
 * 2. Revocations are asked by key, id and digest apart from what is allowed: one may come before what it revokes.
 */
#include "base/encode.h"
#include "base/id.h"
#include "crypto/crypto.h"
#include "registry_internal.h"

ifab_status ifab_registry_new(uint64_t seed, struct ifab_registry **ret)
{
    struct ifab_registry *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    ifab_map_init(&self->index, seed);
    *ret = self;
    return IFAB_OK;
}

static void row_free(struct registry_row *row)
{
    if (row != NULL)
        ifab_arena_fini(&row->arena);
    ifab_free(row);
}

void ifab_registry_free(struct ifab_registry *self)
{
    if (self == NULL)
        return;
    for (size_t kind = 0; kind < IFAB_REGISTRY__KINDS; kind++) {
        for (size_t i = 0; i < self->rows[kind].count; i++)
            row_free(self->rows[kind].items[i]);
        ifab_free(self->rows[kind].items);
    }
    ifab_map_fini(&self->index);
    ifab_free(self);
}

struct ifab_view ifab_registry__key(uint8_t storage[IFAB_REGISTRY__KEY_MAX], char letter, struct ifab_view a, struct ifab_view b)
{
    size_t size = 0;
    storage[size++] = (uint8_t)letter;
    for (size_t i = 0; i < a.size && size < IFAB_REGISTRY__KEY_MAX; i++) {
        uint8_t c = a.data[i];
        storage[size++] = letter == 'n' && c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
    }
    if (b.size > 0 && size < IFAB_REGISTRY__KEY_MAX)
        storage[size++] = '@';
    for (size_t i = 0; i < b.size && size < IFAB_REGISTRY__KEY_MAX; i++)
        storage[size++] = b.data[i];
    return ifab_view_of(storage, size);
}

struct registry_row *ifab_registry__lookup(const struct ifab_registry *self, char letter, struct ifab_view a, struct ifab_view b)
{
    uint8_t storage[IFAB_REGISTRY__KEY_MAX];
    uint64_t pointer;
    if (a.size > IFAB_CAPABILITY_ID_MAX || b.size > IFAB_CAPABILITY_VERSION_MAX) /* it would be cut */
        return NULL;
    return ifab_map_get(&self->index, ifab_registry__key(storage, letter, a, b), &pointer) ? (struct registry_row *)(uintptr_t)pointer : NULL;
}

static struct ifab_view bytes32(const uint8_t *bytes) { return ifab_view_of(bytes, 32); }

struct ifab_view ifab_registry__revocation_key(uint8_t storage[IFAB_REGISTRY__KEY_MAX], const struct ifab_revocation *r)
{
    struct ifab_view none = {NULL, 0};
    if (r->digest32 != NULL)
        return ifab_registry__key(storage, 'D', bytes32(r->digest32), none);
    if (r->pubkey32 != NULL)
        return ifab_registry__key(storage, 'K', bytes32(r->pubkey32), none);
    return ifab_registry__key(storage, r->version.size > 0 ? 'V' : 'I', r->id, r->version);
}

/* What a row is known by: one key, a publisher two. */
static size_t keys_of(const struct registry_row *row, uint8_t storage[2][IFAB_REGISTRY__KEY_MAX], struct ifab_view ret_keys[2])
{
    struct ifab_view none = {NULL, 0};
    switch (row->kind) {
    case IFAB_REGISTRY_PUBLISHER:
        ret_keys[0] = ifab_registry__key(storage[0], 'n', row->u.publisher.name, none);
        ret_keys[1] = ifab_registry__key(storage[1], 'k', bytes32(row->u.publisher.pubkey32), none);
        return 2;
    case IFAB_REGISTRY_ALLOWED:
        ret_keys[0] = ifab_registry__key(storage[0], 'a', row->manifest.id, row->manifest.version);
        return 1;
    case IFAB_REGISTRY_REVOCATION:
        ret_keys[0] = ifab_registry__revocation_key(storage[0], &row->u.revocation);
        return 1;
    }
    return 0;
}

/* First place whose number is not below this one. */
static size_t place_of(const struct registry_rows *rows, uint64_t number)
{
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows->items[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool room(struct registry_rows *rows)
{
    if (rows->count < rows->capacity)
        return true;
    size_t capacity = rows->capacity == 0 ? 16 : rows->capacity * 2;
    struct registry_row **items = ifab_realloc(rows->items, capacity * sizeof(struct registry_row *));
    if (items == NULL)
        return false;
    rows->items = items;
    rows->capacity = capacity;
    return true;
}

static ifab_status insert(struct ifab_registry *self, struct registry_rows *rows, size_t place, struct registry_row *row, struct ifab_error *err)
{
    uint8_t storage[2][IFAB_REGISTRY__KEY_MAX];
    struct ifab_view keys[2];
    uint64_t other;
    size_t count = keys_of(row, storage, keys), put = 0;
    for (size_t i = 0; i < count; i++)
        if (ifab_map_get(&self->index, keys[i], &other))
            return ifab_fail(err, IFAB_CORRUPT, "registry record %llu: its name, key or version is another's", (unsigned long long)row->number);
    while (room(rows) && put < count && ifab_map_put(&self->index, keys[put], (uint64_t)(uintptr_t)row) == IFAB_OK)
        put++;
    if (put < count) {
        while (put-- > 0)
            (void)ifab_map_remove(&self->index, keys[put]);
        return ifab_fail(err, IFAB_NOMEM, "registry");
    }
    memmove(rows->items + place + 1, rows->items + place, (rows->count - place) * sizeof(struct registry_row *));
    rows->items[place] = row;
    rows->count++;
    self->allowed_bytes += row->kind == IFAB_REGISTRY_ALLOWED ? row->record.size : 0;
    return IFAB_OK;
}

/* The only change there is: a publisher is revoked. */
static bool follows(const struct registry_row *old, const struct registry_row *next)
{
    struct ifab_buf buf = IFAB_BUF_INIT(2 * IFAB_PUBLISHER_RECORD_MAX);
    if (old->kind != IFAB_REGISTRY_PUBLISHER || old->u.publisher.revoked_at != IFAB_NEVER)
        return false;
    struct ifab_publisher expected = old->u.publisher;
    expected.revoked_at = next->u.publisher.revoked_at;
    ifab_registry__write_publisher(&buf, &expected);
    bool fits = ifab_buf_status(&buf) == IFAB_OK && ifab_view_equal(ifab_buf_as_view(&buf), next->record);
    ifab_buf_fini(&buf);
    return fits;
}

static ifab_status replace(struct ifab_registry *self, struct registry_rows *rows, size_t place, struct registry_row *row, struct ifab_error *err)
{
    uint8_t storage[2][IFAB_REGISTRY__KEY_MAX];
    struct ifab_view keys[2];
    struct registry_row *old = rows->items[place];
    if (!follows(old, row))
        return ifab_fail(err, IFAB_CORRUPT, "registry record %llu: not what follows from the one that is there", (unsigned long long)row->number);
    size_t count = keys_of(row, storage, keys);
    for (size_t i = 0; i < count; i++) {
        if (ifab_map_put(&self->index, keys[i], (uint64_t)(uintptr_t)row) == IFAB_OK) /* the key is there: only its value changes */
            continue;
        while (i-- > 0)
            (void)ifab_map_put(&self->index, keys[i], (uint64_t)(uintptr_t)old);
        return ifab_fail(err, IFAB_NOMEM, "registry");
    }
    rows->items[place] = row;
    row_free(old);
    return IFAB_OK;
}

static ifab_status row_new(enum ifab_registry_kind kind, uint64_t number, struct ifab_view record, struct registry_row **ret_row,
                           struct ifab_error *err)
{
    struct registry_row *row = ifab_calloc(1, sizeof *row);
    if (row == NULL)
        return ifab_fail(err, IFAB_NOMEM, "registry");
    row->kind = kind;
    row->number = number;
    ifab_arena_init(&row->arena, IFAB_MANIFEST_ARENA_MAX);
    ifab_status status = ifab_arena_copy(&row->arena, record, &row->record) == IFAB_OK ? IFAB_OK : ifab_fail(err, IFAB_NOMEM, "registry");
    if (status == IFAB_OK)
        status = ifab_registry__read(row, err);
    if (status != IFAB_OK) {
        row_free(row);
        return status;
    }
    ifab_sha256(row->record, row->record32);
    *ret_row = row;
    return IFAB_OK;
}

ifab_status ifab_registry_load(struct ifab_registry *self, enum ifab_registry_kind kind, uint64_t number, struct ifab_view record,
                               struct ifab_error *err)
{
    struct registry_row *row = NULL;
    if (kind < IFAB_REGISTRY_PUBLISHER || kind > IFAB_REGISTRY_REVOCATION || record.size == 0 || record.size > IFAB_ALLOWED_RECORD_MAX)
        return ifab_fail(err, IFAB_CORRUPT, "registry record %llu: no such kind or size", (unsigned long long)number);
    struct registry_rows *rows = &self->rows[kind - IFAB_REGISTRY_PUBLISHER];
    size_t place = place_of(rows, number);
    bool there = place < rows->count && rows->items[place]->number == number;
    if (there && ifab_view_equal(rows->items[place]->record, record))
        return IFAB_OK;
    IFAB_TRY(row_new(kind, number, record, &row, err));
    ifab_status status = there ? replace(self, rows, place, row, err) : insert(self, rows, place, row, err);
    if (status != IFAB_OK)
        row_free(row);
    return status;
}

const struct ifab_publisher *ifab_registry_publisher(const struct ifab_registry *self, struct ifab_view name)
{
    const struct registry_row *row = ifab_registry__lookup(self, 'n', name, IFAB_VIEW(""));
    return row != NULL && ifab_view_equal(row->u.publisher.name, name) ? &row->u.publisher : NULL;
}

const struct ifab_publisher *ifab_registry_publisher_by_key(const struct ifab_registry *self, const uint8_t pubkey32[32])
{
    const struct registry_row *row = ifab_registry__lookup(self, 'k', bytes32(pubkey32), IFAB_VIEW(""));
    return row == NULL ? NULL : &row->u.publisher;
}

const struct ifab_allowed *ifab_registry_allowed(const struct ifab_registry *self, struct ifab_view id, struct ifab_view version)
{
    const struct registry_row *row = ifab_registry__lookup(self, 'a', id, version);
    return row == NULL ? NULL : &row->u.allowed;
}

static const struct registry_row *next_row(const struct ifab_registry *self, enum ifab_registry_kind kind, uint64_t number)
{
    const struct registry_rows *rows = &self->rows[kind - IFAB_REGISTRY_PUBLISHER];
    size_t place = number == UINT64_MAX ? rows->count : place_of(rows, number + 1);
    return place < rows->count ? rows->items[place] : NULL;
}

const struct ifab_publisher *ifab_registry_publisher_next(const struct ifab_registry *self, uint64_t number)
{
    const struct registry_row *row = next_row(self, IFAB_REGISTRY_PUBLISHER, number);
    return row == NULL ? NULL : &row->u.publisher;
}

const struct ifab_allowed *ifab_registry_allowed_next(const struct ifab_registry *self, uint64_t number)
{
    const struct registry_row *row = next_row(self, IFAB_REGISTRY_ALLOWED, number);
    return row == NULL ? NULL : &row->u.allowed;
}

const struct ifab_revocation *ifab_registry_revocation_next(const struct ifab_registry *self, uint64_t number)
{
    const struct registry_row *row = next_row(self, IFAB_REGISTRY_REVOCATION, number);
    return row == NULL ? NULL : &row->u.revocation;
}

size_t ifab_registry_count(const struct ifab_registry *self, enum ifab_registry_kind kind)
{
    return self->rows[kind - IFAB_REGISTRY_PUBLISHER].count;
}

void ifab_registry_trust_root(const struct ifab_registry *self, uint8_t ret_root32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    for (size_t kind = 0; kind < IFAB_REGISTRY__KINDS; kind++)
        for (size_t i = 0; i < self->rows[kind].count; i++) {
            const struct registry_row *row = self->rows[kind].items[i];
            uint8_t bytes[41], *at = bytes;
            ifab_put_u8(&at, (uint8_t)row->kind);
            ifab_put_u64(&at, row->number);
            ifab_put_bytes(&at, row->record32, 32);
            ifab_sha256_add(&hash, ifab_view_of(bytes, sizeof bytes));
        }
    ifab_sha256_end(&hash, ret_root32);
}
