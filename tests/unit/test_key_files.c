/* PKCS#8 and public key texts: round trips, interchange with the openssl command line, damage at each byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "crypto/crypto.h"

/* RFC 8410 section 10.3, 10.1 */
static const char rfc_private[] = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                  "-----END PRIVATE KEY-----\n";
static const char rfc_public[] =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
static const char rfc_base64url[] = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";
static const char x25519_private[] = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                     "-----END PRIVATE KEY-----\n";

static ifab_status read_pem(struct ifab_view pem, const char *passphrase, uint8_t ret_pubkey32[32])
{
    struct ifab_signer *signer = NULL;
    ifab_status status = ifab_key_pem_read(pem, ifab_view_str(passphrase), &signer, NULL);

    assert_true((status == IFAB_OK) == (signer != NULL));
    if (signer != NULL)
        ifab_signer_public(signer, ret_pubkey32);
    ifab_signer_free(signer);
    return status;
}

static void reads_the_examples_of_rfc_8410(void **state)
{
    uint8_t public32[32], made32[32];

    (void)state;
    assert_int_equal(ifab_pubkey_read(ifab_view_str(rfc_public), public32, NULL), IFAB_OK);
    assert_int_equal(read_pem(ifab_view_str(rfc_private), "", made32), IFAB_OK);
    assert_memory_equal(made32, public32, 32);
    assert_int_equal(read_pem(ifab_view_str(x25519_private), "", made32), IFAB_INVALID);
    assert_int_equal(read_pem(ifab_view_str(rfc_public), "", made32), IFAB_INVALID);
}

static void round_trips_plain_and_encrypted(void **state)
{
    static const char *const phrases[] = {"", "correct horse", "\xc3\xa9t\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(phrases); i++) {
        struct ifab_signer *signer = NULL;
        struct ifab_buf pem = IFAB_BUF_INIT(8192);
        uint8_t want32[32], got32[32];
        assert_int_equal(ifab_signer_new_random(&signer, NULL), IFAB_OK);
        ifab_signer_public(signer, want32);
        assert_int_equal(ifab_key_pem_write(signer, ifab_view_str(phrases[i]), &pem, NULL), IFAB_OK);
        assert_int_equal(read_pem(ifab_buf_as_view(&pem), phrases[i], got32), IFAB_OK);
        assert_memory_equal(got32, want32, 32);
        assert_true(ifab_view_starts(ifab_buf_as_view(&pem), phrases[i][0] != '\0' ? IFAB_VIEW("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
                                                                                   : IFAB_VIEW("-----BEGIN PRIVATE KEY-----\n")));
        if (phrases[i][0] != '\0') { /* and it never asks anybody */
            assert_int_equal(read_pem(ifab_buf_as_view(&pem), "", got32), IFAB_DENIED);
            assert_int_equal(read_pem(ifab_buf_as_view(&pem), "wrong", got32), IFAB_DENIED);
        }
        ifab_wipe(pem.data, pem.size);
        ifab_buf_fini(&pem);
        ifab_signer_free(signer);
    }
}

static void writes_the_example_byte_for_byte(void **state)
{
    struct ifab_signer *signer = NULL;
    struct ifab_buf pem = IFAB_BUF_INIT(8192), tiny = IFAB_BUF_INIT(16);
    uint8_t public32[32];

    (void)state;
    assert_int_equal(ifab_key_pem_read(ifab_view_str(rfc_private), (struct ifab_view){NULL, 0}, &signer, NULL), IFAB_OK);
    assert_int_equal(ifab_key_pem_write(signer, (struct ifab_view){NULL, 0}, &pem, NULL), IFAB_OK);
    assert_true(ifab_view_is(ifab_buf_as_view(&pem), rfc_private));
    ifab_signer_public(signer, public32);
    ifab_buf_clear(&pem);
    ifab_spki_pem_write(public32, &pem);
    assert_true(ifab_view_is(ifab_buf_as_view(&pem), rfc_public));
    assert_int_equal(ifab_key_pem_write(signer, (struct ifab_view){NULL, 0}, &tiny, NULL), IFAB_TOO_LARGE);
    ifab_buf_fini(&pem);
    ifab_buf_fini(&tiny);
    ifab_signer_free(signer);
}

static void refuses_every_truncation_of_a_private_key(void **state)
{
    uint8_t key32[32], want32[32];
    const size_t whole = sizeof rfc_private - 1;

    (void)state;
    assert_int_equal(read_pem(ifab_view_str(rfc_private), "", want32), IFAB_OK);
    for (size_t size = 0; size < whole - 1; size++) { /* the last line end may be missing */
        uint8_t *cut = ifab_malloc(size + 1);
        memcpy(cut, rfc_private, size);
        assert_int_equal(read_pem(ifab_view_of(cut, size), "", key32), IFAB_INVALID);
        ifab_free(cut);
    }
    for (size_t i = 0; i < whole; i++) { /* any one byte replaced: refused, or at least another or the same key, never a crash */
        char text[sizeof rfc_private];
        memcpy(text, rfc_private, sizeof text);
        text[i] = '!';
        assert_int_not_equal(read_pem(ifab_view_of(text, whole), "", key32), IFAB_DENIED);
    }
    assert_int_equal(
        read_pem(IFAB_VIEW("hello\n-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                           "-----END PRIVATE KEY-----\n"),
                 "", key32),
        IFAB_INVALID);
    assert_int_equal(read_pem(IFAB_VIEW("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                        "-----END PRIVATE KEY-----\nmore\n"),
                              "", key32),
                     IFAB_INVALID);
}

static void reads_public_keys_in_three_spellings(void **state)
{
    static const char ssh[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh";
    const struct {
        const char *text;
        ifab_status status;
    } rows[] = {
        {rfc_base64url, IFAB_OK},
        {"  Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE\r\n", IFAB_OK},
        {rfc_public, IFAB_OK},
        {"-----BEGIN PUBLIC KEY-----\r\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7\r\nlshQhqowtrbLDFw4rXAxZuE=\r\n-----END PUBLIC KEY-----\r\n",
         IFAB_OK},
        {ssh, IFAB_OK},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh alice@example\n", IFAB_OK},
        {"", IFAB_INVALID},
        {"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZu", IFAB_INVALID},
        {"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuF", IFAB_INVALID}, /* unused bits set */
        {"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", IFAB_INVALID},
        {"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", IFAB_INVALID}, /* small order */
        {"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==", IFAB_INVALID},
        {"ssh-ed25519", IFAB_INVALID},
        {"ssh-ed25519 AAAA", IFAB_INVALID},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh\nssh-ed25519 AAAA", IFAB_INVALID},
        {"-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----", IFAB_INVALID},
        {rfc_private, IFAB_INVALID},
    };
    uint8_t want32[32];

    (void)state;
    assert_int_equal(ifab_pubkey_read(ifab_view_str(rfc_public), want32, NULL), IFAB_OK);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        uint8_t key32[32] = {0};
        if (ifab_pubkey_read(ifab_view_str(rows[i].text), key32, NULL) != rows[i].status)
            fail_msg("row %zu: %s", i, rows[i].text);
        if (rows[i].status == IFAB_OK)
            assert_memory_equal(key32, want32, 32);
    }
    for (size_t size = 0; size < sizeof ssh - 1; size++)
        assert_int_equal(ifab_pubkey_read(ifab_view_of(ssh, size), want32, NULL), IFAB_INVALID);
    for (size_t size = 0; size < sizeof rfc_public - 2; size++)
        assert_int_equal(ifab_pubkey_read(ifab_view_of(rfc_public, size), want32, NULL), IFAB_INVALID);
}

static void bounds_size_and_passphrase(void **state)
{
    char *big = ifab_malloc(16385), phrase[1026];
    uint8_t key32[32];
    struct ifab_signer *signer = NULL;
    struct ifab_buf pem = IFAB_BUF_INIT(8192);

    (void)state;
    memset(big, '\n', 16385);
    memcpy(big, rfc_private, sizeof rfc_private - 1);
    assert_int_equal(read_pem(ifab_view_of(big, 16384), "", key32), IFAB_OK);
    assert_int_equal(read_pem(ifab_view_of(big, 16385), "", key32), IFAB_INVALID);
    memset(phrase, 'x', sizeof phrase);
    phrase[1025] = '\0';
    assert_int_equal(ifab_signer_new_random(&signer, NULL), IFAB_OK);
    assert_int_equal(ifab_key_pem_write(signer, ifab_view_of(phrase, 1025), &pem, NULL), IFAB_INVALID);
    assert_int_equal(ifab_key_pem_write(signer, ifab_view_of(phrase, 1024), &pem, NULL), IFAB_OK);
    assert_int_equal(read_pem(ifab_buf_as_view(&pem), phrase, key32), IFAB_DENIED);
    phrase[1024] = '\0';
    assert_int_equal(read_pem(ifab_buf_as_view(&pem), phrase, key32), IFAB_OK);
    ifab_free(big);
    ifab_buf_fini(&pem);
    ifab_signer_free(signer);
}

/* Runs a shell command over files in a new directory; -1 when there is no openssl here. */
static int openssl(const char *dir, const char *arguments)
{
    char command[1024];
    int status;

    snprintf(command, sizeof command, "cd '%s' && openssl %s >out.txt 2>err.txt", dir, arguments);
    status = system(command);
    return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put_file(const char *dir, const char *name, struct ifab_view bytes)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    assert_int_equal(fclose(file), 0);
}

static struct ifab_view get_file(const char *dir, const char *name, uint8_t *room, size_t size)
{
    char path[256];
    FILE *file;
    size_t got;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    got = fread(room, 1, size, file);
    fclose(file);
    return ifab_view_of(room, got);
}

static void exchanges_keys_with_the_openssl_command(void **state)
{
    char dir[] = "/tmp/test_key_files.XXXXXX";
    struct ifab_signer *signer = NULL;
    struct ifab_buf pem = IFAB_BUF_INIT(8192);
    uint8_t room[8192], want32[32], got32[32], sig64[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    if (openssl(dir, "version") != 0) {
        rmdir(dir);
        return; /* no such command on this machine: the round trips above stand alone */
    }
    /* ours, read by theirs */
    assert_int_equal(ifab_signer_new_random(&signer, NULL), IFAB_OK);
    ifab_signer_public(signer, want32);
    assert_int_equal(ifab_key_pem_write(signer, IFAB_VIEW("open sesame"), &pem, NULL), IFAB_OK);
    put_file(dir, "sealed.pem", ifab_buf_as_view(&pem));
    assert_int_equal(openssl(dir, "pkey -in sealed.pem -passin pass:wrong -pubout -out public.pem"), 1);
    assert_int_equal(openssl(dir, "pkey -in sealed.pem -passin 'pass:open sesame' -pubout -out public.pem"), 0);
    assert_int_equal(ifab_pubkey_read(get_file(dir, "public.pem", room, sizeof room), got32, NULL), IFAB_OK);
    assert_memory_equal(got32, want32, 32);
    /* our signature, verified by theirs */
    ifab_signer_sign(signer, IFAB_VIEW("hello"), sig64);
    put_file(dir, "text", IFAB_VIEW("hello"));
    put_file(dir, "sig", ifab_view_of(sig64, 64));
    assert_int_equal(openssl(dir, "pkeyutl -verify -pubin -inkey public.pem -rawin -in text -sigfile sig"), 0);
    /* theirs, read by ours: plain, PBKDF2 and scrypt */
    assert_int_equal(openssl(dir, "genpkey -algorithm ed25519 -out plain.pem"), 0);
    assert_int_equal(openssl(dir, "pkey -in plain.pem -pubout -out public.pem"), 0);
    assert_int_equal(openssl(dir, "pkcs8 -topk8 -in plain.pem -passout pass:abc -v2 aes-256-cbc -iter 600000 -out pbkdf2.pem"), 0);
    assert_int_equal(openssl(dir, "pkcs8 -topk8 -in plain.pem -passout pass:abc -scrypt -out scrypt.pem"), 0);
    assert_int_equal(ifab_pubkey_read(get_file(dir, "public.pem", room, sizeof room), want32, NULL), IFAB_OK);
    static const char *const names[] = {"plain.pem", "pbkdf2.pem", "scrypt.pem"};
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        memset(got32, 0, 32);
        assert_int_equal(read_pem(get_file(dir, names[i], room, sizeof room), "abc", got32), IFAB_OK);
        assert_memory_equal(got32, want32, 32);
    }
    assert_int_equal(read_pem(get_file(dir, "pbkdf2.pem", room, sizeof room), "abd", got32), IFAB_DENIED);
    snprintf((char *)room, sizeof room, "rm -rf '%s'", dir);
    assert_int_equal(system((char *)room), 0);
    ifab_buf_fini(&pem);
    ifab_signer_free(signer);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_examples_of_rfc_8410),          cmocka_unit_test(round_trips_plain_and_encrypted),
        cmocka_unit_test(writes_the_example_byte_for_byte),        cmocka_unit_test(refuses_every_truncation_of_a_private_key),
        cmocka_unit_test(reads_public_keys_in_three_spellings),    cmocka_unit_test(bounds_size_and_passphrase),
        cmocka_unit_test(exchanges_keys_with_the_openssl_command),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
