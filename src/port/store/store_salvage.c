/*
 * Reading what can still be read of a damaged main.db: row by row, nothing believed, nothing repaired. The caller works on a copy: SQLite
 * brings its WAL into the database as it opens it.
 */
#include "store_sqlite.h"

#include "base/mem.h"

struct ifab_salvage {
    sqlite3 *db; /* NULL: nothing of it can be read */
    sqlite3_stmt *entry, *message;
};

static sqlite3_stmt *prepared(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q = NULL;
    return sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK ? q : NULL;
}

/* No view, trigger or function of the file runs: the tables are read as tables, or not at all. */
static bool harden(sqlite3 *db)
{
    static const struct {
        int what, value;
    } settings[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1}, {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (sqlite3_db_config(db, settings[i].what, settings[i].value, NULL) != SQLITE_OK)
            return false;
    return sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0) >= 0 && sqlite3_exec(db, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", NULL, NULL, NULL) == SQLITE_OK;
}

ifab_status ifab_salvage_open(const char *copy, struct ifab_salvage **ret_salvage, struct ifab_error *err)
{
    char path[4200];
    struct ifab_salvage *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    int size = snprintf(path, sizeof path, "%s/main.db", copy);
    if (size < 0 || (size_t)size >= sizeof path) {
        ifab_free(self);
        return ifab_fail(err, IFAB_INVALID, "%s: path too long", copy);
    }
    if (sqlite3_open_v2(path, &self->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK || !harden(self->db)) {
        (void)sqlite3_close(self->db);
        self->db = NULL;
    } else {
        self->entry = prepared(self->db, "SELECT entry, erased FROM entries WHERE idx=?1");
        self->message = prepared(self->db, "SELECT message FROM entries WHERE idx=?1");
    }
    *ret_salvage = self;
    return IFAB_OK;
}

void ifab_salvage_close(struct ifab_salvage *self)
{
    if (self == NULL)
        return;
    (void)sqlite3_finalize(self->entry);
    (void)sqlite3_finalize(self->message);
    (void)sqlite3_close(self->db);
    ifab_free(self);
}

/* First column as bytes. false: no row, no bytes, or not to be read. */
static bool take(sqlite3_stmt *q, uint64_t index, struct ifab_arena *arena, struct ifab_view *ret_bytes, int64_t *ret_second)
{
    if (q == NULL)
        return false;
    (void)sqlite3_reset(q);
    (void)sqlite3_bind_int64(q, 1, (int64_t)index);
    bool good = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) == SQLITE_BLOB;
    if (good) {
        const void *bytes = sqlite3_column_blob(q, 0);
        int size = sqlite3_column_bytes(q, 0);
        good = bytes != NULL && size > 0 && ifab_arena_copy(arena, ifab_view_of(bytes, (size_t)size), ret_bytes) == IFAB_OK;
        if (ret_second != NULL)
            *ret_second = sqlite3_column_int64(q, 1);
    }
    (void)sqlite3_reset(q);
    return good;
}

bool ifab_salvage_entry(struct ifab_salvage *self, uint64_t index, struct ifab_arena *arena, struct ifab_stored_entry *ret_entry)
{
    int64_t erased = 0;
    struct ifab_stored_entry entry = {.index = index};
    if (index > INT64_MAX || !take(self->entry, index, arena, &entry.entry, &erased))
        return false;
    entry.erased = erased != 0;
    if (!entry.erased && !take(self->message, index, arena, &entry.message, NULL))
        entry.message = (struct ifab_view){NULL, 0};
    *ret_entry = entry;
    return true;
}

static bool column(sqlite3_stmt *q, int at, size_t exactly, uint8_t *ret_bytes)
{
    if (sqlite3_column_type(q, at) != SQLITE_BLOB || (size_t)sqlite3_column_bytes(q, at) != exactly)
        return false;
    memcpy(ret_bytes, sqlite3_column_blob(q, at), exactly);
    return true;
}

bool ifab_salvage_head(struct ifab_salvage *self, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_view *ret_meta)
{
    struct ifab_head head = {0};
    if (self->db == NULL)
        return false;
    sqlite3_stmt *q = prepared(self->db, "SELECT size, root, last_hash, trust_root, mac, time FROM head WHERE id=0");
    bool good = q != NULL && sqlite3_step(q) == SQLITE_ROW && column(q, 1, 32, head.root32) && column(q, 2, 32, head.last_hash32) &&
                column(q, 3, 32, head.trust_root32) && column(q, 4, 32, head.mac32);
    if (good) {
        head.size = (uint64_t)sqlite3_column_int64(q, 0);
        head.time = sqlite3_column_int64(q, 5);
    }
    (void)sqlite3_finalize(q);
    sqlite3_stmt *meta = good ? prepared(self->db, "SELECT bytes FROM records WHERE log=1 AND kind=?1 AND number=0") : NULL;
    good = good && take(meta, IFAB_RECORD_META, arena, ret_meta, NULL);
    (void)sqlite3_finalize(meta);
    if (good)
        *ret_head = head;
    return good;
}
