"""The guards that are removed one by one, and the test programs (tests/unit/test_NAME.c) of which at least one must fail then.

without(): the condition of an `if` becomes false, so that what it guards never happens. change(): any other text. The old text must stand
exactly once in its file, so this list cannot fall behind the code unnoticed.
"""
import collections
import shutil

import list_calls

Mutation = collections.namedtuple("Mutation", "id file old new tests")
MUTATIONS = []


def change(id, file, old, new, tests):
    MUTATIONS.append(Mutation(id, file, old, new, tests.split()))


def without(id, file, text, tests):
    """text begins with a whole "if (CONDITION)"; what follows only makes it unique."""
    depth, end = 1, len("if (")
    assert text.startswith("if ("), text
    while depth > 0:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    change(id, file, text, f"if (false && {text[3:end]})" + text[end:], tests)


# ---- who sent it: signature and key ----
VERIFY = "src/core/connect/envelope_verify.c"
without("envelope-signature", VERIFY, "if (!ifab_ed25519_verify(registered32, envelope->signed_bytes, envelope->sig64))", "envelope")
without("envelope-registered-key", VERIFY, "if (memcmp(envelope->pubkey32, registered32, 32) != 0)", "envelope")
without("envelope-key-id", VERIFY, "if (!ifab_view_is(envelope->key_id, key_id))", "envelope")
change("admit-signature-ignored", "src/shell/admit/message.c", "    code = ifab_envelope_verify(",
       "    (void)ifab_envelope_verify(", "fabric")
without("admit-registered-key", "src/shell/admit/message.c", "if (memcmp(key->pubkey32, pubkey32, 32) != 0)", "fabric")
without("admit-key-revoked", "src/shell/admit/message.c",
        "if (entry->removed || key->revoked_at != IFAB_NEVER || wall < key->not_before || wall >= key->not_after)", "fabric")
without("step-key-again", "src/fabric/message.c",
        "if (code != IFAB_CODE_NONE) /* replaced since verification is 004 as well: it was registered then */", "fabric")
without("talent-removed", "src/core/talent/table.c", "if (talent->removed_at != IFAB_NEVER)", "talent")
without("talent-key-revoked", "src/core/talent/table.c", "if (key->revoked_at != IFAB_NEVER)", "talent")
without("talent-key-ended", "src/core/talent/table.c", "if (wall >= key->not_after)", "talent")
change("talent-key-of-another", "src/core/talent/acts.c", "if (holder == NULL)", "if (true)", "talent")
without("talent-small-order-key", "src/core/talent/acts.c", "if (!ifab_ed25519_key_valid(pubkey32))", "talent")

# ---- when: time, replay, order, rate ----
without("time-102", VERIFY, "if (wall > expiry + skew)", "envelope")
without("time-102-forgotten", VERIFY, "if (expiry <= dropped_wall)", "envelope")
without("time-107", VERIFY, "if (envelope->issued_at - skew > wall)", "envelope")
without("time-before-restore", "src/fabric/message.c", "if (e->issued_at <= self->issued_after)", "fabric fabric_admin")
without("replay-seen", "src/fabric/message.c", "if (seen == IFAB_REPLAY_SEEN)", "fabric")
change("replay-nonce", "src/core/connect/replay.c", "if (same_id || find(self, tag->nonce_tag16, NONCE_REF, &number))",
       "if (same_id)", "replay")
without("replay-quota", "src/fabric/message.c", "if (seen == IFAB_REPLAY_QUOTA)", "fabric")
change("replay-count-total", "src/core/connect/replay.c", "self->count >= self->limits.total || ", "", "replay")
change("replay-count-talent", "src/core/connect/replay.c",
       " || ifab_replay_count_talent(self, tag->talent) >= self->limits.per_talent)", ")", "replay")
change("sequence-strict", "src/core/connect/sequence.c", "if (seq <= next.last_seq)", "if (seq < next.last_seq)", "sequence")
without("sequence-window-used", "src/core/connect/sequence.c", "if (window_has(next, back))", "sequence")
without("sequence-window-below", "src/core/connect/sequence.c", "if (back >= IFAB_ORDER_WINDOW_SIZE)", "sequence")
change("rate-302", "src/fabric/message.c", "return ifab_fabric__rate(self, &s->meter, now->run, r);", "return IFAB_CODE_NONE;", "fabric")

# ---- may it: authority, audience, conversation ----
without("authority-role", "src/fabric/message.c",
        "if (role != IFAB_ROLE_AGENT && role != IFAB_ROLE_OPERATOR && role != IFAB_ROLE_ADMIN)", "fabric")
without("audience-foreign-fabric", "src/fabric/message.c",
        "if (to->kind == IFAB_RECEIVER_FABRIC && !ifab_view_is(to->name, s->self->settings.origin))", "fabric")
change("audience-unknown-receiver", "src/fabric/message.c", "if (talent == NULL || talent->removed_at != IFAB_NEVER)",
       "if (talent == NULL)\n            continue;\n        if (false)", "fabric")
change("audience-removed-receiver", "src/fabric/message.c", "if (talent == NULL || talent->removed_at != IFAB_NEVER)",
       "if (talent == NULL)", "fabric fabric_flow")
without("conversation-party", "src/core/connect/conversation.c", "if (!may_speak(&next, talent))", "conversation")
without("conversation-ended", "src/core/connect/conversation.c", "if (next.ended)", "conversation")
without("conversation-reply-to-nobody", "src/core/connect/conversation.c",
        "if (move->reply && talent == next.opener && !next.answered)", "conversation")

# ---- policy ----
GUARD = "src/core/guard/evaluate.c"
change("guard-rules-loaded", GUARD, "in->facts != NULL && in->rules->loaded)", "in->facts != NULL)", "guard fabric")
change("guard-secret", GUARD, "if (!in->facts->secret_found)", "if (true)", "guard fabric")
change("guard-hazard-override", GUARD, "if (((in->facts->hazards | in->facts->ruled.hazards) & OVERRIDING) == 0)", "if (true)", "guard")
change("guard-unknown-hazard", GUARD, "return IFAB_HAZARD_UNKNOWN;", "return 0;", "guard")
without("guard-confidence-not-a-number", GUARD,
        "if (facts->has_confidence && !(facts->confidence >= 0 && facts->confidence <= 1))", "guard")
without("guard-confidence-low", GUARD, "if (facts->has_confidence && !(facts->confidence >= LOW_CONFIDENCE))", "guard")
without("guard-confidence-borderline", GUARD, "if (facts->has_confidence && !(facts->confidence >= BORDERLINE))", "guard")
without("guard-claim-without-confidence", GUARD, "if (facts->is_claim && !facts->has_confidence)", "guard")
without("guard-claim-without-scope", GUARD, "if (facts->is_claim && !facts->has_scope)", "guard")
change("guard-strictest", GUARD, "if (!answered || one.decision < strictest.decision)", "if (true)", "guard")
change("facts-secret", "src/shell/admit/facts.c", "content == NULL || ifab_redact_hits_json(content)", "content == NULL", "fabric")
change("facts-hazards", "src/shell/admit/facts.c", "ret->hazards |= ifab_hazard_parse(envelope->hazards[i]);", "{}", "fabric")
change("secret-bytes-kept", "src/fabric/message.c", 'facts->secret_found ? IFAB_VIEW("") : s->envelope->bytes',
       "s->envelope->bytes", "fabric")

SECOND = "src/core/guard/second_source.c"
change("second-source-same-owner", SECOND, " || memcmp(held->owner_digest16, later_owner16, 16) == 0)", ")", "guard")
change("second-source-same-talent", SECOND, "held->talent == later_talent || ", "", "guard")
change("second-source-shared-domain", SECOND,
       "!share_one(first->domains, first->domain_count, later->domains, later->domain_count) &&", "", "guard")
change("second-source-shared-hash", SECOND, "!share_one(first->hashes, first->hash_count, later->hashes, later->hash_count)",
       "true", "guard")
change("second-source-other-scope", SECOND, " || memcmp(first->scope_digest32, later->scope_digest32, 32) != 0)", ")", "guard")

# ---- votes ----
without("vote-one-per-owner", "src/core/guard/vote.c", "if (owner_said(decision, at) != VOTED_NOT)", "guard_vote")
change("vote-first-counts", "src/core/guard/vote.c", "if (decision->voters[at].voted != VOTED_NOT)",
       "if (decision->voters[at].voted != VOTED_NOT && (decision->voters[at].voted == VOTED_APPROVE) == (verdict == IFAB_VOTE_APPROVE))",
       "guard_vote")
change("vote-own-message", "src/core/guard/vote.c", "if (at == voter_count || voter_talent == decision->talent)",
       "if (at == voter_count)", "guard_vote")
change("vote-owner-counted-once", "src/core/guard/vote.c", "if (!first_of_owner(decision, i))", "if (false)", "guard_vote")
change("rules-unknown-is-a-miss", "src/core/guard/rule_evaluate.c", " || (match == IFAB_RULE_UNKNOWN && rule->effect != IFAB_RULE_PASS)", "", "ruleset")
change("rules-more-values-unseen", "src/core/guard/rule_values.c", "values->opaque = true; /* more than are looked at", "(void)values; /* more than are looked at",
       "ruleset")
without("rules-work", "src/core/guard/rule_evaluate.c", "if (context.work > IFAB_RULE_WORK_MAX) { /* as the strictest", "ruleset")
without("rules-work-of-a-call", "src/core/guard/rule_evaluate.c", "if (context.work > IFAB_RULE_WORK_MAX) { /* what could", "ruleset")
change("rules-derived-hazards", "src/core/guard/evaluate.c", "(in->facts->hazards | in->facts->ruled.hazards)", "in->facts->hazards", "guard")
change("rules-escalate", "src/core/guard/evaluate.c", "        ret->votes = ruled->votes;\n        return true;", "        return false;", "guard")
change("rules-undefined-effect", "src/core/guard/evaluate.c", "    return answer(ret, IFAB_DECISION_DENY, ruled->reason, ruled->id);", "    return false;", "guard")
change("rules-hold", "src/core/guard/evaluate.c", "return !in->step2_met && answer(ret, IFAB_DECISION_HOLD", "return false && answer(ret, IFAB_DECISION_HOLD", "guard")
change("life-two-votes", "src/fabric/open.c", "facts->sensitive && rules->votes_needed == 1 ? 2 : rules->votes_needed", "rules->votes_needed",
       "fabric_life")
change("life-deadline-before-routing", "src/fabric/life.c", " || ifab_fabric__stale(self, o, d) ||", " ||", "fabric_life")
change("life-lost-voters", "src/fabric/open.c", "some = d->voters[i].voted == 0 && lost(self, d->voters[i].talent);", "some = false;", "fabric_life")
without("life-revoked-sender", "src/fabric/talent_act.c", "if (d->talent == talent->number && taken)", "fabric_flow")
change("life-revoked-by-rotation", "src/fabric/talent_act.c", "bool rotated = act", "bool rotated = false && act", "fabric_flow")
change("life-revoked-other-key", "src/fabric/talent_act.c", "taken = valid_now(&talent->keys[i], d->admitted_at) &&", "taken =", "fabric_flow")
change("life-clock-without-doubt", "src/fabric/life.c", " && !self->clock_doubt)", " && false)", "fabric_life")
change("life-clock-by-operator", "src/fabric/life.c", "IFAB_EVENT_CLOCK_ACCEPT, true}", "IFAB_EVENT_CLOCK_ACCEPT, false}", "fabric_life")
change("life-references", "src/fabric/outcome.c", "fields->ref_count = o->command->ref_count;", "fields->ref_count = 0;", "fabric_life")
without("life-counts-told-twice", "src/fabric/refusals.c", "if (flushed->size <= self->tree.size)", "fabric_life")
change("life-envelope-trace", "src/fabric/message.c", "if (s.envelope->has_trace)", "if (false)", "fabric_life")
without("life-ref-dots", "src/shell/loop/context.c",
        'if (segment.size == 0 || ifab_view_is(segment, ".") || ifab_view_is(segment, ".."))', "context")
without("life-trace-zero", "src/shell/loop/context.c", "if (memcmp(trace, none, 16) == 0 || memcmp(parent, none, 8) == 0)", "context")
without("vote-by-same-owner", "src/fabric/open.c", "if (memcmp(owner, decision->owner_digest16, 16) == 0)", "fabric_flow")
without("route-deny", "src/fabric/rules.c", "if (verdict.decision == IFAB_DECISION_DENY)", "deny_model")
change("release-source-before-routing", "src/fabric/open.c", "ifab_fabric__stale(self, o, held) ? !met_meanwhile(o, held) : ", "", "deny_model")
without("turns-single-waits-long", "src/shell/loop/order.c", "if (lane != NULL && lane->singles > 0 && lane->singles * self->lanes >= ORDER_SINGLES)",
        "order")
change("turns-late", "src/shell/loop/order.c", "bool late = lateness != NULL &&", "bool late = false &&", "order")
change("turns-late-connection", "src/shell/loop/order.c", "lateness->connection == connection && ", "", "order")
change("turns-late-refused-again-and-again", "src/shell/loop/order.c", "lateness->refused > 0 && ", "", "order")
change("turns-late-ended-by-another", "src/shell/loop/order.c", "it == NULL || it->connection != connection || ", "it == NULL || ", "order")
change("turns-late-no-more", "src/shell/loop/verify.c", "if (lane->jobs > 0 && lane->job_ring == 1)", "if (false)", "order")
change("turns-late-verified-by-the-loop", "src/shell/loop/verify.c", "bool late = worker && ", "bool late = ", "order")
change("turns-late-pace", "src/shell/loop/order.c", "return self->left > 0 || !pace_others(now_ns, others_ns);", "return true;", "order")
change("turns-late-one-core", "src/shell/loop/verify.c", "bool free = self->late_taken == 0 || ", "bool free = true || ", "order")
change("turns-late-one-core-overdue", "src/shell/loop/verify.c", "late && self->late_taken == 0 && pace_overdue", "late && pace_overdue", "order")
change("turns-late-one-core-only-beside-others", "src/shell/loop/verify.c", "self->late_taken == 0 || !pace_others(now_ns, others_ns);", "self->late_taken == 0;", "order")
change("turns-late-overdue", "src/shell/loop/order.c", "self->overdue = self->left;", "self->overdue = 0;", "order")
change("turns-let-in-unverified", "src/shell/loop/order.c", " && atomic_load_explicit(&lane->first->state, memory_order_acquire) == TICKET_VERIFIED;", ";",
       "order")
change("turns-let-in-few", "src/shell/loop/order.c", "moved < ORDER_LET_IN && ", "", "order")
change("turns-slow", "src/shell/http/connection.c", "conn->slow != 0 && conn->slow < most", "false", "http_server")
change("turns-slow-within-the-limit", "src/shell/http/connection.c", "conn->slow != 0 && conn->slow < most", "conn->slow != 0", "http_server")
without("vote-replay", "src/fabric/vote.c", "if (seen == IFAB_REPLAY_SEEN)", "fabric_flow")
without("vote-other-log", "src/fabric/vote.c", "if (!ifab_view_is(command->u.vote.log, self->settings.origin))", "fabric_flow")
change("vote-other-rules", "src/fabric/vote.c", "memcmp(d->policy_digest32, command->u.vote.policy_digest32, 32) != 0 || ", "",
       "fabric_flow")
change("life-vote-before-routing", "src/fabric/vote.c", " || ifab_fabric__stale(self, o, d))", ")", "fabric_life")
without("vote-other-message", "src/fabric/vote.c", "if (memcmp(d->message_digest32, command->u.vote.message_digest32, 32) != 0)",
        "fabric_flow")
change("vote-expired", "src/fabric/vote.c", "command->u.vote.expires_at + skew < wall || ", "", "fabric_flow")
change("vote-lives-an-hour", "src/fabric/vote.c", "command->u.vote.expires_at - command->u.vote.issued_at > IFAB_HOUR)", "false)",
       "fabric_flow")
without("vote-key-again", "src/fabric/vote.c",
        "if (code != IFAB_CODE_NONE)\n        return code == IFAB_CODE_INVALID_SIGNATURE", "fabric_flow")
without("scope-grant", "src/fabric/vote.c", 'if (!ifab_talent_has_grant(voter, IFAB_VIEW("guard:scope"), o->now.wall))', "fabric_flow")
without("scope-same-owner", "src/fabric/vote.c", "if (memcmp(owner, d->owner_digest16, 16) == 0)", "fabric_flow")
change("signature-of-votes-and-acts", "src/shell/admit/vote.c",
       " && ifab_ed25519_verify(registered32, ifab_buf_as_view(&bytes), sig)", "", "admit")

# ---- administrative acts ----
without("act-log", "src/shell/admit/act.c", 'if (!ifab_view_equal(ifab_json_text(act, "log"), origin))', "admit")
without("act-route", "src/shell/admit/act.c", 'if (!ifab_view_equal(ifab_json_text(act, "route"), route))', "admit")
change("act-body", "src/shell/admit/act.c", " || memcmp(expected, given, 32) != 0)", ")", "admit")
without("act-replay", "src/fabric/admin.c", "if (seen == IFAB_REPLAY_SEEN)", "fabric_admin")
change("act-age", "src/fabric/admin.c", "expiry + skew < wall || ", "", "fabric_admin")
without("act-future", "src/fabric/admin.c", "if (act->issued_at > wall + skew)", "fabric_admin")
without("act-role", "src/fabric/admin.c",
        "if (signer->role != IFAB_ROLE_ADMIN && !(self_talent != 0 && signer->number == self_talent))", "fabric_admin")
without("act-needed", "src/fabric/admin.c", "if (need_admin)", "fabric_admin")
without("act-operator", "src/fabric/admin.c",
        "if (principal == NULL || (principal->role != IFAB_ROLE_OPERATOR && principal->role != IFAB_ROLE_ADMIN))", "fabric_admin")

# ---- a start: what is stored is what the log covers ----
without("start-trust-root", "src/fabric/load.c", "if (memcmp(trust, head->trust_root32, 32) != 0)", "fabric fabric_storm fabric_admin")
without("start-root", "src/fabric/load.c", "if (memcmp(root, head->root32, 32) != 0)", "fabric fabric_storm fabric_admin")

START = "src/shell/loop/start.c"
without("start-head-mac", START, "if (!ifab_equal_ct(mac, load->head.mac32, 32) && !log_key_is_next(load->node, &load->head, record->bytes))", "start")
without("start-newest-entry", START, "if (count != 1 || memcmp(hash, head.last_hash32, 32) != 0)", "start")
change("start-key-open-to-others", "src/shell/loop/log_key.c", "stat(path, &st) == 0 && (st.st_mode & 077) != 0)", "false)", "start")

SCHEMA = "src/port/store/store_sqlite_schema.c"
without("store-newer-schema", SCHEMA, "if (version > IFAB_STORE_SCHEMA)", "store_sqlite")
change("store-upgrade-one-transaction", SCHEMA, 'int rc = execute(self->db, "BEGIN IMMEDIATE");\n    for (int64_t v',
       'int rc = SQLITE_OK;\n    for (int64_t v', "store_sqlite powercut")
change("store-upgrade-checked-before", SCHEMA, "    IFAB_TRY(check_as(self, version, err));\n    if (version", "    if (version", "store_sqlite")
change("store-upgrade-by-reader", SCHEMA, "if (version == IFAB_STORE_SCHEMA || !self->writer)", "if (version == IFAB_STORE_SCHEMA)", "store_sqlite")

# ---- parsers ----
without("json-name-twice", "src/text/json/read.c", "if (second != NULL)", "json")
change("json-depth", "src/text/json/read.c", "if (d->depth == IFAB_JSON_MAX_DEPTH)", "if (d->depth == 2 * IFAB_JSON_MAX_DEPTH)", "json")
without("json-trailing-bytes", "src/text/json/read.c",
        'if (r->at != r->end)\n        return IFAB_JSON__REFUSE(r, r->at, "bytes after', "json")
without("json-minus-zero", "src/text/json/number.c", "if (lit.negative)", "json")
without("json-integer-range", "src/text/json/number.c", "if (lit.significant > 16 || lit.mantissa > (uint64_t)SAFE_MAX)", "json")
without("json-lone-surrogate", "src/text/json/string.c", "if (low < 0xdc00 || low > 0xdfff)", "json")
without("json-control-character", "src/text/json/string.c", "if (*at < 0x20)\n        ", "json")
without("base64-unused-bits-of-4", "src/base/encode.c", "if (rest == 2 && (sextet(text.data[text.size - 1], c62, c63) & 15) != 0)",
        "base")
without("base64-unused-bits-of-2", "src/base/encode.c", "if (rest == 3 && (sextet(text.data[text.size - 1], c62, c63) & 3) != 0)", "base")

HEAD = "src/shell/http/head.c"
without("http-length-twice", HEAD, "if (++self->lengths > 1)", "http_head")
without("http-length-and-encoding", HEAD, "if (self->lengths > 0 && self->encodings > 0)", "http_head")
without("http-host-missing", HEAD, "if (self->hosts == 0 && head->minor == 1)", "http_head")
without("http-host-twice", HEAD, "if (++self->hosts > 1)", "http_head")
change("http-lone-lf", HEAD, 'return bad(self, 400, "LF without CR");', "return end_line(self, header_count);", "http_head")
without("http-lone-cr", HEAD, "if (c != '\\n')", "http_head")
without("http-folded-line", HEAD, "if (self->line_size == 0 && (c == ' ' || c == '\\t'))", "http_head")
without("http-space-before-colon", HEAD, "if (!is_token(name.data[i]))", "http_head")

# ---- secrets ----
change("redact-issuer-prefix", "src/text/redact/pattern.c", '{"AKIA", upper_or_digit, 16, true, false},', "", "redact")
without("redact-private-key", "src/text/redact/pattern.c", "if (c == '-')", "redact")
change("redact-secret-name", "src/text/redact/json.c", "if (place == PLACE_SECRET || ifab_redact_secret_name(member->name) || ",
       "if (place == PLACE_SECRET || ", "redact")

# ---- verification of a log ----
TREE = "src/client/verify_tree.c"
change("log-prev-hash", "src/client/verify_entry.c", " || memcmp(prev32, self->prev32, 32) != 0)", ")", "verify")
without("log-canonical-form", "src/client/verify_entry.c", "if (!ifab_view_equal(ifab_buf_as_view(&self->canonical), entry))", "verify")
without("log-leaf-in-tile", TREE, "if (memcmp(self->file.data + 32 * at, leaf32, 32) != 0)", "verify")
without("log-upper-tile", TREE, "if (here && memcmp(self->file.data, level->hashes, width * 32) != 0)", "verify")
without("log-root-of-checkpoint", "src/client/verify_log.c",
        "if (run->report->intact && memcmp(root32, run->head.body.root32, 32) != 0)", "verify")
change("log-root-of-older-checkpoint", "src/client/verify_log.c", "run->head.old_differs = memcmp(root32, run->head.old.root32, 32) != 0;",
       "run->head.old_differs = false;", "verify")
change("log-key-older-lie", "src/client/verify_log.c", "if (run->head.old_differs && !run->head.old_unsigned)", "if (run->head.old_differs)", "verify_rotation")
change("log-key-enrolled", "src/client/verify_message.c", "else if (!key_enrolled(self, &envelope, &why))",
       "else if (!key_enrolled(self, &envelope, &why) && false)", "verify")
without("log-message-signature", "src/client/verify_message.c",
        "if (ifab_envelope_verify(&envelope, envelope.pubkey32, &refusal) != IFAB_CODE_NONE)", "verify")
without("log-cut", "src/client/verify_head.c", "if (options->has_min_size && head->body.size < options->min_size)", "verify")
without("log-trusted-key", "src/client/verify_head.c",
        "if (ifab_note_verify(head->note, head->key_name, head->key32, &text, &why) != IFAB_OK)", "verify")
change("log-message-bytes", "src/client/verify_message.c", "        return envelope->canonical;", "        return true;", "verify_rotation envelope verify")
change("log-message-bytes-digest", "src/client/verify_message.c", "&& memcmp(said32, is32, 32) == 0;\n}\n\nstatic ifab_status check_bytes", "|| true;\n}\n\nstatic ifab_status check_bytes", "verify")
change("bundle-digest", "src/client/verify_bundle.c", "memcmp(digest32, b->envelope.message_digest32, 32) != 0)", "false)", "verify")
without("bundle-key-time", "src/client/verify_bundle.c", "if (!key_good(&keys->u.array.items[i], decided))", "verify")
without("bundle-signature", "src/client/verify_bundle.c", "if (ifab_envelope_verify(&b->envelope, pubkey32, NULL) != IFAB_CODE_NONE)", "verify")
without("bundle-order", "src/client/verify_bundle.c", "if (b->enrolment.index >= b->decision.index)", "verify")
without("receipt-leaf", "src/client/verify_proof.c", "if (memcmp(leaf32, p->leaf32, 32) != 0)", "verify")
change("receipt-in-tree", "src/client/verify_proof.c", "if (!ifab_proof_inclusion_verify(",
       "if (false && !ifab_proof_inclusion_verify(", "verify")
change("proof-inclusion-root", "src/core/witness/proof_verify.c", "return sn == 0 && memcmp(r32, root32, 32) == 0;",
       "return sn == 0;", "proof")
change("proof-consistency-old-root", "src/core/witness/proof_verify.c", "sn == 0 && memcmp(fr32, old_root32, 32) == 0 && ",
       "sn == 0 && ", "proof")

# ---- another key of the log ----
ROTATION, FOLLOW, STEP = "src/core/witness/rotation.c", "src/client/verify_rotation.c", "src/fabric/log_key.c"
without("log-key-old-signature", ROTATION, "if (ifab_note_verify(note, read.origin, read.from32, &text, NULL) != IFAB_OK)", "rotation")
without("log-key-new-signature", ROTATION, "if (ifab_note_verify(note, read.origin, read.to32, &text, NULL) != IFAB_OK)", "rotation")
without("log-key-more-signatures", ROTATION, "if (rest.size != 0)", "rotation")
without("log-key-request", ROTATION, "if (status == IFAB_OK && !ifab_view_equal(ifab_buf_as_view(&expected), request))", "rotation")
change("log-key-act-route", ROTATION, "!ifab_view_is(ifab_json_text(act, \"route\"), IFAB_ROTATION_ROUTE) || ", "", "rotation")
change("log-key-act-log", ROTATION, " || !ifab_view_equal(ifab_json_text(act, \"log\"), origin))", ")", "rotation")
change("log-key-act-body", ROTATION, " ||\n        memcmp(said32, is32, 32) != 0)", ")", "rotation")
without("log-key-act-signature", ROTATION,
        "if (status == IFAB_OK && !ifab_ed25519_verify(ret_admin32, ifab_buf_as_view(&bytes), sig64))", "rotation")
without("log-key-origin", FOLLOW, "if (!ifab_view_equal(ret_rotation->origin, self->origin))", "verify_rotation")
change("log-key-size", FOLLOW, "ret_rotation->size != index || ", "", "verify_rotation")
change("log-key-root", FOLLOW, " || memcmp(ret_rotation->root32, root32, 32) != 0)", ")", "verify_rotation")
without("log-key-in-force", FOLLOW, "if (r->some && memcmp(r->keys[r->count], ret_rotation->from32, 32) != 0)", "verify_rotation")
without("log-key-used-again", FOLLOW, "if (r->some && key_was_used(r, ret_rotation->to32))", "verify_rotation")
without("log-key-admin", FOLLOW, "if (!asked_by_admin(self, admin32, ifab_verify__text(entry, \"actor\")))", "verify_rotation")
change("log-key-admin-role", FOLLOW, "talent != NULL && talent->admin && i <", "talent != NULL && i <", "verify_rotation")
change("log-key-admin-revoked", FOLLOW, "return !key->revoked && self->time", "return self->time", "verify_rotation")
without("log-key-signs-now", FOLLOW, "if (memcmp(r->keys[r->count], own32, 32) != 0)", "verify_rotation")
change("log-key-followed-unasked", FOLLOW, "report->trusted = follow;", "report->trusted = true;", "verify_rotation")
without("log-key-older-checkpoint", "src/client/verify_head.c",
        "if (head->reads_keys) { /* whose signature", "verify_rotation")
without("log-key-step-act-words", STEP, "if (command->act->text.size == 0)", "fabric_log_key")
without("log-key-step-used", STEP, "if (used_before(self, to32) || memcmp(from32, to32, 32) == 0)", "fabric_log_key")
without("log-key-step-in-force", STEP,
        "if (self->log_key_count > 0 && memcmp(self->log_keys[self->log_key_count - 1].to32, from32, 32) != 0)", "fabric_log_key")
change("log-key-load-order", STEP, "(last == NULL || (last->index < rotation.size && memcmp(last->to32, rotation.from32, 32) == 0))", "true",
       "fabric_log_key")
change("log-key-trust-root", STEP, "ifab_sha256_2(ifab_view_of(before32, 32), bytes, self->log_keys_root32);", "(void)before32;", "fabric_log_key")
without("log-key-tag-key", "src/shell/loop/log_key.c", "if (!ifab_equal_ct(mac32, packed.data + 16, 32))", "start")
change("log-key-next-head", "src/shell/loop/log_key.c", "if (!ifab_equal_ct(mac32, head->mac32, 32))\n        return false;", "", "start")
change("note-signature", "src/crypto/note.c", " || !ifab_ed25519_verify(pubkey32, text, line.bytes + 4))", ")", "note")

# ---- store and clock ----
without("store-memory-conflict", "src/port/store/store_memory.c", "if (c->first != s->row_count)", "store_conformance")
without("store-sqlite-conflict", "src/port/store/store_sqlite.c", "if (size != first)", "store_conformance")
without("store-poisoned", "src/port/store/store_sqlite.c", "if (atomic_load(&self->shared->poisoned))", "store_sqlite")
change("store-poison", "src/port/store/store_sqlite.c", "atomic_store(&self->shared->poisoned, true);", "(void)self;", "store_sqlite")
change("store-poison-before-commit", "src/port/store/store_sqlite.c",
       "if (status == IFAB_IO || status == IFAB_CORRUPT || status == IFAB_INTERNAL)",
       "if (status == IFAB_CORRUPT || status == IFAB_INTERNAL)", "store_sqlite")
without("store-reader-writes", "src/port/store/store_sqlite.c", "if (!self->writer)", "store_conformance store_sqlite")
change("clock-jump-ahead", "src/shell/loop/clock.c", "bool jump = off > JUMP || off < -JUMP;", "bool jump = off < -JUMP;", "clock")
change("clock-jump-back", "src/shell/loop/clock.c", "bool jump = off > JUMP || off < -JUMP;", "bool jump = off > JUMP;", "clock")
change("clock-behind-what-was-written", "src/shell/loop/clock.c", "if (stored_wall - real > JUMP || ", "if (", "clock")

# ---- the daemon's own log ----
change("log-secret-name", "src/shell/log/log.c", "if (ifab_redact_secret_name(ifab_view_str(field->name))) {", "if (false) {", "log")
change("log-journal-stream", "src/shell/log/journal.c", "text != NULL && strcmp(text, own) == 0", "text != NULL", "log")
change("log-journal-line-break", "src/shell/log/journal.c", "if (value.size == 0 || memchr(value.data, '\\n', value.size) == NULL) {", "if (true) {", "log")

# ---- MCP: what a model's host may ask for, and what a model is told ----
MCP_READ, MCP_TOOLS, MCP_REPLY = (f"src/programs/ifctl/mcp_{name}.c" for name in ("read", "tools", "reply"))
without("mcp-id", MCP_READ, "if (id != NULL && !token(r, id, &r->ret->id))", "mcp")
without("mcp-handshake", MCP_READ, "if (!r->state->initialized)\n", "mcp")
without("mcp-ready", MCP_READ, "if (!r->state->ready)", "mcp")
without("mcp-version", MCP_READ, "if (!ifab_view_is(r->ret->requested, MCP_MODERN))", "mcp")
without("mcp-unknown-member", MCP_READ, 'if ((unknown = stranger(message, " jsonrpc id method params ")) != NULL)', "mcp")
without("mcp-unknown-parameter", MCP_READ, "if ((unknown = stranger(parameters, m->parameters)) != NULL)", "mcp")
without("mcp-arguments", MCP_TOOLS,
        "if (ifab_schema_check(mcp_tools[tool].schema, arguments, IFAB_CODE_INVALID_PARAMS, ret_refusal) != IFAB_CODE_NONE)", "mcp")
change("mcp-nul", MCP_TOOLS, "memchr(text.data, 0, text.size) != NULL ? NULL : ", "", "mcp")
without("mcp-unknown-decision", MCP_REPLY, "if (!is_decision(decision) || id.size == 0)", "mcp")
change("mcp-foreign-text", MCP_REPLY, "ifab_json_put_string(buf, ifab_buf_as_view(&result->text));",
       "ifab_buf_view(buf, ifab_buf_as_view(&result->text));", "mcp")

ACCESS, ACCESS_ACT, STEP_ACCESS = "src/core/talent/access.c", "src/core/talent/access_act.c", "src/fabric/access.c"
change("token-revoked", ACCESS_ACT, "token->revoked_at == IFAB_NEVER && wall < token->expires", "wall < token->expires", "access")
change("token-ended", ACCESS_ACT, "token->revoked_at == IFAB_NEVER && wall < token->expires", "token->revoked_at == IFAB_NEVER", "access")
change("token-talent-removed", ACCESS_ACT, "talent->removed_at == IFAB_NEVER && ifab_view_equal(talent->name", "ifab_view_equal(talent->name", "access")
change("token-of-another", ACCESS_ACT, " && ifab_view_equal(talent->name, token->talent)", "", "access")
change("token-role", ACCESS_ACT, "token < talent ? token : talent", "token", "access")
without("token-bound", ACCESS_ACT, "if (tokens_of(self, request->talent, request->wall, false) >= IFAB_TOKEN_PER_TALENT)", "access")
without("access-record-bounds", ACCESS, "if (item->role == IFAB_ROLE_NONE || life <= 0 || life > most)", "access fabric_access")
without("access-follows", ACCESS, "if (!fits)", "access")
change("token-for-above", STEP_ACCESS, "(act.talent != NULL && !agent) || more", "more", "fabric_access")
change("token-role-above", STEP_ACCESS, "(act.talent != NULL && !agent) || more", "(act.talent != NULL && !agent)", "fabric_access")
change("invite-role-above", STEP_ACCESS, "act.need_admin = request->role != IFAB_ROLE_AGENT;", "act.need_admin = false;", "fabric_access")
change("invite-ended", STEP_ACCESS, "invite == NULL || invite->expires <= o->now.wall", "invite == NULL", "fabric_access")
change("invite-once", STEP_ACCESS, "    ifab_fabric__change(o, IFAB_KIND_INVITE, invite->number, NULL, 0); /* in one", "    /* in one", "fabric_access")
change("enroll-proof", "src/shell/admit/enroll.c", "ifab_ed25519_verify(pubkey32, ifab_buf_as_view(&bytes), sig)", "true", "fabric_access")
change("access-in-trust-root", "src/fabric/fabric.c", "if (ifab_accesses_next(self->accesses, 0) == NULL)", "if (true)", "fabric_access")
without("second-admin", "src/fabric/admin.c", "if (ifab_view_equal_nocase(one->owner, other->owner))", "fabric_admin")
without("second-admin-role", "src/fabric/admin.c", "if (other->role != IFAB_ROLE_ADMIN)", "fabric_admin")
without("secret-kept", "src/fabric/idempotency.c", "if (kept->http == KEPT_SECRET)", "fabric_access")

# ---- money ----
PLAN, MONEY_TABLE, MONEY_PACK, BREAKER = (f"src/core/governor/{name}.c" for name in ("plan", "table", "pack", "breaker"))
MATCH, PRICES, TOKENS, BUDGET = (f"src/core/governor/{name}.c" for name in ("match", "prices", "tokens", "budget"))
STEP_MONEY, STEP_MONEY_ACT = "src/fabric/money.c", "src/fabric/money_act.c"
change("money-room", PLAN, "paused || amount > ifab_budget_left(limit, &line->next)", "paused", "money_model fabric_money")
change("money-paused", PLAN, "!urgent && reached(spent, limit, IFAB_LEVEL_PAUSE)", "false && reached(spent, limit, IFAB_LEVEL_PAUSE)", "money_model fabric_money")
change("money-urgent", PLAN, "!urgent && reached(spent, limit, IFAB_LEVEL_PAUSE)", "reached(spent, limit, IFAB_LEVEL_PAUSE)", "money_model fabric_money")
change("money-all-or-nothing", PLAN, "plan->count = 0; /* all or nothing */", "", "money_model")
change("money-reserved-counts", PLAN, "uint64_t taken = ifab_budget_spent(state) + state->reserved;", "uint64_t taken = ifab_budget_spent(state);", "money_model")
change("money-overrun-blocks", PLAN, "uint64_t sum = state->settled + state->overrun;", "uint64_t sum = state->settled;", "money_model fabric_money")
change("money-admit-paused", PLAN, "if (paused || ifab_budget_left(limit, &others) == 0)", "if (ifab_budget_left(limit, &others) == 0)", "money_model fabric_purse")
change("money-admit-left", PLAN, "if (paused || ifab_budget_left(limit, &others) == 0)", "if (paused)", "money_model fabric_purse")
change("money-admit-own", PLAN, "others.reserved -= holds < others.reserved ? holds : others.reserved;", ";", "fabric_purse")
change("money-admit-units", PLAN, "if (amounts == NULL || amounts[n->budget.unit] > 0)", "if (amounts == NULL ? n->budget.unit == IFAB_UNIT_USD_MICRO : amounts[n->budget.unit] > 0)",
       "money_model fabric_purse")
change("poison-fails-the-swarm", "src/fabric/task_money.c", "    case IFAB_TASK_FAIL:\n        return IFAB_VERDICT_FAILED;", "    case IFAB_TASK_FAIL:\n    case IFAB_TASK_POISON:\n        return IFAB_VERDICT_FAILED;",
       "fabric_purse")
change("cost-can-be-written", STEP_MONEY_ACT, "    enum ifab_code code = ifab_money__amounts(bill, r);\n", "    enum ifab_code code = IFAB_CODE_NONE;\n", "fabric_purse")
change("claim-admit", "src/fabric/task_money.c", "        code = admit(self, o, task, &hold);\n", "        code = IFAB_CODE_NONE;\n", "fabric_purse")
change("claim-admit-talent", "src/fabric/task_money.c", "[IFAB_SUBJECT_TALENT] = hold->bill.talent, ", "", "fabric_purse")
change("claim-admit-trace", "src/fabric/task_money.c", ", [IFAB_SUBJECT_TRACE] = ifab_view_str(trace)}", "}", "fabric_purse")
change("help-next-best", "src/fabric/rescue.c", "        asked->candidates[helpers[bad].candidate].budget_spent = true;\n", "        return 0;\n", "fabric_purse")
change("help-all-or-none", "src/fabric/rescue.c", "        if (bad == found)\n", "        if (bad == found || bad > 0)\n", "fabric_purse")
change("help-queue-room", "src/fabric/rescue.c", "ifab_task_admit(self->coordinator, &t, &shed, NULL) != IFAB_CODE_NONE ||\n            shed.n != 0)", "false)", "fabric_purse")
without("help-of-strangers", "src/fabric/rescue.c", "if (stranger(self, asked, blocked, swarm) && ifab_task_stranger(self->coordinator, &t, &shed, NULL) != IFAB_CODE_NONE)", "fabric_purse")
change("help-share", "src/fabric/task_money.c", "(uint64_t)ret_budget[i] > most)", "false)", "fabric_purse")
change("help-of-nothing", "src/fabric/task_money.c", "if (blocked->budget[i] > 0 && help->budget[i] == 0)", "if (false)", "fabric_purse")
change("help-behind-help", "src/fabric/task_money.c", "if (behind->plan->lines[i].budget->number == budget) {", "if (false) {", "fabric_purse")
change("help-admit", "src/fabric/task_money.c", "look_behind, &behind, next, NULL) != IFAB_CODE_NONE)\n        return false;\n    next->count", "look_behind, &behind, next, NULL) == IFAB_CODE_SYSTEM_ERROR)\n        return false;\n    next->count", "fabric_purse")
change("money-saturates", PLAN, "line->next.overrun > IFAB_MONEY_MAX - line->overrun ? IFAB_MONEY_MAX : ", "", "money_model")
change("money-period-again", PLAN, "if (start <= stored->period_start)", "if (start == stored->period_start)", "money_model fabric_money")
change("money-old-period", PLAN, "held != NULL && held->period_start == line->next.period_start", "held != NULL", "money_model fabric_money")
change("money-within", PLAN, "spend_more(line, spent - within);", "spend_more(line, spent);", "money_model fabric_money")
change("money-levels-once", PLAN, "line->reached = bits & ~line->next.levels;", "line->reached = bits;", "money_model fabric_money")
change("money-level-bound", PLAN, "return spent * 100 >= limit *", "return spent * 100 > limit *", "money_model fabric_money")
without("money-amount-max", PLAN, "if (spend->amounts[i] > IFAB_MONEY_MAX)", "governor")
without("money-nothing-asked", PLAN, "if (!some)", "money_model fabric_money")
without("money-sum-at-start", MONEY_TABLE, "if (!good)\n        return ifab_fail(err, IFAB_CORRUPT, \"budget \"", "fabric_money")
without("money-budget-follows", MONEY_TABLE, "if (memory && !fits)", "governor")
change("money-state-range", MONEY_PACK, " || s.reserved > IFAB_MONEY_MAX - s.settled)", ")", "governor")
change("money-line-twice", MONEY_PACK, " && ret->lines[i].budget > (i == 0 ? 0 : ret->lines[i - 1].budget)", "", "governor")
without("budget-changed-thing", BUDGET, "if (!same)", "fabric_money")
without("budget-same-thing", BUDGET, "if (other != NULL)", "fabric_money")
without("budget-subject-name", BUDGET, "if (!ifab_subject_valid(request->subject, request->name))", "fabric_money")
without("budget-limit-max", BUDGET, "if (request->limit > IFAB_MONEY_MAX)", "fabric_money")
change("breaker-in-a-row", BREAKER, "            self->failures = 0;\n        return false;", "            (void)0;\n        return false;", "governor")
change("service-error-budget", BREAKER, "failed += self->good[i] ? 0 : 1000;", "failed += 1000;", "governor")
change("service-error-budget-of-the-window", BREAKER, "allowed += slo", "allowed = slo", "governor")
change("breaker-late-answer", BREAKER, "        if (probed)\n            ifab_breaker_reset(self);", "        if (self->state != IFAB_BREAKER_CLOSED)\n            ifab_breaker_reset(self);", "governor")
without("breaker-caller", BREAKER, "if (verdict == IFAB_VERDICT_CALLER)", "governor")
without("breaker-swarm-waits", BREAKER, "if (self->kind == IFAB_BREAKER_SWARM)", "governor")
change("breaker-one-probe", BREAKER, "else if (self->probe != 0)", "else if (false)", "governor")
change("tokens-burst", TOKENS, "if (made >= missing) {", "if (false) {", "governor")
change("match-coverage", MATCH, "if (m.misfit == IFAB_MISFIT_NONE && !enough(m.cover_count, asked->count))", "if (false)", "governor")
without("match-asker", MATCH, "if (q->not_this.size > 0 && ifab_view_equal(q->not_this, c->id))", "governor")
without("match-breaker", MATCH, "if (c->breaker_open)", "governor")
without("match-budget", MATCH, "if (c->budget_spent)", "governor")
without("match-busy", MATCH, "if (c->in_hand >= c->at_most)", "governor")
change("match-nothing-needed", MATCH, "if (question->need_count == 0)", "if (false)", "governor")
change("price-rounds-up", PRICES, "(tokens + MTOK - 1) / MTOK", "tokens / MTOK", "governor")
change("price-dated", PRICES, " && self->rows[i].from <= wall)", ")", "governor fabric_money")
without("price-too-dear", PRICES, "if (sum > IFAB_MONEY_MAX)", "governor")
without("price-spelling", PRICES, "if (!same)\n        return ifab_fail(err, IFAB_CORRUPT, \"price table: not in", "governor fabric_money")
change("budget-needs-admin", STEP_MONEY_ACT, "ifab_fabric__authority(self, command, o, true, 0, actor, &why)", "ifab_fabric__authority(self, command, o, false, 0, actor, &why)",
       "fabric_money")
without("cost-of-another", STEP_MONEY_ACT, "if (request->talent.size > 0 && !ifab_view_equal(request->talent, own->name))", "fabric_money")
without("cost-of-a-swarm", STEP_MONEY_ACT, "if (request->swarm.size > 0 && (swarm == NULL || !ifab_swarm_has_member(swarm, own->name)))", "fabric_money")
change("cost-of-a-swarm-of-others", STEP_MONEY_ACT, "(swarm == NULL || !ifab_swarm_has_member(swarm, own->name))", "swarm == NULL", "fabric_swarm")
without("cost-of-a-reader", STEP_MONEY_ACT, "if (p->role != IFAB_ROLE_OPERATOR && p->role != IFAB_ROLE_ADMIN)", "fabric_money")
without("reservation-of-another", STEP_MONEY_ACT, "if (s->talent != 0 && ret->owner != s->talent)", "fabric_money")
change("cost-rate-by-any-word", STEP_MONEY_ACT, "bucket_of(self, o, s->bill.capability);", "(bucket_of(self, o, s->bill.capability), s->bill.capability);", "fabric_money")
change("cost-rate", STEP_MONEY_ACT, "    if (code == IFAB_CODE_NONE)\n        code = take_token(self, o, &s);\n", "", "fabric_money")
change("settled-twice", STEP_MONEY, "ifab_fabric__change(o, IFAB_KIND_RESERVATION, number, NULL, 0);", "(void)number;", "fabric_money")
without("reservations-bound", STEP_MONEY, "if (owner != 0 && ifab_money_reservations_of(self->money, owner) >= IFAB_RESERVATION_PER_OWNER)", "fabric_money")
change("money-in-trust-root", STEP_MONEY, "if (ifab_money_budget_next(self->money, 0) == NULL && prices.size == 0)", "if (true)", "fabric_money")
change("money-entry-time", STEP_MONEY, "{ return o->now.wall > o->last_time ? o->now.wall : o->last_time; }", "{ return o->now.wall; }", "fabric_money")
change("money-sees-its-step", STEP_MONEY, "return ifab_fabric__changed(user, IFAB_KIND_BUDGET_STATE, budget, &bytes) && ", "(void)bytes; (void)user; (void)budget; (void)ret_state; return false && ", "fabric_money")
change("money-restored", "src/fabric/life.c", "if (!ifab_fabric__restore_money(self, command, o))", "if (false)", "fabric_money")
# ---- keys of client certificates, and who is asking ----
ACTS, TABLE, RECORD = (f"src/core/talent/{name}.c" for name in ("acts", "table", "record"))
STEP_TALENT, WHO = "src/fabric/talent_act.c", "src/shell/loop/who.c"
change("tls-key-revoked", TABLE, "key->revoked_at == IFAB_NEVER && key->not_before <= wall", "key->not_before <= wall", "talent who")
change("tls-key-ended", TABLE, "key->not_before <= wall &&\n           wall < key->not_after;", "key->not_before <= wall;", "talent who")
change("tls-key-not-yet", TABLE, " && key->not_before <= wall", "", "talent")
change("tls-key-talent-removed", TABLE, "key != NULL && talent->removed_at == IFAB_NEVER && ", "key != NULL && ", "talent")
change("tls-key-that-signs", TABLE, " || (place & 0xff) == IFAB_TALENT__SPKI_SIGNS)", ")", "talent who")
change("tls-key-of-another-loaded", TABLE, "if (ifab_talents__spki_holder(self, talent->tls_keys[i].spki32) != NULL)", "if (false)", "talent")
change("key-that-is-a-tls-key-loaded", TABLE, "if (ifab_talents__spki_holder(self, spki32) != NULL)", "if (false)", "talent")
change("tls-keys-fewer", TABLE, "        next->tls_key_count < present->tls_key_count ||\n", "", "talent")
change("key-period-longer", TABLE, " && next_after <= after", "", "talent")
change("key-revocation-undone", TABLE, " && (revoked == IFAB_NEVER || next_revoked == revoked)", "", "talent")
change("tls-key-in-anothers-place", TABLE, "memcmp(was->spki32, is->spki32, 32) != 0 ||", "", "talent")
without("tls-key-twice", RECORD, "if (memcmp(spki32, talent->tls_keys[j].spki32, 32) == 0)", "talent")
without("tls-key-of-two-uses", RECORD, "if (memcmp(spki32, signs[j], 32) == 0)", "talent")
without("tls-key-of-a-tombstone", RECORD, "if (talent->tls_keys[i].revoked_at == IFAB_NEVER)", "talent")
without("tls-key-bound", ACTS, "if (draft.talent.tls_key_count >= IFAB_TALENT_TLS_KEYS_MAX)", "talent")
without("tls-key-past-end", ACTS, "if (end != IFAB_NEVER && (end <= request->wall || end > IFAB_TALENT__WALL_MAX))", "talent")
without("tls-key-none", ACTS, "if (request->spki32 == NULL)", "talent")
without("tls-key-already-revoked", ACTS, "if (key->revoked_at != IFAB_NEVER || (spki32 != NULL && memcmp(key->spki32, spki32, 32) != 0))", "talent")
change("tls-keys-of-a-removed-talent", ACTS, "    (void)revoke_tls_keys(&draft, NULL, request->wall);\n", "", "talent who")
change("tls-key-for-above", STEP_TALENT, "(tls && talent->role == IFAB_ROLE_AGENT)", "tls", "fabric_admin")
change("tls-key-by-uid", STEP_TALENT, "IFAB_ACT_ROTATE || command->u.talent.act == IFAB_ACT_TLS_KEY)\n        return true;", "IFAB_ACT_ROTATE)\n        return true;", "fabric_admin")
change("tls-key-is-no-admins-last", STEP_TALENT, " && request->spki32 == NULL;", ";", "fabric_admin")
without("who-certificate", WHO, "if (!ifab_tls_key_valid(talent, key, clock_now(&node->clock, NULL).wall))", "who")
without("who-key-refused", WHO, "if (raw->peer->has_key && !of_key(node, raw->peer, ret))", "who")
change("who-token-of-another", WHO, "ret->has_key && ret->principal.talent != shown ? refused_both : NULL", "NULL", "who")
change("who-two-headers", WHO, "given != 1 || ", "", "who")
change("who-admin-by-certificate", WHO, "of_talent(&ret->principal, talent, ifab_token_role(talent->role, talent->role)); /* never an admin: that",
       "of_talent(&ret->principal, talent, talent->role); /* never an admin: that", "who")
change("who-half-a-proof", WHO, "memset(ret, 0, sizeof *ret); /* half", "/* half", "who")
change("who-uncharged", WHO, "        charge_take(charge);\n", "", "who")
without("who-charged-out", WHO, "if (charge_empty(charge))", "who")
change("who-falls-back", WHO, "if (given > 0 || raw->peer->has_key)", "if (raw->peer->has_key)", "who")
change("who-ends-with-the-token", WHO, "ret->ends = token->expires < ret->ends ? token->expires : ret->ends;", "", "who")
change("who-stays-without-certificate", WHO, " != talent || !ifab_tls_key_valid(talent, key, wall))", " != talent)", "who")
change("who-stays-by-anothers", WHO, "r->key32, &key) != talent || ", "r->key32, &key) == NULL || ", "who")
without("who-stays-without-token", WHO, "if (!ifab_token_valid(token, talent, wall))\n            return false;", "who")
without("who-stays-removed", WHO, "if (talent == NULL || talent->removed_at != IFAB_NEVER)\n        return false;", "who")
without("who-column", WHO, "if ((route->roles & who->roles) != who->roles)", "who")
without("who-nobody", WHO, "if (who->roles == 0)", "who")
change("who-reads-log", WHO, "return (ROLE_BIT(principal->role) & ROLES_AUDIT) != 0;", "return principal->role != IFAB_ROLE_NONE;", "who")

# ---- tasks: INV-10, INV-11 ----
ACT, TASK = "src/core/coordinator/task_act.c", "src/fabric/task.c"
change("task-fence", ACT, "if (ifab_task_owned(task->state) && act->fence.n == task->fence.n)", "if (ifab_task_owned(task->state))", "fabric_task coordinator_model")
change("task-fence-of-ended-claim", ACT, "if (ifab_task_owned(task->state) && act->fence.n == task->fence.n)", "if (act->fence.n == task->fence.n)", "fabric_task coordinator_model")
without("task-owned", ACT, "if (ifab_task_owned(task->state))\n        return ifab_refuse", "fabric_task coordinator_model")
without("task-not-ready", ACT, "if (!ifab_task_ready(task))", "fabric_task coordinator_model")
change("task-last-attempt", ACT, "(event == IFAB_TASK_FAIL || event == IFAB_TASK_EXPIRE) && last)", "false)", "fabric_task coordinator_model")
SWARM = "src/fabric/swarm.c"
without("task-member", SWARM, "if ((p->kind == IFAB_PRINCIPAL_UID && ifab_fabric__operates(p)) || (talent != NULL && ifab_swarm_has_member(swarm, talent->name)))\n        return IFAB_CODE_NONE;",
        "fabric_task")
change("task-operator-talent", SWARM, "(p->kind == IFAB_PRINCIPAL_UID && ifab_fabric__operates(p))", "ifab_fabric__operates(p)", "fabric_task")
change("task-holder-is-member", TASK, "            return ifab_fabric__may_act_for(self, command, owner, r);\n", "            return IFAB_CODE_NONE;\n", "fabric_task")
change("task-maker", TASK, "if (ifab_fabric__operates(command->principal) || (who.talent", "if (true || (who.talent", "fabric_task")
without("task-role", SWARM, "if (p != NULL && p->kind != IFAB_PRINCIPAL_NONE && (ifab_fabric__operates(p) || p->role == IFAB_ROLE_AGENT))", "fabric_task")
change("task-id-closed", TASK, " || ifab_closed_task_find(self->coordinator, ifab_view_str(t->id)) != NULL)\n        return ifab_refuse(r, IFAB_CODE_CONFLICT", ")\n        return ifab_refuse(r, IFAB_CODE_CONFLICT", "fabric_task")
without("task-why", TASK, "if (code == IFAB_CODE_NONE && command->why.size == 0)", "fabric_task")
without("task-concurrency", TASK, "if (!ifab_task_owned(task->state) && ifab_swarm_in_flight(self->coordinator, swarm->number) >= swarm->concurrency)", "fabric_task")
change("task-concurrency-next", TASK, "full = ifab_swarm_in_flight(self->coordinator, swarm->number) >= swarm->concurrency;", "full = false;", "fabric_task")
change("task-dear-one-stops-all", TASK, "if (code != IFAB_CODE_BUDGET_EXCEEDED)\n            return code;", "if (code != IFAB_CODE_NONE || true)\n            return code;", "fabric_task")
change("lack-told-again", TASK, "stopped(code) && ifab_fabric__lack_told(self, o)", "false", "fabric_lacks")
change("lack-counted", "src/fabric/admin.c", "    refuse_bare(self, o, code);\n    count_it(o, code, talent == 0", "    refuse_bare(self, o, code);\n    (void)(talent == 0", "fabric_lacks")
change("lack-told-unsaid", TASK, "if (stopped(code) && o->entry_count > 0)", "if (stopped(code))", "fabric_lacks")
change("lack-ends-with-a-claim", TASK, "    ifab_fabric__lack_over(self, o, who_is(command), swarm->number);\n", "", "fabric_lacks")
change("lack-of-the-first", TASK, "        o->lacks = lacked;\n", "", "fabric_lacks")
change("lack-of-a-breaker", "src/fabric/task_money.c", "lacks(o, breaker->number, breaker->index, 0);", "lacks(o, breaker->number, 0, 0);", "fabric_lacks")
change("lack-of-a-budget", "src/fabric/lacks.c", "set[i].of == l->of && ", "", "fabric_lacks")
change("lack-limit", "src/fabric/lacks.c", " && set[i].version == l->version", "", "fabric_lacks")
change("lack-period", "src/fabric/lacks.c", " && set[i].since == l->since", "", "fabric_lacks")
change("lack-who", "src/fabric/lacks.c", " && a->uid == b->uid", "", "fabric_lacks")
change("lack-oldest", "src/fabric/lacks.c", " || set[i].index < set[best].index", " || set[i].index > set[best].index", "fabric_lacks")
change("task-trace-stops-its-kind", TASK, "ifab_fabric__trace_has_purse(self, task), &passed", "false, &passed", "fabric_purse")
change("task-trace-picked-again", "src/core/coordinator/queue.c", "first_in(self, &by_age, best.lane->root, task_passed, passed))->task", "best.lane->root)->task", "coordinator fabric_purse")
change("task-traces-bound", "src/core/coordinator/queue.c", "if (of_trace && passed->trace_count < IFAB_TASK_PASSED_TRACES)", "if (of_trace && passed->trace_count < IFAB_TASK_PASSED_TRACES - 1)", "coordinator")
change("task-room-put", "src/core/coordinator/tasks.c", "const struct ifab_task *task)\n{\n    self->reserved = 0;", "const struct ifab_task *task)\n{", "coordinator")
change("task-room-closed", "src/core/coordinator/closed.c", "    self->reserved = 0;\n", "", "coordinator")
change("task-skills", "src/core/coordinator/tasks.c", " && ifab_names_cover(skills, &needs);", ";", "fabric_task")
WAITS = "src/core/coordinator/waits.c"
change("circle-hand-free", WAITS, "if (swarm->in_flight < swarm->swarm.concurrency || ", "if (", "coordinator_waits")
change("circle-hand-at-work", WAITS, " || swarm->in_flight > s->vertices[s->tasks + i].left)", ")", "coordinator_waits")
without("circle-goes-on-once", WAITS, "if (s->vertices[at].goes_on)\n        return;", "coordinator_waits")
change("circle-owner-goes-on", WAITS, "uint32_t owner = at < s->tasks ? vertex_of_swarm(s, task_of(s, at)->owner.n) : NOBODY;", "uint32_t owner = NOBODY;", "coordinator_waits")
change("circle-any-helper-goes-on", WAITS, "if (--s->vertices[edge / EDGES].left == 0)", "if (true)", "coordinator_waits")
change("circle-of-one", WAITS, "(circle || size > 1)", "(size > 1)", "coordinator_waits")
change("circle-on-stack", WAITS, "s->vertices[to].on_stack && s->vertices[to].index < vertex->low", "s->vertices[to].index < vertex->low", "coordinator_waits")
change("circle-low-of-the-walk", WAITS, "if (at != NOBODY && vertex->low < s->vertices[at].low)", "if (false)", "coordinator_waits")
change("circle-of-what-goes-on", WAITS, " && (to >= s->tasks || !s->vertices[to].goes_on))", ")", "coordinator_waits")
change("circle-least-first", WAITS, "i > 0 && s->victims[i - 1].n > victim.n", "false", "coordinator_waits")
change("circle-priority", WAITS, "a->priority != b->priority ? a->priority > b->priority : ", "", "coordinator_waits")
without("circle-memory", WAITS, "if (!take_memory(&s, arena))", "coordinator_waits")
change("circle-again", "src/fabric/task_due.c", "IFAB_COUNT(victims), &count) && count == 0;", "IFAB_COUNT(victims), &count);", "fabric_task")
change("task-seventy-percent", "src/core/coordinator/names.c", ">= 7U * need->count", ">= 6U * need->count", "coordinator")
change("task-ends-with-its-reservation-held", "src/fabric/task_due.c", "    if (ifab_task_owned(task->state) || task->reservation != 0)\n", "    if (false)\n", "fabric_task")
change("task-unsettled", TASK, "command->u.task_act.has_cost ? &spent : NULL);", "NULL);", "fabric_task")
change("task-unpaid", TASK, "ifab_task_ready(task) ? ifab_fabric__task_hold(", "false ? ifab_fabric__task_hold(", "fabric_task")
change("task-breaker", "src/fabric/task_money.c", "    enum ifab_code code = ifab_fabric__breaker_admit(self, o, IFAB_BREAKER_SWARM, swarm->id);\n", "    enum ifab_code code = IFAB_CODE_NONE;\n", "fabric_task fabric_purse")
change("help-stolen", "src/core/coordinator/queue.c", "account->ready > IFAB_STEAL_ABOVE && !lane->help)", "account->ready > IFAB_STEAL_ABOVE)", "coordinator_model fabric_purse")
change("help-lane", "src/core/coordinator/queue.c", ".priority = task->priority, .help = task->parent != 0};", ".priority = task->priority};", "coordinator_model fabric_purse")
change("swarm-in-trust-root", "src/fabric/fabric.c", "if (ifab_swarm_count(self->coordinator) > 0)", "if (false)", "fabric_task")
change("heartbeat-of-others", SWARM, "        code = ifab_fabric__may_act_for(self, command, swarm, r);\n", "        code = IFAB_CODE_NONE;\n", "fabric_swarm")
change("heartbeat-at-registration", SWARM, "    if (new)\n        ifab_fabric__hear(self, o, number);", "    ifab_fabric__hear(self, o, number);", "fabric_swarm")
change("swarm-away", "src/fabric/rescue.c", "IFAB_SWARM_OFFLINE;\n", "IFAB_SWARM_STATE_COUNT;\n", "fabric_swarm")
change("swarm-grace", "src/fabric/task_due.c", "ifab_swarm_hear(self->coordinator, swarm->number, now.run);", ";", "fabric_swarm")
change("give-back-is-no-heartbeat", TASK, " && what.event != IFAB_TASK_GIVE_BACK)\n        ifab_fabric__hear", ")\n        ifab_fabric__hear", "fabric_swarm")
change("queue-that-rejects-waits", TASK, " && ifab_swarm_at(self->coordinator, t.queue)->queue_policy == IFAB_QUEUE_BLOCK)", ")", "fabric_swarm")
change("queue-waits-unasked", TASK, "code == IFAB_CODE_QUEUE_FULL && command->u.task.waits && ", "code == IFAB_CODE_QUEUE_FULL && ", "fabric_swarm")
change("help-that-is-none", "src/fabric/task_money.c", "if (held->parent == 0 || ", "if (", "fabric_swarm")
change("help-unsaid", "src/fabric/task_money.c", "    if (spent != NULL) /* as its entry says; what nobody said stands in none, and counts nowhere */\n        more.cost = spent->usd_micro;\n",
       "    more.cost = spent != NULL ? spent->usd_micro : held->budget[0] > 0 ? (uint64_t)held->budget[0] : 0;\n", "fabric_swarm")
change("cost-beyond-what-was-held", STEP_MONEY, "        ret->over_reserved = ret->over_reserved || ret->beyond[i] > 0;\n", "", "fabric_purse")
change("cost-of-a-task-of-nothing", STEP_MONEY, "bill->most[i] < 0 ? IFAB_MONEY_MAX", "bill->most[i] <= 0 ? IFAB_MONEY_MAX", "fabric_purse")
change("task-says-what-it-passed", TASK, "    ifab_buf_view(b, o->passed);\n", "", "fabric_purse")
change("help-wasted", "src/fabric/task_money.c", "event == IFAB_TASK_COMPLETE ? 0 : more.cost", "0", "fabric_swarm")
change("help-wasted-more-than-all", "src/core/coordinator/help.c", " || h.wasted > h.cost)", ")", "fabric_swarm")
without("swarm-members-known", SWARM, "if (talent == NULL || talent->removed_at != IFAB_NEVER)", "fabric_task")
change("help-outlives-block", TASK, "    else if (next.state != IFAB_TASK_BLOCKED)\n        ifab_fabric__end_help(self, o, task);\n", "", "fabric_task")
change("help-for-oneself", "src/fabric/rescue.c", ".not_this = owner != NULL ? owner->id : IFAB_VIEW(\"\")", ".not_this = IFAB_VIEW(\"\")", "fabric_task")
TASK_ACT, STEP_TASK, STATES = ACT, TASK, "src/core/coordinator/task_state.c"
change("task-fence-grows", STEP_TASK, "{o->next_index + self->fence_offset}", "{task->fence.n == 0 ? o->next_index : task->fence.n}", "task_domain")
change("task-hold-kept", "src/core/governor/plan.c", "line->next.reserved -= was < line->next.reserved ? was : line->next.reserved;", "(void)was;", "task_domain")
change("task-dear-one-stops-the-others", TASK, "if (code != IFAB_CODE_BUDGET_EXCEEDED)\n            return code;", "if (true)\n            return code;", "task_domain")
change("task-let-go", TASK_ACT, "    next->owner.n = 0;\n", "", "task_domain")
change("task-running-expires", STATES, "[IFAB_TASK_EXPIRE] = {false, {[C] = Q, [R] = Q,", "[IFAB_TASK_EXPIRE] = {false, {[C] = Q,", "task_domain")
change("task-given-back-late", STATES, "[IFAB_TASK_GIVE_BACK] = {true, {[C] = Q}}", "[IFAB_TASK_GIVE_BACK] = {true, {[C] = Q, [R] = Q}}", "task_domain")
change("task-same-claim", TASK_ACT, "ifab_task_owned(task->state) && task->owner.n == swarm.n && task->worker.talent == who.talent",
       "ifab_task_owned(task->state) && task->owner.n == swarm.n", "task_domain")

# ---- behind the walls: frames, limits, guest ABI, walls ----
FRAME, ENGINE, CALL, MODULE, WALLS, WORKER = ("src/shell/chassis/" + name for name in (
    "frame/read.c", "sandbox/engine.c", "sandbox/wasmtime/call.c", "sandbox/wasmtime/module.c", "sandbox/walls.c", "sandbox/worker.c"))
change("frame-of-the-other-side", FRAME, " || form.from != from)", ")", "frame")
change("frame-zero-bytes", FRAME, "    if (!zeros(&r, 3) || !form_of(", "    zeros(&r, 3);\n    if (!form_of(", "frame")
without("frame-call-id", FRAME, "if ((call != 0) != form.call)", "frame")
without("frame-bound", FRAME, "if (size > (form.large ? IFAB_FRAME_LARGE_MAX : IFAB_FRAME_SMALL_MAX))", "frame")
change("frame-rest", FRAME, "return !r->bad && r->at == r->end;", "return !r->bad;", "frame")
change("guest-import-in-plan", ENGINE, "!allowed(call->frame.export_, ask->import) || ", "", "engine")
change("guest-host-calls", ENGINE, " || *count > call->frame.host_calls_max)", ")", "engine")
change("guest-answer-length", ENGINE, " || (ret->status == IFAB_HOST_OK && !length_fits(ask, ret->bytes.size)))", ")", "engine")
without("guest-start-function", ENGINE, "if (id == SECTION_START)", "engine")
change("guest-fuel-after-deadline", ENGINE, " || ret->trap == IFAB_TRAP_DEADLINE)", ")", "worker")
change("worker-answer-to-another", WORKER, " || frame.call != self->call ||", " ||", "worker")
change("worker-frame-too-large", WORKER, "(!large && size > IFAB_FRAME_HEAD + IFAB_FRAME_SMALL_MAX)", "false", "worker")
change("walls-descriptors", WALLS, "syscall(SYS_close_range, 2U, ~0U, 0U) == 0", "true", "worker")
change("walls-rlimit-cpu", WALLS, "return limit(RLIMIT_CPU, self->cpu_seconds, (uint64_t)self->cpu_seconds + 1) && done;", "return done;", "worker")
change("walls-nofile", WALLS, "    done = limit(RLIMIT_NOFILE, 0, 0) && done;\n", "", "worker")
change("walls-namespaces", WALLS, "    return unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC |", "    return unshare(CLONE_NEWUSER | CLONE_NEWNET |", "worker")
change("walls-data", WALLS, "    done = limit(RLIMIT_DATA, data, data) && done;\n", "", "worker")
change("walls-addresses", WALLS, "    done = limit(RLIMIT_AS, addresses, addresses) && done;\n", "", "worker")
# ---- the daemon's side of the sandbox ----
ARTIFACT, CALLS, EXECUTE, POOL, SPAWN, TENANT, POOL_WORKER = (f"src/shell/chassis/pool/{name}.c" for name in ("artifact", "call", "execute", "pool", "spawn", "tenant", "worker"))
without("pool-walls", POOL_WORKER, "if (missing != 0) {", "chassis")
change("pool-frame-bound", POOL_WORKER, "if (status != IFAB_OK || size > self->in_max) {", "if (status != IFAB_OK) {", "chassis")
change("pool-engine", EXECUTE, "} else if (!ifab_chassis__engine_is(self->pool, &ready)) {", "} else if (false) {", "chassis")
change("pool-loaded-granted", EXECUTE, " || (loaded.imports & ~self->imports) != 0)", ")", "chassis")
change("pool-host-call-open", EXECUTE, " || self->host_id != 0 || frame->call", " || frame->call", "chassis")
change("pool-reads-nothing", EXECUTE, "if (self->out.size > 0)", "if (false)", "chassis")
change("pool-other-call", EXECUTE, " || frame->call != self->frame_call)", ")", "chassis")
change("pool-import-granted", EXECUTE, " || !allowed(self, args.import)) {", ") {", "chassis")
change("pool-import-in-plan", EXECUTE, "? self->imports : self->imports & plan;", "? self->imports : self->imports;", "chassis")
without("pool-host-calls", EXECUTE, "if (self->host_calls == call->request.host_calls_max) {", "chassis")
without("pool-host-calls-after-deadline", EXECUTE, "if (self->soft_passed) {\n        if (!answer", "chassis")
change("pool-result-fuel", EXECUTE, "body.fuel_used <= call->request.fuel", "true", "chassis")
change("pool-result-host-calls", EXECUTE, "body.host_calls >= self->host_calls", "true", "chassis")
change("pool-fuel-billed", EXECUTE, "whole ? call->request.fuel : body.fuel_used", "body.fuel_used", "chassis")
change("pool-recycled-after-trap", EXECUTE, "if (reuse && self->served", "if (self->served", "chassis")
change("pool-tenant", CALLS, "w->state == CHASSIS_IDLE && w->shared == call->tenant &&", "w->state == CHASSIS_IDLE &&", "chassis")
change("pool-limits-of-a-tenant", CALLS, "memcmp(w->load32, call->load32, 32) == 0", "true", "chassis")
change("pool-waiting-of-a-tenant", CALLS, " && tenant->waiting < self->options.waiting_per_tenant;", ";", "chassis")
change("pool-waiting", CALLS, "return self->waiting.count < self->options.waiting && ", "return ", "chassis")
change("pool-waiting-ends", CALLS, "    call->tenant->waiting -= list->waits;\n", "", "chassis")
change("pool-workers-of-a-tenant", CALLS, "bool full = tenant->live >= self->options.workers_per_tenant;", "bool full = false;", "chassis")
change("pool-workers", CALLS, "if (!full && self->live < self->options.workers)", "if (!full)", "chassis")
change("pool-steps-back", EXECUTE, "if (used > before && used - before > LOOK_MSEC * UINT64_C(1000000)) {", "if (false) {", "chassis")
change("pool-steps-back-by-cpu", EXECUTE, "used - before > LOOK_MSEC * UINT64_C(1000000)", "true", "chassis")
without("pool-revoked-workers", CALLS, "if (w->role == IFAB_SANDBOX_EXECUTE && meant)", "chassis")
without("pool-module-digest", POOL, "if (!ifab_equal_ct(digest32, wasm_sha256, sizeof digest32))", "chassis")
change("pool-oldest-module-first", "src/shell/chassis/pool/prepare.c", "    module->next = NULL;\n    *last = ", "    module->next = pool->modules;\n    last = &pool->modules;\n    *last = ", "chassis")
change("pool-program-of-a-group", POOL, "(S_IWGRP | S_IWOTH)", "S_IWOTH", "chassis")
change("pool-rest", CALLS, "uv_now(self->loop) >= call->tenant->rests_until && ", "", "chassis")
change("pool-rest-wakes", CALLS, "            wake = c->tenant->rests_until;", "            ;", "chassis")
change("pool-rest-forgotten", TENANT, "if (now - tenant->struck < old && !self->closing) {", "if (!self->closing) {", "chassis")
change("pool-rest-remembered", TENANT, "        tenant->refs++;\n        tenant->next_struck", "        tenant->next_struck", "chassis")
change("pool-rest-stepped-back", EXECUTE, "if (ifab_chassis__is_noisy(self->shared))", "if (false)", "chassis")
change("pool-descriptors", SPAWN, "        (failed = posix_spawn_file_actions_addclosefrom_np(&actions, 3)) == 0 &&\n", "", "chassis")
change("pool-environment", SPAWN, "&attributes, argv, envp);", "&attributes, argv, environ);", "chassis")
change("pool-signal-mask", SPAWN, " | POSIX_SPAWN_SETSIGMASK", "", "chassis")
without("artifact-mac", ARTIFACT, "if (!ifab_equal_ct(mac, expected, sizeof mac))", "artifact")
change("artifact-key-config", ARTIFACT, "    add_sized(&hash, config);\n", "    (void)config;\n", "artifact")
change("artifact-key-in-mac", ARTIFACT, "    memcpy(whole->data, key32, KEY_SIZE);\n", "    memset(whole->data, 9, KEY_SIZE);\n", "artifact")
change("artifact-link", ARTIFACT, "O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK", "O_RDONLY | O_CLOEXEC | O_NONBLOCK", "artifact")
change("artifact-directory", ARTIFACT, " || (st.st_mode & 077) != 0)", ")", "artifact")
if shutil.which("cargo") and shutil.which("clang"):  # the real engine and its guests
    change("guest-pointer", CALL, "if (at > all || size > all - at)", "if (false)", "guests")
    change("guest-pointer-wrap", CALL, "if (at > all || size > all - at)", "if (at + size > all)", "guests")
    change("guest-output-max", CALL, "    if (bytes.size > frame->output_max)\n        return stop(self", "    if (false)\n        return stop(self", "guests")
    change("guest-import-while-allocating", CALL, "    if (self->allocating)\n", "    if (false)\n", "guests")
    change("guest-memory-limit", CALL, "engine->memory_pages * PAGE, engine", "-1, engine", "guests")
    change("guest-fuel", CALL, "wasmtime_context_set_fuel(self->context, fuel)", "wasmtime_context_set_fuel(self->context, UINT64_MAX / 4)", "guests")
    change("guest-epoch", CALL, "    if (ifab_engine_due(&self->engine->base)) {\n", "    if (false) {\n", "guests")
    change("guest-import-granted", MODULE, "(granted >> i & 1) != 0 &&", "true &&", "guests")
    change("guest-import-type", MODULE, "type_is(wasm_importtype_type(import), &imports[i])) {", "true) {", "guests")
    change("guest-export-type", MODULE, " && type_is(type, &exports[k]))", ")", "guests")
    execute = "    WHEN(read, 0, 0),  WHEN(write, 0, 1), WHEN(mprotect, 2, PROT_NONE), WHEN(mprotect, 2, PROT_READ | PROT_WRITE), WHEN(madvise"
    change("walls-mprotect", WALLS, execute, execute.replace("WHEN(mprotect, 2, PROT_NONE)", "ANY(mprotect)"), "escape")
    change("walls-read-any", WALLS, execute, execute.replace("WHEN(read, 0, 0)", "ANY(read)"), "escape")
    change("walls-write-any", WALLS, execute, execute.replace("WHEN(write, 0, 1)", "ANY(write)"), "escape")
    change("walls-other-doors", WALLS, "seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)",
           "seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW)", "escape")
    change("walls-landlock", WALLS, "bool done = syscall(SYS_landlock_restrict_self, (int)fd, 0U) == 0;", "bool done = true;", "escape")
    change("walls-landlock-network", WALLS, "        {(1 << 16) - 1, 3, 3, 24},", "        {(1 << 16) - 1, 0, 3, 24},", "escape")
    change("walls-landlock-signals", WALLS, "        {(1 << 16) - 1, 3, 3, 24},", "        {(1 << 16) - 1, 3, 1, 24},", "escape")
    change("walls-network-of-its-own", WALLS, "CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC", "CLONE_NEWUSER | CLONE_NEWIPC", "escape")
    change("walls-processes", WALLS, "    done = limit(RLIMIT_NPROC, 0, 0) && done;\n", "", "escape")
    change("walls-file-size", WALLS, "    done = limit(RLIMIT_FSIZE, 0, 0) && done;\n", "", "escape")
# ---- what guests ask for ----
EXCHANGE = "src/shell/guest/exchange.c"
change("guest-key-of-an-exchange", EXCHANGE, "r->exchanges + !q->again);", "1);", "guest_exchange")
change("guest-key-of-a-repeat", EXCHANGE, "r->exchanges + !q->again);", "r->exchanges + 1);", "guest_exchange")
change("guest-unsearched-answers", "src/shell/guest/live.c", "        ifab_egress_set_blind(self->egress);\n", "", "guest_exchange")
change("egress-unsearched-answers", "src/port/egress/egress.c", "blind = self->blind;", "blind = false;", "egress")
change("guest-line-redacted-whole", "src/shell/guest/host.c", "cut(args->a, LINE_READ);", "cut(args->a, LINE_KEPT);", "guest_exchange")
change("guest-line-half-read", "src/shell/guest/host.c", "sure = !more ? clean.size : clean.size > LINE_TAIL ? clean.size - LINE_TAIL : 0;", "sure = clean.size;", "guest_exchange")
change("guest-why-redacted", "src/shell/guest/guest.c", "ifab_guest__text(ifab_view_str(result->text != NULL ? result->text : \"\"), &r->arena);", "ifab_view_str(result->text != NULL ? result->text : \"\");", "guest_begin")
change("guest-tenant-whole-digest", "src/shell/guest/guest.c", "i < sizeof r->spec->manifest.digest32; i++)", "i < 8; i++)", "guest_begin")
without("guest-rate-of-requests", EXCHANGE, "if (!within_rate(self, q->running))", "guest_exchange")
change("guest-rate-of-a-talent", EXCHANGE, "_take(self->rates, r->talent_number,", "_take(self->rates, 0,", "guest_exchange")
change("guest-key-in-a-dry-run", EXCHANGE, "if (repeatable && r->task == IFAB_GUEST_APPLY)", "if (repeatable)", "guest_exchange")

# ---- egress: who is connected to, what is sent, what comes back ----
EG, RULES = "src/port/egress/", "src/port/egress/rules/"
without("egress-user-in-url", RULES + "url.c", "if (text.size > 0 && memchr(text.data, '@', text.size) != NULL)", "egress_url")
change("egress-fragment", RULES + "url.c", "text.data[i] == '#' || text.data[i] == '\\\\'", "text.data[i] == '\\\\'", "egress_url")
change("egress-number-host", RULES + "url.c", "return !is_digit(label.data[0]);", "return true;", "egress_url")
without("egress-literal-spelling", RULES + "url.c", "if (!ifab_view_is(url->origin.host, again))", "egress_url")
change("egress-escapes-needed", RULES + "url.c", " && byte != '%' && !is_unreserved(byte)", "", "egress_url")
change("egress-encoded-slash", RULES + "url.c", " && byte != '/' && byte != '\\\\'", "", "egress_url")
without("egress-dot-segments", RULES + "url.c", "if ((plain == 1 && text[0] == '.') || (plain == 2 && text[0] == '.' && text[1] == '.'))", "egress_url")
change("egress-path-utf8", RULES + "url.c", "return ifab_utf8_valid(ifab_view_of(text, size));", "return true;", "egress_url")
change("egress-star-empty", RULES + "row.c", "ifab_view_is(want, \"*\") ? have.size == 0 :", "ifab_view_is(want, \"*\") ? false :", "egress_url")
without("egress-never", RULES + "address.c", "if (ifab_address_class_never(class_))", "egress_address")
without("egress-own-listener", RULES + "address.c",
        "if (is_ours(address, port, is_local, listeners, listener_count) || is_ours(&inner, port, is_local, listeners, listener_count))", "egress_address")
change("egress-exception-capability", RULES + "address.c", "ifab_view_equal(e->capability, capability) &&", "true &&", "egress_address")
change("egress-exception-port", RULES + "address.c", "e->port == port && port != 0 &&", "", "egress_address")
without("egress-mapped", RULES + "address.c", "if (v6_begins(a, \"\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\xff\\xff\", 96))", "egress_address")
without("egress-6to4", RULES + "address.c", "if (v6_begins(a, \"\\x20\\x02\", 16))", "egress_address")
without("egress-header-ours", RULES + "header.c", "if (ifab_egress_header_is_ours(name))", "egress_header")
without("egress-header-bytes", RULES + "header.c", "if (!ifab_egress_header_value_valid(value))", "egress_header")
change("egress-header-underscore", RULES + "header.c", "text[i] = folded(name.data[i]);", "text[i] = name.data[i];", "egress_header")
without("egress-retry-repeatable", RULES + "retry.c",
        "if (!policy->repeatable || !worth || event->attempt == 0 || event->attempt >= policy->attempts || count > IFAB_EGRESS_BACKOFF_MAX)",
        "egress_retry")
change("egress-retry-after", RULES + "retry.c", "if (event->retry_after > wait)", "if (false)", "egress_retry")
change("egress-leak-end", RULES + "leak.c", "    give_up(self, TO_ONCE); /* in this order", "    /* in this order", "egress_leak_model egress_leak")
change("egress-leak-reversed", RULES + "leak.c", "add(&self->exact, turned, size) && ", "", "egress_leak")
change("egress-leak-html", RULES + "leak.c", "        html(self, byte);\n", "", "egress_leak")
change("egress-leak-html-end", RULES + "leak.c", "    give_up(self, TO_HTML);\n    return self->found;", "    return self->found;", "egress_leak")
change("egress-leak-html-name-whole", RULES + "leak.c", "size - 1 == strlen(names[i].name) && ", "", "egress_leak")
change("egress-leak-basic-as-sent", RULES + "credential.c", "to->values[to->value_count++] = ifab_view_of(sent.data + 6,",
       "(void)ifab_view_of(sent.data + 6,", "egress_attacks")
change("egress-rows", EG + "check.c", "        status = check_rows(r, job, problem);", "        status = IFAB_OK;", "egress")
change("egress-dry-run", EG + "check.c", "(!r->dry_run || fits->read)", "true", "egress")
change("egress-effect", EG + "check.c", "!fits->beyond && ", "", "egress")
change("egress-effect-of-the-operation", EG + "manifest.c", ".beyond = !covers(effect, row->effect),", ".beyond = false,", "egress_rows")
change("egress-effect-physical-and-payment", EG + "manifest.c", "(row <= IFAB_EFFECT_WRITE && row < operation)", "row < operation", "egress_rows")
change("egress-first-row-decides", EG + "check.c", "_matches(&r->rows[i], &job->url, job->method) ?", "_matches(&r->rows[i], &job->url, job->method) && (!r->dry_run || r->rows[i].read) ?", "egress")
change("manifest-first-row-decides", "src/core/capability/http.c", "return row->effect <= effect_max ? row : NULL;", "{\n            if (row->effect <= effect_max)\n                return row;\n        }", "manifest")
change("egress-headers-checked", EG + "check.c", "        status = check_headers(r, problem);", "        status = IFAB_OK;", "egress")
without("egress-manifest-origin", EG + "check.c",
        "if (ifab_origin_read(c->origin, &named, NULL) != IFAB_OK || !ifab_origin_same(&named, &job->url.origin))", "egress")
without("egress-record-origin", EG + "check.c", "if (status == IFAB_DENIED)\n        return refuse(problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL_ORIGIN", "egress")
without("egress-after-redirect", EG + "check.c", "if (redirected)", "egress")
without("egress-set-by-the-guest", EG + "check.c", "if (ifab_credential_is_set(c->as, c->field, &signable))", "egress")
change("egress-set-folded", RULES + "header.c", "return c == '_' || c == '.' ? '-' : c >=", "return c >=", "egress_credential")
change("egress-set-timestamp", RULES + "credential.c", "second = ifab_view_of(name, field.size + sizeof stamp - 1);", "second = ifab_view_of(name, 0);", "egress_credential")
change("egress-set-decoded", RULES + "credential.c", "if (byte == '%' && *at + 2 < query.size)", "if (false)", "egress_credential")
change("egress-pool-tenant", EG + "check.c", "    add_part(&hash, r->tenant);\n", "", "egress_attacks")
change("egress-pool-credential", EG + "check.c", "        add_part(&hash, r->credential->id);\n", "", "egress_attacks")
without("egress-open-judged", EG + "curl_easy.c", "if (!permitted(t, &a, port))\n        return CURL_SOCKET_BAD;", "egress_attacks egress_dns")
change("egress-used-judged", EG + "curl_easy.c", "permitted(t, &a, (uint16_t)to_port);", "true;", "egress_attacks")
change("egress-local", EG + "curl_easy.c", "ask && is_local(a)", "false", "egress_attacks")
change("egress-proxy", EG + "curl_easy.c", "SET(CURLOPT_PROXY, \"\") && SET(CURLOPT_NOPROXY, \"*\") && ", "", "egress_attacks")
change("egress-verify-peer", EG + "curl_easy.c", "SET(CURLOPT_SSL_VERIFYPEER, 1L)", "SET(CURLOPT_SSL_VERIFYPEER, 0L)", "egress_tls")
change("egress-verify-host", EG + "curl_easy.c", "SET(CURLOPT_SSL_VERIFYHOST, 2L)", "SET(CURLOPT_SSL_VERIFYHOST, 0L)", "egress_tls")
change("egress-follow", EG + "curl_easy.c", "SET(CURLOPT_FOLLOWLOCATION, 0L)", "SET(CURLOPT_FOLLOWLOCATION, 1L)", "egress_attacks")
change("egress-fresh", EG + "curl_easy.c", "t->job->repeatable && !t->job->socket ? 0L : 1L", "0L", "egress_attacks")
without("egress-body-bound", EG + "reader.c", "if (bytes.size > self->job->response_max - self->body.size)", "egress_attacks")
without("egress-head-bound", EG + "reader.c", "if (self->head_bytes > IFAB_EGRESS_HEAD_MAX || ++self->head_fields > IFAB_EGRESS_HEAD_FIELDS_MAX)", "egress_attacks")
without("egress-line-leaks", EG + "reader.c", "if (line_leaks(self, line))", "egress")
without("egress-body-leaks", EG + "reader.c", "if (ifab_leak_feed(&self->own, bytes) || ifab_leak_feed(&self->live, bytes))", "egress")
change("egress-compressed", EG + "reader.c", "!ifab_view_equal_nocase(value, IFAB_VIEW(\"identity\"))", "false", "egress")
without("egress-shown", EG + "reader.c", "if (!ifab_egress_header_is_shown(name))", "egress")
change("egress-tenant-share", EG + "egress.c", " && of_tenant < self->tenant_max", "", "egress_attacks")
change("egress-socket-accept", EG + "websocket.c", "ifab_view_is(value, self->accept) ? 1U : 2U", "1U", "egress_websocket")
change("egress-socket-leaks", EG + "websocket.c", "else if (ifab_leak_feed(&self->own, bytes) || ifab_leak_feed(&self->live, bytes) ||", "else if (",
       "egress_websocket")
change("egress-socket-waiting", EG + "egress_curl.c", "ifab_egress__waiting(&t->owner->base, t->job->id) + sizeof(struct ifab_egress_event) + bytes.size > IFAB_EGRESS_SOCKET_QUEUE ||", "",
       "egress_websocket")
change("egress-socket-empty", EG + "egress.c", "event->body.size + sizeof *event : 0", "event->body.size : 0", "egress_websocket")
# a challenge: what goes into a message, where to, and what must not come back
ANSWERS, CHALLENGE = EG + "answer.c", RULES + "challenge.c"
without("challenge-manifest-origin", ANSWERS, "if (ifab_origin_read(c->origin, &named, NULL) != IFAB_OK || ifab_origin_read(ifab_view_str(origin), &is, NULL) != IFAB_OK ||\n"
        "        !ifab_origin_same(&named, &is))", "egress_websocket")
without("challenge-record-origin", ANSWERS, "if (status == IFAB_DENIED)", "egress_websocket")
without("challenge-after-redirect", ANSWERS, "if (redirected)", "egress_websocket")
without("challenge-once", ANSWERS, "if (answered)", "egress_websocket")
without("challenge-field", ANSWERS, "if (!ifab_credential_is_challenge(c->as, c->field))", "egress_websocket")
change("challenge-one-mark", ANSWERS, "return memmem(l->behind.data, l->behind.size, mark, sizeof mark - 1) == NULL;", "return true;", "egress_websocket")
change("challenge-answer-leaks", EG + "websocket.c", "ifab_leak_feed(&self->answer, bytes))", "false)", "egress_websocket")
change("challenge-standing-leaks", CHALLENGE, "    to->values[to->value_count++] = standing;\n", "", "egress_credential egress_websocket")
without("challenge-text-size", CHALLENGE, "if (!text_fits(salt) || !text_fits(challenge))", "egress_credential")
without("challenge-in-no-request", RULES + "credential.c", "if (ifab_credential_is_challenge(as, field))", "egress_credential")
without("egress-names-given-up", EG + "curl_easy.c", "if (t->resolving)", "egress_dns")
change("egress-too-many-names", EG + "curl_easy.c", "all == ABANDONED_MAX || of_tenant >= ABANDONED_TENANT", "false", "egress_dns")
# ---- WebSockets of guests: whose, how many, how much, what ends them ----
SOCKETS, EXCHANGES = "src/shell/guest/socket.c", "src/shell/guest/exchange.c"
change("guest-socket-count", "src/shell/guest/guest_internal.h", "#define SOCKETS_MAX  4 ", "#define SOCKETS_MAX  5 ", "guest_socket")
without("guest-socket-waiting", SOCKETS, "if (s->waiting + sizeof *e + e->body.size > WAITING_MAX && s->first != NULL)", "guest_socket")
change("guest-socket-weight", SOCKETS, "s->waiting + sizeof *e + e->body.size > WAITING_MAX", "s->waiting + e->body.size > WAITING_MAX + s->waiting", "guest_socket")
without("guest-socket-ends", SOCKETS, "if (s->egress != 0 && egress != NULL)", "guest_socket")
change("guest-socket-asked", SOCKETS, "        ifab_guest__ask(self, q, true);", "        q->use = &q->running->spec->manifest.secrets[1];\n        ifab_guest__socket_answer(self, q);",
       "guest_socket")
change("guest-socket-one-act", SOCKETS, "return count == 1 && (", "return count >= 1 && (", "guest_socket")
change("guest-socket-answer-in-text", SOCKETS, "(ifab_json_get(tree, \"answer\") == NULL || ifab_json_get(tree, \"send\") != NULL)", "true", "guest_socket")
change("guest-socket-alarm", SOCKETS, "        ifab_guest__alarm(r, &e->problem);", "        (void)r;", "guest_socket")
change("guest-socket-answer-alarm", SOCKETS, "        ifab_guest__alarm(q->running, problem);\n", "", "guest_socket")
change("guest-socket-order", SOCKETS, "    if (s->first != NULL)\n        give(", "    if (s->first != NULL && s->state == SOCKET_OPEN)\n        give(", "guest_socket")
change("guest-socket-ended", SOCKETS, "s == NULL || s->state == SOCKET_SHUT || s->state == SOCKET_OPENING", "s == NULL || s->state == SOCKET_OPENING", "guest_socket")
change("guest-socket-once", EXCHANGES, "r->idempotent && q->kind == QUESTION_HTTP;", "r->idempotent;", "guest_socket")
change("guest-socket-place", EXCHANGES, "        ifab_guest__socket_drop(q);", "        (void)0;", "guest_socket")
change("guest-secret-use", EXCHANGES, " || ifab_secret_is_challenge(use->as, use->field) != challenge)", ")", "guest_socket")
change("guest-secret-origin", EXCHANGES, "        if (goes_to(use, url))\n            return use;\n", "", "guest_socket")
MANIFEST = "src/core/capability/manifest.c"
without("manifest-socket-get", MANIFEST, "if (ifab_origin__is_socket(rows[i].origin.scheme) && rows[i].methods != 1U << IFAB_METHOD_GET)", "manifest")
without("manifest-challenge-origin", MANIFEST,
        "if (ifab_secret_is_challenge(secret->as, secret->field) && !ifab_origin__is_socket(secret->origin.scheme))", "manifest")
change("manifest-row-scheme", "src/core/capability/http.c", "a->scheme == b->scheme && ", "", "manifest")
# ---- the vault: who is given a value, and which file holds it ----
VAULT, VAULT_FILE, VAULT_FORM = "src/port/vault/vault.c", "src/port/vault/vault_file.c", "src/port/vault/vault_file_format.c"
SECRETS, STEP_SECRET = "src/core/secret/secrets.c", "src/fabric/secret.c"
change("vault-origin", VAULT, "if (ifab_view_equal(value->about.origins[i], origin))", "if (true)", "vault")
change("vault-dead-handle", VAULT, "if (self->values.items[i]->id == handle.id && self->values.items[i]->state == VAULT_CURRENT)",
       "if (self->values.items[i]->id == handle.id)", "vault")
change("vault-short-value", VAULT, "(change->value.size < IFAB_VAULT_VALUE_MIN || ", "(", "vault")
without("vault-file-digest", VAULT_FILE, "if (memcmp(digest32, mark->digest32, 32) != 0)", "vault")
without("vault-file-mode", VAULT_FILE, "if ((st->st_mode & 077) != 0)", "vault_file")
without("vault-key-mode", "src/port/vault/vault_file_key.c", "if ((st.st_mode & 077) != 0)", "vault_file")
without("vault-forgotten-log", VAULT_FILE, "if (found.highest > LEFTOVER_MAX)", "vault_file")
change("vault-file-sync", VAULT_FILE, "return fsync(fd) == 0 ? IFAB_OK :", "return true ? IFAB_OK :", "vault_powercut")
change("vault-name-sync", VAULT_FILE, "    return vault_sync_directory(self->directory, err);\n}\n\n/* The key before what it opens. */",
       "    return IFAB_OK;\n}\n\n/* The key before what it opens. */", "vault_powercut")
change("vault-bound-record", VAULT_FORM, "return ifab_view_of(to, SEAL_SIZE + bound.size);", "return ifab_view_of(to, SEAL_SIZE);", "vault_altered")
change("vault-file-tag", VAULT_FORM, "return ifab_fail(err, IFAB_DENIED, \"it is not under this key, or altered\");", ";", "vault_altered")
without("vault-memory-locked", "src/crypto/locked.c", "if (sodium_mlock(bytes, size) != 0)", "aead")
change("vault-exact-redaction", "src/text/redact/exact.c", "if (find == NULL || ", "if (true || ", "redact")
change("secret-origin", SECRETS, "if (ifab_view_equal(secret->origins[i], origin)) {", "if (true) {", "secret fabric_secret")
change("secret-revoked", SECRETS, "if (secret == NULL || secret->revoked_at != IFAB_NEVER)\n", "if (secret == NULL)\n", "secret fabric_secret")
without("secret-default-port", "src/core/secret/origin.c", "if (port == schemes[row].port)", "secret")
change("secret-admin", STEP_SECRET, "ifab_fabric__authority(self, command, o, true, 0, actor, &why)", "ifab_fabric__authority(self, command, o, false, 0, actor, &why)",
       "fabric_secret")
without("secret-vault-elsewhere", STEP_SECRET, "if (command->u.secret.mark.counter != ifab_secrets_mark(self->secrets)->counter + 1)", "fabric_secret")
change("secret-in-trust-root", "src/fabric/fabric.c", "if (ifab_secrets_count(self->secrets) > 0 || ifab_secrets_mark(self->secrets)->counter > 0)", "if (false)",
       "fabric_secret")
# ---- what may be loaded ----
LOAD, SIGN, HTTP, PARAMS, MODULE = (f"src/{name}.c" for name in ("core/capability/registry_act", "core/capability/sign", "core/capability/http",
                                                                   "core/capability/params", "shell/module/module"))
without("manifest-unsigned", LOAD, "if (!manifest->has_signature)", "registry")
change("manifest-verified-copy", LOAD, "row != NULL && &row->manifest == manifest;", "row != NULL;", "registry")
PLANS = "src/core/capability/plans.c"
without("plan-per-talent", PLANS, "if (of_talent >= IFAB_PLAN_PER_TALENT)", "plan fabric_plan")
change("plan-ended-in-the-way", PLANS, "    if (has_ended(&node->plan))\n        self->ended++;\n    else\n", "", "plan fabric_plan")
change("plan-ended-bound", "src/fabric/plan_act.c", "    if (spare != 0 && spare != ended->number)\n", "    if (false)\n", "fabric_plan")
change("plan-spare-waits", PLANS, "        if (has_ended(&self->nodes[i]->plan))\n            return", "        if (true)\n            return", "plan")
without("manifest-registered-key", SIGN, "if (!ifab_equal_ct(manifest->pubkey32, registered32, 32))", "manifest")
without("manifest-signature", SIGN, "if (!ifab_ed25519_verify(registered32, manifest->signed_bytes, manifest->sig64))", "manifest registry")
without("manifest-key-id", SIGN, "if (said.size > 0 && !ifab_view_is(said, key_id))", "manifest")
change("publisher-revoked", LOAD, "    if (publisher->revoked_at != IFAB_NEVER)\n        why = \"is revoked\";\n    else if (ifab_registry__lookup",
       "    if (ifab_registry__lookup", "registry")
change("publisher-key-revoked", LOAD, "    else if (ifab_registry__lookup(self, 'K', ifab_view_of(publisher->pubkey32, 32), IFAB_VIEW(\"\")) != NULL)", "    else if (false)", "registry")
change("publisher-ended", LOAD, "else if (wall >= publisher->not_after)", "else if (false)", "registry")
change("publisher-early", LOAD, "else if (wall < publisher->not_before)", "else if (false)", "registry")
change("publisher-namespace", LOAD, "else if (!ifab_publisher_may_sign(publisher, manifest->name))", "else if (false)", "registry")
change("publisher-namespace-whole-parts", LOAD, " && name.data[space.size] == '.'", "", "registry")
change("load-digest", LOAD, "if (!ifab_equal_ct(allowed->manifest->digest32, m->digest32, 32) || ", "if (", "registry")
without("load-id-revoked", LOAD, "if (ifab_registry__lookup(self, 'I', m->id, IFAB_VIEW(\"\")) != NULL)\n        return revoked(", "registry")
without("load-version-revoked", LOAD, "if (ifab_registry__lookup(self, 'V', m->id, m->version) != NULL)\n        return revoked(", "registry")
without("load-digest-revoked", LOAD, "if (ifab_registry__lookup(self, 'D', ifab_view_of(m->digest32, 32), IFAB_VIEW(\"\")) != NULL)", "registry")
change("load-not-after", LOAD, "if (wall < m->not_after)", "if (true)", "registry")
change("load-module-size", LOAD, "module->size != m->entrypoint.size)", "false)", "registry fabric_capability")
change("load-module-digest", LOAD, "!ifab_equal_ct(module->sha256, m->entrypoint.sha256, 32))", "false)", "registry")
change("load-unread-module", "src/fabric/capability.c", "if (code == IFAB_CODE_NONE && command->u.load.module == NULL)", "if (false)", "fabric_capability")
change("call-unread-module", "src/fabric/call.c", "if (code == IFAB_CODE_NONE && module == NULL)", "if (false)", "fabric_plan")
change("call-unread-before-revoked", "src/fabric/call.c", "if (code == IFAB_CODE_NONE)\n        code = ifab_capability_load_check", "if (code == IFAB_CODE_NONE && module != NULL)\n        code = ifab_capability_load_check", "fabric_plan")
change("version-becomes-another", LOAD, "if (code == IFAB_CODE_NONE && known != NULL && !same)", "if (false)", "registry")
change("publisher-name-again", LOAD, "if (ifab_registry__lookup(self, 'n', request->name, none) != NULL)", "if (false)", "registry")
change("publisher-key-again", LOAD, "if (ifab_registry__lookup(self, 'k', key, none) != NULL)", "if (false)", "registry")
change("publisher-small-order-key", LOAD, "if (!ifab_ed25519_key_valid(request->pubkey32))", "if (false)", "registry")
change("publisher-key-of-a-talent", "src/fabric/capability.c", "if (key_taken(self, request.pubkey32))", "if (false)", "fabric_capability")
change("talent-key-of-a-publisher", "src/fabric/talent_act.c", "if (publisher_key(self, command))", "if (false)", "fabric_capability")
change("registry-is-an-admins", "src/fabric/capability.c", "ifab_fabric__authority(self, command, o, true, 0, actor, &why)",
       "ifab_fabric__authority(self, command, o, false, 0, actor, &why)", "fabric_capability")
change("registry-in-trust-root", "src/fabric/fabric.c", "if (!ifab_fabric__registry_empty(self))", "if (false)", "fabric_capability")
change("registry-record-follows", "src/core/capability/registry.c", "if (!follows(old, row))", "if (false)", "registry")
change("registry-record-form", "src/core/capability/registry_record.c", "if (status == IFAB_OK && !ifab_view_equal(ifab_buf_as_view(&buf), row->record))",
       "if (false)", "registry")
without("secret-field-none", "src/core/capability/manifest.c", "if (field_of[secret->as] == FIELD_NONE && secret->field.size > 0)", "manifest")
without("secret-field-required", "src/core/capability/manifest.c", "if (field_of[secret->as] != FIELD_NONE && secret->field.size == 0)", "manifest")
without("secret-field-scope", "src/core/capability/manifest.c", "if (scope != (field_of[secret->as] == FIELD_SCOPE))", "manifest")
change("row-origin", HTTP, " && ifab_origin_equal(&row->origin, origin)", "", "manifest")
change("row-effect", HTTP, "return row->effect <= effect_max ? row : NULL;", "return row;", "manifest")
change("row-method", HTTP, "(row->methods & 1U << method) != 0 && ", "", "manifest")
change("path-dots", HTTP, "if (ifab_view_is(segment, \".\") || ifab_view_is(segment, \"..\"))", "if (false)", "manifest")
change("path-escapes", HTTP, "if (!may_escape || !escape_valid(segment, i))", "if (false)", "manifest")
change("path-escaped-dots", HTTP, " && c != '%' && !unreserved(c);", " && c != '%';", "manifest")
change("host-numbers", HTTP, "return !number || quad_valid(host);", "return true;", "manifest")
change("params-unknown", PARAMS, "if (sub == NULL && (more == NULL || more->type != IFAB_JSON_TRUE))", "if (false)", "manifest")
change("params-keyword", PARAMS, "if (k == IFAB_COUNT(keywords)) {", "if (k == IFAB_COUNT(keywords))\n            continue;\n        if (false) {", "manifest")
change("params-global-flag", PARAMS, "if (depth == 1 && ifab_param_name_reserved(member->name)) {", "if (false) {", "manifest")
change("module-links", MODULE, "RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV}", "0}", "module")
change("module-plain-file", MODULE, "if (status == IFAB_OK && !S_ISREG(st.st_mode))", "if (false)", "module")
without("module-writable", MODULE, "if ((st->st_mode & 022) != 0)", "module")
# ---- what a call may take up, and who may make one ----
KV, ROOM, KEPT = "src/shell/guest/kv.c", "src/shell/loop/lines.c", "src/shell/loop/modules.c"
without("kv-total", KV, "if (self->kv_total - less + value.size > TOTAL_MAX)", "guest_kv")
change("kv-share", KV, "bytes - less + value.size > BYTES_MAX || ", "", "guest_kv")
change("kv-keys", KV, "keys + (old == NULL) > KEYS_MAX || ", "", "guest_kv")
without("kv-revoked", "src/shell/guest/guest.c", "if (!good(user, t->talent, t->manifest32))", "guest_kv")
change("modules-bytes", KEPT, "while (self->bytes + about->size > MODULES_BYTES_MAX)", "while (false)", "modules")
change("modules-unused-longest", KEPT, "self->rows[i].used < found->used", "self->rows[i].used > found->used", "modules")
change("lines-share", ROOM, "while (owner != NULL && owner->count >= LINES_SHARE && room->count > owner->count)", "while (false)", "lines")
change("lines-largest", ROOM, "drop_oldest(room, largest(room));", "drop_oldest(room, &room->owners[room->lines[room->order[0]].owner]);", "lines")
change("lines-whole-name", ROOM, "ifab_view_equal(ifab_view_of(o->id, o->id_size), id)", "ifab_view_starts(ifab_view_of(o->id, o->id_size), id)", "lines")
change("call-grant-before-module", "src/fabric/call.c", "        granted(call.talent, allowed->manifest, now.wall, &nothing.reply.refusal) != IFAB_CODE_NONE)", "        false)", "fabric_plan")
change("call-never-began", "src/fabric/plan_act.c", "return end >= IFAB_CALL_NOT_DONE;", "return end == IFAB_CALL_NOT_DONE;", "fabric_plan")
change("call-used-up-is-not-retryable", "src/fabric/plan_act.c", "lives && info->retryable ?", "info->retryable ?", "fabric_plan")
change("call-retryable-by-its-code", "src/fabric/plan_act.c", "lives && info->retryable ?", "lives ?", "fabric_plan")
change("load-refused-of-the-caller", "src/fabric/capability.c", "command->u.load.talent != 0 ? command->u.load.talent : signer_of(command)", "signer_of(command)", "fabric_capability")
ALLOW = "src/shell/config/egress_allow.c"
change("config-egress-name", ALLOW, "if (!name_valid(row.name))", "if (false)", "config")
change("config-egress-net", ALLOW, "else if (ifab_cidr_parse(row.net, &net, NULL) != IFAB_OK)", "else if (ifab_cidr_parse(row.net, &net, NULL) == IFAB_NOMEM)", "config")
change("config-egress-port", ALLOW, "else if (!port_parse(text, &row.port))", "else if (!port_parse(text, &row.port) && false)", "config")
list_calls.rows(change)

# help that came to nothing is followed by the next best, within bounds
RESCUE, TASK_DUE = "src/fabric/rescue.c", "src/fabric/task_due.c"
change("help-died-by-act", TASK, "if (task->parent != 0 && (next.state == IFAB_TASK_DEAD || next.state == IFAB_TASK_CANCELLED))", "if (task->parent != 0 && next.state == IFAB_TASK_CANCELLED)", "fabric_purse")
change("help-cancelled-by-act", TASK, "if (task->parent != 0 && (next.state == IFAB_TASK_DEAD || next.state == IFAB_TASK_CANCELLED))", "if (task->parent != 0 && next.state == IFAB_TASK_DEAD)", "fabric_purse")
change("help-cancelled-is-not-done", TASK_DUE, "if (task->parent != 0 && task->state == IFAB_TASK_DONE)", "if (task->parent != 0)", "fabric_purse")
change("help-died-by-itself", TASK_DUE, "if (task->parent != 0 && next.state == IFAB_TASK_DEAD)", "if (false)", "fabric_purse")
change("help-died-in-a-step", TASK_DUE, " || dies) && ", ") && ", "fabric_purse")
change("help-shed-is-followed", TASK, "if (least->parent != 0)", "if (false)", "fabric_task")
change("help-replaced-counts-no-more", RESCUE, " || !slot_of(&t, helper->number.n, &slot))\n        return; /* one that had died", ")\n        return; /* one that had died", "fabric_purse")
change("help-not-asked-again", RESCUE, "asked->candidates[i].budget_spent = true;", "(void)0;", "fabric_purse")
change("help-asked-three-times", RESCUE, ".attempts = helper->max_attempts - 1", ".attempts = helper->max_attempts", "fabric_purse")
change("help-part-of-the-budget", RESCUE, "    memcpy(part.budget, helper->budget, sizeof part.budget);\n", "", "fabric_purse")
