/* Tasks and swarms as JSON: in answers, and in entries. Members in order of their names. */
#include "fabric_internal.h"

static void put_names(struct ifab_buf *b, const struct ifab_names *names)
{
    struct ifab_view name;
    size_t at = 0;
    ifab_buf_char(b, '[');
    while (ifab_names_next(names, &at, &name)) {
        if (at > name.size + 1)
            ifab_buf_char(b, ',');
        ifab_json_put_string(b, name);
    }
    ifab_buf_char(b, ']');
}

static void put_who(const struct ifab_fabric *self, struct ifab_buf *b, struct ifab_task_principal who)
{
    const struct ifab_talent *talent = who.talent == 0 ? NULL : ifab_talents_at(self->talents, who.talent);
    if (talent == NULL) {
        ifab_buf_format(b, "\"uid:%u\"", who.uid);
        return;
    }
    ifab_buf_str(b, "\"if://agent/");
    ifab_buf_view(b, talent->name);
    ifab_buf_char(b, '"');
}

static void put_swarm(const struct ifab_fabric *self, struct ifab_buf *b, struct ifab_swarm_number number)
{
    const struct ifab_swarm *swarm = ifab_swarm_at(self->coordinator, number);
    ifab_json_put_string(b, swarm != NULL ? swarm->id : IFAB_VIEW("?"));
}

static void put_budget(struct ifab_buf *b, const struct ifab_task *t)
{
    static const char *const units[] = {"usd_micro", "tokens", "calls"};
    static const uint8_t order[] = {2, 1, 0}; /* by name */
    bool some = false;
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
        if (t->budget[order[i]] >= 0) {
            ifab_buf_format(b, "%s\"%s\":%lld", some ? "," : "\"budget\":{", units[order[i]], (long long)t->budget[order[i]]);
            some = true;
        }
    if (some)
        ifab_buf_str(b, "},");
}

static void put_time(struct ifab_buf *b, const char *name, ifab_usec wall)
{
    ifab_buf_format(b, "\"%s\":\"", name);
    ifab_buf_time(b, wall);
    ifab_buf_str(b, "\",");
}

static void put_depends(const struct ifab_fabric *self, struct ifab_buf *b, const struct ifab_task *t)
{
    ifab_buf_str(b, "\"depends_on\":[");
    for (size_t i = 0; i < t->depends_count; i++) {
        const struct ifab_task *on = ifab_task_at(self->coordinator, (struct ifab_task_number){t->depends_on[i]});
        ifab_buf_str(b, i > 0 ? "," : "");
        ifab_json_put_cstr(b, on != NULL ? on->id : "?");
    }
    ifab_buf_str(b, "],");
}

/* Those that help it; those that are asked in this very step stand in it alone. */
static void put_helpers(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_buf *b, const struct ifab_task *t)
{
    bool some = false;
    for (size_t i = 0; i < IFAB_TASK_HELPERS_MAX; i++) {
        struct ifab_task asked;
        const struct ifab_task *helper = t->helpers[i] == 0 ? NULL : ifab_task_at(self->coordinator, (struct ifab_task_number){t->helpers[i]});
        if (helper == NULL && t->helpers[i] != 0 && o != NULL && ifab_fabric__task(self, o, t->helpers[i], &asked))
            helper = &asked;
        if (helper == NULL)
            continue;
        ifab_buf_str(b, some ? "," : "\"helpers\":[");
        ifab_json_put_cstr(b, helper->id);
        some = true;
    }
    if (some)
        ifab_buf_str(b, "],");
}

static void put_rest(const struct ifab_fabric *self, struct ifab_buf *b, const struct ifab_task *t)
{
    if (ifab_task_owned(t->state)) {
        ifab_buf_str(b, ",\"swarm\":");
        put_swarm(self, b, t->owner);
    }
    ifab_buf_str(b, ",\"trace\":");
    ifab_fabric__put_uuid(b, t->trace16);
    ifab_buf_str(b, ",\"type\":");
    ifab_json_put_cstr(b, t->type);
    if (t->wants_size > 0) {
        struct ifab_names wants = ifab_task_wants(t);
        ifab_buf_str(b, ",\"wants\":");
        put_names(b, &wants);
    }
    if (ifab_task_owned(t->state)) {
        ifab_buf_str(b, ",\"worker\":");
        put_who(self, b, t->worker);
    }
}

void ifab_fabric_task_json(const struct ifab_fabric *self, const struct ifab_task *t, struct ifab_now now, struct ifab_buf *b)
{
    ifab_fabric__task_json(self, NULL, t, now, b);
}

void ifab_fabric__task_json(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_task *t, struct ifab_now now, struct ifab_buf *b)
{
    struct ifab_names needs = ifab_task_needs(t);
    bool owned = ifab_task_owned(t->state);
    ifab_buf_format(b, "{\"attempt\":%u,", t->attempt);
    put_budget(b, t);
    put_time(b, "created_at", t->created);
    ifab_buf_str(b, "\"creator\":");
    put_who(self, b, t->creator);
    ifab_buf_char(b, ',');
    if (t->deadline != IFAB_NEVER)
        put_time(b, "deadline", t->deadline);
    if (t->depends_count > 0)
        put_depends(self, b, t);
    if (owned)
        ifab_buf_format(b, "\"fence\":%llu,", (unsigned long long)t->fence.n);
    put_helpers(self, o, b, t);
    ifab_buf_str(b, "\"id\":");
    ifab_json_put_cstr(b, t->id);
    ifab_buf_format(b, ",\"index\":%llu,", (unsigned long long)t->created_index);
    if (owned)
        put_time(b, "lease_until", now.wall + (t->lease_until - now.run));
    ifab_buf_format(b, "\"max_attempts\":%u,\"needs\":", t->max_attempts);
    put_names(b, &needs);
    ifab_buf_char(b, ',');
    if (t->not_before != 0)
        put_time(b, "not_before", t->not_before);
    if (t->note[0] != '\0') {
        ifab_buf_str(b, "\"note\":");
        ifab_json_put_cstr(b, t->note);
        ifab_buf_char(b, ',');
    }
    const struct ifab_task *parent = t->parent == 0 ? NULL : ifab_task_at(self->coordinator, (struct ifab_task_number){t->parent});
    if (parent != NULL) { /* else it helped what is closed by now */
        ifab_buf_str(b, "\"parent\":");
        ifab_json_put_cstr(b, parent->id);
        ifab_buf_char(b, ',');
    }
    if (t->payload_size > 0) {
        ifab_buf_str(b, "\"payload_digest\":");
        ifab_fabric__put_digest(b, t->payload32);
        ifab_buf_char(b, ',');
    }
    if (owned)
        ifab_buf_format(b, "\"percent\":%u,", t->percent);
    ifab_buf_format(b, "\"priority\":\"P%u\",", t->priority);
    if (t->queue.n != 0) {
        ifab_buf_str(b, "\"queue\":");
        put_swarm(self, b, t->queue);
        ifab_buf_char(b, ',');
    }
    if (t->retry_at != 0)
        put_time(b, "retry_at", now.wall + (t->retry_at - now.run));
    ifab_buf_format(b, "\"state\":\"%s\"", ifab_task_state_name(t->state));
    put_rest(self, b, t);
    ifab_buf_char(b, '}');
}

enum ifab_swarm_state ifab_fabric_swarm_state(const struct ifab_fabric *self, const struct ifab_swarm *swarm, ifab_usec run)
{
    const struct ifab_breaker *breaker = ifab_breakers_find(self->breakers, IFAB_BREAKER_SWARM, swarm->id);
    return ifab_swarm_state(self->coordinator, swarm->number, breaker != NULL && breaker->state != IFAB_BREAKER_CLOSED, run);
}

void ifab_fabric_swarm_json(const struct ifab_fabric *self, const struct ifab_swarm *swarm, struct ifab_now now, struct ifab_buf *b)
{
    uint32_t flight = ifab_swarm_in_flight(self->coordinator, swarm->number), queued = ifab_swarm_queued(self->coordinator, swarm->number);
    ifab_buf_view(b, ifab_view_of(swarm->record.data, swarm->record.size - 1));
    ifab_buf_str(b, ",\"heard_at\":\"");
    ifab_buf_time(b, now.wall - (now.run - ifab_swarm_heard(self->coordinator, swarm->number)));
    ifab_buf_format(b, "\",\"in_flight\":%u,\"queued\":%u,\"state\":\"%s\"}", flight, queued,
                    ifab_swarm_state_name(ifab_fabric_swarm_state(self, swarm, now.run)));
}
