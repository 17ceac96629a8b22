#ifndef SUPPORT_MAKE_ENVELOPE_H
#define SUPPORT_MAKE_ENVELOPE_H
/*
 * Signed envelopes for tests: a body is the text of the object up to, without, its signature and closing brace.
 * The signature is made through the reader itself (its signed bytes), so a body that is refused keeps a signature of zeros.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "connect/envelope.h"
#include "crypto/crypto.h"

#include <stdlib.h>

#define MAKE_ISSUED_AT "2025-11-12T10:21:00Z"
#define MAKE_ZERO_SIG "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static inline struct ifab_signer *make_signer(uint8_t first)
{
    uint8_t seed32[32] = {first, 0x5a};
    struct ifab_signer *signer = NULL;
    if (ifab_crypto_init(NULL) != IFAB_OK || ifab_signer_from_seed(seed32, &signer, NULL) != IFAB_OK)
        abort();
    return signer;
}

/* Appends body, signature and brace to out, which must be empty. */
static inline void make_envelope(struct ifab_buf *out, const struct ifab_signer *signer, const char *body)
{
    uint8_t pubkey32[32], sig64[64];
    ifab_signer_public(signer, pubkey32);
    ifab_buf_str(out, body);
    ifab_buf_str(out, ",\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"");
    ifab_buf_base64url(out, pubkey32, sizeof pubkey32);
    ifab_buf_str(out, "\",\"sig\":\"");
    size_t at = out->size;
    ifab_buf_str(out, MAKE_ZERO_SIG "\"}}");
    if (ifab_buf_status(out) != IFAB_OK)
        abort();

    struct ifab_arena arena;
    struct ifab_envelope *envelope = malloc(sizeof *envelope);
    if (envelope == NULL)
        abort();
    ifab_arena_init(&arena, 64U << 20);
    if (ifab_envelope_read(ifab_buf_as_view(out), SIZE_MAX, &arena, envelope, NULL) == IFAB_CODE_NONE) {
        struct ifab_buf text = IFAB_BUF_INIT(128);
        ifab_signer_sign(signer, envelope->signed_bytes, sig64);
        ifab_buf_base64url(&text, sig64, sizeof sig64);
        memcpy(out->data + at, text.data, text.size);
        ifab_buf_fini(&text);
    }
    free(envelope);
    ifab_arena_fini(&arena);
}

/* A body with the usual fields; n makes id, conversation, nonce and seq its own. more: further members, from a comma on. */
static inline void make_body(struct ifab_buf *out, const char *sender, unsigned n, const char *performative, const char *content,
                             const char *more)
{
    uint8_t nonce16[16] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), 7};
    ifab_buf_format(out, "{\"id\":\"msg-01930000-0000-7000-8000-%012x\",\"performative\":\"%s\",", n, performative);
    ifab_buf_format(out, "\"conversation_id\":\"conv-01930000-0000-7000-8000-%012x\",", n);
    ifab_buf_str(out, "\"topic_hash\":\"sha256:d45a1dfdd90023d002540b703adc912e8e5658758bb0d381a4f342afcb428752\",");
    ifab_buf_format(out, "\"sender\":\"%s\",\"issued_at\":\"" MAKE_ISSUED_AT "\",\"ttl_s\":900,\"seq\":%u,\"nonce\":\"", sender, n + 1);
    ifab_buf_base64url(out, nonce16, sizeof nonce16);
    ifab_buf_format(out, "\",\"content\":%s%s", content, more);
    ifab_buf_char(out, '\0'); /* a C string */
    if (ifab_buf_status(out) != IFAB_OK)
        abort();
}
#endif
