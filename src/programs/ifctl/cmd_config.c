/* config check|show|schema: offline, from the same table the daemon reads. */
#include "cli.h"

#include <errno.h>

#include "config/config.h"
#include "yaml/yaml_tree.h"

static int config_file(struct cli *cli, char *ret_path, size_t size)
{
    bool good =
        cli->word_count > 0 ? cli_path(ret_path, size, "%s", cli->words[0]) : cli_path(ret_path, size, "%s/ifd.yaml", cli->directory);
    return good ? 0 : cli_usage(cli, "path too long");
}

static int load(struct cli *cli, const char *path)
{
    struct ifab_config *config = ifab_calloc(1, sizeof *config);
    ifab_status status = config == NULL ? IFAB_NOMEM : ifab_config_load(path, config, cli_clean_err(cli));
    int code = 0;
    const char *text = cli->err.text;
    if (status == IFAB_NOT_FOUND || status == IFAB_DENIED)
        code = cli_file_failed(cli, path, status == IFAB_DENIED ? EACCES : ENOENT);
    else if (strncmp(text, "ifd.yaml line ", 14) == 0) /* the loader knows one name: here it may be another file */
        code = cli_refuse(cli, IFAB_CODE_INVALID_CONFIG, "%s %s", path, text + 9);
    else if (status != IFAB_OK)
        code = cli_refuse(cli, IFAB_CODE_INVALID_CONFIG, "%s%s%s", strstr(text, path) == NULL ? path : "",
                          strstr(text, path) == NULL ? ": " : "", text);
    uint8_t digest32[32];
    if (code == 0 && ifab_rules_load(config->rules_file, digest32, cli_clean_err(cli)) != IFAB_OK)
        code = cli_refuse(cli, IFAB_CODE_INVALID_CONFIG, "%s: every message would be DENY", cli->err.text);
    ifab_free(config);
    return code;
}

int cmd_config_check(struct cli *cli)
{
    char path[1200];
    int code = config_file(cli, path, sizeof path);
    if (code == 0)
        code = load(cli, path);
    if (code == 0)
        cli_say(cli, "good: %s", path);
    return code;
}

int cmd_config_schema(struct cli *cli)
{
    struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
    const struct ifab_setting_info *row;
    ifab_buf_str(&text, "{\"items\":[");
    for (size_t i = 0; (row = ifab_setting_at(i)) != NULL; i++) {
        struct cli_body body;
        cli_body_begin(&body);
        cli_body_text(&body, "name", row->name);
        cli_body_text(&body, "type", row->type);
        cli_body_text(&body, "range", row->range);
        cli_body_text(&body, "default", row->default_text);
        cli_body_text(&body, "unit", row->unit);
        cli_body_text(&body, "applies", row->applies);
        cli_body_text(&body, "help", row->help);
        cli_body_end(&body);
        ifab_buf_str(&text, i > 0 ? "," : "");
        ifab_buf_view(&text, ifab_buf_as_view(&body.buf));
        ifab_buf_fini(&body.buf);
    }
    ifab_buf_str(&text, "],\"next\":null}");
    int code = ifab_buf_status(&text) == IFAB_OK
                   ? cli_print(cli, ifab_buf_as_view(&text), "NAME:name|TYPE:type|RANGE:range|DEFAULT:default|APPLIES:applies|HELP:help")
                   : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&text);
    return code;
}

/* The node a dotted name means, nested or not; NULL when the file does not say. */
static const struct ifab_json *find(const struct ifab_json *object, const char *name)
{
    const struct ifab_json *whole = ifab_json_get(object, name);
    if (whole != NULL && (whole->type != IFAB_JSON_OBJECT || strcmp(name, "log") != 0))
        return whole;
    for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        char first[128];
        const struct ifab_json *below;
        if (cli_path(first, sizeof first, "%.*s", (int)(dot - name), name) && (below = ifab_json_get(object, first)) != NULL &&
            (below = find(below, dot + 1)) != NULL)
            return below;
    }
    return NULL;
}

int cmd_config_show(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf file, text = IFAB_BUF_INIT(4 << 20);
    struct ifab_yaml yaml;
    const struct ifab_setting_info *row;
    char path[1200];
    ifab_arena_init(&arena, 32 << 20);
    int code = config_file(cli, path, sizeof path);
    if (code == 0)
        code = load(cli, path);
    if (code == 0)
        code = cli_read_input(cli, path, INPUT_MAX, &file);
    if (code != 0)
        return code;
    if (ifab_yaml_read(ifab_buf_as_view(&file), &arena, &yaml, cli_clean_err(cli)) != IFAB_OK)
        code = cli_refuse(cli, IFAB_CODE_INVALID_CONFIG, "%s: %s", path, cli->err.text);
    ifab_buf_str(&text, "{\"items\":[");
    for (size_t i = 0; code == 0 && (row = ifab_setting_at(i)) != NULL; i++) {
        const struct ifab_json *value = find(yaml.root, row->name);
        ifab_buf_str(&text, i > 0 ? ",{\"name\":" : "{\"name\":");
        ifab_json_put_cstr(&text, row->name);
        ifab_buf_str(&text, ",\"value\":");
        if (value != NULL)
            ifab_json_write(&text, value);
        else
            ifab_json_put_cstr(&text, row->default_text);
        ifab_buf_str(&text, value != NULL ? ",\"from\":\"file\"}" : ",\"from\":\"default\"}");
    }
    ifab_buf_str(&text, "],\"next\":null}");
    if (code == 0)
        code = ifab_buf_status(&text) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&text), "NAME:name|VALUE:value|FROM:from")
                                                 : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&text);
    ifab_buf_fini(&file);
    return code;
}
