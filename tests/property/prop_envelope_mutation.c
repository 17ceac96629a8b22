/*
 * Forgery by mutation: valid signed envelopes are changed at random, then read, verified and checked for replay as the daemon does.
 * Nothing may pass but what says the same under the same signature in another spelling (blanks, order of members, escapes); that is
 * the message itself, and replay memory must know it. IFAB_MUTATIONS (100,000) and IFAB_SEED set the run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "connect/envelope.h"
#include "connect/replay.h"
#include "crypto/crypto.h"
#include "make_envelope.h"

#include <stdlib.h>

#define BASES 40
#define TALENTS 4 /* enrolled; one more has a key but is not */
#define ROOM 16384
#define TOKENS 512

struct span {
    size_t from, to;
};
struct base {
    uint8_t *text;
    size_t size;
    uint8_t digest32[32];
    struct span tokens[TOKENS], members[64]; /* strings and numbers anywhere; "name": value at the top */
    size_t token_count, member_count;
};
static struct base bases[BASES];
static struct ifab_signer *signers[TALENTS + 1];
static uint8_t keys32[TALENTS + 1][32];
static struct ifab_replay *replay;
static ifab_usec wall;
static uint64_t state64;

static const uint8_t tag_key16[16] = {3, 1, 4};

static size_t roll(size_t below)
{
    state64 += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    uint64_t z = state64;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ (z >> 31)) % below);
}

/* ---- bases ---- */

static const char *const contents[] = {
    "{}",
    "{\"claim\":\"Q3 revenue rose 12 % \\u2013 caf\xc3\xa9\",\"scope\":{\"year\":2024}}",
    "{\"claim_id\":\"C-1\",\"claim\":\"x\",\"confidence\":{\"raw\":0.75,\"normalized\":0.72,\"basis\":[\"sample:large\"]},"
    "\"hazards\":[\"legal\"]}",
    "{\"evidence\":[{\"type\":\"filing\",\"url\":\"https://example.org/10-K\"},{\"type\":\"db\"}],"
    "\"source_diversity\":{\"domain_unique\":true}}",
    "{\"data\":{\"amount\":{\"usd_micro\":1500000},\"to\":\"if://agent/T1\",\"list\":[1,2.5,-3,1e-7,\"a\\/b\"]}}",
};
static const char *const extras[] = {"", ",\"v\":\"2.1\"", ",\"receiver\":\"if://agent/T1\"",
                                     ",\"receiver\":[\"if://agent/T1\",\"if://topic/x\"]",
                                     ",\"trace\":\"01930000-0000-7000-8000-0000000000aa\""};
static const char *const performatives[] = {"inform", "request", "propose", "agree"};

/* Strings (with their quotes) and runs of what numbers and literals are made of; members of the outermost object. */
static void scan(struct base *base)
{
    size_t depth = 0, member = 0;
    for (size_t i = 0; i < base->size;) {
        uint8_t c = base->text[i];
        size_t from = i++;
        if (c == '{' || c == '[') {
            depth++;
            member = depth == 1 ? i : member;
        }
        if ((c == '}' && depth == 1) || (c == ',' && depth == 1)) {
            if (base->member_count < IFAB_COUNT(base->members))
                base->members[base->member_count++] = (struct span){member, from};
            member = i;
        }
        if (c == '}' || c == ']')
            depth--;
        if (c == '"') {
            while (base->text[i] != '"')
                i += base->text[i] == '\\' ? 2 : 1;
            i++;
        } else if (strchr("{}[],: ", c) == NULL) {
            while (strchr("{}[],: \"", base->text[i]) == NULL)
                i++;
        } else {
            continue;
        }
        if (base->token_count < TOKENS)
            base->tokens[base->token_count++] = (struct span){from, i};
    }
}

static void make_base(unsigned n, struct ifab_arena *arena)
{
    static struct ifab_envelope e;
    struct base *base = &bases[n];
    struct ifab_buf body = IFAB_BUF_INIT(ROOM), out = IFAB_BUF_INIT(ROOM);
    unsigned talent = n % (TALENTS + 1);
    char sender[32] = "if://agent/T0/1";
    sender[12] = (char)('0' + talent);
    make_body(&body, sender, n, performatives[n % 4], contents[n % IFAB_COUNT(contents)], extras[n / 5 % IFAB_COUNT(extras)]);
    make_envelope(&out, signers[talent], (const char *)body.data);
    assert_int_equal(ifab_envelope_read(ifab_buf_as_view(&out), 0, arena, &e, NULL), IFAB_CODE_NONE);
    memcpy(base->digest32, e.message_digest32, 32);
    base->size = out.size;
    base->text = malloc(out.size);
    assert_non_null(base->text);
    memcpy(base->text, out.data, out.size);
    scan(base);
    assert_true(base->member_count >= 11 && base->token_count >= 25);

    struct ifab_replay_tag tag; /* every base of an enrolled talent has been accepted */
    wall = e.issued_at + 30 * IFAB_SECOND;
    assert_int_equal(ifab_envelope_verify(&e, keys32[talent], NULL), IFAB_CODE_NONE);
    ifab_replay_tags(tag_key16, talent, e.id16, e.nonce, e.nonce_size, &tag);
    tag.expiry = e.issued_at + e.ttl_s * IFAB_SECOND;
    assert_int_equal(ifab_replay_check(replay, &tag, NULL, NULL), IFAB_REPLAY_FRESH);
    assert_int_equal(ifab_replay_reserve(replay, 1), IFAB_OK);
    if (talent < TALENTS)
        ifab_replay_add(replay, &tag);
    ifab_buf_fini(&body);
    ifab_buf_fini(&out);
}

/* ---- mutations: each writes at most ROOM bytes to to ---- */

static size_t splice(uint8_t *to, const struct base *a, struct span cut, const uint8_t *piece, size_t size)
{
    size_t rest = a->size - cut.to;
    memcpy(to, a->text, cut.from);
    if (size > 0)
        memcpy(to + cut.from, piece, size);
    memcpy(to + cut.from + size, a->text + cut.to, rest);
    return cut.from + size + rest;
}

static size_t flip_bits(uint8_t *to, const struct base *a, const struct base *b)
{
    (void)b;
    memcpy(to, a->text, a->size);
    for (size_t n = roll(3) + 1; n > 0; n--)
        to[roll(a->size)] ^= (uint8_t)(1U << roll(8));
    return a->size;
}

static size_t insert_byte(uint8_t *to, const struct base *a, const struct base *b)
{
    static const uint8_t likely[] = "0123456789.eE+-\"{}[],:\\ \t\r\n/utfnAZaz_";
    (void)b;
    uint8_t byte = roll(4) == 0 ? (uint8_t)roll(256) : likely[roll(sizeof likely)];
    size_t at = roll(a->size + 1);
    return splice(to, a, (struct span){at, at}, &byte, 1);
}

static size_t delete_bytes(uint8_t *to, const struct base *a, const struct base *b)
{
    (void)b;
    size_t from = roll(a->size), size = roll(8) == 0 ? roll(a->size - from) + 1 : 1;
    return splice(to, a, (struct span){from, from + size}, NULL, 0);
}

static size_t swap_token(uint8_t *to, const struct base *a, const struct base *b)
{
    const struct base *from = roll(2) == 0 ? a : b;
    struct span piece = from->tokens[roll(from->token_count)];
    return splice(to, a, a->tokens[roll(a->token_count)], from->text + piece.from, piece.to - piece.from);
}

static size_t same_member(uint8_t *to, const struct base *a, const struct base *b) /* the signature of another message, its id, … */
{
    size_t at = roll(a->member_count < b->member_count ? a->member_count : b->member_count);
    if (roll(3) == 0) { /* the signature stands last */
        struct span cut = a->members[a->member_count - 1], piece = b->members[b->member_count - 1];
        return splice(to, a, cut, b->text + piece.from, piece.to - piece.from);
    }
    struct span piece = b->members[at];
    return splice(to, a, a->members[at], b->text + piece.from, piece.to - piece.from);
}

static size_t remove_member(uint8_t *to, const struct base *a, const struct base *b)
{
    (void)b;
    size_t at = roll(a->member_count);
    struct span cut = a->members[at];
    cut.to += at + 1 < a->member_count; /* with the comma behind it, or the last one before it */
    cut.from -= at + 1 == a->member_count;
    return splice(to, a, cut, NULL, 0);
}

static size_t repeat_member(uint8_t *to, const struct base *a, const struct base *b)
{
    const struct base *from = roll(2) == 0 ? a : b;
    struct span piece = from->members[roll(from->member_count)];
    size_t at = a->members[roll(a->member_count)].from;
    size_t size = splice(to, a, (struct span){at, at}, from->text + piece.from, piece.to - piece.from);
    memmove(to + at + (piece.to - piece.from) + 1, to + at + (piece.to - piece.from), size - at - (piece.to - piece.from));
    to[at + (piece.to - piece.from)] = ',';
    return size + 1;
}

static size_t change_number(uint8_t *to, const struct base *a, const struct base *b)
{
    static const char *const numbers[] = {
        "0",   "-1",    "1",  "2",                "899",              "900.0",   "9e2",  "90e1", "901", "3600",   "3601", "1.5",
        "1e400", "-0", "9007199254740991", "9007199254740992", "\"1\"", "null", "true", "0.3", "7.5e-1", "1E0",  "01",  "+1"};
    (void)b;
    for (size_t tries = 0; tries < 64; tries++) {
        struct span cut = a->tokens[roll(a->token_count)];
        const char *number = numbers[roll(IFAB_COUNT(numbers))];
        if (a->text[cut.from] != '"')
            return splice(to, a, cut, (const uint8_t *)number, strlen(number));
    }
    return flip_bits(to, a, b);
}

static size_t truncate_text(uint8_t *to, const struct base *a, const struct base *b)
{
    (void)b;
    size_t size = roll(a->size);
    memcpy(to, a->text, size);
    return size;
}

static size_t head_and_tail(uint8_t *to, const struct base *a, const struct base *b)
{
    size_t at = roll(a->size), from = roll(4) == 0 ? roll(b->size) : (at < b->size ? at : b->size);
    memcpy(to, a->text, at);
    memcpy(to + at, b->text + from, b->size - from);
    return at + b->size - from;
}

static size_t spell_otherwise(uint8_t *to, const struct base *a, const struct base *b) /* says the same: blanks, escapes */
{
    (void)b;
    static const char *const digits = "0123456789abcdef";
    struct span token = a->tokens[roll(a->token_count)];
    if (roll(2) == 0 || a->text[token.from] != '"')
        return splice(to, a, (struct span){token.from, token.from}, (const uint8_t *)" \t\r\n", roll(4) + 1);
    size_t at = token.from + 1;
    if (a->text[at] == '\\' || a->text[at] == '"' || a->text[at] > 0x7e)
        return splice(to, a, (struct span){token.from, token.from}, (const uint8_t *)" ", 1);
    uint8_t escape[6] = {'\\', 'u', '0', '0', (uint8_t)digits[a->text[at] >> 4], (uint8_t)digits[a->text[at] & 15]};
    return splice(to, a, (struct span){at, at + 1}, escape, 6);
}

static size_t swap_members(uint8_t *to, const struct base *a, const struct base *b) /* says the same: order */
{
    (void)b;
    size_t i = roll(a->member_count - 1);
    struct span x = a->members[i], y = a->members[i + 1];
    size_t at = x.from;
    memcpy(to, a->text, a->size);
    memcpy(to + at, a->text + y.from, y.to - y.from);
    at += y.to - y.from;
    to[at++] = ',';
    memcpy(to + at, a->text + x.from, x.to - x.from);
    return a->size;
}

typedef size_t mutate_fn(uint8_t *to, const struct base *a, const struct base *b);
static mutate_fn *const mutations[] = {flip_bits,     insert_byte,   delete_bytes,  swap_token,    same_member,     remove_member,
                                       repeat_member, change_number, truncate_text, head_and_tail, spell_otherwise, swap_members};

/* ---- the daemon's order of checks ---- */

enum { ACCEPTED_ANEW, KNOWN, PARSER, SENDER, SIGNATURE, TIME, REPLAY_OTHER, OUTCOMES };

static int admit(struct ifab_view text, struct ifab_arena *arena, struct ifab_envelope *e)
{
    if (ifab_envelope_read(text, 0, arena, e, NULL) != IFAB_CODE_NONE)
        return PARSER;
    unsigned talent = e->sender_name.size == 2 && e->sender_name.data[0] == 'T' ? (unsigned)e->sender_name.data[1] - '0' : TALENTS;
    if (talent >= TALENTS)
        return SENDER;
    if (ifab_envelope_verify(e, keys32[talent], NULL) != IFAB_CODE_NONE)
        return SIGNATURE;
    if (ifab_envelope_check_time(e, wall, IFAB_MINUTE, INT64_MIN, NULL) != IFAB_CODE_NONE)
        return TIME;
    struct ifab_replay_tag tag;
    bool same_id = false;
    ifab_replay_tags(tag_key16, talent, e->id16, e->nonce, e->nonce_size, &tag);
    tag.expiry = e->issued_at + e->ttl_s * IFAB_SECOND;
    if (ifab_replay_check(replay, &tag, NULL, &same_id) != IFAB_REPLAY_SEEN)
        return ACCEPTED_ANEW;
    return same_id ? KNOWN : REPLAY_OTHER;
}

static bool is_base(const uint8_t digest32[32])
{
    for (size_t i = 0; i < BASES; i++) {
        if (memcmp(bases[i].digest32, digest32, 32) == 0)
            return true;
    }
    return false;
}

static void accepts_no_mutation_that_says_anything_else(void **state)
{
    (void)state; /* INV-01, INV-02, INV-03, INV-15 */
    const char *count_text = getenv("IFAB_MUTATIONS"), *seed = getenv("IFAB_SEED");
    unsigned long count = count_text == NULL ? 100000 : strtoul(count_text, NULL, 10), outcomes[OUTCOMES] = {0};
    const struct ifab_replay_limits limits = {.per_talent = 65536, .total = 4194304};
    static struct ifab_envelope e;
    static uint8_t text[2 * ROOM];
    struct ifab_arena arena;
    state64 = seed == NULL ? 20251112 : strtoull(seed, NULL, 10);
    print_message("# IFAB_SEED=%llu\n", (unsigned long long)state64);
    ifab_arena_init(&arena, 64U << 20);
    assert_int_equal(ifab_replay_new(&limits, &replay), IFAB_OK);
    for (unsigned i = 0; i <= TALENTS; i++) {
        signers[i] = make_signer((uint8_t)(i + 1));
        ifab_signer_public(signers[i], keys32[i]);
    }
    for (unsigned i = 0; i < BASES; i++)
        make_base(i, &arena);

    for (unsigned long i = 0; i < count; i++) {
        const struct base *a = &bases[roll(BASES)], *b = &bases[roll(BASES)];
        size_t kind = roll(IFAB_COUNT(mutations)), size = mutations[kind](text, a, b);
        uint8_t *exact = malloc(size + (size == 0)); /* one byte too far is seen by a sanitizer */
        assert_non_null(exact);
        memcpy(exact, text, size);
        int outcome = admit(ifab_view_of(exact, size), &arena, &e);
        outcomes[outcome]++;
        if (outcome == ACCEPTED_ANEW || outcome == TIME || outcome == REPLAY_OTHER || (outcome == KNOWN && !is_base(e.message_digest32)))
            fail_msg("mutation %lu (kind %zu) passed the signature: outcome %d\n%.*s", i, kind, outcome, (int)size, (const char *)exact);
        free(exact);
        ifab_arena_reset(&arena);
    }
    print_message("# %lu mutations: 0 accepted anew; refused by parser and schema %lu, sender %lu, key or signature %lu; "
                  "another spelling of a known message, refused as a replay: %lu\n",
                  count, outcomes[PARSER], outcomes[SENDER], outcomes[SIGNATURE], outcomes[KNOWN]);
    assert_true(count < 1000 || (outcomes[PARSER] > count / 10 && outcomes[SIGNATURE] > count / 20 && outcomes[KNOWN] > count / 50));
    for (unsigned i = 0; i <= TALENTS; i++)
        ifab_signer_free(signers[i]);
    for (unsigned i = 0; i < BASES; i++)
        free(bases[i].text);
    ifab_replay_free(replay);
    ifab_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepts_no_mutation_that_says_anything_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
