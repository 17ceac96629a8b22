/* The fabric's own acts: its first entry, going on after a restore, notes of the shell, a changed rule set, and what time brings (TICK). */
#include "fabric_internal.h"

#include <string.h>

/* A step does a bounded amount; what is left is due at once and goes with the next TICK. */
#define DUE_IN_TICK 256
#define ENDED_IN_TICK 256

/* more: a canonical object whose members stand in the reply too; may be empty. */
void ifab_fabric__reply_entry(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_outcome_entry *entry, struct ifab_view more)
{
    struct ifab_buf *b = &o->scratch;
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"entry\":{\"hash\":");
    ifab_fabric__put_digest(b, entry->hash32);
    ifab_buf_format(b, ",\"index\":%llu,\"log\":", (unsigned long long)entry->index);
    ifab_json_put_cstr(b, self->settings.log);
    ifab_buf_char(b, '}');
    if (more.size > 2) {
        ifab_buf_char(b, ',');
        ifab_buf_view(b, ifab_view_of(more.data + 1, more.size - 2));
    }
    ifab_buf_char(b, '}');
    ifab_fabric__reply_json(o, b, 200);
}

void ifab_fabric__decide_init(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_talent_request request = {
        .name = IFAB_VIEW("operator"),
        .owner = IFAB_VIEW("operator"),
        .role_name = IFAB_VIEW("admin"),
        .role = IFAB_ROLE_ADMIN,
        .pubkey32 = command->u.init.operator_key32,
        .expires_at = IFAB_NEVER,
        .wall = o->now.wall,
    };
    uint32_t number;
    struct ifab_buf *p = &o->payload;
    if (self->tree.size != 0) {
        ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, NULL, "this log has entries already");
        ifab_fabric__refused(o, IFAB_CODE_CONFLICT);
        return;
    }
    ifab_buf_clear(&o->scratch);
    enum ifab_code code = ifab_talent_add(self->talents, &request, &o->scratch, &number, &o->reply.refusal);
    if (code != IFAB_CODE_NONE) {
        ifab_fabric__refused(o, code);
        return;
    }
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"format\":1,\"origin\":");
    ifab_json_put_cstr(p, self->settings.origin);
    ifab_buf_str(p, ",\"record\":");
    ifab_buf_view(p, record);
    ifab_buf_str(p, ",\"version\":");
    ifab_json_put_cstr(p, command->u.init.version);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {
        .event = IFAB_EVENT_FABRIC_INIT,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .why = command->why,
        .subject = ifab_view_str(self->settings.fabric_actor),
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, command->mint16, 16);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return;
    ifab_fabric__change(o, IFAB_KIND_TALENT, number, record.data, record.size);
    ifab_fabric__reply_entry(self, o, entry, IFAB_VIEW(""));
}

/* Old entries whose effect may not have been done: message bytes that were to be erased. */
static void put_dangling(const struct ifab_command *command, struct ifab_buf *p)
{
    ifab_buf_str(p, "{\"dangling\":[");
    for (size_t i = 0; i < command->u.restore.dangling_count; i++)
        ifab_buf_format(p, "%s%llu", i == 0 ? "" : ",", (unsigned long long)command->u.restore.dangling[i]);
    ifab_buf_char(p, ']');
}

static void put_old_name(const struct ifab_command *command, struct ifab_buf *p, uint32_t number)
{
    const struct ifab_talent *talent = ifab_talents_at(command->u.restore.talents, number);
    ifab_json_put_string(p, talent != NULL ? talent->name : IFAB_VIEW("?"));
}

/* What waited in the old fabric is void: each in an entry, with the votes that are lost, so that its sender and its voters can be told. */
static bool name_void(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    static const char *const voted[] = {"null", "\"approve\"", "\"refuse\""};
    struct ifab_buf *p = &o->payload;
    const struct ifab_decisions *open = command->u.restore.open;
    const struct ifab_open_decision *d = open == NULL ? NULL : ifab_decisions_after(open, 0);
    for (; d != NULL && !o->failed; d = ifab_decisions_after(open, d->number)) {
        char id[41];
        ifab_fabric__id_text(d->id16, id);
        ifab_buf_clear(p);
        ifab_buf_format(p, "{\"admitted\":{\"at\":\"");
        ifab_buf_time(p, d->admitted_at);
        ifab_buf_format(p, "\",\"old_index\":%llu},\"id\":\"%s\",\"message_digest\":", (unsigned long long)d->index, id);
        ifab_fabric__put_digest(p, d->message_digest32);
        ifab_buf_str(p, ",\"receiver\":[");
        for (size_t i = 0; i < d->receiver_count; i++) {
            ifab_buf_str(p, i == 0 ? "" : ",");
            put_old_name(command, p, d->receivers[i]);
        }
        ifab_buf_str(p, "],\"sender\":");
        put_old_name(command, p, d->talent);
        ifab_buf_format(p, ",\"state\":\"%s\",\"voters\":[", d->state == IFAB_DECISION_HOLD ? "held" : "escalated");
        for (size_t i = 0; i < d->voter_count; i++) {
            ifab_buf_str(p, i == 0 ? "{\"name\":" : ",{\"name\":");
            put_old_name(command, p, d->voters[i].talent);
            ifab_buf_format(p, ",\"vote\":%s}", voted[d->voters[i].voted < 3 ? d->voters[i].voted : 0]);
        }
        ifab_buf_str(p, "]}");
        struct ifab_entry fields = {
            .event = IFAB_EVENT_DECISION_VOIDED,
            .actor = ifab_view_str(self->settings.fabric_actor),
            .has_why_from = true,
            .why_from = 0,
            .subject = ifab_view_str(id),
            .payload = ifab_buf_as_view(p),
        };
        memcpy(fields.trace16, d->trace16, 16);
        ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
    }
    return !o->failed;
}

/* Entry 0 holds the old log's checkpoint; then every talent's record stands in an entry of its own, so that the new log covers them (INV-16). */
void ifab_fabric__decide_restore(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_buf *p = &o->payload;
    const struct ifab_decisions *open = command->u.restore.open;
    if (command->u.restore.old_wall > o->last_time)
        o->last_time = command->u.restore.old_wall; /* entry times go on */
    ifab_buf_clear(p);
    put_dangling(command, p);
    ifab_buf_format(p, ",\"fence_offset\":%llu", (unsigned long long)self->fence_offset); /* where META is lost, a salvage finds it here */
    ifab_buf_str(p, ",\"format\":1,\"old\":{\"checkpoint\":");
    ifab_json_put_string(p, command->u.restore.old_checkpoint);
    ifab_buf_str(p, ",\"origin\":");
    ifab_json_put_string(p, command->u.restore.old_origin);
    ifab_buf_format(p, ",\"size\":%llu},\"origin\":", (unsigned long long)command->u.restore.old_size);
    ifab_json_put_cstr(p, self->settings.origin);
    if (command->u.restore.salvage.size > 0) {
        ifab_buf_str(p, ",\"salvage\":");
        ifab_buf_view(p, command->u.restore.salvage);
    }
    ifab_buf_str(p, ",\"version\":");
    ifab_json_put_cstr(p, command->u.restore.version);
    if (command->u.restore.salvage.size > 0) /* nobody could count what waited */
        ifab_buf_str(p, ",\"void\":null}");
    else
        ifab_buf_format(p, ",\"void\":{\"escalated\":%zu,\"held\":%zu,\"invites\":%zu,\"tokens\":%zu}}",
                    open == NULL ? 0 : ifab_decisions_count(open, IFAB_DECISION_ESCALATE),
                    open == NULL ? 0 : ifab_decisions_count(open, IFAB_DECISION_HOLD), command->u.restore.invites, command->u.restore.tokens);
    struct ifab_entry fields = {
        .event = IFAB_EVENT_FABRIC_RESTORE,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .why = command->why,
        .subject = ifab_view_str(self->settings.fabric_actor),
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, command->mint16, 16);
    struct ifab_outcome_entry *first;
    if (self->tree.size != 0 || !ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &first)) {
        o->failed = true;
        return;
    }
    ifab_fabric__reply_entry(self, o, first, IFAB_VIEW(""));
    for (uint32_t i = 1; i <= ifab_talents_count(command->u.restore.talents); i++) {
        const struct ifab_talent *talent = ifab_talents_at(command->u.restore.talents, i);
        if (talent == NULL)
            continue;
        ifab_buf_clear(p);
        ifab_buf_str(p, "{\"record\":");
        ifab_buf_view(p, talent->record);
        ifab_buf_char(p, '}');
        struct ifab_entry restated = {
            .event = IFAB_EVENT_TALENT_ADD,
            .actor = ifab_view_str(self->settings.fabric_actor),
            .has_why_from = true,
            .why_from = 0,
            .subject = talent->name,
            .payload = ifab_buf_as_view(p),
        };
        memcpy(restated.trace16, command->mint16, 16);
        if (!ifab_fabric__entry(self, o, &restated, IFAB_VIEW(""), NULL))
            return;
        ifab_fabric__change(o, IFAB_KIND_TALENT, i, talent->record.data, talent->record.size);
    }
    if (!name_void(self, command, o))
        return;
    if (!ifab_fabric__restore_money(self, command, o)) {
        o->failed = true;
        return;
    }
    /* A message taken before the loss could carry a time up to skew ahead of the clock then; this machine's clock may be behind that one's. */
    ifab_usec skew = self->settings.skew > command->u.restore.old_skew ? self->settings.skew : command->u.restore.old_skew;
    o->issued_after = (o->now.wall > command->u.restore.old_wall ? o->now.wall : command->u.restore.old_wall) + skew;
    if (o->issued_after < command->u.restore.old_issued_after)
        o->issued_after = command->u.restore.old_issued_after;
}

static const struct {
    enum ifab_command_type type;
    enum ifab_event event;
    bool admin;
} notes[] = {
    {IFAB_COMMAND_ERASE, IFAB_EVENT_MESSAGE_ERASED, true},
    {IFAB_COMMAND_ANCHORED, IFAB_EVENT_ANCHOR_CREATED, false},
    {IFAB_COMMAND_CLOCK_JUMP, IFAB_EVENT_CLOCK_JUMP, false},
    {IFAB_COMMAND_CLOCK_ACCEPT, IFAB_EVENT_CLOCK_ACCEPT, true},
    {IFAB_COMMAND_BACKUP, IFAB_EVENT_BACKUP_CREATED, false},
};

void ifab_fabric__decide_note(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    size_t row = 0;
    char actor[96];
    struct ifab_view why;
    while (notes[row].type != command->type)
        row++;
    enum ifab_code code = ifab_fabric__authority(self, command, o, notes[row].admin, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    if (code == IFAB_CODE_NONE && command->u.note.missing)
        code = ifab_refuse(&o->reply.refusal, IFAB_CODE_NOT_FOUND, "id", "no stored bytes of a message with this id");
    if (code == IFAB_CODE_NONE && command->type == IFAB_COMMAND_CLOCK_ACCEPT && !self->clock_doubt)
        code = ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, NULL, "no clock is in doubt: there is nothing to accept");
    if (code != IFAB_CODE_NONE) {
        ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0,
                                command->u.note.subject);
        return;
    }
    struct ifab_entry fields = {
        .event = notes[row].event,
        .actor = ifab_view_str(actor),
        .why = why,
        .subject = command->u.note.subject,
        .payload = command->u.note.text,
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return;
    ifab_fabric__reply_entry(self, o, entry, command->type == IFAB_COMMAND_BACKUP ? command->u.note.text : IFAB_VIEW(""));
    ifab_fabric__keep_reply(self, command, o);
}

/* Touched by this very step already: not buried by it. */
static bool touched(const struct ifab_outcome *o, size_t changes, uint8_t kind, uint64_t number)
{
    for (size_t i = 0; i < changes; i++)
        if (o->changes[i].kind == kind && o->changes[i].number == number)
            return true;
    return false;
}

void ifab_fabric__bury(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most)
{
    uint64_t numbers[ENDED_IN_TICK];
    size_t changes = o->change_count;
    most = most < ENDED_IN_TICK ? most : ENDED_IN_TICK;
    size_t count = ifab_sequences_dead(self->sequences, o->now.wall, numbers, most);
    for (size_t i = 0; i < count; i++)
        if (!touched(o, changes, IFAB_KIND_SEQUENCE, numbers[i]))
            ifab_fabric__change(o, IFAB_KIND_SEQUENCE, numbers[i], NULL, 0);
    count = ifab_conversations_dead(self->conversations, o->now.wall, numbers, most);
    for (size_t i = 0; i < count; i++)
        if (!touched(o, changes, IFAB_KIND_CONVERSATION, numbers[i]))
            ifab_fabric__change(o, IFAB_KIND_CONVERSATION, numbers[i], NULL, 0);
}

/* Some of those due, in order of number. What has not been routed under the rules in force waits for that. */
static void close_due(const struct ifab_fabric *self, struct ifab_outcome *o)
{
    const struct ifab_open_decision *d = ifab_decisions_due(self->decisions, o->now.run);
    size_t count = 0;
    if (d == NULL)
        return;
    for (d = ifab_decisions_after(self->decisions, 0); d != NULL && count < DUE_IN_TICK && !o->failed;
         d = ifab_decisions_after(self->decisions, d->number)) {
        if (d->deadline_run > o->now.run || ifab_fabric__stale(self, o, d) || (self->routing && ifab_fabric__unreachable(self, d)))
            continue; /* that was, or will be, ended above */
        count++;
        if (d->state == IFAB_DECISION_HOLD)
            ifab_fabric__to_escalated(self, o, d, IFAB_EVENT_DECISION_ESCALATED, "held until its deadline", d->index);
        else
            ifab_fabric__close_denied(self, o, d, "no decision before the deadline", IFAB_VIEW(""), IFAB_VIEW(""), d->index);
    }
}

void ifab_fabric__decide_tick(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    uint64_t ended[ENDED_IN_TICK];
    o->reply.code = IFAB_CODE_NONE;
    o->ticked = true;
    if (self->routing)
        ifab_fabric__route_again(self, o, IFAB_FABRIC_CAUSE_RULES);
    if (self->routing)
        ifab_fabric__deny_unreachable(self, o);
    close_due(self, o);
    ifab_fabric__bury(self, o, ENDED_IN_TICK);
    ifab_fabric__end_accesses(self, o, ENDED_IN_TICK);
    ifab_fabric__end_tasks(self, o);
    ifab_fabric__end_money(self, o, ENDED_IN_TICK);
    ifab_fabric__end_plans(self, o, ENDED_IN_TICK);
    size_t count = ifab_fabric__kept_dead(self, o->now.wall, ended, ENDED_IN_TICK);
    for (size_t i = 0; i < count; i++)
        ifab_fabric__change(o, IFAB_KIND_IDEMPOTENCY, ended[i], NULL, 0);
    bool counted = self->rows_first != IFAB_NEVER;
    if (ifab_fabric__refusals_due(self) <= o->now.run || (command->ending && counted))
        ifab_fabric__flush_refusals(self, o);
}

ifab_usec ifab_fabric_deadline(const struct ifab_fabric *self, struct ifab_now now)
{
    uint64_t numbers[ENDED_IN_TICK];
    ifab_usec due = ifab_decisions_next_deadline(self->decisions);
    ifab_usec counts = ifab_fabric__refusals_due(self);
    if (counts < due)
        due = counts;
    /* Absolute times, counted from the last tick: a caller that asks again and again must see them come. */
    ifab_usec second = self->ticked + IFAB_SECOND, minute = self->ticked + IFAB_MINUTE;
    if (self->routing)
        due = due < self->ticked ? due : self->ticked;
    size_t sequences = ifab_sequences_dead(self->sequences, now.wall, numbers, ENDED_IN_TICK);
    size_t conversations = ifab_conversations_dead(self->conversations, now.wall, numbers, ENDED_IN_TICK);
    if (sequences == ENDED_IN_TICK || conversations == ENDED_IN_TICK) /* more than one TICK's worth: they count against those who come */
        due = due < self->ticked ? due : self->ticked;
    else if (sequences + conversations > 0)
        due = due < second ? due : second;
    ifab_usec kept = ifab_fabric__kept_due(self);
    if (kept != IFAB_NEVER) {
        ifab_usec ends = kept > now.wall ? now.run + (kept - now.wall) : second;
        due = due < ends ? due : ends;
    }
    ifab_usec access = ifab_accesses_due(self->accesses);
    if (access != IFAB_NEVER) {
        ifab_usec ends = access > now.wall ? now.run + (access - now.wall) : self->ticked; /* more than one TICK's worth: due at once */
        due = due < ends ? due : ends;
    }
    ifab_usec tasks = ifab_fabric__tasks_due(self, now);
    due = due < tasks ? due : tasks;
    ifab_usec money = ifab_fabric__money_due(self, now);
    due = due < money ? due : money;
    ifab_usec plans = ifab_fabric__plans_due(self, now);
    due = due < plans ? due : plans;
    if (ifab_replay_count(self->replay) > 0) /* ended tags leave in a step: an idle fabric takes one a minute, or they would count against the next message */
        due = due < minute ? due : minute;
    return due;
}
