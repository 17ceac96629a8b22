/*
 * The step of a message: DESIGN section 2 INV-01 (order), section 4 "Rules of the step", section 5 Guard.
 *
 *   key again 004 | 102 107 | 103 | 104 | 305 | 302 |  from here on id, nonce and seq are used up  | 003 | 108 | 105 | policy
 *
 * Retryable refusals (302 304 305) use up nothing, also those of the storm limits that are known only after policy.
 */
#include "fabric_internal.h"

#include <string.h>

#define HAZARDS_KEPT 31U /* every bit of guard.h: a conversation remembers what was declared in it */

struct step {
    const struct ifab_fabric *self;
    const struct ifab_command *command;
    const struct ifab_envelope *envelope;
    struct ifab_outcome *o;
    const struct ifab_talent *talent;
    struct ifab_meter meter;
    struct ifab_replay_tag tag;
    struct ifab_sequence sequence;
    struct ifab_conversation conversation;
    bool has_conversation;
    uint32_t receivers[IFAB_RECEIVER_MAX];
    size_t receiver_count;
    uint64_t sequence_number, conversation_number;
    const struct ifab_guard_facts *facts; /* the command's, or a copy with what the operator's rules say */
    uint64_t plan;                        /* of a capability, whose approval it asks for; 0 */
};

/* An entry about a refused message of an authenticated sender, within its allowance; past that it is counted. */
static void refuse(struct step *s, enum ifab_code code, bool uses_up)
{
    struct ifab_outcome *o = s->o;
    ifab_fabric__refused(o, code);
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(p);
    ifab_buf_format(p, "{\"code\":\"IF_ERR_%03d\",\"field\":", (int)code);
    ifab_json_put_cstr(p, o->reply.refusal.field);
    ifab_buf_str(p, ",\"message_digest\":");
    ifab_fabric__put_digest(p, s->envelope->message_digest32);
    ifab_buf_format(p, ",\"seq\":%llu}", (unsigned long long)s->envelope->seq);
    struct ifab_entry fields = {
        .event = IFAB_EVENT_MESSAGE_REFUSED,
        .actor = s->envelope->sender,
        .why = ifab_view_str(o->reply.refusal.message),
        .subject = s->envelope->id,
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    if (ifab_fabric__may_enter_refusal(s->self, &s->meter, o->now.run, p->size + 512)) {
        ifab_fabric__entry(s->self, o, &fields, IFAB_VIEW(""), NULL);
    } else {
        o->count_code = code;
        o->count_source = s->envelope->sender_name;
        memcpy(o->count_sample16, s->envelope->message_digest32, 16);
    }
    ifab_fabric__put_meter(o, &s->meter);
    if (uses_up) {
        uint8_t packed[IFAB_SEQUENCE_PACKED_MAX];
        size_t size = ifab_sequence_pack(&s->sequence, packed);
        ifab_fabric__change(o, IFAB_KIND_SEQUENCE, s->sequence.number, packed, size);
        s->tag.decision = IFAB_DECISION_DENY;
        if (o->entry_count == 0) /* past its allowance of entries: no place in the log to point at */
            s->tag.index = UINT64_MAX;
        o->tags[o->tag_count++] = s->tag;
    }
}

/* 004, 102, 107, 103, 104, 305, 302: what comes before the message is used up. */
static enum ifab_code admit(struct step *s)
{
    const struct ifab_fabric *self = s->self;
    const struct ifab_envelope *e = s->envelope;
    struct ifab_refusal *r = &s->o->reply.refusal;
    const struct ifab_now *now = &s->o->now;
    const struct ifab_key *key = NULL;
    enum ifab_code code = ifab_talent_key_check(s->talent, e->pubkey32, now->wall, &key, r);
    if (code != IFAB_CODE_NONE) /* replaced since verification is 004 as well: it was registered then */
        return code == IFAB_CODE_INVALID_SIGNATURE ? IFAB_CODE_KEY_REVOKED : code;
    code = ifab_envelope_check_time(e, now->wall, self->settings.skew, ifab_replay_dropped_until(self->replay), r);
    if (code != IFAB_CODE_NONE)
        return code;
    if (e->issued_at <= self->issued_after)
        return ifab_refuse(r, IFAB_CODE_EXPIRED_MESSAGE, "issued_at", "issued before this fabric was restored from a backup");

    ifab_replay_tags(self->settings.tag_key16, s->talent->number, e->id16, e->nonce, e->nonce_size, &s->tag);
    s->tag.expiry = e->issued_at + (ifab_usec)e->ttl_s * IFAB_SECOND;
    s->tag.index = s->o->next_index;
    struct ifab_replay_tag first;
    bool same_id = false;
    enum ifab_replay_verdict seen = ifab_replay_check(self->replay, &s->tag, &first, &same_id);
    if (seen == IFAB_REPLAY_SEEN) {
        ifab_refuse(r, IFAB_CODE_REPLAY_DETECTED, same_id ? "id" : "nonce", "%s was accepted already", same_id ? "this id" : "this nonce");
        r->has_first = first.index != UINT64_MAX;
        r->first_index = first.index;
        r->first_decision = first.decision;
        return IFAB_CODE_REPLAY_DETECTED;
    }
    struct ifab_refusal quota = {.offset = -1, .retry_after_ms = -1};
    enum ifab_code order = ifab_sequences_check(self->sequences, s->talent->number, key->epoch, e->sender_instance,
                                                (enum ifab_order_mode)s->talent->mode, e->seq, s->tag.expiry + self->settings.skew, now->wall,
                                                s->sequence_number, &s->sequence, &quota);
    if (order != IFAB_CODE_NONE) {
        *r = quota;
        return order;
    }
    if (seen == IFAB_REPLAY_QUOTA) {
        ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "%u messages of this talent can still be valid; a shorter ttl_s frees its place sooner",
                    ifab_replay_count_talent(self->replay, s->talent->number));
        return IFAB_CODE_QUOTA_EXCEEDED;
    }
    return ifab_fabric__rate(self, &s->meter, now->run, r);
}

/* 003, 108, 105: the message is used up by now. */
static enum ifab_code place(struct step *s)
{
    struct ifab_refusal *r = &s->o->reply.refusal;
    enum ifab_role role = s->talent->role;
    if (role != IFAB_ROLE_AGENT && role != IFAB_ROLE_OPERATOR && role != IFAB_ROLE_ADMIN)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "sender", "role %s may not send messages", ifab_role_name(role));
    for (size_t i = 0; i < s->envelope->receiver_count; i++) {
        const struct ifab_receiver *to = &s->envelope->receivers[i];
        if (to->kind == IFAB_RECEIVER_FABRIC && !ifab_view_is(to->name, s->self->settings.origin))
            return ifab_refuse(r, IFAB_CODE_WRONG_AUDIENCE, "receiver", "bound to fabric " IFAB_FMT ", this is %s",
                               (int)(to->name.size > 120 ? 120 : to->name.size), (const char *)to->name.data, s->self->settings.origin);
        if (to->kind != IFAB_RECEIVER_AGENT)
            continue;
        const struct ifab_talent *talent = ifab_talents_find(s->self->talents, to->name);
        if (talent == NULL || talent->removed_at != IFAB_NEVER)
            return ifab_refuse(r, IFAB_CODE_WRONG_AUDIENCE, "receiver", "no talent " IFAB_FMT " here", IFAB_ARG(to->name));
        s->receivers[s->receiver_count++] = talent->number;
    }
    enum ifab_code code = ifab_conversations_check(s->self->conversations, s->envelope, s->talent->number, s->receivers, s->receiver_count,
                                                   s->o->now.wall, s->conversation_number, &s->conversation, r);
    s->has_conversation = code == IFAB_CODE_NONE;
    return code;
}

static void put_receivers(struct ifab_buf *p, const struct ifab_envelope *e)
{
    ifab_buf_char(p, '[');
    for (size_t i = 0; i < e->receiver_count; i++) {
        if (i > 0)
            ifab_buf_char(p, ',');
        ifab_json_put_string(p, e->receivers[i].uri);
    }
    ifab_buf_char(p, ']');
}

/* Payload of a decision: the decision, the header of the message, its digest. Sorted as RFC 8785 asks. */
static void put_payload(const struct step *s, const struct ifab_guard_verdict *verdict, ifab_usec expires)
{
    struct ifab_buf *p = &s->o->payload;
    const struct ifab_envelope *e = s->envelope;
    char key_id[19];
    ifab_key_id(e->pubkey32, key_id);
    ifab_buf_clear(p);
    ifab_buf_char(p, '{');
    if (!e->canonical) { /* the digest of what is signed tells meaning, not blanks: who keeps the bytes must be able to prove each of them */
        uint8_t bytes32[32];
        ifab_sha256(e->bytes, bytes32);
        ifab_buf_str(p, "\"bytes_digest\":");
        ifab_fabric__put_digest(p, bytes32);
        ifab_buf_char(p, ',');
    }
    ifab_buf_str(p, "\"decision\":");
    ifab_json_put_cstr(p, ifab_decision_name(verdict->decision));
    if (expires != IFAB_NEVER) {
        ifab_buf_str(p, ",\"expires_at\":\"");
        ifab_buf_time(p, expires);
        ifab_buf_char(p, '"');
    }
    ifab_buf_str(p, ",\"header\":{\"conversation_id\":");
    ifab_json_put_string(p, e->conversation_id);
    ifab_buf_str(p, ",\"id\":");
    ifab_json_put_string(p, e->id);
    ifab_buf_str(p, ",\"issued_at\":");
    ifab_json_put_string(p, e->issued_at_text);
    ifab_buf_str(p, ",\"key_id\":");
    ifab_json_put_cstr(p, key_id);
    ifab_buf_str(p, ",\"nonce\":");
    ifab_json_put_string(p, e->nonce_text);
    ifab_buf_str(p, ",\"performative\":");
    ifab_json_put_cstr(p, ifab_performative_name(e->performative));
    ifab_buf_str(p, ",\"receiver\":");
    put_receivers(p, e);
    ifab_buf_str(p, ",\"sender\":");
    ifab_json_put_string(p, e->sender);
    ifab_buf_format(p, ",\"seq\":%llu,\"topic_hash\":", (unsigned long long)e->seq);
    ifab_json_put_string(p, e->topic_hash);
    ifab_buf_format(p, ",\"ttl_s\":%u},\"id\":", e->ttl_s);
    ifab_json_put_string(p, e->id);
    ifab_buf_str(p, ",\"message_digest\":");
    ifab_fabric__put_digest(p, e->message_digest32);
    ifab_buf_str(p, ",\"policy_digest\":");
    ifab_fabric__put_digest(p, s->self->settings.rules.digest32);
    ifab_buf_str(p, ",\"reason\":");
    ifab_json_put_cstr(p, verdict->reason);
    ifab_buf_str(p, ",\"rule\":");
    ifab_json_put_cstr(p, verdict->rule);
    ifab_buf_char(p, '}');
}

static void put_receipt(struct step *s, const struct ifab_guard_verdict *verdict, const struct ifab_outcome_entry *entry, ifab_usec expires)
{
    struct ifab_buf *b = &s->o->scratch;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"decision\":");
    ifab_json_put_cstr(b, ifab_decision_name(verdict->decision));
    ifab_buf_str(b, ",\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, s->self->settings.log);
    if (expires != IFAB_NEVER) {
        ifab_buf_str(b, "},\"expires_at\":\"");
        ifab_buf_time(b, expires);
        ifab_buf_str(b, "\",\"id\":");
    } else {
        ifab_buf_str(b, "},\"id\":");
    }
    ifab_json_put_string(b, s->envelope->id);
    ifab_buf_str(b, ",\"message_digest\":");
    ifab_fabric__put_digest(b, s->envelope->message_digest32);
    ifab_buf_str(b, ",\"policy_digest\":");
    ifab_fabric__put_digest(b, s->self->settings.rules.digest32);
    ifab_buf_str(b, ",\"reason\":");
    ifab_json_put_cstr(b, verdict->reason);
    ifab_buf_str(b, ",\"rule\":");
    ifab_json_put_cstr(b, verdict->rule);
    ifab_buf_str(b, ",\"trace\":");
    ifab_fabric__put_uuid(b, s->o->reply.trace16);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(s->o, b, 0);
    s->o->reply.is_decision = true;
    s->o->reply.decision = verdict->decision;
    s->o->reply.first_index = entry->index;
}

void ifab_fabric__message_facts(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_talent *sender,
                                const struct ifab_conversation *conversation, ifab_usec wall, struct ifab_guard_facts *facts, uint64_t *ret_plan)
{
    const struct ifab_guard_rules *rules = &self->settings.rules;
    facts->parent_performative = conversation->parent_said;
    facts->parent_hazards = conversation->parent_hazards;
    if (ifab_fabric__has_rules(rules))
        ifab_fabric__rule(rules, envelope, sender, facts);
    ifab_fabric__plan_facts(self, rules, wall, envelope, sender, facts, ret_plan);
}

void ifab_fabric__fix_voters(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_talent *sender, ifab_usec wall,
                             struct ifab_open_decision *d, struct ifab_guard_verdict *verdict)
{
    ifab_fabric__owner_digest(sender->owner, d->owner_digest16);
    d->facts.sensitive = ifab_fabric__touches_sensitive(self, envelope);
    d->votes_needed = ifab_fabric__votes_needed(&self->settings.rules, &d->facts);
    if (verdict->decision == IFAB_DECISION_ESCALATE && !ifab_fabric__open_escalation(self, d, wall))
        *verdict = (struct ifab_guard_verdict){IFAB_DECISION_DENY, "escalated, but too few voters of another owner", "builtin.no-voters", 0};
}

/* What waits gets a record: its facts, so that it can be evaluated afresh, and the voters, fixed now. false: refused (302, 304). */
static bool open_decision(struct step *s, struct ifab_guard_verdict *verdict, ifab_usec *ret_expires)
{
    const struct ifab_fabric *self = s->self;
    struct ifab_outcome *o = s->o;
    struct ifab_open_decision *d = ifab_arena_calloc(o->arena, 1, sizeof *d);
    if (d == NULL) {
        o->failed = true;
        return false;
    }
    const struct ifab_guard_rules *rules = &self->settings.rules;
    ifab_usec wait = verdict->decision == IFAB_DECISION_HOLD ? rules->hold_deadline : rules->escalate_deadline;
    d->number = o->next_number++;
    memcpy(d->id16, s->envelope->id16, 16);
    d->state = verdict->decision;
    d->talent = s->talent->number;
    d->index = o->next_index;
    d->admitted_at = o->now.wall;
    d->deadline_run = o->now.run + wait;
    d->expires_wall = o->now.wall + wait;
    memcpy(d->message_digest32, s->envelope->message_digest32, 32);
    memcpy(d->policy_digest32, rules->digest32, 32);
    memcpy(d->topic32, s->envelope->topic32, 32);
    memcpy(d->trace16, o->reply.trace16, 16);
    memcpy(d->id_tag16, s->tag.id_tag16, 16);
    d->receiver_count = s->receiver_count < IFAB_GUARD_RECEIVERS_MAX ? s->receiver_count : IFAB_GUARD_RECEIVERS_MAX;
    memcpy(d->receivers, s->receivers, d->receiver_count * sizeof d->receivers[0]);
    d->facts = *s->facts;
    d->facts.parent_performative = s->conversation.parent_said; /* rules may come that ask for it */
    d->facts.parent_hazards = s->conversation.parent_hazards;
    ifab_fabric__fix_voters(self, s->envelope, s->talent, o->now.wall, d, verdict);
    if (verdict->decision == IFAB_DECISION_DENY)
        return true;
    struct ifab_bucket bucket;
    enum ifab_code code = ifab_decisions_admit(self->decisions, rules, d->state, s->talent->number, o->now.run, &bucket, &o->reply.refusal);
    if (code != IFAB_CODE_NONE) {
        refuse(s, code, false);
        return false;
    }
    uint8_t packed[IFAB_OPEN_DECISION_PACKED_MAX], packed_bucket[IFAB_BUCKET_PACKED];
    size_t size = ifab_open_decision_pack(d, packed);
    ifab_fabric__change(o, IFAB_KIND_DECISION, d->number, packed, size);
    ifab_fabric__change(o, IFAB_KIND_BUCKET, bucket.talent, packed_bucket, ifab_bucket_pack(&bucket, packed_bucket));
    *ret_expires = d->expires_wall;
    return true;
}

/* Cuts at a character's edge: a why is for reading, at most 256 bytes. */
static struct ifab_view short_why(const struct step *s)
{
    struct ifab_view why = s->envelope->claim;
    if (!s->envelope->has_claim || why.size == 0 || s->command->u.message.facts->secret_found)
        return ifab_view_str(ifab_performative_name(s->envelope->performative));
    if (why.size > 256) {
        why.size = 256;
        while (why.size > 0 && (why.data[why.size] & 0xC0) == 0x80)
            why.size--;
    }
    return why;
}

/* false: out of memory. */
static bool apply_rules(struct step *s)
{
    s->facts = s->command->u.message.facts;
    s->conversation.hazards |= (uint8_t)(s->facts->hazards & HAZARDS_KEPT);
    if (!ifab_fabric__has_rules(&s->self->settings.rules) && !ifab_fabric__asks_for_plan(s->envelope))
        return true;
    struct ifab_guard_facts *facts = ifab_fabric__alloc(s->o, sizeof *facts);
    if (facts == NULL)
        return false;
    *facts = *s->command->u.message.facts;
    ifab_fabric__message_facts(s->self, s->envelope, s->talent, &s->conversation, s->o->now.wall, facts, &s->plan);
    s->facts = facts;
    return true;
}

static void decide_policy(struct step *s)
{
    static const enum ifab_event events[] = {
        [IFAB_DECISION_DENY] = IFAB_EVENT_MESSAGE_DENY,
        [IFAB_DECISION_ESCALATE] = IFAB_EVENT_MESSAGE_ESCALATE,
        [IFAB_DECISION_HOLD] = IFAB_EVENT_MESSAGE_HOLD,
        [IFAB_DECISION_SHARE] = IFAB_EVENT_MESSAGE_SHARE,
    };
    struct ifab_outcome *o = s->o;
    struct ifab_guard_verdict verdict;
    ifab_usec expires = IFAB_NEVER;
    if (!apply_rules(s))
        return;
    const struct ifab_guard_facts *facts = s->facts;
    ifab_guard_evaluate(&s->self->settings.rules, facts, false, &verdict);
    if ((verdict.decision == IFAB_DECISION_HOLD || verdict.decision == IFAB_DECISION_ESCALATE) && !open_decision(s, &verdict, &expires))
        return;

    put_payload(s, &verdict, expires);
    struct ifab_entry fields = {
        .event = events[verdict.decision],
        .actor = s->envelope->sender,
        .why = short_why(s),
        .subject = s->envelope->id,
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    struct ifab_outcome_entry *entry;
    struct ifab_view kept = facts->secret_found ? IFAB_VIEW("") : s->envelope->bytes; /* a secret is not stored */
    if (!ifab_fabric__entry(s->self, o, &fields, kept, &entry))
        return;
    uint64_t index = entry->index;
    uint8_t packed[IFAB_CONVERSATION_PACKED_MAX > IFAB_SEQUENCE_PACKED_MAX ? IFAB_CONVERSATION_PACKED_MAX : IFAB_SEQUENCE_PACKED_MAX];
    ifab_fabric__change(o, IFAB_KIND_SEQUENCE, s->sequence.number, packed, ifab_sequence_pack(&s->sequence, packed));
    ifab_fabric__change(o, IFAB_KIND_CONVERSATION, s->conversation.number, packed, ifab_conversation_pack(&s->conversation, packed));
    ifab_fabric__put_meter(o, &s->meter);
    s->tag.decision = (uint8_t)verdict.decision;
    o->tags[o->tag_count++] = s->tag;
    ifab_fabric__plan_asked(s->self, o, s->plan, s->envelope, verdict.decision);
    put_receipt(s, &verdict, entry, expires);
    if (verdict.decision == IFAB_DECISION_SHARE && facts->second_source_kind && facts->has_claim_id && facts->has_scope)
        ifab_fabric__second_sources(s->self, o, facts, s->talent->number, index);
    ifab_fabric__bury(s->self, o, 1);
}

void ifab_fabric__decide_message(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct step s = {.self = self, .command = command, .envelope = command->u.message.envelope, .o = o};
    if (s.envelope->has_trace)
        memcpy(o->reply.trace16, s.envelope->trace16, 16);
    s.talent = ifab_talents_at(self->talents, command->u.message.talent);
    if (s.talent == NULL) {
        ifab_fabric__refused(o, IFAB_CODE_UNKNOWN_SENDER);
        return;
    }
    s.meter = ifab_fabric__meter(self, s.talent->number, o->now.run);
    s.sequence_number = o->next_number++;
    s.conversation_number = o->next_number++;
    if (command->idempotency.size > 0 && !ifab_view_equal(command->idempotency, s.envelope->id)) {
        ifab_refuse(&o->reply.refusal, IFAB_CODE_INVALID_PARAMS, "Idempotency-Key", "the Idempotency-Key of a message is its id");
        ifab_fabric__refused(o, IFAB_CODE_INVALID_PARAMS);
        return;
    }
    enum ifab_code code = admit(&s);
    if (code == IFAB_CODE_REPLAY_DETECTED && command->idempotency.size > 0 && o->reply.refusal.has_first && strcmp(o->reply.refusal.field, "id") == 0) {
        /* The same bytes again with their key: the shell compares the digest with the first entry's after the commit. */
        o->reply.first = true;
        o->reply.first_index = o->reply.refusal.first_index;
        ifab_fabric__refused(o, code);
        return;
    }
    if (code != IFAB_CODE_NONE) {
        refuse(&s, code, false);
        return;
    }
    code = place(&s);
    if (code == IFAB_CODE_QUOTA_EXCEEDED) /* of conversations: retryable, uses up nothing */
        refuse(&s, code, false);
    else if (code != IFAB_CODE_NONE)
        refuse(&s, code, true);
    else
        decide_policy(&s);
}
