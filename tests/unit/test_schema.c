/* json/schema: what fits a table, and what the refusal says to the person who reads it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/schema.h"
#include "support.h"

static const struct ifab_schema_field evidence_fields[] = {
    {.name = "type", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 32},
    {.name = "url", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 20, .check = ifab_schema_printable},
};
static const struct ifab_schema evidence = {"evidence", evidence_fields, 2};
static const struct ifab_schema_field evidence_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &evidence};
static const struct ifab_schema_field uri_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 512, .check = ifab_schema_uri};
static const struct ifab_schema_field content_fields[] = {
    {.name = "evidence", .kind = IFAB_SCHEMA_LIST, .max = 2, .item = &evidence_item},
    {.name = "confidence", .kind = IFAB_SCHEMA_NUMBER, .num_min = 0, .num_max = 1},
    {.name = "data", .kind = IFAB_SCHEMA_OPEN},
};
static const struct ifab_schema content = {"content", content_fields, 3};
static const struct ifab_schema_field fields[] = {
    {.name = "v", .kind = IFAB_SCHEMA_CONST, .text = "2.1"},
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 8},
    {.name = "ttl_s", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 3600},
    {.name = "receiver", .kind = IFAB_SCHEMA_STRING_OR_LIST, .min = 1, .max = 2, .item = &uri_item},
    {.name = "content", .kind = IFAB_SCHEMA_OBJECT, .sub = &content},
    {.name = "flag", .kind = IFAB_SCHEMA_BOOL},
    {.name = "any", .kind = IFAB_SCHEMA_ANY},
    {.name = "count", .kind = IFAB_SCHEMA_INTEGER},
    {.name = "pair", .kind = IFAB_SCHEMA_LIST, .min = 2, .max = 2},
    {.name = "nonce", .kind = IFAB_SCHEMA_STRING, .check = ifab_schema_nonce},
};
static const struct ifab_schema schema = {"envelope", fields, IFAB_COUNT(fields)};

static enum ifab_code check(const char *text, struct ifab_refusal *ret)
{
    struct ifab_arena arena;
    const struct ifab_json *value;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(text), NULL, &arena, &value, NULL), IFAB_OK);
    enum ifab_code code = ifab_schema_check(&schema, value, IFAB_CODE_INVALID_ENVELOPE, ret);
    ifab_arena_fini(&arena);
    return code;
}

static void documents_that_fit_are_accepted(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"id\":\"a\",\"ttl_s\":1}",
        "{\"id\":\"12345678\",\"ttl_s\":3600,\"v\":\"2.1\",\"flag\":false,\"any\":[null],\"count\":-9007199254740991,\"pair\":[1,{}]}",
        "{\"id\":\"a\",\"ttl_s\":1.0,\"receiver\":\"if://agent/A\"}",
        "{\"id\":\"a\",\"ttl_s\":1,\"receiver\":[\"if://agent/A\",\"if://topic/B\"]}",
        ("{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"evidence\":[{\"type\":\"f\",\"url\":\"u\"}],"
         "\"confidence\":0.5,\"data\":{\"what\":{\"ever\":1}}}}"),
        "{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"evidence\":[],\"confidence\":1}}",
        "{\"id\":\"a\",\"ttl_s\":1,\"nonce\":\"AAAAAAAAAAAAAAAA\"}",
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_refusal refusal;
        if (check(cases[i], &refusal) != IFAB_CODE_NONE)
            fail_msg("%s: %s", cases[i], refusal.message);
    }
}

static void refusals_say_what_where_and_how(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
        int64_t offset;
        const char *message;
    } cases[] = {
        {"[]", "", 0, "envelope must be an object"},
        {"{}", "id", 0, "id is required"},
        {" {\"id\":\"a\"}", "ttl_s", 1, "ttl_s is required"},
        {"{\"id\":\"\",\"ttl_s\":1}", "id", 6, "id must be a string of 1 to 8 bytes"},
        {"{\"id\":\"123456789\",\"ttl_s\":1}", "id", 6, "id must be a string of 1 to 8 bytes"},
        {"{\"id\":7,\"ttl_s\":1}", "id", 6, "id must be a string of 1 to 8 bytes"},
        {"{\"id\":null,\"ttl_s\":1}", "id", 6, "id must be a string of 1 to 8 bytes"},
        {"{\"id\":\"a\",\"ttl_s\":0}", "ttl_s", 18, "ttl_s must be an integer from 1 to 3600"},
        {"{\"id\":\"a\",\"ttl_s\":3601}", "ttl_s", 18, "ttl_s must be an integer from 1 to 3600"},
        {"{\"id\":\"a\",\"ttl_s\":1.5}", "ttl_s", 18, "ttl_s must be an integer from 1 to 3600"},
        {"{\"id\":\"a\",\"ttl_s\":\"5\"}", "ttl_s", 18, "ttl_s must be an integer from 1 to 3600"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"v\":\"2.2\"}", "v", 24, "v must be \"2.1\""},
        {"{\"id\":\"a\",\"ttl_s\":1,\"flag\":1}", "flag", 27, "flag must be true or false"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"count\":1.5}", "count", 28, "count must be an integer"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"pair\":[1]}", "pair", 27, "pair must be a list of exactly 2 items"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"receiver\":[]}", "receiver", 31, "receiver must be a string or a list of 1 to 2 strings"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"receiver\":{}}", "receiver", 31, "receiver must be a string or a list of 1 to 2 strings"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"receiver\":[\"if://agent/A\",3]}", "receiver[1]", 47,
        "receiver[1] must be a string of 1 to 512 bytes"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"receiver\":\"x\"}", "receiver", 31, "receiver must be a URI such as if://agent/Finance.Agent"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"confidence\":1.1}}", "content.confidence", 44,
        "content.confidence must be a number from 0 to 1"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"evidence\":[{\"type\":\"f\",\"url\":\"u\"},{\"type\":\"f\",\"url\":\"\\u0007\"}]}}",
         "content.evidence[1].url", 84, "content.evidence[1].url must be text without control characters"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"evidence\":[{\"type\":\"f\"}]}}", "content.evidence[0].url", 43,
        "content.evidence[0].url is required"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"data\":[]}}", "content.data", 38, "content.data must be an object"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"foo\":1,\"bar\":2}", "foo", 20, "unknown field \"foo\" in envelope"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"x\\u0000\\u00e9\":1}}", "content.x???", 31, "unknown field \"x???\" in content"},
        {"{\"id\":\"a\",\"ttls\":1,\"ttl_s\":1}", "ttls", 10, "unknown field \"ttls\" in envelope; did you mean \"ttl_s\"?"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"Content\":{}}", "Content", 20, "unknown field \"Content\" in envelope; did you mean \"content\"?"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"nonec\":\"\"}", "nonec", 20, "unknown field \"nonec\" in envelope; did you mean \"nonce\"?"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"nonce\":\"AAAAAAAAAAAAAA==\"}", "nonce", 28,
         "nonce must be 12 to 64 bytes in base64url without padding; this is the standard base64 alphabet: "
         "write '-' for '+', '_' for '/' and no '='"},
        {"{\"id\":\"a\",\"ttl_s\":1,\"nonce\":\"AAAAAAAAAAAAAAA\"}", "nonce", 28,
         "nonce must be 12 to 64 bytes in base64url without padding (16 to 86 characters)"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_refusal refusal = {0};
        assert_int_equal(check(cases[i].text, &refusal), IFAB_CODE_INVALID_ENVELOPE);
        assert_string_equal(refusal.message, cases[i].message);
        assert_string_equal(refusal.field, cases[i].field);
        if (refusal.offset != cases[i].offset)
            fail_msg("%s: offset %lld", cases[i].text, (long long)refusal.offset);
        assert_int_equal(check(cases[i].text, NULL), IFAB_CODE_INVALID_ENVELOPE);
    }
}

static void path_is_cut_where_its_room_ends(void **state)
{
    (void)state;
    char text[400], name[300];
    struct ifab_refusal refusal;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(text, sizeof text, "{\"id\":\"a\",\"ttl_s\":1,\"content\":{\"%s\":1}}", name);
    assert_int_equal(check(text, &refusal), IFAB_CODE_INVALID_ENVELOPE);
    assert_int_equal(strlen(refusal.field), sizeof refusal.field - 1);
}

static void names_are_found_in_large_objects(void **state)
{
    (void)state;
    struct ifab_buf buf = IFAB_BUF_INIT(65536);
    struct ifab_refusal refusal;
    ifab_buf_str(&buf, "{\"id\":\"a\",\"ttl_s\":1");
    for (int i = 0; i < 500; i++)
        ifab_buf_format(&buf, ",\"x%d\":0", i);
    ifab_buf_str(&buf, "}");
    ifab_buf_put(&buf, "", 1);
    assert_int_equal(check((const char *)buf.data, &refusal), IFAB_CODE_INVALID_ENVELOPE);
    assert_string_equal(refusal.field, "x0");
    ifab_buf_fini(&buf);
}

static void common_checks_know_their_forms(void **state)
{
    (void)state;
    static const struct {
        ifab_schema_check_fn *check;
        const char *text;
        bool good;
    } cases[] = {
        {ifab_schema_name, "Finance.Agent", true},
        {ifab_schema_name, "a..b", false},
        {ifab_schema_time, "2025-11-12T10:21:00Z", true},
        {ifab_schema_time, "2025-11-12", false},
        {ifab_schema_sha256, "sha256:a5bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd1", true},
        {ifab_schema_sha256, "sha256:A5bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd1", false},
        {ifab_schema_sha256, "sha256:", false},
        {ifab_schema_sha256, "a5bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd1", false},
        {ifab_schema_key32, "3jISCrU5OdlQliDzgzsa6Q4sBBvcDDnI4785e0uVHsk", true},
        {ifab_schema_key32, "3jISCrU5OdlQliDzgzsa6Q4sBBvcDDnI4785e0uVHsl", false}, /* an unused bit is set */
        {ifab_schema_key32, "3jISCrU5OdlQliDzgzsa6Q4sBBvcDDnI4785e0uVHsk=", false},
        {ifab_schema_key32, "3jISCrU5OdlQliDzgzsa6Q4sBBvcDDnI4785e0uVHs", false},
        {ifab_schema_sig64, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", true},
        {ifab_schema_sig64, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false},
        {ifab_schema_key_id, "k-59d0a0f6cf9bdcdb", true},
        {ifab_schema_key_id, "k-59d0a0f6cf9bdcd", false},
        {ifab_schema_key_id, "K-59d0a0f6cf9bdcdb", false},
        {ifab_schema_nonce, "fkevFY6dtU_F5JAplvU2Cg", true},
        {ifab_schema_nonce, "AAAAAAAAAAAAAAA", false}, /* 11 bytes */
        {ifab_schema_nonce, "", false},
        {ifab_schema_trace, "01930000-0000-7000-8000-000000000000", true},
        {ifab_schema_trace, "00000000-0000-0000-0000-000000000000", false},
        {ifab_schema_trace, "01930000-0000-7000-8000-00000000000G", false},
        {ifab_schema_uri, "if://agent/A", true},
        {ifab_schema_uri, "https://a/b", false},
        {ifab_schema_printable, "caf\xc3\xa9 \xf0\x9f\x9a\x80", true},
        {ifab_schema_printable, "a\x1b[31m", false},
        {ifab_schema_printable, "a\x7f", false},
        {ifab_schema_printable, "a\xc2\x9b", false},
        {ifab_schema_printable, "a\xc2\xa0", true},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const char *why = NULL;
        if (cases[i].check(ifab_view_str(cases[i].text), &why) != cases[i].good)
            fail_msg("%s", cases[i].text);
        assert_int_equal(why == NULL, cases[i].good);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(documents_that_fit_are_accepted), cmocka_unit_test(refusals_say_what_where_and_how),
    cmocka_unit_test(path_is_cut_where_its_room_ends), cmocka_unit_test(names_are_found_in_large_objects),
    cmocka_unit_test(common_checks_know_their_forms),
};

TEST_MAIN(tests)
