/* Tile paths and entry bundles from hostile bytes: a path has one spelling, a bundle is the sum of its entries. */
#include <assert.h>

#include "witness/witness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_view input = ifab_view_of(data, size), bundle = input, entry;
    struct ifab_buf again = IFAB_BUF_INIT(1 << 22);
    struct ifab_tile tile;

    if (ifab_tile_parse(input, &tile)) {
        char path[64];
        ifab_tile_format(&tile, path);
        assert(ifab_view_is(input, path));
    }
    while (ifab_bundle_next(&bundle, &entry))
        ifab_bundle_put(&again, entry);
    assert(ifab_buf_status(&again) != IFAB_OK || again.size + bundle.size == size);
    assert(again.size == 0 || memcmp(again.data, data, again.size) == 0);
    ifab_buf_fini(&again);
    return 0;
}
