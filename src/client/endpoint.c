/* From "unix:/path", "http://127.0.0.1:8474" or "https://HOST:PORT" to a connected, non-blocking, close-on-exec socket. Without TLS only
 * loopback. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

ifab_status ifab_socket__wait(int fd, short events, int64_t deadline, int stop)
{
    for (;;) {
        int64_t left = deadline == INT64_MAX ? -1 : (deadline - ifab_clock__run() + 999) / 1000;
        struct pollfd p[] = {{.fd = fd, .events = events}, {.fd = stop, .events = POLLIN}}; /* poll(2) skips a descriptor below 0 */
        if (deadline != INT64_MAX && left <= 0)
            return IFAB_AGAIN;
        int n = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0 && p[0].revents == 0)
            return IFAB_AGAIN;
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

struct target {
    bool secure;
    char host[256], port[6];
};

/* "HOST:PORT" or "[V6]:PORT", an optional '/' behind. */
static ifab_status parse_target(const char *text, bool secure, struct target *ret, struct ifab_error *err)
{
    size_t size = strlen(text);
    unsigned port = 0;
    if (size > 0 && text[size - 1] == '/')
        size--;
    size_t colon = size;
    while (colon > 0 && text[colon - 1] != ':')
        colon--;
    for (size_t i = colon; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || port > 65535)
            return ifab_fail(err, IFAB_INVALID, "endpoint: expected %s://HOST:PORT", secure ? "https" : "http");
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (colon < 2 || colon == size || port == 0 || port > 65535 || colon - 1 >= sizeof ret->host)
        return ifab_fail(err, IFAB_INVALID, "endpoint: expected %s://HOST:PORT", secure ? "https" : "http");
    bool bracketed = text[0] == '[' && text[colon - 2] == ']';
    size_t from = bracketed ? 1 : 0, end = colon - 1 - from;
    for (size_t i = from; i < end; i++)
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f || strchr("/@[]?#", text[i]) != NULL || (!bracketed && text[i] == ':'))
            return ifab_fail(err, IFAB_INVALID, "endpoint: expected %s://HOST:PORT", secure ? "https" : "http");
    *ret = (struct target){.secure = secure};
    memcpy(ret->host, text + from, end - from);
    snprintf(ret->port, sizeof ret->port, "%u", port);
    return IFAB_OK;
}

/* Without TLS only what is loopback by its spelling: no name is looked up for it. */
static ifab_status plain_address(const struct target *target, struct address *ret, struct ifab_error *err)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&ret->storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->storage;
    uint16_t port = htons((uint16_t)strtoul(target->port, NULL, 10));
    memset(ret, 0, sizeof *ret);
    if (strcmp(target->host, "::1") == 0) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        in6->sin6_addr = in6addr_loopback;
        ret->size = sizeof *in6;
        return IFAB_OK;
    }
    in->sin_family = AF_INET;
    in->sin_port = port;
    ret->size = sizeof *in;
    if (inet_pton(AF_INET, strcmp(target->host, "localhost") == 0 ? "127.0.0.1" : target->host, &in->sin_addr) != 1 ||
        (ntohl(in->sin_addr.s_addr) >> 24) != 127)
        return ifab_fail(err, IFAB_UNSUPPORTED, "endpoint: \"%s\" is not a loopback address; elsewhere TLS is required: https://%s:%s", target->host,
                         target->host, target->port);
    return IFAB_OK;
}

bool ifab_endpoint__secure(const char *endpoint) { return strncmp(endpoint, "https://", 8) == 0; }

void ifab_endpoint__host(const char *endpoint, char ret_host[256])
{
    struct target target = {.secure = false};
    const char *slashes = strstr(endpoint, "://");
    if (slashes != NULL)
        (void)parse_target(slashes + 3, true, &target, NULL);
    memcpy(ret_host, target.host, sizeof target.host);
}

static ifab_status parse(const char *endpoint, struct address *ret, struct target *ret_target, struct ifab_error *err)
{
    *ret_target = (struct target){.secure = false};
    if (strncmp(endpoint, "unix:", 5) == 0)
        return unix_address(endpoint + 5, ret, err);
    if (endpoint[0] == '/')
        return unix_address(endpoint, ret, err);
    if (ifab_endpoint__secure(endpoint))
        return parse_target(endpoint + 8, true, ret_target, err);
    if (strncmp(endpoint, "http://", 7) != 0)
        return ifab_fail(err, IFAB_UNSUPPORTED, "endpoint: expected unix:PATH, http://127.0.0.1:PORT or https://HOST:PORT");
    IFAB_TRY(parse_target(endpoint + 7, false, ret_target, err));
    return plain_address(ret_target, ret, err);
}

ifab_status ifab_endpoint__check(const char *endpoint, struct ifab_error *err)
{
    struct address address;
    struct target target;
    return parse(endpoint, &address, &target, err);
}

/* 0, or the errno of the failure. */
static int connect_one(const struct sockaddr *address, socklen_t size, int64_t deadline, int stop, int *ret_fd)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return EAGAIN;
    int one = 1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int error = connect(fd, address, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS || (error == EAGAIN && address->sa_family != AF_UNIX)) {
        socklen_t length = sizeof error;
        if (ifab_socket__wait(fd, POLLOUT, deadline, stop) != IFAB_OK)
            error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
            error = errno;
    }
    if (error == 0)
        *ret_fd = fd;
    else
        close(fd);
    return error;
}

/* A name may have several addresses: the first that answers. Who it is the handshake tells. */
static ifab_status connect_name(const char *endpoint, const struct target *target, int64_t deadline, int stop, int *ret_fd, int *ret_error, struct ifab_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(target->host, target->port, &hints, &list);
    if (failed != 0)
        return ifab_fail(err, IFAB_NOT_FOUND, "no fabric answers at %s: %s", endpoint, gai_strerror(failed));
    *ret_error = ECONNREFUSED;
    for (const struct addrinfo *one = list; one != NULL && *ret_error != 0; one = one->ai_next)
        *ret_error = connect_one(one->ai_addr, one->ai_addrlen, deadline, stop, ret_fd);
    freeaddrinfo(list);
    return IFAB_OK;
}

ifab_status ifab_endpoint__connect(const char *endpoint, int64_t deadline, int stop, int *ret_fd, struct ifab_error *err)
{
    struct address address;
    struct target target;
    int error = 0;
    IFAB_TRY(parse(endpoint, &address, &target, err));
    if (target.secure)
        IFAB_TRY(connect_name(endpoint, &target, deadline, stop, ret_fd, &error, err));
    else
        error = connect_one((const struct sockaddr *)&address.storage, address.size, deadline, stop, ret_fd);
    if (error == 0)
        return IFAB_OK;
    if (error == EACCES || error == EPERM)
        return ifab_fail(err, IFAB_DENIED, "uid %u may not use this socket. Ask for a token, or add it under access.uids.",
                         (unsigned)getuid());
    if (error == EAGAIN || error == ETIMEDOUT) /* a Unix socket whose backlog is full answers EAGAIN at once */
        return ifab_fail(err, IFAB_AGAIN, "%s does not accept connections: %s", endpoint, strerror(error));
    return ifab_fail(err, IFAB_NOT_FOUND, "no fabric answers at %s: %s", endpoint, strerror(error));
}
