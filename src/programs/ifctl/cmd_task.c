/*
 * task create|show|list|claim|next|renew|progress|complete|fail|cancel|block|unblock|replay|watch. What a request holds is what the command's
 * row in the table names; the daemon's answer is printed as it came.
 */
#include "task.h"

#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "crypto/crypto.h"

#define TASK_COLUMNS                                                                                                                 \
    "ID:id|STATE:state|PRIORITY:priority|TYPE:type|ATTEMPT:attempt|PERCENT:percent|QUEUE:queue|SWARM:swarm|WORKER:worker|NEEDS:needs"
#define CLAIM_COLUMNS "ID:task.id|FENCE:fence|UNTIL:lease_until|TYPE:task.type|ATTEMPT:task.attempt"
#define ENTRY_COLUMNS "INDEX:index|TIME:time|TASK:subject|OPERATION:operation|ACTOR:actor|STATE:payload.state|NOTE:payload.note"
#define EXIT_TASK 14
#define WAIT_MAX_MS 30000 /* of one request */

static bool takes(const struct cli *cli, const char *option)
{
    return cli_command_takes(cli->command, ifab_view_str(option));
}

/* The word, or what a worker's command was started for. NULL: neither, and that was said. */
static const char *id_of(struct cli *cli)
{
    const char *id = cli->word_count > 0 ? cli->words[0] : getenv(TASK_ID_NAME);
    if (id != NULL && id[0] != '\0')
        return id;
    (void)cli_usage(cli, "say which: ifctl %s ID", cli->command->name);
    return NULL;
}

static int target_of(struct cli *cli, const char *id, const char *verb, struct ifab_buf *target)
{
    ifab_buf_str(target, "/v1/tasks");
    cli_put_segment(target, id);
    ifab_buf_str(target, verb == NULL ? "" : "/");
    ifab_buf_str(target, verb == NULL ? "" : verb);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_usage(cli, "the id is too long");
}

/* With --retry an answer that was lost is asked for again, under the key that makes it the same request. */
static int post(struct cli *cli, const char *target, struct cli_body *body, bool keyed, struct ifab_response *ret_response)
{
    char key[37];
    uint8_t key16[16];
    ifab_random(key16, sizeof key16);
    ifab_uuid_format(key16, key);
    cli_body_end(body);
    int code = cli_body_good(cli, body);
    if (code == 0)
        code = cli_speak_as_said(cli, cli->timeout_usec + CLI_SPEAK_SHORT);
    const struct cli_call call = {.method = "POST", .target = target, .body = ifab_buf_as_view(&body->buf),
                                  .idempotency_key = keyed && cli->retry > 0 ? key : NULL};
    return code == 0 ? cli_call(cli, &call, ret_response) : code;
}

/* ---- create ---- */

/* At a queue of the policy block that is full: how long. Longer than one answer is waited for, so that it is one. */
static int put_wait(struct cli *cli, struct cli_body *body)
{
    const char *wait = cli_get(cli, "wait");
    int64_t usec = 0;
    char number[24];
    if (wait == NULL)
        return 0;
    if (!cli_duration(wait, &usec) || usec > WAIT_MAX_MS * 1000)
        return cli_usage(cli, "--wait is a time of at most 30s, not \"%s\"", wait);
    if (cli->timeout_usec < usec + 10 * IFAB_SECOND)
        cli->timeout_usec = usec + 10 * IFAB_SECOND;
    snprintf(number, sizeof number, "%lld", (long long)(usec / 1000));
    cli_body_raw(body, "wait_ms", number);
    return 0;
}

static int put_create(struct cli *cli, struct cli_body *body)
{
    static const char *const texts[] = {"id", "type", "priority", "swarm"};
    const char *word = cli->word_count > 0 ? cli->words[0] : NULL;
    if (word != NULL && cli_get(cli, "id") != NULL && strcmp(word, cli_get(cli, "id")) != 0)
        return cli_usage(cli, "two ids");
    if (cli_get(cli, "type") == NULL)
        return cli_usage(cli, "say what kind of task it is: --type NAME");
    if (word != NULL && cli_get(cli, "id") == NULL)
        cli_body_text(body, "id", word);
    for (size_t i = 0; i < IFAB_COUNT(texts); i++)
        cli_body_text(body, texts[i], cli_get(cli, texts[i]));
    int code = task_put_list(cli, body, "needs", "needs");
    code = code == 0 ? task_put_list(cli, body, "depends_on", "depends-on") : code;
    code = code == 0 ? task_put_budget(cli, body) : code;
    code = code == 0 ? task_put_time(cli, body, "deadline", "deadline") : code;
    code = code == 0 ? task_put_time(cli, body, "not_before", "not-before") : code;
    code = code == 0 ? task_put_number(cli, body, "max_attempts", "max-attempts", 1, 100) : code;
    code = code == 0 ? task_put_json(cli, body, "payload", "payload") : code;
    code = code == 0 ? put_wait(cli, body) : code;
    cli_body_text(body, "why", cli->why);
    return code;
}

int cmd_task_create(struct cli *cli)
{
    struct cli_body body;
    struct ifab_response response;
    cli_body_begin(&body);
    int code = put_create(cli, &body);
    if (code == 0)
        code = post(cli, "/v1/tasks", &body, true, &response);
    if (code == 0)
        code = cli_print(cli, response.body, TASK_COLUMNS);
    ifab_buf_fini(&body.buf);
    return code;
}

/* ---- claim ---- */

static int put_claim(struct cli *cli, struct cli_body *body)
{
    const char *swarm = cli_get(cli, "swarm");
    if (swarm == NULL)
        return cli_usage(cli, "say for which swarm: --swarm ID");
    cli_body_text(body, "swarm", swarm);
    return task_put_lease(cli, body);
}

int cmd_task_claim(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    struct ifab_response response;
    int code = target_of(cli, cli->words[0], "claim", &target);
    cli_body_begin(&body);
    if (code == 0)
        code = put_claim(cli, &body);
    if (code == 0)
        code = post(cli, (const char *)target.data, &body, false, &response);
    if (code == 0)
        code = cli_print(cli, response.body, CLAIM_COLUMNS);
    ifab_buf_fini(&body.buf);
    return code;
}

/* One look for at most wait_ms; EXIT_TASK: there was nothing. */
static int claim_next(struct cli *cli, int64_t wait_ms)
{
    struct cli_body body;
    struct ifab_response response;
    char number[24];
    cli_body_begin(&body);
    int code = put_claim(cli, &body);
    if (code == 0)
        code = task_put_list(cli, &body, "skills", "skills");
    snprintf(number, sizeof number, "%lld", (long long)wait_ms);
    cli_body_raw(&body, "wait_ms", number);
    if (code == 0)
        code = post(cli, "/v1/tasks/claim", &body, false, &response);
    if (code == 0 && response.status == 204)
        code = EXIT_TASK;
    else if (code == 0)
        code = cli_print(cli, response.body, CLAIM_COLUMNS);
    else if (code == EXIT_TASK) /* a refusal was shown; the code for nothing to do means nothing else here */
        code = EXIT_SYSTEM;
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_task_next(struct cli *cli)
{
    const char *wait = cli_get(cli, "wait");
    int64_t usec = 0;
    if (wait != NULL && !cli_duration(wait, &usec))
        return cli_usage(cli, "--wait is a time such as 5min, not \"%s\"", wait);
    if (cli->timeout_usec < WAIT_MAX_MS * 1000 + 10 * IFAB_SECOND)
        cli->timeout_usec = WAIT_MAX_MS * 1000 + 10 * IFAB_SECOND;
    int64_t end = worker_clock() + usec;
    for (int64_t left = usec;;) {
        int64_t ms = left / 1000 > WAIT_MAX_MS ? WAIT_MAX_MS : left / 1000;
        int code = claim_next(cli, ms > 0 ? ms : 0);
        left = end - worker_clock();
        if (code != EXIT_TASK)
            return code;
        if (left < 1000) {
            cli_say(cli, "no task to be had now");
            return code;
        }
    }
}

/* ---- what is done to a task ---- */

static int put_act(struct cli *cli, struct cli_body *body, const char *id)
{
    static const struct {
        const char *option, *member;
    } texts[] = {{"kind", "kind"}, {"note", "note"}, {"error", "error"}};
    int code = takes(cli, "fence") ? task_put_fence(cli, body, id) : 0;
    for (size_t i = 0; i < IFAB_COUNT(texts); i++)
        cli_body_text(body, texts[i].member, cli_get(cli, texts[i].option));
    code = code == 0 ? task_put_lease(cli, body) : code;
    code = code == 0 ? task_put_number(cli, body, "percent", "percent", 0, 100) : code;
    code = code == 0 ? task_put_list(cli, body, "needs", "needs") : code;
    code = code == 0 ? task_put_json(cli, body, "result", "result") : code;
    code = code == 0 ? task_put_json(cli, body, "cost", "cost") : code;
    if ((cli->command->flags & CMD_WHY) != 0)
        cli_body_text(body, "why", cli->why);
    return code;
}

static int act(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    struct ifab_response response;
    const char *id = id_of(cli);
    if (id == NULL)
        return EXIT_USAGE;
    int code = target_of(cli, id, strchr(cli->command->name, ' ') + 1, &target);
    cli_body_begin(&body);
    if (code == 0)
        code = put_act(cli, &body, id);
    if (code == 0)
        code = post(cli, (const char *)target.data, &body, true, &response);
    if (code == 0)
        code = cli_print(cli, response.body, TASK_COLUMNS);
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_task_renew(struct cli *cli) { return act(cli); }
int cmd_task_progress(struct cli *cli) { return act(cli); }
int cmd_task_complete(struct cli *cli) { return act(cli); }
int cmd_task_cancel(struct cli *cli) { return act(cli); }
int cmd_task_unblock(struct cli *cli) { return act(cli); }
int cmd_task_replay(struct cli *cli) { return act(cli); }

int cmd_task_fail(struct cli *cli)
{
    return cli_get(cli, "kind") != NULL ? act(cli) : cli_usage(cli, "say how: --kind transient (it is tried again), poison (it is not) or shutdown (of this worker)");
}

int cmd_task_block(struct cli *cli)
{
    return cli_get(cli, "needs") != NULL ? act(cli) : cli_usage(cli, "say which skills are missing: --needs a,b");
}

/* ---- reads ---- */

int cmd_task_show(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    const char *id = id_of(cli);
    int code = id == NULL ? EXIT_USAGE : target_of(cli, id, NULL, &target);
    if (code != 0)
        return code;
    return cli->format == CLI_TABLE ? task_show_ended(cli, (const char *)target.data) : cli_get_print(cli, (const char *)target.data, TASK_COLUMNS);
}

int cmd_task_list(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    ifab_buf_str(&target, "/v1/tasks");
    cli_put_query(&target, "state", cli_get(cli, "state"));
    cli_put_query(&target, "swarm", cli_get(cli, "swarm"));
    return cli_get_pages(cli, &target, cli_get(cli, "all") != NULL, TASK_COLUMNS);
}

/* ---- watch ---- */

struct watched {
    const char *id; /* NULL: every task */
};

/* What the coordinator did to them, and the governor's word to a person that nobody can help, or who was asked. */
static bool about_tasks(struct ifab_view component, struct ifab_view operation)
{
    return ifab_view_is(component, "IF.coordinator") || ifab_view_is(operation, "help_wanted") || ifab_view_is(operation, "help_assigned");
}

/* Renewals say nothing that a person waits for. With one task the stream ends when nothing more can become of it by itself. */
static enum cli_pick pick(void *user, const struct ifab_json *entry, int *ret_code)
{
    const struct watched *w = user;
    struct ifab_view operation = {NULL, 0}, subject = {NULL, 0}, component = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(entry, "component"), &component);
    (void)ifab_json_string(ifab_json_get(entry, "operation"), &operation);
    (void)ifab_json_string(ifab_json_get(entry, "subject"), &subject);
    if (!about_tasks(component, operation) || ifab_view_is(operation, "renew") || (w->id != NULL && !ifab_view_is(subject, w->id)))
        return CLI_PICK_SKIP;
    bool done = ifab_view_is(operation, "complete");
    if (w->id == NULL || (!done && !ifab_view_is(operation, "cancel") && !ifab_view_is(operation, "dead")))
        return CLI_PICK_SHOW;
    *ret_code = done ? 0 : EXIT_TASK;
    return CLI_PICK_LAST;
}

/* One that is closed already: the entry that closed it. */
static int show_closed(struct cli *cli, int64_t index, struct ifab_view state)
{
    char target[64];
    cli_path(target, sizeof target, "/v1/witness/entries/%lld", (long long)index);
    int code = cli_get_print(cli, target, ENTRY_COLUMNS);
    return code != 0 || ifab_view_is(state, "done") ? code : EXIT_TASK;
}

/* Where to begin, as the index behind which the first entry stands: before the task, or at the end of the log. */
static int watch_start(struct cli *cli, const char *id, char ret_after[32], size_t size, bool *ret_closed)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    const struct ifab_json *tree;
    struct ifab_view state = {NULL, 0};
    int64_t index = 0;
    ifab_arena_init(&arena, 4 << 20);
    int code = id == NULL ? 0 : target_of(cli, id, NULL, &target);
    if (code == 0)
        code = cli_get_json(cli, id == NULL ? "/v1/fabric" : (const char *)target.data, &arena, &tree);
    if (code != 0)
        return code;
    if (id != NULL && ifab_json_integer(ifab_json_get(ifab_json_get(tree, "entry"), "index"), &index)) {
        *ret_closed = true;
        (void)ifab_json_string(ifab_json_get(tree, "state"), &state);
        return show_closed(cli, index, state);
    }
    if (!ifab_json_integer(ifab_json_get(tree, id == NULL ? "size" : "index"), &index) || index < 1)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer names no index");
    cli_path(ret_after, size, "%lld", (long long)index - 1);
    return 0;
}

int cmd_task_watch(struct cli *cli)
{
    struct watched w = {.id = cli->word_count > 0 ? cli->words[0] : NULL};
    char after[32];
    bool closed = false;
    cli->rows = true;
    int code = watch_start(cli, w.id, after, sizeof after, &closed);
    return code != 0 || closed ? code : cli_follow_some(cli, "/v1/events", after, ENTRY_COLUMNS, pick, &w);
}
