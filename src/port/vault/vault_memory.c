/* One thread. The readable reference: a "disk" of generations that outlives who opens it. For tests: it seals nothing, but its values are locked and
 * wiped. */
#include "vault_internal.h"

struct record {
    struct ifab_vault_about about; /* views into text */
    uint8_t *bytes;                /* locked */
    size_t size;
    uint8_t text[IFAB_VAULT_NAME_MAX + IFAB_VAULT_ORIGINS * IFAB_VAULT_ORIGIN_MAX];
};
struct generation {
    struct generation *next; /* younger */
    struct ifab_vault_mark mark;
    bool published;
    size_t count;
    struct record *records;
};
struct ifab_vault_disk {
    struct generation *first;
};
struct memory {
    struct ifab_vault_backend base;
    struct ifab_vault_disk *disk;
    struct generation *staged; /* oldest first */
    struct ifab_vault_mark base_mark;
};
static const struct ifab_vault_ops memory_ops;

static struct memory *of(struct ifab_vault_backend *base) { return (struct memory *)(void *)base; }

static void generation_free(struct generation *g)
{
    for (size_t i = 0; i < g->count; i++)
        ifab_locked_free(g->records[i].bytes);
    ifab_free(g->records);
    ifab_free(g);
}

ifab_status ifab_vault_disk_new(struct ifab_vault_disk **ret_disk)
{
    *ret_disk = ifab_calloc(1, sizeof **ret_disk);
    return *ret_disk == NULL ? IFAB_NOMEM : IFAB_OK;
}

static void free_list(struct generation **first)
{
    for (struct generation *g; (g = *first) != NULL;) {
        *first = g->next;
        generation_free(g);
    }
}

void ifab_vault_disk_free(struct ifab_vault_disk *self)
{
    if (self == NULL)
        return;
    free_list(&self->first);
    ifab_free(self);
}

static bool put(struct generation *g, const struct ifab_vault_about *about, struct ifab_view value)
{
    struct record *r = &g->records[g->count];
    uint8_t *at = r->text;
    if (ifab_locked_new(value.size, &r->bytes, NULL) != IFAB_OK)
        return false;
    g->count++;
    memcpy(r->bytes, value.data, value.size);
    r->size = value.size;
    r->about = *about;
    r->about.name.data = at;
    ifab_put_bytes(&at, about->name.data, about->name.size);
    for (size_t i = 0; i < about->origin_count; i++) {
        r->about.origins[i].data = at;
        ifab_put_bytes(&at, about->origins[i].data, about->origins[i].size);
    }
    return true;
}

static struct generation *find(struct generation *first, uint64_t counter)
{
    while (first != NULL && first->mark.counter != counter)
        first = first->next;
    return first;
}

static ifab_status memory_load(struct ifab_vault_backend *base, const struct ifab_vault_mark *mark, ifab_vault_visit_fn *visit, void *user,
                               struct ifab_error *err)
{
    struct memory *self = of(base);
    self->base_mark = *mark;
    if (mark->counter == 0)
        return IFAB_OK;
    const struct generation *g = find(self->disk->first, mark->counter);
    if (g == NULL)
        return self->disk->first == NULL ? ifab_fail(err, IFAB_NOT_FOUND, "vault: nothing there")
                                         : ifab_fail(err, IFAB_CORRUPT, "vault: an older one, or a later one, than the log knows of");
    if (memcmp(g->mark.digest32, mark->digest32, 32) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "vault: not the one that the log covers");
    for (size_t i = 0; i < g->count; i++)
        IFAB_TRY(visit(user, &g->records[i].about, ifab_view_of(g->records[i].bytes, g->records[i].size), err));
    return IFAB_OK;
}

static ifab_status memory_stage(struct ifab_vault_backend *base, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark,
                                struct ifab_error *err)
{
    struct memory *self = of(base);
    const struct generation *before = find(self->disk->first, self->base_mark.counter);
    struct generation **end = &self->staged, *g;
    size_t staged = 0;
    for (; *end != NULL; end = &(*end)->next, staged++)
        before = *end;
    if (staged >= IFAB_VAULT_STAGED_MAX)
        return ifab_fail(err, IFAB_AGAIN, "vault: %d changes wait to be recorded", IFAB_VAULT_STAGED_MAX);
    g = ifab_calloc(1, sizeof *g);
    if (g == NULL || (g->records = ifab_calloc((before != NULL ? before->count : 0) + 1, sizeof *g->records)) == NULL) {
        ifab_free(g);
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    }
    struct ifab_vault_about about = change->about;
    bool good = true;
    g->mark.counter = about.counter = (before != NULL ? before->mark.counter : self->base_mark.counter) + 1;
    for (size_t i = 0; before != NULL && i < before->count && good; i++)
        if (!ifab_view_equal(before->records[i].about.name, about.name))
            good = put(g, &before->records[i].about, ifab_view_of(before->records[i].bytes, before->records[i].size));
    if (good && change->value.size > 0)
        good = put(g, &about, change->value);
    if (!good) {
        generation_free(g);
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    }
    ifab_random(g->mark.digest32, 32); /* names this generation, and says nothing about what is in it */
    *end = g;
    *ret_mark = g->mark;
    return IFAB_OK;
}

static ifab_status memory_publish(struct ifab_vault_backend *base, uint64_t counter, struct ifab_error *err)
{
    struct memory *self = of(base);
    struct generation *g = find(self->staged, counter);
    if (g == NULL)
        return ifab_fail(err, IFAB_INVALID, "vault: generation %llu is not staged", (unsigned long long)counter);
    struct generation *copy = ifab_calloc(1, sizeof *copy);
    if (copy == NULL || (copy->records = ifab_calloc(g->count + 1, sizeof *copy->records)) == NULL) {
        ifab_free(copy);
        return ifab_fail(err, IFAB_FULL, "vault: no room");
    }
    copy->mark = g->mark;
    for (size_t i = 0; i < g->count; i++)
        if (!put(copy, &g->records[i].about, ifab_view_of(g->records[i].bytes, g->records[i].size))) {
            generation_free(copy);
            return ifab_fail(err, IFAB_FULL, "vault: no room");
        }
    for (struct generation **at = &self->disk->first; *at != NULL; at = &(*at)->next)
        if ((*at)->mark.counter == counter) { /* a leftover, or the same again */
            struct generation *old = *at;
            *at = old->next;
            generation_free(old);
            break;
        }
    copy->next = self->disk->first;
    self->disk->first = copy;
    return IFAB_OK;
}

static ifab_status memory_settle(struct ifab_vault_backend *base, uint64_t counter, struct ifab_error *err)
{
    struct memory *self = of(base);
    (void)err;
    for (struct generation **at = &self->disk->first; *at != NULL;) {
        struct generation *g = *at;
        if (g->mark.counter == counter) {
            self->base_mark = g->mark;
            at = &g->next;
            continue;
        }
        *at = g->next;
        generation_free(g);
    }
    while (self->staged != NULL && self->staged->mark.counter <= counter) {
        struct generation *g = self->staged;
        self->staged = g->next;
        generation_free(g);
    }
    return IFAB_OK;
}

static void memory_back(struct ifab_vault_backend *base, uint64_t counter)
{
    struct generation **at = &of(base)->staged;
    while (*at != NULL && (*at)->mark.counter <= counter)
        at = &(*at)->next;
    free_list(at);
}

static void memory_close(struct ifab_vault_backend *base)
{
    free_list(&of(base)->staged);
    ifab_free(base);
}

static const struct ifab_vault_ops memory_ops = {
    .abi = IFAB_VAULT_ABI,
    .name = "memory",
    .load = memory_load,
    .stage = memory_stage,
    .publish = memory_publish,
    .settle = memory_settle,
    .back = memory_back,
    .close = memory_close,
};

ifab_status ifab_vault_memory_open(struct ifab_vault_disk *disk, struct ifab_vault_backend **ret_backend, struct ifab_error *err)
{
    struct memory *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    self->base.ops = &memory_ops;
    self->disk = disk;
    *ret_backend = &self->base;
    return IFAB_OK;
}
