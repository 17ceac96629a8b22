/* Drafts become envelopes that the daemon's own reader takes; votes and admin acts are signed over their own domain lines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/encode.h"
#include "base/mem.h"
#include "connect/envelope.h"
#include "crypto/crypto.h"

#include <infrafabric/infrafabric.h>

static struct ifab_identity *key;

static struct ifab_draft draft_of(const char *sender)
{
    return (struct ifab_draft){.version = IFAB_DRAFT_VERSION, .sender = sender};
}

static void a_claim_gets_everything_it_needs(void **state)
{
    (void)state;
    const char *to[] = {"Demo.B", "if://topic/earnings"}, *hazards[] = {"legal"};
    const struct ifab_draft_evidence evidence[] = {{.type = "filing", .url = "https://example.org/10-K"}};
    struct ifab_draft d = draft_of("if://agent/Demo.A/1");
    d.receivers = to;
    d.receiver_count = 2;
    d.hazards = hazards;
    d.hazard_count = 1;
    d.evidence = evidence;
    d.evidence_count = 1;
    d.claim =
        "caf\xc3\xa9 \"quoted\" \\ \"sig\":\"......................................................................................\"";
    d.claim_id = "C-1";
    d.scope = IFAB_VIEW("{ \"year\" : 2025 }");
    d.data = IFAB_VIEW("{\"sig\":\"......................................................................................\"}");
    d.has_confidence = true;
    d.confidence = 0.9;
    d.last_seq = 41;
    struct ifab_message m = {0};
    struct ifab_error err = {0};
    if (ifab_message_build(&d, key, &m, &err) != IFAB_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(m.id, "msg-", 4);
    assert_true(m.seq > UINT64_C(1700000000000000)); /* µs since 1970 */
    struct ifab_arena arena;
    ifab_arena_init(&arena, 1 << 20);
    static struct ifab_envelope e;
    struct ifab_refusal refusal = {0};
    assert_int_equal(ifab_envelope_read(ifab_view_of(m.bytes.data, m.bytes.size), 0, &arena, &e, &refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_verify(&e, m.pubkey32, &refusal), IFAB_CODE_NONE);
    assert_int_equal(e.receiver_count, 2);
    assert_int_equal(e.ttl_s, 60);
    assert_true(e.has_confidence && e.confidence > 0.89 && e.has_scope && e.hazard_count == 1 && e.evidence_count == 1);
    assert_memory_equal(e.message_digest32, m.digest32, 32);
    ifab_arena_fini(&arena);
    ifab_message_free(&m);
}

static void seq_is_above_the_last_one_even_when_the_clock_is_behind(void **state)
{
    (void)state;
    struct ifab_draft d = draft_of("if://agent/A");
    struct ifab_message m = {0};
    d.last_seq = UINT64_C(9000000000000000);
    assert_int_equal(ifab_message_build(&d, key, &m, NULL), IFAB_OK);
    assert_true(m.seq == UINT64_C(9000000000000001));
    ifab_message_free(&m);
    d.last_seq = UINT64_C(9007199254740991); /* 2^53-1 was the last there can be */
    assert_int_equal(ifab_message_build(&d, key, &m, NULL), IFAB_INVALID);
}

static void mistakes_name_their_field(void **state)
{
    (void)state;
    struct ifab_message m = {0};
    const char *hazards[] = {""};
    static const struct {
        const char *name;
        struct ifab_draft draft;
    } cases[] = {
        {"sender", {.version = 1, .sender = "Demo.A"}},
        {"sender", {.version = 1}},
        {"performative", {.version = 1, .sender = "if://agent/A", .performative = "shout"}},
        {"ttl_s", {.version = 1, .sender = "if://agent/A", .ttl_s = 3601}},
        {"topic_hash", {.version = 1, .sender = "if://agent/A", .topic_hash = "sha256:AB"}},
        {"conversation_id", {.version = 1, .sender = "if://agent/A", .conversation_id = "x"}},
        {"trace", {.version = 1, .sender = "if://agent/A", .trace = "'; DROP TABLE witness; --"}},
        {"confidence", {.version = 1, .sender = "if://agent/A", .has_confidence = true, .confidence = 1.5}},
        {"confidence", {.version = 1, .sender = "if://agent/A", .has_confidence = true, .confidence = __builtin_nan("")}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ifab_error err = {0};
        assert_int_equal(ifab_message_build(&cases[i].draft, key, &m, &err), IFAB_INVALID);
        if (strstr(err.text, cases[i].name) == NULL)
            fail_msg("case %zu: \"%s\" does not name %s", i, err.text, cases[i].name);
    }
    struct ifab_draft d = draft_of("if://agent/A");
    d.scope = IFAB_VIEW("{\"a\":1,\"a\":2}"); /* duplicate names */
    assert_int_equal(ifab_message_build(&d, key, &m, NULL), IFAB_INVALID);
    d.scope = IFAB_VIEW("1},\"x\":{"); /* cannot break out: then it is an unknown name */
    assert_int_equal(ifab_message_build(&d, key, &m, NULL), IFAB_INVALID);
    d = draft_of("if://agent/A");
    d.hazards = hazards;
    d.hazard_count = 17;
    assert_int_equal(ifab_message_build(&d, key, &m, NULL), IFAB_INVALID);
    d = draft_of("if://agent/A");
    d.version = 2;
    assert_int_equal(ifab_message_build(&d, key, &m, NULL), IFAB_UNSUPPORTED);
}

static void a_draft_in_json_is_completed(void **state)
{
    (void)state;
    struct ifab_draft d = draft_of("if://agent/A/7");
    struct ifab_message m = {0}, again = {0};
    struct ifab_error err = {0};
    if (ifab_message_complete(IFAB_VIEW("{\"performative\":\"request\",\"ttl_s\":5,\"seq\":12,\"content\":{\"data\":{\"x\":1e2}}}"), &d,
                              key, &m, &err) != IFAB_OK)
        fail_msg("%s", err.text);
    assert_int_equal(m.seq, 12);
    assert_non_null(strstr(m.bytes.data, "\"performative\":\"request\""));
    assert_non_null(strstr(m.bytes.data, "\"x\":100"));
    assert_non_null(strstr(m.bytes.data, "\"sender\":\"if://agent/A/7\""));
    assert_int_equal(ifab_message_read(ifab_view_of(m.bytes.data, m.bytes.size), &again, &err), IFAB_OK);
    assert_memory_equal(again.digest32, m.digest32, 32);
    /* signed already: sent as it is, not signed again */
    struct ifab_message twice = {0};
    assert_int_equal(ifab_message_complete(ifab_view_of(m.bytes.data, m.bytes.size), &d, key, &twice, NULL), IFAB_CONFLICT);
    /* one bit of the signature */
    m.bytes.data[strstr(m.bytes.data, "\"sig\":\"") - m.bytes.data + 10] ^= 1;
    assert_int_equal(ifab_message_read(ifab_view_of(m.bytes.data, m.bytes.size), &twice, NULL), IFAB_INVALID);
    assert_int_equal(ifab_message_complete(IFAB_VIEW("[]"), &d, key, &twice, NULL), IFAB_INVALID);
    ifab_message_free(&m);
    ifab_message_free(&again);
}

/* Splits {"signature":{…,"sig":X}} and checks it over domain + the rest. */
static bool signature_good(struct ifab_view text, const char *domain)
{
    struct ifab_arena arena;
    struct ifab_buf bytes = IFAB_BUF_INIT(1 << 20);
    const struct ifab_json *tree;
    uint8_t sig64[64], pub32[32];
    size_t size;
    struct ifab_view sig, pub;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(text, NULL, &arena, &tree, NULL), IFAB_OK);
    assert_true(ifab_json_string(ifab_json_get(ifab_json_get(tree, "signature"), "sig"), &sig));
    assert_true(ifab_json_string(ifab_json_get(ifab_json_get(tree, "signature"), "pubkey"), &pub));
    assert_int_equal(ifab_base64url_decode(sig, sig64, 64, &size), IFAB_OK);
    assert_int_equal(ifab_base64url_decode(pub, pub32, 32, &size), IFAB_OK);
    ifab_buf_str(&bytes, domain);
    ifab_json_write_without(&bytes, tree, "signature", "sig");
    bool good = ifab_ed25519_verify(pub32, ifab_buf_as_view(&bytes), sig64);
    ifab_buf_fini(&bytes);
    ifab_arena_fini(&arena);
    return good;
}

static void a_vote_is_signed_under_its_own_domain(void **state)
{
    (void)state;
    const uint8_t digest32[32] = {1, 2, 3};
    struct ifab_vote_draft v = {.version = IFAB_VOTE_VERSION, .log = "fab/main+0", .decision = "msg-1", .message_digest32 = digest32,
                                .policy_digest = "sha256:00", .verdict = "approve", .voter = "if://agent/op", .why = "seen \"it\""};
    struct ifab_text text = {0};
    assert_int_equal(ifab_vote_build(&v, key, &text, NULL), IFAB_OK);
    struct ifab_view view = ifab_view_of(text.data, text.size);
    assert_true(signature_good(view, "IF-VOTE-v1\n"));
    assert_false(signature_good(view, "IF-ADMIN-v1\n"));
    assert_false(signature_good(view, IFAB_ENVELOPE_DOMAIN));
    assert_non_null(strstr(text.data, "\"message_digest\":\"sha256:010203"));
    ifab_text_free(&text);
    v.why = "";
    assert_int_equal(ifab_vote_build(&v, key, &text, NULL), IFAB_INVALID);
    v.why = "x";
    v.voter = NULL;
    assert_int_equal(ifab_vote_build(&v, key, &text, NULL), IFAB_INVALID);
}

static void an_admin_act_binds_route_and_body(void **state)
{
    (void)state;
    struct ifab_text header = {0};
    assert_int_equal(ifab_admin_act("fab/main+0", "POST /v1/talents", IFAB_VIEW("{}"), "because", key, &header, NULL), IFAB_OK);
    uint8_t bytes[4096];
    size_t size;
    assert_int_equal(ifab_base64url_decode(ifab_view_of(header.data, header.size), bytes, sizeof bytes - 1, &size), IFAB_OK);
    bytes[size] = 0;
    assert_true(signature_good(ifab_view_of(bytes, size), "IF-ADMIN-v1\n"));
    assert_non_null(strstr((char *)bytes, "\"body_digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\""));
    assert_non_null(strstr((char *)bytes, "\"route\":\"POST /v1/talents\""));
    assert_non_null(strstr((char *)bytes, "\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":"));
    ifab_text_free(&header);
}

static void keys_survive_their_file_and_need_their_passphrase(void **state)
{
    (void)state;
    struct ifab_text pem = {0};
    struct ifab_identity *back = NULL;
    uint8_t a[32], b[32], c[32];
    char text[44], id[19];
    ifab_identity_public(key, a);
    assert_int_equal(ifab_identity_write(key, IFAB_VIEW("secret words"), &pem, NULL), IFAB_OK);
    struct ifab_view view = ifab_view_of(pem.data, pem.size);
    assert_int_equal(ifab_identity_read(view, IFAB_VIEW(""), &back, NULL), IFAB_DENIED);
    assert_int_equal(ifab_identity_read(view, IFAB_VIEW("other"), &back, NULL), IFAB_DENIED);
    assert_int_equal(ifab_identity_read(view, IFAB_VIEW("secret words"), &back, NULL), IFAB_OK);
    ifab_identity_public(back, b);
    assert_memory_equal(a, b, 32);
    ifab_identity_free(back);
    ifab_text_free(&pem);
    ifab_public_text(a, text);
    assert_int_equal(strlen(text), 43);
    assert_int_equal(ifab_public_read(ifab_view_str(text), c, NULL), IFAB_OK);
    assert_memory_equal(a, c, 32);
    assert_int_equal(ifab_public_pem(a, &pem), IFAB_OK);
    assert_int_equal(ifab_public_read(ifab_view_of(pem.data, pem.size), c, NULL), IFAB_OK);
    assert_memory_equal(a, c, 32);
    ifab_text_free(&pem);
    ifab_public_id(a, id);
    assert_memory_equal(id, "k-", 2);
}

static void each_failing_allocation_is_reported(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ifab_draft d = draft_of("if://agent/A");
        struct ifab_message m = {0};
        d.claim = "x";
        ifab_mem_fail_at(n);
        ifab_status status = ifab_message_build(&d, key, &m, NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (!failed) {
            assert_int_equal(status, IFAB_OK);
            assert_true(n > 3);
            ifab_message_free(&m);
            return;
        }
        assert_int_not_equal(status, IFAB_OK);
        assert_null(m.bytes.data);
    }
}

static int make_key(void **state)
{
    (void)state;
    return ifab_start(NULL) != IFAB_OK || ifab_identity_new(&key, NULL) != IFAB_OK;
}

static int drop_key(void **state)
{
    (void)state;
    ifab_identity_free(key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_gets_everything_it_needs),
        cmocka_unit_test(seq_is_above_the_last_one_even_when_the_clock_is_behind),
        cmocka_unit_test(mistakes_name_their_field),
        cmocka_unit_test(a_draft_in_json_is_completed),
        cmocka_unit_test(a_vote_is_signed_under_its_own_domain),
        cmocka_unit_test(an_admin_act_binds_route_and_body),
        cmocka_unit_test(keys_survive_their_file_and_need_their_passphrase),
        cmocka_unit_test(each_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, make_key, drop_key);
}
