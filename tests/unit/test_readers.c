/* Readers are two threads: whoever waits for the follower does not hold one, however many wait; none is lost, none waits for ever. INV-12 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/node.h"

#define MANY 3000

static struct node node;
static size_t ran, finished, refused;

static int set_up(void **state)
{
    struct ifab_error err = {0};
    (void)state;
    memset(&node, 0, sizeof node);
    ran = finished = refused = 0;
    assert_int_equal(uv_loop_init(&node.loop), 0);
    assert_int_equal(ifab_store_memory_open(&node.store, &err), IFAB_OK);
    assert_int_equal(readers_start(&node, &err), IFAB_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    readers_stop(&node);
    uv_close((uv_handle_t *)&node.read_done, NULL);
    uv_run(&node.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&node.loop), 0);
    ifab_store_close(node.store);
    return 0;
}

static void run_one(struct node *self, struct ifab_store *store, struct job *job)
{
    assert_ptr_equal(self, &node);
    assert_non_null(store);
    job->status = 200;
}

static void finish_one(struct node *self, struct job *job)
{
    assert_ptr_equal(self, &node);
    finished++;
    ran += job->status == 200;
    refused += job->code != IFAB_CODE_NONE;
    job_free(job);
}

static struct job *push(uint64_t needs, bool always)
{
    struct job *job = job_new(NULL);
    assert_non_null(job);
    job->run = run_one;
    job->finish = finish_one;
    job->needs = needs;
    job->always = always;
    job_push(&node, job);
    return job;
}

static void until(size_t wanted)
{
    for (int i = 0; i < 100000 && finished < wanted; i++) {
        uv_run(&node.loop, UV_RUN_NOWAIT);
        uv_sleep(finished < wanted);
    }
    assert_int_equal(finished, wanted);
}

/* There is no follower here: it never comes so far. */
static void those_who_wait_for_the_follower_hold_no_reader(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++)
        (void)push(100, false);
    for (size_t i = 0; i < 20; i++)
        (void)push(0, false);
    until(20);
    assert_int_equal(ran, 20);
    assert_int_equal(node.parked_count, 20);
}

static void who_waits_too_long_is_told_so(void **state)
{
    (void)state;
    struct job *late = push(100, false);
    (void)push(100, false);
    late->parked_until = -1;
    jobs_unpark(&node);
    assert_int_equal(finished, 1);
    assert_int_equal(refused, 1);
    assert_int_equal(node.parked_count, 1);
    assert_int_equal(node.jobs_waiting, 1);
}

static void reads_are_bounded_and_waiters_are_bounded_elsewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < MANY; i++)
        (void)push(100, false);
    assert_true(refused > 0 && refused < MANY);
    assert_int_equal(refused + node.parked_count, MANY);
    size_t before = refused;
    (void)push(0, true); /* a waiter's: its place was given when it was let in */
    until(before + 1);
    assert_int_equal(refused, before);
}

/* Large answers: not all in one turn of the loop. */
static void run_large(struct node *self, struct ifab_store *store, struct job *job)
{
    static const char bytes[400000];
    run_one(self, store, job);
    ifab_buf_put(&job->out, bytes, sizeof bytes);
}

static void large_answers_are_told_a_few_in_a_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++) {
        struct job *job = job_new(NULL);
        assert_non_null(job);
        job->run = run_large;
        job->finish = finish_one;
        job_push(&node, job);
    }
    for (size_t waiting = 1; waiting > 0;) { /* all have ended, none was told */
        uv_mutex_lock(&node.reader_lock);
        waiting = node.jobs_waiting;
        uv_mutex_unlock(&node.reader_lock);
        uv_sleep(1);
    }
    for (size_t before = 0; finished < 20; before = finished) {
        uv_run(&node.loop, UV_RUN_NOWAIT);
        assert_true(finished - before <= 3);
    }
    assert_int_equal(ran, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_who_wait_for_the_follower_hold_no_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_too_long_is_told_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_answers_are_told_a_few_in_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_are_bounded_and_waiters_are_bounded_elsewhere, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
