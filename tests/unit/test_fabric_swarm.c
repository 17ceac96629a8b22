/*
 * Swarms as the fabric knows them: heard of or not, whom help is asked of, what help came to, queues at which a maker waits. INV-11, INV-14, INV-16.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "task_rig.h"

static enum ifab_code heartbeat(uint32_t talent, const char *of)
{
    struct ifab_principal p = as(talent);
    struct ifab_command c = {.type = IFAB_COMMAND_HEARTBEAT, .principal = &p};
    c.u.heartbeat.swarm = ifab_view_str(of);
    return rig_do(&rig, &c)->code;
}

static const char *swarm_is(const char *id)
{
    const struct ifab_swarm *s = ifab_swarm_find(ifab_fabric_coordinator(rig.fabric), ifab_view_str(id));
    assert_non_null(s);
    return ifab_swarm_state_name(ifab_fabric_swarm_state(rig.fabric, s, rig.now.run));
}

static void pass(ifab_usec by) /* time, and nothing else */
{
    rig.now.run += by;
    rig.now.wall += by;
}

static void a_swarm_goes_through_its_states(void **state)
{
    (void)state;
    assert_string_equal(swarm_is("data"), "IDLE"); /* since its registration, for as long as a heartbeat holds */
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_string_equal(swarm_is("data"), "IDLE"); /* open to all: nobody waits for this one */
    struct ifab_command own = new_task("own", "sql");
    own.u.task.swarm = IFAB_VIEW("data");
    assert_int_equal(rig_do(&rig, &own)->code, IFAB_CODE_NONE);
    assert_string_equal(swarm_is("data"), "ACTIVE");
    pass(IFAB_SWARM_HEARD_FOR - 1);
    assert_string_equal(swarm_is("data"), "ACTIVE");
    pass(1);
    assert_string_equal(swarm_is("data"), "OFFLINE");
    assert_int_equal(claim(ANN, "data", "own"), IFAB_CODE_NONE);
    assert_string_equal(swarm_is("data"), "WORKING");
    assert_int_equal(act(ANN, "own", IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
    assert_string_equal(swarm_is("data"), "BLOCKED");
    uint64_t held = fence;
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_string_equal(swarm_is("data"), "WORKING"); /* on one of the two */
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "own", IFAB_TASK_UNBLOCK, held), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "own", IFAB_TASK_COMPLETE, held), IFAB_CODE_NONE);
    assert_string_equal(swarm_is("data"), "IDLE");
    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "f%d", i);
        assert_int_equal(create(id, "sql"), IFAB_CODE_NONE);
        assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
        assert_int_equal(act(ANN, id, IFAB_TASK_FAIL, fence), IFAB_CODE_NONE);
    }
    assert_string_equal(swarm_is("data"), "ERROR");
    pass(2 * IFAB_SWARM_HEARD_FOR);
    assert_string_equal(swarm_is("data"), "ERROR"); /* until a person has looked */
}

/* A lease vouches for its holder, however long it says nothing else. */
static void a_long_lease_is_not_silence(void **state)
{
    (void)state;
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    struct ifab_principal p = as(ANN);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &p};
    c.u.claim.swarm = IFAB_VIEW("data");
    c.u.claim.lease = IFAB_HOUR;
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    rig_pass(&rig, IFAB_HOUR - IFAB_SECOND);
    assert_string_equal(swarm_is("data"), "WORKING");
    rig_pass(&rig, IFAB_SECOND);
    assert_string_equal(swarm_is("data"), "OFFLINE"); /* it ran out */
}

/* INV-16: no entry, nothing durable; what a holder does and a look for work that finds none are heartbeats as well. */
static void a_heartbeat_writes_nothing(void **state)
{
    (void)state;
    size_t entries = rig.entry_count, records = rig.record_count;
    for (int i = 0; i < 100; i++) {
        pass(20 * IFAB_SECOND);
        assert_int_equal(heartbeat(ANN, "data"), IFAB_CODE_NONE);
        assert_string_equal(swarm_is("data"), "IDLE");
    }
    assert_string_equal(swarm_is("code"), "OFFLINE");
    assert_int_equal(claim(BOB, "code", ""), IFAB_CODE_NOT_FOUND);
    assert_string_equal(swarm_is("code"), "IDLE");
    assert_int_equal(rig.entry_count, entries);
    assert_int_equal(rig.record_count, records);
    pass(IFAB_SWARM_HEARD_FOR - 2);
    assert_int_equal(heartbeat(0, "code"), IFAB_CODE_NONE); /* an operator may for any */
    pass(IFAB_SWARM_HEARD_FOR - 2);
    assert_string_equal(swarm_is("code"), "IDLE");
    pass(2);
    assert_string_equal(swarm_is("code"), "OFFLINE");
    /* acts of a holder */
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    pass(20 * IFAB_SECOND);
    assert_int_equal(act(ANN, "t", IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
    pass(IFAB_SWARM_HEARD_FOR - IFAB_SECOND);
    assert_string_equal(swarm_is("data"), "IDLE");
}

static void only_its_members_say_that_a_swarm_is_there(void **state)
{
    (void)state;
    pass(IFAB_SWARM_HEARD_FOR);
    assert_int_equal(heartbeat(EVE, "data"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(heartbeat(OPS, "data"), IFAB_CODE_PERMISSION_DENIED); /* an operator that is a talent is no member */
    assert_int_equal(heartbeat(ANN, "none"), IFAB_CODE_NOT_FOUND);
    assert_int_equal(claim(EVE, "data", ""), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(create("t", "rust"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NO_QUALIFIED_SWARM);
    assert_string_equal(swarm_is("data"), "OFFLINE"); /* what is refused changes nothing */
    rig.principal.role = IFAB_ROLE_AUDITOR;
    assert_int_equal(heartbeat(0, "data"), IFAB_CODE_PERMISSION_DENIED);
    rig.principal.role = IFAB_ROLE_OPERATOR;
    /* the daemon gives a claim back that nobody heard of: nobody was there */
    assert_int_equal(create("u", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "u"), IFAB_CODE_NONE);
    pass(IFAB_SWARM_HEARD_FOR - IFAB_SECOND);
    assert_int_equal(act(0, "u", IFAB_TASK_GIVE_BACK, fence), IFAB_CODE_NONE);
    pass(IFAB_SECOND);
    assert_string_equal(swarm_is("data"), "OFFLINE");
}

/* After a start nobody can have been heard of: each has as long as a heartbeat holds. */
static void a_start_gives_everyone_time_to_come_back(void **state)
{
    (void)state;
    pass(IFAB_DAY);
    assert_string_equal(swarm_is("data"), "OFFLINE");
    rig_restart(&rig);
    assert_string_equal(swarm_is("data"), "IDLE");
    pass(IFAB_SWARM_HEARD_FOR - 1);
    assert_string_equal(swarm_is("data"), "IDLE");
    pass(1);
    assert_string_equal(swarm_is("data"), "OFFLINE");
    assert_int_equal(swarm("data", "sql", "Ann", 7), IFAB_CODE_NONE); /* registered again: that says nothing of its workers */
    assert_string_equal(swarm_is("data"), "OFFLINE");
}

static void help_is_asked_of_those_who_are_there(void **state)
{
    (void)state;
    assert_int_equal(swarm("near", "go", "Eve", 5), IFAB_CODE_NONE);
    assert_int_equal(swarm("away", "go", "Bob", 5), IFAB_CODE_NONE);
    pass(IFAB_SWARM_HEARD_FOR);
    assert_int_equal(create("t", "sql"), IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "t"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
    assert_null(helper_of("t", 0));
    assert_int_equal(entries_with("\"operation\":\"help_wanted\""), 1);
    assert_int_equal(act(ANN, "t", IFAB_TASK_UNBLOCK, fence), IFAB_CODE_NONE);
    assert_int_equal(heartbeat(EVE, "near"), IFAB_CODE_NONE);
    assert_int_equal(act(ANN, "t", IFAB_TASK_BLOCK, fence), IFAB_CODE_NONE);
    assert_non_null(helper_of("t", 0));
    assert_int_equal(helper_of("t", 0)->queue.n, ifab_swarm_find(ifab_fabric_coordinator(rig.fabric), IFAB_VIEW("near"))->number.n);
    /* and the match says why */
    struct ifab_view needs[] = {IFAB_VIEW("go")};
    struct ifab_buf buf = IFAB_BUF_INIT(65536);
    ifab_arena_reset(&rig.arena);
    struct ifab_fabric_match_ask ask = {.needs = needs, .need_count = 1, .now = rig.now};
    assert_int_equal(ifab_fabric_match(rig.fabric, &ask, &rig.arena, &buf, NULL), IFAB_CODE_NONE);
    ifab_buf_char(&buf, '\0');
    assert_non_null(strstr((const char *)buf.data, "\"candidate\":\"away\""));
    assert_non_null(strstr((const char *)buf.data, "not heard of, or in error"));
    ifab_buf_fini(&buf);
}

static enum ifab_code block(uint32_t talent, const char *id, uint64_t with)
{
    return act(talent, id, IFAB_TASK_BLOCK, with);
}

static struct ifab_swarm_help help_by(const char *id)
{
    const struct ifab_coordinator *c = ifab_fabric_coordinator(rig.fabric);
    return *ifab_swarm_help(c, ifab_swarm_find(c, ifab_view_str(id))->number);
}

static void assert_help(const char *id, uint64_t asked, uint64_t completed, uint64_t cost, uint64_t wasted)
{
    struct ifab_swarm_help h = help_by(id);
    assert_int_equal(h.asked, asked);
    assert_int_equal(h.completed, completed);
    assert_int_equal(h.cost, cost);
    assert_int_equal(h.wasted, wasted);
}

/* What was told counts, as in the entries of costs; who lost it in mid-work told nothing. It outlives a restart. */
static void help_that_came_to_nothing_is_counted(void **state)
{
    char id[8], helper[65];
    uint64_t held;
    (void)state;
    assert_int_equal(swarm("near", "go", "Eve", 5), IFAB_CODE_NONE);
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "t%d", i);
        struct ifab_command c = new_task(id, "sql");
        c.u.task.budget[0] = 400;
        assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
        assert_int_equal(claim(ANN, "data", id), IFAB_CODE_NONE);
        held = fence;
        assert_int_equal(block(ANN, id, held), IFAB_CODE_NONE);
        memcpy(helper, helper_of(id, 0)->id, sizeof helper);
        if (i != 1)
            assert_int_equal(claim(EVE, "near", helper), IFAB_CODE_NONE);
        if (i == 0) /* completed, and said what it did cost */
            assert_int_equal(end_with(EVE, helper, IFAB_TASK_COMPLETE, fence, 300), IFAB_CODE_NONE);
        else if (i == 1 || i == 2) /* the block ends first: nobody had taken it; somebody was at work */
            assert_int_equal(act(ANN, id, IFAB_TASK_UNBLOCK, held), IFAB_CODE_NONE);
        else if (i == 3) /* failed, and said what it did cost */
            assert_int_equal(end_with(EVE, helper, IFAB_TASK_POISON, fence, 50), IFAB_CODE_NONE);
        else if (i == 4) /* completed, and said nothing: it had none */
            assert_int_equal(act(EVE, helper, IFAB_TASK_COMPLETE, fence), IFAB_CODE_NONE);
        else /* nobody heard of the claim */
            assert_int_equal(act(0, helper, IFAB_TASK_GIVE_BACK, fence), IFAB_CODE_NONE);
        if (i == 0 || i == 4)
            assert_int_equal(state_of(id), IFAB_TASK_RUNNING);
        assert_int_equal(act(0, id, IFAB_TASK_CANCEL, 0), IFAB_CODE_NONE);
        if (i == 2)
            assert_help("near", 3, 1, 300, 0);
    }
    assert_help("near", 6, 2, 350, 50);
    assert_help("data", 0, 0, 0, 0); /* what it was helped with is not its own help */
    rig_restart(&rig);
    assert_help("near", 6, 2, 350, 50);
    struct ifab_swarm_help total = ifab_swarm_help_total(ifab_fabric_coordinator(rig.fabric));
    assert_int_equal(ifab_swarm_help_permille(&total), 142);
    assert_int_equal(ifab_swarm_help_permille(&(struct ifab_swarm_help){.asked = 1}), -1);
    /* a cost of a task that is no help is none */
    assert_int_equal(swarm("near", "go", "Eve", 6), IFAB_CODE_NONE);
    assert_help("near", 6, 2, 350, 50);
    struct ifab_command c = new_task("lone", "sql");
    c.u.task.budget[0] = 1000;
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    assert_int_equal(claim(ANN, "data", "lone"), IFAB_CODE_NONE);
    assert_int_equal(end_with(ANN, "lone", IFAB_TASK_COMPLETE, fence, 900), IFAB_CODE_NONE);
    assert_help("near", 6, 2, 350, 50);
    assert_help("data", 0, 0, 0, 0);
}

static void counts_of_help_are_bounded_and_have_one_spelling(void **state)
{
    uint8_t packed[IFAB_SWARM_HELP_PACKED], bad[IFAB_SWARM_HELP_PACKED + 1] = {0};
    struct ifab_swarm_help h = {.asked = 3, .completed = 2, .cost = 700, .wasted = 400}, back;
    (void)state;
    assert_int_equal(ifab_swarm_help_pack(&h, packed), sizeof packed);
    assert_true(ifab_swarm_help_unpack(ifab_view_of(packed, sizeof packed), &back));
    assert_memory_equal(&h, &back, sizeof h);
    assert_false(ifab_swarm_help_unpack(ifab_view_of(packed, sizeof packed - 1), &back));
    memcpy(bad, packed, sizeof packed);
    assert_false(ifab_swarm_help_unpack(ifab_view_of(bad, sizeof bad), &back));
    bad[0] = 2;
    assert_false(ifab_swarm_help_unpack(ifab_view_of(bad, sizeof packed), &back));
    h.wasted = 701; /* more than all of it */
    ifab_swarm_help_pack(&h, packed);
    assert_false(ifab_swarm_help_unpack(ifab_view_of(packed, sizeof packed), &back));
    h = (struct ifab_swarm_help){.asked = 1, .cost = IFAB_AMOUNT_MAX, .wasted = IFAB_AMOUNT_MAX}; /* INV-10 */
    ifab_swarm_help_add(&h, &(struct ifab_swarm_help){.cost = IFAB_AMOUNT_MAX, .wasted = 1});
    assert_int_equal(h.cost, IFAB_AMOUNT_MAX);
    assert_int_equal(h.wasted, IFAB_AMOUNT_MAX);
    assert_int_equal(ifab_swarm_help_permille(&h), 1000);
}

static enum ifab_code create_at(const char *of, const char *id, bool waits)
{
    struct ifab_command c = new_task(id, "sql");
    c.u.task.swarm = ifab_view_str(of);
    c.u.task.waits = waits;
    return rig_do(&rig, &c)->code;
}

/* A maker that waits is told where, and nothing has been done; everything else about its task is judged before. INV-12 */
static void a_full_queue_that_blocks_lets_its_maker_wait(void **state)
{
    static const struct ifab_view sql[] = {{(const uint8_t *)"sql", 3}}, ann[] = {{(const uint8_t *)"Ann", 3}};
    (void)state;
    struct ifab_command door = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    door.u.swarm.request = (struct ifab_swarm_request){.id = IFAB_VIEW("door"), .skills = sql, .skill_count = 1, .members = ann, .member_count = 1,
                                                       .queue_limit = 2, .queue_policy = IFAB_QUEUE_BLOCK};
    assert_int_equal(rig_do(&rig, &door)->code, IFAB_CODE_NONE);
    const struct ifab_coordinator *c = ifab_fabric_coordinator(rig.fabric);
    struct ifab_swarm_number number = ifab_swarm_find(c, IFAB_VIEW("door"))->number;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ifab_swarm_room(c, number), 2 - i);
        assert_int_equal(create_at("door", i == 0 ? "a" : "b", true), IFAB_CODE_NONE);
        assert_int_equal(rig.outcome.reply.waits.n, 0);
    }
    assert_int_equal(ifab_swarm_room(c, number), 0);
    assert_int_equal(ifab_swarm_room(c, ifab_swarm_find(c, IFAB_VIEW("data"))->number), UINT32_MAX); /* nothing to wait for */
    size_t entries = rig.entry_count, records = rig.record_count;
    assert_int_equal(create_at("door", "c", true), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.waits.n, number.n);
    assert_int_equal(rig.outcome.reply.body.size, 0);
    assert_int_equal(rig.entry_count, entries);
    assert_int_equal(rig.record_count, records);
    assert_int_equal(state_of("c"), IFAB_TASK_NONE);
    assert_int_equal(create_at("door", "a", true), IFAB_CODE_CONFLICT); /* it would be refused however long it waited */
    assert_int_equal(create_at("none", "c", true), IFAB_CODE_NOT_FOUND);
    struct ifab_principal p = as(EVE);
    p.role = IFAB_ROLE_READONLY;
    struct ifab_command other = new_task("c", "sql");
    other.u.task.swarm = IFAB_VIEW("door");
    other.u.task.waits = true;
    other.principal = &p;
    assert_int_equal(rig_do(&rig, &other)->code, IFAB_CODE_PERMISSION_DENIED); /* authority before it waits */
    assert_int_equal(create_at("door", "c", false), IFAB_CODE_QUEUE_FULL);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"task_refused\""));
    assert_int_equal(claim(ANN, "door", "a"), IFAB_CODE_NONE);
    assert_int_equal(ifab_swarm_room(c, number), 1);
    assert_int_equal(create_at("door", "c", true), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.waits.n, 0);
    assert_int_equal(state_of("c"), IFAB_TASK_QUEUED);
    struct ifab_command plain = door; /* one that rejects lets nobody wait */
    plain.u.swarm.request.id = IFAB_VIEW("plain");
    plain.u.swarm.request.queue_limit = 1;
    plain.u.swarm.request.queue_policy = IFAB_QUEUE_REJECT;
    assert_int_equal(rig_do(&rig, &plain)->code, IFAB_CODE_NONE);
    assert_int_equal(create_at("plain", "p", true), IFAB_CODE_NONE);
    assert_int_equal(create_at("plain", "q", true), IFAB_CODE_QUEUE_FULL);
}

static enum ifab_code spends(uint32_t talent, const char *of)
{
    struct ifab_principal p = as(talent);
    struct ifab_command c = {.type = IFAB_COMMAND_COST, .principal = &p};
    c.u.cost.cost = (struct ifab_cost){.has_usd = true, .usd_micro = 5};
    c.u.cost.swarm = ifab_view_str(of);
    return rig_do(&rig, &c)->code;
}

static void an_agent_spends_for_swarms_that_name_it(void **state)
{
    (void)state;
    assert_int_equal(spends(ANN, "data"), IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), "\"swarm\":\"data\""));
    assert_int_equal(spends(EVE, "data"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(spends(ANN, "code"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(spends(ANN, "none"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(swarm("data", "sql", "Eve", 5), IFAB_CODE_NONE);
    assert_int_equal(spends(ANN, "data"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(spends(EVE, "data"), IFAB_CODE_NONE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_swarm_goes_through_its_states, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_lease_is_not_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_heartbeat_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(only_its_members_say_that_a_swarm_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_gives_everyone_time_to_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(help_is_asked_of_those_who_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(help_that_came_to_nothing_is_counted, setup, teardown),
        cmocka_unit_test(counts_of_help_are_bounded_and_have_one_spelling),
        cmocka_unit_test_setup_teardown(a_full_queue_that_blocks_lets_its_maker_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(an_agent_spends_for_swarms_that_name_it, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
