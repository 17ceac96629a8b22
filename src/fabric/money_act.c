/* Acts about money over HTTP: budgets, prices, costs, reservations. Authority, the core's numbers, entries, the answer. */
#include "money_internal.h"

#include "base/encode.h"
#include "base/id.h"

#include <stdio.h>
#include <string.h>

#define PRICES_NUMBER 1

/* ---- what answers and lists show ---- */

void ifab_money__put_entry(const struct ifab_fabric *self, struct ifab_buf *p, const struct ifab_outcome_entry *entry)
{
    ifab_buf_str(p, ",\"entry\":{\"hash\":");
    ifab_fabric__put_digest(p, entry->hash32);
    ifab_buf_format(p, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(p, self->settings.log);
    ifab_buf_char(p, '}');
}

static const char *word_of(uint64_t limit, const struct ifab_budget_state *state)
{
    uint64_t spent = ifab_budget_spent(state);
    const char *word = "open";
    for (enum ifab_level level = 0; level < IFAB_LEVEL_COUNT; level++)
        if (spent * 100 >= limit * ifab_level_percent(level))
            word = ifab_level_name(level);
    return word;
}

void ifab_fabric_budget_json(const struct ifab_fabric *self, const struct ifab_budget *budget, const struct ifab_budget_state *stored, ifab_usec wall,
                             struct ifab_buf *buf)
{
    ifab_usec time = wall > self->last_time ? wall : self->last_time, end = ifab_period_end(budget->period, time);
    struct ifab_budget_state s = ifab_budget_now(budget->period, stored, time);
    ifab_buf_str(buf, "{\"id\":");
    ifab_json_put_string(buf, budget->id);
    ifab_buf_format(buf, ",\"left\":%llu,\"level\":\"%s\",\"limit\":%llu,\"name\":", (unsigned long long)ifab_budget_left(budget->limit, &s),
                    word_of(budget->limit, &s), (unsigned long long)budget->limit);
    ifab_json_put_string(buf, budget->name);
    ifab_buf_format(buf, ",\"overrun\":%llu,\"period\":\"%s\",\"period_end\":", (unsigned long long)s.overrun, ifab_period_name(budget->period));
    if (end == IFAB_NEVER) {
        ifab_buf_str(buf, "null");
    } else {
        ifab_buf_char(buf, '"');
        ifab_buf_time(buf, end);
        ifab_buf_char(buf, '"');
    }
    ifab_buf_str(buf, ",\"period_start\":\"");
    ifab_buf_time(buf, s.period_start);
    ifab_buf_format(buf, "\",\"reserved\":%llu,\"settled\":%llu,\"spent\":%llu,\"subject\":\"%s\",\"unit\":\"%s\",\"version\":%llu}",
                    (unsigned long long)s.reserved, (unsigned long long)s.settled, (unsigned long long)ifab_budget_spent(&s),
                    ifab_subject_name(budget->subject), ifab_unit_name(budget->unit), (unsigned long long)budget->version);
}

void ifab_fabric_reservation_json(const struct ifab_fabric *self, const struct ifab_reservation *v, ifab_usec run, struct ifab_buf *buf)
{
    const struct ifab_talent *owner = ifab_talents_at(self->talents, v->owner);
    const char *comma = "";
    char id[41];
    ifab_money__id(v->id16, id);
    ifab_buf_format(buf, "{\"budgets\":[");
    for (size_t i = 0; i < v->line_count && i < IFAB_MONEY_SHOWN_MAX; i++) {
        const struct ifab_budget *budget = ifab_money_budget_at(self->money, v->lines[i].budget);
        if (budget == NULL)
            continue;
        ifab_buf_str(buf, comma);
        ifab_json_put_string(buf, budget->id);
        comma = ",";
    }
    ifab_buf_format(buf, "],\"calls\":%llu", (unsigned long long)v->spend.amounts[IFAB_UNIT_CALLS]);
    ifab_money__put_text(buf, "capability", v->spend.subjects[IFAB_SUBJECT_CAPABILITY]);
    ifab_buf_format(buf, ",\"dangling\":%s,\"entry_index\":%llu,\"id\":\"%s\",\"left_ms\":", v->dangling ? "true" : "false", (unsigned long long)v->index, id);
    if (v->deadline == IFAB_NEVER)
        ifab_buf_str(buf, "null");
    else
        ifab_buf_i64(buf, v->deadline > run ? (v->deadline - run) / 1000 : 0);
    ifab_buf_str(buf, ",\"made_at\":\"");
    ifab_buf_time(buf, v->made);
    ifab_buf_char(buf, '"');
    if (owner != NULL)
        ifab_money__put_text(buf, "owner", owner->name);
    ifab_money__put_text(buf, "provider", v->spend.subjects[IFAB_SUBJECT_PROVIDER]);
    ifab_money__put_text(buf, "swarm", v->spend.subjects[IFAB_SUBJECT_SWARM]);
    ifab_money__put_text(buf, "talent", v->spend.subjects[IFAB_SUBJECT_TALENT]);
    ifab_buf_format(buf, ",\"tokens\":%llu,\"trace\":", (unsigned long long)v->spend.amounts[IFAB_UNIT_TOKENS]);
    ifab_fabric__put_uuid(buf, v->trace16);
    ifab_buf_format(buf, ",\"usd_micro\":%llu}", (unsigned long long)v->spend.amounts[IFAB_UNIT_USD_MICRO]);
}

void ifab_fabric_breaker_json(const struct ifab_fabric *self, const struct ifab_breaker *b, ifab_usec run, struct ifab_buf *buf)
{
    struct ifab_ratio ratio = ifab_service_reputation(&b->service, &self->settings.slo);
    ifab_usec wait = b->kind == IFAB_BREAKER_SWARM || b->state != IFAB_BREAKER_OPEN ? 0 : b->opened + IFAB_BREAKER_OPEN_FOR - run;
    ifab_buf_str(buf, "{\"breaker\":");
    ifab_buf_format(buf, "\"%s:" IFAB_FMT "\"", ifab_breaker_kind_name(b->kind), IFAB_ARG(b->name)); /* names need no escape */
    ifab_buf_format(buf, ",\"cause\":\"%s\",\"entry_index\":", ifab_breaker_cause_name(b->cause));
    if (b->state == IFAB_BREAKER_CLOSED)
        ifab_buf_str(buf, "null");
    else
        ifab_buf_u64(buf, b->index);
    ifab_buf_format(buf, ",\"error_budget_permille\":%u", ifab_service_budget_permille(&b->service, &self->settings.slo));
    ifab_buf_format(buf, ",\"failures\":%u,\"kind\":\"%s\",\"name\":", b->failures, ifab_breaker_kind_name(b->kind));
    ifab_json_put_string(buf, b->name);
    ifab_buf_format(buf, ",\"outcomes\":%u,\"p95_ms\":%u,\"p99_ms\":%u,\"reputation\":\"%u.%03u\",\"retry_after_ms\":", b->service.count,
                    ifab_service_p95_ms(&b->service), ifab_service_p99_ms(&b->service),
                    ratio.num / ratio.den, (unsigned)((uint64_t)(ratio.num % ratio.den) * 1000 / ratio.den));
    if (b->kind == IFAB_BREAKER_SWARM && b->state != IFAB_BREAKER_CLOSED) /* a person must */
        ifab_buf_str(buf, "null");
    else
        ifab_buf_i64(buf, wait > 0 ? (wait + 999) / 1000 : 0);
    ifab_buf_format(buf, ",\"state\":\"%s\"}", ifab_breaker_state_name(b->state));
}

static void reply(struct ifab_outcome *o, int http)
{
    ifab_buf_char(&o->payload, '}');
    ifab_fabric__reply_json(o, &o->payload, http);
}

static uint32_t signer_of(const struct ifab_command *command)
{
    return command->act != NULL && command->act->present ? command->act->talent : command->principal != NULL ? command->principal->talent : 0;
}

/* ---- budgets and prices: an admin's, each whole in an entry (INV-16) ---- */

static struct ifab_entry act_entry(const struct ifab_outcome *o, enum ifab_event event, const char *actor, struct ifab_view why, struct ifab_view subject)
{
    struct ifab_entry fields = {.event = event, .actor = ifab_view_str(actor), .why = why, .subject = subject};
    memcpy(fields.trace16, o->reply.trace16, 16);
    return fields;
}

static struct ifab_entry record_entry(struct ifab_outcome *o, enum ifab_event event, const char *actor, struct ifab_view why, struct ifab_view subject,
                                      struct ifab_view record)
{
    struct ifab_entry fields = act_entry(o, event, actor, why, subject);
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"record\":");
    ifab_buf_view(&o->payload, record);
    ifab_buf_char(&o->payload, '}');
    fields.payload = ifab_buf_as_view(&o->payload);
    return fields;
}

static enum ifab_code set_budget(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const char *actor,
                                 struct ifab_view why)
{
    struct ifab_budget_request request = command->u.budget.request;
    struct ifab_budget_state none = {0}, next;
    uint64_t number;
    unsigned reached;
    request.wall = ifab_money__time(o);
    if (request.subject == IFAB_SUBJECT_TALENT && request.name.size > 0 && ifab_talents_find(self->talents, request.name) == NULL)
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_TALENT_NOT_FOUND, "name", "no talent of this name");
    if (request.subject == IFAB_SUBJECT_SWARM && request.name.size > 0 && ifab_swarm_find(self->coordinator, request.name) == NULL &&
        ifab_money_budget(self->money, request.id) == NULL) /* one that was set before this was asked can still be changed */
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_NOT_FOUND, "name", "no swarm of this name");
    ifab_buf_clear(&o->scratch);
    enum ifab_code code = ifab_budget_set(self->money, &request, &o->scratch, &number, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    const struct ifab_budget *old = ifab_money_budget_at(self->money, number);
    struct ifab_budget budget = {.number = old != NULL ? number : o->next_number++,
                                 .id = request.id,
                                 .name = request.name,
                                 .subject = request.subject,
                                 .unit = request.unit,
                                 .period = request.period,
                                 .limit = request.limit,
                                 .version = old != NULL ? old->version + 1 : 1};
    next = ifab_money_relimit(request.period, old != NULL ? &old->state : &none, request.limit, request.wall, &reached);
    struct ifab_entry fields = record_entry(o, IFAB_EVENT_BUDGET_SET, actor, why, request.id, record);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    struct ifab_outcome_entry about = *entry; /* more entries may move the array */
    ifab_fabric__change(o, IFAB_KIND_BUDGET, budget.number, record.data, record.size);
    ifab_money__put_state(o, budget.number, &next);
    ifab_money__levels(self, o, &budget, request.limit, &next, reached, about.index);
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"budget\":");
    ifab_fabric_budget_json(self, &budget, &next, o->now.wall, &o->payload);
    ifab_money__put_entry(self, &o->payload, &about);
    reply(o, old != NULL ? 200 : 201);
    return IFAB_CODE_NONE;
}

static enum ifab_code remove_budget(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const char *actor,
                                    struct ifab_view why)
{
    const struct ifab_budget *budget = ifab_money_budget(self->money, command->u.budget.request.id);
    if (budget == NULL)
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_NOT_FOUND, "id", "no budget of this id");
    struct ifab_entry fields = record_entry(o, IFAB_EVENT_BUDGET_REMOVE, actor, why, budget->id, budget->record);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_fabric__change(o, IFAB_KIND_BUDGET_STATE, budget->number, NULL, 0);
    ifab_fabric__change(o, IFAB_KIND_BUDGET, budget->number, NULL, 0);
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"budget\":");
    ifab_fabric_budget_json(self, budget, &budget->state, o->now.wall, &o->payload);
    ifab_money__put_entry(self, &o->payload, entry);
    reply(o, 200);
    return IFAB_CODE_NONE;
}

static enum ifab_code set_rates(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const char *actor,
                                struct ifab_view why)
{
    uint8_t digest[32];
    ifab_buf_clear(&o->scratch);
    enum ifab_code code = ifab_prices_set(command->u.rates.table, &o->scratch, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    struct ifab_entry fields = record_entry(o, IFAB_EVENT_RATES_SET, actor, why, IFAB_VIEW("rates"), record);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_fabric__change(o, IFAB_KIND_PRICES, PRICES_NUMBER, record.data, record.size);
    ifab_sha256(record, digest);
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"digest\":");
    ifab_fabric__put_digest(&o->payload, digest);
    ifab_money__put_entry(self, &o->payload, entry);
    reply(o, 200);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_budget(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool rates = command->type == IFAB_COMMAND_RATES;
    char actor[96];
    struct ifab_view why;
    enum ifab_code code = ifab_fabric__authority(self, command, o, true, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    if (code == IFAB_CODE_NONE)
        code = rates                       ? set_rates(self, command, o, actor, why)
               : command->u.budget.remove ? remove_budget(self, command, o, actor, why)
                                           : set_budget(self, command, o, actor, why);
    if (code == IFAB_CODE_NONE)
        ifab_fabric__keep_reply(self, command, o);
    else
        ifab_fabric__refuse_act(self, command, o, code, signer_of(command), rates ? IFAB_VIEW("rates") : command->u.budget.request.id);
}

/* ---- costs and reservations: an agent's of what is its own, an operator's of anything ---- */

struct spender {
    struct ifab_fabric__bill bill;
    const uint8_t *rates32; /* of the table that priced it */
    uint32_t talent;        /* of role agent; 0: an operator */
};

static enum ifab_code check_agent(const struct ifab_fabric *self, const struct ifab_command *command, struct spender *s, struct ifab_refusal *r)
{
    const struct ifab_cost_request *request = &command->u.cost;
    const struct ifab_talent *own = ifab_talents_at(self->talents, command->principal->talent);
    if (own == NULL || own->removed_at != IFAB_NEVER)
        return ifab_refuse(r, IFAB_CODE_TALENT_NOT_FOUND, NULL, "the caller is no talent any more");
    if (request->talent.size > 0 && !ifab_view_equal(request->talent, own->name))
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "talent", "an agent spends in its own name: leave talent out, or say " IFAB_FMT, IFAB_ARG(own->name));
    const struct ifab_swarm *swarm = request->swarm.size == 0 ? NULL : ifab_swarm_find(self->coordinator, request->swarm);
    if (request->swarm.size > 0 && (swarm == NULL || !ifab_swarm_has_member(swarm, own->name)))
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "swarm", "no swarm of this name names " IFAB_FMT " as a member", IFAB_ARG(own->name));
    if (request->cost.usd_micro > IFAB_COST_REPORT_USD_MAX || request->cost.tokens_in > IFAB_COST_REPORT_TOKENS_MAX ||
        request->cost.tokens_out > IFAB_COST_REPORT_TOKENS_MAX || request->cost.calls > IFAB_COST_REPORT_CALLS_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "cost", "more than an agent may say at once: $1,000, 10^9 tokens, 10^6 calls");
    s->talent = own->number;
    s->bill.talent = own->name;
    return IFAB_CODE_NONE;
}

static enum ifab_code who_spends(const struct ifab_fabric *self, const struct ifab_command *command, struct spender *s, struct ifab_refusal *r)
{
    const struct ifab_cost_request *request = &command->u.cost;
    const struct ifab_principal *p = command->principal;
    memset(s, 0, sizeof *s);
    s->bill = (struct ifab_fabric__bill){.provider = request->provider,
                                         .capability = request->capability,
                                         .talent = request->talent,
                                         .swarm = request->swarm,
                                         .operation = request->operation,
                                         .model = request->cost.model,
                                         .why = command->why};
    if (p == NULL || p->kind == IFAB_PRINCIPAL_NONE)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "this needs a talent or the role operator");
    s->bill.actor = ifab_view_str(p->actor);
    if (command->act != NULL && command->act->present)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "IF-Admin", "costs and reservations take no admin act");
    if (p->role == IFAB_ROLE_AGENT)
        return check_agent(self, command, s, r);
    if (p->role != IFAB_ROLE_OPERATOR && p->role != IFAB_ROLE_ADMIN)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "this needs the role agent or operator");
    if (request->talent.size > 0 && ifab_talents_find(self->talents, request->talent) == NULL)
        return ifab_refuse(r, IFAB_CODE_TALENT_NOT_FOUND, "talent", "no talent of this name");
    if (request->swarm.size > 0 && ifab_swarm_find(self->coordinator, request->swarm) == NULL)
        return ifab_refuse(r, IFAB_CODE_NOT_FOUND, "swarm", "no swarm of this name");
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_fabric__price(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_cost *cost, struct ifab_fabric__bill *bill,
                                  const uint8_t **ret_rates32, struct ifab_refusal *r)
{
    const struct ifab_price *price = cost->model.size > 0 ? ifab_prices_find(self->prices, cost->model, ifab_money__time(o)) : NULL;
    *ret_rates32 = NULL;
    bill->usd_micro = cost->usd_micro;
    bill->tokens_in = cost->tokens_in;
    bill->tokens_out = cost->tokens_out;
    bill->calls = cost->calls;
    enum ifab_code code = ifab_money__amounts(bill, r);
    if (code != IFAB_CODE_NONE)
        return code;
    if (cost->has_usd || cost->model.size == 0)
        return IFAB_CODE_NONE;
    if (price == NULL)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "cost.model", "no price of " IFAB_FMT " holds now: say usd_micro, or have an admin set one", IFAB_ARG(cost->model));
    if (!ifab_price_cost(price, cost->tokens_in, cost->tokens_out, cost->calls, &bill->usd_micro))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "cost", "costs more than can be written");
    *ret_rates32 = ifab_prices_digest(self->prices);
    return IFAB_CODE_NONE;
}

/* A capability that is registered has a bucket of its own, however it is spelled; all other words share one, since any may be said. */
static struct ifab_view bucket_of(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view said)
{
    static const char front[] = "if://capability/";
    char id[sizeof front + IFAB_SUBJECT_NAME_MAX];
    struct ifab_uri uri;
    const struct ifab_allowed *allowed;
    struct ifab_view name = ifab_uri_parse(said, &uri, NULL) == IFAB_OK && ifab_view_is(uri.type, "capability") ? uri.path : said;
    if (name.size > 0 && name.size <= IFAB_SUBJECT_NAME_MAX) {
        snprintf(id, sizeof id, "%s" IFAB_FMT, front, IFAB_ARG(name));
        if (ifab_registry_find(self->registry, ifab_view_str(id), IFAB_VIEW(""), ifab_money__time(o), &allowed, NULL) == IFAB_CODE_NONE)
            return allowed->manifest->name;
    }
    return IFAB_VIEW("");
}

/* A bucket of the (talent, capability): each of these acts is an entry. */
static enum ifab_code take_token(const struct ifab_fabric *self, struct ifab_outcome *o, const struct spender *s)
{
    uint8_t bytes[20 + IFAB_SUBJECT_NAME_MAX], *at = bytes;
    struct ifab_view name = bucket_of(self, o, s->bill.capability);
    struct ifab_tokens next;
    enum ifab_code code = ifab_token_table_take(self->tokens, s->talent, name, self->settings.cost_rate, self->settings.cost_burst, o->now.run, &next,
                                                &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_put_u32(&at, s->talent);
    ifab_put_u64(&at, next.held);
    ifab_put_u64(&at, (uint64_t)next.since);
    ifab_put_bytes(&at, name.data, name.size < IFAB_SUBJECT_NAME_MAX ? name.size : IFAB_SUBJECT_NAME_MAX);
    ifab_fabric__change(o, IFAB_KIND_TOKENS, 0, bytes, (size_t)(at - bytes));
    return IFAB_CODE_NONE;
}

/* {"budgets":[…as they are now…],"cost":{…},"entry":{…},"error"?:{…},"over":[…]}: 402 when some budget has been passed, and recorded all the same. */
/* What to do next; a swarm that has passed its own budget is stopped by that. */
static void put_hint(struct ifab_buf *b, const struct ifab_money_plan *plan, const char *usual)
{
    char text[2 * IFAB_SUBJECT_NAME_MAX + 160];
    const struct ifab_budget *of_swarm = NULL;
    for (size_t i = 0; i < plan->count && of_swarm == NULL; i++)
        if (plan->lines[i].overrun > 0 && plan->lines[i].budget->subject == IFAB_SUBJECT_SWARM)
            of_swarm = plan->lines[i].budget;
    if (of_swarm != NULL)
        snprintf(text, sizeof text, "The swarm " IFAB_FMT " is stopped by that. When it may go on: ifctl governor reset swarm:" IFAB_FMT " --why TEXT.", IFAB_ARG(of_swarm->name),
                 IFAB_ARG(of_swarm->name));
    ifab_json_put_cstr(b, of_swarm != NULL ? text : usual);
}

static void reply_spent(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__bill *bill, const struct ifab_money_spent *spent, int http)
{
    struct ifab_buf *b = &o->payload;
    const struct ifab_code_info *info = ifab_code_info(IFAB_CODE_BUDGET_EXCEEDED);
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"budgets\":[");
    for (size_t i = 0; i < spent->plan->count && i < IFAB_MONEY_SHOWN_MAX; i++) {
        ifab_buf_str(b, i > 0 ? "," : "");
        const struct ifab_money_line *line = &spent->plan->lines[i];
        ifab_buf_str(b, "{\"id\":");
        ifab_json_put_string(b, line->budget->id);
        ifab_buf_format(b, ",\"left\":%llu,\"level\":\"%s\",\"unit\":\"%s\"}", (unsigned long long)ifab_budget_left(line->budget->limit, &line->next),
                        word_of(line->budget->limit, &line->next), ifab_unit_name(line->budget->unit));
    }
    ifab_buf_format(b, "],\"cost\":{\"calls\":%llu,\"tokens_in\":%llu,\"tokens_out\":%llu,\"usd_micro\":%llu}", (unsigned long long)bill->calls,
                    (unsigned long long)bill->tokens_in, (unsigned long long)bill->tokens_out, (unsigned long long)bill->usd_micro);
    ifab_money__put_entry(self, b, &o->entries[spent->entry_at]);
    if (spent->over) {
        const struct ifab_money_line *first = spent->plan->lines;
        while (first->overrun == 0)
            first++;
        ifab_buf_format(b, ",\"error\":{\"code\":\"IF_ERR_%03d\",\"hint\":", (int)info->code);
        put_hint(b, spent->plan, info->hint);
        ifab_buf_format(b, ",\"message\":\"recorded in entry %llu, and it passed budget " IFAB_FMT ": %llu %s more than there were\",\"name\":\"%s\",\"retryable\":false}",
                        (unsigned long long)o->entries[spent->entry_at].index, IFAB_ARG(first->budget->id), (unsigned long long)first->overrun,
                        ifab_unit_name(first->budget->unit), info->name);
    }
    ifab_money__put_passed(b, spent, IFAB_MONEY_SHOWN_MAX);
    reply(o, spent->over ? ifab_code_info(IFAB_CODE_BUDGET_EXCEEDED)->http : http);
}

static bool any_amount(const struct ifab_fabric__bill *bill) { return bill->usd_micro > 0 || bill->tokens_in > 0 || bill->tokens_out > 0 || bill->calls > 0; }

static enum ifab_code spend(const struct ifab_fabric *self, struct ifab_outcome *o, struct spender *s, uint64_t number, int http)
{
    struct ifab_money_spent spent;
    if (s->bill.why.size == 0)
        s->bill.why = s->bill.operation.size > 0 ? s->bill.operation : IFAB_VIEW("reported cost");
    enum ifab_code code = ifab_money__spend(self, o, number, &s->bill, s->rates32, &spent);
    if (code == IFAB_CODE_NONE)
        reply_spent(self, o, &s->bill, &spent, http);
    return code;
}

static enum ifab_code cost(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct spender *s)
{
    enum ifab_code code = ifab_fabric__price(self, o, &command->u.cost.cost, &s->bill, &s->rates32, &o->reply.refusal);
    if (code == IFAB_CODE_NONE && !any_amount(&s->bill))
        code = ifab_refuse(&o->reply.refusal, IFAB_CODE_INVALID_PARAMS, "cost", "nothing was spent: usd_micro, tokens or calls must be above 0");
    return code != IFAB_CODE_NONE ? code : spend(self, o, s, 0, 201);
}

static enum ifab_code reserve(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct spender *s)
{
    const struct ifab_cost_request *request = &command->u.cost;
    struct ifab_reservation *made = ifab_fabric__alloc(o, sizeof *made);
    struct ifab_outcome_entry *entry;
    enum ifab_code code = ifab_fabric__price(self, o, &request->cost, &s->bill, &s->rates32, &o->reply.refusal);
    if (made == NULL)
        return IFAB_CODE_SYSTEM_ERROR;
    if (code != IFAB_CODE_NONE)
        return code;
    if (request->ttl < IFAB_SECOND || request->ttl > IFAB_RESERVATION_TTL_MAX)
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_INVALID_PARAMS, "ttl_s", "1 to 3600 seconds");
    struct ifab_fabric__hold hold = {.bill = s->bill, .owner = s->talent, .urgent = request->urgent, .deadline = o->now.run + request->ttl};
    if (hold.bill.why.size == 0)
        hold.bill.why = request->operation.size > 0 ? request->operation : IFAB_VIEW("reservation");
    size_t at = o->entry_count;
    code = ifab_money__reserve(self, o, &hold, true, made, &entry);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"reservation\":");
    ifab_fabric_reservation_json(self, made, o->now.run, &o->payload);
    ifab_money__put_entry(self, &o->payload, &o->entries[at]);
    reply(o, 201);
    return IFAB_CODE_NONE;
}

static enum ifab_code find_own(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct spender *s,
                               struct ifab_reservation *ret)
{
    struct ifab_refusal *r = &o->reply.refusal;
    uint8_t id16[16];
    if (ifab_id_parse(command->u.cost.id, "rsv-", id16) != IFAB_OK || !ifab_money_reservation(self->money, id16, ret)) {
        ifab_refuse(r, IFAB_CODE_NOT_FOUND, "id", "no open reservation of this id: it was settled or released, or its time has passed");
        r->hint = "If something was spent that no settlement has said yet: ifctl cost track.";
        return IFAB_CODE_NOT_FOUND;
    }
    if (s->talent != 0 && ret->owner != s->talent)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "id", "another made this reservation");
    return IFAB_CODE_NONE;
}

static enum ifab_code settle(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct spender *s)
{
    struct ifab_reservation *v = ifab_fabric__alloc(o, sizeof *v);
    if (v == NULL)
        return IFAB_CODE_SYSTEM_ERROR;
    enum ifab_code code = find_own(self, command, o, s, v);
    if (code != IFAB_CODE_NONE)
        return code;
    memcpy(o->reply.trace16, v->trace16, 16); /* what it was made for goes on (INV-13) */
    if (!command->u.cost.release) {
        code = ifab_fabric__price(self, o, &command->u.cost.cost, &s->bill, &s->rates32, &o->reply.refusal);
        if (code == IFAB_CODE_NONE && !any_amount(&s->bill))
            code = ifab_refuse(&o->reply.refusal, IFAB_CODE_INVALID_PARAMS, "cost", "nothing was spent: release it instead");
        s->bill.talent = v->owner == s->talent ? s->bill.talent : (struct ifab_view){NULL, 0};
        return code != IFAB_CODE_NONE ? code : spend(self, o, s, v->number, 200);
    }
    s->bill.why_from = v->index;
    if (s->bill.why.size == 0 && v->dangling)
        s->bill.why = IFAB_VIEW("released");
    size_t at = o->entry_count;
    if (!ifab_money__release(self, o, v, IFAB_EVENT_RELEASED, &s->bill, NULL))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"released\":");
    ifab_fabric_reservation_json(self, v, o->now.run, &o->payload);
    ifab_money__put_entry(self, &o->payload, &o->entries[at]);
    reply(o, 200);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_cost(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct spender s;
    enum ifab_code code = who_spends(self, command, &s, &o->reply.refusal);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    if (code == IFAB_CODE_NONE)
        code = take_token(self, o, &s);
    if (code == IFAB_CODE_NONE)
        code = command->type == IFAB_COMMAND_COST      ? cost(self, command, o, &s)
               : command->type == IFAB_COMMAND_RESERVE ? reserve(self, command, o, &s)
                                                       : settle(self, command, o, &s);
    if (code == IFAB_CODE_NONE)
        ifab_fabric__keep_reply(self, command, o);
    else
        ifab_fabric__refuse_act(self, command, o, code, command->principal != NULL ? command->principal->talent : 0,
                                command->u.cost.id.size > 0 ? command->u.cost.id : command->u.cost.operation);
}

/* ---- a restore: budgets and prices stand in the new log, what was held comes back as dangling ---- */

static bool restate(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, struct ifab_view subject, struct ifab_view record)
{
    struct ifab_entry fields = record_entry(o, event, self->settings.fabric_actor, IFAB_VIEW(""), subject, record);
    fields.has_why_from = true;
    fields.why_from = 0;
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}

/* With what was spent of it: no entry of this log says so. */
static bool restate_budget(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_budget *b)
{
    struct ifab_entry fields = record_entry(o, IFAB_EVENT_BUDGET_SET, self->settings.fabric_actor, IFAB_VIEW(""), b->id, b->record);
    o->payload.size--; /* its brace */
    ifab_buf_format(&o->payload, ",\"state\":{\"overrun\":%llu,\"period_start\":\"", (unsigned long long)b->state.overrun);
    ifab_buf_time(&o->payload, b->state.period_start);
    ifab_buf_format(&o->payload, "\",\"settled\":%llu}}", (unsigned long long)b->state.settled);
    fields.payload = ifab_buf_as_view(&o->payload);
    fields.has_why_from = true;
    fields.why_from = 0;
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}

static bool restore_budgets(const struct ifab_fabric *self, const struct ifab_money *money, struct ifab_outcome *o)
{
    for (const struct ifab_budget *b = ifab_money_budget_next(money, 0); b != NULL; b = ifab_money_budget_next(money, b->number)) {
        if (!restate_budget(self, o, b) ||
            !ifab_fabric__change(o, IFAB_KIND_BUDGET, b->number, b->record.data, b->record.size) || !ifab_money__put_state(o, b->number, &b->state))
            return false;
    }
    return true;
}

static bool restore_reservations(const struct ifab_fabric *self, const struct ifab_money *money, struct ifab_outcome *o)
{
    struct ifab_reservation *v = ifab_fabric__alloc(o, sizeof *v);
    for (uint64_t n = 0; v != NULL && ifab_money_reservation_next(money, n, v); n = v->number) {
        uint8_t packed[IFAB_RESERVATION_PACKED_MAX];
        char id[41];
        ifab_money__id(v->id16, id);
        uint64_t old_index = v->index;
        v->dangling = true;
        v->deadline = o->now.run + IFAB_RESERVATION_TTL_MAX;
        v->index = o->next_index;
        ifab_buf_clear(&o->payload);
        ifab_buf_format(&o->payload, "{\"calls\":%llu,\"old_index\":%llu,\"tokens\":%llu,\"usd_micro\":%llu}",
                        (unsigned long long)v->spend.amounts[IFAB_UNIT_CALLS], (unsigned long long)old_index,
                        (unsigned long long)v->spend.amounts[IFAB_UNIT_TOKENS], (unsigned long long)v->spend.amounts[IFAB_UNIT_USD_MICRO]);
        struct ifab_entry fields = {.event = IFAB_EVENT_RESERVATION_DANGLING,
                                    .actor = ifab_view_str(self->settings.fabric_actor),
                                    .has_why_from = true,
                                    .subject = ifab_view_str(id),
                                    .payload = ifab_buf_as_view(&o->payload)};
        memcpy(fields.trace16, v->trace16, 16);
        if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL) ||
            !ifab_fabric__change(o, IFAB_KIND_RESERVATION, v->number, packed, ifab_reservation_pack(v, packed)))
            return false;
    }
    return v != NULL;
}

/* One that a person has not reset stands in the new log too. */
static bool restore_breaker(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_breaker *b)
{
    uint8_t packed[IFAB_BREAKER_PACKED_MAX];
    struct ifab_breaker copy = *b;
    copy.index = b->state == IFAB_BREAKER_CLOSED ? 0 : o->next_index; /* the one there was is of another log */
    if (b->state != IFAB_BREAKER_CLOSED) {
        char subject[16 + IFAB_SUBJECT_NAME_MAX];
        snprintf(subject, sizeof subject, "%s:" IFAB_FMT, ifab_breaker_kind_name(b->kind), IFAB_ARG(b->name));
        ifab_buf_clear(&o->payload);
        ifab_buf_format(&o->payload, "{\"cause\":\"%s\",\"failures\":%u,\"state\":\"%s\"}", ifab_breaker_cause_name(b->cause), b->failures,
                        ifab_breaker_state_name(b->state));
        struct ifab_entry fields = {.event = IFAB_EVENT_BREAKER_TRIPPED,
                                    .actor = ifab_view_str(self->settings.fabric_actor),
                                    .has_why_from = true,
                                    .subject = ifab_view_str(subject),
                                    .payload = ifab_buf_as_view(&o->payload)};
        if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL))
            return false;
    }
    return ifab_fabric__change(o, IFAB_KIND_BREAKER, b->number, packed, ifab_breaker_pack(&copy, packed));
}

bool ifab_fabric__restore_money(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_breakers *breakers = command->u.restore.breakers;
    const struct ifab_prices *prices = command->u.restore.prices;
    struct ifab_view table = prices != NULL ? ifab_prices_record(prices) : IFAB_VIEW("");
    if (table.size > 0 && (!restate(self, o, IFAB_EVENT_RATES_SET, IFAB_VIEW("rates"), table) ||
                           !ifab_fabric__change(o, IFAB_KIND_PRICES, PRICES_NUMBER, table.data, table.size)))
        return false;
    for (const struct ifab_breaker *b = breakers == NULL ? NULL : ifab_breakers_next(breakers, 0); b != NULL; b = ifab_breakers_next(breakers, b->number))
        if (!restore_breaker(self, o, b))
            return false;
    return command->u.restore.money == NULL ||
           (restore_budgets(self, command->u.restore.money, o) && restore_reservations(self, command->u.restore.money, o));
}
