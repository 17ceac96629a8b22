/*
 * What money entries leave: budgets with what was spent under them, the price table, breakers that a person has not reset. Each cost is counted
 * again by the governor itself. Reservations are not: who held one reports what it did cost.
 */
#include <string.h>

#include "salvage.h"

static uint64_t integer_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return value < 0 ? 0 : (uint64_t)value;
}

static bool is(const struct ifab_json *tree, const char *operation) { return ifab_view_is(ifab_json_text(tree, "operation"), operation); }

static ifab_status load_state(struct salvage *s, uint64_t number, const struct ifab_budget_state *state, struct ifab_error *err)
{
    uint8_t packed[IFAB_BUDGET_STATE_PACKED];
    return ifab_money_load_state(s->money, number, ifab_view_of(packed, ifab_budget_state_pack(state, packed)), err);
}

/* A restore says beside the record what was spent before it. */
static struct ifab_budget_state stated(const struct ifab_json *payload)
{
    const struct ifab_json *of = ifab_json_get(payload, "state");
    struct ifab_budget_state state = {.settled = integer_of(of, "settled"), .overrun = integer_of(of, "overrun")};
    if (of != NULL && ifab_time_parse(ifab_json_text(of, "period_start"), &state.period_start) == IFAB_OK)
        state.used_at = state.period_start;
    return state;
}

static ifab_status set_budget(struct salvage *s, const struct ifab_json *payload, ifab_usec time, struct ifab_error *err)
{
    const struct ifab_json *record = ifab_json_get(payload, "record");
    const struct ifab_budget *old = ifab_money_budget(s->money, ifab_json_text(record, "id"));
    struct ifab_budget_state state = old != NULL ? old->state : stated(payload);
    uint64_t number = old != NULL ? old->number : ++s->money_number;
    unsigned unused;
    ifab_buf_clear(&s->canonical);
    ifab_json_write(&s->canonical, record);
    IFAB_TRY(ifab_buf_status(&s->canonical));
    IFAB_TRY(ifab_money_load_budget(s->money, number, ifab_buf_as_view(&s->canonical), err));
    const struct ifab_budget *now = ifab_money_budget_at(s->money, number);
    state = ifab_money_relimit(now->period, &state, now->limit, time, &unused);
    return load_state(s, number, &state, err);
}

static ifab_status end_budget(struct salvage *s, struct ifab_view id, struct ifab_error *err)
{
    const struct ifab_budget *old = ifab_money_budget(s->money, id);
    return old == NULL ? IFAB_OK : ifab_money_load_budget(s->money, old->number, (struct ifab_view){NULL, 0}, err);
}

static ifab_status count_cost(struct salvage *s, const struct ifab_json *tree, ifab_usec time, struct ifab_error *err)
{
    const struct ifab_json *payload = ifab_json_get(tree, "payload"), *cost = ifab_json_get(tree, "cost");
    struct ifab_money_plan *plan = ifab_arena_alloc(&s->arena, sizeof *plan);
    struct ifab_spend spend = {.subjects = {[IFAB_SUBJECT_PROVIDER] = ifab_json_text(payload, "provider"),
                                            [IFAB_SUBJECT_CAPABILITY] = ifab_json_text(payload, "capability"),
                                            [IFAB_SUBJECT_TALENT] = ifab_json_text(payload, "talent"),
                                            [IFAB_SUBJECT_SWARM] = ifab_json_text(payload, "swarm"),
                                            [IFAB_SUBJECT_TRACE] = ifab_json_text(tree, "trace")},
                               .amounts = {[IFAB_UNIT_USD_MICRO] = integer_of(cost, "usd_micro"),
                                           [IFAB_UNIT_TOKENS] = integer_of(cost, "tokens_in") + integer_of(cost, "tokens_out"),
                                           [IFAB_UNIT_CALLS] = integer_of(cost, "calls")}};
    if (plan == NULL)
        return IFAB_NOMEM;
    ifab_money_charge(s->money, &spend, time, NULL, NULL, plan);
    for (size_t i = 0; i < plan->count; i++)
        IFAB_TRY(load_state(s, plan->lines[i].budget->number, &plan->lines[i].next, err));
    return IFAB_OK;
}

/* subject: "swarm:NAME". That of a capability closes by itself. */
static ifab_status keep_breaker(struct salvage *s, const struct ifab_json *tree, struct ifab_error *err)
{
    static const char prefix[] = "swarm:";
    struct ifab_view subject = ifab_json_text(tree, "subject"), cause = ifab_json_text(ifab_json_get(tree, "payload"), "cause");
    uint8_t packed[IFAB_BREAKER_PACKED_MAX];
    if (!ifab_view_starts(subject, IFAB_VIEW("swarm:")))
        return IFAB_OK;
    struct ifab_view name = ifab_view_of(subject.data + sizeof prefix - 1, subject.size - (sizeof prefix - 1));
    const struct ifab_breaker *old = ifab_breakers_find(s->breakers, IFAB_BREAKER_SWARM, name);
    struct ifab_breaker breaker = {.number = old != NULL ? old->number : ++s->money_number, .kind = IFAB_BREAKER_SWARM, .name = name};
    if (is(tree, "tripped"))
        ifab_breaker_trip(&breaker, ifab_view_is(cause, "budget_exceeded") ? IFAB_CAUSE_BUDGET : IFAB_CAUSE_FAILURES, 0);
    return ifab_breakers_load(s->breakers, breaker.number, ifab_view_of(packed, ifab_breaker_pack(&breaker, packed)), err);
}

ifab_status salvage_money(struct salvage *s, const struct ifab_json *tree, struct ifab_error *err)
{
    const struct ifab_json *payload = ifab_json_get(tree, "payload");
    struct ifab_view type = ifab_json_text(tree, "type");
    ifab_usec time = 0;
    if (ifab_time_parse(ifab_json_text(tree, "time"), &time) != IFAB_OK)
        return IFAB_CORRUPT;
    if (ifab_view_is(type, "cost"))
        return count_cost(s, tree, time, err);
    if (ifab_view_is(type, "breaker"))
        return keep_breaker(s, tree, err);
    if (ifab_view_is(type, "rates")) {
        ifab_buf_clear(&s->canonical);
        ifab_json_write(&s->canonical, ifab_json_get(payload, "record"));
        IFAB_TRY(ifab_buf_status(&s->canonical));
        return ifab_prices_load(s->prices, ifab_buf_as_view(&s->canonical), err);
    }
    if (!ifab_view_is(type, "budget"))
        return IFAB_OK;
    if (is(tree, "budget_set"))
        return set_budget(s, payload, time, err);
    return is(tree, "budget_remove") || is(tree, "budget_ended") ? end_budget(s, ifab_json_text(tree, "subject"), err) : IFAB_OK;
}
