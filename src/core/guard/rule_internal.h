#ifndef GUARD_RULE_INTERNAL_H
#define GUARD_RULE_INTERNAL_H
/* What the files of the rule set share. Nothing outside src/core/guard sees it. */
#include "base/mem.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

enum field_type { FIELD_STRING, FIELD_NUMBER, FIELD_FLAG, FIELD_ANY /* scope.PATH, data.PATH: typed by how it is written */ };
enum field_id {
    FIELD_PERFORMATIVE,
    FIELD_SENDER,
    FIELD_INSTANCE,
    FIELD_ROLE,
    FIELD_OWNER,
    FIELD_RECEIVER,
    FIELD_RECEIVER_COUNT,
    FIELD_TOPIC,
    FIELD_CLAIM,
    FIELD_CLAIM_ID,
    FIELD_IS_CLAIM,
    FIELD_CONFIDENCE,
    FIELD_CONFIDENCE_RAW,
    FIELD_HAZARDS,
    FIELD_EVIDENCE_COUNT,
    FIELD_EVIDENCE_TYPE,
    FIELD_EVIDENCE_URL,
    FIELD_EVIDENCE_DOMAIN,
    FIELD_DOMAIN_UNIQUE,
    FIELD_TTL,
    FIELD_SIZE,
    FIELD_PARENT_PERFORMATIVE,
    FIELD_PARENT_HAZARDS,
    FIELD_SCOPE,
    FIELD_DATA,
    FIELD_CAPABILITY,
    FIELD_VERSION,
    FIELD_OPERATION,
    FIELD_EFFECT,
    FIELD_COST_USD,
    FIELD_COST_TOKENS,
    FIELD_COST_CALLS,
    FIELD_PARAM,
};
enum field_words { WORDS_ANY, WORDS_PERFORMATIVE, WORDS_ROLE, WORDS_NAME, WORDS_RECEIVER, WORDS_DIGEST, WORDS_DOMAIN, WORDS_CAPABILITY, WORDS_EFFECT };
enum { ABOUT_MESSAGES = 1, ABOUT_CAPABILITIES = 2 }; /* bits: which lists of rules may ask for a field */
struct rule_field {
    const char *name;
    enum field_id id;
    enum field_type type;
    enum field_words words; /* what its value can be at all */
    unsigned about;
};
const struct rule_field *ifab_rule__field(struct ifab_view name, struct ifab_view *ret_path); /* NULL: none; path: what follows scope. or data. */
const char *ifab_rule__nearest_field(struct ifab_view name, unsigned about);                    /* NULL: none is near */
/* What a value of this field never is; NULL: it can be this text. meant: a word nearby, or NULL. */
const char *ifab_rule__unfit(const struct rule_field *field, struct ifab_view text, const char **ret_meant);

enum rule_operator {
    OPERATOR_IS,
    OPERATOR_NOT,
    OPERATOR_ABOVE,
    OPERATOR_AT_LEAST,
    OPERATOR_BELOW,
    OPERATOR_AT_MOST,
    OPERATOR_STARTS_WITH,
    OPERATOR_ENDS_WITH,
    OPERATOR_CONTAINS,
    OPERATOR_EXISTS,
};
enum operand { OPERAND_LITERALS, OPERAND_NUMBER, OPERAND_STRINGS, OPERAND_FLAG };
struct rule_operator_row {
    const char *name;
    enum rule_operator op;
    enum operand operand;
};
const struct rule_operator_row *ifab_rule__operator(struct ifab_view name);
const char *ifab_rule__nearest_operator(struct ifab_view name);
const char *ifab_rule__operator_name(enum rule_operator op);

struct rule_value { /* a scalar of the message or of a rule */
    enum { VALUE_STRING, VALUE_NUMBER, VALUE_TRUE, VALUE_FALSE, VALUE_NULL } type;
    struct ifab_view string;
    double number;
};
bool ifab_rule__equal(const struct rule_value *a, const struct rule_value *b);
uint64_t ifab_rule__hash(const struct rule_value *value, uint64_t seed);

struct rule_test {
    const struct rule_field *field;
    struct ifab_view path; /* within scope or data: names joined by '.' */
    enum rule_operator op;
    struct rule_value *literals;
    size_t literal_count;
    bool wanted; /* of exists */
};
enum condition_kind { CONDITION_ALL, CONDITION_ANY, CONDITION_NOT, CONDITION_TEST };
struct rule_condition {
    enum condition_kind kind;
    struct rule_condition **parts; /* NOT: one */
    size_t part_count;
    unsigned depth; /* of all, any and not in the normal form; a test: 0 */
    struct rule_test test;
};
struct rule {
    const char *id, *reason;
    enum ifab_rule_effect effect;
    uint32_t votes;
    unsigned hazards;                  /* of a derived hazard */
    const struct ifab_view *hazard_names;
    size_t hazard_count;
    struct rule_condition *when;
};

/* One field of which rules ask for exact values, and the rules that do: only those can match. */
struct rule_key {
    const struct rule_field *field;
    struct ifab_view path;
    const uint32_t *rules; /* all under this key, ascending */
    size_t rule_count;
};
struct rule_slot {
    uint64_t hash; /* of (key, literal); 0: free */
    uint32_t first, count; /* in postings */
};
struct rule_index {
    struct rule_key *keys;
    size_t key_count;
    struct rule_slot *slots;
    size_t slot_count; /* a power of two, or 0 */
    uint32_t *postings;
    uint32_t *others; /* rules under no key, ascending */
    size_t other_count;
};

struct ifab_ruleset {
    struct ifab_arena arena; /* everything lives here */
    struct rule *hazards, *rules, *capabilities; /* hazards in their order, the others by id */
    size_t hazard_count, rule_count, capability_count;
    bool denies; /* some rule does */
    struct rule_index index;
    struct ifab_view canonical, why;
};

IFAB_MUST_CHECK ifab_status ifab_rule__index(struct ifab_ruleset *set, struct ifab_error *err);
bool ifab_rule__canonical(struct ifab_ruleset *set, size_t max); /* fills set->canonical; false: larger than max, or out of memory */
uint64_t ifab_rule__literal_hash(size_t key, const struct rule_value *value); /* never 0 */

/* The values of a field of one message. opaque: something stands there that no literal can equal and no bound can measure. */
struct rule_values {
    struct rule_value items[IFAB_RULE_VALUES_MAX];
    size_t count;
    bool present, opaque;
};
struct rule_context {
    const struct ifab_rule_subject *subject;
    /* The last field that a test asked for: neighbours often ask for the same. NULL: none. */
    const struct rule_field *asked_field;
    struct ifab_view asked_path;
    struct ifab_view derived[8]; /* names of derived hazards */
    size_t derived_count;
    uint64_t work;
    struct rule_values asked, key; /* of a test; of an index key */
};
/* For a context: its values are written before they are read, and clearing them would cost more than a rule does. */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define IFAB_RULE__RAW __attribute__((uninitialized))
#endif
#endif
#ifndef IFAB_RULE__RAW
#define IFAB_RULE__RAW
#endif
void ifab_rule__values(const struct rule_context *context, const struct rule_field *field, struct ifab_view path, struct rule_values *ret_values);
#endif
