/* Credentials: the forms of the table, and SigV4 against published vectors (Amazon S3 API reference; AWS SigV4 test suite). INV-09 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "egress/credential.h"
#include "support.h"

static struct ifab_buf storage;
static struct ifab_injection made;
static char problem[400];

static ifab_status inject(enum ifab_credential_as as, const char *field, const char *secret, enum ifab_egress_method method, const char *text,
                          const char *body, const struct ifab_egress_header *headers, size_t count, const char *when)
{
    struct ifab_url url;
    struct ifab_error err = {.status = IFAB_OK};
    struct ifab_signable request = {&url, method, ifab_view_str(body), headers, count, 0};
    assert_int_equal(ifab_url_parse(ifab_view_str(text), &url, NULL), IFAB_OK);
    assert_int_equal(ifab_time_parse(ifab_view_str(when), &request.wall), IFAB_OK);
    ifab_buf_fini(&storage);
    ifab_buf_init(&storage, IFAB_CREDENTIAL_STORAGE);
    ifab_status status = ifab_credential_inject(as, ifab_view_str(field), ifab_view_str(secret), &request, &storage, &made, &err);
    (void)snprintf(problem, sizeof problem, "%s", err.text);
    return status;
}
static const char *header(const char *name)
{
    for (size_t i = 0; i < made.header_count; i++) {
        if (ifab_view_is(made.headers[i].name, name))
            return test_text(made.headers[i].value);
    }
    return "(none)";
}
static ifab_status simple(enum ifab_credential_as as, const char *field, const char *secret)
{
    return inject(as, field, secret, IFAB_EGRESS_METHOD_GET, "https://a/x?y=1", "", NULL, 0, "2026-01-02T03:04:05Z");
}

static void puts_secrets_where_the_table_says(void **state)
{
    (void)state;
    assert_int_equal(simple(IFAB_CREDENTIAL_HEADER, "X-Api-Key", "k e y1"), IFAB_OK);
    assert_int_equal(made.header_count, 1);
    assert_string_equal(header("X-Api-Key"), "k e y1");
    assert_int_equal(simple(IFAB_CREDENTIAL_HEADER, "Authorization", "Token abc"), IFAB_OK);
    assert_string_equal(header("Authorization"), "Token abc");
    assert_int_equal(simple(IFAB_CREDENTIAL_BEARER, "", "tok.en"), IFAB_OK);
    assert_string_equal(header("Authorization"), "Bearer tok.en");
    assert_int_equal(simple(IFAB_CREDENTIAL_BASIC, "", "Aladdin:open sesame"), IFAB_OK); /* RFC 7617 section 2 */
    assert_string_equal(header("Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_int_equal(made.value_count, 3);
    assert_string_equal(test_text(made.values[0]), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_string_equal(test_text(made.values[2]), "open sesame");
    assert_int_equal(simple(IFAB_CREDENTIAL_QUERY, "api_key", "a&b=c/ ~"), IFAB_OK);
    assert_int_equal(made.header_count, 0);
    assert_string_equal(test_text(made.query), "api_key=a%26b%3Dc%2F%20~");
}
static void signs_with_hmac(void **state)
{
    uint8_t mac32[32];
    struct ifab_buf hex = IFAB_BUF_INIT(100);
    static const char want[] =
        "POST\na.example:8443\n/x\?y=1\n1767323045\n2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; /* SHA-256("hello") */
    (void)state;
    assert_int_equal(inject(IFAB_CREDENTIAL_HMAC, "X-Sig", "hmac key", IFAB_EGRESS_METHOD_POST, "https://a.example:8443/x?y=1", "hello", NULL, 0,
                            "2026-01-02T03:04:05.678Z"),
                     IFAB_OK);
    ifab_hmac_sha256(IFAB_VIEW("hmac key"), ifab_view_str(want), mac32);
    ifab_buf_hex(&hex, mac32, 32);
    assert_string_equal(header("X-Sig"), test_text(ifab_buf_as_view(&hex)));
    assert_string_equal(header("X-Sig-Timestamp"), "1767323045");
    assert_string_equal(test_text(made.values[0]), "hmac key");
    ifab_buf_fini(&hex);
}
/* The password, salt and challenge of obs-websocket's protocol.md; the answer by another implementation (Python's hashlib). */
static void answers_a_challenge(void **state)
{
    static const char salt[] = "lM1GncleQOaCu9lT1yeUZhFYnqhsLLP1G5lAGo3ixaI=", challenge[] = "+IxH4CnCiqpX1rM9scsNynZzbOe4KhDeYcTNS3PDaeY=";
    static char long_text[IFAB_CHALLENGE_TEXT_MAX + 2];
    struct ifab_challenge_answer answer;
    struct ifab_buf kept = IFAB_BUF_INIT(IFAB_CHALLENGE_STORAGE);
    struct ifab_error err = {.status = IFAB_OK};
    (void)state;
    assert_int_equal(ifab_credential_answer(IFAB_VIEW("obs-websocket-5"), IFAB_VIEW("supersecretpassword"), ifab_view_str(salt), ifab_view_str(challenge),
                                            &kept, &answer, &err),
                     IFAB_OK);
    assert_string_equal(test_text(answer.text), "1Ct943GAT+6YQUUX47Ia/ncufilbe6+oD6lY+5kaCu4=");
    assert_int_equal(answer.value_count, 3);
    assert_string_equal(test_text(answer.values[0]), "supersecretpassword");
    assert_string_equal(test_text(answer.values[1]), "H1IfVz1pSREUQzbFTVnX/Tyb+gMhMik5x7yUBCY0PTs=");
    memset(long_text, 'x', sizeof long_text - 1);
    const struct {
        const char *field, *secret, *salt, *challenge;
    } bad[] = {{"X-Sig", "supersecret", "s", "c"},           {"obs-websocket-4", "supersecret", "s", "c"},  {"", "supersecret", "s", "c"},
               {"obs-websocket-5", "abc", "s", "c"},         {"obs-websocket-5", "supersecret", "", "c"},   {"obs-websocket-5", "supersecret", "s", ""},
               {"obs-websocket-5", "supersecret", long_text, "c"}, {"obs-websocket-5", "supersecret", "s", long_text}};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        ifab_buf_fini(&kept);
        kept = (struct ifab_buf)IFAB_BUF_INIT(IFAB_CHALLENGE_STORAGE);
        assert_int_equal(ifab_credential_answer(ifab_view_str(bad[i].field), ifab_view_str(bad[i].secret), ifab_view_str(bad[i].salt),
                                                ifab_view_str(bad[i].challenge), &kept, &answer, &err),
                         IFAB_INVALID);
    }
    ifab_buf_fini(&kept);
    assert_int_equal(simple(IFAB_CREDENTIAL_HMAC, "obs-websocket-5", "supersecretpassword"), IFAB_INVALID); /* no header of that name, ever */
    assert_true(ifab_credential_is_challenge(IFAB_CREDENTIAL_HMAC, IFAB_VIEW("obs-websocket-5")));
    assert_false(ifab_credential_is_challenge(IFAB_CREDENTIAL_HEADER, IFAB_VIEW("obs-websocket-5")));
}
static void refuses_secrets_and_fields_of_another_form(void **state)
{
    static const struct {
        enum ifab_credential_as as;
        const char *field, *secret;
    } bad[] = {
        {IFAB_CREDENTIAL_NONE, "", "canary-canary"},
        {IFAB_CREDENTIAL_HEADER, "", "canary-canary"},
        {IFAB_CREDENTIAL_HEADER, "A B", "canary-canary"},
        {IFAB_CREDENTIAL_HEADER, "Host", "canary-canary"},
        {IFAB_CREDENTIAL_HEADER, "Cookie", "canary-canary"},
        {IFAB_CREDENTIAL_HEADER, "X", "canary\r\nHost: b"},
        {IFAB_CREDENTIAL_HEADER, "X", "canary-canary\n"},
        {IFAB_CREDENTIAL_HEADER, "X", "abc"},
        {IFAB_CREDENTIAL_BEARER, "x", "canary-canary"},
        {IFAB_CREDENTIAL_BEARER, "", "canary canary"},
        {IFAB_CREDENTIAL_BASIC, "", "canary-canary"},
        {IFAB_CREDENTIAL_BASIC, "realm", "can:canary"},
        {IFAB_CREDENTIAL_QUERY, "", "canary-canary"},
        {IFAB_CREDENTIAL_QUERY, "a=b", "canary-canary"},
        {IFAB_CREDENTIAL_QUERY, "a&b", "canary-canary"},
        {IFAB_CREDENTIAL_SIGV4, "", "canary:canary-canary-canary"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1", "canary:canary-canary-canary"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1/s3/x", "canary:canary-canary-canary"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", "canary-canary-canary"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", "canary:short"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", ":canary-canary-canary"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", "canary:canary-canary-canary:"},
        {IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", "can ary:canary-canary-canary"},
        {IFAB_CREDENTIAL_HMAC, "", "canary-canary"},
        {IFAB_CREDENTIAL_HMAC, "Content-Length", "canary-canary"},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        if (simple(bad[i].as, bad[i].field, bad[i].secret) != IFAB_INVALID)
            fail_msg("row %zu passed", i);
        assert_null(strstr(problem, "canary"));
    }
    static char large[IFAB_CREDENTIAL_SECRET_MAX + 2];
    memset(large, 'a', sizeof large - 1);
    assert_int_equal(simple(IFAB_CREDENTIAL_BEARER, "", large), IFAB_INVALID);
    assert_int_equal(simple(IFAB_CREDENTIAL_BEARER, "", large + 1), IFAB_OK);
    assert_int_equal(simple(IFAB_CREDENTIAL_QUERY, "x", large + 1), IFAB_OK);
    assert_int_equal(inject(IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", "ID:canary-canary-canary", IFAB_EGRESS_METHOD_GET, "https://a/?a+b", "", NULL, 0,
                            "2026-01-02T03:04:05Z"),
                     IFAB_INVALID);
}

#define S3_SECRET "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
static void s3_vector(enum ifab_egress_method method, const char *url, const char *body, const struct ifab_egress_header *headers, size_t count,
                      const char *signature)
{
    assert_int_equal(inject(IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", S3_SECRET, method, url, body, headers, count, "2013-05-24T00:00:00Z"), IFAB_OK);
    assert_string_equal(header("X-Amz-Date"), "20130524T000000Z");
    const char *authorization = header("Authorization");
    assert_non_null(strstr(authorization, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders="));
    assert_string_equal(strstr(authorization, "Signature="), signature);
    assert_string_equal(test_text(made.values[0]), "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
}
/* https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
static void signs_the_published_examples_of_s3(void **state)
{
    static const struct ifab_egress_header range = {{(const uint8_t *)"Range", 5}, {(const uint8_t *)"bytes=0-9", 9}};
    static const struct ifab_egress_header put[] = {{{(const uint8_t *)"Date", 4}, {(const uint8_t *)"Fri, 24 May 2013 00:00:00 GMT", 29}},
                                                    {{(const uint8_t *)"x-amz-storage-class", 19}, {(const uint8_t *)"REDUCED_REDUNDANCY", 18}}};
    (void)state;
    s3_vector(IFAB_EGRESS_METHOD_GET, "https://examplebucket.s3.amazonaws.com/test.txt", "", &range, 1,
              "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    assert_string_equal(header("X-Amz-Content-Sha256"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    s3_vector(IFAB_EGRESS_METHOD_PUT, "https://examplebucket.s3.amazonaws.com/test$file.text", "Welcome to Amazon S3.", put, 2,
              "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    s3_vector(IFAB_EGRESS_METHOD_GET, "https://examplebucket.s3.amazonaws.com/?lifecycle", "", NULL, 0,
              "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    s3_vector(IFAB_EGRESS_METHOD_GET, "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", "", NULL, 0,
              "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    /* the same in another order and spelling: sorted and encoded before it is signed */
    s3_vector(IFAB_EGRESS_METHOD_GET, "https://examplebucket.s3.amazonaws.com/?prefix=%4A&max%2dkeys=2", "", NULL, 0,
              "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}
static void other_service(const char *url, const char *signature)
{
    assert_int_equal(inject(IFAB_CREDENTIAL_SIGV4, "us-east-1/service", "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                            IFAB_EGRESS_METHOD_GET, url, "", NULL, 0, "2015-08-30T12:36:00Z"),
                     IFAB_OK);
    assert_string_equal(header("X-Amz-Content-Sha256"), "(none)");
    assert_string_equal(strstr(header("Authorization"), "SignedHeaders=host;x-amz-date, Signature="), signature);
}
/* get-vanilla and get-vanilla-query-order-key-case of the test suite */
static void signs_the_published_suite_for_other_services(void **state)
{
    (void)state;
    other_service("https://example.amazonaws.com/",
                  "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    other_service("https://example.amazonaws.com/?Param2=value2&Param1=value1",
                  "SignedHeaders=host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}
static void signs_the_session_too(void **state)
{
    (void)state;
    assert_int_equal(inject(IFAB_CREDENTIAL_SIGV4, "eu-west-1/s3", "AKID:0123456789abcdef0123:session/token+with:colon", IFAB_EGRESS_METHOD_DELETE,
                            "https://b.example:9000/k", "", NULL, 0, "2026-01-02T03:04:05Z"),
                     IFAB_OK);
    assert_string_equal(header("X-Amz-Security-Token"), "session/token+with:colon");
    assert_non_null(strstr(header("Authorization"), "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
    assert_int_equal(made.value_count, 2);
}
static void canonical_form_is_as_published(void **state)
{
    struct ifab_url url;
    struct ifab_buf text = IFAB_BUF_INIT(10000);
    struct ifab_egress_header h[] = {{IFAB_VIEW("Host"), IFAB_VIEW("h")}, {IFAB_VIEW("X-A"), IFAB_VIEW("a  b \t c")}};
    (void)state;
    assert_int_equal(ifab_url_parse(IFAB_VIEW("https://h/a%20b/c!d?b=2&a=1&a&%7Ex=%3d&c=1%2B1"), &url, NULL), IFAB_OK);
    ifab_sigv4_canonical(&(struct ifab_signable){&url, IFAB_EGRESS_METHOD_PUT, IFAB_VIEW(""), NULL, 0, 0}, h, 2, false, IFAB_VIEW("HASH"), &text);
    assert_string_equal(test_text(ifab_buf_as_view(&text)), "PUT\n/a%20b/c%21d\na=&a=1&b=2&c=1%2B1&~x=%3D\nhost:h\nx-a:a b c\n\nhost;x-a\nHASH");
    ifab_buf_clear(&text);
    ifab_sigv4_canonical(&(struct ifab_signable){&url, IFAB_EGRESS_METHOD_PUT, IFAB_VIEW(""), NULL, 0, 0}, h, 1, true, IFAB_VIEW("HASH"), &text);
    assert_non_null(strstr(test_text(ifab_buf_as_view(&text)), "\n/a%2520b/c%2521d\n"));
    ifab_buf_fini(&text);
}
static void names_and_fields_read_back(void **state)
{
    enum ifab_credential_as as;
    (void)state;
    for (int i = IFAB_CREDENTIAL_HEADER; i <= IFAB_CREDENTIAL_HMAC; i++) {
        assert_true(ifab_credential_as_parse(ifab_view_str(ifab_credential_as_name((enum ifab_credential_as)i)), &as));
        assert_int_equal(as, i);
    }
    assert_false(ifab_credential_as_parse(IFAB_VIEW("none"), &as));
    assert_false(ifab_credential_as_parse(IFAB_VIEW("Bearer"), &as));
}
static void fails_whole_without_memory(void **state)
{
    (void)state;
    static const struct {
        enum ifab_credential_as as;
        const char *field, *secret;
    } rows[] = {{IFAB_CREDENTIAL_SIGV4, "us-east-1/s3", S3_SECRET},
                {IFAB_CREDENTIAL_HMAC, "X-Sig", "hmac key"},
                {IFAB_CREDENTIAL_BASIC, "", "a:bcdefgh"},
                {IFAB_CREDENTIAL_QUERY, "q", "abcdefgh"}};
    char whole[500];
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        assert_int_equal(simple(rows[i].as, rows[i].field, rows[i].secret), IFAB_OK);
        (void)snprintf(whole, sizeof whole, "%s", header("Authorization"));
        TEST_SWEEP_ALLOCATIONS({
            ifab_status status = simple(rows[i].as, rows[i].field, rows[i].secret);
            assert_true(status == IFAB_OK || (ifab_mem_failed() && status == IFAB_NOMEM));
            if (status == IFAB_OK)
                assert_string_equal(header("Authorization"), whole); /* never a signature over half of it */
        });
    }
    ifab_buf_fini(&storage);
}
static const struct CMUnitTest tests[] = {
    cmocka_unit_test(puts_secrets_where_the_table_says),
    cmocka_unit_test(signs_with_hmac),
    cmocka_unit_test(answers_a_challenge),
                                          cmocka_unit_test(refuses_secrets_and_fields_of_another_form),
    cmocka_unit_test(signs_the_published_examples_of_s3),
    cmocka_unit_test(signs_the_published_suite_for_other_services),
    cmocka_unit_test(signs_the_session_too),
    cmocka_unit_test(canonical_form_is_as_published),
    cmocka_unit_test(names_and_fields_read_back),
    cmocka_unit_test(fails_whole_without_memory),
};
TEST_MAIN(tests)
