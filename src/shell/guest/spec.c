/*
 * Manifests as calls need them: read once from their canonical bytes and kept for the next call, not read anew in each.
 * Invariant: a spec is what its bytes say and never changes; it lives until nobody holds it, whatever the registry does meanwhile.
 */
#include "guest_internal.h"

#include <stdio.h>

static void unref(struct guest_spec *spec)
{
    if (spec == NULL || --spec->refs > 0)
        return;
    ifab_arena_fini(&spec->arena);
    ifab_free(spec);
}
void ifab_guest__spec_drop(struct guest_spec *spec) { unref(spec); }

static bool fill(struct guest_spec *spec, struct ifab_view canonical)
{
    struct ifab_refusal refusal;
    struct ifab_view bytes;
    char capability[IFAB_CAPABILITY_ID_MAX + IFAB_CAPABILITY_VERSION_MAX + 2];
    if (ifab_arena_copy(&spec->arena, canonical, &bytes) != IFAB_OK ||
        ifab_manifest_read(bytes, &spec->arena, &spec->manifest, &refusal) != IFAB_CODE_NONE)
        return false;
    (void)snprintf(capability, sizeof capability, IFAB_FMT "@" IFAB_FMT, IFAB_ARG(spec->manifest.id), IFAB_ARG(spec->manifest.version));
    spec->rows = ifab_arena_calloc(&spec->arena, IFAB_MANIFEST_HTTP_MAX, sizeof *spec->rows);
    if (spec->rows == NULL || ifab_arena_copy(&spec->arena, ifab_view_str(capability), &spec->capability) != IFAB_OK)
        return false;
    spec->row_count = ifab_egress_rows_of(&spec->manifest, spec->rows);
    return true;
}

static struct guest_spec *read_spec(struct ifab_view canonical)
{
    struct guest_spec *spec = ifab_calloc(1, sizeof *spec);
    if (spec == NULL)
        return NULL;
    spec->refs = 1;
    ifab_arena_init(&spec->arena, GUEST_ARENA);
    if (fill(spec, canonical))
        return spec;
    unref(spec);
    return NULL;
}

struct guest_spec *ifab_guest__spec(struct ifab_guests *self, const struct ifab_manifest *manifest)
{
    struct guest_spec **place = &self->specs[0];
    for (size_t i = 0; i < SPECS_MAX; i++) {
        struct guest_spec **at = &self->specs[i];
        if (*at != NULL && ifab_view_equal((*at)->manifest.canonical, manifest->canonical)) {
            (*at)->used = ++self->spec_uses;
            (*at)->refs++;
            return *at;
        }
        if (*place != NULL && (*at == NULL || (*at)->used < (*place)->used))
            place = at;
    }
    struct guest_spec *spec = read_spec(manifest->canonical);
    if (spec == NULL)
        return NULL;
    unref(*place);
    *place = spec;
    spec->used = ++self->spec_uses;
    spec->refs++;
    return spec;
}

void ifab_guest__specs_free(struct ifab_guests *self)
{
    for (size_t i = 0; i < SPECS_MAX; i++)
        unref(self->specs[i]);
}
