/* One tree, five forms: table (for people), json, ndjson, yaml, csv. Lists are {"items":[…]}; everything else is one record. */
#include "cli.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 16
#define CELL_MAX 60

struct column {
    struct ifab_view title;
    const char *path;
    size_t path_size, width;
};

static size_t parse_columns(const char *text, struct column *columns)
{
    size_t count = 0;
    while (text != NULL && *text != '\0' && count < COLUMNS_MAX) {
        size_t size = strcspn(text, "|"), colon = strcspn(text, ":");
        columns[count++] = (struct column){ifab_view_of(text, colon), text + colon + 1, size - colon - 1, colon};
        text += size + (text[size] == '|');
    }
    return count;
}

void cli_put_json(FILE *to, const struct ifab_json *value, int indent)
{
    char number[32];
    int next = indent < 0 ? -1 : indent + 2;
    size_t count = value->type == IFAB_JSON_ARRAY ? value->u.array.count : value->type == IFAB_JSON_OBJECT ? value->u.object.count : 0;
    switch (value->type) {
    case IFAB_JSON_NULL:
        fputs("null", to);
        return;
    case IFAB_JSON_FALSE:
        fputs("false", to);
        return;
    case IFAB_JSON_TRUE:
        fputs("true", to);
        return;
    case IFAB_JSON_NUMBER:
        fwrite(number, 1, ifab_json_format_double(value->u.number.value, number), to);
        return;
    case IFAB_JSON_STRING:
        cli_put_json_string(to, value->u.string);
        return;
    case IFAB_JSON_ARRAY:
    case IFAB_JSON_OBJECT:
        break;
    }
    bool object = value->type == IFAB_JSON_OBJECT;
    fputc(object ? '{' : '[', to);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputc(',', to);
        if (indent >= 0)
            fprintf(to, "\n%*s", next, "");
        if (object) {
            cli_put_json_string(to, value->u.object.members[i].name);
            fputs(indent >= 0 ? ": " : ":", to);
        }
        cli_put_json(to, object ? &value->u.object.members[i].value : &value->u.array.items[i], next);
    }
    if (indent >= 0 && count > 0)
        fprintf(to, "\n%*s", indent, "");
    fputc(object ? '}' : ']', to);
}

/* Block YAML; every text is quoted as in JSON, which YAML 1.2 reads as it is. */
static void put_yaml(FILE *to, const struct ifab_json *value, int indent, bool inside)
{
    bool object = value->type == IFAB_JSON_OBJECT;
    size_t count = object ? value->u.object.count : value->type == IFAB_JSON_ARRAY ? value->u.array.count : 0;
    if (count == 0) {
        cli_put_json(to, value, -1);
        fputc('\n', to);
        return;
    }
    if (inside)
        fputc('\n', to);
    for (size_t i = 0; i < count; i++) {
        const struct ifab_json *child = object ? &value->u.object.members[i].value : &value->u.array.items[i];
        bool nested =
            (child->type == IFAB_JSON_OBJECT && child->u.object.count > 0) || (child->type == IFAB_JSON_ARRAY && child->u.array.count > 0);
        fprintf(to, "%*s", indent, "");
        if (object)
            cli_put_json_string(to, value->u.object.members[i].name);
        fputs(object ? ":" : "-", to);
        if (!nested)
            fputc(' ', to);
        put_yaml(to, child, indent + 2, true);
    }
}

static const struct ifab_json *walk(const struct ifab_json *value, const char *path, size_t size)
{
    while (size > 0 && value != NULL) {
        char name[64];
        size_t part = 0;
        while (part < size && path[part] != '.')
            part++;
        if (part >= sizeof name)
            return NULL;
        memcpy(name, path, part);
        name[part] = '\0';
        value = ifab_json_get(value, name);
        path += part + (part < size);
        size -= part + (part < size);
    }
    return value;
}

static struct ifab_view in_arena(struct ifab_arena *arena, struct ifab_buf *buf)
{
    struct ifab_view copy = {NULL, 0};
    if (ifab_buf_status(buf) == IFAB_OK)
        (void)!ifab_arena_copy(arena, ifab_buf_as_view(buf), &copy);
    ifab_buf_fini(buf);
    return copy;
}

struct ifab_view cli_path_text(const struct ifab_json *value, const char *path, size_t path_size, struct ifab_arena *arena)
{
    bool counts = path_size > 0 && path[path_size - 1] == '#';
    struct ifab_buf buf = IFAB_BUF_INIT(1 << 20);
    struct ifab_view text;
    value = walk(value, path, path_size - (counts ? 1 : 0));
    if (value == NULL || value->type == IFAB_JSON_NULL)
        return IFAB_VIEW("-");
    if (ifab_json_string(value, &text))
        return text;
    if (counts && value->type == IFAB_JSON_ARRAY) {
        ifab_buf_u64(&buf, value->u.array.count);
        return in_arena(arena, &buf);
    }
    for (size_t i = 0; value->type == IFAB_JSON_ARRAY && i < value->u.array.count; i++) { /* a list of texts reads better joined */
        if (!ifab_json_string(&value->u.array.items[i], &text)) {
            ifab_buf_clear(&buf);
            break;
        }
        ifab_buf_str(&buf, i > 0 ? ", " : "");
        ifab_buf_view(&buf, text);
    }
    if (buf.size == 0)
        ifab_json_write(&buf, value);
    return in_arena(arena, &buf);
}

static size_t screen_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (columns != NULL && columns[0] >= '1' && columns[0] <= '9' && strlen(columns) < 5)
        return (size_t)strtoul(columns, NULL, 10);
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 0; /* not a screen: nothing is cut */
}

/* Cuts at a character so that it takes at most width columns, with a mark. */
static void put_cell(struct ifab_view text, size_t width, bool pad)
{
    size_t have = cli_text_width(text);
    if (width > 0 && have > width) {
        struct ifab_view cut = cli_text_fit(text, width - 1);
        cli_put_text(stdout, cut);
        fputs("…", stdout);
        have = cli_text_width(cut) + 1;
    } else {
        cli_put_text(stdout, text);
    }
    for (size_t i = have; pad && i < width; i++)
        fputc(' ', stdout);
}

static void put_table(const struct ifab_json *items, struct column *columns, size_t count, bool heading, struct ifab_arena *arena)
{
    size_t screen = screen_width(), used = 0;
    for (size_t c = 0; c < count; c++) {
        for (size_t i = 0; i < items->u.array.count; i++) {
            size_t width = cli_text_width(cli_path_text(&items->u.array.items[i], columns[c].path, columns[c].path_size, arena));
            if (width > columns[c].width)
                columns[c].width = width;
        }
        if (columns[c].width > CELL_MAX && c + 1 < count)
            columns[c].width = CELL_MAX;
        if (c + 1 == count && screen > used + 8 && columns[c].width > screen - used)
            columns[c].width = screen - used;
        used += columns[c].width + 2;
    }
    for (size_t c = 0; heading && c < count; c++) {
        put_cell(columns[c].title, columns[c].width, c + 1 < count);
        fputs(c + 1 < count ? "  " : "\n", stdout);
    }
    for (size_t i = 0; i < items->u.array.count; i++) {
        for (size_t c = 0; c < count; c++) {
            put_cell(cli_path_text(&items->u.array.items[i], columns[c].path, columns[c].path_size, arena), columns[c].width,
                     c + 1 < count);
            fputs(c + 1 < count ? "  " : "\n", stdout);
        }
    }
}

static void put_csv(const struct ifab_json *items, const struct column *columns, size_t count, bool heading, struct ifab_arena *arena)
{
    for (size_t c = 0; heading && c < count; c++) {
        cli_put_csv_cell(stdout, columns[c].title);
        fputs(c + 1 < count ? "," : "\r\n", stdout);
    }
    for (size_t i = 0; i < items->u.array.count; i++) {
        for (size_t c = 0; c < count; c++) {
            bool counts = columns[c].path_size > 0 && columns[c].path[columns[c].path_size - 1] == '#';
            const struct ifab_json *value = walk(&items->u.array.items[i], columns[c].path, columns[c].path_size - (counts ? 1 : 0));
            if (value != NULL && value->type != IFAB_JSON_NULL) /* what is not there is an empty cell, not a dash */
                cli_put_csv_cell(stdout, cli_path_text(&items->u.array.items[i], columns[c].path, columns[c].path_size, arena));
            fputs(c + 1 < count ? "," : "\r\n", stdout);
        }
    }
}

/* Of a receipt: for machines. A table says that they are there; -o json and receipt save give them. */
static bool for_machines(const struct ifab_json_member *m)
{
    bool note = ifab_view_is(m->name, "checkpoint") && m->value.type == IFAB_JSON_STRING;
    return note ||
           (ifab_view_is(m->name, "proof") && ifab_json_get(&m->value, "path") != NULL && ifab_json_get(&m->value, "entry") != NULL);
}

/* One record for people: a line a member, objects below it indented. */
static void put_record(const struct ifab_json *object, int indent, struct ifab_arena *arena)
{
    size_t width = 0;
    for (size_t i = 0; i < object->u.object.count; i++)
        if (cli_text_width(object->u.object.members[i].name) > width)
            width = cli_text_width(object->u.object.members[i].name);
    for (size_t i = 0; i < object->u.object.count; i++) {
        const struct ifab_json_member *m = &object->u.object.members[i];
        printf("%*s", indent, "");
        if (for_machines(m)) {
            put_cell(m->name, width, true);
            fputs("  (with -o json)\n", stdout);
            continue;
        }
        if (m->value.type == IFAB_JSON_OBJECT && m->value.u.object.count > 0) {
            put_cell(m->name, 0, false);
            fputc('\n', stdout);
            put_record(&m->value, indent + 2, arena);
            continue;
        }
        put_cell(m->name, width, true);
        fputs("  ", stdout);
        put_cell(cli_path_text(&m->value, "", 0, arena), 0, false);
        fputc('\n', stdout);
    }
}

void cli_print_tree(const struct cli *cli, const struct ifab_json *tree, const char *columns)
{
    struct column parsed[COLUMNS_MAX];
    size_t count = parse_columns(columns, parsed);
    struct ifab_arena arena;
    ifab_arena_init(&arena, 64 << 20);
    const struct ifab_json *items = ifab_json_get(tree, "items"), *next = ifab_json_get(tree, "next");
    bool list = items != NULL && items->type == IFAB_JSON_ARRAY;
    struct ifab_json one = {.type = IFAB_JSON_ARRAY}, self = *tree;
    one.u.array.items = &self;
    one.u.array.count = 1;
    switch (cli->format) {
    case CLI_JSON:
        cli_put_json(stdout, tree, 0);
        fputc('\n', stdout);
        break;
    case CLI_NDJSON:
        for (size_t i = 0; i < (list ? items->u.array.count : 1); i++) {
            cli_put_json(stdout, list ? &items->u.array.items[i] : tree, -1);
            fputc('\n', stdout);
        }
        break;
    case CLI_YAML:
        if (cli->goes_on)
            fputs("---\n", stdout);
        put_yaml(stdout, tree, 0, false);
        break;
    case CLI_CSV:
        put_csv(list ? items : &one, parsed, count, !cli->goes_on, &arena);
        break;
    case CLI_TABLE:
        if ((list || cli->rows) && count > 0)
            put_table(list ? items : &one, parsed, count, !cli->goes_on, &arena);
        else if (tree->type == IFAB_JSON_OBJECT)
            put_record(tree, 0, &arena);
        else
            cli_put_json(stdout, tree, 0), fputc('\n', stdout);
        break;
    }
    struct ifab_view cursor;
    bool pages = cli->command != NULL && cli_command_takes(cli->command, IFAB_VIEW("cursor"));
    if (list && pages && !cli->all && ifab_json_string(next, &cursor) && cli->format != CLI_JSON && cli->format != CLI_YAML)
        cli_say(cli, "more: --cursor " IFAB_FMT, IFAB_ARG(cursor));
    ifab_arena_fini(&arena);
}

int cli_print(const struct cli *cli, struct ifab_view json, const char *columns)
{
    struct ifab_arena arena;
    struct ifab_error err = {0};
    const struct ifab_json *tree;
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_RESPONSE_MAX};
    ifab_arena_init(&arena, (size_t)256 << 20);
    ifab_status status = ifab_json_read(json, &limits, &arena, &tree, &err);
    if (status == IFAB_OK)
        cli_print_tree(cli, tree, columns);
    ifab_arena_fini(&arena);
    return status == IFAB_OK ? 0 : cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer is not JSON: %s", err.text);
}
