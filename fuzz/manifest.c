/*
 * A manifest (JSON), then as a record of the allow-list, and its own bytes as a URL and as parameters: what is taken is taken again from its canonical
 * form, with the same digest; what a row lets pass is what it says.
 */
#include "capability/registry.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static void read_again(const struct ifab_manifest *m)
{
    struct ifab_arena arena;
    struct ifab_manifest again;
    struct ifab_manifest_change changes[4];
    size_t count, total;
    ifab_arena_init(&arena, 2 * IFAB_MANIFEST_ARENA_MAX);
    require(ifab_manifest_read(m->canonical, &arena, &again, NULL) == IFAB_CODE_NONE);
    require(ifab_view_equal(m->canonical, again.canonical) && memcmp(m->digest32, again.digest32, 32) == 0);
    require(ifab_manifest_diff(m->tree, again.tree, &arena, changes, 4, &count, &total) == IFAB_OK && total == 0);
    require(m->operation_count >= 1 && m->default_operation < m->operation_count && m->limits.backoff_count >= 1);
    require(ifab_capability_id_valid(m->id) && ifab_capability_version_valid(m->version));
    for (size_t i = 0; i < m->http_count; i++)
        require(m->http[i].effect != IFAB_EFFECT_NONE && m->http[i].methods != 0 && m->http[i].origin.port != 0);
    for (size_t i = 0; i < m->operation_count; i++) { /* its own defaults fit */
        const struct ifab_json *empty = NULL, *filled = NULL, *twice = NULL;
        require(m->operations[i].effect != IFAB_EFFECT_NONE && ifab_json_read(IFAB_VIEW("{}"), NULL, &arena, &empty, NULL) == IFAB_OK);
        if (ifab_params_check(m->operations[i].params, empty, &arena, &filled, NULL) == IFAB_CODE_NONE)
            require(ifab_params_check(m->operations[i].params, filled, &arena, &twice, NULL) == IFAB_CODE_NONE);
    }
    ifab_arena_fini(&arena);
}

static void as_url(struct ifab_view text)
{
    struct ifab_origin origin;
    struct ifab_view path, query;
    if (!ifab_http_url_parse(text, &origin, &path, &query))
        return;
    require(ifab_http_path_valid(path) && origin.port != 0 && origin.host.size > 0);
    require(path.size >= 1 && path.data[0] == '/' && memchr(path.data, '\\', path.size) == NULL);
    for (size_t i = 0; i + 2 < path.size; i++) /* no dot segment, and nothing that another reader decodes into one */
        require(memcmp(path.data + i, "/..", 3) != 0 || (i + 3 < path.size && path.data[i + 3] != '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_view bytes = {data, size};
    struct ifab_arena arena;
    struct ifab_manifest m;
    struct ifab_refusal refusal = {.offset = -1};
    ifab_arena_init(&arena, IFAB_MANIFEST_ARENA_MAX);
    enum ifab_code code = ifab_manifest_read(bytes, &arena, &m, &refusal);
    require(code == IFAB_CODE_NONE || code == IFAB_CODE_INVALID_MANIFEST || code == IFAB_CODE_SYSTEM_ERROR);
    require(code == refusal.code);
    if (code == IFAB_CODE_NONE)
        read_again(&m);
    as_url(bytes);
    ifab_arena_fini(&arena);
    struct ifab_registry *registry = NULL;
    require(ifab_registry_new(1, &registry) == IFAB_OK);
    for (enum ifab_registry_kind kind = IFAB_REGISTRY_PUBLISHER; kind <= IFAB_REGISTRY_REVOCATION; kind++)
        if (size > 0 && ifab_registry_load(registry, kind, 7, bytes, NULL) == IFAB_OK)
            require(ifab_registry_load(registry, kind, 8, bytes, NULL) == IFAB_CORRUPT && ifab_registry_count(registry, kind) == 1);
    ifab_registry_free(registry);
    return 0;
}
