/*
 * One connection: accepted, read, written, ended. A whole request that is answered at once costs one read and one write.
 *
 *   open --answer that closes, error--> lingers --end of the peer, 1 s or 1 MiB--> closing
 *   open --peer gone, idle too long, aborted, killed--> closing --close callback--> freed
 *
 * Lingers: our side is shut, what the peer still sends is thrown away unread.
 */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "internal.h"
#include "log/log.h"

#define KEPT ((size_t)16 * 1024)            /* buffer storage a quiet connection keeps */
#define WIRE_MAX ((size_t)512 << 20)        /* records of what out may hold; out has its own limits */
#define LINGER_BYTES ((size_t)1024 * 1024)  /* thrown away at most, before the socket is closed on the peer */
#define DISCARD_BYTES ((size_t)64 * 1024)   /* likewise behind a last request */

static void closed(uv_handle_t *handle)
{
    struct ifab_http__connection *conn = handle->data;
    struct ifab_http_server *server = conn->server;
    ifab_http__exchanges_drop(conn);
    ifab_http_parser_free(conn->parser);
    ifab_buf_fini(&conn->out);
    ifab_buf_fini(&conn->writing);
    ifab_buf_fini(&conn->pending);
    ifab_buf_fini(&conn->plain);
    ifab_buf_fini(&conn->wire);
    ifab_tls_free(conn->tls);
    if (conn->slot != UINT32_MAX) {
        server->slots[conn->slot] = NULL;
        server->free_slots[server->free_count++] = conn->slot;
        server->connection_count--;
        server->bodies -= conn->body;
        server->tcp_count -= !conn->peer.unix_socket;
    }
    ifab_free(conn);
    ifab_http__wind_up(server);
    ifab_http__handle_closed(server);
}

void ifab_http__close(struct ifab_http__connection *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    ifab_http__link_remove(&conn->dirty);
    ifab_http__wait_none(conn);
    uv_close(&conn->uv.handle, closed);
}

size_t ifab_http__unsent(const struct ifab_http__connection *conn)
{
    return conn->out.size + conn->wire.size + (conn->write_busy ? uv_stream_get_write_queue_size(&conn->uv.stream) : 0);
}

bool ifab_http__paused(const struct ifab_http__connection *conn)
{
    size_t most = conn->server->limits.pipelined;
    most = conn->slow != 0 && conn->slow < most ? conn->slow : most;
    return conn->unanswered >= most || ifab_http__unsent(conn) >= conn->server->limits.write_bytes;
}

void ifab_http__stop_reading(struct ifab_http__connection *conn, enum ifab_http__reading reading)
{
    if (conn->reading < reading)
        conn->reading = reading;
}

static void empty(struct ifab_buf *buf)
{
    if (buf->capacity > KEPT) {
        size_t limit = buf->limit;
        ifab_buf_fini(buf);
        ifab_buf_init(buf, limit);
    } else {
        ifab_buf_clear(buf);
    }
}

static void wrote(uv_write_t *write, int status)
{
    struct ifab_http__connection *conn = write->data;
    conn->write_busy = false;
    if (conn->closing)
        return;
    if (status < 0) {
        ifab_http__close(conn);
        return;
    }
    empty(&conn->writing);
    ifab_http__pump(conn);
}

void ifab_http__write(struct ifab_http__connection *conn)
{
    if (conn->closing || conn->write_busy || (conn->tls != NULL && !ifab_http__make_records(conn)))
        return;
    struct ifab_buf *out = conn->tls != NULL ? &conn->wire : &conn->out;
    if (out->size == 0)
        return;
    uv_buf_t buf = {.base = (char *)out->data, .len = out->size};
    int n = uv_try_write(&conn->uv.stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        ifab_http__close(conn);
        return;
    }
    size_t sent = n < 0 ? 0 : (size_t)n;
    if (sent == out->size) {
        empty(out);
        return;
    }
    struct ifab_buf storage = conn->writing;
    conn->writing = *out;
    *out = storage;
    if (out->limit == 0)
        ifab_buf_init(out, conn->writing.limit);
    buf = (uv_buf_t){.base = (char *)conn->writing.data + sent, .len = conn->writing.size - sent};
    conn->write.data = conn;
    if (uv_write(&conn->write, &conn->uv.stream, &buf, 1, wrote) != 0)
        ifab_http__close(conn);
    else
        conn->write_busy = true;
}

void ifab_http__dirty(struct ifab_http__connection *conn)
{
    if (conn->closing || conn->pumping)
        return;
    ifab_http__link_last(&conn->server->dirty, &conn->dirty);
    ifab_http__server_wake(conn->server);
}

static void shut(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status; /* the peer is gone already: the linger ends by itself */
}

/* Everything is sent: say so, and give the peer time to read it. Closing with unread bytes would reset the connection under the answer. */
static void linger(struct ifab_http__connection *conn)
{
    conn->lingers = true;
    conn->discarded = 0;
    ifab_buf_fini(&conn->pending);
    ifab_http__say_close(conn);
    if (conn->peer_done || uv_shutdown(&conn->shutdown, &conn->uv.stream, shut) != 0)
        ifab_http__close(conn);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    const struct ifab_http__connection *conn = handle->data;
    (void)suggested;
    *ret_buf = (uv_buf_t){.base = conn->server->slab, .len = IFAB_HTTP__SLAB};
}

/* The peer has ended its side. It may only have shut it, and still wait for answers; a stream's reader has left. */
static void peer_done(struct ifab_http__connection *conn)
{
    conn->peer_done = true;
    conn->uv_reads = false;
    bool gone = conn->lingers || (conn->first == NULL && ifab_http__unsent(conn) == 0);
    for (const struct ifab_http__exchange *e = conn->first; e != NULL; e = e->next)
        gone = gone || e->state == EXCHANGE_STREAMS;
    uv_os_fd_t fd = -1;
    if (!gone && conn->peer.unix_socket && uv_fileno(&conn->uv.handle, &fd) == 0) {
        struct pollfd now = {.fd = fd, .events = 0}; /* POLLHUP: closed on both sides; TCP cannot tell */
        gone = poll(&now, 1, 0) == 1 && (now.revents & (POLLHUP | POLLERR)) != 0;
    }
    if (gone) {
        ifab_http__say_close(conn);
        ifab_http__close(conn);
    } else {
        ifab_http__pump(conn);
    }
}

static void discard(struct ifab_http__connection *conn, size_t size)
{
    conn->discarded += size;
    if (conn->lingers && conn->discarded > LINGER_BYTES)
        ifab_http__close(conn);
    else if (!conn->lingers && conn->discarded > DISCARD_BYTES)
        conn->reading = READING_NOTHING;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ifab_http__connection *conn = stream->data;
    if (n == 0 || conn->closing)
        return;
    if (n == UV_EOF) {
        peer_done(conn);
        return;
    }
    if (n < 0) {
        ifab_http__close(conn);
        return;
    }
    struct ifab_view bytes = ifab_view_of(buf->base, (size_t)n);
    if (conn->lingers || conn->reading != READING_REQUESTS) {
        discard(conn, (size_t)n);
    } else if (conn->tls == NULL || ifab_http__open_records(conn, bytes, &bytes)) {
        conn->pumping = true;
        struct ifab_view rest = bytes.size > 0 ? ifab_http__receive(conn, bytes) : bytes;
        conn->pumping = false;
        ifab_buf_view(&conn->pending, rest);
        if (ifab_buf_status(&conn->pending) != IFAB_OK)
            ifab_http__close(conn);
        if (conn->tls != NULL && !conn->closing && ifab_tls_ended(conn->tls)) { /* close_notify: the same as the end of its side */
            uv_read_stop(&conn->uv.stream);
            ifab_http__pump(conn);
            if (!conn->closing)
                peer_done(conn);
            return;
        }
    }
    ifab_http__pump(conn);
}

static void read_on(struct ifab_http__connection *conn)
{
    bool wanted = conn->lingers || conn->reading == READING_DISCARDS
                  || (conn->reading == READING_REQUESTS && conn->pending.size == 0 && !ifab_http__paused(conn));
    wanted = wanted && !conn->peer_done;
    if (wanted == conn->uv_reads)
        return;
    conn->uv_reads = wanted;
    if (!wanted)
        uv_read_stop(&conn->uv.stream);
    else if (uv_read_start(&conn->uv.stream, allocate, on_read) != 0)
        ifab_http__close(conn);
}

/* All that could be said is said: does the connection end here? */
static void end_or_go_on(struct ifab_http__connection *conn)
{
    bool silent = conn->out.size == 0 && conn->wire.size == 0 && !conn->write_busy;
    if (silent && conn->first != NULL && conn->first->state == EXCHANGE_ABORTED)
        ifab_http__close(conn);
    else if (silent && !conn->lingers && (conn->ends || (conn->first == NULL && (conn->peer_done || conn->server->stopping))))
        linger(conn);
    if (!conn->closing)
        read_on(conn);
    if (!conn->closing)
        ifab_http__wait_update(conn);
}

void ifab_http__pump(struct ifab_http__connection *conn)
{
    if (conn->closing || conn->pumping)
        return;
    conn->pumping = true;
    for (;;) {
        if (conn->reading != READING_REQUESTS) {
            ifab_buf_clear(&conn->pending);
            conn->pending_at = 0;
        } else if (conn->pending.size > 0) {
            struct ifab_view left = {conn->pending.data + conn->pending_at, conn->pending.size - conn->pending_at};
            left = ifab_http__receive(conn, left);
            conn->pending_at = conn->pending.size - left.size;
            if (left.size == 0) {
                ifab_buf_clear(&conn->pending);
                conn->pending_at = 0;
            }
        }
        ifab_http__write(conn);
        if (conn->closing || conn->pending.size == 0 || conn->reading != READING_REQUESTS || ifab_http__paused(conn))
            break;
    }
    conn->pumping = false;
    ifab_http__link_remove(&conn->dirty);
    if (!conn->closing)
        end_or_go_on(conn);
}

static void tell_peer(struct ifab_http__connection *conn)
{
    struct ifab_http_peer *peer = &conn->peer;
    uv_os_fd_t fd = -1;
    peer->connection = ++conn->server->next_connection;
    peer->slot = UINT32_MAX;
    peer->uid = peer->pid = UINT32_MAX; /* nobody, until the kernel says who */
    if (peer->unix_socket) {
        struct ucred cred;
        socklen_t size = sizeof cred;
        if (uv_fileno(&conn->uv.handle, &fd) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 && size == sizeof cred) {
            peer->uid = cred.uid;
            peer->pid = (uint32_t)cred.pid;
        }
        snprintf(peer->address, sizeof peer->address, "unix");
        return;
    }
    struct sockaddr_storage address;
    int size = sizeof address;
    char text[48];
    snprintf(peer->address, sizeof peer->address, "tcp");
    if (uv_tcp_getpeername(&conn->uv.tcp, (struct sockaddr *)&address, &size) != 0)
        return;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        if (uv_ip6_name(in6, text, sizeof text) == 0)
            snprintf(peer->address, sizeof peer->address, "[%s]:%u", text, (unsigned)ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
        if (uv_ip4_name(in4, text, sizeof text) == 0)
            snprintf(peer->address, sizeof peer->address, "%s:%u", text, (unsigned)ntohs(in4->sin_port));
    }
}

static size_t address_size(const struct ifab_http_peer *peer)
{
    const char *colon = strrchr(peer->address, ':');
    return colon != NULL ? (size_t)(colon - peer->address) : strlen(peer->address);
}

/* Each kind has its own share of the slots. An address is counted only when so many are open that it could have too many. */
static bool room_for(const struct ifab_http_server *server, const struct ifab_http_peer *peer)
{
    const struct ifab_http_limits *limits = &server->limits;
    if (peer->unix_socket)
        return server->connection_count - server->tcp_count < limits->connections;
    if (server->tcp_count >= limits->tcp_connections)
        return false;
    if (server->tcp_count < limits->address_connections)
        return true;
    size_t same = 0, size = address_size(peer);
    for (size_t i = 0; i < ifab_http_slots(limits); i++) {
        const struct ifab_http__connection *other = server->slots[i];
        if (other != NULL && !other->peer.unix_socket && address_size(&other->peer) == size && memcmp(other->peer.address, peer->address, size) == 0)
            same++;
    }
    return same < limits->address_connections;
}

/* No room: one answer as far as the socket takes it, then gone. Under TLS nothing can be said before the handshake. */
static void turn_away(struct ifab_http__connection *conn)
{
    if (conn->tls != NULL) {
        ifab_http__close(conn);
        return;
    }
    ifab_http__refuse(conn, 503, "too many connections");
    ifab_http__write(conn);
    ifab_http__close(conn);
}

bool ifab_http__accept(struct ifab_http_server *server, uv_stream_t *listener, bool unix_socket)
{
    struct ifab_http__connection *conn = ifab_calloc(1, sizeof *conn);
    if (conn == NULL)
        return false;
    conn->server = server;
    conn->slot = UINT32_MAX;
    conn->wait = WAIT_NONE;
    conn->peer.unix_socket = unix_socket;
    ifab_http__link_init(&conn->dirty);
    ifab_http__link_init(&conn->timed);
    ifab_buf_init(&conn->pending, IFAB_HTTP__SLAB);
    int failed = unix_socket ? uv_pipe_init(server->loop, &conn->uv.pipe, 0) : uv_tcp_init(server->loop, &conn->uv.tcp);
    if (failed != 0) {
        ifab_free(conn);
        return false;
    }
    conn->uv.handle.data = conn;
    server->handles++;
    if (uv_accept(listener, &conn->uv.stream) != 0) {
        ifab_http__close(conn);
        return true;
    }
    conn->parser = ifab_http_parser_new(&server->limits);
    tell_peer(conn);
    bool secure = !unix_socket && server->tls != NULL;
    if (secure && ifab_tls_new(server->tls, NULL, &conn->tls, NULL) != IFAB_OK) {
        ifab_http__close(conn);
        return true;
    }
    conn->peer.tls = secure;
    if (secure) {
        ifab_buf_init(&conn->plain, IFAB_HTTP__SLAB * 2);
        ifab_buf_init(&conn->wire, WIRE_MAX);
    }
    if (conn->parser == NULL || server->stopping || !room_for(server, &conn->peer)) {
        turn_away(conn);
        return true;
    }
    conn->slot = conn->peer.slot = server->free_slots[--server->free_count];
    server->slots[conn->slot] = conn;
    server->connection_count++;
    server->tcp_count += !unix_socket;
    if (!unix_socket)
        uv_tcp_nodelay(&conn->uv.tcp, 1); /* answers are written whole */
    ifab_http__pump(conn);
    return true;
}
