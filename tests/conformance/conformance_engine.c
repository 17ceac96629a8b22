/*
 * One suite over every engine: the same words, the same outputs, the same traps, whoever runs them; fuel that never differs and only grows with the
 * work; recorded runs that replay. An engine is a row of `engines`: its two programs and its module. INV-14 INV-08
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox.h"

static struct engine {
    const char *name, *prepare, *execute;
    struct ifab_buf artifact;
} engines[] = {
    {"null", "if-sandbox-null-prepare", "if-sandbox-null", IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX)},
    {"wasmtime", "if-sandbox-prepare", "if-sandbox", IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX)},
};

static int set_up(void **state)
{
    (void)state;
    static const char null_module[] =
        "null 1\nimport if.log\nimport if.http\nimport if.secret_ref\nimport if.kv_get\nimport if.kv_put\nimport if.now\nimport if.random\n";
    struct ifab_buf wasm = sandbox_guest("guest.wasm");
    for (size_t i = 0; i < IFAB_COUNT(engines); i++) {
        struct ifab_frame_load_failed failed;
        char text[IFAB_FRAME_TEXT_MAX + 1];
        struct ifab_view module = i == 0 ? ifab_view_str(null_module) : ifab_buf_as_view(&wasm);
        if (!sandbox_prepare(engines[i].prepare, module, &engines[i].artifact, &failed, text))
            fail_msg("%s: %s", engines[i].name, text);
    }
    ifab_buf_fini(&wasm);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(engines); i++)
        ifab_buf_fini(&engines[i].artifact);
    return 0;
}

static void start(struct sandbox *s, const struct engine *engine)
{
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1] = "";
    uint32_t walls = 0;
    load.bytes = ifab_buf_as_view(&engine->artifact);
    sandbox_start(s, engine->execute);
    if (!sandbox_load(s, &load, &walls, &failed, text))
        fail_msg("%s: %s", engine->name, text);
    assert_int_equal(walls & IFAB_WALL_MANDATORY, IFAB_WALL_MANDATORY);
}

static void stop(struct sandbox *s)
{
    int status = sandbox_end(s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}
static void the_same_words_give_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        enum ifab_export export_;
        enum ifab_trap trap;
        struct ifab_view output; /* compared when there is no trap */
        uint32_t host_calls;
    } cases[] = {
        {"echo hello", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("hello"), 0},
        {"echo hello", IFAB_EXPORT_PLAN, IFAB_TRAP_NONE, BYTES("hello"), 0},
        {"echo", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES(""), 0},
        {"what?", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("?"), 0},
        {"unreachable", IFAB_EXPORT_APPLY, IFAB_TRAP_UNREACHABLE, BYTES(""), 0},
        {"oob", IFAB_EXPORT_APPLY, IFAB_TRAP_OOB, BYTES(""), 0},
        {"stack", IFAB_EXPORT_APPLY, IFAB_TRAP_STACK, BYTES(""), 0},
        {"loop", IFAB_EXPORT_APPLY, IFAB_TRAP_FUEL, BYTES(""), 0},
        {"flood", IFAB_EXPORT_APPLY, IFAB_TRAP_HOST_DENIED, BYTES(""), 1001},
        {"log text", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES(""), 1},
        {"log text", IFAB_EXPORT_PLAN, IFAB_TRAP_NONE, BYTES(""), 1},
        {"http {}", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("{}"), 1},
        {"http {}", IFAB_EXPORT_PLAN, IFAB_TRAP_HOST_DENIED, BYTES(""), 1},
        {"secret s", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("s"), 1},
        {"secret s", IFAB_EXPORT_PLAN, IFAB_TRAP_HOST_DENIED, BYTES(""), 1},
        {"secret revoked", IFAB_EXPORT_APPLY, IFAB_TRAP_HOST_DENIED, BYTES(""), 1},
        {"secret late", IFAB_EXPORT_APPLY, IFAB_TRAP_DEADLINE, BYTES(""), 1},
        {"get k", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("value of k"), 1},
        {"get none", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("-2"), 1},
        {"get ", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("-1"), 1}, /* no key: never asked of the daemon */
        {"get big", IFAB_EXPORT_APPLY, IFAB_TRAP_OOB, BYTES(""), 1},
        {"put k v", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES(""), 1},
        {"now", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, {(const uint8_t *)"\0\x40\x16\x82\x24\x0a\x06\0", 8}, 1},
        {"random 4", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, {(const uint8_t *)"\0\1\2\3", 4}, 1},
        {"random 1025", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("-1"), 1},
        {"random 0", IFAB_EXPORT_APPLY, IFAB_TRAP_NONE, BYTES("-1"), 1},
    };
    for (size_t e = 0; e < IFAB_COUNT(engines); e++) {
        struct sandbox s;
        start(&s, &engines[e]);
        for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
            struct ifab_frame_call call = sandbox_call;
            struct ifab_frame_result r;
            call.input = ifab_view_str(cases[i].input);
            call.export_ = cases[i].export_;
            if (!sandbox_run(&s, (uint32_t)i + 1, &call, &r))
                fail_msg("%s: %s: the process ended", engines[e].name, cases[i].input);
            if (r.trap != cases[i].trap || r.host_calls != cases[i].host_calls || (r.trap == IFAB_TRAP_NONE && !ifab_view_equal(r.output, cases[i].output)))
                fail_msg("%s: %s: %s, %u host calls, \"" IFAB_FMT "\"", engines[e].name, cases[i].input, ifab_trap_name(r.trap), r.host_calls,
                         IFAB_ARG(r.output));
            assert_true(r.fuel_used > 0 && r.fuel_used <= call.fuel);
            assert_true(r.trap != IFAB_TRAP_FUEL || r.fuel_used == call.fuel);
        }
        stop(&s);
    }
}

static void fuel_never_differs_and_grows_with_the_work(void **state)
{
    (void)state;
    for (size_t e = 0; e < IFAB_COUNT(engines); e++) {
        struct sandbox s;
        struct ifab_frame_call call = sandbox_call;
        struct ifab_frame_result r;
        uint64_t first = 0, last = 0;
        start(&s, &engines[e]);
        call.input = IFAB_VIEW("get key");
        for (uint32_t i = 1; i <= 1000; i++) {
            assert_true(sandbox_run(&s, i, &call, &r) && r.trap == IFAB_TRAP_NONE);
            first = first == 0 ? r.fuel_used : first;
            assert_int_equal(r.fuel_used, first);
        }
        for (uint32_t size = 0; size < 4096; size += 512) { /* the same word over more bytes never costs less */
            char input[5000] = "nothing ";
            memset(input + 8, 'x', size);
            call.input = ifab_view_of(input, 8 + size);
            assert_true(sandbox_run(&s, 1, &call, &r) && r.trap == IFAB_TRAP_NONE);
            assert_true(r.fuel_used >= last);
            last = r.fuel_used;
        }
        call.input = IFAB_VIEW("get key");
        /* With less than it takes, what was granted is used up; from where it fails on, less fails too. Engines look at fuel at functions and
         * loops only, so a little less may still do. */
        bool failed = false;
        for (uint64_t fuel = first + 1; fuel > 0; fuel--) {
            call.fuel = fuel;
            assert_true(sandbox_run(&s, 1, &call, &r));
            assert_int_equal(r.fuel_used, fuel < first ? fuel : first);
            assert_true(r.trap == IFAB_TRAP_FUEL || (r.trap == IFAB_TRAP_NONE && !failed));
            failed = r.trap == IFAB_TRAP_FUEL;
        }
        assert_true(failed);
        stop(&s);
    }
}

/* --- recorded runs --- */
struct record { /* what the daemon said, in order, and what came of it */
    struct ifab_buf answers;
    size_t at;
    bool replaying, differs;
    struct test_random random;
};

/* Answers a host call: drawn at random and written down, or read back. */
static void answer(struct record *record, const struct ifab_frame_host_call *ask, struct ifab_buf *bytes, enum ifab_host_status *ret_status)
{
    ifab_buf_clear(bytes);
    if (record->replaying) {
        struct ifab_reader r = {record->answers.data + record->at, record->answers.data + record->answers.size, false};
        *ret_status = (enum ifab_host_status)ifab_get_u8(&r);
        struct ifab_view recorded = ifab_get_bytes(&r, ifab_get_u32(&r));
        record->differs = record->differs || r.bad;
        record->at = (size_t)(r.at - record->answers.data);
        ifab_buf_view(bytes, recorded);
        return;
    }
    static const enum ifab_host_status drawn[] = {IFAB_HOST_OK,      IFAB_HOST_OK,          IFAB_HOST_OK,   IFAB_HOST_REFUSED, IFAB_HOST_NOT_FOUND,
                                                  IFAB_HOST_LIMITED, IFAB_HOST_UNAVAILABLE, IFAB_HOST_DENIED};
    *ret_status = drawn[test_random_below(&record->random, IFAB_COUNT(drawn))];
    uint64_t size = ask->import == IFAB_IMPORT_now ? 8 : ask->import == IFAB_IMPORT_random ? ask->number : test_random_below(&record->random, 300);
    if (ask->import == IFAB_IMPORT_log || ask->import == IFAB_IMPORT_kv_put || *ret_status != IFAB_HOST_OK)
        size = 0;
    uint8_t random[IFAB_FRAME_RANDOM_MAX] = {0}, head[5], *at = head;
    test_random_bytes(&record->random, random, (size_t)size);
    if (ask->import == IFAB_IMPORT_now)
        random[7] &= 0x7f;
    ifab_buf_put(bytes, random, (size_t)size);
    ifab_put_u8(&at, (uint8_t)*ret_status);
    ifab_put_u32(&at, (uint32_t)size);
    ifab_buf_put(&record->answers, head, sizeof head);
    ifab_buf_put(&record->answers, random, (size_t)size);
}

static bool run(struct sandbox *s, uint32_t id, const struct ifab_frame_call *call, struct record *record, struct ifab_frame_result *ret)
{
    struct ifab_frame frame;
    struct ifab_buf bytes = IFAB_BUF_INIT(IFAB_FRAME_SMALL_MAX);
    sandbox_send(s, ifab_frame_call_write(&s->out, id, call));
    bool good;
    while ((good = sandbox_receive(s, &frame)) && frame.type == IFAB_FRAME_HOST_CALL) {
        struct ifab_frame_host_call ask;
        enum ifab_host_status status;
        if (ifab_frame_host_call_read(&frame, &ask) != IFAB_OK)
            fail_msg("a host call that does not read");
        answer(record, &ask, &bytes, &status);
        sandbox_send(s, ifab_frame_host_result_write(&s->out, id, &(struct ifab_frame_host_result){status, ifab_buf_as_view(&bytes)}));
    }
    ifab_buf_fini(&bytes);
    return good && ifab_frame_result_read(&frame, ret) == IFAB_OK;
}

static void draw_input(struct test_random *random, char *to, size_t size)
{
    static const char *const words[] = {"echo", "get", "put k", "http", "secret", "now", "random", "log", "unreachable", "oob", "stack", "mix", "grow", "dirty", "bomb"};
    const char *word = words[test_random_below(random, IFAB_COUNT(words))];
    snprintf(to, size, "%s %llu", word, (unsigned long long)test_random_below(random, 2000));
}

/* Everything a call's outcome depends on is in the record: in another process it comes out the same, output, trap and fuel. */
static void recorded_runs_replay(void **state)
{
    (void)state;
    uint64_t runs = test_env_u64("IFAB_REPLAYS", 1000), seed = test_env_u64("IFAB_SEED", 20261121);
    print_message("# seed %llu, %llu runs an engine\n", (unsigned long long)seed, (unsigned long long)runs);
    for (size_t e = 0; e < IFAB_COUNT(engines); e++) {
        struct sandbox first, second;
        struct test_random random = {seed};
        struct record record = {.answers = IFAB_BUF_INIT((size_t)64 << 20), .random = {seed + 1}};
        struct ifab_buf output = IFAB_BUF_INIT(1 << 20);
        start(&first, &engines[e]);
        start(&second, &engines[e]);
        for (uint32_t i = 1; i <= runs; i++) {
            char input[64];
            struct ifab_frame_call call = sandbox_call;
            struct ifab_frame_result a, b;
            draw_input(&random, input, sizeof input);
            call.input = ifab_view_str(input);
            call.fuel = 1 + test_random_below(&random, 2000000);
            ifab_buf_clear(&record.answers);
            record.at = 0;
            record.replaying = false;
            assert_true(run(&first, i, &call, &record, &a));
            ifab_buf_clear(&output);
            ifab_buf_view(&output, a.output);
            record.replaying = true;
            assert_true(run(&second, i, &call, &record, &b));
            if (record.differs || record.at != record.answers.size || a.trap != b.trap || a.fuel_used != b.fuel_used || a.host_calls != b.host_calls ||
                !ifab_view_equal(ifab_buf_as_view(&output), b.output))
                fail_msg("%s: run %u, \"%s\" with %llu fuel: %s %llu, then %s %llu", engines[e].name, i, input, (unsigned long long)call.fuel,
                         ifab_trap_name(a.trap), (unsigned long long)a.fuel_used, ifab_trap_name(b.trap), (unsigned long long)b.fuel_used);
        }
        ifab_buf_fini(&output);
        ifab_buf_fini(&record.answers);
        stop(&first);
        stop(&second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_words_give_the_same),
        cmocka_unit_test(fuel_never_differs_and_grows_with_the_work),
        cmocka_unit_test(recorded_runs_replay),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
