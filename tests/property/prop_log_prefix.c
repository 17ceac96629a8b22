/*
 * A log grown at random: chain and tree are checked after every entry, every prefix verifies against every later head, and no entry can
 * be altered, dropped or swapped without the head showing it. INV-05. The seed is printed on failure; IFAB_SEED sets it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "trees.h"

enum { MOST = 300 };
static uint64_t seed, random_state;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct log {
    struct ifab_buf bytes;
    size_t at[MOST + 1];
    uint8_t leaves[MOST][32], roots[MOST + 1][32];
    struct ifab_tree tree;
};

static struct ifab_view entry_at(const struct log *log, size_t i)
{
    return ifab_view_of(log->bytes.data + log->at[i], log->at[i + 1] - log->at[i]);
}

static void grow(struct log *log, size_t count)
{
    uint8_t prev32[32] = {0};
    char why[200];
    ifab_usec time = 1762942860000000;

    for (size_t i = 0; i < count; i++) {
        struct ifab_entry entry = {.event = (enum ifab_event)(next_random() % IFAB_EVENT_COUNT), .log = IFAB_VIEW("main"), .index = i};
        size_t size = next_random() % sizeof why;
        time += (ifab_usec)(next_random() % 3000);
        memset(why, 'a' + (int)(next_random() % 26), sizeof why);
        entry.time = time;
        entry.why = ifab_view_of(why, size);
        memcpy(entry.prev_hash32, prev32, 32);
        log->at[i] = log->bytes.size;
        assert_int_equal(ifab_entry_write(&entry, &log->bytes), IFAB_OK);
        log->at[i + 1] = log->bytes.size;
        ifab_sha256(entry_at(log, i), prev32);
        ifab_leaf_hash(entry_at(log, i), log->leaves[i]);
        ifab_tree_root(&log->tree, log->roots[i]);
        ifab_tree_append(&log->tree, log->leaves[i]);
    }
    ifab_tree_root(&log->tree, log->roots[count]);
}

static void every_prefix_of_a_log_verifies(void **state)
{
    struct log *log = ifab_calloc(1, sizeof *log);
    const size_t count = 200 + next_random() % (MOST - 200);
    struct naive_tree nodes = {(const uint8_t(*)[32])log->leaves, count, 0, 0};

    (void)state;
    ifab_buf_init(&log->bytes, 1 << 20);
    grow(log, count);
    for (size_t size = 0; size <= count; size++) {
        uint8_t root32[32], path[64][32];
        size_t hashes;
        naive_root((const uint8_t(*)[32])log->leaves, size, root32);
        assert_memory_equal(root32, log->roots[size], 32);
        assert_int_equal(ifab_proof_consistency(size, count, naive_node, &nodes, path, &hashes, NULL), IFAB_OK);
        assert_true(ifab_proof_consistency_verify(size, count, log->roots[size], log->roots[count], (const uint8_t(*)[32])path, hashes));
    }
    ifab_buf_fini(&log->bytes);
    ifab_free(log);
}

static void no_entry_changes_unnoticed(void **state)
{
    struct log *log = ifab_calloc(1, sizeof *log);

    (void)state;
    ifab_buf_init(&log->bytes, 1 << 20);
    grow(log, 200);
    for (int round = 0; round < 500; round++) {
        size_t i = next_random() % 200, byte = next_random() % (log->at[i + 1] - log->at[i]), j = next_random() % 200;
        const uint8_t bit = (uint8_t)(1U << (next_random() % 8));
        uint8_t kept32[32], root32[32], other32[32];
        memcpy(kept32, log->leaves[i], 32);
        memcpy(other32, log->leaves[j], 32);
        log->bytes.data[log->at[i] + byte] ^= bit; /* altered */
        ifab_leaf_hash(entry_at(log, i), log->leaves[i]);
        log->bytes.data[log->at[i] + byte] ^= bit; /* a later round that hits the same bit alters too */
        naive_root((const uint8_t(*)[32])log->leaves, 200, root32);
        assert_memory_not_equal(root32, log->roots[200], 32);
        memcpy(log->leaves[i], other32, 32); /* swapped */
        memcpy(log->leaves[j], kept32, 32);
        naive_root((const uint8_t(*)[32])log->leaves, 200, root32);
        assert_int_equal(memcmp(root32, log->roots[200], 32) == 0, i == j);
        memcpy(log->leaves[i], kept32, 32);
        memcpy(log->leaves[j], other32, 32);
        naive_root((const uint8_t(*)[32])(log->leaves + 1), 199, root32); /* dropped at the front or the end */
        assert_memory_not_equal(root32, log->roots[200], 32);
        naive_root((const uint8_t(*)[32])log->leaves, 199, root32);
        assert_memory_not_equal(root32, log->roots[200], 32);
    }
    ifab_buf_fini(&log->bytes);
    ifab_free(log);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_of_a_log_verifies),
        cmocka_unit_test(no_entry_changes_unnoticed),
    };
    const char *given = getenv("IFAB_SEED");
    int failed;

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    if (given != NULL)
        seed = strtoull(given, NULL, 0);
    else
        ifab_random(&seed, sizeof seed);
    random_state = seed;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0)
        fprintf(stderr, "IFAB_SEED=%llu\n", (unsigned long long)seed);
    return failed;
}
