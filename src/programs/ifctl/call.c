/*
 * One call of a capability, from what was said to its receipt: plan, approval by a signed message where the plan needs one, apply. The daemon checks
 * everything again at every step; nothing here is relied on.
 */
#include "call.h"

#include <time.h>

#include "base/encode.h"
#include "base/id.h"
#include "crypto/crypto.h"
#include "manifest.h"

#define EXIT_FALSIFIED    32
#define EXIT_INCONCLUSIVE 33
#define APPLY_MAX         (330 * IFAB_SECOND) /* the longest deadline a manifest can name, and some */
#define DENY_COLUMNS      "DECISION:decision|REASON:reason|RULE:rule|ENTRY:entry.index"

void call_begin(struct call *self, struct cli *cli)
{
    *self = (struct call){.cli = cli};
    ifab_arena_init(&self->arena, (size_t)64 << 20);
}

void call_end(struct call *self) { ifab_arena_fini(&self->arena); }

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

/* "/v1/capabilities/NAME" + tail, ended; the caller frees it. */
static int target_of(struct cli *cli, const char *route, const char *name, const char *tail, struct ifab_buf *target)
{
    ifab_buf_init(target, 4096);
    ifab_buf_str(target, route);
    cli_put_segment(target, name);
    ifab_buf_str(target, tail);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
}

/* The plan as it came: what it is of, and its hash. */
int call_take(struct call *self, const struct ifab_json *plan)
{
    struct ifab_view capability = text_of(plan, "capability"), hash = text_of(plan, "plan_hash");
    struct ifab_view prefix = IFAB_VIEW("if://capability/");
    const uint8_t *at = capability.size == 0 ? NULL : memchr(capability.data, '@', capability.size);
    if (at == NULL || !ifab_view_starts(capability, prefix) || !cli_path(self->hash, sizeof self->hash, IFAB_FMT, IFAB_ARG(hash)) || hash.size != 71 ||
        !cli_path(self->name, sizeof self->name, "%.*s", (int)((size_t)(at - capability.data) - prefix.size), (const char *)capability.data + prefix.size))
        return cli_refuse(self->cli, IFAB_CODE_SYSTEM_ERROR, "the answer is no plan");
    self->plan = plan;
    return 0;
}

int call_read_plan(struct call *self, const char *hash_or_id)
{
    struct ifab_buf target;
    const struct ifab_json *plan;
    int code = target_of(self->cli, "/v1/plans", hash_or_id, "", &target);
    if (code == 0)
        code = cli_get_json(self->cli, (const char *)target.data, &self->arena, &plan);
    ifab_buf_fini(&target);
    return code == 0 ? call_take(self, plan) : code;
}

static int denied(struct cli *cli, const struct ifab_json *answer)
{
    struct ifab_view hint = text_of(answer, "hint");
    cli_print_tree(cli, answer, DENY_COLUMNS);
    if (hint.size > 0)
        cli_say(cli, "hint: " IFAB_FMT, IFAB_ARG(hint));
    return EXIT_DENIED;
}

/* Version and operation are settled before anything is planned: parameters are typed by what will be planned with. */
struct wanted {
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    struct ifab_manifest manifest;
    const struct ifab_operation *operation;
};

static int find_operation(struct call *self, struct wanted *w)
{
    struct cli *cli = self->cli;
    const char *word = cli->word_count > 1 ? cli->words[1] : NULL, *option = cli_get(cli, "operation"), *name = word != NULL ? word : option;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf names = IFAB_BUF_INIT(8192);
    if (word != NULL && option != NULL && strcmp(word, option) != 0)
        return cli_usage(cli, "two operations: %s and %s", word, option);
    w->operation = ifab_manifest_operation(&w->manifest, ifab_view_str(name == NULL ? "" : name));
    for (size_t i = 0; w->operation == NULL && i < w->manifest.operation_count; i++) {
        ifab_buf_str(&names, i > 0 ? ", " : "");
        ifab_buf_view(&names, w->manifest.operations[i].name);
    }
    return w->operation != NULL ? 0 : cli_usage(cli, "%s has no operation \"%s\"; it has " IFAB_FMT, w->name, name, (int)names.size, (const char *)names.data);
}

static int find_wanted(struct call *self, struct wanted *w)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    const struct ifab_json *tree;
    struct ifab_refusal refusal = {.offset = -1};
    int code = cli_capability_word(self->cli, self->cli->words[0], w->name, w->version);
    if (code != 0)
        return code;
    ifab_buf_str(&target, "/v1/capabilities");
    cli_put_segment(&target, w->name);
    cli_put_query(&target, "version", w->version[0] == '\0' ? NULL : w->version);
    ifab_buf_char(&target, '\0');
    code = ifab_buf_status(&target) != IFAB_OK ? cli_fail(self->cli, IFAB_NOMEM) : cli_get_json(self->cli, (const char *)target.data, &self->arena, &tree);
    ifab_buf_fini(&target);
    if (code != 0)
        return code;
    if (ifab_json_get(tree, "manifest") == NULL ||
        ifab_manifest_from_tree(ifab_json_get(tree, "manifest"), &self->arena, &w->manifest, &refusal) != IFAB_CODE_NONE ||
        !cli_path(w->version, sizeof w->version, IFAB_FMT, IFAB_ARG(w->manifest.version)))
        return cli_refuse(self->cli, IFAB_CODE_SYSTEM_ERROR, "the answer holds no manifest");
    return find_operation(self, w);
}

/* What its schema refuses is said before anything is asked. */
static int check_params(struct call *self, const struct wanted *w, struct ifab_view json)
{
    const struct ifab_json *params, *whole;
    struct ifab_view copy;
    struct ifab_refusal refusal = {.offset = -1};
    if (ifab_arena_copy(&self->arena, json, &copy) != IFAB_OK || ifab_json_read(copy, NULL, &self->arena, &params, cli_clean_err(self->cli)) != IFAB_OK)
        return cli_usage(self->cli, "parameters: %s", self->cli->err.text);
    enum ifab_code code = ifab_params_check(w->operation->params, params, &self->arena, &whole, &refusal);
    return code == IFAB_CODE_NONE ? 0 : cli_refuse(self->cli, (int)code, "%s " IFAB_FMT ": %s", w->name, IFAB_ARG(w->operation->name), refusal.message);
}

static int put_plan(struct call *self, const struct wanted *w, struct cli_body *body)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf params = IFAB_BUF_INIT((size_t)1 << 20);
    char operation[IFAB_NAME_MAX + 1], words[2 * CLI_CAPABILITY_NAME_MAX];
    cli_path(operation, sizeof operation, IFAB_FMT, IFAB_ARG(w->operation->name));
    cli_path(words, sizeof words, "%s %s", w->name, operation);
    int code = call_params(self->cli, words, w->operation->params, &params);
    if (code == 0)
        code = check_params(self, w, ifab_buf_as_view(&params));
    ifab_buf_char(&params, '\0');
    if (code != 0)
        return code;
    cli_body_text(body, "operation", operation);
    cli_body_raw(body, "params", ifab_buf_status(&params) == IFAB_OK ? (const char *)params.data : "null");
    cli_body_text(body, "version", w->version);
    cli_body_text(body, "why", self->cli->why);
    cli_body_end(body);
    return cli_body_good(self->cli, body);
}

/* The answer's tree in the arena; the client's buffer is used again. */
static int keep_answer(struct call *self, const struct ifab_response *response, const struct ifab_json **ret_tree)
{
    struct ifab_view copy;
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_RESPONSE_MAX};
    if (ifab_arena_copy(&self->arena, response->body, &copy) == IFAB_OK && ifab_json_read(copy, &limits, &self->arena, ret_tree, cli_clean_err(self->cli)) == IFAB_OK)
        return 0;
    return cli_refuse(self->cli, IFAB_CODE_SYSTEM_ERROR, "the answer is not JSON");
}

static int post(struct call *self, const char *name, const char *tail, struct ifab_view body, const char *key, struct ifab_response *ret)
{
    struct ifab_buf target;
    int code = target_of(self->cli, "/v1/capabilities", name, tail, &target);
    const struct cli_call call = {.method = "POST", .target = (const char *)target.data, .body = body, .idempotency_key = key, .show_403 = true};
    memset(ret, 0, sizeof *ret);
    if (code == 0)
        code = cli_call(self->cli, &call, ret);
    ifab_buf_fini(&target);
    return code;
}

int call_plan(struct call *self)
{
    struct wanted w = {.operation = NULL};
    struct cli_body body;
    struct ifab_response response;
    const struct ifab_json *tree;
    char key[40] = "cli-";
    uint8_t random[16];
    int code = find_wanted(self, &w);
    if (code != 0)
        return code;
    ifab_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(key + 4 + 2 * i, 3, "%02x", random[i]);
    cli_body_begin(&body);
    code = put_plan(self, &w, &body);
    if (code == 0)
        code = post(self, w.name, "/plan", ifab_buf_as_view(&body.buf), key, &response);
    ifab_buf_fini(&body.buf);
    if (code == 0)
        code = keep_answer(self, &response, &tree);
    if (code != 0)
        return code;
    if (response.status == 403) {
        return denied(self->cli, tree);
    }
    return call_take(self, tree);
}

/* ---- shown ---- */

static void show(const char *label, struct ifab_view text)
{
    fprintf(stderr, "  %-11s ", label);
    cli_put_text(stderr, text);
    fputc('\n', stderr);
}

void call_show(const struct call *self)
{
    static const char *const rows[][2] = {{"capability", "capability"}, {"operation", "operation"}, {"params", "params"},     {"effect", "effect"},
                                          {"summary", "summary"},       {"will", "said_effects"},   {"cost", "cost"},           {"until", "expires_at"}, {"plan", "plan_hash"}};
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 8 << 20);
    if (self->cli->quiet)
        return;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (ifab_json_get(self->plan, rows[i][1]) != NULL)
            show(rows[i][0], cli_path_text(self->plan, rows[i][1], strlen(rows[i][1]), &arena));
}

/* ---- approval ---- */

struct asking {
    struct ifab_buf scope, data;
    char receiver[400], sender[160], trace[40];
};

static int put_asking(struct call *self, struct asking *a)
{
    struct ifab_view trace = text_of(self->plan, "trace");
    int code = cli_origin(self->cli);
    if (code != 0)
        return code;
    ifab_buf_format(&a->data, "{\"apply\":{\"plan_hash\":\"%s\"}}", self->hash);
    ifab_buf_str(&a->scope, "{\"capability\":");
    ifab_json_put_string(&a->scope, text_of(self->plan, "capability"));
    ifab_buf_str(&a->scope, ",\"operation\":");
    ifab_json_put_string(&a->scope, text_of(self->plan, "operation"));
    ifab_buf_char(&a->scope, '}');
    cli_path(a->trace, sizeof a->trace, IFAB_FMT, IFAB_ARG(trace));
    if (!cli_path(a->receiver, sizeof a->receiver, "if://fabric/%s", self->cli->origin) || !cli_path(a->sender, sizeof a->sender, "if://agent/%s", self->cli->as) ||
        ifab_buf_status(&a->data) != IFAB_OK || ifab_buf_status(&a->scope) != IFAB_OK)
        return cli_fail(self->cli, IFAB_NOMEM);
    return 0;
}

/* Signs and sends it, one at a time per sender. Exit code by its decision. */
static int send_asking(struct call *self, const struct asking *a, char ret_id[41])
{
    struct cli *cli = self->cli;
    IFAB_CLEANUP(ifab_message_free) struct ifab_message message = {0};
    struct cli_sequence sequence;
    struct ifab_response response;
    const struct ifab_json *tree;
    const char *const receivers[] = {a->receiver};
    struct ifab_draft draft = {.version = IFAB_DRAFT_VERSION, .sender = a->sender, .receivers = receivers, .receiver_count = 1, .performative = "request",
                               .scope = ifab_buf_as_view(&a->scope), .data = ifab_buf_as_view(&a->data), .trace = a->trace[0] != '\0' ? a->trace : NULL};
    int code = cli_identity(cli);
    if (code == 0)
        code = cli_sequence_lock(cli, a->sender, &sequence);
    if (code != 0)
        return code;
    draft.last_seq = sequence.last;
    ifab_status status = ifab_message_build(&draft, cli->identity, &message, cli_clean_err(cli));
    if (status != IFAB_OK) {
        cli_sequence_done(&sequence, 0);
        return cli_fail(cli, status);
    }
    const struct cli_call call = {.method = "POST", .target = "/v1/messages", .body = ifab_view_of(message.bytes.data, message.bytes.size),
                                  .idempotency_key = message.id, .show_403 = true, .seq = message.seq, .sender = a->sender,
                                  .message_id = message.id, .digest32 = message.digest32};
    code = cli_call(cli, &call, &response);
    cli_sequence_done(&sequence, message.seq); /* also after a refusal: the number may be used up */
    if (code == 0)
        code = keep_answer(self, &response, &tree);
    if (code == 0) {
        memcpy(ret_id, message.id, 41);
        code = cli_decision_exit(text_of(tree, "decision"));
        if (code == EXIT_DENIED)
            cli_stop(cli, EXIT_DENIED, NULL, "denied: " IFAB_FMT, IFAB_ARG(text_of(tree, "reason")));
    }
    return code;
}

static int wait_for(struct call *self, const char *id, int64_t wait_usec)
{
    struct cli *cli = self->cli;
    char name[65];
    cli_say(cli, "waits for approval by another owner: ifctl decision approve|refuse %s --as NAME --why …", id);
    int code = wait_usec > 0 ? cli_decision_wait(cli, id, wait_usec, CLI_WAIT_SILENT) : EXIT_HELD;
    if (code == EXIT_HELD)
        cli_say(cli, "not decided yet; go on later: ifctl capability apply --plan %s --as %s", self->hash, cli_as_name(cli, name));
    if (code == EXIT_DENIED)
        return cli_stop(cli, EXIT_DENIED, NULL, "refused: nothing was done (ifctl decision show %s)", id);
    return code;
}

int call_ask(struct call *self, char ret_id[41])
{
    struct asking a = {.scope = IFAB_BUF_INIT(4096), .data = IFAB_BUF_INIT(4096)};
    int code = put_asking(self, &a);
    if (code == 0)
        code = send_asking(self, &a, ret_id);
    ifab_buf_fini(&a.scope);
    ifab_buf_fini(&a.data);
    return code;
}

int call_approved(struct call *self, int64_t wait_usec)
{
    const struct ifab_json *approval = ifab_json_get(self->plan, "approval");
    struct ifab_view state = text_of(approval, "state"), message = text_of(approval, "message");
    char id[41];
    if (ifab_view_is(state, "not needed") || ifab_view_is(state, "approved"))
        return 0;
    if (!ifab_view_is(state, "needed"))
        return cli_stop(self->cli, EXIT_DENIED, NULL, "this plan was refused by a vote: nothing was done");
    if (message.size > 0 && cli_path(id, sizeof id, IFAB_FMT, IFAB_ARG(message))) /* asked before */
        return wait_for(self, id, wait_usec);
    int code = call_ask(self, id);
    return code == EXIT_HELD ? wait_for(self, id, wait_usec) : code;
}

/* ---- apply ---- */

static int post_apply(struct call *self, const char *mode, struct ifab_response *ret)
{
    char body[160];
    cli_path(body, sizeof body, "{\"mode\":\"%s\",\"plan_hash\":\"%s\"}", mode, self->hash);
    int code = cli_open_client(self->cli, false);
    if (code != 0)
        return code;
    if (self->cli->timeout_usec < APPLY_MAX && cli_get(self->cli, "timeout") == NULL)
        ifab_client_set_timeout(self->cli->client, APPLY_MAX);
    return post(self, self->name, "/apply", ifab_view_str(body), NULL, ret);
}

int call_apply(struct call *self, bool dry_run)
{
    struct ifab_response response;
    const struct ifab_json *tree;
    struct ifab_arena arena;
    int code = post_apply(self, dry_run ? "dry-run" : "apply", &response);
    if (code == 0)
        code = keep_answer(self, &response, &tree);
    else if (response.body.size > 0) { /* it began: the failure was said, the receipt is shown as well */
        ifab_arena_init(&arena, 64 << 20);
        if (ifab_json_read(response.body, NULL, &arena, &tree, NULL) == IFAB_OK && ifab_json_get(tree, "intent") != NULL)
            cli_print_tree(self->cli, tree, NULL);
        ifab_arena_fini(&arena);
        return code;
    }
    if (code != 0)
        return code;
    if (response.status == 403)
        return denied(self->cli, tree);
    cli_print_tree(self->cli, tree, NULL);
    return 0;
}

int call_falsify(struct call *self)
{
    struct ifab_response response;
    const struct ifab_json *tree, *list;
    int code = post_apply(self, "falsify", &response);
    if (code == 0)
        code = keep_answer(self, &response, &tree);
    if (code != 0)
        return code;
    struct ifab_view verdict = text_of(tree, "verdict");
    struct ifab_json_member items = {.name = IFAB_VIEW("items")};
    struct ifab_json object = {.type = IFAB_JSON_OBJECT};
    if ((list = ifab_json_get(tree, "challenges")) == NULL)
        return cli_refuse(self->cli, IFAB_CODE_SYSTEM_ERROR, "the answer holds no challenges");
    items.value = *list;
    object.u.object.members = &items;
    object.u.object.count = 1;
    bool rows = self->cli->format == CLI_TABLE || self->cli->format == CLI_CSV;
    cli_print_tree(self->cli, rows ? &object : tree, "CHALLENGE:challenge|VERDICT:verdict|EVIDENCE:evidence");
    cli_say(self->cli, IFAB_FMT, IFAB_ARG(verdict));
    return ifab_view_is(verdict, "survived") ? 0 : ifab_view_is(verdict, "falsified") ? EXIT_FALSIFIED : EXIT_INCONCLUSIVE;
}
