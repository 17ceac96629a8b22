/*
 * cost track|rates|report|estimate. The report reads the log: every entry that carries a cost counts once, in one group, so groups sum to the total.
 * Sums are integers; what does not fit is an error, not a smaller number.
 */
#include "cli.h"
#include "cost.h"

#include <stdlib.h>

#include "base/map.h"
#include "crypto/crypto.h"

#define REPORT_COLUMNS "GROUP:group|USD:usd|TOKENS_IN:tokens_in|TOKENS_OUT:tokens_out|CALLS:calls|COSTS:costs"
#define RATES_COLUMNS \
    "MODEL:model|FROM:from|PROVIDER:provider|IN_USD_MICRO_PER_MTOK:in_usd_micro_per_mtok|OUT_USD_MICRO_PER_MTOK:out_usd_micro_per_mtok|CALL_USD_MICRO:call_usd_micro"
#define GROUPS_MAX 100000
#define MTOK ((uint64_t)1000000)
__extension__ typedef unsigned __int128 wide;

int cmd_cost_track(struct cli *cli)
{
    struct cli_body body;
    cli_body_begin(&body);
    int code = cli_cost_object(cli, &body, true);
    if (code != 0) {
        ifab_buf_fini(&body.buf);
        return code;
    }
    cli_cost_subjects(cli, &body);
    cli_body_text(&body, "why", cli->why[0] == '\0' ? NULL : cli->why);
    return cli_post_once(cli, "/v1/costs", &body, COST_COLUMNS);
}

/* ---- prices ---- */

static int set_rates(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree, *rows;
    struct ifab_buf file;
    struct cli_body body;
    ifab_arena_init(&arena, 16 << 20);
    int code = cli_read_input(cli, cli->words[0], INPUT_MAX, &file);
    if (code != 0)
        return code;
    if (ifab_json_read(ifab_buf_as_view(&file), NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK) {
        code = cli_usage(cli, "%s: %s", cli->words[0], cli->err.text);
    } else if ((rows = ifab_json_get(tree, "rows")) == NULL && (rows = ifab_json_get(tree, "items")) == NULL) {
        code = cli_usage(cli, "%s has no \"rows\": {\"rows\":[{\"model\",\"from\",\"in_usd_micro_per_mtok\",\"out_usd_micro_per_mtok\"}…]}", cli->words[0]);
    } else {
        struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX);
        ifab_json_write(&text, rows);
        ifab_buf_char(&text, '\0');
        cli_body_begin(&body);
        cli_body_raw(&body, "rows", ifab_buf_status(&text) == IFAB_OK ? (const char *)text.data : "null");
        cli_body_text(&body, "why", cli->why);
        ifab_buf_fini(&text);
        code = cli_post(cli, "/v1/rates", &body, ACT_ALWAYS, "DIGEST:digest|ENTRY:entry.index");
    }
    ifab_buf_fini(&file);
    return code;
}

int cmd_cost_rates(struct cli *cli)
{
    return cli->word_count == 0 ? cli_get_print(cli, "/v1/rates", RATES_COLUMNS) : set_rates(cli);
}

static uint64_t number_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return value < 0 ? 0 : (uint64_t)value;
}

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

/* The newest price of the model that holds now. */
static const struct ifab_json *price_of(const struct ifab_json *table, const char *model)
{
    const struct ifab_json *items = ifab_json_get(table, "items"), *best = NULL;
    ifab_usec from, newest = -1, now = ifab_wall_usec();
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
        const struct ifab_json *row = &items->u.array.items[i];
        if (ifab_view_is(text_of(row, "model"), model) && ifab_time_parse(text_of(row, "from"), &from) == IFAB_OK && from <= now && from > newest) {
            best = row;
            newest = from;
        }
    }
    return best;
}

static void put_usd(struct ifab_buf *buf, uint64_t micro)
{
    ifab_buf_format(buf, "\"%llu.%06llu\"", (unsigned long long)(micro / 1000000), (unsigned long long)(micro % 1000000));
}

static int estimate(struct cli *cli, const struct ifab_json *table, const char *model, const uint64_t amounts[4])
{
    const struct ifab_json *price = price_of(table, model);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(4096);
    if (price == NULL)
        return cli_refuse(cli, IFAB_CODE_NOT_FOUND, "no price of %s holds now: see ifctl cost rates", model);
    wide tokens = (wide)amounts[0] * number_of(price, "in_usd_micro_per_mtok") + (wide)amounts[1] * number_of(price, "out_usd_micro_per_mtok");
    wide one = (tokens + MTOK - 1) / MTOK + (wide)amounts[2] * number_of(price, "call_usd_micro"); /* as the daemon does: rounded up once an act */
    if (one > MONEY_MAX || one * amounts[3] > MONEY_MAX)
        return cli_usage(cli, "that costs more than can be written: 2^53-1 micro-dollars");
    uint64_t sum = (uint64_t)one * amounts[3];
    ifab_buf_str(&buf, "{\"model\":");
    ifab_json_put_cstr(&buf, model);
    ifab_buf_format(&buf, ",\"operations\":%llu,\"rates\":", (unsigned long long)amounts[3]);
    ifab_json_put_string(&buf, text_of(table, "digest"));
    ifab_buf_str(&buf, ",\"usd\":");
    put_usd(&buf, sum);
    ifab_buf_format(&buf, ",\"usd_micro\":%llu}", (unsigned long long)sum);
    return ifab_buf_status(&buf) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&buf), "MODEL:model|OPERATIONS:operations|USD:usd|USD_MICRO:usd_micro|RATES:rates")
                                            : cli_fail(cli, IFAB_NOMEM);
}

int cmd_cost_estimate(struct cli *cli)
{
    static const char *const names[] = {"tokens-in", "tokens-out", "calls", "operations"};
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *table;
    const char *model = cli_get(cli, "model");
    uint64_t amounts[4] = {0, 0, 0, 1};
    char text[24];
    ifab_arena_init(&arena, 16 << 20);
    if (model == NULL)
        return cli_usage(cli, "say which model: --model NAME");
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        const char *given = cli_get(cli, names[i]);
        int code = given == NULL ? 0 : cli_amount(cli, names[i], given, false, text);
        if (code != 0)
            return code;
        if (given != NULL)
            amounts[i] = strtoull(text, NULL, 10);
    }
    int code = cli_get_json(cli, "/v1/rates", &arena, &table);
    return code == 0 ? estimate(cli, table, model, amounts) : code;
}

/* ---- report ---- */

struct sums {
    struct ifab_view group;
    uint64_t usd_micro, tokens_in, tokens_out, calls, costs;
};
struct report {
    const char *by;
    struct ifab_arena arena; /* names of groups */
    struct ifab_map by_name; /* -> place in groups */
    struct sums *groups, total;
    size_t count, room;
    bool overflow, full;
};

static void add_to(struct report *report, struct sums *sums, const struct ifab_json *cost)
{
    report->overflow |= __builtin_add_overflow(sums->usd_micro, number_of(cost, "usd_micro"), &sums->usd_micro) ||
                        __builtin_add_overflow(sums->tokens_in, number_of(cost, "tokens_in"), &sums->tokens_in) ||
                        __builtin_add_overflow(sums->tokens_out, number_of(cost, "tokens_out"), &sums->tokens_out) ||
                        __builtin_add_overflow(sums->calls, number_of(cost, "calls"), &sums->calls);
    report->overflow |= sums->usd_micro > MONEY_MAX || sums->tokens_in > MONEY_MAX || sums->tokens_out > MONEY_MAX || sums->calls > MONEY_MAX;
    sums->costs++;
}

/* Where an entry's cost belongs: a member of the entry, of its payload or of its cost; or a part of its time. Without it: "(none)". */
static struct ifab_view group_of(const char *by, const struct ifab_json *entry)
{
    static const struct {
        const char *by, *of; /* of: "payload", "cost", "" the entry itself, "time" */
        size_t size;
    } rows[] = {{"provider", "payload", 0}, {"capability", "payload", 0}, {"talent", "payload", 0}, {"swarm", "payload", 0}, {"operation", "payload", 0},
                {"model", "cost", 0},       {"actor", "", 0},              {"subject", "", 0},       {"trace", "", 0},        {"component", "", 0},
                {"day", "time", 10},        {"month", "time", 7}};
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        if (strcmp(rows[i].by, by) != 0)
            continue;
        struct ifab_view text = rows[i].size > 0 ? text_of(entry, "time")
                                                 : text_of(rows[i].of[0] == '\0' ? entry : ifab_json_get(entry, rows[i].of), rows[i].by);
        if (rows[i].size > 0 && text.size > rows[i].size)
            text.size = rows[i].size;
        return text.size > 0 ? text : IFAB_VIEW("(none)"); /* no name has a parenthesis */
    }
    return (struct ifab_view){NULL, 0};
}

static struct sums *find_group(struct report *report, struct ifab_view name)
{
    struct ifab_view kept;
    uint64_t place;
    if (ifab_map_get(&report->by_name, name, &place))
        return &report->groups[place];
    if (report->count == report->room) {
        size_t room = report->room == 0 ? 64 : report->room * 2;
        struct sums *bigger = report->count >= GROUPS_MAX ? NULL : ifab_realloc(report->groups, room * sizeof *bigger);
        if (bigger == NULL)
            return NULL;
        report->groups = bigger;
        report->room = room;
    }
    if (ifab_arena_copy(&report->arena, name, &kept) != IFAB_OK || ifab_map_put(&report->by_name, name, report->count) != IFAB_OK)
        return NULL;
    report->groups[report->count] = (struct sums){.group = kept};
    return &report->groups[report->count++];
}

static void take_page(struct report *report, const struct ifab_json *page)
{
    const struct ifab_json *items = ifab_json_get(page, "items");
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count && !report->full; i++) {
        const struct ifab_json *entry = &items->u.array.items[i], *cost = ifab_json_get(entry, "cost");
        if (cost == NULL)
            continue;
        struct sums *sums = find_group(report, group_of(report->by, entry));
        report->full = sums == NULL;
        if (sums != NULL) {
            add_to(report, sums, cost);
            add_to(report, &report->total, cost);
        }
    }
}

static int read_pages(struct cli *cli, struct report *report)
{
    char cursor[600] = "";
    for (bool more = true; more;) {
        IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
        IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(8192);
        const struct ifab_json *page;
        struct ifab_view next = {NULL, 0};
        ifab_arena_init(&arena, (size_t)256 << 20);
        ifab_buf_str(&target, "/v1/witness/entries?type=cost&limit=1000");
        cli_put_query(&target, "trace", cli->trace[0] == '\0' ? NULL : cli->trace);
        cli_put_query(&target, "from", cli_get(cli, "from"));
        cli_put_query(&target, "to", cli_get(cli, "to"));
        cli_put_query(&target, "cursor", cursor[0] == '\0' ? NULL : cursor);
        ifab_buf_char(&target, '\0');
        int code = ifab_buf_status(&target) == IFAB_OK ? cli_get_json(cli, (const char *)target.data, &arena, &page) : cli_fail(cli, IFAB_NOMEM);
        if (code != 0)
            return code;
        take_page(report, page);
        more = ifab_json_string(ifab_json_get(page, "next"), &next) && !ifab_view_is(next, cursor) && !report->full;
        if (more && !cli_path(cursor, sizeof cursor, IFAB_FMT, IFAB_ARG(next)))
            return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "a cursor of %zu bytes", next.size);
    }
    if (report->full)
        return cli_usage(cli, "more than %d groups: choose another --by, or a shorter time", GROUPS_MAX);
    return report->overflow ? cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "a sum is above 2^53-1: choose a shorter time") : 0;
}

/* The dearest first; then by name. */
static int dearer(const void *a, const void *b)
{
    const struct sums *x = a, *y = b;
    if (x->usd_micro != y->usd_micro)
        return x->usd_micro < y->usd_micro ? 1 : -1;
    return ifab_view_compare(x->group, y->group);
}

static void put_sums(struct ifab_buf *buf, const struct sums *sums)
{
    ifab_buf_format(buf, "{\"calls\":%llu,\"costs\":%llu", (unsigned long long)sums->calls, (unsigned long long)sums->costs);
    if (sums->group.data != NULL) {
        ifab_buf_str(buf, ",\"group\":");
        ifab_json_put_string(buf, sums->group);
    }
    ifab_buf_format(buf, ",\"tokens_in\":%llu,\"tokens_out\":%llu,\"usd\":", (unsigned long long)sums->tokens_in, (unsigned long long)sums->tokens_out);
    put_usd(buf, sums->usd_micro);
    ifab_buf_format(buf, ",\"usd_micro\":%llu}", (unsigned long long)sums->usd_micro);
}

/* A table ends with the total; the other forms are for programs: there it stands apart, and csv has groups alone. */
static int print_report(struct cli *cli, struct report *report)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT((size_t)64 << 20);
    struct sums last = report->total;
    last.group = IFAB_VIEW("total");
    if (report->count > 0)
        qsort(report->groups, report->count, sizeof *report->groups, dearer);
    ifab_buf_format(&buf, "{\"by\":\"%s\",\"items\":[", report->by);
    for (size_t i = 0; i < report->count; i++) {
        ifab_buf_str(&buf, i > 0 ? "," : "");
        put_sums(&buf, &report->groups[i]);
    }
    if (cli->format == CLI_TABLE) {
        ifab_buf_str(&buf, report->count > 0 ? "," : "");
        put_sums(&buf, &last);
    }
    ifab_buf_str(&buf, "],\"next\":null,\"total\":");
    put_sums(&buf, &report->total);
    ifab_buf_char(&buf, '}');
    return ifab_buf_status(&buf) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&buf), REPORT_COLUMNS) : cli_fail(cli, IFAB_NOMEM);
}

int cmd_cost_report(struct cli *cli)
{
    struct report report = {.by = cli_get(cli, "by") != NULL ? cli_get(cli, "by") : "provider"};
    char from[25], to[25];
    struct ifab_json nothing = {.type = IFAB_JSON_NULL};
    if (group_of(report.by, &nothing).data == NULL)
        return cli_usage(cli, "--by is provider, capability, talent, swarm, operation, model, actor, subject, trace, component, day or month, not \"%s\"", report.by);
    int code = cli_past_time_option(cli, "from", from);
    if (code == 0)
        code = cli_past_time_option(cli, "to", to);
    if (code != 0)
        return code;
    uint64_t seed;
    ifab_random(&seed, sizeof seed); /* agents choose the names of groups */
    ifab_map_init(&report.by_name, seed);
    ifab_arena_init(&report.arena, (size_t)64 << 20);
    code = read_pages(cli, &report);
    if (code == 0)
        code = print_report(cli, &report);
    ifab_free(report.groups);
    ifab_map_fini(&report.by_name);
    ifab_arena_fini(&report.arena);
    return code;
}
