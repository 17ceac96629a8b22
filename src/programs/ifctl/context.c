/* Contexts: named fabrics in $XDG_CONFIG_HOME/infrafabric/contexts.json, 0600. No secret stands in it: a token is named by its file. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/id.h"

static bool context_file(char *directory, size_t directory_size, char *path, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool good = config != NULL && config[0] == '/'
                    ? cli_path(directory, directory_size, "%s/infrafabric", config)
                    : cli_path(directory, directory_size, "%s/.config/infrafabric", home == NULL ? "" : home);
    return good && cli_path(path, size, "%s/contexts.json", directory);
}

/* NULL tree: there is no file yet. buf holds the bytes the tree borrows from. */
static int read_contexts(struct cli *cli, struct ifab_buf *buf, struct ifab_arena *arena, const struct ifab_json **ret_tree)
{
    char directory[1024], path[1100];
    *ret_tree = NULL;
    ifab_buf_init(buf, INPUT_MAX);
    if (!context_file(directory, sizeof directory, path, sizeof path) || access(path, F_OK) != 0)
        return 0;
    int code = cli_read_input(cli, path, INPUT_MAX, buf);
    if (code != 0)
        return code;
    if (ifab_json_read(ifab_buf_as_view(buf), NULL, arena, ret_tree, cli_clean_err(cli)) != IFAB_OK)
        return cli_refuse(cli, IFAB_CODE_INVALID_CONFIG, "%s: byte %u: %s", path, cli->err.offset, cli->err.text);
    return 0;
}

static void take(const struct ifab_json *object, const char *name, char *to, size_t size)
{
    struct ifab_view text;
    if (ifab_json_string(ifab_json_get(object, name), &text) && !cli_path(to, size, IFAB_FMT, IFAB_ARG(text)))
        to[0] = '\0';
}

int cli_context_load(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(INPUT_MAX);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    char current[65] = "";
    ifab_arena_init(&arena, 16 << 20);
    int code = read_contexts(cli, &buf, &arena, &tree);
    if (code != 0 || tree == NULL)
        return code;
    take(tree, "current", current, sizeof current);
    const struct ifab_json *one = current[0] == '\0' ? NULL : ifab_json_get(ifab_json_get(tree, "contexts"), current);
    if (one == NULL)
        return 0;
    take(one, "dir", cli->directory, sizeof cli->directory);
    take(one, "endpoint", cli->endpoint, sizeof cli->endpoint);
    take(one, "as", cli->as, sizeof cli->as);
    take(one, "key", cli->key, sizeof cli->key);
    take(one, "token_file", cli->token_file, sizeof cli->token_file);
    take(one, "ca", cli->ca_file, sizeof cli->ca_file);
    take(one, "cert", cli->cert_file, sizeof cli->cert_file);
    take(one, "cert_key", cli->cert_key_file, sizeof cli->cert_key_file);
    return 0;
}

/* The file as it will be: the old contexts without `name`, then the new one (NULL: none), then the current one. */
static int write_contexts(struct cli *cli, const struct ifab_json *tree, const char *name, struct ifab_view one, const char *current)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX);
    char directory[1024], path[1100];
    const struct ifab_json *old = ifab_json_get(tree, "contexts");
    bool any = false;
    ifab_buf_str(&text, "{\"contexts\":{");
    for (size_t i = 0; old != NULL && old->type == IFAB_JSON_OBJECT && i < old->u.object.count; i++) {
        const struct ifab_json_member *m = &old->u.object.members[i];
        if (one.size > 0 && ifab_view_is(m->name, name))
            continue;
        ifab_buf_str(&text, any ? "," : "");
        any = true;
        ifab_json_put_string(&text, m->name);
        ifab_buf_char(&text, ':');
        ifab_json_write(&text, &m->value);
    }
    if (one.size > 0) {
        ifab_buf_str(&text, any ? "," : "");
        ifab_json_put_cstr(&text, name);
        ifab_buf_char(&text, ':');
        ifab_buf_view(&text, one);
    }
    ifab_buf_str(&text, "},\"current\":");
    ifab_json_put_cstr(&text, current);
    ifab_buf_str(&text, "}\n");
    if (ifab_buf_status(&text) != IFAB_OK || !context_file(directory, sizeof directory, path, sizeof path))
        return cli_refuse(cli, IFAB_CODE_TOO_LARGE, "too many contexts");
    int code = cli_make_directory(cli, directory, 0700, true);
    return code == 0 ? cli_write_file(cli, path, ifab_buf_as_view(&text), 0600, true) : code;
}

/* From wherever it is read again; a file that is not there yet as it was named. */
static void body_file(struct cli_body *body, const char *name, const char *file)
{
    char *absolute = file == NULL || file[0] == '\0' ? NULL : realpath(file, NULL);
    cli_body_text(body, name, absolute != NULL ? absolute : file == NULL || file[0] == '\0' ? NULL : file);
    free(absolute); /* realpath's own */
}

int cmd_context_add(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(INPUT_MAX);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct cli_body one;
    char current[65] = "", *absolute = NULL;
    const char *name = cli->words[0], *dir = cli_get(cli, "dir");
    ifab_arena_init(&arena, 16 << 20);
    if (!ifab_name_valid(ifab_view_str(name)))
        return cli_usage(cli, "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,63}, not \"%s\"", name);
    if (dir == NULL && cli_get(cli, "endpoint") == NULL)
        return cli_usage(cli, "say where it is: --dir DIR or --endpoint E");
    int code = read_contexts(cli, &buf, &arena, &tree);
    if (code != 0)
        return code;
    take(tree, "current", current, sizeof current);
    if (dir != NULL && (absolute = realpath(dir, NULL)) == NULL)
        return cli_file_failed(cli, dir, errno);
    cli_body_begin(&one);
    cli_body_text(&one, "dir", absolute);
    free(absolute); /* realpath's own */
    cli_body_text(&one, "endpoint", cli_get(cli, "endpoint"));
    cli_body_text(&one, "as", cli_get(cli, "as"));
    body_file(&one, "token_file", cli_get(cli, "token-file"));
    body_file(&one, "ca", cli_get(cli, "ca"));
    body_file(&one, "cert", cli_get(cli, "cert"));
    body_file(&one, "cert_key", cli_get(cli, "cert-key"));
    cli_body_end(&one);
    code = write_contexts(cli, tree, name, ifab_buf_as_view(&one.buf), current[0] == '\0' ? name : current);
    ifab_buf_fini(&one.buf);
    if (code == 0)
        cli_say(cli, "context %s added%s", name, current[0] == '\0' ? "; it is the current one" : "");
    return code;
}

int cli_context_keep(struct cli *cli, const char *name, const char *key)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(INPUT_MAX);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct cli_body one;
    char current[65] = "", *absolute = realpath(key, NULL), *dir = realpath(cli->directory, NULL);
    ifab_arena_init(&arena, 16 << 20);
    int code = read_contexts(cli, &buf, &arena, &tree);
    take(tree, "current", current, sizeof current);
    bool there = code == 0 && ifab_json_get(ifab_json_get(tree, "contexts"), name) != NULL;
    if (there)
        cli_say(cli, "context %s exists already and was left as it is", name);
    if (code == 0 && !there) {
        cli_body_begin(&one);
        cli_body_text(&one, "dir", dir);
        cli_body_text(&one, "endpoint", cli->endpoint);
        cli_body_text(&one, "as", name);
        cli_body_text(&one, "key", absolute);
        body_file(&one, "ca", cli->ca_file);
        cli_body_end(&one);
        code = write_contexts(cli, tree, name, ifab_buf_as_view(&one.buf), current[0] == '\0' ? name : current);
        ifab_buf_fini(&one.buf);
        if (code == 0)
            cli_say(cli, "context %s added%s", name, current[0] == '\0' ? "; it is the current one" : "");
    }
    free(absolute); /* realpath's own */
    free(dir);
    return code;
}

int cmd_context_use(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(INPUT_MAX);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 16 << 20);
    int code = read_contexts(cli, &buf, &arena, &tree);
    if (code != 0)
        return code;
    if (ifab_json_get(ifab_json_get(tree, "contexts"), cli->words[0]) == NULL)
        return cli_stop(cli, 12, "Choose one of those that ifctl context list shows.", "no context \"%s\"", cli->words[0]);
    return write_contexts(cli, tree, "", (struct ifab_view){NULL, 0}, cli->words[0]);
}

int cmd_context_list(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(INPUT_MAX);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX * 2);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    char current[65] = "";
    ifab_arena_init(&arena, 16 << 20);
    int code = read_contexts(cli, &buf, &arena, &tree);
    if (code != 0)
        return code;
    take(tree, "current", current, sizeof current);
    const struct ifab_json *all = ifab_json_get(tree, "contexts");
    ifab_buf_str(&text, "{\"items\":[");
    for (size_t i = 0; all != NULL && all->type == IFAB_JSON_OBJECT && i < all->u.object.count; i++) {
        const struct ifab_json_member *m = &all->u.object.members[i];
        ifab_buf_str(&text, i > 0 ? ",{\"name\":" : "{\"name\":");
        ifab_json_put_string(&text, m->name);
        ifab_buf_str(&text, ifab_view_is(m->name, current) ? ",\"current\":\"*\"" : ",\"current\":\"\"");
        ifab_buf_str(&text, ",\"to\":");
        ifab_json_write(&text, &m->value);
        ifab_buf_char(&text, '}');
    }
    ifab_buf_str(&text, "],\"next\":null}");
    if (ifab_buf_status(&text) != IFAB_OK)
        return cli_fail(cli, IFAB_NOMEM);
    return cli_print(cli, ifab_buf_as_view(&text), " :current|NAME:name|DIR:to.dir|ENDPOINT:to.endpoint|AS:to.as");
}
