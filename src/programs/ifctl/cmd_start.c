/* init, version, explain: the first minutes. */
#include "cli.h"

#include <dirent.h>
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

/* Said before anybody is asked for a passphrase; ifd looks again. */
static int check_unused(const struct cli *cli, const char *directory)
{
    char path[1200];
    bool used = false;
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        used = used || (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0);
    if (dir != NULL)
        closedir(dir);
    if (!used)
        return 0;
    if (cli_path(path, sizeof path, "%s/ifd.yaml.unfinished", directory) && access(path, F_OK) == 0)
        return cli_stop(cli, 12, "Remove it (rm -r) and run this again.", "%s holds what an init or restore that did not end has left", directory);
    return cli_stop(cli, 12, "Name a new or empty directory.", "%s is used already: init makes a new fabric", directory);
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
    if ((code = check_unused(cli, directory)) != 0)
        return code;
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

static const struct {
    const char *name, *meaning, *hint;
} words[] = {
    {"SHARE", "decided: it is delivered to its receivers", "Nothing is left to do."},
    {"HOLD", "it waits for a second source or a scope check; not delivered yet, and ESCALATE at its deadline",
     "A talent of another owner sends the same --claim-id and --scope with inform or agree and is SHARE, with other evidence; or one of another owner "
     "that has the grant guard:scope signs: ifctl decision scope-ok ID. Without claim_id and scope only the scope check is left."},
    {"ESCALATE", "it waits for votes of operators of other owners; not delivered yet, and DENY at its deadline", "ifctl decision approve|refuse ID."},
    {"DENY", "decided: it is not delivered; the entry says why", "See the rule: ifctl guard explain, ifctl explain RULE."},
    {"builtin.secret", "DENY: something in the message looks like a secret", "Take it out, and change the secret: it has left its place."},
    {"builtin.no-rules", "DENY: the daemon could not read its rules.yaml at its start", "Mend the file (ifctl guard check FILE), then restart ifd."},
    {"builtin.hazard", "ESCALATE: legal, safety or conflict>20% was declared or derived, here or earlier in the conversation",
     "An operator of another owner decides: ifctl decision approve|refuse ID."},
    {"builtin.low-confidence", "ESCALATE: the confidence is too low to be shared or held",
     "An operator of another owner decides: ifctl decision approve|refuse ID."},
    {"builtin.borderline", "HOLD: the confidence lies between shared and escalated", "See ifctl explain HOLD."},
    {"builtin.claim-incomplete", "HOLD: the claim has no confidence or no scope", "Send it with --confidence and --scope, or see ifctl explain HOLD."},
    {"builtin.default-share", "SHARE: no step of the guard has anything against it", "Nothing is left to do."},
    {"builtin.rules-work", "ESCALATE: the operator's rules need too much work for this message", "Make the rules or the message smaller."},
    {"builtin.capability-default", "DENY: no rule under capabilities: of rules.yaml lets this capability do it; without one nothing passes",
     "An operator adds a rule: {id: NAME, effect: share, when: {capability: NAME, operation: NAME}}; then ifctl guard check FILE, and SIGHUP."},
    {"builtin.effect", "ESCALATE: what is physical or a payment waits for votes, whatever a rule says",
     "An operator of another owner decides: ifctl decision approve|refuse ID."},
    {"builtin.plan", "ESCALATE: a message asks for the approval of a plan; DENY: it names no plan of its sender that can be asked for, and says why",
     "An operator of another owner decides: ifctl decision approve|refuse ID; after a DENY plan again."},
    {"builtin.no-voters", "DENY: it would be escalated, but fewer operators of other owners than the sender's could vote than votes are needed",
     "Add operators of other owners: ifctl talent add NAME --role operator --owner OWNER --pubkey @FILE --why TEXT; then send it again."},
};

static int print_explained(struct cli *cli, const char *name, const char *meaning, const char *hint)
{
    struct cli_body body;
    cli_body_begin(&body);
    cli_body_text(&body, "name", name);
    cli_body_text(&body, "meaning", meaning);
    cli_body_text(&body, "do", hint);
    cli_body_end(&body);
    int code = cli_print(cli, ifab_buf_as_view(&body.buf), "NAME:name|MEANING:meaning|DO:do");
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_explain(struct cli *cli)
{
    const struct ifab_code_info *info;
    for (size_t i = 0; i < IFAB_COUNT(words); i++)
        if (strcasecmp(cli->words[0], words[i].name) == 0)
            return print_explained(cli, words[i].name, words[i].meaning, words[i].hint);
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
    return cli_usage(cli, "no code \"%s\": a number such as 104, a name such as OUT_OF_ORDER, a decision such as HOLD, or a rule such as builtin.hazard", cli->words[0]);
}
