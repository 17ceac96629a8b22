/* Proofs, exhaustively for small trees: every index and every pair of sizes verifies; every changed byte, number or length does not. INV-05
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "trees.h"

enum { MOST = 130 };
static uint8_t leaves[MOST][32], roots[MOST + 1][32];

static int setup(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MOST; i++)
        ifab_leaf_hash(ifab_view_of(&i, sizeof i), leaves[i]);
    for (uint64_t size = 0; size <= MOST; size++)
        naive_root((const uint8_t(*)[32])leaves, size, roots[size]);
    return 0;
}

static size_t inclusion(uint64_t index, uint64_t size, uint8_t path[64][32])
{
    struct naive_tree tree = {(const uint8_t(*)[32])leaves, size, 0, 0};
    size_t count = 99;

    assert_int_equal(ifab_proof_inclusion(index, size, naive_node, &tree, path, &count, NULL), IFAB_OK);
    return count;
}

static size_t consistency(uint64_t old_size, uint64_t new_size, uint8_t path[64][32])
{
    struct naive_tree tree = {(const uint8_t(*)[32])leaves, new_size, 0, 0};
    size_t count = 99;

    assert_int_equal(ifab_proof_consistency(old_size, new_size, naive_node, &tree, path, &count, NULL), IFAB_OK);
    return count;
}

static bool included(uint64_t index, uint64_t size, const uint8_t leaf32[32], uint8_t path[64][32], size_t count, const uint8_t root32[32])
{
    return ifab_proof_inclusion_verify(index, size, leaf32, (const uint8_t(*)[32])path, count, root32);
}

static bool consistent(uint64_t m, uint64_t n, const uint8_t old32[32], const uint8_t new32[32], uint8_t path[64][32], size_t count)
{
    return ifab_proof_consistency_verify(m, n, old32, new32, (const uint8_t(*)[32])path, count);
}

/* The paths that the reference implementation of RFC 6962 publishes for its eight-leaf tree. */
static void makes_the_published_paths(void **state)
{
    static const char *const inputs[] = {
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
    static const char *const of_5_in_8[] = {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                                            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"};
    static const char *const from_6_to_8[] = {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                                              "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                              "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"};
    uint8_t eight[8][32], path[64][32], want32[32], bytes[16];
    struct naive_tree tree = {(const uint8_t(*)[32])eight, 8, 0, 0};
    size_t count;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        size_t size = strlen(inputs[i]) / 2;
        assert_int_equal(ifab_hex_decode(ifab_view_str(inputs[i]), bytes, size), IFAB_OK);
        ifab_leaf_hash(ifab_view_of(bytes, size), eight[i]);
    }
    assert_int_equal(ifab_proof_inclusion(5, 8, naive_node, &tree, path, &count, NULL), IFAB_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ifab_hex_decode(ifab_view_str(of_5_in_8[i]), want32, 32), IFAB_OK);
        assert_memory_equal(path[i], want32, 32);
    }
    assert_int_equal(ifab_proof_consistency(6, 8, naive_node, &tree, path, &count, NULL), IFAB_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ifab_hex_decode(ifab_view_str(from_6_to_8[i]), want32, 32), IFAB_OK);
        assert_memory_equal(path[i], want32, 32);
    }
}

static void proves_every_leaf_of_every_size(void **state)
{
    uint8_t path[64][32], other32[32] = {9};

    (void)state;
    for (uint64_t size = 1; size <= MOST; size++) {
        for (uint64_t index = 0; index < size; index++) {
            size_t count = inclusion(index, size, path);
            assert_true(included(index, size, leaves[index], path, count, roots[size]));
            assert_false(included(index, size, other32, path, count, roots[size]));
            assert_false(included(index, size, leaves[index], path, count, roots[size - 1]));
            assert_false(included(index, size, leaves[index], path, count + 1, roots[size]));
            if (count > 0)
                assert_false(included(index, size, leaves[index], path, count - 1, roots[size]));
            for (uint64_t elsewhere = 0; elsewhere < size; elsewhere++)
                if (elsewhere != index)
                    assert_false(included(elsewhere, size, leaves[index], path, count, roots[size]));
            assert_false(included(size, size, leaves[index], path, count, roots[size]));
        }
    }
}

static void proves_every_growth(void **state)
{
    uint8_t path[64][32], other32[32] = {9};

    (void)state;
    for (uint64_t new_size = 0; new_size <= MOST; new_size++) {
        for (uint64_t old_size = 0; old_size <= new_size; old_size++) {
            size_t count = consistency(old_size, new_size, path);
            assert_true(consistent(old_size, new_size, roots[old_size], roots[new_size], path, count));
            assert_false(consistent(old_size, new_size, other32, roots[new_size], path, count));
            if (old_size > 0 || new_size == 0)
                assert_false(consistent(old_size, new_size, roots[old_size], other32, path, count));
            assert_false(consistent(old_size, new_size, roots[old_size], roots[new_size], path, count + 1));
            if (count > 0)
                assert_false(consistent(old_size, new_size, roots[old_size], roots[new_size], path, count - 1));
            if (old_size != new_size)
                assert_false(consistent(new_size, old_size, roots[new_size], roots[old_size], path, count));
            for (uint64_t m = 1; m < new_size; m++) /* a path for another old size proves nothing about that one */
                if (m != old_size && old_size > 0)
                    assert_false(consistent(m, new_size, roots[old_size], roots[new_size], path, count) &&
                                 memcmp(roots[m], roots[old_size], 32) != 0 &&
                                 consistent(m, new_size, roots[m], roots[new_size], path, count));
        }
    }
}

static void refuses_every_changed_byte_of_a_path(void **state)
{
    uint8_t path[64][32];

    (void)state;
    for (uint64_t size = 1; size <= MOST; size += 3) {
        for (uint64_t index = 0; index < size; index++) {
            size_t count = inclusion(index, size, path);
            for (size_t byte = 0; byte < count * 32; byte++) {
                path[byte / 32][byte % 32] ^= (uint8_t)(1U << (byte % 8));
                assert_false(included(index, size, leaves[index], path, count, roots[size]));
                path[byte / 32][byte % 32] ^= (uint8_t)(1U << (byte % 8));
            }
            count = consistency(index + 1, size, path);
            for (size_t byte = 0; byte < count * 32; byte++) {
                path[byte / 32][byte % 32] ^= (uint8_t)(1U << (byte % 8));
                assert_false(consistent(index + 1, size, roots[index + 1], roots[size], path, count));
                path[byte / 32][byte % 32] ^= (uint8_t)(1U << (byte % 8));
            }
        }
    }
}

static void reads_the_root_from_stored_nodes(void **state)
{
    (void)state;
    for (uint64_t size = 0; size <= MOST; size++) {
        struct naive_tree tree = {(const uint8_t(*)[32])leaves, size, 0, 0};
        uint8_t root32[32];
        assert_int_equal(ifab_tree_root_of(size, naive_node, &tree, root32, NULL), IFAB_OK);
        assert_memory_equal(root32, roots[size], 32);
        assert_int_equal(tree.reads, __builtin_popcountll(size));
    }
}

static void passes_on_what_the_reader_says(void **state)
{
    uint8_t path[64][32], root32[32];
    size_t count;

    (void)state;
    for (unsigned at = 1; at < 6; at++) {
        struct naive_tree tree = {(const uint8_t(*)[32])leaves, 107, 0, at};
        struct ifab_error err = {0};
        assert_int_equal(ifab_proof_inclusion(63, 107, naive_node, &tree, path, &count, &err), IFAB_IO);
        assert_int_equal(err.status, IFAB_IO);
        tree.reads = 0;
        assert_int_equal(ifab_proof_consistency(51, 107, naive_node, &tree, path, &count, NULL), IFAB_IO);
        tree.reads = 0;
        assert_int_equal(ifab_tree_root_of(107, naive_node, &tree, root32, NULL), at <= 5 ? IFAB_IO : IFAB_OK);
    }
}

static void refuses_sizes_that_make_no_sense(void **state)
{
    struct naive_tree tree = {(const uint8_t(*)[32])leaves, 8, 0, 0};
    uint8_t path[64][32], root32[32];
    size_t count;

    (void)state;
    assert_int_equal(ifab_proof_inclusion(8, 8, naive_node, &tree, path, &count, NULL), IFAB_INVALID);
    assert_int_equal(ifab_proof_inclusion(0, 0, naive_node, &tree, path, &count, NULL), IFAB_INVALID);
    assert_int_equal(ifab_proof_inclusion(0, UINT64_MAX, naive_node, &tree, path, &count, NULL), IFAB_INVALID);
    assert_int_equal(ifab_proof_consistency(9, 8, naive_node, &tree, path, &count, NULL), IFAB_INVALID);
    assert_int_equal(ifab_proof_consistency(1, UINT64_MAX, naive_node, &tree, path, &count, NULL), IFAB_INVALID);
    assert_int_equal(ifab_tree_root_of(UINT64_MAX, naive_node, &tree, root32, NULL), IFAB_INVALID);
    assert_int_equal(tree.reads, 0);
}

static ifab_status any_node(void *user, unsigned level, uint64_t index, uint8_t ret_hash32[32], struct ifab_error *err)
{
    (void)user;
    (void)err;
    memset(ret_hash32, (int)(level + index), 32);
    return IFAB_OK;
}

/* A path never overruns its 64 places, whatever the sizes. */
static void stays_within_sixty_four_hashes(void **state)
{
    static const uint64_t sizes[] = {UINT64_C(1) << 62, (UINT64_C(1) << 62) - 1, (UINT64_C(1) << 61) + 1, UINT64_C(0x2aaaaaaaaaaaaaaa)};
    uint8_t path[65][32];

    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(sizes); i++) {
        const uint64_t points[] = {0, 1, 2, sizes[i] / 3, sizes[i] / 2, sizes[i] / 2 + 1, sizes[i] - 2, sizes[i] - 1};
        for (size_t j = 0; j < IFAB_COUNT(points); j++) {
            size_t count = 0;
            memset(path[64], 0xee, 32);
            assert_int_equal(ifab_proof_inclusion(points[j], sizes[i], any_node, NULL, path, &count, NULL), IFAB_OK);
            assert_true(count <= 64);
            assert_int_equal(ifab_proof_consistency(points[j], sizes[i], any_node, NULL, path, &count, NULL), IFAB_OK);
            assert_true(count <= 64);
            assert_int_equal(path[64][0], 0xee);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_the_published_paths),
        cmocka_unit_test(proves_every_leaf_of_every_size),
        cmocka_unit_test(proves_every_growth),
        cmocka_unit_test(refuses_every_changed_byte_of_a_path),
        cmocka_unit_test(reads_the_root_from_stored_nodes),
        cmocka_unit_test(passes_on_what_the_reader_says),
        cmocka_unit_test(refuses_sizes_that_make_no_sense),
        cmocka_unit_test(stays_within_sixty_four_hashes),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, setup, NULL);
}
