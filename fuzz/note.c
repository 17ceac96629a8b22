/* Signed notes and their keys from hostile bytes. What verifies must come out as the text that was signed. */
#include <assert.h>

#include "crypto/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    struct ifab_view input = ifab_view_of(data, size), name, text;
    struct ifab_buf again = IFAB_BUF_INIT(100000);
    struct ifab_signer *signer = NULL;
    uint8_t key32[32];

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 0;
    ifab_status fixed = ifab_note_vkey_read(ifab_view_str(vkey), &name, key32, NULL);
    assert(fixed == IFAB_OK);
    if (ifab_note_verify(input, name, key32, &text, NULL) == IFAB_OK)
        assert(text.size > 0 && text.size < size && text.data == data && text.data[text.size - 1] == '\n');
    if (ifab_note_vkey_read(input, &name, key32, NULL) == IFAB_OK) { /* one spelling only */
        assert(ifab_note_vkey_write(name, key32, &again) == IFAB_OK);
        assert(ifab_view_equal(ifab_buf_as_view(&again), input));
    }
    ifab_buf_clear(&again);
    if (ifab_note_skey_read(input, &name, &signer, NULL) == IFAB_OK) {
        assert(ifab_note_skey_write(name, signer, &again) == IFAB_OK);
        assert(ifab_view_equal(ifab_buf_as_view(&again), input));
        ifab_signer_free(signer);
    }
    ifab_buf_fini(&again);
    return 0;
}
