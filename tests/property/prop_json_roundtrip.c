/*
 * Trees made from a seed, written in two different hands (order of members, blanks, escapes, spelling of numbers): both read to the same
 * canonical form; the canonical form is a fixpoint; and a document with a changed byte is refused or again leads to a fixpoint.
 * IFAB_SEED, IFAB_ROUNDS.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/json.h"
#include "support.h"

struct hand { /* how, not what */
    struct ifab_buf *buf;
    struct test_random style;
};

static uint64_t derive(uint64_t seed, uint64_t n)
{
    struct test_random r = {seed ^ (n * 0x9e3779b97f4a7c15ULL)};
    return test_random_u64(&r);
}

static void blanks(struct hand *h)
{
    static const char kinds[] = " \n\t\r";
    while (test_random_below(&h->style, 4) == 0)
        ifab_buf_char(h->buf, kinds[test_random_below(&h->style, 4)]);
}

static uint32_t make_point(struct test_random *r)
{
    static const uint32_t low[] = {0x00, 0x20, 0x80, 0x800, 0xe000, 0x10000, 0x1f680};
    static const uint32_t span[] = {0x20, 0x60, 0x780, 0xd000, 0x1dd0, 0x400, 0x40};
    uint64_t kind = test_random_below(r, 7);
    return low[kind] + (uint32_t)test_random_below(r, span[kind]);
}

static void put_point(struct hand *h, uint32_t p)
{
    if (p < 0x20 || p == '"' || p == '\\' || test_random_below(&h->style, 4) == 0) {
        static const char pairs[] = "\"\"\\\\//\bb\ff\nn\rr\tt";
        for (size_t i = 0; i + 1 < sizeof pairs; i += 2)
            if ((uint32_t)pairs[i] == p && test_random_below(&h->style, 2) == 0) {
                ifab_buf_char(h->buf, '\\');
                ifab_buf_char(h->buf, pairs[i + 1]);
                return;
            }
        if (p >= 0x10000)
            ifab_buf_format(h->buf, "\\u%04X\\u%04x", 0xd7c0 + (p >> 10), 0xdc00 + (p & 0x3ff));
        else
            ifab_buf_format(h->buf, test_random_below(&h->style, 2) == 0 ? "\\u%04x" : "\\u%04X", p);
        return;
    }
    uint8_t utf8[4];
    size_t size = p < 0x80 ? 1 : p < 0x800 ? 2 : p < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; p >>= 6)
        utf8[i] = (uint8_t)(0x80 | (p & 0x3f));
    utf8[0] = (uint8_t)((size == 1 ? 0U : 0xf00U >> size) | p);
    ifab_buf_put(h->buf, utf8, size);
}

static void put_string(struct hand *h, uint64_t seed, size_t unique)
{
    struct test_random r = {seed};
    ifab_buf_char(h->buf, '"');
    for (uint64_t n = test_random_below(&r, 12); n > 0; n--)
        put_point(h, make_point(&r));
    for (; unique > 0; unique /= 10) /* behind a random beginning: names of one object differ, often only late */
        put_point(h, (uint32_t)('0' + unique % 10));
    ifab_buf_char(h->buf, '"');
}

static void put_number(struct hand *h, uint64_t seed)
{
    struct test_random r = {seed};
    if (test_random_below(&r, 2) == 0) {
        int64_t integer = (int64_t)(test_random_u64(&r) >> (11 + test_random_below(&r, 50))) - 1000;
        switch (test_random_below(&h->style, 4)) {
        case 0:
            ifab_buf_format(h->buf, "%lld", (long long)integer);
            break;
        case 1:
            ifab_buf_format(h->buf, "%lld.0", (long long)integer);
            break;
        case 2:
            ifab_buf_format(h->buf, "%llde0", (long long)integer);
            break;
        default:
            ifab_buf_format(h->buf, integer == 0 ? "%llde7" : "%lld0e-1", (long long)integer);
            break;
        }
        return;
    }
    double value = (double)(test_random_u64(&r) >> 11) / (double)(1ULL << 53);
    for (uint64_t n = test_random_below(&r, 15); n > 0; n--)
        value *= 10;
    if (value == 0)
        value = 0.5;
    ifab_buf_format(h->buf, "%.*e", test_random_below(&h->style, 2) == 0 ? 16 : 30, value);
}

static void put_value(struct hand *h, uint64_t seed, int depth);

static void put_children(struct hand *h, uint64_t seed, int depth, bool object)
{
    size_t count = derive(seed, 1) % 100 == 0 ? 60 : derive(seed, 1) % 7;
    size_t first = count == 0 || !object ? 0 : test_random_below(&h->style, count);
    bool backwards = object && test_random_below(&h->style, 2) == 0;
    for (size_t n = 0; n < count; n++) {
        size_t i = (first + (backwards ? count - n : n)) % count;
        if (n > 0)
            ifab_buf_char(h->buf, ',');
        blanks(h);
        if (object) {
            put_string(h, derive(seed, 7) + i % 3, i + 1);
            blanks(h);
            ifab_buf_char(h->buf, ':');
            blanks(h);
        }
        put_value(h, derive(seed, 100 + i), depth - 1);
        blanks(h);
    }
    if (count == 0)
        blanks(h);
}

static void put_value(struct hand *h, uint64_t seed, int depth)
{
    static const char *const words[] = {"null", "true", "false"};
    uint64_t kind = derive(seed, 0) % (depth > 0 ? 8 : 4);
    if (kind == 0) {
        ifab_buf_str(h->buf, words[derive(seed, 2) % 3]);
    } else if (kind <= 1) {
        put_number(h, seed);
    } else if (kind <= 3) {
        put_string(h, seed, 0);
    } else {
        bool object = kind >= 6;
        ifab_buf_char(h->buf, object ? '{' : '[');
        put_children(h, seed, depth, object);
        ifab_buf_char(h->buf, object ? '}' : ']');
    }
}

static const struct ifab_json_limits safe = {0, true}; /* the numbers of signed documents: canonical forms read again */

static ifab_status canonical(struct ifab_view text, struct ifab_arena *arena, struct ifab_buf *ret)
{
    const struct ifab_json *value;
    ifab_arena_reset(arena);
    ifab_buf_clear(ret);
    IFAB_TRY(ifab_json_read(text, &safe, arena, &value, NULL));
    ifab_json_write(ret, value);
    return ifab_buf_status(ret);
}

static void spelling_does_not_matter_and_canonical_is_a_fixpoint(void **state)
{
    (void)state;
    uint64_t base = test_env_u64("IFAB_SEED", 1), rounds = test_env_u64("IFAB_ROUNDS", 3000);
    struct ifab_buf a = IFAB_BUF_INIT(1 << 20), b = a, form_a = a, form_b = a, again = a;
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)64 << 20);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t seed = derive(base, round);
        ifab_buf_clear(&a);
        ifab_buf_clear(&b);
        struct hand one = {&a, {seed}}, other = {&b, {~seed}};
        put_value(&one, seed, 5);
        put_value(&other, seed, 5);
        if (a.size > 900000)
            continue;
        bool good = canonical(ifab_buf_as_view(&a), &arena, &form_a) == IFAB_OK &&
        canonical(ifab_buf_as_view(&b), &arena, &form_b) == IFAB_OK &&
                    ifab_view_equal(ifab_buf_as_view(&form_a), ifab_buf_as_view(&form_b)) &&
                    canonical(ifab_buf_as_view(&form_a), &arena, &again) == IFAB_OK &&
                    ifab_view_equal(ifab_buf_as_view(&form_a), ifab_buf_as_view(&again));
        struct test_random r = {seed};
        for (int flip = 0; flip < 20 && good; flip++) {
            uint8_t *byte = &b.data[test_random_below(&r, b.size)], before = *byte;
            *byte = (uint8_t)(*byte ^ 1U << test_random_below(&r, 8));
            if (canonical(ifab_buf_as_view(&b), &arena, &form_b) == IFAB_OK)
                good = canonical(ifab_buf_as_view(&form_b), &arena, &again) == IFAB_OK &&
                       ifab_view_equal(ifab_buf_as_view(&form_b), ifab_buf_as_view(&again));
            *byte = before;
        }
        if (!good)
            fail_msg("IFAB_SEED=%llu round %llu: %.200s", (unsigned long long)base, (unsigned long long)round,
            test_text(ifab_buf_as_view(&a)));
    }
    ifab_buf_fini(&a);
    ifab_buf_fini(&b);
    ifab_buf_fini(&form_a);
    ifab_buf_fini(&form_b);
    ifab_buf_fini(&again);
    ifab_arena_fini(&arena);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(spelling_does_not_matter_and_canonical_is_a_fixpoint)};

TEST_MAIN(tests)
