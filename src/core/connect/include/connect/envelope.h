#ifndef CONNECT_ENVELOPE_H
#define CONNECT_ENVELOPE_H
/* Envelope v2.1: SURFACE section 2. Pure: bytes in, facts or a refusal out. */
#include "base/arena.h"
#include "base/code.h"
#include "base/id.h"
#include "base/time.h"
#include "json/json.h"

#define IFAB_ENVELOPE_MAX 65536
#define IFAB_ENVELOPE_DOMAIN "IF-CONNECT-v2.1\n"
#define IFAB_RECEIVER_MAX 64
#define IFAB_EVIDENCE_MAX 64
#define IFAB_HAZARD_MAX 16

/* X(NAME, "text", is a claim by itself, opens a conversation, is a reply) */
#define IFAB_PERFORMATIVE_MAP(X)              \
    X(INFORM, "inform", 1)                    \
    X(REQUEST, "request", 0)                  \
    X(AGREE, "agree", 1)                      \
    X(REFUSE, "refuse", 0)                    \
    X(QUERY_IF, "query-if", 0)                \
    X(QUERY_REF, "query-ref", 0)              \
    X(PROPOSE, "propose", 1)                  \
    X(ACCEPT_PROPOSAL, "accept-proposal", 0)  \
    X(REJECT_PROPOSAL, "reject-proposal", 0)  \
    X(CONTRADICT, "contradict", 1)            \
    X(ESCALATE, "escalate", 0)                \
    X(SHARE, "share", 0)                      \
    X(HOLD, "hold", 0)
enum ifab_performative {
#define IFAB_P_(name, text, claim) IFAB_PERFORMATIVE_##name,
    IFAB_PERFORMATIVE_MAP(IFAB_P_)
#undef IFAB_P_
        IFAB_PERFORMATIVE_COUNT
};
const char *ifab_performative_name(enum ifab_performative p);

enum ifab_receiver_kind { IFAB_RECEIVER_AGENT, IFAB_RECEIVER_TOPIC, IFAB_RECEIVER_FABRIC };
struct ifab_receiver {
    enum ifab_receiver_kind kind;
    struct ifab_view uri;  /* borrowed, whole */
    struct ifab_view name; /* agent: NAME; topic: rest of the path; fabric: ORIGIN (may contain '/') */
};
struct ifab_evidence {
    struct ifab_view type, url, hash; /* size 0 when absent */
    struct ifab_view domain;          /* registrable domain of url: not of the envelope, admission fills it in; size 0 before, or without a host */
};

struct ifab_envelope {
    struct ifab_view bytes;          /* as received; borrowed */
    const struct ifab_json *tree;
    struct ifab_view id;             /* "msg-…" */
    uint8_t id16[16], conversation16[16], topic32[32];
    enum ifab_performative performative;
    struct ifab_view conversation_id, topic_hash;
    struct ifab_view sender, sender_name, sender_instance; /* instance: size 0 when absent */
    struct ifab_receiver receivers[IFAB_RECEIVER_MAX];
    size_t receiver_count;           /* 0: none named */
    ifab_usec issued_at;             /* wall */
    struct ifab_view issued_at_text;
    uint32_t ttl_s;
    uint64_t seq;
    uint8_t nonce[64];
    size_t nonce_size;
    struct ifab_view nonce_text;
    bool has_trace;
    uint8_t trace16[16];
    /* content */
    bool has_claim, has_claim_id, has_scope, has_confidence_raw, has_confidence;
    struct ifab_view claim, claim_id;
    uint8_t scope_digest32[32];      /* SHA-256 of the canonical scope; zeros without */
    double confidence_raw, confidence; /* confidence = normalized */
    struct ifab_evidence evidence[IFAB_EVIDENCE_MAX];
    size_t evidence_count;
    struct ifab_view hazards[IFAB_HAZARD_MAX];
    size_t hazard_count;
    /* signature */
    struct ifab_view key_id;         /* size 0 when absent */
    uint8_t pubkey32[32], sig64[64];
    struct ifab_view signed_bytes;   /* domain + canonical form without signature.sig; in the arena */
    uint8_t message_digest32[32];
    bool canonical;                  /* bytes are the canonical form, signature.sig and all: message_digest and signature tell every byte of them */
};

/*
 * Strict parse, schema and digest; no signature check. First failing check decides: 109, 101 (110 for another v).
 * ret_envelope, its views and tree live as long as bytes and arena. max_size 0 = IFAB_ENVELOPE_MAX.
 * @return IFAB_CODE_NONE; TOO_LARGE; INVALID_ENVELOPE with field and offset; UNSUPPORTED_VERSION; SYSTEM_ERROR out of memory.
 * Even on INVALID_ENVELOPE nothing of the input has been kept. Threads: any.
 */
enum ifab_code ifab_envelope_read(struct ifab_view bytes, size_t max_size, struct ifab_arena *arena, struct ifab_envelope *ret_envelope,
                                  struct ifab_refusal *ret_refusal);
/* Is it a claim: claim, claim_id or evidence present, or its performative says so (DESIGN section 5, Guard). */
bool ifab_envelope_is_claim(const struct ifab_envelope *envelope);
/* Embedded key equals the registered one (32 bytes), key_id (when present) is its id, signature good. NONE or INVALID_SIGNATURE. */
enum ifab_code ifab_envelope_verify(const struct ifab_envelope *envelope, const uint8_t registered32[32], struct ifab_refusal *ret_refusal);
/* Time, judged in the step: 102 (now - issued_at > ttl_s + skew; or issued_at + ttl_s <= dropped_wall) or 107 (issued_at - now > skew). */
enum ifab_code ifab_envelope_check_time(const struct ifab_envelope *envelope, ifab_usec wall, ifab_usec skew, ifab_usec dropped_wall,
                                        struct ifab_refusal *ret_refusal);
#endif
