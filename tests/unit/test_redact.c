/* redact/: secrets that must go, and ordinary text that must stay. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "redact/redact.h"
#include "support.h"

#define R IFAB_REDACTED

static const char *redacted(const char *text)
{
    static char result[4096];
    struct ifab_buf buf = IFAB_BUF_INIT(sizeof result - 1);
    ifab_redact_text(&buf, ifab_view_str(text));
    assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
    snprintf(result, sizeof result, "%.*s", (int)buf.size, (const char *)buf.data);
    ifab_buf_fini(&buf);
    return result;
}

/* The secrets are put together from two literals, so that scanners of repositories do not take this file for a leak. */
static void secrets_go_and_the_rest_stays(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"key AKIA" "IOSFODNN7EXAMPLE.", "key " R "."},
        {"ASIA" "IOSFODNN7EXAMPLE", R},
        {"ghp_" "0123456789abcdefghijABCDEFGHIJ012345", R},
        {"x gho_" "0123456789abcdefghijABCDEFGHIJ012345 y", "x " R " y"},
        {"ift_" "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", R},
        {"github_pat_" "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz", R},
        {"xoxb-" "123456789012-abcdefABCDEF", R},
        {"sk_live_" "4eC39HqLyjWDarjtT1zdp7dc", R},
        {"sk-" "proj-abcdefghij0123456789ABCDEF", R},
        {"sk-" "ant-api03-abcdefghij0123456789", R},
        {"jwt eyJhbGciOiJIUzI1NiJ9." "eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27uhbUJU1p1r end", "jwt " R " end"},
        {"Authorization: Bearer " "abcdef0123456789abcdef", "Authorization: Bearer " R},
        {"bearer " "abcDEFghiJKLmnoPQR", "bearer " R},
        {"Authorization: Basic " "dXNlcjpwYXNzMQ==", "Authorization: Basic " R},
        {"https://user:hunter" "2@example.org/x", "https://" R "@example.org/x"},
        {"postgres://app:p" "@ss@db:5432/app", "postgres://" R "@db:5432/app"},
        {"GET /x?api_key=abc" "&y=1", "GET /x?api_key=" R "&y=1"},
        {"GET /x?a=1&access_token=z" "z9", "GET /x?a=1&access_token=" R},
        {"PASSWORD=hunter" "2 ok", "PASSWORD=" R " ok"},
        {"VMIX_PASSWORD=a", "VMIX_PASSWORD=" R},
        {"password: hunter" "22", "password: " R},
        {"{\"password\":\"correct horse\"}", "{\"password\":\"" R "\"}"},
        {"{\\\"secret\\\":\\\"correct horse\\\"}", "{\\\"secret\\\":\\\"" R "\\\"}"},
        {"client_secret = 'a b'", "client_secret = '" R "'"},
        {"a -----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY----- b", "a " R " b"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb", R},
        {"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\ntail", R "\ntail"},
        {"two: AKIA" "IOSFODNN7EXAMPLE ASIA" "IOSFODNN7EXAMPLE", "two: " R " " R},
        {"secret=$ecr" "et", "secret=" R},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        if (!ifab_redact_hits_text(ifab_view_str(cases[i].text)))
            fail_msg("not found: %s", cases[i].text);
        assert_string_equal(redacted(cases[i].text), cases[i].expected);
        assert_false(ifab_redact_hits_text(ifab_view_str(cases[i].expected))); /* once is enough */
    }
}

static void ordinary_text_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "the password reset page was slow",
        "password: see the manual",
        "Password reset: the flow takes three steps",
        "a secret: nobody knows",
        "token economy grew 12 %",
        "tokens_in=512 tokens_out=77",
        "max_tokens=4096",
        "token_type=bearer",
        "password=***REDACTED***",
        "password=${DB_PASSWORD}",
        "password=$DB_PASSWORD",
        "password=null, secret=false",
        "risk-averse task-0123456789012345678901 disk-usage",
        "ask-" "0123456789abcdefghij0123456789",
        "sk-learn is a library and sk-something-that-is-only-words-here",
        "AKIA is a prefix; AKIAnot and XAKIA" "IOSFODNN7EXAMPLE",
        "bearer of bad news, bearer internationalization",
        "https://example.org:8443/path?x=1",
        "https://user@example.org/",
        "mailto:a@example.org and 10:30 a@b",
        "if://agent/Finance.Agent/42",
        "sha256:a5bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd1",
        "3jISCrU5OdlQliDzgzsa6Q4sBBvcDDnI4785e0uVHsk",
        "msg-01930000-0000-7000-8000-000000000000",
        "-----BEGIN PUBLIC KEY-----\nMCowBQ\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "eyJ.eyJ.x and eyJhbGciOiJ",
        "Q3 revenue rose 12 % \xe2\x80\x93 caf\xc3\xa9, \xe6\x9d\xb1\xe4\xba\xac",
        "if (token == next) return secret != other;",
        "the tokenizer = fast",
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        if (ifab_redact_hits_text(ifab_view_str(cases[i])))
            fail_msg("taken for a secret: %s", cases[i]);
        assert_string_equal(redacted(cases[i]), cases[i]);
    }
}

static void names_promise_secrets(void **state)
{
    (void)state;
    static const char *const secret[] = {"password", "Password", "db_password", "VMIX_PASSWORD", "secret", "client_secret",
        "clientSecret", "token",
                                         "access_token", "X-Auth-Token", "api_key", "apiKey", "X-Api-Key", "API-KEY", "authorization",
                                         "Proxy-Authorization", "private_key", "privateKey", "credential", "credentials", "passphrase",
                                         "aws_secret_access_key", "Set-Cookie", "pwd", "secrets", "refresh_token", "api_keys"};
    static const char *const plain[] = {"", "id", "key", "key_id", "pubkey", "public_key", "tokens_in", "tokens_out", "token_type",
        "author",
                                        "authorized", "trace", "nonce", "sig", "claim", "secret_name", "requires_secrets", "secretary",
                                        "passage",
                                        "compass", "monkey", "keyboard", "authority", "topic_hash", "scope", "data", "pass_rate"};
    for (size_t i = 0; i < IFAB_COUNT(secret); i++)
        if (!ifab_redact_secret_name(ifab_view_str(secret[i])))
            fail_msg("not secret: %s", secret[i]);
    for (size_t i = 0; i < IFAB_COUNT(plain); i++)
        if (ifab_redact_secret_name(ifab_view_str(plain[i])))
            fail_msg("secret: %s", plain[i]);
}

static void trees_are_redacted_in_canonical_form(void **state)
{
    (void)state;
    static const struct {
        const char *json, *expected; /* NULL: no hit */
    } cases[] = {
        {"{\"password\":\"x\",\"a\":1}", "{\"a\":1,\"password\":\"" R "\"}"},
        {"{\"password\":\"\",\"token\":null,\"secret\":5,\"api_key\":true}", NULL},
        {"{\"password\":\"" R "\"}", NULL},
        {"{\"claim\":\"password reset\"}", NULL},
        {"{\"a\":[{\"b\":{\"apiKey\":\"k\"}}]}", "{\"a\":[{\"b\":{\"apiKey\":\"" R "\"}}]}"},
        {"{\"credentials\":{\"user\":\"u\",\"list\":[\"v\",7]}}", "{\"credentials\":{\"list\":[\"" R "\",7],\"user\":\"" R "\"}}"},
        {"{\"x\":\"see AKIA" "IOSFODNN7EXAMPLE\"}", "{\"x\":\"see " R "\"}"},
        {"[[\"Authorization\",\"Basic x\"],[\"Accept\",\"y\"]]", "[[\"Authorization\",\"" R "\"],[\"Accept\",\"y\"]]"},
        {"[\"secret\",\"sauce\"]", NULL},
        {"[{\"name\":\"X-Api-Key\",\"value\":\"v\"}]", "[{\"name\":\"X-Api-Key\",\"value\":\"" R "\"}]"},
        {"[{\"name\":\"Accept\",\"value\":\"v\"}]", NULL},
        {"{\"requires_secrets\":[{\"name\":\"stripe\",\"origin\":\"https://a.example\"}]}", NULL},
        {"{\"cost\":{\"tokens_in\":5,\"tokens_out\":6}}", NULL},
        {"{\"z\":1,\"AKIA" "IOSFODNN7EXAMPLE\":2,\"A\":3,\"!\":4}", "{\"!\":4,\"" R "-0001\":2,\"A\":3,\"z\":1}"},
        {"\"a \\\"quoted\\\" ghp_" "0123456789abcdefghijABCDEFGHIJ012345\"", "\"a \\\"quoted\\\" " R "\""},
        {"[1.50,true,null,\"\"]", NULL},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_buf buf = IFAB_BUF_INIT(4096), canonical = IFAB_BUF_INIT(4096);
        const struct ifab_json *value;
        ifab_arena_init(&arena, 65536);
        assert_int_equal(ifab_json_read(ifab_view_str(cases[i].json), NULL, &arena, &value, NULL), IFAB_OK);
        assert_int_equal(ifab_redact_hits_json(value), cases[i].expected != NULL);
        ifab_redact_json(&buf, value);
        ifab_json_write(&canonical, value);
        assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
        const char *expected = cases[i].expected == NULL ? test_text(ifab_buf_as_view(&canonical)) : cases[i].expected;
        assert_string_equal(test_text(ifab_buf_as_view(&buf)), expected);
        /* what comes out reads again and hits no more */
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, NULL), IFAB_OK);
        assert_false(ifab_redact_hits_json(value));
        ifab_buf_fini(&buf);
        ifab_buf_fini(&canonical);
        ifab_arena_fini(&arena);
    }
}

static void nothing_is_shown_when_memory_runs_out(void **state)
{
    (void)state;
    const char *json = "{\"x\":\"see AKIA" "IOSFODNN7EXAMPLE\"}";
    struct ifab_arena arena;
    const struct ifab_json *value;
    ifab_arena_init(&arena, 65536);
    assert_int_equal(ifab_json_read(ifab_view_str(json), NULL, &arena, &value, NULL), IFAB_OK);
    TEST_SWEEP_ALLOCATIONS({
        struct ifab_buf buf = IFAB_BUF_INIT(4096);
        ifab_redact_json(&buf, value);
        assert_int_equal(ifab_buf_status(&buf), ifab_mem_failed() ? IFAB_NOMEM : IFAB_OK);
        assert_true(buf.size == 0 || strstr(test_text(ifab_buf_as_view(&buf)), "IOSFODNN7EXAMPLE") == NULL);
        ifab_buf_fini(&buf);
    });
    ifab_arena_fini(&arena);
}

/* Hostile text of 1 MiB takes time in proportion to its size: the program's own time limit is the check. */
static void repeated_beginnings_cost_linear_time(void **state)
{
    (void)state;
    static const char *const units[] = {"eyJaaaaaaaa.", "sk-", "://a:b", "token:", "password=", "-----BEGIN ", "bearer ", "xoxb-",
        "AKIA", "ghp_", "secret\"",
                                        "token: \"", "-----BEGIN PRIVATE KEY", "eyJ", "a.token:"};
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < IFAB_COUNT(units); i++) {
        size_t length = strlen(units[i]);
        for (size_t at = 0; at < SIZE; at++)
            text[at] = units[i][at % length];
        struct ifab_buf buf = IFAB_BUF_INIT((size_t)SIZE * 16);
        ifab_redact_text(&buf, ifab_view_of(text, SIZE));
        assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
        ifab_buf_fini(&buf);
    }
    free(text);
}

/* A vault that holds two values, one within the other. */
static bool find_held(void *user, struct ifab_view text, size_t from, size_t *ret_at, size_t *ret_size)
{
    static const char *const held[] = {"tulip garden", "tulip"};
    (void)user;
    for (size_t i = from; i < text.size; i++)
        for (size_t n = 0; n < 2; n++)
            if (ifab_view_starts(ifab_view_of(text.data + i, text.size - i), ifab_view_str(held[n]))) {
                *ret_at = i;
                *ret_size = strlen(held[n]);
                return true;
            }
    return false;
}

static void what_is_known_to_be_secret_goes_whatever_it_looks_like(void **state)
{
    (void)state;
    assert_string_equal(redacted("a tulip garden"), "a tulip garden");
    ifab_redact_set_exact(find_held, NULL);
    assert_string_equal(redacted("a tulip garden, tuli and tulips"), "a " R ", tuli and " R "s");
    assert_string_equal(redacted("tuliptulip"), R R);
    assert_string_equal(redacted("tulip ghp_" "0123456789abcdefghijABCDEFGHIJ012345 tulip"), R " " R " " R);
    assert_string_equal(redacted("AKIA" "IOSFODNN7EXAMPLE tulip garden"), R " " R);
    assert_string_equal(redacted("sk-" "proj-abcdefghij0123456789tulip garden"), R); /* over the end of what a pattern finds */
    assert_true(ifab_redact_hits_text(IFAB_VIEW("x tulip")));
    assert_false(ifab_redact_hits_text(IFAB_VIEW("x tuli")));
    assert_false(ifab_redact_hits_text(IFAB_VIEW("")));
    ifab_redact_set_exact(NULL, NULL);
    assert_false(ifab_redact_hits_text(IFAB_VIEW("x tulip")));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(secrets_go_and_the_rest_stays),       cmocka_unit_test(ordinary_text_stays_as_it_is),
    cmocka_unit_test(names_promise_secrets),               cmocka_unit_test(trees_are_redacted_in_canonical_form),
    cmocka_unit_test(what_is_known_to_be_secret_goes_whatever_it_looks_like), cmocka_unit_test(nothing_is_shown_when_memory_runs_out), cmocka_unit_test(repeated_beginnings_cost_linear_time),
};

TEST_MAIN(tests)
