/* Checkpoint bodies from hostile bytes: what reads must write back to the same bytes. */
#include <assert.h>

#include "witness/witness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_view input = ifab_view_of(data, size);
    struct ifab_checkpoint read;
    struct ifab_buf again = IFAB_BUF_INIT(1000);

    if (ifab_checkpoint_read(input, &read, NULL) == IFAB_OK) {
        assert(ifab_checkpoint_write(&read, &again) == IFAB_OK);
        assert(ifab_view_equal(ifab_buf_as_view(&again), input));
    }
    ifab_buf_fini(&again);
    return 0;
}
