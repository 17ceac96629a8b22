/*
 * ifd.yaml → struct ifab_config. Nested and dotted names are the same name; a name given twice is refused whatever its spelling.
 * All or nothing: *ret_config is written only when everything fits, so a reload with a mistake changes nothing.
 */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/nearest.h"

#define NAME_MAX_BYTES 128
#define ROWS_MAX 64

struct load { /* one parse */
    const struct ifab_yaml *yaml;
    struct ifab_config *config;
    struct ifab_error *err;
    uint32_t seen[ROWS_MAX]; /* line where a row was set; 0: not yet */
};

static uint32_t line_of(const struct load *load, const struct ifab_json *node)
{
    return ifab_yaml_position(load->yaml, node).line;
}

__attribute__((format(__printf__, 3, 4))) static ifab_status bad(const struct load *load, const struct ifab_json *node, const char *format,
                                                                 ...)
{
    char text[280];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    uint32_t line = line_of(load, node);
    if (load->err != NULL && load->err->status == IFAB_OK)
        load->err->line = line;
    return ifab_fail(load->err, IFAB_INVALID, "ifd.yaml line %u: %s", line, text);
}

static const char *nearest(struct ifab_view name)
{
    const char *best = NULL;
    size_t least = name.size / 3 + 2; /* further away it would only confuse */
    for (size_t i = 0; i < ifab_setting__row_count; i++) {
        const char *candidate = ifab_setting__rows[i].info.name;
        const char *dot = strrchr(candidate, '.');
        size_t d = ifab_edit_distance(name, ifab_view_str(candidate));
        size_t tail = dot == NULL ? SIZE_MAX : ifab_edit_distance(name, ifab_view_str(dot + 1));
        if (tail < SIZE_MAX && tail + 1 < d) /* "listen" without its "http." */
            d = tail + 1;
        if (d < least) {
            least = d;
            best = candidate;
        }
    }
    return best;
}

static bool prefix_of_a_row(struct ifab_view name)
{
    for (size_t i = 0; i < ifab_setting__row_count + ifab_setting__alias_count; i++) {
        const char *row =
            i < ifab_setting__row_count ? ifab_setting__rows[i].info.name : ifab_setting__aliases[i - ifab_setting__row_count].alias;
        if (strlen(row) > name.size && row[name.size] == '.' && memcmp(row, name.data, name.size) == 0)
            return true;
    }
    return false;
}

static ifab_status set_uids(struct load *load, const struct ifab_json *node)
{
    if (node->type != IFAB_JSON_OBJECT)
        return bad(load, node, "access.uids: expected a mapping, e.g. {\"1001\": Finance.Agent}");
    for (size_t i = 0; i < node->u.object.count; i++) {
        const struct ifab_json_member *m = &node->u.object.members[i];
        struct ifab_view talent;
        int64_t uid;
        if (ifab_units__count(m->name, &uid) != IFAB_OK || uid > UINT32_MAX - 1)
            return bad(load, &m->value, "access.uids: \"" IFAB_FMT "\" is not a uid", IFAB_ARG(m->name));
        if (!ifab_json_string(&m->value, &talent) || !ifab_name_valid(talent))
            return bad(load, &m->value, "access.uids: uid %lld: expected the name of a talent", (long long)uid);
        if (load->config->uid_count >= IFAB_CONFIG_UIDS_MAX)
            return bad(load, &m->value, "access.uids: more than %d rows", IFAB_CONFIG_UIDS_MAX);
        struct ifab_config_uid *row = &load->config->uids[load->config->uid_count++];
        row->uid = (uint32_t)uid;
        memcpy(row->talent, talent.data, talent.size);
        row->talent[talent.size] = '\0';
    }
    return IFAB_OK;
}

static ifab_status set_roles(struct load *load, const struct ifab_json *node)
{
    static const char *const built_in[] = {"agent", "readonly", "auditor", "operator", "admin"};
    if (node->type != IFAB_JSON_OBJECT)
        return bad(load, node, "roles: expected a mapping, e.g. {analyst: agent}");
    for (size_t i = 0; i < node->u.object.count; i++) {
        const struct ifab_json_member *m = &node->u.object.members[i];
        struct ifab_view target;
        size_t known = 0;
        if (!ifab_name_valid(m->name))
            return bad(load, &m->value, "roles: a role name is [A-Za-z0-9][A-Za-z0-9._-]{0,63}");
        for (size_t k = 0; k < IFAB_COUNT(built_in); k++) {
            if (ifab_view_is(m->name, built_in[k]))
                return bad(load, &m->value, "roles: %s is built in and cannot be changed", built_in[k]);
            known += ifab_json_string(&m->value, &target) && ifab_view_is(target, built_in[k]);
        }
        if (known == 0)
            return bad(load, &m->value, "roles: " IFAB_FMT ": expected agent, readonly, auditor, operator or admin", IFAB_ARG(m->name));
        size_t at = load->config->role_count;
        if (at >= IFAB_COUNT(load->config->role_names))
            return bad(load, &m->value, "roles: more than 16 rows");
        memcpy(load->config->role_names[at], m->name.data, m->name.size);
        memcpy(load->config->role_targets[at], target.data, target.size);
        load->config->role_count++;
    }
    return IFAB_OK;
}

static ifab_status set_list(struct load *load, const struct ifab_setting *row, const struct ifab_json *node)
{
    const char *why = "";
    *(size_t *)(void *)((char *)load->config + row->where_count) = 0; /* the default goes */
    struct ifab_view text;
    bool one = ifab_json_string(node, &text);
    if (!one && node->type != IFAB_JSON_ARRAY)
        return bad(load, node, "%s: expected a list", row->info.name);
    for (size_t i = 0; i < (one ? 1 : node->u.array.count); i++) {
        const struct ifab_json *item = one ? node : &node->u.array.items[i];
        if (!ifab_json_string(item, &text))
            return bad(load, item, "%s: expected a list of texts", row->info.name);
        if (ifab_setting__set(row, text, load->config, &why) != IFAB_OK)
            return bad(load, item, "%s: \"" IFAB_FMT "\": %s", row->info.name, IFAB_ARG(text), why);
    }
    return IFAB_OK;
}

static ifab_status set_row(struct load *load, size_t i, const struct ifab_json *node)
{
    const struct ifab_setting *row = &ifab_setting__rows[i];
    if (load->seen[i] != 0)
        return bad(load, node, "%s is given twice, first in line %u", row->info.name, load->seen[i]);
    load->seen[i] = line_of(load, node) == 0 ? 1 : line_of(load, node);
    if (row->kind == IFAB_SETTING_UIDS)
        return set_uids(load, node);
    if (row->kind == IFAB_SETTING_ROLES)
        return set_roles(load, node);
    if (row->kind == IFAB_SETTING_TEXTS || row->kind == IFAB_SETTING_PATHS)
        return set_list(load, row, node);
    struct ifab_view text;
    const char *why = "";
    if (!ifab_json_string(node, &text))
        return bad(load, node, "%s: expected a single value", row->info.name);
    if (ifab_setting__set(row, text, load->config, &why) != IFAB_OK)
        return bad(load, node, "%s: \"" IFAB_FMT "\": %s (%s, default %s)", row->info.name, text.size > 64 ? 64 : (int)text.size,
                   (const char *)text.data, why, row->info.range, row->info.default_text);
    return IFAB_OK;
}

/* store.url and the seeds' witness_db_url: sqlite only, and it names the directory. */
static ifab_status set_store_url(struct load *load, const char *alias, const struct ifab_json *node)
{
    struct ifab_view url;
    if (!ifab_json_string(node, &url) || !ifab_view_starts(url, IFAB_VIEW("sqlite:")))
        return bad(load, node, "%s: expected sqlite:DIRECTORY (other stores come in a later version)", alias);
    struct ifab_json path = *node;
    size_t skip = ifab_view_starts(url, IFAB_VIEW("sqlite://")) ? 9 : 7;
    path.u.string = ifab_view_of(url.data + skip, url.size - skip);
    if (path.u.string.size >= 3 && memcmp(path.u.string.data + path.u.string.size - 3, ".db", 3) == 0)
        return bad(load, node, "%s: name the directory; the file in it is main.db", alias);
    for (size_t i = 0; i < ifab_setting__row_count; i++)
        if (strcmp(ifab_setting__rows[i].info.name, "data.dir") == 0)
            return set_row(load, i, &path);
    return IFAB_OK;
}

/* The seeds' names of back-ends. */
static ifab_status set_vault_backend(struct load *load, const char *alias, const struct ifab_json *node)
{
    static const struct {
        const char *old, *now;
    } names[] = {{"file", "file"}, {"vault", "kv2"}, {"aws-secrets-manager", "aws"}};
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(node, &text);
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        struct ifab_json value = *node;
        if (!ifab_view_is(text, names[i].old))
            continue;
        value.u.string = ifab_view_str(names[i].now);
        for (size_t row = 0; row < ifab_setting__row_count; row++)
            if (strcmp(ifab_setting__rows[row].info.name, "vault.backend") == 0)
                return set_row(load, row, &value);
    }
    return bad(load, node, "%s: expected file, vault or aws-secrets-manager", alias);
}

static ifab_status set_name(struct load *load, struct ifab_view name, const struct ifab_json *node, bool *ret_known)
{
    *ret_known = true;
    for (size_t i = 0; i < ifab_setting__row_count; i++)
        if (ifab_view_is(name, ifab_setting__rows[i].info.name))
            return set_row(load, i, node);
    for (size_t i = 0; i < ifab_setting__alias_count; i++) {
        const struct ifab_setting_alias *a = &ifab_setting__aliases[i];
        if (!ifab_view_is(name, a->alias))
            continue;
        if (a->part != NULL)
            return bad(load, node, "%s belongs to %s, which comes in a later version: remove it", a->alias, a->part);
        return strcmp(a->name, "vault.backend") == 0 ? set_vault_backend(load, a->alias, node) : set_store_url(load, a->alias, node);
    }
    *ret_known = false;
    return IFAB_OK;
}

static ifab_status walk(struct load *load, const struct ifab_json *object, const char *prefix, unsigned depth)
{
    for (size_t i = 0; i < object->u.object.count; i++) {
        const struct ifab_json_member *m = &object->u.object.members[i];
        char full[NAME_MAX_BYTES + 1];
        int size = snprintf(full, sizeof full, "%s%s" IFAB_FMT, prefix, *prefix == '\0' ? "" : ".", IFAB_ARG(m->name));
        if (size < 0 || (size_t)size >= sizeof full || memchr(m->name.data, 0, m->name.size) != NULL)
            return bad(load, &m->value, "unknown setting (its name is too long)");
        if (m->value.type == IFAB_JSON_OBJECT && depth < 4 && prefix_of_a_row(ifab_view_str(full))) {
            IFAB_TRY(walk(load, &m->value, full, depth + 1)); /* before the rows: `log` is one, and `log.level` stands below it */
            continue;
        }
        bool known;
        IFAB_TRY(set_name(load, ifab_view_str(full), &m->value, &known));
        if (known)
            continue;
        const char *near = nearest(ifab_view_str(full));
        if (near != NULL)
            return bad(load, &m->value, "unknown setting \"%s\"; did you mean \"%s\"?", full, near);
        return bad(load, &m->value, "unknown setting \"%s\"; `ifctl config schema` lists them all", full);
    }
    return IFAB_OK;
}

static ifab_status defaults(struct ifab_config *config, struct ifab_error *err)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < ifab_setting__row_count; i++) {
        const struct ifab_setting *row = &ifab_setting__rows[i];
        const char *why = "";
        if (row->info.default_text[0] == '[' || row->info.default_text[0] == '{')
            continue; /* lists and mappings: empty, but for the hosts below */
        if (ifab_setting__set(row, ifab_view_str(row->info.default_text), config, &why) != IFAB_OK)
            return ifab_fail(err, IFAB_INVALID, "%s: default \"%s\": %s", row->info.name, row->info.default_text, why);
    }
    for (size_t i = 0; i < IFAB_COUNT(hosts); i++)
        memcpy(config->http_hosts[config->http_host_count++], hosts[i], strlen(hosts[i]) + 1);
    return IFAB_OK;
}

static ifab_status parse_into(struct ifab_view text, const char *directory, struct ifab_config *config, struct ifab_error *err)
{
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/')
        size--;
    if (size == 0 || size >= sizeof config->directory)
        return ifab_fail(err, IFAB_INVALID, "directory name empty or too long");
    memcpy(config->directory, directory, size);
    IFAB_TRY(defaults(config, err));
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 16 << 20);
    struct ifab_yaml yaml;
    IFAB_TRY(ifab_yaml_read(text, &arena, &yaml, err));
    struct load load = {.yaml = &yaml, .config = config, .err = err};
    if (yaml.root->type != IFAB_JSON_OBJECT)
        return bad(&load, yaml.root, "expected a mapping of settings");
    IFAB_TRY(walk(&load, yaml.root, "", 0));
    return ifab_config__together(config, err);
}

ifab_status ifab_config_parse(struct ifab_view text, const char *directory, struct ifab_config *ret_config, struct ifab_error *err)
{
    _Static_assert(ROWS_MAX >= 40, "load.seen has room for every row");
    if (ifab_setting__row_count > ROWS_MAX)
        return ifab_fail(err, IFAB_INTERNAL, "more settings than ROWS_MAX");
    struct ifab_config *config = ifab_calloc(1, sizeof *config); /* 100 KiB: not on the stack */
    if (config == NULL)
        return ifab_fail(err, IFAB_NOMEM, "configuration");
    ifab_status status = parse_into(text, directory, config, err);
    if (status == IFAB_OK)
        *ret_config = *config;
    ifab_free(config);
    return status;
}

ifab_status ifab_config__slurp(const char *path, struct ifab_buf *buf, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return ifab_fail(err, errno == ENOENT ? IFAB_NOT_FOUND : IFAB_DENIED, "%s: %s", path, strerror(errno));
    ifab_status status = IFAB_OK;
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        status = ifab_fail(err, IFAB_INVALID, "%s: not a regular file", path);
    while (status == IFAB_OK) {
        uint8_t chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
        else
            ifab_buf_put(buf, chunk, (size_t)n);
        if (status == IFAB_OK && ifab_buf_status(buf) != IFAB_OK)
            status = ifab_fail(err, ifab_buf_status(buf), "%s: larger than %zu MiB", path, buf->limit >> 20);
    }
    close(fd);
    return status;
}

/* IFAB_HTTP_LISTEN and so on: scalars only. Environment > file > default; no setting is a secret. */
static ifab_status environment(struct ifab_config *config, struct ifab_error *err)
{
    for (size_t i = 0; i < ifab_setting__row_count; i++) {
        const struct ifab_setting *row = &ifab_setting__rows[i];
        char variable[NAME_MAX_BYTES + 8];
        snprintf(variable, sizeof variable, "IFAB_%s", row->info.name);
        for (char *c = variable + 5; *c != '\0'; c++)
            *c = *c == '.' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        bool scalar = row->info.default_text[0] != '[' && row->info.default_text[0] != '{';
        const char *value = scalar ? getenv(variable) : NULL;
        const char *why = "";
        if (value != NULL && ifab_setting__set(row, ifab_view_str(value), config, &why) != IFAB_OK)
            return ifab_fail(err, IFAB_INVALID, "environment %s: %s (%s)", variable, why, row->info.range);
    }
    return IFAB_OK;
}

ifab_status ifab_config_load(const char *path, struct ifab_config *ret_config, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
    char directory[1024];
    if (path[0] == '/') {
        snprintf(directory, sizeof directory, "%s", "");
    } else if (getcwd(directory, sizeof directory) == NULL) { /* what comes out is absolute: it outlives a chdir */
        return ifab_fail(err, IFAB_INVALID, "working directory: %s", strerror(errno));
    }
    const char *slash = strrchr(path, '/');
    size_t used = strlen(directory), more = slash == NULL ? 0 : (size_t)(slash - path);
    if (used + more + 2 > sizeof directory)
        return ifab_fail(err, IFAB_INVALID, "%s: path too long", path);
    if (more > 0 && path[0] != '/')
        directory[used++] = '/';
    memcpy(directory + used, path, more);
    directory[used + more] = '\0';
    if (directory[0] == '\0')
        snprintf(directory, sizeof directory, "/");
    IFAB_TRY(ifab_config__slurp(path, &text, err));
    struct ifab_config *config = ifab_calloc(1, sizeof *config);
    if (config == NULL)
        return ifab_fail(err, IFAB_NOMEM, "configuration");
    ifab_status status = ifab_config_parse(ifab_buf_as_view(&text), directory, config, err);
    if (status == IFAB_OK)
        status = environment(config, err);
    if (status == IFAB_OK)
        status = ifab_config__together(config, err);
    if (status == IFAB_OK)
        *ret_config = *config;
    ifab_free(config);
    return status;
}
