/* Turns and shares of what waits: a long stream costs others one turn, each connection keeps its order, one talent leaves room for the next. INV-12 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/node.h"

#define SLOTS 8

static struct order order;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(order_init(&order, SLOTS), IFAB_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct ticket *t;
    while ((t = order_take(&order)) != NULL)
        ifab_free(t);
    order_fini(&order);
    return 0;
}

static struct group body; /* a ticket of it is a line */

static void add_at(uint32_t slot, uint64_t connection, size_t line, bool single, ifab_usec run)
{
    struct ticket *t = ifab_calloc(1, sizeof *t);
    assert_non_null(t);
    t->line = line;
    t->group = single ? NULL : &body;
    assert_true(order_ready(&order));
    (void)order_add(&order, t, slot, connection, run);
}

static void add(uint32_t slot, uint64_t connection, size_t line) { add_at(slot, connection, line, false, 0); }

static size_t take(void)
{
    assert_non_null(order_head(&order));
    struct ticket *head = order_head(&order), *t = order_take(&order);
    assert_ptr_equal(head, t);
    size_t line = t->line;
    ifab_free(t);
    return line;
}

static void connections_take_turns_and_keep_their_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < 1000; i++)
        add(0, 1, i);
    add(1, 2, 5000);
    add(1, 2, 5001);
    add(2, 3, 6000);
    static const size_t expected[] = {0, 5000, 6000, 1, 5001, 2, 3};
    for (size_t i = 0; i < IFAB_COUNT(expected); i++)
        assert_int_equal(take(), expected[i]);
    add(1, 2, 7000); /* comes again: its turn is behind one of the stream's, not behind 996 */
    assert_int_equal(take(), 4);
    assert_int_equal(take(), 7000);
    for (size_t i = 5; i < 1000; i++)
        assert_int_equal(take(), i);
    assert_null(order_head(&order));
    assert_int_equal(order.count, 0);
}

static void stream_goes_on_beside_connections_that_come_again_and_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        add(0, 1, i);
    size_t of_stream = 0;
    for (uint64_t turn = 0; turn < 300 && of_stream < 100; turn++) {
        add(1, 2 + turn, 9000); /* a new connection each time, in the same slot */
        if (take() < 9000)
            of_stream++;
        if (order_head(&order) != NULL && take() < 9000)
            of_stream++;
    }
    assert_int_equal(of_stream, 100);
}

static void slot_used_again_does_not_inherit_what_waits(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20000; i++)
        add(3, 1, i);
    assert_true(order_room(&order, 3, 2, 20000));
    add(3, 2, 50000);
    assert_int_equal(take(), 0);
    assert_int_equal(take(), 50000);
}

static void tickets_of_one_owner_without_connection_keep_their_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        add(UINT32_MAX, 0, i);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(take(), i);
}

static void flood_of_one_connection_leaves_room_for_others(void **state)
{
    (void)state;
    size_t taken = 0;
    while (order_room(&order, 0, 1, 1))
        add(0, 1, taken++);
    assert_int_equal(taken, ORDER_MAX / 2);
    assert_true(order_room(&order, 1, 2, 10000)); /* a whole stream of somebody else */
    assert_false(order_room(&order, 0, 1, 1));
    assert_false(order_room(&order, 2, 3, ORDER_MAX)); /* the whole is bounded */
    for (uint32_t slot = 1; slot < SLOTS; slot++)
        while (order_room(&order, slot, slot + 1, 1))
            add(slot, slot + 1, taken++);
    assert_true(taken < ORDER_MAX);
    assert_true(order_room(&order, UINT32_MAX, 99, 1)); /* and the next one still comes in */
}

static void talents_share_the_places_behind_the_signature(void **state)
{
    (void)state;
    size_t a = 0, b = 0, c = 0;
    while (order_share_take(&order, 7))
        a++;
    assert_int_equal(a, ORDER_VERIFIED_MAX / 2);
    while (order_share_take(&order, 300))
        b++;
    assert_int_equal(b, ORDER_VERIFIED_MAX / 4);
    assert_false(order_share_take(&order, 7));
    while (order_share_take(&order, 1))
        c++;
    assert_true(c > 0 && a + b + c <= ORDER_VERIFIED_MAX);
    for (; a > 0; a--)
        order_share_give(&order, 7);
    assert_true(order_share_take(&order, 1));
    assert_true(order_share_take(&order, 7));
}

/* What would wait long is refused at once; who has nothing waiting is let in, and lines that came together are not concerned. */
static void requests_of_their_own_are_refused_when_they_would_wait_long(void **state)
{
    (void)state;
    size_t alone = 0;
    for (; order_room_single(&order, 0, 1); alone++)
        add_at(0, 1, 0, true, 0);
    assert_int_equal(alone, ORDER_SINGLES);
    assert_true(order_room_single(&order, 1, 2));
    add_at(1, 2, 0, true, 0);
    size_t second = 1;
    for (; order_room_single(&order, 1, 2); second++)
        add_at(1, 2, 0, true, 0);
    assert_int_equal(second, ORDER_SINGLES / 2); /* its last one waits for two turns each */
    assert_true(order_room(&order, 1, 2, 10000));
    for (size_t i = 0; i < 1000; i++)
        add(2, 3, i);
    assert_true(order_room_single(&order, 2, 3)); /* behind its own lines: its own doing */
    for (size_t i = 0; i < 1000 + alone + second; i++)
        (void)take();
    assert_true(order_room_single(&order, 0, 1)); /* and what was taken does not count any more */
    assert_int_equal(order.lanes, 0);
}

static void late_ones_wait_for_those_in_turn_and_keep_their_order(void **state)
{
    (void)state;
    order_put_late(&order, 0, 1, 1000);
    for (size_t i = 0; i < 3; i++)
        add_at(0, 1, i, true, 1000 + ORDER_LATE_FOR - 1);
    add_at(0, 2, 50, true, 1000); /* another connection in that slot is not late */
    add_at(1, 3, 100, true, 1000);
    add_at(1, 3, 101, true, 1000);
    static const size_t expected[] = {50, 100, 101, 0};
    for (size_t i = 0; i < IFAB_COUNT(expected); i++)
        assert_int_equal(take(), expected[i]);
    add_at(1, 3, 102, true, 1000);
    add_at(1, 3, 103, true, 1000);
    order_let_in(&order); /* what is not verified yet would hold the others up */
    assert_ptr_equal(order.turns[0].first, order.turns[0].last);
    atomic_store(&order.turns[1].first->first->state, TICKET_VERIFIED);
    order_let_in(&order); /* one turn, whoever else waits */
    assert_int_equal(take(), 102);
    assert_int_equal(take(), 1);
    assert_int_equal(take(), 103);
    assert_int_equal(take(), 2);
    add_at(0, 1, 3, true, 1000 + ORDER_LATE_FOR); /* a second later: as anybody */
    add_at(1, 3, 104, true, 1000);
    assert_int_equal(take(), 3);
    assert_int_equal(take(), 104);
    add_at(0, 1, 4, true, 1000 + ORDER_LATE_FOR);
    add_at(0, 1, 5, true, 1000 + ORDER_LATE_FOR);
    order_put_late(&order, 0, 1, 1000 + ORDER_LATE_FOR); /* told so while something of it waits: from its next turn on */
    add_at(0, 1, 6, true, 1000 + ORDER_LATE_FOR);
    add_at(1, 3, 105, true, 1000);
    add_at(1, 3, 106, true, 1000);
    static const size_t then[] = {4, 105, 106, 5, 6};
    for (size_t i = 0; i < IFAB_COUNT(then); i++)
        assert_int_equal(take(), then[i]);
    assert_null(order_head(&order));
}

static bool is_late(uint32_t slot, uint64_t connection, ifab_usec run)
{
    add_at(slot, connection, 0, true, run);
    bool late = atomic_load(&order.of_slot[slot]->late);
    (void)take();
    return late;
}

/* Two of three must have been refused for long: one talent of many on a connection does not make it late. Another connection is another's. */
static void lateness_is_of_who_is_refused_again_and_again(void **state)
{
    (void)state;
    assert_false(is_late(0, 1, 0));
    for (int i = 0; i < 100; i++)
        order_put_late(&order, 0, 1, 0);
    assert_true(is_late(0, 1, ORDER_LATE_FOR - 1));
    assert_false(is_late(0, 2, 0)); /* the same slot, */
    assert_false(is_late(1, 1, 0)); /* another one: not the connection that was refused */
    assert_false(is_late(0, 1, ORDER_LATE_FOR));
    order_put_good(&order, 0, 0); /* of the one before in that slot, */
    order_put_late(&order, 0, 0, 2 * ORDER_LATE_FOR);
    assert_true(is_late(0, 1, ORDER_LATE_FOR - 1)); /* whose answer came behind its end: ends nothing, */
    assert_false(is_late(0, 1, ORDER_LATE_FOR)); /* and goes on with nothing */
    order_put_good(&order, 1, 1);
    for (int i = 0; i < ORDER_LATE_MOST - 1; i++) {
        order_put_good(&order, 0, 1);
        assert_true(is_late(0, 1, 0));
    }
    order_put_good(&order, 0, 1);
    assert_false(is_late(0, 1, 0));
    order_put_good(&order, 0, 1); /* no credit for the future */
    order_put_good(&order, 0, 1);
    order_put_late(&order, 0, 1, 0);
    assert_true(is_late(0, 1, 0));
    for (int i = 0; i < 100; i++) { /* one of three */
        order_put_good(&order, 0, 1);
        order_put_good(&order, 0, 1);
        assert_false(is_late(0, 1, 0));
        order_put_late(&order, 0, 1, 0);
    }
    order_put_late(&order, 0, 1, 0);
    order_put_late(&order, 0, 1, 0);
    order_put_late(&order, 0, 1, 2 * ORDER_LATE_FOR); /* long afterwards: the first one again */
    order_put_good(&order, 0, 1);
    order_put_good(&order, 0, 1);
    assert_false(is_late(0, 1, 2 * ORDER_LATE_FOR));
    order_put_late(&order, UINT32_MAX, 0, 0); /* no connection: nobody's */
    order_put_good(&order, UINT32_MAX, 0);
}

static struct ifab_keyring *keyring_of(const char *const *names, size_t count)
{
    struct ifab_talents *talents = NULL;
    struct ifab_keyring *keyring = NULL;
    struct ifab_refusal refusal;
    assert_int_equal(ifab_talents_new(7, &talents), IFAB_OK);
    for (size_t i = 0; i < count; i++) {
        struct ifab_talent_request request = {.name = ifab_view_str(names[i]), .role = IFAB_ROLE_AGENT, .expires_at = IFAB_NEVER};
        struct ifab_buf record = IFAB_BUF_INIT(65536);
        uint32_t number;
        assert_int_equal(ifab_talent_add(talents, &request, &record, &number, &refusal), IFAB_CODE_NONE);
        assert_int_equal(ifab_talents_load(talents, number, ifab_buf_as_view(&record), NULL), IFAB_OK);
        ifab_buf_fini(&record);
    }
    assert_int_equal(ifab_keyring_new(talents, &keyring), IFAB_OK);
    ifab_talents_free(talents);
    return keyring;
}

/* Who storms by a connection for each message is late on the next one from the start; who only connects anew is not, and no name that somebody else
 * writes makes its owner late. */
static void a_talent_that_is_late_is_late_on_new_connections(void **state)
{
    (void)state;
    static const char *const names[] = {"Calm", "Storm"};
    struct ifab_keyring *keyring = keyring_of(names, 2);
    uint32_t storm = ifab_keyring_find(keyring, IFAB_VIEW("Storm"))->number, calm = ifab_keyring_find(keyring, IFAB_VIEW("Calm"))->number;
    const struct ifab_view message = IFAB_VIEW("{\"a\":\"\\\"sender\\\":\\\"if://agent/Calm\",\"\\u0073ender\":\"if://agent/Storm/2\"}"),
                           other = IFAB_VIEW("{\"sender\":\"if://agent/Calm\"}");
    assert_false(order_names_late(&order, 0, 10, keyring, message, 0));
    order_talent_good(&order, storm); /* no credit for the future */
    order_talent_late(&order, storm, 0);
    assert_true(order_names_late(&order, 0, 10, keyring, message, ORDER_LATE_FOR - 1)); /* however the name is written */
    assert_false(order_names_late(&order, 0, 10, keyring, message, ORDER_LATE_FOR));
    assert_false(order_names_late(&order, 0, 10, keyring, other, 0));
    static const char *const no_messages[] = {"", "{}", "{\"sender\":7}", "{\"sender\":\"Storm\"}", "{\"sender\":\"if://agent/Nobody\"}", "{\"sender\":\"if://agent/Storm\""};
    for (size_t i = 0; i < IFAB_COUNT(no_messages); i++)
        assert_false(order_names_late(&order, 0, 10, keyring, ifab_view_str(no_messages[i]), 0));
    assert_false(order_names_late(&order, 0, 10, NULL, message, 0));
    assert_false(order_names_late(&order, UINT32_MAX, 0, keyring, message, 0)); /* the daemon's own */

    order_put_good(&order, 0, 10); /* known now: judged by itself */
    assert_false(order_names_late(&order, 0, 10, keyring, message, 0));
    assert_true(order_names_late(&order, 0, 11, keyring, message, 0)); /* the next one in that slot is not */
    order_put_late(&order, 0, 10, 0);
    order_put_late(&order, 1, 12, 0);
    assert_false(order_names_late(&order, 1, 12, keyring, message, 0)); /* it is late already */

    assert_true(order_put_named(&order, 4, 40, 0));
    assert_true(is_late(4, 40, 0)); /* it came and was taken: its place is free again, */
    assert_true(order_put_named(&order, 4, 40, 0));
    add_at(4, 40, 0, true, 0);
    add_at(4, 40, 1, true, 0);
    assert_false(order_put_named(&order, 5, 50, 0)); /* and then not: an eighth of the connections may wait so */
    assert_false(is_late(5, 50, 0));
    (void)take();
    assert_false(order_put_named(&order, 5, 50, 0));
    (void)take();
    assert_true(order_put_named(&order, 5, 50, 0));
    order_put_late(&order, 5, 50, 0); /* told 302 itself: not for a name any more */
    add_at(5, 50, 0, true, 0);
    assert_true(order_put_named(&order, 4, 41, 0));
    (void)take();

    for (size_t i = 0; i < ORDER_ASKED; i++) {
        assert_true(order_names_late(&order, 2, 20, keyring, message, 0)); /* nor does something before it hide it */
        add_at(2, 20, i, false, 0);
    }
    assert_false(order_names_late(&order, 2, 20, keyring, message, 0));

    order_talent_late(&order, calm, 0);
    order_talent_late(&order, calm, 0);
    order_talent_good(&order, storm);
    assert_true(order_names_late(&order, 3, 30, keyring, message, 0));
    order_talent_good(&order, storm);
    assert_false(order_names_late(&order, 3, 30, keyring, message, 0)); /* one of three, as of a connection */
    assert_true(order_names_late(&order, 3, 30, keyring, other, 0));
    ifab_keyring_unref(keyring);
}

static void few_late_ones_are_let_in_at_a_time(void **state)
{
    (void)state;
    order_fini(&order);
    assert_int_equal(order_init(&order, 100), IFAB_OK);
    for (uint32_t slot = 0; slot < 50; slot++) {
        order_put_late(&order, slot, slot + 1, 0);
        add_at(slot, slot + 1, slot, true, 0);
        atomic_store(&order.of_slot[slot]->first->state, slot % 2 == 0 ? TICKET_VERIFIED : TICKET_TAKEN);
    }
    for (size_t i = 0; i < 100; i++)
        add_at(60, 61, 1000 + i, false, 0);
    order_let_in(&order);
    assert_int_equal(take(), 1000);
    for (size_t i = 0; i < ORDER_LET_IN; i++)
        assert_int_equal(take(), 2 * i);
    for (size_t i = 1; i < 100; i++)
        assert_int_equal(take(), 1000 + i);
    assert_true(order_nobody_in_turn(&order));
    for (size_t i = 0; i < 50 - ORDER_LET_IN; i++) /* none is lost */
        (void)take();
    assert_null(order_head(&order));
}

/* ---- the verify workers ---- */

static uint64_t now_ns = 1000000000000;

static size_t take_jobs(struct pool *pool, bool worker, size_t lines[16])
{
    size_t count, n = 0;
    for (struct ticket *t = pool_take(pool, worker, now_ns, &count); t != NULL; t = t->job_next)
        lines[n++] = t->line;
    assert_int_equal(n, count);
    return n;
}

static void late_ones_are_verified_one_by_one_by_workers_alone(void **state)
{
    struct pool pool = {.thread_count = 0};
    size_t lines[16];
    (void)state;
    assert_int_equal(uv_mutex_init(&pool.lock), 0);
    order_put_late(&order, 0, 1, 0);
    for (size_t i = 0; i < 8; i++) {
        struct ticket *t = ifab_calloc(1, sizeof *t);
        assert_non_null(t);
        t->line = i;
        uint32_t slot = i < 4 ? 0 : 1;
        assert_true(order_ready(&order));
        pool_push(&pool, order_add(&order, t, slot, slot + 1, 0), t);
    }
    assert_int_equal(take_jobs(&pool, true, lines), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(lines[i], 4 + i);
    assert_int_equal(take_jobs(&pool, false, lines), 0); /* the loop does not lend a hand */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(take_jobs(&pool, true, lines), 1);
        assert_int_equal(lines[0], i);
    }
    assert_int_equal(pool.waiting[1], 2);
    assert_int_equal(take_jobs(&pool, true, lines), 1);
    assert_int_equal(take_jobs(&pool, true, lines), 1);
    assert_int_equal(pool.waiting[0] + pool.waiting[1], 0);
    uv_mutex_destroy(&pool.lock);
}

static void push(struct pool *pool, uint32_t slot, size_t line)
{
    struct ticket *t = ifab_calloc(1, sizeof *t);
    assert_non_null(t);
    t->line = line;
    assert_true(order_ready(&order));
    pool_push(pool, order_add(&order, t, slot, slot + 1, 0), t);
}

/* While others are about, so many in so much time; whoever else waits, they are not forgotten; with nobody else about, as many as there are. */
static void late_ones_are_verified_at_a_pace_while_others_are_about(void **state)
{
    struct pool pool = {.thread_count = 0};
    size_t lines[16], late = 0;
    (void)state;
    assert_int_equal(uv_mutex_init(&pool.lock), 0);
    order_put_late(&order, 0, 1, 0);
    for (size_t i = 0; i < 100; i++)
        push(&pool, 0, i);
    atomic_store(&pool.others_ns, now_ns);
    for (; take_jobs(&pool, true, lines) == 1; late++)
        assert_int_equal(lines[0], late);
    assert_int_equal(late, PACE_TICKETS);
    now_ns += PACE_EVERY_NS - 1;
    assert_int_equal(take_jobs(&pool, true, lines), 0);
    push(&pool, 1, 1000); /* nobody's pace but theirs */
    assert_int_equal(take_jobs(&pool, true, lines), 1);
    assert_int_equal(lines[0], 1000);
    now_ns++;
    for (; take_jobs(&pool, true, lines) == 1; late++)
        assert_int_equal(lines[0], late);
    assert_int_equal(late, 2 * PACE_TICKETS);
    /* others always have something waiting: what is left over of a period comes first in the next one */
    for (size_t period = 0; period < 10; period++) {
        size_t of_late = 0, of_others = 0;
        now_ns += PACE_EVERY_NS;
        for (size_t i = 0; i < 20; i++) {
            push(&pool, 1, 1000);
            size_t n = take_jobs(&pool, true, lines);
            assert_true(n > 0);
            *(lines[0] < 1000 ? &of_late : &of_others) += n; /* never both at a time */
        }
        assert_int_equal(of_others, 20);
        assert_int_equal(of_late, period == 0 ? 0 : PACE_TICKETS);
        late += of_late;
    }
    assert_int_equal(pool.waiting[1], 100 - late);
    /* nor two workers at a time, so that a core is free for the others; with nobody else about, all of them */
    pool.late_taken = 1;
    now_ns += PACE_EVERY_NS;
    atomic_store(&pool.others_ns, now_ns);
    assert_int_equal(take_jobs(&pool, true, lines), 0);
    now_ns += PACE_OTHERS_NS;
    for (; take_jobs(&pool, true, lines) == 1; late++)
        assert_int_equal(lines[0], late);
    assert_int_equal(late, 100);
    assert_int_equal(pool.waiting[0] + pool.waiting[1], 0);
    uv_mutex_destroy(&pool.lock);
}

/* ---- order and workers together ---- */

struct course {
    struct pool pool;
    size_t added[SLOTS], seen[SLOTS];
    ifab_usec run;
};

static void arrives(struct course *c, uint32_t slot)
{
    struct ticket *t = ifab_calloc(1, sizeof *t);
    assert_non_null(t);
    t->line = c->added[slot]++ * SLOTS + slot;
    assert_true(order_ready(&order));
    struct lane *lane = order_add(&order, t, slot, slot + 1, c->run);
    if (!atomic_load(&lane->late)) {
        pool_in_turn(&c->pool, lane);
        atomic_store(&c->pool.others_ns, now_ns);
    }
    pool_push(&c->pool, lane, t);
}

static void is_good(struct course *c, uint32_t slot)
{
    struct lane *lane = order_put_good(&order, slot, slot + 1);
    if (lane != NULL)
        pool_in_turn(&c->pool, lane);
}

static void verifies(struct course *c, bool worker)
{
    size_t count;
    for (struct ticket *t = pool_take(&c->pool, worker, now_ns, &count); t != NULL; t = t->job_next)
        atomic_store(&t->state, TICKET_VERIFIED);
}

/* false: the next one is not verified. One that is in turn can be had of the verifiers now. */
static bool steps(struct course *c)
{
    struct ticket *head = order_head(&order);
    if (head == NULL)
        return false;
    if (atomic_load(&head->state) != TICKET_VERIFIED) {
        struct lane *of = c->pool.turns[order_nobody_in_turn(&order)].first;
        while (of != NULL && of->job_first != head)
            of = of->job_next;
        assert_true(of != NULL || order_nobody_in_turn(&order));
        return false;
    }
    size_t line = take();
    assert_int_equal(line / SLOTS, c->seen[line % SLOTS]++); /* a connection keeps its order */
    return true;
}

static void one_act(struct course *c, uint64_t random)
{
    uint32_t slot = (uint32_t)(random >> 33) % 5, what = (uint32_t)(random >> 60);
    if (what < 5) {
        arrives(c, slot);
    } else if (what == 5) {
        order_put_late(&order, slot, slot + 1, c->run);
    } else if (what == 6) {
        is_good(c, slot);
    } else if (what == 7) {
        c->run += (ifab_usec)(random >> 40) % ORDER_LATE_FOR;
        now_ns += (random >> 40) % PACE_EVERY_NS;
    } else if (what == 8) {
        order_let_in(&order);
    } else if (what < 11) {
        verifies(c, slot < 3);
    } else {
        (void)steps(c);
    }
}

/* Any course of arrivals, refusals, turns and times: the step never waits for a signature that is not in turn before the verifiers; all are taken, in order. */
static void step_waits_for_nobody_who_is_late(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        struct course c = {.pool.thread_count = 1};
        uint64_t random = seed;
        assert_int_equal(uv_mutex_init(&c.pool.lock), 0);
        order_fini(&order);
        assert_int_equal(order_init(&order, SLOTS), IFAB_OK);
        for (int i = 0; i < 2000; i++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            one_act(&c, random);
        }
        now_ns += 10 * PACE_OTHERS_NS;
        while (order_head(&order) != NULL) { /* with nobody else about, all are taken */
            size_t before = c.pool.waiting[0] + c.pool.waiting[1];
            verifies(&c, true);
            while (steps(&c))
                ;
            assert_true(order_head(&order) == NULL || c.pool.waiting[0] + c.pool.waiting[1] < before);
        }
        assert_memory_equal(c.added, c.seen, sizeof c.added);
        assert_int_equal(c.pool.waiting[0] + c.pool.waiting[1], 0);
        uv_mutex_destroy(&c.pool.lock);
    }
}

static void pace_goes_with_the_number_of_workers(void **state)
{
    struct pace pace = {0};
    (void)state;
    for (size_t workers = 1; workers < 9; workers++) {
        size_t n = 0;
        now_ns += PACE_EVERY_NS;
        pace_on(&pace, now_ns, workers);
        pace.overdue = 0;
        while (pace_allows(&pace, now_ns, now_ns + 1)) /* the loop's clock may be ahead */
            n++;
        assert_int_equal(n, PACE_TICKETS * workers);
        assert_false(pace_overdue(&pace));
    }
}

static void workers_take_one_of_each_connection_in_turn(void **state)
{
    struct pool pool = {.thread_count = 0};
    size_t count, seen = 0;
    (void)state;
    assert_int_equal(uv_mutex_init(&pool.lock), 0);
    for (size_t i = 0; i < 40; i++) {
        struct ticket *t = ifab_calloc(1, sizeof *t);
        assert_non_null(t);
        t->line = i;
        uint32_t slot = i < 38 ? 0 : (uint32_t)i - 37;
        assert_true(order_ready(&order));
        pool_push(&pool, order_add(&order, t, slot, slot + 1, 0), t);
    }
    static const size_t expected[] = {0, 38, 39, 1, 2, 3};
    size_t last = 0;
    for (struct ticket *t; (t = pool_take(&pool, false, 0, &count)) != NULL;)
        for (; t != NULL; t = t->job_next, seen++) {
            if (seen < IFAB_COUNT(expected))
                assert_int_equal(t->line, expected[seen]);
            else
                assert_true(t->line > last);
            last = t->line;
        }
    assert_int_equal(seen, 40);
    assert_int_equal(pool.waiting[0], 0);
    uv_mutex_destroy(&pool.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connections_take_turns_and_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stream_goes_on_beside_connections_that_come_again_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slot_used_again_does_not_inherit_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tickets_of_one_owner_without_connection_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flood_of_one_connection_leaves_room_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(talents_share_the_places_behind_the_signature, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_of_their_own_are_refused_when_they_would_wait_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(late_ones_wait_for_those_in_turn_and_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lateness_is_of_who_is_refused_again_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_talent_that_is_late_is_late_on_new_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_late_ones_are_let_in_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(late_ones_are_verified_one_by_one_by_workers_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(late_ones_are_verified_at_a_pace_while_others_are_about, set_up, tear_down),
        cmocka_unit_test_setup_teardown(step_waits_for_nobody_who_is_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pace_goes_with_the_number_of_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(workers_take_one_of_each_connection_in_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
