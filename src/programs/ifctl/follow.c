/*
 * A stream of events that outlives the connection and the daemon. Each event is printed and flushed before its id counts as seen; a new
 * connection goes on behind the last id, so nothing is lost and nothing comes twice. Memory: one event.
 */
#include "cli.h"

#include <time.h>

#define SILENCE (45 * IFAB_SECOND) /* the daemon says something every 15 s: after three of them the connection is dead */
#define WAIT_LEAST_MS 50
#define WAIT_MOST_MS 2000

struct follower {
    struct cli *cli;
    const char *columns;
    cli_pick_fn *pick; /* NULL: all */
    void *user;
    char seen[64], coming[64]; /* id of the last event printed; of the one being read */
    struct ifab_buf data;
    bool skip;  /* an event about the stream itself: no item */
    bool ended; /* by us: code says how */
    int code;
    uint64_t count; /* events of this connection */
};

static struct ifab_view behind(struct ifab_view line, size_t name_size)
{
    struct ifab_view rest = ifab_view_of(line.data + name_size, line.size - name_size);
    return rest.size > 0 && rest.data[0] == ' ' ? ifab_view_of(rest.data + 1, rest.size - 1) : rest;
}

static bool begins(struct ifab_view line, const char *name)
{
    return line.size >= strlen(name) && memcmp(line.data, name, strlen(name)) == 0;
}

static ifab_status give_up(struct follower *f, int code)
{
    f->ended = true;
    f->code = code;
    return IFAB_CONFLICT; /* any status but OK ends the stream */
}

static int print_item(struct follower *f, enum cli_pick *ret_picked, int *ret_last)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_LINE_MAX};
    const struct ifab_json *tree;
    ifab_arena_init(&arena, (size_t)64 << 20);
    if (ifab_json_read(ifab_buf_as_view(&f->data), &limits, &arena, &tree, NULL) != IFAB_OK)
        return cli_refuse(f->cli, IFAB_CODE_SYSTEM_ERROR, "an event that is not JSON");
    *ret_picked = f->pick == NULL ? CLI_PICK_SHOW : f->pick(f->user, tree, ret_last);
    if (*ret_picked == CLI_PICK_SKIP)
        return 0;
    cli_print_tree(f->cli, tree, f->columns);
    f->cli->goes_on = true; /* one heading for all */
    return 0;
}

/* The empty line behind an event. */
static ifab_status take_event(struct follower *f)
{
    bool item = f->data.size > 0 && !f->skip;
    if (ifab_buf_status(&f->data) != IFAB_OK)
        return give_up(f, cli_fail(f->cli, IFAB_TOO_LARGE));
    if (item) {
        enum cli_pick picked = CLI_PICK_SHOW;
        int last = 0, code = print_item(f, &picked, &last);
        if (code != 0)
            return give_up(f, code);
        if (fflush(stdout) != 0)
            return give_up(f, 0); /* the reader has gone; main says so when it is not that */
        if (picked == CLI_PICK_LAST)
            return give_up(f, last);
        memcpy(f->seen, f->coming, sizeof f->seen);
        f->count++;
    }
    ifab_buf_clear(&f->data);
    f->skip = false;
    return IFAB_OK;
}

/* Of the stream itself: this side was too slow, or who asks has no right any more. The connection ends; what comes next says how it goes on. */
static bool of_stream(struct ifab_view name)
{
    return ifab_view_is(name, "lagged") || ifab_view_is(name, "expired");
}

static ifab_status on_line(void *user, struct ifab_view line)
{
    struct follower *f = user;
    if (line.size == 0)
        return take_event(f);
    if (begins(line, "id:")) {
        struct ifab_view id = behind(line, 3);
        if (!cli_path(f->coming, sizeof f->coming, IFAB_FMT, IFAB_ARG(id)))
            return give_up(f, cli_refuse(f->cli, IFAB_CODE_SYSTEM_ERROR, "an event with an id of %zu bytes", id.size));
    } else if (begins(line, "event:")) {
        f->skip = of_stream(behind(line, 6));
    } else if (begins(line, "data:")) {
        ifab_buf_view(&f->data, behind(line, 5));
    }
    return IFAB_OK;
}

/* What waiting does not mend, as a token that is void. A gateway that gives no reason speaks of a daemon that is away. */
static bool is_final(const struct ifab_response *response, const struct ifab_answer_error *error)
{
    return !error->retryable && (error->code != 0 || response->status < 500);
}

int cli_check_log(struct cli *cli, bool silent, bool *ret_there)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_response response = {0};
    struct ifab_answer_error error;
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/fabric"};
    const struct ifab_json *tree;
    struct ifab_view origin;
    ifab_arena_init(&arena, 4 << 20);
    *ret_there = false;
    if (ifab_client_call(cli->client, &request, &response, NULL) != IFAB_OK)
        return 0;
    if (response.status != 200) {
        ifab_answer_error_read(&response, &error);
        if (!is_final(&response, &error))
            return 0;
        return silent ? error.exit_code : cli_refused(cli, &response);
    }
    *ret_there = ifab_json_read(response.body, NULL, &arena, &tree, NULL) == IFAB_OK && ifab_json_string(ifab_json_get(tree, "origin"), &origin);
    if (!*ret_there || ifab_view_is(origin, cli->origin))
        return 0;
    if (silent)
        return EXIT_SYSTEM;
    return cli_stop(cli, EXIT_SYSTEM, "Start it again to follow the new log.", "log " IFAB_FMT " answers now, not %s", IFAB_ARG(origin),
                    cli->origin);
}

static void wait_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* One connection until it ends. *ret_again: another may go on behind the last id; else the exit code is final. */
static int one_stream(struct follower *f, const char *target, bool first, bool *ret_again)
{
    struct cli *cli = f->cli;
    struct ifab_response response = {0};
    struct ifab_answer_error error;
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = target, .last_event_id = f->seen};
    ifab_buf_clear(&f->data);
    f->skip = false;
    ifab_status status = ifab_client_stream(cli->client, &request, on_line, f, SILENCE, &response, cli_clean_err(cli));
    *ret_again = false;
    if (f->ended)
        return f->code;
    if (status == IFAB_OK) { /* not a stream: a refusal. One that passes, as of a daemon that is going down, ends nothing */
        ifab_answer_error_read(&response, &error);
        *ret_again = !first && error.retryable;
        return *ret_again ? 0 : cli_refused(cli, &response);
    }
    *ret_again = status == IFAB_AGAIN || (!first && status == IFAB_NOT_FOUND);
    return *ret_again ? 0 : cli_no_answer(cli, status);
}

static int follow(struct follower *f, const char *target)
{
    struct cli *cli = f->cli;
    int64_t delay = WAIT_LEAST_MS;
    bool told = false;
    int code = cli_origin(cli); /* opens the connection; who does not answer at all is told at once */
    for (bool first = true, again = true; code == 0 && again; first = false) {
        bool there = first;
        f->count = 0;
        if (!first)
            code = cli_check_log(cli, false, &there);
        if (code == 0 && there)
            code = one_stream(f, target, first, &again);
        else if (code == 0 && !told)
            cli_say(cli, "the daemon does not answer: waiting for it");
        told = !there;
        delay = f->count > 0 ? WAIT_LEAST_MS : delay * 2 < WAIT_MOST_MS ? delay * 2 : WAIT_MOST_MS;
        if (code == 0 && again)
            wait_ms(delay);
    }
    return code;
}

int cli_follow(struct cli *cli, const char *target, const char *after, const char *columns)
{
    return cli_follow_some(cli, target, after, columns, NULL, NULL);
}

int cli_follow_some(struct cli *cli, const char *target, const char *after, const char *columns, cli_pick_fn *pick, void *user)
{
    struct follower f = {.cli = cli, .columns = columns, .pick = pick, .user = user};
    if (!cli_path(f.seen, sizeof f.seen, "%s", after))
        return cli_usage(cli, "\"%s\" is no place in a stream", after);
    ifab_buf_init(&f.data, IFAB_CLIENT_LINE_MAX);
    cli->rows = true;
    if (cli->format == CLI_JSON) /* a document has an end; this has none */
        cli->format = CLI_NDJSON;
    int code = follow(&f, target);
    ifab_buf_fini(&f.data);
    return code;
}
