/* Files: bounded reads, durable writes, and starting ifd. No shell is ever involved. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool cli_path(char *to, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(to, size, format, args);
    va_end(args);
    return n >= 0 && (size_t)n < size;
}

int cli_file_failed(const struct cli *cli, const char *path, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return cli_stop(cli, EXIT_USAGE, "Check the name of the file and its directory.", "%s: No such file or directory", path);
    case EISDIR:
        return cli_stop(cli, EXIT_USAGE, "Name a file in it.", "%s: is a directory", path);
    case ENAMETOOLONG:
    case ELOOP:
        return cli_stop(cli, EXIT_USAGE, NULL, "%s: %s", path, strerror(error));
    case EEXIST:
    case ENOTEMPTY:
        return cli_stop(cli, 12, "Choose another name, or remove it.", "%s exists already", path);
    case EACCES:
    case EPERM:
        return cli_stop(cli, 10, "Look at owner and mode of the file and of the directories above it.", "%s: %s", path, strerror(error));
    case ENOSPC:
    case EDQUOT:
        return cli_stop(cli, EXIT_SYSTEM, "Free disk space.", "%s: %s", path, strerror(error));
    default:
        return cli_stop(cli, EXIT_SYSTEM, NULL, "%s: %s", path, strerror(error));
    }
}

int cli_read_input(struct cli *cli, const char *name, size_t limit, struct ifab_buf *buf)
{
    bool standard = name == NULL || strcmp(name, "-") == 0 || strcmp(name, "@-") == 0;
    if (name != NULL && name[0] == '@')
        name++;
    int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int code = 0;
    ifab_buf_init(buf, limit);
    if (fd < 0)
        return cli_file_failed(cli, name, errno);
    for (;;) {
        uint8_t chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            code = cli_file_failed(cli, standard ? "stdin" : name, errno);
            break;
        }
        ifab_buf_put(buf, chunk, (size_t)n);
        if (ifab_buf_status(buf) != IFAB_OK) {
            code = cli_stop(cli, EXIT_USAGE, NULL, "%s: more than %zu bytes", standard ? "stdin" : name, limit);
            break;
        }
    }
    if (!standard)
        close(fd);
    if (code != 0)
        ifab_buf_fini(buf);
    return code;
}

int cli_check_private(struct cli *cli, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) == 0)
        return 0;
    return cli_stop(cli, 10, "Let only its owner read it: chmod 600 FILE.", "%s may be read by others (mode %03o)", path,
                    (unsigned)st.st_mode & 0777U);
}

static bool write_all(int fd, struct ifab_view bytes)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.data += n;
        bytes.size -= (size_t)n;
    }
    return true;
}

int cli_may_make(struct cli *cli, const char *path)
{
    char directory[1200];
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (lstat(path, &st) == 0)
        return cli_file_failed(cli, path, EEXIST);
    if (slash == NULL || slash == path)
        snprintf(directory, sizeof directory, "%s", slash == NULL ? "." : "/");
    else if (!cli_path(directory, sizeof directory, "%.*s", (int)(slash - path), path))
        return cli_file_failed(cli, path, ENAMETOOLONG);
    if (stat(directory, &st) != 0)
        return cli_file_failed(cli, directory, errno);
    if (!S_ISDIR(st.st_mode))
        return cli_file_failed(cli, directory, ENOTDIR);
    return access(directory, W_OK | X_OK) == 0 ? 0 : cli_file_failed(cli, directory, errno);
}

int cli_write_file(struct cli *cli, const char *path, struct ifab_view bytes, unsigned mode, bool replace)
{
    char temporary[1200];
    if (!cli_path(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid()))
        return cli_refuse(cli, IFAB_CODE_INVALID_PARAMS, "%s: path too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    bool good = fd >= 0 && write_all(fd, bytes) && fsync(fd) == 0;
    int error = good ? 0 : errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        error = errno;
    }
    if (good && (replace ? rename(temporary, path) : link(temporary, path)) != 0) { /* link does not replace */
        good = false;
        error = errno;
    }
    if (fd >= 0 && (!good || !replace))
        unlink(temporary);
    if (good)
        return 0;
    return cli_file_failed(cli, path, error);
}

int cli_make_directory(struct cli *cli, const char *path, unsigned mode, bool parents)
{
    char copy[1200];
    if (!cli_path(copy, sizeof copy, "%s", path))
        return cli_refuse(cli, IFAB_CODE_INVALID_PARAMS, "%s: path too long", path);
    for (char *c = copy + 1; parents && *c != '\0'; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return cli_file_failed(cli, copy, errno);
        *c = '/';
    }
    if (mkdir(copy, mode) != 0 && !(errno == EEXIST && parents))
        return cli_file_failed(cli, copy, errno);
    return 0;
}

/* Beside this program first, so that a build tree uses its own; then along PATH. */
int cli_find_ifd(struct cli *cli, char *ret_path, size_t size)
{
    char self[1024];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL && cli_path(ret_path, size, "%.*s/ifd", (int)(slash - self), self) && access(ret_path, X_OK) == 0)
            return 0;
    }
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t part = strcspn(path, ":");
        if (part > 0 && path[0] == '/' && cli_path(ret_path, size, "%.*s/ifd", (int)part, path) && access(ret_path, X_OK) == 0)
            return 0;
        path += part + (path[part] == ':');
    }
    return cli_stop(cli, EXIT_SYSTEM, "Put the directory of ifd on PATH.", "ifd is neither beside ifctl nor on PATH");
}

/* Runs a program and waits. secret, when secret_fd_in_child > 0, is what it reads from that descriptor: never argv, never a file. */
int cli_run_program(struct cli *cli, const char *path, char *const *argv, struct ifab_view secret, int secret_fd_in_child)
{
    int ends[2] = {-1, -1};
    if (secret_fd_in_child > 0 && pipe2(ends, O_CLOEXEC) != 0)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (secret_fd_in_child > 0) {
            if (ends[0] == secret_fd_in_child)
                fcntl(ends[0], F_SETFD, 0);
            else if (dup2(ends[0], secret_fd_in_child) < 0)
                _exit(127);
            if (ends[1] != secret_fd_in_child)
                close(ends[1]);
        }
        execv(path, argv);
        _exit(127);
    }
    if (secret_fd_in_child > 0) {
        close(ends[0]);
        if (child > 0)
            (void)write_all(ends[1], secret); /* at most a page: a pipe takes it at once */
        close(ends[1]);
    }
    int status = 0;
    if (child < 0)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "fork: %s", strerror(errno));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "%s could not be started", path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SYSTEM;
}
