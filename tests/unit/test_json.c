/* json/: what the reader takes and refuses, where it says the fault is, and the canonical form. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/json.h"
#include "support.h"

#include <locale.h>
#include <math.h>

/* A size of its own on the heap, so that a sanitizer sees one byte too many. */
static ifab_status read_text(struct ifab_view text, const struct ifab_json_limits *limits, struct ifab_arena *arena,
                             const struct ifab_json **ret_value, struct ifab_error *err)
{
    struct ifab_view copy;
    assert_int_equal(ifab_arena_copy(arena, text, &copy), IFAB_OK);
    return ifab_json_read(copy, limits, arena, ret_value, err);
}

static void accepted_becomes_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {"null", "null"},
        {" \t\r\n true ", "true"},
        {"false", "false"},
        {"0", "0"},
        {"-1", "-1"},
        {"9007199254740991", "9007199254740991"},
        {"-9007199254740991", "-9007199254740991"},
        {"0.0", "0"},
        {"0e9999999999999999999", "0"},
        {"1.0", "1"},
        {"1E2", "100"},
        {"1e-7", "1e-7"},
        {"0.000001", "0.000001"},
        {"1e21", "1e+21"},
        {"1e20", "100000000000000000000"},
        {"4.9e-324", "5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"0.1e1", "1"},
        {"333333333.33333329", "333333333.3333333"},
        {"2.2250738585072011e-308", "2.225073858507201e-308"},
        {"1000000000000000000000000000000e-30", "1"},
        {"[]", "[]"},
        {"{}", "{}"},
        {"[ 1 , [ ] , { } ]", "[1,[],{}]"},
        {"{\"b\":1,\"a\":{\"d\":2,\"c\":3}}", "{\"a\":{\"c\":3,\"d\":2},\"b\":1}"},
        {"\"\\u0041\\/\\b\\f\\n\\r\\t\\\"\\\\\\u0000\\u001F\\u007f\"", "\"A/\\b\\f\\n\\r\\t\\\"\\\\\\u0000\\u001f\x7f\""},
        {"\"\\ud83d\\uDE80\"", "\"\xf0\x9f\x9a\x80\""},
        {"\"\\u20ac\\u00e9\"", "\"\xe2\x82\xac\xc3\xa9\""},
        {"{\"\":1}", "{\"\":1}"},
        /* UTF-16 order: U+1F680 (D83D …) before U+FB33, and both behind U+20AC */
        {"{\"\\ufb33\":1,\"\xf0\x9f\x9a\x80\":2,\"\xe2\x82\xac\":3}", "{\"\xe2\x82\xac\":3,\"\xf0\x9f\x9a\x80\":2,\"\xef\xac\xb3\":1}"},
        {"{\"aaaaaaaa\\ue000\":1,\"aaaaaaaa\\ud800\\udc00\":2}", "{\"aaaaaaaa\xf0\x90\x80\x80\":2,\"aaaaaaaa\xee\x80\x80\":1}"},
        {"{\"aaaaaaaab\":1,\"aaaaaaaa\":2,\"aaaaaaa\":3}", "{\"aaaaaaa\":3,\"aaaaaaaa\":2,\"aaaaaaaab\":1}"},
        {"{\"a\\u0000\":1,\"a\":2}", "{\"a\":2,\"a\\u0000\":1}"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_buf buf = IFAB_BUF_INIT(4096);
        struct ifab_error err = {0};
        const struct ifab_json *value;
        ifab_arena_init(&arena, 65536);
        if (read_text(ifab_view_str(cases[i].text), NULL, &arena, &value, &err) != IFAB_OK)
            fail_msg("%s: %s at %u", cases[i].text, err.text, err.offset);
        ifab_json_write(&buf, value);
        assert_string_equal(test_text(ifab_buf_as_view(&buf)), cases[i].canonical);
        ifab_buf_fini(&buf);
        ifab_arena_fini(&arena);
    }
}

static void refused_with_offset_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t offset;
        const char *reason;
    } cases[] = {
        {"", 0, "the document ends where a value is expected"},
        {"  ", 2, "the document ends"},
        {"\xef\xbb\xbfnull", 0, "byte order mark"},
        {"nul", 0, "a value is expected"},
        {"True", 0, "a value is expected"},
        {"NaN", 0, "a value is expected"},
        {"/* c */ 1", 0, "comments"},
        {"1 2", 2, "bytes after the end"},
        {"1\x00", 1, NULL}, /* C string ends: accepted as 1, see below */
        {"[1,]", 3, "a value is expected"},
        {"[1 2]", 3, "',' or ']'"},
        {"[", 1, "a value"},
        {"[1", 2, "',' or ']'"},
        {"{", 1, "a name in quotes"},
        {"{a:1}", 1, "a name in quotes"},
        {"{\"a\"}", 4, "':' is expected"},
        {"{\"a\":}", 5, "a value"},
        {"{\"a\":1,}", 7, "a name in quotes"},
        {"{\"a\":1]", 6, "',' or '}'"},
        {"[1}", 2, "',' or ']'"},
        {"]", 0, "a value"},
        {"{\"a\":1,\"b\":2,\"a\":3}", 13, "name used twice"},
        {"{\"a\":1,\"\\u0061\":2}", 7, "name used twice"},
        {"{\"x\":1,\"y\":1,\"y\":1,\"x\":1}", 13, "name used twice"},
        {"01", 0, "leading zero"},
        {"-", 0, "'-' without a digit"},
        {"-a", 0, "'-' without a digit"},
        {"+1", 0, "a value"},
        {".5", 0, "a value"},
        {"1.", 0, "digit after its point"},
        {"1.e5", 0, "digit after its point"},
        {"1e", 0, "digit in its exponent"},
        {"1e+", 0, "digit in its exponent"},
        {"0x10", 1, "bytes after the end"},
        {"-0", 0, "-0 is refused"},
        {"-0.0", 0, "-0 is refused"},
        {"-0e5", 0, "-0 is refused"},
        {"[1,-0.000E-7]", 3, "-0 is refused"},
        {"9007199254740992", 0, "integer outside"},
        {"-9007199254740992", 0, "integer outside"},
        {"100000000000000000000", 0, "integer outside"},
        {"1e400", 0, "too large"},
        {"-1e400", 0, "too large"},
        {"1e-400", 0, "too small"},
        {"2e-324", 0, "too small"},
        {"0.0000001e-9999999999", 0, "too small"},
        {"\"", 0, "without closing quote"},
        {"\"abc", 0, "without closing quote"},
        {"\"\\\"", 0, "without closing quote"},
        {"\"\\", 1, "unknown escape"},
        {"\"\\x\"", 1, "unknown escape"},
        {"\"\\u12g4\"", 1, "four hex digits"},
        {"\"\\u12", 1, "four hex digits"},
        {"\"\\ud800\"", 1, "lone surrogate"},
        {"\"\\udc00\"", 1, "lone surrogate"},
        {"\"\\ud800\\u0041\"", 1, "lone surrogate"},
        {"\"\\ud800\\ud800\"", 1, "lone surrogate"},
        {"\"a\nb\"", 2, "control character"},
        {"\"0123456789\x1f\"", 11, "control character"},
        {"\"\xff\"", 1, "invalid UTF-8"},
        {"\"0123456789\xc3\"", 11, "invalid UTF-8"},
        {"\"\xed\xa0\x80\"", 1, "invalid UTF-8"},
        {"\"\xc0\x80\"", 1, "invalid UTF-8"},
        {"\"\\uffff\"", 1, "noncharacter"},
        {"\"\xef\xb7\x90\"", 1, "noncharacter"},
        {"\"\\ud83f\\udffe\"", 1, "noncharacter"},
        {"'a'", 0, "a value"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_error err = {0};
        const struct ifab_json *value = NULL;
        ifab_arena_init(&arena, 65536);
        ifab_status status = read_text(ifab_view_str(cases[i].text), NULL, &arena, &value, &err);
        if (cases[i].reason == NULL) {
            assert_int_equal(status, IFAB_OK);
        } else {
            if (status != IFAB_INVALID || err.offset != cases[i].offset || strstr(err.text, cases[i].reason) == NULL)
                fail_msg("%s: status %d, \"%s\" at %u", cases[i].text, (int)status, err.text, err.offset);
            assert_null(value); /* written on success only */
        }
        ifab_arena_fini(&arena);
    }
    struct ifab_arena arena;
    const struct ifab_json *value;
    ifab_arena_init(&arena, 65536);
    assert_int_equal(read_text(ifab_view_of("1\0", 2), NULL, &arena, &value, NULL), IFAB_INVALID);
    ifab_arena_fini(&arena);
}

static void signed_documents_hold_safe_numbers_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool open, safe; /* accepted without, with all_numbers_safe */
    } cases[] = {{"1e300", true, false},  {"9007199254740991.4", true, true}, {"9007199254740991.6", true, false},
        {"9.007199254740991e15", true, true},
                 {"9007199254740992", false, false}, {"-9.1e15", true, false}, {"9007199254740992e0", true, false}, {"0.75", true, true}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        const struct ifab_json *value;
        const struct ifab_json_limits safe = {0, true};
        ifab_arena_init(&arena, 65536);
        assert_int_equal(read_text(ifab_view_str(cases[i].text), NULL, &arena, &value, NULL) == IFAB_OK, cases[i].open);
        assert_int_equal(read_text(ifab_view_str(cases[i].text), &safe, &arena, &value, NULL) == IFAB_OK, cases[i].safe);
        ifab_arena_fini(&arena);
    }
}

static void limits_hold_to_the_last_one(void **state)
{
    (void)state;
    struct ifab_arena arena;
    struct ifab_buf buf = IFAB_BUF_INIT(1 << 20);
    struct ifab_error err = {0};
    const struct ifab_json *value;
    ifab_arena_init(&arena, (size_t)64 << 20);
    for (size_t depth = 32; depth <= 33; depth++) {
        ifab_buf_clear(&buf);
        for (size_t i = 0; i < depth; i++)
            ifab_buf_str(&buf, i % 2 == 0 ? "[" : "{\"a\":");
        ifab_buf_str(&buf, "1");
        for (size_t i = depth; i-- > 0;)
            ifab_buf_str(&buf, i % 2 == 0 ? "]" : "}");
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, &err), depth == 32 ? IFAB_OK : IFAB_INVALID);
    }
    assert_non_null(strstr(err.text, "deeper than 32"));
    for (size_t names = 1024; names <= 1025; names++) {
        ifab_buf_clear(&buf);
        for (size_t i = 0; i < names; i++)
            ifab_buf_format(&buf, "%s\"name-%zu\":%zu", i == 0 ? "{" : ",", i * 7919 % 5003, i);
        ifab_buf_char(&buf, '}');
        err = (struct ifab_error){0};
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, &err), names == 1024 ? IFAB_OK : IFAB_INVALID);
        for (size_t i = 1; names == 1024 && i < 1024; i++)
            assert_true(ifab_view_compare(value->u.object.members[i - 1].name, value->u.object.members[i].name) < 0);
    }
    assert_non_null(strstr(err.text, "more than 1024 names"));
    for (size_t digits = 1100; digits <= 1101; digits++) {
        ifab_buf_clear(&buf);
        ifab_buf_str(&buf, "0.");
        for (size_t i = 2; i < digits; i++)
            ifab_buf_char(&buf, '3');
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, NULL), digits == 1100 ? IFAB_OK : IFAB_INVALID);
    }
    const struct ifab_json_limits ten = {10, false};
    assert_int_equal(ifab_json_read(IFAB_VIEW("[1,2,3,44]"), &ten, &arena, &value, NULL), IFAB_OK);
    assert_int_equal(ifab_json_read(IFAB_VIEW("[1,2,3,444]"), &ten, &arena, &value, NULL), IFAB_TOO_LARGE);
    ifab_buf_fini(&buf);
    ifab_arena_fini(&arena);
}

static void duplicate_is_found_among_many_names(void **state)
{
    (void)state;
    struct ifab_buf buf = IFAB_BUF_INIT(1 << 20);
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)4 << 20);
    for (size_t twin = 0; twin < 999; twin += 111) {
        struct ifab_error err = {0};
        const struct ifab_json *value;
        ifab_buf_clear(&buf);
        for (size_t i = 0; i < 1000; i++)
            ifab_buf_format(&buf, "%s\"a-long-common-prefix-%zu\":0", i == 0 ? "{" : ",", i);
        ifab_buf_char(&buf, ',');
        size_t offset = buf.size;
        ifab_buf_format(&buf, "\"a-long-common-prefix-%zu\":0}", twin);
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, &err), IFAB_INVALID);
        assert_int_equal(err.offset, offset);
        ifab_arena_reset(&arena);
    }
    ifab_buf_fini(&buf);
    ifab_arena_fini(&arena);
}

static void strings_without_escapes_are_borrowed(void **state)
{
    (void)state;
    struct ifab_arena arena;
    const struct ifab_json *value;
    struct ifab_view text = IFAB_VIEW("[\"plain\",\"esc\\u0061ped\"]"), string;
    ifab_arena_init(&arena, 65536);
    assert_int_equal(ifab_json_read(text, NULL, &arena, &value, NULL), IFAB_OK);
    assert_ptr_equal(value->u.array.items[0].u.string.data, text.data + 2);
    assert_true(ifab_json_string(&value->u.array.items[1], &string) && ifab_view_is(string, "escaped"));
    assert_int_equal(value->u.array.items[1].offset, 9);
    ifab_arena_fini(&arena);
}

static void members_are_found_by_name(void **state)
{
    (void)state;
    struct ifab_arena arena;
    const struct ifab_json *value;
    int64_t integer = 0;
    ifab_arena_init(&arena, 65536);
    assert_int_equal(ifab_json_read(IFAB_VIEW("{\"b\":-5,\"a\":1.5,\"c\":\"x\",\"ab\":2e0}"), NULL, &arena, &value, NULL), IFAB_OK);
    assert_true(ifab_json_integer(ifab_json_get(value, "b"), &integer));
    assert_int_equal(integer, -5);
    assert_true(ifab_json_integer(ifab_json_get(value, "ab"), &integer));
    assert_int_equal(integer, 2);
    assert_false(ifab_json_integer(ifab_json_get(value, "a"), &integer));
    assert_false(ifab_json_integer(ifab_json_get(value, "c"), &integer));
    assert_null(ifab_json_get(value, "d"));
    assert_null(ifab_json_get(value, ""));
    assert_null(ifab_json_get(ifab_json_get(value, "a"), "x"));
    assert_null(ifab_json_get(NULL, "x"));
    ifab_arena_fini(&arena);
}

static void one_member_can_be_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *outer, *inner, *expected;
    } cases[] = {
        {"{\"signature\":{\"sig\":\"x\",\"algorithm\":\"e\"},\"a\":{\"sig\":1}}", "signature", "sig",
        "{\"a\":{\"sig\":1},\"signature\":{\"algorithm\":\"e\"}}"},
        {"{\"signature\":{\"sig\":\"x\"}}", "signature", "sig", "{\"signature\":{}}"},
        {"{\"signature\":\"s\",\"sig\":1}", "signature", "sig", "{\"sig\":1,\"signature\":\"s\"}"},
        {"{\"b\":1,\"a\":2,\"c\":3}", "a", NULL, "{\"b\":1,\"c\":3}"},
        {"{\"a\":{\"signature\":{\"sig\":1}}}", "signature", "sig", "{\"a\":{\"signature\":{\"sig\":1}}}"},
        {"[1]", "a", "b", "[1]"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_buf buf = IFAB_BUF_INIT(4096);
        const struct ifab_json *value;
        ifab_arena_init(&arena, 65536);
        assert_int_equal(ifab_json_read(ifab_view_str(cases[i].text), NULL, &arena, &value, NULL), IFAB_OK);
        ifab_json_write_without(&buf, value, cases[i].outer, cases[i].inner);
        assert_string_equal(test_text(ifab_buf_as_view(&buf)), cases[i].expected);
        ifab_buf_fini(&buf);
        ifab_arena_fini(&arena);
    }
}

static void published_vectors_come_out_byte_for_byte(void **state)
{
    (void)state;
    static const char *const names[] = {"arrays", "french", "structures", "unicode", "values", "weird"};
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        char name[64];
        snprintf(name, sizeof name, "jcs/%s.input.json", names[i]);
        struct ifab_buf input = test_read_vector(name);
        snprintf(name, sizeof name, "jcs/%s.output.json", names[i]);
        struct ifab_buf output = test_read_vector(name), ours = IFAB_BUF_INIT(1 << 20);
        struct ifab_arena arena;
        const struct ifab_json *value;
        ifab_arena_init(&arena, 1 << 20);
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&input), NULL, &arena, &value, NULL), IFAB_OK);
        ifab_json_write(&ours, value);
        assert_true(ifab_view_equal(ifab_buf_as_view(&ours), ifab_buf_as_view(&output)));
        ifab_buf_fini(&input);
        ifab_buf_fini(&output);
        ifab_buf_fini(&ours);
        ifab_arena_fini(&arena);
    }
}

static void every_prefix_of_an_envelope_is_refused(void **state)
{
    (void)state;
    struct ifab_buf file = test_read_vector("envelope/good.json");
    struct ifab_arena all, one;
    const struct ifab_json *document, *value;
    struct ifab_view envelope;
    ifab_arena_init(&all, (size_t)8 << 20);
    ifab_arena_init(&one, (size_t)8 << 20);
    assert_int_equal(ifab_json_read(ifab_buf_as_view(&file), NULL, &all, &document, NULL), IFAB_OK);
    assert_true(ifab_json_string(ifab_json_get(&ifab_json_get(document, "cases")->u.array.items[0], "envelope"), &envelope));
    for (size_t size = 0; size <= envelope.size; size++) {
        struct ifab_error err = {0};
        ifab_arena_reset(&one);
        ifab_status status = read_text((struct ifab_view){envelope.data, size}, NULL, &one, &value, &err);
        assert_int_equal(status, size == envelope.size ? IFAB_OK : IFAB_INVALID);
        assert_true(err.offset <= size);
    }
    ifab_buf_fini(&file);
    ifab_arena_fini(&all);
    ifab_arena_fini(&one);
}

static void reader_survives_any_failed_allocation(void **state)
{
    (void)state;
    struct ifab_buf buf = IFAB_BUF_INIT(1 << 20);
    ifab_buf_str(&buf, "{\"list\":[");
    for (int i = 0; i < 300; i++)
        ifab_buf_format(&buf, "%s{\"n\":%d,\"s\":\"\\u0041\"}", i == 0 ? "" : ",", i);
    ifab_buf_str(&buf, "]}");
    TEST_SWEEP_ALLOCATIONS({
        struct ifab_arena arena;
        struct ifab_error err = {0};
        const struct ifab_json *value = NULL;
        ifab_arena_init(&arena, 1 << 20);
        ifab_status status = ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, &err);
        assert_int_equal(status, ifab_mem_failed() ? IFAB_NOMEM : IFAB_OK);
        assert_int_equal(value != NULL, status == IFAB_OK);
        ifab_arena_fini(&arena);
    });
    for (size_t limit = 0; limit < 20000; limit += 500) { /* and any limit of the arena */
        struct ifab_arena arena;
        const struct ifab_json *value;
        ifab_arena_init(&arena, limit);
        assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &value, NULL), IFAB_NOMEM);
        ifab_arena_fini(&arena);
    }
    ifab_buf_fini(&buf);
}

static void numbers_ignore_the_locale(void **state)
{
    (void)state;
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    for (size_t i = 0; i < IFAB_COUNT(locales) && setlocale(LC_NUMERIC, locales[i]) == NULL; i++) {
    }
    struct ifab_arena arena;
    const struct ifab_json *value;
    char text[32];
    ifab_arena_init(&arena, 65536);
    assert_int_equal(ifab_json_read(IFAB_VIEW("1.2345678901234567890"), NULL, &arena, &value, NULL), IFAB_OK);
    size_t size = ifab_json_format_double(value->u.number.value, text);
    assert_string_equal(test_text(ifab_view_of(text, size)), "1.2345678901234567");
    setlocale(LC_NUMERIC, "C");
    ifab_arena_fini(&arena);
}

static void numbers_are_laid_out_as_ecmascript_says(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.0, "0"}, {-0.0, "0"}, {1e-6, "0.000001"}, {1e-7, "1e-7"}, {1.5e-7, "1.5e-7"}, {123e18, "123000000000000000000"},
        {1e21, "1e+21"},
                 {-1.25, "-1.25"}, {0x1p-1074, "5e-324"}, {0x1p-44, "5.684341886080802e-14"}, {0x1p1023, "8.98846567431158e+307"},
                 {9007199254740993.0, "9007199254740992"}, {0.1 + 0.2, "0.30000000000000004"}, {5e-324 * 3, "1.5e-323"}, {100.0, "100"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"}, {295147905179352830000.0, "295147905179352830000"}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        char text[32];
        size_t size = ifab_json_format_double(cases[i].value, text);
        assert_string_equal(test_text(ifab_view_of(text, size)), cases[i].text);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(accepted_becomes_canonical),
    cmocka_unit_test(refused_with_offset_and_reason),
    cmocka_unit_test(signed_documents_hold_safe_numbers_only),
    cmocka_unit_test(limits_hold_to_the_last_one),
    cmocka_unit_test(duplicate_is_found_among_many_names),
    cmocka_unit_test(strings_without_escapes_are_borrowed),
    cmocka_unit_test(members_are_found_by_name),
    cmocka_unit_test(one_member_can_be_left_out),
    cmocka_unit_test(published_vectors_come_out_byte_for_byte),
    cmocka_unit_test(every_prefix_of_an_envelope_is_refused),
    cmocka_unit_test(reader_survives_any_failed_allocation),
    cmocka_unit_test(numbers_ignore_the_locale),
    cmocka_unit_test(numbers_are_laid_out_as_ecmascript_says),
};

TEST_MAIN(tests)
