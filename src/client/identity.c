/* Private keys of agents and people, and the texts of public ones. */
#include "internal.h"

#include <time.h>

struct ifab_identity {
    struct ifab_signer *signer;
};

ifab_status ifab_start(struct ifab_error *err)
{
    return ifab_crypto_init(err);
}

int64_t ifab_wall_usec(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * IFAB_SECOND + t.tv_nsec / 1000;
}

const struct ifab_signer *ifab_identity__signer(const struct ifab_identity *self)
{
    return self->signer;
}

static ifab_status wrap(struct ifab_signer *signer, struct ifab_identity **ret_identity, struct ifab_error *err)
{
    struct ifab_identity *self = ifab_calloc(1, sizeof *self);
    if (self == NULL) {
        ifab_signer_free(signer);
        return ifab_fail(err, IFAB_NOMEM, "key");
    }
    self->signer = signer;
    *ret_identity = self;
    return IFAB_OK;
}

ifab_status ifab_identity_new(struct ifab_identity **ret_identity, struct ifab_error *err)
{
    struct ifab_signer *signer;
    IFAB_TRY(ifab_signer_new_random(&signer, err));
    return wrap(signer, ret_identity, err);
}

ifab_status ifab_identity_read(struct ifab_view pem, struct ifab_view passphrase, struct ifab_identity **ret_identity,
                               struct ifab_error *err)
{
    struct ifab_signer *signer;
    IFAB_TRY(ifab_key_pem_read(pem, passphrase, &signer, err));
    return wrap(signer, ret_identity, err);
}

ifab_status ifab_identity_write(const struct ifab_identity *self, struct ifab_view passphrase, struct ifab_text *ret_pem,
                                struct ifab_error *err)
{
    struct ifab_buf pem = IFAB_BUF_INIT(16384);
    ifab_status status = ifab_buf_reserve(&pem, 8192); /* does not move afterwards: no copy of the secret stays behind */
    if (status == IFAB_OK)
        status = ifab_key_pem_write(self->signer, passphrase, &pem, err);
    if (status == IFAB_OK)
        status = ifab_text__take(&pem, ret_pem, err);
    if (status != IFAB_OK && pem.data != NULL)
        ifab_wipe(pem.data, pem.capacity);
    ifab_buf_fini(&pem);
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "writing a key");
}

void ifab_identity_free(struct ifab_identity *self)
{
    if (self == NULL)
        return;
    ifab_signer_free(self->signer);
    ifab_free(self);
}

void ifab_identity_sign(const struct ifab_identity *self, struct ifab_view bytes, uint8_t ret_sig64[64])
{
    ifab_signer_sign(self->signer, bytes, ret_sig64);
}

void ifab_identity_public(const struct ifab_identity *self, uint8_t ret_pubkey32[32])
{
    ifab_signer_public(self->signer, ret_pubkey32);
}

void ifab_public_text(const uint8_t pubkey32[32], char ret_text[44])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < 43; i++) { /* 256 bits in groups of six; the last two bits are zero */
        size_t bit = i * 6, byte = bit / 8, shift = bit % 8;
        unsigned pair = (unsigned)pubkey32[byte] << 8 | (byte + 1 < 32 ? pubkey32[byte + 1] : 0U);
        ret_text[i] = alphabet[pair >> (10 - shift) & 63U];
    }
    ret_text[43] = '\0';
}

void ifab_public_id(const uint8_t pubkey32[32], char ret_text[19])
{
    ifab_key_id(pubkey32, ret_text);
}

ifab_status ifab_public_pem(const uint8_t pubkey32[32], struct ifab_text *ret_pem)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf pem = IFAB_BUF_INIT(1024);
    ifab_spki_pem_write(pubkey32, &pem);
    return ifab_text__take(&pem, ret_pem, NULL);
}

ifab_status ifab_public_read(struct ifab_view text, uint8_t ret_pubkey32[32], struct ifab_error *err)
{
    return ifab_pubkey_read(text, ret_pubkey32, err);
}
