/*
 * Votes on an escalated decision: DESIGN section 5 Guard.
 *
 * 1. Who may vote was fixed when the decision opened. The first vote of a voter counts, of each owner one.
 * 2. n approvals release; DENY as soon as n cannot be reached any more. n = 0 (zeroed memory) is never reached.
 */
#include "guard/guard.h"

enum { VOTED_NOT = 0, VOTED_APPROVE = 1, VOTED_REFUSE = 2 };

struct tally {
    uint32_t approvals; /* owners that approved */
    uint32_t waiting;   /* owners that have not voted */
};

/* What the owner of voters[at] has said; asked once an owner. A refusal beside an approval (no record of ours has that) refuses. */
static uint8_t owner_said(const struct ifab_open_decision *decision, size_t at)
{
    uint8_t said = VOTED_NOT;
    for (size_t i = 0; i < decision->voter_count; i++)
        if (decision->voters[i].owner == decision->voters[at].owner && decision->voters[i].voted > said)
            said = decision->voters[i].voted;
    return said;
}

static bool first_of_owner(const struct ifab_open_decision *decision, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (decision->voters[i].owner == decision->voters[at].owner)
            return false;
    return true;
}

static struct tally count(const struct ifab_open_decision *decision)
{
    struct tally tally = {0, 0};
    if (decision->voter_count > IFAB_GUARD_VOTERS_MAX)
        return tally;
    for (size_t i = 0; i < decision->voter_count; i++) {
        if (!first_of_owner(decision, i))
            continue;
        uint8_t said = owner_said(decision, i);
        tally.approvals += said == VOTED_APPROVE;
        tally.waiting += said == VOTED_NOT;
    }
    return tally;
}

bool ifab_guard_in_reach(const struct ifab_open_decision *decision)
{
    struct tally tally = count(decision);
    return decision->votes_needed > 0 && tally.approvals + tally.waiting >= decision->votes_needed;
}

static enum ifab_decision outcome_of(const struct ifab_open_decision *decision)
{
    if (!ifab_guard_in_reach(decision))
        return IFAB_DECISION_DENY;
    return count(decision).approvals >= decision->votes_needed ? IFAB_DECISION_SHARE : IFAB_DECISION_ESCALATE;
}

static const char who_hint[] = "ifctl decision show ID names those who may vote and have not.";

enum ifab_code ifab_guard_vote(const struct ifab_open_decision *decision, uint32_t voter_talent, enum ifab_vote_verdict verdict,
                               struct ifab_open_decision *ret_next, enum ifab_decision *ret_outcome, struct ifab_refusal *ret_refusal)
{
    if (decision->state != IFAB_DECISION_ESCALATE)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "", "this decision is not escalated: it takes no approve or refuse");
    if (verdict != IFAB_VOTE_APPROVE && verdict != IFAB_VOTE_REFUSE)
        return ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "verdict", "scope-ok answers a held decision; this one is escalated");

    size_t at = 0, voter_count = decision->voter_count <= IFAB_GUARD_VOTERS_MAX ? decision->voter_count : 0;
    while (at < voter_count && decision->voters[at].talent != voter_talent)
        at++;
    if (at == voter_count || voter_talent == decision->talent)
        return ifab_refuse_hint(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_PERMISSION_DENIED, "voter", "not one of the voters fixed when this decision opened"),
                                who_hint);
    if (decision->voters[at].voted != VOTED_NOT)
        return ifab_refuse_hint(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_CONFLICT, "voter", "voted already; the first vote counts"),
                                "A vote is not taken back. ifctl decision show ID names whose votes are still awaited.");
    if (owner_said(decision, at) != VOTED_NOT)
        return ifab_refuse_hint(ret_refusal, ifab_refuse(ret_refusal, IFAB_CODE_PERMISSION_DENIED, "voter", "another voter of the same owner has voted; an owner has one vote"),
                                who_hint);

    *ret_next = *decision;
    ret_next->voters[at].voted = verdict == IFAB_VOTE_APPROVE ? VOTED_APPROVE : VOTED_REFUSE;
    *ret_outcome = outcome_of(ret_next);
    return IFAB_CODE_NONE;
}
