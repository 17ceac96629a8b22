/* WebSockets of a guest, step by step: forms, order, bounds, ends, secrets. The port is the scripted one; the pool is fake_pool.h. INV-08, INV-09 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_pool.h"
#include "governor/breaker.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define URL    "ws://a.example/x"
#define SECRET "canary-2b7e15"

/* ---- the fabric: secrets are asked for and granted later ---- */
static struct {
    unsigned asked, lent;
    uint64_t question;
    char name[64], origin[64];
    const char *record; /* the origin of the secret's record */
} vault;

static uint32_t version(void *user, struct ifab_view name)
{
    (void)user;
    (void)name;
    return 1;
}
static void ask(void *user, uint64_t question, enum ifab_guest_task task, void *call, struct ifab_view name, struct ifab_view origin)
{
    (void)user;
    (void)task;
    (void)call;
    vault.asked++;
    vault.question = question;
    snprintf(vault.name, sizeof vault.name, IFAB_FMT, IFAB_ARG(name));
    snprintf(vault.origin, sizeof vault.origin, IFAB_FMT, IFAB_ARG(origin));
}
static ifab_status lend(void *user, struct ifab_view name, struct ifab_view origin, ifab_status (*use)(void *use_user, struct ifab_view value),
                        void *use_user)
{
    (void)user;
    (void)name;
    if (!ifab_view_is(origin, vault.record))
        return IFAB_DENIED;
    vault.lent++;
    return use(use_user, IFAB_VIEW(SECRET));
}

/* ---- a call ---- */
static struct ifab_guests *guests;
static struct running *running;
static struct guest_spec spec;
static struct ifab_egress_row rows[2];
static struct ifab_secret_use uses[3];

static int begin(void **state)
{
    static const struct ifab_egress_scripted script[] = {
        {.body = {(const uint8_t *)"one", 3}}, {.body = {(const uint8_t *)"a\0b", 3}}, {.body = {(const uint8_t *)"pw " SECRET, 16}}};
    const struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI};
    (void)state;
    guests = ifab_calloc(1, sizeof *guests);
    running = ifab_calloc(1, sizeof *running);
    assert_true(guests != NULL && running != NULL);
    assert_int_equal(ifab_egress_memory_open(&settings, script, IFAB_COUNT(script), &guests->egress, NULL), IFAB_OK);
    assert_int_equal(uv_timer_init(uv_default_loop(), &guests->timer), 0);
    guests->timer.data = guests;
    guests->options = (struct ifab_guest_options){.wall = pool_wall, .secret = version, .ask = ask, .lend = lend};
    for (size_t i = 0; i < 2; i++) {
        rows[i] = (struct ifab_egress_row){.path = ifab_view_str(i == 0 ? "/x" : "/read"), .methods = 1U << IFAB_EGRESS_METHOD_GET, .read = i == 1};
        assert_int_equal(ifab_origin_read(IFAB_VIEW("ws://a.example"), &rows[i].origin, NULL), IFAB_OK);
    }
    uses[0] = (struct ifab_secret_use){.name = IFAB_VIEW("PW"), .origin_text = IFAB_VIEW("ws://a.example"), .as = IFAB_SECRET_AS_BEARER};
    uses[1] = uses[0];
    uses[1].as = IFAB_SECRET_AS_HMAC;
    uses[1].field = IFAB_VIEW("obs-websocket-5");
    uses[2] = uses[1];
    uses[1].origin_text = IFAB_VIEW("ws://c.example"); /* the same secret, for another server */
    *running = (struct running){.guests = guests,
                                .task = IFAB_GUEST_APPLY,
                                .tenant = IFAB_VIEW("t"),
                                .plan_id = IFAB_VIEW("plan-1"),
                                .idempotent = true,
                                .spec = &spec,
                                .rows = rows,
                                .row_count = 2,
                                .call = 7};
    memset(&spec, 0, sizeof spec);
    spec.refs = 2; /* ours, which no call ends */
    spec.manifest.id = IFAB_VIEW("if://capability/a");
    spec.manifest.secrets = uses;
    spec.manifest.secret_count = IFAB_COUNT(uses);
    spec.manifest.limits.response_kib = 1;
    spec.manifest.limits.rps = spec.manifest.limits.burst = 1000;
    ifab_arena_init(&running->arena, GUEST_ARENA);
    guests->first = running;
    guests->count = 1;
    memset(&vault, 0, sizeof vault);
    vault.record = "ws://a.example";
    return 0;
}
static int end(void **state)
{
    (void)state;
    ifab_guest__sockets_end(running);
    ifab_guest__egress_events(guests);
    assert_int_equal(ifab_egress_in_flight(guests->egress), 0); /* nothing outlives its call */
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        ifab_guest__question_end(&guests->questions[i]);
    ifab_egress_close(guests->egress);
    ifab_token_table_free(guests->rates);
    uv_close((uv_handle_t *)&guests->timer, NULL);
    (void)uv_run(uv_default_loop(), UV_RUN_NOWAIT);
    ifab_arena_fini(&running->arena);
    ifab_free(running);
    ifab_free(guests);
    return 0;
}

static bool sent_has(size_t n, const char *text)
{
    struct ifab_view all = ifab_egress_memory_sent(guests->egress, n);
    return all.size > 0 && memmem(all.data, all.size, text, strlen(text)) != NULL;
}
static const char *ask_host(const char *json)
{
    (void)pool_asks(running, json);
    assert_true(!answered || status_of_last == IFAB_HOST_OK); /* words, or it waits */
    return said;
}
/* The same, and the port does what is waiting. */
static const char *ask_port(const char *json)
{
    (void)ask_host(json);
    ifab_egress_memory_run(guests->egress);
    ifab_guest__egress_events(guests);
    assert_true(answered && status_of_last == IFAB_HOST_OK);
    return said;
}
static void refused(const char *json, const char *code)
{
    char want[64];
    snprintf(want, sizeof want, "{\"error\":{\"code\":\"IF_ERR_%s\"", code);
    if (strncmp(ask_port(json), want, strlen(want)) != 0)
        fail_msg("%s: %s", json, said);
}
static void open_socket(unsigned number)
{
    char want[64];
    snprintf(want, sizeof want, "{\"headers\":{},\"socket\":%u,\"status\":101}", number);
    assert_string_equal(ask_port("{\"method\":\"GET\",\"url\":\"" URL "\"}"), want);
}
static enum ifab_egress_failure fails = IFAB_EGRESS_TRANSPORT; /* how, where it does */
/* An event as a back-end gives it. */
static void happens_to(size_t place, enum ifab_egress_kind kind, const char *text, size_t size, int status)
{
    struct ifab_egress_event *e = ifab_calloc(1, sizeof *e);
    assert_non_null(e);
    e->kind = kind;
    e->id = running->sockets[place].egress;
    e->status = status;
    e->problem = (struct ifab_egress_problem){.failure = fails, .code = fails == IFAB_EGRESS_DEADLINE ? IFAB_CODE_DEADLINE_EXCEEDED : IFAB_CODE_PROVIDER_UNAVAILABLE};
    ifab_buf_init(&e->body_, size + 1);
    ifab_buf_put(&e->body_, text, size);
    e->body = ifab_buf_as_view(&e->body_);
    ifab_guest__socket_event(guests, e);
}

static void happens(enum ifab_egress_kind kind, const char *text, size_t size, int status) { happens_to(0, kind, text, size, status); }

static void it_goes_both_ways(void **state)
{
    (void)state;
    open_socket(1);
    assert_true(sent_has(0, "GET " URL "\n"));
    assert_false(sent_has(0, "Idempotency-Key")); /* a socket is opened once */
    assert_string_equal(ask_port("{\"socket\":1,\"send\":\"hi\"}"), "{\"socket\":1}");
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":0}"), "{\"binary\":false,\"message\":\"one\",\"socket\":1}");
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":0}"), "{\"socket\":1}");
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":5000}"), ""); /* waits */
    assert_true(uv_is_active((uv_handle_t *)&guests->timer));
    happens(IFAB_EGRESS_MESSAGE, "two", 3, 0);
    assert_string_equal(said, "{\"binary\":false,\"message\":\"two\",\"socket\":1}");
    assert_string_equal(ask_port("{\"socket\":1,\"send_b64\":\"/w==\"}"), "{\"socket\":1}");
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":0}"), "{\"binary\":false,\"message_b64\":\"YQBi\",\"socket\":1}");
    assert_int_equal(running->reached, 3); /* opened, and two messages */
    assert_string_equal(ask_host("{\"socket\":1,\"close\":true}"), "{\"closed\":1000,\"socket\":1}");
    refused("{\"socket\":1,\"receive\":0}", "208"); /* at once, whatever the server says of it */
    assert_int_equal(ifab_egress_in_flight(guests->egress), 0);
    open_socket(2); /* a number is given once */
}

static void a_receive_ends_with_its_time(void **state)
{
    (void)state;
    open_socket(1);
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":1}"), "");
    while (said[0] == '\0')
        (void)uv_run(uv_default_loop(), UV_RUN_ONCE);
    assert_string_equal(said, "{\"socket\":1}");
    happens(IFAB_EGRESS_MESSAGE, "late", 4, 0);
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":0}"), "{\"binary\":false,\"message\":\"late\",\"socket\":1}");
}

static void what_came_is_told_before_the_end(void **state)
{
    (void)state;
    open_socket(1);
    happens(IFAB_EGRESS_MESSAGE, "last", 4, 0);
    happens(IFAB_EGRESS_CLOSED, "", 0, 4009);
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":0}"), "{\"binary\":false,\"message\":\"last\",\"socket\":1}");
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":9}"), "{\"closed\":4009,\"socket\":1}");
    refused("{\"socket\":1,\"send\":\"x\"}", "503");
    assert_string_equal(ask_host("{\"socket\":1,\"close\":true}"), "{\"closed\":4009,\"socket\":1}");
    refused("{\"socket\":1,\"receive\":0}", "208");
    ifab_egress_cancel(guests->egress, 1); /* the scripted port was not asked: what happened was made up */
}

static void an_end_is_told_to_who_waits(void **state)
{
    (void)state;
    open_socket(1);
    uint64_t id = running->sockets[0].egress;
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":5000}"), "");
    happens(IFAB_EGRESS_FAILED, "", 0, 0);
    assert_non_null(strstr(said, "IF_ERR_503"));
    assert_string_equal(ask_host("{\"socket\":1,\"close\":true}"), "{\"closed\":1006,\"socket\":1}");
    ifab_egress_cancel(guests->egress, id);
}

/* A socket lasts as long as its call may: its end by time is the call's, whoever's timer is first. Its receive's own time is not. */
static void the_end_of_its_time_ends_the_call(void **state)
{
    (void)state;
    open_socket(1);
    uint64_t id = running->sockets[0].egress;
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":5000}"), "");
    running->until = 0; /* that time has come */
    fails = IFAB_EGRESS_DEADLINE;
    happens(IFAB_EGRESS_FAILED, "", 0, 0);
    fails = IFAB_EGRESS_TRANSPORT;
    assert_int_equal(status_of_last, IFAB_HOST_DEADLINE);
    assert_null(ifab_guest__question(guests, last_call));
    ifab_egress_cancel(guests->egress, id);
}

static void what_nobody_takes_has_a_bound(void **state)
{
    (void)state;
    static char large[60000];
    unsigned kept = 0, dropped = 0;
    open_socket(1);
    memset(large, 'x', sizeof large);
    for (unsigned i = 0; i < 100 && running->sockets[0].egress != 0; i++)
        happens(IFAB_EGRESS_MESSAGE, large, sizeof large, 0);
    for (; kept < 200 && strncmp(ask_host("{\"socket\":1,\"receive\":0}"), "{\"error\"", 8) != 0; kept++)
        ;
    assert_in_range(kept, 30, ((size_t)2 << 20) / sizeof large);
    assert_non_null(strstr(said, "IF_ERR_109"));
    open_socket(2);
    assert_string_equal(ask_host("{\"socket\":1,\"close\":true}"), "{\"closed\":1006,\"socket\":1}");
    for (; dropped < 100000 && running->sockets[1].state == SOCKET_OPEN; dropped++) /* messages of no bytes are not free either */
        happens_to(1, IFAB_EGRESS_MESSAGE, "", 0, 0);
    assert_in_range(dropped, 100, ((size_t)2 << 20) / sizeof(struct ifab_egress_event) + 1);
}

static void a_call_has_four_and_they_end_with_it(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 4; i++)
        open_socket(i);
    refused("{\"method\":\"GET\",\"url\":\"" URL "\"}", "302");
    assert_string_equal(ask_port("{\"socket\":2,\"close\":true}"), "{\"closed\":1000,\"socket\":2}");
    open_socket(5);
    refused("{\"method\":\"GET\",\"url\":\"" URL "\"}", "302");
    assert_int_equal(ifab_egress_in_flight(guests->egress), 4);
    ifab_guest__sockets_end(running); /* end() looks that none is left */
}

static void what_does_not_open_leaves_no_place(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        refused("{\"method\":\"POST\",\"url\":\"" URL "\"}", "208");
        refused("{\"method\":\"GET\",\"url\":\"" URL "\",\"secret\":\"NONE\"}", "206");
    }
    (void)ask_host("{\"method\":\"GET\",\"url\":\"" URL "\"}");
    happens(IFAB_EGRESS_FAILED, "", 0, 0); /* before it was open */
    assert_non_null(strstr(said, "IF_ERR_503"));
    assert_int_equal(running->sockets[0].state, SOCKET_FREE);
    ifab_egress_memory_run(guests->egress);
    ifab_guest__egress_events(guests); /* its event finds nobody */
    ifab_egress_cancel(guests->egress, 1);
    assert_int_equal(running->alarm.size, 0);
    refused("{\"method\":\"GET\",\"url\":\"ws://a.example/other\"}", "501"); /* no row */
    assert_true(running->alarm.size > 0);
    running->task = IFAB_GUEST_DRY_RUN;
    refused("{\"method\":\"GET\",\"url\":\"" URL "\"}", "003");
    assert_int_equal(running->refused, IFAB_CALL_DRY_WRITE);
    assert_non_null(strstr(ask_port("{\"method\":\"GET\",\"url\":\"ws://a.example/read\"}"), "\"status\":101"));
    assert_int_equal(running->refused, IFAB_CALL_OK); /* it went on */
}

static void what_is_no_form_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"socket\":1}",
                                      "{\"socket\":1,\"send\":\"a\",\"receive\":1}",
                                      "{\"socket\":1,\"close\":false}",
                                      "{\"socket\":1,\"close\":1}",
                                      "{\"socket\":\"1\",\"close\":true}",
                                      "{\"socket\":0,\"close\":true}",
                                      "{\"socket\":2,\"close\":true}",
                                      "{\"socket\":4294967297,\"close\":true}",
                                      "{\"socket\":1,\"receive\":-1}",
                                      "{\"socket\":1,\"receive\":300001}",
                                      "{\"socket\":1,\"send\":\"x\",\"url\":\"" URL "\"}",
                                      "{\"socket\":1,\"send_b64\":\"A\"}",
                                      "{\"socket\":1,\"send\":\"{{answer}}\",\"answer\":{}}",
                                      "{\"socket\":1,\"receive\":0,\"answer\":{\"challenge\":\"c\",\"salt\":\"s\",\"secret\":\"PW\"}}",
                                      "{\"socket\":1,\"send_b64\":\"eA==\",\"answer\":{\"challenge\":\"c\",\"salt\":\"s\",\"secret\":\"PW\"}}",
                                      "{\"socket\":1,\"socket\":1,\"close\":true}"};
    open_socket(1);
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        refused(bad[i], "208");
    assert_int_equal(vault.asked, 0);
    assert_int_equal(running->reached, 1);
}

#define ANSWER "{\"socket\":1,\"send\":\"{{answer}}\",\"answer\":{\"challenge\":\"c\",\"salt\":\"s\",\"secret\":\"PW\"}}"
static void a_challenge_is_answered_when_the_log_has_it(void **state)
{
    (void)state;
    open_socket(1);
    assert_string_equal(ask_host(ANSWER), ""); /* asked, and not a byte of it lent */
    assert_int_equal(vault.asked, 1);
    assert_int_equal(vault.lent, 0);
    assert_string_equal(vault.name, "PW");
    assert_string_equal(vault.origin, "ws://a.example");
    ifab_guest_secret(guests, vault.question, IFAB_CODE_PERMISSION_DENIED);
    assert_non_null(strstr(said, "IF_ERR_003"));
    assert_int_equal(vault.lent, 0);
    (void)ask_host(ANSWER);
    vault.record = "ws://b.example";
    ifab_guest_secret(guests, vault.question, IFAB_CODE_NONE);
    assert_non_null(strstr(said, "IF_ERR_003"));
    assert_true(running->alarm.size > 0); /* a secret of elsewhere: no honest guest asks */
    vault.record = "ws://a.example";
    (void)ask_host(ANSWER);
    ifab_guest_secret(guests, vault.question, IFAB_CODE_NONE);
    assert_string_equal(said, "{\"socket\":1}");
    assert_int_equal(running->refused, IFAB_CALL_OK); /* it was lent after all */
    assert_int_equal(vault.lent, 1);
    refused("{\"socket\":1,\"send\":\"x\",\"answer\":{\"challenge\":\"c\",\"salt\":\"s\",\"secret\":\"NONE\"}}", "206");
    assert_string_equal(ask_host("{\"socket\":1,\"receive\":0}"), "{\"binary\":false,\"message\":\"one\",\"socket\":1}");
    assert_int_equal(running->refused, IFAB_CALL_UNNAMED_SECRET); /* what was said before says nothing of it */
    assert_string_equal(running->refusal, "requires_secrets in the manifest does not name NONE for challenges");
    (void)ask_host(ANSWER);
    happens(IFAB_EGRESS_CLOSED, "", 0, 1000); /* while the log is written */
    ifab_guest_secret(guests, vault.question, IFAB_CODE_NONE);
    assert_non_null(strstr(said, "IF_ERR_503"));
    assert_int_equal(vault.lent, 1);
    ifab_egress_cancel(guests->egress, 1);
}

static void each_use_of_a_secret_has_its_own_row(void **state)
{
    (void)state;
    (void)ask_host("{\"method\":\"GET\",\"url\":\"" URL "\",\"secret\":\"PW\"}");
    ifab_guest_secret(guests, vault.question, IFAB_CODE_NONE);
    ifab_egress_memory_run(guests->egress);
    ifab_guest__egress_events(guests);
    assert_string_equal(said, "{\"headers\":{},\"socket\":1,\"status\":101}");
    assert_true(sent_has(0, "Authorization: Bearer " SECRET));
    spec.manifest.secrets = &uses[1]; /* it answers challenges alone: with no handshake */
    spec.manifest.secret_count = 1;
    refused("{\"method\":\"GET\",\"url\":\"" URL "\",\"secret\":\"PW\"}", "206");
    assert_non_null(strstr(said, "does not name PW for requests")); /* but for the others */
    assert_int_equal(vault.lent, 1);
}

static void a_message_with_a_secret_ends_the_call(void **state)
{
    (void)state;
    open_socket(1);
    (void)ask_host(ANSWER);
    ifab_guest_secret(guests, vault.question, IFAB_CODE_NONE);
    (void)ask_port("{\"socket\":1,\"send\":\"x\"}");
    (void)ask_port("{\"socket\":1,\"send\":\"x\"}"); /* the third body of the script */
    assert_true(running->alarm.size > 0);
    assert_non_null(strstr(ask_host("{\"socket\":1,\"receive\":0}"), "\"one\""));
    (void)ask_host("{\"socket\":1,\"receive\":0}");
    assert_non_null(strstr(ask_host("{\"socket\":1,\"receive\":0}"), "IF_ERR_501"));
    assert_null(strstr(said, SECRET));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(it_goes_both_ways, begin, end),
    cmocka_unit_test_setup_teardown(a_receive_ends_with_its_time, begin, end),
    cmocka_unit_test_setup_teardown(what_came_is_told_before_the_end, begin, end),
    cmocka_unit_test_setup_teardown(an_end_is_told_to_who_waits, begin, end),
    cmocka_unit_test_setup_teardown(the_end_of_its_time_ends_the_call, begin, end),
    cmocka_unit_test_setup_teardown(what_nobody_takes_has_a_bound, begin, end),
    cmocka_unit_test_setup_teardown(a_call_has_four_and_they_end_with_it, begin, end),
    cmocka_unit_test_setup_teardown(what_does_not_open_leaves_no_place, begin, end),
    cmocka_unit_test_setup_teardown(what_is_no_form_is_refused, begin, end),
    cmocka_unit_test_setup_teardown(a_challenge_is_answered_when_the_log_has_it, begin, end),
    cmocka_unit_test_setup_teardown(each_use_of_a_secret_has_its_own_row, begin, end),
    cmocka_unit_test_setup_teardown(a_message_with_a_secret_ends_the_call, begin, end),
};
TEST_MAIN(tests)
