/*
 * Deadlines: one timer, armed for the earliest. A whole head and a whole body have one each, counted from their first byte, so that a
 * byte a second does not hold a connection; of a body that comes in lines each line has its own, and all of them one; between requests and while a peer does not take what we write there is the idle one.
 */
#include "internal.h"

#define LINGER_MS 1000

static uint64_t length_ms(const struct ifab_http_server *server, enum ifab_http__wait wait)
{
    switch (wait) {
    case WAIT_HEAD:
        return server->limits.head_ms;
    case WAIT_BODY:
        return server->limits.body_ms;
    case WAIT_LINE:
        return server->limits.line_ms;
    case WAIT_IDLE:
        return server->limits.idle_ms;
    case WAIT_LINGER:
    case WAIT_NONE:
        return LINGER_MS;
    }
    return LINGER_MS;
}

static struct ifab_http__connection *of_link(struct ifab_http__link *link)
{
    return (struct ifab_http__connection *)(void *)((char *)link - offsetof(struct ifab_http__connection, timed));
}

void ifab_http__timer_arm(struct ifab_http_server *server, uint64_t due_ms)
{
    if (server->base_closing || (uv_is_active((const uv_handle_t *)&server->timer) && server->timer_due <= due_ms))
        return;
    uint64_t now = uv_now(server->loop);
    server->timer_due = due_ms;
    uv_timer_start(&server->timer, ifab_http__wait_timer, due_ms > now ? due_ms - now : 0, 0);
}

void ifab_http__wait_none(struct ifab_http__connection *conn)
{
    ifab_http__link_remove(&conn->timed);
    conn->wait = WAIT_NONE;
}

static enum ifab_http__wait wanted(const struct ifab_http__connection *conn)
{
    if (conn->lingers)
        return WAIT_LINGER;
    if (ifab_http__shaking(conn)) /* the handshake counts as part of the first head */
        return WAIT_HEAD;
    if (conn->reading == READING_REQUESTS && !conn->peer_done && !ifab_http__paused(conn)) {
        enum ifab_http_phase phase = ifab_http_parser_phase(conn->parser);
        if (phase == IFAB_HTTP_IN_BODY)
            return ifab_http_parser_counts_lines(conn->parser) ? WAIT_LINE : WAIT_BODY;
        if (phase == IFAB_HTTP_IN_HEAD)
            return WAIT_HEAD;
    }
    return conn->first == NULL || ifab_http__unsent(conn) > 0 ? WAIT_IDLE : WAIT_NONE; /* else it is the user who is waited for */
}

void ifab_http__wait_update(struct ifab_http__connection *conn)
{
    struct ifab_http_server *server = conn->server;
    enum ifab_http__wait want = wanted(conn);
    size_t unsent = ifab_http__unsent(conn);
    uint64_t request = ifab_http_parser_requests(conn->parser);
    bool same = want == conn->wait;
    uint64_t lines = ifab_http_parser_lines(conn->parser), now = uv_now(server->loop);
    if (want == WAIT_LINE && (!same || conn->wait_for != request))
        conn->lines_since_ms = now;
    if (want == WAIT_NONE) {
        ifab_http__wait_none(conn);
        return;
    }
    bool further = want == WAIT_LINE && lines > conn->wait_line && now - conn->lines_since_ms < server->limits.lines_ms;
    if (same && (want == WAIT_LINGER || (want != WAIT_IDLE && conn->wait_for == request && !further)))
        return;
    conn->wait_line = lines;
    if (same && want == WAIT_IDLE && conn->stall_mark > 0 && unsent >= conn->stall_mark)
        return; /* the peer took nothing since: no reason to wait longer */
    conn->wait = want;
    conn->wait_for = request;
    conn->stall_mark = unsent;
    conn->due_ms = now + length_ms(server, want);
    ifab_http__link_last(&server->waits[want], &conn->timed);
    ifab_http__timer_arm(server, conn->due_ms);
}

static void expire(struct ifab_http__connection *conn)
{
    switch (conn->wait) {
    case WAIT_HEAD:
        if (ifab_http__shaking(conn)) {
            ifab_http__close(conn);
            return;
        }
        ifab_http__wait_none(conn);
        ifab_http__refuse(conn, 408, "the head took too long");
        ifab_http__pump(conn);
        return;
    case WAIT_BODY:
    case WAIT_LINE: {
        const char *why = conn->wait == WAIT_LINE ? "a line of the body, or all of it, took too long" : "the body took too long";
        ifab_http__wait_none(conn);
        ifab_http__refuse(conn, 408, why);
        ifab_http__pump(conn);
        return;
    }
    case WAIT_IDLE:
        if (conn->stall_mark > 0 && ifab_http__unsent(conn) < conn->stall_mark)
            ifab_http__wait_update(conn); /* slow, but it moves */
        else
            ifab_http__close(conn);
        return;
    case WAIT_LINGER:
    case WAIT_NONE:
        ifab_http__close(conn);
        return;
    }
}

void ifab_http__wait_timer(uv_timer_t *timer)
{
    struct ifab_http_server *server = timer->data;
    uint64_t now = uv_now(server->loop), next = UINT64_MAX;
    for (size_t i = 0; i < WAIT_CLASSES; i++) {
        struct ifab_http__link *ring = &server->waits[i];
        while (!ifab_http__link_alone(ring) && of_link(ring->next)->due_ms <= now)
            expire(of_link(ring->next));
    }
    for (size_t i = 0; i < WAIT_CLASSES; i++) {
        const struct ifab_http__link *ring = &server->waits[i];
        if (!ifab_http__link_alone(ring) && of_link(ring->next)->due_ms < next)
            next = of_link(ring->next)->due_ms;
    }
    if (next != UINT64_MAX)
        ifab_http__timer_arm(server, next);
    ifab_http__listeners_retry(server);
}
