/*
 * URLs, strictly. Invariant: whatever is accepted, ifab_url_write() gives bytes that every reader of RFC 3986 and of the WHATWG's URL
 * standard takes for the same scheme, host, port and path.
 */
#include "egress/url.h"

#include "base/encode.h"
#include "base/mem.h"

struct scheme_row {
    const char *name;
    uint16_t port;
    bool tls;
};
#define ROW(name_, text, port, tls) [IFAB_SCHEME_##name_] = {text, port, tls},
static const struct scheme_row schemes[] = {{"none", 0, false}, IFAB_SCHEME_MAP(ROW)};
#undef ROW

const char *ifab_scheme_name(enum ifab_scheme scheme) { return schemes[(size_t)scheme < IFAB_COUNT(schemes) ? scheme : 0].name; }
bool ifab_scheme_is_tls(enum ifab_scheme scheme) { return (size_t)scheme < IFAB_COUNT(schemes) && schemes[scheme].tls; }
bool ifab_scheme_is_socket(enum ifab_scheme scheme) { return scheme == IFAB_SCHEME_WS || scheme == IFAB_SCHEME_WSS; }
bool ifab_scheme_parse(struct ifab_view text, enum ifab_scheme *ret_scheme)
{
    for (size_t i = 1; i < IFAB_COUNT(schemes); i++) {
        if (ifab_view_is(text, schemes[i].name)) {
            *ret_scheme = (enum ifab_scheme)i;
            return true;
        }
    }
    return false;
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
static bool is_alpha(uint8_t c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
static bool is_unreserved(uint8_t c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~'; }
static int hex_value(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/* RFC 3986 pchar without the percent sign */
static bool is_pchar(uint8_t c) { return is_unreserved(c) || (c != 0 && memchr("!$&'()*+,;=:@", c, 13) != NULL); }

/* What is encoded must need it, and mean nothing where a path is cut into segments. Writes the byte. */
static bool escape_valid(const uint8_t *at, size_t left, uint8_t *ret_byte)
{
    if (left < 3 || hex_value(at[1]) < 0 || hex_value(at[2]) < 0)
        return false;
    uint8_t byte = (uint8_t)(hex_value(at[1]) * 16 + hex_value(at[2]));
    *ret_byte = byte;
    return byte >= 0x20 && byte != 0x7f && byte != '/' && byte != '\\' && byte != '%' && !is_unreserved(byte);
}
static bool segment_valid(struct ifab_view segment)
{
    uint8_t text[IFAB_PATH_MAX];
    size_t size = 0, plain = 0;
    for (size_t i = 0; i < segment.size; size++) {
        if (segment.data[i] == '%') {
            if (!escape_valid(segment.data + i, segment.size - i, &text[size]))
                return false;
            i += 3;
        } else if (is_pchar(segment.data[i])) {
            text[size] = segment.data[i++];
        } else {
            return false;
        }
    }
    while (plain < size && text[plain] != ';') /* "..;x" is ".." to servers that know path parameters, also when ';' is encoded */
        plain++;
    if ((plain == 1 && text[0] == '.') || (plain == 2 && text[0] == '.' && text[1] == '.'))
        return false;
    return ifab_utf8_valid(ifab_view_of(text, size));
}
bool ifab_path_valid(struct ifab_view path)
{
    size_t begin = 1;
    if (path.size == 0 || path.size > IFAB_PATH_MAX || path.data[0] != '/')
        return false;
    for (size_t i = 1; i <= path.size; i++) {
        if (i < path.size && path.data[i] != '/')
            continue;
        if ((i == begin && i < path.size) || !segment_valid(ifab_view_of(path.data + begin, i - begin)))
            return false;
        begin = i + 1;
    }
    return true;
}
static bool query_valid(struct ifab_view query)
{
    for (size_t i = 0; i < query.size; i++) {
        uint8_t c = query.data[i];
        if (c == '%') {
            if (query.size - i < 3 || hex_value(query.data[i + 1]) < 0 || hex_value(query.data[i + 2]) < 0)
                return false;
            i += 2;
        } else if (!is_pchar(c) && c != '/' && c != '?') {
            return false;
        }
    }
    return true;
}

static ifab_status bad(struct ifab_error *err, size_t offset, const char *what)
{
    if (err != NULL && err->status == IFAB_OK)
        err->offset = (uint32_t)offset;
    return ifab_fail(err, IFAB_INVALID, "URL: %s", what);
}

/* host [":" port], the bytes between "://" and the next '/', '?' or end. `at`: their offset, for messages. */
static ifab_status authority_read(struct ifab_view text, size_t at, struct ifab_url *url, struct ifab_error *err)
{
    struct ifab_authority authority;
    enum ifab_authority_fault fault = ifab_authority_parse(text, &authority);
    if (fault != IFAB_AUTHORITY_GOOD)
        return bad(err, at + authority.fault_at, ifab_authority_fault_text(fault));
    url->origin.host = authority.host;
    url->is_address = authority.is_address;
    url->address = authority.address;
    if (authority.has_port)
        url->origin.port = authority.port;
    return IFAB_OK;
}

ifab_status ifab_url_parse(struct ifab_view text, struct ifab_url *ret_url, struct ifab_error *err)
{
    struct ifab_url url = {.is_address = false};
    size_t at = 0, begin;
    if (text.size > IFAB_URL_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "URL: longer than %d bytes", IFAB_URL_MAX);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return bad(err, i, "a byte that is not visible ASCII");
        if (text.data[i] == '#' || text.data[i] == '\\')
            return bad(err, i, "a fragment or backslash has no place in it");
    }
    while (at < text.size && text.data[at] != ':')
        at++;
    if (!ifab_scheme_parse(ifab_view_of(text.data, at), &url.origin.scheme))
        return bad(err, 0, "begins with none of http:// https:// ws:// wss://");
    if (text.size - at < 3 || memcmp(text.data + at, "://", 3) != 0)
        return bad(err, at, "no :// behind the scheme");
    url.origin.port = schemes[url.origin.scheme].port;
    begin = at += 3;
    while (at < text.size && text.data[at] != '/' && text.data[at] != '?')
        at++;
    IFAB_TRY(authority_read(ifab_view_of(text.data + begin, at - begin), begin, &url, err));
    begin = at;
    while (at < text.size && text.data[at] != '?')
        at++;
    url.path = at == begin ? IFAB_VIEW("/") : ifab_view_of(text.data + begin, at - begin);
    if (!ifab_path_valid(url.path))
        return bad(err, begin, "the path: whole segments, nothing encoded that need not be, no dots, slashes, backslashes or controls encoded");
    url.has_query = at < text.size;
    url.query = url.has_query ? ifab_view_of(text.data + at + 1, text.size - at - 1) : (struct ifab_view){NULL, 0};
    if (!query_valid(url.query))
        return bad(err, at, "the query: a byte that must be percent-encoded");
    *ret_url = url;
    return IFAB_OK;
}

ifab_status ifab_origin_read(struct ifab_view text, struct ifab_origin_parts *ret_origin, struct ifab_error *err)
{
    struct ifab_url url;
    IFAB_TRY(ifab_url_parse(text, &url, err));
    if (url.has_query || url.path.data + url.path.size == text.data + text.size)
        return bad(err, 0, "an origin ends behind host and port");
    *ret_origin = url.origin;
    return IFAB_OK;
}

bool ifab_origin_same(const struct ifab_origin_parts *a, const struct ifab_origin_parts *b)
{
    return a->scheme != IFAB_SCHEME_NONE && a->scheme == b->scheme && a->port == b->port && a->port != 0 && a->host.size > 0 &&
           ifab_view_equal(a->host, b->host);
}

void ifab_origin_write_host(const struct ifab_origin_parts *origin, struct ifab_buf *text)
{
    bool literal = origin->host.size > 0 && memchr(origin->host.data, ':', origin->host.size) != NULL;
    if (literal)
        ifab_buf_char(text, '[');
    ifab_buf_view(text, origin->host);
    if (literal)
        ifab_buf_char(text, ']');
    if (origin->port != schemes[origin->scheme].port) {
        ifab_buf_char(text, ':');
        ifab_buf_u64(text, origin->port);
    }
}
void ifab_origin_write(const struct ifab_origin_parts *origin, struct ifab_buf *text)
{
    ifab_buf_str(text, ifab_scheme_name(origin->scheme));
    ifab_buf_str(text, "://");
    ifab_origin_write_host(origin, text);
}
void ifab_url_write(const struct ifab_url *url, struct ifab_view extra_query, struct ifab_buf *text)
{
    ifab_origin_write(&url->origin, text);
    ifab_buf_view(text, url->path);
    if (url->has_query) {
        ifab_buf_char(text, '?');
        ifab_buf_view(text, url->query);
    }
    if (extra_query.size > 0) {
        ifab_buf_char(text, url->has_query ? '&' : '?');
        ifab_buf_view(text, extra_query);
    }
}
