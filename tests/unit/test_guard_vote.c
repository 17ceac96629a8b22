/* Votes: small domains in full, against a model that only keeps the list of what was said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "guard/guard.h"

#define VOTERS 4
#define STRANGER 99

struct cast { /* the model: valid votes in order */
    uint32_t owner;
    bool approve;
};

struct walk {
    size_t voters, votes_needed;
    uint32_t owners[VOTERS];
    struct cast cast[VOTERS];
    size_t cast_count;
    bool denied, shared; /* on the way here */
};
static unsigned long visited, ended[4];

static enum ifab_decision model_outcome(const struct walk *walk)
{
    size_t owners = 0, approvals = 0;
    for (size_t i = 0; i < walk->voters; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || walk->owners[j] == walk->owners[i];
        owners += !seen;
    }
    for (size_t i = 0; i < walk->cast_count; i++)
        approvals += walk->cast[i].approve;
    size_t refusals = walk->cast_count - approvals;
    if (walk->votes_needed == 0 || owners - refusals < walk->votes_needed)
        return IFAB_DECISION_DENY;
    return approvals >= walk->votes_needed ? IFAB_DECISION_SHARE : IFAB_DECISION_ESCALATE;
}

static bool model_owner_voted(const struct walk *walk, uint32_t owner)
{
    for (size_t i = 0; i < walk->cast_count; i++)
        if (walk->cast[i].owner == owner)
            return true;
    return false;
}

/* From this state every voter and a stranger say everything. A refused vote changes nothing: the walk goes on after counted ones only. */
static void visit(const struct ifab_open_decision *decision, const struct walk *walk)
{
    visited++;
    for (size_t v = 0; v <= walk->voters; v++) {
        for (unsigned verdict = IFAB_VOTE_APPROVE; verdict <= IFAB_VOTE_SCOPE_OK; verdict++) {
            static struct ifab_open_decision untouched;
            struct ifab_open_decision next = untouched;
            struct ifab_refusal refusal;
            enum ifab_decision outcome = (enum ifab_decision)77;
            uint32_t talent = v == walk->voters ? STRANGER : (uint32_t)v + 10;
            enum ifab_code code = ifab_guard_vote(decision, talent, (enum ifab_vote_verdict)verdict, &next, &outcome, &refusal);
            if (code != IFAB_CODE_NONE) {
                assert_int_equal(outcome, 77);
                assert_int_equal(next.voter_count, 0);
                assert_int_equal(refusal.code, code);
                assert_true(verdict == IFAB_VOTE_SCOPE_OK || strstr(refusal.hint, "decision show") != NULL); /* no role and no second look helps */
                if (verdict == IFAB_VOTE_SCOPE_OK)
                    assert_int_equal(code, IFAB_CODE_CONFLICT);
                else if (v == walk->voters)
                    assert_int_equal(code, IFAB_CODE_PERMISSION_DENIED);
                else
                    assert_int_equal(code, decision->voters[v].voted != 0 ? IFAB_CODE_CONFLICT : IFAB_CODE_PERMISSION_DENIED);
                assert_true(verdict == IFAB_VOTE_SCOPE_OK || v == walk->voters || model_owner_voted(walk, walk->owners[v]));
                continue;
            }
            assert_true(v < walk->voters && verdict != IFAB_VOTE_SCOPE_OK);
            assert_false(model_owner_voted(walk, walk->owners[v])); /* never more than one an owner */
            struct walk onward = *walk;
            onward.cast[onward.cast_count++] = (struct cast){walk->owners[v], verdict == IFAB_VOTE_APPROVE};
            assert_int_equal(outcome, model_outcome(&onward));
            assert_int_equal(ifab_guard_in_reach(&next), outcome != IFAB_DECISION_DENY);
            assert_false(walk->denied && outcome != IFAB_DECISION_DENY); /* DENY never turns */
            assert_false(walk->shared && outcome != IFAB_DECISION_SHARE);
            onward.denied = walk->denied || outcome == IFAB_DECISION_DENY;
            onward.shared = walk->shared || outcome == IFAB_DECISION_SHARE;
            ended[outcome]++;
            visit(&next, &onward);
        }
    }
}

static void every_sequence_of_votes_of_up_to_four_voters_ends_as_the_model_says(void **state)
{
    (void)state;
    for (size_t voters = 0; voters <= VOTERS; voters++) {
        for (unsigned owners = 0; owners < 1U << (2 * voters); owners++) {
            for (uint32_t n = 0; n <= 4; n++) {
                struct ifab_open_decision decision;
                struct walk walk = {.voters = voters, .votes_needed = n};
                memset(&decision, 0, sizeof decision);
                decision.state = IFAB_DECISION_ESCALATE;
                decision.talent = 1;
                decision.votes_needed = n;
                decision.voter_count = voters;
                for (uint32_t i = 0; i < voters; i++) {
                    walk.owners[i] = owners >> (2 * i) & 3;
                    decision.voters[i] = (struct ifab_voter){i + 10, walk.owners[i], 0};
                }
                assert_int_equal(ifab_guard_in_reach(&decision), model_outcome(&walk) != IFAB_DECISION_DENY);
                visit(&decision, &walk);
            }
        }
    }
    assert_true(visited > 10000 && ended[IFAB_DECISION_DENY] > 0 && ended[IFAB_DECISION_ESCALATE] > 0 && ended[IFAB_DECISION_SHARE] > 0);
}

static struct ifab_open_decision with_voters(uint32_t votes_needed, size_t voters)
{
    struct ifab_open_decision decision;
    memset(&decision, 0, sizeof decision);
    decision.state = IFAB_DECISION_ESCALATE;
    decision.talent = 1;
    decision.votes_needed = votes_needed;
    decision.voter_count = voters;
    for (uint32_t i = 0; i < voters && i < IFAB_GUARD_VOTERS_MAX; i++)
        decision.voters[i] = (struct ifab_voter){i + 10, i, 0};
    return decision;
}

static void refuses_votes_on_what_is_not_escalated(void **state)
{
    (void)state;
    static const enum ifab_decision others[] = {IFAB_DECISION_DENY, IFAB_DECISION_HOLD, IFAB_DECISION_SHARE};
    struct ifab_open_decision next;
    enum ifab_decision outcome;
    struct ifab_refusal refusal;
    for (size_t i = 0; i < IFAB_COUNT(others); i++) {
        struct ifab_open_decision decision = with_voters(1, 2);
        decision.state = others[i];
        assert_int_equal(ifab_guard_vote(&decision, 10, IFAB_VOTE_APPROVE, &next, &outcome, &refusal), IFAB_CODE_CONFLICT);
    }
}

static void proposer_never_votes_even_when_listed(void **state)
{
    (void)state;
    struct ifab_open_decision decision = with_voters(1, 2), next;
    enum ifab_decision outcome;
    decision.voters[1].talent = decision.talent;
    assert_int_equal(ifab_guard_vote(&decision, decision.talent, IFAB_VOTE_APPROVE, &next, &outcome, NULL), IFAB_CODE_PERMISSION_DENIED);
}

static void fewer_voters_than_votes_is_out_of_reach(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 70; n++) {
        for (size_t voters = 0; voters <= IFAB_GUARD_VOTERS_MAX; voters++) {
            struct ifab_open_decision decision = with_voters(n, voters);
            assert_int_equal(ifab_guard_in_reach(&decision), n > 0 && voters >= n);
        }
    }
}

/* INV-06 */
static void zeroed_or_oversized_decision_is_out_of_reach(void **state)
{
    (void)state;
    struct ifab_open_decision decision, next;
    enum ifab_decision outcome;
    memset(&decision, 0, sizeof decision);
    assert_false(ifab_guard_in_reach(&decision));
    assert_int_equal(ifab_guard_vote(&decision, 0, IFAB_VOTE_APPROVE, &next, &outcome, NULL), IFAB_CODE_CONFLICT);
    decision = with_voters(1, IFAB_GUARD_VOTERS_MAX);
    decision.voter_count = IFAB_GUARD_VOTERS_MAX + 1;
    assert_false(ifab_guard_in_reach(&decision));
    assert_int_equal(ifab_guard_vote(&decision, 10, IFAB_VOTE_APPROVE, &next, &outcome, NULL), IFAB_CODE_PERMISSION_DENIED);
}

static void sixty_four_voters_reach_sixty_four_votes(void **state)
{
    (void)state;
    struct ifab_open_decision decision = with_voters(64, 64), next;
    enum ifab_decision outcome = IFAB_DECISION_DENY;
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(ifab_guard_vote(&decision, i + 10, IFAB_VOTE_APPROVE, &next, &outcome, NULL), IFAB_CODE_NONE);
        assert_int_equal(outcome, i == 63 ? IFAB_DECISION_SHARE : IFAB_DECISION_ESCALATE);
        decision = next;
    }
    decision = with_voters(64, 64);
    assert_int_equal(ifab_guard_vote(&decision, 40, IFAB_VOTE_REFUSE, &next, &outcome, NULL), IFAB_CODE_NONE);
    assert_int_equal(outcome, IFAB_DECISION_DENY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sequence_of_votes_of_up_to_four_voters_ends_as_the_model_says),
        cmocka_unit_test(refuses_votes_on_what_is_not_escalated),
        cmocka_unit_test(proposer_never_votes_even_when_listed),
        cmocka_unit_test(fewer_voters_than_votes_is_out_of_reach),
        cmocka_unit_test(zeroed_or_oversized_decision_is_out_of_reach),
        cmocka_unit_test(sixty_four_voters_reach_sixty_four_votes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
