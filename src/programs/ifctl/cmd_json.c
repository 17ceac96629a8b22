/* json check|canon: the strict reader and the canonical form, for whoever builds messages elsewhere. */
#include "cli.h"

static int with_document(struct cli *cli, bool print)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf text;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, (size_t)128 << 20);
    int code = cli_read_input(cli, cli->word_count > 0 ? cli->words[0] : "-", INPUT_MAX, &text);
    if (code != 0)
        return code;
    memset(&cli->err, 0, sizeof cli->err);
    ifab_status status = ifab_json_read(ifab_buf_as_view(&text), NULL, &arena, &tree, &cli->err);
    if (status == IFAB_INVALID) {
        code = cli_refuse(cli, IFAB_CODE_INVALID_ENVELOPE, "byte %u: %s", cli->err.offset, cli->err.text);
    } else if (status != IFAB_OK) {
        code = cli_fail(cli, status);
    } else if (print) {
        struct ifab_buf canonical = IFAB_BUF_INIT(8 << 20);
        ifab_json_write(&canonical, tree);
        if (ifab_buf_status(&canonical) != IFAB_OK)
            code = cli_fail(cli, ifab_buf_status(&canonical));
        else
            fwrite(canonical.data, 1, canonical.size, stdout); /* exact: these bytes get hashed */
        ifab_buf_fini(&canonical);
    } else {
        cli_say(cli, "good: %zu bytes", text.size);
    }
    ifab_buf_fini(&text);
    return code;
}

int cmd_json_check(struct cli *cli)
{
    return with_document(cli, false);
}

int cmd_json_canon(struct cli *cli)
{
    return with_document(cli, true);
}
