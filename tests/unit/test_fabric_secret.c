/* Secrets in the step: who may change and who may ask, what stands in the log, what a start finds. INV-04, INV-09, INV-13, INV-16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

static struct rig rig;
#define API   IFAB_VIEW("https://api.example.com")
#define OTHER IFAB_VIEW("https://other.example.com")
static const struct ifab_view api[1] = {{(const uint8_t *)"https://api.example.com", 23}};

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);    /* 2 */
    rig_add(&rig, "Op", "olga", IFAB_ROLE_OPERATOR, 11, IFAB_ORDER_STRICT); /* 3 */
    rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT);   /* 4 */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

/* As the shell lends it: the vault is one change further. */
static struct ifab_command change(enum ifab_secret_act act, const char *name, uint32_t talent)
{
    struct ifab_command command = {.type = IFAB_COMMAND_SECRET, .principal = &rig.principal, .why = IFAB_VIEW("test")};
    command.act = talent == 0 ? NULL : rig_act(&rig, talent);
    command.u.secret.request.act = act;
    command.u.secret.request.name = ifab_view_str(name);
    command.u.secret.request.origins = api;
    command.u.secret.request.origin_count = act == IFAB_SECRET_SET;
    command.u.secret.mark.counter = ifab_secrets_mark(ifab_fabric_secrets(rig.fabric))->counter + 1;
    memset(command.u.secret.mark.digest32, (int)command.u.secret.mark.counter, 32);
    return command;
}

static struct ifab_command ask(const char *name, struct ifab_view origin)
{
    struct ifab_command command = {.type = IFAB_COMMAND_SECRET_GET, .principal = &rig.principal, .why = IFAB_VIEW("test")};
    command.u.secret_get.name = ifab_view_str(name);
    command.u.secret_get.origin = origin;
    return command;
}

static void expect(struct ifab_command command, enum ifab_code code, const char *operation)
{
    size_t entries = rig.entry_count;
    uint64_t counter = ifab_secrets_mark(ifab_fabric_secrets(rig.fabric))->counter;
    char says[80];
    if (rig_do(&rig, &command)->code != code)
        fail_msg("%s: %d %s", operation, rig.outcome.reply.code, rig.outcome.reply.refusal.message);
    assert_int_equal(rig.entry_count, entries + 1);
    (void)snprintf(says, sizeof says, "\"operation\":\"%s\"", operation);
    assert_non_null(strstr(rig_last(&rig), says));
    if (code != IFAB_CODE_NONE || command.type == IFAB_COMMAND_SECRET_GET)
        assert_int_equal(ifab_secrets_mark(ifab_fabric_secrets(rig.fabric))->counter, counter);
    rig.now.run += IFAB_SECOND;
}

static void an_admins_signature_changes_them_and_nothing_less(void **state)
{
    (void)state;
    expect(change(IFAB_SECRET_SET, "one", 0), IFAB_CODE_PERMISSION_DENIED, "admin_refused"); /* the uid alone is an operator */
    expect(change(IFAB_SECRET_SET, "one", 2), IFAB_CODE_PERMISSION_DENIED, "admin_refused");
    expect(change(IFAB_SECRET_SET, "one", 3), IFAB_CODE_PERMISSION_DENIED, "admin_refused");
    expect(change(IFAB_SECRET_SET, "one", 4), IFAB_CODE_NONE, "set");
    assert_int_equal(rig.outcome.reply.http, 201);
    assert_non_null(strstr(rig_last(&rig), "\"severity\":\"HIGH\""));
    expect(change(IFAB_SECRET_ROTATE, "one", 0), IFAB_CODE_PERMISSION_DENIED, "admin_refused");
    expect(change(IFAB_SECRET_REVOKE, "one", 3), IFAB_CODE_PERMISSION_DENIED, "admin_refused");
    expect(change(IFAB_SECRET_ROTATE, "one", 4), IFAB_CODE_NONE, "rotate");
    expect(change(IFAB_SECRET_SET, "one", 4), IFAB_CODE_CONFLICT, "admin_refused");
    expect(change(IFAB_SECRET_REVOKE, "one", 4), IFAB_CODE_NONE, "revoke");
    expect(change(IFAB_SECRET_REVOKE, "one", 4), IFAB_CODE_SECRET_NOT_FOUND, "admin_refused");
    const struct ifab_secret *secret = ifab_secrets_find(ifab_fabric_secrets(rig.fabric), IFAB_VIEW("one"));
    assert_true(secret != NULL && secret->version == 2 && secret->counter == 3 && secret->revoked_at != IFAB_NEVER);
}

/* INV-16: both records stand whole in the entry, byte for byte as they are stored. */
static void the_entry_holds_what_is_stored(void **state)
{
    (void)state;
    expect(change(IFAB_SECRET_SET, "one", 4), IFAB_CODE_NONE, "set");
    const struct ifab_secret *secret = ifab_secrets_find(ifab_fabric_secrets(rig.fabric), IFAB_VIEW("one"));
    struct ifab_buf said = IFAB_BUF_INIT(8192);
    ifab_buf_str(&said, "\"payload\":{\"secret\":");
    ifab_buf_view(&said, secret->record);
    ifab_buf_str(&said, ",\"vault\":");
    ifab_secret_mark_write(&said, ifab_secrets_mark(ifab_fabric_secrets(rig.fabric)));
    ifab_buf_char(&said, '}');
    ifab_buf_char(&said, '\0');
    assert_non_null(strstr(rig_last(&rig), (const char *)said.data));
    ifab_buf_fini(&said);
    assert_non_null(rig_record(&rig, IFAB_KIND_SECRET, secret->number));
    assert_non_null(rig_record(&rig, IFAB_KIND_VAULT, 1));
}

/* What could not be staged is refused with the shell's words, behind authority; a vault that stands elsewhere is ours to mend. */
static void a_change_that_is_not_staged_is_none(void **state)
{
    (void)state;
    struct ifab_command command = change(IFAB_SECRET_SET, "one", 4);
    command.u.secret.code = IFAB_CODE_INVALID_PARAMS;
    ifab_refuse(&command.u.secret.refusal, IFAB_CODE_INVALID_PARAMS, "sealed", "it does not open");
    expect(command, IFAB_CODE_INVALID_PARAMS, "admin_refused");
    assert_string_equal(rig.outcome.reply.refusal.message, "it does not open");
    command.act = NULL;
    expect(command, IFAB_CODE_PERMISSION_DENIED, "admin_refused");
    for (uint64_t counter = 0; counter <= 3; counter++) {
        struct ifab_command other = change(IFAB_SECRET_SET, "one", 4);
        other.u.secret.mark.counter = counter;
        if (counter == 1)
            continue;
        size_t entries = rig.entry_count;
        assert_int_equal(rig_do(&rig, &other)->code, IFAB_CODE_SYSTEM_ERROR);
        assert_int_equal(rig.entry_count, entries);
    }
    assert_int_equal(ifab_secrets_count(ifab_fabric_secrets(rig.fabric)), 0);
}

/* INV-13: given or not, it is an entry. */
static void each_access_is_an_entry(void **state)
{
    (void)state;
    expect(ask("one", API), IFAB_CODE_SECRET_NOT_FOUND, "get_denied");
    expect(change(IFAB_SECRET_SET, "one", 4), IFAB_CODE_NONE, "set");
    expect(ask("one", API), IFAB_CODE_NONE, "get");
    assert_non_null(strstr(rig_last(&rig), "\"component\":\"SecretVault\""));
    assert_non_null(strstr(rig_last(&rig), "\"severity\":\"INFO\""));
    assert_non_null(strstr(rig_last(&rig), "\"payload\":{\"name\":\"one\",\"origin\":\"https://api.example.com\",\"version\":1}"));
    expect(ask("one", OTHER), IFAB_CODE_PERMISSION_DENIED, "get_denied");
    struct ifab_command silent = ask("one", API);
    silent.why = IFAB_VIEW("");
    expect(silent, IFAB_CODE_INVALID_PARAMS, "get_denied"); /* INV-13: why? */
    struct ifab_principal agent = {.kind = IFAB_PRINCIPAL_TALENT, .role = IFAB_ROLE_AGENT, .talent = 2, .actor = "if://agent/A"};
    struct ifab_command foreign = ask("one", API);
    foreign.principal = &agent;
    expect(foreign, IFAB_CODE_PERMISSION_DENIED, "get_denied");
    expect(change(IFAB_SECRET_REVOKE, "one", 4), IFAB_CODE_NONE, "revoke");
    expect(ask("one", API), IFAB_CODE_SECRET_NOT_FOUND, "get_denied");
}

/* INV-16: a start has them again; one that was edited, taken away or put there is found. */
static void a_start_finds_what_the_log_does_not_cover(void **state)
{
    (void)state;
    expect(change(IFAB_SECRET_SET, "one", 4), IFAB_CODE_NONE, "set");
    expect(change(IFAB_SECRET_SET, "two", 4), IFAB_CODE_NONE, "set");
    rig_restart(&rig);
    assert_int_equal(ifab_secrets_mark(ifab_fabric_secrets(rig.fabric))->counter, 2);
    assert_int_equal(ifab_secrets_live(ifab_fabric_secrets(rig.fabric)), 2);
    expect(change(IFAB_SECRET_ROTATE, "two", 4), IFAB_CODE_NONE, "rotate");
    struct ifab_fabric *other = NULL;
    uint64_t number = ifab_secrets_find(ifab_fabric_secrets(rig.fabric), IFAB_VIEW("one"))->number;
    struct rig_record *records[] = {rig_record(&rig, IFAB_KIND_SECRET, number), rig_record(&rig, IFAB_KIND_VAULT, 1)};
    for (size_t i = 0; i < IFAB_COUNT(records); i++) {
        const char *what = i == 0 ? "api.example" : "sha256:0";
        char *at = memmem(records[i]->bytes, records[i]->size, what, strlen(what));
        assert_non_null(at);
        at[strlen(what) - 1] = i == 0 ? 'f' : '1';
        assert_int_equal(rig_load_from(&rig, &rig.settings, &other), IFAB_CORRUPT);
        at[strlen(what) - 1] = i == 0 ? 'e' : '0';
        size_t size = records[i]->size;
        uint8_t *bytes = records[i]->bytes;
        records[i]->bytes = NULL; /* deleted */
        assert_int_equal(rig_load_from(&rig, &rig.settings, &other), IFAB_CORRUPT);
        records[i]->bytes = bytes;
        records[i]->size = size;
    }
    rig_restart(&rig);
    expect(ask("one", API), IFAB_CODE_NONE, "get");
}

static void without_memory_nothing_is_half_done(void **state)
{
    (void)state;
    struct ifab_command command = change(IFAB_SECRET_SET, "one", 4);
    for (uint64_t n = 1;; n++) {
        ifab_mem_fail_at(n);
        rig_decide(&rig, &command);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (!failed)
            break;
        if (rig.outcome.reply.code != IFAB_CODE_NONE) {
            assert_int_equal(rig.outcome.reply.code, IFAB_CODE_SYSTEM_ERROR);
            assert_int_equal(rig.outcome.entry_count + rig.outcome.change_count, 0);
        }
    }
    assert_int_equal(rig.outcome.reply.code, IFAB_CODE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_admins_signature_changes_them_and_nothing_less, setup, teardown),
        cmocka_unit_test_setup_teardown(the_entry_holds_what_is_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_that_is_not_staged_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(each_access_is_an_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_finds_what_the_log_does_not_cover, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_half_done, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
