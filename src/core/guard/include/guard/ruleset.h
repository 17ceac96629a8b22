#ifndef GUARD_RULESET_H
#define GUARD_RULESET_H
/*
 * The operator's rules: guard step 3, and the derived hazards of step 1. docs/formats/rules.md is the language. Pure.
 *
 * Typed: a field has one type and a literal of another is an error where it stands. Total: every rule gives an answer for every message, in bounded
 * work. No loops, no functions, no clock. The first rule that matches, by id, answers; it can only make the decision stricter (guard.h).
 *
 * Three-valued: a value that cannot be compared as the rule asks (an object where a number was meant) is neither a match nor a miss. Of such a
 * rule the strict reading holds: hold, escalate, deny and a derived hazard apply, pass does not (INV-06).
 *
 * Immutable once compiled: any number of threads may evaluate one set.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "json/json.h"

#define IFAB_RULES_MAX 10000
#define IFAB_RULE_HAZARDS_MAX 1000   /* derived hazards of a set */
#define IFAB_RULE_CAPABILITIES_MAX 1000 /* rules of a set about what capabilities do */
#define IFAB_RULE_TESTS_MAX 64       /* of one rule */
#define IFAB_RULE_DEPTH_MAX 8        /* of all, any, not */
#define IFAB_RULE_LITERALS_MAX 256   /* of one test */
#define IFAB_RULE_ID_MAX 64
#define IFAB_RULE_REASON_MAX 128
#define IFAB_RULE_VOTES_MAX 16
#define IFAB_RULE_VALUES_MAX 64      /* values of one field of one message; more cannot be compared */
#define IFAB_RULE_LITERAL_MAX 256    /* bytes of one literal */
#define IFAB_RULE_WORK_MAX 200000   /* comparisons and steps of 64 bytes for one message; past it: builtin.rules-work, deny if any rule denies, else escalate */

enum ifab_rule_effect { IFAB_RULE_NONE = 0, IFAB_RULE_PASS, IFAB_RULE_HOLD, IFAB_RULE_ESCALATE, IFAB_RULE_DENY };
const char *ifab_rule_effect_name(enum ifab_rule_effect effect); /* "pass" "hold" "escalate" "deny"; "none" */

/* What rules may ask of one message. Everything borrowed; zeroed = nothing known. */
struct ifab_rule_evidence {
    struct ifab_view type, url, domain; /* size 0: absent */
};
struct ifab_rule_subject {
    struct ifab_view performative, sender, instance, role, owner, topic_hash;
    struct ifab_view claim, claim_id;                 /* data NULL: absent */
    const struct ifab_view *receivers;                /* NAME of an agent, else the URI */
    size_t receiver_count;
    const struct ifab_view *hazards;                  /* declared, as written */
    size_t hazard_count;
    const struct ifab_rule_evidence *evidence;
    size_t evidence_count;
    bool has_confidence, has_confidence_raw, has_domain_unique, is_claim;
    double confidence, confidence_raw, domain_unique;
    double ttl_s, size;                               /* seconds; bytes of the envelope */
    struct ifab_view parent_performative;             /* of the conversation's last message; data NULL: this one opens it */
    unsigned parent_hazards;                          /* bits, of all earlier messages of the conversation */
    const struct ifab_json *scope, *data;             /* objects, or NULL */
    /* what a capability is to do, for ifab_ruleset_capability() alone */
    struct ifab_view capability, version, operation, effect; /* "vmix.switcher", "1.1.0", "cut", "write" */
    const struct ifab_json *params;
    double cost_usd_micro, cost_tokens, cost_calls;
};

struct ifab_rule_answer {
    enum ifab_rule_effect effect; /* NONE: no rule matched */
    uint32_t votes;               /* of an escalation; 0: the configured number */
    unsigned hazards;             /* derived, bits of guard.h */
    char id[IFAB_RULE_ID_MAX + 1], reason[IFAB_RULE_REASON_MAX + 1];
};

struct ifab_rule_source {
    const struct ifab_json *root;
    /* Was this string written as a plain scalar (YAML), so that the schema types it? NULL: none was (JSON). */
    bool (*plain)(const struct ifab_json *node, const void *user);
    const void *user;
};

struct ifab_ruleset;
/*
 * @return IFAB_OK; IFAB_INVALID with *ret_where = the node that is wrong (the root when something is missing there) and err saying what and, where one is
 *         near, what was meant; IFAB_UNSUPPORTED: another version; IFAB_TOO_LARGE: above a bound; IFAB_NOMEM.
 */
IFAB_MUST_CHECK ifab_status ifab_ruleset_compile(const struct ifab_rule_source *source, struct ifab_ruleset **ret_set,
                                                 const struct ifab_json **ret_where, struct ifab_error *err);
void ifab_ruleset_free(struct ifab_ruleset *self);

size_t ifab_ruleset_count(const struct ifab_ruleset *self); /* about messages */
size_t ifab_ruleset_capabilities(const struct ifab_ruleset *self);
size_t ifab_ruleset_hazards(const struct ifab_ruleset *self); /* derived ones */
/* The set as canonical JSON, rules by id: itself a rule set that compiles to the same. Its SHA-256 is the policy digest. Borrowed from the set. */
struct ifab_view ifab_ruleset_canonical(const struct ifab_ruleset *self);
struct ifab_view ifab_ruleset_why(const struct ifab_ruleset *self); /* what the operator wrote under why, or size 0 */

/* Never fails. self NULL: no rules, answer NONE. */
void ifab_ruleset_evaluate(const struct ifab_ruleset *self, const struct ifab_rule_subject *subject, struct ifab_rule_answer *ret_answer);

/*
 * What the operator lets a capability do: the first of the set's `capabilities`, by id, that matches. NONE: no rule speaks of it, and nothing is
 * allowed then (INV-06); PASS is written `share` there. Asked of the subject: sender, role, owner and what stands at its end. Never fails.
 */
void ifab_ruleset_capability(const struct ifab_ruleset *self, const struct ifab_rule_subject *subject, struct ifab_rule_answer *ret_answer);

/* For explain: rule i in order of id, on its own. */
enum ifab_rule_match { IFAB_RULE_NO, IFAB_RULE_YES, IFAB_RULE_UNKNOWN };
struct ifab_rule_info {
    const char *id, *reason;
    enum ifab_rule_effect effect;
    uint32_t votes;
    unsigned hazards; /* derived by it: a row of hazards, not of rules */
};
bool ifab_ruleset_at(const struct ifab_ruleset *self, size_t i, struct ifab_rule_info *ret_info); /* derived hazards first, then rules; false: past the end */
enum ifab_rule_match ifab_ruleset_match(const struct ifab_ruleset *self, size_t i, const struct ifab_rule_subject *subject);
#endif
