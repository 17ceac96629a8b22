/*
 * A tool call becomes requests to the daemon. Waits are cut into slices of a second, so that a cancelled or orphaned call ends soon; a
 * message that is on its way is never cut.
 */
#include "mcp_call.h"

#include <time.h>

#include "base/encode.h"
#include "crypto/crypto.h"

#define SLICE_MS         1000
#define PROGRESS_EVERY_S 5

struct call {
    struct cli *cli;
    const struct mcp_action *action;
    const struct mcp_caller *caller;
    struct mcp_result *result;
    struct ifab_arena arena;
    bool recorded; /* a refusal that says in which entry it was recorded is an answer */
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fail(struct call *c, const char *code, const char *message, const char *hint, bool retryable)
{
    if (!ifab_utf8_valid(ifab_view_str(message))) /* a path may be anything, a message of ours may not */
        message = "no answer: the server's stderr says why";
    mcp_result_failure(c->result, code, message, hint, retryable);
}

static const char *no_memory(struct call *c)
{
    fail(c, "NO_MEMORY", "out of memory", "", true);
    return NULL;
}

/* Did the request perhaps reach the daemon? */
static bool is_lost(const struct call *c)
{
    const struct ifab_error *err = &c->cli->err;
    return c->cli->client != NULL && err->text[0] != '\0' && err->status != IFAB_NOT_FOUND && err->status != IFAB_DENIED;
}

/* Why no answer came. id: of a message whose outcome is therefore unknown; NULL: nothing was changed. */
static void no_answer(struct call *c, const char *id)
{
    char text[1600], hint[200] = "ask the operator whether the fabric runs: ifctl doctor";
    const struct ifab_error *err = &c->cli->err;
    bool nobody = err->status == IFAB_NOT_FOUND && c->cli->client != NULL; /* else a file of --ca and its like is missing */
    cli_path(text, sizeof text, "%s%s. %s", nobody ? "No fabric answers at " : err->text, nobody ? c->cli->endpoint : "",
             id == NULL ? "Nothing was done" : "Whether the message was recorded is unknown");
    if (id != NULL)
        cli_path(hint, sizeof hint, "look with fabric_decision, id %s, before you send it again: IF_ERR_404 means it was not recorded", id);
    fail(c, "NO_ANSWER", text, hint, id == NULL && c->cli->client != NULL && err->status != IFAB_DENIED);
}

static const struct ifab_json nothing = {.type = IFAB_JSON_NULL};

/* One request; its JSON (nothing when the answer is 204) in the arena. NULL after filling the result. */
static const struct ifab_json *ask(struct call *c, struct cli_call *call, const char *message_id, bool *ret_replayed)
{
    struct ifab_response response;
    const struct ifab_json *tree = NULL;
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_RESPONSE_MAX};
    struct ifab_view copy;
    memset(&response, 0, sizeof response);
    (void)cli_clean_err(c->cli);
    call->silent = true;
    int code = cli_call(c->cli, call, &response);
    if (code != 0 && c->cli->err.text[0] != '\0') {
        no_answer(c, is_lost(c) ? message_id : NULL);
        return NULL;
    }
    bool read = response.body.size > 0 && ifab_arena_copy(&c->arena, response.body, &copy) == IFAB_OK &&
                ifab_json_read(copy, &limits, &c->arena, &tree, NULL) == IFAB_OK;
    if (code != 0 && c->recorded && read && ifab_json_get(tree, "entry") != NULL)
        return tree;
    if (code != 0) {
        if (!read || !mcp_result_answer_error(c->result, ifab_json_get(tree, "error")))
            fail(c, "FAILED",
                 response.status == 0 ? "the request could not be made: see the server's stderr" : "the daemon's answer gives no reason",
                 "ask the operator", false);
        return NULL;
    }
    if (ret_replayed != NULL)
        *ret_replayed = response.idempotent_replayed;
    if (response.status == 204)
        return &nothing;
    if (!read)
        fail(c, "FAILED", "the daemon's answer is not JSON", "ask the operator", false);
    return read ? tree : NULL;
}

static const struct ifab_json *get(struct call *c, struct ifab_buf *target)
{
    ifab_buf_char(target, '\0');
    if (ifab_buf_status(target) != IFAB_OK) {
        no_memory(c);
        return NULL;
    }
    struct cli_call call = {.method = "GET", .target = (const char *)target->data};
    return ask(c, &call, NULL, NULL);
}

static void put_number(struct ifab_buf *target, const char *name, int64_t value)
{
    char text[32];
    cli_path(text, sizeof text, "%lld", (long long)value);
    cli_put_query(target, name, text);
}

/* Length of the next slice; 0: the wait is over. Says how far it is from time to time. */
static int64_t slice(struct call *c, int64_t start, int64_t *told_s)
{
    int64_t done = now_ms() - start, left = c->action->arguments.wait_s * 1000 - done;
    if (left <= 0 || c->caller->ended(c->caller->user))
        return 0;
    if (done / 1000 >= *told_s + PROGRESS_EVERY_S) {
        *told_s = done / 1000;
        c->caller->progress(c->caller->user, *told_s);
    }
    return left < SLICE_MS ? left : SLICE_MS;
}

static bool is_decided(const struct ifab_json *decision)
{
    struct ifab_view state;
    return ifab_json_string(ifab_json_get(decision, "state"), &state) && ifab_view_is(state, "decided");
}

/* The decision as it stands when it is decided or the wait is over; NULL after filling the result. */
static const struct ifab_json *follow(struct call *c, const char *id)
{
    int64_t start = now_ms(), told_s = 0;
    for (;;) {
        IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(1024);
        int64_t ms = slice(c, start, &told_s);
        ifab_buf_str(&target, "/v1/decisions");
        cli_put_segment(&target, id);
        if (ms > 0)
            put_number(&target, "wait_ms", ms);
        const struct ifab_json *tree = get(c, &target);
        if (tree != NULL && !ifab_view_is(ifab_json_text(tree, "id"), id)) {
            fail(c, "FAILED", "the daemon's answer is about another message", "ask the operator", false);
            return NULL;
        }
        if (tree == NULL || ms == 0 || is_decided(tree))
            return tree;
        ifab_arena_reset(&c->arena);
    }
}

static void call_decision(struct call *c)
{
    const struct ifab_json *tree = follow(c, c->action->arguments.id);
    if (tree != NULL && !mcp_result_decision(c->result, tree))
        fail(c, "FAILED", "the daemon's answer is no decision", "ask the operator", false);
}

static void unsay(struct call *c) { mcp_unsay(c->result); }

/* After a lost answer the same bytes with their key ask once more: they cost nothing and tell what became of the first. A refusal then does
 * not: it may be of the second alone. */
static const struct ifab_json *ask_twice(struct call *c, struct cli_call *call, const char *id, bool *ret_replayed)
{
    char text[512], hint[200];
    const struct ifab_json *tree = ask(c, call, id, ret_replayed);
    if (tree != NULL || !is_lost(c))
        return tree;
    unsay(c);
    tree = ask(c, call, id, ret_replayed);
    if (tree != NULL || is_lost(c))
        return tree;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf said = IFAB_BUF_INIT(4096);
    ifab_buf_put(&said, c->result->text.data, c->result->text.size < 300 ? c->result->text.size : 300);
    ifab_buf_char(&said, '\0');
    unsay(c);
    if (ifab_buf_status(&said) != IFAB_OK || !ifab_utf8_valid(ifab_view_str((const char *)said.data)))
        ifab_buf_clear(&said);
    cli_path(text, sizeof text, "An answer was lost, so whether the message was recorded is unknown; asking again was refused: %s",
             said.size > 0 ? (const char *)said.data : "");
    cli_path(hint, sizeof hint, "look with fabric_decision, id %s, before you send it again: IF_ERR_404 means it was not recorded", id);
    fail(c, "NO_ANSWER", text, hint, false);
    return NULL;
}

static bool is_open(const struct ifab_json *receipt)
{
    struct ifab_view decision;
    return ifab_json_string(ifab_json_get(receipt, "decision"), &decision) &&
           (ifab_view_is(decision, "HOLD") || ifab_view_is(decision, "ESCALATE"));
}

/* Builds, sends and closes the turn; the receipt as bytes of its own, because waiting reuses the arena. False after filling the result. */
static bool send(struct call *c, struct ifab_message *message, struct ifab_buf *receipt, bool *ret_replayed)
{
    struct ifab_draft draft = c->action->arguments.draft;
    struct cli_sequence sequence;
    char sender[160];
    const char *trace = c->action->trace[0] != '\0' ? c->action->trace : c->cli->trace;
    if (!cli_path(sender, sizeof sender, "if://agent/%s", c->cli->as) || cli_sequence_lock(c->cli, sender, &sequence) != 0) {
        fail(c, "FAILED", "the sequence number of this talent cannot be kept: see the server's stderr", "set HOME or XDG_STATE_HOME",
             false);
        return false;
    }
    draft.sender = sender;
    draft.last_seq = sequence.last;
    if (draft.trace == NULL && trace[0] != '\0')
        draft.trace = trace;
    if (ifab_message_build(&draft, c->cli->identity, message, cli_clean_err(c->cli)) != IFAB_OK) {
        struct ifab_refusal refusal = {0};
        ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, NULL, "nothing was sent: %s", c->cli->err.text);
        mcp_result_refusal(c->result, &refusal);
        cli_sequence_done(&sequence, 0);
        return false;
    }
    struct cli_call call = {.method = "POST",
                            .target = c->action->arguments.proof ? "/v1/messages?proof=1" : "/v1/messages",
                            .body = ifab_view_of(message->bytes.data, message->bytes.size),
                            .idempotency_key = message->id,
                            .show_403 = true,
                            .seq = message->seq,
                            .sender = sender,
                            .message_id = message->id,
                            .digest32 = message->digest32};
    const struct ifab_json *tree = ask_twice(c, &call, message->id, ret_replayed);
    cli_sequence_done(&sequence, message->seq); /* also after a refusal: the number may be used up */
    if (tree != NULL)
        ifab_json_write(receipt, tree);
    return tree != NULL;
}

static void call_send(struct call *c)
{
    IFAB_CLEANUP(ifab_message_free) struct ifab_message message = {0};
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf bytes = IFAB_BUF_INIT(IFAB_CLIENT_RESPONSE_MAX);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *receipt, *now = NULL;
    bool replayed = false;
    ifab_arena_init(&arena, MCP_ARENA_MAX);
    if (!c->caller->turn(c->caller->user)) {
        fail(c, "CANCELLED", "cancelled before it was sent", "", true);
        return;
    }
    bool sent = send(c, &message, &bytes, &replayed);
    c->caller->turn_over(c->caller->user);
    if (!sent)
        return;
    if (ifab_buf_status(&bytes) != IFAB_OK || ifab_json_read(ifab_buf_as_view(&bytes), NULL, &arena, &receipt, NULL) != IFAB_OK) {
        no_memory(c);
        return;
    }
    if (is_open(receipt) && c->action->arguments.wait_s > 0) {
        now = follow(c, message.id);
        if (now == NULL) /* a wait that fails must not cost the receipt */
            unsay(c);
    }
    if (!mcp_result_receipt(c->result, receipt, now, replayed))
        fail(c, "FAILED", "the daemon's answer is no receipt", "ask the operator", false);
}

static size_t item_count(const struct ifab_json *page)
{
    const struct ifab_json *items = ifab_json_get(page, "items");
    return items != NULL && items->type == IFAB_JSON_ARRAY ? items->u.array.count : 0;
}

static const struct ifab_json *get_page(struct call *c, const char *after, int64_t limit, int64_t wait_ms)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    const struct mcp_arguments *a = &c->action->arguments;
    char name[65];
    ifab_buf_str(&target, c->action->tool == MCP_INBOX ? "/v1/inbox" : "/v1/witness/entries");
    if (c->action->tool == MCP_INBOX) {
        cli_put_query(&target, "as", cli_as_name(c->cli, name));
        cli_put_query(&target, "after", after);
    } else {
        cli_put_query(&target, "trace", a->trace);
        cli_put_query(&target, "cursor", a->cursor);
    }
    put_number(&target, "limit", limit);
    if (wait_ms > 0)
        put_number(&target, "wait_ms", wait_ms);
    return get(c, &target);
}

/* As many items as fit into a result: a page that is too large is asked for again with fewer, so that its cursor fits too. */
static void finish_page(struct call *c, const struct ifab_json *page, const char *after)
{
    for (int64_t limit = c->action->arguments.limit; page != NULL; limit = limit / 4 < 1 ? 1 : limit / 4) {
        if (!mcp_result_page(c->result, c->action->tool, page, after)) {
            fail(c, "FAILED", "the daemon's answer is no page", "ask the operator", false);
            return;
        }
        if (c->result->structured.size <= MCP_PAGE_MAX || item_count(page) <= 1)
            return;
        limit = limit > (int64_t)item_count(page) ? (int64_t)item_count(page) : limit;
        unsay(c);
        ifab_arena_reset(&c->arena);
        page = get_page(c, after, limit / 4 < 1 ? 1 : limit / 4, 0);
    }
}

/* --- tasks --- */

/* Ends a request that has members already; lease_ms 0 and wait_ms -1: not said. */
static bool end_body(struct ifab_buf *body, int64_t lease_ms, int64_t wait_ms)
{
    if (lease_ms > 0)
        ifab_buf_format(body, ",\"lease_ms\":%lld", (long long)lease_ms);
    if (wait_ms >= 0)
        ifab_buf_format(body, ",\"wait_ms\":%lld", (long long)wait_ms);
    ifab_buf_char(body, '}');
    return ifab_buf_status(body) == IFAB_OK;
}

/* What is done to a task, under a key of its own: asked twice it is done once. NULL after filling the result. */
static const struct ifab_json *task_act(struct call *c, const char *id, const char *verb, struct ifab_view body)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(1024), key = IFAB_BUF_INIT(64);
    uint8_t random[16];
    ifab_random(random, sizeof random);
    ifab_buf_str(&key, "mcp-");
    ifab_buf_hex(&key, random, sizeof random);
    ifab_buf_char(&key, '\0');
    ifab_buf_str(&target, "/v1/tasks");
    cli_put_segment(&target, id);
    ifab_buf_format(&target, "/%s", verb);
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK || ifab_buf_status(&key) != IFAB_OK) {
        no_memory(c);
        return NULL;
    }
    struct cli_call call = {.method = "POST", .target = (const char *)target.data, .body = body, .idempotency_key = (const char *)key.data};
    const struct ifab_json *tree = ask(c, &call, NULL, NULL);
    if (tree != NULL || !is_lost(c))
        return tree;
    unsay(c);
    tree = ask(c, &call, NULL, NULL);
    if (tree != NULL || !is_lost(c))
        return tree;
    unsay(c);
    fail(c, "NO_ANSWER", "The answer was lost, so whether this was recorded is unknown",
         "the same call again does no harm: IF_ERR_603 or IF_ERR_605 then say that the task is yours no more or has ended", true);
    return NULL;
}

/* Nobody waits for this task any more: it goes back untried. */
static void give_back(struct call *c, const struct ifab_json *claim)
{
    struct ifab_view id = {NULL, 0};
    int64_t fence = 0;
    char name[65], body[64];
    if (ifab_json_string(ifab_json_get(ifab_json_get(claim, "task"), "id"), &id) && ifab_json_integer(ifab_json_get(claim, "fence"), &fence) &&
        cli_path(name, sizeof name, IFAB_FMT, IFAB_ARG(id)) &&
        cli_path(body, sizeof body, "{\"fence\":%lld,\"kind\":\"shutdown\"}", (long long)fence))
        (void)task_act(c, name, "fail", ifab_view_str(body));
    unsay(c); /* else its lease runs out */
}

static void call_task_next(struct call *c)
{
    const struct mcp_arguments *a = &c->action->arguments;
    int64_t start = now_ms(), told_s = 0;
    for (;;) {
        IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(65536);
        int64_t ms = slice(c, start, &told_s);
        bool over = c->caller->ended(c->caller->user);
        ifab_buf_char(&body, '{');
        ifab_buf_view(&body, a->task);
        if (!end_body(&body, a->lease_ms, ms)) {
            no_memory(c);
            return;
        }
        struct cli_call call = {.method = "POST", .target = "/v1/tasks/claim", .body = ifab_buf_as_view(&body)};
        const struct ifab_json *claim = over ? &nothing : ask(c, &call, NULL, NULL);
        if (claim == NULL) {
            if (is_lost(c)) {
                unsay(c);
                fail(c, "NO_ANSWER", "The answer was lost: a task it may have named goes back", "ask again", true);
            }
            return;
        }
        if (claim != &nothing && c->caller->ended(c->caller->user)) {
            give_back(c, claim);
            claim = &nothing;
        }
        if (claim != &nothing || ms == 0) {
            if (!mcp_result_claim(c->result, claim == &nothing ? NULL : claim))
                fail(c, "FAILED", "the daemon's answer is no claim", "ask the operator", false);
            return;
        }
        ifab_arena_reset(&c->arena);
    }
}

static void call_task(struct call *c, const char *verb)
{
    const struct mcp_arguments *a = &c->action->arguments;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(16 * MCP_LINE_MAX), renew = IFAB_BUF_INIT(256);
    bool progress = c->action->tool == MCP_TASK_PROGRESS;
    ifab_buf_char(&body, '{');
    ifab_buf_view(&body, a->task);
    ifab_buf_format(&renew, "{\"fence\":%lld", (long long)a->fence);
    if (!end_body(&body, 0, -1) || !end_body(&renew, a->lease_ms, -1)) {
        no_memory(c);
        return;
    }
    const struct ifab_json *tree = NULL;
    if (progress) /* a model cannot renew beside its work: what it says renews */
        tree = task_act(c, a->id, "renew", ifab_buf_as_view(&renew));
    if (progress ? tree != NULL && a->says : true)
        tree = task_act(c, a->id, verb, ifab_buf_as_view(&body));
    if (tree != NULL && !mcp_result_task(c->result, tree, a->fence))
        fail(c, "FAILED", "the daemon's answer is no task", "ask the operator", false);
}

static void call_inbox(struct call *c)
{
    int64_t start = now_ms(), told_s = 0;
    const char *after = c->action->arguments.after;
    char next[80];
    for (;;) {
        int64_t ms = slice(c, start, &told_s);
        struct ifab_view cursor;
        const struct ifab_json *page = get_page(c, after, c->action->arguments.limit, ms);
        if (page == NULL || ms == 0 || item_count(page) > 0) {
            finish_page(c, page, after);
            return;
        }
        if (ifab_json_string(ifab_json_get(page, "next"), &cursor) && cli_path(next, sizeof next, IFAB_FMT, IFAB_ARG(cursor)))
            after = next; /* what was looked through need not be looked through again */
        ifab_arena_reset(&c->arena);
    }
}

/* With a key of its own: asked twice it counts once. */
static void call_cost(struct call *c)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(16384), key = IFAB_BUF_INIT(64);
    uint8_t random[16];
    char name[65];
    const char *own = c->action->trace, *trace = c->action->arguments.trace;
    ifab_random(random, sizeof random);
    ifab_buf_str(&key, "mcp-");
    ifab_buf_hex(&key, random, sizeof random);
    ifab_buf_char(&key, '\0');
    ifab_buf_char(&body, '{');
    ifab_buf_view(&body, c->action->arguments.cost);
    ifab_buf_str(&body, ",\"talent\":");
    ifab_json_put_cstr(&body, cli_as_name(c->cli, name));
    ifab_buf_char(&body, '}');
    if (ifab_buf_status(&body) != IFAB_OK || ifab_buf_status(&key) != IFAB_OK) {
        no_memory(c);
        return;
    }
    char before[sizeof c->cli->trace];
    memcpy(before, c->cli->trace, sizeof before);
    if (trace != NULL || own[0] != '\0')
        cli_path(c->cli->trace, sizeof c->cli->trace, "%s", trace != NULL ? trace : own);
    struct cli_call call = {.method = "POST", .target = "/v1/costs", .body = ifab_buf_as_view(&body), .idempotency_key = (const char *)key.data};
    c->recorded = true;
    const struct ifab_json *tree = ask(c, &call, "cost", NULL);
    if (tree == NULL && is_lost(c)) {
        unsay(c);
        tree = ask(c, &call, "cost", NULL);
        if (tree == NULL && is_lost(c)) {
            unsay(c);
            fail(c, "NO_ANSWER", "The answer was lost, so whether the cost was recorded is unknown", "ask the operator: ifctl cost report", false);
        }
    }
    memcpy(c->cli->trace, before, sizeof before);
    if (tree != NULL && !mcp_result_cost(c->result, tree))
        fail(c, "FAILED", "the daemon's answer is no receipt of a cost", "ask the operator", false);
}

const struct ifab_json *mcp_ask(struct mcp_asking *asking, struct cli_call *call)
{
    struct ifab_response response;
    const struct ifab_json *tree = NULL;
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_RESPONSE_MAX};
    struct ifab_view copy;
    struct call c = {.cli = asking->cli, .result = asking->result};
    memset(&response, 0, sizeof response);
    (void)cli_clean_err(asking->cli);
    call->silent = true;
    int code = cli_call(asking->cli, call, &response);
    if (code != 0 && asking->cli->err.text[0] != '\0') {
        bool lost = is_lost(&c) && strcmp(call->method, "GET") != 0;
        fail(&c, "NO_ANSWER", lost ? "The answer was lost, so whether anything was done is unknown" : "No fabric answers. Nothing was done",
             lost ? "look with witness_trace, or ask the operator, before you try it again" : "ask the operator whether the fabric runs: ifctl doctor", !lost);
        return NULL;
    }
    bool read = response.body.size > 0 && ifab_arena_copy(asking->arena, response.body, &copy) == IFAB_OK &&
                ifab_json_read(copy, &limits, asking->arena, &tree, NULL) == IFAB_OK;
    if (read && (code == 0 || (asking->keeps != NULL && ifab_json_get(tree, asking->keeps) != NULL)))
        return tree;
    if (code == 0 || !read || !mcp_result_answer_error(asking->result, ifab_json_get(tree, "error")))
        fail(&c, "FAILED", "the daemon's answer gives no reason", "ask the operator", false);
    return NULL;
}

void mcp_unsay(struct mcp_result *result)
{
    ifab_buf_clear(&result->text);
    ifab_buf_clear(&result->structured);
    result->is_error = false;
}

/* Tasks and money are in the hands of the talent, not of whoever may use the socket. */
static void call_of_talent(struct call *c)
{
    if (mcp_speak(c->cli, c->result)) {
        if (c->action->tool == MCP_COST)
            call_cost(c);
        else if (c->action->tool == MCP_TASK_NEXT)
            call_task_next(c);
        else
            call_task(c, c->action->tool == MCP_TASK_PROGRESS ? "progress" : c->action->tool == MCP_TASK_COMPLETE ? "complete" : "fail");
    }
    cli_speak_end(c->cli);
}

void mcp_call(struct cli *cli, const struct mcp_action *action, const struct mcp_caller *caller, struct mcp_result *result)
{
    struct call c = {.cli = cli, .action = action, .caller = caller, .result = result};
    ifab_arena_init(&c.arena, (size_t)256 << 20);
    cli->retry = 0; /* when to try again is for the model to say */
    if (action->refusal.code != IFAB_CODE_NONE) {
        mcp_result_refusal(result, &action->refusal);
    } else {
        switch (action->tool) {
        case MCP_CAPABILITY:
            mcp_capability_call(cli, action, caller, result);
            break;
        case MCP_SEND:
            call_send(&c);
            break;
        case MCP_INBOX:
            call_inbox(&c);
            break;
        case MCP_DECISION:
            call_decision(&c);
            break;
        case MCP_TRACE:
            finish_page(&c, get_page(&c, NULL, action->arguments.limit, 0), NULL);
            break;
        case MCP_COST:
        case MCP_TASK_NEXT:
        case MCP_TASK_PROGRESS:
        case MCP_TASK_COMPLETE:
        case MCP_TASK_FAIL:
            call_of_talent(&c);
            break;
        }
    }
    ifab_arena_fini(&c.arena);
}
