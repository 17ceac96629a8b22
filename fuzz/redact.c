/* Any text: redaction changes exactly what hits, keeps valid UTF-8 valid, and a second time changes nothing. The same for trees. */
#include "redact/redact.h"

#include "base/encode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct ifab_view text)
{
    struct ifab_buf once = IFAB_BUF_INIT((size_t)16 << 20), twice = once;
    ifab_redact_text(&once, text);
    ifab_redact_text(&twice, ifab_buf_as_view(&once));
    if (ifab_buf_status(&once) != IFAB_OK || ifab_buf_status(&twice) != IFAB_OK)
        abort();
    if (ifab_redact_hits_text(text) == ifab_view_equal(text, ifab_buf_as_view(&once)))
        abort();
    if (ifab_utf8_valid(text) && !ifab_utf8_valid(ifab_buf_as_view(&once)))
        abort();
    if (!ifab_view_equal(ifab_buf_as_view(&once), ifab_buf_as_view(&twice)))
        abort();
    ifab_buf_fini(&once);
    ifab_buf_fini(&twice);
}

static void check_tree(struct ifab_view text)
{
    const struct ifab_json_limits safe = {0, true};
    const struct ifab_json *value;
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)128 << 20);
    if (ifab_json_read(text, &safe, &arena, &value, NULL) == IFAB_OK) {
        struct ifab_buf plain = IFAB_BUF_INIT((size_t)32 << 20), redacted = plain;
        bool hits = ifab_redact_hits_json(value);
        ifab_json_write(&plain, value);
        ifab_redact_json(&redacted, value);
        if (ifab_buf_status(&redacted) != IFAB_OK || hits == ifab_view_equal(ifab_buf_as_view(&plain), ifab_buf_as_view(&redacted)))
            abort();
        if (ifab_json_read(ifab_buf_as_view(&redacted), &safe, &arena, &value, NULL) != IFAB_OK || ifab_redact_hits_json(value))
            abort();
        ifab_buf_fini(&plain);
        ifab_buf_fini(&redacted);
    }
    ifab_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_text(ifab_view_of(data, size));
    check_tree(ifab_view_of(data, size));
    return 0;
}
