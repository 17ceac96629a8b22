/* Egress back-ends against their suite, and what the fault wrapper promises. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>

#include "../conformance/conformance_egress.c"

static void the_planned_call_fails(void **state)
{
    static const struct ifab_egress_scripted script[] = {{.status = 200}, {.status = 200}};
    struct egress_backend *b = &egress_backends[2];
    struct ifab_egress_problem problem;
    uint64_t id;
    (void)state;
    open_egress(b, script, 2, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    b->plan = (struct ifab_egress_fault){.at = 2, .status = IFAB_NOMEM};
    answered(b, &r, 200, "");
    assert_int_equal(ifab_egress_submit(b->egress, &r, &id, &problem), IFAB_NOMEM);
    assert_int_equal(ifab_egress_in_flight(b->egress), 0);
    b->plan = (struct ifab_egress_fault){.at = 1, .status = IFAB_OK};
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_TRANSPORT);
    assert_true(event->maybe_sent);
    ifab_egress_event_free(event);
    answered(b, &r, 200, "");
    close_egress(b);
}
static void a_scripted_socket_opens_answers_and_closes(void **state)
{
    static const struct ifab_egress_scripted script[] = {{.body = {(const uint8_t *)"one", 3}}, {.body = {(const uint8_t *)"two", 3}}};
    struct egress_backend *b = &egress_backends[0];
    (void)state;
    open_egress(b, script, 2, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    memcpy(url_text, "ws:", 3);
    memmove(url_text + 3, url_text + 5, strlen(url_text + 5) + 1);
    r.url = ifab_view_str(url_text);
    refused(b, &r, IFAB_EGRESS_ROW); /* the row says http */
    row.origin.scheme = IFAB_SCHEME_WS;
    struct ifab_egress_event *event = asked(b, &r);
    uint64_t id = event->id;
    assert_int_equal(event->kind, IFAB_EGRESS_OPENED);
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("\xff")), IFAB_INVALID);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("hi")), IFAB_OK);
        event = next_event(b);
        assert_int_equal(event->kind, IFAB_EGRESS_MESSAGE);
        assert_string_equal(test_text(event->body), i == 0 ? "one" : "two");
        ifab_egress_event_free(event);
    }
    assert_int_equal(ifab_egress_shut(b->egress, id, 1006), IFAB_INVALID);
    assert_int_equal(ifab_egress_shut(b->egress, id, 1000), IFAB_OK);
    event = next_event(b);
    assert_int_equal(event->kind, IFAB_EGRESS_CLOSED);
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("hi")), IFAB_NOT_FOUND);
    close_egress(b);
}
static void a_scripted_socket_answers_a_challenge(void **state)
{
    static const struct ifab_egress_scripted script[] = {{.body = {(const uint8_t *)"hello", 5}}, {.body = {(const uint8_t *)"pw: " CANARY, 22}}};
    struct egress_backend *b = &egress_backends[0];
    char socket_origin[100];
    struct ifab_egress_problem problem;
    (void)state;
    open_egress(b, script, 2, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    (void)snprintf(socket_origin, sizeof socket_origin, "ws%s", origin_text + 4);
    memcpy(url_text, "ws:", 3);
    memmove(url_text + 3, url_text + 5, strlen(url_text + 5) + 1);
    r.url = ifab_view_str(url_text);
    row.origin.scheme = IFAB_SCHEME_WS;
    struct lender l = {CANARY, socket_origin, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_HMAC, "obs-websocket-5", socket_origin);
    const struct ifab_egress_answer answer = {&c, IFAB_VIEW("salt"), IFAB_VIEW("challenge")};
    struct ifab_egress_event *event = asked(b, &r);
    uint64_t id = event->id;
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_send_answer(b->egress, id, IFAB_VIEW("{{answer}}"), &answer, &problem), IFAB_OK);
    event = next_event(b);
    assert_string_equal(test_text(event->body), "hello");
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("hi")), IFAB_OK);
    event = next_event(b);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_LEAK);
    ifab_egress_event_free(event);
    close_egress(b);
}
static const struct CMUnitTest tests[] = {EGRESS_CONFORMANCE, cmocka_unit_test(the_planned_call_fails),
                                          cmocka_unit_test(a_scripted_socket_opens_answers_and_closes),
                                          cmocka_unit_test(a_scripted_socket_answers_a_challenge)};
TEST_MAIN(tests)
