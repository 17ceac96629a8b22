/*
 * Tasks and swarms: SURFACE section 8. A claim that finds nothing waits for wait_ms; one whose answer reaches nobody is given back by a command.
 * Payloads lie beside the entry that made the task and join an answer after the commit, read by a reader.
 */
#include <assert.h>
#include <string.h>

#include "json/schema.h"
#include "node.h"
#include "redact/redact.h"

#define FIELD_WHY {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable}
#define FIELD_NAME(name_, required_)                                                                                                    \
    {                                                                                                                                   \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name \
    }
#define FIELD_TIME(name_) {.name = (name_), .kind = IFAB_SCHEMA_STRING, .min = 20, .max = 24, .check = ifab_schema_time}
#define FIELD_SKILLS(name_, required_, max_) {.name = (name_), .kind = IFAB_SCHEMA_LIST, .required = (required_), .min = 0, .max = (max_), .item = &skill_item}
#define FIELD_LEASE {.name = "lease_ms", .kind = IFAB_SCHEMA_INTEGER, .min = 100, .max = 3600000}
#define FIELD_FENCE {.name = "fence", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = IFAB_AMOUNT_MAX}
#define FIELD_NOTE(name_) {.name = (name_), .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable}
#define FIELD_AMOUNT(name_) {.name = (name_), .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = IFAB_AMOUNT_MAX}

static const struct ifab_schema_field skill_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_SKILL_MAX, .check = ifab_schema_printable};
static const struct ifab_schema_field name_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name};

static const char *const units[IFAB_COUNT_OF_UNITS] = {"usd_micro", "tokens", "calls"};
static const struct ifab_schema_field budget_fields[] = {FIELD_AMOUNT("usd_micro"), FIELD_AMOUNT("tokens"), FIELD_AMOUNT("calls")};
static const struct ifab_schema budget_schema = {"budget", budget_fields, IFAB_COUNT(budget_fields)};

static bool check_priority(struct ifab_view text, const char **ret_why)
{
    *ret_why = "P0, P1, P2 or P3";
    return text.size == 2 && text.data[0] == 'P' && text.data[1] >= '0' && text.data[1] <= '3';
}

static bool check_fail_kind(struct ifab_view text, const char **ret_why)
{
    *ret_why = "transient, poison or shutdown";
    return ifab_view_is(text, "transient") || ifab_view_is(text, "poison") || ifab_view_is(text, "shutdown");
}

static const struct ifab_schema_field create_fields[] = {
    FIELD_NAME("id", false),
    FIELD_NAME("type", true),
    FIELD_SKILLS("needs", false, IFAB_TASK_NEEDS_MAX),
    {.name = "priority", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_priority},
    FIELD_NAME("swarm", false),
    {.name = "budget", .kind = IFAB_SCHEMA_OBJECT, .sub = &budget_schema},
    FIELD_TIME("deadline"),
    FIELD_TIME("not_before"),
    {.name = "depends_on", .kind = IFAB_SCHEMA_LIST, .min = 0, .max = IFAB_TASK_DEPENDS_MAX, .item = &name_item},
    {.name = "max_attempts", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = IFAB_TASK_ATTEMPTS_MAX},
    {.name = "payload", .kind = IFAB_SCHEMA_ANY},
    {.name = "wait_ms", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = 30000},
    FIELD_WHY,
};
static const struct ifab_schema_field claim_next_fields[] = {
    FIELD_NAME("swarm", true),
    FIELD_SKILLS("skills", false, IFAB_SWARM_SKILLS_MAX),
    {.name = "wait_ms", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = 30000},
    FIELD_LEASE,
};
static const struct ifab_schema_field claim_fields[] = {FIELD_NAME("swarm", true), FIELD_LEASE};
static const struct ifab_schema_field renew_fields[] = {FIELD_FENCE, FIELD_LEASE};
static const struct ifab_schema_field progress_fields[] = {
    FIELD_FENCE,
    {.name = "percent", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = 100},
    FIELD_NOTE("note"),
};
#define FIELD_COST {.name = "cost", .kind = IFAB_SCHEMA_OBJECT, .sub = &money_cost_schema}
static const struct ifab_schema_field complete_fields[] = {FIELD_FENCE, {.name = "result", .kind = IFAB_SCHEMA_ANY}, FIELD_NOTE("note"), FIELD_COST};
static const struct ifab_schema_field fail_fields[] = {
    FIELD_FENCE,
    {.name = "kind", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 16, .check = check_fail_kind},
    FIELD_NOTE("error"),
    FIELD_COST,
};
static const struct ifab_schema_field block_fields[] = {FIELD_FENCE, FIELD_SKILLS("needs", true, IFAB_TASK_NEEDS_MAX), FIELD_NOTE("note")};
static const struct ifab_schema_field unblock_fields[] = {FIELD_FENCE, FIELD_NOTE("note")};
static const struct ifab_schema_field why_fields[] = {FIELD_WHY};

#define SCHEMA(name_, fields_) static const struct ifab_schema name_##_schema = {#name_, fields_, IFAB_COUNT(fields_)}
SCHEMA(create, create_fields);
SCHEMA(claim_next, claim_next_fields);
SCHEMA(claim, claim_fields);
static const struct {
    const char *verb;
    struct ifab_schema schema;
    enum ifab_task_event event;
} verbs[] = { /* FAIL: by its kind */
    {"renew", {"renew", renew_fields, IFAB_COUNT(renew_fields)}, IFAB_TASK_RENEW},
    {"progress", {"progress", progress_fields, IFAB_COUNT(progress_fields)}, IFAB_TASK_PROGRESS},
    {"complete", {"complete", complete_fields, IFAB_COUNT(complete_fields)}, IFAB_TASK_COMPLETE},
    {"fail", {"fail", fail_fields, IFAB_COUNT(fail_fields)}, IFAB_TASK_FAIL},
    {"block", {"block", block_fields, IFAB_COUNT(block_fields)}, IFAB_TASK_BLOCK},
    {"unblock", {"unblock", unblock_fields, IFAB_COUNT(unblock_fields)}, IFAB_TASK_UNBLOCK},
    {"cancel", {"cancel", why_fields, IFAB_COUNT(why_fields)}, IFAB_TASK_CANCEL},
    {"replay", {"replay", why_fields, IFAB_COUNT(why_fields)}, IFAB_TASK_REPLAY},
};

static int64_t integer_of(const struct ifab_json *object, const char *name, int64_t fallback)
{
    (void)ifab_json_integer(ifab_json_get(object, name), &fallback);
    return fallback;
}

static ifab_usec time_of(const struct ifab_json *object, const char *name, ifab_usec fallback)
{
    if (ifab_json_get(object, name) != NULL)
        (void)ifab_time_parse(ifab_json_text(object, name), &fallback);
    return fallback;
}

/* Strings of a list, in the request's arena. False: no memory. */
bool body_strings(struct request *r, const struct ifab_json *list, const struct ifab_view **ret_strings, size_t *ret_count)
{
    *ret_count = list == NULL ? 0 : list->u.array.count;
    *ret_strings = NULL;
    if (*ret_count == 0)
        return true;
    struct ifab_view *strings = ifab_arena_calloc(&r->arena, *ret_count, sizeof *strings);
    for (size_t i = 0; strings != NULL && i < *ret_count; i++)
        (void)ifab_json_string(&list->u.array.items[i], &strings[i]);
    *ret_strings = strings;
    return strings != NULL;
}

/* Canonical bytes of a member that is kept beside the log. What looks like a secret does not come in. False: answered. */
static bool kept_bytes(struct node *node, struct request *r, const struct ifab_json *body, const char *name, struct ifab_view *ret_bytes)
{
    const struct ifab_json *value = ifab_json_get(body, name);
    struct ifab_buf bytes = IFAB_BUF_INIT(IFAB_TASK_PAYLOAD_MAX + 1);
    *ret_bytes = (struct ifab_view){NULL, 0};
    if (value == NULL)
        return true;
    if (ifab_redact_hits_json(value)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, name, "something in it looks like a secret, and it would stand beside the log; name the secret instead");
        return false;
    }
    ifab_json_write(&bytes, value);
    ifab_status status = ifab_buf_status(&bytes);
    if (status == IFAB_OK && bytes.size > IFAB_TASK_PAYLOAD_MAX)
        status = IFAB_TOO_LARGE;
    if (status == IFAB_OK)
        status = ifab_arena_copy(&r->arena, ifab_buf_as_view(&bytes), ret_bytes);
    ifab_buf_fini(&bytes);
    if (status == IFAB_TOO_LARGE)
        reply_code(node, r, IFAB_CODE_TOO_LARGE, name, "at most 64 KiB");
    else if (status != IFAB_OK)
        reply_out_of_memory(node, r);
    return status == IFAB_OK;
}

/* ---- create ---- */

static bool take_create(struct node *node, struct request *r, const struct ifab_json *body, struct ifab_command *command)
{
    struct ifab_view priority = ifab_json_text(body, "priority");
    const struct ifab_json *budget = ifab_json_get(body, "budget");
    command->type = IFAB_COMMAND_TASK_CREATE;
    command->u.task.id = ifab_json_text(body, "id");
    command->u.task.type = ifab_json_text(body, "type");
    command->u.task.swarm = ifab_json_text(body, "swarm");
    command->u.task.priority = priority.size == 2 ? (uint8_t)(priority.data[1] - '0') : 2;
    command->u.task.max_attempts = (uint32_t)integer_of(body, "max_attempts", 0);
    command->u.task.deadline = time_of(body, "deadline", IFAB_NEVER);
    command->u.task.not_before = time_of(body, "not_before", 0);
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
        command->u.task.budget[i] = integer_of(budget, units[i], -1);
    command->why = ifab_json_text(body, "why");
    if (!kept_bytes(node, r, body, "payload", &command->u.task.payload))
        return false;
    if (!body_strings(r, ifab_json_get(body, "needs"), &command->u.task.needs, &command->u.task.need_count) ||
        !body_strings(r, ifab_json_get(body, "depends_on"), &command->u.task.depends_on, &command->u.task.depends_count)) {
        reply_out_of_memory(node, r);
        return false;
    }
    return true;
}

/*
 * A queue of the policy `block` that is full lets its maker wait: the request is asked again as the same command when there is room, or for the last time
 * when its time is over, and then refused as any other. Authority and everything about it were judged before it waits, and are again each time.
 */
#define CREATE_WAIT_MS 10000

struct task_create { /* in the request's arena */
    struct ifab_command command; /* type, why and u.task */
    ifab_usec until;             /* run: so long it may wait */
    struct waiter *waiter;
    struct ifab_swarm_number queue; /* at which it waits */
};

static void created(struct node *node, struct ticket *t)
{
    struct task_create *create = t->user;
    struct request *r = t->request;
    bool waits = t->reply.code == IFAB_CODE_NONE && t->reply.waits.n != 0;
    create->queue = t->reply.waits;
    if (waits && wait_task_again(node, r, WAIT_FOR_ROOM, create->until, create, &create->waiter))
        return; /* it waits on, or has gone */
    bool waited = create->waiter != NULL, unused = t->reply.code != IFAB_CODE_NONE || t->reply.replayed;
    if (waited)
        wait_task_end(node, create->waiter);
    create->waiter = NULL;
    if (!waits)
        reply_ticket(node, t);
    else if (!task_create_again(node, r, create, true))
        reply_out_of_memory(node, r);
    if (waited && unused)
        wait_tasks(node); /* the room that it was asked for is another's */
}

bool task_create_again(struct node *node, struct request *r, void *user, bool last)
{
    struct task_create *create = user;
    struct ticket *t = ticket_new(node, r);
    if (t == NULL)
        return false;
    t->command.type = create->command.type;
    t->command.u.task = create->command.u.task;
    t->command.u.task.waits = !last;
    t->command.why = create->command.why;
    t->user = create;
    t->done = created;
    queue_act(node, r, t);
    return true;
}

struct ifab_swarm_number task_create_queue(const void *user) { return ((const struct task_create *)user)->queue; }

void handle_task_create(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &create_schema);
    struct task_create *create = body == NULL ? NULL : ifab_arena_calloc(&r->arena, 1, sizeof *create);
    if (body != NULL && create == NULL)
        reply_out_of_memory(node, r);
    if (create == NULL || !take_create(node, r, body, &create->command))
        return;
    if (ifab_redact_hits_text(create->command.u.task.id) || ifab_redact_hits_text(create->command.u.task.type)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "id", "looks like a secret, and names stand in the log");
        return;
    }
    ifab_usec wait = (ifab_usec)integer_of(body, "wait_ms", CREATE_WAIT_MS) * 1000;
    create->until = clock_now(&node->clock, NULL).run + wait;
    if (!task_create_again(node, r, create, wait == 0))
        reply_out_of_memory(node, r);
}

/*
 * ---- claims ----
 * No answer to a claim is kept for an Idempotency-Key: one that was lost has been given back, so the same answer again would be a lie. To claim the
 * same task again by its id is to be told of the same lease.
 */

struct task_claim { /* in the request's arena */
    struct ifab_command command; /* type and u.claim */
    ifab_usec until;             /* run: until then a claim that finds nothing waits */
    struct waiter *waiter;
    struct ifab_fence fence;     /* once it was claimed */
    char id[IFAB_NAME_MAX + 1];
};

/* Nobody heard of it: as if it had not been. A command like any other, so that it is durable before the task is another's. */
static void give_back(struct node *node, const struct task_claim *claim)
{
    struct ticket *t = claim->fence.n == 0 ? NULL : ticket_new(node, NULL);
    struct ifab_view id;
    if (t == NULL)
        return; /* the lease runs out */
    if (ifab_arena_copy(&t->arena, ifab_view_str(claim->id), &id) != IFAB_OK) {
        ticket_free(node, t);
        return;
    }
    t->command.type = IFAB_COMMAND_TASK_ACT;
    t->command.principal = &node->self;
    t->command.u.task_act.id = id;
    t->command.u.task_act.event = IFAB_TASK_GIVE_BACK;
    t->command.u.task_act.fence = claim->fence;
    t->command.u.task_act.percent = -1;
    ticket_queue(node, t);
}

static void answer_claim(struct node *node, struct request *r, const struct task_claim *claim, struct ifab_view body)
{
    if (!ifab_http_reply_now(node->http, r->http, 200, "application/json", IFAB_VIEW("Cache-Control: no-store\r\n"), body))
        give_back(node, claim);
    request_free(r);
}

static void run_payload(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_stored_entry entry;
    struct ifab_error err = {0};
    size_t count = 0;
    (void)node;
    if (ifab_store_read(store, job->a, 1, true, &job->arena, &entry, &count, &err) != IFAB_OK || count != 1) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
        return;
    }
    ifab_buf_put(&job->out, job->text.data, job->text.size - job->b);
    ifab_buf_str(&job->out, ",\"payload\":");
    ifab_buf_view(&job->out, entry.message.size > 0 ? entry.message : IFAB_VIEW("null")); /* null: erased */
    ifab_buf_put(&job->out, "}}", job->b);
    if (ifab_buf_status(&job->out) != IFAB_OK)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
}

static void claim_payload_done(struct node *node, struct job *job)
{
    struct request *r = job->request;
    const struct task_claim *claim = job->user;
    job->request = NULL;
    if (job->code != IFAB_CODE_NONE) {
        give_back(node, claim);
        reply_error(node, r, &job->refusal);
    } else {
        answer_claim(node, r, claim, ifab_buf_as_view(&job->out));
    }
    job_free(job);
}

/* The answer that stands in the batch, with the task's payload as the last member of its last object; braces: how many objects end there. */
struct job *task_payload_job(struct request *r, struct ifab_view body, uint64_t index, uint64_t braces)
{
    struct job *job = job_new(r);
    if (job == NULL)
        return NULL;
    if (ifab_arena_copy(&job->arena, body, &job->text) != IFAB_OK) {
        job->request = NULL;
        job_free(job);
        return NULL;
    }
    job->a = index;
    job->b = braces;
    job->run = run_payload;
    job->finish = job_reply;
    job->always = true;
    return job;
}

static void claimed(struct node *node, struct ticket *t)
{
    struct request *r = t->request;
    struct task_claim *claim = t->user;
    const struct ifab_reply *reply = &t->reply;
    bool nothing = reply->code == IFAB_CODE_NONE && reply->http == 204;
    if (nothing && wait_task_again(node, r, WAIT_FOR_TASK, claim->until, claim, &claim->waiter))
        return; /* it waits on, or has gone */
    bool waited = claim->waiter != NULL;
    if (waited)
        wait_task_end(node, claim->waiter);
    claim->waiter = NULL;
    if (nothing || reply->code != IFAB_CODE_NONE) {
        reply_ticket(node, t);
        if (waited)
            wait_tasks(node); /* what it was told of is another's */
        return;
    }
    const struct ifab_task *task = ifab_task_at(ifab_fabric_coordinator(node->fabric), reply->task);
    if (task != NULL && reply->fence.n != 0 && task->fence.n == reply->fence.n) {
        claim->fence = reply->fence;
        memcpy(claim->id, task->id, sizeof claim->id);
    }
    if (!reply->with_payload) {
        answer_claim(node, r, claim, reply->body);
        return;
    }
    struct job *job = task_payload_job(r, reply->body, reply->payload_index, 2);
    if (job == NULL) {
        give_back(node, claim);
        reply_out_of_memory(node, r);
        return;
    }
    job->user = claim;
    job->finish = claim_payload_done;
    job_push(node, job);
}

static bool queue_claim(struct node *node, struct request *r, struct task_claim *claim)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL)
        return false;
    t->command.type = IFAB_COMMAND_TASK_CLAIM;
    t->command.u.claim = claim->command.u.claim;
    t->user = claim;
    t->done = claimed;
    ticket_queue(node, t);
    return true;
}

/* A waiter's turn has come: it asks again. */
bool task_claim_again(struct node *node, struct request *r, void *claim) { return queue_claim(node, r, claim); }

/* Is there something for the one who waits that was offered to none in this round, and a hand of its swarm to take it? */
bool task_claim_ready(const struct node *node, const void *user, struct ifab_u64map *given)
{
    const struct task_claim *claim = user;
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    const struct ifab_swarm *swarm = ifab_swarm_find(coordinator, claim->command.u.claim.swarm);
    char room[IFAB_SWARM_SKILLS_MAX * (IFAB_SKILL_MAX + 1)];
    struct ifab_names skills;
    uint64_t asking = 0;
    if (swarm == NULL)
        return true; /* the step says what is wrong */
    const uint64_t hands = (uint64_t)1 << 63 | swarm->number.n; /* no key of an offer */
    (void)ifab_u64map_get(given, hands, &asking);
    if (ifab_swarm_in_flight(coordinator, swarm->number) + asking >= swarm->concurrency)
        return false;
    skills = swarm->skills;
    if (claim->command.u.claim.skill_count > 0 &&
        !ifab_names_pack(claim->command.u.claim.skills, claim->command.u.claim.skill_count, room, sizeof room, &skills))
        return true;
    if (!ifab_task_offer(coordinator, swarm->number, &skills, given))
        return false;
    (void)ifab_u64map_put(given, hands, asking + 1);
    return true;
}

static void begin_claim(struct node *node, struct request *r, const struct ifab_json *body, struct ifab_view id)
{
    struct task_claim *claim = ifab_arena_calloc(&r->arena, 1, sizeof *claim);
    ifab_usec wait = r->head_only ? 0 : (ifab_usec)integer_of(body, "wait_ms", 0) * 1000;
    bool good = claim != NULL;
    if (good) {
        claim->command.u.claim.id = id;
        claim->command.u.claim.swarm = ifab_json_text(body, "swarm");
        claim->command.u.claim.lease = integer_of(body, "lease_ms", 0) * 1000;
        claim->until = wait == 0 ? 0 : clock_now(&node->clock, NULL).run + wait;
        good = body_strings(r, ifab_json_get(body, "skills"), &claim->command.u.claim.skills, &claim->command.u.claim.skill_count) &&
               queue_claim(node, r, claim);
    }
    if (!good)
        reply_out_of_memory(node, r);
}

void handle_task_claim_next(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &claim_next_schema);
    if (body != NULL)
        begin_claim(node, r, body, (struct ifab_view){NULL, 0});
}

void handle_task_claim(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &claim_schema);
    if (body != NULL)
        begin_claim(node, r, body, r->params[0]);
}

/* ---- what is done to a task ---- */

static enum ifab_task_event event_of(size_t verb, const struct ifab_json *body)
{
    struct ifab_view kind = ifab_json_text(body, "kind");
    if (ifab_view_is(kind, "poison"))
        return IFAB_TASK_POISON;
    return ifab_view_is(kind, "shutdown") ? IFAB_TASK_SHUTDOWN : verbs[verb].event;
}

void handle_task_act(struct node *node, struct request *r)
{
    const uint8_t *slash = memrchr(r->path.data, '/', r->path.size);
    struct ifab_view verb = ifab_view_of(slash + 1, r->path.size - (size_t)(slash + 1 - r->path.data)), result, note;
    size_t row = 0;
    while (row < IFAB_COUNT(verbs) && !ifab_view_is(verb, verbs[row].verb))
        row++;
    assert(row < IFAB_COUNT(verbs)); /* the table of routes has these and no others */
    const struct ifab_json *body = act_body(node, r, &verbs[row].schema);
    if (body == NULL || !kept_bytes(node, r, body, "result", &result))
        return;
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    struct ifab_command *c = &t->command;
    if (!body_strings(r, ifab_json_get(body, "needs"), &c->u.task_act.needs, &c->u.task_act.need_count)) {
        ticket_free(node, t);
        reply_out_of_memory(node, r);
        return;
    }
    note = ifab_json_text(body, "note").size > 0 ? ifab_json_text(body, "note") : ifab_json_text(body, "error");
    c->type = IFAB_COMMAND_TASK_ACT;
    c->u.task_act.id = r->params[0];
    c->u.task_act.event = event_of(row, body);
    c->u.task_act.fence.n = (uint64_t)integer_of(body, "fence", 0);
    c->u.task_act.lease = integer_of(body, "lease_ms", 0) * 1000;
    c->u.task_act.percent = (int)integer_of(body, "percent", -1);
    c->u.task_act.note = context_redacted(&t->arena, note);
    c->u.task_act.result = result;
    c->u.task_act.has_cost = ifab_json_get(body, "cost") != NULL;
    money_cost(ifab_json_get(body, "cost"), &c->u.task_act.cost);
    c->why = ifab_json_text(body, "why");
    queue_act(node, r, t);
}
