#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H
/*
 * HTTP/1.1 on a libuv loop: sockets in, whole requests out, answers in the order of the requests. It knows no route. DESIGN section 9,
 * SURFACE section 8. llhttp parses after our own scan of the raw head (lone CR or LF, folded lines, first line ends " HTTP/1.0" or "
 * HTTP/1.1"); exactly one Host; CL+TE, two Content-Length, trailers, Upgrade and CONNECT refused and closed; a deadline for the whole
 * head and for the body, or for each of its lines; nothing read after an error. Limits below. Threads: everything on the loop's thread. The handlers run from the
 * loop, never within a call. A peer that ends its side: its streams are gone; a waiting request is gone when a unix socket says that both
 * sides are closed, else it may still be answered (the peer may have shut only its own side). SIGPIPE is set to be ignored when it has
 * its default action.
 */
#include <uv.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"
#include "http/head.h"

struct ifab_http_limits {
    size_t head_bytes;      /* 16 KiB */
    size_t header_count;    /* 64 */
    size_t body_bytes;      /* 256 KiB: any route, unless the body fn says otherwise */
    uint64_t head_ms;       /* 10,000: whole head, from the first byte */
    uint64_t body_ms;       /* 30,000: whole body */
    uint64_t line_ms;       /* 10,000: each line of a body that is told by lines; */
    uint64_t lines_ms;      /* 600,000: all of it */
    uint64_t idle_ms;       /* 75,000: between requests */
    size_t bodies_bytes;    /* 256 MiB: of all bodies that are still coming; past it a large one is 503 */
    size_t answers_bytes;   /* 256 MiB: of all answers that wait to be read; past it the connection that reads least is closed */
    size_t connections;     /* 1,024 of unix sockets */
    size_t tcp_connections; /* 1,024 beside them: a flood of addresses does not lock out the operator's socket */
    size_t address_connections; /* 512 of one address */
    size_t pipelined;       /* 64 requests not yet answered on one connection: reading stops */
    size_t write_bytes;     /* 256 KiB waiting on a stream: lagged and closed */
};
void ifab_http_limits_default(struct ifab_http_limits *ret);

/* Names a request until it is answered or its connection closed; never reused; 0 is none. */
typedef uint64_t ifab_http_id;
struct ifab_http_peer {
    bool unix_socket;
    uint32_t uid, pid;         /* SO_PEERCRED; unix socket only */
    char address[64];          /* "127.0.0.1:40112" or "unix" */
    bool tls, has_key;         /* TLS; the peer showed a certificate and proved its key */
    uint8_t key32[32];         /* SHA-256 of its SubjectPublicKeyInfo */
    uint64_t connection;       /* number of the connection, grows */
    uint32_t slot;             /* its place among those open, below ifab_http_slots(); used again */
};
struct ifab_http_request { /* borrowed until on_request returns, except that body may be taken */
    ifab_http_id id;
    enum ifab_http_method method;
    struct ifab_view method_text, target, path, query; /* path: before '?', not decoded; query: after it */
    struct ifab_view host;
    const struct ifab_http_header *headers;
    size_t header_count;
    struct ifab_buf *body; /* whole body; to keep it, move the struct out and zero it */
    const struct ifab_http_peer *peer;
};
/* First header of that name (ASCII case-insensitive); size 0 when absent. */
struct ifab_view ifab_http_header(const struct ifab_http_request *request, const char *name);
/* Decoded query parameter into buf (cleared first). false: absent, twice, or bad percent-encoding / control character. */
bool ifab_http_query(const struct ifab_http_request *request, const char *name, struct ifab_buf *value);

struct ifab_http_server;
struct ifab_http_handlers {
    /* A whole request. Answer now or later with ifab_http_reply() / ifab_http_stream(). */
    void (*on_request)(void *user, struct ifab_http_request *request);
    /* The head is there: largest body this request may have (0: none allowed). NULL: limits.body_bytes. id is still 0, body NULL. */
    size_t (*on_head)(void *user, const struct ifab_http_request *request);
    /* The connection of an unanswered request or open stream has gone. Not for an id that was aborted, or for which a call has said
     * "gone" already. */
    void (*on_gone)(void *user, ifab_http_id id);
    /* A malformed request was answered by the server itself with this status (400, 413, 408, 431, 501, 505 …): writes the body; may be
     * NULL. */
    void (*error_body)(void *user, int status, const char *why, struct ifab_buf *body);
    void *user;
    /* After on_head: does its body come in lines, each with a deadline of its own? NULL: none does. */
    bool (*by_line)(void *user, const struct ifab_http_request *request);
};
IFAB_MUST_CHECK ifab_status ifab_http_server_new(uv_loop_t *loop, const struct ifab_http_limits *limits,
                                                 const struct ifab_http_handlers *handlers, struct ifab_http_server **ret_server,
                                                 struct ifab_error *err);
/*
 * Path at most 107 bytes (IFAB_INVALID). Mode 0600 from birth; who lets other uids in changes it afterwards with chmod(2). A dead socket
 * file is replaced; a live one, or a file that is no socket, is IFAB_CONFLICT. Stop and kill remove it.
 */
IFAB_MUST_CHECK ifab_status ifab_http_listen_unix(struct ifab_http_server *self, const char *path, struct ifab_error *err);
/* TCP connections accepted from now on speak TLS by this context, which outlives them or the next call. NULL: plain. */
struct ifab_tls_context;
void ifab_http_set_tls(struct ifab_http_server *self, const struct ifab_tls_context *context);
/* "127.0.0.1:8474", "[::1]:0"; without TLS only loopback addresses: IFAB_UNSUPPORTED. Port in use: IFAB_CONFLICT. *ret_port (may be
 * NULL): the kernel's choice. */
IFAB_MUST_CHECK ifab_status ifab_http_listen_tcp(struct ifab_http_server *self, const char *address, uint16_t *ret_port,
                                                 struct ifab_error *err);
/* Answer. headers: lines "Name: value\r\n" beyond Content-Type, Content-Length, Connection, Date (which are the server's), may be empty.
 * body copied. false: the request is gone (also when memory for the answer is: the connection closes). HEAD: body is not sent. Once per
 * id. A malformed line in headers makes it 500. */
bool ifab_http_reply(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type, struct ifab_view headers,
                     struct ifab_view body);
/* As reply, and handed to the kernel at once when nothing stands before it: false also when it says that the peer has closed. */
bool ifab_http_reply_now(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type, struct ifab_view headers,
                         struct ifab_view body);
/* As reply, and the connection closes afterwards. */
bool ifab_http_reply_close(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type, struct ifab_view headers,
                           struct ifab_view body);
/* Close without an answer: outcome unknown. Answers to earlier requests of the connection still leave. */
void ifab_http_abort(struct ifab_http_server *self, ifab_http_id id);
/* Begin a stream (SSE: text/event-stream, chunked). Then write, then end. */
bool ifab_http_stream(struct ifab_http_server *self, ifab_http_id id, int status, const char *content_type);
/* IFAB_OK; IFAB_NOT_FOUND: gone; IFAB_FULL: over write_bytes: nothing was queued, the caller sends its last event with force (up to twice
 * write_bytes) and ends. */
ifab_status ifab_http_stream_write(struct ifab_http_server *self, ifab_http_id id, struct ifab_view bytes, bool force);
void ifab_http_stream_end(struct ifab_http_server *self, ifab_http_id id);
/* The connection of this request: at most so many not yet answered, then reading stops (limits.pipelined at the most; 0: as many as that).
 * What the peer sends meanwhile stays with the kernel, then with the peer. Nothing happens when the request is gone. */
void ifab_http_slow(struct ifab_http_server *self, ifab_http_id id, size_t pipelined);
size_t ifab_http_connections(const struct ifab_http_server *self);
size_t ifab_http_slots(const struct ifab_http_limits *limits);
/* Stop: no new connections; idle ones close; answered ones close after their answer. done runs when all are closed. */
void ifab_http_server_stop(struct ifab_http_server *self, void (*done)(void *user), void *user);
/* Close all at once (second SIGTERM). */
void ifab_http_server_kill(struct ifab_http_server *self);
void ifab_http_server_free(struct ifab_http_server *self); /* after done, or after the loop ran dry */
#endif
