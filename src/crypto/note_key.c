/* C2SP signed-note keys as text: "<name>+<hash>+<base64(0x01 || key)>", the signer's with "PRIVATE+KEY+" before it and the seed as key. */
#include "crypto_internal.h"

static const char private_words[] = "PRIVATE+KEY+";

static void put_name_and_hash(struct ifab_view name, const uint8_t pubkey32[32], struct ifab_buf *text)
{
    uint8_t hash4[4];

    ifab_note__key_hash(name, pubkey32, hash4);
    ifab_buf_view(text, name);
    ifab_buf_char(text, '+');
    ifab_buf_hex(text, hash4, sizeof hash4);
    ifab_buf_char(text, '+');
}

ifab_status ifab_note_vkey_write(struct ifab_view name, const uint8_t pubkey32[32], struct ifab_buf *text)
{
    uint8_t bytes[33] = {IFAB_NOTE__ED25519};

    if (!ifab_note__name_valid(name))
        return IFAB_INVALID;
    memcpy(bytes + 1, pubkey32, 32);
    put_name_and_hash(name, pubkey32, text);
    ifab_buf_base64(text, bytes, sizeof bytes);
    return ifab_buf_status(text);
}

ifab_status ifab_note_skey_write(struct ifab_view name, const struct ifab_signer *key, struct ifab_buf *text)
{
    uint8_t bytes[33] = {IFAB_NOTE__ED25519}, pubkey32[32];

    if (!ifab_note__name_valid(name))
        return IFAB_INVALID;
    ifab_signer_public(key, pubkey32);
    memcpy(bytes + 1, ifab_signer__seed(key), 32);
    ifab_buf_str(text, private_words);
    put_name_and_hash(name, pubkey32, text);
    ifab_buf_base64(text, bytes, sizeof bytes);
    ifab_wipe(bytes, sizeof bytes);
    return ifab_buf_status(text);
}

/* The name ends at the first '+', the hash at the second; base64 may contain more of them. */
static bool split(struct ifab_view text, struct ifab_view *ret_name, uint8_t ret_hash4[4], uint8_t ret_key32[32])
{
    uint8_t bytes[33];
    size_t size = 0;
    const uint8_t *plus = text.size > 0 ? memchr(text.data, '+', text.size) : NULL;
    bool good = false;

    if (plus == NULL)
        return false;
    *ret_name = ifab_view_of(text.data, (size_t)(plus - text.data));
    text.size -= ret_name->size + 1;
    text.data = plus + 1;
    if (ifab_note__name_valid(*ret_name) && text.size > 9 && text.data[8] == '+' &&
        ifab_hex_decode(ifab_view_of(text.data, 8), ret_hash4, 4) == IFAB_OK &&
        ifab_base64_decode(ifab_view_of(text.data + 9, text.size - 9), bytes, sizeof bytes, &size) == IFAB_OK && size == sizeof bytes &&
        bytes[0] == IFAB_NOTE__ED25519) {
        memcpy(ret_key32, bytes + 1, 32);
        good = true;
    }
    ifab_wipe(bytes, sizeof bytes);
    return good;
}

ifab_status ifab_note_vkey_read(struct ifab_view text, struct ifab_view *ret_name, uint8_t ret_pubkey32[32], struct ifab_error *err)
{
    struct ifab_view name;
    uint8_t given4[4], hash4[4], key32[32];

    if (ifab_view_starts(text, ifab_view_str(private_words)))
        return ifab_fail(err, IFAB_INVALID, "verifier key: this is a signer key; keep it secret and give the verifier key");
    if (text.size > IFAB_CRYPTO__TEXT_MAX || !split(text, &name, given4, key32))
        return ifab_fail(err, IFAB_INVALID, "verifier key: want <name>+<8 hex>+<base64>");
    ifab_note__key_hash(name, key32, hash4);
    if (memcmp(given4, hash4, sizeof hash4) != 0)
        return ifab_fail(err, IFAB_INVALID, "verifier key: its hash does not fit name and key");
    if (!ifab_ed25519_key_valid(key32))
        return ifab_fail(err, IFAB_INVALID, "verifier key: not a point that Ed25519 may use");
    *ret_name = name;
    memcpy(ret_pubkey32, key32, sizeof key32);
    return IFAB_OK;
}

ifab_status ifab_note_skey_read(struct ifab_view text, struct ifab_view *ret_name, struct ifab_signer **ret_key, struct ifab_error *err)
{
    const struct ifab_view words = ifab_view_str(private_words);
    struct ifab_signer *key = NULL;
    struct ifab_view name;
    uint8_t given4[4], hash4[4], seed32[32], pubkey32[32];
    ifab_status status;

    if (text.size > IFAB_CRYPTO__TEXT_MAX || !ifab_view_starts(text, words) ||
        !split(ifab_view_of(text.data + words.size, text.size - words.size), &name, given4, seed32))
        return ifab_fail(err, IFAB_INVALID, "signer key: want PRIVATE+KEY+<name>+<8 hex>+<base64>");
    status = ifab_signer_from_seed(seed32, &key, err);
    ifab_wipe(seed32, sizeof seed32);
    IFAB_TRY(status);
    ifab_signer_public(key, pubkey32);
    ifab_note__key_hash(name, pubkey32, hash4);
    if (memcmp(given4, hash4, sizeof hash4) != 0) {
        ifab_signer_free(key);
        return ifab_fail(err, IFAB_INVALID, "signer key: its hash does not fit name and key");
    }
    *ret_name = name;
    *ret_key = key;
    return IFAB_OK;
}
