/*
 * TLS between the socket and the parser. Invariants: a byte of a request is parsed only after the handshake; a connection whose records were refused
 * says its alert and closes; the peer's key is known before its first request.
 */
#include "base/mem.h"
#include "internal.h"
#include "log/log.h"

bool ifab_http__shaking(const struct ifab_http__connection *conn) { return conn->tls != NULL && !ifab_tls_ready(conn->tls); }

/* As far as the socket takes it: who breaks the protocol is not waited for. */
static void last_words(struct ifab_http__connection *conn)
{
    uv_buf_t buf = {.base = (char *)conn->wire.data, .len = conn->wire.size};
    if (!conn->write_busy && conn->wire.size > 0)
        (void)uv_try_write(&conn->uv.stream, &buf, 1);
    ifab_buf_clear(&conn->wire);
}

bool ifab_http__open_records(struct ifab_http__connection *conn, struct ifab_view bytes, struct ifab_view *ret_plain)
{
    struct ifab_error err = {0};
    bool shaking = ifab_http__shaking(conn);
    ifab_buf_clear(&conn->plain);
    if (ifab_tls_receive(conn->tls, bytes, &conn->plain, &conn->wire, &err) != IFAB_OK) {
        IFAB_LOG(IFAB_LOG_DEBUG, "http: TLS refused", IFAB_F_TEXT("peer", conn->peer.address), IFAB_F_TEXT("cause", err.text));
        last_words(conn);
        ifab_http__close(conn);
        return false;
    }
    if (shaking && !ifab_http__shaking(conn))
        conn->peer.has_key = ifab_tls_peer_key(conn->tls, conn->peer.key32);
    *ret_plain = ifab_buf_as_view(&conn->plain);
    return true;
}

bool ifab_http__make_records(struct ifab_http__connection *conn)
{
    if (conn->out.size == 0 || ifab_http__shaking(conn))
        return true;
    if (ifab_tls_send(conn->tls, ifab_buf_as_view(&conn->out), &conn->wire, NULL) != IFAB_OK) {
        ifab_http__close(conn);
        return false;
    }
    ifab_buf_clear(&conn->out);
    return true;
}

void ifab_http__say_close(struct ifab_http__connection *conn)
{
    if (conn->tls == NULL)
        return;
    ifab_tls_close(conn->tls, &conn->wire);
    last_words(conn);
}
