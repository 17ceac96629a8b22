/* Build step: the tables as JSON, for the generator of man pages. */
#include "cli.h"

static void put(const char *name, const char *value, const char *end)
{
    struct ifab_buf text = IFAB_BUF_INIT(65536);
    ifab_json_put_cstr(&text, name);
    ifab_buf_char(&text, ':');
    ifab_json_put_cstr(&text, value == NULL ? "" : value);
    ifab_buf_str(&text, end);
    fwrite(text.data, 1, text.size, stdout);
    ifab_buf_fini(&text);
}

static void put_options(const char *name, const struct cli_option *table, size_t count)
{
    printf("\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        const char letter[2] = {table[i].letter, 0};
        fputs(i > 0 ? ",{" : "{", stdout);
        put("name", table[i].name, ",");
        put("letter", letter, ",");
        put("value", table[i].value, ",");
        put("help", table[i].help, "}");
    }
    fputs("],\n", stdout);
}

int main(void)
{
    fputs("{", stdout);
    put_options("globals", cli_globals, cli_global_count);
    put_options("options", cli_options, cli_option_count);
    fputs("\"commands\":[", stdout);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        fputs(i > 0 ? ",\n{" : "\n{", stdout);
        put("name", c->name, ",");
        put("group", c->group, ",");
        put("roles", c->roles, ",");
        put("words", c->words, ",");
        put("options", c->options, ",");
        put("why", (c->flags & CMD_WHY) != 0 ? "yes" : "", ",");
        put("later", (c->flags & CMD_LATER) != 0 ? "yes" : "", ",");
        put("summary", c->summary, "}");
    }
    fputs("]}\n", stdout);
    return fflush(stdout) != 0;
}
