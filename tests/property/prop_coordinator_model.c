/*
 * Random sequences of commands on the coordinator against a naive model: plain arrays, every answer found by looking at everything. After each
 * command: the same code, the same task, the same choice, the same counts; what was packed comes back; the invariants hold (INV-11). A crash
 * between any two: the table is made again from its records. IFAB_SEQUENCES: how many (20,000; 1,000,000 in make check), IFAB_SEED: which.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "coordinator/coordinator.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>

enum { TASKS = 14, SWARMS = 3, STEPS = 40, FLOWS = (SWARMS + 3) * IFAB_PRIORITIES };
static uint64_t seed;
static uint64_t draw(uint64_t below)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % below;
}

/* ---- the model ---- */

static struct model {
    struct ifab_task tasks[TASKS]; /* in order of number; state NONE: closed */
    size_t count;
    uint64_t tags[FLOWS], course;
    ifab_usec heard[SWARMS + 1];
    uint64_t next_number, next_index;
    struct ifab_now now;
} m;
static struct ifab_coordinator *core;
static const char *const skill_names[] = {"a", "b", "c", "d"};
static const uint32_t swarm_weight[SWARMS + 1] = {1, 1, 2, 4};

static unsigned bits_of(const struct ifab_task *t) /* needs as a set of bits: not by the code under test */
{
    unsigned bits = 0;
    for (size_t i = 0; i + 1 < t->needs_size; i += 2)
        bits |= 1U << (t->needs[i] - 'a');
    return bits;
}

static bool covers(unsigned have, unsigned need)
{
    unsigned both = (unsigned)__builtin_popcount(have & need), all = (unsigned)__builtin_popcount(need);
    return all == 0 || both * 100 >= all * 70;
}

static size_t flow_of(const struct ifab_task *t) /* swarms 1..3, then creators 0..2 */
{
    size_t account = t->queue.n != 0 ? t->queue.n - 1 : SWARMS + t->creator.talent;
    return account * IFAB_PRIORITIES + t->priority;
}

static bool ready(const struct ifab_task *t) { return t->state == IFAB_TASK_QUEUED && t->depends_count == 0 && !t->early && t->retry_at == 0; }

static unsigned ready_of(uint64_t queue)
{
    unsigned count = 0;
    for (size_t i = 0; i < m.count; i++)
        count += ready(&m.tasks[i]) && m.tasks[i].queue.n == queue;
    return count;
}

static bool before(const struct ifab_task *a, const struct ifab_task *b, bool stealing)
{
    if (stealing && a->priority != b->priority)
        return a->priority > b->priority;
    if (!stealing && m.tags[flow_of(a)] != m.tags[flow_of(b)])
        return m.tags[flow_of(a)] < m.tags[flow_of(b)];
    return a->queued_index != b->queued_index ? a->queued_index < b->queued_index : a->number.n < b->number.n;
}

static const struct ifab_task *naive_pick(uint64_t swarm, unsigned have, bool *ret_stolen)
{
    const struct ifab_task *best = NULL;
    for (int stealing = 0; stealing < 2 && best == NULL; stealing++) {
        *ret_stolen = stealing == 1;
        for (size_t i = 0; i < m.count; i++) {
            const struct ifab_task *t = &m.tasks[i];
            bool mine = t->queue.n == 0 || t->queue.n == swarm;
            bool may = stealing == 0 ? mine : !mine && t->parent == 0 && ready_of(t->queue.n) > 5; /* help is of whom was asked */
            if (ready(t) && may && covers(have, bits_of(t)) && (best == NULL || before(t, best, stealing == 1)))
                best = t;
        }
    }
    *ret_stolen = *ret_stolen && best != NULL;
    return best;
}

static void charge(const struct ifab_task *t)
{
    static const uint64_t base[] = {8, 4, 2, 1};
    size_t flow = flow_of(t);
    const struct ifab_task *oldest = NULL; /* of its set of needs in the flow, help apart */
    for (size_t i = 0; i < m.count; i++)
        if (ready(&m.tasks[i]) && flow_of(&m.tasks[i]) == flow && bits_of(&m.tasks[i]) == bits_of(t) &&
            (m.tasks[i].parent == 0) == (t->parent == 0) && (oldest == NULL || before(&m.tasks[i], oldest, false)))
            oldest = &m.tasks[i];
    uint64_t weight = base[t->priority];
    for (ifab_usec minutes = (m.now.run - oldest->queued_run) / IFAB_MINUTE; minutes > 0 && weight < 8; minutes--)
        weight *= 2;
    if (m.tags[flow] > m.course)
        m.course = m.tags[flow];
    m.tags[flow] += ((uint64_t)1 << 32) / (weight * swarm_weight[t->queue.n]);
}

static struct ifab_task *model_at(uint64_t number)
{
    for (size_t i = 0; i < m.count; i++)
        if (m.tasks[i].number.n == number)
            return &m.tasks[i];
    return NULL;
}

static void model_remove(uint64_t number)
{
    struct ifab_task *t = model_at(number);
    memmove(t, t + 1, (size_t)(m.tasks + m.count - t - 1) * sizeof *t);
    m.count--;
}

/* A flow that comes to have work starts at the course. */
static void model_put(const struct ifab_task *t)
{
    struct ifab_task *there = model_at(t->number.n);
    size_t others = 0;
    for (size_t i = 0; i < m.count; i++)
        others += &m.tasks[i] != there && ready(&m.tasks[i]) && flow_of(&m.tasks[i]) == flow_of(t);
    if (ready(t) && others == 0 && m.tags[flow_of(t)] < m.course)
        m.tags[flow_of(t)] = m.course;
    if (there == NULL)
        there = &m.tasks[m.count++];
    *there = *t;
}

/* ---- both ---- */

static void both_put(const struct ifab_task *t)
{
    uint8_t bytes[IFAB_TASK_PACKED_MAX], again[IFAB_TASK_PACKED_MAX];
    struct ifab_task read;
    size_t size = ifab_task_pack(t, bytes);
    assert_true(ifab_task_consistent(t));
    assert_true(ifab_task_unpack(ifab_view_of(bytes, size), t->number.n, &read));
    assert_int_equal(ifab_task_pack(&read, again), size);
    assert_memory_equal(bytes, again, size);
    assert_int_equal(ifab_coordinator_reserve(core, 1), IFAB_OK);
    ifab_task_put(core, &read);
    model_put(&read);
}

static void register_swarms(void)
{
    for (unsigned i = 1; i <= SWARMS; i++) {
        char id[8];
        struct ifab_view skill = IFAB_VIEW("a");
        struct ifab_buf record = IFAB_BUF_INIT(65536);
        struct ifab_swarm_number number;
        snprintf(id, sizeof id, "s%u", i);
        struct ifab_swarm_request request = {.id = ifab_view_str(id), .skills = &skill, .skill_count = 1, .weight = swarm_weight[i]};
        assert_int_equal(ifab_swarm_register(core, &request, &record, &number, NULL), IFAB_CODE_NONE);
        assert_int_equal(ifab_swarm_load(core, i, ifab_buf_as_view(&record), NULL), IFAB_OK);
        ifab_buf_fini(&record);
    }
}

static void begin(void)
{
    struct ifab_coordinator_limits limits;
    ifab_coordinator_limits_default(&limits);
    limits.seed = draw(UINT64_MAX);
    assert_int_equal(ifab_coordinator_new(&limits, &core), IFAB_OK);
    register_swarms();
}

static void hear(uint64_t swarm)
{
    ifab_swarm_hear(core, (struct ifab_swarm_number){swarm}, m.now.run);
    ifab_swarm_hear(core, (struct ifab_swarm_number){swarm}, m.now.run - (ifab_usec)draw(100)); /* one that comes late changes nothing */
    m.heard[swarm] = m.now.run;
}

/* The process dies: what is left are the records, and whose turn it was is forgotten. */
static void crash(void)
{
    struct model old = m;
    ifab_coordinator_free(core);
    begin();
    memset(m.tags, 0, sizeof m.tags);
    m.course = 0;
    m.count = 0;
    for (size_t i = 0; i < old.count; i++)
        both_put(&old.tasks[i]);
    for (uint64_t s = 1; s <= SWARMS; s++) /* as a start does */
        hear(s);
}

static struct ifab_names pack_bits(unsigned bits, char room[16])
{
    struct ifab_view names[4];
    struct ifab_names set;
    size_t count = 0;
    for (unsigned i = 0; i < 4; i++)
        if ((bits >> i & 1) != 0)
            names[count++] = ifab_view_str(skill_names[i]);
    assert_true(ifab_names_pack(names, count, room, 16, &set));
    return set;
}

static void create(void)
{
    struct ifab_task t = {.number = {m.next_number++}, .state = IFAB_TASK_QUEUED, .priority = (uint8_t)draw(4), .queue = {draw(4)}};
    char room[16];
    if (m.count == TASKS)
        return;
    snprintf(t.id, sizeof t.id, "t%llu", (unsigned long long)t.number.n);
    memcpy(t.type, "job", 4);
    struct ifab_names needs = pack_bits((unsigned)draw(16), room);
    memcpy(t.needs, room, needs.size);
    t.needs_size = needs.size;
    t.creator.talent = (uint32_t)draw(3);
    if (t.queue.n != 0 && draw(3) == 0) { /* help, for one that the model does not look at */
        t.parent = 1;
        t.depth = 1;
    }
    t.queued_index = t.created_index = m.next_index++;
    t.queued_run = m.now.run;
    t.attempt = 1;
    t.max_attempts = 1 + (uint32_t)draw(3);
    t.deadline = draw(4) == 0 ? m.now.wall + (ifab_usec)draw(100) * IFAB_SECOND : IFAB_NEVER;
    t.early = draw(6) == 0;
    t.not_before = t.early ? m.now.wall + 1 + (ifab_usec)draw(20) * IFAB_SECOND : 0;
    for (size_t i = 0; i < m.count && t.depends_count < 2; i++)
        if (draw(6) == 0)
            t.depends_on[t.depends_count++] = m.tasks[i].number.n;
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
        t.budget[i] = -1;
    both_put(&t);
    assert_int_equal(ifab_task_find(core, ifab_view_str(t.id))->number.n, t.number.n);
}

/* What waited for this one goes on, or, when it was cancelled, is dead. */
static void close_task(const struct ifab_task *closed)
{
    uint64_t waiting[IFAB_TASK_DEPENDENTS_MAX];
    size_t count = ifab_task_dependents(core, closed->number, waiting, IFAB_TASK_DEPENDENTS_MAX), expected = 0;
    struct model old = m;
    for (size_t i = 0; i < old.count; i++) {
        struct ifab_task t = old.tasks[i], next;
        size_t left = 0;
        for (size_t d = 0; d < t.depends_count; d++)
            if (t.depends_on[d] != closed->number.n)
                t.depends_on[left++] = t.depends_on[d];
        if (left == t.depends_count)
            continue;
        assert_int_equal(waiting[expected++], t.number.n);
        t.depends_count = (uint8_t)left;
        struct ifab_task_act act = {.event = IFAB_TASK_ORPHAN, .now = m.now, .index = m.next_index};
        if (closed->state == IFAB_TASK_CANCELLED && t.state == IFAB_TASK_QUEUED) {
            assert_int_equal(ifab_task_act(&t, &act, &next, NULL), IFAB_CODE_NONE);
            t = next;
        }
        both_put(&t);
    }
    assert_int_equal(count, expected);
    ifab_task_remove(core, closed->number);
    model_remove(closed->number.n);
}

/* What the text says of each: not by the table under test. */
static enum ifab_code expected_code(const struct ifab_task *t, const struct ifab_task_act *act, enum ifab_task_state *ret_state)
{
    bool owned = t->state == IFAB_TASK_CLAIMED || t->state == IFAB_TASK_RUNNING || t->state == IFAB_TASK_BLOCKED, last = t->attempt == t->max_attempts;
    *ret_state = t->state;
    switch ((int)act->event) {
    case IFAB_TASK_CLAIM:
        *ret_state = IFAB_TASK_CLAIMED;
        return owned ? IFAB_CODE_TASK_OWNED : ready(t) ? IFAB_CODE_NONE : IFAB_CODE_INVALID_TRANSITION;
    case IFAB_TASK_CANCEL:
        *ret_state = IFAB_TASK_CANCELLED;
        return IFAB_CODE_NONE;
    case IFAB_TASK_REPLAY:
        *ret_state = IFAB_TASK_QUEUED;
        return t->state == IFAB_TASK_DEAD ? IFAB_CODE_NONE : IFAB_CODE_INVALID_TRANSITION;
    default:
        break;
    }
    if (!owned || act->fence.n != t->fence.n)
        return act->fence.n == 0 ? IFAB_CODE_INVALID_PARAMS : IFAB_CODE_STALE_FENCE;
    bool blocked = t->state == IFAB_TASK_BLOCKED;
    switch ((int)act->event) {
    case IFAB_TASK_RENEW:
        return IFAB_CODE_NONE;
    case IFAB_TASK_PROGRESS:
        *ret_state = IFAB_TASK_RUNNING;
        return blocked ? IFAB_CODE_INVALID_TRANSITION : IFAB_CODE_NONE;
    case IFAB_TASK_COMPLETE:
        *ret_state = IFAB_TASK_DONE;
        return blocked ? IFAB_CODE_INVALID_TRANSITION : IFAB_CODE_NONE;
    case IFAB_TASK_BLOCK:
        *ret_state = IFAB_TASK_BLOCKED;
        return blocked ? IFAB_CODE_INVALID_TRANSITION : IFAB_CODE_NONE;
    case IFAB_TASK_UNBLOCK:
        *ret_state = IFAB_TASK_RUNNING;
        return blocked ? IFAB_CODE_NONE : IFAB_CODE_INVALID_TRANSITION;
    case IFAB_TASK_GIVE_BACK:
        *ret_state = IFAB_TASK_QUEUED;
        return t->state == IFAB_TASK_CLAIMED ? IFAB_CODE_NONE : IFAB_CODE_INVALID_TRANSITION;
    case IFAB_TASK_FAIL:
        *ret_state = last ? IFAB_TASK_DEAD : IFAB_TASK_QUEUED;
        return IFAB_CODE_NONE;
    case IFAB_TASK_SHUTDOWN:
        *ret_state = IFAB_TASK_QUEUED;
        return IFAB_CODE_NONE;
    default: /* POISON */
        *ret_state = IFAB_TASK_DEAD;
        return IFAB_CODE_NONE;
    }
}

static void check_next(const struct ifab_task *t, const struct ifab_task_act *act, const struct ifab_task *next)
{
    bool owned = next->state == IFAB_TASK_CLAIMED || next->state == IFAB_TASK_RUNNING || next->state == IFAB_TASK_BLOCKED;
    assert_true(next->fence.n >= t->fence.n); /* a fence only grows */
    assert_int_equal(next->owner.n != 0, owned);
    if (act->event == IFAB_TASK_CLAIM) {
        assert_true(next->fence.n > t->fence.n);
        assert_int_equal(next->lease_until, m.now.run + 30 * IFAB_SECOND);
    }
    if (act->event == IFAB_TASK_FAIL && next->state == IFAB_TASK_QUEUED) {
        assert_int_equal(next->attempt, t->attempt + 1);
        assert_true(next->retry_at > m.now.run);
    }
    if (act->event == IFAB_TASK_SHUTDOWN || act->event == IFAB_TASK_GIVE_BACK)
        assert_int_equal(next->attempt, t->attempt);
    if (act->event == IFAB_TASK_GIVE_BACK)
        assert_int_equal(next->queued_index, t->queued_index);
}

static void act_on(const struct ifab_task *task, struct ifab_task_act act)
{
    struct ifab_task t = *task, next = {.state = IFAB_TASK_NONE};
    enum ifab_task_state state;
    act.now = m.now;
    act.index = m.next_index;
    act.next_fence.n = m.next_index + 1000;
    act.percent = -1;
    enum ifab_code expected = expected_code(&t, &act, &state), code = ifab_task_act(&t, &act, &next, NULL);
    assert_int_equal(code, expected);
    if (code != IFAB_CODE_NONE)
        return;
    assert_int_equal(next.state, state);
    check_next(&t, &act, &next);
    m.next_index++;
    if (next.state == IFAB_TASK_DONE || next.state == IFAB_TASK_CANCELLED)
        close_task(&next);
    else
        both_put(&next);
}

static void claim_next(void)
{
    uint64_t swarm = 1 + draw(SWARMS);
    unsigned have = (unsigned)draw(16);
    char room[16];
    uint8_t course[IFAB_COURSE_PACKED];
    bool stolen, naive_stolen;
    struct ifab_names skills = pack_bits(have, room);
    const struct ifab_task *picked = ifab_task_pick(core, (struct ifab_swarm_number){swarm}, &skills, m.now.run, NULL, &stolen, course);
    const struct ifab_task *naive = naive_pick(swarm, have, &naive_stolen);
    assert_int_equal(picked == NULL ? 0 : picked->number.n, naive == NULL ? 0 : naive->number.n);
    assert_int_equal(stolen, naive_stolen);
    if (naive == NULL)
        return;
    charge(naive);
    assert_true(ifab_course_load(core, ifab_view_of(course, sizeof course)));
    act_on(naive, (struct ifab_task_act){.event = IFAB_TASK_CLAIM, .swarm = {swarm}, .who = {(uint32_t)draw(2), 0}});
}

/* Time goes on: what is due, and only that, is named, in order. */
static void tick(void)
{
    uint64_t numbers[256];
    m.now.run += (ifab_usec)draw(40) * IFAB_SECOND;
    m.now.wall += (ifab_usec)draw(40) * IFAB_SECOND;
    size_t count = ifab_tasks_expired(core, m.now.run, numbers, 256), expected = 0;
    for (size_t i = 0; i < m.count; i++) {
        const struct ifab_task *t = &m.tasks[i];
        ifab_usec when = t->owner.n != 0 ? t->lease_until : t->retry_at;
        expected += when != 0 && when <= m.now.run;
    }
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++) {
        struct ifab_task t = *model_at(numbers[i]), next;
        struct ifab_task_act act = {.event = IFAB_TASK_EXPIRE, .now = m.now, .index = m.next_index, .percent = -1};
        if (t.owner.n == 0) {
            t.retry_at = 0;
            both_put(&t);
            continue;
        }
        m.next_index++;
        assert_int_equal(ifab_task_act(&t, &act, &next, NULL), IFAB_CODE_NONE);
        assert_int_equal(next.state, t.attempt == t.max_attempts ? IFAB_TASK_DEAD : IFAB_TASK_QUEUED);
        assert_int_equal(next.fence.n, t.fence.n);
        both_put(&next);
    }
    count = ifab_tasks_timed(core, m.now.wall, numbers, 256);
    for (size_t i = 0; i < count; i++) {
        struct ifab_task t = *model_at(numbers[i]), next;
        struct ifab_task_act act = {.event = IFAB_TASK_LATE, .now = m.now, .index = m.next_index, .percent = -1};
        assert_true(t.deadline <= m.now.wall || (t.early && t.not_before <= m.now.wall));
        if (t.deadline > m.now.wall) {
            t.early = false;
            both_put(&t);
            continue;
        }
        m.next_index++;
        assert_int_equal(ifab_task_act(&t, &act, &next, NULL), IFAB_CODE_NONE);
        assert_int_equal(next.state, IFAB_TASK_DEAD);
        both_put(&next);
    }
    for (size_t i = 0; i < m.count; i++)
        assert_false(m.tasks[i].state != IFAB_TASK_DEAD && m.tasks[i].deadline <= m.now.wall);
}

static const char *naive_state(uint64_t swarm, bool stopped)
{
    unsigned works = 0, blocked = 0, waiting = 0;
    for (size_t i = 0; i < m.count; i++) {
        const struct ifab_task *t = &m.tasks[i];
        works += t->owner.n == swarm && (t->state == IFAB_TASK_CLAIMED || t->state == IFAB_TASK_RUNNING);
        blocked += t->owner.n == swarm && t->state == IFAB_TASK_BLOCKED;
        waiting += t->queue.n == swarm && t->state == IFAB_TASK_QUEUED;
    }
    if (stopped)
        return "ERROR";
    if (works + blocked > 0)
        return works > 0 ? "WORKING" : "BLOCKED";
    if (m.now.run - m.heard[swarm] >= IFAB_SWARM_HEARD_FOR)
        return "OFFLINE";
    return waiting > 0 ? "ACTIVE" : "IDLE";
}

static void check_counts(void)
{
    uint32_t counts[IFAB_TASK_STATE_COUNT] = {0}, flight[SWARMS + 1] = {0}, queued[SWARMS + 1] = {0};
    struct ifab_task_number at = {0};
    for (size_t i = 0; i < m.count; i++) {
        const struct ifab_task *t = ifab_task_after(core, at);
        assert_non_null(t);
        assert_int_equal(t->number.n, m.tasks[i].number.n);
        at = t->number;
        counts[t->state]++;
        flight[t->owner.n]++;
        queued[t->queue.n] += t->state == IFAB_TASK_QUEUED;
    }
    assert_null(ifab_task_after(core, at));
    for (int s = 1; s < IFAB_TASK_STATE_COUNT; s++)
        assert_int_equal(ifab_task_count(core, (enum ifab_task_state)s), counts[s]);
    for (uint64_t s = 1; s <= SWARMS; s++) {
        assert_int_equal(ifab_swarm_in_flight(core, (struct ifab_swarm_number){s}), flight[s]);
        assert_int_equal(ifab_swarm_queued(core, (struct ifab_swarm_number){s}), queued[s]);
        for (int stopped = 0; stopped < 2; stopped++)
            assert_string_equal(ifab_swarm_state_name(ifab_swarm_state(core, (struct ifab_swarm_number){s}, stopped != 0, m.now.run)),
                                naive_state(s, stopped != 0));
    }
}

static void step(void)
{
    static const enum ifab_task_event events[] = {IFAB_TASK_CLAIM, IFAB_TASK_GIVE_BACK, IFAB_TASK_RENEW, IFAB_TASK_PROGRESS, IFAB_TASK_COMPLETE,
                                                  IFAB_TASK_FAIL, IFAB_TASK_SHUTDOWN, IFAB_TASK_POISON, IFAB_TASK_BLOCK, IFAB_TASK_UNBLOCK,
                                                  IFAB_TASK_CANCEL, IFAB_TASK_REPLAY};
    uint64_t what = draw(16);
    if (draw(8) == 0)
        hear(1 + draw(SWARMS));
    if (what < 6)
        create();
    else if (what < 11)
        claim_next();
    else if (what == 11)
        tick();
    else if (what == 12 && draw(8) == 0)
        crash();
    else if (m.count > 0) {
        const struct ifab_task *t = &m.tasks[draw(m.count)];
        uint64_t fence = draw(4) == 0 ? draw(3) * (t->fence.n + 1) / 2 : t->fence.n;
        act_on(t, (struct ifab_task_act){.event = events[draw(IFAB_COUNT(events))], .swarm = {1 + draw(SWARMS)}, .fence = {fence}});
    }
    check_counts();
}

static void the_core_does_what_the_model_does(void **state)
{
    const char *given = getenv("IFAB_SEQUENCES");
    uint64_t sequences = given != NULL ? strtoull(given, NULL, 10) : 20000;
    (void)state;
    for (uint64_t i = 0; i < sequences; i++) {
        memset(&m, 0, sizeof m);
        m.next_number = 1 + SWARMS;
        m.now = (struct ifab_now){.wall = 1762942860000000, .run = 1};
        begin();
        for (int s = 0; s < STEPS; s++)
            step();
        ifab_coordinator_free(core);
    }
    printf("# %llu sequences of %d commands\n", (unsigned long long)sequences, STEPS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(the_core_does_what_the_model_does)};
    const char *given = getenv("IFAB_SEED");
    uint64_t first;
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    if (given != NULL)
        seed = strtoull(given, NULL, 0);
    else
        ifab_random(&seed, sizeof seed);
    first = seed;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0)
        fprintf(stderr, "IFAB_SEED=%llu\n", (unsigned long long)first);
    return failed;
}
