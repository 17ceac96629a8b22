/* URLs of guests, and rows of manifests. Every refused text here is one that some other parser reads as something else. INV-08 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/url.h"
#include "support.h"

static void accepts(const char *text, const char *host, unsigned port, const char *path, const char *query)
{
    struct ifab_url url;
    struct ifab_error err = {.status = IFAB_OK};
    ifab_status status = ifab_url_parse(ifab_view_str(text), &url, &err);
    if (status != IFAB_OK)
        fail_msg("%s: %s", text, err.text);
    assert_string_equal(test_text(url.origin.host), host);
    assert_int_equal(url.origin.port, port);
    assert_string_equal(test_text(url.path), path);
    assert_int_equal(url.has_query, query != NULL);
    assert_string_equal(test_text(url.query), query == NULL ? "" : query);
}

static void reads_scheme_host_port_path_and_query(void **state)
{
    (void)state;
    accepts("https://api.example.com/v1/items?x=1&y=%20", "api.example.com", 443, "/v1/items", "x=1&y=%20");
    accepts("http://a/", "a", 80, "/", NULL);
    accepts("https://a", "a", 443, "/", NULL);
    accepts("https://a?q", "a", 443, "/", "q");
    accepts("https://a/?", "a", 443, "/", "");
    accepts("wss://obs.local:4455/", "obs.local", 4455, "/", NULL);
    accepts("ws://10.0.0.1:4455", "10.0.0.1", 4455, "/", NULL);
    accepts("https://[2606:4700::1111]:8443/a/", "2606:4700::1111", 8443, "/a/", NULL);
    accepts("https://[::1]/", "::1", 443, "/", NULL);
    accepts("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", 443, "/", NULL);
    accepts("https://1.2.3.4a.example/", "1.2.3.4a.example", 443, "/", NULL);
    accepts("https://a/b%C3%A4/c%20d/~e;f=1", "a", 443, "/b%C3%A4/c%20d/~e;f=1", NULL);
    accepts("https://a:443/", "a", 443, "/", NULL);
    accepts("https://a/x?u=http://b/../c", "a", 443, "/x", "u=http://b/../c");
}

static void refuses_what_another_parser_reads_otherwise(void **state)
{
    static const char *const bad[] = {
        "",
        "https",
        "https:",
        "https:/a/",
        "https:///a",
        "//a/",
        "/a",
        "a/b",
        "HTTPS://a/",
        "Https://a/",
        "ftp://a/",
        "file:///etc/passwd",
        "gopher://a/",
        "dict://a/",
        "data:,x",
        "javascript:x",
        "https ://a/",
        " https://a/",
        "https://a/ ",
        "https://a /",
        "unix:///a",
        /* users, and hosts that hide behind one */
        "https://u@a/",
        "https://u:p@a/",
        "https://a@b/",
        "https://@a/",
        "https://api.example.com@169.254.169.254/",
        "https://api.example.com%40evil.example/",
        "https://a\\@b/",
        "https://a#@b/",
        "https://a;@b/",
        "https://a:80@b/",
        "https://[::1]@b/",
        /* fragments, backslashes, controls */
        "https://a/#x",
        "https://a#x",
        "https://a\\b/",
        "https://a/\\..\\b",
        "https:\\\\a/",
        "https://a/\tb",
        "https://a/\nb",
        "https://a\r\n/",
        "https://a/b\x7f",
        "https://a/\x80",
        "https://\xc3\xa4/",
        "https://a/\xe2\x80\xae",
        /* names */
        "https://A/",
        "https://a.b./",
        "https://a./",
        "https://.a/",
        "https://a..b/",
        "https://-a/",
        "https://a-/",
        "https://a_b/",
        "https://*/",
        "https://a%2eb/",
        "https://%61/",
        "https://a,b/",
        "https://ab--c.example/",
        "https://xn--/",
        "https://a b/",
        "https://\xe2\x91\xa0.example/",
        /* addresses in other clothes: decimal, hexadecimal, octal, short, with a number at the end */
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0x7f.0.0.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.1.1/",
        "https://127.0.0.01/",
        "https://127.0.0.256/",
        "https://127.0.0.1./",
        "https://0/",
        "https://0x/",
        "https://a.0x1/",
        "https://a.1/",
        "https://a.1b/",
        "https://1.2.3.4a/",
        "https://1/",
        "https://00.0.0.0/",
        "https://127.0.0.+1/",
        "https://127.0.0.1%00/",
        /* IPv6: zones, other spellings of the same, mapped with dots */
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[::0]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::FFFF:7f00:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[2606:4700:0::1111]/",
        "https://[::1/",
        "https://::1/",
        "https://[]/",
        "https://[1.2.3.4]/",
        "https://[::1]x/",
        "https://[v1.a]/",
        "https://[::1]]/",
        "https://[[::1]]/",
        "https://[2606:4700::01111]/",
        /* ports */
        "https://a:/",
        "https://a:0/",
        "https://a:00443/",
        "https://a:0443/",
        "https://a:65536/",
        "https://a:99999999999/",
        "https://a:4x/",
        "https://a:-1/",
        "https://a:443:80/",
        "https://[::1]:/",
        "https://a: 443/",
        /* paths */
        "https://a/..",
        "https://a/../b",
        "https://a/b/..",
        "https://a/.",
        "https://a/./b",
        "https://a//b",
        "https://a//",
        "https://a/%2e%2e/b",
        "https://a/%2E./b",
        "https://a/.%2e/b",
        "https://a/%2e",
        "https://a/b%2fc",
        "https://a/b%2Fc",
        "https://a/b%5cc",
        "https://a/b%5Cc",
        "https://a/%00",
        "https://a/%0d%0aX:y",
        "https://a/%09",
        "https://a/%7f",
        "https://a/%252e%252e/b",
        "https://a/%25",
        "https://a/%",
        "https://a/%2",
        "https://a/%zz",
        "https://a/%u002e",
        "https://a/..;/b",
        "https://a/..;x=1/b",
        "https://a/.;/b",
        "https://a/..%3b/b",
        "https://a/%c0%ae%c0%ae/b",
        "https://a/%c0%af",
        "https://a/%e0%80%af",
        "https://a/%ff",
        "https://a/%61",
        "https://a/%41b",
        "https://a/%7E",
        "https://a/a|b",
        "https://a/<b>",
        "https://a/\"",
        "https://a/{b}",
        "https://a/^",
        "https://a/`",
        "https://a/[b]",
        "https://a/%EF%BC%8F%ED%A0%80",
        /* queries */
        "https://a/?%",
        "https://a/?%1",
        "https://a/?a b",
        "https://a/?<",
        "https://a/?[x]",
        "https://a/?x\"",
        "https://a/?x#y",
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        struct ifab_url url = {.is_address = false};
        struct ifab_error err = {.status = IFAB_OK};
        if (ifab_url_parse(ifab_view_str(bad[i]), &url, &err) != IFAB_INVALID)
            fail_msg("accepted: %s", bad[i]);
        assert_true(strlen(err.text) > 0);
    }
    struct ifab_url url;
    assert_int_equal(ifab_url_parse(ifab_view_of("https://a\0b/", 12), &url, NULL), IFAB_INVALID);
    assert_int_equal(ifab_url_parse(ifab_view_of("https://a/\0", 11), &url, NULL), IFAB_INVALID);
}

static void bounds_every_part(void **state)
{
    static char text[IFAB_URL_MAX + 100];
    struct ifab_url url;
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "https://a/?", 11);
    assert_int_equal(ifab_url_parse(ifab_view_of(text, IFAB_URL_MAX), &url, NULL), IFAB_OK);
    assert_int_equal(ifab_url_parse(ifab_view_of(text, IFAB_URL_MAX + 1), &url, NULL), IFAB_TOO_LARGE);
    memcpy(text, "https://a/a", 11);
    assert_int_equal(ifab_url_parse(ifab_view_of(text, 9 + IFAB_PATH_MAX), &url, NULL), IFAB_OK);
    assert_int_equal(ifab_url_parse(ifab_view_of(text, 10 + IFAB_PATH_MAX), &url, NULL), IFAB_INVALID);
    memset(text, 'a', sizeof text);
    memcpy(text, "https://", 8);
    text[8 + 63] = '/';
    assert_int_equal(ifab_url_parse(ifab_view_of(text, 8 + 64), &url, NULL), IFAB_OK);
    text[8 + 63] = 'a';
    text[8 + 64] = '/';
    assert_int_equal(ifab_url_parse(ifab_view_of(text, 8 + 65), &url, NULL), IFAB_INVALID);
    for (size_t i = 0; i < 300; i++)
        text[8 + i] = i % 2 ? '.' : 'a';
    text[8 + 253] = '/';
    assert_int_equal(ifab_url_parse(ifab_view_of(text, 8 + 254), &url, NULL), IFAB_OK);
    text[8 + 253] = '.';
    text[8 + 255] = '/';
    assert_int_equal(ifab_url_parse(ifab_view_of(text, 8 + 256), &url, NULL), IFAB_INVALID);
}

static void says_nothing_of_path_and_query_in_errors(void **state)
{
    struct ifab_url url;
    struct ifab_error err = {.status = IFAB_OK};
    (void)state;
    assert_int_equal(ifab_url_parse(IFAB_VIEW("https://a/canary/../x?token=canary"), &url, &err), IFAB_INVALID);
    assert_null(strstr(err.text, "canary"));
}

static void says_what_is_wrong(void **state)
{
    static const char *const rows[][2] = {{"https://u@a/", "user"}, {"https://u:p@a/", "user"}, {"https://a/#x", "fragment"}, {"https://a\\b/", "backslash"}, {"https://A/", "lower case"},
                                          {"https://a:0/", "port"}, {"https://a/../b", "path"}, {"https://a/?<", "query"}, {"ftp://a/", "http://"}};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_url url;
        struct ifab_error err = {.status = IFAB_OK};
        assert_int_equal(ifab_url_parse(ifab_view_str(rows[i][0]), &url, &err), IFAB_INVALID);
        assert_non_null(strstr(err.text, rows[i][1]));
    }
}
static void writes_again_what_it_read(void **state)
{
    static const char *const urls[] = {"https://a/b?c=d", "http://a:81/", "https://[2606:4700::1111]:444/a", "wss://a/?", "https://1.1.1.1/x"};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(urls); i++) {
        struct ifab_url url;
        struct ifab_buf text = IFAB_BUF_INIT(1000);
        assert_int_equal(ifab_url_parse(ifab_view_str(urls[i]), &url, NULL), IFAB_OK);
        ifab_url_write(&url, ifab_view_of(NULL, 0), &text);
        assert_string_equal(test_text(ifab_buf_as_view(&text)), urls[i]);
        ifab_buf_fini(&text);
    }
    struct ifab_url url;
    struct ifab_buf text = IFAB_BUF_INIT(1000);
    assert_int_equal(ifab_url_parse(IFAB_VIEW("https://a:443"), &url, NULL), IFAB_OK);
    ifab_url_write(&url, IFAB_VIEW("k=v"), &text);
    assert_string_equal(test_text(ifab_buf_as_view(&text)), "https://a/?k=v");
    ifab_buf_clear(&text);
    assert_int_equal(ifab_url_parse(IFAB_VIEW("https://a/?x"), &url, NULL), IFAB_OK);
    ifab_url_write(&url, IFAB_VIEW("k=v"), &text);
    assert_string_equal(test_text(ifab_buf_as_view(&text)), "https://a/?x&k=v");
    ifab_buf_fini(&text);
}

static void origins_end_behind_host_and_port(void **state)
{
    struct ifab_origin_parts a, b;
    (void)state;
    assert_int_equal(ifab_origin_read(IFAB_VIEW("https://a"), &a, NULL), IFAB_OK);
    assert_int_equal(ifab_origin_read(IFAB_VIEW("https://a:443"), &b, NULL), IFAB_OK);
    assert_true(ifab_origin_same(&a, &b));
    static const char *const others[] = {"http://a", "https://b", "https://a:444", "wss://a", "https://a.b", "http://a:443"};
    for (size_t i = 0; i < IFAB_COUNT(others); i++) {
        assert_int_equal(ifab_origin_read(ifab_view_str(others[i]), &b, NULL), IFAB_OK);
        assert_false(ifab_origin_same(&a, &b));
    }
    static const char *const bad[] = {"https://a/", "https://a?", "https://a/b", "https://a?x", "https://", "a", "https://u@a", "https://*"};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_int_equal(ifab_origin_read(ifab_view_str(bad[i]), &b, NULL), IFAB_INVALID);
    struct ifab_origin_parts zero = {.scheme = IFAB_SCHEME_NONE};
    assert_false(ifab_origin_same(&zero, &zero)); /* nothing equals nothing */
}

static bool matches(const char *pattern, const char *path)
{
    char text[300];
    struct ifab_url url;
    struct ifab_egress_row row = {.path = ifab_view_str(pattern), .methods = 1U << IFAB_EGRESS_METHOD_GET};
    (void)snprintf(text, sizeof text, "https://a%s", path);
    assert_int_equal(ifab_origin_read(IFAB_VIEW("https://a"), &row.origin, NULL), IFAB_OK);
    assert_int_equal(ifab_url_parse(ifab_view_str(text), &url, NULL), IFAB_OK);
    assert_false(ifab_egress_row_matches(&row, &url, IFAB_EGRESS_METHOD_POST));
    return ifab_egress_row_matches(&row, &url, IFAB_EGRESS_METHOD_GET);
}
static void rows_match_by_whole_segments(void **state)
{
    (void)state;
    assert_true(matches("/v1/items", "/v1/items"));
    assert_false(matches("/v1/items", "/v1/items/"));
    assert_false(matches("/v1/items", "/v1/itemsx"));
    assert_false(matches("/v1/items", "/v1/items/x"));
    assert_false(matches("/v1/items", "/v1"));
    assert_true(matches("/v1/*", "/v1/x"));
    assert_false(matches("/v1/*", "/v1/"));
    assert_false(matches("/v1/*", "/v1/x/y"));
    assert_false(matches("/v1/*", "/v1"));
    assert_true(matches("/*/b", "/a/b"));
    assert_true(matches("/v1/**", "/v1/x"));
    assert_true(matches("/v1/**", "/v1/x/y/z"));
    assert_false(matches("/v1/**", "/v1/"));
    assert_false(matches("/v1/**", "/v1"));
    assert_false(matches("/v1/**", "/v2/x"));
    assert_false(matches("/a*", "/ab"));    /* no pieces of segments */
    assert_false(matches("/**/b", "/a/b")); /* "**" only as the last */
    assert_true(matches("/", "/"));
    assert_false(matches("/", "/a"));
    assert_false(matches("", "/"));
    assert_false(matches("a", "/a"));
    assert_true(matches("/a%20b", "/a%20b"));
    assert_false(matches("/a b", "/a%20b")); /* nothing is decoded */
}
static void rows_match_their_origin_and_methods_only(void **state)
{
    struct ifab_egress_row row = {.path = IFAB_VIEW("/**"), .methods = 1U << IFAB_EGRESS_METHOD_PUT}, zero = {.methods = 0};
    struct ifab_url url;
    (void)state;
    assert_int_equal(ifab_origin_read(IFAB_VIEW("https://api.openai.com"), &row.origin, NULL), IFAB_OK);
    static const char *const others[] = {"https://api.openai.com.evil.com/x", "http://api.openai.com/x", "https://api.openai.com:8443/x",
                                         "https://evil.api.openai.com/x", "wss://api.openai.com/x"};
    for (size_t i = 0; i < IFAB_COUNT(others); i++) {
        assert_int_equal(ifab_url_parse(ifab_view_str(others[i]), &url, NULL), IFAB_OK);
        assert_false(ifab_egress_row_matches(&row, &url, IFAB_EGRESS_METHOD_PUT));
    }
    assert_int_equal(ifab_url_parse(IFAB_VIEW("https://api.openai.com/x"), &url, NULL), IFAB_OK);
    assert_true(ifab_egress_row_matches(&row, &url, IFAB_EGRESS_METHOD_PUT));
    assert_false(ifab_egress_row_matches(&row, &url, IFAB_EGRESS_METHOD_GET));
    assert_false(ifab_egress_row_matches(&row, &url, (enum ifab_egress_method)40));
    assert_false(ifab_egress_row_matches(&zero, &url, IFAB_EGRESS_METHOD_PUT));
}
static void methods_are_spelled_exactly(void **state)
{
    enum ifab_egress_method method;
    (void)state;
    for (int i = 0; i < IFAB_EGRESS_METHOD_COUNT; i++) {
        assert_true(ifab_egress_method_parse(ifab_view_str(ifab_egress_method_name((enum ifab_egress_method)i)), &method));
        assert_int_equal(method, i);
    }
    static const char *const bad[] = {"get", "Get", "TRACE", "CONNECT", "", "GET ", "GET\r\nX: y", "PROPFIND"};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_false(ifab_egress_method_parse(ifab_view_str(bad[i]), &method));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(reads_scheme_host_port_path_and_query),
    cmocka_unit_test(refuses_what_another_parser_reads_otherwise),
    cmocka_unit_test(bounds_every_part),
    cmocka_unit_test(says_nothing_of_path_and_query_in_errors),
    cmocka_unit_test(says_what_is_wrong), cmocka_unit_test(writes_again_what_it_read),
    cmocka_unit_test(origins_end_behind_host_and_port),
    cmocka_unit_test(rows_match_by_whole_segments),
    cmocka_unit_test(rows_match_their_origin_and_methods_only),
    cmocka_unit_test(methods_are_spelled_exactly),
};
TEST_MAIN(tests)
