/*
 * decision watch: on a terminal the approver's view (watch_screen.c), elsewhere a stream: one row when something begins to wait, when it
 * changes, and when it is decided. The stream compares lists, so it needs no memory of the log and survives restarts of the daemon.
 */
#include "cli.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ROW_COLUMNS                                                                                                             \
    "EVENT:event|DECISION:decision|ID:id|SENDER:sender|VERIFIED:verified|DIGEST:message_digest|HAZARDS:envelope.content.hazards|" \
    "SCOPE:envelope.content.scope|CLAIM:envelope.content.claim"
#define LOOK_MS 5000   /* without any event: deadlines, and what an event was lost of */
#define CLOCK_MS 2000  /* when there are no events to be had */
#define REST_MS 100    /* between two looks, and as much again for each 1,000 that wait */

/* {"event":…,"verified":…, and all the daemon says of it}. */
static int put_row(struct cli *cli, const char *event, const struct watch_item *item)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf row = IFAB_BUF_INIT((size_t)4 << 20);
    const struct ifab_json *tree;
    struct ifab_view state;
    uint8_t digest32[32];
    bool same;
    ifab_arena_init(&arena, 64 << 20);
    int code = watch_get(cli, item, &arena, &tree, &same);
    if (code == EXIT_NO_ANSWER)
        return code;
    bool decided = same && ifab_json_string(ifab_json_get(tree, "state"), &state) && ifab_view_is(state, "decided");
    bool gone = strcmp(event, "decided") == 0;
    ifab_buf_str(&row, "{\"event\":");
    ifab_json_put_cstr(&row, event);
    if (!gone && !decided)
        ifab_buf_str(&row, same && cli_message_check(cli, tree, true, &arena, digest32) == 0 ? ",\"verified\":true" : ",\"verified\":false");
    if (same && decided == gone) {
        for (size_t i = 0; i < tree->u.object.count; i++) {
            ifab_buf_char(&row, ',');
            ifab_json_put_string(&row, tree->u.object.members[i].name);
            ifab_buf_char(&row, ':');
            ifab_json_write(&row, &tree->u.object.members[i].value);
        }
    } else { /* another message has this id, or it may not be read: what the list said */
        const char *const pairs[][2] = {{"id", item->id}, {"sender", item->sender}, {"message_digest", item->digest}, {"topic_hash", item->topic}};
        for (size_t i = 0; i < IFAB_COUNT(pairs); i++) {
            ifab_buf_char(&row, ',');
            ifab_json_put_cstr(&row, pairs[i][0]);
            ifab_buf_char(&row, ':');
            ifab_json_put_cstr(&row, pairs[i][1]);
        }
    }
    ifab_buf_char(&row, '}');
    if (ifab_buf_status(&row) != IFAB_OK)
        return cli_fail(cli, IFAB_NOMEM);
    code = cli_print(cli, ifab_buf_as_view(&row), ROW_COLUMNS);
    cli->goes_on = true;
    return code;
}

/* What was told: the new list up to n, the old one from o on. Told rows are not told again when the daemon went away in between. */
static int keep_told(struct cli *cli, struct watch_list *old, size_t o, const struct watch_list *new, size_t n)
{
    size_t left = old->count - o;
    struct watch_item *items = ifab_malloc((n + left + 1) * sizeof *items);
    if (items == NULL)
        return cli_fail(cli, IFAB_NOMEM);
    if (n > 0)
        memcpy(items, new->items, n * sizeof *items);
    if (left > 0)
        memcpy(items + n, old->items + o, left * sizeof *items);
    ifab_free(old->items);
    *old = (struct watch_list){items, n + left};
    return 0;
}

/* A row for what is in one of the two lists only, or otherwise in the new one. Afterwards list is what was told. */
static int put_changes(struct cli *cli, struct watch_list *list, const struct watch_list *new)
{
    size_t o = 0, n = 0;
    int code = 0;
    while (code == 0 && (o < list->count || n < new->count)) {
        const struct watch_item *was = o < list->count ? &list->items[o] : NULL, *is = n < new->count ? &new->items[n] : NULL;
        bool ended = is == NULL || (was != NULL && was->index < is->index), begun = !ended && (was == NULL || is->index < was->index);
        if (ended || begun || was->print != is->print)
            code = put_row(cli, ended ? "decided" : begun ? "waits" : "changed", ended ? was : is);
        if (code == 0) {
            o += !begun;
            n += !ended;
        }
    }
    int kept = keep_told(cli, list, o, new, n);
    return kept != 0 ? kept : code;
}

static int look(struct cli *cli, struct watch_list *list)
{
    struct watch_list now;
    int code = watch_list_load(cli, &now);
    if (code == 0) {
        code = put_changes(cli, list, &now);
        watch_list_free(&now);
    }
    return code;
}

static void rest(size_t waiting)
{
    nanosleep(&(struct timespec){.tv_sec = (long)(waiting / 10000), .tv_nsec = (REST_MS + (long)(waiting % 10000) / 10) * 1000000L}, NULL);
}

static int stream(struct cli *cli, struct watch_events *events)
{
    struct watch_list list = {.items = NULL};
    bool away = false, there;
    int code = 0;
    while (code == 0) {
        watch_events_drain(events); /* before the look: what comes during it rings again */
        if (away && (code = cli_check_log(cli, false, &there)) != 0)
            break;
        code = look(cli, &list);
        if (code == EXIT_NO_ANSWER && !away)
            cli_say(cli, "the daemon does not answer: waiting for it");
        away = code == EXIT_NO_ANSWER;
        if (code != 0 && !away) {
            code = watch_list_refused(cli);
            break;
        }
        code = 0;
        if (fflush(stdout) != 0)
            break; /* the reader has gone */
        rest(list.count);
        struct pollfd ready[] = {{.fd = events->fd, .events = POLLIN}, {.fd = STDOUT_FILENO}}; /* its end is news at once */
        (void)poll(ready, 2, away || events->fd < 0 ? CLOCK_MS : LOOK_MS);
        if ((ready[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
            break;
    }
    watch_list_free(&list);
    return code;
}

int cmd_decision_watch(struct cli *cli)
{
    struct watch_events events;
    const char *term = getenv("TERM");
    int code = cli_origin(cli); /* opens the connection; who does not answer at all is told at once */
    if (code != 0)
        return code;
    cli->retry = 0; /* it looks again by itself */
    bool screen = cli_get(cli, "output") == NULL && cli_terminal() && isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    if (screen)
        return watch_screen(cli);
    cli->rows = true;
    if (cli->format == CLI_JSON) /* a document has an end; this has none */
        cli->format = CLI_NDJSON;
    watch_events_start(cli, &events);
    code = stream(cli, &events);
    watch_events_stop(&events);
    return code;
}
