/*
 * Tables and statements of main.db, and how an older schema becomes this one. What stands in sqlite_schema must be these words and nothing else: a trigger, view or column
 * that somebody added is refused, not carried along.
 */
#include "store_sqlite.h"

/* Tables begin with the log, as every key of a later version does; entries and head are keyed without it: one database holds one log, and
 * an INTEGER PRIMARY KEY is the row itself, a composite one a second tree. */
static const struct {
    const char *name, *sql;
    int since; /* schema */
} tables[] = {
    {"entries", "CREATE TABLE entries(idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, message BLOB, erased INTEGER NOT NULL) STRICT", 1},
    {"tags", "CREATE TABLE tags(id INTEGER PRIMARY KEY, log INTEGER NOT NULL, until INTEGER NOT NULL, tags BLOB NOT NULL) STRICT", 1},
    {"records", "CREATE TABLE records(log INTEGER NOT NULL, kind INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, "
                "PRIMARY KEY(log, kind, number)) STRICT, WITHOUT ROWID", 1},
    {"head", "CREATE TABLE head(id INTEGER PRIMARY KEY CHECK(id=0), size INTEGER NOT NULL, root BLOB NOT NULL, last_hash BLOB NOT NULL, "
             "trust_root BLOB NOT NULL, mac BLOB NOT NULL, time INTEGER NOT NULL, edge BLOB NOT NULL) STRICT", 1},
    {"meta", "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID", 1},
    {"upgrades", "CREATE TABLE upgrades(schema INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT", 2},
};

/*
 * What makes schema n out of schema n - 1; a row for every schema but the first, and a table of it has its own words above. 2: when a store was
 * upgraded stands in it; and its records may be of kinds (LOG_KEY, TAG_KEY) that a program of schema 1 would take for damage.
 */
static const char *const steps[IFAB_STORE_SCHEMA + 1] = {
    [2] = "CREATE TABLE upgrades(schema INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT",
};

const char *const ifab_store__sql[IFAB_STORE__STATEMENT_COUNT] = {
    [IFAB_STORE__BEGIN] = "BEGIN IMMEDIATE",
    [IFAB_STORE__COMMIT] = "COMMIT",
    [IFAB_STORE__ROLLBACK] = "ROLLBACK",
    [IFAB_STORE__SIZE] = "SELECT size FROM head WHERE id=0",
    [IFAB_STORE__ADD_ENTRY] = "INSERT INTO entries(idx, entry, message, erased) VALUES(?1, ?2, ?3, 0)",
    [IFAB_STORE__ADD_TAGS] = "INSERT INTO tags(log, until, tags) VALUES(1, ?1, ?2)",
    /* the oldest rows only: to look for every old one would cost by the number of rows */
    [IFAB_STORE__DROP_TAGS] = "DELETE FROM tags WHERE id IN (SELECT id FROM tags ORDER BY id LIMIT 8) AND until<?1",
    [IFAB_STORE__PUT_RECORD] = "INSERT INTO records(log, kind, number, bytes) VALUES(1, ?1, ?2, ?3) "
                               "ON CONFLICT(log, kind, number) DO UPDATE SET bytes=excluded.bytes",
    [IFAB_STORE__DROP_RECORD] = "DELETE FROM records WHERE log=1 AND kind=?1 AND number=?2",
    [IFAB_STORE__PUT_HEAD] =
        "INSERT INTO head(id, size, root, last_hash, trust_root, mac, time, edge) VALUES(0, ?1, ?2, ?3, ?4, ?5, ?6, ?7) "
        "ON CONFLICT(id) DO UPDATE SET size=excluded.size, root=excluded.root, last_hash=excluded.last_hash, "
        "trust_root=excluded.trust_root, mac=excluded.mac, time=excluded.time, edge=excluded.edge",
    [IFAB_STORE__GET_HEAD] = "SELECT size, root, last_hash, trust_root, mac, time, edge FROM head WHERE id=0",
    [IFAB_STORE__READ] = "SELECT idx, entry, erased, message FROM entries WHERE idx>=?1 ORDER BY idx LIMIT ?2",
    [IFAB_STORE__READ_SHORT] = "SELECT idx, entry, erased FROM entries WHERE idx>=?1 ORDER BY idx LIMIT ?2",
    [IFAB_STORE__RECORDS] = "SELECT kind, number, bytes FROM records WHERE log=1 ORDER BY kind, number",
    [IFAB_STORE__TAGS] = "SELECT until, tags FROM tags ORDER BY id DESC",
    [IFAB_STORE__LENGTH] = "SELECT length(message) FROM entries WHERE idx=?1 AND erased=0 AND message IS NOT NULL",
    /* Zeros of the same length, not NULL: SQLite then overwrites the cell and its overflow pages in place. A shorter row would let it move
     * neighbours about and leave copies of their messages in page gaps, where a later erase could not reach them. */
    [IFAB_STORE__ERASE] = "UPDATE entries SET message=zeroblob(?2), erased=1 WHERE idx=?1",
    [IFAB_STORE__GET_WIPE] = "SELECT value FROM meta WHERE name='wipe'",
    [IFAB_STORE__SET_WIPE] = "INSERT INTO meta(name, value) VALUES('wipe', ?1) ON CONFLICT(name) DO UPDATE SET value=excluded.value",
};

static int execute(sqlite3 *db, const char *sql) { return sqlite3_exec(db, sql, NULL, NULL, NULL); }

ifab_status ifab_store__create_schema(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    int rc = execute(self->db, "BEGIN IMMEDIATE");
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof tables / sizeof tables[0]; i++)
        rc = execute(self->db, tables[i].sql);
    char pragmas[160];
    (void)snprintf(pragmas, sizeof pragmas, "PRAGMA application_id=%d; PRAGMA user_version=%d; INSERT INTO meta VALUES('schema', %d)",
                   IFAB_STORE__APPLICATION, IFAB_STORE_SCHEMA, IFAB_STORE_SCHEMA);
    if (rc == SQLITE_OK)
        rc = execute(self->db, pragmas);
    if (rc == SQLITE_OK)
        rc = execute(self->db, "COMMIT");
    return rc == SQLITE_OK ? IFAB_OK : ifab_store__fail(self, rc, "create the tables", err);
}

/* First column of the first row, a number; SQLITE_DONE without a row. */
static int one_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return rc;
}

static ifab_status check_tables(struct ifab_store__sqlite *self, int64_t version, struct ifab_error *err)
{
    sqlite3_stmt *statement = NULL;
    size_t known = 0, found = 0, wanted = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        wanted += tables[i].since <= version;
    int rc = sqlite3_prepare_v2(self->db, "SELECT name, sql FROM sqlite_schema", -1, &statement, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW)
            break;
        found++;
        struct ifab_view name = ifab_view_str((const char *)sqlite3_column_text(statement, 0));
        struct ifab_view sql = ifab_view_str((const char *)sqlite3_column_text(statement, 1));
        for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
            known += tables[i].since <= version && ifab_view_is(name, tables[i].name) && ifab_view_is(sql, tables[i].sql);
    }
    ifab_status status = rc == SQLITE_DONE ? IFAB_OK : ifab_store__fail(self, rc, "read the schema", err);
    (void)sqlite3_finalize(statement);
    if (status == IFAB_OK && (known != wanted || found != known))
        return ifab_fail(err, IFAB_CORRUPT, "store: the tables of %s are not those of schema %lld", self->shared->path, (long long)version);
    return status;
}

/* The number in the header, and that it is one of ours. */
static ifab_status read_version(struct ifab_store__sqlite *self, int64_t *ret_version, struct ifab_error *err)
{
    int64_t application = 0, version = 0;
    int rc = one_number(self->db, "PRAGMA application_id", &application);
    if (rc == SQLITE_ROW)
        rc = one_number(self->db, "PRAGMA user_version", &version);
    if (rc != SQLITE_ROW)
        return ifab_store__fail(self, rc, "read the header", err);
    if (application != IFAB_STORE__APPLICATION)
        return ifab_fail(err, IFAB_CORRUPT, "store: %s is not a complete store of this program", self->shared->path);
    if (version > IFAB_STORE_SCHEMA)
        return ifab_fail(err, IFAB_UNSUPPORTED, "store: %s has schema %lld, this program knows %d: run the newer program",
                         self->shared->path, (long long)version, IFAB_STORE_SCHEMA);
    if (version < 1)
        return ifab_fail(err, IFAB_CORRUPT, "store: %s has the unknown schema %lld", self->shared->path, (long long)version);
    *ret_version = version;
    return IFAB_OK;
}

static ifab_status check_as(struct ifab_store__sqlite *self, int64_t version, struct ifab_error *err)
{
    int64_t named = 0, size = 0, next = 0;
    IFAB_TRY(check_tables(self, version, err));
    int rc = one_number(self->db, "SELECT value FROM meta WHERE name='schema'", &named);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return ifab_store__fail(self, rc, "read the schema number", err);
    if (rc != SQLITE_ROW || named != version)
        return ifab_fail(err, IFAB_CORRUPT, "store: %s names two schemas", self->shared->path);
    rc = one_number(self->db, "SELECT coalesce(max(size), 0) FROM head", &size);
    if (rc == SQLITE_ROW && version >= 2) /* nobody else ever reads its page */
        rc = one_number(self->db, "SELECT count(*) FROM upgrades", &named);
    if (rc == SQLITE_ROW)
        rc = one_number(self->db, "SELECT coalesce(max(idx)+1, 0) FROM entries", &next);
    if (rc != SQLITE_ROW)
        return ifab_store__fail(self, rc, "compare head and entries", err);
    if (size != next)
        return ifab_fail(err, IFAB_CORRUPT, "store: the head counts %lld entries, the table ends at %lld", (long long)size,
                         (long long)next);
    return IFAB_OK;
}

/* All steps and both numbers in one transaction: a cut anywhere leaves the old schema, whole. */
static ifab_status upgrade(struct ifab_store__sqlite *self, int64_t from, struct ifab_error *err)
{
    char numbers[200], note[100];
    int rc = execute(self->db, "BEGIN IMMEDIATE");
    for (int64_t v = from + 1; rc == SQLITE_OK && v <= IFAB_STORE_SCHEMA; v++) {
        rc = execute(self->db, steps[v]);
        (void)snprintf(note, sizeof note, "INSERT INTO upgrades(schema, at) VALUES(%lld, unixepoch())", (long long)v);
        if (rc == SQLITE_OK)
            rc = execute(self->db, note);
    }
    (void)snprintf(numbers, sizeof numbers, "PRAGMA user_version=%d; UPDATE meta SET value=%d WHERE name='schema'", IFAB_STORE_SCHEMA, IFAB_STORE_SCHEMA);
    if (rc == SQLITE_OK)
        rc = execute(self->db, numbers);
    if (rc == SQLITE_OK)
        rc = execute(self->db, "COMMIT");
    if (rc == SQLITE_OK)
        return IFAB_OK;
    ifab_status status = ifab_store__fail(self, rc, "upgrade the schema", err);
    if (sqlite3_get_autocommit(self->db) == 0)
        (void)execute(self->db, "ROLLBACK");
    if (status != IFAB_AGAIN && status != IFAB_FULL && status != IFAB_NOMEM) /* its outcome is unknown: nothing more is written, not even at the close */
        ifab_store__poison(self);
    return status;
}

/* An older store is upgraded by who may write it; who only reads, a backup say, reads it as it is. */
ifab_status ifab_store__check_schema(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    int64_t version = 0;
    IFAB_TRY(read_version(self, &version, err));
    IFAB_TRY(check_as(self, version, err));
    if (version == IFAB_STORE_SCHEMA || !self->writer)
        return IFAB_OK;
    IFAB_TRY(upgrade(self, version, err));
    self->upgraded_from = (int)version;
    return check_as(self, IFAB_STORE_SCHEMA, err);
}
