/*
 * Every sequence of commands in a small domain, on the fabric itself: 3 workers of 2 swarms, 2 tasks of at most 2 attempts, 2 budgets, time that passes
 * with and without a tick, a crash between any two steps. Two walks:
 *   all sequences: each one up to IFAB_TASK_DEPTH changes (4), none left out;
 *   all states: breadth first until no new state appears, however many commands that takes; the states are those of the model beside it
 *   (IFAB_TASK_STATES: stop after so many).
 * At each point all commands are decided: the code and the record are those of a naive model; one that is refused changes no record, so what would
 * come after it is what comes after the point itself, and only changes are followed. INV-11: of all (worker, fence) pairs there ever were at most one
 * is let through; fences grow; no task is lost: each stands in one place, and from every state both can still be done. INV-10: what is held by the
 * tasks in hand, settled and overrun of each budget is that of the model, and never passes its limit. INV-14: what a start loads
 * is what was applied, byte for byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

enum { TASKS = 2, WORKERS = 3, FENCES = 32, ATTEMPTS_MAX = 2, DEPTH_MAX = 32 };
#define LEASE (2 * IFAB_SECOND) /* twice the wait after a failure: leases of different ages, and still few states */
static const char *const ids[TASKS] = {"a", "b"};
static const unsigned swarm_of[WORKERS] = {0, 0, 1}; /* two may act for `many`; one, and one task at a time, for `one` */
static const char *const swarm_names[] = {"many", "one"};
static const uint32_t swarm_limit[] = {5, 1};

/* One is of a swarm, one of a worker of it; the third worker's money nobody counts. A task costs less than it holds, or more; one is dear to one worker. */
enum { BUDGETS = 2, FAILED_COST = 1 };
static const struct {
    const char *id, *name;
    enum ifab_subject subject;
    uint64_t limit;
} purses[BUDGETS] = {{"of-many", "many", IFAB_SUBJECT_SWARM, 5}, {"of-ann", "Ann", IFAB_SUBJECT_TALENT, 3}};
static const uint64_t holds[TASKS] = {2, 4}, costs[TASKS] = {1, 5};
static bool counts(unsigned budget, unsigned worker) { return budget == 0 ? swarm_of[worker] == 0 : worker == 0; }

/* ---- commands ---- */

enum verb { CREATE, CLAIM, NEXT, PROGRESS, RENEW, COMPLETE, FAIL, SHUTDOWN, GIVE_BACK, CANCEL, REPLAY, WAIT, TICK, CRASH };
static const char *const verb_names[] = {"create", "claim", "next", "progress", "renew", "complete", "fail", "shutdown", "give-back", "cancel",
                                         "replay", "wait", "tick", "crash"};
struct step {
    uint8_t verb, task, worker;
    uint8_t fence; /* place in the task's history of fences */
};

/* ---- the model ---- */

enum place { NOT_MADE, QUEUED, CLAIMED, RUNNING, DEAD, DONE, CANCELLED };
struct model_task {
    enum place place;
    unsigned owner; /* worker */
    unsigned attempt;
    ifab_usec until;  /* of the lease; of the wait after a failure; 0: none */
    uint64_t made, queued; /* the older, the earlier */
    uint64_t fences[FENCES];
    uint8_t claimers[FENCES];
    unsigned fence_count;
};
struct model {
    struct model_task tasks[TASKS];
    struct {
        uint64_t settled, overrun;
    } budgets[BUDGETS];
    struct ifab_now now;
    uint64_t most_fence; /* ever given */
};

static bool owned(const struct model_task *t) { return t->place == CLAIMED || t->place == RUNNING; }
static bool closed(const struct model_task *t) { return t->place == DONE || t->place == CANCELLED; }
static uint64_t last_fence(const struct model_task *t) { return t->fence_count == 0 ? 0 : t->fences[t->fence_count - 1]; }

static unsigned in_flight(const struct model *m, unsigned swarm)
{
    unsigned count = 0;
    for (size_t i = 0; i < TASKS; i++)
        count += owned(&m->tasks[i]) && swarm_of[m->tasks[i].owner] == swarm;
    return count;
}

static uint64_t held_in(const struct model *m, unsigned budget)
{
    uint64_t held = 0;
    for (size_t i = 0; i < TASKS; i++)
        held += owned(&m->tasks[i]) && counts(budget, m->tasks[i].owner) ? holds[i] : 0;
    return held;
}

static uint64_t left_in(const struct model *m, unsigned budget)
{
    uint64_t taken = m->budgets[budget].settled + m->budgets[budget].overrun + held_in(m, budget);
    return taken < purses[budget].limit ? purses[budget].limit - taken : 0;
}

static bool affords(const struct model *m, unsigned worker, unsigned task)
{
    for (unsigned b = 0; b < BUDGETS; b++)
        if (counts(b, worker) && left_in(m, b) < holds[task])
            return false;
    return true;
}

static unsigned is_held(unsigned worker) { return counts(0, worker) || counts(1, worker); }

static void model_spend(struct model *m, const struct model_task *t, uint64_t held, uint64_t cost) /* it is in nobody's hands any more */
{
    for (unsigned b = 0; b < BUDGETS; b++) {
        uint64_t within = cost < held ? cost : held, beyond = cost - within;
        if (!counts(b, t->owner))
            continue;
        m->budgets[b].settled += within;
        uint64_t left = left_in(m, b), fit = beyond < left ? beyond : left;
        m->budgets[b].settled += fit;
        m->budgets[b].overrun += beyond - fit;
    }
}

/* Which one a worker is given: the oldest that is ready and that it can pay for; TASKS: none, and then *ret_code says whether it was for want of money. */
static unsigned model_next(const struct model *m, unsigned worker, enum ifab_code *ret_code)
{
    unsigned best = TASKS;
    bool dear = false;
    *ret_code = IFAB_CODE_NONE;
    if (in_flight(m, swarm_of[worker]) >= swarm_limit[swarm_of[worker]])
        return TASKS;
    for (unsigned i = 0; i < TASKS; i++) {
        if (m->tasks[i].place != QUEUED || m->tasks[i].until != 0)
            continue;
        if (!affords(m, worker, i))
            dear = true;
        else if (best == TASKS || m->tasks[i].queued < m->tasks[best].queued)
            best = i;
    }
    if (best == TASKS && dear)
        *ret_code = IFAB_CODE_BUDGET_EXCEEDED;
    return best;
}

static void model_claim(struct model *m, unsigned task, unsigned worker, uint64_t index)
{
    struct model_task *t = &m->tasks[task];
    uint64_t fence = index + is_held(worker); /* behind the entry of what is held */
    assert_true(fence > m->most_fence); /* whoever had one before has less */
    m->most_fence = fence;
    t->place = CLAIMED;
    t->owner = worker;
    t->until = m->now.run + LEASE;
    assert_true(t->fence_count < FENCES);
    t->claimers[t->fence_count] = (uint8_t)worker;
    t->fences[t->fence_count++] = fence;
}

static void model_queue(const struct model *m, struct model_task *t, bool again, uint64_t index)
{
    t->place = QUEUED;
    t->queued = index;
    t->until = 0;
    if (again) {
        t->attempt++;
        t->until = m->now.run + IFAB_SECOND;
    }
}

static void model_again(const struct model *m, struct model_task *t, uint64_t index)
{
    if (t->attempt >= ATTEMPTS_MAX) {
        t->place = DEAD;
        t->until = 0;
    } else {
        model_queue(m, t, true, index);
    }
}

static enum ifab_code model_holder(struct model *m, const struct step *s, uint64_t index)
{
    struct model_task *t = &m->tasks[s->task];
    uint64_t queued = t->queued;
    if (t->place == NOT_MADE)
        return IFAB_CODE_TASK_NOT_FOUND;
    if (closed(t))
        return t->fences[s->fence] == last_fence(t) ? IFAB_CODE_INVALID_TRANSITION : IFAB_CODE_STALE_FENCE;
    if (!owned(t) || t->fences[s->fence] != last_fence(t))
        return IFAB_CODE_STALE_FENCE;
    if (s->verb != GIVE_BACK && swarm_of[s->worker] != swarm_of[t->owner])
        return IFAB_CODE_PERMISSION_DENIED;
    switch (s->verb) {
    case PROGRESS: t->place = RUNNING; break;
    case RENEW: t->until = m->now.run + LEASE; break;
    case COMPLETE:
        t->place = DONE;
        model_spend(m, t, holds[s->task], costs[s->task]);
        break;
    case FAIL:
        model_again(m, t, index);
        model_spend(m, t, holds[s->task], FAILED_COST);
        break;
    case SHUTDOWN: model_queue(m, t, false, index); break;
    default:
        if (t->place != CLAIMED)
            return IFAB_CODE_INVALID_TRANSITION;
        model_queue(m, t, false, queued);
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code model_claim_code(const struct model *m, const struct step *s)
{
    const struct model_task *t = &m->tasks[s->task];
    if (t->place == NOT_MADE)
        return IFAB_CODE_TASK_NOT_FOUND;
    if (closed(t))
        return IFAB_CODE_INVALID_TRANSITION;
    if (owned(t))
        return t->owner == s->worker ? IFAB_CODE_NONE : IFAB_CODE_TASK_OWNED;
    if (in_flight(m, swarm_of[s->worker]) >= swarm_limit[swarm_of[s->worker]])
        return IFAB_CODE_QUOTA_EXCEEDED;
    if (t->place != QUEUED || t->until != 0)
        return IFAB_CODE_INVALID_TRANSITION;
    return affords(m, s->worker, s->task) ? IFAB_CODE_NONE : IFAB_CODE_BUDGET_EXCEEDED;
}

static enum ifab_code model_operator(struct model *m, const struct step *s, uint64_t index)
{
    struct model_task *t = &m->tasks[s->task];
    if (s->verb == CREATE) {
        if (t->place != NOT_MADE)
            return IFAB_CODE_CONFLICT;
        t->attempt = 1;
        t->made = index;
        model_queue(m, t, false, index);
        return IFAB_CODE_NONE;
    }
    if (t->place == NOT_MADE)
        return IFAB_CODE_TASK_NOT_FOUND;
    if (closed(t) || (s->verb == REPLAY && t->place != DEAD))
        return IFAB_CODE_INVALID_TRANSITION;
    if (s->verb == REPLAY) {
        t->attempt = 1;
        model_queue(m, t, false, index);
    } else {
        t->place = CANCELLED;
    }
    return IFAB_CODE_NONE;
}

/* What is due, in order of time and then of number; each expiry is an entry, and so is what it frees. */
static void model_tick(struct model *m, uint64_t index)
{
    const struct model_task *a = &m->tasks[0], *b = &m->tasks[1];
    bool second = b->until != a->until ? b->until < a->until : b->made < a->made;
    const unsigned order[TASKS] = {second, !second};
    for (size_t i = 0; i < TASKS; i++) {
        struct model_task *t = &m->tasks[order[i]];
        if (t->until == 0 || t->until > m->now.run || (!owned(t) && t->place != QUEUED))
            continue;
        if (owned(t)) {
            model_again(m, t, index);
            index += 1 + is_held(t->owner); /* what was held is released */
        } else {
            t->until = 0;
        }
    }
}

/* After a start a lease has its own length again: its worker could not have asked. */
static void model_crash(struct model *m)
{
    for (size_t i = 0; i < TASKS; i++)
        if (owned(&m->tasks[i]) && m->tasks[i].until < m->now.run + LEASE)
            m->tasks[i].until = m->now.run + LEASE;
}

static ifab_usec model_due(const struct model *m)
{
    ifab_usec due = IFAB_NEVER;
    for (size_t i = 0; i < TASKS; i++)
        if (m->tasks[i].until != 0 && (owned(&m->tasks[i]) || m->tasks[i].place == QUEUED) && m->tasks[i].until < due)
            due = m->tasks[i].until;
    return due;
}

/* ---- the fabric ---- */

static struct rig rig;
static struct { /* of the empty fabric with its workers and swarms: every walk begins there */
    struct rig_record *records;
    size_t record_count, entry_count, tags;
    uint8_t last_hash32[32];
    struct ifab_fabric_head head;
    struct ifab_now now;
    ifab_usec kept_wall;
    uint64_t minted, n;
} base;
static uint32_t talents[WORKERS];
static struct step trail[DEPTH_MAX * 4];
static size_t trail_size;
static struct {
    uint64_t decided, applied, crashes, refused, sequences, fences_tried;
} done;

static void tell(const struct step *s)
{
    if (s->verb <= NEXT || s->verb >= CANCEL)
        print_message("#   %s %s by %u\n", verb_names[s->verb], ids[s->task], s->worker);
    else
        print_message("#   %s %s by %u with fence %u\n", verb_names[s->verb], ids[s->task], s->worker, s->fence);
}

/* A sequence that shows a fault is printed before the assertion that it breaks. */
static void hold(bool good, const char *what, const struct step *last)
{
    if (good)
        return;
    print_message("# after %zu steps:\n", trail_size);
    for (size_t i = 0; i < trail_size; i++)
        tell(&trail[i]);
    if (last != NULL)
        tell(last);
    fail_msg("%s", what);
}

static void register_swarm(unsigned swarm)
{
    struct ifab_view skills[] = {IFAB_VIEW("sql")}, members[WORKERS];
    struct ifab_command c = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    size_t count = 0;
    for (unsigned w = 0; w < WORKERS; w++)
        if (swarm_of[w] == swarm)
            members[count++] = ifab_view_str(rig.talents[talents[w]].name);
    c.u.swarm.request = (struct ifab_swarm_request){.id = ifab_view_str(swarm_names[swarm]), .skills = skills, .skill_count = 1, .members = members,
                                                    .member_count = count, .concurrency = swarm_limit[swarm]};
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

static int begin(void **state)
{
    static const char *const names[WORKERS] = {"Ann", "Ben", "Cid"};
    (void)state;
    memset(&done, 0, sizeof done);
    rig_new(&rig, NULL);
    for (unsigned w = 0; w < WORKERS; w++)
        talents[w] = rig_add(&rig, names[w], "people", IFAB_ROLE_AGENT, (uint8_t)(20 + w), IFAB_ORDER_STRICT);
    uint32_t admin = rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 19, IFAB_ORDER_STRICT);
    register_swarm(0);
    register_swarm(1);
    for (size_t b = 0; b < BUDGETS; b++) {
        struct ifab_command c = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("a purse"), .act = rig_act(&rig, admin)};
        c.u.budget.request = (struct ifab_budget_request){.id = ifab_view_str(purses[b].id), .name = ifab_view_str(purses[b].name),
                                                          .subject = purses[b].subject, .unit = IFAB_UNIT_USD_MICRO, .period = IFAB_PERIOD_TOTAL,
                                                          .limit = purses[b].limit};
        assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
    }
    base.record_count = rig.record_count;
    base.records = calloc(rig.record_count, sizeof *base.records);
    assert_non_null(base.records);
    for (size_t i = 0; i < rig.record_count; i++) {
        base.records[i] = rig.records[i];
        base.records[i].bytes = rig.records[i].bytes == NULL ? NULL : rig_copy(ifab_view_of(rig.records[i].bytes, rig.records[i].size));
    }
    base.entry_count = rig.entry_count;
    base.tags = rig.tags.size;
    memcpy(base.last_hash32, rig.last_hash32, 32);
    base.head = rig.head;
    base.now = rig.now;
    base.kept_wall = rig.kept_wall;
    base.minted = rig.minted;
    base.n = rig.n;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < base.record_count; i++)
        free(base.records[i].bytes);
    free(base.records);
    rig_free(&rig);
    return 0;
}

static void back_to_base(struct model *m)
{
    for (size_t i = 0; i < rig.record_count; i++) {
        struct ifab_view bytes = {NULL, 0};
        if (i < base.record_count && base.records[i].bytes != NULL)
            bytes = ifab_view_of(base.records[i].bytes, base.records[i].size);
        rig_keep_record(&rig, rig.records[i].kind, rig.records[i].number, bytes);
    }
    while (rig.entry_count > base.entry_count) {
        rig.entry_count--;
        free(rig.entries[rig.entry_count].bytes);
        free(rig.entries[rig.entry_count].message);
    }
    rig.tags.size = base.tags;
    memcpy(rig.last_hash32, base.last_hash32, 32);
    rig.head = base.head;
    rig.now = base.now;
    rig.kept_wall = base.kept_wall;
    rig.minted = base.minted;
    rig.n = base.n;
    rig_restart(&rig);
    memset(m, 0, sizeof *m);
    m->now = rig.now;
    trail_size = 0;
}

/* ---- records ---- */

static enum place place_in(enum ifab_task_state state)
{
    static const enum place places[IFAB_TASK_STATE_COUNT] = { /* those that are missing cannot be: NOT_MADE */
        [IFAB_TASK_QUEUED] = QUEUED, [IFAB_TASK_CLAIMED] = CLAIMED, [IFAB_TASK_RUNNING] = RUNNING, [IFAB_TASK_DEAD] = DEAD,
        [IFAB_TASK_DONE] = DONE, [IFAB_TASK_CANCELLED] = CANCELLED};
    return places[state];
}

static void check_task(const struct ifab_task *t, const struct model_task *want, const struct step *s)
{
    hold(ifab_task_consistent(t), "an inconsistent task", s);
    hold(place_in(t->state) == want->place, "another state", s);
    hold(t->attempt == want->attempt && t->fence.n == last_fence(want), "another attempt or fence", s);
    hold(t->queued_index == want->queued, "another place in the queue", s);
    if (owned(want))
        hold(t->worker.talent == talents[want->owner] && t->lease_until == want->until, "another owner or lease", s);
    else
        hold(t->owner.n == 0 && t->worker.talent == 0 && t->retry_at == (want->place == QUEUED ? want->until : 0), "an owner of what is not owned, or another wait", s);
}

/* What is to be written, before anything is: the model's tasks, and no others. */
static void check_changes(const struct ifab_outcome *o, const struct model *before, const struct model *after, const struct step *s)
{
    for (unsigned i = 0; i < TASKS; i++) {
        bool found = false, differs = memcmp(&before->tasks[i], &after->tasks[i], sizeof before->tasks[i]) != 0;
        for (size_t c = 0; c < o->change_count; c++) {
            const struct ifab_change *change = &o->changes[c];
            struct ifab_task t;
            struct ifab_closed_task gone;
            uint8_t id16[16];
            if (change->kind == IFAB_KIND_TASK && change->bytes.size > 0) {
                hold(ifab_task_unpack(change->bytes, change->number, &t), "a record that does not unpack", s);
                if (strcmp(t.id, ids[i]) != 0)
                    continue;
                check_task(&t, &after->tasks[i], s);
                found = true;
            } else if (change->kind == IFAB_KIND_TASK_CLOSED && change->bytes.size > 0) {
                hold(ifab_closed_task_unpack(change->bytes, change->number, &gone), "a record that does not unpack", s);
                ifab_task_id16(ifab_view_str(ids[i]), id16);
                if (memcmp(id16, gone.id16, 16) != 0)
                    continue;
                hold(place_in(gone.state) == after->tasks[i].place && gone.fence.n == last_fence(&after->tasks[i]), "another end", s);
                found = true;
            }
        }
        hold(found || !differs, "a task does not change that must", s); /* one that is written as it was, may be */
    }
}

/* ---- one command on both ---- */

static const enum ifab_task_event events[] = {
    [PROGRESS] = IFAB_TASK_PROGRESS, [RENEW] = IFAB_TASK_RENEW,         [COMPLETE] = IFAB_TASK_COMPLETE, [FAIL] = IFAB_TASK_FAIL,
    [SHUTDOWN] = IFAB_TASK_SHUTDOWN, [GIVE_BACK] = IFAB_TASK_GIVE_BACK, [CANCEL] = IFAB_TASK_CANCEL,     [REPLAY] = IFAB_TASK_REPLAY,
};

static void decide(const struct model *m, const struct step *s)
{
    static const struct ifab_view need = {(const uint8_t *)"sql", 3};
    struct ifab_principal worker = {.kind = IFAB_PRINCIPAL_TALENT, .talent = talents[s->worker], .role = IFAB_ROLE_AGENT};
    struct ifab_command c = {.principal = &worker};
    snprintf(worker.actor, sizeof worker.actor, "if://agent/%s", rig.talents[talents[s->worker]].name);
    if (s->verb == CREATE) {
        c = (struct ifab_command){.type = IFAB_COMMAND_TASK_CREATE, .principal = &rig.principal, .why = IFAB_VIEW("because")};
        c.u.task.id = ifab_view_str(ids[s->task]);
        c.u.task.type = IFAB_VIEW("report");
        c.u.task.needs = &need;
        c.u.task.need_count = 1;
        c.u.task.priority = 2;
        c.u.task.max_attempts = ATTEMPTS_MAX;
        c.u.task.deadline = IFAB_NEVER;
        for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
            c.u.task.budget[i] = i == IFAB_UNIT_USD_MICRO ? (int64_t)holds[s->task] : -1;
    } else if (s->verb == CLAIM || s->verb == NEXT) {
        c.type = IFAB_COMMAND_TASK_CLAIM;
        c.u.claim.id = s->verb == CLAIM ? ifab_view_str(ids[s->task]) : IFAB_VIEW("");
        c.u.claim.swarm = ifab_view_str(swarm_names[swarm_of[s->worker]]);
        c.u.claim.lease = LEASE;
    } else if (s->verb == TICK) {
        c = (struct ifab_command){.type = IFAB_COMMAND_TICK};
    } else {
        c.type = IFAB_COMMAND_TASK_ACT;
        if (s->verb == CANCEL || s->verb == REPLAY || s->verb == GIVE_BACK) {
            c.principal = &rig.principal;
            c.why = IFAB_VIEW("because");
        } else {
            c.u.task_act.fence.n = m->tasks[s->task].fences[s->fence];
        }
        if (s->verb == GIVE_BACK)
            c.u.task_act.fence.n = m->tasks[s->task].fences[s->fence];
        c.u.task_act.id = ifab_view_str(ids[s->task]);
        c.u.task_act.event = events[s->verb];
        c.u.task_act.percent = -1;
        c.u.task_act.has_cost = s->verb == COMPLETE || s->verb == FAIL;
        if (c.u.task_act.has_cost)
            c.u.task_act.cost = (struct ifab_cost){.has_usd = true, .usd_micro = s->verb == FAIL ? FAILED_COST : costs[s->task]};
    }
    ifab_arena_reset(&rig.arena);
    rig_decide(&rig, &c);
    done.decided++;
}

/* What the model says of it; *m becomes what is after it. */
static enum ifab_code expected(struct model *m, const struct step *s, uint64_t index, bool *ret_changes)
{
    enum ifab_code code = IFAB_CODE_NONE;
    *ret_changes = true;
    if (s->verb == CLAIM) {
        code = model_claim_code(m, s);
        *ret_changes = code == IFAB_CODE_NONE && !owned(&m->tasks[s->task]);
        if (*ret_changes)
            model_claim(m, s->task, s->worker, index);
    } else if (s->verb == NEXT) {
        unsigned next = model_next(m, s->worker, &code);
        *ret_changes = next < TASKS;
        if (*ret_changes)
            model_claim(m, next, s->worker, index);
    } else if (s->verb == TICK) {
        model_tick(m, index);
    } else if (s->verb >= PROGRESS && s->verb <= GIVE_BACK) {
        code = model_holder(m, s, index);
        *ret_changes = code == IFAB_CODE_NONE;
    } else {
        code = model_operator(m, s, index);
        *ret_changes = code == IFAB_CODE_NONE;
    }
    return code;
}

static bool touches_tasks(const struct ifab_outcome *o)
{
    for (size_t i = 0; i < o->change_count; i++)
        if (o->changes[i].kind == IFAB_KIND_TASK || o->changes[i].kind == IFAB_KIND_TASK_CLOSED || o->changes[i].kind == IFAB_KIND_COURSE)
            return true;
    return false;
}

/* Apart from who is there: memory of the running daemon alone. */
static size_t change_count(const struct ifab_outcome *o)
{
    size_t count = 0;
    for (size_t i = 0; i < o->change_count; i++)
        count += o->changes[i].kind != IFAB_KIND_HEARD;
    return count;
}

/* Decides and holds the answer against the model; what comes after is in *m. True: it is a change, and can be applied. */
static bool decided_as_expected(struct model *m, const struct step *s)
{
    bool changes, given = s->verb == CLAIM || s->verb == NEXT;
    struct model before = *m;
    decide(m, s);
    enum ifab_code code = expected(m, s, rig.entry_count, &changes);
    const struct ifab_reply *reply = &rig.outcome.reply;
    hold(!rig.outcome.failed, "out of memory", s);
    if (reply->code != code)
        print_message("# code %d, the model says %d: %s\n", (int)reply->code, (int)code, reply->refusal.message);
    hold(reply->code == code, "another code than the model's", s);
    /* The first time it is told again that is noted: such a claim is not given back. Nothing else of the task changes. */
    bool told = s->verb == CLAIM && code == IFAB_CODE_NONE && !changes && rig.outcome.entry_count == 0 && change_count(&rig.outcome) == 1;
    hold(told || touches_tasks(&rig.outcome) == changes, "a change where there must be none, or none where there must be one", s);
    if (given && changes)
        hold(reply->fence.n == m->most_fence, "a claim has the fence of its entry", s);
    if (given && code == IFAB_CODE_NONE && !changes)
        hold(s->verb == NEXT ? reply->http == 204 : reply->fence.n == 0, "the same lease again, or nothing", s);
    check_changes(&rig.outcome, &before, m, s);
    done.refused += !changes;
    if (!changes)
        *m = before;
    return changes;
}

/* ---- what holds at every point ---- */

static const struct ifab_task *stored_task(const struct ifab_fabric *fabric, unsigned task)
{
    return ifab_task_find(ifab_fabric_coordinator(fabric), ifab_view_str(ids[task]));
}

static enum place place_of(const struct ifab_fabric *fabric, unsigned task)
{
    const struct ifab_task *t = stored_task(fabric, task);
    const struct ifab_closed_task *c = ifab_closed_task_find(ifab_fabric_coordinator(fabric), ifab_view_str(ids[task]));
    hold(t == NULL || c == NULL, "a task that is open and closed", NULL);
    if (c != NULL)
        return place_in(c->state);
    return t == NULL ? NOT_MADE : place_in(t->state);
}

static void check_budgets(const struct ifab_fabric *fabric, const struct model *m)
{
    for (unsigned b = 0; b < BUDGETS; b++) {
        const struct ifab_budget *budget = ifab_money_budget(ifab_fabric_money(fabric), ifab_view_str(purses[b].id));
        hold(budget != NULL && budget->limit == purses[b].limit, "a budget is lost", NULL);
        const struct ifab_budget_state *s = &budget->state;
        hold(s->settled == m->budgets[b].settled && s->overrun == m->budgets[b].overrun && s->reserved == held_in(m, b), "another account than the model's", NULL);
        hold(s->settled + s->reserved <= budget->limit, "more is held and settled than there is", NULL);
    }
}

static void check_state(const struct ifab_fabric *fabric, const struct model *m)
{
    check_budgets(fabric, m);
    for (unsigned i = 0; i < TASKS; i++) {
        const struct ifab_task *t = stored_task(fabric, i);
        hold(place_of(fabric, i) == m->tasks[i].place, "a task stands where it must not, or is lost", NULL);
        if (t != NULL)
            check_task(t, &m->tasks[i], NULL);
    }
}

/* INV-11: all pairs of a fence that was ever given and a worker, on a dry run: one fence at most is let through, the newest, and only while owned. */
static void check_fences(const struct model *m)
{
    for (unsigned i = 0; i < TASKS; i++) {
        unsigned good = 0;
        for (unsigned f = 0; f < m->tasks[i].fence_count; f++) {
            struct model after = *m;
            struct step s = {.verb = COMPLETE, .task = (uint8_t)i, .worker = m->tasks[i].claimers[f], .fence = (uint8_t)f};
            good += decided_as_expected(&after, &s);
            done.fences_tried++;
        }
        hold(good <= 1 && good == owned(&m->tasks[i]), "more or fewer than one valid owner", NULL);
    }
}

/* INV-14: a start finds what was applied. */
static void check_loaded(const struct model *m)
{
    struct ifab_fabric *twin = rig_load(&rig, rig.kept_wall);
    uint8_t live[IFAB_TASK_PACKED_MAX], loaded[IFAB_TASK_PACKED_MAX];
    check_state(twin, m);
    for (unsigned i = 0; i < TASKS; i++) {
        const struct ifab_task *t = stored_task(rig.fabric, i);
        if (t == NULL)
            continue;
        size_t size = ifab_task_pack(t, live);
        hold(ifab_task_pack(stored_task(twin, i), loaded) == size && memcmp(live, loaded, size) == 0, "a start finds another task than was applied", NULL);
    }
    ifab_fabric_free(twin);
}

/* A swarm whose tasks fail again and again, or that passes its budget, is stopped; here somebody is always at hand who resets it. */
static void reset_breakers(void)
{
    for (size_t i = 0; i < IFAB_COUNT(swarm_names); i++) {
        struct ifab_command c = {.type = IFAB_COMMAND_BREAKER_RESET, .principal = &rig.principal, .why = IFAB_VIEW("because")};
        c.u.breaker.kind = IFAB_BREAKER_SWARM;
        c.u.breaker.name = ifab_view_str(swarm_names[i]);
        ifab_arena_reset(&rig.arena);
        rig_decide(&rig, &c);
        if (rig.outcome.reply.code == IFAB_CODE_NONE)
            rig_apply(&rig);
    }
}

static void do_step(struct model *m, const struct step *s)
{
    if (s->verb == CRASH) {
        rig_restart(&rig);
        model_crash(m);
        done.crashes++;
    } else if (s->verb == WAIT) { /* up to what is due next; the daemon has not looked yet */
        ifab_usec by = model_due(m) - m->now.run;
        m->now.run += by;
        m->now.wall += by;
        rig.now = m->now;
    } else {
        hold(decided_as_expected(m, s), "a walk goes along changes", s);
        rig_apply(&rig);
        done.applied++;
        if (s->verb == FAIL || s->verb == TICK || s->verb == COMPLETE)
            reset_breakers();
    }
    trail[trail_size++] = *s;
    check_state(rig.fabric, m);
}

/* All that can be tried at a point. Returns how many of them change something: those are followed. */
#define STEPS_MAX 96
static size_t try_all(const struct model *m, bool crashed, struct step *ret_steps)
{
    size_t count = 0;
    ifab_usec due = model_due(m);
    for (unsigned task = 0; task < TASKS; task++) {
        const struct model_task *t = &m->tasks[task];
        struct step tries[8 + WORKERS * 8];
        size_t n = 0;
        tries[n++] = (struct step){.verb = CREATE, .task = (uint8_t)task};
        tries[n++] = (struct step){.verb = CANCEL, .task = (uint8_t)task};
        tries[n++] = (struct step){.verb = REPLAY, .task = (uint8_t)task};
        for (unsigned w = 0; w < WORKERS; w++) {
            tries[n++] = (struct step){.verb = CLAIM, .task = (uint8_t)task, .worker = (uint8_t)w};
            for (unsigned verb = PROGRESS; t->fence_count > 0 && verb <= SHUTDOWN; verb++)
                tries[n++] = (struct step){(uint8_t)verb, (uint8_t)task, (uint8_t)w, (uint8_t)(t->fence_count - 1)};
        }
        if (t->fence_count > 0)
            tries[n++] = (struct step){.verb = GIVE_BACK, .task = (uint8_t)task, .fence = (uint8_t)(t->fence_count - 1)};
        for (size_t i = 0; i < n; i++) {
            struct model after = *m;
            if (decided_as_expected(&after, &tries[i]) && !(tries[i].verb >= PROGRESS && tries[i].verb <= SHUTDOWN && tries[i].worker != t->owner))
                ret_steps[count++] = tries[i]; /* a colleague of the owner that does the same makes no other state */
        }
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        struct model after = *m;
        struct step s = {.verb = NEXT, .worker = (uint8_t)w};
        if (decided_as_expected(&after, &s))
            ret_steps[count++] = s;
    }
    if (due <= m->now.run) {
        struct model after = *m;
        struct step s = {.verb = TICK};
        (void)decided_as_expected(&after, &s);
        ret_steps[count++] = s;
    } else if (due != IFAB_NEVER)
        ret_steps[count++] = (struct step){.verb = WAIT};
    if (!crashed)
        ret_steps[count++] = (struct step){.verb = CRASH}; /* twice in a row is once */
    check_fences(m);
    return count;
}

/* ---- all sequences ---- */

static void replay(struct model *m, const struct step *path, size_t size)
{
    back_to_base(m);
    for (size_t i = 0; i < size; i++)
        do_step(m, &path[i]);
}

static void walk(const struct step *path, size_t size, size_t depth)
{
    struct step steps[STEPS_MAX], longer[DEPTH_MAX];
    struct model m;
    replay(&m, path, size);
    size_t count = try_all(&m, size > 0 && path[size - 1].verb == CRASH, steps);
    done.sequences++;
    if (size == depth)
        return;
    memcpy(longer, path, size * sizeof *path);
    for (size_t i = 0; i < count; i++) {
        longer[size] = steps[i];
        walk(longer, size + 1, depth);
    }
}

static void every_sequence_goes_as_the_model_says(void **state)
{
    struct step none[1] = {{0}};
    size_t depth = (size_t)test_env_u64("IFAB_TASK_DEPTH", 4);
    (void)state;
    assert_in_range(depth, 1, DEPTH_MAX - 1);
    walk(none, 0, depth);
    print_message("# depth %zu: %llu sequences of changes, %llu commands decided, %llu of them refused or without effect, %llu applied, %llu crashes, "
                  "%llu fences tried\n", depth, (unsigned long long)done.sequences, (unsigned long long)done.decided, (unsigned long long)done.refused,
                  (unsigned long long)done.applied, (unsigned long long)done.crashes, (unsigned long long)done.fences_tried);
    assert_true(done.crashes > 0 && done.refused > 0 && done.sequences > 100);
}

/* ---- all states ---- */

#define STATE_NAME_MAX 96
struct seen { /* a state, named by what the model knows of it that matters for what may come */
    char name[STATE_NAME_MAX];
    uint32_t from;    /* the state it was first reached from, by */
    struct step by;
    uint32_t length;
    bool can_end;     /* both tasks done from here */
    bool done;
};
struct arc {
    uint32_t from, to;
};
static struct seen *states;
static struct arc *arcs;
static size_t state_count, state_room, arc_count, arc_room;
static struct ifab_map by_name;

/* Times as they lie from now on; which of two waits longer. Fences and indexes are new names for the same. */
static void name_of(const struct model *m, char *ret_name, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < TASKS; i++) {
        const struct model_task *t = &m->tasks[i];
        bool timed = t->until != 0 && (owned(t) || t->place == QUEUED);
        ifab_usec left = !timed ? -1 : t->until <= m->now.run ? 0 : (t->until - m->now.run) / IFAB_SECOND;
        at += (size_t)snprintf(ret_name + at, size - at, "%d.%u.%u.%lld.%d ", (int)t->place, owned(t) ? t->owner : 9, closed(t) ? 0 : t->attempt, (long long)left,
                               t->fence_count > 0);
    }
    for (size_t i = 0; i < BUDGETS; i++)
        at += (size_t)snprintf(ret_name + at, size - at, "b%llu/%llu ", (unsigned long long)m->budgets[i].settled, (unsigned long long)m->budgets[i].overrun);
    const struct model_task *a = &m->tasks[0], *b = &m->tasks[1];
    bool both = a->place == QUEUED && b->place == QUEUED, open = !closed(a) && !closed(b) && a->place != NOT_MADE && b->place != NOT_MADE;
    snprintf(ret_name + at, size - at, "%c%c", both && b->queued < a->queued ? '>' : '<', open && b->made < a->made ? '>' : '<');
}

static uint32_t state_at(const struct model *m, uint32_t from, const struct step *by, bool *ret_new)
{
    char name[STATE_NAME_MAX];
    uint64_t found;
    name_of(m, name, sizeof name);
    *ret_new = !ifab_map_get(&by_name, ifab_view_str(name), &found);
    if (!*ret_new)
        return (uint32_t)found;
    states = rig_grown(states, &state_room, state_count, sizeof *states);
    struct seen *s = &states[state_count];
    memset(s, 0, sizeof *s);
    memcpy(s->name, name, sizeof name);
    s->from = from;
    s->length = by == NULL ? 0 : states[from].length + 1;
    if (by != NULL)
        s->by = *by;
    s->done = m->tasks[0].place == DONE && m->tasks[1].place == DONE;
    rig_must(ifab_map_put(&by_name, ifab_view_str(name), state_count) == IFAB_OK, "memory");
    return (uint32_t)state_count++;
}

static void add_arc(uint32_t from, uint32_t to)
{
    arcs = rig_grown(arcs, &arc_room, arc_count, sizeof *arcs);
    arcs[arc_count++] = (struct arc){from, to};
}

static size_t path_to(uint32_t state, struct step *ret_path)
{
    size_t size = states[state].length;
    rig_must(size < DEPTH_MAX * 2, "a path is longer than this test thought");
    for (size_t i = size; i > 0; i--, state = states[state].from)
        ret_path[i - 1] = states[state].by;
    return size;
}

static void expand(uint32_t state)
{
    struct step path[DEPTH_MAX * 2], steps[STEPS_MAX];
    struct model m;
    size_t size = path_to(state, path);
    bool new;
    replay(&m, path, size);
    check_loaded(&m);
    size_t count = try_all(&m, false, steps);
    for (size_t i = 0; i < count; i++) {
        struct model after = m;
        if (steps[i].verb == CRASH) { /* and then each command once more, on what a start loads */
            struct step again[STEPS_MAX];
            do_step(&after, &steps[i]);
            trail_size--; /* the last one: the others were looked at before it */
            (void)try_all(&after, true, again);
        } else if (steps[i].verb == WAIT) {
            after.now.run = model_due(&m);
        } else {
            bool changes;
            (void)expected(&after, &steps[i], rig.entry_count, &changes);
        }
        uint32_t to = state_at(&after, state, &steps[i], &new);
        if (!(steps[i].verb == CANCEL && states[to].done)) /* giving up is no way of being done */
            add_arc(state, to);
    }
}

static size_t mark_what_can_end(void)
{
    size_t marked = 0;
    for (size_t i = 0; i < state_count; i++)
        states[i].can_end = states[i].done;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < arc_count; i++)
            if (!states[arcs[i].from].can_end && states[arcs[i].to].can_end)
                more = states[arcs[i].from].can_end = true;
    }
    for (size_t i = 0; i < state_count; i++)
        marked += states[i].can_end;
    return marked;
}

static void every_state_can_still_end_and_is_what_a_start_loads(void **state)
{
    struct model m;
    bool new;
    size_t cancelled = 0, longest = 0, most = (size_t)test_env_u64("IFAB_TASK_STATES", 100000);
    (void)state;
    ifab_map_init(&by_name, 3);
    back_to_base(&m);
    (void)state_at(&m, 0, NULL, &new);
    size_t at = 0;
    for (; at < state_count && at < most; at++)
        expand((uint32_t)at);
    bool complete = at == state_count;
    size_t can_end = mark_what_can_end();
    for (size_t i = 0; i < state_count; i++) {
        longest = states[i].length > longest ? states[i].length : longest;
        cancelled += states[i].name[0] == '0' + CANCELLED || strstr(states[i].name, " 6.") != NULL;
    }
    print_message("# %zu states%s, %zu arcs, up to %zu commands deep; %llu commands decided, %llu applied, %llu fences tried\n", state_count,
                  complete ? ", all there are" : " (cut off)", arc_count, longest, (unsigned long long)done.decided, (unsigned long long)done.applied,
                  (unsigned long long)done.fences_tried);
    if (complete) /* no task is lost: only one that somebody cancelled cannot be done any more */
        assert_int_equal(can_end + cancelled, state_count);
    assert_true(state_count > 100 && can_end > 0 && cancelled > 0);
    ifab_map_fini(&by_name);
    free(states);
    free(arcs);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_sequence_goes_as_the_model_says, begin, end),
        cmocka_unit_test_setup_teardown(every_state_can_still_end_and_is_what_a_start_loads, begin, end),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
