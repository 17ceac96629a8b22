/*
 * Publishers, the allow-list, revocations: an admin's acts, each record whole in an entry (INV-16). And loads: every attempt is an entry (INV-07).
 */
#include "fabric_internal.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)IFAB_KIND_PUBLISHER == (int)IFAB_REGISTRY_PUBLISHER && (int)IFAB_KIND_ALLOWED == (int)IFAB_REGISTRY_ALLOWED &&
                   (int)IFAB_KIND_REVOCATION == (int)IFAB_REGISTRY_REVOCATION,
               "one number for both");

#define CHANGES_TOLD 4 /* in the words of a refusal; the whole of it is for who has both manifests */

static void put_digest_of(struct ifab_buf *p, const char *name, const uint8_t digest32[32])
{
    ifab_buf_format(p, "\"%s\":", name);
    ifab_fabric__put_digest(p, digest32);
}

static void put_names(struct ifab_buf *buf, const struct ifab_view *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ifab_buf_str(buf, i > 0 ? "," : "");
        ifab_json_put_string(buf, names[i]);
    }
}

void ifab_fabric_capability_json(const struct ifab_fabric *self, const struct ifab_allowed *allowed, ifab_usec wall, const struct ifab_view *lacks,
                                 size_t lack_count, bool with_manifest, struct ifab_buf *buf)
{
    const struct ifab_manifest *m = allowed->manifest;
    const char *revoked = ifab_registry_revoked(self->registry, allowed);
    ifab_buf_str(buf, "{\"allowed_at\":\"");
    ifab_buf_time(buf, allowed->allowed_at);
    ifab_buf_str(buf, "\",");
    put_digest_of(buf, "digest", m->digest32);
    ifab_buf_str(buf, ",\"id\":");
    ifab_json_put_string(buf, m->id);
    ifab_buf_str(buf, ",\"lacks_config\":[");
    put_names(buf, lacks, lack_count);
    ifab_buf_char(buf, ']');
    if (with_manifest) {
        ifab_buf_str(buf, ",\"manifest\":");
        ifab_buf_view(buf, m->canonical);
    }
    ifab_buf_str(buf, ",\"operations\":[");
    for (size_t i = 0; i < m->operation_count; i++) {
        ifab_buf_str(buf, i > 0 ? "," : "");
        ifab_json_put_string(buf, m->operations[i].name);
    }
    ifab_buf_str(buf, "],\"publisher\":");
    ifab_json_put_string(buf, allowed->publisher);
    ifab_buf_str(buf, ",\"revoked\":");
    if (revoked == NULL)
        ifab_buf_str(buf, "null");
    else
        ifab_json_put_cstr(buf, revoked);
    ifab_buf_format(buf, ",\"state\":\"%s\",\"summary\":", revoked != NULL ? "revoked" : wall >= m->not_after ? "expired" : "allowed");
    ifab_json_put_string(buf, m->summary);
    ifab_buf_str(buf, ",\"version\":");
    ifab_json_put_string(buf, m->version);
    ifab_buf_char(buf, '}');
}

static uint32_t signer_of(const struct ifab_command *command)
{
    return command->act != NULL && command->act->present ? command->act->talent : command->principal != NULL ? command->principal->talent : 0;
}

struct made { /* what an act has made: its record, and what it is about */
    enum ifab_event event;
    uint8_t kind;
    uint64_t number; /* 0: a new one */
    struct ifab_view subject, record;
};

static enum ifab_code enter(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, const struct made *made,
                            const char *actor, struct ifab_view why)
{
    struct ifab_outcome_entry *entry;
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"record\":");
    ifab_buf_view(p, made->record);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {
        .event = made->event, .actor = ifab_view_str(actor), .why = why, .subject = made->subject, .payload = ifab_buf_as_view(p)};
    memcpy(fields.trace16, o->reply.trace16, 16);
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return IFAB_CODE_SYSTEM_ERROR;
    ifab_fabric__change(o, made->kind, made->number != 0 ? made->number : o->next_number++, made->record.data, made->record.size);
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"subject\":");
    ifab_json_put_string(p, made->subject);
    if (made->kind != IFAB_KIND_ALLOWED) { /* that one may be large, and its caller has it */
        ifab_buf_str(p, ",\"record\":");
        ifab_buf_view(p, made->record);
    } else {
        ifab_buf_char(p, ',');
        put_digest_of(p, "digest", command->u.capability.manifest->digest32);
    }
    ifab_buf_char(p, '}');
    struct ifab_view more = ifab_fabric__keep(o, p);
    ifab_fabric__reply_entry(self, o, entry, more);
    return IFAB_CODE_NONE;
}

/* A key has one use and one holder: one that signs for a talent, or shows its certificate, signs no manifest. */
static bool key_taken(const struct ifab_fabric *self, const uint8_t pubkey32[32])
{
    uint8_t spki32[32];
    ifab_spki_digest(pubkey32, spki32);
    return ifab_talents_by_key(self->talents, pubkey32, NULL) != NULL || ifab_talents_by_spki(self->talents, spki32, NULL) != NULL;
}

static enum ifab_code publisher_record(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct made *made)
{
    struct ifab_publisher_request request = command->u.publisher.request;
    struct ifab_refusal *r = &o->reply.refusal;
    request.wall = o->now.wall;
    made->subject = request.name;
    made->kind = IFAB_KIND_PUBLISHER;
    made->event = command->u.publisher.revoke ? IFAB_EVENT_PUBLISHER_REVOKE : IFAB_EVENT_PUBLISHER_ADD;
    if (command->u.publisher.revoke)
        return ifab_publisher_revoke(self->registry, request.name, request.wall, &o->scratch, &made->number, r);
    if (key_taken(self, request.pubkey32))
        return ifab_refuse(r, IFAB_CODE_CONFLICT, "pubkey", "this key is or was a talent's; a key has one use");
    return ifab_publisher_add(self->registry, &request, &o->scratch, r);
}

/* Names what differs from the manifest that is known as this version. */
static void tell_changes(struct ifab_outcome *o, const struct ifab_allowed *known, const struct ifab_manifest *manifest)
{
    struct ifab_manifest_change changes[CHANGES_TOLD];
    size_t count = 0, total = 0;
    char text[160] = "";
    if (ifab_manifest_diff(known->manifest->tree, manifest->tree, o->arena, changes, CHANGES_TOLD, &count, &total) != IFAB_OK)
        return;
    for (size_t i = 0, at = 0; i < count && at + 40 < sizeof text; i++) {
        struct ifab_view pointer = ifab_fabric__readable(changes[i].pointer, 32);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s" IFAB_FMT, i > 0 ? ", " : "", IFAB_ARG(pointer));
    }
    ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "version",
                "this version is known with another manifest (%zu differ: %s); a change needs a new version", total, total == 0 ? "signature" : text);
}

static struct ifab_view subject_of(struct ifab_outcome *o, struct ifab_view id, struct ifab_view version)
{
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(p);
    ifab_buf_view(p, id);
    ifab_buf_str(p, version.size > 0 ? "@" : "");
    ifab_buf_view(p, version);
    return ifab_fabric__keep(o, p);
}

static enum ifab_code capability_record(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct made *made)
{
    const struct ifab_manifest *m = command->u.capability.manifest;
    struct ifab_revoke_request revoke = command->u.capability.revoke;
    const struct ifab_allowed *known = NULL;
    if (m != NULL) {
        made->subject = subject_of(o, m->id, m->version);
        made->kind = IFAB_KIND_ALLOWED;
        made->event = IFAB_EVENT_CAPABILITY_ALLOW;
        enum ifab_code code = ifab_capability_allow(self->registry, m, o->now.wall, &o->scratch, &known, &o->reply.refusal);
        if (code == IFAB_CODE_CONFLICT && known != NULL)
            tell_changes(o, known, m);
        return code;
    }
    revoke.wall = o->now.wall;
    made->subject = subject_of(o, revoke.id.size > 0 ? revoke.id : revoke.digest32 != NULL ? IFAB_VIEW("digest") : IFAB_VIEW("key"), revoke.version);
    made->kind = IFAB_KIND_REVOCATION;
    made->event = IFAB_EVENT_CAPABILITY_REVOKE;
    return ifab_capability_revoke(self->registry, &revoke, &o->scratch, &o->reply.refusal);
}

void ifab_fabric__decide_capability(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    char actor[96];
    struct ifab_view why;
    struct made made = {.number = 0};
    enum ifab_code code = ifab_fabric__authority(self, command, o, true, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    ifab_buf_clear(&o->scratch);
    bool publisher = command->type == IFAB_COMMAND_PUBLISHER;
    if (code == IFAB_CODE_NONE)
        code = publisher ? publisher_record(self, command, o, &made) : capability_record(self, command, o, &made);
    if (code == IFAB_CODE_NONE) {
        made.record = ifab_fabric__keep(o, &o->scratch);
        code = enter(self, command, o, &made, actor, why);
    }
    if (code == IFAB_CODE_NONE)
        ifab_fabric__keep_reply(self, command, o);
    else
        ifab_fabric__refuse_act(self, command, o, code, signer_of(command), made.subject.size > 0 ? made.subject : IFAB_VIEW("registry"));
}

/* ---- loads ---- */

static void put_module(struct ifab_buf *p, const struct ifab_module *module)
{
    if (module == NULL) {
        ifab_buf_str(p, "null");
        return;
    }
    ifab_buf_str(p, "{");
    put_digest_of(p, "sha256", module->sha256);
    ifab_buf_format(p, ",\"size\":%llu}", (unsigned long long)module->size);
}

static enum ifab_code judge_load(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                                 const struct ifab_allowed **ret_allowed)
{
    struct ifab_refusal *r = &o->reply.refusal;
    const struct ifab_principal *principal = command->principal;
    if (principal == NULL || (principal->role != IFAB_ROLE_OPERATOR && principal->role != IFAB_ROLE_ADMIN))
        return ifab_refuse(r, IFAB_CODE_PERMISSION_DENIED, NULL, "this needs the role operator");
    enum ifab_code code = ifab_registry_find(self->registry, command->u.load.id, command->u.load.version, o->now.wall, ret_allowed, r);
    if (code == IFAB_CODE_NONE)
        code = ifab_capability_load_check(self->registry, (*ret_allowed)->manifest, command->u.load.module, o->now.wall, r);
    if (code == IFAB_CODE_NONE && command->u.load.module == NULL) /* nothing else was wrong with it */
        code = ifab_refuse(r, IFAB_CODE_DIGEST_MISMATCH, "entrypoint.module", IFAB_FMT, IFAB_ARG(command->u.load.problem));
    return code;
}

void ifab_fabric__decide_load(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    const struct ifab_allowed *allowed = NULL;
    struct ifab_outcome_entry *entry;
    struct ifab_buf *p = &o->payload;
    enum ifab_code code = judge_load(self, command, o, &allowed);
    if (ifab_fabric__idempotent(self, command, code == IFAB_CODE_PERMISSION_DENIED ? code : IFAB_CODE_NONE, o))
        return;
    struct ifab_view id = allowed != NULL ? allowed->manifest->id : command->u.load.id;
    struct ifab_view version = allowed != NULL ? allowed->manifest->version : command->u.load.version;
    struct ifab_view subject = subject_of(o, id, version);
    if (code != IFAB_CODE_NONE) {
        uint32_t who = command->u.load.talent != 0 ? command->u.load.talent : signer_of(command);
        ifab_fabric__refuse_as(self, command, o, IFAB_EVENT_CAPABILITY_LOAD_REFUSED, code, who, subject);
        return;
    }
    ifab_buf_clear(p);
    ifab_buf_char(p, '{');
    put_digest_of(p, "digest", allowed->manifest->digest32);
    ifab_buf_str(p, ",\"module\":");
    put_module(p, command->u.load.module);
    ifab_buf_str(p, ",\"publisher\":");
    ifab_json_put_string(p, allowed->publisher);
    ifab_buf_char(p, '}');
    struct ifab_view more = ifab_fabric__keep(o, p);
    struct ifab_entry fields = {
        .event = IFAB_EVENT_CAPABILITY_LOAD,
        .actor = ifab_view_str(command->principal->actor),
        .why = command->why.size > 0 ? command->why : IFAB_VIEW("load"),
        .subject = subject,
        .payload = more,
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return;
    ifab_fabric__reply_entry(self, o, entry, more);
    ifab_fabric__keep_reply(self, command, o);
}

/* ---- a start, a restore, the root ---- */

ifab_status ifab_fabric__load_registry(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    IFAB_TRY(ifab_registry_load(self->registry, (enum ifab_registry_kind)kind, number, bytes, err));
    self->registry_version++;
    if (number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}

bool ifab_fabric__registry_empty(const struct ifab_fabric *self)
{
    return ifab_registry_count(self->registry, IFAB_REGISTRY_PUBLISHER) + ifab_registry_count(self->registry, IFAB_REGISTRY_ALLOWED) +
               ifab_registry_count(self->registry, IFAB_REGISTRY_REVOCATION) ==
           0;
}

void ifab_fabric__restate_registry(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_registered *record)
{
    static const enum ifab_event events[] = {IFAB_EVENT_PUBLISHER_ADD, IFAB_EVENT_CAPABILITY_ALLOW, IFAB_EVENT_CAPABILITY_REVOKE};
    struct ifab_buf *p = &o->payload;
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"record\":");
    ifab_buf_view(p, record->bytes);
    ifab_buf_char(p, '}');
    struct ifab_entry fields = {
        .event = events[record->kind - IFAB_KIND_PUBLISHER],
        .actor = ifab_view_str(self->settings.fabric_actor),
        .has_why_from = true,
        .why_from = 0,
        .subject = record->subject,
        .payload = ifab_buf_as_view(p),
    };
    if (ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL))
        ifab_fabric__change(o, record->kind, o->next_number++, record->bytes.data, record->bytes.size);
}

const struct ifab_registry *ifab_fabric_registry(const struct ifab_fabric *self) { return self->registry; }

uint64_t ifab_fabric_registry_version(const struct ifab_fabric *self) { return self->registry_version; }
