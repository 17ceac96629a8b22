/* publisher add|list|revoke, capability allow|revoke|list|show|check: what an admin lets in, and what is there. */
#include "manifest.h"
#include "task.h"

#define PUBLISHER_COLUMNS  "NAME:name|KEY ID:key_id|NAMESPACES:namespaces|SINCE:not_before|UNTIL:not_after|REVOKED:revoked_at"
#define CAPABILITY_COLUMNS "ID:id|VERSION:version|STATE:state|REVOKED:revoked|PUBLISHER:publisher|OPERATIONS:operations|SUMMARY:summary"
#define SHOW_COLUMNS       CAPABILITY_COLUMNS "|DIGEST:digest|ALLOWED:allowed_at|MODULE:manifest.entrypoint.module|SCOPES:manifest.scopes"
#define DIFF_MAX           IFAB_MANIFEST_CHANGES_MAX

int cmd_publisher_add(struct cli *cli)
{
    struct cli_body body;
    const char *pubkey = cli_get(cli, "pubkey"), *expires = cli_get(cli, "expires");
    char text[44], until[25] = "";
    int code = pubkey == NULL ? cli_usage(cli, "say its key: --pubkey KEY or --pubkey @FILE") : cli_pubkey_option(cli, pubkey, text);
    if (code == 0 && cli_get(cli, "namespace") == NULL)
        code = cli_usage(cli, "say what it may sign: --namespace vmix,if-media (capability names, or their beginnings up to a dot)");
    if (code == 0 && expires != NULL)
        code = cli_time_option(cli, "expires", expires, until);
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "name", cli->words[0]);
    code = task_put_list(cli, &body, "namespaces", "namespace");
    if (code != 0) {
        ifab_buf_fini(&body.buf);
        return code;
    }
    cli_body_text(&body, "not_after", until[0] == '\0' ? NULL : until);
    cli_body_text(&body, "pubkey", text);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, "/v1/publishers", &body, ACT_ALWAYS, "NAME:record.name|KEY ID:record.key_id|NAMESPACES:record.namespaces|ENTRY:entry.index");
}

int cmd_publisher_list(struct cli *cli) { return cli_get_list(cli, "/v1/publishers", NULL, PUBLISHER_COLUMNS); }

static int post_named(struct cli *cli, const char *route, const char *name, const char *tail, struct cli_body *body, enum cli_act act,
                      const char *columns)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    ifab_buf_str(&target, route);
    cli_put_segment(&target, name);
    ifab_buf_str(&target, tail);
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK) {
        ifab_buf_fini(&body->buf);
        ifab_buf_fini(&target);
        return cli_fail(cli, IFAB_NOMEM);
    }
    int code = cli_post(cli, (const char *)target.data, body, act, columns);
    ifab_buf_fini(&target);
    return code;
}

int cmd_publisher_revoke(struct cli *cli)
{
    struct cli_body body;
    cli_body_begin(&body);
    cli_body_text(&body, "why", cli->why);
    return post_named(cli, "/v1/publishers", cli->words[0], "/revoke", &body, ACT_ALWAYS,
                      "NAME:record.name|REVOKED:record.revoked_at|ENTRY:entry.index");
}

static int capability_target(struct cli *cli, const char *name, const char *version, struct ifab_buf *target)
{
    ifab_buf_init(target, 4096);
    ifab_buf_str(target, "/v1/capabilities");
    cli_put_segment(target, name);
    cli_put_query(target, "version", version[0] == '\0' ? NULL : version);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
}

/* ---- allow ---- */

static void show_value(const char *label, const struct ifab_json *value)
{
    fprintf(stderr, "    %s", label);
    if (value == NULL)
        fputs("-", stderr);
    else
        cli_put_json(stderr, value, -1);
    fputc('\n', stderr);
}

/* The one that is known under this version, and how this one differs: refused, and shown. */
static void show_diff(struct cli *cli, const struct ifab_manifest *m)
{
    struct ifab_manifest_change *changes;
    struct ifab_arena arena;
    const struct ifab_json *tree = NULL, *known;
    struct ifab_buf target;
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    size_t count = 0, total = 0;
    ifab_arena_init(&arena, (size_t)32 << 20);
    cli_path(name, sizeof name, IFAB_FMT, IFAB_ARG(m->name));
    cli_path(version, sizeof version, IFAB_FMT, IFAB_ARG(m->version));
    changes = ifab_arena_calloc(&arena, DIFF_MAX, sizeof *changes);
    bool there = capability_target(cli, name, version, &target) == 0 && cli_get_quietly(cli, (const char *)target.data, &arena, &tree) == 0;
    known = there ? ifab_json_get(tree, "manifest") : NULL;
    if (changes != NULL && known != NULL && ifab_manifest_diff(known, m->tree, &arena, changes, DIFF_MAX, &count, &total) == IFAB_OK)
        cli_say(cli, "%s@%s as it is known, and as this file has it (%zu differ):", name, version, total);
    for (size_t i = 0; i < count; i++) {
        fputs("  ", stderr);
        cli_put_text(stderr, changes[i].pointer);
        fputc('\n', stderr);
        show_value("known: ", changes[i].before);
        show_value("file:  ", changes[i].after);
    }
    ifab_buf_fini(&target);
    ifab_arena_fini(&arena);
}

/* It is allowed, and what its calls will lack is told now, not to the first who calls. */
static void say_what_lacks(struct cli *cli, const struct ifab_manifest *m)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_buf target;
    const struct ifab_json *tree = NULL;
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    struct ifab_view key;
    ifab_arena_init(&arena, (size_t)32 << 20);
    cli_path(name, sizeof name, IFAB_FMT, IFAB_ARG(m->name));
    cli_path(version, sizeof version, IFAB_FMT, IFAB_ARG(m->version));
    if (capability_target(cli, name, version, &target) == 0)
        (void)cli_get_quietly(cli, (const char *)target.data, &arena, &tree);
    ifab_buf_fini(&target);
    const struct ifab_json *lacks = tree == NULL ? NULL : ifab_json_get(tree, "lacks_config");
    for (size_t i = 0; lacks != NULL && lacks->type == IFAB_JSON_ARRAY && i < lacks->u.array.count; i++)
        if (ifab_json_string(&lacks->u.array.items[i], &key))
            cli_say(cli, "its calls will be refused (506) until it has a value for " IFAB_FMT ": add the row \"%s " IFAB_FMT " VALUE\" to capabilities.config in ifd.yaml, and start ifd again",
                    IFAB_ARG(key), name, IFAB_ARG(key));
}

int cmd_capability_allow(struct cli *cli)
{
    struct cli_manifest m;
    struct cli_body body;
    struct ifab_response response;
    int code = cli_manifest_read(cli, cli->words[0], &m);
    if (code == 0 && !m.manifest.has_signature)
        code = cli_refuse(cli, IFAB_CODE_INVALID_SIGNATURE, "%s is not signed: ifctl capability sign %s --key PUBLISHER.pem", cli->words[0],
                          cli->words[0]);
    if (code != 0) {
        cli_manifest_fini(&m);
        return code;
    }
    cli_body_begin(&body);
    ifab_buf_str(&body.buf, "\"manifest\":");
    ifab_buf_view(&body.buf, m.manifest.canonical);
    body.any = true;
    cli_body_text(&body, "why", cli->why);
    cli_body_end(&body);
    code = cli_body_good(cli, &body);
    const struct cli_call call = {.method = "POST", .target = "/v1/capabilities", .body = ifab_buf_as_view(&body.buf), .act = ACT_ALWAYS};
    if (code == 0)
        code = cli_call(cli, &call, &response);
    if (code == 0)
        code = cli_print(cli, response.body, "CAPABILITY:subject|DIGEST:digest|ENTRY:entry.index");
    if (code == 0)
        say_what_lacks(cli, &m.manifest);
    else if (code == ifab_code_info(IFAB_CODE_CONFLICT)->exit)
        show_diff(cli, &m.manifest);
    ifab_buf_fini(&body.buf);
    cli_manifest_fini(&m);
    return code;
}

/* ---- revoke, list, show, check ---- */

int cmd_capability_revoke(struct cli *cli)
{
    struct cli_body body;
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1], id[CLI_CAPABILITY_NAME_MAX + 16], key[44];
    const char *digest = cli_get(cli, "digest"), *pubkey = cli_get(cli, "pubkey");
    int code = 0;
    if ((cli->word_count > 0) + (digest != NULL) + (pubkey != NULL) != 1)
        return cli_usage(cli, "name one thing: ID, ID@VERSION, --digest sha256:… or --pubkey KEY");
    if (cli->word_count > 0)
        code = cli_capability_word(cli, cli->words[0], name, version);
    if (code == 0 && pubkey != NULL)
        code = cli_pubkey_option(cli, pubkey, key);
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "digest", digest);
    if (cli->word_count > 0) {
        cli_path(id, sizeof id, "if://capability/%s", name);
        cli_body_text(&body, "id", id);
        cli_body_text(&body, "version", version[0] == '\0' ? NULL : version);
    }
    cli_body_text(&body, "pubkey", pubkey != NULL ? key : NULL);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, "/v1/revocations", &body, ACT_ALWAYS, "REVOKED:subject|AT:record.revoked_at|ENTRY:entry.index");
}

int cmd_capability_list(struct cli *cli) { return cli_get_list(cli, "/v1/capabilities", NULL, CAPABILITY_COLUMNS); }

int cmd_capability_show(struct cli *cli)
{
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    struct ifab_buf target;
    int code = cli_capability_word(cli, cli->words[0], name, version);
    if (code != 0)
        return code;
    code = capability_target(cli, name, version, &target);
    if (code == 0)
        code = cli_get_print(cli, (const char *)target.data, SHOW_COLUMNS);
    ifab_buf_fini(&target);
    return code;
}

int cmd_capability_check(struct cli *cli)
{
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    struct cli_body body;
    int code = cli_capability_word(cli, cli->words[0], name, version);
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "version", version[0] == '\0' ? NULL : version);
    cli_body_text(&body, "why", cli->why[0] == '\0' ? NULL : cli->why);
    return post_named(cli, "/v1/capabilities", name, "/load", &body, ACT_NONE,
                      "PUBLISHER:publisher|DIGEST:digest|MODULE:module.sha256|SIZE:module.size|ENTRY:entry.index");
}
