#ifndef SUPPORT_DRIVE_H
#define SUPPORT_DRIVE_H
/*
 * Drives a fabric by random numbers or by bytes (property tests and the fuzz target share it): messages of several talents, instances and
 * modes, votes, acts on talents, ticks, clock steps, changed rules, restarts. After every command:
 *   1. the same command decided twice on the same state gives the same outcome, byte for byte (INV-14);
 *   2. so does a twin that was loaded from what was kept, at some earlier moment, and has applied its own outcomes since (INV-14);
 *   3. 004 102 107 103 104 are what a naive model says, and what uses up a message is what DESIGN section 4 says (INV-03);
 *   4. a message is decided once, and what was denied stays denied, what was shared stays shared (DESIGN section 5 Guard);
 *   5. the log is gap-free and chained, open decisions stay within their bounds.
 */
#include "rig.h"

#include "base/id.h"

#define DRIVE_TALENTS 8
#define DRIVE_SKEW (60 * IFAB_SECOND)

struct drive_tag { /* model: what was accepted or used up */
    uint32_t talent;
    uint64_t id, nonce;
    ifab_usec expiry;
    bool message;
};
struct drive_sequence {
    uint32_t talent, epoch, instance;
    bool window, there;
    uint64_t number, last;
    ifab_usec live_until;
    uint64_t used[512]; /* window: those at most 1,023 below last */
    size_t used_count;
};
enum drive_state { DRIVE_NEW = 0, DRIVE_WAITS, DRIVE_SHARED, DRIVE_DENIED };

struct drive {
    struct rig rig;
    struct ifab_fabric *twin;
    struct ifab_outcome again, twins;
    struct ifab_arena again_arena, twins_arena;
    /* where the choices come from */
    struct test_random random;
    const uint8_t *at, *end; /* bytes; NULL: random */
    uint64_t seed, step;
    /* the model */
    struct drive_tag *tags;
    size_t tag_count, tag_room;
    struct drive_sequence sequences[DRIVE_TALENTS * 100];
    size_t sequence_count;
    ifab_usec dropped; /* W */
    struct ifab_u64map states; /* first bytes of a message digest -> enum drive_state */
    struct rig_message history[64];
    uint64_t sent, next_seq[DRIVE_TALENTS + 2][4], rules;
    uint8_t next_key;
    ifab_usec key_from[DRIVE_TALENTS + 2]; /* wall: the clock may be set back behind it */
    uint32_t epoch[DRIVE_TALENTS + 2];
    uint64_t codes[1000], decisions[4], reloads;
    unsigned weight_message, weight_vote; /* of 100 */
    size_t reload_every; /* commands */
};

static inline void drive_must(const struct drive *self, bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "# seed %llu, step %llu: %s\n", (unsigned long long)self->seed, (unsigned long long)self->step, what);
    abort();
}

/* 0 .. below-1. Out of bytes: 0. */
static inline uint64_t drive_pick(struct drive *self, uint64_t below)
{
    if (self->at == NULL)
        return test_random_below(&self->random, below);
    uint64_t value = 0;
    for (uint64_t span = 1; span < below && self->at < self->end; span *= 256)
        value = value * 256 + *self->at++;
    return value % below;
}

/* ---- the model ---- */

static inline int64_t drive_minute(ifab_usec t)
{
    return t / IFAB_MINUTE;
}

static inline struct drive_sequence *drive_sequence(struct drive *self, uint32_t talent, uint32_t epoch, uint32_t instance)
{
    for (size_t i = 0; i < self->sequence_count; i++) {
        struct drive_sequence *s = &self->sequences[i];
        if (s->talent == talent && s->epoch == epoch && s->instance == instance)
            return s;
    }
    rig_must(self->sequence_count < IFAB_COUNT(self->sequences), "too many sequences for the model");
    self->sequences[self->sequence_count] = (struct drive_sequence){.talent = talent, .epoch = epoch, .instance = instance};
    return &self->sequences[self->sequence_count++];
}

/* What must be said before quota; NONE: none of 004 102 107 103 104. */
static inline enum ifab_code drive_expected(struct drive *self, const struct rig_message *m, uint32_t talent, uint32_t instance)
{
    ifab_usec wall = self->rig.now.wall, expiry = m->issued_at + (ifab_usec)m->ttl_s * IFAB_SECOND;
    if (wall < self->key_from[talent])
        return IFAB_CODE_KEY_REVOKED;
    if (wall > expiry + DRIVE_SKEW || expiry <= self->dropped)
        return IFAB_CODE_EXPIRED_MESSAGE;
    if (m->issued_at - DRIVE_SKEW > wall)
        return IFAB_CODE_FUTURE_MESSAGE;
    for (size_t i = 0; i < self->tag_count; i++)
        if (self->tags[i].message && self->tags[i].talent == talent && (self->tags[i].id == m->id || self->tags[i].nonce == m->nonce))
            return IFAB_CODE_REPLAY_DETECTED;
    const struct drive_sequence *s = drive_sequence(self, talent, self->epoch[talent], instance);
    if (!s->there || s->live_until < wall || m->seq > s->last)
        return IFAB_CODE_NONE;
    if (!s->window || s->last - m->seq >= 1024)
        return IFAB_CODE_OUT_OF_ORDER;
    for (size_t i = 0; i < s->used_count; i++)
        if (s->used[i] == m->seq)
            return IFAB_CODE_OUT_OF_ORDER;
    return IFAB_CODE_NONE;
}

static inline void drive_used_up(struct drive *self, const struct rig_message *m, uint32_t talent, uint32_t instance, bool window)
{
    struct drive_sequence *s = drive_sequence(self, talent, self->epoch[talent], instance);
    ifab_usec until = m->issued_at + (ifab_usec)m->ttl_s * IFAB_SECOND + DRIVE_SKEW;
    if (!s->there || s->live_until < self->rig.now.wall) {
        s->there = true;
        s->window = window;
        s->used_count = 0;
        s->last = m->seq;
        s->live_until = until;
    }
    s->last = m->seq > s->last ? m->seq : s->last;
    s->live_until = until > s->live_until ? until : s->live_until;
    size_t kept = 0;
    for (size_t i = 0; i < s->used_count; i++)
        if (s->last - s->used[i] < 1024)
            s->used[kept++] = s->used[i];
    rig_must(kept < IFAB_COUNT(s->used), "window of the model");
    s->used[kept++] = m->seq;
    s->used_count = kept;
}

/* What the outcome did to sequences by number, and to replay memory. m: the message that it was about, or NULL. */
static inline void drive_learn(struct drive *self, const struct rig_message *m, uint32_t talent, struct drive_sequence *mine)
{
    const struct ifab_outcome *o = &self->rig.outcome;
    for (size_t i = 0; i < o->change_count; i++) {
        if (o->changes[i].kind != IFAB_KIND_SEQUENCE)
            continue;
        if (o->changes[i].bytes.size > 0 && mine != NULL)
            mine->number = o->changes[i].number;
        for (size_t k = 0; k < self->sequence_count && o->changes[i].bytes.size == 0; k++)
            if (self->sequences[k].number == o->changes[i].number)
                self->sequences[k].there = false;
    }
    for (size_t i = 0; i < o->tag_count; i++) {
        self->tags = rig_grown(self->tags, &self->tag_room, self->tag_count, sizeof *self->tags);
        self->tags[self->tag_count++] = (struct drive_tag){
            .talent = talent,
            .id = m == NULL ? 0 : m->id,
            .nonce = m == NULL ? 0 : m->nonce,
            .expiry = o->tags[i].expiry,
            .message = m != NULL,
        };
    }
    int64_t horizon = drive_minute(self->rig.now.wall - DRIVE_SKEW);
    size_t kept = 0;
    for (size_t i = 0; i < self->tag_count; i++) {
        if (drive_minute(self->tags[i].expiry) >= horizon)
            self->tags[kept++] = self->tags[i];
        else if (self->tags[i].expiry > self->dropped)
            self->dropped = self->tags[i].expiry;
    }
    self->tag_count = kept;
}

/* One message, one decision; what is decided stays. */
static inline void drive_watch(struct drive *self, const struct ifab_outcome_entry *entry)
{
    static const struct {
        const char *operation;
        enum drive_state to;
    } known[] = {
        {"\"operation\":\"share\"", DRIVE_SHARED},    {"\"operation\":\"hold\"", DRIVE_WAITS},
        {"\"operation\":\"escalate\"", DRIVE_WAITS},  {"\"operation\":\"deny\"", DRIVE_DENIED},
        {"\"operation\":\"released\"", DRIVE_SHARED}, {"\"operation\":\"escalated\"", DRIVE_WAITS},
        {"\"operation\":\"denied\"", DRIVE_DENIED},   {"\"operation\":\"reopened\"", DRIVE_WAITS},
        {"\"operation\":\"vote\"", DRIVE_WAITS},
    };
    static const char field[] = "\"message_digest\":\"sha256:", money[] = "\"component\":\"IF.governor\"";
    size_t row = 0;
    while (row < IFAB_COUNT(known) &&
           memmem(entry->bytes.data, entry->bytes.size, known[row].operation, strlen(known[row].operation)) == NULL)
        row++;
    if (row == IFAB_COUNT(known) || memmem(entry->bytes.data, entry->bytes.size, money, sizeof money - 1) != NULL)
        return;
    const uint8_t *at = memmem(entry->bytes.data, entry->bytes.size, field, sizeof field - 1);
    drive_must(self, at != NULL, "an entry about a decision names no message");
    char hex[17] = {0};
    memcpy(hex, at + sizeof field - 1, 16);
    uint64_t key = strtoull(hex, NULL, 16), was = DRIVE_NEW;
    (void)ifab_u64map_get(&self->states, key, &was);
    bool opens = row < 4;
    drive_must(self, opens == (was == DRIVE_NEW), opens ? "a message was decided a second time" : "a decision about a message nobody sent");
    drive_must(self, was != DRIVE_DENIED, "what was denied was touched again");
    drive_must(self, was != DRIVE_SHARED, "what was shared was touched again");
    rig_must(ifab_u64map_put(&self->states, key, known[row].to) == IFAB_OK, "memory");
}

/* ---- running ---- */

static inline void drive_reload_twin(struct drive *self)
{
    ifab_fabric_free(self->twin);
    self->twin = rig_load(&self->rig, self->rig.kept_wall);
    self->reloads++;
}

static inline void drive_compare(struct drive *self, const struct ifab_outcome *other, bool volatile_too, const char *what)
{
    struct ifab_buf a = IFAB_BUF_INIT((size_t)16 << 20), b = IFAB_BUF_INIT((size_t)16 << 20);
    rig_put_outcome(&a, &self->rig.outcome, volatile_too);
    rig_put_outcome(&b, other, volatile_too);
    if (!ifab_view_equal(ifab_buf_as_view(&a), ifab_buf_as_view(&b))) {
        fprintf(stderr, "# %s\n---\n%s\n", test_text(ifab_buf_as_view(&a)), test_text(ifab_buf_as_view(&b)));
        drive_must(self, false, what);
    }
    ifab_buf_fini(&a);
    ifab_buf_fini(&b);
}

static inline void drive_check_bounds(struct drive *self)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(self->rig.fabric);
    const struct ifab_guard_rules *rules = &ifab_fabric_settings(self->rig.fabric)->rules;
    uint32_t of_talent[RIG_TALENTS] = {0}, count = 0;
    for (const struct ifab_open_decision *d = ifab_decisions_after(open, 0); d != NULL; d = ifab_decisions_after(open, d->number)) {
        drive_must(self, d->talent < RIG_TALENTS && ++of_talent[d->talent] <= rules->open_max_talent,
                   "too many open decisions of a talent");
        count++;
    }
    drive_must(self, count <= rules->open_max, "too many open decisions");
    drive_must(self, count == ifab_decisions_count(open, IFAB_DECISION_HOLD) + ifab_decisions_count(open, IFAB_DECISION_ESCALATE),
               "counts of open ones");
}

static inline enum ifab_code drive_run(struct drive *self, struct ifab_command *command)
{
    ifab_arena_reset(&self->again_arena);
    ifab_arena_reset(&self->twins_arena);
    rig_decide(&self->rig, command);
    ifab_outcome_begin(&self->again, &self->again_arena);
    ifab_fabric_decide(self->rig.fabric, command, self->rig.now, &self->again);
    drive_compare(self, &self->again, true, "the same command on the same state had another outcome");
    ifab_outcome_begin(&self->twins, &self->twins_arena);
    rig_must(ifab_fabric_prepare(self->twin) == IFAB_OK, "memory");
    ifab_fabric_decide(self->twin, command, self->rig.now, &self->twins);
    drive_compare(self, &self->twins, false, "a fabric loaded from what was kept had another outcome");
    for (size_t i = 0; i < self->rig.outcome.entry_count; i++)
        drive_watch(self, &self->rig.outcome.entries[i]);
    ifab_fabric_apply(self->twin, &self->twins);
    rig_apply(&self->rig);
    drive_check_bounds(self);
    enum ifab_code code = self->rig.outcome.reply.code;
    self->codes[(unsigned)code % 1000]++;
    if (self->reload_every > 0 && self->step % self->reload_every == 0)
        drive_reload_twin(self);
    return code;
}

/* ---- choices ---- */

static const char *const drive_names[DRIVE_TALENTS + 2] = {NULL, "operator", "A", "B", "C", "W", "A2", "V1", "V2", "R"};

static inline void drive_message(struct drive *self)
{
    static const char *const performatives[] = {"inform",  "inform", "inform",   "agree",          "request",
                                                "propose", "refuse", "query-if", "accept-proposal"};
    static const char *const receivers[] = {NULL,
                                            NULL,
                                            "\"if://agent/B\"",
                                            "[\"if://agent/A\",\"if://agent/C/9\"]",
                                            "\"if://agent/Nobody\"",
                                            "\"if://topic/x\"",
                                            "\"if://fabric/" RIG_ORIGIN "\"",
                                            "\"if://fabric/other/1\""};
    static const char *const contents[] = {
        RIG_SHARED,
        RIG_HELD,
        RIG_ESCALATED,
        RIG_SECRET,
        "{}",
        RIG_HELD,
        RIG_HELD,
        "{\"claim_id\":\"C-1\",\"confidence\":{\"normalized\":0.9,\"raw\":0.9},\"evidence\":[{\"type\":\"a\",\"url\":\"https://"
        "a.example.org\"}],\"scope\":{\"year\":2024}}",
        "{\"claim_id\":\"C-1\",\"confidence\":{\"normalized\":0.25,\"raw\":0.25},\"evidence\":[{\"type\":\"a\",\"url\":\"https://"
        "b.example.org\"}],\"scope\":{\"year\":2024}}",
        "{\"claim_id\":\"C-2\",\"confidence\":{\"normalized\":0.1,\"raw\":0.1}}",
    };
    struct rig *rig = &self->rig;
    uint32_t talent = 2 + (uint32_t)drive_pick(self, DRIVE_TALENTS), instance = (uint32_t)drive_pick(self, 3);
    char sender[64];
    snprintf(sender, sizeof sender, instance == 0 ? "if://agent/%s" : "if://agent/%s/%u", drive_names[talent], instance);
    struct rig_message m = rig_message(rig, sender, contents[drive_pick(self, IFAB_COUNT(contents))]);
    uint64_t kind = drive_pick(self, 100), *seq = &self->next_seq[talent][instance];
    m.ttl_s = 1 + (unsigned)drive_pick(self, kind < 50 ? 120 : 3600);
    m.performative = performatives[drive_pick(self, IFAB_COUNT(performatives))];
    m.receiver = receivers[drive_pick(self, IFAB_COUNT(receivers))];
    if (drive_pick(self, 2) == 0)
        m.conversation = 1 + drive_pick(self, 40);
    m.seq = ++*seq;
    if (kind >= 80 && kind < 90 && self->sent > 0) { /* a repeat of something, or of a part of it */
        const struct rig_message *old = &self->history[drive_pick(self, self->sent < 64 ? self->sent : 64)];
        uint64_t part = drive_pick(self, 4);
        m.id = part != 1 ? old->id : m.id;
        m.nonce = part != 2 ? old->nonce : m.nonce;
        if (part == 0) {
            m = *old;
            m.sender = sender;
        }
    } else if (kind >= 90 && kind < 95) {
        uint64_t below = drive_pick(self, 1200);
        m.seq = m.seq > below ? m.seq - below : 1;
    } else if (kind == 95) {
        *seq += drive_pick(self, 2000);
        m.seq = *seq;
    }
    uint64_t age = drive_pick(self, 20);
    m.issued_at += age < 10 ? -(ifab_usec)drive_pick(self, 100) * IFAB_SECOND : age < 12 ? (ifab_usec)drive_pick(self, 64) * IFAB_SECOND
                   : age == 12 ? -(ifab_usec)drive_pick(self, 4000) * IFAB_SECOND
                               : 0;
    m.issued_at -= m.issued_at % 1000; /* as it is written */
    self->history[self->sent++ % 64] = m;
    self->history[(self->sent - 1) % 64].sender = NULL;

    struct ifab_command command;
    ifab_arena_reset(&rig->arena);
    struct ifab_view bytes = rig_text(rig, &m);
    if (rig_admit(rig, bytes, &command) != IFAB_CODE_NONE)
        drive_must(self, false, rig->refusal.message);
    enum ifab_code expected = drive_expected(self, &m, talent, instance), code = drive_run(self, &command);
    if (expected != IFAB_CODE_NONE
            ? code != expected
            : code == IFAB_CODE_KEY_REVOKED || code == IFAB_CODE_EXPIRED_MESSAGE || code == IFAB_CODE_FUTURE_MESSAGE ||
                  code == IFAB_CODE_REPLAY_DETECTED || code == IFAB_CODE_OUT_OF_ORDER || code == IFAB_CODE_SYSTEM_ERROR) {
        fprintf(stderr, "# %d where the model says %d: %s\n# %s\n", (int)code, (int)expected, rig->outcome.reply.refusal.message,
                test_text(bytes));
        drive_must(self, false, "not what the model says");
    }
    bool retryable = code != IFAB_CODE_NONE && ifab_code_info(code)->retryable, used = expected == IFAB_CODE_NONE && !retryable;
    drive_must(self, (rig->outcome.tag_count == 1) == used, used ? "not used up" : "used up by a refusal that must not");
    if (code == IFAB_CODE_NONE)
        self->decisions[rig->outcome.reply.decision]++;
    if (used)
        drive_used_up(self, &m, talent, instance, strcmp(drive_names[talent], "W") == 0);
    drive_learn(self, &m, talent, used ? drive_sequence(self, talent, self->epoch[talent], instance) : NULL);
}

static inline const struct ifab_open_decision *drive_some_open(struct drive *self)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(self->rig.fabric);
    size_t count = ifab_decisions_count(open, IFAB_DECISION_HOLD) + ifab_decisions_count(open, IFAB_DECISION_ESCALATE);
    const struct ifab_open_decision *d = ifab_decisions_after(open, 0);
    for (uint64_t skip = count == 0 ? 0 : drive_pick(self, count); skip > 0 && d != NULL; skip--)
        d = ifab_decisions_after(open, d->number);
    return d;
}

/* A vote as admit hands it in once its signature was good. */
static inline void drive_vote(struct drive *self)
{
    struct rig *rig = &self->rig;
    const struct ifab_open_decision *d = drive_some_open(self);
    struct ifab_command command = {.type = IFAB_COMMAND_VOTE};
    uint32_t voter = 1 + (uint32_t)drive_pick(self, DRIVE_TALENTS + 1);
    uint64_t n = drive_pick(self, 10) == 0 ? rig->n : ++rig->n, fault = drive_pick(self, 24);
    if (d == NULL)
        return;
    ifab_signer_public(rig->talents[voter].signer, command.u.vote.pubkey32);
    command.u.vote.talent = voter;
    memcpy(command.u.vote.digest16, &n, 8);
    command.u.vote.digest16[15] = 0x0E;
    memcpy(command.u.vote.nonce, &n, 8);
    command.u.vote.nonce_size = 16;
    memcpy(command.u.vote.decision_id16, d->id16, 16);
    memcpy(command.u.vote.message_digest32, d->message_digest32, 32);
    memcpy(command.u.vote.policy_digest32, d->policy_digest32, 32);
    command.u.vote.message_digest32[0] ^= fault == 0;
    command.u.vote.policy_digest32[0] ^= fault == 1;
    command.u.vote.decision_id16[15] ^= fault == 2;
    command.u.vote.id_text = IFAB_VIEW("msg-x");
    command.u.vote.log = fault == 3 ? IFAB_VIEW("other") : ifab_view_str(rig->settings.origin);
    command.u.vote.why = IFAB_VIEW("looked at it");
    command.u.vote.verdict = d->state == IFAB_DECISION_HOLD ? IFAB_VOTE_SCOPE_OK
                             : drive_pick(self, 3) == 0     ? IFAB_VOTE_REFUSE
                                                            : IFAB_VOTE_APPROVE;
    if (fault == 4)
        command.u.vote.verdict = (enum ifab_vote_verdict)drive_pick(self, 3);
    command.u.vote.issued_at = rig->now.wall + (fault == 5 ? 61 * IFAB_SECOND : 0);
    command.u.vote.expires_at = rig->now.wall + (fault == 6 ? -61 * IFAB_SECOND : (ifab_usec)drive_pick(self, 3600) * IFAB_SECOND);
    ifab_arena_reset(&rig->arena);
    drive_run(self, &command);
    drive_learn(self, NULL, voter, NULL);
}

static inline void drive_act(struct drive *self)
{
    struct rig *rig = &self->rig;
    uint32_t talent = 2 + (uint32_t)drive_pick(self, DRIVE_TALENTS), signer = drive_pick(self, 4) == 0 ? talent : 1;
    uint64_t kind = drive_pick(self, 40);
    enum ifab_talent_act act = kind < 30   ? IFAB_ACT_GRANT
                               : kind < 36 ? IFAB_ACT_ROTATE
                               : kind < 37 ? IFAB_ACT_ADD
                               : kind < 38 ? IFAB_ACT_TLS_KEY
                                           : IFAB_ACT_REVOKE;
    struct ifab_command command = rig_talent_command(rig, act, act == IFAB_ACT_ADD ? "Another" : drive_names[talent]);
    static const char *const scopes[] = {"guard:scope", "topic:0011223344556677", "veritas:secrets"};
    uint8_t key[32], digest[32];
    struct ifab_signer *fresh = NULL;
    if (act == IFAB_ACT_TLS_KEY) { /* of few that there are: some are somebody's already */
        static const ifab_usec overlaps[] = {IFAB_NEVER, 0, IFAB_MINUTE};
        memset(digest, 1 + (int)drive_pick(self, 60), sizeof digest);
        command.u.talent.request.spki32 = digest;
        command.u.talent.request.overlap = overlaps[drive_pick(self, 3)];
        command.u.talent.request.expires_at = drive_pick(self, 2) == 0 ? IFAB_NEVER : rig->now.wall + IFAB_HOUR;
    } else if (act == IFAB_ACT_ROTATE) {
        if (self->next_key == 250)
            return;
        fresh = make_signer(self->next_key);
        ifab_signer_public(fresh, key);
        command.u.talent.request.pubkey32 = key;
    } else if (act == IFAB_ACT_GRANT) {
        command.u.talent.request.scope = ifab_view_str(scopes[drive_pick(self, 3)]);
        command.u.talent.request.expires_at =
            drive_pick(self, 2) == 0 ? IFAB_NEVER : rig->now.wall + (ifab_usec)drive_pick(self, 900) * IFAB_SECOND;
    } else if (act == IFAB_ACT_REVOKE) { /* a grant, there or not: keys are lost by rotation only, or all would fall silent */
        command.u.talent.request.scope = ifab_view_str(scopes[drive_pick(self, 3)]);
    }
    if (drive_pick(self, 3) > 0 || act == IFAB_ACT_ROTATE || act == IFAB_ACT_TLS_KEY)
        command.act = rig_act(rig, signer);
    if (drive_pick(self, 3) == 0) {
        command.idempotency = IFAB_VIEW("key");
        command.request16[0] = (uint8_t)drive_pick(self, 20);
        command.body32[0] = (uint8_t)drive_pick(self, 2);
    }
    ifab_arena_reset(&rig->arena);
    enum ifab_code code = drive_run(self, &command);
    drive_learn(self, NULL, command.act == NULL ? 0 : signer, NULL);
    if (act == IFAB_ACT_ROTATE && code == IFAB_CODE_NONE && !rig->outcome.reply.replayed) {
        ifab_signer_free(rig->talents[talent].signer);
        rig->talents[talent].signer = IFAB_TAKE(fresh);
        self->epoch[talent]++;
        self->key_from[talent] = rig->now.wall - rig->now.wall % 1000;
        self->next_key++;
        memset(self->next_seq[talent], 0, sizeof self->next_seq[talent]);
    }
    ifab_signer_free(fresh);
}

static inline void drive_budget(struct drive *self)
{
    static const char *const ids[] = {"a", "b", "p", "s"}, *const names[] = {"A", "B", "openai", "alpha"};
    static const enum ifab_subject subjects[] = {IFAB_SUBJECT_TALENT, IFAB_SUBJECT_TALENT, IFAB_SUBJECT_PROVIDER, IFAB_SUBJECT_SWARM};
    static const uint64_t limits[] = {0, 50, 500, 5000, IFAB_MONEY_MAX};
    uint64_t which = drive_pick(self, 4);
    struct ifab_command command = {.type = IFAB_COMMAND_BUDGET, .principal = &self->rig.principal, .why = IFAB_VIEW("because")};
    command.u.budget.request = (struct ifab_budget_request){.id = ifab_view_str(ids[which]),
                                                            .name = ifab_view_str(names[which]),
                                                            .subject = subjects[which],
                                                            .period = which == 0 ? IFAB_PERIOD_TOTAL : IFAB_PERIOD_HOUR,
                                                            .limit = limits[drive_pick(self, IFAB_COUNT(limits))]};
    command.u.budget.remove = drive_pick(self, 8) == 0;
    command.act = drive_pick(self, 4) > 0 ? rig_act(&self->rig, 1) : NULL;
    ifab_arena_reset(&self->rig.arena);
    drive_run(self, &command);
    drive_learn(self, NULL, command.act == NULL ? 0 : 1, NULL);
}

/* INV-10 of every budget whose limit was not lowered: what is settled and held has room. */
static inline void drive_check_money(struct drive *self)
{
    const struct ifab_money *money = ifab_fabric_money(self->rig.fabric);
    for (const struct ifab_budget *b = ifab_money_budget_next(money, 0); b != NULL; b = ifab_money_budget_next(money, b->number)) {
        struct ifab_budget_state s = ifab_budget_now(b->period, &b->state, self->rig.now.wall);
        drive_must(self, s.reserved == 0 || b->version > 1 || s.settled + s.reserved <= b->limit, "a budget holds more than its limit");
    }
    drive_must(self, ifab_money_loaded(money, NULL) == IFAB_OK, "a budget does not hold what its reservations say");
}

/* Costs, reservations and what becomes of them: by A, B, and operators in anybody's name. */
static inline void drive_money(struct drive *self)
{
    static const enum ifab_command_type types[] = {IFAB_COMMAND_COST, IFAB_COMMAND_RESERVE, IFAB_COMMAND_RESERVE, IFAB_COMMAND_SETTLE, IFAB_COMMAND_SETTLE};
    static const uint64_t amounts[] = {0, 1, 10, 40, 200, IFAB_MONEY_MAX};
    struct rig *rig = &self->rig;
    struct ifab_principal agent = {.kind = IFAB_PRINCIPAL_TALENT, .role = IFAB_ROLE_AGENT, .talent = 2 + (uint32_t)drive_pick(self, 2), .uid = 0x80000002U};
    struct ifab_command command = {.type = types[drive_pick(self, IFAB_COUNT(types))], .principal = drive_pick(self, 3) == 0 ? &rig->principal : &agent};
    struct ifab_cost_request *request = &command.u.cost;
    struct ifab_reservation *some = calloc(1, sizeof *some);
    char id[41] = "rsv-";
    rig_must(some != NULL, "memory");
    snprintf(agent.actor, sizeof agent.actor, "if://agent/%s", drive_names[agent.talent]);
    request->cost = (struct ifab_cost){.has_usd = true, .usd_micro = amounts[drive_pick(self, IFAB_COUNT(amounts))]};
    request->provider = drive_pick(self, 2) == 0 ? IFAB_VIEW("openai") : IFAB_VIEW("");
    request->swarm = drive_pick(self, 4) == 0 ? IFAB_VIEW("alpha") : IFAB_VIEW("");
    request->talent = drive_pick(self, 4) == 0 ? IFAB_VIEW("B") : IFAB_VIEW("");
    request->urgent = drive_pick(self, 2) == 0;
    request->ttl = (1 + (ifab_usec)drive_pick(self, 900)) * IFAB_SECOND;
    request->release = drive_pick(self, 3) == 0;
    if (command.type == IFAB_COMMAND_SETTLE) { /* one that is there, most times */
        uint64_t skip = drive_pick(self, ifab_money_reservation_count(ifab_fabric_money(rig->fabric)) + 1);
        for (uint64_t n = 0; ifab_money_reservation_next(ifab_fabric_money(rig->fabric), n, some) && skip-- > 0;)
            n = some->number;
        ifab_uuid_format(some->id16, id + 4);
        request->id = ifab_view_str(id);
    }
    ifab_arena_reset(&rig->arena);
    drive_run(self, &command);
    drive_learn(self, NULL, 0, NULL);
    drive_check_money(self);
    free(some);
}

static inline void drive_simple(struct drive *self, struct ifab_command command)
{
    ifab_arena_reset(&self->rig.arena);
    drive_run(self, &command);
    drive_learn(self, NULL, 0, NULL);
}

static inline void drive_clock(struct drive *self)
{
    static const ifab_usec steps[] = {
        1000, IFAB_SECOND, IFAB_SECOND, IFAB_SECOND, 5 * IFAB_SECOND, 20 * IFAB_SECOND, 2 * IFAB_MINUTE, 10 * IFAB_MINUTE};
    ifab_usec by = steps[drive_pick(self, IFAB_COUNT(steps))] * (ifab_usec)(1 + drive_pick(self, 4));
    self->rig.now.run += by;
    self->rig.now.wall += by;
    if (drive_pick(self, 4) == 0) /* the wall clock is corrected, by a minute at most */
        self->rig.now.wall += ((ifab_usec)drive_pick(self, 121) - 60) * IFAB_SECOND;
    if (ifab_fabric_deadline(self->rig.fabric, self->rig.now) <= self->rig.now.run) /* as the daemon does, whose turn is 50 ms */
        drive_simple(self, (struct ifab_command){.type = IFAB_COMMAND_TICK});
}

static inline void drive_rules(struct drive *self)
{
    struct ifab_guard_rules rules = ifab_fabric_settings(self->rig.fabric)->rules;
    struct ifab_command command = {.type = IFAB_COMMAND_RULES, .why = IFAB_VIEW("because")};
    rules.votes_needed = 1 + (uint32_t)drive_pick(self, 3);
    self->rules++;
    memcpy(rules.digest32, &self->rules, 8);
    command.u.rules.rules = &rules;
    drive_simple(self, command);
}

/* Bytes that nobody signed, whole or damaged, through the real admission: never a command, and nothing changes. INV-01 */
static inline void drive_mutated(struct drive *self)
{
    struct rig *rig = &self->rig;
    struct rig_message m = rig_message(rig, "if://agent/A", RIG_SHARED);
    struct ifab_fabric_head before, after;
    uint8_t *bytes = rig_copy(rig_text(rig, &m));
    size_t size = rig->text.size;
    for (uint64_t n = drive_pick(self, 4); n > 0; n--)
        bytes[drive_pick(self, size)] ^= (uint8_t)(1U << drive_pick(self, 8));
    if (drive_pick(self, 4) == 0)
        size = drive_pick(self, size);
    ifab_fabric_head(rig->fabric, &before);
    ifab_arena_reset(&rig->arena);
    enum ifab_code code = ifab_admit_message(ifab_view_of(bytes, size), 0, rig->keyring, rig->settings.tag_key16, rig->now.wall,
                                             &rig->arena, &rig->admitted, &rig->refusal);
    ifab_fabric_head(rig->fabric, &after);
    drive_must(self, code != IFAB_CODE_NONE && rig->refusal.code == code, "bytes that nobody signed were admitted");
    drive_must(self, before.size == after.size && memcmp(before.root32, after.root32, 32) == 0, "admission changed the log");
    free(bytes);
}

static inline void drive_step(struct drive *self)
{
    self->step++;
    unsigned kind = (unsigned)drive_pick(self, 100);
    if (kind < self->weight_message)
        drive_message(self);
    else if ((kind -= self->weight_message) < self->weight_vote)
        drive_vote(self);
    else if ((kind -= self->weight_vote) < 6)
        drive_act(self);
    else if (kind < 10)
        drive_clock(self);
    else if (kind < 13)
        drive_simple(self, (struct ifab_command){.type = IFAB_COMMAND_TICK});
    else if (kind < 14)
        drive_rules(self);
    else if (kind < 15)
        drive_reload_twin(self);
    else if (kind < 16 && drive_pick(self, 4) > 0)
        drive_mutated(self);
    else if (kind < 16)
        rig_restart_at(&self->rig, self->rig.kept_wall);
    else if (kind < 18 && drive_pick(self, 6) == 0)
        drive_budget(self);
    else if (kind < 19)
        drive_money(self);
    else
        drive_clock(self);
}

/* bytes NULL: random, from seed. */
static inline void drive_begin(struct drive *self, uint64_t seed, const uint8_t *bytes, size_t size)
{
    struct ifab_fabric_settings settings;
    memset(self, 0, sizeof *self);
    rig_settings(&settings);
    settings.replay.per_talent = 400;
    settings.conversations.per_talent = 60;
    settings.rules.open_max = 36;
    settings.rules.hold_burst = 6;
    settings.rules.escalate_burst = 4;
    settings.rules.hold_refill = settings.rules.escalate_refill = 4 * IFAB_MINUTE;
    settings.rules.open_max_talent = 20;
    settings.rules.hold_deadline = 5 * IFAB_MINUTE;
    settings.rules.escalate_deadline = 20 * IFAB_MINUTE;
    settings.cost_rate = settings.cost_burst = 100000;
    settings.refusals_per_second = 1000000; /* meters are volatile: here they never bite */
    settings.refusal_bytes_per_day = UINT64_MAX / 4;
    rig_new(&self->rig, &settings);
    self->rig.unsigned_ok = true;
    static const struct {
        const char *owner;
        enum ifab_role role;
        enum ifab_order_mode mode;
    } talents[DRIVE_TALENTS] = {
        {"alice", IFAB_ROLE_AGENT, IFAB_ORDER_STRICT},     {"bob", IFAB_ROLE_AGENT, IFAB_ORDER_STRICT},
        {"carol", IFAB_ROLE_AGENT, IFAB_ORDER_STRICT},     {"wim", IFAB_ROLE_AGENT, IFAB_ORDER_WINDOW},
        {"alice", IFAB_ROLE_AGENT, IFAB_ORDER_STRICT},     {"vera", IFAB_ROLE_OPERATOR, IFAB_ORDER_STRICT},
        {"victor", IFAB_ROLE_OPERATOR, IFAB_ORDER_STRICT}, {"rita", IFAB_ROLE_READONLY, IFAB_ORDER_STRICT},
    };
    self->epoch[1] = 1;
    for (uint32_t i = 0; i < DRIVE_TALENTS; i++) {
        rig_add(&self->rig, drive_names[i + 2], talents[i].owner, talents[i].role, (uint8_t)(10 + i), talents[i].mode);
        self->epoch[i + 2] = 1;
        self->key_from[i + 2] = self->rig.now.wall;
    }
    rig_grant(&self->rig, "B", "guard:scope");
    self->next_key = 40;
    self->random.state = self->seed = seed;
    self->at = bytes;
    self->end = bytes == NULL ? NULL : bytes + size;
    self->dropped = INT64_MIN;
    self->weight_message = 66;
    self->weight_vote = 14;
    ifab_arena_init(&self->again_arena, (size_t)64 << 20);
    ifab_arena_init(&self->twins_arena, (size_t)64 << 20);
    ifab_outcome_init(&self->again, &self->again_arena);
    ifab_outcome_init(&self->twins, &self->twins_arena);
    drive_reload_twin(self);
    for (uint64_t i = 0; i <= DRIVE_TALENTS; i++) { /* tags of the acts so far */
        self->tags = rig_grown(self->tags, &self->tag_room, self->tag_count, sizeof *self->tags);
        self->tags[self->tag_count++] = (struct drive_tag){.expiry = self->rig.now.wall + IFAB_ADMIN_ACT_TTL};
    }
}

static inline void drive_end(struct drive *self)
{
    ifab_fabric_free(self->twin);
    ifab_outcome_fini(&self->again);
    ifab_outcome_fini(&self->twins);
    ifab_arena_fini(&self->again_arena);
    ifab_arena_fini(&self->twins_arena);
    ifab_u64map_fini(&self->states);
    free(self->tags);
    rig_free(&self->rig);
}
#endif
