/*
 * What happens to plans beside their own talent's acts: the message that asks for approval and the votes about it, and time.
 *
 * A plan that needs approval is asked for in a signed message to the fabric, content.data.apply = {"plan_hash"}. The vote binds that message, so it
 * binds the plan. It counts only under the rules that the plan was made with: released under others it approves nothing.
 */
#include "call_internal.h"

#include "base/encode.h"

#include <string.h>

#define ENDED_IN_TICK 256

static const struct ifab_json *apply_of(const struct ifab_envelope *e)
{
    const struct ifab_json *data = ifab_json_get(ifab_json_get(e->tree, "content"), "data");
    return data == NULL ? NULL : ifab_json_get(data, "apply");
}

bool ifab_fabric__asks_for_plan(const struct ifab_envelope *envelope) { return apply_of(envelope) != NULL; }

static bool read_hash(const struct ifab_json *apply, uint8_t hash32[32])
{
    struct ifab_view text;
    return apply->type == IFAB_JSON_OBJECT && apply->u.object.count == 1 && ifab_json_get(apply, "plan_hash") != NULL &&
           ifab_json_string(ifab_json_get(apply, "plan_hash"), &text) && text.size == 71 && ifab_view_starts(text, IFAB_VIEW("sha256:")) &&
           ifab_hex_decode(ifab_view_of(text.data + 7, 64), hash32, 32) == IFAB_OK;
}

static void rule(struct ifab_guard_facts *facts, enum ifab_rule_effect effect, uint32_t votes, const char *id, const char *reason)
{
    struct ifab_guard_ruled *ruled = &facts->ruled;
    if (ruled->effect > effect) /* what the operator's own rules say is stricter: it stands */
        return;
    uint8_t most = ruled->effect == (uint8_t)effect && ruled->votes > votes ? ruled->votes : (uint8_t)votes, hazards = ruled->hazards;
    *ruled = (struct ifab_guard_ruled){.effect = (uint8_t)effect, .votes = most, .hazards = hazards};
    memcpy(ruled->id, id, strlen(id) + 1);
    memcpy(ruled->reason, reason, strlen(reason) + 1);
}

/* Words for why a plan cannot be asked for with this message; NULL: it can. */
static const char *unfit(const struct ifab_guard_rules *rules, ifab_usec wall, const struct ifab_talent *sender, const struct ifab_plan *p)
{
    static const uint8_t none32[32];
    if (p == NULL || p->talent != sender->number)
        return "content.data.apply names no plan of its sender";
    if (p->state != IFAB_PLAN_PLANNED || wall >= p->expires)
        return "content.data.apply: the plan is used up or has expired; plan again";
    if (memcmp(p->policy32, rules->digest32, 32) != 0)
        return "content.data.apply: the rules have changed since it was planned; plan again";
    if (memcmp(p->message32, none32, 32) != 0)
        return "content.data.apply: another message asks for this plan";
    return NULL;
}

void ifab_fabric__plan_facts(const struct ifab_fabric *self, const struct ifab_guard_rules *rules, ifab_usec wall, const struct ifab_envelope *e,
                             const struct ifab_talent *sender, struct ifab_guard_facts *facts, uint64_t *ret_number)
{
    const struct ifab_json *apply = apply_of(e);
    uint8_t hash32[32];
    *ret_number = 0;
    if (apply == NULL)
        return;
    const struct ifab_plan *p = read_hash(apply, hash32) ? ifab_plan_by_hash(self->plans, hash32) : NULL;
    const char *wrong = unfit(rules, wall, sender, p);
    if (wrong != NULL) {
        rule(facts, IFAB_RULE_DENY, 0, "builtin.plan", wrong);
        return;
    }
    if (p->votes > 0)
        rule(facts, IFAB_RULE_ESCALATE, p->votes, "builtin.plan", "policy: a capability's effect");
    *ret_number = p->number;
}

void ifab_fabric__plan_asked(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_envelope *e, enum ifab_decision decision)
{
    struct ifab_plan p;
    if (number == 0 || decision == IFAB_DECISION_DENY || !ifab_plan__now(self, o, number, &p))
        return;
    memcpy(p.message32, e->message_digest32, 32);
    memcpy(p.message16, e->id16, 16);
    p.approved = decision == IFAB_DECISION_SHARE; /* of one that needs none */
    ifab_plan__put(o, &p);
}

void ifab_fabric__plan_voted(const struct ifab_fabric *self, struct ifab_outcome *o, const uint8_t message32[32], bool approved)
{
    const struct ifab_plan *found = ifab_plan_by_message(self->plans, message32);
    struct ifab_plan p;
    if (found == NULL || !ifab_plan__now(self, o, found->number, &p) || p.state != IFAB_PLAN_PLANNED)
        return;
    if (approved && memcmp(p.policy32, ifab_fabric__rules(self, o)->digest32, 32) != 0)
        return;
    p.approved = approved;
    p.state = approved ? IFAB_PLAN_PLANNED : IFAB_PLAN_DENIED;
    ifab_plan__put(o, &p);
    ifab_plan__make_room(self, o, &p);
}

/* ---- time ---- */

/* An intent from before the start: whoever was doing it is gone. */
static bool lost(const struct ifab_fabric *self, const struct ifab_plan *p)
{
    return ifab_plan_is_running(p) && p->intent < self->loaded_size;
}

/* Writes the entry, by which the intent is reported. why_from: index of the entry whose why it has. */
static bool put_dangling(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *p, uint64_t why_from)
{
    char id[42];
    bool dry = p->state == IFAB_PLAN_TRYING;
    ifab_plan__id(p, id);
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"capability\":");
    ifab_json_put_string(&o->payload, p->capability);
    ifab_buf_format(&o->payload, ",\"idempotent\":%s,\"intent\":%llu,\"mode\":\"%s\",\"operation\":", p->idempotent ? "true" : "false",
                    (unsigned long long)p->intent, dry ? "dry-run" : "apply");
    ifab_json_put_string(&o->payload, p->operation);
    ifab_buf_char(&o->payload, '}');
    struct ifab_entry fields = {.event = dry ? IFAB_EVENT_CAPABILITY_FAILED : IFAB_EVENT_CAPABILITY_DANGLING,
                                .actor = ifab_view_str(self->settings.fabric_actor),
                                .has_why_from = true,
                                .why_from = why_from,
                                .subject = ifab_view_str(id),
                                .payload = ifab_buf_as_view(&o->payload)};
    memcpy(fields.trace16, p->trace16, 16);
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}

static void dangle(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *found)
{
    struct ifab_plan p = *found;
    bool dry = p.state == IFAB_PLAN_TRYING;
    if (!put_dangling(self, o, &p, p.index))
        return;
    p.state = dry ? IFAB_PLAN_PLANNED : IFAB_PLAN_DANGLING;
    if (dry)
        p.reservation = 0; /* what it read may have cost: the governor reports what is held, and lets go of it in its time */
    ifab_plan__put(o, &p);
}

void ifab_fabric__restate_plan(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *old)
{
    struct ifab_plan p = *old;
    uint64_t index = o->next_index;
    if (!put_dangling(self, o, &p, 0) || p.state == IFAB_PLAN_TRYING)
        return;
    p.state = IFAB_PLAN_DANGLING;
    p.index = p.intent = index; /* those of the old log name other entries here */
    ifab_plan__put(o, &p);
}

/* A vote about a plan that has expired would be for nothing: nobody is asked any more. */
static void close_question(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *p)
{
    const struct ifab_open_decision *d = ifab_decisions_find(self->decisions, p->message16);
    struct ifab_view touched;
    if (d != NULL && memcmp(d->message_digest32, p->message32, 32) == 0 && !ifab_fabric__changed(o, IFAB_KIND_DECISION, d->number, &touched))
        ifab_fabric__close_denied(self, o, d, "the plan that it asks for has expired", IFAB_VIEW(""), IFAB_VIEW(""), d->index);
}

void ifab_fabric__end_plans(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most)
{
    uint64_t numbers[ENDED_IN_TICK];
    ifab_usec due;
    struct ifab_view touched;
    size_t done = 0;
    most = most < ENDED_IN_TICK ? most : ENDED_IN_TICK;
    const struct ifab_plan *p = ifab_plans_open(self->plans) == 0 ? NULL : ifab_plan_next(self->plans, 0);
    for (; p != NULL && done < most && !o->failed; p = ifab_plan_next(self->plans, p->number)) {
        if (!lost(self, p))
            continue;
        dangle(self, o, p);
        done++;
    }
    size_t count = ifab_plans_expired(self->plans, o->now.wall, numbers, most, &due);
    for (size_t i = 0; i < count && !o->failed; i++) {
        close_question(self, o, ifab_plan_at(self->plans, numbers[i]));
        if (!ifab_fabric__changed(o, IFAB_KIND_PLAN, numbers[i], &touched)) /* else at the next tick */
            ifab_fabric__change(o, IFAB_KIND_PLAN, numbers[i], NULL, 0);
    }
}

ifab_usec ifab_fabric__plans_due(const struct ifab_fabric *self, struct ifab_now now)
{
    uint64_t unused;
    ifab_usec expires;
    const struct ifab_plan *p = ifab_plans_open(self->plans) == 0 ? NULL : ifab_plan_next(self->plans, 0);
    for (; p != NULL; p = ifab_plan_next(self->plans, p->number))
        if (lost(self, p))
            return self->ticked; /* within a moment: it is reported at the start */
    (void)ifab_plans_expired(self->plans, now.wall, &unused, 0, &expires);
    if (expires == IFAB_NEVER)
        return IFAB_NEVER;
    return expires > now.wall ? now.run + (expires - now.wall) : self->ticked + IFAB_SECOND;
}
