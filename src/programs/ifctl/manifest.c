/* Reading manifests: JSON as it is, YAML typed by the same rows; what is refused is told with its line. */
#include "manifest.h"

#include "yaml/yaml_tree.h"

#define FILE_MAX ((size_t)4 * IFAB_MANIFEST_MAX)

void cli_manifest_fini(struct cli_manifest *self)
{
    ifab_arena_fini(&self->arena);
    ifab_buf_fini(&self->text);
}

static int refused(struct cli *cli, const char *file, const struct ifab_refusal *refusal, uint32_t line)
{
    char where[32] = "";
    const struct ifab_code_info *info = ifab_code_info(refusal->code);
    if (line > 0)
        cli_path(where, sizeof where, " line %u", line);
    return cli_stop(cli, info == NULL ? EXIT_SYSTEM : info->exit,
                    refusal->hint != NULL ? refusal->hint
                    : info == NULL        ? NULL
                                          : info->hint,
                    "IF_ERR_%03d: %s%s: %s", (int)refusal->code, file, where, refusal->message);
}

static uint32_t line_of(struct ifab_view text, int64_t offset)
{
    uint32_t line = 1;
    for (size_t i = 0; offset >= 0 && i < text.size && i < (size_t)offset; i++)
        line += text.data[i] == '\n';
    return offset < 0 ? 0 : line;
}

static int read_yaml(struct cli *cli, const char *file, struct cli_manifest *m)
{
    struct ifab_yaml yaml;
    struct ifab_refusal refusal = {.offset = -1};
    const struct ifab_json *tree;
    ifab_status status = ifab_yaml_read(ifab_buf_as_view(&m->text), &m->arena, &yaml, cli_clean_err(cli));
    if (status == IFAB_OK)
        status = ifab_yaml_typed(&yaml, ifab_manifest_schema(), &m->arena, &tree, &cli->err);
    if (status != IFAB_OK)
        return cli_refuse(cli, IFAB_CODE_INVALID_MANIFEST, "%s: %s", file, cli->err.text);
    if (ifab_manifest_from_tree(tree, &m->arena, &m->manifest, &refusal) == IFAB_CODE_NONE)
        return 0;
    bool known = refusal.offset >= 0 && (size_t)refusal.offset < yaml.mark_count;
    return refused(cli, file, &refusal, known ? yaml.marks[refusal.offset].line : 0);
}

int cli_manifest_read(struct cli *cli, const char *file, struct cli_manifest *ret)
{
    struct ifab_refusal refusal = {.offset = -1};
    size_t at = 0;
    memset(ret, 0, sizeof *ret);
    ifab_arena_init(&ret->arena, IFAB_MANIFEST_ARENA_MAX);
    int code = cli_read_input(cli, file, FILE_MAX, &ret->text);
    if (code != 0) {
        memset(&ret->text, 0, sizeof ret->text);
        return code;
    }
    while (at < ret->text.size && strchr(" \t\r\n", ret->text.data[at]) != NULL && ret->text.data[at] != '\0')
        at++;
    if (at == ret->text.size || ret->text.data[at] != '{')
        return read_yaml(cli, file, ret);
    if (ifab_manifest_read(ifab_buf_as_view(&ret->text), &ret->arena, &ret->manifest, &refusal) == IFAB_CODE_NONE)
        return 0;
    return refused(cli, file, &refusal, line_of(ifab_buf_as_view(&ret->text), refusal.offset));
}

int cli_capability_word(struct cli *cli, const char *word, char ret_name[CLI_CAPABILITY_NAME_MAX], char ret_version[IFAB_CAPABILITY_VERSION_MAX + 1])
{
    static const char prefix[] = "if://capability/";
    char id[IFAB_CAPABILITY_ID_MAX + 1];
    const char *name = strncmp(word, prefix, sizeof prefix - 1) == 0 ? word + sizeof prefix - 1 : word, *at = strchr(name, '@');
    size_t size = at == NULL ? strlen(name) : (size_t)(at - name);
    const char *version = at == NULL ? "" : at + 1;
    if (!cli_path(id, sizeof id, "%s%.*s", prefix, (int)(size < sizeof id ? size : sizeof id), name) || !ifab_capability_id_valid(ifab_view_str(id)))
        return cli_usage(
            cli, "a capability is called NAME or if://capability/NAME, lower-case letters and digits with single '.' or '-' between, not \"%s\"",
            word);
    if (at != NULL && !ifab_capability_version_valid(ifab_view_str(version)))
        return cli_usage(cli, "a version is three numbers such as 1.0.0, not \"%s\"", version);
    cli_path(ret_name, CLI_CAPABILITY_NAME_MAX, "%s", id + sizeof prefix - 1);
    cli_path(ret_version, IFAB_CAPABILITY_VERSION_MAX + 1, "%s", version);
    return 0;
}
