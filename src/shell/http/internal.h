#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H
/*
 * What server, listeners and connections share. Everything on the loop's thread. Invariants:
 * 1. The user's functions run from the loop only, never within a call of the user's: such a call marks the connection dirty, the pump
 * does the rest.
 * 2. Answers leave in the order of requests: only the first exchange writes to the connection's buffer, later ones to their own.
 * 3. A connection is freed in its close callback and nowhere else; between uv_close() and there it is `closing` and finds no id.
 */
#include "http/parser.h"
#include "http/server.h"
#include "tls/tls.h"

struct ifab_http__link { /* of a ring; a lone one points to itself */
    struct ifab_http__link *previous, *next;
};
static inline void ifab_http__link_init(struct ifab_http__link *self)
{
    self->previous = self->next = self;
}
static inline bool ifab_http__link_alone(const struct ifab_http__link *self)
{
    return self->next == self;
}
static inline void ifab_http__link_remove(struct ifab_http__link *self)
{
    self->previous->next = self->next;
    self->next->previous = self->previous;
    ifab_http__link_init(self);
}
static inline void ifab_http__link_last(struct ifab_http__link *ring, struct ifab_http__link *self)
{
    ifab_http__link_remove(self);
    self->previous = ring->previous;
    self->next = ring;
    ring->previous->next = self;
    ring->previous = self;
}

/* A request from its last byte until its answer has been handed to the connection's buffer. id 0: words of the server itself. */
struct ifab_http__exchange {
    struct ifab_http__exchange *next;
    ifab_http_id id;
    enum { EXCHANGE_WAITS, EXCHANGE_STREAMS, EXCHANGE_DONE, EXCHANGE_ABORTED } state;
    bool head_only, chunked, closes; /* HEAD; the stream is chunked; the connection ends behind it */
    struct ifab_buf out;             /* while an earlier one is not finished */
};

/* Why a connection has a deadline. Each class has one length, so its ring is in order of the deadlines. */
enum ifab_http__wait { WAIT_HEAD, WAIT_BODY, WAIT_LINE, WAIT_IDLE, WAIT_LINGER, WAIT_CLASSES, WAIT_NONE = WAIT_CLASSES };

enum ifab_http__reading {
    READING_REQUESTS,
    READING_DISCARDS, /* after the last request: only to notice that the peer left */
    READING_NOTHING,
};

struct ifab_http__connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct ifab_http_server *server;
    struct ifab_http_parser *parser;
    struct ifab_http__exchange *first, *last;
    size_t unanswered; /* exchanges with an id in the list */
    size_t slow;       /* at most so many of them; 0: the server's limit */
    struct ifab_buf out, writing; /* gathered; handed to libuv */
    struct ifab_tls *tls;         /* NULL: plain */
    struct ifab_buf plain, wire;  /* TLS: what one read said; records that wait to be written, behind them out */
    struct ifab_buf pending;      /* read, not yet parsed, while reading is stopped */
    size_t pending_at, discarded;
    size_t body; /* its part of the server's bodies */
    uv_write_t write;
    uv_shutdown_t shutdown;
    enum ifab_http__reading reading;
    bool uv_reads, write_busy, closing, lingers, peer_done, pumping, ends; /* ends: behind what is in out, the connection closes */
    struct ifab_http__link dirty, timed;
    enum ifab_http__wait wait;
    uint64_t due_ms, wait_for; /* wait_for: number of the request whose head or body is awaited */
    uint64_t wait_line, lines_since_ms; /* WAIT_LINE: lines that have come; when the first was awaited */
    size_t stall_mark;         /* bytes queued when the idle wait began */
    uint32_t slot;
    struct ifab_http_peer peer;
};

struct ifab_http__listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct ifab_http_server *server;
    struct ifab_http__listener *next;
    char *path; /* unix socket to remove, owned */
    uint64_t device, inode, logged_ms;
    bool owes; /* a connection waits that we had no memory for */
};

#define IFAB_HTTP__SLAB ((size_t)64 * 1024)

struct ifab_http_server {
    uv_loop_t *loop;
    struct ifab_http_limits limits;
    struct ifab_http_handlers handlers;
    uv_timer_t timer; /* the earliest deadline */
    uv_check_t check; /* after each poll: writes what was answered meanwhile */
    uv_idle_t idle;   /* while something is dirty the loop may not sleep */
    const struct ifab_tls_context *tls; /* of TCP connections from now on; NULL: plain */
    struct ifab_http__listener *listeners;
    struct ifab_http__connection **slots;
    uint32_t *free_slots;
    size_t free_count, connection_count, tcp_count;
    size_t bodies; /* bytes, of all that are still coming */
    size_t answered; /* bytes, since those that wait to be read were last counted */
    struct ifab_http__exchange *spare; /* exchanges for reuse */
    struct ifab_http__link dirty, waits[WAIT_CLASSES];
    uint64_t timer_due, next_request, next_connection;
    size_t handles; /* not yet closed */
    char *slab;     /* every read goes here first */
    int64_t date_second;
    char date[32];
    bool stopping, base_closing, freed;
    void (*done)(void *user);
    void *done_user;
};

/* answer.c */
struct ifab_http__answer {
    int status;
    const char *content_type;
    struct ifab_view headers, body;
    bool chunked, streams, closes, head_only;
};
void ifab_http__answer_write(struct ifab_http_server *server, struct ifab_buf *out, const struct ifab_http__answer *answer);
bool ifab_http__headers_valid(struct ifab_view headers, const char *content_type);
void ifab_http__chunk_write(struct ifab_buf *out, struct ifab_view bytes);

/* exchange.c: answers in the order of requests */
struct ifab_http__exchange *ifab_http__exchange_push(struct ifab_http__connection *conn, ifab_http_id id); /* NULL: out of memory */
void ifab_http__exchange_settle(struct ifab_http__connection *conn); /* lets finished ones go, first to last */
void ifab_http__exchanges_drop(struct ifab_http__connection *conn);  /* closed: tells on_gone */
void ifab_http__continue(struct ifab_http__connection *conn); /* 100 Continue, in its turn */
/* The server's own answer, after which the connection ends. */
void ifab_http__refuse(struct ifab_http__connection *conn, int status, const char *why);

/* connection.c */
bool ifab_http__accept(struct ifab_http_server *server, uv_stream_t *listener, bool unix_socket); /* false: out of memory, still waiting */
void ifab_http__pump(struct ifab_http__connection *conn); /* parse what is pending, write, read on or end */
void ifab_http__dirty(struct ifab_http__connection *conn);
void ifab_http__close(struct ifab_http__connection *conn);
void ifab_http__stop_reading(struct ifab_http__connection *conn, enum ifab_http__reading reading);
/* input.c: parse, tell requests; returns what has to wait while the connection is paused. */
struct ifab_view ifab_http__receive(struct ifab_http__connection *conn, struct ifab_view bytes);
bool ifab_http__paused(const struct ifab_http__connection *conn);
size_t ifab_http__unsent(const struct ifab_http__connection *conn);
void ifab_http__write(struct ifab_http__connection *conn); /* as much as the socket takes now */

/* secure.c: TLS between the socket and the parser. */
bool ifab_http__shaking(const struct ifab_http__connection *conn); /* TLS, and the handshake is not done: nothing can be said yet */
/* What the peer's bytes say, until the next call. false: they are refused; what must be said is written, the connection is closed. */
bool ifab_http__open_records(struct ifab_http__connection *conn, struct ifab_view bytes, struct ifab_view *ret_plain);
/* out into records, at the end of wire. false: closed. */
bool ifab_http__make_records(struct ifab_http__connection *conn);
void ifab_http__say_close(struct ifab_http__connection *conn); /* close_notify, as far as the socket takes it now */

/* wait.c: deadlines */
void ifab_http__wait_update(struct ifab_http__connection *conn);
void ifab_http__wait_none(struct ifab_http__connection *conn);
void ifab_http__wait_timer(uv_timer_t *timer);
void ifab_http__timer_arm(struct ifab_http_server *server, uint64_t due_ms);

/* listen.c, server.c */
void ifab_http__listeners_close(struct ifab_http_server *server);
void ifab_http__listeners_retry(struct ifab_http_server *server);
void ifab_http__server_wake(struct ifab_http_server *server); /* something is dirty */
void ifab_http__handle_closed(struct ifab_http_server *server);
void ifab_http__wind_up(struct ifab_http_server *server); /* stopping and no connection left: close the rest */
#endif
