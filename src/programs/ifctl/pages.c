/* Lists: one page of --limit and --cursor, or every page as one list. */
#include "cli.h"

#define CURSOR_MAX 600
#define WHOLE_MAX ((size_t)64 << 20) /* of a document that is only printed when it is whole */

static int get_page(struct cli *cli, const struct ifab_buf *base, const char *limit, const char *cursor, struct ifab_arena *arena,
                    const struct ifab_json **ret_tree)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(8192);
    ifab_buf_view(&target, ifab_buf_as_view(base));
    cli_put_query(&target, "limit", limit);
    cli_put_query(&target, "cursor", cursor);
    ifab_buf_char(&target, '\0');
    return ifab_buf_status(base) == IFAB_OK && ifab_buf_status(&target) == IFAB_OK ? cli_get_json(cli, (const char *)target.data, arena, ret_tree)
                                                                                  : cli_usage(cli, "the filters are too long");
}

static void gather(const struct ifab_json *tree, struct ifab_buf *whole)
{
    const struct ifab_json *items = ifab_json_get(tree, "items");
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
        ifab_buf_str(whole, whole->size == 0 ? "{\"items\":[" : ",");
        ifab_json_write(whole, &items->u.array.items[i]);
    }
}

/* Rows are printed page by page; a document (json, yaml) when all of it is there. */
static int print_all(struct cli *cli, const struct ifab_buf *base, const char *limit, const char *first, const char *columns)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf whole = IFAB_BUF_INIT(WHOLE_MAX);
    bool document = cli->format == CLI_JSON || cli->format == CLI_YAML;
    char cursor[CURSOR_MAX] = "";
    if (first != NULL && !cli_path(cursor, sizeof cursor, "%s", first))
        return cli_usage(cli, "--cursor is too long");
    cli->all = true;
    for (bool more = true; more;) {
        IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
        const struct ifab_json *tree;
        struct ifab_view next = {NULL, 0};
        ifab_arena_init(&arena, (size_t)256 << 20);
        int code = get_page(cli, base, limit, cursor[0] == '\0' ? NULL : cursor, &arena, &tree);
        if (code != 0)
            return code;
        more = ifab_json_string(ifab_json_get(tree, "next"), &next) && !ifab_view_is(next, cursor) && !ferror(stdout);
        if (more && !cli_path(cursor, sizeof cursor, IFAB_FMT, IFAB_ARG(next)))
            return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "a cursor of %zu bytes", next.size);
        if (document)
            gather(tree, &whole);
        else
            cli_print_tree(cli, tree, columns);
        if (ifab_buf_status(&whole) != IFAB_OK)
            return cli_stop(cli, EXIT_USAGE, "Use -o ndjson: it is printed as it comes.", "more than %zu MiB for one document",
                            WHOLE_MAX >> 20);
        cli->goes_on = true; /* one heading */
    }
    if (!document)
        return 0;
    cli->goes_on = false;
    ifab_buf_str(&whole, whole.size == 0 ? "{\"items\":[],\"next\":null}" : "],\"next\":null}");
    return ifab_buf_status(&whole) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&whole), columns) : cli_fail(cli, IFAB_NOMEM);
}

int cli_get_pages(struct cli *cli, const struct ifab_buf *target, bool all, const char *columns)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    const char *limit = cli_get(cli, "limit"), *cursor = cli_get(cli, "cursor");
    if (all)
        return print_all(cli, target, limit == NULL ? "1000" : limit, cursor, columns);
    ifab_arena_init(&arena, (size_t)256 << 20);
    int code = get_page(cli, target, limit, cursor, &arena, &tree);
    if (code == 0)
        cli_print_tree(cli, tree, columns);
    return code;
}
