/* The guest SDK on this machine: its JSON, and the example lamp from input to answer with every host answer. INV-08, INV-15 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "host_platform.h"
#include "support.h"

static int reset(void **state)
{
    (void)state;
    ifg_test_reset();
    ifg_test_host = NULL;
    return 0;
}

static struct ifg_view view(const char *text) { return ifg_view_str(text); }
#define assert_view(view_, text_)                                                                         \
    do {                                                                                                  \
        struct ifg_view got_ = (view_);                                                                   \
        assert_string_equal(test_text((struct ifab_view){(const uint8_t *)got_.data, got_.size}), text_); \
    } while (0)

static void json_is_checked_strictly(void **state)
{
    (void)state;
    static const char *const good[] = {"null",
                                       " true ",
                                       "0",
                                       "-0",
                                       "-12.5e+3",
                                       "\"\"",
                                       "\"\\u00e9\\n\\/\"",
                                       "[]",
                                       "{}",
                                       "[1,[2,{}],{\"a\":[]}]",
                                       "{\"a\":1,\"a\":2}",
                                       "\"\xc3\xa9\"",
                                       "\"\\ud83d\\ude00\""};
    static const char *const bad[] = {"",
                                      " ",
                                      "nul",
                                      "nulll",
                                      "+1",
                                      "01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "--1",
                                      "\"",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\ud83d\"",
                                      "\"\\ude00\"",
                                      "\"\t\"",
                                      "\"\xc3\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xf5\x80\x80\x80\"",
                                      "[",
                                      "]",
                                      "[1",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{",
                                      "{1:2}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{\"a\" 1}",
                                      "[}",
                                      "{]",
                                      "{}{}",
                                      "1 2",
                                      "[\"a\":1]",
                                      "\xef\xbb\xbf{}",
                                      "//\n1",
                                      "NaN",
                                      "'a'"};
    for (size_t i = 0; i < IFAB_COUNT(good); i++)
        if (!ifg_json_check(view(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        if (ifg_json_check(view(bad[i])))
            fail_msg("taken: %s", bad[i]);
    for (int depth = 31; depth < 35; depth++) {
        char text[128] = "";
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        assert_int_equal(ifg_json_check((struct ifg_view){text, 2 * (size_t)depth}), depth <= IFG_JSON_MAX_DEPTH);
    }
}

static void json_is_read_without_a_tree(void **state)
{
    (void)state;
    struct ifg_view doc = view(" {\"n\": -9223372036854775808, \"t\\u0065xt\": \"a\\\"\\u00e9\\ud83d\\ude00\", \"list\": [1, \"x\", {\"y\": "
                               "[true]}], \"twice\": 1, \"twice\": 2,"
                               "\"big\": 9223372036854775808, \"frac\": 1.5, \"exp\": 1e2, \"no\": null, \"in\": {\"n\": 5}} ");
    struct ifg_view text, name, value;
    int64_t number = 0;
    bool yes = false;
    assert_true(ifg_json_check(doc));
    assert_true(ifg_json_i64(ifg_json_member(doc, "n"), &number) && number == INT64_MIN);
    assert_true(ifg_json_string(ifg_json_member(doc, "text"), &text));
    assert_view(text, "a\"\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(ifg_json_type(ifg_json_member(doc, "twice")), IFG_JSON_NONE);
    assert_int_equal(ifg_json_type(ifg_json_member(doc, "none")), IFG_JSON_NONE);
    assert_int_equal(ifg_json_type(ifg_json_member(doc, "tex")), IFG_JSON_NONE);
    assert_int_equal(ifg_json_type(ifg_json_member(doc, "no")), IFG_JSON_NULL);
    static const char *const no_numbers[] = {"big", "frac", "exp", "text", "no", "list", "none"};
    for (size_t i = 0; i < IFAB_COUNT(no_numbers); i++)
        assert_false(ifg_json_i64(ifg_json_member(doc, no_numbers[i]), &number));
    assert_int_equal(ifg_json_i64_of(ifg_json_member(doc, "in"), "n", 0), 5);
    assert_int_equal(ifg_json_i64_of(doc, "none", 7), 7);
    size_t at = 0, count = 0;
    for (struct ifg_view list = ifg_json_member(doc, "list"); ifg_json_next(list, &at, &name, &value); count++)
        assert_int_equal(name.size, 0);
    assert_int_equal(count, 3);
    assert_view(value, "{\"y\": [true]}");
    at = 0;
    assert_true(ifg_json_next(ifg_json_member(value, "y"), &at, &name, &value) && ifg_json_bool(value, &yes) && yes);
}

static void json_is_written_with_its_commas(void **state)
{
    (void)state;
    struct ifg_writer w = {.depth = 0};
    ifg_begin_object(&w);
    ifg_name(&w, "a\"");
    ifg_begin_array(&w);
    ifg_i64(&w, INT64_MIN);
    ifg_text(&w, view("\\\x01\x1f\xc3\xa9"));
    ifg_begin_object(&w);
    ifg_end_object(&w);
    ifg_bool(&w, false);
    ifg_end_array(&w);
    assert_false(ifg_writer_done(&w));
    ifg_name(&w, "b");
    ifg_null(&w);
    ifg_name(&w, "c");
    ifg_raw(&w, view("[1 , 2]"));
    ifg_end_object(&w);
    assert_true(ifg_writer_done(&w));
    assert_view(ifg_buf_view(&w.out), "{\"a\\\"\":[-9223372036854775808,\"\\\\\\u0001\\u001f\xc3\xa9\",{},false],\"b\":null,\"c\":[1 , 2]}");
    assert_true(ifg_json_check(ifg_buf_view(&w.out)));
}

static void writer_misuse_is_no_document(void **state)
{
    (void)state;
#define MISUSE(...)                         \
    do {                                    \
        struct ifg_writer w = {.depth = 0}; \
        __VA_ARGS__;                        \
        assert_false(ifg_writer_done(&w));  \
    } while (0)
    MISUSE((void)0);
    MISUSE(ifg_i64(&w, 1), ifg_i64(&w, 2));
    MISUSE(ifg_begin_object(&w), ifg_i64(&w, 1), ifg_end_object(&w));
    MISUSE(ifg_begin_object(&w), ifg_name(&w, "a"), ifg_end_object(&w));
    MISUSE(ifg_begin_object(&w), ifg_name(&w, "a"), ifg_name(&w, "b"), ifg_null(&w), ifg_end_object(&w));
    MISUSE(ifg_begin_object(&w), ifg_end_array(&w));
    MISUSE(ifg_begin_array(&w), ifg_name(&w, "a"), ifg_end_array(&w));
    MISUSE(ifg_end_object(&w));
    MISUSE(ifg_text(&w, view("\xff")));
    MISUSE(ifg_raw(&w, view("{")));
    MISUSE(for (int i = 0; i < 33; i++) ifg_begin_array(&w); for (int i = 0; i < 33; i++) ifg_end_array(&w));
    MISUSE(w.out.limit = 8, ifg_text(&w, view("more than that")));
}

static void base64_and_percent_are_canonical(void **state)
{
    (void)state;
    static const char *const bad[] = {"A", "AA", "AAA", "A===", "AA=A", "AB==", "AAB=", "AA==AAAA", "AA-_", "AAA\n"};
    struct test_random random = {1};
    for (size_t size = 0; size < 100; size++) {
        char bytes[100];
        struct ifg_buf text = {.limit = 0}, back = {.limit = 0};
        test_random_bytes(&random, bytes, size);
        ifg_buf_base64(&text, (struct ifg_view){bytes, size});
        assert_true(ifg_buf_base64_decode(&back, ifg_buf_view(&text)));
        assert_true(ifg_equal(ifg_buf_view(&back), (struct ifg_view){bytes, size}));
    }
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        struct ifg_buf back = {.limit = 0};
        assert_false(ifg_buf_base64_decode(&back, view(bad[i])));
        assert_int_equal(back.size, 0);
    }
    struct ifg_buf text = {.limit = 0};
    ifg_buf_percent(&text, view("a b/c?d=e&f~\xc3\xa9%"));
    assert_view(ifg_buf_view(&text), "a%20b%2Fc%3Fd%3De%26f~%C3%A9%25");
}

/* ---- the lamp ---- */
#define CONTEXT "\"context\":{\"config\":{\"url\":\"https://lamp.example\"}}}"
#define SWITCH  "{\"operation\":\"switch\",\"params\":{\"on\":true}," CONTEXT

static struct {
    const char *response; /* of http */
    int64_t http_result, secret_result, kv_result;
    char asked[512], logged[64], kept[32];
} host;

static void answer(struct ifg_test_ask *ask)
{
    ask->result = 0;
    if (strcmp(ask->import, "secret_ref") == 0) {
        assert_view(ask->a, "lamp");
        ask->answer = view("handle-1");
        ask->result = host.secret_result;
    } else if (strcmp(ask->import, "http") == 0) {
        snprintf(host.asked, sizeof host.asked, "%.*s", (int)ask->a.size, ask->a.data);
        ask->answer = view(host.response);
        ask->result = host.http_result;
    } else if (strcmp(ask->import, "kv_put") == 0) {
        snprintf(host.kept, sizeof host.kept, "%.*s=%.*s", (int)ask->a.size, ask->a.data, (int)ask->b.size, ask->b.data);
        ask->result = host.kv_result;
    } else {
        assert_string_equal(ask->import, "log");
        snprintf(host.logged, sizeof host.logged, "%u %.*s", (unsigned)ask->number, (int)ask->a.size, ask->a.data);
    }
}

static const char *run(char mode, const char *input) { return ifg_test_run(mode, input, strlen(input)).data; }

static void a_lamp_plans_without_the_host(void **state)
{
    (void)state;
    assert_string_equal(run('p', SWITCH),
                        "{\"summary\":\"switch the lamp on\",\"effects\":[{\"type\":\"http.post\",\"target\":\"https://lamp.example/state\"}]}");
    assert_string_equal(run('p', "{\"operation\":\"explode\",\"params\":{}," CONTEXT),
                        "{\"error\":{\"kind\":\"caller\",\"message\":\"no such operation\"}}");
}

static void a_lamp_is_switched(void **state)
{
    (void)state;
    memset(&host, 0, sizeof host);
    host.response = "{\"status\":200,\"headers\":{},\"body\":\"{\\\"on\\\":true}\"}";
    ifg_test_host = answer;
    assert_string_equal(run('a', SWITCH), "{\"result\":{\"on\":true}}");
    assert_string_equal(host.asked, "{\"method\":\"POST\",\"url\":\"https://lamp.example/state\",\"headers\":{\"content-type\":\"application/json\"},"
                                    "\"body\":\"{\\\"on\\\":true}\",\"secret\":\"handle-1\"}");
    assert_string_equal(host.kept, "last=on");
    assert_string_equal(host.logged, "1 the lamp answered");
    host.response = "{\"status\":200,\"headers\":{},\"body_b64\":\"eyJvbiI6ZmFsc2V9\"}";
    assert_string_equal(run('a', "{\"operation\":\"status\",\"params\":{}," CONTEXT), "{\"result\":{\"on\":false}}");
}

static void a_lamp_is_healthy_when_it_is_configured(void **state)
{
    (void)state;
    assert_string_equal(run('h', "{\"operation\":\"health\",\"params\":{}," CONTEXT), "{\"result\":null}"); /* only the lamp could say */
    assert_string_equal(run('h', "{\"operation\":\"health\",\"params\":{},\"context\":{}}"),
                        "{\"error\":{\"kind\":\"caller\",\"message\":\"the configuration has no url\"}}");
}

static void what_fails_around_a_lamp_is_its_answer(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        int64_t http, secret, kv;
        const char *kind;
    } cases[] = {
        {"", 0, -2, 0, "provider"},
        {"", -1, 0, 0, "provider"},
        {"", -4, 0, 0, "transient"},
        {"", -5, 0, 0, "transient"},
        {"", -99, 0, 0, "transient"}, /* a number that means nothing */
        {"{\"error\":{\"code\":\"IF_ERR_003\",\"message\":\"no\"}}", 0, 0, 0, "provider"},
        {"{\"error\":{\"code\":\"IF_ERR_502\",\"message\":\"late\"}}", 0, 0, 0, "transient"},
        {"not JSON", 0, 0, 0, "transient"},
        {"{\"status\":200}", 0, 0, 0, "transient"},
        {"{\"status\":99,\"headers\":{},\"body\":\"\"}", 0, 0, 0, "transient"},
        {"{\"status\":200,\"headers\":{},\"body_b64\":\"A\"}", 0, 0, 0, "transient"},
        {"{\"status\":503,\"headers\":{},\"body\":\"\"}", 0, 0, 0, "transient"},
        {"{\"status\":404,\"headers\":{},\"body\":\"\"}", 0, 0, 0, "provider"},
        {"{\"status\":200,\"headers\":{},\"body\":\"hello\"}", 0, 0, 0, "provider"},
        {"{\"status\":200,\"headers\":{},\"body\":\"{\\\"on\\\":true}\"}", 0, 0, -4, "transient"},
    };
    ifg_test_host = answer;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        memset(&host, 0, sizeof host);
        host.response = cases[i].response;
        host.http_result = cases[i].http;
        host.secret_result = cases[i].secret;
        host.kv_result = cases[i].kv;
        struct ifg_view error = ifg_json_member(view(run('a', SWITCH)), "error");
        assert_view(ifg_json_text_of(error, "kind", IFG_VIEW("")), cases[i].kind);
        assert_true(ifg_json_text_of(error, "message", IFG_VIEW("")).size > 0);
    }
}

/* ---- WebSockets ---- */

static void a_socket_is_opened_used_and_closed(void **state)
{
    (void)state;
    struct ifg_socket socket = {0};
    struct ifg_ws_message message;
    struct ifg_host_error error;
    const struct ifg_http_request request = {.url = IFG_VIEW("ws://a.example/"), .secret = IFG_VIEW("handle-1")};
    const struct ifg_challenge challenge = {IFG_VIEW("handle-2"), IFG_VIEW("s\""), IFG_VIEW("c")};
    memset(&host, 0, sizeof host);
    ifg_test_host = answer;
    host.response = "{\"headers\":{},\"socket\":2,\"status\":101}";
    assert_true(ifg_ws_open(&request, &socket, &error));
    assert_int_equal(socket.number, 2);
    assert_string_equal(host.asked, "{\"method\":\"GET\",\"url\":\"ws://a.example/\",\"headers\":{},\"secret\":\"handle-1\"}");
    host.response = "{\"socket\":2}";
    assert_true(ifg_ws_send(&socket, IFG_VIEW("hi"), &error));
    assert_string_equal(host.asked, "{\"socket\":2,\"send\":\"hi\"}");
    assert_true(ifg_ws_send_bytes(&socket, IFG_VIEW("\xff"), &error));
    assert_string_equal(host.asked, "{\"socket\":2,\"send_b64\":\"/w==\"}");
    assert_true(ifg_ws_send_answer(&socket, IFG_VIEW("{{answer}}"), &challenge, &error));
    assert_string_equal(host.asked, "{\"socket\":2,\"send\":\"{{answer}}\",\"answer\":{\"secret\":\"handle-2\",\"salt\":\"s\\\"\",\"challenge\":\"c\"}}");
    assert_true(ifg_ws_receive(&socket, 1500, &message, &error));
    assert_string_equal(host.asked, "{\"socket\":2,\"receive\":1500}");
    assert_int_equal(message.kind, IFG_WS_NOTHING);
    host.response = "{\"binary\":false,\"message\":\"caf\\u00e9\",\"socket\":2}";
    assert_true(ifg_ws_receive(&socket, 0, &message, &error));
    assert_int_equal(message.kind, IFG_WS_TEXT);
    assert_view(message.data, "caf\xc3\xa9");
    host.response = "{\"binary\":true,\"message_b64\":\"/w==\",\"socket\":2}";
    assert_true(ifg_ws_receive(&socket, 0, &message, &error));
    assert_int_equal(message.kind, IFG_WS_BYTES);
    assert_view(message.data, "\xff");
    host.response = "{\"closed\":4009,\"socket\":2}";
    assert_true(ifg_ws_receive(&socket, 0, &message, &error));
    assert_int_equal(message.kind, IFG_WS_CLOSED);
    assert_int_equal(message.code, 4009);
    assert_true(ifg_ws_close(&socket, &error));
    assert_string_equal(host.asked, "{\"socket\":2,\"close\":true}");
    assert_int_equal(socket.number, 0);
}

static void what_is_no_answer_of_a_socket_is_unreadable(void **state)
{
    (void)state;
    static const char *const openings[] = {"{\"status\":200,\"headers\":{},\"body\":\"\"}", "{\"status\":101,\"headers\":{}}",
                                           "{\"status\":101,\"socket\":0}", "{\"status\":101,\"socket\":4294967296}", "[]", "{"};
    static const char *const messages[] = {"{\"message\":1,\"socket\":2}", "{\"message_b64\":\"A\",\"socket\":2}", "{"};
    struct ifg_socket socket = {2};
    struct ifg_ws_message message;
    struct ifg_host_error error;
    const struct ifg_http_request request = {.url = IFG_VIEW("ws://a.example/")};
    memset(&host, 0, sizeof host);
    ifg_test_host = answer;
    for (size_t i = 0; i < IFAB_COUNT(openings); i++) {
        host.response = openings[i];
        assert_false(ifg_ws_open(&request, &socket, &error));
        assert_int_equal(error.refusal, IFG_UNREADABLE);
    }
    for (size_t i = 0; i < IFAB_COUNT(messages); i++) {
        host.response = messages[i];
        assert_false(ifg_ws_receive(&socket, 0, &message, &error));
        assert_int_equal(error.refusal, IFG_UNREADABLE);
    }
    assert_false(ifg_ws_send(&socket, IFG_VIEW("\xff"), &error)); /* no text */
    assert_view(error.code, "IF_ERR_208");
    host.response = "{\"error\":{\"code\":\"IF_ERR_109\",\"message\":\"large\"}}";
    assert_false(ifg_ws_receive(&socket, 0, &message, &error));
    assert_view(error.code, "IF_ERR_109");
}

static void what_is_no_call_is_refused(void **state)
{
    (void)state;
    static const char *const inputs[] = {"",
                                         "{",
                                         "[]",
                                         "{}",
                                         "{\"operation\":1,\"params\":{},\"context\":{}}",
                                         "{\"operation\":\"switch\",\"params\":[],\"context\":{}}",
                                         "{\"operation\":\"switch\",\"params\":{}}",
                                         "{\"operation\":\"a\",\"operation\":\"b\",\"params\":{},\"context\":{}}"};
    for (size_t i = 0; i < IFAB_COUNT(inputs); i++)
        assert_string_equal(run('a', inputs[i]), "{\"error\":{\"kind\":\"caller\",\"message\":\"input is no call of guest ABI v1\"}}");
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    static char response[2100];
    size_t at = (size_t)snprintf(response, sizeof response, "{\"error\":{\"code\":\"IF_ERR_003\",\"message\":\"x");
    for (size_t i = 0; i < 900; i++, at += 2)
        memcpy(response + at, "\xc3\xa9", 2);
    snprintf(response + at, sizeof response - at, "\"}}");
    memset(&host, 0, sizeof host);
    host.response = response;
    ifg_test_host = answer;
    struct ifg_view message = ifg_json_text_of(ifg_json_member(view(run('a', SWITCH)), "error"), "message", IFG_VIEW(""));
    assert_int_equal(message.size, 511); /* 512 would cut the last one in two */
}

static void the_first_failure_is_kept(void **state)
{
    (void)state;
    struct ifg_answer failed = {.failed = false};
    ifg_fail(&failed, IFG_CALLER, "first");
    ifg_fail(&failed, IFG_PROVIDER, "second");
    assert_int_equal(failed.kind, IFG_CALLER);
    assert_view(failed.message, "first");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_teardown(json_is_checked_strictly, reset),
    cmocka_unit_test_teardown(json_is_read_without_a_tree, reset),
    cmocka_unit_test_teardown(json_is_written_with_its_commas, reset),
    cmocka_unit_test_teardown(writer_misuse_is_no_document, reset),
    cmocka_unit_test_teardown(base64_and_percent_are_canonical, reset),
    cmocka_unit_test_teardown(a_socket_is_opened_used_and_closed, reset),
    cmocka_unit_test_teardown(what_is_no_answer_of_a_socket_is_unreadable, reset),
    cmocka_unit_test_teardown(a_lamp_plans_without_the_host, reset),
    cmocka_unit_test_teardown(a_lamp_is_switched, reset),
    cmocka_unit_test_teardown(a_lamp_is_healthy_when_it_is_configured, reset),
    cmocka_unit_test_teardown(what_fails_around_a_lamp_is_its_answer, reset),
    cmocka_unit_test_teardown(what_is_no_call_is_refused, reset),
    cmocka_unit_test_teardown(a_long_message_is_cut_between_characters, reset),
    cmocka_unit_test_teardown(the_first_failure_is_kept, reset),
};
TEST_MAIN(tests)
