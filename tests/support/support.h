#ifndef SUPPORT_SUPPORT_H
#define SUPPORT_SUPPORT_H
/*
 * Help for tests, header only: files, vectors, seeded randomness, an allocation-failure sweep, the main function. Include it after
 * cmocka.h. Everything aborts the test program on failure: a test that cannot read its input must not pass.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SplitMix64: seeded, the same on every machine. */
struct test_random {
    uint64_t state;
};
static inline uint64_t test_random_u64(struct test_random *self)
{
    uint64_t z = self->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}
/* 0 .. below-1; below > 0. */
static inline uint64_t test_random_below(struct test_random *self, uint64_t below)
{
    return test_random_u64(self) % below;
}
static inline void test_random_bytes(struct test_random *self, void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)test_random_u64(self);
}
/* A number from the environment, else fallback: seeds and counts of property tests. */
static inline uint64_t test_env_u64(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text == NULL || *text == '\0' ? fallback : strtoull(text, NULL, 0);
}

/* Path of tests/vectors/NAME, from IFAB_VECTORS or beside the working directory. Free it with free(). */
static inline char *test_vector_path(const char *name)
{
    const char *root = getenv("IFAB_VECTORS");
    if (root == NULL)
        root = "tests/vectors";
    size_t size = strlen(root) + strlen(name) + 2;
    char *path = malloc(size);
    if (path == NULL)
        abort();
    snprintf(path, size, "%s/%s", root, name);
    return path;
}
/* The whole file, at most 64 MiB; the caller ends it with ifab_buf_fini(). */
static inline struct ifab_buf test_read_file(const char *path)
{
    struct ifab_buf buf = IFAB_BUF_INIT((size_t)64 << 20);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be read; is IFAB_VECTORS set?\n", path);
        abort();
    }
    char chunk[4096];
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, file)) > 0;)
        ifab_buf_put(&buf, chunk, size);
    if (ferror(file) || ifab_buf_status(&buf) != IFAB_OK)
        abort();
    fclose(file);
    return buf;
}
static inline struct ifab_buf test_read_vector(const char *name)
{
    char *path = test_vector_path(name);
    struct ifab_buf buf = test_read_file(path);
    free(path);
    return buf;
}

/* The text of a view as a C string in rotating static storage, for assert_string_equal(). */
static inline const char *test_text(struct ifab_view v)
{
    static char texts[4][8192];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "%.*s", (int)v.size, (const char *)v.data);
    return text;
}

/*
 * Runs `statement` with allocation 1, 2, 3 … failing until none failed any more. `statement` must cope with failure and leak nothing;
 * it may look at ifab_mem_failed(). Gives up (abort) after a million.
 */
#define TEST_SWEEP_ALLOCATIONS(statement)                             \
    do {                                                              \
        bool failed_ = true;                                          \
        for (uint64_t n_ = 1; failed_; n_++) {                        \
            if (n_ > 1000000)                                         \
                abort();                                              \
            ifab_mem_fail_at(n_);                                     \
            statement;                                                \
            failed_ = ifab_mem_failed();                              \
            ifab_mem_fail_at(0);                                      \
        }                                                             \
    } while (0)

/* main() of a test program: TEST_MAIN(tests) with `static const struct CMUnitTest tests[]`. Its output is TAP. */
#define TEST_MAIN(tests_)                                             \
    int main(void)                                                    \
    {                                                                 \
        cmocka_set_message_output(CM_OUTPUT_TAP);                     \
        return cmocka_run_group_tests(tests_, NULL, NULL);            \
    }
/* Instead of tests, from main(): what they need is absent. */
#define TEST_SKIP_ALL(why_) return printf("1..0 # SKIP %s\n", (why_)), 0
#endif
