/*
 * A guest in C from its source to its result: built by sdk/guest-c/build, compiled in the prepare process, kept in the cache, run behind the
 * walls, its imports answered here as the daemon would. IFAB_SANDBOX, IFAB_GUESTS: folders of the programs and modules. INV-07, INV-08
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "pool/pool.h"
#include "support.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE (4 * (uint32_t)test_env_u64("IFAB_PATIENCE_MS", 30000)) /* ms; a bound for hangs, over many calls */
#define CONTEXT   "\"context\":{\"talent\":\"Demo.A\",\"config\":{\"url\":\"https://lamp.example\"}}}"
#define SWITCH    "{\"operation\":\"switch\",\"params\":{\"on\":true}," CONTEXT
#define OP(name_) "{\"operation\":\"" name_ "\",\"params\":{}," CONTEXT

static struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    struct ifab_chassis_options options;
    struct ifab_chassis *pool;
    struct ifab_chassis_module *module;
    struct ifab_chassis_request request;
    size_t begun, ended, held;
    struct ifab_chassis_result result; /* of the last one; its texts are here: */
    char output[4096], text[300], asked[1024], logged[128];
    uint64_t held_id, gone_id;
    size_t asked_count;
    bool closed, hold;
    char dir[64], cache[96], execute[512], prepare[512];
} w;

static void on_host_call(void *user, const struct ifab_chassis_host_call *ask)
{
    const struct ifab_frame_host_call *args = ask->args;
    struct ifab_view bytes = {NULL, 0};
    enum ifab_host_status status = IFAB_HOST_OK;
    static const uint8_t now[8] = {0x40, 0x42, 0x0f}, random[64] = {5, [31] = 6}; /* a second after 1970, little-endian */
    (void)user;
    w.asked_count++;
    switch (args->import) {
    case IFAB_IMPORT_log:
        snprintf(w.logged, sizeof w.logged, "%u " IFAB_FMT, args->number, IFAB_ARG(args->a));
        break;
    case IFAB_IMPORT_http:
        snprintf(w.asked, sizeof w.asked, IFAB_FMT, IFAB_ARG(args->a));
        if (w.hold) {
            w.held_id = ask->id;
            w.held++;
            uv_stop(&w.loop);
            return;
        }
        if (strstr(w.asked, "lamp.example") != NULL)
            bytes = IFAB_VIEW("{\"status\":200,\"headers\":{},\"body\":\"{\\\"on\\\":true}\"}");
        else
            bytes = IFAB_VIEW("{\"error\":{\"code\":\"IF_ERR_003\",\"message\":\"no row\"}}");
        break;
    case IFAB_IMPORT_secret_ref:
        bytes = IFAB_VIEW("handle-7");
        status = ifab_view_is(args->a, "other") ? IFAB_HOST_NOT_FOUND : IFAB_HOST_OK;
        break;
    case IFAB_IMPORT_kv_get:
        bytes = IFAB_VIEW("v");
        status = ifab_view_is(args->a, "k") ? IFAB_HOST_OK : IFAB_HOST_NOT_FOUND;
        break;
    case IFAB_IMPORT_kv_put:
        break;
    case IFAB_IMPORT_now:
        bytes = ifab_view_of(now, sizeof now);
        break;
    case IFAB_IMPORT_random:
        bytes = ifab_view_of(random, args->number);
        break;
    case IFAB_IMPORT_COUNT:
        fail_msg("no such import");
    }
    assert_int_equal(ifab_chassis_host_result(w.pool, ask->id, status, status == IFAB_HOST_OK ? bytes : (struct ifab_view){NULL, 0}), IFAB_OK);
}

static void on_host_gone(void *user, uint64_t id)
{
    (void)user;
    w.gone_id = id;
}

static void on_done(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    (void)user;
    (void)call;
    w.result = *result;
    assert_true(result->output.size < sizeof w.output);
    snprintf(w.output, sizeof w.output, IFAB_FMT, IFAB_ARG(result->output));
    snprintf(w.text, sizeof w.text, "%s", result->text);
    w.ended++;
    uv_stop(&w.loop);
}

static void on_patience(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "nothing came\n");
    abort();
}

static void turn_until(const size_t *count, size_t wanted)
{
    uv_timer_start(&w.patience, on_patience, PATIENCE, 0);
    while (*count < wanted)
        uv_run(&w.loop, UV_RUN_ONCE);
    uv_timer_stop(&w.patience);
}

static void set_bytes(struct ifab_view wasm)
{
    uint8_t digest[32];
    struct ifab_error err = {.text = ""};
    ifab_chassis_module_unref(w.module);
    ifab_sha256(wasm, digest);
    assert_int_equal(ifab_chassis_module_new(wasm, digest, &w.module, &err), IFAB_OK);
    w.request.module = w.module;
    w.request.tenant.manifest32[0]++; /* another module is another manifest */
}

static void set_module(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("IFAB_GUESTS"), name);
    struct ifab_buf wasm = test_read_file(path);
    set_bytes(ifab_buf_as_view(&wasm));
    ifab_buf_fini(&wasm);
}

static void open_pool(void)
{
    const struct ifab_chassis_handlers handlers = {on_host_call, on_host_gone, &w};
    struct ifab_error err = {.text = ""};
    w.closed = false;
    if (ifab_chassis_new(&w.loop, &w.options, &handlers, &w.pool, &err) != IFAB_OK)
        fail_msg("%s", err.text);
}

static void on_closed(void *user)
{
    (void)user;
    w.closed = true;
    uv_stop(&w.loop);
}

static void close_pool(void)
{
    if (w.pool == NULL)
        return;
    ifab_chassis_close(w.pool, on_closed, NULL);
    uv_timer_start(&w.patience, on_patience, PATIENCE, 0);
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
    uv_timer_stop(&w.patience);
    w.pool = NULL;
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    assert_int_equal(errno, ECHILD);
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    snprintf(w.dir, sizeof w.dir, "/tmp/ifab-run-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.cache, sizeof w.cache, "%s/cache", w.dir);
    snprintf(w.execute, sizeof w.execute, "%s/if-sandbox", getenv("IFAB_SANDBOX"));
    snprintf(w.prepare, sizeof w.prepare, "%s/if-sandbox-prepare", getenv("IFAB_SANDBOX"));
    assert_int_equal(uv_loop_init(&w.loop), 0);
    uv_timer_init(&w.loop, &w.patience);
    ifab_chassis_options_default(&w.options);
    w.options.execute_path = w.execute;
    w.options.prepare_path = w.prepare;
    w.options.cache_path = w.cache;
    w.options.wait_ms = w.options.load_ms = w.options.prepare_ms = PATIENCE;
    w.request = (struct ifab_chassis_request){
        .tenant = {.talent = 1},
        .imports = IFAB_IMPORT_ALL,
        .memory_pages = 64,
        .export_ = IFAB_EXPORT_APPLY,
        .deadline_ms = 60000,
        .fuel = 100000000,
        .output_max = 4000,
        .host_calls_max = 1000,
    };
    open_pool();
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    close_pool();
    ifab_chassis_module_unref(w.module);
    uv_close((uv_handle_t *)&w.patience, NULL);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    snprintf(command, sizeof command, "rm -rf %s", w.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

static void begin(enum ifab_export export_, const char *input)
{
    uint64_t id;
    w.request.export_ = export_;
    w.request.input = ifab_view_str(input);
    assert_int_equal(ifab_chassis_call(w.pool, &w.request, on_done, NULL, &id), IFAB_OK);
    w.begun++;
}

static void run(enum ifab_export export_, const char *input)
{
    begin(export_, input);
    turn_until(&w.ended, w.begun);
}

#define assert_ends(code_, trap_)                                                                        \
    do {                                                                                                 \
        if (w.result.code != (code_) || w.result.trap != (trap_))                                        \
            fail_msg("code %d, trap %s: %s", (int)w.result.code, ifab_trap_name(w.result.trap), w.text); \
    } while (0)
#define assert_output(text_)                         \
    do {                                             \
        assert_ends(IFAB_CODE_NONE, IFAB_TRAP_NONE); \
        assert_string_equal(w.output, (text_));      \
    } while (0)

static struct ifab_chassis_stats stats(void)
{
    struct ifab_chassis_stats s;
    ifab_chassis_stats(w.pool, &s);
    return s;
}

static void a_guest_goes_from_source_to_result(void **state)
{
    (void)state;
    char engine[2 * IFAB_FRAME_NAME_MAX + 2];
    uint32_t walls = 0;
    set_module("lamp.wasm");
    run(IFAB_EXPORT_PLAN, SWITCH);
    assert_output("{\"summary\":\"switch the lamp on\",\"effects\":[{\"type\":\"http.post\",\"target\":\"https://lamp.example/state\"}]}");
    assert_int_equal(w.asked_count, 0);
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_output("{\"result\":{\"on\":true}}");
    assert_non_null(strstr(w.asked, "\"secret\":\"handle-7\""));
    assert_string_equal(w.logged, "1 the lamp answered");
    assert_int_equal(w.result.host_calls, 4); /* secret_ref, http, kv_put, log */
    uint64_t fuel = w.result.fuel_used;
    assert_true(fuel > 0 && fuel < w.request.fuel);
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_int_equal(w.result.fuel_used, fuel); /* a fresh instance each: nothing of the first is left */
    run(IFAB_EXPORT_HEALTH, OP("health"));
    assert_output("{\"result\":null}");
    assert_true(ifab_chassis_engine(w.pool, engine, &walls));
    assert_true(strncmp(engine, "wasmtime ", 9) == 0);
    assert_int_equal(walls & IFAB_WALL_MANDATORY, IFAB_WALL_MANDATORY);
    assert_int_equal(stats().compiled, 1);
    close_pool();
    open_pool();
    set_module("lamp.wasm");
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_output("{\"result\":{\"on\":true}}");
    assert_int_equal(w.result.fuel_used, fuel);
    assert_int_equal(stats().compiled, 0); /* from the cache */
    assert_int_equal(stats().cache_hits, 1);
}

static void a_changed_artifact_is_never_run(void **state)
{
    (void)state;
    char command[256];
    set_module("lamp.wasm");
    run(IFAB_EXPORT_APPLY, SWITCH);
    close_pool();
    snprintf(command, sizeof command, "for f in %s/*.artifact; do printf '\\377' | dd of=$f bs=1 seek=5000 conv=notrunc 2>/dev/null; done", w.cache);
    assert_int_equal(system(command), 0);
    open_pool();
    set_module("lamp.wasm");
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_output("{\"result\":{\"on\":true}}");
    assert_int_equal(stats().cache_bad, 1);
    assert_int_equal(stats().compiled, 1);
}

static void every_import_answers(void **state)
{
    (void)state;
    set_module("every.wasm");
    run(IFAB_EXPORT_APPLY, OP("every"));
    assert_output("{\"result\":{\"kept\":\"yes\",\"value\":\"v\",\"absent\":\"yes\",\"no_secret\":\"IF_ERR_404\",\"handle\":\"handle-7\",\"refused\":"
                  "\"IF_ERR_003\","
                  "\"now\":1000000,\"random\":1541}}");
    assert_non_null(strstr(w.asked, "\"body_b64\":\"/wA=\""));
    run(IFAB_EXPORT_PLAN, OP("every"));
    assert_output("{\"summary\":\"every\",\"effects\":[],\"cost\":{\"usd_micro\":1500}}");
    assert_string_equal(w.logged, "2 planning");
    run(IFAB_EXPORT_PLAN, OP("ask")); /* an import that is not allowed in plan */
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_HOST_DENIED);
}

static void each_stop_stops(void **state)
{
    (void)state;
    set_module("every.wasm");
    w.request.fuel = 100000;
    run(IFAB_EXPORT_APPLY, OP("spin"));
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_FUEL);
    assert_int_equal(w.result.fuel_used, 100000);
    w.request.fuel = IFAB_FRAME_FUEL_MAX;
    w.request.deadline_ms = 500;
    run(IFAB_EXPORT_APPLY, OP("spin"));
    assert_int_equal(w.result.code, IFAB_CODE_DEADLINE_EXCEEDED); /* by SIGALRM or, on a machine that is very busy, by SIGKILL */
    assert_int_equal(w.result.fuel_used, IFAB_FRAME_FUEL_MAX);
    w.request.host_calls_max = UINT32_MAX;
    run(IFAB_EXPORT_APPLY, OP("ask"));
    assert_int_equal(w.result.code, IFAB_CODE_DEADLINE_EXCEEDED);
    w.request.deadline_ms = 60000;
    w.request.host_calls_max = 100;
    w.asked_count = 0;
    run(IFAB_EXPORT_APPLY, OP("ask"));
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_HOST_DENIED);
    assert_int_equal(w.asked_count, 100);
    run(IFAB_EXPORT_APPLY, OP("grow"));
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_UNREACHABLE); /* memory.grow gave nothing; the SDK's allocator traps */
    run(IFAB_EXPORT_APPLY, "{\"operation\":\"big\",\"params\":{\"bytes\":5000}," CONTEXT);
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_OOB); /* more than output_max */
    run(IFAB_EXPORT_APPLY, "{\"operation\":\"big\",\"params\":{\"bytes\":3}," CONTEXT);
    assert_output("{\"result\":\"xxx\"}");
    set_module("deep.wasm");
    run(IFAB_EXPORT_APPLY, OP("deep"));
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_OOB); /* the shadow stack ran below 0 */
    run(IFAB_EXPORT_PLAN, OP("free"));
    assert_ends(IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_UNREACHABLE);
}

static void what_does_not_load_is_refused(void **state)
{
    (void)state;
    w.request.imports = IFAB_IMPORT_ALL & ~(1U << IFAB_IMPORT_http);
    set_module("lamp.wasm");
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_ends(IFAB_CODE_INVALID_MANIFEST, IFAB_TRAP_NONE);
    assert_non_null(strstr(w.text, "if.http"));
    assert_false(w.result.began);
    w.request.imports = IFAB_IMPORT_ALL;
    set_bytes(IFAB_VIEW("not WebAssembly"));
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_ends(IFAB_CODE_INVALID_MANIFEST, IFAB_TRAP_NONE);
    set_bytes(IFAB_VIEW("\0asm\1\0\0\0")); /* a module without exports */
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_ends(IFAB_CODE_INVALID_MANIFEST, IFAB_TRAP_NONE);
    w.request.memory_pages = 1; /* less than it begins with */
    set_module("lamp.wasm");
    run(IFAB_EXPORT_APPLY, SWITCH);
    assert_ends(IFAB_CODE_INVALID_MANIFEST, IFAB_TRAP_NONE);
    assert_int_equal(w.asked_count, 0);
}

static void a_revocation_ends_a_call_that_waits_for_its_provider(void **state)
{
    (void)state;
    set_module("lamp.wasm");
    w.hold = true;
    begin(IFAB_EXPORT_APPLY, SWITCH);
    turn_until(&w.held, 1);
    assert_int_equal(ifab_chassis_revoke(w.pool, w.request.tenant.manifest32), 1);
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held_id, IFAB_HOST_OK, IFAB_VIEW("{}")), IFAB_NOT_FOUND);
    turn_until(&w.ended, 1);
    assert_ends(IFAB_CODE_CAPABILITY_NOT_ALLOWED, IFAB_TRAP_KILLED);
    assert_true(w.result.began);
    assert_int_equal(w.gone_id, w.held_id);
    begin(IFAB_EXPORT_APPLY, SWITCH); /* loaded anew; this time the provider does not answer */
    turn_until(&w.held, 2);
    w.hold = false;
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held_id, IFAB_HOST_UNAVAILABLE, (struct ifab_view){NULL, 0}), IFAB_OK);
    turn_until(&w.ended, 2);
    assert_output("{\"error\":{\"kind\":\"transient\",\"message\":\"the provider did not answer\"}}");
}

static void many_calls_give_the_same_bytes_and_fuel(void **state)
{
    (void)state;
    uint64_t fuel = 0;
    set_module("every.wasm");
    for (uint64_t i = 0; i < 300; i++) {
        w.request.tenant.talent = i % 5;
        run(IFAB_EXPORT_APPLY, "{\"operation\":\"repeat\",\"params\":{\"count\":1000}," CONTEXT);
        assert_output("{\"result\":\"\"}");
        assert_true(i == 0 || w.result.fuel_used == fuel);
        fuel = w.result.fuel_used;
    }
    assert_int_equal(stats().compiled, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static const struct CMUnitTest tests[] = {
    TEST(a_guest_goes_from_source_to_result),
    TEST(a_changed_artifact_is_never_run),
    TEST(every_import_answers),
    TEST(each_stop_stops),
    TEST(what_does_not_load_is_refused),
    TEST(a_revocation_ends_a_call_that_waits_for_its_provider),
    TEST(many_calls_give_the_same_bytes_and_fuel),
};

int main(void)
{
    struct ifab_error err = {.text = ""};
    if (getenv("IFAB_SANDBOX") == NULL || getenv("IFAB_GUESTS") == NULL)
        TEST_SKIP_ALL("IFAB_SANDBOX and IFAB_GUESTS are not set");
    if (ifab_crypto_init(&err) != IFAB_OK)
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (getenv("IFAB_TEST") != NULL)
        cmocka_set_test_filter(getenv("IFAB_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
