/*
 * Reading main.db: one statement is one snapshot, so what a call returns is consistent without a transaction of its own.
 */
#include "store_sqlite.h"

#include <assert.h>

/* A blob column, borrowed until the next step. A row of a damaged page may have columns missing, which SQLite gives as NULL. */
static ifab_status column(sqlite3_stmt *q, int at, bool or_null, struct ifab_view *ret, struct ifab_error *err)
{
    int type = sqlite3_column_type(q, at);
    *ret = (struct ifab_view){NULL, 0};
    if (type == SQLITE_NULL && or_null)
        return IFAB_OK;
    if (type != SQLITE_BLOB)
        return ifab_fail(err, IFAB_CORRUPT, "store: a row without its bytes");
    const void *bytes = sqlite3_column_blob(q, at); /* before the size: it may convert */
    int size = sqlite3_column_bytes(q, at);
    if (bytes == NULL && size != 0)
        return ifab_fail(err, IFAB_NOMEM, "store: read");
    if (sqlite3_errcode(sqlite3_db_handle(q)) == SQLITE_NOMEM)
        return ifab_fail(err, IFAB_NOMEM, "store: read");
    *ret = ifab_view_of(bytes, size < 0 ? 0 : (size_t)size);
    return IFAB_OK;
}

static ifab_status copied(struct ifab_arena *arena, struct ifab_view v, struct ifab_view *ret, struct ifab_error *err)
{
    ifab_status status = ifab_arena_copy(arena, v, ret);
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "store: read");
}

/* Every column of these is a number, as the table says it must be. */
static bool numbers(sqlite3_stmt *q, const int *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sqlite3_column_type(q, columns[i]) != SQLITE_INTEGER)
            return false;
    }
    return true;
}

static ifab_status take_head(sqlite3_stmt *q, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err)
{
    struct ifab_head head = {.size = (uint64_t)sqlite3_column_int64(q, 0), .time = sqlite3_column_int64(q, 5)};
    uint8_t *const fixed[] = {head.root32, head.last_hash32, head.trust_root32, head.mac32};
    struct ifab_view v;
    if (head.size > INT64_MAX || !numbers(q, (const int[]){0, 5}, 2))
        return ifab_fail(err, IFAB_CORRUPT, "store: no size or time in the head");
    for (int i = 0; i < 4; i++) {
        IFAB_TRY(column(q, i + 1, false, &v, err));
        if (v.size != 32)
            return ifab_fail(err, IFAB_CORRUPT, "store: a digest of the head has %zu bytes", v.size);
        memcpy(fixed[i], v.data, 32);
    }
    IFAB_TRY(column(q, 6, false, &v, err));
    IFAB_TRY(copied(arena, v, &head.edge, err));
    *ret_head = head;
    return IFAB_OK;
}

ifab_status ifab_store__head(struct ifab_store *base, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    sqlite3_stmt *q = self->statements[IFAB_STORE__GET_HEAD];
    int rc = sqlite3_step(q);
    ifab_status status;
    if (rc == SQLITE_ROW)
        status = take_head(q, arena, ret_head, err);
    else if (rc == SQLITE_DONE)
        status = ifab_fail(err, IFAB_NOT_FOUND, "store: empty");
    else
        status = ifab_store__fail(self, rc, "read the head", err);
    (void)sqlite3_reset(q);
    return status;
}

static ifab_status take_entry(sqlite3_stmt *q, uint64_t index, bool with_message, struct ifab_arena *arena, struct ifab_stored_entry *ret,
                              struct ifab_error *err)
{
    struct ifab_view v;
    if ((uint64_t)sqlite3_column_int64(q, 0) != index || !numbers(q, (const int[]){2}, 1))
        return ifab_fail(err, IFAB_CORRUPT, "store: entry %llu is missing or damaged", (unsigned long long)index);
    *ret = (struct ifab_stored_entry){.index = index, .erased = sqlite3_column_int(q, 2) != 0};
    IFAB_TRY(column(q, 1, false, &v, err));
    IFAB_TRY(copied(arena, v, &ret->entry, err));
    if (v.size == 0)
        return ifab_fail(err, IFAB_CORRUPT, "store: entry %llu is empty", (unsigned long long)index);
    if (!with_message || ret->erased) /* what is left of an erased one are zeros */
        return IFAB_OK;
    IFAB_TRY(column(q, 3, true, &v, err));
    return copied(arena, v, &ret->message, err);
}

ifab_status ifab_store__read(struct ifab_store *base, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                             struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    sqlite3_stmt *q = self->statements[with_messages ? IFAB_STORE__READ : IFAB_STORE__READ_SHORT];
    size_t count = 0;
    ifab_status status = IFAB_OK;
    int rc = sqlite3_bind_int64(q, 1, (int64_t)first);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 2, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    while (status == IFAB_OK && rc == SQLITE_OK) {
        int step = sqlite3_step(q);
        if (step == SQLITE_DONE)
            break;
        if (step != SQLITE_ROW) {
            rc = step;
            break;
        }
        assert(count < max);
        status = take_entry(q, first + count, with_messages, arena, &ret_entries[count], err);
        count += status == IFAB_OK;
    }
    if (rc != SQLITE_OK)
        status = ifab_store__fail(self, rc, "read entries", err);
    (void)sqlite3_reset(q);
    if (status == IFAB_OK)
        *ret_count = count;
    return status;
}

ifab_status ifab_store__records(struct ifab_store *base, ifab_record_fn *fn, void *user, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    sqlite3_stmt *q = self->statements[IFAB_STORE__RECORDS];
    ifab_status status = IFAB_OK;
    int rc = SQLITE_ROW;
    while (status == IFAB_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        int64_t kind = sqlite3_column_int64(q, 0), number = sqlite3_column_int64(q, 1);
        struct ifab_record record = {.kind = (uint8_t)kind, .number = (uint64_t)number};
        status = column(q, 2, false, &record.bytes, err);
        if (status == IFAB_OK &&
            (kind < 1 || kind > UINT8_MAX || number < 0 || record.bytes.size == 0 || !numbers(q, (const int[]){0, 1}, 2)))
            status = ifab_fail(err, IFAB_CORRUPT, "store: record (%lld, %lld) cannot be ours", (long long)kind, (long long)number);
        if (status == IFAB_OK)
            status = fn(user, &record, err);
    }
    if (status == IFAB_OK && rc != SQLITE_DONE)
        status = ifab_store__fail(self, rc, "read records", err);
    (void)sqlite3_reset(q);
    return status;
}

ifab_status ifab_store__tags(struct ifab_store *base, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    sqlite3_stmt *q = self->statements[IFAB_STORE__TAGS];
    ifab_status status = IFAB_OK;
    struct ifab_view tags;
    int rc = SQLITE_ROW;
    while (status == IFAB_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        status = column(q, 1, false, &tags, err);
        /* compared here, not in SQL: there a row that lost its time would be passed over */
        if (status == IFAB_OK && (tags.size == 0 || !numbers(q, (const int[]){0}, 1)))
            status = ifab_fail(err, IFAB_CORRUPT, "store: a tags row is damaged");
        if (status == IFAB_OK && sqlite3_column_int64(q, 0) >= since)
            status = fn(user, tags, err);
    }
    if (status == IFAB_OK && rc != SQLITE_DONE)
        status = ifab_store__fail(self, rc, "read tags", err);
    (void)sqlite3_reset(q);
    (void)sqlite3_db_release_memory(self->db); /* a start read them all; nobody reads them again */
    return status;
}
