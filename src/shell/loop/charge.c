#include "charge.h"

#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "clock.h"

#define UNIT (IFAB_SECOND / CHARGE_PER_SECOND)
#define CHAINS 4096

ifab_status charges_init(struct charges *self, uint64_t seed)
{
    *self = (struct charges){.seed = seed};
    self->rows = ifab_calloc(CHARGES + 1, sizeof *self->rows);
    self->chains = ifab_calloc(CHAINS, sizeof *self->chains);
    return self->rows == NULL || self->chains == NULL ? IFAB_NOMEM : IFAB_OK;
}

void charges_fini(struct charges *self)
{
    ifab_free(self->rows);
    ifab_free(self->chains);
    *self = (struct charges){.used = 0};
}

static uint32_t *chain_of(const struct charges *self, const char *name, size_t size)
{
    return &self->chains[ifab_hash64(ifab_view_of(name, size), self->seed) % CHAINS];
}

static void unchain(struct charges *self, uint32_t place)
{
    struct charge *row = &self->rows[place];
    uint32_t *at = chain_of(self, row->name, row->name_size);
    while (*at != place)
        at = &self->rows[*at].next;
    *at = row->next;
}

/* 0: each is held. One that is full again has nothing to forget; else the one that has least to. */
static uint32_t free_place(struct charges *self, ifab_usec boot)
{
    uint32_t best = 0;
    if (self->used < CHARGES)
        return ++self->used;
    for (uint32_t i = 1; i <= CHARGES; i++) {
        const struct charge *row = &self->rows[i];
        if (row->refs > 0 || (best != 0 && atomic_load(&row->tat) >= atomic_load(&self->rows[best].tat)))
            continue;
        best = i;
        if (atomic_load(&row->tat) <= boot)
            break;
    }
    if (best != 0)
        unchain(self, best);
    return best;
}

static size_t name_of(const struct ifab_http_peer *peer, char ret_name[64])
{
    if (peer->unix_socket)
        return (size_t)snprintf(ret_name, 64, "uid:%u", peer->uid);
    const char *colon = strrchr(peer->address, ':'); /* the address, not the port */
    size_t size = colon != NULL ? (size_t)(colon - peer->address) : strlen(peer->address);
    memcpy(ret_name, peer->address, size);
    return size;
}

struct charge *charge_hold(struct charges *self, const struct ifab_http_peer *peer, ifab_usec boot)
{
    char name[64];
    size_t size = name_of(peer, name);
    uint32_t *chain = chain_of(self, name, size), place = *chain;
    while (place != 0 && (self->rows[place].name_size != size || memcmp(self->rows[place].name, name, size) != 0))
        place = self->rows[place].next;
    if (place == 0) {
        place = free_place(self, boot);
        if (place == 0)
            return NULL;
        struct charge *row = &self->rows[place];
        memcpy(row->name, name, size);
        row->name_size = (uint32_t)size;
        row->refs = 0;
        atomic_store(&row->tat, 0);
        row->next = *chain;
        *chain = place;
    }
    self->rows[place].refs++;
    return &self->rows[place];
}

void charge_drop(struct charge *self)
{
    if (self != NULL)
        self->refs--;
}

bool charge_empty_at(const struct charge *self, ifab_usec boot)
{
    return atomic_load_explicit(&self->tat, memory_order_relaxed) - boot > (CHARGE_BURST - 1) * UNIT;
}

/* Never charged: no clock is asked. */
bool charge_empty(const struct charge *self)
{
    return atomic_load_explicit(&self->tat, memory_order_relaxed) != 0 && charge_empty_at(self, clock_boot());
}

void charge_take_at(struct charge *self, ifab_usec boot)
{
    int64_t tat = atomic_load_explicit(&self->tat, memory_order_relaxed), next;
    do
        next = (tat < boot ? boot : tat) + UNIT;
    while (!atomic_compare_exchange_weak(&self->tat, &tat, next));
}

void charge_take(struct charge *self) { charge_take_at(self, clock_boot()); }
