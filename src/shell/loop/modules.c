/* Modules that calls have read: see modules.h. */
#include "modules.h"

#include <assert.h>
#include <string.h>

#include "guest/guest.h"

const struct call_module *modules_find(struct modules *self, const uint8_t manifest32[32])
{
    for (size_t i = 0; i < MODULES_MAX; i++) {
        struct call_module *m = &self->rows[i];
        if (m->bytes == NULL || memcmp(m->manifest32, manifest32, 32) != 0)
            continue;
        m->used = ++self->used;
        return m;
    }
    return NULL;
}

void modules_drop(struct modules *self, struct call_module *module)
{
    self->bytes -= module->about.size;
    ifab_guests_module_drop(module->bytes);
    memset(module, 0, sizeof *module);
}

static struct call_module *oldest(struct modules *self)
{
    struct call_module *found = NULL;
    for (size_t i = 0; i < MODULES_MAX; i++)
        if (self->rows[i].bytes != NULL && (found == NULL || self->rows[i].used < found->used))
            found = &self->rows[i];
    return found;
}

static struct call_module *free_place(struct modules *self)
{
    for (size_t i = 0; i < MODULES_MAX; i++)
        if (self->rows[i].bytes == NULL)
            return &self->rows[i];
    return NULL;
}

const struct call_module *modules_put(struct modules *self, const uint8_t manifest32[32], const struct ifab_module *about, struct ifab_chassis_module *bytes)
{
    const struct call_module *there = modules_find(self, manifest32);
    if (there != NULL) {
        ifab_guests_module_drop(bytes);
        return there;
    }
    assert(about->size <= MODULES_BYTES_MAX);
    while (self->bytes + about->size > MODULES_BYTES_MAX)
        modules_drop(self, oldest(self));
    if (free_place(self) == NULL)
        modules_drop(self, oldest(self));
    struct call_module *m = free_place(self);
    *m = (struct call_module){.about = *about, .bytes = bytes, .used = ++self->used};
    memcpy(m->manifest32, manifest32, 32);
    self->bytes += about->size;
    return m;
}

void modules_free(struct modules *self)
{
    for (size_t i = 0; i < MODULES_MAX; i++)
        if (self->rows[i].bytes != NULL)
            modules_drop(self, &self->rows[i]);
}
