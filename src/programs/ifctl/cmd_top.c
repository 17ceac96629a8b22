/*
 * top: tasks by state, who works on what, swarms, budgets, open decisions. On a terminal drawn anew every two seconds until a signal ends it; elsewhere,
 * or with -o, once. Whatever came from the fabric passes cli_put_text(); the terminal does not wrap, so a long line is cut by it.
 */
#include "task.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOK_MS 2000
#define PAGES_MAX 64 /* of tasks, until all that are worked on have been seen: a page looks at some thousands */
#define BUDGET_PAGES 10
#define SHOWN_MAX 200
#define OWN_SCREEN "\033[?1049h\033[?25l\033[?7l"
#define OWN_SCREEN_END "\033[?7h\033[?25h\033[?1049l"

static const char *const states[] = {"queued", "claimed", "running", "blocked", "dead"};
#define STATES IFAB_COUNT(states)

struct top {
    struct cli *cli;
    uint64_t count[STATES], held, escalated;
    bool more, decisions;          /* more: are worked on than are shown; decisions: they may be seen */
    struct ifab_arena arena;
    struct ifab_view working[SHOWN_MAX]; /* a line each, in arena */
    size_t working_count;
    const struct ifab_json *swarms; /* items */
    const struct ifab_json **budgets; /* the fullest first; owned */
    size_t budget_count, budget_room;
};

static int get(struct top *t, const char *target, bool silent, const struct ifab_json **ret_tree)
{
    struct ifab_response response;
    struct ifab_view copy;
    const struct cli_call call = {.method = "GET", .target = target, .silent = silent};
    int code = cli_call(t->cli, &call, &response);
    if (code != 0)
        return code;
    if (ifab_arena_copy(&t->arena, response.body, &copy) != IFAB_OK)
        return cli_fail(t->cli, IFAB_NOMEM);
    if (ifab_json_read(copy, &(struct ifab_json_limits){.max_size = IFAB_CLIENT_RESPONSE_MAX}, &t->arena, ret_tree, NULL) != IFAB_OK)
        return cli_refuse(t->cli, IFAB_CODE_SYSTEM_ERROR, "the answer to GET %s is not JSON", target);
    return 0;
}

static size_t count_of(const struct ifab_json *items)
{
    return items != NULL && items->type == IFAB_JSON_ARRAY ? items->u.array.count : 0;
}

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = IFAB_VIEW("-");
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

static int64_t number_of(const struct ifab_json *object, const char *name)
{
    int64_t n = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &n);
    return n;
}

static void take_task(struct top *t, const struct ifab_json *task)
{
    struct ifab_view line;
    if (t->working_count == SHOWN_MAX)
        return;
    struct ifab_buf b = IFAB_BUF_INIT(4096);
    ifab_buf_format(&b, "%-8.*s %3lld%%  ", IFAB_ARG(text_of(task, "state")), (long long)number_of(task, "percent"));
    const char *const names[] = {"swarm", "id", "worker", "note"};
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        ifab_buf_view(&b, text_of(task, names[i]));
        ifab_buf_str(&b, "  ");
    }
    if (ifab_buf_status(&b) == IFAB_OK && ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &line) == IFAB_OK)
        t->working[t->working_count++] = line;
    ifab_buf_fini(&b);
}

/* Where the next page begins; false: there is none. */
static bool next_page(const struct ifab_json *tree, char cursor[32])
{
    struct ifab_view next = {NULL, 0};
    return ifab_json_string(ifab_json_get(tree, "next"), &next) && cli_path(cursor, 32, IFAB_FMT, IFAB_ARG(next)) && cursor[0] != '\0' &&
           strspn(cursor, "0123456789") == strlen(cursor);
}

/* Counts come with every page; listed are those that somebody works on. */
static int look_at_tasks(struct top *t, bool silent)
{
    char cursor[32] = "", target[128];
    uint64_t worked_on = 1;
    bool more = true;
    for (int page = 0; page < PAGES_MAX && more && t->working_count < SHOWN_MAX && t->working_count < worked_on; page++) {
        const struct ifab_json *tree;
        cli_path(target, sizeof target, "/v1/tasks?state=claimed,running,blocked&limit=%d%s%s", SHOWN_MAX, cursor[0] == '\0' ? "" : "&cursor=", cursor);
        int code = get(t, target, silent, &tree);
        if (code != 0)
            return code;
        const struct ifab_json *items = ifab_json_get(tree, "items"), *counts = ifab_json_get(tree, "counts");
        for (size_t i = 0; i < STATES; i++)
            t->count[i] = (uint64_t)number_of(counts, states[i]);
        worked_on = t->count[1] + t->count[2] + t->count[3];
        for (size_t i = 0; i < count_of(items); i++)
            take_task(t, &items->u.array.items[i]);
        more = next_page(tree, cursor);
    }
    t->more = worked_on > t->working_count;
    return 0;
}

static unsigned level_of(const struct ifab_json *budget)
{
    static const char *const levels[] = {"open", "notice", "warn", "pause", "stop"};
    struct ifab_view level = text_of(budget, "level");
    unsigned i = 0;
    while (i < IFAB_COUNT(levels) - 1 && !ifab_view_is(level, levels[i]))
        i++;
    return i;
}

static int fuller(const void *a, const void *b)
{
    const struct ifab_json *x = *(const struct ifab_json *const *)a, *y = *(const struct ifab_json *const *)b;
    unsigned left = level_of(x), right = level_of(y);
    return left != right ? (left < right ? 1 : -1) : ifab_view_compare(text_of(x, "id"), text_of(y, "id"));
}

static int look_at_budgets(struct top *t, bool silent)
{
    char cursor[32] = "", target[96];
    bool more = true;
    for (int page = 0; page < BUDGET_PAGES && more; page++) {
        const struct ifab_json *tree;
        cli_path(target, sizeof target, "/v1/budgets?limit=1000%s%s", cursor[0] == '\0' ? "" : "&cursor=", cursor);
        int code = get(t, target, silent, &tree);
        if (code != 0)
            return code;
        const struct ifab_json *items = ifab_json_get(tree, "items");
        if (t->budget_room - t->budget_count < count_of(items)) {
            const struct ifab_json **bigger = ifab_realloc(t->budgets, (t->budget_count + count_of(items)) * sizeof(const struct ifab_json *));
            if (bigger == NULL)
                return cli_fail(t->cli, IFAB_NOMEM);
            t->budgets = bigger;
            t->budget_room = t->budget_count + count_of(items);
        }
        for (size_t i = 0; i < count_of(items); i++)
            t->budgets[t->budget_count++] = &items->u.array.items[i];
        more = next_page(tree, cursor);
    }
    if (t->budget_count > 0)
        qsort(t->budgets, t->budget_count, sizeof *t->budgets, fuller);
    return 0;
}

static void forget(struct top *t)
{
    ifab_arena_fini(&t->arena);
    ifab_free(t->budgets);
    *t = (struct top){.cli = t->cli};
}

/* Everything anew. Who may not see decisions sees the rest. */
static int look(struct top *t, bool silent)
{
    const struct ifab_json *tree;
    forget(t);
    ifab_arena_init(&t->arena, (size_t)512 << 20);
    int code = look_at_tasks(t, silent);
    if (code == 0)
        code = get(t, "/v1/swarms?limit=1000", silent, &tree);
    if (code != 0)
        return code;
    t->swarms = ifab_json_get(tree, "items");
    code = look_at_budgets(t, silent);
    if (code != 0)
        return code;
    code = get(t, "/v1/decisions?limit=1000", true, &tree);
    t->decisions = code == 0;
    const struct ifab_json *items = code == 0 ? ifab_json_get(tree, "items") : NULL;
    for (size_t i = 0; i < count_of(items); i++) {
        t->held += ifab_view_is(text_of(&items->u.array.items[i], "state"), "held");
        t->escalated += ifab_view_is(text_of(&items->u.array.items[i], "state"), "escalated");
    }
    return code == EXIT_NO_ANSWER ? code : 0;
}

/* {"tasks":{…},"more_tasks":false,"swarms":[…],"budgets":[…],"decisions":{…}} */
static int print_once(struct top *t)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf b = IFAB_BUF_INIT((size_t)64 << 20);
    ifab_buf_str(&b, "{\"tasks\":{");
    for (size_t i = 0; i < STATES; i++)
        ifab_buf_format(&b, "%s\"%s\":%llu", i > 0 ? "," : "", states[i], (unsigned long long)t->count[i]);
    ifab_buf_format(&b, "},\"more_tasks\":%s,\"swarms\":", t->more ? "true" : "false");
    if (t->swarms != NULL)
        ifab_json_write(&b, t->swarms);
    else
        ifab_buf_str(&b, "[]");
    for (size_t i = 0; i < t->budget_count; i++) {
        ifab_buf_str(&b, i == 0 ? ",\"budgets\":[" : ",");
        ifab_json_write(&b, t->budgets[i]);
    }
    ifab_buf_str(&b, t->budget_count == 0 ? ",\"budgets\":[]" : "]");
    if (t->decisions)
        ifab_buf_format(&b, ",\"decisions\":{\"held\":%llu,\"escalated\":%llu}", (unsigned long long)t->held, (unsigned long long)t->escalated);
    ifab_buf_char(&b, '}');
    return ifab_buf_status(&b) == IFAB_OK ? cli_print(t->cli, ifab_buf_as_view(&b), "QUEUED:tasks.queued|CLAIMED:tasks.claimed|RUNNING:tasks.running|BLOCKED:tasks.blocked|DEAD:tasks.dead|SWARMS:swarms#|BUDGETS:budgets#|HELD:decisions.held|ESCALATED:decisions.escalated")
                                          : cli_fail(t->cli, IFAB_NOMEM);
}

static void put_counts(const struct top *t, FILE *to)
{
    fputs("tasks     ", to);
    for (size_t i = 0; i < STATES; i++)
        fprintf(to, "%s %llu  ", states[i], (unsigned long long)t->count[i]);
    fputs(t->more ? "more than are shown\ndecisions " : "\ndecisions ", to);
    if (t->decisions)
        fprintf(to, "held %llu  escalated %llu\n", (unsigned long long)t->held, (unsigned long long)t->escalated);
    else
        fputs("not to be seen\n", to);
}

static void put_swarms(const struct top *t, FILE *to, size_t most)
{
    fputs("\nIN FLIGHT  OF    QUEUED  STATE    SWARM\n", to);
    for (size_t i = 0; i < most; i++) {
        const struct ifab_json *swarm = &t->swarms->u.array.items[i];
        struct ifab_view state = text_of(swarm, "state");
        fprintf(to, "%9lld  %-4lld  %6lld  ", (long long)number_of(swarm, "in_flight"), (long long)number_of(swarm, "concurrency"),
                (long long)number_of(swarm, "queued"));
        cli_put_text(to, state);
        fprintf(to, "%*s", state.size < 9 ? (int)(9 - state.size) : 1, "");
        cli_put_text(to, text_of(swarm, "id"));
        fputc('\n', to);
    }
}

static void put_budgets(const struct top *t, FILE *to, size_t most)
{
    static const char *const names[] = {"unit", "period", "subject", "name", "id"};
    fputs("LEVEL         SPENT         LIMIT  UNIT  PERIOD  OF  BUDGET\n", to);
    for (size_t i = 0; i < most; i++) {
        struct ifab_view level = text_of(t->budgets[i], "level");
        cli_put_text(to, level);
        fprintf(to, "%*s%12lld  %12lld", level.size < 7 ? (int)(7 - level.size) : 1, "", (long long)number_of(t->budgets[i], "spent"),
                (long long)number_of(t->budgets[i], "limit"));
        for (size_t n = 0; n < IFAB_COUNT(names); n++) {
            fputs("  ", to);
            cli_put_text(to, text_of(t->budgets[i], names[n]));
        }
        fputc('\n', to);
    }
}

/* Whole lines, at most rows; the screen was empty. A third of them each at most for swarms and budgets. */
static void put_screen(const struct top *t, FILE *to, size_t rows)
{
    put_counts(t, to);
    rows = rows < 7 ? 0 : rows - 7; /* counts, an empty one, three headings, and the line the cursor is on */
    size_t swarms = count_of(t->swarms) < rows / 3 ? count_of(t->swarms) : rows / 3;
    size_t budgets = t->budget_count < rows / 3 ? t->budget_count : rows / 3;
    put_swarms(t, to, swarms);
    put_budgets(t, to, budgets);
    fputs("STATE    DONE  SWARM  TASK  WORKER  NOTE\n", to);
    for (size_t i = 0; i < t->working_count && i + swarms + budgets < rows; i++) {
        cli_put_text(to, t->working[i]);
        fputc('\n', to);
    }
}

static void draw(const struct top *t, bool away)
{
    struct winsize size = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    fputs("\033[H\033[2J", stdout);
    if (away)
        fputs("THE DAEMON DOES NOT ANSWER\n", stdout);
    put_screen(t, stdout, (size.ws_row == 0 ? 24 : size.ws_row) - (size_t)away);
    fflush(stdout);
}

static void say_raw(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

/* false: it ends. A stop leaves the terminal in order as well. */
static bool on_signal(int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info || info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT)
        return true;
    if (info.ssi_signo != SIGTSTP)
        return false;
    say_raw(OWN_SCREEN_END);
    (void)raise(SIGSTOP);
    say_raw(OWN_SCREEN);
    return true;
}

static int live(struct top *t)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < IFAB_COUNT(caught); i++)
        sigaddset(&signals, caught[i]);
    int fd = sigprocmask(SIG_BLOCK, &signals, NULL) == 0 ? signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
    if (fd < 0)
        return cli_stop(t->cli, EXIT_SYSTEM, NULL, "signals cannot be had");
    ifab_client_set_stop(t->cli->client, fd);
    say_raw(OWN_SCREEN);
    int code = 0;
    for (bool goes_on = true; goes_on && !ferror(stdout);) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        draw(t, code != 0);
        goes_on = poll(&p, 1, LOOK_MS) <= 0 || on_signal(fd);
        if (goes_on && (code = look(t, true)) != 0 && code != EXIT_NO_ANSWER)
            break;
    }
    say_raw(OWN_SCREEN_END);
    ifab_client_set_stop(t->cli->client, -1);
    close(fd);
    return code == 0 || code == EXIT_NO_ANSWER ? 0 : look(t, false); /* why it is refused now, aloud */
}

int cmd_top(struct cli *cli)
{
    struct top *t = ifab_calloc(1, sizeof *t);
    const char *term = getenv("TERM");
    if (t == NULL)
        return cli_fail(cli, IFAB_NOMEM);
    t->cli = cli;
    ifab_arena_init(&t->arena, 4096);
    bool screen = cli_get(cli, "output") == NULL && isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    int code = look(t, false);
    if (code == 0)
        code = screen ? live(t) : cli->format == CLI_TABLE ? (put_screen(t, stdout, 3 * SHOWN_MAX), 0) : print_once(t);
    forget(t);
    ifab_free(t);
    return code;
}
