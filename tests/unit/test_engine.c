/* What all engines share: the first look at a module, one host call's judgement, texts; and the null engine in this process. INV-08 INV-15 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox/engine.h"
#include "support.h"

static void modules_are_looked_at_before_an_engine_reads_them(void **state)
{
    (void)state;
#define MODULE(bytes) {(const uint8_t *)("\0asm\1\0\0\0" bytes), 8 + sizeof(bytes) - 1}
    static const struct {
        struct ifab_view bytes;
        enum ifab_load_error error; /* 0: fine */
    } cases[] = {
        {MODULE(""), 0},
        {MODULE("\0\1x"), 0},
        {MODULE("\0\1x\1\0\2\0"), 0},
        {MODULE("\x8\1\0"), IFAB_LOAD_ERROR_START},
        {MODULE("\0\1x\x8\1\0\0\1x"), IFAB_LOAD_ERROR_START},
        {MODULE("\x8\x81\x80\x80\x80\0\0"), IFAB_LOAD_ERROR_START}, /* the longest spelling of 1 */
        {MODULE("\1"), IFAB_LOAD_ERROR_MALFORMED},
        {MODULE("\1\2\0"), IFAB_LOAD_ERROR_MALFORMED},
        {MODULE("\1\xff\xff\xff\xff\x0f"), IFAB_LOAD_ERROR_MALFORMED},
        {MODULE("\1\x80\x80\x80\x80\x10"), IFAB_LOAD_ERROR_MALFORMED}, /* more than 32 bits */
        {MODULE("\1\x80\x80\x80\x80\x80\0"), IFAB_LOAD_ERROR_MALFORMED}, /* more than five bytes */
        {{(const uint8_t *)"\0asm\1\0\0", 7}, IFAB_LOAD_ERROR_MALFORMED},
        {{(const uint8_t *)"\0asm\1\0\0\1", 8}, IFAB_LOAD_ERROR_MALFORMED},
        {{NULL, 0}, IFAB_LOAD_ERROR_MALFORMED},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_engine_failure failure = {0};
        ifab_status status = ifab_engine_scan(cases[i].bytes, &failure);
        if ((status == IFAB_OK) != (cases[i].error == 0) || failure.error != cases[i].error)
            fail_msg("case %zu: %s", i, failure.text);
    }
}

static void texts_are_one_printable_line(void **state)
{
    (void)state;
    struct ifab_engine_failure failure;
    assert_int_equal(ifab_engine_fail(&failure, IFAB_LOAD_ERROR_IMPORT, "env.a\033[2J\x80z\nmore", 16), IFAB_INVALID);
    assert_string_equal(failure.text, "env.a?[2J?z");
    char longer[1000];
    memset(longer, 'x', sizeof longer);
    (void)ifab_engine_fail(&failure, IFAB_LOAD_ERROR_IMPORT, longer, sizeof longer);
    assert_int_equal(strlen(failure.text), IFAB_FRAME_TEXT_MAX);
}

/* --- one host call --- */
static struct ifab_frame_host_result next;
static ifab_status next_status;
static unsigned asked;

static ifab_status host(void *user, const struct ifab_frame_host_call *call, struct ifab_frame_host_result *ret)
{
    (void)user;
    (void)call;
    asked++;
    *ret = next;
    return next_status;
}

static struct ifab_engine *open_null(void)
{
    struct ifab_engine *engine = NULL;
    assert_int_equal(ifab_engine_null.open(1, &engine, NULL), IFAB_OK);
    engine->deadline_ticks = 1;
    return engine;
}

static void a_host_call_is_judged_before_and_after(void **state)
{
    (void)state;
    struct ifab_engine *engine = open_null();
    const struct ifab_engine_call apply = {.frame = {.export_ = IFAB_EXPORT_APPLY, .host_calls_max = 100}, .host = host};
    const struct ifab_engine_call plan = {.frame = {.export_ = IFAB_EXPORT_PLAN, .host_calls_max = 100}, .host = host};
    static const struct {
        enum ifab_import import;
        bool in_plan;
        ifab_status status;
        enum ifab_host_status answer;
        struct ifab_view bytes;
        enum ifab_trap trap;
        enum ifab_host_status seen;
    } cases[] = {
        {IFAB_IMPORT_log, true, IFAB_OK, IFAB_HOST_OK, {NULL, 0}, IFAB_TRAP_NONE, IFAB_HOST_OK},
        {IFAB_IMPORT_http, true, IFAB_OK, IFAB_HOST_OK, {NULL, 0}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
        {IFAB_IMPORT_now, true, IFAB_OK, IFAB_HOST_OK, {NULL, 0}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
        {IFAB_IMPORT_COUNT, false, IFAB_OK, IFAB_HOST_OK, {NULL, 0}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
        {IFAB_IMPORT_http, false, IFAB_TOO_LARGE, IFAB_HOST_OK, {NULL, 0}, IFAB_TRAP_NONE, IFAB_HOST_TOO_LARGE},
        {IFAB_IMPORT_http, false, IFAB_INVALID, IFAB_HOST_OK, {NULL, 0}, IFAB_TRAP_NONE, IFAB_HOST_REFUSED},
        {IFAB_IMPORT_http, false, IFAB_OK, IFAB_HOST_LIMITED, {NULL, 0}, IFAB_TRAP_NONE, IFAB_HOST_LIMITED},
        {IFAB_IMPORT_http, false, IFAB_OK, IFAB_HOST_DENIED, {NULL, 0}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
        {IFAB_IMPORT_http, false, IFAB_OK, IFAB_HOST_DEADLINE, {NULL, 0}, IFAB_TRAP_DEADLINE, IFAB_HOST_OK},
        {IFAB_IMPORT_now, false, IFAB_OK, IFAB_HOST_OK, {(const uint8_t *)"1234567", 7}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
        {IFAB_IMPORT_now, false, IFAB_OK, IFAB_HOST_OK, {(const uint8_t *)"12345678", 8}, IFAB_TRAP_NONE, IFAB_HOST_OK},
        {IFAB_IMPORT_log, false, IFAB_OK, IFAB_HOST_OK, {(const uint8_t *)"x", 1}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
        {IFAB_IMPORT_random, false, IFAB_OK, IFAB_HOST_OK, {(const uint8_t *)"xyz", 3}, IFAB_TRAP_NONE, IFAB_HOST_OK},
        {IFAB_IMPORT_random, false, IFAB_OK, IFAB_HOST_OK, {(const uint8_t *)"xyz!", 4}, IFAB_TRAP_HOST_DENIED, IFAB_HOST_OK},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const struct ifab_frame_host_call ask = {.import = cases[i].import, .number = cases[i].import == IFAB_IMPORT_random ? 3 : 0};
        struct ifab_frame_host_result result = {0};
        uint32_t count = 0;
        next = (struct ifab_frame_host_result){cases[i].answer, cases[i].bytes};
        next_status = cases[i].status;
        enum ifab_trap trap = ifab_engine_ask(engine, cases[i].in_plan ? &plan : &apply, &ask, &count, &result);
        if (trap != cases[i].trap || count != 1 || (trap == IFAB_TRAP_NONE && result.status != cases[i].seen))
            fail_msg("case %zu: %s", i, ifab_trap_name(trap));
    }
    ifab_engine_null.close(engine);
}

static void counts_and_deadlines_end_a_call_before_the_daemon_is_asked(void **state)
{
    (void)state;
    struct ifab_engine *engine = open_null();
    const struct ifab_engine_call call = {.frame = {.export_ = IFAB_EXPORT_APPLY, .host_calls_max = 2}, .host = host};
    const struct ifab_frame_host_call ask = {.import = IFAB_IMPORT_log};
    struct ifab_frame_host_result result;
    uint32_t count = 0;
    next = (struct ifab_frame_host_result){.status = IFAB_HOST_OK};
    next_status = IFAB_OK;
    asked = 0;
    assert_int_equal(ifab_engine_ask(engine, &call, &ask, &count, &result), IFAB_TRAP_NONE);
    assert_int_equal(ifab_engine_ask(engine, &call, &ask, &count, &result), IFAB_TRAP_NONE);
    assert_int_equal(ifab_engine_ask(engine, &call, &ask, &count, &result), IFAB_TRAP_HOST_DENIED);
    assert_true(asked == 2 && count == 3);
    count = UINT32_MAX;
    assert_int_equal(ifab_engine_ask(engine, &call, &ask, &count, &result), IFAB_TRAP_HOST_DENIED);
    assert_true(count == UINT32_MAX);
    count = 0;
    ifab_engine_tick(engine);
    assert_int_equal(ifab_engine_ask(engine, &call, &ask, &count, &result), IFAB_TRAP_DEADLINE);
    assert_int_equal(asked, 2);
    ifab_engine_null.close(engine);
}

static void a_run_begins_with_its_counters_at_nothing(void **state)
{
    (void)state;
    struct ifab_engine *engine = open_null();
    struct ifab_engine_failure failure;
    struct ifab_frame_loaded loaded;
    struct ifab_frame_result result;
    uint8_t output[IFAB_FRAME_TEXT_MAX];
    struct ifab_frame_load load = {.memory_pages = 1, .bytes = IFAB_VIEW("null 1\nimport if.kv_get\n")};
    struct ifab_engine_call call = {.frame = {.export_ = IFAB_EXPORT_APPLY, .deadline_ms = 11, .output_max = 256, .fuel = 1000, .input = IFAB_VIEW("echo x")},
                                    .host = host};
    assert_int_equal(ifab_engine_null.load(engine, &load, &loaded, &failure), IFAB_INVALID); /* not granted */
    assert_string_equal(failure.text, "if.kv_get");
    load.imports = IFAB_IMPORT_ALL;
    assert_int_equal(ifab_engine_null.load(engine, &load, &loaded, &failure), IFAB_OK);
    assert_int_equal(loaded.imports, 1U << IFAB_IMPORT_kv_get);
    ifab_engine_stop(engine); /* of the call before */
    ifab_engine_run(engine, &call, output, &result);
    assert_true(result.trap == IFAB_TRAP_NONE && ifab_view_is(result.output, "x"));
    assert_int_equal(engine->deadline_ticks, 2); /* 11 ms is more than one tick */
    call.frame.input = IFAB_VIEW("loop");
    ifab_engine_run(engine, &call, output, &result);
    assert_true(result.trap == IFAB_TRAP_FUEL && result.fuel_used == 1000);
    load.bytes = IFAB_VIEW("null 1\npages 2\n");
    assert_int_equal(ifab_engine_null.load(engine, &load, &loaded, &failure), IFAB_INVALID);
    assert_int_equal(failure.error, IFAB_LOAD_ERROR_LIMIT);
    ifab_engine_null.close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_are_looked_at_before_an_engine_reads_them),
        cmocka_unit_test(texts_are_one_printable_line),
        cmocka_unit_test(a_host_call_is_judged_before_and_after),
        cmocka_unit_test(counts_and_deadlines_end_a_call_before_the_daemon_is_asked),
        cmocka_unit_test(a_run_begins_with_its_counters_at_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
