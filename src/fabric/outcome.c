/* What a step writes down: entries, changes, tags and the reply, all in the caller's arena. A failed allocation marks the whole outcome. */
#include "fabric_internal.h"

#include <assert.h>
#include <string.h>

#define OUTCOME_SCRATCH_MAX ((size_t)1 << 20)

void ifab_outcome_init(struct ifab_outcome *self, struct ifab_arena *arena)
{
    memset(self, 0, sizeof *self);
    ifab_buf_init(&self->scratch, OUTCOME_SCRATCH_MAX);
    ifab_buf_init(&self->payload, OUTCOME_SCRATCH_MAX);
    self->arena = arena;
}

void ifab_outcome_begin(struct ifab_outcome *self, struct ifab_arena *arena)
{
    struct ifab_buf scratch = self->scratch, payload = self->payload;
    memset(self, 0, sizeof *self);
    self->scratch = scratch;
    self->payload = payload;
    ifab_buf_clear(&self->scratch); /* a failure of the last step is not this one's */
    ifab_buf_clear(&self->payload);
    self->arena = arena;
    self->reply.code = IFAB_CODE_SYSTEM_ERROR; /* until decide says otherwise (INV-06) */
    self->reply.refusal.offset = -1;
    self->reply.refusal.retry_after_ms = -1;
}

void ifab_outcome_fini(struct ifab_outcome *self)
{
    ifab_buf_fini(&self->scratch);
    ifab_buf_fini(&self->payload);
    memset(self, 0, sizeof *self);
}

void *ifab_fabric__alloc(struct ifab_outcome *o, size_t size)
{
    void *p = ifab_arena_alloc(o->arena, size);
    if (p == NULL)
        o->failed = true;
    return p;
}

struct ifab_view ifab_fabric__keep(struct ifab_outcome *o, const struct ifab_buf *buf)
{
    struct ifab_view copy = {NULL, 0};
    if (ifab_buf_status(buf) != IFAB_OK || ifab_arena_copy(o->arena, ifab_buf_as_view(buf), &copy) != IFAB_OK)
        o->failed = true;
    return copy;
}

/* Grows an array of the outcome by doubling; the old one stays in the arena until the batch ends. */
static bool grow(struct ifab_outcome *o, void **array, size_t *room, size_t count, size_t item)
{
    if (count < *room)
        return true;
    size_t wanted = *room == 0 ? 4 : *room * 2;
    void *bigger = ifab_fabric__alloc(o, wanted * item);
    if (bigger == NULL)
        return false;
    if (count > 0)
        memcpy(bigger, *array, count * item);
    *array = bigger;
    *room = wanted;
    return true;
}

bool ifab_fabric__entry(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_entry *fields, struct ifab_view message,
                        struct ifab_outcome_entry **ret_entry)
{
    static const uint8_t none16[16];
    void *array = o->entries;
    if (ifab_buf_status(&o->payload) != IFAB_OK) /* never an entry without what it is about */
        o->failed = true;
    if (o->failed || !grow(o, &array, &o->entry_room, o->entry_count, sizeof *o->entries))
        return false;
    o->entries = array;
    fields->log = ifab_view_str(self->settings.log);
    if (fields->ref_count == 0 && o->command != NULL && o->command->ref_count > 0) { /* what the request refers to, in all that it caused */
        memcpy(fields->refs, o->command->refs, sizeof fields->refs);
        fields->ref_count = o->command->ref_count;
    }
    fields->index = o->next_index;
    fields->time = o->now.wall > o->last_time ? o->now.wall : o->last_time;
    memcpy(fields->prev_hash32, o->last_hash32, 32);
    if (memcmp(fields->trace16, none16, 16) == 0) /* the fabric's own acts join what their step caused (INV-13) */
        memcpy(fields->trace16, o->reply.trace16, 16);
    ifab_buf_clear(&o->scratch);
    if (ifab_entry_write(fields, &o->scratch) != IFAB_OK) {
        o->failed = true;
        return false;
    }
    struct ifab_outcome_entry *entry = &o->entries[o->entry_count];
    entry->index = o->next_index;
    entry->bytes = ifab_fabric__keep(o, &o->scratch);
    entry->message = message;
    if (o->failed)
        return false;
    ifab_sha256(entry->bytes, entry->hash32);
    ifab_leaf_hash(entry->bytes, entry->leaf32);
    memcpy(o->last_hash32, entry->hash32, 32);
    o->last_time = fields->time;
    o->next_index++;
    o->entry_count++;
    if (ret_entry != NULL)
        *ret_entry = entry;
    return true;
}

bool ifab_fabric__change(struct ifab_outcome *o, uint8_t kind, uint64_t number, const void *bytes, size_t size)
{
    void *array = o->changes;
    if (o->failed || !grow(o, &array, &o->change_room, o->change_count, sizeof *o->changes))
        return false;
    o->changes = array;
    struct ifab_view copy = {NULL, 0};
    if (size > 0 && ifab_arena_copy(o->arena, ifab_view_of(bytes, size), &copy) != IFAB_OK) {
        o->failed = true;
        return false;
    }
    o->changes[o->change_count++] = (struct ifab_change){.kind = kind, .number = number, .bytes = copy};
    return true;
}

enum ifab_code ifab_fabric__refused(struct ifab_outcome *o, enum ifab_code code)
{
    o->reply.code = code;
    if (o->reply.refusal.code != code) /* the core gave no detail: the table's text stands alone */
        ifab_refuse(&o->reply.refusal, code, NULL, "%s", ifab_code_info(code)->text);
    return code;
}

void ifab_fabric__reply_json(struct ifab_outcome *o, const struct ifab_buf *buf, int http)
{
    o->reply.body = ifab_fabric__keep(o, buf);
    o->reply.code = IFAB_CODE_NONE;
    o->reply.http = http;
}

void ifab_fabric__put_digest(struct ifab_buf *buf, const uint8_t digest32[32])
{
    ifab_buf_str(buf, "\"sha256:");
    ifab_buf_hex(buf, digest32, 32);
    ifab_buf_char(buf, '"');
}

void ifab_fabric__put_uuid(struct ifab_buf *buf, const uint8_t uuid16[16])
{
    static const uint8_t zero[16];
    if (memcmp(uuid16, zero, 16) == 0) {
        ifab_buf_str(buf, "null");
        return;
    }
    char text[37];
    ifab_uuid_format(uuid16, text);
    ifab_json_put_cstr(buf, text);
}

void ifab_fabric__owner_digest(struct ifab_view owner, uint8_t ret_digest16[16])
{
    uint8_t digest[32];
    ifab_sha256(owner, digest);
    memcpy(ret_digest16, digest, 16);
}
