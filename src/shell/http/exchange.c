/*
 * Answers in the order of requests, and the calls with which the user gives them.
 *
 *   WAITS --reply--> DONE          DONE and first: its bytes are the connection's, it leaves the list
 *   WAITS --stream--> STREAMS --end--> DONE
 *   WAITS, STREAMS --abort--> ABORTED: what was answered before it still leaves, then the connection closes
 */
#include "base/mem.h"
#include "internal.h"

#define ANSWER_MAX ((size_t)256 * 1024 * 1024) /* all answers waiting on one connection: a bound against our own mistakes */

struct ifab_http__exchange *ifab_http__exchange_push(struct ifab_http__connection *conn, ifab_http_id id)
{
    struct ifab_http_server *server = conn->server;
    struct ifab_http__exchange *self = server->spare;
    if (self != NULL)
        server->spare = self->next;
    else
        self = ifab_malloc(sizeof *self);
    if (self == NULL)
        return NULL;
    *self = (struct ifab_http__exchange){.id = id, .state = EXCHANGE_WAITS};
    ifab_buf_init(&self->out, ANSWER_MAX);
    if (conn->first == NULL)
        conn->first = self;
    else
        conn->last->next = self;
    conn->last = self;
    conn->unanswered += id != 0 ? 1 : 0;
    return self;
}

static void pop(struct ifab_http__connection *conn)
{
    struct ifab_http__exchange *old = conn->first;
    conn->first = old->next;
    if (conn->first == NULL)
        conn->last = NULL;
    conn->unanswered -= old->id != 0 ? 1 : 0;
    ifab_buf_fini(&old->out);
    old->next = conn->server->spare;
    conn->server->spare = old;
}

/* Where the bytes of this exchange go now. */
static struct ifab_buf *sink(struct ifab_http__connection *conn, struct ifab_http__exchange *exchange)
{
    if (exchange != conn->first || conn->ends)
        return &exchange->out;
    if (conn->out.limit == 0)
        ifab_buf_init(&conn->out, ANSWER_MAX);
    return &conn->out;
}

/* The exchange has become the first one: what it gathered is next. */
static void surface(struct ifab_http__connection *conn)
{
    struct ifab_http__exchange *first = conn->first;
    if (first != NULL && ifab_buf_status(&first->out) != IFAB_OK)
        conn->out.failed = ifab_buf_status(&first->out);
    if (first == NULL || conn->ends || first->out.size == 0)
        return;
    if (conn->out.size == 0) { /* usual: nothing before it is left, so the storage changes hands */
        ifab_buf_fini(&conn->out);
        conn->out = first->out;
        ifab_buf_init(&first->out, ANSWER_MAX);
        return;
    }
    ifab_buf_view(sink(conn, first), ifab_buf_as_view(&first->out));
    ifab_buf_fini(&first->out);
    ifab_buf_init(&first->out, ANSWER_MAX);
}

void ifab_http__exchange_settle(struct ifab_http__connection *conn)
{
    while (conn->first != NULL && conn->first->state == EXCHANGE_DONE && !conn->ends) {
        surface(conn);
        bool closes = conn->first->closes;
        pop(conn);
        if (closes) {
            conn->ends = true;
            ifab_http__stop_reading(conn, READING_NOTHING);
        }
    }
    surface(conn);
    if (conn->first != NULL && conn->first->state == EXCHANGE_ABORTED)
        conn->ends = true;
    if (ifab_buf_status(&conn->out) != IFAB_OK) /* an answer is cut: only an end of the connection can say so */
        ifab_http__close(conn);
}

void ifab_http__exchanges_drop(struct ifab_http__connection *conn)
{
    struct ifab_http_server *server = conn->server;
    while (conn->first != NULL) {
        ifab_http_id id = conn->first->id;
        bool open = conn->first->state == EXCHANGE_WAITS || conn->first->state == EXCHANGE_STREAMS;
        pop(conn);
        if (open && id != 0 && server->handlers.on_gone != NULL)
            server->handlers.on_gone(server->handlers.user, id);
    }
}

static void write_error(struct ifab_http_server *server, struct ifab_buf *out, int status, const char *why, bool closes, bool head_only)
{
    struct ifab_buf body = IFAB_BUF_INIT(4096);
    if (server->handlers.error_body != NULL)
        server->handlers.error_body(server->handlers.user, status, why, &body);
    if (ifab_buf_status(&body) != IFAB_OK)
        ifab_buf_fini(&body);
    ifab_http__answer_write(server, out,
                            &(struct ifab_http__answer){.status = status,
                                                        .content_type = body.size > 0 ? "application/json" : NULL,
                                                        .body = ifab_buf_as_view(&body),
                                                        .closes = closes,
                                                        .head_only = head_only});
    ifab_buf_fini(&body);
}

void ifab_http__continue(struct ifab_http__connection *conn)
{
    struct ifab_http__exchange *exchange = ifab_http__exchange_push(conn, 0);
    if (exchange == NULL)
        return; /* the client sends its body anyway after a while */
    ifab_buf_str(sink(conn, exchange), "HTTP/1.1 100 Continue\r\n\r\n");
    exchange->state = EXCHANGE_DONE;
    ifab_http__exchange_settle(conn);
}

void ifab_http__refuse(struct ifab_http__connection *conn, int status, const char *why)
{
    ifab_http__stop_reading(conn, READING_NOTHING);
    struct ifab_http__exchange *exchange = ifab_http__exchange_push(conn, 0);
    if (exchange == NULL) {
        ifab_http__close(conn);
        return;
    }
    write_error(conn->server, sink(conn, exchange), status, why, true, false);
    exchange->closes = true;
    exchange->state = EXCHANGE_DONE;
    ifab_http__exchange_settle(conn);
}

/* The open exchange of that id. One on a connection that is closing is finished here, so that on_gone does not speak of it again. */
static struct ifab_http__exchange *find(struct ifab_http_server *self, ifab_http_id id, struct ifab_http__connection **ret_conn)
{
    size_t slot = (size_t)(id & 0xffff);
    struct ifab_http__connection *conn = slot < ifab_http_slots(&self->limits) ? self->slots[slot] : NULL;
    if (conn == NULL || id == 0)
        return NULL;
    for (struct ifab_http__exchange *e = conn->first; e != NULL; e = e->next) {
        if (e->id != id || (e->state != EXCHANGE_WAITS && e->state != EXCHANGE_STREAMS))
            continue;
        *ret_conn = conn;
        if (!conn->closing)
            return e;
        e->state = EXCHANGE_ABORTED;
        return NULL;
    }
    return NULL;
}

/* What waits on it; *ret_stuck: so much of it because the peer does not read, or because an earlier request is not answered. */
static size_t held(const struct ifab_http__connection *conn, size_t *ret_stuck)
{
    size_t own = conn->out.size + conn->wire.size + conn->writing.size, later = 0;
    for (const struct ifab_http__exchange *e = conn->first; e != NULL; e = e->next)
        later += e->out.size;
    *ret_stuck = later + (conn->write_busy ? own : 0);
    return own + later;
}

/* Who asks for much and does not read it must not take the memory of all: the worst goes. It is told nothing; what it changed stands. */
static void bound_answers(struct ifab_http_server *self, size_t added)
{
    self->answered += added;
    if (self->answered < self->limits.answers_bytes / 32)
        return;
    self->answered = 0;
    for (;;) {
        struct ifab_http__connection *worst = NULL;
        size_t all = 0, most = 0, stuck;
        for (size_t i = 0; i < ifab_http_slots(&self->limits); i++) {
            struct ifab_http__connection *conn = self->slots[i];
            if (conn == NULL || conn->closing)
                continue;
            all += held(conn, &stuck);
            if (stuck > most) {
                most = stuck;
                worst = conn;
            }
        }
        if (all <= self->limits.answers_bytes || worst == NULL)
            return;
        ifab_http__close(worst);
    }
}

static bool answer(struct ifab_http_server *self, ifab_http_id id, const struct ifab_http__answer *given)
{
    struct ifab_http__connection *conn = NULL;
    struct ifab_http__exchange *exchange = find(self, id, &conn);
    if (exchange == NULL || exchange->state != EXCHANGE_WAITS)
        return false;
    struct ifab_http__answer whole = *given;
    struct ifab_buf *out = sink(conn, exchange);
    exchange->closes = exchange->closes || whole.closes || (self->stopping && exchange->next == NULL);
    whole.head_only = exchange->head_only;
    whole.closes = exchange->closes;
    whole.chunked = whole.streams && exchange->chunked;
    if (ifab_http__headers_valid(whole.headers, whole.content_type))
        ifab_http__answer_write(self, out, &whole);
    else
        write_error(self, out, 500, "malformed answer header", whole.closes, whole.head_only);
    if (ifab_buf_status(out) != IFAB_OK) { /* out of memory: no answer is better than half of one */
        exchange->state = EXCHANGE_DONE;
        ifab_http__close(conn);
        return false;
    }
    exchange->state = whole.streams ? EXCHANGE_STREAMS : EXCHANGE_DONE;
    if (!whole.streams)
        ifab_http__exchange_settle(conn);
    ifab_http__dirty(conn);
    bound_answers(self, whole.body.size);
    return true;
}

bool ifab_http_reply(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type, struct ifab_view headers,
                     struct ifab_view body)
{
    return answer(self, id, &(struct ifab_http__answer){.status = status, .content_type = content_type, .headers = headers, .body = body});
}

bool ifab_http_reply_now(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type, struct ifab_view headers,
                         struct ifab_view body)
{
    struct ifab_http__connection *conn = NULL;
    (void)find(self, id, &conn);
    if (!ifab_http_reply(self, id, status, content_type, headers, body))
        return false;
    if (!conn->pumping)
        ifab_http__write(conn);
    return !conn->closing;
}

bool ifab_http_reply_close(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type, struct ifab_view headers,
                           struct ifab_view body)
{
    return answer(self, id,
                  &(struct ifab_http__answer){
                      .status = status, .content_type = content_type, .headers = headers, .body = body, .closes = true});
}

bool ifab_http_stream(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type)
{
    return answer(self, id, &(struct ifab_http__answer){.status = status, .content_type = content_type, .streams = true});
}

void ifab_http_abort(struct ifab_http_server *self, ifab_http_id id)
{
    struct ifab_http__connection *conn = NULL;
    struct ifab_http__exchange *exchange = find(self, id, &conn);
    if (exchange == NULL)
        return;
    exchange->state = EXCHANGE_ABORTED;
    ifab_http__stop_reading(conn, READING_NOTHING);
    ifab_http__exchange_settle(conn);
    ifab_http__dirty(conn);
}

static size_t waiting(const struct ifab_http__connection *conn, const struct ifab_http__exchange *exchange)
{
    return exchange == conn->first ? ifab_http__unsent(conn) : exchange->out.size;
}

ifab_status ifab_http_stream_write(struct ifab_http_server *self, ifab_http_id id, struct ifab_view bytes, bool force)
{
    struct ifab_http__connection *conn = NULL;
    struct ifab_http__exchange *exchange = find(self, id, &conn);
    if (exchange == NULL || exchange->state != EXCHANGE_STREAMS)
        return IFAB_NOT_FOUND;
    if (bytes.size == 0 || exchange->head_only) /* an empty chunk would be the end */
        return IFAB_OK;
    size_t limit = self->limits.write_bytes * (force ? 2 : 1);
    if (waiting(conn, exchange) + bytes.size > limit && exchange == conn->first)
        ifab_http__write(conn); /* much in one turn of the loop: the socket may still take it */
    if (conn->closing) {
        exchange->state = EXCHANGE_ABORTED;
        return IFAB_NOT_FOUND;
    }
    if (waiting(conn, exchange) + bytes.size > limit)
        return IFAB_FULL;
    struct ifab_buf *out = sink(conn, exchange);
    if (exchange->chunked)
        ifab_http__chunk_write(out, bytes);
    else
        ifab_buf_view(out, bytes);
    if (ifab_buf_status(out) != IFAB_OK) {
        exchange->state = EXCHANGE_ABORTED;
        ifab_http__close(conn);
        return IFAB_NOT_FOUND;
    }
    ifab_http__dirty(conn);
    return IFAB_OK;
}

void ifab_http_stream_end(struct ifab_http_server *self, ifab_http_id id)
{
    struct ifab_http__connection *conn = NULL;
    struct ifab_http__exchange *exchange = find(self, id, &conn);
    if (exchange == NULL || exchange->state != EXCHANGE_STREAMS)
        return;
    if (exchange->chunked && !exchange->head_only)
        ifab_buf_str(sink(conn, exchange), "0\r\n\r\n");
    exchange->closes = exchange->closes || !exchange->chunked || (self->stopping && exchange->next == NULL);
    exchange->state = EXCHANGE_DONE;
    ifab_http__exchange_settle(conn);
    ifab_http__dirty(conn);
}

void ifab_http_slow(struct ifab_http_server *self, ifab_http_id id, size_t pipelined)
{
    size_t slot = (size_t)(id & 0xffff);
    struct ifab_http__connection *conn = slot < ifab_http_slots(&self->limits) ? self->slots[slot] : NULL;
    if (conn == NULL || conn->closing || conn->slow == pipelined || find(self, id, &conn) == NULL)
        return;
    conn->slow = pipelined;
    ifab_http__dirty(conn); /* reads on, or stops */
}
