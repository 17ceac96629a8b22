/* host[:port] in its one spelling: what two readers could take for two hosts is none. */
#include "base/authority.h"

static const char *const texts[] = {"",
#define ROW(name, text) text,
                                    IFAB_AUTHORITY_MAP(ROW)
#undef ROW
};
const char *ifab_authority_fault_text(enum ifab_authority_fault fault) { return (size_t)fault < IFAB_AUTHORITY_FAULT_COUNT ? texts[fault] : ""; }

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }

static bool label_valid(struct ifab_view label)
{
    if (label.size == 0 || label.size > 63 || label.data[0] == '-' || label.data[label.size - 1] == '-')
        return false;
    for (size_t i = 0; i < label.size; i++) {
        if (!is_lower(label.data[i]) && !is_digit(label.data[i]) && label.data[i] != '-')
            return false;
    }
    if (label.size >= 4 && label.data[2] == '-' && label.data[3] == '-') /* RFC 5891 4.2.3.1: only xn-- has a meaning */
        return label.size > 4 && label.data[0] == 'x' && label.data[1] == 'n';
    return true;
}
static bool name_valid(struct ifab_view host)
{
    size_t begin = 0;
    struct ifab_view label = {NULL, 0};
    if (host.size == 0 || host.size > IFAB_HOST_MAX)
        return false;
    for (size_t i = 0; i <= host.size; i++) {
        if (i < host.size && host.data[i] != '.')
            continue;
        label = ifab_view_of(host.data + begin, i - begin);
        if (!label_valid(label))
            return false;
        begin = i + 1;
    }
    /* The last label decides for the WHATWG's URL standard whether a host is an address; no top-level domain begins with a digit. */
    return !is_digit(label.data[0]);
}

/* digits without leading zeros, 1..65535 */
static bool port_read(struct ifab_view text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (text.size == 0 || text.size > 5 || text.data[0] == '0')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i]))
            return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port > 65535)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* "[…]…": *ret_end is the offset behind the bracket. */
static enum ifab_authority_fault literal_read(struct ifab_view text, struct ifab_authority *authority, size_t *ret_end)
{
    const uint8_t *close = memchr(text.data, ']', text.size);
    char again[IFAB_ADDRESS_TEXT_MAX];
    if (close == NULL)
        return IFAB_AUTHORITY_BRACKET;
    *ret_end = (size_t)(close - text.data) + 1;
    authority->host = ifab_view_of(text.data + 1, *ret_end - 2);
    authority->is_address = ifab_address_parse(authority->host, &authority->address);
    if (!authority->is_address || !authority->address.v6)
        return IFAB_AUTHORITY_BRACKET;
    ifab_address_write(&authority->address, again);
    return ifab_view_is(authority->host, again) ? IFAB_AUTHORITY_GOOD : IFAB_AUTHORITY_LITERAL;
}

static enum ifab_authority_fault host_read(struct ifab_view text, struct ifab_authority *authority, size_t *ret_end)
{
    const uint8_t *colon = text.size == 0 ? NULL : memchr(text.data, ':', text.size);
    *ret_end = colon == NULL ? text.size : (size_t)(colon - text.data);
    authority->host = ifab_view_of(text.data, *ret_end);
    authority->is_address = ifab_address_parse(authority->host, &authority->address);
    return authority->is_address || name_valid(authority->host) ? IFAB_AUTHORITY_GOOD : IFAB_AUTHORITY_HOST;
}

enum ifab_authority_fault ifab_authority_parse(struct ifab_view text, struct ifab_authority *ret_authority)
{
    struct ifab_authority *authority = ret_authority;
    enum ifab_authority_fault fault;
    size_t end = 0;
    *authority = (struct ifab_authority){.port = 0};
    if (text.size > 0 && memchr(text.data, '@', text.size) != NULL)
        return IFAB_AUTHORITY_USER;
    bool literal = text.size > 0 && text.data[0] == '[';
    fault = literal ? literal_read(text, authority, &end) : host_read(text, authority, &end);
    if (fault != IFAB_AUTHORITY_GOOD || end == text.size)
        return fault;
    authority->has_port = true;
    authority->fault_at = end;
    if (text.data[end] != ':' || !port_read(ifab_view_of(text.data + end + 1, text.size - end - 1), &authority->port))
        return IFAB_AUTHORITY_PORT;
    return IFAB_AUTHORITY_GOOD;
}
