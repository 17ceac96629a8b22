/*
 * decision list|show|wait|approve|refuse|scope-ok. Before a vote is signed, the envelope is read here, its signature checked under the key
 * that is enrolled for its sender, and its digest computed: what a person sees is what the vote binds.
 */
#include "cli.h"

#include <time.h>

#include "base/id.h"

#define DECISION_COLUMNS "ID:id|STATE:state|DECISION:decision|SENDER:sender|VOTES:votes_given|NEEDED:votes_needed|UNTIL:expires_at"
#define VOTED_COLUMNS "STATE:state|DECISION:decision|ENTRY:entry.index"

int cli_decision_exit(struct ifab_view decision)
{
    if (ifab_view_is(decision, "SHARE"))
        return 0;
    if (ifab_view_is(decision, "HOLD") || ifab_view_is(decision, "ESCALATE"))
        return EXIT_HELD;
    return EXIT_DENIED; /* DENY, and whatever else: nothing unknown is a yes */
}

static int target_of(struct cli *cli, const char *id, const char *tail, struct ifab_buf *target)
{
    ifab_buf_init(target, 4096);
    ifab_buf_str(target, "/v1/decisions");
    cli_put_segment(target, id);
    ifab_buf_str(target, tail);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
}

int cmd_decision_list(struct cli *cli)
{
    return cli_get_list(cli, "/v1/decisions", "state", DECISION_COLUMNS);
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
static void say_waiting(const struct cli *cli, const char *id, const struct ifab_json *tree)
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

int cmd_decision_show(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 64 << 20);
    int code = target_of(cli, cli->words[0], "", &target);
    if (code == 0)
        code = cli_get_json(cli, (const char *)target.data, &arena, &tree);
    if (code == 0) {
        cli_print_tree(cli, tree, DECISION_COLUMNS "|CLAIM ID:envelope.content.claim_id|SCOPE:envelope.content.scope");
        say_waiting(cli, cli->words[0], tree);
    }
    ifab_buf_fini(&target);
    return code;
}

/* One look, waiting at most wait_ms at the daemon. *ret_exit by the decision as it stands, *ret_done when it is decided. */
static int look(struct cli *cli, const char *id, int64_t wait_ms, bool print_open, int *ret_exit, bool *ret_done)
{
    struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree;
    struct ifab_view state = {NULL, 0}, decision = {NULL, 0};
    char tail[64] = "";
    ifab_arena_init(&arena, 64 << 20);
    if (wait_ms > 0)
        cli_path(tail, sizeof tail, "?wait_ms=%lld", (long long)wait_ms);
    int code = target_of(cli, id, tail, &target);
    if (code == 0)
        code = cli_get_json(cli, (const char *)target.data, &arena, &tree);
    if (code == 0) {
        (void)ifab_json_string(ifab_json_get(tree, "state"), &state);
        (void)ifab_json_string(ifab_json_get(tree, "decision"), &decision);
        *ret_done = ifab_view_is(state, "decided");
        *ret_exit = *ret_done ? cli_decision_exit(decision) : EXIT_HELD;
        if (*ret_done || (print_open && wait_ms == 0))
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

int cli_decision_wait(struct cli *cli, const char *id, int64_t wait_usec, bool print_open)
{
    int64_t end = run_usec() + wait_usec;
    int exit_code = EXIT_HELD;
    bool done = false;
    for (int64_t left = wait_usec; !done;) {
        int64_t ms = left / 1000 > 30000 ? 30000 : left / 1000;
        if (cli->client != NULL)
            ifab_client_set_timeout(cli->client, (ms + 10000) * 1000);
        int code = look(cli, id, ms > 0 ? ms : 0, print_open, &exit_code, &done);
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
    return cli_decision_wait(cli, cli->words[0], usec, true);
}

static void show(const char *label, struct ifab_view text)
{
    fprintf(stderr, "  %-11s ", label);
    cli_put_text(stderr, text);
    fputc('\n', stderr);
}

/* Sender, scope, hazards and claim as they will be voted on; every text escaped. */
static void show_message(const struct ifab_json *envelope, struct ifab_arena *arena)
{
    static const struct {
        const char *label, *path;
    } rows[] = {{"sender", "sender"},      {"receiver", "receiver"},          {"says", "performative"},
                {"scope", "content.scope"}, {"hazards", "content.hazards"},    {"confidence", "content.confidence.normalized"},
                {"claim", "content.claim"}, {"evidence", "content.evidence"}, {"data", "content.data"}};
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        show(rows[i].label, cli_path_text(envelope, rows[i].path, strlen(rows[i].path), arena));
}

/* Is this key enrolled for the sender and not revoked? The one inside the envelope proves nothing (INV-02). */
static int check_enrolled(struct cli *cli, struct ifab_view sender, const uint8_t pubkey32[32], struct ifab_arena *arena)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct ifab_view name, instance, key;
    const struct ifab_json *tree;
    char text[44], name_text[65];
    if (ifab_sender_parse(sender, &name, &instance) != IFAB_OK || !cli_path(name_text, sizeof name_text, IFAB_FMT, IFAB_ARG(name)))
        return cli_refuse(cli, IFAB_CODE_INVALID_ENVELOPE, "the message names no sender");
    ifab_buf_str(&target, "/v1/talents");
    cli_put_segment(&target, name_text);
    ifab_buf_char(&target, '\0');
    int code = ifab_buf_status(&target) == IFAB_OK ? cli_get_json(cli, (const char *)target.data, arena, &tree) : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&target);
    if (code != 0)
        return code;
    const struct ifab_json *keys = ifab_json_get(tree, "keys");
    if (keys == NULL)
        keys = ifab_json_get(ifab_json_get(tree, "talent"), "keys");
    ifab_public_text(pubkey32, text);
    for (size_t i = 0; keys != NULL && keys->type == IFAB_JSON_ARRAY && i < keys->u.array.count; i++)
        if (ifab_json_string(ifab_json_get(&keys->u.array.items[i], "pubkey"), &key) && ifab_view_is(key, text))
            return 0;
    return cli_refuse(cli, IFAB_CODE_INVALID_SIGNATURE, "the message is signed by a key that is not enrolled for %s: nothing was signed",
                      name_text);
}

/* The envelope as the decision shows it: read, verified, digest computed here and compared with the one to be voted on. */
static int check_message(struct cli *cli, const struct ifab_json *tree, struct ifab_arena *arena, uint8_t ret_digest32[32])
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf canonical = IFAB_BUF_INIT(4 << 20);
    const struct ifab_json *envelope = ifab_json_get(tree, "envelope");
    struct ifab_message message = {0};
    struct ifab_view claimed, sender = {NULL, 0};
    char hex[72] = "sha256:";
    if (envelope == NULL || envelope->type != IFAB_JSON_OBJECT)
        return cli_refuse(cli, IFAB_CODE_NOT_FOUND, "the message itself is not kept: it cannot be checked, so nothing was signed");
    ifab_json_write(&canonical, envelope);
    struct ifab_error *err = cli_clean_err(cli);
    ifab_status status = ifab_buf_status(&canonical);
    if (status == IFAB_OK)
        status = ifab_message_read(ifab_buf_as_view(&canonical), &message, err);
    if (status != IFAB_OK)
        return cli_fail(cli, status);
    memcpy(ret_digest32, message.digest32, 32);
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 7 + 2 * i, 3, "%02x", message.digest32[i]);
    (void)ifab_json_string(ifab_json_get(envelope, "sender"), &sender);
    int code = 0;
    if (!ifab_json_string(ifab_json_get(tree, "message_digest"), &claimed) || !ifab_view_is(claimed, hex))
        code = cli_refuse(cli, IFAB_CODE_DIGEST_MISMATCH, "the message shown is not the one to be decided: nothing was signed");
    else
        code = check_enrolled(cli, sender, message.pubkey32, arena);
    ifab_message_free(&message);
    return code;
}

/* Counted, and perhaps not enough: who else may vote. A decision that cannot be read any more needs no word. */
static void say_after_vote(struct cli *cli, const char *id)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf target;
    struct ifab_response response;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 64 << 20);
    if (target_of(cli, id, "", &target) == 0) {
        const struct cli_call call = {.method = "GET", .target = (const char *)target.data, .silent = true};
        if (cli_call(cli, &call, &response) == 0 && ifab_json_read(response.body, NULL, &arena, &tree, NULL) == IFAB_OK)
            say_waiting(cli, id, tree);
    }
    ifab_buf_fini(&target);
}

static int send_vote(struct cli *cli, const char *id, const char *policy, const uint8_t digest32[32], const char *verdict)
{
    char voter[96], name[65];
    struct ifab_text vote = {NULL, 0};
    struct ifab_buf target;
    struct ifab_response response;
    int code = cli_origin(cli);
    if (code == 0)
        code = cli_identity(cli);
    if (code != 0)
        return code;
    cli_path(voter, sizeof voter, "if://agent/%s", cli_as_name(cli, name));
    const struct ifab_vote_draft draft = {.version = IFAB_VOTE_VERSION, .log = cli->origin, .decision = id, .message_digest32 = digest32,
                                          .policy_digest = policy, .verdict = verdict, .voter = voter, .why = cli->why};
    ifab_status status = ifab_vote_build(&draft, cli->identity, &vote, cli_clean_err(cli));
    if (status != IFAB_OK)
        return cli_fail(cli, status);
    code = target_of(cli, id, "/votes", &target);
    if (code == 0) {
        const struct cli_call call = {.method = "POST", .target = (const char *)target.data, .body = ifab_view_of(vote.data, vote.size)};
        code = cli_call(cli, &call, &response);
    }
    if (code == 0 && response.body.size > 0)
        code = cli_print(cli, response.body, VOTED_COLUMNS);
    ifab_buf_fini(&target);
    ifab_text_free(&vote);
    if (code == 0)
        say_after_vote(cli, id);
    return code;
}

static bool confirmed(struct cli *cli, const char *verdict)
{
    char question[64], answer[16];
    if (cli_get(cli, "yes") != NULL)
        return true;
    snprintf(question, sizeof question, "Sign %s? [y/N] ", verdict);
    return cli_prompt(question, false, answer, sizeof answer) && (strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0);
}

/* What cannot be voted on, or not so, is said before anything is signed. */
static int check_open(struct cli *cli, const struct ifab_json *tree, const char *verdict)
{
    struct ifab_view state = {NULL, 0}, decision = {NULL, 0};
    int64_t index;
    char hint[160], where[64] = "";
    (void)ifab_json_string(ifab_json_get(tree, "state"), &state);
    (void)ifab_json_string(ifab_json_get(tree, "decision"), &decision);
    if (ifab_view_is(state, "decided")) {
        if (ifab_json_integer(ifab_json_get(ifab_json_get(tree, "entry"), "index"), &index))
            cli_path(where, sizeof where, " (entry %lld)", (long long)index);
        return cli_stop(cli, 12, NULL, "already decided: " IFAB_FMT "%s", IFAB_ARG(decision), where);
    }
    bool held = ifab_view_is(decision, "HOLD"), escalated = ifab_view_is(decision, "ESCALATE");
    if (held && strcmp(verdict, "approve") == 0) {
        cli_path(hint, sizeof hint, "Check its scope: ifctl decision scope-ok %s; or let another owner send the same claim.",
                 cli->words[0]);
        return cli_stop(cli, 12, hint, "it is held, not escalated: an approval does not answer it");
    }
    if (escalated && strcmp(verdict, "scope-ok") == 0) {
        cli_path(hint, sizeof hint, "Decide it: ifctl decision approve|refuse %s.", cli->words[0]);
        return cli_stop(cli, 12, hint, "it is escalated, not held: a scope check does not answer it");
    }
    return 0;
}

static int vote(struct cli *cli, const char *verdict)
{
    if (cli_get(cli, "yes") == NULL && !cli_terminal())
        return cli_stop(cli, EXIT_USAGE, NULL, "there is no terminal to show the message and ask on: say --yes to sign %s", verdict);
    struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree;
    struct ifab_view policy;
    char policy_text[80];
    uint8_t digest32[32];
    ifab_arena_init(&arena, 64 << 20);
    int code = target_of(cli, cli->words[0], "", &target);
    if (code == 0)
        code = cli_get_json(cli, (const char *)target.data, &arena, &tree);
    ifab_buf_fini(&target);
    if (code == 0)
        code = check_open(cli, tree, verdict);
    if (code == 0 && (!ifab_json_string(ifab_json_get(tree, "policy_digest"), &policy) ||
                      !cli_path(policy_text, sizeof policy_text, IFAB_FMT, IFAB_ARG(policy))))
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the decision names no policy_digest");
    if (code == 0)
        code = check_message(cli, tree, &arena, digest32);
    if (code == 0) {
        fprintf(stderr, "decision ");
        cli_put_text(stderr, ifab_view_str(cli->words[0]));
        fputc('\n', stderr);
        show_message(ifab_json_get(tree, "envelope"), &arena);
        show("until", cli_path_text(tree, "expires_at", 10, &arena));
        if (!confirmed(cli, verdict))
            code = cli_stop(cli, EXIT_USAGE, NULL, "not signed");
    }
    if (code == 0)
        code = send_vote(cli, cli->words[0], policy_text, digest32, verdict);
    ifab_arena_fini(&arena);
    return code;
}

int cmd_decision_approve(struct cli *cli)
{
    return vote(cli, "approve");
}

int cmd_decision_refuse(struct cli *cli)
{
    return vote(cli, "refuse");
}

int cmd_decision_scope_ok(struct cli *cli)
{
    return vote(cli, "scope-ok");
}
