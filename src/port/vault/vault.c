/*
 * What all back-ends share: checks, values in memory, who may have them. A reader-writer lock: use, live and search read, what changes writes, and goes
 * first: those who search every message for values would else keep a commit waiting for good. A thread that reads already (a log line of a caller's, which
 * is searched) does not lock again. publish does not lock at all: a slow disk keeps nobody from using what is in force.
 */
#include "vault_internal.h"

#include <assert.h>
#include <pthread.h>

struct ifab_vault {
    struct ifab_vault_backend *backend;
    struct vault_values values;
    pthread_rwlock_t lock;
    bool has_lock;
};

static _Thread_local const struct ifab_vault *reading; /* by this thread */

/* What read_end() puts back. */
static const struct ifab_vault *read_begin(struct ifab_vault *self)
{
    const struct ifab_vault *before = reading;
    if (before != self)
        pthread_rwlock_rdlock(&self->lock);
    reading = self;
    return before;
}

static void read_end(struct ifab_vault *self, const struct ifab_vault *before)
{
    reading = before;
    if (before != self)
        pthread_rwlock_unlock(&self->lock);
}

static bool lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    if (pthread_rwlockattr_init(&attributes) != 0)
        return false;
    bool good = pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0 &&
                pthread_rwlock_init(lock, &attributes) == 0;
    pthread_rwlockattr_destroy(&attributes);
    return good;
}

static bool usable(const struct ifab_vault_backend *backend)
{
    return backend != NULL && backend->ops != NULL && backend->ops->abi == IFAB_VAULT_ABI;
}

ifab_status ifab_vault__check(const struct ifab_vault_about *about, bool removal, struct ifab_error *err)
{
    if (about->name.size == 0 || about->name.size > IFAB_VAULT_NAME_MAX || about->name.data == NULL)
        return ifab_fail(err, IFAB_INVALID, "vault: a name has 1 to %d bytes", IFAB_VAULT_NAME_MAX);
    if (removal)
        return IFAB_OK;
    if (about->version == 0 || about->origin_count == 0 || about->origin_count > IFAB_VAULT_ORIGINS)
        return ifab_fail(err, IFAB_INVALID, "vault: a value has a version and 1 to %d origins", IFAB_VAULT_ORIGINS);
    for (size_t i = 0; i < about->origin_count; i++)
        if (about->origins[i].size == 0 || about->origins[i].size > IFAB_VAULT_ORIGIN_MAX || about->origins[i].data == NULL)
            return ifab_fail(err, IFAB_INVALID, "vault: an origin has 1 to %d bytes", IFAB_VAULT_ORIGIN_MAX);
    return IFAB_OK;
}

void ifab_vault_backend_close(struct ifab_vault_backend *self)
{
    if (self == NULL)
        return;
    assert(usable(self));
    self->ops->close(self);
}

struct loading {
    struct ifab_vault *vault;
    uint64_t counter;
};

static ifab_status take(void *user, const struct ifab_vault_about *about, struct ifab_view value, struct ifab_error *err)
{
    struct loading *loading = user;
    struct vault_values *values = &loading->vault->values;
    IFAB_TRY(ifab_vault__check(about, false, err));
    if (value.size < IFAB_VAULT_VALUE_MIN || value.size > IFAB_VAULT_VALUE_MAX || about->counter == 0 || about->counter > loading->counter ||
        values->count >= IFAB_VAULT_RECORDS_MAX || vault_values_current(values, about->name) != NULL)
        return ifab_fail(err, IFAB_CORRUPT, "vault: record " IFAB_FMT " does not fit the others", IFAB_ARG(about->name));
    return vault_values_add(values, VAULT_CURRENT, about, value, err);
}

ifab_status ifab_vault_open(struct ifab_vault_backend *backend, const struct ifab_vault_mark *mark, struct ifab_vault **ret_vault,
                            struct ifab_error *err)
{
    assert(usable(backend));
    struct ifab_vault *self = ifab_calloc(1, sizeof *self);
    if (self == NULL) {
        ifab_vault_backend_close(backend);
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    }
    self->backend = backend;
    self->has_lock = lock_init(&self->lock);
    struct loading loading = {.vault = self, .counter = mark->counter};
    ifab_status status = self->has_lock ? vault_values_init(&self->values, err) : ifab_fail(err, IFAB_INTERNAL, "vault: no lock");
    if (status == IFAB_OK)
        status = backend->ops->load(backend, mark, take, &loading, err);
    if (status == IFAB_OK)
        status = backend->ops->settle(backend, mark->counter, err);
    if (status != IFAB_OK) {
        ifab_vault_close(self);
        return status;
    }
    *ret_vault = self;
    return IFAB_OK;
}

void ifab_vault_close(struct ifab_vault *self)
{
    if (self == NULL)
        return;
    vault_values_fini(&self->values);
    if (self->has_lock)
        pthread_rwlock_destroy(&self->lock);
    ifab_vault_backend_close(self->backend);
    ifab_free(self);
}

const char *ifab_vault_backend_name(const struct ifab_vault *self) { return self->backend->ops->name; }

/* ---- changes ---- */

static size_t names_after(const struct vault_values *values)
{
    size_t count = 0;
    for (size_t i = 0; i < values->count; i++)
        count += values->items[i]->state != VAULT_PAST && values->items[i]->removed_at == 0;
    return count;
}

static ifab_status stage(struct ifab_vault *self, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark, struct ifab_error *err)
{
    struct vault_value *old = vault_values_newest(&self->values, change->about.name);
    struct ifab_vault_change numbered = *change;
    struct ifab_vault_mark mark;
    if (change->value.size == 0 && old == NULL)
        return ifab_fail(err, IFAB_NOT_FOUND, "vault: no secret " IFAB_FMT, IFAB_ARG(change->about.name));
    if (change->value.size > 0 && old == NULL && names_after(&self->values) >= IFAB_VAULT_RECORDS_MAX)
        return ifab_fail(err, IFAB_FULL, "vault: it holds %d secrets, and no more", IFAB_VAULT_RECORDS_MAX);
    IFAB_TRY(self->backend->ops->stage(self->backend, change, &mark, err));
    numbered.about.counter = mark.counter;
    if (change->value.size > 0) {
        ifab_status status = vault_values_add(&self->values, VAULT_STAGED, &numbered.about, change->value, err);
        if (status != IFAB_OK) {
            self->backend->ops->back(self->backend, mark.counter - 1);
            return status;
        }
    }
    if (old != NULL)
        old->removed_at = mark.counter;
    *ret_mark = mark;
    return IFAB_OK;
}

ifab_status ifab_vault_stage(struct ifab_vault *self, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark,
                             struct ifab_error *err)
{
    IFAB_TRY(ifab_vault__check(&change->about, change->value.size == 0, err));
    if (change->value.size > 0 && (change->value.size < IFAB_VAULT_VALUE_MIN || change->value.size > IFAB_VAULT_VALUE_MAX))
        return ifab_fail(err, IFAB_INVALID, "a secret has %d to %d bytes: shorter ones can be guessed, and cannot be found where they must not be",
                         IFAB_VAULT_VALUE_MIN, IFAB_VAULT_VALUE_MAX);
    pthread_rwlock_wrlock(&self->lock);
    ifab_status status = stage(self, change, ret_mark, err);
    pthread_rwlock_unlock(&self->lock);
    return status;
}

ifab_status ifab_vault_publish(struct ifab_vault *self, uint64_t counter, struct ifab_error *err)
{
    return self->backend->ops->publish(self->backend, counter, err);
}

ifab_status ifab_vault_settle(struct ifab_vault *self, uint64_t counter, struct ifab_error *err)
{
    pthread_rwlock_wrlock(&self->lock);
    vault_values_settle(&self->values, counter);
    pthread_rwlock_unlock(&self->lock);
    return self->backend->ops->settle(self->backend, counter, err);
}

void ifab_vault_back(struct ifab_vault *self, uint64_t counter)
{
    pthread_rwlock_wrlock(&self->lock);
    vault_values_back(&self->values, counter);
    self->backend->ops->back(self->backend, counter);
    pthread_rwlock_unlock(&self->lock);
}

/* ---- who may have them ---- */

bool ifab_vault_at(struct ifab_vault *self, size_t place, struct ifab_vault_about *ret_about)
{
    bool found = false;
    const struct ifab_vault *before = read_begin(self);
    for (size_t i = 0; i < self->values.count && !found; i++)
        if (self->values.items[i]->state == VAULT_CURRENT && place-- == 0) {
            *ret_about = self->values.items[i]->about;
            found = true;
        }
    read_end(self, before);
    return found;
}

ifab_status ifab_vault_find(struct ifab_vault *self, struct ifab_view name, struct ifab_vault_handle *ret_handle)
{
    const struct ifab_vault *before = read_begin(self);
    const struct vault_value *value = vault_values_current(&self->values, name);
    uint64_t id = value == NULL ? 0 : value->id;
    read_end(self, before);
    if (id == 0)
        return IFAB_NOT_FOUND;
    ret_handle->id = id;
    return IFAB_OK;
}

static ifab_status use(struct ifab_vault *self, struct ifab_vault_handle handle, struct ifab_view origin, ifab_vault_use_fn *fn, void *user,
                       struct ifab_error *err)
{
    const struct vault_value *value = NULL;
    for (size_t i = 0; i < self->values.count && value == NULL; i++)
        if (self->values.items[i]->id == handle.id && self->values.items[i]->state == VAULT_CURRENT)
            value = self->values.items[i];
    if (value == NULL)
        return ifab_fail(err, IFAB_NOT_FOUND, "this secret was rotated or revoked");
    for (size_t i = 0; i < value->about.origin_count; i++)
        if (ifab_view_equal(value->about.origins[i], origin))
            return fn(user, ifab_view_of(value->bytes, value->size));
    return ifab_fail(err, IFAB_DENIED, "secret " IFAB_FMT " is not for this origin", IFAB_ARG(value->about.name));
}

ifab_status ifab_vault_use(struct ifab_vault *self, struct ifab_vault_handle handle, struct ifab_view origin, ifab_vault_use_fn *fn, void *user,
                           struct ifab_error *err)
{
    const struct ifab_vault *before = read_begin(self);
    ifab_status status = use(self, handle, origin, fn, user, err);
    read_end(self, before);
    return status;
}

void ifab_vault_live(struct ifab_vault *self, ifab_vault_live_fn *fn, void *user)
{
    const struct ifab_vault *before = read_begin(self);
    for (size_t i = 0; i < self->values.count; i++)
        if (fn(user, ifab_view_of(self->values.items[i]->bytes, self->values.items[i]->size)))
            break;
    read_end(self, before);
}

bool ifab_vault_search(struct ifab_vault *self, struct ifab_view text, size_t from, size_t *ret_at, size_t *ret_size)
{
    size_t found = 0;
    const struct ifab_vault *before = read_begin(self);
    for (size_t i = from; self->values.count > 0 && i + IFAB_VAULT_VALUE_MIN <= text.size && found == 0; i++) {
        found = vault_values_longest(&self->values, text.data + i, text.size - i);
        if (found > 0) {
            *ret_at = i;
            *ret_size = found;
        }
    }
    read_end(self, before);
    return found > 0;
}
