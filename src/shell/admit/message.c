/* A message on its way to the step: 109, 101 (110), 106, 001 or 004 for the key, 001 for the signature. */
#include "admit_internal.h"

#include <string.h>

#include "redact/redact.h"

enum ifab_code ifab_admit__key(const struct ifab_keyring_entry *entry, const uint8_t pubkey32[32], ifab_usec wall, struct ifab_refusal *ret_refusal)
{
    for (size_t i = 0; i < entry->key_count; i++) {
        const struct ifab_key *key = &entry->keys[i];
        if (memcmp(key->pubkey32, pubkey32, 32) != 0)
            continue;
        if (entry->removed || key->revoked_at != IFAB_NEVER || wall < key->not_before || wall >= key->not_after)
            return ifab_refuse(ret_refusal, IFAB_CODE_KEY_REVOKED, "signature.pubkey", "the key is revoked or outside its validity");
        return IFAB_CODE_NONE;
    }
    return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.pubkey", "not a key registered for " IFAB_FMT, IFAB_ARG(entry->name));
}

/* Names stand in entries, which are never redacted afterwards: one that looks like a secret does not come in. */
static enum ifab_code check_names(const struct ifab_envelope *envelope, struct ifab_refusal *ret_refusal)
{
    const char *field = ifab_redact_hits_text(envelope->sender) ? "sender" : NULL;
    for (size_t i = 0; i < envelope->receiver_count && field == NULL; i++)
        field = ifab_redact_hits_text(envelope->receivers[i].uri) ? "receiver" : NULL;
    return field == NULL ? IFAB_CODE_NONE : ifab_refuse(ret_refusal, IFAB_CODE_INVALID_ENVELOPE, field, "looks like a secret, and names stand in the log");
}

enum ifab_code ifab_admit_message(struct ifab_view bytes, size_t max_size, const struct ifab_keyring *keyring, const uint8_t tag_key16[16],
                                  ifab_usec wall, struct ifab_arena *arena, struct ifab_admitted *ret_admitted, struct ifab_refusal *ret_refusal)
{
    struct ifab_envelope *envelope = &ret_admitted->envelope;
    enum ifab_code code = ifab_envelope_read(bytes, max_size, arena, envelope, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = check_names(envelope, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    const struct ifab_keyring_entry *entry = ifab_keyring_find(keyring, envelope->sender_name);
    if (entry == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_UNKNOWN_SENDER, "sender", "no talent " IFAB_FMT " is enrolled here", IFAB_ARG(envelope->sender_name));
    code = ifab_admit__key(entry, envelope->pubkey32, wall, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    code = ifab_envelope_verify(envelope, envelope->pubkey32, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ret_admitted->talent = entry->number;
    ret_admitted->key_version = entry->version;
    if (!ifab_admit_facts(envelope, tag_key16, arena, &ret_admitted->facts))
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    return IFAB_CODE_NONE;
}
