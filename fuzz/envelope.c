/* Any bytes as an envelope: what is accepted reads back to itself from its canonical form, with the same digest. */
#include "connect/envelope.h"

#include "crypto/crypto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int right)
{
    if (!right)
        abort();
}

static void read_back(const struct ifab_envelope *e)
{
    static struct ifab_envelope again;
    struct ifab_arena arena;
    struct ifab_refusal refusal;
    struct ifab_buf canonical;
    ifab_arena_init(&arena, 64U << 20);
    ifab_buf_init(&canonical, 1U << 20);
    ifab_json_write(&canonical, e->tree);
    require(ifab_buf_status(&canonical) == IFAB_OK);
    /* numbers may grow beyond 64 KiB: 1e15 */
    require(ifab_envelope_read(ifab_buf_as_view(&canonical), 1U << 20, &arena, &again, &refusal) == IFAB_CODE_NONE);
    require(memcmp(e->message_digest32, again.message_digest32, 32) == 0);
    require(memcmp(e->scope_digest32, again.scope_digest32, 32) == 0);
    require(ifab_view_equal(e->signed_bytes, again.signed_bytes));
    require(e->receiver_count == again.receiver_count && e->evidence_count == again.evidence_count);
    ifab_buf_fini(&canonical);
    ifab_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ifab_envelope e;
    static const struct ifab_envelope zero;
    struct ifab_arena arena;
    struct ifab_refusal refusal;
    static const uint8_t key32[32];
    require(ifab_crypto_init(NULL) == IFAB_OK);
    ifab_arena_init(&arena, 64U << 20);
    enum ifab_code code = ifab_envelope_read(ifab_view_of(data, size), 0, &arena, &e, &refusal);
    if (code == IFAB_CODE_NONE) {
        require(e.receiver_count <= IFAB_RECEIVER_MAX && e.evidence_count <= IFAB_EVIDENCE_MAX && e.hazard_count <= IFAB_HAZARD_MAX);
        require(e.nonce_size >= 12 && e.nonce_size <= 64 && e.ttl_s >= 1 && e.ttl_s <= 3600 && e.seq >= 1);
        require(e.confidence >= 0.0 && e.confidence <= 1.0 && e.confidence_raw >= 0.0 && e.confidence_raw <= 1.0);
        (void)ifab_envelope_is_claim(&e);
        require(ifab_envelope_verify(&e, key32, &refusal) == IFAB_CODE_INVALID_SIGNATURE); /* no key of anybody */
        read_back(&e);
    } else {
        require(code == refusal.code && refusal.message[0] != '\0' && memcmp(&e, &zero, sizeof e) == 0);
        require(code == IFAB_CODE_TOO_LARGE || code == IFAB_CODE_INVALID_ENVELOPE || code == IFAB_CODE_UNSUPPORTED_VERSION);
    }
    ifab_arena_fini(&arena);
    return 0;
}
