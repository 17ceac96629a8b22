/*
 * The talents in memory: by number, by name, by key.
 *
 * 1. A name (in any case) and a key belong to one number for ever; removal leaves both taken.
 * 2. load is all or nothing: on failure the table is what it was.
 * 3. A record may only be followed by one that an act could have made from it: what is revoked stays revoked (INV-02, INV-16).
 */
#include "base/encode.h"
#include "base/id.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "talent_internal.h"

#define TRUST_KIND_TALENT 2 /* IFAB_RECORD_TALENT of the store: on disk, never changes */
#define READ_ARENA_MAX ((size_t)16 << 20)

ifab_status ifab_talents_new(uint64_t seed, struct ifab_talents **ret)
{
    struct ifab_talents *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->seed = seed;
    ifab_map_init(&self->names, seed);
    ifab_map_init(&self->owners, seed);
    ifab_map_init(&self->keys, seed);
    ifab_map_init(&self->spkis, seed);
    *ret = self;
    return IFAB_OK;
}

void ifab_talents_free(struct ifab_talents *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        ifab_talent__node_unref(self->nodes[i]);
    ifab_free(self->nodes);
    ifab_map_fini(&self->names);
    ifab_map_fini(&self->owners);
    ifab_map_fini(&self->keys);
    ifab_map_fini(&self->spkis);
    ifab_free(self);
}

void ifab_talent__node_unref(struct talent_node *node)
{
    if (node != NULL && atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1)
        ifab_free(node);
}

/* The view's bytes in lower case, in the caller's storage; size 0 when it is no name by its length. */
static struct ifab_view lower(struct ifab_view name, uint8_t storage[IFAB_NAME_MAX])
{
    if (name.size > IFAB_NAME_MAX)
        return (struct ifab_view){storage, 0};
    for (size_t i = 0; i < name.size; i++)
        storage[i] = (uint8_t)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] + ('a' - 'A') : name.data[i]);
    return (struct ifab_view){storage, name.size};
}

static const struct ifab_talent *lookup(const struct ifab_talents *self, const struct ifab_map *map, struct ifab_view name)
{
    uint8_t storage[IFAB_NAME_MAX];
    uint64_t number;
    struct ifab_view key = lower(name, storage);
    return key.size > 0 && ifab_map_get(map, key, &number) ? &self->nodes[number - 1]->talent : NULL;
}

bool ifab_talents__name_free(const struct ifab_talents *self, struct ifab_view name)
{
    const struct ifab_talent *owned = lookup(self, &self->owners, name);
    return lookup(self, &self->names, name) == NULL && (owned == NULL || ifab_view_equal(owned->owner, name));
}

/* Owners are counted apart when votes are cast: nobody may become two by another spelling. */
struct ifab_view ifab_talents__owner_known(const struct ifab_talents *self, struct ifab_view owner, struct ifab_view own_name)
{
    const struct ifab_talent *owned = lookup(self, &self->owners, owner), *named = lookup(self, &self->names, owner);
    return owned != NULL                                ? owned->owner
           : named != NULL                              ? named->name
           : ifab_view_equal_nocase(own_name, owner) ? own_name
                                                        : owner;
}

bool ifab_talents__owner_fits(const struct ifab_talents *self, struct ifab_view owner, struct ifab_view own_name)
{
    const struct ifab_talent *owned = lookup(self, &self->owners, owner), *named = lookup(self, &self->names, owner);
    return (owned == NULL || ifab_view_equal(owned->owner, owner)) && (named == NULL || ifab_view_equal(named->name, owner)) &&
           (ifab_view_equal(own_name, owner) || !ifab_view_equal_nocase(own_name, owner));
}

static struct ifab_view moved(struct ifab_view v, const uint8_t *from, const uint8_t *to)
{
    return (struct ifab_view){to + (v.data - from), v.size};
}

/* One block: node, keys, TLS keys, grants, record; the views of `from` point into its record, those of the node into the copy. */
static struct talent_node *node_new(const struct ifab_talent *from)
{
    size_t keys_size = from->key_count * sizeof(struct ifab_key), grants_size = from->grant_count * sizeof(struct ifab_grant);
    size_t tls_size = from->tls_key_count * sizeof(struct ifab_tls_key);
    struct talent_node *node = ifab_malloc(sizeof *node + keys_size + tls_size + grants_size + from->record.size);
    if (node == NULL)
        return NULL;
    struct ifab_key *keys = (struct ifab_key *)(void *)(node + 1);
    struct ifab_tls_key *tls_keys = (struct ifab_tls_key *)(void *)((uint8_t *)keys + keys_size);
    struct ifab_grant *grants = (struct ifab_grant *)(void *)((uint8_t *)tls_keys + tls_size);
    uint8_t *record = (uint8_t *)grants + grants_size;
    const uint8_t *old = from->record.data;
    memcpy(record, old, from->record.size);
    if (keys_size > 0)
        memcpy(keys, from->keys, keys_size);
    if (tls_size > 0)
        memcpy(tls_keys, from->tls_keys, tls_size);
    for (size_t i = 0; i < from->grant_count; i++)
        grants[i] = (struct ifab_grant){moved(from->grants[i].scope, old, record), from->grants[i].expires_at};

    atomic_init(&node->refs, 1);
    node->talent = *from;
    node->talent.name = moved(from->name, old, record);
    node->talent.owner = moved(from->owner, old, record);
    node->talent.role_name = moved(from->role_name, old, record);
    node->talent.keys = keys;
    node->talent.tls_keys = tls_keys;
    node->talent.grants = grants;
    node->talent.record = (struct ifab_view){record, from->record.size};
    return node;
}
_Static_assert(sizeof(struct talent_node) % _Alignof(struct ifab_key) == 0 && sizeof(struct ifab_key) % _Alignof(struct ifab_tls_key) == 0 &&
                   sizeof(struct ifab_tls_key) % _Alignof(struct ifab_grant) == 0 &&
                   _Alignof(struct ifab_key) >= _Alignof(struct ifab_grant) && sizeof(struct ifab_key) % _Alignof(struct ifab_grant) == 0,
               "arrays behind a node are aligned");

/* A period may only become shorter, what is revoked stays so. */
static bool period_follows(ifab_usec before, ifab_usec after, ifab_usec revoked, ifab_usec next_before, ifab_usec next_after, ifab_usec next_revoked)
{
    return next_before == before && next_after <= after && (revoked == IFAB_NEVER || next_revoked == revoked);
}

/* Could an act have made `next` from `present`? */
static bool may_follow(const struct ifab_talent *present, const struct ifab_talent *next)
{
    if (next->version != present->version + 1 || present->removed_at != IFAB_NEVER || next->key_count < present->key_count ||
        next->tls_key_count < present->tls_key_count ||
        next->created != present->created || next->role != present->role || next->mode != present->mode ||
        !ifab_view_equal(next->name, present->name) || !ifab_view_equal(next->owner, present->owner) ||
        !ifab_view_equal(next->role_name, present->role_name))
        return false;
    for (size_t i = 0; i < present->key_count; i++) {
        const struct ifab_key *was = &present->keys[i], *is = &next->keys[i];
        if (memcmp(was->pubkey32, is->pubkey32, 32) != 0 ||
            !period_follows(was->not_before, was->not_after, was->revoked_at, is->not_before, is->not_after, is->revoked_at))
            return false;
    }
    for (size_t i = 0; i < present->tls_key_count; i++) {
        const struct ifab_tls_key *was = &present->tls_keys[i], *is = &next->tls_keys[i];
        if (memcmp(was->spki32, is->spki32, 32) != 0 ||
            !period_follows(was->not_before, was->not_after, was->revoked_at, is->not_before, is->not_after, is->revoked_at))
            return false;
    }
    return true;
}

static struct ifab_view key_view(const struct ifab_key *key)
{
    return (struct ifab_view){key->pubkey32, 32};
}

/* A key that signs under its own bytes and under its digest. */
static ifab_status put_key(struct ifab_talents *self, const struct ifab_talent *talent, size_t place)
{
    uint8_t spki32[32];
    struct ifab_view digest = {spki32, 32};
    ifab_spki_digest(talent->keys[place].pubkey32, spki32);
    if (ifab_map_put(&self->spkis, digest, (uint64_t)talent->number << 8 | IFAB_TALENT__SPKI_SIGNS) != IFAB_OK)
        return IFAB_NOMEM;
    if (ifab_map_put(&self->keys, key_view(&talent->keys[place]), (uint64_t)talent->number << 8 | place) == IFAB_OK)
        return IFAB_OK;
    (void)ifab_map_remove(&self->spkis, digest);
    return IFAB_NOMEM;
}

static void take_key(struct ifab_talents *self, const struct ifab_talent *talent, size_t place)
{
    uint8_t spki32[32];
    ifab_spki_digest(talent->keys[place].pubkey32, spki32);
    (void)ifab_map_remove(&self->spkis, (struct ifab_view){spki32, 32});
    (void)ifab_map_remove(&self->keys, key_view(&talent->keys[place]));
}

/* The keys from `first`, the TLS keys from `first_tls` on into the maps; on failure none of them is there. */
static ifab_status put_keys(struct ifab_talents *self, const struct ifab_talent *talent, size_t first, size_t first_tls)
{
    size_t i = first, j = first_tls;
    while (i < talent->key_count && put_key(self, talent, i) == IFAB_OK)
        i++;
    while (i == talent->key_count && j < talent->tls_key_count &&
           ifab_map_put(&self->spkis, (struct ifab_view){talent->tls_keys[j].spki32, 32}, (uint64_t)talent->number << 8 | j) == IFAB_OK)
        j++;
    if (i == talent->key_count && j == talent->tls_key_count)
        return IFAB_OK;
    while (i-- > first)
        take_key(self, talent, i);
    while (j-- > first_tls)
        (void)ifab_map_remove(&self->spkis, (struct ifab_view){talent->tls_keys[j].spki32, 32});
    return IFAB_NOMEM;
}

static ifab_status insert(struct ifab_talents *self, struct talent_node *node)
{
    const struct ifab_talent *talent = &node->talent;
    uint8_t name[IFAB_NAME_MAX], owner[IFAB_NAME_MAX];
    struct ifab_view name_key = lower(talent->name, name), owner_key = lower(talent->owner, owner);
    uint64_t present;
    bool new_owner = !ifab_map_get(&self->owners, owner_key, &present);
    if (self->count == self->capacity) {
        size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
        struct talent_node **nodes = ifab_realloc(self->nodes, capacity * sizeof(struct talent_node *));
        if (nodes == NULL)
            return IFAB_NOMEM;
        self->nodes = nodes;
        self->capacity = capacity;
    }
    if (ifab_map_put(&self->names, name_key, talent->number) != IFAB_OK)
        return IFAB_NOMEM;
    if ((new_owner && ifab_map_put(&self->owners, owner_key, talent->number) != IFAB_OK)) {
        (void)ifab_map_remove(&self->names, name_key);
        return IFAB_NOMEM;
    }
    if (put_keys(self, talent, 0, 0) != IFAB_OK) {
        (void)ifab_map_remove(&self->names, name_key);
        if (new_owner)
            (void)ifab_map_remove(&self->owners, owner_key);
        return IFAB_NOMEM;
    }
    self->nodes[self->count++] = node;
    return IFAB_OK;
}

/* New ones are nobody's yet, for either use. */
static ifab_status check_keys(const struct ifab_talents *self, const struct ifab_talent *talent, const struct ifab_talent *present,
                              struct ifab_error *err)
{
    uint8_t spki32[32];
    for (size_t i = present == NULL ? 0 : present->key_count; i < talent->key_count; i++) {
        ifab_spki_digest(talent->keys[i].pubkey32, spki32);
        if (ifab_talents__spki_holder(self, spki32) != NULL)
            return ifab_fail(err, IFAB_CORRUPT, "talent %u: key of epoch %u belongs to another", talent->number, talent->keys[i].epoch);
    }
    for (size_t i = present == NULL ? 0 : present->tls_key_count; i < talent->tls_key_count; i++)
        if (ifab_talents__spki_holder(self, talent->tls_keys[i].spki32) != NULL)
            return ifab_fail(err, IFAB_CORRUPT, "talent %u: TLS key %zu belongs to another", talent->number, i + 1);
    return IFAB_OK;
}

/* Against everything the table holds. */
static ifab_status check_fits(const struct ifab_talents *self, const struct ifab_talent *talent, uint32_t number, struct ifab_error *err)
{
    if (talent->number != number || number == 0 || number > self->count + 1)
        return ifab_fail(err, IFAB_CORRUPT, "talent record: number %u where %u is due", talent->number, number);
    const struct ifab_talent *present = ifab_talents_at(self, number);
    if (present != NULL && !may_follow(present, talent))
        return ifab_fail(err, IFAB_CORRUPT, "talent %u: version %llu does not follow from version %llu", number,
                         (unsigned long long)talent->version, (unsigned long long)present->version);
    if (present == NULL && !ifab_talents__name_free(self, talent->name))
        return ifab_fail(err, IFAB_CORRUPT, "talent %u: name " IFAB_FMT " is taken", number, IFAB_ARG(talent->name));
    if (present == NULL && !ifab_talents__owner_fits(self, talent->owner, talent->name))
        return ifab_fail(err, IFAB_CORRUPT, "talent %u: owner " IFAB_FMT " is spelled otherwise elsewhere", number,
                         IFAB_ARG(talent->owner));
    return check_keys(self, talent, present, err);
}

static ifab_status take_in(struct ifab_talents *self, const struct ifab_talent *talent, struct ifab_error *err)
{
    struct talent_node *node = node_new(talent);
    ifab_status status = IFAB_NOMEM;
    if (node != NULL && talent->number > self->count) {
        status = insert(self, node);
    } else if (node != NULL) {
        struct talent_node *old = self->nodes[talent->number - 1];
        status = put_keys(self, &node->talent, old->talent.key_count, old->talent.tls_key_count);
        if (status == IFAB_OK) {
            self->nodes[talent->number - 1] = node;
            ifab_talent__node_unref(old);
        }
    }
    if (status == IFAB_OK)
        return IFAB_OK;
    ifab_talent__node_unref(node);
    return ifab_fail(err, status, "talent");
}

ifab_status ifab_talents_load(struct ifab_talents *self, uint32_t number, struct ifab_view record, struct ifab_error *err)
{
    const struct ifab_talent *present = ifab_talents_at(self, number);
    if (present != NULL && ifab_view_equal(present->record, record))
        return IFAB_OK;
    struct ifab_arena arena;
    struct ifab_talent talent;
    ifab_arena_init(&arena, READ_ARENA_MAX);
    ifab_status status = ifab_talent__read(record, &arena, &talent, err);
    if (status == IFAB_OK)
        status = check_fits(self, &talent, number, err);
    if (status == IFAB_OK)
        status = take_in(self, &talent, err);
    ifab_arena_fini(&arena);
    return status;
}

const struct ifab_talent *ifab_talents_find(const struct ifab_talents *self, struct ifab_view name)
{
    const struct ifab_talent *talent = lookup(self, &self->names, name);
    return talent != NULL && ifab_view_equal(talent->name, name) ? talent : NULL;
}

const struct ifab_talent *ifab_talents_at(const struct ifab_talents *self, uint32_t number)
{
    return number >= 1 && number <= self->count ? &self->nodes[number - 1]->talent : NULL;
}

const struct ifab_talent *ifab_talents_by_key(const struct ifab_talents *self, const uint8_t pubkey32[32], const struct ifab_key **ret_key)
{
    uint64_t place;
    if (!ifab_map_get(&self->keys, (struct ifab_view){pubkey32, 32}, &place))
        return NULL;
    const struct ifab_talent *talent = &self->nodes[(place >> 8) - 1]->talent;
    if (ret_key != NULL)
        *ret_key = &talent->keys[place & 0xff];
    return talent;
}

const struct ifab_talent *ifab_talents__spki_holder(const struct ifab_talents *self, const uint8_t spki32[32])
{
    uint64_t place;
    return ifab_map_get(&self->spkis, (struct ifab_view){spki32, 32}, &place) ? &self->nodes[(place >> 8) - 1]->talent : NULL;
}

const struct ifab_talent *ifab_talents_by_spki(const struct ifab_talents *self, const uint8_t spki32[32], const struct ifab_tls_key **ret_key)
{
    uint64_t place;
    if (!ifab_map_get(&self->spkis, (struct ifab_view){spki32, 32}, &place) || (place & 0xff) == IFAB_TALENT__SPKI_SIGNS)
        return NULL;
    const struct ifab_talent *talent = &self->nodes[(place >> 8) - 1]->talent;
    if (ret_key != NULL)
        *ret_key = &talent->tls_keys[place & 0xff];
    return talent;
}

/* Revoked is revoked, whatever the clock says. */
bool ifab_tls_key_valid(const struct ifab_talent *talent, const struct ifab_tls_key *key, ifab_usec wall)
{
    return talent != NULL && key != NULL && talent->removed_at == IFAB_NEVER && key->revoked_at == IFAB_NEVER && key->not_before <= wall &&
           wall < key->not_after;
}

uint32_t ifab_talents_count(const struct ifab_talents *self)
{
    return (uint32_t)self->count;
}

bool ifab_talent_has_grant(const struct ifab_talent *talent, struct ifab_view scope, ifab_usec wall)
{
    if (talent == NULL || talent->removed_at != IFAB_NEVER)
        return false;
    for (size_t i = 0; i < talent->grant_count; i++)
        if (ifab_view_equal(talent->grants[i].scope, scope))
            return wall < talent->grants[i].expires_at;
    return false;
}

enum ifab_code ifab_talent_key_check(const struct ifab_talent *talent, const uint8_t pubkey32[32], ifab_usec wall,
                                     const struct ifab_key **ret_key, struct ifab_refusal *ret_refusal)
{
    const struct ifab_key *key = NULL;
    for (size_t i = 0; talent != NULL && i < talent->key_count && key == NULL; i++)
        if (memcmp(talent->keys[i].pubkey32, pubkey32, 32) == 0)
            key = &talent->keys[i];
    if (key == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.pubkey", "not a key registered for this sender");
    if (talent->removed_at != IFAB_NEVER)
        return ifab_refuse(ret_refusal, IFAB_CODE_KEY_REVOKED, "signature.pubkey", "this talent has been removed");
    if (key->revoked_at != IFAB_NEVER) /* whatever the clock says: a revocation does not end when the clock is set back */
        return ifab_refuse(ret_refusal, IFAB_CODE_KEY_REVOKED, "signature.pubkey", "key of epoch %u is revoked", key->epoch);
    if (wall < key->not_before)
        return ifab_refuse(ret_refusal, IFAB_CODE_KEY_REVOKED, "signature.pubkey", "key of epoch %u is not valid yet", key->epoch);
    if (wall >= key->not_after)
        return ifab_refuse(ret_refusal, IFAB_CODE_KEY_REVOKED, "signature.pubkey", "key of epoch %u is past its validity", key->epoch);
    if (ret_key != NULL)
        *ret_key = key;
    return IFAB_CODE_NONE;
}

void ifab_talents_trust_root(const struct ifab_talents *self, uint8_t ret_root32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    for (size_t i = 0; i < self->count; i++) {
        struct ifab_view record = self->nodes[i]->talent.record;
        uint8_t head[17], *at = head;
        ifab_put_u8(&at, TRUST_KIND_TALENT);
        ifab_put_u64(&at, i + 1);
        ifab_put_u64(&at, record.size);
        ifab_sha256_add(&hash, (struct ifab_view){head, sizeof head});
        ifab_sha256_add(&hash, record);
    }
    ifab_sha256_end(&hash, ret_root32);
}
