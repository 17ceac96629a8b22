/* Where connections come from: a unix socket whose dead predecessor is replaced, a live one not; TCP, without TLS on loopback only. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "internal.h"
#include "log/log.h"

#define BACKLOG 511
#define RETRY_MS 100     /* out of memory while a connection waited to be accepted */
#define LOG_EACH_MS 1000 /* accept failures said at most that often */

static void listener_closed(uv_handle_t *handle)
{
    struct ifab_http__listener *self = handle->data;
    struct ifab_http_server *server = self->server;
    ifab_free(self->path);
    ifab_free(self);
    ifab_http__handle_closed(server);
}

/* Only our own file: another daemon may have put its socket there since. */
static void remove_socket(const struct ifab_http__listener *self)
{
    struct stat st;
    if (self->path != NULL && lstat(self->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == self->device && st.st_ino == self->inode)
        (void)unlink(self->path);
}

void ifab_http__listeners_close(struct ifab_http_server *server)
{
    while (server->listeners != NULL) {
        struct ifab_http__listener *self = server->listeners;
        server->listeners = self->next;
        remove_socket(self);
        uv_close(&self->uv.handle, listener_closed);
    }
}

static void take(struct ifab_http__listener *self)
{
    self->owes = !ifab_http__accept(self->server, &self->uv.stream, self->path != NULL);
    if (self->owes) /* libuv accepts no more until this one is taken */
        ifab_http__timer_arm(self->server, uv_now(self->server->loop) + RETRY_MS);
}

void ifab_http__listeners_retry(struct ifab_http_server *server)
{
    for (struct ifab_http__listener *l = server->listeners; l != NULL; l = l->next) {
        if (l->owes)
            take(l);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct ifab_http__listener *self = stream->data;
    if (status == 0) {
        take(self);
        return;
    }
    uint64_t now = uv_now(self->server->loop);
    if (self->logged_ms == 0 || now - self->logged_ms >= LOG_EACH_MS) {
        self->logged_ms = now;
        IFAB_LOG(IFAB_LOG_WARN, "http: accept failed", IFAB_F_TEXT("cause", uv_strerror(status)));
    }
}

static struct ifab_http__listener *listener_new(struct ifab_http_server *server, bool unix_socket, struct ifab_error *err)
{
    struct ifab_http__listener *self = ifab_calloc(1, sizeof *self);
    if (self == NULL) {
        (void)ifab_fail(err, IFAB_NOMEM, "listener");
        return NULL;
    }
    int failed = unix_socket ? uv_pipe_init(server->loop, &self->uv.pipe, 0) : uv_tcp_init(server->loop, &self->uv.tcp);
    if (failed != 0) {
        (void)ifab_fail(err, IFAB_IO, "listener: %s", uv_strerror(failed));
        ifab_free(self);
        return NULL;
    }
    self->server = server;
    self->uv.handle.data = self;
    server->handles++;
    return self;
}

/* Is there a socket file, and does anybody answer behind it? A dead one is removed. */
static ifab_status clear_path(const struct sockaddr_un *address, struct ifab_error *err)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: %s", address->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return ifab_fail(err, IFAB_CONFLICT, "%s exists and is not a socket: remove it, or set run.dir.", address->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ifab_fail(err, IFAB_IO, "socket: %s", strerror(errno));
    int failed = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    close(fd);
    if (failed != ECONNREFUSED) /* also EAGAIN: alive, its queue is full; EACCES: not ours to judge */
        return ifab_fail(err, IFAB_CONFLICT, "Another process serves at unix:%s.", address->sun_path);
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return ifab_fail(err, IFAB_IO, "%s: %s", address->sun_path, strerror(errno));
    return IFAB_OK;
}

/* A bound descriptor. The mode is set before bind(), so that there is no moment in which others may connect. */
static ifab_status bind_unix(const struct sockaddr_un *address, int *ret_fd, struct ifab_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ifab_fail(err, IFAB_IO, "socket: %s", strerror(errno));
    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        int failed = errno;
        close(fd);
        return ifab_fail(err, failed == EADDRINUSE ? IFAB_CONFLICT : IFAB_IO, "%s: %s", address->sun_path, strerror(failed));
    }
    *ret_fd = fd;
    return IFAB_OK;
}

/* Bound: from here on a failure must take the file away again. */
static ifab_status listen_unix(struct ifab_http__listener *self, int fd, struct ifab_error *err)
{
    struct stat st;
    if (lstat(self->path, &st) == 0) {
        self->device = st.st_dev;
        self->inode = st.st_ino;
    }
    int failed = uv_pipe_open(&self->uv.pipe, fd);
    if (failed != 0)
        close(fd);
    else
        failed = uv_listen(&self->uv.stream, BACKLOG, on_connection);
    if (failed == 0)
        return IFAB_OK;
    remove_socket(self);
    return ifab_fail(err, IFAB_IO, "unix:%s: %s", self->path, uv_strerror(failed));
}

ifab_status ifab_http_listen_unix(struct ifab_http_server *self, const char *path, struct ifab_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    int fd = -1;
    if (size == 0)
        return ifab_fail(err, IFAB_INVALID, "Socket path is empty: set run.dir.");
    if (size >= sizeof address.sun_path)
        return ifab_fail(err, IFAB_INVALID, "Socket path has %zu bytes, the system allows %zu: set run.dir.", size,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, size);
    IFAB_TRY(clear_path(&address, err));
    struct ifab_http__listener *listener = listener_new(self, true, err);
    if (listener == NULL)
        return IFAB_NOMEM;
    listener->path = ifab_malloc(size + 1);
    ifab_status status = listener->path == NULL ? ifab_fail(err, IFAB_NOMEM, "listener") : IFAB_OK;
    if (status == IFAB_OK) {
        memcpy(listener->path, path, size + 1);
        status = bind_unix(&address, &fd, err);
    }
    if (status == IFAB_OK)
        status = listen_unix(listener, fd, err);
    if (status != IFAB_OK) {
        uv_close(&listener->uv.handle, listener_closed);
        return status;
    }
    listener->next = self->listeners;
    self->listeners = listener;
    return IFAB_OK;
}

/* Decimal 0..65535, nothing else. */
static bool parse_port(const char *text, int *ret_port)
{
    int port = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        port = port * 10 + (text[digits] - '0');
    *ret_port = port;
    return digits > 0 && text[digits] == '\0' && port <= 65535;
}

/* "A.B.C.D:PORT" or "[V6]:PORT", without TLS a loopback address. Names are not looked up: what they mean is decided elsewhere. */
static ifab_status parse_address(const char *text, bool secure, struct sockaddr_storage *ret, struct ifab_error *err)
{
    char host[64];
    int port = 0;
    bool v6 = text[0] == '[';
    const char *begin = text + (v6 ? 1 : 0), *end = strchr(begin, v6 ? ']' : ':');
    const char *colon = end == NULL ? NULL : end + (v6 ? 1 : 0);
    if (colon == NULL || *colon != ':' || !parse_port(colon + 1, &port) || (size_t)(end - begin) >= sizeof host)
        return ifab_fail(err, IFAB_INVALID, "\"%.100s\" is not ADDRESS:PORT, such as 127.0.0.1:8474 or [::1]:8474.", text);
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    struct sockaddr_in *in4 = (struct sockaddr_in *)ret;
    if ((v6 ? uv_ip6_addr(host, port, in6) : uv_ip4_addr(host, port, in4)) != 0)
        return ifab_fail(err, IFAB_INVALID, "\"%.100s\" is not ADDRESS:PORT, such as 127.0.0.1:8474 or [::1]:8474.", text);
    bool loopback = v6 ? IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) && in6->sin6_scope_id == 0 : ntohl(in4->sin_addr.s_addr) >> 24 == 127;
    if (!loopback && !secure)
        return ifab_fail(err, IFAB_UNSUPPORTED, "A non-loopback address needs TLS: set http.certificate and http.key.");
    return IFAB_OK;
}

static int listen_tcp(struct ifab_http__listener *self, const struct sockaddr_storage *address, uint16_t *ret_port)
{
    struct sockaddr_storage bound;
    int size = sizeof bound;
    int failed = uv_tcp_bind(&self->uv.tcp, (const struct sockaddr *)address, address->ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
    if (failed == 0)
        failed = uv_tcp_simultaneous_accepts(&self->uv.tcp, 1);
    if (failed == 0)
        failed = uv_listen(&self->uv.stream, BACKLOG, on_connection);
    if (failed == 0)
        failed = uv_tcp_getsockname(&self->uv.tcp, (struct sockaddr *)&bound, &size);
    if (failed == 0 && ret_port != NULL)
        *ret_port =
            ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
    return failed;
}

ifab_status ifab_http_listen_tcp(struct ifab_http_server *self, const char *address, uint16_t *ret_port, struct ifab_error *err)
{
    struct sockaddr_storage parsed = {.ss_family = 0};
    IFAB_TRY(parse_address(address, self->tls != NULL, &parsed, err));
    struct ifab_http__listener *listener = listener_new(self, false, err);
    if (listener == NULL)
        return IFAB_NOMEM;
    int failed = listen_tcp(listener, &parsed, ret_port);
    if (failed != 0) {
        uv_close(&listener->uv.handle, listener_closed);
        return ifab_fail(err,
                         failed == UV_EADDRINUSE                                ? IFAB_CONFLICT
                         : failed == UV_EACCES || failed == UV_EADDRNOTAVAIL ? IFAB_DENIED
                                                                                 : IFAB_IO,
                         "http.listen %s: %s", address, uv_strerror(failed));
    }
    listener->next = self->listeners;
    self->listeners = listener;
    return IFAB_OK;
}
