/*
 * Strings: one pass finds the closing quote and checks everything (UTF-8, control characters, escapes, surrogates); a second pass, only
 * where there was an escape, unescapes into the arena. Without an escape the string is borrowed from the input.
 */
#include "internal.h"

#include "base/encode.h"

#define EACH_BYTE(b) (0x0101010101010101ULL * (b))
#define HIGH_BITS EACH_BYTE(0x80ULL)

/* Over bytes that are ordinary ASCII, eight at a time: stops at '"', '\\', a control character or a byte above 0x7f. */
static const uint8_t *skip_ordinary(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        uint64_t quote = word ^ EACH_BYTE(0x22ULL), slash = word ^ EACH_BYTE(0x5cULL);
        uint64_t stop = ((quote - EACH_BYTE(1ULL)) | (slash - EACH_BYTE(1ULL)) | (word - EACH_BYTE(0x20ULL)) | word) & HIGH_BITS;
        if (stop != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + __builtin_ctzll(stop) / 8; /* a borrow reaches only bytes above the first hit: the lowest is exact */
#else
            break;
#endif
        }
        at += 8;
    }
    while (at != end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at `at`, or -1. */
static int32_t hex4(const uint8_t *at, const uint8_t *end)
{
    int32_t unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int value = hex_value(at[i]);
        if (value < 0)
            return -1;
        unit = unit << 4 | value;
    }
    return unit;
}

static bool noncharacter(uint32_t point)
{
    return (point & 0xfffe) == 0xfffe || (point >= 0xfdd0 && point <= 0xfdef);
}

/* At a backslash: the code point it stands for and its length in the input; 0 after a refusal. */
static size_t check_escape(struct ifab_json__reader *r, const uint8_t *at, uint32_t *ret_point)
{
    static const char letters[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *known = r->end - at < 2 ? NULL : memchr(letters, at[1], sizeof letters - 1);
    if (known != NULL) {
        *ret_point = (uint8_t)meaning[known - letters];
        return 2;
    }
    if (r->end - at < 2 || at[1] != 'u') {
        IFAB_JSON__REFUSE(r, at, "unknown escape in a string");
        return 0;
    }
    int32_t unit = hex4(at + 2, r->end);
    if (unit < 0) {
        IFAB_JSON__REFUSE(r, at, "\\u takes four hex digits");
        return 0;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        *ret_point = (uint32_t)unit;
        return 6;
    }
    int32_t low = unit <= 0xdbff && r->end - at >= 12 && at[6] == '\\' && at[7] == 'u' ? hex4(at + 8, r->end) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        IFAB_JSON__REFUSE(r, at, "lone surrogate in a string");
        return 0;
    }
    *ret_point = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 12;
}

static uint8_t *put_utf8(uint8_t *out, uint32_t point)
{
    if (point < 0x80) {
        *out++ = (uint8_t)point;
    } else if (point < 0x800) {
        *out++ = (uint8_t)(0xc0 | point >> 6);
        *out++ = (uint8_t)(0x80 | (point & 63));
    } else if (point < 0x10000) {
        *out++ = (uint8_t)(0xe0 | point >> 12);
        *out++ = (uint8_t)(0x80 | (point >> 6 & 63));
        *out++ = (uint8_t)(0x80 | (point & 63));
    } else {
        *out++ = (uint8_t)(0xf0 | point >> 18);
        *out++ = (uint8_t)(0x80 | (point >> 12 & 63));
        *out++ = (uint8_t)(0x80 | (point >> 6 & 63));
        *out++ = (uint8_t)(0x80 | (point & 63));
    }
    return out;
}

/* raw was checked. No escape is shorter than what it stands for, so the raw size is room enough. */
static ifab_status unescape(struct ifab_json__reader *r, struct ifab_view raw, struct ifab_view *ret_string)
{
    uint8_t *out = ifab_arena_alloc(r->arena, raw.size), *start = out;
    if (out == NULL)
        return IFAB_JSON__NOMEM(r);
    const uint8_t *at = raw.data, *end = raw.data + raw.size;
    while (at != end) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = slash == NULL ? (size_t)(end - at) : (size_t)(slash - at);
        memcpy(out, at, plain);
        out += plain;
        at += plain;
        if (slash != NULL) {
            uint32_t point = 0;
            at += check_escape(r, at, &point);
            out = put_utf8(out, point);
        }
    }
    *ret_string = (struct ifab_view){start, (size_t)(out - start)};
    return IFAB_OK;
}

ifab_status ifab_json__read_string(struct ifab_json__reader *r, struct ifab_view *ret_string)
{
    const uint8_t *quote = r->at, *at = quote + 1;
    bool escaped = false;
    while ((at = skip_ordinary(at, r->end)) != r->end && *at != '"') {
        uint32_t point = 0;
        size_t length;
        if (*at < 0x20)
            return IFAB_JSON__REFUSE(r, at, "control character in a string: write it as \\u%04x", *at);
        if (*at == '\\') {
            length = check_escape(r, at, &point);
            if (length == 0)
                return IFAB_INVALID;
            escaped = true;
        } else {
            length = ifab_utf8_decode(at, r->end, &point);
            if (length == 0)
                return IFAB_JSON__REFUSE(r, at, "invalid UTF-8 in a string");
        }
        if (noncharacter(point)) /* RFC 7493 section 2.1 */
            return IFAB_JSON__REFUSE(r, at, "noncharacter U+%04X in a string", (unsigned)point);
        at += length;
    }
    if (at == r->end)
        return IFAB_JSON__REFUSE(r, quote, "string without closing quote");
    struct ifab_view raw = {quote + 1, (size_t)(at - quote - 1)};
    r->at = at + 1;
    if (escaped)
        return unescape(r, raw, ret_string);
    *ret_string = raw;
    return IFAB_OK;
}
