/* The table of commands holds together: every row parses, helps and has its page; what is printed cannot move a cursor. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

static struct cli cli;

/* What fn writes, as text. */
static char *captured(void (*fn)(FILE *, const void *), const void *what)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    fn(to, what);
    fclose(to);
    return text;
}

/* Splits at spaces ('_' stands for an empty word) and parses, with stderr thrown away. */
static int parse(const char *line)
{
    static char copy[1024];
    char *argv[64] = {(char[]){"ifctl"}};
    int argc = 1, saved = dup(2);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *at = copy, *word; (word = strsep(&at, " ")) != NULL && argc < 63;)
        if (*word != '\0')
            argv[argc++] = strcmp(word, "_") == 0 ? (char *)(word + 1) : word;
    memset(&cli, 0, sizeof cli);
    assert_non_null(freopen("/dev/null", "w", stderr));
    int code = cli_parse(&cli, argc, argv);
    dup2(saved, 2);
    close(saved);
    return code;
}

static bool is_column(const char *roles)
{
    static const char *const columns[] = {"", "open", "operator admin", "auditor operator admin", "agent operator admin",
                                          "readonly auditor operator admin", "agent auditor operator admin",
                                          "agent readonly auditor operator admin"};
    bool found = false;
    for (size_t i = 0; i < IFAB_COUNT(columns); i++)
        found = found || strcmp(roles, columns[i]) == 0;
    return found;
}

static void every_row_is_whole(void **state)
{
    (void)state;
    assert_true(cli_command_count > 80);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        assert_true(strcmp(c->group, "start") == 0 || strcmp(c->group, "agents") == 0 || strcmp(c->group, "operate") == 0 ||
                    strcmp(c->group, "audit") == 0);
        assert_true(c->summary[0] != '\0' && c->min_words <= c->max_words);
        assert_true((c->run == NULL) == ((c->flags & CMD_LATER) != 0));
        assert_true(is_column(c->roles));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(c->name, cli_commands[k].name);
        const char *list = c->options;
        for (struct ifab_view word; cli_word_next(&list, &word);) {
            if (cli_option_find(cli_options, cli_option_count, word) == NULL)
                fail_msg("%s: option %.*s is not in the table", c->name, (int)word.size, (const char *)word.data);
            if (cli_option_find(cli_globals, cli_global_count, word) != NULL)
                fail_msg("%s: option %.*s is a global one", c->name, (int)word.size, (const char *)word.data);
        }
    }
    for (size_t i = 0; i < cli_option_count; i++) {
        bool used = false;
        for (size_t k = 0; k < cli_command_count; k++)
            used = used || cli_command_takes(&cli_commands[k], ifab_view_str(cli_options[i].name));
        if (!used)
            fail_msg("option %s belongs to no command", cli_options[i].name);
    }
}

static void every_row_has_its_page(void **state)
{
    (void)state;
    const char *docs = getenv("IFAB_DOCS");
    if (docs == NULL)
        docs = "docs/commands";
    for (size_t i = 0; i < cli_command_count; i++) {
        char name[64], path[1200];
        snprintf(name, sizeof name, "%s", cli_commands[i].name);
        for (char *c = name; *c != '\0'; c++)
            *c = *c == ' ' ? '-' : *c;
        snprintf(path, sizeof path, "%s/%s.md", docs, name);
        if (access(path, R_OK) != 0)
            fail_msg("%s is missing", path);
    }
}

static void put_help(FILE *to, const void *what)
{
    cli_help_command(what, to);
}

static void every_row_helps(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_command_count; i++) {
        char *text = captured(put_help, &cli_commands[i]), line[128];
        assert_non_null(strstr(text, cli_commands[i].summary));
        assert_non_null(strstr(text, cli_commands[i].name));
        assert_non_null(strstr(text, "--endpoint"));
        free(text);
        snprintf(line, sizeof line, "%s --help", cli_commands[i].name);
        assert_int_equal(parse(line), 0);
        assert_true(cli.help && cli.command == &cli_commands[i]);
    }
}

/* Every global flag on every command, before its name, inside it and behind it. */
static void every_global_flag_parses_on_every_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_command_count; i++) {
        char words[64] = "";
        for (int w = 0; w < cli_commands[i].min_words; w++)
            strncat(words, " x", sizeof words - strlen(words) - 1);
        for (size_t g = 0; g < cli_global_count; g++) {
            const struct cli_option *option = &cli_globals[g];
            bool value = option->value != NULL && option->value[0] != '[';
            char line[256];
            for (int form = 0; form < 3; form++) {
                if (form == 1)
                    snprintf(line, sizeof line, "%s --%s%s%s", cli_commands[i].name, option->name, value ? "=v" : "", words);
                if (form == 0)
                    snprintf(line, sizeof line, "%s%s --%s%s", cli_commands[i].name, words, option->name, value ? " v" : "");
                if (form == 2)
                    snprintf(line, sizeof line, "--%s%s %s%s", option->name, value ? " v" : "", cli_commands[i].name, words);
                if (parse(line) != 0)
                    fail_msg("ifctl %s", line);
                assert_ptr_equal(cli.command, &cli_commands[i]);
                assert_string_equal(cli_get(&cli, option->name), value ? "v" : "");
                assert_int_equal(cli.word_count, (size_t)cli_commands[i].min_words);
            }
        }
    }
}

static void seed_forms_parse(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "capability list",
        "capability apply vmix.switcher --scene Intro --why x --trace --mode=falsify",
        "talent add --name Finance.Agent --role analyst --why pass",
        "talent grant --name Finance.Agent --capability veritas:secrets --why scan",
        "message send --json @frame.json --trace",
        "witness query --trace-token 019a7782-7ae4-7cc7-a09b-d3061f2ba94a",
        "falsify --task x --mode=pre-commit",
        "worker run --swarm S --skills a,b -- make -j2 --why",
        "-o json talent list",
        "talent list -ojson",
        "json canon -",
        "message send --to A --to B --claim c --confidence 0.5 --hazard h --wait=30s",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (parse(forms[i]) != 0)
            fail_msg("ifctl %s", forms[i]);
    assert_string_equal(cli_get_nth(&cli, "to", 1), "B");
    assert_string_equal(cli_get(&cli, "wait"), "30s");
    assert_null(cli_get_nth(&cli, "to", 2));
}

static void mistakes_are_usage_errors(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "nothing",      "talent",           "talent ad",         "talent add --nme x",     "talent add --name",       "talent add a b",
        "explain",      "explain 1 2",      "message send --to", "decision approve",       "talent list --quiet=yes", "--to x message send",
        "witness show", "completion",       "-x",                "talent list -o",         "json check a b",          "config schema --all",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (parse(lines[i]) != EXIT_USAGE)
            fail_msg("ifctl %s", lines[i]);
}

static void too_many_options_are_refused(void **state)
{
    (void)state;
    char *argv[600] = {(char[]){"ifctl"}, (char[]){"version"}};
    static char quiet[] = "-q";
    for (int n = CLI_GIVEN_MAX; n <= CLI_GIVEN_MAX + 1; n++) {
        for (int i = 0; i < n; i++)
            argv[2 + i] = quiet;
        memset(&cli, 0, sizeof cli);
        int saved = dup(2);
        assert_non_null(freopen("/dev/null", "w", stderr));
        int code = cli_parse(&cli, 2 + n, argv);
        dup2(saved, 2);
        close(saved);
        assert_int_equal(code, n == CLI_GIVEN_MAX ? 0 : EXIT_USAGE);
    }
}

static void put_text(FILE *to, const void *what)
{
    cli_put_text(to, ifab_view_str(what));
}

static void put_json(FILE *to, const void *what)
{
    cli_put_json_string(to, ifab_view_str(what));
}

static void put_csv(FILE *to, const void *what)
{
    cli_put_csv_cell(to, ifab_view_str(what));
}

static void nothing_that_moves_a_cursor_is_printed(void **state)
{
    (void)state;
    static const struct {
        void (*fn)(FILE *, const void *);
        const char *in, *out;
    } cases[] = {
        {put_text, "plain caf\xc3\xa9 \xe6\x9d\xb1", "plain caf\xc3\xa9 \xe6\x9d\xb1"},
        {put_text, "\x1b[2J", "\\u{1b}[2J"},
        {put_text, "a\nb\tc\rd", "a\\u{a}b\\u{9}c\\u{d}d"},
        {put_text, "\x7f\xc2\x9b" "31m", "\\u{7f}\\u{9b}31m"},
        {put_text, "user\xe2\x80\xae" "gpj.exe", "user\\u{202e}gpj.exe"},
        {put_text, "a\xcd\x8f" "b\xe1\x9e\xb4" "c\xe1\xa0\x8b" "d\xef\xbf\xb0" "e\xf0\x9b\xb2\xa0" "f", "a\\u{34f}b\\u{17b4}c\\u{180b}d\\u{fff0}e\\u{1bca0}f"},
        {put_text, "\xe2\xa0\x80\xf0\x93\x90\xb0.", "\\u{2800}\\u{13430}."},
        {put_text, "a\xe2\x80\x8b" "b\xef\xbb\xbf", "a\\u{200b}b\\u{feff}"},
        {put_text, "\xe2\x81\xa6x\xf3\xa0\x80\x81", "\\u{2066}x\\u{e0001}"},
        {put_text, "\xff\xc3", "\\x{ff}\\x{c3}"},
        {put_text, "\xed\xa0\x80", "\\x{ed}\\x{a0}\\x{80}"},
        {put_json, "q\"\\\n\x1b\xe2\x80\xae\xf3\xa0\x80\x81", "\"q\\\"\\\\\\n\\u001b\\u202e\\udb40\\udc01\""},
        {put_json, "\xff", "\"\\ufffd\""},
        {put_csv, "=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""},
        {put_csv, "+1", "\"'+1\""},
        {put_csv, "-1", "\"'-1\""},
        {put_csv, "@x", "\"'@x\""},
        {put_csv, "a,b\nc", "\"a,b\\u{a}c\""},
        {put_csv, "", "\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = captured(cases[i].fn, cases[i].in);
        if (strcmp(text, cases[i].out) != 0)
            fail_msg("case %zu: %s", i, text);
        free(text);
    }
}

static void escaped_width_is_the_number_of_columns(void **state)
{
    (void)state;
    static const char *const texts[] = {"abc", "caf\xc3\xa9", "\x1b[0m", "\xe2\x80\xae", "\xff", "\xf3\xa0\x80\x81", "\x01", "\xc2\x9b", "e\xcc\x81"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *text = captured(put_text, texts[i]);
        size_t columns = 0;
        for (char *c = text; *c != '\0'; c++)
            columns += ((unsigned char)*c & 0xc0) != 0x80;
        assert_int_equal(cli_text_width(ifab_view_str(texts[i])), columns);
        free(text);
    }
}

static void json_that_is_printed_reads_back_the_same(void **state)
{
    (void)state;
    static const char in[] = "{\"a\":[1,2.5,null,true,\"\\u202e\\u001b\\ud83d\\ude80\"],\"b\":{}}";
    struct ifab_arena arena;
    const struct ifab_json *tree, *again;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(in), NULL, &arena, &tree, NULL), IFAB_OK);
    for (int indent = -1; indent <= 0; indent++) {
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);
        cli_put_json(to, tree, indent);
        fclose(to);
        struct ifab_buf a = IFAB_BUF_INIT(4096), b = IFAB_BUF_INIT(4096);
        assert_int_equal(ifab_json_read(ifab_view_of(text, size), NULL, &arena, &again, NULL), IFAB_OK);
        ifab_json_write(&a, tree);
        ifab_json_write(&b, again);
        assert_true(ifab_view_equal(ifab_buf_as_view(&a), ifab_buf_as_view(&b)));
        ifab_buf_fini(&a);
        ifab_buf_fini(&b);
        free(text);
    }
    ifab_arena_fini(&arena);
}

static void queries_are_percent_encoded(void **state)
{
    (void)state;
    struct ifab_buf target = IFAB_BUF_INIT(1024);
    ifab_buf_str(&target, "/v1/x");
    cli_put_segment(&target, "../a b");
    cli_put_query(&target, "q", "'; DROP TABLE witness; --");
    cli_put_query(&target, "none", NULL);
    cli_put_query(&target, "r", "a&b=c\r\n");
    ifab_buf_char(&target, '\0');
    assert_string_equal((char *)target.data, "/v1/x/..%2Fa%20b?q=%27%3B%20DROP%20TABLE%20witness%3B%20--&r=a%26b%3Dc%0D%0A");
    ifab_buf_fini(&target);
}

static void a_ttl_is_within_what_the_daemon_takes(void **state)
{
    (void)state;
    static const struct {
        const char *ttl, *least, *most, *seconds; /* NULL: refused */
    } cases[] = {{"60s", "1min", "24h", "60"}, {"59s", "1min", "24h", NULL}, {"24h", "1min", "24h", "86400"}, {"86401s", "1min", "24h", NULL},
                 {"25h", "1min", "24h", NULL}, {"1s", "1s", "1h", "1"},      {"0s", "1s", "1h", NULL},        {"1500ms", "1s", "1h", NULL},
                 {"1h", "1s", "1h", "3600"},   {"2h", "1s", "1h", NULL},     {"x", "1s", "1h", NULL},         {"", "1s", "1h", NULL}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        char line[80], seconds[32];
        int saved = dup(2);
        snprintf(line, sizeof line, "token create A --ttl=%s", cases[i].ttl);
        assert_int_equal(parse(line), 0);
        assert_non_null(freopen("/dev/null", "w", stderr));
        int code = cli_ttl_seconds(&cli, cases[i].least, cases[i].most, seconds);
        fflush(stderr);
        dup2(saved, 2);
        close(saved);
        assert_int_equal(code, cases[i].seconds == NULL ? EXIT_USAGE : 0);
        assert_string_equal(seconds, cases[i].seconds == NULL ? "" : cases[i].seconds);
    }
    char seconds[32] = "x";
    assert_int_equal(parse("token create A"), 0);
    assert_int_equal(cli_ttl_seconds(&cli, "1min", "24h", seconds), 0);
    assert_string_equal(seconds, "");
}

static void durations_are_whole_and_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t usec; /* -1: refused */
    } cases[] = {{"30s", 30 * IFAB_SECOND},
                 {"250ms", 250000},
                 {"5min", 5 * IFAB_MINUTE},
                 {"24h", 24 * IFAB_HOUR},
                 {"7", 7 * IFAB_SECOND},
                 {"0", 0},
                 {"", -1},
                 {"-1s", -1},
                 {"1.5s", -1},
                 {"s", -1},
                 {"1 s", -1},
                 {"999999999999", 999999999999 * IFAB_SECOND},
                 {"9999999999999", -1},
                 {"1s ", -1},
                 {"1w", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t usec = -1;
        if (!cli_duration(cases[i].text, &usec))
            usec = -1;
        assert_int_equal(usec, cases[i].usec);
    }
}

static void decisions_become_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(cli_decision_exit(IFAB_VIEW("SHARE")), 0);
    assert_int_equal(cli_decision_exit(IFAB_VIEW("HOLD")), 30);
    assert_int_equal(cli_decision_exit(IFAB_VIEW("ESCALATE")), 30);
    assert_int_equal(cli_decision_exit(IFAB_VIEW("DENY")), 31);
    assert_int_equal(cli_decision_exit(IFAB_VIEW("share")), 31); /* nothing unknown is a yes */
    assert_int_equal(cli_decision_exit(IFAB_VIEW("")), 31);
}

static void put_completion(FILE *to, const void *what)
{
    assert_int_equal(cli_complete(what, to), 0);
}

static void completions_name_every_command(void **state)
{
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t s = 0; s < 3; s++) {
        char *text = captured(put_completion, shells[s]);
        for (size_t i = 0; i < cli_command_count; i++) {
            const char *last = strrchr(cli_commands[i].name, ' ');
            assert_non_null(strstr(text, last == NULL ? cli_commands[i].name : last + 1));
        }
        free(text);
    }
    assert_int_equal(cli_complete("tcsh", stderr), EXIT_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(every_row_has_its_page),
        cmocka_unit_test(every_row_helps),
        cmocka_unit_test(every_global_flag_parses_on_every_command),
        cmocka_unit_test(seed_forms_parse),
        cmocka_unit_test(mistakes_are_usage_errors),
        cmocka_unit_test(too_many_options_are_refused),
        cmocka_unit_test(nothing_that_moves_a_cursor_is_printed),
        cmocka_unit_test(escaped_width_is_the_number_of_columns),
        cmocka_unit_test(json_that_is_printed_reads_back_the_same),
        cmocka_unit_test(queries_are_percent_encoded),
        cmocka_unit_test(a_ttl_is_within_what_the_daemon_takes),
        cmocka_unit_test(durations_are_whole_and_bounded),
        cmocka_unit_test(decisions_become_exit_codes),
        cmocka_unit_test(completions_name_every_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
