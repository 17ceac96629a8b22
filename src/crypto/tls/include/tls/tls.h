#ifndef TLS_TLS_H
#define TLS_TLS_H
/*
 * TLS 1.3 (RFC 8446) without sockets: bytes in, bytes out. Both sides. One provider (OpenSSL) behind this header.
 * Nothing older than 1.3, no early data, no tickets and no resumption: every connection proves its keys afresh. ALPN is not used; the protocol is
 * HTTP/1.1. A client's certificate is asked for and never required; no authority is asked about it: what counts is the SHA-256 of its public key
 * (SPKI), which was enrolled, and that it signed this handshake.
 * Threads: a context may be shared, a session belongs to one thread at a time.
 */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

struct ifab_tls_context;
struct ifab_tls_server_settings {
    const char *certificate_file; /* PEM, leaf first */
    const char *key_file;         /* PEM, not encrypted; not readable by group or others */
};
struct ifab_tls_client_settings {
    const char *ca_file;          /* PEM: only what stands here is trusted, also a leaf itself; NULL: the system's authorities */
    const char *certificate_file; /* of the client, with key_file; NULL: none */
    const char *key_file;
};
/* IFAB_NOT_FOUND, IFAB_DENIED: a file; IFAB_INVALID: what is in it, or the key is not the certificate's; err names the file and what to do. */
IFAB_MUST_CHECK ifab_status ifab_tls_server_context(const struct ifab_tls_server_settings *settings, struct ifab_tls_context **ret_context,
                                                    struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_tls_client_context(const struct ifab_tls_client_settings *settings, struct ifab_tls_context **ret_context,
                                                    struct ifab_error *err);
void ifab_tls_context_free(struct ifab_tls_context *self); /* sessions go on; accepts NULL */
/* When the certificate ends, wall time; for doctor and for a warning at start. */
int64_t ifab_tls_context_expires(const struct ifab_tls_context *self); /* seconds since 1970; INT64_MAX: no certificate */
/* Is its certificate for this name or address (an IPv6 one also in brackets), as a client asks? false also: it has none. */
bool ifab_tls_context_names(const struct ifab_tls_context *self, const char *host);

struct ifab_tls;
/* host: client only, the name or address that the server's certificate must name. IFAB_NOMEM; IFAB_INVALID: no such name. */
IFAB_MUST_CHECK ifab_status ifab_tls_new(const struct ifab_tls_context *context, const char *host, struct ifab_tls **ret_session, struct ifab_error *err);
void ifab_tls_free(struct ifab_tls *self); /* accepts NULL */
/*
 * Bytes of the peer. Appends what they say to plain, and what must be sent back to wire (also when it fails: an alert). A client begins with no bytes.
 * IFAB_OK; IFAB_DENIED: the handshake or a record is refused, err says why; send wire and close. IFAB_NOMEM: likewise. After a failure no further call.
 */
IFAB_MUST_CHECK ifab_status ifab_tls_receive(struct ifab_tls *self, struct ifab_view bytes, struct ifab_buf *plain, struct ifab_buf *wire,
                                             struct ifab_error *err);
/* IFAB_AGAIN: the handshake is not done, nothing was taken. */
IFAB_MUST_CHECK ifab_status ifab_tls_send(struct ifab_tls *self, struct ifab_view plain, struct ifab_buf *wire, struct ifab_error *err);
void ifab_tls_close(struct ifab_tls *self, struct ifab_buf *wire); /* close_notify */
bool ifab_tls_ready(const struct ifab_tls *self);                  /* the handshake is done */
bool ifab_tls_ended(const struct ifab_tls *self);                  /* the peer has said close_notify: end of bytes without it is a cut */
/* SHA-256 of the peer's DER SubjectPublicKeyInfo; false: it showed no certificate. After the handshake. */
bool ifab_tls_peer_key(const struct ifab_tls *self, uint8_t ret_digest32[32]);
/* The same of a certificate in PEM, for enrolment. IFAB_INVALID: none is in it. */
IFAB_MUST_CHECK ifab_status ifab_tls_certificate_key(struct ifab_view pem, uint8_t ret_digest32[32], struct ifab_error *err);
#endif
