/* Circles of waits: which blocked tasks give way, however many there are and however they came; against the definition, taken literally. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "coordinator/coordinator.h"
#include "crypto/crypto.h"
#include "support.h"

#include <stdio.h>

#define MEMORY ((size_t)64 << 20)

static struct ifab_coordinator *make(void)
{
    struct ifab_coordinator *self;
    struct ifab_coordinator_limits limits;
    ifab_coordinator_limits_default(&limits);
    assert_int_equal(ifab_coordinator_new(&limits, &self), IFAB_OK);
    return self;
}

static void swarm_of(struct ifab_coordinator *self, uint64_t number, uint32_t concurrency)
{
    char id[24];
    struct ifab_view skills[] = {IFAB_VIEW("sql")}, members[] = {IFAB_VIEW("abe")};
    snprintf(id, sizeof id, "s%llu", (unsigned long long)number);
    struct ifab_swarm_request r = {.id = ifab_view_str(id), .skills = skills, .skill_count = 1, .members = members, .member_count = 1,
                                   .concurrency = concurrency, .wall = 1};
    struct ifab_buf record = IFAB_BUF_INIT(65536);
    struct ifab_swarm_number there;
    assert_int_equal(ifab_swarm_register(self, &r, &record, &there, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_swarm_load(self, number, ifab_buf_as_view(&record), NULL), IFAB_OK);
    ifab_buf_fini(&record);
}

static struct ifab_task task_of(uint64_t number, enum ifab_task_state state, uint64_t owner, uint64_t queue, uint8_t priority)
{
    struct ifab_task t = {.number = {number}, .state = state, .priority = priority, .queue = {queue}, .owner = {owner}, .creator = {1, 0},
                          .created_index = number, .queued_index = number, .attempt = 1, .max_attempts = 3, .deadline = IFAB_NEVER, .budget = {-1, -1, -1}};
    snprintf(t.id, sizeof t.id, "t%llu", (unsigned long long)number);
    memcpy(t.type, "job", 4);
    if (ifab_task_owned(state)) {
        t.fence.n = number;
        t.lease = t.lease_until = IFAB_HOUR;
    }
    return t;
}

static void put(struct ifab_coordinator *self, const struct ifab_task *t)
{
    assert_int_equal(ifab_coordinator_reserve(self, 1), IFAB_OK);
    ifab_task_put(self, t);
}

static void put_blocked(struct ifab_coordinator *self, uint64_t number, uint64_t owner, uint8_t priority, uint64_t helper, uint64_t other)
{
    struct ifab_task t = task_of(number, IFAB_TASK_BLOCKED, owner, 0, priority);
    t.helpers[0] = helper;
    t.helpers[1] = other;
    put(self, &t);
}

static size_t look(const struct ifab_coordinator *self, struct ifab_task_number *victims, size_t max)
{
    struct ifab_arena arena;
    size_t count = SIZE_MAX;
    ifab_arena_init(&arena, MEMORY);
    assert_true(ifab_tasks_in_circles(self, &arena, victims, max, &count));
    ifab_arena_fini(&arena);
    return count;
}

/* Several circles at once, one of a single task, one of three: each gives up its least, and nothing outside of them gives way. In whatever order they came. */
static void each_circle_of_waits_gives_up_one(void **state)
{
    /* number, swarm whose only hand it is, priority, swarm in whose queue its help stands */
    static const struct { uint64_t number, owner; uint8_t priority; uint64_t waits_at; } all[] = {
        {10, 1, 2, 1},                              /* for itself */
        {11, 2, 1, 3}, {12, 3, 2, 2},               /* two: 12 is of less priority */
        {13, 4, 2, 5}, {14, 5, 2, 6}, {15, 6, 2, 4}, /* three: 15 is the youngest */
        {16, 7, 3, 4},                              /* waits for the third, is in none */
        {17, 8, 3, 9},                              /* for a swarm with a hand free */
    };
    (void)state;
    for (size_t start = 0; start < IFAB_COUNT(all); start++) {
        struct ifab_coordinator *self = make();
        struct ifab_task_number victims[8];
        for (uint64_t s = 1; s <= 9; s++)
            swarm_of(self, s, 1);
        for (size_t i = 0; i < IFAB_COUNT(all); i++) {
            size_t at = (start + i) % IFAB_COUNT(all);
            struct ifab_task help = task_of(100 + all[at].number, IFAB_TASK_QUEUED, 0, all[at].waits_at, 2);
            put(self, &help);
            put_blocked(self, all[at].number, all[at].owner, all[at].priority, help.number.n, 0);
        }
        assert_int_equal(look(self, victims, IFAB_COUNT(victims)), 3);
        assert_int_equal(victims[0].n, 10);
        assert_int_equal(victims[1].n, 12);
        assert_int_equal(victims[2].n, 15);
        assert_int_equal(look(self, victims, 2), 2); /* so many as were asked for, always the same ones; the rest at the next look */
        assert_int_equal(victims[0].n, 10);
        assert_int_equal(victims[1].n, 12);
        assert_int_equal(look(self, victims, 0), 0);
        ifab_coordinator_free(self);
    }
}

/* A task that helps itself, also beside help that goes on; two that help each other; and who only waits for such a one. */
static void a_task_waits_for_itself(void **state)
{
    struct ifab_coordinator *self = make();
    struct ifab_task_number victims[4];
    (void)state;
    swarm_of(self, 1, 10);
    put_blocked(self, 10, 1, 2, 10, 0);
    put_blocked(self, 11, 1, 2, 99, 11); /* 99 has ended */
    put_blocked(self, 12, 1, 2, 13, 0);
    put_blocked(self, 13, 1, 2, 0, 12);
    put_blocked(self, 14, 1, 3, 10, 12);
    put_blocked(self, 15, 1, 3, 0, 0); /* for a person */
    assert_int_equal(look(self, victims, IFAB_COUNT(victims)), 3);
    assert_int_equal(victims[0].n, 10);
    assert_int_equal(victims[1].n, 11);
    assert_int_equal(victims[2].n, 13);
    ifab_coordinator_free(self);
}

/* Without memory nothing is known: that is not the same as no circle. */
static void no_memory_is_no_answer(void **state)
{
    struct ifab_coordinator *self = make();
    struct ifab_task_number victims[1];
    (void)state;
    swarm_of(self, 1, 1);
    for (size_t memory = 0; memory < 4096; memory += 16) {
        struct ifab_arena arena;
        size_t count = SIZE_MAX;
        ifab_arena_init(&arena, memory);
        assert_true(ifab_tasks_in_circles(self, &arena, victims, 1, &count)); /* nothing is blocked: none is needed */
        assert_int_equal(count, 0);
        put_blocked(self, 10, 1, 2, 10, 0);
        bool known = ifab_tasks_in_circles(self, &arena, victims, 1, &count);
        assert_int_equal(count, known ? 1 : 0);
        assert_true(known || memory < 2048);
        assert_true(!known || memory > 64);
        ifab_task_remove(self, (struct ifab_task_number){10});
        ifab_arena_fini(&arena);
    }
    ifab_coordinator_free(self);
}

/* ---- long chains ---- */

#define CHAIN UINT64_C(10000)

/*
 * Task i waits for task i + 1: that one helps it itself, or its help stands in the queue of the swarm whose only hand that one is. The last one's helper
 * is `last`, 0: none. They came in order of number, or the last first. The 7,001st is of least priority.
 */
static struct ifab_coordinator *chain(bool queues, bool backwards, uint64_t last)
{
    struct ifab_coordinator *self = make();
    for (uint64_t s = 1; s <= (queues ? CHAIN : CHAIN / 1000); s++)
        swarm_of(self, s, queues ? 1 : 1000);
    for (uint64_t i = 0; i < CHAIN; i++) {
        uint64_t at = i + 1, helper = at < CHAIN ? at + 1 : last;
        if (queues && helper != 0) {
            struct ifab_task help = task_of(CHAIN + at, IFAB_TASK_QUEUED, 0, helper, 2);
            put(self, &help);
            helper = help.number.n;
        }
        put_blocked(self, at, queues ? at : 1 + (at - 1) / 1000, at == 7001 ? 3 : 2, helper, 0);
    }
    for (uint64_t at = CHAIN; backwards && at > 0; at--) { /* who is put again is the last that came */
        struct ifab_task again = *ifab_task_at(self, (struct ifab_task_number){at});
        put(self, &again);
    }
    return self;
}

static void a_long_chain_is_looked_through(void **state)
{
    static const struct { uint64_t last, victim; } ends[] = {
        {0, 0},                       /* the last waits for a person: no circle */
        {CHAIN, CHAIN},               /* for itself */
        {CHAIN - 1, CHAIN},           /* the last two for each other */
        {CHAIN - 2500, CHAIN},        /* not the least of all: it is outside */
        {7001, 7001}, {7002, CHAIN},
        {1, 7001},                    /* all of them */
    };
    struct ifab_task_number victims[4];
    (void)state;
    for (int way = 0; way < 4; way++)
        for (size_t i = 0; i < IFAB_COUNT(ends); i++) {
            struct ifab_coordinator *self = chain((way & 1) != 0, (way & 2) != 0, ends[i].last);
            assert_int_equal(ifab_task_count(self, IFAB_TASK_BLOCKED), CHAIN);
            size_t count = look(self, victims, IFAB_COUNT(victims));
            assert_int_equal(count, ends[i].last != 0);
            if (count == 1)
                assert_int_equal(victims[0].n, ends[i].victim);
            ifab_coordinator_free(self);
        }
}

#define HANDS UINT64_C(990)

/* Every hand of ten swarms waits for each of the next one: some ten million waits, and one circle. */
static void many_hands_wait_for_many(void **state)
{
    struct ifab_task_number victims[4];
    (void)state;
    for (uint64_t swarms = 9; swarms <= 10; swarms++) { /* the tenth has a hand free, or not */
        struct ifab_coordinator *self = make();
        for (uint64_t s = 0; s < 10; s++)
            swarm_of(self, s + 1, s < swarms ? HANDS : HANDS + 1);
        for (uint64_t i = 0; i < 10 * HANDS; i++) {
            struct ifab_task help = task_of(CHAIN + 1 + i, IFAB_TASK_QUEUED, 0, (i / HANDS + 1) % 10 + 1, 2);
            put(self, &help);
            put_blocked(self, i + 1, i / HANDS + 1, i == 77 ? 3 : 2, help.number.n, 0);
        }
        assert_int_equal(look(self, victims, IFAB_COUNT(victims)), swarms == 10);
        if (swarms == 10)
            assert_int_equal(victims[0].n, 78);
        ifab_coordinator_free(self);
    }
}

/* ---- against the definition ---- */

#define SWARMS 4
#define TASKS  9
#define OTHERS 5 /* tasks that are not blocked */

struct model {
    struct ifab_task tasks[TASKS + OTHERS]; /* the blocked ones first; number: place + 1 */
    size_t blocked;
    uint32_t concurrency[SWARMS + 1], held[SWARMS + 1]; /* by number of the swarm */
    bool goes_on[TASKS], reaches[TASKS][TASKS];
};

static const struct ifab_task *model_task(const struct model *m, uint64_t number)
{
    return number == 0 || number > TASKS + OTHERS || m->tasks[number - 1].number.n == 0 ? NULL : &m->tasks[number - 1];
}

static bool swarm_goes_on(const struct model *m, uint64_t swarm)
{
    uint32_t stuck = 0;
    for (size_t i = 0; i < m->blocked; i++) {
        if (m->tasks[i].owner.n == swarm && m->goes_on[i])
            return true;
        stuck += m->tasks[i].owner.n == swarm;
    }
    return m->held[swarm] < m->concurrency[swarm] || m->held[swarm] > stuck;
}

static bool helper_goes_on(const struct model *m, uint64_t number)
{
    const struct ifab_task *helper = model_task(m, number);
    if (helper != NULL && helper->state == IFAB_TASK_BLOCKED)
        return m->goes_on[helper->number.n - 1];
    return helper == NULL || helper->state != IFAB_TASK_QUEUED || helper->queue.n == 0 || swarm_goes_on(m, helper->queue.n);
}

static bool waits_for(const struct model *m, const struct ifab_task *a, const struct ifab_task *b)
{
    for (size_t h = 0; h < IFAB_TASK_HELPERS_MAX; h++) {
        const struct ifab_task *helper = model_task(m, a->helpers[h]);
        if (helper == b || (helper != NULL && helper->state == IFAB_TASK_QUEUED && helper->queue.n != 0 && helper->queue.n == b->owner.n))
            return true;
    }
    return false;
}

/* What goes on, to a fixed point; who reaches whom among the rest; and of those that reach each other the least. */
static size_t model_victims(struct model *m, uint64_t victims[TASKS])
{
    size_t count = 0;
    for (size_t round = 0; round <= m->blocked; round++)
        for (size_t i = 0; i < m->blocked; i++)
            m->goes_on[i] = m->goes_on[i] || (helper_goes_on(m, m->tasks[i].helpers[0]) && helper_goes_on(m, m->tasks[i].helpers[1]));
    for (size_t i = 0; i < m->blocked; i++)
        for (size_t j = 0; j < m->blocked; j++)
            m->reaches[i][j] = !m->goes_on[i] && !m->goes_on[j] && waits_for(m, &m->tasks[i], &m->tasks[j]);
    for (size_t k = 0; k < m->blocked; k++)
        for (size_t i = 0; i < m->blocked; i++)
            for (size_t j = 0; j < m->blocked; j++)
                m->reaches[i][j] = m->reaches[i][j] || (m->reaches[i][k] && m->reaches[k][j]);
    for (size_t i = 0; i < m->blocked; i++) {
        bool least = m->reaches[i][i];
        for (size_t j = 0; j < m->blocked; j++)
            if (j != i && m->reaches[i][j] && m->reaches[j][i])
                least = least && (m->tasks[i].priority > m->tasks[j].priority || (m->tasks[i].priority == m->tasks[j].priority && i > j));
        if (least)
            victims[count++] = m->tasks[i].number.n;
    }
    return count;
}

static void model_fill(struct model *m, struct test_random *random)
{
    uint64_t spare = test_random_below(random, 2);
    *m = (struct model){.blocked = 1 + test_random_below(random, TASKS)};
    for (size_t i = 0; i < m->blocked; i++) {
        m->tasks[i] = task_of(i + 1, IFAB_TASK_BLOCKED, 1 + test_random_below(random, SWARMS), 0, (uint8_t)(2 + test_random_below(random, 2)));
        for (size_t h = 0; h < IFAB_TASK_HELPERS_MAX; h++) /* none, ended, blocked, or one of the others, more often */
            m->tasks[i].helpers[h] = test_random_below(random, 3) == 0 ? test_random_below(random, TASKS + 1)
                                     : h == 0 || test_random_below(random, 2) == 0 ? TASKS + 1 + test_random_below(random, OTHERS) : 0;
        m->held[m->tasks[i].owner.n]++;
    }
    for (size_t i = TASKS; i < TASKS + OTHERS; i++) {
        uint64_t kind = test_random_below(random, 24);
        enum ifab_task_state state = kind == 0 ? IFAB_TASK_DEAD : kind == 1 ? IFAB_TASK_RUNNING : kind == 2 ? IFAB_TASK_CLAIMED : IFAB_TASK_QUEUED;
        bool owned = ifab_task_owned(state);
        m->tasks[i] = task_of(i + 1, state, owned ? 1 + test_random_below(random, SWARMS) : 0, kind == 3 || owned ? 0 : 1 + test_random_below(random, SWARMS), 2);
        if (owned)
            m->held[m->tasks[i].owner.n]++;
    }
    for (uint64_t s = 1; s <= SWARMS; s++)
        m->concurrency[s] = m->held[s] == 0 ? 1 : m->held[s] + (uint32_t)(test_random_below(random, 4) == 0 ? spare : 0);
}

static struct ifab_coordinator *model_coordinator(const struct model *m, bool backwards)
{
    struct ifab_coordinator *self = make();
    for (uint64_t s = 1; s <= SWARMS; s++)
        swarm_of(self, s, m->concurrency[s]);
    for (size_t i = 0; i < TASKS + OTHERS; i++) {
        const struct ifab_task *t = &m->tasks[backwards ? TASKS + OTHERS - 1 - i : i];
        if (t->number.n != 0)
            put(self, t);
    }
    return self;
}

static void circles_are_those_of_the_definition(void **state)
{
    struct test_random random = {.state = 11};
    size_t by_count[4] = {0};
    (void)state;
    for (size_t round = 0; round < 4000; round++) {
        struct model m;
        uint64_t want[TASKS];
        model_fill(&m, &random);
        size_t count = model_victims(&m, want);
        by_count[count < 3 ? count : 3]++;
        for (int backwards = 0; backwards < 2; backwards++) {
            struct ifab_coordinator *self = model_coordinator(&m, backwards != 0);
            struct ifab_task_number victims[TASKS];
            for (size_t max = 1; max <= TASKS; max += TASKS - 1) {
                size_t found = look(self, victims, max);
                assert_int_equal(found, count < max ? count : max);
                for (size_t i = 0; i < found; i++)
                    assert_int_equal(victims[i].n, want[i]);
            }
            ifab_coordinator_free(self);
        }
    }
    for (size_t i = 0; i < IFAB_COUNT(by_count); i++)
        assert_true(by_count[i] >= 20); /* none, one, two and more were among them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_circle_of_waits_gives_up_one),
        cmocka_unit_test(a_task_waits_for_itself),
        cmocka_unit_test(no_memory_is_no_answer),
        cmocka_unit_test(a_long_chain_is_looked_through),
        cmocka_unit_test(many_hands_wait_for_many),
        cmocka_unit_test(circles_are_those_of_the_definition),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
