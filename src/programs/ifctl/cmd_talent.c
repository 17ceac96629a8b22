/* talent add|list|show|grant|revoke|rotate-key|add-cert|remove. */
#include "manifest.h"

#include <unistd.h>

#include "base/id.h"
#include "base/nearest.h"
#include "tls/tls.h"

#define TALENT_COLUMNS "NAME:name|ROLE:role|OWNER:owner|KEYS:keys.#|GRANTS:grants.#|REMOVED:removed_at"
#define ACT_COLUMNS "NAME:talent.name|ROLE:talent.role|OWNER:talent.owner|KEYS:talent.keys.#|GRANTS:talent.grants.#|ENTRY:entry.index"
#define SCOPE_TEXT_MAX (CLI_CAPABILITY_NAME_MAX + 16)
#define CERT_COLUMNS "NAME:talent.name|ROLE:talent.role|OWNER:talent.owner|CERTS:talent.tls_keys.#|ENTRY:entry.index"

/* --name N or the first word; both must agree. */
static int talent_name(struct cli *cli, const char **ret_name)
{
    const char *flag = cli_get(cli, "name"), *word = cli->word_count > 0 ? cli->words[0] : NULL;
    if (flag != NULL && word != NULL && strcmp(flag, word) != 0)
        return cli_usage(cli, "two names: \"%s\" and \"%s\"", word, flag);
    *ret_name = flag != NULL ? flag : word;
    if (*ret_name == NULL)
        return cli_usage(cli, "say which: --name NAME");
    if (!ifab_name_valid(ifab_view_str(*ret_name)))
        return cli_usage(cli, "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,63}, not \"%s\"", *ret_name);
    return 0;
}

static int talent_target(struct cli *cli, const char *name, const char *tail, struct ifab_buf *target)
{
    ifab_buf_init(target, 4096);
    ifab_buf_str(target, "/v1/talents");
    cli_put_segment(target, name);
    ifab_buf_str(target, tail);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
}

int cli_pubkey_option(struct cli *cli, const char *value, char ret_text[44])
{
    struct ifab_buf file = IFAB_BUF_INIT(16384);
    uint8_t pubkey32[32];
    struct ifab_view text = ifab_view_str(value);
    if (value[0] == '@') {
        int code = cli_read_input(cli, value, 16384, &file);
        if (code != 0)
            return code;
        text = ifab_buf_as_view(&file);
    } else if (access(value, F_OK) == 0) {
        return cli_usage(cli, "--pubkey %s is the key itself; to read a file: --pubkey @%s", value, value);
    }
    ifab_status status = ifab_public_read(text, pubkey32, cli_clean_err(cli));
    ifab_buf_fini(&file);
    if (status != IFAB_OK)
        return cli_fail(cli, status);
    ifab_public_text(pubkey32, ret_text);
    return 0;
}

static int make_key(struct cli *cli, const char *name, char *path, size_t size, char ret_text[44])
{
    char directory[1200];
    uint8_t pubkey32[32];
    if (!cli_path(directory, sizeof directory, "%s/keys", cli->directory) || !cli_path(path, size, "%s/%s.pem", directory, name))
        return cli_usage(cli, "directory name too long");
    int code = cli_need_fabric(cli);
    if (code == 0)
        code = cli_key_make(cli, path, pubkey32);
    if (code != 0)
        path[0] = '\0'; /* not ours to remove */
    else
        ifab_public_text(pubkey32, ret_text);
    return code;
}

int cmd_talent_add(struct cli *cli)
{
    const char *name = NULL, *pubkey = cli_get(cli, "pubkey"), *role = cli_get(cli, "role");
    char text[44] = "", path[1300] = "";
    struct cli_body body;
    int code = talent_name(cli, &name);
    if (code == 0 && pubkey != NULL && cli_get(cli, "new-key") != NULL)
        code = cli_usage(cli, "--pubkey or --new-key, not both");
    if (code == 0 && pubkey != NULL)
        code = cli_pubkey_option(cli, pubkey, text);
    if (code == 0 && cli_get(cli, "new-key") != NULL)
        code = make_key(cli, name, path, sizeof path, text);
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "name", name);
    cli_body_text(&body, "owner", cli_get(cli, "owner"));
    cli_body_text(&body, "role", role);
    cli_body_text(&body, "pubkey", text[0] == '\0' ? NULL : text);
    cli_body_text(&body, "mode", cli_get(cli, "order"));
    cli_body_text(&body, "why", cli->why);
    bool admin = role != NULL && (strcmp(role, "admin") == 0 || strcmp(role, "operator") == 0 || strcmp(role, "auditor") == 0);
    code = cli_post(cli, "/v1/talents", &body, admin ? ACT_ALWAYS : ACT_IF_NEEDED, ACT_COLUMNS);
    if (code == 0 && text[0] == '\0')
        cli_say(cli, "%s has no key yet: ifctl talent rotate-key %s --pubkey @FILE", name, name);
    if (path[0] == '\0')
        return code;
    if (code == 0)
        cli_say(cli, "private key: %s", path);
    else if (cli->unknown) /* it may be enrolled: the key must not be lost */
        cli_say(cli, "whether %s was enrolled is unknown: its key stays in %s", name, path);
    else
        (void)unlink(path);
    return code;
}

/* "sha256:…" as it is, or the digest of the key in a certificate. */
static int spki_option(struct cli *cli, const char *value, char ret_text[72])
{
    uint8_t digest32[32];
    if (value[0] != '@') {
        if (strncmp(value, "sha256:", 7) != 0 || strlen(value) != 71 || strspn(value + 7, "0123456789abcdef") != 64)
            return cli_usage(cli, "--spki is @FILE with a certificate in PEM, or sha256: and 64 lower-case hex digits, not \"%s\"", value);
        return cli_path(ret_text, 72, "%s", value) ? 0 : cli_fail(cli, IFAB_TOO_LARGE);
    }
    struct ifab_buf file = IFAB_BUF_INIT(65536);
    int code = cli_read_input(cli, value, 65536, &file);
    if (code != 0)
        return code;
    ifab_status status = ifab_tls_certificate_key(ifab_buf_as_view(&file), digest32, cli_clean_err(cli));
    ifab_buf_fini(&file);
    if (status != IFAB_OK)
        return cli_usage(cli, "%s: %s", value + 1, cli->err.text);
    memcpy(ret_text, "sha256:", 8);
    for (size_t i = 0; i < 32; i++)
        (void)cli_path(ret_text + 7 + 2 * i, 3, "%02x", digest32[i]);
    return 0;
}

int cmd_talent_list(struct cli *cli)
{
    return cli_get_list(cli, "/v1/talents", NULL, TALENT_COLUMNS);
}

int cmd_talent_show(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    const char *name = NULL;
    int code = talent_name(cli, &name);
    if (code == 0)
        code = talent_target(cli, name, "", &target);
    if (code == 0)
        code = cli_get_print(cli, (const char *)target.data, TALENT_COLUMNS);
    ifab_buf_fini(&target);
    return code;
}

/* The request and the first admin's signature over it, for the second one to look at and sign. */
static int write_act(struct cli *cli, const struct cli_call *call, const char *path)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(INPUT_MAX);
    struct ifab_text act = {NULL, 0};
    int code = cli_identity(cli);
    if (code == 0)
        code = cli_sign_act(cli, call, &act);
    if (code == 0) {
        ifab_buf_str(&text, "{\"act\":");
        ifab_json_put_cstr(&text, act.data);
        ifab_buf_str(&text, ",\"body\":");
        ifab_json_put_string(&text, call->body);
        ifab_buf_str(&text, ",\"target\":");
        ifab_json_put_cstr(&text, call->target);
        ifab_buf_str(&text, "}\n");
        code = ifab_buf_status(&text) == IFAB_OK ? cli_write_file(cli, path, ifab_buf_as_view(&text), 0600, false) : cli_fail(cli, IFAB_NOMEM);
    }
    if (code == 0)
        cli_say(cli, "nothing was sent; within 5 minutes another owner's admin: ifctl talent grant … --act-in FILE");
    ifab_text_free(&act);
    return code;
}

static bool member_is(const struct ifab_json *object, const char *name, const char *value)
{
    struct ifab_view text = {NULL, 0};
    return ifab_json_string(ifab_json_get(object, name), &text) && ifab_view_is(text, value);
}

/* Signs what the file asks for only when it is what the second admin named: this talent, this scope. */
static int send_with(struct cli *cli, const char *path, const char *target, const char *scope)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf act_text = IFAB_BUF_INIT(32768);
    const struct ifab_json *tree, *inner;
    struct ifab_view act = {NULL, 0}, body = {NULL, 0}, until = {NULL, 0};
    struct ifab_buf file;
    struct ifab_response response;
    ifab_arena_init(&arena, 16 << 20);
    int code = cli_read_input(cli, path, INPUT_MAX, &file);
    if (code != 0)
        return code;
    if (ifab_json_read(ifab_buf_as_view(&file), NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK || !member_is(tree, "target", target) ||
        !ifab_json_string(ifab_json_get(tree, "act"), &act) || !ifab_json_string(ifab_json_get(tree, "body"), &body) ||
        ifab_json_read(body, NULL, &arena, &inner, &cli->err) != IFAB_OK || !member_is(inner, "scope", scope)) {
        ifab_buf_fini(&file);
        return cli_usage(cli, "%s holds no act for this talent and scope", path);
    }
    (void)ifab_json_string(ifab_json_get(inner, "expires_at"), &until);
    cli_say(cli, "signing: %s until " IFAB_FMT, scope, IFAB_ARG(until.size > 0 ? until : IFAB_VIEW("it is revoked")));
    ifab_buf_view(&act_text, act);
    ifab_buf_char(&act_text, '\0');
    const struct cli_call call = {.method = "POST", .target = target, .body = body, .act = ACT_ALWAYS, .first_act = (const char *)act_text.data};
    code = ifab_buf_status(&act_text) == IFAB_OK ? cli_call(cli, &call, &response) : cli_fail(cli, IFAB_TOO_LARGE);
    ifab_buf_fini(&file);
    return code == 0 ? cli_print(cli, response.body, ACT_COLUMNS) : code;
}

static int grant(struct cli *cli, const char *target, const char *scope, const char *until)
{
    const char *out = cli_get(cli, "act-out");
    struct cli_body body;
    cli_body_begin(&body);
    cli_body_text(&body, "scope", scope);
    cli_body_text(&body, "expires_at", until);
    cli_body_text(&body, "why", cli->why);
    if (out == NULL)
        return cli_post(cli, target, &body, ACT_IF_NEEDED, ACT_COLUMNS);
    cli_body_end(&body);
    const struct cli_call call = {.method = "POST", .target = target, .body = ifab_buf_as_view(&body.buf), .act = ACT_ALWAYS};
    int code = cli_body_good(cli, &body);
    if (code == 0)
        code = write_act(cli, &call, out);
    ifab_buf_fini(&body.buf);
    return code;
}

/* Stored as it was said, as SURFACE promises; what looks like a slip is named. */
static void warn_scope(const struct cli *cli, const char *name, const char *scope)
{
    static const char known[] = "guard:scope";
    if (strcmp(scope, known) != 0 && ifab_edit_distance(ifab_view_str(scope), ifab_view_str(known)) <= 3)
        cli_say(cli, "warning: nothing declares the scope %s; did you mean %s? Take it back: ifctl talent revoke %s --scope %s --why …", scope, known,
                name, scope);
}

/* --scope as it stands; --capability NAME is if://capability/NAME, but what has a ':' is a scope, as the seeds spell it. NULL: neither. */
static int scope_option(struct cli *cli, char storage[SCOPE_TEXT_MAX], const char **ret_scope)
{
    static const char prefix[] = "if://capability/";
    const char *scope = cli_get(cli, "scope"), *word = cli_get(cli, "capability");
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1];
    *ret_scope = scope != NULL ? scope : word;
    if (scope != NULL && word != NULL)
        return cli_usage(cli, "one of --scope and --capability, not both");
    if (word == NULL || (strchr(word, ':') != NULL && strncmp(word, prefix, sizeof prefix - 1) != 0))
        return 0;
    int code = cli_capability_word(cli, word, name, version);
    if (code == 0 && version[0] != '\0')
        code = cli_usage(cli, "a grant is for every version that is allowed: --capability %s, without @%s", name, version);
    if (code == 0 && !cli_path(storage, SCOPE_TEXT_MAX, "%s%s", prefix, name))
        code = cli_fail(cli, IFAB_TOO_LARGE);
    *ret_scope = storage;
    return code;
}

int cmd_talent_grant(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    const char *name = NULL, *scope = NULL, *expires = cli_get(cli, "expires"), *in = cli_get(cli, "act-in");
    char until[25] = "", storage[SCOPE_TEXT_MAX];
    int code = talent_name(cli, &name);
    if (code == 0)
        code = scope_option(cli, storage, &scope);
    if (code == 0 && scope == NULL)
        code = cli_usage(cli, "say what: --scope SCOPE or --capability NAME");
    if (code == 0 && in != NULL && (expires != NULL || cli_get(cli, "act-out") != NULL))
        code = cli_usage(cli, "--act-in stands alone: the file says until when, and both acts are sent");
    if (code == 0 && expires != NULL)
        code = cli_time_option(cli, "expires", expires, until);
    if (code == 0)
        code = talent_target(cli, name, "/grants", &target);
    if (code == 0 && in != NULL)
        code = send_with(cli, in, (const char *)target.data, scope);
    else if (code == 0)
        code = grant(cli, (const char *)target.data, scope, until[0] == '\0' ? NULL : until);
    if (code == 0 && cli_get(cli, "act-out") == NULL)
        warn_scope(cli, name, scope);
    ifab_buf_fini(&target);
    return code;
}

static int revoke_keys(struct cli *cli, bool remove)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    const char *name = NULL, *key_id = remove ? NULL : cli_get(cli, "key-id"), *scope = NULL;
    const char *spki = remove ? NULL : cli_get(cli, "spki");
    char digest[72] = "", storage[SCOPE_TEXT_MAX];
    int code = talent_name(cli, &name);
    if (code == 0 && !remove)
        code = scope_option(cli, storage, &scope);
    if (code == 0 && (key_id != NULL) + (scope != NULL) + (spki != NULL) > 1)
        code = cli_usage(cli, "one of --key-id, --spki, --scope and --capability, not two");
    if (code == 0 && spki != NULL)
        code = spki_option(cli, spki, digest);
    if (code == 0)
        code = talent_target(cli, name, "/revoke", &target);
    if (code == 0) {
        cli_body_begin(&body);
        cli_body_text(&body, "key_id", key_id);
        cli_body_text(&body, "spki", spki == NULL ? NULL : digest);
        cli_body_text(&body, "scope", scope);
        if (remove)
            cli_body_raw(&body, "talent", "true");
        cli_body_text(&body, "why", cli->why);
        code = cli_post(cli, (const char *)target.data, &body, ACT_IF_NEEDED, ACT_COLUMNS);
    }
    ifab_buf_fini(&target);
    return code;
}

int cmd_talent_revoke(struct cli *cli)
{
    return revoke_keys(cli, false);
}

int cmd_talent_remove(struct cli *cli)
{
    return revoke_keys(cli, true);
}

/* In whole seconds; "" when it is not given. */
static int overlap_option(struct cli *cli, char ret_seconds[32])
{
    const char *overlap = cli_get(cli, "overlap");
    int64_t usec = 0;
    ret_seconds[0] = '\0';
    if (overlap == NULL)
        return 0;
    if (!cli_duration(overlap, &usec) || usec % IFAB_SECOND != 0)
        return cli_usage(cli, "--overlap is a time of whole seconds such as 10min, not \"%s\"", overlap);
    return cli_path(ret_seconds, 32, "%lld", (long long)(usec / IFAB_SECOND)) ? 0 : cli_fail(cli, IFAB_TOO_LARGE);
}

int cmd_talent_rotate_key(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    const char *name = NULL, *pubkey = cli_get(cli, "pubkey");
    char text[44], seconds[32] = "";
    int code = talent_name(cli, &name);
    if (code == 0 && pubkey == NULL)
        code = cli_usage(cli, "say the new key: --pubkey KEY|@FILE (ifctl key new --out F makes one)");
    if (code == 0)
        code = overlap_option(cli, seconds);
    if (code == 0)
        code = cli_pubkey_option(cli, pubkey, text);
    if (code == 0)
        code = talent_target(cli, name, "/keys", &target);
    if (code == 0) {
        cli_body_begin(&body);
        cli_body_text(&body, "pubkey", text);
        if (seconds[0] != '\0')
            cli_body_raw(&body, "overlap_s", seconds);
        cli_body_text(&body, "why", cli->why);
        code = cli_post(cli, (const char *)target.data, &body, ACT_ALWAYS, ACT_COLUMNS);
    }
    ifab_buf_fini(&target);
    return code;
}

int cmd_talent_add_cert(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    const char *name = NULL, *spki = cli_get(cli, "spki"), *expires = cli_get(cli, "expires");
    char digest[72], seconds[32] = "", until[25] = "";
    int code = talent_name(cli, &name);
    if (code == 0 && spki == NULL)
        code = cli_usage(cli, "say which certificate: --spki @FILE|sha256:…");
    if (code == 0)
        code = overlap_option(cli, seconds);
    if (code == 0 && expires != NULL)
        code = cli_time_option(cli, "expires", expires, until);
    if (code == 0)
        code = spki_option(cli, spki, digest);
    if (code == 0)
        code = talent_target(cli, name, "/keys", &target);
    if (code == 0) {
        cli_body_begin(&body);
        cli_body_text(&body, "use", "tls");
        cli_body_text(&body, "spki", digest);
        cli_body_text(&body, "expires_at", until[0] == '\0' ? NULL : until);
        if (seconds[0] != '\0')
            cli_body_raw(&body, "overlap_s", seconds);
        cli_body_text(&body, "why", cli->why);
        code = cli_post(cli, (const char *)target.data, &body, ACT_ALWAYS, CERT_COLUMNS);
    }
    ifab_buf_fini(&target);
    return code;
}
