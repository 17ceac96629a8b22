#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H
/* What contexts and sessions share. */
#include <openssl/ssl.h>

#include "base/mem.h"
#include "tls/tls.h"

struct ifab_tls_context {
    SSL_CTX *ssl;
    bool server;
};
/* The provider's own words for the newest failure, or fallback; its queue is empty afterwards. */
const char *ifab_tls__cause(const char *fallback);
bool ifab_tls__key_of(X509 *certificate, uint8_t ret_digest32[32]); /* certificate may be NULL */
#endif
