#ifndef SUPPORT_HTTP_PEER_H
#define SUPPORT_HTTP_PEER_H
/*
 * A peer on loopback for tests of clients: a thread a connection, and a handler that may answer whatever it likes, also what no server should.
 * It keeps the text of every request. Include it after cmocka.h and support.h.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer;
/* Answers one request (head and body). false: the connection ends. */
typedef bool peer_handler(struct peer *self, int fd, struct ifab_view request, void *user);
struct peer {
    int fd;
    uint16_t port;
    peer_handler *handler;
    void *user;
    pthread_t thread;
    atomic_int connections, requests, stopping, live;
    pthread_mutex_t lock;
    struct ifab_buf log; /* requests, each followed by a line "--" */
    int fds[256];        /* open connections, -1 free; under lock */
};
struct peer_connection {
    struct peer *peer;
    int fd;
};

static inline void peer_write(int fd, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}
static inline void peer_text(int fd, const char *text) { peer_write(fd, text, strlen(text)); }
/* Status, more head ("Name: value\r\n" lines), body with its length. */
static inline void peer_answer(int fd, int status, const char *head, struct ifab_view body)
{
    struct ifab_buf text = IFAB_BUF_INIT((size_t)64 << 20);
    ifab_buf_format(&text, "HTTP/1.1 %d x\r\n%sContent-Length: %zu\r\n\r\n", status, head == NULL ? "" : head, body.size);
    ifab_buf_view(&text, body);
    peer_write(fd, text.data, text.size);
    ifab_buf_fini(&text);
}
/* Reads one request. false: the connection ended. */
static inline bool peer_read(int fd, struct ifab_buf *request)
{
    size_t want = 0;
    ifab_buf_clear(request);
    for (;;) {
        char c;
        if (recv(fd, &c, 1, 0) != 1)
            return false;
        ifab_buf_char(request, c);
        if (want == 0 && request->size >= 4 && memcmp(request->data + request->size - 4, "\r\n\r\n", 4) == 0) {
            ifab_buf_char(request, '\0');
            const char *length = strcasestr((const char *)request->data, "\r\nContent-Length:");
            request->size--;
            want = request->size + (length == NULL ? 0 : strtoul(length + 17, NULL, 10));
        }
        if (want != 0 && request->size >= want)
            return true;
    }
}
static inline void peer_keep(struct peer *self, int fd, int instead)
{
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < IFAB_COUNT(self->fds); i++) {
        if (self->fds[i] == fd) {
            self->fds[i] = instead;
            break;
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
}
static inline void *peer_connection_main(void *user)
{
    struct peer_connection c = *(struct peer_connection *)user;
    struct ifab_buf request = IFAB_BUF_INIT((size_t)64 << 20);
    bool go_on = true;
    free(user);
    while (go_on && peer_read(c.fd, &request)) {
        (void)pthread_mutex_lock(&c.peer->lock);
        ifab_buf_view(&c.peer->log, ifab_buf_as_view(&request));
        ifab_buf_str(&c.peer->log, "\n--\n");
        (void)pthread_mutex_unlock(&c.peer->lock);
        atomic_fetch_add(&c.peer->requests, 1);
        go_on = c.peer->handler(c.peer, c.fd, ifab_buf_as_view(&request), c.peer->user);
    }
    ifab_buf_fini(&request);
    peer_keep(c.peer, c.fd, -1);
    (void)close(c.fd);
    atomic_fetch_sub(&c.peer->live, 1);
    return NULL;
}
static inline void *peer_main(void *user)
{
    struct peer *self = user;
    for (;;) {
        int fd = accept4(self->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || atomic_load(&self->stopping)) {
            if (fd >= 0)
                (void)close(fd);
            return NULL;
        }
        struct peer_connection *c = malloc(sizeof *c);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        pthread_t thread;
        if (c == NULL)
            abort();
        *c = (struct peer_connection){self, fd};
        atomic_fetch_add(&self->connections, 1);
        atomic_fetch_add(&self->live, 1);
        peer_keep(self, -1, fd);
        if (pthread_create(&thread, NULL, peer_connection_main, c) != 0 || pthread_detach(thread) != 0)
            abort();
    }
}
static inline void peer_begin(struct peer *self, peer_handler *handler, void *user)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(self, 0, sizeof *self);
    self->handler = handler;
    self->user = user;
    memset(self->fds, 0xff, sizeof self->fds);
    ifab_buf_init(&self->log, (size_t)256 << 20);
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self->fd < 0 || bind(self->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(self->fd, 128) != 0 ||
        getsockname(self->fd, (struct sockaddr *)&at, &size) != 0 || pthread_mutex_init(&self->lock, NULL) != 0 ||
        pthread_create(&self->thread, NULL, peer_main, self) != 0)
        abort();
    self->port = ntohs(at.sin_port);
}
static inline void peer_end(struct peer *self)
{
    atomic_store(&self->stopping, 1);
    (void)shutdown(self->fd, SHUT_RDWR);
    (void)pthread_join(self->thread, NULL);
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < IFAB_COUNT(self->fds); i++) {
        if (self->fds[i] >= 0)
            (void)shutdown(self->fds[i], SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&self->lock);
    while (atomic_load(&self->live) > 0)
        (void)usleep(1000);
    (void)close(self->fd);
    ifab_buf_fini(&self->log);
    (void)pthread_mutex_destroy(&self->lock);
}
/* Whether a request held this text. */
static inline bool peer_saw(struct peer *self, const char *text)
{
    (void)pthread_mutex_lock(&self->lock);
    bool saw = self->log.size > 0 && memmem(self->log.data, self->log.size, text, strlen(text)) != NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return saw;
}
#endif
