/*
 * Facts in, one decision out: DESIGN section 5 Guard.
 *
 * 1. Every step is evaluated; the strictest answer wins, of equal ones the earlier gives reason and rule.
 * 2. A step either answers or has nothing against the message. Only the last one shares; if nobody answers, it is DENY (INV-06).
 * 3. Comparisons are written so that NaN fails them: `>= limit` lets pass, never `< limit` refuse alone.
 */
#include "guard/guard.h"
#include "guard/ruleset.h"

#include "base/mem.h"

#define LOW_CONFIDENCE 0.20
#define BORDERLINE 0.30
#define OVERRIDING (~(unsigned)IFAB_HAZARD_OTHER) /* also bits that nobody has defined yet */

struct input {
    const struct ifab_guard_rules *rules;
    const struct ifab_guard_facts *facts;
    bool step2_met;
};
/* true and *ret_answer: it has an answer. false: nothing against the message. */
typedef bool guard_step_fn(const struct input *in, struct ifab_guard_verdict *ret_answer);

static bool answer(struct ifab_guard_verdict *ret, enum ifab_decision decision, const char *reason, const char *rule)
{
    *ret = (struct ifab_guard_verdict){decision, reason, rule, 0};
    return true;
}

static bool step_no_rules(const struct input *in, struct ifab_guard_verdict *ret)
{
    if (in->rules != NULL && in->facts != NULL && in->rules->loaded)
        return false;
    return answer(ret, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
}

static bool step_secret(const struct input *in, struct ifab_guard_verdict *ret)
{
    if (!in->facts->secret_found)
        return false;
    return answer(ret, IFAB_DECISION_DENY, "secret in payload", "builtin.secret");
}

static bool step_hazards(const struct input *in, struct ifab_guard_verdict *ret)
{
    if (((in->facts->hazards | in->facts->ruled.hazards) & OVERRIDING) == 0)
        return false;
    return answer(ret, IFAB_DECISION_ESCALATE, "policy: hazard override", "builtin.hazard");
}

/* Step 2. A second source or a scope check makes it count as met; it cannot make a number out of what is none. */
static bool step_confidence(const struct input *in, struct ifab_guard_verdict *ret)
{
    const struct ifab_guard_facts *facts = in->facts;
    if (facts->has_confidence && !(facts->confidence >= 0 && facts->confidence <= 1))
        return answer(ret, IFAB_DECISION_ESCALATE, "low confidence", "builtin.low-confidence");
    if (in->step2_met)
        return false;
    if (facts->has_confidence && !(facts->confidence >= LOW_CONFIDENCE))
        return answer(ret, IFAB_DECISION_ESCALATE, "low confidence", "builtin.low-confidence");
    if (facts->has_confidence && !(facts->confidence >= BORDERLINE))
        return answer(ret, IFAB_DECISION_HOLD, "borderline; need second source/scope check", "builtin.borderline");
    if (facts->is_claim && !facts->has_confidence)
        return answer(ret, IFAB_DECISION_HOLD, "claim without confidence; need second source/scope check", "builtin.claim-incomplete");
    if (facts->is_claim && !facts->has_scope)
        return answer(ret, IFAB_DECISION_HOLD, "claim without scope; need second source/scope check", "builtin.claim-incomplete");
    return false;
}

/* Step 3: can only tighten. What a second source or a scope check answers, it answers for a rule's hold as well. */
static bool step_rules(const struct input *in, struct ifab_guard_verdict *ret)
{
    const struct ifab_guard_ruled *ruled = &in->facts->ruled;
    switch ((enum ifab_rule_effect)ruled->effect) {
    case IFAB_RULE_NONE:
    case IFAB_RULE_PASS: return false;
    case IFAB_RULE_HOLD: return !in->step2_met && answer(ret, IFAB_DECISION_HOLD, ruled->reason, ruled->id);
    case IFAB_RULE_ESCALATE:
        answer(ret, IFAB_DECISION_ESCALATE, ruled->reason, ruled->id);
        ret->votes = ruled->votes;
        return true;
    case IFAB_RULE_DENY: break;
    }
    return answer(ret, IFAB_DECISION_DENY, ruled->reason, ruled->id); /* also an effect that nobody has defined */
}

static bool step_share(const struct input *in, struct ifab_guard_verdict *ret)
{
    (void)in;
    return answer(ret, IFAB_DECISION_SHARE, "nothing against it", "builtin.default-share");
}

/* In the order of DESIGN; the first two make sure that there is something to judge by. */
static const struct {
    const char *name;
    guard_step_fn *answers;
} steps[] = {
    {"rule set", step_no_rules},
    {"secret", step_secret},
    {"hazards", step_hazards},       /* 1 */
    {"confidence", step_confidence}, /* 2 */
    {"rules", step_rules},           /* 3 */
    {"share", step_share},           /* 4 */
};

void ifab_guard_evaluate(const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts, bool step2_met,
                         struct ifab_guard_verdict *ret_verdict)
{
    const struct input in = {rules, facts, step2_met};
    struct ifab_guard_verdict strictest = {IFAB_DECISION_DENY, "no rules", "builtin.no-rules", 0};
    bool answered = false;
    for (size_t i = 0; i < IFAB_COUNT(steps); i++) {
        struct ifab_guard_verdict one;
        if (!steps[i].answers(&in, &one))
            continue;
        uint32_t votes = one.votes > strictest.votes ? one.votes : strictest.votes; /* whoever gives the reason: no fewer than a rule asks */
        if (!answered || one.decision < strictest.decision) /* DENY 0 < ESCALATE < HOLD < SHARE */
            strictest = one;
        strictest.votes = votes;
        answered = true;
        if (strictest.decision == IFAB_DECISION_DENY)
            break; /* nothing is stricter, and without facts nothing more may be asked */
    }
    *ret_verdict = strictest;
}

bool ifab_guard_step(size_t i, const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts, bool step2_met, const char **ret_name,
                     bool *ret_answers, struct ifab_guard_verdict *ret_verdict)
{
    const struct input in = {rules, facts, step2_met};
    struct ifab_guard_verdict none;
    if (i >= IFAB_COUNT(steps))
        return false;
    *ret_name = steps[i].name;
    *ret_answers = i == 0 || !step_no_rules(&in, &none) ? steps[i].answers(&in, ret_verdict) : false; /* without rules or facts nothing else may be asked */
    return true;
}

unsigned ifab_hazard_parse(struct ifab_view name)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {
        {"legal", IFAB_HAZARD_LEGAL},     {"safety", IFAB_HAZARD_SAFETY},   {"conflict>20%", IFAB_HAZARD_CONFLICT},
        {"ethical", IFAB_HAZARD_OTHER},   {"privacy", IFAB_HAZARD_OTHER},   {"financial", IFAB_HAZARD_OTHER},
        {"security", IFAB_HAZARD_OTHER},  {"technical", IFAB_HAZARD_OTHER},
    };
    for (size_t i = 0; i < IFAB_COUNT(known); i++)
        if (ifab_view_is(name, known[i].name))
            return known[i].bit;
    return IFAB_HAZARD_UNKNOWN;
}

void ifab_guard_rules_default(struct ifab_guard_rules *ret_rules)
{
    *ret_rules = (struct ifab_guard_rules){
        .hold_deadline = 15 * IFAB_MINUTE,
        .escalate_deadline = 24 * IFAB_HOUR,
        .votes_needed = 1,
        .hold_burst = 128,
        .hold_refill = IFAB_SECOND,
        .escalate_burst = 64,
        .escalate_refill = 10 * IFAB_SECOND,
        .open_max = 10000,
        .open_max_talent = 256,
    };
}
