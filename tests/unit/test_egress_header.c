/* Header fields: bytes, whose they are, how many. INV-08, INV-09 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/header.h"
#include "support.h"

static ifab_status check(const char *name, const char *value)
{
    struct ifab_egress_header h = {ifab_view_str(name), ifab_view_str(value)};
    return ifab_egress_headers_check(&h, 1, NULL);
}
static void takes_a_guests_own(void **state)
{
    (void)state;
    assert_int_equal(check("Accept", "application/json"), IFAB_OK);
    assert_int_equal(check("Content-Type", "text/plain; charset=utf-8"), IFAB_OK);
    assert_int_equal(check("X-Thing", ""), IFAB_OK);
    assert_int_equal(check("X-Thing", "a \t b\xc3\xa4"), IFAB_OK);
    assert_int_equal(check("x-amz-acl", "private"), IFAB_OK);
    assert_int_equal(check("If-Match", "\"x\""), IFAB_OK);
}
static void refuses_what_is_ours(void **state)
{
    static const char *const bad[] = {"Host",
                                      "host",
                                      "HOST",
                                      "Authorization",
                                      "Cookie",
                                      "Proxy-Authorization",
                                      "Proxy-Connection",
                                      "proxy-x",
                                      "Connection",
                                      "Content-Length",
                                      "Transfer-Encoding",
                                      "TE",
                                      "Trailer",
                                      "Upgrade",
                                      "Expect",
                                      "Forwarded",
                                      "X-Forwarded-For",
                                      "X-Forwarded-Host",
                                      "Via",
                                      "Sec-WebSocket-Key",
                                      "Idempotency-Key",
                                      "Accept-Encoding",
                                      "Keep-Alive",
                                      "HTTP2-Settings",
                                      "X-Amz-Date",
                                      "X-HTTP-Method-Override",
                                      "X-Original-URL",
                                      "User-Agent",
                                      "Metadata-Flavor",
                                      "Metadata",
                                      "X-aws-ec2-metadata-token",
                                      "Content_Length",
                                      "Transfer_Encoding",
                                      "X_Forwarded_For",
                                      "Content.Length",
                                      "Referer",
                                      "Origin"};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        if (check(bad[i], "x") != IFAB_DENIED)
            fail_msg("passed: %s", bad[i]);
    }
}
static void refuses_bytes_that_end_a_field(void **state)
{
    static const char *const names[] = {"", "A B", "A:", "A\r\nB", "A\n", ":method", "A\x80", "A\x7f", "A(", "A,B", " A", "A ", "\"A\""};
    static const char *const values[] = {"a\r\nHost: b", "a\nb", "a\rb", "\r", "\x01", "a\x7f", " a", "a ", "\ta", "a\t", "a\x0b", "a\x1b[2J"};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        assert_int_equal(check(names[i], "x"), IFAB_INVALID);
    for (size_t i = 0; i < IFAB_COUNT(values); i++)
        assert_int_equal(check("X-A", values[i]), IFAB_INVALID);
    struct ifab_egress_header nul = {IFAB_VIEW("X"), ifab_view_of("a\0b", 3)}, nul_name = {ifab_view_of("X\0Y", 3), IFAB_VIEW("a")};
    assert_int_equal(ifab_egress_headers_check(&nul, 1, NULL), IFAB_INVALID);
    assert_int_equal(ifab_egress_headers_check(&nul_name, 1, NULL), IFAB_INVALID);
}
static void bounds_number_and_size(void **state)
{
    static char names[IFAB_EGRESS_HEADERS_MAX + 1][10], value[IFAB_EGRESS_HEADER_VALUE_MAX + 1];
    struct ifab_egress_header h[IFAB_EGRESS_HEADERS_MAX + 1];
    (void)state;
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < IFAB_COUNT(h); i++) {
        (void)snprintf(names[i], sizeof names[i], "X-%zu", i);
        h[i] = (struct ifab_egress_header){ifab_view_str(names[i]), IFAB_VIEW("v")};
    }
    assert_int_equal(ifab_egress_headers_check(h, IFAB_EGRESS_HEADERS_MAX, NULL), IFAB_OK);
    assert_int_equal(ifab_egress_headers_check(h, IFAB_EGRESS_HEADERS_MAX + 1, NULL), IFAB_TOO_LARGE);
    h[1].name = IFAB_VIEW("x-0");
    assert_int_equal(ifab_egress_headers_check(h, 2, NULL), IFAB_DENIED); /* twice, in another case */
    h[1].name = ifab_view_str(names[1]);
    h[0].value = ifab_view_of(value, IFAB_EGRESS_HEADER_VALUE_MAX);
    assert_int_equal(ifab_egress_headers_check(h, 1, NULL), IFAB_OK);
    h[0].value = ifab_view_of(value, IFAB_EGRESS_HEADER_VALUE_MAX + 1);
    assert_int_equal(ifab_egress_headers_check(h, 1, NULL), IFAB_TOO_LARGE);
    for (size_t i = 0; i < 4; i++)
        h[i].value = ifab_view_of(value, IFAB_EGRESS_HEADER_VALUE_MAX);
    assert_int_equal(ifab_egress_headers_check(h, 4, NULL), IFAB_TOO_LARGE); /* together */
    assert_int_equal(ifab_egress_headers_check(h, 3, NULL), IFAB_OK);
}
static void shows_by_a_list(void **state)
{
    static const char *const yes[] = {"content-type", "Content-Type", "ETag", "Location", "Retry-After", "Content-Length"};
    static const char *const no[] = {"Set-Cookie", "Authorization",      "WWW-Authenticate", "X-Echo", "Server", "Set-Cookie2", "Content-Typ",
                                     "",           "Proxy-Authenticate", "Connection"};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(yes); i++)
        assert_true(ifab_egress_header_is_shown(ifab_view_str(yes[i])));
    for (size_t i = 0; i < IFAB_COUNT(no); i++)
        assert_false(ifab_egress_header_is_shown(ifab_view_str(no[i])));
}
static const struct CMUnitTest tests[] = {
    cmocka_unit_test(takes_a_guests_own),     cmocka_unit_test(refuses_what_is_ours), cmocka_unit_test(refuses_bytes_that_end_a_field),
    cmocka_unit_test(bounds_number_and_size), cmocka_unit_test(shows_by_a_list),
};
TEST_MAIN(tests)
