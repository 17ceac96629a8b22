/* Parameters of a call: what the options of a command become under the schema of its operation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "call.h"

static struct cli cli;

static const char SCHEMA[] = "{\"type\":\"object\",\"properties\":{\"scene\":{\"type\":\"string\"},\"input\":{\"type\":\"integer\"},\"level\":{\"type\":\"number\"},"
                             "\"muted\":{\"type\":\"boolean\"},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
                             "\"ports\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"more\":{\"type\":\"object\"}}}";
static const char OPEN[] = "{\"type\":\"object\",\"additionalProperties\":true}";

/* "name=value|name|…" as the parser gives them; NULL: refused, and err says how. */
static const char *params_of(const char *schema_text, const char *line, char err[2048])
{
    static char text[8192], copy[1024];
    struct ifab_arena arena;
    const struct ifab_json *schema = NULL;
    struct ifab_buf json = IFAB_BUF_INIT(sizeof text - 1);
    int saved = dup(2);
    FILE *said = tmpfile();
    assert_non_null(said);
    memset(&cli, 0, sizeof cli);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].name, "capability apply") == 0)
            cli.command = &cli_commands[i];
    snprintf(copy, sizeof copy, "%s", line);
    for (char *at = copy, *word; (word = strsep(&at, "|")) != NULL;) {
        char *equals = strchr(word, '=');
        cli.given[cli.given_count].name = word;
        cli.given[cli.given_count].name_size = equals == NULL ? strlen(word) : (size_t)(equals - word);
        cli.given[cli.given_count++].value = equals == NULL ? "" : equals + 1;
    }
    ifab_arena_init(&arena, 1 << 20);
    if (schema_text != NULL)
        assert_int_equal(ifab_json_read(ifab_view_str(schema_text), NULL, &arena, &schema, NULL), IFAB_OK);
    fflush(stderr);
    assert_true(dup2(fileno(said), 2) == 2);
    int code = call_params(&cli, "vmix.switcher cut", schema, &json);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(said);
    err[fread(err, 1, 2047, said)] = '\0';
    fclose(said);
    assert_true(code == 0 || code == EXIT_USAGE);
    assert_true((code == 0) == (err[0] == '\0'));
    snprintf(text, sizeof text, "%.*s", (int)json.size, (const char *)json.data);
    ifab_buf_fini(&json);
    ifab_arena_fini(&arena);
    return code == 0 ? text : NULL;
}

static void values_are_typed_by_their_schema(void **state)
{
    (void)state;
    static const struct {
        const char *line, *json; /* NULL: refused */
    } cases[] = {
        {"scene=Intro", "{\"scene\":\"Intro\"}"},
        {"scene=3", "{\"scene\":\"3\"}"}, /* a string as it stands */
        {"scene=", "{\"scene\":\"\"}"},
        {"scene=a\"b\\", "{\"scene\":\"a\\\"b\\\\\"}"},
        {"input=3", "{\"input\":3}"},
        {"input=-3", "{\"input\":-3}"},
        {"input=3.5", NULL},
        {"input=three", NULL},
        {"input=", NULL},
        {"input=\"3\"", NULL},
        {"input=9007199254740993", NULL},
        {"input=-0", NULL},
        {"input=1,\"x\":2", NULL}, /* no second member through a value */
        {"level=1.5", "{\"level\":1.5}"},
        {"level=NaN", NULL},
        {"muted", "{\"muted\":true}"},
        {"muted=false", "{\"muted\":false}"},
        {"muted=no", NULL},
        {"tags=a|tags=b", "{\"tags\":[\"a\",\"b\"]}"},
        {"tags=[\"a\"]", "{\"tags\":[\"a\"]}"},
        {"tags=[a]", NULL},
        {"ports=1|ports=2", "{\"ports\":[1,2]}"},
        {"ports=1|ports=x", NULL},
        {"more={\"k\":[1]}", "{\"more\":{\"k\":[1]}}"},
        {"more=[1]", NULL},
        {"more={\"k\":1,\"k\":2}", NULL}, /* doubled names */
        {"scene=a|scene=b", NULL},
        {"p=scene=a=b", "{\"scene\":\"a=b\"}"},
        {"param=input=4|scene=x", "{\"input\":4,\"scene\":\"x\"}"},
        {"p=scene", NULL},
        {"p==x", NULL},
        {"scene=a|p=scene=b", NULL},
        {"why=w|output=json|operation=cut|wait=3s|scene=x", "{\"scene\":\"x\"}"}, /* options are none */
        {"scene=\xff", NULL},
    };
    char err[2048];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *json = params_of(SCHEMA, cases[i].line, err);
        if ((json == NULL) != (cases[i].json == NULL) || (json != NULL && strcmp(json, cases[i].json) != 0))
            fail_msg("%s: %s (%s)", cases[i].line, json == NULL ? "refused" : json, err);
    }
}

static void an_unknown_name_is_told_its_neighbour(void **state)
{
    (void)state;
    char err[2048];
    assert_null(params_of(SCHEMA, "scnee=Intro", err));
    assert_non_null(strstr(err, "vmix.switcher cut has no parameter \"scnee\"; did you mean \"scene\"? It takes: "));
    assert_null(params_of(SCHEMA, "Scene=Intro", err)); /* names are compared as they are */
    assert_null(params_of(SCHEMA, "completely-else=1", err));
    assert_non_null(strstr(err, "has no parameter \"completely-else\". It takes: "));
    assert_null(params_of(NULL, "scene=Intro", err));
    assert_non_null(strstr(err, "It takes: none"));
    assert_string_equal(params_of(NULL, "why=w", err), "{}");
    assert_string_equal(params_of(OPEN, "anything=1", err), "{\"anything\":\"1\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_typed_by_their_schema),
        cmocka_unit_test(an_unknown_name_is_told_its_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
