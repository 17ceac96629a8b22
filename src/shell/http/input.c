/* Bytes of a connection to requests, and requests to the user. What cannot be parsed yet goes back to the caller. */
#include "internal.h"

static void at_head(struct ifab_http__connection *conn, bool body_began)
{
    const struct ifab_http_handlers *handlers = &conn->server->handlers;
    const struct ifab_http_head *head = ifab_http_parser_head(conn->parser);
    size_t allowed = conn->server->limits.body_bytes;
    if (handlers->on_head != NULL) {
        struct ifab_http_request *request = ifab_http_parser_request(conn->parser);
        request->peer = &conn->peer;
        allowed = handlers->on_head(handlers->user, request);
    }
    ifab_http_parser_allow(conn->parser, allowed);
    if (handlers->by_line != NULL && handlers->by_line(handlers->user, ifab_http_parser_request(conn->parser)))
        ifab_http_parser_by_line(conn->parser);
    bool comes = head->chunked || (head->has_length && head->length > 0 && head->length <= allowed);
    if (head->expects && comes && !body_began && !conn->closing)
        ifab_http__continue(conn);
}

static void whole(struct ifab_http__connection *conn)
{
    struct ifab_http_server *server = conn->server;
    const struct ifab_http_head *head = ifab_http_parser_head(conn->parser);
    struct ifab_http_request *request = ifab_http_parser_request(conn->parser);
    struct ifab_http__exchange *exchange = ifab_http__exchange_push(conn, ++server->next_request << 16 | conn->slot);
    if (exchange == NULL) {
        ifab_http__close(conn);
        return;
    }
    exchange->head_only = head->method == IFAB_HTTP_HEAD;
    exchange->chunked = head->minor == 1;
    exchange->closes = head->closes;
    if (head->closes)
        ifab_http__stop_reading(conn, READING_DISCARDS);
    request->id = exchange->id;
    request->peer = &conn->peer;
    server->handlers.on_request(server->handlers.user, request);
}

#define SMALL_BODY ((size_t)64 * 1024)

/* Unfinished bodies are bounded together: many that never end must not take all memory. Small ones still come in. */
static void weigh(struct ifab_http__connection *conn)
{
    struct ifab_http_server *server = conn->server;
    size_t now = ifab_http_parser_body(conn->parser);
    server->bodies += now - conn->body;
    conn->body = now;
    if (server->bodies <= server->limits.bodies_bytes || now <= SMALL_BODY)
        return;
    ifab_http_parser_give_up(conn->parser);
    server->bodies -= conn->body;
    conn->body = 0;
    ifab_http__refuse(conn, 503, "too much is being sent at once");
}

struct ifab_view ifab_http__receive(struct ifab_http__connection *conn, struct ifab_view bytes)
{
    while (conn->reading == READING_REQUESTS && !conn->closing) {
        /* Only between requests: within one, the head may still stand in the bytes. */
        if (ifab_http_parser_phase(conn->parser) == IFAB_HTTP_BETWEEN && ifab_http__paused(conn))
            return bytes;
        switch (ifab_http_parser_next(conn->parser, &bytes)) {
        case IFAB_HTTP_MORE:
            weigh(conn);
            return bytes;
        case IFAB_HTTP_AT_HEAD:
            at_head(conn, bytes.size > 0);
            break;
        case IFAB_HTTP_WHOLE:
            weigh(conn);
            whole(conn);
            break;
        case IFAB_HTTP_BAD: {
            struct ifab_http_problem problem = ifab_http_parser_problem(conn->parser);
            ifab_http__refuse(conn, problem.status, problem.why);
            break;
        }
        }
    }
    return (struct ifab_view){NULL, 0};
}
