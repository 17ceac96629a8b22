/*
 * Money in the step: what commands reserve, settle, release and spend. INV-10, INV-13.
 *
 * Every function reads the fabric and what this very step has already written, and adds to the outcome. So a step with several acts (a task ends,
 * its helpers are paid, another begins) counts each of them, and all of it is one commit.
 */
#include "fabric_internal.h"

#include "money_internal.h"

#include "base/encode.h"
#include "base/id.h"

#include <stdio.h>
#include <string.h>

bool ifab_fabric__changed(const struct ifab_outcome *o, uint8_t kind, uint64_t number, struct ifab_view *ret_bytes)
{
    for (size_t i = o->change_count; i-- > 0;)
        if (o->changes[i].kind == kind && o->changes[i].number == number) {
            *ret_bytes = o->changes[i].bytes;
            return true;
        }
    return false;
}

/* The time that the next entry will have: it never decreases, and neither do periods. */
ifab_usec ifab_money__time(const struct ifab_outcome *o) { return o->now.wall > o->last_time ? o->now.wall : o->last_time; }

bool ifab_money__look(void *user, uint64_t budget, struct ifab_budget_state *ret_state)
{
    struct ifab_view bytes;
    return ifab_fabric__changed(user, IFAB_KIND_BUDGET_STATE, budget, &bytes) && ifab_budget_state_unpack(bytes, ret_state);
}

/* ---- what entries say ---- */

void ifab_money__put_text(struct ifab_buf *p, const char *name, struct ifab_view text)
{
    if (text.size == 0)
        return;
    ifab_buf_format(p, ",\"%s\":", name);
    ifab_json_put_string(p, text);
}

static void put_ids(struct ifab_buf *p, const struct ifab_money_plan *plan, bool over, size_t most)
{
    const char *comma = "";
    ifab_buf_char(p, '[');
    for (size_t i = 0; i < plan->count && most > 0; i++) {
        if (over && plan->lines[i].overrun == 0)
            continue;
        ifab_buf_str(p, comma);
        ifab_json_put_string(p, plan->lines[i].budget->id);
        comma = ",";
        most--;
    }
    ifab_buf_char(p, ']');
}

void ifab_money__id(const uint8_t id16[16], char ret_text[41])
{
    memcpy(ret_text, "rsv-", 4);
    ifab_uuid_format(id16, ret_text + 4);
}

/* By whom and why, as the bill says; in the trace of the step. */
static struct ifab_entry fields_of(const struct ifab_outcome *o, const struct ifab_fabric__bill *bill, enum ifab_event event, struct ifab_view subject)
{
    struct ifab_entry fields = {.event = event, .actor = bill->actor, .why = bill->why, .subject = subject};
    if (bill->why.size == 0) {
        fields.has_why_from = true;
        fields.why_from = bill->why_from;
    }
    memcpy(fields.trace16, o->reply.trace16, 16);
    return fields;
}

/* An entry that follows from the one before it in this step. */
static bool consequence(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, struct ifab_view subject, uint64_t cause)
{
    struct ifab_entry fields = {
        .event = event,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .has_why_from = true,
        .why_from = cause,
        .subject = subject,
        .payload = ifab_buf_as_view(&o->payload),
    };
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}

static void put_state(struct ifab_buf *p, const struct ifab_budget *budget, uint64_t limit, const struct ifab_budget_state *state)
{
    ifab_buf_clear(p);
    ifab_buf_format(p, "{\"limit\":%llu,\"overrun\":%llu,\"period_start\":\"", (unsigned long long)limit, (unsigned long long)state->overrun);
    ifab_buf_time(p, state->period_start);
    ifab_buf_format(p, "\",\"reserved\":%llu,\"settled\":%llu,\"unit\":\"%s\"}", (unsigned long long)state->reserved, (unsigned long long)state->settled,
                    ifab_unit_name(budget->unit));
}

void ifab_money__levels(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_budget *budget, uint64_t limit,
                        const struct ifab_budget_state *state, unsigned reached, uint64_t cause)
{
    static const enum ifab_event events[] = {IFAB_EVENT_BUDGET_NOTICE, IFAB_EVENT_BUDGET_WARN, IFAB_EVENT_BUDGET_PAUSE, IFAB_EVENT_BUDGET_STOP};
    for (size_t level = 0; level < IFAB_LEVEL_COUNT; level++) {
        if ((reached >> level & 1) == 0)
            continue;
        put_state(&o->payload, budget, limit, state);
        consequence(self, o, events[level], budget->id, cause);
    }
}

bool ifab_money__put_state(struct ifab_outcome *o, uint64_t number, const struct ifab_budget_state *state)
{
    uint8_t packed[IFAB_BUDGET_STATE_PACKED];
    return ifab_fabric__change(o, IFAB_KIND_BUDGET_STATE, number, packed, ifab_budget_state_pack(state, packed));
}

/* ---- breakers ---- */

/* As this step sees it; one that nobody has made yet is closed and has number 0. Its name is borrowed. */
static void breaker_now(const struct ifab_fabric *self, const struct ifab_outcome *o, enum ifab_breaker_kind kind, struct ifab_view name,
                        struct ifab_breaker *ret)
{
    const struct ifab_breaker *kept = ifab_breakers_find(self->breakers, kind, name);
    for (size_t i = o->change_count; i-- > 0;)
        if (o->changes[i].kind == IFAB_KIND_BREAKER && ifab_breaker_unpack(o->changes[i].bytes, o->changes[i].number, ret) && ret->kind == kind &&
            ifab_view_equal(ret->name, name))
            return;
    if (kept != NULL)
        *ret = *kept;
    else
        *ret = (struct ifab_breaker){.kind = kind, .name = name};
}

/* false: there are as many as there may be, and this is a new one. */
static bool put_breaker(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_breaker *breaker)
{
    uint8_t packed[IFAB_BREAKER_PACKED_MAX];
    if (breaker->number == 0) {
        if (ifab_breakers_count(self->breakers) >= IFAB_BREAKER_MAX)
            return false;
        breaker->number = o->next_number++;
    }
    return ifab_fabric__change(o, IFAB_KIND_BREAKER, breaker->number, packed, ifab_breaker_pack(breaker, packed));
}

static struct ifab_view breaker_subject(struct ifab_outcome *o, const struct ifab_breaker *breaker)
{
    ifab_buf_clear(&o->scratch);
    ifab_buf_format(&o->scratch, "%s:" IFAB_FMT, ifab_breaker_kind_name(breaker->kind), IFAB_ARG(breaker->name));
    return ifab_fabric__keep(o, &o->scratch);
}

static void breaker_entry(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, const struct ifab_breaker *breaker, uint64_t cause)
{
    struct ifab_view subject = breaker_subject(o, breaker);
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"cause\":\"%s\",\"failures\":%u,\"state\":\"%s\"}", ifab_breaker_cause_name(breaker->cause), breaker->failures,
                    ifab_breaker_state_name(breaker->state));
    consequence(self, o, event, subject, cause);
}

static void trip_swarm(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_view swarm, uint64_t cause)
{
    struct ifab_breaker breaker;
    breaker_now(self, o, IFAB_BREAKER_SWARM, swarm, &breaker);
    if (breaker.state == IFAB_BREAKER_OPEN)
        return;
    ifab_breaker_trip(&breaker, IFAB_CAUSE_BUDGET, o->now.run);
    breaker.index = o->next_index;
    if (put_breaker(self, o, &breaker))
        breaker_entry(self, o, IFAB_EVENT_BREAKER_TRIPPED, &breaker, cause);
}

enum ifab_code ifab_fabric__breaker_admit(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_breaker_kind kind, struct ifab_view name)
{
    struct ifab_breaker now, next;
    breaker_now(self, o, kind, name, &now);
    enum ifab_code code = ifab_breaker_admit(&now, o->now.run, &next, &o->reply.refusal);
    if (code == IFAB_CODE_NONE && next.state != IFAB_BREAKER_CLOSED)
        (void)put_breaker(self, o, &next); /* a probe is out; the entry of the call itself says so */
    return code;
}

void ifab_fabric__breaker_note(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_breaker_kind kind, struct ifab_view name,
                               enum ifab_verdict verdict, ifab_usec took, const struct ifab_fabric__bill *bill)
{
    struct ifab_breaker breaker;
    breaker_now(self, o, kind, name, &breaker);
    enum ifab_breaker_state before = breaker.state;
    uint64_t cause = o->entry_count > 0 ? o->next_index - 1 : bill->why_from;
    bool opened = ifab_breaker_note(&breaker, verdict, took, o->now.run);
    if (opened)
        breaker.index = o->next_index;
    if (!put_breaker(self, o, &breaker))
        return;
    if (opened)
        breaker_entry(self, o, IFAB_EVENT_BREAKER_TRIPPED, &breaker, cause);
    else if (before == IFAB_BREAKER_HALF_OPEN && breaker.state == IFAB_BREAKER_CLOSED)
        breaker_entry(self, o, IFAB_EVENT_BREAKER_CLOSED, &breaker, cause);
}

struct ifab_ratio ifab_fabric__reputation(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view swarm)
{
    struct ifab_breaker breaker;
    breaker_now(self, o, IFAB_BREAKER_SWARM, swarm, &breaker);
    return ifab_service_reputation(&breaker.service, &self->settings.slo);
}

void ifab_fabric__swarm_standing(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view swarm, bool *ret_breaker_open,
                                 bool *ret_budget_spent)
{
    struct ifab_breaker breaker;
    breaker_now(self, o, IFAB_BREAKER_SWARM, swarm, &breaker);
    uint64_t left[IFAB_UNIT_COUNT];
    *ret_breaker_open = breaker.state != IFAB_BREAKER_CLOSED;
    ifab_fabric__swarm_left(self, o, swarm, left);
    *ret_budget_spent = false;
    for (size_t i = 0; i < IFAB_UNIT_COUNT; i++)
        *ret_budget_spent = *ret_budget_spent || left[i] == 0;
}

void ifab_fabric__swarm_left(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view swarm, uint64_t ret_left[IFAB_UNIT_COUNT])
{
    memset(ret_left, 0xff, IFAB_UNIT_COUNT * sizeof *ret_left);
    for (uint64_t n = 0;;) {
        const struct ifab_budget *budget = ifab_money_of(self->money, IFAB_SUBJECT_SWARM, swarm, n);
        struct ifab_view bytes;
        if (budget == NULL)
            return;
        n = budget->number;
        struct ifab_budget_state state = budget->state;
        if (ifab_fabric__changed(o, IFAB_KIND_BUDGET_STATE, n, &bytes))
            (void)ifab_budget_state_unpack(bytes, &state);
        state = ifab_budget_now(budget->period, &state, ifab_money__time(o));
        uint64_t left = ifab_budget_left(budget->limit, &state);
        if (left < ret_left[budget->unit])
            ret_left[budget->unit] = left;
    }
}

void ifab_fabric__decide_breaker_reset(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    char actor[96];
    struct ifab_view why;
    struct ifab_breaker breaker;
    struct ifab_view subject;
    enum ifab_code code = ifab_fabric__authority(self, command, o, false, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    breaker_now(self, o, command->u.breaker.kind, command->u.breaker.name, &breaker);
    if (code == IFAB_CODE_NONE && breaker.number == 0)
        code = ifab_refuse(&o->reply.refusal, IFAB_CODE_NOT_FOUND, "breaker", "no breaker of this name has ever been used");
    if (code == IFAB_CODE_NONE && breaker.state == IFAB_BREAKER_CLOSED)
        code = ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "breaker", "it is closed: there is nothing to reset");
    if (code != IFAB_CODE_NONE) {
        ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0, command->u.breaker.name);
        return;
    }
    subject = breaker_subject(o, &breaker);
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"cause\":\"%s\",\"failures\":%u,\"was\":\"%s\"}", ifab_breaker_cause_name(breaker.cause), breaker.failures,
                    ifab_breaker_state_name(breaker.state));
    ifab_breaker_reset(&breaker);
    struct ifab_entry fields = {.event = IFAB_EVENT_BREAKER_RESET, .actor = ifab_view_str(actor), .why = why, .subject = subject,
                                .payload = ifab_buf_as_view(&o->payload)};
    memcpy(fields.trace16, o->reply.trace16, 16);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry) || !put_breaker(self, o, &breaker))
        return;
    struct ifab_buf *b = &o->payload;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"breaker\":");
    ifab_fabric_breaker_json(self, &breaker, o->now.run, b);
    ifab_money__put_entry(self, b, entry);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, 200);
    ifab_fabric__keep_reply(self, command, o);
}

/* ---- spending ---- */

enum ifab_code ifab_money__amounts(const struct ifab_fabric__bill *bill, struct ifab_refusal *r)
{
    if (bill->usd_micro > IFAB_MONEY_MAX || bill->calls > IFAB_MONEY_MAX || bill->tokens_in > IFAB_MONEY_MAX ||
        bill->tokens_out > IFAB_MONEY_MAX - bill->tokens_in)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "cost", "amounts are 0 to 2^53-1, both kinds of tokens together too");
    return IFAB_CODE_NONE;
}

static enum ifab_code spend_of(const struct ifab_fabric__bill *bill, const char trace[37], struct ifab_spend *ret, struct ifab_refusal *r)
{
    *ret = (struct ifab_spend){
        .subjects = {[IFAB_SUBJECT_PROVIDER] = bill->provider,
                     [IFAB_SUBJECT_CAPABILITY] = bill->capability,
                     [IFAB_SUBJECT_TALENT] = bill->talent,
                     [IFAB_SUBJECT_SWARM] = bill->swarm,
                     [IFAB_SUBJECT_TRACE] = ifab_view_str(trace)},
        .amounts = {[IFAB_UNIT_USD_MICRO] = bill->usd_micro, [IFAB_UNIT_TOKENS] = bill->tokens_in + bill->tokens_out, [IFAB_UNIT_CALLS] = bill->calls},
    };
    enum ifab_code code = ifab_money__amounts(bill, r);
    if (code != IFAB_CODE_NONE)
        return code;
    for (size_t i = 0; i < IFAB_SUBJECT_TRACE; i++)
        if (ret->subjects[i].size > 0 && !ifab_subject_valid((enum ifab_subject)i, ret->subjects[i]))
            return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, ifab_subject_name((enum ifab_subject)i), "not the name of a %s",
                               ifab_subject_name((enum ifab_subject)i));
    return IFAB_CODE_NONE;
}

static void trace_text(const uint8_t trace16[16], char ret_text[37]) { ifab_uuid_format(trace16, ret_text); }

/* A name that is not yet anybody's: from what came with the command and the number in this step. */
static void make_id(const struct ifab_outcome *o, uint64_t number, uint8_t ret_id16[16])
{
    uint8_t seed[24], digest[32], *at = seed;
    ifab_put_bytes(&at, o->command->mint16, 16);
    ifab_put_u64(&at, number);
    ifab_sha256(ifab_view_of(seed, sizeof seed), digest);
    ifab_uuid7_make(ifab_money__time(o), digest, ret_id16);
}

enum ifab_code ifab_money__room(const struct ifab_fabric *self, const struct ifab_outcome *o, uint32_t owner, size_t more, struct ifab_refusal *r)
{
    size_t made = more;
    for (size_t i = 0; i < o->change_count; i++)
        made += o->changes[i].kind == IFAB_KIND_RESERVATION && o->changes[i].bytes.size > 0;
    if (ifab_money_reservation_count(self->money) + made >= IFAB_RESERVATION_MAX)
        return ifab_refuse(r, IFAB_CODE_QUEUE_FULL, "", "%d reservations are open, as many as may be", IFAB_RESERVATION_MAX);
    if (owner != 0 && ifab_money_reservations_of(self->money, owner) >= IFAB_RESERVATION_PER_OWNER)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, "", "%d reservations of this talent are open: settle or release some", IFAB_RESERVATION_PER_OWNER);
    return IFAB_CODE_NONE;
}

static void put_amounts(struct ifab_buf *p, const uint64_t amounts[IFAB_UNIT_COUNT])
{
    ifab_buf_format(p, "{\"calls\":%llu,\"tokens\":%llu,\"usd_micro\":%llu}", (unsigned long long)amounts[IFAB_UNIT_CALLS],
                    (unsigned long long)amounts[IFAB_UNIT_TOKENS], (unsigned long long)amounts[IFAB_UNIT_USD_MICRO]);
}

static void put_subjects(struct ifab_buf *p, const struct ifab_spend *spend)
{
    ifab_money__put_text(p, "provider", spend->subjects[IFAB_SUBJECT_PROVIDER]);
    ifab_money__put_text(p, "swarm", spend->subjects[IFAB_SUBJECT_SWARM]);
    ifab_money__put_text(p, "talent", spend->subjects[IFAB_SUBJECT_TALENT]);
}

/* always: kept even when no budget is touched. */
enum ifab_code ifab_money__reserve(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__hold *hold, bool always,
                                   struct ifab_reservation *ret, struct ifab_outcome_entry **ret_entry)
{
    struct ifab_refusal *r = &o->reply.refusal;
    struct ifab_money_plan *plan = ifab_fabric__alloc(o, sizeof *plan);
    char trace[37], id[41];
    trace_text(o->reply.trace16, trace);
    memset(ret, 0, sizeof *ret);
    enum ifab_code code = plan == NULL ? IFAB_CODE_SYSTEM_ERROR : spend_of(&hold->bill, trace, &ret->spend, r);
    if (code == IFAB_CODE_NONE)
        code = ifab_money_reserve(self->money, &ret->spend, hold->urgent, ifab_money__time(o), ifab_money__look, o, plan, r);
    if (code == IFAB_CODE_BUDGET_EXCEEDED)
        ifab_money__lacks(o, plan);
    if (code != IFAB_CODE_NONE || (plan->count == 0 && !always))
        return code;
    code = ifab_money__room(self, o, hold->owner, 0, r);
    if (code != IFAB_CODE_NONE)
        return code;
    ret->number = o->next_number++;
    ret->owner = hold->owner;
    ret->made = ifab_money__time(o);
    ret->deadline = hold->deadline;
    ret->index = o->next_index;
    memcpy(ret->trace16, o->reply.trace16, 16);
    make_id(o, ret->number, ret->id16);
    ret->line_count = plan->count;
    for (size_t i = 0; i < plan->count; i++)
        ret->lines[i] = (struct ifab_reservation_line){plan->lines[i].budget->number, plan->lines[i].next.period_start};
    ifab_money__id(ret->id16, id);
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"amounts\":");
    put_amounts(p, ret->spend.amounts);
    ifab_buf_str(p, ",\"budgets\":");
    put_ids(p, plan, false, SIZE_MAX);
    ifab_money__put_text(p, "capability", ret->spend.subjects[IFAB_SUBJECT_CAPABILITY]);
    ifab_money__put_text(p, "for", hold->bill.subject);
    put_subjects(p, &ret->spend);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = fields_of(o, &hold->bill, IFAB_EVENT_RESERVED, ifab_view_str(id));
    fields.payload = ifab_buf_as_view(p);
    uint8_t packed[IFAB_RESERVATION_PACKED_MAX];
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), ret_entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_fabric__change(o, IFAB_KIND_RESERVATION, ret->number, packed, ifab_reservation_pack(ret, packed));
    for (size_t i = 0; i < plan->count; i++) {
        ifab_money__put_state(o, plan->lines[i].budget->number, &plan->lines[i].next);
        ifab_money__levels(self, o, plan->lines[i].budget, plan->lines[i].budget->limit, &plan->lines[i].next, plan->lines[i].reached, ret->index);
    }
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_fabric__reserve_for(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__hold *hold, uint64_t *ret_number)
{
    struct ifab_reservation *made = ifab_fabric__alloc(o, sizeof *made);
    struct ifab_outcome_entry *entry;
    *ret_number = 0;
    if (made == NULL)
        return IFAB_CODE_SYSTEM_ERROR;
    enum ifab_code code = ifab_money__reserve(self, o, hold, false, made, &entry);
    if (code == IFAB_CODE_NONE)
        *ret_number = made->number;
    return code;
}

/* As this step sees it. Its views stand in the record's bytes. */
bool ifab_money__reservation(const struct ifab_fabric *self, const struct ifab_outcome *o, uint64_t number, struct ifab_reservation *ret)
{
    struct ifab_view bytes;
    if (number == 0)
        return false;
    if (ifab_fabric__changed(o, IFAB_KIND_RESERVATION, number, &bytes))
        return bytes.size > 0 && ifab_reservation_unpack(bytes, number, ret);
    return ifab_money_reservation_at(self->money, number, ret);
}

/* What the lines of a plan bring: states, levels, overruns, a swarm that is stopped. */
static bool take_plan(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_money_plan *plan, uint64_t cause)
{
    bool over = false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct ifab_money_line *line = &plan->lines[i];
        ifab_money__put_state(o, line->budget->number, &line->next);
        ifab_money__levels(self, o, line->budget, line->budget->limit, &line->next, line->reached, cause);
        if (line->overrun == 0)
            continue;
        over = true;
        put_state(&o->payload, line->budget, line->budget->limit, &line->next);
        consequence(self, o, IFAB_EVENT_BUDGET_OVERRUN, line->budget->id, cause);
        if (line->budget->subject == IFAB_SUBJECT_SWARM)
            trip_swarm(self, o, line->budget->name, cause);
    }
    return over;
}

static struct ifab_view first_of(struct ifab_view a, struct ifab_view b) { return a.size > 0 ? a : b; }

void ifab_money__put_passed(struct ifab_buf *p, const struct ifab_money_spent *spent, size_t most)
{
    ifab_buf_str(p, ",\"over\":");
    put_ids(p, spent->plan, true, most);
    if (!spent->over_reserved)
        return;
    ifab_buf_str(p, ",\"over_reserved\":");
    put_amounts(p, spent->beyond);
}

/* More than it was to cost is recorded, whether its budgets have room for it or not (INV-10). */
static void look_beyond(const struct ifab_fabric__bill *bill, const struct ifab_reservation *held, const struct ifab_spend *spend, struct ifab_money_spent *ret)
{
    for (size_t i = 0; i < IFAB_UNIT_COUNT && (bill->most != NULL || held != NULL); i++) {
        uint64_t most = bill->most == NULL ? held->spend.amounts[i] : bill->most[i] < 0 ? IFAB_MONEY_MAX : (uint64_t)bill->most[i];
        ret->beyond[i] = spend->amounts[i] > most ? spend->amounts[i] - most : 0;
        ret->over_reserved = ret->over_reserved || ret->beyond[i] > 0;
    }
}

/* The entry about what was spent: the only kind that carries a cost, so that their sum is what all of it did cost. */
static bool cost_entry(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__bill *bill, const struct ifab_spend *spend,
                       const struct ifab_money_spent *spent, const char *reservation, const uint8_t *rates32, struct ifab_outcome_entry **ret_entry)
{
    struct ifab_buf *p = &o->payload;
    struct ifab_entry_cost cost = {bill->usd_micro, bill->tokens_in, bill->tokens_out, bill->calls, bill->model, rates32};
    struct ifab_entry fields = fields_of(o, bill, IFAB_EVENT_COST_INCURRED, first_of(bill->subject, ifab_view_str(reservation)));
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"budgets\":");
    put_ids(p, spent->plan, false, SIZE_MAX);
    ifab_money__put_text(p, "capability", spend->subjects[IFAB_SUBJECT_CAPABILITY]);
    ifab_money__put_text(p, "operation", bill->operation);
    ifab_money__put_passed(p, spent, SIZE_MAX);
    ifab_money__put_text(p, "provider", spend->subjects[IFAB_SUBJECT_PROVIDER]);
    ifab_money__put_text(p, "reservation", ifab_view_str(reservation));
    ifab_money__put_text(p, "swarm", spend->subjects[IFAB_SUBJECT_SWARM]);
    ifab_money__put_text(p, "talent", spend->subjects[IFAB_SUBJECT_TALENT]);
    ifab_buf_char(p, '}');
    fields.payload = ifab_buf_as_view(p);
    fields.cost = &cost;
    if (fields.subject.size == 0)
        fields.subject = first_of(bill->operation, IFAB_VIEW("cost"));
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), ret_entry);
}

/* number 0, or one that is gone: a charge. */
enum ifab_code ifab_money__spend(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_fabric__bill *bill,
                                 const uint8_t *rates32, struct ifab_money_spent *ret)
{
    struct ifab_reservation *v = ifab_fabric__alloc(o, sizeof *v);
    struct ifab_money_plan *plan = ifab_fabric__alloc(o, sizeof *plan);
    struct ifab_spend spend;
    char trace[37], id[41] = "";
    memset(ret, 0, sizeof *ret);
    if (v == NULL || plan == NULL)
        return IFAB_CODE_SYSTEM_ERROR;
    bool held = ifab_money__reservation(self, o, number, v);
    trace_text(held ? v->trace16 : o->reply.trace16, trace);
    enum ifab_code code = spend_of(bill, trace, &spend, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ret->plan = plan;
    ret->entry_at = o->entry_count;
    look_beyond(bill, held ? v : NULL, &spend, ret);
    if (held) {
        for (size_t i = 0; i < IFAB_SUBJECT_COUNT; i++)
            v->spend.subjects[i] = first_of(v->spend.subjects[i], spend.subjects[i]);
        ifab_money__id(v->id16, id);
        ifab_money_settle(self->money, v, spend.amounts, ifab_money__time(o), ifab_money__look, o, plan);
        ifab_fabric__change(o, IFAB_KIND_RESERVATION, number, NULL, 0);
        memcpy(spend.subjects, v->spend.subjects, sizeof spend.subjects);
    } else {
        ifab_money_charge(self->money, &spend, ifab_money__time(o), ifab_money__look, o, plan);
    }
    struct ifab_outcome_entry *entry;
    if (!cost_entry(self, o, bill, &spend, ret, id, rates32, &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ret->over = take_plan(self, o, plan, entry->index);
    return IFAB_CODE_NONE;
}

void ifab_fabric__settle_for(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_fabric__bill *bill,
                              struct ifab_view *ret_passed)
{
    struct ifab_money_spent spent = {0};
    bool nothing = bill->usd_micro == 0 && bill->tokens_in == 0 && bill->tokens_out == 0 && bill->calls == 0;
    if (ret_passed != NULL)
        *ret_passed = IFAB_VIEW(",\"over\":[]");
    if (nothing) { /* no cost: nothing to say of one */
        ifab_fabric__release_for(self, o, number, bill);
        return;
    }
    if (ifab_money__spend(self, o, number, bill, NULL, &spent) != IFAB_CODE_NONE)
        o->failed = true; /* the caller's bill was not checked: ours, not anybody's outside */
    if (ret_passed == NULL || spent.plan == NULL)
        return;
    ifab_buf_clear(&o->payload);
    ifab_money__put_passed(&o->payload, &spent, IFAB_MONEY_SHOWN_MAX);
    *ret_passed = ifab_fabric__keep(o, &o->payload);
}

bool ifab_money__release(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_reservation *v, enum ifab_event event,
                         const struct ifab_fabric__bill *bill, struct ifab_outcome_entry **ret_entry)
{
    struct ifab_money_plan *plan = ifab_fabric__alloc(o, sizeof *plan);
    struct ifab_buf *p = &o->payload;
    char id[41];
    if (plan == NULL)
        return false;
    ifab_money_settle(self->money, v, NULL, ifab_money__time(o), ifab_money__look, o, plan);
    ifab_money__id(v->id16, id);
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"amounts\":");
    put_amounts(p, v->spend.amounts);
    ifab_buf_format(p, ",\"dangling\":%s", v->dangling ? "true" : "false");
    ifab_money__put_text(p, "for", bill->subject);
    ifab_buf_format(p, ",\"reserved\":%llu", (unsigned long long)v->index);
    const struct ifab_talent *owner = ifab_talents_at(self->talents, v->owner);
    if (owner != NULL)
        ifab_money__put_text(p, "talent", owner->name);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = fields_of(o, bill, event, ifab_view_str(id));
    fields.payload = ifab_buf_as_view(p);
    memcpy(fields.trace16, v->trace16, 16);
    uint64_t index = o->next_index;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), ret_entry))
        return false;
    ifab_fabric__change(o, IFAB_KIND_RESERVATION, v->number, NULL, 0);
    (void)take_plan(self, o, plan, index); /* nothing was spent; a new period of a limit of 0 still begins at its levels */
    return true;
}

void ifab_fabric__release_for(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_fabric__bill *bill)
{
    struct ifab_reservation *v = ifab_fabric__alloc(o, sizeof *v);
    if (v != NULL && ifab_money__reservation(self, o, number, v))
        (void)ifab_money__release(self, o, v, IFAB_EVENT_RELEASED, bill, NULL);
}

/* ---- time ---- */

/* Those past their deadline: whoever held them is gone or has forgotten. Reported, and what they held is free again. */
static void end_overdue(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most)
{
    uint64_t numbers[IFAB_MONEY_IN_TICK];
    struct ifab_reservation *v = ifab_fabric__alloc(o, sizeof *v);
    size_t count = v == NULL ? 0 : ifab_money_overdue(self->money, o->now.run, numbers, most);
    for (size_t i = 0; i < count && !o->failed; i++) {
        if (!ifab_money__reservation(self, o, numbers[i], v))
            continue;
        struct ifab_fabric__bill bill = {.actor = ifab_view_str(self->settings.fabric_actor), .why_from = v->index};
        if (v->dangling) /* its entry is of another log */
            bill.why = IFAB_VIEW("from before a restore, and not settled until its deadline");
        (void)ifab_money__release(self, o, v, IFAB_EVENT_RESERVATION_EXPIRED, &bill, NULL);
    }
}

static void end_idle(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most)
{
    uint64_t numbers[IFAB_MONEY_IN_TICK];
    ifab_usec due;
    size_t count = ifab_money_idle(self->money, o->now.wall, numbers, most, &due);
    for (size_t i = 0; i < count && !o->failed; i++) {
        const struct ifab_budget *budget = ifab_money_budget_at(self->money, numbers[i]);
        struct ifab_view touched;
        if (ifab_fabric__changed(o, IFAB_KIND_BUDGET_STATE, numbers[i], &touched)) /* a reservation of it ended in this very step */
            continue;
        put_state(&o->payload, budget, budget->limit, &budget->state);
        struct ifab_entry fields = {
            .event = IFAB_EVENT_BUDGET_ENDED,
            .actor = ifab_view_str(self->settings.fabric_actor),
            .why = IFAB_VIEW("its trace was idle for a day"),
            .subject = budget->id,
            .payload = ifab_buf_as_view(&o->payload),
        };
        (void)ifab_uuid_parse(budget->name, fields.trace16);
        if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL))
            return;
        ifab_fabric__change(o, IFAB_KIND_BUDGET_STATE, numbers[i], NULL, 0);
        ifab_fabric__change(o, IFAB_KIND_BUDGET, numbers[i], NULL, 0);
    }
}

void ifab_fabric__end_money(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most)
{
    most = most < IFAB_MONEY_IN_TICK ? most : IFAB_MONEY_IN_TICK;
    end_overdue(self, o, most);
    end_idle(self, o, most);
}

ifab_usec ifab_fabric__money_due(const struct ifab_fabric *self, struct ifab_now now)
{
    uint64_t unused;
    ifab_usec due = ifab_money_due(self->money), idle;
    (void)ifab_money_idle(self->money, now.wall, &unused, 0, &idle);
    if (idle != IFAB_NEVER) {
        ifab_usec ends = idle > now.wall ? now.run + (idle - now.wall) : self->ticked;
        due = due < ends ? due : ends;
    }
    return due;
}

/* ---- a start, and after every step ---- */

ifab_status ifab_fabric__load_money(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    ifab_status status = IFAB_CORRUPT;
    if (kind == IFAB_KIND_BUDGET)
        status = ifab_money_load_budget(self->money, number, bytes, err);
    else if (kind == IFAB_KIND_BUDGET_STATE)
        status = ifab_money_load_state(self->money, number, bytes, err);
    else if (kind == IFAB_KIND_RESERVATION)
        status = ifab_money_load_reservation(self->money, number, bytes, err);
    else if (kind == IFAB_KIND_BREAKER)
        status = ifab_breakers_load(self->breakers, number, bytes, err);
    else if (kind == IFAB_KIND_PRICES && number == 1)
        status = ifab_prices_load(self->prices, bytes, err);
    if (status == IFAB_OK && kind != IFAB_KIND_PRICES && number >= self->next_number)
        self->next_number = number + 1;
    return status;
}

void ifab_fabric__load_tokens(struct ifab_fabric *self, struct ifab_view bytes)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    uint32_t owner = ifab_get_u32(&r);
    struct ifab_tokens tokens = {0};
    tokens.held = ifab_get_u64(&r);
    tokens.since = (ifab_usec)ifab_get_u64(&r);
    if (!r.bad) /* without memory it stays as it was: it bounds a rate, nothing else hangs on it */
        (void)ifab_token_table_put(self->tokens, owner, ifab_view_of(r.at, (size_t)(r.end - r.at)), self->settings.cost_rate, self->settings.cost_burst, &tokens);
}

/* Without budgets and prices the trust root is what it was before there were any. */
void ifab_fabric__money_root(const struct ifab_fabric *self, bool anew, uint8_t keep32[32], uint8_t root32[32])
{
    static const char word[] = "IF-TRUST-MONEY-v1\n";
    struct ifab_view prices = ifab_prices_record(self->prices);
    uint8_t parts[64];
    if (ifab_money_budget_next(self->money, 0) == NULL && prices.size == 0)
        return;
    if (anew) {
        ifab_money_trust_root(self->money, parts);
        ifab_sha256(prices, parts + 32);
        ifab_sha256(ifab_view_of(parts, sizeof parts), keep32);
    }
    uint8_t before[32];
    memcpy(before, root32, 32);
    ifab_sha256_3(ifab_view_str(word), ifab_view_of(before, 32), ifab_view_of(keep32, 32), root32);
}
