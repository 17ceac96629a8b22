/*
 * Exchanges of a guest, step by step: their keys, their rate, what must not come back; and lines of its log. The port is the scripted one;
 * the pool is fake_pool.h. INV-08, INV-09, INV-10
 */
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

#define ANSWERS 256

/* ---- the fabric ---- */
static uint32_t newest; /* version of the secret */
static bool rotates;    /* once it has been lent */
static enum ifab_code asked; /* what the log answers */
static ifab_status lent;     /* OK: what the vault does */

static uint32_t version(void *user, struct ifab_view name)
{
    (void)user;
    (void)name;
    return newest;
}
static void ask(void *user, uint64_t question, enum ifab_guest_task task, void *call, struct ifab_view name, struct ifab_view origin)
{
    (void)task;
    (void)call;
    (void)name;
    (void)origin;
    ifab_guest_secret(*(struct ifab_guests **)user, question, asked);
}
static ifab_status lend(void *user, struct ifab_view name, struct ifab_view origin, ifab_status (*use)(void *use_user, struct ifab_view value),
                        void *use_user)
{
    (void)user;
    (void)name;
    (void)origin;
    if (lent != IFAB_OK)
        return lent;
    newest += rotates;
    rotates = false;
    return use(use_user, IFAB_VIEW("canary-2b7e15"));
}

/* ---- calls ---- */
static struct ifab_guests *guests;
static struct ifab_egress_scripted script[ANSWERS];
static struct ifab_egress_row row;
static struct ifab_secret_use use;
static struct guest_spec specs[8]; /* one a call */
static size_t spec_count;

static int begin(void **state)
{
    const struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI};
    (void)state;
    guests = ifab_calloc(1, sizeof *guests);
    assert_non_null(guests);
    for (size_t i = 0; i < ANSWERS; i++)
        script[i] = (struct ifab_egress_scripted){.status = 200};
    assert_int_equal(ifab_egress_memory_open(&settings, script, ANSWERS, &guests->egress, NULL), IFAB_OK);
    guests->options = (struct ifab_guest_options){.user = &guests, .wall = pool_wall, .secret = version, .ask = ask, .lend = lend};
    row = (struct ifab_egress_row){.path = IFAB_VIEW("/x"), .methods = 0x7f, .read = true};
    assert_int_equal(ifab_origin_read(IFAB_VIEW("https://a.example"), &row.origin, NULL), IFAB_OK);
    use = (struct ifab_secret_use){.name = IFAB_VIEW("PW"), .origin_text = IFAB_VIEW("https://a.example"), .as = IFAB_SECRET_AS_BEARER};
    newest = 1;
    rotates = false;
    asked = IFAB_CODE_NONE;
    lent = IFAB_OK;
    return 0;
}
static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        ifab_guest__question_end(&guests->questions[i]);
    ifab_egress_close(guests->egress);
    ifab_token_table_free(guests->rates);
    ifab_free(guests);
    return 0;
}
static struct running call_of(enum ifab_guest_task task, const char *plan)
{
    struct running r = {.guests = guests,
                        .task = task,
                        .tenant = IFAB_VIEW("t"),
                        .talent_number = 1,
                        .plan_id = ifab_view_str(plan),
                        .idempotent = true,
                        .spec = &specs[spec_count++ % IFAB_COUNT(specs)],
                        .call = 7};
    *r.spec = (struct guest_spec){.refs = 1};
    r.rows = &row;
    r.row_count = 1;
    r.spec->manifest.id = IFAB_VIEW("if://capability/a");
    r.spec->manifest.secrets = &use;
    r.spec->manifest.secret_count = 1;
    r.spec->manifest.limits.response_kib = 1;
    r.spec->manifest.limits.rps = r.spec->manifest.limits.burst = 1000;
    ifab_arena_init(&r.arena, GUEST_ARENA);
    return r;
}
/* The guest asks, the provider answers. */
static const char *exchange(struct running *r, const char *json)
{
    (void)pool_asks(r, json);
    for (int i = 0; i < 10 && !answered; i++) {
        ifab_egress_memory_run(guests->egress);
        ifab_guest__egress_events(guests);
    }
    assert_string_not_equal(said, "");
    assert_int_equal(status_of_last, IFAB_HOST_OK);
    return said;
}
#define GET     "{\"method\":\"GET\",\"url\":\"https://a.example/x\"}"
#define POST    "{\"method\":\"POST\",\"url\":\"https://a.example/x\",\"body\":\"1\"}"
#define WITH_PW "{\"method\":\"POST\",\"url\":\"https://a.example/x\",\"secret\":\"PW\"}"

static void assert_key(size_t n, const char *key)
{
    char line[128];
    struct ifab_view sent = ifab_egress_memory_sent(guests->egress, n);
    assert_true(sent.size > 0);
    snprintf(line, sizeof line, "Idempotency-Key: %s\n", key == NULL ? "" : key);
    const char *at = memmem(sent.data, sent.size, line, strlen(line) - (key == NULL));
    if ((at != NULL) != (key != NULL))
        fail_msg("request %zu, expected %s: " IFAB_FMT, n, line, IFAB_ARG(sent));
}

static void each_exchange_of_an_apply_has_a_key_of_its_own(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    exchange(&r, POST);
    assert_non_null(strstr(exchange(&r, "{\"method\":\"POST\",\"url\":\"https://other.example/x\"}"), "IF_ERR_501")); /* went nowhere: no place */
    exchange(&r, POST);
    assert_key(0, "plan-1-1");
    assert_key(1, "plan-1-2");
    script[2].status = 401; /* and its secret has been rotated meanwhile: the same exchange, made again */
    rotates = true;
    assert_non_null(strstr(exchange(&r, WITH_PW), "\"status\":200"));
    assert_key(2, "plan-1-3");
    assert_key(3, "plan-1-3");
    exchange(&r, GET);
    assert_key(4, "plan-1-4");
    ifab_arena_fini(&r.arena);
    r = call_of(IFAB_GUEST_APPLY, "plan-1"); /* the call, made again */
    exchange(&r, POST);
    assert_key(5, "plan-1-1");
    ifab_arena_fini(&r.arena);
}

static void what_changes_nothing_has_no_key(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_DRY_RUN, "plan-1");
    exchange(&r, GET);
    assert_key(0, NULL);
    ifab_arena_fini(&r.arena);
    r = call_of(IFAB_GUEST_APPLY, "plan-1");
    r.idempotent = false;
    exchange(&r, POST);
    assert_key(1, NULL);
    ifab_arena_fini(&r.arena);
    r = call_of(IFAB_GUEST_APPLY, "");
    exchange(&r, POST);
    assert_key(2, NULL);
    ifab_arena_fini(&r.arena);
}

/* How many of 50 requests go out; what refilled meanwhile, on a slow machine, is not counted. */
static uint64_t burst_of(struct running *r)
{
    uint64_t began = uv_hrtime(), passed = 0;
    for (int i = 0; i < 50; i++) {
        bool good = strstr(exchange(r, GET), "\"status\":200") != NULL;
        if (!good)
            assert_non_null(strstr(said, "IF_ERR_302"));
        passed += good;
    }
    uint64_t refilled = (uv_hrtime() - began) / 1000000000 + 1;
    return passed > refilled ? passed - refilled : 0;
}
static void requests_have_a_rate(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    r.spec->manifest.limits.rps = r.spec->manifest.limits.burst = 1;
    assert_in_range(burst_of(&r), 8, 10); /* ten at least */
    ifab_arena_fini(&r.arena);
    struct running again = call_of(IFAB_GUEST_DRY_RUN, "plan-2"); /* another call: the same bucket */
    again.spec->manifest.limits = r.spec->manifest.limits;
    assert_in_range(burst_of(&again), 0, 1);
    again.talent_number = 2;
    again.spec->manifest.limits.burst = 20;
    assert_in_range(burst_of(&again), 18, 20);
    again.spec->manifest.id = IFAB_VIEW("if://capability/b");
    assert_in_range(burst_of(&again), 18, 20);
    ifab_arena_fini(&again.arena);
}

static char kept[4096];
static void keep_line(void *user, struct ifab_view capability, uint32_t talent, unsigned level, struct ifab_view text)
{
    (void)user;
    (void)capability;
    (void)talent;
    (void)level;
    snprintf(kept, sizeof kept, IFAB_FMT, IFAB_ARG(text));
}
static const char *log_line(struct running *r, const char *text)
{
    kept[0] = '\0';
    (void)pool_asks_for(r, (struct ifab_frame_host_call){.import = IFAB_IMPORT_log, .number = 1, .a = ifab_view_str(text)}, 0);
    return kept;
}
/* A secret across the place where a line is cut: half of it would not look like one. */
static void a_line_is_redacted_before_it_is_cut(void **state)
{
    static char text[40000];
    (void)state;
    guests->options.line = keep_line;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    memset(text, 'x', sizeof text - 1);
    memcpy(text + 1000, " ghp_0123456789abcdefghijklmnopqrstuvwxyz ", 42);
    assert_int_equal(strlen(log_line(&r, text)), 1024);
    assert_null(strstr(kept, "ghp_"));
    assert_non_null(strstr(kept, " ***REDACTED***"));
    memset(text, 'x', sizeof text - 1);
    memcpy(text + 1023, "\xc3\xa4", 2); /* between characters, here and where the reading ends */
    memcpy(text + 16383, "\xf0\x9f\x8e\xac", 4);
    assert_int_equal(strlen(log_line(&r, text)), 1023);
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "Bearer 0", 8); /* so much of it goes that the end of what was read comes to be shown */
    memcpy(text + 16370, " ghp_0123456789abcdefghijklmnopqrstuvwxyz ", 42);
    assert_string_equal(log_line(&r, text), "(too long to show)");
    text[16384] = '\0'; /* no more than is read: nothing is half read */
    memset(text + 16370, ' ', 14);
    assert_string_equal(log_line(&r, text), "Bearer ***REDACTED***              ");
    assert_string_equal(log_line(&r, "short \xc3\xa4"), "short \xc3\xa4");
    assert_string_equal(log_line(&r, "\xc3"), "(not text)");
    ifab_arena_fini(&r.arena);
}

/* Gives one value; then, when it is told to, more than a set can hold. */
static bool too_many;
static void live(void *user, bool (*take)(void *take_user, struct ifab_view value), void *take_user)
{
    (void)user;
    for (uint32_t i = 0; i < (too_many ? 100000 : 1); i++)
        if (!take(take_user, ifab_view_of(&i, sizeof i)))
            return;
}
static void nothing_is_sent_while_answers_cannot_be_searched(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    assert_int_equal(ifab_guests_set_live(guests, live, NULL), IFAB_OK);
    assert_non_null(strstr(exchange(&r, GET), "\"status\":200"));
    too_many = true;
    assert_int_equal(ifab_guests_set_live(guests, live, NULL), IFAB_TOO_LARGE);
    assert_non_null(strstr(exchange(&r, GET), "IF_ERR_503"));
    too_many = false;
    assert_non_null(strstr(exchange(&r, GET), "IF_ERR_503")); /* not tried again at once: it costs */
    guests->live_again = 0;
    assert_non_null(strstr(exchange(&r, GET), "\"status\":200"));
    assert_int_equal(ifab_egress_memory_sent(guests->egress, 2).size, 0);
    ifab_arena_fini(&r.arena);
}

/* Any other import. */
static enum ifab_host_status host(struct running *r, enum ifab_import import, const char *a)
{
    (void)pool_asks_for(r, (struct ifab_frame_host_call){.import = import, .a = ifab_view_str(a), .b = IFAB_VIEW("1")}, 0);
    assert_true(answered);
    return status_of_last;
}
static void expect(const struct running *r, enum ifab_call_end refused, const char *text)
{
    assert_int_equal(r->refused, refused);
    if (strstr(r->refusal, text) == NULL)
        fail_msg("%s: %s", text, r->refusal);
}

#define PRIVATE "{\"method\":\"GET\",\"url\":\"https://10.0.0.1/x\"}"
static struct running refused_an_address(void)
{
    static struct ifab_egress_row rows[2];
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    rows[0] = rows[1] = row;
    assert_int_equal(ifab_origin_read(IFAB_VIEW("https://10.0.0.1"), &rows[1].origin, NULL), IFAB_OK);
    r.rows = rows;
    r.row_count = 2;
    assert_non_null(strstr(exchange(&r, PRIVATE), "IF_ERR_003"));
    expect(&r, IFAB_CALL_ADDRESS, "not a public one");
    return r;
}

static void the_last_refusal_of_an_address_is_kept(void **state)
{
    (void)state;
    struct running r = refused_an_address();
    assert_int_equal(host(&r, IFAB_IMPORT_now, ""), IFAB_HOST_OK); /* nothing of that went outside */
    expect(&r, IFAB_CALL_ADDRESS, "not a public one");
    script[0].status = 404; /* an answer, whatever it says */
    assert_non_null(strstr(exchange(&r, GET), "\"status\":404"));
    expect(&r, IFAB_CALL_OK, "");
    ifab_arena_fini(&r.arena);
    r = refused_an_address();
    script[1] = (struct ifab_egress_scripted){.failure = IFAB_EGRESS_TLS};
    r.idempotent = false;
    assert_non_null(strstr(exchange(&r, GET), "IF_ERR_503")); /* a failure of the provider's */
    expect(&r, IFAB_CALL_OK, "");
    ifab_arena_fini(&r.arena);
}

static void a_write_in_a_dry_run_is_told_as_that(void **state)
{
    (void)state;
    row.read = false;
    struct running r = call_of(IFAB_GUEST_DRY_RUN, "plan-1");
    assert_non_null(strstr(exchange(&r, POST), "IF_ERR_003"));
    expect(&r, IFAB_CALL_DRY_WRITE, "dry run");
    ifab_guest__note(&r, IFAB_CALL_OK, "");
    assert_int_equal(host(&r, IFAB_IMPORT_kv_put, "key"), IFAB_HOST_REFUSED);
    expect(&r, IFAB_CALL_DRY_WRITE, "keeps no values");
    row.read = true;
    exchange(&r, GET);
    expect(&r, IFAB_CALL_OK, "");
    ifab_arena_fini(&r.arena);
}

static void a_secret_that_is_not_there_is_told_by_its_name(void **state)
{
    (void)state;
    static const struct {
        enum ifab_code asked;
        ifab_status lent;
        const char *told;
        enum ifab_call_end refused;
        const char *text;
    } rows[] = {
        {IFAB_CODE_SECRET_NOT_FOUND, IFAB_OK, "IF_ERR_206", IFAB_CALL_NO_SECRET, "no such secret"}, /* revoked meanwhile */
        {IFAB_CODE_PERMISSION_DENIED, IFAB_OK, "IF_ERR_003", IFAB_CALL_DENIED, "not lent here"},
        {IFAB_CODE_STORE_UNAVAILABLE, IFAB_OK, "IF_ERR_504", IFAB_CALL_OK, ""}, /* nobody's refusal */
        {IFAB_CODE_NONE, IFAB_NOT_FOUND, "IF_ERR_206", IFAB_CALL_NO_SECRET, "cannot be used"},
        {IFAB_CODE_NONE, IFAB_OK, "\"status\":200", IFAB_CALL_OK, ""},
    };
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    assert_int_equal(host(&r, IFAB_IMPORT_secret_ref, "PW"), IFAB_HOST_OK);
    expect(&r, IFAB_CALL_OK, "");
    newest = 0;
    assert_int_equal(host(&r, IFAB_IMPORT_secret_ref, "PW"), IFAB_HOST_NOT_FOUND);
    expect(&r, IFAB_CALL_NO_SECRET, "no secret PW for https://a.example");
    newest = 1;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        asked = rows[i].asked;
        lent = rows[i].lent;
        if (strstr(exchange(&r, WITH_PW), rows[i].told) == NULL)
            fail_msg("%zu: %s", i, said);
        expect(&r, rows[i].refused, rows[i].text);
    }
    ifab_arena_fini(&r.arena);
}

/* To set it would not help: a hint that said so would send its operator the wrong way. */
static void a_secret_that_no_manifest_names_is_told_as_that(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    assert_int_equal(host(&r, IFAB_IMPORT_secret_ref, "OTHER"), IFAB_HOST_REFUSED);
    expect(&r, IFAB_CALL_UNNAMED_SECRET, "requires_secrets in the manifest does not name OTHER");
    assert_int_equal(host(&r, IFAB_IMPORT_secret_ref, "\xff\x1b[2J"), IFAB_HOST_REFUSED); /* nothing that could be a name */
    expect(&r, IFAB_CALL_UNNAMED_SECRET, "does not name what it asked for");
    ifab_guest__came(&r);
    assert_non_null(strstr(exchange(&r, "{\"method\":\"POST\",\"url\":\"https://a.example/x\",\"secret\":\"OTHER\"}"), "IF_ERR_206"));
    assert_non_null(strstr(said, "requires_secrets in the manifest does not name OTHER for requests")); /* the guest's own words follow it */
    expect(&r, IFAB_CALL_UNNAMED_SECRET, "does not name OTHER for requests");
    ifab_arena_fini(&r.arena);
}

static void limits_are_told_as_limits(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    r.spec->manifest.limits.rps = r.spec->manifest.limits.burst = 1;
    (void)burst_of(&r);
    while (strstr(said, "IF_ERR_302") == NULL)
        exchange(&r, GET);
    expect(&r, IFAB_CALL_LIMITED, "limits.rps");
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        guests->questions[i] = (struct question){.host_call = UINT64_MAX, .running = &r};
    assert_non_null(strstr(exchange(&r, GET), "IF_ERR_304"));
    expect(&r, IFAB_CALL_BUSY, "under way");
    memset(guests->questions, 0, sizeof guests->questions);
    ifab_arena_fini(&r.arena);
}

/* Who asks a dead provider again and again ends on the provider, also where the last answer was that it asks too often: else its breaker never opened. */
static void a_dead_provider_is_not_hidden_behind_a_limit(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    r.spec->manifest.limits.rps = r.spec->manifest.limits.burst = 1;
    r.idempotent = false;
    for (size_t i = 0; i < ANSWERS; i++)
        script[i] = (struct ifab_egress_scripted){.failure = IFAB_EGRESS_TLS};
    assert_non_null(strstr(exchange(&r, GET), "IF_ERR_503"));
    while (strstr(said, "IF_ERR_302") == NULL)
        exchange(&r, GET);
    expect(&r, IFAB_CALL_OK, "");
    assert_true(r.failed);
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        guests->questions[i] = (struct question){.host_call = UINT64_MAX, .running = &r};
    assert_non_null(strstr(exchange(&r, GET), "too many exchanges")); /* the guest is told why all the same */
    expect(&r, IFAB_CALL_OK, "");
    memset(guests->questions, 0, sizeof guests->questions);
    ifab_guest__came(&r);
    exchange(&r, GET);
    expect(&r, IFAB_CALL_LIMITED, "limits.rps");
    ifab_arena_fini(&r.arena);
}

/* Nor is one that says itself that it fails, or whose gateway does; what it answers else is an answer. */
static void a_failing_provider_is_not_hidden_behind_a_limit(void **state)
{
    static const struct {
        int status;
        enum ifab_call_end end;
    } rows[] = {{500, IFAB_CALL_OK}, {502, IFAB_CALL_OK}, {504, IFAB_CALL_OK}, {599, IFAB_CALL_OK}, {499, IFAB_CALL_LIMITED}, {404, IFAB_CALL_LIMITED}, {200, IFAB_CALL_LIMITED}};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
        r.spec->manifest.limits.rps = r.spec->manifest.limits.burst = 1;
        r.idempotent = false;
        r.talent_number = 10 + (uint32_t)i; /* a bucket of its own */
        for (size_t k = 0; k < ANSWERS; k++)
            script[k].status = rows[i].status;
        do
            exchange(&r, GET);
        while (strstr(said, "IF_ERR_302") == NULL);
        if (r.refused != rows[i].end || r.failed != (rows[i].status >= 500))
            fail_msg("%d: %d %s", rows[i].status, (int)r.refused, r.refusal);
        ifab_arena_fini(&r.arena);
    }
}

/* What lasted as long as its call may ends the call as the pool would, whose timer is due in the same millisecond; what was over before is told. */
static void the_end_of_the_time_is_the_calls(void **state)
{
    (void)state;
    struct running r = call_of(IFAB_GUEST_APPLY, "plan-1");
    const struct ifab_frame_host_call args = {.import = IFAB_IMPORT_http, .a = IFAB_VIEW(GET)};
    r.idempotent = false;
    script[0] = script[1] = script[2] = (struct ifab_egress_scripted){.failure = IFAB_EGRESS_DEADLINE};
    script[3] = (struct ifab_egress_scripted){.failure = IFAB_EGRESS_TLS};
    assert_non_null(strstr(exchange(&r, GET), "IF_ERR_502"));
    assert_true(r.failed);
    static const ifab_usec left[] = {0, 1500}; /* over; and libcurl's timer that comes a moment before its time */
    for (size_t i = 0; i < IFAB_COUNT(left); i++) {
        status_of_last = IFAB_HOST_OK;
        (void)pool_asks_for(&r, args, left[i]);
        ifab_egress_memory_run(guests->egress);
        ifab_guest__egress_events(guests);
        assert_int_equal(status_of_last, IFAB_HOST_DEADLINE);
        assert_null(ifab_guest__question(guests, last_call)); /* it is answered */
    }
    (void)pool_asks_for(&r, args, 0);
    ifab_egress_memory_run(guests->egress);
    ifab_guest__egress_events(guests);
    assert_int_equal(status_of_last, IFAB_HOST_OK); /* what failed otherwise failed in time */
    assert_non_null(strstr(said, "IF_ERR_503"));
    ifab_arena_fini(&r.arena);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
static const struct CMUnitTest tests[] = {
    TEST(each_exchange_of_an_apply_has_a_key_of_its_own),
    TEST(what_changes_nothing_has_no_key),
    TEST(requests_have_a_rate),
    TEST(a_line_is_redacted_before_it_is_cut),
    TEST(nothing_is_sent_while_answers_cannot_be_searched),
    TEST(the_last_refusal_of_an_address_is_kept),
    TEST(a_write_in_a_dry_run_is_told_as_that),
    TEST(a_secret_that_is_not_there_is_told_by_its_name),
    TEST(a_secret_that_no_manifest_names_is_told_as_that),
    TEST(limits_are_told_as_limits), TEST(a_dead_provider_is_not_hidden_behind_a_limit), TEST(a_failing_provider_is_not_hidden_behind_a_limit), TEST(the_end_of_the_time_is_the_calls),
};
TEST_MAIN(tests)
