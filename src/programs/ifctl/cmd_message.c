/* message new|sign|canon|send|inbox. */
#include "draft.h"

#define RECEIPT_COLUMNS "DECISION:decision|ID:id|REASON:reason|RULE:rule|ENTRY:entry.index"

/* A message on its way: made here, or complete as it came. */
struct outgoing {
    struct ifab_text bytes;
    char id[64], sender[600];
    uint64_t seq;
    uint8_t digest32[32];
    bool locked, has_claim_id, has_scope, has_digest;
    struct cli_sequence sequence;
};

static void facts_of(struct outgoing *out, struct ifab_view bytes)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view text;
    int64_t seq;
    ifab_arena_init(&arena, 64 << 20);
    if (ifab_json_read(bytes, NULL, &arena, &tree, NULL) == IFAB_OK) {
        if (ifab_json_string(ifab_json_get(tree, "id"), &text) && memchr(text.data, 0, text.size) == NULL)
            cli_path(out->id, sizeof out->id, IFAB_FMT, IFAB_ARG(text));
        if (ifab_json_string(ifab_json_get(tree, "sender"), &text))
            cli_path(out->sender, sizeof out->sender, IFAB_FMT, IFAB_ARG(text));
        if (ifab_json_integer(ifab_json_get(tree, "seq"), &seq) && seq > 0)
            out->seq = (uint64_t)seq;
        cli_claim_named(ifab_json_get(tree, "content"), &out->has_claim_id, &out->has_scope);
    }
    ifab_arena_fini(&arena);
}

static int sign_message(struct cli *cli, struct draft_box *box, struct ifab_view json, struct outgoing *out)
{
    struct ifab_message message = {0};
    int code = cli_identity(cli);
    if (code == 0)
        code = cli_sequence_lock(cli, box->sender, &out->sequence);
    if (code != 0)
        return code;
    out->locked = true;
    box->draft.last_seq = out->sequence.last;
    struct ifab_error *err = cli_clean_err(cli);
    ifab_status status = json.size > 0 ? ifab_message_complete(json, &box->draft, cli->identity, &message, err)
                                       : ifab_message_build(&box->draft, cli->identity, &message, err);
    if (status == IFAB_INVALID && json.size == 0) /* the flags were wrong: nothing was sent */
        return cli_usage(cli, "%s", cli->err.text);
    if (status != IFAB_OK)
        return cli_fail(cli, status);
    out->bytes = message.bytes;
    out->has_digest = true;
    memcpy(out->digest32, message.digest32, sizeof out->digest32);
    facts_of(out, ifab_view_of(message.bytes.data, message.bytes.size));
    return 0;
}

/* Of an envelope that came complete. One that is malformed has none, and is refused. */
static void digest_of(struct outgoing *out, struct ifab_view bytes)
{
    IFAB_CLEANUP(ifab_message_free) struct ifab_message message = {0};
    struct ifab_error err = {0};
    out->has_digest = ifab_message_read(bytes, &message, &err) == IFAB_OK;
    memcpy(out->digest32, message.digest32, sizeof out->digest32);
}

/* A performative alone may say enough: agree, refuse. */
static bool says_nothing(const struct cli *cli)
{
    return cli_get(cli, "claim") == NULL && cli_get(cli, "data") == NULL && cli_get(cli, "performative") == NULL;
}

/* What is to be sent, from flags or a file. A complete envelope stays byte for byte as it is. */
static int prepare(struct cli *cli, struct outgoing *out)
{
    if (cli_draft_file(cli) == NULL && says_nothing(cli))
        return cli_usage(cli, "nothing to say: --claim, --data or --json");
    struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX);
    const char *file = cli_draft_file(cli);
    bool is_signed = false;
    struct draft_box *box = ifab_calloc(1, sizeof *box);
    int code = box == NULL ? cli_fail(cli, IFAB_NOMEM) : cli_draft(cli, box);
    if (code == 0 && file != NULL)
        code = cli_draft_read(cli, file, &text, &is_signed);
    if (code == 0 && is_signed) {
        facts_of(out, ifab_buf_as_view(&text));
        digest_of(out, ifab_buf_as_view(&text));
        size_t size = text.size;
        ifab_buf_char(&text, '\0');
        if (ifab_buf_status(&text) == IFAB_OK) {
            out->bytes = (struct ifab_text){(char *)text.data, size};
            text.data = NULL;
            text.capacity = 0;
        } else {
            code = cli_fail(cli, ifab_buf_status(&text));
        }
    } else if (code == 0) {
        code = sign_message(cli, box, ifab_buf_as_view(&text), out);
    }
    ifab_buf_fini(&text);
    ifab_free(box);
    return code;
}

static void finish(struct outgoing *out, bool used)
{
    if (out->locked)
        cli_sequence_done(&out->sequence, used ? out->seq : 0);
    ifab_text_free(&out->bytes);
}

static int show_receipt(struct cli *cli, struct ifab_view body, char ret_id[64], bool *ret_open, bool *ret_held)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view decision = {NULL, 0}, id;
    int code = EXIT_SYSTEM;
    ifab_arena_init(&arena, 64 << 20);
    if (ifab_json_read(body, NULL, &arena, &tree, NULL) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "decision"), &decision)) {
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer is no receipt");
    } else {
        code = cli_decision_exit(decision);
        *ret_open = code == EXIT_HELD;
        *ret_held = ifab_view_is(decision, "HOLD");
        if (ifab_json_string(ifab_json_get(tree, "id"), &id))
            cli_path(ret_id, 64, IFAB_FMT, IFAB_ARG(id));
        cli_print_tree(cli, tree, RECEIPT_COLUMNS);
    }
    ifab_arena_fini(&arena);
    return code;
}

static void say_open(const struct cli *cli, const struct outgoing *out, const char *id, bool held)
{
    if (held)
        cli_say_held(cli, id, out->has_claim_id, out->has_scope);
    else
        cli_say(cli, "escalated: waits for an operator of another owner: ifctl decision approve|refuse %s --as NAME --why …", id);
    cli_say(cli, "follow it: ifctl decision wait %s", id);
}

int cmd_message_send(struct cli *cli)
{
    struct outgoing out = {.locked = false};
    struct ifab_response response;
    int64_t wait_usec = 0;
    const char *wait = cli_get(cli, "wait");
    char id[64] = "";
    bool open = false, held = false;
    if (wait != NULL && !cli_duration(wait, &wait_usec))
        return cli_usage(cli, "--wait is a time such as 30s, not \"%s\"", wait);
    int code = prepare(cli, &out);
    if (code != 0) {
        finish(&out, false);
        return code;
    }
    if (cli->retry == 0)
        cli->retry = 1; /* the same bytes with their key are safe: one lost answer costs nothing */
    const struct cli_call call = {.method = "POST", .target = "/v1/messages?proof=1", .body = ifab_view_of(out.bytes.data, out.bytes.size),
                                  .idempotency_key = out.id[0] == '\0' ? NULL : out.id, .show_403 = true, .seq = out.seq,
                                  .sender = out.sender[0] == '\0' ? NULL : out.sender, .message_id = out.id,
                                  .digest32 = out.has_digest ? out.digest32 : NULL};
    code = cli_call(cli, &call, &response);
    if (code == 0) {
        if (response.idempotent_replayed)
            cli_say(cli, "sent before: this is the first answer");
        code = show_receipt(cli, response.body, id, &open, &held);
    }
    finish(&out, true); /* also after a refusal: the number may be used up */
    if (open && wait_usec > 0)
        return cli_decision_wait(cli, id, wait_usec, CLI_WAIT_DECIDED);
    if (open)
        say_open(cli, &out, id, held);
    return code;
}

static void print_list(const struct cli *cli, const struct ifab_json *list, const char *columns)
{
    struct ifab_json_member items = {.name = IFAB_VIEW("items")};
    struct ifab_json object = {.type = IFAB_JSON_OBJECT};
    if (list == NULL)
        return;
    items.value = *list;
    object.u.object.members = &items;
    object.u.object.count = 1;
    cli_print_tree(cli, &object, columns);
}

/* As a row, without what the columns do not name. */
static void print_one(const struct cli *cli, const struct ifab_json *object, const char *columns)
{
    struct ifab_json row = *object, list = {.type = IFAB_JSON_ARRAY};
    list.u.array.items = &row;
    list.u.array.count = 1;
    print_list(cli, &list, columns);
}

/* The message that `message send` would send, judged and not sent. */
int cmd_guard_explain(struct cli *cli)
{
    struct outgoing out = {.locked = false};
    struct ifab_response response;
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view decision = {NULL, 0};
    int code = prepare(cli, &out);
    const struct cli_call call = {.method = "POST", .target = "/v1/guard/explain", .body = ifab_view_of(out.bytes.data, out.bytes.size)};
    if (code == 0)
        code = cli_call(cli, &call, &response);
    finish(&out, false);
    if (code != 0)
        return code;
    ifab_arena_init(&arena, 64 << 20);
    if (ifab_json_read(response.body, NULL, &arena, &tree, NULL) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "decision"), &decision)) {
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer is no explanation");
    } else {
        code = cli_decision_exit(decision);
        if (cli->format == CLI_TABLE) {
            print_list(cli, ifab_json_get(tree, "steps"), "STEP:step|DECISION:decision|RULE:rule|REASON:reason");
            print_list(cli, ifab_json_get(tree, "rules"), "RULE:id|EFFECT:effect|MATCH:match|REASON:reason");
            print_one(cli, tree, "DECISION:decision|RULE:rule|VOTES_NEEDED:votes_needed|REASON:reason");
        } else {
            cli_print_tree(cli, tree, "DECISION:decision|RULE:rule|VOTES_NEEDED:votes_needed|REASON:reason|POLICY_DIGEST:policy_digest");
        }
    }
    ifab_arena_fini(&arena);
    return code;
}

int cmd_message_sign(struct cli *cli)
{
    struct outgoing out = {.locked = false};
    if (cli_draft_file(cli) == NULL && cli->word_count < CLI_WORDS_MAX)
        cli->words[cli->word_count++] = "-";
    int code = prepare(cli, &out);
    if (code == 0) {
        fwrite(out.bytes.data, 1, out.bytes.size, stdout);
        fputc('\n', stdout);
    }
    finish(&out, code == 0);
    return code;
}

int cmd_message_canon(struct cli *cli)
{
    struct ifab_buf text;
    struct ifab_text bytes = {NULL, 0};
    const char *file = cli_draft_file(cli);
    bool is_signed;
    int code = cli_draft_read(cli, file == NULL ? "-" : file, &text, &is_signed);
    if (code != 0)
        return code;
    ifab_status status = ifab_message_signed_bytes(ifab_buf_as_view(&text), &bytes, cli_clean_err(cli));
    ifab_buf_fini(&text);
    if (status != IFAB_OK)
        return cli_fail(cli, status);
    fwrite(bytes.data, 1, bytes.size, stdout); /* exact: this is what gets signed */
    ifab_text_free(&bytes);
    return 0;
}

/* What a draft leaves to message sign and send. */
static bool filled_later(struct cli *cli, struct ifab_view name)
{
    static const char *const later[] = {"id", "sender", "issued_at", "ttl_s", "seq", "nonce", "signature", "v"};
    for (size_t i = 0; i < IFAB_COUNT(later); i++)
        if (ifab_view_is(name, later[i]))
            return strcmp(later[i], "ttl_s") != 0 || cli_get(cli, "ttl") == NULL;
    return (ifab_view_is(name, "conversation_id") && cli_get(cli, "conversation") == NULL) ||
           (ifab_view_is(name, "topic_hash") && cli_get(cli, "topic") == NULL);
}

static int print_draft(struct cli *cli, const struct ifab_message *message)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX);
    ifab_arena_init(&arena, 64 << 20);
    bool any = false, good = ifab_json_read(ifab_view_of(message->bytes.data, message->bytes.size), NULL, &arena, &tree, NULL) == IFAB_OK;
    for (size_t i = 0; good && i < tree->u.object.count; i++) {
        const struct ifab_json_member *m = &tree->u.object.members[i];
        if (filled_later(cli, m->name))
            continue;
        ifab_buf_char(&text, any ? ',' : '{');
        any = true;
        ifab_json_put_string(&text, m->name);
        ifab_buf_char(&text, ':');
        ifab_json_write(&text, &m->value);
    }
    ifab_buf_char(&text, '}');
    cli->format = CLI_JSON; /* a draft is a JSON document whatever -o says */
    int code = good && ifab_buf_status(&text) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&text), NULL) : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&text);
    ifab_arena_fini(&arena);
    return code;
}

/* Made and checked as a whole message under a key that is thrown away, then shown without what is filled in later. */
int cmd_message_new(struct cli *cli)
{
    struct ifab_identity *identity = NULL;
    struct ifab_message message = {0};
    if (says_nothing(cli))
        return cli_usage(cli, "nothing to say: --claim or --data");
    struct draft_box *box = ifab_calloc(1, sizeof *box);
    int code = box == NULL ? cli_fail(cli, IFAB_NOMEM) : cli_draft(cli, box);
    if (code == 0) {
        ifab_status status = ifab_identity_new(&identity, cli_clean_err(cli));
        if (status == IFAB_OK)
            status = ifab_message_build(&box->draft, identity, &message, &cli->err);
        code = status == IFAB_OK        ? print_draft(cli, &message)
               : status == IFAB_INVALID ? cli_usage(cli, "%s", cli->err.text)
                                        : cli_fail(cli, status);
    }
    ifab_message_free(&message);
    ifab_identity_free(identity);
    ifab_free(box);
    return code;
}

#define INBOX_COLUMNS \
    "CURSOR:cursor|FROM:envelope.sender|PERFORMATIVE:envelope.performative|DECISION:decision.decision|CLAIM:envelope.content.claim"

static int follow_inbox(struct cli *cli, const char *name)
{
    char target[256];
    const char *after = cli_get(cli, "after");
    if (cli_get(cli, "wait") != NULL || cli_get(cli, "limit") != NULL)
        return cli_usage(cli, "--follow goes on for ever: --wait and --limit do not fit");
    cli_path(target, sizeof target, "/v1/inbox?as=%s", name); /* a name has nothing to encode */
    return cli_follow(cli, target, after == NULL || after[0] == '\0' ? "0" : after, INBOX_COLUMNS); /* entry 0 is never a message */
}

int cmd_message_inbox(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    char wait_ms[32] = "", name[65];
    const char *after = cli_get(cli, "after"), *wait = cli_get(cli, "wait");
    int64_t wait_usec = 0;
    if (!cli->as_named)
        return cli_usage(cli, "say whose inbox: --as NAME");
    if (after != NULL && strspn(after, "0123456789") != strlen(after))
        return cli_usage(cli, "--after is a cursor as the inbox gave it, not \"%s\"", after);
    if (cli_get(cli, "follow") != NULL)
        return follow_inbox(cli, cli_as_name(cli, name));
    if (wait != NULL && (!cli_duration(wait, &wait_usec) || wait_usec > 30 * IFAB_SECOND))
        return cli_usage(cli, "--wait is at most 30s, not \"%s\"", wait);
    if (cli->timeout_usec < wait_usec + 5 * IFAB_SECOND)
        cli->timeout_usec = wait_usec + 5 * IFAB_SECOND;
    cli_path(wait_ms, sizeof wait_ms, "%lld", (long long)(wait_usec / 1000));
    ifab_buf_str(&target, "/v1/inbox");
    cli_put_query(&target, "as", cli_as_name(cli, name));
    cli_put_query(&target, "after", after);
    cli_put_query(&target, "wait_ms", wait_usec > 0 ? wait_ms : NULL);
    cli_put_query(&target, "limit", cli_get(cli, "limit"));
    return cli_get_target(cli, &target, INBOX_COLUMNS);
}
