/* capability plan|apply|plans|close|health|logs. */
#include "call.h"
#include "manifest.h"

#define PLAN_COLUMNS "PLAN:plan_id|STATE:state|CAPABILITY:capability|OPERATION:operation|TALENT:talent|APPROVAL:approval.state|INTENT:intent|UNTIL:expires_at"
#define LINE_COLUMNS "AT:at|LEVEL:level|TALENT:talent|TEXT:text"
#define PLAN_LIFE    (600 * IFAB_SECOND) /* a vote after that releases nothing any more */

int cmd_capability_plan(struct cli *cli)
{
    struct call call;
    call_begin(&call, cli);
    int code = cli_speak_begin(cli);
    if (code == 0)
        code = call_plan(&call);
    if (code == 0) {
        cli_print_tree(cli, call.plan, NULL);
        cli_say(cli, "do it: ifctl capability apply --plan %s", call.hash);
    }
    cli_speak_end(cli);
    call_end(&call);
    return code;
}

static int apply(struct call *call, const char *mode, int64_t wait_usec)
{
    call_show(call);
    if (strcmp(mode, "falsify") == 0)
        return call_falsify(call);
    bool dry_run = strcmp(mode, "dry-run") == 0;
    int code = dry_run ? 0 : call_approved(call, wait_usec);
    return code == 0 ? call_apply(call, dry_run) : code;
}

int cmd_capability_apply(struct cli *cli)
{
    const char *plan = cli_get(cli, "plan"), *mode = cli_get(cli, "mode"), *wait = cli_get(cli, "wait");
    int64_t wait_usec = PLAN_LIFE;
    struct call call;
    if ((plan != NULL) == (cli->word_count > 0))
        return cli_usage(cli, plan != NULL ? "--plan says all: no capability beside it" : "say what: ID [OPERATION], or --plan sha256:…");
    for (size_t i = 0; plan != NULL && i < cli->given_count; i++) {
        struct ifab_view name = ifab_view_of(cli->given[i].name, cli->given[i].name_size);
        if (ifab_view_is(name, "param") || (cli_option_find(cli_globals, cli_global_count, name) == NULL && !cli_command_takes(cli->command, name)))
            return cli_usage(cli, "--plan says all: no parameters beside it");
    }
    if (wait != NULL && !cli_duration(wait, &wait_usec))
        return cli_usage(cli, "--wait is a time such as 30s, not \"%s\"", wait);
    call_begin(&call, cli);
    int code = cli_speak_begin(cli);
    if (code == 0)
        code = plan != NULL ? call_read_plan(&call, plan) : call_plan(&call);
    if (code == 0)
        code = apply(&call, mode == NULL ? "normal" : mode, wait_usec);
    cli_speak_end(cli);
    call_end(&call);
    return code;
}

int cmd_capability_plans(struct cli *cli) { return cli_get_list(cli, "/v1/plans", "state", PLAN_COLUMNS); }

static int segment(struct cli *cli, const char *route, const char *name, const char *tail, struct ifab_buf *target)
{
    ifab_buf_init(target, 4096);
    ifab_buf_str(target, route);
    cli_put_segment(target, name);
    ifab_buf_str(target, tail);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
}

int cmd_capability_close(struct cli *cli)
{
    const char *outcome = cli_get(cli, "outcome");
    struct ifab_buf target;
    struct cli_body body;
    if (outcome == NULL || (strcmp(outcome, "done") != 0 && strcmp(outcome, "not-done") != 0))
        return cli_usage(cli, "say what became of it: --outcome done or --outcome not-done");
    int code = segment(cli, "/v1/plans", cli->words[0], "/close", &target);
    if (code == 0) {
        cli_body_begin(&body);
        cli_body_text(&body, "outcome", outcome);
        cli_body_text(&body, "why", cli->why);
        code = cli_post(cli, (const char *)target.data, &body, ACT_IF_NEEDED, "PLAN:plan_id|OUTCOME:outcome|ENTRY:entry.index");
    }
    ifab_buf_fini(&target);
    return code;
}

/* null for programs, a word for people: a dash would read as if the daemon had not answered. */
static void print_health(const struct cli *cli, const struct ifab_json *tree, bool unknown, struct ifab_arena *arena)
{
    struct ifab_json shown = *tree;
    struct ifab_json_member *members = ifab_arena_calloc(arena, tree->u.object.count, sizeof *members);
    if (unknown && cli->format == CLI_TABLE && members != NULL) {
        memcpy(members, tree->u.object.members, tree->u.object.count * sizeof *members);
        for (size_t i = 0; i < tree->u.object.count; i++)
            if (ifab_view_is(members[i].name, "healthy"))
                members[i].value = (struct ifab_json){.type = IFAB_JSON_STRING, .u.string = IFAB_VIEW("unknown")};
        shown.u.object.members = members;
    }
    cli_print_tree(cli, &shown, NULL);
}

int cmd_capability_health(struct cli *cli)
{
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf target;
    struct cli_body body;
    struct ifab_response response;
    const struct ifab_json *tree;
    int code = cli_capability_word(cli, cli->words[0], name, version);
    if (code == 0)
        code = segment(cli, "/v1/capabilities", name, "/health", &target);
    if (code != 0)
        return code;
    ifab_arena_init(&arena, 16 << 20);
    cli_body_begin(&body);
    cli_body_text(&body, "version", version[0] == '\0' ? NULL : version);
    cli_body_end(&body);
    const struct cli_call call = {.method = "POST", .target = (const char *)target.data, .body = ifab_buf_as_view(&body.buf)};
    code = cli_call(cli, &call, &response);
    ifab_buf_fini(&target);
    ifab_buf_fini(&body.buf);
    if (code != 0)
        return code;
    if (ifab_json_read(response.body, NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK || ifab_json_get(tree, "healthy") == NULL)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer says nothing of its health");
    enum ifab_json_type healthy = ifab_json_get(tree, "healthy")->type;
    print_health(cli, tree, healthy == IFAB_JSON_NULL, &arena);
    return healthy == IFAB_JSON_TRUE || healthy == IFAB_JSON_NULL ? 0 : EXIT_SYSTEM;
}

int cmd_capability_logs(struct cli *cli)
{
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    int code = cli_capability_word(cli, cli->words[0], name, version);
    if (code == 0 && version[0] != '\0')
        return cli_usage(cli, "lines of all versions are shown together: %s", name);
    if (code != 0)
        return code;
    ifab_buf_str(&target, "/v1/capabilities");
    cli_put_segment(&target, name);
    ifab_buf_str(&target, "/logs");
    cli_put_query(&target, "limit", cli_get(cli, "limit"));
    return cli_get_target(cli, &target, LINE_COLUMNS);
}
