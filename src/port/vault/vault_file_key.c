/* The key file, and what files of the vault have in common: modes, owners, durability. */
#include "vault_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_HEAD "IF-VAULT-KEY-1 "

ifab_status vault_errno(struct ifab_error *err, const char *path, int error)
{
    bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    bool denied = error == EACCES || error == EPERM || error == EROFS || error == ELOOP;
    return ifab_fail(err, full ? IFAB_FULL : denied ? IFAB_DENIED : IFAB_IO, "%s: %s", path, strerror(error));
}

ifab_status vault_sync_directory(const char *path, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return vault_errno(err, path, errno);
    int failed = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return failed == 0 ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: fsync: %s", path, strerror(failed));
}

static ifab_status check_file(int fd, const char *path, struct ifab_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return vault_errno(err, path, errno);
    if (!S_ISREG(st.st_mode))
        return ifab_fail(err, IFAB_DENIED, "%s is not a file", path);
    if (st.st_uid != geteuid())
        return ifab_fail(err, IFAB_DENIED, "%s belongs to uid %u, ifd runs as uid %u", path, st.st_uid, geteuid());
    if ((st.st_mode & 077) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s can be read by others (mode %03o): chmod 600 it", path, (unsigned)st.st_mode & 0777U);
    return IFAB_OK;
}

ifab_status vault_key_read(const char *path, uint8_t *ret_key32, struct ifab_error *err)
{
    uint8_t text[VAULT_KEY_TEXT + 1];
    const size_t head = sizeof KEY_HEAD - 1;
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? ifab_fail(err, IFAB_NOT_FOUND, "%s is not there", path) : vault_errno(err, path, errno);
    ifab_status status = check_file(fd, path, err);
    ssize_t got = status == IFAB_OK ? read(fd, text, sizeof text) : 0;
    close(fd);
    if (status == IFAB_OK &&
        (got != VAULT_KEY_TEXT || memcmp(text, KEY_HEAD, head) != 0 || text[VAULT_KEY_TEXT - 1] != '\n' ||
         ifab_base64url_decode(ifab_view_of(text + head, VAULT_KEY_TEXT - head - 1), ret_key32, 32, &size) != IFAB_OK || size != 32))
        status = ifab_fail(err, IFAB_INVALID, "%s is not a key of a vault", path);
    ifab_wipe(text, sizeof text);
    return status;
}

static ifab_status write_new(const char *path, struct ifab_view text, struct ifab_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) /* what a crash left */
        return vault_errno(err, path, errno);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return vault_errno(err, path, errno);
    errno = ENOSPC; /* of a short write */
    ifab_status status = write(fd, text.data, text.size) == (ssize_t)text.size ? IFAB_OK : vault_errno(err, path, errno);
    if (status == IFAB_OK && fsync(fd) != 0)
        status = ifab_fail(err, IFAB_IO, "%s: fsync: %s", path, strerror(errno));
    close(fd);
    return status;
}

/* Under another name first, so that a crash leaves no half of a key; link() puts it over none that is there. */
ifab_status vault_key_write(const char *path, const uint8_t *key32, struct ifab_error *err)
{
    char directory[1300], fresh[1300];
    struct ifab_buf text = IFAB_BUF_INIT(VAULT_KEY_TEXT);
    const char *slash = strrchr(path, '/');
    int n = snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    int m = snprintf(fresh, sizeof fresh, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof directory || m < 0 || (size_t)m >= sizeof fresh)
        return ifab_fail(err, IFAB_INVALID, "vault: path too long");
    (void)ifab_buf_reserve(&text, VAULT_KEY_TEXT);
    ifab_buf_str(&text, KEY_HEAD);
    ifab_buf_base64url(&text, key32, 32);
    ifab_buf_char(&text, '\n');
    ifab_status status =
        ifab_buf_status(&text) == IFAB_OK ? write_new(fresh, ifab_buf_as_view(&text), err) : ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
    if (status == IFAB_OK && link(fresh, path) != 0)
        status = errno == EEXIST ? ifab_fail(err, IFAB_CONFLICT, "%s is there already", path) : vault_errno(err, path, errno);
    (void)unlink(fresh);
    return status == IFAB_OK ? vault_sync_directory(directory[0] != '\0' ? directory : "/", err) : status;
}
