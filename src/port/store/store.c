/* The wrappers callers use: they check what can be checked by shape, so that every back-end may rely on it, then call the table. */
#include "store/store.h"

#include <assert.h>

static bool usable(const struct ifab_store *self) { return self != NULL && self->ops != NULL && self->ops->abi == IFAB_STORE_ABI; }

static bool view_ok(struct ifab_view v) { return v.size == 0 || v.data != NULL; }

static bool entries_ok(const struct ifab_commit *c)
{
    if (c->entry_count > 0 && c->entries == NULL)
        return false;
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct ifab_stored_entry *e = &c->entries[i];
        if (e->index != c->first + i || e->entry.size == 0 || !view_ok(e->entry) || !view_ok(e->message) || e->erased)
            return false;
    }
    return true;
}

static bool records_ok(const struct ifab_commit *c)
{
    if (c->record_count > 0 && c->records == NULL)
        return false;
    for (size_t i = 0; i < c->record_count; i++) {
        /* SQL integers are signed: a number above would change the order */
        if (c->records[i].kind == 0 || c->records[i].number > INT64_MAX || !view_ok(c->records[i].bytes))
            return false;
    }
    return true;
}

ifab_status ifab_store_commit(struct ifab_store *self, const struct ifab_commit *commit, struct ifab_error *err)
{
    assert(usable(self));
    if (commit == NULL || commit->head == NULL || commit->first > INT64_MAX - commit->entry_count)
        return ifab_fail(err, IFAB_INVALID, "store: commit without head or beyond the last index");
    if (commit->head->size != commit->first + commit->entry_count || !view_ok(commit->head->edge))
        return ifab_fail(err, IFAB_INVALID, "store: head of a commit does not count its entries");
    if (!entries_ok(commit))
        return ifab_fail(err, IFAB_INVALID, "store: an entry of the commit is empty or out of place");
    if (!records_ok(commit) || !view_ok(commit->tags))
        return ifab_fail(err, IFAB_INVALID, "store: a record or the tags of the commit are malformed");
    return self->ops->commit(self, commit, err);
}

ifab_status ifab_store_head(struct ifab_store *self, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err)
{
    assert(usable(self));
    if (arena == NULL || ret_head == NULL)
        return ifab_fail(err, IFAB_INVALID, "store: head without a place for it");
    return self->ops->head(self, arena, ret_head, err);
}

ifab_status ifab_store_read(struct ifab_store *self, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                            struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err)
{
    assert(usable(self));
    if (arena == NULL || ret_count == NULL || (max > 0 && ret_entries == NULL))
        return ifab_fail(err, IFAB_INVALID, "store: read without a place for its entries");
    if (max == 0 || first > INT64_MAX) {
        *ret_count = 0;
        return IFAB_OK;
    }
    return self->ops->read(self, first, max, with_messages, arena, ret_entries, ret_count, err);
}

ifab_status ifab_store_records(struct ifab_store *self, ifab_record_fn *fn, void *user, struct ifab_error *err)
{
    assert(usable(self));
    if (fn == NULL)
        return ifab_fail(err, IFAB_INVALID, "store: records without a function");
    return self->ops->records(self, fn, user, err);
}

ifab_status ifab_store_tags(struct ifab_store *self, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err)
{
    assert(usable(self));
    if (fn == NULL)
        return ifab_fail(err, IFAB_INVALID, "store: tags without a function");
    return self->ops->tags(self, since, fn, user, err);
}

ifab_status ifab_store_erase(struct ifab_store *self, uint64_t index, struct ifab_error *err)
{
    assert(usable(self));
    if (index > INT64_MAX)
        return ifab_fail(err, IFAB_NOT_FOUND, "store: no entry has such an index");
    return self->ops->erase(self, index, err);
}

ifab_status ifab_store_checkpoint(struct ifab_store *self, uint64_t *ret_wal_bytes, struct ifab_error *err)
{
    assert(usable(self));
    if (ret_wal_bytes == NULL)
        return ifab_fail(err, IFAB_INVALID, "store: checkpoint without a place for its answer");
    return self->ops->checkpoint(self, ret_wal_bytes, err);
}

uint64_t ifab_store_wal_bytes(struct ifab_store *self)
{
    assert(usable(self));
    return self->ops->wal_bytes(self);
}

ifab_status ifab_store_backup(struct ifab_store *self, const char *directory, struct ifab_error *err)
{
    assert(usable(self));
    if (directory == NULL || directory[0] == '\0')
        return ifab_fail(err, IFAB_INVALID, "store: backup without a directory");
    return self->ops->backup(self, directory, err);
}

ifab_status ifab_store_reader(struct ifab_store *self, struct ifab_store **ret_reader, struct ifab_error *err)
{
    assert(usable(self));
    if (ret_reader == NULL)
        return ifab_fail(err, IFAB_INVALID, "store: reader without a place for it");
    return self->ops->reader(self, ret_reader, err);
}

void ifab_store_close(struct ifab_store *self)
{
    if (self == NULL)
        return;
    assert(usable(self));
    self->ops->close(self);
}

void ifab_store_closep(struct ifab_store **self)
{
    ifab_store_close(*self);
    *self = NULL;
}
