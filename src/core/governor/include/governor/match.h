#ifndef GOVERNOR_MATCH_H
#define GOVERNOR_MATCH_H
/*
 * Who can do it: coverage = |have ∩ need| ÷ |need| must be at least 0.70; score = coverage × reputation ÷ cost. DESIGN section 5 Governor.
 * Pure, exact: scores are compared as fractions by cross multiplication, never rounded. Ties: the better reputation, the fewer tasks in hand,
 * then the id in order of bytes. Names are sets: one that stands twice counts once.
 */
#include "base/buf.h"
#include "base/code.h"
#include "governor/breaker.h"

#define IFAB_NEEDS_MAX       32
#define IFAB_SKILLS_MAX      64
#define IFAB_HELPERS_MAX     2
#define IFAB_MATCH_MAX       1000 /* candidates of one question */
#define IFAB_COVERAGE_PERMILLE 700

/* X(NAME, "name"): how candidates are ordered. SCORE is the one in force; the others are used only where somebody names them. */
#define IFAB_STRATEGY_MAP(X) X(SCORE, "score") X(COVERAGE, "coverage") X(CHEAPEST, "cheapest") X(REPUTATION, "reputation") X(WU_LUN, "wu-lun")
#define IFAB_G_(name, text) IFAB_STRATEGY_##name,
enum ifab_strategy { IFAB_STRATEGY_MAP(IFAB_G_) IFAB_STRATEGY_COUNT };
#undef IFAB_G_
const char *ifab_strategy_name(enum ifab_strategy strategy);
bool ifab_strategy_parse(struct ifab_view text, enum ifab_strategy *ret_strategy);

/* Five relations between the one who asks and the candidate; each weighs the score of the strategy wu-lun by .95 .85 .80 .75 .70. */
enum ifab_relation { IFAB_RELATION_NONE, IFAB_RELATION_RULER, IFAB_RELATION_FRIEND, IFAB_RELATION_ELDER, IFAB_RELATION_PARENT, IFAB_RELATION_SPOUSE };

struct ifab_candidate {
    struct ifab_view id;
    const struct ifab_view *skills;
    size_t skill_count;         /* <= IFAB_SKILLS_MAX */
    uint64_t cost_usd_micro;    /* of this piece of work: like is compared with like; 0 counts as 1 */
    struct ifab_ratio reputation;
    uint32_t in_hand, at_most;  /* tasks it has, and may have at once */
    bool away;                  /* not heard of, or in error */
    bool breaker_open, budget_spent;
    enum ifab_relation relation;
};
struct ifab_match_question {
    const struct ifab_view *needs;
    size_t need_count;          /* 1..IFAB_NEEDS_MAX */
    struct ifab_view not_this;  /* the blocked one; size 0: nobody */
    bool has_cost_max;
    uint64_t cost_max;          /* of this piece of work */
    enum ifab_strategy strategy;
};
/* X(NAME, "text"): why a candidate is not taken. The first that holds. */
#define IFAB_MISFIT_MAP(X)                                                     \
    X(NONE, "fits")                                                            \
    X(ASKER, "it is the one that asks")                                        \
    X(AWAY, "not heard of, or in error")                                       \
    X(BREAKER, "its breaker is open")                                          \
    X(BUDGET, "its budget is spent")                                           \
    X(BUSY, "has as many tasks as it may")                                     \
    X(COST, "costs more than was allowed")                                     \
    X(COVERAGE, "covers less than 70 % of what is needed")
#define IFAB_G_(name, text) IFAB_MISFIT_##name,
enum ifab_misfit { IFAB_MISFIT_MAP(IFAB_G_) IFAB_MISFIT_COUNT };
#undef IFAB_G_
const char *ifab_misfit_text(enum ifab_misfit misfit);

struct ifab_match {
    size_t candidate;      /* its place in what was given */
    enum ifab_misfit misfit;
    uint32_t covered;      /* bits of needs, after equal ones were made one */
    unsigned cover_count;
};
/*
 * Judges all candidates: those that fit first, best first; the others behind them by id. ret has room for `count` (<= IFAB_MATCH_MAX).
 * NONE and the number that fit; 208: nothing is needed, or too much.
 */
enum ifab_code ifab_match_all(const struct ifab_match_question *question, const struct ifab_candidate *candidates, size_t count,
                              struct ifab_match *ret, size_t *ret_fit, struct ifab_refusal *ret_refusal);

struct ifab_helper {
    size_t candidate;
    uint32_t part; /* bits of needs[] that are its part of the work */
};
/*
 * At most IFAB_HELPERS_MAX helpers, each with a part of its own: first the best that covers 0.70 alone; without one, greedily whoever covers most
 * of what is left (then the better score), if together they cover 0.70. What the first leaves over is offered to one more. 0: nobody, a person
 * must. 604 is the caller's to say.
 */
enum ifab_code ifab_match_helpers(const struct ifab_match_question *question, const struct ifab_candidate *candidates, size_t count,
                                  struct ifab_helper ret_helpers[IFAB_HELPERS_MAX], size_t *ret_count, struct ifab_refusal *ret_refusal);
/* Appends {"items":[{"candidate","coverage":{"of","covered"},"fits","missing","reputation","score","why"}…],"needs","strategy"}. */
enum ifab_code ifab_match_explain(const struct ifab_match_question *question, const struct ifab_candidate *candidates, size_t count,
                                  struct ifab_buf *buf, struct ifab_refusal *ret_refusal);
#endif
