/* The entries that are gone on from: written out as an export that if-verify reads, and what they say of talents, keys, rules and fences. */
#include "salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"

#define TALENTS_MAX IFAB_COUNT(((struct salvage *)NULL)->records)

static bool has(const struct ifab_json *tree, const char *name, const char *text) { return ifab_view_is(ifab_json_text(tree, name), text); }

/* A new file below the export; its folders are made. */
static ifab_status put(struct salvage *s, const char *name, struct ifab_view bytes, struct ifab_error *err)
{
    char path[1400];
    snprintf(path, sizeof path, "%s/%s", s->export, name);
    for (char *slash = strchr(path + strlen(s->export) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return ifab_fail(err, errno == ENOSPC ? IFAB_FULL : IFAB_IO, "%s: %s", path, strerror(errno));
        *slash = '/';
    }
    return node_write_file(path, bytes, 0600, err);
}

/* ---- tiles ---- */

static ifab_status put_tile(struct salvage *s, bool entries, unsigned level, uint64_t number, size_t width, struct ifab_view bytes, struct ifab_error *err)
{
    const struct ifab_tile tile = {.entries = entries, .level = level, .number = number, .width = (unsigned)width};
    char name[64];
    ifab_tile_format(&tile, name);
    return put(s, name, bytes, err);
}

static ifab_status add_hash(struct salvage *s, unsigned level, const uint8_t hash32[32], struct ifab_error *err)
{
    struct ifab_tree tree = {0};
    uint8_t root32[32];
    if (s->hashes[level] == NULL)
        s->hashes[level] = ifab_calloc(256, 32);
    if (s->hashes[level] == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    memcpy(s->hashes[level][s->hash_counts[level]++], hash32, 32);
    if (s->hash_counts[level] < 256)
        return IFAB_OK;
    IFAB_TRY(put_tile(s, false, level, s->tile_numbers[level]++, 256, ifab_view_of(s->hashes[level][0], (size_t)256 * 32), err));
    for (size_t i = 0; i < 256; i++)
        ifab_tree_append(&tree, s->hashes[level][i]);
    ifab_tree_root(&tree, root32);
    s->hash_counts[level] = 0;
    return level + 1 < IFAB_COUNT(s->hashes) ? add_hash(s, level + 1, root32, err) : IFAB_OK;
}

static ifab_status add_entry(struct salvage *s, const struct ifab_stored_entry *entry, struct ifab_error *err)
{
    uint8_t leaf32[32];
    ifab_leaf_hash(entry->entry, leaf32);
    ifab_bundle_put(&s->out, entry->entry);
    IFAB_TRY(add_hash(s, 0, leaf32, err));
    if (ifab_buf_status(&s->out) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    if (entry->index % 256 != 255)
        return IFAB_OK;
    IFAB_TRY(put_tile(s, true, 0, entry->index / 256, 256, ifab_buf_as_view(&s->out), err));
    ifab_buf_clear(&s->out);
    return IFAB_OK;
}

static ifab_status end_tiles(struct salvage *s, uint64_t size, struct ifab_error *err)
{
    if (size % 256 != 0)
        IFAB_TRY(put_tile(s, true, 0, size / 256, size % 256, ifab_buf_as_view(&s->out), err));
    for (unsigned level = 0; level < IFAB_COUNT(s->hashes); level++)
        if (s->hash_counts[level] > 0)
            IFAB_TRY(put_tile(s, false, level, s->tile_numbers[level], s->hash_counts[level], ifab_view_of(s->hashes[level][0], s->hash_counts[level] * 32), err));
    return IFAB_OK;
}

/* ---- what entries say ---- */

static ifab_status keep_record(struct salvage *s, uint64_t index, const struct ifab_json *record, struct ifab_error *err)
{
    int64_t number = 0;
    if (!ifab_json_integer(ifab_json_get(record, "number"), &number) || number < 1 || (size_t)number >= TALENTS_MAX)
        return ifab_fail(err, IFAB_CORRUPT, "entry %" PRIu64 " holds no record of a talent, or of one above %zu", index, TALENTS_MAX - 1);
    ifab_buf_clear(&s->canonical);
    ifab_json_write(&s->canonical, record);
    return ifab_buf_status(&s->canonical) == IFAB_OK ? ifab_arena_copy(&s->kept, ifab_buf_as_view(&s->canonical), &s->records[number]) : IFAB_NOMEM;
}

static ifab_status keep_change(struct salvage *s, uint64_t index, const struct ifab_json *payload, struct ifab_error *err)
{
    struct ifab_rotation rotation;
    uint8_t admin32[32];
    IFAB_TRY(ifab_rotation_payload_verify(payload, &rotation, admin32, err));
    if (rotation.size != index || !ifab_view_is(rotation.origin, s->old->origin) || s->change_count == IFAB_COUNT(s->changes))
        return ifab_fail(err, IFAB_CORRUPT, "entry %" PRIu64 " is no change of this log's key", index);
    struct ifab_buf *record = &s->changes[s->change_count++];
    ifab_buf_init(record, 65536);
    ifab_buf_str(record, "{\"note\":");
    ifab_json_put_string(record, ifab_json_text(payload, "note"));
    ifab_buf_char(record, '}');
    return ifab_buf_status(record);
}

static bool digest_is(struct ifab_view text, const uint8_t digest32[32])
{
    uint8_t said32[32];
    return text.size == 71 && ifab_hex_decode(ifab_view_of(text.data + 7, 64), said32, 32) == IFAB_OK && memcmp(said32, digest32, 32) == 0;
}

/* Bytes beside an entry are kept only when they are what it says. */
static ifab_status keep_message(struct salvage *s, const struct ifab_stored_entry *entry, const struct ifab_json *payload, struct ifab_error *err)
{
    struct ifab_envelope envelope;
    char name[64];
    if (entry->message.size == 0 || ifab_envelope_read(entry->message, (size_t)1 << 20, &s->arena, &envelope, NULL) != IFAB_CODE_NONE ||
        !digest_is(ifab_json_text(payload, "message_digest"), envelope.message_digest32)) {
        s->report.messages_absent++;
        return IFAB_OK;
    }
    snprintf(name, sizeof name, "messages/%" PRIu64 ".json", entry->index);
    s->report.messages++;
    IFAB_TRY(ifab_u64map_put(&s->messages, entry->index, 1));
    return put(s, name, entry->message, err);
}

static ifab_status keep_rules(struct salvage *s, const struct ifab_stored_entry *entry, const struct ifab_json *payload, struct ifab_error *err)
{
    struct ifab_view text = ifab_json_text(payload, "policy_digest");
    uint8_t digest32[32];
    char name[64];
    if (text.size != 71 || ifab_hex_decode(ifab_view_of(text.data + 7, 64), s->rules32, 32) != IFAB_OK)
        return ifab_fail(err, IFAB_CORRUPT, "entry %" PRIu64 " names no rule set", entry->index);
    s->has_rules = true;
    s->rules = (struct ifab_view){NULL, 0};
    ifab_sha256(entry->message, digest32);
    if (entry->message.size == 0 || memcmp(digest32, s->rules32, 32) != 0)
        return IFAB_OK;
    snprintf(name, sizeof name, "rules/%" PRIu64 ".json", entry->index);
    IFAB_TRY(ifab_arena_copy(&s->kept, entry->message, &s->rules));
    return put(s, name, entry->message, err);
}

static ifab_status forget_message(struct salvage *s, const struct ifab_json *payload)
{
    int64_t index = -1;
    uint64_t known;
    char path[1400];
    if (!ifab_json_integer(ifab_json_get(payload, "entry"), &index) || index < 0)
        return IFAB_OK;
    if (ifab_u64map_get(&s->messages, (uint64_t)index, &known)) { /* its deletion was not done yet, or its record is lost: it is done here */
        snprintf(path, sizeof path, "%s/messages/%" PRId64 ".json", s->export, index);
        if (unlink(path) == 0)
            s->report.messages--;
    }
    return ifab_u64map_put(&s->erased, (uint64_t)index, 1);
}

static void note_fence(struct salvage *s, const struct ifab_json *tree)
{
    int64_t offset = 0;
    if (has(tree, "operation", "init") || ifab_json_integer(ifab_json_get(ifab_json_get(tree, "payload"), "fence_offset"), &offset)) {
        s->fence_offset = !s->has_fence && offset >= 0 ? (uint64_t)offset : s->fence_offset;
        s->has_fence = true;
    }
}

/* Of publishers, allow-list and revocations every entry of an act holds the record; a publisher's second one is its revocation. */
static ifab_status keep_registry(struct salvage *s, const struct ifab_json *tree, const struct ifab_json *record, struct ifab_error *err)
{
    enum ifab_registry_kind kind = has(tree, "type", "publisher") ? IFAB_REGISTRY_PUBLISHER
                                   : has(tree, "operation", "allow") ? IFAB_REGISTRY_ALLOWED
                                                                     : IFAB_REGISTRY_REVOCATION;
    const struct ifab_publisher *known = kind == IFAB_REGISTRY_PUBLISHER ? ifab_registry_publisher(s->registry, ifab_json_text(record, "name")) : NULL;
    ifab_buf_clear(&s->canonical);
    ifab_json_write(&s->canonical, record);
    if (ifab_buf_status(&s->canonical) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    return ifab_registry_load(s->registry, kind, known != NULL ? known->number : ++s->registry_number, ifab_buf_as_view(&s->canonical), err);
}

static ifab_status keep(struct salvage *s, const struct ifab_stored_entry *entry, const struct ifab_json *tree, struct ifab_error *err)
{
    const struct ifab_json *payload = ifab_json_get(tree, "payload"), *record = ifab_json_get(payload, "record");
    if (entry->index == 0)
        note_fence(s, tree);
    IFAB_TRY(add_entry(s, entry, err));
    if (record != NULL && (has(tree, "type", "talent") || has(tree, "type", "fabric")))
        return keep_record(s, entry->index, record, err);
    if (record != NULL && has(tree, "component", "CapabilityRegistry"))
        return keep_registry(s, tree, record, err);
    if (has(tree, "component", "IF.witness") && has(tree, "operation", "rotate_key"))
        return keep_change(s, entry->index, payload, err);
    if (has(tree, "component", "IF.witness") && has(tree, "operation", "erase"))
        return forget_message(s, payload);
    if (has(tree, "component", "IF.guard") && has(tree, "type", "rules"))
        return keep_rules(s, entry, payload, err);
    if (has(tree, "component", "IF.connect") && has(tree, "type", "message"))
        return keep_message(s, entry, payload, err);
    return salvage_money(s, tree, err);
}

/* Ascending, of messages that were erased. */
static ifab_status put_erased(struct salvage *s, uint64_t size, struct ifab_error *err)
{
    struct ifab_buf text = IFAB_BUF_INIT(4 << 20);
    uint64_t there;
    ifab_buf_char(&text, '[');
    for (uint64_t i = 0; i < size && s->erased.count > 0; i++)
        if (ifab_u64map_get(&s->erased, i, &there)) {
            if (text.size > 1)
                ifab_buf_char(&text, ',');
            ifab_buf_u64(&text, i);
        }
    ifab_buf_char(&text, ']');
    ifab_status status = ifab_buf_status(&text) == IFAB_OK ? put(s, "erased.json", ifab_buf_as_view(&text), err) : ifab_fail(err, IFAB_NOMEM, "out of memory");
    ifab_buf_fini(&text);
    return status;
}

ifab_status salvage_keep(struct salvage *s, uint64_t size, struct ifab_error *err)
{
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    uint64_t seed;
    memset(&s->tree, 0, sizeof s->tree);
    memset(s->prev32, 0, 32);
    s->from_tiles = 0;
    ifab_random(&seed, sizeof seed);
    if (ifab_money_new(seed, &s->money) != IFAB_OK || ifab_breakers_new(seed, &s->breakers) != IFAB_OK || ifab_prices_new(&s->prices) != IFAB_OK ||
        ifab_registry_new(seed, &s->registry) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    for (uint64_t i = 0; i < size; i++) {
        if (!salvage_next(s, i, &entry, &tree))
            return ifab_fail(err, IFAB_IO, "entry %" PRIu64 " could be read before, and cannot now", i);
        ifab_status status = keep(s, &entry, tree, err);
        if (status != IFAB_OK)
            return ifab_fail(err, status, "entry %" PRIu64 " cannot be kept", i);
    }
    IFAB_TRY(end_tiles(s, size, err));
    s->report.from_tiles = s->from_tiles;
    return put_erased(s, size, err);
}
