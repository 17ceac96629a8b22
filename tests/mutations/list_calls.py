"""Rows of list.py, which takes them in: how plans end, what that costs, and what is revoked meanwhile (docs/formats/plan.md)."""
PLANS, PARAMS, ACT, DUE = "src/core/capability/plans.c", "src/core/capability/params.c", "src/fabric/plan_act.c", "src/fabric/plan_due.c"
CALL, ANSWER, FALSIFY, CURL = "src/fabric/call.c", "src/shell/guest/answer.c", "src/falsify/falsify.c", "src/port/egress/egress_curl.c"
ENDS = "fabric_plan_ends"

CHANGES = [  # id, file, old, new, tests
    # what is said, and by whom
    ("params-none-said", PARAMS, "if (params == NULL)", "if (false)", ENDS),
    ("call-role-of-way-in", CALL, "call->role = p->role;", "call->role = talent->role;", ENDS),
    ("call-price-signed", ACT, "own && command->u.plan.usd_micro > signed_->cost.usd_micro ?", "own ?", ENDS),
    ("call-tokens-signed", ACT, "own && command->u.plan.tokens > signed_->cost.tokens ?", "own ?", ENDS),
    ("call-calls-signed", ACT, "own && command->u.plan.calls > signed_->cost.calls ?", "own ?", ENDS),
    # an intent is never lost
    ("plan-dry-run-of-dangling", ACT, "&& p->idempotent && !dry;", "&& p->idempotent;", ENDS),
    ("plan-again-not-idempotent", ACT, "&& p->idempotent && !dry;", "&& !dry;", ENDS),
    ("plan-dry-run-while-asked", ACT, "if (dry && !p->approved && memcmp(p->message32, none32, 32) != 0)", "if (false)", ENDS),
    ("plan-dry-run-once-approved", ACT, "if (dry && !p->approved && ", "if (dry && ", ENDS),
    ("plan-again-is-no-first", ACT, "p.state == IFAB_PLAN_DANGLING ? IFAB_PLAN_AGAIN :", "false ? IFAB_PLAN_AGAIN :", ENDS),
    ("plan-again-not-done-dangles", ACT, "p.state = dry || (not_done && !again) ? ", "p.state = dry || not_done ? ", ENDS),
    ("plan-dangling-keeps-hold", ACT, "    if (p.state != IFAB_PLAN_DANGLING)\n        p.reservation = 0;", "    p.reservation = 0;", ENDS),
    ("plan-dangling-not-settled", ACT, "if (not_done && again)", "if (false)", ENDS),
    ("plan-lost-again", PLANS, " || plan->state == IFAB_PLAN_AGAIN;", ";", ENDS),
    ("plan-lost-dry-run", DUE, "p.state = dry ? IFAB_PLAN_PLANNED : IFAB_PLAN_DANGLING;", "p.state = IFAB_PLAN_DANGLING;", ENDS),
    ("plan-lost-dry-run-hold", DUE, "    if (dry)\n        p.reservation = 0;", "    if (false)\n        p.reservation = 0;", ENDS),
    ("plan-kept-over-full-disk", "src/fabric/refusals.c", "self->loaded_size = old->loaded_size;", "", ENDS),
    ("plan-restated-dry-run", DUE, " || p.state == IFAB_PLAN_TRYING)", ")", ENDS),
    ("plan-restated-intent", DUE, "p.index = p.intent = index;", "", ENDS),
    ("plan-restated-dangles", DUE, "    p.state = IFAB_PLAN_DANGLING;\n    p.index", "    p.index", ENDS),
    # what it costs
    ("plan-dry-run-holds", ACT, "if (code == IFAB_CODE_NONE && p.state != IFAB_PLAN_DANGLING)\n        code = hold_cost",
     "if (code == IFAB_CODE_NONE && p.state != IFAB_PLAN_DANGLING && !dry)\n        code = hold_cost", ENDS),
    ("plan-again-holds-once", ACT, "if (code == IFAB_CODE_NONE && p.state != IFAB_PLAN_DANGLING)\n        code = hold_cost",
     "if (code == IFAB_CODE_NONE)\n        code = hold_cost", ENDS),
    ("plan-dry-run-nothing-out", ACT, "(command->u.called.end != IFAB_CALL_OK || p->state == IFAB_PLAN_TRYING))", "command->u.called.end != IFAB_CALL_OK)", ENDS),
    ("plan-no-usd-said", ACT, "if (!said->has_usd && said->model.size == 0)", "if (false)", ENDS),
    ("plan-no-tokens-said", ACT, "if (said->tokens_in == 0 && said->tokens_out == 0)", "if (false)", ENDS),
    ("plan-no-calls-said", ACT, "said->calls > 0 ? said->calls : estimate.calls", "said->calls", ENDS),
    ("answer-cost-empty", ANSWER, "if (cost == NULL || cost->u.object.count == 0)", "if (cost == NULL)", "guest_answer"),
    ("answer-cost-usd", ANSWER, ".has_usd = ifab_json_get(cost, \"usd_micro\") != NULL,", ".has_usd = true,", "guest_answer"),
    ("breaker-dry-run", ACT, "    if (dry)\n        return IFAB_VERDICT_CALLER;\n", "", ENDS),
    # what has ended makes room
    ("plan-ended-of-talent", PLANS, "    if (has_ended(&node->plan))\n        self->ended++;\n    else\n        count_talent(self, plan.talent, true);",
     "    self->ended += has_ended(&node->plan);\n    count_talent(self, plan.talent, true);", ENDS),
    ("plan-ended-spare", PLANS, "self->ended >= IFAB_PLAN_ENDED_MAX", "false", ENDS),
    ("plan-voted-room", DUE, "    ifab_plan__make_room(self, o, &p);\n", "", ENDS),
    ("plan-outcome-room", ACT, "    ifab_plan__put(o, &p);\n    ifab_plan__make_room(self, o, &p);\n", "    ifab_plan__put(o, &p);\n", ENDS),
    # INV-13
    ("plan-outcome-trace", ACT, "memcpy(o->reply.trace16, p.trace16, 16); /* of all that this step writes */", "", ENDS),
    ("plan-close-trace", ACT, "ifab_plan__id(p, id);\n    memcpy(o->reply.trace16, p->trace16, 16);", "ifab_plan__id(p, id);", ENDS),
    # what was revoked meanwhile
    ("may-call-revoked", CALL, " &&\n           ifab_capability_load_check(self->registry, allowed->manifest, NULL, wall, &unused) == IFAB_CODE_NONE;", ";", ENDS),
    ("may-call-manifest", CALL, "memcmp(allowed->manifest->digest32, manifest->digest32, 32) == 0 &&", "", ENDS),
    ("may-call-grant", CALL, "if (t == NULL || t->removed_at != IFAB_NEVER || !ifab_talent_has_grant(t, manifest->id, wall))",
     "if (t == NULL || t->removed_at != IFAB_NEVER)", ENDS),
    ("may-call-scopes", CALL, "        if (!ifab_talent_has_grant(t, manifest->scopes[i], wall))", "        if (false)", ENDS),
    ("may-call-health", CALL, "    if (!is_allowed(self, manifest, wall))\n        return false;\n    if (talent == 0)\n        return true;",
     "    if (talent == 0)\n        return true;\n    if (!is_allowed(self, manifest, wall))\n        return false;", ENDS),
    ("secret-of-running-call", "src/fabric/secret.c", "!ifab_plan_is_running(plan) || ", "", ENDS),
    ("secret-still-allowed", "src/fabric/secret.c", " || !still_allowed(self, plan, o->now.wall))", ")", ENDS),
    # a deadline is one
    ("egress-deadline", CURL, "else if (t->deadline <= now)", "else if (t->job->socket && t->deadline <= now)", "egress_attacks"),
    ("egress-deadline-woken", CURL, "t->state == TRANSFER_WAITING && t->due < t->deadline ? t->due : t->deadline;",
     "t->state == TRANSFER_WAITING ? t->due : t->job->socket ? t->deadline : IFAB_NEVER;", "egress_attacks"),
    # nothing is said to have survived that was not looked at
    ("falsify-of-another", FALSIFY, "if (x.plan != NULL && x.plan->talent != command->principal->talent)", "if (false)", "fabric_plan"),
    ("falsify-secret-of-none", FALSIFY, "    if (x->plan == NULL)\n        return;\n    say(f, x->secret_found", "    say(f, x->secret_found", "fabric_plan"),
    ("falsify-grant-not-reached", FALSIFY, "else if (x->stopped > IFAB_CHALLENGE_GRANT)", "else", "fabric_plan"),
]


def rows(change):
    for row in CHANGES:
        change(*row)
