#ifndef EGRESS_HEADER_H
#define EGRESS_HEADER_H
/* Header fields of a guest's request and of what it is answered. RFC 9110 section 5. Pure; threads: any. */
#include "base/status.h"
#include "base/view.h"

struct ifab_egress_header {
    struct ifab_view name, value;
};
#define IFAB_EGRESS_HEADERS_MAX      64    /* of a request */
#define IFAB_EGRESS_HEADER_NAME_MAX  128   /* bytes */
#define IFAB_EGRESS_HEADER_VALUE_MAX 4096  /* bytes */
#define IFAB_EGRESS_HEADERS_SIZE_MAX 16384 /* bytes, names and values together */

/* A token of RFC 9110, at most IFAB_EGRESS_HEADER_NAME_MAX bytes. */
bool ifab_egress_header_name_valid(struct ifab_view name);
/* Visible ASCII, bytes above 7F, spaces and tabs inside; nothing at either end; no CR, LF, NUL. */
bool ifab_egress_header_value_valid(struct ifab_view value);
/* true: the fabric's own (Host, Authorization, Cookie, Proxy-*, Connection, lengths, forwarding, …); no guest sets it. Any letter case. */
bool ifab_egress_header_is_ours(struct ifab_view name);
/* Some server reads them as one: in any letter case, '_' and '.' as '-'. */
bool ifab_egress_header_same(struct ifab_view a, struct ifab_view b);
/* true: what an answer may show to a guest. Any letter case. */
bool ifab_egress_header_is_shown(struct ifab_view name);
/*
 * The guest's header fields, all of them. IFAB_INVALID, IFAB_TOO_LARGE: err names the field, never its value; IFAB_DENIED: one of ours, or a
 * name twice.
 */
IFAB_MUST_CHECK ifab_status ifab_egress_headers_check(const struct ifab_egress_header *headers, size_t count, struct ifab_error *err);
#endif
