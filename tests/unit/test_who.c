/* Who asks: token, client certificate, both, uid, nobody; what is not good is refused and never falls back. SURFACE section 8; INV-01, INV-02 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "../../src/shell/loop/node.h"
#include "rig.h"

#define TOKEN_A "ift_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define TOKEN_B "ift_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9"

enum { A = 2, B, OPS, ADM };
static struct rig rig;
static struct node node;
static struct ifab_http_peer peer;
static struct who who;
static char text[WHO_TEXT];
static uint8_t spki[6][32]; /* of A, B, Ops, Adm; of A, to be revoked; of nobody */
static uint8_t token_a16[16];

static void tls_key(const char *name, unsigned place, ifab_usec expires_at)
{
    struct ifab_command command = rig_talent_command(&rig, IFAB_ACT_TLS_KEY, name);
    memset(spki[place], 0x40 + (int)place, 32);
    command.u.talent.request.spki32 = spki[place];
    command.u.talent.request.overlap = IFAB_NEVER;
    command.u.talent.request.expires_at = expires_at;
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

static void token(const char *name, const char *secret, ifab_usec ttl)
{
    uint8_t hash32[32], id16[16], random[16];
    struct ifab_command command = {.type = IFAB_COMMAND_TOKEN, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    ifab_sha256(ifab_view_str(secret), hash32);
    memcpy(random, hash32, 16);
    ifab_uuid7_make(rig.now.wall, random, id16);
    command.u.access.request = (struct ifab_access_request){.talent = ifab_view_str(name), .hash32 = hash32, .id16 = id16, .ttl = ttl};
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    if (strcmp(secret, TOKEN_A) == 0)
        memcpy(token_a16, id16, 16);
}

static int setup(void **state)
{
    (void)state;
    memset(&node, 0, sizeof node);
    rig_new(&rig, NULL);
    clock_start(&node.clock, clock_real(), clock_boot(), 0, 0, false);
    rig.now.wall = clock_now(&node.clock, NULL).wall - IFAB_HOUR;
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT), A);
    assert_int_equal(rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT), B);
    assert_int_equal(rig_add(&rig, "Ops", "olga", IFAB_ROLE_OPERATOR, 12, IFAB_ORDER_STRICT), OPS);
    assert_int_equal(rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 13, IFAB_ORDER_STRICT), ADM);
    tls_key("A", 0, IFAB_NEVER);
    tls_key("B", 1, IFAB_NEVER);
    tls_key("Ops", 2, IFAB_NEVER);
    tls_key("Adm", 3, IFAB_NEVER);
    tls_key("A", 4, rig.now.wall + 3 * IFAB_HOUR);
    memset(spki[5], 0xee, 32);
    token("A", TOKEN_A, 2 * IFAB_HOUR);
    token("B", TOKEN_B, 2 * IFAB_HOUR);
    node.fabric = rig.fabric;
    ifab_metrics_init(&node.metrics, "test");
    assert_int_equal(charges_init(&node.charges, 1), IFAB_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    charges_fini(&node.charges);
    rig_free(&rig);
    return 0;
}

/* Over TCP, with a certificate (NULL: none) and Authorization lines (NULL: none). */
static enum ifab_code ask(const uint8_t *key32, const char *one, const char *two)
{
    struct ifab_http_header headers[2] = {{.name = IFAB_VIEW("Authorization")}, {.name = IFAB_VIEW("authorization")}};
    struct ifab_http_request raw = {.peer = &peer, .headers = headers, .method = IFAB_HTTP_GET};
    peer = (struct ifab_http_peer){.tls = true, .address = "127.0.0.1:4000", .has_key = key32 != NULL};
    if (key32 != NULL)
        memcpy(peer.key32, key32, 32);
    if (one != NULL)
        headers[raw.header_count++].value = ifab_view_str(one);
    if (two != NULL)
        headers[raw.header_count++].value = ifab_view_str(two);
    memset(&who, 0xff, sizeof who);
    memset(text, 0, sizeof text);
    enum ifab_code code = who_is(&node, &raw, &who, text);
    if (code != IFAB_CODE_NONE) { /* nothing of a proof that failed is left */
        assert_int_equal(who.principal.kind, IFAB_PRINCIPAL_NONE);
        assert_int_equal(who.roles, 0);
        assert_false(who.has_key || who.has_token);
        assert_true(text[0] != '\0');
    }
    return code;
}

static void end_keys(const char *name, const uint8_t *spki32, bool whole)
{
    struct ifab_command command = rig_talent_command(&rig, whole ? IFAB_ACT_REMOVE : IFAB_ACT_REVOKE, name);
    command.u.talent.request.spki32 = spki32;
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
}

static bool stays(ifab_usec wall, ifab_usec *ret_ends)
{
    struct request r = {.principal = who.principal, .has_token = who.has_token, .has_key = who.has_key};
    memcpy(r.token16, who.token16, 16);
    memcpy(r.key32, who.key32, 32);
    return who_stays(&node, &r, wall, ret_ends);
}

static void certificate_is_its_talent_with_its_role(void **state)
{
    (void)state;
    static const struct {
        unsigned place;
        uint32_t talent;
        enum ifab_role acts_as, route_role;
        const char *actor;
    } rows[] = {
        {0, A, IFAB_ROLE_AGENT, IFAB_ROLE_AGENT, "if://agent/A"},
        {1, B, IFAB_ROLE_AGENT, IFAB_ROLE_AGENT, "if://agent/B"},
        {2, OPS, IFAB_ROLE_OPERATOR, IFAB_ROLE_OPERATOR, "if://agent/Ops"},
        {3, ADM, IFAB_ROLE_OPERATOR, IFAB_ROLE_ADMIN, "if://agent/Adm"}, /* never an admin without a signature over the act */
        {4, A, IFAB_ROLE_AGENT, IFAB_ROLE_AGENT, "if://agent/A"},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        assert_int_equal(ask(spki[rows[i].place], NULL, NULL), IFAB_CODE_NONE);
        assert_int_equal(who.principal.kind, IFAB_PRINCIPAL_TALENT);
        assert_int_equal(who.principal.talent, rows[i].talent);
        assert_int_equal(who.principal.role, rows[i].acts_as);
        assert_int_equal(who.roles, ROLE_BIT(rows[i].route_role));
        assert_string_equal(who.principal.actor, rows[i].actor);
        assert_true(who.has_key && !who.has_token);
        assert_memory_equal(who.key32, spki[rows[i].place], 32);
    }
    assert_int_equal(who.ends, ifab_talents_at(ifab_fabric_talents(rig.fabric), A)->tls_keys[1].not_after);
    assert_int_equal(ask(NULL, NULL, NULL), IFAB_CODE_NONE); /* none: nobody, open routes only */
    assert_int_equal(who.principal.kind, IFAB_PRINCIPAL_NONE);
    assert_int_equal(who.roles, 0);
}

static void certificate_that_is_not_good_is_refused(void **state)
{
    (void)state;
    uint8_t one_bit[32], signs32[32], pubkey32[32];
    memcpy(one_bit, spki[0], 32);
    one_bit[31] ^= 1;
    ifab_signer_public(rig.talents[A].signer, pubkey32);
    ifab_spki_digest(pubkey32, signs32);
    assert_int_equal(ask(spki[5], NULL, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(one_bit, NULL, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(signs32, NULL, NULL), IFAB_CODE_INVALID_TOKEN); /* a key that signs messages: another use */
    end_keys("A", spki[4], false);
    assert_int_equal(ask(spki[4], NULL, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(spki[0], NULL, NULL), IFAB_CODE_NONE);
    tls_key("Ops", 5, rig.now.wall + IFAB_MINUTE); /* has ended by now */
    assert_int_equal(ask(spki[5], NULL, NULL), IFAB_CODE_INVALID_TOKEN);
    end_keys("B", NULL, true);
    assert_int_equal(ask(spki[1], NULL, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(spki[1], "Bearer " TOKEN_A, NULL), IFAB_CODE_INVALID_TOKEN);
}

/* A stolen token under the thief's own certificate; a good certificate with a token that is not. */
static void token_and_certificate_are_both_good_and_of_one_talent(void **state)
{
    (void)state;
    assert_int_equal(ask(NULL, "Bearer " TOKEN_A, NULL), IFAB_CODE_NONE);
    assert_int_equal(ask(spki[0], "Bearer " TOKEN_A, NULL), IFAB_CODE_NONE);
    assert_true(who.has_key && who.has_token);
    assert_int_equal(who.principal.talent, A);
    assert_int_equal(ask(spki[1], "Bearer " TOKEN_A, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_non_null(strstr(text, "another talent's"));
    assert_int_equal(ask(spki[3], "Bearer " TOKEN_A, NULL), IFAB_CODE_INVALID_TOKEN); /* an admin's too */
    assert_int_equal(ask(spki[0], "Bearer " TOKEN_B, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(spki[5], "Bearer " TOKEN_A, NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(spki[0], "Bearer ift_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4", NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(spki[0], "", NULL), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(spki[0], "Bearer " TOKEN_A, "Bearer " TOKEN_A), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(ask(NULL, "Bearer " TOKEN_A, "Bearer " TOKEN_B), IFAB_CODE_INVALID_TOKEN);
}

/* What is open ends with the first of both: by revocation, by time, with the talent. */
static void who_is_in_stays_as_long_as_every_proof_is_good(void **state)
{
    (void)state;
    ifab_usec wall = clock_now(&node.clock, NULL).wall, ends = 0;
    assert_int_equal(ask(spki[4], "Bearer " TOKEN_A, NULL), IFAB_CODE_NONE);
    ifab_usec token_ends = ifab_accesses_by_id(ifab_fabric_accesses(rig.fabric), IFAB_ACCESS_TOKEN, token_a16)->expires;
    ifab_usec key_ends = ifab_talents_at(ifab_fabric_talents(rig.fabric), A)->tls_keys[1].not_after;
    assert_true(wall < token_ends && token_ends < key_ends);
    assert_int_equal(who.ends, token_ends);
    assert_true(stays(wall, &ends));
    assert_int_equal(ends, token_ends);
    assert_false(stays(token_ends, &ends));
    who.has_token = false; /* by the certificate alone */
    assert_true(stays(token_ends, &ends));
    assert_int_equal(ends, key_ends);
    assert_false(stays(key_ends, &ends));
    end_keys("A", spki[4], false);
    assert_false(stays(wall, &ends));
    who.has_token = true;
    assert_false(stays(wall, &ends)); /* the token is good, the certificate is not */
    assert_int_equal(ask(spki[0], NULL, NULL), IFAB_CODE_NONE);
    assert_true(stays(wall, &ends));
    assert_int_equal(ends, IFAB_NEVER);
    memcpy(who.key32, spki[1], 32); /* another talent's, good as it is */
    assert_false(stays(wall, &ends));
    memcpy(who.key32, spki[0], 32);
    assert_true(stays(wall, &ends));
    who.has_key = false; /* by a uid that stands for the talent */
    assert_true(stays(wall, &ends));
    end_keys("A", NULL, true);
    assert_false(stays(wall, &ends));
    who.has_key = true;
    assert_false(stays(wall, &ends));
    assert_int_equal(ask(spki[2], NULL, NULL), IFAB_CODE_NONE);
    assert_true(stays(wall, &ends));
}

/* Failures are charged to who is at the other end and counted, by the digest of what was shown. INV-01 */
static void failed_certificates_are_charged(void **state)
{
    (void)state;
    unsigned refused = 0;
    enum ifab_code code;
    while ((code = ask(spki[5], NULL, NULL)) == IFAB_CODE_INVALID_TOKEN && refused < 5000)
        refused++;
    assert_int_equal(code, IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_in_range(refused, 1000, 1100);
    assert_int_equal(ask(spki[0], NULL, NULL), IFAB_CODE_RATE_LIMIT_EXCEEDED); /* from there nothing is tried any more */
    assert_int_equal(ask(NULL, NULL, NULL), IFAB_CODE_NONE);
}

/* The socket's uid is not asked when a proof was given. */
static void proof_that_failed_does_not_fall_back_to_the_uid(void **state)
{
    (void)state;
    struct ifab_http_header header = {IFAB_VIEW("Authorization"), IFAB_VIEW("Bearer wrong")};
    struct ifab_http_peer unix_peer = {.unix_socket = true, .uid = (uint32_t)geteuid(), .address = "unix"};
    struct ifab_http_request raw = {.peer = &unix_peer, .headers = &header, .header_count = 1, .method = IFAB_HTTP_GET};
    assert_int_equal(who_is(&node, &raw, &who, text), IFAB_CODE_INVALID_TOKEN);
    assert_int_equal(who.roles, 0);
    raw.header_count = 0;
    assert_int_equal(who_is(&node, &raw, &who, text), IFAB_CODE_NONE);
    assert_int_equal(who.principal.role, IFAB_ROLE_OPERATOR);
}

/* Both roles, the token's and the talent's, must be in the column; who shows neither may use open routes only. */
static void column_of_roles_decides(void **state)
{
    (void)state;
    struct ifab_http_request raw = {.peer = &peer, .method = IFAB_HTTP_GET};
    size_t rows = 0;
    for (const struct route *route; (route = route_at(rows)) != NULL; rows++) {
        bool open = (route->flags & ROUTE_OPEN) != 0;
        for (unsigned role = IFAB_ROLE_AGENT; role <= IFAB_ROLE_ADMIN; role++)
            for (unsigned other = IFAB_ROLE_AGENT; other <= IFAB_ROLE_ADMIN; other++) {
                const unsigned both = ROLE_BIT(role) | ROLE_BIT(other);
                const struct who some = {.roles = both};
                enum ifab_code due = open || (route->roles & both) == both ? IFAB_CODE_NONE : IFAB_CODE_PERMISSION_DENIED;
                if (who_may(&some, route, &raw, text) != due)
                    fail_msg("%s: roles %#x", route->path, both);
            }
        const struct who nobody = {0};
        assert_int_equal(who_may(&nobody, route, &raw, text), open ? IFAB_CODE_NONE : IFAB_CODE_INVALID_TOKEN);
    }
    assert_true(rows > 50);
}

/* The whole log is an auditor's, whatever the way in; the uid of the daemon is an operator. */
static void whole_log_is_read_by_auditors_and_above(void **state)
{
    (void)state;
    struct ifab_http_peer unix_peer = {.unix_socket = true, .uid = (uint32_t)geteuid(), .address = "unix"};
    struct ifab_http_request raw = {.peer = &unix_peer, .method = IFAB_HTTP_GET};
    assert_int_equal(who_is(&node, &raw, &who, text), IFAB_CODE_NONE);
    assert_true(who_reads_log(&who.principal));
    assert_int_equal(ask(NULL, NULL, NULL), IFAB_CODE_NONE);
    assert_false(who_reads_log(&who.principal));
    for (unsigned place = 0; place < 4; place++) {
        assert_int_equal(ask(spki[place], NULL, NULL), IFAB_CODE_NONE);
        assert_int_equal(who_reads_log(&who.principal), place >= 2);
    }
    for (unsigned role = IFAB_ROLE_NONE; role <= IFAB_ROLE_ADMIN; role++) {
        const struct ifab_principal principal = {.role = (enum ifab_role)role};
        assert_int_equal(who_reads_log(&principal), role == IFAB_ROLE_AUDITOR || role == IFAB_ROLE_OPERATOR || role == IFAB_ROLE_ADMIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(certificate_is_its_talent_with_its_role, setup, teardown),
        cmocka_unit_test_setup_teardown(certificate_that_is_not_good_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(token_and_certificate_are_both_good_and_of_one_talent, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_in_stays_as_long_as_every_proof_is_good, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_certificates_are_charged, setup, teardown),
        cmocka_unit_test_setup_teardown(proof_that_failed_does_not_fall_back_to_the_uid, setup, teardown),
        cmocka_unit_test_setup_teardown(column_of_roles_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(whole_log_is_read_by_auditors_and_above, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
