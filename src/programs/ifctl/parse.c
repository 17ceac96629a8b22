/*
 * argv → command, words, options. Global flags stand anywhere; a command's own options behind its name. Nothing is guessed: what is not in
 * the table is a usage error, and so is a value that is missing or not wanted.
 */
#include "cli.h"

#include <stdlib.h>

#include "base/nearest.h"

static bool wants_value(const struct cli_option *option)
{
    return option->value != NULL && option->value[0] != '[';
}

static int give(struct cli *cli, struct ifab_view name, const char *value)
{
    if (cli->given_count >= CLI_GIVEN_MAX)
        return cli_usage(cli, "too many options");
    cli->given[cli->given_count].name = (const char *)name.data;
    cli->given[cli->given_count].name_size = name.size;
    cli->given[cli->given_count++].value = value;
    return 0;
}

const char *cli_get_nth(const struct cli *cli, const char *name, size_t nth)
{
    for (size_t i = 0; i < cli->given_count; i++)
        if (ifab_view_is(ifab_view_of(cli->given[i].name, cli->given[i].name_size), name) && nth-- == 0)
            return cli->given[i].value;
    return NULL;
}

const char *cli_get(const struct cli *cli, const char *name)
{
    const char *last = NULL;
    for (size_t i = 0; i < cli->given_count; i++)
        if (ifab_view_is(ifab_view_of(cli->given[i].name, cli->given[i].name_size), name))
            last = cli->given[i].value;
    return last;
}

/* The row whose name is these words: two first, then one. *ret_used words belong to the name. */
static const struct cli_command *find_command(const char *const *words, size_t count, size_t *ret_used)
{
    for (size_t used = 2; used >= 1; used--) {
        char name[128];
        if (count < used || !cli_path(name, sizeof name, "%s%s%s", words[0], used == 2 ? " " : "", used == 2 ? words[1] : ""))
            continue;
        for (size_t i = 0; i < cli_command_count; i++) {
            if (strcmp(cli_commands[i].name, name) == 0) {
                *ret_used = used;
                return &cli_commands[i];
            }
        }
    }
    return NULL;
}

/* The command's option or the global one that is nearest to what was written; NULL: none is near. */
static const char *nearest_option(const struct cli_command *command, struct ifab_view name)
{
    const char *best = NULL;
    size_t least = 2 + name.size / 4;
    for (size_t i = 0; i < cli_option_count + cli_global_count; i++) {
        const struct cli_option *option = i < cli_option_count ? &cli_options[i] : &cli_globals[i - cli_option_count];
        if (i < cli_option_count && !cli_command_takes(command, ifab_view_str(option->name)))
            continue;
        size_t far = ifab_edit_distance(name, ifab_view_str(option->name));
        best = far < least ? option->name : best;
        least = far < least ? far : least;
    }
    return best;
}

static int unknown_option(const struct cli *cli, const struct cli_command *command, const char *arg, struct ifab_view name, bool letter)
{
    const char *near = letter ? NULL : nearest_option(command, name);
    return cli_usage(cli, "%s has no option \"%.*s\"%s%s%s See ifctl %s --help", command->name, (int)(name.size + (letter ? 1 : 2)), arg,
                     near == NULL ? "." : "; did you mean --", near == NULL ? "" : near, near == NULL ? "" : "?", command->name);
}

/* Behind --NAME of a parameter: -3 is its value, -p and --why are not. */
static bool looks_like_option(const char *arg)
{
    return arg[0] == '-' && (arg[1] == '-' || (arg[1] >= 'a' && arg[1] <= 'z') || (arg[1] >= 'A' && arg[1] <= 'Z'));
}

/* One option at argv[*at]; moves *at when it takes the next word. command NULL: only globals are known yet. */
static int take_option(struct cli *cli, const struct cli_command *command, int argc, char *const *argv, int *at)
{
    const char *arg = argv[*at];
    bool letter = arg[1] != '-';
    const char *text = letter ? arg + 1 : arg + 2;
    const char *equals = letter ? NULL : strchr(text, '=');
    struct ifab_view name = ifab_view_of(text, letter ? 1 : equals != NULL ? (size_t)(equals - text) : strlen(text));
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (letter && text[1] != '\0') /* -ojson */
        value = text + 1;
    const struct cli_option *option = cli_option_find(cli_globals, cli_global_count, name);
    if (option == NULL && command != NULL) {
        option = cli_option_find(cli_options, cli_option_count, name);
        if (option != NULL && !cli_command_takes(command, ifab_view_str(option->name)))
            option = NULL;
    }
    if (option == NULL && command != NULL && (command->flags & CMD_FREE) != 0) { /* -p name=value, --scene "Intro" */
        if (value == NULL && *at + 1 < argc && !looks_like_option(argv[*at + 1]))
            value = argv[++*at];
        return give(cli, name, value == NULL ? "" : value);
    }
    if (option == NULL && command == NULL)
        return cli_usage(cli, "\"%s\" stands before the command: only global flags may", arg);
    if (option == NULL)
        return unknown_option(cli, command, arg, name, letter);
    if (wants_value(option) && value == NULL) {
        if (*at + 1 >= argc)
            return cli_usage(cli, "--%s needs a value: %s", option->name, option->value);
        value = argv[++*at];
    }
    if (option->value == NULL && value != NULL)
        return cli_usage(cli, "--%s takes no value", option->name);
    return give(cli, ifab_view_str(option->name), value == NULL ? "" : value);
}

static bool is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0'; /* "-" is stdin */
}

/* Fills cli->command from the first one or two words that are no options; *ret_count of them are its name, or unknown. */
static void find_name(struct cli *cli, int argc, char *const *argv, const char *words[2], size_t *ret_count)
{
    size_t count = 0;
    for (int i = 1; i < argc && count < 2; i++) {
        if (strcmp(argv[i], "--") == 0)
            break;
        if (!is_option(argv[i])) {
            words[count++] = argv[i];
            continue;
        }
        const char *name = argv[i][1] == '-' ? argv[i] + 2 : argv[i] + 1;
        size_t size = argv[i][1] == '-' ? strcspn(name, "=") : 1;
        const struct cli_option *option = cli_option_find(cli_globals, cli_global_count, ifab_view_of(name, size));
        if (option == NULL && count > 0)
            break; /* the command's own: its name is complete */
        if (option != NULL && wants_value(option) && name[size] == '\0')
            i++;
    }
    size_t used = 0;
    cli->command = find_command(words, count, &used);
    *ret_count = cli->command == NULL ? count : used;
}

static size_t distance(const char *a, const char *b)
{
    return ifab_edit_distance(ifab_view_str(a), ifab_view_str(b));
}

/* "; did you mean "talent add"?" or "". At most a third of the letters may be wrong. */
static const char *did_you_mean(const char *const *words, size_t count, char *ret_text, size_t size)
{
    char asked[128];
    const char *best = NULL;
    size_t least = SIZE_MAX, best_size = 0;
    ret_text[0] = '\0';
    if (!cli_path(asked, sizeof asked, "%s%s%s", words[0], count > 1 ? " " : "", count > 1 ? words[1] : ""))
        return ret_text;
    for (size_t i = 0; i < cli_command_count; i++) {
        char noun[64];
        const char *verb = strchr(cli_commands[i].name, ' ');
        if (least > 0 && verb != NULL && (cli_commands[i].flags & CMD_LATER) == 0 && strcmp(verb + 1, words[0]) == 0) { /* "send" without its noun */
            least = 0;
            best = cli_commands[i].name;
            best_size = strlen(best);
        }
        size_t noun_size = strcspn(cli_commands[i].name, " "), far = distance(asked, cli_commands[i].name);
        if (far < least) {
            least = far;
            best = cli_commands[i].name;
            best_size = strlen(best);
        }
        if (count == 1 && cli_path(noun, sizeof noun, "%.*s", (int)noun_size, cli_commands[i].name) &&
            (far = distance(asked, noun)) < least) {
            least = far;
            best = cli_commands[i].name;
            best_size = noun_size;
        }
    }
    if (best != NULL && least <= 1 + strlen(asked) / 4)
        cli_path(ret_text, size, "; did you mean \"%.*s\"?", (int)best_size, best);
    return ret_text;
}

static int unknown_command(struct cli *cli, const char *const *words, size_t count)
{
    char guess[160];
    for (size_t i = 0; i < cli_command_count; i++) {
        size_t noun = strcspn(cli_commands[i].name, " ");
        if (strlen(words[0]) == noun && memcmp(words[0], cli_commands[i].name, noun) == 0) {
            if (count == 1 || cli->help) {
                cli->help = true;
                cli->words[0] = words[0];
                cli->word_count = 1;
                if (cli_get(cli, "help") != NULL)
                    return 0;
                return cli_usage(cli, "%s what? See ifctl %s --help", words[0], words[0]);
            }
            return cli_usage(cli, "%s has no command \"%s\"%s See ifctl %s --help", words[0], words[1],
                             did_you_mean(words, count, guess, sizeof guess)[0] == '\0' ? "." : guess, words[0]);
        }
    }
    return cli_usage(cli, "no command \"%s\"%s See ifctl --help", words[0],
                     did_you_mean(words, count, guess, sizeof guess)[0] == '\0' ? "." : guess);
}

int cli_parse(struct cli *cli, int argc, char *const *argv)
{
    const char *name[2] = {NULL, NULL};
    size_t name_count = 0;
    bool rest = false;
    static char version_word[] = "version";
    char *version_argv[] = {argv[0], version_word};
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
        argv = version_argv;
    find_name(cli, argc, argv, name, &name_count);
    if (cli->command == NULL && name_count > 0 && argv[1] == name[0]) { /* its options can only be wrong as well */
        for (int i = 2; i < argc && !cli->help; i++)
            cli->help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        return cli->help && give(cli, ifab_view_str("help"), "") != 0 ? EXIT_USAGE : unknown_command(cli, name, name_count);
    }
    size_t skip = cli->command == NULL ? 0 : name_count;
    bool named = false;
    for (int i = 1; i < argc; i++) {
        if (!rest && strcmp(argv[i], "--") == 0) {
            rest = true;
        } else if (!rest && is_option(argv[i])) {
            int code = take_option(cli, named || skip == 0 ? cli->command : NULL, argc, argv, &i);
            if (code != 0)
                return code;
        } else if (skip > 0) {
            named = --skip == 0;
        } else if (cli->word_count < CLI_WORDS_MAX) {
            cli->words[cli->word_count++] = argv[i];
        } else {
            return cli_usage(cli, "too many words");
        }
    }
    cli->help = cli->help || cli_get(cli, "help") != NULL;
    if (cli->command == NULL) {
        if (name_count == 0) {
            cli->help = true;
            return cli_get(cli, "help") != NULL ? 0 : EXIT_USAGE;
        }
        return unknown_command(cli, name, name_count);
    }
    if (cli->help)
        return 0;
    size_t least = (size_t)cli->command->min_words, most = (size_t)cli->command->max_words;
    if (cli->word_count < least)
        return cli_usage(cli, "%s needs %s", cli->command->name, cli->command->words);
    if (cli->word_count > most && (cli->command->flags & CMD_REST) == 0)
        return cli_usage(cli, "%s does not take \"%s\"", cli->command->name, cli->words[most]);
    return 0;
}

bool cli_duration(const char *text, int64_t *ret_usec)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", IFAB_SECOND},    {"us", 1},          {"ms", 1000},     {"s", IFAB_SECOND},
                 {"min", IFAB_MINUTE}, {"m", IFAB_MINUTE}, {"h", IFAB_HOUR}, {"d", IFAB_DAY}};
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9' || strlen(text) > 12)
        return false;
    long long value = strtoll(text, &end, 10);
    for (size_t i = 0; i < IFAB_COUNT(units); i++) {
        if (strcmp(end, units[i].name) == 0 && value <= INT64_MAX / units[i].factor) {
            *ret_usec = value * units[i].factor;
            return true;
        }
    }
    return false;
}

int cli_time_option(struct cli *cli, const char *name, const char *value, char ret_text[25])
{
    int64_t usec, wall;
    if (cli_duration(value, &usec)) {
        ifab_time_format(ifab_wall_usec() + usec, ret_text);
        return 0;
    }
    if (ifab_time_parse(ifab_view_str(value), &wall) != IFAB_OK)
        return cli_usage(cli, "--%s is YYYY-MM-DDThh:mm:ssZ or how long, e.g. 24h; not \"%s\"", name, value);
    ifab_time_format(wall, ret_text);
    return 0;
}
