/* swarm register|list|show. */
#include "task.h"

#define SWARM_COLUMNS "ID:id|SKILLS:skills|MEMBERS:members|IN FLIGHT:in_flight|QUEUED:queued|CONCURRENCY:concurrency|WEIGHT:weight|MODEL:model"

/* {"usd_micro_per_hour":120000} of --cost-per-hour 0.12. */
static int put_cost(struct cli *cli, struct cli_body *body)
{
    const char *given = cli_get(cli, "cost-per-hour");
    char json[64];
    int64_t micro;
    if (given == NULL)
        return 0;
    if (!task_usd_micro(ifab_view_str(given), &micro))
        return cli_usage(cli, "--cost-per-hour is an amount of US dollars such as 0.12, not \"%s\"", given);
    snprintf(json, sizeof json, "{\"usd_micro_per_hour\":%lld}", (long long)micro);
    cli_body_raw(body, "cost", json);
    return 0;
}

static int put_queue(struct cli *cli, struct cli_body *body)
{
    struct cli_body queue;
    if (cli_get(cli, "queue-limit") == NULL && cli_get(cli, "queue-policy") == NULL)
        return 0;
    cli_body_begin(&queue);
    int code = task_put_number(cli, &queue, "limit", "queue-limit", 1, 100000);
    cli_body_text(&queue, "policy", cli_get(cli, "queue-policy"));
    cli_body_end(&queue);
    ifab_buf_char(&queue.buf, '\0');
    if (code == 0 && ifab_buf_status(&queue.buf) != IFAB_OK)
        code = cli_fail(cli, IFAB_NOMEM);
    if (code == 0)
        cli_body_raw(body, "queue", (const char *)queue.buf.data);
    ifab_buf_fini(&queue.buf);
    return code;
}

int cmd_swarm_register(struct cli *cli)
{
    struct cli_body body;
    cli_body_begin(&body);
    cli_body_text(&body, "id", cli->words[0]);
    if (cli_get(cli, "skills") == NULL) {
        ifab_buf_fini(&body.buf);
        return cli_usage(cli, "say what it can do: --skills a,b");
    }
    int code = task_put_list(cli, &body, "skills", "skills");
    code = code == 0 ? task_put_list(cli, &body, "members", "members") : code;
    code = code == 0 ? task_put_number(cli, &body, "concurrency", "concurrency", 1, 1000) : code;
    code = code == 0 ? task_put_number(cli, &body, "weight", "weight", 1, 16) : code;
    code = code == 0 ? put_cost(cli, &body) : code;
    code = code == 0 ? put_queue(cli, &body) : code;
    cli_body_text(&body, "model", cli_get(cli, "model"));
    cli_body_text(&body, "why", cli->why);
    if (code == 0)
        return cli_post(cli, "/v1/swarms", &body, ACT_NONE, SWARM_COLUMNS);
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_swarm_list(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(256);
    ifab_buf_str(&target, "/v1/swarms");
    return cli_get_pages(cli, &target, cli_get(cli, "all") != NULL, SWARM_COLUMNS);
}

/* Looks for id in one page. *ret_next: cursor of the next one, "" when there is none. */
static int look(struct cli *cli, const char *id, char next[64], bool *ret_found)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    char target[128];
    const struct ifab_json *tree;
    struct ifab_view text;
    ifab_arena_init(&arena, (size_t)64 << 20);
    cli_path(target, sizeof target, "/v1/swarms?limit=1000%s%s", next[0] == '\0' ? "" : "&cursor=", next);
    int code = cli_get_json(cli, target, &arena, &tree);
    if (code != 0)
        return code;
    const struct ifab_json *items = ifab_json_get(tree, "items");
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count && !*ret_found; i++) {
        const struct ifab_json *one = &items->u.array.items[i];
        *ret_found = ifab_json_string(ifab_json_get(one, "id"), &text) && ifab_view_is(text, id);
        if (*ret_found)
            cli_print_tree(cli, one, SWARM_COLUMNS);
    }
    if (!ifab_json_string(ifab_json_get(tree, "next"), &text) || !cli_path(next, 64, IFAB_FMT, IFAB_ARG(text)) ||
        strspn(next, "0123456789") != strlen(next))
        next[0] = '\0';
    return 0;
}

/* There are at most some thousands, and no route for one. */
int cmd_swarm_show(struct cli *cli)
{
    char next[64] = "";
    bool found = false;
    int code = look(cli, cli->words[0], next, &found);
    while (code == 0 && !found && next[0] != '\0')
        code = look(cli, cli->words[0], next, &found);
    return code != 0 || found ? code : cli_refuse(cli, IFAB_CODE_NOT_FOUND, "no swarm %s", cli->words[0]);
}

int cmd_governor_match(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    if (cli_get(cli, "needs") == NULL)
        return cli_usage(cli, "say what is needed: --needs a,b");
    ifab_buf_str(&target, "/v1/governor/match");
    cli_put_query(&target, "needs", cli_get(cli, "needs"));
    cli_put_query(&target, "for", cli_get(cli, "swarm"));
    return cli_get_target(cli, &target, cli_get(cli, "explain") != NULL
                                            ? "SWARM:candidate|FITS:fits|WHY:why|COVERED:coverage.covered|OF:coverage.of|REPUTATION:reputation|COST:cost_usd_micro|SCORE:score|MISSING:missing"
                                            : "SWARM:candidate|FITS:fits|SCORE:score|WHY:why");
}
