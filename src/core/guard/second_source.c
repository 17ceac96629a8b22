/*
 * Is a later message an independent second source for a held one? DESIGN section 5 Guard. Everything not known to be independent is not:
 * a count above its bound, a missing claim_id or scope, the same talent under another owner's name.
 */
#include "guard/guard.h"

static bool share_one(const uint8_t (*a)[16], size_t a_count, const uint8_t (*b)[16], size_t b_count)
{
    for (size_t i = 0; i < a_count; i++)
        for (size_t j = 0; j < b_count; j++)
            if (memcmp(a[i], b[j], 16) == 0)
                return true;
    return false;
}

bool ifab_guard_second_source(const struct ifab_open_decision *held, const struct ifab_guard_facts *later, uint32_t later_talent,
                              const uint8_t later_owner16[16])
{
    const struct ifab_guard_facts *first = &held->facts;
    if (held->state != IFAB_DECISION_HOLD || !later->second_source_kind)
        return false;
    if (!first->has_claim_id || !later->has_claim_id || memcmp(first->claim_key16, later->claim_key16, 16) != 0)
        return false;
    if (!first->has_scope || !later->has_scope || memcmp(first->scope_digest32, later->scope_digest32, 32) != 0)
        return false;
    if (held->talent == later_talent || memcmp(held->owner_digest16, later_owner16, 16) == 0)
        return false;
    if (first->domain_count > IFAB_GUARD_SOURCES_MAX || later->domain_count > IFAB_GUARD_SOURCES_MAX ||
        first->hash_count > IFAB_GUARD_SOURCES_MAX || later->hash_count > IFAB_GUARD_SOURCES_MAX)
        return false;
    return !share_one(first->domains, first->domain_count, later->domains, later->domain_count) &&
           !share_one(first->hashes, first->hash_count, later->hashes, later->hash_count);
}
