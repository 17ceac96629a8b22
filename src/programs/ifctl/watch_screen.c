/*
 * The approver's view on a terminal: what waits above, what the chosen message says below. A vote leaves this screen and goes the way of
 * `decision approve`: the message is fetched again, verified and shown whole, and only then asked about.
 *
 * 1. Whatever came from the fabric passes cli_put_text(); every line is cut to the screen, and the terminal does not wrap.
 * 2. The terminal is put back on every way out: q, the end of stdin, each signal that ends (terminal.c), a stop (Ctrl-Z), a vote.
 * 3. Keys typed before a question stood there do not answer it.
 */
#include "call.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 5000  /* also without any event */
#define AWAY_MS 1000  /* while nobody answers, or no events are to be had */
#define REST_MS 100   /* between two looks, and as much again for each 1,000 that wait */
#define LABEL 13      /* columns before a value */
#define OWN_SCREEN "\033[?1049h\033[?25l\033[?7l" /* a screen of its own, no cursor, no wrapping */
#define OWN_SCREEN_END "\033[0m\033[?7h\033[?25h\033[?1049l"

struct screen {
    struct cli *cli;
    struct watch_list list;
    const struct watch_item **order; /* of the list as it is drawn */
    struct watch_events events;
    struct ifab_arena arena;         /* of detail */
    const struct ifab_json *detail;  /* of the chosen one; NULL: none to be had */
    struct ifab_view reason, rule;   /* of the entry that made it wait */
    struct plan_checked plan;        /* that it asks for; in arena too */
    bool asks, planned;              /* for a plan; plan is it */
    int64_t detail_index;
    uint64_t detail_print;
    int64_t chosen;                  /* index of the item the cursor is on; -1: none */
    size_t at, top, rows, columns;
    char typed[64];                  /* of which a sequence may not be whole */
    size_t typed_count;
    bool by_topic, away, same, verified, colour, raw;
    int64_t looked, due;             /* ms; due 0: nothing rang */
    struct termios cooked;
    sigset_t signals, before;
    int signal_fd;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the terminal ---- */

static void say_raw(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

static void enter(struct screen *s)
{
    struct termios raw = s->cooked;
    raw.c_lflag &= ~((tcflag_t)ICANON | (tcflag_t)ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    cli_terminal_keep(&s->cooked, OWN_SCREEN_END);
    s->raw = tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
    s->typed_count = 0;
    say_raw(OWN_SCREEN);
}

static void leave(struct screen *s)
{
    if (!s->raw)
        return;
    say_raw(OWN_SCREEN_END);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->cooked);
    cli_terminal_kept();
    s->raw = false;
}

static void measure(struct screen *s)
{
    struct winsize size = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    s->rows = size.ws_row < 4 ? (size.ws_row == 0 ? 24 : 4) : size.ws_row > 300 ? 300 : size.ws_row;
    s->columns = size.ws_col < 30 ? (size.ws_col == 0 ? 80 : 30) : size.ws_col > 1000 ? 1000 : size.ws_col;
}

/* ---- what waits ---- */

/* The cursor stays on its message, else where it was. */
static void arrange(struct screen *s)
{
    if (s->by_topic)
        watch_list_by_topic(&s->list, s->order);
    for (size_t i = 0; i < s->list.count && !s->by_topic; i++)
        s->order[i] = &s->list.items[i];
    for (size_t i = 0; i < s->list.count; i++)
        if (s->order[i]->index == s->chosen) {
            s->at = i;
            return;
        }
    if (s->at >= s->list.count)
        s->at = s->list.count == 0 ? 0 : s->list.count - 1;
    s->chosen = s->list.count == 0 ? -1 : s->order[s->at]->index;
}

static const struct watch_item *chosen(const struct screen *s)
{
    return s->chosen < 0 ? NULL : s->order[s->at];
}

static void load_detail(struct screen *s)
{
    const struct watch_item *item = chosen(s);
    uint8_t digest32[32];
    if (item == NULL || (s->detail != NULL && s->detail_index == item->index && s->detail_print == item->print))
        return;
    ifab_arena_reset(&s->arena);
    s->reason = s->rule = IFAB_VIEW(""); /* they lay in it */
    s->detail = NULL;
    s->verified = s->asks = s->planned = false;
    if (watch_get(s->cli, item, &s->arena, &s->detail, &s->same) != 0)
        s->detail = NULL;
    s->detail_index = item->index;
    s->detail_print = item->print;
    if (s->detail != NULL && s->same) {
        s->verified = cli_message_check(s->cli, s->detail, true, &s->arena, digest32) == 0;
        s->asks = cli_plan_asked(ifab_json_get(s->detail, "envelope")).size > 0;
        s->planned = s->asks && cli_plan_check(s->cli, s->detail, true, &s->arena, &s->plan) == 0;
        cli_why_it_waits(s->cli, item->index, ifab_view_str(item->digest), &s->arena, &s->reason, &s->rule);
    }
}

static int look(struct screen *s)
{
    struct watch_list now;
    bool there;
    watch_events_drain(&s->events);
    int code = s->away ? cli_check_log(s->cli, true, &there) : 0;
    if (code == 0)
        code = watch_list_load(s->cli, &now);
    s->looked = now_ms();
    s->due = 0;
    s->away = code == EXIT_NO_ANSWER;
    if (code != 0)
        return s->away ? 0 : code;
    const struct watch_item **order = ifab_malloc((now.count + 1) * sizeof(const struct watch_item *));
    if (order == NULL) {
        watch_list_free(&now);
        return cli_fail(s->cli, IFAB_NOMEM);
    }
    watch_list_free(&s->list);
    ifab_free(s->order);
    s->list = now;
    s->order = order;
    arrange(s);
    load_detail(s);
    return 0;
}

/* ---- drawing ---- */

static void go_to(FILE *f, size_t row)
{
    fprintf(f, "\033[%zu;1H\033[K", row);
}

static void put_cut(FILE *f, struct ifab_view text, size_t width)
{
    bool whole = cli_text_width(text) <= width;
    cli_put_text(f, whole ? text : cli_text_fit(text, width - 1));
    if (!whole)
        fputs("…", f);
}

__attribute__((format(printf, 4, 5))) static void put_line(const struct screen *s, FILE *f, size_t row, const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    go_to(f, row);
    put_cut(f, ifab_view_str(text), s->columns);
}

static void put_item(const struct screen *s, FILE *f, size_t row, size_t i)
{
    const struct watch_item *item = s->order[i];
    bool here = i == s->at;
    fputs(here && s->colour ? "\033[7m" : "", f);
    char votes[24] = "", topic[24];
    if (strcmp(item->decision, "ESCALATE") == 0) /* what is held is asked no votes for */
        snprintf(votes, sizeof votes, "%lld/%lld", (long long)item->votes_given, (long long)item->votes_needed);
    snprintf(topic, sizeof topic, "%.8s %zu", strncmp(item->topic, "sha256:", 7) == 0 ? item->topic + 7 : item->topic, item->topic_count);
    put_line(s, f, row, "%s %-8s  %-5s  %.16sZ  %-14s  %s", here ? ">" : " ", item->decision, votes, item->until, topic, item->sender);
    fputs(here && s->colour ? "\033[0m" : "", f);
}

/* Label and text over as many rows as it needs; false: cut, for want of rows. */
static bool put_field(const struct screen *s, FILE *f, size_t *row, const char *label, struct ifab_view text)
{
    size_t width = s->columns - LABEL - 1;
    do {
        struct ifab_view part = cli_text_fit(text, width);
        if (*row >= s->rows)
            return false;
        go_to(f, (*row)++);
        fprintf(f, "%-*s", LABEL, label);
        cli_put_text(f, part);
        label = "";
        text = ifab_view_of(text.data + part.size, text.size - part.size);
    } while (text.size > 0);
    return true;
}

/* "carol approve, dave -": who may vote, and what they said. */
static bool put_voters(const struct screen *s, FILE *f, size_t *row)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf names = IFAB_BUF_INIT(65536);
    const struct ifab_json *voters = ifab_json_get(s->detail, "voters");
    struct ifab_view name, vote;
    for (size_t i = 0; voters != NULL && voters->type == IFAB_JSON_ARRAY && i < voters->u.array.count; i++) {
        if (!ifab_json_string(ifab_json_get(&voters->u.array.items[i], "name"), &name))
            continue;
        if (!ifab_json_string(ifab_json_get(&voters->u.array.items[i], "vote"), &vote))
            vote = IFAB_VIEW("-");
        ifab_buf_str(&names, names.size > 0 ? ", " : "");
        ifab_buf_view(&names, name);
        ifab_buf_char(&names, ' ');
        ifab_buf_view(&names, vote);
    }
    return names.size == 0 || put_field(s, f, row, "voters", ifab_buf_as_view(&names));
}

struct fields { /* as many as there are rows for */
    const struct screen *screen;
    FILE *f;
    size_t row;
    bool whole;
};

static void put_row(void *user, const char *label, struct ifab_view text)
{
    struct fields *to = user;
    to->whole = to->whole && put_field(to->screen, to->f, &to->row, label, text);
}

static bool put_plan(const struct screen *s, FILE *f, size_t *row, struct ifab_arena *arena)
{
    struct fields to = {s, f, *row, true};
    if (s->planned)
        cli_plan_rows(&s->plan, arena, put_row, &to);
    else if (s->asks)
        put_row(&to, "plan", ifab_view_str(cli_plan_unfit));
    *row = to.row;
    return to.whole;
}

static void put_detail(struct screen *s, FILE *f, size_t row)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct watch_item *item = chosen(s);
    const struct ifab_json *envelope = s->detail == NULL || !s->same ? NULL : ifab_json_get(s->detail, "envelope");
    const char *checked = s->detail == NULL ? "cannot be had: it may be decided by now"
                          : !s->same        ? "another message with this id waits before it: decide that one first"
                          : s->verified     ? "verified: a key enrolled for this sender, digest computed here"
                                            : "NOT VERIFIED: do not approve";
    ifab_arena_init(&arena, 8 << 20);
    char why[512] = "";
    if (s->detail != NULL && s->reason.size > 0)
        cli_path(why, sizeof why, IFAB_FMT " (rule " IFAB_FMT ")", IFAB_ARG(s->reason), IFAB_ARG(s->rule));
    struct ifab_view text = ifab_view_str(why);
    bool whole = put_field(s, f, &row, "message", ifab_view_str(item->id)) && put_field(s, f, &row, "signature", ifab_view_str(checked)) &&
                 (text.size == 0 || put_field(s, f, &row, "waits for", text));
    for (size_t i = 0; whole && envelope != NULL && i < cli_shown_count; i++)
        if (cli_shown_text(&cli_shown[i], envelope, &arena, &text))
            whole = put_field(s, f, &row, cli_shown[i].label, text);
    whole = whole && put_plan(s, f, &row, &arena);
    whole = whole && put_field(s, f, &row, "digest", ifab_view_str(item->digest)) && (s->detail == NULL || put_voters(s, f, &row));
    if (!whole)
        put_line(s, f, s->rows - 1, "… a vote shows all of it first; or: ifctl decision show %s", item->id);
}

/* Lines of the list, by which the cursor's is one. */
static size_t list_rows(struct screen *s)
{
    size_t most = s->rows < 10 ? (s->rows < 6 ? 1 : s->rows - 4) : s->rows / 4, lines = s->list.count < most ? s->list.count : most;
    if (s->at < s->top)
        s->top = s->at;
    if (s->at >= s->top + lines)
        s->top = s->at + 1 - lines;
    if (s->top + lines > s->list.count)
        s->top = s->list.count - lines;
    return lines;
}

static void draw(struct screen *s)
{
    char *frame = NULL;
    size_t size = 0, escalated = 0;
    FILE *f = open_memstream(&frame, &size);
    if (f == NULL)
        return;
    measure(s);
    for (size_t i = 0; i < s->list.count; i++)
        escalated += strcmp(s->list.items[i].decision, "ESCALATE") == 0;
    fputs("\033[2J", f);
    put_line(s, f, 1, "%sescalated %zu  held %zu%s  as %s  %s", s->away ? "THE DAEMON DOES NOT ANSWER  " : "", escalated,
             s->list.count - escalated, s->by_topic ? "  by topic" : "", s->cli->as, s->cli->origin);
    put_line(s, f, 2, "%s", s->list.count == 0 ? "  nothing waits" : "  STATE     VOTES  UNTIL              TOPIC  COUNT    SENDER");
    size_t lines = list_rows(s);
    for (size_t i = 0; i < lines; i++)
        put_item(s, f, 3 + i, s->top + i);
    if (s->chosen >= 0 && s->rows >= 10)
        put_detail(s, f, 4 + lines);
    put_line(s, f, s->rows, "k/j  a approve  r refuse  s scope-ok  t topics  n/p topic  q quit");
    fclose(f);
    fwrite(frame, 1, size, stdout);
    fflush(stdout);
    free(frame); /* NOLINT: of open_memstream */
}

/* ---- keys ---- */

static void move(struct screen *s, long by)
{
    long at = (long)s->at + by, last = (long)s->list.count - 1;
    if (s->list.count == 0)
        return;
    s->at = at < 0 ? 0 : at > last ? (size_t)last : (size_t)at;
    s->chosen = s->order[s->at]->index;
    load_detail(s);
}

/* As `decision VERDICT ID` on a terminal: why, fetch, verify, show, ask, sign. Ctrl-C ends it all; the terminal is in order. */
static void vote(struct screen *s, const char *name)
{
    const struct cli_command *mine = s->cli->command;
    const struct watch_item *item = chosen(s);
    char line[8];
    if (item == NULL)
        return;
    struct watch_item kept = *item;
    leave(s);
    (void)sigprocmask(SIG_SETMASK, &s->before, NULL);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].name, name) == 0)
            s->cli->command = &cli_commands[i];
    s->cli->words[0] = kept.id;
    s->cli->word_count = 1;
    s->cli->why[0] = '\0';
    if (cli_ask_why(s->cli) == 0)
        (void)cli_vote(s->cli, strchr(name, ' ') + 1, kept.digest);
    fflush(stdout);
    (void)cli_prompt("Enter goes back to the list. ", false, line, sizeof line);
    s->cli->word_count = 0;
    s->cli->command = mine;
    (void)sigprocmask(SIG_BLOCK, &s->signals, NULL);
    enter(s);
    s->detail = NULL;
    s->due = 1;
}

/* To the first message of the next topic, or of this or the last one. */
static void move_topic(struct screen *s, bool down)
{
    size_t at = s->at;
    if (!s->by_topic || s->list.count == 0)
        return;
    if (down) {
        while (at + 1 < s->list.count && strcmp(s->order[at]->topic, s->order[s->at]->topic) == 0)
            at++;
    } else {
        at -= at > 0; /* on the first of a topic this is the topic before */
        while (at > 0 && strcmp(s->order[at - 1]->topic, s->order[at]->topic) == 0)
            at--;
    }
    move(s, (long)at - (long)s->at);
}

static bool on_key(struct screen *s, enum watch_key key)
{
    switch (key) {
    case WATCH_NONE: break;
    case WATCH_UP: move(s, -1); break;
    case WATCH_DOWN: move(s, 1); break;
    case WATCH_PAGE_UP: move(s, -10); break;
    case WATCH_PAGE_DOWN: move(s, 10); break;
    case WATCH_NEXT_TOPIC: move_topic(s, true); break;
    case WATCH_LAST_TOPIC: move_topic(s, false); break;
    case WATCH_BY_TOPIC:
        s->by_topic = !s->by_topic;
        arrange(s);
        break;
    case WATCH_APPROVE: vote(s, "decision approve"); break;
    case WATCH_REFUSE: vote(s, "decision refuse"); break;
    case WATCH_SCOPE_OK: vote(s, "decision scope-ok"); break;
    case WATCH_QUIT: return false;
    }
    return true;
}

/* false: the end. What was typed behind a key that votes is dropped: enter() forgets it. */
static bool on_keys(struct screen *s)
{
    ssize_t n = read(STDIN_FILENO, s->typed + s->typed_count, sizeof s->typed - s->typed_count);
    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    s->typed_count += (size_t)n;
    while (s->typed_count > 0) {
        size_t used;
        enum watch_key key = watch_key_next(ifab_view_of(s->typed, s->typed_count), &used);
        if (used == 0)
            break; /* less than WATCH_SEQUENCE_MAX bytes: there is room for the rest */
        s->typed_count -= used;
        memmove(s->typed, s->typed + used, s->typed_count);
        if (!on_key(s, key))
            return false;
    }
    return true;
}

static void on_signal(struct screen *s)
{
    struct signalfd_siginfo info;
    if (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info && info.ssi_signo == SIGTSTP) {
        leave(s);
        (void)raise(SIGSTOP);
        enter(s);
    } /* any other: drawn anew */
}

static int wait_ms(const struct screen *s)
{
    int64_t rest = REST_MS + (int64_t)s->list.count / 10, most = s->away || s->events.fd < 0 ? AWAY_MS : LOOK_MS;
    int64_t left = s->looked + (s->due != 0 ? rest : most) - now_ms();
    return left < 0 ? 0 : (int)left;
}

static int watch(struct screen *s)
{
    int code = look(s);
    while (code == 0) {
        draw(s);
        struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = s->signal_fd, .events = POLLIN},
                                 {.fd = s->due != 0 ? -1 : s->events.fd, .events = POLLIN}};
        int left = wait_ms(s);
        (void)poll(ready, 3, left);
        if (ready[1].revents != 0)
            on_signal(s);
        if (ready[0].revents != 0 && !on_keys(s))
            break;
        s->due |= ready[2].revents != 0;
        if (wait_ms(s) == 0)
            code = look(s);
    }
    return code;
}

int watch_screen(struct cli *cli)
{
    static const int caught[] = {SIGWINCH, SIGTSTP, SIGCONT};
    struct screen s = {.cli = cli, .chosen = -1};
    const char *no = getenv("NO_COLOR");
    s.colour = no == NULL || *no == '\0';
    if (tcgetattr(STDIN_FILENO, &s.cooked) != 0)
        return cli_stop(cli, EXIT_SYSTEM, NULL, "the terminal cannot be set up");
    watch_events_start(cli, &s.events);
    ifab_arena_init(&s.arena, 64 << 20);
    sigemptyset(&s.signals);
    for (size_t i = 0; i < IFAB_COUNT(caught); i++)
        sigaddset(&s.signals, caught[i]);
    (void)sigprocmask(SIG_BLOCK, &s.signals, &s.before);
    s.signal_fd = signalfd(-1, &s.signals, SFD_CLOEXEC | SFD_NONBLOCK);
    enter(&s);
    int code = s.signal_fd < 0 ? EXIT_SYSTEM : watch(&s);
    leave(&s);
    watch_events_stop(&s.events);
    watch_list_free(&s.list);
    ifab_free(s.order);
    ifab_arena_fini(&s.arena);
    if (s.signal_fd >= 0)
        close(s.signal_fd);
    (void)sigprocmask(SIG_SETMASK, &s.before, NULL);
    return code == 0 ? 0 : watch_list_refused(cli);
}
