/*
 * Public keys as text: base64url, SPKI PEM (RFC 8410) and the line OpenSSH writes. An Ed25519 SPKI and an ssh-ed25519 blob have one DER or
 * wire form each (parameters must be absent), so both are a fixed prefix and the key: no ASN.1 parser meets bytes from outside.
 */
#include "crypto_internal.h"

static const uint8_t spki_prefix[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t ssh_prefix[19] = {0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32};

void ifab_spki_pem_write(const uint8_t pubkey32[32], struct ifab_buf *pem)
{
    uint8_t der[sizeof spki_prefix + 32];

    memcpy(der, spki_prefix, sizeof spki_prefix);
    memcpy(der + sizeof spki_prefix, pubkey32, 32);
    ifab_pem__write(pem, "PUBLIC KEY", der, sizeof der);
}

void ifab_spki_digest(const uint8_t pubkey32[32], uint8_t ret_digest32[32])
{
    ifab_sha256_2((struct ifab_view){spki_prefix, sizeof spki_prefix}, (struct ifab_view){pubkey32, 32}, ret_digest32);
}

static bool take_prefixed(const uint8_t *bytes, size_t size, const uint8_t *prefix, size_t prefix_size, uint8_t ret_pubkey32[32])
{
    if (size != prefix_size + 32 || memcmp(bytes, prefix, prefix_size) != 0)
        return false;
    memcpy(ret_pubkey32, bytes + prefix_size, 32);
    return true;
}

static bool read_spki(struct ifab_view text, uint8_t ret_pubkey32[32])
{
    uint8_t der[IFAB_PEM__DER_MAX];
    size_t size = 0;

    return ifab_pem__read(text, "PUBLIC KEY", der, &size) && take_prefixed(der, size, spki_prefix, sizeof spki_prefix, ret_pubkey32);
}

/* "ssh-ed25519 AAAA… [comment]", one line. */
static bool read_ssh(struct ifab_view text, uint8_t ret_pubkey32[32])
{
    const struct ifab_view word = IFAB_VIEW("ssh-ed25519 ");
    const uint8_t *space;
    uint8_t blob[64];
    size_t size = 0;

    if (!ifab_view_starts(text, word) || memchr(text.data, '\n', text.size) != NULL)
        return false;
    text.data += word.size;
    text.size -= word.size;
    if (text.size == 0)
        return false;
    space = memchr(text.data, ' ', text.size);
    if (space != NULL)
        text.size = (size_t)(space - text.data);
    return ifab_base64_decode(text, blob, sizeof blob, &size) == IFAB_OK &&
           take_prefixed(blob, size, ssh_prefix, sizeof ssh_prefix, ret_pubkey32);
}

ifab_status ifab_pubkey_read(struct ifab_view text, uint8_t ret_pubkey32[32], struct ifab_error *err)
{
    uint8_t key32[32];
    size_t size = 0;
    bool read;

    if (text.size > IFAB_CRYPTO__TEXT_MAX)
        return ifab_fail(err, IFAB_INVALID, "public key: text of %zu bytes, at most %d", text.size, IFAB_CRYPTO__TEXT_MAX);
    text = ifab_crypto__trim(text);
    if (ifab_view_starts(text, IFAB_VIEW("-----BEGIN ")) && !ifab_pem__is(text, "PUBLIC KEY"))
        return ifab_fail(err, IFAB_INVALID,
                         "public key: this PEM holds something else; a public key begins \"-----BEGIN PUBLIC KEY-----\"");
    if (ifab_view_starts(text, IFAB_VIEW("-----")))
        read = read_spki(text, key32);
    else if (ifab_view_starts(text, IFAB_VIEW("ssh-")))
        read = read_ssh(text, key32);
    else
        read = ifab_base64url_decode(text, key32, sizeof key32, &size) == IFAB_OK && size == sizeof key32;
    if (!read && ifab_looks_base64_standard(text))
        return ifab_fail(err, IFAB_INVALID, "public key: standard base64; write it as base64url without padding");
    if (!read)
        return ifab_fail(err, IFAB_INVALID, "public key: neither base64url of 32 bytes nor an Ed25519 SPKI PEM nor an ssh-ed25519 line");
    if (!ifab_ed25519_key_valid(key32))
        return ifab_fail(err, IFAB_INVALID, "public key: not a point that Ed25519 may use");
    memcpy(ret_pubkey32, key32, sizeof key32);
    return IFAB_OK;
}
