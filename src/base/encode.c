/* Strict decoders of hex and base64, and the little-endian numbers of packed records. Nothing is repaired or skipped. */
#include "base/encode.h"

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ifab_status ifab_hex_decode(struct ifab_view text, uint8_t *ret_bytes, size_t size)
{
    if (size > SIZE_MAX / 2 || text.size != size * 2)
        return IFAB_INVALID;
    for (size_t i = 0; i < text.size; i++) /* first all of it: ret_bytes is written on success only */
        if (hex_value(text.data[i]) < 0)
            return IFAB_INVALID;
    for (size_t i = 0; i < size; i++)
        ret_bytes[i] = (uint8_t)(hex_value(text.data[2 * i]) << 4 | hex_value(text.data[2 * i + 1]));
    return IFAB_OK;
}

/* Value + 1 of the 62 characters that both alphabets share; 0 = not one of them. */
static const uint8_t shared[256] = {
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10,
    ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20,
    ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50,
    ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
    ['8'] = 61, ['9'] = 62,
};

static int sextet(uint8_t c, uint8_t c62, uint8_t c63)
{
    if (shared[c] != 0)
        return shared[c] - 1;
    return c == c62 ? 62 : c == c63 ? 63 : -1;
}

/* text has no padding here. RFC 4648 section 3.5: the bits that no byte uses must be zero, else two texts mean one value. */
static ifab_status decode_sextets(struct ifab_view text, uint8_t c62, uint8_t c63, uint8_t *ret_bytes, size_t max, size_t *ret_size)
{
    if (text.size % 4 == 1)
        return IFAB_INVALID;
    int bad = 0;
    for (size_t i = 0; i < text.size; i++)
        bad |= sextet(text.data[i], c62, c63);
    if (bad < 0)
        return IFAB_INVALID;
    size_t rest = text.size % 4;
    if (rest == 2 && (sextet(text.data[text.size - 1], c62, c63) & 15) != 0)
        return IFAB_INVALID;
    if (rest == 3 && (sextet(text.data[text.size - 1], c62, c63) & 3) != 0)
        return IFAB_INVALID;
    size_t size = text.size / 4 * 3 + (rest == 0 ? 0 : rest - 1);
    if (size > max)
        return IFAB_TOO_LARGE;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t out = 0;
    for (size_t i = 0; i < text.size; i++) {
        bits = bits << 6 | (uint32_t)sextet(text.data[i], c62, c63);
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret_bytes[out++] = (uint8_t)(bits >> have);
        }
    }
    *ret_size = size;
    return IFAB_OK;
}

ifab_status ifab_base64url_decode(struct ifab_view text, uint8_t *ret_bytes, size_t max, size_t *ret_size)
{
    return decode_sextets(text, '-', '_', ret_bytes, max, ret_size);
}

ifab_status ifab_base64_decode(struct ifab_view text, uint8_t *ret_bytes, size_t max, size_t *ret_size)
{
    if (text.size % 4 != 0)
        return IFAB_INVALID;
    for (int i = 0; i < 2 && text.size > 0 && text.data[text.size - 1] == '='; i++)
        text.size--;
    return decode_sextets(text, '+', '/', ret_bytes, max, ret_size);
}

bool ifab_looks_base64_standard(struct ifab_view text)
{
    bool telling = false;
    size_t size = text.size;
    if (size > 0 && text.data[size - 1] == '=') {
        if (size % 4 != 0)
            return false;
        telling = true;
        size -= text.data[size - 2] == '=' ? 2 : 1;
    }
    for (size_t i = 0; i < size; i++) {
        if (sextet(text.data[i], '+', '/') < 0)
            return false;
        telling = telling || text.data[i] == '+' || text.data[i] == '/';
    }
    return telling && size > 0 && size % 4 != 1;
}

void ifab_put_u8(uint8_t **at, uint8_t v)
{
    *(*at)++ = v;
}

void ifab_put_u32(uint8_t **at, uint32_t v)
{
    for (int shift = 0; shift < 32; shift += 8)
        *(*at)++ = (uint8_t)(v >> shift);
}

void ifab_put_u64(uint8_t **at, uint64_t v)
{
    for (int shift = 0; shift < 64; shift += 8)
        *(*at)++ = (uint8_t)(v >> shift);
}

void ifab_put_bytes(uint8_t **at, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(*at, bytes, size);
    *at += size;
}

static bool has(struct ifab_reader *r, size_t size)
{
    if (r->bad || (size_t)(r->end - r->at) < size) {
        r->bad = true;
        return false;
    }
    return true;
}

uint8_t ifab_get_u8(struct ifab_reader *r)
{
    return has(r, 1) ? *r->at++ : 0;
}

uint32_t ifab_get_u32(struct ifab_reader *r)
{
    uint32_t v = 0;
    if (has(r, 4))
        for (int shift = 0; shift < 32; shift += 8)
            v |= (uint32_t)*r->at++ << shift;
    return v;
}

uint64_t ifab_get_u64(struct ifab_reader *r)
{
    uint64_t v = 0;
    if (has(r, 8))
        for (int shift = 0; shift < 64; shift += 8)
            v |= (uint64_t)*r->at++ << shift;
    return v;
}

struct ifab_view ifab_get_bytes(struct ifab_reader *r, size_t size)
{
    if (!has(r, size))
        return (struct ifab_view){NULL, 0};
    struct ifab_view bytes = {r->at, size};
    r->at += size;
    return bytes;
}
