"""Rows of list.py, which takes them in: how plans end, what that costs, and what is revoked meanwhile (docs/formats/plan.md)."""
PLANS, PARAMS, ACT, DUE = "src/core/capability/plans.c", "src/core/capability/params.c", "src/fabric/plan_act.c", "src/fabric/plan_due.c"
CALL, ANSWER, FALSIFY, CURL = "src/fabric/call.c", "src/shell/guest/answer.c", "src/falsify/falsify.c", "src/port/egress/egress_curl.c"
MAP, OWN, HOST = "src/fabric/include/fabric/fabric.h", "src/shell/guest/own.c", "src/shell/guest/host.c"
EXCHANGE, SOCKET = "src/shell/guest/exchange.c", "src/shell/guest/socket.c"
CHECK = "src/core/capability/registry_act.c"
ENDS = "fabric_plan_ends"

CHANGES = [  # id, file, old, new, tests
    # what a refusal says of it
    ("registry-revoked-from-never", CHECK, "    if (known == 0)\n        return not_allowed", "    if (true)\n        return not_allowed", "registry"),
    ("registry-revoked-from-ended", CHECK, "    if (gone == known)\n", "    if (true)\n", "registry"),
    ("deny-hint-of-own-rules", ACT, "} else if (strcmp(call->rule, \"builtin.capability-default\") == 0) {", "} else {", "fabric_plan"),
    ("plan-gone-says-again", CALL, "return plan_again(r, IFAB_CODE_NOT_FOUND);", "return IFAB_CODE_NOT_FOUND;", "fabric_plan"),
    ("decision-subject-of-plan", "src/fabric/open.c", "    if (plan != NULL) {\n        ifab_buf_view(&text, ifab_plan__name", "    if (false) {\n        ifab_buf_view(&text, ifab_plan__name", "fabric_plan"),
    ("config-restart-named", "src/shell/config/settings.c", "if (strcmp(row->info.applies, \"restart\") == 0 && !same_value(row, now, then))", "if (false)", "config"),
    # what is said, and by whom
    ("params-none-said", PARAMS, "if (params == NULL)", "if (false)", ENDS),
    ("call-role-of-way-in", CALL, "call->role = p->role;", "call->role = talent->role;", ENDS),
    ("call-price-signed", ACT, "own && command->u.plan.usd_micro > signed_->cost.usd_micro ?", "own ?", ENDS),
    ("call-tokens-signed", ACT, "own && command->u.plan.tokens > signed_->cost.tokens ?", "own ?", ENDS),
    ("call-calls-signed", ACT, "own && command->u.plan.calls > signed_->cost.calls ?", "own ?", ENDS),
    # an intent is never lost
    ("plan-dry-run-of-dangling", CALL, "&& p->idempotent && !dry;", "&& p->idempotent;", ENDS),
    ("plan-again-not-idempotent", CALL, "&& p->idempotent && !dry;", "&& !dry;", ENDS),
    ("plan-dry-run-while-asked", CALL, "if (dry && !p->approved && memcmp(p->message32, none32, 32) != 0)", "if (false)", ENDS),
    ("plan-dry-run-once-approved", CALL, "if (dry && !p->approved && ", "if (dry && ", ENDS),
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
    ("breaker-dry-run", ACT, "return dry ? IFAB_VERDICT_CALLER : ends[end].verdict;", "return ends[end].verdict;", ENDS),
    # the fabric's own refusals inside a call
    ("own-no-failure", MAP, "X(ADDRESS, PERMISSION_DENIED, CALLER,", "X(ADDRESS, PERMISSION_DENIED, FAILED,", ENDS),
    ("own-limit-no-failure", MAP, "X(LIMITED, RATE_LIMIT_EXCEEDED, CALLER,", "X(LIMITED, RATE_LIMIT_EXCEEDED, FAILED,", ENDS),
    ("own-hint", ACT, "(int)info->code, ends[end].hint,", "(int)info->code, \"\",", ENDS),
    ("own-address", OWN, "    [IFAB_EGRESS_ADDRESS] = IFAB_CALL_ADDRESS,\n", "", "guest_exchange"),
    ("own-dry-run", OWN, "    [IFAB_EGRESS_DRY_RUN] = IFAB_CALL_DRY_WRITE,\n", "", "guest_exchange"),
    ("own-secret", OWN, "    {IFAB_CODE_SECRET_NOT_FOUND, IFAB_CALL_NO_SECRET},\n", "", "guest_exchange"),
    ("own-rate", OWN, "    {IFAB_CODE_RATE_LIMIT_EXCEEDED, IFAB_CALL_LIMITED},\n", "", "guest_exchange"),
    ("own-of-provider-alone", OWN, "if (answer->end != IFAB_CALL_PROVIDER || r->refused == IFAB_CALL_OK)", "if (r->refused == IFAB_CALL_OK)", "guest_begin"),
    ("own-redacted", OWN, "ifab_guest__text(ifab_view_str(r->refusal), &r->arena)", "ifab_view_str(r->refusal)", "guest_begin"),
    ("own-cut", OWN, "ifab_guest__cut(ifab_buf_as_view(&b), IFAB_GUEST_TEXT_MAX)", "ifab_buf_as_view(&b)", "guest_begin"),
    ("own-end", "src/shell/guest/guest.c", "    ifab_guest__own_end(r, &answer);\n", "", "guest_begin"),
    ("own-answered", EXCHANGE, "    ifab_guest__came(q->running);\n    put_answer(e, &b);", "    put_answer(e, &b);", "guest_exchange"),
    ("own-limit-after-a-failure", OWN, "if (r->failed && ", "if (false && ", "guest_exchange"),
    ("own-limit-when-it-lives-again", OWN, "    r->failed = false;\n", "", "guest_exchange"),
    ("own-failed-after", EXCHANGE, "    ifab_guest__note(q->running, own, text);\n", "    if (own != IFAB_CALL_OK)\n        ifab_guest__note(q->running, own, text);\n",
     "guest_exchange"),
    ("own-log-code", EXCHANGE, "ifab_guest__refuse(self, q, code, code == ", "ifab_guest__refuse(self, q, IFAB_CODE_PERMISSION_DENIED, code == ", "guest_exchange"),
    ("own-queue", EXCHANGE, "ifab_guest__note(r, IFAB_CALL_BUSY, ", "ifab_guest__note(r, IFAB_CALL_OK, ", "guest_exchange"),
    ("own-secret-ref", HOST, "        ifab_guest__note(r, IFAB_CALL_NO_SECRET, text);\n", "", "guest_exchange"),
    ("own-dry-run-value", HOST, "ifab_guest__note(r, IFAB_CALL_DRY_WRITE, ", "ifab_guest__note(r, IFAB_CALL_OK, ", "guest_exchange"),
    ("own-socket-sent", SOCKET, "        q->running->reached++;\n        ifab_guest__came(q->running);\n", "        q->running->reached++;\n", "guest_socket"),
    ("own-socket-opened", SOCKET, "        return;\n    ifab_guest__came(q->running);\n", "        return;\n", "guest_socket"),
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
    # an answer is kept for its key, and only one that is the end
    ("call-answer-again", ACT, "if (ifab_fabric__idempotent(self, command, IFAB_CODE_NONE, o)) /* what became of it", "if (false) /* what became of it", ENDS),
    ("call-answer-kept", ACT, "        ifab_fabric__keep_reply_of(self, command, o, command->u.called.caller);\n", "        ;\n", ENDS),
    ("call-answer-not-done", ACT, "if (!not_done && (!dry || ", "if ((!dry || ", ENDS),
    ("call-answer-failed-try", ACT, " && (!dry || command->u.called.end == IFAB_CALL_OK)) /* an error", ") /* an error", ENDS),
    # nothing is said to have survived that was not looked at
    ("falsify-of-another", FALSIFY, "if (x.plan != NULL && x.plan->talent != command->principal->talent)", "if (false)", "falsify"),
    ("falsify-secret-of-none", FALSIFY, "    if (x->plan == NULL)\n        return;\n    say(f, x->secret_found", "    say(f, x->secret_found", "falsify"),
    ("falsify-grant-not-reached", FALSIFY, "else if (x->stopped > IFAB_CHALLENGE_GRANT)", "else", "falsify"),
    ("falsify-no-news", FALSIFY, "bool no_news = x->stopped != IFAB_CHALLENGE_COUNT && ", "bool no_news = false && ", "falsify"),
    ("falsify-denied-passes", FALSIFY, "reply->code == IFAB_CODE_NONE && reply->plan != 0;", "reply->code == IFAB_CODE_NONE;", "falsify"),
    # its table: each row's refusals are its own, and what it changes is changed
    ("falsify-row-conflict", FALSIFY, "{IFAB_CODE_NOT_FOUND, IFAB_CODE_CONFLICT}", "{IFAB_CODE_NOT_FOUND}", "falsify"),
    ("falsify-row-not-found", FALSIFY, "{IFAB_CODE_NOT_FOUND, IFAB_CODE_CONFLICT}", "{IFAB_CODE_CONFLICT}", "falsify"),
    ("falsify-row-allowed", FALSIFY, "{IFAB_CODE_CAPABILITY_NOT_ALLOWED, IFAB_CODE_VERSION_NOT_ALLOWED", "{IFAB_CODE_VERSION_NOT_ALLOWED", "falsify"),
    ("falsify-row-digest", FALSIFY, "IFAB_CODE_VERSION_NOT_ALLOWED, IFAB_CODE_DIGEST_MISMATCH,", "IFAB_CODE_VERSION_NOT_ALLOWED,", "falsify"),
    ("falsify-row-grant", FALSIFY, ".refusals = {IFAB_CODE_GRANT_MISSING}, ", "", "falsify"),
    ("falsify-row-approval", FALSIFY, ".refusals = {IFAB_CODE_PERMISSION_DENIED}, .field = \"plan_hash\", ", "", "falsify"),
    ("falsify-row-approval-field", FALSIFY, "{IFAB_CODE_PERMISSION_DENIED}, .field = \"plan_hash\"", "{IFAB_CODE_PERMISSION_DENIED}", "falsify"),
    ("falsify-row-rate", FALSIFY, "{IFAB_CODE_RATE_LIMIT_EXCEEDED, IFAB_CODE_QUEUE_FULL", "{IFAB_CODE_QUEUE_FULL", "falsify"),
    ("falsify-row-room", FALSIFY, "IFAB_CODE_QUEUE_FULL, IFAB_CODE_QUOTA_EXCEEDED", "IFAB_CODE_QUOTA_EXCEEDED", "falsify"),
    ("falsify-row-breaker", FALSIFY, "{.refusals = {IFAB_CODE_CIRCUIT_BREAKER_OPEN}}", "{.field = NULL}", "falsify"),
    ("falsify-row-budget", FALSIFY, "{.refusals = {IFAB_CODE_BUDGET_EXCEEDED}}", "{.field = NULL}", "falsify"),
    ("falsify-another-caller", FALSIFY, "changed.principal = &socket;", "(void)socket;", "falsify"),
    ("falsify-later", FALSIFY, "later.wall = x->plan->expires > later.wall ? x->plan->expires : later.wall;", "", "falsify"),
    ("falsify-changed-bit", FALSIFY, "module.sha256[31] ^= 1;", "", "falsify"),
    # the step's guards, removed: the act or a changed one would pass, and it is falsify that tells
    ("step-authority-role", CALL, "if (p == NULL || (p->role != IFAB_ROLE_AGENT && p->role != IFAB_ROLE_OPERATOR && p->role != IFAB_ROLE_ADMIN))",
     "if (p == NULL)", "falsify"),
    ("step-authority-removed", CALL, "    if (talent == NULL || talent->removed_at != IFAB_NEVER) {", "    if (talent == NULL) {", "falsify"),
    ("step-authority-socket", CALL, "p != NULL && p->kind == IFAB_PRINCIPAL_TALENT ? ifab_talents_at(self->talents, p->talent) : NULL;",
     "p != NULL ? ifab_talents_at(self->talents, p->kind == IFAB_PRINCIPAL_TALENT ? p->talent : 4) : NULL;", "falsify"),  # 4: the plan's own
    ("step-plan-expired", CALL, "if (o->now.wall >= p->expires)", "if (false)", "falsify"),
    ("step-plan-once", CALL, "if (p->state != IFAB_PLAN_PLANNED && !again)", "if (false)", "falsify"),
    ("step-plan-of-another", CALL, "if (p == NULL || p->talent != talent->number)", "if (p == NULL)", "falsify"),
    ("step-module-digest", CHECK, "if (code == IFAB_CODE_NONE && module != NULL && !ifab_equal_ct(module->sha256, m->entrypoint.sha256, 32))",
     "if (false)", "falsify"),
    ("step-revoked", CHECK,
     "    code = check_revoked(self, m, ret_refusal);\n    if (code == IFAB_CODE_NONE)\n        code = check_time(m, wall, ret_refusal);\n"
     "    if (code == IFAB_CODE_NONE && module",
     "    code = check_time(m, wall, ret_refusal);\n    if (code == IFAB_CODE_NONE && module", "falsify"),
    ("step-grant", CALL, "if (!ifab_talent_has_grant(talent, manifest->id, wall))\n        return missing", "if (false)\n        return missing", "falsify"),
    ("step-scopes", CALL, "if (!ifab_talent_has_grant(talent, manifest->scopes[i], wall))\n            return missing",
     "if (false)\n            return missing", "falsify"),
    ("step-approval", ACT, "    if (!dry)\n        code = approved(&p, &call, r);\n", "", "falsify"),
    ("step-rate", CALL, "    enum ifab_code code = take_token(self, o, call);\n",
     "    (void)take_token(self, o, call);\n    enum ifab_code code = IFAB_CODE_NONE;\n", "falsify"),
    ("step-concurrency", CALL, "if (ifab_plans_applying(self->plans, call->manifest->id) >= call->manifest->limits.concurrency)", "if (false)", "falsify"),
    ("step-breaker", CALL, "return ifab_fabric__breaker_admit(self, o, IFAB_BREAKER_CAPABILITY, call->manifest->name);", "return IFAB_CODE_NONE;", "falsify"),
    ("step-budget", ACT, "        code = hold_cost(self, o, &call, &p, actor);", "        (void)hold_cost(self, o, &call, &p, actor);", "falsify"),
]


def rows(change):
    for row in CHANGES:
        change(*row)
