/*
 * Plan, apply, falsify, health and lines of capabilities: SURFACE section 8. A capability is named in a path by what stands behind if://capability/.
 * What is asked of a guest comes before the step that records it; what it does outside comes after the commit of its intent (INV-04).
 */
#include <string.h>

#include "base/encode.h"
#include "base/id.h"
#include "calls.h"
#include "falsify/falsify.h"
#include "json/schema.h"
#include "node.h"
#include "redact/redact.h"

#define ID_PREFIX "if://capability/"

static bool check_version(struct ifab_view text, const char **ret_why)
{
    *ret_why = "three numbers: 1.0.0";
    return ifab_capability_version_valid(text);
}

static bool check_mode(struct ifab_view text, const char **ret_why)
{
    *ret_why = "apply, dry-run or falsify";
    return ifab_view_is(text, "apply") || ifab_view_is(text, "dry-run") || ifab_view_is(text, "falsify");
}

static bool check_outcome(struct ifab_view text, const char **ret_why)
{
    *ret_why = "done or not-done";
    return ifab_view_is(text, "done") || ifab_view_is(text, "not-done");
}

#define FIELD_WHY {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable}
#define FIELD_VERSION {.name = "version", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_CAPABILITY_VERSION_MAX, .check = check_version}
static const struct ifab_schema_field plan_fields[] = {
    {.name = "operation", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "params", .kind = IFAB_SCHEMA_OPEN},
    FIELD_VERSION,
    FIELD_WHY,
};
static const struct ifab_schema_field apply_fields[] = {
    {.name = "mode", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_mode},
    {.name = "plan_hash", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
};
static const struct ifab_schema_field close_fields[] = {
    {.name = "outcome", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 16, .check = check_outcome},
    FIELD_WHY,
};
static const struct ifab_schema_field health_fields[] = {FIELD_VERSION};
static const struct ifab_schema plan_schema = {"plan", plan_fields, IFAB_COUNT(plan_fields)};
static const struct ifab_schema apply_schema = {"apply", apply_fields, IFAB_COUNT(apply_fields)};
static const struct ifab_schema close_schema = {"outcome", close_fields, IFAB_COUNT(close_fields)};
static const struct ifab_schema health_schema = {"request", health_fields, IFAB_COUNT(health_fields)};

static void out_of_memory(struct node *node, struct request *r) { reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory"); }

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

/* "if://capability/" and what stands in the path; false: answered. */
static bool id_of(struct node *node, struct request *r, struct ifab_view *ret_id)
{
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_CAPABILITY_ID_MAX);
    ifab_buf_str(&text, ID_PREFIX);
    ifab_buf_view(&text, r->params[0]);
    bool valid = ifab_buf_status(&text) == IFAB_OK && ifab_capability_id_valid(ifab_buf_as_view(&text));
    bool good = valid && ifab_arena_copy(&r->arena, ifab_buf_as_view(&text), ret_id) == IFAB_OK;
    ifab_buf_fini(&text);
    if (!valid)
        reply_code(node, r, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id", "no capability can be called so; it is what stands behind " ID_PREFIX);
    else if (!good)
        out_of_memory(node, r);
    return good;
}

/* false: answered with 506. */
static bool config_of(struct node *node, struct request *r, const struct ifab_manifest *manifest, struct ifab_view *ret_config)
{
    const char *missing;
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    if (calls_config(node, manifest, &r->arena, ret_config, &missing))
        return true;
    if (missing == NULL) {
        out_of_memory(node, r);
        return false;
    }
    (void)ifab_refuse_hint(&refusal,
                           ifab_refuse(&refusal, IFAB_CODE_INVALID_CONFIG, "requires_config",
                                       "capabilities.config has no row \"" IFAB_FMT " %.64s VALUE\", which its manifest asks for", IFAB_ARG(manifest->name), missing),
                           "Add that row to capabilities.config in ifd.yaml, and start ifd again.");
    reply_error(node, r, &refusal);
    return false;
}

/* ---- plan ---- */

struct planning { /* in the request's arena */
    struct ifab_view id, version, operation, why;
    const struct ifab_json *params;
    struct ifab_module about;
    bool has_module;
    struct node *node;
    struct request *request;
    struct ifab_guest_answer answer;
    bool asked;
};

static void fill_plan(const struct planning *p, struct ifab_command *command)
{
    command->type = IFAB_COMMAND_PLAN;
    command->why = p->why;
    command->u.plan.id = p->id;
    command->u.plan.version = p->version;
    command->u.plan.operation = p->operation;
    command->u.plan.params = p->params;
    command->u.plan.module = p->has_module ? &p->about : NULL;
    command->u.plan.summary = p->answer.summary;
    command->u.plan.effects = p->answer.output;
    command->u.plan.problem = p->answer.text;
    command->u.plan.end = p->asked ? p->answer.end : IFAB_CALL_OK;
    command->u.plan.has_cost = p->answer.has_cost;
    command->u.plan.usd_micro = p->answer.cost.usd_micro;
    command->u.plan.tokens = p->answer.cost.tokens_in + p->answer.cost.tokens_out; /* both <= 2^53-1 */
    command->u.plan.calls = p->answer.cost.calls;
}

static void queue_plan(struct planning *p)
{
    struct ticket *t = ticket_new(p->node, p->request);
    if (t == NULL) {
        out_of_memory(p->node, p->request);
        return;
    }
    fill_plan(p, &t->command);
    queue_act(p->node, p->request, t);
}

static void planned(void *user, const struct ifab_guest_answer *answer)
{
    struct planning *p = user;
    struct ifab_view text, summary, effects;
    if (ifab_arena_copy(&p->request->arena, answer->text, &text) != IFAB_OK || ifab_arena_copy(&p->request->arena, answer->summary, &summary) != IFAB_OK ||
        ifab_arena_copy(&p->request->arena, answer->output, &effects) != IFAB_OK) {
        out_of_memory(p->node, p->request);
        return;
    }
    p->answer = *answer;
    p->answer.text = text;
    p->answer.summary = summary;
    p->answer.output = effects;
    p->asked = true;
    queue_plan(p);
}

/* What the step will refuse goes there at once: no guest sees the params of who may not call it. */
static void with_module(struct node *node, struct request *r, void *user, const struct call_module *module, const char *why)
{
    struct planning *p = user;
    struct ifab_command command = {.principal = &r->principal};
    const struct ifab_manifest *manifest;
    const struct ifab_operation *operation;
    const struct ifab_json *params;
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    struct ifab_buf text = IFAB_BUF_INIT(2 * IFAB_PLAN_PARAMS_MAX);
    struct ifab_error err = {0};
    p->has_module = module != NULL;
    if (module != NULL)
        p->about = module->about;
    (void)why;
    fill_plan(p, &command);
    if (module == NULL || ifab_fabric_plan_check(node->fabric, &command, clock_now(&node->clock, NULL), &r->arena, &manifest, &operation, &params, &refusal) != IFAB_CODE_NONE) {
        queue_plan(p);
        return;
    }
    struct ifab_guests *guests = calls_guests(node, &err);
    if (guests == NULL) {
        reply_code(node, r, IFAB_CODE_NOT_SUPPORTED, NULL, err.text);
        return;
    }
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), r->principal.talent);
    struct ifab_view config;
    if (!config_of(node, r, manifest, &config))
        return;
    ifab_json_write(&text, params);
    struct ifab_guest_call call = {.config = config, .task = IFAB_GUEST_PLAN, .manifest = manifest, .operation = operation, .params = ifab_buf_as_view(&text), .talent = talent->name,
                                   .talent_number = talent->number, .module = module->bytes};
    memcpy(call.trace16, r->trace16, 16);
    ifab_status status = ifab_buf_status(&text) != IFAB_OK ? ifab_buf_status(&text) : ifab_guest_begin(guests, &call, planned, p);
    ifab_buf_fini(&text);
    if (status == IFAB_TOO_LARGE)
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "params", "at most 16384 bytes with what is filled in");
    else if (status == IFAB_FULL)
        reply_code(node, r, IFAB_CODE_QUEUE_FULL, NULL, "too many calls wait for a sandbox");
    else if (status != IFAB_OK)
        out_of_memory(node, r);
}

void handle_capability_plan(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &plan_schema);
    const struct ifab_manifest *manifest;
    struct planning *p;
    if (body == NULL)
        return;
    p = ifab_arena_calloc(&r->arena, 1, sizeof *p);
    if (p == NULL) {
        out_of_memory(node, r);
        return;
    }
    *p = (struct planning){.version = text_of(body, "version"), .operation = text_of(body, "operation"), .why = context_redacted(&r->arena, text_of(body, "why")),
                           .params = ifab_json_get(body, "params"), .node = node, .request = r};
    if (!id_of(node, r, &p->id))
        return;
    if (p->params != NULL && ifab_redact_hits_json(p->params)) { /* it would stand in the log for good */
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "params", "holds what looks like a secret; a capability is given secrets by their names");
        return;
    }
    if (!ifab_fabric_may_use(node->fabric, &r->principal, p->id, p->version, clock_now(&node->clock, NULL), &manifest))
        queue_plan(p); /* the step refuses it, and says so in the log: no file is read for who may not call it */
    else
        calls_module(node, r, manifest, with_module, p);
}

/* ---- apply ---- */

struct applying { /* in the request's arena */
    struct ifab_view id;
    uint8_t hash32[32];
    struct ifab_module about;
    bool has_module, dry_run, falsify;
};

static void applied(struct node *node, struct ticket *t)
{
    if (t->reply.code == IFAB_CODE_NONE && t->reply.plan != 0)
        calls_begin(node, t);
    else
        reply_ticket(node, t);
}

static void fill_apply(const struct applying *a, struct ifab_command *command)
{
    command->type = IFAB_COMMAND_APPLY;
    command->u.apply.id = a->id;
    memcpy(command->u.apply.hash32, a->hash32, 32);
    command->u.apply.module = a->has_module ? &a->about : NULL;
    command->u.apply.dry_run = a->dry_run;
}

/* Reads only, at its turn in the order of steps. */
static void step_falsify(struct node *node, struct ticket *t)
{
    const struct ifab_plan *plan;
    const struct ifab_json *params = NULL;
    struct ifab_command command = {.principal = &t->request->principal};
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    fill_apply(t->user, &command);
    plan = ifab_plan_by_hash(ifab_fabric_plans(node->fabric), command.u.apply.hash32);
    bool secret = plan != NULL && (ifab_json_read(plan->params, NULL, &t->arena, &params, NULL) != IFAB_OK || ifab_redact_hits_json(params));
    (void)ifab_falsify_apply(node->fabric, &command, clock_now(&node->clock, NULL), secret, &t->arena, &b);
    if (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(&b);
}

static void apply_with_module(struct node *node, struct request *r, void *user, const struct call_module *module, const char *why)
{
    struct applying *a = user;
    struct ifab_error err = {0};
    struct ticket *t;
    (void)why; /* the step refuses it with 204 */
    a->has_module = module != NULL;
    if (module != NULL)
        a->about = module->about;
    if (!a->falsify && module != NULL && calls_guests(node, &err) == NULL) { /* before there is an intent */
        reply_code(node, r, IFAB_CODE_NOT_SUPPORTED, NULL, err.text);
        return;
    }
    t = ticket_new(node, r);
    if (t == NULL) {
        out_of_memory(node, r);
        return;
    }
    t->user = a;
    if (a->falsify) {
        t->step = step_falsify;
        ticket_queue(node, t);
        return;
    }
    fill_apply(a, &t->command);
    set_idempotency(t, r);
    t->done = applied;
    ticket_queue(node, t);
}

void handle_capability_apply(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &apply_schema);
    const struct ifab_manifest *manifest = NULL;
    const uint8_t *at;
    struct applying *a = body == NULL ? NULL : ifab_arena_calloc(&r->arena, 1, sizeof *a);
    if (a == NULL) {
        if (body != NULL)
            out_of_memory(node, r);
        return;
    }
    struct ifab_view hash = text_of(body, "plan_hash"), mode = text_of(body, "mode"), config;
    (void)ifab_hex_decode(ifab_view_of(hash.data + 7, 64), a->hash32, 32); /* the schema has looked */
    a->dry_run = ifab_view_is(mode, "dry-run");
    a->falsify = ifab_view_is(mode, "falsify");
    if (!id_of(node, r, &a->id))
        return;
    const struct ifab_plan *plan = ifab_plan_by_hash(ifab_fabric_plans(node->fabric), a->hash32);
    at = plan == NULL ? NULL : memchr(plan->capability.data, '@', plan->capability.size);
    size_t id = at == NULL ? 0 : (size_t)(at - plan->capability.data);
    if (at == NULL || plan->talent != r->principal.talent ||
        !ifab_fabric_may_use(node->fabric, &r->principal, ifab_view_of(plan->capability.data, id), ifab_view_of(at + 1, plan->capability.size - id - 1),
                             clock_now(&node->clock, NULL), &manifest))
        apply_with_module(node, r, a, NULL, ""); /* the step says what is wrong */
    else if (a->falsify || config_of(node, r, manifest, &config)) /* what cannot be begun gets no intent */
        calls_module(node, r, manifest, apply_with_module, a);
}

/* ---- what a person says of a dangling intent ---- */

void handle_plan_close(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &close_schema);
    uint8_t id16[16];
    if (body == NULL)
        return; /* and r is gone */
    struct ifab_view text = r->params[0];
    if (!ifab_view_starts(text, IFAB_VIEW("plan-")) || ifab_uuid_parse(ifab_view_of(text.data + 5, text.size - 5), id16) != IFAB_OK) {
        reply_code(node, r, IFAB_CODE_NOT_FOUND, "plan", "no plan with this id");
        return;
    }
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        out_of_memory(node, r);
        return;
    }
    t->command.type = IFAB_COMMAND_PLAN_CLOSE;
    t->command.why = text_of(body, "why");
    memcpy(t->command.u.close.plan16, id16, 16);
    t->command.u.close.done = ifab_view_is(text_of(body, "outcome"), "done");
    queue_act(node, r, t);
}

/* ---- reads ---- */

static bool may_see(const struct request *r, const struct ifab_plan *p)
{
    return r->principal.role != IFAB_ROLE_AGENT || r->principal.talent == p->talent;
}

static void finish_read(struct ticket *t, struct ifab_buf *b)
{
    if (ifab_buf_status(b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(b);
}

struct plan_page {
    uint64_t after, limit;
    struct ifab_view state;
};

static void step_plans(struct node *node, struct ticket *t)
{
    const struct plan_page *page = t->user;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    uint64_t shown = 0, last = page->after;
    const struct ifab_plans *plans = ifab_fabric_plans(node->fabric);
    const struct ifab_plan *p = ifab_plan_next(plans, page->after);
    ifab_buf_str(&b, "{\"items\":[");
    for (; p != NULL && shown < page->limit && b.size < (size_t)2 << 20; p = ifab_plan_next(plans, p->number)) {
        last = p->number;
        if (!may_see(t->request, p) || (page->state.size > 0 && !ifab_view_is(page->state, ifab_plan_state_name(p->state))))
            continue;
        ifab_buf_str(&b, shown++ > 0 ? "," : "");
        ifab_fabric_plan_json(node->fabric, p, &b);
    }
    if (p != NULL)
        ifab_buf_format(&b, "],\"next\":\"%llu\"}", (unsigned long long)last);
    else
        ifab_buf_str(&b, "],\"next\":null}");
    finish_read(t, &b);
}

void handle_plans(struct node *node, struct request *r)
{
    uint64_t limit, cursor;
    struct ifab_buf text = IFAB_BUF_INIT(32);
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit) || !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 52, 0, &cursor))
        return;
    struct ticket *t = ticket_new(node, r);
    struct plan_page *page = t == NULL ? NULL : ifab_arena_calloc(&t->arena, 1, sizeof *page);
    bool good = page != NULL && (!request_query(r, "state", &text) || ifab_arena_copy(&t->arena, ifab_buf_as_view(&text), &page->state) == IFAB_OK);
    ifab_buf_fini(&text);
    if (!good) {
        if (t != NULL)
            ticket_free(node, t);
        out_of_memory(node, r);
        return;
    }
    page->after = cursor;
    page->limit = limit;
    t->user = page;
    t->step = step_plans;
    ticket_queue(node, t);
}

/* By its id, or by its hash: an approver looks at what a message asks for. */
static void step_plan(struct node *node, struct ticket *t)
{
    struct ifab_view text = t->request->params[0];
    uint8_t id16[16], hash32[32];
    const struct ifab_plans *plans = ifab_fabric_plans(node->fabric);
    const struct ifab_plan *p = NULL;
    struct ifab_buf b = IFAB_BUF_INIT(2 * IFAB_PLAN_PARAMS_MAX);
    if (text.size == 71 && ifab_view_starts(text, IFAB_VIEW("sha256:")) && ifab_hex_decode(ifab_view_of(text.data + 7, 64), hash32, 32) == IFAB_OK)
        p = ifab_plan_by_hash(plans, hash32);
    else if (ifab_view_starts(text, IFAB_VIEW("plan-")) && ifab_uuid_parse(ifab_view_of(text.data + 5, text.size - 5), id16) == IFAB_OK)
        for (p = ifab_plan_next(plans, 0); p != NULL && memcmp(p->id16, id16, 16) != 0;)
            p = ifab_plan_next(plans, p->number);
    if (p == NULL || !may_see(t->request, p)) {
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_NOT_FOUND, "plan", "no plan of this id or hash: it has expired, or there was none");
        t->reply.refusal.hint = "Plan again: ifctl capability plan, or apply without --plan. A plan lives 10 minutes.";
        ifab_buf_fini(&b);
        return;
    }
    ifab_fabric_plan_json(node->fabric, p, &b);
    finish_read(t, &b);
}

void handle_plan(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        out_of_memory(node, r);
        return;
    }
    t->step = step_plan;
    ticket_queue(node, t);
}

void handle_capability_logs(struct node *node, struct request *r)
{
    struct ifab_view id;
    uint64_t limit;
    const struct ifab_allowed *allowed;
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    if (!request_query_u64(node, r, "limit", 1, 500, 100, &limit) || !id_of(node, r, &id))
        return;
    ifab_buf_str(&b, "{\"items\":[");
    size_t count = calls_lines(node, id, limit, &b);
    ifab_buf_str(&b, "],\"next\":null}");
    if (count == 0 && /* what was revoked meanwhile keeps its lines: that is when they are asked for */
        ifab_registry_find(ifab_fabric_registry(node->fabric), id, IFAB_VIEW(""), clock_now(&node->clock, NULL).wall, &allowed, &refusal) != IFAB_CODE_NONE)
        reply_error(node, r, &refusal);
    else if (ifab_buf_status(&b) == IFAB_OK)
        reply_json(node, r, 200, ifab_buf_as_view(&b));
    else
        out_of_memory(node, r);
    ifab_buf_fini(&b);
}

/* ---- health: what the guest can tell by itself ---- */

struct asking {
    struct node *node;
    struct request *request;
    struct ifab_view id, version;
};

/* The calls before know more than a guest that may ask nothing outside: a provider that is down has opened it. */
static const char *breaker_of(const struct asking *a)
{
    struct ifab_view name = ifab_view_of(a->id.data + strlen(ID_PREFIX), a->id.size - strlen(ID_PREFIX));
    const struct ifab_breaker *b = ifab_breakers_find(ifab_fabric_breakers(a->node->fabric), IFAB_BREAKER_CAPABILITY, name);
    return ifab_breaker_state_name(b == NULL ? IFAB_BREAKER_CLOSED : b->state);
}

static void told(void *user, const struct ifab_guest_answer *answer)
{
    struct asking *a = user;
    struct ifab_buf b = IFAB_BUF_INIT(2 * IFAB_CALL_OUTPUT_MAX);
    bool good = answer->end == IFAB_CALL_OK, unknown = good && ifab_view_is(answer->output, "null");
    ifab_buf_format(&b, "{\"breaker\":\"%s\",\"duration_ms\":%lld,\"fuel\":%llu,\"healthy\":%s", breaker_of(a), (long long)(answer->took / 1000),
                    (unsigned long long)answer->fuel, unknown ? "null" : good ? "true" : "false");
    if (good) {
        ifab_buf_str(&b, ",\"result\":");
        ifab_buf_view(&b, answer->output);
    }
    if (!good || unknown) {
        ifab_buf_str(&b, ",\"why\":");
        ifab_json_put_string(&b, unknown ? IFAB_VIEW("it is configured, and whether its provider answers is not known: only calls ask that") : answer->text);
    }
    ifab_buf_char(&b, '}');
    if (ifab_buf_status(&b) == IFAB_OK)
        reply_json(a->node, a->request, 200, ifab_buf_as_view(&b));
    else
        out_of_memory(a->node, a->request);
    ifab_buf_fini(&b);
}

static void health_with_module(struct node *node, struct request *r, void *user, const struct call_module *module, const char *why)
{
    struct asking *a = user;
    struct ifab_error err = {0};
    struct ifab_refusal refusal;
    const struct ifab_allowed *allowed = NULL;
    struct ifab_guests *guests = module == NULL ? NULL : calls_guests(node, &err);
    bool there = ifab_registry_find(ifab_fabric_registry(node->fabric), a->id, a->version, clock_now(&node->clock, NULL).wall, &allowed, &refusal) == IFAB_CODE_NONE;
    if (module == NULL || !there || memcmp(allowed->manifest->digest32, module->manifest32, 32) != 0) {
        reply_code(node, r, IFAB_CODE_DIGEST_MISMATCH, "entrypoint.module", why);
        return;
    }
    if (guests == NULL) {
        reply_code(node, r, IFAB_CODE_NOT_SUPPORTED, NULL, err.text);
        return;
    }
    struct ifab_view config;
    if (!config_of(node, r, allowed->manifest, &config))
        return;
    struct ifab_guest_call call = {.config = config, .task = IFAB_GUEST_HEALTH, .manifest = allowed->manifest, .params = IFAB_VIEW("{}"), .talent = ifab_view_str(r->principal.actor),
                                   .talent_number = 0, .module = module->bytes};
    if (ifab_guest_begin(guests, &call, told, a) != IFAB_OK)
        reply_code(node, r, IFAB_CODE_QUEUE_FULL, NULL, "too many calls wait for a sandbox");
}

void handle_capability_health(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &health_schema);
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    struct ifab_view id;
    const struct ifab_allowed *allowed;
    struct asking *a = body == NULL ? NULL : ifab_arena_calloc(&r->arena, 1, sizeof *a);
    if (a == NULL) {
        if (body != NULL)
            out_of_memory(node, r);
        return;
    }
    if (!id_of(node, r, &id))
        return;
    if (ifab_registry_find(ifab_fabric_registry(node->fabric), id, text_of(body, "version"), clock_now(&node->clock, NULL).wall, &allowed, &refusal) != IFAB_CODE_NONE) {
        reply_error(node, r, &refusal);
        return;
    }
    *a = (struct asking){node, r, id, text_of(body, "version")};
    calls_module(node, r, allowed->manifest, health_with_module, a);
}
