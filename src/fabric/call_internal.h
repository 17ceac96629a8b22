#ifndef FABRIC_CALL_INTERNAL_H
#define FABRIC_CALL_INTERNAL_H
/* What the files about calls of capabilities share: call.c (may it be done?), plan_act.c (plan, apply, outcome), plan_due.c (votes, time). */
#include "capability/registry.h"
#include "capability/plan.h"
#include "fabric_internal.h"

struct ifab_call { /* what is looked at again at every plan and apply */
    const struct ifab_talent *talent;
    enum ifab_role role; /* of who asks: the talent's, or less where its token says so */
    const struct ifab_manifest *manifest;
    const struct ifab_operation *operation;
    const struct ifab_json *params;
    uint64_t usd_micro, tokens, calls; /* the estimate that holds */
    enum ifab_decision decision;       /* SHARE, ESCALATE: votes are needed; DENY */
    uint32_t votes;
    char rule[IFAB_RULE_ID_MAX + 1], reason[IFAB_RULE_REASON_MAX + 1];
};
/*
 * INV-07, in its order: manifest, publisher, allow-list and module; then grant and scopes; then what the operator's rules say of it, which the caller
 * acts on. NONE, or the refusal in o->reply.refusal. module NULL: its bytes were not, or could not be, read; that is told last (204).
 */
enum ifab_code ifab_call__check(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_view id, struct ifab_view version,
                                const struct ifab_module *module, struct ifab_call *call);
/* Behind it, and behind operation and params: limits and breaker. They take a token and a probe. 302, 304, 303. */
enum ifab_code ifab_call__limits(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_call *call);
/* By operation, params and cost: fills decision, votes, rule, reason. Fails to DENY (INV-06). */
void ifab_call__policy(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_call *call);
/* Of an apply: is the plan (NULL: none of this hash) the talent's and of this capability, still good, and nobody's turn yet? 404, 409. */
enum ifab_code ifab_call__ready(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_talent *talent,
                                const struct ifab_plan *plan);
/* Whose command this is: a talent that is there and may call at all. Fills talent and role. */
enum ifab_code ifab_call__who(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct ifab_call *call);
/* As this step sees it; views stand in the record's bytes. */
bool ifab_plan__now(const struct ifab_fabric *self, const struct ifab_outcome *o, uint64_t number, struct ifab_plan *ret_plan);
void ifab_plan__put(struct ifab_outcome *o, const struct ifab_plan *plan);
/* Behind a plan that ended: the oldest one that did goes, where there are many. */
void ifab_plan__make_room(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *ended);
void ifab_plan__id(const struct ifab_plan *plan, char ret_text[42]); /* "plan-…" */
/* What it was for, or did, as a bill of the talent. */
struct ifab_fabric__bill ifab_plan__bill(const struct ifab_fabric *self, const struct ifab_plan *plan, struct ifab_view actor, struct ifab_view subject);
#define IFAB_CAPABILITY_PREFIX "if://capability/"
/* "vmix.switcher" of "if://capability/vmix.switcher@1.0.0" */
struct ifab_view ifab_plan__name(struct ifab_view capability);
#endif
