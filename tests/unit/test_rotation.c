/* A new key of the log: what is signed by both, one spelling, every forgery refused; and the admin's act beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "json/json.h"
#include "witness/witness.h"

#define ORIGIN "test.example/0a1b2c3d"
#define OTHER  "test.example/0a1b2c3e"

static struct ifab_signer *key_a, *key_b, *key_c;
static uint8_t root32[32];

static int begin(void **state)
{
    uint8_t seed32[32] = {1};
    (void)state;
    memset(root32, 0x55, sizeof root32);
    struct ifab_signer **keys[] = {&key_a, &key_b, &key_c};
    for (size_t i = 0; i < 3; i++) {
        seed32[1] = (uint8_t)i;
        if (ifab_crypto_init(NULL) != IFAB_OK || ifab_signer_from_seed(seed32, keys[i], NULL) != IFAB_OK)
            return -1;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    ifab_signer_free(key_a);
    ifab_signer_free(key_b);
    ifab_signer_free(key_c);
    return 0;
}

static struct ifab_buf made(const char *origin, uint64_t size, const struct ifab_signer *from, const struct ifab_signer *to)
{
    struct ifab_buf note = IFAB_BUF_INIT(8192);
    assert_int_equal(ifab_rotation_write(ifab_view_str(origin), size, root32, from, to, &note), IFAB_OK);
    return note;
}

static void reads_what_it_writes(void **state)
{
    struct ifab_buf note = made(ORIGIN, 77, key_a, key_b);
    struct ifab_rotation read;
    uint8_t a32[32], b32[32];
    (void)state;
    ifab_signer_public(key_a, a32);
    ifab_signer_public(key_b, b32);
    assert_int_equal(ifab_rotation_verify(ifab_buf_as_view(&note), &read, NULL), IFAB_OK);
    assert_true(ifab_view_is(read.origin, ORIGIN) && read.size == 77);
    assert_memory_equal(read.root32, root32, 32);
    assert_memory_equal(read.from32, a32, 32);
    assert_memory_equal(read.to32, b32, 32);
    ifab_buf_fini(&note);
}

static void never_hands_over_to_itself(void **state)
{
    struct ifab_buf note = IFAB_BUF_INIT(8192);
    (void)state;
    assert_int_equal(ifab_rotation_write(IFAB_VIEW(ORIGIN), 1, root32, key_a, key_a, &note), IFAB_INVALID);
    ifab_buf_fini(&note);
}

/* A checkpoint is the text from its second line on; as a whole it can never be read as one, nor a checkpoint as a handover. */
static void is_no_checkpoint_and_no_checkpoint_is_one(void **state)
{
    struct ifab_buf note = made(ORIGIN, 77, key_a, key_b), text = IFAB_BUF_INIT(1024), signed_text = IFAB_BUF_INIT(4096);
    struct ifab_checkpoint checkpoint = {.origin = IFAB_VIEW(ORIGIN), .size = 77};
    struct ifab_rotation rotation;
    struct ifab_view body;
    uint8_t a32[32];
    (void)state;
    ifab_signer_public(key_a, a32);
    assert_int_equal(ifab_note_verify(ifab_buf_as_view(&note), IFAB_VIEW(ORIGIN), a32, &body, NULL), IFAB_OK);
    assert_int_not_equal(ifab_checkpoint_read(body, &checkpoint, NULL), IFAB_OK);
    checkpoint.origin = IFAB_VIEW(ORIGIN);
    checkpoint.size = 77;
    assert_int_equal(ifab_checkpoint_write(&checkpoint, &text), IFAB_OK);
    assert_int_equal(ifab_note_sign(ifab_buf_as_view(&text), IFAB_VIEW(ORIGIN), key_a, &signed_text), IFAB_OK);
    assert_int_equal(ifab_rotation_read(ifab_buf_as_view(&signed_text), &rotation, NULL), IFAB_INVALID);
    ifab_buf_fini(&note);
    ifab_buf_fini(&text);
    ifab_buf_fini(&signed_text);
}

static void refuses_every_truncation_and_every_flipped_bit(void **state)
{
    struct ifab_buf note = made(ORIGIN, 77, key_a, key_b);
    struct ifab_rotation read;
    (void)state;
    for (size_t size = 0; size < note.size; size++) {
        uint8_t *cut = ifab_malloc(size + 1);
        memcpy(cut, note.data, size);
        assert_int_not_equal(ifab_rotation_verify(ifab_view_of(cut, size), &read, NULL), IFAB_OK);
        ifab_free(cut);
    }
    for (size_t i = 0; i < note.size * 8; i++) {
        note.data[i / 8] ^= (uint8_t)(1U << (i % 8));
        if (ifab_rotation_verify(ifab_buf_as_view(&note), &read, NULL) == IFAB_OK)
            fail_msg("bit %zu", i);
        note.data[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
    assert_int_equal(ifab_rotation_verify(ifab_buf_as_view(&note), &read, NULL), IFAB_OK);
    ifab_buf_char(&note, '\n');
    assert_int_equal(ifab_rotation_verify(ifab_buf_as_view(&note), &read, NULL), IFAB_INVALID);
    ifab_buf_fini(&note);
}

/* The text of one, with signatures of whoever is named. */
static struct ifab_buf forged(const struct ifab_signer *const *signers, size_t count)
{
    struct ifab_buf note = made(ORIGIN, 77, key_a, key_b), out = IFAB_BUF_INIT(8192);
    const uint8_t *split = memmem(note.data, note.size, "\n\n", 2);
    struct ifab_view text = ifab_view_of(note.data, (size_t)(split - note.data) + 1);
    ifab_buf_view(&out, text);
    ifab_buf_char(&out, '\n');
    for (size_t i = 0; i < count; i++) {
        struct ifab_buf one = IFAB_BUF_INIT(8192);
        assert_int_equal(ifab_note_sign(text, IFAB_VIEW(ORIGIN), signers[i], &one), IFAB_OK);
        ifab_buf_put(&out, one.data + text.size + 1, one.size - text.size - 1);
        ifab_buf_fini(&one);
    }
    ifab_buf_fini(&note);
    return out;
}

static void refuses_a_missing_foreign_or_doubled_signature(void **state)
{
    const struct {
        const struct ifab_signer *signers[3];
        size_t count;
        ifab_status status;
    } rows[] = {
        {{key_a, key_b}, 2, IFAB_OK},       {{key_b, key_a}, 2, IFAB_OK},     {{key_a}, 1, IFAB_INVALID},         {{key_b}, 1, IFAB_INVALID},
        {{key_a, key_a}, 2, IFAB_DENIED},   {{key_b, key_b}, 2, IFAB_DENIED}, {{key_a, key_c}, 2, IFAB_DENIED},   {{key_c, key_b}, 2, IFAB_DENIED},
        {{key_a, key_b, key_c}, 3, IFAB_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_buf note = forged(rows[i].signers, rows[i].count);
        struct ifab_rotation read;
        if (ifab_rotation_verify(ifab_buf_as_view(&note), &read, NULL) != rows[i].status)
            fail_msg("row %zu", i);
        ifab_buf_fini(&note);
    }
}

/* ---- the payload of an entry ---- */

struct flaws {
    const char *route, *log, *request;
    const struct ifab_signer *signer; /* of the act */
    bool other_body, bad_signature;
};

static void put_vkey(struct ifab_buf *b, const struct ifab_signer *key)
{
    uint8_t public32[32];
    ifab_signer_public(key, public32);
    assert_int_equal(ifab_note_vkey_write(IFAB_VIEW(ORIGIN), public32, b), IFAB_OK);
}

static void put_act(struct ifab_buf *b, const struct flaws *flaws, struct ifab_view request)
{
    struct ifab_buf unsigned_act = IFAB_BUF_INIT(8192), covered = IFAB_BUF_INIT(8192), sig = IFAB_BUF_INIT(256);
    uint8_t digest32[32], public32[32], sig64[64];
    ifab_sha256(flaws->other_body ? IFAB_VIEW("{}") : request, digest32);
    ifab_signer_public(flaws->signer, public32);
    ifab_buf_str(&unsigned_act, "{\"body_digest\":\"sha256:");
    ifab_buf_hex(&unsigned_act, digest32, 32);
    ifab_buf_format(&unsigned_act, "\",\"issued_at\":\"2025-11-12T10:21:00Z\",\"log\":\"%s\",\"nonce\":\"AAAAAAAAAAAAAAAA\",\"route\":\"%s\",\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"",
                    flaws->log, flaws->route);
    ifab_buf_base64url(&unsigned_act, public32, 32);
    ifab_buf_format(&covered, "IF-ADMIN-v1\n%.*s\"},\"v\":1,\"why\":\"yearly\"}", (int)unsigned_act.size, (const char *)unsigned_act.data);
    ifab_signer_sign(flaws->signer, ifab_buf_as_view(&covered), sig64);
    sig64[3] ^= flaws->bad_signature ? 1 : 0;
    ifab_buf_base64url(&sig, sig64, 64);
    ifab_buf_format(b, "%.*s\",\"sig\":\"%.*s\"},\"v\":1,\"why\":\"yearly\"}", (int)unsigned_act.size, (const char *)unsigned_act.data, (int)sig.size,
                    (const char *)sig.data);
    ifab_buf_fini(&unsigned_act);
    ifab_buf_fini(&covered);
    ifab_buf_fini(&sig);
}

static ifab_status judged(const struct flaws *flaws, struct ifab_rotation *ret_rotation, uint8_t ret_admin32[32])
{
    struct ifab_buf note = made(ORIGIN, 77, key_a, key_b), request = IFAB_BUF_INIT(1024), payload = IFAB_BUF_INIT(65536);
    struct ifab_arena arena;
    const struct ifab_json *tree;
    if (flaws->request != NULL) {
        ifab_buf_str(&request, flaws->request);
    } else {
        ifab_buf_str(&request, "{\"to\":\"");
        put_vkey(&request, key_b);
        ifab_buf_str(&request, "\"}");
    }
    ifab_buf_str(&payload, "{\"act\":");
    put_act(&payload, flaws, ifab_buf_as_view(&request));
    ifab_buf_str(&payload, ",\"note\":");
    ifab_json_put_string(&payload, ifab_buf_as_view(&note));
    ifab_buf_str(&payload, ",\"request\":");
    ifab_json_put_string(&payload, ifab_buf_as_view(&request));
    ifab_buf_char(&payload, '}');
    ifab_arena_init(&arena, (size_t)1 << 20);
    assert_int_equal(ifab_json_read(ifab_buf_as_view(&payload), NULL, &arena, &tree, NULL), IFAB_OK);
    ifab_status status = ifab_rotation_payload_verify(tree, ret_rotation, ret_admin32, NULL);
    ifab_arena_fini(&arena);
    ifab_buf_fini(&note);
    ifab_buf_fini(&request);
    ifab_buf_fini(&payload);
    return status;
}

static void an_act_is_good_for_this_key_of_this_log_only(void **state)
{
    struct ifab_buf foreign = IFAB_BUF_INIT(1024);
    struct ifab_rotation read;
    uint8_t admin32[32], c32[32];
    (void)state;
    ifab_signer_public(key_c, c32);
    ifab_buf_str(&foreign, "{\"to\":\"");
    put_vkey(&foreign, key_c);
    ifab_buf_str(&foreign, "\"}");
    ifab_buf_char(&foreign, '\0');
    const struct {
        const char *what;
        struct flaws flaws;
        ifab_status status;
    } rows[] = {
        {"good", {IFAB_ROTATION_ROUTE, ORIGIN, NULL, key_c, false, false}, IFAB_OK},
        {"route", {"POST /v1/clock/accept", ORIGIN, NULL, key_c, false, false}, IFAB_DENIED},
        {"log", {IFAB_ROTATION_ROUTE, OTHER, NULL, key_c, false, false}, IFAB_DENIED},
        {"another key", {IFAB_ROTATION_ROUTE, ORIGIN, (const char *)foreign.data, key_c, false, false}, IFAB_DENIED},
        {"no key", {IFAB_ROTATION_ROUTE, ORIGIN, "{}", key_c, false, false}, IFAB_DENIED},
        {"body", {IFAB_ROTATION_ROUTE, ORIGIN, NULL, key_c, true, false}, IFAB_DENIED},
        {"signature", {IFAB_ROTATION_ROUTE, ORIGIN, NULL, key_c, false, true}, IFAB_DENIED},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (judged(&rows[i].flaws, &read, admin32) != rows[i].status)
            fail_msg("%s", rows[i].what);
    assert_int_equal(judged(&rows[0].flaws, &read, admin32), IFAB_OK);
    assert_memory_equal(admin32, c32, 32);
    ifab_buf_fini(&foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(never_hands_over_to_itself),
        cmocka_unit_test(is_no_checkpoint_and_no_checkpoint_is_one),
        cmocka_unit_test(refuses_every_truncation_and_every_flipped_bit),
        cmocka_unit_test(refuses_a_missing_foreign_or_doubled_signature),
        cmocka_unit_test(an_act_is_good_for_this_key_of_this_log_only),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
