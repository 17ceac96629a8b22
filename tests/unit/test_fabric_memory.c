/*
 * Every command with every allocation failing: the answer is 500 or the right one, nothing changes, and the same command succeeds
 * afterwards with the very same outcome. Twice: with the n-th allocation failing (each arena piece is one under ASan), and with an arena
 * that ends after n bytes. INV-15
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#define A "if://agent/A"

static struct rig rig;
static struct ifab_admin_act act;
static uint8_t key32[32];

static void begin(void)
{
    rig_new(&rig, NULL);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_WINDOW);
    rig_add(&rig, "V", "vera", IFAB_ROLE_OPERATOR, 12, IFAB_ORDER_STRICT);
    rig_grant(&rig, "B", "guard:scope");
    act = *rig_act(&rig, 1);
    struct ifab_signer *signer = make_signer(70);
    ifab_signer_public(signer, key32);
    ifab_signer_free(signer);
}

/* One command: bytes to admit (message or vote), or what is in command already. */
struct scenario {
    struct ifab_buf bytes, path;
    struct ifab_command command;
    bool is_message, is_vote;
};

static enum ifab_code attempt(struct scenario *s, struct ifab_arena *arena, struct ifab_outcome *o)
{
    static struct ifab_admitted admitted;
    struct ifab_command command = s->command;
    struct ifab_refusal refusal;
    enum ifab_code code = IFAB_CODE_NONE;
    if (s->is_message) {
        code = ifab_admit_message(ifab_buf_as_view(&s->bytes), 0, rig.keyring, rig.settings.tag_key16, rig.now.wall, arena, &admitted,
                                  &refusal);
        command.type = IFAB_COMMAND_MESSAGE;
        command.u.message.envelope = &admitted.envelope;
        command.u.message.talent = admitted.talent;
        command.u.message.facts = &admitted.facts;
    } else if (s->is_vote) {
        code =
            ifab_admit_vote(ifab_buf_as_view(&s->bytes), ifab_buf_as_view(&s->path), rig.keyring, rig.now.wall, arena, &command, &refusal);
    }
    if (code != IFAB_CODE_NONE)
        return code;
    if (ifab_fabric_prepare(rig.fabric) != IFAB_OK)
        return IFAB_CODE_SYSTEM_ERROR;
    memset(command.mint16, 0x77, 16);
    ifab_outcome_begin(o, arena);
    ifab_fabric_decide(rig.fabric, &command, rig.now, o);
    return o->reply.code;
}

static void outcome_of(struct scenario *s, struct ifab_buf *ret)
{
    struct ifab_arena arena;
    struct ifab_outcome o;
    ifab_arena_init(&arena, (size_t)64 << 20);
    ifab_outcome_init(&o, &arena);
    enum ifab_code code = attempt(s, &arena, &o);
    assert_int_not_equal(code, IFAB_CODE_SYSTEM_ERROR);
    ifab_buf_clear(ret);
    rig_put_outcome(ret, &o, false);
    ifab_outcome_fini(&o);
    ifab_arena_fini(&arena);
}

/* After a failure: refused with 500 and empty, or right; applied as the daemon does, it must change nothing. false: it was right. */
static bool check(struct scenario *s, const char *name, uint64_t n, enum ifab_code code, struct ifab_outcome *o,
                  const struct ifab_buf *reference)
{
    struct ifab_buf now = IFAB_BUF_INIT((size_t)4 << 20);
    bool failed = code == IFAB_CODE_SYSTEM_ERROR;
    if (failed) {
        if (o->entry_count + o->change_count + o->tag_count != 0 || o->set_rules || o->flush_refusals || o->count_code != IFAB_CODE_NONE)
            fail_msg("%s, %llu: a failed outcome holds something", name, (unsigned long long)n);
        if (o->arena != NULL && o->failed)
            ifab_fabric_apply(rig.fabric, o);
        outcome_of(s, &now);
    } else {
        rig_put_outcome(&now, o, false);
    }
    if (!ifab_view_equal(ifab_buf_as_view(&now), ifab_buf_as_view(reference)))
        fail_msg("%s, %llu (%s), code %d: another outcome:\n%s\n---\n%s", name, (unsigned long long)n,
                 failed ? "after the failure" : "in spite of it", (int)code, test_text(ifab_buf_as_view(&now)),
                 test_text(ifab_buf_as_view(reference)));
    ifab_buf_fini(&now);
    return failed;
}

/* Tries with what `armed` makes fail; true when it failed anything. */
static bool try_one(struct scenario *s, const char *name, const struct ifab_buf *reference, uint64_t n, bool by_size)
{
    struct ifab_arena arena;
    struct ifab_outcome o;
    ifab_arena_init(&arena, by_size ? n : (size_t)64 << 20);
    ifab_outcome_init(&o, NULL);
    if (!by_size)
        ifab_mem_fail_at(n);
    enum ifab_code code = attempt(s, &arena, &o);
    bool failed = ifab_mem_failed();
    ifab_mem_fail_at(0);
    bool refused = check(s, name, n, code, &o, reference);
    ifab_outcome_fini(&o);
    ifab_arena_fini(&arena);
    return failed || (by_size && refused);
}

static void sweep(struct scenario *s, const char *name)
{
    struct ifab_buf reference = IFAB_BUF_INIT((size_t)4 << 20);
    outcome_of(s, &reference);
    uint64_t n = 1;
    while (try_one(s, name, &reference, n, false))
        rig_must(++n < 100000, "endless sweep");
    rig_must(n > 1, "nothing was allocated");
    for (size_t size = 0; try_one(s, name, &reference, size, true); size += 80)
        ;
    ifab_buf_fini(&reference);
    ifab_buf_fini(&s->bytes);
    ifab_buf_fini(&s->path);
}

static void messages_survive_every_failed_allocation(void **state)
{
    (void)state;
    static const char evidence[] =
        "{\"claim\":\"x\",\"claim_id\":\"C-1\",\"confidence\":{\"normalized\":0.25,\"raw\":0.25},\"evidence\":[{\"type\":\"a\",\"url\":"
        "\"https://a.example.org\"},"
        "{\"type\":\"b\",\"url\":\"no "
        "host\",\"hash\":\"sha256:a5bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd1\"}],\"scope\":{}}";
    static const struct {
        const char *name, *content, *receiver, *performative;
        enum ifab_code code;
    } cases[] = {
        {"share", RIG_SHARED, "[\"if://agent/B\"]", "inform", 0},        {"hold", RIG_HELD, NULL, "inform", 0},
        {"hold with evidence", evidence, NULL, "inform", 0},             {"escalate", RIG_ESCALATED, "\"if://agent/B\"", "inform", 0},
        {"deny", RIG_SECRET, NULL, "request", 0},                        {"105", RIG_SHARED, NULL, "agree", IFAB_CODE_PROTOCOL_VIOLATION},
        {"108", RIG_SHARED, "\"if://agent/Nobody\"", "inform", IFAB_CODE_WRONG_AUDIENCE},
    };
    begin();
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct scenario s = {.is_message = true, .bytes = IFAB_BUF_INIT(1U << 20)};
        struct rig_message m = rig_message(&rig, A, cases[i].content);
        m.receiver = cases[i].receiver;
        m.performative = cases[i].performative;
        ifab_buf_view(&s.bytes, rig_text(&rig, &m));
        sweep(&s, cases[i].name);
        assert_int_equal(rig_send(&rig, &m), cases[i].code); /* and it succeeds */
    }
    rig_free(&rig);
}

static void second_source_survives_every_failed_allocation(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 5; i++) {
        struct rig_message held = rig_message(&rig, A, RIG_HELD);
        assert_int_equal(rig_decision(&rig, &held), IFAB_DECISION_HOLD);
    }
    struct scenario s = {.is_message = true, .bytes = IFAB_BUF_INIT(1U << 20)};
    struct rig_message m = rig_message(&rig, "if://agent/B", RIG_SHARED);
    ifab_buf_view(&s.bytes, rig_text(&rig, &m));
    sweep(&s, "second source of five");
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.entry_count, 6);
    rig_free(&rig);
}

static void votes_survive_every_failed_allocation(void **state)
{
    (void)state;
    static const struct {
        const char *name, *content, *voter, *verdict;
    } cases[] = {
        {"approve", RIG_ESCALATED, "if://agent/V", "approve"},
        {"refuse", RIG_ESCALATED, "if://agent/V", "refuse"},
        {"scope-ok", RIG_HELD, "if://agent/B", "scope-ok"},
        {"refused vote", RIG_ESCALATED, "if://agent/B", "approve"},
    };
    begin();
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct rig_message m = rig_message(&rig, A, cases[i].content);
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
        struct scenario s = {.is_vote = true, .bytes = IFAB_BUF_INIT(16384), .path = IFAB_BUF_INIT(64)};
        struct rig_vote vote = rig_vote(&rig, m.id, cases[i].voter, cases[i].verdict);
        rig_vote_text(&rig, &vote, &s.bytes);
        rig_put_id(&s.path, "msg-", m.id);
        sweep(&s, cases[i].name);
        assert_int_equal(rig_cast(&rig, &vote), i == 3 ? IFAB_CODE_PERMISSION_DENIED : IFAB_CODE_NONE);
    }
    rig_free(&rig);
}

static void acts_survive_every_failed_allocation(void **state)
{
    (void)state;
    static const enum ifab_talent_act acts[] = {IFAB_ACT_ADD, IFAB_ACT_GRANT, IFAB_ACT_ROTATE, IFAB_ACT_REVOKE, IFAB_ACT_REMOVE};
    begin();
    for (size_t i = 0; i < IFAB_COUNT(acts); i++)
        for (int keyed = 0; keyed < 2; keyed++) {
            struct scenario s = {.command = rig_talent_command(&rig, acts[i], acts[i] == IFAB_ACT_ADD ? "New" : "A")};
            s.command.u.talent.request.pubkey32 = acts[i] == IFAB_ACT_ADD || acts[i] == IFAB_ACT_ROTATE ? key32 : NULL;
            s.command.u.talent.request.scope = acts[i] == IFAB_ACT_GRANT ? IFAB_VIEW("topic:0011223344556677") : IFAB_VIEW("");
            s.command.act = &act;
            if (keyed) {
                s.command.idempotency = IFAB_VIEW("key");
                s.command.request16[0] = (uint8_t)i;
            }
            sweep(&s, "act");
        }
    struct scenario s = {.command = rig_talent_command(&rig, IFAB_ACT_REMOVE, "V")};
    sweep(&s, "refused act");
    s.command = rig_talent_command(&rig, IFAB_ACT_GRANT, "A");
    s.command.u.talent.request.scope = IFAB_VIEW("topic:0011223344556677");
    s.command.idempotency = IFAB_VIEW("key");
    s.command.request16[0] = 99;
    assert_int_equal(rig_do(&rig, &s.command)->code, IFAB_CODE_NONE);
    sweep(&s, "repeated act");
    rig_free(&rig);
}

static void life_survives_every_failed_allocation(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 4; i++) {
        struct rig_message m = rig_message(&rig, A, i < 2 ? RIG_HELD : RIG_ESCALATED);
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    }
    struct ifab_guard_rules rules = rig.settings.rules;
    memset(rules.digest32, 0x33, 32);
    struct scenario s = {.command = {.type = IFAB_COMMAND_RULES, .why = IFAB_VIEW("because")}};
    s.command.u.rules.rules = &rules;
    sweep(&s, "rules");
    s.command = (struct ifab_command){.type = IFAB_COMMAND_CLOCK_JUMP, .principal = &rig.principal, .why = IFAB_VIEW("jump")};
    s.command.u.note.subject = IFAB_VIEW("clock");
    sweep(&s, "note");
    ifab_fabric_count_refusal(rig.fabric, IFAB_CODE_INVALID_ENVELOPE, IFAB_VIEW("uid:1"), key32, rig.now.run);
    rig.now.run += IFAB_HOUR;
    s.command = (struct ifab_command){.type = IFAB_COMMAND_TICK};
    sweep(&s, "tick");
    rig.now.run += 48 * IFAB_HOUR;
    rig.now.wall += 48 * IFAB_HOUR;
    sweep(&s, "tick, two days later");
    rig_free(&rig);
}

static void first_entries_survive_every_failed_allocation(void **state)
{
    (void)state;
    static struct rig old;
    begin();
    old = rig;
    rig_begin(&rig, NULL);
    struct scenario s = {.command = {.type = IFAB_COMMAND_INIT, .why = IFAB_VIEW("init")}};
    s.command.u.init.version = "0.1.0";
    memcpy(s.command.u.init.operator_key32, key32, 32);
    sweep(&s, "init");
    s.command = (struct ifab_command){.type = IFAB_COMMAND_RESTORE, .why = IFAB_VIEW("restore")};
    s.command.u.restore.old_checkpoint = IFAB_VIEW("x\n");
    s.command.u.restore.old_origin = IFAB_VIEW("y");
    s.command.u.restore.version = "0.1.0";
    s.command.u.restore.talents = ifab_fabric_talents(old.fabric);
    sweep(&s, "restore");
    rig_free(&rig);
    rig_free(&old);
}

/* A start that runs out of memory says so and leaks nothing. */
static void load_survives_every_failed_allocation(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        struct rig_message m = rig_message(&rig, A, i == 0 ? RIG_HELD : i == 1 ? RIG_ESCALATED : RIG_SHARED);
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    }
    TEST_SWEEP_ALLOCATIONS({
        struct ifab_fabric *fabric = NULL;
        ifab_status status = ifab_fabric_new(&rig.settings, &fabric, NULL);
        for (size_t i = 0; i < rig.record_count && status == IFAB_OK; i++)
            if (rig.records[i].bytes != NULL)
                status = ifab_fabric_load_record(fabric, rig.records[i].kind, rig.records[i].number,
                                                 ifab_view_of(rig.records[i].bytes, rig.records[i].size), NULL);
        if (status == IFAB_OK)
            status = ifab_fabric_load_tags(fabric, ifab_buf_as_view(&rig.tags), rig.now.wall, NULL);
        if (status == IFAB_OK)
            status = ifab_fabric_load_head(fabric, &rig.head, NULL);
        if (status != IFAB_OK)
            assert_int_equal(status, IFAB_NOMEM); /* never taken for damage: 505 would stop a start for good */
        assert_true(status == IFAB_OK || ifab_mem_failed());
        ifab_fabric_free(fabric);
    });
    rig_free(&rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_every_failed_allocation),      cmocka_unit_test(second_source_survives_every_failed_allocation),
        cmocka_unit_test(votes_survive_every_failed_allocation),         cmocka_unit_test(acts_survive_every_failed_allocation),
        cmocka_unit_test(life_survives_every_failed_allocation),         cmocka_unit_test(first_entries_survive_every_failed_allocation),
        cmocka_unit_test(load_survives_every_failed_allocation),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
