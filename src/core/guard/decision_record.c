/*
 * An open decision as the bytes of its record, little-endian, canonical: unpack(pack(d)) is d, and pack(unpack(b)) is b for every b that
 * unpack takes. Absent things take no bytes, so no two spellings of one decision exist.
 *
 *   u8 version (2) · u8 state · u8 flags (1 step2_met) · u32 talent · 16 id · 16 owner digest · u64 index · u64 admitted_at ·
 *   u64 deadline_run · u64 expires_wall · 32 message digest · 32 policy digest · 32 topic · 16 trace · 16 id tag ·
 *   u8 n, n × u32 receivers · u32 votes_needed · u8 n, n × (u32 talent, u32 owner, u8 voted) ·
 *   u8 fact flags (1 claim, 2 scope, 4 confidence, 8 secret, 16 inform or agree, 32 claim_id, 64 sensitive scope) · u32 hazards ·
 *   [u64 bits of confidence] · [16 claim key] · [32 scope digest] · u8 n, n × 16 domains · u8 n, n × 16 hashes ·
 *   u8 parent performative · u8 parent hazards ·
 *   u8 derived hazards · u8 effect of a rule, [u8 votes, u8 n, n × id, u8 n, n × reason]
 */
#include "base/encode.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

#define RECORD_VERSION 2
enum { FLAG_STEP2_MET = 1 };
enum {
    FACT_CLAIM = 1,
    FACT_SCOPE = 2,
    FACT_CONFIDENCE = 4,
    FACT_SECRET = 8,
    FACT_SECOND_KIND = 16,
    FACT_CLAIM_ID = 32,
    FACT_SENSITIVE = 64,
    FACT_ALL = 127
};

_Static_assert(3 + 4 + 32 + 32 + 128 + 1 + 4 * IFAB_GUARD_RECEIVERS_MAX + 4 + 1 + 9 * IFAB_GUARD_VOTERS_MAX + 1 + 4 + 8 + 48 + 2 +
                       32 * IFAB_GUARD_SOURCES_MAX + 7 + IFAB_RULE_ID_MAX + IFAB_RULE_REASON_MAX <= IFAB_OPEN_DECISION_PACKED_MAX,
               "a full decision fits");
_Static_assert(IFAB_GUARD_RECEIVERS_MAX < 256 && IFAB_GUARD_VOTERS_MAX < 256 && IFAB_GUARD_SOURCES_MAX < 256, "counts fit one byte");

static size_t at_most(size_t count, size_t max)
{
    return count < max ? count : max;
}

static void put_digests(uint8_t **at, const uint8_t (*digests)[16], size_t n)
{
    n = at_most(n, IFAB_GUARD_SOURCES_MAX);
    ifab_put_u8(at, (uint8_t)n);
    ifab_put_bytes(at, digests, n * 16);
}

static void put_facts(uint8_t **at, const struct ifab_guard_facts *facts)
{
    unsigned flags = (facts->is_claim ? FACT_CLAIM : 0U) | (facts->has_scope ? FACT_SCOPE : 0U) |
                     (facts->has_confidence ? FACT_CONFIDENCE : 0U) | (facts->secret_found ? FACT_SECRET : 0U) |
                     (facts->second_source_kind ? FACT_SECOND_KIND : 0U) | (facts->has_claim_id ? FACT_CLAIM_ID : 0U) |
                     (facts->sensitive ? FACT_SENSITIVE : 0U);
    ifab_put_u8(at, (uint8_t)flags);
    ifab_put_u32(at, facts->hazards);
    if (facts->has_confidence) {
        uint64_t bits; /* the bits, not the value: what is no number stays what it was */
        memcpy(&bits, &facts->confidence, sizeof bits);
        ifab_put_u64(at, bits);
    }
    if (facts->has_claim_id)
        ifab_put_bytes(at, facts->claim_key16, 16);
    if (facts->has_scope)
        ifab_put_bytes(at, facts->scope_digest32, 32);
    put_digests(at, facts->domains, facts->domain_count);
    put_digests(at, facts->hashes, facts->hash_count);
}

static void put_text(uint8_t **at, const char *text, size_t max)
{
    size_t size = 0;
    while (size < max && text[size] != '\0')
        size++;
    ifab_put_u8(at, (uint8_t)size);
    ifab_put_bytes(at, text, size);
}

static void put_ruled(uint8_t **at, const struct ifab_guard_ruled *ruled)
{
    ifab_put_u8(at, ruled->hazards);
    ifab_put_u8(at, ruled->effect);
    if (ruled->effect == IFAB_RULE_NONE)
        return;
    ifab_put_u8(at, ruled->votes);
    put_text(at, ruled->id, IFAB_RULE_ID_MAX);
    put_text(at, ruled->reason, IFAB_RULE_REASON_MAX);
}

size_t ifab_open_decision_pack(const struct ifab_open_decision *decision, uint8_t ret_bytes[IFAB_OPEN_DECISION_PACKED_MAX])
{
    uint8_t *at = ret_bytes;
    size_t receiver_count = at_most(decision->receiver_count, IFAB_GUARD_RECEIVERS_MAX);
    size_t voter_count = at_most(decision->voter_count, IFAB_GUARD_VOTERS_MAX);

    ifab_put_u8(&at, RECORD_VERSION);
    ifab_put_u8(&at, (uint8_t)decision->state);
    ifab_put_u8(&at, decision->step2_met ? FLAG_STEP2_MET : 0);
    ifab_put_u32(&at, decision->talent);
    ifab_put_bytes(&at, decision->id16, 16);
    ifab_put_bytes(&at, decision->owner_digest16, 16);
    ifab_put_u64(&at, decision->index);
    ifab_put_u64(&at, (uint64_t)decision->admitted_at);
    ifab_put_u64(&at, (uint64_t)decision->deadline_run);
    ifab_put_u64(&at, (uint64_t)decision->expires_wall);
    ifab_put_bytes(&at, decision->message_digest32, 32);
    ifab_put_bytes(&at, decision->policy_digest32, 32);
    ifab_put_bytes(&at, decision->topic32, 32);
    ifab_put_bytes(&at, decision->trace16, 16);
    ifab_put_bytes(&at, decision->id_tag16, 16);
    ifab_put_u8(&at, (uint8_t)receiver_count);
    for (size_t i = 0; i < receiver_count; i++)
        ifab_put_u32(&at, decision->receivers[i]);
    ifab_put_u32(&at, decision->votes_needed);
    ifab_put_u8(&at, (uint8_t)voter_count);
    for (size_t i = 0; i < voter_count; i++) {
        ifab_put_u32(&at, decision->voters[i].talent);
        ifab_put_u32(&at, decision->voters[i].owner);
        ifab_put_u8(&at, decision->voters[i].voted);
    }
    put_facts(&at, &decision->facts);
    ifab_put_u8(&at, decision->facts.parent_performative);
    ifab_put_u8(&at, decision->facts.parent_hazards);
    put_ruled(&at, &decision->facts.ruled);
    return (size_t)(at - ret_bytes);
}

static void take(struct ifab_reader *r, void *ret, size_t size)
{
    struct ifab_view bytes = ifab_get_bytes(r, size);
    if (bytes.size == size && !r->bad && size > 0)
        memcpy(ret, bytes.data, size);
}

/* Past the bound: bad, and 0, so that no loop runs on it. */
static size_t get_count(struct ifab_reader *r, size_t max)
{
    size_t n = ifab_get_u8(r);
    if (n > max)
        r->bad = true;
    return r->bad ? 0 : n;
}

static void get_facts(struct ifab_reader *r, struct ifab_guard_facts *facts)
{
    unsigned flags = ifab_get_u8(r);
    if ((flags & ~(unsigned)FACT_ALL) != 0)
        r->bad = true;
    facts->is_claim = (flags & FACT_CLAIM) != 0;
    facts->has_scope = (flags & FACT_SCOPE) != 0;
    facts->has_confidence = (flags & FACT_CONFIDENCE) != 0;
    facts->secret_found = (flags & FACT_SECRET) != 0;
    facts->second_source_kind = (flags & FACT_SECOND_KIND) != 0;
    facts->has_claim_id = (flags & FACT_CLAIM_ID) != 0;
    facts->sensitive = (flags & FACT_SENSITIVE) != 0;
    facts->hazards = ifab_get_u32(r);
    if (facts->has_confidence) {
        uint64_t bits = ifab_get_u64(r);
        memcpy(&facts->confidence, &bits, sizeof bits);
    }
    if (facts->has_claim_id)
        take(r, facts->claim_key16, 16);
    if (facts->has_scope)
        take(r, facts->scope_digest32, 32);
    facts->domain_count = get_count(r, IFAB_GUARD_SOURCES_MAX);
    take(r, facts->domains, facts->domain_count * 16);
    facts->hash_count = get_count(r, IFAB_GUARD_SOURCES_MAX);
    take(r, facts->hashes, facts->hash_count * 16);
}

static void get_text(struct ifab_reader *r, char *ret_text, size_t max)
{
    size_t size = get_count(r, max);
    take(r, ret_text, size);
    for (size_t i = 0; i < size && !r->bad; i++)
        r->bad = ret_text[i] == '\0';
}

static void get_ruled(struct ifab_reader *r, struct ifab_guard_ruled *ruled)
{
    ruled->hazards = ifab_get_u8(r);
    ruled->effect = ifab_get_u8(r);
    if (ruled->effect > IFAB_RULE_DENY)
        r->bad = true;
    if (r->bad || ruled->effect == IFAB_RULE_NONE)
        return;
    ruled->votes = ifab_get_u8(r);
    if (ruled->votes > IFAB_RULE_VOTES_MAX || (ruled->votes > 0 && ruled->effect != IFAB_RULE_ESCALATE))
        r->bad = true;
    get_text(r, ruled->id, IFAB_RULE_ID_MAX);
    get_text(r, ruled->reason, IFAB_RULE_REASON_MAX);
}

static void get_voters(struct ifab_reader *r, struct ifab_open_decision *decision)
{
    decision->voter_count = get_count(r, IFAB_GUARD_VOTERS_MAX);
    for (size_t i = 0; i < decision->voter_count; i++) {
        struct ifab_voter *voter = &decision->voters[i];
        voter->talent = ifab_get_u32(r);
        voter->owner = ifab_get_u32(r);
        voter->voted = ifab_get_u8(r);
        if (voter->voted > 2)
            r->bad = true;
        for (size_t j = 0; j < i && !r->bad; j++) /* a voter stands once, an owner has voted once */
            if (decision->voters[j].talent == voter->talent ||
                (decision->voters[j].owner == voter->owner && decision->voters[j].voted != 0 && voter->voted != 0))
                r->bad = true;
    }
}

bool ifab_open_decision_unpack(struct ifab_view bytes, uint64_t number, struct ifab_open_decision *ret_decision)
{
    if (bytes.size == 0 || bytes.size > IFAB_OPEN_DECISION_PACKED_MAX)
        return false;
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    struct ifab_open_decision decision;
    memset(&decision, 0, sizeof decision);

    decision.number = number;
    if (ifab_get_u8(&r) != RECORD_VERSION)
        return false;
    uint8_t state = ifab_get_u8(&r), flags = ifab_get_u8(&r);
    if ((state != IFAB_DECISION_HOLD && state != IFAB_DECISION_ESCALATE) || (flags & ~FLAG_STEP2_MET) != 0)
        return false;
    decision.state = (enum ifab_decision)state;
    decision.step2_met = flags == FLAG_STEP2_MET;
    decision.talent = ifab_get_u32(&r);
    take(&r, decision.id16, 16);
    take(&r, decision.owner_digest16, 16);
    decision.index = ifab_get_u64(&r);
    decision.admitted_at = (ifab_usec)ifab_get_u64(&r);
    decision.deadline_run = (ifab_usec)ifab_get_u64(&r);
    decision.expires_wall = (ifab_usec)ifab_get_u64(&r);
    take(&r, decision.message_digest32, 32);
    take(&r, decision.policy_digest32, 32);
    take(&r, decision.topic32, 32);
    take(&r, decision.trace16, 16);
    take(&r, decision.id_tag16, 16);
    decision.receiver_count = get_count(&r, IFAB_GUARD_RECEIVERS_MAX);
    for (size_t i = 0; i < decision.receiver_count; i++)
        decision.receivers[i] = ifab_get_u32(&r);
    decision.votes_needed = ifab_get_u32(&r);
    get_voters(&r, &decision);
    get_facts(&r, &decision.facts);
    decision.facts.parent_performative = ifab_get_u8(&r);
    decision.facts.parent_hazards = ifab_get_u8(&r);
    get_ruled(&r, &decision.facts.ruled);
    if (r.bad || r.at != r.end)
        return false;
    *ret_decision = decision;
    return true;
}
