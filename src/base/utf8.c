/* UTF-8 as RFC 3629 section 4 has it: shortest form, no surrogates, up to U+10FFFF. */
#include "base/encode.h"

#include "trim.h"

size_t ifab_utf8_decode(const uint8_t *at, const uint8_t *end, uint32_t *ret_code_point)
{
    size_t left = (size_t)(end - at);
    if (left == 0)
        return 0;
    uint8_t lead = at[0];
    if (lead < 0x80) {
        *ret_code_point = lead;
        return 1;
    }
    size_t length = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
    if (length == 0 || left < length)
        return 0;
    uint32_t point = lead & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3fU);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < smallest[length] || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff)
        return 0;
    *ret_code_point = point;
    return length;
}

bool ifab_utf8_valid(struct ifab_view text)
{
    const uint8_t *at = text.data, *end = text.size == 0 ? at : at + text.size;
    while (at != end) {
        if ((size_t)(end - at) >= 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            if ((word & 0x8080808080808080ULL) == 0) {
                at += 8;
                continue;
            }
        }
        uint32_t point;
        size_t length = ifab_utf8_decode(at, end, &point);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

void ifab_base__trim_utf8(char *text)
{
    size_t size = strlen(text), back = 0;
    while (back < size && back < 3 && ((uint8_t)text[size - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back == size)
        return;
    uint8_t lead = (uint8_t)text[size - 1 - back];
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (length > back + 1)
        text[size - 1 - back] = '\0';
}
