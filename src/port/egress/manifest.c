/* Rows and credentials of a manifest in the words of egress. */
#include "egress/manifest.h"

#include "base/mem.h"

_Static_assert(IFAB_MANIFEST_HTTP_MAX <= IFAB_EGRESS_ROWS_MAX, "a request takes all rows of a manifest");

static uint32_t methods_of(uint32_t theirs)
{
    uint32_t ours = 0;
#define ROW(name, text, body) ours |= (theirs & 1U << IFAB_METHOD_##name) != 0 ? 1U << IFAB_EGRESS_METHOD_##name : 0U;
    IFAB_EGRESS_METHOD_MAP(ROW)
#undef ROW
    return ours;
}
static enum ifab_scheme scheme_of(enum ifab_origin_scheme scheme)
{
    static const enum ifab_scheme ours[IFAB_ORIGIN_SCHEME_COUNT] = {
#define ROW(name, text, port, tls, socket) [IFAB_ORIGIN_##name] = IFAB_SCHEME_##name,
        IFAB_ORIGIN_SCHEME_MAP(ROW)
#undef ROW
    };
    return ours[scheme];
}
size_t ifab_egress_rows_of(const struct ifab_manifest *manifest, struct ifab_egress_row *ret_rows)
{
    for (size_t i = 0; i < manifest->http_count; i++) {
        const struct ifab_http_row *row = &manifest->http[i];
        ret_rows[i] = (struct ifab_egress_row){
            .origin = {scheme_of(row->origin.scheme), row->origin.host, row->origin.port},
            .path = row->path,
            .methods = methods_of(row->methods),
            .read = row->effect == IFAB_EFFECT_READ,
        };
    }
    return manifest->http_count;
}
enum ifab_credential_as ifab_egress_credential_as_of(enum ifab_secret_as as)
{
    static const enum ifab_credential_as ours[IFAB_SECRET_AS_COUNT] = {
#define ROW(name, text) [IFAB_SECRET_AS_##name] = IFAB_CREDENTIAL_##name,
        IFAB_CREDENTIAL_MAP(ROW)
#undef ROW
    };
    return (size_t)as < IFAB_COUNT(ours) ? ours[as] : IFAB_CREDENTIAL_NONE;
}
