/* Completions for bash, zsh and fish, written from the table, so that they cannot fall behind it. */
#include "cli.h"

/* Inside single quotes of any of the three shells. */
static void put_quoted(const char *text, FILE *to)
{
    fputc('\'', to);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", to);
        else
            fputc(*text, to);
    }
    fputc('\'', to);
}

static bool first_of_noun(size_t row, size_t *ret_size)
{
    size_t size = strcspn(cli_commands[row].name, " ");
    *ret_size = size;
    for (size_t i = 0; i < row; i++)
        if (strcspn(cli_commands[i].name, " ") == size && memcmp(cli_commands[i].name, cli_commands[row].name, size) == 0)
            return false;
    return true;
}

static void put_nouns(FILE *to)
{
    size_t size;
    for (size_t i = 0; i < cli_command_count; i++)
        if (first_of_noun(i, &size))
            fprintf(to, "%.*s ", (int)size, cli_commands[i].name);
}

static void put_verbs(size_t row, FILE *to)
{
    size_t size = strcspn(cli_commands[row].name, " ");
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        if (strncmp(name, cli_commands[row].name, size) == 0 && name[size] == ' ')
            fprintf(to, "%s ", name + size + 1);
    }
}

static void put_option_names(const struct cli_command *command, FILE *to)
{
    const char *list = command == NULL ? "" : command->options;
    for (struct ifab_view word; cli_word_next(&list, &word);)
        fprintf(to, "--" IFAB_FMT " ", IFAB_ARG(word));
}

static void put_global_names(FILE *to)
{
    for (size_t i = 0; i < cli_global_count; i++)
        fprintf(to, "--%s ", cli_globals[i].name);
}

/* bash and zsh share the tables of words; they differ in how the answer is given. */
static void put_cases(FILE *to)
{
    size_t size;
    fputs("    local nouns='", to);
    put_nouns(to);
    fputs("' globals='", to);
    put_global_names(to);
    fputs("' verbs='' options=''\n    case \"$noun\" in\n", to);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (!first_of_noun(i, &size))
            continue;
        fprintf(to, "        %.*s) verbs='", (int)size, cli_commands[i].name);
        put_verbs(i, to);
        fputs("' ;;\n", to);
    }
    fputs("    esac\n    case \"$noun $verb\" in\n", to);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (cli_commands[i].options[0] == '\0')
            continue;
        fprintf(to, "        '%s%s') options='", cli_commands[i].name, strchr(cli_commands[i].name, ' ') == NULL ? " '*'" : "");
        put_option_names(&cli_commands[i], to);
        fputs("' ;;\n", to);
    }
    fputs("    esac\n", to);
}

static void bash(FILE *to)
{
    fputs("# bash completion for ifctl\n_ifctl()\n{\n    local cur=\"${COMP_WORDS[COMP_CWORD]}\" noun='' verb='' word i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n        word=\"${COMP_WORDS[i]}\"\n"
          "        [[ $word == -* ]] && continue\n        if [[ -z $noun ]]; then noun=$word; elif [[ -z $verb ]]; then verb=$word; fi\n   "
          " done\n",
          to);
    put_cases(to);
    fputs("    if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W \"$options $globals\" -- \"$cur\"))\n"
          "    elif [[ -z $noun ]]; then\n        COMPREPLY=($(compgen -W \"$nouns\" -- \"$cur\"))\n"
          "    elif [[ -z $verb && -n $verbs ]]; then\n        COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
          "    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\ncomplete -F _ifctl ifctl\n",
          to);
}

static void zsh(FILE *to)
{
    fputs(
        "#compdef ifctl\n# zsh completion for ifctl\n_ifctl()\n{\n    local cur=\"${words[CURRENT]}\" noun='' verb='' word\n    integer i\n"
        "    for ((i = 2; i < CURRENT; i++)); do\n        word=\"${words[i]}\"\n"
        "        [[ $word == -* ]] && continue\n        if [[ -z $noun ]]; then noun=$word; elif [[ -z $verb ]]; then verb=$word; fi\n    "
        "done\n",
        to);
    put_cases(to);
    fputs("    if [[ $cur == -* ]]; then\n        compadd -- ${=options} ${=globals}\n"
          "    elif [[ -z $noun ]]; then\n        compadd -- ${=nouns}\n"
          "    elif [[ -z $verb && -n $verbs ]]; then\n        compadd -- ${=verbs}\n"
          "    else\n        _files\n    fi\n}\n_ifctl \"$@\"\n",
          to);
}

static void fish_option(const char *condition, const struct cli_option *option, FILE *to)
{
    fprintf(to, "complete -c ifctl %s -l %s", condition, option->name);
    if (option->letter != 0)
        fprintf(to, " -s %c", option->letter);
    if (option->value != NULL && option->value[0] != '[')
        fputs(" -r", to);
    fputs(" -d ", to);
    put_quoted(option->help, to);
    fputc('\n', to);
}

static void fish(FILE *to)
{
    fputs("# fish completion for ifctl\n", to);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        size_t size;
        bool first = first_of_noun(i, &size);
        char condition[256];
        if (first) {
            fprintf(to, "complete -c ifctl -n __fish_use_subcommand -f -a %.*s", (int)size, c->name);
            fputs(" -d ", to);
            put_quoted(c->name[size] == '\0' ? c->summary : c->group, to);
            fputc('\n', to);
        }
        if (c->name[size] != '\0') {
            fprintf(to, "complete -c ifctl -n '__fish_seen_subcommand_from %.*s' -f -a %s -d ", (int)size, c->name, c->name + size + 1);
            put_quoted(c->summary, to);
            fputc('\n', to);
            snprintf(condition, sizeof condition, "-n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'", (int)size,
                     c->name, c->name + size + 1);
        } else {
            snprintf(condition, sizeof condition, "-n '__fish_seen_subcommand_from %s'", c->name);
        }
        const char *list = c->options;
        for (struct ifab_view word; cli_word_next(&list, &word);) {
            const struct cli_option *option = cli_option_find(cli_options, cli_option_count, word);
            if (option != NULL)
                fish_option(condition, option, to);
        }
    }
    for (size_t i = 0; i < cli_global_count; i++)
        fish_option("", &cli_globals[i], to);
}

int cli_complete(const char *shell, FILE *to)
{
    if (strcmp(shell, "bash") == 0)
        bash(to);
    else if (strcmp(shell, "zsh") == 0)
        zsh(to);
    else if (strcmp(shell, "fish") == 0)
        fish(to);
    else
        return EXIT_USAGE;
    return 0;
}

int cmd_completion(struct cli *cli)
{
    int code = cli_complete(cli->words[0], stdout);
    return code == 0 ? 0 : cli_usage(cli, "no completion for \"%s\": bash, zsh or fish", cli->words[0]);
}
