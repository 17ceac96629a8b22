/*
 * Private keys as PKCS#8 PEM (RFC 8410, RFC 5958), plain or encrypted (PBES2: scrypt N = 2^14, r = 8, p = 5, AES-256-CBC). libcrypto
 * does the ASN.1 and the encryption. Nothing can ask on a terminal: the PEM is taken apart by pem.c, and the structure is decrypted with
 * the passphrase that was handed in, or not at all.
 */
#include "crypto_internal.h"

/* <openssl/bio.h> has a callback named puts, which banned.h poisons; nothing here does input or output, so it is left out. */
#define OPENSSL_BIO_H
typedef struct bio_method_st BIO_METHOD;
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#define PLAIN_LABEL    "PRIVATE KEY"
#define SEALED_LABEL   "ENCRYPTED PRIVATE KEY"
#define PASSPHRASE_MAX 1024
#define SALT           16
#define IV             16
/* 16 MiB and about 0.2 s; N = 2^15 is refused by OpenSSL's own reader (its memory limit is 32 MiB), so cost comes from p. */
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 5

/* RFC 8410 section 7: PrivateKeyInfo of version 0 without attributes around the 32 bytes. */
static const uint8_t plain_prefix[16] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
#define PLAIN_SIZE (sizeof plain_prefix + 32)

static ifab_status signer_of(PKCS8_PRIV_KEY_INFO *info, struct ifab_signer **ret_signer, struct ifab_error *err)
{
    EVP_PKEY *key = EVP_PKCS82PKEY(info);
    uint8_t seed32[32];
    size_t size = sizeof seed32;
    ifab_status status;

    if (key != NULL && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_private_key(key, seed32, &size) == 1 &&
        size == sizeof seed32)
        status = ifab_signer_from_seed(seed32, ret_signer, err);
    else
        status = ifab_fail(err, IFAB_INVALID, "key file: not an Ed25519 private key");
    ifab_wipe(seed32, sizeof seed32);
    EVP_PKEY_free(key);
    return status;
}

static ifab_status read_plain(const uint8_t *der, size_t size, struct ifab_signer **ret_signer, struct ifab_error *err)
{
    const unsigned char *at = der;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)size);
    ifab_status status;

    if (info == NULL || at != der + size)
        status = ifab_fail(err, IFAB_INVALID, "key file: malformed PKCS#8");
    else
        status = signer_of(info, ret_signer, err);
    PKCS8_PRIV_KEY_INFO_free(info);
    return status;
}

static ifab_status read_encrypted(const uint8_t *der, size_t size, struct ifab_view passphrase, struct ifab_signer **ret_signer,
                                  struct ifab_error *err)
{
    const unsigned char *at = der;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &at, (long)size);
    PKCS8_PRIV_KEY_INFO *info = NULL;
    ifab_status status;

    if (sealed == NULL || at != der + size)
        status = ifab_fail(err, IFAB_INVALID, "key file: malformed encrypted PKCS#8");
    else if (passphrase.size == 0)
        status = ifab_fail(err, IFAB_DENIED, "key file: it is encrypted; a passphrase is needed");
    else if (passphrase.size > PASSPHRASE_MAX)
        status = ifab_fail(err, IFAB_DENIED, "key file: passphrase of more than %d bytes", PASSPHRASE_MAX);
    else if ((info = PKCS8_decrypt(sealed, (const char *)passphrase.data, (int)passphrase.size)) == NULL)
        status = ifab_fail(err, IFAB_DENIED, "key file: wrong passphrase");
    else
        status = signer_of(info, ret_signer, err);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_SIG_free(sealed);
    return status;
}

ifab_status ifab_key_pem_read(struct ifab_view pem, struct ifab_view passphrase, struct ifab_signer **ret_signer, struct ifab_error *err)
{
    const bool sealed = ifab_pem__is(pem, SEALED_LABEL);
    uint8_t der[IFAB_PEM__DER_MAX];
    size_t size = 0;
    ifab_status status;

    if (pem.size > IFAB_CRYPTO__TEXT_MAX)
        return ifab_fail(err, IFAB_INVALID, "key file: %zu bytes, at most %d", pem.size, IFAB_CRYPTO__TEXT_MAX);
    if (!sealed && !ifab_pem__is(pem, PLAIN_LABEL))
        return ifab_fail(err, IFAB_INVALID, "key file: begins neither with \"PRIVATE KEY\" nor with \"ENCRYPTED PRIVATE KEY\"");
    ERR_set_mark();
    if (!ifab_pem__read(pem, sealed ? SEALED_LABEL : PLAIN_LABEL, der, &size))
        status = ifab_fail(err, IFAB_INVALID, "key file: not one PEM block");
    else if (sealed)
        status = read_encrypted(der, size, passphrase, ret_signer, err);
    else
        status = read_plain(der, size, ret_signer, err);
    ERR_pop_to_mark(); /* libcrypto's reasons are told to nobody */
    ifab_wipe(der, sizeof der);
    return status;
}

/* PBES2 around the plain structure. NULL when libcrypto is out of memory or lacks an algorithm. */
static X509_SIG *seal(const uint8_t *der, struct ifab_view passphrase)
{
    const unsigned char *at = der;
    unsigned char salt[SALT], iv[IV];
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)PLAIN_SIZE);
    X509_ALGOR *scheme;
    X509_SIG *sealed = NULL;

    ifab_random(salt, sizeof salt);
    ifab_random(iv, sizeof iv);
    scheme = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), salt, SALT, iv, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    if (info != NULL && scheme != NULL)
        sealed = PKCS8_set0_pbe((const char *)passphrase.data, (int)passphrase.size, info, scheme);
    if (sealed == NULL)
        X509_ALGOR_free(scheme); /* else it went into the structure */
    PKCS8_PRIV_KEY_INFO_free(info);
    return sealed;
}

static ifab_status write_encrypted(const uint8_t *plain, struct ifab_view passphrase, struct ifab_buf *pem, struct ifab_error *err)
{
    X509_SIG *sealed;
    unsigned char *der = NULL;
    int size = -1;

    ERR_set_mark();
    sealed = seal(plain, passphrase);
    if (sealed != NULL)
        size = i2d_X509_SIG(sealed, &der);
    X509_SIG_free(sealed);
    ERR_pop_to_mark();
    if (size <= 0)
        return ifab_fail(err, IFAB_INTERNAL, "key file: libcrypto cannot encrypt it");
    ifab_pem__write(pem, SEALED_LABEL, der, (size_t)size);
    OPENSSL_free(der);
    return IFAB_OK;
}

ifab_status ifab_key_pem_write(const struct ifab_signer *self, struct ifab_view passphrase, struct ifab_buf *pem, struct ifab_error *err)
{
    uint8_t der[PLAIN_SIZE];
    ifab_status status = IFAB_OK;

    if (passphrase.size > PASSPHRASE_MAX)
        return ifab_fail(err, IFAB_INVALID, "key file: passphrase of more than %d bytes", PASSPHRASE_MAX);
    memcpy(der, plain_prefix, sizeof plain_prefix);
    memcpy(der + sizeof plain_prefix, ifab_signer__seed(self), 32);
    if (passphrase.size == 0)
        ifab_pem__write(pem, PLAIN_LABEL, der, sizeof der);
    else
        status = write_encrypted(der, passphrase, pem, err);
    ifab_wipe(der, sizeof der);
    if (status == IFAB_OK && ifab_buf_status(pem) != IFAB_OK)
        status = ifab_fail(err, ifab_buf_status(pem), "key file: no room");
    return status;
}
