/* yaml/: the strict part of YAML that configuration files use. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support.h"
#include "yaml/yaml_tree.h"

static void documents_become_trees_of_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"", "{}"},
        {"# only a comment\n", "{}"},
        {"---\n", "{}"},
        {"--- {}\n...\n", "{}"},
        {"b: 1\na: true\n", "{\"a\":\"true\",\"b\":\"1\"}"},
        {"a:\n  b: [x, 'y z', \"t\\tu\"]\n  c: {}\n", "{\"a\":{\"b\":[\"x\",\"y z\",\"t\\tu\"],\"c\":{}}}"},
        {"- 1\n- - 2\n- k: v\n", "[\"1\",[\"2\"],{\"k\":\"v\"}]"},
        {"a:\nb: ~\nc: null\n", "{\"a\":\"\",\"b\":\"~\",\"c\":\"null\"}"},
        {"text: |\n  one\n  two\nfold: >-\n  one\n  two\n", "{\"fold\":\"one two\",\"text\":\"one\\ntwo\\n\"}"},
        {"u: caf\xc3\xa9 \"q\"\n", "{\"u\":\"caf\xc3\xa9 \\\"q\\\"\"}"},
        {"'<<': quoted\n", "{\"<<\":\"quoted\"}"},
        {"\"1001\": Finance.Agent # who\n", "{\"1001\":\"Finance.Agent\"}"},
        {"plain\n", "\"plain\""},
        {"{\"json\": [\"is\", \"yaml\"]}", "{\"json\":[\"is\",\"yaml\"]}"},
        {"a: [k: v]\n", "{\"a\":[{\"k\":\"v\"}]}"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_buf buf = IFAB_BUF_INIT(4096);
        struct ifab_yaml yaml;
        struct ifab_error err = {0};
        ifab_arena_init(&arena, 1 << 20);
        if (ifab_yaml_read(ifab_view_str(cases[i].text), &arena, &yaml, &err) != IFAB_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        ifab_json_write(&buf, yaml.root);
        assert_string_equal(test_text(ifab_buf_as_view(&buf)), cases[i].json);
        ifab_buf_fini(&buf);
        ifab_arena_fini(&arena);
    }
}

static void a_schema_types_the_scalars(void **state)
{
    (void)state;
    static const struct ifab_schema_field inner[] = {{.name = "text", .kind = IFAB_SCHEMA_STRING}, {.name = "n", .kind = IFAB_SCHEMA_INTEGER}};
    static const struct ifab_schema inner_schema = {"inner", inner, IFAB_COUNT(inner)};
    static const struct ifab_schema_field item = {.kind = IFAB_SCHEMA_STRING}, number = {.kind = IFAB_SCHEMA_INTEGER};
    static const struct ifab_schema_field rows[] = {
        {.name = "text", .kind = IFAB_SCHEMA_STRING},
        {.name = "words", .kind = IFAB_SCHEMA_LIST, .item = &item},
        {.name = "numbers", .kind = IFAB_SCHEMA_LIST, .item = &number},
        {.name = "sub", .kind = IFAB_SCHEMA_OBJECT, .sub = &inner_schema},
        {.name = "free", .kind = IFAB_SCHEMA_OPEN},
    };
    static const struct ifab_schema schema = {"document", rows, IFAB_COUNT(rows)};
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"text: 1\nwords: [1, true, x]\nnumbers: [1, 2.5, x]\n", "{\"numbers\":[1,2.5,\"x\"],\"text\":\"1\",\"words\":[\"1\",\"true\",\"x\"]}"},
        {"sub: {text: null, n: 7}\n", "{\"sub\":{\"n\":7,\"text\":\"null\"}}"},
        {"free: {a: 1, b: '1', c: true, d: yes, e: 1.0.0, f: null, g: [01, 1e2], h: .5, i: ~}\n",
         "{\"free\":{\"a\":1,\"b\":\"1\",\"c\":true,\"d\":\"yes\",\"e\":\"1.0.0\",\"f\":null,\"g\":[\"01\",100],\"h\":\".5\",\"i\":\"~\"}}"},
        {"other: 9007199254740993\n", "{\"other\":\"9007199254740993\"}"}, /* no number that all readers agree on: text, which the schema refuses */
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_buf buf = IFAB_BUF_INIT(4096);
        struct ifab_yaml yaml;
        const struct ifab_json *tree = NULL;
        ifab_arena_init(&arena, 1 << 20);
        assert_int_equal(ifab_yaml_read(ifab_view_str(cases[i].text), &arena, &yaml, NULL), IFAB_OK);
        assert_int_equal(ifab_yaml_typed(&yaml, &schema, &arena, &tree, NULL), IFAB_OK);
        ifab_json_write(&buf, tree);
        assert_string_equal(test_text(ifab_buf_as_view(&buf)), cases[i].json);
        ifab_buf_fini(&buf);
        ifab_arena_fini(&arena);
    }
}

static void the_rest_of_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line;
        const char *reason;
    } cases[] = {
        {"a: !!str 1\n", 1, "tags"},
        {"a: 1\nb: ! x\n", 2, "tags"},
        {"a: !x {}\n", 1, "tags"},
        {"a: &anchor 1\n", 1, "anchors"},
        {"a: 1\nb: *a\n", 2, "aliases"},
        {"a: &x {}\n<<: *x\n", 1, "anchors"},
        {"a: 1\n<<: {}\n", 2, "merge keys"},
        {"a: 1\n---\nb: 2\n", 2, "second document"},
        {"a: 1\nb: 2\na: 3\n", 3, "used twice"},
        {"a: 1\n'a': 3\n", 2, "used twice"},
        {"x:\n  k: 1\n  k: 1\n", 3, "used twice"},
        {"? [a]\n: b\n", 1, "must be a scalar"},
        {"'': b\n", 1, "empty"},
        {": b\n", 1, ""},
        {"%YAML 1.1\n---\na: 1\n", 1, "directives"},
        {"%TAG ! tag:x,2000:\n---\na: 1\n", 1, "directives"},
        {"a: [1\n", 2, ""},
        {"a: \"x\n", 2, ""},
        {"a: b: c\n", 1, ""},
        {"a:\n\tb: 1\n", 2, ""},
        {"a: \"\\0\"\n", 1, "NUL"},
        {"\xef\xbb\xbf" "a: 1\n", 1, "byte order mark"},
        {"a: \xff\n", 1, ""},
        {"a: \x01\n", 1, ""},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_arena arena;
        struct ifab_yaml yaml;
        struct ifab_error err = {0};
        ifab_arena_init(&arena, 1 << 20);
        ifab_status status = ifab_yaml_read(ifab_view_str(cases[i].text), &arena, &yaml, &err);
        if (status != IFAB_INVALID || err.line != cases[i].line || strstr(err.text, cases[i].reason) == NULL)
            fail_msg("%s: status %d, line %u, %s", cases[i].text, (int)status, err.line, err.text);
        ifab_arena_fini(&arena);
    }
}

static void positions_are_those_of_the_file(void **state)
{
    (void)state;
    struct ifab_arena arena;
    struct ifab_yaml yaml;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_yaml_read(IFAB_VIEW("z: 1\na:\n  - x\n  - 'y'\n"), &arena, &yaml, NULL), IFAB_OK);
    const struct ifab_json *list = ifab_json_get(yaml.root, "a");
    struct ifab_yaml_mark x = ifab_yaml_position(&yaml, &list->u.array.items[0]), y = ifab_yaml_position(&yaml, &list->u.array.items[1]);
    assert_true(x.line == 3 && x.column == 5 && !x.quoted);
    assert_true(y.line == 4 && y.column == 5 && y.quoted);
    struct ifab_yaml_mark name = yaml.marks[yaml.root->u.object.members[0].offset];
    assert_true(name.line == 2 && name.column == 1);
    assert_int_equal(ifab_yaml_position(&yaml, ifab_json_get(yaml.root, "z")).line, 1);
    assert_int_equal(ifab_yaml_position(&yaml, NULL).line, 0);
    ifab_arena_fini(&arena);
}

static void limits_hold(void **state)
{
    (void)state;
    struct ifab_arena arena;
    struct ifab_yaml yaml;
    struct ifab_buf buf = IFAB_BUF_INIT((size_t)16 << 20);
    ifab_arena_init(&arena, (size_t)64 << 20);
    for (size_t depth = 32; depth <= 33; depth++) {
        ifab_buf_clear(&buf);
        for (size_t i = 0; i < depth; i++)
            ifab_buf_char(&buf, '[');
        for (size_t i = 0; i < depth; i++)
            ifab_buf_char(&buf, ']');
        assert_int_equal(ifab_yaml_read(ifab_buf_as_view(&buf), &arena, &yaml, NULL), depth == 32 ? IFAB_OK : IFAB_INVALID);
    }
    ifab_buf_clear(&buf);
    for (size_t i = 0; i < 500000; i++) /* must not cost quadratic time */
        ifab_buf_char(&buf, '[');
    assert_int_equal(ifab_yaml_read(ifab_buf_as_view(&buf), &arena, &yaml, NULL), IFAB_INVALID);
    for (size_t names = 1024; names <= 1025; names++) {
        ifab_buf_clear(&buf);
        for (size_t i = 0; i < names; i++)
            ifab_buf_format(&buf, "n%zu: 1\n", i);
        assert_int_equal(ifab_yaml_read(ifab_buf_as_view(&buf), &arena, &yaml, NULL), names == 1024 ? IFAB_OK : IFAB_INVALID);
    }
    ifab_buf_clear(&buf);
    while (buf.size <= (size_t)8 << 20)
        ifab_buf_str(&buf, "# comment\n");
    assert_int_equal(ifab_yaml_read(ifab_buf_as_view(&buf), &arena, &yaml, NULL), IFAB_TOO_LARGE);
    ifab_buf_fini(&buf);
    ifab_arena_fini(&arena);
}

static void survives_any_failed_allocation(void **state)
{
    (void)state;
    TEST_SWEEP_ALLOCATIONS({
        struct ifab_arena arena;
        struct ifab_yaml yaml;
        ifab_arena_init(&arena, 1 << 20);
        ifab_status status = ifab_yaml_read(IFAB_VIEW("a: [1, 2, {b: c}]\nd: 'e'\n"), &arena, &yaml, NULL);
        assert_int_equal(status, ifab_mem_failed() ? IFAB_NOMEM : IFAB_OK);
        ifab_arena_fini(&arena);
    });
    for (size_t limit = 0; limit < 2000; limit += 16) {
        struct ifab_arena arena;
        struct ifab_yaml yaml;
        ifab_arena_init(&arena, limit);
        ifab_status status = ifab_yaml_read(IFAB_VIEW("a: [1, 2, {b: c}]\nd: 'e'\n"), &arena, &yaml, NULL);
        assert_true(status == IFAB_NOMEM || (status == IFAB_OK && limit > 500));
        ifab_arena_fini(&arena);
    }
}

static void every_prefix_ends_cleanly(void **state)
{
    (void)state;
    static const char text[] = "a: [1, 'two', \"th\\u00e9\"]\nb:\n  - |\n    block\n  - {c: d}\n";
    for (size_t size = 0; size < sizeof text; size++) {
        struct ifab_arena arena;
        struct ifab_yaml yaml;
        ifab_arena_init(&arena, 1 << 20);
        ifab_status status = ifab_yaml_read(ifab_view_of(text, size), &arena, &yaml, NULL);
        assert_true(status == IFAB_OK || status == IFAB_INVALID);
        ifab_arena_fini(&arena);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(documents_become_trees_of_strings), cmocka_unit_test(a_schema_types_the_scalars), cmocka_unit_test(the_rest_of_yaml_is_refused_with_its_line),
    cmocka_unit_test(positions_are_those_of_the_file),   cmocka_unit_test(limits_hold),
    cmocka_unit_test(survives_any_failed_allocation),    cmocka_unit_test(every_prefix_ends_cleanly),
};

TEST_MAIN(tests)
