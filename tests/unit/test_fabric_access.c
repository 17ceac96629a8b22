/* Tokens, invites and enrolments as commands: authority, what stands in the log, what a start finds, what time ends. INV-02, INV-13,
 * INV-16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#include "base/id.h"

static struct rig rig;
static uint8_t hash32[32], id16[16], pubkey32[32];
enum { ADM = 2, A, OPS };

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    assert_int_equal(rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT), ADM);
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT), A);
    assert_int_equal(rig_add(&rig, "Ops", "olga", IFAB_ROLE_OPERATOR, 11, IFAB_ORDER_STRICT), OPS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

static struct ifab_command access_command(enum ifab_command_type type, const char *talent, enum ifab_role role)
{
    uint64_t n = ++rig.n;
    struct ifab_command command = {.type = type, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    memset(hash32, 0, 32);
    memcpy(hash32, &n, 8);
    memcpy(hash32 + 3, &n, 7); /* the first bits of the ten give way to version and variant */
    ifab_uuid7_make(rig.now.wall, hash32, id16);
    command.u.access.request =
        (struct ifab_access_request){.talent = ifab_view_str(talent), .role = role, .hash32 = hash32, .id16 = id16, .ttl = IFAB_HOUR};
    if (type == IFAB_COMMAND_INVITE)
        command.u.access.request.role_name = ifab_view_str(ifab_role_name(role));
    return command;
}

static enum ifab_code token(const char *talent, enum ifab_role role, uint32_t signer)
{
    struct ifab_command command = access_command(IFAB_COMMAND_TOKEN, talent, role);
    command.act = signer == 0 ? NULL : rig_act(&rig, signer);
    return rig_do(&rig, &command)->code;
}

static enum ifab_code revoke(const uint8_t of16[16], uint32_t signer)
{
    char text[41] = "tok-";
    struct ifab_command command = {.type = IFAB_COMMAND_TOKEN, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    ifab_uuid_format(of16, text + 4);
    command.u.access.revoke = ifab_view_str(text);
    command.act = signer == 0 ? NULL : rig_act(&rig, signer);
    return rig_do(&rig, &command)->code;
}

static enum ifab_code invite(const char *name, enum ifab_role role, uint32_t signer)
{
    struct ifab_command command = access_command(IFAB_COMMAND_INVITE, name, role);
    command.act = signer == 0 ? NULL : rig_act(&rig, signer);
    return rig_do(&rig, &command)->code;
}

static enum ifab_code enroll(const uint8_t code32[32], uint8_t seed)
{
    struct ifab_principal nobody = {.kind = IFAB_PRINCIPAL_NONE, .actor = "tcp:127.0.0.1:1"};
    struct ifab_command command = {.type = IFAB_COMMAND_ENROLL, .principal = &nobody};
    struct ifab_signer *signer = make_signer(seed);
    ifab_signer_public(signer, pubkey32);
    ifab_signer_free(signer);
    memcpy(command.u.enroll.code_hash32, code32, 32);
    memcpy(command.u.enroll.pubkey32, pubkey32, 32);
    command.u.enroll.source = IFAB_VIEW("127.0.0.1");
    return rig_do(&rig, &command)->code;
}

static const struct ifab_access_item *kept(enum ifab_access_kind kind)
{
    return ifab_accesses_by_hash(ifab_fabric_accesses(rig.fabric), kind, hash32);
}

/* Each who and for whom: SURFACE section 8. */
static void who_may_make_tokens_for_whom(void **state)
{
    (void)state;
    static const struct {
        const char *talent;
        enum ifab_role role;
        uint32_t signer;
        enum ifab_code code;
    } cases[] = {
        {"A", IFAB_ROLE_NONE, 0, IFAB_CODE_NONE},
        {"A", IFAB_ROLE_AGENT, 0, IFAB_CODE_NONE},
        {"A", IFAB_ROLE_READONLY, 0, IFAB_CODE_PERMISSION_DENIED},
        {"A", IFAB_ROLE_OPERATOR, 0, IFAB_CODE_PERMISSION_DENIED},
        {"A", IFAB_ROLE_OPERATOR, ADM, IFAB_CODE_NONE},
        {"A", IFAB_ROLE_NONE, A, IFAB_CODE_NONE},
        {"A", IFAB_ROLE_OPERATOR, A, IFAB_CODE_PERMISSION_DENIED},
        {"A", IFAB_ROLE_NONE, OPS, IFAB_CODE_PERMISSION_DENIED},
        {"Ops", IFAB_ROLE_NONE, 0, IFAB_CODE_PERMISSION_DENIED},
        {"Ops", IFAB_ROLE_AGENT, 0, IFAB_CODE_PERMISSION_DENIED},
        {"Ops", IFAB_ROLE_NONE, OPS, IFAB_CODE_PERMISSION_DENIED},
        {"Ops", IFAB_ROLE_NONE, A, IFAB_CODE_PERMISSION_DENIED},
        {"Ops", IFAB_ROLE_NONE, ADM, IFAB_CODE_NONE},
        {"Adm", IFAB_ROLE_NONE, 0, IFAB_CODE_PERMISSION_DENIED},
        {"Adm", IFAB_ROLE_NONE, ADM, IFAB_CODE_NONE},
        {"Nobody", IFAB_ROLE_NONE, 0, IFAB_CODE_TALENT_NOT_FOUND},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        enum ifab_code code = token(cases[i].talent, cases[i].role, cases[i].signer);
        if (code != cases[i].code)
            fail_msg("case %zu: %d, expected %d", i, (int)code, (int)cases[i].code);
        assert_int_equal(kept(IFAB_ACCESS_TOKEN) != NULL, code == IFAB_CODE_NONE);
    }
    for (enum ifab_role role = IFAB_ROLE_READONLY; role <= IFAB_ROLE_ADMIN; role++) {
        assert_int_equal(invite("New", role, 0), IFAB_CODE_PERMISSION_DENIED);
        assert_int_equal(invite("New", role, OPS), IFAB_CODE_PERMISSION_DENIED);
        assert_int_equal(invite("New", role, A), IFAB_CODE_PERMISSION_DENIED);
        assert_int_equal(invite("New", role, ADM), IFAB_CODE_NONE);
    }
    assert_int_equal(invite("Other", IFAB_ROLE_AGENT, 0), IFAB_CODE_NONE);
    rig.principal.role = IFAB_ROLE_READONLY;
    assert_int_equal(token("A", IFAB_ROLE_NONE, 0), IFAB_CODE_PERMISSION_DENIED);
    rig.principal.role = IFAB_ROLE_AGENT;
    assert_int_equal(token("A", IFAB_ROLE_NONE, 0), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(invite("New", IFAB_ROLE_AGENT, 0), IFAB_CODE_PERMISSION_DENIED);
}

/* INV-16: the record stands whole in its entry, and a start takes the same bytes in again. */
static void records_stand_whole_in_entries_and_outlive_a_restart(void **state)
{
    (void)state;
    assert_int_equal(token("A", IFAB_ROLE_NONE, 0), IFAB_CODE_NONE);
    char expected[1200];
    snprintf(expected, sizeof expected, "\"payload\":{\"token\":" IFAB_FMT "}", IFAB_ARG(kept(IFAB_ACCESS_TOKEN)->record));
    assert_non_null(strstr(rig_last(&rig), expected));
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"token_create\""));
    rig_restart(&rig);
    assert_non_null(kept(IFAB_ACCESS_TOKEN));
    assert_int_equal(invite("New", IFAB_ROLE_AUDITOR, ADM), IFAB_CODE_NONE);
    snprintf(expected, sizeof expected, "\"payload\":{\"invite\":" IFAB_FMT "}", IFAB_ARG(kept(IFAB_ACCESS_INVITE)->record));
    assert_non_null(strstr(rig_last(&rig), expected));
    rig_restart(&rig);
    assert_non_null(kept(IFAB_ACCESS_INVITE));
}

/* INV-16: any bit of a stored token or invite changed, the record gone, or one more: no start. */
static void edited_records_are_found_at_a_start(void **state)
{
    (void)state;
    assert_int_equal(token("A", IFAB_ROLE_NONE, 0), IFAB_CODE_NONE);
    uint64_t numbers[2] = {kept(IFAB_ACCESS_TOKEN)->number};
    assert_int_equal(invite("New", IFAB_ROLE_AGENT, 0), IFAB_CODE_NONE);
    numbers[1] = kept(IFAB_ACCESS_INVITE)->number;
    struct ifab_fabric *fabric = NULL;
    for (int kind = 0; kind < 2; kind++) {
        struct rig_record *record = rig_record(&rig, kind == 0 ? IFAB_KIND_TOKEN : IFAB_KIND_INVITE, numbers[kind]);
        for (size_t i = 0; i < record->size; i++) {
            record->bytes[i] ^= 1;
            assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
            record->bytes[i] ^= 1;
        }
        uint8_t *bytes = record->bytes;
        record->bytes = NULL;
        assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
        record->bytes = bytes;
    }
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_OK);
    ifab_fabric_free(fabric);
}

static void revoked_by_whom_it_may_be(void **state)
{
    (void)state;
    uint8_t of_a[16], of_ops[16];
    assert_int_equal(token("A", IFAB_ROLE_NONE, 0), IFAB_CODE_NONE);
    memcpy(of_a, id16, 16);
    assert_int_equal(token("Ops", IFAB_ROLE_NONE, ADM), IFAB_CODE_NONE);
    memcpy(of_ops, id16, 16);
    assert_int_equal(revoke(of_ops, 0), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(revoke(of_ops, A), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(revoke(of_a, OPS), IFAB_CODE_PERMISSION_DENIED);
    uint64_t version = ifab_fabric_access_version(rig.fabric);
    assert_int_equal(revoke(of_a, A), IFAB_CODE_NONE);
    assert_true(ifab_fabric_access_version(rig.fabric) > version);
    assert_int_equal(revoke(of_a, A), IFAB_CODE_NOT_FOUND);
    assert_int_equal(revoke(of_ops, ADM), IFAB_CODE_NONE);
    rig_restart(&rig);
    const struct ifab_accesses *all = ifab_fabric_accesses(rig.fabric);
    assert_int_not_equal(ifab_accesses_by_id(all, IFAB_ACCESS_TOKEN, of_a)->revoked_at, IFAB_NEVER);
    assert_int_not_equal(ifab_accesses_by_id(all, IFAB_ACCESS_TOKEN, of_ops)->revoked_at, IFAB_NEVER);
}

/* Made and revoked for ever: what is remembered of one talent has a bound, so that it cannot fill the table for others. */
static void revoked_tokens_do_not_fill_the_table(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        if (token("A", IFAB_ROLE_NONE, 0) != IFAB_CODE_NONE)
            fail_msg("%d: %s", i, rig.outcome.reply.refusal.message);
        assert_int_equal(revoke(id16, 0), IFAB_CODE_NONE);
    }
    assert_int_equal(ifab_accesses_count(ifab_fabric_accesses(rig.fabric), IFAB_ACCESS_TOKEN), IFAB_TOKEN_PER_TALENT);
    rig_restart(&rig);
}

static void time_ends_tokens_and_invites_at_a_tick(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(token("A", IFAB_ROLE_NONE, 0), IFAB_CODE_NONE);
        assert_int_equal(invite("New", IFAB_ROLE_AGENT, 0), IFAB_CODE_NONE); /* each takes the place of the one before */
    }
    const struct ifab_accesses *all = ifab_fabric_accesses(rig.fabric);
    assert_int_equal(ifab_accesses_count(all, IFAB_ACCESS_TOKEN), 40);
    assert_int_equal(ifab_accesses_count(all, IFAB_ACCESS_INVITE), 1);
    rig_pass(&rig, IFAB_HOUR - IFAB_SECOND);
    assert_int_equal(ifab_accesses_count(all, IFAB_ACCESS_TOKEN), 40);
    rig_pass(&rig, 3 * IFAB_SECOND);
    assert_null(ifab_accesses_next(all, 0));
    rig_restart(&rig);
    assert_null(ifab_accesses_next(ifab_fabric_accesses(rig.fabric), 0));
}

/* A code works once; used, ended and unknown ones get one refusal, no entry, and are counted for who is at the other end. */
static void a_code_enrols_once(void **state)
{
    (void)state;
    uint8_t code32[32], ended32[32], wrong32[32] = {7};
    assert_int_equal(invite("Old", IFAB_ROLE_AGENT, 0), IFAB_CODE_NONE);
    memcpy(ended32, hash32, 32);
    rig.now.wall += IFAB_HOUR; /* no TICK has come: it is refused all the same */
    assert_int_equal(invite("New", IFAB_ROLE_AGENT, 0), IFAB_CODE_NONE);
    memcpy(code32, hash32, 32);
    size_t entries = rig.entry_count;
    assert_int_equal(enroll(wrong32, 40), IFAB_CODE_PERMISSION_DENIED);
    char first[240];
    snprintf(first, sizeof first, "%s", rig.outcome.reply.refusal.message);
    assert_int_equal(rig.outcome.count_code, IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(enroll(ended32, 40), IFAB_CODE_PERMISSION_DENIED);
    assert_string_equal(rig.outcome.reply.refusal.message, first);
    assert_int_equal(rig.entry_count, entries);
    assert_int_equal(enroll(code32, 40), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 201);
    assert_non_null(strstr(rig_last(&rig), "\"operation\":\"enroll\""));
    const struct ifab_talent *talent = ifab_talents_find(ifab_fabric_talents(rig.fabric), IFAB_VIEW("New"));
    assert_non_null(talent);
    char record[2048];
    snprintf(record, sizeof record, "\"record\":" IFAB_FMT, IFAB_ARG(talent->record));
    assert_non_null(strstr(rig_last(&rig), record));
    assert_memory_equal(talent->keys[0].pubkey32, pubkey32, 32);
    entries = rig.entry_count;
    assert_int_equal(enroll(code32, 41), IFAB_CODE_PERMISSION_DENIED);
    assert_string_equal(rig.outcome.reply.refusal.message, first);
    rig_restart(&rig);
    assert_int_equal(enroll(code32, 41), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rig.entry_count, entries);
}

/* INV-02: a key of another, also a revoked one, is refused; the code stays good. */
static void a_key_has_one_holder(void **state)
{
    (void)state;
    uint8_t code32[32];
    assert_int_equal(invite("New", IFAB_ROLE_OPERATOR, ADM), IFAB_CODE_NONE);
    memcpy(code32, hash32, 32);
    assert_int_equal(enroll(code32, 10), IFAB_CODE_CONFLICT); /* A's */
    struct ifab_command remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, "A");
    assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
    assert_int_equal(enroll(code32, 10), IFAB_CODE_CONFLICT);
    assert_int_equal(enroll(code32, 42), IFAB_CODE_NONE);
    assert_int_equal(ifab_talents_find(ifab_fabric_talents(rig.fabric), IFAB_VIEW("New"))->role, IFAB_ROLE_OPERATOR);
}

/* The name may be taken meanwhile: refused, and the invite is of no use any more until its hour has passed. */
static void a_name_taken_meanwhile_is_refused(void **state)
{
    (void)state;
    uint8_t code32[32];
    assert_int_equal(invite("New", IFAB_ROLE_AGENT, 0), IFAB_CODE_NONE);
    memcpy(code32, hash32, 32);
    rig_add(&rig, "New", "", IFAB_ROLE_AGENT, 43, IFAB_ORDER_STRICT);
    assert_int_equal(enroll(code32, 44), IFAB_CODE_CONFLICT);
}

/* Answers with secrets are not kept: the repeat is told so, and does nothing. */
static void a_repeat_under_the_same_key_is_409(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct ifab_command command = kind == 0 ? access_command(IFAB_COMMAND_TOKEN, "A", IFAB_ROLE_NONE)
                                                : access_command(IFAB_COMMAND_INVITE, "New", IFAB_ROLE_AGENT);
        command.idempotency = IFAB_VIEW("once");
        command.request16[0] = (uint8_t)(kind + 1);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        size_t entries = rig.entry_count;
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
        assert_string_equal(rig.outcome.reply.refusal.field, "Idempotency-Key");
        rig_restart(&rig);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
        assert_int_equal(rig.entry_count, entries);
    }
}

/* INV-01 INV-02: over this code, this key, this log, by this key; nothing else. */
static void a_proof_is_good_for_one_code_key_and_log(void **state)
{
    (void)state;
    static const char code[] = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ23-4567";
    struct ifab_signer *signer = make_signer(50), *other = make_signer(51);
    uint8_t key32[32], other32[32];
    ifab_signer_public(signer, key32);
    ifab_signer_public(other, other32);
    const struct {
        const char *code, *log;
        const uint8_t *sent32;
        const struct ifab_signer *signs;
        enum ifab_code expected;
    } cases[] = {
        {code, RIG_ORIGIN, key32, signer, IFAB_CODE_NONE},
        {"BBCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ23-4567", RIG_ORIGIN, key32, signer, IFAB_CODE_INVALID_SIGNATURE},
        {code, "other/main/1", key32, signer, IFAB_CODE_INVALID_SIGNATURE},
        {code, RIG_ORIGIN, other32, signer, IFAB_CODE_INVALID_SIGNATURE},
        {code, RIG_ORIGIN, key32, other, IFAB_CODE_INVALID_SIGNATURE},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_buf covered = IFAB_BUF_INIT(4096), body = IFAB_BUF_INIT(4096);
        struct ifab_command command = {.type = IFAB_COMMAND_NONE};
        struct ifab_refusal refusal = {0};
        uint8_t sig64[64], hash[32];
        ifab_buf_format(&covered, "IF-ENROLL-v1\n{\"code\":\"%s\",\"log\":\"%s\",\"pubkey\":\"", cases[i].code, cases[i].log);
        ifab_buf_base64url(&covered, key32, 32);
        ifab_buf_str(&covered, "\",\"v\":1}");
        ifab_signer_sign(cases[i].signs, ifab_buf_as_view(&covered), sig64);
        ifab_buf_format(&body, "{\"code\":\"%s\",\"pubkey\":\"", code);
        ifab_buf_base64url(&body, cases[i].sent32, 32);
        ifab_buf_str(&body, "\",\"proof\":\"");
        ifab_buf_base64url(&body, sig64, 64);
        ifab_buf_str(&body, "\"}");
        assert_int_equal(ifab_admit_enroll(ifab_buf_as_view(&body), IFAB_VIEW(RIG_ORIGIN), &rig.arena, &command, &refusal),
                         cases[i].expected);
        assert_int_equal(command.type, cases[i].expected == IFAB_CODE_NONE ? IFAB_COMMAND_ENROLL : IFAB_COMMAND_NONE);
        if (cases[i].expected == IFAB_CODE_NONE) {
            ifab_sha256(ifab_view_str(code), hash);
            assert_memory_equal(command.u.enroll.code_hash32, hash, 32);
            assert_memory_equal(command.u.enroll.pubkey32, key32, 32);
        }
        ifab_buf_fini(&covered);
        ifab_buf_fini(&body);
    }
    ifab_signer_free(signer);
    ifab_signer_free(other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(who_may_make_tokens_for_whom),
        T(records_stand_whole_in_entries_and_outlive_a_restart),
        T(edited_records_are_found_at_a_start),
        T(revoked_by_whom_it_may_be),
        T(revoked_tokens_do_not_fill_the_table),
        T(time_ends_tokens_and_invites_at_a_tick),
        T(a_code_enrols_once),
        T(a_key_has_one_holder),
        T(a_name_taken_meanwhile_is_refused),
        T(a_proof_is_good_for_one_code_key_and_log),
        T(a_repeat_under_the_same_key_is_409),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
