/* XChaCha20-Poly1305 against its draft, Argon2id against another implementation, sealed boxes, locked memory. INV-09. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t hex(const char *text, uint8_t *bytes)
{
    assert_int_equal(ifab_hex_decode(ifab_view_str(text), bytes, strlen(text) / 2), IFAB_OK);
    return strlen(text) / 2;
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1 */
static const char sunscreen[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
static const char draft_key[] = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
static const char draft_nonce[] = "404142434445464748494a4b4c4d4e4f5051525354555657";
static const char draft_associated[] = "50515253c0c1c2c3c4c5c6c7";
static const char draft_sealed[] = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
                                   "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
                                   "c0875924c1c7987947deafd8780acf49";

static void seals_the_vector_of_the_draft(void **state)
{
    uint8_t key[32], nonce[24], associated[12], sealed[200], made[200], plain[200];
    (void)state;
    hex(draft_key, key);
    hex(draft_nonce, nonce);
    hex(draft_associated, associated);
    size_t size = hex(draft_sealed, sealed);
    struct ifab_view text = ifab_view_str(sunscreen), with = ifab_view_of(associated, sizeof associated);
    assert_int_equal(size, text.size + IFAB_AEAD_TAG);
    ifab_aead_seal(key, nonce, with, text, made);
    assert_memory_equal(made, sealed, size);
    assert_int_equal(ifab_aead_open(key, nonce, with, ifab_view_of(sealed, size), plain), IFAB_OK);
    assert_memory_equal(plain, sunscreen, text.size);
}

/* INV-09: one bit of anything, and nothing comes out. */
static void opens_nothing_that_was_altered(void **state)
{
    uint8_t key[32], nonce[24], associated[12], sealed[200], plain[200], zero[200] = {0};
    (void)state;
    hex(draft_key, key);
    hex(draft_nonce, nonce);
    hex(draft_associated, associated);
    size_t size = hex(draft_sealed, sealed);
    struct {
        uint8_t *bytes;
        size_t size;
    } parts[] = {{key, 32}, {nonce, 24}, {associated, 12}, {sealed, size}};
    for (size_t p = 0; p < IFAB_COUNT(parts); p++)
        for (size_t bit = 0; bit < parts[p].size * 8; bit++) {
            parts[p].bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
            memset(plain, 0x55, sizeof plain);
            assert_int_equal(ifab_aead_open(key, nonce, ifab_view_of(associated, 12), ifab_view_of(sealed, size), plain), IFAB_DENIED);
            assert_memory_equal(plain, zero, size - IFAB_AEAD_TAG);
            parts[p].bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(ifab_aead_open(key, nonce, ifab_view_of(associated, 12), ifab_view_of(sealed, cut), plain), IFAB_DENIED);
    assert_int_equal(ifab_aead_open(key, nonce, ifab_view_of(associated, 11), ifab_view_of(sealed, size), plain), IFAB_DENIED);
    assert_int_equal(ifab_aead_open(key, nonce, ifab_view_of(associated, 12), ifab_view_of(sealed, size), plain), IFAB_OK);
}

static void seals_nothing_as_well(void **state)
{
    uint8_t key[32] = {1}, nonce[24] = {2}, tag[16], none[1] = {7};
    (void)state;
    ifab_aead_seal(key, nonce, IFAB_VIEW("about"), IFAB_VIEW(""), tag);
    assert_int_equal(ifab_aead_open(key, nonce, IFAB_VIEW("about"), ifab_view_of(tag, 16), NULL), IFAB_OK);
    assert_int_equal(ifab_aead_open(key, nonce, IFAB_VIEW("abouT"), ifab_view_of(tag, 16), none), IFAB_DENIED);
    assert_int_equal(none[0], 7);
}

static void derives_what_it_did_before_and_not_without_bounds(void **state)
{
    uint8_t salt[16], a[32], b[32];
    (void)state;
    memcpy(salt, "somesaltsomesalt", 16);
    /* python: Argon2id(salt=b"somesaltsomesalt", length=32, iterations=3, lanes=1, memory_cost=64).derive(b"password") of the package cryptography */
    hex("6164c739a04e17de34a80bee65c6a58f4b8a240cbf5652f4a79e35ae02b7c616", b);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 3, 64, a, NULL), IFAB_OK);
    assert_memory_equal(a, b, 32);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 1, 64, a, NULL), IFAB_OK);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 1, 64, b, NULL), IFAB_OK);
    assert_memory_equal(a, b, 32);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("passworD"), salt, 1, 64, b, NULL), IFAB_OK);
    assert_memory_not_equal(a, b, 32);
    salt[0] ^= 1;
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 1, 64, b, NULL), IFAB_OK);
    assert_memory_not_equal(a, b, 32);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 0, 64, b, NULL), IFAB_INVALID);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 17, 64, b, NULL), IFAB_INVALID);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 1, 7, b, NULL), IFAB_INVALID);
    assert_int_equal(ifab_passphrase_key(IFAB_VIEW("password"), salt, 1, 1024 * 1024 + 1, b, NULL), IFAB_INVALID);
}

static void makes_a_key_for_each_purpose_and_context(void **state)
{
    uint8_t key[32] = {9}, a[32], b[32];
    (void)state;
    ifab_subkey(key, "one", IFAB_VIEW("x"), a);
    ifab_subkey(key, "one", IFAB_VIEW("x"), b);
    assert_memory_equal(a, b, 32);
    ifab_subkey(key, "one", IFAB_VIEW("y"), b);
    assert_memory_not_equal(a, b, 32);
    ifab_subkey(key, "onex", IFAB_VIEW(""), b);
    assert_memory_not_equal(a, b, 32);
}

static void opens_a_box_with_its_key_alone(void **state)
{
    uint8_t secret[32], public[32], other[32], other_public[32], sealed[5 + IFAB_BOX_OVERHEAD], again[5 + IFAB_BOX_OVERHEAD], plain[5], low[32] = {0};
    (void)state;
    ifab_box_keypair(secret, public);
    ifab_box_keypair(other, other_public);
    assert_int_equal(ifab_box_seal(public, IFAB_VIEW("hello"), sealed), IFAB_OK);
    assert_int_equal(ifab_box_seal(public, IFAB_VIEW("hello"), again), IFAB_OK);
    assert_memory_not_equal(sealed, again, sizeof sealed); /* nobody can try values against it */
    assert_int_equal(ifab_box_open(secret, public, ifab_view_of(sealed, sizeof sealed), plain), IFAB_OK);
    assert_memory_equal(plain, "hello", 5);
    assert_int_equal(ifab_box_open(other, other_public, ifab_view_of(sealed, sizeof sealed), plain), IFAB_DENIED);
    for (size_t bit = 0; bit < sizeof sealed * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_equal(ifab_box_open(secret, public, ifab_view_of(sealed, sizeof sealed), plain), IFAB_DENIED);
        sealed[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    assert_int_equal(ifab_box_open(secret, public, ifab_view_of(sealed, IFAB_BOX_OVERHEAD - 1), plain), IFAB_DENIED);
    assert_int_equal(ifab_box_seal(low, IFAB_VIEW("hello"), sealed), IFAB_INVALID); /* a key that gives the same secret with everybody */
}

/* Sanitizers take mlock() away: there it cannot be seen. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEES_LOCKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SEES_LOCKS 0
#endif
#endif
#ifndef SEES_LOCKS
#define SEES_LOCKS 1
#endif

/* VmFlags of the pages that hold at. */
static bool has_flag(const void *at, const char *flag)
{
    char line[600];
    unsigned long from, to;
    bool inside = false, found = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)(uintptr_t)at >= from && (unsigned long)(uintptr_t)at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    (void)fclose(maps);
    return found;
}

static void gives_memory_that_is_locked_and_not_dumped(void **state)
{
    uint8_t *bytes = NULL, *plain = malloc(100);
    (void)state;
    assert_int_equal(ifab_locked_new(100, &bytes, NULL), IFAB_OK);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(has_flag(bytes, " lo "), SEES_LOCKS); /* locked */
    assert_true(has_flag(bytes, " dd ")); /* do not dump */
    assert_false(has_flag(plain, " lo "));
    ifab_locked_freep(&bytes);
    assert_null(bytes);
    ifab_locked_free(NULL);
    free(plain);
}

static void gives_no_memory_that_cannot_be_locked(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        uint8_t *bytes = NULL;
        struct ifab_error err = {0};
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || setuid(65534) != 0) /* root is not bound by it */
            _exit(77);
        if (!SEES_LOCKS)
            _exit(0);
        _exit(ifab_locked_new(100, &bytes, &err) == IFAB_FULL && bytes == NULL && strstr(err.text, "RLIMIT_MEMLOCK") != NULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || (WEXITSTATUS(status) == 77 && geteuid() != 0));
}

static int start(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seals_the_vector_of_the_draft),
        cmocka_unit_test(opens_nothing_that_was_altered),
        cmocka_unit_test(seals_nothing_as_well),
        cmocka_unit_test(derives_what_it_did_before_and_not_without_bounds),
        cmocka_unit_test(makes_a_key_for_each_purpose_and_context),
        cmocka_unit_test(opens_a_box_with_its_key_alone),
        cmocka_unit_test(gives_memory_that_is_locked_and_not_dumped),
        cmocka_unit_test(gives_no_memory_that_cannot_be_locked),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
