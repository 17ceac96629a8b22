/*
 * The log gets a new key (DESIGN section 5, Witness): the old and the new one sign the handover over the tree as this step finds it, and an
 * admin signs the act. The private keys are the shell's, lent for the step; what they sign is decided here, so that nothing can be appended
 * between the tree that is signed and the entry that says so.
 */
#include "fabric_internal.h"

#include <string.h>

/* A key is never used again: with two handovers in a ring, "later" would have no meaning. */
static bool used_before(const struct ifab_fabric *self, const uint8_t key32[32])
{
    for (size_t i = 0; i < self->log_key_count; i++)
        if (memcmp(self->log_keys[i].from32, key32, 32) == 0 || memcmp(self->log_keys[i].to32, key32, 32) == 0)
            return true;
    return false;
}

static enum ifab_code may(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_refusal *r = &o->reply.refusal;
    uint8_t from32[32], to32[32];
    if (self->log_key_count >= IFAB_LOG_KEYS_MAX)
        return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "this log has had %d changes of its key, more are not kept: go on in a new log (ifctl restore)",
                           IFAB_LOG_KEYS_MAX);
    if (command->u.log_key.from == NULL || command->u.log_key.to == NULL)
        return ifab_refuse(r, IFAB_CODE_CONFLICT, "to", "this is not the key that waits to be the log's next one");
    if (command->act->text.size == 0)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "why", "the why of this act stands in the log as it was signed, and this one looks like a secret");
    ifab_signer_public(command->u.log_key.from, from32);
    ifab_signer_public(command->u.log_key.to, to32);
    if (used_before(self, to32) || memcmp(from32, to32, 32) == 0)
        return ifab_refuse(r, IFAB_CODE_CONFLICT, "to", "this key was the log's before, and a key is never used again");
    if (self->log_key_count > 0 && memcmp(self->log_keys[self->log_key_count - 1].to32, from32, 32) != 0)
        return ifab_refuse(r, IFAB_CODE_SYSTEM_ERROR, NULL, "the key in use is not the one that the log names");
    return IFAB_CODE_NONE;
}

static struct ifab_view put_note(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    struct ifab_buf note = IFAB_BUF_INIT(8192);
    uint8_t root32[32];
    ifab_tree_root(&self->tree, root32);
    if (ifab_rotation_write(ifab_view_str(self->settings.origin), self->tree.size, root32, command->u.log_key.from, command->u.log_key.to, &note) != IFAB_OK)
        o->failed = true;
    ifab_buf_clear(&o->scratch);
    ifab_buf_str(&o->scratch, "{\"note\":");
    ifab_json_put_string(&o->scratch, ifab_buf_as_view(&note));
    ifab_buf_char(&o->scratch, '}');
    ifab_buf_fini(&note);
    return ifab_fabric__keep(o, &o->scratch);
}

/* {"act":…,"note":…,"request":…}: who asked for it can be proven from the entry alone. record: {"note":…}. */
static void put_payload(const struct ifab_command *command, struct ifab_view record, struct ifab_buf *b)
{
    ifab_buf_clear(b);
    ifab_buf_str(b, "{\"act\":");
    ifab_buf_view(b, command->act->text);
    ifab_buf_char(b, ',');
    ifab_buf_put(b, record.data + 1, record.size - 2);
    ifab_buf_str(b, ",\"request\":");
    ifab_json_put_string(b, command->u.log_key.request);
    ifab_buf_char(b, '}');
}

static void put_key(const struct ifab_fabric *self, struct ifab_buf *b, const char *name, const struct ifab_signer *key)
{
    struct ifab_buf vkey = IFAB_BUF_INIT(512);
    uint8_t public32[32];
    ifab_signer_public(key, public32);
    (void)ifab_note_vkey_write(ifab_view_str(self->settings.origin), public32, &vkey);
    ifab_buf_format(b, "\"%s\":", name);
    ifab_json_put_string(b, ifab_buf_as_view(&vkey));
    ifab_buf_fini(&vkey);
}

static void reply(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_outcome_entry *entry, struct ifab_outcome *o)
{
    ifab_buf_clear(&o->payload);
    ifab_buf_char(&o->payload, '{');
    put_key(self, &o->payload, "from", command->u.log_key.from);
    ifab_buf_char(&o->payload, ',');
    put_key(self, &o->payload, "to", command->u.log_key.to);
    ifab_buf_char(&o->payload, '}');
    ifab_fabric__reply_entry(self, o, entry, ifab_buf_as_view(&o->payload));
    ifab_fabric__keep_reply(self, command, o);
}

void ifab_fabric__decide_log_key(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    char actor[96];
    struct ifab_view why, record;
    struct ifab_outcome_entry *entry;
    enum ifab_code code = ifab_fabric__authority(self, command, o, true, 0, actor, &why);
    if (ifab_fabric__idempotent(self, command, code, o))
        return;
    if (code == IFAB_CODE_NONE)
        code = may(self, command, o);
    if (code != IFAB_CODE_NONE) {
        ifab_fabric__refuse_act(self, command, o, code, command->act != NULL && command->act->present ? command->act->talent : 0,
                                ifab_view_str(self->settings.fabric_actor));
        return;
    }
    record = put_note(self, command, o);
    if (o->failed)
        return;
    put_payload(command, record, &o->payload);
    struct ifab_entry fields = {
        .event = IFAB_EVENT_LOG_KEY_ROTATED,
        .actor = ifab_view_str(actor),
        .why = why,
        .subject = ifab_view_str(self->settings.fabric_actor),
        .payload = ifab_buf_as_view(&o->payload),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    if (!ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), &entry))
        return;
    ifab_fabric__change(o, IFAB_KIND_LOG_KEY, self->log_key_count + 1, record.data, record.size);
    reply(self, command, entry, o);
}

/* In order of number, and each begins where the one before ended: what lies between two of them cannot be taken out. */
ifab_status ifab_fabric__load_log_key(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view note;
    struct ifab_rotation rotation;
    struct ifab_error why = {0};
    ifab_arena_init(&arena, (size_t)1 << 20);
    bool good = number == self->log_key_count + 1 && number <= IFAB_LOG_KEYS_MAX && ifab_json_read(bytes, NULL, &arena, &tree, &why) == IFAB_OK &&
                ifab_json_string(ifab_json_get(tree, "note"), &note) && ifab_rotation_read(note, &rotation, &why) == IFAB_OK;
    const struct ifab_log_key_change *last = good && number > 1 ? &self->log_keys[number - 2] : NULL;
    good = good && (last == NULL || (last->index < rotation.size && memcmp(last->to32, rotation.from32, 32) == 0));
    if (good && self->log_keys == NULL)
        self->log_keys = ifab_calloc(IFAB_LOG_KEYS_MAX, sizeof *self->log_keys);
    ifab_status status = !good ? ifab_fail(err, IFAB_CORRUPT, "record %llu of the log's keys is none, or not the next one", (unsigned long long)number)
                         : self->log_keys == NULL ? ifab_fail(err, IFAB_NOMEM, "out of memory")
                                                  : IFAB_OK;
    if (status == IFAB_OK) {
        struct ifab_log_key_change *change = &self->log_keys[self->log_key_count++];
        uint8_t before32[32];
        change->index = rotation.size;
        memcpy(change->from32, rotation.from32, 32);
        memcpy(change->to32, rotation.to32, 32);
        memcpy(before32, self->log_keys_root32, 32);
        ifab_sha256_2(ifab_view_of(before32, 32), bytes, self->log_keys_root32);
    }
    ifab_arena_fini(&arena);
    return status;
}

const struct ifab_log_key_change *ifab_fabric_log_keys(const struct ifab_fabric *self, size_t *ret_count)
{
    *ret_count = self->log_key_count;
    return self->log_keys;
}

void ifab_fabric_set_tag_key(struct ifab_fabric *self, const uint8_t key16[16]) { memcpy(self->settings.tag_key16, key16, 16); }
