/* The canonical entry: its exact bytes, its agreement with the general JSON writer, its limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "crypto/crypto.h"
#include "witness/witness.h"
#include "json/json.h"

static struct ifab_entry sample(void)
{
    return (struct ifab_entry){
        .event = IFAB_EVENT_MESSAGE_SHARE,
        .log = IFAB_VIEW("main"),
        .index = 7,
        .time = 1762942860123456,
        .actor = IFAB_VIEW("if://agent/Finance.Agent/42"),
        .why = IFAB_VIEW("inform"),
        .trace16 = {0x01, 0x93, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x01},
        .subject = IFAB_VIEW("msg-01930000-0000-7000-8000-000000000000"),
        .payload = IFAB_VIEW("{\"decision\":\"SHARE\"}"),
    };
}

static void assert_entry(const struct ifab_entry *entry, const char *want)
{
    struct ifab_buf buf = IFAB_BUF_INIT(200000);

    assert_int_equal(ifab_entry_write(entry, &buf), IFAB_OK);
    if (!ifab_view_is(ifab_buf_as_view(&buf), want))
        fail_msg("wrote %.*s", IFAB_ARG(ifab_buf_as_view(&buf)));
    ifab_buf_fini(&buf);
}

static void writes_exactly_these_bytes(void **state)
{
    struct ifab_entry entry = sample();

    (void)state;
    entry.prev_hash32[0] = 0xab;
    assert_entry(
        &entry,
        "{\"actor\":\"if://agent/Finance.Agent/42\",\"component\":\"IF.connect\",\"index\":7,\"log\":\"main\",\"operation\":\"share\","
        "\"payload\":{\"decision\":\"SHARE\"},\"prev_hash\":\"ab00000000000000000000000000000000000000000000000000000000000000\","
        "\"severity\":\"INFO\",\"subject\":\"msg-01930000-0000-7000-8000-000000000000\",\"time\":\"2025-11-12T10:21:00.123Z\","
        "\"trace\":\"01930000-0000-7000-8000-000000000001\",\"type\":\"message\",\"v\":1,\"why\":\"inform\"}");
    memset(&entry, 0, sizeof entry);
    entry.event = IFAB_EVENT_CLOCK_JUMP;
    entry.index = 3;
    entry.has_why_from = true;
    entry.why_from = 2;
    entry.refs[0] = IFAB_VIEW("repo:/a\"b");
    entry.refs[1] = IFAB_VIEW("if://agent/B");
    entry.ref_count = 2;
    assert_entry(&entry, "{\"actor\":\"\",\"component\":\"IF.fabric\",\"index\":3,\"log\":\"\",\"operation\":\"clock_jump\",\"payload\":{},"
                         "\"prev_hash\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"refs\":[\"repo:/a\\\"b\","
                         "\"if://agent/B\"],\"severity\":\"HIGH\",\"subject\":\"\",\"time\":\"1970-01-01T00:00:00.000Z\",\"trace\":null,"
                         "\"type\":\"fabric\",\"v\":1,\"why_from\":2}");
}

/* Every event, text that needs escapes, refs 0..16: reading and writing again gives the same bytes. */
static void is_canonical_whatever_it_holds(void **state)
{
    struct ifab_buf buf = IFAB_BUF_INIT(200000), again = IFAB_BUF_INIT(200000);
    struct ifab_arena arena;

    (void)state;
    ifab_arena_init(&arena, 1 << 20);
    for (unsigned event = 0; event < IFAB_EVENT_COUNT; event++) {
        for (size_t refs = 0; refs <= 16; refs++) {
            struct ifab_entry entry = sample();
            const struct ifab_json *tree;
            entry.event = (enum ifab_event)event;
            entry.why = IFAB_VIEW("a \"quoted\" \\ line\n\twith \x01, \xc3\xa9, \xe2\x82\xac and \xf0\x9f\x9a\x80");
            entry.actor = IFAB_VIEW("\x7f\xc2\x80 uid:1000");
            entry.has_why_from = refs % 3 == 0;
            for (size_t i = 0; i < refs; i++)
                entry.refs[i] = IFAB_VIEW("if://agent/\xe6\x9d\xb1");
            entry.ref_count = refs;
            ifab_buf_clear(&buf);
            ifab_buf_clear(&again);
            ifab_arena_reset(&arena);
            assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_OK);
            assert_int_equal(ifab_json_read(ifab_buf_as_view(&buf), NULL, &arena, &tree, NULL), IFAB_OK);
            ifab_json_write(&again, tree);
            assert_int_equal(ifab_buf_status(&again), IFAB_OK);
            assert_true(ifab_view_equal(ifab_buf_as_view(&buf), ifab_buf_as_view(&again)));
        }
    }
    ifab_arena_fini(&arena);
    ifab_buf_fini(&buf);
    ifab_buf_fini(&again);
}

static void appends_all_or_nothing_at_the_limit(void **state)
{
    struct ifab_buf buf = IFAB_BUF_INIT(300000), tight = IFAB_BUF_INIT(100);
    uint8_t *why = ifab_malloc(70000);
    struct ifab_entry entry = sample();
    size_t room;

    (void)state;
    memset(why, 'w', 70000);
    entry.why = ifab_view_of(why, 0);
    ifab_buf_str(&buf, "before");
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_OK);
    room = IFAB_ENTRY_MAX - (buf.size - 6);
    for (int more = -1; more <= 1; more++) {
        size_t size = (size_t)((int)room + more);
        ifab_buf_clear(&buf);
        ifab_buf_str(&buf, "before");
        entry.why = ifab_view_of(why, size);
        if (more <= 0) {
            assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_OK);
            assert_int_equal(buf.size - 6, IFAB_ENTRY_MAX + more);
        } else {
            assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_TOO_LARGE);
            assert_true(ifab_view_is(ifab_buf_as_view(&buf), "before"));
            assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
        }
    }
    entry.why = ifab_view_of(why, 70000); /* refused before it is copied */
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_TOO_LARGE);
    entry.why = ifab_view_of(why, 6);
    assert_int_equal(ifab_entry_write(&entry, &tight), IFAB_TOO_LARGE);
    assert_int_equal(tight.size, 0);
    ifab_free(why);
    ifab_buf_fini(&buf);
    ifab_buf_fini(&tight);
}

static void refuses_what_no_entry_can_say(void **state)
{
    struct ifab_buf buf = IFAB_BUF_INIT(10000);
    struct ifab_entry entry = sample();

    (void)state;
    entry.event = IFAB_EVENT_COUNT;
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_INVALID);
    assert_null(ifab_event_info(IFAB_EVENT_COUNT));
    entry = sample();
    entry.ref_count = 17;
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_INVALID);
    entry = sample();
    entry.index = UINT64_C(9007199254740992);
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_INVALID);
    entry.index--;
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_OK);
    entry = sample();
    entry.has_why_from = true;
    entry.why_from = entry.index; /* an entry inherits from an earlier one only */
    assert_int_equal(ifab_entry_write(&entry, &buf), IFAB_INVALID);
    ifab_buf_fini(&buf);
}

static void says_when_memory_is_out_and_leaves_the_buffer(void **state)
{
    struct ifab_entry entry = sample();

    (void)state;
    for (uint64_t n = 1; n < 100; n++) {
        struct ifab_buf buf = IFAB_BUF_INIT(100000);
        ifab_status status;
        bool failed;
        ifab_mem_fail_at(n);
        status = ifab_entry_write(&entry, &buf);
        failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        if (failed)
            assert_int_equal(buf.size, 0);
        ifab_buf_fini(&buf);
        if (!failed)
            return;
    }
    fail_msg("it never succeeded");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_exactly_these_bytes),
        cmocka_unit_test(is_canonical_whatever_it_holds),
        cmocka_unit_test(appends_all_or_nothing_at_the_limit),
        cmocka_unit_test(refuses_what_no_entry_can_say),
        cmocka_unit_test(says_when_memory_is_out_and_leaves_the_buffer),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
