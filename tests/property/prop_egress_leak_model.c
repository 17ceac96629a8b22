/*
 * The search for secrets against a naive one: whole text in memory, each reading made in full, each form looked for with memmem. Texts are made of
 * pieces of encoded secrets and of bytes that mean something to a decoder, so hits and near misses are both common. INV-09
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/leak.h"
#include "support.h"

#include <ctype.h>

#define TEXT_MAX 4096

struct text {
    uint8_t bytes[TEXT_MAX];
    size_t size;
};
static void put(struct text *t, uint8_t c)
{
    if (t->size < TEXT_MAX)
        t->bytes[t->size++] = c;
}
static bool has(const struct text *t, const void *what, size_t size) { return memmem(t->bytes, t->size, what, size) != NULL; }

static bool pair_at(const struct text *t, size_t i, unsigned *ret)
{
    char digits[3] = {0};
    if (i + 2 > t->size || !isxdigit(t->bytes[i]) || !isxdigit(t->bytes[i + 1]))
        return false;
    memcpy(digits, t->bytes + i, 2);
    *ret = (unsigned)strtoul(digits, NULL, 16);
    return true;
}
static struct text percent(const struct text *t)
{
    struct text to = {.size = 0};
    for (size_t i = 0; i < t->size; i++) {
        unsigned byte;
        if (t->bytes[i] == '%' && pair_at(t, i + 1, &byte)) {
            put(&to, (uint8_t)byte);
            i += 2;
        } else {
            put(&to, t->bytes[i]);
        }
    }
    return to;
}
static struct text json(const struct text *t) /* the secrets here are ASCII, so a code unit above 7F is as good as any other byte */
{
    struct text to = {.size = 0};
    for (size_t i = 0; i < t->size; i++) {
        unsigned high, low;
        const char *at = i + 1 < t->size && t->bytes[i + 1] != 0 ? strchr("\"\\/bfnrt", t->bytes[i + 1]) : NULL;
        if (t->bytes[i] == '\\' && at != NULL) {
            put(&to, *at == 'b' ? '\b' : *at == 'f' ? '\f' : *at == 'n' ? '\n' : *at == 'r' ? '\r' : *at == 't' ? '\t' : (uint8_t)*at);
            i++;
        } else if (t->bytes[i] == '\\' && i + 1 < t->size && t->bytes[i + 1] == 'u' && pair_at(t, i + 2, &high) && pair_at(t, i + 4, &low) &&
                   (high < 0xd8 || high > 0xdf)) {
            put(&to, high == 0 && low < 0x80 ? (uint8_t)low : 0xff);
            i += 5;
        } else {
            put(&to, t->bytes[i]);
        }
    }
    return to;
}
static struct text without_breaks(const struct text *t)
{
    struct text to = {.size = 0};
    for (size_t i = 0; i < t->size; i++) {
        if (t->bytes[i] != '\r' && t->bytes[i] != '\n')
            put(&to, t->bytes[i]);
    }
    return to;
}
/* What of the base64 of `before` bytes, the secret and more stays the same, whatever is around it. */
static bool has_base64(const struct text *t, const uint8_t *secret, size_t size, size_t before, bool url)
{
    struct ifab_buf texts[4];
    size_t begin = 0, end;
    for (int i = 0; i < 4; i++) {
        uint8_t plain[64];
        memset(plain, i % 2 ? 0xff : 0, sizeof plain);
        memcpy(plain + before, secret, size);
        memset(plain + before + size, i / 2 ? 0xff : 0, 3);
        ifab_buf_init(&texts[i], 200);
        (url ? ifab_buf_base64url : ifab_buf_base64)(&texts[i], plain, before + size + 3);
    }
#define SAME(k) (texts[0].data[k] == texts[1].data[k] && texts[1].data[k] == texts[2].data[k] && texts[2].data[k] == texts[3].data[k])
    while (!SAME(begin))
        begin++;
    for (end = begin; end < texts[0].size && SAME(end); end++)
        ;
    bool found = has(t, texts[0].data + begin, end - begin);
    for (int i = 0; i < 4; i++)
        ifab_buf_fini(&texts[i]);
    return found;
}
static struct text html(const struct text *t) /* "&", up to nine letters, digits or "#", ";" */
{
    struct text to = {.size = 0};
    for (size_t i = 0; i < t->size; i++) {
        static const char *const names[] = {"amp", "&", "lt", "<", "gt", ">", "quot", "\"", "apos", "'"};
        char word[16] = "", *rest = word;
        size_t n = 0;
        unsigned long c = 0;
        while (t->bytes[i] == '&' && i + 1 + n < t->size && n < 9 && (t->bytes[i + 1 + n] == '#' || isalnum(t->bytes[i + 1 + n]))) {
            word[n] = (char)t->bytes[i + 1 + n];
            n++;
        }
        bool ends = n > 0 && i + 1 + n < t->size && t->bytes[i + 1 + n] == ';';
        for (size_t k = 0; ends && k < IFAB_COUNT(names); k += 2)
            c = strcmp(word, names[k]) == 0 ? (unsigned char)names[k + 1][0] : c;
        if (ends && c == 0 && word[0] == '#') {
            bool hex = tolower((unsigned char)word[1]) == 'x';
            c = isxdigit((unsigned char)word[hex ? 2 : 1]) ? strtoul(word + (hex ? 2 : 1), &rest, hex ? 16 : 10) : 0;
            c = *rest == '\0' ? c : 0;
        }
        if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            put(&to, t->bytes[i]);
            continue;
        }
        i += n + 1;
        put(&to, (uint8_t)(c < 0x80 ? c : 0xff)); /* the secrets here are ASCII */
    }
    return to;
}
static bool in_reading(const struct text *t, const uint8_t *secret, size_t size)
{
    uint8_t turned[64], plus[64];
    char hex[129];
    struct text folded = *t;
    for (size_t i = 0; i < size; i++) {
        turned[i] = secret[size - 1 - i];
        plus[i] = secret[i] == ' ' ? '+' : secret[i];
        (void)snprintf(hex + 2 * i, 3, "%02x", secret[i]);
    }
    for (size_t i = 0; i < t->size; i++)
        folded.bytes[i] = (uint8_t)tolower(t->bytes[i]);
    bool found = has(t, secret, size) || has(t, turned, size) || has(t, plus, size) || has(&folded, hex, 2 * size);
    for (size_t before = 0; before < 3 && size >= IFAB_LEAK_BASE64_MIN; before++)
        found = found || has_base64(t, secret, size, before, false) || has_base64(t, secret, size, before, true);
    return found;
}
static bool naive(const struct text *t, const uint8_t *secret, size_t size)
{
    struct text once = percent(t), twice = percent(&once), j = json(t), j_once = percent(&j), lines = without_breaks(t), h = html(t);
    return in_reading(t, secret, size) || in_reading(&once, secret, size) || in_reading(&twice, secret, size) || in_reading(&j, secret, size) ||
           in_reading(&j_once, secret, size) || in_reading(&lines, secret, size) || in_reading(&h, secret, size);
}

/* One character of the secret in one of the forms a percent- or JSON-encoder may choose. */
static void put_encoded(struct text *t, struct test_random *random, uint8_t c, unsigned form)
{
    char one[20];
    if (form == 1 || (form == 2 && test_random_below(random, 2)))
        (void)snprintf(one, sizeof one, test_random_below(random, 2) ? "%%%02x" : "%%%02X", c);
    else if (form == 3)
        (void)snprintf(one, sizeof one, "%%25%02x", c);
    else if (form == 4 || (form == 5 && test_random_below(random, 2)))
        (void)snprintf(one, sizeof one, "\\u%04x", c);
    else if (form == 6)
        (void)snprintf(one, sizeof one, "%02X", c);
    else if (form == 7)
        (void)snprintf(one, sizeof one, test_random_below(random, 3) ? "%c" : "\n%c", c);
    else if (form == 8)
        (void)snprintf(one, sizeof one, test_random_below(random, 4) == 0 ? "&#%03u;" : test_random_below(random, 2) ? "&#x%x;" : "&#X%X;", c);
    else if (form == 9)
        (void)snprintf(one, sizeof one,
                       c == '"'    ? "&quot;"
                       : c == '&'  ? "&amp;"
                       : c == '<'  ? "&lt;"
                       : c == '>'  ? "&gt;"
                       : c == '\'' ? "&apos;"
                                   : "%c",
                       c);
    else
        (void)snprintf(one, sizeof one, "%c", c);
    for (const char *p = one; *p != '\0'; p++)
        put(t, (uint8_t)*p);
}
static void put_piece(struct text *t, struct test_random *random, const uint8_t *secret, size_t size)
{
    unsigned form = (unsigned)test_random_below(random, 14);
    size_t upto = test_random_below(random, 3) ? size : test_random_below(random, size + 1);
    if (form < 10) {
        for (size_t i = 0; i < upto; i++)
            put_encoded(t, random, secret[i], form);
    } else if (form == 10) {
        for (size_t i = 0; i < upto; i++)
            put(t, secret[size - 1 - i]);
    } else if (form < 13) {
        uint8_t plain[64];
        struct ifab_buf text = IFAB_BUF_INIT(200);
        size_t before = test_random_below(random, 4), behind = test_random_below(random, 3);
        test_random_bytes(random, plain, sizeof plain);
        memcpy(plain + before, secret, size);
        (form == 11 ? ifab_buf_base64 : ifab_buf_base64url)(&text, plain, before + upto + behind);
        for (size_t i = 0; i < text.size; i++)
            put(t, text.data[i]);
        ifab_buf_fini(&text);
    } else {
        static const char noise[] = "%%\\\\uu0025abAB+/\"\r\n =&#;xX&amp;&#3;";
        for (size_t i = test_random_below(random, 12); i > 0; i--)
            put(t, (uint8_t)noise[test_random_below(random, sizeof noise - 1)]);
    }
}

static void agrees_with_a_naive_search(void **state)
{
    struct test_random random = {test_env_u64("IFAB_SEED", 4242)};
    uint64_t runs = test_env_u64("IFAB_RUNS", 30000), hits = 0;
    (void)state;
    print_message("# seed %llu\n", (unsigned long long)random.state);
    for (uint64_t run = 0; run < runs; run++) {
        static const char alphabet[] = "aAbB01 +/%\\\"u=&n<>'";
        uint8_t secret[12];
        size_t size = IFAB_LEAK_VALUE_MIN + test_random_below(&random, sizeof secret - IFAB_LEAK_VALUE_MIN + 1);
        struct text t = {.size = 0};
        struct ifab_leak_set *set = NULL;
        struct ifab_leak_scanner scanner;
        for (size_t i = 0; i < size; i++)
            secret[i] = (uint8_t)alphabet[test_random_below(&random, sizeof alphabet - 1)];
        assert_int_equal(ifab_leak_set_new(&set), IFAB_OK);
        assert_int_equal(ifab_leak_set_add(set, ifab_view_of(secret, size)), IFAB_OK);
        assert_int_equal(ifab_leak_set_add(set, IFAB_VIEW("another value that is never there")), IFAB_OK);
        assert_int_equal(ifab_leak_set_seal(set), IFAB_OK);
        for (uint64_t pieces = test_random_below(&random, 5); pieces > 0; pieces--)
            put_piece(&t, &random, secret, size);
        ifab_leak_begin(&scanner, set);
        for (size_t at = 0; at < t.size;) {
            size_t chunk = 1 + test_random_below(&random, 9);
            chunk = chunk < t.size - at ? chunk : t.size - at;
            (void)ifab_leak_feed(&scanner, ifab_view_of(t.bytes + at, chunk));
            at += chunk;
        }
        bool found = ifab_leak_end(&scanner), want = naive(&t, secret, size);
        if (found != want)
            fail_msg("run %llu: %d, not %d: secret %.*s text %.*s", (unsigned long long)run, found, want, (int)size, (const char *)secret,
                     (int)t.size, (const char *)t.bytes);
        hits += found;
        ifab_leak_set_free(set);
    }
    assert_true(hits > runs / 5 && hits < runs - runs / 10); /* both answers are common */
}
static const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_a_naive_search)};
TEST_MAIN(tests)
