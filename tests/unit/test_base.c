/* base/: buffers, arena, maps, encodings, times, ids, URIs, statuses and codes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/code.h"
#include "base/encode.h"
#include "base/id.h"
#include "base/map.h"
#include "base/time.h"
#include "support.h"

static void buffer_fills_to_its_limit_and_no_further(void **state)
{
    (void)state;
    struct ifab_buf buf = IFAB_BUF_INIT(10);
    ifab_buf_str(&buf, "12345");
    ifab_buf_str(&buf, "67890");
    assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
    ifab_buf_char(&buf, '!');
    assert_int_equal(ifab_buf_status(&buf), IFAB_TOO_LARGE);
    assert_int_equal(buf.size, 10);
    ifab_buf_clear(&buf);
    ifab_buf_str(&buf, "12345678901"); /* one too many in one piece: nothing of it is kept */
    assert_int_equal(buf.size, 0);
    ifab_buf_str(&buf, "a");
    assert_int_equal(buf.size, 0);
    ifab_buf_fini(&buf);
    ifab_buf_fini(&(struct ifab_buf){0});
}

static void buffer_writes_numbers_and_encodings(void **state)
{
    (void)state;
    struct ifab_buf buf = IFAB_BUF_INIT(1000);
    ifab_buf_u64(&buf, UINT64_MAX);
    ifab_buf_char(&buf, ' ');
    ifab_buf_i64(&buf, INT64_MIN);
    ifab_buf_char(&buf, ' ');
    ifab_buf_hex(&buf, "\x00\xab\xff", 3);
    ifab_buf_char(&buf, ' ');
    ifab_buf_base64url(&buf, "\xfb\xff", 2);
    ifab_buf_char(&buf, ' ');
    ifab_buf_base64(&buf, "\xfb\xff", 2);
    ifab_buf_char(&buf, ' ');
    ifab_buf_format(&buf, "%d%s", 7, "x");
    assert_string_equal(test_text(ifab_buf_as_view(&buf)), "18446744073709551615 -9223372036854775808 00abff -_8 +/8= 7x");
    ifab_buf_clear(&buf);
    ifab_buf_format(&buf, "%0600d", 1); /* longer than the first try */
    assert_int_equal(buf.size, 600);
    ifab_buf_format(&buf, "%0401d", 1);
    assert_int_equal(ifab_buf_status(&buf), IFAB_TOO_LARGE);
    assert_int_equal(buf.size, 600);
    ifab_buf_fini(&buf);
}

static void buffer_survives_any_failed_allocation(void **state)
{
    (void)state;
    TEST_SWEEP_ALLOCATIONS({
        struct ifab_buf buf = IFAB_BUF_INIT(100000);
        for (int i = 0; i < 500; i++)
            ifab_buf_format(&buf, "%0300d", i);
        if (ifab_mem_failed()) {
            assert_int_equal(ifab_buf_status(&buf), IFAB_NOMEM);
            assert_int_equal(buf.size % 300, 0); /* no half of an append */
        }
        ifab_buf_fini(&buf);
    });
}

static void arena_aligns_limits_and_reuses(void **state)
{
    (void)state;
    struct ifab_arena arena;
    ifab_arena_init(&arena, 100000);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 200; size++) {
            uint8_t *piece = ifab_arena_alloc(&arena, size);
            assert_non_null(piece);
            assert_int_equal((uintptr_t)piece % 16, 0);
            memset(piece, 0xa5, size);
        }
        assert_non_null(ifab_arena_alloc(&arena, 70000));
        assert_null(ifab_arena_alloc(&arena, 10000));
        assert_null(ifab_arena_alloc(&arena, SIZE_MAX));
        assert_null(ifab_arena_calloc(&arena, SIZE_MAX / 2, 3));
        ifab_arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    uint8_t *zeroed = ifab_arena_calloc(&arena, 100, 10);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(zeroed[i], 0);
    struct ifab_view copy;
    assert_int_equal(ifab_arena_copy(&arena, IFAB_VIEW("abc"), &copy), IFAB_OK);
    assert_true(ifab_view_is(copy, "abc"));
    ifab_arena_fini(&arena);
    ifab_arena_fini(&(struct ifab_arena){0});
    ifab_arena_init(&arena, 16);
    assert_non_null(ifab_arena_alloc(&arena, 16));
    assert_null(ifab_arena_alloc(&arena, 1));
    ifab_arena_fini(&arena);
}

static struct ifab_view key_of(uint64_t n, char text[32])
{
    return ifab_view_of(text, (size_t)snprintf(text, 32, "key-%llu", (unsigned long long)n));
}

static void map_agrees_with_an_array(void **state)
{
    (void)state;
    enum { KEYS = 300 };
    struct test_random random = {test_env_u64("IFAB_SEED", 7)};
    struct ifab_map map;
    struct ifab_u64map numbers = {0};
    uint64_t model[KEYS];
    bool there[KEYS] = {false};
    size_t count = 0;
    char text[32];
    ifab_map_init(&map, 99);
    for (int step = 0; step < 40000; step++) {
        size_t k = (size_t)test_random_below(&random, KEYS);
        uint64_t value = test_random_u64(&random), got = 0;
        if (test_random_below(&random, 2) == 0) {
            assert_int_equal(ifab_map_put(&map, key_of(k, text), value), IFAB_OK);
            assert_int_equal(ifab_u64map_put(&numbers, k << 40, value), IFAB_OK);
            count += there[k] ? 0 : 1;
            there[k] = true;
            model[k] = value;
        } else {
            assert_int_equal(ifab_map_remove(&map, key_of(k, text)), there[k]);
            assert_int_equal(ifab_u64map_remove(&numbers, k << 40), there[k]);
            count -= there[k] ? 1 : 0;
            there[k] = false;
        }
        k = (size_t)test_random_below(&random, KEYS);
        assert_int_equal(ifab_map_get(&map, key_of(k, text), &got), there[k]);
        if (there[k])
            assert_int_equal(got, model[k]);
        assert_int_equal(ifab_u64map_get(&numbers, k << 40, &got), there[k]);
        if (there[k])
            assert_int_equal(got, model[k]);
        assert_int_equal(map.count, count);
        assert_int_equal(numbers.count, count);
    }
    size_t walked = 0, cursor = 0;
    struct ifab_view key;
    while (ifab_map_next(&map, &cursor, &key, NULL))
        walked++;
    assert_int_equal(walked, count);
    for (walked = 0, cursor = 0; ifab_u64map_next(&numbers, &cursor, NULL, NULL);)
        walked++;
    assert_int_equal(walked, count);
    ifab_map_fini(&map);
    ifab_u64map_fini(&numbers);
}

static void map_puts_that_were_reserved_cannot_fail(void **state)
{
    (void)state;
    char text[32], large[IFAB_MAP_SPARE_KEY];
    memset(large, 'k', sizeof large);
    struct ifab_map map;
    struct ifab_u64map numbers = {0};
    ifab_map_init(&map, 1);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(ifab_map_reserve(&map, 2), IFAB_OK);
        assert_int_equal(ifab_u64map_reserve(&numbers, 1), IFAB_OK);
        large[0] = (char)i;
        ifab_mem_fail_at(1);
        assert_int_equal(ifab_map_put(&map, key_of(i, text), i), IFAB_OK);
        ifab_mem_fail_at(1);
        assert_int_equal(ifab_map_put(&map, ifab_view_of(large, sizeof large), i), IFAB_OK);
        ifab_mem_fail_at(1);
        assert_int_equal(ifab_u64map_put(&numbers, i, i), IFAB_OK);
        assert_false(ifab_mem_failed());
        ifab_mem_fail_at(0);
    }
    assert_int_equal(map.count, 200);
    for (uint64_t i = 0; i < 100; i++)
        assert_true(ifab_map_get(&map, key_of(i, text), NULL));
    ifab_map_fini(&map);
    ifab_u64map_fini(&numbers);
}

static void map_survives_any_failed_allocation(void **state)
{
    (void)state;
    TEST_SWEEP_ALLOCATIONS({
        struct ifab_map map;
        char text[32];
        size_t stored = 0;
        ifab_map_init(&map, 1);
        ifab_status status = ifab_map_reserve(&map, 5);
        if (status != IFAB_OK)
            assert_int_equal(map.count, 0);
        for (uint64_t i = 0; i < 30; i++)
            stored += ifab_map_put(&map, key_of(i, text), i) == IFAB_OK;
        assert_int_equal(map.count, stored);
        ifab_map_fini(&map);
    });
}

static void hash_depends_on_every_byte_and_the_seed(void **state)
{
    (void)state;
    uint8_t bytes[40] = {0};
    uint64_t first = ifab_hash64(ifab_view_of(bytes, sizeof bytes), 1);
    assert_true(ifab_hash64(ifab_view_of(bytes, sizeof bytes), 2) != first);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = 1;
        assert_true(ifab_hash64(ifab_view_of(bytes, sizeof bytes), 1) != first);
        bytes[i] = 0;
        assert_true(ifab_hash64(ifab_view_of(bytes, i), 1) != first);
    }
}

static void base64url_accepts_one_spelling_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int size; /* -1: refused */
    } cases[] = {{"", 0},      {"AA", 1},   {"AB", -1},    {"AAA", 2},   {"AAB", -1}, {"AAAA", 3}, {"A", -1},   {"AAAAA", -1}, {"-_8", 2},
                 {"+/8", -1},  {"-_8=", -1}, {"AA==", -1}, {"AA\n", -1}, {" AA", -1}, {"__8", 2},  {"_-8", 2}, {"AA A", -1}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        uint8_t bytes[8];
        size_t size = 99;
        ifab_status status = ifab_base64url_decode(ifab_view_str(cases[i].text), bytes, sizeof bytes, &size);
        assert_int_equal(status, cases[i].size < 0 ? IFAB_INVALID : IFAB_OK);
        assert_int_equal(size, cases[i].size < 0 ? 99 : cases[i].size);
    }
    uint8_t bytes[2];
    size_t size;
    assert_int_equal(ifab_base64url_decode(IFAB_VIEW("AAAA"), bytes, 2, &size), IFAB_TOO_LARGE);
}

static void standard_base64_is_decoded_strictly_and_recognised(void **state)
{
    (void)state;
    uint8_t bytes[8];
    size_t size;
    assert_int_equal(ifab_base64_decode(IFAB_VIEW("+/8="), bytes, sizeof bytes, &size), IFAB_OK);
    assert_int_equal(size, 2);
    assert_memory_equal(bytes, "\xfb\xff", 2);
    static const char *const refused[] = {"+/8", "AB==", "A===", "====", "AA=A", "-_8=", "AAAA=", "=AAA"};
    for (size_t i = 0; i < IFAB_COUNT(refused); i++)
        assert_int_equal(ifab_base64_decode(ifab_view_str(refused[i]), bytes, sizeof bytes, &size), IFAB_INVALID);
    assert_true(ifab_looks_base64_standard(IFAB_VIEW("+/8=")));
    assert_true(ifab_looks_base64_standard(IFAB_VIEW("AA==")));
    assert_true(ifab_looks_base64_standard(IFAB_VIEW("a+b/")));
    assert_false(ifab_looks_base64_standard(IFAB_VIEW("AAAA")));
    assert_false(ifab_looks_base64_standard(IFAB_VIEW("-_8")));
    assert_false(ifab_looks_base64_standard(IFAB_VIEW("=")));
    assert_false(ifab_looks_base64_standard(IFAB_VIEW("")));
    assert_false(ifab_looks_base64_standard(IFAB_VIEW("a b+")));
}

static void hex_is_lower_case_of_exact_length(void **state)
{
    (void)state;
    uint8_t bytes[2] = {9, 9};
    static const char *const refused[] = {"", "00a", "00ab0", "00aB", "00ag", "0x00"};
    for (size_t i = 0; i < IFAB_COUNT(refused); i++)
        assert_int_equal(ifab_hex_decode(ifab_view_str(refused[i]), bytes, 2), IFAB_INVALID);
    assert_int_equal(bytes[0], 9);
    assert_int_equal(ifab_hex_decode(IFAB_VIEW("00ab"), bytes, 2), IFAB_OK);
    assert_memory_equal(bytes, "\x00\xab", 2);
}

static void utf8_is_checked_as_rfc_3629_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {{"plain text of more than eight bytes", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true}, {"\xf0\x9f\x9a\x80", true},
                 {"\xf4\x8f\xbf\xbf", true}, {"\xf4\x90\x80\x80", false}, {"\xed\x9f\xbf", true}, {"\xed\xa0\x80", false},
                 {"\xc0\x80", false},
                 {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false}, {"\xf0\x8f\xbf\xbf", false}, {"\xf5\x80\x80\x80", false}, {"\x80", false},
                 {"abcdefgh\xc3", false}, {"\xe2\x82", false}, {"\xf0\x9f\x9a", false}, {"\xff", false}, {"\xe2\x28\xa1", false}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++)
        assert_int_equal(ifab_utf8_valid(ifab_view_str(cases[i].text)), cases[i].valid);
    assert_true(ifab_utf8_valid((struct ifab_view){NULL, 0}));
}

static void packed_numbers_come_back_and_reads_past_the_end_stick(void **state)
{
    (void)state;
    uint8_t bytes[16], *at = bytes;
    ifab_put_u8(&at, 0x01);
    ifab_put_u32(&at, 0x05040302);
    ifab_put_u64(&at, 0x0d0c0b0a09080706);
    ifab_put_bytes(&at, "xyz", 3);
    for (uint8_t i = 0; i < 13; i++)
        assert_int_equal(bytes[i], i + 1);
    struct ifab_reader r = {bytes, at, false};
    assert_int_equal(ifab_get_u8(&r), 0x01);
    assert_int_equal(ifab_get_u32(&r), 0x05040302);
    assert_int_equal(ifab_get_u64(&r), 0x0d0c0b0a09080706);
    assert_true(ifab_view_is(ifab_get_bytes(&r, 3), "xyz"));
    assert_false(r.bad);
    assert_int_equal(ifab_get_u8(&r), 0);
    assert_true(r.bad);
    r = (struct ifab_reader){bytes, bytes + 7, false};
    assert_int_equal(ifab_get_u64(&r), 0);
    assert_int_equal(ifab_get_u8(&r), 0); /* sticky: there would be bytes */
    assert_true(r.bad);
}

static void times_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1000},
        {"2025-11-12T10:21:00Z", 1762942860000000},
        {"2000-02-29T23:59:59.999Z", 951868799999000},
        {"9999-12-31T23:59:59.999Z", 253402300799999000},
        {"2024-02-29T00:00:00Z", 1709164800000000},
        {"2023-02-29T00:00:00Z", -1},
        {"2100-02-29T00:00:00Z", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"2025-00-12T10:21:00Z", -1},
        {"2025-13-12T10:21:00Z", -1},
        {"2025-11-00T10:21:00Z", -1},
        {"2025-11-31T10:21:00Z", -1},
        {"2025-11-12T24:00:00Z", -1},
        {"2025-11-12T10:60:00Z", -1},
        {"2025-11-12T10:21:60Z", -1},
        {"2025-11-12t10:21:00Z", -1},
        {"2025-11-12T10:21:00z", -1},
        {"2025-11-12 10:21:00Z", -1},
        {"2025-11-12T10:21:00", -1},
        {"2025-11-12T10:21:00.Z", -1},
        {"2025-11-12T10:21:00.12Z", -1},
        {"2025-11-12T10:21:00.1234Z", -1},
        {"2025-11-12T10:21:00,123Z", -1},
        {"2025-11-12T10:21:00+00:00", -1},
        {"+025-11-12T10:21:00Z", -1},
        {"", -1},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        ifab_usec wall = -1;
        ifab_status status = ifab_time_parse(ifab_view_str(cases[i].text), &wall);
        assert_int_equal(status, cases[i].wall < 0 ? IFAB_INVALID : IFAB_OK);
        assert_true(wall == cases[i].wall);
    }
}

static void times_come_back_on_every_day(void **state)
{
    (void)state;
    char text[25], before[25] = "";
    for (int64_t day = 0; day <= 2932896; day += day % 400 == 0 ? 1 : 7) {
        ifab_usec wall = day * IFAB_DAY + day % 86400 * IFAB_SECOND + day % 1000 * 1000, back = 0;
        ifab_time_format(wall, text);
        assert_int_equal(ifab_time_parse(ifab_view_str(text), &back), IFAB_OK);
        assert_true(back == wall);
        assert_true(strcmp(before, text) < 0); /* later times sort later */
        memcpy(before, text, sizeof before);
    }
    ifab_time_format(1762942860123999, text);
    assert_string_equal(text, "2025-11-12T10:21:00.123Z");
    ifab_time_format(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    ifab_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void names_follow_the_rule(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    assert_true(ifab_name_valid(ifab_view_of(longest, 64)));
    assert_false(ifab_name_valid(ifab_view_of(longest, 65)));
    static const char *const good[] = {"a", "Finance.Agent", "0", "a-b_c.d", "A.", "a--b"};
    static const char *const bad[] = {"", ".a", "-a", "_a", "a..b", "a/b", "a b", "a\n", "\xc3\xa9", "a:b", "..", "a%"};
    for (size_t i = 0; i < IFAB_COUNT(good); i++)
        assert_true(ifab_name_valid(ifab_view_str(good[i])));
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_false(ifab_name_valid(ifab_view_str(bad[i])));
}

static void ids_are_uuid_version_7(void **state)
{
    (void)state;
    uint8_t uuid[16], random10[10];
    char text[37];
    memset(random10, 0xff, sizeof random10);
    ifab_uuid7_make(1762942860123456, random10, uuid);
    ifab_uuid_format(uuid, text);
    assert_string_equal(text, "019a7795-3b5b-7fff-bfff-ffffffffffff");
    assert_int_equal(ifab_id_parse(IFAB_VIEW("msg-019a7795-3b5b-7fff-bfff-ffffffffffff"), "msg-", uuid), IFAB_OK);
    static const char *const bad[] = {
        "msg-019a7795-3b5b-4fff-bfff-ffffffffffff", "msg-019a7795-3b5b-7fff-7fff-ffffffffffff", "msg-019A7798-bc9b-7fff-bfff-ffffffffffff",
        "msg-019a7798bbc9b-7fff-bfff-ffffffffffff", "msg-019a7795-3b5b-7fff-bfff-fffffffffff",  "conv-019a7795-3b5b-7fff-bfff-ffffffffffff",
        "msg-019a7795-3b5b-7fff-bfff-ffffffffffff0", "msg-", ""};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_int_equal(ifab_id_parse(ifab_view_str(bad[i]), "msg-", uuid), IFAB_INVALID);
    assert_int_equal(ifab_uuid_parse(IFAB_VIEW("00000000-0000-0000-0000-000000000000"), uuid), IFAB_OK);
}

static void uris_are_taken_apart(void **state)
{
    (void)state;
    struct ifab_uri uri;
    assert_int_equal(ifab_uri_parse(IFAB_VIEW("if://decision/a.b/c@1.0.0#part"), &uri, NULL), IFAB_OK);
    assert_true(ifab_view_is(uri.type, "decision") && ifab_view_is(uri.path, "a.b/c"));
    assert_true(ifab_view_is(uri.version, "1.0.0") && ifab_view_is(uri.fragment, "part"));
    assert_int_equal(uri.segment_count, 2);
    assert_true(ifab_view_is(uri.segments[1], "c"));
    assert_int_equal(ifab_uri_parse(IFAB_VIEW("if://t/1/2/3/4/5/6/7/8"), &uri, NULL), IFAB_OK);
    assert_int_equal(uri.segment_count, 8);
    static const char *const bad[] = {"", "if://", "if://a", "if://a/", "if:///b", "if://A/b", "if://1a/b", "if://a//b", "if://a/b/",
        "if://a/../b",
                                      "if://a/b#", "if://a/b@", "if://a/b#f@1", "if://a/b@1@2", "if://a/b c", "http://a/b", "IF://a/b",
                                      "if://t/1/2/3/4/5/6/7/8/9", "if://a/b?c", "if://a/%41", "if://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/b"};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        struct ifab_error err = {0};
        assert_int_equal(ifab_uri_parse(ifab_view_str(bad[i]), &uri, &err), IFAB_INVALID);
        assert_true(err.text[0] != '\0');
    }
}

static void senders_are_agents_with_nothing_behind(void **state)
{
    (void)state;
    struct ifab_view name, instance;
    assert_int_equal(ifab_sender_parse(IFAB_VIEW("if://agent/Finance.Agent/42"), &name, &instance), IFAB_OK);
    assert_true(ifab_view_is(name, "Finance.Agent") && ifab_view_is(instance, "42"));
    assert_int_equal(ifab_sender_parse(IFAB_VIEW("if://agent/A"), &name, &instance), IFAB_OK);
    assert_int_equal(instance.size, 0);
    static const char *const bad[] = {"if://agent/A/1/2", "if://agent/A@1", "if://agent/A/1#f", "if://topic/A", "if://agent/", "agent://A"};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_int_equal(ifab_sender_parse(ifab_view_str(bad[i]), &name, &instance), IFAB_INVALID);
}

static void first_cause_of_a_failure_is_kept(void **state)
{
    (void)state;
    struct ifab_error err = {0};
    assert_int_equal(ifab_fail(&err, IFAB_CORRUPT, "cause %d", 1), IFAB_CORRUPT);
    assert_int_equal(ifab_fail(&err, IFAB_IO, "consequence"), IFAB_IO);
    assert_int_equal(err.status, IFAB_CORRUPT);
    assert_string_equal(err.text, "cause 1");
    assert_int_equal(ifab_fail(NULL, IFAB_NOMEM, "x"), IFAB_NOMEM);
    assert_string_equal(ifab_status_name(IFAB_NOMEM), "NOMEM");
    assert_int_equal(ifab_status_class(IFAB_AGAIN), IFAB_CLASS_RETRY);
    assert_int_equal(ifab_status_class((ifab_status)77), IFAB_CLASS_FATAL);
    assert_string_equal(ifab_status_text((ifab_status)77), "unknown status");
}

static void texts_cut_short_are_still_utf8(void **state)
{
    (void)state;
    char text[400];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xf0\x9f\x9a\x80", 5);
        struct ifab_error err = {0};
        struct ifab_refusal refusal;
        ifab_fail(&err, IFAB_INVALID, "%s", text);
        ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, text, "%s", text);
        assert_true(ifab_utf8_valid(ifab_view_str(err.text)) && strlen(err.text) > 300);
        assert_true(ifab_utf8_valid(ifab_view_str(refusal.message)) && strlen(refusal.message) > 230);
        assert_true(ifab_utf8_valid(ifab_view_str(refusal.field)) && strlen(refusal.field) > 90);
    }
}

static void codes_are_a_table(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct ifab_code_info *info; (info = ifab_code_at(count)) != NULL; count++) {
        assert_ptr_equal(ifab_code_info(info->code), info);
        assert_true(info->http >= 400 && info->http < 600 && info->exit >= 10 && info->exit <= 20);
        assert_true(info->hint[0] != '\0' && info->text[0] != '\0');
        assert_true(info->hint[0] >= 'A' && info->hint[0] <= 'Z' && info->hint[strlen(info->hint) - 1] == '.'); /* a sentence */
    }
    assert_true(count > 40);
    assert_null(ifab_code_info(IFAB_CODE_NONE));
    struct ifab_refusal refusal;
    assert_int_equal(ifab_refuse(&refusal, IFAB_CODE_OUT_OF_ORDER, "seq", "seq %d", 3), IFAB_CODE_OUT_OF_ORDER);
    assert_string_equal(refusal.message, "seq 3");
    assert_true(refusal.offset == -1 && refusal.retry_after_ms == -1 && refusal.hint == NULL && !refusal.has_first);
    assert_int_equal(ifab_refuse(NULL, IFAB_CODE_NOT_FOUND, NULL, "x"), IFAB_CODE_NOT_FOUND);
    /* INV-06 */
    assert_string_equal(ifab_decision_name((enum ifab_decision)0), "DENY");
    assert_string_equal(ifab_decision_name((enum ifab_decision)9), "DENY");
}

static void views_compare_by_bytes(void **state)
{
    (void)state;
    assert_true(ifab_view_compare(IFAB_VIEW("a"), IFAB_VIEW("b")) < 0);
    assert_true(ifab_view_compare(IFAB_VIEW("a"), IFAB_VIEW("ab")) < 0);
    assert_true(ifab_view_compare(IFAB_VIEW("\xff"), IFAB_VIEW("a")) > 0);
    assert_int_equal(ifab_view_compare((struct ifab_view){NULL, 0}, IFAB_VIEW("")), 0);
    assert_true(ifab_view_equal_nocase(IFAB_VIEW("Finance.Agent"), IFAB_VIEW("fINANCE.aGENT")));
    assert_false(ifab_view_equal_nocase(IFAB_VIEW("["), IFAB_VIEW("{"))); /* they differ in the case bit only */
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(buffer_fills_to_its_limit_and_no_further),
    cmocka_unit_test(buffer_writes_numbers_and_encodings),
    cmocka_unit_test(buffer_survives_any_failed_allocation),
    cmocka_unit_test(arena_aligns_limits_and_reuses),
    cmocka_unit_test(map_agrees_with_an_array),
    cmocka_unit_test(map_puts_that_were_reserved_cannot_fail),
    cmocka_unit_test(map_survives_any_failed_allocation),
    cmocka_unit_test(hash_depends_on_every_byte_and_the_seed),
    cmocka_unit_test(base64url_accepts_one_spelling_only),
    cmocka_unit_test(standard_base64_is_decoded_strictly_and_recognised),
    cmocka_unit_test(hex_is_lower_case_of_exact_length),
    cmocka_unit_test(utf8_is_checked_as_rfc_3629_says),
    cmocka_unit_test(packed_numbers_come_back_and_reads_past_the_end_stick),
    cmocka_unit_test(times_are_read_strictly),
    cmocka_unit_test(times_come_back_on_every_day),
    cmocka_unit_test(names_follow_the_rule),
    cmocka_unit_test(ids_are_uuid_version_7),
    cmocka_unit_test(uris_are_taken_apart),
    cmocka_unit_test(senders_are_agents_with_nothing_behind),
    cmocka_unit_test(first_cause_of_a_failure_is_kept),
    cmocka_unit_test(texts_cut_short_are_still_utf8),
    cmocka_unit_test(codes_are_a_table),
    cmocka_unit_test(views_compare_by_bytes),
};

TEST_MAIN(tests)
