/* kv_get and kv_put: what a capability keeps for a talent, in memory, until the daemon ends. 256 keys and 1 MiB a tenant, 64 MiB in all. */
#include "guest_internal.h"

#include "crypto/crypto.h"

#include <string.h>

#define KEY_MAX   128
#define VALUE_MAX ((size_t)65536)
#define KEYS_MAX  256
#define BYTES_MAX ((uint64_t)1 << 20)
#define ITEMS_MAX 65536

/* tenant LF key, short: a digest of both. */
static struct ifab_view place(uint8_t storage[32], struct ifab_view tenant, struct ifab_view key)
{
    ifab_sha256_3(tenant, IFAB_VIEW("\n"), key, storage);
    return ifab_view_of(storage, 32);
}

enum ifab_host_status ifab_guest__kv_get(struct ifab_guests *self, struct ifab_view tenant, struct ifab_view key, struct ifab_view *ret_value)
{
    uint8_t storage[32];
    uint64_t pointer;
    if (key.size == 0 || key.size > KEY_MAX)
        return IFAB_HOST_REFUSED;
    if (!ifab_map_get(&self->kv, place(storage, tenant, key), &pointer))
        return IFAB_HOST_NOT_FOUND;
    const struct kv_item *item = (const struct kv_item *)(uintptr_t)pointer;
    *ret_value = ifab_view_of(item->value, item->value_size);
    return IFAB_HOST_OK;
}

static void item_free(struct kv_item *item)
{
    if (item != NULL)
        ifab_free(item->value);
    ifab_free(item);
}

static struct kv_item *item_new(struct ifab_view value)
{
    struct kv_item *item = ifab_calloc(1, sizeof *item);
    if (item == NULL || (item->value = ifab_malloc(value.size)) == NULL) {
        item_free(item);
        return NULL;
    }
    memcpy(item->value, value.data, value.size);
    item->value_size = value.size;
    return item;
}

enum ifab_host_status ifab_guest__kv_put(struct ifab_guests *self, struct ifab_view tenant, struct ifab_view key, struct ifab_view value)
{
    uint8_t storage[32];
    uint64_t pointer = 0, bytes = 0, keys = 0;
    if (key.size == 0 || key.size > KEY_MAX)
        return IFAB_HOST_REFUSED;
    if (value.size > VALUE_MAX)
        return IFAB_HOST_TOO_LARGE;
    struct ifab_view at = place(storage, tenant, key);
    struct kv_item *old = ifab_map_get(&self->kv, at, &pointer) ? (struct kv_item *)(uintptr_t)pointer : NULL;
    (void)ifab_map_get(&self->kv_bytes, tenant, &bytes);
    (void)ifab_map_get(&self->kv_count, tenant, &keys);
    bytes = bytes + value.size - (old != NULL ? old->value_size : 0);
    keys = keys + (value.size > 0 && old == NULL) - (value.size == 0 && old != NULL);
    if (bytes > BYTES_MAX || keys > KEYS_MAX || (old == NULL && self->kv.count >= ITEMS_MAX))
        return IFAB_HOST_LIMITED;
    struct kv_item *item = value.size > 0 ? item_new(value) : NULL;
    if ((value.size > 0 && item == NULL) || ifab_map_put(&self->kv_bytes, tenant, bytes) != IFAB_OK || ifab_map_put(&self->kv_count, tenant, keys) != IFAB_OK ||
        (item != NULL && ifab_map_put(&self->kv, at, (uint64_t)(uintptr_t)item) != IFAB_OK)) {
        item_free(item);
        return IFAB_HOST_UNAVAILABLE;
    }
    if (item == NULL)
        (void)ifab_map_remove(&self->kv, at);
    item_free(old);
    return IFAB_HOST_OK;
}

void ifab_guest__kv_free(struct ifab_guests *self)
{
    size_t cursor = 0;
    uint64_t pointer;
    struct ifab_view key;
    while (ifab_map_next(&self->kv, &cursor, &key, &pointer))
        item_free((struct kv_item *)(uintptr_t)pointer);
    ifab_map_fini(&self->kv);
    ifab_map_fini(&self->kv_bytes);
    ifab_map_fini(&self->kv_count);
}
