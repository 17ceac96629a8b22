/* Proofs checked: RFC 9162 2.1.3.2 (inclusion) and 2.1.4.2 (consistency), step by step as they stand there. */
#include "witness/witness.h"

#include "crypto/crypto.h"

#define PATH_MAX_HASHES 64

bool ifab_proof_inclusion_verify(uint64_t index, uint64_t size, const uint8_t leaf32[32], const uint8_t path[][32], size_t count,
                                 const uint8_t root32[32])
{
    uint64_t fn = index, sn; /* steps 2 and 3 */
    uint8_t r32[32];

    if (index >= size || count > PATH_MAX_HASHES) /* step 1 */
        return false;
    sn = size - 1;
    memcpy(r32, leaf32, 32);
    for (size_t i = 0; i < count; i++) { /* step 4 */
        if (sn == 0)
            return false;
        if ((fn & 1) != 0 || fn == sn) {
            ifab_node_hash(path[i], r32, r32);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            ifab_node_hash(r32, path[i], r32);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r32, root32, 32) == 0; /* step 5 */
}

bool ifab_proof_consistency_verify(uint64_t old_size, uint64_t new_size, const uint8_t old_root32[32], const uint8_t new_root32[32],
                                   const uint8_t path[][32], size_t count)
{
    uint64_t fn, sn;
    uint8_t fr32[32], sr32[32];
    size_t i = 0;

    if (old_size > new_size || count > PATH_MAX_HASHES)
        return false;
    if (old_size == 0) { /* outside the RFC: the empty tree has one root and needs no path */
        ifab_sha256((struct ifab_view){NULL, 0}, fr32);
        return count == 0 && memcmp(fr32, old_root32, 32) == 0 && (new_size > 0 || memcmp(fr32, new_root32, 32) == 0);
    }
    if (old_size == new_size)
        return count == 0 && memcmp(old_root32, new_root32, 32) == 0;
    if (count == 0) /* step 1 */
        return false;
    fn = old_size - 1; /* step 3 */
    sn = new_size - 1;
    while ((fn & 1) != 0) { /* step 4 */
        fn >>= 1;
        sn >>= 1;
    }
    /* steps 2 and 5: where the old tree is perfect its root is the first hash */
    memcpy(fr32, (old_size & (old_size - 1)) == 0 ? old_root32 : path[i++], 32);
    memcpy(sr32, fr32, 32);
    for (; i < count; i++) { /* step 6 */
        if (sn == 0)
            return false;
        if ((fn & 1) != 0 || fn == sn) {
            ifab_node_hash(path[i], fr32, fr32);
            ifab_node_hash(path[i], sr32, sr32);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            ifab_node_hash(sr32, path[i], sr32);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(fr32, old_root32, 32) == 0 && memcmp(sr32, new_root32, 32) == 0; /* step 7 */
}
