/*
 * A manifest (JSON), then as a record of the allow-list, and its own bytes as a URL and as parameters: what is taken is taken again from its canonical
 * form, with the same digest; what a row lets pass is what it says.
 */
#include "capability/registry.h"
#include "crypto/crypto.h"

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

static void sign_with(void *user, struct ifab_view bytes, uint8_t ret_sig64[64])
{
    ifab_signer_sign(user, bytes, ret_sig64);
}

/* Whatever is read can be signed, allowed, and then loaded: apply must never meet a record that load refuses. */
static void allow(const struct ifab_manifest *m, struct ifab_signer *signer)
{
    static const struct ifab_view all[] = {{(const uint8_t *)"*", 1}};
    struct ifab_registry *registry = NULL;
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_MANIFEST_MAX), record = IFAB_BUF_INIT(2 * IFAB_ALLOWED_RECORD_MAX);
    struct ifab_arena arena;
    struct ifab_manifest signed_;
    uint8_t key32[32];
    ifab_signer_public(signer, key32);
    struct ifab_publisher_request request = {
        .name = IFAB_VIEW("Acme"), .pubkey32 = key32, .namespaces = all, .namespace_count = 1, .not_after = IFAB_NEVER, .wall = 1000};
    ifab_arena_init(&arena, IFAB_MANIFEST_ARENA_MAX);
    require(ifab_registry_new(1, &registry) == IFAB_OK && ifab_publisher_add(registry, &request, &record, NULL) == IFAB_CODE_NONE);
    require(ifab_registry_load(registry, IFAB_REGISTRY_PUBLISHER, 1, ifab_buf_as_view(&record), NULL) == IFAB_OK);
    if (ifab_manifest_sign(m, key32, sign_with, signer, &text, NULL) == IFAB_OK) {
        ifab_buf_clear(&record);
        require(ifab_manifest_read(ifab_buf_as_view(&text), &arena, &signed_, NULL) == IFAB_CODE_NONE);
        enum ifab_code code = ifab_capability_allow(registry, &signed_, 1000, &record, NULL, NULL);
        require(code == IFAB_CODE_NONE || (code == IFAB_CODE_VERSION_NOT_ALLOWED && signed_.not_after <= 1000));
        require(code != IFAB_CODE_NONE || ifab_registry_load(registry, IFAB_REGISTRY_ALLOWED, 2, ifab_buf_as_view(&record), NULL) == IFAB_OK);
        require(code != IFAB_CODE_NONE || ifab_capability_load_check(registry, &signed_, NULL, 1000, NULL) == IFAB_CODE_NONE);
    }
    ifab_registry_free(registry);
    ifab_arena_fini(&arena);
    ifab_buf_fini(&text);
    ifab_buf_fini(&record);
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
    static struct ifab_signer *signer;
    static const uint8_t seed32[32] = {1};
    if (signer == NULL)
        require(ifab_crypto_init(NULL) == IFAB_OK && ifab_signer_from_seed(seed32, &signer, NULL) == IFAB_OK);
    if (code == IFAB_CODE_NONE) {
        read_again(&m);
        allow(&m, signer);
    }
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
