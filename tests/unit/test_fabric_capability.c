/* Publishers, the allow-list and loads as commands: authority, what stands in the log, what a start finds. INV-02, INV-07, INV-14, INV-16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

static struct rig rig;
static struct ifab_arena arena;
static struct ifab_refusal refusal;
#define ADM 1 /* the operator of entry 0 */

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    ifab_arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    ifab_arena_fini(&arena);
    return 0;
}

static void sign_with(void *user, struct ifab_view bytes, uint8_t ret_sig64[64])
{
    ifab_signer_sign(user, bytes, ret_sig64);
}

static const struct ifab_manifest *manifest_of(const char *version, const char *more, uint8_t seed)
{
    char text[1500];
    uint8_t key32[32];
    struct ifab_view copy;
    struct ifab_manifest plain, *made = ifab_arena_alloc(&arena, sizeof *made);
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_MANIFEST_MAX);
    struct ifab_signer *signer = make_signer(seed);
    ifab_signer_public(signer, key32);
    snprintf(text, sizeof text,
             "{\"id\":\"if://capability/vmix\",\"version\":\"%s\",\"summary\":\"s\",\"entrypoint\":{\"module\":\"m.wasm\",\"sha256\":\"sha256:"
             "0000000000000000000000000000000000000000000000000000000000000000\",\"size\":7,\"abi\":1},"
             "\"operations\":{\"run\":{\"effect\":\"read\"}},%s\"limits\":{\"rps\":1,\"burst\":1}}",
             version, more);
    assert_int_equal(ifab_arena_copy(&arena, ifab_view_str(text), &copy), IFAB_OK);
    assert_int_equal(ifab_manifest_read(copy, &arena, &plain, &refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_manifest_sign(&plain, key32, sign_with, signer, &buf, NULL), IFAB_OK);
    assert_int_equal(ifab_arena_copy(&arena, ifab_buf_as_view(&buf), &copy), IFAB_OK);
    assert_int_equal(ifab_manifest_read(copy, &arena, made, &refusal), IFAB_CODE_NONE);
    ifab_signer_free(signer);
    ifab_buf_fini(&buf);
    return made;
}

static enum ifab_code publisher(const char *name, uint8_t seed, bool revoke, bool as_admin)
{
    static const struct ifab_view spaces[] = {{(const uint8_t *)"vmix", 4}};
    uint8_t key32[32];
    struct ifab_signer *signer = make_signer(seed);
    ifab_signer_public(signer, key32);
    ifab_signer_free(signer);
    struct ifab_command command = {.type = IFAB_COMMAND_PUBLISHER, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.publisher.request =
        (struct ifab_publisher_request){.name = ifab_view_str(name), .pubkey32 = key32, .namespaces = spaces, .namespace_count = 1, .not_after = IFAB_NEVER};
    command.u.publisher.revoke = revoke;
    command.act = as_admin ? rig_act(&rig, ADM) : NULL;
    return rig_do(&rig, &command)->code;
}

static enum ifab_code allow(const struct ifab_manifest *m, bool as_admin)
{
    struct ifab_command command = {.type = IFAB_COMMAND_CAPABILITY, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.capability.manifest = m;
    command.act = as_admin ? rig_act(&rig, ADM) : NULL;
    return rig_do(&rig, &command)->code;
}

static enum ifab_code revoke(const char *version, bool as_admin)
{
    struct ifab_command command = {.type = IFAB_COMMAND_CAPABILITY, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.capability.revoke.id = IFAB_VIEW("if://capability/vmix");
    command.u.capability.revoke.version = ifab_view_str(version);
    command.act = as_admin ? rig_act(&rig, ADM) : NULL;
    return rig_do(&rig, &command)->code;
}

static enum ifab_code load_as(const struct ifab_principal *who, const char *version, const struct ifab_module *module)
{
    struct ifab_command command = {.type = IFAB_COMMAND_CAPABILITY_LOAD, .principal = who};
    command.u.load.id = IFAB_VIEW("if://capability/vmix");
    command.u.load.version = ifab_view_str(version);
    command.u.load.module = module;
    command.u.load.problem = IFAB_VIEW("no such file");
    return rig_do(&rig, &command)->code;
}

static void only_an_admins_signature_changes_the_registry(void **state)
{
    (void)state;
    assert_int_equal(publisher("Acme", 40, false, false), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(publisher("Acme", 40, false, true), IFAB_CODE_NONE);
    const struct ifab_manifest *m = manifest_of("1.0.0", "", 40);
    assert_int_equal(allow(m, false), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(allow(m, true), IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), "\"component\":\"CapabilityRegistry\""));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"allow\""));
    const struct ifab_allowed *a = ifab_registry_allowed_next(ifab_fabric_registry(rig.fabric), 0);
    assert_non_null(a);
    struct ifab_buf record = IFAB_BUF_INIT(100000); /* INV-16: it stands whole in its entry */
    ifab_buf_view(&record, a->record);
    ifab_buf_char(&record, '\0');
    assert_non_null(strstr(rig_last(&rig), (const char *)record.data));
    ifab_buf_fini(&record);
    assert_int_equal(revoke("1.0.0", false), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(publisher("Acme", 40, true, false), IFAB_CODE_PERMISSION_DENIED);
    struct ifab_admin_act used; /* an act is used up once */
    assert_int_equal(revoke("1.0.0", true), IFAB_CODE_NONE);
    used = rig.act;
    struct ifab_command command = {.type = IFAB_COMMAND_PUBLISHER, .principal = &rig.principal, .act = &used};
    command.u.publisher.request.name = IFAB_VIEW("Acme");
    command.u.publisher.revoke = true;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_REPLAY_DETECTED);
    assert_int_equal(publisher("Acme", 40, true, true), IFAB_CODE_NONE);
}

static void a_start_finds_what_was_there_and_nothing_else(void **state) /* INV-16 */
{
    (void)state;
    uint8_t before32[32], after32[32];
    struct ifab_fabric *loaded = NULL;
    assert_int_equal(publisher("Acme", 40, false, true), IFAB_CODE_NONE);
    assert_int_equal(allow(manifest_of("1.0.0", "", 40), true), IFAB_CODE_NONE);
    assert_int_equal(allow(manifest_of("1.1.0", "", 40), true), IFAB_CODE_NONE);
    assert_int_equal(revoke("1.1.0", true), IFAB_CODE_NONE);
    ifab_registry_trust_root(ifab_fabric_registry(rig.fabric), before32);
    rig_restart(&rig);
    ifab_registry_trust_root(ifab_fabric_registry(rig.fabric), after32);
    assert_memory_equal(before32, after32, 32);
    for (size_t i = 0; i < rig.record_count; i++) { /* one of them gone, or under another number: not what the log covers */
        struct rig_record *r = &rig.records[i];
        if (r->kind < IFAB_KIND_PUBLISHER || r->kind > IFAB_KIND_REVOCATION)
            continue;
        uint8_t *bytes = r->bytes;
        r->bytes = NULL;
        assert_int_equal(rig_load_from(&rig, &rig.settings, &loaded), IFAB_CORRUPT);
        r->bytes = bytes;
        r->number += 1000;
        assert_int_equal(rig_load_from(&rig, &rig.settings, &loaded), IFAB_CORRUPT);
        r->number -= 1000;
    }
    assert_int_equal(rig_load_from(&rig, &rig.settings, &loaded), IFAB_OK);
    ifab_fabric_free(loaded);
}

static void every_load_is_an_entry(void **state) /* INV-07 */
{
    (void)state;
    struct ifab_module module = {.size = 7}, other = {.size = 8};
    struct ifab_principal agent = {.kind = IFAB_PRINCIPAL_TALENT, .role = IFAB_ROLE_AGENT, .talent = 2};
    size_t before = rig.entry_count;
    assert_int_equal(load_as(&rig.principal, "", &module), IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(publisher("Acme", 40, false, true), IFAB_CODE_NONE);
    assert_int_equal(allow(manifest_of("1.0.0", "", 40), true), IFAB_CODE_NONE);
    assert_int_equal(load_as(&rig.principal, "", &module), IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"load\""));
    assert_non_null(strstr(rig_last(&rig), "\"subject\":\"if://capability/vmix@1.0.0\""));
    assert_int_equal(load_as(&rig.principal, "1.0.0", &other), IFAB_CODE_DIGEST_MISMATCH);
    assert_int_equal(load_as(&rig.principal, "1.0.0", NULL), IFAB_CODE_DIGEST_MISMATCH);
    assert_int_equal(load_as(&rig.principal, "2.0.0", &module), IFAB_CODE_VERSION_NOT_ALLOWED);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"load_refused\""));
    assert_int_equal(load_as(&agent, "1.0.0", &module), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rig.entry_count, before + 8);
    uint64_t version = ifab_fabric_registry_version(rig.fabric);
    assert_int_equal(publisher("Acme", 40, true, true), IFAB_CODE_NONE);
    assert_true(ifab_fabric_registry_version(rig.fabric) > version); /* whoever holds instances looks again */
    assert_int_equal(load_as(&rig.principal, "1.0.0", &module), IFAB_CODE_UNTRUSTED_PUBLISHER);
}

/* What a talent's calls have refused is of that talent's allowance, and stands in its name; the socket's operator keeps an own one. INV-12 */
static void a_load_for_a_call_is_its_talents(void **state)
{
    (void)state;
    struct ifab_command command = {.type = IFAB_COMMAND_CAPABILITY_LOAD, .principal = &rig.principal};
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 12, IFAB_ORDER_STRICT), 2);
    command.u.load.id = IFAB_VIEW("if://capability/vmix");
    command.u.load.problem = IFAB_VIEW("no such file");
    command.u.load.talent = 2;
    size_t before = rig.entry_count;
    for (int i = 0; i < 100; i++)
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_non_null(strstr(rig_last(&rig), "\"actor\":\"if://agent/A\""));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"load_refused\""));
    assert_true(rig.entry_count - before < 100); /* its allowance is used up, the rest is counted */
    before = rig.entry_count;
    command.u.load.talent = 0;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CAPABILITY_NOT_ALLOWED);
    assert_int_equal(rig.entry_count, before + 1);
    assert_null(strstr(rig_last(&rig), "if://agent/A"));
}

static void a_key_of_a_publisher_is_no_talents_and_the_other_way_round(void **state) /* INV-02 */
{
    (void)state;
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 41, IFAB_ORDER_STRICT), 2);
    assert_int_equal(publisher("Acme", 41, false, true), IFAB_CODE_CONFLICT);
    assert_int_equal(publisher("Acme", 40, false, true), IFAB_CODE_NONE);
    uint8_t key32[32];
    struct ifab_signer *signer = make_signer(40);
    ifab_signer_public(signer, key32);
    ifab_signer_free(signer);
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_ADD, "B");
    command.u.talent.request.pubkey32 = key32;
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
    command = rig_talent_command(&rig, IFAB_ACT_ROTATE, "A");
    command.u.talent.request.pubkey32 = key32;
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
}

static void a_changed_manifest_is_told_by_its_places(void **state)
{
    (void)state;
    assert_int_equal(publisher("Acme", 40, false, true), IFAB_CODE_NONE);
    assert_int_equal(allow(manifest_of("1.0.0", "", 40), true), IFAB_CODE_NONE);
    assert_int_equal(allow(manifest_of("1.0.0", "\"imports\":[\"log\"],\"scopes\":[\"a\"],", 40), true), IFAB_CODE_CONFLICT);
    assert_non_null(strstr(rig.outcome.reply.refusal.message, "2 differ: /imports, /scopes"));
    assert_int_equal(ifab_registry_count(ifab_fabric_registry(rig.fabric), IFAB_REGISTRY_ALLOWED), 1);
}

static void what_was_restated_is_the_same_registry(void **state)
{
    (void)state;
    assert_int_equal(publisher("Acme", 40, false, true), IFAB_CODE_NONE);
    assert_int_equal(allow(manifest_of("1.0.0", "", 40), true), IFAB_CODE_NONE);
    assert_int_equal(revoke("1.0.0", true), IFAB_CODE_NONE);
    const struct ifab_registry *old = ifab_fabric_registry(rig.fabric);
    struct rig new;
    rig_new(&new, NULL);
    const struct ifab_registered all[] = {
        {IFAB_KIND_PUBLISHER, IFAB_VIEW("Acme"), ifab_registry_publisher_next(old, 0)->record},
        {IFAB_KIND_ALLOWED, IFAB_VIEW("vmix"), ifab_registry_allowed_next(old, 0)->record},
        {IFAB_KIND_REVOCATION, IFAB_VIEW("vmix"), ifab_registry_revocation_next(old, 0)->record},
    };
    for (size_t i = 0; i < IFAB_COUNT(all); i++) {
        struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
        command.u.restate.registered = &all[i];
        assert_int_equal(rig_do(&new, &command)->code, IFAB_CODE_NONE);
        assert_non_null(strstr(rig_last(&new), "\"component\":\"CapabilityRegistry\""));
    }
    const struct ifab_registry *now = ifab_fabric_registry(new.fabric);
    assert_true(ifab_view_equal(ifab_registry_allowed_next(now, 0)->record, all[1].bytes));
    assert_string_equal(ifab_registry_revoked(now, ifab_registry_allowed_next(now, 0)), "version");
    rig_restart(&new);
    rig_free(&new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_an_admins_signature_changes_the_registry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_finds_what_was_there_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(every_load_is_an_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_load_for_a_call_is_its_talents, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_of_a_publisher_is_no_talents_and_the_other_way_round, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_manifest_is_told_by_its_places, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_restated_is_the_same_registry, setup, teardown),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
