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

static bool takes_value(const struct cli_option *option)
{
    return option->value != NULL && option->value[0] != '[';
}

/* "table|json|csv": words one may type, not names of what is meant. */
static bool is_choice(const struct cli_option *option)
{
    return option->value != NULL && strchr(option->value, '|') != NULL &&
           strspn(option->value, "abcdefghijklmnopqrstuvwxyz-|P0123456789") == strlen(option->value);
}

/* Calls put for each option of both tables. */
static void each_option(void (*put)(const struct cli_option *option, FILE *to), FILE *to)
{
    for (size_t i = 0; i < cli_global_count; i++)
        put(&cli_globals[i], to);
    for (size_t i = 0; i < cli_option_count; i++)
        put(&cli_options[i], to);
}

static void put_pattern(const struct cli_option *option, FILE *to)
{
    if (takes_value(option))
        fprintf(to, "--%s|", option->name);
    if (takes_value(option) && option->letter != 0)
        fprintf(to, "-%c|", option->letter);
}

static void put_choices(const struct cli_option *option, FILE *to)
{
    if (!is_choice(option))
        return;
    fprintf(to, "        --%s", option->name);
    if (option->letter != 0)
        fprintf(to, "|-%c", option->letter);
    fputs(") choices='", to);
    for (const char *c = option->value; *c != '\0'; c++)
        fputc(*c == '|' ? ' ' : *c, to);
    fputs("' ;;\n", to);
}

/*
 * bash and zsh share the reading of the line: `line` holds the words in front of the cursor and `cur` the one under it. An option that
 * takes a value takes the next word with it, so that `ifctl --dir X talent` is still about talent.
 */
static void put_reading(FILE *to)
{
    size_t size;
    fputs("    local nouns='", to);
    put_nouns(to);
    fputs("' globals='", to);
    put_global_names(to);
    fputs("' noun='' verb='' verbs='' options='' choices='' value_of='' word\n    for word in \"${line[@]}\"; do\n"
          "        if [[ -n $value_of ]]; then value_of=''; continue; fi\n        case \"$word\" in\n            ",
          to);
    each_option(put_pattern, to);
    fputs("'') value_of=$word ;;\n            -*) ;;\n"
          "            *) if [[ -z $noun ]]; then noun=$word; elif [[ -z $verb ]]; then verb=$word; fi ;;\n"
          "        esac\n    done\n    case \"$cur\" in --*=*) value_of=\"${cur%%=*}\" ;; esac\n    case \"$value_of\" in\n",
          to);
    each_option(put_choices, to);
    fputs("    esac\n    case \"$noun\" in\n", to);
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

/* bash cuts words at = and : too; they are put together again before they are read, and the answer is about the last piece. */
static void bash(FILE *to)
{
    fputs("# bash completion for ifctl\n_ifctl()\n{\n    local cur='' tail=\"${COMP_WORDS[COMP_CWORD]}\" glue='' piece i\n"
          "    local -a line=()\n"
          "    for ((i = 1; i <= COMP_CWORD; i++)); do\n        piece=\"${COMP_WORDS[i]}\"\n"
          "        if [[ $piece == [=:] && -n $cur ]]; then cur+=$piece; glue=1\n"
          "        elif [[ -n $glue ]]; then cur+=$piece; glue=''\n"
          "        else [[ i -gt 1 ]] && line+=(\"$cur\"); cur=$piece; fi\n    done\n    [[ $tail == [=:] ]] && tail=''\n",
          to);
    put_reading(to);
    fputs("    if [[ -n $choices ]]; then\n        COMPREPLY=($(compgen -W \"$choices\" -- \"$tail\"))\n"
          "    elif [[ -n $value_of ]]; then\n        COMPREPLY=($(compgen -f -- \"$tail\"))\n"
          "    elif [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W \"$options $globals\" -- \"$cur\"))\n"
          "    elif [[ -z $noun ]]; then\n        COMPREPLY=($(compgen -W \"$nouns\" -- \"$cur\"))\n"
          "    elif [[ -z $verb && -n $verbs ]]; then\n        COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
          "    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\ncomplete -o filenames -F _ifctl ifctl\n",
          to);
}

static void zsh(FILE *to)
{
    fputs("#compdef ifctl\n# zsh completion for ifctl\n_ifctl()\n{\n    local cur=\"${words[CURRENT]}\"\n"
          "    local -a line=(\"${(@)words[2,CURRENT-1]}\")\n    (( CURRENT > 2 )) || line=()\n",
          to);
    put_reading(to);
    fputs("    if [[ -n $choices ]]; then\n        [[ $cur == --*=* ]] && compset -P '*='\n        compadd -- ${=choices}\n"
          "    elif [[ -n $value_of ]]; then\n        [[ $cur == --*=* ]] && compset -P '*='\n        _files\n"
          "    elif [[ $cur == -* ]]; then\n        compadd -- ${=options} ${=globals}\n"
          "    elif [[ -z $noun ]]; then\n        compadd -- ${=nouns}\n"
          "    elif [[ -z $verb && -n $verbs ]]; then\n        compadd -- ${=verbs}\n"
          "    else\n        _files\n    fi\n}\n_ifctl \"$@\"\n",
          to);
}

static void fish_option(const char *condition, const struct cli_option *option, FILE *to)
{
    fprintf(to, "complete -c ifctl%s -l %s", condition, option->name);
    if (option->letter != 0)
        fprintf(to, " -s %c", option->letter);
    if (takes_value(option))
        fputs(" -r", to);
    if (is_choice(option)) {
        fputs(" -f -a '", to);
        for (const char *c = option->value; *c != '\0'; c++)
            fputc(*c == '|' ? ' ' : *c, to);
        fputc('\'', to);
    }
    fputs(" -d ", to);
    put_quoted(option->help, to);
    fputc('\n', to);
}

static void put_fish_name(const struct cli_option *option, FILE *to)
{
    if (takes_value(option))
        fprintf(to, " --%s", option->name);
    if (takes_value(option) && option->letter != 0)
        fprintf(to, " -%c", option->letter);
}

/* __ifctl_at NOUN [VERB]: are these the first words of the line, options and their values left out? Without any: there is none yet. */
static void put_fish_reading(FILE *to)
{
    fputs("# fish completion for ifctl\nfunction __ifctl_at\n    set -l skip 0\n    set -l found\n"
          "    for word in (commandline -opc)[2..-1]\n        if test $skip = 1\n            set skip 0\n"
          "            continue\n        end\n"
          "        switch $word\n            case",
          to);
    each_option(put_fish_name, to);
    fputs("\n                set skip 1\n            case '-*'\n            case '*'\n                set -a found $word\n"
          "        end\n    end\n"
          "    switch (count $argv)\n        case 0\n            test (count $found) -eq 0\n        case 1\n"
          "            test (count $found) -eq 1; and test $found[1] = $argv[1]\n        case 2\n"
          "            test (count $found) -ge 2; and test \"$found[1] $found[2]\" = \"$argv[1] $argv[2]\"\n"
          "        case 3\n            test (count $found) -ge 1; and test $found[1] = $argv[1]\n    end\nend\n",
          to);
}

static void fish_command(size_t row, FILE *to)
{
    const struct cli_command *c = &cli_commands[row];
    size_t size;
    bool first = first_of_noun(row, &size), alone = c->name[size] == '\0';
    char condition[256];
    if (first) {
        fprintf(to, "complete -c ifctl -n __ifctl_at -f -a %.*s -d ", (int)size, c->name);
        put_quoted(alone ? c->summary : c->group, to);
        fputc('\n', to);
    }
    if (!alone) {
        fprintf(to, "complete -c ifctl -n '__ifctl_at %.*s' -f -a %s -d ", (int)size, c->name, c->name + size + 1);
        put_quoted(c->summary, to);
        fputc('\n', to);
    }
    snprintf(condition, sizeof condition, " -n '__ifctl_at %s%s'", c->name, alone ? " any word" : "");
    const char *list = c->options;
    for (struct ifab_view word; cli_word_next(&list, &word);) {
        const struct cli_option *option = cli_option_find(cli_options, cli_option_count, word);
        if (option != NULL)
            fish_option(condition, option, to);
    }
}

static void fish(FILE *to)
{
    put_fish_reading(to);
    for (size_t i = 0; i < cli_command_count; i++)
        fish_command(i, to);
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
