#ifndef INFRAFABRIC_ENVELOPE_H
#define INFRAFABRIC_ENVELOPE_H
/*
 * Keys, signed messages, votes and admin acts. Nobody builds an envelope by hand: give a draft, get bytes to send.
 * Threads: any; an identity may be used by several at once. Source: SURFACE sections 2, 3, 7.
 */
#include <infrafabric/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Once, before threads. IFAB_INTERNAL: no randomness or cryptography. */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_start(struct ifab_error *err);

/* A private Ed25519 key: locked memory, wiped when freed, never formatted. */
struct ifab_identity;
IFAB_API IFAB_MUST_CHECK ifab_status ifab_identity_new(struct ifab_identity **ret_identity, struct ifab_error *err);
/**
 * Read a PKCS#8 PEM key (RFC 8410), encrypted or not.
 *
 * @param pem         the file's bytes; borrowed
 * @param passphrase  size 0: none; borrowed
 * @return IFAB_DENIED passphrase missing or wrong; IFAB_INVALID not such a key; IFAB_NOMEM
 */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_identity_read(struct ifab_view pem, struct ifab_view passphrase,
                                                        struct ifab_identity **ret_identity, struct ifab_error *err);
/* PKCS#8 PEM, encrypted when passphrase.size > 0. The text is secret: write it to a file of mode 0600 and free it. */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_identity_write(const struct ifab_identity *self, struct ifab_view passphrase,
                                                         struct ifab_text *ret_pem, struct ifab_error *err);
IFAB_API void ifab_identity_free(struct ifab_identity *self); /* accepts NULL */
IFAB_API void ifab_identity_public(const struct ifab_identity *self, uint8_t ret_pubkey32[32]);

/* Texts of a public key: base64url, 43 characters and NUL; "k-" + 16 hex and NUL; SPKI PEM. */
IFAB_API void ifab_public_text(const uint8_t pubkey32[32], char ret_text[44]);
IFAB_API void ifab_public_id(const uint8_t pubkey32[32], char ret_text[19]);
IFAB_API IFAB_MUST_CHECK ifab_status ifab_public_pem(const uint8_t pubkey32[32], struct ifab_text *ret_pem);
/* base64url, SPKI PEM or an "ssh-ed25519 AAAA…" line. IFAB_INVALID also for keys that must not be used. */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_public_read(struct ifab_view text, uint8_t ret_pubkey32[32], struct ifab_error *err);

/* Microseconds since 1970, the clock that fills issued_at and seq. */
IFAB_API int64_t ifab_wall_usec(void);

struct ifab_draft_evidence {
    const char *type, *url, *hash, *retrieved_at; /* NULL: left out; hash "sha256:…" */
};
/* What a message says. Texts are NUL-terminated UTF-8, borrowed; NULL or 0: left out, or filled as told. */
struct ifab_draft {
    unsigned version;               /* IFAB_DRAFT_VERSION */
    const char *sender;             /* if://agent/NAME[/INSTANCE]; needed */
    const char *const *receivers;   /* URIs; "NAME" stands for if://agent/NAME */
    size_t receiver_count;          /* 0..64 */
    const char *performative;       /* NULL: "inform" */
    const char *conversation_id;    /* NULL: a new one */
    const char *topic_hash;         /* NULL: digest of the evidence */
    const char *trace;              /* UUID; NULL: none */
    const char *claim_id, *claim;
    struct ifab_view scope, data;   /* JSON objects */
    bool has_confidence;
    double confidence;              /* 0..1; both raw and normalized */
    const char *const *hazards;
    size_t hazard_count;            /* 0..16 */
    const struct ifab_draft_evidence *evidence;
    size_t evidence_count;          /* 0..64 */
    uint32_t ttl_s;                 /* 0: 60; 1..3600 */
    int64_t issued_at;              /* µs since 1970; 0: now */
    uint64_t last_seq;              /* seq becomes max(last_seq + 1, µs since 1970) */
};
#define IFAB_DRAFT_VERSION 1U

/* Raw Ed25519 over bytes that begin with the domain line of their format ("IF-MANIFEST-v1\n…"): for formats that have no call of their own here. */
IFAB_API void ifab_identity_sign(const struct ifab_identity *identity, struct ifab_view bytes, uint8_t ret_sig64[64]);

/* A signed message, ready to be posted. Zeroed = none. */
struct ifab_message {
    struct ifab_text bytes;
    char id[41];           /* "msg-…": also its Idempotency-Key */
    uint64_t seq;
    uint8_t digest32[32];  /* message_digest */
    uint8_t pubkey32[32];  /* embedded in it */
};
IFAB_API void ifab_message_free(struct ifab_message *self); /* accepts NULL and a zeroed one */
/**
 * Fill in id, conversation, topic, time, ttl, seq and nonce, sign, and check the result as the daemon would.
 * @return IFAB_INVALID err says which field; IFAB_TOO_LARGE above 64 KiB; IFAB_NOMEM
 */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_message_build(const struct ifab_draft *draft, const struct ifab_identity *identity,
                                                        struct ifab_message *ret_message, struct ifab_error *err);
/* The same from a JSON object: its members stand, what is missing comes from defaults. A signature in it is IFAB_CONFLICT: send it as it
 * is. */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_message_complete(struct ifab_view json, const struct ifab_draft *defaults,
                                                           const struct ifab_identity *identity, struct ifab_message *ret_message,
                                                           struct ifab_error *err);
/* Read a complete envelope: strict, and its signature must be good under the key embedded in it (who that key belongs to is the caller's
 * question). */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_message_read(struct ifab_view json, struct ifab_message *ret_message, struct ifab_error *err);
/* The bytes a signature is over: domain line + canonical form without signature.sig. */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_message_signed_bytes(struct ifab_view json, struct ifab_text *ret_bytes, struct ifab_error *err);

/* A vote on an open decision. All texts needed. */
struct ifab_vote_draft {
    unsigned version;           /* IFAB_VOTE_VERSION */
    const char *log;            /* origin of the fabric: GET /v1/fabric */
    const char *decision;       /* "msg-…" */
    const uint8_t *message_digest32;
    const char *policy_digest;  /* "sha256:…" as the decision shows it */
    const char *verdict;        /* "approve" "refuse" "scope-ok" */
    const char *voter;          /* if://agent/NAME */
    const char *why;
    int64_t valid_usec;         /* 0: 10 minutes */
};
#define IFAB_VOTE_VERSION 1U
IFAB_API IFAB_MUST_CHECK ifab_status ifab_vote_build(const struct ifab_vote_draft *draft, const struct ifab_identity *identity,
                                                     struct ifab_text *ret_json, struct ifab_error *err);
/**
 * The value of the header IF-Admin for one request.
 * @param log    origin of the fabric
 * @param route  method and path without query: "POST /v1/talents"
 * @param body   the exact bytes of the body
 */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_admin_act(const char *log, const char *route, struct ifab_view body, const char *why,
                                                    const struct ifab_identity *identity, struct ifab_text *ret_header,
                                                    struct ifab_error *err);
/**
 * The body of POST /v1/enroll: a new key's proof of possession, good for one code, one key and one fabric.
 * @param code  as it was given, in upper or lower case, with or without its hyphens and spaces
 * @param log   origin of the fabric
 * @return IFAB_INVALID not such a code
 */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_enroll_build(const char *code, const char *log, const struct ifab_identity *identity,
                                                       struct ifab_text *ret_json, struct ifab_error *err);

#ifdef __cplusplus
}
#endif
#endif
