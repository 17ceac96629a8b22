/* Request bodies, member by member. */
#include "cli.h"

#include "base/encode.h"

void cli_body_begin(struct cli_body *body)
{
    ifab_buf_init(&body->buf, 4 << 20);
    body->any = false;
    ifab_buf_char(&body->buf, '{');
}

static void name_of(struct cli_body *body, const char *name)
{
    if (body->any)
        ifab_buf_char(&body->buf, ',');
    body->any = true;
    ifab_json_put_cstr(&body->buf, name);
    ifab_buf_char(&body->buf, ':');
}

void cli_body_text(struct cli_body *body, const char *name, const char *value)
{
    if (value == NULL)
        return;
    name_of(body, name);
    ifab_json_put_cstr(&body->buf, value);
}

void cli_body_raw(struct cli_body *body, const char *name, const char *json)
{
    name_of(body, name);
    ifab_buf_str(&body->buf, json);
}

void cli_body_end(struct cli_body *body)
{
    ifab_buf_char(&body->buf, '}');
}

int cli_body_good(struct cli *cli, const struct cli_body *body)
{
    if (ifab_buf_status(&body->buf) != IFAB_OK)
        return cli_fail(cli, ifab_buf_status(&body->buf));
    return ifab_utf8_valid(ifab_buf_as_view(&body->buf)) ? 0 : cli_usage(cli, "a text is not UTF-8");
}

int cli_post(struct cli *cli, const char *target, struct cli_body *body, enum cli_act act, const char *columns)
{
    struct ifab_response response;
    cli_body_end(body);
    int code = cli_body_good(cli, body);
    if (code == 0) {
        const struct cli_call call = {.method = "POST", .target = target, .body = ifab_buf_as_view(&body->buf), .act = act};
        code = cli_call(cli, &call, &response);
    }
    if (code == 0 && response.body.size > 0)
        code = cli_print(cli, response.body, columns);
    ifab_buf_fini(&body->buf);
    return code;
}
