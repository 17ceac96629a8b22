/*
 * Does this envelope come from its sender, and is it of this time? Both judge what ifab_envelope_read() accepted.
 * 1. The key inside the message is never trusted: it must be the one registered here (INV-02).
 * 2. Time is judged in the step, against the wall time of the command.
 */
#include "connect/envelope.h"
#include "crypto/crypto.h"

enum ifab_code ifab_envelope_verify(const struct ifab_envelope *envelope, const uint8_t registered32[32], struct ifab_refusal *ret_refusal)
{
    if (memcmp(envelope->pubkey32, registered32, 32) != 0)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.pubkey", "this is not the key registered for the sender");
    if (envelope->key_id.size > 0) {
        char key_id[19];
        ifab_key_id(registered32, key_id);
        if (!ifab_view_is(envelope->key_id, key_id))
            return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.key_id", "the sender's key is %s", key_id);
    }
    if (!ifab_ed25519_verify(registered32, envelope->signed_bytes, envelope->sig64))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.sig",
                           "the signature does not fit the canonical form (%zu bytes with the domain prefix)", envelope->signed_bytes.size);
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_envelope_check_time(const struct ifab_envelope *envelope, ifab_usec wall, ifab_usec skew, ifab_usec dropped_wall,
                                        struct ifab_refusal *ret_refusal)
{
    /* issued_at lies in the years 1970..9999, ttl_s and skew within hours: nothing here can overflow */
    ifab_usec expiry = envelope->issued_at + (ifab_usec)envelope->ttl_s * IFAB_SECOND;
    if (wall > expiry + skew)
        return ifab_refuse(ret_refusal, IFAB_CODE_EXPIRED_MESSAGE, "issued_at", "it ended %lld ms ago (ttl_s %u, skew %lld s)",
                           (long long)((wall - expiry) / 1000), (unsigned)envelope->ttl_s, (long long)(skew / IFAB_SECOND));
    if (expiry <= dropped_wall) /* its replay memory is gone: whatever the clock says now, it could be a second copy */
        return ifab_refuse(ret_refusal, IFAB_CODE_EXPIRED_MESSAGE, "issued_at",
                           "messages that ended when this one did are forgotten already");
    if (envelope->issued_at - skew > wall)
        return ifab_refuse(ret_refusal, IFAB_CODE_FUTURE_MESSAGE, "issued_at", "issued %lld ms from now (skew %lld s)",
                           (long long)((envelope->issued_at - wall) / 1000), (long long)(skew / IFAB_SECOND));
    return IFAB_CODE_NONE;
}
