/*
 * kv_get and kv_put: what a capability keeps for a talent, in memory, until the daemon ends or one of the two is revoked. 256 keys and 1 MiB a tenant,
 * 64 MiB in all.
 */
#include "guest_internal.h"

#include "crypto/crypto.h"

#include <string.h>

#define KEY_MAX   128
#define VALUE_MAX ((size_t)65536)
#define KEYS_MAX  256
#define BYTES_MAX ((uint64_t)1 << 20)
#define ITEMS_MAX 65536
#define TOTAL_MAX ((uint64_t)64 << 20)

struct kv_item {
    uint8_t place32[32];
    struct kv_item *next, *prev; /* of its tenant */
    size_t value_size;
    uint8_t value[];
};

/* tenant LF key, short: a digest of both. */
static struct ifab_view place(uint8_t storage[32], struct ifab_view tenant, struct ifab_view key)
{
    ifab_sha256_3(tenant, IFAB_VIEW("\n"), key, storage);
    return ifab_view_of(storage, 32);
}

static struct kv_item *item_at(const struct ifab_guests *self, struct ifab_view at)
{
    uint64_t pointer;
    return ifab_map_get(&self->kv, at, &pointer) ? (struct kv_item *)(uintptr_t)pointer : NULL;
}

static struct kv_tenant *tenant_of(const struct ifab_guests *self, struct ifab_view name)
{
    uint64_t pointer;
    return ifab_map_get(&self->kv_tenants, name, &pointer) ? (struct kv_tenant *)(uintptr_t)pointer : NULL;
}

enum ifab_host_status ifab_guest__kv_get(struct ifab_guests *self, struct ifab_view tenant, struct ifab_view key, struct ifab_view *ret_value)
{
    uint8_t storage[32];
    if (key.size == 0 || key.size > KEY_MAX)
        return IFAB_HOST_REFUSED;
    const struct kv_item *item = item_at(self, place(storage, tenant, key));
    if (item == NULL)
        return IFAB_HOST_NOT_FOUND;
    *ret_value = ifab_view_of(item->value, item->value_size);
    return IFAB_HOST_OK;
}

static void unlink_item(struct ifab_guests *self, struct kv_tenant *tenant, struct kv_item *item)
{
    *(item->prev != NULL ? &item->prev->next : &tenant->first) = item->next;
    if (item->next != NULL)
        item->next->prev = item->prev;
    tenant->keys--;
    tenant->bytes -= item->value_size;
    self->kv_total -= item->value_size;
    ifab_free(item);
}

static void link_item(struct ifab_guests *self, struct kv_tenant *tenant, struct kv_item *item)
{
    item->next = tenant->first;
    if (item->next != NULL)
        item->next->prev = item;
    tenant->first = item;
    tenant->keys++;
    tenant->bytes += item->value_size;
    self->kv_total += item->value_size;
}

/* Its last key has gone. */
static void tenant_end(struct ifab_guests *self, struct kv_tenant *tenant)
{
    if (tenant->keys > 0)
        return;
    *(tenant->prev != NULL ? &tenant->prev->next : &self->kv_first) = tenant->next;
    if (tenant->next != NULL)
        tenant->next->prev = tenant->prev;
    (void)ifab_map_remove(&self->kv_tenants, ifab_view_str(tenant->name));
    ifab_free(tenant);
}

static struct kv_tenant *tenant_new(struct ifab_guests *self, const struct running *r)
{
    struct kv_tenant *tenant = r->tenant.size < sizeof tenant->name ? ifab_calloc(1, sizeof *tenant) : NULL;
    if (tenant == NULL || ifab_map_put(&self->kv_tenants, r->tenant, (uint64_t)(uintptr_t)tenant) != IFAB_OK) {
        ifab_free(tenant);
        return NULL;
    }
    memcpy(tenant->name, r->tenant.data, r->tenant.size);
    memcpy(tenant->manifest32, r->spec->manifest.digest32, 32);
    tenant->talent = r->talent_number;
    tenant->next = self->kv_first;
    if (tenant->next != NULL)
        tenant->next->prev = tenant;
    self->kv_first = tenant;
    return tenant;
}

static enum ifab_host_status drop(struct ifab_guests *self, struct kv_tenant *tenant, struct kv_item *old)
{
    if (old != NULL) {
        (void)ifab_map_remove(&self->kv, ifab_view_of(old->place32, 32));
        unlink_item(self, tenant, old);
        tenant_end(self, tenant);
    }
    return IFAB_HOST_OK;
}

enum ifab_host_status ifab_guest__kv_put(struct ifab_guests *self, const struct running *r, struct ifab_view key, struct ifab_view value)
{
    uint8_t storage[32];
    if (key.size == 0 || key.size > KEY_MAX)
        return IFAB_HOST_REFUSED;
    if (value.size > VALUE_MAX)
        return IFAB_HOST_TOO_LARGE;
    struct ifab_view at = place(storage, r->tenant, key);
    struct kv_item *old = item_at(self, at);
    struct kv_tenant *tenant = tenant_of(self, r->tenant);
    if (value.size == 0)
        return drop(self, tenant, old);
    size_t less = old != NULL ? old->value_size : 0;
    uint64_t bytes = tenant != NULL ? tenant->bytes : 0, keys = tenant != NULL ? tenant->keys : 0;
    if (bytes - less + value.size > BYTES_MAX || keys + (old == NULL) > KEYS_MAX || (old == NULL && self->kv.count >= ITEMS_MAX))
        return IFAB_HOST_LIMITED;
    if (self->kv_total - less + value.size > TOTAL_MAX)
        return IFAB_HOST_LIMITED;
    struct kv_item *item = ifab_malloc(sizeof *item + value.size);
    if (item == NULL || (tenant == NULL && (tenant = tenant_new(self, r)) == NULL) || ifab_map_put(&self->kv, at, (uint64_t)(uintptr_t)item) != IFAB_OK) {
        ifab_free(item);
        if (tenant != NULL)
            tenant_end(self, tenant);
        return IFAB_HOST_UNAVAILABLE;
    }
    *item = (struct kv_item){.value_size = value.size};
    memcpy(item->place32, storage, 32);
    memcpy(item->value, value.data, value.size);
    if (old != NULL)
        unlink_item(self, tenant, old);
    link_item(self, tenant, item);
    return IFAB_HOST_OK;
}

void ifab_guest__kv_drop(struct ifab_guests *self, struct kv_tenant *tenant)
{
    for (size_t left = tenant->keys; left > 0; left--)
        (void)drop(self, tenant, tenant->first);
}

void ifab_guest__kv_free(struct ifab_guests *self)
{
    while (self->kv_first != NULL)
        ifab_guest__kv_drop(self, self->kv_first);
    ifab_map_fini(&self->kv);
    ifab_map_fini(&self->kv_tenants);
}
