/* What happens to tasks by itself: leases that run out, deadlines, waits that end; and what one that is closed leaves behind. */
#include "fabric_internal.h"

#include <string.h>

static bool fabric_entry(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, const struct ifab_task *task, const char *cause)
{
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"attempt\":%u,\"cause\":\"%s\",\"fence\":%llu,\"state\":\"%s\"}", task->attempt, cause,
                    (unsigned long long)task->fence.n, ifab_task_state_name(task->state));
    return ifab_fabric__task_entry(self, o, event, task, ifab_view_str(self->settings.fabric_actor), IFAB_VIEW(""), IFAB_VIEW(""), NULL);
}

static void happens(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task, enum ifab_task_event event, const char *cause)
{
    struct ifab_task next;
    struct ifab_task_act act = {.event = event, .now = o->now, .index = o->next_index, .percent = -1, .note = ifab_view_str(cause)};
    if (ifab_task_act(task, &act, &next, NULL) != IFAB_CODE_NONE)
        return;
    enum ifab_event entry = next.state == IFAB_TASK_DEAD ? IFAB_EVENT_TASK_DEAD : event == IFAB_TASK_YIELD ? IFAB_EVENT_TASK_YIELD : IFAB_EVENT_TASK_EXPIRE;
    if (fabric_entry(self, o, entry, &next, cause))
        ifab_fabric__put_task(o, &next);
    ifab_fabric__end_help(self, o, task);
    if (ifab_task_owned(task->state) || task->reservation != 0)
        ifab_fabric__task_over(self, o, task, event, ifab_view_str(self->settings.fabric_actor), NULL);
    if (task->parent != 0 && next.state == IFAB_TASK_DEAD)
        ifab_fabric__help_failed(self, o, task);
}

void ifab_fabric__close_task(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task, struct ifab_swarm_number owner,
                             uint64_t index)
{
    uint64_t waiting[IFAB_TASK_DEPENDENTS_MAX];
    uint8_t bytes[IFAB_CLOSED_TASK_PACKED];
    struct ifab_closed_task closed = {.number = task->number.n, .minted = task->minted, .state = task->state, .fence = task->fence, .creator = task->creator.talent, .created_index = task->created_index, .index = index,
                                      .closed = o->now.wall};
    closed.owner = owner.n != 0 ? owner : task->queue; /* nobody had it: who might have */
    ifab_task_id16(ifab_view_str(task->id), closed.id16);
    size_t count = ifab_task_dependents(self->coordinator, task->number, waiting, IFAB_TASK_DEPENDENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct ifab_task t;
        size_t left = 0;
        if (!ifab_fabric__task(self, o, waiting[i], &t))
            continue;
        for (size_t d = 0; d < t.depends_count; d++)
            if (t.depends_on[d] != task->number.n)
                t.depends_on[left++] = t.depends_on[d];
        t.depends_count = (uint8_t)left;
        if (task->state == IFAB_TASK_CANCELLED && t.state == IFAB_TASK_QUEUED)
            happens(self, o, &t, IFAB_TASK_ORPHAN, "a task that it waits for was cancelled");
        else
            ifab_fabric__put_task(o, &t);
    }
    if (task->parent != 0 && task->state == IFAB_TASK_DONE)
        ifab_fabric__helped(self, o, task);
    ifab_fabric__change(o, IFAB_KIND_TASK, task->number.n, NULL, 0);
    ifab_fabric__change(o, IFAB_KIND_TASK_CLOSED, task->number.n, bytes, ifab_closed_task_pack(&closed, bytes));
}

/* Ending one that is helped ends its helpers and theirs, and when one dies who helps another is looked for: so many of those in one step, the others in
 * the next. */
#define HELPED_IN_STEP 2
static bool too_many(const struct ifab_task *task, size_t *helped)
{
    bool dies = task->parent != 0 && task->attempt >= task->max_attempts;
    return (task->helpers[0] + task->helpers[1] != 0 || dies) && ++*helped > HELPED_IN_STEP;
}

/* By the clock of leases: a lease that ran out, or the wait after a failure. */
static void end_leases(const struct ifab_fabric *self, struct ifab_outcome *o, size_t *helped)
{
    uint64_t numbers[IFAB_FABRIC_DUE_TASKS];
    size_t count = ifab_tasks_expired(self->coordinator, o->now.run, numbers, IFAB_FABRIC_DUE_TASKS);
    for (size_t i = 0; i < count && !o->failed; i++) {
        struct ifab_task t;
        if (!ifab_fabric__task(self, o, numbers[i], &t))
            continue; /* it has ended with what it helped */
        if (t.deadline <= o->now.wall || too_many(&t, helped))
            continue; /* named below as well; or at the next tick */
        if (ifab_task_owned(t.state) && t.lease_until <= o->now.run) {
            happens(self, o, &t, IFAB_TASK_EXPIRE, "its lease ran out");
            continue;
        }
        if (t.retry_at == 0 || t.retry_at > o->now.run)
            continue; /* changed in this very step */
        t.retry_at = 0;
        ifab_fabric__put_task(o, &t);
    }
}

/* By the wall clock: what a person wrote. */
static void end_waits(const struct ifab_fabric *self, struct ifab_outcome *o, size_t *helped)
{
    uint64_t numbers[IFAB_FABRIC_DUE_TASKS];
    size_t count = ifab_tasks_timed(self->coordinator, o->now.wall, numbers, IFAB_FABRIC_DUE_TASKS);
    for (size_t i = 0; i < count && !o->failed; i++) {
        struct ifab_task t;
        if (!ifab_fabric__task(self, o, numbers[i], &t) || t.state == IFAB_TASK_DEAD)
            continue;
        if (t.deadline <= o->now.wall) {
            if (too_many(&t, helped))
                continue;
            happens(self, o, &t, IFAB_TASK_LATE, "its deadline passed");
            continue;
        }
        if (t.early && t.not_before <= o->now.wall) {
            t.early = false;
            ifab_fabric__put_task(o, &t);
        }
    }
}

/*
 * Tasks that wait for themselves through others: one of each circle gives way, and with it the help that it had. Circles that have a task in common give
 * up one together, and so many do at all in a step: until nothing is found it is looked again at the next tick.
 */
static void break_circles(const struct ifab_fabric *self, struct ifab_outcome *o, size_t *helped)
{
    struct ifab_task_number victims[HELPED_IN_STEP];
    struct ifab_task t;
    size_t count;
    o->no_circles = ifab_tasks_in_circles(self->coordinator, o->arena, victims, IFAB_COUNT(victims), &count) && count == 0;
    for (size_t i = 0; i < count; i++)
        if (ifab_fabric__task(self, o, victims[i].n, &t) && t.state == IFAB_TASK_BLOCKED && !too_many(&t, helped))
            happens(self, o, &t, IFAB_TASK_YIELD, "it waits for itself through others");
}

void ifab_fabric__end_tasks(const struct ifab_fabric *self, struct ifab_outcome *o)
{
    uint64_t numbers[IFAB_FABRIC_DUE_TASKS];
    size_t helped = 0;
    end_leases(self, o, &helped);
    end_waits(self, o, &helped);
    if (self->waits)
        break_circles(self, o, &helped);
    ifab_fabric__look_again(self, o);
    size_t count = ifab_closed_tasks_dead(self->coordinator, o->now.wall, numbers, IFAB_FABRIC_DUE_TASKS);
    for (size_t i = 0; i < count; i++)
        ifab_fabric__change(o, IFAB_KIND_TASK_CLOSED, numbers[i], NULL, 0);
}

/* Its worker may have gone on meanwhile, and there was nobody whom it could have asked: each lease gets its own length again, up to a bound. */
static void resume_leases(struct ifab_fabric *self, struct ifab_now now)
{
    const struct ifab_task *at = ifab_task_after(self->coordinator, (struct ifab_task_number){0});
    for (; at != NULL; at = ifab_task_after(self->coordinator, at->number)) {
        ifab_usec until = now.run + (at->lease < IFAB_TASK_LEASE_AT_START ? at->lease : IFAB_TASK_LEASE_AT_START);
        if (!ifab_task_owned(at->state) || at->lease_until >= until)
            continue;
        struct ifab_task task = *at;
        task.lease_until = until;
        ifab_task_put(self->coordinator, &task);
    }
}

void ifab_fabric_resume(struct ifab_fabric *self, struct ifab_now now, bool started)
{
    const struct ifab_swarm *swarm = ifab_swarm_after(self->coordinator, (struct ifab_swarm_number){0});
    for (; swarm != NULL; swarm = ifab_swarm_after(self->coordinator, swarm->number))
        ifab_swarm_hear(self->coordinator, swarm->number, now.run);
    if (started)
        resume_leases(self, now);
}

ifab_usec ifab_fabric__tasks_due(const struct ifab_fabric *self, struct ifab_now now)
{
    ifab_usec due = ifab_tasks_due_run(self->coordinator), wall = ifab_tasks_due_wall(self->coordinator), closed = ifab_closed_tasks_due(self->coordinator);
    if (closed < wall)
        wall = closed;
    if (self->waits)
        return self->ticked; /* within a moment: who is blocked waits for it */
    ifab_usec again = ifab_fabric__look_again_due(self);
    due = due < again ? due : again;
    if (wall != IFAB_NEVER) {
        ifab_usec ends = wall > now.wall ? now.run + (wall - now.wall) : self->ticked;
        due = due < ends ? due : ends;
    }
    return due;
}
