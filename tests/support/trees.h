#ifndef SUPPORT_TREES_H
#define SUPPORT_TREES_H
/* The tree of RFC 6962 section 2.1 as its text defines it, recursion and all: what the fast code is compared with. */
#include <string.h>

#include "crypto/crypto.h"
#include "witness/witness.h"

static inline void naive_root(const uint8_t (*leaves)[32], uint64_t n, uint8_t ret_root32[32])
{
    uint64_t k = 1;
    uint8_t left32[32], right32[32];

    if (n == 0) {
        ifab_sha256((struct ifab_view){NULL, 0}, ret_root32);
        return;
    }
    if (n == 1) {
        memcpy(ret_root32, leaves[0], 32);
        return;
    }
    while (k * 2 < n)
        k *= 2;
    naive_root(leaves, k, left32);
    naive_root(leaves + k, n - k, right32);
    ifab_node_hash(left32, right32, ret_root32);
}

/* Stored nodes of a small tree, computed when asked for; a reader for the proofs. */
struct naive_tree {
    const uint8_t (*leaves)[32];
    uint64_t size;
    unsigned reads;
    unsigned fail_at; /* this read fails; 0: none */
};

static inline ifab_status naive_node(void *user, unsigned level, uint64_t index, uint8_t ret_hash32[32], struct ifab_error *err)
{
    struct naive_tree *tree = user;

    tree->reads++;
    if (tree->reads == tree->fail_at)
        return ifab_fail(err, IFAB_IO, "the disk");
    if ((index + 1) << level > tree->size)
        return ifab_fail(err, IFAB_NOT_FOUND, "no such node"); /* proofs ask for whole subtrees only */
    naive_root(tree->leaves + (index << level), (uint64_t)1 << level, ret_hash32);
    return IFAB_OK;
}
#endif
