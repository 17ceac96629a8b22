/*
 * A signed vote: approve or refuse on what was escalated, scope-ok on what is held. It is admitted like a message: key again, time, replay; then the
 * decision, its digests and the voter are compared. DESIGN section 5 Guard; SURFACE section 3.
 */
#include "fabric_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const verdict_names[] = {
    [IFAB_VOTE_APPROVE] = "approve",
    [IFAB_VOTE_REFUSE] = "refuse",
    [IFAB_VOTE_SCOPE_OK] = "scope-ok",
};

static enum ifab_code admit(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                            const struct ifab_talent *voter, struct ifab_replay_tag *tag)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_key *key;
    ifab_usec wall = o->now.wall, skew = self->settings.skew;
    enum ifab_code code = ifab_talent_key_check(voter, command->u.vote.pubkey32, wall, &key, r);
    if (code != IFAB_CODE_NONE)
        return code == IFAB_CODE_INVALID_SIGNATURE ? IFAB_CODE_KEY_REVOKED : code;
    if (command->u.vote.issued_at > wall + skew)
        return ifab_refuse(r, IFAB_CODE_FUTURE_MESSAGE, "issued_at", "the vote was issued in the future");
    if (command->u.vote.expires_at + skew < wall || command->u.vote.expires_at <= ifab_replay_dropped_until(self->replay) ||
        command->u.vote.expires_at - command->u.vote.issued_at > IFAB_HOUR)
        return ifab_refuse(r, IFAB_CODE_EXPIRED_MESSAGE, "expires_at", "the vote has expired, or is meant to live for more than an hour");
    if (!ifab_view_is(command->u.vote.log, self->settings.origin))
        return ifab_refuse(r, IFAB_CODE_WRONG_AUDIENCE, "log", "the vote is for another log; this is %s", self->settings.origin);
    ifab_replay_tags(self->settings.tag_key16, voter->number, command->u.vote.digest16, command->u.vote.nonce, command->u.vote.nonce_size, tag);
    tag->expiry = command->u.vote.expires_at;
    tag->index = o->next_index;
    tag->talent = voter->number;
    enum ifab_replay_verdict seen = ifab_replay_check(self->replay, tag, NULL, NULL);
    if (seen == IFAB_REPLAY_SEEN)
        return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_REPLAY_DETECTED, "nonce", "this vote was cast already"),
                                "It counts as it was cast. What it led to: ifctl decision show ID.");
    if (seen == IFAB_REPLAY_QUOTA)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "too many live messages of this talent");
    return IFAB_CODE_NONE;
}

static enum ifab_code match(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                            const struct ifab_open_decision **ret_decision)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_open_decision *d = ifab_decisions_find(self->decisions, command->u.vote.decision_id16);
    if (d == NULL)
        return ifab_refuse(r, IFAB_CODE_NOT_FOUND, "decision", "no open decision of this id; it may be decided already");
    if (memcmp(d->message_digest32, command->u.vote.message_digest32, 32) != 0) {
        /* ids are unique per talent: another talent's message may carry the same one */
        for (d = ifab_decisions_after(self->decisions, 0); d != NULL; d = ifab_decisions_after(self->decisions, d->number))
            if (memcmp(d->id16, command->u.vote.decision_id16, 16) == 0 &&
                memcmp(d->message_digest32, command->u.vote.message_digest32, 32) == 0)
                break;
        if (d == NULL)
            return ifab_refuse(r, IFAB_CODE_CONFLICT, "message_digest", "the vote is about other bytes than those that wait");
    }
    if (memcmp(d->policy_digest32, command->u.vote.policy_digest32, 32) != 0 || ifab_fabric__stale(self, o, d))
        return ifab_refuse(r, IFAB_CODE_CONFLICT, "policy_digest", "the rules changed since; look at the decision again and vote anew");
    *ret_decision = d;
    return IFAB_CODE_NONE;
}

/*
 * Voters are fixed with the keys that they had when the message was admitted: an admin alone may replace a key, and would else vote as another. Who had
 * none then was enrolled for it later, and was made a voter with the key there is.
 */
static enum ifab_code key_was_there(const struct ifab_talent *voter, const uint8_t pubkey32[32], ifab_usec admitted_at, struct ifab_refusal *r)
{
    bool had = false, was_there = false;
    for (size_t i = 0; i < voter->key_count; i++) {
        const struct ifab_key *key = &voter->keys[i];
        bool then = key->not_before <= admitted_at && admitted_at < key->not_after && admitted_at < key->revoked_at;
        had = had || then;
        was_there = was_there || (key->not_before <= admitted_at && memcmp(key->pubkey32, pubkey32, 32) == 0);
    }
    if (was_there || !had)
        return IFAB_CODE_NONE;
    return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "voter", "this key is newer than the decision, and its voter had another one"),
                            "Vote with the key that stood when the message was admitted, if it is still valid, or let another voter decide.");
}

static bool put_vote_entry(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                           const struct ifab_open_decision *d, const char *actor, uint64_t *ret_index)
{
    struct ifab_buf *p = &o->payload;
    struct ifab_outcome_entry *entry;
    char id[41];
    ifab_fabric__id_text(d->id16, id);
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"decision\":");
    ifab_json_put_cstr(p, id);
    ifab_buf_str(p, ",\"message_digest\":");
    ifab_fabric__put_digest(p, d->message_digest32);
    ifab_buf_str(p, ",\"policy_digest\":");
    ifab_fabric__put_digest(p, d->policy_digest32);
    ifab_buf_str(p, ",\"verdict\":");
    ifab_json_put_cstr(p, verdict_names[command->u.vote.verdict]);
    ifab_buf_str(p, ",\"vote\":\"");
    ifab_buf_hex(p, command->u.vote.digest16, 16);
    ifab_buf_str(p, "\"}");
    struct ifab_entry fields = {
        .event = IFAB_EVENT_VOTE_CAST,
        .actor = ifab_view_str(actor),
        .why = command->u.vote.why,
        .subject = ifab_view_str(id),
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, d->trace16, 16);
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return false;
    *ret_index = entry->index;
    return true;
}

/* What became of the message by this vote. */
static void reply(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_decision decision, uint64_t index)
{
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"decision\":");
    ifab_json_put_cstr(b, ifab_decision_name(decision));
    ifab_buf_format(b, ",\"entry\":{\"index\":%llu,\"log\":", (unsigned long long)index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_str(b, "},\"state\":");
    ifab_json_put_cstr(b, decision == IFAB_DECISION_ESCALATE ? "escalated" : "decided");
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, 200);
}

/* What a vote leads to; the vote's own entry stands already, at index cause. */
static enum ifab_code count_escalated(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                                      const struct ifab_open_decision *d, const struct ifab_open_decision *next, enum ifab_decision outcome,
                                      const char *actor)
{
    uint64_t cause;
    if (!put_vote_entry(self, command, o, d, actor, &cause))
        return IFAB_CODE_SYSTEM_ERROR;
    if (outcome == IFAB_DECISION_SHARE)
        ifab_fabric__reevaluate(self, o, d, "approved by vote", IFAB_VIEW(""), IFAB_VIEW(""), cause, &outcome); /* may deny what was approved */
    else if (outcome == IFAB_DECISION_DENY)
        ifab_fabric__close_denied(self, o, d, "refused by vote", IFAB_VIEW(""), IFAB_VIEW(""), cause);
    else {
        uint8_t packed[IFAB_OPEN_DECISION_PACKED_MAX];
        ifab_fabric__change(o, IFAB_KIND_DECISION, next->number, packed, ifab_open_decision_pack(next, packed));
    }
    if (outcome != IFAB_DECISION_ESCALATE) /* the wall clock may have been set back meanwhile */
        o->reply.decided_after = o->now.wall > d->admitted_at ? o->now.wall - d->admitted_at : 1;
    reply(self, o, outcome, cause);
    return IFAB_CODE_NONE;
}

static enum ifab_code decide(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool *ret_repeated)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_talent *voter = ifab_talents_at(self->talents, command->u.vote.talent);
    const struct ifab_open_decision *d = NULL;
    struct ifab_replay_tag tag;
    char actor[96];
    if (voter == NULL)
        return IFAB_CODE_UNKNOWN_SENDER;
    enum ifab_code code = admit(self, command, o, voter, &tag);
    /* The very vote that was cast, asked about again: its answer is kept for longer than it lives. */
    *ret_repeated = ifab_fabric__idempotent(self, command, code == IFAB_CODE_EXPIRED_MESSAGE ? IFAB_CODE_REPLAY_DETECTED : code, o);
    if (*ret_repeated)
        return code;
    if (code == IFAB_CODE_NONE)
        code = match(self, command, o, &d);
    if (code != IFAB_CODE_NONE)
        return code;
    snprintf(actor, sizeof actor, "if://agent/" IFAB_FMT, IFAB_ARG(voter->name));

    if (command->u.vote.verdict == IFAB_VOTE_SCOPE_OK) {
        uint8_t owner[16];
        uint64_t cause;
        ifab_fabric__owner_digest(voter->owner, owner);
        if (!ifab_talent_has_grant(voter, IFAB_VIEW("guard:scope"), o->now.wall)) {
            ifab_refuse(r, IFAB_CODE_GRANT_MISSING, "voter", "a scope check needs the grant guard:scope");
            r->hint = "Ask an operator for it: ifctl talent grant NAME --scope guard:scope --why TEXT.";
            return r->code;
        }
        if (d->state != IFAB_DECISION_HOLD)
            return ifab_refuse(r, IFAB_CODE_CONFLICT, "verdict", "scope-ok answers a held decision; this one is escalated");
        if (memcmp(owner, d->owner_digest16, 16) == 0)
            return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "voter", "the checker has the same owner as the sender"),
                                    "One of another owner, who has the grant guard:scope, signs it: ifctl decision scope-ok ID.");
        if (!put_vote_entry(self, command, o, d, actor, &cause))
            return IFAB_CODE_SYSTEM_ERROR;
        enum ifab_decision became;
        ifab_fabric__reevaluate(self, o, d, "scope check", IFAB_VIEW(""), IFAB_VIEW(""), cause, &became);
        reply(self, o, became, cause);
        code = IFAB_CODE_NONE;
    } else {
        enum ifab_decision outcome = IFAB_DECISION_DENY;
        struct ifab_open_decision *next = ifab_fabric__alloc(o, sizeof *next);
        if (next == NULL)
            return IFAB_CODE_SYSTEM_ERROR;
        if (command->u.vote.verdict == IFAB_VOTE_APPROVE) /* a refusal lets nothing through */
            code = key_was_there(voter, command->u.vote.pubkey32, d->admitted_at, r);
        if (code == IFAB_CODE_NONE)
            code = ifab_guard_vote(d, voter->number, command->u.vote.verdict, next, &outcome, r);
        if (code == IFAB_CODE_NONE && outcome == IFAB_DECISION_ESCALATE && ifab_fabric__unreachable(self, next))
            outcome = IFAB_DECISION_DENY; /* those who are left cannot vote any more */
        if (code == IFAB_CODE_NONE)
            code = count_escalated(self, command, o, d, next, outcome, actor);
    }
    if (code == IFAB_CODE_NONE)
        o->tags[o->tag_count++] = tag;
    return code;
}

void ifab_fabric__decide_vote(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated = false;
    enum ifab_code code = decide(self, command, o, &repeated);
    if (repeated)
        return;
    if (code == IFAB_CODE_NONE)
        ifab_fabric__keep_reply(self, command, o);
    else
        ifab_fabric__refuse_act(self, command, o, code, command->u.vote.talent, command->u.vote.id_text);
}
