/* What becomes of held and escalated messages: second source, scope check, votes, deadlines, changed rules. DESIGN section 5 Guard. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "guard/ruleset.h"
#include "rig.h"

#define A "if://agent/A"
#define B "if://agent/B"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT);
    rig_add(&rig, "A2", "alice", IFAB_ROLE_AGENT, 12, IFAB_ORDER_STRICT);      /* the same owner as A */
    rig_add(&rig, "V1", "vera", IFAB_ROLE_OPERATOR, 13, IFAB_ORDER_STRICT);
    rig_add(&rig, "V2", "vera", IFAB_ROLE_OPERATOR, 14, IFAB_ORDER_STRICT);    /* the same owner as V1 */
    rig_add(&rig, "AO", "alice", IFAB_ROLE_OPERATOR, 15, IFAB_ORDER_STRICT);   /* an operator, of the proposer's owner */
    rig_add(&rig, "V3", "victor", IFAB_ROLE_OPERATOR, 16, IFAB_ORDER_STRICT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

static size_t held(void)
{
    return ifab_decisions_count(ifab_fabric_decisions(rig.fabric), IFAB_DECISION_HOLD);
}

static size_t escalated(void)
{
    return ifab_decisions_count(ifab_fabric_decisions(rig.fabric), IFAB_DECISION_ESCALATE);
}

/* Sends and expects; the message's id. */
static uint64_t send(const char *sender, const char *content, enum ifab_decision decision)
{
    struct rig_message m = rig_message(&rig, sender, content);
    if (rig_decision(&rig, &m) != (int)decision)
        fail_msg("%s: code %d, decision %d: %s", content, rig.outcome.reply.code, rig.outcome.reply.decision,
                 rig.outcome.reply.refusal.message);
    return m.id;
}

static bool last_says(const char *text)
{
    return strstr(rig_last(&rig), text) != NULL;
}

/* ---- second source ---- */

#define CLAIM(confidence, id, scope, evidence)                                                                   \
    "{\"claim\":\"x\",\"claim_id\":\"" id "\",\"confidence\":{\"normalized\":" confidence ",\"raw\":" confidence \
    "},\"evidence\":[" evidence "],\"scope\":" scope "}"
#define EVIDENCE(url, digit) \
    "{\"hash\":\"sha256:" digit "bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd12\",\"type\":\"filing\",\"url\":\"" url "\"}"
#define FIRST CLAIM("0.25", "C-9", "{\"year\":2024}", EVIDENCE("https://www.example.co.uk/a", "a"))
#define SECOND CLAIM("0.9", "C-9", "{\"year\":2024}", EVIDENCE("https://other.example.org/b", "b"))

static void independent_second_source_releases(void **state)
{
    (void)state;
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD);
    assert_int_equal(held(), 1);
    assert_true(last_says("\"expires_at\""));
    send(B, SECOND, IFAB_DECISION_SHARE);
    assert_null(rig_open(&rig, id));
    assert_true(last_says("\"operation\":\"released\""));
    assert_true(last_says("second source"));
    assert_true(last_says("\"why_from\":"));
    assert_int_equal(held(), 0);
}

/* Each condition violated alone does not release. */
static void dependent_second_source_does_not_release(void **state)
{
    (void)state;
    static const struct {
        const char *why, *sender, *performative, *content;
        int decision;
    } cases[] = {
        {"the sender itself", A, "inform", SECOND, IFAB_DECISION_SHARE},
        {"another talent of the same owner", "if://agent/A2", "inform", SECOND, IFAB_DECISION_SHARE},
        {"not an inform or agree", B, "propose", SECOND, IFAB_DECISION_SHARE},
        {"another claim_id", B, "inform", CLAIM("0.9", "C-8", "{\"year\":2024}", EVIDENCE("https://other.example.org/b", "b")),
         IFAB_DECISION_SHARE},
        {"claim_id in other case", B, "inform", CLAIM("0.9", "c-9", "{\"year\":2024}", EVIDENCE("https://other.example.org/b", "b")),
         IFAB_DECISION_SHARE},
        {"another scope", B, "inform", CLAIM("0.9", "C-9", "{\"year\":2023}", EVIDENCE("https://other.example.org/b", "b")),
         IFAB_DECISION_SHARE},
        {"no scope", B, "inform", "{\"claim_id\":\"C-9\",\"confidence\":{\"normalized\":0.9,\"raw\":0.9}}", IFAB_DECISION_HOLD},
        {"the same host", B, "inform", CLAIM("0.9", "C-9", "{\"year\":2024}", EVIDENCE("http://www.example.co.uk/b", "b")),
         IFAB_DECISION_SHARE},
        {"the same registrable domain", B, "inform",
         CLAIM("0.9", "C-9", "{\"year\":2024}", EVIDENCE("https://u:8@news.EXAMPLE.co.uk.:444/b", "b")), IFAB_DECISION_DENY},
        {"the same registrable domain, other port and case", B, "inform",
         CLAIM("0.9", "C-9", "{\"year\":2024}", EVIDENCE("https://news.EXAMPLE.co.uk.:444/b", "b")), IFAB_DECISION_SHARE},
        {"the same evidence hash", B, "inform", CLAIM("0.9", "C-9", "{\"year\":2024}", EVIDENCE("https://other.example.org/b", "a")),
         IFAB_DECISION_SHARE},
        {"not shared itself", B, "inform", CLAIM("0.25", "C-9", "{\"year\":2024}", EVIDENCE("https://other.example.org/b", "b")),
         IFAB_DECISION_HOLD},
    };
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD);
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct rig_message m = rig_message(&rig, cases[i].sender, cases[i].content);
        m.performative = cases[i].performative;
        if (rig_decision(&rig, &m) != cases[i].decision)
            fail_msg("%s: decision %d, code %d %s", cases[i].why, rig.outcome.reply.decision, rig.outcome.reply.code,
                     rig.outcome.reply.refusal.message);
        if (rig_open(&rig, id) == NULL)
            fail_msg("released by %s", cases[i].why);
    }
    send(B, SECOND, IFAB_DECISION_SHARE); /* it could have been */
    assert_null(rig_open(&rig, id));
}

static void agree_in_the_conversation_is_a_second_source(void **state)
{
    (void)state;
    struct rig_message first = rig_message(&rig, A, FIRST);
    assert_int_equal(rig_decision(&rig, &first), IFAB_DECISION_HOLD);
    struct rig_message m = rig_message(&rig, B, SECOND);
    m.performative = "agree";
    m.conversation = first.conversation;
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_SHARE);
    assert_null(rig_open(&rig, first.id));
}

/* ---- scope check ---- */

static void scope_check_needs_its_grant_and_another_owner(void **state)
{
    (void)state;
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD), refused = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    assert_int_equal(rig_vote_cast(&rig, id, B, "scope-ok"), IFAB_CODE_GRANT_MISSING);
    rig_grant(&rig, "B", "guard:scope");
    rig_grant(&rig, "A2", "guard:scope");
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/A2", "scope-ok"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rig_vote_cast(&rig, refused, B, "scope-ok"), IFAB_CODE_CONFLICT);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_CONFLICT); /* held, not escalated */
    assert_non_null(rig_open(&rig, id));
    assert_int_equal(rig_vote_cast(&rig, id, B, "scope-ok"), IFAB_CODE_NONE);
    assert_true(last_says("\"operation\":\"released\"") && last_says("scope check"));
    assert_null(rig_open(&rig, id));
    assert_int_equal(rig_vote_cast(&rig, id, B, "scope-ok"), IFAB_CODE_NOT_FOUND);
}

/* A grant that has ended is none. */
static void scope_check_with_an_ended_grant_is_refused(void **state)
{
    (void)state;
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD);
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_GRANT, "B");
    command.u.talent.request.scope = IFAB_VIEW("guard:scope");
    command.u.talent.request.expires_at = rig.now.wall + IFAB_MINUTE;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    rig_pass(&rig, IFAB_MINUTE);
    assert_int_equal(rig_vote_cast(&rig, id, B, "scope-ok"), IFAB_CODE_GRANT_MISSING);
}

/* ---- deadlines ---- */

static void held_escalates_at_its_deadline_and_escalated_is_denied_at_its_own(void **state)
{
    (void)state;
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD);
    rig_pass(&rig, 15 * IFAB_MINUTE - 1);
    assert_int_equal(rig_open(&rig, id)->state, IFAB_DECISION_HOLD);
    rig_pass(&rig, 1);
    assert_int_equal(rig_open(&rig, id)->state, IFAB_DECISION_ESCALATE);
    assert_true(last_says("\"operation\":\"escalated\"") && last_says("held until its deadline"));
    assert_int_equal(rig_open(&rig, id)->voter_count, 4); /* operator, V1, V2, V3; not AO */
    rig_restart(&rig);
    rig_pass(&rig, 24 * IFAB_HOUR - 1);
    assert_non_null(rig_open(&rig, id));
    rig_pass(&rig, 1);
    assert_null(rig_open(&rig, id));
    assert_true(last_says("\"operation\":\"denied\"") && last_says("no decision before the deadline"));
    assert_int_equal(held() + escalated(), 0);
}

/* Hundreds due at once end, a bounded number a step. */
static void deadlines_of_many_all_come(void **state)
{
    (void)state;
    for (int i = 0; i < 120; i++)
        send(i % 2 == 0 ? A : B, "{\"confidence\":{\"normalized\":0.25,\"raw\":0.25}}", IFAB_DECISION_HOLD);
    rig_pass(&rig, 15 * IFAB_MINUTE);
    assert_int_equal(held(), 0);
    assert_int_equal(escalated(), 120);
    rig_pass(&rig, 24 * IFAB_HOUR);
    assert_int_equal(escalated(), 0);
}

/* ---- votes ---- */

static void approval_shares_and_refusal_denies(void **state)
{
    (void)state;
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    assert_true(last_says("\"operation\":\"released\"") && last_says("approved by vote"));
    assert_non_null(memmem(rig.outcome.reply.body.data, rig.outcome.reply.body.size, "\"decision\":\"SHARE\"", 18));
    assert_null(rig_open(&rig, id));

    id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE); /* one refusal: others may still approve */
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "refuse"), IFAB_CODE_NONE);
    assert_non_null(rig_open(&rig, id));
    assert_non_null(memmem(rig.outcome.reply.body.data, rig.outcome.reply.body.size, "\"state\":\"escalated\"", 19));
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V2", "approve"), IFAB_CODE_PERMISSION_DENIED); /* the owner has voted */
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_CONFLICT);          /* the first vote counts */
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V3", "refuse"), IFAB_CODE_NONE);
    rig_restart(&rig);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/operator", "refuse"), IFAB_CODE_NONE); /* out of reach */
    assert_null(rig_open(&rig, id));
    assert_true(last_says("\"operation\":\"denied\"") && last_says("refused by vote"));
}

static void only_the_voters_fixed_at_opening_may_vote(void **state)
{
    (void)state;
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    rig_add(&rig, "Late", "lara", IFAB_ROLE_OPERATOR, 17, IFAB_ORDER_STRICT);
    static const char *const nobodies[] = {A, B, "if://agent/A2", "if://agent/AO", "if://agent/Late"};
    for (size_t i = 0; i < IFAB_COUNT(nobodies); i++)
        assert_int_equal(rig_vote_cast(&rig, id, nobodies[i], "approve"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Nobody", "approve"), IFAB_CODE_UNKNOWN_SENDER);
    assert_non_null(rig_open(&rig, id));
}

static void vote_binds_digests_log_time_and_is_cast_once(void **state)
{
    (void)state;
    static const char *const voter = "if://agent/V1";
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    struct rig_vote vote = rig_vote(&rig, id, voter, "approve"), bad = vote;
    bad.message_digest32[3] ^= 1;
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_CONFLICT);
    assert_string_equal(rig.outcome.reply.refusal.field, "message_digest");
    bad = vote;
    bad.policy_digest32[3] ^= 1;
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_CONFLICT);
    assert_string_equal(rig.outcome.reply.refusal.field, "policy_digest");
    bad = vote;
    bad.log = "other.local/main/00000001";
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_WRONG_AUDIENCE);
    bad = vote;
    bad.issued_at += 61 * IFAB_SECOND;
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_FUTURE_MESSAGE);
    bad = vote;
    bad.issued_at -= 10 * IFAB_MINUTE;
    bad.expires_at = rig.now.wall - 60 * IFAB_SECOND - 1000;
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_EXPIRED_MESSAGE);
    bad = vote;
    bad.expires_at = bad.issued_at + IFAB_HOUR + 1000; /* a vote lives for an hour at most */
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_EXPIRED_MESSAGE);
    bad = vote;
    bad.signer = rig.talents[2].signer;
    assert_int_equal(rig_cast(&rig, &bad), IFAB_CODE_INVALID_SIGNATURE); /* INV-02 */
    assert_non_null(rig_open(&rig, id));

    struct ifab_guard_rules rules = rig.settings.rules;
    rules.votes_needed = 2;
    memset(rules.digest32, 0x12, 32);
    rig_rules(&rig, &rules);
    assert_int_equal(rig_cast(&rig, &vote), IFAB_CODE_CONFLICT); /* of the old rules */
    vote = rig_vote(&rig, id, voter, "approve");
    assert_int_equal(rig_cast(&rig, &vote), IFAB_CODE_NONE);
    assert_int_equal(rig_cast(&rig, &vote), IFAB_CODE_REPLAY_DETECTED); /* the same bytes */
    rig_restart(&rig);
    assert_int_equal(rig_cast(&rig, &vote), IFAB_CODE_REPLAY_DETECTED);
    assert_int_equal(rig_vote_cast(&rig, id, voter, "approve"), IFAB_CODE_CONFLICT); /* another vote of the same voter */
    assert_non_null(rig_open(&rig, id));
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V3", "approve"), IFAB_CODE_NONE);
    assert_null(rig_open(&rig, id));
}

/* The key that verified a vote is revoked before the step: 004. */
static void voters_key_is_judged_again_in_the_step(void **state)
{
    (void)state;
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    struct rig_vote vote = rig_vote(&rig, id, "if://agent/V1", "approve");
    struct ifab_buf text = IFAB_BUF_INIT(16384), path = IFAB_BUF_INIT(64);
    struct ifab_arena arena;
    struct ifab_command command = {0}, revoke = rig_talent_command(&rig, IFAB_ACT_REVOKE, "V1");
    ifab_arena_init(&arena, 1U << 20);
    rig_vote_text(&rig, &vote, &text);
    rig_put_id(&path, "msg-", id);
    assert_int_equal(ifab_admit_vote(ifab_buf_as_view(&text), ifab_buf_as_view(&path), rig.keyring, rig.now.wall, &arena, &command, NULL),
                     IFAB_CODE_NONE);
    revoke.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &revoke)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_KEY_REVOKED);
    assert_non_null(rig_open(&rig, id));
    ifab_arena_fini(&arena);
    ifab_buf_fini(&text);
    ifab_buf_fini(&path);
}

/* INV-03: a refused vote uses up nothing, an escalated decision that waits is not touched by it, and it leaves an entry. */
static void refused_votes_are_witnessed_and_use_up_nothing(void **state)
{
    (void)state;
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE), tags = ifab_replay_count(ifab_fabric_replay(rig.fabric));
    size_t entries = rig.entry_count;
    assert_int_equal(rig_vote_cast(&rig, id, B, "approve"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rig.entry_count, entries + 1);
    assert_true(last_says("IF_ERR_003") && last_says("if://agent/B"));
    assert_int_equal(ifab_replay_count(ifab_fabric_replay(rig.fabric)), tags);
}

/* Two talents may use one id: the digest tells which message a vote means. */
static void vote_finds_its_message_among_equal_ids(void **state)
{
    (void)state;
    struct rig_message a = rig_message(&rig, A, RIG_ESCALATED), b = rig_message(&rig, B, RIG_ESCALATED);
    b.id = a.id;
    assert_int_equal(rig_decision(&rig, &a), IFAB_DECISION_ESCALATE);
    struct ifab_open_decision first = *rig_open(&rig, a.id);
    assert_int_equal(rig_decision(&rig, &b), IFAB_DECISION_ESCALATE);
    const struct ifab_open_decision *second = ifab_decisions_after(ifab_fabric_decisions(rig.fabric), first.number);
    struct rig_vote vote = rig_vote(&rig, a.id, "if://agent/V1", "approve");
    memcpy(vote.message_digest32, second->message_digest32, 32);
    assert_int_equal(rig_cast(&rig, &vote), IFAB_CODE_NONE);
    assert_int_equal(escalated(), 1);
    assert_memory_equal(rig_open(&rig, a.id)->message_digest32, first.message_digest32, 32);
}

static void escalation_without_enough_voters_is_denied_at_once(void **state)
{
    (void)state;
    struct ifab_guard_rules rules = rig.settings.rules;
    rules.votes_needed = 4; /* owners: operator, vera, victor */
    memset(rules.digest32, 0x12, 32);
    rig_rules(&rig, &rules);
    send(A, RIG_ESCALATED, IFAB_DECISION_DENY);
    assert_true(last_says("builtin.no-voters"));
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD); /* and when it comes to its deadline */
    rig_pass(&rig, 15 * IFAB_MINUTE);
    assert_null(rig_open(&rig, id));
    assert_true(last_says("\"operation\":\"denied\""));
    rules.votes_needed = 0; /* zeroed: never reached */
    memset(rules.digest32, 0x13, 32);
    rig_rules(&rig, &rules);
    send(A, RIG_ESCALATED, IFAB_DECISION_DENY);
}

/* ---- the sender's key is revoked ---- */

static void take(enum ifab_talent_act act, const char *name, const uint8_t *pubkey32, ifab_usec overlap)
{
    struct ifab_command command = rig_talent_command(&rig, act, name);
    command.u.talent.request.pubkey32 = pubkey32;
    command.u.talent.request.overlap = overlap;
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

/* Voters are fixed with their keys: an admin who puts a key of his own in the place of another's does not vote as that one on what is open. */
static void a_key_in_the_place_of_a_voters_approves_nothing_that_is_open(void **state)
{
    uint8_t new32[32];
    for (int overlap = 0; overlap < 2; overlap++) {
        struct ifab_signer *new = make_signer(40), **place = &rig_talent_of(&rig, "if://agent/V1")->signer, *old = *place;
        uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
        rig_pass(&rig, IFAB_SECOND);
        ifab_signer_public(new, new32);
        take(IFAB_ACT_ROTATE, "V1", new32, overlap * IFAB_HOUR);
        *place = new;
        rig_restart(&rig);
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_PERMISSION_DENIED);
        assert_true(strstr(rig.outcome.reply.refusal.hint, "another voter") != NULL);
        assert_non_null(rig_open(&rig, id));
        *place = old;
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), overlap ? IFAB_CODE_NONE : IFAB_CODE_KEY_REVOKED);
        *place = new;
        ifab_signer_free(old);
        uint64_t next = send(B, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
        assert_int_equal(rig_vote_cast(&rig, next, "if://agent/V1", "approve"), IFAB_CODE_NONE); /* it stood when that one was opened */
        teardown(state);
        setup(state);
    }
    struct ifab_signer *new = make_signer(40);
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    rig_pass(&rig, IFAB_SECOND);
    ifab_signer_public(new, new32);
    take(IFAB_ACT_ROTATE, "V1", new32, 0);
    ifab_signer_free(rig_talent_of(&rig, "if://agent/V1")->signer);
    rig_talent_of(&rig, "if://agent/V1")->signer = new;
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "refuse"), IFAB_CODE_NONE); /* a refusal lets nothing through */
}

/* A voter who came while it was held votes with the key he came with. */
static void who_is_enrolled_before_it_is_escalated_votes(void **state)
{
    (void)state;
    uint64_t id = send(A, FIRST, IFAB_DECISION_HOLD);
    rig_pass(&rig, IFAB_SECOND);
    rig_add(&rig, "Late", "lara", IFAB_ROLE_OPERATOR, 17, IFAB_ORDER_STRICT);
    while (rig_open(&rig, id)->state == IFAB_DECISION_HOLD) {
        rig_pass(&rig, IFAB_HOUR);
        rig_tick(&rig);
    }
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Late", "approve"), IFAB_CODE_NONE);
}

/* INV-02: what a stolen key said is denied in the step that revokes it; other talents wait on. */
static void revocation_reaches_what_waits(void **state)
{
    uint8_t key32[32], new32[32];
    struct ifab_signer *signer = make_signer(10), *new = make_signer(40);
    ifab_signer_public(signer, key32);
    ifab_signer_public(new, new32);
    for (int how = 0; how < 5; how++) { /* 3: a rotation without overlap revokes */
        uint64_t asked = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE), waiting = send(A, FIRST, IFAB_DECISION_HOLD);
        uint64_t other = send(B, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
        if (how == 4)
            rig_restart(&rig);
        take(how == 1 ? IFAB_ACT_REMOVE : how == 3 ? IFAB_ACT_ROTATE : IFAB_ACT_REVOKE, "A", how == 2 ? key32 : how == 3 ? new32 : NULL, 0);
        assert_int_equal(rig.outcome.entry_count, 3);
        assert_true(last_says("\"operation\":\"denied\"") && last_says("the key of its sender was revoked"));
        assert_null(rig_open(&rig, asked));
        assert_null(rig_open(&rig, waiting));
        assert_non_null(rig_open(&rig, other));
        send(B, SECOND, IFAB_DECISION_SHARE);
        rig_restart(&rig);
        assert_int_equal(held() + escalated(), 1);
        teardown(state);
        setup(state);
    }
    ifab_signer_free(signer);
    ifab_signer_free(new);
}

/* A key that was replaced before the message came, or revoked before, did not sign it. */
static void revocation_of_a_key_that_signed_nothing_denies_nothing(void **state)
{
    uint8_t old32[32], new32[32];
    struct ifab_signer *old = make_signer(10), *new = make_signer(40);
    (void)state;
    ifab_signer_public(old, old32);
    ifab_signer_public(new, new32);
    take(IFAB_ACT_ROTATE, "A", new32, IFAB_SECOND);
    ifab_signer_free(rig_talent_of(&rig, A)->signer);
    rig_talent_of(&rig, A)->signer = new;
    rig_pass(&rig, IFAB_MINUTE);
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    take(IFAB_ACT_REVOKE, "A", old32, 0);
    take(IFAB_ACT_REVOKE, "A2", NULL, 0);
    rig_pass(&rig, 1);
    assert_non_null(rig_open(&rig, id));
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    assert_true(last_says("\"operation\":\"released\""));
    ifab_signer_free(old);
}

/* ---- the rules change ---- */

static void changed_rules_reopen_with_their_digest_and_void_votes(void **state)
{
    (void)state;
    struct ifab_guard_rules rules = rig.settings.rules;
    rules.votes_needed = 2;
    memset(rules.digest32, 0x12, 32);
    rig_rules(&rig, &rules);
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE), waiting = send(A, FIRST, IFAB_DECISION_HOLD);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    memset(rules.digest32, 0x13, 32);
    rig_rules(&rig, &rules);
    assert_true(last_says("\"operation\":\"reopened\""));
    assert_memory_equal(rig_open(&rig, id)->policy_digest32, rules.digest32, 32);
    assert_memory_equal(rig_open(&rig, waiting)->policy_digest32, rules.digest32, 32);
    for (size_t i = 0; i < rig_open(&rig, id)->voter_count; i++)
        assert_int_equal(rig_open(&rig, id)->voters[i].voted, 0);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V3", "approve"), IFAB_CODE_NONE);
    assert_non_null(rig_open(&rig, id)); /* the old approval does not count */
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    assert_null(rig_open(&rig, id));
    send(B, SECOND, IFAB_DECISION_SHARE); /* what is held still waits for its second source, and takes it */
    assert_null(rig_open(&rig, waiting));
}

/* INV-06: rules that are lost close everything that waits. */
static void lost_rules_deny_what_waits(void **state)
{
    (void)state;
    struct ifab_guard_rules none = {0};
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE), waiting = send(A, FIRST, IFAB_DECISION_HOLD);
    rig_rules(&rig, &none);
    assert_null(rig_open(&rig, id));
    assert_null(rig_open(&rig, waiting));
    assert_int_equal(held() + escalated(), 0);
}

/* A start without rules: a vote or a second source cannot share, and the answer says what became of it. INV-06 */
static void answers_to_votes_say_what_became_of_the_message(void **state)
{
    (void)state;
    rig_grant(&rig, "B", "guard:scope");
    uint64_t ids[2] = {send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE), send(A, FIRST, IFAB_DECISION_HOLD)};
    struct ifab_fabric_settings settings = rig.settings;
    settings.rules.loaded = false; /* the file is broken at this start */
    struct ifab_fabric *fabric;
    assert_int_equal(rig_load_from(&rig, &settings, &fabric), IFAB_OK);
    ifab_fabric_free(rig.fabric);
    rig.fabric = fabric;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_vote_cast(&rig, ids[i], i == 0 ? "if://agent/V1" : B, i == 0 ? "approve" : "scope-ok"), IFAB_CODE_NONE);
        assert_true(last_says("\"operation\":\"denied\""));
        assert_null(rig_open(&rig, ids[i]));
        assert_non_null(memmem(rig.outcome.reply.body.data, rig.outcome.reply.body.size, "\"decision\":\"DENY\"", 17));
        assert_null(memmem(rig.outcome.reply.body.data, rig.outcome.reply.body.size, "SHARE", 5));
    }
}

/* What is delivered says when it was admitted, when released, and to whom it goes. */
static void release_names_admission_and_receivers(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, A, RIG_ESCALATED);
    char expected[64];
    m.receiver = "[\"if://agent/B/7\",\"if://agent/A2\",\"if://topic/x\"]";
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_ESCALATE);
    snprintf(expected, sizeof expected, "\"index\":%zu},\"decision\":\"SHARE\"", rig.entry_count - 1);
    rig_pass(&rig, IFAB_MINUTE);
    assert_int_equal(rig_vote_cast(&rig, m.id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    assert_true(last_says("\"admitted\":{\"at\":\"2025-11-12T10:22:00.000Z\""));
    assert_true(last_says(expected));
    assert_true(last_says("\"receiver\":[\"if://agent/B\",\"if://agent/A2\"]"));
    assert_true(last_says("\"time\":\"2025-11-12T10:23:00.000Z\""));
}

/* The receipt and the JSON of an open decision parse, and name what they must. */
static void open_decision_reads_as_json(void **state)
{
    (void)state;
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    struct ifab_buf text = IFAB_BUF_INIT(65536);
    const struct ifab_json *json;
    struct ifab_view decision;
    ifab_fabric_decision_json(rig.fabric, rig_open(&rig, id), &text);
    assert_int_equal(ifab_json_read(ifab_buf_as_view(&text), &(struct ifab_json_limits){0}, &rig.arena, &json, NULL), IFAB_OK);
    assert_true(ifab_json_string(ifab_json_get(json, "state"), &decision) && ifab_view_is(decision, "escalated"));
    assert_int_equal(ifab_json_get(json, "voters")->u.array.count, 4);
    ifab_buf_fini(&text);
}

/* The guard's list of performatives and roles is not the fabric's own: a word that is there must be one a rule can ask for. */
static void rules_may_name_every_performative_and_role(void **state)
{
    (void)state;
    for (unsigned i = 0; i < IFAB_PERFORMATIVE_COUNT + IFAB_ROLE_ADMIN; i++) {
        bool performative = i < IFAB_PERFORMATIVE_COUNT;
        const char *word = performative ? ifab_performative_name((enum ifab_performative)i) : ifab_role_name((enum ifab_role)(i - IFAB_PERFORMATIVE_COUNT + 1));
        char text[160];
        struct ifab_rule_source source = {0};
        struct ifab_ruleset *set = NULL;
        const struct ifab_json *where;
        snprintf(text, sizeof text, "{\"v\":1,\"rules\":[{\"id\":\"r\",\"effect\":\"deny\",\"when\":{\"%s\":\"%s\"}}]}",
                 performative ? "parent.performative" : "sender.role", word);
        assert_int_equal(ifab_json_read(ifab_view_str(text), NULL, &rig.arena, &source.root, NULL), IFAB_OK);
        if (ifab_ruleset_compile(&source, &set, &where, NULL) != IFAB_OK)
            fail_msg("no rule may ask for %s", word);
        ifab_ruleset_free(set);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rules_may_name_every_performative_and_role, setup, teardown),
        cmocka_unit_test_setup_teardown(independent_second_source_releases, setup, teardown),
        cmocka_unit_test_setup_teardown(dependent_second_source_does_not_release, setup, teardown),
        cmocka_unit_test_setup_teardown(agree_in_the_conversation_is_a_second_source, setup, teardown),
        cmocka_unit_test_setup_teardown(scope_check_needs_its_grant_and_another_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(scope_check_with_an_ended_grant_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(held_escalates_at_its_deadline_and_escalated_is_denied_at_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(deadlines_of_many_all_come, setup, teardown),
        cmocka_unit_test_setup_teardown(approval_shares_and_refusal_denies, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_voters_fixed_at_opening_may_vote, setup, teardown),
        cmocka_unit_test_setup_teardown(vote_binds_digests_log_time_and_is_cast_once, setup, teardown),
        cmocka_unit_test_setup_teardown(voters_key_is_judged_again_in_the_step, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_in_the_place_of_a_voters_approves_nothing_that_is_open, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_enrolled_before_it_is_escalated_votes, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_votes_are_witnessed_and_use_up_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(vote_finds_its_message_among_equal_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(escalation_without_enough_voters_is_denied_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(revocation_reaches_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(revocation_of_a_key_that_signed_nothing_denies_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_rules_reopen_with_their_digest_and_void_votes, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_rules_deny_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_to_votes_say_what_became_of_the_message, setup, teardown),
        cmocka_unit_test_setup_teardown(release_names_admission_and_receivers, setup, teardown),
        cmocka_unit_test_setup_teardown(open_decision_reads_as_json, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
