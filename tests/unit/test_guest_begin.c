/* A guest's call from its begin to its answer: what it is told, whose it is, what is shown of its end. Workers do as they are told. INV-08, INV-09 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/guest/guest_internal.h"
#include "crypto/crypto.h"
#include "fake_worker.h"
#include "support.h"

#define ZERO64 "0000000000000000000000000000000000000000000000000000000000000000"
static const char text[] =
    "{\"id\":\"if://capability/lamp\",\"version\":\"1.0.0\",\"summary\":\"A lamp\","
    "\"entrypoint\":{\"module\":\"lamp.wasm\",\"sha256\":\"sha256:" ZERO64 "\",\"size\":3,\"abi\":1},"
    "\"operations\":{\"switch\":{\"params\":{\"type\":\"object\",\"properties\":{\"on\":{\"type\":\"boolean\"}}},\"effect\":\"write\"}},"
    "\"default_operation\":\"switch\",\"imports\":[\"log\"],\"limits\":{\"rps\":3,\"burst\":6,\"backoff\":[1],\"deadline_ms\":300000}}";

static struct world {
    uv_loop_t loop;
    struct ifab_guests *guests;
    struct ifab_chassis_module *module;
    struct ifab_arena arena;
    struct ifab_manifest manifest;
    char dir[64], execute[96], prepare[96];
    struct ifab_buf output, why;
    enum ifab_call_end end;
    enum ifab_code code;
    bool done, closed;
} w;

static void program(const char *name, char *ret_path, size_t size)
{
    char self[512] = "";
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(ret_path, size, "%s/%s", w.dir, name);
    assert_int_equal(symlink(self, ret_path), 0);
}

static ifab_usec wall(void *user)
{
    (void)user;
    return 1000;
}

static int begin(void **state)
{
    struct ifab_refusal refusal;
    struct ifab_error err = {.text = ""};
    uint8_t digest32[32];
    (void)state;
    memset(&w, 0, sizeof w);
    snprintf(w.dir, sizeof w.dir, "/tmp/ifab-guest-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    program("if-fake-execute", w.execute, sizeof w.execute);
    program("if-fake-prepare", w.prepare, sizeof w.prepare);
    ifab_buf_init(&w.output, 65536);
    ifab_buf_init(&w.why, 65536);
    ifab_arena_init(&w.arena, IFAB_MANIFEST_ARENA_MAX);
    if (ifab_manifest_read(ifab_view_str(text), &w.arena, &w.manifest, &refusal) != IFAB_CODE_NONE)
        fail_msg("%s: %s", refusal.field, refusal.message);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    const struct ifab_guest_options options = {.loop = &w.loop, .execute_path = w.execute, .prepare_path = w.prepare, .user = &w, .wall = wall};
    if (ifab_guests_new(&options, &w.guests, &err) != IFAB_OK)
        fail_msg("%s", err.text);
    ifab_sha256(IFAB_VIEW("run"), digest32);
    assert_int_equal(ifab_guests_module(IFAB_VIEW("run"), digest32, &w.module, NULL), IFAB_OK);
    return 0;
}
static void on_closed(void *user)
{
    (void)user;
    w.closed = true;
}
static int end(void **state)
{
    char command[96];
    (void)state;
    ifab_guests_close(w.guests, on_closed, NULL);
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    ifab_guests_module_drop(w.module);
    ifab_arena_fini(&w.arena);
    ifab_buf_fini(&w.output);
    ifab_buf_fini(&w.why);
    snprintf(command, sizeof command, "rm -rf %s", w.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

static void on_done(void *user, const struct ifab_guest_answer *answer)
{
    assert_ptr_equal(user, &w);
    w.end = answer->end;
    w.code = answer->code;
    ifab_buf_view(&w.output, answer->output);
    ifab_buf_view(&w.why, answer->text);
    w.done = true;
}
static void call(enum ifab_guest_task task, const char *params)
{
    const struct ifab_guest_call call = {.task = task, .manifest = &w.manifest, .operation = task == IFAB_GUEST_HEALTH ? NULL : &w.manifest.operations[0],
                                         .params = ifab_view_str(params), .talent = IFAB_VIEW("ada"), .talent_number = 7, .module = w.module};
    w.done = false;
    ifab_buf_clear(&w.output);
    ifab_buf_clear(&w.why);
    assert_int_equal(ifab_guest_begin(w.guests, &call, on_done, &w), IFAB_OK);
}
static void finish(void)
{
    while (!w.done)
        uv_run(&w.loop, UV_RUN_ONCE);
}
static bool holds(const struct ifab_buf *buf, const char *what) { return buf->size > 0 && memmem(buf->data, buf->size, what, strlen(what)) != NULL; }

static void a_guest_is_told_what_it_runs_for(void **state)
{
    static const char *const modes[] = {[IFAB_GUEST_APPLY] = "\"mode\":\"apply\"", [IFAB_GUEST_DRY_RUN] = "\"mode\":\"dry-run\"", [IFAB_GUEST_HEALTH] = "\"mode\":\"health\""};
    (void)state;
    for (enum ifab_guest_task task = IFAB_GUEST_APPLY; task <= IFAB_GUEST_HEALTH; task++) {
        call(task, "{\"on\":true}");
        finish();
        assert_int_equal(w.end, IFAB_CALL_OK);
        assert_true(holds(&w.output, modes[task]) && holds(&w.output, "\"talent\":\"ada\"") && holds(&w.output, "\"params\":{\"on\":true}"));
        assert_true(holds(&w.output, task == IFAB_GUEST_HEALTH ? "\"operation\":\"health\"" : "\"operation\":\"switch\""));
    }
}

/* The rooms of values, connections and rates are named by it: by the whole of a manifest's digest, no part of it. */
static void a_call_is_of_its_talent_and_its_whole_manifest(void **state)
{
    char tenant[80];
    (void)state;
    int at = snprintf(tenant, sizeof tenant, "7/");
    for (size_t i = 0; i < 32; i++)
        at += snprintf(tenant + at, sizeof tenant - (size_t)at, "%02x", w.manifest.digest32[i]);
    call(IFAB_GUEST_APPLY, "{}");
    assert_true(ifab_view_is(w.guests->first->tenant, tenant));
    finish();
}

static void what_is_no_answer_is_a_fault_of_the_guest(void **state)
{
    (void)state;
    call(IFAB_GUEST_PLAN, "{}"); /* a result is no plan */
    finish();
    assert_int_equal(w.end, IFAB_CALL_TRAP);
    assert_int_equal(w.code, IFAB_CODE_SANDBOX_VIOLATION);
    assert_int_equal(w.output.size, 0);
}

static void why_a_call_ended_is_redacted_and_then_cut(void **state)
{
    char params[320];
    (void)state;
    call(IFAB_GUEST_APPLY, "{\"trap\":\"at ghp_0123456789abcdefghijklmnopqrstuvwxyz\"}");
    finish();
    assert_int_equal(w.end, IFAB_CALL_TRAP);
    assert_int_equal(w.code, IFAB_CODE_SANDBOX_VIOLATION);
    assert_true(holds(&w.why, "unreachable: at ***REDACTED***"));
    assert_false(holds(&w.why, "ghp_"));
    snprintf(params, sizeof params, "{\"trap\":\"token=1 %0230d\"}", 0); /* longer once it is redacted */
    call(IFAB_GUEST_APPLY, params);
    finish();
    assert_int_equal(w.end, IFAB_CALL_TRAP);
    assert_true(holds(&w.why, "token=***REDACTED*** 000"));
    assert_int_equal(w.why.size, 256);
}

/* What the fabric refused it in its call is its end where it ends as its provider's, and nowhere else. */
static void an_end_on_a_refusal_is_the_fabrics(void **state)
{
    static const struct {
        const char *params;
        enum ifab_call_end refused, end;
        const char *why;
    } rows[] = {
        {"{\"error\":{\"kind\":\"provider\",\"message\":\"no lamp\"}}", IFAB_CALL_ADDRESS, IFAB_CALL_ADDRESS, "the lamp's; the capability says: no lamp"},
        {"{\"error\":{\"kind\":\"transient\",\"message\":\"the lamp's\"}}", IFAB_CALL_LIMITED, IFAB_CALL_LIMITED, "the lamp's"},
        {"{\"error\":{\"kind\":\"provider\",\"message\":\"\"}}", IFAB_CALL_NO_SECRET, IFAB_CALL_NO_SECRET, "the lamp's"},
        {"{\"error\":{\"kind\":\"provider\",\"message\":\"no lamp\"}}", IFAB_CALL_OK, IFAB_CALL_PROVIDER, "no lamp"},
        {"{\"error\":{\"kind\":\"caller\",\"message\":\"no lamp\"}}", IFAB_CALL_ADDRESS, IFAB_CALL_CALLER, "no lamp"},
        {"{\"trap\":\"a\"}", IFAB_CALL_ADDRESS, IFAB_CALL_TRAP, "unreachable: a"},
        {"{\"on\":true}", IFAB_CALL_ADDRESS, IFAB_CALL_OK, ""},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        call(IFAB_GUEST_APPLY, rows[i].params);
        ifab_guest__note(w.guests->first, rows[i].refused, "the lamp's");
        finish();
        assert_int_equal(w.end, rows[i].end);
        assert_true(ifab_view_is(ifab_buf_as_view(&w.why), rows[i].why));
    }
}

/* What never was a request is its caller's, not its provider's; what came back, or was on its way, is the provider's. */
static void what_was_no_request_is_the_callers(void **state)
{
    static const enum ifab_egress_failure callers[] = {IFAB_EGRESS_URL, IFAB_EGRESS_REQUEST, IFAB_EGRESS_TOO_LARGE};
    static const enum ifab_egress_failure providers[] = {IFAB_EGRESS_RESPONSE_TOO_LARGE, IFAB_EGRESS_RESPONSE, IFAB_EGRESS_TLS, IFAB_EGRESS_TRANSPORT, IFAB_EGRESS_DEADLINE};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(callers); i++)
        assert_int_equal(ifab_guest__own(IFAB_CODE_INVALID_PARAMS, callers[i]), IFAB_CALL_CALLER);
    for (size_t i = 0; i < IFAB_COUNT(providers); i++)
        assert_int_equal(ifab_guest__own(IFAB_CODE_PROVIDER_UNAVAILABLE, providers[i]), IFAB_CALL_OK);
}

static void what_was_refused_is_redacted_and_cut_too(void **state)
{
    char params[600];
    (void)state;
    snprintf(params, sizeof params, "{\"error\":{\"kind\":\"provider\",\"message\":\"%0250d\"}}", 0);
    call(IFAB_GUEST_APPLY, params);
    ifab_guest__note(w.guests->first, IFAB_CALL_DENIED, "at ghp_0123456789abcdefghijklmnopqrstuvwxyz");
    finish();
    assert_true(holds(&w.why, "at ***REDACTED***; the capability says: 000") && !holds(&w.why, "ghp_"));
    assert_int_equal(w.why.size, 256);
}

/* What no honest guest does is a violation, whatever was refused besides. */
static void an_alarm_goes_before_a_refusal(void **state)
{
    (void)state;
    call(IFAB_GUEST_APPLY, "{\"error\":{\"kind\":\"provider\",\"message\":\"no lamp\"}}");
    ifab_guest__note(w.guests->first, IFAB_CALL_DENIED, "the lamp's");
    w.guests->first->alarm = IFAB_VIEW("no row");
    finish();
    assert_int_equal(w.end, IFAB_CALL_VIOLATION);
    assert_true(ifab_view_is(ifab_buf_as_view(&w.why), "no row"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
static const struct CMUnitTest tests[] = {
    TEST(a_guest_is_told_what_it_runs_for),
    TEST(a_call_is_of_its_talent_and_its_whole_manifest),
    TEST(what_is_no_answer_is_a_fault_of_the_guest),
    TEST(why_a_call_ended_is_redacted_and_then_cut),
    TEST(an_end_on_a_refusal_is_the_fabrics),
    TEST(what_was_no_request_is_the_callers),
    TEST(what_was_refused_is_redacted_and_cut_too),
    TEST(an_alarm_goes_before_a_refusal),
};
int main(int argc, char **argv)
{
    struct ifab_error err = {.text = ""};
    if (argc > 0)
        fake_worker_main(argv[0]);
    if (ifab_crypto_init(&err) != IFAB_OK)
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (getenv("IFAB_TEST") != NULL)
        cmocka_set_test_filter(getenv("IFAB_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
