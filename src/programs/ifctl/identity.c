/* Whose key signs: where it lies, and how its passphrase comes in. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"

const char *cli_as_name(const struct cli *cli, char ret_name[65])
{
    size_t size = strcspn(cli->as, "/");
    memcpy(ret_name, cli->as, size > 64 ? 64 : size);
    ret_name[size > 64 ? 64 : size] = '\0';
    return ret_name;
}

static bool key_path(const struct cli *cli, char *ret_path, size_t size)
{
    char name[65];
    const char *flag = cli_get(cli, "key");
    if (flag != NULL)
        return cli_path(ret_path, size, "%s", flag);
    if (cli->key[0] != '\0')
        return cli_path(ret_path, size, "%s", cli->key);
    return cli_path(ret_path, size, "%s/keys/%s.pem", cli->directory, cli_as_name(cli, name));
}

int cli_passphrase_fd(struct cli *cli, char *ret_text, size_t size)
{
    const char *fd_text = cli_get(cli, "passphrase-fd");
    size_t used = 0, digits = strspn(fd_text, "0123456789");
    ssize_t n = 0;
    ret_text[0] = '\0';
    if (digits == 0 || digits > 4 || fd_text[digits] != '\0' || strtol(fd_text, NULL, 10) > 1023)
        return cli_stop(cli, 10, "Name an open descriptor: --passphrase-fd 3 3<FILE.", "--passphrase-fd \"%s\" is no descriptor", fd_text);
    int fd = (int)strtol(fd_text, NULL, 10);
    while (used + 1 < size && ((n = read(fd, ret_text + used, size - 1 - used)) > 0 || (n < 0 && errno == EINTR)))
        used += n > 0 ? (size_t)n : 0;
    int error = errno;
    while (used > 0 && ret_text[used - 1] == '\n')
        used--;
    ret_text[used] = '\0';
    if (n < 0)
        return cli_stop(cli, 10, "Name an open descriptor: --passphrase-fd 3 3<FILE.", "descriptor %d cannot be read: %s", fd,
                        strerror(error));
    if (n > 0 || strlen(ret_text) != used)
        return cli_stop(cli, 10, NULL, "descriptor %d: a passphrase has at most %zu bytes, none of them NUL", fd, size - 2);
    if (used == 0)
        return cli_stop(cli, 10, "Leave --passphrase-fd out for a key without a passphrase.", "descriptor %d gave an empty passphrase", fd);
    return 0;
}

/* From --passphrase-fd, else asked for on the terminal. */
static int passphrase(struct cli *cli, const char *path, char *ret_text, size_t size)
{
    char question[1200];
    if (cli_get(cli, "passphrase-fd") != NULL)
        return cli_passphrase_fd(cli, ret_text, size);
    if (cli_path(question, sizeof question, "Passphrase of %s: ", path) && cli_prompt(question, true, ret_text, size))
        return 0;
    return cli_stop(cli, 10, "Say it on a terminal, or with --passphrase-fd N.", "%s is encrypted: its passphrase is missing", path);
}

/* For a key that is to be made: from --passphrase-fd, or asked for twice on a terminal, where empty is allowed with a warning. */
int cli_new_passphrase(struct cli *cli, const char *key, char *ret_text, size_t size)
{
    char again[CLI_PASSPHRASE_MAX], question[1200];
    ret_text[0] = '\0';
    if (cli_get(cli, "passphrase-fd") != NULL) /* whoever names a descriptor never gets a key without a passphrase */
        return cli_passphrase_fd(cli, ret_text, size);
    if (!cli_terminal()) {
        cli_say(cli, "no terminal and no --passphrase-fd: %s gets no passphrase", key);
        return 0;
    }
    if (!cli_path(question, sizeof question, "Passphrase for %s (empty: none): ", key) || !cli_prompt(question, true, ret_text, size) ||
        !cli_prompt("The same again: ", true, again, sizeof again))
        return cli_stop(cli, EXIT_USAGE, NULL, "no passphrase was read: nothing was made");
    bool same = strcmp(ret_text, again) == 0;
    ifab_wipe(again, sizeof again);
    if (!same)
        return cli_stop(cli, EXIT_USAGE, NULL, "the two passphrases differ: nothing was made");
    if (ret_text[0] == '\0')
        cli_say(cli, "warning: without a passphrase, whoever reads %s speaks with it", key);
    return 0;
}

/* The mistake of --key a.pub, told before its mode is: a public key may be read by all. Only a regular file is looked into. */
static bool is_public(const char *path)
{
    uint8_t text[1024], public32[32];
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)sizeof text)
        return false;
    FILE *file = fopen(path, "re");
    size_t size = file == NULL ? 0 : fread(text, 1, sizeof text, file);
    if (file != NULL)
        fclose(file);
    bool good = size > 0 && ifab_public_read(ifab_view_of(text, size), public32, NULL) == IFAB_OK;
    ifab_wipe(text, sizeof text);
    return good;
}

/* quiet_only: give up, saying nothing, when a person would have to be asked or there is no such file. */
static int load_key(struct cli *cli, bool quiet_only)
{
    char path[1200], words[CLI_PASSPHRASE_MAX] = "", name[65];
    struct ifab_buf pem;
    struct stat st;
    int code = 0;
    if (cli->identity != NULL)
        return 0;
    if (!key_path(cli, path, sizeof path))
        return cli_usage(cli, "path of the key too long");
    if (quiet_only && access(path, R_OK) != 0)
        return EXIT_USAGE;
    if (stat(path, &st) != 0 && errno == ENOENT && cli_get(cli, "key") == NULL && cli->key[0] == '\0' && (code = cli_need_fabric(cli)) != 0)
        return code;
    if (stat(path, &st) != 0 && errno == ENOENT)
        return cli_stop(cli, EXIT_USAGE, "Name it with --key FILE, or make one: ifctl talent add NAME --new-key.", "no key for %s at %s",
                        cli_as_name(cli, name), path);
    if (is_public(path))
        return quiet_only ? EXIT_USAGE
                          : cli_stop(cli, 10, "Name the file of its private half, as ifctl key new --out FILE made it.",
                                     "%s is a public key: it cannot sign", path);
    code = cli_check_private(cli, path);
    if (code == 0)
        code = cli_read_input(cli, path, 16384, &pem);
    if (code != 0)
        return code;
    ifab_status status = ifab_identity_read(ifab_buf_as_view(&pem), (struct ifab_view){NULL, 0}, &cli->identity, cli_clean_err(cli));
    if (status == IFAB_DENIED && !quiet_only) {
        if ((code = passphrase(cli, path, words, sizeof words)) == 0)
            status = ifab_identity_read(ifab_buf_as_view(&pem), ifab_view_str(words), &cli->identity, cli_clean_err(cli));
        ifab_wipe(words, sizeof words);
    }
    if (pem.data != NULL)
        ifab_wipe(pem.data, pem.capacity);
    ifab_buf_fini(&pem);
    if (status == IFAB_OK || code != 0)
        return code;
    if (quiet_only)
        return EXIT_USAGE;
    if (status == IFAB_DENIED)
        return cli_stop(cli, 10,
                        cli_get(cli, "passphrase-fd") != NULL ? "Give the right one on the descriptor of --passphrase-fd." : "Try again.",
                        "%s: wrong passphrase", path);
    if (status == IFAB_INVALID || status == IFAB_CORRUPT)
        return cli_stop(cli, 10, "Make one with ifctl key new --out FILE.", "%s holds no Ed25519 private key: %s", path, cli->err.text);
    return cli_fail(cli, status);
}

int cli_identity(struct cli *cli)
{
    return load_key(cli, false);
}

int cli_identity_quietly(struct cli *cli)
{
    return load_key(cli, true);
}
