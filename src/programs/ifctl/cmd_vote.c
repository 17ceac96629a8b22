/*
 * decision approve|refuse|scope-ok. Before a vote is signed, the envelope is read here, its signature checked under the key that is
 * enrolled for its sender, and its digest computed: what a person sees is what the vote binds.
 */
#include "call.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/id.h"

#define VOTED_COLUMNS "STATE:state|DECISION:decision|ENTRY:entry.index"

const struct cli_shown cli_shown[] = {{"sender", "sender", true},
                                      {"receiver", "receiver", true},
                                      {"says", "performative", true},
                                      {"scope", "content.scope", true},
                                      {"hazards", "content.hazards", true},
                                      {"confidence", "content.confidence.normalized", true},
                                      {"claim", "content.claim", true},
                                      {"claim id", "content.claim_id", false},
                                      {"evidence", "content.evidence", true},
                                      {"data", "content.data", true},
                                      {"sources", "content.source_diversity", false},
                                      {"basis", "content.confidence.basis", false},
                                      {"issued", "issued_at", false},
                                      {"in", "conversation_id", false},
                                      {"topic", "topic_hash", false}};
const size_t cli_shown_count = IFAB_COUNT(cli_shown);

bool cli_shown_text(const struct cli_shown *row, const struct ifab_json *envelope, struct ifab_arena *arena, struct ifab_view *ret_text)
{
    *ret_text = cli_path_text(envelope, row->path, strlen(row->path), arena);
    return row->always || !ifab_view_is(*ret_text, "-");
}

/* On a terminal every further line of a text is indented: no claim can lay out a line of its own that looks like one of these. */
static void show(const char *label, struct ifab_view text)
{
    struct winsize size = {0};
    size_t width = SIZE_MAX;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col < 30 ? 16 : size.ws_col - 14U;
    do {
        struct ifab_view part = cli_text_fit(text, width);
        fprintf(stderr, "  %-11s ", label);
        cli_put_text(stderr, part);
        fputc('\n', stderr);
        label = "";
        text = ifab_view_of(text.data + part.size, text.size - part.size);
    } while (text.size > 0);
}

/* What the message says and what binds the vote to it; every text escaped. */
static void show_message(const struct ifab_json *tree, struct ifab_arena *arena)
{
    const struct ifab_json *envelope = ifab_json_get(tree, "envelope");
    struct ifab_view text;
    for (size_t i = 0; i < cli_shown_count; i++)
        if (cli_shown_text(&cli_shown[i], envelope, arena, &text))
            show(cli_shown[i].label, text);
    show("digest", cli_path_text(tree, "message_digest", 14, arena));
    show("until", cli_path_text(tree, "expires_at", 10, arena));
}

static void show_row(void *user, const char *label, struct ifab_view text)
{
    (void)user;
    show(label, text);
}

/* The plan that a message asks for stands with it, or the message is not approved: what binds the vote is its hash alone. */
static int show_plan(struct cli *cli, const struct ifab_json *decision, bool approving, struct ifab_arena *arena)
{
    struct plan_checked plan;
    if (cli_plan_asked(ifab_json_get(decision, "envelope")).size == 0)
        return 0;
    int code = cli_plan_check(cli, decision, !approving, arena, &plan);
    if (code == 0)
        cli_plan_rows(&plan, arena, show_row, NULL);
    else if (!approving)
        show("plan", ifab_view_str(cli_plan_unfit));
    return approving ? code : 0;
}

/* The exit code of that refusal; said, unless a screen would be spoilt. */
__attribute__((format(printf, 4, 5))) static int unfit(struct cli *cli, bool silent, enum ifab_code code, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return silent ? ifab_code_info(code)->exit : cli_refuse(cli, code, "%s", text);
}

void cli_show_plan(struct cli *cli, const struct ifab_json *decision, struct ifab_arena *arena)
{
    if (!cli->quiet)
        (void)show_plan(cli, decision, false, arena);
}

static int get_talent(struct cli *cli, const char *name, bool silent, struct ifab_arena *arena, const struct ifab_json **ret_tree)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    ifab_buf_str(&target, "/v1/talents");
    cli_put_segment(&target, name);
    ifab_buf_char(&target, '\0');
    int code = ifab_buf_status(&target) != IFAB_OK ? unfit(cli, silent, IFAB_CODE_SYSTEM_ERROR, "out of memory")
               : silent                            ? cli_get_quietly(cli, (const char *)target.data, arena, ret_tree)
                                                   : cli_get_json(cli, (const char *)target.data, arena, ret_tree);
    ifab_buf_fini(&target);
    return code;
}

/* Is this key enrolled for the sender and not revoked? The one inside the envelope proves nothing (INV-02). */
static int check_enrolled(struct cli *cli, struct ifab_view sender, const uint8_t pubkey32[32], bool silent, struct ifab_arena *arena)
{
    struct ifab_view name, instance, key;
    const struct ifab_json *tree;
    char text[44], name_text[65];
    if (ifab_sender_parse(sender, &name, &instance) != IFAB_OK || !cli_path(name_text, sizeof name_text, IFAB_FMT, IFAB_ARG(name)))
        return unfit(cli, silent, IFAB_CODE_INVALID_ENVELOPE, "the message names no sender");
    int code = get_talent(cli, name_text, silent, arena, &tree);
    if (code != 0)
        return code;
    const struct ifab_json *keys = ifab_json_get(tree, "keys");
    if (keys == NULL)
        keys = ifab_json_get(ifab_json_get(tree, "talent"), "keys");
    ifab_public_text(pubkey32, text);
    for (size_t i = 0; keys != NULL && keys->type == IFAB_JSON_ARRAY && i < keys->u.array.count; i++)
        if (ifab_json_string(ifab_json_get(&keys->u.array.items[i], "pubkey"), &key) && ifab_view_is(key, text))
            return 0;
    return unfit(cli, silent, IFAB_CODE_INVALID_SIGNATURE, "the message is signed by a key that is not enrolled for %s: nothing was signed",
                 name_text);
}

int cli_message_check(struct cli *cli, const struct ifab_json *tree, bool silent, struct ifab_arena *arena, uint8_t ret_digest32[32])
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf canonical = IFAB_BUF_INIT(4 << 20);
    const struct ifab_json *envelope = ifab_json_get(tree, "envelope");
    struct ifab_message message = {0};
    struct ifab_view claimed, sender = {NULL, 0};
    char hex[72] = "sha256:";
    if (envelope == NULL || envelope->type != IFAB_JSON_OBJECT)
        return unfit(cli, silent, IFAB_CODE_NOT_FOUND, "the message itself is not kept: it cannot be checked, so nothing was signed");
    ifab_json_write(&canonical, envelope);
    struct ifab_error *err = cli_clean_err(cli);
    ifab_status status = ifab_buf_status(&canonical);
    if (status == IFAB_OK)
        status = ifab_message_read(ifab_buf_as_view(&canonical), &message, err);
    if (status != IFAB_OK)
        return silent ? EXIT_SYSTEM : cli_fail(cli, status);
    memcpy(ret_digest32, message.digest32, 32);
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 7 + 2 * i, 3, "%02x", message.digest32[i]);
    (void)ifab_json_string(ifab_json_get(envelope, "sender"), &sender);
    int code = 0;
    if (!ifab_json_string(ifab_json_get(tree, "message_digest"), &claimed) || !ifab_view_is(claimed, hex))
        code = unfit(cli, silent, IFAB_CODE_DIGEST_MISMATCH, "the message shown is not the one to be decided: nothing was signed");
    else
        code = check_enrolled(cli, sender, message.pubkey32, silent, arena);
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
    if (cli_decision_target(cli, id, "", &target) == 0) {
        const struct cli_call call = {.method = "GET", .target = (const char *)target.data, .silent = true};
        if (cli_call(cli, &call, &response) == 0 && ifab_json_read(response.body, NULL, &arena, &tree, NULL) == IFAB_OK)
            cli_say_waiting(cli, id, tree);
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
    code = cli_decision_target(cli, id, "/votes", &target);
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
    (void)tcflush(STDIN_FILENO, TCIFLUSH); /* what was typed before the message stood there does not answer */
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

int cli_vote(struct cli *cli, const char *verdict, const char *seen_digest)
{
    if (cli_get(cli, "yes") == NULL && !cli_terminal())
        return cli_stop(cli, EXIT_USAGE, NULL, "there is no terminal to show the message and ask on: say --yes to sign %s", verdict);
    struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree;
    struct ifab_view policy, digest;
    char policy_text[80];
    uint8_t digest32[32];
    ifab_arena_init(&arena, 64 << 20);
    int code = cli_decision_target(cli, cli->words[0], "", &target);
    if (code == 0)
        code = cli_get_json(cli, (const char *)target.data, &arena, &tree);
    ifab_buf_fini(&target);
    if (code == 0)
        code = check_open(cli, tree, verdict);
    if (code == 0 && seen_digest != NULL && (!ifab_json_string(ifab_json_get(tree, "message_digest"), &digest) || !ifab_view_is(digest, seen_digest)))
        code = cli_refuse(cli, IFAB_CODE_CONFLICT, "another message with this id waits before it: decide that one first");
    if (code == 0 && (!ifab_json_string(ifab_json_get(tree, "policy_digest"), &policy) ||
                      !cli_path(policy_text, sizeof policy_text, IFAB_FMT, IFAB_ARG(policy))))
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the decision names no policy_digest");
    if (code == 0)
        code = cli_message_check(cli, tree, false, &arena, digest32);
    if (code == 0) {
        fprintf(stderr, "decision ");
        cli_put_text(stderr, ifab_view_str(cli->words[0]));
        fputc('\n', stderr);
        show_message(tree, &arena);
        code = show_plan(cli, tree, strcmp(verdict, "refuse") != 0, &arena);
        if (code == 0 && !confirmed(cli, verdict))
            code = cli_stop(cli, EXIT_USAGE, NULL, "not signed");
    }
    if (code == 0)
        code = send_vote(cli, cli->words[0], policy_text, digest32, verdict);
    ifab_arena_fini(&arena);
    return code;
}

int cmd_decision_approve(struct cli *cli)
{
    return cli_vote(cli, "approve", NULL);
}

int cmd_decision_refuse(struct cli *cli)
{
    return cli_vote(cli, "refuse", NULL);
}

int cmd_decision_scope_ok(struct cli *cli)
{
    return cli_vote(cli, "scope-ok", NULL);
}
