#ifndef EGRESS_CREDENTIAL_INTERNAL_H
#define EGRESS_CREDENTIAL_INTERNAL_H
/* What credential.c and sigv4.c share. */
#include "egress/credential.h"

/* region "/" service. false: not such a field. */
bool ifab_credential__scope(struct ifab_view field, struct ifab_view *ret_region, struct ifab_view *ret_service);
struct ifab_view ifab_credential__since(const struct ifab_buf *buf, size_t begin);
void ifab_credential__header(struct ifab_injection *to, struct ifab_view name, struct ifab_view value);
/* RFC 3986: everything but unreserved characters, in upper-case hexadecimal. */
void ifab_credential__percent(struct ifab_buf *buf, struct ifab_view bytes, bool keep_slash);
ifab_status ifab_credential__sigv4(struct ifab_view field, struct ifab_view secret, const struct ifab_signable *request, struct ifab_buf *storage,
                                   struct ifab_injection *to, struct ifab_error *err);
#endif
