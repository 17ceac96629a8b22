/*
 * The raw head: any split gives the same verdict, and what scan and reading accept, llhttp reads as exactly one request with the same
 * method, target, fields, Host and body framing.
 */
#include <llhttp.h>
#include <stdint.h>
#include <stdlib.h>

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS 64
#define HEAD_BYTES ((size_t)16 * 1024)

static void require(bool truth)
{
    if (!truth)
        abort();
}

struct seen {
    unsigned heads;
    size_t names, hosts;
    struct ifab_view url, host;
    bool is_host;
};

static int on_url(llhttp_t *p, const char *at, size_t size)
{
    ((struct seen *)p->data)->url = ifab_view_of(at, size);
    return 0;
}
static int on_field(llhttp_t *p, const char *at, size_t size)
{
    struct seen *seen = p->data;
    seen->is_host = ifab_view_equal_nocase(ifab_view_of(at, size), IFAB_VIEW("host"));
    seen->names++;
    seen->hosts += seen->is_host ? 1 : 0;
    return 0;
}
static int on_value(llhttp_t *p, const char *at, size_t size)
{
    struct seen *seen = p->data;
    while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
        size--;
    if (seen->is_host)
        seen->host = ifab_view_of(at, size);
    return 0;
}
static int on_head(llhttp_t *p)
{
    ((struct seen *)p->data)->heads++;
    return HPE_PAUSED;
}

static enum ifab_http_scanned scan(struct ifab_http_scan *self, const uint8_t *data, size_t size, size_t *ret_used)
{
    return ifab_http_scan(self, HEAD_BYTES, HEADERS, ifab_view_of(data, size), ret_used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ifab_http_header headers[HEADERS];
    struct ifab_http_scan whole = {.size = 0}, bytewise = {.size = 0};
    size_t used = 0, one = 0;
    enum ifab_http_scanned got = scan(&whole, data, size, &used), slow = IFAB_HTTP_SCAN_MORE;
    for (size_t i = 0; i < size && slow == IFAB_HTTP_SCAN_MORE; i++)
        slow = scan(&bytewise, data + i, 1, &one);
    require(slow == got && bytewise.size == whole.size && bytewise.problem.status == whole.problem.status);
    struct ifab_http_head head;
    if (got != IFAB_HTTP_SCAN_DONE || ifab_http_head_read(ifab_view_of(data, used), headers, HEADERS, &head).status != 0)
        return 0;

    static const llhttp_settings_t settings = {
        .on_url = on_url, .on_header_field = on_field, .on_header_value = on_value, .on_headers_complete = on_head};
    struct seen seen = {.heads = 0};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &seen;
    llhttp_errno_t verdict = llhttp_execute(&parser, (const char *)data, used);
    require(verdict == HPE_PAUSED);
    require(seen.heads == 1 && seen.names == head.header_count && seen.hosts == (head.host.data != NULL ? 1 : 0));
    require(ifab_view_equal(seen.host, head.host) && ifab_view_equal(seen.url, head.target) && !parser.upgrade);
    require(ifab_view_is(head.method_text, llhttp_method_name((llhttp_method_t)parser.method)) && parser.http_minor == head.minor);
    require(((parser.flags & F_CHUNKED) != 0) == head.chunked && ((parser.flags & F_CONTENT_LENGTH) != 0) == head.has_length);
    require(!head.has_length || parser.content_length == head.length);
    return 0;
}
