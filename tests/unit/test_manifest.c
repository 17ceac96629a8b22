/* Manifests: every bound of the table, signature, params, http rows, differences. SURFACE section 5; INV-02, INV-07. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "capability/manifest.h"
#include "crypto/crypto.h"

#include "base/encode.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZERO64 "0000000000000000000000000000000000000000000000000000000000000000"
static const char base[] =
    "{\"id\":\"if://capability/vmix.switcher\",\"version\":\"1.1.0\",\"summary\":\"Switches scenes\","
    "\"entrypoint\":{\"module\":\"vmix/switcher.wasm\",\"sha256\":\"sha256:" ZERO64 "\",\"size\":1234,\"abi\":1},"
    "\"operations\":{\"take\":{\"params\":{\"type\":\"object\",\"properties\":{\"scene\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":5},"
    "\"fade\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":10,\"default\":3},\"kind\":{\"type\":\"string\",\"enum\":[\"cut\",\"mix\"]},"
    "\"at\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"number\"}},\"required\":[\"x\"]},"
    "\"tags\":{\"type\":\"array\",\"maxItems\":2,\"items\":{\"type\":\"boolean\"}}},\"required\":[\"scene\"]},"
    "\"effect\":\"write\",\"cost_estimate\":{\"usd_micro\":1500},\"idempotent\":true},\"state\":{\"effect\":\"read\"}},"
    "\"default_operation\":\"take\",\"imports\":[\"log\",\"http\"],"
    "\"http\":[{\"scheme\":\"https\",\"host\":\"api.vmix.example\",\"port\":8443,\"path\":\"/api/*/scenes\",\"methods\":[\"GET\"],\"effect\":\"read\"},"
    "{\"scheme\":\"https\",\"host\":\"api.vmix.example\",\"port\":8443,\"path\":\"/api/**\",\"methods\":[\"GET\",\"POST\"]}],"
    "\"requires_secrets\":[{\"name\":\"VMIX_KEY\",\"origin\":\"https://api.vmix.example:8443\",\"as\":\"header\",\"field\":\"X-Api-Key\"}],"
    "\"requires_config\":[\"VMIX_HOST\"],\"scopes\":[\"studio:control\"],"
    "\"limits\":{\"rps\":3,\"burst\":6,\"backoff\":[1,2,5]}}";

struct fixture {
    struct ifab_arena arena;
    struct ifab_manifest manifest;
    struct ifab_refusal refusal;
};

static enum ifab_code read_text(struct fixture *f, const char *text)
{
    memset(f, 0, sizeof *f);
    ifab_arena_init(&f->arena, IFAB_MANIFEST_ARENA_MAX);
    return ifab_manifest_read(ifab_view_str(text), &f->arena, &f->manifest, &f->refusal);
}

/* base with the first `from` exchanged for `to`; freed by the caller */
static char *changed(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL)
        fail_msg("no %s in it", from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *copy = malloc(size);
    assert_non_null(copy);
    snprintf(copy, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return copy;
}

static void a_manifest_is_read_whole(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(read_text(&f, base), IFAB_CODE_NONE);
    const struct ifab_manifest *m = &f.manifest;
    assert_true(ifab_view_is(m->name, "vmix.switcher"));
    assert_true(ifab_view_is(m->entrypoint.module, "vmix/switcher.wasm"));
    assert_int_equal(m->entrypoint.size, 1234);
    assert_int_equal(m->operation_count, 2);
    assert_true(ifab_view_is(m->operations[0].name, "state"));
    assert_int_equal(m->default_operation, 1);
    assert_int_equal(m->operations[1].effect, IFAB_EFFECT_WRITE);
    assert_int_equal(m->operations[1].cost.usd_micro, 1500);
    assert_int_equal(m->operations[1].cost.calls, 1);
    assert_true(m->operations[1].idempotent);
    assert_false(m->operations[0].idempotent);
    assert_int_equal(m->imports, 1U << IFAB_MANIFEST_IMPORT_LOG | 1U << IFAB_MANIFEST_IMPORT_HTTP);
    assert_int_equal(m->http_count, 2);
    assert_int_equal(m->http[1].effect, IFAB_EFFECT_WRITE);
    assert_int_equal(m->secrets[0].as, IFAB_SECRET_AS_HEADER);
    assert_int_equal(m->limits.backoff_count, 3);
    assert_int_equal(m->limits.concurrency, 4);
    assert_true(m->not_after == IFAB_NEVER);
    assert_false(m->has_signature);
    assert_true(ifab_manifest_operation(m, (struct ifab_view){NULL, 0}) == &m->operations[1]);
    assert_true(ifab_manifest_operation(m, IFAB_VIEW("state")) == &m->operations[0]);
    assert_null(ifab_manifest_operation(m, IFAB_VIEW("cut")));
    ifab_arena_fini(&f.arena);
}

static void every_violation_is_207_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *field;
    } cases[] = {
        {"\"if://capability/vmix.switcher\"", "\"if://capability/vmix..switcher\"", "id"},
        {"\"if://capability/vmix.switcher\"", "\"if://capability/Vmix\"", "id"},
        {"\"if://capability/vmix.switcher\"", "\"if://capability/vmix_a\"", "id"},
        {"\"if://capability/vmix.switcher\"", "\"if://capability/.vmix\"", "id"},
        {"\"if://capability/vmix.switcher\"", "\"if://capability/vmix-\"", "id"},
        {"\"if://capability/vmix.switcher\"", "\"if://capability/\"", "id"},
        {"\"1.1.0\"", "\"1.1\"", "version"},
        {"\"1.1.0\"", "\"1.1.0-rc1\"", "version"},
        {"\"1.1.0\"", "\"1..0\"", "version"},
        {"\"Switches scenes\"", "\"\\u0007\"", "summary"},
        {"\"summary\":\"Switches scenes\",", "", "summary"},
        {"{\"module\":\"vmix/switcher.wasm\",\"sha256\":\"sha256:" ZERO64 "\",\"size\":1234,\"abi\":1}", "\"providers/vmix/adapter.py:V\"", "entrypoint"},
        {"vmix/switcher.wasm", "../switcher.wasm", "entrypoint.module"},
        {"vmix/switcher.wasm", "/vmix/switcher.wasm", "entrypoint.module"},
        {"vmix/switcher.wasm", "vmix//switcher.wasm", "entrypoint.module"},
        {"vmix/switcher.wasm", "vmix/./switcher.wasm", "entrypoint.module"},
        {"vmix/switcher.wasm", "vmix/.wasm", "entrypoint.module"},
        {"vmix/switcher.wasm", "vmix/switcher.so", "entrypoint.module"},
        {"\"sha256:0", "\"sha256:G", "entrypoint.sha256"},
        {"\"size\":1234", "\"size\":0", "entrypoint.size"},
        {"\"size\":1234", "\"size\":52428801", "entrypoint.size"},
        {"\"abi\":1", "\"abi\":2", "entrypoint.abi"},
        {",\"abi\":1", "", "entrypoint.abi"},
        {"\"abi\":1", "\"abi\":1,\"wasi\":true", "entrypoint.wasi"},
        {"\"default_operation\":\"take\",", "", "default_operation"},
        {"\"default_operation\":\"take\"", "\"default_operation\":\"cut\"", "default_operation"},
        {"\"effect\":\"write\",", "", "operations.take.effect"},
        {"\"scheme\":\"https\",\"host\":\"api.vmix.example\",\"port\":8443,\"path\":\"/api/**\"",
         "\"scheme\":\"wss\",\"host\":\"api.vmix.example\",\"port\":8443,\"path\":\"/api/**\"", "http"}, /* with POST */
        {"\"scheme\":\"https\"", "\"scheme\":\"WSS\"", "http[0].scheme"},
        {"\"as\":\"header\",\"field\":\"X-Api-Key\"", "\"as\":\"hmac\",\"field\":\"obs-websocket-5\"", "requires_secrets"},
        {"\"effect\":\"read\"}}", "\"effect\":\"dry\"}}", "operations.state.effect"},
        {"\"idempotent\":true", "\"idempotent\":1", "operations.take.idempotent"},
        {"\"usd_micro\":1500", "\"usd_micro\":-1", "operations.take.cost_estimate.usd_micro"},
        {"\"usd_micro\":1500", "\"usd\":1", "operations.take.cost_estimate.usd"},
        {"\"state\":{", "\"st ate\":{", "operations"},
        {"\"scene\":{", "\"why\":{", "operations.take.params.why"},
        {"\"scene\":{", "\"Output\":{", "operations.take.params.Output"},
        {"\"scene\":{", "\"o\":{", "operations.take.params.o"},
        {"\"scene\":{", "\"1st\":{", "operations.take.params.1st"},
        {"\"minLength\":1", "\"pattern\":\"a*\"", "operations.take.params.scene.pattern"},
        {"\"minLength\":1", "\"minLength\":6", "operations.take.params.scene"},
        {"\"minLength\":1", "\"minLength\":-1", "operations.take.params.scene"},
        {"\"minLength\":1", "\"minimum\":1", "operations.take.params.scene.minimum"},
        {"\"default\":3", "\"default\":11", "operations.take.params.fade.default"},
        {"\"default\":3", "\"default\":\"3\"", "operations.take.params.fade.default"},
        {"\"minimum\":0", "\"minimum\":0.5", "operations.take.params.fade"},
        {"\"minimum\":0", "\"minimum\":11", "operations.take.params.fade"},
        {"[\"cut\",\"mix\"]", "[\"cut\",1]", "operations.take.params.kind"},
        {"[\"cut\",\"mix\"]", "[]", "operations.take.params.kind"},
        {"\"required\":[\"x\"]", "\"required\":[\"y\"]", "operations.take.params.at"},
        {"\"required\":[\"x\"]", "\"required\":[\"x\",\"x\"]", "operations.take.params.at"},
        {"\"required\":[\"x\"]", "\"additionalProperties\":{}", "operations.take.params.at"},
        {"\"maxItems\":2", "\"maxItems\":4097", "operations.take.params.tags"},
        {"\"maxItems\":2", "\"maxItems\":-1", "operations.take.params.tags"},
        {",\"items\":{\"type\":\"boolean\"}", "", "operations.take.params.tags"},
        {"{\"type\":\"boolean\"}", "{\"type\":\"null\"}", "operations.take.params.tags.items"},
        {"{\"params\":{\"type\":\"object\",", "{\"params\":{", "operations.take.params"},
        {"[\"log\",\"http\"]", "[\"log\",\"log\"]", "imports"},
        {"[\"log\",\"http\"]", "[\"wasi\"]", "imports[0]"},
        {"\"scheme\":\"https\"", "\"scheme\":\"HTTPS\"", "http[0].scheme"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"*.vmix.example\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"API.vmix.example\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"api.vmix.example.\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"2130706433\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"0x7f.1\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"127.0.0.01\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"1.2.3.256\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"[::1]\"", "http[0].host"},
        {"\"host\":\"api.vmix.example\"", "\"host\":\"u@vmix.example\"", "http[0].host"},
        {"\"port\":8443", "\"port\":0", "http[0].port"},
        {"\"port\":8443", "\"port\":65536", "http[0].port"},
        {"\"/api/*/scenes\"", "\"/api/a*/scenes\"", "http[0].path"},
        {"\"/api/*/scenes\"", "\"/api/**/scenes\"", "http[0].path"},
        {"\"/api/*/scenes\"", "\"/api/../scenes\"", "http[0].path"},
        {"\"/api/*/scenes\"", "\"/api//scenes\"", "http[0].path"},
        {"\"/api/*/scenes\"", "\"/api/%2e%2e\"", "http[0].path"},
        {"\"/api/*/scenes\"", "\"api\"", "http[0].path"},
        {"\"/api/*/scenes\"", "\"/api?x=1\"", "http[0].path"},
        {"\"methods\":[\"GET\"]", "\"methods\":[]", "http[0].methods"},
        {"\"methods\":[\"GET\"]", "\"methods\":[\"get\"]", "http[0].methods[0]"},
        {"\"methods\":[\"GET\"]", "\"methods\":[\"CONNECT\"]", "http[0].methods[0]"},
        {"\"methods\":[\"GET\"]", "\"methods\":[\"GET\",\"GET\"]", "http"},
        {"https://api.vmix.example:8443", "https://api.vmix.example:8443/", "requires_secrets[0].origin"},
        {"https://api.vmix.example:8443", "https://u@api.vmix.example:8443", "requires_secrets[0].origin"},
        {"https://api.vmix.example:8443", "https://api.vmix.example", "requires_secrets"},
        {"https://api.vmix.example:8443", "http://api.vmix.example:8443", "requires_secrets"},
        {"\"as\":\"header\"", "\"as\":\"cookie\"", "requires_secrets[0].as"},
        {"\"as\":\"header\"", "\"as\":\"bearer\"", "requires_secrets"},
        {",\"field\":\"X-Api-Key\"", "", "requires_secrets"},
        {"\"X-Api-Key\"", "\"Proxy-Authorization\"", "requires_secrets"},
        {"\"X-Api-Key\"", "\"HOST\"", "requires_secrets"},
        {"\"X-Api-Key\"", "\"X:Y\"", "requires_secrets[0].field"},
        {"\"X-Api-Key\"", "\"X/Y\"", "requires_secrets"},
        {"\"header\",\"field\":\"X-Api-Key\"", "\"sigv4\",\"field\":\"us-east-1\"", "requires_secrets"},
        {"\"header\",\"field\":\"X-Api-Key\"", "\"sigv4\",\"field\":\"us-east-1/\"", "requires_secrets[0].field"},
        {"\"header\",\"field\":\"X-Api-Key\"", "\"sigv4\",\"field\":\"/s3\"", "requires_secrets[0].field"},
        {"\"header\",\"field\":\"X-Api-Key\"", "\"sigv4\",\"field\":\"us-east-1/s3/x\"", "requires_secrets[0].field"},
        {"\"header\",\"field\":\"X-Api-Key\"", "\"sigv4\"", "requires_secrets"},
        {"\"header\",\"field\":\"X-Api-Key\"", "\"hmac\"", "requires_secrets"},
        {"\"as\":\"header\"", "\"as\":\"basic\"", "requires_secrets"},
        {"[\"VMIX_HOST\"]", "[\"VMIX_HOST\",\"VMIX_HOST\"]", "requires_config"},
        {"[\"studio:control\"]", "[\"studio control\"]", "scopes[0]"},
        {"\"rps\":3,", "", "limits.rps"},
        {"\"rps\":3", "\"rps\":0", "limits.rps"},
        {"\"rps\":3", "\"rps\":10001", "limits.rps"},
        {"\"burst\":6", "\"burst\":1.5", "limits.burst"},
        {"[1,2,5]", "[]", "limits.backoff"},
        {"[1,2,5]", "[2,1]", "limits.backoff"},
        {"[1,2,5]", "[301]", "limits.backoff[0]"},
        {"[1,2,5]", "[1,2,5],\"fuel\":0", "limits.fuel"},
        {"[1,2,5]", "[1,2,5],\"memory_mib\":257", "limits.memory_mib"},
        {"[1,2,5]", "[1,2,5],\"cpu\":1", "limits.cpu"},
        {"\"limits\":", "\"not_after\":\"2025-13-01T00:00:00Z\",\"limits\":", "not_after"},
        {"\"limits\":", "\"signature\":\"ed25519:a:b\",\"limits\":", "signature"},
        {"\"limits\":", "\"signature\":{\"algorithm\":\"rsa\"},\"limits\":", "signature.algorithm"},
        {"\"limits\":", "\"author\":\"me\",\"limits\":", "author"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct fixture f;
        char *text = changed(base, cases[i].from, cases[i].to);
        enum ifab_code code = read_text(&f, text);
        if (code != IFAB_CODE_INVALID_MANIFEST || strcmp(f.refusal.field, cases[i].field) != 0)
            fail_msg("%s: code %d, field %s: %s", cases[i].to, (int)code, f.refusal.field, f.refusal.message);
        ifab_arena_fini(&f.arena);
        free(text);
    }
    struct fixture f;
    char *text = changed(base, "{\"module\":\"vmix/switcher.wasm\",\"sha256\":\"sha256:" ZERO64 "\",\"size\":1234,\"abi\":1}", "\"a.py:B\"");
    assert_int_equal(read_text(&f, text), IFAB_CODE_INVALID_MANIFEST);
    assert_non_null(strstr(f.refusal.hint, "Guests are WASM"));
    ifab_arena_fini(&f.arena);
    free(text);
}

static void a_secrets_field_is_what_its_way_needs(void **state)
{
    static const char *const uses[] = {"\"header\",\"field\":\"X-Api-Key\"", "\"query\",\"field\":\"api_key\"", "\"hmac\",\"field\":\"X-Signature\"",
                                       "\"sigv4\",\"field\":\"eu-north-1/s3\"", "\"bearer\"", "\"basic\""};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(uses); i++) {
        struct fixture f;
        char *text = changed(base, uses[0], uses[i]);
        if (read_text(&f, text) != IFAB_CODE_NONE)
            fail_msg("%s: %s", uses[i], f.refusal.message);
        assert_int_equal(f.manifest.secret_count, 1);
        ifab_arena_fini(&f.arena);
        free(text);
    }
}

static struct ifab_signer *signer_of(uint8_t byte)
{
    uint8_t seed[32];
    struct ifab_signer *signer = NULL;
    memset(seed, byte, sizeof seed);
    assert_int_equal(ifab_signer_from_seed(seed, &signer, NULL), IFAB_OK);
    return signer;
}

static void sign_with(void *user, struct ifab_view bytes, uint8_t ret_sig64[64])
{
    ifab_signer_sign(user, bytes, ret_sig64);
}

static char *signed_text(const char *text, uint8_t byte)
{
    struct fixture f;
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_MANIFEST_MAX);
    struct ifab_signer *signer = signer_of(byte);
    assert_int_equal(read_text(&f, text), IFAB_CODE_NONE);
    uint8_t pubkey32[32];
    ifab_signer_public(signer, pubkey32);
    assert_int_equal(ifab_manifest_sign(&f.manifest, pubkey32, sign_with, signer, &buf, NULL), IFAB_OK);
    ifab_buf_char(&buf, '\0');
    char *copy = strdup((const char *)buf.data);
    assert_non_null(copy);
    ifab_buf_fini(&buf);
    ifab_signer_free(signer);
    ifab_arena_fini(&f.arena);
    return copy;
}

static void only_the_registered_key_verifies(void **state) /* INV-02 */
{
    (void)state;
    struct fixture f;
    uint8_t mine[32], theirs[32];
    struct ifab_signer *a = signer_of(1), *b = signer_of(2);
    ifab_signer_public(a, mine);
    ifab_signer_public(b, theirs);
    char *good = signed_text(base, 1), *again = signed_text(good, 2);

    assert_int_equal(read_text(&f, base), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_verify(&f.manifest, mine, &f.refusal), IFAB_CODE_INVALID_SIGNATURE); /* unsigned */
    ifab_arena_fini(&f.arena);

    assert_int_equal(read_text(&f, good), IFAB_CODE_NONE);
    assert_true(ifab_view_is(f.manifest.canonical, good));
    assert_int_equal(ifab_manifest_verify(&f.manifest, mine, &f.refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_verify(&f.manifest, theirs, &f.refusal), IFAB_CODE_INVALID_SIGNATURE);
    uint8_t digest[32];
    ifab_sha256(f.manifest.signed_bytes, digest);
    assert_memory_equal(digest, f.manifest.digest32, 32);
    assert_true(ifab_view_starts(f.manifest.signed_bytes, IFAB_VIEW("IF-MANIFEST-v1\n{\"default_operation\"")));
    ifab_arena_fini(&f.arena);

    assert_int_equal(read_text(&f, again), IFAB_CODE_NONE); /* signed again by another: its own key verifies, ours does not */
    assert_int_equal(ifab_manifest_verify(&f.manifest, theirs, &f.refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_verify(&f.manifest, mine, &f.refusal), IFAB_CODE_INVALID_SIGNATURE);
    assert_string_equal(f.refusal.field, "signature.pubkey");
    ifab_arena_fini(&f.arena);

    char *bent = changed(good, "\"size\":1234", "\"size\":1235");
    assert_int_equal(read_text(&f, bent), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_verify(&f.manifest, mine, &f.refusal), IFAB_CODE_INVALID_SIGNATURE);
    ifab_arena_fini(&f.arena);
    free(bent);

    char *key_id = changed(good, "\"key_id\":\"k-", "\"key_id\":\"k-0"); /* too long, and of no key */
    assert_int_equal(read_text(&f, key_id), IFAB_CODE_INVALID_MANIFEST);
    ifab_arena_fini(&f.arena);
    free(key_id);
    char *other = strdup(good), *hex = other == NULL ? NULL : strstr(other, "\"key_id\":\"k-");
    assert_non_null(hex);
    hex[12] = hex[12] == '0' ? '1' : '0'; /* of another key */
    assert_int_equal(read_text(&f, other), IFAB_CODE_INVALID_MANIFEST);
    assert_string_equal(f.refusal.field, "signature.key_id");
    ifab_arena_fini(&f.arena);
    free(other);
    free(good);
    free(again);
    ifab_signer_free(a);
    ifab_signer_free(b);
}

static void a_signature_in_one_string_becomes_the_object(void **state) /* FL-CAP-10 */
{
    (void)state;
    struct fixture f, g;
    char *object = changed(base, "\"limits\":",
                           "\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\",\"sig\":"
                           "\"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg\"},\"limits\":");
    char *string = changed(base, "\"limits\":",
                           "\"signature\":\"ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE:"
                           "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg\",\"limits\":");
    assert_int_equal(read_text(&f, object), IFAB_CODE_NONE);
    assert_int_equal(read_text(&g, string), IFAB_CODE_NONE);
    assert_true(ifab_view_equal(f.manifest.canonical, g.manifest.canonical));
    assert_memory_equal(f.manifest.digest32, g.manifest.digest32, 32);
    ifab_arena_fini(&f.arena);
    ifab_arena_fini(&g.arena);
    free(object);
    free(string);
}

static void params_are_checked_and_filled(void **state)
{
    (void)state;
    static const struct {
        const char *params, *field, *filled; /* filled NULL: 208 */
    } cases[] = {
        {"{\"scene\":\"a\"}", "", "{\"fade\":3,\"scene\":\"a\"}"},
        {"{\"scene\":\"\303\244\303\244\303\244\303\244\303\244\",\"fade\":10}", "", "{\"fade\":10,\"scene\":\"\303\244\303\244\303\244\303\244\303\244\"}"},
        {"{\"scene\":\"a\",\"kind\":\"mix\",\"at\":{\"x\":0.5},\"tags\":[true,false]}", "",
         "{\"at\":{\"x\":0.5},\"fade\":3,\"kind\":\"mix\",\"scene\":\"a\",\"tags\":[true,false]}"},
        {"{}", "scene", NULL},
        {"[]", "", NULL},
        {"{\"scene\":\"\"}", "scene", NULL},
        {"{\"scene\":\"aaaaaa\"}", "scene", NULL},
        {"{\"scene\":1}", "scene", NULL},
        {"{\"scene\":\"a\",\"fade\":11}", "fade", NULL},
        {"{\"scene\":\"a\",\"fade\":-1}", "fade", NULL},
        {"{\"scene\":\"a\",\"fade\":1.5}", "fade", NULL},
        {"{\"scene\":\"a\",\"fade\":null}", "fade", NULL},
        {"{\"scene\":\"a\",\"kind\":\"wipe\"}", "kind", NULL},
        {"{\"scene\":\"a\",\"at\":{}}", "at.x", NULL},
        {"{\"scene\":\"a\",\"at\":{\"x\":\"1\"}}", "at.x", NULL},
        {"{\"scene\":\"a\",\"at\":{\"x\":1,\"y\":1}}", "at.y", NULL},
        {"{\"scene\":\"a\",\"tags\":[true,1]}", "tags[1]", NULL},
        {"{\"scene\":\"a\",\"tags\":[true,true,true]}", "tags", NULL},
        {"{\"scene\":\"a\",\"other\":1}", "other", NULL},
    };
    struct fixture f;
    assert_int_equal(read_text(&f, base), IFAB_CODE_NONE);
    const struct ifab_json *schema = f.manifest.operations[1].params;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        const struct ifab_json *params = NULL, *filled = NULL;
        struct ifab_buf buf = IFAB_BUF_INIT(4096);
        assert_int_equal(ifab_json_read(ifab_view_str(cases[i].params), NULL, &f.arena, &params, NULL), IFAB_OK);
        enum ifab_code code = ifab_params_check(schema, params, &f.arena, &filled, &f.refusal);
        if (cases[i].filled == NULL && (code != IFAB_CODE_INVALID_PARAMS || strcmp(f.refusal.field, cases[i].field) != 0))
            fail_msg("%s: code %d, field %s", cases[i].params, (int)code, f.refusal.field);
        if (cases[i].filled != NULL) {
            if (code != IFAB_CODE_NONE)
                fail_msg("%s: code %d: %s", cases[i].params, (int)code, f.refusal.message);
            ifab_json_write(&buf, filled);
            assert_true(ifab_view_is(ifab_buf_as_view(&buf), cases[i].filled));
        }
        ifab_buf_fini(&buf);
    }
    const struct ifab_json *none = NULL, *filled = NULL;
    assert_int_equal(ifab_json_read(IFAB_VIEW("{\"a\":1}"), NULL, &f.arena, &none, NULL), IFAB_OK);
    assert_int_equal(ifab_params_check(NULL, none, &f.arena, &filled, &f.refusal), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(ifab_json_read(IFAB_VIEW("{}"), NULL, &f.arena, &none, NULL), IFAB_OK);
    assert_int_equal(ifab_params_check(NULL, none, &f.arena, &filled, &f.refusal), IFAB_CODE_NONE);
    assert_true(filled == none);
    ifab_arena_fini(&f.arena);
}

static void a_row_lets_pass_what_it_says_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        enum ifab_method method;
        const char *url;
        int row; /* -1: none */
    } cases[] = {
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/one/scenes", 0},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/one%20two/scenes?x=/../", 0},
        {IFAB_METHOD_POST, "https://api.vmix.example:8443/api/one/scenes", 1},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a/b/c", 1},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a/b/", 1},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api", -1},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/", -1},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/apix/a", -1},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443", -1},
        {IFAB_METHOD_DELETE, "https://api.vmix.example:8443/api/a", -1},
        {IFAB_METHOD_GET, "http://api.vmix.example:8443/api/a", -1},
        {IFAB_METHOD_GET, "https://api.vmix.example/api/a", -1},
        {IFAB_METHOD_GET, "https://api.vmix.example.evil.example:8443/api/a", -1},
        {IFAB_METHOD_GET, "https://evil-api.vmix.example:8443/api/a", -1},
        {IFAB_METHOD_GET, "https://API.vmix.example:8443/api/a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443@evil.example/api/a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:08443/api/a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a#f", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/../admin", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/%2e%2e/admin", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/%2E./admin", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a%2fb", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a%5cb", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a%252e", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a%00", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a%0d%0ax", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/%61", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a%2", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api//a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443//api/a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/./a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api\\a", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a b", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443/api/a;\303\244", -2},
        {IFAB_METHOD_GET, "https://api.vmix.example:8443?/api/a", -1},
        {IFAB_METHOD_GET, "ftp://api.vmix.example/api/a", -2},
        {IFAB_METHOD_GET, "https:///api/a", -2},
    };
    struct fixture f;
    assert_int_equal(read_text(&f, base), IFAB_CODE_NONE);
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_origin origin;
        struct ifab_view path, query;
        bool is_url = ifab_http_url_parse(ifab_view_str(cases[i].url), &origin, &path, &query);
        if (is_url != (cases[i].row != -2))
            fail_msg("%s: %s", cases[i].url, is_url ? "was taken for a URL" : "was not taken for a URL");
        if (!is_url)
            continue;
        const struct ifab_http_row *row = ifab_http_row_match(&f.manifest, cases[i].method, &origin, path, IFAB_EFFECT_PAYMENT);
        if ((row == NULL ? -1 : (int)(row - f.manifest.http)) != cases[i].row)
            fail_msg("%s: row %d", cases[i].url, row == NULL ? -1 : (int)(row - f.manifest.http));
    }
    struct ifab_origin origin;
    assert_true(ifab_origin_parse(IFAB_VIEW("https://api.vmix.example:8443"), &origin));
    assert_non_null(ifab_http_row_match(&f.manifest, IFAB_METHOD_GET, &origin, IFAB_VIEW("/api/a/scenes"), IFAB_EFFECT_READ));
    assert_null(ifab_http_row_match(&f.manifest, IFAB_METHOD_GET, &origin, IFAB_VIEW("/api/a"), IFAB_EFFECT_READ)); /* the row writes */
    assert_null(ifab_http_row_match(&f.manifest, IFAB_METHOD_GET, &origin, IFAB_VIEW("/api/a/scenes"), IFAB_EFFECT_NONE));
    assert_null(ifab_http_row_match(&f.manifest, IFAB_METHOD_GET, &origin, IFAB_VIEW("/api/%2e%2e"), IFAB_EFFECT_PAYMENT));
    ifab_arena_fini(&f.arena);
}

static void sockets_have_rows_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        int row;
    } cases[] = {
        {"ws://obs.example:4455/", 0},  {"ws://obs.example:4455", 0},   {"wss://obs.example:4455/", -1}, {"http://obs.example:4455/", -1},
        {"wss://cloud.example/a", 1},   {"wss://cloud.example:443/a", 1}, {"ws://cloud.example:443/a", -1}, {"https://cloud.example/a", -1},
        {"ws://obs.example/", -1},      {"ws:/obs.example:4455/", -2},    {"WS://obs.example:4455/", -2},   {"wsx://obs.example:4455/", -2},
    };
    static const char rows[] = "[{\"scheme\":\"ws\",\"host\":\"obs.example\",\"port\":4455,\"path\":\"/\",\"methods\":[\"GET\"]},"
                               "{\"scheme\":\"wss\",\"host\":\"cloud.example\",\"path\":\"/a\",\"methods\":[\"GET\"],\"effect\":\"read\"}]";
    static const char secrets[] = "[{\"name\":\"OBS\",\"origin\":\"ws://obs.example:4455\",\"as\":\"hmac\",\"field\":\"obs-websocket-5\"}]";
    char text[4000];
    struct fixture f;
    const char *http = strstr(base, "\"http\":["), *config = strstr(base, "\"requires_config\"");
    snprintf(text, sizeof text, "%.*s\"http\":%s,\"requires_secrets\":%s,%s", (int)(http - base), base, rows, secrets, config);
    if (read_text(&f, text) != IFAB_CODE_NONE)
        fail_msg("%s: %s", f.refusal.field, f.refusal.message);
    assert_int_equal(f.manifest.http[0].origin.scheme, IFAB_ORIGIN_WS);
    assert_int_equal(f.manifest.http[1].origin.port, 443);
    assert_true(ifab_secret_is_challenge(f.manifest.secrets[0].as, f.manifest.secrets[0].field));
    assert_false(ifab_secret_is_challenge(IFAB_SECRET_AS_HEADER, f.manifest.secrets[0].field));
    assert_false(ifab_secret_is_challenge(IFAB_SECRET_AS_HMAC, IFAB_VIEW("X-Sig")));
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_origin origin;
        struct ifab_view path, query;
        bool is_url = ifab_http_url_parse(ifab_view_str(cases[i].url), &origin, &path, &query);
        const struct ifab_http_row *row =
            is_url ? ifab_http_row_match(&f.manifest, IFAB_METHOD_GET, &origin, path, IFAB_EFFECT_PAYMENT) : NULL;
        if ((!is_url ? -2 : row == NULL ? -1 : (int)(row - f.manifest.http)) != cases[i].row)
            fail_msg("%s", cases[i].url);
    }
    ifab_arena_fini(&f.arena);
}

static void versions_are_ordered_by_number(void **state)
{
    (void)state;
    static const char *const rising[] = {"0.0.1", "00.0.2", "0.1.0", "1.0.0", "1.9.0", "1.10.0", "2.0.0", "10.0.0", "99999999999999999999.0.0"};
    for (size_t i = 0; i < IFAB_COUNT(rising); i++)
        for (size_t j = 0; j < IFAB_COUNT(rising); j++) {
            int order = ifab_capability_version_compare(ifab_view_str(rising[i]), ifab_view_str(rising[j]));
            assert_int_equal(order < 0, i < j);
            assert_int_equal(order > 0, i > j);
        }
}

static void differences_are_pointers(void **state)
{
    (void)state;
    struct fixture f, g;
    struct ifab_manifest_change changes[3];
    size_t count = 0, total = 0;
    char *one = changed(base, "\"rps\":3", "\"rps\":4"), *two = changed(one, "[\"log\",\"http\"]", "[\"log\"]");
    char *text = changed(two, "\"idempotent\":true", "\"idempotent\":false"), *full = changed(text, "\"scopes\":", "\"not_after\":\"2030-01-01T00:00:00Z\",\"scopes\":");
    assert_int_equal(read_text(&f, base), IFAB_CODE_NONE);
    assert_int_equal(read_text(&g, full), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_diff(f.manifest.tree, f.manifest.tree, &f.arena, changes, 3, &count, &total), IFAB_OK);
    assert_int_equal(total, 0);
    assert_int_equal(ifab_manifest_diff(f.manifest.tree, g.manifest.tree, &f.arena, changes, 3, &count, &total), IFAB_OK);
    assert_int_equal(count, 3);
    assert_int_equal(total, 4);
    assert_true(ifab_view_is(changes[0].pointer, "/imports"));
    assert_true(ifab_view_is(changes[1].pointer, "/limits/rps"));
    assert_true(changes[1].before->u.number.value == 3 && changes[1].after->u.number.value == 4);
    assert_true(ifab_view_is(changes[2].pointer, "/not_after"));
    assert_null(changes[2].before);
    ifab_arena_fini(&f.arena);
    ifab_arena_fini(&g.arena);
    free(one);
    free(two);
    free(text);
    free(full);
}

static void no_allocation_that_fails_is_missed(void **state)
{
    (void)state;
    char *text = signed_text(base, 1);
    for (uint64_t n = 1;; n++) {
        struct fixture f;
        ifab_mem_fail_at(n);
        enum ifab_code code = read_text(&f, text);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        ifab_arena_fini(&f.arena);
        if (!failed) {
            assert_int_equal(code, IFAB_CODE_NONE);
            break;
        }
        assert_int_equal(code, IFAB_CODE_SYSTEM_ERROR);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read_whole),
        cmocka_unit_test(every_violation_is_207_with_its_field), cmocka_unit_test(a_secrets_field_is_what_its_way_needs),
        cmocka_unit_test(only_the_registered_key_verifies),
        cmocka_unit_test(a_signature_in_one_string_becomes_the_object),
        cmocka_unit_test(params_are_checked_and_filled),
        cmocka_unit_test(a_row_lets_pass_what_it_says_and_nothing_else),
        cmocka_unit_test(sockets_have_rows_of_their_own),
        cmocka_unit_test(versions_are_ordered_by_number),
        cmocka_unit_test(differences_are_pointers),
        cmocka_unit_test(no_allocation_that_fails_is_missed),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
