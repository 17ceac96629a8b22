/* A handover of the log's key: form and signatures; what reads must write the same lines again. */
#include <stdlib.h>

#include "base/mem.h"
#include "json/json.h"
#include "witness/witness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_view note = ifab_view_of(data, size);
    struct ifab_rotation read, verified;
    struct ifab_arena arena;
    const struct ifab_json *tree;
    uint8_t admin32[32];
    ifab_status form = ifab_rotation_read(note, &read, NULL);
    if (ifab_rotation_verify(note, &verified, NULL) == IFAB_OK && (form != IFAB_OK || verified.size != read.size))
        abort();
    if (form == IFAB_OK) {
        struct ifab_buf vkey = IFAB_BUF_INIT(1024);
        if (ifab_note_vkey_write(read.origin, read.to32, &vkey) != IFAB_OK || memmem(data, size, vkey.data, vkey.size) == NULL)
            abort();
        ifab_buf_fini(&vkey);
    }
    ifab_arena_init(&arena, (size_t)1 << 22);
    if (ifab_json_read(note, NULL, &arena, &tree, NULL) == IFAB_OK)
        (void)ifab_rotation_payload_verify(tree, &verified, admin32, NULL);
    ifab_arena_fini(&arena);
    return 0;
}
