#ifndef POWERCUT_VFS_H
#define POWERCUT_VFS_H
/*
 * A SQLite VFS over files in memory. It records every write, truncate, sync and delete with its content, so that the files can be rebuilt
 * as a power cut might have left them: all that was synced, and a random subset of the rest, some of it torn at sectors. It can also fail
 * its n-th operation. One thread at a time. Locks and shared memory work between connections of one disk. What it promises SQLite is what a
 * Linux file system promises: SQLITE_IOCAP_POWERSAFE_OVERWRITE and nothing more.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PC_FILES   8
#define PC_SECTOR  512
#define PC_REGIONS 16

enum pc_type { PC_WRITE, PC_TRUNCATE, PC_SYNC, PC_DELETE };
struct pc_event {
    enum pc_type type;
    int file;
    size_t offset, size; /* truncate: size is the new one */
    uint8_t *data;
};
struct pc_image { /* content of one file */
    bool exists;
    uint8_t *data;
    size_t size, room;
};
struct pc_conn;
struct pc_file {
    char name[256];
    struct pc_image now;
    int shared; /* holders of SHARED or above */
    struct pc_conn *reserved, *pending, *exclusive;
    uint8_t *regions[PC_REGIONS];
    int region_count, shm_refs;
    int slots[SQLITE_SHM_NLOCK]; /* > 0: that many shared; -1: exclusive */
};
enum pc_fault_kind { PC_FAIL_WRITE = 1, PC_FAIL_SYNC = 2, PC_FAIL_READ = 4, PC_FAIL_SHM = 8 };
struct pc_disk {
    sqlite3_vfs vfs;
    char vfs_name[32];
    struct pc_file files[PC_FILES];
    int file_count;
    bool record;
    struct pc_event *events;
    size_t event_count, event_room;
    unsigned fail_kinds;          /* of enum pc_fault_kind */
    uint64_t operations, fail_at; /* 0: never */
    bool fail_sticky;
    bool failed;
    int fail_errno;
};
struct pc_conn {
    sqlite3_file base;
    struct pc_disk *disk;
    int file;
    int lock;
    bool shm;
    uint16_t shared_mask, exclusive_mask;
};

static inline struct pc_file *pc_file_of(struct pc_conn *c) { return &c->disk->files[c->file]; }

static inline void *pc_grow(void *old, size_t size)
{
    void *grown = realloc(old, size);
    if (grown == NULL)
        abort();
    return grown;
}

static inline void pc_image_write(struct pc_image *i, const void *data, size_t size, size_t offset)
{
    if (size == 0)
        return;
    if (offset + size > i->room) {
        i->room = (offset + size) * 2;
        i->data = pc_grow(i->data, i->room);
    }
    if (offset > i->size)
        memset(i->data + i->size, 0, offset - i->size);
    memcpy(i->data + offset, data, size);
    if (offset + size > i->size)
        i->size = offset + size;
    i->exists = true;
}

static inline void pc_image_truncate(struct pc_image *i, size_t size)
{
    i->exists = true;
    if (size < i->size)
        i->size = size;
}

static inline void pc_image_copy(struct pc_image *to, const struct pc_image *from)
{
    to->exists = from->exists;
    to->size = 0;
    pc_image_write(to, from->data, from->size, 0);
    to->exists = from->exists;
}

static inline void pc_apply(struct pc_image *i, const struct pc_event *e)
{
    switch (e->type) {
    case PC_WRITE: pc_image_write(i, e->data, e->size, e->offset); break;
    case PC_TRUNCATE: pc_image_truncate(i, e->size); break;
    case PC_DELETE:
        i->exists = false;
        i->size = 0;
        break;
    case PC_SYNC: break;
    }
}

static inline void pc_record(struct pc_disk *d, enum pc_type type, int file, const void *data, size_t size, size_t offset)
{
    if (!d->record)
        return;
    if (d->event_count == d->event_room) {
        d->event_room = d->event_room == 0 ? 1024 : d->event_room * 2;
        d->events = pc_grow(d->events, d->event_room * sizeof *d->events);
    }
    struct pc_event *e = &d->events[d->event_count++];
    *e = (struct pc_event){type, file, offset, size, NULL};
    if (type == PC_WRITE) {
        e->data = pc_grow(NULL, size);
        memcpy(e->data, data, size);
    }
}

/* true: this operation is the one that fails. */
static inline bool pc_fails(struct pc_disk *d, enum pc_fault_kind kind)
{
    if ((d->fail_kinds & (unsigned)kind) == 0 || d->fail_at == 0)
        return false;
    d->operations++;
    bool fails = d->operations == d->fail_at || (d->fail_sticky && d->operations > d->fail_at);
    d->failed = d->failed || fails;
    return fails;
}

static inline int pc_read(sqlite3_file *base, void *to, int amount, sqlite3_int64 offset)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    const struct pc_image *i = &pc_file_of(c)->now;
    size_t at = (size_t)offset, want = (size_t)amount, have = at < i->size ? i->size - at : 0;
    if (pc_fails(c->disk, PC_FAIL_READ))
        return SQLITE_IOERR_READ;
    size_t size = have < want ? have : want;
    if (size > 0)
        memcpy(to, i->data + at, size);
    if (size == want)
        return SQLITE_OK;
    memset((uint8_t *)to + size, 0, want - size);
    return SQLITE_IOERR_SHORT_READ;
}

static inline int pc_write(sqlite3_file *base, const void *from, int amount, sqlite3_int64 offset)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    bool fails = pc_fails(c->disk, PC_FAIL_WRITE);
    size_t size = fails ? (size_t)amount / 2 : (size_t)amount; /* a write that fails may have written a part */
    pc_image_write(&pc_file_of(c)->now, from, size, (size_t)offset);
    if (size > 0)
        pc_record(c->disk, PC_WRITE, c->file, from, size, (size_t)offset);
    if (!fails)
        return SQLITE_OK;
    return c->disk->fail_errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static inline int pc_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    if (pc_fails(c->disk, PC_FAIL_WRITE))
        return SQLITE_IOERR_TRUNCATE;
    pc_image_truncate(&pc_file_of(c)->now, (size_t)size);
    pc_record(c->disk, PC_TRUNCATE, c->file, NULL, (size_t)size, 0);
    return SQLITE_OK;
}

static inline int pc_sync(sqlite3_file *base, int flags)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    (void)flags;
    if (pc_fails(c->disk, PC_FAIL_SYNC))
        return SQLITE_IOERR_FSYNC; /* the pages are now called clean: a second sync would say OK */
    pc_record(c->disk, PC_SYNC, c->file, NULL, 0, 0);
    return SQLITE_OK;
}

static inline int pc_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    *ret_size = (sqlite3_int64)pc_file_of((struct pc_conn *)(void *)base)->now.size;
    return SQLITE_OK;
}

static inline int pc_unlock(sqlite3_file *base, int level)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    struct pc_file *f = pc_file_of(c);
    if (level >= c->lock)
        return SQLITE_OK;
    if (f->exclusive == c)
        f->exclusive = NULL;
    if (f->pending == c)
        f->pending = NULL;
    if (f->reserved == c)
        f->reserved = NULL;
    if (level == SQLITE_LOCK_NONE)
        f->shared--;
    c->lock = level;
    return SQLITE_OK;
}

static inline int pc_lock(sqlite3_file *base, int level)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    struct pc_file *f = pc_file_of(c);
    if (c->lock >= level)
        return SQLITE_OK;
    if ((f->exclusive != NULL && f->exclusive != c) || (f->pending != NULL && f->pending != c))
        return SQLITE_BUSY;
    if (level == SQLITE_LOCK_SHARED) {
        f->shared++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        if (f->reserved != NULL)
            return SQLITE_BUSY;
        f->reserved = c;
    } else {
        if ((f->reserved != NULL && f->reserved != c) || f->shared > 1)
            return SQLITE_BUSY;
        f->reserved = f->pending = f->exclusive = c;
    }
    c->lock = level;
    return SQLITE_OK;
}

static inline int pc_check_reserved(sqlite3_file *base, int *ret_reserved)
{
    *ret_reserved = pc_file_of((struct pc_conn *)(void *)base)->reserved != NULL;
    return SQLITE_OK;
}

static inline int pc_control(sqlite3_file *base, int operation, void *argument)
{
    if (operation == SQLITE_FCNTL_LAST_ERRNO) {
        *(int *)argument = ((struct pc_conn *)(void *)base)->disk->fail_errno;
        return SQLITE_OK;
    }
    if (operation == SQLITE_FCNTL_PERSIST_WAL) {
        if (*(int *)argument < 0)
            *(int *)argument = 1;
        return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}

static inline int pc_sector(sqlite3_file *base)
{
    (void)base;
    return PC_SECTOR;
}
static inline int pc_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static inline int pc_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **ret)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    struct pc_file *f = pc_file_of(c);
    if (!c->shm) {
        c->shm = true;
        f->shm_refs++;
    }
    *ret = NULL;
    if (region >= PC_REGIONS)
        return SQLITE_NOMEM;
    if (region >= f->region_count && !extend)
        return SQLITE_OK;
    while (f->region_count <= region) {
        if (pc_fails(c->disk, PC_FAIL_SHM))
            return SQLITE_IOERR_SHMSIZE;
        f->regions[f->region_count] = pc_grow(NULL, (size_t)size);
        memset(f->regions[f->region_count++], 0, (size_t)size);
    }
    *ret = f->regions[region];
    return SQLITE_OK;
}

static inline int pc_shm_lock(sqlite3_file *base, int first, int count, int flags)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    struct pc_file *f = pc_file_of(c);
    uint16_t mask = (uint16_t)(((1U << (first + count)) - 1) & ~((1U << first) - 1));
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        for (int i = first; i < first + count; i++) {
            if ((c->exclusive_mask & (1U << i)) != 0)
                f->slots[i] = 0;
            else if ((c->shared_mask & (1U << i)) != 0)
                f->slots[i]--;
        }
        c->exclusive_mask = (uint16_t)(c->exclusive_mask & ~mask);
        c->shared_mask = (uint16_t)(c->shared_mask & ~mask);
        return SQLITE_OK;
    }
    for (int i = first; i < first + count; i++) {
        bool mine = ((c->shared_mask | c->exclusive_mask) & (1U << i)) != 0;
        if (!mine && (exclusive ? f->slots[i] != 0 : f->slots[i] < 0))
            return SQLITE_BUSY;
    }
    for (int i = first; i < first + count; i++) {
        if (((c->shared_mask | c->exclusive_mask) & (1U << i)) == 0)
            f->slots[i] = exclusive ? -1 : f->slots[i] + 1;
    }
    if (exclusive)
        c->exclusive_mask |= mask;
    else
        c->shared_mask |= mask;
    return SQLITE_OK;
}

static inline void pc_shm_barrier(sqlite3_file *base)
{
    (void)base;
    __sync_synchronize();
}

/* The index does not outlive its last user: the next one recovers from the WAL, as after a start. */
static inline int pc_shm_unmap(sqlite3_file *base, int delete_it)
{
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    struct pc_file *f = pc_file_of(c);
    (void)delete_it;
    if (!c->shm)
        return SQLITE_OK;
    (void)pc_shm_lock(base, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    c->shm = false;
    if (--f->shm_refs > 0)
        return SQLITE_OK;
    while (f->region_count > 0)
        free(f->regions[--f->region_count]);
    memset(f->slots, 0, sizeof f->slots);
    return SQLITE_OK;
}

static inline int pc_close(sqlite3_file *base)
{
    (void)pc_unlock(base, SQLITE_LOCK_NONE);
    return pc_shm_unmap(base, 0);
}

static const sqlite3_io_methods pc_methods = {
    .iVersion = 2,
    .xClose = pc_close,
    .xRead = pc_read,
    .xWrite = pc_write,
    .xTruncate = pc_truncate,
    .xSync = pc_sync,
    .xFileSize = pc_size,
    .xLock = pc_lock,
    .xUnlock = pc_unlock,
    .xCheckReservedLock = pc_check_reserved,
    .xFileControl = pc_control,
    .xSectorSize = pc_sector,
    .xDeviceCharacteristics = pc_characteristics,
    .xShmMap = pc_shm_map,
    .xShmLock = pc_shm_lock,
    .xShmBarrier = pc_shm_barrier,
    .xShmUnmap = pc_shm_unmap,
};

static inline int pc_find(struct pc_disk *d, const char *name, bool make)
{
    for (int i = 0; i < d->file_count; i++) {
        if (strcmp(d->files[i].name, name) == 0)
            return i;
    }
    if (!make || d->file_count == PC_FILES)
        return -1;
    (void)snprintf(d->files[d->file_count].name, sizeof d->files[0].name, "%s", name);
    return d->file_count++;
}

static inline int pc_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
    struct pc_disk *d = vfs->pAppData;
    struct pc_conn *c = (struct pc_conn *)(void *)base;
    bool create = (flags & SQLITE_OPEN_CREATE) != 0;
    int file = pc_find(d, name == NULL ? "temporary" : name, create);
    memset(c, 0, sizeof *c);
    if (file < 0 || (!d->files[file].now.exists && !create))
        return SQLITE_CANTOPEN;
    d->files[file].now.exists = true;
    c->base.pMethods = &pc_methods;
    c->disk = d;
    c->file = file;
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static inline int pc_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
    struct pc_disk *d = vfs->pAppData;
    int file = pc_find(d, name, false);
    if (file < 0 || !d->files[file].now.exists)
        return SQLITE_IOERR_DELETE_NOENT;
    d->files[file].now.exists = false;
    d->files[file].now.size = 0;
    pc_record(d, PC_DELETE, file, NULL, 0, 0);
    if (sync_directory)
        pc_record(d, PC_SYNC, file, NULL, 0, 0);
    return SQLITE_OK;
}

static inline int pc_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_there)
{
    struct pc_disk *d = vfs->pAppData;
    int file = pc_find(d, name, false);
    (void)flags;
    *ret_there = file >= 0 && d->files[file].now.exists && (flags != SQLITE_ACCESS_EXISTS || d->files[file].now.size > 0);
    return SQLITE_OK;
}

static inline int pc_full_path(sqlite3_vfs *vfs, const char *name, int room, char *ret)
{
    (void)vfs;
    (void)snprintf(ret, (size_t)room, "%s", name);
    return SQLITE_OK;
}

static inline int pc_random(sqlite3_vfs *vfs, int size, char *ret)
{
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    (void)vfs;
    return real->xRandomness(real, size, ret);
}
static inline int pc_sleep(sqlite3_vfs *vfs, int usec)
{
    (void)vfs;
    return usec;
}
static inline int pc_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    *ret = 2460000.5;
    return SQLITE_OK;
}
static inline int pc_last_error(sqlite3_vfs *vfs, int room, char *text)
{
    (void)room;
    (void)text;
    return ((struct pc_disk *)vfs->pAppData)->fail_errno;
}

/* Zeroes the disk and registers it as a VFS by that name. It must stay where it is until pc_fini(). */
static inline void pc_init(struct pc_disk *d, const char *vfs_name)
{
    memset(d, 0, sizeof *d);
    (void)snprintf(d->vfs_name, sizeof d->vfs_name, "%s", vfs_name);
    d->vfs = (sqlite3_vfs){.iVersion = 1,
                           .szOsFile = sizeof(struct pc_conn),
                           .mxPathname = 200,
                           .zName = d->vfs_name,
                           .pAppData = d,
                           .xOpen = pc_open,
                           .xDelete = pc_delete,
                           .xAccess = pc_access,
                           .xFullPathname = pc_full_path,
                           .xRandomness = pc_random,
                           .xSleep = pc_sleep,
                           .xCurrentTime = pc_time,
                           .xGetLastError = pc_last_error};
    if (sqlite3_vfs_register(&d->vfs, 0) != SQLITE_OK)
        abort();
}

static inline void pc_fini(struct pc_disk *d)
{
    (void)sqlite3_vfs_unregister(&d->vfs);
    for (int i = 0; i < d->file_count; i++) {
        free(d->files[i].now.data);
        while (d->files[i].region_count > 0)
            free(d->files[i].regions[--d->files[i].region_count]);
    }
    for (size_t i = 0; i < d->event_count; i++)
        free(d->events[i].data);
    free(d->events);
}

/* xorshift64*: seeded, the same everywhere. */
static inline uint64_t pc_next(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

/* What is surely on the disk at an event number that only grows, and per file what is not yet. */
struct pc_base {
    struct pc_image images[PC_FILES];
    size_t *pending[PC_FILES];
    size_t pending_count[PC_FILES], pending_room[PC_FILES];
    size_t at;
};

static inline void pc_base_fini(struct pc_base *b)
{
    for (int i = 0; i < PC_FILES; i++) {
        free(b->images[i].data);
        free(b->pending[i]);
    }
}

static inline void pc_base_advance(struct pc_base *b, const struct pc_disk *d, size_t at)
{
    for (; b->at < at; b->at++) {
        const struct pc_event *e = &d->events[b->at];
        int f = e->file;
        if (e->type == PC_SYNC) {
            b->images[f].exists = true;
            for (size_t i = 0; i < b->pending_count[f]; i++)
                pc_apply(&b->images[f], &d->events[b->pending[f][i]]);
            b->pending_count[f] = 0;
            continue;
        }
        if (b->pending_count[f] == b->pending_room[f]) {
            b->pending_room[f] = b->pending_room[f] * 2 + 64;
            b->pending[f] = pc_grow(b->pending[f], b->pending_room[f] * sizeof(size_t));
        }
        b->pending[f][b->pending_count[f]++] = b->at;
    }
}

static inline void pc_apply_torn(struct pc_image *i, const struct pc_event *e, uint64_t *seed)
{
    for (size_t at = 0; at < e->size;) {
        size_t piece = PC_SECTOR - (e->offset + at) % PC_SECTOR;
        if (piece > e->size - at)
            piece = e->size - at;
        if ((pc_next(seed) & 1) != 0)
            pc_image_write(i, e->data + at, piece, e->offset + at);
        at += piece;
    }
}

/* Makes the files of `to` what a power cut at the base's event number may have left of those of `from`. */
static inline void pc_cut(const struct pc_base *b, const struct pc_disk *from, struct pc_disk *to, uint64_t *seed)
{
    static const unsigned chances[] = {0, 20, 50, 80, 100}; /* percent of unsynced events that got through */
    unsigned chance = chances[pc_next(seed) % 5], torn = (unsigned)(pc_next(seed) % 3) * 30;
    to->file_count = from->file_count;
    for (int f = 0; f < from->file_count; f++) {
        struct pc_file *file = &to->files[f];
        memcpy(file->name, from->files[f].name, sizeof file->name);
        pc_image_copy(&file->now, &b->images[f]);
        for (size_t i = 0; i < b->pending_count[f]; i++) {
            const struct pc_event *e = &from->events[b->pending[f][i]];
            if (pc_next(seed) % 100 >= chance)
                continue;
            if (e->type == PC_WRITE && pc_next(seed) % 100 < torn)
                pc_apply_torn(&file->now, e, seed);
            else
                pc_apply(&file->now, e);
        }
    }
}
#endif
