/*
 * Origins, paths and the rows that let a request pass. FL-CHS-6: exact scheme, host and port; path by whole segments.
 *
 * Nothing is decoded and nothing normalised: a path that another reader could take for another one is no path here, so what is compared is
 * what is sent.
 */
#include "capability_internal.h"

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }

static bool letter(uint8_t c) { return c >= 'a' && c <= 'z'; }

/* Four decimal numbers as everybody writes them: no octal, no hexadecimal, no 32-bit number. */
static bool quad_valid(struct ifab_view text)
{
    unsigned parts = 0, value = 0, digits = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && digit(text.data[i])) {
            if ((digits > 0 && value == 0) || ++digits > 3)
                return false;
            value = value * 10 + (unsigned)(text.data[i] - '0');
            continue;
        }
        if (digits == 0 || value > 255 || (i < text.size && text.data[i] != '.') || ++parts > 4)
            return false;
        value = digits = 0;
    }
    return parts == 4;
}

bool ifab_http__host_valid(struct ifab_view host, const char **ret_why)
{
    size_t label = 0;
    bool number = true; /* of the last label: it begins with a digit, so some reader takes the whole for an address */
    *ret_why = "a DNS name in lower case or four decimal numbers";
    if (host.size < 1 || host.size > 253)
        return false;
    for (size_t i = 0; i <= host.size; i++) {
        uint8_t c = i < host.size ? host.data[i] : '.';
        if (c != '.') {
            if ((!letter(c) && !digit(c) && c != '-') || (c == '-' && label == 0) || ++label > 63)
                return false;
            number = label == 1 ? digit(c) : number;
            continue;
        }
        if (label == 0 || host.data[i - 1] == '-')
            return false;
        label = 0;
    }
    return !number || quad_valid(host);
}

static const struct {
    const char *name;
    uint16_t port;
    bool socket;
} schemes[IFAB_ORIGIN_SCHEME_COUNT] = {
#define ROW(name_, text, port, tls, socket) [IFAB_ORIGIN_##name_] = {text, port, socket},
    IFAB_ORIGIN_SCHEME_MAP(ROW)
#undef ROW
};
const char *ifab_origin_scheme_name(enum ifab_origin_scheme scheme) { return (size_t)scheme < IFAB_COUNT(schemes) ? schemes[scheme].name : ""; }
uint16_t ifab_origin__port(enum ifab_origin_scheme scheme) { return schemes[scheme].port; }
bool ifab_origin__is_socket(enum ifab_origin_scheme scheme) { return schemes[scheme].socket; }
bool ifab_origin__scheme_parse(struct ifab_view text, enum ifab_origin_scheme *ret_scheme)
{
    for (size_t i = 0; i < IFAB_COUNT(schemes); i++) {
        if (ifab_view_is(text, schemes[i].name)) {
            *ret_scheme = (enum ifab_origin_scheme)i;
            return true;
        }
    }
    return false;
}

bool ifab_origin_equal(const struct ifab_origin *a, const struct ifab_origin *b)
{
    return a->scheme == b->scheme && a->port == b->port && ifab_view_equal(a->host, b->host);
}

/* ":8443" without leading zero, 1..65535 */
static bool port_valid(struct ifab_view text, uint16_t *ret_port)
{
    uint32_t value = 0;
    if (text.size < 1 || text.size > 5 || text.data[0] == '0')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!digit(text.data[i]))
            return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *ret_port = (uint16_t)value;
    return value <= 65535;
}

bool ifab_origin_parse(struct ifab_view text, struct ifab_origin *ret_origin)
{
    struct ifab_origin origin = {0};
    const char *why;
    size_t from = 0;
    while (from < text.size && text.data[from] != ':')
        from++;
    if (!ifab_origin__scheme_parse(ifab_view_of(text.data, from), &origin.scheme) ||
        !ifab_view_starts(ifab_view_of(text.data + from, text.size - from), IFAB_VIEW("://")))
        return false;
    origin.port = ifab_origin__port(origin.scheme);
    from += 3;
    struct ifab_view rest = ifab_view_of(text.data + from, text.size - from);
    const uint8_t *colon = rest.size == 0 ? NULL : memchr(rest.data, ':', rest.size);
    origin.host = ifab_view_of(rest.data, colon == NULL ? rest.size : (size_t)(colon - rest.data));
    if (colon != NULL && !port_valid(ifab_view_of(colon + 1, rest.size - origin.host.size - 1), &origin.port))
        return false;
    if (!ifab_http__host_valid(origin.host, &why))
        return false;
    *ret_origin = origin;
    return true;
}

bool ifab_http_url_parse(struct ifab_view url, struct ifab_origin *ret_origin, struct ifab_view *ret_path, struct ifab_view *ret_query)
{
    struct ifab_origin origin;
    size_t at = 0, slashes = 0;
    if (url.size > IFAB_HTTP_URL_MAX)
        return false;
    while (at < url.size && url.data[at] != '?' && (url.data[at] != '/' || ++slashes < 3))
        at++;
    if (!ifab_origin_parse(ifab_view_of(url.data, at), &origin))
        return false;
    struct ifab_view rest = ifab_view_of(url.data + at, url.size - at);
    const uint8_t *mark = rest.size == 0 ? NULL : memchr(rest.data, '?', rest.size);
    struct ifab_view path = ifab_view_of(rest.data, mark == NULL ? rest.size : (size_t)(mark - rest.data)), query = {NULL, 0};
    if (mark != NULL)
        query = ifab_view_of(mark + 1, rest.size - path.size - 1);
    if (path.size == 0)
        path = IFAB_VIEW("/");
    for (size_t i = 0; i < query.size; i++)
        if (query.data[i] <= 0x20 || query.data[i] > 0x7e || query.data[i] == '#')
            return false;
    if (!ifab_http_path_valid(path))
        return false;
    *ret_origin = origin;
    *ret_path = path;
    *ret_query = query;
    return true;
}

static bool unreserved(uint8_t c) { return letter(c) || (c >= 'A' && c <= 'Z') || digit(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

static bool pchar(uint8_t c) { return unreserved(c) || (c != '\0' && strchr("!$&'()+,;=:@*", c) != NULL); }

static int hex(uint8_t c) { return digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* %HH where nothing else would do: never another spelling of what stands for itself, of a separator or a control. */
static bool escape_valid(struct ifab_view segment, size_t at)
{
    if (at + 2 >= segment.size)
        return false;
    int high = hex(segment.data[at + 1]), low = hex(segment.data[at + 2]);
    if (high < 0 || low < 0)
        return false;
    uint8_t c = (uint8_t)(high * 16 + low);
    return c > 0x1f && c != 0x7f && c != '/' && c != '\\' && c != '%' && !unreserved(c);
}

static bool segment_valid(struct ifab_view segment, bool may_escape)
{
    if (ifab_view_is(segment, ".") || ifab_view_is(segment, ".."))
        return false;
    for (size_t i = 0; i < segment.size; i++) {
        if (segment.data[i] == '%') {
            if (!may_escape || !escape_valid(segment, i))
                return false;
            i += 2;
        } else if (!pchar(segment.data[i])) {
            return false;
        }
    }
    return true;
}

/* The next segment behind its slash; false at the end. *at stands on a slash, or at the end. */
static bool next_segment(struct ifab_view path, size_t *at, struct ifab_view *ret_segment)
{
    if (*at >= path.size)
        return false;
    size_t from = *at + 1, end = from;
    while (end < path.size && path.data[end] != '/')
        end++;
    *ret_segment = ifab_view_of(path.data + from, end - from);
    *at = end;
    return true;
}

bool ifab_http_path_valid(struct ifab_view path)
{
    struct ifab_view segment;
    if (path.size < 1 || path.size > 2048 || path.data[0] != '/')
        return false;
    for (size_t at = 0; next_segment(path, &at, &segment);)
        if (!segment_valid(segment, true) || (segment.size == 0 && at < path.size))
            return false;
    return true;
}

bool ifab_http__pattern_valid(struct ifab_view path, const char **ret_why)
{
    struct ifab_view segment;
    *ret_why = "a path: whole segments, * for one, ** as the last for more; no \"..\", no %, no empty segment";
    if (path.size < 1 || path.data[0] != '/')
        return false;
    for (size_t at = 0; next_segment(path, &at, &segment);) {
        bool star = segment.size > 0 && memchr(segment.data, '*', segment.size) != NULL;
        bool last = at >= path.size;
        if (!segment_valid(segment, false) || (segment.size == 0 && !last))
            return false;
        if (star && !ifab_view_is(segment, "*") && !(ifab_view_is(segment, "**") && last))
            return false;
    }
    return true;
}

static bool path_matches(struct ifab_view pattern, struct ifab_view path)
{
    struct ifab_view want, is;
    size_t at_pattern = 0, at_path = 0;
    while (next_segment(pattern, &at_pattern, &want)) {
        if (!next_segment(path, &at_path, &is))
            return false;
        if (ifab_view_is(want, "**"))
            return is.size > 0;
        if (ifab_view_is(want, "*") ? is.size == 0 : !ifab_view_equal(want, is))
            return false;
    }
    return at_path >= path.size;
}

const struct ifab_http_row *ifab_http_row_match(const struct ifab_manifest *manifest, enum ifab_method method, const struct ifab_origin *origin,
                                                struct ifab_view path, enum ifab_effect effect_max)
{
    if (!ifab_http_path_valid(path) || (unsigned)method >= IFAB_METHOD_COUNT)
        return NULL;
    for (size_t i = 0; i < manifest->http_count; i++) {
        const struct ifab_http_row *row = &manifest->http[i];
        if ((row->methods & 1U << method) != 0 && row->effect <= effect_max && ifab_origin_equal(&row->origin, origin) &&
            path_matches(row->path, path))
            return row;
    }
    return NULL;
}
