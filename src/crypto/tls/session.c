/* One connection's records. Invariants: a session that failed is never called again; plain bytes come out only after the handshake. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "internal.h"

struct ifab_tls {
    SSL *ssl;
    BIO *in, *out; /* the session's own */
    bool failed;
};


static ifab_status expect_host(struct ifab_tls *self, const char *host, struct ifab_error *err)
{
    unsigned char address[16];
    X509_VERIFY_PARAM *param = SSL_get0_param(self->ssl);
    if (host == NULL || host[0] == '\0')
        return ifab_fail(err, IFAB_INVALID, "tls: no name to expect of the server");
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? IFAB_OK : ifab_fail(err, IFAB_NOMEM, "tls");
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    void *name = (void *)(uintptr_t)host; /* copied there; SSL_set_tlsext_host_name() casts its const away, which clang refuses */
    if (X509_VERIFY_PARAM_set1_host(param, host, 0) != 1 ||
        SSL_ctrl(self->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) != 1)
        return ifab_fail(err, IFAB_INVALID, "tls: \"%.100s\" is no host name", host);
    return IFAB_OK;
}

ifab_status ifab_tls_new(const struct ifab_tls_context *context, const char *host, struct ifab_tls **ret_session, struct ifab_error *err)
{
    struct ifab_tls *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "tls");
    self->ssl = SSL_new(context->ssl);
    self->in = BIO_new(BIO_s_mem());
    self->out = BIO_new(BIO_s_mem());
    if (self->ssl == NULL || self->in == NULL || self->out == NULL) {
        BIO_free(self->in);
        BIO_free(self->out);
        self->in = self->out = NULL;
        ifab_tls_free(self);
        ERR_clear_error();
        return ifab_fail(err, IFAB_NOMEM, "tls");
    }
    SSL_set_bio(self->ssl, self->in, self->out);
    ifab_status status = IFAB_OK;
    if (context->server)
        SSL_set_accept_state(self->ssl);
    else {
        SSL_set_connect_state(self->ssl);
        status = expect_host(self, host, err);
    }
    if (status != IFAB_OK) {
        ifab_tls_free(self);
        return status;
    }
    *ret_session = self;
    return IFAB_OK;
}

void ifab_tls_free(struct ifab_tls *self)
{
    if (self == NULL)
        return;
    SSL_free(self->ssl); /* with its BIOs */
    ifab_free(self);
}

static void take_wire(struct ifab_tls *self, struct ifab_buf *wire)
{
    char *data = NULL;
    long size = BIO_get_mem_data(self->out, &data);
    if (size > 0)
        ifab_buf_put(wire, data, (size_t)size);
    (void)BIO_reset(self->out);
}

static ifab_status refuse(struct ifab_tls *self, struct ifab_buf *wire, struct ifab_error *err)
{
    long verdict = SSL_get_verify_result(self->ssl);
    self->failed = true;
    take_wire(self, wire);
    if (verdict != X509_V_OK) {
        ERR_clear_error();
        return ifab_fail(err, IFAB_DENIED, "tls: %s", X509_verify_cert_error_string(verdict));
    }
    return ifab_fail(err, IFAB_DENIED, "tls: %s", ifab_tls__cause("the peer broke the protocol"));
}

/* true: go on; false: no more for now. */
static bool wants_more(struct ifab_tls *self, int result)
{
    int error = SSL_get_error(self->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_ZERO_RETURN;
}

ifab_status ifab_tls_receive(struct ifab_tls *self, struct ifab_view bytes, struct ifab_buf *plain, struct ifab_buf *wire, struct ifab_error *err)
{
    unsigned char chunk[16384];
    if (self->failed)
        return ifab_fail(err, IFAB_DENIED, "tls: the session has failed");
    ERR_clear_error();
    if (bytes.size > INT32_MAX || (bytes.size > 0 && BIO_write(self->in, bytes.data, (int)bytes.size) != (int)bytes.size))
        return ifab_fail(err, IFAB_NOMEM, "tls");
    if (!SSL_is_init_finished(self->ssl)) {
        int done = SSL_do_handshake(self->ssl);
        if (done != 1 && !wants_more(self, done))
            return refuse(self, wire, err);
    }
    while (SSL_is_init_finished(self->ssl)) {
        int n = SSL_read(self->ssl, chunk, sizeof chunk);
        if (n > 0) {
            ifab_buf_put(plain, chunk, (size_t)n);
            continue;
        }
        if (!wants_more(self, n))
            return refuse(self, wire, err);
        break;
    }
    take_wire(self, wire);
    if (ifab_buf_status(plain) != IFAB_OK || ifab_buf_status(wire) != IFAB_OK) {
        self->failed = true;
        return ifab_fail(err, IFAB_NOMEM, "tls");
    }
    return IFAB_OK;
}

ifab_status ifab_tls_send(struct ifab_tls *self, struct ifab_view plain, struct ifab_buf *wire, struct ifab_error *err)
{
    if (self->failed)
        return ifab_fail(err, IFAB_DENIED, "tls: the session has failed");
    if (!SSL_is_init_finished(self->ssl))
        return IFAB_AGAIN;
    ERR_clear_error();
    for (size_t at = 0; at < plain.size;) {
        size_t part = plain.size - at > 1 << 20 ? 1 << 20 : plain.size - at;
        int n = SSL_write(self->ssl, plain.data + at, (int)part); /* into memory: all or an error */
        if (n <= 0)
            return refuse(self, wire, err);
        at += (size_t)n;
    }
    take_wire(self, wire);
    return ifab_buf_status(wire) == IFAB_OK ? IFAB_OK : ifab_fail(err, IFAB_NOMEM, "tls");
}

void ifab_tls_close(struct ifab_tls *self, struct ifab_buf *wire)
{
    if (self->failed || !SSL_is_init_finished(self->ssl))
        return;
    ERR_clear_error();
    (void)SSL_shutdown(self->ssl);
    ERR_clear_error();
    take_wire(self, wire);
}

bool ifab_tls_ready(const struct ifab_tls *self) { return !self->failed && SSL_is_init_finished(self->ssl); }
bool ifab_tls_ended(const struct ifab_tls *self) { return (SSL_get_shutdown(self->ssl) & SSL_RECEIVED_SHUTDOWN) != 0; }

bool ifab_tls_peer_key(const struct ifab_tls *self, uint8_t ret_digest32[32])
{
    return ifab_tls_ready(self) && ifab_tls__key_of(SSL_get0_peer_certificate(self->ssl), ret_digest32);
}
