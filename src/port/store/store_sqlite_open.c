/*
 * Opening main.db: what happens at a start, before anything is served, and further connections of the same store.
 * At a start nobody in this process holds the database yet: the descriptors that sync it may be closed without dropping SQLite's locks.
 */
#include "store_sqlite.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static void shared_unref(struct ifab_store__shared *shared)
{
    if (shared == NULL || atomic_fetch_sub(&shared->refs, 1) != 1)
        return;
    ifab_store__vfs_remove(&shared->writer_vfs);
    ifab_free(shared->directory);
    ifab_free(shared->path);
    ifab_free(shared->vfs);
    ifab_free(shared);
}
static void shared_unrefp(struct ifab_store__shared **shared) { shared_unref(*shared); }

static char *joined(const char *a, const char *b)
{
    size_t first = strlen(a), second = strlen(b);
    char *text = ifab_malloc(first + second + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, a, first);
    memcpy(text + first, b, second + 1);
    return text;
}

static ifab_status shared_new(const struct ifab_store_options *options, struct ifab_store__shared **ret_shared, struct ifab_error *err)
{
    char real[PATH_MAX];
    const char *directory = options->directory;
    if (options->vfs == NULL) { /* the directory may be reached through links, the files themselves may not be links */
        directory = realpath(options->directory, real);
        if (directory == NULL)
            return ifab_fail(err, errno == EACCES ? IFAB_DENIED : IFAB_NOT_FOUND, "store: directory %s: %s", options->directory,
                             strerror(errno));
    }
    IFAB_CLEANUP(shared_unrefp) struct ifab_store__shared *shared = ifab_calloc(1, sizeof *shared);
    if (shared == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store");
    atomic_init(&shared->refs, 1);
    atomic_init(&shared->poisoned, false);
    shared->directory = joined(directory, "");
    shared->path = joined(directory, "/main.db");
    shared->vfs = options->vfs == NULL ? NULL : joined(options->vfs, "");
    shared->read_only = options->read_only;
    shared->unsafe_no_sync = options->unsafe_no_sync;
    shared->wal_bytes = options->wal_bytes == 0 ? IFAB_STORE_WAL_BYTES : options->wal_bytes;
    if (shared->directory == NULL || shared->path == NULL || (options->vfs != NULL && shared->vfs == NULL))
        return ifab_fail(err, IFAB_NOMEM, "store");
    *ret_shared = IFAB_TAKE(shared);
    return IFAB_OK;
}

static ifab_status system_status(int cause)
{
    if (cause == EACCES || cause == EPERM || cause == EROFS || cause == ELOOP)
        return IFAB_DENIED;
    return cause == ENOENT ? IFAB_NOT_FOUND : cause == EEXIST ? IFAB_CONFLICT : cause == ENOSPC || cause == EDQUOT ? IFAB_FULL : IFAB_IO;
}

/* An fsync that failed in an earlier process left pages in the cache that are not on the disk and are called clean. So: sync what is dirty,
 * then drop the WAL's pages, and what is read next is what the disk has. The database's own need not go: whatever a checkpoint wrote is in the
 * WAL until that checkpoint was synced, and is written again from there. A file that is not there is fine. */
static ifab_status settle_file(const char *path, bool drop, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? IFAB_OK : ifab_fail(err, system_status(errno), "store: %s: %s", path, strerror(errno));
    struct stat st;
    ifab_status status = IFAB_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        status = ifab_fail(err, IFAB_DENIED, "store: %s is not a regular file", path);
    else if (fsync(fd) != 0)
        status = ifab_fail(err, IFAB_IO, "store: fsync %s: %s", path, strerror(errno));
    else if (drop)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
    return status;
}

static ifab_status sync_directory(const char *path, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ifab_fail(err, system_status(errno), "store: %s: %s", path, strerror(errno));
    int rc = fsync(fd), cause = errno;
    (void)close(fd);
    return rc == 0 ? IFAB_OK : ifab_fail(err, IFAB_IO, "store: fsync %s: %s", path, strerror(cause));
}

static ifab_status settle(const struct ifab_store__shared *shared, struct ifab_error *err)
{
    if (shared->vfs != NULL) /* not files of this system */
        return IFAB_OK;
    char *wal = joined(shared->path, "-wal");
    if (wal == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store");
    ifab_status status = settle_file(wal, true, err);
    ifab_free(wal);
    IFAB_TRY(status);
    IFAB_TRY(settle_file(shared->path, false, err));
    return sync_directory(shared->directory, err);
}

/* Made here, not by SQLite: its mode is ours alone (WAL and index take it over), and two that create at once cannot both succeed. */
static ifab_status make_file(const struct ifab_store__shared *shared, struct ifab_error *err)
{
    if (shared->vfs != NULL)
        return IFAB_OK;
    int fd = open(shared->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ifab_fail(err, system_status(errno), "store: create %s: %s", shared->path, strerror(errno));
    (void)close(fd);
    return IFAB_OK;
}

static ifab_status exists(const struct ifab_store__shared *shared, const char *suffix, bool *ret_exists, struct ifab_error *err)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(shared->vfs);
    if (vfs == NULL)
        return ifab_fail(err, IFAB_UNSUPPORTED, "store: no VFS %s", shared->vfs == NULL ? "" : shared->vfs);
    char *path = joined(shared->path, suffix);
    if (path == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store");
    int there = 0, rc = vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &there);
    ifab_free(path);
    if (rc != SQLITE_OK)
        return ifab_fail(err, IFAB_IO, "store: look for %s: %s", shared->path, sqlite3_errstr(rc));
    *ret_exists = there != 0;
    return IFAB_OK;
}

/* file:PATH?immutable=1, with what URIs reserve escaped. */
static char *immutable_uri(const char *path)
{
    static const char hex[] = "0123456789abcdef", tail[] = "?immutable=1";
    char *uri = ifab_malloc(5 + 3 * strlen(path) + sizeof tail), *at = uri;
    if (uri == NULL)
        return NULL;
    memcpy(at, "file:", 5);
    at += 5;
    for (const unsigned char *p = (const unsigned char *)path; *p != '\0'; p++) {
        if (*p == '%' || *p == '?' || *p == '#') {
            *at++ = '%';
            *at++ = hex[*p >> 4];
            *at++ = hex[*p & 15];
        } else {
            *at++ = (char)*p;
        }
    }
    memcpy(at, tail, sizeof tail);
    return uri;
}

static ifab_status connect_failed(struct ifab_store__sqlite *self, int rc, const char *what, struct ifab_error *err)
{
    int class_ = rc & 0xff;
    if (class_ == SQLITE_CANTOPEN || class_ == SQLITE_READONLY || class_ == SQLITE_PERM || class_ == SQLITE_AUTH)
        return ifab_fail(err, IFAB_DENIED, "store: %s: cannot %s: %s", self->shared->path, what, sqlite3_errmsg(self->db));
    return ifab_store__fail(self, rc, what, err);
}

static ifab_status harden(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    static const struct {
        int what, value;
    } settings[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                    {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_ENABLE_FKEY, 0},    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                    {SQLITE_DBCONFIG_DQS_DML, 0},     {SQLITE_DBCONFIG_DQS_DDL, 0}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        int rc = sqlite3_db_config(self->db, settings[i].what, settings[i].value, NULL);
        if (rc != SQLITE_OK)
            return connect_failed(self, rc, "configure", err);
    }
    (void)sqlite3_limit(self->db, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_busy_timeout(self->db, 0);
    int rc = sqlite3_exec(self->db, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
    return rc == SQLITE_OK ? IFAB_OK : connect_failed(self, rc, "open", err);
}

/* Settings of a connection that may write or checkpoint. page_size counts for a new file only, before the WAL. EXTRA is FULL, and the
 * directory is synced after a rollback journal is deleted: the one that making a WAL leaves behind would otherwise be able to come back
 * after a power cut and roll the whole database back to nothing. */
static ifab_status set_up(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    char sql[400];
    int one = 1;
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%d; PRAGMA locking_mode=NORMAL; PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=0; "
                   "PRAGMA journal_size_limit=%lld; PRAGMA secure_delete=ON; PRAGMA cache_size=-512; PRAGMA query_only=%s",
                   IFAB_STORE__PAGE, self->shared->unsafe_no_sync ? "OFF" : "EXTRA", (long long)self->shared->wal_bytes * 2,
                   self->writer ? "OFF" : "ON");
    int rc = sqlite3_exec(self->db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(self->db, "main", SQLITE_FCNTL_PERSIST_WAL, &one); /* a closed WAL keeps its size */
    if (rc != SQLITE_OK)
        return connect_failed(self, rc, "open", err);
    if (sqlite3_db_readonly(self->db, "main") != 0)
        return ifab_fail(err, IFAB_DENIED, "store: %s cannot be written", self->shared->path);
    return IFAB_OK;
}

static ifab_status to_wal(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(self->db, "PRAGMA journal_mode=WAL", -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    bool wal = rc == SQLITE_ROW && ifab_view_is(ifab_view_str((const char *)sqlite3_column_text(q, 0)), "wal");
    (void)sqlite3_finalize(q);
    if (rc != SQLITE_ROW)
        return connect_failed(self, rc, "open the WAL", err);
    return wal ? IFAB_OK : ifab_fail(err, IFAB_DENIED, "store: %s cannot have a WAL here", self->shared->path);
}

static int count_frames(void *user, sqlite3 *db, const char *name, int frames)
{
    struct ifab_store__sqlite *self = user;
    (void)db;
    (void)name;
    self->wal_frames = frames > 0 ? (uint64_t)frames : 0;
    return SQLITE_OK;
}

static ifab_status connect(struct ifab_store__sqlite *self, bool create, struct ifab_error *err)
{
    const struct ifab_store__shared *shared = self->shared;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
    flags |= shared->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | (create && shared->vfs != NULL ? SQLITE_OPEN_CREATE : 0);
    char *uri = shared->immutable ? immutable_uri(shared->path) : NULL;
    if (shared->immutable && uri == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store");
    const char *vfs = self->writer && shared->writer_vfs.below != NULL ? shared->writer_vfs.name : shared->vfs;
    int rc = sqlite3_open_v2(uri != NULL ? uri : shared->path, &self->db, flags | (uri != NULL ? SQLITE_OPEN_URI : 0), vfs);
    ifab_free(uri);
    if (rc != SQLITE_OK)
        return connect_failed(self, rc, "open", err);
    IFAB_TRY(harden(self, err));
    if (!shared->read_only) {
        IFAB_TRY(set_up(self, err));
        IFAB_TRY(to_wal(self, err));
    }
    if (self->writer)
        (void)sqlite3_wal_hook(self->db, count_frames, self);
    if (create)
        IFAB_TRY(ifab_store__create_schema(self, err));
    return IFAB_OK;
}

static ifab_status prepare(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    for (int i = 0; i < IFAB_STORE__STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(self->db, ifab_store__sql[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i], NULL);
        if (rc != SQLITE_OK)
            return connect_failed(self, rc, "prepare", err);
    }
    return IFAB_OK;
}

void ifab_store__close(struct ifab_store *base)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    for (int i = 0; i < IFAB_STORE__STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(self->statements[i]);
    if (self->db != NULL) {
        /* the last one closed moves the WAL into the database and keeps the file; never after a failure that must not be tried again */
        if (atomic_load(&self->shared->poisoned))
            (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_exec(self->db, "PRAGMA journal_size_limit=-1", NULL, NULL, NULL);
        (void)sqlite3_close(self->db);
    }
    shared_unref(self->shared);
    ifab_free(self);
}

static struct ifab_store__sqlite *handle_new(struct ifab_store__shared *shared, bool writer)
{
    struct ifab_store__sqlite *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->base.ops = &ifab_store__sqlite_ops;
    self->shared = shared;
    self->writer = writer;
    atomic_fetch_add(&shared->refs, 1);
    return self;
}

ifab_status ifab_store__reader(struct ifab_store *base, struct ifab_store **ret_reader, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = handle_new(ifab_store__of(base)->shared, false);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store: reader");
    ifab_status status = connect(self, false, err);
    if (status == IFAB_OK)
        status = prepare(self, err);
    if (status == IFAB_OK)
        *ret_reader = &self->base;
    else
        ifab_store__close(&self->base);
    return status;
}

/* Recovery has run with the first read. What it found is moved into the database; a write lock that somebody else holds shows here. */
static ifab_status start(struct ifab_store__sqlite *self, bool create, struct ifab_error *err)
{
    if (!create)
        IFAB_TRY(ifab_store__check_schema(self, err));
    IFAB_TRY(prepare(self, err));
    if (!self->writer)
        return IFAB_OK;
    IFAB_TRY(ifab_store__begin_at_once(self, err));
    int rc = ifab_store__run(self, IFAB_STORE__ROLLBACK);
    if (rc != SQLITE_OK)
        return ifab_store__fail(self, rc, "probe the lock", err);
    IFAB_TRY(ifab_store__first_checkpoint(self, err));
    IFAB_TRY(ifab_store__grow_wal(self, err));
    IFAB_TRY(ifab_store__finish_wipe(self, err));
    return create && self->shared->vfs == NULL ? sync_directory(self->shared->directory, err) : IFAB_OK;
}

static void remove_created(const struct ifab_store__shared *shared)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(shared->vfs);
    for (size_t i = 0; vfs != NULL && i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char *path = joined(shared->path, suffixes[i]);
        if (path != NULL)
            (void)vfs->xDelete(vfs, path, 0);
        ifab_free(path);
    }
}

static ifab_status open_once(struct ifab_store__shared *shared, const struct ifab_store_options *options, struct ifab_store **ret_store,
                             struct ifab_error *err)
{
    struct ifab_store__sqlite *self = handle_new(shared, !options->read_only);
    ifab_status status = self == NULL ? ifab_fail(err, IFAB_NOMEM, "store") : connect(self, options->create, err);
    if (status == IFAB_OK)
        status = start(self, options->create, err);
    if (status == IFAB_OK && options->ret_upgraded_from != NULL)
        *options->ret_upgraded_from = self->upgraded_from;
    if (status == IFAB_OK)
        *ret_store = &self->base;
    else if (self != NULL)
        ifab_store__close(&self->base);
    return status;
}

ifab_status ifab_store_sqlite_open(const struct ifab_store_options *options, struct ifab_store **ret_store, struct ifab_error *err)
{
    if (options == NULL || options->directory == NULL || options->directory[0] == '\0' || ret_store == NULL ||
        (options->create && options->read_only) || options->wal_bytes > INT32_MAX)
        return ifab_fail(err, IFAB_INVALID, "store: options that contradict each other or name no directory");
    IFAB_CLEANUP(shared_unrefp) struct ifab_store__shared *shared = NULL;
    bool there = false, wal = false;
    IFAB_TRY(shared_new(options, &shared, err));
    IFAB_TRY(exists(shared, "", &there, err));
    if (options->create && there)
        return ifab_fail(err, IFAB_CONFLICT, "store: %s exists already", shared->path);
    if (!options->create && !there)
        return ifab_fail(err, IFAB_NOT_FOUND, "store: no database %s", shared->path);
    if (options->read_only) { /* no WAL: nobody has it open, as in a backup; then it is read without making a file beside it */
        IFAB_TRY(exists(shared, "-wal", &wal, err));
        shared->immutable = !wal && shared->vfs == NULL;
    } else {
        IFAB_TRY(options->create ? make_file(shared, err) : settle(shared, err));
    }
    if (!options->read_only && !options->unsafe_no_sync) /* what it keeps back comes out at a sync */
        IFAB_TRY(ifab_store__vfs_add(&shared->writer_vfs, shared->vfs, err));
    ifab_status status = open_once(shared, options, ret_store, err);
    for (int waited = 0; status == IFAB_AGAIN && !options->create && waited < IFAB_STORE__BUSY_MSEC; waited += IFAB_STORE__BUSY_STEP) {
        ifab_store__pause(shared);
        if (err != NULL)
            *err = (struct ifab_error){.status = IFAB_OK};
        status = open_once(shared, options, ret_store, err);
    }
    if (status == IFAB_OK)
        return IFAB_OK;
    if (options->create)
        remove_created(shared);
    return status;
}
