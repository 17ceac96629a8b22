/*
 * JSON as it stands in its text: a checker of the whole (RFC 8259, no recursion), and readers that walk a checked value.
 * Invariant: no function reads outside of the view that it was given, checked or not.
 */
#include "guest_internal.h"

#include <stdint.h>

static const struct ifg_view absent = {NULL, 0};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static const char *skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

size_t ifg__utf8_size(const char *at, const char *end)
{
    size_t left = (size_t)(end - at);
    const unsigned char *c = (const unsigned char *)at;
    if (left == 0)
        return 0;
    if (c[0] < 0x80)
        return 1;
    size_t size = c[0] >= 0xc2 && c[0] <= 0xdf ? 2 : (c[0] & 0xf0) == 0xe0 ? 3 : c[0] >= 0xf0 && c[0] <= 0xf4 ? 4 : 0;
    if (size == 0 || left < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0; /* a longer form than needed, a surrogate, above U+10FFFF */
    return size;
}

/* Four hex digits at `at`; -1: there are none. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        char c = at[i];
        int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t put_utf8(uint32_t c, char ret_bytes[4])
{
    if (c < 0x80) {
        ret_bytes[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, c >>= 6)
        ret_bytes[i] = (char)(0x80 | (c & 0x3f));
    ret_bytes[0] = (char)((size == 2 ? 0xc0 : size == 3 ? 0xe0 : 0xf0) | c);
    return size;
}

/* One character within a string, escaped or not: where it ends, and its UTF-8. NULL: malformed. */
static const char *character(const char *at, const char *end, char ret_bytes[4], size_t *ret_size)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (at >= end || (unsigned char)*at < 0x20 || *at == '"')
        return NULL;
    if (*at != '\\') {
        *ret_size = ifg__utf8_size(at, end);
        for (size_t i = 0; i < *ret_size; i++)
            ret_bytes[i] = at[i];
        return *ret_size == 0 ? NULL : at + *ret_size;
    }
    if (++at >= end)
        return NULL;
    for (size_t i = 0; i < sizeof names - 1; i++) {
        if (*at == names[i]) {
            ret_bytes[0] = values[i];
            *ret_size = 1;
            return at + 1;
        }
    }
    int32_t code = *at == 'u' ? hex4(at + 1, end) : -1;
    if (code < 0 || (code >= 0xdc00 && code <= 0xdfff))
        return NULL;
    at += 5;
    if (code >= 0xd800 && code <= 0xdbff) { /* the first half of a pair */
        int32_t low = end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2, end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    *ret_size = put_utf8((uint32_t)code, ret_bytes);
    return at;
}

/* Behind a string that begins at `at`; NULL: malformed. */
static const char *skip_string(const char *at, const char *end)
{
    char bytes[4];
    size_t size;
    if (at >= end || *at != '"')
        return NULL;
    for (at++; at != NULL && at < end;) {
        if (*at == '"')
            return at + 1;
        at = character(at, end, bytes, &size);
    }
    return NULL;
}

static const char *skip_digits(const char *at, const char *end)
{
    const char *from = at;
    while (at < end && is_digit(*at))
        at++;
    return at == from ? NULL : at;
}

static const char *skip_number(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    if (at < end && *at == '0')
        at++;
    else if ((at = skip_digits(at, end)) == NULL)
        return NULL;
    if (at < end && *at == '.' && (at = skip_digits(at + 1, end)) == NULL)
        return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = skip_digits(at, end);
    }
    return at;
}

static const char *skip_word(const char *at, const char *end, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(end - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

/* Behind a value that is neither array nor object. */
static const char *skip_scalar(const char *at, const char *end)
{
    if (at >= end)
        return NULL;
    switch (*at) {
    case '"':
        return skip_string(at, end);
    case 't':
        return skip_word(at, end, "true");
    case 'f':
        return skip_word(at, end, "false");
    case 'n':
        return skip_word(at, end, "null");
    default:
        return skip_number(at, end);
    }
}

/* Behind `"name" :` and the space after it. */
static const char *skip_name(const char *at, const char *end)
{
    at = skip_string(at, end);
    if (at == NULL)
        return NULL;
    at = skip_space(at, end);
    return at < end && *at == ':' ? skip_space(at + 1, end) : NULL;
}

/* Behind the value at `at`, with everything in it checked; NULL: malformed. Levels are bits of `objects`, so depth is bounded. */
static const char *skip_value(const char *at, const char *end)
{
    uint32_t objects = 0;
    unsigned depth = 0;
    bool fresh = false; /* a level was just opened: it may end at once */
    for (;;) {
        at = skip_space(at, end);
        if (at >= end)
            return NULL;
        bool in_object = depth > 0 && (objects >> (depth - 1) & 1) != 0;
        bool closes = fresh && *at == (in_object ? '}' : ']');
        if (!closes && in_object && (at = skip_name(at, end)) == NULL)
            return NULL;
        if (!closes && at < end && (*at == '{' || *at == '[')) {
            if (depth == IFG_JSON_MAX_DEPTH)
                return NULL;
            objects = (objects & ~(1U << depth)) | (uint32_t)(*at == '{') << depth;
            depth++;
            at++;
            fresh = true;
            continue;
        }
        if (closes) {
            at++;
            depth--;
        } else if ((at = skip_scalar(at, end)) == NULL) {
            return NULL;
        }
        fresh = false;
        for (;;) { /* a value has ended: close what ends with it */
            if (depth == 0)
                return at;
            at = skip_space(at, end);
            if (at >= end)
                return NULL;
            if (*at == ',') {
                at++;
                break;
            }
            if (*at != ((objects >> (depth - 1) & 1) != 0 ? '}' : ']'))
                return NULL;
            at++;
            depth--;
        }
    }
}

bool ifg_json_check(struct ifg_view text)
{
    const char *end = text.data + text.size;
    const char *at = text.size == 0 ? NULL : skip_value(text.data, end);
    return at != NULL && skip_space(at, end) == end;
}

enum ifg_json_type ifg_json_type(struct ifg_view value)
{
    if (value.size == 0)
        return IFG_JSON_NONE;
    switch (value.data[0]) {
    case 'n':
        return IFG_JSON_NULL;
    case 'f':
        return IFG_JSON_FALSE;
    case 't':
        return IFG_JSON_TRUE;
    case '"':
        return IFG_JSON_STRING;
    case '[':
        return IFG_JSON_ARRAY;
    case '{':
        return IFG_JSON_OBJECT;
    case ' ':
    case '\t':
    case '\n':
    case '\r': { /* space in front of a whole document */
        const char *at = skip_space(value.data, value.data + value.size);
        return ifg_json_type((struct ifg_view){at, (size_t)(value.data + value.size - at)});
    }
    default:
        return value.data[0] == '-' || is_digit(value.data[0]) ? IFG_JSON_NUMBER : IFG_JSON_NONE;
    }
}

bool ifg_json_next(struct ifg_view value, size_t *at, struct ifg_view *ret_name, struct ifg_view *ret_value)
{
    enum ifg_json_type type = ifg_json_type(value);
    if ((type != IFG_JSON_ARRAY && type != IFG_JSON_OBJECT) || *at >= value.size)
        return false;
    const char *end = value.data + value.size, *p = value.data + *at;
    p = skip_space(p, end);
    if (p < end && (*at == 0 || *p == ',')) /* the opening bracket, or the comma behind the last one */
        p = skip_space(p + 1, end);
    else
        return false;
    if (p >= end || *p == ']' || *p == '}')
        return false;
    *ret_name = absent;
    if (type == IFG_JSON_OBJECT) {
        const char *name_end = skip_string(p, end);
        const char *behind = name_end == NULL ? NULL : skip_name(p, end);
        if (behind == NULL)
            return false;
        *ret_name = (struct ifg_view){p, (size_t)(name_end - p)};
        p = behind;
    }
    const char *value_end = skip_value(p, end);
    if (value_end == NULL)
        return false;
    *ret_value = (struct ifg_view){p, (size_t)(value_end - p)};
    *at = (size_t)(value_end - value.data);
    return true;
}

/* Is the quoted text, unescaped, this name? */
static bool name_is(struct ifg_view quoted, struct ifg_view name)
{
    const char *at = quoted.data + 1, *end = quoted.data + quoted.size - 1; /* without its quotes */
    char bytes[4];
    size_t size, done = 0;
    while (at < end) {
        at = character(at, end, bytes, &size);
        if (at == NULL || size > name.size - done || memcmp(bytes, name.data + done, size) != 0)
            return false;
        done += size;
    }
    return done == name.size;
}

struct ifg_view ifg_json_member(struct ifg_view value, const char *name)
{
    struct ifg_view found = absent, member_name, member, wanted = ifg_view_str(name);
    if (ifg_json_type(value) != IFG_JSON_OBJECT)
        return absent;
    for (size_t at = 0; ifg_json_next(value, &at, &member_name, &member);) {
        if (!name_is(member_name, wanted))
            continue;
        if (found.size > 0)
            return absent; /* there twice: which one is meant cannot be known */
        found = member;
    }
    return found;
}

bool ifg_json_string(struct ifg_view value, struct ifg_view *ret_text)
{
    if (ifg_json_type(value) != IFG_JSON_STRING)
        return false;
    const char *end = value.data + value.size, *at = skip_space(value.data, end);
    const char *behind = skip_string(at, end);
    if (behind == NULL)
        return false;
    struct ifg_view inner = {at + 1, (size_t)(behind - at) - 2};
    size_t plain = 0;
    while (plain < inner.size && inner.data[plain] != '\\')
        plain++;
    if (plain == inner.size) {
        *ret_text = inner;
        return true;
    }
    char *text = ifg_alloc(inner.size), bytes[4]; /* unescaped is never longer */
    size_t size, done = 0;
    end = inner.data + inner.size;
    for (at = inner.data; at < end;) {
        at = character(at, end, bytes, &size);
        if (at == NULL)
            return false;
        memcpy(text + done, bytes, size);
        done += size;
    }
    *ret_text = (struct ifg_view){text, done};
    return true;
}

bool ifg_json_i64(struct ifg_view value, int64_t *ret_number)
{
    if (ifg_json_type(value) != IFG_JSON_NUMBER)
        return false;
    const char *end = value.data + value.size, *at = skip_space(value.data, end);
    const char *behind = skip_number(at, end);
    bool negative = at < end && *at == '-';
    const uint64_t most = (uint64_t)INT64_MAX + negative;
    uint64_t number = 0;
    if (behind == NULL || skip_space(behind, end) != end)
        return false;
    for (at += negative; at < behind; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (!is_digit(*at) || number > (most - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = (int64_t)(negative ? 0 - number : number);
    return true;
}

bool ifg_json_bool(struct ifg_view value, bool *ret_bool)
{
    enum ifg_json_type type = ifg_json_type(value);
    if (type != IFG_JSON_TRUE && type != IFG_JSON_FALSE)
        return false;
    *ret_bool = type == IFG_JSON_TRUE;
    return true;
}

struct ifg_view ifg_json_text_of(struct ifg_view object, const char *name, struct ifg_view fallback)
{
    struct ifg_view text;
    return ifg_json_string(ifg_json_member(object, name), &text) ? text : fallback;
}

int64_t ifg_json_i64_of(struct ifg_view object, const char *name, int64_t fallback)
{
    int64_t number;
    return ifg_json_i64(ifg_json_member(object, name), &number) ? number : fallback;
}

bool ifg_json_bool_of(struct ifg_view object, const char *name, bool fallback)
{
    bool value;
    return ifg_json_bool(ifg_json_member(object, name), &value) ? value : fallback;
}
