/* Options become parameters: names and types are those of the operation's schema, and nothing is guessed. */
#include "call.h"

#include "base/encode.h"
#include "base/nearest.h"

struct given {
    struct ifab_view name;
    const char *value;
};

/* The n-th of what was given, when it is a parameter. -1: it is an option; EXIT_USAGE after saying what is wrong. */
static int take(struct cli *cli, size_t n, struct given *ret)
{
    struct ifab_view name = ifab_view_of(cli->given[n].name, cli->given[n].name_size);
    const char *value = cli->given[n].value;
    if (ifab_view_is(name, "param") || ifab_view_is(name, "p")) {
        const char *equals = strchr(value, '=');
        if (equals == NULL || equals == value)
            return cli_usage(cli, "-p takes NAME=VALUE, not \"%s\"", value);
        *ret = (struct given){ifab_view_of(value, (size_t)(equals - value)), equals + 1};
        return 0;
    }
    if (cli_option_find(cli_globals, cli_global_count, name) != NULL || (cli->command != NULL && cli_command_takes(cli->command, name)))
        return -1;
    *ret = (struct given){name, value};
    return 0;
}

static struct ifab_view type_of(const struct ifab_json *schema)
{
    struct ifab_view type = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(schema, "type"), &type);
    return type;
}

static bool fits(struct ifab_view type, const struct ifab_json *value)
{
    if (ifab_view_is(type, "string"))
        return value->type == IFAB_JSON_STRING;
    if (ifab_view_is(type, "integer"))
        return value->type == IFAB_JSON_NUMBER && value->u.number.integer;
    if (ifab_view_is(type, "number"))
        return value->type == IFAB_JSON_NUMBER;
    if (ifab_view_is(type, "boolean"))
        return value->type == IFAB_JSON_TRUE || value->type == IFAB_JSON_FALSE;
    return value->type == (ifab_view_is(type, "array") ? IFAB_JSON_ARRAY : IFAB_JSON_OBJECT);
}

static const char *in_words(struct ifab_view type)
{
    return ifab_view_is(type, "integer")   ? "a whole number"
           : ifab_view_is(type, "number")  ? "a number"
           : ifab_view_is(type, "boolean") ? "true or false"
           : ifab_view_is(type, "array")   ? "a JSON list, or an item each time it is given"
                                           : "a JSON object";
}

static int put_value(struct cli *cli, const struct given *g, struct ifab_view type, struct ifab_buf *json)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree = NULL;
    struct ifab_view text = ifab_view_str(g->value);
    ifab_arena_init(&arena, 16 << 20);
    if (ifab_view_is(type, "string")) {
        if (!ifab_utf8_valid(text))
            return cli_usage(cli, IFAB_FMT " is not UTF-8", IFAB_ARG(g->name));
        ifab_json_put_string(json, text);
        return 0;
    }
    if (ifab_view_is(type, "boolean") && text.size == 0)
        text = IFAB_VIEW("true");
    if (ifab_json_read(text, NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK || !fits(type, tree))
        return cli_usage(cli, IFAB_FMT " is %s, not \"%s\"", IFAB_ARG(g->name), in_words(type), g->value);
    ifab_json_write(json, tree);
    return 0;
}

/* Everything given under this name, from the n-th on: items of a list, unless the first one is a whole list. */
static int put_list(struct cli *cli, size_t n, const struct given *first, const struct ifab_json *schema, struct ifab_buf *json)
{
    struct ifab_view item = type_of(ifab_json_get(schema, "items"));
    struct given g;
    size_t count = 0;
    if (first->value[strspn(first->value, " \t\n\r")] == '[')
        return put_value(cli, first, IFAB_VIEW("array"), json);
    ifab_buf_char(json, '[');
    for (size_t i = n; i < cli->given_count; i++) {
        int code = take(cli, i, &g);
        if (code > 0)
            return code;
        if (code < 0 || !ifab_view_equal(g.name, first->name))
            continue;
        ifab_buf_str(json, count++ > 0 ? "," : "");
        if ((code = put_value(cli, &g, item, json)) != 0)
            return code;
    }
    ifab_buf_char(json, ']');
    return 0;
}

static int unknown(struct cli *cli, const char *operation, struct ifab_view name, const struct ifab_json *properties)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf names = IFAB_BUF_INIT(8192);
    struct ifab_view best = {NULL, 0};
    size_t least = 2 + name.size / 4;
    for (size_t i = 0; properties != NULL && i < properties->u.object.count; i++) {
        struct ifab_view one = properties->u.object.members[i].name;
        size_t far = ifab_edit_distance(name, one);
        ifab_buf_str(&names, i > 0 ? ", " : "");
        ifab_buf_view(&names, one);
        best = far < least ? one : best;
        least = far < least ? far : least;
    }
    return cli_usage(cli, "%s has no parameter \"" IFAB_FMT "\"%s" IFAB_FMT "%s It takes: " IFAB_FMT, operation, IFAB_ARG(name),
                     best.size > 0 ? "; did you mean \"" : ".", IFAB_ARG(best), best.size > 0 ? "\"?" : "", names.size > 0 ? (int)names.size : 4,
                     names.size > 0 ? (const char *)names.data : "none");
}

/* Was it given before the n-th? */
static bool is_repeated(struct cli *cli, size_t n, struct ifab_view name)
{
    struct given g;
    for (size_t i = 0; i < n; i++)
        if (take(cli, i, &g) == 0 && ifab_view_equal(g.name, name))
            return true;
    return false;
}

int call_params(struct cli *cli, const char *operation, const struct ifab_json *schema, struct ifab_buf *json)
{
    const struct ifab_json *properties = schema == NULL ? NULL : ifab_json_get(schema, "properties");
    const struct ifab_json *more = schema == NULL ? NULL : ifab_json_get(schema, "additionalProperties");
    struct given g;
    bool any = false;
    ifab_buf_char(json, '{');
    for (size_t i = 0; i < cli->given_count; i++) {
        int code = take(cli, i, &g);
        if (code > 0)
            return code;
        if (code < 0)
            continue;
        const struct ifab_json *one = NULL;
        for (size_t k = 0; properties != NULL && k < properties->u.object.count; k++)
            one = ifab_view_equal(properties->u.object.members[k].name, g.name) ? &properties->u.object.members[k].value : one;
        if (one == NULL && (more == NULL || more->type != IFAB_JSON_TRUE))
            return unknown(cli, operation, g.name, properties);
        bool list = one != NULL && ifab_view_is(type_of(one), "array");
        if (is_repeated(cli, i, g.name)) {
            if (list)
                continue; /* stands there already */
            return cli_usage(cli, IFAB_FMT " is given twice", IFAB_ARG(g.name));
        }
        if (!ifab_utf8_valid(g.name))
            return cli_usage(cli, "the name of a parameter is not UTF-8");
        ifab_buf_str(json, any ? "," : "");
        any = true;
        ifab_json_put_string(json, g.name);
        ifab_buf_char(json, ':');
        code = list ? put_list(cli, i, &g, one, json) : put_value(cli, &g, one == NULL ? IFAB_VIEW("string") : type_of(one), json);
        if (code != 0)
            return code;
    }
    ifab_buf_char(json, '}');
    return ifab_buf_status(json) == IFAB_OK ? 0 : cli_fail(cli, ifab_buf_status(json));
}
