/* Frames between daemon and sandbox: what is written reads back, everything else is refused. INV-15 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frame/frame.h"
#include "support.h"

static struct ifab_buf buf = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX + 64);

static struct ifab_frame taken(enum ifab_frame_from from)
{
    struct ifab_frame frame;
    size_t took = 0;
    assert_int_equal(ifab_frame_read(from, ifab_buf_as_view(&buf), &frame, &took), IFAB_OK);
    assert_int_equal(took, buf.size);
    return frame;
}

static const struct ifab_frame_load a_load = {IFAB_MODULE_ARTIFACT, 16, 100, 1, IFAB_IMPORT_ALL, 60, {(const uint8_t *)"code", 4}};
static const struct ifab_frame_call a_call = {IFAB_EXPORT_APPLY, 1000, 4096, 10, 1000000, {(const uint8_t *)"{}", 2}};
static const struct ifab_frame_host_call a_host_call = {IFAB_IMPORT_kv_put, 0, {(const uint8_t *)"k", 1}, {(const uint8_t *)"value", 5}};
static const struct ifab_frame_ready a_ready = {
    IFAB_WALL_MANDATORY, IFAB_SANDBOX_PREPARE, {(const uint8_t *)"null", 4}, {(const uint8_t *)"1", 1}, {(const uint8_t *)"fuel on\n", 8}};

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct ifab_frame frame;
    struct ifab_frame_load load;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_load_write(&buf, &a_load), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_DAEMON);
    assert_int_equal(frame.call, 0);
    assert_int_equal(ifab_frame_load_read(&frame, &load), IFAB_OK);
    assert_true(load.memory_pages == 16 && load.table_elements == 100 && load.slots == 1 && load.imports == IFAB_IMPORT_ALL &&
                load.cpu_seconds == 60 && load.kind == IFAB_MODULE_ARTIFACT && ifab_view_is(load.bytes, "code"));

    struct ifab_frame_call call;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_call_write(&buf, 7, &a_call), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_DAEMON);
    assert_int_equal(frame.call, 7);
    assert_int_equal(ifab_frame_call_read(&frame, &call), IFAB_OK);
    assert_true(call.export_ == IFAB_EXPORT_APPLY && call.deadline_ms == 1000 && call.output_max == 4096 && call.host_calls_max == 10 &&
                call.fuel == 1000000 && ifab_view_is(call.input, "{}"));

    struct ifab_frame_host_call host_call;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_host_call_write(&buf, 7, &a_host_call), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_WORKER);
    assert_int_equal(ifab_frame_host_call_read(&frame, &host_call), IFAB_OK);
    assert_true(host_call.import == IFAB_IMPORT_kv_put && ifab_view_is(host_call.a, "k") && ifab_view_is(host_call.b, "value"));

    struct ifab_frame_ready ready;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_ready_write(&buf, &a_ready), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_WORKER);
    assert_int_equal(ifab_frame_ready_read(&frame, &ready), IFAB_OK);
    assert_true(ready.walls == IFAB_WALL_MANDATORY && ready.role == IFAB_SANDBOX_PREPARE && ifab_view_is(ready.engine, "null") &&
                ifab_view_is(ready.version, "1") && ifab_view_is(ready.config, "fuel on\n"));
}

/* docs/formats/sandbox.md has these bytes. */
static void the_example_of_the_document_is_right(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x1a, 0, 0,    0, 3, 0,    0, 0, 7, 0,    0,    0,    1, 0, 0, 0, 0xe8, 3,   0,
                                       0,    0, 0x10, 0, 0, 0x0a, 0, 0, 0, 0x40, 0x42, 0x0f, 0, 0, 0, 0, 0,    '{', '}'};
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_call_write(&buf, 7, &a_call), IFAB_OK);
    assert_true(ifab_view_equal(ifab_buf_as_view(&buf), ifab_view_of(expected, sizeof expected)));
}

static void results_read_back(void **state)
{
    (void)state;
    struct ifab_frame frame;
    struct ifab_frame_result result;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_result_write(&buf, 3, &(struct ifab_frame_result){IFAB_TRAP_NONE, 2, 99, IFAB_VIEW("\n\xff")}), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_WORKER);
    assert_int_equal(ifab_frame_result_read(&frame, &result), IFAB_OK);
    assert_true(result.trap == IFAB_TRAP_NONE && result.host_calls == 2 && result.fuel_used == 99 && ifab_view_is(result.output, "\n\xff"));

    struct ifab_frame_host_result host_result;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_host_result_write(&buf, 3, &(struct ifab_frame_host_result){IFAB_HOST_OK, IFAB_VIEW("v")}), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_DAEMON);
    assert_int_equal(ifab_frame_host_result_read(&frame, &host_result), IFAB_OK);
    assert_true(host_result.status == IFAB_HOST_OK && ifab_view_is(host_result.bytes, "v"));

    struct ifab_frame_load_failed failed;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_load_failed_write(&buf, &(struct ifab_frame_load_failed){IFAB_LOAD_ERROR_IMPORT, IFAB_VIEW("env.f")}), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_WORKER);
    assert_int_equal(ifab_frame_load_failed_read(&frame, &failed), IFAB_OK);
    assert_true(failed.error == IFAB_LOAD_ERROR_IMPORT && ifab_view_is(failed.text, "env.f"));

    struct ifab_frame_loaded loaded;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_loaded_write(&buf, &(struct ifab_frame_loaded){2, 5}), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_WORKER);
    assert_int_equal(ifab_frame_loaded_read(&frame, &loaded), IFAB_OK);
    assert_true(loaded.memory_pages == 2 && loaded.imports == 5);
}

static void a_head_is_judged_by_twelve_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        enum ifab_frame_from from;
        ifab_status expected;
    } cases[] = {
        {"\0\0\0\0\x05\0\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_OK},      /* BYE */
        {"\0\0\0\0\x05\0\0\0\0\0\0\0", IFAB_FRAME_FROM_WORKER, IFAB_INVALID}, /* of the other side */
        {"\0\0\0\0\x05\1\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_INVALID}, /* not zero */
        {"\0\0\0\0\x05\0\0\1\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_INVALID},
        {"\0\0\0\0\x05\0\0\0\1\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_INVALID}, /* BYE has no call id */
        {"\0\0\0\0\x03\0\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_INVALID}, /* CALL has one */
        {"\0\0\0\0\0\0\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_INVALID},   /* no such type */
        {"\0\0\0\0\x06\0\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_INVALID},
        {"\0\0\0\0\x47\0\0\0\0\0\0\0", IFAB_FRAME_FROM_WORKER, IFAB_INVALID},
        {"\0\0\0\x04\x01\0\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_AGAIN}, /* 64 MiB */
        {"\1\0\0\x04\x01\0\0\0\0\0\0\0", IFAB_FRAME_FROM_DAEMON, IFAB_TOO_LARGE},
        {"\0\0\x10\0\x46\0\0\0\1\0\0\0", IFAB_FRAME_FROM_WORKER, IFAB_AGAIN}, /* 1 MiB */
        {"\1\0\x10\0\x46\0\0\0\1\0\0\0", IFAB_FRAME_FROM_WORKER, IFAB_TOO_LARGE},
        {"\xff\xff\xff\xff\x46\0\0\0\1\0\0\0", IFAB_FRAME_FROM_WORKER, IFAB_TOO_LARGE},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_frame frame;
        size_t took = 0;
        ifab_status status = ifab_frame_read(cases[i].from, ifab_view_of(cases[i].head, IFAB_FRAME_HEAD), &frame, &took);
        if (status != cases[i].expected)
            fail_msg("case %zu: %s", i, ifab_status_name(status));
        for (size_t size = 0; size < IFAB_FRAME_HEAD; size++) {
            assert_int_equal(ifab_frame_read(cases[i].from, ifab_view_of(cases[i].head, size), &frame, &took), IFAB_AGAIN);
            assert_int_equal(took, IFAB_FRAME_HEAD);
        }
    }
}

static void values_out_of_range_are_neither_written_nor_read(void **state)
{
    (void)state;
    struct ifab_frame_load loads[] = {a_load, a_load, a_load, a_load, a_load, a_load, a_load, a_load, a_load};
    loads[0].memory_pages = 0;
    loads[1].memory_pages = 257;
    loads[2].table_elements = 65537;
    loads[3].slots = 0;
    loads[4].slots = 17;
    loads[5].imports = IFAB_IMPORT_ALL + 1;
    loads[6].cpu_seconds = 0;
    loads[7].bytes.size = 0;
    loads[8].kind = (enum ifab_module_kind)2;
    for (size_t i = 0; i < IFAB_COUNT(loads); i++)
        assert_int_equal(ifab_frame_load_write(&buf, &loads[i]), IFAB_INVALID);
    struct ifab_frame_call calls[] = {a_call, a_call, a_call, a_call, a_call};
    calls[0].deadline_ms = 0;
    calls[1].deadline_ms = IFAB_FRAME_DEADLINE_MAX + 1;
    calls[2].fuel = 0;
    calls[3].output_max = IFAB_FRAME_OUTPUT_MAX + 1;
    calls[4].fuel = IFAB_FRAME_FUEL_MAX + 1;
    for (size_t i = 0; i < IFAB_COUNT(calls); i++)
        assert_int_equal(ifab_frame_call_write(&buf, 1, &calls[i]), IFAB_INVALID);
    assert_int_equal(ifab_frame_call_write(&buf, 0, &a_call), IFAB_INVALID);
    static const struct ifab_frame_host_call host_calls[] = {
        {IFAB_IMPORT_log, 4, {NULL, 0}, {NULL, 0}},
        {IFAB_IMPORT_random, 0, {NULL, 0}, {NULL, 0}},
        {IFAB_IMPORT_random, 1025, {NULL, 0}, {NULL, 0}},
        {IFAB_IMPORT_now, 1, {NULL, 0}, {NULL, 0}},
        {IFAB_IMPORT_kv_get, 0, {NULL, 0}, {NULL, 0}},
        {IFAB_IMPORT_COUNT, 0, {NULL, 0}, {NULL, 0}},
        {IFAB_IMPORT_http, 0, {(const uint8_t *)"x", 1}, {(const uint8_t *)"x", 1}},
    };
    for (size_t i = 0; i < IFAB_COUNT(host_calls); i++)
        assert_int_equal(ifab_frame_host_call_write(&buf, 1, &host_calls[i]), IFAB_INVALID);
    assert_int_equal(ifab_frame_host_result_write(&buf, 1, &(struct ifab_frame_host_result){IFAB_HOST_REFUSED, IFAB_VIEW("x")}), IFAB_INVALID);
    assert_int_equal(ifab_frame_result_write(&buf, 1, &(struct ifab_frame_result){IFAB_TRAP_KILLED, 0, 0, {NULL, 0}}), IFAB_INVALID);
    assert_int_equal(ifab_frame_result_write(&buf, 1, &(struct ifab_frame_result){IFAB_TRAP_OOB, 0, 0, IFAB_VIEW("a\033b")}), IFAB_INVALID);
    assert_int_equal(ifab_frame_load_failed_write(&buf, &(struct ifab_frame_load_failed){IFAB_LOAD_ERROR_IMPORT, IFAB_VIEW("\n")}), IFAB_INVALID);
    assert_int_equal(ifab_frame_bytes_write(&buf, IFAB_FRAME_BYE, IFAB_VIEW("x")), IFAB_INVALID);
    assert_int_equal(ifab_frame_bytes_write(&buf, IFAB_FRAME_COMPILE, (struct ifab_view){NULL, 0}), IFAB_INVALID);
    assert_int_equal(ifab_frame_bytes_write(&buf, IFAB_FRAME_CALL, IFAB_VIEW("x")), IFAB_INVALID);
}

/* Every prefix and every longer form of a payload is refused, and a flipped byte never reads as what it was. */
static void payloads_are_exact(void **state)
{
    (void)state;
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_host_call_write(&buf, 7, &a_host_call), IFAB_OK);
    struct ifab_frame frame = taken(IFAB_FRAME_FROM_WORKER), part;
    struct ifab_frame_host_call host_call;
    size_t whole = frame.payload.size;
    for (size_t size = 0; size <= whole + 1; size++) {
        uint8_t bytes[64] = {0};
        memcpy(bytes, frame.payload.data, whole);
        part = (struct ifab_frame){frame.type, 7, {bytes, size}};
        assert_int_equal(ifab_frame_host_call_read(&part, &host_call), size == whole ? IFAB_OK : IFAB_INVALID);
    }
    ifab_buf_clear(&buf);
    assert_int_equal(ifab_frame_ready_write(&buf, &a_ready), IFAB_OK);
    frame = taken(IFAB_FRAME_FROM_WORKER);
    struct ifab_frame_ready ready;
    for (size_t size = 0; size <= frame.payload.size; size++) {
        part = (struct ifab_frame){frame.type, 0, {frame.payload.data, size}};
        assert_int_equal(ifab_frame_ready_read(&part, &ready), size == frame.payload.size ? IFAB_OK : IFAB_INVALID);
    }
}

static void a_frame_above_its_bound_is_not_begun(void **state)
{
    (void)state;
    static uint8_t much[IFAB_FRAME_SMALL_MAX + 1];
    ifab_buf_clear(&buf);
    struct ifab_frame_call call = a_call;
    call.input = ifab_view_of(much, sizeof much - 24);
    assert_int_equal(ifab_frame_call_write(&buf, 1, &call), IFAB_TOO_LARGE);
    struct ifab_frame_host_call host_call = a_host_call;
    host_call.b = ifab_view_of(much, sizeof much - 17);
    assert_int_equal(ifab_frame_host_call_write(&buf, 1, &host_call), IFAB_TOO_LARGE);
    assert_int_equal(buf.size, 0);
    call.input.size--;
    assert_int_equal(ifab_frame_call_write(&buf, 1, &call), IFAB_OK);
    assert_int_equal(buf.size, IFAB_FRAME_HEAD + IFAB_FRAME_SMALL_MAX);
}

static void no_memory_is_said(void **state)
{
    (void)state;
    struct ifab_buf small = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
    for (uint64_t n = 1;; n++) {
        ifab_buf_fini(&small);
        ifab_mem_fail_at(n);
        ifab_status status = ifab_frame_host_call_write(&small, 1, &a_host_call);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        if (!failed)
            break;
        assert_int_equal(small.size, 0);
        ifab_buf_init(&small, IFAB_FRAME_LARGE_MAX);
    }
    ifab_buf_fini(&small);
}

static void walls_have_names(void **state)
{
    (void)state;
    char text[IFAB_WALL_TEXT];
    ifab_wall_text(0, text);
    assert_string_equal(text, "");
    ifab_wall_text(IFAB_WALL_SECCOMP | IFAB_WALL_LANDLOCK, text);
    assert_string_equal(text, "landlock seccomp");
    ifab_wall_text(UINT32_MAX, text);
    assert_string_equal(text, "no_new_privs pdeathsig not_dumpable landlock rlimits namespaces descriptors seccomp");
    assert_int_equal(ifab_wall_of("landlock"), IFAB_WALL_LANDLOCK);
    assert_int_equal(ifab_wall_of("namespaces"), IFAB_WALL_NAMESPACES);
    assert_int_equal(ifab_wall_of("land"), 0);
    assert_string_equal(ifab_trap_name(IFAB_TRAP_HOST_DENIED), "host_denied");
    assert_string_equal(ifab_trap_name((enum ifab_trap)99), "?");
    assert_string_equal(ifab_frame_type_name(IFAB_FRAME_HOST_CALL), "HOST_CALL");
    assert_string_equal(ifab_import_name(IFAB_IMPORT_secret_ref), "secret_ref");
}

static int tear_down(void **state)
{
    (void)state;
    ifab_buf_fini(&buf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(results_read_back),
        cmocka_unit_test(the_example_of_the_document_is_right),
        cmocka_unit_test(a_head_is_judged_by_twelve_bytes),
        cmocka_unit_test(values_out_of_range_are_neither_written_nor_read),
        cmocka_unit_test(payloads_are_exact),
        cmocka_unit_test(a_frame_above_its_bound_is_not_begun),
        cmocka_unit_test(no_memory_is_said),
        cmocka_unit_test(walls_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
