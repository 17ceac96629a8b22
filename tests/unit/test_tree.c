/* The compact tree against the published eight-leaf tree of Certificate Transparency and against the definition. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "trees.h"

static const char *const inputs[] = {"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
static const char *const roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void grows_through_the_published_roots(void **state)
{
    struct ifab_tree tree = {0};

    (void)state;
    for (size_t size = 0; size <= IFAB_COUNT(inputs); size++) {
        uint8_t want32[32], got32[32], bytes[16], leaf32[32];
        assert_int_equal(tree.size, size);
        assert_int_equal(ifab_hex_decode(ifab_view_str(roots[size]), want32, 32), IFAB_OK);
        ifab_tree_root(&tree, got32);
        assert_memory_equal(got32, want32, 32);
        if (size == IFAB_COUNT(inputs))
            break;
        assert_int_equal(ifab_hex_decode(ifab_view_str(inputs[size]), bytes, strlen(inputs[size]) / 2), IFAB_OK);
        ifab_leaf_hash(ifab_view_of(bytes, strlen(inputs[size]) / 2), leaf32);
        ifab_tree_append(&tree, leaf32);
    }
}

static void agrees_with_the_definition_and_survives_packing(void **state)
{
    enum { MOST = 600 };
    static uint8_t leaves[MOST][32];
    struct ifab_tree tree = {0};

    (void)state;
    for (uint64_t size = 0; size <= MOST; size++) {
        uint8_t want32[32], got32[32], packed[IFAB_TREE_PACKED_MAX], last[sizeof packed + 1];
        struct ifab_tree back = {0};
        size_t bytes = ifab_tree_pack(&tree, packed);
        naive_root((const uint8_t(*)[32])leaves, size, want32);
        ifab_tree_root(&tree, got32);
        assert_memory_equal(got32, want32, 32);
        assert_int_equal(bytes, 8 + 32 * (size_t)__builtin_popcountll(size));
        assert_true(ifab_tree_unpack(ifab_view_of(packed, bytes), &back));
        ifab_tree_root(&back, got32);
        assert_memory_equal(got32, want32, 32);
        memcpy(last, packed, bytes);
        assert_false(ifab_tree_unpack(ifab_view_of(last, bytes + 1), &back));
        for (size_t cut = 0; cut < bytes; cut++)
            assert_false(ifab_tree_unpack(ifab_view_of(packed, cut), &back));
        if (size == MOST)
            break;
        ifab_leaf_hash(ifab_view_of(&size, sizeof size), leaves[size]);
        ifab_tree_append(&tree, leaves[size]);
    }
}

static void carries_over_a_whole_row_of_bits(void **state)
{
    struct ifab_tree tree = {.size = (UINT64_C(1) << 40) - 1}, back;
    uint8_t packed[IFAB_TREE_PACKED_MAX], leaf32[32] = {1}, root32[32], again32[32];
    size_t size;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        memset(tree.edge[i], (int)i, 32);
    ifab_tree_append(&tree, leaf32);
    assert_true(tree.size == UINT64_C(1) << 40);
    ifab_tree_root(&tree, root32);
    size = ifab_tree_pack(&tree, packed);
    assert_int_equal(size, 8 + 32);
    assert_true(ifab_tree_unpack(ifab_view_of(packed, size), &back));
    ifab_tree_root(&back, again32);
    assert_memory_equal(root32, again32, 32);
    assert_memory_equal(root32, tree.edge[40], 32);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_through_the_published_roots),
        cmocka_unit_test(agrees_with_the_definition_and_survives_packing),
        cmocka_unit_test(carries_over_a_whole_row_of_bits),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
