/*
 * A private key. It lives in pages of its own between guard pages, locked, left out of core files, read-only once made, and wiped when
 * freed. Nothing here formats it; only key_files.c and note_key.c, which write key files, ask for its bytes.
 */
#include "crypto_internal.h"

#include <sodium.h>

struct ifab_signer {
    uint8_t *secret64; /* seed and public key, as libsodium wants them; sodium_malloc() */
    uint8_t pubkey32[32];
};

/* seed32 NULL: a new one from the kernel, made in place so that it is never anywhere else. */
static ifab_status make(const uint8_t *seed32, struct ifab_signer **ret_signer, struct ifab_error *err)
{
    struct ifab_signer *self = ifab_calloc(1, sizeof *self);

    if (self != NULL)
        self->secret64 = sodium_malloc(crypto_sign_SECRETKEYBYTES);
    if (self == NULL || self->secret64 == NULL) {
        ifab_free(self);
        return ifab_fail(err, IFAB_NOMEM, "no memory for a private key");
    }
    if (seed32 != NULL)
        crypto_sign_seed_keypair(self->pubkey32, self->secret64, seed32);
    else
        crypto_sign_keypair(self->pubkey32, self->secret64);
    sodium_mprotect_readonly(self->secret64);
    *ret_signer = self;
    return IFAB_OK;
}

ifab_status ifab_signer_new_random(struct ifab_signer **ret_signer, struct ifab_error *err)
{
    return make(NULL, ret_signer, err);
}

ifab_status ifab_signer_from_seed(const uint8_t seed32[32], struct ifab_signer **ret_signer, struct ifab_error *err)
{
    return make(seed32, ret_signer, err);
}

void ifab_signer_free(struct ifab_signer *self)
{
    if (self == NULL)
        return;
    sodium_free(self->secret64); /* wipes */
    ifab_free(self);
}

void ifab_signer_freep(struct ifab_signer **self)
{
    ifab_signer_free(*self);
    *self = NULL;
}

void ifab_signer_public(const struct ifab_signer *self, uint8_t ret_pubkey32[32])
{
    memcpy(ret_pubkey32, self->pubkey32, 32);
}

const uint8_t *ifab_signer__seed(const struct ifab_signer *self)
{
    return self->secret64;
}

void ifab_signer_sign(const struct ifab_signer *self, struct ifab_view message, uint8_t ret_sig64[64])
{
    static const uint8_t nothing[1];

    crypto_sign_detached(ret_sig64, NULL, message.size > 0 ? message.data : nothing, message.size, self->secret64);
}

void ifab_signer_derive(const struct ifab_signer *self, const char *purpose, uint8_t ret_key32[32])
{
    ifab_crypto__hmac(ifab_view_of(self->secret64, 32), IFAB_VIEW("infrafabric "), ifab_view_str(purpose), ret_key32);
}
