/*
 * The SQLite back-end: one transaction a commit, and what its failures mean. See store_sqlite.h for the invariants.
 */
#include "store_sqlite.h"

#include <errno.h>

/* Write refused for want of room: SQLite has its own code for ENOSPC only. The WAL's file knows why; sqlite3_system_errno() is not kept up
 * to date by COMMIT. */
static bool no_room(sqlite3 *db, int rc)
{
    sqlite3_file *wal = NULL;
    int cause = 0;
    if (rc != SQLITE_IOERR_WRITE || db == NULL || sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK ||
        wal == NULL || wal->pMethods == NULL || wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &cause) != SQLITE_OK)
        return false;
    return cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
}

ifab_status ifab_store__status(sqlite3 *db, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return IFAB_OK;
    if (no_room(db, rc))
        return IFAB_FULL;
    if (rc == SQLITE_IOERR_NOMEM)
        return IFAB_NOMEM;
    if (rc == SQLITE_IOERR_CORRUPTFS)
        return IFAB_CORRUPT;
    switch (rc & 0xff) {
    case SQLITE_FULL: return IFAB_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return IFAB_AGAIN;
    case SQLITE_NOMEM: return IFAB_NOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT: /* our own rows cannot clash unless what is stored is not what we stored */
    case SQLITE_MISMATCH:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_TOOBIG: return IFAB_CORRUPT;
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL: return IFAB_IO;
    default: return IFAB_INTERNAL; /* an open set of numbers: fail closed */
    }
}

ifab_status ifab_store__fail(struct ifab_store__sqlite *self, int rc, const char *what, struct ifab_error *err)
{
    return ifab_fail(err, ifab_store__status(self->db, rc), "store: cannot %s: %s (%d)", what,
                     self->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(self->db), rc);
}

int ifab_store__run(struct ifab_store__sqlite *self, enum ifab_store__statement which)
{
    int rc = sqlite3_step(self->statements[which]);
    int reset = sqlite3_reset(self->statements[which]);
    if (rc == SQLITE_DONE || rc == SQLITE_ROW)
        rc = reset;
    return rc;
}

void ifab_store__poison(struct ifab_store__sqlite *self) { atomic_store(&self->shared->poisoned, true); }

ifab_status ifab_store__may_write(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    if (!self->writer)
        return ifab_fail(err, IFAB_DENIED, "store: a reader does not write");
    if (atomic_load(&self->shared->poisoned))
        return ifab_fail(err, IFAB_INTERNAL, "store: an earlier write ended without a known outcome: start again");
    return IFAB_OK;
}

void ifab_store__pause(const struct ifab_store__shared *shared)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(shared->vfs);
    if (vfs != NULL)
        (void)vfs->xSleep(vfs, IFAB_STORE__BUSY_STEP * 1000);
}

static ifab_status begin(struct ifab_store__sqlite *self, int patience_msec, struct ifab_error *err)
{
    IFAB_TRY(ifab_store__may_write(self, err));
    int rc = ifab_store__run(self, IFAB_STORE__BEGIN);
    for (int waited = 0; (rc & 0xff) == SQLITE_BUSY && waited < patience_msec; waited += IFAB_STORE__BUSY_STEP) {
        ifab_store__pause(self->shared);
        rc = ifab_store__run(self, IFAB_STORE__BEGIN);
    }
    if (rc == SQLITE_OK)
        return IFAB_OK;
    ifab_status status = ifab_store__fail(self, rc, "begin a transaction", err);
    if (status != IFAB_AGAIN && status != IFAB_NOMEM && status != IFAB_FULL)
        ifab_store__poison(self);
    return status;
}
ifab_status ifab_store__begin(struct ifab_store__sqlite *self, struct ifab_error *err) { return begin(self, IFAB_STORE__BUSY_MSEC, err); }
ifab_status ifab_store__begin_at_once(struct ifab_store__sqlite *self, struct ifab_error *err) { return begin(self, 0, err); }

/* Leaves no transaction open, or poisons. */
static ifab_status roll_back(struct ifab_store__sqlite *self, ifab_status status, struct ifab_error *err)
{
    int rc = SQLITE_OK;
    if (sqlite3_get_autocommit(self->db) == 0)
        rc = ifab_store__run(self, IFAB_STORE__ROLLBACK);
    if (rc != SQLITE_OK)
        status = ifab_fail(err, IFAB_IO, "store: cannot roll back: %s", sqlite3_errmsg(self->db));
    if (status == IFAB_IO || status == IFAB_CORRUPT || status == IFAB_INTERNAL)
        ifab_store__poison(self);
    return status;
}

ifab_status ifab_store__end(struct ifab_store__sqlite *self, ifab_status status, struct ifab_error *err)
{
    if (status != IFAB_OK)
        return roll_back(self, status, err);
    int rc = ifab_store__run(self, IFAB_STORE__COMMIT);
    if (rc == SQLITE_OK)
        return IFAB_OK;
    status = ifab_store__fail(self, rc, "commit", err);
    /* No room, or a lock: the commit frame was not written, so the transaction cannot come back after a crash. Everything else may have
     * left it whole in the WAL. Out of memory counts with the rest: it may strike between the fsync and the index. */
    if (status != IFAB_FULL && status != IFAB_AGAIN) {
        ifab_store__poison(self);
        if (status == IFAB_NOMEM)
            status = IFAB_INTERNAL;
    }
    return roll_back(self, status, err);
}

static int bind_view(sqlite3_stmt *statement, int at, struct ifab_view v)
{
    return sqlite3_bind_blob64(statement, at, v.size == 0 ? "" : (const void *)v.data, v.size, SQLITE_STATIC);
}

static ifab_status check_size(struct ifab_store__sqlite *self, uint64_t first, struct ifab_error *err)
{
    sqlite3_stmt *q = self->statements[IFAB_STORE__SIZE];
    uint64_t size = 0;
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        size = (uint64_t)sqlite3_column_int64(q, 0);
    ifab_status status = IFAB_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = ifab_store__fail(self, rc, "read the size", err);
    else if (size != first)
        status = ifab_fail(err, IFAB_CONFLICT, "store: commit starts at %llu, the log has %llu entries", (unsigned long long)first,
                           (unsigned long long)size);
    (void)sqlite3_reset(q);
    return status;
}

static int add_entries(struct ifab_store__sqlite *self, const struct ifab_commit *c)
{
    sqlite3_stmt *q = self->statements[IFAB_STORE__ADD_ENTRY];
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < c->entry_count; i++) {
        const struct ifab_stored_entry *e = &c->entries[i];
        rc = sqlite3_bind_int64(q, 1, (int64_t)e->index);
        if (rc == SQLITE_OK)
            rc = bind_view(q, 2, e->entry);
        if (rc == SQLITE_OK)
            rc = e->message.size == 0 ? sqlite3_bind_null(q, 3) : bind_view(q, 3, e->message);
        if (rc == SQLITE_OK)
            rc = ifab_store__run(self, IFAB_STORE__ADD_ENTRY);
    }
    (void)sqlite3_clear_bindings(q); /* what was bound is borrowed */
    return rc;
}

static int change_tags(struct ifab_store__sqlite *self, const struct ifab_commit *c)
{
    int rc = SQLITE_OK;
    if (c->tags_dropped != INT64_MIN) {
        rc = sqlite3_bind_int64(self->statements[IFAB_STORE__DROP_TAGS], 1, c->tags_dropped);
        if (rc == SQLITE_OK)
            rc = ifab_store__run(self, IFAB_STORE__DROP_TAGS);
    }
    if (rc != SQLITE_OK || c->tags.size == 0)
        return rc;
    sqlite3_stmt *q = self->statements[IFAB_STORE__ADD_TAGS];
    rc = sqlite3_bind_int64(q, 1, c->tags_until);
    if (rc == SQLITE_OK)
        rc = bind_view(q, 2, c->tags);
    if (rc == SQLITE_OK)
        rc = ifab_store__run(self, IFAB_STORE__ADD_TAGS);
    (void)sqlite3_clear_bindings(q);
    return rc;
}

static int change_records(struct ifab_store__sqlite *self, const struct ifab_commit *c)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < c->record_count; i++) {
        const struct ifab_record *r = &c->records[i];
        bool drop = r->bytes.size == 0;
        enum ifab_store__statement which = drop ? IFAB_STORE__DROP_RECORD : IFAB_STORE__PUT_RECORD;
        sqlite3_stmt *q = self->statements[which];
        rc = sqlite3_bind_int(q, 1, r->kind);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_int64(q, 2, (int64_t)r->number);
        if (rc == SQLITE_OK && !drop)
            rc = bind_view(q, 3, r->bytes);
        if (rc == SQLITE_OK)
            rc = ifab_store__run(self, which);
    }
    (void)sqlite3_clear_bindings(self->statements[IFAB_STORE__PUT_RECORD]);
    return rc;
}

static int put_head(struct ifab_store__sqlite *self, const struct ifab_head *h)
{
    sqlite3_stmt *q = self->statements[IFAB_STORE__PUT_HEAD];
    const struct ifab_view fixed[] = {{h->root32, 32}, {h->last_hash32, 32}, {h->trust_root32, 32}, {h->mac32, 32}};
    int rc = sqlite3_bind_int64(q, 1, (int64_t)h->size);
    for (int i = 0; rc == SQLITE_OK && i < 4; i++)
        rc = bind_view(q, i + 2, fixed[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 6, h->time);
    if (rc == SQLITE_OK)
        rc = bind_view(q, 7, h->edge);
    if (rc == SQLITE_OK)
        rc = ifab_store__run(self, IFAB_STORE__PUT_HEAD);
    (void)sqlite3_clear_bindings(q);
    return rc;
}

static ifab_status sqlite_commit(struct ifab_store *base, const struct ifab_commit *commit, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    if (!self->cache_grown && self->writer)
        (void)sqlite3_exec(self->db, "PRAGMA cache_size=-8192", NULL, NULL, NULL);
    self->cache_grown = true;
    IFAB_TRY(ifab_store__begin(self, err));
    ifab_status status = check_size(self, commit->first, err);
    if (status == IFAB_OK) {
        int rc = add_entries(self, commit);
        if (rc == SQLITE_OK)
            rc = change_tags(self, commit);
        if (rc == SQLITE_OK)
            rc = change_records(self, commit);
        if (rc == SQLITE_OK)
            rc = put_head(self, commit->head);
        if (rc != SQLITE_OK)
            status = ifab_store__fail(self, rc, "write", err);
    }
    return ifab_store__end(self, status, err);
}

const struct ifab_store_ops ifab_store__sqlite_ops = {
    .abi = IFAB_STORE_ABI,
    .name = "sqlite",
    .commit = sqlite_commit,
    .head = ifab_store__head,
    .read = ifab_store__read,
    .records = ifab_store__records,
    .tags = ifab_store__tags,
    .erase = ifab_store__erase,
    .checkpoint = ifab_store__checkpoint,
    .wal_bytes = ifab_store__wal_bytes,
    .backup = ifab_store__backup,
    .reader = ifab_store__reader,
    .close = ifab_store__close,
};
