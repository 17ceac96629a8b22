/*
 * Open decisions: voters fixed at opening, release, escalation, denial, routing afresh. DESIGN section 5 Guard.
 *
 *   HOLD --second source, scope-ok--> evaluated afresh --> SHARE | ESCALATE | DENY
 *   HOLD --deadline--> ESCALATE --n approvals--> evaluated afresh: DENY stays DENY, else SHARE
 *                      ESCALATE --out of reach, deadline--> DENY
 */
#include "call_internal.h"

#include <string.h>

#define DENIED_IN_STEP 256   /* for want of voters; the rest at the next TICK */
#define RELEASES_IN_STEP 256 /* more held claims of one kind wait for the next source or their deadline */

void ifab_fabric__id_text(const uint8_t id16[16], char ret_text[41])
{
    memcpy(ret_text, "msg-", 4);
    ifab_uuid_format(id16, ret_text + 4);
}

static bool can_vote(const struct ifab_talent *talent, ifab_usec wall)
{
    if (talent->removed_at != IFAB_NEVER)
        return false;
    for (size_t i = 0; i < talent->key_count; i++) {
        const struct ifab_key *key = &talent->keys[i];
        if (key->revoked_at == IFAB_NEVER && key->not_before <= wall && wall < key->not_after)
            return true;
    }
    return false;
}

/* n votes, at least two for a sensitive scope; none (zeroed memory) stays none and is never reached. */
uint32_t ifab_fabric__votes_needed(const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts)
{
    uint32_t n = facts->sensitive && rules->votes_needed == 1 ? 2 : rules->votes_needed;
    return n > 0 && facts->ruled.effect == IFAB_RULE_ESCALATE && facts->ruled.votes > n ? facts->ruled.votes : n;
}

/* Into the list, which is ascending by talent. */
static void add_voter(struct ifab_open_decision *decision, uint32_t talent, uint32_t owner)
{
    size_t at = decision->voter_count++;
    for (; at > 0 && decision->voters[at - 1].talent > talent; at--)
        decision->voters[at] = decision->voters[at - 1];
    decision->voters[at] = (struct ifab_voter){.talent = talent, .owner = owner};
}

/*
 * Operators and admins of another owner than the proposer, fixed now. false: n cannot be reached. Where they are more than there is room
 * for, every owner gets its first one before any gets a second: an owner of many cannot keep the others out.
 */
bool ifab_fabric__open_escalation(const struct ifab_fabric *self, struct ifab_open_decision *decision, ifab_usec wall)
{
    uint8_t owners[IFAB_GUARD_VOTERS_MAX][16];
    uint32_t owner_count = 0;
    decision->state = IFAB_DECISION_ESCALATE;
    decision->voter_count = 0;
    for (int others = 0; others < 2; others++) {
        uint32_t seen = 0; /* owners whose first one has passed */
        for (size_t i = 0; i < self->approver_count && decision->voter_count < IFAB_GUARD_VOTERS_MAX; i++) {
            const struct ifab_talent *talent = ifab_talents_at(self->talents, self->approvers[i]);
            uint8_t owner[16];
            if (talent == NULL || !can_vote(talent, wall))
                continue;
            ifab_fabric__owner_digest(talent->owner, owner);
            if (memcmp(owner, decision->owner_digest16, 16) == 0)
                continue;
            uint32_t at = 0;
            while (at < owner_count && memcmp(owners[at], owner, 16) != 0)
                at++;
            if (!others && at == owner_count) {
                memcpy(owners[owner_count++], owner, 16);
                add_voter(decision, talent->number, at);
            } else if (others && at < seen) {
                add_voter(decision, talent->number, at);
            } else if (others && at == seen) {
                seen++;
            }
        }
    }
    return ifab_guard_in_reach(decision);
}

static void put_names(const struct ifab_fabric *self, struct ifab_buf *p, const struct ifab_open_decision *d)
{
    ifab_buf_char(p, '[');
    for (size_t i = 0; i < d->receiver_count; i++) {
        const struct ifab_talent *talent = ifab_talents_at(self->talents, d->receivers[i]);
        if (talent == NULL)
            continue;
        if (i > 0)
            ifab_buf_char(p, ',');
        ifab_buf_str(p, "\"if://agent/");
        ifab_buf_view(p, talent->name); /* a name needs no escape */
        ifab_buf_char(p, '"');
    }
    ifab_buf_char(p, ']');
}

static bool put_entry(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, enum ifab_event event,
                      enum ifab_decision decision, const char *reason, struct ifab_view actor, struct ifab_view why, uint64_t cause)
{
    struct ifab_buf *p = &o->payload;
    char id[41];
    ifab_fabric__id_text(d->id16, id);
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"admitted\":{\"at\":\"");
    ifab_buf_time(p, d->admitted_at);
    ifab_buf_format(p, "\",\"index\":%llu},\"decision\":", (unsigned long long)d->index);
    ifab_json_put_cstr(p, ifab_decision_name(decision));
    if (decision == IFAB_DECISION_ESCALATE || decision == IFAB_DECISION_HOLD) {
        ifab_buf_str(p, ",\"expires_at\":\"");
        ifab_buf_time(p, d->expires_wall);
        ifab_buf_char(p, '"');
    }
    ifab_buf_str(p, ",\"id\":");
    ifab_json_put_cstr(p, id);
    ifab_buf_str(p, ",\"message_digest\":");
    ifab_fabric__put_digest(p, d->message_digest32);
    ifab_buf_str(p, ",\"policy_digest\":");
    ifab_fabric__put_digest(p, ifab_fabric__rules(self, o)->digest32);
    ifab_buf_str(p, ",\"reason\":");
    ifab_json_put_cstr(p, reason);
    ifab_buf_str(p, ",\"receiver\":");
    put_names(self, p, d);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {
        .event = event,
        .actor = actor.size > 0 ? actor : ifab_view_str(self->settings.fabric_actor),
        .why = cause == IFAB_FABRIC_CAUSE_RULES ? IFAB_VIEW("the rule set changed") : why,
        .has_why_from = why.size == 0 && cause != IFAB_FABRIC_CAUSE_RULES,
        .why_from = cause,
        .subject = ifab_view_str(id),
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, d->trace16, 16);
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}

bool ifab_fabric__release(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, const char *reason,
                          struct ifab_view actor, struct ifab_view why, uint64_t cause)
{
    ifab_fabric__plan_voted(self, o, d->message_digest32, true);
    return put_entry(self, o, d, IFAB_EVENT_DECISION_RELEASED, IFAB_DECISION_SHARE, reason, actor, why, cause) &&
           ifab_fabric__change(o, IFAB_KIND_DECISION, d->number, NULL, 0);
}

bool ifab_fabric__close_denied(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, const char *reason,
                               struct ifab_view actor, struct ifab_view why, uint64_t cause)
{
    ifab_fabric__plan_voted(self, o, d->message_digest32, false);
    return put_entry(self, o, d, IFAB_EVENT_DECISION_DENIED, IFAB_DECISION_DENY, reason, actor, why, cause) &&
           ifab_fabric__change(o, IFAB_KIND_DECISION, d->number, NULL, 0);
}

static bool put_record(struct ifab_outcome *o, const struct ifab_open_decision *d)
{
    uint8_t packed[IFAB_OPEN_DECISION_PACKED_MAX];
    return ifab_fabric__change(o, IFAB_KIND_DECISION, d->number, packed, ifab_open_decision_pack(d, packed));
}

static struct ifab_open_decision *copy_of(struct ifab_outcome *o, const struct ifab_open_decision *d)
{
    struct ifab_open_decision *copy = ifab_fabric__alloc(o, sizeof *copy);
    if (copy != NULL)
        *copy = *d;
    return copy;
}

bool ifab_fabric__to_escalated(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, enum ifab_event event,
                               const char *reason, uint64_t cause)
{
    struct ifab_open_decision *next = copy_of(o, d);
    if (next == NULL)
        return false;
    const struct ifab_guard_rules *rules = ifab_fabric__rules(self, o);
    next->votes_needed = ifab_fabric__votes_needed(rules, &next->facts);
    next->deadline_run = o->now.run + rules->escalate_deadline;
    next->expires_wall = o->now.wall + rules->escalate_deadline;
    memcpy(next->policy_digest32, rules->digest32, 32);
    if (!ifab_fabric__open_escalation(self, next, o->now.wall))
        return ifab_fabric__close_denied(self, o, d, "escalated, but too few voters of another owner", IFAB_VIEW(""), IFAB_VIEW(""), cause);
    return put_entry(self, o, next, event, IFAB_DECISION_ESCALATE, reason, IFAB_VIEW(""), IFAB_VIEW(""), cause) && put_record(o, next);
}

/* Held on under changed rules: the new digest, witnessed. */
bool ifab_fabric__hold_again(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, const char *reason,
                             uint64_t cause)
{
    struct ifab_open_decision *next = copy_of(o, d);
    if (next == NULL)
        return false;
    memcpy(next->policy_digest32, ifab_fabric__rules(self, o)->digest32, 32);
    return put_entry(self, o, next, IFAB_EVENT_DECISION_REOPENED, IFAB_DECISION_HOLD, reason, IFAB_VIEW(""), IFAB_VIEW(""), cause) &&
           put_record(o, next);
}

/*
 * Removed, or no key that is not revoked: for good, unless a key is added. Times play no part, so this changes with a talent's record
 * alone.
 */
static bool lost(const struct ifab_fabric *self, uint32_t number)
{
    const struct ifab_talent *talent = ifab_talents_at(self->talents, number);
    if (talent == NULL || talent->removed_at != IFAB_NEVER)
        return true;
    for (size_t i = 0; i < talent->key_count; i++)
        if (talent->keys[i].revoked_at == IFAB_NEVER)
            return false;
    return true;
}

bool ifab_fabric__unreachable(const struct ifab_fabric *self, const struct ifab_open_decision *d)
{
    bool some = false;
    for (size_t i = 0; i < d->voter_count && d->state == IFAB_DECISION_ESCALATE && !some; i++)
        some = d->voters[i].voted == 0 && lost(self, d->voters[i].talent);
    if (!some)
        return false;
    struct ifab_open_decision without = *d;
    without.voter_count = 0;
    for (size_t i = 0; i < d->voter_count; i++)
        if (d->voters[i].voted != 0 || !lost(self, d->voters[i].talent))
            without.voters[without.voter_count++] = d->voters[i];
    return !ifab_guard_in_reach(&without);
}

/* As soon as n is out of reach: also because voters were removed or lost their keys. */
void ifab_fabric__deny_unreachable(const struct ifab_fabric *self, struct ifab_outcome *o)
{
    const struct ifab_open_decision *d = ifab_decisions_after(self->decisions, 0);
    size_t count = 0;
    for (; d != NULL && !o->failed; d = ifab_decisions_after(self->decisions, d->number)) {
        if (ifab_fabric__stale(self, o, d) || !ifab_fabric__unreachable(self, d))
            continue;
        if (count++ == DENIED_IN_STEP) {
            o->routing = IFAB_ROUTING_MORE;
            break;
        }
        ifab_fabric__close_denied(self, o, d, "too few of its voters can still vote", IFAB_VIEW(""), IFAB_VIEW(""), d->index);
    }
}

/* Step 2 is met (or n approved): everything else is evaluated afresh under today's rules; a DENY stays DENY. */
bool ifab_fabric__reevaluate(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *d, const char *reason,
                             struct ifab_view actor, struct ifab_view why, uint64_t cause, enum ifab_decision *ret_became)
{
    struct ifab_guard_verdict verdict;
    enum ifab_decision became = IFAB_DECISION_DENY;
    bool good;
    ifab_guard_evaluate(ifab_fabric__rules(self, o), &d->facts, true, &verdict);
    if (verdict.decision == IFAB_DECISION_DENY) {
        good = ifab_fabric__close_denied(self, o, d, verdict.reason, actor, why, cause);
    } else if (d->state == IFAB_DECISION_HOLD && verdict.decision == IFAB_DECISION_ESCALATE) {
        good = ifab_fabric__to_escalated(self, o, d, IFAB_EVENT_DECISION_ESCALATED, verdict.reason, cause);
        if (good && o->changes[o->change_count - 1].bytes.size > 0) /* else too few voters: denied */
            became = IFAB_DECISION_ESCALATE;
    } else {
        good = ifab_fabric__release(self, o, d, reason, actor, why, cause);
        became = IFAB_DECISION_SHARE;
    }
    if (ret_became != NULL)
        *ret_became = good ? became : IFAB_DECISION_DENY;
    return good;
}

/* It waits to be routed under changed rules: that it has its source is kept for then. */
static bool met_meanwhile(struct ifab_outcome *o, const struct ifab_open_decision *d)
{
    struct ifab_open_decision *next = copy_of(o, d);
    if (next == NULL)
        return false;
    next->step2_met = true;
    return put_record(o, next);
}

bool ifab_fabric__second_sources(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_guard_facts *facts, uint32_t talent,
                                 uint64_t cause)
{
    uint8_t owner[16];
    uint64_t after = 0;
    ifab_fabric__owner_digest(ifab_talents_at(self->talents, talent)->owner, owner);
    for (size_t i = 0; i < RELEASES_IN_STEP; i++) {
        const struct ifab_open_decision *held = ifab_decisions_matched(self->decisions, after, facts, talent, owner);
        if (held == NULL)
            break;
        after = held->number;
        if (ifab_fabric__stale(self, o, held) ? !met_meanwhile(o, held) : !ifab_fabric__reevaluate(self, o, held, "second source", IFAB_VIEW(""), IFAB_VIEW(""), cause, NULL))
            return false;
    }
    return true;
}

static void put_voters(const struct ifab_fabric *self, struct ifab_buf *b, const struct ifab_open_decision *d)
{
    static const char *const voted[] = {"null", "\"approve\"", "\"refuse\""};
    unsigned given = 0;
    ifab_buf_str(b, ",\"voters\":[");
    for (size_t i = 0; i < d->voter_count; i++) {
        const struct ifab_talent *talent = ifab_talents_at(self->talents, d->voters[i].talent);
        if (i > 0)
            ifab_buf_char(b, ',');
        given += d->voters[i].voted == 1;
        ifab_buf_str(b, "{\"name\":");
        ifab_json_put_string(b, talent != NULL ? talent->name : IFAB_VIEW("?"));
        ifab_buf_format(b, ",\"vote\":%s}", voted[d->voters[i].voted < 3 ? d->voters[i].voted : 0]);
    }
    ifab_buf_format(b, "],\"votes_given\":%u,\"votes_needed\":%u", given, d->votes_needed);
}

/* What it is about in one word: CAPABILITY.OPERATION of the plan that it asks for, else its topic as a grant spells it. */
static void put_subject(const struct ifab_fabric *self, struct ifab_buf *b, const struct ifab_open_decision *d)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(512);
    const struct ifab_plan *plan = ifab_plan_by_message(self->plans, d->message_digest32);
    if (plan != NULL) {
        ifab_buf_view(&text, ifab_plan__name(plan->capability));
        ifab_buf_char(&text, '.');
        ifab_buf_view(&text, plan->operation);
    } else {
        ifab_buf_str(&text, "topic:");
        ifab_buf_hex(&text, d->topic32, 8);
    }
    ifab_json_put_string(b, ifab_buf_as_view(&text));
}

void ifab_fabric_decision_json(const struct ifab_fabric *self, const struct ifab_open_decision *d, struct ifab_buf *b)
{
    const struct ifab_talent *talent = ifab_talents_at(self->talents, d->talent);
    char id[41];
    ifab_fabric__id_text(d->id16, id);
    ifab_buf_str(b, "{\"admitted_at\":\"");
    ifab_buf_time(b, d->admitted_at);
    ifab_buf_str(b, "\",\"decision\":");
    ifab_json_put_cstr(b, ifab_decision_name(d->state));
    ifab_buf_format(b, ",\"entry\":{\"index\":%llu,\"log\":", (unsigned long long)d->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_str(b, "},\"expires_at\":\"");
    ifab_buf_time(b, d->expires_wall);
    ifab_buf_str(b, "\",\"id\":");
    ifab_json_put_cstr(b, id);
    ifab_buf_str(b, ",\"message_digest\":");
    ifab_fabric__put_digest(b, d->message_digest32);
    ifab_buf_str(b, ",\"policy_digest\":");
    ifab_fabric__put_digest(b, d->policy_digest32);
    ifab_buf_str(b, ",\"sender\":\"if://agent/");
    if (talent != NULL)
        ifab_buf_view(b, talent->name);
    ifab_buf_str(b, d->state == IFAB_DECISION_HOLD ? "\",\"state\":\"held\",\"subject\":" : "\",\"state\":\"escalated\",\"subject\":");
    put_subject(self, b, d);
    ifab_buf_str(b, ",\"topic_hash\":");
    ifab_fabric__put_digest(b, d->topic32);
    ifab_buf_str(b, ",\"trace\":");
    ifab_fabric__put_uuid(b, d->trace16);
    put_voters(self, b, d);
    ifab_buf_char(b, '}');
}
