/* Envelope v2.1 against the published vectors, its limits and its attackers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "connect/envelope.h"
#include "crypto/crypto.h"
#include "make_envelope.h"

#include <stdio.h>
#include <stdlib.h>

#define CONTENT "{\"claim\":\"x\",\"scope\":{\"year\":2024}}"
#define SENDER "if://agent/Finance.Agent/42"

static struct ifab_arena arena;
static struct ifab_signer *signer;

static int setup(void **state)
{
    (void)state;
    signer = make_signer(1);
    ifab_arena_init(&arena, 64U << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ifab_arena_fini(&arena);
    ifab_signer_free(signer);
    return 0;
}

/* ---- the published vectors ---- */

struct registry { /* the talent Finance.Agent owns key 1 only */
    uint8_t key32[32];
    ifab_usec now, skew;
};

static struct ifab_buf vectors;

static const struct ifab_json *load(const char *name, struct registry *registry)
{
    char path[4096];
    const char *dir = getenv("IFAB_VECTORS");
    snprintf(path, sizeof path, "%s/envelope/%s", dir == NULL ? "tests/vectors" : dir, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    ifab_buf_init(&vectors, 4U << 20);
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;)
        ifab_buf_put(&vectors, piece, n);
    fclose(file);

    const struct ifab_json *document;
    const struct ifab_json_limits limits = {.max_size = 4U << 20};
    struct ifab_view text;
    size_t size;
    assert_int_equal(ifab_json_read(ifab_buf_as_view(&vectors), &limits, &arena, &document, NULL), IFAB_OK);
    const struct ifab_json *key = &ifab_json_get(document, "keys")->u.array.items[0];
    assert_true(ifab_json_string(ifab_json_get(key, "pubkey"), &text));
    assert_int_equal(ifab_base64url_decode(text, registry->key32, 32, &size), IFAB_OK);
    assert_true(ifab_json_string(ifab_json_get(document, "now"), &text));
    assert_int_equal(ifab_time_parse(text, &registry->now), IFAB_OK);
    int64_t skew_s;
    assert_true(ifab_json_integer(ifab_json_get(document, "skew_s"), &skew_s));
    registry->skew = skew_s * IFAB_SECOND;
    return ifab_json_get(document, "cases");
}

/* SURFACE section 2, as far as it goes without state: 109 · 101 (110) · 106 · 001 key · 001 signature · 102 · 107. INV-01, INV-02 */
static enum ifab_code admit(const struct registry *registry, struct ifab_view bytes, struct ifab_envelope *e, struct ifab_refusal *refusal)
{
    enum ifab_code code = ifab_envelope_read(bytes, 0, &arena, e, refusal);
    if (code == IFAB_CODE_NONE && !ifab_view_is(e->sender_name, "Finance.Agent"))
        code = ifab_refuse(refusal, IFAB_CODE_UNKNOWN_SENDER, "sender", "unknown");
    if (code == IFAB_CODE_NONE)
        code = ifab_envelope_verify(e, registry->key32, refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_envelope_check_time(e, registry->now, registry->skew, INT64_MIN, refusal);
    return code;
}

static void signs_the_same_bytes_as_an_independent_implementation(void **state)
{
    (void)state;
    struct registry registry;
    const struct ifab_json *cases = load("good.json", &registry);
    static struct ifab_envelope e;
    for (size_t i = 0; i < cases->u.array.count; i++) {
        struct ifab_view text, want;
        static uint8_t bytes[65536];
        uint8_t digest32[32];
        size_t size;
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "envelope"), &text));
        struct ifab_refusal refusal = {0};
        enum ifab_code code = admit(&registry, text, &e, &refusal);
        if (code != IFAB_CODE_NONE)
            print_message("# case %zu: %d %s %s\n", i, (int)code, refusal.field, refusal.message);
        assert_int_equal(code, IFAB_CODE_NONE);
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "signed_bytes_base64"), &want));
        assert_int_equal(ifab_base64_decode(want, bytes, sizeof bytes, &size), IFAB_OK);
        assert_int_equal(e.signed_bytes.size, size);
        assert_memory_equal(e.signed_bytes.data, bytes, size);
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "signed_bytes_sha256"), &want));
        assert_int_equal(ifab_hex_decode(want, digest32, 32), IFAB_OK);
        assert_memory_equal(e.message_digest32, digest32, 32);
    }
    assert_true(cases->u.array.count >= 13);
    ifab_buf_fini(&vectors);
}

static void refuses_every_bad_vector_with_exactly_its_code(void **state)
{
    (void)state; /* INV-15 */
    struct registry registry;
    const struct ifab_json *cases = load("bad.json", &registry);
    static struct ifab_envelope e;
    int wrong = 0;
    for (size_t i = 0; i < cases->u.array.count; i++) {
        const struct ifab_json *one = &cases->u.array.items[i];
        struct ifab_view text, name, error;
        static uint8_t bytes[131072];
        size_t size = 0;
        assert_true(ifab_json_string(ifab_json_get(one, "envelope_base64"), &text));
        assert_true(ifab_json_string(ifab_json_get(one, "error"), &error));
        assert_true(ifab_json_string(ifab_json_get(one, "name"), &name));
        assert_int_equal(ifab_base64_decode(text, bytes, sizeof bytes, &size), IFAB_OK);
        struct ifab_refusal refusal = {0};
        enum ifab_code code = admit(&registry, ifab_view_of(bytes, size), &e, &refusal);
        char want[16];
        snprintf(want, sizeof want, "IF_ERR_%03d", (int)code);
        if (!ifab_view_is(error, want) || refusal.code != code) {
            print_message("# " IFAB_FMT ": want " IFAB_FMT ", got %s %s %s\n", IFAB_ARG(name), IFAB_ARG(error), want, refusal.field,
                          refusal.message);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    assert_true(cases->u.array.count >= 83);
    ifab_buf_fini(&vectors);
}

/* ---- own cases ---- */

static enum ifab_code read_text(const char *text, size_t size, struct ifab_envelope *e, struct ifab_refusal *refusal)
{
    /* an exact copy: one byte too far is seen by a sanitizer. What is borrowed from it is not looked at after a refusal. */
    uint8_t *copy = ifab_arena_alloc(&arena, size);
    assert_non_null(copy);
    memcpy(copy, text, size);
    return ifab_envelope_read(ifab_view_of(copy, size), 0, &arena, e, refusal);
}

static enum ifab_code read_made(const char *performative, const char *content, const char *more, struct ifab_envelope *e,
                                struct ifab_refusal *refusal)
{
    struct ifab_buf body = IFAB_BUF_INIT(1U << 20), out = IFAB_BUF_INIT(1U << 20);
    make_body(&body, SENDER, 1, performative, content, more);
    make_envelope(&out, signer, (const char *)body.data);
    enum ifab_code code = read_text((const char *)out.data, out.size, e, refusal);
    ifab_buf_fini(&body);
    ifab_buf_fini(&out);
    return code;
}

static void reads_every_fact_of_a_full_envelope(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    uint8_t pubkey32[32], digest32[32];
    const char *content = "{\"claim_id\":\"C-1\",\"claim\":\"c\",\"scope\":{\"b\":2,\"a\":1.50},"
                          "\"evidence\":[{\"type\":\"filing\",\"url\":\"https://example.org/\","
                          "\"hash\":\"sha256:a5bfbc7f7c81dc34d961c41578c70c07f12a71c2259102d51d9335eb0e00bbd1\","
                          "\"retrieved_at\":\"2025-11-12T10:00:00.250Z\"},{\"type\":\"db\"}],"
                          "\"source_diversity\":{\"domain_unique\":false,\"type_mix\":[]},"
                          "\"confidence\":{\"raw\":0.5,\"normalized\":1,\"basis\":[\"t\"]},"
                          "\"hazards\":[\"legal\",\"legal\"],\"data\":{\"v\":null}}";
    const char *more = ",\"v\":\"2.1\",\"trace\":\"01930000-0000-7000-8000-0000000000aa\","
                       "\"receiver\":[\"if://agent/A\",\"if://agent/B/7\","
                       "\"if://topic/markets/eu\",\"if://fabric/infrafabric.local/main/1a2b3c4d\"]";
    assert_int_equal(read_made("query-ref", content, more, &e, NULL), IFAB_CODE_NONE);
    assert_true(ifab_view_is(e.id, "msg-01930000-0000-7000-8000-000000000001"));
    assert_int_equal(e.id16[15], 1);
    assert_int_equal(e.conversation16[0], 0x01);
    assert_int_equal(e.topic32[0], 0xd4);
    assert_int_equal(e.performative, IFAB_PERFORMATIVE_QUERY_REF);
    assert_true(ifab_view_is(e.sender_name, "Finance.Agent") && ifab_view_is(e.sender_instance, "42"));
    assert_int_equal(e.receiver_count, 4);
    assert_int_equal(e.receivers[0].kind, IFAB_RECEIVER_AGENT);
    assert_true(ifab_view_is(e.receivers[1].name, "B") && ifab_view_is(e.receivers[1].uri, "if://agent/B/7"));
    assert_int_equal(e.receivers[2].kind, IFAB_RECEIVER_TOPIC);
    assert_true(ifab_view_is(e.receivers[2].name, "markets/eu"));
    assert_int_equal(e.receivers[3].kind, IFAB_RECEIVER_FABRIC);
    assert_true(ifab_view_is(e.receivers[3].name, "infrafabric.local/main/1a2b3c4d"));
    assert_int_equal(e.issued_at, INT64_C(1762942860) * IFAB_SECOND);
    assert_int_equal(e.ttl_s, 900);
    assert_int_equal(e.seq, 2);
    assert_int_equal(e.nonce_size, 16);
    assert_true(e.has_trace);
    assert_int_equal(e.trace16[15], 0xaa);
    assert_true(e.has_claim && e.has_claim_id && e.has_scope && e.has_confidence && e.has_confidence_raw);
    assert_true(e.confidence == 1.0 && e.confidence_raw == 0.5);
    ifab_sha256(IFAB_VIEW("{\"a\":1.5,\"b\":2}"), digest32);
    assert_memory_equal(e.scope_digest32, digest32, 32);
    assert_int_equal(e.evidence_count, 2);
    assert_true(ifab_view_is(e.evidence[0].url, "https://example.org/") && e.evidence[1].url.size == 0 && e.evidence[0].hash.size == 71);
    assert_int_equal(e.hazard_count, 2);
    assert_int_equal(e.key_id.size, 0);
    ifab_signer_public(signer, pubkey32);
    assert_memory_equal(e.pubkey32, pubkey32, 32);
    assert_int_equal(ifab_envelope_verify(&e, pubkey32, NULL), IFAB_CODE_NONE);
    ifab_sha256(e.signed_bytes, digest32);
    assert_memory_equal(e.message_digest32, digest32, 32);
}

static void keeps_its_digest_under_another_spelling(void **state)
{
    (void)state;
    static struct ifab_envelope a, b;
    const char *other = " { \"confidence\" : {\"raw\":50e-2}\n,\"cl\\u0061im\":\"\\u0061\\/b\"}";
    assert_int_equal(read_made("inform", "{\"claim\":\"a/b\",\"confidence\":{\"raw\":0.5}}", "", &a, NULL), IFAB_CODE_NONE);
    assert_int_equal(read_made("inform", other, ",\t\"v\":\"2.1\"", &b, NULL), IFAB_CODE_NONE);
    assert_memory_not_equal(a.message_digest32, b.message_digest32, 32); /* v is signed when it is there */
    assert_int_equal(read_made("inform", other, "\r\n", &b, NULL), IFAB_CODE_NONE);
    assert_memory_equal(a.message_digest32, b.message_digest32, 32);
    assert_memory_equal(a.sig64, b.sig64, 64);
}

static bool canonical(struct ifab_view bytes)
{
    struct ifab_envelope e;
    struct ifab_arena own;
    ifab_arena_init(&own, 16U << 20);
    bool is = ifab_envelope_read(bytes, 0, &own, &e, NULL) == IFAB_CODE_NONE && e.canonical;
    ifab_arena_fini(&own);
    return is;
}

/* Every byte is told by digest and signature, or it is not called canonical. */
static void knows_the_canonical_form_of_the_whole_message(void **state)
{
    struct registry registry;
    (void)state;
    const struct ifab_json *cases = load("good.json", &registry);
    for (size_t i = 0; i < cases->u.array.count; i++) {
        struct ifab_view text = {NULL, 0};
        const struct ifab_json *tree;
        struct ifab_arena own;
        struct ifab_buf whole = IFAB_BUF_INIT(1U << 20), other = IFAB_BUF_INIT(1U << 20);
        assert_true(ifab_json_string(ifab_json_get(&cases->u.array.items[i], "envelope"), &text));
        ifab_arena_init(&own, 16U << 20);
        assert_int_equal(ifab_json_read(text, NULL, &own, &tree, NULL), IFAB_OK);
        ifab_json_write(&whole, tree);
        assert_true(canonical(ifab_buf_as_view(&whole)));
        assert_int_equal(canonical(text), ifab_view_equal(text, ifab_buf_as_view(&whole)));
        bool string = false;
        for (size_t at = 0; at <= whole.size; at++) { /* a blank wherever JSON allows one */
            string ^= at > 0 && whole.data[at - 1] == '"' && (at < 2 || whole.data[at - 2] != '\\');
            if (string || (at > 0 && at < whole.size && strchr("{}[],:", whole.data[at]) == NULL))
                continue;
            ifab_buf_clear(&other);
            ifab_buf_put(&other, whole.data, at);
            ifab_buf_char(&other, ' ');
            ifab_buf_put(&other, whole.data + at, whole.size - at);
            if (canonical(ifab_buf_as_view(&other)))
                fail_msg("case %zu, a blank at %zu", i, at);
        }
        ifab_buf_fini(&whole);
        ifab_buf_fini(&other);
        ifab_arena_fini(&own);
    }
    ifab_buf_fini(&vectors);
}

static void grows_numbers_without_running_out_of_room(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    struct ifab_buf content = IFAB_BUF_INIT(1U << 20);
    ifab_buf_str(&content, "{\"data\":{\"x\":[1");
    for (int i = 0; i < 12000; i++) /* 60 KB that become 204 KB */
        ifab_buf_str(&content, ",9e15");
    ifab_buf_str(&content, "]}}");
    ifab_buf_char(&content, '\0');
    assert_int_equal(read_made("inform", (const char *)content.data, "", &e, NULL), IFAB_CODE_NONE);
    assert_true(e.signed_bytes.size > 3 * e.bytes.size);
    /* control characters, in the spelling RFC 8785 keeps */
    ifab_buf_clear(&content);
    ifab_buf_str(&content, "{\"data\":{\"x\":\"");
    for (int i = 0; i < 10000; i++)
        ifab_buf_str(&content, "\\u0001");
    ifab_buf_str(&content, "\"}}");
    ifab_buf_char(&content, '\0');
    assert_int_equal(read_made("inform", (const char *)content.data, "", &e, NULL), IFAB_CODE_NONE);
    ifab_buf_fini(&content);
}

static const struct {
    const char *more, *field;
    enum ifab_code code;
} top_cases[] = {
    {"", "", IFAB_CODE_NONE},
    {",\"v\":\"2.1\"", "", IFAB_CODE_NONE},
    {",\"v\":\"2.0\"", "v", IFAB_CODE_UNSUPPORTED_VERSION},
    {",\"v\":\"3\",\"priority\":1", "v", IFAB_CODE_UNSUPPORTED_VERSION},
    {",\"v\":\"\"", "v", IFAB_CODE_UNSUPPORTED_VERSION},
    {",\"v\":2.1", "v", IFAB_CODE_INVALID_ENVELOPE},
    {",\"v\":null", "v", IFAB_CODE_INVALID_ENVELOPE},
    {",\"priority\":1", "priority", IFAB_CODE_INVALID_ENVELOPE},
    {",\"trace\":\"00000000-0000-0000-0000-000000000000\"", "trace", IFAB_CODE_INVALID_ENVELOPE},
    {",\"trace\":\"0193000000007000800000000000000a\"", "trace", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://agent/A\"", "", IFAB_CODE_NONE},
    {",\"receiver\":\"if://agent/A/i/j\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://agent/A@1.0\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://agent/A#x\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://topic/x\"", "", IFAB_CODE_NONE},
    {",\"receiver\":\"if://topic/x@1\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://topic/x#y\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://topic/\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://fabric/infrafabric.local/main/1a2b3c4d\"", "", IFAB_CODE_NONE},
    {",\"receiver\":\"if://fabric/infrafabric.local/../x\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://fabric/x@1\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://capability/x\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":\"if://*\"", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":[\"if://agent/A\",\"if://agent/A/1\",\"if://topic/A\"]", "", IFAB_CODE_NONE},
    {",\"receiver\":[\"if://agent/A\",\"if://agent/B\",\"if://agent/A\"]", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":[\"if://agent/A\",\"if://agent/A\"]", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":[\"if://agent/A\",7]", "receiver", IFAB_CODE_INVALID_ENVELOPE},
    {",\"receiver\":{}", "receiver", IFAB_CODE_INVALID_ENVELOPE},
};

static void checks_what_stands_at_the_top(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    static const struct ifab_envelope zero;
    for (size_t i = 0; i < IFAB_COUNT(top_cases); i++) {
        struct ifab_refusal refusal = {0};
        enum ifab_code code = read_made("inform", CONTENT, top_cases[i].more, &e, &refusal);
        if (code != top_cases[i].code || !ifab_view_starts(ifab_view_str(refusal.field), ifab_view_str(top_cases[i].field)))
            fail_msg("%s: %d %s: %s", top_cases[i].more, (int)code, refusal.field, refusal.message);
        if (code != IFAB_CODE_NONE) { /* nothing of a refused input is kept */
            assert_memory_equal(&e, &zero, sizeof e);
            assert_true(refusal.offset > 0);
        }
    }
}

static const struct {
    const char *performative, *content;
    bool claim;
} claim_cases[] = {
    {"inform", "{}", true},           {"propose", "{}", true},        {"agree", "{}", true},
    {"contradict", "{}", true},       {"request", "{}", false},       {"request", "{\"claim\":\"\"}", true},
    {"hold", "{\"claim_id\":\"c\"}", true}, {"share", "{\"evidence\":[]}", false}, {"share", "{\"evidence\":[{\"type\":\"db\"}]}", true},
    {"query-if", "{}", false},        {"query-ref", "{}", false},     {"refuse", "{}", false},
    {"accept-proposal", "{}", false}, {"reject-proposal", "{}", false}, {"escalate", "{\"hazards\":[\"legal\"]}", false},
};

static void knows_a_claim(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    for (size_t i = 0; i < IFAB_COUNT(claim_cases); i++) {
        assert_int_equal(read_made(claim_cases[i].performative, claim_cases[i].content, "", &e, NULL), IFAB_CODE_NONE);
        assert_string_equal(ifab_performative_name(e.performative), claim_cases[i].performative);
        assert_int_equal(ifab_envelope_is_claim(&e), claim_cases[i].claim);
    }
}

/* content with one field of n bytes, or a list of n items; # is the number of the piece */
static void put_times(struct ifab_buf *buf, const char *before, const char *piece, const char *between, size_t n, const char *after)
{
    ifab_buf_clear(buf);
    ifab_buf_str(buf, before);
    for (size_t i = 0; i < n; i++) {
        ifab_buf_str(buf, i == 0 ? "" : between);
        for (const char *c = piece; *c != '\0'; c++) {
            if (*c == '#')
                ifab_buf_u64(buf, i);
            else
                ifab_buf_char(buf, *c);
        }
    }
    ifab_buf_str(buf, after);
    ifab_buf_char(buf, '\0');
}

static const struct {
    const char *before, *piece, *between, *after;
    size_t most;
} limit_cases[] = {
    {"{\"claim\":\"", "x", "", "\"}", 8192},
    {"{\"claim_id\":\"", "x", "", "\"}", 128},
    {"{\"evidence\":[", "{\"type\":\"db\"}", ",", "]}", 64},
    {"{\"evidence\":[{\"type\":\"", "x", "", "\"}]}", 64},
    {"{\"evidence\":[{\"type\":\"a\",\"url\":\"", "x", "", "\"}]}", 2048},
    {"{\"hazards\":[", "\"h#\"", ",", "]}", 16},
    {"{\"hazards\":[\"", "x", "", "\"]}", 64},
    {"{\"confidence\":{\"basis\":[", "\"b\"", ",", "]}}", 32},
    {"{\"source_diversity\":{\"type_mix\":[", "\"b\"", ",", "]}}", 32},
};

static void takes_each_limit_and_refuses_one_more(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    struct ifab_buf text = IFAB_BUF_INIT(1U << 20);
    for (size_t i = 0; i < IFAB_COUNT(limit_cases); i++) {
        for (size_t more = 0; more <= 1; more++) {
            size_t count = limit_cases[i].most + more;
            put_times(&text, limit_cases[i].before, limit_cases[i].piece, limit_cases[i].between, count, limit_cases[i].after);
            enum ifab_code code = read_made("inform", (const char *)text.data, "", &e, NULL);
            assert_int_equal(code, more == 0 ? IFAB_CODE_NONE : IFAB_CODE_INVALID_ENVELOPE);
        }
    }
    put_times(&text, ",\"receiver\":[", "\"if://agent/A#\"", ",", 64, "]");
    assert_int_equal(read_made("inform", CONTENT, (const char *)text.data, &e, NULL), IFAB_CODE_NONE);
    assert_int_equal(e.receiver_count, 64);
    put_times(&text, ",\"receiver\":[", "\"if://agent/A#\"", ",", 65, "]");
    assert_int_equal(read_made("inform", CONTENT, (const char *)text.data, &e, NULL), IFAB_CODE_INVALID_ENVELOPE);
    ifab_buf_fini(&text);
}

static const struct {
    const char *content;
    bool good;
} content_cases[] = {
    {"{}", true},
    {"{\"data\":{\"signature\":{\"sig\":\"x\"}}}", true},
    {"{\"scope\":{}}", true},
    {"{\"scope\":[]}", false},
    {"{\"scope\":\"all\"}", false},
    {"{\"data\":1}", false},
    {"{\"more\":1}", false},
    {"{\"claim\":null}", false},
    {"{\"claim_id\":\"\"}", false},
    {"{\"claim_id\":\"a\\nb\"}", false},
    {"{\"claim\":\"a\\nb\"}", true},
    {"{\"confidence\":{}}", true},
    {"{\"confidence\":{\"normalized\":0}}", true},
    {"{\"confidence\":{\"normalized\":-0}}", false},
    {"{\"confidence\":{\"normalized\":1.0000000000000002}}", false},
    {"{\"confidence\":{\"raw\":2}}", false},
    {"{\"confidence\":{\"raw\":null}}", false},
    {"{\"confidence\":{\"other\":1}}", false},
    {"{\"confidence\":0.5}", false},
    {"{\"evidence\":[{}]}", false},
    {"{\"evidence\":[{\"type\":\"\"}]}", false},
    {"{\"evidence\":[{\"type\":\"a\",\"hash\":\"sha256:00\"}]}", false},
    {"{\"evidence\":[{\"type\":\"a\",\"retrieved_at\":\"yesterday\"}]}", false},
    {"{\"evidence\":[{\"type\":\"a\",\"who\":1}]}", false},
    {"{\"evidence\":{}}", false},
    {"{\"hazards\":[\"\"]}", false},
    {"{\"hazards\":[1]}", false},
    {"{\"source_diversity\":{\"domain_unique\":1}}", false},
    {"{\"scope\":{\"x\":9007199254740991}}", true},
    {"{\"scope\":{\"x\":9007199254740992}}", false},
    {"{\"scope\":{\"x\":9007199254740991.4}}", true},
    {"{\"scope\":{\"x\":9.007199254740992e15}}", false},
    {"{\"data\":{\"a\":1,\"a\":2}}", false},
    {"[]", false},
    {"null", false},
};

static void checks_the_content(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    for (size_t i = 0; i < IFAB_COUNT(content_cases); i++) {
        struct ifab_refusal refusal = {0};
        enum ifab_code code = read_made("inform", content_cases[i].content, "", &e, &refusal);
        if (code != (content_cases[i].good ? IFAB_CODE_NONE : IFAB_CODE_INVALID_ENVELOPE))
            fail_msg("%s: %d %s: %s", content_cases[i].content, (int)code, refusal.field, refusal.message);
    }
}

static void refuses_one_byte_above_the_limit_before_reading(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    struct ifab_buf body = IFAB_BUF_INIT(1U << 20), out = IFAB_BUF_INIT(1U << 20);
    make_body(&body, SENDER, 1, "inform", CONTENT, "");
    make_envelope(&out, signer, (const char *)body.data);
    while (out.size < IFAB_ENVELOPE_MAX)
        ifab_buf_char(&out, ' ');
    assert_int_equal(ifab_envelope_read(ifab_buf_as_view(&out), 0, &arena, &e, NULL), IFAB_CODE_NONE);
    ifab_buf_char(&out, ' ');
    struct ifab_refusal refusal = {0};
    assert_int_equal(ifab_envelope_read(ifab_buf_as_view(&out), 0, &arena, &e, &refusal), IFAB_CODE_TOO_LARGE);
    assert_int_equal(refusal.code, IFAB_CODE_TOO_LARGE);
    assert_int_equal(ifab_envelope_read(ifab_buf_as_view(&out), IFAB_ENVELOPE_MAX + 1, &arena, &e, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_read(ifab_view_of(out.data, 100), 99, &arena, &e, NULL), IFAB_CODE_TOO_LARGE);
    ifab_buf_fini(&body);
    ifab_buf_fini(&out);
}

static void judges_time_to_the_microsecond(void **state)
{
    (void)state;
    struct ifab_envelope e = {.issued_at = 1000 * IFAB_SECOND, .ttl_s = 100};
    const ifab_usec skew = 60 * IFAB_SECOND, last = 1160 * IFAB_SECOND, first = 940 * IFAB_SECOND;
    assert_int_equal(ifab_envelope_check_time(&e, last, skew, INT64_MIN, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_check_time(&e, last + 1, skew, INT64_MIN, NULL), IFAB_CODE_EXPIRED_MESSAGE);
    assert_int_equal(ifab_envelope_check_time(&e, first, skew, INT64_MIN, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_check_time(&e, first - 1, skew, INT64_MIN, NULL), IFAB_CODE_FUTURE_MESSAGE);
    assert_int_equal(ifab_envelope_check_time(&e, 1100 * IFAB_SECOND, 0, INT64_MIN, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_check_time(&e, 1100 * IFAB_SECOND + 1, 0, INT64_MIN, NULL), IFAB_CODE_EXPIRED_MESSAGE);
    assert_int_equal(ifab_envelope_check_time(&e, 0, skew, INT64_MIN, NULL), IFAB_CODE_FUTURE_MESSAGE);
    /* INV-03: what replay memory has dropped stays expired, whatever the clock says */
    assert_int_equal(ifab_envelope_check_time(&e, last, skew, 1100 * IFAB_SECOND - 1, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_check_time(&e, last, skew, 1100 * IFAB_SECOND, NULL), IFAB_CODE_EXPIRED_MESSAGE);
    assert_int_equal(ifab_envelope_check_time(&e, first, skew, 1100 * IFAB_SECOND, NULL), IFAB_CODE_EXPIRED_MESSAGE);
}

static void accepts_no_prefix_and_no_flipped_bit(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    uint8_t pubkey32[32];
    struct ifab_buf body = IFAB_BUF_INIT(1U << 20), out = IFAB_BUF_INIT(1U << 20);
    struct ifab_arena own;
    ifab_arena_init(&own, 4U << 20);
    make_body(&body, SENDER, 1, "inform", CONTENT, ",\"receiver\":[\"if://agent/A\",\"if://topic/B\"]");
    make_envelope(&out, signer, (const char *)body.data);
    ifab_signer_public(signer, pubkey32);
    for (size_t i = 0; i < out.size; i++) {
        uint8_t *copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, out.data, i);
        assert_int_equal(ifab_envelope_read(ifab_view_of(copy, i), 0, &own, &e, NULL), IFAB_CODE_INVALID_ENVELOPE);
        free(copy);
        ifab_arena_reset(&own);
    }
    unsigned verified = 0;
    for (size_t i = 0; i < out.size * 8; i++) {
        out.data[i / 8] ^= (uint8_t)(1U << (i % 8));
        if (ifab_envelope_read(ifab_buf_as_view(&out), 0, &own, &e, NULL) == IFAB_CODE_NONE) {
            verified++;
            assert_int_equal(ifab_envelope_verify(&e, pubkey32, NULL), IFAB_CODE_INVALID_SIGNATURE); /* INV-01 */
        }
        ifab_arena_reset(&own);
        out.data[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
    assert_true(verified > 100); /* the signature was asked, not only the parser */
    assert_int_equal(ifab_envelope_read(ifab_buf_as_view(&out), 0, &own, &e, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_verify(&e, pubkey32, NULL), IFAB_CODE_NONE);
    ifab_arena_fini(&own);
    ifab_buf_fini(&body);
    ifab_buf_fini(&out);
}

/* One piece of a good envelope replaced by another. */
static enum ifab_code read_replaced(const char *from, const char *to, struct ifab_envelope *e, struct ifab_refusal *refusal)
{
    struct ifab_buf body = IFAB_BUF_INIT(1U << 20), out = IFAB_BUF_INIT(1U << 20), text = IFAB_BUF_INIT(1U << 20);
    make_body(&body, SENDER, 1, "inform", CONTENT, "");
    make_envelope(&out, signer, (const char *)body.data);
    ifab_buf_char(&out, '\0');
    const char *at = strstr((const char *)out.data, from);
    assert_non_null(at);
    ifab_buf_put(&text, out.data, (size_t)(at - (const char *)out.data));
    ifab_buf_str(&text, to);
    ifab_buf_str(&text, at + strlen(from));
    enum ifab_code code = read_text((const char *)text.data, text.size, e, refusal);
    ifab_buf_fini(&body);
    ifab_buf_fini(&out);
    ifab_buf_fini(&text);
    return code;
}

static const struct {
    const char *from, *to, *field, *says;
} replacements[] = {
    {"\"sha256:", "\"sha512:", "topic_hash", "must be"},
    {"\"sha256:d", "\"sha256:", "topic_hash", "must be"},
    {"\"sha256:d45a1dfdd90023d002540b703adc912e8e5658758bb0d381a4f342afcb428752\"", "\"sha25\"", "topic_hash", "must be"},
    {"msg-", "task-", "id", "UUIDv7"},
    {"conv-", "msg-", "conversation_id", "UUIDv7"},
    {"\"inform\"", "\"informs\"", "performative", "lower case"},
    {"if://agent/Finance.Agent/42", "if://agent/Finance.Agent/42/1", "sender", "if://agent/NAME"},
    {"if://agent/Finance.Agent/42", "if://agent/Finance.Agent/42@1", "sender", "if://agent/NAME"},
    {"T10:21:00Z", "T10:21:60Z", "issued_at", "must be"},
    {"\"ttl_s\":900", "\"ttl_s\":9e300", "", ""},
    {"\"seq\":2", "\"seq\":2.5", "seq", "integer"},
    {"\"nonce\":\"", "\"nonce\":\"AAA", "nonce", "must be"},
    {"\"nonce\":\"AQAA", "\"nonce\":\"AQ==", "nonce", "must be"},
    {"\"algorithm\":\"ed25519\",", "", "signature.algorithm", ""},
    {"\"pubkey\":\"", "\"pubkey\":\"AAAA", "signature.pubkey", "must be"},
};

static void says_which_field_is_wrong_and_where(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    uint8_t pubkey32[32];
    struct ifab_refusal refusal = {0};
    for (size_t i = 0; i < IFAB_COUNT(replacements); i++) {
        assert_int_equal(read_replaced(replacements[i].from, replacements[i].to, &e, &refusal), IFAB_CODE_INVALID_ENVELOPE);
        if (strcmp(refusal.field, replacements[i].field) != 0 || strstr(refusal.message, replacements[i].says) == NULL ||
            refusal.offset < 1)
            fail_msg("%s: %s: %s at %d", replacements[i].to, refusal.field, refusal.message, (int)refusal.offset);
    }
    struct ifab_buf whole = IFAB_BUF_INIT(100), part = IFAB_BUF_INIT(100); /* a key of 31 bytes, spelled rightly */
    ifab_signer_public(signer, pubkey32);
    ifab_buf_base64url(&whole, pubkey32, 32);
    ifab_buf_char(&whole, '\0');
    ifab_buf_base64url(&part, pubkey32, 31);
    ifab_buf_char(&part, '\0');
    assert_int_equal(read_replaced((const char *)whole.data, (const char *)part.data, &e, &refusal), IFAB_CODE_INVALID_ENVELOPE);
    assert_string_equal(refusal.field, "signature.pubkey");
    ifab_buf_fini(&whole);
    ifab_buf_fini(&part);
}

static void trusts_only_the_registered_key(void **state)
{
    (void)state; /* INV-02 */
    static struct ifab_envelope e;
    uint8_t pubkey32[32], other32[32];
    struct ifab_signer *other = make_signer(2);
    struct ifab_refusal refusal = {0};
    ifab_signer_public(signer, pubkey32);
    ifab_signer_public(other, other32);
    assert_int_equal(read_made("inform", CONTENT, "", &e, NULL), IFAB_CODE_NONE);
    assert_int_equal(ifab_envelope_verify(&e, other32, &refusal), IFAB_CODE_INVALID_SIGNATURE);
    assert_string_equal(refusal.field, "signature.pubkey");
    char key_id[19];
    ifab_key_id(pubkey32, key_id);
    e.key_id = ifab_view_str(key_id);
    assert_int_equal(ifab_envelope_verify(&e, pubkey32, NULL), IFAB_CODE_NONE);
    e.key_id.size--;
    assert_int_equal(ifab_envelope_verify(&e, pubkey32, &refusal), IFAB_CODE_INVALID_SIGNATURE);
    assert_string_equal(refusal.field, "signature.key_id");
    e.key_id.size = 0;
    memset(e.sig64, 0, 64);
    assert_int_equal(ifab_envelope_verify(&e, pubkey32, &refusal), IFAB_CODE_INVALID_SIGNATURE);
    assert_string_equal(refusal.field, "signature.sig");
    ifab_signer_free(other);
}

static void survives_every_failing_allocation(void **state)
{
    (void)state;
    static struct ifab_envelope e;
    static const struct ifab_envelope zero;
    struct ifab_buf body = IFAB_BUF_INIT(1U << 20), out = IFAB_BUF_INIT(1U << 20);
    make_body(&body, SENDER, 1, "inform", CONTENT, "");
    make_envelope(&out, signer, (const char *)body.data);
    enum ifab_code code = IFAB_CODE_SYSTEM_ERROR;
    uint64_t n = 0;
    while (code != IFAB_CODE_NONE) {
        struct ifab_arena own;
        ifab_arena_init(&own, 4U << 20);
        ifab_mem_fail_at(++n);
        code = ifab_envelope_read(ifab_buf_as_view(&out), 0, &own, &e, NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (failed) {
            assert_int_equal(code, IFAB_CODE_SYSTEM_ERROR);
            assert_memory_equal(&e, &zero, sizeof e);
        } else {
            assert_int_equal(code, IFAB_CODE_NONE);
        }
        ifab_arena_fini(&own);
    }
    assert_true(n > 1 && n < 1000);
    struct ifab_arena small; /* an exhausted arena is the same answer */
    ifab_arena_init(&small, 64);
    assert_int_equal(ifab_envelope_read(ifab_buf_as_view(&out), 0, &small, &e, NULL), IFAB_CODE_SYSTEM_ERROR);
    ifab_arena_fini(&small);
    ifab_buf_fini(&body);
    ifab_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(signs_the_same_bytes_as_an_independent_implementation, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_every_bad_vector_with_exactly_its_code, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_every_fact_of_a_full_envelope, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_its_digest_under_another_spelling, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_the_canonical_form_of_the_whole_message, setup, teardown),
        cmocka_unit_test_setup_teardown(grows_numbers_without_running_out_of_room, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_what_stands_at_the_top, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_a_claim, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_each_limit_and_refuses_one_more, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_the_content, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_one_byte_above_the_limit_before_reading, setup, teardown),
        cmocka_unit_test(judges_time_to_the_microsecond),
        cmocka_unit_test_setup_teardown(accepts_no_prefix_and_no_flipped_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(says_which_field_is_wrong_and_where, setup, teardown),
        cmocka_unit_test_setup_teardown(trusts_only_the_registered_key, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_every_failing_allocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
