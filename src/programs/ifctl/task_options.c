/* Options of tasks and swarms as members of a request. What the daemon will check again is checked here only where the answer would puzzle. */
#include "task.h"

#include <stdlib.h>

#include "base/encode.h"

#define UNITS 3
#define LIST_MAX 256

static bool digits(struct ifab_view text, size_t most)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size > 0 && text.size <= most;
}

static int64_t number_of(struct ifab_view text) /* of at most 16 digits */
{
    int64_t n = 0;
    for (size_t i = 0; i < text.size; i++)
        n = n * 10 + (text.data[i] - '0');
    return n;
}

/* Up to the next stop, or the end; *at moves behind it. false: there is none any more. */
static bool next_part(const char **at, char stop, struct ifab_view *ret_part)
{
    if (*at == NULL)
        return false;
    const char *end = strchr(*at, stop);
    *ret_part = ifab_view_of(*at, end == NULL ? strlen(*at) : (size_t)(end - *at));
    *at = end == NULL ? NULL : end + 1;
    return true;
}

bool task_usd_micro(struct ifab_view text, int64_t *ret_micro)
{
    const uint8_t *dot = text.size == 0 ? NULL : memchr(text.data, '.', text.size);
    struct ifab_view whole = ifab_view_of(text.data, dot == NULL ? text.size : (size_t)(dot - text.data)), part = {NULL, 0};
    int64_t micro = 0;
    if (dot != NULL)
        part = ifab_view_of(dot + 1, text.size - whole.size - 1);
    if (!digits(whole, 10) || (dot != NULL && !digits(part, 6)))
        return false;
    for (size_t i = 0; i < 6; i++)
        micro = micro * 10 + (i < part.size ? part.data[i] - '0' : 0);
    int64_t dollars = number_of(whole);
    if (dollars > (TASK_AMOUNT_MAX - micro) / 1000000)
        return false;
    *ret_micro = dollars * 1000000 + micro;
    return true;
}

static void put_integer(struct cli_body *body, const char *member, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    cli_body_raw(body, member, text);
}

static int put_buf(struct cli *cli, struct cli_body *body, const char *member, struct ifab_buf *json)
{
    ifab_buf_char(json, '\0');
    if (ifab_buf_status(json) != IFAB_OK)
        return cli_fail(cli, ifab_buf_status(json));
    cli_body_raw(body, member, (const char *)json->data);
    return 0;
}

int task_put_list(struct cli *cli, struct cli_body *body, const char *member, const char *option)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf json = IFAB_BUF_INIT(INPUT_MAX);
    const char *at = cli_get(cli, option);
    struct ifab_view part;
    size_t count = 0;
    if (at == NULL)
        return 0;
    ifab_buf_char(&json, '[');
    while (next_part(&at, ',', &part)) {
        if (part.size == 0 || count++ == LIST_MAX)
            return cli_usage(cli, part.size == 0 ? "--%s is a,b,c: a name before and after each comma" : "--%s: too many names", option);
        ifab_buf_str(&json, count > 1 ? "," : "");
        ifab_json_put_string(&json, part);
    }
    ifab_buf_char(&json, ']');
    return put_buf(cli, body, member, &json);
}

/* One of "usd=0.50", "tokens=1000", "calls=3". */
static bool budget_part(struct ifab_view part, bool *seen, struct ifab_buf *json)
{
    static const struct {
        const char *name, *member;
    } units[UNITS] = {{"usd", "usd_micro"}, {"tokens", "tokens"}, {"calls", "calls"}};
    for (size_t i = 0; i < UNITS; i++) {
        size_t size = strlen(units[i].name);
        int64_t amount = 0;
        if (part.size <= size || memcmp(part.data, units[i].name, size) != 0 || part.data[size] != '=')
            continue;
        struct ifab_view value = ifab_view_of(part.data + size + 1, part.size - size - 1);
        bool good = i == 0 ? task_usd_micro(value, &amount) : digits(value, 16) && (amount = number_of(value)) <= TASK_AMOUNT_MAX;
        if (!good || seen[i])
            return false;
        seen[i] = true;
        ifab_buf_format(json, "%s\"%s\":%lld", json->size > 1 ? "," : "", units[i].member, (long long)amount);
        return true;
    }
    return false;
}

int task_put_budget(struct cli *cli, struct cli_body *body)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf json = IFAB_BUF_INIT(4096);
    const char *given = cli_get(cli, "budget"), *at = given;
    struct ifab_view part;
    bool seen[UNITS] = {false};
    ifab_buf_char(&json, '{');
    while (next_part(&at, ',', &part))
        if (!budget_part(part, seen, &json))
            return cli_usage(cli, "--budget is usd=0.50,tokens=1000,calls=3 or some of these, each once; not \"%s\"", given);
    ifab_buf_char(&json, '}');
    return given == NULL ? 0 : put_buf(cli, body, "budget", &json);
}

int task_put_json(struct cli *cli, struct cli_body *body, const char *member, const char *option)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX), json = IFAB_BUF_INIT(2 * INPUT_MAX);
    const char *given = cli_get(cli, option);
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 64 << 20);
    if (given == NULL)
        return 0;
    if (given[0] == '@') {
        int code = cli_read_input(cli, given, INPUT_MAX, &text);
        if (code != 0)
            return code;
    } else {
        ifab_buf_str(&text, given);
    }
    if (ifab_json_read(ifab_buf_as_view(&text), NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK)
        return cli_usage(cli, "--%s is JSON, or @FILE with it: %s", option, cli->err.text);
    ifab_json_write(&json, tree);
    return put_buf(cli, body, member, &json);
}

int task_put_time(struct cli *cli, struct cli_body *body, const char *member, const char *option)
{
    const char *given = cli_get(cli, option);
    char text[25];
    if (given == NULL)
        return 0;
    int code = cli_time_option(cli, option, given[0] == '+' ? given + 1 : given, text);
    if (code == 0)
        cli_body_text(body, member, text);
    return code;
}

int task_put_number(struct cli *cli, struct cli_body *body, const char *member, const char *option, int64_t min, int64_t max)
{
    const char *given = cli_get(cli, option);
    if (given == NULL)
        return 0;
    int64_t n = digits(ifab_view_str(given), 16) ? number_of(ifab_view_str(given)) : -1;
    if (n < min || n > max)
        return cli_usage(cli, "--%s is a number from %lld to %lld, not \"%s\"", option, (long long)min, (long long)max, given);
    put_integer(body, member, n);
    return 0;
}

int task_put_lease(struct cli *cli, struct cli_body *body)
{
    const char *given = cli_get(cli, "lease");
    int64_t usec;
    if (given == NULL)
        return 0;
    if (!cli_duration(given, &usec) || usec < 100000 || usec > IFAB_HOUR || usec % 1000 != 0)
        return cli_usage(cli, "--lease is a time from 100ms to 1h, not \"%s\"", given);
    put_integer(body, "lease_ms", usec / 1000);
    return 0;
}

int task_put_fence(struct cli *cli, struct cli_body *body, const char *id)
{
    const char *task = getenv(TASK_ID_NAME), *fence = cli_get(cli, "fence");
    if (fence == NULL && task != NULL && strcmp(task, id) == 0)
        fence = getenv(TASK_FENCE_NAME);
    if (fence == NULL)
        return cli_usage(cli, "say --fence N: the answer to the claim names it");
    if (!digits(ifab_view_str(fence), 16))
        return cli_usage(cli, "--fence is a number as the claim gave it, not \"%s\"", fence);
    put_integer(body, "fence", number_of(ifab_view_str(fence)));
    return 0;
}
