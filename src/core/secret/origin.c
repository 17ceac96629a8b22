/*
 * An origin in its one spelling. What a URL library would forgive is refused here: upper case, default ports, short and hexadecimal addresses,
 * user names, paths. So two origins are the same exactly when their bytes are (INV-09).
 */
#include "secret/secret.h"

#include "base/mem.h"

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool hex_digit(uint8_t c) { return digit(c) || (c >= 'a' && c <= 'f'); }
static bool letter(uint8_t c) { return c >= 'a' && c <= 'z'; }

static const struct {
    const char *scheme;
    unsigned port;
} schemes[] = {{"https://", 443}, {"http://", 80}, {"wss://", 443}, {"ws://", 80}};

/* Decimal without a leading zero, at most max. */
static bool number(struct ifab_view text, unsigned max, unsigned *ret)
{
    unsigned value = 0;
    if (text.size == 0 || text.size > 5 || (text.size > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!digit(text.data[i]))
            return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret = value;
    return value <= max;
}

static bool ipv4(struct ifab_view host)
{
    size_t parts = 0, from = 0;
    unsigned octet;
    for (size_t i = 0; i <= host.size; i++) {
        if (i < host.size && host.data[i] != '.')
            continue;
        if (!number(ifab_view_of(host.data + from, i - from), 255, &octet))
            return false;
        parts++;
        from = i + 1;
    }
    return parts == 4;
}

/* RFC 5952 in what can be told by spelling: groups of at most four digits without leading zeros, one "::" at most, no IPv4 inside. */
static bool ipv6(struct ifab_view host)
{
    size_t groups = 0, size = 0, gaps = 0;
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        if (hex_digit(c)) {
            if (size == 0)
                groups++;
            if (++size > 4 || (size == 2 && host.data[i - 1] == '0'))
                return false;
        } else if (c == ':') {
            bool gap = i + 1 < host.size && host.data[i + 1] == ':';
            if (gap && ++gaps > 1)
                return false;
            if (!gap && (i == 0 || i + 1 == host.size))
                return false;
            if (gap && i + 2 < host.size && host.data[i + 2] == ':')
                return false;
            i += gap;
            size = 0;
        } else {
            return false;
        }
    }
    return gaps == 1 ? groups <= 6 : groups == 8;
}

static bool label(struct ifab_view text)
{
    if (text.size == 0 || text.size > 63 || text.data[0] == '-' || text.data[text.size - 1] == '-')
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!letter(text.data[i]) && !digit(text.data[i]) && text.data[i] != '-' && text.data[i] != '_')
            return false;
    return true;
}

/* A host whose last label is a number, 0x… too, is an address to those who connect: four decimal numbers, or nothing. */
static bool domain(struct ifab_view host)
{
    size_t from = 0;
    struct ifab_view last = {NULL, 0};
    if (host.size == 0 || host.size > 253)
        return false;
    for (size_t i = 0; i <= host.size; i++) {
        if (i < host.size && host.data[i] != '.')
            continue;
        last = ifab_view_of(host.data + from, i - from);
        if (!label(last))
            return false;
        from = i + 1;
    }
    if (digit(last.data[0])) {
        bool numeric = true;
        for (size_t i = 0; i < last.size; i++)
            numeric =
                numeric && (digit(last.data[i]) || (i == 1 && last.data[i] == 'x') || (i > 1 && last.data[1] == 'x' && hex_digit(last.data[i])));
        return numeric ? ipv4(host) : true;
    }
    return true;
}

bool ifab_origin_valid(struct ifab_view text, const char **ret_why)
{
    const char *why = NULL;
    size_t row = 0, skip, colon;
    unsigned port;
    if (ret_why == NULL)
        ret_why = &why;
    while (row < IFAB_COUNT(schemes) && !ifab_view_starts(text, ifab_view_str(schemes[row].scheme)))
        row++;
    *ret_why =
        "scheme://host[:port] and nothing behind it, in lower case, e.g. https://api.example.com; schemes are https, http, wss, ws";
    if (row == IFAB_COUNT(schemes) || text.size > IFAB_ORIGIN_MAX)
        return false;
    skip = strlen(schemes[row].scheme);
    struct ifab_view rest = ifab_view_of(text.data + skip, text.size - skip), host = rest;
    bool bracket = rest.size > 0 && rest.data[0] == '[';
    for (colon = 0; colon < rest.size; colon++)
        if (rest.data[colon] == (bracket ? ']' : ':'))
            break;
    if (bracket && colon == rest.size)
        return false;
    host.size = bracket ? colon + 1 : colon;
    if (host.size < rest.size) {
        struct ifab_view tail = ifab_view_of(rest.data + host.size + 1, rest.size - host.size - 1);
        if (rest.data[host.size] != ':' || !number(tail, 65535, &port) || port == 0)
            return false;
        *ret_why = "written without the port where it is the scheme's own (https, wss 443; http, ws 80)";
        if (port == schemes[row].port)
            return false;
    }
    *ret_why = "scheme://host[:port] with a name in lower case, an IPv4 address of four decimal numbers, or an IPv6 address in brackets, shortest form";
    return bracket ? ipv6(ifab_view_of(host.data + 1, host.size - 2)) : domain(host);
}
