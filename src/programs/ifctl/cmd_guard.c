/* guard check: offline, by the reader that the daemon uses. (guard explain is beside message send, which makes the same message.) */
#include "cli.h"

#include <errno.h>

#include "config/config.h"

static void body_count(struct cli_body *body, const char *name, size_t count)
{
    char number[32];
    cli_path(number, sizeof number, "%zu", count);
    cli_body_raw(body, name, number);
}

int cmd_guard_check(struct cli *cli)
{
    struct ifab_ruleset *set = NULL;
    struct cli_body body;
    uint8_t digest32[32];
    char text[80] = "\"sha256:";
    ifab_status status = ifab_rules_read(cli->words[0], &set, digest32, cli_clean_err(cli));
    if (status == IFAB_NOT_FOUND || status == IFAB_DENIED)
        return cli_file_failed(cli, cli->words[0], status == IFAB_DENIED ? EACCES : ENOENT);
    if (status != IFAB_OK)
        return cli_refuse(cli, IFAB_CODE_INVALID_CONFIG, "%s", cli->err.text);
    for (size_t i = 0; i < sizeof digest32; i++)
        snprintf(text + 8 + 2 * i, 3, "%02x", digest32[i]);
    text[72] = '"';
    text[73] = '\0';
    cli_body_begin(&body);
    body_count(&body, "capabilities", ifab_ruleset_capabilities(set));
    cli_body_text(&body, "file", cli->words[0]);
    body_count(&body, "hazards", ifab_ruleset_hazards(set));
    cli_body_raw(&body, "policy_digest", text);
    body_count(&body, "rules", ifab_ruleset_count(set));
    cli_body_end(&body);
    int code = cli_print(cli, ifab_buf_as_view(&body.buf), "FILE:file|RULES:rules|CAPABILITIES:capabilities|HAZARDS:hazards|POLICY_DIGEST:policy_digest");
    ifab_buf_fini(&body.buf);
    ifab_ruleset_free(set);
    return code;
}
