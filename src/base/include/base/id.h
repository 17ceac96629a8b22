#ifndef BASE_ID_H
#define BASE_ID_H
/* Ids, names, URIs: SURFACE section 1. */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

#define IFAB_NAME_MAX 64
/* [A-Za-z0-9][A-Za-z0-9._-]{0,63}, no ".." */
bool ifab_name_valid(struct ifab_view name);
/* Of a grant or a capability: 1..128 of 0x21..0x7e but '"' and '\\' */
bool ifab_scope_valid(struct ifab_view scope);
/* xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx lower-case hex, any version. IFAB_INVALID. */
ifab_status ifab_uuid_parse(struct ifab_view text, uint8_t ret_uuid16[16]);
/* prefix + UUIDv7 (RFC 9562: version nibble 7, variant 10), e.g. prefix "msg-". IFAB_INVALID. */
ifab_status ifab_id_parse(struct ifab_view text, const char *prefix, uint8_t ret_uuid16[16]);
void ifab_uuid_format(const uint8_t uuid16[16], char ret_text[37]); /* 36 characters and NUL */
/* UUIDv7 of a wall time (ms) and 10 random bytes (74 bits used). */
void ifab_uuid7_make(int64_t wall_usec, const uint8_t random10[10], uint8_t ret_uuid16[16]);

/* if://<type>/<path>[@version][#fragment]; type [a-z][a-z0-9-]{0,31}; path segments are names, 1..8 of them. At most 512 bytes. */
struct ifab_uri {
    struct ifab_view type, path; /* borrowed; path without the leading slash */
    struct ifab_view version, fragment; /* size 0 when absent */
    struct ifab_view segments[8];
    size_t segment_count;
};
ifab_status ifab_uri_parse(struct ifab_view text, struct ifab_uri *ret_uri, struct ifab_error *err);
/* Sender form: if://agent/NAME[/INSTANCE], nothing after. */
ifab_status ifab_sender_parse(struct ifab_view text, struct ifab_view *ret_name, struct ifab_view *ret_instance);
#endif
