/*
 * index.db. 1. Never synced while in use; so a file that was open when the machine went down proves nothing and is thrown away: `clean` is
 * made 0, durably, before the first change, and 1, durably, at a close; the boot in which it was opened tells a killed process (its writes
 * are in the cache: kept) from a machine that went down. 2. Damage seen at any time removes the file at close. 3. A row holds what one
 * ifab_index_add() brought for a key: the first entry, and the distance of each further one to that before it (LEB128). Of components, types and
 * receivers there are few, so a thousand entries cost some ten rows; only traces and subjects cost one each. Rows of a key do not overlap.
 */
#include "store/index.h"

#include "base/buf.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

#define SCHEMA      2
#define BETWEEN     64 /* rows */
#define GROUPS      64 /* keys of one call whose entries are put together; further ones get a row each */
#define APPLICATION 0x49464158 /* "IFAX" */
#define BOOT_MAX    64

enum statement { BEGIN, COMMIT, ROLLBACK, POSITION, SET_POSITION, ADD, QUERY, STATEMENT_COUNT };
static const char *const sql[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [POSITION] = "SELECT position FROM state WHERE id=0",
    [SET_POSITION] = "UPDATE state SET position=?1 WHERE id=0",
    [ADD] = "INSERT OR IGNORE INTO postings(kind, key, idx, more) VALUES(?1, ?2, ?3, ?4)",
    [QUERY] = ("SELECT idx, more FROM postings WHERE kind=?1 AND key=?2 AND idx<?4 AND idx>=coalesce((SELECT idx FROM postings WHERE "
              "kind=?1 AND key=?2 AND idx<=?3 ORDER BY idx DESC LIMIT 1), 0) ORDER BY idx"),
};
static const char tables[] =
    "BEGIN IMMEDIATE; CREATE TABLE postings(kind INTEGER NOT NULL, key BLOB NOT NULL, idx INTEGER NOT NULL, more BLOB NOT NULL, "
    "PRIMARY KEY(kind, key, idx)) STRICT, WITHOUT ROWID; "
    "CREATE TABLE state(id INTEGER PRIMARY KEY CHECK(id=0), position INTEGER NOT NULL, identity BLOB NOT NULL, "
    "boot TEXT NOT NULL, clean INTEGER NOT NULL) STRICT; PRAGMA application_id=1229341016; PRAGMA user_version=2; COMMIT";

struct shared {
    atomic_uint refs;
    atomic_bool damaged;
    char *path;
};
struct ifab_index {
    struct shared *shared;
    sqlite3 *db;
    bool writer;
    bool ready; /* opened whole: closing marks it clean */
    void (*between)(void *user);
    void *user;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

static ifab_status status_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return IFAB_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return IFAB_AGAIN;
    case SQLITE_FULL: return IFAB_FULL;
    case SQLITE_NOMEM: return IFAB_NOMEM;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN: return IFAB_DENIED;
    case SQLITE_IOERR: return IFAB_IO;
    default: return IFAB_CORRUPT; /* what does not fit our own statements is not our file */
    }
}

static ifab_status fail(struct ifab_index *self, int rc, const char *what, struct ifab_error *err)
{
    ifab_status status = status_of(rc);
    if (status == IFAB_CORRUPT || status == IFAB_IO)
        atomic_store(&self->shared->damaged, true);
    return ifab_fail(err, status, "index: cannot %s: %s (%d)", what, self->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(self->db), rc);
}

static int execute(struct ifab_index *self, const char *text) { return sqlite3_exec(self->db, text, NULL, NULL, NULL); }

static int run(struct ifab_index *self, enum statement which)
{
    (void)sqlite3_step(self->statements[which]);
    return sqlite3_reset(self->statements[which]);
}

/* The running kernel's boot; empty when unknown, which is equal to no stored one. */
static void boot_id(char ret_id[BOOT_MAX])
{
    ssize_t size = -1;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        size = read(fd, ret_id, BOOT_MAX - 1);
        (void)close(fd);
    }
    ret_id[size > 0 ? size : 0] = '\0';
}

static void remove_files(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char name[4096];
    for (size_t i = 0; i < IFAB_COUNT(suffixes); i++) {
        int size = snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (size > 0 && (size_t)size < sizeof name)
            (void)unlink(name);
    }
}

static ifab_status connect(struct ifab_index *self, struct ifab_error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (self->writer ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(self->shared->path, &self->db, flags, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(self->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(self->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(self->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (rc == SQLITE_OK)
        rc = execute(self, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; "
                           "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; PRAGMA journal_size_limit=8388608");
    if (rc == SQLITE_OK && !self->writer)
        rc = execute(self, "PRAGMA query_only=ON");
    return rc == SQLITE_OK ? IFAB_OK : fail(self, rc, "open it", err);
}

static ifab_status prepare(struct ifab_index *self, struct ifab_error *err)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(self->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i], NULL);
        if (rc != SQLITE_OK)
            return fail(self, rc, "prepare", err);
    }
    return IFAB_OK;
}

static void disconnect(struct ifab_index *self)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(self->statements[i]);
        self->statements[i] = NULL;
    }
    (void)sqlite3_close(self->db);
    self->db = NULL;
}

/* 1: ours, of this log and trustworthy; 0: to be thrown away; else an error of SQLite in *ret_rc. */
static bool trustworthy(struct ifab_index *self, const struct ifab_index_options *options, int *ret_rc)
{
    char boot[BOOT_MAX];
    sqlite3_stmt *q = NULL;
    bool good = false;
    boot_id(boot);
    int rc = sqlite3_prepare_v2(self->db,
                                "SELECT position, identity, boot, clean, (SELECT application_id FROM pragma_application_id), "
                                "(SELECT user_version FROM pragma_user_version) FROM state WHERE id=0",
                                -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        int64_t position = sqlite3_column_int64(q, 0);
        const void *identity = sqlite3_column_blob(q, 1);
        struct ifab_view known = ifab_view_of(identity, (size_t)sqlite3_column_bytes(q, 1));
        bool same_boot = boot[0] != '\0' && ifab_view_is(ifab_view_str((const char *)sqlite3_column_text(q, 2)), boot);
        good = position >= 0 && (uint64_t)position <= options->store_size &&
               ifab_view_equal(known, ifab_view_of(options->identity32, 32)) && (sqlite3_column_int(q, 3) == 1 || same_boot) &&
               sqlite3_column_int64(q, 4) == APPLICATION && sqlite3_column_int(q, 5) == SCHEMA;
    }
    (void)sqlite3_finalize(q);
    *ret_rc = rc;
    return good;
}

/* Durably: from here on a machine that goes down makes the file worthless. */
static ifab_status mark(struct ifab_index *self, const char *text, const struct ifab_index_options *options, struct ifab_error *err)
{
    char boot[BOOT_MAX];
    sqlite3_stmt *q = NULL;
    boot_id(boot);
    int rc = execute(self, "PRAGMA synchronous=FULL");
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(self->db, text, -1, &q, NULL);
    if (rc == SQLITE_OK && options != NULL)
        rc = sqlite3_bind_blob(q, 2, options->identity32, 32, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(q, 1, boot, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(q);
        rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    (void)sqlite3_finalize(q);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = execute(self, "PRAGMA synchronous=OFF");
    return rc == SQLITE_OK ? IFAB_OK : fail(self, rc, "mark it", err);
}

static ifab_status begin_anew(struct ifab_index *self, const struct ifab_index_options *options, struct ifab_error *err)
{
    disconnect(self);
    remove_files(self->shared->path);
    atomic_store(&self->shared->damaged, false);
    IFAB_TRY(connect(self, err));
    int rc = execute(self, tables);
    if (rc != SQLITE_OK)
        return fail(self, rc, "make its tables", err);
    IFAB_TRY(mark(self, "INSERT INTO state(id, position, identity, boot, clean) VALUES(0, 0, ?2, ?1, 0)", options, err));
    return prepare(self, err);
}

static ifab_status open_writer(struct ifab_index *self, const struct ifab_index_options *options, struct ifab_error *err)
{
    int rc = SQLITE_OK;
    ifab_status status = connect(self, NULL); /* the cause of a file that is thrown away is not an error of this call */
    if (status == IFAB_OK && trustworthy(self, options, &rc))
        status = prepare(self, NULL);
    else if (status == IFAB_OK)
        status = status_of(rc) == IFAB_OK ? IFAB_CORRUPT : status_of(rc);
    if (status == IFAB_OK)
        status = mark(self, "UPDATE state SET clean=0, boot=?1 WHERE id=0", NULL, NULL);
    if (status == IFAB_OK || (status != IFAB_CORRUPT && status != IFAB_IO))
        return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "index: cannot open %s", self->shared->path);
    return begin_anew(self, options, err);
}

static struct ifab_index *handle_new(struct shared *shared, bool writer)
{
    struct ifab_index *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->shared = shared;
    self->writer = writer;
    atomic_fetch_add(&shared->refs, 1);
    return self;
}

static void unref(struct shared *shared)
{
    if (atomic_fetch_sub(&shared->refs, 1) != 1)
        return;
    if (atomic_load(&shared->damaged))
        remove_files(shared->path);
    ifab_free(shared->path);
    ifab_free(shared);
}

ifab_status ifab_index_open(const struct ifab_index_options *options, struct ifab_index **ret_index, struct ifab_error *err)
{
    if (options == NULL || options->directory == NULL || options->identity32 == NULL || ret_index == NULL)
        return ifab_fail(err, IFAB_INVALID, "index: options without directory or identity");
    if (access(options->directory, F_OK) != 0)
        return ifab_fail(err, IFAB_NOT_FOUND, "index: directory %s: %s", options->directory, strerror(errno));
    struct shared *shared = ifab_calloc(1, sizeof *shared);
    size_t room = strlen(options->directory) + sizeof "/index.db";
    char *path = ifab_malloc(room);
    if (shared == NULL || path == NULL) {
        ifab_free(shared);
        ifab_free(path);
        return ifab_fail(err, IFAB_NOMEM, "index");
    }
    (void)snprintf(path, room, "%s/index.db", options->directory);
    shared->path = path;
    atomic_init(&shared->refs, 1);
    atomic_init(&shared->damaged, false);
    struct ifab_index *self = handle_new(shared, true);
    unref(shared); /* the handle has its own */
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "index");
    ifab_status status = open_writer(self, options, err);
    if (status != IFAB_OK) {
        ifab_index_close(self);
        return status;
    }
    self->ready = true;
    self->between = options->between;
    self->user = options->user;
    *ret_index = self;
    return IFAB_OK;
}

ifab_status ifab_index_reader(struct ifab_index *self, struct ifab_index **ret_reader, struct ifab_error *err)
{
    assert(self != NULL && ret_reader != NULL);
    struct ifab_index *reader = handle_new(self->shared, false);
    if (reader == NULL)
        return ifab_fail(err, IFAB_NOMEM, "index: reader");
    ifab_status status = connect(reader, err);
    if (status == IFAB_OK)
        status = prepare(reader, err);
    if (status == IFAB_OK)
        *ret_reader = reader;
    else
        ifab_index_close(reader);
    return status;
}

void ifab_index_close(struct ifab_index *self)
{
    if (self == NULL)
        return;
    if (self->writer && self->ready && !atomic_load(&self->shared->damaged)) {
        /* The rows first, synced by the checkpoint; only then the word that they are whole. The change before it is for the sync: a
         * checkpoint that has nothing to move does none. */
        int rc = execute(self, "PRAGMA synchronous=FULL; UPDATE state SET clean=0 WHERE id=0");
        if (rc == SQLITE_OK)
            rc = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_FULL, NULL, NULL);
        if (rc == SQLITE_OK)
            (void)mark(self, "UPDATE state SET clean=1, boot=?1 WHERE id=0", NULL, NULL);
    }
    disconnect(self);
    unref(self->shared);
    ifab_free(self);
}

void ifab_index_closep(struct ifab_index **self)
{
    ifab_index_close(*self);
    *self = NULL;
}

ifab_status ifab_index_position(struct ifab_index *self, uint64_t *ret_position, struct ifab_error *err)
{
    assert(self != NULL && ret_position != NULL);
    sqlite3_stmt *q = self->statements[POSITION];
    int rc = sqlite3_step(q);
    uint64_t position = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
    (void)sqlite3_reset(q);
    if (rc != SQLITE_ROW)
        return fail(self, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "read its position", err);
    *ret_position = position;
    return IFAB_OK;
}

struct group { /* entries of one key, ascending */
    const struct ifab_index_item *first;
    uint64_t last;
    struct ifab_buf more;
};

static int add_row(struct ifab_index *self, const struct ifab_index_item *item, struct ifab_view more)
{
    sqlite3_stmt *q = self->statements[ADD];
    int rc = sqlite3_bind_int(q, 1, (int)item->kind);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob64(q, 2, item->key.data, item->key.size, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 3, (int64_t)item->index);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob64(q, 4, more.size == 0 ? "" : (const void *)more.data, more.size, SQLITE_STATIC);
    return rc == SQLITE_OK ? run(self, ADD) : rc;
}

static void put_distance(struct ifab_buf *buf, uint64_t distance)
{
    for (; distance > 0x7f; distance >>= 7)
        ifab_buf_char(buf, (char)(uint8_t)(distance | 0x80));
    ifab_buf_char(buf, (char)(uint8_t)distance);
}

/* false: no room among the groups. */
static bool join(struct group groups[GROUPS], size_t *count, const struct ifab_index_item *item)
{
    for (size_t i = 0; i < *count; i++) {
        struct group *g = &groups[i];
        if (g->first->kind != item->kind || !ifab_view_equal(g->first->key, item->key))
            continue;
        if (item->index > g->last)
            put_distance(&g->more, item->index - g->last);
        g->last = item->index;
        return true;
    }
    if (*count == GROUPS)
        return false;
    struct group *g = &groups[(*count)++];
    g->first = item;
    g->last = item->index;
    ifab_buf_init(&g->more, (size_t)16 << 20);
    return true;
}

static bool ascending(const struct ifab_index_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (items[i].index < items[i - 1].index)
            return false;
    return true;
}

static int add_all(struct ifab_index *self, const struct ifab_index_item *items, size_t count, uint64_t position)
{
    struct group groups[GROUPS];
    size_t group_count = 0, rows = 0;
    bool together = ascending(items, count); /* out of order each gets its own row */
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < count; i++) {
        bool few = items[i].kind != IFAB_INDEX_TRACE && items[i].kind != IFAB_INDEX_SUBJECT;
        if (together && few && join(groups, &group_count, &items[i]))
            continue;
        rc = add_row(self, &items[i], (struct ifab_view){NULL, 0});
        if (++rows % BETWEEN == 0 && self->between != NULL)
            self->between(self->user);
    }
    for (size_t i = 0; i < group_count; i++) {
        if (rc == SQLITE_OK)
            rc = ifab_buf_status(&groups[i].more) != IFAB_OK ? SQLITE_NOMEM
                                                             : add_row(self, groups[i].first, ifab_buf_as_view(&groups[i].more));
        ifab_buf_fini(&groups[i].more);
    }
    (void)sqlite3_clear_bindings(self->statements[ADD]); /* what was bound is borrowed */
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(self->statements[SET_POSITION], 1, (int64_t)position);
    return rc == SQLITE_OK ? run(self, SET_POSITION) : rc;
}

ifab_status ifab_index_add(struct ifab_index *self, const struct ifab_index_item *items, size_t count, uint64_t position,
                           struct ifab_error *err)
{
    assert(self != NULL && (count == 0 || items != NULL));
    uint64_t present = 0;
    if (!self->writer)
        return ifab_fail(err, IFAB_DENIED, "index: a reader does not add");
    if (atomic_load(&self->shared->damaged))
        return ifab_fail(err, IFAB_CORRUPT, "index: damaged, close it and open it again");
    IFAB_TRY(ifab_index_position(self, &present, err));
    if (position < present || position > INT64_MAX)
        return ifab_fail(err, IFAB_INVALID, "index: the position does not go back");
    for (size_t i = 0; i < count; i++) {
        if (items[i].index < present || items[i].index >= position || items[i].key.size == 0 || items[i].key.size > IFAB_INDEX_KEY_MAX)
            return ifab_fail(err, IFAB_INVALID, "index: item %zu is outside of the entries that are added or its key of the limits", i);
    }
    int rc = run(self, BEGIN);
    if (rc != SQLITE_OK)
        return fail(self, rc, "begin", err);
    rc = add_all(self, items, count, position);
    if (rc == SQLITE_OK)
        rc = run(self, COMMIT);
    if (rc == SQLITE_OK)
        return IFAB_OK;
    ifab_status status = fail(self, rc, "add", err);
    if (sqlite3_get_autocommit(self->db) == 0 && run(self, ROLLBACK) != SQLITE_OK)
        atomic_store(&self->shared->damaged, true);
    return status;
}

struct answer {
    uint64_t from, to, *indexes;
    size_t count, limit;
};

/* One row: false when it is not as add_all() wrote it. */
static bool take_row(sqlite3_stmt *q, struct answer *answer)
{
    int64_t first = sqlite3_column_int64(q, 0);
    const uint8_t *more = sqlite3_column_blob(q, 1);
    size_t size = (size_t)sqlite3_column_bytes(q, 1);
    uint64_t at = (uint64_t)first;
    if (first < 0 || (size > 0 && more == NULL))
        return false;
    for (size_t i = 0;;) {
        if (at >= answer->from && at < answer->to && answer->count < answer->limit)
            answer->indexes[answer->count++] = at;
        if (i == size)
            return true;
        uint64_t distance = 0;
        unsigned shift = 0;
        do {
            if (i == size || shift > 56)
                return false;
            distance |= (uint64_t)(more[i] & 0x7f) << shift;
            shift += 7;
        } while (more[i++] & 0x80);
        if (distance == 0 || at + distance < at)
            return false;
        at += distance;
    }
}

ifab_status ifab_index_query(struct ifab_index *self, enum ifab_index_kind kind, struct ifab_view key, uint64_t from, uint64_t to,
                             size_t limit, uint64_t *ret_indexes, size_t *ret_count, struct ifab_error *err)
{
    assert(self != NULL && ret_count != NULL && (limit == 0 || ret_indexes != NULL));
    if (key.size == 0 || key.size > IFAB_INDEX_KEY_MAX)
        return ifab_fail(err, IFAB_INVALID, "index: a key has 1 to %d bytes", IFAB_INDEX_KEY_MAX);
    sqlite3_stmt *q = self->statements[QUERY];
    struct answer answer = {from, to, ret_indexes, 0, limit};
    if (from > INT64_MAX || limit == 0) {
        *ret_count = 0;
        return IFAB_OK;
    }
    int rc = sqlite3_bind_int(q, 1, (int)kind);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob64(q, 2, key.data, key.size, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 3, (int64_t)from);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 4, to > INT64_MAX ? INT64_MAX : (int64_t)to);
    while (rc == SQLITE_OK && answer.count < limit) {
        int step = sqlite3_step(q);
        if (step == SQLITE_DONE)
            break;
        if (step != SQLITE_ROW)
            rc = step;
        else if (!take_row(q, &answer))
            rc = SQLITE_CORRUPT;
    }
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    if (rc != SQLITE_OK)
        return fail(self, rc, "answer", err);
    *ret_count = answer.count;
    return IFAB_OK;
}
