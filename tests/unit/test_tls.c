/* Both sides in one process, bytes handed over by the test: so it can cut, flip and hold back whatever it likes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tls/tls.h"

static char directory[] = "/tmp/ifab-tls-XXXXXX";
static char paths[8][128];
enum { SERVER_CERT, SERVER_KEY, CLIENT_CERT, CLIENT_KEY, OTHER_CERT, OTHER_KEY, OPEN_KEY, RUBBISH };

static void put_file(const char *path, mode_t mode, int (*put)(FILE *, void *), void *what)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(put(file, what), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}
static int put_cert(FILE *file, void *what) { return PEM_write_X509(file, what); }
static int put_key(FILE *file, void *what) { return PEM_write_PrivateKey(file, what, NULL, NULL, 0, NULL, NULL); }
static int put_rubbish(FILE *file, void *what)
{
    (void)what;
    return fputs("no certificate\n", file) >= 0;
}

static void make_pair(const char *name, const char *alternative, int cert, int key)
{
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    assert_non_null(pair);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pair);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, subject);
    if (alternative != NULL) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
        assert_non_null(extension);
        X509_add_ext(x, extension, -1);
        X509_EXTENSION_free(extension);
    }
    assert_true(X509_sign(x, pair, NULL) > 0);
    put_file(paths[cert], 0644, put_cert, x);
    put_file(paths[key], 0600, put_key, pair);
    X509_free(x);
    EVP_PKEY_free(pair);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    for (int i = 0; i < 8; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d.pem", directory, i);
    make_pair("server", "DNS:fabric.example,IP:127.0.0.1", SERVER_CERT, SERVER_KEY);
    make_pair("client", NULL, CLIENT_CERT, CLIENT_KEY);
    make_pair("other", "DNS:fabric.example", OTHER_CERT, OTHER_KEY);
    put_file(paths[RUBBISH], 0600, put_rubbish, NULL);
    put_file(paths[OPEN_KEY], 0644, put_rubbish, NULL);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        unlink(paths[i]);
    return rmdir(directory);
}

struct side {
    struct ifab_tls *tls;
    struct ifab_buf plain, wire;
    ifab_status status;
    struct ifab_error err;
};
struct both {
    struct ifab_tls_context *server_context, *client_context;
    struct side server, client;
};

static void begin(struct both *b, const char *ca, const char *host, bool client_key)
{
    const struct ifab_tls_server_settings server = {paths[SERVER_CERT], paths[SERVER_KEY]};
    const struct ifab_tls_client_settings client = {ca, client_key ? paths[CLIENT_CERT] : NULL, client_key ? paths[CLIENT_KEY] : NULL};
    struct ifab_error err = {0};
    memset(b, 0, sizeof *b);
    ifab_buf_init(&b->server.plain, 1 << 20);
    ifab_buf_init(&b->server.wire, 1 << 20);
    ifab_buf_init(&b->client.plain, 1 << 20);
    ifab_buf_init(&b->client.wire, 1 << 20);
    assert_int_equal(ifab_tls_server_context(&server, &b->server_context, &err), IFAB_OK);
    assert_int_equal(ifab_tls_client_context(&client, &b->client_context, &err), IFAB_OK);
    assert_int_equal(ifab_tls_new(b->server_context, NULL, &b->server.tls, &err), IFAB_OK);
    assert_int_equal(ifab_tls_new(b->client_context, host, &b->client.tls, &err), IFAB_OK);
}
static void end(struct both *b)
{
    struct side *sides[] = {&b->server, &b->client};
    for (int i = 0; i < 2; i++) {
        ifab_tls_free(sides[i]->tls);
        ifab_buf_fini(&sides[i]->plain);
        ifab_buf_fini(&sides[i]->wire);
    }
    ifab_tls_context_free(b->server_context);
    ifab_tls_context_free(b->client_context);
}
static void give(struct side *to, struct side *from, size_t piece)
{
    struct ifab_buf wire = from->wire;
    ifab_buf_init(&from->wire, 1 << 20);
    for (size_t at = 0; at < wire.size && to->status == IFAB_OK; at += piece) {
        size_t size = wire.size - at < piece ? wire.size - at : piece;
        to->status = ifab_tls_receive(to->tls, ifab_view_of(wire.data + at, size), &to->plain, &to->wire, &to->err);
    }
    ifab_buf_fini(&wire);
}
static void shake(struct both *b, size_t piece)
{
    b->client.status = ifab_tls_receive(b->client.tls, ifab_view_of(NULL, 0), &b->client.plain, &b->client.wire, &b->client.err);
    for (int turn = 0; turn < 8 && (b->client.wire.size > 0 || b->server.wire.size > 0); turn++) {
        give(&b->server, &b->client, piece);
        give(&b->client, &b->server, piece);
    }
}

static void speaks_both_ways_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, 100000};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(pieces); i++) {
        struct both b;
        uint8_t digest[32];
        static uint8_t long_text[100000];
        begin(&b, paths[SERVER_CERT], i % 2 == 0 ? "fabric.example" : "127.0.0.1", false);
        assert_int_equal(ifab_tls_send(b.client.tls, IFAB_VIEW("early"), &b.client.wire, NULL), IFAB_AGAIN);
        shake(&b, pieces[i]);
        assert_true(b.server.status == IFAB_OK && b.client.status == IFAB_OK);
        assert_true(ifab_tls_ready(b.server.tls) && ifab_tls_ready(b.client.tls));
        assert_false(ifab_tls_peer_key(b.server.tls, digest)); /* it showed none */
        assert_int_equal(ifab_tls_send(b.client.tls, ifab_view_of(long_text, sizeof long_text), &b.client.wire, NULL), IFAB_OK);
        assert_int_equal(ifab_tls_send(b.server.tls, IFAB_VIEW("answer"), &b.server.wire, NULL), IFAB_OK);
        give(&b.server, &b.client, pieces[i]);
        give(&b.client, &b.server, pieces[i]);
        assert_int_equal(b.server.plain.size, sizeof long_text);
        assert_true(ifab_view_is(ifab_buf_as_view(&b.client.plain), "answer"));
        assert_false(ifab_tls_ended(b.server.tls));
        ifab_tls_close(b.client.tls, &b.client.wire);
        give(&b.server, &b.client, pieces[i]);
        assert_true(ifab_tls_ended(b.server.tls));
        end(&b);
    }
}

static void knows_a_client_by_its_key(void **state)
{
    struct both b;
    uint8_t digest[32], due[32];
    char pem[4096];
    FILE *file = fopen(paths[CLIENT_CERT], "r");
    (void)state;
    size_t size = fread(pem, 1, sizeof pem, file);
    fclose(file);
    assert_int_equal(ifab_tls_certificate_key(ifab_view_of(pem, size), due, NULL), IFAB_OK);
    assert_int_equal(ifab_tls_certificate_key(IFAB_VIEW("none"), digest, NULL), IFAB_INVALID);
    begin(&b, paths[SERVER_CERT], "fabric.example", true);
    assert_false(ifab_tls_peer_key(b.server.tls, digest));
    shake(&b, 100000);
    assert_true(ifab_tls_peer_key(b.server.tls, digest));
    assert_memory_equal(digest, due, 32);
    end(&b);
}

static void client_refuses_another_server(void **state)
{
    (void)state;
    static const struct {
        int ca;
        const char *host;
    } cases[] = {{SERVER_CERT, "other.example"}, {SERVER_CERT, "127.0.0.2"}, {OTHER_CERT, "fabric.example"}, {SERVER_CERT, "server"}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct both b;
        begin(&b, paths[cases[i].ca], cases[i].host, false);
        shake(&b, 100000);
        assert_int_equal(b.client.status, IFAB_DENIED);
        assert_false(ifab_tls_ready(b.client.tls));
        assert_int_equal(ifab_tls_send(b.client.tls, IFAB_VIEW("x"), &b.client.wire, NULL), IFAB_DENIED);
        end(&b);
    }
}

/* An attacker between them who flips one bit of the server's flight, or of a record later: nothing plain comes of it. */
static void a_flipped_bit_ends_it(void **state)
{
    (void)state;
    for (size_t at = 0; at < 1200; at += 7) {
        struct both b;
        begin(&b, paths[SERVER_CERT], "fabric.example", false);
        b.client.status = ifab_tls_receive(b.client.tls, ifab_view_of(NULL, 0), &b.client.plain, &b.client.wire, &b.client.err);
        give(&b.server, &b.client, 100000);
        bool inside = at < b.server.wire.size;
        if (inside)
            b.server.wire.data[at] ^= 0x04;
        give(&b.client, &b.server, 100000);
        give(&b.server, &b.client, 100000);
        if (inside)
            assert_false(ifab_tls_ready(b.client.tls) && ifab_tls_ready(b.server.tls));
        assert_int_equal(b.client.plain.size + b.server.plain.size, 0);
        end(&b);
    }
    struct both b;
    begin(&b, paths[SERVER_CERT], "fabric.example", false);
    shake(&b, 100000);
    assert_int_equal(ifab_tls_send(b.client.tls, IFAB_VIEW("pay 1"), &b.client.wire, NULL), IFAB_OK);
    b.client.wire.data[b.client.wire.size - 3] ^= 1;
    give(&b.server, &b.client, 100000);
    assert_int_equal(b.server.status, IFAB_DENIED);
    assert_int_equal(b.server.plain.size, 0);
    end(&b);
}

static void older_versions_are_refused(void **state)
{
    struct both b;
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char *bytes;
    (void)state;
    SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
    ssl = SSL_new(old);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    long size = BIO_get_mem_data(out, &bytes);
    begin(&b, paths[SERVER_CERT], "fabric.example", false);
    assert_int_equal(ifab_tls_receive(b.server.tls, ifab_view_of(bytes, (size_t)size), &b.server.plain, &b.server.wire, &b.server.err), IFAB_DENIED);
    assert_true(b.server.wire.size > 0); /* the alert */
    assert_int_equal(ifab_tls_receive(b.server.tls, IFAB_VIEW("GET / HTTP/1.1\r\n\r\n"), &b.server.plain, &b.server.wire, NULL), IFAB_DENIED);
    end(&b);
    begin(&b, paths[SERVER_CERT], "fabric.example", false);
    assert_int_equal(ifab_tls_receive(b.server.tls, IFAB_VIEW("GET / HTTP/1.1\r\n\r\n"), &b.server.plain, &b.server.wire, &b.server.err), IFAB_DENIED);
    end(&b);
    SSL_free(ssl);
    SSL_CTX_free(old);
}

static void files_are_checked_before_they_are_used(void **state)
{
    static const struct {
        int cert, key;
        ifab_status status;
    } cases[] = {{SERVER_CERT, CLIENT_KEY, IFAB_INVALID}, {RUBBISH, SERVER_KEY, IFAB_INVALID}, {SERVER_CERT, RUBBISH, IFAB_INVALID},
                 {SERVER_CERT, OPEN_KEY, IFAB_DENIED}};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const struct ifab_tls_server_settings settings = {paths[cases[i].cert], paths[cases[i].key]};
        struct ifab_tls_context *context = NULL;
        struct ifab_error err = {0};
        assert_int_equal(ifab_tls_server_context(&settings, &context, &err), cases[i].status);
        assert_null(context);
        assert_non_null(strstr(err.text, paths[cases[i].status == IFAB_DENIED ? OPEN_KEY : cases[i].cert == RUBBISH ? RUBBISH : cases[i].key]));
    }
    const struct ifab_tls_server_settings none = {"/nonexistent/cert.pem", paths[SERVER_KEY]};
    struct ifab_tls_context *context = NULL;
    struct ifab_error err = {0};
    assert_int_equal(ifab_tls_server_context(&none, &context, &err), IFAB_NOT_FOUND);
    const struct ifab_tls_server_settings good = {paths[SERVER_CERT], paths[SERVER_KEY]};
    memset(&err, 0, sizeof err);
    assert_int_equal(ifab_tls_server_context(&good, &context, &err), IFAB_OK);
    assert_in_range(ifab_tls_context_expires(context), 1700000000, 4000000000);
    ifab_tls_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_both_ways_in_pieces_of_any_size), cmocka_unit_test(knows_a_client_by_its_key),
        cmocka_unit_test(client_refuses_another_server),          cmocka_unit_test(a_flipped_bit_ends_it),
        cmocka_unit_test(older_versions_are_refused),             cmocka_unit_test(files_are_checked_before_they_are_used),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
