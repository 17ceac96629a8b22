/* openat2 below one root: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV. */
#include "module/module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto/crypto.h"

#define PATH_BYTES 1024
#define OPEN_TRIES 64

void ifab_module_fini(struct ifab_module_file *file) { ifab_buf_fini(&file->bytes); }

/* Nobody but us and root may change it. */
static ifab_status check_owner(const struct stat *st, const char *what, struct ifab_error *err)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return ifab_fail(err, IFAB_DENIED, "%s belongs to uid %u, neither to root nor to ifd's own user", what, st->st_uid);
    if ((st->st_mode & 022) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s may be written by others (mode %03o): chmod go-w", what, (unsigned)st->st_mode & 0777U);
    return IFAB_OK;
}

static ifab_status open_failed(int error, const char *path, struct ifab_error *err)
{
    if (error == ELOOP || error == EXDEV)
        return ifab_fail(err, IFAB_DENIED, "%s: leads through a link or out of the folder of modules", path);
    if (error == ENOENT || error == ENOTDIR)
        return ifab_fail(err, IFAB_NOT_FOUND, "%s: no such file in the folder of modules", path);
    if (error == ENOSYS)
        return ifab_fail(err, IFAB_UNSUPPORTED, "this kernel has no openat2: Linux 5.6 or later is needed");
    return ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(error));
}

static ifab_status open_below(const char *root, const char *path, int *ret_fd, struct ifab_error *err)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    struct stat st;
    int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return ifab_fail(err, errno == ENOENT ? IFAB_NOT_FOUND : IFAB_DENIED, "%s: %s; it is where modules are (capabilities.dir)", root,
                         strerror(errno));
    ifab_status status = fstat(dir, &st) == 0 ? check_owner(&st, root, err) : ifab_fail(err, IFAB_IO, "%s: %s", root, strerror(errno));
    long fd = -1;
    if (status == IFAB_OK) {
        for (int tries = 0; tries < OPEN_TRIES && fd < 0; tries++) {
            fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
            if (fd < 0 && errno != EAGAIN && errno != EINTR) /* EAGAIN: something was renamed under it */
                break;
        }
        if (fd < 0)
            status = open_failed(errno, path, err);
    }
    close(dir);
    *ret_fd = (int)fd;
    return status;
}

/* All of it, and no more than it had when it was opened. */
static ifab_status read_all(int fd, const char *path, size_t size, struct ifab_module_file *file, struct ifab_error *err)
{
    uint8_t chunk[65536];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
        if (got == 0)
            break;
        ifab_buf_put(&file->bytes, chunk, (size_t)got);
        if (ifab_buf_status(&file->bytes) != IFAB_OK)
            return ifab_fail(err, ifab_buf_status(&file->bytes) == IFAB_NOMEM ? IFAB_NOMEM : IFAB_IO, "%s: grew while it was read, or no memory",
                             path);
    }
    if (file->bytes.size != size)
        return ifab_fail(err, IFAB_IO, "%s: changed while it was read", path);
    ifab_sha256(ifab_buf_as_view(&file->bytes), file->sha256);
    return IFAB_OK;
}

ifab_status ifab_module_read(const char *root, struct ifab_view path, size_t max, struct ifab_module_file *ret_file, struct ifab_error *err)
{
    char name[PATH_BYTES];
    struct stat st;
    int fd = -1;
    if (path.size == 0 || path.size >= sizeof name || memchr(path.data, '\0', path.size) != NULL)
        return ifab_fail(err, IFAB_NOT_FOUND, "not a path of a module");
    memcpy(name, path.data, path.size);
    name[path.size] = '\0';
    IFAB_TRY(open_below(root, name, &fd, err));
    ifab_status status = fstat(fd, &st) == 0 ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: %s", name, strerror(errno));
    if (status == IFAB_OK && !S_ISREG(st.st_mode))
        status = ifab_fail(err, IFAB_DENIED, "%s: not a plain file", name);
    if (status == IFAB_OK)
        status = check_owner(&st, name, err);
    if (status == IFAB_OK && (st.st_size < 0 || (uint64_t)st.st_size > max))
        status = ifab_fail(err, IFAB_TOO_LARGE, "%s: more than %zu bytes", name, max);
    struct ifab_module_file file = {.bytes = IFAB_BUF_INIT(status == IFAB_OK && st.st_size > 0 ? (size_t)st.st_size : 1)};
    if (status == IFAB_OK)
        status = read_all(fd, name, (size_t)st.st_size, &file, err);
    close(fd);
    if (status != IFAB_OK)
        ifab_module_fini(&file);
    else
        *ret_file = file;
    return status;
}
