/*
 * A vault file altered in any way is refused: every bit, every length, records swapped, left out, taken from another generation, another vault,
 * renamed, given another origin or version — also by somebody who can make the log's digest fit. INV-09.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/vault_support.h"

#include <fcntl.h>

static struct vault_kind kind = {.name = "file", .file = true};

struct file {
    uint8_t bytes[4000];
    size_t size;
};

static void path_of(uint64_t counter, char path[600]) { (void)snprintf(path, 600, "%s/%020llu.vault", kind.directory, (unsigned long long)counter); }

static struct file load(uint64_t counter)
{
    struct file file = {.size = 0};
    char path[600];
    path_of(counter, path);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, file.bytes, sizeof file.bytes);
    (void)close(fd);
    assert_true(n > 0 && (size_t)n < sizeof file.bytes);
    file.size = (size_t)n;
    return file;
}

/* The file in place of the one of that change, and a log that covers it. */
static ifab_status try_file(const struct file *file, uint64_t counter)
{
    struct ifab_vault_mark mark = {.counter = counter};
    struct ifab_vault *vault = NULL;
    char path[600];
    path_of(counter, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file->bytes, file->size), (ssize_t)file->size);
    (void)close(fd);
    ifab_sha256(ifab_view_of(file->bytes, file->size), mark.digest32);
    ifab_status status = try_open(&kind, &mark, &vault, NULL);
    ifab_vault_close(vault);
    return status;
}

static void refuse(const struct file *file, uint64_t counter, const char *what, size_t at)
{
    ifab_status status = try_file(file, counter);
    if (status != IFAB_CORRUPT && status != IFAB_DENIED && status != IFAB_UNSUPPORTED && status != IFAB_INVALID)
        fail_msg("%s at %zu: %s", what, at, ifab_status_name(status));
}

static struct file two_records(void)
{
    struct ifab_vault *vault = opened(&kind, &nothing_yet);
    put(vault, "aaa", 1, API, "first-secret");
    commit(vault, put(vault, "bbb", 1, OTHER, "second-secret"));
    ifab_vault_close(vault);
    return load(2);
}

static void refuses_every_bit_and_every_length(void **state)
{
    (void)state;
    kind_begin(&kind);
    struct file good = two_records(), bad;
    for (size_t bit = 0; bit < good.size * 8; bit++) {
        bad = good;
        bad.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        refuse(&bad, 2, "bit", bit);
    }
    bad = good;
    for (bad.size = 1; bad.size < good.size; bad.size++)
        refuse(&bad, 2, "length", bad.size);
    bad.size = good.size + 1;
    refuse(&bad, 2, "length", bad.size);
    assert_int_equal(try_file(&good, 2), IFAB_OK); /* the test can tell */
    kind_end(&kind);
}

static size_t find(const struct file *file, const char *name) /* where the record of this name begins: its size, then itself */
{
    const uint8_t *at = memmem(file->bytes, file->size, name, strlen(name));
    assert_non_null(at);
    return (size_t)(at - file->bytes) - 1;
}

static void replace(struct file *file, const char *from, const char *to)
{
    uint8_t *at = memmem(file->bytes, file->size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

/* Whoever has the whole-file tag right — a thief of half of the keys — still cannot give a value another name, version or origin. */
#include "../../src/port/vault/vault_internal.h"

static void seal_again(struct file *file, const struct vault_keys *keys)
{
    uint8_t *end = file->bytes + file->size - 40;
    ifab_aead_seal(keys->file32, end, ifab_view_of(file->bytes, file->size - 40), IFAB_VIEW(""), end + 24);
}

static void refuses_records_that_were_exchanged(void **state)
{
    uint8_t key32[32];
    struct vault_seal seal;
    struct vault_keys keys;
    uint64_t counter;
    (void)state;
    kind_begin(&kind);
    struct file good = two_records(), bad = good;
    assert_int_equal(vault_key_read(kind.key_file, key32, NULL), IFAB_OK);
    assert_int_equal(vault_format_head(ifab_view_of(good.bytes, good.size), &seal, &counter, NULL), IFAB_OK);
    vault_keys_derive(key32, &seal, &keys);
    seal_again(&bad, &keys);
    assert_int_equal(try_file(&bad, 2), IFAB_OK); /* the tag is right: what is refused below is refused by the records */
    size_t a = find(&good, "aaa"), b = find(&good, "bbb"), end = good.size - 40;
    static const char *const swaps[][2] = {{"aaa", "ccc"}, {"aaa", "bbb"}, {"https://api.example.com", "https://evil.example.io"}, {"https://other", "https://OTHER"}};
    for (size_t i = 0; i < IFAB_COUNT(swaps); i++) {
        bad = good;
        replace(&bad, swaps[i][0], swaps[i][1]);
        seal_again(&bad, &keys);
        refuse(&bad, 2, "renamed", i);
    }
    for (size_t i = a + 4; i < a + 16; i++) { /* version and counter of the record */
        bad = good;
        bad.bytes[i] ^= 1;
        seal_again(&bad, &keys);
        refuse(&bad, 2, "version or counter", i);
    }
    bad = good; /* the sealed value of one under the name of the other */
    memcpy(bad.bytes + end - 108, good.bytes + b - 108, 108); /* nonce 24, size 4, sealed 80 */
    seal_again(&bad, &keys);
    refuse(&bad, 2, "values swapped", 0);
    for (size_t i = 8; i < 52; i++) { /* the seal: how the key is made, and whose vault it is */
        bad = good;
        bad.bytes[i] ^= 1;
        seal_again(&bad, &keys);
        refuse(&bad, 2, "seal", i);
    }
    bad = good; /* one left out, but counted */
    memmove(bad.bytes + a, bad.bytes + b, good.size - b);
    bad.size -= b - a;
    seal_again(&bad, &keys);
    refuse(&bad, 2, "left out", 0);
    bad = good; /* the same twice */
    memcpy(bad.bytes + b, good.bytes + a, b - a);
    memmove(bad.bytes + b + (b - a), bad.bytes + end, 40);
    bad.size = b + (b - a) + 40;
    seal_again(&bad, &keys);
    refuse(&bad, 2, "twice", 0);
    ifab_wipe(key32, sizeof key32);
    kind_end(&kind);
}

static void refuses_another_vaults_and_another_generations_file(void **state)
{
    (void)state;
    kind_begin(&kind);
    struct file foreign = two_records();
    kind_end(&kind);
    kind_begin(&kind);
    struct file mine = two_records();
    refuse(&foreign, 2, "another vault's", 0);
    refuse(&mine, 1, "the file of change 2 as that of change 1", 0);
    refuse(&mine, 3, "the file of change 2 as that of change 3", 0);
    kind_end(&kind);
}

/* Values and names of every length come out as they went in. */
static void gives_back_what_it_took(void **state)
{
    static char value[IFAB_VAULT_VALUE_MAX + 1], out[IFAB_VAULT_VALUE_MAX + 1];
    (void)state;
    kind_begin(&kind);
    struct ifab_vault *vault = opened(&kind, &nothing_yet);
    struct ifab_vault_mark mark = {0};
    for (size_t size = IFAB_VAULT_VALUE_MIN; size <= IFAB_VAULT_VALUE_MAX; size += size < 300 ? 1 : 311) {
        ifab_random(value, size);
        struct ifab_vault_change change = change_of("one", (uint32_t)size, API, "");
        change.value = ifab_view_of(value, size);
        assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_OK);
        commit(vault, mark);
        ifab_vault_close(vault);
        vault = opened(&kind, &mark);
        size_t at = 1, found = 0;
        memcpy(out, value, size);
        assert_true(ifab_vault_search(vault, ifab_view_of(out, size), 0, &at, &found));
        assert_int_equal(at, 0);
        assert_int_equal(found, size);
    }
    ifab_vault_close(vault);
    kind_end(&kind);
}

static int start(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_every_bit_and_every_length),
        cmocka_unit_test(refuses_records_that_were_exchanged),
        cmocka_unit_test(refuses_another_vaults_and_another_generations_file),
        cmocka_unit_test(gives_back_what_it_took),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
