/*
 * What one step may do, however much is open or has ended; what entries carry of the request (INV-13); counts over a full disk; what a restore names.
 * DESIGN section 4 "Rules of the step" and section 5 Guard.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#define A "if://agent/A"
#define B "if://agent/B"

static struct rig rig;
static const char sensitive[2][129] = {"vault:root", "payments"};

static void begin_with(const struct ifab_fabric_settings *settings)
{
    rig_new(&rig, settings);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT);
    rig_add(&rig, "V1", "vera", IFAB_ROLE_OPERATOR, 13, IFAB_ORDER_STRICT);
    rig_add(&rig, "V2", "vera", IFAB_ROLE_OPERATOR, 14, IFAB_ORDER_STRICT); /* the same owner as V1 */
    rig_add(&rig, "V3", "victor", IFAB_ROLE_OPERATOR, 15, IFAB_ORDER_STRICT);
}

static void begin_large(void)
{
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rules.hold_burst = settings.rules.escalate_burst = 100000;
    settings.rules.open_max_talent = 10000;
    begin_with(&settings);
    rig.unsigned_ok = true;
}

static uint64_t send(const char *sender, const char *content, enum ifab_decision decision)
{
    struct rig_message m = rig_message(&rig, sender, content);
    if (rig_decision(&rig, &m) != (int)decision)
        fail_msg("%s: code %d, decision %d: %s", content, rig.outcome.reply.code, rig.outcome.reply.decision, rig.outcome.reply.refusal.message);
    return m.id;
}

static size_t open_count(void)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(rig.fabric);
    return ifab_decisions_count(open, IFAB_DECISION_HOLD) + ifab_decisions_count(open, IFAB_DECISION_ESCALATE);
}

static size_t with_digest(uint8_t byte)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(rig.fabric);
    uint8_t digest[32];
    size_t count = 0;
    memset(digest, byte, sizeof digest);
    for (const struct ifab_open_decision *d = ifab_decisions_after(open, 0); d != NULL; d = ifab_decisions_after(open, d->number))
        count += memcmp(d->policy_digest32, digest, 32) == 0;
    return count;
}

static void tick(void)
{
    struct ifab_command command = {.type = IFAB_COMMAND_TICK};
    rig_do(&rig, &command);
}

#define MANY 700

/* A changed rule set routes every open decision again, a bounded number a step; the rest is due at once, over a restart too. */
static void changed_rules_route_many_decisions_in_bounded_steps(void **state)
{
    (void)state;
    begin_large();
    uint64_t last = 0;
    for (int i = 0; i < MANY; i++)
        last = send(A, i % 2 == 0 ? RIG_HELD : RIG_ESCALATED, i % 2 == 0 ? IFAB_DECISION_HOLD : IFAB_DECISION_ESCALATE);
    struct ifab_guard_rules rules = rig.settings.rules;
    memset(rules.digest32, 0x12, 32);
    rules.hold_deadline = rules.escalate_deadline = IFAB_DAY;
    size_t entries = rig.entry_count;
    rig_rules(&rig, &rules);
    assert_int_equal(rig.entry_count - entries, 1 + 256);
    assert_int_equal(with_digest(0x12), 256);

    /* what has not had its turn takes no vote under the old rules, and its deadline does not end it */
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
    rig.unsigned_ok = false;
    assert_int_equal(rig_vote_cast(&rig, last, "if://agent/V1", "approve"), IFAB_CODE_CONFLICT);
    assert_non_null(strstr(rig.outcome.reply.refusal.message, "rules changed"));
    assert_int_equal(open_count(), MANY);

    rig.settings.rules = rules;
    rig_restart(&rig); /* in the middle: which are left is known from their records */
    rig.now.run += 15 * IFAB_MINUTE; /* those that are left would be at their deadline */
    rig.now.wall += 15 * IFAB_MINUTE;
    for (size_t done = 256; done < MANY;) {
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
        entries = rig.entry_count;
        tick(); /* routes some; deadlines of some that have been routed come too */
        assert_in_range(rig.entry_count - entries, 1, 512);
        assert_in_range(with_digest(0x12) - done, 1, 256);
        for (size_t i = 0; i < rig.outcome.change_count; i++) /* none twice in one step: what is routed is not also ended by its old deadline */
            for (size_t k = 0; k < i; k++)
                assert_false(rig.outcome.changes[i].kind == IFAB_KIND_DECISION && rig.outcome.changes[k].kind == IFAB_KIND_DECISION &&
                             rig.outcome.changes[i].number == rig.outcome.changes[k].number);
        done = with_digest(0x12);
        assert_non_null(strstr(rig_entry_text(&rig, entries), "\"operation\":\"reopened\""));
        assert_non_null(strstr(rig_entry_text(&rig, entries), "\"why\":\"the rule set changed\""));
    }
    assert_int_equal(open_count(), MANY);
    for (int i = 0; i < 2; i++)
        tick(); /* the deadlines that waited for it */
    entries = rig.entry_count;
    tick();
    assert_int_equal(rig.entry_count, entries);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
    assert_int_equal(rig_vote_cast(&rig, last, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    assert_int_equal(open_count(), MANY - 1);
    rig_free(&rig);
}

static void deadlines_of_many_end_in_bounded_steps(void **state)
{
    (void)state;
    begin_large();
    for (int i = 0; i < MANY; i++)
        send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    rig.now.run += IFAB_DAY;
    rig.now.wall += IFAB_DAY;
    for (size_t left = MANY; left > 0;) {
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
        tick();
        assert_in_range(left - open_count(), 1, 256);
        left = open_count();
    }
    rig_free(&rig);
}

/* What has ended leaves as fast as it came: one conversation and one instance a message, 256 of each a TICK, the earliest first. */
static void the_dead_are_buried_as_fast_as_they_came(void **state)
{
    (void)state;
    begin_large();
    for (int i = 0; i < MANY; i++) {
        char sender[64];
        snprintf(sender, sizeof sender, "%s/%d", i % 2 == 0 ? A : B, i % 64);
        send(sender, RIG_SHARED, IFAB_DECISION_SHARE);
        rig.now.wall += 1000;
    }
    rig.now.wall += 25 * IFAB_HOUR;
    rig.now.run += 25 * IFAB_HOUR;
    size_t ticks = 0;
    struct ifab_command command = {.type = IFAB_COMMAND_TICK};
    size_t left = MANY;
    do {
        rig_do(&rig, &command);
        size_t buried = 0;
        for (size_t i = 0; i < rig.outcome.change_count; i++)
            buried += rig.outcome.changes[i].kind == IFAB_KIND_CONVERSATION && rig.outcome.changes[i].bytes.size == 0;
        assert_in_range(buried, 1, 256);
        assert_true(buried == 256 || buried == left);
        left -= buried;
        ticks++;
    } while (left > 0);
    assert_int_equal(ticks, (MANY + 255) / 256);
    uint64_t cursor = 0;
    assert_null(ifab_sequences_next(ifab_fabric_sequences(rig.fabric), 2, &cursor));
    rig_do(&rig, &command);
    assert_int_equal(rig.outcome.change_count, 0);
    rig_free(&rig);
}

/* Kept answers end in order, a bounded number a TICK, whatever the order of their restart. */
static void kept_answers_end_in_bounded_steps(void **state)
{
    (void)state;
    begin_large();
    for (uint64_t i = 1; i <= 600; i++) {
        struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_GRANT, "A");
        command.u.talent.request.scope = IFAB_VIEW("guard:scope");
        command.idempotency = IFAB_VIEW("key");
        memcpy(command.request16, &i, 8);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        rig.now.wall += 1000;
    }
    rig_restart(&rig);
    rig.now.wall += IFAB_DAY + IFAB_SECOND;
    rig.now.run += IFAB_DAY + IFAB_SECOND;
    for (size_t left = 600; left > 0;) {
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run + IFAB_SECOND);
        tick();
        size_t ended = 0;
        for (size_t i = 0; i < rig.outcome.change_count; i++)
            ended += rig.outcome.changes[i].kind == IFAB_KIND_IDEMPOTENCY;
        assert_int_equal(ended, left < 256 ? left : 256);
        left -= ended;
    }
    rig_free(&rig);
}

/* ---- the clock ---- */

static void a_clock_is_accepted_only_while_one_is_in_doubt(void **state)
{
    (void)state;
    begin_with(NULL);
    struct ifab_command command = {.type = IFAB_COMMAND_CLOCK_ACCEPT, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.note.subject = IFAB_VIEW("clock");
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
    assert_null(strstr(rig_last(&rig), "clock_accept"));
    ifab_fabric_set_clock_doubt(rig.fabric, true);
    command.act = NULL; /* the socket's operator is no admin */
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_PERMISSION_DENIED);
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"clock_accept\""));
    ifab_fabric_set_clock_doubt(rig.fabric, false); /* as the shell does then */
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
    rig_free(&rig);
}

/* ---- who, why, trace, references ---- */

#define REFS ",\"refs\":[\"repo:/docs/plan.md@0123abc\",\"if://task/T-1\"],"

static struct ifab_command with_refs(struct ifab_command command)
{
    command.principal = &rig.principal;
    command.refs[0] = IFAB_VIEW("repo:/docs/plan.md@0123abc");
    command.refs[1] = IFAB_VIEW("if://task/T-1");
    command.ref_count = 2;
    memset(command.trace16, 0x5A, 16);
    return command;
}

/* INV-13: what came with the request stands in every entry that it caused, refusals and consequences too. */
static void entries_carry_the_references_and_the_trace_of_the_request(void **state)
{
    (void)state;
    static const char trace[] = "\"trace\":\"5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\"";
    begin_with(NULL);
    struct ifab_command command = with_refs(rig_talent_command(&rig, IFAB_ACT_GRANT, "A"));
    command.u.talent.request.scope = IFAB_VIEW("guard:scope");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), REFS));
    assert_non_null(strstr(rig_last(&rig), trace));

    command = with_refs(rig_talent_command(&rig, IFAB_ACT_REMOVE, "Nobody"));
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_TALENT_NOT_FOUND);
    assert_non_null(strstr(rig_last(&rig), REFS));
    assert_non_null(strstr(rig_last(&rig), trace));

    command = with_refs((struct ifab_command){.type = IFAB_COMMAND_ERASE, .why = IFAB_VIEW("because")});
    command.act = rig_act(&rig, 1);
    command.u.note.subject = IFAB_VIEW("msg-01930000-0000-7000-8000-000000000001");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), REFS));

    command = with_refs((struct ifab_command){.type = IFAB_COMMAND_BACKUP, .why = IFAB_VIEW("nightly")});
    command.u.note.text = IFAB_VIEW("{\"directory\":\"/b\",\"size\":7}");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), REFS));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"backup\""));
    assert_non_null(strstr(rig_last(&rig), "\"payload\":{\"directory\":\"/b\",\"size\":7}"));
    assert_non_null(strstr(rig_last(&rig), "\"why\":\"nightly\""));
    assert_non_null(memmem(rig.outcome.reply.body.data, rig.outcome.reply.body.size, ",\"directory\":\"/b\",\"size\":7}", 26));

    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE); /* a vote, and the release that it causes */
    assert_null(strstr(rig_last(&rig), "\"refs\""));
    struct rig_vote vote = rig_vote(&rig, id, "if://agent/V1", "approve");
    struct ifab_buf text = IFAB_BUF_INIT(16384), path = IFAB_BUF_INIT(64);
    rig_vote_text(&rig, &vote, &text);
    rig_put_id(&path, "msg-", id);
    ifab_arena_reset(&rig.arena);
    command = with_refs((struct ifab_command){0});
    assert_int_equal(ifab_admit_vote(ifab_buf_as_view(&text), ifab_buf_as_view(&path), rig.keyring, rig.now.wall, &rig.arena, &command, &rig.refusal),
                     IFAB_CODE_NONE);
    size_t entries = rig.entry_count;
    assert_int_equal(rig_step(&rig, &command)->code, IFAB_CODE_NONE);
    assert_int_equal(rig.entry_count, entries + 2);
    assert_non_null(strstr(rig_entry_text(&rig, entries), REFS));
    assert_non_null(strstr(rig_last(&rig), REFS));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"released\""));
    ifab_buf_fini(&text);
    ifab_buf_fini(&path);
    rig_free(&rig);
}

/* SURFACE section 1: the envelope's own trace goes before the request's, that before one of ours. */
static void trace_of_the_envelope_goes_before_the_requests(void **state)
{
    (void)state;
    begin_with(NULL);
    for (int own = 0; own < 2; own++) {
        struct rig_message m = rig_message(&rig, A, RIG_SHARED);
        if (own)
            m.more = ",\"trace\":\"01930000-0000-7000-8000-00000000abcd\"";
        struct ifab_command command;
        ifab_arena_reset(&rig.arena);
        assert_int_equal(rig_admit(&rig, rig_text(&rig, &m), &command), IFAB_CODE_NONE);
        memset(command.trace16, 0x5A, 16);
        assert_int_equal(rig_step(&rig, &command)->code, IFAB_CODE_NONE);
        assert_non_null(strstr(rig_last(&rig), own ? "\"trace\":\"01930000-0000-7000-8000-00000000abcd\"" : "\"trace\":\"5a5a5a5a-"));
    }
    rig_free(&rig);
}

/* SURFACE section 8: a vote is a changing call: the same one again with its key gets the first answer. */
static void vote_with_its_key_again_gets_the_first_answer(void **state)
{
    (void)state;
    begin_with(NULL);
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    struct rig_vote vote = rig_vote(&rig, id, "if://agent/V1", "approve");
    struct ifab_buf text = IFAB_BUF_INIT(16384), path = IFAB_BUF_INIT(64), first = IFAB_BUF_INIT(4096);
    rig_vote_text(&rig, &vote, &text);
    rig_put_id(&path, "msg-", id);
    for (int i = 0; i < 3; i++) {
        struct ifab_command command = {.principal = &rig.principal, .idempotency = IFAB_VIEW("k"), .request16 = {7}, .body32 = {9}};
        ifab_arena_reset(&rig.arena);
        assert_int_equal(ifab_admit_vote(ifab_buf_as_view(&text), ifab_buf_as_view(&path), rig.keyring, rig.now.wall, &rig.arena, &command,
                                         &rig.refusal), IFAB_CODE_NONE);
        if (i == 2)
            command.body32[0] = 8;
        size_t entries = rig.entry_count;
        enum ifab_code code = rig_step(&rig, &command)->code;
        if (i == 0) {
            assert_int_equal(code, IFAB_CODE_NONE);
            ifab_buf_view(&first, rig.outcome.reply.body);
        } else if (i == 1) {
            assert_int_equal(code, IFAB_CODE_NONE);
            assert_true(rig.outcome.reply.replayed);
            assert_true(ifab_view_equal(rig.outcome.reply.body, ifab_buf_as_view(&first)));
            assert_int_equal(rig.entry_count, entries);
        } else {
            assert_int_equal(code, IFAB_CODE_REPLAY_DETECTED); /* another body: what it is without the key */
        }
    }
    ifab_buf_fini(&text);
    ifab_buf_fini(&path);
    ifab_buf_fini(&first);
    rig_free(&rig);
}

/* ---- two votes ---- */

static void sensitive_scope_needs_two_owners(void **state)
{
    (void)state;
    static const char *const touched[] = {
        "{\"hazards\":[\"legal\"],\"scope\":{\"payments\":{\"limit\":5}}}",
        "{\"hazards\":[\"legal\"],\"scope\":{\"uses\":\"vault:root\"}}",
        "{\"hazards\":[\"legal\"],\"scope\":{\"uses\":[1,{\"deep\":[\"payments\"]}]}}",
    };
    static const char *const not[] = {
        "{\"hazards\":[\"legal\"],\"scope\":{\"uses\":\"payments2\"}}",
        "{\"hazards\":[\"legal\"]}",
        "{\"claim\":\"payments\",\"hazards\":[\"legal\"],\"scope\":{\"year\":2024}}",
    };
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.sensitive_scopes = sensitive;
    settings.sensitive_count = 2;
    begin_with(&settings);
    for (size_t i = 0; i < IFAB_COUNT(touched); i++) {
        uint64_t id = send(A, touched[i], IFAB_DECISION_ESCALATE);
        assert_int_equal(rig_open(&rig, id)->votes_needed, 2);
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V2", "approve"), IFAB_CODE_PERMISSION_DENIED); /* of the same owner */
        rig_restart(&rig);
        assert_non_null(rig_open(&rig, id));
        if (i == 1) { /* over a change of the rules too */
            memset(settings.rules.digest32, 0x13, 32);
            rig.settings.rules = settings.rules;
            rig_rules(&rig, &settings.rules);
            assert_int_equal(rig_open(&rig, id)->votes_needed, 2);
            assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
            assert_non_null(rig_open(&rig, id));
        }
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V3", "approve"), IFAB_CODE_NONE);
        assert_null(rig_open(&rig, id));
        assert_non_null(strstr(rig_last(&rig), "\"operation\":\"released\""));
    }
    for (size_t i = 0; i < IFAB_COUNT(not); i++) {
        uint64_t id = send(A, not[i], IFAB_DECISION_ESCALATE);
        assert_int_equal(rig_open(&rig, id)->votes_needed, 1);
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
        assert_null(rig_open(&rig, id));
    }
    uint64_t id = send(A, touched[0], IFAB_DECISION_ESCALATE); /* two of three: one refusal leaves two in reach, the second does not */
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "refuse"), IFAB_CODE_NONE);
    assert_non_null(rig_open(&rig, id));
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V3", "refuse"), IFAB_CODE_NONE);
    assert_null(rig_open(&rig, id));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"denied\""));
    /* held first, escalated at its deadline: the same */
    id = send(A, "{\"claim_id\":\"C-1\",\"confidence\":{\"normalized\":0.25,\"raw\":0.25},\"scope\":{\"payments\":1}}", IFAB_DECISION_HOLD);
    rig_pass(&rig, 15 * IFAB_MINUTE);
    assert_int_equal(rig_open(&rig, id)->state, IFAB_DECISION_ESCALATE);
    assert_int_equal(rig_open(&rig, id)->votes_needed, 2);
    rig_free(&rig);
}

/* As soon as n is out of reach: also when those who could have voted are removed or lose their keys. */
static void escalation_that_lost_its_voters_is_denied(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct ifab_fabric_settings settings;
        rig_settings(&settings);
        settings.rules.votes_needed = 2;
        begin_with(&settings);
        uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE); /* operator, vera, victor */
        assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "approve"), IFAB_CODE_NONE);
        struct ifab_command remove = rig_talent_command(&rig, how == 1 ? IFAB_ACT_REVOKE : IFAB_ACT_REMOVE, "V3");
        remove.act = rig_act(&rig, 1);
        assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
        tick();
        assert_non_null(rig_open(&rig, id)); /* vera's approval stands, operator may still vote */
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
        remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, "V1"); /* has voted: nothing changes */
        remove.act = rig_act(&rig, 1);
        assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
        tick();
        assert_non_null(rig_open(&rig, id));
        rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 20, IFAB_ORDER_STRICT); /* too late to be its voter */
        remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, "operator");
        remove.act = rig_act(&rig, 7);
        assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
        if (how == 2)
            rig_restart(&rig);
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
        tick();
        assert_null(rig_open(&rig, id));
        assert_non_null(strstr(rig_last(&rig), "too few of its voters can still vote"));
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
        rig_free(&rig);
    }
}

/* A vote after which only lost voters are left ends it at once. */
static void vote_that_leaves_only_lost_voters_denies(void **state)
{
    (void)state;
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rules.votes_needed = 2;
    begin_with(&settings);
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE); /* operator, vera, victor */
    struct ifab_command remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, "V3");
    remove.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
    tick();
    assert_non_null(rig_open(&rig, id));
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/V1", "refuse"), IFAB_CODE_NONE);
    assert_null(rig_open(&rig, id));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"denied\""));
    /* lost and changed rules in one: the next TICK still looks */
    id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE); /* operator, vera */
    for (int i = 1; i <= 2; i++) {
        remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, i == 1 ? "V1" : "V2");
        remove.act = rig_act(&rig, 1);
        assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
    }
    rig_rules(&rig, &rig.settings.rules); /* the same set again: nothing is routed */
    tick();
    assert_null(rig_open(&rig, id));
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run);
    rig_free(&rig);
}

/* An owner of many operators does not keep the others from voting. */
static void every_owner_finds_room_among_the_voters(void **state)
{
    (void)state;
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rules.votes_needed = 2;
    rig_new(&rig, &settings);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    for (int i = 0; i < 66; i++) {
        char name[16];
        snprintf(name, sizeof name, "Many%d", i);
        rig_add(&rig, name, "many", IFAB_ROLE_OPERATOR, (uint8_t)(20 + i), IFAB_ORDER_STRICT);
    }
    rig_add(&rig, "Few", "frida", IFAB_ROLE_OPERATOR, 200, IFAB_ORDER_STRICT);
    uint64_t id = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    const struct ifab_open_decision *d = rig_open(&rig, id);
    assert_int_equal(d->voter_count, IFAB_GUARD_VOTERS_MAX);
    for (size_t i = 1; i < d->voter_count; i++)
        assert_true(d->voters[i - 1].talent < d->voters[i].talent);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Many0", "approve"), IFAB_CODE_NONE);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Many1", "approve"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rig_vote_cast(&rig, id, "if://agent/Few", "approve"), IFAB_CODE_NONE);
    assert_null(rig_open(&rig, id));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"released\""));
    rig_free(&rig);
}

/* ---- counts over a full disk ---- */

static const char *total_after(struct ifab_fabric *loaded, const struct ifab_fabric *before)
{
    ifab_fabric_keep_counts(loaded, before);
    ifab_fabric_free(rig.fabric);
    rig.fabric = loaded;
    rig.now.run += 2 * IFAB_MINUTE;
    rig.now.wall += 2 * IFAB_MINUTE;
    tick();
    return rig_last(&rig);
}

/* INV-01: a commit that the disk had no room for takes no count with it, those of its own entry included; what is durable is not told twice. */
static void counted_refusals_outlive_a_full_disk(void **state)
{
    (void)state;
    static const uint8_t sample[16] = {1};
    for (int flushed = 0; flushed < 3; flushed++) {
        begin_with(NULL);
        struct ifab_command command = {.type = IFAB_COMMAND_TICK};
        for (int i = 0; i < 5; i++)
            ifab_fabric_count_refusal(rig.fabric, IFAB_CODE_INVALID_ENVELOPE, IFAB_VIEW("uid:7"), sample, rig.now.run);
        if (flushed == 1) { /* stepped, and the commit fails: the store knows nothing of it */
            ifab_arena_reset(&rig.arena);
            rig_decide(&rig, &command);
            assert_int_equal(rig.outcome.entry_count, 1);
            ifab_fabric_apply(rig.fabric, &rig.outcome);
        } else if (flushed == 2) { /* stepped and committed */
            tick();
            assert_non_null(strstr(rig_last(&rig), "\"total\":5"));
        }
        for (int i = 0; i < 2; i++)
            ifab_fabric_count_refusal(rig.fabric, IFAB_CODE_UNKNOWN_SENDER, IFAB_VIEW("uid:7"), sample, rig.now.run);
        struct ifab_fabric *before = rig.fabric;
        const char *last = total_after(rig_load(&rig, rig.now.wall), before);
        assert_non_null(strstr(last, "refusals_counted"));
        assert_non_null(strstr(last, flushed == 2 ? "\"total\":2" : "\"total\":7"));
        rig_free(&rig);
    }
}

/* ---- restore ---- */

static void restore_names_what_becomes_void(void **state)
{
    (void)state;
    static struct rig old;
    struct ifab_fabric_settings settings;
    static const uint64_t dangling[] = {3, 8};
    begin_with(NULL);
    struct rig_message m = rig_message(&rig, A, RIG_HELD);
    m.receiver = "\"if://agent/B\"";
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_HOLD);
    memset(rig.settings.rules.digest32, 0x13, 32);
    rig.settings.rules.votes_needed = 2;
    rig_rules(&rig, &rig.settings.rules);
    uint64_t escalated = send(A, RIG_ESCALATED, IFAB_DECISION_ESCALATE);
    assert_int_equal(rig_vote_cast(&rig, escalated, "if://agent/V1", "approve"), IFAB_CODE_NONE);
    old = rig;
    settings = old.settings;
    snprintf(settings.origin, sizeof settings.origin, "test.local/main/00000002");
    rig_begin(&rig, &settings);
    rig.now = old.now;
    struct ifab_command command = {.type = IFAB_COMMAND_RESTORE, .why = IFAB_VIEW("the disk died")};
    command.u.restore.old_checkpoint = IFAB_VIEW("c");
    command.u.restore.old_origin = IFAB_VIEW("test.local/main/00000001");
    command.u.restore.old_size = old.entry_count;
    command.u.restore.version = "0.1.0";
    command.u.restore.talents = ifab_fabric_talents(old.fabric);
    command.u.restore.open = ifab_fabric_decisions(old.fabric);
    command.u.restore.dangling = dangling;
    command.u.restore.dangling_count = 2;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    const char *first = rig_entry_text(&rig, 0);
    assert_non_null(strstr(first, "\"payload\":{\"dangling\":[3,8],\"fence_offset\":"));
    assert_non_null(strstr(first, "\"void\":{\"escalated\":1,\"held\":1,\"invites\":0,\"tokens\":0}"));
    assert_int_equal(rig.entry_count, 1 + 6 + 2);
    const char *one = rig_entry_text(&rig, 7), *two = rig_entry_text(&rig, 8);
    assert_non_null(strstr(one, "\"operation\":\"voided\""));
    assert_non_null(strstr(one, "\"receiver\":[\"B\"],\"sender\":\"A\",\"state\":\"held\",\"voters\":[]"));
    assert_non_null(strstr(two, "\"state\":\"escalated\",\"voters\":[{\"name\":\"operator\",\"vote\":null},{\"name\":\"V1\",\"vote\":\"approve\"}"));
    assert_non_null(strstr(two, "\"why_from\":0"));
    assert_int_equal(open_count(), 0);
    for (size_t i = 0; i < rig.entry_count; i++) { /* canonical, as every entry must be */
        const struct ifab_json *tree;
        struct ifab_json_limits limits = {0};
        struct ifab_buf again = IFAB_BUF_INIT(65536);
        struct ifab_view bytes = ifab_view_of(rig.entries[i].bytes, rig.entries[i].size);
        assert_int_equal(ifab_json_read(bytes, &limits, &rig.arena, &tree, NULL), IFAB_OK);
        ifab_json_write(&again, tree);
        assert_true(ifab_view_equal(ifab_buf_as_view(&again), bytes));
        ifab_buf_fini(&again);
    }
    rig_free(&rig);
    rig_free(&old);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_rules_route_many_decisions_in_bounded_steps),
        cmocka_unit_test(deadlines_of_many_end_in_bounded_steps),
        cmocka_unit_test(the_dead_are_buried_as_fast_as_they_came),
        cmocka_unit_test(kept_answers_end_in_bounded_steps),
        cmocka_unit_test(a_clock_is_accepted_only_while_one_is_in_doubt),
        cmocka_unit_test(entries_carry_the_references_and_the_trace_of_the_request),
        cmocka_unit_test(trace_of_the_envelope_goes_before_the_requests),
        cmocka_unit_test(vote_with_its_key_again_gets_the_first_answer),
        cmocka_unit_test(sensitive_scope_needs_two_owners),
        cmocka_unit_test(escalation_that_lost_its_voters_is_denied),
        cmocka_unit_test(vote_that_leaves_only_lost_voters_denies),
        cmocka_unit_test(every_owner_finds_room_among_the_voters),
        cmocka_unit_test(counted_refusals_outlive_a_full_disk),
        cmocka_unit_test(restore_names_what_becomes_void),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
