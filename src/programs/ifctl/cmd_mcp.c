/*
 * mcp: MCP over stdio. The main thread waits on stdin, answers what needs no daemon and gives each tool call a thread of its own, so a
 * long wait holds up neither ping nor cancellation. What is shared is under one lock; lines go out whole under another.
 *
 * 1. stdout carries protocol only: it is moved away at the start and descriptor 1 becomes stderr, so nothing printed by mistake gets there.
 * 2. One message is on its way at a time, in the order the calls came (sequence numbers only grow).
 * 3. At most MCP_CALLS_MAX calls are under way; one more is refused and may be tried again.
 * 4. End of stdin ends it: waits are cut short, calls that came before are answered, then it returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "mcp_call.h"

#define JOBS_MAX (MCP_CALLS_MAX + MCP_LISTS_MAX)

struct job {
    struct server *server;
    pthread_t thread;
    bool busy, started;    /* started: thread is to be joined before the place is used again */
    bool cancelled, sends; /* sends: waits for its turn, or has it */
    uint64_t number;       /* order of arrival */
    struct cli cli;        /* its own client; the identity is shared */
    struct ifab_buf line;  /* what the action borrows from, with arena */
    struct ifab_arena arena;
    struct mcp_action action;
};

struct server {
    struct cli *cli;
    int out;
    pthread_mutex_t lock, writing;
    pthread_cond_t turn;
    /* under lock */
    struct job *jobs; /* JOBS_MAX: calls take the first MCP_CALLS_MAX places, lists all of them */
    uint64_t number;
    bool ended, broken; /* stdin has ended; stdout takes no more */
    struct {
        char name[MCP_OFFER_NAME_MAX + 1], digest[72];
    } shown[MCP_OFFERS_MAX]; /* tools of capabilities, with the manifests they were listed with */
    size_t shown_count;
    /* of the main thread */
    struct mcp_state state;
    struct ifab_buf listens[MCP_LISTENS_MAX]; /* ids; size 0: free */
};

/* --- out --- */

static void put_line(struct server *s, const struct ifab_buf *line)
{
    size_t at = 0;
    if (ifab_buf_status(line) != IFAB_OK)
        return;
    pthread_mutex_lock(&s->writing);
    while (at < line->size) {
        ssize_t n = write(s->out, line->data + at, line->size - at);
        if (n > 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = s->out, .events = POLLOUT};
            (void)poll(&p, 1, -1);
        } else if (errno != EINTR) {
            break;
        }
    }
    pthread_mutex_unlock(&s->writing);
    if (at < line->size) {
        pthread_mutex_lock(&s->lock);
        s->broken = true;
        pthread_mutex_unlock(&s->lock);
    }
}

static void put_error(struct server *s, struct ifab_view id, enum mcp_error error, const char *message)
{
    struct mcp_action action = {.kind = MCP_ERROR, .id = id, .error = error};
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT(65536);
    cli_path(action.message, sizeof action.message, "%s", message);
    mcp_put_error(&line, &action);
    put_line(s, &line);
}

/* --- what a call asks of the server --- */

static bool job_ended(void *user)
{
    struct job *job = user;
    pthread_mutex_lock(&job->server->lock);
    bool ended = job->cancelled || job->server->ended;
    pthread_mutex_unlock(&job->server->lock);
    return ended;
}

static bool is_first(const struct job *job)
{
    for (size_t i = 0; i < JOBS_MAX; i++) {
        const struct job *other = &job->server->jobs[i];
        if (other->busy && other->sends && other->number < job->number)
            return false;
    }
    return true;
}

static bool job_turn(void *user)
{
    struct job *job = user;
    pthread_mutex_lock(&job->server->lock);
    while (!job->cancelled && !is_first(job))
        pthread_cond_wait(&job->server->turn, &job->server->lock);
    bool cancelled = job->cancelled;
    pthread_mutex_unlock(&job->server->lock);
    return !cancelled;
}

static void job_turn_over(void *user)
{
    struct job *job = user;
    pthread_mutex_lock(&job->server->lock);
    job->sends = false;
    pthread_cond_broadcast(&job->server->turn);
    pthread_mutex_unlock(&job->server->lock);
}

static void job_progress(void *user, int64_t s)
{
    struct job *job = user;
    if (job->action.progress.size == 0 || job_ended(job))
        return;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT(65536);
    mcp_put_progress(&line, job->action.progress, s, job->action.arguments.wait_s, "waiting");
    put_line(job->server, &line);
}

/* A tool is used under the manifest it was listed with. Another one, or none: the client is told that the list has changed. */
static bool job_listed(void *user, const struct mcp_offer *offer)
{
    struct job *job = user;
    struct server *s = job->server;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT(256);
    bool same = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->shown_count; i++)
        same = same || (strcmp(s->shown[i].name, offer->name) == 0 && strcmp(s->shown[i].digest, offer->digest) == 0);
    pthread_mutex_unlock(&s->lock);
    if (!same && !job->action.modern) {
        mcp_put_changed(&line);
        put_line(s, &line);
    }
    return same;
}

static void run_list(struct job *job)
{
    struct server *s = job->server;
    struct mcp_offer *offers = NULL;
    size_t count = 0;
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT((size_t)32 << 20);
    ifab_arena_init(&arena, (size_t)256 << 20);
    mcp_capability_list(&job->cli, &arena, &offers, &count);
    mcp_put_list(&line, job->action.id, job->action.modern, IFCTL_VERSION, offers, count);
    pthread_mutex_lock(&s->lock);
    s->shown_count = count;
    for (size_t i = 0; i < count; i++) {
        memcpy(s->shown[i].name, offers[i].name, sizeof s->shown[i].name);
        memcpy(s->shown[i].digest, offers[i].digest, sizeof s->shown[i].digest);
    }
    bool cancelled = job->cancelled;
    job->busy = false; /* before the answer, as below */
    pthread_mutex_unlock(&s->lock);
    if (!cancelled && ifab_buf_status(&line) == IFAB_OK)
        put_line(s, &line);
    else if (!cancelled)
        put_error(s, job->action.id, MCP_INTERNAL_ERROR, "the list does not fit into memory");
    ifab_buf_fini(&job->line);
    ifab_arena_fini(&job->arena);
}

static void *run_job(void *user)
{
    struct job *job = user;
    struct server *s = job->server;
    const struct mcp_caller caller = {job, job_ended, job_turn, job_turn_over, job_progress, job_listed};
    struct mcp_result result = {IFAB_BUF_INIT(IFAB_CLIENT_RESPONSE_MAX), IFAB_BUF_INIT(IFAB_CLIENT_RESPONSE_MAX), false, false};
    if (job->action.kind == MCP_LIST) {
        run_list(job);
        return NULL;
    }
    struct ifab_buf line = IFAB_BUF_INIT(4 * IFAB_CLIENT_RESPONSE_MAX);
    mcp_call(&job->cli, &job->action, &caller, &result);
    bool good = ifab_buf_status(&result.text) == IFAB_OK && ifab_buf_status(&result.structured) == IFAB_OK;
    if (good)
        mcp_put_result(&line, &job->action, &result, IFCTL_VERSION);
    good = good && ifab_buf_status(&line) == IFAB_OK;

    pthread_mutex_lock(&s->lock);
    bool cancelled = job->cancelled;
    job->busy = false; /* before the answer: whoever has it may use its id, and this place, again */
    pthread_mutex_unlock(&s->lock);
    if (!cancelled && result.unknown_tool)
        put_error(s, job->action.id, MCP_INVALID_PARAMS, "Unknown tool");
    else if (!cancelled && good)
        put_line(s, &line);
    else if (!cancelled)
        put_error(s, job->action.id, MCP_INTERNAL_ERROR, "the answer does not fit into memory");
    ifab_buf_fini(&line);
    ifab_buf_fini(&result.text);
    ifab_buf_fini(&result.structured);
    ifab_buf_fini(&job->line); /* this thread is joined before its place is touched: no idle place keeps what a large line took */
    ifab_arena_fini(&job->arena);
    return NULL;
}

/* --- calls --- */

static void job_clear(struct job *job)
{
    if (job->started)
        pthread_join(job->thread, NULL);
    job->started = false;
}

static void refuse_full(struct server *s, const struct mcp_action *action)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT(65536);
    struct mcp_result result = {IFAB_BUF_INIT(8192), IFAB_BUF_INIT(8192), false, false};
    struct ifab_refusal refusal = {0};
    ifab_refuse(&refusal, IFAB_CODE_QUEUE_FULL, NULL, "%d calls are under way here; nothing was done", MCP_CALLS_MAX);
    refusal.hint = "wait for one of them to be answered, or cancel one";
    mcp_result_refusal(&result, &refusal);
    mcp_put_result(&line, action, &result, IFCTL_VERSION);
    put_line(s, &line);
    ifab_buf_fini(&result.text);
    ifab_buf_fini(&result.structured);
}

/* Takes line and arena over when it starts; else they stay the caller's. */
static bool start_job(struct server *s, struct ifab_buf *line, struct ifab_arena *arena, const struct mcp_action *action)
{
    struct job *job = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < (action->kind == MCP_LIST ? JOBS_MAX : MCP_CALLS_MAX) && job == NULL; i++)
        if (!s->jobs[i].busy)
            job = &s->jobs[i];
    pthread_mutex_unlock(&s->lock);
    if (job == NULL && action->kind == MCP_LIST)
        put_error(s, action->id, MCP_INTERNAL_ERROR, "too many calls are under way here: ask again");
    else if (job == NULL)
        refuse_full(s, action);
    if (job == NULL) {
        return false;
    }
    job_clear(job);
    struct ifab_client *client = job->cli.client; /* kept: one connection a place */
    uint64_t token_print = job->cli.token_print;
    job->cli = *s->cli;
    job->cli.client = client;
    job->cli.token_print = token_print;
    job->server = s;
    job->line = *line;
    job->arena = *arena;
    job->action = *action;
    pthread_mutex_lock(&s->lock);
    job->cancelled = false;
    job->sends = action->kind == MCP_CALL && action->tool == MCP_SEND && action->refusal.code == IFAB_CODE_NONE;
    job->number = s->number++;
    job->busy = true;
    pthread_mutex_unlock(&s->lock);
    job->started = pthread_create(&job->thread, NULL, run_job, job) == 0;
    if (job->started)
        return true;
    pthread_mutex_lock(&s->lock);
    job->busy = false;
    pthread_mutex_unlock(&s->lock);
    put_error(s, action->id, MCP_INTERNAL_ERROR, "no thread for this call"); /* line and arena stay the caller's */
    return false;
}

static bool in_use(struct server *s, struct ifab_view id)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < JOBS_MAX; i++)
        found = found || (s->jobs[i].busy && ifab_view_equal(s->jobs[i].action.id, id));
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < MCP_LISTENS_MAX; i++)
        found = found || (s->listens[i].size > 0 && ifab_view_equal(ifab_buf_as_view(&s->listens[i]), id));
    return found;
}

static void cancel(struct server *s, struct ifab_view id)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (s->jobs[i].busy && ifab_view_equal(s->jobs[i].action.id, id))
            s->jobs[i].cancelled = true;
    pthread_cond_broadcast(&s->turn);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < MCP_LISTENS_MAX; i++)
        if (ifab_view_equal(ifab_buf_as_view(&s->listens[i]), id))
            ifab_buf_clear(&s->listens[i]);
}

static void listen_begin(struct server *s, struct ifab_view id)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT(65536);
    size_t i = 0;
    while (i < MCP_LISTENS_MAX && s->listens[i].size > 0)
        i++;
    if (i == MCP_LISTENS_MAX) {
        put_error(s, id, MCP_INTERNAL_ERROR, "too many subscriptions");
        return;
    }
    ifab_buf_init(&s->listens[i], 8 * MCP_ID_MAX);
    ifab_buf_view(&s->listens[i], id);
    mcp_put_listening(&line, id);
    put_line(s, &line);
}

/* --- in --- */

/* True when a call took line and arena over. */
static bool act(struct server *s, struct ifab_buf *in, struct ifab_arena *arena, const struct mcp_action *action)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT((size_t)1 << 20);
    if (action->kind != MCP_CANCEL && action->id.size > 0 && in_use(s, action->id)) {
        put_error(s, (struct ifab_view){NULL, 0}, MCP_INVALID_REQUEST, "a request with this id is still under way");
        return false;
    }
    switch (action->kind) {
    case MCP_IGNORE:
        return false;
    case MCP_CANCEL:
        cancel(s, action->id);
        return false;
    case MCP_CALL:
    case MCP_LIST:
        return start_job(s, in, arena, action);
    case MCP_LISTEN:
        listen_begin(s, action->id);
        return false;
    case MCP_ERROR:
        mcp_put_error(&line, action);
        break;
    case MCP_INITIALIZE:
        mcp_put_initialize(&line, action->id, IFCTL_VERSION);
        break;
    case MCP_PING:
        mcp_put_pong(&line, action->id);
        break;
    case MCP_DISCOVER:
        mcp_put_discover(&line, action->id, IFCTL_VERSION);
        break;
    }
    put_line(s, &line);
    return false;
}

static void take_line(struct server *s, struct ifab_view bytes)
{
    struct ifab_buf line = IFAB_BUF_INIT(MCP_LINE_MAX + 1);
    struct ifab_arena arena;
    struct mcp_action action;
    ifab_arena_init(&arena, MCP_ARENA_MAX);
    ifab_buf_view(&line, bytes);
    if (ifab_buf_status(&line) != IFAB_OK) {
        put_error(s, (struct ifab_view){NULL, 0}, MCP_INTERNAL_ERROR, "out of memory");
    } else {
        mcp_read(&s->state, ifab_buf_as_view(&line), &arena, &action);
        if (act(s, &line, &arena, &action))
            return;
    }
    ifab_buf_fini(&line);
    ifab_arena_fini(&arena);
}

/* Bytes of stdin, cut into lines. A line that grows too long is refused once and skipped to its end. */
struct input {
    struct ifab_buf line;
    bool skipping;
};

static void take_bytes(struct server *s, struct input *in, struct ifab_view bytes)
{
    while (bytes.size > 0) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.size);
        size_t size = end == NULL ? bytes.size : (size_t)(end - bytes.data);
        if (!in->skipping && in->line.size + size > MCP_LINE_MAX) {
            in->skipping = true;
            put_error(s, (struct ifab_view){NULL, 0}, MCP_INVALID_REQUEST, "a line has at most 1048576 bytes");
        }
        if (!in->skipping)
            ifab_buf_put(&in->line, bytes.data, size);
        if (end != NULL) {
            if (!in->skipping)
                take_line(s, ifab_buf_as_view(&in->line));
            ifab_buf_clear(&in->line);
            in->skipping = false;
            size++;
        }
        bytes = ifab_view_of(bytes.data + size, bytes.size - size);
    }
}

static bool is_broken(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    bool broken = s->broken;
    pthread_mutex_unlock(&s->lock);
    return broken;
}

/* Until stdin ends or nobody reads stdout any more. 0, or an exit code. */
static int serve(struct server *s)
{
    struct input in = {IFAB_BUF_INIT(MCP_LINE_MAX), false};
    static uint8_t bytes[65536];
    int code = 0;
    for (;;) {
        struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = s->out}};
        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            code = cli_stop(s->cli, EXIT_SYSTEM, NULL, "poll: %s", strerror(errno));
            break;
        }
        if ((p[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 || is_broken(s))
            break;
        if (p[0].revents == 0)
            continue;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n > 0) {
            take_bytes(s, &in, ifab_view_of(bytes, (size_t)n));
        } else if (n == 0) {
            if (in.line.size > 0 || in.skipping) /* a truncated message is none, whatever it looks like */
                put_error(s, (struct ifab_view){NULL, 0}, MCP_PARSE_ERROR, "stdin ended within a line");
            break;
        } else if (errno != EINTR && errno != EAGAIN) {
            code = cli_stop(s->cli, EXIT_SYSTEM, NULL, "stdin: %s", strerror(errno));
            break;
        }
    }
    ifab_buf_fini(&in.line);
    return code;
}

static void finish(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < JOBS_MAX; i++) {
        job_clear(&s->jobs[i]);
        ifab_client_close(s->jobs[i].cli.client);
    }
    for (size_t i = 0; i < MCP_LISTENS_MAX; i++) {
        IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf line = IFAB_BUF_INIT(65536);
        if (s->listens[i].size > 0) {
            mcp_put_listen_end(&line, ifab_buf_as_view(&s->listens[i]), IFCTL_VERSION);
            put_line(s, &line);
        }
        ifab_buf_fini(&s->listens[i]);
    }
    ifab_free(s->jobs);
}

static bool is_stdin(const char *text)
{
    return text != NULL && (strcmp(text, "-") == 0 || strcmp(text, "/dev/stdin") == 0 || strcmp(text, "@-") == 0);
}

static int check(const struct cli *cli)
{
    static const char *const files[] = {"key", "ca", "cert", "cert-key"};
    const char *fd = cli_get(cli, "passphrase-fd"), *token = cli_get(cli, "token-file");
    if (!cli->as_named)
        return cli_usage(cli, "say whom it speaks for: --as NAME");
    if (token == NULL)
        token = getenv("IFAB_TOKEN_FILE");
    if (token == NULL || *token == '\0')
        token = cli->token_file;
    bool taken = is_stdin(token) || is_stdin(cli->key) || (fd != NULL && strtol(fd, NULL, 10) == STDIN_FILENO);
    for (size_t i = 0; i < IFAB_COUNT(files); i++)
        taken = taken || is_stdin(cli_get(cli, files[i]));
    if (taken)
        return cli_usage(cli, "stdin carries the protocol: give key, token and passphrase another way");
    return 0;
}

int cmd_mcp(struct cli *cli)
{
    struct server s = {
        .cli = cli, .lock = PTHREAD_MUTEX_INITIALIZER, .writing = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER};
    int code = check(cli);
    cli_keep_private();
    if (code == 0)
        code = cli_identity(cli);
    if (code != 0)
        return code;
    s.jobs = ifab_calloc(JOBS_MAX, sizeof *s.jobs);
    s.out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (s.jobs == NULL || s.out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        ifab_free(s.jobs);
        return cli_stop(cli, EXIT_SYSTEM, NULL, "stdout: %s", strerror(errno));
    }
    s.state.offers = true;
    cli_say(cli, "MCP " MCP_MODERN " and " MCP_LEGACY " on stdin and stdout, as if://agent/%s at %s", cli->as, cli->endpoint);
    cli->quiet = true; /* calls run side by side: their talk would mix */
    code = serve(&s);
    finish(&s);
    close(s.out);
    return code;
}
