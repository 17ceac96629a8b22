/* Addresses as text. */
#include "base/authority.h"

#include <stdio.h>

static bool parse_v4(struct ifab_view text, uint8_t ret[4])
{
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        size_t begin = at;
        while (at < text.size && at - begin < 4 && text.data[at] >= '0' && text.data[at] <= '9')
            value = value * 10 + (unsigned)(text.data[at++] - '0');
        if (at == begin || value > 255 || at - begin > 3 || (at - begin > 1 && text.data[begin] == '0'))
            return false;
        ret[part] = (uint8_t)value;
        if (part < 3 && (at >= text.size || text.data[at++] != '.'))
            return false;
    }
    return at == text.size;
}
static int hex4(struct ifab_view text, size_t *at)
{
    int value = 0;
    size_t begin = *at;
    for (; *at < text.size && *at - begin < 4; ++*at) {
        uint8_t c = text.data[*at];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
        if (digit < 0)
            break;
        value = value * 16 + digit;
    }
    return *at == begin ? -1 : value;
}
/* RFC 4291 2.2; "::" stands for one group of zeros or more, once. */
static bool parse_v6(struct ifab_view text, uint8_t ret[16])
{
    uint8_t bytes[16] = {0};
    size_t at = 0, used = 0, gap = 17;
    if (text.size >= 2 && text.data[0] == ':' && text.data[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < text.size) {
        size_t begin = at;
        if (used == 16)
            return false;
        int group = hex4(text, &at);
        if (group < 0)
            return false;
        if (at < text.size && text.data[at] == '.') { /* the last 32 bits as four decimal numbers */
            if (used > 12 || !parse_v4(ifab_view_of(text.data + begin, text.size - begin), bytes + used))
                return false;
            used += 4;
            at = text.size;
            break;
        }
        bytes[used++] = (uint8_t)(group >> 8);
        bytes[used++] = (uint8_t)group;
        if (at == text.size)
            break;
        if (text.data[at++] != ':' || at == text.size)
            return false;
        if (text.data[at] == ':') {
            if (gap != 17)
                return false;
            gap = used;
            at++;
        }
    }
    if (gap == 17 ? used != 16 : used > 14)
        return false;
    if (gap != 17) {
        memmove(bytes + 16 - (used - gap), bytes + gap, used - gap);
        memset(bytes + gap, 0, 16 - used);
    }
    memcpy(ret, bytes, 16);
    return true;
}
bool ifab_address_parse(struct ifab_view text, struct ifab_address *ret_address)
{
    struct ifab_address a = {.v6 = false};
    if (text.size == 0 || text.size >= IFAB_ADDRESS_TEXT_MAX)
        return false;
    a.v6 = memchr(text.data, ':', text.size) != NULL;
    if (!(a.v6 ? parse_v6(text, a.bytes) : parse_v4(text, a.bytes)))
        return false;
    *ret_address = a;
    return true;
}

void ifab_address_write(const struct ifab_address *a, char ret_text[IFAB_ADDRESS_TEXT_MAX])
{
    size_t used = 0, best = 8, best_size = 1; /* RFC 5952 4.2: the longest run of zeros, the first of equals, not a single one */
    if (!a->v6) {
        (void)snprintf(ret_text, IFAB_ADDRESS_TEXT_MAX, "%u.%u.%u.%u", a->bytes[0], a->bytes[1], a->bytes[2], a->bytes[3]);
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        size_t n = 0;
        while (i + n < 8 && a->bytes[2 * (i + n)] == 0 && a->bytes[2 * (i + n) + 1] == 0)
            n++;
        if (n > best_size) {
            best = i;
            best_size = n;
        }
    }
    ret_text[0] = '\0';
    for (size_t i = 0; i < 8;) {
        if (i == best) {
            used += (size_t)snprintf(ret_text + used, IFAB_ADDRESS_TEXT_MAX - used, "::");
            i += best_size;
            continue;
        }
        used += (size_t)snprintf(ret_text + used, IFAB_ADDRESS_TEXT_MAX - used, "%s%x", i == 0 || i == best + best_size ? "" : ":",
                                 (unsigned)(a->bytes[2 * i] << 8 | a->bytes[2 * i + 1]));
        i++;
    }
}
bool ifab_address_equal(const struct ifab_address *a, const struct ifab_address *b)
{
    return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}
