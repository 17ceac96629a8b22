/* Token buckets of (owner, name): bounded, volatile. What has refilled makes room. */
#include "base/encode.h"
#include "base/map.h"
#include "base/mem.h"
#include "governor/breaker.h"

#define KEY_MAX (4 + IFAB_SUBJECT_NAME_MAX)

struct token_row {
    uint8_t key[KEY_MAX];
    size_t key_size;
    struct ifab_tokens tokens;
    ifab_usec full_at; /* run: it may be forgotten from then on */
};
struct ifab_token_table {
    struct ifab_map by_key; /* -> place */
    struct token_row *rows;
    size_t count, room;
};

ifab_status ifab_token_table_new(uint64_t seed, struct ifab_token_table **ret)
{
    struct ifab_token_table *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    ifab_map_init(&self->by_key, seed);
    *ret = self;
    return IFAB_OK;
}

void ifab_token_table_free(struct ifab_token_table *self)
{
    if (self == NULL)
        return;
    ifab_map_fini(&self->by_key);
    ifab_free(self->rows);
    ifab_free(self);
}

size_t ifab_token_table_count(const struct ifab_token_table *self) { return self->count; }

static struct ifab_view key_of(uint8_t storage[KEY_MAX], uint32_t owner, struct ifab_view name)
{
    uint8_t *at = storage;
    size_t size = name.size < IFAB_SUBJECT_NAME_MAX ? name.size : IFAB_SUBJECT_NAME_MAX;
    ifab_put_u32(&at, owner);
    ifab_put_bytes(&at, name.data, size);
    return ifab_view_of(storage, 4 + size);
}

enum ifab_code ifab_token_table_take(const struct ifab_token_table *self, uint32_t owner, struct ifab_view name, uint32_t rate, uint32_t burst, ifab_usec run,
                                     struct ifab_tokens *ret_next, struct ifab_refusal *r)
{
    uint8_t storage[KEY_MAX];
    uint64_t place;
    bool there = ifab_map_get(&self->by_key, key_of(storage, owner, name), &place);
    *ret_next = there ? self->rows[place].tokens : ifab_tokens_full(burst, run);
    if (!there && self->count >= IFAB_TOKEN_BUCKETS_MAX) {
        bool some = false;
        for (size_t i = 0; i < self->count && !some; i++)
            some = self->rows[i].full_at <= run;
        if (!some)
            return ifab_refuse(r, IFAB_CODE_RATE_LIMIT_EXCEEDED, "", "%d buckets are in use", IFAB_TOKEN_BUCKETS_MAX);
    }
    return ifab_tokens_take(ret_next, rate, burst, run, r);
}

static void drop(struct ifab_token_table *self, size_t place)
{
    (void)ifab_map_remove(&self->by_key, ifab_view_of(self->rows[place].key, self->rows[place].key_size));
    self->count--;
    if (place == self->count)
        return;
    self->rows[place] = self->rows[self->count];
    (void)ifab_map_put(&self->by_key, ifab_view_of(self->rows[place].key, self->rows[place].key_size), place); /* is there: replaced */
}

static ifab_status make_room(struct ifab_token_table *self, ifab_usec run)
{
    for (size_t i = self->count; self->count >= IFAB_TOKEN_BUCKETS_MAX && i-- > 0;)
        if (self->rows[i].full_at <= run)
            drop(self, i);
    if (self->count < self->room)
        return IFAB_OK;
    size_t room = self->room == 0 ? 64 : self->room * 2;
    struct token_row *rows = self->count >= IFAB_TOKEN_BUCKETS_MAX ? NULL : ifab_realloc(self->rows, room * sizeof *rows);
    if (rows == NULL)
        return IFAB_NOMEM;
    self->rows = rows;
    self->room = room;
    return IFAB_OK;
}

ifab_status ifab_token_table_put(struct ifab_token_table *self, uint32_t owner, struct ifab_view name, uint32_t rate, uint32_t burst,
                                 const struct ifab_tokens *tokens)
{
    uint8_t storage[KEY_MAX];
    uint64_t place;
    struct ifab_view key = key_of(storage, owner, name);
    if (!ifab_map_get(&self->by_key, key, &place)) {
        IFAB_TRY(make_room(self, tokens->since));
        place = self->count;
        IFAB_TRY(ifab_map_put(&self->by_key, key, place));
        self->count++;
        self->rows[place].key_size = key.size;
        memcpy(self->rows[place].key, key.data, key.size);
    }
    self->rows[place].tokens = *tokens;
    self->rows[place].full_at = tokens->since + (ifab_usec)((burst - tokens->held) * (uint64_t)IFAB_SECOND / rate) + 1;
    return IFAB_OK;
}
