/* Messages through admit and the fabric: the published vectors, the order of admission, what is used up by a refusal and what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "json/json.h"
#include "rig.h"

static struct rig rig;

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT);
    return 0;
}

static int setup_bare(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    return 0;
}

/* What a refusal must leave as it was. */
struct picture {
    uint64_t replay, trust, next_seq;
    size_t held, escalated, entries;
    uint8_t root[32];
};

static struct picture take_picture(const char *sender)
{
    struct picture p = {
        .replay = ifab_replay_count(ifab_fabric_replay(rig.fabric)),
        .trust = ifab_fabric_trust_version(rig.fabric),
        .held = ifab_decisions_count(ifab_fabric_decisions(rig.fabric), IFAB_DECISION_HOLD),
        .escalated = ifab_decisions_count(ifab_fabric_decisions(rig.fabric), IFAB_DECISION_ESCALATE),
        .entries = rig.entry_count,
    };
    uint64_t cursor = 0;
    const struct ifab_talent *talent = ifab_talents_find(ifab_fabric_talents(rig.fabric), ifab_view_str(sender));
    const struct ifab_sequence *s;
    while (talent != NULL && (s = ifab_sequences_next(ifab_fabric_sequences(rig.fabric), talent->number, &cursor)) != NULL)
        p.next_seq = p.next_seq * 1000003 + s->last_seq;
    struct ifab_fabric_head head;
    ifab_fabric_head(rig.fabric, &head);
    memcpy(p.root, head.root32, 32);
    return p;
}

/* new_entries: of refusals. */
static void assert_unchanged(const struct picture *before, const char *sender, size_t new_entries)
{
    struct picture now = take_picture(sender);
    assert_int_equal(now.entries - before->entries, new_entries);
    assert_int_equal(now.replay, before->replay);
    assert_int_equal(now.trust, before->trust);
    assert_int_equal(now.next_seq, before->next_seq);
    assert_int_equal(now.held, before->held);
    assert_int_equal(now.escalated, before->escalated);
    if (new_entries == 0)
        assert_memory_equal(now.root, before->root, 32);
    for (size_t i = 0; i < new_entries; i++)
        assert_non_null(strstr(rig_entry_text(&rig, rig.entry_count - 1 - i), "\"operation\":\"refused\""));
}

/* ---- vectors ---- */

static struct ifab_buf vectors;
static struct ifab_arena vector_arena;

static const struct ifab_json *load(const char *name)
{
    const struct ifab_json *document;
    const struct ifab_json_limits limits = {.max_size = 4U << 20};
    struct ifab_view text;
    uint8_t seed[32];
    vectors = test_read_vector(name);
    ifab_arena_init(&vector_arena, 64U << 20);
    assert_int_equal(ifab_json_read(ifab_buf_as_view(&vectors), &limits, &vector_arena, &document, NULL), IFAB_OK);
    assert_true(ifab_json_string(ifab_json_get(document, "now"), &text));
    ifab_usec now;
    assert_int_equal(ifab_time_parse(text, &now), IFAB_OK);
    assert_int_equal(now, RIG_WALL);
    assert_true(ifab_json_string(ifab_json_get(&ifab_json_get(document, "keys")->u.array.items[0], "seed_hex"), &text));
    assert_int_equal(ifab_hex_decode(text, seed, 32), IFAB_OK);

    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_ADD, "Finance.Agent");
    uint8_t key[32];
    uint32_t number = ifab_talents_count(ifab_fabric_talents(rig.fabric)) + 1;
    assert_int_equal(ifab_signer_from_seed(seed, &rig.talents[number].signer, NULL), IFAB_OK);
    ifab_signer_public(rig.talents[number].signer, key);
    command.u.talent.request.pubkey32 = key;
    rig.now.wall -= IFAB_MINUTE * 5; /* a key is valid from its enrolment on */
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    rig.now.wall = now;
    snprintf(rig.talents[number].name, sizeof rig.talents[number].name, "Finance.Agent");
    return ifab_json_get(document, "cases");
}

static void unload(void)
{
    ifab_arena_fini(&vector_arena);
    ifab_buf_fini(&vectors);
}

/* INV-06: "decision" of every good vector, and accepted once. INV-03 */
static void decides_every_good_vector_as_it_says_and_once(void **state)
{
    (void)state;
    const struct ifab_json *cases = load("envelope/good.json");
    assert_true(cases->u.array.count >= 13);
    for (size_t i = 0; i < cases->u.array.count; i++) {
        struct ifab_view name, decision, text;
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "name"), &name));
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "decision"), &decision));
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "envelope"), &text));
        if (rig_send_bytes(&rig, text) != IFAB_CODE_NONE)
            fail_msg("%s: refused %d %s %s", test_text(name), rig.outcome.reply.code, rig.refusal.message,
                     rig.outcome.reply.refusal.message);
        assert_true(rig.outcome.reply.is_decision);
        if (!ifab_view_is(decision, ifab_decision_name(rig.outcome.reply.decision)))
            fail_msg("%s: %s instead of %s", test_text(name), ifab_decision_name(rig.outcome.reply.decision), test_text(decision));
        const struct rig_entry *entry = &rig.entries[rig.entry_count - 1];
        assert_int_equal(entry->message_size, text.size); /* the exact bytes lie beside the log */
        assert_memory_equal(entry->message, text.data, text.size);
        struct picture before = take_picture("Finance.Agent");
        assert_int_equal(rig_send_bytes(&rig, text), IFAB_CODE_REPLAY_DETECTED);
        assert_unchanged(&before, "Finance.Agent", 1);
        rig.now.run += IFAB_SECOND; /* so that every refusal has its entry */
    }
    unload();
}

/* INV-01 INV-02 INV-15: exactly its code; nothing unauthenticated changes anything, an authenticated refusal is one entry. */
static void refuses_every_bad_vector_with_its_code_and_changes_nothing(void **state)
{
    (void)state;
    static uint8_t bytes[131072];
    const struct ifab_json *cases = load("envelope/bad.json");
    assert_true(cases->u.array.count >= 83);
    for (size_t i = 0; i < cases->u.array.count; i++) {
        struct ifab_view name, error, text;
        size_t size;
        char code[16];
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "name"), &name));
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "error"), &error));
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "envelope_base64"), &text));
        assert_int_equal(ifab_base64_decode(text, bytes, sizeof bytes, &size), IFAB_OK);
        struct picture before = take_picture("Finance.Agent");
        enum ifab_code got = rig_send_bytes(&rig, ifab_view_of(bytes, size));
        snprintf(code, sizeof code, "IF_ERR_%03d", (int)got);
        if (!ifab_view_is(error, code))
            fail_msg("%s: %s instead of %s", test_text(name), code, test_text(error));
        bool authenticated = got == IFAB_CODE_EXPIRED_MESSAGE || got == IFAB_CODE_FUTURE_MESSAGE;
        assert_unchanged(&before, "Finance.Agent", authenticated ? 1 : 0);
        rig.now.run += IFAB_SECOND;
    }
    struct picture before = take_picture("Finance.Agent");
    rig_tick(&rig); /* the counts of all of them in one entry */
    assert_int_equal(rig.entry_count, before.entries + 1);
    assert_non_null(strstr(rig_last(&rig), "\"code\":\"IF_ERR_101\""));
    assert_non_null(strstr(rig_last(&rig), "\"code\":\"IF_ERR_001\""));
    unload();
}

/* ---- order of admission ---- */

enum fault {
    F_SIZE, F_SCHEMA, F_SENDER, F_KEY, F_REVOKED, F_SIGNATURE, F_EXPIRED, F_FUTURE, F_REPLAY, F_ORDER, F_QUOTA, F_RATE, F_ROLE, F_AUDIENCE,
    F_PROTOCOL, F_POLICY, F_COUNT
};
static const enum ifab_code fault_codes[F_COUNT] = {
    IFAB_CODE_TOO_LARGE,         IFAB_CODE_INVALID_ENVELOPE,  IFAB_CODE_UNKNOWN_SENDER,     IFAB_CODE_INVALID_SIGNATURE,
    IFAB_CODE_KEY_REVOKED,       IFAB_CODE_INVALID_SIGNATURE, IFAB_CODE_EXPIRED_MESSAGE,    IFAB_CODE_FUTURE_MESSAGE,
    IFAB_CODE_REPLAY_DETECTED,   IFAB_CODE_OUT_OF_ORDER,      IFAB_CODE_QUOTA_EXCEEDED,     IFAB_CODE_RATE_LIMIT_EXCEEDED,
    IFAB_CODE_PERMISSION_DENIED, IFAB_CODE_WRONG_AUDIENCE,    IFAB_CODE_PROTOCOL_VIOLATION, IFAB_CODE_NONE,
};

static bool together(int a, int b) /* a < b: one message cannot have both */
{
    return !(a == F_KEY && b == F_REVOKED) && !(a == F_EXPIRED && b == F_FUTURE);
}

static enum ifab_code send_with(unsigned faults)
{
    struct ifab_fabric_settings settings;
    struct ifab_signer *stranger = make_signer(99), *old = make_signer(10);
    rig_settings(&settings);
    settings.replay.per_talent = faults & 1U << F_QUOTA ? 3 : 100;
    settings.rate_per_second = 1;
    settings.rate_burst = faults & 1U << F_RATE ? 3 : 100;
    rig_new(&rig, &settings);
    rig_add(&rig, "A", "alice", faults & 1U << F_ROLE ? IFAB_ROLE_READONLY : IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    struct rig_message m;
    for (int i = 0; i < 3; i++) { /* used up, whether permitted (SHARE) or not (003) */
        m = rig_message(&rig, "if://agent/A", RIG_SHARED);
        m.ttl_s = 3600;
        assert_int_equal(rig_send(&rig, &m), faults & 1U << F_ROLE ? IFAB_CODE_PERMISSION_DENIED : IFAB_CODE_NONE);
    }
    struct rig_message next = rig_message(&rig, "if://agent/A", RIG_SHARED);
    if (faults & 1U << F_REVOKED) {
        struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_ROTATE, "A");
        uint8_t key[32];
        ifab_signer_free(rig.talents[2].signer);
        rig.talents[2].signer = make_signer(20);
        ifab_signer_public(rig.talents[2].signer, key);
        command.u.talent.request.pubkey32 = key;
        command.act = rig_act(&rig, 1);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        next.signer = old;
    }
    if (faults & 1U << F_REPLAY)
        next.id = m.id;
    if (faults & 1U << F_ORDER)
        next.seq = m.seq;
    if (faults & 1U << F_KEY)
        next.signer = stranger;
    if (faults & 1U << F_SCHEMA)
        next.more = ",\"unknown\":1";
    if (faults & 1U << F_SENDER)
        next.sender = "if://agent/Nobody";
    if (faults & 1U << F_EXPIRED)
        next.issued_at -= 121 * IFAB_SECOND;
    if (faults & 1U << F_FUTURE)
        next.issued_at += 61 * IFAB_SECOND;
    if (faults & 1U << F_AUDIENCE)
        next.receiver = "\"if://agent/Nobody\"";
    if (faults & 1U << F_PROTOCOL)
        next.performative = "agree";
    if (faults & 1U << F_POLICY)
        next.content = RIG_SECRET;
    (void)rig_text(&rig, &next);
    if (faults & 1U << F_SIGNATURE) /* a character of the signature, still base64url */
        rig.text.data[rig.text.size - 20] = rig.text.data[rig.text.size - 20] == 'A' ? 'B' : 'A';
    for (size_t i = 0; faults & 1U << F_SIZE && i < IFAB_ENVELOPE_MAX; i++)
        ifab_buf_char(&rig.text, ' ');
    enum ifab_code code = rig_send_bytes(&rig, ifab_buf_as_view(&rig.text));
    ifab_signer_free(stranger);
    ifab_signer_free(old);
    rig_free(&rig);
    return code;
}

/* INV-01: of two faults the earlier in the order of SURFACE section 2 decides the code, whatever else is wrong; 003 108 105 come before
 * policy. */
static void first_fault_in_the_order_of_admission_decides(void **state)
{
    (void)state;
    for (int a = 0; a < F_COUNT; a++)
        for (int b = a; b < F_COUNT; b++) {
            if (!together(a, b))
                continue;
            enum ifab_code code = send_with(1U << a | 1U << b);
            if (code != fault_codes[a])
                fail_msg("faults %d and %d: %d instead of %d", a, b, (int)code, (int)fault_codes[a]);
        }
    for (int a = 0; a < F_COUNT; a++) { /* all of the later ones at once */
        unsigned faults = 0;
        for (int b = a; b < F_COUNT; b++)
            if (!(a == F_KEY && b == F_REVOKED) && b != F_FUTURE)
                faults |= 1U << b;
        if (a != F_FUTURE && send_with(faults) != fault_codes[a])
            fail_msg("fault %d and all after it", a);
    }
}

/* ---- used up or not ---- */

/* The same id, the same nonce, the same seq: none passes again. */
static void assert_used_up(const struct rig_message *m)
{
    struct rig_message again = rig_message(&rig, m->sender, RIG_SHARED);
    again.id = m->id;
    again.ttl_s = 120;
    assert_int_equal(rig_send(&rig, &again), IFAB_CODE_REPLAY_DETECTED);
    assert_string_equal(rig.outcome.reply.refusal.field, "id");
    assert_true(rig.outcome.reply.refusal.has_first);
    again = rig_message(&rig, m->sender, RIG_SHARED);
    again.nonce = m->nonce;
    assert_int_equal(rig_send(&rig, &again), IFAB_CODE_REPLAY_DETECTED);
    assert_string_equal(rig.outcome.reply.refusal.field, "nonce");
    again = rig_message(&rig, m->sender, RIG_SHARED);
    again.seq = m->seq;
    assert_int_equal(rig_send(&rig, &again), IFAB_CODE_OUT_OF_ORDER);
    assert_true(rig.outcome.reply.refusal.has_last_seq);
    assert_int_equal(rig.outcome.reply.refusal.last_seq, m->seq);
}

/* INV-03: once time, replay and order have passed, id, nonce and seq are used up whatever follows; also over a restart. */
static void uses_up_id_nonce_and_seq_whatever_follows(void **state)
{
    (void)state;
    static const struct {
        enum ifab_code code;
        enum ifab_decision decision;
        const char *sender, *performative, *receiver, *content;
    } cases[] = {
        {IFAB_CODE_PERMISSION_DENIED, 0, "if://agent/R", "inform", NULL, RIG_SHARED},
        {IFAB_CODE_WRONG_AUDIENCE, 0, "if://agent/A", "inform", "\"if://agent/Nobody\"", RIG_SHARED},
        {IFAB_CODE_WRONG_AUDIENCE, 0, "if://agent/A", "inform", "\"if://fabric/other.local/main/00000001\"", RIG_SHARED},
        {IFAB_CODE_PROTOCOL_VIOLATION, 0, "if://agent/A", "agree", NULL, RIG_SHARED},
        {IFAB_CODE_NONE, IFAB_DECISION_HOLD, "if://agent/A", "inform", NULL, RIG_HELD},
        {IFAB_CODE_NONE, IFAB_DECISION_ESCALATE, "if://agent/A", "inform", NULL, RIG_ESCALATED},
        {IFAB_CODE_NONE, IFAB_DECISION_DENY, "if://agent/A", "inform", NULL, RIG_SECRET},
        {IFAB_CODE_NONE, IFAB_DECISION_SHARE, "if://agent/A", "inform", "\"if://fabric/" RIG_ORIGIN "\"", RIG_SHARED},
    };
    rig_add(&rig, "R", "rita", IFAB_ROLE_READONLY, 12, IFAB_ORDER_STRICT);
    for (size_t i = 0; i < IFAB_COUNT(cases); i++)
        for (int restarted = 0; restarted < 2; restarted++) {
            struct rig_message m = rig_message(&rig, cases[i].sender, cases[i].content);
            m.performative = cases[i].performative;
            m.receiver = cases[i].receiver;
            m.ttl_s = 120;
            assert_int_equal(rig_send(&rig, &m), cases[i].code);
            if (cases[i].code == IFAB_CODE_NONE)
                assert_int_equal(rig.outcome.reply.decision, cases[i].decision);
            if (restarted)
                rig_restart(&rig);
            assert_used_up(&m);
            rig.now.run += IFAB_SECOND;
        }
}

/* INV-03: a message that had ended when the fabric started again does not pass a second time when the clock is then set back a little. */
static void ended_message_does_not_pass_after_a_restart_and_a_clock_set_back(void **state)
{
    (void)state;
    for (int after = 0; after < 240; after += 7) {
        struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
        m.ttl_s = 1;
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
        m.seq += 1000000; /* its sequence may be forgotten: the id must not be */
        struct ifab_now accepted = rig.now;
        rig.now.wall += (61 + after) * IFAB_SECOND;
        rig_restart(&rig);
        for (int back = 0; back <= 60; back += 4) {
            rig.now.wall = accepted.wall + (61 + after - back) * IFAB_SECOND;
            enum ifab_code code = rig_send(&rig, &m);
            if (code != IFAB_CODE_REPLAY_DETECTED && code != IFAB_CODE_EXPIRED_MESSAGE)
                fail_msg("%d s after its end, clock back by %d s: %d", after, back, (int)code);
        }
        rig.now = accepted;
        rig.now.wall += 10 * IFAB_MINUTE;
        rig.now.run += 10 * IFAB_MINUTE;
        rig_tick(&rig);
    }
}

/* INV-03: what is refused before, or with a retryable code, uses up nothing: the same bytes pass later. */
static void uses_up_nothing_before_and_with_retryable_refusals(void **state)
{
    (void)state;
    static const struct {
        enum ifab_code code;
        uint32_t rate_burst, quota, conversations, open_max, open_max_talent, hold_burst;
    } cases[] = {
        {IFAB_CODE_RATE_LIMIT_EXCEEDED, 1, 100, 100, 100, 100, 100}, {IFAB_CODE_QUOTA_EXCEEDED, 100, 1, 100, 100, 100, 100},
        {IFAB_CODE_QUOTA_EXCEEDED, 100, 100, 1, 100, 100, 100},      {IFAB_CODE_QUEUE_FULL, 100, 100, 100, 1, 100, 100},
        {IFAB_CODE_QUOTA_EXCEEDED, 100, 100, 100, 100, 1, 100},      {IFAB_CODE_RATE_LIMIT_EXCEEDED, 100, 100, 100, 100, 100, 1},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_fabric_settings settings;
        rig_settings(&settings);
        settings.rate_per_second = 1;
        settings.rate_burst = cases[i].rate_burst;
        settings.replay.per_talent = cases[i].quota;
        settings.conversations.per_talent = cases[i].conversations;
        settings.conversations.idle = IFAB_MINUTE;
        settings.rules.open_max = cases[i].open_max;
        settings.rules.open_max_talent = cases[i].open_max_talent;
        settings.rules.hold_burst = cases[i].hold_burst;
        settings.rules.hold_refill = 30 * IFAB_SECOND;
        settings.rules.hold_deadline = settings.rules.escalate_deadline = 20 * IFAB_SECOND;
        rig_new(&rig, &settings);
        rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
        struct rig_message first = rig_message(&rig, "if://agent/A", RIG_HELD);
        first.ttl_s = 1;
        assert_int_equal(rig_decision(&rig, &first), IFAB_DECISION_HOLD);
        struct rig_message m = rig_message(&rig, "if://agent/A", RIG_HELD);
        m.ttl_s = 3600;
        struct picture before = take_picture("A");
        enum ifab_code code = rig_send(&rig, &m);
        if (code != cases[i].code)
            fail_msg("case %zu: %d %s", i, (int)code, rig.outcome.reply.refusal.message);
        assert_true(ifab_code_info(code)->retryable);
        if (code == IFAB_CODE_RATE_LIMIT_EXCEEDED)
            assert_true(rig.outcome.reply.refusal.retry_after_ms > 0);
        assert_unchanged(&before, "A", 1); /* witnessed, nothing else */
        rig_pass(&rig, 200 * IFAB_SECOND);
        if (rig_decision(&rig, &m) != IFAB_DECISION_HOLD)
            fail_msg("case %zu, later: %d %s", i, rig.outcome.reply.code, rig.outcome.reply.refusal.message);
        rig_free(&rig);
    }
}

/* Before the signature is good, at 102 and 107, 103 and 104, nothing is used up either. */
static void refused_messages_pass_once_their_fault_is_gone(void **state)
{
    (void)state;
    struct rig_message first = rig_message(&rig, "if://agent/A", RIG_SHARED), m, bad;
    assert_int_equal(rig_decision(&rig, &first), IFAB_DECISION_SHARE);
    for (int fault = 0; fault < 5; fault++) {
        m = bad = rig_message(&rig, "if://agent/A", RIG_SHARED);
        static const enum ifab_code codes[] = {IFAB_CODE_INVALID_SIGNATURE, IFAB_CODE_EXPIRED_MESSAGE, IFAB_CODE_FUTURE_MESSAGE,
                                               IFAB_CODE_REPLAY_DETECTED, IFAB_CODE_OUT_OF_ORDER};
        bad.signer = fault == 0 ? rig.talents[3].signer : NULL;
        bad.issued_at += fault == 1 ? -121 * IFAB_SECOND : fault == 2 ? 61 * IFAB_SECOND : 0;
        bad.nonce = fault == 3 ? first.nonce : bad.nonce;
        bad.seq = fault == 4 ? first.seq : bad.seq;
        struct picture before = take_picture("A");
        assert_int_equal(rig_send(&rig, &bad), codes[fault]);
        assert_unchanged(&before, "A", fault == 0 ? 0 : 1);
        assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_SHARE);
    }
}

/* SURFACE section 2: now − issued_at > ttl_s + skew is 102, issued_at − now > skew is 107; both bounds themselves pass. */
static void bounds_of_time_are_exact(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.issued_at -= 120 * IFAB_SECOND + 1000;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_EXPIRED_MESSAGE);
    m.issued_at += 1000;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.issued_at += 60 * IFAB_SECOND + 1000;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_FUTURE_MESSAGE);
    m.issued_at -= 1000;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
}

/* ---- the key, again in the step ---- */

/* Verified under a key that is revoked, replaced or whose talent is removed before the step: 004, an entry, nothing used up. */
static void key_lost_between_verification_and_step_is_004(void **state)
{
    (void)state;
    static const enum ifab_talent_act acts[] = {IFAB_ACT_REVOKE, IFAB_ACT_ROTATE, IFAB_ACT_REMOVE};
    for (size_t i = 0; i < IFAB_COUNT(acts); i++) {
        char name[8], sender[32];
        uint8_t key[32];
        struct ifab_signer *fresh = make_signer((uint8_t)(60 + i));
        snprintf(name, sizeof name, "K%zu", i);
        snprintf(sender, sizeof sender, "if://agent/%s", name);
        rig_add(&rig, name, "", IFAB_ROLE_AGENT, (uint8_t)(50 + i), IFAB_ORDER_STRICT);
        struct rig_message m = rig_message(&rig, sender, RIG_SHARED);
        struct ifab_buf kept = IFAB_BUF_INIT(1U << 20);
        static struct ifab_admitted admitted;
        struct ifab_arena arena;
        ifab_arena_init(&arena, 1U << 24);
        ifab_buf_view(&kept, rig_text(&rig, &m));
        assert_int_equal(
            ifab_admit_message(ifab_buf_as_view(&kept), 0, rig.keyring, rig.settings.tag_key16, rig.now.wall, &arena, &admitted, NULL),
            IFAB_CODE_NONE);
        struct ifab_command act = rig_talent_command(&rig, acts[i], name);
        ifab_signer_public(fresh, key);
        if (acts[i] == IFAB_ACT_ROTATE)
            act.u.talent.request.pubkey32 = key;
        act.act = rig_act(&rig, 1);
        assert_int_equal(rig_do(&rig, &act)->code, IFAB_CODE_NONE);

        struct ifab_command command = {.type = IFAB_COMMAND_MESSAGE};
        command.u.message.envelope = &admitted.envelope;
        command.u.message.talent = admitted.talent;
        command.u.message.key_version = admitted.key_version;
        command.u.message.facts = &admitted.facts;
        struct picture before = take_picture(name);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_KEY_REVOKED);
        assert_unchanged(&before, name, 1);
        assert_non_null(strstr(rig_last(&rig), "IF_ERR_004"));
        ifab_arena_fini(&arena);
        ifab_buf_fini(&kept);
        ifab_signer_free(fresh);
    }
}

/* A key with an overlap serves until its end and not a moment longer; the new one has a sequence of its own. */
static void old_key_serves_through_its_overlap(void **state)
{
    (void)state;
    struct ifab_signer *old = make_signer(10), *fresh = make_signer(61);
    uint8_t key[32];
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.seq = 900;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    struct ifab_command act = rig_talent_command(&rig, IFAB_ACT_ROTATE, "A");
    ifab_signer_public(fresh, key);
    act.u.talent.request.pubkey32 = key;
    act.u.talent.request.overlap = 30 * IFAB_SECOND;
    act.act = rig_act(&rig, 2); /* by its own key */
    assert_int_equal(rig_do(&rig, &act)->code, IFAB_CODE_NONE);
    m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.signer = old;
    m.seq = 901;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.signer = fresh;
    m.seq = 5; /* epoch 2 begins anew */
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    rig.now.wall += 30 * IFAB_SECOND;
    m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.signer = old;
    m.seq = 902;
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_KEY_REVOKED);
    ifab_signer_free(old);
    ifab_signer_free(fresh);
}

/* ---- idempotent repeats ---- */

static const struct ifab_reply *send_with_key(const struct rig_message *m, const char *key)
{
    struct ifab_command command;
    struct ifab_view bytes = rig_text(&rig, m);
    ifab_arena_reset(&rig.arena);
    assert_int_equal(rig_admit(&rig, bytes, &command), IFAB_CODE_NONE);
    command.idempotency = ifab_view_str(key);
    return rig_step(&rig, &command);
}

/* SURFACE section 8: with its id as Idempotency-Key a message names its first entry; another key is refused and uses up nothing. */
static void message_key_is_its_id(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    struct ifab_buf id = IFAB_BUF_INIT(64);
    rig_put_id(&id, "msg-", m.id);
    ifab_buf_char(&id, '\0');
    struct picture before = take_picture("A");
    assert_int_equal(send_with_key(&m, "something else")->code, IFAB_CODE_INVALID_PARAMS);
    assert_unchanged(&before, "A", 0);
    assert_int_equal(send_with_key(&m, (const char *)id.data)->code, IFAB_CODE_NONE);
    uint64_t first = rig.outcome.reply.first_index;
    assert_int_equal(first, rig.entry_count - 1);
    before = take_picture("A");
    const struct ifab_reply *reply = send_with_key(&m, (const char *)id.data);
    assert_true(reply->first);
    assert_int_equal(reply->first_index, first);
    assert_unchanged(&before, "A", 0);
    ifab_buf_fini(&id);
}

/* SURFACE section 3: 108 for a receiver that is no talent here any more. */
static void removed_talent_is_no_receiver(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.receiver = "[\"if://agent/B\"]";
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_SHARE);
    struct ifab_command remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, "B");
    remove.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
    m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    m.receiver = "[\"if://agent/B\"]";
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_WRONG_AUDIENCE);
}

/* A message that found nobody awake for hours: the ring of expiry minutes has come round, which is no reason to refuse it. */
static void message_passes_after_any_idle_time(void **state)
{
    (void)state;
    for (int minutes = 60; minutes < 400; minutes++) {
        struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
        m.ttl_s = minutes % 2 == 0 ? 3600 : 60;
        if (rig_send(&rig, &m) != IFAB_CODE_NONE)
            fail_msg("after %d minutes: %d %s", minutes - 1, rig.outcome.reply.code, rig.outcome.reply.refusal.message);
        rig_pass(&rig, minutes * IFAB_MINUTE);
        if (minutes > 122) /* as memory shows: an hour, twice the skew, the minute begun */
            assert_int_equal(ifab_replay_count(ifab_fabric_replay(rig.fabric)), 0);
    }
}

/* INV-06: no rule set, or a broken one: whatever comes is denied. */
static void denies_everything_without_rules(void **state)
{
    (void)state;
    static const char *const contents[] = {RIG_SHARED, RIG_HELD, RIG_ESCALATED, "{}"};
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rules.loaded = false;
    rig_new(&rig, &settings);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    for (size_t i = 0; i < IFAB_COUNT(contents); i++) {
        struct rig_message m = rig_message(&rig, "if://agent/A", contents[i]);
        assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_DENY);
    }
    rig_free(&rig);
}

/* A secret in the content: DENY, and neither the bytes nor the claim are kept anywhere. INV-09 */
static void secret_is_denied_and_its_bytes_are_not_kept(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, "if://agent/A",
                                       "{\"claim\":\"the password=correct-horse-77 is it\",\"data\":{\"password\":\"correct-horse-77\"}}");
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_DENY);
    assert_int_equal(rig.entries[rig.entry_count - 1].message_size, 0);
    assert_null(strstr(rig_last(&rig), "correct-horse"));
    assert_non_null(strstr(rig_last(&rig), "secret in payload"));
    for (size_t i = 0; i < rig.record_count; i++)
        if (rig.records[i].bytes != NULL)
            assert_null(memmem(rig.records[i].bytes, rig.records[i].size, "correct-horse", 13));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(decides_every_good_vector_as_it_says_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_every_bad_vector_with_its_code_and_changes_nothing, setup_bare, teardown),
        cmocka_unit_test(first_fault_in_the_order_of_admission_decides),
        cmocka_unit_test_setup_teardown(uses_up_id_nonce_and_seq_whatever_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(ended_message_does_not_pass_after_a_restart_and_a_clock_set_back, setup, teardown),
        cmocka_unit_test(uses_up_nothing_before_and_with_retryable_refusals),
        cmocka_unit_test_setup_teardown(refused_messages_pass_once_their_fault_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_of_time_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(key_lost_between_verification_and_step_is_004, setup, teardown),
        cmocka_unit_test_setup_teardown(old_key_serves_through_its_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(message_key_is_its_id, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_talent_is_no_receiver, setup, teardown),
        cmocka_unit_test_setup_teardown(message_passes_after_any_idle_time, setup, teardown),
        cmocka_unit_test(denies_everything_without_rules),
        cmocka_unit_test_setup_teardown(secret_is_denied_and_its_bytes_are_not_kept, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
