/*
 * OpenSSL as ifctl has it: loaded when it is first needed. Its relocations alone take as long as all the rest of a command that needs none of it
 * (docs/decisions/openssl-when-needed.md), and a shell starts commands by the hundred. What the program calls stands here under OpenSSL's own name,
 * with the type that its headers declare, and goes on to the library; so nothing else of the project knows, and a name that is missing here links the
 * library at start again, which tests/headers/check-needed sees. Any thread. Nothing returns where the library cannot be had: the program ends
 * with 20.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* as in src/crypto/sha256.c */
#include "cli.h"
#include "crypto/crypto.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

#define LIBRARY_crypto "libcrypto.so.3"
#define LIBRARY_ssl    "libssl.so.3"

static _Noreturn void unusable(const char *why)
{
    fprintf(stderr, "ifctl: OpenSSL 3 cannot be used: %s. Install it (Debian: libssl3)\n", why != NULL ? why : "it lacks a function");
    exit(EXIT_SYSTEM);
}

/* The hash that ifab_crypto_init() would have looked at. Another thread may meet it meanwhile, and then hashes beside the check. */
static void check(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    struct ifab_error err = {0};
    if (!atomic_flag_test_and_set(&done) && ifab_crypto_check_hash(&err) != IFAB_OK)
        unusable(err.text);
}

static void *find(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL), *found = handle == NULL ? NULL : dlsym(handle, name); /* it stays loaded */
    if (found == NULL)
        unusable(dlerror());
    check();
    return found;
}

/* Found twice at worst, by two threads at once: the same. */
#define FOUND(library, name)                                                                          \
    static _Atomic(__typeof__(&name)) kept;                                                           \
    __typeof__(&name) call = atomic_load_explicit(&kept, memory_order_acquire);                       \
    if (call == NULL) {                                                                               \
        void *found = find(LIBRARY_##library, #name);                                                 \
        memcpy(&call, &found, sizeof call); /* a pointer to a function, as POSIX has it from dlsym */ \
        atomic_store_explicit(&kept, call, memory_order_release);                                     \
    }
#define ASK(library, type, name, parameters, arguments) \
    type name parameters                                \
    {                                                   \
        FOUND(library, name)                            \
        return call arguments;                          \
    }
#define DO(library, name, parameters, arguments) \
    void name parameters                         \
    {                                            \
        FOUND(library, name)                     \
        call arguments;                          \
    }

ASK(crypto, int, ASN1_TIME_diff, (int *pday, int *psec, const ASN1_TIME *from, const ASN1_TIME *to), (pday, psec, from, to))
DO(crypto, ASN1_TIME_free, (ASN1_TIME * a), (a))
ASK(crypto, ASN1_TIME *, ASN1_TIME_set, (ASN1_TIME * s, time_t t), (s, t))
ASK(crypto, long, BIO_ctrl, (BIO * bp, int cmd, long larg, void *parg), (bp, cmd, larg, parg))
ASK(crypto, int, BIO_free, (BIO * a), (a))
ASK(crypto, BIO *, BIO_new, (const BIO_METHOD *type), (type))
ASK(crypto, BIO *, BIO_new_mem_buf, (const void *buf, int len), (buf, len))
ASK(crypto, const BIO_METHOD *, BIO_s_mem, (void), ())
ASK(crypto, int, BIO_write, (BIO * b, const void *data, int dlen), (b, data, dlen))
DO(crypto, CRYPTO_free, (void *ptr, const char *file, int line), (ptr, file, line))
DO(crypto, ERR_clear_error, (void), ())
ASK(crypto, unsigned long, ERR_peek_last_error, (void), ())
ASK(crypto, int, ERR_pop_to_mark, (void), ())
ASK(crypto, const char *, ERR_reason_error_string, (unsigned long e), (e))
ASK(crypto, int, ERR_set_mark, (void), ())
ASK(crypto, EVP_PKEY *, EVP_PKCS82PKEY, (const PKCS8_PRIV_KEY_INFO *p8), (p8))
DO(crypto, EVP_PKEY_free, (EVP_PKEY * pkey), (pkey))
ASK(crypto, int, EVP_PKEY_get_id, (const EVP_PKEY *pkey), (pkey))
ASK(crypto, int, EVP_PKEY_get_raw_private_key, (const EVP_PKEY *pkey, unsigned char *priv, size_t *len), (pkey, priv, len))
ASK(crypto, const EVP_CIPHER *, EVP_aes_256_cbc, (void), ())
ASK(crypto, X509 *, PEM_read_bio_X509, (BIO * out, X509 **x, pem_password_cb *cb, void *u), (out, x, cb, u))
ASK(crypto, X509_ALGOR *, PKCS5_pbe2_set_scrypt,
    (const EVP_CIPHER *cipher, const unsigned char *salt, int saltlen, unsigned char *aiv, uint64_t N, uint64_t r, uint64_t p),
    (cipher, salt, saltlen, aiv, N, r, p))
DO(crypto, PKCS8_PRIV_KEY_INFO_free, (PKCS8_PRIV_KEY_INFO * a), (a))
ASK(crypto, PKCS8_PRIV_KEY_INFO *, PKCS8_decrypt, (const X509_SIG *p8, const char *pass, int passlen), (p8, pass, passlen))
ASK(crypto, X509_SIG *, PKCS8_set0_pbe, (const char *pass, int passlen, PKCS8_PRIV_KEY_INFO *p8inf, X509_ALGOR *pbe), (pass, passlen, p8inf, pbe))
ASK(crypto, int, SHA256_Final, (unsigned char *md, SHA256_CTX *c), (md, c))
ASK(crypto, int, SHA256_Init, (SHA256_CTX * c), (c))
ASK(crypto, int, SHA256_Update, (SHA256_CTX * c, const void *data, size_t len), (c, data, len))
DO(crypto, X509_ALGOR_free, (X509_ALGOR * a), (a))
DO(crypto, X509_SIG_free, (X509_SIG * a), (a))
ASK(crypto, int, X509_VERIFY_PARAM_set1_host, (X509_VERIFY_PARAM * param, const char *name, size_t namelen), (param, name, namelen))
ASK(crypto, int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM * param, const char *ipasc), (param, ipasc))
ASK(crypto, int, X509_VERIFY_PARAM_set_flags, (X509_VERIFY_PARAM * param, unsigned long flags), (param, flags))
DO(crypto, X509_VERIFY_PARAM_set_hostflags, (X509_VERIFY_PARAM * param, unsigned int flags), (param, flags))
DO(crypto, X509_free, (X509 * a), (a))
ASK(crypto, int, X509_check_host, (X509 * x, const char *chk, size_t chklen, unsigned int flags, char **peername), (x, chk, chklen, flags, peername))
ASK(crypto, int, X509_check_ip_asc, (X509 * x, const char *ipasc, unsigned int flags), (x, ipasc, flags))
ASK(crypto, const ASN1_TIME *, X509_get0_notAfter, (const X509 *x), (x))
ASK(crypto, X509_PUBKEY *, X509_get_X509_PUBKEY, (const X509 *x), (x))
ASK(crypto, const char *, X509_verify_cert_error_string, (long n), (n))
ASK(crypto, PKCS8_PRIV_KEY_INFO *, d2i_PKCS8_PRIV_KEY_INFO, (PKCS8_PRIV_KEY_INFO * *a, const unsigned char **in, long len), (a, in, len))
ASK(crypto, X509_SIG *, d2i_X509_SIG, (X509_SIG * *a, const unsigned char **in, long len), (a, in, len))
ASK(crypto, int, i2d_X509_PUBKEY, (const X509_PUBKEY *a, unsigned char **out), (a, out))
ASK(crypto, int, i2d_X509_SIG, (const X509_SIG *a, unsigned char **out), (a, out))

ASK(ssl, int, SSL_CTX_check_private_key, (const SSL_CTX *ctx), (ctx))
ASK(ssl, long, SSL_CTX_ctrl, (SSL_CTX * ctx, int cmd, long larg, void *parg), (ctx, cmd, larg, parg))
DO(ssl, SSL_CTX_free, (SSL_CTX * ctx), (ctx))
ASK(ssl, X509 *, SSL_CTX_get0_certificate, (const SSL_CTX *ctx), (ctx))
ASK(ssl, X509_VERIFY_PARAM *, SSL_CTX_get0_param, (SSL_CTX * ctx), (ctx))
ASK(ssl, int, SSL_CTX_load_verify_file, (SSL_CTX * ctx, const char *CAfile), (ctx, CAfile))
ASK(ssl, SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *meth), (meth))
DO(ssl, SSL_CTX_set_cert_verify_callback, (SSL_CTX * ctx, int (*cb)(X509_STORE_CTX *, void *), void *arg), (ctx, cb, arg))
ASK(ssl, int, SSL_CTX_set_ciphersuites, (SSL_CTX * ctx, const char *str), (ctx, str))
DO(ssl, SSL_CTX_set_default_passwd_cb, (SSL_CTX * ctx, pem_password_cb *cb), (ctx, cb))
ASK(ssl, int, SSL_CTX_set_default_verify_paths, (SSL_CTX * ctx), (ctx))
ASK(ssl, int, SSL_CTX_set_max_early_data, (SSL_CTX * ctx, uint32_t max_early_data), (ctx, max_early_data))
ASK(ssl, int, SSL_CTX_set_num_tickets, (SSL_CTX * ctx, size_t num_tickets), (ctx, num_tickets))
ASK(ssl, uint64_t, SSL_CTX_set_options, (SSL_CTX * ctx, uint64_t op), (ctx, op))
DO(ssl, SSL_CTX_set_verify, (SSL_CTX * ctx, int mode, SSL_verify_cb callback), (ctx, mode, callback))
ASK(ssl, int, SSL_CTX_use_PrivateKey_file, (SSL_CTX * ctx, const char *file, int type), (ctx, file, type))
ASK(ssl, int, SSL_CTX_use_certificate_chain_file, (SSL_CTX * ctx, const char *file), (ctx, file))
ASK(ssl, long, SSL_ctrl, (SSL * ssl, int cmd, long larg, void *parg), (ssl, cmd, larg, parg))
ASK(ssl, int, SSL_do_handshake, (SSL * s), (s))
DO(ssl, SSL_free, (SSL * ssl), (ssl))
ASK(ssl, X509_VERIFY_PARAM *, SSL_get0_param, (SSL * ssl), (ssl))
ASK(ssl, X509 *, SSL_get0_peer_certificate, (const SSL *s), (s))
ASK(ssl, int, SSL_get_error, (const SSL *s, int ret_code), (s, ret_code))
ASK(ssl, int, SSL_get_shutdown, (const SSL *ssl), (ssl))
ASK(ssl, long, SSL_get_verify_result, (const SSL *ssl), (ssl))
ASK(ssl, int, SSL_is_init_finished, (const SSL *s), (s))
ASK(ssl, SSL *, SSL_new, (SSL_CTX * ctx), (ctx))
ASK(ssl, int, SSL_read, (SSL * ssl, void *buf, int num), (ssl, buf, num))
DO(ssl, SSL_set_accept_state, (SSL * s), (s))
DO(ssl, SSL_set_bio, (SSL * s, BIO *rbio, BIO *wbio), (s, rbio, wbio))
DO(ssl, SSL_set_connect_state, (SSL * s), (s))
ASK(ssl, int, SSL_shutdown, (SSL * s), (s))
ASK(ssl, int, SSL_write, (SSL * ssl, const void *buf, int num), (ssl, buf, num))
ASK(ssl, const SSL_METHOD *, TLS_client_method, (void), ())
ASK(ssl, const SSL_METHOD *, TLS_server_method, (void), ())
