/*
 * Tasks: made, claimed, worked on, ended. Every change is an entry and a record in one commit; a claim's fence is the index of its entry plus the
 * incarnation's offset (INV-11). Who may: a talent acts for swarms that name it as a member, an operator of the socket for any; its maker or an
 * operator cancels a task and gives a dead one another life.
 */
#include "fabric_internal.h"

#include "base/id.h"

#include <stdio.h>
#include <string.h>

#define ATTEMPTS 3

static struct ifab_task_principal who_is(const struct ifab_command *command)
{
    const struct ifab_principal *p = command->principal;
    if (p->kind == IFAB_PRINCIPAL_TALENT)
        return (struct ifab_task_principal){.talent = p->talent};
    return (struct ifab_task_principal){.uid = p->uid};
}

void ifab_fabric__put_task(struct ifab_outcome *o, const struct ifab_task *task)
{
    uint8_t bytes[IFAB_TASK_PACKED_MAX];
    ifab_fabric__change(o, IFAB_KIND_TASK, task->number.n, bytes, ifab_task_pack(task, bytes));
}

bool ifab_fabric__task(const struct ifab_fabric *self, const struct ifab_outcome *o, uint64_t number, struct ifab_task *ret_task)
{
    const struct ifab_task *task = ifab_task_at(self->coordinator, (struct ifab_task_number){number});
    struct ifab_view bytes;
    if (ifab_fabric__changed(o, IFAB_KIND_TASK, number, &bytes))
        return bytes.size > 0 && ifab_task_unpack(bytes, number, ret_task);
    if (task != NULL)
        *ret_task = *task;
    return task != NULL;
}

ifab_status ifab_fabric__load_task(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes)
{
    struct ifab_task task;
    struct ifab_closed_task closed;
    if (kind == IFAB_KIND_TASK_CLOSED) {
        if (bytes.size == 0)
            ifab_closed_task_remove(self->coordinator, number);
        else if (!ifab_closed_task_unpack(bytes, number, &closed))
            return IFAB_CORRUPT;
        else
            ifab_closed_task_put(self->coordinator, &closed);
        return IFAB_OK;
    }
    if (bytes.size == 0) {
        ifab_task_remove(self->coordinator, (struct ifab_task_number){number});
        return IFAB_OK;
    }
    if (!ifab_task_unpack(bytes, number, &task) || (task.owner.n != 0 && ifab_swarm_at(self->coordinator, task.owner) == NULL) ||
        (task.queue.n != 0 && ifab_swarm_at(self->coordinator, task.queue) == NULL))
        return IFAB_CORRUPT;
    ifab_task_put(self->coordinator, &task);
    self->waits = self->waits || task.state == IFAB_TASK_BLOCKED;
    return IFAB_OK;
}

/* ---- entries ---- */

/* o->payload holds the object; why empty: inherited from the task's making (INV-13). */
bool ifab_fabric__task_entry(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, const struct ifab_task *task,
                             struct ifab_view actor, struct ifab_view why, struct ifab_view message, struct ifab_outcome_entry **ret_entry)
{
    struct ifab_entry fields = {
        .event = event,
        .actor = actor,
        .why = why,
        .has_why_from = why.size == 0,
        .why_from = task->created_index,
        .subject = ifab_view_str(task->id),
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, task->trace16, 16);
    return ifab_fabric__entry(self, o, &fields, message, ret_entry);
}

static void put_bytes(struct ifab_buf *p, const char *name, struct ifab_view bytes)
{
    uint8_t digest32[32];
    if (bytes.size == 0)
        return;
    ifab_sha256(bytes, digest32);
    ifab_buf_format(p, ",\"%s\":{\"digest\":", name);
    ifab_fabric__put_digest(p, digest32);
    ifab_buf_format(p, ",\"size\":%zu}", bytes.size);
}

/* ,"entry":{"hash","index","log"} */
static void put_entry(const struct ifab_fabric *self, struct ifab_buf *b, const struct ifab_outcome_entry *entry)
{
    ifab_buf_str(b, ",\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_char(b, '}');
}

/* The task, and the entry of what was done to it. */
static void reply_task(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_outcome_entry *entry, const struct ifab_task *task,
                       int http)
{
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_fabric__task_json(self, o, task, o->now, b);
    b->size -= b->size > 0; /* its last brace */
    put_entry(self, b, entry);
    ifab_buf_view(b, o->passed);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, http);
}

static void refused(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, enum ifab_code code, struct ifab_view subject)
{
    ifab_fabric__refuse_as(self, command, o, IFAB_EVENT_TASK_REFUSED, code,
                           command->principal != NULL && command->principal->kind == IFAB_PRINCIPAL_TALENT ? command->principal->talent : 0, subject);
}

/* ---- create ---- */

static enum ifab_code take_depends(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_task *t, struct ifab_refusal *r)
{
    uint64_t waiting[IFAB_TASK_DEPENDENTS_MAX];
    if (command->u.task.depends_count > IFAB_TASK_DEPENDS_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "depends_on", "at most %d tasks", IFAB_TASK_DEPENDS_MAX);
    for (size_t i = 0; i < command->u.task.depends_count; i++) {
        struct ifab_view id = command->u.task.depends_on[i];
        const struct ifab_task *on = ifab_task_find(self->coordinator, id);
        const struct ifab_closed_task *closed = on != NULL ? NULL : ifab_closed_task_find(self->coordinator, id);
        if (closed != NULL && closed->state == IFAB_TASK_DONE)
            continue; /* it need not be waited for */
        if (on == NULL)
            return ifab_refuse(r, IFAB_CODE_TASK_NOT_FOUND, "depends_on", closed != NULL ? "task " IFAB_FMT " was cancelled" : "no task " IFAB_FMT, IFAB_ARG(id));
        if (ifab_task_dependents(self->coordinator, on->number, waiting, IFAB_TASK_DEPENDENTS_MAX) == IFAB_TASK_DEPENDENTS_MAX)
            return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, "depends_on", "%d tasks wait for %s already", IFAB_TASK_DEPENDENTS_MAX, on->id);
        size_t at = t->depends_count;
        while (at > 0 && t->depends_on[at - 1] > on->number.n)
            at--;
        if (at > 0 && t->depends_on[at - 1] == on->number.n)
            continue;
        memmove(t->depends_on + at + 1, t->depends_on + at, (t->depends_count - at) * sizeof t->depends_on[0]);
        t->depends_on[at] = on->number.n;
        t->depends_count++;
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code take_names(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_task *t, struct ifab_refusal *r)
{
    struct ifab_view id = command->u.task.id;
    struct ifab_names needs;
    if (id.size == 0) {
        char uuid[37];
        ifab_uuid_format(command->mint16, uuid);
        snprintf(t->id, sizeof t->id, "task-%s", uuid);
        t->minted = true;
    } else if (!ifab_name_valid(id)) {
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "id", "a name: letters, digits and . _ -, at most 64");
    } else {
        memcpy(t->id, id.data, id.size);
    }
    if (ifab_task_find(self->coordinator, ifab_view_str(t->id)) != NULL || ifab_closed_task_find(self->coordinator, ifab_view_str(t->id)) != NULL)
        return ifab_refuse(r, IFAB_CODE_CONFLICT, "id", "there is, or was within 30 days, a task %s", t->id);
    if (!ifab_name_valid(command->u.task.type))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "type", "a name: letters, digits and . _ -, at most 64");
    memcpy(t->type, command->u.task.type.data, command->u.task.type.size);
    if (!ifab_names_pack(command->u.task.needs, command->u.task.need_count, t->needs, IFAB_TASK_NEEDS_SIZE, &needs) || needs.count > IFAB_TASK_NEEDS_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "needs", "at most %d skills of letters, digits and . _ : -, %d bytes together", IFAB_TASK_NEEDS_MAX,
                           IFAB_TASK_NEEDS_SIZE);
    t->needs_size = needs.size;
    if (command->u.task.swarm.size == 0)
        return IFAB_CODE_NONE;
    const struct ifab_swarm *swarm = ifab_swarm_find(self->coordinator, command->u.task.swarm);
    if (swarm == NULL)
        return ifab_refuse(r, IFAB_CODE_NOT_FOUND, "swarm", "no swarm " IFAB_FMT, IFAB_ARG(command->u.task.swarm));
    t->queue = swarm->number;
    if (!ifab_names_cover(&swarm->skills, &needs))
        return ifab_refuse(r, IFAB_CODE_NO_QUALIFIED_SWARM, "needs", "the swarm " IFAB_FMT " has less than 70 %% of the skills that this needs",
                           IFAB_ARG(swarm->id));
    return IFAB_CODE_NONE;
}

static enum ifab_code new_task(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_outcome *o, struct ifab_task *t,
                               struct ifab_refusal *r)
{
    *t = (struct ifab_task){.number = {o->next_number}, .state = IFAB_TASK_QUEUED, .creator = who_is(command), .attempt = 1};
    enum ifab_code code = take_names(self, command, t, r);
    if (code == IFAB_CODE_NONE)
        code = take_depends(self, command, t, r);
    if (code != IFAB_CODE_NONE)
        return code;
    if (command->u.task.priority >= IFAB_PRIORITIES)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "priority", "P0, P1, P2 or P3");
    if (command->u.task.max_attempts > IFAB_TASK_ATTEMPTS_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "max_attempts", "1 to %d", IFAB_TASK_ATTEMPTS_MAX);
    if (command->u.task.payload.size > IFAB_TASK_PAYLOAD_MAX)
        return ifab_refuse(r, IFAB_CODE_TOO_LARGE, "payload", "at most 64 KiB");
    if (command->u.task.deadline <= o->now.wall)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "deadline", "it has passed already");
    t->priority = command->u.task.priority;
    t->max_attempts = command->u.task.max_attempts == 0 ? ATTEMPTS : command->u.task.max_attempts;
    t->deadline = command->u.task.deadline;
    t->not_before = command->u.task.not_before;
    t->early = t->not_before > o->now.wall;
    t->created = o->now.wall;
    t->created_index = t->queued_index = o->next_index;
    t->queued_run = o->now.run;
    memcpy(t->budget, command->u.task.budget, sizeof t->budget);
    memcpy(t->trace16, o->reply.trace16, 16);
    t->payload_size = (uint32_t)command->u.task.payload.size;
    if (t->payload_size > 0)
        ifab_sha256(command->u.task.payload, t->payload32);
    return IFAB_CODE_NONE;
}

/* What the queue of a swarm that sheds gives up for this one. */
static void shed(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_task_number number, const struct ifab_task *for_task)
{
    const struct ifab_task *least = ifab_task_at(self->coordinator, number);
    struct ifab_task next;
    struct ifab_task_act act = {.event = IFAB_TASK_SHED, .now = o->now, .index = o->next_index, .percent = -1, .note = IFAB_VIEW("its queue was full")};
    if (least == NULL || ifab_task_act(least, &act, &next, NULL) != IFAB_CODE_NONE)
        return;
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"cause\":\"shed\",\"for\":");
    ifab_json_put_cstr(&o->payload, for_task->id);
    ifab_buf_char(&o->payload, '}');
    if (ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_DEAD, &next, ifab_view_str(self->settings.fabric_actor), IFAB_VIEW(""), IFAB_VIEW(""), NULL))
        ifab_fabric__put_task(o, &next);
    if (least->reservation != 0) /* a helper's: it was held when it was asked */
        ifab_fabric__task_over(self, o, least, act.event, ifab_view_str(self->settings.fabric_actor), NULL);
    if (least->parent != 0)
        ifab_fabric__help_failed(self, o, least);
}

static void create_payload(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_command *command, const struct ifab_task *t)
{
    ifab_buf_clear(&o->scratch);
    ifab_fabric_task_json(self, t, o->now, &o->scratch);
    struct ifab_view task = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(&o->payload);
    ifab_buf_char(&o->payload, '{');
    if (command->u.task.payload.size > 0)
        ifab_buf_format(&o->payload, "\"payload_size\":%zu,", command->u.task.payload.size);
    ifab_buf_str(&o->payload, "\"task\":");
    ifab_buf_view(&o->payload, task);
    ifab_buf_char(&o->payload, '}');
}

bool ifab_fabric__stranger(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_swarm_number queue)
{
    const struct ifab_swarm *swarm = ifab_swarm_at(self->coordinator, queue);
    return swarm != NULL && !ifab_fabric__operates(command->principal) && ifab_fabric__may_act_for(self, command, swarm, NULL) != IFAB_CODE_NONE;
}

/* Given another life it stands in its queue again: by the same bounds as when it was made, and nothing gives way for it. */
static enum ifab_code readmit(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_task *task, struct ifab_refusal *r)
{
    struct ifab_task_number none = {0};
    enum ifab_code code = ifab_task_readmit(self->coordinator, task, r);
    return code == IFAB_CODE_NONE && ifab_fabric__stranger(self, command, task->queue) ? ifab_task_stranger(self->coordinator, task, &none, r) : code;
}

static enum ifab_code create(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool *ret_repeated)
{
    struct ifab_refusal *r = &o->reply.refusal;
    struct ifab_task t;
    struct ifab_task_number given_up;
    enum ifab_code code = ifab_fabric__may_act(command, r);
    *ret_repeated = ifab_fabric__idempotent(self, command, code, o);
    if (*ret_repeated || code != IFAB_CODE_NONE)
        return code;
    code = new_task(self, command, o, &t, r);
    if (code == IFAB_CODE_NONE && command->why.size == 0)
        code = ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "why", "say why");
    if (code == IFAB_CODE_NONE)
        code = ifab_task_admit(self->coordinator, &t, &given_up, r);
    if (code == IFAB_CODE_NONE && ifab_fabric__stranger(self, command, t.queue))
        code = ifab_task_stranger(self->coordinator, &t, &given_up, r);
    if (code == IFAB_CODE_QUEUE_FULL && command->u.task.waits && ifab_swarm_at(self->coordinator, t.queue)->queue_policy == IFAB_QUEUE_BLOCK) {
        o->reply.code = IFAB_CODE_NONE;
        o->reply.waits = t.queue;
        return IFAB_CODE_NONE;
    }
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_outcome_entry *entry;
    o->next_number++;
    create_payload(self, o, command, &t);
    if (!ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_CREATE, &t, ifab_view_str(command->principal->actor), command->why, command->u.task.payload, &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    struct ifab_outcome_entry made = *entry; /* another entry may move the list */
    ifab_fabric__put_task(o, &t);
    if (given_up.n != 0)
        shed(self, o, given_up, &t);
    reply_task(self, o, &made, &t, 201);
    ifab_fabric__keep_reply(self, command, o);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_task_create(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated;
    enum ifab_code code = create(self, command, o, &repeated);
    if (!repeated && code != IFAB_CODE_NONE)
        refused(self, command, o, code, command->u.task.id);
}

/* ---- claim ---- */

/* {"fence","lease_until","entry"?,"task"}: the task last, so that its payload can join it. entry NULL: the same claim as before. */
static void reply_claim(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *t, const struct ifab_outcome_entry *entry)
{
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_buf_format(b, "{\"fence\":%llu,\"lease_until\":\"", (unsigned long long)t->fence.n);
    ifab_buf_time(b, o->now.wall + (t->lease_until - o->now.run));
    ifab_buf_char(b, '"');
    if (entry != NULL)
        put_entry(self, b, entry);
    ifab_buf_str(b, ",\"task\":");
    ifab_fabric_task_json(self, t, o->now, b);
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, 200);
    o->reply.fence = t->fence;
    o->reply.task = t->number;
    o->reply.with_payload = t->payload_size > 0;
    o->reply.payload_index = t->created_index;
}

static enum ifab_code claim_task(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_task *task,
                                 const struct ifab_swarm *swarm, bool stolen)
{
    struct ifab_task next;
    struct ifab_outcome_entry *entry;
    uint64_t reservation = 0;
    enum ifab_code code = ifab_task_ready(task) ? ifab_fabric__task_hold(self, o, task, swarm, who_is(command), ifab_view_str(command->principal->actor), &reservation)
                                                : IFAB_CODE_NONE;
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_task_act act = {
        .event = IFAB_TASK_CLAIM,
        .who = who_is(command),
        .swarm = swarm->number,
        .next_fence = {o->next_index + self->fence_offset}, /* never 0: entry 0 is the fabric's own */
        .reservation = reservation,
        .lease = command->u.claim.lease,
        .percent = -1,
        .index = o->next_index,
        .now = o->now,
    };
    code = ifab_task_act(task, &act, &next, &o->reply.refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"attempt\":%u,\"fence\":%llu,\"lease_ms\":%lld,", next.attempt, (unsigned long long)next.fence.n,
                    (long long)(next.lease / 1000));
    ifab_buf_str(&o->payload, stolen ? "\"stolen\":true,\"swarm\":" : "\"swarm\":");
    ifab_json_put_string(&o->payload, swarm->id);
    ifab_buf_char(&o->payload, '}');
    if (!ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_CLAIM, &next, ifab_view_str(command->principal->actor), IFAB_VIEW(""), IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_fabric__put_task(o, &next);
    ifab_fabric__lack_over(self, o, who_is(command), swarm->number);
    reply_claim(self, o, &next, entry);
    return IFAB_CODE_NONE;
}

/* The skills that were named, or all of the swarm's: nobody claims with what its swarm cannot do. */
static enum ifab_code take_skills(const struct ifab_command *command, const struct ifab_swarm *swarm, char *room, size_t size, struct ifab_names *ret_skills,
                                  struct ifab_refusal *r)
{
    *ret_skills = swarm->skills;
    if (command->u.claim.skill_count == 0)
        return IFAB_CODE_NONE;
    if (!ifab_names_pack(command->u.claim.skills, command->u.claim.skill_count, room, size, ret_skills))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "skills", "at most %d skills of letters, digits and . _ : -", IFAB_SWARM_SKILLS_MAX);
    if (ifab_names_common(ret_skills, &swarm->skills) != ret_skills->count)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "skills", "the swarm " IFAB_FMT " is not registered with all of these", IFAB_ARG(swarm->id));
    return IFAB_CODE_NONE;
}

static enum ifab_code claim_one(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_swarm *swarm)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_task *task = ifab_task_find(self->coordinator, command->u.claim.id);
    if (task == NULL && ifab_closed_task_find(self->coordinator, command->u.claim.id) != NULL)
        return ifab_refuse(r, IFAB_CODE_INVALID_TRANSITION, NULL, "this task is closed");
    if (task == NULL)
        return ifab_refuse(r, IFAB_CODE_TASK_NOT_FOUND, "id", "no task with this id");
    if (ifab_task_same_claim(task, who_is(command), swarm->number)) {
        struct ifab_task told = *task;
        told.told = true;
        if (!task->told)
            ifab_fabric__put_task(o, &told);
        reply_claim(self, o, task, NULL);
        o->reply.fence.n = 0; /* not of this request: not given back with it */
        return IFAB_CODE_NONE;
    }
    if (task->queue.n != 0 && task->queue.n != swarm->number.n)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "swarm", "this task is for another swarm");
    if (!ifab_task_fits(self->coordinator, task, swarm->number, &swarm->skills))
        return ifab_refuse(r, IFAB_CODE_NO_QUALIFIED_SWARM, "swarm", "the swarm " IFAB_FMT " has less than 70 %% of the skills that this needs",
                           IFAB_ARG(swarm->id));
    if (!ifab_task_owned(task->state) && ifab_swarm_in_flight(self->coordinator, swarm->number) >= swarm->concurrency)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, "swarm", "the swarm " IFAB_FMT " works on %u tasks, which is its limit", IFAB_ARG(swarm->id),
                           swarm->concurrency);
    return claim_task(self, command, o, task, swarm, false);
}

/* The next one that it can pay for: what costs more than is left in its budgets is for others, or waits; what is cheaper does not wait for it. */
static enum ifab_code claim_next(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct ifab_swarm *swarm,
                                 const struct ifab_names *skills)
{
    uint8_t course[IFAB_COURSE_PACKED];
    struct ifab_task_passed passed = {.count = 0};
    struct ifab_refusal first = {.code = IFAB_CODE_NONE};
    struct ifab_lack lacked = {.of = 0}; /* with it */
    const struct ifab_task *task = NULL;
    bool stolen, full = ifab_swarm_in_flight(self->coordinator, swarm->number) >= swarm->concurrency;
    while (!full && (task = ifab_task_pick(self->coordinator, swarm->number, skills, o->now.run, &passed, &stolen, course)) != NULL) {
        enum ifab_code code = claim_task(self, command, o, task, swarm, stolen);
        if (code == IFAB_CODE_NONE)
            ifab_fabric__change(o, IFAB_KIND_COURSE, 0, course, sizeof course);
        if (code != IFAB_CODE_BUDGET_EXCEEDED)
            return code;
        if (first.code == IFAB_CODE_NONE) {
            first = o->reply.refusal;
            lacked = o->lacks;
        }
        if (!ifab_task_pass(self->coordinator, task->number, ifab_fabric__trace_has_purse(self, task), &passed))
            break;
    }
    if (first.code != IFAB_CODE_NONE) {
        o->reply.refusal = first;
        o->lacks = lacked;
        return IFAB_CODE_BUDGET_EXCEEDED;
    }
    o->reply.code = IFAB_CODE_NONE; /* nothing now: a long poll waits on */
    o->reply.http = 204;
    return IFAB_CODE_NONE;
}

static enum ifab_code claim(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_refusal *r = &o->reply.refusal;
    char room[IFAB_SWARM_SKILLS_MAX * (IFAB_SKILL_MAX + 1)];
    struct ifab_names skills;
    enum ifab_code code = ifab_fabric__may_act(command, r);
    if (code != IFAB_CODE_NONE)
        return code;
    const struct ifab_swarm *swarm = ifab_swarm_find(self->coordinator, command->u.claim.swarm);
    if (swarm == NULL)
        return ifab_refuse(r, IFAB_CODE_NOT_FOUND, "swarm", "no swarm " IFAB_FMT, IFAB_ARG(command->u.claim.swarm));
    code = ifab_fabric__may_act_for(self, command, swarm, r);
    if (code == IFAB_CODE_NONE && command->u.claim.id.size > 0)
        return claim_one(self, command, o, swarm);
    if (code == IFAB_CODE_NONE)
        code = take_skills(command, swarm, room, sizeof room, &skills, r);
    return code != IFAB_CODE_NONE ? code : claim_next(self, command, o, swarm, &skills);
}

static bool stopped(enum ifab_code code) { return code == IFAB_CODE_BUDGET_EXCEEDED || code == IFAB_CODE_CIRCUIT_BREAKER_OPEN; }

void ifab_fabric__decide_task_claim(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_swarm *swarm = ifab_swarm_find(self->coordinator, command->u.claim.swarm);
    enum ifab_code code = claim(self, command, o);
    if (code == IFAB_CODE_NONE) { /* also who found nothing is there */
        ifab_fabric__hear(self, o, swarm->number);
    } else if (stopped(code) && ifab_fabric__lack_told(self, o)) { /* it waits for a person, or a period: said once, counted and answered each time */
        ifab_fabric__refuse_counted(self, o, code, who_is(command).talent);
    } else {
        refused(self, command, o, code, command->u.claim.id.size > 0 ? command->u.claim.id : command->u.claim.swarm);
        if (stopped(code) && o->entry_count > 0) /* not where it was only counted */
            ifab_fabric__lack_tell(self, o, o->next_index - 1);
    }
}

/* ---- what is done to it ---- */

static const struct {
    enum ifab_event entry;
    bool needs_why;
} acts[IFAB_TASK_EVENT_COUNT] = {
    [IFAB_TASK_GIVE_BACK] = {IFAB_EVENT_TASK_GIVE_BACK, false},
    [IFAB_TASK_RENEW] = {IFAB_EVENT_TASK_RENEW, false},
    [IFAB_TASK_PROGRESS] = {IFAB_EVENT_TASK_PROGRESS, false},
    [IFAB_TASK_COMPLETE] = {IFAB_EVENT_TASK_COMPLETE, false},
    [IFAB_TASK_FAIL] = {IFAB_EVENT_TASK_FAIL, false},
    [IFAB_TASK_SHUTDOWN] = {IFAB_EVENT_TASK_FAIL, false},
    [IFAB_TASK_POISON] = {IFAB_EVENT_TASK_DEAD, false},
    [IFAB_TASK_BLOCK] = {IFAB_EVENT_TASK_BLOCK, false},
    [IFAB_TASK_UNBLOCK] = {IFAB_EVENT_TASK_UNBLOCK, false},
    [IFAB_TASK_CANCEL] = {IFAB_EVENT_TASK_CANCEL, true},
    [IFAB_TASK_REPLAY] = {IFAB_EVENT_TASK_REPLAY, true},
};

static enum ifab_code no_such_task(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_refusal *r)
{
    const struct ifab_closed_task *closed = ifab_closed_task_find(self->coordinator, command->u.task_act.id);
    if (closed == NULL)
        return ifab_refuse(r, IFAB_CODE_TASK_NOT_FOUND, "id", "no open task with this id");
    if (ifab_task_by_holder(command->u.task_act.event) && command->u.task_act.fence.n != closed->fence.n)
        return ifab_refuse(r, IFAB_CODE_STALE_FENCE, "fence", "the claim with this fence has ended; the task is %s", ifab_task_state_name(closed->state));
    return ifab_refuse(r, IFAB_CODE_INVALID_TRANSITION, NULL, "this task is %s", ifab_task_state_name(closed->state));
}

/* Holders by their fence and swarm; its maker, and operators, else. */
static enum ifab_code may_touch(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_task *task, struct ifab_refusal *r)
{
    struct ifab_task_principal who = who_is(command);
    const struct ifab_swarm *owner = ifab_swarm_at(self->coordinator, task->owner);
    if (ifab_task_by_holder(command->u.task_act.event)) {
        if (owner != NULL && command->u.task_act.fence.n == task->fence.n)
            return ifab_fabric__may_act_for(self, command, owner, r);
        return IFAB_CODE_NONE; /* the core refuses the fence */
    }
    if (ifab_fabric__operates(command->principal) || (who.talent != 0 && who.talent == task->creator.talent))
        return IFAB_CODE_NONE;
    return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "this task was made by another; its maker or an operator may do this");
}

static void act_payload(struct ifab_outcome *o, const struct ifab_command *command, const struct ifab_task *before, const struct ifab_task *next)
{
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(p);
    ifab_buf_format(p, "{\"attempt\":%u", next->attempt);
    if (ifab_task_by_holder(command->u.task_act.event))
        ifab_buf_format(p, ",\"fence\":%llu", (unsigned long long)before->fence.n);
    if (command->u.task_act.event == IFAB_TASK_RENEW)
        ifab_buf_format(p, ",\"lease_ms\":%lld", (long long)(next->lease / 1000));
    if (command->u.task_act.event == IFAB_TASK_BLOCK) {
        ifab_buf_str(p, ",\"needs\":[");
        for (size_t i = 0; i < command->u.task_act.need_count; i++) {
            ifab_buf_str(p, i > 0 ? "," : "");
            ifab_json_put_string(p, command->u.task_act.needs[i]);
        }
        ifab_buf_char(p, ']');
    }
    if (command->u.task_act.note.size > 0) {
        ifab_buf_str(p, ",\"note\":");
        ifab_json_put_cstr(p, next->note);
    }
    if (command->u.task_act.event == IFAB_TASK_PROGRESS)
        ifab_buf_format(p, ",\"percent\":%u", next->percent);
    put_bytes(p, "result", command->u.task_act.result);
    ifab_buf_format(p, ",\"state\":\"%s\"}", ifab_task_state_name(next->state));
}

static enum ifab_code check_act(const struct ifab_command *command, struct ifab_refusal *r)
{
    for (size_t i = 0; i < command->u.task_act.need_count; i++)
        if (!ifab_skill_valid(command->u.task_act.needs[i]))
            return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "needs", "skills of letters, digits and . _ : -, at most %d each", IFAB_SKILL_MAX);
    if (command->u.task_act.event == IFAB_TASK_BLOCK && (command->u.task_act.need_count == 0 || command->u.task_act.need_count > IFAB_TASK_NEEDS_MAX))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "needs", "1 to %d skills that are missing", IFAB_TASK_NEEDS_MAX);
    if (command->u.task_act.result.size > IFAB_TASK_PAYLOAD_MAX)
        return ifab_refuse(r, IFAB_CODE_TOO_LARGE, "result", "at most 64 KiB");
    if (acts[command->u.task_act.event].needs_why && command->why.size == 0)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "why", "say why");
    return IFAB_CODE_NONE;
}

static enum ifab_code wants(const struct ifab_command *command, struct ifab_task *next, struct ifab_refusal *r)
{
    char room[IFAB_TASK_NEEDS_SIZE];
    struct ifab_names names;
    if (ifab_names_pack(command->u.task_act.needs, command->u.task_act.need_count, room, sizeof room, &names) && ifab_task_set_wants(next, &names))
        return IFAB_CODE_NONE;
    return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "needs", "at most %d bytes together, and with what the task needs %d", IFAB_TASK_NEEDS_SIZE,
                       IFAB_TASK_SKILLS_SIZE);
}

static enum ifab_code act(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool *ret_repeated)
{
    struct ifab_refusal *r = &o->reply.refusal;
    enum ifab_code code = ifab_fabric__may_act(command, r);
    *ret_repeated = ifab_fabric__idempotent(self, command, code, o);
    if (*ret_repeated || code != IFAB_CODE_NONE)
        return code;
    const struct ifab_task *task = ifab_task_find(self->coordinator, command->u.task_act.id);
    if (task == NULL)
        return no_such_task(self, command, r);
    code = may_touch(self, command, task, r);
    if (code == IFAB_CODE_NONE)
        code = check_act(command, r);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_task next;
    struct ifab_task_act what = {
        .event = command->u.task_act.event,
        .fence = command->u.task_act.fence,
        .who = who_is(command),
        .lease = command->u.task_act.lease,
        .percent = command->u.task_act.percent,
        .note = command->u.task_act.note,
        .index = o->next_index,
        .now = o->now,
    };
    struct ifab_fabric__bill spent = {.usd_micro = 0};
    code = ifab_task_act(task, &what, &next, r);
    if (code == IFAB_CODE_NONE && what.event == IFAB_TASK_BLOCK)
        code = wants(command, &next, r);
    if (code == IFAB_CODE_NONE && what.event == IFAB_TASK_REPLAY)
        code = readmit(self, command, &next, r);
    if (code == IFAB_CODE_NONE && command->u.task_act.has_cost)
        code = ifab_fabric__task_price(self, command, o, &spent);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_outcome_entry *entry;
    enum ifab_event event = next.state == IFAB_TASK_DEAD ? IFAB_EVENT_TASK_DEAD : acts[what.event].entry;
    act_payload(o, command, task, &next);
    if (!ifab_fabric__task_entry(self, o, event, &next, ifab_view_str(command->principal->actor), command->why, command->u.task_act.result, &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    struct ifab_outcome_entry done = *entry;
    if (what.event == IFAB_TASK_BLOCK)
        ifab_fabric__rescue(self, command, o, &next);
    else if (next.state != IFAB_TASK_BLOCKED)
        ifab_fabric__end_help(self, o, task);
    if (ifab_task_open(next.state))
        ifab_fabric__put_task(o, &next);
    else
        ifab_fabric__close_task(self, o, &next, task->owner, done.index);
    if ((ifab_task_owned(task->state) && !ifab_task_owned(next.state)) || task->reservation != next.reservation)
        ifab_fabric__task_over(self, o, task, what.event, ifab_view_str(command->principal->actor), command->u.task_act.has_cost ? &spent : NULL);
    if (task->parent != 0 && (next.state == IFAB_TASK_DEAD || next.state == IFAB_TASK_CANCELLED))
        ifab_fabric__help_failed(self, o, task);
    if (ifab_task_by_holder(what.event) && what.event != IFAB_TASK_GIVE_BACK)
        ifab_fabric__hear(self, o, task->owner);
    reply_task(self, o, &done, &next, 200);
    ifab_fabric__keep_reply(self, command, o);
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_task_act(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    bool repeated;
    enum ifab_code code = act(self, command, o, &repeated);
    if (!repeated && code != IFAB_CODE_NONE)
        refused(self, command, o, code, command->u.task_act.id);
}
