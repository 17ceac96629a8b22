/*
 * Calls of capabilities from MCP: what is offered is asked of the daemon each time, and a tool is called only under the manifest it was listed with.
 * The requests are the talent's own (speak.c). What the daemon refuses is the tool's answer, in words a model can act on.
 */
#include "call.h"
#include "mcp_call.h"

#include "crypto/crypto.h"

#define APPLY_MAX (330 * IFAB_SECOND)

static const struct ifab_json *get(struct mcp_asking *a, const char *format, struct ifab_view name)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    char segment[256];
    ifab_buf_str(&target, format);
    if (name.size > 0 && cli_path(segment, sizeof segment, IFAB_FMT, IFAB_ARG(name)))
        cli_put_segment(&target, segment);
    ifab_buf_char(&target, '\0');
    struct cli_call call = {.method = "GET", .target = ifab_buf_status(&target) == IFAB_OK ? (const char *)target.data : "/v1/capabilities"};
    return mcp_ask(a, &call);
}

static bool seen(const struct ifab_json *items, size_t n)
{
    struct ifab_view id = {NULL, 0}, other = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(&items->u.array.items[n], "id"), &id);
    for (size_t i = 0; i < n; i++)
        if (ifab_json_string(ifab_json_get(&items->u.array.items[i], "id"), &other) && ifab_view_equal(id, other))
            return true;
    return false;
}

/* Of each capability the newest version that may be called. *ret_offers lies in the arena. false: result says why. */
static bool load(struct mcp_asking *a, struct mcp_offer **ret_offers, size_t *ret_count)
{
    const struct ifab_json *list = get(a, "/v1/capabilities?granted=1&limit=1000", IFAB_VIEW("")), *items = ifab_json_get(list, "items");
    struct mcp_offer *offers = ifab_arena_calloc(a->arena, MCP_OFFERS_MAX, sizeof *offers);
    size_t count = 0;
    if (list == NULL)
        return false;
    for (size_t i = 0; offers != NULL && items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
        struct ifab_view id = {NULL, 0};
        if (seen(items, i) || !ifab_json_string(ifab_json_get(&items->u.array.items[i], "id"), &id) || id.size < 17)
            continue;
        const struct ifab_json *one = get(a, "/v1/capabilities", ifab_view_of(id.data + 16, id.size - 16));
        if (one == NULL) { /* gone meanwhile, or nothing of it may be loaded: not offered */
            mcp_unsay(a->result);
            continue;
        }
        count = mcp_offers_add(one, offers, count, MCP_OFFERS_MAX);
    }
    *ret_offers = offers;
    *ret_count = offers == NULL ? 0 : mcp_offers_distinct(offers, count);
    return offers != NULL;
}

/* ---- one call ---- */

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

static const struct ifab_json *post(struct mcp_asking *a, struct ifab_view capability, const char *tail, const struct ifab_buf *body, const char *key)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    char name[200];
    ifab_buf_str(&target, "/v1/capabilities");
    if (cli_path(name, sizeof name, IFAB_FMT, IFAB_ARG(capability)))
        cli_put_segment(&target, name);
    ifab_buf_str(&target, tail);
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK || ifab_buf_status(body) != IFAB_OK) {
        mcp_result_failure(a->result, "NO_MEMORY", "out of memory", "", true);
        return NULL;
    }
    struct cli_call call = {.method = "POST", .target = (const char *)target.data, .body = ifab_buf_as_view(body), .idempotency_key = key, .show_403 = true};
    return mcp_ask(a, &call);
}

static void apply(struct mcp_asking *a, const struct ifab_json *plan)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(256);
    struct ifab_view capability = text_of(plan, "capability"), prefix = IFAB_VIEW("if://capability/");
    const uint8_t *at = capability.size == 0 ? NULL : memchr(capability.data, '@', capability.size);
    if (at == NULL || !ifab_view_starts(capability, prefix)) {
        mcp_result_failure(a->result, "FAILED", "the daemon's answer is no plan", "ask the operator", false);
        return;
    }
    ifab_buf_str(&body, "{\"plan_hash\":");
    ifab_json_put_string(&body, text_of(plan, "plan_hash"));
    ifab_buf_char(&body, '}');
    a->cli->timeout_usec = APPLY_MAX; /* also of a client that is opened anew */
    if (a->cli->client != NULL)
        ifab_client_set_timeout(a->cli->client, APPLY_MAX);
    a->keeps = "fuel"; /* a call that was begun and failed answers with its receipt */
    const struct ifab_json *receipt = post(a, ifab_view_of(capability.data + prefix.size, (size_t)(at - capability.data) - prefix.size), "/apply", &body, NULL);
    a->keeps = NULL;
    if (receipt == NULL)
        return;
    if (ifab_json_get(receipt, "decision") != NULL && ifab_json_get(receipt, "fuel") == NULL)
        mcp_result_denied(a->result, receipt);
    else if (!mcp_result_applied(a->result, receipt))
        mcp_result_failure(a->result, "FAILED", "the daemon's answer is no receipt: whether it was done is unknown", "look with witness_trace before you try it again", false);
}

/* Approved, or asked for. */
static void go_on(struct mcp_asking *a, const struct ifab_json *plan)
{
    const struct ifab_json *approval = ifab_json_get(plan, "approval");
    struct ifab_view state = text_of(approval, "state"), asked = text_of(approval, "message");
    struct call call;
    char id[41];
    if (ifab_view_is(state, "not needed") || ifab_view_is(state, "approved")) {
        apply(a, plan);
        return;
    }
    if (ifab_view_is(state, "needed") && asked.size > 0 && cli_path(id, sizeof id, IFAB_FMT, IFAB_ARG(asked))) {
        mcp_result_asked(a->result, plan, id);
        return;
    }
    if (!ifab_view_is(state, "needed")) {
        mcp_result_denied(a->result, plan);
        return;
    }
    call_begin(&call, a->cli);
    int code = call_take(&call, plan);
    if (code == 0)
        code = call_ask(&call, id);
    call_end(&call);
    if (code == EXIT_HELD)
        mcp_result_asked(a->result, plan, id);
    else if (code == EXIT_DENIED)
        mcp_result_denied(a->result, plan);
    else if (code == 0)
        apply(a, plan);
    else
        mcp_result_failure(a->result, "FAILED", "the message that asks for approval could not be sent: see the server's stderr", "ask the operator", false);
}

static void plan(struct mcp_asking *a, const struct mcp_offer *offer, const struct ifab_json *arguments)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(8 * MCP_LINE_MAX);
    char key[40] = "mcp-";
    uint8_t random[16];
    struct ifab_view why = text_of(arguments, "why");
    bool any = false;
    ifab_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(key + 4 + 2 * i, 3, "%02x", random[i]);
    if (why.size == 0) {
        struct ifab_refusal refusal = {.offset = -1};
        ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, "why", "say why");
        mcp_result_refusal(a->result, &refusal);
        return;
    }
    ifab_buf_str(&body, "{\"operation\":");
    ifab_json_put_string(&body, offer->operation);
    ifab_buf_str(&body, ",\"version\":");
    ifab_json_put_string(&body, offer->version);
    ifab_buf_str(&body, ",\"why\":");
    ifab_json_put_string(&body, why);
    ifab_buf_str(&body, ",\"params\":{");
    for (size_t i = 0; i < arguments->u.object.count; i++) {
        const struct ifab_json_member *m = &arguments->u.object.members[i];
        if (ifab_view_is(m->name, "why"))
            continue;
        ifab_buf_str(&body, any ? "," : "");
        any = true;
        ifab_json_put_string(&body, m->name);
        ifab_buf_char(&body, ':');
        ifab_json_write(&body, &m->value);
    }
    ifab_buf_str(&body, "}}");
    const struct ifab_json *tree = post(a, offer->capability, "/plan", &body, key);
    if (tree == NULL)
        return;
    if (ifab_view_is(text_of(tree, "decision"), "DENY"))
        mcp_result_denied(a->result, tree);
    else
        go_on(a, tree);
}

static void by_hash(struct mcp_asking *a, const struct ifab_json *arguments)
{
    struct ifab_view hash = text_of(arguments, "plan_hash");
    struct ifab_refusal refusal = {.offset = -1};
    if (hash.size != 71 || arguments->u.object.count != 1) {
        ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, "plan_hash", "plan_hash, sha256:…, and nothing else");
        mcp_result_refusal(a->result, &refusal);
        return;
    }
    const struct ifab_json *tree = get(a, "/v1/plans", hash);
    if (tree != NULL)
        go_on(a, tree);
}

static void changed(struct mcp_asking *a, const struct mcp_offer *offer)
{
    char text[400];
    cli_path(text, sizeof text, "the manifest behind %s is not the one this tool was listed with: it is " IFAB_FMT " %s now. Nothing was done", offer->name,
             IFAB_ARG(offer->version), offer->digest);
    mcp_result_failure(a->result, "CHANGED", text, "list the tools again, read what it says now, and ask the person you work for whether it may still be used", false);
}

static void begin(struct mcp_asking *a, struct cli *own, const struct cli *cli, struct ifab_arena *arena, struct mcp_result *result)
{
    *own = *cli;
    own->client = NULL; /* one of its own: it speaks with another token */
    own->retry = 0;
    *a = (struct mcp_asking){.cli = own, .arena = arena, .result = result};
}

static void end(struct cli *own)
{
    cli_speak_end(own);
    ifab_client_close(own->client);
}

bool mcp_speak(struct cli *cli, struct mcp_result *result)
{
    int code = cli_speak_begin(cli);
    if (code == 0)
        return true;
    if (code == EXIT_NO_ANSWER)
        mcp_result_failure(result, "NO_ANSWER", "No fabric answers. Nothing was done", "ask the operator whether the fabric runs: ifctl doctor", true);
    else
        mcp_result_failure(result, "FAILED", "this talent could not be spoken for: see the server's stderr", "ask the operator", false);
    return false;
}

void mcp_capability_call(const struct cli *cli, const struct mcp_action *action, const struct mcp_caller *caller, struct mcp_result *result)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct cli *own = ifab_malloc(sizeof *own);
    struct mcp_offer *offers;
    struct mcp_asking a;
    size_t count, i = 0;
    if (own == NULL) {
        mcp_result_failure(result, "NO_MEMORY", "out of memory", "", true);
        return;
    }
    ifab_arena_init(&arena, (size_t)256 << 20);
    begin(&a, own, cli, &arena, result);
    if (action->trace[0] != '\0')
        memcpy(own->trace, action->trace, sizeof own->trace);
    if (mcp_speak(own, result) && mcp_offer_goes_on(action->offer)) {
        by_hash(&a, action->offered);
    } else if (!result->is_error && load(&a, &offers, &count)) {
        while (i < count && !ifab_view_is(action->offer, offers[i].name))
            i++;
        if (i == count)
            result->unknown_tool = true;
        else if (!caller->listed(caller->user, &offers[i]))
            changed(&a, &offers[i]);
        else
            plan(&a, &offers[i], action->offered);
    }
    end(own);
    ifab_free(own);
}

void mcp_capability_list(const struct cli *cli, struct ifab_arena *arena, struct mcp_offer **ret_offers, size_t *ret_count)
{
    struct cli *own = ifab_malloc(sizeof *own);
    struct mcp_result unused = {IFAB_BUF_INIT(65536), IFAB_BUF_INIT(65536), false, false};
    struct mcp_asking a;
    *ret_count = 0;
    if (own == NULL)
        return;
    begin(&a, own, cli, arena, &unused);
    if (!mcp_speak(own, &unused) || !load(&a, ret_offers, ret_count)) /* no answer, or no capabilities here (509): none are offered */
        *ret_count = 0;
    end(own);
    ifab_free(own);
    ifab_buf_fini(&unused.text);
    ifab_buf_fini(&unused.structured);
}
