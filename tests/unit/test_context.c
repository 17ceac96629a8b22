/* What a request brings along for the log: references and W3C traces, taken strictly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/node.h"

static void references_are_of_two_kinds(void **state)
{
    (void)state;
    static const char *const good[] = {
        "repo:/a", "repo:/docs/rules.yaml", "repo:/src/a.c@0123abc", "repo:/x/..y/z...", "repo:/a@0123456789abcdef0123456789abcdef01234567",
        "if://agent/Finance.Agent", "if://task/T-1", "if://agent/A/1",
    };
    static const char *const bad[] = {
        "", "repo:", "repo:/", "repo:a", "repo://a", "repo:/a/", "repo:/a//b", "repo:/a/../b", "repo:/..", "repo:/.", "repo:/a/.", "repo:/a b",
        "repo:/a,b", "repo:/a@", "repo:/a@012345", "repo:/a@0123ABC", "repo:/a@0123abc@0123abc", "repo:/a\n", "repo:/a\"", "repo:/\xc3\xa9",
        "repo:/a@0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0", "Repo:/a", "http://x/y", "if:/agent/A", "if://", "if://agent/A B",
        "if://agent/A,if://agent/B", "a",
    };
    for (size_t i = 0; i < IFAB_COUNT(good); i++)
        if (!context_ref_valid(ifab_view_str(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        if (context_ref_valid(ifab_view_str(bad[i])))
            fail_msg("taken: %s", bad[i]);
    char large[600] = "repo:/";
    memset(large + 6, 'a', 506);
    assert_true(context_ref_valid(ifab_view_of(large, 512)));
    large[512] = 'a';
    assert_false(context_ref_valid(ifab_view_of(large, 513)));
}

static void trace_is_the_w3c_one_as_it_is(void **state)
{
    (void)state;
    static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static const char *const bad[] = {
        "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
    };
    uint8_t trace[16];
    assert_true(context_trace(ifab_view_str(good), trace));
    assert_memory_equal(trace, "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36", 16);
    assert_true(context_trace(IFAB_VIEW("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"), trace)); /* a later version */
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        if (context_trace(ifab_view_str(bad[i]), trace))
            fail_msg("taken: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_of_two_kinds),
        cmocka_unit_test(trace_is_the_w3c_one_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
