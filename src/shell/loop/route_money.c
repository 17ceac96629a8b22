/* Budgets, prices, costs, reservations, breakers: what is asked, checked by schema; lists at their turn in the order of steps. */
#include <string.h>

#include "json/schema.h"
#include "node.h"
#include "redact/redact.h"

#define RESERVATION_TTL 300

#define FIELD_WHY {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable}
#define FIELD_NAME(name_) {.name = (name_), .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name}
#define FIELD_AMOUNT(name_) {.name = (name_), .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = (int64_t)IFAB_MONEY_MAX}
#define FIELD_TEXT(name_, required_, max_)                                                                                                             \
    {                                                                                                                                                  \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = (max_), .check = ifab_schema_printable                    \
    }

static const struct ifab_schema_field cost_fields[] = {
    FIELD_AMOUNT("calls"), FIELD_TEXT("model", false, 128), FIELD_AMOUNT("tokens_in"), FIELD_AMOUNT("tokens_out"), FIELD_AMOUNT("usd_micro"),
};
const struct ifab_schema money_cost_schema = {"cost", cost_fields, IFAB_COUNT(cost_fields)};
#define FIELD_COST {.name = "cost", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &money_cost_schema}
#define FIELD_SUBJECTS FIELD_TEXT("capability", false, IFAB_SUBJECT_NAME_MAX), FIELD_NAME("provider"), FIELD_NAME("swarm"), FIELD_NAME("talent")

static bool check_priority(struct ifab_view text, const char **ret_why)
{
    *ret_why = "P0, P1, P2 or P3";
    return text.size == 2 && text.data[0] == 'P' && text.data[1] >= '0' && text.data[1] <= '3';
}

static const struct ifab_schema_field spent_fields[] = {FIELD_COST, FIELD_TEXT("operation", false, 128), FIELD_SUBJECTS, FIELD_WHY};
static const struct ifab_schema_field reserve_fields[] = {
    FIELD_COST,
    FIELD_TEXT("operation", false, 128),
    {.name = "priority", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 8, .check = check_priority},
    FIELD_SUBJECTS,
    {.name = "ttl_s", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = IFAB_RESERVATION_TTL_MAX / IFAB_SECOND},
    FIELD_WHY,
};
static const struct ifab_schema_field settle_fields[] = {FIELD_COST, FIELD_TEXT("operation", false, 128), FIELD_WHY};
static const struct ifab_schema_field budget_fields[] = {
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "limit", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 0, .max = (int64_t)IFAB_MONEY_MAX},
    FIELD_TEXT("name", true, IFAB_SUBJECT_NAME_MAX),
    FIELD_TEXT("period", true, 8),
    FIELD_TEXT("subject", true, 16),
    FIELD_TEXT("unit", true, 16),
    FIELD_WHY,
};
static const struct ifab_schema_field why_fields[] = {FIELD_WHY};
static const struct ifab_schema_field reset_fields[] = {FIELD_TEXT("breaker", true, 160), FIELD_WHY};
static const struct ifab_schema_field any_row = {.kind = IFAB_SCHEMA_OPEN};
static const struct ifab_schema_field rates_fields[] = {
    {.name = "rows", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 1, .max = IFAB_PRICE_ROWS_MAX, .item = &any_row}, /* the core's rows say more */
    {.name = "v", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = 1},
    FIELD_WHY,
};
static const struct ifab_schema spent_schema = {"cost report", spent_fields, IFAB_COUNT(spent_fields)};
static const struct ifab_schema reserve_schema = {"reservation", reserve_fields, IFAB_COUNT(reserve_fields)};
static const struct ifab_schema settle_schema = {"settlement", settle_fields, IFAB_COUNT(settle_fields)};
static const struct ifab_schema budget_schema = {"budget", budget_fields, IFAB_COUNT(budget_fields)};
static const struct ifab_schema why_schema = {"request", why_fields, IFAB_COUNT(why_fields)};
static const struct ifab_schema reset_schema = {"request", reset_fields, IFAB_COUNT(reset_fields)};
static const struct ifab_schema rates_schema = {"price table", rates_fields, IFAB_COUNT(rates_fields)};

static uint64_t amount_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value); /* the schema has looked: 0 or more */
    return (uint64_t)value;
}

void money_cost(const struct ifab_json *object, struct ifab_cost *ret_cost)
{
    *ret_cost = (struct ifab_cost){.has_usd = ifab_json_get(object, "usd_micro") != NULL,
                                   .usd_micro = amount_of(object, "usd_micro"),
                                   .tokens_in = amount_of(object, "tokens_in"),
                                   .tokens_out = amount_of(object, "tokens_out"),
                                   .calls = amount_of(object, "calls"),
                                   .model = ifab_json_text(object, "model")};
}

static struct ticket *act_ticket(struct node *node, struct request *r, const struct ifab_json *body, enum ifab_command_type type)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return NULL;
    }
    t->command.type = type;
    t->command.why = ifab_json_text(body, "why");
    return t;
}

/* ---- costs and reservations ---- */

/* Names stand in entries for good. */
static bool no_secrets(struct node *node, struct request *r, const struct ifab_json *body)
{
    static const char *const names[] = {"capability", "provider", "swarm", "talent"};
    bool hit = ifab_redact_hits_text(ifab_json_text(ifab_json_get(body, "cost"), "model"));
    const char *which = "cost.model";
    for (size_t i = 0; i < IFAB_COUNT(names) && !hit; i++)
        if (ifab_redact_hits_text(ifab_json_text(body, names[i]))) {
            which = names[i];
            hit = true;
        }
    if (hit)
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, which, "looks like a secret, and names stand in the log");
    return !hit;
}

static void queue_cost(struct node *node, struct request *r, const struct ifab_schema *schema, enum ifab_command_type type)
{
    const struct ifab_json *body = act_body(node, r, schema);
    if (body == NULL || !no_secrets(node, r, body))
        return;
    struct ticket *t = act_ticket(node, r, body, type);
    if (t == NULL)
        return;
    struct ifab_cost_request *request = &t->command.u.cost;
    int64_t ttl = RESERVATION_TTL;
    (void)ifab_json_integer(ifab_json_get(body, "ttl_s"), &ttl);
    money_cost(ifab_json_get(body, "cost"), &request->cost);
    request->talent = ifab_json_text(body, "talent");
    request->provider = ifab_json_text(body, "provider");
    request->capability = ifab_json_text(body, "capability");
    request->swarm = ifab_json_text(body, "swarm");
    request->operation = context_redacted(&t->arena, ifab_json_text(body, "operation"));
    request->urgent = ifab_view_is(ifab_json_text(body, "priority"), "P0");
    request->ttl = ttl * IFAB_SECOND;
    if (type == IFAB_COMMAND_SETTLE)
        request->id = r->params[0];
    queue_act(node, r, t);
}

void handle_cost(struct node *node, struct request *r) { queue_cost(node, r, &spent_schema, IFAB_COMMAND_COST); }
void handle_reserve(struct node *node, struct request *r) { queue_cost(node, r, &reserve_schema, IFAB_COMMAND_RESERVE); }
void handle_settle(struct node *node, struct request *r) { queue_cost(node, r, &settle_schema, IFAB_COMMAND_SETTLE); }

void handle_release(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &why_schema);
    struct ticket *t = body == NULL ? NULL : act_ticket(node, r, body, IFAB_COMMAND_SETTLE);
    if (t == NULL)
        return;
    t->command.u.cost.id = r->params[0];
    t->command.u.cost.release = true;
    queue_act(node, r, t);
}

/* ---- budgets, prices, breakers ---- */

void handle_budget_set(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &budget_schema);
    if (body == NULL)
        return;
    struct ifab_budget_request request = {.id = ifab_json_text(body, "id"), .name = ifab_json_text(body, "name"), .limit = amount_of(body, "limit")};
    if (ifab_redact_hits_text(request.id)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "id", "looks like a secret, and names stand in the log");
        return;
    }
    const char *wrong = !ifab_subject_parse(ifab_json_text(body, "subject"), &request.subject)  ? "subject"
                        : !ifab_unit_parse(ifab_json_text(body, "unit"), &request.unit)         ? "unit"
                        : !ifab_period_parse(ifab_json_text(body, "period"), &request.period)   ? "period"
                                                                                         : NULL;
    if (wrong != NULL) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, wrong,
                   "subject is provider, capability, talent, swarm or trace; unit usd_micro, tokens or calls; period hour, day, week, month or total");
        return;
    }
    struct ticket *t = act_ticket(node, r, body, IFAB_COMMAND_BUDGET);
    if (t == NULL)
        return;
    t->command.u.budget.request = request;
    queue_act(node, r, t);
}

void handle_budget_remove(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &why_schema);
    struct ticket *t = body == NULL ? NULL : act_ticket(node, r, body, IFAB_COMMAND_BUDGET);
    if (t == NULL)
        return;
    t->command.u.budget.request.id = r->params[0];
    t->command.u.budget.remove = true;
    queue_act(node, r, t);
}

void handle_rates_set(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &rates_schema);
    struct ticket *t = body == NULL ? NULL : act_ticket(node, r, body, IFAB_COMMAND_RATES);
    if (t == NULL)
        return;
    t->command.u.rates.table = body;
    queue_act(node, r, t);
}

void handle_breaker_reset(struct node *node, struct request *r)
{
    static const struct {
        const char *prefix;
        enum ifab_breaker_kind kind;
    } kinds[] = {{"swarm:", IFAB_BREAKER_SWARM}, {"capability:", IFAB_BREAKER_CAPABILITY}};
    const struct ifab_json *body = act_body(node, r, &reset_schema);
    if (body == NULL)
        return;
    struct ifab_view text = ifab_json_text(body, "breaker");
    size_t i = 0;
    while (i < IFAB_COUNT(kinds) && !ifab_view_starts(text, ifab_view_str(kinds[i].prefix)))
        i++;
    size_t skip = i < IFAB_COUNT(kinds) ? strlen(kinds[i].prefix) : 0;
    struct ifab_view name = ifab_view_of(text.data + skip, text.size - skip);
    if (skip == 0 || !ifab_subject_valid(kinds[i].kind == IFAB_BREAKER_SWARM ? IFAB_SUBJECT_SWARM : IFAB_SUBJECT_CAPABILITY, name)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "breaker", "swarm:NAME or capability:NAME, as the list shows it");
        return;
    }
    struct ticket *t = act_ticket(node, r, body, IFAB_COMMAND_BREAKER_RESET);
    if (t == NULL)
        return;
    t->command.u.breaker.kind = kinds[i].kind;
    t->command.u.breaker.name = name;
    queue_act(node, r, t);
}

/* ---- lists ---- */

/* Of a caller of role agent: what is its own. */
static struct ifab_view own_name(const struct node *node, const struct request *r)
{
    const struct ifab_talent *own = r->principal.role == IFAB_ROLE_AGENT ? ifab_talents_at(ifab_fabric_talents(node->fabric), r->principal.talent) : NULL;
    return own != NULL ? own->name : IFAB_VIEW("");
}

static void step_budgets(struct node *node, struct ticket *t)
{
    const struct ifab_money *money = ifab_fabric_money(node->fabric);
    struct list *list = list_begin(t, NULL);
    struct ifab_view own = own_name(node, t->request);
    bool agent = t->request->principal.role == IFAB_ROLE_AGENT;
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    for (uint64_t n = list->after;; n = list->last) {
        const struct ifab_budget *b = agent ? ifab_money_of(money, IFAB_SUBJECT_TALENT, own, n) : ifab_money_budget_next(money, n);
        if (b == NULL || !list_next(list))
            break;
        ifab_fabric_budget_json(node->fabric, b, &b->state, wall, &list->buf);
        list->last = b->number;
    }
    list_end(t, list);
}

static void step_reservations(struct node *node, struct ticket *t)
{
    const struct ifab_money *money = ifab_fabric_money(node->fabric);
    struct list *list = list_begin(t, NULL);
    const struct ifab_principal *principal = &t->request->principal;
    struct ifab_reservation *v = ifab_arena_alloc(&t->arena, sizeof *v);
    ifab_usec run = clock_now(&node->clock, NULL).run;
    bool agent = principal->role == IFAB_ROLE_AGENT;
    for (uint64_t n = list->after; v != NULL; n = v->number) {
        bool there = agent ? ifab_money_reservation_of(money, principal->talent, n, v) : ifab_money_reservation_next(money, n, v);
        if (!there || !list_next(list))
            break;
        ifab_fabric_reservation_json(node->fabric, v, run, &list->buf);
        list->last = v->number;
    }
    list_end(t, list);
}

static void step_breakers(struct node *node, struct ticket *t)
{
    const struct ifab_breakers *breakers = ifab_fabric_breakers(node->fabric);
    struct list *list = list_begin(t, NULL);
    ifab_usec run = clock_now(&node->clock, NULL).run;
    for (const struct ifab_breaker *b = ifab_breakers_next(breakers, list->after); b != NULL; b = ifab_breakers_next(breakers, b->number)) {
        if (!list_next(list))
            break;
        ifab_fabric_breaker_json(node->fabric, b, run, &list->buf);
        list->last = b->number;
    }
    list_end(t, list);
}

/* {"digest":"sha256:…"|null,"items":[rows]}: small, and whole. */
static void step_rates(struct node *node, struct ticket *t)
{
    const struct ifab_prices *prices = ifab_fabric_prices(node->fabric);
    const uint8_t *digest = ifab_prices_digest(prices);
    struct ifab_buf b = IFAB_BUF_INIT((size_t)1 << 20);
    ifab_buf_str(&b, "{\"digest\":");
    if (digest != NULL) {
        ifab_buf_str(&b, "\"sha256:");
        ifab_buf_hex(&b, digest, 32);
        ifab_buf_char(&b, '"');
    } else {
        ifab_buf_str(&b, "null");
    }
    ifab_buf_str(&b, ",\"items\":[");
    for (size_t i = 0; i < ifab_prices_count(prices); i++) {
        const struct ifab_price *p = ifab_prices_at(prices, i);
        ifab_buf_format(&b, "%s{\"call_usd_micro\":%llu,\"from\":\"", i > 0 ? "," : "", (unsigned long long)p->call);
        ifab_buf_time(&b, p->from);
        ifab_buf_format(&b, "\",\"in_usd_micro_per_mtok\":%llu,\"model\":", (unsigned long long)p->in);
        ifab_json_put_string(&b, p->model);
        ifab_buf_format(&b, ",\"out_usd_micro_per_mtok\":%llu,\"provider\":", (unsigned long long)p->out);
        ifab_json_put_string(&b, p->provider);
        ifab_buf_char(&b, '}');
    }
    ifab_buf_str(&b, "],\"next\":null}");
    reply_body(t, &b);
}

void handle_budgets(struct node *node, struct request *r) { list_queue(node, r, step_budgets, NULL, 0); }
void handle_reservations(struct node *node, struct request *r) { list_queue(node, r, step_reservations, NULL, 0); }
void handle_breakers(struct node *node, struct request *r) { list_queue(node, r, step_breakers, NULL, 0); }
void handle_rates(struct node *node, struct request *r) { list_queue(node, r, step_rates, NULL, 0); }
