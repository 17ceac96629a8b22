/* Evaluation: every threshold from both sides, every step against every other, what is missing, what is no number. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

#include <math.h>
#include <stdlib.h>

#define LOW "low confidence"
#define BORDER "borderline; need second source/scope check"
#define NO_CONF "claim without confidence; need second source/scope check"
#define NO_SCOPE "claim without scope; need second source/scope check"
#define HAZARD "policy: hazard override"
#define FINE "nothing against it"

static struct ifab_guard_rules loaded(void)
{
    struct ifab_guard_rules rules;
    ifab_guard_rules_default(&rules);
    rules.loaded = true;
    return rules;
}

/* A claim that is shared: what the tests take away or spoil. */
static struct ifab_guard_facts good_claim(void)
{
    struct ifab_guard_facts facts;
    memset(&facts, 0, sizeof facts);
    facts.is_claim = facts.has_scope = facts.has_confidence = facts.has_claim_id = facts.second_source_kind = true;
    facts.confidence = 0.72;
    return facts;
}

static struct ifab_guard_verdict verdict_of(const struct ifab_guard_facts *facts, bool step2_met)
{
    struct ifab_guard_rules rules = loaded();
    struct ifab_guard_verdict verdict;
    memset(&verdict, 0xff, sizeof verdict);
    ifab_guard_evaluate(&rules, facts, step2_met, &verdict);
    return verdict;
}

static void expect(struct ifab_guard_verdict verdict, enum ifab_decision decision, const char *reason, const char *rule)
{
    assert_string_equal(ifab_decision_name(verdict.decision), ifab_decision_name(decision));
    assert_string_equal(verdict.reason, reason);
    assert_string_equal(verdict.rule, rule);
}

static void routes_by_confidence_at_every_threshold(void **state)
{
    (void)state;
    static const struct {
        double confidence;
        enum ifab_decision decision;
        const char *reason, *rule;
    } rows[] = {
        {0.0, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {-0.0, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {5e-324, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {0.19, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {0.19999999999999998, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {0.20, IFAB_DECISION_HOLD, BORDER, "builtin.borderline"},
        {0.20000000000000004, IFAB_DECISION_HOLD, BORDER, "builtin.borderline"},
        {0.29, IFAB_DECISION_HOLD, BORDER, "builtin.borderline"},
        {0.29999999999999993, IFAB_DECISION_HOLD, BORDER, "builtin.borderline"},
        {0.30, IFAB_DECISION_SHARE, FINE, "builtin.default-share"},
        {0.30000000000000004, IFAB_DECISION_SHARE, FINE, "builtin.default-share"},
        {0.99, IFAB_DECISION_SHARE, FINE, "builtin.default-share"},
        {1.0, IFAB_DECISION_SHARE, FINE, "builtin.default-share"},
        {1.0000000000000002, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {-5e-324, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {-1, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {1e308, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {INFINITY, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {-INFINITY, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {NAN, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
        {-NAN, IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence"},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_guard_facts facts = good_claim();
        facts.confidence = rows[i].confidence;
        expect(verdict_of(&facts, false), rows[i].decision, rows[i].reason, rows[i].rule);
        facts.is_claim = false; /* no claim, but it does carry a confidence */
        expect(verdict_of(&facts, false), rows[i].decision, rows[i].reason, rows[i].rule);
    }
}

static void second_source_makes_step_two_count_as_met_but_no_number_out_of_none(void **state)
{
    (void)state;
    struct ifab_guard_facts facts = good_claim();
    static const double met[] = {0.0, 0.19, 0.20, 0.25, 0.2999999, 0.3, 1};
    for (size_t i = 0; i < IFAB_COUNT(met); i++) {
        facts.confidence = met[i];
        expect(verdict_of(&facts, true), IFAB_DECISION_SHARE, FINE, "builtin.default-share");
    }
    static const double none[] = {NAN, INFINITY, -INFINITY, -0.1, 1.1};
    for (size_t i = 0; i < IFAB_COUNT(none); i++) { /* INV-06 */
        facts.confidence = none[i];
        expect(verdict_of(&facts, true), IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence");
    }
    facts = good_claim();
    facts.has_confidence = facts.has_scope = false;
    expect(verdict_of(&facts, true), IFAB_DECISION_SHARE, FINE, "builtin.default-share");
    facts.hazards = IFAB_HAZARD_SAFETY; /* all else is evaluated afresh */
    expect(verdict_of(&facts, true), IFAB_DECISION_ESCALATE, HAZARD, "builtin.hazard");
    facts.secret_found = true;
    expect(verdict_of(&facts, true), IFAB_DECISION_DENY, "secret in payload", "builtin.secret");
}

static void holds_claims_that_lack_confidence_or_scope(void **state)
{
    (void)state;
    struct ifab_guard_facts facts = good_claim();
    facts.has_confidence = false;
    expect(verdict_of(&facts, false), IFAB_DECISION_HOLD, NO_CONF, "builtin.claim-incomplete");
    facts.has_scope = false;
    expect(verdict_of(&facts, false), IFAB_DECISION_HOLD, NO_CONF, "builtin.claim-incomplete");
    facts.has_confidence = true;
    expect(verdict_of(&facts, false), IFAB_DECISION_HOLD, NO_SCOPE, "builtin.claim-incomplete");
    facts.confidence = 0.1;
    expect(verdict_of(&facts, false), IFAB_DECISION_ESCALATE, LOW, "builtin.low-confidence");
    facts.confidence = 0.25;
    expect(verdict_of(&facts, false), IFAB_DECISION_HOLD, BORDER, "builtin.borderline");
    memset(&facts, 0, sizeof facts); /* a request, say: no claim, no number */
    expect(verdict_of(&facts, false), IFAB_DECISION_SHARE, FINE, "builtin.default-share");
}

static void strictest_wins_and_of_equal_ones_the_earlier(void **state)
{
    (void)state;
    struct ifab_guard_facts facts = good_claim();
    facts.hazards = IFAB_HAZARD_LEGAL;
    facts.confidence = 0.1; /* both escalate: step 1 gives the reason */
    expect(verdict_of(&facts, false), IFAB_DECISION_ESCALATE, HAZARD, "builtin.hazard");
    facts.confidence = 0.25; /* HOLD is weaker */
    expect(verdict_of(&facts, false), IFAB_DECISION_ESCALATE, HAZARD, "builtin.hazard");
    facts.secret_found = true;
    expect(verdict_of(&facts, false), IFAB_DECISION_DENY, "secret in payload", "builtin.secret");

    struct ifab_guard_rules none;
    struct ifab_guard_verdict verdict;
    memset(&none, 0, sizeof none);
    ifab_guard_evaluate(&none, &facts, false, &verdict);
    expect(verdict, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
}

static void only_overriding_hazards_escalate(void **state)
{
    (void)state;
    struct ifab_guard_facts facts = good_claim();
    for (unsigned bit = 0; bit < 32; bit++) {
        facts.hazards = 1U << bit;
        if (facts.hazards == IFAB_HAZARD_OTHER)
            expect(verdict_of(&facts, false), IFAB_DECISION_SHARE, FINE, "builtin.default-share");
        else /* also bits nobody has defined: INV-06 */
            expect(verdict_of(&facts, false), IFAB_DECISION_ESCALATE, HAZARD, "builtin.hazard");
        facts.hazards |= IFAB_HAZARD_OTHER;
        if (facts.hazards != IFAB_HAZARD_OTHER)
            expect(verdict_of(&facts, false), IFAB_DECISION_ESCALATE, HAZARD, "builtin.hazard");
    }
}

static void parses_hazards_by_exact_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned bit;
    } rows[] = {
        {"legal", IFAB_HAZARD_LEGAL},        {"safety", IFAB_HAZARD_SAFETY},     {"conflict>20%", IFAB_HAZARD_CONFLICT},
        {"ethical", IFAB_HAZARD_OTHER},      {"privacy", IFAB_HAZARD_OTHER},     {"financial", IFAB_HAZARD_OTHER},
        {"security", IFAB_HAZARD_OTHER},     {"technical", IFAB_HAZARD_OTHER},   {"", IFAB_HAZARD_UNKNOWN},
        {"Legal", IFAB_HAZARD_UNKNOWN},      {"legal ", IFAB_HAZARD_UNKNOWN},    {"lega", IFAB_HAZARD_UNKNOWN},
        {"LEGAL", IFAB_HAZARD_UNKNOWN},      {"conflict", IFAB_HAZARD_UNKNOWN},  {"conflict>21%", IFAB_HAZARD_UNKNOWN},
        {"conflict > 20%", IFAB_HAZARD_UNKNOWN}, {"privacy\n", IFAB_HAZARD_UNKNOWN}, {"bias", IFAB_HAZARD_UNKNOWN},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        assert_int_equal(ifab_hazard_parse(ifab_view_str(rows[i].name)), rows[i].bit);
    assert_int_equal(ifab_hazard_parse(ifab_view_of("legal\0x", 7)), IFAB_HAZARD_UNKNOWN);
    assert_int_equal(ifab_hazard_parse(ifab_view_of(NULL, 0)), IFAB_HAZARD_UNKNOWN);
}

/* tests/vectors/envelope/good.json, by name: all are inform with claim, claim_id, scope and evidence. */
static void decides_the_good_vectors_as_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *name, *hazard;
        double confidence;
        enum ifab_decision decision;
    } rows[] = {
        {"share", NULL, 0.72, IFAB_DECISION_SHARE},
        {"hazard legal", "legal", 0.72, IFAB_DECISION_ESCALATE},
        {"hazard conflict", "conflict>20%", 0.99, IFAB_DECISION_ESCALATE},
        {"low confidence", NULL, 0.19, IFAB_DECISION_ESCALATE},
        {"exactly 0.20", NULL, 0.2, IFAB_DECISION_HOLD},
        {"borderline", NULL, 0.29, IFAB_DECISION_HOLD},
        {"exactly 0.30", NULL, 0.3, IFAB_DECISION_SHARE},
        {"smallest share above the line", NULL, 0.30000000000000004, IFAB_DECISION_SHARE},
        {"just below the line", NULL, 0.29999999999999993, IFAB_DECISION_HOLD},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_guard_facts facts = good_claim();
        facts.confidence = rows[i].confidence;
        facts.hazards = rows[i].hazard == NULL ? 0 : ifab_hazard_parse(ifab_view_str(rows[i].hazard));
        assert_string_equal(ifab_decision_name(verdict_of(&facts, false).decision), ifab_decision_name(rows[i].decision));
    }
}

/* INV-06 */
static void zeroed_memory_denies(void **state)
{
    (void)state;
    struct ifab_guard_rules rules;
    struct ifab_guard_facts facts;
    struct ifab_guard_verdict verdict;
    memset(&rules, 0, sizeof rules);
    memset(&facts, 0, sizeof facts);
    memset(&verdict, 0, sizeof verdict);
    assert_int_equal(verdict.decision, IFAB_DECISION_DENY);
    ifab_guard_evaluate(&rules, &facts, false, &verdict);
    expect(verdict, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
    ifab_guard_evaluate(&rules, &facts, true, &verdict);
    expect(verdict, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
    ifab_guard_rules_default(&rules); /* the defaults alone are not a loaded set */
    ifab_guard_evaluate(&rules, &facts, true, &verdict);
    expect(verdict, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
    ifab_guard_evaluate(NULL, &facts, true, &verdict);
    expect(verdict, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
    rules.loaded = true;
    ifab_guard_evaluate(&rules, NULL, true, &verdict);
    expect(verdict, IFAB_DECISION_DENY, "no rules", "builtin.no-rules");
}

/* INV-06: of a claim that is shared, take away or spoil any one thing. */
static void no_claim_with_one_thing_missing_is_shared(void **state)
{
    (void)state;
    struct ifab_guard_facts facts = good_claim();
    assert_int_equal(verdict_of(&facts, false).decision, IFAB_DECISION_SHARE);
    static const double spoiled[] = {NAN, INFINITY, -INFINITY, -1, 2, 0, 0.29};
    for (size_t i = 0; i < IFAB_COUNT(spoiled); i++) {
        facts = good_claim();
        facts.confidence = spoiled[i];
        assert_int_not_equal(verdict_of(&facts, false).decision, IFAB_DECISION_SHARE);
    }
    facts = good_claim();
    facts.has_confidence = false;
    assert_int_not_equal(verdict_of(&facts, false).decision, IFAB_DECISION_SHARE);
    facts = good_claim();
    facts.has_scope = false;
    assert_int_not_equal(verdict_of(&facts, false).decision, IFAB_DECISION_SHARE);
    facts = good_claim();
    facts.hazards = IFAB_HAZARD_UNKNOWN;
    assert_int_not_equal(verdict_of(&facts, false).decision, IFAB_DECISION_SHARE);
}

static void defaults_are_those_of_the_design(void **state)
{
    (void)state;
    struct ifab_guard_rules rules;
    memset(&rules, 0xff, sizeof rules);
    ifab_guard_rules_default(&rules);
    assert_false(rules.loaded);
    assert_int_equal(rules.hold_deadline, 15 * IFAB_MINUTE);
    assert_int_equal(rules.escalate_deadline, 24 * IFAB_HOUR);
    assert_int_equal(rules.votes_needed, 1);
    assert_int_equal(rules.open_max, 10000);
    assert_int_equal(rules.open_max_talent, 256);
    assert_true(rules.hold_burst > 0 && rules.escalate_burst > 0 && rules.hold_refill > 0 && rules.escalate_refill > 0);
}

/* A held decision and a message that is its second source; what the table below changes in one of them. */
struct pair {
    struct ifab_open_decision held;
    struct ifab_guard_facts later;
    uint32_t talent;
    uint8_t owner16[16];
};

static void good_pair(struct pair *pair)
{
    memset(pair, 0, sizeof *pair);
    pair->held.state = IFAB_DECISION_HOLD;
    pair->held.talent = 1;
    memset(pair->held.owner_digest16, 1, 16);
    pair->held.facts = good_claim();
    memset(pair->held.facts.claim_key16, 9, 16);
    memset(pair->held.facts.scope_digest32, 8, 32);
    pair->later = pair->held.facts;
    pair->held.facts.domain_count = pair->later.domain_count = 2;
    pair->held.facts.hash_count = pair->later.hash_count = 2;
    for (uint8_t i = 0; i < 2; i++) {
        memset(pair->held.facts.domains[i], 10 + i, 16);
        memset(pair->held.facts.hashes[i], 20 + i, 16);
        memset(pair->later.domains[i], 30 + i, 16);
        memset(pair->later.hashes[i], 40 + i, 16);
    }
    pair->talent = 2;
    memset(pair->owner16, 2, 16);
}

static bool is_second(const struct pair *pair)
{
    return ifab_guard_second_source(&pair->held, &pair->later, pair->talent, pair->owner16);
}

static void second_source_is_independent_in_every_respect(void **state)
{
    (void)state;
    struct pair pair;
    good_pair(&pair);
    assert_true(is_second(&pair));
#define SPOILED(change)            \
    do {                           \
        good_pair(&pair);          \
        change;                    \
        assert_false(is_second(&pair)); \
    } while (0)
    SPOILED(pair.held.state = IFAB_DECISION_ESCALATE);
    SPOILED(pair.held.state = IFAB_DECISION_SHARE);
    SPOILED(pair.talent = 1);                                      /* the same talent, whoever owns it now */
    SPOILED(memset(pair.owner16, 1, 16));                          /* another talent of the same owner */
    SPOILED(pair.later.second_source_kind = false);                /* neither inform nor agree */
    SPOILED(pair.later.claim_key16[15] ^= 1);
    SPOILED(pair.later.scope_digest32[31] ^= 1);
    SPOILED(pair.later.has_claim_id = false);
    SPOILED(pair.held.facts.has_claim_id = false);
    SPOILED(pair.later.has_scope = false);
    SPOILED(pair.held.facts.has_scope = false);
    SPOILED(memcpy(pair.later.domains[1], pair.held.facts.domains[0], 16));
    SPOILED(memcpy(pair.later.domains[0], pair.held.facts.domains[1], 16));
    SPOILED(memcpy(pair.later.hashes[1], pair.held.facts.hashes[0], 16));
    SPOILED(memcpy(pair.later.hashes[0], pair.held.facts.hashes[1], 16));
    SPOILED(pair.later.domain_count = IFAB_GUARD_SOURCES_MAX + 1);
    SPOILED(pair.held.facts.domain_count = IFAB_GUARD_SOURCES_MAX + 1);
    SPOILED(pair.later.hash_count = IFAB_GUARD_SOURCES_MAX + 1);
    SPOILED(pair.held.facts.hash_count = IFAB_GUARD_SOURCES_MAX + 1);
#undef SPOILED
    good_pair(&pair); /* a domain of one and a hash of the other are different things */
    memcpy(pair.later.hashes[0], pair.held.facts.domains[0], 16);
    assert_true(is_second(&pair));
    good_pair(&pair); /* evidence of its own is not required */
    pair.later.domain_count = pair.later.hash_count = pair.held.facts.domain_count = 0;
    assert_true(is_second(&pair));
    good_pair(&pair); /* the last of 64 counts too */
    pair.later.domain_count = pair.held.facts.domain_count = IFAB_GUARD_SOURCES_MAX;
    for (uint8_t i = 0; i < IFAB_GUARD_SOURCES_MAX; i++) {
        memset(pair.held.facts.domains[i], i, 16);
        memset(pair.later.domains[i], 100 + i, 16);
    }
    assert_true(is_second(&pair));
    memset(pair.later.domains[63], 63, 16);
    assert_false(is_second(&pair));
}

/* Step 3: whatever the operator's rules say, it is never looser than without them; what nobody has defined denies. INV-06 */
static void rules_only_tighten(void **state)
{
    static const struct {
        uint8_t effect, hazards;
        enum ifab_decision fresh, met; /* without and with a second source */
    } cases[] = {
        {IFAB_RULE_NONE, 0, IFAB_DECISION_SHARE, IFAB_DECISION_SHARE},
        {IFAB_RULE_PASS, 0, IFAB_DECISION_SHARE, IFAB_DECISION_SHARE},
        {IFAB_RULE_HOLD, 0, IFAB_DECISION_HOLD, IFAB_DECISION_SHARE},
        {IFAB_RULE_ESCALATE, 0, IFAB_DECISION_ESCALATE, IFAB_DECISION_ESCALATE},
        {IFAB_RULE_DENY, 0, IFAB_DECISION_DENY, IFAB_DECISION_DENY},
        {IFAB_RULE_DENY + 1, 0, IFAB_DECISION_DENY, IFAB_DECISION_DENY},
        {IFAB_RULE_PASS, IFAB_HAZARD_LEGAL, IFAB_DECISION_ESCALATE, IFAB_DECISION_ESCALATE},
        {IFAB_RULE_NONE, IFAB_HAZARD_OTHER, IFAB_DECISION_SHARE, IFAB_DECISION_SHARE},
        {IFAB_RULE_HOLD, IFAB_HAZARD_SAFETY, IFAB_DECISION_ESCALATE, IFAB_DECISION_ESCALATE},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_guard_facts facts = good_claim();
        facts.ruled.effect = cases[i].effect;
        facts.ruled.hazards = cases[i].hazards;
        facts.ruled.votes = cases[i].effect == IFAB_RULE_ESCALATE ? 3 : 0;
        memcpy(facts.ruled.id, "r1", 3);
        struct ifab_guard_verdict fresh = verdict_of(&facts, false), met = verdict_of(&facts, true);
        if (fresh.decision != cases[i].fresh || met.decision != cases[i].met)
            fail_msg("effect %u, hazards %u: %s, %s", cases[i].effect, cases[i].hazards, ifab_decision_name(fresh.decision), ifab_decision_name(met.decision));
        assert_int_equal(fresh.votes, facts.ruled.votes);
        if (cases[i].effect >= IFAB_RULE_HOLD && cases[i].hazards == 0)
            assert_string_equal(fresh.rule, "r1");
        facts.secret_found = true;
        assert_int_equal(verdict_of(&facts, true).decision, IFAB_DECISION_DENY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_only_tighten),
        cmocka_unit_test(routes_by_confidence_at_every_threshold),
        cmocka_unit_test(second_source_makes_step_two_count_as_met_but_no_number_out_of_none),
        cmocka_unit_test(holds_claims_that_lack_confidence_or_scope),
        cmocka_unit_test(strictest_wins_and_of_equal_ones_the_earlier),
        cmocka_unit_test(only_overriding_hazards_escalate),
        cmocka_unit_test(parses_hazards_by_exact_spelling),
        cmocka_unit_test(decides_the_good_vectors_as_they_say),
        cmocka_unit_test(zeroed_memory_denies),
        cmocka_unit_test(no_claim_with_one_thing_missing_is_shared),
        cmocka_unit_test(defaults_are_those_of_the_design),
        cmocka_unit_test(second_source_is_independent_in_every_respect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
