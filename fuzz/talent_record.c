/* A talent's record: whatever load takes is kept byte for byte, and the acts that follow from it make records that load takes too. */
#include "talent/talent.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_talents *talents = NULL;
    require(ifab_talents_new(1, &talents) == IFAB_OK);
    if (ifab_talents_load(talents, 1, ifab_view_of(data, size), NULL) == IFAB_OK) {
        const struct ifab_talent *talent = ifab_talents_at(talents, 1);
        require(talent != NULL && ifab_view_equal(talent->record, ifab_view_of(data, size)));
        require(ifab_talents_find(talents, talent->name) == talent);
        for (size_t i = 0; i < talent->key_count; i++)
            require(ifab_talents_by_key(talents, talent->keys[i].pubkey32, NULL) == talent);
        for (size_t i = 0; i < talent->tls_key_count; i++)
            require(ifab_talents_by_spki(talents, talent->tls_keys[i].spki32, NULL) == talent);

        struct ifab_buf record = IFAB_BUF_INIT(1 << 20);
        struct ifab_talent_request request = {.name = talent->name, .scope = IFAB_VIEW("guard:scope"), .expires_at = IFAB_NEVER,
                                               .wall = 1000};
        uint32_t number = 0;
        if (ifab_talent_grant(talents, &request, &record, &number, NULL) == IFAB_CODE_NONE)
            require(ifab_talents_load(talents, number, ifab_buf_as_view(&record), NULL) == IFAB_OK);
        ifab_buf_clear(&record);
        uint8_t spki32[32] = {1};
        request.name = ifab_talents_at(talents, 1)->name;
        request.spki32 = spki32;
        request.overlap = 1000;
        if (ifab_talent_tls_key(talents, &request, &record, &number, NULL) == IFAB_CODE_NONE)
            require(ifab_talents_load(talents, number, ifab_buf_as_view(&record), NULL) == IFAB_OK);
        ifab_buf_clear(&record);
        request.name = ifab_talents_at(talents, 1)->name;
        if (ifab_talent_remove(talents, &request, &record, &number, NULL) == IFAB_CODE_NONE)
            require(ifab_talents_load(talents, number, ifab_buf_as_view(&record), NULL) == IFAB_OK);
        ifab_buf_fini(&record);
    }
    ifab_talents_free(talents);
    return 0;
}
