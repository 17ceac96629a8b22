/* backup, restore, salvage: ifd does the work; what it means is said here. */
#include "cli.h"

#include <errno.h>
#include <unistd.h>

#include "crypto/crypto.h"

static int absolute(struct cli *cli, const char *path, char *to, size_t size)
{
    char here[1024];
    if (path[0] == '/')
        return cli_path(to, size, "%s", path) ? 0 : cli_usage(cli, "path too long");
    if (getcwd(here, sizeof here) == NULL || !cli_path(to, size, "%s/%s", here, path))
        return cli_usage(cli, "path too long");
    return 0;
}

int cmd_backup(struct cli *cli)
{
    struct cli_body body;
    char path[2200];
    int code = absolute(cli, cli->words[0], path, sizeof path);
    if (code != 0)
        return code;
    cli_body_begin(&body);
    cli_body_text(&body, "directory", path);
    cli_body_text(&body, "why", cli->why);
    if (cli->timeout_usec < 10 * IFAB_MINUTE && cli_get(cli, "timeout") == NULL)
        cli->timeout_usec = 10 * IFAB_MINUTE;
    code = cli_post(cli, "/v1/backup", &body, ACT_IF_NEEDED, NULL);
    if (code == 0)
        cli_say(cli, "keys are not in it: keep keys/log.key and keys/operator.pem apart");
    return code;
}

/* The log's own name, as the first line of a checkpoint or the third part of a log key says it. */
static void origin_of(struct cli *cli, const char *path, bool key, char *to, size_t size)
{
    struct ifab_buf text = IFAB_BUF_INIT(65536);
    to[0] = '\0';
    if (access(path, R_OK) == 0 && cli_read_input(cli, path, 65536, &text) == 0 && text.size > 0) {
        ifab_buf_char(&text, '\0');
        const char *at = ifab_buf_status(&text) == IFAB_OK ? (const char *)text.data : "";
        if (key)
            at = strncmp(at, "PRIVATE+KEY+", 12) == 0 ? at + 12 : "";
        (void)cli_path(to, size, "%.*s", (int)strcspn(at, key ? "+\n" : "\n"), at);
    }
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
}

static void say_restored(struct cli *cli, const char *backup, const char *directory)
{
    char path[1200], before[300] = "", now[300] = "";
    bool has_operator = cli_path(path, sizeof path, "%s/keys/operator.pem", directory) && access(path, F_OK) == 0;
    if (cli_path(path, sizeof path, "%s/checkpoint", backup))
        origin_of(cli, path, false, before, sizeof before);
    if (cli_path(path, sizeof path, "%s/keys/log.key", directory))
        origin_of(cli, path, true, now, sizeof now);
    cli_say(cli, "%s holds a new fabric with a log of its own: %s (the backup is of %s)", directory, now, before);
    cli_say(cli,
            "Talents, keys and grants go on. Void: older messages, votes, admin acts and tokens; what was held or escalated is sent anew.");
    cli_say(cli, "Messages issued until now plus time.skew (60s unless set) answer IF_ERR_102: talents go on after that minute.");
    if (!has_operator)
        cli_say(cli, "The operator's key was in neither place: copy it to %s/keys/operator.pem, mode 600", directory);
    cli_say(cli, "The rule set goes on in %s/rules.yaml. Settings do not: compare %s/ifd.yaml.lost with %s/ifd.yaml.", directory, directory, directory);
    cli_say(cli, "Next:");
    cli_say(cli, "  stop the old ifd if it still runs: the new one listens at the same address");
    cli_say(cli, "  ifd --config %s/ifd.yaml", directory);
    cli_say(cli, "  ifctl --dir %s witness vkey      (new: give it to all who verify)", directory);
}

int cmd_restore(struct cli *cli)
{
    char ifd[1200];
    const char *dir = cli_get(cli, "dir"), *keys = cli_get(cli, "keys"), *argv[12];
    size_t n = 0;
    if (dir == NULL)
        return cli_usage(cli, "say the new directory: --dir NEW");
    int code = cli_find_ifd(cli, ifd, sizeof ifd);
    if (code != 0)
        return code;
    if (cli->words[0][0] == '-' || dir[0] == '-')
        return cli_usage(cli, "a path that begins with - is written ./-…");
    if (access(cli->words[0], F_OK) != 0)
        return cli_file_failed(cli, cli->words[0], errno);
    if (keys != NULL && access(keys, F_OK) != 0)
        return cli_file_failed(cli, keys, errno);
    argv[n++] = ifd;
    argv[n++] = "--restore";
    argv[n++] = cli->words[0];
    argv[n++] = "--dir";
    argv[n++] = dir;
    if (keys != NULL) {
        argv[n++] = "--keys";
        argv[n++] = keys;
    }
    argv[n++] = "--why";
    argv[n++] = cli->why;
    argv[n] = NULL;
    char *plain[12]; /* execv's type has no const; it changes nothing */
    memcpy(plain, argv, sizeof plain);
    code = cli_run_program(cli, ifd, plain, (struct ifab_view){NULL, 0}, 0);
    if (code == 0)
        say_restored(cli, cli->words[0], dir);
    return code;
}

static void say_salvage_next(struct cli *cli, const char *directory)
{
    cli_say(cli, "%s holds a new fabric with a log of its own; its entry 0 says what was given up of the old one.", directory);
    cli_say(cli, "Next:");
    cli_say(cli, "  if-verify %s/salvaged --vkey VKEY     (the old log's key, a copy kept elsewhere)", directory);
    cli_say(cli, "  compare talents and grants with what you know: a change in the part that was given up has not happened");
    cli_say(cli, "  compare %s/ifd.yaml.lost with %s/ifd.yaml, then ifd --config %s/ifd.yaml", directory, directory, directory);
    cli_say(cli, "  ifctl --dir %s witness vkey           (new: give it to all who verify)", directory);
}

int cmd_salvage(struct cli *cli)
{
    char ifd[1200];
    const char *dir = cli_get(cli, "dir"), *keys = cli_get(cli, "keys"), *checkpoint = cli_get(cli, "checkpoint"), *argv[16];
    size_t n = 0;
    if (dir == NULL)
        return cli_usage(cli, "say the new directory: --dir NEW");
    int code = cli_find_ifd(cli, ifd, sizeof ifd);
    if (code != 0)
        return code;
    if (cli->words[0][0] == '-' || dir[0] == '-')
        return cli_usage(cli, "a path that begins with - is written ./-…");
    const char *paths[] = {cli->words[0], keys, checkpoint};
    for (size_t i = 0; i < IFAB_COUNT(paths); i++)
        if (paths[i] != NULL && access(paths[i], F_OK) != 0)
            return cli_file_failed(cli, paths[i], errno);
    const char *const pairs[][2] = {{"--salvage", cli->words[0]}, {"--dir", dir}, {"--keys", keys}, {"--checkpoint", checkpoint}, {"--why", cli->why}};
    argv[n++] = ifd;
    for (size_t i = 0; i < IFAB_COUNT(pairs); i++)
        if (pairs[i][1] != NULL) {
            argv[n++] = pairs[i][0];
            argv[n++] = pairs[i][1];
        }
    if (cli_get(cli, "unproven") != NULL)
        argv[n++] = "--unproven";
    argv[n] = NULL;
    char *plain[16]; /* execv's type has no const; it changes nothing */
    memcpy(plain, argv, sizeof plain);
    code = cli_run_program(cli, ifd, plain, (struct ifab_view){NULL, 0}, 0);
    if (code == 0)
        say_salvage_next(cli, dir);
    return code;
}
