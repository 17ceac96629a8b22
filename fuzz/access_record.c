/* A token's or invite's record (first byte: which): whatever load takes is kept byte for byte, and what follows from it is taken too. */
#include "talent/access.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_accesses *all = NULL;
    if (size == 0)
        return 0;
    enum ifab_access_kind kind = (data[0] & 1) == 0 ? IFAB_ACCESS_TOKEN : IFAB_ACCESS_INVITE;
    struct ifab_view bytes = {data + 1, size - 1};
    require(ifab_accesses_new(1, &all) == IFAB_OK);
    if (bytes.size > 0 && ifab_accesses_load(all, kind, 7, bytes, NULL) == IFAB_OK) {
        const struct ifab_access_item *item = ifab_accesses_next(all, 0);
        require(item != NULL && item->number == 7 && ifab_view_equal(item->record, bytes) && item->role != IFAB_ROLE_NONE);
        require(ifab_accesses_by_hash(all, kind, item->hash32) == item && ifab_accesses_by_id(all, kind, item->id16) == item);
        require(ifab_accesses_load(all, kind, 8, bytes, NULL) == IFAB_CORRUPT && ifab_accesses_due(all) == item->expires);
        struct ifab_buf record = IFAB_BUF_INIT(4096);
        bool keep = false;
        if (ifab_token_revoke(all, item, item->created, &record, &keep, NULL) == IFAB_CODE_NONE)
            require(keep && ifab_accesses_load(all, kind, 7, ifab_buf_as_view(&record), NULL) == IFAB_OK &&
                    ifab_accesses_load(all, kind, 7, bytes, NULL) == IFAB_CORRUPT);
        ifab_buf_fini(&record);
        require(ifab_accesses_load(all, kind, 7, (struct ifab_view){NULL, 0}, NULL) == IFAB_OK && ifab_accesses_next(all, 0) == NULL);
    }
    ifab_accesses_free(all);
    return 0;
}
