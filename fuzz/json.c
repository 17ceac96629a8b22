/* Any bytes: refused, or read; what is read has a canonical form, which reads again and is its own canonical form. */
#include "json/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ifab_status canonical(struct ifab_view text, bool safe, struct ifab_buf *ret)
{
    const struct ifab_json_limits limits = {0, safe};
    const struct ifab_json *value;
    struct ifab_error err = {0};
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)128 << 20);
    ifab_status status = ifab_json_read(text, &limits, &arena, &value, &err);
    if (status == IFAB_OK)
        ifab_json_write(ret, value);
    else if (err.offset > text.size || err.text[0] == '\0')
        abort();
    ifab_arena_fini(&arena);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_buf first = IFAB_BUF_INIT((size_t)16 << 20), second = first;
    struct ifab_view text = ifab_view_of(data, size);
    ifab_status open = canonical(text, false, &second);
    ifab_buf_clear(&second);
    /* Safe numbers: without them 1e20 becomes 100000000000000000000, which the reader refuses as an integer. */
    if (canonical(text, true, &first) == IFAB_OK) {
        if (open != IFAB_OK || canonical(ifab_buf_as_view(&first), true, &second) != IFAB_OK ||
            !ifab_view_equal(ifab_buf_as_view(&first), ifab_buf_as_view(&second)))
            abort();
    }
    ifab_buf_fini(&first);
    ifab_buf_fini(&second);
    return 0;
}
