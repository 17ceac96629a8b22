/*
 * Who a request is from. What only a talent may ask, it asks with a token: the talent's key signs for one, it lives in this process alone, and it is
 * revoked when the command ends; killed before that, it ends by itself.
 */
#include "cli.h"

#include <stdlib.h>

#include "crypto/crypto.h"

#define TTL_LONG CLI_SPEAK_LONG /* an approval takes at most a plan's life of ten minutes */
#define FAREWELL (5 * IFAB_SECOND) /* no daemon that hangs keeps a command from ending: the token ends by itself */

static bool spoken_for(const struct cli *cli)
{
    const char *environment = getenv("IFAB_TOKEN_FILE");
    return !cli->as_named || cli->token[0] != '\0' || cli->token_file[0] != '\0' || cli_get(cli, "token-file") != NULL ||
           (environment != NULL && *environment != '\0') || (cli->cert_file[0] != '\0' && strncmp(cli->endpoint, "https:", 6) == 0);
}

static int take_token(struct cli *cli, struct ifab_view body)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view secret, id;
    ifab_arena_init(&arena, 4 << 20);
    if (ifab_json_read(body, NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "secret"), &secret) ||
        !ifab_json_string(ifab_json_get(ifab_json_get(tree, "token"), "id"), &id) || !cli_path(cli->token, sizeof cli->token, IFAB_FMT, IFAB_ARG(secret)) ||
        !cli_path(cli->token_id, sizeof cli->token_id, IFAB_FMT, IFAB_ARG(id)))
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer holds no token");
    return 0;
}

static int speak(struct cli *cli, int64_t usec, bool silent)
{
    struct cli_body body;
    struct ifab_response response;
    char name[65], ttl[24];
    if (spoken_for(cli))
        return 0;
    int code = cli_identity(cli);
    int64_t seconds = usec < IFAB_MINUTE ? 60 : usec > TTL_LONG ? TTL_LONG / IFAB_SECOND : usec / IFAB_SECOND; /* 60 is the least there is */
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "talent", cli_as_name(cli, name));
    snprintf(ttl, sizeof ttl, "%lld", (long long)seconds);
    cli_body_raw(&body, "ttl_s", ttl);
    cli_body_text(&body, "name", "ifctl");
    cli_body_text(&body, "why", cli->why[0] != '\0' ? cli->why : cli->command->name);
    cli_body_end(&body);
    code = cli_body_good(cli, &body);
    const struct cli_call call = {.method = "POST", .target = "/v1/tokens", .body = ifab_buf_as_view(&body.buf), .act = ACT_ALWAYS, .silent = silent};
    if (code == 0)
        code = cli_call(cli, &call, &response);
    ifab_buf_fini(&body.buf);
    if (code == 0)
        code = take_token(cli, response.body);
    ifab_client_close(cli->client); /* the next request opens one that has it */
    cli->client = NULL;
    return code;
}

int cli_speak_begin(struct cli *cli) { return speak(cli, TTL_LONG, false); }
int cli_speak_as_said(struct cli *cli, int64_t usec) { return cli->as_said ? speak(cli, usec, false) : 0; }

int cli_speak_again(struct cli *cli, bool silent)
{
    char token[sizeof cli->token], id[sizeof cli->token_id];
    memcpy(token, cli->token, sizeof token);
    memcpy(id, cli->token_id, sizeof id);
    cli->token[0] = '\0';
    int code = speak(cli, TTL_LONG, silent);
    if (code != 0) {
        memcpy(cli->token, token, sizeof token);
        memcpy(cli->token_id, id, sizeof id);
    }
    ifab_wipe(token, sizeof token);
    return code;
}

void cli_speak_end(struct cli *cli)
{
    struct ifab_response response;
    char target[80];
    const struct cli_call call = {.method = "POST", .target = target, .body = IFAB_VIEW("{\"why\":\"the command has ended\"}"), .act = ACT_ALWAYS, .silent = true, .last = true};
    if (cli->token[0] == '\0')
        return;
    cli->retry = 0;
    cli->timeout_usec = FAREWELL;
    if (cli->client != NULL)
        ifab_client_set_timeout(cli->client, FAREWELL);
    if (cli_path(target, sizeof target, "/v1/tokens/%s/revoke", cli->token_id))
        (void)cli_call(cli, &call, &response);
    ifab_wipe(cli->token, sizeof cli->token);
    ifab_client_close(cli->client);
    cli->client = NULL;
}
