/* The RFC 8785 writer. Members are sorted already: the reader did it. Depth is bounded by the reader, so recursion is. */
#include "internal.h"

#define EACH_BYTE(b) (0x0101010101010101ULL * (b))
#define HIGH_BITS EACH_BYTE(0x80ULL)

/* Is one of the eight bytes at `at` a '"', a '\\' or a control character? */
static bool eight_special(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    uint64_t quote = word ^ EACH_BYTE(0x22ULL), slash = word ^ EACH_BYTE(0x5cULL);
    uint64_t hit = ((quote - EACH_BYTE(1ULL)) & ~quote) | ((slash - EACH_BYTE(1ULL)) & ~slash) | ((word - EACH_BYTE(0x20ULL)) & ~word);
    return (hit & HIGH_BITS) != 0;
}

/* The first byte that needs an escape. */
static const uint8_t *find_special(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *start = at;
    while (end - at >= 8 && !eight_special(at))
        at += 8;
    if (end - at < 8 && end - start >= 8 && !eight_special(end - 8)) /* the tail, overlapping what was seen */
        return end;
    while (at != end && *at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* RFC 8785 section 3.2.2.2: the two-character escapes where there are some, else \u00xx in lower case. */
static void put_escape(struct ifab_buf *buf, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (c < 0x20 && letters[c] == '\0') {
        ifab_buf_put(buf, text, 6);
        return;
    }
    text[1] = c < 0x20 ? letters[c] : (char)c;
    ifab_buf_put(buf, text, 2);
}

void ifab_json_put_string(struct ifab_buf *buf, struct ifab_view utf8)
{
    const uint8_t *at = utf8.data, *end = utf8.size == 0 ? at : at + utf8.size;
    if (utf8.size > 0 && utf8.size < buf->capacity - buf->size && buf->capacity - buf->size - utf8.size >= 2 && buf->failed == IFAB_OK &&
        find_special(at, end) == end) { /* most strings: no escape, and there is room */
        uint8_t *out = buf->data + buf->size;
        *out = '"';
        memcpy(out + 1, at, utf8.size);
        out[utf8.size + 1] = '"';
        buf->size += utf8.size + 2;
        return;
    }
    ifab_buf_char(buf, '"');
    while (at != end) {
        const uint8_t *special = find_special(at, end);
        ifab_buf_put(buf, at, (size_t)(special - at));
        at = special;
        if (at != end)
            put_escape(buf, *at++);
    }
    ifab_buf_char(buf, '"');
}

void ifab_json_put_cstr(struct ifab_buf *buf, const char *text)
{
    ifab_json_put_string(buf, ifab_view_str(text));
}

void ifab_json_put_number(struct ifab_buf *buf, double value)
{
    char text[32];
    ifab_buf_put(buf, text, ifab_json_format_double(value, text));
}

static void write_array(struct ifab_buf *buf, const struct ifab_json *value)
{
    ifab_buf_char(buf, '[');
    for (size_t i = 0; i < value->u.array.count; i++) {
        if (i > 0)
            ifab_buf_char(buf, ',');
        ifab_json_write(buf, &value->u.array.items[i]);
    }
    ifab_buf_char(buf, ']');
}

/* Without the member `skip` (NULL: with all); of the member `into` without its member `inner`. */
static void write_object(struct ifab_buf *buf, const struct ifab_json *value, const char *skip, const char *into, const char *inner)
{
    bool first = true;
    ifab_buf_char(buf, '{');
    for (size_t i = 0; i < value->u.object.count; i++) {
        const struct ifab_json_member *member = &value->u.object.members[i];
        if (skip != NULL && ifab_view_is(member->name, skip))
            continue;
        if (!first)
            ifab_buf_char(buf, ',');
        first = false;
        ifab_json_put_string(buf, member->name);
        ifab_buf_char(buf, ':');
        if (into != NULL && member->value.type == IFAB_JSON_OBJECT && ifab_view_is(member->name, into))
            write_object(buf, &member->value, inner, NULL, NULL);
        else
            ifab_json_write(buf, &member->value);
    }
    ifab_buf_char(buf, '}');
}

void ifab_json_write(struct ifab_buf *buf, const struct ifab_json *value)
{
    switch (value->type) {
    case IFAB_JSON_NULL:
        ifab_buf_put(buf, "null", 4);
        break;
    case IFAB_JSON_FALSE:
        ifab_buf_put(buf, "false", 5);
        break;
    case IFAB_JSON_TRUE:
        ifab_buf_put(buf, "true", 4);
        break;
    case IFAB_JSON_NUMBER:
        ifab_json_put_number(buf, value->u.number.value);
        break;
    case IFAB_JSON_STRING:
        ifab_json_put_string(buf, value->u.string);
        break;
    case IFAB_JSON_ARRAY:
        write_array(buf, value);
        break;
    case IFAB_JSON_OBJECT:
        write_object(buf, value, NULL, NULL, NULL);
        break;
    }
}

void ifab_json_write_without(struct ifab_buf *buf, const struct ifab_json *object, const char *outer, const char *inner)
{
    if (object->type != IFAB_JSON_OBJECT)
        ifab_json_write(buf, object);
    else if (inner == NULL)
        write_object(buf, object, outer, NULL, NULL);
    else
        write_object(buf, object, NULL, outer, inner);
}
