/* The framing of a chunked body (http/head.h): strict, beside llhttp, which in its shipped form took extensions, trailers and lone CR. */
#include "http/head.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of the size line: a digit, or the CR that ends it. */
static bool take_size(struct ifab_http_chunks *self, uint8_t c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        self->left = self->left << 4 | (uint64_t)digit;
        return ++self->digits <= 8;
    }
    self->state = IFAB_HTTP_CHUNK_SIZE_LF;
    return c == '\r' && self->digits > 0;
}

/* One byte outside chunk data. false: it may not stand there. */
static bool take(struct ifab_http_chunks *self, uint8_t c)
{
    switch (self->state) {
    case IFAB_HTTP_CHUNK_SIZE:
        return take_size(self, c);
    case IFAB_HTTP_CHUNK_SIZE_LF:
        self->state = self->left > 0 ? IFAB_HTTP_CHUNK_DATA : IFAB_HTTP_CHUNK_LAST_CR;
        self->digits = 0;
        return c == '\n';
    case IFAB_HTTP_CHUNK_DATA_CR:
        self->state = IFAB_HTTP_CHUNK_DATA_LF;
        return c == '\r';
    case IFAB_HTTP_CHUNK_DATA_LF:
        self->state = IFAB_HTTP_CHUNK_SIZE;
        return c == '\n';
    case IFAB_HTTP_CHUNK_LAST_CR:
        self->state = IFAB_HTTP_CHUNK_LAST_LF;
        return c == '\r';
    case IFAB_HTTP_CHUNK_LAST_LF:
    case IFAB_HTTP_CHUNK_DATA: /* not here: the caller skips data */
        return c == '\n';
    }
    return false;
}

enum ifab_http_scanned ifab_http_chunks(struct ifab_http_chunks *self, struct ifab_view bytes, size_t *ret_used,
                                        struct ifab_http_problem *ret_problem)
{
    size_t i = 0;
    while (i < bytes.size) {
        if (self->state == IFAB_HTTP_CHUNK_DATA) {
            size_t skip = bytes.size - i < self->left ? bytes.size - i : (size_t)self->left;
            i += skip;
            self->left -= skip;
            if (self->left == 0)
                self->state = IFAB_HTTP_CHUNK_DATA_CR;
            continue;
        }
        bool last = self->state == IFAB_HTTP_CHUNK_LAST_LF;
        if (!take(self, bytes.data[i++])) {
            *ret_used = i;
            *ret_problem = (struct ifab_http_problem){400, "malformed chunk; extensions and trailers are not accepted"};
            return IFAB_HTTP_SCAN_BAD;
        }
        if (last) {
            *ret_used = i;
            return IFAB_HTTP_SCAN_DONE;
        }
    }
    *ret_used = i;
    return IFAB_HTTP_SCAN_MORE;
}
