/* Record of an open decision: whatever unpacks, packs to the same bytes; no verdict, vote or match on it can crash or share unduly. */
#include "guard/guard.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ifab_open_decision decision, next;
    uint8_t packed[IFAB_OPEN_DECISION_PACKED_MAX];
    struct ifab_bucket bucket;
    if (ifab_bucket_unpack(ifab_view_of(data, size), 7, &bucket)) {
        require(ifab_bucket_pack(&bucket, packed) == size && memcmp(packed, data, size) == 0);
        return 0;
    }
    if (!ifab_open_decision_unpack(ifab_view_of(data, size), 7, &decision))
        return 0;
    require(ifab_open_decision_pack(&decision, packed) == size && memcmp(packed, data, size) == 0);

    struct ifab_guard_rules rules;
    struct ifab_guard_verdict verdict;
    ifab_guard_rules_default(&rules);
    ifab_guard_evaluate(&rules, &decision.facts, decision.step2_met, &verdict);
    require(verdict.decision == IFAB_DECISION_DENY); /* not loaded */
    rules.loaded = true;
    ifab_guard_evaluate(&rules, &decision.facts, decision.step2_met, &verdict);
    require(verdict.decision != IFAB_DECISION_SHARE || !decision.facts.secret_found);
    require(!ifab_guard_second_source(&decision, &decision.facts, decision.talent, decision.owner_digest16));

    bool reachable = ifab_guard_in_reach(&decision);
    for (size_t i = 0; i < decision.voter_count; i++) {
        enum ifab_decision outcome;
        enum ifab_vote_verdict verdict_cast = i % 2 == 0 ? IFAB_VOTE_APPROVE : IFAB_VOTE_REFUSE;
        if (ifab_guard_vote(&decision, decision.voters[i].talent, verdict_cast, &next, &outcome, NULL) != IFAB_CODE_NONE)
            continue;
        require(reachable || outcome == IFAB_DECISION_DENY);
        decision = next;
    }
    return 0;
}
