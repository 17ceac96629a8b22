/* What a guest's output says: taken as the ABI has it, refused else, redacted. docs/formats/guest-abi.md */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "guest/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ifab_arena arena;
static struct ifab_guest_answer answer;

static bool read_as(enum ifab_guest_task task, const char *text)
{
    ifab_arena_fini(&arena);
    ifab_arena_init(&arena, (size_t)8 << 20);
    memset(&answer, 0, sizeof answer);
    return ifab_guest_read(task, ifab_view_str(text), &arena, &answer);
}

static void takes_what_the_abi_has(void **state)
{
    (void)state;
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"result\":{\"b\":2,\"a\":1}}"));
    assert_int_equal(answer.end, IFAB_CALL_OK);
    assert_true(ifab_view_is(answer.output, "{\"a\":1,\"b\":2}")); /* canonical: it is hashed and kept */
    assert_true(read_as(IFAB_GUEST_HEALTH, "{\"result\":null,\"cost\":{\"usd_micro\":7,\"calls\":2}}"));
    assert_true(answer.has_cost && answer.cost.usd_micro == 7 && answer.cost.calls == 2);
    assert_true(answer.cost.has_usd);
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"result\":1,\"cost\":{}}"));
    assert_false(answer.has_cost); /* says nothing: it is as it was planned, not free */
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"result\":1,\"cost\":{\"calls\":3}}"));
    assert_true(answer.has_cost && !answer.cost.has_usd && answer.cost.calls == 3);
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"result\":1,\"cost\":{\"tokens_in\":4,\"tokens_out\":5}}"));
    assert_true(answer.has_cost && !answer.cost.has_usd && answer.cost.tokens_in == 4 && answer.cost.tokens_out == 5);
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"result\":1,\"cost\":{\"usd_micro\":0}}"));
    assert_true(answer.has_cost && answer.cost.has_usd && answer.cost.usd_micro == 0);
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"result\":[1,\"x\"]}"));
    assert_true(read_as(IFAB_GUEST_PLAN, "{\"summary\":\"cut to 3\",\"effects\":[{\"type\":\"http.get\",\"target\":\"http://x\"}]}"));
    assert_true(ifab_view_is(answer.summary, "cut to 3"));
    assert_true(read_as(IFAB_GUEST_APPLY, "{\"error\":{\"kind\":\"caller\",\"message\":\"no such input\"}}"));
    assert_int_equal(answer.end, IFAB_CALL_CALLER);
    assert_true(ifab_view_is(answer.text, "no such input"));
    assert_true(read_as(IFAB_GUEST_PLAN, "{\"error\":{\"kind\":\"transient\",\"message\":\"\"}}"));
    assert_int_equal(answer.end, IFAB_CALL_PROVIDER);
}

static void refuses_everything_else(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "{", "null", "[]", "{}", "{\"result\":1,\"more\":2}", "{\"results\":1}", "{\"result\":1}x", "\xff", "{\"result\":1,\"result\":2}",
        "{\"error\":{\"kind\":\"other\",\"message\":\"x\"}}", "{\"error\":{\"kind\":\"caller\"}}", "{\"error\":{\"kind\":\"caller\",\"message\":\"x\"},\"result\":1}",
        "{\"error\":\"x\"}", "{\"result\":1,\"cost\":{\"usd_micro\":-1}}", "{\"result\":1,\"cost\":{\"usd_micro\":1.5}}", "{\"result\":1,\"cost\":{\"dollars\":1}}",
    };
    for (size_t i = 0; i < IFAB_COUNT(wrong); i++)
        if (read_as(IFAB_GUEST_APPLY, wrong[i]))
            fail_msg("taken: %s", wrong[i]);
    assert_false(read_as(IFAB_GUEST_PLAN, "{\"result\":1}"));
    assert_false(read_as(IFAB_GUEST_PLAN, "{\"summary\":\"x\"}"));
    assert_false(read_as(IFAB_GUEST_APPLY, "{\"summary\":\"x\",\"effects\":[]}"));
}

static void nothing_secret_comes_through(void **state) /* INV-09 */
{
    (void)state;
    static const char secret[] = "sk_live_4242424242424242deadbeef";
    char text[512];
    snprintf(text, sizeof text, "{\"result\":{\"note\":\"key is %s\",\"password\":\"hunter2hunter2\"}}", secret);
    assert_true(read_as(IFAB_GUEST_APPLY, text));
    assert_null(memmem(answer.output.data, answer.output.size, secret, strlen(secret)));
    assert_null(memmem(answer.output.data, answer.output.size, "hunter2", 7));
    snprintf(text, sizeof text, "{\"error\":{\"kind\":\"provider\",\"message\":\"Bearer %s was refused\"}}", secret);
    assert_true(read_as(IFAB_GUEST_APPLY, text));
    assert_null(memmem(answer.text.data, answer.text.size, secret, strlen(secret)));
    snprintf(text, sizeof text, "{\"summary\":\"with %s\",\"effects\":[]}", secret);
    assert_true(read_as(IFAB_GUEST_PLAN, text));
    assert_null(memmem(answer.summary.data, answer.summary.size, secret, strlen(secret)));
}

static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    char text[700] = "{\"error\":{\"kind\":\"provider\",\"message\":\"";
    for (size_t i = 0; i < 170; i++)
        memcpy(text + strlen(text), "\xe2\x82\xac", 4); /* 3 bytes each, and the NUL */
    memcpy(text + strlen(text), "\"}}", 4);
    assert_true(read_as(IFAB_GUEST_APPLY, text));
    assert_true(answer.text.size <= 256 && answer.text.size % 3 == 0 && answer.text.size > 250);
}

static int end(void **state)
{
    (void)state;
    ifab_arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_the_abi_has),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(nothing_secret_comes_through),
        cmocka_unit_test(texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
