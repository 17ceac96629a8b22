/* key new|show. A private key is made where it stays and never leaves its file. */
#include "cli.h"

#include <sys/stat.h>

#include "crypto/crypto.h"

static int print_public(struct cli *cli, const uint8_t pubkey32[32], const char *file)
{
    char text[44], id[19];
    struct cli_body body;
    struct ifab_text pem = {NULL, 0};
    ifab_public_text(pubkey32, text);
    ifab_public_id(pubkey32, id);
    cli_body_begin(&body);
    cli_body_text(&body, "key_id", id);
    cli_body_text(&body, "pubkey", text);
    cli_body_text(&body, "file", file);
    if (cli->format != CLI_TABLE && ifab_public_pem(pubkey32, &pem) == IFAB_OK)
        cli_body_text(&body, "pem", pem.data);
    cli_body_end(&body);
    int code = cli_print(cli, ifab_buf_as_view(&body.buf), "KEY ID:key_id|PUBKEY:pubkey|FILE:file");
    ifab_buf_fini(&body.buf);
    ifab_text_free(&pem);
    return code;
}

static int print_pem(struct cli *cli, const uint8_t pubkey32[32])
{
    struct ifab_text pem = {NULL, 0};
    ifab_status status = ifab_public_pem(pubkey32, &pem);
    if (status != IFAB_OK)
        return cli_fail(cli, status);
    fwrite(pem.data, 1, pem.size, stdout);
    ifab_text_free(&pem);
    return 0;
}

/* From --passphrase-fd, or twice on a terminal; none otherwise. Whoever names a descriptor never gets an unencrypted key. */
static int ask_new(struct cli *cli, const char *path, char *ret_words, size_t size)
{
    char again[1024], question[1200];
    ret_words[0] = '\0';
    if (cli_get(cli, "passphrase-fd") != NULL)
        return cli_passphrase_fd(cli, ret_words, size);
    if (!cli_terminal()) {
        cli_say(cli, "no terminal and no --passphrase-fd: %s gets no passphrase", path);
        return 0;
    }
    if (!cli_path(question, sizeof question, "Passphrase for %s (empty: none): ", path) || !cli_prompt(question, true, ret_words, size) ||
        !cli_prompt("The same again: ", true, again, sizeof again))
        return cli_usage(cli, "no passphrase was read: nothing was made");
    bool same = strcmp(ret_words, again) == 0;
    ifab_wipe(again, sizeof again);
    if (same && ret_words[0] == '\0')
        cli_say(cli, "warning: without a passphrase, whoever reads %s speaks for it", path);
    return same ? 0 : cli_usage(cli, "the two passphrases differ: nothing was made");
}

/* Makes path (0600, must not exist) and says its public half. Shared with talent add --new-key. */
int cli_key_make(struct cli *cli, const char *path, uint8_t ret_pubkey32[32])
{
    struct ifab_identity *identity = NULL;
    struct ifab_text pem = {NULL, 0};
    struct stat st;
    char words[1024];
    if (lstat(path, &st) == 0)
        return cli_stop(cli, 12, "Choose another name, or remove it.", "%s exists already: a key is never written over", path);
    int code = ask_new(cli, path, words, sizeof words);
    if (code != 0)
        return code;
    memset(&cli->err, 0, sizeof cli->err);
    ifab_status status = ifab_identity_new(&identity, &cli->err);
    if (status == IFAB_OK)
        status = ifab_identity_write(identity, ifab_view_str(words), &pem, &cli->err);
    ifab_wipe(words, sizeof words);
    if (status != IFAB_OK)
        code = cli_fail(cli, status);
    else if ((code = cli_write_file(cli, path, ifab_view_of(pem.data, pem.size), 0600, false)) == 0)
        ifab_identity_public(identity, ret_pubkey32);
    ifab_text_free(&pem);
    ifab_identity_free(identity);
    return code;
}

int cmd_key_new(struct cli *cli)
{
    uint8_t pubkey32[32];
    const char *path = cli_get(cli, "out");
    if (path == NULL || *path == '\0')
        return cli_usage(cli, "say where: --out FILE");
    int code = cli_key_make(cli, path, pubkey32);
    return code == 0 ? print_public(cli, pubkey32, path) : code;
}

int cmd_key_show(struct cli *cli)
{
    struct ifab_buf text;
    uint8_t pubkey32[32];
    struct ifab_identity *identity = NULL;
    int code = cli_read_input(cli, cli->words[0], 16384, &text);
    if (code != 0)
        return code;
    struct ifab_view view = ifab_buf_as_view(&text);
    memset(&cli->err, 0, sizeof cli->err);
    ifab_status status = ifab_public_read(view, pubkey32, NULL); /* a public key needs no passphrase */
    if (status != IFAB_OK)
        status = ifab_identity_read(view, (struct ifab_view){NULL, 0}, &identity, &cli->err);
    if (status == IFAB_DENIED) {
        char words[1024] = "";
        bool given = cli_get(cli, "passphrase-fd") != NULL;
        code = given ? cli_passphrase_fd(cli, words, sizeof words) : 0;
        if (code == 0 && (given || cli_prompt("Passphrase: ", true, words, sizeof words)))
            status = ifab_identity_read(view, ifab_view_str(words), &identity, &cli->err);
        ifab_wipe(words, sizeof words);
        if (code == 0 && status == IFAB_DENIED)
            code = cli_stop(cli, 10, "Say it on a terminal, or with --passphrase-fd N.", "%s: passphrase missing or wrong", cli->words[0]);
    }
    if (identity != NULL)
        ifab_identity_public(identity, pubkey32);
    ifab_identity_free(identity);
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
    if (code != 0)
        return code;
    if (status == IFAB_INVALID || status == IFAB_CORRUPT)
        return cli_stop(cli, EXIT_USAGE, "Give a private key as PEM, or a public one as PEM, base64url or an ssh-ed25519 line.", "%s holds no Ed25519 key",
                        cli->words[0]);
    if (status == IFAB_OK && cli_get(cli, "pem") != NULL) /* for a file: what talent add --pubkey @FILE takes */
        return print_pem(cli, pubkey32);
    return status == IFAB_OK ? print_public(cli, pubkey32, cli->words[0]) : cli_fail(cli, status);
}
