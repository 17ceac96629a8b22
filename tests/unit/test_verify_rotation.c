/* Logs whose key was changed: followed forward when every step is proven, refused when one signature, the tree or the admin is not what it should be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/verify.h"
#include "export.h"
#include "json/json.h"

#define KEYS 4

enum forged {
    FORGED_NOT,
    FORGED_SIZE,         /* names a smaller tree, with the root of this one */
    FORGED_ROOT,         /* over another tree */
    FORGED_ORIGIN,       /* a handover of another log, replayed */
    FORGED_FROM,         /* by a key that is not in force */
    FORGED_REUSED,       /* to a key that was in force before */
    FORGED_ONE_SIGNED,   /* the old key's signature is missing */
    FORGED_NO_ACT,       /* by whoever holds the machine, without an admin */
    FORGED_NO_ADMIN,     /* signed by an agent */
    FORGED_STRANGER,     /* signed by a key that nobody enrolled */
    FORGED_ACTOR,        /* the entry names another than who signed */
    FORGED_OLD_ACT,      /* an act for another key, used again */
};

struct rotated {
    struct export_log log;
    struct ifab_signer *keys[KEYS];
    char vkeys[KEYS][256];
    size_t now;
};

static void vkey_of(const struct ifab_signer *key, const char *origin, struct ifab_buf *text)
{
    uint8_t public32[32];
    ifab_signer_public(key, public32);
    must(ifab_note_vkey_write(ifab_view_str(origin), public32, text) == IFAB_OK, "vkey");
}

static void enrol_as(struct export_log *log, const char *name, const char *role, const struct ifab_signer *key, bool revoked)
{
    struct ifab_buf payload = IFAB_BUF_INIT(4096);
    uint8_t public32[32];
    ifab_signer_public(key, public32);
    ifab_buf_str(&payload, "{\"record\":{\"keys\":[{\"epoch\":1,\"not_before\":\"2025-01-01T00:00:00.000Z\",\"pubkey\":\"");
    ifab_buf_base64url(&payload, public32, 32);
    ifab_buf_str(&payload, revoked ? "\",\"revoked_at\":\"2025-01-02T00:00:00.000Z\"}]" : "\"}]");
    ifab_buf_format(&payload, ",\"name\":\"%s\",\"role\":\"%s\"}}", name, role);
    export_add(log, IFAB_EVENT_TALENT_ADD, "uid:1000", name, ifab_buf_as_view(&payload), IFAB_VIEW(""), FLAW_NONE);
    ifab_buf_fini(&payload);
}

/* Chief (admin: agent_key), Demo.A (agent: other_key). */
static void begin(struct rotated *r)
{
    export_begin(&r->log, 64, 7);
    r->now = 0;
    for (size_t i = 0; i < KEYS; i++) {
        struct ifab_buf text = IFAB_BUF_INIT(256);
        uint8_t seed32[32] = {9, (uint8_t)i};
        must(ifab_signer_from_seed(seed32, &r->keys[i], NULL) == IFAB_OK, "key");
        vkey_of(r->keys[i], EXPORT_ORIGIN, &text);
        memset(r->vkeys[i], 0, sizeof r->vkeys[i]);
        memcpy(r->vkeys[i], text.data, text.size);
        ifab_buf_fini(&text);
    }
    ifab_signer_free(r->log.log_key);
    r->log.log_key = r->keys[0];
    memcpy(r->log.vkey, r->vkeys[0], sizeof r->vkeys[0]);
    export_add(&r->log, IFAB_EVENT_FABRIC_INIT, "if://fabric/x", "if://fabric/x", IFAB_VIEW("{}"), IFAB_VIEW(""), FLAW_NONE);
    enrol_as(&r->log, "Chief", "admin", r->log.agent_key, false);
    enrol_as(&r->log, "Demo.A", "agent", r->log.other_key, false);
}

static void end(struct rotated *r)
{
    r->log.log_key = NULL;
    for (size_t i = 0; i < KEYS; i++)
        ifab_signer_free(r->keys[i]);
    export_end(&r->log);
}

static void put_act(struct ifab_buf *b, const struct ifab_signer *signer, const char *origin, struct ifab_view request)
{
    struct ifab_buf head = IFAB_BUF_INIT(8192), covered = IFAB_BUF_INIT(8192), sig = IFAB_BUF_INIT(256);
    uint8_t digest32[32], public32[32], sig64[64];
    ifab_sha256(request, digest32);
    ifab_signer_public(signer, public32);
    ifab_buf_str(&head, "{\"body_digest\":\"sha256:");
    ifab_buf_hex(&head, digest32, 32);
    ifab_buf_format(&head, "\",\"issued_at\":\"2025-11-12T10:21:00Z\",\"log\":\"%s", origin);
    ifab_buf_str(&head, "\",\"nonce\":\"AAAAAAAAAAAAAAAA\",\"route\":\"" IFAB_ROTATION_ROUTE
                        "\",\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"");
    ifab_buf_base64url(&head, public32, 32);
    ifab_buf_format(&covered, "IF-ADMIN-v1\n%.*s\"},\"v\":1,\"why\":\"yearly\"}", (int)head.size, (const char *)head.data);
    ifab_signer_sign(signer, ifab_buf_as_view(&covered), sig64);
    ifab_buf_base64url(&sig, sig64, 64);
    ifab_buf_format(b, "%.*s\",\"sig\":\"%.*s\"},\"v\":1,\"why\":\"yearly\"}", (int)head.size, (const char *)head.data, (int)sig.size, (const char *)sig.data);
    ifab_buf_fini(&head);
    ifab_buf_fini(&covered);
    ifab_buf_fini(&sig);
}

static void put_note(const struct rotated *r, const struct ifab_signer *from, const struct ifab_signer *to, enum forged forged, struct ifab_buf *note)
{
    const uint64_t size = r->log.count - (forged == FORGED_SIZE);
    struct ifab_tree tree = {0};
    uint8_t root32[32];
    for (uint64_t i = 0; i < r->log.count; i++)
        ifab_tree_append(&tree, (const uint8_t *)r->log.leaves[i]);
    ifab_tree_root(&tree, root32);
    root32[0] ^= forged == FORGED_ROOT;
    must(ifab_rotation_write(ifab_view_str(forged == FORGED_ORIGIN ? "test.example/ffffffff" : EXPORT_ORIGIN), size, root32, from, to, note) == IFAB_OK, "note");
    if (forged != FORGED_ONE_SIGNED)
        return;
    struct ifab_buf twice = IFAB_BUF_INIT(8192), one = IFAB_BUF_INIT(8192); /* signed by the new key, and by the new key */
    const uint8_t *split = memmem(note->data, note->size, "\n\n", 2);
    const struct ifab_view text = ifab_view_of(note->data, (size_t)(split - note->data) + 1);
    must(ifab_note_sign(text, IFAB_VIEW(EXPORT_ORIGIN), to, &twice) == IFAB_OK && ifab_note_sign(text, IFAB_VIEW(EXPORT_ORIGIN), to, &one) == IFAB_OK, "sign");
    ifab_buf_put(&twice, one.data + text.size + 1, one.size - text.size - 1);
    ifab_buf_clear(note);
    ifab_buf_view(note, ifab_buf_as_view(&twice));
    ifab_buf_fini(&twice);
    ifab_buf_fini(&one);
}

/* The log goes over to keys[to]. */
static void rotate(struct rotated *r, size_t to, enum forged forged)
{
    struct ifab_buf note = IFAB_BUF_INIT(8192), request = IFAB_BUF_INIT(1024), payload = IFAB_BUF_INIT(32768);
    const struct ifab_signer *from = r->keys[forged == FORGED_FROM ? 3 : r->now];
    const struct ifab_signer *admin = forged == FORGED_NO_ADMIN ? r->log.other_key : forged == FORGED_STRANGER ? r->keys[0] : r->log.agent_key;
    put_note(r, from, r->keys[to], forged, &note);
    ifab_buf_str(&request, "{\"to\":\"");
    vkey_of(r->keys[forged == FORGED_OLD_ACT ? 3 : to], forged == FORGED_ORIGIN ? "test.example/ffffffff" : EXPORT_ORIGIN, &request);
    ifab_buf_str(&request, "\"}");
    ifab_buf_char(&payload, '{');
    if (forged != FORGED_NO_ACT) {
        ifab_buf_str(&payload, "\"act\":");
        put_act(&payload, admin, forged == FORGED_ORIGIN ? "test.example/ffffffff" : EXPORT_ORIGIN, ifab_buf_as_view(&request));
        ifab_buf_char(&payload, ',');
    }
    ifab_buf_str(&payload, "\"note\":");
    ifab_json_put_string(&payload, ifab_buf_as_view(&note));
    ifab_buf_str(&payload, ",\"request\":");
    ifab_json_put_string(&payload, ifab_buf_as_view(&request));
    ifab_buf_char(&payload, '}');
    export_add(&r->log, IFAB_EVENT_LOG_KEY_ROTATED,
               forged == FORGED_ACTOR      ? "uid:1000"
               : forged == FORGED_NO_ADMIN ? "if://agent/Demo.A"
                                           : "if://agent/Chief",
               "if://fabric/x", ifab_buf_as_view(&payload), IFAB_VIEW(""), FLAW_NONE);
    r->now = to;
    r->log.log_key = r->keys[to];
    memcpy(r->log.vkey, r->vkeys[to], sizeof r->vkeys[to]);
    ifab_buf_fini(&note);
    ifab_buf_fini(&request);
    ifab_buf_fini(&payload);
}

static void more(struct rotated *r, int count)
{
    for (int i = 0; i < count; i++)
        export_add(&r->log, IFAB_EVENT_CLOCK_JUMP, "if://fabric/x", "if://fabric/x", IFAB_VIEW("{}"), IFAB_VIEW(""), FLAW_NONE);
}

static struct ifab_verify_report verify(const struct rotated *r, size_t trusted, bool follow)
{
    const struct ifab_verify_options options = {.vkey = ifab_view_str(r->vkeys[trusted]), .follow_rotation = follow};
    struct ifab_verify_report report;
    struct ifab_error err = {0};
    export_remove(&r->log);
    export_write(&r->log, r->log.count);
    if (ifab_verify_log(r->log.dir, &options, &report, &err) != IFAB_OK)
        fail_msg("no verdict: %s", err.text);
    return report;
}

static void an_earlier_key_is_followed_only_when_asked_to(void **state)
{
    struct rotated r;
    (void)state;
    begin(&r);
    more(&r, 3);
    assert_int_equal(verify(&r, 0, false).verdict, IFAB_VERIFY_VERIFIED);
    rotate(&r, 1, FORGED_NOT);
    more(&r, 5);
    rotate(&r, 2, FORGED_NOT);
    for (size_t i = 0; i < 2; i++) {
        struct ifab_verify_report report = verify(&r, i, false);
        assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
        assert_true(report.intact && !report.trusted);
        assert_non_null(strstr(report.trust, "--follow-rotation"));
        report = verify(&r, i, true);
        assert_int_equal(report.verdict, IFAB_VERIFY_VERIFIED);
        assert_true(report.rotations == 2);
        assert_string_equal(report.vkey, r.vkeys[2]);
    }
    assert_int_equal(verify(&r, 2, false).verdict, IFAB_VERIFY_VERIFIED);
    assert_int_equal(verify(&r, 2, true).verdict, IFAB_VERIFY_VERIFIED);
    assert_int_equal(verify(&r, 3, true).verdict, IFAB_VERIFY_NOT_VERIFIED); /* never a key of this log */
    end(&r);
}

static void a_later_key_does_not_lead_back(void **state)
{
    struct rotated r;
    (void)state;
    begin(&r);
    more(&r, 3);
    assert_int_equal(verify(&r, 1, true).verdict, IFAB_VERIFY_NOT_VERIFIED); /* signed by keys[0], who trusts keys[1] knows nothing of it */
    end(&r);
}

static void every_forged_handover_breaks_the_log(void **state)
{
    static const enum forged rows[] = {FORGED_SIZE,   FORGED_ROOT,     FORGED_ORIGIN,   FORGED_FROM,  FORGED_REUSED, FORGED_ONE_SIGNED,
                                       FORGED_NO_ACT, FORGED_NO_ADMIN, FORGED_STRANGER, FORGED_ACTOR, FORGED_OLD_ACT};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct rotated r;
        begin(&r);
        rotate(&r, 1, FORGED_NOT);
        more(&r, 2);
        rotate(&r, rows[i] == FORGED_REUSED ? 0 : 2, rows[i]);
        for (int follow = 0; follow < 2; follow++) /* whoever signs it now, and whomever one trusts */
            for (size_t trusted = 0; trusted < KEYS; trusted++) {
                struct ifab_verify_report report = verify(&r, trusted, follow != 0);
                if (report.verdict != IFAB_VERIFY_NOT_VERIFIED || report.intact || !report.has_bad_index || report.bad_index != r.log.count - 1)
                    fail_msg("forgery %d, key %zu: %d %s; %s", (int)rows[i], trusted, (int)report.verdict, report.integrity, report.trust);
            }
        end(&r);
    }
}

static void an_admin_whose_key_was_revoked_before_asks_for_nothing(void **state)
{
    struct rotated r;
    (void)state;
    begin(&r);
    enrol_as(&r.log, "Chief", "admin", r.log.agent_key, true);
    rotate(&r, 1, FORGED_NOT);
    assert_false(verify(&r, 1, false).intact);
    end(&r);
    begin(&r);
    enrol_as(&r.log, "Chief", "operator", r.log.agent_key, false); /* not an admin any more */
    rotate(&r, 1, FORGED_NOT);
    assert_false(verify(&r, 1, false).intact);
    end(&r);
}

static void the_old_key_signs_no_tree_that_holds_its_handover(void **state)
{
    struct rotated r;
    (void)state;
    begin(&r);
    rotate(&r, 1, FORGED_NOT);
    more(&r, 1);
    r.log.log_key = r.keys[0];
    memcpy(r.log.vkey, r.vkeys[0], sizeof r.vkeys[0]);
    assert_false(verify(&r, 0, false).intact);
    assert_false(verify(&r, 0, true).intact);
    end(&r);
}

/* A checkpoint of another tree of that size, by the key that is set. */
static void lying_note(struct rotated *r, uint64_t size, struct ifab_buf *note)
{
    r->log.leaves[0][0] ^= 1;
    export_note(&r->log, size, note);
    r->log.leaves[0][0] ^= 1;
}

/* A checkpoint kept from before is checked by the key of then, which the log names: no lie of a stranger accuses the log. */
static void a_kept_checkpoint_is_checked_by_the_key_of_then(void **state)
{
    struct rotated r;
    struct ifab_buf kept = IFAB_BUF_INIT(4096), stolen = IFAB_BUF_INIT(4096), forged = IFAB_BUF_INIT(4096), lie = IFAB_BUF_INIT(4096);
    struct ifab_error err = {0};
    (void)state;
    begin(&r);
    more(&r, 3);
    export_note(&r.log, 4, &kept);
    rotate(&r, 1, FORGED_NOT);
    more(&r, 2);
    r.log.log_key = r.keys[0]; /* who stole the old key signs a tree from after the handover */
    export_note(&r.log, r.log.count, &stolen);
    r.log.log_key = r.keys[2]; /* a stranger's lie: another tree of that size */
    lying_note(&r, 4, &forged);
    r.log.log_key = r.keys[0]; /* and one that the key of then did sign */
    lying_note(&r, 4, &lie);
    r.log.log_key = r.keys[1];
    export_write(&r.log, r.log.count);
    static const char not_ours[] = "not signed by the key that this log had then", rewritten[] = "the log was rewritten";
    const struct {
        struct ifab_view note;
        size_t trusted;
        bool follow;
        enum ifab_verify_verdict verdict;
        const char *says;
    } rows[] = {
        {ifab_buf_as_view(&kept), 0, true, IFAB_VERIFY_VERIFIED, "agrees"},
        {ifab_buf_as_view(&kept), 1, true, IFAB_VERIFY_VERIFIED, "agrees"},
        {ifab_buf_as_view(&kept), 1, false, IFAB_VERIFY_VERIFIED, "agrees"},
        {ifab_buf_as_view(&kept), 0, false, IFAB_VERIFY_NOT_VERIFIED, ""},
        {ifab_buf_as_view(&stolen), 0, true, IFAB_VERIFY_NOT_VERIFIED, not_ours},
        {ifab_buf_as_view(&stolen), 1, true, IFAB_VERIFY_NOT_VERIFIED, not_ours},
        {ifab_buf_as_view(&stolen), 1, false, IFAB_VERIFY_NOT_VERIFIED, not_ours},
        {ifab_buf_as_view(&forged), 0, true, IFAB_VERIFY_NOT_VERIFIED, not_ours},
        {ifab_buf_as_view(&forged), 1, false, IFAB_VERIFY_NOT_VERIFIED, not_ours},
        {ifab_buf_as_view(&lie), 0, true, IFAB_VERIFY_NOT_VERIFIED, rewritten},
        {ifab_buf_as_view(&lie), 1, false, IFAB_VERIFY_NOT_VERIFIED, rewritten},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        const struct ifab_verify_options options = {
            .vkey = ifab_view_str(r.vkeys[rows[i].trusted]), .follow_rotation = rows[i].follow, .checkpoint = rows[i].note};
        struct ifab_verify_report report;
        assert_int_equal(ifab_verify_log(r.log.dir, &options, &report, &err), IFAB_OK);
        const bool of_trust = rows[i].says == not_ours;
        if (report.verdict != rows[i].verdict || strstr(of_trust ? report.trust : report.integrity, rows[i].says) == NULL || (of_trust && !report.intact))
            fail_msg("row %zu: %s; %s", i, report.integrity, report.trust);
    }
    ifab_buf_fini(&kept);
    ifab_buf_fini(&stolen);
    ifab_buf_fini(&forged);
    ifab_buf_fini(&lie);
    end(&r);
}

static void following_needs_the_entries(void **state)
{
    const struct ifab_verify_options hashes = {.vkey = IFAB_VIEW(""), .follow_rotation = true, .hash_only = true};
    struct ifab_verify_options options = hashes;
    struct ifab_verify_report report;
    struct ifab_error err = {0};
    struct rotated r;
    (void)state;
    begin(&r);
    options.vkey = ifab_view_str(r.vkeys[0]);
    export_write(&r.log, r.log.count);
    assert_int_equal(ifab_verify_log(r.log.dir, &options, &report, &err), IFAB_INVALID);
    options.hash_only = false;
    assert_int_equal(ifab_verify_receipt(IFAB_VIEW("{}"), &options, &report, &err), IFAB_INVALID);
    assert_int_equal(ifab_verify_bundle(IFAB_VIEW("{}"), &options, &report, &err), IFAB_INVALID);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_earlier_key_is_followed_only_when_asked_to),
        cmocka_unit_test(a_later_key_does_not_lead_back),
        cmocka_unit_test(every_forged_handover_breaks_the_log),
        cmocka_unit_test(an_admin_whose_key_was_revoked_before_asks_for_nothing),
        cmocka_unit_test(the_old_key_signs_no_tree_that_holds_its_handover),
        cmocka_unit_test(a_kept_checkpoint_is_checked_by_the_key_of_then),
        cmocka_unit_test(following_needs_the_entries),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
