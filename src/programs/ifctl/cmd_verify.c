/* witness verify DIR: the offline verifier of libinfrafabric, as if-verify runs it. No daemon is asked. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/verify.h"

#define VERIFY_INCONCLUSIVE 3 /* as if-verify: consistent, but no key was named to trust */

static int take_file(struct cli *cli, const char *path, struct ifab_buf *buf)
{
    int code = cli_read_input(cli, path, 65536, buf);
    while (code == 0 && buf->size > 0 && path[0] == '@' && buf->data[buf->size - 1] == '\n') /* a vkey is one line */
        buf->size--;
    return code;
}

static const char *verdict_text(enum ifab_verify_verdict verdict)
{
    switch (verdict) {
    case IFAB_VERIFY_VERIFIED:
        return "verified";
    case IFAB_VERIFY_CONSISTENT:
        return "consistent, but no trusted key given";
    case IFAB_VERIFY_NOT_VERIFIED:
        break;
    }
    return "not verified";
}

static int print_report(struct cli *cli, const struct ifab_verify_report *report)
{
    struct cli_body body;
    char number[32];
    cli_body_begin(&body);
    cli_body_text(&body, "verdict", verdict_text(report->verdict));
    cli_body_text(&body, "integrity", report->integrity);
    cli_body_text(&body, "trust", report->trust);
    cli_body_text(&body, "origin", report->origin);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"size", report->size},
                   {"entries_checked", report->entries_checked},
                   {"messages_good", report->messages_good},
                   {"messages_erased", report->messages_erased},
                   {"messages_absent", report->messages_absent}};
    for (size_t i = 0; i < IFAB_COUNT(numbers); i++) {
        cli_path(number, sizeof number, "%llu", (unsigned long long)numbers[i].value);
        cli_body_raw(&body, numbers[i].name, number);
    }
    if (report->rotations > 0 && cli_path(number, sizeof number, "%llu", (unsigned long long)report->rotations)) {
        cli_body_raw(&body, "rotations", number);
        cli_body_text(&body, "vkey", report->vkey);
    }
    if (report->has_bad_index && cli_path(number, sizeof number, "%llu", (unsigned long long)report->bad_index))
        cli_body_raw(&body, "bad_index", number);
    cli_body_end(&body);
    int code = cli_print(cli, ifab_buf_as_view(&body.buf), "VERDICT:verdict|INTEGRITY:integrity|TRUST:trust|SIZE:size");
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_witness_verify(struct cli *cli)
{
    struct ifab_buf vkey = IFAB_BUF_INIT(65536), note = IFAB_BUF_INIT(65536);
    struct ifab_verify_options options = {0};
    struct ifab_verify_report report;
    const char *key = cli_get(cli, "vkey"), *checkpoint = cli_get(cli, "checkpoint"), *least = cli_get(cli, "min-size");
    int code = 0;
    memset(&report, 0, sizeof report);
    if (least != NULL) {
        if (strlen(least) == 0 || strlen(least) > 16 || strspn(least, "0123456789") != strlen(least))
            return cli_usage(cli, "--min-size is a number, not \"%s\"", least);
        options.has_min_size = true;
        options.min_size = strtoull(least, NULL, 10);
    }
    if (key != NULL && key[0] == '@')
        code = take_file(cli, key, &vkey);
    else if (key != NULL && access(key, F_OK) == 0)
        code = cli_usage(cli, "--vkey %s is the key itself; to read a file: --vkey @%s", key, key);
    if (code == 0 && checkpoint != NULL)
        code = take_file(cli, checkpoint, &note);
    options.vkey = key != NULL && key[0] == '@' ? ifab_buf_as_view(&vkey) : ifab_view_str(key);
    options.checkpoint = ifab_buf_as_view(&note);
    options.follow_rotation = cli_get(cli, "follow-rotation") != NULL;
    if (code == 0 && access(cli->words[0], F_OK) != 0)
        code = cli_file_failed(cli, cli->words[0], errno);
    if (code == 0) {
        ifab_status status = ifab_verify_log(cli->words[0], &options, &report, cli_clean_err(cli));
        code = status == IFAB_OK        ? print_report(cli, &report)
               : status == IFAB_INVALID ? cli_usage(cli, "%s", cli->err.text)
                                        : cli_fail(cli, status);
        if (code == 0)
            code = report.verdict == IFAB_VERIFY_VERIFIED ? 0 : report.verdict == IFAB_VERIFY_CONSISTENT ? VERIFY_INCONCLUSIVE : 1;
    }
    ifab_buf_fini(&vkey);
    ifab_buf_fini(&note);
    return code;
}
