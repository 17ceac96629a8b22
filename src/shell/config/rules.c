/*
 * rules.yaml: YAML (or JSON, which is YAML enough) into the guard's rule set; the guard says what is wrong, here it gets line and column. A refused file
 * means that every message is DENY at a start, and that the old set stays at a reload (INV-06), so reading is all or nothing.
 */
#include "settings.h"

#include "base/mem.h"
#include "crypto/crypto.h"

#define RULES_FILE_MAX ((size_t)8 << 20)

static bool is_plain(const struct ifab_json *node, const void *user)
{
    return !ifab_yaml_position(user, node).quoted;
}

static ifab_status say_where(const struct ifab_yaml *yaml, const char *path, const struct ifab_json *where, ifab_status status,
                             const struct ifab_error *cause, struct ifab_error *err)
{
    if (where == NULL)
        return ifab_fail(err, status, "%s: %s", path, cause->text);
    struct ifab_yaml_mark mark = ifab_yaml_position(yaml, where);
    if (err != NULL && err->status == IFAB_OK)
        err->line = mark.line;
    return ifab_fail(err, status, "%s line %u, column %u: %s", path, mark.line, mark.column, cause->text);
}

ifab_status ifab_rules_parse(struct ifab_view text, const char *path, struct ifab_ruleset **ret_set, uint8_t ret_digest32[32], struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_error cause = {0};
    struct ifab_yaml yaml;
    const struct ifab_json *where = NULL;
    ifab_arena_init(&arena, (size_t)256 << 20);
    ifab_status status = ifab_yaml_read(text, &arena, &yaml, &cause);
    if (status != IFAB_OK)
        return say_where(NULL, path, NULL, status, &cause, err);
    const struct ifab_rule_source source = {yaml.root, is_plain, &yaml};
    struct ifab_ruleset *set;
    status = ifab_ruleset_compile(&source, &set, &where, &cause);
    if (status != IFAB_OK)
        return say_where(&yaml, path, where, status, &cause, err);
    ifab_sha256(ifab_ruleset_canonical(set), ret_digest32);
    *ret_set = set;
    return IFAB_OK;
}

ifab_status ifab_rules_read(const char *path, struct ifab_ruleset **ret_set, uint8_t ret_digest32[32], struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(RULES_FILE_MAX);
    IFAB_TRY(ifab_config__slurp(path, &text, err));
    return ifab_rules_parse(ifab_buf_as_view(&text), path, ret_set, ret_digest32, err);
}

ifab_status ifab_rules_load(const char *path, uint8_t ret_digest32[32], struct ifab_error *err)
{
    struct ifab_ruleset *set;
    IFAB_TRY(ifab_rules_read(path, &set, ret_digest32, err));
    ifab_ruleset_free(set);
    return IFAB_OK;
}
