/*
 * Plan, apply, outcome: what a capability does outside, with its intent on stable storage before and its outcome after. DESIGN section 5 Chassis;
 * INV-04, INV-07, INV-10, INV-13 (the plan's why is inherited by all that follows).
 */
#include "call_internal.h"

#include "base/encode.h"
#include "base/id.h"

#include <stdio.h>
#include <string.h>

#define SUMMARY_MAX 256
#define RESERVED_AFTER (600 * IFAB_SECOND) /* past a call's own deadline: then nobody will settle it any more */

void ifab_plan__id(const struct ifab_plan *plan, char ret_text[42])
{
    memcpy(ret_text, "plan-", 5);
    ifab_uuid_format(plan->id16, ret_text + 5);
}

void ifab_plan__put(struct ifab_outcome *o, const struct ifab_plan *plan)
{
    uint8_t *bytes = ifab_fabric__alloc(o, IFAB_PLAN_PACKED_MAX);
    if (bytes != NULL)
        ifab_fabric__change(o, IFAB_KIND_PLAN, plan->number, bytes, ifab_plan_pack(plan, bytes));
}

void ifab_plan__make_room(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *ended)
{
    uint64_t spare = ended->state == IFAB_PLAN_DONE || ended->state == IFAB_PLAN_DENIED ? ifab_plans_spare(self->plans) : 0;
    if (spare != 0 && spare != ended->number)
        ifab_fabric__change(o, IFAB_KIND_PLAN, spare, NULL, 0);
}

bool ifab_plan__now(const struct ifab_fabric *self, const struct ifab_outcome *o, uint64_t number, struct ifab_plan *ret)
{
    struct ifab_view bytes;
    const struct ifab_plan *plan = ifab_plan_at(self->plans, number);
    if (ifab_fabric__changed(o, IFAB_KIND_PLAN, number, &bytes))
        return bytes.size > 0 && ifab_plan_unpack(bytes, number, ret);
    if (plan != NULL)
        *ret = *plan;
    return plan != NULL;
}

struct ifab_fabric__bill ifab_plan__bill(const struct ifab_fabric *self, const struct ifab_plan *plan, struct ifab_view actor, struct ifab_view subject)
{
    const struct ifab_talent *talent = ifab_talents_at(self->talents, plan->talent);
    return (struct ifab_fabric__bill){.capability = ifab_plan__name(plan->capability),
                                      .talent = talent != NULL ? talent->name : IFAB_VIEW(""),
                                      .operation = plan->operation,
                                      .usd_micro = plan->usd_micro,
                                      .tokens_in = plan->tokens,
                                      .calls = plan->calls,
                                      .actor = actor,
                                      .why_from = plan->index,
                                      .subject = subject};
}

/* ---- what answers and entries show ---- */

static void put_cost(struct ifab_buf *b, const struct ifab_plan *p)
{
    ifab_buf_format(b, "\"cost\":{\"calls\":%llu,\"tokens\":%llu,\"usd_micro\":%llu}", (unsigned long long)p->calls, (unsigned long long)p->tokens,
                    (unsigned long long)p->usd_micro);
}

static void put_text(struct ifab_buf *b, const char *name, struct ifab_view text)
{
    ifab_buf_format(b, ",\"%s\":", name);
    ifab_json_put_string(b, text);
}

static bool is_asked_for(const struct ifab_plan *p)
{
    static const uint8_t none32[32];
    return memcmp(p->message32, none32, 32) != 0;
}

/* Members in order; open at its end. */
static void put_plan(const struct ifab_fabric *self, const struct ifab_plan *p, struct ifab_buf *b)
{
    const struct ifab_talent *talent = ifab_talents_at(self->talents, p->talent);
    char id[42], message[41];
    ifab_plan__id(p, id);
    ifab_buf_str(b, "{\"approval\":{");
    if (is_asked_for(p)) {
        ifab_fabric__id_text(p->message16, message);
        ifab_buf_format(b, "\"message\":\"%s\",", message);
    }
    ifab_buf_format(b, "\"state\":\"%s\",\"votes\":%u},\"capability\":",
                    p->state == IFAB_PLAN_DENIED ? "denied" : p->approved ? "approved" : p->votes == 0 && !is_asked_for(p) ? "not needed" : "needed", p->votes);
    ifab_json_put_string(b, p->capability);
    ifab_buf_char(b, ',');
    put_cost(b, p);
    ifab_buf_str(b, ",\"created_at\":\"");
    ifab_buf_time(b, p->created);
    ifab_buf_format(b, "\",\"effect\":\"%s\",\"expires_at\":\"", ifab_effect_name((enum ifab_effect)p->effect));
    ifab_buf_time(b, p->expires);
    ifab_buf_format(b, "\",\"idempotent\":%s", p->idempotent ? "true" : "false");
    if (p->intent != 0)
        ifab_buf_format(b, ",\"intent\":%llu", (unsigned long long)p->intent);
    ifab_buf_str(b, ",\"manifest_digest\":");
    ifab_fabric__put_digest(b, p->manifest32);
    put_text(b, "operation", p->operation);
    ifab_buf_str(b, ",\"params\":");
    ifab_buf_view(b, p->params);
    ifab_buf_str(b, ",\"plan_hash\":");
    ifab_fabric__put_digest(b, p->hash32);
    ifab_buf_format(b, ",\"plan_id\":\"%s\",\"plan_index\":%llu,\"policy_digest\":", id, (unsigned long long)p->index);
    ifab_fabric__put_digest(b, p->policy32);
    ifab_buf_format(b, ",\"state\":\"%s\"", ifab_plan_state_name(p->state));
    put_text(b, "talent", talent != NULL ? talent->name : IFAB_VIEW(""));
    ifab_buf_str(b, ",\"trace\":");
    ifab_fabric__put_uuid(b, p->trace16);
}

void ifab_fabric_plan_json(const struct ifab_fabric *self, const struct ifab_plan *plan, struct ifab_buf *buf)
{
    put_plan(self, plan, buf);
    ifab_buf_char(buf, '}');
}

static void put_entry(const struct ifab_fabric *self, struct ifab_buf *b, const struct ifab_outcome_entry *entry)
{
    ifab_buf_str(b, "\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_char(b, '}');
}

/* o->payload holds the object. why empty: the plan's. */
static bool entry_of(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, const struct ifab_plan *plan, struct ifab_view actor,
                     struct ifab_view why, struct ifab_view kept, struct ifab_outcome_entry **ret_entry)
{
    char id[42];
    ifab_plan__id(plan, id);
    struct ifab_entry fields = {
        .event = event,
        .actor = actor,
        .why = why,
        .has_why_from = why.size == 0,
        .why_from = plan->index,
        .subject = ifab_view_str(id),
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, plan->trace16, 16);
    return ifab_fabric__entry(self, o, &fields, kept, ret_entry);
}

static void refused(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, enum ifab_code code, struct ifab_view subject)
{
    const struct ifab_principal *p = command->principal;
    ifab_fabric__refuse_as(self, command, o, IFAB_EVENT_CAPABILITY_REFUSED, code, p != NULL && p->kind == IFAB_PRINCIPAL_TALENT ? p->talent : 0, subject);
}

/* What an operator can do where none of his rules decided; his own rule says itself why. */
static void put_hint(struct ifab_buf *b, const struct ifab_call *call)
{
    if (strcmp(call->rule, "builtin.no-rules") == 0) {
        ifab_buf_str(b, "\"hint\":\"An operator mends rules.yaml (ifctl guard check FILE) and starts the daemon again.\",");
    } else if (strcmp(call->rule, "builtin.capability-default") == 0) {
        ifab_buf_format(b, /* names: nothing to escape */
                        "\"hint\":\"An operator lets it pass with a rule under capabilities: in rules.yaml: {id: NAME, effect: share, "
                        "when: {capability: " IFAB_FMT ", operation: " IFAB_FMT "}}.\",",
                        IFAB_ARG(call->manifest->name), IFAB_ARG(call->operation->name));
    }
}

/* A rule says no: an answer with a decision, and its entry within the talent's allowance of refusals. */
static void deny(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_call *call)
{
    struct ifab_meter meter = ifab_fabric__meter(self, call->talent->number, o->now.run);
    struct ifab_buf *p = &o->payload, *b = &o->scratch;
    struct ifab_outcome_entry *entry = NULL;
    ifab_buf_clear(p);
    ifab_buf_format(p, "{\"decision\":\"DENY\",\"effect\":\"%s\"", ifab_effect_name(call->operation->effect));
    put_text(p, "operation", call->operation->name);
    ifab_buf_str(p, ",\"policy_digest\":");
    ifab_fabric__put_digest(p, ifab_fabric__rules(self, o)->digest32);
    put_text(p, "reason", ifab_view_str(call->reason));
    put_text(p, "rule", ifab_view_str(call->rule));
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {.event = IFAB_EVENT_CAPABILITY_DENIED,
                                .actor = ifab_view_str(command->principal->actor),
                                .why = command->why.size > 0 ? command->why : ifab_view_str(call->reason),
                                .subject = call->manifest->id,
                                .payload = ifab_buf_as_view(p)};
    memcpy(fields.trace16, o->reply.trace16, 16);
    if (!ifab_fabric__may_enter_refusal(self, &meter, o->now.run, p->size + 512)) {
        o->count_code = IFAB_CODE_PERMISSION_DENIED;
        o->count_source = call->talent->name;
    } else if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry)) {
        return;
    }
    ifab_fabric__put_meter(o, &meter);
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"capability\":");
    ifab_json_put_string(b, call->manifest->id);
    ifab_buf_str(b, ",\"decision\":\"DENY\",");
    if (entry != NULL) {
        put_entry(self, b, entry);
        ifab_buf_char(b, ',');
    }
    put_hint(b, call);
    ifab_buf_str(b, "\"operation\":");
    ifab_json_put_string(b, call->operation->name);
    ifab_buf_str(b, ",\"policy_digest\":");
    ifab_fabric__put_digest(b, ifab_fabric__rules(self, o)->digest32);
    put_text(b, "reason", ifab_view_str(call->reason));
    put_text(b, "rule", ifab_view_str(call->rule));
    ifab_buf_str(b, ",\"trace\":");
    ifab_fabric__put_uuid(b, o->reply.trace16);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, 403);
    o->reply.is_decision = true;
    o->reply.decision = IFAB_DECISION_DENY;
}

/* ---- plan ---- */

#define IFAB_F_(name, code, verdict, text, hint) {IFAB_CODE_##code, IFAB_VERDICT_##verdict, text, hint},
static const struct {
    enum ifab_code code;
    enum ifab_verdict verdict;
    const char *text, *hint;
} ends[IFAB_CALL_END_COUNT] = {IFAB_CALL_END_MAP(IFAB_F_)};
#undef IFAB_F_

/* Everything that a plan is judged by. NONE: call is filled, its decision too; DENY is the caller's to answer. */
static enum ifab_code judge(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct ifab_call *call)
{
    struct ifab_refusal *r = &o->reply.refusal;
    enum ifab_code code = ifab_call__check(self, o, command->u.plan.id, command->u.plan.version, command->u.plan.module, call);
    if (code != IFAB_CODE_NONE)
        return code;
    call->operation = ifab_manifest_operation(call->manifest, command->u.plan.operation);
    if (call->operation == NULL)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "operation", IFAB_FMT " has no operation " IFAB_FMT, IFAB_ARG(call->manifest->id),
                           IFAB_ARG(ifab_fabric__readable(command->u.plan.operation, 64)));
    code = ifab_params_check(call->operation->params, command->u.plan.params, o->arena, &call->params, r);
    if (code != IFAB_CODE_NONE)
        return code;
    /* A guest may say that it will cost more than its publisher signed, never less: budgets hold what is signed. */
    const struct ifab_operation *signed_ = call->operation;
    bool own = command->u.plan.has_cost;
    call->usd_micro = own && command->u.plan.usd_micro > signed_->cost.usd_micro ? command->u.plan.usd_micro : signed_->cost.usd_micro;
    call->tokens = own && command->u.plan.tokens > signed_->cost.tokens ? command->u.plan.tokens : signed_->cost.tokens;
    call->calls = own && command->u.plan.calls > signed_->cost.calls ? command->u.plan.calls : signed_->cost.calls;
    if (call->usd_micro > IFAB_MONEY_MAX || call->tokens > IFAB_MONEY_MAX || call->calls > IFAB_MONEY_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "cost", "the capability estimates more than can be written");
    ifab_call__policy(self, o, call);
    return IFAB_CODE_NONE;
}

/* "if://capability/NAME@VERSION" in the arena */
static struct ifab_view full_name(struct ifab_outcome *o, const struct ifab_manifest *manifest)
{
    ifab_buf_clear(&o->scratch);
    ifab_buf_view(&o->scratch, manifest->id);
    ifab_buf_char(&o->scratch, '@');
    ifab_buf_view(&o->scratch, manifest->version);
    return ifab_fabric__keep(o, &o->scratch);
}

static enum ifab_code new_plan(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_call *call,
                               struct ifab_plan *p)
{
    struct ifab_refusal *r = &o->reply.refusal;
    ifab_buf_clear(&o->scratch);
    ifab_json_write(&o->scratch, call->params);
    if (ifab_buf_status(&o->scratch) != IFAB_OK)
        return IFAB_CODE_SYSTEM_ERROR;
    if (o->scratch.size > IFAB_PLAN_PARAMS_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "params", "at most %d bytes with what is filled in", IFAB_PLAN_PARAMS_MAX);
    enum ifab_code code = ifab_plans_room(self->plans, call->talent->number, o->scratch.size + 512, r);
    if (code != IFAB_CODE_NONE)
        return code;
    *p = (struct ifab_plan){.number = o->next_number++,
                            .talent = call->talent->number,
                            .votes = call->votes,
                            .idempotent = call->operation->idempotent,
                            .effect = (uint8_t)call->operation->effect,
                            .created = o->now.wall / 1000 * 1000,
                            .index = o->next_index,
                            .usd_micro = call->usd_micro,
                            .tokens = call->tokens,
                            .calls = call->calls,
                            .operation = call->operation->name};
    p->params = ifab_fabric__keep(o, &o->scratch);
    p->capability = full_name(o, call->manifest);
    p->expires = p->created + IFAB_PLAN_LIFE;
    memcpy(p->id16, command->mint16, 16);
    memcpy(p->manifest32, call->manifest->digest32, 32);
    memcpy(p->policy32, ifab_fabric__rules(self, o)->digest32, 32);
    memcpy(p->trace16, o->reply.trace16, 16);
    struct ifab_plan_facts facts = {.log = ifab_view_str(self->settings.log), .talent = call->talent->name, .scopes = call->manifest->scopes,
                                    .scope_count = call->manifest->scope_count};
    ifab_buf_clear(&o->scratch);
    if (o->failed || ifab_plan_hash(p, &facts, &o->scratch, p->hash32) != IFAB_OK)
        return IFAB_CODE_SYSTEM_ERROR;
    return IFAB_CODE_NONE;
}

/* The guest looked at it and would not, or could not. */
static enum ifab_code guest_refused(const struct ifab_command *command, struct ifab_refusal *r)
{
    enum ifab_call_end end = command->u.plan.end < IFAB_CALL_END_COUNT ? command->u.plan.end : IFAB_CALL_TRAP;
    struct ifab_view text = ifab_fabric__readable(command->u.plan.problem, SUMMARY_MAX);
    return ifab_refuse(r, ends[end].code, end == IFAB_CALL_CALLER ? "params" : NULL, IFAB_FMT, IFAB_ARG(text.size > 0 ? text : ifab_view_str(ends[end].text)));
}

static void put_guest_words(struct ifab_buf *b, const struct ifab_command *command)
{
    if (command->u.plan.effects.size > 0 && command->u.plan.effects.size <= IFAB_PLAN_EFFECTS_MAX) {
        ifab_buf_str(b, ",\"said_effects\":");
        ifab_buf_view(b, command->u.plan.effects);
    }
    if (command->u.plan.summary.size > 0)
        put_text(b, "summary", ifab_fabric__readable(command->u.plan.summary, SUMMARY_MAX));
}

static enum ifab_code plan(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool *ret_repeated)
{
    struct ifab_call call = {.talent = NULL};
    struct ifab_plan p;
    struct ifab_outcome_entry *entry;
    enum ifab_code code = ifab_call__who(self, command, o, &call);
    *ret_repeated = ifab_fabric__idempotent(self, command, code, o);
    if (*ret_repeated || code != IFAB_CODE_NONE)
        return code;
    if (command->why.size == 0)
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_INVALID_PARAMS, "why", "say why");
    code = judge(self, command, o, &call);
    if (code != IFAB_CODE_NONE)
        return code;
    if (call.decision == IFAB_DECISION_DENY) {
        deny(self, command, o, &call);
        return IFAB_CODE_NONE;
    }
    if (command->u.plan.end != IFAB_CALL_OK)
        return guest_refused(command, &o->reply.refusal);
    code = new_plan(self, command, o, &call, &p);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_buf *b = &o->payload;
    ifab_buf_clear(b);
    ifab_buf_format(b, "{\"decision\":\"%s\",\"plan\":", ifab_decision_name(call.decision));
    ifab_fabric_plan_json(self, &p, b);
    put_text(b, "reason", ifab_view_str(call.reason));
    put_text(b, "rule", ifab_view_str(call.rule));
    put_guest_words(b, command);
    ifab_buf_char(b, '}');
    if (!entry_of(self, o, IFAB_EVENT_CAPABILITY_PLANNED, &p, ifab_view_str(command->principal->actor), command->why, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_plan__put(o, &p);
    ifab_buf_clear(b);
    put_plan(self, &p, b);
    ifab_buf_format(b, ",\"decision\":\"%s\",", ifab_decision_name(call.decision));
    put_entry(self, b, entry);
    put_text(b, "reason", ifab_view_str(call.reason));
    put_text(b, "rule", ifab_view_str(call.rule));
    put_guest_words(b, command);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, 201);
    ifab_fabric__keep_reply(self, command, o);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_plan(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated;
    enum ifab_code code = plan(self, command, o, &repeated);
    if (!repeated && code != IFAB_CODE_NONE)
        refused(self, command, o, code, command->u.plan.id);
}

enum ifab_code ifab_fabric_plan_check(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_now now, struct ifab_arena *arena,
                                      const struct ifab_manifest **ret_manifest, const struct ifab_operation **ret_operation,
                                      const struct ifab_json **ret_params, struct ifab_refusal *ret_refusal)
{
    struct ifab_outcome nothing = {.arena = arena, .now = now, .last_time = self->last_time, .reply.refusal = {.offset = -1, .retry_after_ms = -1}};
    struct ifab_call call = {.talent = NULL};
    enum ifab_code code = ifab_call__who(self, command, &nothing, &call);
    if (code == IFAB_CODE_NONE)
        code = judge(self, command, &nothing, &call);
    if (code == IFAB_CODE_NONE && call.decision == IFAB_DECISION_DENY)
        code = ifab_refuse(&nothing.reply.refusal, IFAB_CODE_PERMISSION_DENIED, NULL, "%s", call.reason);
    if (code == IFAB_CODE_NONE)
        code = ifab_plans_room(self->plans, call.talent->number, 512, &nothing.reply.refusal);
    *ret_refusal = nothing.reply.refusal;
    *ret_manifest = call.manifest;
    *ret_operation = call.operation;
    *ret_params = call.params;
    return code;
}

/* ---- apply ---- */

/* The plan's own capability, operation and params, judged as if it were planned now. */
static enum ifab_code judge_again(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_plan *p,
                                  struct ifab_call *call)
{
    struct ifab_refusal *r = &o->reply.refusal;
    size_t name = command->u.apply.id.size + 1;
    struct ifab_view version = ifab_view_of(p->capability.data + name, p->capability.size - name);
    enum ifab_code code = ifab_call__check(self, o, command->u.apply.id, version, command->u.apply.module, call);
    if (code != IFAB_CODE_NONE)
        return code;
    if (memcmp(call->manifest->digest32, p->manifest32, 32) != 0)
        return ifab_refuse(r, IFAB_CODE_DIGEST_MISMATCH, "plan_hash", "the manifest is not the one that was planned with");
    call->operation = ifab_manifest_operation(call->manifest, p->operation);
    if (call->operation == NULL || ifab_json_read(p->params, NULL, o->arena, &call->params, NULL) != IFAB_OK)
        return IFAB_CODE_SYSTEM_ERROR;
    call->usd_micro = p->usd_micro;
    call->tokens = p->tokens;
    call->calls = p->calls;
    ifab_call__policy(self, o, call);
    return IFAB_CODE_NONE;
}

/* Who asked waits for the answer, also where nothing had to be asked: a vote that refuses finds the plan as it was, not one that runs and comes back. */
static enum ifab_code approved(const struct ifab_plan *p, const struct ifab_call *call, struct ifab_refusal *r)
{
    if (call->decision == IFAB_DECISION_ESCALATE && !(p->approved && p->votes >= call->votes)) {
        ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "plan_hash", "%s: this plan needs %u approval%s first", call->reason, call->votes, call->votes == 1 ? "" : "s");
        r->hint = "Ask with a signed message whose content.data is {\"apply\":{\"plan_hash\":…}}; ifctl capability apply does it.";
        return IFAB_CODE_PERMISSION_DENIED;
    }
    if (!p->approved && is_asked_for(p))
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "plan_hash", "approval was asked for and is not decided");
    return IFAB_CODE_NONE;
}

static enum ifab_code hold_cost(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_call *call, struct ifab_plan *p, struct ifab_view actor)
{
    char id[42];
    ifab_plan__id(p, id);
    struct ifab_fabric__hold hold = {.bill = ifab_plan__bill(self, p, actor, ifab_view_str(id)),
                                     .deadline = o->now.run + (ifab_usec)call->manifest->limits.deadline_ms * 1000 + RESERVED_AFTER};
    return ifab_fabric__reserve_for(self, o, &hold, &p->reservation);
}

static enum ifab_code apply(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_call call = {.talent = NULL};
    struct ifab_refusal *r = &o->reply.refusal;
    struct ifab_view actor = command->principal != NULL ? ifab_view_str(command->principal->actor) : IFAB_VIEW("");
    struct ifab_outcome_entry *entry;
    bool dry = command->u.apply.dry_run;
    enum ifab_code code = ifab_call__who(self, command, o, &call);
    if (code != IFAB_CODE_NONE)
        return code;
    if (ifab_fabric__idempotent(self, command, IFAB_CODE_NONE, o)) /* what became of it, for who lost the answer */
        return IFAB_CODE_NONE;
    const struct ifab_plan *found = ifab_plan_by_hash(self->plans, command->u.apply.hash32);
    code = ifab_call__ready(self, command, o, call.talent, found);
    if (code == IFAB_CODE_NONE)
        code = judge_again(self, command, o, found, &call);
    if (code != IFAB_CODE_NONE)
        return code;
    if (call.decision == IFAB_DECISION_DENY) {
        deny(self, command, o, &call);
        return IFAB_CODE_NONE;
    }
    struct ifab_plan p = *found;
    memcpy(o->reply.trace16, p.trace16, 16);
    if (!dry)
        code = approved(&p, &call, r);
    if (code == IFAB_CODE_NONE)
        code = ifab_call__limits(self, o, &call);
    /* What is done again is the same effect under the same key: what its first try holds, and may have spent, is for both. A try costs too: it reads. */
    if (code == IFAB_CODE_NONE && p.state != IFAB_PLAN_DANGLING)
        code = hold_cost(self, o, &call, &p, actor);
    if (code != IFAB_CODE_NONE)
        return code;
    p.state = dry ? IFAB_PLAN_TRYING : p.state == IFAB_PLAN_DANGLING ? IFAB_PLAN_AGAIN : IFAB_PLAN_APPLYING;
    p.intent = o->next_index;
    p.started = o->now.wall;
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"capability\":");
    ifab_json_put_string(&o->payload, p.capability);
    ifab_buf_format(&o->payload, ",\"deadline_ms\":%u,\"mode\":\"%s\"", call.manifest->limits.deadline_ms, dry ? "dry-run" : "apply");
    put_text(&o->payload, "operation", p.operation);
    ifab_buf_str(&o->payload, ",\"plan_hash\":");
    ifab_fabric__put_digest(&o->payload, p.hash32);
    ifab_buf_char(&o->payload, '}');
    if (!entry_of(self, o, IFAB_EVENT_CAPABILITY_INTENT, &p, actor, IFAB_VIEW(""), IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_plan__put(o, &p);
    ifab_buf_clear(&o->payload); /* what stands in an answer if none of the outcome's comes */
    put_plan(self, &p, &o->payload);
    ifab_buf_char(&o->payload, ',');
    put_entry(self, &o->payload, entry);
    ifab_buf_char(&o->payload, '}');
    ifab_fabric__reply_json(o, &o->payload, 202);
    o->reply.plan = p.number;
    o->reply.intent = p.intent;
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_apply(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    enum ifab_code code = apply(self, command, o);
    if (code != IFAB_CODE_NONE)
        refused(self, command, o, code, command->u.apply.id);
}

/* ---- outcome ---- */

static bool never_began(enum ifab_call_end end) { return end >= IFAB_CALL_NOT_DONE; }

/* A dry run is refused every effect but reads: how it ends says nothing of the capability. */
static enum ifab_verdict verdict_of(enum ifab_call_end end, bool dry)
{
    return dry ? IFAB_VERDICT_CALLER : ends[end].verdict;
}

static void put_error(struct ifab_buf *b, const struct ifab_command *command, bool dry)
{
    enum ifab_call_end end = command->u.called.end;
    const struct ifab_code_info *info = ifab_code_info(ends[end].code);
    struct ifab_view text = ifab_fabric__readable(command->u.called.text, SUMMARY_MAX);
    bool lives = dry || never_began(end); /* the plan; else the same apply again cannot help, whatever the code */
    ifab_buf_format(b, "\"error\":{\"code\":\"IF_ERR_%03d\",\"hint\":\"%s%s\",\"message\":", (int)info->code, ends[end].hint,
                    lives ? "Nothing was used up; the plan can still be applied." : "Plan again; this plan is used up.");
    ifab_json_put_string(b, text.size > 0 ? text : ifab_view_str(ends[end].text));
    ifab_buf_format(b, ",\"name\":\"%s\",\"retryable\":%s},", info->name, lives && info->retryable ? "true" : "false");
}

/* What it did cost: as the guest says, member by member; what it does not say is as estimated, unless nothing went out. */
static void settle(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_plan *p,
                   struct ifab_fabric__bill *bill)
{
    const struct ifab_cost *said = &command->u.called.cost;
    struct ifab_fabric__bill estimate = ifab_plan__bill(self, p, bill->actor, bill->subject);
    const uint8_t *rates32;
    if (command->u.called.host_calls == 0 && (command->u.called.end != IFAB_CALL_OK || p->state == IFAB_PLAN_TRYING))
        estimate.usd_micro = estimate.tokens_in = estimate.tokens_out = estimate.calls = 0;
    if (!command->u.called.has_cost || ifab_fabric__price(self, o, said, bill, &rates32, NULL) != IFAB_CODE_NONE ||
        bill->tokens_in > IFAB_MONEY_MAX - bill->tokens_out) {
        *bill = estimate;
    } else {
        bill->model = said->model;
        if (!said->has_usd && said->model.size == 0)
            bill->usd_micro = estimate.usd_micro;
        if (said->tokens_in == 0 && said->tokens_out == 0) { /* none: not said */
            bill->tokens_in = estimate.tokens_in;
            bill->tokens_out = estimate.tokens_out;
        }
        bill->calls = said->calls > 0 ? said->calls : estimate.calls;
    }
    ifab_fabric__settle_for(self, o, p->reservation, bill, NULL);
}

static void reply_outcome(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_plan *p,
                          const struct ifab_fabric__bill *bill, const struct ifab_outcome_entry *entry, bool dry)
{
    struct ifab_buf *b = &o->payload;
    enum ifab_call_end end = command->u.called.end;
    char id[42];
    ifab_plan__id(p, id);
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"capability\":");
    ifab_json_put_string(b, p->capability);
    ifab_buf_format(b, ",\"cost\":{\"calls\":%llu,\"tokens_in\":%llu,\"tokens_out\":%llu,\"usd_micro\":%llu},\"duration_ms\":%lld,\"effect\":\"%s\",",
                    (unsigned long long)bill->calls, (unsigned long long)bill->tokens_in, (unsigned long long)bill->tokens_out,
                    (unsigned long long)bill->usd_micro, (long long)(command->u.called.took / 1000), ifab_effect_name((enum ifab_effect)p->effect));
    put_entry(self, b, entry);
    ifab_buf_char(b, ',');
    if (end != IFAB_CALL_OK)
        put_error(b, command, dry);
    ifab_buf_format(b, "\"fuel\":%llu,\"host_calls\":%u,\"intent\":%llu,\"mode\":\"%s\",\"operation\":", (unsigned long long)command->u.called.fuel,
                    command->u.called.host_calls, (unsigned long long)p->intent, dry ? "dry-run" : "apply");
    ifab_json_put_string(b, p->operation);
    ifab_buf_str(b, ",\"plan_hash\":");
    ifab_fabric__put_digest(b, p->hash32);
    ifab_buf_format(b, ",\"plan_id\":\"%s\"", id);
    if (command->u.called.output.size > 0) {
        ifab_buf_str(b, ",\"result\":");
        ifab_buf_view(b, command->u.called.output);
    }
    ifab_buf_str(b, ",\"trace\":");
    ifab_fabric__put_uuid(b, p->trace16);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, end == IFAB_CALL_OK ? 200 : ifab_code_info(ends[end].code)->http);
    memcpy(o->reply.trace16, p->trace16, 16);
}

static bool outcome_entry(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_plan *p, bool dry,
                          struct ifab_outcome_entry **ret_entry)
{
    struct ifab_buf *b = &o->payload;
    enum ifab_call_end end = command->u.called.end;
    uint8_t digest32[32];
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"capability\":");
    ifab_json_put_string(b, p->capability);
    ifab_buf_format(b, ",\"duration_ms\":%lld,", (long long)(command->u.called.took / 1000));
    if (end != IFAB_CALL_OK)
        put_error(b, command, dry);
    ifab_buf_format(b, "\"fuel\":%llu,\"host_calls\":%u,\"intent\":%llu,\"mode\":\"%s\",\"operation\":", (unsigned long long)command->u.called.fuel,
                    command->u.called.host_calls, (unsigned long long)p->intent, dry ? "dry-run" : "apply");
    ifab_json_put_string(b, p->operation);
    if (command->u.called.output.size > 0) {
        ifab_sha256(command->u.called.output, digest32);
        ifab_buf_str(b, ",\"result\":{\"digest\":");
        ifab_fabric__put_digest(b, digest32);
        ifab_buf_format(b, ",\"size\":%zu}", command->u.called.output.size);
    }
    ifab_buf_char(b, '}');
    return entry_of(self, o, end == IFAB_CALL_OK ? IFAB_EVENT_CAPABILITY_OUTCOME : end == IFAB_CALL_VIOLATION ? IFAB_EVENT_SANDBOX_VIOLATION : IFAB_EVENT_CAPABILITY_FAILED,
                    p, ifab_view_str(self->settings.fabric_actor), IFAB_VIEW(""), command->u.called.output, ret_entry);
}

void ifab_fabric__decide_outcome(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_plan *found = ifab_plan_at(self->plans, command->u.called.number);
    struct ifab_outcome_entry *entry;
    char id[42];
    if (found == NULL || found->intent != command->u.called.intent || command->u.called.end >= IFAB_CALL_END_COUNT ||
        command->u.called.output.size > IFAB_CALL_OUTPUT_MAX ||
        (!ifab_plan_is_running(found) && found->state != IFAB_PLAN_DANGLING)) {
        ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, NULL, "no such call is under way: its intent was closed by another");
        ifab_fabric__refused(o, IFAB_CODE_CONFLICT);
        return;
    }
    struct ifab_plan p = *found;
    bool dry = p.state == IFAB_PLAN_TRYING;
    memcpy(o->reply.trace16, p.trace16, 16); /* of all that this step writes */
    ifab_plan__id(&p, id);
    struct ifab_fabric__bill bill = ifab_plan__bill(self, &p, ifab_view_str(self->settings.fabric_actor), ifab_view_str(id));
    if (!outcome_entry(self, command, o, &p, dry, &entry))
        return;
    struct ifab_outcome_entry done = *entry; /* others may move the list */
    bool not_done = never_began(command->u.called.end), again = p.state == IFAB_PLAN_AGAIN;
    if (not_done && again) /* the first try's end is as unknown as before, and so is what it holds */
        bill.usd_micro = bill.tokens_in = bill.tokens_out = bill.calls = 0;
    else
        settle(self, command, o, &p, &bill);
    ifab_fabric__breaker_note(self, o, IFAB_BREAKER_CAPABILITY, ifab_plan__name(p.capability), verdict_of(command->u.called.end, dry), command->u.called.took, &bill);
    reply_outcome(self, command, o, &p, &bill, &done, dry);
    if (!not_done && (!dry || command->u.called.end == IFAB_CALL_OK)) /* an error that may be tried again is not the end of it */
        ifab_fabric__keep_reply_of(self, command, o, command->u.called.caller);
    /* What was surely not done may be tried again while the plan lives. */
    p.state = dry || (not_done && !again) ? IFAB_PLAN_PLANNED : not_done ? IFAB_PLAN_DANGLING : IFAB_PLAN_DONE;
    if (p.state != IFAB_PLAN_DANGLING)
        p.reservation = 0;
    ifab_plan__put(o, &p);
    ifab_plan__make_room(self, o, &p);
}

/* ---- a person says what became of it ---- */

void ifab_fabric__decide_plan_close(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_plan *p = ifab_plan_next(self->plans, 0);
    struct ifab_outcome_entry *entry;
    struct ifab_view why;
    char actor[96], id[42];
    enum ifab_code code = ifab_fabric__authority(self, command, o, false, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    while (p != NULL && memcmp(p->id16, command->u.close.plan16, 16) != 0)
        p = ifab_plan_next(self->plans, p->number);
    if (code == IFAB_CODE_NONE && p == NULL)
        code = ifab_refuse(r, IFAB_CODE_NOT_FOUND, "plan", "no plan with this id");
    if (code == IFAB_CODE_NONE && p->state != IFAB_PLAN_DANGLING)
        code = ifab_refuse(r, IFAB_CODE_CONFLICT, "plan", "this plan is %s: only a dangling intent is closed by a person", ifab_plan_state_name(p->state));
    if (code != IFAB_CODE_NONE) {
        ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0, IFAB_VIEW("plan"));
        return;
    }
    ifab_plan__id(p, id);
    memcpy(o->reply.trace16, p->trace16, 16);
    struct ifab_fabric__bill bill = ifab_plan__bill(self, p, ifab_view_str(actor), ifab_view_str(id));
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"intent\":%llu,\"outcome\":\"%s\"}", (unsigned long long)p->intent, command->u.close.done ? "done" : "not-done");
    if (!entry_of(self, o, IFAB_EVENT_CAPABILITY_CLOSED, p, ifab_view_str(actor), why, IFAB_VIEW(""), &entry))
        return;
    struct ifab_outcome_entry done = *entry;
    if (command->u.close.done)
        ifab_fabric__settle_for(self, o, p->reservation, &bill, NULL);
    else
        ifab_fabric__release_for(self, o, p->reservation, &bill);
    ifab_fabric__change(o, IFAB_KIND_PLAN, p->number, NULL, 0);
    ifab_buf_clear(&o->payload);
    ifab_buf_char(&o->payload, '{');
    put_entry(self, &o->payload, &done);
    ifab_buf_format(&o->payload, ",\"outcome\":\"%s\",\"plan_id\":\"%s\"}", command->u.close.done ? "done" : "not-done", id);
    ifab_fabric__reply_json(o, &o->payload, 200);
    ifab_fabric__keep_reply(self, command, o);
}
