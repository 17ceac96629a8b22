/*
 * Lines of a client through the reader of MCP messages, and what they become through the writers: no line comes out as two, what comes out
 * is JSON by our own strict reader, an error names its code, and arguments that were taken over hold what the table promises.
 * The input is a stream: lines share one handshake, as on stdin.
 */
#include <stdlib.h>

#include "mcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* One whole line, and strict JSON. */
static void check_line(const struct ifab_buf *line)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    const struct ifab_json_limits limits = {.max_size = (size_t)64 << 20};
    check(ifab_buf_status(line) == IFAB_OK && line->size > 1);
    check(memchr(line->data, '\n', line->size) == line->data + line->size - 1);
    ifab_arena_init(&arena, (size_t)256 << 20);
    check(ifab_json_read(ifab_view_of(line->data, line->size - 1), &limits, &arena, &tree, NULL) == IFAB_OK);
    check(tree->type == IFAB_JSON_OBJECT && ifab_json_get(tree, "jsonrpc") != NULL);
    ifab_arena_fini(&arena);
}

static void check_call(const struct mcp_action *a, struct ifab_buf *line)
{
    struct mcp_result result = {IFAB_BUF_INIT(1 << 20), IFAB_BUF_INIT(1 << 20), false, false};
    check((size_t)a->tool < mcp_tool_count);
    if (a->refusal.code != IFAB_CODE_NONE) {
        mcp_result_refusal(&result, &a->refusal);
        check(result.is_error);
    } else {
        const struct ifab_draft *d = &a->arguments.draft;
        check(a->arguments.wait_s >= 0 && a->arguments.wait_s <= MCP_WAIT_MAX);
        check(d->receiver_count <= 64 && d->hazard_count <= 16 && d->evidence_count <= 64);
        for (size_t i = 0; i < d->receiver_count; i++)
            check(d->receivers[i] != NULL && d->receivers[i][0] != '\0');
        for (size_t i = 0; i < d->evidence_count; i++)
            check(d->evidence[i].url != NULL && d->evidence[i].type != NULL);
        check(a->tool != MCP_SEND || d->claim != NULL || d->data.size > 0 || d->performative != NULL);
        check(a->tool != MCP_DECISION || a->arguments.id != NULL);
        check(a->tool < MCP_TASK_NEXT || a->arguments.task.size > 0);
        check(a->tool <= MCP_TASK_NEXT || (a->arguments.id != NULL && a->arguments.fence > 0));
        check(a->tool != MCP_TRACE || (a->arguments.trace != NULL && strlen(a->arguments.trace) == 36));
        mcp_result_failure(&result, "NO_ANSWER", "none", "none", true);
    }
    mcp_put_result(line, a, &result, "0");
    ifab_buf_fini(&result.text);
    ifab_buf_fini(&result.structured);
}

static void one_line(struct mcp_state *state, struct ifab_view bytes)
{
    struct ifab_arena arena;
    struct mcp_action a;
    struct ifab_buf line = IFAB_BUF_INIT((size_t)16 << 20);
    ifab_arena_init(&arena, MCP_ARENA_MAX);
    mcp_read(state, bytes, &arena, &a);
    check(!state->ready || state->initialized);
    check(a.kind == MCP_IGNORE || a.kind == MCP_ERROR || a.id.size > 0);
    if (a.kind == MCP_ERROR) {
        check(a.error != 0 && memchr(a.message, 0, sizeof a.message) != NULL);
        mcp_put_error(&line, &a);
    } else if (a.kind == MCP_CALL) {
        check_call(&a, &line);
    } else if (a.kind == MCP_LISTEN) {
        mcp_put_listening(&line, a.id);
    } else if (a.kind != MCP_IGNORE && a.kind != MCP_CANCEL) {
        mcp_put_pong(&line, a.id);
    }
    if (line.size > 0 || line.failed != IFAB_OK)
        check_line(&line);
    ifab_buf_fini(&line);
    ifab_arena_fini(&arena);
}

/* The same bytes as the daemon's answer: whatever it says, a result is whole. */
static void as_answer(struct ifab_view bytes)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    const struct mcp_action action = {.kind = MCP_CALL, .modern = true, .id = IFAB_VIEW("1")};
    ifab_arena_init(&arena, MCP_ARENA_MAX);
    if (ifab_json_read(bytes, NULL, &arena, &tree, NULL) == IFAB_OK) {
        for (int way = 0; way < 4; way++) {
            struct mcp_result result = {IFAB_BUF_INIT((size_t)16 << 20), IFAB_BUF_INIT((size_t)16 << 20), false, false};
            struct ifab_buf line = IFAB_BUF_INIT((size_t)64 << 20);
            bool good = way == 0   ? mcp_result_receipt(&result, tree, NULL, true)
                        : way == 1 ? mcp_result_decision(&result, tree)
                        : way == 2 ? mcp_result_page(&result, MCP_INBOX, tree, "3")
                                   : mcp_result_answer_error(&result, tree);
            check(good || (way < 3 ? result.structured.size == 0 : !result.is_error));
            if (good) {
                mcp_put_result(&line, &action, &result, "0");
                check_line(&line);
            }
            ifab_buf_fini(&line);
            ifab_buf_fini(&result.text);
            ifab_buf_fini(&result.structured);
        }
    }
    ifab_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mcp_state state = {0};
    const uint8_t *end = data + size;
    as_answer(ifab_view_of(data, size));
    for (const uint8_t *at = data; at < end;) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        one_line(&state, ifab_view_of(at, (size_t)(stop - at)));
        at = stop + 1;
    }
    return 0;
}
