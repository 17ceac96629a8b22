/* Idempotency-Key of changing calls: SURFACE section 8. Kept 24 h with the body's digest, at most 10,000 a principal, over a restart too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

/* A grant under key number `key` with a body of its own. */
static struct ifab_command grant(uint64_t key, uint8_t body)
{
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_GRANT, "A");
    command.u.talent.request.scope = IFAB_VIEW("guard:scope");
    command.idempotency = IFAB_VIEW("key");
    memcpy(command.request16, &key, 8);
    command.request16[15] = (uint8_t)command.principal->uid;
    command.body32[0] = body;
    return command;
}

static void same_key_and_body_gets_the_first_answer(void **state)
{
    (void)state;
    struct ifab_command command = grant(1, 1);
    struct ifab_buf first = IFAB_BUF_INIT(65536);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_false(rig.outcome.reply.replayed);
    ifab_buf_view(&first, rig.outcome.reply.body);
    size_t entries = rig.entry_count;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        assert_true(rig.outcome.reply.replayed);
        assert_int_equal(rig.outcome.reply.http, 200);
        assert_true(ifab_view_equal(rig.outcome.reply.body, ifab_buf_as_view(&first)));
        assert_int_equal(rig.entry_count, entries);
        rig_restart(&rig);
    }
    ifab_buf_fini(&first);
}

static void same_key_with_another_body_is_409(void **state)
{
    (void)state;
    struct ifab_command command = grant(1, 1), other = grant(1, 2), apart = grant(2, 2);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    uint64_t trust = ifab_fabric_trust_version(rig.fabric);
    assert_int_equal(rig_do(&rig, &other)->code, IFAB_CODE_CONFLICT);
    assert_string_equal(rig.outcome.reply.refusal.field, "Idempotency-Key");
    assert_int_equal(ifab_fabric_trust_version(rig.fabric), trust);
    assert_int_equal(rig_do(&rig, &apart)->code, IFAB_CODE_NONE);
    assert_int_equal(ifab_fabric_trust_version(rig.fabric), trust + 1);
}

/* What was refused is not kept: the same request passes once it may. */
static void refusals_are_not_kept(void **state)
{
    (void)state;
    struct ifab_command command = grant(1, 1);
    command.u.talent.request.name = IFAB_VIEW("Later");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_TALENT_NOT_FOUND);
    rig_add(&rig, "Later", "", IFAB_ROLE_AGENT, 20, IFAB_ORDER_STRICT);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_false(rig.outcome.reply.replayed);
}

/* Authority is checked first: who may no longer do it does not read the answer either. */
static void authority_is_checked_before_the_kept_answer(void **state)
{
    (void)state;
    struct ifab_principal nobody = rig.principal;
    struct ifab_command command = grant(1, 1);
    nobody.role = IFAB_ROLE_READONLY;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    command.principal = &nobody;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_PERMISSION_DENIED);

    struct ifab_command signed_command = grant(2, 1);
    struct ifab_admin_act act = *rig_act(&rig, 3);
    signed_command.act = &act;
    assert_int_equal(rig_do(&rig, &signed_command)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &signed_command)->code,
                     IFAB_CODE_NONE); /* the very bytes again, its act used up: a repeat after a lost answer */
    assert_true(rig.outcome.reply.replayed);
    struct ifab_command apart = grant(3, 1); /* the used act is good for nothing else */
    apart.act = &act;
    assert_int_equal(rig_do(&rig, &apart)->code, IFAB_CODE_REPLAY_DETECTED);
    uint64_t tags = ifab_replay_count(ifab_fabric_replay(rig.fabric));
    struct ifab_admin_act again = *rig_act(&rig, 3);
    signed_command.act = &again;
    assert_int_equal(rig_do(&rig, &signed_command)->code, IFAB_CODE_NONE); /* signed anew: the kept answer, nothing used up */
    assert_true(rig.outcome.reply.replayed);
    assert_int_equal(ifab_replay_count(ifab_fabric_replay(rig.fabric)), tags);
    struct ifab_command revoke = rig_talent_command(&rig, IFAB_ACT_REVOKE, "Adm");
    revoke.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &revoke)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &signed_command)->code, IFAB_CODE_KEY_REVOKED);
}

static void kept_for_a_day(void **state)
{
    (void)state;
    struct ifab_command command = grant(1, 1), other = grant(1, 2);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    rig_pass(&rig, 24 * IFAB_HOUR - 1);
    rig_restart(&rig);
    assert_int_equal(rig_do(&rig, &other)->code, IFAB_CODE_CONFLICT);
    rig.now.wall += 1; /* no tick yet: an ended one gives way */
    rig.now.run += 1;
    assert_int_equal(rig_do(&rig, &other)->code, IFAB_CODE_NONE);
    assert_false(rig.outcome.reply.replayed);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
    rig_restart(&rig);
    assert_int_equal(rig_do(&rig, &other)->code, IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.replayed);
}

static size_t kept_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < rig.record_count; i++)
        count += rig.records[i].kind == IFAB_KIND_IDEMPOTENCY && rig.records[i].bytes != NULL;
    return count;
}

/* 10,000 a principal: the next is 305, another principal has its own; after their day they leave by ticks, and there is room. */
static void ten_thousand_keys_a_principal(void **state)
{
    (void)state;
    struct ifab_command command;
    for (uint64_t i = 0; i < 10000; i++) {
        command = grant(i, 1);
        if (rig_do(&rig, &command)->code != IFAB_CODE_NONE)
            fail_msg("key %llu: %s", (unsigned long long)i, rig.outcome.reply.refusal.message);
    }
    assert_int_equal(kept_count(), 10000);
    command = grant(10000, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_QUOTA_EXCEEDED);
    struct ifab_command again = grant(77, 1);
    assert_int_equal(rig_do(&rig, &again)->code, IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.replayed);
    rig_restart(&rig);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_QUOTA_EXCEEDED);
    struct ifab_principal other = rig.principal;
    other.uid = 1001;
    struct ifab_command others = grant(10001, 1);
    others.principal = &other;
    assert_int_equal(rig_do(&rig, &others)->code, IFAB_CODE_NONE);
    rig_pass(&rig, 24 * IFAB_HOUR + IFAB_MINUTE);
    assert_int_equal(kept_count(), 0);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_int_equal(kept_count(), 1);
}

/* A vote under a key, admitted now. */
static enum ifab_code cast(const struct rig_vote *vote, uint8_t body)
{
    static const struct ifab_principal who = {.kind = IFAB_PRINCIPAL_UID, .uid = 1000, .role = IFAB_ROLE_OPERATOR, .actor = "uid:1000"};
    struct ifab_buf text = IFAB_BUF_INIT(16384), path = IFAB_BUF_INIT(64);
    struct ifab_command command = {.principal = &who, .idempotency = IFAB_VIEW("key"), .request16 = {7}, .body32 = {body}};
    rig_vote_text(&rig, vote, &text);
    rig_put_id(&path, "msg-", vote->id);
    ifab_arena_reset(&rig.arena);
    enum ifab_code code = ifab_admit_vote(ifab_buf_as_view(&text), ifab_buf_as_view(&path), rig.keyring, rig.now.wall, &rig.arena, &command,
                                          &rig.refusal);
    if (code == IFAB_CODE_NONE)
        code = rig_step(&rig, &command)->code;
    ifab_buf_fini(&text);
    ifab_buf_fini(&path);
    return code;
}

/* The vote is used up and the decision gone: only its own bytes under its own key get the answer again, also when it has expired. */
static void vote_under_a_key_gets_the_first_answer(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_ESCALATED);
    struct ifab_buf first = IFAB_BUF_INIT(65536);
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_ESCALATE);
    struct rig_vote vote = rig_vote(&rig, m.id, "if://agent/Adm", "approve"), other = rig_vote(&rig, m.id, "if://agent/Adm", "refuse");
    assert_int_equal(cast(&vote, 1), IFAB_CODE_NONE);
    assert_false(rig.outcome.reply.replayed);
    ifab_buf_view(&first, rig.outcome.reply.body);
    size_t entries = rig.entry_count;
    assert_int_equal(cast(&other, 2), IFAB_CODE_CONFLICT);
    rig_pass(&rig, IFAB_HOUR);
    rig_restart(&rig);
    assert_int_equal(cast(&vote, 1), IFAB_CODE_NONE);
    assert_true(rig.outcome.reply.replayed);
    assert_true(ifab_view_equal(rig.outcome.reply.body, ifab_buf_as_view(&first)));
    assert_int_equal(rig.entry_count, entries);
    assert_int_not_equal(rig_cast(&rig, &vote), IFAB_CODE_NONE); /* without the key: used up */
    ifab_buf_fini(&first);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_key_and_body_gets_the_first_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(same_key_with_another_body_is_409, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_are_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(authority_is_checked_before_the_kept_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(kept_for_a_day, setup, teardown),
        cmocka_unit_test_setup_teardown(vote_under_a_key_gets_the_first_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_thousand_keys_a_principal, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
