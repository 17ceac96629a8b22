/* WebSocket for guests: the same rules, and a peer that breaks RFC 6455 in every way that matters. INV-08, INV-09, INV-15 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>

#include "../conformance/conformance_egress.c"
#include "crypto/crypto.h"

static struct egress_backend *const b = &egress_backends[1];

static void ws_frame(int fd, unsigned head, const void *bytes, size_t size)
{
    uint8_t h[10] = {(uint8_t)head};
    size_t used = 2;
    if (size < 126) {
        h[1] = (uint8_t)size;
    } else if (size < 65536) {
        h[1] = 126;
        h[2] = (uint8_t)(size >> 8);
        h[3] = (uint8_t)size;
        used = 4;
    } else {
        h[1] = 127;
        for (size_t i = 0; i < 8; i++)
            h[2 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
        used = 10;
    }
    peer_write(fd, h, used);
    peer_write(fd, bytes, size);
}
/* One frame of a client, unmasked; short ones only. Opcode, or -1. */
static int ws_read(int fd, uint8_t *bytes, size_t *ret_size)
{
    uint8_t h[6];
    if (recv(fd, h, 6, MSG_WAITALL) != 6 || (h[1] & 0x80) == 0)
        return -1;
    *ret_size = h[1] & 0x7f;
    if (*ret_size > 125 || (*ret_size > 0 && recv(fd, bytes, *ret_size, MSG_WAITALL) != (ssize_t)*ret_size))
        return -1;
    for (size_t i = 0; i < *ret_size; i++)
        bytes[i] ^= h[2 + i % 4];
    return h[0] & 0x0f;
}
static void accept_of(struct ifab_view request, char *text, size_t room)
{
    uint8_t digest20[20];
    struct ifab_buf key = IFAB_BUF_INIT(200), accept = IFAB_BUF_INIT(200);
    const uint8_t *at = memmem(request.data, request.size, "Sec-WebSocket-Key: ", 19);
    assert(at != NULL);
    ifab_buf_put(&key, at + 19, 24);
    ifab_buf_str(&key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    ifab_sha1_websocket(ifab_buf_as_view(&key), digest20);
    ifab_buf_base64(&accept, digest20, 20);
    (void)snprintf(text, room, "%.*s", (int)accept.size, (const char *)accept.data);
    ifab_buf_fini(&key);
    ifab_buf_fini(&accept);
}
static char row_of(struct ifab_view request)
{
    const uint8_t *q = memmem(request.data, request.size, "/v1/", 4);
    return q == NULL ? '?' : (char)q[4];
}
/* The handshake of row `what`: right for lower-case rows, wrong in one way for upper-case ones. */
static void handshake(int fd, char what, const char *accept)
{
    char text[700];
    const char *status = what == 'A' ? "200 OK" : what == 'B' ? "1010 x" : "101 Switching Protocols";
    const char *upgrade = what == 'C'   ? ""
                          : what == 'D' ? "Upgrade: h2c\r\n"
                          : what == 'E' ? "Upgrade: websocket\r\nUpgrade: websocket\r\n"
                                        : "Upgrade: WebSocket\r\n";
    const char *connection = what == 'F' ? "" : what == 'G' ? "Connection: close\r\n" : "Connection: upgrade\r\n";
    const char *more = what == 'H'   ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                       : what == 'I' ? "Sec-WebSocket-Protocol: x\r\n"
                       : what == 'J' ? "X-A: " CANARY "\r\n"
                       : what == 'K' ? "X-A\r\n"
                       : what == 'L' ? "X-A: b\n"
                                     : "";
    (void)snprintf(text, sizeof text, "HTTP/1.1 %s\r\n%s%sSec-WebSocket-Accept: %s\r\n%s\r\n", status, upgrade, connection,
                   what == 'M' ? "AAAAAAAAAAAAAAAAAAAAAAAAAAA=" : accept, more);
    if (what == 'N') {
        peer_text(fd, "HTTP/1.1 101 x\r\n");
        for (int i = 0; i < 4000; i++)
            peer_text(fd, "A: b\r\n");
    }
    peer_text(fd, text);
}
/* base64(SHA-256(base64(SHA-256(CANARY || "salt")) || "challenge")), by Python's hashlib */
#define ANSWER "LVtM+jfXAm4GGDEM2OgR7VkT3muWUpQRKc3YHuwoI+M="
static const char right_message[] = "{\"a\":\"" ANSWER "\"}";
static bool ws_peer(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    static uint8_t large[70000];
    uint8_t bytes[128];
    size_t size = 0;
    char accept[40], what = row_of(request);
    (void)user;
    memset(large, 'L', sizeof large);
    accept_of(request, accept, sizeof accept);
    handshake(fd, what, accept);
    switch (what) {
    case 'e': /* echo, in two pieces with a ping between */
        for (int op; (op = ws_read(fd, bytes, &size)) >= 0 && op != 8;) {
            if (op == 10)
                continue;
            ws_frame(fd, (unsigned)op, bytes, size / 2);
            ws_frame(fd, 0x89, "p", 1);
            ws_frame(fd, 0x80, bytes + size / 2, size - size / 2);
        }
        ws_frame(fd, 0x88, "\x03\xe8", 2);
        return false;
    case 'l': /* larger than the bound */
        ws_frame(fd, 0x82, large, 1001);
        break;
    case 'f': /* the same in pieces */
        ws_frame(fd, 0x02, large, 600);
        ws_frame(fd, 0x80, large, 600);
        break;
    case 's': /* says it is very large */
        peer_write(fd, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffx", 11);
        break;
    case 'c': /* a secret, cut in two messages */
        ws_frame(fd, 0x81, CANARY, 7);
        ws_frame(fd, 0x81, CANARY + 7, sizeof CANARY - 1 - 7);
        break;
    case 'r': /* a reserved bit */
        ws_frame(fd, 0xc1, "x", 1);
        break;
    case 'o': /* a reserved opcode */
        ws_frame(fd, 0x83, "x", 1);
        break;
    case 'u': /* text that is not UTF-8 */
        ws_frame(fd, 0x81, "\xff\xfe", 2);
        break;
    case 'p': /* pings without an end, and it reads none of the answers */
        for (int i = 0; i < 4000000 && !atomic_load(&peer->stopping); i++)
            ws_frame(fd, 0x89, large, 125);
        return false;
    case 'm': /* more messages than anybody takes */
        for (int i = 0; i < 100000 && !atomic_load(&peer->stopping); i++)
            ws_frame(fd, 0x82, large, 1000);
        return false;
    case 'z': /* the same with messages of no bytes */
        for (int i = 0; i < 1000000 && !atomic_load(&peer->stopping); i++)
            ws_frame(fd, 0x81, "", 0);
        return false;
    case 'q': /* ends without a word */
        return false;
    case 'd': /* closes */
        ws_frame(fd, 0x88, "\x0f\xa1gone", 6);
        break;
    case 'a': /* says whether the answer is right, then sends what stands for the password */
        if (ws_read(fd, bytes, &size) == 1)
            ws_frame(fd, 0x81, size == strlen(right_message) && memcmp(bytes, right_message, size) == 0 ? "right" : "wrong", 5);
        if (ws_read(fd, bytes, &size) == 1)
            ws_frame(fd, 0x81, "YV9EQcp6IcBaFYtWlGVjSXRmJnnKFyhIuqknGhd01ac=", 44);
        break;
    default:
        break;
    }
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
    return false;
}
static struct lender lender;
static struct ifab_egress_credential credential;
static char record[100];
static void open_peer(void)
{
    struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI, .wake = wake, .user = &b->wake_fd};
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    peer_begin(&b->peer, ws_peer, NULL);
    b->port = b->peer.port;
    assert_int_equal(ifab_egress_curl_open(&settings, &b->egress, NULL), IFAB_OK);
}
static void close_peer(void)
{
    ifab_egress_close(b->egress);
    peer_end(&b->peer);
    (void)close(b->wake_fd);
}
static struct ifab_egress_request socket_request(char what)
{
    char path[20];
    (void)snprintf(path, sizeof path, "/v1/%c?x=1", what);
    struct ifab_egress_request r = usual(b, "GET", path);
    (void)snprintf(origin_text, sizeof origin_text, "ws://127.0.0.1:%u", b->port);
    (void)snprintf(url_text, sizeof url_text, "%s%s", origin_text, path);
    (void)snprintf(record, sizeof record, "%s", origin_text);
    r.url = ifab_view_str(url_text);
    assert_int_equal(ifab_origin_read(ifab_view_str(origin_text), &row.origin, NULL), IFAB_OK);
    lender = (struct lender){CANARY, record, 0, 0};
    credential = credential_of(&lender, IFAB_CREDENTIAL_BEARER, "", record);
    r.credential = &credential;
    r.response_max = 1000;
    return r;
}
static uint64_t opened(const struct ifab_egress_request *r)
{
    struct ifab_egress_event *event = asked(b, r);
    uint64_t id = event->id;
    if (event->kind != IFAB_EGRESS_OPENED)
        fail_msg("%s: kind %d: %s", url_text, event->kind, event->problem.text);
    assert_string_equal(event->address, "127.0.0.1");
    ifab_egress_event_free(event);
    return id;
}
static void last_is(uint64_t id, enum ifab_egress_failure failure, bool skip_messages)
{
    struct ifab_egress_event *event = next_event(b);
    while (skip_messages && event->kind == IFAB_EGRESS_MESSAGE) {
        ifab_egress_event_free(event);
        event = next_event(b);
    }
    if (event->id != id || event->kind != IFAB_EGRESS_FAILED || event->problem.failure != failure)
        fail_msg("%s: kind %d: %s", url_text, event->kind, event->problem.text);
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_in_flight(b->egress), 0);
}

static void messages_go_both_ways(void **state)
{
    (void)state;
    open_peer();
    struct ifab_egress_request r = socket_request('e');
    uint64_t id = opened(&r);
    assert_true(peer_saw(&b->peer, "GET /v1/e?x=1 HTTP/1.1\r\n"));
    assert_true(peer_saw(&b->peer, "Authorization: Bearer " CANARY "\r\n"));
    assert_true(peer_saw(&b->peer, "Sec-WebSocket-Version: 13\r\n"));
    for (int i = 0; i < 200; i++) {
        char text[20];
        (void)snprintf(text, sizeof text, "message %d", i);
        assert_int_equal(ifab_egress_send(b->egress, id, i % 2, ifab_view_str(text)), IFAB_OK);
        struct ifab_egress_event *event = next_event(b);
        assert_int_equal(event->kind, IFAB_EGRESS_MESSAGE);
        assert_int_equal(event->binary, i % 2);
        assert_string_equal(test_text(event->body), text);
        ifab_egress_event_free(event);
    }
    assert_int_equal(ifab_egress_shut(b->egress, id, 1000), IFAB_OK);
    struct ifab_egress_event *event = next_event(b);
    assert_int_equal(event->kind, IFAB_EGRESS_CLOSED);
    assert_int_equal(event->status, 1000);
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("x")), IFAB_NOT_FOUND);
    close_peer();
}
static void handshakes_that_are_none_are_refused(void **state)
{
    (void)state;
    open_peer();
    for (char what = 'A'; what <= 'N'; what++) {
        struct ifab_egress_request r = socket_request(what);
        uint64_t id = submitted(b, &r);
        last_is(id, what == 'J' ? IFAB_EGRESS_LEAK : IFAB_EGRESS_RESPONSE, false);
    }
    close_peer();
}
static void what_breaks_the_rules_ends_the_socket(void **state)
{
    static const struct {
        char what;
        enum ifab_egress_failure failure;
    } rows[] = {{'l', IFAB_EGRESS_RESPONSE_TOO_LARGE}, {'f', IFAB_EGRESS_RESPONSE_TOO_LARGE},
                {'s', IFAB_EGRESS_RESPONSE_TOO_LARGE}, {'c', IFAB_EGRESS_LEAK},
                {'r', IFAB_EGRESS_RESPONSE},           {'o', IFAB_EGRESS_RESPONSE},
                {'u', IFAB_EGRESS_RESPONSE},           {'q', IFAB_EGRESS_TRANSPORT}};
    (void)state;
    open_peer();
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_egress_request r = socket_request(rows[i].what);
        uint64_t id = opened(&r);
        last_is(id, rows[i].failure, true);
    }
    struct ifab_egress_request r = socket_request('d');
    (void)opened(&r);
    struct ifab_egress_event *event = next_event(b);
    assert_int_equal(event->kind, IFAB_EGRESS_CLOSED);
    assert_int_equal(event->status, 4001);
    ifab_egress_event_free(event);
    close_peer();
}
static void floods_are_cut_off(void **state)
{
    (void)state;
    open_peer();
    struct ifab_egress_request r = socket_request('m');
    uint64_t id = opened(&r);
    while (ifab_egress_in_flight(b->egress) > 0) /* nobody takes them */
        (void)usleep(1000);
    size_t bytes = 0;
    struct ifab_egress_event *event;
    while ((event = ifab_egress_take(b->egress)) != NULL && event->kind == IFAB_EGRESS_MESSAGE) {
        bytes += event->body.size;
        ifab_egress_event_free(event);
    }
    assert_true(bytes <= IFAB_EGRESS_SOCKET_QUEUE && bytes >= IFAB_EGRESS_SOCKET_QUEUE / 2);
    assert_non_null(event);
    assert_int_equal(event->id, id);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_RESPONSE_TOO_LARGE);
    ifab_egress_event_free(event);
    r = socket_request('z');
    id = opened(&r);
    while (ifab_egress_in_flight(b->egress) > 0)
        (void)usleep(1000);
    size_t count = 0;
    for (; (event = ifab_egress_take(b->egress)) != NULL && event->kind == IFAB_EGRESS_MESSAGE; count++)
        ifab_egress_event_free(event);
    assert_true(count > 0 && count <= IFAB_EGRESS_SOCKET_QUEUE / sizeof *event);
    assert_non_null(event);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_RESPONSE_TOO_LARGE);
    ifab_egress_event_free(event);
    r = socket_request('p');
    id = opened(&r);
    event = next_event(b);
    assert_int_equal(event->kind, IFAB_EGRESS_FAILED);
    ifab_egress_event_free(event);
    close_peer();
}
static void a_socket_is_under_the_same_rules(void **state)
{
    (void)state;
    open_peer();
    struct ifab_egress_request r = socket_request('e');
    r.exception_count = 0;
    refused(b, &r, IFAB_EGRESS_ADDRESS);
    r = socket_request('e');
    row.origin.scheme = IFAB_SCHEME_HTTP; /* a row for http opens no socket */
    refused(b, &r, IFAB_EGRESS_ROW);
    r = socket_request('e');
    r.dry_run = true;
    refused(b, &r, IFAB_EGRESS_DRY_RUN);
    r = socket_request('e');
    credential.origin = IFAB_VIEW("ws://127.0.0.1:1");
    refused(b, &r, IFAB_EGRESS_CREDENTIAL_ORIGIN);
    r = socket_request('e');
    r.attempts = 2;
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r = socket_request('e');
    r.timeout = IFAB_SECOND / 4; /* its whole life */
    uint64_t id = opened(&r);
    last_is(id, IFAB_EGRESS_DEADLINE, false);
    r = socket_request('e');
    id = opened(&r);
    ifab_egress_cancel(b->egress, id);
    last_is(id, IFAB_EGRESS_CANCELLED, false);
    r = socket_request('e');
    (void)opened(&r); /* closing the port ends it */
    close_peer();
}
static void a_challenge_is_answered_where_the_text_says(void **state)
{
    (void)state;
    open_peer();
    struct ifab_egress_request r = socket_request('a');
    struct ifab_egress_problem problem;
    r.credential = NULL;
    lender = (struct lender){CANARY, record, 0, 0};
    credential = credential_of(&lender, IFAB_CREDENTIAL_HMAC, "obs-websocket-5", record);
    const struct ifab_egress_answer answer = {&credential, IFAB_VIEW("salt"), IFAB_VIEW("challenge")};
    uint64_t id = opened(&r);
    static const char *const texts[] = {"{}", "", "{{answer}}{{answer}}", "{{answer}} \xff", "{{answer}", "{{ANSWER}}"};
    for (size_t i = 0; i < IFAB_COUNT(texts); i++)
        assert_int_equal(ifab_egress_send_answer(b->egress, id, ifab_view_str(texts[i]), &answer, &problem), IFAB_INVALID);
    credential.origin = IFAB_VIEW("ws://127.0.0.1:1"); /* the manifest's */
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_DENIED);
    assert_int_equal(problem.failure, IFAB_EGRESS_CREDENTIAL_ORIGIN);
    assert_true(problem.alarm);
    credential = credential_of(&lender, IFAB_CREDENTIAL_HMAC, "X-Sig", record); /* signs headers, not challenges */
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_DENIED);
    assert_int_equal(problem.failure, IFAB_EGRESS_CREDENTIAL);
    assert_int_equal(lender.asked, 0);
    credential = credential_of(&lender, IFAB_CREDENTIAL_HMAC, "obs-websocket-5", record);
    lender.origin = "wss://127.0.0.1"; /* the record's */
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_DENIED);
    assert_int_equal(problem.failure, IFAB_EGRESS_CREDENTIAL_ORIGIN);
    lender.origin = record;
    assert_int_equal(ifab_egress_send_answer(b->egress, id + 1, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_NOT_FOUND);
    assert_int_equal(lender.lent, 0);
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{\"a\":\"{{answer}}\"}"), &answer, &problem), IFAB_OK);
    assert_int_equal(lender.lent, 1);
    struct ifab_egress_event *event = next_event(b);
    assert_string_equal(test_text(event->body), "right");
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_DENIED); /* once */
    assert_int_equal(lender.lent, 1);
    assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("and now?")), IFAB_OK);
    last_is(id, IFAB_EGRESS_LEAK, false); /* what stands for the password came back */
    close_peer();
}
static void what_was_made_of_a_secret_is_not_shown(void **state)
{
    (void)state;
    open_peer();
    struct ifab_egress_request r = socket_request('e'); /* echoes */
    struct ifab_egress_problem problem;
    credential = credential_of(&lender, IFAB_CREDENTIAL_HMAC, "obs-websocket-5", record);
    refused(b, &r, IFAB_EGRESS_CREDENTIAL); /* with the handshake it does not go */
    r.credential = NULL;
    const struct ifab_egress_answer answer = {&credential, IFAB_VIEW("salt"), IFAB_VIEW("challenge")};
    uint64_t id = opened(&r);
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_OK);
    last_is(id, IFAB_EGRESS_LEAK, false);
    r.redirected = true;
    id = opened(&r);
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_DENIED);
    assert_int_equal(problem.failure, IFAB_EGRESS_REDIRECTED);
    ifab_egress_cancel(b->egress, id);
    last_is(id, IFAB_EGRESS_CANCELLED, false);
    close_peer();
}
static const struct CMUnitTest tests[] = {cmocka_unit_test(messages_go_both_ways), cmocka_unit_test(handshakes_that_are_none_are_refused),
                                          cmocka_unit_test(what_breaks_the_rules_ends_the_socket), cmocka_unit_test(floods_are_cut_off),
                                          cmocka_unit_test(a_socket_is_under_the_same_rules),
                                          cmocka_unit_test(a_challenge_is_answered_where_the_text_says), cmocka_unit_test(what_was_made_of_a_secret_is_not_shown)};
TEST_MAIN(tests)
