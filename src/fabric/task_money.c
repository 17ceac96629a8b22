/*
 * What tasks cost: held when one is claimed, settled when it is done, released when it comes to nothing; all in the step that does it, so that a crash
 * leaves both or neither (INV-10). A swarm whose tasks fail again and again is stopped by its breaker until a person resets it.
 */
#include "money_internal.h"

#include "base/id.h"

#include <string.h>

/* What a task costs is counted under its own trace, whoever's request it is in. */
static void join_trace(struct ifab_outcome *o, const uint8_t trace16[16], uint8_t ret_before16[16])
{
    memcpy(ret_before16, o->reply.trace16, 16);
    memcpy(o->reply.trace16, trace16, 16);
}

static struct ifab_fabric__bill bill_of(const struct ifab_fabric *self, const struct ifab_task *task, const struct ifab_swarm *swarm, struct ifab_view actor)
{
    const struct ifab_talent *talent = task->worker.talent == 0 ? NULL : ifab_talents_at(self->talents, task->worker.talent);
    struct ifab_fabric__bill bill = {
        .swarm = swarm->id,
        .operation = ifab_view_str(task->type),
        .actor = actor,
        .why_from = task->created_index,
        .subject = ifab_view_str(task->id),
    };
    if (talent != NULL)
        bill.talent = talent->name;
    return bill;
}

static struct ifab_fabric__hold hold_of(const struct ifab_fabric *self, const struct ifab_task *task, const struct ifab_swarm *swarm,
                                        struct ifab_task_principal worker, struct ifab_view actor)
{
    struct ifab_task claimed = *task;
    claimed.worker = worker;
    struct ifab_fabric__hold hold = {.bill = bill_of(self, &claimed, swarm, actor), .urgent = task->priority == 0, .deadline = IFAB_NEVER};
    hold.bill.usd_micro = task->budget[0] > 0 ? (uint64_t)task->budget[0] : 0;
    hold.bill.tokens_in = task->budget[1] > 0 ? (uint64_t)task->budget[1] : 0;
    hold.bill.calls = task->budget[2] > 0 ? (uint64_t)task->budget[2] : 0;
    return hold;
}

static bool holds_anything(const struct ifab_fabric__hold *hold)
{
    return hold->bill.usd_micro > 0 || hold->bill.tokens_in > 0 || hold->bill.calls > 0;
}

static struct ifab_spend spend_of(const struct ifab_task *task, const struct ifab_fabric__hold *hold, char trace[37])
{
    ifab_uuid_format(task->trace16, trace);
    return (struct ifab_spend){
        .subjects = {[IFAB_SUBJECT_TALENT] = hold->bill.talent, [IFAB_SUBJECT_SWARM] = hold->bill.swarm, [IFAB_SUBJECT_TRACE] = ifab_view_str(trace)},
        .amounts = {[IFAB_UNIT_USD_MICRO] = hold->bill.usd_micro, [IFAB_UNIT_TOKENS] = hold->bill.tokens_in, [IFAB_UNIT_CALLS] = hold->bill.calls},
    };
}

static void lacks(struct ifab_outcome *o, uint64_t kind, uint64_t of, uint64_t version, ifab_usec since)
{
    o->lacks.kind = kind;
    o->lacks.of = of;
    o->lacks.version = version;
    o->lacks.since = since;
}

void ifab_money__lacks(struct ifab_outcome *o, const struct ifab_money_plan *plan)
{
    if (plan->lacks != NULL)
        lacks(o, IFAB_KIND_BUDGET, plan->lacks->number, plan->lacks->version, plan->lacks_period);
}

/* What is spent lets nothing new begin, whatever that says it would cost: it may cost more, and in units that it does not name. */
static enum ifab_code admit(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task, const struct ifab_fabric__hold *hold)
{
    char trace[37];
    struct ifab_spend spend = spend_of(task, hold, trace);
    struct ifab_money_plan *room = ifab_fabric__alloc(o, sizeof *room);
    struct ifab_reservation *own = ifab_fabric__alloc(o, sizeof *own);
    if (room == NULL || own == NULL)
        return IFAB_CODE_SYSTEM_ERROR;
    bool held = ifab_money__reservation(self, o, task->reservation, own);
    enum ifab_code code =
        ifab_money_admit(self->money, spend.subjects, held ? own : NULL, hold->urgent, ifab_money__time(o), ifab_money__look, o, room, &o->reply.refusal);
    ifab_money__lacks(o, room);
    return code;
}

bool ifab_fabric__trace_has_purse(const struct ifab_fabric *self, const struct ifab_task *task)
{
    char trace[37];
    ifab_uuid_format(task->trace16, trace);
    return ifab_money_of(self->money, IFAB_SUBJECT_TRACE, ifab_view_str(trace), 0) != NULL;
}

enum ifab_code ifab_fabric__task_hold(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task, const struct ifab_swarm *swarm,
                                      struct ifab_task_principal worker, struct ifab_view actor, uint64_t *ret_reservation)
{
    struct ifab_fabric__hold hold = hold_of(self, task, swarm, worker, actor);
    uint8_t before16[16];
    const struct ifab_breaker *breaker = ifab_breakers_find(self->breakers, IFAB_BREAKER_SWARM, swarm->id);
    enum ifab_code code = ifab_fabric__breaker_admit(self, o, IFAB_BREAKER_SWARM, swarm->id);
    o->lacks = (struct ifab_lack){.talent = worker.talent, .uid = worker.uid, .swarm = swarm->number.n};
    if (code == IFAB_CODE_CIRCUIT_BREAKER_OPEN && breaker != NULL) /* until a person resets it */
        lacks(o, IFAB_KIND_BREAKER, breaker->number, breaker->index, 0);
    *ret_reservation = task->reservation; /* a helper's part was held when it was asked */
    join_trace(o, task->trace16, before16);
    if (code == IFAB_CODE_NONE)
        code = admit(self, o, task, &hold);
    if (code == IFAB_CODE_NONE && task->reservation == 0 && holds_anything(&hold))
        code = ifab_fabric__reserve_for(self, o, &hold, ret_reservation);
    memcpy(o->reply.trace16, before16, 16);
    return code;
}

enum ifab_code ifab_fabric__task_price(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct ifab_fabric__bill *bill)
{
    const struct ifab_cost *cost = &command->u.task_act.cost;
    const uint8_t *rates32;
    if (command->principal->role == IFAB_ROLE_AGENT &&
        (cost->usd_micro > IFAB_COST_REPORT_USD_MAX || cost->tokens_in > IFAB_COST_REPORT_TOKENS_MAX || cost->tokens_out > IFAB_COST_REPORT_TOKENS_MAX ||
         cost->calls > IFAB_COST_REPORT_CALLS_MAX))
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_INVALID_PARAMS, "cost", "more than a talent may report at once");
    bill->model = cost->model;
    return ifab_fabric__price(self, o, cost, bill, &rates32, &o->reply.refusal);
}

static enum ifab_verdict verdict_of(enum ifab_task_event event)
{
    switch ((int)event) {
    case IFAB_TASK_COMPLETE:
        return IFAB_VERDICT_GOOD;
    case IFAB_TASK_FAIL:
        return IFAB_VERDICT_FAILED;
    default: /* poison: whoever made it could stop the swarm; shutdown, a worker that died, cancelled, too late, given back */
        return IFAB_VERDICT_CALLER; /* says nothing of what the swarm can do */
    }
}

/* ---- what help may hold ---- */

void ifab_fabric__help_budget(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_task *blocked, const struct ifab_swarm *swarm,
                              size_t of, int64_t ret_budget[IFAB_COUNT_OF_UNITS])
{
    uint64_t left[IFAB_UNIT_COUNT];
    ifab_fabric__swarm_left(self, o, swarm->id, left);
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++) {
        uint64_t most = left[i] / 100 * IFAB_HELP_PERCENT + left[i] % 100 * IFAB_HELP_PERCENT / 100;
        ret_budget[i] = blocked->budget[i] < 0 ? -1 : blocked->budget[i] / (int64_t)of;
        if (left[i] != UINT64_MAX && ret_budget[i] > 0 && (uint64_t)ret_budget[i] > most)
            ret_budget[i] = (int64_t)most;
    }
}

_Static_assert(IFAB_TASK_HELPERS_MAX == 2, "the second one looks behind the first alone");
struct behind { /* this step, and what another helper would hold in it */
    struct ifab_outcome *o;
    const struct ifab_money_plan *plan;
};

static bool look_behind(void *user, uint64_t budget, struct ifab_budget_state *ret_state)
{
    const struct behind *behind = user;
    for (size_t i = 0; i < behind->plan->count; i++)
        if (behind->plan->lines[i].budget->number == budget) {
            *ret_state = behind->plan->lines[i].next;
            return true;
        }
    return ifab_money__look(behind->o, budget, ret_state);
}

bool ifab_fabric__help_fits(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *help, const struct ifab_task *blocked,
                            const struct ifab_swarm *swarm, struct ifab_fabric__holds *holds)
{
    struct ifab_fabric__hold hold = hold_of(self, help, swarm, (struct ifab_task_principal){0, 0}, IFAB_VIEW(""));
    char trace[37];
    struct ifab_spend spend = spend_of(help, &hold, trace);
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
        if (blocked->budget[i] > 0 && help->budget[i] == 0)
            return false;
    struct ifab_money_plan *before = holds->plans[0], *next = holds->plans[1];
    if (before == NULL) {
        before = ifab_fabric__alloc(o, sizeof *before);
        next = ifab_fabric__alloc(o, sizeof *next);
    }
    if (before == NULL || next == NULL)
        return false;
    if (holds->count == 0)
        before->count = 0;
    struct behind behind = {o, before};
    if (ifab_money_admit(self->money, spend.subjects, NULL, hold.urgent, ifab_money__time(o), look_behind, &behind, next, NULL) != IFAB_CODE_NONE)
        return false;
    next->count = 0;
    if (holds_anything(&hold) &&
        (ifab_money__room(self, o, hold.owner, holds->count, NULL) != IFAB_CODE_NONE ||
         ifab_money_reserve(self->money, &spend, hold.urgent, ifab_money__time(o), look_behind, &behind, next, NULL) != IFAB_CODE_NONE))
        return false;
    holds->count++;
    holds->plans[0] = next;
    holds->plans[1] = before;
    return true;
}

/* ---- what help came to ---- */

void ifab_fabric__count_help(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_swarm_number swarm, const struct ifab_swarm_help *more)
{
    const struct ifab_swarm_help *before = ifab_swarm_help(self->coordinator, swarm);
    struct ifab_swarm_help help = before != NULL ? *before : (struct ifab_swarm_help){0};
    uint8_t packed[IFAB_SWARM_HELP_PACKED];
    struct ifab_view bytes;
    if (ifab_fabric__changed(o, IFAB_KIND_SWARM_HELP, swarm.n, &bytes))
        (void)ifab_swarm_help_unpack(bytes, &help);
    ifab_swarm_help_add(&help, more);
    ifab_fabric__change(o, IFAB_KIND_SWARM_HELP, swarm.n, packed, ifab_swarm_help_pack(&help, packed));
}

bool ifab_fabric__load_help(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes)
{
    struct ifab_swarm_help help;
    return ifab_swarm_help_unpack(bytes, &help) && ifab_swarm_put_help(self->coordinator, (struct ifab_swarm_number){number}, &help);
}

static void help_over(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *held, struct ifab_swarm_number swarm,
                      enum ifab_task_event event, const struct ifab_fabric__bill *spent)
{
    struct ifab_swarm_help more = {.completed = event == IFAB_TASK_COMPLETE};
    if (held->parent == 0 || !ifab_task_owned(held->state))
        return;
    if (spent != NULL) /* as its entry says; what nobody said stands in none, and counts nowhere */
        more.cost = spent->usd_micro;
    more.wasted = event == IFAB_TASK_COMPLETE ? 0 : more.cost;
    if (more.completed > 0 || more.cost > 0)
        ifab_fabric__count_help(self, o, swarm, &more);
}

void ifab_fabric__task_over(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *held, enum ifab_task_event event,
                            struct ifab_view actor, const struct ifab_fabric__bill *spent)
{
    const struct ifab_swarm *swarm = ifab_swarm_at(self->coordinator, held->owner.n != 0 ? held->owner : held->queue);
    if (swarm == NULL)
        return; /* nobody held it, and nothing was held for it */
    help_over(self, o, held, swarm->number, event, spent);
    struct ifab_fabric__bill bill = bill_of(self, held, swarm, actor);
    uint8_t before16[16];
    join_trace(o, held->trace16, before16);
    if (spent != NULL) {
        bill.usd_micro = spent->usd_micro;
        bill.tokens_in = spent->tokens_in;
        bill.tokens_out = spent->tokens_out;
        bill.calls = spent->calls;
        bill.model = spent->model;
        bill.most = held->budget;
        ifab_fabric__settle_for(self, o, held->reservation, &bill, &o->passed);
    } else if (held->reservation != 0) {
        ifab_fabric__release_for(self, o, held->reservation, &bill);
    }
    ifab_usec took = o->now.run - (held->lease_until - held->lease);
    if (ifab_task_owned(held->state) && verdict_of(event) != IFAB_VERDICT_CALLER)
        ifab_fabric__breaker_note(self, o, IFAB_BREAKER_SWARM, swarm->id, verdict_of(event), took > 0 ? took : 0, &bill);
    memcpy(o->reply.trace16, before16, 16);
}
