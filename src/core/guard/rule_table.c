/* Fields and operators of the rule language: a new one is a row here and a line in docs/formats/rules.md. */
#include "rule_internal.h"

#include "base/id.h"
#include "base/map.h"
#include "base/nearest.h"

static const struct rule_field fields[] = {
    {"performative", FIELD_PERFORMATIVE, FIELD_STRING, WORDS_PERFORMATIVE, ABOUT_MESSAGES},
    {"sender", FIELD_SENDER, FIELD_STRING, WORDS_NAME, ABOUT_MESSAGES | ABOUT_CAPABILITIES},
    {"sender.instance", FIELD_INSTANCE, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"sender.role", FIELD_ROLE, FIELD_STRING, WORDS_ROLE, ABOUT_MESSAGES | ABOUT_CAPABILITIES},
    {"sender.owner", FIELD_OWNER, FIELD_STRING, WORDS_NAME, ABOUT_MESSAGES | ABOUT_CAPABILITIES},
    {"receiver", FIELD_RECEIVER, FIELD_STRING, WORDS_RECEIVER, ABOUT_MESSAGES},
    {"receiver.count", FIELD_RECEIVER_COUNT, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"topic_hash", FIELD_TOPIC, FIELD_STRING, WORDS_DIGEST, ABOUT_MESSAGES},
    {"claim", FIELD_CLAIM, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"claim_id", FIELD_CLAIM_ID, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"is_claim", FIELD_IS_CLAIM, FIELD_FLAG, WORDS_ANY, ABOUT_MESSAGES},
    {"confidence", FIELD_CONFIDENCE, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"confidence.raw", FIELD_CONFIDENCE_RAW, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"hazards", FIELD_HAZARDS, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"evidence.count", FIELD_EVIDENCE_COUNT, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"evidence.type", FIELD_EVIDENCE_TYPE, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"evidence.url", FIELD_EVIDENCE_URL, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"evidence.domain", FIELD_EVIDENCE_DOMAIN, FIELD_STRING, WORDS_DOMAIN, ABOUT_MESSAGES},
    {"source_diversity.domain_unique", FIELD_DOMAIN_UNIQUE, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"ttl_s", FIELD_TTL, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"size", FIELD_SIZE, FIELD_NUMBER, WORDS_ANY, ABOUT_MESSAGES},
    {"parent.performative", FIELD_PARENT_PERFORMATIVE, FIELD_STRING, WORDS_PERFORMATIVE, ABOUT_MESSAGES},
    {"parent.hazards", FIELD_PARENT_HAZARDS, FIELD_STRING, WORDS_ANY, ABOUT_MESSAGES},
    {"scope.", FIELD_SCOPE, FIELD_ANY, WORDS_ANY, ABOUT_MESSAGES},
    {"data.", FIELD_DATA, FIELD_ANY, WORDS_ANY, ABOUT_MESSAGES},
    {"capability", FIELD_CAPABILITY, FIELD_STRING, WORDS_CAPABILITY, ABOUT_CAPABILITIES},
    {"version", FIELD_VERSION, FIELD_STRING, WORDS_ANY, ABOUT_CAPABILITIES},
    {"operation", FIELD_OPERATION, FIELD_STRING, WORDS_NAME, ABOUT_CAPABILITIES},
    {"effect", FIELD_EFFECT, FIELD_STRING, WORDS_EFFECT, ABOUT_CAPABILITIES},
    {"cost.usd_micro", FIELD_COST_USD, FIELD_NUMBER, WORDS_ANY, ABOUT_CAPABILITIES},
    {"cost.tokens", FIELD_COST_TOKENS, FIELD_NUMBER, WORDS_ANY, ABOUT_CAPABILITIES},
    {"cost.calls", FIELD_COST_CALLS, FIELD_NUMBER, WORDS_ANY, ABOUT_CAPABILITIES},
    {"param.", FIELD_PARAM, FIELD_ANY, WORDS_ANY, ABOUT_CAPABILITIES},
};
static const struct rule_operator_row operators[] = {
    {"is", OPERATOR_IS, OPERAND_LITERALS},
    {"not", OPERATOR_NOT, OPERAND_LITERALS},
    {"above", OPERATOR_ABOVE, OPERAND_NUMBER},
    {"at_least", OPERATOR_AT_LEAST, OPERAND_NUMBER},
    {"below", OPERATOR_BELOW, OPERAND_NUMBER},
    {"at_most", OPERATOR_AT_MOST, OPERAND_NUMBER},
    {"starts_with", OPERATOR_STARTS_WITH, OPERAND_STRINGS},
    {"ends_with", OPERATOR_ENDS_WITH, OPERAND_STRINGS},
    {"contains", OPERATOR_CONTAINS, OPERAND_STRINGS},
    {"exists", OPERATOR_EXISTS, OPERAND_FLAG},
};

const struct rule_field *ifab_rule__field(struct ifab_view name, struct ifab_view *ret_path)
{
    *ret_path = (struct ifab_view){NULL, 0};
    for (size_t i = 0; i < IFAB_COUNT(fields); i++) {
        struct ifab_view row = ifab_view_str(fields[i].name);
        if (fields[i].type != FIELD_ANY && ifab_view_equal(name, row))
            return &fields[i];
        if (fields[i].type == FIELD_ANY && name.size > row.size && ifab_view_starts(name, row)) {
            *ret_path = ifab_view_of(name.data + row.size, name.size - row.size);
            return &fields[i];
        }
    }
    return NULL;
}

const struct rule_operator_row *ifab_rule__operator(struct ifab_view name)
{
    for (size_t i = 0; i < IFAB_COUNT(operators); i++)
        if (ifab_view_is(name, operators[i].name))
            return &operators[i];
    return NULL;
}

const char *ifab_rule__operator_name(enum rule_operator op)
{
    size_t i = 0;
    while (i + 1 < IFAB_COUNT(operators) && operators[i].op != op)
        i++;
    return operators[i].name;
}

/* At most two edits, and fewer than half of the letters. */
static bool nearer(struct ifab_view name, const char *candidate, size_t *least)
{
    size_t far = ifab_edit_distance(name, ifab_view_str(candidate));
    if (far >= *least || far > 2 || far * 2 >= name.size)
        return false;
    *least = far;
    return true;
}

const char *ifab_rule__nearest_field(struct ifab_view name, unsigned about)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < IFAB_COUNT(fields); i++)
        if ((fields[i].about & about) != 0 && nearer(name, fields[i].name, &least))
            best = fields[i].name;
    return best;
}

const char *ifab_rule__nearest_operator(struct ifab_view name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < IFAB_COUNT(operators); i++)
        if (nearer(name, operators[i].name, &least))
            best = operators[i].name;
    return best;
}

/* ---- values that a field can have ---- */

static const char *one_of(struct ifab_view text, const char *const *words, size_t count, const char *otherwise, const char **ret_meant)
{
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (ifab_view_is(text, words[i]))
            return NULL;
        if (nearer(text, words[i], &least))
            *ret_meant = words[i];
    }
    return otherwise;
}

static bool is_digest(struct ifab_view text)
{
    bool good = text.size == 71 && ifab_view_starts(text, IFAB_VIEW("sha256:"));
    for (size_t i = 7; good && i < text.size; i++)
        good = (text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f');
    return good;
}

/* Upper case, a scheme, a path, a port, blanks: no registrable domain has them. */
static bool is_domain(struct ifab_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || (text.data[i] >= 'A' && text.data[i] <= 'Z') || text.data[i] == '/' || text.data[i] == ':' || text.data[i] == '*')
            return false;
    return text.size > 0 && text.data[0] != '.';
}

/* [a-z0-9]+([.-][a-z0-9]+)* */
static bool is_capability(struct ifab_view text)
{
    bool mark = true; /* as if one stood before it */
    for (size_t i = 0; i < text.size; i++) {
        bool now = text.data[i] == '.' || text.data[i] == '-';
        if ((now && mark) || (!now && !((text.data[i] >= 'a' && text.data[i] <= 'z') || (text.data[i] >= '0' && text.data[i] <= '9'))))
            return false;
        mark = now;
    }
    return !mark;
}

const char *ifab_rule__unfit(const struct rule_field *field, struct ifab_view text, const char **ret_meant)
{
    static const char *const performatives[] = {"inform", "request", "agree", "refuse", "query-if", "query-ref", "propose",
                                                "accept-proposal", "reject-proposal", "contradict", "escalate", "share", "hold"};
    static const char *const effects[] = {"read", "write", "physical", "payment"};
    static const char *const roles[] = {"agent", "readonly", "auditor", "operator", "admin"};
    *ret_meant = NULL;
    switch (field->words) {
    case WORDS_ANY: return NULL;
    case WORDS_PERFORMATIVE: return one_of(text, performatives, IFAB_COUNT(performatives), " is no performative", ret_meant);
    case WORDS_ROLE: return one_of(text, roles, IFAB_COUNT(roles), " is no role: agent, readonly, auditor, operator, admin", ret_meant);
    case WORDS_NAME: return ifab_name_valid(text) ? NULL : " is no name of a talent or an owner; it stands without if://agent/";
    case WORDS_RECEIVER: return ifab_view_starts(text, IFAB_VIEW("if://agent/")) ? " is no receiver: an agent is written as its name alone" : NULL;
    case WORDS_DIGEST: return is_digest(text) ? NULL : " is no digest: sha256: and 64 lower-case hex digits";
    case WORDS_DOMAIN: return is_domain(text) ? NULL : " is no registrable domain: lower case, as example.com, without scheme, port or path";
    case WORDS_CAPABILITY: return is_capability(text) ? NULL : " is no capability: it stands as vmix.switcher, without if://capability/ and without its version";
    case WORDS_EFFECT: return one_of(text, effects, IFAB_COUNT(effects), " is no effect: read, write, physical, payment", ret_meant);
    }
    return NULL;
}

const char *ifab_rule_effect_name(enum ifab_rule_effect effect)
{
    static const char *const names[] = {"none", "pass", "hold", "escalate", "deny"};
    return (size_t)effect < IFAB_COUNT(names) ? names[effect] : "deny";
}

bool ifab_rule__equal(const struct rule_value *a, const struct rule_value *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == VALUE_STRING)
        return ifab_view_equal(a->string, b->string);
    return a->type != VALUE_NUMBER || a->number == b->number;
}

uint64_t ifab_rule__hash(const struct rule_value *value, uint64_t seed)
{
    uint8_t bytes[8];
    if (value->type == VALUE_STRING)
        return ifab_hash64(value->string, seed);
    memcpy(bytes, &value->number, 8);
    return ifab_hash64(ifab_view_of(bytes, value->type == VALUE_NUMBER ? 8 : 0), seed + 1 + (uint64_t)value->type);
}
