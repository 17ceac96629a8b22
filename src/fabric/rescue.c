/*
 * A blocked task and those who help it (S2): at most two swarms that together cover what is missing, never the blocked one, each with a task of its own
 * and what it may cost held at once; all of them or none, and who cannot is passed over for the next best; nobody: a person is asked, in an entry. Help lasts as long as the block: when all helpers are done the task
 * goes on, and when it goes on without them they are cancelled. Who died, or was cancelled, is not done: somebody else is asked for that part, who has
 * not been before, with no more than it might have cost and one attempt less; so at most three are asked for one part, and then a person. Of whom nobody could be
 * asked at first is looked at again and again: a swarm has a hand free by then, or room in its budget, or has come.
 */
#include "fabric_internal.h"
#include "governor/match.h"

#include "base/id.h"

#include <stdio.h>
#include <string.h>

#define TRIES    16   /* to find helpers that can be asked */
#define ATTEMPTS 3    /* of the first who is asked */
#define TURN     (IFAB_SECOND / 4) /* so often at most two that want help are looked at once more: it costs little, however many there are */
#define IDLE_TURN (5 * IFAB_SECOND)
#define TOLD     16   /* swarms that have some of what is missing, named to the person who is asked */
#define LOOKED   4096 /* tasks younger than the blocked one, among which those who helped it are looked for */

struct asked {
    struct ifab_candidate *candidates;
    const struct ifab_swarm **swarms;
    size_t count;
    struct ifab_view needs[IFAB_TASK_NEEDS_MAX];
    size_t need_count;
    const struct ifab_command *command; /* the block; NULL: for one whose helper failed */
    uint8_t mint16[16];
    uint32_t attempts;
};

/* Swarms that can do some of it. More than a thousand of those are not compared: the first ones by number are. */
static bool look_around(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_names *needs, struct asked *asked)
{
    size_t most = ifab_swarm_count(self->coordinator) < IFAB_MATCH_MAX ? ifab_swarm_count(self->coordinator) : IFAB_MATCH_MAX, at = 0;
    struct ifab_view name;
    asked->candidates = most == 0 ? NULL : ifab_fabric__alloc(o, most * sizeof *asked->candidates);
    asked->swarms = most == 0 ? NULL : ifab_fabric__alloc(o, most * sizeof *asked->swarms);
    while (ifab_names_next(needs, &at, &name))
        asked->needs[asked->need_count++] = name;
    const struct ifab_swarm *swarm = ifab_swarm_after(self->coordinator, (struct ifab_swarm_number){0});
    for (; swarm != NULL && asked->count < most && !o->failed; swarm = ifab_swarm_after(self->coordinator, swarm->number)) {
        struct ifab_view *skills = ifab_names_common(&swarm->skills, needs) == 0 ? NULL : ifab_fabric__alloc(o, swarm->skills.count * sizeof *skills);
        size_t count = 0;
        if (skills == NULL)
            continue;
        for (at = 0; ifab_names_next(&swarm->skills, &at, &name);)
            skills[count++] = name;
        struct ifab_candidate *c = &asked->candidates[asked->count];
        *c = (struct ifab_candidate){.id = swarm->id, .skills = skills, .skill_count = count, .cost_usd_micro = (uint64_t)swarm->cost_per_hour,
                                     .reputation = ifab_fabric__reputation(self, o, swarm->id),
                                     .in_hand = ifab_swarm_in_flight(self->coordinator, swarm->number), .at_most = swarm->concurrency};
        ifab_fabric__swarm_standing(self, o, swarm->id, &c->breaker_open, &c->budget_spent);
        c->away = ifab_swarm_state(self->coordinator, swarm->number, c->breaker_open, o->now.run) == IFAB_SWARM_OFFLINE;
        asked->swarms[asked->count++] = swarm;
    }
    return !o->failed;
}

static struct ifab_task help_task(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *blocked, const struct asked *asked,
                                  const struct ifab_helper *helper, size_t which, size_t of)
{
    struct ifab_task t = {.number = {o->next_number}, .state = IFAB_TASK_QUEUED, .minted = true, .priority = blocked->priority,
                          .queue = asked->swarms[helper->candidate]->number, .creator = blocked->worker, .created = o->now.wall,
                          .created_index = o->next_index, .queued_index = o->next_index, .queued_run = o->now.run, .attempt = 1, .max_attempts = asked->attempts,
                          .deadline = blocked->deadline, .parent = blocked->number.n, .depth = (uint8_t)(blocked->depth + 1)};
    struct ifab_view part[IFAB_TASK_NEEDS_MAX];
    struct ifab_names needs;
    uint8_t uuid16[16];
    char uuid[37];
    size_t count = 0;
    for (size_t i = 0; i < asked->need_count; i++)
        if ((helper->part >> i & 1) != 0)
            part[count++] = asked->needs[i];
    (void)ifab_names_pack(part, count, t.needs, IFAB_TASK_NEEDS_SIZE, &needs); /* a part of what fitted */
    t.needs_size = needs.size;
    memcpy(uuid16, asked->mint16, 16);
    uuid16[15] = (uint8_t)(uuid16[15] ^ (which + 1));
    ifab_uuid_format(uuid16, uuid);
    snprintf(t.id, sizeof t.id, "task-%s", uuid);
    memcpy(t.type, "help", 5);
    memcpy(t.note, blocked->note, sizeof t.note);
    memcpy(t.trace16, blocked->trace16, 16);
    ifab_fabric__help_budget(self, o, blocked, asked->swarms[helper->candidate], of, t.budget);
    return t;
}

/* Help is made by whoever blocks: it has no more of a queue by that than by asking itself. */
static bool stranger(const struct ifab_fabric *self, const struct asked *asked, const struct ifab_task *blocked, const struct ifab_swarm *swarm)
{
    if (asked->command != NULL)
        return ifab_fabric__stranger(self, asked->command, swarm->number);
    const struct ifab_talent *worker = blocked->worker.talent == 0 ? NULL : ifab_talents_at(self->talents, blocked->worker.talent);
    return blocked->worker.talent != 0 && (worker == NULL || !ifab_swarm_has_member(swarm, worker->name));
}

/* Nothing is written: is there room for each in its queue without shedding another's, and may what each would hold be held, one after the other?
 * The first of whom that is not so; of: all can be asked. */
static size_t cannot(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *blocked, const struct asked *asked,
                     const struct ifab_helper *helpers, size_t of)
{
    struct ifab_fabric__holds holds = {.count = 0};
    struct ifab_task_number shed = {0};
    for (size_t i = 0; i < of; i++) {
        struct ifab_task t = help_task(self, o, blocked, asked, &helpers[i], i, of);
        if (ifab_task_find(self->coordinator, ifab_view_str(t.id)) != NULL || ifab_task_admit(self->coordinator, &t, &shed, NULL) != IFAB_CODE_NONE ||
            shed.n != 0)
            return i;
        const struct ifab_swarm *swarm = asked->swarms[helpers[i].candidate];
        if (stranger(self, asked, blocked, swarm) && ifab_task_stranger(self->coordinator, &t, &shed, NULL) != IFAB_CODE_NONE)
            return i;
        if (!ifab_fabric__help_fits(self, o, &t, blocked, swarm, &holds))
            return i;
    }
    return of;
}

/* The best of those that can be asked: who cannot is left out, and the next best are looked for. 0: nobody, or too many who cannot. */
static size_t choose(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *blocked,
                     struct asked *asked, struct ifab_helper helpers[IFAB_HELPERS_MAX])
{
    const struct ifab_swarm *owner = ifab_swarm_at(self->coordinator, blocked->owner);
    struct ifab_match_question question = {.needs = asked->needs, .need_count = asked->need_count, .not_this = owner != NULL ? owner->id : IFAB_VIEW("")};
    for (size_t tried = 0; tried < TRIES && !o->failed; tried++) {
        size_t found = 0;
        if (ifab_match_helpers(&question, asked->candidates, asked->count, helpers, &found, NULL) != IFAB_CODE_NONE || found == 0)
            return 0;
        size_t bad = cannot(self, o, blocked, asked, helpers, found);
        if (bad == found)
            return found;
        asked->candidates[helpers[bad].candidate].budget_spent = true;
    }
    return 0;
}

/* One helper, of whom it is known that it can be asked: what it may cost is held, its task stands in its swarm's queue. */
static bool ask(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *blocked, const struct asked *asked,
                const struct ifab_helper *helper, size_t which, size_t of, uint64_t *ret_number)
{
    const struct ifab_swarm *swarm = asked->swarms[helper->candidate];
    struct ifab_task t = help_task(self, o, blocked, asked, helper, which, of);
    struct ifab_view actor = ifab_view_str(self->settings.fabric_actor);
    t.created_index = blocked->created_index; /* what is held for it has the blocked one's why */
    if (ifab_fabric__task_hold(self, o, &t, swarm, (struct ifab_task_principal){0, 0}, actor, &t.reservation) != IFAB_CODE_NONE) {
        o->failed = true; /* it would fit a moment ago */
        return false;
    }
    if (t.reservation != 0)
        t.number.n = o->next_number; /* the reservation took the number before */
    o->next_number++;
    t.created_index = t.queued_index = o->next_index;
    ifab_buf_clear(&o->scratch);
    ifab_fabric_task_json(self, &t, o->now, &o->scratch);
    struct ifab_view json = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"covers\":%zu,\"of\":%zu,\"swarm\":", (size_t)__builtin_popcount(helper->part), asked->need_count);
    ifab_json_put_string(&o->payload, swarm->id);
    ifab_buf_str(&o->payload, ",\"task\":");
    ifab_buf_view(&o->payload, json);
    ifab_buf_char(&o->payload, '}');
    struct ifab_task under = t;
    under.created_index = blocked->created_index; /* its why is the blocked one's */
    if (!ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_HELP, &under, actor, IFAB_VIEW(""), IFAB_VIEW(""), NULL))
        return false;
    ifab_fabric__put_task(o, &t);
    ifab_fabric__count_help(self, o, swarm->number, &(struct ifab_swarm_help){.asked = 1});
    *ret_number = t.number.n;
    return true;
}

static void ask_a_person(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *blocked, const struct asked *asked)
{
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"needs\":[");
    for (size_t i = 0; i < asked->need_count; i++) {
        ifab_buf_str(&o->payload, i > 0 ? "," : "");
        ifab_json_put_string(&o->payload, asked->needs[i]);
    }
    ifab_buf_str(&o->payload, "],\"swarms\":[");
    for (size_t i = 0; i < asked->count && i < TOLD; i++) {
        ifab_buf_str(&o->payload, i > 0 ? "," : "");
        ifab_json_put_string(&o->payload, asked->swarms[i]->id);
    }
    ifab_buf_str(&o->payload, "]}");
    ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_HELP_WANTED, blocked, ifab_view_str(self->settings.fabric_actor), IFAB_VIEW(""), IFAB_VIEW(""), NULL);
}

/* For what it wants: how many are asked. With some it wants nothing more. */
static size_t find_help(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_task *blocked, struct asked *asked)
{
    struct ifab_helper helpers[IFAB_HELPERS_MAX];
    size_t found = 0, count = 0;
    if (blocked->depth < IFAB_TASK_DEPTH_MAX && asked->count > 0)
        found = choose(self, o, blocked, asked, helpers);
    for (size_t i = 0; i < found && !o->failed; i++)
        if (ask(self, o, blocked, asked, &helpers[i], i, found, &blocked->helpers[count]))
            count++;
    if (count > 0 || blocked->depth >= IFAB_TASK_DEPTH_MAX)
        (void)ifab_task_set_wants(blocked, NULL);
    return count;
}

void ifab_fabric__rescue(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct ifab_task *blocked)
{
    struct asked asked = {.command = command, .attempts = ATTEMPTS};
    char room[IFAB_TASK_NEEDS_SIZE];
    struct ifab_names wants = ifab_task_wants(blocked);
    memcpy(asked.mint16, command->mint16, 16);
    memcpy(room, wants.text, wants.size); /* they end with the first who is asked */
    wants.text = room;
    if (look_around(self, o, &wants, &asked) && find_help(self, o, blocked, &asked) == 0 && !o->failed)
        ask_a_person(self, o, blocked, &asked);
}

/* An id of no clock, a UUID of version 8, of what is told nowhere else. */
static void mint(struct asked *asked, struct ifab_view of)
{
    uint8_t digest32[32];
    ifab_sha256(of, digest32);
    memcpy(asked->mint16, digest32, 16);
    asked->mint16[6] = (uint8_t)(0x80 | (asked->mint16[6] & 0x0f));
    asked->mint16[8] = (uint8_t)(0x80 | (asked->mint16[8] & 0x3f));
}

static bool look_again(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_task *blocked)
{
    struct asked asked = {.attempts = ATTEMPTS};
    char room[IFAB_TASK_NEEDS_SIZE], text[IFAB_NAME_MAX + 64];
    struct ifab_names wants = ifab_task_wants(blocked);
    memcpy(room, wants.text, wants.size);
    wants.text = room;
    snprintf(text, sizeof text, "%s at %llu", blocked->id, (unsigned long long)o->next_index);
    mint(&asked, ifab_view_str(text));
    if (!look_around(self, o, &wants, &asked) || find_help(self, o, blocked, &asked) == 0 || o->failed)
        return false;
    ifab_fabric__put_task(o, blocked);
    return true;
}

/* As long as somebody may have a place since they were last looked at, in short turns; else for what time alone brings, as a budget's next period. */
ifab_usec ifab_fabric__look_again_due(const struct ifab_fabric *self)
{
    bool some = self->looked_left > 0 || self->looked_places != ifab_coordinator_places(self->coordinator);
    return ifab_tasks_wanting_count(self->coordinator) == 0 ? IFAB_NEVER : self->looked + (some ? TURN : IDLE_TURN);
}

/* Who is asked takes a place that the next look must see: that is the next step's. */
void ifab_fabric__look_again(const struct ifab_fabric *self, struct ifab_outcome *o)
{
    bool found = false;
    if (ifab_fabric__look_again_due(self) > o->now.run)
        return;
    size_t count = ifab_tasks_wanting(self->coordinator, o->looked, IFAB_COUNT(o->looked));
    for (; o->looked_count < count && !found && !o->failed; o->looked_count++) {
        struct ifab_task t;
        if (ifab_fabric__task(self, o, o->looked[o->looked_count], &t) && t.wants_size > 0 && t.deadline > o->now.wall)
            found = look_again(self, o, &t);
    }
    o->looked_places = ifab_coordinator_places(self->coordinator);
}

void ifab_fabric__looked(struct ifab_fabric *self, const struct ifab_outcome *o)
{
    if (o->looked_count == 0)
        return;
    if (self->looked_places != o->looked_places)
        self->looked_left = (uint32_t)o->looked_count + ifab_tasks_wanting_count(self->coordinator);
    self->looked_places = o->looked_places;
    self->looked_left -= self->looked_left < o->looked_count ? self->looked_left : (uint32_t)o->looked_count;
    self->looked = o->now.run;
    for (size_t i = 0; i < o->looked_count; i++)
        ifab_task_looked_at(self->coordinator, (struct ifab_task_number){o->looked[i]});
}

/* The block is over, by whatever: those who still help it need not. */
void ifab_fabric__end_help(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task)
{
    struct ifab_view actor = ifab_view_str(self->settings.fabric_actor);
    for (size_t i = 0; i < IFAB_TASK_HELPERS_MAX && !o->failed; i++) {
        struct ifab_task helper, next;
        struct ifab_task_act act = {.event = IFAB_TASK_CANCEL, .now = o->now, .index = o->next_index, .percent = -1,
                                    .note = IFAB_VIEW("what it helped goes on without it")};
        if (task->helpers[i] == 0 || !ifab_fabric__task(self, o, task->helpers[i], &helper) || ifab_task_act(&helper, &act, &next, NULL) != IFAB_CODE_NONE)
            continue;
        ifab_fabric__end_help(self, o, &helper); /* at most IFAB_TASK_DEPTH_MAX deep */
        ifab_buf_clear(&o->payload);
        ifab_buf_str(&o->payload, "{\"cause\":\"what it helped goes on without it\",\"state\":\"cancelled\"}");
        uint64_t index = o->next_index;
        if (!ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_CANCEL, &helper, actor, IFAB_VIEW(""), IFAB_VIEW(""), NULL))
            return;
        struct ifab_task gone = next;
        gone.parent = 0; /* which does not wait for it any more */
        gone.depth = 0;
        ifab_fabric__close_task(self, o, &gone, helper.owner, index);
        ifab_fabric__task_over(self, o, &helper, IFAB_TASK_CANCEL, actor, NULL);
    }
}

static bool slot_of(const struct ifab_task *blocked, uint64_t number, size_t *ret_slot)
{
    for (*ret_slot = 0; *ret_slot < IFAB_TASK_HELPERS_MAX; ++*ret_slot)
        if (blocked->helpers[*ret_slot] == number)
            return true;
    return false;
}

/* One helper is done. The last one: the task goes on, in the hands of whoever holds it. */
void ifab_fabric__helped(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *helper)
{
    struct ifab_task t, next;
    size_t slot;
    bool more = false;
    if (!ifab_fabric__task(self, o, helper->parent, &t) || t.state != IFAB_TASK_BLOCKED || !slot_of(&t, helper->number.n, &slot))
        return; /* one that had died, and another was asked in its place */
    t.helpers[slot] = 0;
    for (size_t i = 0; i < IFAB_TASK_HELPERS_MAX; i++)
        more = more || t.helpers[i] != 0;
    struct ifab_task_act act = {.event = IFAB_TASK_UNBLOCK, .fence = t.fence, .now = o->now, .index = o->next_index, .percent = -1};
    if (more || ifab_task_act(&t, &act, &next, NULL) != IFAB_CODE_NONE) {
        ifab_fabric__put_task(o, &t);
        return;
    }
    ifab_buf_clear(&o->payload);
    ifab_buf_format(&o->payload, "{\"attempt\":%u,\"cause\":\"its helpers are done\",\"fence\":%llu,\"state\":\"running\"}", next.attempt,
                    (unsigned long long)next.fence.n);
    if (ifab_fabric__task_entry(self, o, IFAB_EVENT_TASK_UNBLOCK, &next, ifab_view_str(self->settings.fabric_actor), IFAB_VIEW(""), IFAB_VIEW(""), NULL))
        ifab_fabric__put_task(o, &next);
}

/* Those who were asked to help it, the one that failed just now included, are not asked again. */
static void leave_out(const struct ifab_fabric *self, struct asked *asked, const struct ifab_task *blocked, const struct ifab_task *failed)
{
    const struct ifab_task *at = failed;
    for (size_t looked = 0; at != NULL && looked < LOOKED; looked++) {
        for (size_t i = 0; at->parent == blocked->number.n && i < asked->count; i++)
            if (asked->swarms[i]->number.n == at->queue.n)
                asked->candidates[i].budget_spent = true;
        at = ifab_task_after(self->coordinator, looked == 0 ? blocked->number : at->number);
    }
}

/* One helper came to nothing, and what was held for it is free: somebody else, or a person. Until that one has helped the part is not done. */
void ifab_fabric__help_failed(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *helper)
{
    struct asked asked = {.attempts = helper->max_attempts - 1};
    struct ifab_names needs = ifab_task_needs(helper);
    struct ifab_helper helpers[IFAB_HELPERS_MAX];
    struct ifab_task t;
    size_t slot, found = 0;
    if (!ifab_fabric__task(self, o, helper->parent, &t) || t.state != IFAB_TASK_BLOCKED || !slot_of(&t, helper->number.n, &slot) ||
        t.deadline <= o->now.wall || !look_around(self, o, &needs, &asked))
        return;
    mint(&asked, ifab_view_str(helper->id));
    leave_out(self, &asked, &t, helper);
    struct ifab_task part = t;
    memcpy(part.budget, helper->budget, sizeof part.budget);
    if (asked.attempts > 0 && asked.count > 0)
        found = choose(self, o, &part, &asked, helpers);
    if (found != 1) /* there is one place */
        ask_a_person(self, o, &t, &asked);
    else if (ask(self, o, &part, &asked, &helpers[0], 0, 1, &t.helpers[slot]))
        ifab_fabric__put_task(o, &t);
}

#define SAID(name, text) " " text
enum ifab_code ifab_fabric_match(const struct ifab_fabric *self, const struct ifab_fabric_match_ask *asking, struct ifab_arena *arena, struct ifab_buf *buf,
                                 struct ifab_refusal *ret_refusal)
{
    struct ifab_outcome nothing = {.arena = arena, .now = asking->now, .last_time = self->last_time}; /* what no step has changed */
    char room[IFAB_TASK_NEEDS_SIZE];
    struct ifab_names names;
    struct asked asked = {.count = 0};
    enum ifab_strategy strategy = IFAB_STRATEGY_SCORE;
    if (asking->strategy.size > 0 && !ifab_strategy_parse(asking->strategy, &strategy))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "strategy", "no such strategy; there are" IFAB_STRATEGY_MAP(SAID));
    if (asking->need_count == 0 || !ifab_names_pack(asking->needs, asking->need_count, room, sizeof room, &names) || names.count > IFAB_TASK_NEEDS_MAX)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "needs", "1 to %d skills of letters, digits and . _ : -", IFAB_TASK_NEEDS_MAX);
    if (!look_around(self, &nothing, &names, &asked))
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    struct ifab_match_question question = {.needs = asked.needs, .need_count = asked.need_count, .not_this = asking->not_this, .strategy = strategy};
    return ifab_match_explain(&question, asked.candidates, asked.count, buf, ret_refusal);
}
