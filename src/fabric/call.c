/*
 * May a capability be called? INV-07: manifest signature, publisher, allow-list and module at every load and again in the step of every apply; grant,
 * scope, limits, breaker and budget in every apply, in that order. What the operator's rules say stands between scope and limits, so that what is
 * denied takes no token; without a rule that lets it pass it is denied (INV-06).
 */
#include "call_internal.h"

#include "base/encode.h"

#include <stdio.h>
#include <string.h>

enum ifab_code ifab_call__who(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct ifab_call *call)
{
    const struct ifab_principal *p = command->principal;
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_talent *talent = p != NULL && p->kind == IFAB_PRINCIPAL_TALENT ? ifab_talents_at(self->talents, p->talent) : NULL;
    if (p == NULL || (p->role != IFAB_ROLE_AGENT && p->role != IFAB_ROLE_OPERATOR && p->role != IFAB_ROLE_ADMIN))
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "this needs the role agent or operator");
    if (talent == NULL || talent->removed_at != IFAB_NEVER) {
        ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "a capability is called by a talent, which has a grant for it");
        r->hint = "Say who: --as NAME, with that talent's key.";
        return IFAB_CODE_PERMISSION_DENIED;
    }
    call->talent = talent;
    call->role = p->role; /* of this way in: not above the talent's own */
    return IFAB_CODE_NONE;
}

/* ifab_registry_find() tells of an exact version also where it is revoked. */
static bool is_allowed(const struct ifab_fabric *self, const struct ifab_manifest *manifest, ifab_usec wall)
{
    const struct ifab_allowed *allowed;
    struct ifab_refusal unused;
    return ifab_registry_find(self->registry, manifest->id, manifest->version, wall, &allowed, &unused) == IFAB_CODE_NONE &&
           memcmp(allowed->manifest->digest32, manifest->digest32, 32) == 0 &&
           ifab_capability_load_check(self->registry, allowed->manifest, NULL, wall, &unused) == IFAB_CODE_NONE;
}

bool ifab_fabric_may_call(const struct ifab_fabric *self, uint32_t talent, const struct ifab_manifest *manifest, ifab_usec wall)
{
    if (!is_allowed(self, manifest, wall))
        return false;
    if (talent == 0)
        return true;
    const struct ifab_talent *t = ifab_talents_at(self->talents, talent);
    if (t == NULL || t->removed_at != IFAB_NEVER || !ifab_talent_has_grant(t, manifest->id, wall))
        return false;
    for (size_t i = 0; i < manifest->scope_count; i++)
        if (!ifab_talent_has_grant(t, manifest->scopes[i], wall))
            return false;
    return true;
}

static enum ifab_code missing(struct ifab_refusal *r, const char *field, struct ifab_view talent, struct ifab_view what)
{
    ifab_refuse(r, IFAB_CODE_GRANT_MISSING, field, IFAB_FMT " has no grant " IFAB_FMT, IFAB_ARG(talent), IFAB_ARG(what));
    return IFAB_CODE_GRANT_MISSING;
}

static enum ifab_code granted(const struct ifab_talent *talent, const struct ifab_manifest *manifest, ifab_usec wall, struct ifab_refusal *r)
{
    if (!ifab_talent_has_grant(talent, manifest->id, wall))
        return missing(r, "grant", talent->name, manifest->id);
    for (size_t i = 0; i < manifest->scope_count; i++)
        if (!ifab_talent_has_grant(talent, manifest->scopes[i], wall))
            return missing(r, "scope", talent->name, manifest->scopes[i]);
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_call__check(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_view id, struct ifab_view version,
                                const struct ifab_module *module, struct ifab_call *call)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_allowed *allowed;
    enum ifab_code code = ifab_registry_find(self->registry, id, version, o->now.wall, &allowed, r);
    if (code == IFAB_CODE_NONE)
        code = ifab_capability_load_check(self->registry, allowed->manifest, module, o->now.wall, r);
    if (code != IFAB_CODE_NONE)
        return code;
    call->manifest = allowed->manifest;
    code = granted(call->talent, call->manifest, o->now.wall, r);
    /* Nothing else was wrong: nobody is told of a file that is not theirs to use, and of a capability that was revoked no module is read. */
    if (code == IFAB_CODE_NONE && module == NULL)
        code = ifab_refuse(r, IFAB_CODE_DIGEST_MISMATCH, "entrypoint.module", "the module of " IFAB_FMT " cannot be read, or is not the one that its manifest names",
                           IFAB_ARG(id));
    return code;
}

static enum ifab_code plan_again(struct ifab_refusal *r, enum ifab_code code)
{
    r->hint = "Plan again: ifctl capability plan, or apply without --plan. A plan lives 10 minutes and is applied once.";
    return code;
}

enum ifab_code ifab_call__ready(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_talent *talent,
                                const struct ifab_plan *p)
{
    static const uint8_t none32[32];
    struct ifab_refusal *r = &o->reply.refusal;
    bool dry = command->u.apply.dry_run;
    if (p == NULL || p->talent != talent->number) { /* another's plan is told apart from none by nobody, and what has expired is forgotten */
        ifab_refuse(r, IFAB_CODE_NOT_FOUND, "plan_hash", "no plan of " IFAB_FMT " with this hash: it has expired, or there was none", IFAB_ARG(talent->name));
        return plan_again(r, IFAB_CODE_NOT_FOUND);
    }
    if (!ifab_view_starts(p->capability, command->u.apply.id) || p->capability.size <= command->u.apply.id.size ||
        p->capability.data[command->u.apply.id.size] != '@')
        return ifab_refuse(r, IFAB_CODE_NOT_FOUND, "plan_hash", "this plan is of " IFAB_FMT, IFAB_ARG(p->capability));
    bool again = p->state == IFAB_PLAN_DANGLING && p->idempotent && !dry;
    if (p->state != IFAB_PLAN_PLANNED && !again) {
        ifab_refuse(r, IFAB_CODE_CONFLICT, "plan_hash",
                    p->state == IFAB_PLAN_DENIED ? "this plan was refused by a vote (%s)" : "a plan is applied once; this one is %s",
                    ifab_plan_state_name(p->state));
        return p->state == IFAB_PLAN_DONE ? plan_again(r, IFAB_CODE_CONFLICT) : IFAB_CODE_CONFLICT;
    }
    if (dry && !p->approved && memcmp(p->message32, none32, 32) != 0) /* a vote finds the plan as it was asked about */
        return ifab_refuse(r, IFAB_CODE_CONFLICT, "plan_hash", "approval was asked for and is not decided; try it before asking, or after");
    if (o->now.wall >= p->expires)
        return plan_again(r, ifab_refuse(r, IFAB_CODE_CONFLICT, "plan_hash", "this plan has expired; plan again"));
    if (memcmp(p->policy32, ifab_fabric__rules(self, o)->digest32, 32) != 0)
        return plan_again(r, ifab_refuse(r, IFAB_CODE_CONFLICT, "plan_hash", "the rules have changed since it was planned; plan again"));
    return IFAB_CODE_NONE;
}

bool ifab_fabric_may_use(const struct ifab_fabric *self, const struct ifab_principal *principal, struct ifab_view id, struct ifab_view version,
                         struct ifab_now now, const struct ifab_manifest **ret_manifest)
{
    struct ifab_outcome nothing = {.now = now, .reply.refusal = {.offset = -1, .retry_after_ms = -1}};
    const struct ifab_command command = {.principal = principal};
    const struct ifab_allowed *allowed;
    struct ifab_call call = {.talent = NULL};
    if (ifab_call__who(self, &command, &nothing, &call) != IFAB_CODE_NONE ||
        ifab_registry_find(self->registry, id, version, now.wall, &allowed, &nothing.reply.refusal) != IFAB_CODE_NONE ||
        granted(call.talent, allowed->manifest, now.wall, &nothing.reply.refusal) != IFAB_CODE_NONE)
        return false;
    *ret_manifest = allowed->manifest;
    return true;
}

static bool touches_sensitive(const struct ifab_fabric *self, const struct ifab_manifest *manifest)
{
    bool sensitive = ifab_fabric__sensitive_scope(self, manifest->id);
    for (size_t i = 0; i < manifest->scope_count; i++)
        sensitive |= ifab_fabric__sensitive_scope(self, manifest->scopes[i]);
    return sensitive;
}

static void decide(struct ifab_call *call, enum ifab_decision decision, const char *rule, const char *reason)
{
    call->decision = decision;
    snprintf(call->rule, sizeof call->rule, "%s", rule);
    snprintf(call->reason, sizeof call->reason, "%s", reason);
}

void ifab_call__policy(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_call *call)
{
    const struct ifab_guard_rules *rules = ifab_fabric__rules(self, o);
    enum ifab_effect effect = call->operation->effect;
    struct ifab_rule_answer answer = {.effect = IFAB_RULE_NONE};
    struct ifab_rule_subject subject = {
        .sender = call->talent->name,
        .role = ifab_view_str(ifab_role_name(call->role)),
        .owner = call->talent->owner,
        .capability = call->manifest->name,
        .version = call->manifest->version,
        .operation = call->operation->name,
        .effect = ifab_view_str(ifab_effect_name(effect)),
        .params = call->params,
        .cost_usd_micro = (double)call->usd_micro,
        .cost_tokens = (double)call->tokens,
        .cost_calls = (double)call->calls,
    };
    uint32_t least = rules->votes_needed == 1 && touches_sensitive(self, call->manifest) ? 2 : rules->votes_needed;
    call->votes = 0;
    if (rules->loaded)
        ifab_ruleset_capability(rules->set, &subject, &answer);
    if (!rules->loaded)
        decide(call, IFAB_DECISION_DENY, "builtin.no-rules", "no rule set is loaded");
    else if (answer.effect == IFAB_RULE_NONE)
        decide(call, IFAB_DECISION_DENY, "builtin.capability-default", "no rule lets this capability do it");
    else if (answer.effect == IFAB_RULE_DENY || effect == IFAB_EFFECT_NONE)
        decide(call, IFAB_DECISION_DENY, answer.id, answer.reason);
    else if (answer.effect == IFAB_RULE_ESCALATE)
        decide(call, IFAB_DECISION_ESCALATE, answer.id, answer.reason);
    else if (answer.effect == IFAB_RULE_PASS && (effect == IFAB_EFFECT_PHYSICAL || effect == IFAB_EFFECT_PAYMENT))
        decide(call, IFAB_DECISION_ESCALATE, "builtin.effect", effect == IFAB_EFFECT_PAYMENT ? "policy: a payment" : "policy: a physical effect");
    else if (answer.effect == IFAB_RULE_PASS)
        decide(call, IFAB_DECISION_SHARE, answer.id, answer.reason);
    else
        decide(call, IFAB_DECISION_DENY, "builtin.capability-default", "no rule lets this capability do it");
    if (call->decision == IFAB_DECISION_ESCALATE && least == 0) /* zeroed settings: nobody could release it */
        decide(call, IFAB_DECISION_DENY, "builtin.no-voters", "escalated, but no votes are configured");
    if (call->decision == IFAB_DECISION_ESCALATE)
        call->votes = answer.votes > least ? answer.votes : least;
}

/* A bucket of the (talent, capability), as its manifest sizes it. */
static enum ifab_code take_token(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_call *call)
{
    uint8_t bytes[32 + IFAB_CAPABILITY_ID_MAX], *at = bytes;
    struct ifab_view name = call->manifest->name;
    const struct ifab_capability_limits *limits = &call->manifest->limits;
    struct ifab_tokens next;
    enum ifab_code code = ifab_token_table_take(self->calls, call->talent->number, name, limits->rps, limits->burst, o->now.run, &next, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_put_u32(&at, call->talent->number);
    ifab_put_u32(&at, limits->rps);
    ifab_put_u32(&at, limits->burst);
    ifab_put_u64(&at, next.held);
    ifab_put_u64(&at, (uint64_t)next.since);
    ifab_put_bytes(&at, name.data, name.size);
    ifab_fabric__change(o, IFAB_KIND_CALLS, 0, bytes, (size_t)(at - bytes));
    return IFAB_CODE_NONE;
}

void ifab_fabric__load_calls(struct ifab_fabric *self, struct ifab_view bytes)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    uint32_t owner = ifab_get_u32(&r), rate = ifab_get_u32(&r), burst = ifab_get_u32(&r);
    struct ifab_tokens tokens = {0};
    tokens.held = ifab_get_u64(&r);
    tokens.since = (ifab_usec)ifab_get_u64(&r);
    if (!r.bad) /* without memory it stays as it was: it bounds a rate, nothing else hangs on it */
        (void)ifab_token_table_put(self->calls, owner, ifab_view_of(r.at, (size_t)(r.end - r.at)), rate, burst, &tokens);
}

enum ifab_code ifab_call__limits(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_call *call)
{
    struct ifab_refusal *r = &o->reply.refusal;
    enum ifab_code code = take_token(self, o, call);
    if (code != IFAB_CODE_NONE)
        return code;
    if (ifab_plans_applying(self->plans, call->manifest->id) >= call->manifest->limits.concurrency) {
        ifab_refuse(r, IFAB_CODE_QUEUE_FULL, NULL, "%u calls of " IFAB_FMT " run, which is its limit", call->manifest->limits.concurrency,
                    IFAB_ARG(call->manifest->id));
        r->retry_after_ms = 1000;
        return IFAB_CODE_QUEUE_FULL;
    }
    return ifab_fabric__breaker_admit(self, o, IFAB_BREAKER_CAPABILITY, call->manifest->name);
}

struct ifab_view ifab_plan__name(struct ifab_view capability)
{
    size_t prefix = sizeof IFAB_CAPABILITY_PREFIX - 1;
    struct ifab_view name = {capability.data + prefix, capability.size < prefix ? 0 : capability.size - prefix};
    const uint8_t *end = name.size == 0 ? NULL : memchr(name.data, '@', name.size);
    return ifab_view_of(name.data, end != NULL ? (size_t)(end - name.data) : name.size);
}
