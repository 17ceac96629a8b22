/*
 * Tokens and invites in memory, by number, by digest, by id.
 *
 * 1. What read takes, write gives back byte for byte: one token has one spelling.
 * 2. load is all or nothing; a token that is there changes only by being revoked, an invite not at all (INV-16).
 * 3. Found by a digest that nobody can choose: a secret is 20 or 32 random bytes, and the map's hash is keyed.
 */
#include "talent/access.h"

#include "base/encode.h"
#include "base/id.h"
#include "base/map.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "talent_internal.h"
#include "json/schema.h"

struct access_node {
    struct ifab_access_item item; /* its views point behind it */
};
struct ifab_accesses {
    struct access_node **nodes; /* in order of number */
    size_t count, capacity, tokens;
    struct ifab_map by_hash, by_id; /* kind byte and digest or id -> pointer */
    ifab_usec due;
};

static bool check_token_id(struct ifab_view text, const char **ret_why)
{
    uint8_t id16[16];
    *ret_why = "tok- and a UUIDv7";
    return ifab_id_parse(text, "tok-", id16) == IFAB_OK;
}

static bool check_invite_id(struct ifab_view text, const char **ret_why)
{
    uint8_t id16[16];
    *ret_why = "inv- and a UUIDv7";
    return ifab_id_parse(text, "inv-", id16) == IFAB_OK;
}

#define TIME_FIELD(name_, required_)                                                                                          \
    {                                                                                                                         \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 24, .max = 24, .check = ifab_schema_time \
    }
#define NAME_FIELD(name_, required_)                                                                                                    \
    {                                                                                                                                   \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name \
    }
#define HASH_FIELD                                                                                                      \
    {                                                                                                                   \
        .name = "hash", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256 \
    }
#define ROLE_FIELD                                                                       \
    {                                                                                    \
        .name = "role", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 5, .max = 8 \
    }
#define VERSION_FIELD                                                                  \
    {                                                                                  \
        .name = "v", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 1 \
    }

static const struct ifab_schema_field token_fields[] = {
    TIME_FIELD("created_at", true),
    TIME_FIELD("expires_at", true),
    HASH_FIELD,
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 40, .max = 40, .check = check_token_id},
    NAME_FIELD("name", false),
    TIME_FIELD("revoked_at", false),
    ROLE_FIELD,
    NAME_FIELD("talent", true),
    VERSION_FIELD,
};
static const struct ifab_schema token_schema = {"token record", token_fields, IFAB_COUNT(token_fields)};

static const struct ifab_schema_field invite_fields[] = {
    TIME_FIELD("created_at", true),
    TIME_FIELD("expires_at", true),
    HASH_FIELD,
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 40, .max = 40, .check = check_invite_id},
    NAME_FIELD("name", true),
    NAME_FIELD("owner", true),
    ROLE_FIELD,
    NAME_FIELD("role_name", true),
    VERSION_FIELD,
};
static const struct ifab_schema invite_schema = {"invite record", invite_fields, IFAB_COUNT(invite_fields)};

/* ---- the record ---- */

static void put_text(struct ifab_buf *buf, const char *before, struct ifab_view text)
{
    ifab_buf_str(buf, before);
    ifab_json_put_string(buf, text);
}

void ifab_access__write(struct ifab_buf *buf, const struct ifab_access_item *item)
{
    bool token = item->kind == IFAB_ACCESS_TOKEN;
    char id[37];
    ifab_uuid_format(item->id16, id);
    ifab_buf_str(buf, "{\"created_at\":\"");
    ifab_buf_time(buf, item->created);
    ifab_buf_str(buf, "\",\"expires_at\":\"");
    ifab_buf_time(buf, item->expires);
    ifab_buf_str(buf, "\",\"hash\":\"sha256:");
    ifab_buf_hex(buf, item->hash32, 32);
    ifab_buf_str(buf, token ? "\",\"id\":\"tok-" : "\",\"id\":\"inv-");
    ifab_buf_str(buf, id);
    ifab_buf_char(buf, '"');
    if (!token) {
        put_text(buf, ",\"name\":", item->talent);
        put_text(buf, ",\"owner\":", item->owner);
    } else if (item->label.size > 0) {
        put_text(buf, ",\"name\":", item->label);
    }
    if (item->revoked_at != IFAB_NEVER) {
        ifab_buf_str(buf, ",\"revoked_at\":\"");
        ifab_buf_time(buf, item->revoked_at);
        ifab_buf_char(buf, '"');
    }
    put_text(buf, ",\"role\":", ifab_view_str(ifab_role_name(item->role)));
    put_text(buf, token ? ",\"talent\":" : ",\"role_name\":", token ? item->talent : item->role_name);
    ifab_buf_str(buf, ",\"v\":1}");
}

static ifab_usec time_of(const struct ifab_json *object, const char *name)
{
    ifab_usec wall = IFAB_NEVER;
    if (ifab_json_get(object, name) != NULL && ifab_time_parse(ifab_json_text(object, name), &wall) != IFAB_OK)
        return 0; /* the comparison at the end refuses it */
    return wall;
}

static ifab_status compare_written(const struct ifab_access_item *item, struct ifab_error *err)
{
    struct ifab_buf buf = IFAB_BUF_INIT(2 * IFAB_ACCESS_RECORD_MAX);
    ifab_access__write(&buf, item);
    ifab_status status = ifab_buf_status(&buf);
    if (status == IFAB_OK && !ifab_view_equal(ifab_buf_as_view(&buf), item->record))
        status = ifab_fail(err, IFAB_CORRUPT, "token or invite record: not in its canonical form");
    else if (status != IFAB_OK)
        status = ifab_fail(err, IFAB_NOMEM, "token or invite record");
    ifab_buf_fini(&buf);
    return status;
}

/* Rules between fields. */
static bool sensible(const struct ifab_access_item *item)
{
    bool token = item->kind == IFAB_ACCESS_TOKEN;
    ifab_usec most = token ? IFAB_TOKEN_TTL_MAX : IFAB_INVITE_TTL_MAX, life = item->expires - item->created;
    if (item->role == IFAB_ROLE_NONE || life <= 0 || life > most)
        return false;
    if (token)
        return item->revoked_at == IFAB_NEVER || item->revoked_at >= 0;
    return ifab_talent__role_fits(item->role_name, item->role);
}

ifab_status ifab_access__read(enum ifab_access_kind kind, struct ifab_view record, struct ifab_arena *arena,
                              struct ifab_access_item *ret_item, struct ifab_error *err)
{
    static const struct ifab_json_limits limits = {.max_size = IFAB_ACCESS_RECORD_MAX, .all_numbers_safe = true};
    const struct ifab_schema *schema = kind == IFAB_ACCESS_TOKEN ? &token_schema : &invite_schema;
    const struct ifab_json *tree = NULL;
    struct ifab_refusal refusal;
    ifab_status status = ifab_json_read(record, &limits, arena, &tree, err);
    if (status != IFAB_OK)
        return status == IFAB_NOMEM ? IFAB_NOMEM : ifab_fail(err, IFAB_CORRUPT, "%s: not JSON", schema->what);
    enum ifab_code code = ifab_schema_check(schema, tree, IFAB_CODE_LOG_CORRUPT, &refusal);
    if (code != IFAB_CODE_NONE)
        return ifab_fail(err, code == IFAB_CODE_LOG_CORRUPT ? IFAB_CORRUPT : IFAB_NOMEM, "%s: %s: %s", schema->what, refusal.field,
                         refusal.message);
    struct ifab_view hash = ifab_json_text(tree, "hash");
    struct ifab_access_item item = {
        .kind = kind,
        .talent = ifab_json_text(tree, kind == IFAB_ACCESS_TOKEN ? "talent" : "name"),
        .label = kind == IFAB_ACCESS_TOKEN ? ifab_json_text(tree, "name") : (struct ifab_view){NULL, 0},
        .owner = ifab_json_text(tree, "owner"),
        .role_name = ifab_json_text(tree, "role_name"),
        .role = ifab_role_parse(ifab_json_text(tree, "role")),
        .created = time_of(tree, "created_at"),
        .expires = time_of(tree, "expires_at"),
        .revoked_at = time_of(tree, "revoked_at"),
        .record = record,
    };
    if (ifab_hex_decode(ifab_view_of(hash.data + 7, hash.size - 7), item.hash32, 32) != IFAB_OK ||
        ifab_id_parse(ifab_json_text(tree, "id"), kind == IFAB_ACCESS_TOKEN ? "tok-" : "inv-", item.id16) != IFAB_OK || !sensible(&item))
        return ifab_fail(err, IFAB_CORRUPT, "%s: its fields do not fit each other", schema->what);
    IFAB_TRY(compare_written(&item, err));
    *ret_item = item;
    return IFAB_OK;
}

/* ---- the table ---- */

ifab_status ifab_accesses_new(uint64_t seed, struct ifab_accesses **ret)
{
    struct ifab_accesses *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    ifab_map_init(&self->by_hash, seed);
    ifab_map_init(&self->by_id, seed);
    self->due = IFAB_NEVER;
    *ret = self;
    return IFAB_OK;
}

void ifab_accesses_free(struct ifab_accesses *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        ifab_free(self->nodes[i]);
    ifab_free(self->nodes);
    ifab_map_fini(&self->by_hash);
    ifab_map_fini(&self->by_id);
    ifab_free(self);
}

/* First place whose number is not below this one. */
static size_t place_of(const struct ifab_accesses *self, uint64_t number)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->nodes[middle]->item.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct ifab_view map_key(uint8_t storage[33], enum ifab_access_kind kind, const uint8_t *bytes, size_t size)
{
    storage[0] = (uint8_t)kind;
    memcpy(storage + 1, bytes, size);
    return (struct ifab_view){storage, size + 1};
}

static const struct ifab_access_item *lookup(const struct ifab_map *map, enum ifab_access_kind kind, const uint8_t *bytes, size_t size)
{
    uint8_t storage[33];
    uint64_t pointer;
    if (!ifab_map_get(map, map_key(storage, kind, bytes, size), &pointer))
        return NULL;
    return &((const struct access_node *)(uintptr_t)pointer)->item;
}

const struct ifab_access_item *ifab_accesses_by_hash(const struct ifab_accesses *self, enum ifab_access_kind kind, const uint8_t hash32[32])
{
    const struct ifab_access_item *item = lookup(&self->by_hash, kind, hash32, 32);
    return item != NULL && ifab_equal_ct(item->hash32, hash32, 32) ? item : NULL;
}

const struct ifab_access_item *ifab_accesses_by_id(const struct ifab_accesses *self, enum ifab_access_kind kind, const uint8_t id16[16])
{
    return lookup(&self->by_id, kind, id16, 16);
}

const struct ifab_access_item *ifab_accesses_next(const struct ifab_accesses *self, uint64_t number)
{
    size_t place = number == UINT64_MAX ? self->count : place_of(self, number + 1);
    return place < self->count ? &self->nodes[place]->item : NULL;
}

size_t ifab_accesses_count(const struct ifab_accesses *self, enum ifab_access_kind kind)
{
    return kind == IFAB_ACCESS_TOKEN ? self->tokens : self->count - self->tokens;
}

ifab_usec ifab_accesses_due(const struct ifab_accesses *self) { return self->due; }

size_t ifab_accesses_dead(const struct ifab_accesses *self, ifab_usec wall, size_t max, enum ifab_access_kind *ret_kinds,
                          uint64_t *ret_numbers)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count && count < max && self->due <= wall; i++)
        if (self->nodes[i]->item.expires <= wall) {
            ret_kinds[count] = self->nodes[i]->item.kind;
            ret_numbers[count++] = self->nodes[i]->item.number;
        }
    return count;
}

static struct ifab_view moved(struct ifab_view v, const uint8_t *from, const uint8_t *to)
{
    return v.size == 0 ? (struct ifab_view){NULL, 0} : (struct ifab_view){to + (v.data - from), v.size};
}

static struct access_node *node_new(const struct ifab_access_item *item, uint64_t number)
{
    struct access_node *node = ifab_malloc(sizeof *node + item->record.size);
    if (node == NULL)
        return NULL;
    uint8_t *record = (uint8_t *)(node + 1);
    const uint8_t *old = item->record.data;
    memcpy(record, old, item->record.size);
    node->item = *item;
    node->item.number = number;
    node->item.talent = moved(item->talent, old, record);
    node->item.label = moved(item->label, old, record);
    node->item.owner = moved(item->owner, old, record);
    node->item.role_name = moved(item->role_name, old, record);
    node->item.record = (struct ifab_view){record, item->record.size};
    return node;
}

static void unlink_node(struct ifab_accesses *self, const struct access_node *node)
{
    uint8_t storage[33];
    (void)ifab_map_remove(&self->by_hash, map_key(storage, node->item.kind, node->item.hash32, 32));
    (void)ifab_map_remove(&self->by_id, map_key(storage, node->item.kind, node->item.id16, 16));
}

static bool link_node(struct ifab_accesses *self, struct access_node *node)
{
    uint8_t storage[33];
    if (ifab_map_put(&self->by_hash, map_key(storage, node->item.kind, node->item.hash32, 32), (uint64_t)(uintptr_t)node) != IFAB_OK)
        return false;
    if (ifab_map_put(&self->by_id, map_key(storage, node->item.kind, node->item.id16, 16), (uint64_t)(uintptr_t)node) == IFAB_OK)
        return true;
    (void)ifab_map_remove(&self->by_hash, map_key(storage, node->item.kind, node->item.hash32, 32));
    return false;
}

static void find_due(struct ifab_accesses *self)
{
    self->due = IFAB_NEVER;
    for (size_t i = 0; i < self->count; i++)
        if (self->nodes[i]->item.expires < self->due)
            self->due = self->nodes[i]->item.expires;
}

static void take_away(struct ifab_accesses *self, size_t place)
{
    struct access_node *node = self->nodes[place];
    ifab_usec expires = node->item.expires;
    unlink_node(self, node);
    self->tokens -= node->item.kind == IFAB_ACCESS_TOKEN;
    self->count--;
    memmove(self->nodes + place, self->nodes + place + 1, (self->count - place) * sizeof(struct access_node *));
    ifab_free(node);
    if (expires == self->due)
        find_due(self);
}

static bool room(struct ifab_accesses *self)
{
    if (self->count < self->capacity)
        return true;
    size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
    struct access_node **nodes = ifab_realloc(self->nodes, capacity * sizeof(struct access_node *));
    if (nodes == NULL)
        return false;
    self->nodes = nodes;
    self->capacity = capacity;
    return true;
}

static ifab_status insert(struct ifab_accesses *self, size_t place, const struct ifab_access_item *item, uint64_t number,
                          struct ifab_error *err)
{
    if (ifab_accesses_by_hash(self, item->kind, item->hash32) != NULL || ifab_accesses_by_id(self, item->kind, item->id16) != NULL)
        return ifab_fail(err, IFAB_CORRUPT, "token or invite %llu: its hash or id belongs to another", (unsigned long long)number);
    struct access_node *node = room(self) ? node_new(item, number) : NULL;
    if (node == NULL || !link_node(self, node)) {
        ifab_free(node);
        return ifab_fail(err, IFAB_NOMEM, "token or invite");
    }
    memmove(self->nodes + place + 1, self->nodes + place, (self->count - place) * sizeof(struct access_node *));
    self->nodes[place] = node;
    self->count++;
    self->tokens += item->kind == IFAB_ACCESS_TOKEN;
    if (item->expires < self->due)
        self->due = item->expires;
    return IFAB_OK;
}

/* The only change there is: a token is revoked. */
static ifab_status replace(struct ifab_accesses *self, size_t place, const struct ifab_access_item *item, struct ifab_error *err)
{
    struct access_node *old = self->nodes[place];
    struct ifab_access_item expected = old->item;
    expected.revoked_at = item->revoked_at;
    struct ifab_buf buf = IFAB_BUF_INIT(2 * IFAB_ACCESS_RECORD_MAX);
    ifab_access__write(&buf, &expected);
    bool memory = ifab_buf_status(&buf) == IFAB_OK;
    bool fits = memory && item->kind == old->item.kind && old->item.revoked_at == IFAB_NEVER &&
                ifab_view_equal(ifab_buf_as_view(&buf), item->record);
    ifab_buf_fini(&buf);
    if (!fits)
        return ifab_fail(err, memory ? IFAB_CORRUPT : IFAB_NOMEM, "token or invite %llu: not what follows from the record that is there",
                         (unsigned long long)old->item.number);
    struct access_node *node = node_new(item, old->item.number);
    if (node == NULL)
        return ifab_fail(err, IFAB_NOMEM, "token or invite");
    unlink_node(self, old);
    if (!link_node(self, node)) { /* the slots are there: they were this token's a moment ago, but keys are allocated */
        (void)link_node(self, old);
        ifab_free(node);
        return ifab_fail(err, IFAB_NOMEM, "token or invite");
    }
    self->nodes[place] = node;
    ifab_free(old);
    return IFAB_OK;
}

ifab_status ifab_accesses_load(struct ifab_accesses *self, enum ifab_access_kind kind, uint64_t number, struct ifab_view record,
                               struct ifab_error *err)
{
    size_t place = place_of(self, number);
    bool there = place < self->count && self->nodes[place]->item.number == number;
    struct ifab_access_item item;
    struct ifab_arena arena;
    if (record.size == 0) {
        if (there)
            take_away(self, place);
        return IFAB_OK;
    }
    if (there && self->nodes[place]->item.kind == kind && ifab_view_equal(self->nodes[place]->item.record, record))
        return IFAB_OK;
    ifab_arena_init(&arena, (size_t)1 << 20);
    ifab_status status = ifab_access__read(kind, record, &arena, &item, err);
    if (status == IFAB_OK)
        status = there ? replace(self, place, &item, err) : insert(self, place, &item, number, err);
    ifab_arena_fini(&arena);
    return status;
}

/* A digest a record, so that 10,000 of them cost well under a millisecond when one changes. */
void ifab_accesses_trust_root(const struct ifab_accesses *self, uint8_t ret_root32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    for (size_t i = 0; i < self->count; i++) {
        const struct ifab_access_item *item = &self->nodes[i]->item;
        uint8_t row[41], *at = row;
        ifab_put_u8(&at, (uint8_t)item->kind);
        ifab_put_u64(&at, item->number);
        ifab_sha256(item->record, at);
        ifab_sha256_add(&hash, (struct ifab_view){row, sizeof row});
    }
    ifab_sha256_end(&hash, ret_root32);
}
