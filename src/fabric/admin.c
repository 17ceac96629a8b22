/*
 * Who may do an administrative act: an operator of the socket, or a signed admin act (SURFACE sections 3 and 8). The uid alone is an operator, never an
 * admin. An act is used up once: its digest and nonce go into replay memory of the talent that signed.
 */
#include "fabric_internal.h"

#include <stdio.h>
#include <string.h>

static enum ifab_code check_act(const struct ifab_fabric *self, const struct ifab_admin_act *act, struct ifab_outcome *o, const struct ifab_talent *signer)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_key *key;
    ifab_usec wall = o->now.wall, skew = self->settings.skew;
    enum ifab_code code = ifab_talent_key_check(signer, act->pubkey32, wall, &key, r);
    if (code != IFAB_CODE_NONE)
        return code == IFAB_CODE_INVALID_SIGNATURE ? IFAB_CODE_KEY_REVOKED : code;
    if (act->issued_at > wall + skew)
        return ifab_refuse(r, IFAB_CODE_FUTURE_MESSAGE, "IF-Admin", "the admin act was issued in the future");
    ifab_usec expiry = act->issued_at + IFAB_ADMIN_ACT_TTL;
    if (expiry + skew < wall || expiry <= ifab_replay_dropped_until(self->replay))
        return ifab_refuse(r, IFAB_CODE_EXPIRED_MESSAGE, "IF-Admin", "the admin act is older than 5 minutes");
    struct ifab_replay_tag *tag = &o->tags[o->tag_count];
    ifab_replay_tags(self->settings.tag_key16, signer->number, act->digest16, act->nonce, act->nonce_size, tag);
    tag->expiry = expiry;
    tag->index = o->next_index;
    tag->talent = signer->number;
    tag->decision = IFAB_DECISION_SHARE;
    enum ifab_replay_verdict seen = ifab_replay_check(self->replay, tag, NULL, NULL);
    if (seen == IFAB_REPLAY_SEEN)
        return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_REPLAY_DETECTED, "IF-Admin", "this admin act was used already"),
                                "An act is good for one request. What it did stands in the log: ifctl witness query. To do it once more, sign a new one.");
    if (seen == IFAB_REPLAY_QUOTA)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "too many live messages of this talent");
    o->tag_count++;
    return IFAB_CODE_NONE;
}

/*
 * need_admin: an admin's signature is needed. self_talent: the act of this talent itself is enough (its own key), 0: nobody's.
 * On success *ret_actor names who did it and *ret_why says why.
 */
enum ifab_code ifab_fabric__authority(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool need_admin,
                                      uint32_t self_talent, char ret_actor[96], struct ifab_view *ret_why)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_principal *principal = command->principal;
    const struct ifab_admin_act *act = command->act;
    memset(ret_actor, 0, 96);
    if (principal != NULL)
        memcpy(ret_actor, principal->actor, 95);
    *ret_why = command->why;
    if (command->second != NULL && command->second->present && !(command->type == IFAB_COMMAND_TALENT && command->u.talent.act == IFAB_ACT_GRANT))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "IF-Admin", "two admin acts are for grants; this takes one");
    if (act != NULL && act->present) {
        const struct ifab_talent *signer = ifab_talents_at(self->talents, act->talent);
        if (signer == NULL)
            return ifab_refuse(r, IFAB_CODE_UNKNOWN_SENDER, "IF-Admin", "the admin act is signed by nobody known here");
        enum ifab_code code = check_act(self, act, o, signer);
        if (code != IFAB_CODE_NONE)
            return code;
        if (signer->role != IFAB_ROLE_ADMIN && !(self_talent != 0 && signer->number == self_talent))
            return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "IF-Admin", "signed by a talent of role %s; an admin's signature is needed",
                               ifab_role_name(signer->role));
        size_t size = signer->name.size;
        memcpy(ret_actor, "if://agent/", 11);
        memcpy(ret_actor + 11, signer->name.data, size);
        ret_actor[11 + size] = '\0';
        *ret_why = ifab_view_str(act->why);
        return IFAB_CODE_NONE;
    }
    if (need_admin)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "IF-Admin", "this needs an admin act, signed with an admin's key (the socket's uid alone is an operator)");
    if (principal == NULL || (principal->role != IFAB_ROLE_OPERATOR && principal->role != IFAB_ROLE_ADMIN))
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "this needs the role operator");
    if (ret_why->size == 0)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "why", "say why");
    return IFAB_CODE_NONE;
}

static const char second_hint[] = "A second admin, of another owner, adds his act: ifctl talent grant NAME --scope SCOPE --act-out FILE, then he with --act-in FILE.";

enum ifab_code ifab_fabric__second_admin(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_admin_act *act = command->act, *second = command->second;
    if (act == NULL || !act->present || second == NULL || !second->present)
        return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "IF-Admin", "a sensitive scope needs admin acts of two admins of different owners"),
                                second_hint);
    const struct ifab_talent *one = ifab_talents_at(self->talents, act->talent), *other = ifab_talents_at(self->talents, second->talent);
    if (one == NULL || other == NULL)
        return ifab_refuse(r, IFAB_CODE_UNKNOWN_SENDER, "IF-Admin", "an admin act is signed by nobody known here");
    enum ifab_code code = check_act(self, second, o, other);
    if (code != IFAB_CODE_NONE)
        return code;
    if (other->role != IFAB_ROLE_ADMIN)
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "IF-Admin", "the second act is signed by a talent of role %s; an admin's is needed",
                           ifab_role_name(other->role));
    if (ifab_view_equal_nocase(one->owner, other->owner))
        return ifab_refuse_hint(r, ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, "IF-Admin", "both admins have one owner, " IFAB_FMT ": that is one person's word",
                                               IFAB_ARG(one->owner)), second_hint);
    return IFAB_CODE_NONE;
}

/* Refused acts leave an entry as well: who tried, what, and the code (DESIGN section 5, Witness). */
void ifab_fabric__refuse_act(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, enum ifab_code code,
                             uint32_t talent, struct ifab_view subject)
{
    ifab_fabric__refuse_as(self, command, o, IFAB_EVENT_ADMIN_REFUSED, code, talent, subject);
}

/* What the step has written is taken back. */
static void refuse_bare(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_code code)
{
    o->entry_count = o->change_count = o->tag_count = 0; /* a refused act uses up and changes nothing */
    o->next_index = self->tree.size;
    memcpy(o->last_hash32, self->last_hash32, 32);
    o->last_time = self->last_time;
    ifab_fabric__refused(o, code);
}

static void count_it(struct ifab_outcome *o, enum ifab_code code, const struct ifab_talent *who)
{
    o->count_code = code;
    o->count_source = who != NULL ? who->name : IFAB_VIEW("socket");
}

void ifab_fabric__refuse_counted(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_code code, uint32_t talent)
{
    refuse_bare(self, o, code);
    count_it(o, code, talent == 0 ? NULL : ifab_talents_at(self->talents, talent));
}

void ifab_fabric__refuse_as(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, enum ifab_event event,
                            enum ifab_code code, uint32_t talent, struct ifab_view subject)
{
    const struct ifab_talent *who = talent == 0 ? NULL : ifab_talents_at(self->talents, talent);
    struct ifab_meter meter = ifab_fabric__meter(self, talent, o->now.run);
    struct ifab_buf *p = &o->payload;
    char actor[96] = "";
    if (code == IFAB_CODE_SYSTEM_ERROR) { /* ours, not the talent's: nothing to say about it in the log */
        o->failed = true;
        return;
    }
    refuse_bare(self, o, code);
    if (who != NULL)
        snprintf(actor, sizeof actor, "if://agent/" IFAB_FMT, IFAB_ARG(who->name));
    else if (command->principal != NULL)
        memcpy(actor, command->principal->actor, sizeof actor);
    ifab_buf_clear(p);
    ifab_buf_format(p, "{\"code\":\"IF_ERR_%03d\",\"field\":", (int)code);
    ifab_json_put_cstr(p, o->reply.refusal.field);
    ifab_buf_char(p, '}');
    if (!ifab_fabric__may_enter_refusal(self, &meter, o->now.run, p->size + 512)) {
        count_it(o, code, who);
    } else {
        struct ifab_entry fields = {
            .event = event,
            .actor = ifab_view_str(actor),
            .why = ifab_view_str(o->reply.refusal.message),
            .subject = ifab_fabric__readable(subject, 256), /* as the request had it: of any length */
            .payload = ifab_buf_as_view(p),
        };
        memcpy(fields.trace16, o->reply.trace16, 16);
        ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
    }
    ifab_fabric__put_meter(o, &meter);
}
