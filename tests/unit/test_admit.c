/* What runs before the step: registrable domains, secrets, votes and admin acts under attack. INV-01 INV-02 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);
    rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 11, IFAB_ORDER_STRICT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

/* ---- domains ---- */

static void domain_is_the_registrable_one(void **state)
{
    (void)state;
    static const struct {
        const char *url, *domain;
    } cases[] = {
        {"https://example.org/x", "example.org"},
        {"https://www.example.org", "example.org"},
        {"https://a.b.c.example.co.uk/x?y#z", "example.co.uk"},
        {"https://example.co.uk", "example.co.uk"},
        {"https://co.uk/", "co.uk"}, /* a suffix itself: the host */
        {"https://user.github.io/x", "user.github.io"},
        {"https://WWW.Example.ORG/", "example.org"},
        {"https://www.example.org./", "example.org"},
        {"https://www.example.org..:8080/", "example.org"},
        {"https://www.example.org:8443/x", "example.org"},
        {"https://user@www.example.org/", "example.org"},
        {"https://user:pass@www.example.org:1/", "example.org"},
        {"https://evil.test@www.example.org/", "example.org"},
        {"https://www.example.org@evil.test/", "evil.test"},
        {"https://a@b@www.example.org/", "example.org"},
        {"https://evil.test\\@www.example.org/", "evil.test"}, /* as browsers read it */
        {"https://evil.test?@www.example.org/", "evil.test"},
        {"https://evil.test#@www.example.org/", "evil.test"},
        {"https://localhost/", "localhost"},
        {"https://printer:631/", "printer"},
        {"ftp://ftp.example.org/x", "example.org"},
        {"if://agent/A", "agent"},
        {"https://192.0.2.7/x", "192.0.2.7"},
        {"https://192.0.2.7:80/x", "192.0.2.7"},
        {"https://192.0.2.7./x", "192.0.2.7"},
        {"https://2130706433/", "2130706433"},
        {"https://[2001:db8::1]/x", "[2001:db8::1]"},
        {"https://[2001:DB8::1]:443/x", "[2001:db8::1]"},
        {"https://[::ffff:192.0.2.7]/x", "[::ffff:192.0.2.7]"},
        {"https://u@[::1]:1/x", "[::1]"},
        {"https:///x", ""},
        {"https://", ""},
        {"https://:80/", ""},
        {"https://user@/", ""},
        {"https://./", ""},
        {"//example.org/x", ""},
        {"example.org/x", ""},
        {"mailto:a@example.org", ""},
        {"", ""},
        {":", ""},
        {"://", ""},
        {"x://[", "["},
        {"x://]:", "]"},
    };
    struct ifab_arena arena;
    ifab_arena_init(&arena, 1U << 20);
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        /* an exact copy on the heap: a byte read past its end is seen */
        uint8_t *url = rig_copy(ifab_view_str(cases[i].url));
        struct ifab_view domain = ifab_admit_domain(ifab_view_of(url, strlen(cases[i].url)), &arena);
        if (!ifab_view_is(domain, cases[i].domain))
            fail_msg("%s: %s instead of %s", cases[i].url, test_text(domain), cases[i].domain);
        free(url);
    }
    char longest[300] = "x://";
    memset(longest + 4, 'a', 253);
    assert_int_equal(ifab_admit_domain(ifab_view_of(longest, 257), &arena).size, 253);
    memset(longest + 4, 'a', 254); /* no name of the DNS is so long: the whole text is the source */
    assert_int_equal(ifab_admit_domain(ifab_view_of(longest, 258), &arena).size, 0);
    ifab_arena_fini(&arena);
}

/* Any bytes: no crash, and a domain never longer than its URL. */
static void domain_of_random_bytes_is_bounded(void **state)
{
    (void)state;
    static const char alphabet[] = "ab.:/@[]#?\\%-1 \xC3\xA9";
    struct test_random random = {test_env_u64("IFAB_SEED", 20251112)};
    struct ifab_arena arena;
    ifab_arena_init(&arena, 1U << 20);
    for (int i = 0; i < 50000; i++) {
        size_t size = 4 + test_random_below(&random, 24);
        uint8_t *url = malloc(size);
        assert_non_null(url);
        memcpy(url, "x://", 4);
        for (size_t at = 4; at < size; at++)
            url[at] = (uint8_t)alphabet[test_random_below(&random, sizeof alphabet)];
        assert_true(ifab_admit_domain(ifab_view_of(url, size), &arena).size <= size - 4);
        free(url);
        ifab_arena_reset(&arena);
    }
    ifab_arena_fini(&arena);
}

/* ---- facts ---- */

static struct ifab_guard_facts facts_of(const char *content, const char *performative)
{
    struct ifab_command command;
    struct rig_message m = rig_message(&rig, "if://agent/A", content);
    m.performative = performative;
    struct ifab_view bytes = rig_text(&rig, &m);
    ifab_arena_reset(&rig.arena);
    assert_int_equal(rig_admit(&rig, bytes, &command), IFAB_CODE_NONE);
    return rig.admitted.facts;
}

static void facts_say_what_the_envelope_says(void **state)
{
    (void)state;
    struct ifab_guard_facts f = facts_of("{}", "request");
    assert_true(!f.is_claim && !f.has_scope && !f.has_confidence && !f.secret_found && !f.second_source_kind && !f.has_claim_id);
    assert_int_equal(f.hazards, 0);
    f = facts_of("{\"hazards\":[\"legal\",\"financial\",\"Legal\"]}", "agree");
    assert_int_equal(f.hazards, IFAB_HAZARD_LEGAL | IFAB_HAZARD_OTHER | IFAB_HAZARD_UNKNOWN);
    assert_true(f.second_source_kind);
    struct ifab_guard_facts a = facts_of("{\"claim_id\":\"C\",\"scope\":{\"a\":1,\"b\":2}}", "inform");
    struct ifab_guard_facts b = facts_of("{\"claim_id\":\"C\",\"scope\":{\"b\":2,\"a\":1.0}}", "inform");
    struct ifab_guard_facts c = facts_of("{\"claim_id\":\"c\",\"scope\":{\"a\":1}}", "inform");
    assert_memory_equal(a.claim_key16, b.claim_key16, 16);
    assert_memory_equal(a.scope_digest32, b.scope_digest32, 32); /* canonical */
    assert_memory_not_equal(a.claim_key16, c.claim_key16, 16);
    assert_memory_not_equal(a.scope_digest32, c.scope_digest32, 32);
    f = facts_of("{\"evidence\":[{\"type\":\"a\",\"url\":\"https://x.example.org\"},{\"type\":\"a\",\"url\":\"https://y.example.org\"},"
                 "{\"type\":\"a\",\"url\":\"no host\"},{\"type\":\"a\"}]}", "inform");
    assert_int_equal(f.domain_count, 3);
    assert_int_equal(f.hash_count, 0);
    assert_memory_equal(f.domains[0], f.domains[1], 16);
    assert_memory_not_equal(f.domains[0], f.domains[2], 16);
}

static void secrets_are_found_anywhere_in_the_content(void **state)
{
    (void)state;
    static const char *const with[] = {
        "{\"data\":{\"password\":\"x\"}}",
        "{\"data\":{\"a\":{\"b\":[{\"Api-Key\":\"x\"}]}}}",
        "{\"claim\":\"Bearer abcdefghijklmnopqrstuvwxyz012345\"}",
        "{\"scope\":{\"k\":\"AKIAIOSFODNN7EXAMPLE\"}}",
        "{\"evidence\":[{\"type\":\"a\",\"url\":\"https://u:p4ssw0rd@example.org/\"}]}",
        "{\"data\":{\"k\":\"\\u0041KIAIOSFODNN7EXAMPLE\"}}",
    };
    static const char *const without[] = {"{}", "{\"data\":{\"passwords_changed\":3}}", "{\"claim\":\"the bearer of this\"}"};
    for (size_t i = 0; i < IFAB_COUNT(with); i++)
        if (!facts_of(with[i], "request").secret_found)
            fail_msg("not found in %s", with[i]);
    for (size_t i = 0; i < IFAB_COUNT(without); i++)
        if (facts_of(without[i], "request").secret_found)
            fail_msg("found in %s", without[i]);
}

/* ---- votes ---- */

static struct ifab_buf vote_text, vote_path;

static void make_vote(void)
{
    struct rig_message m = rig_message(&rig, "if://agent/A", RIG_ESCALATED);
    assert_int_equal(rig_decision(&rig, &m), IFAB_DECISION_ESCALATE);
    struct rig_vote vote = rig_vote(&rig, m.id, "if://agent/Adm", "approve");
    ifab_buf_init(&vote_text, 65536);
    ifab_buf_init(&vote_path, 64);
    rig_vote_text(&rig, &vote, &vote_text);
    rig_put_id(&vote_path, "msg-", m.id);
}

static void drop_vote(void)
{
    ifab_buf_fini(&vote_text);
    ifab_buf_fini(&vote_path);
}

static enum ifab_code admit_vote(struct ifab_view bytes)
{
    struct ifab_command command = {0};
    memset(&rig.refusal, 0, sizeof rig.refusal);
    ifab_arena_reset(&rig.arena);
    enum ifab_code code =
        ifab_admit_vote(bytes, ifab_buf_as_view(&vote_path), rig.keyring, rig.now.wall, &rig.arena, &command, &rig.refusal);
    if (code == IFAB_CODE_NONE && (command.type != IFAB_COMMAND_VOTE || command.u.vote.talent != 3))
        fail_msg("admitted a vote without saying whose");
    if (code != IFAB_CODE_NONE && (rig.refusal.code != code || rig.refusal.message[0] == '\0' || command.type != IFAB_COMMAND_NONE))
        fail_msg("refused with %d without saying why", (int)code);
    return code;
}

static void no_cut_or_changed_vote_verifies(void **state)
{
    (void)state;
    make_vote();
    assert_int_equal(admit_vote(ifab_buf_as_view(&vote_text)), IFAB_CODE_NONE);
    for (size_t size = 0; size < vote_text.size; size++) {
        uint8_t *exact = rig_copy(ifab_view_of(vote_text.data, size));
        assert_int_not_equal(admit_vote(ifab_view_of(exact, size)), IFAB_CODE_NONE);
        free(exact);
    }
    for (size_t i = 0; i < vote_text.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            vote_text.data[i] ^= (uint8_t)(1U << bit);
            if (admit_vote(ifab_buf_as_view(&vote_text)) == IFAB_CODE_NONE)
                fail_msg("byte %zu, bit %u: %s", i, bit, test_text(ifab_buf_as_view(&vote_text)));
            vote_text.data[i] ^= (uint8_t)(1U << bit);
        }
    ifab_buf_char(&vote_text, 'x');
    assert_int_not_equal(admit_vote(ifab_buf_as_view(&vote_text)), IFAB_CODE_NONE);
    drop_vote();
}

/* Replaces the first `from` in the text. */
static void replace(struct ifab_buf *text, const char *from, const char *to)
{
    struct ifab_buf next = IFAB_BUF_INIT(65536);
    const uint8_t *at = memmem(text->data, text->size, from, strlen(from));
    assert_non_null(at);
    size_t head = (size_t)(at - text->data), tail = head + strlen(from);
    ifab_buf_view(&next, ifab_view_of(text->data, head));
    ifab_buf_str(&next, to);
    ifab_buf_view(&next, ifab_view_of(text->data + tail, text->size - tail));
    ifab_buf_fini(text);
    *text = next;
}

static void vote_is_of_its_schema_path_and_voter(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        enum ifab_code code;
    } cases[] = {
        {"\"v\":1", "\"v\":2", IFAB_CODE_INVALID_PARAMS},
        {"\"v\":1", "\"v\":1,\"w\":1", IFAB_CODE_INVALID_PARAMS},
        {"\"verdict\":\"approve\"", "\"verdict\":\"Approve\"", IFAB_CODE_INVALID_PARAMS},
        {"\"verdict\":\"approve\",", "", IFAB_CODE_INVALID_PARAMS},
        {"\"verdict\":\"approve\"", "\"verdict\":\"refuse\"", IFAB_CODE_INVALID_SIGNATURE},
        {"\"voter\":\"if://agent/Adm\"", "\"voter\":\"if://agent/Adm/1\"", IFAB_CODE_INVALID_PARAMS},
        {"\"voter\":\"if://agent/Adm\"", "\"voter\":\"if://swarm/Adm\"", IFAB_CODE_INVALID_PARAMS},
        {"\"voter\":\"if://agent/Adm\"", "\"voter\":\"if://agent/Nobody\"", IFAB_CODE_UNKNOWN_SENDER},
        {"\"voter\":\"if://agent/Adm\"", "\"voter\":\"if://agent/A\"", IFAB_CODE_INVALID_SIGNATURE}, /* not A's key: INV-02 */
        {"\"decision\":\"msg-01930000-0000-7000-8000-0", "\"decision\":\"msg-01930000-0000-7000-8000-1", IFAB_CODE_INVALID_PARAMS},
        {"\"algorithm\":\"ed25519\"", "\"algorithm\":\"none\"", IFAB_CODE_INVALID_PARAMS},
        {"\"algorithm\":\"ed25519\"", "\"algorithm\":\"ed25519\",\"key_id\":\"k-0000000000000000\"", IFAB_CODE_INVALID_SIGNATURE},
        {"\"why\":\"looked at it\"", "\"why\":\"\"", IFAB_CODE_INVALID_PARAMS},
        {"\"why\":\"looked at it\"", "\"why\":\"a\\u001bb\"", IFAB_CODE_INVALID_PARAMS},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        make_vote();
        replace(&vote_text, cases[i].from, cases[i].to);
        enum ifab_code code = admit_vote(ifab_buf_as_view(&vote_text));
        if (code != cases[i].code)
            fail_msg("%s: %d %s", cases[i].to, (int)code, rig.refusal.message);
        drop_vote();
    }
    make_vote(); /* the canonical form is signed, not these bytes: spaces and order are free */
    replace(&vote_text, "{\"decision\"", "{ \"decision\"");
    assert_int_equal(admit_vote(ifab_buf_as_view(&vote_text)), IFAB_CODE_NONE);
    struct ifab_buf huge = IFAB_BUF_INIT(65536);
    ifab_buf_view(&huge, ifab_buf_as_view(&vote_text));
    while (huge.size < 16384)
        ifab_buf_char(&huge, ' ');
    assert_int_equal(admit_vote(ifab_buf_as_view(&huge)), IFAB_CODE_NONE);
    ifab_buf_char(&huge, ' ');
    assert_int_equal(admit_vote(ifab_buf_as_view(&huge)), IFAB_CODE_INVALID_PARAMS);
    ifab_buf_fini(&huge);
    drop_vote();
}

static void vote_by_a_lost_key_is_004(void **state)
{
    (void)state;
    make_vote();
    struct ifab_command revoke = rig_talent_command(&rig, IFAB_ACT_REVOKE, "Adm");
    revoke.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &revoke)->code, IFAB_CODE_NONE);
    assert_int_equal(admit_vote(ifab_buf_as_view(&vote_text)), IFAB_CODE_KEY_REVOKED);
    drop_vote();
}

/* ---- admin acts ---- */

#define ROUTE "POST /v1/talents"
#define BODY "{\"name\":\"X\",\"why\":\"y\"}"

static void make_act(struct ifab_buf *text, const char *domain, const struct ifab_signer *signer)
{
    struct ifab_buf b = IFAB_BUF_INIT(8192);
    uint8_t digest[32];
    ifab_sha256(IFAB_VIEW(BODY), digest);
    ifab_buf_str(&b, "{\"body_digest\":\"sha256:");
    ifab_buf_hex(&b, digest, 32);
    ifab_buf_str(&b, "\",\"issued_at\":\"");
    ifab_buf_time(&b, rig.now.wall);
    ifab_buf_str(&b, "\",\"log\":\"" RIG_ORIGIN "\",");
    rig_put_nonce(&b, 77);
    ifab_buf_str(&b, ",\"route\":\"" ROUTE "\",");
    rig_put_pubkey(&b, signer);
    ifab_buf_str(&b, ",\"v\":1,\"why\":\"hired\"}");
    ifab_buf_init(text, 65536);
    rig_sign(text, domain, &b, signer);
    ifab_buf_fini(&b);
}

static struct ifab_admin_act act;

static enum ifab_code admit_header(struct ifab_view header, const char *route, const char *body, const char *origin)
{
    memset(&act, 0, sizeof act);
    memset(&rig.refusal, 0, sizeof rig.refusal);
    ifab_arena_reset(&rig.arena);
    enum ifab_code code = ifab_admit_act(header, ifab_view_str(route), ifab_view_str(body), ifab_view_str(origin), rig.keyring,
                                         rig.now.wall, &rig.arena, &act, &rig.refusal);
    if (code != IFAB_CODE_NONE && (act.present || rig.refusal.code != code || rig.refusal.message[0] == '\0'))
        fail_msg("refused with %d, but the act is there or nothing is said", (int)code);
    return code;
}

static enum ifab_code admit_act(const struct ifab_buf *text, const char *route, const char *body, const char *origin)
{
    struct ifab_buf header = IFAB_BUF_INIT(131072);
    ifab_buf_base64url(&header, text->data, text->size);
    enum ifab_code code = admit_header(ifab_buf_as_view(&header), route, body, origin);
    ifab_buf_fini(&header);
    return code;
}

static void act_is_bound_to_route_body_and_log(void **state)
{
    (void)state;
    struct ifab_buf text;
    make_act(&text, "IF-ADMIN-v1\n", rig.talents[3].signer);
    assert_int_equal(admit_act(&text, ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_NONE);
    assert_true(act.present);
    assert_int_equal(act.talent, 3);
    assert_int_equal(act.issued_at, rig.now.wall);
    assert_int_equal(act.nonce_size, 16);
    assert_string_equal(act.why, "hired");
    assert_int_equal(admit_act(&text, "POST /v1/tokens", BODY, RIG_ORIGIN), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(admit_act(&text, "post /v1/talents", BODY, RIG_ORIGIN), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(admit_act(&text, ROUTE, BODY " ", RIG_ORIGIN), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(admit_act(&text, ROUTE, "", RIG_ORIGIN), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(admit_act(&text, ROUTE, BODY, "test.local/main/00000002"), IFAB_CODE_WRONG_AUDIENCE);
    ifab_buf_fini(&text);
}

static void act_is_signed_by_a_key_that_is_registered_and_serves(void **state)
{
    (void)state;
    struct ifab_buf text;
    struct ifab_signer *stranger = make_signer(99);
    make_act(&text, "IF-ADMIN-v1\n", stranger);
    assert_int_equal(admit_act(&text, ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_INVALID_SIGNATURE); /* INV-02 */
    ifab_buf_fini(&text);
    make_act(&text, "IF-VOTE-v1\n", rig.talents[3].signer); /* no domain separation */
    assert_int_equal(admit_act(&text, ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_INVALID_SIGNATURE);
    ifab_buf_fini(&text);
    make_act(&text, "IF-ADMIN-v1\n", rig.talents[3].signer);
    replace(&text, "\"why\":\"hired\"", "\"why\":\"fired\"");
    assert_int_equal(admit_act(&text, ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_INVALID_SIGNATURE);
    ifab_buf_fini(&text);
    make_act(&text, "IF-ADMIN-v1\n", rig.talents[3].signer);
    struct ifab_command remove = rig_talent_command(&rig, IFAB_ACT_REMOVE, "Adm");
    remove.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &remove)->code, IFAB_CODE_NONE);
    assert_int_equal(admit_act(&text, ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_KEY_REVOKED);
    ifab_buf_fini(&text);
    ifab_signer_free(stranger);
}

static void no_cut_or_changed_act_verifies(void **state)
{
    (void)state;
    struct ifab_buf text, header = IFAB_BUF_INIT(131072);
    make_act(&text, "IF-ADMIN-v1\n", rig.talents[3].signer);
    for (size_t size = 0; size < text.size; size++) {
        struct ifab_buf cut = text;
        cut.size = size;
        assert_int_not_equal(admit_act(&cut, ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_NONE);
    }
    for (size_t i = 0; i < text.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            text.data[i] ^= (uint8_t)(1U << bit);
            if (admit_act(&text, ROUTE, BODY, RIG_ORIGIN) == IFAB_CODE_NONE)
                fail_msg("byte %zu, bit %u: %s", i, bit, test_text(ifab_buf_as_view(&text)));
            text.data[i] ^= (uint8_t)(1U << bit);
        }
    ifab_buf_base64url(&header, text.data, text.size);
    assert_int_equal(admit_header(ifab_buf_as_view(&header), ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_NONE);
    for (size_t i = 0; i < header.size; i++) { /* another character, one too many, one too few */
        uint8_t was = header.data[i];
        header.data[i] = was == '=' ? 'A' : '=';
        assert_int_not_equal(admit_header(ifab_buf_as_view(&header), ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_NONE);
        header.data[i] = was;
        assert_int_not_equal(admit_header(ifab_view_of(header.data, i), ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_NONE);
    }
    while (header.size < 20000)
        ifab_buf_char(&header, 'A');
    assert_int_equal(admit_header(ifab_buf_as_view(&header), ROUTE, BODY, RIG_ORIGIN), IFAB_CODE_INVALID_PARAMS);
    ifab_buf_fini(&header);
    ifab_buf_fini(&text);
}

/* Whose memory ends is told so, and not that its signature is bad. */
static void votes_and_acts_survive_every_failed_allocation(void **state)
{
    (void)state;
    struct ifab_buf text;
    make_vote();
    make_act(&text, "IF-ADMIN-v1\n", rig.talents[3].signer);
    struct ifab_buf header = IFAB_BUF_INIT(131072);
    ifab_buf_base64url(&header, text.data, text.size);
    for (int which = 0; which < 2; which++)
        TEST_SWEEP_ALLOCATIONS({
            ifab_arena_fini(&rig.arena);
            enum ifab_code code = which == 0 ? admit_vote(ifab_buf_as_view(&vote_text))
                                             : admit_header(ifab_buf_as_view(&header), ROUTE, BODY, RIG_ORIGIN);
            if (code != IFAB_CODE_NONE && (code != IFAB_CODE_SYSTEM_ERROR || !ifab_mem_failed()))
                fail_msg("%d: %s", (int)code, rig.refusal.message);
        });
    ifab_buf_fini(&header);
    ifab_buf_fini(&text);
    drop_vote();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(domain_is_the_registrable_one, setup, teardown),
        cmocka_unit_test_setup_teardown(domain_of_random_bytes_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(facts_say_what_the_envelope_says, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_are_found_anywhere_in_the_content, setup, teardown),
        cmocka_unit_test_setup_teardown(no_cut_or_changed_vote_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(vote_is_of_its_schema_path_and_voter, setup, teardown),
        cmocka_unit_test_setup_teardown(vote_by_a_lost_key_is_004, setup, teardown),
        cmocka_unit_test_setup_teardown(act_is_bound_to_route_body_and_log, setup, teardown),
        cmocka_unit_test_setup_teardown(act_is_signed_by_a_key_that_is_registered_and_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(no_cut_or_changed_act_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(votes_and_acts_survive_every_failed_allocation, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
