/* Who is blocked and found nobody to help: a person is asked once, and everybody who comes, or has a hand free, is asked when that is so. Tasks as a
 * start finds them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "task_rig.h"

static enum ifab_code block_by(uint32_t talent, const char *id, const char *const *needs, size_t count, uint64_t with)
{
    struct ifab_view views[32];
    struct ifab_principal p = as(talent);
    struct ifab_command block = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    for (size_t i = 0; i < count; i++)
        views[i] = ifab_view_str(needs[i]);
    block.u.task_act.id = ifab_view_str(id);
    block.u.task_act.event = IFAB_TASK_BLOCK;
    block.u.task_act.fence.n = with;
    block.u.task_act.percent = -1;
    block.u.task_act.needs = views;
    block.u.task_act.need_count = count;
    block.mint16[0] = (uint8_t)rig.entry_count;
    block.mint16[6] = 0x70;
    block.mint16[8] = 0x80;
    return rig_do(&rig, &block)->code;
}

static enum ifab_code block_for(const char *id, const char *const *needs, size_t count, uint64_t with) { return block_by(ANN, id, needs, count, with); }

/* Of Ann, in the swarm data: claimed and blocked for this. */
static uint64_t blocked(const char *id, const char *need)
{
    assert_int_equal(create(id, "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
    assert_int_equal(block_for(id, &need, 1, fence), IFAB_CODE_NONE);
    return fence;
}

static void the_answer_names_who_was_asked(void **state)
{
    (void)state;
    assert_int_equal(swarm("gophers", "go", "Eve", 1), IFAB_CODE_NONE);
    blocked("t", "go");
    struct ifab_view body = rig.outcome.reply.body;
    char said[128];
    snprintf(said, sizeof said, "\"helpers\":[\"%s\"],", helper_of("t", 0)->id);
    assert_non_null(memmem(body.data, body.size, said, strlen(said)));
}

static bool wants(const char *id, const char *need)
{
    struct ifab_names names = ifab_task_wants(task(id));
    return names.count == 1 && ifab_names_has(&names, ifab_view_str(need));
}

static const char *shown(const char *id)
{
    static struct ifab_buf b;
    ifab_buf_fini(&b);
    b = (struct ifab_buf)IFAB_BUF_INIT(65536);
    ifab_fabric_task_json(rig.fabric, task(id), rig.now, &b);
    ifab_buf_char(&b, '\0');
    return (const char *)b.data;
}

static void who_was_busy_is_asked_when_a_hand_is_free(void **state)
{
    char helper[65];
    (void)state;
    assert_int_equal(swarm("gophers", "go", "Eve", 1), IFAB_CODE_NONE);
    assert_int_equal(create("own", "go"), IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "gophers", "own"), IFAB_CODE_NONE);
    uint64_t own = fence, held = blocked("t", "go");
    assert_null(helper_of("t", 0));
    assert_true(wants("t", "go"));
    assert_non_null(strstr(shown("t"), ",\"wants\":[\"go\"],\"worker\":\"if://agent/Ann\"}"));
    assert_int_equal(entries_with("\"needs\":[\"go\"],\"swarms\":[\"gophers\"]"), 1); /* so that the person knows whom to ask */
    rig_pass(&rig, 5 * IFAB_SECOND);
    rig_restart(&rig);
    assert_int_equal(act(ANN, "t", IFAB_TASK_RENEW, held), IFAB_CODE_NONE);
    assert_true(wants("t", "go"));
    size_t before = rig.entry_count;
    rig_pass(&rig, 5 * IFAB_SECOND);
    assert_int_equal(rig.entry_count, before); /* to look costs no entry */
    assert_int_equal(act(EVE, "own", IFAB_TASK_COMPLETE, own), IFAB_CODE_NONE);
    rig_pass(&rig, IFAB_SECOND);
    assert_non_null(helper_of("t", 0));
    memcpy(helper, helper_of("t", 0)->id, sizeof helper);
    assert_int_equal(task("t")->wants_size, 0);
    assert_null(strstr(shown("t"), "wants"));
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 1);
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), 1);
    rig_pass(&rig, 5 * IFAB_SECOND);
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 1);
    assert_int_equal(claim(EVE, "gophers", ""), IFAB_CODE_NONE);
    assert_int_equal(act(EVE, helper, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(state_of("t"), IFAB_TASK_RUNNING);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, held), IFAB_CODE_NONE);
}

static void who_comes_later_is_asked(void **state)
{
    (void)state;
    uint64_t held = blocked("t", "go");
    assert_int_equal(entries_with("\"swarms\":[]"), 1);
    assert_int_equal(act(ANN, "t", IFAB_TASK_RENEW, held), IFAB_CODE_NONE);
    assert_int_equal(swarm("gophers", "go", "Eve", 1), IFAB_CODE_NONE);
    rig_pass(&rig, IFAB_SECOND);
    assert_non_null(helper_of("t", 0));
    /* blocked and asked for a second time: another task under another name */
    char first[65];
    memcpy(first, helper_of("t", 0)->id, sizeof first);
    assert_int_equal(act(ANN, "t", IFAB_TASK_UNBLOCK, held), IFAB_CODE_NONE);
    assert_int_equal(create("own", "go"), IFAB_CODE_NONE);
    assert_int_equal(claim(EVE, "gophers", "own"), IFAB_CODE_NONE);
    uint64_t own = fence;
    static const char *const go[] = {"go"};
    assert_int_equal(block_for("t", go, 1, held), IFAB_CODE_NONE);
    assert_null(helper_of("t", 0));
    assert_int_equal(act(EVE, "own", IFAB_TASK_COMPLETE, own), IFAB_CODE_NONE);
    rig_pass(&rig, IFAB_SECOND);
    assert_non_null(helper_of("t", 0));
    assert_string_not_equal(helper_of("t", 0)->id, first);
}

/* Whatever ends the block ends what is wanted with it. */
static void nothing_is_wanted_after_the_block(void **state)
{
    static const enum ifab_task_event ways[] = {IFAB_TASK_UNBLOCK, IFAB_TASK_CANCEL, IFAB_TASK_POISON, IFAB_TASK_EXPIRE};
    uint64_t number;
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(ways); i++) {
        char id[8];
        snprintf(id, sizeof id, "t%zu", i);
        uint64_t held = blocked(id, "go");
        assert_int_equal(ifab_tasks_wanting(ifab_fabric_coordinator(rig.fabric), &number, 1), 1);
        if (ways[i] == IFAB_TASK_EXPIRE)
            rig_pass(&rig, IFAB_MINUTE);
        else
            assert_int_equal(act(ways[i] == IFAB_TASK_CANCEL ? 0 : ANN, id, ways[i], held), IFAB_CODE_NONE);
        assert_int_not_equal(state_of(id), IFAB_TASK_BLOCKED);
        assert_int_equal(ifab_tasks_wanting(ifab_fabric_coordinator(rig.fabric), &number, 1), 0);
        if (task(id) != NULL)
            assert_int_equal(task(id)->wants_size, 0);
    }
    assert_int_equal(swarm("gophers", "go", "Eve", 5), IFAB_CODE_NONE);
    rig_pass(&rig, 5 * IFAB_SECOND);
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 0);
}

static void pass_turn(void)
{
    rig.now.run += IFAB_SECOND / 4;
    rig.now.wall += IFAB_SECOND / 4;
}

/* Many want help and the first ones cannot have it: of a swarm each has its turn, also while the first ones renew, and another swarm's comes at once. */
static void each_has_its_turn(void **state)
{
    char id[8];
    uint64_t held[5];
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(held); i++) {
        snprintf(id, sizeof id, "t%zu", i);
        held[i] = blocked(id, i == 4 ? "go" : "lisp");
    }
    static const char *const wanted = "go";
    assert_int_equal(create("late", "rust"), IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "code", "late"), IFAB_CODE_NONE);
    assert_int_equal(block_by(BOB, "late", &wanted, 1, fence), IFAB_CODE_NONE);
    assert_int_equal(swarm("gophers", "go", "Eve", 5), IFAB_CODE_NONE);
    for (size_t turn = 0; turn < IFAB_COUNT(held); turn++) {
        assert_null(helper_of("t4", 0));
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run);
        rig_tick(&rig);
        assert_non_null(helper_of("late", 0));
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run); /* not at once again */
        rig_tick(&rig);                                                       /* also when something else is due */
        pass_turn();
        for (size_t i = 0; i < IFAB_COUNT(held); i++) {
            snprintf(id, sizeof id, "t%zu", i);
            assert_int_equal(act(ANN, id, IFAB_TASK_RENEW, held[i]), IFAB_CODE_NONE);
        }
    }
    assert_non_null(helper_of("t4", 0));
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 2);
}

/* As long as nothing has changed nobody is looked at, but for what time brings; each change is for all of them. */
static void nobody_is_looked_at_for_nothing(void **state)
{
    (void)state;
    uint64_t held = blocked("t0", "lisp");
    blocked("t1", "lisp");
    rig_pass(&rig, 2 * IFAB_SECOND);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run + IFAB_SECOND);
    assert_int_equal(act(ANN, "t0", IFAB_TASK_RENEW, held), IFAB_CODE_NONE);
    rig_tick(&rig); /* for circles */
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run + IFAB_SECOND);
    assert_int_equal(swarm("gophers", "go", "Eve", 5), IFAB_CODE_NONE);
    rig_tick(&rig);
    for (int turn = 0; turn < 2; turn++) {
        assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run + IFAB_SECOND / 4);
        pass_turn();
        rig_tick(&rig);
    }
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run + IFAB_SECOND);
    assert_int_equal(act(ANN, "t0", IFAB_TASK_POISON, held), IFAB_CODE_NONE); /* a hand is free */
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run + IFAB_SECOND / 4);
    rig_pass(&rig, 2 * IFAB_SECOND);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) > rig.now.run + IFAB_SECOND);
    assert_int_equal(swarm("gophers", "go", "Eve", 6), IFAB_CODE_NONE); /* it has more of them */
    rig_tick(&rig);
    assert_true(ifab_fabric_deadline(rig.fabric, rig.now) <= rig.now.run + IFAB_SECOND / 4);
}

/* Three swarms, each with more that nobody can help: each has every third look, whoever has more of them. */
static void swarms_have_turns(void **state)
{
    static const char *const lisp = "lisp";
    static const struct {
        uint32_t talent;
        const char *swarm, *need;
    } who[] = {{ANN, "data", "sql"}, {ANN, "data", "sql"}, {ANN, "data", "sql"}, {BOB, "code", "rust"}, {BOB, "code", "rust"}, {EVE, "night", "cobol"}};
    const struct ifab_coordinator *c = ifab_fabric_coordinator(rig.fabric);
    uint64_t numbers[2];
    bool seen = false;
    (void)state;
    assert_int_equal(swarm("code", "rust", "Bob", 5), IFAB_CODE_NONE);
    assert_int_equal(swarm("night", "cobol", "Eve", 5), IFAB_CODE_NONE);
    for (size_t i = 0; i < IFAB_COUNT(who); i++) {
        char id[8];
        snprintf(id, sizeof id, "t%zu", i);
        assert_int_equal(create(id, who[i].need), IFAB_CODE_NONE);
        assert_int_equal(claim(who[i].talent, who[i].swarm, id), IFAB_CODE_NONE);
        assert_int_equal(block_by(who[i].talent, id, &lisp, 1, fence), IFAB_CODE_NONE);
    }
    for (size_t turn = 0; turn < 2; turn++) {
        assert_int_equal(ifab_tasks_wanting(c, numbers, 2), 2);
        assert_int_not_equal(ifab_task_at(c, (struct ifab_task_number){numbers[0]})->owner.n, ifab_task_at(c, (struct ifab_task_number){numbers[1]})->owner.n);
        seen = seen || numbers[0] == task("t5")->number.n || numbers[1] == task("t5")->number.n;
        rig_tick(&rig);
        pass_turn();
    }
    assert_true(seen);
}

/* A queue has as many places as it has: who was asked just now has taken one. */
static void no_more_are_asked_than_there_is_room(void **state)
{
    static const struct ifab_view go[] = {{(const uint8_t *)"go", 2}}, eve[] = {{(const uint8_t *)"Eve", 3}};
    static const char *const wanted = "go";
    (void)state;
    blocked("t", "go");
    assert_int_equal(create("late", "rust"), IFAB_CODE_NONE);
    assert_int_equal(claim(BOB, "code", "late"), IFAB_CODE_NONE);
    assert_int_equal(block_by(BOB, "late", &wanted, 1, fence), IFAB_CODE_NONE);
    struct ifab_command one = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    one.u.swarm.request = (struct ifab_swarm_request){.id = IFAB_VIEW("gophers"), .skills = go, .skill_count = 1, .members = eve, .member_count = 1,
                                                      .concurrency = 1, .queue_limit = 1, .queue_policy = IFAB_QUEUE_REJECT};
    assert_int_equal(rig_do(&rig, &one)->code, IFAB_CODE_NONE);
    rig_pass(&rig, 3 * IFAB_SECOND);
    assert_int_equal(entries_with("\"operation\":\"help_assigned\""), 1);
    assert_int_equal(ifab_swarm_queued(ifab_fabric_coordinator(rig.fabric), ifab_swarm_find(ifab_fabric_coordinator(rig.fabric), IFAB_VIEW("gophers"))->number), 1);
}

/* What is asked for is bounded, and told when it is too much; it used to be dropped without a word. */
static void what_is_wanted_has_room(void **state)
{
    static char long_names[16][65];
    const char *names[16];
    struct ifab_view needs[4];
    (void)state;
    for (size_t i = 0; i < 16; i++) {
        snprintf(long_names[i], sizeof long_names[i], "n%02zu%060d", i, 7); /* 63 bytes, 64 with its end */
        names[i] = long_names[i];
    }
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(block_for("t", names, 5, fence), IFAB_CODE_INVALID_PARAMS);
    assert_string_equal(rig.outcome.reply.refusal.field, "needs");
    assert_int_equal(state_of("t"), IFAB_TASK_CLAIMED);
    assert_int_equal(block_for("t", names, 4, fence), IFAB_CODE_NONE);
    assert_int_equal(ifab_task_wants(task("t")).count, 4);
    for (size_t i = 0; i < 4; i++)
        needs[i] = ifab_view_str(names[i]);
    struct ifab_command wide = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    struct ifab_view ann[] = {IFAB_VIEW("Ann")};
    wide.u.swarm.request = (struct ifab_swarm_request){.id = IFAB_VIEW("wide"), .skills = needs, .skill_count = 4, .members = ann, .member_count = 1};
    assert_int_equal(rig_do(&rig, &wide)->code, IFAB_CODE_NONE);
    struct ifab_command made = new_task("u", "sql");
    made.u.task.needs = needs;
    made.u.task.need_count = 4;
    assert_int_equal(rig_do(&rig, &made)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "wide", "u"), IFAB_CODE_NONE);
    assert_int_equal(block_for("u", names + 4, 3, fence), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(block_for("u", names + 4, 2, fence), IFAB_CODE_NONE); /* 384 bytes with its own four */
    rig_restart(&rig);
    struct ifab_names own = ifab_task_needs(task("u")), missing = ifab_task_wants(task("u"));
    assert_int_equal(own.count, 4);
    assert_int_equal(missing.count, 2);
    assert_true(ifab_names_has(&missing, ifab_view_str(names[5])));
}

/* A record that was written before there were wants is read, and means none; one that wants without being blocked is none. */
static void a_task_of_before_is_read(void **state)
{
    uint8_t bytes[IFAB_TASK_PACKED_MAX], again[IFAB_TASK_PACKED_MAX];
    struct ifab_task read;
    (void)state;
    blocked("t", "go");
    size_t size = ifab_task_pack(task("t"), bytes), at = 5;
    for (size_t text = 0; text < 4; text++)
        at += 2 + (bytes[at] | (size_t)bytes[at + 1] << 8);
    assert_int_equal(bytes[0], 2);
    assert_memory_equal(bytes + at, "\3\0go\0", 5);
    assert_true(ifab_task_unpack(ifab_view_of(bytes, size), task("t")->number.n, &read));
    assert_int_equal(ifab_task_wants(&read).count, 1);
    bytes[1] = IFAB_TASK_RUNNING;
    assert_false(ifab_task_unpack(ifab_view_of(bytes, size), task("t")->number.n, &read));
    bytes[1] = IFAB_TASK_BLOCKED;
    memmove(bytes + at, bytes + at + 5, size - at - 5);
    bytes[0] = 1;
    assert_true(ifab_task_unpack(ifab_view_of(bytes, size - 5), task("t")->number.n, &read));
    assert_int_equal(read.wants_size, 0);
    assert_int_equal(ifab_task_pack(&read, again), size - 3);
    bytes[0] = 3;
    assert_false(ifab_task_unpack(ifab_view_of(bytes, size - 5), task("t")->number.n, &read));
    bytes[0] = 0;
    assert_false(ifab_task_unpack(ifab_view_of(bytes, size - 5), task("t")->number.n, &read));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_answer_names_who_was_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_busy_is_asked_when_a_hand_is_free, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_later_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_wanted_after_the_block, setup, teardown),
        cmocka_unit_test_setup_teardown(each_has_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_looked_at_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(swarms_have_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_are_asked_than_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wanted_has_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_task_of_before_is_read, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
