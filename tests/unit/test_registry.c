/* The registry: records as acts make them and nothing else, and the order of a load. INV-02, INV-07, INV-16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "capability/registry.h"
#include "crypto/crypto.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL   (INT64_C(1700000000) * IFAB_SECOND)
#define ZERO64 "0000000000000000000000000000000000000000000000000000000000000000"
static const uint8_t module32[32] = {0};

struct fixture {
    struct ifab_registry *registry;
    struct ifab_buf record;
    struct ifab_refusal refusal;
    struct ifab_arena arena;
    uint64_t next;
};

static struct ifab_signer *signer_of(uint8_t byte)
{
    uint8_t seed[32];
    struct ifab_signer *signer = NULL;
    memset(seed, byte, sizeof seed);
    assert_int_equal(ifab_signer_from_seed(seed, &signer, NULL), IFAB_OK);
    return signer;
}

static void key_of(uint8_t byte, uint8_t ret_key32[32])
{
    struct ifab_signer *signer = signer_of(byte);
    ifab_signer_public(signer, ret_key32);
    ifab_signer_free(signer);
}

static void sign_with(void *user, struct ifab_view bytes, uint8_t ret_sig64[64])
{
    ifab_signer_sign(user, bytes, ret_sig64);
}

/* A manifest of this name and version, with `more` in it, signed by the key of this byte (0: not at all). */
static const struct ifab_manifest *manifest_of(struct fixture *f, const char *name, const char *version, const char *more, uint8_t byte)
{
    char text[2000];
    uint8_t key32[32];
    struct ifab_view copy;
    struct ifab_manifest plain, *made = ifab_arena_alloc(&f->arena, sizeof *made);
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_MANIFEST_MAX);
    snprintf(text, sizeof text,
             "{\"id\":\"if://capability/%s\",\"version\":\"%s\",\"summary\":\"s\",\"entrypoint\":{\"module\":\"m.wasm\",\"sha256\":\"sha256:" ZERO64
             "\",\"size\":7,\"abi\":1},\"operations\":{\"run\":{\"effect\":\"read\"}},%s\"limits\":{\"rps\":1,\"burst\":1}}",
             name, version, more);
    assert_int_equal(ifab_arena_copy(&f->arena, ifab_view_str(text), &copy), IFAB_OK);
    assert_int_equal(ifab_manifest_read(copy, &f->arena, &plain, &f->refusal), IFAB_CODE_NONE);
    *made = plain;
    if (byte != 0) {
        struct ifab_signer *signer = signer_of(byte);
        ifab_signer_public(signer, key32);
        assert_int_equal(ifab_manifest_sign(&plain, key32, sign_with, signer, &buf, NULL), IFAB_OK);
        assert_int_equal(ifab_arena_copy(&f->arena, ifab_buf_as_view(&buf), &copy), IFAB_OK);
        assert_int_equal(ifab_manifest_read(copy, &f->arena, made, &f->refusal), IFAB_CODE_NONE);
        ifab_signer_free(signer);
    }
    ifab_buf_fini(&buf);
    return made;
}

static ifab_status take(struct fixture *f, enum ifab_registry_kind kind, uint64_t number)
{
    return ifab_registry_load(f->registry, kind, number, ifab_buf_as_view(&f->record), NULL);
}

static enum ifab_code add(struct fixture *f, const char *name, uint8_t byte, const char *space, ifab_usec not_after)
{
    uint8_t key32[32];
    struct ifab_view spaces[2] = {ifab_view_str(space), IFAB_VIEW("zzz")};
    key_of(byte, key32);
    struct ifab_publisher_request request = {
        .name = ifab_view_str(name), .pubkey32 = key32, .namespaces = spaces, .namespace_count = 2, .not_after = not_after, .wall = WALL};
    ifab_buf_clear(&f->record);
    enum ifab_code code = ifab_publisher_add(f->registry, &request, &f->record, &f->refusal);
    if (code == IFAB_CODE_NONE)
        assert_int_equal(take(f, IFAB_REGISTRY_PUBLISHER, f->next++), IFAB_OK);
    return code;
}

static enum ifab_code allow(struct fixture *f, const struct ifab_manifest *m)
{
    ifab_buf_clear(&f->record);
    enum ifab_code code = ifab_capability_allow(f->registry, m, WALL, &f->record, NULL, &f->refusal);
    if (code == IFAB_CODE_NONE)
        assert_int_equal(take(f, IFAB_REGISTRY_ALLOWED, f->next++), IFAB_OK);
    return code;
}

static enum ifab_code revoke(struct fixture *f, struct ifab_revoke_request request)
{
    request.wall = WALL;
    ifab_buf_clear(&f->record);
    enum ifab_code code = ifab_capability_revoke(f->registry, &request, &f->record, &f->refusal);
    if (code == IFAB_CODE_NONE)
        assert_int_equal(take(f, IFAB_REGISTRY_REVOCATION, f->next++), IFAB_OK);
    return code;
}

static enum ifab_code load(struct fixture *f, const struct ifab_manifest *m)
{
    struct ifab_module module = {.size = 7};
    memcpy(module.sha256, module32, 32);
    return ifab_capability_load_check(f->registry, m, &module, WALL, &f->refusal);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    ifab_buf_init(&f->record, 1 << 20);
    ifab_arena_init(&f->arena, (size_t)64 << 20);
    assert_int_equal(ifab_registry_new(42, &f->registry), IFAB_OK);
    f->next = 1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ifab_registry_free(f->registry);
    ifab_buf_fini(&f->record);
    ifab_arena_fini(&f->arena);
    free(f);
    return 0;
}

static void a_load_is_judged_in_order(void **state) /* INV-07 */
{
    struct fixture *f = *state;
    const struct ifab_manifest *good = manifest_of(f, "vmix.switcher", "1.0.0", "", 1), *unsigned_ = manifest_of(f, "vmix.switcher", "1.0.0", "", 0);
    assert_int_equal(load(f, good), IFAB_CODE_UNTRUSTED_PUBLISHER); /* nobody registered the key */
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(load(f, unsigned_), IFAB_CODE_INVALID_SIGNATURE);
    assert_int_equal(load(f, good), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(allow(f, good), IFAB_CODE_NONE);
    assert_int_equal(load(f, good), IFAB_CODE_NONE);
    assert_int_equal(load(f, manifest_of(f, "vmix.switcher", "1.0.1", "", 1)), IFAB_CODE_VERSION_NOT_ALLOWED);
    assert_int_equal(load(f, manifest_of(f, "vmix.other", "1.0.0", "", 1)), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(load(f, manifest_of(f, "vmix.switcher", "1.0.0", "\"scopes\":[\"a:b\"],", 1)), IFAB_CODE_DIGEST_MISMATCH);

    struct ifab_manifest forged = *good; /* the bytes of one, the signature of another */
    forged.signed_bytes = unsigned_->signed_bytes;
    assert_int_equal(load(f, &forged), IFAB_CODE_INVALID_SIGNATURE);
    const struct ifab_allowed *kept = ifab_registry_allowed(f->registry, good->id, good->version);
    assert_int_equal(load(f, kept->manifest), IFAB_CODE_NONE);
    assert_int_equal(load(f, kept->manifest), IFAB_CODE_NONE); /* its signature is remembered as good; that of nothing else is */
    assert_int_equal(load(f, &forged), IFAB_CODE_INVALID_SIGNATURE);

    struct ifab_module module = {.size = 8};
    assert_int_equal(ifab_capability_load_check(f->registry, good, &module, WALL, &f->refusal), IFAB_CODE_DIGEST_MISMATCH);
    module.size = 7;
    module.sha256[31] = 1;
    assert_int_equal(ifab_capability_load_check(f->registry, good, &module, WALL, &f->refusal), IFAB_CODE_DIGEST_MISMATCH);
    assert_string_equal(f->refusal.field, "entrypoint.sha256");
    assert_int_equal(ifab_capability_load_check(f->registry, good, NULL, WALL, &f->refusal), IFAB_CODE_NONE);
}

static void another_publishers_signature_is_not_enough(void **state) /* INV-02; FL-CAP-1 */
{
    struct fixture *f = *state;
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(add(f, "Other", 2, "*", IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(allow(f, manifest_of(f, "vmix.switcher", "1.0.0", "", 1)), IFAB_CODE_NONE);
    assert_int_equal(load(f, manifest_of(f, "vmix.switcher", "1.0.0", "", 2)), IFAB_CODE_DIGEST_MISMATCH); /* signed again: another manifest */
    assert_int_equal(load(f, manifest_of(f, "vmix.switcher", "1.0.0", "", 3)), IFAB_CODE_UNTRUSTED_PUBLISHER);
    assert_int_equal(allow(f, manifest_of(f, "vmix.switcher", "1.0.0", "", 2)), IFAB_CODE_CONFLICT);
    assert_int_equal(allow(f, manifest_of(f, "vmixer", "1.0.0", "", 1)), IFAB_CODE_UNTRUSTED_PUBLISHER); /* by whole parts */
    assert_int_equal(allow(f, manifest_of(f, "obs", "1.0.0", "", 1)), IFAB_CODE_UNTRUSTED_PUBLISHER);
    assert_int_equal(allow(f, manifest_of(f, "vmix", "1.0.0", "", 1)), IFAB_CODE_NONE);
    assert_int_equal(allow(f, manifest_of(f, "zzz.a", "1.0.0", "", 1)), IFAB_CODE_NONE);
    assert_int_equal(allow(f, manifest_of(f, "obs", "1.0.0", "", 2)), IFAB_CODE_NONE);
    assert_int_equal(allow(f, manifest_of(f, "obs", "1.0.0", "", 0)), IFAB_CODE_CONFLICT);
    assert_int_equal(allow(f, manifest_of(f, "obs", "1.0.1", "", 0)), IFAB_CODE_INVALID_SIGNATURE);
}

static void a_version_never_becomes_another(void **state)
{
    struct fixture *f = *state;
    const struct ifab_allowed *known = NULL;
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    const struct ifab_manifest *first = manifest_of(f, "vmix", "1.0.0", "", 1), *other = manifest_of(f, "vmix", "1.0.0", "\"imports\":[\"log\"],", 1);
    assert_int_equal(allow(f, first), IFAB_CODE_NONE);
    assert_int_equal(allow(f, first), IFAB_CODE_CONFLICT);
    assert_int_equal(ifab_capability_allow(f->registry, other, WALL, &f->record, &known, &f->refusal), IFAB_CODE_CONFLICT);
    assert_non_null(known);
    assert_true(ifab_view_equal(known->manifest->canonical, first->canonical));
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.id = first->id, .version = first->version}), IFAB_CODE_NONE);
    assert_int_equal(allow(f, other), IFAB_CODE_CONFLICT); /* also not after its revocation */
    assert_int_equal(allow(f, first), IFAB_CODE_VERSION_NOT_ALLOWED);
}

static void what_is_revoked_does_not_load(void **state)
{
    struct fixture *f = *state;
    const struct ifab_allowed *found = NULL;
    uint8_t key32[32];
    static const char id_text[] = "if://capability/vmix.a";
    struct ifab_view id = ifab_view_str(id_text), none = {NULL, 0};
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(add(f, "Short", 2, "vmix", WALL + IFAB_HOUR), IFAB_CODE_NONE);
    const struct ifab_manifest *one = manifest_of(f, "vmix.a", "1.9.0", "", 1), *two = manifest_of(f, "vmix.a", "1.10.0", "", 1);
    const struct ifab_manifest *three = manifest_of(f, "vmix.b", "1.0.0", "", 1), *shorter = manifest_of(f, "vmix.c", "1.0.0", "", 2);
    assert_int_equal(allow(f, one), IFAB_CODE_NONE);
    assert_int_equal(allow(f, two), IFAB_CODE_NONE);
    assert_int_equal(allow(f, three), IFAB_CODE_NONE);
    assert_int_equal(allow(f, shorter), IFAB_CODE_NONE);
    assert_int_equal(ifab_registry_find(f->registry, id, none, WALL, &found, &f->refusal), IFAB_CODE_NONE);
    assert_true(ifab_view_is(found->manifest->version, "1.10.0"));
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.id = id, .version = IFAB_VIEW("1.10.0")}), IFAB_CODE_NONE);
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.id = id, .version = IFAB_VIEW("1.10.0")}), IFAB_CODE_CONFLICT);
    assert_int_equal(load(f, two), IFAB_CODE_VERSION_NOT_ALLOWED);
    assert_int_equal(load(f, one), IFAB_CODE_NONE);
    assert_int_equal(ifab_registry_find(f->registry, id, none, WALL, &found, &f->refusal), IFAB_CODE_NONE);
    assert_true(ifab_view_is(found->manifest->version, "1.9.0"));
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.id = id}), IFAB_CODE_NONE);
    assert_int_equal(load(f, one), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(ifab_registry_find(f->registry, id, none, WALL, &found, &f->refusal), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_string_equal(f->refusal.message, "this capability is revoked, in every version that was allowed");
    assert_non_null(strstr(f->refusal.hint, "took it back"));
    assert_int_equal(ifab_registry_find(f->registry, IFAB_VIEW("if://capability/vmix.z"), none, WALL, &found, &f->refusal), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_string_equal(f->refusal.message, "this capability was never put on the allow-list");
    assert_null(f->refusal.hint);
    struct ifab_view b = IFAB_VIEW("if://capability/vmix.b");
    assert_int_equal(ifab_registry_find(f->registry, b, IFAB_VIEW("2.0.0"), WALL, &found, &f->refusal), IFAB_CODE_VERSION_NOT_ALLOWED);
    assert_string_equal(f->refusal.message, "version 2.0.0 was never put on the allow-list");
    assert_int_equal(ifab_registry_find(f->registry, b, none, IFAB_NEVER, &found, &f->refusal), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_non_null(strstr(f->refusal.message, "past its not_after"));
    assert_int_equal(allow(f, manifest_of(f, "vmix.a", "2.0.0", "", 1)), IFAB_CODE_CAPABILITY_NOT_ALLOWED);

    struct ifab_module module = {.size = 7}; /* a publisher past its time, and one whose key is revoked apart from it */
    assert_int_equal(ifab_capability_load_check(f->registry, shorter, &module, WALL + IFAB_HOUR - 1, &f->refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_capability_load_check(f->registry, shorter, &module, WALL + IFAB_HOUR, &f->refusal), IFAB_CODE_UNTRUSTED_PUBLISHER);
    assert_int_equal(ifab_capability_load_check(f->registry, shorter, &module, WALL - IFAB_SECOND, &f->refusal), IFAB_CODE_UNTRUSTED_PUBLISHER);
    key_of(2, key32);
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.pubkey32 = key32}), IFAB_CODE_NONE);
    assert_int_equal(load(f, shorter), IFAB_CODE_UNTRUSTED_PUBLISHER);
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.digest32 = three->digest32}), IFAB_CODE_NONE);
    assert_int_equal(load(f, three), IFAB_CODE_VERSION_NOT_ALLOWED);

    key_of(9, key32); /* before it was ever known */
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.pubkey32 = key32}), IFAB_CODE_NONE);
    assert_int_equal(add(f, "Nine", 9, "nine", IFAB_NEVER), IFAB_CODE_CONFLICT);
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.id = IFAB_VIEW("if://capability/never")}), IFAB_CODE_NOT_FOUND);
    assert_int_equal(revoke(f, (struct ifab_revoke_request){0}), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(revoke(f, (struct ifab_revoke_request){.id = id, .pubkey32 = key32}), IFAB_CODE_INVALID_PARAMS);
}

static void a_revoked_publisher_stays_revoked(void **state)
{
    struct fixture *f = *state;
    uint64_t number = 0;
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    struct ifab_buf before = IFAB_BUF_INIT(65536);
    ifab_buf_view(&before, ifab_buf_as_view(&f->record));
    const struct ifab_manifest *m = manifest_of(f, "vmix", "1.0.0", "", 1);
    assert_int_equal(allow(f, m), IFAB_CODE_NONE);
    ifab_buf_clear(&f->record);
    assert_int_equal(ifab_publisher_revoke(f->registry, IFAB_VIEW("acme"), WALL, &f->record, &number, &f->refusal), IFAB_CODE_NOT_FOUND);
    assert_int_equal(ifab_publisher_revoke(f->registry, IFAB_VIEW("Acme"), WALL, &f->record, &number, &f->refusal), IFAB_CODE_NONE);
    assert_int_equal(take(f, IFAB_REGISTRY_PUBLISHER, number), IFAB_OK);
    assert_int_equal(load(f, m), IFAB_CODE_UNTRUSTED_PUBLISHER);
    assert_string_equal(ifab_registry_revoked(f->registry, ifab_registry_allowed(f->registry, m->id, m->version)), "publisher");
    assert_int_equal(ifab_publisher_revoke(f->registry, IFAB_VIEW("Acme"), WALL, &f->record, &number, &f->refusal), IFAB_CODE_CONFLICT);
    assert_int_equal(add(f, "ACME", 5, "vmix", IFAB_NEVER), IFAB_CODE_CONFLICT); /* names and keys are never used again */
    assert_int_equal(add(f, "New", 1, "vmix", IFAB_NEVER), IFAB_CODE_CONFLICT);
    assert_int_equal(ifab_registry_load(f->registry, IFAB_REGISTRY_PUBLISHER, number, ifab_buf_as_view(&before), NULL), IFAB_CORRUPT); /* INV-16 */
    ifab_buf_fini(&before);
}

static void a_request_that_makes_no_record_is_208(void **state)
{
    struct fixture *f = *state;
    uint8_t key32[32], zero32[32] = {0};
    struct ifab_view good[1] = {IFAB_VIEW("vmix")};
    static const char *const bad[] = {"", "Vmix", "vmix.", ".vmix", "vmix..a", "vmix/*", "v mix", "**"};
    key_of(1, key32);
    struct ifab_publisher_request request = {.name = IFAB_VIEW("A"), .pubkey32 = key32, .namespaces = good, .namespace_count = 1, .not_after = IFAB_NEVER, .wall = WALL};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        struct ifab_view space = ifab_view_str(bad[i]);
        request.namespaces = &space;
        if (ifab_publisher_add(f->registry, &request, &f->record, &f->refusal) != IFAB_CODE_INVALID_PARAMS)
            fail_msg("%s was taken", bad[i]);
    }
    struct ifab_view twice[2] = {good[0], good[0]};
    request.namespaces = twice;
    request.namespace_count = 2;
    assert_int_equal(ifab_publisher_add(f->registry, &request, &f->record, &f->refusal), IFAB_CODE_INVALID_PARAMS);
    request.namespace_count = 0;
    assert_int_equal(ifab_publisher_add(f->registry, &request, &f->record, &f->refusal), IFAB_CODE_INVALID_PARAMS);
    request.namespace_count = 1;
    request.not_after = WALL;
    assert_int_equal(ifab_publisher_add(f->registry, &request, &f->record, &f->refusal), IFAB_CODE_INVALID_PARAMS);
    request.not_after = IFAB_NEVER;
    request.pubkey32 = zero32; /* of small order */
    assert_int_equal(ifab_publisher_add(f->registry, &request, &f->record, &f->refusal), IFAB_CODE_INVALID_PARAMS);
    request.pubkey32 = key32;
    request.name = IFAB_VIEW("..");
    assert_int_equal(ifab_publisher_add(f->registry, &request, &f->record, &f->refusal), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(f->record.size, 0);
}

static void only_what_an_act_wrote_is_taken_in(void **state) /* INV-16 */
{
    struct fixture *f = *state;
    uint8_t empty32[32], one32[32], two32[32];
    ifab_registry_trust_root(f->registry, empty32);
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    ifab_registry_trust_root(f->registry, one32);
    assert_memory_not_equal(empty32, one32, 32);
    const struct ifab_manifest *m = manifest_of(f, "vmix", "1.0.0", "\"not_after\":\"2030-01-01T00:00:00Z\",", 1);
    assert_int_equal(allow(f, m), IFAB_CODE_NONE);
    ifab_registry_trust_root(f->registry, two32);
    assert_memory_not_equal(two32, one32, 32);
    struct ifab_view record = ifab_registry_allowed_next(f->registry, 0)->record;
    uint8_t *copy = malloc(record.size + 1);
    assert_non_null(copy);
    for (size_t i = 0; i < record.size; i++) { /* every byte of it, changed: never another record under its number */
        memcpy(copy, record.data, record.size);
        copy[i] ^= 1;
        if (ifab_registry_load(f->registry, IFAB_REGISTRY_ALLOWED, 2, ifab_view_of(copy, record.size), NULL) == IFAB_OK)
            fail_msg("byte %zu", i);
    }
    memcpy(copy, record.data, record.size);
    copy[record.size] = ' ';
    assert_int_equal(ifab_registry_load(f->registry, IFAB_REGISTRY_ALLOWED, 9, ifab_view_of(copy, record.size + 1), NULL), IFAB_CORRUPT);
    assert_int_equal(ifab_registry_load(f->registry, IFAB_REGISTRY_ALLOWED, 9, record, NULL), IFAB_CORRUPT); /* its version is another's */
    assert_int_equal(ifab_registry_load(f->registry, IFAB_REGISTRY_ALLOWED, 2, record, NULL), IFAB_OK);      /* the same again */
    assert_int_equal(ifab_registry_load(f->registry, IFAB_REGISTRY_ALLOWED, 2, (struct ifab_view){NULL, 0}, NULL), IFAB_CORRUPT);
    static const char *const not_records[] = {
        "{\"digest\":\"sha256:" ZERO64 "\",\"id\":\"if://capability/a\",\"revoked_at\":\"2025-01-01T00:00:00.000Z\",\"v\":1}",
        "{\"revoked_at\":\"2025-01-01T00:00:00.000Z\",\"v\":1}",
        "{\"digest\":\"sha256:" ZERO64 "\",\"revoked_at\":\"2025-01-01T00:00:00.000Z\",\"v\":1,\"version\":\"1.0.0\"}",
        "{\"digest\": \"sha256:" ZERO64 "\",\"revoked_at\":\"2025-01-01T00:00:00.000Z\",\"v\":1}",
        "{\"digest\":\"sha256:" ZERO64 "\",\"revoked_at\":\"2025-01-01T00:00:00Z\",\"v\":1}",
    };
    for (size_t i = 0; i < IFAB_COUNT(not_records); i++)
        assert_int_equal(ifab_registry_load(f->registry, IFAB_REGISTRY_REVOCATION, 10, ifab_view_str(not_records[i]), NULL), IFAB_CORRUPT);
    uint8_t again32[32];
    ifab_registry_trust_root(f->registry, again32);
    assert_memory_equal(two32, again32, 32);
    assert_int_equal(ifab_capability_load_check(f->registry, m, NULL, INT64_C(1900000000) * IFAB_SECOND, &f->refusal), IFAB_CODE_VERSION_NOT_ALLOWED);
    free(copy);
}

static void a_load_that_fails_for_memory_changes_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t before32[32], after32[32];
    assert_int_equal(add(f, "Acme", 1, "vmix", IFAB_NEVER), IFAB_CODE_NONE);
    ifab_buf_clear(&f->record);
    assert_int_equal(ifab_capability_allow(f->registry, manifest_of(f, "vmix", "1.0.0", "", 1), WALL, &f->record, NULL, &f->refusal), IFAB_CODE_NONE);
    ifab_registry_trust_root(f->registry, before32);
    for (uint64_t n = 1;; n++) {
        ifab_mem_fail_at(n);
        ifab_status status = take(f, IFAB_REGISTRY_ALLOWED, 2);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (status == IFAB_OK)
            break;
        assert_true(failed);
        assert_int_equal(status, IFAB_NOMEM);
        ifab_registry_trust_root(f->registry, after32);
        assert_memory_equal(before32, after32, 32);
    }
    assert_int_equal(ifab_registry_count(f->registry, IFAB_REGISTRY_ALLOWED), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_load_is_judged_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_publishers_signature_is_not_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_version_never_becomes_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_revoked_does_not_load, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_revoked_publisher_stays_revoked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_that_makes_no_record_is_208, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_an_act_wrote_is_taken_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_load_that_fails_for_memory_changes_nothing, set_up, tear_down),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
