/*
 * The growing buffer. Invariants: 1. size <= capacity and size <= limit. 2. once `failed` is set, nothing is appended any more.
 * 3. storage doubles, so n appended bytes cost O(n) copies.
 */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void ifab_buf_init(struct ifab_buf *self, size_t limit)
{
    *self = (struct ifab_buf)IFAB_BUF_INIT(limit);
}

void ifab_buf_fini(struct ifab_buf *self)
{
    ifab_free(self->data);
    self->data = NULL;
    self->size = self->capacity = 0;
}

void ifab_buf_clear(struct ifab_buf *self)
{
    self->size = 0;
    self->failed = IFAB_OK;
}

ifab_status ifab_buf_reserve(struct ifab_buf *self, size_t more)
{
    if (self->failed != IFAB_OK)
        return self->failed;
    if (self->size > self->limit || more > self->limit - self->size)
        return self->failed = IFAB_TOO_LARGE;
    if (more <= self->capacity - self->size)
        return IFAB_OK;
    size_t need = self->size + more; /* <= limit, so it does not overflow */
    size_t wish = self->capacity > SIZE_MAX / 2 ? SIZE_MAX : self->capacity * 2;
    if (wish < 64)
        wish = 64;
    if (wish > self->limit)
        wish = self->limit;
    if (wish < need)
        wish = need;
    uint8_t *data = ifab_realloc(self->data, wish);
    if (data == NULL)
        return self->failed = IFAB_NOMEM;
    self->data = data;
    self->capacity = wish;
    return IFAB_OK;
}

void ifab_buf_put_slow_(struct ifab_buf *self, const void *bytes, size_t size)
{
    if (ifab_buf_reserve(self, size) != IFAB_OK)
        return;
    memcpy(self->data + self->size, bytes, size);
    self->size += size;
}

void ifab_buf_str(struct ifab_buf *self, const char *text)
{
    ifab_buf_put(self, text, strlen(text));
}

void ifab_buf_u64(struct ifab_buf *self, uint64_t value)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    ifab_buf_put(self, text + at, sizeof text - at);
}

void ifab_buf_i64(struct ifab_buf *self, int64_t value)
{
    if (value >= 0) {
        ifab_buf_u64(self, (uint64_t)value);
        return;
    }
    if (ifab_buf_reserve(self, 2) != IFAB_OK) /* a sign never stands alone for want of memory */
        return;
    ifab_buf_char(self, '-');
    ifab_buf_u64(self, 0 - (uint64_t)value);
}

void ifab_buf_hex(struct ifab_buf *self, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;
    if (size > SIZE_MAX / 2) {
        self->failed = self->failed == IFAB_OK ? IFAB_TOO_LARGE : self->failed;
        return;
    }
    if (size == 0 || ifab_buf_reserve(self, size * 2) != IFAB_OK)
        return;
    uint8_t *out = self->data + self->size;
    for (size_t i = 0; i < size; i++) {
        *out++ = (uint8_t)digits[in[i] >> 4];
        *out++ = (uint8_t)digits[in[i] & 15];
    }
    self->size += size * 2;
}

static void put_base64(struct ifab_buf *self, const void *bytes, size_t size, const char *alphabet, bool padded)
{
    const uint8_t *in = bytes;
    if (size > SIZE_MAX / 2) {
        self->failed = self->failed == IFAB_OK ? IFAB_TOO_LARGE : self->failed;
        return;
    }
    size_t whole = size / 3, rest = size % 3;
    size_t length = whole * 4 + (rest == 0 ? 0 : padded ? 4 : rest + 1);
    if (length == 0 || ifab_buf_reserve(self, length) != IFAB_OK)
        return;
    uint8_t *out = self->data + self->size;
    for (size_t i = 0; i < whole; i++, in += 3) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *out++ = (uint8_t)alphabet[v >> 18];
        *out++ = (uint8_t)alphabet[v >> 12 & 63];
        *out++ = (uint8_t)alphabet[v >> 6 & 63];
        *out++ = (uint8_t)alphabet[v & 63];
    }
    if (rest > 0) {
        uint32_t v = (uint32_t)in[0] << 16 | (rest == 2 ? (uint32_t)in[1] << 8 : 0);
        *out++ = (uint8_t)alphabet[v >> 18];
        *out++ = (uint8_t)alphabet[v >> 12 & 63];
        if (rest == 2)
            *out++ = (uint8_t)alphabet[v >> 6 & 63];
        else if (padded)
            *out++ = '=';
        if (padded)
            *out++ = '=';
    }
    self->size += length;
}

void ifab_buf_base64url(struct ifab_buf *self, const void *bytes, size_t size)
{
    put_base64(self, bytes, size, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

void ifab_buf_base64(struct ifab_buf *self, const void *bytes, size_t size)
{
    put_base64(self, bytes, size, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

void ifab_buf_format(struct ifab_buf *self, const char *format, ...)
{
    char text[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(text, sizeof text, format, args);
    if (length < 0) {
        self->failed = self->failed == IFAB_OK ? IFAB_INTERNAL : self->failed;
    } else if ((size_t)length < sizeof text) {
        ifab_buf_put(self, text, (size_t)length);
    } else if (ifab_buf_reserve(self, (size_t)length) == IFAB_OK) {
        /* vsnprintf wants room for a NUL, which the limit does not include: it goes into storage of its own. */
        char *whole = ifab_malloc((size_t)length + 1);
        if (whole == NULL) {
            self->failed = IFAB_NOMEM;
        } else {
            vsnprintf(whole, (size_t)length + 1, format, again);
            ifab_buf_put(self, whole, (size_t)length);
            ifab_free(whole);
        }
    }
    va_end(again);
    va_end(args);
}
