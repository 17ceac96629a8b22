/*
 * A consistent copy while commits go on: one read transaction over the database, page by page into a new file, then fsync of it and of its
 * directory. The copy has no WAL: it opens as it is.
 */
#include "store_sqlite.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static ifab_status check_empty(const char *directory, struct ifab_error *err)
{
    DIR *d = opendir(directory);
    if (d == NULL)
        return ifab_fail(err, errno == EACCES ? IFAB_DENIED : IFAB_NOT_FOUND, "store: backup directory %s: %s", directory, strerror(errno));
    const struct dirent *e;
    bool empty = true;
    while ((e = readdir(d)) != NULL)
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    (void)closedir(d);
    return empty ? IFAB_OK : ifab_fail(err, IFAB_CONFLICT, "store: backup directory %s is not empty", directory);
}

static ifab_status make_file(const char *path, struct ifab_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        ifab_status status = errno == EEXIST ? IFAB_CONFLICT : errno == ENOSPC || errno == EDQUOT ? IFAB_FULL : IFAB_DENIED;
        return ifab_fail(err, status, "store: create %s: %s", path, strerror(errno));
    }
    (void)close(fd);
    return IFAB_OK;
}

static ifab_status sync_path(const char *path, int flags, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | flags);
    int rc = fd < 0 ? -1 : fsync(fd), cause = errno;
    if (fd >= 0)
        (void)close(fd);
    return rc == 0 ? IFAB_OK
                   : ifab_fail(err, cause == ENOSPC || cause == EDQUOT ? IFAB_FULL : IFAB_IO, "store: sync %s: %s", path, strerror(cause));
}

static ifab_status copy_pages(struct ifab_store__sqlite *self, const char *path, struct ifab_error *err)
{
    sqlite3 *to = NULL;
    int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK) /* a copy that fails is removed whole; it is synced once, at the end */
        rc = sqlite3_exec(to, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF; PRAGMA cache_size=-1024", NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_backup *copy = sqlite3_backup_init(to, "main", self->db, "main");
        if (copy != NULL)
            (void)sqlite3_backup_step(copy, -1);
        rc = copy != NULL ? sqlite3_backup_finish(copy) : sqlite3_errcode(to);
    }
    ifab_status status = ifab_store__status(to, rc);
    if (rc != SQLITE_OK)
        (void)ifab_fail(err, status, "store: backup: %s (%d)", to == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(to), rc);
    (void)sqlite3_close(to);
    return status;
}

ifab_status ifab_store__backup(struct ifab_store *base, const char *directory, struct ifab_error *err)
{
    size_t length = strlen(directory);
    char *path = ifab_malloc(length + sizeof "/main.db");
    if (path == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store: backup");
    memcpy(path, directory, length);
    memcpy(path + length, "/main.db", sizeof "/main.db");
    ifab_status status = check_empty(directory, err);
    if (status == IFAB_OK)
        status = make_file(path, err);
    if (status == IFAB_OK) {
        status = copy_pages(ifab_store__of(base), path, err);
        if (status == IFAB_OK)
            status = sync_path(path, 0, err);
        if (status == IFAB_OK)
            status = sync_path(directory, O_DIRECTORY, err);
        if (status != IFAB_OK)
            (void)unlink(path);
    }
    ifab_free(path);
    return status;
}
