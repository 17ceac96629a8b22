/*
 * Secrets as the log has them: who set, rotated or revoked which, why, for which origins, and which vault holds the values from then on; who asked
 * for one, and was given it or not. Values never come here (INV-09). The shell stages the vault before the step and writes it before the commit; the
 * entry makes it valid (INV-04, docs/decisions/vault.md).
 */
#include "fabric_internal.h"

#include <stdio.h>
#include <string.h>

#define VAULT_NUMBER 1

static const struct {
    enum ifab_event event;
    int http;
} acts[] = {
    [IFAB_SECRET_SET] = {IFAB_EVENT_SECRET_SET, 201},
    [IFAB_SECRET_ROTATE] = {IFAB_EVENT_SECRET_ROTATE, 200},
    [IFAB_SECRET_REVOKE] = {IFAB_EVENT_SECRET_REVOKE, 200},
};

static uint32_t signer_of(const struct ifab_command *command)
{
    return command->act != NULL && command->act->present ? command->act->talent : command->principal != NULL ? command->principal->talent : 0;
}

static enum ifab_code staged(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    if (command->u.secret.code != IFAB_CODE_NONE) {
        o->reply.refusal = command->u.secret.refusal;
        return command->u.secret.code;
    }
    if (command->u.secret.mark.counter != ifab_secrets_mark(self->secrets)->counter + 1)
        return ifab_refuse(&o->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "the vault does not stand where the log does");
    return IFAB_CODE_NONE;
}

/* {"secret":…,"vault":…}: both records whole (INV-16). */
static void put_records(struct ifab_outcome *o, struct ifab_view record, struct ifab_view mark)
{
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"secret\":");
    ifab_buf_view(&o->payload, record);
    ifab_buf_str(&o->payload, ",\"vault\":");
    ifab_buf_view(&o->payload, mark);
    ifab_buf_char(&o->payload, '}');
}

static enum ifab_code change(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const char *actor,
                             struct ifab_view why)
{
    struct ifab_secret_request request = command->u.secret.request;
    struct ifab_secret next;
    request.wall = o->now.wall > o->last_time ? o->now.wall : o->last_time;
    enum ifab_code code = ifab_secret_next(self->secrets, &request, &next, &o->reply.refusal);
    if (code == IFAB_CODE_NONE)
        code = staged(self, command, o);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_buf_clear(&o->scratch);
    ifab_secret_write(&o->scratch, &next);
    struct ifab_view record = ifab_fabric__keep(o, &o->scratch);
    ifab_buf_clear(&o->scratch);
    ifab_secret_mark_write(&o->scratch, &command->u.secret.mark);
    struct ifab_view mark = ifab_fabric__keep(o, &o->scratch);
    put_records(o, record, mark);
    struct ifab_entry fields = {
        .event = acts[request.act].event,
        .actor = ifab_view_str(actor),
        .why = why,
        .subject = request.name,
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    struct ifab_outcome_entry *entry;
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_fabric__change(o, IFAB_KIND_SECRET, next.number != 0 ? next.number : o->next_number++, record.data, record.size);
    ifab_fabric__change(o, IFAB_KIND_VAULT, VAULT_NUMBER, mark.data, mark.size);
    ifab_fabric__reply_entry(self, o, entry, ifab_buf_as_view(&o->payload));
    o->reply.http = acts[request.act].http;
    return IFAB_CODE_NONE;
}

void ifab_fabric__decide_secret(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    char actor[96];
    struct ifab_view why;
    enum ifab_code code = ifab_fabric__authority(self, command, o, true, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    if (code == IFAB_CODE_NONE)
        code = change(self, command, o, actor, why);
    if (code == IFAB_CODE_NONE)
        ifab_fabric__keep_reply(self, command, o);
    else
        ifab_fabric__refuse_act(self, command, o, code, signer_of(command), command->u.secret.request.name);
}

static bool put_access(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__secret_ask *ask,
                       const struct ifab_secret *secret, enum ifab_code code, struct ifab_outcome_entry **ret_entry)
{
    ifab_buf_clear(&o->payload);
    ifab_buf_char(&o->payload, '{');
    if (code != IFAB_CODE_NONE)
        ifab_buf_format(&o->payload, "\"code\":%d,", (int)code);
    ifab_buf_str(&o->payload, "\"name\":");
    ifab_json_put_string(&o->payload, ask->name);
    ifab_buf_str(&o->payload, ",\"origin\":");
    ifab_json_put_string(&o->payload, ask->origin);
    if (secret != NULL)
        ifab_buf_format(&o->payload, ",\"version\":%u", secret->version);
    ifab_buf_char(&o->payload, '}');
    struct ifab_entry fields = {
        .event = code == IFAB_CODE_NONE ? IFAB_EVENT_SECRET_GET : IFAB_EVENT_SECRET_DENIED,
        .actor = ask->actor,
        .why = ask->why,
        .has_why_from = ask->why.size == 0,
        .why_from = ask->why_from,
        .subject = ask->subject,
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), ret_entry);
}

enum ifab_code ifab_fabric__secret_ask(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__secret_ask *ask,
                                       const struct ifab_secret **ret_secret)
{
    const struct ifab_secret *secret = NULL;
    enum ifab_code code = ifab_secret_for(self->secrets, ask->name, ask->origin, &secret, &o->reply.refusal);
    if (!put_access(self, o, ask, secret, code, NULL))
        return IFAB_CODE_SYSTEM_ERROR;
    if (code == IFAB_CODE_NONE)
        *ret_secret = secret;
    return code;
}

/* What was revoked since its intent gets nothing more. */
static bool still_allowed(const struct ifab_fabric *self, const struct ifab_plan *plan, ifab_usec wall)
{
    const uint8_t *at = memchr(plan->capability.data, '@', plan->capability.size);
    size_t id = at == NULL ? 0 : (size_t)(at - plan->capability.data);
    const struct ifab_allowed *allowed;
    struct ifab_refusal unused;
    return at != NULL &&
           ifab_registry_find(self->registry, ifab_view_of(plan->capability.data, id), ifab_view_of(at + 1, plan->capability.size - id - 1), wall, &allowed,
                              &unused) == IFAB_CODE_NONE &&
           memcmp(allowed->manifest->digest32, plan->manifest32, 32) == 0 && ifab_fabric_may_call(self, plan->talent, allowed->manifest, wall);
}

/* A call under way is about to use it: the manifest names it, egress looks where it goes. The entry has the plan's why. */
static void decide_for_call(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_plan *plan = ifab_plan_at(self->plans, command->u.secret_get.plan);
    const struct ifab_talent *talent = plan == NULL ? NULL : ifab_talents_at(self->talents, plan->talent);
    const struct ifab_secret *secret;
    char actor[96];
    if (talent == NULL || plan->intent != command->u.secret_get.intent || !ifab_plan_is_running(plan) || !still_allowed(self, plan, o->now.wall)) {
        ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, NULL, "no such call is under way");
        ifab_fabric__refused(o, IFAB_CODE_CONFLICT);
        return;
    }
    snprintf(actor, sizeof actor, "if://agent/" IFAB_FMT, IFAB_ARG(talent->name));
    memcpy(o->reply.trace16, plan->trace16, 16);
    const struct ifab_fabric__secret_ask ask = {.name = command->u.secret_get.name, .origin = command->u.secret_get.origin, .actor = ifab_view_str(actor),
                                                .why_from = plan->index, .subject = plan->capability};
    enum ifab_code code = ifab_fabric__secret_ask(self, o, &ask, &secret);
    if (code == IFAB_CODE_NONE)
        o->reply.code = IFAB_CODE_NONE;
    else
        ifab_fabric__refused(o, code);
}

/* An operator's: whether the access would be given, on the same way that a capability takes. */
void ifab_fabric__decide_secret_get(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    if (command->u.secret_get.plan != 0) {
        decide_for_call(self, command, o);
        return;
    }
    struct ifab_fabric__secret_ask ask = {.name = command->u.secret_get.name, .origin = command->u.secret_get.origin};
    const struct ifab_secret *secret = NULL;
    struct ifab_outcome_entry *entry;
    char actor[96];
    enum ifab_code code = ifab_fabric__authority(self, command, o, false, 0, actor, &ask.why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    if (code == IFAB_CODE_NONE)
        code = ifab_secret_for(self->secrets, ask.name, ask.origin, &secret, &o->reply.refusal);
    if (code != IFAB_CODE_NONE) { /* within its allowance of entries, past that counted */
        ifab_fabric__refuse_as(self, command, o, IFAB_EVENT_SECRET_DENIED, code, signer_of(command), ask.name);
        return;
    }
    ask.actor = ifab_view_str(actor);
    ask.subject = ask.name;
    if (!put_access(self, o, &ask, secret, code, &entry))
        return;
    ifab_fabric__reply_entry(self, o, entry, ifab_buf_as_view(&o->payload));
}

/* The old vault's values are under the old fabric's key and mark: a new fabric has none of them, and says which. */
void ifab_fabric__void_secret(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_secret *secret)
{
    ifab_buf_clear(&o->payload);
    ifab_buf_str(&o->payload, "{\"secret\":");
    ifab_buf_view(&o->payload, secret->record);
    ifab_buf_char(&o->payload, '}');
    struct ifab_entry fields = {
        .event = IFAB_EVENT_SECRET_VOIDED,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .has_why_from = true,
        .why_from = 0,
        .subject = secret->name,
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}
