/* Which answers to a message are about it: the id that was sent, and its digest where the answer tells one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "answer.h"

#define ID      "msg-01930000-0000-7000-8000-000000000001"
#define OTHER   "msg-01930000-0000-7000-8000-000000000000"
#define HEX(d)  d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d
#define DIGEST  "sha256:" HEX("ab")
#define DENYING "{\"decision\":\"DENY\",\"id\":\"" ID "\""

static void a_decision_names_the_message_that_was_sent(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool another;
    } cases[] = {
        {"{\"decision\":\"SHARE\",\"id\":\"" ID "\",\"message_digest\":\"" DIGEST "\"}", false},
        {DENYING "}", false}, /* tells no digest */
        {"{\"decision\":\"SHARE\",\"id\":\"" OTHER "\",\"message_digest\":\"" DIGEST "\"}", true},
        {"{\"decision\":\"SHARE\",\"id\":\"" ID "\",\"message_digest\":\"sha256:" HEX("ac") "\"}", true},
        {DENYING ",\"message_digest\":\"\"}", true},
        {DENYING ",\"message_digest\":null}", true},
        {DENYING ",\"message_digest\":\"" HEX("ab") "\"}", true},
        {DENYING ",\"message_digest\":\"sha256:" HEX("AB") "\"}", true},
        {"{\"decision\":\"SHARE\"}", true},
        {"{\"decision\":\"SHARE\",\"id\":5}", true},
        {"{\"decision\":\"SHARE\",\"id\":\"\"}", true},
        {"{\"decision\":\"SHARE\",\"id\":\"" ID "0\"}", true},
        {"{\"decision\":null,\"id\":\"" OTHER "\"}", true},
        {"{\"error\":{\"code\":\"IF_ERR_302\"}}", false}, /* these hold no decision: whoever asked says what is wrong with them */
        {"{}", false},
        {"[]", false},
        {"", false},
        {"no JSON", false},
    };
    uint8_t digest32[32];
    memset(digest32, 0xab, sizeof digest32);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (answer_about_another(ID, digest32, ifab_view_str(cases[i].body)) != cases[i].another)
            fail_msg("%s", cases[i].body);
}

static void what_is_not_known_is_not_compared(void **state)
{
    (void)state;
    uint8_t digest32[32] = {0};
    const struct ifab_view share = ifab_view_str("{\"decision\":\"SHARE\",\"id\":\"" ID "\",\"message_digest\":\"" DIGEST "\"}");
    assert_false(answer_about_another(ID, NULL, share));
    assert_true(answer_about_another(ID, digest32, share));
    assert_true(answer_about_another(OTHER, NULL, share));
    assert_false(answer_about_another(NULL, digest32, share)); /* no message was sent */
}

static void a_message_without_an_id_has_no_answer(void **state)
{
    (void)state;
    assert_true(answer_about_another("", NULL, ifab_view_str("{\"decision\":\"SHARE\",\"id\":\"\"}")));
    assert_true(answer_about_another("", NULL, ifab_view_str("{\"decision\":\"SHARE\",\"id\":\"" ID "\"}")));
    assert_false(answer_about_another("", NULL, ifab_view_str("{\"error\":{}}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decision_names_the_message_that_was_sent),
        cmocka_unit_test(what_is_not_known_is_not_compared),
        cmocka_unit_test(a_message_without_an_id_has_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
