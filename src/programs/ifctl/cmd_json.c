/* json check|canon: the strict reader and the canonical form, for whoever builds messages elsewhere. */
#include "cli.h"

static int print_result(struct cli *cli, size_t size, const struct ifab_error *err)
{
    struct cli_body body;
    char number[32];
    cli_body_begin(&body);
    cli_body_raw(&body, "ok", err == NULL ? "true" : "false");
    cli_path(number, sizeof number, "%zu", err == NULL ? size : (size_t)err->offset);
    cli_body_raw(&body, err == NULL ? "bytes" : "offset", number);
    if (err != NULL)
        cli_body_text(&body, "problem", err->text);
    cli_body_end(&body);
    int code = cli_print(cli, ifab_buf_as_view(&body.buf), "OK:ok|BYTES:bytes|OFFSET:offset|PROBLEM:problem");
    ifab_buf_fini(&body.buf);
    return code;
}

static int with_document(struct cli *cli, bool print)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf text;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, (size_t)128 << 20);
    int code = cli_read_input(cli, cli->word_count > 0 ? cli->words[0] : "-", INPUT_MAX, &text);
    if (code != 0)
        return code;
    ifab_status status = ifab_json_read(ifab_buf_as_view(&text), NULL, &arena, &tree, cli_clean_err(cli));
    if (status == IFAB_INVALID) {
        if (!print)
            print_result(cli, text.size, &cli->err);
        code = cli_stop(cli, 11, print ? NULL : "correct it there; json canon prints the exact form of a good document", "%s, byte %u: %s",
                        cli->word_count > 0 ? cli->words[0] : "stdin", cli->err.offset, cli->err.text);
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
        code = print_result(cli, text.size, NULL);
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
