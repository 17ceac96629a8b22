#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H
/*
 * Bytes of one connection in, whole requests out: no socket, no clock, so that tests and fuzzers can feed it in any split. Each head is
 * read twice, by http/head.h and by llhttp; where they differ the request is refused. Invariants:
 * 1. After an error nothing more is taken, and every further call says the same error.
 * 2. A request is told only when its last byte is there; what follows it stays with the caller.
 */
#include "http/server.h"

struct ifab_http_parser;
enum ifab_http_event {
    IFAB_HTTP_MORE,    /* all bytes taken; give more */
    IFAB_HTTP_AT_HEAD, /* a head is there: say the largest body with ifab_http_parser_allow(), then go on */
    IFAB_HTTP_WHOLE,   /* a whole request: ifab_http_parser_request(), valid until the next call */
    IFAB_HTTP_BAD,     /* ifab_http_parser_problem() says why */
};
enum ifab_http_phase { IFAB_HTTP_BETWEEN, IFAB_HTTP_IN_HEAD, IFAB_HTTP_IN_BODY };

/* limits: borrowed for the parser's life (head_bytes, header_count, body_bytes). NULL: out of memory. */
struct ifab_http_parser *ifab_http_parser_new(const struct ifab_http_limits *limits);
void ifab_http_parser_free(struct ifab_http_parser *self); /* accepts NULL */
/* Take from the front of *bytes; on return *bytes is what was not taken. Call again until MORE or BAD. */
enum ifab_http_event ifab_http_parser_next(struct ifab_http_parser *self, struct ifab_view *bytes);
/* After AT_HEAD. Not called: limits.body_bytes. A Content-Length above it is 413 in the next call. */
void ifab_http_parser_allow(struct ifab_http_parser *self, size_t body_bytes);
/* After AT_HEAD: everything but id, peer and body. After WHOLE: everything but id and peer; body may be moved out. */
struct ifab_http_request *ifab_http_parser_request(struct ifab_http_parser *self);
const struct ifab_http_head *ifab_http_parser_head(const struct ifab_http_parser *self); /* the same moments */
struct ifab_http_problem ifab_http_parser_problem(const struct ifab_http_parser *self);
enum ifab_http_phase ifab_http_parser_phase(const struct ifab_http_parser *self);
void ifab_http_parser_by_line(struct ifab_http_parser *self); /* after AT_HEAD: count the lines of this body */
bool ifab_http_parser_counts_lines(const struct ifab_http_parser *self);
uint64_t ifab_http_parser_lines(const struct ifab_http_parser *self); /* ended in this body so far */
void ifab_http_parser_give_up(struct ifab_http_parser *self); /* nothing more is wanted: frees the body; BAD from here on */
size_t ifab_http_parser_body(const struct ifab_http_parser *self); /* bytes of an unfinished body; else 0 */
uint64_t ifab_http_parser_requests(const struct ifab_http_parser *self); /* told so far; tells heads apart for deadlines */
#endif
