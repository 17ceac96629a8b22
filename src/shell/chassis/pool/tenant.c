/*
 * Who calls, and what is remembered of who made its workers end before their time: each new one costs milliseconds of the CPU, so a tenant whose guests loop until they
 * are killed gets fewer and fewer of them, and those that it gets have stepped back before they start. No call is refused for it: it waits its turn, as long as any may.
 */
#include "pool_internal.h"

static struct ifab_view tenant_key(const struct ifab_chassis_tenant *id, uint8_t storage[40])
{
    for (unsigned i = 0; i < 8; i++)
        storage[i] = (uint8_t)(id->talent >> (8 * i));
    memcpy(storage + 8, id->manifest32, 32);
    return ifab_view_of(storage, 40);
}

struct chassis_tenant *ifab_chassis__tenant(struct ifab_chassis *self, const struct ifab_chassis_tenant *id)
{
    uint8_t storage[40];
    uint64_t at;
    struct ifab_view key = tenant_key(id, storage);
    if (ifab_map_get(&self->tenants, key, &at)) {
        struct chassis_tenant *there = (struct chassis_tenant *)(uintptr_t)at; /* NOLINT(performance-no-int-to-ptr) */
        there->refs++;
        return there;
    }
    struct chassis_tenant *tenant = ifab_calloc(1, sizeof *tenant);
    if (tenant == NULL || ifab_map_put(&self->tenants, key, (uint64_t)(uintptr_t)tenant) != IFAB_OK) {
        ifab_free(tenant);
        return NULL;
    }
    tenant->id = *id;
    tenant->refs = 1;
    return tenant;
}

void ifab_chassis__tenant_drop(struct ifab_chassis *self, struct chassis_tenant *tenant)
{
    uint8_t storage[40];
    if (tenant == NULL || --tenant->refs > 0)
        return;
    (void)ifab_map_remove(&self->tenants, tenant_key(&tenant->id, storage));
    ifab_free(tenant);
}

/* ---- strikes ---- */

static uint64_t rest_of(const struct ifab_chassis *self, const struct chassis_tenant *tenant)
{
    return tenant->strikes <= CHASSIS_STRIKES_FREE ? 0 : (uint64_t)self->options.rest_ms << (tenant->strikes - CHASSIS_STRIKES_FREE - 1);
}

void ifab_chassis__strike(struct ifab_chassis *self, struct chassis_tenant *tenant)
{
    if (tenant == NULL || self->closing || self->options.rest_ms == 0)
        return;
    if (tenant->strikes == 0) {
        tenant->refs++;
        tenant->next_struck = self->struck;
        self->struck = tenant;
    }
    tenant->strikes += tenant->strikes < CHASSIS_STRIKES_MOST;
    tenant->struck = uv_now(self->loop);
    ifab_chassis__started(self, tenant);
}

void ifab_chassis__started(struct ifab_chassis *self, struct chassis_tenant *tenant) { tenant->rests_until = uv_now(self->loop) + rest_of(self, tenant); }

bool ifab_chassis__is_noisy(const struct chassis_tenant *tenant) { return tenant->strikes > CHASSIS_STRIKES_FREE; }

void ifab_chassis__forget(struct ifab_chassis *self, uint64_t now)
{
    struct chassis_tenant **at = &self->struck;
    if (*at == NULL || (now < self->forget_at && !self->closing))
        return;
    uint64_t old = (uint64_t)self->options.rest_ms * CHASSIS_FORGET_RESTS;
    self->forget_at = now + old / 10;
    while (*at != NULL) {
        struct chassis_tenant *tenant = *at;
        if (now - tenant->struck < old && !self->closing) {
            at = &tenant->next_struck;
            continue;
        }
        *at = tenant->next_struck;
        tenant->strikes = 0;
        tenant->rests_until = 0;
        ifab_chassis__tenant_drop(self, tenant);
    }
}
