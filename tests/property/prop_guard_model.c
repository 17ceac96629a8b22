/* 10^6 random facts against an independent model of DESIGN section 5; and the model's own laws. IFAB_SEED=N repeats a run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20251112;

static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double draw_confidence(void)
{
    static const double special[] = {
        0,   -0.0, 0.2,      0.3,       0.19999999999999998, 0.20000000000000004, 0.29999999999999993, 0.30000000000000004,
        1,   NAN,  INFINITY, -INFINITY, -1e-9,               1.0000000000000002,  5e-324,              0.72,
    };
    uint64_t kind = draw() % 4;
    if (kind == 0)
        return special[draw() % IFAB_COUNT(special)];
    if (kind == 1) { /* any bits at all */
        uint64_t bits = draw();
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    return (double)(draw() % 1000001) / (kind == 2 ? 1e6 : 3e6);
}

/* Written the other way round: which answers are there at all, then the strictest. */
static enum ifab_decision model(bool rules, const struct ifab_guard_facts *f, bool met)
{
    bool number = f->has_confidence && isfinite(f->confidence) && !(f->confidence < 0) && !(f->confidence > 1);
    bool deny = !rules || f->secret_found || f->ruled.effect >= 4;
    bool escalate = (f->hazards | f->ruled.hazards | 16U) != 16U || (f->has_confidence && !number) || (!met && number && f->confidence < 0.20) || f->ruled.effect == 3;
    bool hold = !met && (f->ruled.effect == 2 || (number && f->confidence < 0.30) || (f->is_claim && !(f->has_confidence && f->has_scope)));
    return deny ? IFAB_DECISION_DENY : escalate ? IFAB_DECISION_ESCALATE : hold ? IFAB_DECISION_HOLD : IFAB_DECISION_SHARE;
}

static void draw_facts(struct ifab_guard_facts *facts)
{
    uint64_t bits = draw();
    facts->is_claim = bits & 1;
    facts->has_scope = bits & 2;
    facts->has_confidence = bits & 4;
    facts->secret_found = (bits & 0xf0) == 0;
    facts->second_source_kind = bits & 0x100;
    facts->has_claim_id = bits & 0x200;
    facts->confidence = draw_confidence();
    facts->hazards = (bits & 0xc00) == 0 ? (unsigned)draw() : (bits & 0xc00) == 0x400 ? 1U << (draw() % 32) : (bits & 0x1000 ? 16U : 0U);
    facts->ruled.hazards = (uint8_t)((bits >> 40) % 64 == 0 ? bits >> 48 : (bits >> 40) % 64 == 1 ? 16 : 0);
    facts->ruled.effect = (uint8_t)(bits & 0x2000 ? 0 : (bits >> 16) % 6); /* 5: nobody defined it */
    facts->ruled.votes = (uint8_t)(facts->ruled.effect == IFAB_RULE_ESCALATE ? (bits >> 24) % 17 : 0);
}

static void million_random_facts_decide_as_the_model(void **state)
{
    (void)state;
    struct ifab_guard_rules rules;
    struct ifab_guard_facts facts;
    unsigned long seen[4] = {0};
    ifab_guard_rules_default(&rules);
    memset(&facts, 0, sizeof facts);
    for (unsigned long i = 0; i < 1000000; i++) {
        struct ifab_guard_verdict verdict;
        draw_facts(&facts);
        rules.loaded = draw() % 16 != 0;
        bool met = draw() % 4 == 0;
        ifab_guard_evaluate(&rules, &facts, met, &verdict);
        enum ifab_decision due = model(rules.loaded, &facts, met);
        if (verdict.decision != due)
            fail_msg("case %lu of this seed: %s, the model says %s (confidence %a hazards %x)", i, ifab_decision_name(verdict.decision),
                     ifab_decision_name(due), facts.confidence, facts.hazards);
        assert_non_null(verdict.reason);
        assert_true(strncmp(verdict.rule, "builtin.", 8) == 0 || (verdict.rule == facts.ruled.id && facts.ruled.effect >= IFAB_RULE_HOLD));
        if (verdict.decision == IFAB_DECISION_ESCALATE) /* whoever gives the reason, a rule's number of votes stands */
            assert_int_equal(verdict.votes, facts.ruled.votes);
        seen[verdict.decision]++;
    }
    for (size_t i = 0; i < 4; i++)
        assert_true(seen[i] > 10000); /* the generator reaches every answer */
}

/* Taking a good thing away, or adding a bad one, never makes it laxer. INV-06 */
static void nothing_missing_makes_it_laxer(void **state)
{
    (void)state;
    struct ifab_guard_rules rules;
    struct ifab_guard_facts facts;
    ifab_guard_rules_default(&rules);
    rules.loaded = true;
    memset(&facts, 0, sizeof facts);
    for (unsigned long i = 0; i < 200000; i++) {
        struct ifab_guard_verdict before, after;
        draw_facts(&facts);
        ifab_guard_evaluate(&rules, &facts, false, &before);
        struct ifab_guard_facts worse = facts;
        switch (draw() % 6) {
        case 4: /* a stricter rule */
            worse.ruled.effect = (uint8_t)(facts.ruled.effect + draw() % 3);
            break;
        case 0:
            worse.has_scope = false;
            break;
        case 1:
            worse.hazards |= 1U << (draw() % 32);
            break;
        case 2:
            worse.secret_found = true;
            break;
        case 3:
            worse.is_claim = true;
            break;
        default:
            worse.confidence = NAN; /* of a number that is there */
            break;
        }
        ifab_guard_evaluate(&rules, &worse, false, &after);
        assert_true(after.decision <= before.decision);
        ifab_guard_evaluate(&rules, &facts, true, &after);
        assert_true(after.decision >= before.decision); /* a second source never makes it stricter */
    }
}

int main(void)
{
    const char *text = getenv("IFAB_SEED");
    if (text != NULL)
        seed = strtoull(text, NULL, 10);
    printf("# seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(million_random_facts_decide_as_the_model),
        cmocka_unit_test(nothing_missing_makes_it_laxer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
