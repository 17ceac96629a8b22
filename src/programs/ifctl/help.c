/* Help from the table: four groups, then one command. */
#include "cli.h"

static const struct {
    const char *name, *title;
} groups[] = {{"start", "Start"}, {"agents", "Agents"}, {"operate", "Operate"}, {"audit", "Audit"}};

static void put_options(const char *title, const struct cli_option *table, size_t count, const struct cli_command *only, FILE *to)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        char left[64];
        if (only != NULL && !cli_command_takes(only, ifab_view_str(table[i].name)))
            continue;
        if (!any)
            fprintf(to, "\n%s:\n", title);
        any = true;
        const char *value = table[i].value == NULL ? "" : table[i].value;
        char letter[5] = "";
        if (table[i].letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", table[i].letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, table[i].name, value[0] == '\0' || value[0] == '[' ? "" : " ", value);
        fprintf(to, "  %-34s %s\n", left, table[i].help);
    }
}

void cli_usage_line(const struct cli_command *command, FILE *to)
{
    const char *options = command->options[0] == '\0' ? "" : " [OPTION...]";
    bool last = (command->flags & CMD_REST) != 0; /* what stands behind -- is the words' alone */
    fprintf(to, "Usage: ifctl %s%s%s%s%s%s\n", command->name, last ? options : "", command->words[0] == '\0' ? "" : " ", command->words,
            last ? "" : options, (command->flags & CMD_WHY) != 0 ? " --why TEXT" : "");
}

void cli_help_command(const struct cli_command *command, FILE *to)
{
    cli_usage_line(command, to);
    fprintf(to, "\n%s\n", command->summary);
    if ((command->flags & CMD_LATER) != 0)
        fputs("Its part comes in a later version: it answers IF_ERR_509.\n", to);
    if (command->roles[0] != '\0')
        fprintf(to, "Roles: %s\n", strcmp(command->roles, "open") == 0 ? "any, or none" : command->roles);
    put_options("Options", cli_options, cli_option_count, command, to);
    put_options("Global", cli_globals, cli_global_count, NULL, to);
}

static void put_group(const char *group, const char *noun, FILE *to)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        size_t size = strcspn(c->name, " ");
        char left[64];
        if ((group != NULL && (strcmp(c->group, group) != 0 || (c->flags & CMD_LATER) != 0)) || (noun != NULL && (strlen(noun) != size || memcmp(noun, c->name, size) != 0)))
            continue;
        snprintf(left, sizeof left, "%s%s%s", c->name, c->words[0] == '\0' ? "" : " ", c->words);
        fprintf(to, "  %-34s %s%s\n", left, c->summary, (c->flags & CMD_LATER) != 0 ? " (later)" : "");
    }
}

/* Commands of later parts, by noun, a line each: there to be found, not in the way. */
static void put_later(FILE *to)
{
    const char *noun = "";
    size_t noun_size = 0;
    fputs("\nIn later versions (they parse, and answer IF_ERR_509):", to);
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        size_t size = strcspn(name, " ");
        if ((cli_commands[i].flags & CMD_LATER) == 0)
            continue;
        if (size == noun_size && memcmp(name, noun, size) == 0)
            fprintf(to, "|%s", name + size + 1);
        else
            fprintf(to, "\n  %s", name);
        noun = name;
        noun_size = size;
    }
    fputc('\n', to);
}

void cli_help(const struct cli *cli, FILE *to)
{
    if (cli->command != NULL && cli->command->run != cmd_help) {
        cli_help_command(cli->command, to);
        return;
    }
    const char *noun = cli->word_count > 0 ? cli->words[0] : NULL;
    if (noun != NULL) {
        fprintf(to, "Usage: ifctl %s COMMAND\n\n", noun);
        put_group(NULL, noun, to);
        return;
    }
    fputs("Usage: ifctl COMMAND [WORD...] [OPTION...]\n\nInfraFabric's command line. stdout is data, stderr is talk.\n", to);
    for (size_t g = 0; g < IFAB_COUNT(groups); g++) {
        fprintf(to, "\n%s:\n", groups[g].title);
        put_group(groups[g].name, NULL, to);
    }
    put_options("Global", cli_globals, cli_global_count, NULL, to);
    put_later(to);
    fputs("\nExit: 0 ok, 2 usage, 10 auth, 11 message, 12 registry, 13 limits, 14 task, 20 system, 21 no answer, 30 held or escalated, 31 "
          "denied.\n"
          "Flag > environment (IFAB_DIR, IFAB_ENDPOINT, IFAB_AS, IFAB_KEY, IFAB_WHY, IFAB_TOKEN_FILE, IFAB_CA, IFAB_CERT, IFAB_CERT_KEY) > context > default.\n"
          "One command: ifctl COMMAND --help. A code: ifctl explain IF_ERR_104.\n",
          to);
}

int cmd_help(struct cli *cli)
{
    for (size_t i = 0; i < cli_command_count && cli->word_count > 0; i++) {
        char name[128];
        bool two = cli->word_count > 1;
        if (cli_path(name, sizeof name, "%s%s%s", cli->words[0], two ? " " : "", two ? cli->words[1] : "") &&
            strcmp(name, cli_commands[i].name) == 0) {
            cli_help_command(&cli_commands[i], stdout);
            return 0;
        }
    }
    for (size_t i = 0; i < cli_command_count && cli->word_count == 1; i++) {
        size_t noun = strcspn(cli_commands[i].name, " ");
        if (strlen(cli->words[0]) == noun && memcmp(cli->words[0], cli_commands[i].name, noun) == 0) {
            cli_help(cli, stdout);
            return 0;
        }
    }
    if (cli->word_count > 0)
        return cli_usage(cli, "no command \"%s\"", cli->words[0]);
    cli_help(cli, stdout);
    return 0;
}
