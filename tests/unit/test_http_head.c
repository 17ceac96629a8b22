/* The raw head: what is refused with which status, and that no split of the bytes changes the verdict. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/view.h"
#include "http/head.h"

#define HEADERS 64
#define HEAD_BYTES ((size_t)16 * 1024)
#define H "Host: a\r\n"

struct verdict {
    int status; /* 0: accepted; -1: not complete */
    struct ifab_http_head head;
    size_t used;
};
static struct ifab_http_header headers[HEADERS];

/* Scan in pieces of `step` bytes, then read. */
static struct verdict judge(struct ifab_view raw, size_t step)
{
    struct verdict v = {.status = -1};
    struct ifab_http_scan scan = {.size = 0};
    for (size_t at = 0; at < raw.size;) {
        size_t piece = raw.size - at < step ? raw.size - at : step, used = 0;
        enum ifab_http_scanned got = ifab_http_scan(&scan, HEAD_BYTES, HEADERS, ifab_view_of(raw.data + at, piece), &used);
        at += used;
        v.used = at;
        if (got == IFAB_HTTP_SCAN_BAD) {
            v.status = scan.problem.status;
            return v;
        }
        if (got == IFAB_HTTP_SCAN_DONE) {
            v.status = ifab_http_head_read(ifab_view_of(raw.data, at), headers, HEADERS, &v.head).status;
            return v;
        }
        assert_int_equal(used, piece);
    }
    return v;
}

struct row {
    const char *name;
    struct ifab_view raw;
    int status;
};
#define ROW(name_, status_, text) {name_, {(const uint8_t *)(text), sizeof(text) - 1}, status_}

static const struct row rows[] = {
    ROW("plain", 0, "GET / HTTP/1.1\r\n" H "\r\n"),
    ROW("1.0 without host", 0, "GET /x HTTP/1.0\r\n\r\n"),
    ROW("length", 0, "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n"),
    ROW("length zero", 0, "POST /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
    ROW("chunked", 0, "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
    ROW("tab inside a value", 0, "GET / HTTP/1.1\r\n" H "X: a\tb\r\n\r\n"),
    ROW("empty value", 0, "GET / HTTP/1.1\r\n" H "X:\r\n\r\n"),
    ROW("expect", 0, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
    /* line ends */
    ROW("LF only", 400, "GET / HTTP/1.1\nHost: a\n\n"),
    ROW("LF after first line", 400, "GET / HTTP/1.1\n" H "\r\n"),
    ROW("LF inside the head", 400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    ROW("LF as blank line", 400, "GET / HTTP/1.1\r\n" H "\n"),
    ROW("lone CR in a value", 400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    ROW("CR before a name", 400, "GET / HTTP/1.1\r\n" H "X:\rContent-Length: 3\r\n\r\n"),
    ROW("CR CR LF", 400, "GET / HTTP/1.1\r\r\n" H "\r\n"),
    ROW("CR X for the blank line", 400, "GET / HTTP/1.1\r\n" H "\rX"),
    ROW("empty first line", 400, "\r\nGET / HTTP/1.1\r\n" H "\r\n"),
    /* folding and names */
    ROW("folded by space", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
    ROW("folded by tab", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"),
    ROW("name with leading space", 400, "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n"),
    ROW("first line with leading space", 400, " GET / HTTP/1.1\r\n" H "\r\n"),
    ROW("space before colon", 400, "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n"),
    ROW("tab before colon", 400, "GET / HTTP/1.1\r\n" H "X\t: a\r\n\r\n"),
    ROW("no colon", 400, "GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n"),
    ROW("empty name", 400, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n"),
    ROW("name beyond ASCII", 400, "GET / HTTP/1.1\r\n" H "X\xc3\xa4: a\r\n\r\n"),
    /* control characters */
    ROW("NUL in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
    ROW("NUL in the target", 400, "GET /\0 HTTP/1.1\r\n" H "\r\n"),
    ROW("DEL", 400, "GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n"),
    ROW("escape", 400, "GET / HTTP/1.1\r\n" H "X: \x1b[1m\r\n\r\n"),
    ROW("TLS hello", 400, "\x16\x03\x01\x02\x00"),
    /* first line */
    ROW("no version", 400, "GET /\r\n" H "\r\n"),
    ROW("lower case version", 400, "GET / http/1.1\r\n" H "\r\n"),
    ROW("version with junk", 400, "GET / HTTP/1.1 \r\n" H "\r\n"),
    ROW("version 1.2", 505, "GET / HTTP/1.2\r\n" H "\r\n"),
    ROW("version 2.0", 505, "PRI * HTTP/2.0\r\n\r\n"),
    ROW("version 0.9", 505, "GET / HTTP/0.9\r\n\r\n"),
    ROW("version 1.11", 400, "GET / HTTP/1.11\r\n" H "\r\n"),
    ROW("two spaces", 400, "GET  / HTTP/1.1\r\n" H "\r\n"),
    ROW("space in target", 400, "GET /a b HTTP/1.1\r\n" H "\r\n"),
    ROW("tab for space", 400, "GET\t/ HTTP/1.1\r\n" H "\r\n"),
    ROW("absolute form", 400, "GET http://a/ HTTP/1.1\r\n" H "\r\n"),
    ROW("asterisk form", 400, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
    ROW("fragment", 400, "GET /#x HTTP/1.1\r\n" H "\r\n"),
    ROW("target beyond ASCII", 400, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"),
    ROW("connect", 405, "CONNECT a:443 HTTP/1.1\r\n" H "\r\n"),
    ROW("unknown method", 501, "FROB / HTTP/1.1\r\n" H "\r\n"),
    ROW("lower case method", 501, "get / HTTP/1.1\r\n" H "\r\n"),
    ROW("malformed method", 400, "G(T / HTTP/1.1\r\n" H "\r\n"),
    /* Host */
    ROW("no host", 400, "GET / HTTP/1.1\r\n\r\n"),
    ROW("two hosts", 400, "GET / HTTP/1.1\r\n" H H "\r\n"),
    ROW("two hosts in 1.0", 400, "GET / HTTP/1.0\r\n" H H "\r\n"),
    ROW("empty host", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ROW("list of hosts", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ROW("host with user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    /* length and coding */
    ROW("CL and TE", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW("TE and CL", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"),
    ROW("CL and odd TE", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ROW("CL twice", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 5\r\n\r\n"),
    ROW("CL twice, equal", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\ncontent-length: 4\r\n\r\n"),
    ROW("CL list", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n\r\n"),
    ROW("CL plus", 400, "POST / HTTP/1.1\r\n" H "Content-Length: +4\r\n\r\n"),
    ROW("CL minus", 400, "POST / HTTP/1.1\r\n" H "Content-Length: -4\r\n\r\n"),
    ROW("CL hex", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x4\r\n\r\n"),
    ROW("CL leading zero", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 04\r\n\r\n"),
    ROW("CL empty", 400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"),
    ROW("CL beyond 64 bits", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551620\r\n\r\n"),
    ROW("CL in a name with junk", 400, "POST / HTTP/1.1\r\n" H "Content-Length\x01: 4\r\n\r\n"),
    ROW("CL tab", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 4\t\r\n\r\n"),
    ROW("TE tab", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tchunked\r\n\r\n"),
    ROW("TE gzip", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n"),
    ROW("TE gzip, chunked", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    ROW("TE chunked, identity", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n"),
    ROW("TE identity", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
    ROW("TE Chunked", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"),
    ROW("TE quoted", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    ROW("TE empty", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"),
    ROW("TE twice", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW("TE in 1.0", 400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
    ROW("trailer announced", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"),
    ROW("upgrade", 501, "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ROW("upgrade without connection", 501, "GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\n\r\n"),
    ROW("other expectation", 417, "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n"),
    ROW("not complete", -1, "GET / HTTP/1.1\r\n" H "\r"),
};

static void judges_each_head_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct verdict v = judge(rows[i].raw, SIZE_MAX);
        if (v.status != rows[i].status)
            fail_msg("%s: %d, not %d", rows[i].name, v.status, rows[i].status);
    }
}

static void judges_the_same_in_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        for (size_t step = 1; step < 5; step++) {
            struct verdict v = judge(rows[i].raw, step);
            if (v.status != rows[i].status)
                fail_msg("%s in steps of %zu: %d, not %d", rows[i].name, step, v.status, rows[i].status);
        }
    }
}

/* A bad line end is refused where it stands, not by what it makes of the line behind it. */
static void stops_at_the_very_byte_that_is_wrong(void **state)
{
    static const struct row wrong[] = {
        ROW("LF for the first line end", 400, "GET / HTTP/1.1\n"),
        ROW("LF for a later one", 400, "GET / HTTP/1.1\r\nX: a\n"),
        ROW("LF for the blank line", 400, "GET / HTTP/1.1\r\n" H "\n"),
        ROW("CR without LF", 400, "GET / HTTP/1.1\rX"),
        ROW("folded by space", 400, "GET / HTTP/1.1\r\n" H " "),
        ROW("folded by tab", 400, "GET / HTTP/1.1\r\n" H "\t"),
        ROW("control character", 400, "GET / HTTP/1.1\r\nX: \x01"),
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(wrong); i++) {
        struct verdict whole = judge(wrong[i].raw, 1000);
        if (whole.status != wrong[i].status || whole.used != wrong[i].raw.size)
            fail_msg("%s: %d at byte %zu", wrong[i].name, whole.status, whole.used);
        assert_int_equal(judge(ifab_view_of(wrong[i].raw.data, wrong[i].raw.size - 1), 1000).status, -1);
    }
}

static void never_accepts_a_truncated_head(void **state)
{
    static const char text[] = "POST /v1/x?a=b HTTP/1.1\r\nHost: localhost:80\r\nContent-Length: 10\r\nX-Y: z\r\n\r\n";
    (void)state;
    for (size_t size = 0; size < sizeof text - 1; size++)
        assert_int_equal(judge(ifab_view_of(text, size), SIZE_MAX).status, -1);
    assert_int_equal(judge(ifab_view_of(text, sizeof text - 1), SIZE_MAX).status, 0);
}

static void reads_the_parts_of_a_head(void **state)
{
    static const char text[] = "DELETE /v1/x?a=b?c HTTP/1.1\r\nhOST:  [::1]:80 \r\nConnection: keep-alive, Close\r\nX-Y:\tz\t\r\n\r\nrest";
    struct verdict v = judge(ifab_view_str(text), SIZE_MAX);
    (void)state;
    assert_int_equal(v.status, 0);
    assert_int_equal(v.used, sizeof text - 1 - 4); /* not a byte beyond the blank line */
    assert_int_equal(v.head.method, IFAB_HTTP_DELETE);
    assert_true(ifab_view_is(v.head.method_text, "DELETE"));
    assert_true(ifab_view_is(v.head.target, "/v1/x?a=b?c"));
    assert_true(ifab_view_is(v.head.path, "/v1/x"));
    assert_true(ifab_view_is(v.head.query, "a=b?c"));
    assert_true(ifab_view_is(v.head.host, "[::1]:80"));
    assert_int_equal(v.head.minor, 1);
    assert_true(v.head.closes);
    assert_int_equal(v.head.header_count, 3);
    assert_true(ifab_view_is(headers[2].name, "X-Y"));
    assert_true(ifab_view_is(headers[2].value, "z"));
}

static void accepts_heads_up_to_the_limits_and_not_beyond(void **state)
{
    static char text[HEAD_BYTES + 64];
    static const char begin[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ", end[] = "\r\n\r\n";
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        size_t fill = HEAD_BYTES - (sizeof begin - 1) - (sizeof end - 1) + more;
        memcpy(text, begin, sizeof begin - 1);
        memset(text + sizeof begin - 1, 'x', fill);
        memcpy(text + sizeof begin - 1 + fill, end, sizeof end - 1);
        assert_int_equal(judge(ifab_view_of(text, HEAD_BYTES + more), SIZE_MAX).status, more == 0 ? 0 : 431);
        assert_int_equal(judge(ifab_view_of(text, HEAD_BYTES + more), 7).status, more == 0 ? 0 : 431);
    }
    for (size_t more = 0; more < 2; more++) {
        size_t at = sizeof "GET / HTTP/1.1\r\nHost: a\r\n" - 1;
        memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\n", at);
        for (size_t i = 1; i < HEADERS + more; i++, at += 6)
            memcpy(text + at, "X: y\r\n", 6);
        memcpy(text + at, "\r\n", 2);
        assert_int_equal(judge(ifab_view_of(text, at + 2), SIZE_MAX).status, more == 0 ? 0 : 431);
    }
}

static const struct row chunk_rows[] = {
    ROW("none", 0, "0\r\n\r\n"),
    ROW("one", 0, "3\r\nabc\r\n0\r\n\r\n"),
    ROW("hex", 0, "A\r\n0123456789\r\n0\r\n\r\n"),
    ROW("zeros", 0, "00000003\r\nabc\r\n00\r\n\r\n"),
    ROW("nine digits", 400, "000000003\r\nabc\r\n0\r\n\r\n"),
    ROW("extension", 400, "3;x=y\r\nabc\r\n0\r\n\r\n"),
    ROW("empty extension", 400, "3;\r\nabc\r\n0\r\n\r\n"),
    ROW("extension of the last", 400, "0;x\r\n\r\n"),
    ROW("space after size", 400, "3 \r\nabc\r\n0\r\n\r\n"),
    ROW("space before size", 400, " 3\r\nabc\r\n0\r\n\r\n"),
    ROW("prefix", 400, "0x3\r\nabc\r\n0\r\n\r\n"),
    ROW("sign", 400, "-3\r\nabc\r\n0\r\n\r\n"),
    ROW("no size", 400, "\r\nabc\r\n0\r\n\r\n"),
    ROW("LF after size", 400, "3\nabc\r\n0\r\n\r\n"),
    ROW("lone CR after size", 400, "3\rabc\r\n0\r\n\r\n"),
    ROW("LF after data", 400, "3\r\nabc\n0\r\n\r\n"),
    ROW("data too long", 400, "3\r\nabcd\r\n0\r\n\r\n"),
    ROW("no CR LF after data", 400, "3\r\nabc0\r\n\r\n"),
    ROW("LF at the end", 400, "0\r\n\n"),
    ROW("trailer", 400, "0\r\nX: y\r\n\r\n"),
    ROW("not complete", -1, "3\r\nabc\r\n0\r\n\r"),
};

static void judges_chunks_in_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(chunk_rows); i++) {
        struct ifab_view raw = chunk_rows[i].raw;
        for (size_t step = 1; step <= raw.size; step++) {
            struct ifab_http_chunks chunks = {.digits = 0};
            struct ifab_http_problem problem = {0, NULL};
            enum ifab_http_scanned got = IFAB_HTTP_SCAN_MORE;
            for (size_t at = 0, used = 0; at < raw.size && got == IFAB_HTTP_SCAN_MORE; at += used)
                got = ifab_http_chunks(&chunks, ifab_view_of(raw.data + at, raw.size - at < step ? raw.size - at : step), &used, &problem);
            int status = got == IFAB_HTTP_SCAN_MORE ? -1 : problem.status;
            if (status != chunk_rows[i].status)
                fail_msg("%s in steps of %zu: %d, not %d", chunk_rows[i].name, step, status, chunk_rows[i].status);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_each_head_as_the_table_says),
        cmocka_unit_test(judges_the_same_in_any_split),
        cmocka_unit_test(stops_at_the_very_byte_that_is_wrong),
        cmocka_unit_test(never_accepts_a_truncated_head),
        cmocka_unit_test(reads_the_parts_of_a_head),
        cmocka_unit_test(accepts_heads_up_to_the_limits_and_not_beyond),
        cmocka_unit_test(judges_chunks_in_any_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
