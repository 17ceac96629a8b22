/* budget set|list|report|remove|reserve|settle|release|reservations, governor breakers|reset. */
#include "cli.h"
#include "cost.h"

#include "base/id.h"
#include "crypto/crypto.h"

#define BUDGET_COLUMNS                                                                                                                       \
    "ID:id|SUBJECT:subject|NAME:name|PERIOD:period|UNIT:unit|LIMIT:limit|SPENT:spent|RESERVED:reserved|LEFT:left|LEVEL:level|OVER:overrun|UNTIL:" \
    "period_end"
#define SET_COLUMNS "ID:budget.id|LIMIT:budget.limit|UNIT:budget.unit|LEFT:budget.left|LEVEL:budget.level|ENTRY:entry.index"
#define RESERVATION_COLUMNS \
    "ID:id|OWNER:owner|USD_MICRO:usd_micro|TOKENS:tokens|CALLS:calls|BUDGETS:budgets|LEFT_MS:left_ms|DANGLING:dangling|MADE:made_at|TRACE:trace"
#define BREAKER_COLUMNS "BREAKER:breaker|STATE:state|CAUSE:cause|FAILURES:failures|REPUTATION:reputation|ERROR_BUDGET:error_budget_permille|P95_MS:p95_ms|P99_MS:p99_ms|OUTCOMES:outcomes|ENTRY:entry_index"

int cli_amount(struct cli *cli, const char *name, const char *text, bool dollars, char ret_text[24])
{
    uint64_t whole = 0, part = 0, scale = dollars ? 1000000 : 1;
    size_t digits = 0, behind = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && digits < 16; at++, digits++)
        whole = whole * 10 + (uint64_t)(*at - '0');
    if (dollars && *at == '.')
        for (at++; *at >= '0' && *at <= '9' && behind < 6; at++, behind++)
            part = part * 10 + (uint64_t)(*at - '0');
    for (size_t i = behind; i < 6; i++)
        part *= 10;
    if (digits == 0 || *at != '\0' || (at > text && at[-1] == '.') || whole > MONEY_MAX / scale || whole * scale + (dollars ? part : 0) > MONEY_MAX)
        return cli_usage(cli, "--%s is %s, not \"%s\"", name, dollars ? "US dollars such as 12.50, with at most six digits behind the point" : "a whole number from 0 to 2^53-1",
                         text);
    cli_path(ret_text, 24, "%llu", (unsigned long long)(whole * scale + (dollars ? part : 0)));
    return 0;
}

int cli_cost_object(struct cli *cli, struct cli_body *body, bool any_money)
{
    static const struct {
        const char *option, *member;
        bool dollars;
    } amounts[] = {{"calls", "calls", false}, {"tokens-in", "tokens_in", false}, {"tokens-out", "tokens_out", false}, {"usd", "usd_micro", true}};
    struct cli_body cost;
    char text[24];
    bool some = cli_get(cli, "model") != NULL;
    cli_body_begin(&cost);
    int code = 0;
    for (size_t i = 0; i < IFAB_COUNT(amounts) && code == 0; i++) {
        const char *given = cli_get(cli, amounts[i].option);
        if (given == NULL)
            continue;
        some = true;
        code = cli_amount(cli, amounts[i].option, given, amounts[i].dollars, text);
        if (code == 0)
            cli_body_raw(&cost, amounts[i].member, text);
    }
    cli_body_text(&cost, "model", cli_get(cli, "model"));
    cli_body_end(&cost);
    ifab_buf_char(&cost.buf, '\0');
    if (code == 0 && !some && any_money)
        code = cli_usage(cli, "say what: --usd AMOUNT, --tokens-in N, --tokens-out N with --model, or --calls N");
    if (code == 0 && ifab_buf_status(&cost.buf) == IFAB_OK)
        cli_body_raw(body, "cost", (const char *)cost.buf.data);
    ifab_buf_fini(&cost.buf);
    return code;
}

void cli_cost_subjects(struct cli *cli, struct cli_body *body)
{
    char name[65];
    const char *talent = cli_get(cli, "talent");
    cli_body_text(body, "capability", cli_get(cli, "capability"));
    cli_body_text(body, "operation", cli_get(cli, "operation"));
    cli_body_text(body, "provider", cli_get(cli, "provider"));
    cli_body_text(body, "swarm", cli_get(cli, "swarm"));
    if (talent == NULL && cli->as_named && cli->token_file[0] == '\0') /* the socket is an operator, who says for whom */
        talent = cli_as_name(cli, name);
    cli_body_text(body, "talent", talent);
}

int cli_post_once(struct cli *cli, const char *target, struct cli_body *body, const char *columns)
{
    uint8_t random[16];
    char key[40] = "cli-";
    struct ifab_response response;
    struct ifab_buf hex = IFAB_BUF_INIT(64);
    ifab_random(random, sizeof random);
    ifab_buf_hex(&hex, random, sizeof random);
    if (ifab_buf_status(&hex) == IFAB_OK)
        memcpy(key + 4, hex.data, 32);
    ifab_buf_fini(&hex);
    cli_body_end(body);
    int code = cli_body_good(cli, body);
    if (code == 0)
        code = cli_speak_as_said(cli, CLI_SPEAK_SHORT);
    const struct cli_call call = {.method = "POST", .target = target, .body = ifab_buf_as_view(&body->buf), .idempotency_key = key};
    if (code == 0)
        code = cli_call(cli, &call, &response);
    ifab_buf_fini(&body->buf);
    return code == 0 ? cli_print(cli, response.body, columns) : code;
}

/* --subject KIND:NAME */
static int put_subject(struct cli *cli, struct cli_body *body)
{
    const char *text = cli_get(cli, "subject"), *colon = text == NULL ? NULL : strchr(text, ':');
    char kind[16];
    if (colon == NULL || colon[1] == '\0' || (size_t)(colon - text) >= sizeof kind)
        return cli_usage(cli, "say whose: --subject talent:NAME, provider:NAME, capability:NAME, swarm:NAME or trace:UUID");
    memcpy(kind, text, (size_t)(colon - text));
    kind[colon - text] = '\0';
    cli_body_text(body, "name", colon + 1);
    cli_body_text(body, "subject", kind);
    return 0;
}

/* One of --usd, --tokens, --calls. */
static int put_limit(struct cli *cli, struct cli_body *body)
{
    static const struct {
        const char *option, *unit;
    } units[] = {{"usd", "usd_micro"}, {"tokens", "tokens"}, {"calls", "calls"}};
    size_t found = IFAB_COUNT(units), count = 0;
    char text[24];
    for (size_t i = 0; i < IFAB_COUNT(units); i++)
        if (cli_get(cli, units[i].option) != NULL) {
            found = i;
            count++;
        }
    if (count != 1)
        return cli_usage(cli, "say one limit: --usd AMOUNT, --tokens N or --calls N");
    int code = cli_amount(cli, units[found].option, cli_get(cli, units[found].option), found == 0, text);
    if (code == 0) {
        cli_body_raw(body, "limit", text);
        cli_body_text(body, "unit", units[found].unit);
    }
    return code;
}

int cmd_budget_set(struct cli *cli)
{
    struct cli_body body;
    const char *period = cli_get(cli, "period");
    cli_body_begin(&body);
    cli_body_text(&body, "id", cli->words[0]);
    int code = put_subject(cli, &body);
    if (code == 0)
        code = put_limit(cli, &body);
    if (code == 0 && period == NULL)
        code = cli_usage(cli, "say for how long: --period hour, day, week, month or total");
    if (code != 0) {
        ifab_buf_fini(&body.buf);
        return code;
    }
    cli_body_text(&body, "period", period);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, "/v1/budgets", &body, ACT_ALWAYS, SET_COLUMNS);
}

int cmd_budget_list(struct cli *cli) { return cli_get_list(cli, "/v1/budgets", NULL, BUDGET_COLUMNS); }
int cmd_budget_reservations(struct cli *cli) { return cli_get_list(cli, "/v1/reservations", NULL, RESERVATION_COLUMNS); }
int cmd_governor_breakers(struct cli *cli) { return cli_get_list(cli, "/v1/breakers", NULL, BREAKER_COLUMNS); }

static int act_on(struct cli *cli, const char *route, const char *tail, enum cli_act act, const char *columns)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    ifab_buf_str(&target, route);
    cli_put_segment(&target, cli->words[0]);
    ifab_buf_str(&target, tail);
    ifab_buf_char(&target, '\0');
    cli_body_begin(&body);
    cli_body_text(&body, "why", cli->why[0] == '\0' ? NULL : cli->why);
    int code = ifab_buf_status(&target) != IFAB_OK ? cli_fail(cli, IFAB_NOMEM) : act == ACT_NONE ? cli_speak_as_said(cli, CLI_SPEAK_SHORT) : 0;
    if (code == 0)
        code = cli_post(cli, (const char *)target.data, &body, act, columns);
    else
        ifab_buf_fini(&body.buf);
    ifab_buf_fini(&target);
    return code;
}

int cmd_budget_remove(struct cli *cli) { return act_on(cli, "/v1/budgets", "/remove", ACT_ALWAYS, SET_COLUMNS); }
int cmd_budget_release(struct cli *cli) { return act_on(cli, "/v1/reservations", "/release", ACT_NONE, "ID:released.id|ENTRY:entry.index"); }

int cmd_budget_reserve(struct cli *cli)
{
    struct cli_body body;
    char seconds[32];
    int code = cli_ttl_seconds(cli, "1s", "1h", seconds); /* IFAB_RESERVATION_TTL_MAX */
    if (code != 0)
        return code;
    cli_body_begin(&body);
    code = cli_cost_object(cli, &body, true);
    if (code != 0) {
        ifab_buf_fini(&body.buf);
        return code;
    }
    cli_cost_subjects(cli, &body);
    cli_body_text(&body, "priority", cli_get(cli, "priority"));
    if (seconds[0] != '\0')
        cli_body_raw(&body, "ttl_s", seconds);
    cli_body_text(&body, "why", cli->why[0] == '\0' ? NULL : cli->why);
    return cli_post_once(cli, "/v1/reservations", &body, "ID:reservation.id|BUDGETS:reservation.budgets|LEFT_MS:reservation.left_ms|ENTRY:entry.index");
}

int cmd_budget_settle(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    ifab_buf_str(&target, "/v1/reservations");
    cli_put_segment(&target, cli->words[0]);
    ifab_buf_str(&target, "/settle");
    ifab_buf_char(&target, '\0');
    cli_body_begin(&body);
    int code = ifab_buf_status(&target) == IFAB_OK ? cli_cost_object(cli, &body, true) : cli_fail(cli, IFAB_NOMEM);
    if (code == 0) {
        cli_body_text(&body, "operation", cli_get(cli, "operation"));
        cli_body_text(&body, "why", cli->why[0] == '\0' ? NULL : cli->why);
        code = cli_post_once(cli, (const char *)target.data, &body, COST_COLUMNS);
    } else {
        ifab_buf_fini(&body.buf);
    }
    ifab_buf_fini(&target);
    return code;
}

int cmd_governor_reset(struct cli *cli)
{
    struct cli_body body;
    cli_body_begin(&body);
    cli_body_text(&body, "breaker", cli->words[0]);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, "/v1/breakers/reset", &body, ACT_IF_NEEDED, "BREAKER:breaker.breaker|STATE:breaker.state|ENTRY:entry.index");
}
