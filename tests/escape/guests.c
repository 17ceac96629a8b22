/* Guests that loop, grow, trap and attack cost their own call and nothing else; modules that are wrong are refused by name. INV-08 INV-15 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox.h"

static struct ifab_buf wasm, artifact = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
static struct ifab_frame_load_failed failed;
static char text[IFAB_FRAME_TEXT_MAX + 1];

static int set_up(void **state)
{
    (void)state;
    wasm = sandbox_guest("guest.wasm");
    if (!sandbox_prepare("if-sandbox-prepare", ifab_buf_as_view(&wasm), &artifact, &failed, text))
        fail_msg("the guest does not compile: %s", text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ifab_buf_fini(&wasm);
    ifab_buf_fini(&artifact);
    return 0;
}

static struct ifab_frame_load limits(void)
{
    struct ifab_frame_load load = sandbox_limits;
    load.bytes = ifab_buf_as_view(&artifact);
    return load;
}

static void start_loaded(struct sandbox *s)
{
    struct ifab_frame_load load = limits();
    uint32_t walls = 0;
    sandbox_start(s, "if-sandbox");
    if (!sandbox_load(s, &load, &walls, &failed, text))
        fail_msg("not loaded: %s", text);
    assert_int_equal(walls & IFAB_WALL_MANDATORY, IFAB_WALL_MANDATORY);
}

static void say_bye(struct sandbox *s)
{
    sandbox_send(s, ifab_frame_bytes_write(&s->out, IFAB_FRAME_BYE, (struct ifab_view){NULL, 0}));
    int status = sandbox_end(s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct ifab_frame_result run(struct sandbox *s, const struct ifab_frame_call *call, const char *input)
{
    struct ifab_frame_call with_input = *call;
    struct ifab_frame_result result = {0};
    with_input.input = ifab_view_str(input);
    if (!sandbox_run(s, 7, &with_input, &result))
        fail_msg("%s: the process ended", input);
    return result;
}

static void expect(struct sandbox *s, const char *input, enum ifab_trap trap, const char *output)
{
    struct ifab_frame_result result = run(s, &sandbox_call, input);
    if (result.trap != trap || !ifab_view_is(result.output, output))
        fail_msg("%s: %s, \"" IFAB_FMT "\"", input, ifab_trap_name(result.trap), IFAB_ARG(result.output));
}

static void every_misdeed_ends_its_own_call_alone(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        enum ifab_trap trap;
        const char *output;
    } cases[] = {
        {"unreachable", IFAB_TRAP_UNREACHABLE, "unreachable"},
        {"divide 1", IFAB_TRAP_UNREACHABLE, "division by zero"},
        {"oob", IFAB_TRAP_OOB, "outside memory"},
        {"stack", IFAB_TRAP_STACK, "the stack is used up"},
        {"shadow-stack", IFAB_TRAP_OOB, "outside memory"},
        {"loop", IFAB_TRAP_FUEL, "the fuel is used up"},
        {"flood", IFAB_TRAP_HOST_DENIED, "log"},
        {"memory", IFAB_TRAP_MEMORY, "if_alloc gave nothing"},
        {"reenter", IFAB_TRAP_HOST_DENIED, "an import called by if_alloc"},
        {"grow 8192", IFAB_TRAP_NONE, "-1"}, /* 512 MiB */
        {"grow 4294967295", IFAB_TRAP_NONE, "-1"},
        {"bomb", IFAB_TRAP_NONE, "31"}, /* all that was granted, one page was there; not one more */
        {"secret revoked", IFAB_TRAP_HOST_DENIED, "secret_ref"},
        {"secret late", IFAB_TRAP_DEADLINE, "secret_ref"},
        {"get big", IFAB_TRAP_OOB, "more output than allowed"},
        {"wild-log", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-wrap", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-edge", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-http", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-put", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-random", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-output", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"wild-negative", IFAB_TRAP_OOB, "a pointer outside memory"},
        {"dirty", IFAB_TRAP_NONE, "0"}, /* and the next call finds nothing of it */
    };
    struct sandbox s;
    start_loaded(&s);
    for (unsigned round = 0; round < 3; round++)
        for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
            expect(&s, cases[i].input, cases[i].trap, cases[i].output);
            expect(&s, "echo still here", IFAB_TRAP_NONE, "still here");
        }
    say_bye(&s);
}

static void only_log_may_be_called_in_plan_and_health(void **state)
{
    (void)state;
    static const char *const denied[] = {"http x", "secret s", "get k", "put k v", "now", "random 8"};
    struct sandbox s;
    struct ifab_frame_call plan = sandbox_call;
    plan.export_ = IFAB_EXPORT_PLAN;
    start_loaded(&s);
    for (size_t i = 0; i < IFAB_COUNT(denied); i++)
        assert_int_equal(run(&s, &plan, denied[i]).trap, IFAB_TRAP_HOST_DENIED);
    struct ifab_frame_result result = run(&s, &plan, "log hello");
    assert_true(result.trap == IFAB_TRAP_NONE && result.host_calls == 1);
    plan.export_ = IFAB_EXPORT_HEALTH;
    result = run(&s, &plan, "");
    assert_true(result.trap == IFAB_TRAP_NONE && ifab_view_is(result.output, "healthy"));
    say_bye(&s);
}

/* --- endless loops: three stops, each alone --- */
static void fuel_stops_a_loop_exactly(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    call.deadline_ms = IFAB_FRAME_DEADLINE_MAX;
    start_loaded(&s);
    for (uint64_t fuel = 1; fuel < 10000000; fuel *= 10) {
        call.fuel = fuel;
        struct ifab_frame_result result = run(&s, &call, "loop");
        assert_int_equal(result.trap, IFAB_TRAP_FUEL);
        assert_int_equal(result.fuel_used, fuel);
    }
    say_bye(&s);
}

static void the_epoch_stops_a_loop_that_has_fuel(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    call.fuel = IFAB_FRAME_FUEL_MAX;
    call.deadline_ms = 25;
    start_loaded(&s);
    for (unsigned i = 0; i < 20; i++) {
        struct ifab_frame_result result = run(&s, &call, "loop");
        assert_int_equal(result.trap, IFAB_TRAP_DEADLINE);
        assert_int_equal(result.fuel_used, call.fuel);
        expect(&s, "echo serving", IFAB_TRAP_NONE, "serving");
    }
    say_bye(&s);
}

static void the_daemon_s_signal_stops_a_loop(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame frame;
    struct ifab_frame_result result;
    struct ifab_frame_call call = sandbox_call;
    call.fuel = IFAB_FRAME_FUEL_MAX;
    call.deadline_ms = IFAB_FRAME_DEADLINE_MAX;
    call.input = IFAB_VIEW("loop");
    start_loaded(&s);
    sandbox_send(&s, ifab_frame_call_write(&s.out, 9, &call));
    do
        kill(s.pid, SIGALRM);
    while (poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, 5) == 0);
    assert_true(sandbox_receive(&s, &frame) && frame.call == 9 && ifab_frame_result_read(&frame, &result) == IFAB_OK);
    assert_int_equal(result.trap, IFAB_TRAP_DEADLINE);
    say_bye(&s);
}

static void sigkill_stops_a_loop(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    call.fuel = IFAB_FRAME_FUEL_MAX;
    call.deadline_ms = IFAB_FRAME_DEADLINE_MAX;
    call.input = IFAB_VIEW("loop");
    start_loaded(&s);
    sandbox_send(&s, ifab_frame_call_write(&s.out, 9, &call));
    assert_int_equal(poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, 50), 0);
    int status = sandbox_kill(&s);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void endless_host_calls_end_by_count_and_by_fuel(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    start_loaded(&s);
    call.host_calls_max = 5;
    struct ifab_frame_result result = run(&s, &call, "flood");
    assert_true(result.trap == IFAB_TRAP_HOST_DENIED && result.host_calls == 6);
    call.host_calls_max = UINT32_MAX;
    call.fuel = 20000;
    assert_int_equal(run(&s, &call, "flood").trap, IFAB_TRAP_FUEL);
    say_bye(&s);
}

/* Sealed, the heap cannot grow: what a call leaves behind would show as a dead process after some thousand. */
static void thousands_of_calls_need_nothing_more(void **state)
{
    (void)state;
    static const char *const inputs[] = {"echo x", "unreachable", "oob", "stack", "get key", "bomb", "wild-http", "random 100", "reenter", "loop"};
    uint64_t calls = test_env_u64("IFAB_CALLS", 5000);
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    call.fuel = 100000;
    start_loaded(&s);
    for (uint64_t i = 0; i < calls; i++)
        run(&s, &call, inputs[i % IFAB_COUNT(inputs)]);
    say_bye(&s);
}

/* --- limits of LOAD --- */
static void refuse(const struct ifab_frame_load *load, enum ifab_load_error error, const char *why)
{
    struct sandbox s;
    uint32_t walls;
    sandbox_start(&s, "if-sandbox");
    assert_false(sandbox_load(&s, load, &walls, &failed, text));
    int status = sandbox_end(&s);
    if (failed.error != error || (why != NULL && strcmp(text, why) != 0) || !WIFEXITED(status) || WEXITSTATUS(status) != 1)
        fail_msg("%s: %s, status %x", ifab_load_error_name(failed.error), text, (unsigned)status);
}

static void what_was_not_granted_is_refused_by_name(void **state)
{
    (void)state;
    struct ifab_frame_load load = limits();
    load.imports = IFAB_IMPORT_ALL & ~(1U << IFAB_IMPORT_http);
    refuse(&load, IFAB_LOAD_ERROR_IMPORT, "if.http");
    load = limits();
    load.kind = IFAB_MODULE_WASM;
    refuse(&load, IFAB_LOAD_ERROR_ENGINE, NULL);
    load = limits();
    load.bytes = ifab_buf_as_view(&wasm);
    refuse(&load, IFAB_LOAD_ERROR_ENGINE, NULL); /* this program cannot compile */
    load = limits();
    load.bytes.size /= 2;
    refuse(&load, IFAB_LOAD_ERROR_ENGINE, NULL);
    struct sandbox s;
    uint32_t walls;
    load = limits();
    load.memory_pages = 2;
    sandbox_start(&s, "if-sandbox");
    assert_true(sandbox_load(&s, &load, &walls, &failed, text));
    expect(&s, "bomb", IFAB_TRAP_NONE, "1");
    say_bye(&s);
    load.slots = IFAB_FRAME_SLOTS_MAX;
    sandbox_start(&s, "if-sandbox");
    assert_true(sandbox_load(&s, &load, &walls, &failed, text));
    expect(&s, "echo many slots", IFAB_TRAP_NONE, "many slots");
    say_bye(&s);
}

/* --- modules --- */
static void wrong_modules_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *guest;
        enum ifab_load_error error;
        const char *name;
    } cases[] = {{"guest-unknown-import.wasm", IFAB_LOAD_ERROR_IMPORT, "env.system"},
                 {"guest-wrong-type.wasm", IFAB_LOAD_ERROR_IMPORT, "if.now"},
                 {"guest-wrong-export.wasm", IFAB_LOAD_ERROR_EXPORT, "if_free"}};
    struct ifab_buf none = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_buf guest = sandbox_guest(cases[i].guest);
        assert_false(sandbox_prepare("if-sandbox-prepare", ifab_buf_as_view(&guest), &none, &failed, text));
        assert_int_equal(failed.error, cases[i].error);
        assert_string_equal(text, cases[i].name);
        ifab_buf_fini(&guest);
    }
    static const struct {
        struct ifab_view bytes;
        enum ifab_load_error error;
    } small[] = {
        {{(const uint8_t *)"\0asm\1\0\0\0", 8}, IFAB_LOAD_ERROR_EXPORT},                                      /* valid and empty */
        {{(const uint8_t *)"\0asm\2\0\0\0", 8}, IFAB_LOAD_ERROR_MALFORMED},                                   /* version 2 */
        {{(const uint8_t *)"\0asm\15\0\1\0", 8}, IFAB_LOAD_ERROR_MALFORMED},                                  /* a component */
        {{(const uint8_t *)"\x7f" "ELF\1\0\0\0", 8}, IFAB_LOAD_ERROR_MALFORMED},
        {{(const uint8_t *)"\0asm\1\0\0\0" "\1\4\1\140\0\0" "\3\2\1\0" "\10\1\0" "\12\4\1\2\0\13", 27}, IFAB_LOAD_ERROR_START},
        {{(const uint8_t *)"\0asm\1\0\0\0" "\5\x84\x80\x04\1\0\x81\2", 15}, IFAB_LOAD_ERROR_MALFORMED},        /* a length beyond the end */
        {{(const uint8_t *)"\0asm\1\0\0\0" "\5\4\1\0\x81\2", 14}, IFAB_LOAD_ERROR_MALFORMED},                  /* 257 pages */
        {{(const uint8_t *)"\0asm\1\0\0\0" "\5\3\1\4\1", 13}, IFAB_LOAD_ERROR_MALFORMED},                      /* memory64 */
        {{(const uint8_t *)"\0asm\1\0\0\0" "\5\4\1\3\1\2", 14}, IFAB_LOAD_ERROR_MALFORMED},                    /* shared memory */
        {{(const uint8_t *)"\0asm\1\0\0\0" "\5\5\2\0\1\0\1", 15}, IFAB_LOAD_ERROR_MALFORMED},                  /* two memories */
        {{(const uint8_t *)"\0asm\1\0\0\0" "\1\5\1\140\0\1\x7b", 15}, IFAB_LOAD_ERROR_MALFORMED},              /* v128 */
    };
    for (size_t i = 0; i < IFAB_COUNT(small); i++) {
        assert_false(sandbox_prepare("if-sandbox-prepare", small[i].bytes, &none, &failed, text));
        if (failed.error != small[i].error)
            fail_msg("module %zu: %s: %s", i, ifab_load_error_name(failed.error), text);
    }
    assert_int_equal(none.size, 0);
    ifab_buf_fini(&none);
}

/* 100 MB: no frame can carry it; its head alone ends the process, before a byte of it is read. */
static void a_module_of_100_mb_is_refused(void **state)
{
    (void)state;
    struct ifab_buf to = IFAB_BUF_INIT((size_t)200 << 20);
    static uint8_t one;
    assert_int_equal(ifab_frame_bytes_write(&to, IFAB_FRAME_COMPILE, ifab_view_of(&one, 100000000)), IFAB_TOO_LARGE);
    for (unsigned i = 0; i < 2; i++) {
        struct sandbox s;
        struct ifab_frame frame;
        uint8_t head[IFAB_FRAME_HEAD] = {0}, *at = head;
        ifab_put_u32(&at, 100000000);
        ifab_put_u8(&at, i == 0 ? IFAB_FRAME_COMPILE : IFAB_FRAME_LOAD);
        sandbox_start(&s, i == 0 ? "if-sandbox-prepare" : "if-sandbox");
        if (i == 0)
            assert_true(sandbox_receive(&s, &frame) && frame.type == IFAB_FRAME_READY);
        sandbox_send_bytes(&s, head, sizeof head);
        assert_false(sandbox_receive(&s, &frame));
        int status = sandbox_end(&s);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    }
}

/* What compiles is loaded and called; true when it came to that. A process that dies of a signal fails the test. */
static bool try_module(const char *name, struct ifab_view module)
{
    struct ifab_buf made = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
    if (!sandbox_prepare("if-sandbox-prepare", module, &made, &failed, text)) {
        ifab_buf_fini(&made);
        if (failed.error == 0)
            fail_msg("%s: %s", name, text);
        return false;
    }
    struct sandbox s;
    struct ifab_frame_load load = limits();
    struct ifab_frame_call call = sandbox_call;
    struct ifab_frame_result result;
    uint32_t walls;
    load.memory_pages = IFAB_FRAME_PAGES_MAX;
    load.table_elements = IFAB_FRAME_TABLE_MAX;
    load.bytes = ifab_buf_as_view(&made);
    call.fuel = 1000000;
    call.input = IFAB_VIEW("get key");
    sandbox_start(&s, "if-sandbox");
    bool loaded = sandbox_load(&s, &load, &walls, &failed, text);
    for (unsigned e = 0; loaded && e < IFAB_EXPORT_COUNT; e++) {
        call.export_ = (enum ifab_export)e;
        if (!sandbox_run(&s, e + 1, &call, &result))
            fail_msg("%s: the process ended", name);
    }
    int status = sandbox_end(&s);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != (loaded ? 0 : 1))
        fail_msg("%s: status %x", name, (unsigned)status);
    ifab_buf_fini(&made);
    return loaded;
}

/* Modules with random insides, made by wasm-smith for guest ABI 1 (tests/wasm): IFAB_GENERATED names their folder. */
static void generated_modules_harm_nobody(void **state)
{
    (void)state;
    const char *folder = getenv("IFAB_GENERATED");
    unsigned ran = 0, count = 0;
    assert_non_null(folder);
    for (char path[512]; snprintf(path, sizeof path, "%s/%05u.wasm", folder, count), access(path, R_OK) == 0; count++) {
        struct ifab_buf module = test_read_file(path);
        ran += try_module(path, ifab_buf_as_view(&module));
        ifab_buf_fini(&module);
    }
    print_message("# %u modules, %u ran\n", count, ran);
    assert_true(count >= 1000 && ran > count / 2);
}

/* Mutated modules: each is refused with a frame, or compiles; what compiles is also loaded and called. Nothing hangs, no process dies of a signal. */
static void mutated_modules_harm_nobody(void **state)
{
    (void)state;
    uint64_t seed = test_env_u64("IFAB_SEED", 20261121), count = test_env_u64("IFAB_MODULES", 250);
    struct test_random random = {seed};
    unsigned refused = 0, ran = 0;
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *copy = ifab_malloc(wasm.size);
        char name[32];
        memcpy(copy, wasm.data, wasm.size);
        for (uint64_t flips = 1 + test_random_below(&random, 3); flips > 0; flips--)
            copy[test_random_below(&random, wasm.size)] ^= (uint8_t)(1U << test_random_below(&random, 8));
        size_t size = test_random_below(&random, 8) == 0 ? test_random_below(&random, wasm.size) + 1 : wasm.size;
        snprintf(name, sizeof name, "module %llu", (unsigned long long)i);
        if (try_module(name, ifab_view_of(copy, size)))
            ran++;
        else
            refused++;
        ifab_free(copy);
    }
    print_message("# %u refused, %u ran\n", refused, ran);
    assert_true(refused + ran == count && refused > 0 && ran > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_misdeed_ends_its_own_call_alone),
        cmocka_unit_test(only_log_may_be_called_in_plan_and_health),
        cmocka_unit_test(fuel_stops_a_loop_exactly),
        cmocka_unit_test(the_epoch_stops_a_loop_that_has_fuel),
        cmocka_unit_test(the_daemon_s_signal_stops_a_loop),
        cmocka_unit_test(sigkill_stops_a_loop),
        cmocka_unit_test(endless_host_calls_end_by_count_and_by_fuel),
        cmocka_unit_test(thousands_of_calls_need_nothing_more),
        cmocka_unit_test(what_was_not_granted_is_refused_by_name),
        cmocka_unit_test(wrong_modules_are_refused_by_name),
        cmocka_unit_test(a_module_of_100_mb_is_refused),
        cmocka_unit_test(mutated_modules_harm_nobody),
        cmocka_unit_test(generated_modules_harm_nobody),
    };
    if (getenv("IFAB_GENERATED") == NULL) { /* cmocka's skip() writes "not ok", which a reader of TAP counts as a failure */
        print_message("# generated_modules_harm_nobody is left out: IFAB_GENERATED is not set; tests/wasm/run does that\n");
        cmocka_set_skip_filter("generated_modules_harm_nobody");
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
