#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H
/*
 * The raw head of a request, judged before llhttp sees it: pure functions over bytes, no clock, no allocation. DESIGN section 9.
 * Two steps: the scan walks bytes as they come and finds the end of the head; the reading then splits the whole head and applies
 * the rules about single fields. Both refuse, never repair. RFC 9112 sections 2.2, 3, 5 and 6, in their strictest reading.
 */
#include "base/view.h"

struct ifab_http_header {
    struct ifab_view name, value; /* borrowed; value without spaces and tabs around it */
};
enum ifab_http_method { IFAB_HTTP_GET, IFAB_HTTP_HEAD, IFAB_HTTP_POST, IFAB_HTTP_DELETE, IFAB_HTTP_OTHER };

/* What is wrong: the status to answer and a static text. status 0: nothing. */
struct ifab_http_problem {
    int status;
    const char *why;
};

/*
 * Progress through one head. Zeroed = before its first byte.
 * Refused: CR not followed by LF, LF not preceded by CR, a line that begins with space or tab, NUL and control characters (a tab inside a
 * field's line excepted), bytes beyond ASCII in the first line, an empty first line (400); a head or a header count above its limit (431).
 */
struct ifab_http_scan {
    size_t size;      /* bytes of the head so far, the blank line's included */
    size_t line_size; /* bytes of the line so far */
    size_t lines;     /* lines complete, the first one included */
    bool cr;          /* the last byte was CR */
    bool done;
    struct ifab_http_problem problem;
};
enum ifab_http_scanned { IFAB_HTTP_SCAN_MORE, IFAB_HTTP_SCAN_DONE, IFAB_HTTP_SCAN_BAD };
/* Take bytes up to the end of the head; *ret_used says how many. After DONE or BAD it takes no more. */
enum ifab_http_scanned ifab_http_scan(struct ifab_http_scan *self, size_t head_bytes, size_t header_count, struct ifab_view bytes,
                                      size_t *ret_used);

struct ifab_http_head { /* all views borrowed from the head */
    enum ifab_http_method method;
    struct ifab_view method_text, target, path, query, host;
    unsigned minor;      /* HTTP/1.minor */
    size_t header_count;
    bool chunked;
    bool has_length;
    uint64_t length;     /* of the body, when has_length */
    bool expects;        /* Expect: 100-continue, HTTP/1.1 only */
    bool closes;         /* HTTP/1.0, or Connection: close */
};
/*
 * Read a whole head that the scan accepted. headers: room for max of them.
 * 400: first line or field malformed; Host missing, twice, empty; Content-Length twice, malformed, or beside Transfer-Encoding;
 * Transfer-Encoding twice or in HTTP/1.0; Trailer. 405: CONNECT. 417: Expect other than 100-continue. 431: too many fields. 501: Upgrade,
 * unknown method, Transfer-Encoding other than exactly "chunked". 505: other version. *ret_head is written on success only.
 */
struct ifab_http_problem ifab_http_head_read(struct ifab_view head, struct ifab_http_header *headers, size_t max,
                                             struct ifab_http_head *ret_head);

/*
 * The framing of a chunked body, judged byte by byte beside llhttp: size line of 1 to 8 hex digits and nothing else, CR LF after size and
 * data, nothing between the last chunk and its blank line. So chunk extensions and trailers are refused. Zeroed = before the first size.
 */
struct ifab_http_chunks {
    enum {
        IFAB_HTTP_CHUNK_SIZE,
        IFAB_HTTP_CHUNK_SIZE_LF,
        IFAB_HTTP_CHUNK_DATA,
        IFAB_HTTP_CHUNK_DATA_CR,
        IFAB_HTTP_CHUNK_DATA_LF,
        IFAB_HTTP_CHUNK_LAST_CR,
        IFAB_HTTP_CHUNK_LAST_LF,
    } state;
    unsigned digits;
    uint64_t left; /* of the chunk */
};
/* As ifab_http_scan(). *ret_problem is written when BAD. */
enum ifab_http_scanned ifab_http_chunks(struct ifab_http_chunks *self, struct ifab_view bytes, size_t *ret_used,
                                        struct ifab_http_problem *ret_problem);
#endif
