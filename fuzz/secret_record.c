/* Records of secrets and of the vault: what is taken, is written back byte for byte; an origin that is taken has no upper case and no path. */
#include "base/mem.h"
#include "secret/secret.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_secrets *secrets = NULL;
    struct ifab_view bytes = ifab_view_of(data, size);
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_SECRET_RECORD_MAX);
    if (ifab_origin_valid(bytes, NULL)) {
        require(size >= 6 && size <= IFAB_ORIGIN_MAX);
        size_t slashes = 0;
        for (size_t i = 0; i < size; i++) {
            require(data[i] > 0x20 && data[i] < 0x7f && (data[i] < 'A' || data[i] > 'Z') && data[i] != '@' && data[i] != '?' && data[i] != '#');
            slashes += data[i] == '/';
        }
        require(slashes == 2);
    }
    require(ifab_secrets_new(&secrets) == IFAB_OK);
    if (ifab_secrets_load(secrets, 1, bytes, NULL) == IFAB_OK) {
        const struct ifab_secret *secret = ifab_secrets_next(secrets, 0);
        require(secret != NULL && ifab_view_equal(secret->record, bytes));
        ifab_secret_write(&buf, secret);
        require(ifab_view_equal(ifab_buf_as_view(&buf), bytes));
        require(ifab_secrets_find(secrets, secret->name) == secret);
    }
    if (ifab_secrets_load_mark(secrets, bytes, NULL) == IFAB_OK) {
        ifab_buf_clear(&buf);
        ifab_secret_mark_write(&buf, ifab_secrets_mark(secrets));
        require(ifab_view_equal(ifab_buf_as_view(&buf), bytes));
    }
    ifab_buf_fini(&buf);
    ifab_secrets_free(secrets);
    return 0;
}
