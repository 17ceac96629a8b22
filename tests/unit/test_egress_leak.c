/* Live secrets in answers: every form that is looked for, across every border of chunks. INV-09 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/leak.h"
#include "support.h"

static const char secret[] = "s3cr3t/Key+with \"all\" of=it\xc3\xa4";

static struct ifab_leak_set *set_of(struct ifab_view value)
{
    struct ifab_leak_set *set = NULL;
    assert_int_equal(ifab_leak_set_new(&set), IFAB_OK);
    assert_int_equal(ifab_leak_set_add(set, value), IFAB_OK);
    assert_int_equal(ifab_leak_set_seal(set), IFAB_OK);
    return set;
}
static bool found_in_chunks(const struct ifab_leak_set *set, struct ifab_view text, size_t chunk)
{
    struct ifab_leak_scanner scanner;
    ifab_leak_begin(&scanner, set);
    for (size_t i = 0; i < text.size; i += chunk)
        (void)ifab_leak_feed(&scanner, ifab_view_of(text.data + i, text.size - i < chunk ? text.size - i : chunk));
    return ifab_leak_end(&scanner);
}
static void is_found(const char *form, struct ifab_view text)
{
    struct ifab_leak_set *set = set_of(ifab_view_of(secret, sizeof secret - 1));
    struct ifab_buf around = IFAB_BUF_INIT(10000);
    ifab_buf_str(&around, "{\"x\":\"");
    ifab_buf_view(&around, text);
    ifab_buf_str(&around, "\"}");
    for (size_t chunk = 1; chunk <= around.size; chunk++) {
        if (!found_in_chunks(set, ifab_buf_as_view(&around), chunk) || !found_in_chunks(set, text, chunk))
            fail_msg("%s: not found in chunks of %zu", form, chunk);
    }
    /* one byte less is nothing */
    assert_false(found_in_chunks(set, ifab_view_of(secret, sizeof secret - 2), 1000));
    ifab_buf_fini(&around);
    ifab_leak_set_free(set);
}
static void finds_every_form(void **state)
{
    const uint8_t *bytes = (const uint8_t *)secret;
    size_t size = sizeof secret - 1;
    struct ifab_buf text = IFAB_BUF_INIT(10000);
    (void)state;
    is_found("raw", ifab_view_of(secret, size));
    for (int form = 0; form < 9; form++) {
        static const char *const names[] = {"reversed", "hex", "HEX", "HeX", "percent", "percent of some", "percent twice", "JSON \\u", "lines"};
        ifab_buf_clear(&text);
        for (size_t i = 0; i < size; i++) {
            uint8_t c = form == 0 ? bytes[size - 1 - i] : bytes[i];
            if (form == 0)
                ifab_buf_put(&text, &c, 1);
            else if (form <= 2)
                ifab_buf_format(&text, form == 1 ? "%02x" : "%02X", c);
            else if (form == 3)
                ifab_buf_format(&text, i % 2 ? "%02x" : "%02X", c);
            else if (form == 4 || (form == 5 && i % 3 == 1))
                ifab_buf_format(&text, i % 2 ? "%%%02x" : "%%%02X", c);
            else if (form == 6)
                ifab_buf_format(&text, "%%25%02x", c);
            else if (form == 7 && c < 0x80)
                ifab_buf_format(&text, "\\u%04x", c);
            else if (form == 8)
                ifab_buf_format(&text, i % 5 == 4 ? "%c\r\n" : "%c", c);
            else
                ifab_buf_put(&text, &c, 1);
        }
        is_found(names[form], ifab_buf_as_view(&text));
    }
    ifab_buf_fini(&text);
    is_found("JSON", IFAB_VIEW("s3cr3t\\/Key+with \\\"all\\\" of=it\\u00E4"));
    is_found("form", IFAB_VIEW("s3cr3t%2FKey+with+%22all%22+of=it%C3%A4"));
    is_found("HTML", IFAB_VIEW("s3cr3t/Key+with &quot;all&quot; of=it\xc3\xa4"));
    is_found("HTML, all of it", IFAB_VIEW("&#115;&#x33;c&#114;3t/Key&#43;with &#34;all&#x22; of&#0061;it&#228;"));
    is_found("XML", IFAB_VIEW("s3cr3t/Key+with &quot;all&#X22; of=it&#xE4;"));
    is_found("JSON then percent", IFAB_VIEW("s3cr3t\\u00252FKey+with \\u002522all\\\" of=it\\u0025c3\\u0025a4"));
}
static void finds_base64_in_its_three_alignments(void **state)
{
    (void)state;
    for (size_t before = 0; before < 6; before++) {
        for (size_t behind = 0; behind < 4; behind++) {
            struct ifab_buf plain = IFAB_BUF_INIT(1000), text = IFAB_BUF_INIT(1000);
            for (size_t i = 0; i < before; i++)
                ifab_buf_char(&plain, (char)(0x80 + (int)i * 37));
            ifab_buf_put(&plain, secret, sizeof secret - 1);
            for (size_t i = 0; i < behind; i++)
                ifab_buf_char(&plain, (char)0xff);
            ifab_buf_base64(&text, plain.data, plain.size);
            is_found("base64", ifab_buf_as_view(&text));
            ifab_buf_clear(&text);
            ifab_buf_base64url(&text, plain.data, plain.size);
            is_found("base64url", ifab_buf_as_view(&text));
            ifab_buf_fini(&plain);
            ifab_buf_fini(&text);
        }
    }
    /* "/" of base64 JSON-escaped, "+" and "/" percent-encoded, broken lines */
    struct ifab_leak_set *set = set_of(IFAB_VIEW("\xff\xff\xff\xff\xff\xff"));
    assert_true(found_in_chunks(set, IFAB_VIEW("\\/\\/\\/\\/\\/\\/\\/\\/"), 1));
    ifab_leak_set_free(set);
    set = set_of(IFAB_VIEW("correct horse battery"));
    assert_true(found_in_chunks(set, IFAB_VIEW("Y29ycmVjdCBo\r\nb3JzZSBiYXR0\r\nZXJ5"), 1));
    assert_true(found_in_chunks(set, IFAB_VIEW("%59%32%39ycmVjdCBob3JzZSBiYXR0ZXJ5"), 1));
    ifab_leak_set_free(set);
}
static void long_values_are_found_by_their_ends(void **state)
{
    static uint8_t value[5000], text[6000];
    struct test_random random = {9};
    (void)state;
    test_random_bytes(&random, value, sizeof value);
    struct ifab_leak_set *set = set_of(ifab_view_of(value, sizeof value));
    assert_true(found_in_chunks(set, ifab_view_of(value, IFAB_LEAK_WINDOW), 7));
    assert_true(found_in_chunks(set, ifab_view_of(value + sizeof value - IFAB_LEAK_WINDOW, IFAB_LEAK_WINDOW), 7));
    assert_false(found_in_chunks(set, ifab_view_of(value, IFAB_LEAK_WINDOW - 1), 7));
    memcpy(text + 100, value, sizeof value);
    assert_true(found_in_chunks(set, ifab_view_of(text, sizeof text), 1000));
    ifab_leak_set_free(set);
}
static void bounds_what_it_looks_for(void **state)
{
    static uint8_t large[IFAB_LEAK_VALUE_MAX + 1];
    struct ifab_leak_set *set = NULL;
    (void)state;
    assert_int_equal(ifab_leak_set_new(&set), IFAB_OK);
    assert_int_equal(ifab_leak_set_add(set, IFAB_VIEW("abc")), IFAB_INVALID);
    assert_int_equal(ifab_leak_set_add(set, ifab_view_of(large, sizeof large)), IFAB_TOO_LARGE);
    for (uint32_t i = 0; i < IFAB_LEAK_VALUES_MAX; i++)
        assert_int_equal(ifab_leak_set_add(set, ifab_view_of(&i, sizeof i)), IFAB_OK);
    assert_int_equal(ifab_leak_set_add(set, IFAB_VIEW("abcd")), IFAB_TOO_LARGE);
    assert_int_equal(ifab_leak_set_seal(set), IFAB_OK);
    assert_int_equal(ifab_leak_set_add(set, IFAB_VIEW("abcd")), IFAB_INVALID); /* sealed */
    ifab_leak_set_free(set);
    ifab_leak_set_free(NULL);
    struct ifab_leak_scanner scanner; /* without a set nothing is found, and nothing breaks */
    ifab_leak_begin(&scanner, NULL);
    assert_false(ifab_leak_feed(&scanner, IFAB_VIEW("abcd")));
    assert_false(ifab_leak_end(&scanner));
}
/* An answer that ends within what may be an escape, and what looks like a reference and is none. */
static void escapes_are_whole_or_what_they_are(void **state)
{
    static const struct {
        const char *value, *text;
        bool found;
    } rows[] = {
        {"key%2", "%6bey%2", true},           {"key%", "x=%6bey%", true},          {"a/key%", "a%252fkey%", true},
        {"key\\u00", "\\u006bey\\u00", true}, {"key&c", "&#107;ey&c", true},       {"key&", "x=&#x6b;ey&", true},
        {"ab&cd", "ab&amp;cd", true},         {"ab&cd", "ab&am;cd", false},        {"ab&cd", "ab&ampx;cd", false},
        {"ab&cd", "ab&amp cd", false},        {"ab<cd", "ab&lt;cd", true},         {"ab&cd", "ab&&cd", false},
        {"a&bcd", "&#97;&b&#99;d", true},     {"abcd", "&#0097;bc&#x0064;", true}, {"abcd", "&#97bcd", false},
        {"abcd", "&#9a;abc&#100", false},     {"ab&#x63", "&#97;b&#x63", true},    {"a\xc3\xa4z1", "&#97;&#228;z1", true},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_leak_set *set = set_of(ifab_view_str(rows[i].value));
        for (size_t chunk = 1; chunk < 20; chunk++) {
            if (found_in_chunks(set, ifab_view_str(rows[i].text), chunk) != rows[i].found)
                fail_msg("%s in %s", rows[i].value, rows[i].text);
        }
        ifab_leak_set_free(set);
    }
}
/* So many that the larger index is used. */
static void finds_each_of_many(void **state)
{
    enum { MANY = 500 };
    static uint8_t values[MANY][24];
    struct test_random random = {11};
    struct ifab_leak_set *set = NULL;
    (void)state;
    test_random_bytes(&random, values, sizeof values);
    assert_int_equal(ifab_leak_set_new(&set), IFAB_OK);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(ifab_leak_set_add(set, ifab_view_of(values[i], sizeof values[i])), IFAB_OK);
    assert_int_equal(ifab_leak_set_seal(set), IFAB_OK);
    for (size_t i = 0; i < MANY; i++) {
        struct ifab_buf text = IFAB_BUF_INIT(1000);
        ifab_buf_str(&text, "some text ");
        ifab_buf_base64(&text, values[i], sizeof values[i]);
        assert_true(found_in_chunks(set, ifab_buf_as_view(&text), 3));
        assert_false(found_in_chunks(set, ifab_view_of(text.data, text.size - 1), 3));
        ifab_buf_clear(&text);
        ifab_buf_hex(&text, values[i], sizeof values[i]);
        assert_true(found_in_chunks(set, ifab_buf_as_view(&text), 5));
        assert_true(found_in_chunks(set, ifab_view_of(values[i], sizeof values[i]), 5));
        assert_false(found_in_chunks(set, ifab_view_of(values[i], sizeof values[i] - 1), 5));
        ifab_buf_fini(&text);
    }
    ifab_leak_set_free(set);
}
static void build_one(void)
{
    struct ifab_leak_set *set = NULL;
    if (ifab_leak_set_new(&set) != IFAB_OK)
        return;
    bool good = ifab_leak_set_add(set, ifab_view_of(secret, sizeof secret - 1)) == IFAB_OK && ifab_leak_set_seal(set) == IFAB_OK;
    assert_true(good || ifab_mem_failed());
    assert_int_equal(found_in_chunks(set, ifab_view_of(secret, sizeof secret - 1), 1), good);
    ifab_leak_set_free(set);
}
static void survives_failing_allocations(void **state)
{
    (void)state;
    TEST_SWEEP_ALLOCATIONS(build_one());
}
static const struct CMUnitTest tests[] = {
    cmocka_unit_test(finds_every_form),
    cmocka_unit_test(finds_base64_in_its_three_alignments),
    cmocka_unit_test(long_values_are_found_by_their_ends),
    cmocka_unit_test(bounds_what_it_looks_for),
    cmocka_unit_test(escapes_are_whole_or_what_they_are),
    cmocka_unit_test(finds_each_of_many),
    cmocka_unit_test(survives_failing_allocations),
};
TEST_MAIN(tests)
