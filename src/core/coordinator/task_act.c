/*
 * What is done to a task. See coordinator.h; INV-11.
 *
 *              claim                    progress
 *   queued ------------> claimed -----------------------> running --+ complete --> done
 *     ^  ^                  |  |                            |  ^  |
 *     |  +-- give back -----+  +-- block --> blocked <------+  |  +-- poison, last attempt, deadline --> dead
 *     |                                        |  unblock      |                                          |
 *     +-- fail, shutdown, lease expired <------+---------------+            replay --> queued <------------+
 *
 * A holder is whoever shows the fence that counts; which swarms one may act for is the fabric's question.
 */
#include "coordinator/coordinator.h"

#include "base/encode.h"

#include <string.h>

static enum ifab_code impossible(const struct ifab_task *task, struct ifab_refusal *refusal)
{
    return ifab_refuse(refusal, IFAB_CODE_INVALID_TRANSITION, NULL, "task %s is %s", task->id, ifab_task_state_name(task->state));
}

static enum ifab_code check_holder(const struct ifab_task *task, const struct ifab_task_act *act, struct ifab_refusal *refusal)
{
    if (ifab_task_owned(task->state) && act->fence.n == task->fence.n)
        return IFAB_CODE_NONE;
    if (act->fence.n == 0)
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "fence", "the fence that the claim gave");
    if (act->fence.n > task->fence.n)
        return ifab_refuse(refusal, IFAB_CODE_STALE_FENCE, "fence", "no claim of task %s has this fence", task->id);
    return ifab_refuse(refusal, IFAB_CODE_STALE_FENCE, "fence", "the claim with this fence has ended; task %s is %s", task->id,
                       ifab_task_state_name(task->state));
}

static void set_note(struct ifab_task *task, struct ifab_view note)
{
    size_t size = 0;
    for (const uint8_t *at = note.data, *end = note.data + note.size; at < end;) { /* whole characters only */
        uint32_t point;
        size_t one = ifab_utf8_decode(at, end, &point);
        if (one == 0 || point == 0 || size + one > sizeof task->note - 1)
            break;
        at += one;
        size += one;
    }
    memset(task->note, 0, sizeof task->note);
    if (size > 0)
        memcpy(task->note, note.data, size);
}

static enum ifab_code claim(const struct ifab_task *task, const struct ifab_task_act *act, struct ifab_task *next, struct ifab_refusal *refusal)
{
    ifab_usec lease = act->lease == 0 ? IFAB_TASK_LEASE_DEFAULT : act->lease;
    if (ifab_task_owned(task->state))
        return ifab_refuse(refusal, IFAB_CODE_TASK_OWNED, NULL, "task %s is %s by another", task->id, ifab_task_state_name(task->state));
    if (task->state != IFAB_TASK_QUEUED)
        return impossible(task, refusal);
    if (!ifab_task_ready(task))
        return ifab_refuse(refusal, IFAB_CODE_INVALID_TRANSITION, NULL, "task %s waits for %s", task->id,
                           task->depends_count > 0 ? "another task" : "its time");
    if (lease < IFAB_TASK_LEASE_MIN || lease > IFAB_TASK_LEASE_MAX)
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "lease_ms", "100 to 3600000");
    next->owner = act->swarm;
    next->worker = act->who;
    next->fence = act->next_fence;
    next->lease = lease;
    next->lease_until = act->now.run + lease;
    next->reservation = act->reservation;
    next->percent = 0;
    return IFAB_CODE_NONE;
}

/* Nobody holds it any more. */
static void let_go(struct ifab_task *next)
{
    next->owner.n = 0;
    next->worker = (struct ifab_task_principal){0, 0};
    next->lease = next->lease_until = 0;
    next->percent = 0;
    next->told = false;
    next->reservation = 0; /* settled or released by whoever asked */
}

static void to_queue(struct ifab_task *next, const struct ifab_task_act *act, bool again)
{
    let_go(next);
    next->queued_index = act->index;
    next->queued_run = act->now.run;
    next->retry_at = 0;
    if (again) {
        next->attempt++;
        next->retry_at = act->now.run + ifab_task_backoff(next->attempt);
    }
}

ifab_usec ifab_task_backoff(uint32_t attempt)
{
    static const uint8_t seconds[] = {1, 2, 5, 10, 30};
    size_t i = attempt < 2 ? 0 : attempt - 2;
    return seconds[i < sizeof seconds ? i : sizeof seconds - 1] * IFAB_SECOND;
}

bool ifab_task_same_claim(const struct ifab_task *task, struct ifab_task_principal who, struct ifab_swarm_number swarm)
{
    return ifab_task_owned(task->state) && task->owner.n == swarm.n && task->worker.talent == who.talent && task->worker.uid == who.uid;
}

static enum ifab_code held(const struct ifab_task_act *act, struct ifab_task *next, struct ifab_refusal *refusal)
{
    if (act->event == IFAB_TASK_RENEW) {
        ifab_usec lease = act->lease == 0 ? next->lease : act->lease;
        if (lease < IFAB_TASK_LEASE_MIN || lease > IFAB_TASK_LEASE_MAX)
            return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "lease_ms", "100 to 3600000");
        next->lease = lease;
        next->lease_until = act->now.run + lease;
    }
    if (act->event == IFAB_TASK_PROGRESS && act->percent >= 0) {
        if (act->percent > 100)
            return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "percent", "0 to 100");
        next->percent = (uint8_t)act->percent;
    }
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_task_act(const struct ifab_task *task, const struct ifab_task_act *act, struct ifab_task *ret_next, struct ifab_refusal *ret_refusal)
{
    enum ifab_task_event event = act->event;
    enum ifab_code code = ifab_task_by_holder(event) ? check_holder(task, act, ret_refusal) : IFAB_CODE_NONE;
    if (code != IFAB_CODE_NONE)
        return code;
    if (event == IFAB_TASK_GIVE_BACK && task->told)
        return impossible(task, ret_refusal); /* its holder knows of it by now */
    bool last = task->attempt >= task->max_attempts;
    if ((event == IFAB_TASK_FAIL || event == IFAB_TASK_EXPIRE) && last)
        event = IFAB_TASK_EXHAUST;
    struct ifab_task next = *task;
    if (event == IFAB_TASK_CLAIM) {
        code = claim(task, act, &next, ret_refusal);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    next.state = ifab_task_next(task->state, event);
    if (next.state == IFAB_TASK_NONE)
        return impossible(task, ret_refusal);
    code = held(act, &next, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (next.state == IFAB_TASK_QUEUED)
        to_queue(&next, act, event == IFAB_TASK_FAIL || event == IFAB_TASK_EXPIRE);
    else if (!ifab_task_owned(next.state))
        let_go(&next);
    if (event == IFAB_TASK_GIVE_BACK) { /* as if it had not been: its place in the queue, too */
        next.queued_index = task->queued_index;
        next.queued_run = task->queued_run;
    }
    if (next.state != IFAB_TASK_BLOCKED) {
        memset(next.helpers, 0, sizeof next.helpers); /* ended by whoever asked */
        (void)ifab_task_set_wants(&next, NULL);
    }
    if (event == IFAB_TASK_REPLAY)
        next.attempt = 1;
    if (next.state != IFAB_TASK_QUEUED) {
        next.early = false;
        next.retry_at = 0;
    }
    if (act->note.size > 0)
        set_note(&next, act->note);
    *ret_next = next;
    return IFAB_CODE_NONE;
}
