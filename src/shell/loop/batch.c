/*
 * What one commit holds: entries with their message bytes, one packed row of replay tags, each changed record once (last value), the head (DESIGN section 4).
 */
#include "node.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "vault.h"

struct batch *batch_new(void)
{
    struct batch *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    ifab_arena_init(&self->arena, (size_t)256 << 20);
    ifab_buf_init(&self->tags, (size_t)BATCH_COMMANDS * 2 * IFAB_REPLAY_TAG_SIZE);
    return self;
}

void batch_clear(struct batch *self)
{
    struct ifab_arena arena = self->arena;
    struct ifab_buf tags = self->tags;
    struct ifab_stored_entry *entries = self->entries;
    struct ifab_record *records = self->records;
    size_t entry_room = self->entry_room, record_room = self->record_room;
    ifab_u64map_fini(&self->by_key);
    memset(self, 0, sizeof *self);
    ifab_arena_reset(&arena);
    ifab_buf_clear(&tags);
    self->arena = arena;
    self->tags = tags;
    self->entries = entries;
    self->records = records;
    self->entry_room = entry_room;
    self->record_room = record_room;
}

void batch_free(struct batch *self)
{
    if (self == NULL)
        return;
    ifab_arena_fini(&self->arena);
    ifab_buf_fini(&self->tags);
    ifab_u64map_fini(&self->by_key);
    ifab_free(self->entries);
    ifab_free(self->records);
    ifab_free(self);
}

static bool room_for(void **array, size_t *room, size_t wanted, size_t item)
{
    if (wanted <= *room)
        return true;
    size_t bigger = *room == 0 ? 256 : *room * 2;
    while (bigger < wanted)
        bigger *= 2;
    void *p = ifab_realloc(*array, bigger * item);
    if (p == NULL)
        return false;
    *array = p;
    *room = bigger;
    return true;
}

/* One record of the shell's own; last value. */
bool batch_record(struct batch *self, uint8_t kind, uint64_t number, struct ifab_view bytes)
{
    void *records = self->records;
    uint64_t key = (uint64_t)kind << 56 | number, place;
    bool good = room_for(&records, &self->record_room, self->record_count + 2, sizeof *self->records);
    self->records = records;
    if (!good || ifab_u64map_reserve(&self->by_key, 1) != IFAB_OK)
        return false;
    if (!ifab_u64map_get(&self->by_key, key, &place)) {
        place = self->record_count++;
        (void)ifab_u64map_put(&self->by_key, key, place);
    }
    self->records[place] = (struct ifab_record){.kind = kind, .number = number, .bytes = bytes};
    return true;
}

/* Records of the shell that may follow an outcome, and cannot fail then: ERASING, ANCHORED, TAG_KEY, META. */
#define OURS 4

/* false: no memory; nothing of the outcome is in the batch, so it must not be applied either. */
bool batch_add(struct batch *self, const struct ifab_outcome *o)
{
    void *entries = self->entries, *records = self->records;
    bool good = room_for(&entries, &self->entry_room, self->entry_count + o->entry_count, sizeof *self->entries);
    self->entries = entries;
    good = room_for(&records, &self->record_room, self->record_count + o->change_count + OURS, sizeof *self->records) && good;
    self->records = records;
    good = good && ifab_u64map_reserve(&self->by_key, o->change_count + OURS) == IFAB_OK &&
           ifab_buf_reserve(&self->tags, o->tag_count * IFAB_REPLAY_TAG_SIZE) == IFAB_OK;
    if (!good)
        return false;
    for (size_t i = 0; i < o->entry_count; i++) {
        const struct ifab_outcome_entry *e = &o->entries[i];
        self->entries[self->entry_count++] = (struct ifab_stored_entry){.index = e->index, .entry = e->bytes, .message = e->message};
        self->bytes += e->bytes.size + e->message.size;
    }
    for (size_t i = 0; i < o->change_count; i++) {
        const struct ifab_change *c = &o->changes[i];
        uint64_t key = (uint64_t)c->kind << 56 | c->number, place;
        if (c->kind >= IFAB_KIND_METER)
            continue; /* volatile */
        if (!ifab_u64map_get(&self->by_key, key, &place)) {
            place = self->record_count++;
            (void)ifab_u64map_put(&self->by_key, key, place); /* reserved */
        }
        self->records[place] = (struct ifab_record){.kind = c->kind, .number = c->number, .bytes = c->bytes};
    }
    for (size_t i = 0; i < o->tag_count; i++) {
        uint8_t packed[IFAB_REPLAY_TAG_SIZE];
        ifab_replay_tag_pack(&o->tags[i], packed);
        ifab_buf_put(&self->tags, packed, sizeof packed);
        if (o->tags[i].expiry > self->tags_until)
            self->tags_until = o->tags[i].expiry;
    }
    return true;
}

void node_mac(const uint8_t key32[32], const struct ifab_head *head, struct ifab_view meta, uint8_t ret_mac32[32])
{
    uint8_t bytes[8 + 32 * 3 + 8 + 32], meta32[32], *at = bytes;
    ifab_put_u64(&at, head->size);
    ifab_put_bytes(&at, head->root32, 32);
    ifab_put_bytes(&at, head->last_hash32, 32);
    ifab_put_bytes(&at, head->trust_root32, 32);
    ifab_put_u64(&at, (uint64_t)head->time);
    ifab_sha256(meta, meta32); /* W, the clock, fences: what they say no entry says */
    ifab_put_bytes(&at, meta32, 32);
    ifab_hmac_sha256(ifab_view_of(key32, 32), ifab_view_of(bytes, sizeof bytes), ret_mac32);
}

/* The head and META as they are now; the next batch may be stepped from here on. */
void batch_seal(struct node *node, struct batch *self, struct ifab_now now)
{
    struct ifab_meta meta;
    ifab_fabric_head(node->fabric, &self->head);
    self->tags_dropped = ifab_replay_dropped_until(ifab_fabric_replay(node->fabric));
    self->stored = (struct ifab_head){
        .size = self->head.size,
        .time = self->head.time,
        .edge = ifab_view_of(self->head.edge, self->head.edge_size),
    };
    memcpy(self->stored.root32, self->head.root32, 32);
    memcpy(self->stored.last_hash32, self->head.last_hash32, 32);
    memcpy(self->stored.trust_root32, self->head.trust_root32, 32);
    assert(self->record_count < self->record_room); /* batch_add() and batch_record() left room for it: a commit without META forgets W */
    ifab_fabric_meta(node->fabric, now, &meta);
    ifab_meta_pack(&meta, self->meta);
    uint8_t mac_key32[32];
    memcpy(mac_key32, node->mac_key32, 32);
    if (self->key != NULL)
        ifab_signer_derive(self->key, "head", mac_key32);
    node_mac(mac_key32, &self->stored, ifab_view_of(self->meta, IFAB_META_PACKED), self->stored.mac32);
    ifab_wipe(mac_key32, sizeof mac_key32);
    self->records[self->record_count++] =
        (struct ifab_record){.kind = IFAB_KIND_META, .number = 0, .bytes = ifab_view_of(self->meta, IFAB_META_PACKED)};
}

void batch_commit(struct node *node, struct batch *self)
{
    ifab_usec from = clock_boot();
    struct ifab_commit commit = {
        .first = self->head.size - self->entry_count,
        .entries = self->entries,
        .entry_count = self->entry_count,
        .tags = ifab_buf_as_view(&self->tags),
        .tags_until = self->tags_until,
        .tags_dropped = self->tags_dropped,
        .records = self->records,
        .record_count = self->record_count,
        .head = &self->stored,
    };
    self->status = vault_publish(node, self, &self->err); /* valid by the entry in this commit, and there before it (INV-04) */
    if (self->status == IFAB_OK)
        self->status = ifab_store_commit(node->store, &commit, &self->err);
    if (self->status == IFAB_OK)
        vault_settle(node, self);
    if (self->status == IFAB_OK && self->erase) {
        self->erase_status = ifab_store_erase(node->store, self->erase_index, &self->err);
        if (self->erase_status == IFAB_NOT_FOUND) /* a crash between entry and deletion, done again */
            self->erase_status = IFAB_OK;
    }
    if (self->status == IFAB_OK)
        follower_hand(node, self);
    self->commit_usec = clock_boot() - from;
}
