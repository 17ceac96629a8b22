/* Header fields: syntax, whose they are, which an answer shows. */
#include "egress/header.h"

#include "base/mem.h"

bool ifab_egress_header_name_valid(struct ifab_view name)
{
    if (name.size == 0 || name.size > IFAB_EGRESS_HEADER_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', digit = c >= '0' && c <= '9';
        if (!letter && !digit && (c == 0 || memchr("!#$%&'*+-.^_`|~", c, 15) == NULL))
            return false;
    }
    return true;
}
bool ifab_egress_header_value_valid(struct ifab_view value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        bool space = c == ' ' || c == '\t';
        if ((c < 0x20 && !space) || c == 0x7f || (space && (i == 0 || i + 1 == value.size)))
            return false;
    }
    return true;
}

/* What frames a message, names its receiver, proves its sender, or says where it came from. A '-' at the end: every name that begins so. */
static const char *const ours[] = {
    "accept-encoding",
    "alt-used",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "origin",
    "proxy-",
    "referer",
    "sec-",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-forwarded-",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-vault-token",
    /* what metadata services ask for */
    "metadata",
    "metadata-flavor",
    "x-aws-ec2-metadata-token",
    "x-aws-ec2-metadata-token-ttl-seconds",
};
static const char *const shown[] = {
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-length", /* of what a HEAD asks for; else the size of the body, and no news */
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "vary",
    "x-amz-bucket-region",
    "x-amz-delete-marker",
    "x-amz-id-2",
    "x-amz-request-id",
    "x-amz-version-id",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
    "x-total-count",
};

static bool in_table(struct ifab_view name, const char *const *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ifab_view row = ifab_view_str(table[i]);
        bool prefix = row.data[row.size - 1] == '-';
        if (prefix && name.size >= row.size && ifab_view_equal_nocase(ifab_view_of(name.data, row.size), row))
            return true;
        if (ifab_view_equal_nocase(name, row))
            return true;
    }
    return false;
}
/* A server that turns '_' into '-' (CGI does) must not read one of ours out of a guest's field. */
bool ifab_egress_header_is_ours(struct ifab_view name)
{
    uint8_t text[IFAB_EGRESS_HEADER_NAME_MAX];
    if (name.size == 0 || name.size > sizeof text)
        return true;
    for (size_t i = 0; i < name.size; i++)
        text[i] = name.data[i] == '_' || name.data[i] == '.' ? '-' : name.data[i];
    return in_table(ifab_view_of(text, name.size), ours, IFAB_COUNT(ours));
}
bool ifab_egress_header_is_shown(struct ifab_view name) { return in_table(name, shown, IFAB_COUNT(shown)); }

ifab_status ifab_egress_headers_check(const struct ifab_egress_header *headers, size_t count, struct ifab_error *err)
{
    size_t size = 0;
    if (count > IFAB_EGRESS_HEADERS_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "header: more than %d fields", IFAB_EGRESS_HEADERS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct ifab_view name = headers[i].name, value = headers[i].value;
        if (!ifab_egress_header_name_valid(name))
            return ifab_fail(err, IFAB_INVALID, "header: field %zu has no valid name", i);
        if (ifab_egress_header_is_ours(name))
            return ifab_fail(err, IFAB_DENIED, "header: " IFAB_FMT " is set by the fabric, not by a guest", IFAB_ARG(name));
        if (value.size > IFAB_EGRESS_HEADER_VALUE_MAX)
            return ifab_fail(err, IFAB_TOO_LARGE, "header: " IFAB_FMT " is longer than %d bytes", IFAB_ARG(name), IFAB_EGRESS_HEADER_VALUE_MAX);
        if (!ifab_egress_header_value_valid(value))
            return ifab_fail(err, IFAB_INVALID, "header: " IFAB_FMT " holds a control character, or begins or ends with a space", IFAB_ARG(name));
        for (size_t j = 0; j < i; j++) {
            if (ifab_view_equal_nocase(headers[j].name, name))
                return ifab_fail(err, IFAB_DENIED, "header: " IFAB_FMT " stands there twice", IFAB_ARG(name));
        }
        size += name.size + value.size;
    }
    if (size > IFAB_EGRESS_HEADERS_SIZE_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "header: all fields together are longer than %d bytes", IFAB_EGRESS_HEADERS_SIZE_MAX);
    return IFAB_OK;
}
