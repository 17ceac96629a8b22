#ifndef BASE_AUTHORITY_H
#define BASE_AUTHORITY_H
/*
 * What stands between "://" and the path of a URL: host [":" port], in its one spelling. Whoever compares hosts byte by byte reads them here, so
 * that what one part of the fabric takes for a host is one for every other. Refused, never repaired. Pure; threads: any.
 */
#include "base/view.h"

#define IFAB_HOST_MAX 253 /* bytes, without the brackets of an IPv6 literal */

struct ifab_address {
    bool v6;
    uint8_t bytes[16]; /* network order; v4 uses the first four, the others are 0 */
};
/* Four decimal numbers without leading zeros, or RFC 4291 text without a zone; nothing else. */
bool ifab_address_parse(struct ifab_view text, struct ifab_address *ret_address);
#define IFAB_ADDRESS_TEXT_MAX 46
/* As RFC 5952 writes it (mapped ones too: hexadecimal). */
void ifab_address_write(const struct ifab_address *address, char ret_text[IFAB_ADDRESS_TEXT_MAX]);
bool ifab_address_equal(const struct ifab_address *a, const struct ifab_address *b);

/* X(NAME, "what is wrong") */
#define IFAB_AUTHORITY_MAP(X)                                                                                      \
    X(USER, "a user or password has no place in it")                                                               \
    X(BRACKET, "no IPv6 address in [ ]")                                                                           \
    X(LITERAL, "an IPv6 address is written as RFC 5952 says")                                                      \
    X(HOST, "no host name in lower case (labels of letters, digits and -) and no address of four decimal numbers") \
    X(PORT, "no port of 1 to 65535 behind the host")
#define IFAB_AUTHORITY_ENUM_(name, text) IFAB_AUTHORITY_##name,
enum ifab_authority_fault { IFAB_AUTHORITY_GOOD = 0, IFAB_AUTHORITY_MAP(IFAB_AUTHORITY_ENUM_) IFAB_AUTHORITY_FAULT_COUNT };
#undef IFAB_AUTHORITY_ENUM_
const char *ifab_authority_fault_text(enum ifab_authority_fault fault); /* "" for GOOD */

struct ifab_authority {
    struct ifab_view host;       /* borrowed from the text: a name, four decimal numbers, or an IPv6 address without its brackets */
    bool is_address;             /* host is an address, not a name */
    struct ifab_address address; /* where it is one */
    bool has_port;
    uint16_t port;   /* 1..65535; 0 where none stands */
    size_t fault_at; /* offset of what is at fault, where anything is */
};
/*
 * A name: labels of letters, digits and inner hyphens, 1..63 each, no dot at the end, the last label begins with no digit (so 2130706433, 0x7f.1,
 * 127.1 and 0177.0.0.1 are no hosts); other scripts only as their xn-- form. A port has no leading zeros. *ret_authority is whole only with GOOD.
 */
enum ifab_authority_fault ifab_authority_parse(struct ifab_view text, struct ifab_authority *ret_authority);
#endif
