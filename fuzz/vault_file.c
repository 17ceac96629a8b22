/* The reader of vault files behind its two tags: the fuzzer's bytes are sealed, so that what parses them is reached. Whatever is taken has records within
 * bounds; whatever is not, leaves nothing behind. */
#include "../src/port/vault/vault_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static ifab_status visit(void *user, const struct ifab_vault_about *about, struct ifab_view value, struct ifab_error *err)
{
    (void)user;
    (void)err;
    require(about->name.size >= 1 && about->name.size <= IFAB_VAULT_NAME_MAX && about->origin_count >= 1 && about->origin_count <= IFAB_VAULT_ORIGINS);
    require(value.size >= IFAB_VAULT_VALUE_MIN && value.size <= IFAB_VAULT_VALUE_MAX);
    return IFAB_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t master32[32] = {1};
    struct vault_seal seal;
    struct vault_keys keys;
    uint64_t counter;
    if (ifab_crypto_init(NULL) != IFAB_OK || size > 65536)
        return 0;
    struct ifab_buf file = IFAB_BUF_INIT(VAULT_FILE_MAX);
    ifab_buf_put(&file, data, size);
    if (vault_format_head(ifab_buf_as_view(&file), &seal, &counter, NULL) == IFAB_OK) {
        vault_keys_derive(master32, &seal, &keys);
        uint8_t *end = file.data + file.size - 40;
        require(vault_format_read(ifab_buf_as_view(&file), &keys, visit, NULL, NULL) != IFAB_OK || size > 100);
        ifab_aead_seal(keys.file32, end, ifab_view_of(file.data, file.size - 40), IFAB_VIEW(""), end + 24);
        (void)vault_format_read(ifab_buf_as_view(&file), &keys, visit, NULL, NULL);
        struct ifab_buf next = IFAB_BUF_INIT(VAULT_FILE_MAX);
        struct ifab_vault_change change = {.about = {.name = IFAB_VIEW("n"), .version = 1, .origins = {IFAB_VIEW("https://a")}, .origin_count = 1},
                                           .value = IFAB_VIEW("some-secret")};
        if (vault_format_write(ifab_buf_as_view(&file), &seal, &keys, &change, &next, NULL) == IFAB_OK)
            require(vault_format_head(ifab_buf_as_view(&next), &seal, &counter, NULL) == IFAB_OK);
        ifab_buf_fini(&next);
    }
    ifab_buf_fini(&file);
    return 0;
}
