/*
 * rules.yaml: in this version `v: 1` and an empty list of rules; the guard's built-in steps always apply. Anything else is refused, and
 * a refused file means every message is DENY (INV-06), so reading is all or nothing.
 */
#include "settings.h"

#include "base/mem.h"
#include "crypto/crypto.h"

static ifab_status rules_parse(struct ifab_view text, const char *path, uint8_t ret_digest32[32], struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 4 << 20);
    struct ifab_yaml yaml;
    IFAB_TRY(ifab_yaml_read(text, &arena, &yaml, err));
    const struct ifab_json *version = ifab_json_get(yaml.root, "v");
    const struct ifab_json *rules = ifab_json_get(yaml.root, "rules");
    struct ifab_view v;
    if (yaml.root->type != IFAB_JSON_OBJECT || version == NULL || rules == NULL)
        return ifab_fail(err, IFAB_INVALID, "%s: expected `v: 1` and `rules: []`", path);
    if (!ifab_json_string(version, &v) || !ifab_view_is(v, "1"))
        return ifab_fail(err, IFAB_UNSUPPORTED, "%s line %u: version of the rule set is not 1", path,
                         ifab_yaml_position(&yaml, version).line);
    if (rules->type != IFAB_JSON_ARRAY)
        return ifab_fail(err, IFAB_INVALID, "%s line %u: rules: expected a list", path, ifab_yaml_position(&yaml, rules).line);
    for (size_t i = 0; i < yaml.root->u.object.count; i++) {
        const struct ifab_json_member *m = &yaml.root->u.object.members[i];
        if (!ifab_view_is(m->name, "v") && !ifab_view_is(m->name, "rules"))
            return ifab_fail(err, IFAB_INVALID, "%s line %u: unknown name \"" IFAB_FMT "\"; only v and rules stand here", path,
                             ifab_yaml_position(&yaml, &m->value).line, IFAB_ARG(m->name));
    }
    if (rules->u.array.count > 0)
        return ifab_fail(err, IFAB_UNSUPPORTED, "%s line %u: operator rules come in a later version: leave `rules: []`", path,
                         ifab_yaml_position(&yaml, &rules->u.array.items[0]).line);
    /* the canonical form of the only document that passes */
    ifab_sha256(IFAB_VIEW("{\"rules\":[],\"v\":1}"), ret_digest32);
    return IFAB_OK;
}

ifab_status ifab_rules_load(const char *path, uint8_t ret_digest32[32], struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
    IFAB_TRY(ifab_config__slurp(path, &text, err));
    return rules_parse(ifab_buf_as_view(&text), path, ret_digest32, err);
}
