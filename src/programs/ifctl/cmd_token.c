/* token create|list|revoke. The secret is shown once: on stdout, or in a file that only its owner reads. */
#include "cli.h"

#include "base/id.h"
#include "crypto/crypto.h"

#define TOKEN_COLUMNS "ID:id|TALENT:talent|ROLE:role|NAME:name|EXPIRES:expires_at|REVOKED:revoked_at"

int cli_ttl_seconds(struct cli *cli, const char *least, const char *most, char ret_text[32])
{
    const char *ttl = cli_get(cli, "ttl");
    int64_t usec = 0, from = 0, to = 0;
    ret_text[0] = '\0';
    if (ttl == NULL)
        return 0;
    if (!cli_duration(least, &from) || !cli_duration(most, &to) || !cli_duration(ttl, &usec) || usec < from || usec > to || usec % IFAB_SECOND != 0)
        return cli_usage(cli, "--ttl is whole seconds from %s to %s, not \"%s\"", least, most, ttl);
    snprintf(ret_text, 32, "%lld", (long long)(usec / IFAB_SECOND));
    return 0;
}

/* Whose key signs: the talent's own when it is who --as names, so that it needs nobody's leave; else an admin's when one is needed. */
static enum cli_act act_for(const struct cli *cli, const char *talent)
{
    char name[65];
    const char *role = cli_get(cli, "role");
    if (cli->as_named && strcmp(cli_as_name(cli, name), talent) == 0)
        return ACT_ALWAYS;
    return role != NULL && strcmp(role, "agent") != 0 ? ACT_ALWAYS : ACT_IF_NEEDED;
}

static int show(struct cli *cli, struct ifab_view answer, const char *out)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view secret = {NULL, 0};
    struct ifab_buf line = IFAB_BUF_INIT(256);
    ifab_arena_init(&arena, 4 << 20);
    if (ifab_json_read(answer, NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK ||
        !ifab_json_string(ifab_json_get(tree, "secret"), &secret))
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer holds no token");
    ifab_buf_view(&line, secret);
    ifab_buf_char(&line, '\n');
    int code = ifab_buf_status(&line) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
    if (code == 0 && out != NULL) {
        if ((code = cli_write_file(cli, out, ifab_buf_as_view(&line), 0600, false)) == 0)
            cli_print_tree(cli, ifab_json_get(tree, "token"), TOKEN_COLUMNS);
    } else if (code == 0 && cli->format == CLI_TABLE) {
        fwrite(line.data, 1, line.size, stdout); /* alone, so that it can be taken as it is */
        cli_say(cli, "it is not shown again; keep it in a file of mode 0600 and name that with --token-file or IFAB_TOKEN_FILE");
    } else if (code == 0) {
        code = cli_print(cli, answer, TOKEN_COLUMNS);
    }
    if (line.data != NULL)
        ifab_wipe(line.data, line.capacity);
    ifab_buf_fini(&line);
    return code;
}

int cmd_token_create(struct cli *cli)
{
    const char *flag = cli_get(cli, "name"), *word = cli->word_count > 0 ? cli->words[0] : NULL, *out = cli_get(cli, "out");
    const char *talent = word != NULL ? word : flag;
    struct cli_body body;
    struct ifab_response response;
    char seconds[32];
    if (talent == NULL || (flag != NULL && word != NULL && strcmp(flag, word) != 0))
        return cli_usage(cli, talent == NULL ? "say whose: ifctl token create NAME" : "two names");
    if (!ifab_name_valid(ifab_view_str(talent)))
        return cli_usage(cli, "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,63}, not \"%s\"", talent);
    int code = cli_ttl_seconds(cli, "1min", "24h", seconds); /* IFAB_TOKEN_TTL_MIN, _MAX */
    if (code == 0 && out != NULL)
        code = cli_may_make(cli, out); /* before there is a secret that nobody would see */
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "talent", talent);
    cli_body_text(&body, "role", cli_get(cli, "role"));
    if (seconds[0] != '\0')
        cli_body_raw(&body, "ttl_s", seconds);
    cli_body_text(&body, "name", cli_get(cli, "label"));
    cli_body_text(&body, "why", cli->why);
    cli_body_end(&body);
    const struct cli_call call = {
        .method = "POST", .target = "/v1/tokens", .body = ifab_buf_as_view(&body.buf), .act = act_for(cli, talent)};
    code = ifab_buf_status(&body.buf) == IFAB_OK ? cli_call(cli, &call, &response) : cli_fail(cli, ifab_buf_status(&body.buf));
    ifab_buf_fini(&body.buf);
    return code == 0 ? show(cli, response.body, out) : code;
}

int cmd_token_list(struct cli *cli) { return cli_get_list(cli, "/v1/tokens", NULL, TOKEN_COLUMNS); }

int cmd_token_revoke(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    uint8_t id16[16];
    if (ifab_id_parse(ifab_view_str(cli->words[0]), "tok-", id16) != IFAB_OK)
        return cli_usage(cli, "the id of a token begins with tok- (ifctl token list), not \"%s\"", cli->words[0]);
    ifab_buf_str(&target, "/v1/tokens");
    cli_put_segment(&target, cli->words[0]);
    ifab_buf_str(&target, "/revoke");
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK)
        return cli_fail(cli, IFAB_NOMEM);
    cli_body_begin(&body);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, (const char *)target.data, &body, ACT_IF_NEEDED,
                    "ID:token.id|TALENT:token.talent|REVOKED:token.revoked_at|ENTRY:entry.index");
}
