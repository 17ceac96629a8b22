/* A connection to a fabric: a socket, under https with TLS over it. Blocking until a deadline on the monotonic clock. */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 65536
#define PLAIN_MAX ((size_t)256 * 1024)

void ifab_channel__init(struct ifab_channel *self)
{
    *self = (struct ifab_channel){.fd = -1, .stop = -1};
    ifab_buf_init(&self->plain, PLAIN_MAX);
    ifab_buf_init(&self->wire, (size_t)64 << 20);
}

void ifab_channel__close(struct ifab_channel *self)
{
    int stop = self->stop;
    if (self->tls != NULL && self->fd >= 0) { /* politely, as far as the socket takes it now */
        ifab_tls_close(self->tls, &self->wire);
        if (self->wire.size > 0)
            (void)send(self->fd, self->wire.data, self->wire.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    ifab_tls_free(self->tls);
    self->tls = NULL;
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
    if (self->plain.data != NULL)
        ifab_wipe(self->plain.data, self->plain.capacity);
    ifab_buf_fini(&self->plain);
    ifab_buf_fini(&self->wire);
    ifab_channel__init(self);
    self->stop = stop;
}

static ifab_status send_raw(struct ifab_channel *self, struct ifab_view bytes, int64_t deadline)
{
    while (bytes.size > 0) {
        ssize_t n = send(self->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (n > 0) {
            bytes.data += n;
            bytes.size -= (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            IFAB_TRY(ifab_socket__wait(self->fd, POLLOUT, deadline, self->stop));
        } else if (n < 0 && errno != EINTR) {
            return IFAB_IO;
        }
    }
    return IFAB_OK;
}

static ifab_status flush(struct ifab_channel *self, int64_t deadline)
{
    ifab_status status = send_raw(self, ifab_buf_as_view(&self->wire), deadline);
    ifab_buf_clear(&self->wire);
    return status;
}

/* More of what the peer says into to: at least a byte, or *ret_end. */
static ifab_status receive_raw(struct ifab_channel *self, uint8_t *to, size_t size, int64_t deadline, size_t *ret_size)
{
    for (;;) {
        ssize_t n = recv(self->fd, to, size, 0);
        if (n >= 0) {
            *ret_size = (size_t)n;
            return IFAB_OK;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            IFAB_TRY(ifab_socket__wait(self->fd, POLLIN, deadline, self->stop));
        else if (errno != EINTR)
            return IFAB_IO;
    }
}

/* The handshake. Nothing of a request leaves before the server has shown who it is. */
static ifab_status shake_hands(struct ifab_channel *self, int64_t deadline, struct ifab_error *err)
{
    uint8_t chunk[16384];
    ifab_status status = ifab_tls_receive(self->tls, ifab_view_of(NULL, 0), &self->plain, &self->wire, err);
    while (status == IFAB_OK) {
        if (flush(self, deadline) != IFAB_OK)
            return ifab_fail(err, IFAB_AGAIN, "tls: the connection ended in the handshake");
        if (ifab_tls_ready(self->tls))
            return IFAB_OK;
        size_t n = 0;
        status = receive_raw(self, chunk, sizeof chunk, deadline, &n);
        if (status != IFAB_OK || n == 0)
            return ifab_fail(err, IFAB_AGAIN, status == IFAB_AGAIN ? "tls: no handshake in time" : "tls: the connection ended in the handshake: is it https?");
        status = ifab_tls_receive(self->tls, ifab_view_of(chunk, n), &self->plain, &self->wire, err);
    }
    (void)flush(self, deadline); /* the alert */
    return status;
}

ifab_status ifab_channel__open(struct ifab_channel *self, const char *endpoint, const struct ifab_tls_context *tls, int64_t deadline,
                               struct ifab_error *err)
{
    char host[256];
    IFAB_TRY(ifab_endpoint__connect(endpoint, deadline, self->stop, &self->fd, err));
    if (!ifab_endpoint__secure(endpoint))
        return IFAB_OK;
    ifab_endpoint__host(endpoint, host);
    ifab_status status = tls == NULL ? ifab_fail(err, IFAB_INVALID, "https without certificates") : ifab_tls_new(tls, host, &self->tls, err);
    if (status == IFAB_OK)
        status = shake_hands(self, deadline, err);
    if (status != IFAB_OK)
        ifab_channel__close(self);
    return status;
}

ifab_status ifab_channel__send(struct ifab_channel *self, struct ifab_view bytes, int64_t deadline)
{
    if (self->tls == NULL)
        return send_raw(self, bytes, deadline);
    while (bytes.size > 0) { /* in parts: what is sealed has to fit */
        struct ifab_view part = {bytes.data, bytes.size > (size_t)1 << 20 ? (size_t)1 << 20 : bytes.size};
        if (ifab_tls_send(self->tls, part, &self->wire, NULL) != IFAB_OK)
            return IFAB_IO;
        IFAB_TRY(flush(self, deadline));
        bytes = ifab_view_of(bytes.data + part.size, bytes.size - part.size);
    }
    return IFAB_OK;
}

ifab_status ifab_channel__receive(struct ifab_channel *self, struct ifab_buf *chunk, int64_t deadline, struct ifab_view *ret_bytes)
{
    ifab_buf_clear(chunk);
    if (ifab_buf_reserve(chunk, READ_SIZE) != IFAB_OK)
        return IFAB_NOMEM;
    for (;;) {
        if (self->plain.size > 0) { /* said in the records read before */
            ifab_buf_view(chunk, ifab_buf_as_view(&self->plain));
            ifab_buf_clear(&self->plain);
            *ret_bytes = ifab_buf_as_view(chunk);
            return ifab_buf_status(chunk);
        }
        if (self->tls != NULL && ifab_tls_ended(self->tls)) {
            *ret_bytes = ifab_view_of(NULL, 0);
            return IFAB_OK;
        }
        size_t n = 0;
        IFAB_TRY(receive_raw(self, chunk->data, READ_SIZE, deadline, &n));
        *ret_bytes = ifab_view_of(chunk->data, n);
        if (self->tls == NULL)
            return IFAB_OK;
        if (n == 0)
            return IFAB_IO; /* cut off: an end that the peer did not sign is none */
        if (ifab_tls_receive(self->tls, *ret_bytes, &self->plain, &self->wire, NULL) != IFAB_OK)
            return IFAB_IO;
        IFAB_TRY(flush(self, deadline));
    }
}

bool ifab_channel__stale(const struct ifab_channel *self)
{
    char byte;
    ssize_t n = recv(self->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return self->plain.size > 0 || n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}
