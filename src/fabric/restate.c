/*
 * After a restore: what the old fabric had is stated anew, so that the new log covers it. Swarms and open tasks each stand in an entry; ids of closed
 * tasks are only remembered. Whoever held a task holds it no more: its fence is an old one, and new ones are beyond all of the old fabric's (INV-11).
 */
#include "fabric_internal.h"

#include <string.h>

static void restate_swarm(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_swarm *swarm, const struct ifab_swarm_help *help)
{
    bool helped = help != NULL && ifab_swarm_help_any(help);
    ifab_buf_clear(&o->payload);
    ifab_buf_char(&o->payload, '{');
    if (helped) /* no entry of this log says so */
        ifab_buf_format(&o->payload, "\"help\":{\"asked\":%llu,\"completed\":%llu,\"cost_usd_micro\":%llu,\"wasted_usd_micro\":%llu},",
                        (unsigned long long)help->asked, (unsigned long long)help->completed, (unsigned long long)help->cost,
                        (unsigned long long)help->wasted);
    ifab_buf_str(&o->payload, "\"record\":");
    ifab_buf_view(&o->payload, swarm->record);
    ifab_buf_char(&o->payload, '}');
    struct ifab_entry fields = {
        .event = IFAB_EVENT_SWARM_REGISTER,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .has_why_from = true,
        .why_from = 0,
        .subject = swarm->id,
        .payload = ifab_buf_as_view(&o->payload),
    };
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL))
        return;
    ifab_fabric__change(o, IFAB_KIND_SWARM, swarm->number.n, swarm->record.data, swarm->record.size);
    if (helped)
        ifab_fabric__count_help(self, o, swarm->number, help);
}

/* Whoever held the task holds it no more, and who claims it holds its cost anew: what was held for it is free. */
static void let_go_of_cost(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *old)
{
    const struct ifab_fabric__bill bill = {
        .operation = ifab_view_str(old->type),
        .actor = ifab_view_str(self->settings.fabric_actor),
        .why_from = 0,
        .subject = ifab_view_str(old->id),
    };
    uint8_t before16[16];
    if (old->reservation == 0)
        return;
    memcpy(before16, o->reply.trace16, 16);
    memcpy(o->reply.trace16, old->trace16, 16);
    ifab_fabric__release_for(self, o, old->reservation, &bill);
    memcpy(o->reply.trace16, before16, 16);
}

static void restate_task(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *old, struct ifab_view payload)
{
    struct ifab_task t = *old, let_go;
    struct ifab_task_act act = {.event = IFAB_TASK_SHUTDOWN, .fence = old->fence, .index = o->next_index, .now = o->now, .percent = -1};
    /* who is blocked asks again; what helped it goes on as a task of its own */
    t.parent = 0;
    t.depth = 0;
    if (ifab_task_owned(t.state) && ifab_task_act(&t, &act, &let_go, NULL) == IFAB_CODE_NONE)
        t = let_go;
    t.created_index = t.queued_index = o->next_index;
    t.queued_run = o->now.run;
    t.retry_at = 0;
    t.early = t.state == IFAB_TASK_QUEUED && t.not_before > o->now.wall;
    t.reservation = 0;
    if (payload.size == 0)
        t.payload_size = 0;
    ifab_buf_clear(&o->scratch);
    ifab_fabric_task_json(self, &t, o->now, &o->scratch);
    struct ifab_view task = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"old_index\":%llu,\"old_state\":\"%s\",", (unsigned long long)old->created_index, ifab_task_state_name(old->state));
    if (payload.size > 0)
        ifab_buf_format(&o->payload, "\"payload_size\":%zu,", payload.size);
    ifab_buf_str(&o->payload, "\"task\":");
    ifab_buf_view(&o->payload, task);
    ifab_buf_char(&o->payload, '}');
    struct ifab_entry fields = {
        .event = IFAB_EVENT_TASK_CREATE,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .has_why_from = true,
        .why_from = 0,
        .subject = ifab_view_str(t.id),
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, t.trace16, 16);
    if (ifab_fabric__entry(self, o, &fields, payload, NULL))
        ifab_fabric__put_task(o, &t);
    let_go_of_cost(self, o, old);
}

void ifab_fabric__decide_restate(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    uint8_t bytes[IFAB_CLOSED_TASK_PACKED];
    o->reply.code = IFAB_CODE_NONE;
    if (command->u.restate.swarm != NULL)
        restate_swarm(self, o, command->u.restate.swarm, command->u.restate.help);
    if (command->u.restate.registered != NULL)
        ifab_fabric__restate_registry(self, o, command->u.restate.registered);
    if (command->u.restate.task != NULL)
        restate_task(self, o, command->u.restate.task, command->u.restate.payload);
    if (command->u.restate.plan != NULL)
        ifab_fabric__restate_plan(self, o, command->u.restate.plan);
    if (command->u.restate.secret != NULL)
        ifab_fabric__void_secret(self, o, command->u.restate.secret);
    if (command->u.restate.closed != NULL) {
        struct ifab_closed_task closed = *command->u.restate.closed;
        closed.created_index = closed.index = 0; /* the entries about it are the old log's */
        ifab_fabric__change(o, IFAB_KIND_TASK_CLOSED, closed.number, bytes, ifab_closed_task_pack(&closed, bytes));
    }
}
