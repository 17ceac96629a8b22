/*
 * Proofs made from stored nodes, RFC 6962 2.1.1 (audit path) and 2.1.2 (consistency). The recursions of the RFC are walked down from the
 * root with the sibling of each step noted; then the list is turned round, since paths go from leaf to root.
 */
#include "witness/witness.h"

#include "crypto/crypto.h"

#define SIZE_MAX_PROVEN ((uint64_t)1 << 62) /* so that a path never has more than 64 hashes and no shift overflows */

/* Largest power of two below n, for n > 1. */
static uint64_t split_of(uint64_t n)
{
    uint64_t k = 1;

    while (k < n - k) /* 2k < n */
        k <<= 1;
    return k;
}

struct source {
    ifab_node_fn *node;
    void *user;
    struct ifab_error *err;
};

/* Root of leaves [start, start + n), n > 0; start is a multiple of the smallest power of two >= n, as every range of the RFC is. */
static ifab_status range_hash(const struct source *from, uint64_t start, uint64_t n, uint8_t ret_hash32[32])
{
    bool begun = false;

    /* perfect subtrees, smallest (rightmost) first */
    for (unsigned level = 0; level < 63; level++) {
        uint8_t part32[32];
        uint64_t below; /* leaves of the range left of this subtree */
        if ((n >> level & 1) == 0)
            continue;
        below = n >> (level + 1) << (level + 1);
        IFAB_TRY(from->node(from->user, level, (start + below) >> level, part32, from->err));
        if (begun)
            ifab_node_hash(part32, ret_hash32, ret_hash32);
        else
            memcpy(ret_hash32, part32, 32);
        begun = true;
    }
    return IFAB_OK;
}

static void reverse(uint8_t path[][32], size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        uint8_t swap32[32];
        memcpy(swap32, path[i], 32);
        memcpy(path[i], path[count - 1 - i], 32);
        memcpy(path[count - 1 - i], swap32, 32);
    }
}

ifab_status ifab_proof_inclusion(uint64_t index, uint64_t size, ifab_node_fn *node, void *user, uint8_t ret_path[][32], size_t *ret_count,
                                 struct ifab_error *err)
{
    const struct source from = {node, user, err};
    uint64_t start = 0, n = size, at = index;
    size_t count = 0;

    if (index >= size || size > SIZE_MAX_PROVEN)
        return ifab_fail(err, IFAB_INVALID, "proof: no index %llu in a tree of %llu", (unsigned long long)index, (unsigned long long)size);
    while (n > 1) { /* PATH(m, D[n]) */
        uint64_t k = split_of(n);
        if (at < k) {
            IFAB_TRY(range_hash(&from, start + k, n - k, ret_path[count++]));
            n = k;
        } else {
            IFAB_TRY(range_hash(&from, start, k, ret_path[count++]));
            start += k;
            at -= k;
            n -= k;
        }
    }
    reverse(ret_path, count);
    *ret_count = count;
    return IFAB_OK;
}

ifab_status ifab_proof_consistency(uint64_t old_size, uint64_t new_size, ifab_node_fn *node, void *user, uint8_t ret_path[][32],
                                   size_t *ret_count, struct ifab_error *err)
{
    const struct source from = {node, user, err};
    uint64_t start = 0, n = new_size, m = old_size;
    bool whole = true; /* b of SUBPROOF(m, D[n], b): the subtree is the old tree itself, whose root the verifier has */
    size_t count = 0;

    if (old_size > new_size || new_size > SIZE_MAX_PROVEN)
        return ifab_fail(err, IFAB_INVALID, "proof: a tree of %llu does not grow from one of %llu", (unsigned long long)new_size,
                         (unsigned long long)old_size);
    if (old_size == 0) { /* the empty tree is part of every tree: nothing to prove */
        *ret_count = 0;
        return IFAB_OK;
    }
    while (m != n) {
        uint64_t k = split_of(n);
        if (m <= k) {
            IFAB_TRY(range_hash(&from, start + k, n - k, ret_path[count++]));
            n = k;
        } else {
            IFAB_TRY(range_hash(&from, start, k, ret_path[count++]));
            start += k;
            m -= k;
            n -= k;
            whole = false;
        }
    }
    if (!whole)
        IFAB_TRY(range_hash(&from, start, n, ret_path[count++]));
    reverse(ret_path, count);
    *ret_count = count;
    return IFAB_OK;
}

ifab_status ifab_tree_root_of(uint64_t size, ifab_node_fn *node, void *user, uint8_t ret_root32[32], struct ifab_error *err)
{
    const struct source from = {node, user, err};
    uint8_t root32[32];

    if (size > SIZE_MAX_PROVEN)
        return ifab_fail(err, IFAB_INVALID, "tree of %llu leaves", (unsigned long long)size);
    if (size == 0) {
        ifab_sha256((struct ifab_view){NULL, 0}, ret_root32);
        return IFAB_OK;
    }
    IFAB_TRY(range_hash(&from, 0, size, root32));
    memcpy(ret_root32, root32, 32);
    return IFAB_OK;
}
