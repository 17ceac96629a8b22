/* Acts on talents: who may, with what signature, what stands in the log (INV-13, INV-16), trust records at a start, going on after a
 * restore. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

static struct rig rig;
static const char sensitive[1][129] = {"vault:root"};

static int setup(void **state)
{
    struct ifab_fabric_settings settings;
    (void)state;
    rig_settings(&settings);
    settings.sensitive_scopes = sensitive;
    settings.sensitive_count = 1;
    rig_new(&rig, &settings);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);     /* 2 */
    rig_add(&rig, "Op", "olga", IFAB_ROLE_OPERATOR, 11, IFAB_ORDER_STRICT);  /* 3 */
    rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT);    /* 4 */
    rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 13, IFAB_ORDER_WINDOW);       /* 5 */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

static uint8_t fresh_key32[32];
static const uint8_t *fresh_key(void)
{
    static uint8_t seed = 100;
    struct ifab_signer *signer = make_signer(seed++);
    ifab_signer_public(signer, fresh_key32);
    ifab_signer_free(signer);
    return fresh_key32;
}

static struct ifab_command add_command(const char *name, enum ifab_role role)
{
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_ADD, name);
    command.u.talent.request.role = role;
    command.u.talent.request.role_name = ifab_view_str(ifab_role_name(role));
    command.u.talent.request.pubkey32 = fresh_key();
    return command;
}

static struct ifab_command grant_command(const char *name, const char *scope)
{
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_GRANT, name);
    command.u.talent.request.scope = ifab_view_str(scope);
    return command;
}

static struct ifab_command rotate_command(const char *name)
{
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_ROTATE, name);
    command.u.talent.request.pubkey32 = fresh_key();
    return command;
}

/* A key for client certificates; no two commands name the same. */
static struct ifab_command tls_command(const char *name)
{
    static uint8_t digests[32][32];
    static uint8_t next;
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_TLS_KEY, name);
    uint8_t *digest = digests[next % 32];
    memset(digest, ++next, 32);
    command.u.talent.request.spki32 = digest;
    command.u.talent.request.overlap = IFAB_NEVER;
    return command;
}

static void expect(struct ifab_command command, enum ifab_code code, const char *what)
{
    size_t entries = rig.entry_count;
    uint64_t trust = ifab_fabric_trust_version(rig.fabric), tags = ifab_replay_count(ifab_fabric_replay(rig.fabric));
    if (rig_do(&rig, &command)->code != code)
        fail_msg("%s: %d %s", what, rig.outcome.reply.code, rig.outcome.reply.refusal.message);
    if (code == IFAB_CODE_NONE)
        return;
    assert_int_equal(ifab_fabric_trust_version(rig.fabric), trust); /* a refused act changes and uses up nothing, and is witnessed */
    assert_int_equal(ifab_replay_count(ifab_fabric_replay(rig.fabric)), tags);
    assert_int_equal(rig.entry_count, entries + 1);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"admin_refused\""));
    rig.now.run += IFAB_SECOND;
}

/* SURFACE section 8: the uid alone is an operator: agents yes; roles above, keys of others, sensitive scopes no. */
static void operator_by_uid_handles_agents_and_nothing_above(void **state)
{
    (void)state;
    static const enum ifab_role above[] = {IFAB_ROLE_READONLY, IFAB_ROLE_AUDITOR, IFAB_ROLE_OPERATOR, IFAB_ROLE_ADMIN};
    expect(add_command("New", IFAB_ROLE_AGENT), IFAB_CODE_NONE, "add an agent");
    assert_int_equal(rig.outcome.reply.http, 201);
    for (size_t i = 0; i < IFAB_COUNT(above); i++)
        expect(add_command("Above", above[i]), IFAB_CODE_PERMISSION_DENIED, "add a role above agent");
    expect(grant_command("A", "topic:0011223344556677"), IFAB_CODE_NONE, "grant");
    expect(grant_command("A", "vault:root"), IFAB_CODE_PERMISSION_DENIED, "sensitive grant");
    expect(grant_command("Op", "topic:0011223344556677"), IFAB_CODE_PERMISSION_DENIED, "grant to an operator");
    expect(rotate_command("A"), IFAB_CODE_PERMISSION_DENIED, "another's key");
    expect(rotate_command("Op"), IFAB_CODE_PERMISSION_DENIED, "an operator's key");
    expect(rig_talent_command(&rig, IFAB_ACT_REVOKE, "Op"), IFAB_CODE_PERMISSION_DENIED, "revoke an operator");
    expect(rig_talent_command(&rig, IFAB_ACT_REMOVE, "Adm"), IFAB_CODE_PERMISSION_DENIED, "remove an admin");
    expect(rig_talent_command(&rig, IFAB_ACT_REVOKE, "A"), IFAB_CODE_NONE, "revoke an agent");
    expect(rig_talent_command(&rig, IFAB_ACT_REMOVE, "A"), IFAB_CODE_NONE, "remove an agent");
    expect(rig_talent_command(&rig, IFAB_ACT_REMOVE, "Nobody"), IFAB_CODE_TALENT_NOT_FOUND, "remove nobody");
}

/* INV-13: without a why nothing is done; other principals do nothing at all. */
static void others_than_operators_do_nothing(void **state)
{
    (void)state;
    static const enum ifab_role roles[] = {IFAB_ROLE_NONE, IFAB_ROLE_AGENT, IFAB_ROLE_READONLY, IFAB_ROLE_AUDITOR};
    struct ifab_principal principal = rig.principal;
    struct ifab_command command;
    for (size_t i = 0; i < IFAB_COUNT(roles); i++) {
        principal.role = roles[i];
        command = add_command("New", IFAB_ROLE_AGENT);
        command.principal = &principal;
        expect(command, IFAB_CODE_PERMISSION_DENIED, "role");
    }
    command = add_command("New", IFAB_ROLE_AGENT);
    command.principal = NULL;
    expect(command, IFAB_CODE_PERMISSION_DENIED, "nobody");
    command = add_command("New", IFAB_ROLE_AGENT);
    command.why = IFAB_VIEW("");
    expect(command, IFAB_CODE_INVALID_PARAMS, "no why");
    command = (struct ifab_command){.type = IFAB_COMMAND_ERASE, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.note.subject = IFAB_VIEW("msg-01930000-0000-7000-8000-000000000001");
    expect(command, IFAB_CODE_PERMISSION_DENIED, "erase by uid");
    command.act = rig_act(&rig, 4);
    expect(command, IFAB_CODE_NONE, "erase by an admin");
}

static struct ifab_command with_act(struct ifab_command command, uint32_t talent)
{
    command.act = rig_act(&rig, talent);
    return command;
}

static void admin_act_does_what_the_uid_may_not(void **state)
{
    (void)state;
    expect(with_act(add_command("Above", IFAB_ROLE_AUDITOR), 4), IFAB_CODE_NONE, "add an auditor");
    assert_non_null(strstr(rig_last(&rig), "\"actor\":\"if://agent/Adm\""));
    expect(with_act(grant_command("A", "vault:root"), 4), IFAB_CODE_PERMISSION_DENIED, "sensitive grant by one admin");
    expect(with_act(rotate_command("A"), 4), IFAB_CODE_NONE, "another's key");
    expect(with_act(rig_talent_command(&rig, IFAB_ACT_REMOVE, "Op"), 4), IFAB_CODE_NONE, "remove an operator");
    expect(with_act(add_command("Two", IFAB_ROLE_ADMIN), 2), IFAB_CODE_KEY_REVOKED, "a key that was replaced");
    expect(with_act(add_command("Two", IFAB_ROLE_ADMIN), 5), IFAB_CODE_PERMISSION_DENIED, "signed by an agent");
    expect(with_act(add_command("Two", IFAB_ROLE_AGENT), 5), IFAB_CODE_PERMISSION_DENIED, "signed by an agent, though the uid could");
}

/* The same request signed by a second talent as well. */
static struct ifab_command with_acts(struct ifab_command command, uint32_t first, uint32_t second)
{
    static struct ifab_admin_act one, two;
    two = *rig_act(&rig, second);
    one = *rig_act(&rig, first);
    command.act = &one;
    command.second = &two;
    return command;
}

/* Two admins of two owners; each act is used up with it. */
static void sensitive_grants_need_two_admins_of_different_owners(void **state)
{
    (void)state;
    uint32_t same = rig_add(&rig, "Adm2", "adam", IFAB_ROLE_ADMIN, 20, IFAB_ORDER_STRICT);
    uint32_t other = rig_add(&rig, "Adm3", "eve", IFAB_ROLE_ADMIN, 21, IFAB_ORDER_STRICT);
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(rig.fabric), 2);
    expect(with_act(grant_command("A", "vault:root"), 4), IFAB_CODE_PERMISSION_DENIED, "one");
    assert_non_null(strstr(rig.outcome.reply.refusal.hint, "--act-out"));
    expect(with_acts(grant_command("A", "vault:root"), 4, 4), IFAB_CODE_PERMISSION_DENIED, "twice the same");
    expect(with_acts(grant_command("A", "vault:root"), 4, same), IFAB_CODE_PERMISSION_DENIED, "one owner");
    assert_non_null(strstr(rig.outcome.reply.refusal.hint, "of another owner"));
    expect(with_acts(grant_command("A", "vault:root"), 4, 3), IFAB_CODE_PERMISSION_DENIED, "an operator as the second");
    expect(with_acts(grant_command("A", "vault:root"), 3, 4), IFAB_CODE_PERMISSION_DENIED, "an operator as the first");
    expect(with_acts(grant_command("A", "vault:root"), 4, 2), IFAB_CODE_PERMISSION_DENIED, "the talent itself");
    struct ifab_command old = with_acts(grant_command("A", "vault:root"), 4, other);
    struct ifab_admin_act late = *old.second;
    late.issued_at -= IFAB_ADMIN_ACT_TTL + 2 * IFAB_MINUTE;
    old.second = &late;
    expect(old, IFAB_CODE_EXPIRED_MESSAGE, "the second too old");
    expect(with_acts(add_command("Two", IFAB_ROLE_AUDITOR), 4, other), IFAB_CODE_INVALID_PARAMS, "two where one is meant");
    assert_false(ifab_talent_has_grant(talent, IFAB_VIEW("vault:root"), rig.now.wall));
    uint64_t tags = ifab_replay_count(ifab_fabric_replay(rig.fabric));
    struct ifab_command both = with_acts(grant_command("A", "vault:root"), 4, other);
    expect(both, IFAB_CODE_NONE, "two owners");
    assert_int_equal(ifab_replay_count(ifab_fabric_replay(rig.fabric)), tags + 2);
    talent = ifab_talents_at(ifab_fabric_talents(rig.fabric), 2);
    assert_true(ifab_talent_has_grant(talent, IFAB_VIEW("vault:root"), rig.now.wall));
    assert_non_null(strstr(rig_last(&rig), "\"actor\":\"if://agent/Adm\""));
    assert_non_null(strstr(rig_last(&rig), "\"second\":{\"actor\":\"if://agent/Adm3\",\"why\":\"because\"}"));
    expect(both, IFAB_CODE_REPLAY_DETECTED, "again");
    struct ifab_admin_act fresh = *rig_act(&rig, 4);
    both.act = &fresh;
    expect(both, IFAB_CODE_REPLAY_DETECTED, "the second again");
}

static void own_key_is_rotated_by_its_own_act_and_nothing_else_is(void **state)
{
    (void)state;
    expect(with_act(rotate_command("B"), 2), IFAB_CODE_PERMISSION_DENIED, "another's key by an agent");
    expect(with_act(grant_command("A", "vault:root"), 2), IFAB_CODE_PERMISSION_DENIED, "a grant to itself");
    expect(with_act(rig_talent_command(&rig, IFAB_ACT_REMOVE, "A"), 2), IFAB_CODE_PERMISSION_DENIED, "itself");
    expect(with_act(rotate_command("A"), 2), IFAB_CODE_NONE, "its own key");
    expect(with_act(rotate_command("A"), 2), IFAB_CODE_KEY_REVOKED, "with the old key");
    expect(with_act(rotate_command("Op"), 3), IFAB_CODE_NONE, "an operator's own key");
}

/* Who is let in over TLS: an agent by its own word, as with its tokens; whoever stands above by an admin's. INV-02 */
static void tls_key_is_enrolled_by_an_admin_or_by_an_agent_for_itself(void **state)
{
    (void)state;
    expect(tls_command("A"), IFAB_CODE_PERMISSION_DENIED, "by uid");
    expect(tls_command("Op"), IFAB_CODE_PERMISSION_DENIED, "an operator's by uid");
    expect(with_act(tls_command("B"), 2), IFAB_CODE_PERMISSION_DENIED, "another agent's");
    expect(with_act(tls_command("Op"), 3), IFAB_CODE_PERMISSION_DENIED, "an operator's own word");
    expect(with_act(tls_command("A"), 3), IFAB_CODE_PERMISSION_DENIED, "an operator for an agent");
    expect(with_acts(tls_command("A"), 4, 1), IFAB_CODE_INVALID_PARAMS, "two acts where one is meant");
    expect(with_act(tls_command("A"), 2), IFAB_CODE_NONE, "an agent's own word");
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"tls_key\""));
    assert_non_null(strstr(rig_last(&rig), "\"actor\":\"if://agent/A\""));
    assert_non_null(strstr(rig_last(&rig), "\"tls_keys\":[{\"not_before\""));
    expect(with_act(tls_command("B"), 4), IFAB_CODE_NONE, "an admin for an agent");
    expect(with_act(tls_command("Op"), 4), IFAB_CODE_NONE, "an admin for an operator");
    expect(with_act(tls_command("Adm"), 4), IFAB_CODE_NONE, "an admin for itself");
    struct ifab_command used = with_act(tls_command("A"), 2), again = used;
    struct ifab_admin_act act = rig.act;
    used.act = again.act = &act;
    expect(used, IFAB_CODE_NONE, "another one");
    expect(again, IFAB_CODE_REPLAY_DETECTED, "the same act");
    assert_non_null(strstr(rig.outcome.reply.refusal.hint, "sign a new one"));
    again = with_act(again, 2);
    expect(again, IFAB_CODE_CONFLICT, "the same key");

    struct ifab_command end = rig_talent_command(&rig, IFAB_ACT_REVOKE, "A");
    end.u.talent.request.spki32 = used.u.talent.request.spki32;
    expect(with_act(end, 2), IFAB_CODE_PERMISSION_DENIED, "revoked by the agent");
    expect(end, IFAB_CODE_NONE, "revoked by an operator, as it revokes an agent's keys");
    end.u.talent.request.name = IFAB_VIEW("Op");
    expect(end, IFAB_CODE_PERMISSION_DENIED, "an operator's by uid");
    expect(with_act(rig_talent_command(&rig, IFAB_ACT_REVOKE, "A"), 4), IFAB_CODE_NONE, "every key");
    expect(with_act(tls_command("A"), 2), IFAB_CODE_KEY_REVOKED, "with a key that was revoked");
    rig_restart(&rig); /* INV-16: the records are what the log covers */
    assert_int_equal(ifab_talents_at(ifab_fabric_talents(rig.fabric), 2)->tls_key_count, 2);
}

/* The keys of its certificates are no keys that sign: the last admin may lose them, and they do not make it stay. */
static void last_admin_is_counted_by_keys_that_sign(void **state)
{
    (void)state;
    expect(with_act(rig_talent_command(&rig, IFAB_ACT_REMOVE, "operator"), 4), IFAB_CODE_NONE, "the other admin");
    struct ifab_command certificate = with_act(tls_command("Adm"), 4);
    expect(certificate, IFAB_CODE_NONE, "a certificate");
    struct ifab_command end = rig_talent_command(&rig, IFAB_ACT_REVOKE, "Adm");
    expect(with_act(end, 4), IFAB_CODE_CONFLICT, "every key of the last admin");
    end.u.talent.request.spki32 = certificate.u.talent.request.spki32;
    expect(with_act(end, 4), IFAB_CODE_NONE, "its certificate");
}

/* INV-03 */
static void act_serves_once_in_five_minutes(void **state)
{
    (void)state;
    struct ifab_command command = with_act(grant_command("A", "guard:scope"), 4);
    struct ifab_admin_act act = rig.act;
    command.act = &act;
    expect(command, IFAB_CODE_NONE, "first");
    expect(command, IFAB_CODE_REPLAY_DETECTED, "the same act");
    rig_restart(&rig);
    expect(command, IFAB_CODE_REPLAY_DETECTED, "the same act after a restart");
    act.digest16[0] ^= 1;
    expect(command, IFAB_CODE_REPLAY_DETECTED, "another act with its nonce");
    act = *rig_act(&rig, 4);
    struct ifab_command refused = grant_command("Nobody", "guard:scope");
    refused.act = &act;
    expect(refused, IFAB_CODE_TALENT_NOT_FOUND, "refused");
    refused = grant_command("A", "guard:scope");
    refused.act = &act;
    expect(refused, IFAB_CODE_NONE, "what was refused did not use up the act");

    static const struct {
        ifab_usec issued;
        enum ifab_code code;
    } times[] = {
        {-360 * IFAB_SECOND - 1, IFAB_CODE_EXPIRED_MESSAGE}, {-360 * IFAB_SECOND, IFAB_CODE_NONE},
        {60 * IFAB_SECOND + 1, IFAB_CODE_FUTURE_MESSAGE},    {60 * IFAB_SECOND, IFAB_CODE_NONE},
    };
    for (size_t i = 0; i < IFAB_COUNT(times); i++) {
        command = grant_command("A", "guard:scope");
        act = *rig_act(&rig, 4);
        act.issued_at += times[i].issued;
        command.act = &act;
        expect(command, times[i].code, "time of the act");
    }
    expect(with_act(rig_talent_command(&rig, IFAB_ACT_REVOKE, "Adm"), 1), IFAB_CODE_NONE, "revoke the admin's keys");
    expect(with_act(grant_command("A", "guard:scope"), 4), IFAB_CODE_KEY_REVOKED, "revoked admin");
    expect(with_act(grant_command("A", "guard:scope"), 77), IFAB_CODE_UNKNOWN_SENDER, "signed by nobody");
}

/* INV-16, INV-13: the stored record stands whole in the entry of each act, with who, why and a trace. */
static void entry_of_every_act_holds_the_whole_record(void **state)
{
    (void)state;
    struct ifab_command commands[7] = {
        add_command("New", IFAB_ROLE_AGENT), grant_command("New", "guard:scope"), rotate_command("New"),
        rig_talent_command(&rig, IFAB_ACT_REVOKE, "New"), rig_talent_command(&rig, IFAB_ACT_REVOKE, "New"),
        tls_command("New"), rig_talent_command(&rig, IFAB_ACT_REMOVE, "New"),
    };
    static uint8_t keys[2][32];
    memcpy(keys[0], fresh_key(), 32);
    memcpy(keys[1], fresh_key(), 32);
    commands[0].u.talent.request.pubkey32 = keys[0];
    commands[2].u.talent.request.pubkey32 = keys[1];
    commands[3].u.talent.request.scope = IFAB_VIEW("guard:scope");
    for (size_t i = 0; i < IFAB_COUNT(commands); i++) {
        expect(with_act(commands[i], 4), IFAB_CODE_NONE, "act");
        const struct rig_record *kept = rig_record(&rig, IFAB_KIND_TALENT, 6);
        const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(rig.fabric), 6);
        assert_true(ifab_view_equal(talent->record, ifab_view_of(kept->bytes, kept->size)));
        struct ifab_buf payload = IFAB_BUF_INIT(65536);
        ifab_buf_str(&payload, "\"payload\":{\"record\":");
        ifab_buf_put(&payload, kept->bytes, kept->size);
        ifab_buf_char(&payload, '}');
        const struct rig_entry *entry = &rig.entries[rig.entry_count - 1];
        assert_non_null(memmem(entry->bytes, entry->size, payload.data, payload.size));
        assert_non_null(strstr(rig_last(&rig), "\"actor\":\"if://agent/Adm\""));
        assert_non_null(strstr(rig_last(&rig), "\"why\":\"because\""));
        assert_null(strstr(rig_last(&rig), "\"trace\":null"));
        ifab_buf_fini(&payload);
    }
}

/* A request may name anything: it gets its own refusal, never an error of ours. INV-15 */
static void absurd_names_are_refused_as_what_they_are(void **state)
{
    (void)state;
    static char name[200001];
    static const size_t sizes[] = {0, 64, 65, 600, 60000, 65535, 70000, 200000};
    for (size_t i = 0; i < IFAB_COUNT(sizes); i++) {
        memset(name, 'x', sizes[i]);
        name[sizes[i]] = '\0';
        if (sizes[i] != 64)
            expect(add_command(name, IFAB_ROLE_AGENT), IFAB_CODE_INVALID_PARAMS, "add");
        expect(rig_talent_command(&rig, IFAB_ACT_REMOVE, name), IFAB_CODE_TALENT_NOT_FOUND, "remove");
        memset(name, 1, sizes[i]); /* escaped, six times as long */
        expect(rig_talent_command(&rig, IFAB_ACT_REMOVE, name), IFAB_CODE_TALENT_NOT_FOUND, "remove");
    }
}

/* ---- at a start ---- */

static ifab_status load(void)
{
    struct ifab_fabric *fabric = NULL;
    ifab_status status = rig_load_from(&rig, &rig.settings, &fabric);
    ifab_fabric_free(fabric);
    return status;
}

/* INV-16: any edited byte of any talent's record is found. */
static void edited_trust_record_is_found_at_start(void **state)
{
    (void)state;
    assert_int_equal(load(), IFAB_OK);
    for (uint64_t talent = 1; talent <= 5; talent++) {
        struct rig_record *record = rig_record(&rig, IFAB_KIND_TALENT, talent);
        for (size_t i = 0; i < record->size; i++)
            for (unsigned bit = 0; bit < 8; bit += talent == 2 ? 1 : 5) {
                record->bytes[i] ^= (uint8_t)(1U << bit);
                if (load() != IFAB_CORRUPT)
                    fail_msg("talent %llu, byte %zu, bit %u", (unsigned long long)talent, i, bit);
                record->bytes[i] ^= (uint8_t)(1U << bit);
            }
        size_t size = record->size; /* cut short, or gone: by one, in the middle, all */
        for (record->size = size - 1; record->size > 0; record->size /= 2)
            assert_int_equal(load(), IFAB_CORRUPT);
        record->size = size;
        uint8_t *bytes = record->bytes;
        record->bytes = NULL;
        assert_int_equal(load(), IFAB_CORRUPT);
        record->bytes = bytes;
    }
    assert_int_equal(load(), IFAB_OK);
}

/* INV-16: an older version of a record, valid by itself, is not what the log covers either; nor are other rules. */
static void older_record_and_other_rules_are_found_at_start(void **state)
{
    (void)state;
    struct rig_record *record = rig_record(&rig, IFAB_KIND_TALENT, 2), old = *record;
    old.bytes = rig_copy(ifab_view_of(record->bytes, record->size));
    expect(grant_command("A", "guard:scope"), IFAB_CODE_NONE, "grant");
    assert_int_equal(load(), IFAB_OK);
    struct rig_record now = *record;
    record->bytes = old.bytes;
    record->size = old.size;
    assert_int_equal(load(), IFAB_CORRUPT);
    *record = now;
    free(old.bytes);
    struct rig_record *meta = rig_record(&rig, IFAB_KIND_META, 0);
    meta->bytes[IFAB_META_PACKED - 1] ^= 1;
    assert_int_equal(load(), IFAB_CORRUPT);
    meta->bytes[IFAB_META_PACKED - 1] ^= 1;
    rig.head.root32[0] ^= 1;
    assert_int_equal(load(), IFAB_CORRUPT);
    rig.head.root32[0] ^= 1;
    rig.head.edge[8] ^= 1;
    assert_int_equal(load(), IFAB_CORRUPT);
    rig.head.edge[8] ^= 1;
    rig_keep_record(&rig, 99, 1, IFAB_VIEW("?")); /* of no kind */
    assert_int_equal(load(), IFAB_CORRUPT);
    rig_keep_record(&rig, 99, 1, IFAB_VIEW(""));
    assert_int_equal(load(), IFAB_OK);
}

/* Records that are not trust records: cut short they are not taken for others. */
static void damaged_live_record_is_found_at_start(void **state)
{
    (void)state;
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_ESCALATED);
    struct ifab_command command = grant_command("A", "guard:scope");
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_ESCALATE);
    command.idempotency = IFAB_VIEW("key");
    command.request16[0] = 1;
    expect(command, IFAB_CODE_NONE, "grant");
    unsigned kinds = 0;
    for (size_t i = 0; i < rig.record_count; i++) {
        struct rig_record *record = &rig.records[i];
        if (record->bytes == NULL || record->kind == IFAB_KIND_TALENT)
            continue;
        kinds |= 1U << record->kind;
        size_t size = record->size;
        for (record->size = 0; record->size < size; record->size++) {
            if (record->kind == IFAB_KIND_IDEMPOTENCY && record->size >= 64)
                continue; /* the answer's own bytes */
            if (record->size > 0 && load() != IFAB_CORRUPT)
                fail_msg("record of kind %u cut to %zu bytes", record->kind, record->size);
        }
    }
    assert_int_equal(kinds, 1U << IFAB_KIND_META | 1U << IFAB_KIND_SEQUENCE | 1U << IFAB_KIND_CONVERSATION | 1U << IFAB_KIND_DECISION |
                                1U << IFAB_KIND_BUCKET | 1U << IFAB_KIND_IDEMPOTENCY);
    assert_int_equal(load(), IFAB_OK);
}

/* ---- restore ---- */

static void restored_fabric_states_its_talents_and_takes_nothing_older(void **state)
{
    (void)state;
    static struct rig old;
    struct ifab_fabric_settings settings;
    struct rig_message before = rig_message(&rig, "if://agent/A", RIG_SHARED);
    assert_int_equal(rig_decision(&rig, &before), IFAB_DECISION_SHARE);
    uint64_t held = rig_message(&rig, "if://agent/A", RIG_HELD).id;
    expect(with_act(rig_talent_command(&rig, IFAB_ACT_REMOVE, "B"), 4), IFAB_CODE_NONE, "remove");
    old = rig;
    settings = old.settings;
    snprintf(settings.origin, sizeof settings.origin, "test.local/main/00000002");
    settings.fence_offset = (uint64_t)7 << 32;
    settings.rules.loaded = true;
    rig_begin(&rig, &settings);
    for (size_t i = 1; i <= 5; i++) {
        rig.talents[i] = old.talents[i];
        old.talents[i].signer = NULL;
    }
    rig.n = old.n;
    rig.now = old.now;
    rig.now.wall += 10 * IFAB_SECOND;
    struct ifab_command command = {.type = IFAB_COMMAND_RESTORE, .why = IFAB_VIEW("the disk died")};
    command.u.restore.old_checkpoint = IFAB_VIEW("test.local/main/00000001\n8\nAAAA\n\n— x y\n");
    command.u.restore.old_origin = IFAB_VIEW("test.local/main/00000001");
    command.u.restore.old_size = old.entry_count;
    command.u.restore.version = "0.1.0";
    command.u.restore.talents = ifab_fabric_talents(old.fabric);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_int_equal(rig.entry_count, 6); /* entry 0 and one a talent, removed ones too: names are never used again */
    assert_non_null(strstr(rig_entry_text(&rig, 0), "\"operation\":\"restore\""));
    for (uint32_t i = 1; i <= 5; i++) {
        const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(rig.fabric), i);
        assert_true(ifab_view_equal(talent->record, ifab_talents_at(ifab_fabric_talents(old.fabric), i)->record));
        assert_non_null(memmem(rig.entries[i].bytes, rig.entries[i].size, talent->record.data, talent->record.size));
        assert_non_null(strstr(rig_entry_text(&rig, i), "\"why_from\":0"));
    }
    rig_rules(&rig, &settings.rules);
    for (int restarted = 0; restarted < 2; restarted++) {
        assert_int_equal(rig_send(&rig, &before), IFAB_CODE_EXPIRED_MESSAGE); /* taken before: must not pass a second time */
        struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
        m.issued_at = old.now.wall + 70 * IFAB_SECOND; /* the newest that the lost part may have taken */
        assert_int_equal(rig_send(&rig, &m), IFAB_CODE_EXPIRED_MESSAGE);
        assert_null(rig_open(&rig, held)); /* what waited is void */
        struct ifab_meta meta;
        ifab_fabric_meta(rig.fabric, rig.now, &meta);
        assert_int_equal(meta.fence_offset, (uint64_t)7 << 32);
        rig.settings.fence_offset = 0; /* what is stored wins */
        rig_restart(&rig);
    }
    rig.now.wall += 61 * IFAB_SECOND;
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_SHARED);
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_SHARE);

    size_t entries = rig.entry_count; /* not into a log that has entries */
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_SYSTEM_ERROR);
    assert_int_equal(rig.entry_count, entries);
    struct ifab_command init = {.type = IFAB_COMMAND_INIT, .why = IFAB_VIEW("again")};
    init.u.init.version = "0.1.0";
    memcpy(init.u.init.operator_key32, fresh_key(), 32);
    assert_int_equal(rig_do(&rig, &init)->code, IFAB_CODE_CONFLICT);
    assert_int_equal(rig.entry_count, entries);
    rig_free(&old);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operator_by_uid_handles_agents_and_nothing_above, setup, teardown),
        cmocka_unit_test_setup_teardown(others_than_operators_do_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(admin_act_does_what_the_uid_may_not, setup, teardown),
        cmocka_unit_test_setup_teardown(sensitive_grants_need_two_admins_of_different_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(own_key_is_rotated_by_its_own_act_and_nothing_else_is, setup, teardown),
        cmocka_unit_test_setup_teardown(tls_key_is_enrolled_by_an_admin_or_by_an_agent_for_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(last_admin_is_counted_by_keys_that_sign, setup, teardown),
        cmocka_unit_test_setup_teardown(act_serves_once_in_five_minutes, setup, teardown),
        cmocka_unit_test_setup_teardown(entry_of_every_act_holds_the_whole_record, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_names_are_refused_as_what_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(edited_trust_record_is_found_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(older_record_and_other_rules_are_found_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_live_record_is_found_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(restored_fabric_states_its_talents_and_takes_nothing_older, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
