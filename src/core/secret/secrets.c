/* Secrets as the log knows them, in order of number; at most 1,024, so that a name is found by looking at each. */
#include "secret_internal.h"

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"

struct ifab_secrets {
    struct ifab_secret **items; /* owned; each with its record's bytes behind it */
    size_t count, capacity;
    struct ifab_secret_mark mark;
    uint8_t mark_record[256];
    size_t mark_size;
};

ifab_status ifab_secrets_new(struct ifab_secrets **ret)
{
    *ret = ifab_calloc(1, sizeof **ret);
    return *ret == NULL ? IFAB_NOMEM : IFAB_OK;
}

void ifab_secrets_free(struct ifab_secrets *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        ifab_free(self->items[i]);
    ifab_free(self->items);
    ifab_free(self);
}

size_t ifab_secrets_count(const struct ifab_secrets *self) { return self->count; }
const struct ifab_secret_mark *ifab_secrets_mark(const struct ifab_secrets *self) { return &self->mark; }

size_t ifab_secrets_live(const struct ifab_secrets *self)
{
    size_t live = 0;
    for (size_t i = 0; i < self->count; i++)
        live += self->items[i]->revoked_at == IFAB_NEVER;
    return live;
}

const struct ifab_secret *ifab_secrets_find(const struct ifab_secrets *self, struct ifab_view name)
{
    for (size_t i = 0; i < self->count; i++)
        if (ifab_view_equal(self->items[i]->name, name))
            return self->items[i];
    return NULL;
}

const struct ifab_secret *ifab_secrets_next(const struct ifab_secrets *self, uint64_t number)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i]->number > number)
            return self->items[i];
    return NULL;
}

static struct ifab_view moved(struct ifab_view v, const uint8_t *from, const uint8_t *to) { return (struct ifab_view){to + (v.data - from), v.size}; }

/* Views of strings without escapes lie in the record itself; the arena's copies, if the reader made any, are found again by their bytes. */
static struct ifab_secret *copy_of(const struct ifab_secret *s, uint64_t number)
{
    size_t text = s->name.size, used = 0;
    for (size_t i = 0; i < s->origin_count; i++)
        text += s->origins[i].size;
    struct ifab_secret *copy = ifab_malloc(sizeof *copy + s->record.size + text);
    if (copy == NULL)
        return NULL;
    uint8_t *record = (uint8_t *)(copy + 1), *names = record + s->record.size;
    *copy = *s;
    copy->number = number;
    memcpy(record, s->record.data, s->record.size);
    copy->record = ifab_view_of(record, s->record.size);
    memcpy(names, s->name.data, s->name.size);
    copy->name = moved(s->name, s->name.data, names);
    used = s->name.size;
    for (size_t i = 0; i < s->origin_count; i++) {
        memcpy(names + used, s->origins[i].data, s->origins[i].size);
        copy->origins[i] = moved(s->origins[i], s->origins[i].data, names + used);
        used += s->origins[i].size;
    }
    return copy;
}

static bool room(struct ifab_secrets *self)
{
    if (self->count < self->capacity)
        return true;
    size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
    struct ifab_secret **items = ifab_realloc(self->items, capacity * sizeof(struct ifab_secret *));
    if (items == NULL)
        return false;
    self->items = items;
    self->capacity = capacity;
    return true;
}

/* What may follow a record that is there: the same name, a later change. */
static bool follows(const struct ifab_secret *old, const struct ifab_secret *next)
{
    return ifab_view_equal(old->name, next->name) && next->counter > old->counter && next->created == old->created &&
           (next->version == old->version + (next->revoked_at == IFAB_NEVER ? 1 : 0));
}

static ifab_status take(struct ifab_secrets *self, uint64_t number, const struct ifab_secret *s, struct ifab_error *err)
{
    size_t at = 0;
    while (at < self->count && self->items[at]->number < number)
        at++;
    bool there = at < self->count && self->items[at]->number == number;
    const struct ifab_secret *named = ifab_secrets_find(self, s->name);
    if ((there && !follows(self->items[at], s)) || (!there && (named != NULL || self->count >= IFAB_SECRET_MAX)))
        return ifab_fail(err, IFAB_CORRUPT, "secret record %llu: not what follows from the records that are there", (unsigned long long)number);
    struct ifab_secret *copy = there || room(self) ? copy_of(s, number) : NULL;
    if (copy == NULL)
        return ifab_fail(err, IFAB_NOMEM, "secret record");
    if (there) {
        ifab_free(self->items[at]);
    } else {
        memmove(self->items + at + 1, self->items + at, (self->count - at) * sizeof(struct ifab_secret *));
        self->count++;
    }
    self->items[at] = copy;
    return IFAB_OK;
}

ifab_status ifab_secrets_load(struct ifab_secrets *self, uint64_t number, struct ifab_view record, struct ifab_error *err)
{
    struct ifab_arena arena;
    struct ifab_secret secret;
    if (number == 0 || record.size == 0)
        return ifab_fail(err, IFAB_CORRUPT, "secret record %llu: none", (unsigned long long)number);
    ifab_arena_init(&arena, (size_t)1 << 18);
    ifab_status status = ifab_secret__read(record, &arena, &secret, err);
    if (status == IFAB_OK)
        status = take(self, number, &secret, err);
    ifab_arena_fini(&arena);
    return status;
}

ifab_status ifab_secrets_load_mark(struct ifab_secrets *self, struct ifab_view record, struct ifab_error *err)
{
    struct ifab_arena arena;
    struct ifab_secret_mark mark;
    ifab_arena_init(&arena, (size_t)1 << 18);
    ifab_status status = ifab_secret__read_mark(record, &arena, &mark, err);
    ifab_arena_fini(&arena);
    IFAB_TRY(status);
    if (mark.counter <= self->mark.counter || record.size > sizeof self->mark_record)
        return ifab_fail(err, IFAB_CORRUPT, "vault record: its counter does not grow");
    self->mark = mark;
    memcpy(self->mark_record, record.data, record.size);
    self->mark_size = record.size;
    return IFAB_OK;
}

void ifab_secrets_trust_root(const struct ifab_secrets *self, uint8_t ret_root32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    for (size_t i = 0; i < self->count; i++) {
        uint8_t row[40], *at = row;
        ifab_put_u64(&at, self->items[i]->number);
        ifab_sha256(self->items[i]->record, at);
        ifab_sha256_add(&hash, ifab_view_of(row, sizeof row));
    }
    ifab_sha256_add(&hash, ifab_view_of(self->mark_record, self->mark_size));
    ifab_sha256_end(&hash, ret_root32);
}

/* ---- acts ---- */

static enum ifab_code check_origins(const struct ifab_secret_request *request, struct ifab_refusal *r)
{
    const char *why;
    if (request->origin_count > IFAB_SECRET_ORIGINS)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "origins", "a secret is for at most %d origins", IFAB_SECRET_ORIGINS);
    for (size_t i = 0; i < request->origin_count; i++) {
        if (!ifab_origin_valid(request->origins[i], &why))
            return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "origins", "origins[%zu] must be %s", i, why);
        for (size_t j = 0; j < i; j++)
            if (ifab_view_equal(request->origins[i], request->origins[j]))
                return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "origins", "the same origin twice");
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code find_for(const struct ifab_secrets *self, const struct ifab_secret_request *request, const struct ifab_secret **ret_old,
                               struct ifab_refusal *r)
{
    const struct ifab_secret *old = ifab_secrets_find(self, request->name);
    bool live = old != NULL && old->revoked_at == IFAB_NEVER;
    *ret_old = old;
    if (!ifab_name_valid(request->name))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "name", "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,63} without \"..\"");
    if (request->act != IFAB_SECRET_SET)
        return live ? IFAB_CODE_NONE
                    : ifab_refuse(r, IFAB_CODE_SECRET_NOT_FOUND, "name", old == NULL ? "no secret of this name" : "this secret is revoked");
    if (live)
        return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_CONFLICT, "name", "there is a secret of this name: rotate it, or revoke it first"),
                                "A new value: ifctl secret rotate; its origins stay, or are those that --for names, all of them.");
    if (request->origin_count == 0)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "origins", "name the origins that it may go to");
    for (uint64_t n = 0; old == NULL;) {
        const struct ifab_secret *other = ifab_secrets_next(self, n);
        if (other == NULL)
            break;
        if (ifab_view_equal_nocase(other->name, request->name))
            return ifab_refuse(r, IFAB_CODE_CONFLICT, "name", "there is " IFAB_FMT ", and names differ in more than case", IFAB_ARG(other->name));
        n = other->number;
    }
    if (old == NULL && self->count >= IFAB_SECRET_MAX)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, "name", "%d names of secrets are kept, revoked ones too: set one of those anew",
                           IFAB_SECRET_MAX);
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_secret_next(const struct ifab_secrets *self, const struct ifab_secret_request *request, struct ifab_secret *ret_next,
                                struct ifab_refusal *r)
{
    const struct ifab_secret *old;
    enum ifab_code code = check_origins(request, r);
    if (code == IFAB_CODE_NONE)
        code = find_for(self, request, &old, r);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_usec wall = request->wall - request->wall % 1000; /* as it is written */
    struct ifab_secret next = {.name = request->name, .created = wall, .rotated = wall, .revoked_at = IFAB_NEVER};
    if (old != NULL)
        next = *old;
    if (wall < next.rotated)
        wall = next.rotated; /* a clock set back does not make it younger than it is */
    if (next.revoked_at != IFAB_NEVER && wall < next.revoked_at)
        wall = next.revoked_at;
    next.counter = self->mark.counter + 1;
    next.revoked_at = request->act == IFAB_SECRET_REVOKE ? wall : IFAB_NEVER;
    if (request->act != IFAB_SECRET_REVOKE) {
        next.rotated = wall;
        next.version++;
    }
    if (next.version > IFAB_SECRET_VERSION_MAX)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, "name", "this secret had %d values: use another name", IFAB_SECRET_VERSION_MAX);
    if (request->act != IFAB_SECRET_REVOKE && request->origin_count > 0) {
        next.origin_count = request->origin_count;
        for (size_t i = 0; i < request->origin_count; i++)
            next.origins[i] = request->origins[i];
    }
    *ret_next = next;
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_secret_for(const struct ifab_secrets *self, struct ifab_view name, struct ifab_view origin, const struct ifab_secret **ret_secret,
                               struct ifab_refusal *r)
{
    const struct ifab_secret *secret = ifab_secrets_find(self, name);
    if (secret == NULL || secret->revoked_at != IFAB_NEVER)
        return ifab_refuse(r, IFAB_CODE_SECRET_NOT_FOUND, "name", secret == NULL ? "no secret of this name" : "this secret is revoked");
    for (size_t i = 0; i < secret->origin_count; i++)
        if (ifab_view_equal(secret->origins[i], origin)) {
            *ret_secret = secret;
            return IFAB_CODE_NONE;
        }
    return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "origin", "no operator has named this origin for this secret"),
                            "Its origins: ifctl secret list. To name others: ifctl secret rotate NAME --for ORIGIN, all of them.");
}
