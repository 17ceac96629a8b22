/* ifctl, also started as `if` (a shell keyword: \if or 'if'). Parse, settle, ask why, run. */
#include "cli.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <signal.h>

static int run(struct cli *cli, int argc, char *const *argv)
{
    int code = cli_parse(cli, argc, argv);
    if (cli->help && (code == 0 || cli->command == NULL)) {
        if (code == 0)
            cli_help(cli, stdout);
        else if (cli->word_count == 0 && cli->command == NULL)
            cli_help(cli, stderr);
        return code;
    }
    if (code != 0)
        return code;
    if ((code = cli_settle(cli)) != 0)
        return code;
    if ((cli->command->flags & CMD_LATER) != 0)
        return cli_refuse(cli, IFAB_CODE_NOT_SUPPORTED, "\"%s\" comes in a later version; nothing was done", cli->command->name);
    if ((code = cli_ask_why(cli)) != 0)
        return code;
    return cli->command->run(cli);
}

int main(int argc, char **argv)
{
    static struct cli cli; /* zeroed; large */
    signal(SIGPIPE, SIG_IGN);
    if (ifab_crypto_init_late(&cli.err) != IFAB_OK) { /* openssl_late.c does the rest */
        fputs("ifctl: no randomness or cryptography here\n", stderr);
        return EXIT_SYSTEM;
    }
    int code = run(&cli, argc, argv);
    cli_fini(&cli);
    if (fflush(stdout) == 0)
        return code;
    if (errno == EPIPE) /* the reader has what it wanted */
        return code;
    perror("stdout");
    return code == 0 ? EXIT_SYSTEM : code;
}
