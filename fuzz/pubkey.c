/* Public and private key texts from hostile bytes. */
#include <assert.h>

#include "crypto/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_view input = ifab_view_of(data, size);
    struct ifab_signer *signer = NULL;
    uint8_t key32[32], again32[32];

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 0;
    if (ifab_pubkey_read(input, key32, NULL) == IFAB_OK) {
        struct ifab_buf pem = IFAB_BUF_INIT(4096);
        assert(ifab_ed25519_key_valid(key32));
        ifab_spki_pem_write(key32, &pem);
        assert(ifab_pubkey_read(ifab_buf_as_view(&pem), again32, NULL) == IFAB_OK && memcmp(key32, again32, 32) == 0);
        ifab_buf_fini(&pem);
    }
    /* without a passphrase: the cost of deriving keys is not what is looked for here */
    if (ifab_key_pem_read(input, (struct ifab_view){NULL, 0}, &signer, NULL) == IFAB_OK)
        ifab_signer_free(signer);
    return 0;
}
