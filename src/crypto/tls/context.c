/* Keys, certificates and what is spoken at all. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/crypto.h"
#include "internal.h"

const char *ifab_tls__cause(const char *fallback)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text != NULL ? text : fallback;
}

/* The chain of a client is not judged: its key is looked up among those enrolled, and its signature over the handshake has been checked. */
static int any_chain(X509_STORE_CTX *store, void *user)
{
    (void)store;
    (void)user;
    return 1;
}

static ifab_status new_context(const SSL_METHOD *method, bool server, struct ifab_tls_context **ret, struct ifab_error *err)
{
    struct ifab_tls_context *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "tls");
    self->server = server;
    self->ssl = SSL_CTX_new(method);
    if (self->ssl == NULL || SSL_CTX_set_min_proto_version(self->ssl, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(self->ssl, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set_num_tickets(self->ssl, 0) != 1) {
        ifab_tls_context_free(self);
        return ifab_fail(err, IFAB_INTERNAL, "tls: %s", ifab_tls__cause("cannot be set up"));
    }
    SSL_CTX_set_options(self->ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(self->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(self->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_early_data(self->ssl, 0);
    *ret = self;
    return IFAB_OK;
}

static ifab_status check_file(const char *path, bool secret, struct ifab_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return ifab_fail(err, errno == ENOENT ? IFAB_NOT_FOUND : IFAB_DENIED, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ifab_fail(err, IFAB_INVALID, "%s: not a regular file", path);
    if (secret && (st.st_mode & 077) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s may be read by others (mode %03o): chmod 600 it", path, (unsigned)st.st_mode & 0777U);
    return IFAB_OK;
}

/* Never ask on a terminal: a daemon has none. */
static int no_passphrase(char *to, int size, int writing, void *user)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)user;
    return 0;
}

static ifab_status load_pair(struct ifab_tls_context *self, const char *certificate_file, const char *key_file, struct ifab_error *err)
{
    IFAB_TRY(check_file(certificate_file, false, err));
    IFAB_TRY(check_file(key_file, true, err));
    SSL_CTX_set_default_passwd_cb(self->ssl, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(self->ssl, certificate_file) != 1)
        return ifab_fail(err, IFAB_INVALID, "%s holds no certificate in PEM: %s", certificate_file, ifab_tls__cause("cannot be read"));
    if (SSL_CTX_use_PrivateKey_file(self->ssl, key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(self->ssl) != 1)
        return ifab_fail(err, IFAB_INVALID, "%s holds no unencrypted private key of %s: %s", key_file, certificate_file, ifab_tls__cause("cannot be read"));
    return IFAB_OK;
}

ifab_status ifab_tls_server_context(const struct ifab_tls_server_settings *settings, struct ifab_tls_context **ret_context, struct ifab_error *err)
{
    struct ifab_tls_context *self;
    IFAB_TRY(new_context(TLS_server_method(), true, &self, err));
    ifab_status status = load_pair(self, settings->certificate_file, settings->key_file, err);
    if (status != IFAB_OK) {
        ifab_tls_context_free(self);
        return status;
    }
    SSL_CTX_set_verify(self->ssl, SSL_VERIFY_PEER, NULL); /* ask; none is an answer */
    SSL_CTX_set_cert_verify_callback(self->ssl, any_chain, NULL);
    *ret_context = self;
    return IFAB_OK;
}

static ifab_status trust(struct ifab_tls_context *self, const char *ca_file, struct ifab_error *err)
{
    if (ca_file == NULL)
        return SSL_CTX_set_default_verify_paths(self->ssl) == 1 ? IFAB_OK
                                                                : ifab_fail(err, IFAB_INVALID, "the system's certificate authorities cannot be read");
    IFAB_TRY(check_file(ca_file, false, err));
    if (SSL_CTX_load_verify_file(self->ssl, ca_file) != 1)
        return ifab_fail(err, IFAB_INVALID, "%s holds no certificate in PEM: %s", ca_file, ifab_tls__cause("cannot be read"));
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(self->ssl), X509_V_FLAG_PARTIAL_CHAIN); /* a leaf named there is trusted as it stands */
    return IFAB_OK;
}

ifab_status ifab_tls_client_context(const struct ifab_tls_client_settings *settings, struct ifab_tls_context **ret_context, struct ifab_error *err)
{
    struct ifab_tls_context *self;
    IFAB_TRY(new_context(TLS_client_method(), false, &self, err));
    ifab_status status = trust(self, settings->ca_file, err);
    if (status == IFAB_OK && settings->certificate_file != NULL)
        status = load_pair(self, settings->certificate_file, settings->key_file != NULL ? settings->key_file : settings->certificate_file, err);
    if (status != IFAB_OK) {
        ifab_tls_context_free(self);
        return status;
    }
    SSL_CTX_set_verify(self->ssl, SSL_VERIFY_PEER, NULL);
    *ret_context = self;
    return IFAB_OK;
}

void ifab_tls_context_free(struct ifab_tls_context *self)
{
    if (self == NULL)
        return;
    SSL_CTX_free(self->ssl);
    ifab_free(self);
}

int64_t ifab_tls_context_expires(const struct ifab_tls_context *self)
{
    const X509 *certificate = SSL_CTX_get0_certificate(self->ssl);
    const ASN1_TIME *end = certificate != NULL ? X509_get0_notAfter(certificate) : NULL;
    ASN1_TIME *epoch = end != NULL ? ASN1_TIME_set(NULL, 0) : NULL;
    int days = 0, seconds = 0;
    int64_t expires = INT64_MAX;
    if (epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, end) == 1)
        expires = (int64_t)days * 86400 + seconds;
    ASN1_TIME_free(epoch);
    return expires;
}

bool ifab_tls_context_names(const struct ifab_tls_context *self, const char *host)
{
    X509 *certificate = SSL_CTX_get0_certificate(self->ssl);
    const unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT; /* as a session asks */
    char address[64];
    size_t size = strlen(host);
    if (certificate == NULL)
        return false;
    if (size > 2 && size < sizeof address && host[0] == '[' && host[size - 1] == ']') {
        memcpy(address, host + 1, size - 2);
        address[size - 2] = '\0';
        return X509_check_ip_asc(certificate, address, 0) == 1;
    }
    return X509_check_ip_asc(certificate, host, 0) == 1 || X509_check_host(certificate, host, size, flags, NULL) == 1;
}

static ifab_status digest_key(X509 *certificate, uint8_t ret_digest32[32])
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    if (size <= 0)
        return IFAB_INVALID;
    ifab_sha256(ifab_view_of(der, (size_t)size), ret_digest32);
    OPENSSL_free(der);
    return IFAB_OK;
}

bool ifab_tls__key_of(X509 *certificate, uint8_t ret_digest32[32])
{
    return certificate != NULL && digest_key(certificate, ret_digest32) == IFAB_OK;
}

ifab_status ifab_tls_certificate_key(struct ifab_view pem, uint8_t ret_digest32[32], struct ifab_error *err)
{
    if (pem.size > 1 << 20)
        return ifab_fail(err, IFAB_TOO_LARGE, "a certificate of more than 1 MiB");
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    ifab_status status = certificate != NULL ? digest_key(certificate, ret_digest32) : IFAB_INVALID;
    X509_free(certificate);
    BIO_free(bio);
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, IFAB_INVALID, "no certificate in PEM: %s", ifab_tls__cause("cannot be read"));
}
