/*
 * The arithmetic of money: what an act makes of the budgets that it touches. No number here can overflow: amounts, limits and what is counted are
 * at most 2^53-1, sums of two of them and their products with 100 fit into 64 bits.
 */
#include "base/mem.h"
#include "money_internal.h"

uint64_t ifab_budget_spent(const struct ifab_budget_state *state)
{
    uint64_t sum = state->settled + state->overrun;
    return sum < IFAB_MONEY_MAX ? sum : IFAB_MONEY_MAX;
}

uint64_t ifab_budget_left(uint64_t limit, const struct ifab_budget_state *state)
{
    uint64_t taken = ifab_budget_spent(state) + state->reserved;
    return limit > taken ? limit - taken : 0;
}

struct ifab_budget_state ifab_budget_now(enum ifab_period period, const struct ifab_budget_state *stored, ifab_usec wall)
{
    ifab_usec start = ifab_period_start(period, wall);
    if (start <= stored->period_start) /* the one under way: none comes twice */
        return *stored;
    return (struct ifab_budget_state){.period_start = start, .used_at = stored->used_at > start ? stored->used_at : start};
}

static bool reached(uint64_t spent, uint64_t limit, enum ifab_level level) { return spent * 100 >= limit * ifab_level_percent(level); }

/* What is stopped has nothing left, which says more. */
static bool is_paused(uint64_t spent, uint64_t limit, bool urgent)
{
    return !urgent && reached(spent, limit, IFAB_LEVEL_PAUSE) && !reached(spent, limit, IFAB_LEVEL_STOP);
}

static unsigned levels_of(uint64_t spent, uint64_t limit)
{
    unsigned bits = 0;
    for (enum ifab_level level = 0; level < IFAB_LEVEL_COUNT; level++)
        bits |= reached(spent, limit, level) ? 1U << level : 0;
    return bits;
}

/* After its numbers have changed: what was reached by that, and when. */
static void finish(struct ifab_money_line *line, ifab_usec wall)
{
    unsigned bits = levels_of(ifab_budget_spent(&line->next), line->budget->limit);
    line->reached = bits & ~line->next.levels;
    line->next.levels |= bits;
    if (wall > line->next.used_at)
        line->next.used_at = wall;
}

static struct ifab_money_line *add_line(struct ifab_money_plan *plan, const struct ifab_budget *budget, ifab_usec wall, ifab_money_look_fn *look, void *user)
{
    struct ifab_budget_state state;
    size_t at = plan->count;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->lines[i].budget == budget)
            return &plan->lines[i];
    if (plan->count == IFAB_BUDGET_LINES_MAX)
        return NULL; /* cannot be: one budget a subject, unit and period */
    if (look == NULL || !look(user, budget->number, &state))
        state = budget->state;
    plan->count++;
    for (; at > 0 && plan->lines[at - 1].budget->number > budget->number; at--)
        plan->lines[at] = plan->lines[at - 1];
    plan->lines[at] = (struct ifab_money_line){.budget = budget, .next = ifab_budget_now(budget->period, &state, wall)};
    return &plan->lines[at];
}

/* Every budget that counts these amounts for one of these subjects; NULL: in any unit. */
static void collect(const struct ifab_money *self, const struct ifab_view *subjects, const uint64_t *amounts, ifab_usec wall, ifab_money_look_fn *look,
                    void *user, struct ifab_money_plan *plan)
{
    for (enum ifab_subject s = 0; s < IFAB_SUBJECT_COUNT; s++)
        for (const struct budget_node *n = ifab_money__of_subject(self, s, subjects[s]); n != NULL; n = n->next)
            if (amounts == NULL || amounts[n->budget.unit] > 0)
                (void)add_line(plan, &n->budget, wall, look, user);
}

static const struct ifab_reservation_line *held_by(const struct ifab_reservation *reservation, uint64_t budget)
{
    for (size_t i = 0; i < reservation->line_count; i++)
        if (reservation->lines[i].budget == budget)
            return &reservation->lines[i];
    return NULL;
}

static enum ifab_code no_room(struct ifab_money_plan *plan, const struct ifab_money_line *line, uint64_t amount, bool paused, struct ifab_refusal *r)
{
    const struct ifab_budget *b = line->budget;
    plan->lacks = b;
    plan->lacks_period = line->next.period_start;
    uint64_t left = ifab_budget_left(b->limit, &line->next);
    if (paused)
        return ifab_refuse(r, IFAB_CODE_BUDGET_EXCEEDED, "budget", "budget " IFAB_FMT " is paused at 95 %%: %llu of %llu %s are spent, and only P0 goes on",
                           IFAB_ARG(b->id), (unsigned long long)ifab_budget_spent(&line->next), (unsigned long long)b->limit, ifab_unit_name(b->unit));
    if (left == 0)
        return ifab_refuse(r, IFAB_CODE_BUDGET_EXCEEDED, "budget", "budget " IFAB_FMT " has nothing left of %llu %s", IFAB_ARG(b->id), (unsigned long long)b->limit,
                           ifab_unit_name(b->unit));
    return ifab_refuse(r, IFAB_CODE_BUDGET_EXCEEDED, "budget", "budget " IFAB_FMT " has %llu of %llu %s left, %llu were asked for", IFAB_ARG(b->id),
                       (unsigned long long)left, (unsigned long long)b->limit, ifab_unit_name(b->unit), (unsigned long long)amount);
}

enum ifab_code ifab_money_reserve(const struct ifab_money *self, const struct ifab_spend *spend, bool urgent, ifab_usec wall,
                                  ifab_money_look_fn *look, void *user, struct ifab_money_plan *plan, struct ifab_refusal *r)
{
    bool some = false;
    plan->count = 0;
    plan->lacks = NULL;
    for (size_t i = 0; i < IFAB_UNIT_COUNT; i++) {
        some = some || spend->amounts[i] > 0;
        if (spend->amounts[i] > IFAB_MONEY_MAX)
            return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, ifab_unit_name((enum ifab_unit)i), "at most 2^53-1");
    }
    if (!some)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "", "nothing is asked for: usd_micro, tokens or calls must be above 0");
    collect(self, spend->subjects, spend->amounts, wall, look, user, plan);
    for (size_t i = 0; i < plan->count; i++) {
        struct ifab_money_line *line = &plan->lines[i];
        uint64_t amount = spend->amounts[line->budget->unit], spent = ifab_budget_spent(&line->next), limit = line->budget->limit;
        bool paused = is_paused(spent, limit, urgent);
        if (paused || amount > ifab_budget_left(limit, &line->next)) {
            (void)no_room(plan, line, amount, paused, r);
            plan->count = 0; /* all or nothing */
            return IFAB_CODE_BUDGET_EXCEEDED;
        }
        line->next.reserved += amount;
        finish(line, wall);
    }
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_money_admit(const struct ifab_money *self, const struct ifab_view subjects[IFAB_SUBJECT_COUNT], const struct ifab_reservation *held,
                                bool urgent, ifab_usec wall, ifab_money_look_fn *look, void *user, struct ifab_money_plan *room, struct ifab_refusal *r)
{
    room->count = 0;
    room->lacks = NULL;
    collect(self, subjects, NULL, wall, look, user, room);
    for (size_t i = 0; i < room->count; i++) {
        const struct ifab_money_line *line = &room->lines[i];
        const struct ifab_reservation_line *own = held == NULL ? NULL : held_by(held, line->budget->number);
        struct ifab_budget_state others = line->next;
        uint64_t limit = line->budget->limit, holds = own == NULL ? 0 : held->spend.amounts[line->budget->unit];
        bool paused = is_paused(ifab_budget_spent(&others), limit, urgent);
        if (own != NULL && own->period_start == others.period_start)
            others.reserved -= holds < others.reserved ? holds : others.reserved;
        if (paused || ifab_budget_left(limit, &others) == 0)
            return no_room(room, line, 0, paused, r);
    }
    return IFAB_CODE_NONE;
}

/* Spent all the same: what has room is settled, the rest is overrun. */
static void spend_more(struct ifab_money_line *line, uint64_t amount)
{
    uint64_t left = ifab_budget_left(line->budget->limit, &line->next), fit = amount < left ? amount : left;
    line->next.settled += fit;
    line->overrun = amount - fit;
    line->next.overrun = line->next.overrun > IFAB_MONEY_MAX - line->overrun ? IFAB_MONEY_MAX : line->next.overrun + line->overrun;
}

void ifab_money_charge(const struct ifab_money *self, const struct ifab_spend *spend, ifab_usec wall, ifab_money_look_fn *look, void *user,
                       struct ifab_money_plan *plan)
{
    plan->count = 0;
    collect(self, spend->subjects, spend->amounts, wall, look, user, plan);
    for (size_t i = 0; i < plan->count; i++) {
        uint64_t amount = spend->amounts[plan->lines[i].budget->unit];
        spend_more(&plan->lines[i], amount < IFAB_MONEY_MAX ? amount : IFAB_MONEY_MAX);
        finish(&plan->lines[i], wall);
    }
}

void ifab_money_settle(const struct ifab_money *self, const struct ifab_reservation *v, const uint64_t *amounts, ifab_usec wall, ifab_money_look_fn *look,
                       void *user, struct ifab_money_plan *plan)
{
    plan->count = 0;
    if (amounts != NULL)
        collect(self, v->spend.subjects, amounts, wall, look, user, plan);
    for (size_t i = 0; i < v->line_count; i++) {
        const struct ifab_budget *budget = ifab_money_budget_at(self, v->lines[i].budget);
        if (budget != NULL) /* it may have been removed since */
            (void)add_line(plan, budget, wall, look, user);
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct ifab_money_line *line = &plan->lines[i];
        enum ifab_unit unit = line->budget->unit;
        const struct ifab_reservation_line *held = held_by(v, line->budget->number);
        uint64_t spent = amounts == NULL ? 0 : amounts[unit] < IFAB_MONEY_MAX ? amounts[unit] : IFAB_MONEY_MAX;
        uint64_t was = held == NULL ? 0 : v->spend.amounts[unit], within = spent < was ? spent : was;
        if (held != NULL && held->period_start == line->next.period_start) { /* of an earlier period: that one's account is closed */
            line->next.reserved -= was < line->next.reserved ? was : line->next.reserved;
            line->next.settled += within;
        }
        spend_more(line, spent - within);
        finish(line, wall);
    }
}

struct ifab_budget_state ifab_money_relimit(enum ifab_period period, const struct ifab_budget_state *stored, uint64_t limit, ifab_usec wall,
                                            unsigned *ret_reached)
{
    struct ifab_budget_state next = ifab_budget_now(period, stored, wall);
    unsigned bits = levels_of(ifab_budget_spent(&next), limit);
    *ret_reached = bits & ~next.levels;
    next.levels = bits;
    if (wall > next.used_at)
        next.used_at = wall;
    return next;
}
