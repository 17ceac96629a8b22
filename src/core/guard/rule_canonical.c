/* A compiled set as canonical JSON (RFC 8785): the normal form of its conditions, rules by id. Compiled again it gives the same bytes. */
#include "rule_internal.h"

static void put_value(struct ifab_buf *b, const struct rule_value *value)
{
    switch (value->type) {
    case VALUE_STRING: ifab_json_put_string(b, value->string); return;
    case VALUE_NUMBER: ifab_json_put_number(b, value->number); return;
    case VALUE_TRUE: ifab_buf_str(b, "true"); return;
    case VALUE_FALSE: ifab_buf_str(b, "false"); return;
    case VALUE_NULL: ifab_buf_str(b, "null"); return;
    }
}

static void put_test(struct ifab_buf *b, const struct rule_test *test)
{
    struct ifab_buf name = IFAB_BUF_INIT(1024);
    ifab_buf_str(&name, test->field->name);
    ifab_buf_view(&name, test->path);
    if (ifab_buf_status(&name) != IFAB_OK)
        b->failed = ifab_buf_status(&name);
    ifab_buf_char(b, '{');
    ifab_json_put_string(b, ifab_buf_as_view(&name));
    ifab_buf_fini(&name);
    ifab_buf_str(b, ":{");
    ifab_json_put_cstr(b, ifab_rule__operator_name(test->op));
    ifab_buf_char(b, ':');
    if (test->op == OPERATOR_EXISTS)
        ifab_buf_str(b, test->wanted ? "true" : "false");
    else if (test->literal_count == 1)
        put_value(b, &test->literals[0]);
    for (size_t i = 0; test->literal_count > 1 && i < test->literal_count; i++) {
        ifab_buf_char(b, i == 0 ? '[' : ',');
        put_value(b, &test->literals[i]);
    }
    ifab_buf_str(b, test->literal_count > 1 ? "]}}" : "}}");
}

static void put_condition(struct ifab_buf *b, const struct rule_condition *c)
{
    if (c->kind == CONDITION_TEST) {
        put_test(b, &c->test);
        return;
    }
    if (c->kind == CONDITION_ALL && c->part_count == 0) {
        ifab_buf_str(b, "{}");
        return;
    }
    ifab_buf_str(b, c->kind == CONDITION_ALL ? "{\"all\":[" : c->kind == CONDITION_ANY ? "{\"any\":[" : "{\"not\":");
    for (size_t i = 0; i < c->part_count; i++) {
        if (i > 0)
            ifab_buf_char(b, ',');
        put_condition(b, c->parts[i]);
    }
    ifab_buf_str(b, c->kind == CONDITION_NOT ? "}" : "]}");
}

static void put_tail(struct ifab_buf *b, const struct rule *rule)
{
    ifab_buf_str(b, ",\"reason\":");
    ifab_json_put_cstr(b, rule->reason);
    if (rule->votes > 0)
        ifab_buf_format(b, ",\"votes\":%u", rule->votes);
    ifab_buf_str(b, ",\"when\":");
    put_condition(b, rule->when);
    ifab_buf_char(b, '}');
}

static void put_hazard(struct ifab_buf *b, const struct rule *rule)
{
    ifab_buf_str(b, "{\"hazard\":[");
    for (size_t i = 0; i < rule->hazard_count; i++) {
        if (i > 0)
            ifab_buf_char(b, ',');
        ifab_json_put_string(b, rule->hazard_names[i]);
    }
    ifab_buf_str(b, "],\"id\":");
    ifab_json_put_cstr(b, rule->id);
    put_tail(b, rule);
}

static void put_rule(struct ifab_buf *b, const struct rule *rule, const char *effect)
{
    ifab_buf_str(b, "{\"effect\":");
    ifab_json_put_cstr(b, effect);
    ifab_buf_str(b, ",\"id\":");
    ifab_json_put_cstr(b, rule->id);
    put_tail(b, rule);
}

bool ifab_rule__canonical(struct ifab_ruleset *set, size_t max)
{
    struct ifab_buf b = IFAB_BUF_INIT(max);
    ifab_buf_char(&b, '{');
    for (size_t i = 0; i < set->capability_count; i++) {
        const struct rule *rule = &set->capabilities[i];
        ifab_buf_str(&b, i == 0 ? "\"capabilities\":[" : ",");
        put_rule(&b, rule, rule->effect == IFAB_RULE_PASS ? "share" : ifab_rule_effect_name(rule->effect));
    }
    ifab_buf_str(&b, set->capability_count > 0 ? "]," : "");
    for (size_t i = 0; i < set->hazard_count; i++) {
        ifab_buf_str(&b, i == 0 ? "\"hazards\":[" : ",");
        put_hazard(&b, &set->hazards[i]);
    }
    ifab_buf_str(&b, set->hazard_count > 0 ? "],\"rules\":[" : "\"rules\":[");
    for (size_t i = 0; i < set->rule_count; i++) {
        if (i > 0)
            ifab_buf_char(&b, ',');
        put_rule(&b, &set->rules[i], ifab_rule_effect_name(set->rules[i].effect));
    }
    ifab_buf_str(&b, "],\"v\":1");
    if (set->why.size > 0) {
        ifab_buf_str(&b, ",\"why\":");
        ifab_json_put_string(&b, set->why);
    }
    ifab_buf_char(&b, '}');
    bool good = ifab_buf_status(&b) == IFAB_OK && ifab_arena_copy(&set->arena, ifab_buf_as_view(&b), &set->canonical) == IFAB_OK;
    ifab_buf_fini(&b);
    return good;
}
