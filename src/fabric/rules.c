/*
 * The operator's rules in the step: what they are asked, what becomes of open decisions when they change. DESIGN section 5 Guard.
 *
 * A changed set routes every open decision again. Rules ask about the message, and the step reads memory only: so the shell brings the stored message with
 * IFAB_COMMAND_ROUTE, one decision each. A set without operator rules needs no message; then it is done here, some in a step. Until its turn comes a
 * decision takes no vote and no deadline or source ends it. Which are left is read from their digests, so a crash in between loses nothing.
 */
#include "fabric_internal.h"

#include <string.h>

#define ROUTED_IN_STEP 256 /* the rest at the next TICK */

bool ifab_fabric__has_rules(const struct ifab_guard_rules *rules)
{
    struct ifab_rule_info info;
    return rules->set != NULL && ifab_ruleset_at(rules->set, 0, &info);
}

/* Somewhere in its scope stands one of the configured sensitive scopes, as a name or as a text. Depth and size are those the parser allowed. */
static bool touches(const struct ifab_fabric *self, const struct ifab_json *value)
{
    struct ifab_view text;
    if (value == NULL || self->settings.sensitive_count == 0)
        return false;
    if (ifab_json_string(value, &text))
        return ifab_fabric__sensitive_scope(self, text);
    for (size_t i = 0; value->type == IFAB_JSON_ARRAY && i < value->u.array.count; i++)
        if (touches(self, &value->u.array.items[i]))
            return true;
    for (size_t i = 0; value->type == IFAB_JSON_OBJECT && i < value->u.object.count; i++)
        if (ifab_fabric__sensitive_scope(self, value->u.object.members[i].name) || touches(self, &value->u.object.members[i].value))
            return true;
    return false;
}

bool ifab_fabric__touches_sensitive(const struct ifab_fabric *self, const struct ifab_envelope *envelope)
{
    return touches(self, ifab_json_get(ifab_json_get(envelope->tree, "content"), "scope"));
}

/* A number of the content that the envelope does not keep apart. */
static bool number_at(const struct ifab_json *object, const char *name, double *ret)
{
    const struct ifab_json *value = ifab_json_get(object, name);
    if (value == NULL || value->type != IFAB_JSON_NUMBER)
        return false;
    *ret = value->u.number.value;
    return true;
}

static struct ifab_view when_there(bool there, struct ifab_view text)
{
    return there ? (text.data != NULL ? text : IFAB_VIEW("")) : (struct ifab_view){NULL, 0};
}

void ifab_fabric__subject(const struct ifab_envelope *e, const struct ifab_talent *sender, const struct ifab_guard_facts *facts,
                          struct ifab_fabric__asked *ret)
{
    const struct ifab_json *content = ifab_json_get(e->tree, "content");
    uint8_t parent = facts->parent_performative;
    struct ifab_rule_subject *s = &ret->subject;
    *s = (struct ifab_rule_subject){
        .performative = ifab_view_str(ifab_performative_name(e->performative)),
        .sender = sender->name,
        .instance = when_there(e->sender_instance.size > 0, e->sender_instance),
        .role = ifab_view_str(ifab_role_name(sender->role)),
        .owner = sender->owner,
        .topic_hash = e->topic_hash,
        .claim = when_there(e->has_claim, e->claim),
        .claim_id = when_there(e->has_claim_id, e->claim_id),
        .receivers = ret->receivers,
        .receiver_count = e->receiver_count,
        .hazards = e->hazards,
        .hazard_count = e->hazard_count,
        .evidence = ret->evidence,
        .evidence_count = e->evidence_count,
        .has_confidence = e->has_confidence,
        .confidence = e->confidence,
        .has_confidence_raw = e->has_confidence_raw,
        .confidence_raw = e->confidence_raw,
        .is_claim = facts->is_claim,
        .ttl_s = e->ttl_s,
        .size = (double)e->bytes.size,
        .parent_hazards = facts->parent_hazards,
        .scope = ifab_json_get(content, "scope"),
        .data = ifab_json_get(content, "data"),
    };
    if (parent > 0 && parent <= IFAB_PERFORMATIVE_COUNT)
        s->parent_performative = ifab_view_str(ifab_performative_name((enum ifab_performative)(parent - 1)));
    s->has_domain_unique = number_at(ifab_json_get(content, "source_diversity"), "domain_unique", &s->domain_unique);
    for (size_t i = 0; i < e->receiver_count; i++)
        ret->receivers[i] = e->receivers[i].kind == IFAB_RECEIVER_AGENT ? e->receivers[i].name : e->receivers[i].uri;
    for (size_t i = 0; i < e->evidence_count; i++)
        ret->evidence[i] = (struct ifab_rule_evidence){e->evidence[i].type, e->evidence[i].url, e->evidence[i].domain};
}

void ifab_fabric__rule(const struct ifab_guard_rules *rules, const struct ifab_envelope *e, const struct ifab_talent *sender,
                       struct ifab_guard_facts *facts)
{
    struct ifab_fabric__asked asked;
    struct ifab_rule_answer answer;
    ifab_fabric__subject(e, sender, facts, &asked);
    ifab_ruleset_evaluate(rules->set, &asked.subject, &answer);
    facts->ruled = (struct ifab_guard_ruled){.effect = (uint8_t)answer.effect, .votes = (uint8_t)answer.votes, .hazards = (uint8_t)answer.hazards};
    memcpy(facts->ruled.id, answer.id, sizeof facts->ruled.id);
    memcpy(facts->ruled.reason, answer.reason, sizeof facts->ruled.reason);
}

bool ifab_fabric__stale(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_open_decision *d)
{
    return memcmp(d->policy_digest32, o->set_rules ? o->rules.digest32 : self->rules32, 32) != 0;
}

const struct ifab_open_decision *ifab_fabric_unrouted(const struct ifab_fabric *self, uint64_t number)
{
    const struct ifab_open_decision *d = NULL;
    if (!ifab_fabric__has_rules(&self->settings.rules) || ifab_fabric_rules_stale(self))
        return NULL;
    while ((d = ifab_decisions_after(self->decisions, number)) != NULL && memcmp(d->policy_digest32, self->rules32, 32) == 0)
        number = d->number;
    return d;
}

/* Its facts are those under the rules of this step. DENY closes it, else it reopens with the new digest, its votes void and witnessed. */
void ifab_fabric__route(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, uint64_t cause)
{
    struct ifab_guard_verdict verdict;
    ifab_guard_evaluate(ifab_fabric__rules(self, o), &d->facts, d->step2_met, &verdict);
    if (ifab_plan_by_message(self->plans, d->message_digest32) != NULL) /* it was planned under the rules of then */
        ifab_fabric__close_denied(self, o, d, "the rules changed: the plan that it asks for is void", IFAB_VIEW(""), IFAB_VIEW(""), cause);
    else if (verdict.decision == IFAB_DECISION_DENY)
        ifab_fabric__close_denied(self, o, d, verdict.reason, IFAB_VIEW(""), IFAB_VIEW(""), cause);
    else if (d->state == IFAB_DECISION_ESCALATE || verdict.decision == IFAB_DECISION_ESCALATE)
        ifab_fabric__to_escalated(self, o, d, IFAB_EVENT_DECISION_REOPENED, verdict.reason, cause);
    else if (d->step2_met && verdict.decision == IFAB_DECISION_SHARE) /* its source came while it waited for this */
        ifab_fabric__release(self, o, d, "second source", IFAB_VIEW(""), IFAB_VIEW(""), cause);
    else /* still held: a new rule never releases by itself what waits for a second source */
        ifab_fabric__hold_again(self, o, d, verdict.reason, cause);
}

void ifab_fabric__route_again(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t cause)
{
    const struct ifab_open_decision *d = ifab_decisions_after(self->decisions, 0);
    size_t count = 0;
    o->routing = IFAB_ROUTING_DONE;
    if (ifab_fabric__has_rules(ifab_fabric__rules(self, o)))
        return; /* with their messages */
    for (; d != NULL && !o->failed; d = ifab_decisions_after(self->decisions, d->number)) {
        if (!ifab_fabric__stale(self, o, d))
            continue;
        if (count++ == ROUTED_IN_STEP) {
            o->routing = IFAB_ROUTING_MORE;
            break;
        }
        struct ifab_open_decision *next = ifab_fabric__alloc(o, sizeof *next);
        if (next == NULL)
            return;
        *next = *d;
        memset(&next->facts.ruled, 0, sizeof next->facts.ruled);
        ifab_fabric__route(self, o, next, cause);
    }
}

void ifab_fabric__decide_route(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_open_decision *d = ifab_decisions_at(self->decisions, command->u.route.number);
    const struct ifab_envelope *e = command->u.route.envelope;
    const struct ifab_talent *sender = d != NULL ? ifab_talents_at(self->talents, d->talent) : NULL;
    o->reply.code = IFAB_CODE_NONE;
    if (d == NULL || !ifab_fabric__stale(self, o, d))
        return; /* ended, or routed, meanwhile */
    if (e == NULL || sender == NULL || memcmp(e->message_digest32, d->message_digest32, 32) != 0) {
        ifab_fabric__close_denied(self, o, d, "its bytes are gone: it cannot be judged by the changed rules", IFAB_VIEW(""), IFAB_VIEW(""),
                                  IFAB_FABRIC_CAUSE_RULES);
        return;
    }
    struct ifab_open_decision *next = ifab_fabric__alloc(o, sizeof *next);
    if (next == NULL)
        return;
    *next = *d;
    next->facts = *command->u.route.facts;
    next->facts.sensitive = ifab_fabric__touches_sensitive(self, e);
    next->facts.parent_performative = d->facts.parent_performative; /* as it was then: the conversation has gone on */
    next->facts.parent_hazards = d->facts.parent_hazards;
    ifab_fabric__rule(ifab_fabric__rules(self, o), e, sender, &next->facts);
    ifab_fabric__route(self, o, next, IFAB_FABRIC_CAUSE_RULES);
}

void ifab_fabric__decide_rules(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_buf *p = &o->payload;
    o->set_rules = true;
    o->rules = *command->u.rules.rules;
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"policy_digest\":");
    ifab_fabric__put_digest(p, o->rules.digest32);
    ifab_buf_str(p, ",\"previous\":");
    ifab_fabric__put_digest(p, self->rules32);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {
        .event = IFAB_EVENT_RULES_LOADED,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .why = command->why,
        .subject = IFAB_VIEW("rules"),
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, command->mint16, 16);
    struct ifab_outcome_entry *entry;
    struct ifab_view whole = o->rules.set != NULL ? ifab_ruleset_canonical(o->rules.set) : IFAB_VIEW(""); /* a trust record stands whole (INV-16) */
    if (!ifab_fabric__entry(self, o, &fields, whole, &entry))
        return;
    o->reply.code = IFAB_CODE_NONE;
    ifab_fabric__route_again(self, o, entry->index);
    if (self->routing) /* voters lost before are still to be looked at */
        o->routing = IFAB_ROUTING_MORE;
}

