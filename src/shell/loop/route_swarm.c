/* Swarms: registered, listed, one, that it is there; who could help, and what help came to. SURFACE section 8. */
#include <string.h>

#include "json/schema.h"
#include "node.h"

static const struct ifab_schema_field skill_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_SKILL_MAX, .check = ifab_schema_printable};
static const struct ifab_schema_field name_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name};

static bool check_policy(struct ifab_view text, const char **ret_why)
{
    *ret_why = "reject, block or shed-lowest";
    return ifab_view_is(text, "reject") || ifab_view_is(text, "block") || ifab_view_is(text, "shed-lowest");
}

static const struct ifab_schema_field cost_fields[] = {
    {.name = "usd_micro_per_hour", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 0, .max = INT64_C(1000000000000)},
};
static const struct ifab_schema cost_schema = {"cost", cost_fields, IFAB_COUNT(cost_fields)};
static const struct ifab_schema_field queue_fields[] = {
    {.name = "limit", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = 100000},
    {.name = "policy", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_policy},
};
static const struct ifab_schema queue_schema = {"queue", queue_fields, IFAB_COUNT(queue_fields)};
static const struct ifab_schema_field swarm_fields[] = {
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "skills", .kind = IFAB_SCHEMA_LIST, .max = IFAB_SWARM_SKILLS_MAX, .item = &skill_item},
    {.name = "capabilities", .kind = IFAB_SCHEMA_LIST, .max = IFAB_SWARM_SKILLS_MAX, .item = &skill_item}, /* an alias of skills */
    {.name = "members", .kind = IFAB_SCHEMA_LIST, .min = 0, .max = IFAB_SWARM_MEMBERS_MAX, .item = &name_item},
    {.name = "cost", .kind = IFAB_SCHEMA_OBJECT, .sub = &cost_schema},
    {.name = "model", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "concurrency", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = 1000},
    {.name = "weight", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = 16},
    {.name = "queue", .kind = IFAB_SCHEMA_OBJECT, .sub = &queue_schema},
    {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable},
};
static const struct ifab_schema swarm_schema = {"swarm", swarm_fields, IFAB_COUNT(swarm_fields)};
static const struct ifab_schema heartbeat_schema = {"heartbeat", NULL, 0};

bool who_is_member(const struct node *node, const struct ifab_principal *p, struct ifab_swarm_number number)
{
    const struct ifab_swarm *swarm = ifab_swarm_at(ifab_fabric_coordinator(node->fabric), number);
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), p->talent);
    return swarm != NULL && talent != NULL && ifab_swarm_has_member(swarm, talent->name);
}

/* ---- registered; there ---- */

static int64_t number_of(const struct ifab_json *object, const char *name)
{
    int64_t n = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &n);
    return n;
}

void handle_swarm_register(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &swarm_schema);
    struct ticket *t = body == NULL ? NULL : ticket_new(node, r);
    if (t == NULL) {
        if (body != NULL)
            reply_out_of_memory(node, r);
        return;
    }
    struct ifab_swarm_request *request = &t->command.u.swarm.request;
    const struct ifab_json *queue = ifab_json_get(body, "queue"), *skills = ifab_json_get(body, "skills"), *alias = ifab_json_get(body, "capabilities");
    struct ifab_view policy = ifab_json_text(queue, "policy");
    const char *wrong = skills != NULL && alias != NULL ? "capabilities" : skills == NULL && alias == NULL ? "skills" : NULL;
    if (wrong != NULL) {
        ticket_free(node, t);
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, wrong, "say skills, or capabilities, which means the same");
        return;
    }
    request->id = ifab_json_text(body, "id");
    request->model = ifab_json_text(body, "model");
    request->cost_per_hour = number_of(ifab_json_get(body, "cost"), "usd_micro_per_hour");
    request->concurrency = (uint32_t)number_of(body, "concurrency");
    request->weight = (uint32_t)number_of(body, "weight");
    request->queue_limit = (uint32_t)number_of(queue, "limit");
    request->queue_policy = ifab_view_is(policy, "shed-lowest") ? IFAB_QUEUE_SHED_LOWEST : ifab_view_is(policy, "block") ? IFAB_QUEUE_BLOCK : IFAB_QUEUE_REJECT;
    if (!body_strings(r, skills != NULL ? skills : alias, &request->skills, &request->skill_count) ||
        !body_strings(r, ifab_json_get(body, "members"), &request->members, &request->member_count)) {
        ticket_free(node, t);
        reply_out_of_memory(node, r);
        return;
    }
    t->command.type = IFAB_COMMAND_SWARM;
    t->command.why = ifab_json_text(body, "why");
    queue_act(node, r, t);
}

/* Nothing of it is kept, so nothing is for an Idempotency-Key. */
void handle_heartbeat(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &heartbeat_schema);
    struct ticket *t = body == NULL ? NULL : ticket_new(node, r);
    if (t == NULL) {
        if (body != NULL)
            reply_out_of_memory(node, r);
        return;
    }
    t->command.type = IFAB_COMMAND_HEARTBEAT;
    t->command.u.heartbeat.swarm = r->params[0];
    ticket_queue(node, t);
}

/* ---- read ---- */

static void step_swarms(struct node *node, struct ticket *t)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    struct list *list = list_begin(t, NULL);
    const struct ifab_swarm *swarm = ifab_swarm_after(coordinator, (struct ifab_swarm_number){list->after});
    for (; swarm != NULL && list_next(list); swarm = ifab_swarm_after(coordinator, swarm->number)) {
        ifab_fabric_swarm_json(node->fabric, swarm, clock_now(&node->clock, NULL), &list->buf);
        list->last = swarm->number.n;
    }
    list_end(t, list);
}

void handle_swarms(struct node *node, struct request *r) { list_queue(node, r, step_swarms, NULL, 0); }

/* An agent sees those that name it. */
static void step_swarm(struct node *node, struct ticket *t)
{
    const struct ifab_swarm *swarm = ifab_swarm_find(ifab_fabric_coordinator(node->fabric), t->request->params[0]);
    const struct ifab_principal *p = &t->request->principal;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)1 << 20);
    if (swarm == NULL || (p->role == IFAB_ROLE_AGENT && !who_is_member(node, p, swarm->number))) {
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_NOT_FOUND, "id", "no swarm of this name, or you may not see it");
        return;
    }
    ifab_fabric_swarm_json(node->fabric, swarm, clock_now(&node->clock, NULL), &b);
    reply_body(t, &b);
}

void handle_swarm(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    t->step = step_swarm;
    ticket_queue(node, t);
}

/* ---- who could help ---- */

static void step_match(struct node *node, struct ticket *t)
{
    struct ifab_view needs[IFAB_TASK_NEEDS_MAX + 1], *asked = t->user, rest = asked[0];
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    size_t count = 0;
    while (rest.size > 0 && count <= IFAB_TASK_NEEDS_MAX) {
        const uint8_t *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma == NULL ? rest.size : (size_t)(comma - rest.data);
        needs[count++] = ifab_view_of(rest.data, size);
        rest = ifab_view_of(rest.data + size + (comma != NULL), rest.size - size - (comma != NULL));
    }
    const struct ifab_fabric_match_ask ask = {.needs = needs, .need_count = count, .not_this = asked[1], .strategy = asked[2], .now = clock_now(&node->clock, NULL)};
    t->reply.code = ifab_fabric_match(node->fabric, &ask, &t->arena, &b, &t->reply.refusal);
    if (t->reply.code == IFAB_CODE_NONE)
        reply_body(t, &b);
    else
        ifab_buf_fini(&b);
}

void handle_match(struct node *node, struct request *r)
{
    static const char *const names[] = {"needs", "for", "strategy"};
    struct ticket *t = ticket_new(node, r);
    struct ifab_view *asked = t == NULL ? NULL : ifab_arena_calloc(&t->arena, IFAB_COUNT(names), sizeof *asked);
    bool ok = asked != NULL;
    for (size_t i = 0; ok && i < IFAB_COUNT(names); i++) {
        struct ifab_buf value = IFAB_BUF_INIT(2048);
        (void)request_query(r, names[i], &value);
        ok = ifab_arena_copy(&t->arena, ifab_buf_as_view(&value), &asked[i]) == IFAB_OK;
        ifab_buf_fini(&value);
    }
    if (ok) {
        t->user = asked;
        t->step = step_match;
        ticket_queue(node, t);
        return;
    }
    if (t != NULL)
        ticket_free(node, t);
    reply_out_of_memory(node, r);
}

/* ---- what help came to ---- */

static void put_help(struct ifab_buf *b, const struct ifab_swarm_help *help)
{
    int permille = ifab_swarm_help_permille(help);
    ifab_buf_format(b, "\"asked\":%llu,\"completed\":%llu,\"cost\":{\"usd_micro\":%llu},\"waste_permille\":", (unsigned long long)help->asked,
                    (unsigned long long)help->completed, (unsigned long long)help->cost);
    if (permille < 0)
        ifab_buf_str(b, "null");
    else
        ifab_buf_i64(b, permille);
    ifab_buf_format(b, ",\"wasted\":{\"usd_micro\":%llu}", (unsigned long long)help->wasted);
}

/* Swarms that were ever asked, and all of them together. */
static void step_waste(struct node *node, struct ticket *t)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    struct ifab_swarm_help total = ifab_swarm_help_total(coordinator);
    struct ifab_buf ahead = IFAB_BUF_INIT(512);
    ifab_buf_str(&ahead, "\"total\":{");
    put_help(&ahead, &total);
    ifab_buf_str(&ahead, "},");
    struct list *list = list_begin(t, &ahead);
    const struct ifab_swarm *swarm = ifab_swarm_after(coordinator, (struct ifab_swarm_number){list->after});
    for (; swarm != NULL; list->last = swarm->number.n, swarm = ifab_swarm_after(coordinator, swarm->number)) {
        const struct ifab_swarm_help *help = ifab_swarm_help(coordinator, swarm->number);
        if (!ifab_swarm_help_any(help))
            continue;
        if (!list_next(list))
            break;
        ifab_buf_str(&list->buf, "{\"swarm\":");
        ifab_json_put_string(&list->buf, swarm->id);
        ifab_buf_char(&list->buf, ',');
        put_help(&list->buf, help);
        ifab_buf_char(&list->buf, '}');
    }
    list_end(t, list);
}

void handle_waste(struct node *node, struct request *r) { list_queue(node, r, step_waste, NULL, 0); }
