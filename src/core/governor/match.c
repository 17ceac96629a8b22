/* Matching: exact fractions, no rounding, one order for one question. */
#include "governor/match.h"

#include "base/mem.h"
#include "json/json.h"

__extension__ typedef unsigned __int128 wide;

#define IFAB_G_(name, text) text,
static const char *const strategies[] = {IFAB_STRATEGY_MAP(IFAB_G_)}, *const misfits[] = {IFAB_MISFIT_MAP(IFAB_G_)};
#undef IFAB_G_
static const uint32_t relation_weights[] = {[IFAB_RELATION_NONE] = 70, [IFAB_RELATION_RULER] = 95,  [IFAB_RELATION_FRIEND] = 85,
                                            [IFAB_RELATION_ELDER] = 80, [IFAB_RELATION_PARENT] = 75, [IFAB_RELATION_SPOUSE] = 70};

const char *ifab_strategy_name(enum ifab_strategy strategy) { return (size_t)strategy < IFAB_STRATEGY_COUNT ? strategies[strategy] : ""; }
const char *ifab_misfit_text(enum ifab_misfit misfit) { return (size_t)misfit < IFAB_MISFIT_COUNT ? misfits[misfit] : ""; }

bool ifab_strategy_parse(struct ifab_view text, enum ifab_strategy *ret_strategy)
{
    for (size_t i = 0; i < IFAB_STRATEGY_COUNT; i++)
        if (ifab_view_is(text, strategies[i])) {
            *ret_strategy = (enum ifab_strategy)i;
            return true;
        }
    return false;
}

/* num / den with both above 0 as far as they go: up to 32 x 8000 x 95 over 32 x 11000 x 2^53. */
struct score {
    uint64_t num;
    wide den;
};

static int compare_score(struct score a, struct score b)
{
    wide left = a.num * b.den, right = b.num * a.den; /* < 2^25 x 2^73 */
    return (left > right) - (left < right);
}

static uint64_t cost_of(const struct ifab_candidate *c) { return c->cost_usd_micro == 0 ? 1 : c->cost_usd_micro; } /* nothing divides by 0 */

static struct score score_of(enum ifab_strategy strategy, const struct ifab_candidate *c, unsigned covered, unsigned needed)
{
    switch (strategy) {
    case IFAB_STRATEGY_COVERAGE:
        return (struct score){covered, needed};
    case IFAB_STRATEGY_CHEAPEST:
        return (struct score){1, cost_of(c)};
    case IFAB_STRATEGY_REPUTATION:
        return (struct score){c->reputation.num, c->reputation.den};
    case IFAB_STRATEGY_WU_LUN:
        return (struct score){(uint64_t)covered * c->reputation.num * relation_weights[c->relation],
                              (wide)needed * c->reputation.den * 100 * cost_of(c)};
    case IFAB_STRATEGY_SCORE:
    case IFAB_STRATEGY_COUNT:
        break;
    }
    return (struct score){(uint64_t)covered * c->reputation.num, (wide)needed * c->reputation.den * cost_of(c)};
}

struct asked { /* needs without those that stand twice: bit i is the first of its name */
    const struct ifab_match_question *question;
    uint32_t bits;
    unsigned count;
};

static enum ifab_code read_question(const struct ifab_match_question *question, size_t candidates, struct asked *ret, struct ifab_refusal *r)
{
    if (question->need_count == 0)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "needs", "say what is needed");
    if (question->need_count > IFAB_NEEDS_MAX || candidates > IFAB_MATCH_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "needs", "at most %d skills can be needed", IFAB_NEEDS_MAX);
    *ret = (struct asked){question, 0, 0};
    for (size_t i = 0; i < question->need_count; i++) {
        bool first = true;
        for (size_t k = 0; k < i; k++)
            first = first && !ifab_view_equal(question->needs[k], question->needs[i]);
        ret->bits |= first ? 1U << i : 0;
        ret->count += first;
    }
    return IFAB_CODE_NONE;
}

static uint32_t covered_by(const struct asked *asked, const struct ifab_candidate *c)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < asked->question->need_count; i++)
        for (size_t k = 0; k < c->skill_count && (asked->bits >> i & 1) != 0; k++)
            if (ifab_view_equal(asked->question->needs[i], c->skills[k])) {
                bits |= 1U << i;
                break;
            }
    return bits;
}

static unsigned count_bits(uint32_t bits) { return (unsigned)__builtin_popcount(bits); }
static bool enough(unsigned covered, unsigned needed) { return covered * 1000 >= needed * IFAB_COVERAGE_PERMILLE; }

/* Coverage apart: what keeps it from helping at all. */
static enum ifab_misfit fitness(const struct ifab_match_question *q, const struct ifab_candidate *c)
{
    if (q->not_this.size > 0 && ifab_view_equal(q->not_this, c->id))
        return IFAB_MISFIT_ASKER;
    if (c->away)
        return IFAB_MISFIT_AWAY;
    if (c->breaker_open)
        return IFAB_MISFIT_BREAKER;
    if (c->budget_spent)
        return IFAB_MISFIT_BUDGET;
    if (c->in_hand >= c->at_most)
        return IFAB_MISFIT_BUSY;
    if (q->has_cost_max && c->cost_usd_micro > q->cost_max)
        return IFAB_MISFIT_COST;
    return IFAB_MISFIT_NONE;
}

static struct ifab_match judge(const struct asked *asked, const struct ifab_candidate *candidates, size_t at)
{
    uint32_t covered = covered_by(asked, &candidates[at]);
    struct ifab_match m = {at, fitness(asked->question, &candidates[at]), covered, count_bits(covered)};
    if (m.misfit == IFAB_MISFIT_NONE && !enough(m.cover_count, asked->count))
        m.misfit = IFAB_MISFIT_COVERAGE;
    return m;
}

/* Below 0: a stands before b. Total, as long as ids differ. */
static int better(const struct asked *asked, const struct ifab_candidate *candidates, size_t at_a, unsigned covered_a, size_t at_b, unsigned covered_b)
{
    const struct ifab_candidate *a = &candidates[at_a], *b = &candidates[at_b];
    enum ifab_strategy strategy = asked->question->strategy;
    int by = compare_score(score_of(strategy, b, covered_b, asked->count), score_of(strategy, a, covered_a, asked->count));
    if (by == 0)
        by = compare_score((struct score){b->reputation.num, b->reputation.den}, (struct score){a->reputation.num, a->reputation.den});
    if (by == 0)
        by = (a->in_hand > b->in_hand) - (a->in_hand < b->in_hand);
    return by != 0 ? by : ifab_view_compare(a->id, b->id);
}

static bool stands_before(const struct asked *asked, const struct ifab_candidate *candidates, const struct ifab_match *a, const struct ifab_match *b)
{
    bool fits_a = a->misfit == IFAB_MISFIT_NONE, fits_b = b->misfit == IFAB_MISFIT_NONE;
    if (fits_a != fits_b)
        return fits_a;
    if (!fits_a)
        return ifab_view_compare(candidates[a->candidate].id, candidates[b->candidate].id) < 0;
    return better(asked, candidates, a->candidate, a->cover_count, b->candidate, b->cover_count) < 0;
}

/* A heap turned into a sorted list: no memory beyond the caller's, and never quadratic. */
static void sift(const struct asked *asked, const struct ifab_candidate *candidates, struct ifab_match *m, size_t at, size_t count)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && stands_before(asked, candidates, &m[child], &m[child + 1]))
            child++;
        if (!stands_before(asked, candidates, &m[at], &m[child]))
            return;
        struct ifab_match swapped = m[at];
        m[at] = m[child];
        m[child] = swapped;
        at = child;
    }
}

enum ifab_code ifab_match_all(const struct ifab_match_question *question, const struct ifab_candidate *candidates, size_t count,
                              struct ifab_match *ret, size_t *ret_fit, struct ifab_refusal *r)
{
    struct asked asked;
    enum ifab_code code = read_question(question, count, &asked, r);
    if (code != IFAB_CODE_NONE)
        return code;
    *ret_fit = 0;
    for (size_t i = 0; i < count; i++) {
        ret[i] = judge(&asked, candidates, i);
        *ret_fit += ret[i].misfit == IFAB_MISFIT_NONE;
    }
    for (size_t i = count / 2; i-- > 0;)
        sift(&asked, candidates, ret, i, count);
    for (size_t left = count; left > 1; left--) {
        struct ifab_match last = ret[left - 1];
        ret[left - 1] = ret[0];
        ret[0] = last;
        sift(&asked, candidates, ret, 0, left - 1);
    }
    return IFAB_CODE_NONE;
}

/* Who of those that may help covers most of what is left; alone: only who covers 0.70 of all, best score first. count: nobody. */
static size_t pick(const struct asked *asked, const struct ifab_candidate *candidates, size_t count, uint32_t left, bool alone, size_t not_this)
{
    size_t best = count;
    unsigned best_gain = 0;
    for (size_t i = 0; i < count; i++) {
        struct ifab_match m = judge(asked, candidates, i);
        unsigned gain = count_bits(m.covered & left);
        bool may = m.misfit == IFAB_MISFIT_NONE || (!alone && m.misfit == IFAB_MISFIT_COVERAGE);
        if (!may || gain == 0 || i == not_this)
            continue;
        bool wins = best == count || (!alone && gain > best_gain) ||
                    ((alone || gain == best_gain) && better(asked, candidates, i, gain, best, best_gain) < 0);
        if (wins) {
            best = i;
            best_gain = gain;
        }
    }
    return best;
}

enum ifab_code ifab_match_helpers(const struct ifab_match_question *question, const struct ifab_candidate *candidates, size_t count,
                                  struct ifab_helper ret_helpers[IFAB_HELPERS_MAX], size_t *ret_count, struct ifab_refusal *r)
{
    struct asked asked;
    enum ifab_code code = read_question(question, count, &asked, r);
    if (code != IFAB_CODE_NONE)
        return code;
    uint32_t left = asked.bits;
    size_t chosen = 0, at = pick(&asked, candidates, count, left, true, count);
    if (at == count)
        at = pick(&asked, candidates, count, left, false, count);
    while (at < count && chosen < IFAB_HELPERS_MAX) {
        uint32_t part = covered_by(&asked, &candidates[at]) & left;
        ret_helpers[chosen++] = (struct ifab_helper){at, part};
        left &= ~part;
        at = left == 0 ? count : pick(&asked, candidates, count, left, false, at);
    }
    *ret_count = enough(asked.count - count_bits(left), asked.count) ? chosen : 0;
    return IFAB_CODE_NONE;
}

/* A fraction as people read it: six digits behind the point, rounded down. The order never comes from this. */
static void put_fraction(struct ifab_buf *buf, struct score score)
{
    wide scaled = (wide)score.num * 1000000 / score.den;
    ifab_buf_format(buf, "\"%llu.%06llu\"", (unsigned long long)(scaled / 1000000), (unsigned long long)(scaled % 1000000));
}

static void put_missing(struct ifab_buf *buf, const struct asked *asked, uint32_t covered)
{
    const char *comma = "";
    for (size_t i = 0; i < asked->question->need_count; i++)
        if ((asked->bits >> i & 1) != 0 && (covered >> i & 1) == 0) {
            ifab_buf_str(buf, comma);
            ifab_json_put_string(buf, asked->question->needs[i]);
            comma = ",";
        }
}

static void explain_one(struct ifab_buf *buf, const struct asked *asked, const struct ifab_candidate *c, const struct ifab_match *m)
{
    ifab_buf_str(buf, "{\"candidate\":");
    ifab_json_put_string(buf, c->id);
    ifab_buf_format(buf, ",\"cost_usd_micro\":%llu,\"coverage\":{\"covered\":%u,\"of\":%u},\"fits\":%s,\"missing\":[", (unsigned long long)c->cost_usd_micro,
                    m->cover_count, asked->count, m->misfit == IFAB_MISFIT_NONE ? "true" : "false");
    put_missing(buf, asked, m->covered);
    ifab_buf_str(buf, "],\"reputation\":");
    put_fraction(buf, (struct score){c->reputation.num, c->reputation.den});
    ifab_buf_str(buf, ",\"score\":");
    struct score score = score_of(asked->question->strategy, c, m->cover_count, asked->count);
    score.num *= 1000000; /* by dollars, which people think in, where a cost is in it */
    if (asked->question->strategy == IFAB_STRATEGY_COVERAGE || asked->question->strategy == IFAB_STRATEGY_REPUTATION)
        score.den *= 1000000;
    put_fraction(buf, score);
    ifab_buf_str(buf, ",\"why\":");
    ifab_json_put_cstr(buf, ifab_misfit_text(m->misfit));
    ifab_buf_char(buf, '}');
}

enum ifab_code ifab_match_explain(const struct ifab_match_question *question, const struct ifab_candidate *candidates, size_t count,
                                  struct ifab_buf *buf, struct ifab_refusal *r)
{
    struct asked asked;
    size_t fit;
    struct ifab_match *all = ifab_calloc(count + 1, sizeof *all);
    if (all == NULL)
        return ifab_refuse(r, IFAB_CODE_SYSTEM_ERROR, "", "out of memory");
    enum ifab_code code = read_question(question, count, &asked, r);
    if (code == IFAB_CODE_NONE)
        code = ifab_match_all(question, candidates, count, all, &fit, r);
    if (code == IFAB_CODE_NONE) {
        ifab_buf_str(buf, "{\"items\":[");
        for (size_t i = 0; i < count; i++) {
            ifab_buf_str(buf, i > 0 ? "," : "");
            explain_one(buf, &asked, &candidates[all[i].candidate], &all[i]);
        }
        ifab_buf_str(buf, "],\"needs\":[");
        put_missing(buf, &asked, 0);
        ifab_buf_format(buf, "],\"strategy\":\"%s\"}", ifab_strategy_name(question->strategy));
    }
    ifab_free(all);
    return code;
}
