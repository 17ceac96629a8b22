#ifndef SUPPORT_RIG_H
#define SUPPORT_RIG_H
/*
 * An in-process fabric for tests: bytes in, admit, prepare, decide, apply, and a "store" that keeps what a commit would: each record's last
 * value, replay tags, entries, the head. rig_load() makes a second fabric from it, as a start does. Every step is checked: entries without
 * gaps, chained by hash, times that never decrease. Header only; aborts when the rig itself cannot go on. Include it after cmocka.h.
 */
#include "admit/admit.h"
#include "base/map.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "fabric/fabric.h"
#include "make_envelope.h"
#include "support.h"

#define RIG_ORIGIN "test.local/main/00000001"
#define RIG_WALL ((ifab_usec)1762942920 * IFAB_SECOND) /* 2025-11-12T10:22:00Z, the clock of the envelope vectors */
#define RIG_SHARED "{\"claim\":\"x\",\"claim_id\":\"C-1\",\"confidence\":{\"normalized\":0.9,\"raw\":0.9},\"scope\":{\"year\":2024}}"
#define RIG_HELD "{\"claim\":\"x\",\"claim_id\":\"C-1\",\"confidence\":{\"normalized\":0.25,\"raw\":0.25},\"scope\":{\"year\":2024}}"
#define RIG_ESCALATED "{\"confidence\":{\"normalized\":0.9,\"raw\":0.9},\"hazards\":[\"legal\"]}"
#define RIG_SECRET "{\"data\":{\"password\":\"correct horse battery staple\"}}"
#define RIG_TALENTS 80

struct rig_record {
    uint8_t kind;
    uint64_t number;
    uint8_t *bytes; /* NULL: deleted */
    size_t size;
};
struct rig_entry {
    uint8_t *bytes, *message;
    size_t size, message_size;
};
struct rig_talent {
    char name[65];
    struct ifab_signer *signer;
};
struct rig {
    struct ifab_fabric_settings settings;
    struct ifab_fabric *fabric;
    struct ifab_keyring *keyring;
    uint64_t keyring_version;
    struct ifab_now now;
    struct ifab_arena arena; /* of the last step */
    struct ifab_outcome outcome;
    struct ifab_admitted admitted;
    struct ifab_refusal refusal; /* of the last admit */
    struct ifab_principal principal; /* the socket's operator */
    struct ifab_admin_act act;
    struct rig_talent talents[RIG_TALENTS]; /* by number */
    struct ifab_buf text; /* of the last message built */
    uint64_t minted, n;   /* traces; messages, votes and acts */
    bool unsigned_ok;     /* fast path: neither signed nor verified */
    /* the store */
    struct rig_record *records;
    size_t record_count, record_room;
    struct ifab_u64map places;
    struct ifab_buf tags;
    struct rig_entry *entries;
    size_t entry_count, entry_room;
    uint8_t last_hash32[32];
    struct ifab_fabric_head head;
    ifab_usec kept_wall; /* of the last commit */
};

static inline void rig_must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "rig: %s\n", what);
    abort();
}

static inline void *rig_grown(void *array, size_t *room, size_t count, size_t item)
{
    if (count < *room)
        return array;
    *room = *room == 0 ? 256 : *room * 2;
    array = realloc(array, *room * item);
    rig_must(array != NULL, "memory");
    return array;
}

static inline uint8_t *rig_copy(struct ifab_view bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);
    rig_must(copy != NULL, "memory");
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

static inline void rig_settings(struct ifab_fabric_settings *settings)
{
    ifab_fabric_settings_default(settings);
    snprintf(settings->origin, sizeof settings->origin, "%s", RIG_ORIGIN);
    snprintf(settings->fabric_actor, sizeof settings->fabric_actor, "if://fabric/%s", RIG_ORIGIN);
    settings->rules.loaded = true;
    memset(settings->rules.digest32, 0x11, 32);
    memset(settings->tag_key16, 0x22, 16);
    settings->seed = 7;
    settings->conversations.seed = 9;
}

/* ---- the store ---- */

static inline struct rig_record *rig_record(struct rig *self, uint8_t kind, uint64_t number)
{
    uint64_t key = (uint64_t)kind << 56 | number, place;
    if (ifab_u64map_get(&self->places, key, &place))
        return &self->records[place];
    self->records = rig_grown(self->records, &self->record_room, self->record_count, sizeof *self->records);
    rig_must(ifab_u64map_put(&self->places, key, self->record_count) == IFAB_OK, "memory");
    self->records[self->record_count] = (struct rig_record){.kind = kind, .number = number};
    return &self->records[self->record_count++];
}

static inline void rig_keep_record(struct rig *self, uint8_t kind, uint64_t number, struct ifab_view bytes)
{
    struct rig_record *record = rig_record(self, kind, number);
    free(record->bytes);
    record->bytes = bytes.size == 0 ? NULL : rig_copy(bytes);
    record->size = bytes.size;
}

static inline void rig_keep_meta(struct rig *self)
{
    uint8_t packed[IFAB_META_PACKED];
    struct ifab_meta meta;
    ifab_fabric_meta(self->fabric, self->now, &meta);
    rig_keep_record(self, IFAB_KIND_META, 0, ifab_view_of(packed, ifab_meta_pack(&meta, packed)));
    self->kept_wall = self->now.wall;
    ifab_fabric_head(self->fabric, &self->head);
}

/* INV-05: no gap, the chain of hashes, times that never decrease. */
static inline void rig_keep_entry(struct rig *self, const struct ifab_outcome_entry *entry)
{
    uint8_t hash[32];
    struct ifab_buf prev = IFAB_BUF_INIT(256);
    ifab_buf_str(&prev, "\"prev_hash\":\"");
    ifab_buf_hex(&prev, self->last_hash32, 32);
    ifab_sha256(entry->bytes, hash);
    rig_must(entry->index == self->entry_count, "an index is missing in the log");
    rig_must(memcmp(hash, entry->hash32, 32) == 0, "an entry's hash is not that of its bytes");
    rig_must(memmem(entry->bytes.data, entry->bytes.size, prev.data, prev.size) != NULL, "an entry is not chained to the one before");
    ifab_buf_fini(&prev);
    memcpy(self->last_hash32, hash, 32);
    self->entries = rig_grown(self->entries, &self->entry_room, self->entry_count, sizeof *self->entries);
    self->entries[self->entry_count++] = (struct rig_entry){
        .bytes = rig_copy(entry->bytes),
        .message = rig_copy(entry->message),
        .size = entry->bytes.size,
        .message_size = entry->message.size,
    };
}

static inline void rig_keep(struct rig *self)
{
    const struct ifab_outcome *o = &self->outcome;
    for (size_t i = 0; i < o->entry_count; i++)
        rig_keep_entry(self, &o->entries[i]);
    for (size_t i = 0; i < o->change_count; i++)
        if (o->changes[i].kind < IFAB_KIND_METER)
            rig_keep_record(self, o->changes[i].kind, o->changes[i].number, o->changes[i].bytes);
    for (size_t i = 0; i < o->tag_count; i++) {
        uint8_t packed[IFAB_REPLAY_TAG_SIZE];
        ifab_replay_tag_pack(&o->tags[i], packed);
        ifab_buf_put(&self->tags, packed, sizeof packed);
    }
    rig_must(ifab_buf_status(&self->tags) == IFAB_OK, "memory");
    rig_keep_meta(self);
    rig_must(self->head.size == self->entry_count, "the tree has another size than the log");
}

static inline int rig_by_key(const void *a, const void *b)
{
    const struct rig_record *x = *(struct rig_record *const *)a, *y = *(struct rig_record *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* As a start at that wall time does: records in order of kind and number, tags, head. */
static inline ifab_status rig_load_at(struct rig *self, const struct ifab_fabric_settings *settings, ifab_usec wall,
                                      struct ifab_fabric **ret_fabric)
{
    struct ifab_fabric *fabric;
    struct rig_record **order = malloc((self->record_count + 1) * sizeof(struct rig_record *));
    size_t count = 0;
    rig_must(order != NULL && ifab_fabric_new(settings, &fabric, NULL) == IFAB_OK, "memory");
    for (size_t i = 0; i < self->record_count; i++)
        if (self->records[i].bytes != NULL)
            order[count++] = &self->records[i];
    qsort(order, count, sizeof(struct rig_record *), rig_by_key);
    ifab_status status = IFAB_OK;
    for (size_t i = 0; i < count && status == IFAB_OK; i++)
        status = ifab_fabric_load_record(fabric, order[i]->kind, order[i]->number, ifab_view_of(order[i]->bytes, order[i]->size), NULL);
    free(order);
    if (status == IFAB_OK)
        status = ifab_fabric_load_tags(fabric, ifab_buf_as_view(&self->tags), wall, NULL);
    if (status == IFAB_OK)
        status = ifab_fabric_load_head(fabric, &self->head, NULL);
    if (status == IFAB_OK)
        *ret_fabric = fabric;
    else
        ifab_fabric_free(fabric);
    return status;
}

static inline ifab_status rig_load_from(struct rig *self, const struct ifab_fabric_settings *settings, struct ifab_fabric **ret_fabric)
{
    return rig_load_at(self, settings, self->now.wall, ret_fabric);
}

/* wall = kept_wall: the very state after the last commit. Later: what has ended meanwhile is gone. */
static inline struct ifab_fabric *rig_load(struct rig *self, ifab_usec wall)
{
    struct ifab_fabric_settings settings = self->settings;
    struct ifab_fabric *fabric = NULL;
    settings.rules = ifab_fabric_settings(self->fabric)->rules; /* what the configuration holds by now */
    rig_must(rig_load_at(self, &settings, wall, &fabric) == IFAB_OK, "what was kept does not load");
    return fabric;
}

static inline void rig_refresh(struct rig *self)
{
    if (self->keyring != NULL && self->keyring_version == ifab_fabric_trust_version(self->fabric))
        return;
    ifab_keyring_unref(self->keyring);
    rig_must(ifab_keyring_new(ifab_fabric_talents(self->fabric), &self->keyring) == IFAB_OK, "keyring");
    self->keyring_version = ifab_fabric_trust_version(self->fabric);
}

static inline void rig_restart_at(struct rig *self, ifab_usec wall)
{
    struct ifab_fabric *fabric = rig_load(self, wall);
    ifab_fabric_resume(fabric, self->now, true);
    ifab_fabric_free(self->fabric);
    self->fabric = fabric;
    ifab_keyring_unref(self->keyring);
    self->keyring = NULL;
    rig_refresh(self);
}

static inline void rig_restart(struct rig *self)
{
    rig_restart_at(self, self->now.wall);
}

/* ---- stepping ---- */

/* Begins, prepares, decides; nothing is applied. */
static inline void rig_decide(struct rig *self, struct ifab_command *command)
{
    uint64_t trace = ++self->minted;
    memset(command->mint16, 0, 16);
    memcpy(command->mint16, &trace, sizeof trace);
    command->mint16[15] = 1;
    ifab_outcome_begin(&self->outcome, &self->arena);
    rig_must(ifab_fabric_prepare(self->fabric) == IFAB_OK, "memory");
    ifab_fabric_decide(self->fabric, command, self->now, &self->outcome);
}

static inline void rig_apply(struct rig *self)
{
    ifab_fabric_apply(self->fabric, &self->outcome);
    rig_keep(self);
    rig_refresh(self);
}

static inline const struct ifab_reply *rig_step(struct rig *self, struct ifab_command *command)
{
    rig_decide(self, command);
    rig_apply(self);
    return &self->outcome.reply;
}

/* One command with its own arena: what it refers to lives on the caller's side. */
static inline const struct ifab_reply *rig_do(struct rig *self, struct ifab_command *command)
{
    ifab_arena_reset(&self->arena);
    return rig_step(self, command);
}

static inline void rig_tick(struct rig *self)
{
    struct ifab_command command = {.type = IFAB_COMMAND_TICK};
    rig_do(self, &command);
}

/* Time goes on; what becomes due on the way is done then. */
static inline void rig_pass(struct rig *self, ifab_usec by)
{
    while (by > 0) {
        ifab_usec due = ifab_fabric_deadline(self->fabric, self->now);
        ifab_usec wait = due == IFAB_NEVER || due - self->now.run > by ? by : due > self->now.run ? due - self->now.run : 0;
        self->now.wall += wait;
        self->now.run += wait;
        by -= wait;
        if (due <= self->now.run)
            rig_tick(self);
    }
    while (ifab_fabric_deadline(self->fabric, self->now) <= self->now.run)
        rig_tick(self);
}

/* ---- messages ---- */

struct rig_message {
    const char *sender; /* "if://agent/A/1" */
    uint64_t id, nonce, conversation, seq;
    ifab_usec issued_at;
    unsigned ttl_s;
    const char *performative, *receiver /* JSON or NULL */, *content, *more /* members, from a comma on */;
    const struct ifab_signer *signer; /* NULL: the sender's */
};

static inline struct rig_message rig_message(struct rig *self, const char *sender, const char *content)
{
    uint64_t n = ++self->n;
    return (struct rig_message){
        .sender = sender,
        .id = n,
        .nonce = n,
        .conversation = n,
        .seq = n,
        .issued_at = self->now.wall,
        .ttl_s = 60,
        .performative = "inform",
        .content = content,
        .more = "",
    };
}

static inline struct rig_talent *rig_talent_of(struct rig *self, const char *uri)
{
    for (size_t i = 1; i < RIG_TALENTS; i++) {
        size_t size = strlen(self->talents[i].name);
        if (size > 0 && strncmp(uri, "if://agent/", 11) == 0 && strncmp(uri + 11, self->talents[i].name, size) == 0 &&
            (uri[11 + size] == '\0' || uri[11 + size] == '/'))
            return &self->talents[i];
    }
    return NULL;
}

static inline void rig_put_id(struct ifab_buf *b, const char *prefix, uint64_t n)
{
    ifab_buf_format(b, "%s01930000-0000-7000-8000-%012llx", prefix, (unsigned long long)n);
}

/* Signed bytes in self->text. */
static inline struct ifab_view rig_text(struct rig *self, const struct rig_message *m)
{
    struct ifab_buf body = IFAB_BUF_INIT((size_t)1 << 20);
    uint8_t nonce[16] = {7};
    memcpy(nonce + 8, &m->nonce, 8);
    ifab_buf_str(&body, "{\"id\":\"");
    rig_put_id(&body, "msg-", m->id);
    ifab_buf_format(&body, "\",\"performative\":\"%s\",\"conversation_id\":\"", m->performative);
    rig_put_id(&body, "conv-", m->conversation);
    ifab_buf_str(&body, "\",\"topic_hash\":\"sha256:d45a1dfdd90023d002540b703adc912e8e5658758bb0d381a4f342afcb428752\",\"sender\":\"");
    ifab_buf_format(&body, "%s\",", m->sender);
    if (m->receiver != NULL)
        ifab_buf_format(&body, "\"receiver\":%s,", m->receiver);
    ifab_buf_str(&body, "\"issued_at\":\"");
    ifab_buf_time(&body, m->issued_at);
    ifab_buf_format(&body, "\",\"ttl_s\":%u,\"seq\":%llu,\"nonce\":\"", m->ttl_s, (unsigned long long)m->seq);
    ifab_buf_base64url(&body, nonce, sizeof nonce);
    ifab_buf_str(&body, "\",\"content\":");
    ifab_buf_str(&body, m->content);
    ifab_buf_str(&body, m->more);
    const struct rig_talent *talent = rig_talent_of(self, m->sender);
    const struct ifab_signer *signer = m->signer != NULL ? m->signer : talent != NULL ? talent->signer : self->talents[1].signer;
    ifab_buf_clear(&self->text);
    if (self->unsigned_ok) {
        uint8_t key[32];
        ifab_signer_public(signer, key);
        ifab_buf_view(&self->text, ifab_buf_as_view(&body));
        ifab_buf_str(&self->text, ",\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"");
        ifab_buf_base64url(&self->text, key, 32);
        ifab_buf_str(&self->text, "\",\"sig\":\"" MAKE_ZERO_SIG "\"}}");
    } else {
        ifab_buf_char(&body, '\0');
        make_envelope(&self->text, signer, (const char *)body.data);
    }
    ifab_buf_fini(&body);
    return ifab_buf_as_view(&self->text);
}

/* Fills command and self->admitted, or self->refusal. */
static inline enum ifab_code rig_admit(struct rig *self, struct ifab_view bytes, struct ifab_command *command)
{
    struct ifab_admitted *a = &self->admitted;
    enum ifab_code code;
    if (self->unsigned_ok) {
        code = ifab_envelope_read(bytes, 0, &self->arena, &a->envelope, &self->refusal);
        const struct ifab_talent *talent =
            code == IFAB_CODE_NONE ? ifab_talents_find(ifab_fabric_talents(self->fabric), a->envelope.sender_name) : NULL;
        if (talent != NULL) {
            a->talent = talent->number;
            a->key_version = talent->version;
            rig_must(ifab_admit_facts(&a->envelope, self->settings.tag_key16, &self->arena, &a->facts), "memory");
        }
    } else {
        code = ifab_admit_message(bytes, 0, self->keyring, self->settings.tag_key16, self->now.wall, &self->arena, a, &self->refusal);
    }
    memset(command, 0, sizeof *command);
    command->type = IFAB_COMMAND_MESSAGE;
    command->u.message.envelope = &a->envelope;
    command->u.message.talent = a->talent;
    command->u.message.key_version = a->key_version;
    command->u.message.facts = &a->facts;
    return code;
}

/* As the daemon does: what does not verify is counted, the rest is stepped. The code; the decision is in self->outcome.reply. */
static inline enum ifab_code rig_send_bytes(struct rig *self, struct ifab_view bytes)
{
    struct ifab_command command;
    ifab_arena_reset(&self->arena);
    enum ifab_code code = rig_admit(self, bytes, &command);
    if (code == IFAB_CODE_NONE)
        return rig_step(self, &command)->code;
    uint8_t sample[32];
    ifab_sha256(bytes, sample);
    ifab_fabric_count_refusal(self->fabric, code, IFAB_VIEW("uid:1000"), sample, self->now.run);
    memset(&self->outcome.reply, 0, sizeof self->outcome.reply);
    return code;
}

static inline enum ifab_code rig_send(struct rig *self, const struct rig_message *m)
{
    return rig_send_bytes(self, rig_text(self, m));
}

/* The decision, or -1 for a refusal. */
static inline int rig_decision(struct rig *self, const struct rig_message *m)
{
    return rig_send(self, m) == IFAB_CODE_NONE && self->outcome.reply.is_decision ? (int)self->outcome.reply.decision : -1;
}

static inline const struct ifab_open_decision *rig_open(struct rig *self, uint64_t id)
{
    uint8_t id16[16];
    struct ifab_buf text = IFAB_BUF_INIT(64);
    rig_put_id(&text, "msg-", id);
    rig_must(ifab_id_parse(ifab_buf_as_view(&text), "msg-", id16) == IFAB_OK, "id");
    ifab_buf_fini(&text);
    return ifab_decisions_find(ifab_fabric_decisions(self->fabric), id16);
}

/* ---- acts of the operator ---- */

/* An admin act as the shell hands it in once its signature was good; each with a nonce of its own. */
static inline const struct ifab_admin_act *rig_act(struct rig *self, uint32_t talent)
{
    uint64_t n = ++self->n;
    const struct ifab_talent *signer = ifab_talents_at(ifab_fabric_talents(self->fabric), talent);
    memset(&self->act, 0, sizeof self->act);
    self->act.present = true;
    self->act.talent = talent;
    self->act.key_version = signer == NULL ? 0 : signer->version;
    if (talent < RIG_TALENTS && self->talents[talent].signer != NULL)
        ifab_signer_public(self->talents[talent].signer, self->act.pubkey32);
    memcpy(self->act.digest16, &n, 8);
    self->act.digest16[15] = 0xAC;
    self->act.issued_at = self->now.wall;
    memcpy(self->act.nonce, &n, 8);
    self->act.nonce[15] = 0xAC;
    self->act.nonce_size = 16;
    snprintf(self->act.why, sizeof self->act.why, "because");
    return &self->act;
}

static inline struct ifab_command rig_talent_command(struct rig *self, enum ifab_talent_act act, const char *name)
{
    struct ifab_command command = {.type = IFAB_COMMAND_TALENT, .principal = &self->principal, .why = IFAB_VIEW("because")};
    command.u.talent.act = act;
    command.u.talent.request.name = ifab_view_str(name);
    command.u.talent.request.expires_at = IFAB_NEVER;
    command.u.talent.request.role = IFAB_ROLE_AGENT;
    return command;
}

/* Adds a talent with the key of make_signer(seed); its number. */
static inline uint32_t rig_add(struct rig *self, const char *name, const char *owner, enum ifab_role role, uint8_t seed,
                               enum ifab_order_mode mode)
{
    uint8_t key[32];
    struct ifab_signer *signer = make_signer(seed);
    struct ifab_command command = rig_talent_command(self, IFAB_ACT_ADD, name);
    ifab_signer_public(signer, key);
    command.u.talent.request.owner = ifab_view_str(owner);
    command.u.talent.request.role_name = ifab_view_str(ifab_role_name(role));
    command.u.talent.request.role = role;
    command.u.talent.request.pubkey32 = key;
    command.u.talent.request.mode = (uint8_t)mode;
    command.act = rig_act(self, 1);
    rig_must(rig_do(self, &command)->code == IFAB_CODE_NONE, self->outcome.reply.refusal.message);
    uint32_t number = ifab_talents_count(ifab_fabric_talents(self->fabric));
    rig_must(number < RIG_TALENTS, "too many talents for the rig");
    snprintf(self->talents[number].name, sizeof self->talents[number].name, "%s", name);
    self->talents[number].signer = signer;
    return number;
}

static inline void rig_grant(struct rig *self, const char *name, const char *scope)
{
    struct ifab_command command = rig_talent_command(self, IFAB_ACT_GRANT, name);
    command.u.talent.request.scope = ifab_view_str(scope);
    command.act = rig_act(self, 1);
    rig_must(rig_do(self, &command)->code == IFAB_CODE_NONE, self->outcome.reply.refusal.message);
}

/* ---- votes ---- */

struct rig_vote {
    uint64_t id; /* of the message */
    uint8_t message_digest32[32], policy_digest32[32];
    const char *voter, *verdict, *log;
    ifab_usec issued_at, expires_at;
    uint64_t nonce;
    const struct ifab_signer *signer; /* NULL: the voter's */
};

static inline struct rig_vote rig_vote(struct rig *self, uint64_t id, const char *voter, const char *verdict)
{
    const struct ifab_open_decision *d = rig_open(self, id);
    struct rig_vote vote = {
        .id = id, .voter = voter, .verdict = verdict, .log = self->settings.origin, .issued_at = self->now.wall,
        .expires_at = self->now.wall + 10 * IFAB_MINUTE, .nonce = ++self->n,
    };
    if (d != NULL) {
        memcpy(vote.message_digest32, d->message_digest32, 32);
        memcpy(vote.policy_digest32, d->policy_digest32, 32);
    }
    return vote;
}

/* `unsigned_` is canonical up to, without, the brace that closes its last member signature and the object's own: the signature goes there.
 */
static inline void rig_sign(struct ifab_buf *out, const char *domain, const struct ifab_buf *unsigned_, const struct ifab_signer *signer)
{
    struct ifab_buf bytes = IFAB_BUF_INIT((size_t)1 << 20);
    uint8_t sig[64];
    ifab_buf_str(&bytes, domain);
    ifab_buf_view(&bytes, ifab_buf_as_view(unsigned_));
    ifab_signer_sign(signer, ifab_buf_as_view(&bytes), sig);
    const char *at = memmem(unsigned_->data, unsigned_->size, "\"}", 2); /* ends signature.pubkey */
    size_t head = (size_t)((const uint8_t *)at - unsigned_->data) + 1;
    ifab_buf_view(out, ifab_view_of(unsigned_->data, head));
    ifab_buf_str(out, ",\"sig\":\"");
    ifab_buf_base64url(out, sig, 64);
    ifab_buf_char(out, '"');
    ifab_buf_view(out, ifab_view_of(unsigned_->data + head, unsigned_->size - head));
    ifab_buf_fini(&bytes);
    rig_must(ifab_buf_status(out) == IFAB_OK, "memory");
}

static inline void rig_put_pubkey(struct ifab_buf *b, const struct ifab_signer *signer)
{
    uint8_t key[32];
    ifab_signer_public(signer, key);
    ifab_buf_str(b, "\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"");
    ifab_buf_base64url(b, key, 32);
    ifab_buf_str(b, "\"}");
}

static inline void rig_put_nonce(struct ifab_buf *b, uint64_t n)
{
    uint8_t nonce[16] = {0x0E};
    memcpy(nonce + 8, &n, 8);
    ifab_buf_str(b, "\"nonce\":\"");
    ifab_buf_base64url(b, nonce, sizeof nonce);
    ifab_buf_char(b, '"');
}

static inline void rig_vote_text(struct rig *self, const struct rig_vote *v, struct ifab_buf *out)
{
    struct ifab_buf b = IFAB_BUF_INIT(8192);
    const struct rig_talent *talent = rig_talent_of(self, v->voter);
    const struct ifab_signer *signer = v->signer != NULL ? v->signer : talent != NULL ? talent->signer : self->talents[1].signer;
    ifab_buf_str(&b, "{\"decision\":\"");
    rig_put_id(&b, "msg-", v->id);
    ifab_buf_str(&b, "\",\"expires_at\":\"");
    ifab_buf_time(&b, v->expires_at);
    ifab_buf_str(&b, "\",\"issued_at\":\"");
    ifab_buf_time(&b, v->issued_at);
    ifab_buf_format(&b, "\",\"log\":\"%s\",\"message_digest\":\"sha256:", v->log);
    ifab_buf_hex(&b, v->message_digest32, 32);
    ifab_buf_str(&b, "\",");
    rig_put_nonce(&b, v->nonce);
    ifab_buf_str(&b, ",\"policy_digest\":\"sha256:");
    ifab_buf_hex(&b, v->policy_digest32, 32);
    ifab_buf_str(&b, "\",");
    rig_put_pubkey(&b, signer);
    ifab_buf_format(&b, ",\"v\":1,\"verdict\":\"%s\",\"voter\":\"%s\",\"why\":\"looked at it\"}", v->verdict, v->voter);
    rig_sign(out, "IF-VOTE-v1\n", &b, signer);
    ifab_buf_fini(&b);
}

static inline enum ifab_code rig_cast(struct rig *self, const struct rig_vote *v)
{
    struct ifab_buf text = IFAB_BUF_INIT(16384), path = IFAB_BUF_INIT(64);
    struct ifab_command command = {0};
    rig_vote_text(self, v, &text);
    rig_put_id(&path, "msg-", v->id);
    ifab_arena_reset(&self->arena);
    enum ifab_code code = ifab_admit_vote(ifab_buf_as_view(&text), ifab_buf_as_view(&path), self->keyring, self->now.wall, &self->arena,
                                          &command, &self->refusal);
    if (code == IFAB_CODE_NONE)
        code = rig_step(self, &command)->code;
    ifab_buf_fini(&text);
    ifab_buf_fini(&path);
    return code;
}

static inline enum ifab_code rig_vote_cast(struct rig *self, uint64_t id, const char *voter, const char *verdict)
{
    struct rig_vote vote = rig_vote(self, id, voter, verdict);
    return rig_cast(self, &vote);
}

/* Another rule set of the same content but digest; every open decision is routed again. */
static inline void rig_rules(struct rig *self, const struct ifab_guard_rules *rules)
{
    struct ifab_command command = {.type = IFAB_COMMAND_RULES, .why = IFAB_VIEW("because")};
    command.u.rules.rules = rules;
    rig_do(self, &command);
}

/* ---- comparing ---- */

static inline void rig_put_raw(struct ifab_buf *b, struct ifab_view v)
{
    ifab_buf_format(b, "%zu:", v.size);
    ifab_buf_view(b, v);
}

/* Everything an outcome says; meters (volatile) only if asked for. */
static inline void rig_put_outcome(struct ifab_buf *b, const struct ifab_outcome *o, bool volatile_too)
{
    for (size_t i = 0; i < o->entry_count; i++) {
        rig_put_raw(b, o->entries[i].bytes);
        rig_put_raw(b, o->entries[i].message);
        ifab_buf_put(b, o->entries[i].hash32, 32);
        ifab_buf_put(b, o->entries[i].leaf32, 32);
    }
    for (size_t i = 0; i < o->change_count; i++) {
        if (o->changes[i].kind >= IFAB_KIND_METER && !volatile_too)
            continue;
        ifab_buf_format(b, "|%u/%llu ", o->changes[i].kind, (unsigned long long)o->changes[i].number);
        rig_put_raw(b, o->changes[i].bytes);
    }
    for (size_t i = 0; i < o->tag_count; i++) {
        uint8_t packed[IFAB_REPLAY_TAG_SIZE];
        ifab_replay_tag_pack(&o->tags[i], packed);
        ifab_buf_put(b, packed, sizeof packed);
    }
    ifab_buf_format(b, "|%d %d %d %d %llu %d %d %lld %llu %d %d|", (int)o->reply.code, o->reply.is_decision, (int)o->reply.decision,
                    o->reply.first, (unsigned long long)o->reply.first_index, o->reply.replayed, o->reply.http, (long long)o->issued_after,
                    (unsigned long long)o->next_number, o->set_rules, o->failed);
    rig_put_raw(b, o->reply.body);
    ifab_buf_format(b, "%s %s %lld %d %llu", o->reply.refusal.message, o->reply.refusal.field, (long long)o->reply.refusal.retry_after_ms,
                    o->reply.refusal.has_last_seq, (unsigned long long)o->reply.refusal.last_seq);
    rig_must(ifab_buf_status(b) == IFAB_OK, "memory");
}

/* Text of an entry, for strstr: in rotating storage. */
static inline const char *rig_entry_text(const struct rig *self, uint64_t index)
{
    rig_must(index < self->entry_count, "no such entry");
    return test_text(ifab_view_of(self->entries[index].bytes, self->entries[index].size));
}
static inline const char *rig_last(const struct rig *self)
{
    return rig_entry_text(self, self->entry_count - 1);
}

/* ---- life ---- */

static inline void rig_begin(struct rig *self, const struct ifab_fabric_settings *settings)
{
    memset(self, 0, sizeof *self);
    if (settings != NULL)
        self->settings = *settings;
    else
        rig_settings(&self->settings);
    rig_must(ifab_crypto_init(NULL) == IFAB_OK && ifab_admit_init(NULL) == IFAB_OK, "init");
    self->now = (struct ifab_now){RIG_WALL, 1000 * IFAB_SECOND};
    ifab_arena_init(&self->arena, (size_t)256 << 20);
    ifab_outcome_init(&self->outcome, &self->arena);
    ifab_buf_init(&self->text, (size_t)1 << 20);
    ifab_buf_init(&self->tags, (size_t)64 << 20);
    self->principal = (struct ifab_principal){.kind = IFAB_PRINCIPAL_UID, .role = IFAB_ROLE_OPERATOR, .uid = 1000, .actor = "uid:1000"};
    rig_must(ifab_fabric_new(&self->settings, &self->fabric, NULL) == IFAB_OK, "fabric");
}

/* With entry 0: talent 1 is `operator`, role admin, key of make_signer(1); and the rule set witnessed, as the daemon does at its first
 * start. */
static inline void rig_new(struct rig *self, const struct ifab_fabric_settings *settings)
{
    rig_begin(self, settings);
    struct ifab_command command = {.type = IFAB_COMMAND_INIT, .why = IFAB_VIEW("init")};
    self->talents[1].signer = make_signer(1);
    snprintf(self->talents[1].name, sizeof self->talents[1].name, "operator");
    ifab_signer_public(self->talents[1].signer, command.u.init.operator_key32);
    command.u.init.version = "0.1.0";
    rig_must(rig_do(self, &command)->code == IFAB_CODE_NONE, "init");
    if (self->settings.rules.loaded)
        rig_rules(self, &self->settings.rules);
}

static inline void rig_free(struct rig *self)
{
    ifab_fabric_free(self->fabric);
    ifab_keyring_unref(self->keyring);
    ifab_outcome_fini(&self->outcome);
    ifab_arena_fini(&self->arena);
    ifab_buf_fini(&self->text);
    ifab_buf_fini(&self->tags);
    ifab_u64map_fini(&self->places);
    for (size_t i = 0; i < RIG_TALENTS; i++)
        ifab_signer_free(self->talents[i].signer);
    for (size_t i = 0; i < self->record_count; i++)
        free(self->records[i].bytes);
    for (size_t i = 0; i < self->entry_count; i++) {
        free(self->entries[i].bytes);
        free(self->entries[i].message);
    }
    free(self->records);
    free(self->entries);
}
#endif
