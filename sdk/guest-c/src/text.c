/* Views and growing text. */
#include "guest_internal.h"

#include <stdint.h>

struct ifg_view ifg_view_str(const char *text) { return (struct ifg_view){text, text == NULL ? 0 : strlen(text)}; }
bool ifg_equal(struct ifg_view a, struct ifg_view b) { return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); }
bool ifg_is(struct ifg_view a, const char *text) { return ifg_equal(a, ifg_view_str(text)); }

void ifg_buf_put(struct ifg_buf *self, struct ifg_view bytes)
{
    size_t limit = self->limit == 0 ? IFG_BUF_LIMIT : self->limit;
    if (self->failed || bytes.size == 0)
        return;
    if (bytes.size > limit - self->size) {
        self->failed = true;
        return;
    }
    if (bytes.size > self->capacity - self->size) {
        size_t want = self->size + bytes.size, capacity = self->capacity == 0 ? 240 : self->capacity;
        while (capacity < want)
            capacity = capacity * 2;
        char *data = ifg_alloc(capacity);
        if (self->size > 0)
            memcpy(data, self->data, self->size);
        ifg_free(self->data);
        self->data = data;
        self->capacity = capacity;
    }
    memcpy(self->data + self->size, bytes.data, bytes.size);
    self->size += bytes.size;
}

void ifg_buf_str(struct ifg_buf *self, const char *text) { ifg_buf_put(self, ifg_view_str(text)); }

void ifg_buf_i64(struct ifg_buf *self, int64_t value)
{
    char text[20];
    size_t at = sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        text[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        text[--at] = '-';
    ifg_buf_put(self, (struct ifg_view){text + at, sizeof text - at});
}

void ifg_buf_percent(struct ifg_buf *self, struct ifg_view bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        const char escaped[3] = {'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]};
        ifg_buf_put(self, plain ? (struct ifg_view){bytes.data + i, 1} : (struct ifg_view){escaped, 3});
    }
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ifg_buf_base64(struct ifg_buf *self, struct ifg_view bytes)
{
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < left ? (unsigned char)bytes.data[i + k] : 0U);
        const char text[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63], left > 1 ? alphabet[group >> 6 & 63] : '=',
                              left > 2 ? alphabet[group & 63] : '='};
        ifg_buf_put(self, (struct ifg_view){text, 4});
    }
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes of one group of four, 1 to 3; 0: malformed. Padding only at the end, and what it leaves unused is zero. */
static size_t decode_group(const char *text, bool last, char ret_bytes[3])
{
    size_t size = 3;
    if (last && text[3] == '=')
        size = text[2] == '=' ? 1 : 2;
    uint32_t group = 0;
    for (size_t k = 0; k < 4; k++) {
        int value = k <= size ? sextet(text[k]) : 0;
        if (value < 0)
            return 0;
        group = group << 6 | (uint32_t)value;
    }
    if ((size == 1 && (group & 0xffff) != 0) || (size == 2 && (group & 0xff) != 0))
        return 0;
    for (size_t k = 0; k < size; k++)
        ret_bytes[k] = (char)(group >> (16 - 8 * k));
    return size;
}

bool ifg_buf_base64_decode(struct ifg_buf *self, struct ifg_view text)
{
    char bytes[3];
    if (text.size % 4 != 0)
        return false;
    for (size_t i = 0; i < text.size; i += 4) {
        if (decode_group(text.data + i, i + 4 == text.size, bytes) == 0)
            return false;
    }
    for (size_t i = 0; i < text.size; i += 4)
        ifg_buf_put(self, (struct ifg_view){bytes, decode_group(text.data + i, i + 4 == text.size, bytes)});
    return !self->failed;
}
