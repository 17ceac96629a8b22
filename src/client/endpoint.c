/* From "unix:/path" or "http://127.0.0.1:8474" to a connected, non-blocking, close-on-exec socket. Loopback only: elsewhere TLS is
 * required. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

int64_t ifab_clock__run(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * IFAB_SECOND + t.tv_nsec / 1000;
}

ifab_status ifab_socket__wait(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline == INT64_MAX ? -1 : (deadline - ifab_clock__run() + 999) / 1000;
        struct pollfd p = {.fd = fd, .events = events};
        if (deadline != INT64_MAX && left <= 0)
            return IFAB_AGAIN;
        int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return IFAB_OK; /* also for POLLERR and POLLHUP: the next read or write says what it is */
        if (n < 0 && errno != EINTR)
            return IFAB_IO;
    }
}

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

static ifab_status unix_address(const char *path, struct address *ret, struct ifab_error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->storage;
    size_t size = strlen(path);
    if (size == 0)
        return ifab_fail(err, IFAB_INVALID, "endpoint: expected unix:PATH");
    if (size > SOCKET_PATH_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "Socket path has %zu bytes, the system allows %zu: set run.dir.", size,
                         (size_t)SOCKET_PATH_MAX);
    memset(ret, 0, sizeof *ret);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size);
    ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    return IFAB_OK;
}

/* "127.0.0.1:8474" "[::1]:8474" "localhost:8474", an optional '/' behind. */
static ifab_status tcp_address(const char *text, struct address *ret, struct ifab_error *err)
{
    char host[64];
    size_t size = strlen(text);
    if (size > 0 && text[size - 1] == '/')
        size--;
    size_t colon = size;
    while (colon > 0 && text[colon - 1] != ':')
        colon--;
    unsigned port = 0;
    for (size_t i = colon; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || port > 65535)
            return ifab_fail(err, IFAB_INVALID, "endpoint: expected http://ADDRESS:PORT");
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (colon < 2 || colon == size || port == 0 || port > 65535 || colon - 1 >= sizeof host)
        return ifab_fail(err, IFAB_INVALID, "endpoint: expected http://ADDRESS:PORT");
    memcpy(host, text, colon - 1);
    host[colon - 1] = '\0';
    memset(ret, 0, sizeof *ret);
    struct sockaddr_in *in = (struct sockaddr_in *)&ret->storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->storage;
    if (strcmp(host, "[::1]") == 0) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        in6->sin6_addr = in6addr_loopback;
        ret->size = sizeof *in6;
        return IFAB_OK;
    }
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    ret->size = sizeof *in;
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &in->sin_addr) != 1)
        return ifab_fail(err, IFAB_UNSUPPORTED, "endpoint: \"%s\" is not a loopback address; elsewhere TLS is required, which comes later",
                         host);
    if ((ntohl(in->sin_addr.s_addr) >> 24) != 127)
        return ifab_fail(err, IFAB_UNSUPPORTED, "endpoint: %s is not loopback; elsewhere TLS is required, which comes in a later version",
                         host);
    return IFAB_OK;
}

static ifab_status parse(const char *endpoint, struct address *ret, struct ifab_error *err)
{
    if (strncmp(endpoint, "unix:", 5) == 0)
        return unix_address(endpoint + 5, ret, err);
    if (strncmp(endpoint, "http://", 7) == 0)
        return tcp_address(endpoint + 7, ret, err);
    if (endpoint[0] == '/')
        return unix_address(endpoint, ret, err);
    return ifab_fail(err, IFAB_UNSUPPORTED, "endpoint: expected unix:PATH or http://127.0.0.1:PORT");
}

ifab_status ifab_endpoint__check(const char *endpoint, struct ifab_error *err)
{
    struct address address;
    return parse(endpoint, &address, err);
}

ifab_status ifab_endpoint__connect(const char *endpoint, int64_t deadline, int *ret_fd, struct ifab_error *err)
{
    struct address address;
    IFAB_TRY(parse(endpoint, &address, err));
    int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ifab_fail(err, IFAB_AGAIN, "socket: %s", strerror(errno));
    int one = 1;
    if (address.storage.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int error = connect(fd, (const struct sockaddr *)&address.storage, address.size) == 0 ? 0 : errno;
    if (error == EINPROGRESS || (error == EAGAIN && address.storage.ss_family != AF_UNIX)) {
        socklen_t size = sizeof error;
        if (ifab_socket__wait(fd, POLLOUT, deadline) != IFAB_OK)
            error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    if (error == 0) {
        *ret_fd = fd;
        return IFAB_OK;
    }
    close(fd);
    if (error == EACCES || error == EPERM)
        return ifab_fail(err, IFAB_DENIED, "uid %u may not use this socket. Ask for a token, or add it under access.uids.",
                         (unsigned)getuid());
    if (error == EAGAIN || error == ETIMEDOUT) /* a Unix socket whose backlog is full answers EAGAIN at once */
        return ifab_fail(err, IFAB_AGAIN, "%s does not accept connections: %s", endpoint, strerror(error));
    return ifab_fail(err, IFAB_NOT_FOUND, "no fabric answers at %s: %s", endpoint, strerror(error));
}
