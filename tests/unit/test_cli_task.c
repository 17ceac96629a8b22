/* What the commands about tasks read and say: amounts, lists, results, ends of a command. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "task.h"

static struct cli cli;

static void dollars_become_millionths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t micro; /* -1: refused */
    } cases[] = {
        {"0", 0},          {"1", 1000000},     {"0.50", 500000},          {"0.000001", 1},         {"12.345678", 12345678},
        {"007", 7000000},  {"0.0000001", -1},  {"", -1},                  {".5", -1},              {"5.", -1},
        {"-1", -1},        {"+1", -1},         {"1e3", -1},               {"1,5", -1},             {" 1", -1},
        {"1 ", -1},        {"0x10", -1},       {"9007199254.740991", TASK_AMOUNT_MAX}, {"9007199254.740992", -1}, {"99999999999", -1},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        int64_t micro = -1;
        bool good = task_usd_micro(ifab_view_str(cases[i].text), &micro);
        if (good != (cases[i].micro >= 0) || micro != cases[i].micro)
            fail_msg("\"%s\": %lld", cases[i].text, (long long)micro);
    }
}

/* The member that put makes of an option's value; NULL: refused. */
static const char *member_of(int (*put)(struct cli_body *body), const char *option, const char *value)
{
    static char text[4096];
    struct cli_body body;
    int saved = dup(2);
    memset(&cli, 0, sizeof cli);
    cli.given[0].name = option;
    cli.given[0].name_size = strlen(option);
    cli.given[0].value = value;
    cli.given_count = 1;
    cli_body_begin(&body);
    assert_non_null(freopen("/dev/null", "w", stderr));
    int code = put(&body);
    dup2(saved, 2);
    close(saved);
    snprintf(text, sizeof text, "%.*s", (int)body.buf.size, (const char *)body.buf.data);
    ifab_buf_fini(&body.buf);
    assert_true(code == 0 || code == EXIT_USAGE);
    return code == 0 ? text + 1 : NULL;
}

static int put_needs(struct cli_body *body) { return task_put_list(&cli, body, "needs", "needs"); }
static int put_budget(struct cli_body *body) { return task_put_budget(&cli, body); }
static int put_lease(struct cli_body *body) { return task_put_lease(&cli, body); }
static int put_payload(struct cli_body *body) { return task_put_json(&cli, body, "payload", "payload"); }
static int put_percent(struct cli_body *body) { return task_put_number(&cli, body, "percent", "percent", 0, 100); }

static void options_become_members(void **state)
{
    (void)state;
    static const struct {
        int (*put)(struct cli_body *body);
        const char *option, *value, *member; /* NULL: refused */
    } cases[] = {
        {put_needs, "needs", "a", "\"needs\":[\"a\"]"},
        {put_needs, "needs", "a,b\"c", "\"needs\":[\"a\",\"b\\\"c\"]"},
        {put_needs, "needs", "", NULL},
        {put_needs, "needs", "a,", NULL},
        {put_needs, "needs", ",a", NULL},
        {put_budget, "budget", "usd=0.5", "\"budget\":{\"usd_micro\":500000}"},
        {put_budget, "budget", "calls=3,tokens=0,usd=1", "\"budget\":{\"calls\":3,\"tokens\":0,\"usd_micro\":1000000}"},
        {put_budget, "budget", "calls=3,", NULL},
        {put_budget, "budget", "calls", NULL},
        {put_budget, "budget", "calls=", NULL},
        {put_budget, "budget", "callsx=1", NULL},
        {put_budget, "budget", "tokens=1.5", NULL},
        {put_budget, "budget", "tokens=9007199254740992", NULL},
        {put_budget, "budget", "tokens=1,tokens=1", NULL},
        {put_lease, "lease", "100ms", "\"lease_ms\":100"},
        {put_lease, "lease", "1h", "\"lease_ms\":3600000"},
        {put_lease, "lease", "99ms", NULL},
        {put_lease, "lease", "1500us", NULL},
        {put_lease, "lease", "61min", NULL},
        {put_payload, "payload", " {\"b\":1.50,\"a\":[ ]} ", "\"payload\":{\"a\":[],\"b\":1.5}"},
        {put_payload, "payload", "{\"a\":1,\"a\":1}", NULL},
        {put_payload, "payload", "", NULL},
        {put_percent, "percent", "100", "\"percent\":100"},
        {put_percent, "percent", "101", NULL},
        {put_percent, "percent", "-0", NULL},
        {put_percent, "percent", "99999999999999999", NULL},
        {put_percent, "other", "5", ""},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const char *got = member_of(cases[i].put, cases[i].option, cases[i].value);
        if ((got == NULL) != (cases[i].member == NULL) || (got != NULL && strcmp(got, cases[i].member) != 0))
            fail_msg("--%s %s: %s", cases[i].option, cases[i].value, got == NULL ? "refused" : got);
    }
}

static void a_fence_is_the_one_of_this_task(void **state)
{
    (void)state;
    static const struct {
        const char *id, *given, *task, *fence;
        int64_t want; /* 0: refused */
    } cases[] = {
        {"t", "7", NULL, NULL, 7}, {"t", "7", "t", "8", 7},       {"t", NULL, "t", "8", 8},    {"t", NULL, "u", "8", 0}, {"t", NULL, NULL, "8", 0},
        {"t", NULL, "t", NULL, 0}, {"t", "7x", NULL, NULL, 0},    {"t", "", NULL, NULL, 0},    {"t", NULL, "t", "-8", 0},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct cli_body body;
        char want[64];
        memset(&cli, 0, sizeof cli);
        cli.given[0].name = "fence";
        cli.given[0].name_size = 5;
        cli.given[0].value = cases[i].given;
        cli.given_count = cases[i].given != NULL;
        unsetenv(TASK_ID_NAME);
        unsetenv(TASK_FENCE_NAME);
        if (cases[i].task != NULL)
            setenv(TASK_ID_NAME, cases[i].task, 1);
        if (cases[i].fence != NULL)
            setenv(TASK_FENCE_NAME, cases[i].fence, 1);
        cli_body_begin(&body);
        assert_int_equal(task_put_fence(&cli, &body, cases[i].id), cases[i].want != 0 ? 0 : EXIT_USAGE);
        cli_body_end(&body);
        snprintf(want, sizeof want, cases[i].want != 0 ? "{\"fence\":%lld}" : "{}", (long long)cases[i].want);
        assert_int_equal(body.buf.size, strlen(want));
        assert_memory_equal(body.buf.data, want, strlen(want));
        ifab_buf_fini(&body.buf);
    }
}

static void stdout_becomes_a_result(void **state)
{
    (void)state;
    static const struct {
        const char *out, *json; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"\n", "\"\""},
        {"7\n", "7"},
        {" {\"b\":1,\"a\":2.0} \n", "{\"a\":2,\"b\":1}"},
        {"{\"a\":1,\"a\":2}\n", "\"{\\\"a\\\":1,\\\"a\\\":2}\""},
        {"null", "null"},
        {"a\nb\n\n", "\"a\\nb\\n\""},
        {"{\"a\":1} {\"a\":2}", "\"{\\\"a\\\":1} {\\\"a\\\":2}\""},
        {"-0", "\"-0\""},
        {"\x01", "\"\\u0001\""},
        {"\xff", NULL},
        {"\xed\xa0\x80", NULL},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_buf json = IFAB_BUF_INIT(4096);
        bool good = worker_result_json(ifab_view_str(cases[i].out), &json);
        if (good != (cases[i].json != NULL) || (good && !ifab_view_is(ifab_buf_as_view(&json), cases[i].json)))
            fail_msg("case %zu: %.*s", i, (int)json.size, (const char *)json.data);
        ifab_buf_fini(&json);
    }
}

static void a_cost_is_what_the_api_takes_or_nothing(void **state)
{
    static char big[WORKER_COST_MAX + 2], full[WORKER_COST_MAX + 1];
    char json[WORKER_COST_JSON], path[64];
    (void)state;
    memset(big, ' ', sizeof big - 1);
    memset(full, ' ', sizeof full - 1);
    memcpy(big, "{}", 2);
    memcpy(full, "{}", 2);
    const struct {
        const char *text, *json; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"{}", "{}"},
        {" {\"usd_micro\":5, \"calls\":1}\n", "{\"calls\":1,\"usd_micro\":5}"},
        {"{\"model\":\"m\",\"tokens_in\":1,\"tokens_out\":9007199254740991}", "{\"model\":\"m\",\"tokens_in\":1,\"tokens_out\":9007199254740991}"},
        {full, "{}"},
        {big, NULL},
        {"\n", NULL},
        {"5", NULL},
        {"[]", NULL},
        {"{\"usd\":5}", NULL},
        {"{\"usd_micro\":-1}", NULL},
        {"{\"usd_micro\":0.5}", NULL},
        {"{\"usd_micro\":9007199254740992}", NULL},
        {"{\"usd_micro\":1,\"usd_micro\":1}", NULL},
        {"{\"model\":\"\"}", NULL},
        {"{\"usd_micro\":1} {}", NULL},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const char *bad = worker_cost_json(ifab_view_str(cases[i].text), json);
        if ((bad == NULL) != (cases[i].json != NULL) || strcmp(json, cases[i].json == NULL ? "" : cases[i].json) != 0)
            fail_msg("case %zu: %s %s", i, bad == NULL ? "taken" : bad, json);
    }
    assert_int_equal(worker_cost_make("/nowhere/at/all", path, sizeof path), ENOENT);
    assert_string_equal(path, "");
    assert_int_equal(worker_cost_make("/tmp", path, 10), ENAMETOOLONG);
    assert_null(worker_cost_read("/nowhere/at/all", json));
    assert_string_equal(worker_cost_read("/dev/null", json), "it is not a plain file");
    char link[80];
    struct stat st;
    assert_int_equal(worker_cost_make("/tmp", path, sizeof path), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_null(worker_cost_read(path, json));
    assert_string_equal(json, "");
    snprintf(link, sizeof link, "%s.link", path);
    assert_int_equal(symlink(path, link), 0);
    assert_string_equal(worker_cost_read(link, json), "it is not a plain file");
    worker_cost_remove(link);
    worker_cost_remove(path);
    assert_string_equal(path, "");
}

static void an_end_is_told_in_words(void **state)
{
    (void)state;
    static const struct {
        struct worker_result result;
        const char *words, *kind;
    } cases[] = {
        {{.end = WORKER_EXITED, .status = 0}, "exit status 0", NULL},
        {{.end = WORKER_EXITED, .status = 65 << 8}, "exit status 65", "poison"},
        {{.end = WORKER_EXITED, .status = 75 << 8}, "exit status 75", "transient"},
        {{.end = WORKER_EXITED, .status = 1 << 8}, "exit status 1", "transient"},
        {{.end = WORKER_EXITED, .status = 9}, "ended by signal 9", "transient"},
        {{.end = WORKER_TIMEOUT, .status = 0}, "ran longer than 1500 ms", "transient"},
        {{.end = WORKER_OUTPUT, .status = 0}, "stdout had more than 65536 bytes", "transient"},
        {{.end = WORKER_LOST, .status = 0}, "its claim was lost", NULL},
        {{.end = WORKER_STOPPED, .status = 0}, "the worker was told to end", "shutdown"},
        {{.end = WORKER_NOT_STARTED, .error = ENOENT}, "the command could not be run: No such file or directory", "shutdown"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const char *kind = "?";
        char words[256];
        worker_words(&cases[i].result, 1500000, words, sizeof words, &kind);
        assert_string_equal(words, cases[i].words);
        if (cases[i].kind == NULL)
            assert_null(kind);
        else
            assert_string_equal(kind, cases[i].kind);
    }
}

static void a_program_is_found_without_a_shell(void **state)
{
    (void)state;
    char path[1100];
    assert_true(worker_find("sh", "/nowhere:/usr/bin:/bin", path, sizeof path));
    assert_true(strcmp(path, "/usr/bin/sh") == 0 || strcmp(path, "/bin/sh") == 0);
    assert_true(worker_find("/bin/sh", "", path, sizeof path));
    assert_string_equal(path, "/bin/sh");
    assert_false(worker_find("no-such-program", "/usr/bin:/bin", path, sizeof path));
    assert_false(worker_find("", "/usr/bin:/bin", path, sizeof path));
    assert_false(worker_find("bin", "/", path, sizeof path));        /* a directory */
    assert_false(worker_find("/etc/passwd", "", path, sizeof path)); /* nothing to run */
    assert_int_equal(chdir("/bin"), 0);
    assert_false(worker_find("sh", ":.:bin", path, sizeof path)); /* what stands here is not meant */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dollars_become_millionths),      cmocka_unit_test(options_become_members),
        cmocka_unit_test(a_fence_is_the_one_of_this_task), cmocka_unit_test(stdout_becomes_a_result),
        cmocka_unit_test(a_cost_is_what_the_api_takes_or_nothing),
        cmocka_unit_test(an_end_is_told_in_words),        cmocka_unit_test(a_program_is_found_without_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
