/*
 * worker run: claims tasks of a swarm, one at a time, and runs a command for each.
 *
 * 1. A claim is renewed at a third of its lease. When the daemon says that it is another's, or no renewal went through until the lease was
 *    over by our clock, the command is killed at once and nothing of it is reported: its fence is refused anyway (INV-11). What it did cost
 *    was spent all the same, and nothing of the claim settles it any more: it is reported as a cost of the swarm.
 * 2. What was done is reported until the daemon has answered; a report that was lost and made again is refused, never taken twice.
 * 3. A command may end its task itself, by `ifctl task complete`: then its claim is over, with nothing lost and nothing left to report.
 * 4. Told to end (SIGTERM, SIGINT, SIGHUP) while it waits, it holds no task; while a command runs, that is ended and its task given back.
 */
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/id.h"
#include "crypto/crypto.h"

#define EXIT_TASK 14
#define TIMEOUT (5 * IFAB_MINUTE)
#define LEASE (30 * IFAB_SECOND)
#define WAIT_MS 30000
#define CALL_TIMEOUT (30 * IFAB_SECOND)
#define FAREWELL (10 * IFAB_SECOND) /* for the last report, when told to end */
#define PAUSE_LEAST_MS 50
#define PAUSE_MOST_MS 10000
#define ENVIRONMENT 9
#define RESULT_MAX ((size_t)1 << 20)

struct worker {
    struct cli *cli;
    struct ifab_buf claim_body; /* without its end */
    char path[1100], *argv[CLI_WORDS_MAX + 1];
    char *environment[ENVIRONMENT + 1];
    int64_t lease, timeout, idle; /* idle: -1 for ever */
    uint64_t max, ended;
    int stop_fd, child_fd;
    bool stopping, away, failed;  /* away: that was said; failed: the last task was not completed */
    bool unsure;                  /* an answer to this report was lost */
    int code;                     /* of the whole, when it cannot go on */
    int64_t pause_ms;
    /* the claim */
    struct ifab_view id, type;
    char traceparent[64];
    int64_t fence, lease_end;
    bool over;                    /* done under this very fence */
    char cost_path[1100], cost[WORKER_COST_JSON]; /* cost "": none was said */
};

/* ---- calls ---- */

enum call { CALL_OK, CALL_REFUSED, CALL_AWAY, CALL_UNKNOWN };

static struct ifab_request post(const char *target, struct ifab_view body)
{
    return (struct ifab_request){.version = IFAB_CLIENT_VERSION, .method = "POST", .target = target, .body = body};
}

static enum call call_once(struct worker *w, const struct ifab_request *request, struct ifab_response *ret, struct ifab_answer_error *error)
{
    ifab_status status = ifab_client_call(w->cli->client, request, ret, cli_clean_err(w->cli));
    if (status == IFAB_NOT_FOUND || status == IFAB_AGAIN)
        return CALL_AWAY;
    if (status != IFAB_OK)
        return CALL_UNKNOWN;
    if (ret->status >= 200 && ret->status < 300)
        return CALL_OK;
    ifab_answer_error_read(ret, error);
    return error->retryable ? CALL_AWAY : CALL_REFUSED;
}

/* A token ends. Its file may hold a fresh one by then; one that the talent's key asked for is asked for anew, within the same time. What may pass by itself
 * is waited for, as when nobody answers. */
static enum call come_in_again(struct worker *w, int64_t timeout, bool may_stop)
{
    struct cli *cli = w->cli;
    struct ifab_client *old = cli->client; /* the answer lies in it */
    cli->client = NULL;
    cli->timeout_usec = timeout;
    cli->retry = 0;
    cli->stop_fd = may_stop ? w->stop_fd : 0;
    int code = cli->token[0] == '\0' ? 0 : cli_speak_again(cli, true);
    if (code == 0) {
        ifab_client_close(old);
        return CALL_OK;
    }
    ifab_client_close(cli->client);
    cli->client = old;
    return code == EXIT_NO_ANSWER || cli->passes ? CALL_AWAY : CALL_REFUSED;
}

/* In all no longer than timeout: while a command runs, its lease is what waits. */
static enum call call(struct worker *w, const struct ifab_request *request, int64_t timeout, bool may_stop, struct ifab_response *ret,
                      struct ifab_answer_error *error)
{
    int64_t end = worker_clock() + timeout;
    for (int n = 0;; n++) {
        int64_t left = end - worker_clock();
        memset(error, 0, sizeof *error);
        if (left <= 0 || (w->cli->client == NULL && cli_open_client(w->cli, true) != 0))
            return CALL_AWAY;
        ifab_client_set_timeout(w->cli->client, left);
        ifab_client_set_stop(w->cli->client, may_stop ? w->stop_fd : -1);
        enum call got = call_once(w, request, ret, error);
        if (got != CALL_REFUSED || ret->status != 401 || n > 0)
            return got;
        got = come_in_again(w, end - worker_clock(), may_stop);
        if (got != CALL_OK)
            return got;
    }
}

static bool told_to_end(struct worker *w, int64_t wait_ms)
{
    struct signalfd_siginfo info;
    struct pollfd p = {.fd = w->stop_fd, .events = POLLIN};
    if (poll(&p, 1, (int)wait_ms) > 0 && read(w->stop_fd, &info, sizeof info) == (ssize_t)sizeof info)
        w->stopping = true;
    return w->stopping;
}

/* Growing waits with jitter, never less than the daemon asked for. */
static void pause_for(struct worker *w, int64_t least_ms)
{
    uint32_t random;
    ifab_random(&random, sizeof random);
    w->pause_ms = w->pause_ms * 2 < PAUSE_LEAST_MS ? PAUSE_LEAST_MS : w->pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : w->pause_ms * 2;
    int64_t ms = w->pause_ms / 2 + (int64_t)random % (w->pause_ms / 2 + 1);
    if (least_ms > 0)
        ms += least_ms > PAUSE_MOST_MS ? PAUSE_MOST_MS : least_ms;
    (void)told_to_end(w, ms);
}

static void say_away(struct worker *w, const struct ifab_answer_error *error)
{
    if (!w->away)
        cli_say(w->cli, "%s: waiting for it", error->code != 0 ? error->message : "the daemon does not answer");
    w->away = true;
}

/* ---- what becomes of a claim ---- */

static void task_target(const struct worker *w, const char *verb, char target[256])
{
    cli_path(target, 256, "/v1/tasks/" IFAB_FMT "/%s", IFAB_ARG(w->id), verb); /* a name has nothing to encode */
}

/* The claim with this fence is no more. */
static bool is_lost(const struct ifab_answer_error *error)
{
    return error->code == IFAB_CODE_STALE_FENCE || error->code == IFAB_CODE_TASK_NOT_FOUND || error->code == IFAB_CODE_INVALID_TRANSITION ||
           error->code == IFAB_CODE_PERMISSION_DENIED;
}

/* After IF_ERR_605: whose fence closed it is ours, for another's is refused as stale. */
static bool is_done(struct worker *w)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_response response;
    const struct ifab_json *tree;
    struct ifab_view state;
    char target[256];
    ifab_arena_init(&arena, (size_t)16 << 20);
    cli_path(target, sizeof target, "/v1/tasks/" IFAB_FMT, IFAB_ARG(w->id));
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = target};
    return ifab_client_call(w->cli->client, &request, &response, cli_clean_err(w->cli)) == IFAB_OK && response.status == 200 &&
           ifab_json_read(response.body, NULL, &arena, &tree, NULL) == IFAB_OK && ifab_json_string(ifab_json_get(tree, "state"), &state) &&
           ifab_view_is(state, "done");
}

static bool renew(void *user, int64_t *ret_next)
{
    struct worker *w = user;
    struct ifab_response response;
    struct ifab_answer_error error;
    char target[256], body[96];
    int64_t began = worker_clock(), timeout = w->lease / 3 > 5 * IFAB_SECOND ? 5 * IFAB_SECOND : w->lease / 3;
    task_target(w, "renew", target);
    snprintf(body, sizeof body, "{\"fence\":%lld,\"lease_ms\":%lld}", (long long)w->fence, (long long)(w->lease / 1000));
    const struct ifab_request request = post(target, ifab_view_str(body));
    enum call got = call(w, &request, timeout, true, &response, &error);
    *ret_next = w->lease / 3;
    if (got == CALL_OK) {
        w->lease_end = began + w->lease;
        return true;
    }
    if (got == CALL_REFUSED && error.code == IFAB_CODE_INVALID_TRANSITION && is_done(w)) {
        w->over = true;
        *ret_next = IFAB_DAY; /* nothing is left to be renewed; the command may take its time */
        return true;
    }
    if (got == CALL_REFUSED && is_lost(&error))
        return false;
    *ret_next = w->lease / 12 < IFAB_SECOND ? w->lease / 12 : IFAB_SECOND;
    return worker_clock() < w->lease_end;
}

/* Until it is answered, or there is no time left. *ret_error: the refusal, when that was the answer. false: nobody answered. */
static bool deliver(struct worker *w, const struct ifab_request *request, enum call *ret_got, struct ifab_answer_error *error)
{
    struct ifab_response response;
    int64_t end = INT64_MAX;
    w->pause_ms = 0;
    w->unsure = false;
    for (;;) {
        *ret_got = call(w, request, w->stopping ? FAREWELL : CALL_TIMEOUT, false, &response, error);
        w->unsure |= *ret_got == CALL_UNKNOWN;
        if (*ret_got == CALL_OK || *ret_got == CALL_REFUSED)
            return true;
        say_away(w, error);
        if (w->stopping && end == INT64_MAX)
            end = worker_clock() + FAREWELL;
        if (worker_clock() >= end)
            return false;
        pause_for(w, error->code != 0 ? error->retry_after_ms : 0);
    }
}

static bool report(struct worker *w, const char *verb, struct ifab_view body, bool *ret_taken, struct ifab_answer_error *error)
{
    char target[256];
    enum call got;
    task_target(w, verb, target);
    const struct ifab_request request = post(target, body);
    bool answered = deliver(w, &request, &got, error);
    w->over = answered && got == CALL_REFUSED && error->code == IFAB_CODE_INVALID_TRANSITION && is_done(w);
    *ret_taken = answered && (got == CALL_OK || (w->unsure && w->over));
    return answered;
}

static void say_task(struct worker *w, const char *what, const char *why)
{
    cli_say(w->cli, "task " IFAB_FMT ": %s%s%s", IFAB_ARG(w->id), what, why[0] == '\0' ? "" : ": ", why);
}

static void say_over(struct worker *w)
{
    w->failed = false;
    say_task(w, "done, as its command said itself", w->cost[0] == '\0' ? "" : "the cost in its file was not sent");
}

/* The claim is gone and took its reservation with it. w->unsure: an earlier report of it, whose answer was lost, may have been taken with its cost. */
static void report_spent(struct worker *w)
{
    struct cli_body body;
    struct ifab_answer_error error = {0};
    uint8_t random16[16];
    char key[40] = "spent-", operation[129];
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf hex = IFAB_BUF_INIT(64);
    enum call got = CALL_UNKNOWN;
    if (w->cost[0] == '\0')
        return;
    if (w->unsure) {
        say_task(w, "its cost was not reported anew", "a report whose answer was lost may have been taken with it");
        return;
    }
    ifab_random(random16, sizeof random16);
    ifab_buf_hex(&hex, random16, sizeof random16);
    if (ifab_buf_status(&hex) == IFAB_OK)
        memcpy(key + 6, hex.data, 32);
    cli_path(operation, sizeof operation, IFAB_FMT, IFAB_ARG(w->type));
    cli_body_begin(&body);
    cli_body_raw(&body, "cost", w->cost);
    cli_body_text(&body, "swarm", cli_get(w->cli, "swarm"));
    cli_body_text(&body, "operation", operation);
    cli_body_end(&body);
    struct ifab_request request = post("/v1/costs", ifab_buf_as_view(&body.buf));
    request.idempotency_key = key;
    request.traceparent = w->traceparent[0] == '\0' ? NULL : w->traceparent;
    bool answered = ifab_buf_status(&body.buf) == IFAB_OK && deliver(w, &request, &got, &error);
    ifab_buf_fini(&body.buf);
    bool over = got == CALL_REFUSED && error.code == IFAB_CODE_BUDGET_EXCEEDED; /* it is recorded all the same */
    if (got == CALL_OK || over)
        say_task(w, "what it did cost was reported to its swarm", over ? error.message : "");
    else
        say_task(w, "what it did cost could not be reported", answered ? error.message : "nobody answered");
}

static bool send_failure(struct worker *w, const char *kind, const char *why, bool *ret_taken, struct ifab_answer_error *error)
{
    struct cli_body body;
    char number[24];
    cli_body_begin(&body);
    snprintf(number, sizeof number, "%lld", (long long)w->fence);
    cli_body_raw(&body, "fence", number);
    cli_body_text(&body, "kind", kind);
    cli_body_text(&body, "error", why);
    if (w->cost[0] != '\0')
        cli_body_raw(&body, "cost", w->cost);
    cli_body_end(&body);
    bool answered = ifab_buf_status(&body.buf) == IFAB_OK && report(w, "fail", ifab_buf_as_view(&body.buf), ret_taken, error);
    ifab_buf_fini(&body.buf);
    return answered;
}

static void fail(struct worker *w, const char *kind, const char *why)
{
    struct ifab_answer_error error = {0};
    char what[64];
    bool taken = false, answered = send_failure(w, kind, why, &taken, &error);
    if (answered && !taken && !is_lost(&error) && w->cost[0] != '\0') { /* without a price, say: that it failed is told all the same */
        say_task(w, "its cost was refused", error.message);
        w->cost[0] = '\0';
        answered = send_failure(w, kind, why, &taken, &error);
    }
    if (w->over) { /* no failure of ours ends as done */
        say_over(w);
        return;
    }
    w->failed = true;
    snprintf(what, sizeof what, "failed, %s", kind);
    say_task(w, what, why);
    if (!answered)
        say_task(w, "nobody could be told; its lease runs out", "");
    else if (!taken)
        say_task(w, "this was not taken", error.message);
    if (answered && !taken && is_lost(&error))
        report_spent(w);
}

static const char *refused(const struct ifab_answer_error *error, char *words, size_t size)
{
    cli_path(words, size, "the result was refused: %s", error->message);
    return words;
}

static void say_not_taken(struct worker *w, const struct ifab_answer_error *error)
{
    say_task(w, "done, but not taken", error->message);
    report_spent(w);
}

static void complete(struct worker *w, const struct worker_result *result)
{
    char words[600];
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf json = IFAB_BUF_INIT(RESULT_MAX);
    struct cli_body body;
    struct ifab_answer_error error = {0};
    char number[24];
    bool taken = false;
    if (!worker_result_json(ifab_buf_as_view(&result->out), &json)) {
        fail(w, "transient", "stdout is not UTF-8");
        return;
    }
    cli_body_begin(&body);
    snprintf(number, sizeof number, "%lld", (long long)w->fence);
    cli_body_raw(&body, "fence", number);
    ifab_buf_char(&json, '\0');
    if (json.size > 1)
        cli_body_raw(&body, "result", (const char *)json.data);
    if (w->cost[0] != '\0')
        cli_body_raw(&body, "cost", w->cost);
    cli_body_end(&body);
    bool good = ifab_buf_status(&json) == IFAB_OK && ifab_buf_status(&body.buf) == IFAB_OK;
    bool answered = good && report(w, "complete", ifab_buf_as_view(&body.buf), &taken, &error);
    ifab_buf_fini(&body.buf);
    w->failed = !taken;
    if (taken)
        say_task(w, "done", "");
    else if (w->over)
        say_over(w);
    else if (!good)
        fail(w, "transient", "its result could not be kept in memory");
    else if (!answered)
        say_task(w, "done, and nobody could be told; its lease runs out", "");
    else if (error.code == IFAB_CODE_STALE_FENCE || error.code == IFAB_CODE_TASK_NOT_FOUND)
        say_not_taken(w, &error);
    else
        fail(w, "transient", refused(&error, words, sizeof words));
}

/* ---- one task ---- */

static bool set_variable(struct worker *w, size_t at, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    ifab_free(w->environment[at]);
    w->environment[at] = ifab_malloc(size);
    return w->environment[at] != NULL && cli_path(w->environment[at], size, "%s=%s", name, value);
}

static const char *inherited(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

/* PATH HOME LANG TMPDIR IFAB_TASK IFAB_FENCE IFAB_TRACE IFAB_ENDPOINT IFAB_TASK_COST: nothing else of ours comes through. */
static bool set_environment(struct worker *w, const char *id, const char *trace)
{
    char fence[24];
    snprintf(fence, sizeof fence, "%lld", (long long)w->fence);
    return set_variable(w, 0, "PATH", inherited("PATH", "/usr/local/bin:/usr/bin:/bin")) && set_variable(w, 1, "HOME", inherited("HOME", "/")) &&
           set_variable(w, 2, "LANG", inherited("LANG", "C.UTF-8")) && set_variable(w, 3, "TMPDIR", inherited("TMPDIR", "/tmp")) &&
           set_variable(w, 4, TASK_ID_NAME, id) && set_variable(w, 5, TASK_FENCE_NAME, fence) && set_variable(w, 6, "IFAB_TRACE", trace) &&
           set_variable(w, 7, "IFAB_ENDPOINT", w->cli->endpoint) && set_variable(w, 8, WORKER_COST_NAME, w->cost_path);
}

static void settle(struct worker *w, const struct worker_result *result)
{
    const char *kind, *bad = worker_cost_read(w->cost_path, w->cost);
    char words[256], cost_words[512];
    worker_words(result, w->timeout, words, sizeof words, &kind);
    worker_cost_remove(w->cost_path);
    if (bad != NULL && result->end != WORKER_LOST) { /* a task that may have cost something is not done for nothing */
        cli_path(cost_words, sizeof cost_words, "%s%s%s: %s", kind == NULL ? "" : words, kind == NULL ? "" : "; ", WORKER_COST_NAME, bad);
        cli_path(words, sizeof words, "%s", cost_words);
        kind = kind == NULL ? "transient" : kind;
    }
    if (result->end == WORKER_STOPPED || result->end == WORKER_NOT_STARTED)
        w->stopping = true;
    if (result->end == WORKER_NOT_STARTED)
        w->code = cli_stop(w->cli, EXIT_SYSTEM, NULL, "%s: %s", w->path, strerror(result->error));
    if (w->over) {
        say_over(w);
    } else if (result->end == WORKER_LOST) {
        w->failed = true;
        say_task(w, "the claim is lost; its command was ended and no result reported", "");
        if (bad != NULL)
            say_task(w, "what it did cost is not known", bad);
        w->unsure = false;
        report_spent(w);
    } else if (kind != NULL) {
        fail(w, kind, words);
    } else {
        complete(w, result);
    }
}

static int run_task(struct worker *w, const struct ifab_json *task, const char *trace)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf input = IFAB_BUF_INIT((size_t)4 << 20);
    struct worker_result result;
    char id[65];
    w->over = false;
    w->cost[0] = '\0';
    cli_path(id, sizeof id, IFAB_FMT, IFAB_ARG(w->id));
    int error = worker_cost_make(inherited("TMPDIR", "/tmp"), w->cost_path, sizeof w->cost_path);
    if (error != 0) {
        fail(w, "shutdown", "the worker has no room for the cost of a task in its TMPDIR");
        return cli_stop(w->cli, EXIT_SYSTEM, NULL, "TMPDIR %s: %s", inherited("TMPDIR", "/tmp"), strerror(error));
    }
    ifab_json_write(&input, task);
    ifab_buf_char(&input, '\n');
    if (ifab_buf_status(&input) != IFAB_OK || !set_environment(w, id, trace)) {
        worker_cost_remove(w->cost_path);
        fail(w, "shutdown", "the worker has no memory");
        return cli_fail(w->cli, IFAB_NOMEM);
    }
    const struct worker_job job = {.path = w->path, .argv = w->argv, .envp = w->environment, .input = ifab_buf_as_view(&input), .timeout_usec = w->timeout,
                                   .first_tick = w->lease / 3, .stop_fd = w->stop_fd, .child_fd = w->child_fd, .tick = renew, .user = w};
    say_task(w, "begun", "");
    worker_run(&job, &result);
    settle(w, &result);
    ifab_buf_fini(&result.out);
    w->ended++;
    return w->code;
}

/* The answer to a claim. */
static int take(struct worker *w, struct ifab_view answer)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_view copy, trace;
    const struct ifab_json *tree;
    char text[65];
    w->lease_end = worker_clock() + w->lease;
    ifab_arena_init(&arena, (size_t)64 << 20);
    if (ifab_arena_copy(&arena, answer, &copy) != IFAB_OK || ifab_json_read(copy, NULL, &arena, &tree, NULL) != IFAB_OK)
        return cli_refuse(w->cli, IFAB_CODE_SYSTEM_ERROR, "the answer to a claim is not JSON");
    const struct ifab_json *task = ifab_json_get(tree, "task");
    if (!ifab_json_string(ifab_json_get(task, "id"), &w->id) || !ifab_name_valid(w->id) || !ifab_json_integer(ifab_json_get(tree, "fence"), &w->fence) ||
        !ifab_json_string(ifab_json_get(task, "type"), &w->type) || !ifab_json_string(ifab_json_get(task, "trace"), &trace) || !cli_path(text, sizeof text, IFAB_FMT, IFAB_ARG(trace)))
        return cli_refuse(w->cli, IFAB_CODE_SYSTEM_ERROR, "the answer to a claim names no task, type, fence or trace");
    cli_traceparent(text, w->traceparent, sizeof w->traceparent);
    return run_task(w, task, text);
}

/* ---- the loop ---- */

/* One look for work. *ret_idle: there was none for all of wait_ms. */
static int look(struct worker *w, int64_t wait_ms, bool *ret_idle)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(INPUT_MAX);
    struct ifab_response response;
    struct ifab_answer_error error;
    int64_t began = worker_clock();
    ifab_buf_view(&body, ifab_buf_as_view(&w->claim_body));
    ifab_buf_format(&body, ",\"wait_ms\":%lld}", (long long)wait_ms);
    if (ifab_buf_status(&body) != IFAB_OK)
        return cli_fail(w->cli, IFAB_NOMEM);
    const struct ifab_request request = post("/v1/tasks/claim", ifab_buf_as_view(&body));
    enum call got = call(w, &request, wait_ms * 1000 + CALL_TIMEOUT, true, &response, &error);
    bool poor = got == CALL_REFUSED && error.code == IFAB_CODE_BUDGET_EXCEEDED; /* until a period begins, or a person gives more */
    if (got == CALL_REFUSED && !poor)
        return cli_refused(w->cli, &response);
    if (got != CALL_OK) {
        *ret_idle = poor || error.code == IFAB_CODE_CIRCUIT_BREAKER_OPEN; /* and that until a person has looked */
        if (!told_to_end(w, 0)) {
            say_away(w, &error);
            pause_for(w, error.code != 0 ? error.retry_after_ms : 0);
        }
        return 0;
    }
    w->away = false;
    if (response.status != 204) {
        w->pause_ms = 0;
        return take(w, response.body);
    }
    *ret_idle = true;
    if (worker_clock() - began < wait_ms * 1000 / 2) /* it does not let us wait: not at once again */
        pause_for(w, 0);
    else
        w->pause_ms = 0;
    return 0;
}

static int work(struct worker *w)
{
    int64_t since = worker_clock();
    int code = 0;
    while (code == 0 && !told_to_end(w, 0) && (w->max == 0 || w->ended < w->max)) {
        int64_t left = w->idle < 0 ? WAIT_MS : (since + w->idle - worker_clock()) / 1000;
        uint64_t before = w->ended;
        bool idle = false;
        code = look(w, left < 0 ? 0 : left > WAIT_MS ? WAIT_MS : left, &idle);
        if (w->ended > before)
            since = worker_clock();
        if (idle && w->idle >= 0 && worker_clock() >= since + w->idle)
            break;
    }
    if (code == 0 && cli_get(w->cli, "once") != NULL && w->ended > 0 && w->failed)
        code = EXIT_TASK;
    return code;
}

/* ---- setting up ---- */

static int block_signals(struct worker *w)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t stop, child;
    sigemptyset(&stop);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (size_t i = 0; i < IFAB_COUNT(ends); i++) {
        struct sigaction old;
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* as nohup wants it */
            sigaddset(&stop, ends[i]);
    }
    for (int fd = 0; fd < 3; fd++) { /* so that no pipe of ours becomes a child's stderr */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd)
            return cli_file_failed(w->cli, "/dev/null", errno);
    }
    (void)signal(SIGCHLD, SIG_DFL); /* an ignored one would take the exit status with it */
    if (sigprocmask(SIG_BLOCK, &stop, NULL) != 0 || sigprocmask(SIG_BLOCK, &child, NULL) != 0 ||
        (w->stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK)) < 0 || (w->child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return cli_stop(w->cli, EXIT_SYSTEM, NULL, "signals: %s", strerror(errno));
    return 0;
}

static int settle_options(struct worker *w)
{
    struct cli *cli = w->cli;
    const char *lease = cli_get(cli, "lease"), *max = cli_get(cli, "max"), *wait = cli_get(cli, "wait");
    w->lease = LEASE;
    w->idle = -1;
    w->timeout = cli_get(cli, "timeout") != NULL ? cli->timeout_usec : TIMEOUT;
    if (lease != NULL && (!cli_duration(lease, &w->lease) || w->lease < 100000 || w->lease > IFAB_HOUR || w->lease % 1000 != 0))
        return cli_usage(cli, "--lease is a time from 100ms to 1h, not \"%s\"", lease);
    if (wait != NULL && !cli_duration(wait, &w->idle))
        return cli_usage(cli, "--wait is a time such as 10min, not \"%s\"", wait);
    if (max != NULL && (strlen(max) > 9 || strspn(max, "0123456789") != strlen(max) || strtoull(max, NULL, 10) == 0))
        return cli_usage(cli, "--max is a number of tasks, not \"%s\"", max);
    if (max != NULL && cli_get(cli, "once") != NULL)
        return cli_usage(cli, "--once and --max do not fit together");
    w->max = cli_get(cli, "once") != NULL ? 1 : 0;
    if (max != NULL)
        w->max = strtoull(max, NULL, 10);
    if (!worker_find(cli->words[0], inherited("PATH", "/usr/local/bin:/usr/bin:/bin"), w->path, sizeof w->path))
        return cli_stop(cli, EXIT_USAGE, "No shell looks for it: name a program, or sh -c '…'.", "%s: no program to run", cli->words[0]);
    for (size_t i = 0; i < cli->word_count; i++)
        w->argv[i] = (char *)(uintptr_t)cli->words[i]; /* execve(2) does not write to it */
    return 0;
}

static int put_claim(struct worker *w)
{
    struct cli_body body;
    char lease[24];
    const char *swarm = cli_get(w->cli, "swarm");
    if (swarm == NULL)
        return cli_usage(w->cli, "say for which swarm: --swarm ID");
    cli_body_begin(&body);
    cli_body_text(&body, "swarm", swarm);
    snprintf(lease, sizeof lease, "%lld", (long long)(w->lease / 1000));
    cli_body_raw(&body, "lease_ms", lease);
    int code = task_put_list(w->cli, &body, "skills", "skills");
    w->claim_body = body.buf;
    return code != 0 ? code : cli_body_good(w->cli, &body);
}

int cmd_worker_run(struct cli *cli)
{
    struct worker *w = ifab_calloc(1, sizeof *w);
    if (w == NULL)
        return cli_fail(cli, IFAB_NOMEM);
    w->cli = cli;
    w->stop_fd = w->child_fd = -1;
    int code = settle_options(w);
    if (code == 0)
        code = put_claim(w);
    if (cli->as_said) /* its key and token are not for the command, which is of the same user */
        cli_keep_unread();
    if (code == 0)
        code = cli_speak_as_said(cli, CLI_SPEAK_LONG);
    if (code == 0)
        code = cli_origin(cli); /* who does not answer at all, or lets nobody in, is told at once */
    if (code == 0)
        code = block_signals(w);
    if (code == 0)
        code = work(w);
    for (size_t i = 0; i < ENVIRONMENT; i++)
        ifab_free(w->environment[i]);
    ifab_buf_fini(&w->claim_body);
    cli->stop_fd = 0; /* what is asked last is asked all the same */
    if (w->stop_fd >= 0)
        close(w->stop_fd);
    if (w->child_fd >= 0)
        close(w->child_fd);
    if (cli->client != NULL)
        ifab_client_set_stop(cli->client, -1);
    ifab_free(w);
    return code;
}
