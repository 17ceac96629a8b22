#ifndef EGRESS_URL_H
#define EGRESS_URL_H
/*
 * What a guest may ask for: one strict parser of URLs, and the rows of its manifest. docs/formats/egress.md; requirements FL-CHS-6.
 * Refused, never repaired: what two parsers could read in two ways is no URL here. What this file has accepted is written again from its
 * parts by ifab_url_write(), and only those bytes are ever handed on. Pure; threads: any.
 */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"
#include "egress/address.h"

#define IFAB_URL_MAX  8192 /* bytes, whole */
#define IFAB_PATH_MAX 2048 /* bytes */

/* X(NAME, "text", port, TLS): ws and wss are WebSocket (RFC 6455). Zeroed memory is no scheme. */
#define IFAB_SCHEME_MAP(X)       \
    X(HTTP, "http", 80, false)   \
    X(HTTPS, "https", 443, true) \
    X(WS, "ws", 80, false)       \
    X(WSS, "wss", 443, true)
#define IFAB_SCHEME_ENUM_(name, text, port, tls) IFAB_SCHEME_##name,
enum ifab_scheme { IFAB_SCHEME_NONE = 0, IFAB_SCHEME_MAP(IFAB_SCHEME_ENUM_) };
#undef IFAB_SCHEME_ENUM_
const char *ifab_scheme_name(enum ifab_scheme scheme); /* "none" for 0 */
bool ifab_scheme_parse(struct ifab_view text, enum ifab_scheme *ret_scheme);
bool ifab_scheme_is_tls(enum ifab_scheme scheme);
bool ifab_scheme_is_socket(enum ifab_scheme scheme); /* ws, wss */

struct ifab_origin_parts { /* compared on all three, byte by byte */
    enum ifab_scheme scheme;
    struct ifab_view host; /* lower case: a name, four decimal numbers, or an IPv6 literal without its brackets, as RFC 5952 writes it */
    uint16_t port;         /* 1..65535; the scheme's own where none stands */
};
struct ifab_url { /* all views borrowed from the text */
    struct ifab_origin_parts origin;
    bool is_address; /* host is an address, not a name */
    struct ifab_address address;
    struct ifab_view path;  /* with its first slash; "/" where the text has none */
    struct ifab_view query; /* without '?' */
    bool has_query;
};
/*
 * scheme "://" host [":" port] ["/" path] ["?" query], visible ASCII, at most IFAB_URL_MAX bytes; scheme and host in lower case; no user, no
 * fragment, no backslash; host and port as base/authority.h spells them (so 2130706433, 0x7f.1, 127.1 and 0177.0.0.1 are no hosts).
 * IFAB_TOO_LARGE; IFAB_INVALID: err says what, with the offset. Errors hold no byte of path or query.
 */
IFAB_MUST_CHECK ifab_status ifab_url_parse(struct ifab_view text, struct ifab_url *ret_url, struct ifab_error *err);
/* "https://host[:port]" and nothing behind it. IFAB_INVALID. */
IFAB_MUST_CHECK ifab_status ifab_origin_read(struct ifab_view text, struct ifab_origin_parts *ret_origin, struct ifab_error *err);
bool ifab_origin_same(const struct ifab_origin_parts *a, const struct ifab_origin_parts *b);
/* scheme://host[:port], the port only where it is not the scheme's own; an IPv6 literal in brackets. */
void ifab_origin_write(const struct ifab_origin_parts *origin, struct ifab_buf *text);
/* The host as a Host header has it: with the port where it is not the scheme's own. */
void ifab_origin_write_host(const struct ifab_origin_parts *origin, struct ifab_buf *text);
/* The whole URL from its parts; extra_query ("" for none) is put behind the query with '&' or '?'. */
void ifab_url_write(const struct ifab_url *url, struct ifab_view extra_query, struct ifab_buf *text);

/*
 * Begins with '/'; no empty segment but the last; characters of RFC 3986 pchar; no segment that is "." or "..", nor one that becomes it when
 * its parameters (";…") are cut off; %HH only for bytes that must be encoded and mean nothing in a path: not unreserved ones, '/', '\', '%',
 * controls; what is encoded above 7F is UTF-8. At most IFAB_PATH_MAX bytes.
 */
bool ifab_path_valid(struct ifab_view path);

/* X(NAME, "text", may have a body) */
#define IFAB_EGRESS_METHOD_MAP(X) \
    X(GET, "GET", false)          \
    X(HEAD, "HEAD", false) X(POST, "POST", true) X(PUT, "PUT", true) X(PATCH, "PATCH", true) X(DELETE, "DELETE", true) X(OPTIONS, "OPTIONS", false)
#define IFAB_EGRESS_METHOD_ENUM_(name, text, body) IFAB_EGRESS_METHOD_##name,
enum ifab_egress_method { IFAB_EGRESS_METHOD_MAP(IFAB_EGRESS_METHOD_ENUM_) IFAB_EGRESS_METHOD_COUNT };
#undef IFAB_EGRESS_METHOD_ENUM_
const char *ifab_egress_method_name(enum ifab_egress_method method);
bool ifab_egress_method_parse(struct ifab_view text, enum ifab_egress_method *ret_method); /* exact, upper case */
bool ifab_egress_method_has_body(enum ifab_egress_method method);

struct ifab_egress_row { /* a row of the manifest's http[]; zeroed lets nothing pass */
    struct ifab_origin_parts origin;
    struct ifab_view path; /* pattern: whole segments, each as it stands; "*" is one that is not empty; "**" as the last is one or more */
    uint32_t methods;      /* 1U << enum ifab_egress_method */
    bool read;             /* effect read: passes in dry-run */
    bool beyond;           /* its effect is more than the call's operation may have: it never passes */
};
bool ifab_egress_row_matches(const struct ifab_egress_row *row, const struct ifab_url *url, enum ifab_egress_method method);
#endif
