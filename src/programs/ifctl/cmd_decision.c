/* decision list|show|wait. Votes: cmd_vote.c; the live view: cmd_watch.c. */
#include "call.h"

#include <time.h>

#define SENDERS_MAX 16 /* named for a topic */
#define TOPIC_COLUMNS "TOPIC:topic_hash|WAITING:waiting|ESCALATED:escalated|HELD:held|SENDERS:senders|SINCE:since|UNTIL:expires_at"

#define LIST_COLUMNS "ID:id|STATE:state|DECISION:decision|SUBJECT:subject|SENDER:sender|VOTES:votes_given|NEEDED:votes_needed|UNTIL:expires_at"
#define DECISION_COLUMNS "ID:id|STATE:state|DECISION:decision|SENDER:sender|VOTES:votes_given|NEEDED:votes_needed|UNTIL:expires_at"

int cli_decision_exit(struct ifab_view decision)
{
    if (ifab_view_is(decision, "SHARE"))
        return 0;
    if (ifab_view_is(decision, "HOLD") || ifab_view_is(decision, "ESCALATE"))
        return EXIT_HELD;
    return EXIT_DENIED; /* DENY, and whatever else: nothing unknown is a yes */
}

int cli_decision_target(struct cli *cli, const char *id, const char *tail, struct ifab_buf *target)
{
    ifab_buf_init(target, 4096);
    ifab_buf_str(target, "/v1/decisions");
    cli_put_segment(target, id);
    ifab_buf_str(target, tail);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
}

/* {"topic_hash":…,"waiting":n,"escalated":n,"held":n,"senders":[…],"since":…,"expires_at":…,"ids":[…]} of [from, to) in the order by topic. */
static void put_topic(struct ifab_buf *b, const struct watch_item *const *order, size_t from, size_t to)
{
    size_t escalated = 0, senders = 0;
    const char *until = order[from]->until;
    ifab_buf_str(b, "{\"topic_hash\":");
    ifab_json_put_cstr(b, order[from]->topic);
    ifab_buf_str(b, ",\"ids\":[");
    for (size_t i = from; i < to; i++) {
        escalated += strcmp(order[i]->decision, "ESCALATE") == 0;
        until = strcmp(order[i]->until, until) < 0 ? order[i]->until : until; /* times of one form: in their order */
        ifab_buf_str(b, i > from ? "," : "");
        ifab_json_put_cstr(b, order[i]->id);
    }
    ifab_buf_str(b, "],\"senders\":[");
    for (size_t i = from; i < to && senders < SENDERS_MAX; i++) {
        bool known = false;
        for (size_t k = from; k < i && !known; k++)
            known = strcmp(order[i]->sender, order[k]->sender) == 0;
        if (known)
            continue;
        ifab_buf_str(b, senders++ > 0 ? "," : "");
        ifab_json_put_cstr(b, order[i]->sender);
    }
    ifab_buf_format(b, "],\"waiting\":%zu,\"escalated\":%zu,\"held\":%zu,\"since\":", to - from, escalated, to - from - escalated);
    ifab_json_put_cstr(b, order[from]->since);
    ifab_buf_str(b, ",\"expires_at\":");
    ifab_json_put_cstr(b, until);
    ifab_buf_char(b, '}');
}

/* A row for each topic, the one with most messages first: what belongs together is seen together, and decided one by one. */
static int list_topics(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf rows = IFAB_BUF_INIT((size_t)8 << 20);
    struct watch_list list;
    int code = cli_origin(cli);
    if (code != 0)
        return code;
    if (watch_list_load(cli, &list) != 0)
        return watch_list_refused(cli);
    const struct watch_item **order = ifab_malloc((list.count + 1) * sizeof(const struct watch_item *));
    if (order != NULL) {
        watch_list_by_topic(&list, order);
        ifab_buf_str(&rows, "{\"items\":[");
        for (size_t from = 0; from < list.count; from += order[from]->topic_count) {
            ifab_buf_str(&rows, from > 0 ? "," : "");
            put_topic(&rows, order, from, from + order[from]->topic_count);
        }
        ifab_buf_str(&rows, "],\"next\":null}");
    }
    code = order == NULL || ifab_buf_status(&rows) != IFAB_OK ? cli_fail(cli, IFAB_NOMEM) : cli_print(cli, ifab_buf_as_view(&rows), TOPIC_COLUMNS);
    ifab_free(order);
    watch_list_free(&list);
    return code;
}

int cmd_decision_list(struct cli *cli)
{
    if (cli_get(cli, "by-topic") != NULL) {
        if (cli_get(cli, "state") != NULL || cli_get(cli, "limit") != NULL || cli_get(cli, "cursor") != NULL)
            return cli_usage(cli, "--by-topic shows all that waits: without --state, --limit and --cursor");
        return list_topics(cli);
    }
    return cli_get_list(cli, "/v1/decisions", "state", LIST_COLUMNS);
}

void cli_claim_named(const struct ifab_json *content, bool *ret_claim_id, bool *ret_scope)
{
    const struct ifab_json *scope = ifab_json_get(content, "scope");
    struct ifab_view text;
    *ret_claim_id = ifab_json_string(ifab_json_get(content, "claim_id"), &text) && text.size > 0;
    *ret_scope = scope != NULL;
}

void cli_say_held(const struct cli *cli, const char *id, bool has_claim_id, bool has_scope)
{
    cli_say(cli, "held: it waits for a second source or a scope check.");
    if (has_claim_id && has_scope)
        cli_say(cli, "  second source: a talent of another owner sends the same --claim-id and --scope with inform or agree, is itself SHARE, "
                     "and names no evidence of the same domain or hash");
    else
        cli_say(cli, "  second source: none can release it, for it names no %s; or send it again with --claim-id ID --scope JSON",
                has_scope  ? "claim_id"
                : has_claim_id ? "scope"
                           : "claim_id and no scope");
    cli_say(cli, "  scope check: ifctl decision scope-ok %s --as NAME --why …", id);
    cli_say(cli, "  NAME has another owner than the sender and the grant: ifctl talent grant NAME --scope guard:scope --why …");
}

static void put_names(const struct ifab_json *voters, bool voted, struct ifab_buf *names)
{
    struct ifab_view name, vote;
    for (size_t i = 0; voters != NULL && voters->type == IFAB_JSON_ARRAY && i < voters->u.array.count; i++) {
        const struct ifab_json *one = &voters->u.array.items[i];
        if (!ifab_json_string(ifab_json_get(one, "name"), &name) || ifab_json_string(ifab_json_get(one, "vote"), &vote) != voted)
            continue;
        ifab_buf_str(names, names->size > 0 ? ", " : "");
        ifab_buf_view(names, name);
    }
}

/* Still open: what would decide it. */
void cli_say_waiting(const struct cli *cli, const char *id, const struct ifab_json *tree)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf names = IFAB_BUF_INIT(900);
    struct ifab_view state = {NULL, 0};
    int64_t given = 0, needed = 0;
    bool has_claim_id, has_scope;
    (void)ifab_json_string(ifab_json_get(tree, "state"), &state);
    if (ifab_view_is(state, "held")) {
        cli_claim_named(ifab_json_get(ifab_json_get(tree, "envelope"), "content"), &has_claim_id, &has_scope);
        cli_say_held(cli, id, has_claim_id, has_scope);
    } else if (ifab_view_is(state, "escalated")) {
        put_names(ifab_json_get(tree, "voters"), false, &names);
        (void)ifab_json_integer(ifab_json_get(tree, "votes_given"), &given);
        (void)ifab_json_integer(ifab_json_get(tree, "votes_needed"), &needed);
        cli_say(cli, "escalated: %lld of %lld approvals; may still vote: " IFAB_FMT, (long long)given, (long long)needed,
                names.size > 0 ? (int)names.size : 6, names.size > 0 ? (const char *)names.data : "nobody");
    }
}

void cli_why_it_waits(struct cli *cli, int64_t index, struct ifab_view digest, struct ifab_arena *arena, struct ifab_view *ret_reason,
                      struct ifab_view *ret_rule)
{
    char target[64];
    const struct ifab_json *tree;
    struct ifab_view of;
    cli_path(target, sizeof target, "/v1/witness/entries/%lld", (long long)index);
    if (cli_get_quietly(cli, target, arena, &tree) != 0)
        return;
    const struct ifab_json *payload = ifab_json_get(tree, "payload");
    if (!ifab_json_string(ifab_json_get(payload, "message_digest"), &of) || !ifab_view_equal(of, digest))
        return;
    (void)ifab_json_string(ifab_json_get(payload, "reason"), ret_reason);
    (void)ifab_json_string(ifab_json_get(payload, "rule"), ret_rule);
}

static void say_why(struct cli *cli, const struct ifab_json *tree, struct ifab_arena *arena)
{
    struct ifab_view state, digest, reason = {NULL, 0}, rule = {NULL, 0};
    int64_t index;
    if (cli->quiet || !ifab_json_string(ifab_json_get(tree, "state"), &state) || ifab_view_is(state, "decided") ||
        !ifab_json_string(ifab_json_get(tree, "message_digest"), &digest) ||
        !ifab_json_integer(ifab_json_get(ifab_json_get(tree, "entry"), "index"), &index))
        return;
    cli_why_it_waits(cli, index, digest, arena, &reason, &rule);
    if (reason.size > 0)
        cli_say(cli, "it waits for: " IFAB_FMT " (rule " IFAB_FMT ")", IFAB_ARG(reason), IFAB_ARG(rule));
}

int cmd_decision_show(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 64 << 20);
    int code = cli_decision_target(cli, cli->words[0], "", &target);
    if (code == 0)
        code = cli_get_json(cli, (const char *)target.data, &arena, &tree);
    if (code == 0) {
        cli_print_tree(cli, tree, DECISION_COLUMNS "|CLAIM ID:envelope.content.claim_id|SCOPE:envelope.content.scope");
        cli_show_plan(cli, tree, &arena);
        say_why(cli, tree, &arena);
        cli_say_waiting(cli, cli->words[0], tree);
    }
    ifab_buf_fini(&target);
    return code;
}

/* One look, waiting at most wait_ms at the daemon. *ret_exit by the decision as it stands, *ret_done when it is decided. */
static int look(struct cli *cli, const char *id, int64_t wait_ms, enum cli_wait_print print, int *ret_exit, bool *ret_done)
{
    struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree;
    struct ifab_view state = {NULL, 0}, decision = {NULL, 0};
    char tail[64] = "";
    ifab_arena_init(&arena, 64 << 20);
    if (wait_ms > 0)
        cli_path(tail, sizeof tail, "?wait_ms=%lld", (long long)wait_ms);
    int code = cli_decision_target(cli, id, tail, &target);
    if (code == 0)
        code = cli_get_json(cli, (const char *)target.data, &arena, &tree);
    if (code == 0 && !ifab_view_is(ifab_json_text(tree, "id"), id))
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the fabric's answer is about another message than %s, so how that is decided is unknown", id);
    if (code == 0) {
        (void)ifab_json_string(ifab_json_get(tree, "state"), &state);
        (void)ifab_json_string(ifab_json_get(tree, "decision"), &decision);
        *ret_done = ifab_view_is(state, "decided");
        *ret_exit = *ret_done ? cli_decision_exit(decision) : EXIT_HELD;
        if ((*ret_done && print != CLI_WAIT_SILENT) || (print == CLI_WAIT_ALWAYS && wait_ms == 0))
            cli_print_tree(cli, tree, DECISION_COLUMNS);
    }
    ifab_buf_fini(&target);
    ifab_arena_fini(&arena);
    return code;
}

static int64_t run_usec(void) /* a clock that nobody sets */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * IFAB_SECOND + t.tv_nsec / 1000;
}

int cli_decision_wait(struct cli *cli, const char *id, int64_t wait_usec, enum cli_wait_print print)
{
    int64_t end = run_usec() + wait_usec;
    int exit_code = EXIT_HELD;
    bool done = false;
    for (int64_t left = wait_usec; !done;) {
        int64_t ms = left / 1000 > 30000 ? 30000 : left / 1000;
        if (cli->client != NULL)
            ifab_client_set_timeout(cli->client, (ms + 10000) * 1000);
        int code = look(cli, id, ms > 0 ? ms : 0, print, &exit_code, &done);
        if (code != 0)
            return code;
        if (ms <= 0)
            break;
        left = end - run_usec();
    }
    return exit_code;
}

int cmd_decision_wait(struct cli *cli)
{
    const char *wait = cli_get(cli, "wait");
    int64_t usec = 24 * IFAB_HOUR;
    if (wait != NULL && !cli_duration(wait, &usec))
        return cli_usage(cli, "--wait is a time such as 5min, not \"%s\"", wait);
    cli->timeout_usec = 40 * IFAB_SECOND;
    return cli_decision_wait(cli, cli->words[0], usec, CLI_WAIT_ALWAYS);
}
