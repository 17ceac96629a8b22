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

/* Makes path (0600, must not exist) and says its public half. Shared with talent add --new-key. */
int cli_key_make(struct cli *cli, const char *path, uint8_t ret_pubkey32[32])
{
    struct ifab_identity *identity = NULL;
    struct ifab_text pem = {NULL, 0};
    struct stat st;
    char words[CLI_PASSPHRASE_MAX];
    if (lstat(path, &st) == 0)
        return cli_stop(cli, 12, "Choose another name, or remove it.", "%s exists already: a key is never written over", path);
    int code = cli_new_passphrase(cli, path, words, sizeof words);
    if (code != 0)
        return code;
    ifab_status status = ifab_identity_new(&identity, cli_clean_err(cli));
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

/* A public key as it is, or the public half of a private one. */
static int read_public(struct cli *cli, const char *file, struct ifab_view text, uint8_t ret_pubkey32[32])
{
    struct ifab_identity *identity = NULL;
    char words[CLI_PASSPHRASE_MAX] = "";
    int code = 0;
    if (ifab_public_read(text, ret_pubkey32, NULL) == IFAB_OK) /* it needs no passphrase */
        return 0;
    ifab_status status = ifab_identity_read(text, (struct ifab_view){NULL, 0}, &identity, cli_clean_err(cli));
    if (status == IFAB_DENIED) {
        bool given = cli_get(cli, "passphrase-fd") != NULL;
        code = given ? cli_passphrase_fd(cli, words, sizeof words) : 0;
        if (code == 0 && (given || cli_prompt("Passphrase: ", true, words, sizeof words)))
            status = ifab_identity_read(text, ifab_view_str(words), &identity, &cli->err);
        ifab_wipe(words, sizeof words);
    }
    if (identity != NULL)
        ifab_identity_public(identity, ret_pubkey32);
    ifab_identity_free(identity);
    if (code != 0 || status == IFAB_OK)
        return code;
    if (status == IFAB_DENIED)
        return cli_stop(cli, 10, "Say it on a terminal, or with --passphrase-fd N.", "%s: passphrase missing or wrong", file);
    if (status == IFAB_INVALID || status == IFAB_CORRUPT)
        return cli_stop(cli, EXIT_USAGE, "Give a private key as PEM, or a public one as PEM, base64url or an ssh-ed25519 line.",
                        "%s holds no Ed25519 key", file);
    return cli_fail(cli, status);
}

int cmd_key_show(struct cli *cli)
{
    struct ifab_buf text;
    uint8_t pubkey32[32];
    int code = cli_read_input(cli, cli->words[0], 16384, &text);
    if (code != 0)
        return code;
    code = read_public(cli, cli->words[0], ifab_buf_as_view(&text), pubkey32);
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
    if (code != 0)
        return code;
    return cli_get(cli, "pem") != NULL ? print_pem(cli, pubkey32) : print_public(cli, pubkey32, cli->words[0]);
}
