/* A connection's bytes: any split tells the same requests and the same error, and nothing comes after an error. The first byte seeds the
 * split. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t sum, struct ifab_view v)
{
    for (size_t i = 0; i < v.size; i++)
        sum = (sum ^ v.data[i]) * UINT64_C(0x100000001b3);
    return (sum ^ v.size) * UINT64_C(0x100000001b3);
}

/* A sum over everything that was told. seed 0: all bytes at once. */
static uint64_t run(const struct ifab_http_limits *limits, const uint8_t *data, size_t size, unsigned seed)
{
    struct ifab_http_parser *parser = ifab_http_parser_new(limits);
    uint64_t sum = 1;
    bool ended = false;
    for (size_t at = 0; at < size;) {
        size_t piece = seed == 0 ? size : 1 + (seed >> 16) % 40;
        seed = seed == 0 ? 0 : (seed * 1103515245 + 12345) | 1;
        if (piece > size - at)
            piece = size - at;
        uint8_t *copy = malloc(piece);
        if (copy == NULL)
            abort();
        memcpy(copy, data + at, piece);
        struct ifab_view rest = {copy, piece};
        enum ifab_http_event event = IFAB_HTTP_MORE;
        do {
            event = ifab_http_parser_next(parser, &rest);
            if (event == IFAB_HTTP_WHOLE) {
                const struct ifab_http_request *r = ifab_http_parser_request(parser);
                if (ended)
                    abort();
                sum = mix(mix(mix(mix(sum, r->method_text), r->target), r->host), ifab_buf_as_view(r->body));
                for (size_t i = 0; i < r->header_count; i++)
                    sum = mix(mix(sum, r->headers[i].name), r->headers[i].value);
            }
        } while (event == IFAB_HTTP_WHOLE || event == IFAB_HTTP_AT_HEAD);
        if (event == IFAB_HTTP_BAD && !ended) {
            ended = true;
            sum = sum * 31 + (uint64_t)ifab_http_parser_problem(parser).status;
        }
        free(copy);
        at += piece;
    }
    ifab_http_parser_free(parser);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_http_limits limits;
    ifab_http_limits_default(&limits);
    limits.body_bytes = 64;
    limits.head_bytes = 512;
    limits.header_count = 8;
    if (size < 1)
        return 0;
    uint64_t whole = run(&limits, data + 1, size - 1, 0);
    if (whole != run(&limits, data + 1, size - 1, data[0] + 1u) || whole != run(&limits, data + 1, size - 1, data[0] * 65537u + 65536u))
        abort();
    return 0;
}
