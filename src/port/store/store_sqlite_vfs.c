/*
 * A VFS between SQLite and the one below: what is written to the WAL is kept until it is to be synced, then written in few large pieces.
 * SQLite writes a frame as two calls, 24 bytes and a page: a commit of one message were a dozen system calls.
 *
 * 1. Nothing that anybody may rely on stays here: before a sync, a read, a question for the size, a cut or a close all of it is written.
 *    Other connections read a frame only after the commit's sync (synchronous=FULL or above; the store does not use this VFS below it).
 * 2. Pieces are written in the order in which they came, the commit frame last. One that fails is dropped with all that followed it: the
 *    sync fails with the cause, the commit frame is not in the file, the transaction did not happen.
 * 3. Every other file is the lower VFS's own.
 */
#include "store_sqlite.h"

#include "base/mem.h"

#define ROOM 123240 /* 15 frames; the unix VFS writes 17 bits of a size and drops the rest */

struct wal_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    uint8_t *kept;      /* ROOM bytes; NULL until the first write */
    sqlite3_int64 from; /* place of kept[0] in the file */
    int size;
};

static size_t head_size(void) { return (sizeof(struct wal_file) + 15) & ~(size_t)15; }

static struct wal_file *of(sqlite3_file *base) { return (struct wal_file *)(void *)base; }

static int put_out(struct wal_file *self)
{
    int size = self->size;
    self->size = 0;
    return size == 0 ? SQLITE_OK : self->real->pMethods->xWrite(self->real, self->kept, size, self->from);
}

static int wal_close(sqlite3_file *base)
{
    struct wal_file *self = of(base);
    int rc = put_out(self), closed = self->real->pMethods->xClose(self->real);
    ifab_free(self->kept);
    self->kept = NULL;
    return rc == SQLITE_OK ? closed : rc;
}

static int wal_read(sqlite3_file *base, void *to, int amount, sqlite3_int64 offset)
{
    int rc = put_out(of(base));
    return rc == SQLITE_OK ? of(base)->real->pMethods->xRead(of(base)->real, to, amount, offset) : rc;
}

static int wal_write(sqlite3_file *base, const void *from, int amount, sqlite3_int64 offset)
{
    struct wal_file *self = of(base);
    if (self->size > 0 && (offset != self->from + self->size || amount > ROOM - self->size)) {
        int rc = put_out(self);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (self->kept == NULL)
        self->kept = ifab_malloc(ROOM);
    if (self->kept == NULL || amount > ROOM / 2) /* without memory only slower */
        return self->real->pMethods->xWrite(self->real, from, amount, offset);
    if (self->size == 0)
        self->from = offset;
    memcpy(self->kept + self->size, from, (size_t)amount);
    self->size += amount;
    return SQLITE_OK;
}

static int wal_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    int rc = put_out(of(base));
    return rc == SQLITE_OK ? of(base)->real->pMethods->xTruncate(of(base)->real, size) : rc;
}

static int wal_sync(sqlite3_file *base, int flags)
{
    int rc = put_out(of(base));
    return rc == SQLITE_OK ? of(base)->real->pMethods->xSync(of(base)->real, flags) : rc;
}

static int wal_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    int rc = put_out(of(base));
    return rc == SQLITE_OK ? of(base)->real->pMethods->xFileSize(of(base)->real, ret_size) : rc;
}

static int wal_lock(sqlite3_file *base, int level) { return of(base)->real->pMethods->xLock(of(base)->real, level); }
static int wal_unlock(sqlite3_file *base, int level) { return of(base)->real->pMethods->xUnlock(of(base)->real, level); }
static int wal_reserved(sqlite3_file *base, int *ret)
{
    return of(base)->real->pMethods->xCheckReservedLock(of(base)->real, ret);
}
static int wal_control(sqlite3_file *base, int what, void *arg)
{
    return of(base)->real->pMethods->xFileControl(of(base)->real, what, arg);
}
static int wal_sector(sqlite3_file *base) { return of(base)->real->pMethods->xSectorSize(of(base)->real); }
static int wal_device(sqlite3_file *base) { return of(base)->real->pMethods->xDeviceCharacteristics(of(base)->real); }

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* a WAL is neither shared memory nor mapped */
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_device,
};

static sqlite3_vfs *below(sqlite3_vfs *vfs) { return ((struct ifab_store__vfs *)(void *)vfs)->below; }

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    sqlite3_vfs *lower = below(vfs);
    if ((flags & SQLITE_OPEN_WAL) == 0)
        return lower->xOpen(lower, name, file, flags, ret_flags);
    struct wal_file *self = of(file);
    *self = (struct wal_file){.real = (sqlite3_file *)(void *)((uint8_t *)file + head_size())};
    self->real->pMethods = NULL;
    int rc = lower->xOpen(lower, name, self->real, flags, ret_flags);
    if (rc == SQLITE_OK)
        self->base.pMethods = &methods;
    else if (self->real->pMethods != NULL) /* SQLite closes what has methods; here it sees none */
        (void)self->real->pMethods->xClose(self->real);
    return rc;
}
static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) { return below(vfs)->xDelete(below(vfs), name, sync); }
static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret) { return below(vfs)->xAccess(below(vfs), name, flags, ret); }
static int vfs_path(sqlite3_vfs *vfs, const char *name, int room, char *ret) { return below(vfs)->xFullPathname(below(vfs), name, room, ret); }
static int vfs_random(sqlite3_vfs *vfs, int size, char *ret) { return below(vfs)->xRandomness(below(vfs), size, ret); }
static int vfs_sleep(sqlite3_vfs *vfs, int usec) { return below(vfs)->xSleep(below(vfs), usec); }
static int vfs_time(sqlite3_vfs *vfs, double *ret) { return below(vfs)->xCurrentTime(below(vfs), ret); }
static int vfs_error(sqlite3_vfs *vfs, int room, char *ret) { return below(vfs)->xGetLastError(below(vfs), room, ret); }

ifab_status ifab_store__vfs_add(struct ifab_store__vfs *self, const char *lower_name, struct ifab_error *err)
{
    sqlite3_vfs *lower = sqlite3_vfs_find(lower_name);
    if (lower == NULL)
        return ifab_fail(err, IFAB_UNSUPPORTED, "store: no VFS %s", lower_name == NULL ? "" : lower_name);
    (void)snprintf(self->name, sizeof self->name, "ifab-%p", (void *)self);
    self->below = lower;
    self->vfs = (sqlite3_vfs){.iVersion = 1,
                              .szOsFile = lower->szOsFile + (int)head_size(),
                              .mxPathname = lower->mxPathname,
                              .zName = self->name,
                              .xOpen = vfs_open,
                              .xDelete = vfs_delete,
                              .xAccess = vfs_access,
                              .xFullPathname = vfs_path,
                              .xRandomness = vfs_random,
                              .xSleep = vfs_sleep,
                              .xCurrentTime = vfs_time,
                              .xGetLastError = vfs_error};
    int rc = sqlite3_vfs_register(&self->vfs, 0);
    if (rc != SQLITE_OK) {
        self->below = NULL;
        return ifab_fail(err, rc == SQLITE_NOMEM ? IFAB_NOMEM : IFAB_INTERNAL, "store: register a VFS: %s", sqlite3_errstr(rc));
    }
    return IFAB_OK;
}

void ifab_store__vfs_remove(struct ifab_store__vfs *self)
{
    if (self->below != NULL)
        (void)sqlite3_vfs_unregister(&self->vfs);
    self->below = NULL;
}
