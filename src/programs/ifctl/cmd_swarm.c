/* swarm register|list|show|heartbeat, governor match|waste. */
#include "task.h"

#include <limits.h>
#include <stdlib.h>

#define SWARM_COLUMNS "ID:id|STATE:state|SKILLS:skills|MEMBERS:members|IN FLIGHT:in_flight|QUEUED:queued|CONCURRENCY:concurrency|WEIGHT:weight|MODEL:model"

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

int cmd_swarm_show(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(1024);
    ifab_buf_str(&target, "/v1/swarms");
    cli_put_segment(&target, cli->words[0]);
    return cli_get_target(cli, &target, SWARM_COLUMNS);
}

int cmd_swarm_heartbeat(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(1024);
    struct cli_body body;
    ifab_buf_str(&target, "/v1/swarms");
    cli_put_segment(&target, cli->words[0]);
    ifab_buf_str(&target, "/heartbeat");
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK)
        return cli_usage(cli, "no swarm has such a long name");
    int code = cli_speak_as_said(cli, CLI_SPEAK_SHORT);
    if (code != 0)
        return code;
    cli_body_begin(&body);
    return cli_post(cli, (const char *)target.data, &body, ACT_NONE, "SWARM:swarm|STATE:state|HOLDS MS:holds_ms");
}

#define MATCH_COLUMNS "SWARM:candidate|FITS:fits|SCORE:score|WHY:why"
#define MATCH_ALL_COLUMNS \
    "SWARM:candidate|FITS:fits|WHY:why|COVERED:coverage.covered|OF:coverage.of|REPUTATION:reputation|COST:cost_usd_micro|SCORE:score|MISSING:missing"
#define MATCH_TABLE "SWARM:swarm|FITS:fits|SCORE:score|WHY:why"
#define MATCH_ALL_TABLE "SWARM:swarm|FITS:fits|COVERS:covers|REPUTATION:reputation|USD AN HOUR:cost|SCORE:score|MISSING:missing|WHY:why"

/* "0.636363", digits of any length before the point and six behind: to the nearest hundredth. */
static void put_hundredths(struct ifab_buf *b, struct ifab_view fraction)
{
    char text[40], *end;
    bool good = cli_path(text, sizeof text, IFAB_FMT, IFAB_ARG(fraction));
    unsigned long long whole = good ? strtoull(text, &end, 10) : 0;
    unsigned long cents = good && *end == '.' && strlen(end) == 7 ? (strtoul(end + 1, NULL, 10) + 5000) / 10000 : ULONG_MAX;
    if (cents <= 100)
        ifab_buf_format(b, "\"%llu.%02lu\"", whole + cents / 100, cents % 100);
    else /* not as this program knows it */
        ifab_json_put_string(b, fraction);
}

static void put_match(struct ifab_buf *b, const struct ifab_json *item)
{
    const struct ifab_json *missing = ifab_json_get(item, "missing"), *coverage = ifab_json_get(item, "coverage"), *fits = ifab_json_get(item, "fits");
    int64_t covered = 0, of = 0, cost = 0;
    (void)ifab_json_integer(ifab_json_get(coverage, "covered"), &covered);
    (void)ifab_json_integer(ifab_json_get(coverage, "of"), &of);
    (void)ifab_json_integer(ifab_json_get(item, "cost_usd_micro"), &cost);
    ifab_buf_format(b, "{\"cost\":\"%lld.%06lld\",\"covers\":\"%lld of %lld\",\"fits\":\"%s\",\"missing\":", (long long)(cost / 1000000),
                    (long long)(cost % 1000000), (long long)covered, (long long)of, fits != NULL && fits->type == IFAB_JSON_TRUE ? "yes" : "no");
    if (missing != NULL && missing->type == IFAB_JSON_ARRAY && missing->u.array.count > 0)
        ifab_json_write(b, missing);
    else
        ifab_buf_str(b, "null");
    ifab_buf_str(b, ",\"reputation\":");
    put_hundredths(b, ifab_json_text(item, "reputation"));
    ifab_buf_str(b, ",\"score\":");
    put_hundredths(b, ifab_json_text(item, "score"));
    ifab_buf_str(b, ",\"swarm\":");
    ifab_json_put_string(b, ifab_json_text(item, "candidate"));
    ifab_buf_str(b, ",\"why\":");
    ifab_json_put_string(b, ifab_json_text(item, "why"));
    ifab_buf_char(b, '}');
}

/* For people alone: the other forms are the answer as it came, with all its digits. */
static int print_match(struct cli *cli, const char *target)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)16 << 20);
    const struct ifab_json *tree;
    ifab_arena_init(&arena, (size_t)64 << 20);
    int code = cli_get_json(cli, target, &arena, &tree);
    if (code != 0)
        return code;
    const struct ifab_json *items = ifab_json_get(tree, "items");
    ifab_buf_str(&b, "{\"items\":[");
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
        ifab_buf_str(&b, i > 0 ? "," : "");
        put_match(&b, &items->u.array.items[i]);
    }
    ifab_buf_str(&b, "]}");
    code = ifab_buf_status(&b) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&b), cli_get(cli, "explain") != NULL ? MATCH_ALL_TABLE : MATCH_TABLE)
                                          : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&b);
    return code;
}

int cmd_governor_match(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    if (cli_get(cli, "needs") == NULL)
        return cli_usage(cli, "say what is needed: --needs a,b");
    ifab_buf_str(&target, "/v1/governor/match");
    cli_put_query(&target, "needs", cli_get(cli, "needs"));
    cli_put_query(&target, "for", cli_get(cli, "swarm"));
    cli_put_query(&target, "strategy", cli_get(cli, "strategy"));
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK)
        return cli_fail(cli, IFAB_TOO_LARGE);
    if (cli->format == CLI_TABLE)
        return print_match(cli, (const char *)target.data);
    return cli_get_print(cli, (const char *)target.data, cli_get(cli, "explain") != NULL ? MATCH_ALL_COLUMNS : MATCH_COLUMNS);
}

#define WASTE_COLUMNS "SWARM:swarm|ASKED:asked|COMPLETED:completed|COST:cost.usd_micro|WASTED:wasted.usd_micro|PERMILLE:waste_permille"
#define WASTE_PAGES 100 /* of a thousand swarms: more than there may be */

/* All pages as one document. A table ends with the total; in the other forms it stands apart, and csv has swarms alone. */
int cmd_governor_waste(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf whole = IFAB_BUF_INIT((size_t)64 << 20);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree = NULL, *items;
    struct ifab_view next;
    char target[96] = "/v1/governor/waste?limit=1000";
    size_t shown = 0, page = 0;
    bool more = true;
    ifab_arena_init(&arena, (size_t)256 << 20);
    ifab_buf_str(&whole, "{\"items\":[");
    for (; more && page < WASTE_PAGES; page++) {
        int code = cli_get_json(cli, target, &arena, &tree);
        if (code != 0)
            return code;
        items = ifab_json_get(tree, "items");
        for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
            ifab_buf_str(&whole, shown++ > 0 ? "," : "");
            ifab_json_write(&whole, &items->u.array.items[i]);
        }
        next = ifab_json_text(tree, "next");
        more = next.size > 0 && cli_path(target, sizeof target, "/v1/governor/waste?limit=1000&cursor=" IFAB_FMT, IFAB_ARG(next));
    }
    const struct ifab_json *total = ifab_json_get(tree, "total");
    struct ifab_buf sum = IFAB_BUF_INIT(4096);
    ifab_json_write(&sum, total);
    if (cli->format == CLI_TABLE && sum.size > 2) {
        ifab_buf_format(&whole, "%s{\"swarm\":\"total\",", shown > 0 ? "," : "");
        ifab_buf_put(&whole, sum.data + 1, sum.size - 1);
    }
    ifab_buf_str(&whole, "],\"next\":null,\"total\":");
    ifab_buf_view(&whole, ifab_buf_as_view(&sum));
    ifab_buf_char(&whole, '}');
    bool good = ifab_buf_status(&whole) == IFAB_OK && ifab_buf_status(&sum) == IFAB_OK;
    ifab_buf_fini(&sum);
    return good ? cli_print(cli, ifab_buf_as_view(&whole), WASTE_COLUMNS) : cli_fail(cli, IFAB_NOMEM);
}
