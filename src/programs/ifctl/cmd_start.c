/* init, version, explain: the first minutes. */
#include "cli.h"

#include <stdlib.h>
#include <unistd.h>

#include "crypto/crypto.h"

#define PASSPHRASE_FD 9

static void say_next(struct cli *cli, const char *directory)
{
    cli_say(cli, "Next:");
    cli_say(cli, "  ifd --config %s/ifd.yaml", directory);
    cli_say(cli, "  ifctl --dir %s talent add --name Demo.A --new-key --why \"first agent\"", directory);
}

int cmd_init(struct cli *cli)
{
    char ifd[1200], words[CLI_PASSPHRASE_MAX], fd_text[16];
    const char *directory = cli->word_count > 0 ? cli->words[0] : cli->directory;
    const char *argv[16];
    size_t n = 0;
    int code = cli_find_ifd(cli, ifd, sizeof ifd);
    if (code != 0)
        return code;
    if (directory[0] == '-')
        return cli_usage(cli, "a directory that begins with - is written ./%s", directory);
    if ((code = cli_new_passphrase(cli, "the operator's key", words, sizeof words)) != 0)
        return code;
    if (cli->word_count == 0) { /* the default place may need its parents; the last part is ifd's to make */
        char parent[1024];
        const char *slash = strrchr(directory, '/');
        if (slash != NULL && slash != directory && cli_path(parent, sizeof parent, "%.*s", (int)(slash - directory), directory) &&
            access(parent, F_OK) != 0 && (code = cli_make_directory(cli, parent, 0700, true)) != 0)
            return code;
    }
    snprintf(fd_text, sizeof fd_text, "%d", PASSPHRASE_FD);
    const char *parts[] = {ifd, "--init", directory, "--passphrase-fd", fd_text};
    for (; n < IFAB_COUNT(parts); n++)
        argv[n] = parts[n];
    static const char *const passed[] = {"http", "name", "why"};
    static const char *const flags[] = {"--http", "--name", "--why"};
    for (size_t i = 0; i < IFAB_COUNT(passed); i++) {
        if (cli_get(cli, passed[i]) != NULL) {
            argv[n++] = flags[i];
            argv[n++] = cli_get(cli, passed[i]);
        }
    }
    argv[n] = NULL;
    char *plain[16]; /* execv's type has no const; it changes nothing */
    memcpy(plain, argv, sizeof plain);
    code = cli_run_program(cli, ifd, plain, ifab_view_str(words), PASSPHRASE_FD);
    ifab_wipe(words, sizeof words);
    if (code == 0)
        say_next(cli, directory);
    return code;
}

int cmd_version(struct cli *cli)
{
    (void)cli;
    puts("ifctl " IFCTL_VERSION);
    return 0;
}

static bool code_matches(const struct ifab_code_info *info, const char *asked)
{
    if (strncasecmp(asked, "IF_ERR_", 7) == 0)
        asked += 7;
    char *end;
    long number = strtol(asked, &end, 10);
    if (asked[0] != '\0' && *end == '\0')
        return number == (long)info->code;
    return strcasecmp(asked, info->name) == 0;
}

int cmd_explain(struct cli *cli)
{
    const struct ifab_code_info *info;
    for (size_t i = 0; (info = ifab_code_at(i)) != NULL; i++) {
        if (!code_matches(info, cli->words[0]))
            continue;
        struct cli_body body;
        char number[16], text[32];
        snprintf(text, sizeof text, "IF_ERR_%03d", (int)info->code);
        cli_body_begin(&body);
        cli_body_text(&body, "code", text);
        cli_body_text(&body, "name", info->name);
        cli_body_text(&body, "meaning", info->text);
        cli_body_text(&body, "do", info->hint);
        cli_body_text(&body, "class", info->class_name);
        cli_body_text(&body, "retryable", info->retryable ? "yes" : "no");
        snprintf(number, sizeof number, "%d", info->http);
        cli_body_raw(&body, "http", number);
        snprintf(number, sizeof number, "%d", info->exit);
        cli_body_raw(&body, "exit", number);
        cli_body_end(&body);
        int code = cli_print(cli, ifab_buf_as_view(&body.buf), "CODE:code|NAME:name|MEANING:meaning|DO:do|HTTP:http|EXIT:exit");
        ifab_buf_fini(&body.buf);
        return code;
    }
    return cli_usage(cli, "no code \"%s\": a number such as 104, or a name such as OUT_OF_ORDER", cli->words[0]);
}
