/* Questions about a request (http/server.h): limits, header by name, query parameter by name. */
#include "base/encode.h"
#include "http/server.h"

void ifab_http_limits_default(struct ifab_http_limits *ret)
{
    *ret = (struct ifab_http_limits){
        .head_bytes = 16 * 1024,
        .header_count = 64,
        .body_bytes = 256 * 1024,
        .head_ms = 10000,
        .body_ms = 30000,
        .idle_ms = 75000,
        .line_ms = 10000,
        .lines_ms = 600000,
        .bodies_bytes = 256 * 1024 * 1024,
        .answers_bytes = 256 * 1024 * 1024,
        .connections = 1024,
        .tcp_connections = 1024,
        .address_connections = 512,
        .pipelined = 64,
        .write_bytes = 256 * 1024,
    };
}

struct ifab_view ifab_http_header(const struct ifab_http_request *request, const char *name)
{
    struct ifab_view wanted = ifab_view_str(name);
    for (size_t i = 0; i < request->header_count; i++) {
        if (ifab_view_equal_nocase(request->headers[i].name, wanted))
            return request->headers[i].value;
    }
    return (struct ifab_view){NULL, 0};
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* application/x-www-form-urlencoded: %XX and '+'. false: bad encoding, control character, not UTF-8, out of room. */
static bool decode(struct ifab_view text, struct ifab_buf *ret)
{
    for (size_t i = 0; i < text.size; i++) {
        int c = text.data[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f)
            return false;
        ifab_buf_char(ret, (char)c);
    }
    return ifab_buf_status(ret) == IFAB_OK && ifab_utf8_valid(ifab_buf_as_view(ret));
}

bool ifab_http_query(const struct ifab_http_request *request, const char *name, struct ifab_buf *value)
{
    struct ifab_view rest = request->query, wanted = ifab_view_str(name), found = {NULL, 0};
    unsigned times = 0;
    ifab_buf_clear(value);
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '&', rest.size);
        struct ifab_view pair = {rest.data, end == NULL ? rest.size : (size_t)(end - rest.data)};
        size_t step = pair.size + (end == NULL ? 0 : 1);
        rest = ifab_view_of(rest.data + step, rest.size - step);
        const uint8_t *equals = pair.size > 0 ? memchr(pair.data, '=', pair.size) : NULL;
        size_t name_size = equals == NULL ? pair.size : (size_t)(equals - pair.data);
        if (!ifab_view_equal(ifab_view_of(pair.data, name_size), wanted))
            continue;
        times++;
        found = equals == NULL ? ifab_view_of(pair.data + pair.size, 0) : ifab_view_of(equals + 1, pair.size - name_size - 1);
    }
    if (times == 1 && decode(found, value))
        return true;
    ifab_buf_clear(value);
    return false;
}
