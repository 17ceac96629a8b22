#ifndef EGRESS_MANIFEST_H
#define EGRESS_MANIFEST_H
/* From a capability's manifest to what egress asks for. Pure; threads: any. */
#include "capability/manifest.h"
#include "egress/egress.h"

/*
 * The manifest's http rows, views borrowed from it; ret_rows: at least IFAB_MANIFEST_HTTP_MAX. Returns how many. They let through exactly what
 * ifab_http_row_match() lets through, less what is no URL here (tests/property/prop_egress_rows.c). read: effect read. beyond: more than
 * effect, the operation's, covers: read covers read; write covers read and write; physical and payment cover these and themselves; none covers nothing.
 */
size_t ifab_egress_rows_of(const struct ifab_manifest *manifest, enum ifab_effect effect, struct ifab_egress_row *ret_rows);
/* How the secret goes into a request; IFAB_CREDENTIAL_NONE for a number that is none. */
enum ifab_credential_as ifab_egress_credential_as_of(enum ifab_secret_as as);
#endif
