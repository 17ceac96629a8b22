/*
 * Anchors as files of a directory, e.g. on a disk of another machine. 1. A name appears only after its bytes are on the disk, and never
 * again with others: temporary file, fsync, rename that replaces nothing, fsync of the directory. 2. No link is followed, nothing but
 * regular files is read.
 * 3. Two origins may share a name ('/' becomes '_'); the first line of the note tells whose it is.
 */
#include "anchor/anchor.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX    ".checkpoint"
#define DIGITS    20 /* of a uint64_t, with leading zeros: names sort by size */
#define NAME_ROOM (IFAB_ANCHOR_ORIGIN_MAX + 1 + DIGITS + sizeof SUFFIX)

struct directory {
    struct ifab_anchor base;
    int fd; /* of the directory: it stays the same one if the path comes to mean another */
};

static struct directory *of(struct ifab_anchor *base) { return (struct directory *)(void *)base; }

static ifab_status system_fail(int cause, const char *what, struct ifab_error *err)
{
    ifab_status status = cause == ENOSPC || cause == EDQUOT                                      ? IFAB_FULL
                         : cause == EACCES || cause == EPERM || cause == EROFS || cause == ELOOP ? IFAB_DENIED
                         : cause == ENOENT || cause == ENOTDIR                                   ? IFAB_NOT_FOUND
                                                                                                 : IFAB_IO;
    return ifab_fail(err, status, "anchor: cannot %s: %s", what, strerror(cause));
}

/* With '/' as '_' a name is one component, and the tail keeps it from being "." or "..". */
static void name_of(struct ifab_view origin, uint64_t size, char ret_name[NAME_ROOM])
{
    for (size_t i = 0; i < origin.size; i++)
        ret_name[i] = origin.data[i] == '/' ? '_' : (char)origin.data[i];
    (void)snprintf(ret_name + origin.size, NAME_ROOM - origin.size, "-%020llu" SUFFIX, (unsigned long long)size);
}

/* The size a file name tells, if it is a name of this origin. */
static bool size_of(const char *name, struct ifab_view origin, uint64_t *ret_size)
{
    char whole[NAME_ROOM];
    uint64_t size = 0;
    if (strlen(name) != origin.size + 1 + DIGITS + sizeof SUFFIX - 1)
        return false;
    for (const char *p = name + origin.size + 1, *end = p + DIGITS; p < end; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, (unsigned)(*p - '0'), &size))
            return false;
    }
    name_of(origin, size, whole);
    if (strcmp(name, whole) != 0)
        return false;
    *ret_size = size;
    return true;
}

static bool read_all(int fd, uint8_t *to, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = read(fd, to + at, size - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return false;
        }
        at += (size_t)got;
    }
    return true;
}

static bool write_all(int fd, struct ifab_view v)
{
    for (size_t at = 0; at < v.size;) {
        ssize_t put = write(fd, v.data + at, v.size - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += (size_t)put;
    }
    return true;
}

/* 0, or an errno: ENOENT, ELOOP, EINVAL for what is no regular file of a fitting size. The note is freed by the caller. */
static int read_note(int directory, const char *name, uint8_t **ret_note, size_t *ret_size)
{
    struct stat st;
    int cause = 0, fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    uint8_t *note = NULL;
    if (fd < 0)
        return errno;
    if (fstat(fd, &st) != 0)
        cause = errno;
    else if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > IFAB_ANCHOR_NOTE_MAX)
        cause = EINVAL;
    else if ((note = ifab_malloc((size_t)st.st_size)) == NULL)
        cause = ENOMEM;
    else if (!read_all(fd, note, (size_t)st.st_size))
        cause = errno;
    (void)close(fd);
    if (cause != 0) {
        ifab_free(note);
        return cause;
    }
    *ret_note = note;
    *ret_size = (size_t)st.st_size;
    return 0;
}

static ifab_status sync_at(int directory, const char *name, struct ifab_error *err)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int rc = fd < 0 ? -1 : fsync(fd), cause = errno;
    if (fd >= 0)
        (void)close(fd);
    return rc == 0 ? IFAB_OK : system_fail(cause, "sync", err);
}

/* IFAB_NOT_FOUND: no such file. IFAB_OK: the same bytes are there, durably: an earlier put may have been cut short before its last fsync.
 */
static ifab_status compare(int directory, const char *name, struct ifab_view note, struct ifab_error *err)
{
    uint8_t *there = NULL;
    size_t size = 0;
    int cause = read_note(directory, name, &there, &size);
    if (cause == ENOENT)
        return IFAB_NOT_FOUND;
    if (cause == ENOMEM)
        return ifab_fail(err, IFAB_NOMEM, "anchor");
    if (cause == EINVAL)
        return ifab_fail(err, IFAB_CONFLICT, "anchor: %s is no checkpoint", name);
    if (cause != 0)
        return system_fail(cause, name, err);
    bool same = ifab_view_equal(ifab_view_of(there, size), note);
    ifab_free(there);
    if (!same)
        return ifab_fail(err, IFAB_CONFLICT, "anchor: %s is kept with other content", name);
    IFAB_TRY(sync_at(directory, name, err));
    return sync_at(directory, ".", err);
}

/* Gives a finished file its name, never an existing one's. EEXIST: somebody was faster. */
static int give_name(int directory, const char *temporary, const char *name)
{
    if (renameat2(directory, temporary, directory, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* a file system without it: a link does not replace either */
    return linkat(directory, temporary, directory, name, 0) == 0 ? 0 : errno;
}

static ifab_status write_new(int directory, const char *name, struct ifab_view note, struct ifab_error *err)
{
    uint64_t random = 0;
    char temporary[40];
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return ifab_fail(err, IFAB_IO, "anchor: no random bytes");
    (void)snprintf(temporary, sizeof temporary, ".anchor-%016llx.tmp", (unsigned long long)random);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return system_fail(errno, "make a file", err);
    ifab_status status = IFAB_OK;
    if (!write_all(fd, note) || fsync(fd) != 0)
        status = system_fail(errno, "write", err);
    if (close(fd) != 0 && status == IFAB_OK)
        status = system_fail(errno, "write", err);
    int cause = status == IFAB_OK ? give_name(directory, temporary, name) : 0;
    (void)unlinkat(directory, temporary, 0); /* gone already after a rename */
    if (cause == EEXIST)
        return compare(directory, name, note, err);
    if (cause != 0)
        return system_fail(cause, "name the file", err);
    return status == IFAB_OK ? sync_at(directory, ".", err) : status;
}

static ifab_status directory_put(struct ifab_anchor *base, struct ifab_view origin, uint64_t size, struct ifab_view note,
                                 struct ifab_error *err)
{
    char name[NAME_ROOM];
    name_of(origin, size, name);
    ifab_status status = compare(of(base)->fd, name, note, err);
    return status == IFAB_NOT_FOUND ? write_new(of(base)->fd, name, note, err) : status;
}

struct sizes {
    uint64_t *items; /* owned */
    size_t count, room;
};

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static ifab_status collect(DIR *d, struct ifab_view origin, struct sizes *sizes, struct ifab_error *err)
{
    const struct dirent *e;
    uint64_t size = 0;
    while (errno = 0, (e = readdir(d)) != NULL) {
        if (!size_of(e->d_name, origin, &size))
            continue;
        if (sizes->count == sizes->room) {
            size_t room = sizes->room * 2 + 64;
            uint64_t *grown = ifab_realloc(sizes->items, room * sizeof *grown);
            if (grown == NULL)
                return ifab_fail(err, IFAB_NOMEM, "anchor: list");
            sizes->items = grown;
            sizes->room = room;
        }
        sizes->items[sizes->count++] = size;
    }
    if (errno != 0)
        return system_fail(errno, "list", err);
    if (sizes->count > 0)
        qsort(sizes->items, sizes->count, sizeof *sizes->items, by_size);
    return IFAB_OK;
}

/* From the newest on; fills ret_items from its end and then moves them to its beginning. */
static ifab_status take_newest(int directory, struct ifab_view origin, const struct sizes *sizes, size_t max, struct ifab_arena *arena,
                               struct ifab_anchor_item *ret_items, size_t *ret_count, struct ifab_error *err)
{
    size_t count = 0;
    for (size_t i = sizes->count; i > 0 && count < max; i--) {
        char name[NAME_ROOM];
        uint8_t *bytes = NULL;
        size_t size = 0;
        name_of(origin, sizes->items[i - 1], name);
        int cause = read_note(directory, name, &bytes, &size);
        if (cause == ENOMEM)
            return ifab_fail(err, IFAB_NOMEM, "anchor: list");
        struct ifab_view note = ifab_view_of(bytes, size), kept;
        if (cause != 0 || size == 0 || memchr(bytes, '\n', size) == NULL) { /* an anchor that cannot be read must not look like none */
            ifab_free(bytes);
            return ifab_fail(err, IFAB_CORRUPT, "anchor %s: %s", name, cause != 0 ? strerror(cause) : "no note");
        }
        if (size <= origin.size || !ifab_view_starts(note, origin) || bytes[origin.size] != '\n') {
            ifab_free(bytes); /* of another origin that maps to the same name */
            continue;
        }
        ifab_status status = ifab_arena_copy(arena, note, &kept);
        ifab_free(bytes);
        if (status != IFAB_OK)
            return ifab_fail(err, status, "anchor: list");
        count++;
        ret_items[max - count] = (struct ifab_anchor_item){sizes->items[i - 1], kept};
    }
    memmove(ret_items, ret_items + (max - count), count * sizeof *ret_items);
    *ret_count = count;
    return IFAB_OK;
}

static ifab_status directory_list(struct ifab_anchor *base, struct ifab_view origin, size_t max, struct ifab_arena *arena,
                                  struct ifab_anchor_item *ret_items, size_t *ret_count, struct ifab_error *err)
{
    struct directory *self = of(base);
    struct sizes sizes = {NULL, 0, 0};
    struct stat st;
    if (fstat(self->fd, &st) != 0)
        return system_fail(errno, "look at the directory", err);
    if (st.st_nlink == 0) /* it would list as empty */
        return ifab_fail(err, IFAB_NOT_FOUND, "anchor: the directory was removed");
    int fd = openat(self->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        int cause = errno;
        if (fd >= 0)
            (void)close(fd);
        return system_fail(cause, "list", err);
    }
    ifab_status status = collect(d, origin, &sizes, err);
    (void)closedir(d);
    if (status == IFAB_OK)
        status = take_newest(self->fd, origin, &sizes, max, arena, ret_items, ret_count, err);
    ifab_free(sizes.items);
    return status;
}

static void directory_close(struct ifab_anchor *base)
{
    (void)close(of(base)->fd);
    ifab_free(base);
}

static const struct ifab_anchor_ops directory_ops = {IFAB_ANCHOR_ABI, "directory", directory_put, directory_list, directory_close};

ifab_status ifab_anchor_directory_open(const char *path, struct ifab_anchor **ret_anchor, struct ifab_error *err)
{
    if (path == NULL || path[0] == '\0' || ret_anchor == NULL)
        return ifab_fail(err, IFAB_INVALID, "anchor: no path");
    struct directory *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "anchor");
    self->base.ops = &directory_ops;
    self->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->fd < 0) {
        int cause = errno;
        ifab_free(self);
        return system_fail(cause, path, err);
    }
    *ret_anchor = &self->base;
    return IFAB_OK;
}
