/* How a message would be decided now, and why: every step of the guard, every rule that matches. Reads only, like decide. */
#include "fabric_internal.h"

#include <string.h>

#define RULES_SHOWN 100 /* of those that match or cannot be compared */

static void put_verdict(struct ifab_buf *b, const struct ifab_guard_verdict *v)
{
    ifab_buf_str(b, "\"decision\":");
    ifab_json_put_cstr(b, ifab_decision_name(v->decision));
    ifab_buf_str(b, ",\"reason\":");
    ifab_json_put_cstr(b, v->reason);
    ifab_buf_str(b, ",\"rule\":");
    ifab_json_put_cstr(b, v->rule);
}

static void put_step(struct ifab_buf *b, const char *name, const struct ifab_guard_verdict *verdict) /* verdict: NULL if it has nothing to say */
{
    if (verdict != NULL) {
        put_verdict(b, verdict);
        ifab_buf_char(b, ',');
    } else {
        ifab_buf_str(b, "\"decision\":null,");
    }
    ifab_buf_str(b, "\"step\":");
    ifab_json_put_cstr(b, name);
    ifab_buf_char(b, '}');
}

/* voters: of a message that escalates, what is left of that once they are counted; else NULL. */
static void put_steps(const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts, const struct ifab_guard_verdict *voters,
                      struct ifab_buf *b)
{
    struct ifab_guard_verdict verdict;
    const char *name;
    bool answers;
    ifab_buf_str(b, ",\"steps\":[");
    for (size_t i = 0; ifab_guard_step(i, rules, facts, false, &name, &answers, &verdict); i++) {
        ifab_buf_str(b, i > 0 ? ",{" : "{");
        put_step(b, name, answers ? &verdict : NULL);
    }
    if (voters != NULL) {
        ifab_buf_str(b, ",{");
        put_step(b, "voters", voters->decision == IFAB_DECISION_DENY ? voters : NULL);
    }
    ifab_buf_char(b, ']');
}

static void put_rules(const struct ifab_ruleset *set, const struct ifab_rule_subject *subject, struct ifab_buf *b)
{
    static const char *const matches[] = {[IFAB_RULE_YES] = "yes", [IFAB_RULE_UNKNOWN] = "cannot be compared"};
    struct ifab_rule_info info;
    size_t shown = 0, asked = 0;
    ifab_buf_str(b, ",\"rules\":[");
    for (; set != NULL && ifab_ruleset_at(set, asked, &info); asked++) {
        enum ifab_rule_match match = ifab_ruleset_match(set, asked, subject);
        if (match == IFAB_RULE_NO || shown == RULES_SHOWN)
            continue;
        ifab_buf_str(b, shown++ > 0 ? ",{\"effect\":" : "{\"effect\":");
        ifab_json_put_cstr(b, info.hazards != 0 ? "hazard" : ifab_rule_effect_name(info.effect));
        ifab_buf_str(b, ",\"id\":");
        ifab_json_put_cstr(b, info.id);
        ifab_buf_str(b, ",\"match\":");
        ifab_json_put_cstr(b, matches[match]);
        ifab_buf_str(b, ",\"reason\":");
        ifab_json_put_cstr(b, info.reason);
        ifab_buf_char(b, '}');
    }
    ifab_buf_format(b, "],\"rules_asked\":%zu", asked);
}

/* The place in its conversation that the message would take. One that may not be said there is refused before it is judged: it learns nothing of it. */
static struct ifab_conversation place(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_talent *sender, ifab_usec wall)
{
    struct ifab_conversation next = {0}; /* written on success only */
    struct ifab_refusal unused = {0};
    (void)ifab_conversations_check(self->conversations, envelope, sender->number, NULL, 0, wall, 0, &next, &unused);
    return next;
}

enum ifab_code ifab_fabric_explain(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_guard_facts *given,
                                   ifab_usec wall, struct ifab_buf *b, struct ifab_refusal *refusal)
{
    const struct ifab_guard_rules *rules = &self->settings.rules;
    const struct ifab_talent *sender = ifab_talents_find(self->talents, envelope->sender_name);
    struct ifab_fabric__asked asked;
    struct ifab_open_decision open = {.facts = *given}; /* that the send would make; its voters are not shown */
    struct ifab_guard_facts *facts = &open.facts;
    struct ifab_guard_verdict verdict, voters;
    uint64_t plan;
    if (sender == NULL)
        return ifab_refuse(refusal, IFAB_CODE_UNKNOWN_SENDER, "sender", "no talent of this name: rules ask for its role and owner");
    struct ifab_conversation conversation = place(self, envelope, sender, wall);
    ifab_fabric__message_facts(self, envelope, sender, &conversation, wall, facts, &plan);
    ifab_fabric__subject(envelope, sender, facts, &asked);
    ifab_guard_evaluate(rules, facts, false, &verdict);
    bool escalates = verdict.decision == IFAB_DECISION_ESCALATE;
    voters = verdict;
    if (escalates)
        ifab_fabric__fix_voters(self, envelope, sender, wall, &open, &voters);
    ifab_buf_char(b, '{');
    ifab_buf_str(b, "\"admission\":\"not judged: signature, time, order, rate and audience come before this\",");
    put_verdict(b, &voters);
    ifab_buf_str(b, ",\"policy_digest\":");
    ifab_fabric__put_digest(b, rules->digest32);
    put_rules(rules->set, &asked.subject, b);
    put_steps(rules, facts, escalates ? &voters : NULL, b);
    if (escalates)
        ifab_buf_format(b, ",\"votes_needed\":%u", open.votes_needed);
    ifab_buf_char(b, '}');
    return IFAB_CODE_NONE;
}
