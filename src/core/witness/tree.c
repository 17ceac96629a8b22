/*
 * The right edge of an RFC 6962 tree: one hash for each set bit of the size. Appending a leaf is a binary increment with a hash for each
 * carry; the root folds the edge from the smallest subtree upward.
 */
#include "witness/witness.h"

#include "base/encode.h"
#include "crypto/crypto.h"

void ifab_leaf_hash(struct ifab_view entry, uint8_t ret_hash32[32])
{
    static const uint8_t zero[1] = {0x00};

    ifab_sha256_2(ifab_view_of(zero, 1), entry, ret_hash32);
}

void ifab_node_hash(const uint8_t left32[32], const uint8_t right32[32], uint8_t ret_hash32[32])
{
    uint8_t bytes[65];

    bytes[0] = 0x01;
    memcpy(bytes + 1, left32, 32);
    memcpy(bytes + 33, right32, 32);
    ifab_sha256(ifab_view_of(bytes, sizeof bytes), ret_hash32);
}

void ifab_tree_append(struct ifab_tree *self, const uint8_t leaf32[32])
{
    uint8_t hash32[32];
    unsigned level = 0;

    memcpy(hash32, leaf32, 32);
    for (; (self->size >> level & 1) != 0; level++)
        ifab_node_hash(self->edge[level], hash32, hash32);
    memcpy(self->edge[level], hash32, 32);
    self->size++;
}

void ifab_tree_root(const struct ifab_tree *self, uint8_t ret_root32[32])
{
    bool begun = false;

    if (self->size == 0) {
        ifab_sha256((struct ifab_view){NULL, 0}, ret_root32); /* RFC 6962 2.1: of no bytes */
        return;
    }
    for (unsigned level = 0; level < 64; level++) {
        if ((self->size >> level & 1) == 0)
            continue;
        if (begun)
            ifab_node_hash(self->edge[level], ret_root32, ret_root32);
        else
            memcpy(ret_root32, self->edge[level], 32);
        begun = true;
    }
}

size_t ifab_tree_pack(const struct ifab_tree *self, uint8_t ret_bytes[IFAB_TREE_PACKED_MAX])
{
    uint8_t *at = ret_bytes;

    ifab_put_u64(&at, self->size);
    for (unsigned level = 0; level < 64; level++)
        if ((self->size >> level & 1) != 0)
            ifab_put_bytes(&at, self->edge[level], 32);
    return (size_t)(at - ret_bytes);
}

bool ifab_tree_unpack(struct ifab_view bytes, struct ifab_tree *ret_tree)
{
    struct ifab_reader reader = {bytes.data, bytes.data + bytes.size, false};
    struct ifab_tree tree = {0};

    if (bytes.size < 8)
        return false;
    tree.size = ifab_get_u64(&reader);
    for (unsigned level = 0; level < 64; level++) {
        if ((tree.size >> level & 1) == 0)
            continue;
        struct ifab_view hash = ifab_get_bytes(&reader, 32);
        if (reader.bad)
            return false;
        memcpy(tree.edge[level], hash.data, 32);
    }
    if (reader.at != reader.end)
        return false;
    *ret_tree = tree;
    return true;
}
