/* Proof verification over hostile numbers and paths: it ends, stays in bounds, and what it accepts depends on every hash of the path. */
#include <assert.h>

#include "witness/witness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t path[80][32];
    uint64_t a = 0, b = 0;
    uint8_t first32[32], second32[32];
    struct ifab_tree tree;
    size_t count;

    if (ifab_tree_unpack(ifab_view_of(data, size), &tree))
        ifab_tree_root(&tree, first32);
    if (size < 80)
        return 0;
    memcpy(&a, data, 8);
    memcpy(&b, data + 8, 8);
    memcpy(first32, data + 16, 32);
    memcpy(second32, data + 48, 32);
    count = (size - 80) / 32 < 80 ? (size - 80) / 32 : 80;
    if (count > 0)
        memcpy(path, data + 80, count * 32);
    if (ifab_proof_inclusion_verify(a, b, first32, (const uint8_t(*)[32])path, count, second32)) {
        assert(a < b && count <= 64);
        second32[31] ^= 1;
        assert(!ifab_proof_inclusion_verify(a, b, first32, (const uint8_t(*)[32])path, count, second32));
        second32[31] ^= 1;
    }
    if (ifab_proof_consistency_verify(a, b, first32, second32, (const uint8_t(*)[32])path, count)) {
        assert(a <= b && count <= 64);
        first32[0] ^= 1;
        assert(!ifab_proof_consistency_verify(a, b, first32, second32, (const uint8_t(*)[32])path, count));
    }
    return 0;
}
