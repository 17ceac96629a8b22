/*
 * An origin in its one spelling. What a URL library would forgive is refused here: upper case, default ports, short and hexadecimal addresses,
 * user names, paths. So two origins are the same exactly when their bytes are (INV-09). Hosts are read as those of URLs are: an origin that no
 * request can have would be a secret that never arrives.
 */
#include "secret/secret.h"

#include "base/authority.h"
#include "base/mem.h"

static const struct {
    const char *scheme;
    unsigned port;
} schemes[] = {{"https://", 443}, {"http://", 80}, {"wss://", 443}, {"ws://", 80}};

#define FORM "scheme://host[:port] and nothing behind it, in lower case, e.g. https://api.example.com; schemes are https, http, wss, ws"

/* What is meant instead, to stand behind "must be"; a refusal's message has no room for more. */
static const char *const meant[IFAB_AUTHORITY_FAULT_COUNT] = {
    [IFAB_AUTHORITY_USER] = FORM,
    [IFAB_AUTHORITY_BRACKET] = "scheme://host[:port] with an IPv6 address alone in the brackets, e.g. https://[2001:db8::1]",
    [IFAB_AUTHORITY_LITERAL] = "scheme://host[:port] with the IPv6 address in its shortest form (RFC 5952): lower case, hexadecimal, no leading "
                               "zeros, \"::\" for the first longest run of two or more zeros, e.g. https://[2001:db8::1]",
    [IFAB_AUTHORITY_HOST] =
        "scheme://host[:port] whose host is a name in lower case (labels of letters, digits, inner '-'; no '_', '--' third only in "
        "xn-- ones; the last begins with a letter), four decimal numbers, or an IPv6 address in [ ]",
    [IFAB_AUTHORITY_PORT] = "scheme://host[:port] with a port of 1 to 65535 without leading zeros, or none",
};

static const char *fault_of(struct ifab_view text)
{
    struct ifab_authority authority;
    size_t row = 0, skip;
    while (row < IFAB_COUNT(schemes) && !ifab_view_starts(text, ifab_view_str(schemes[row].scheme)))
        row++;
    if (row == IFAB_COUNT(schemes) || text.size > IFAB_ORIGIN_MAX)
        return FORM;
    skip = strlen(schemes[row].scheme);
    struct ifab_view rest = ifab_view_of(text.data + skip, text.size - skip);
    for (size_t i = 0; i < rest.size; i++)
        if (rest.data[i] == '/' || rest.data[i] == '?' || rest.data[i] == '#')
            return FORM;
    enum ifab_authority_fault fault = ifab_authority_parse(rest, &authority);
    if (fault == IFAB_AUTHORITY_GOOD && authority.has_port && authority.port == schemes[row].port)
        return "written without the port where it is the scheme's own (https, wss 443; http, ws 80)";
    return meant[fault];
}

bool ifab_origin_valid(struct ifab_view text, const char **ret_why)
{
    const char *why = fault_of(text);
    if (ret_why != NULL && why != NULL)
        *ret_why = why;
    return why == NULL;
}
