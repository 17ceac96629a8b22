/* Tasks and swarms: the table of states, packed names, queues and their bounds, whose turn it is. The rest is tested against a model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "coordinator/coordinator.h"
#include "crypto/crypto.h"

#include <stdio.h>

static struct ifab_coordinator *make(void)
{
    struct ifab_coordinator *self;
    struct ifab_coordinator_limits limits;
    ifab_coordinator_limits_default(&limits);
    assert_int_equal(ifab_coordinator_new(&limits, &self), IFAB_OK);
    return self;
}

static void swarm_with(struct ifab_coordinator *self, uint64_t number, const char *id, uint32_t weight, uint32_t limit, enum ifab_queue_policy policy)
{
    struct ifab_view skills[] = {IFAB_VIEW("sql"), IFAB_VIEW("rust")}, members[] = {IFAB_VIEW("zoe"), IFAB_VIEW("abe")};
    struct ifab_swarm_request r = {.id = ifab_view_str(id), .skills = skills, .skill_count = 2, .members = members, .member_count = 2, .weight = weight,
                                   .queue_limit = limit, .queue_policy = policy, .wall = 1762942860000000};
    struct ifab_buf record = IFAB_BUF_INIT(65536);
    struct ifab_swarm_number there;
    assert_int_equal(ifab_swarm_register(self, &r, &record, &there, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_swarm_load(self, number, ifab_buf_as_view(&record), NULL), IFAB_OK);
    ifab_buf_fini(&record);
}

static struct ifab_task task_of(uint64_t number, uint64_t queue, uint32_t creator, uint8_t priority)
{
    struct ifab_task t = {.number = {number}, .state = IFAB_TASK_QUEUED, .priority = priority, .queue = {queue}, .creator = {creator, 0},
                          .created_index = number, .queued_index = number, .attempt = 1, .max_attempts = 3, .deadline = IFAB_NEVER, .budget = {-1, -1, -1}};
    snprintf(t.id, sizeof t.id, "t%llu", (unsigned long long)number);
    memcpy(t.type, "job", 4);
    return t;
}

static void put(struct ifab_coordinator *self, const struct ifab_task *t)
{
    assert_int_equal(ifab_coordinator_reserve(self, 1), IFAB_OK);
    ifab_task_put(self, t);
}

/* The number that is claimed next, which then is gone. 0: none. */
static uint64_t serve(struct ifab_coordinator *self, uint64_t swarm, ifab_usec run)
{
    static const char have[] = "rust\0sql";
    struct ifab_names skills;
    uint8_t course[IFAB_COURSE_PACKED];
    bool stolen;
    assert_true(ifab_names_read(ifab_view_of(have, sizeof have), &skills));
    const struct ifab_task *t = ifab_task_pick(self, (struct ifab_swarm_number){swarm}, &skills, run, NULL, &stolen, course);
    if (t == NULL)
        return 0;
    uint64_t number = t->number.n;
    assert_true(ifab_course_load(self, ifab_view_of(course, sizeof course)));
    ifab_task_remove(self, (struct ifab_task_number){number});
    return number;
}

static void names_are_sets(void **state)
{
    char room[32], small[8];
    struct ifab_names set, other;
    struct ifab_view in[] = {IFAB_VIEW("sql"), IFAB_VIEW("rust"), IFAB_VIEW("sql")}, bad[] = {IFAB_VIEW("a b")}, three[] = {IFAB_VIEW("sql"), IFAB_VIEW("go"), IFAB_VIEW("c")};
    (void)state;
    assert_true(ifab_names_pack(in, 3, room, sizeof room, &set));
    assert_int_equal(set.count, 2);
    assert_memory_equal(room, "rust\0sql", 9);
    assert_false(ifab_names_pack(in, 3, small, sizeof small, &other)); /* no room */
    assert_false(ifab_names_pack(bad, 1, small, sizeof small, &other));
    assert_false(ifab_names_read(IFAB_VIEW("sql\0rust\0"), &other)); /* not in order */
    assert_false(ifab_names_read(IFAB_VIEW("sql"), &other));          /* not ended */
    assert_false(ifab_names_read(IFAB_VIEW("sql\0sql\0"), &other));
    char wide[32];
    assert_true(ifab_names_pack(three, 3, wide, sizeof wide, &other));
    assert_int_equal(ifab_names_common(&set, &other), 1);
    assert_false(ifab_names_cover(&set, &other)); /* 1 of 3 */
    other.count = 0;
    other.size = 0;
    assert_true(ifab_names_cover(&set, &other));
}

static void seven_of_ten_is_enough(void **state)
{
    char need_room[64], have_room[64];
    struct ifab_names need, have;
    struct ifab_view all[10];
    static const char letters[] = "abcdefghij";
    (void)state;
    for (size_t i = 0; i < 10; i++)
        all[i] = ifab_view_of(letters + i, 1);
    assert_true(ifab_names_pack(all, 10, need_room, sizeof need_room, &need));
    assert_true(ifab_names_pack(all, 7, have_room, sizeof have_room, &have));
    assert_true(ifab_names_cover(&have, &need));
    assert_true(ifab_names_pack(all, 6, have_room, sizeof have_room, &have));
    assert_false(ifab_names_cover(&have, &need));
}

static void priorities_share_by_weight(void **state)
{
    struct ifab_coordinator *self = make();
    unsigned served[IFAB_PRIORITIES] = {0};
    (void)state;
    for (uint64_t n = 1; n <= 400; n++) {
        struct ifab_task t = task_of(n, 0, 1, (uint8_t)(n % 4));
        put(self, &t);
    }
    for (int i = 0; i < 75; i++)
        served[serve(self, 9, 0) % 4]++;
    for (unsigned p = 0; p < IFAB_PRIORITIES; p++) { /* 8 : 4 : 2 : 1 of 75, within one round */
        static const unsigned share[] = {40, 20, 10, 5};
        assert_in_range(served[p], share[p] - 1, share[p] + 1);
    }
    ifab_coordinator_free(self);
}

/* docs/decisions/fair-claims.md: with n flows that always have work, the first task of a flow of weight w is served within sum(ceil(W_j / w)) + n claims. */
static void nobody_starves(void **state)
{
    struct ifab_coordinator *self = make();
    uint64_t next = 10;
    (void)state;
    swarm_with(self, 1, "s1", 1, 0, IFAB_QUEUE_REJECT);
    for (unsigned i = 0; i < 300; i++) { /* one floods with what comes first */
        struct ifab_task t = task_of(next++, 0, 1, 0);
        put(self, &t);
    }
    struct ifab_task last = task_of(next++, 1, 2, 3);
    put(self, &last);
    unsigned waited = 0;
    while (serve(self, 1, 0) != last.number.n)
        waited++;
    assert_in_range(waited, 0, 9); /* ceil(8 / 1) + 1 */
    ifab_coordinator_free(self);
}

static void age_raises_the_weight(void **state)
{
    struct ifab_coordinator *self = make();
    unsigned low = 0;
    (void)state;
    for (uint64_t n = 1; n <= 200; n++) {
        struct ifab_task t = task_of(n, 0, 1, n % 2 == 0 ? 0 : 3);
        put(self, &t);
    }
    for (int i = 0; i < 40; i++)
        low += (unsigned)(serve(self, 9, 3 * IFAB_MINUTE) % 2);
    assert_in_range(low, 19, 21); /* after three minutes P3 weighs what P0 does */
    ifab_coordinator_free(self);
}

static void equal_demand_is_served_equally(void **state)
{
    struct ifab_coordinator *self = make();
    unsigned served[51] = {0};
    uint64_t next = 100;
    (void)state;
    for (uint32_t creator = 1; creator <= 50; creator++)
        for (unsigned i = 0; i < (creator == 1 ? 5000U : 40U); i++) { /* the first one floods */
            struct ifab_task t = task_of(next++, 0, creator, 2);
            put(self, &t);
        }
    for (int i = 0; i < 1000; i++) {
        uint64_t n = serve(self, 9, 0);
        served[n < 5100 ? 1 : 2 + (n - 5100) / 40]++;
    }
    double sum = 0, squares = 0;
    for (int c = 1; c <= 50; c++) {
        sum += served[c];
        squares += (double)served[c] * served[c];
    }
    double jain = sum * sum / (50 * squares);
    assert_true(jain >= 0.99);
    ifab_coordinator_free(self);
}

static void work_is_stolen_from_long_queues_only(void **state)
{
    struct ifab_coordinator *self = make();
    (void)state;
    swarm_with(self, 1, "busy", 1, 0, IFAB_QUEUE_REJECT);
    swarm_with(self, 2, "idle", 1, 0, IFAB_QUEUE_REJECT);
    for (uint64_t n = 10; n < 15; n++) {
        struct ifab_task t = task_of(n, 1, 1, (uint8_t)(n % 4));
        put(self, &t);
    }
    assert_int_equal(serve(self, 2, 0), 0); /* five wait: they stay */
    struct ifab_task t = task_of(15, 1, 1, 3);
    put(self, &t);
    assert_int_equal(serve(self, 2, 0), 11); /* six: the oldest of the least priority */
    assert_int_equal(serve(self, 2, 0), 0);
    ifab_coordinator_free(self);
}

static void a_full_queue_says_so_or_sheds(void **state)
{
    struct ifab_coordinator *self = make();
    struct ifab_refusal refusal;
    struct ifab_task_number shed;
    (void)state;
    swarm_with(self, 1, "strict", 1, 2, IFAB_QUEUE_REJECT);
    swarm_with(self, 2, "shedding", 1, 2, IFAB_QUEUE_SHED_LOWEST);
    for (uint64_t n = 10; n < 14; n++) {
        struct ifab_task t = task_of(n, 1 + n % 2, 1, 2);
        put(self, &t);
    }
    struct ifab_task more = task_of(20, 1, 1, 0);
    assert_int_equal(ifab_task_admit(self, &more, &shed, &refusal), IFAB_CODE_QUEUE_FULL);
    more.queue.n = 2;
    assert_int_equal(ifab_task_admit(self, &more, &shed, &refusal), IFAB_CODE_NONE);
    assert_int_equal(shed.n, 11);
    more.priority = 2; /* nothing there is less */
    assert_int_equal(ifab_task_admit(self, &more, &shed, &refusal), IFAB_CODE_QUEUE_FULL);
    ifab_coordinator_free(self);
}

/* One round: each task is offered to one who waits, whatever queue it stands in, and nobody is told of another's. */
static void each_task_is_offered_once(void **state)
{
    static const char have[] = "rust\0sql", little[] = "go";
    struct ifab_coordinator *self = make();
    struct ifab_u64map given = {0};
    struct ifab_names skills, other;
    (void)state;
    assert_true(ifab_names_read(ifab_view_of(have, sizeof have), &skills));
    assert_true(ifab_names_read(ifab_view_of(little, sizeof little), &other));
    for (uint64_t n = 1; n <= 50; n++) {
        char id[16];
        snprintf(id, sizeof id, "s%llu", (unsigned long long)n);
        swarm_with(self, n, id, 1, 10, IFAB_QUEUE_REJECT);
        struct ifab_task t = task_of(100 + n, n, 1, 2);
        put(self, &t);
    }
    for (uint64_t n = 1; n <= 50; n++)
        assert_true(ifab_task_offer(self, (struct ifab_swarm_number){n}, &skills, &given)); /* all of them in one round */
    assert_false(ifab_task_offer(self, (struct ifab_swarm_number){1}, &skills, &given));
    struct ifab_task open = task_of(200, 0, 1, 2), needy = task_of(201, 0, 2, 2);
    memcpy(needy.needs, "sql", 4);
    needy.needs_size = 4;
    put(self, &open);
    put(self, &needy);
    assert_true(ifab_task_offer(self, (struct ifab_swarm_number){1}, &skills, &given));
    assert_true(ifab_task_offer(self, (struct ifab_swarm_number){2}, &skills, &given));
    assert_false(ifab_task_offer(self, (struct ifab_swarm_number){3}, &skills, &given));
    assert_false(ifab_task_offer(self, (struct ifab_swarm_number){3}, &other, &given));
    ifab_u64map_fini(&given);
    given = (struct ifab_u64map){0};
    assert_true(ifab_task_offer(self, (struct ifab_swarm_number){60}, &other, &given)); /* the one that needs nothing */
    assert_false(ifab_task_offer(self, (struct ifab_swarm_number){60}, &other, &given));
    ifab_u64map_fini(&given);
    given = (struct ifab_u64map){0};
    for (uint64_t n = 300; n < 306; n++) { /* a queue that is long: one of it is offered to who has nothing else */
        struct ifab_task t = task_of(n, 1, 1, 2);
        put(self, &t);
    }
    ifab_task_remove(self, open.number);
    ifab_task_remove(self, needy.number);
    assert_true(ifab_task_offer(self, (struct ifab_swarm_number){60}, &skills, &given));
    assert_false(ifab_task_offer(self, (struct ifab_swarm_number){61}, &skills, &given));
    ifab_u64map_fini(&given);
    ifab_coordinator_free(self);
}

/* What is passed over is a kind: its like too, nothing else; in the order there would be without it; so many of one queue, and in all. */
static void who_cannot_pay_passes_over(void **state)
{
    static const char have[] = "rust\0sql";
    struct ifab_coordinator *self = make();
    struct ifab_task_passed passed = {.count = 0};
    struct ifab_names skills;
    uint8_t course[IFAB_COURSE_PACKED];
    uint64_t seen[64];
    size_t count = 0;
    bool stolen;
    (void)state;
    assert_true(ifab_names_read(ifab_view_of(have, sizeof have), &skills));
    swarm_with(self, 1, "mine", 1, 10000, IFAB_QUEUE_REJECT);
    static const int64_t prices[] = {900, 1000, 90, 9, 800, 0, -1};
    for (uint64_t n = 0; n < IFAB_COUNT(prices); n++) {
        struct ifab_task t = task_of(10 + n, 1, 1, 2);
        t.budget[0] = prices[n];
        put(self, &t);
    }
    for (uint64_t n = 0; n < 40; n++) { /* another maker's, of 40 prices in all units */
        struct ifab_task t = task_of(100 + n, 0, 7, 2);
        t.budget[n % 3] = (int64_t)1 << (n + 10);
        put(self, &t);
    }
    const struct ifab_task *t;
    while ((t = ifab_task_pick(self, (struct ifab_swarm_number){1}, &skills, 0, &passed, &stolen, course)) != NULL) {
        assert_true(count < IFAB_COUNT(seen));
        assert_false(stolen);
        seen[count++] = t->number.n;
        if (!ifab_task_pass(self, t->number, false, &passed))
            break;
    }
    static const uint64_t own[] = {10, 12, 13, 15}; /* 11 and 14 are like 10; what costs nothing is one kind */
    assert_int_equal(count, IFAB_COUNT(own) + IFAB_TASK_PASSED_EACH);
    for (size_t i = 0; i < IFAB_COUNT(own); i++)
        assert_int_equal(seen[i], own[i]);
    for (size_t i = 0; i < IFAB_TASK_PASSED_EACH; i++) /* the oldest of each kind, and no more than eight of the maker's */
        assert_in_range(seen[IFAB_COUNT(own) + i], 100, 139);
    struct ifab_task cheap = task_of(500, 0, 8, 3); /* of a third one, after all of these */
    put(self, &cheap);
    t = ifab_task_pick(self, (struct ifab_swarm_number){1}, &skills, 0, &passed, &stolen, course);
    assert_non_null(t);
    assert_int_equal(t->number.n, 500);
    for (uint64_t n = 0; n < IFAB_TASK_PASSED_MAX; n++) {
        struct ifab_task more = task_of(600 + n, 0, (uint32_t)(20 + n), 2);
        put(self, &more);
    }
    while ((t = ifab_task_pick(self, (struct ifab_swarm_number){1}, &skills, 0, &passed, &stolen, course)) != NULL && ifab_task_pass(self, t->number, false, &passed))
        continue;
    assert_non_null(t);
    assert_int_equal(passed.count, IFAB_TASK_PASSED_MAX);
    ifab_coordinator_free(self);
}

/* What is of a trace that was passed over is not picked, however much of it stands before the others of its kind; of a ninth trace its kind is passed over. */
static void a_trace_is_passed_over_alone(void **state)
{
    static const char have[] = "rust\0sql";
    struct ifab_coordinator *self = make();
    struct ifab_task_passed passed = {.count = 0};
    struct ifab_names skills;
    uint8_t course[IFAB_COURSE_PACKED];
    bool stolen;
    (void)state;
    assert_true(ifab_names_read(ifab_view_of(have, sizeof have), &skills));
    swarm_with(self, 1, "mine", 1, 10000, IFAB_QUEUE_REJECT);
    swarm_with(self, 2, "thief", 1, 10000, IFAB_QUEUE_REJECT);
    for (uint64_t n = 0; n < 100; n++) { /* ten of each of ten traces, in turn; all alike otherwise */
        struct ifab_task t = task_of(10 + n, 1, 1, 2);
        t.trace16[15] = (uint8_t)(n / 10);
        put(self, &t);
    }
    const struct ifab_task *t;
    for (uint64_t i = 0; i < IFAB_TASK_PASSED_TRACES; i++) {
        t = ifab_task_pick(self, (struct ifab_swarm_number){1}, &skills, 0, &passed, &stolen, course);
        assert_non_null(t);
        assert_int_equal(t->number.n, 10 + 10 * i);
        assert_true(ifab_task_pass(self, t->number, true, &passed));
        t = ifab_task_pick(self, (struct ifab_swarm_number){2}, &skills, 0, &passed, &stolen, course); /* who steals passes over them as well */
        assert_non_null(t);
        assert_true(stolen);
        assert_int_equal(t->number.n, 20 + 10 * i);
    }
    assert_int_equal(passed.count, 0);
    assert_true(ifab_task_pass(self, t->number, true, &passed));
    assert_int_equal(passed.count, 1);
    assert_null(ifab_task_pick(self, (struct ifab_swarm_number){1}, &skills, 0, &passed, &stolen, course));
    t = ifab_task_pick(self, (struct ifab_swarm_number){1}, &skills, 0, NULL, &stolen, course); /* for who can pay nothing has changed */
    assert_int_equal(t->number.n, 10);
    ifab_coordinator_free(self);
}

/* Whose queue it is not: half of its places, and only what is one's own gives way. */
static void a_stranger_has_half_of_a_queue(void **state)
{
    struct ifab_coordinator *self = make();
    struct ifab_refusal refusal;
    struct ifab_task_number shed = {0};
    (void)state;
    swarm_with(self, 1, "shedding", 1, 6, IFAB_QUEUE_SHED_LOWEST);
    swarm_with(self, 2, "tiny", 1, 1, IFAB_QUEUE_REJECT);
    struct ifab_task more = task_of(90, 1, 5, 1), tiny = task_of(91, 2, 5, 1), open = task_of(92, 0, 5, 1);
    assert_int_equal(ifab_task_stranger(self, &tiny, &shed, &refusal), IFAB_CODE_NONE); /* half of one is one */
    for (uint64_t n = 10; n < 13; n++) {
        assert_int_equal(ifab_task_stranger(self, &more, &shed, &refusal), IFAB_CODE_NONE);
        struct ifab_task t = task_of(n, 1, 5, n == 11 ? 3 : 2);
        t.early = n == 12; /* also what waits for its time */
        t.not_before = n == 12 ? IFAB_DAY : 0;
        put(self, &t);
    }
    assert_int_equal(ifab_task_stranger(self, &more, &shed, &refusal), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(ifab_task_stranger(self, &open, &shed, &refusal), IFAB_CODE_NONE); /* open to all: no such queue */
    more.creator.talent = 6;
    assert_int_equal(ifab_task_stranger(self, &more, &shed, &refusal), IFAB_CODE_NONE);
    for (uint64_t n = 20; n < 23; n++) {
        struct ifab_task t = task_of(n, 1, 6, 3);
        put(self, &t);
    }
    more.creator.talent = 7;
    assert_int_equal(ifab_task_admit(self, &more, &shed, &refusal), IFAB_CODE_NONE);
    assert_int_equal(shed.n, 11);
    assert_int_equal(ifab_task_stranger(self, &more, &shed, &refusal), IFAB_CODE_QUEUE_FULL); /* nothing of its own is there */
    assert_int_equal(shed.n, 0);
    more.creator.talent = 6;
    assert_int_equal(ifab_task_admit(self, &more, &shed, &refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_task_stranger(self, &more, &shed, &refusal), IFAB_CODE_NONE);
    assert_int_equal(shed.n, 20);
    assert_int_equal(ifab_task_readmit(self, &more, &refusal), IFAB_CODE_QUEUE_FULL); /* again: nothing gives way */
    ifab_task_remove(self, shed);
    assert_int_equal(ifab_task_readmit(self, &more, &refusal), IFAB_CODE_NONE);
    more.creator.talent = 5;
    ifab_task_remove(self, (struct ifab_task_number){10});
    shed.n = 0;
    assert_int_equal(ifab_task_stranger(self, &more, &shed, &refusal), IFAB_CODE_NONE); /* what has left is not counted */
    ifab_coordinator_free(self);
}

static void bounds_hold(void **state)
{
    struct ifab_coordinator *self;
    struct ifab_coordinator_limits limits = {.open = 3, .open_per_creator = 2, .closed = 5};
    struct ifab_task_number shed;
    struct ifab_refusal refusal;
    (void)state;
    assert_int_equal(ifab_coordinator_new(&limits, &self), IFAB_OK);
    for (uint64_t n = 1; n <= 2; n++) {
        struct ifab_task t = task_of(n, 0, 1, 0);
        put(self, &t);
    }
    struct ifab_task mine = task_of(5, 0, 1, 0), other = task_of(6, 0, 2, 0);
    assert_int_equal(ifab_task_admit(self, &mine, &shed, &refusal), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(ifab_task_admit(self, &other, &shed, &refusal), IFAB_CODE_NONE);
    put(self, &other);
    struct ifab_task fourth = task_of(7, 0, 3, 0);
    assert_int_equal(ifab_task_admit(self, &fourth, &shed, &refusal), IFAB_CODE_QUOTA_EXCEEDED);
    ifab_task_remove(self, other.number);
    for (uint64_t n = 20; n < 23; n++) { /* three chosen ids are remembered, two tasks are open: five */
        struct ifab_closed_task c = {.number = n, .state = IFAB_TASK_DONE, .id16 = {(uint8_t)n}, .index = n, .closed = 1};
        ifab_closed_task_put(self, &c);
    }
    assert_int_equal(ifab_task_admit(self, &other, &shed, &refusal), IFAB_CODE_QUOTA_EXCEEDED);
    other.minted = true;
    assert_int_equal(ifab_task_admit(self, &other, &shed, &refusal), IFAB_CODE_NONE);
    ifab_coordinator_free(self);
}

static void closed_ids_are_remembered_for_their_time(void **state)
{
    struct ifab_coordinator *self;
    struct ifab_coordinator_limits limits = {.open = 10, .open_per_creator = 10, .closed = 3};
    uint64_t dead[8];
    (void)state;
    assert_int_equal(ifab_coordinator_new(&limits, &self), IFAB_OK);
    for (uint64_t n = 1; n <= 4; n++) {
        struct ifab_closed_task c = {.number = n, .minted = n > 2, .state = IFAB_TASK_DONE, .index = n, .closed = (ifab_usec)n};
        char id[8];
        uint8_t packed[IFAB_CLOSED_TASK_PACKED];
        snprintf(id, sizeof id, "c%llu", (unsigned long long)n);
        ifab_task_id16(ifab_view_str(id), c.id16);
        assert_int_equal(ifab_closed_task_pack(&c, packed), sizeof packed);
        assert_true(ifab_closed_task_unpack(ifab_view_of(packed, sizeof packed), n, &c));
        assert_int_equal(ifab_coordinator_reserve(self, 1), IFAB_OK);
        ifab_closed_task_put(self, &c);
    }
    assert_int_equal(ifab_closed_task_find(self, IFAB_VIEW("c2"))->number, 2);
    assert_null(ifab_closed_task_find(self, IFAB_VIEW("c5")));
    assert_int_equal(ifab_closed_tasks_dead(self, 100, dead, 8), 1); /* one above the limit: the oldest of those nobody can choose */
    assert_int_equal(dead[0], 3);
    ifab_closed_task_remove(self, 3);
    assert_int_equal(ifab_closed_tasks_dead(self, 100, dead, 8), 0);
    assert_int_equal(ifab_closed_tasks_due(self), 1 + IFAB_CLOSED_TASK_LIFE);
    assert_int_equal(ifab_closed_tasks_dead(self, 2 + IFAB_CLOSED_TASK_LIFE, dead, 8), 2);
    assert_null(ifab_closed_task_find(self, IFAB_VIEW("c3")));
    ifab_coordinator_free(self);
}

static void a_swarm_has_one_spelling(void **state)
{
    struct ifab_coordinator *self = make();
    struct ifab_view skills[] = {IFAB_VIEW("sql")};
    struct ifab_swarm_request again = {.id = IFAB_VIEW("DATA"), .skills = skills, .skill_count = 1};
    struct ifab_buf record = IFAB_BUF_INIT(65536);
    struct ifab_swarm_number number;
    struct ifab_refusal refusal;
    uint8_t before[32], after[32];
    (void)state;
    ifab_swarms_trust_root(self, before);
    swarm_with(self, 7, "data", 2, 0, IFAB_QUEUE_BLOCK);
    ifab_swarms_trust_root(self, after);
    assert_memory_not_equal(before, after, 32);
    const struct ifab_swarm *swarm = ifab_swarm_find(self, IFAB_VIEW("data"));
    assert_non_null(swarm);
    assert_null(ifab_swarm_find(self, IFAB_VIEW("DATA")));
    assert_true(ifab_swarm_has_member(swarm, IFAB_VIEW("abe")) && !ifab_swarm_has_member(swarm, IFAB_VIEW("ab")));
    assert_int_equal(ifab_swarm_register(self, &again, &record, &number, &refusal), IFAB_CODE_CONFLICT);
    again.id = IFAB_VIEW("data");
    assert_int_equal(ifab_swarm_register(self, &again, &record, &number, &refusal), IFAB_CODE_NONE);
    assert_int_equal(number.n, 7);
    assert_int_equal(ifab_swarm_load(self, 8, ifab_buf_as_view(&record), NULL), IFAB_CORRUPT); /* its id is another's */
    ifab_buf_char(&record, ' ');
    assert_int_equal(ifab_swarm_load(self, 7, ifab_buf_as_view(&record), NULL), IFAB_CORRUPT);
    assert_true(ifab_swarm_has_member(ifab_swarm_at(self, number), IFAB_VIEW("zoe"))); /* nothing has changed */
    ifab_buf_fini(&record);
    ifab_coordinator_free(self);
}

static void backoff_is_the_table(void **state)
{
    static const int seconds[] = {1, 2, 5, 10, 30, 30};
    (void)state;
    for (uint32_t i = 0; i < IFAB_COUNT(seconds); i++)
        assert_int_equal(ifab_task_backoff(i + 2), seconds[i] * IFAB_SECOND);
}

static void names_of_states_are_read_back(void **state)
{
    (void)state;
    for (int s = IFAB_TASK_NONE + 1; s < IFAB_TASK_STATE_COUNT; s++)
        assert_int_equal(ifab_task_state_parse(ifab_view_str(ifab_task_state_name((enum ifab_task_state)s))), s);
    assert_int_equal(ifab_task_state_parse(IFAB_VIEW("failed")), IFAB_TASK_NONE);
}

static void notes_are_cut_at_a_character(void **state)
{
    struct ifab_task t = task_of(1, 0, 1, 0), next;
    char text[200];
    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text + 127, "\xc3\xa9", 2); /* the 128 bytes end inside it */
    struct ifab_task_act act = {.event = IFAB_TASK_CANCEL, .note = ifab_view_of(text, sizeof text)};
    assert_int_equal(ifab_task_act(&t, &act, &next, NULL), IFAB_CODE_NONE);
    assert_int_equal(strlen(next.note), 127);
}

static void running_out_of_memory_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        struct ifab_coordinator *self = make();
        ifab_mem_fail_at(n);
        ifab_status status = ifab_coordinator_reserve(self, 2);
        bool hit = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_true(status == IFAB_OK || hit);
        assert_int_equal(ifab_coordinator_reserve(self, 2), IFAB_OK);
        for (uint64_t i = 1; i <= 2; i++) {
            struct ifab_task t = task_of(i, 0, 1, 0);
            ifab_mem_fail_at(1); /* after reserve nothing is asked for that could be missing */
            ifab_task_put(self, &t);
            ifab_mem_fail_at(0);
        }
        assert_int_equal(ifab_task_count(self, IFAB_TASK_QUEUED), 2);
        assert_int_equal(serve(self, 1, 0), 1);
        ifab_coordinator_free(self);
    }
}

/* What reserve found is remembered: not longer than it holds. */
static void room_is_looked_for_again_after_what_took_it(void **state)
{
    struct ifab_coordinator *self = make();
    (void)state;
    for (uint64_t n = 1; n <= 2000; n++) {
        struct ifab_closed_task c = {.number = n, .minted = true, .state = IFAB_TASK_CANCELLED, .id16 = {(uint8_t)n, (uint8_t)(n >> 8)}, .index = n, .closed = 1};
        assert_int_equal(ifab_coordinator_reserve(self, 1), IFAB_OK);
        ifab_closed_task_put(self, &c);
        assert_int_equal(ifab_closed_task_count(self), n);
    }
    for (uint64_t n = 3001; n <= 5000; n++) {
        struct ifab_task t = task_of(n, 0, 1, 0);
        put(self, &t);
    }
    assert_int_equal(ifab_task_count(self, IFAB_TASK_QUEUED), 2000);
    ifab_coordinator_free(self);
}

/* All 32 sets of facts: each has one state, said here once more in words. */
static void a_swarm_is_in_one_of_six_states(void **state)
{
    unsigned seen = 0;
    (void)state;
    for (unsigned facts = 0; facts < 32; facts++) {
        enum ifab_swarm_state expected = (facts & IFAB_SWARM_AWAITED) != 0 ? IFAB_SWARM_ACTIVE : IFAB_SWARM_IDLE;
        if ((facts & IFAB_SWARM_SILENT) != 0)
            expected = IFAB_SWARM_OFFLINE;
        if ((facts & IFAB_SWARM_BLOCKS) != 0)
            expected = IFAB_SWARM_BLOCKED;
        if ((facts & IFAB_SWARM_WORKS) != 0)
            expected = IFAB_SWARM_WORKING;
        if ((facts & IFAB_SWARM_STOPPED) != 0)
            expected = IFAB_SWARM_ERROR;
        assert_int_equal(ifab_swarm_state_of(facts), expected);
        seen |= 1U << expected;
    }
    assert_int_equal(seen, (1U << IFAB_SWARM_STATE_COUNT) - 1);
    assert_string_equal(ifab_swarm_state_name(IFAB_SWARM_OFFLINE), "OFFLINE");
    assert_string_equal(ifab_swarm_state_name(IFAB_SWARM_STATE_COUNT), "?");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_sets),
        cmocka_unit_test(seven_of_ten_is_enough),
        cmocka_unit_test(priorities_share_by_weight),
        cmocka_unit_test(nobody_starves),
        cmocka_unit_test(age_raises_the_weight),
        cmocka_unit_test(equal_demand_is_served_equally),
        cmocka_unit_test(work_is_stolen_from_long_queues_only),
        cmocka_unit_test(a_full_queue_says_so_or_sheds),
        cmocka_unit_test(each_task_is_offered_once),
        cmocka_unit_test(who_cannot_pay_passes_over),
        cmocka_unit_test(a_trace_is_passed_over_alone),
        cmocka_unit_test(a_stranger_has_half_of_a_queue),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(closed_ids_are_remembered_for_their_time),
        cmocka_unit_test(a_swarm_has_one_spelling),
        cmocka_unit_test(backoff_is_the_table),
        cmocka_unit_test(names_of_states_are_read_back),
        cmocka_unit_test(a_swarm_is_in_one_of_six_states),
        cmocka_unit_test(notes_are_cut_at_a_character),
        cmocka_unit_test(running_out_of_memory_changes_nothing),
        cmocka_unit_test(room_is_looked_for_again_after_what_took_it),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
