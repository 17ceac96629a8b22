/* Reading what is to be verified: regular files only, bounded, never through a symbolic link at the end of a path. And the report's words.
 */
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(__printf__, 3, 0))) static bool words(char *text, size_t room, const char *format, va_list args)
{
    if (text[0] == '\0') /* the first cause is the one that counts */
        (void)vsnprintf(text, room, format, args);
    return false;
}

bool ifab_verify__broken(struct ifab_verify_report *report, const char *format, ...)
{
    va_list args;

    report->intact = false;
    va_start(args, format);
    words(report->integrity, sizeof report->integrity, format, args);
    va_end(args);
    return false;
}

bool ifab_verify__broken_at(struct ifab_verify_report *report, uint64_t index, const char *format, ...)
{
    va_list args;

    if (report->intact) {
        report->has_bad_index = true;
        report->bad_index = index;
    }
    report->intact = false;
    va_start(args, format);
    words(report->integrity, sizeof report->integrity, format, args);
    va_end(args);
    return false;
}

bool ifab_verify__distrust(struct ifab_verify_report *report, const char *format, ...)
{
    va_list args;

    report->trusted = false;
    va_start(args, format);
    words(report->trust, sizeof report->trust, format, args);
    va_end(args);
    return false;
}

static ifab_status read_all(int fd, size_t max, struct ifab_buf *buf, struct ifab_error *err)
{
    struct stat st;
    size_t want;

    if (fstat(fd, &st) != 0)
        return ifab_fail(err, IFAB_IO, "cannot stat: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ifab_fail(err, IFAB_INVALID, "not a regular file");
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return ifab_fail(err, IFAB_TOO_LARGE, "larger than %zu bytes", max);
    want = (size_t)st.st_size;
    ifab_buf_clear(buf);
    if (ifab_buf_reserve(buf, want + 1) != IFAB_OK) /* one more: a file that grows meanwhile is seen */
        return ifab_fail(err, IFAB_NOMEM, "no memory for a file of %zu bytes", want);
    while (buf->size <= want) {
        ssize_t got = read(fd, buf->data + buf->size, want + 1 - buf->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ifab_fail(err, IFAB_IO, "cannot read: %s", strerror(errno));
        if (got == 0)
            break;
        buf->size += (size_t)got;
    }
    if (buf->size != want)
        return ifab_fail(err, IFAB_IO, "changed while it was read");
    return IFAB_OK;
}

ifab_status ifab_verify__file(int dir_fd, const char *path, size_t max, struct ifab_buf *buf, struct ifab_error *err)
{
    /* O_NONBLOCK: a FIFO does not hold us before it is refused */
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ifab_status status;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return IFAB_NOT_FOUND; /* the caller knows what its absence means */
    if (fd < 0 && errno == ELOOP)
        return ifab_fail(err, IFAB_INVALID, "%s: a symbolic link", path);
    if (fd < 0)
        return ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
    status = read_all(fd, max, buf, err);
    close(fd);
    return status;
}

ifab_status ifab_verify_read_file(const char *path, size_t max, struct ifab_view *ret_bytes, struct ifab_error *err)
{
    struct ifab_buf buf = IFAB_BUF_INIT(max + 1);
    ifab_status status = ifab_verify__file(AT_FDCWD, path, max, &buf, err);

    if (status != IFAB_OK) {
        ifab_buf_fini(&buf);
        return ifab_fail(err, status, "no such file");
    }
    *ret_bytes = ifab_buf_as_view(&buf); /* moved: buf held nothing but these bytes */
    return IFAB_OK;
}

struct ifab_view ifab_verify__text(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};

    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}
