/* Small files of the directory: read whole with a bound, written new, 0600, durable. Symbolic links are not followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"

ifab_status node_read_file(const char *path, size_t max, struct ifab_buf *buf, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ifab_fail(err, errno == ENOENT ? IFAB_NOT_FOUND : IFAB_DENIED, "%s: %s", path, strerror(errno));
    uint8_t chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 && buf->size <= max)
        ifab_buf_put(buf, chunk, (size_t)n);
    close(fd);
    memset(chunk, 0, sizeof chunk);
    if (n < 0)
        return ifab_fail(err, IFAB_IO, "%s: cannot be read", path);
    if (buf->size > max || ifab_buf_status(buf) != IFAB_OK)
        return ifab_fail(err, IFAB_TOO_LARGE, "%s: larger than %zu bytes", path, max);
    return IFAB_OK;
}

ifab_status node_sync_dir(const char *path, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0;
    if (fd >= 0)
        close(fd);
    return bad ? ifab_fail(err, IFAB_IO, "%s: cannot be made durable: %s", path, strerror(errno)) : IFAB_OK;
}

ifab_status node_write_file(const char *path, struct ifab_view bytes, unsigned mode, struct ifab_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return ifab_fail(err, errno == EEXIST ? IFAB_CONFLICT : errno == ENOSPC ? IFAB_FULL : IFAB_DENIED, "%s: %s", path, strerror(errno));
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t n = write(fd, bytes.data + done, bytes.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    bool good = done == bytes.size && fsync(fd) == 0;
    int saved = errno;
    close(fd);
    if (!good) {
        unlink(path);
        return ifab_fail(err, saved == ENOSPC ? IFAB_FULL : IFAB_IO, "%s: %s", path, strerror(saved));
    }
    return IFAB_OK;
}

#define DISCARD_DEPTH 8 /* ours are three deep */

static void empty(int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int below = depth > 0 ? openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (below >= 0)
            empty(below, depth - 1);
        (void)unlinkat(dirfd(dir), e->d_name, below >= 0 ? AT_REMOVEDIR : 0);
    }
    closedir(dir);
}

void node_discard(const char *directory, bool itself)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        empty(fd, DISCARD_DEPTH);
    if (itself)
        (void)rmdir(directory);
}
