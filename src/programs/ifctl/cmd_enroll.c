/* talent invite, enroll. A key is made where it stays: what travels is a code, and the new key's proof that it knew it. */
#include "cli.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "crypto/crypto.h"

int cmd_talent_invite(struct cli *cli)
{
    const char *flag = cli_get(cli, "name"), *word = cli->word_count > 0 ? cli->words[0] : NULL, *role = cli_get(cli, "role");
    const char *name = word != NULL ? word : flag;
    struct cli_body body;
    char seconds[32];
    if (name == NULL || (flag != NULL && word != NULL && strcmp(flag, word) != 0))
        return cli_usage(cli, name == NULL ? "say whom: ifctl talent invite NAME" : "two names");
    if (!ifab_name_valid(ifab_view_str(name)))
        return cli_usage(cli, "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,63}, not \"%s\"", name);
    int code = cli_ttl_seconds(cli, "1s", "1h", seconds); /* IFAB_INVITE_TTL_MAX */
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "name", name);
    cli_body_text(&body, "role", role);
    cli_body_text(&body, "owner", cli_get(cli, "owner"));
    if (seconds[0] != '\0')
        cli_body_raw(&body, "ttl_s", seconds);
    cli_body_text(&body, "why", cli->why);
    bool admin = role != NULL && (strcmp(role, "admin") == 0 || strcmp(role, "operator") == 0 || strcmp(role, "auditor") == 0);
    code = cli_post(cli, "/v1/invites", &body, admin ? ACT_ALWAYS : ACT_IF_NEEDED,
                    "CODE:code|NAME:invite.name|ROLE:invite.role|EXPIRES:invite.expires_at");
    if (code == 0)
        cli_say(cli, "it works once; where %s runs: ifctl enroll CODE (asks for it when it is left out)", name);
    return code;
}

static int read_code(struct cli *cli, char ret_code[128])
{
    const char *word = cli->word_count > 0 ? cli->words[0] : NULL;
    struct ifab_buf text;
    if (word == NULL)
        return cli_prompt("Code: ", true, ret_code, 128) ? 0 : cli_usage(cli, "say the code: ifctl enroll CODE, @FILE or - for stdin");
    if (word[0] != '@' && strcmp(word, "-") != 0)
        return cli_path(ret_code, 128, "%s", word) ? 0 : cli_usage(cli, "not a code: eight groups of four of A-Z and 2-7");
    int code = cli_read_input(cli, word, 1024, &text);
    if (code != 0)
        return code;
    while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
        text.size--;
    bool good = cli_path(ret_code, 128, IFAB_FMT, IFAB_ARG(ifab_buf_as_view(&text)));
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
    return good ? 0 : cli_usage(cli, "%s holds no code", word);
}

static int load(struct cli *cli, const char *path, struct ifab_identity **ret_identity)
{
    struct ifab_buf pem;
    char words[CLI_PASSPHRASE_MAX] = "", question[1400];
    int code = cli_read_input(cli, path, 16384, &pem);
    if (code != 0)
        return code;
    ifab_status status = ifab_identity_read(ifab_buf_as_view(&pem), (struct ifab_view){NULL, 0}, ret_identity, cli_clean_err(cli));
    if (status == IFAB_DENIED && cli_path(question, sizeof question, "Passphrase of %s: ", path) &&
        cli_prompt(question, true, words, sizeof words))
        status = ifab_identity_read(ifab_buf_as_view(&pem), ifab_view_str(words), ret_identity, cli_clean_err(cli));
    ifab_wipe(words, sizeof words);
    if (pem.data != NULL)
        ifab_wipe(pem.data, pem.capacity);
    ifab_buf_fini(&pem);
    return status == IFAB_OK ? 0 : cli_fail(cli, status);
}

/* A new key in a file, still open. The name of the talent is known only by the answer: until then the file has one of its own. */
static int make_key(struct cli *cli, char *path, size_t size, struct ifab_identity **ret_identity)
{
    const char *out = cli_get(cli, "out");
    char directory[1200], words[CLI_PASSPHRASE_MAX];
    uint8_t random4[4];
    struct ifab_text pem = {NULL, 0};
    struct stat st;
    ifab_random(random4, sizeof random4);
    if (!cli_path(directory, sizeof directory, "%s/keys", cli->directory) ||
        !(out != NULL
              ? cli_path(path, size, "%s", out)
              : cli_path(path, size, "%s/enrolling-%02x%02x%02x%02x.pem", directory, random4[0], random4[1], random4[2], random4[3])))
        return cli_usage(cli, "path of the key too long");
    if (lstat(path, &st) == 0)
        return cli_stop(cli, 12, "Choose another name, or remove it.", "%s exists already: a key is never written over", path);
    int code = out != NULL ? 0 : cli_make_directory(cli, directory, 0700, true);
    if (code == 0)
        code = cli_new_passphrase(cli, out != NULL ? path : "the new key", words, sizeof words);
    if (code != 0)
        return code;
    ifab_status status = ifab_identity_new(ret_identity, cli_clean_err(cli));
    if (status == IFAB_OK)
        status = ifab_identity_write(*ret_identity, ifab_view_str(words), &pem, &cli->err);
    ifab_wipe(words, sizeof words);
    code = status != IFAB_OK ? cli_fail(cli, status) : cli_write_file(cli, path, ifab_view_of(pem.data, pem.size), 0600, false);
    ifab_text_free(&pem);
    return code;
}

/* DIR/keys/NAME.pem, unless there is one; a link never takes another's place. */
static void settle_path(struct cli *cli, const char *name, char *path, size_t size)
{
    char wanted[1400];
    if (cli_get(cli, "out") != NULL)
        return;
    if (!cli_path(wanted, sizeof wanted, "%s/keys/%s.pem", cli->directory, name) || link(path, wanted) != 0) {
        cli_say(cli, "%s/keys/%s.pem exists already: the new key stays in %s", cli->directory, name, path);
        return;
    }
    (void)unlink(path);
    (void)cli_path(path, size, "%s", wanted);
}

static int enrolled(struct cli *cli, struct ifab_view answer, char *path, size_t size)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view text = {NULL, 0};
    char name[65];
    ifab_arena_init(&arena, 4 << 20);
    if (ifab_json_read(answer, NULL, &arena, &tree, cli_clean_err(cli)) != IFAB_OK ||
        !ifab_json_string(ifab_json_get(ifab_json_get(tree, "talent"), "name"), &text) || !ifab_name_valid(text) ||
        !cli_path(name, sizeof name, IFAB_FMT, IFAB_ARG(text)))
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer names no talent; the key is in %s", path);
    settle_path(cli, name, path, size);
    int code = cli_print(cli, answer, "NAME:talent.name|ROLE:talent.role|OWNER:talent.owner|ENTRY:entry.index");
    cli_say(cli, "private key: %s", path);
    int kept = cli_context_keep(cli, name, path);
    return code != 0 ? code : kept;
}

int cmd_enroll(struct cli *cli)
{
    char code_text[128] = "", path[1300] = "";
    struct ifab_identity *identity = NULL;
    struct ifab_text body = {NULL, 0};
    struct ifab_response response;
    int code = read_code(cli, code_text);
    if (code == 0)
        code = cli_origin(cli); /* before a key is made: is there a fabric? */
    const char *out = cli_get(cli, "out");
    bool again = code == 0 && out != NULL && access(out, F_OK) == 0; /* a lost answer: the same key once more */
    if (again)
        code = cli_path(path, sizeof path, "%s", out) ? load(cli, path, &identity) : cli_usage(cli, "--out is too long");
    else if (code == 0)
        code = make_key(cli, path, sizeof path, &identity);
    bool made = code == 0 && !again, used = false;
    if (code == 0) {
        ifab_status status = ifab_enroll_build(code_text, cli->origin, identity, &body, cli_clean_err(cli));
        code = status == IFAB_INVALID ? cli_usage(cli, "%s", cli->err.text) : status != IFAB_OK ? cli_fail(cli, status) : 0;
    }
    ifab_wipe(code_text, sizeof code_text);
    ifab_identity_free(identity);
    if (code == 0) {
        const struct cli_call call = {.method = "POST", .target = "/v1/enroll", .body = ifab_view_of(body.data, body.size)};
        code = cli_call(cli, &call, &response);
        used = code == 0 || cli->unknown;
        if (code == 0)
            code = enrolled(cli, response.body, path, sizeof path);
        else if (made && cli->unknown)
            cli_say(cli, "whether it was enrolled is unknown: its key stays in %s", path);
    }
    if (made && !used) /* nothing speaks with it */
        (void)unlink(path);
    ifab_text_free(&body);
    return code;
}
