/*
 * Secrets inside one text. What comes out never hits again: replacing one secret can make its surroundings look like another, so passes
 * follow until there is no hit, and a text that does not settle is replaced whole.
 */
#include "internal.h"

#define PASSES_MAX 4

bool ifab_redact_hits_text(struct ifab_view text)
{
    size_t begin, end;
    return ifab_redact__find(text, 0, &begin, &end);
}

static void one_pass(struct ifab_buf *buf, struct ifab_view text)
{
    size_t at = 0, begin, end;
    while (ifab_redact__find(text, at, &begin, &end)) {
        ifab_buf_put(buf, text.data + at, begin - at);
        ifab_buf_str(buf, IFAB_REDACTED);
        at = end;
    }
    if (at < text.size)
        ifab_buf_put(buf, text.data + at, text.size - at);
}

void ifab_redact_text(struct ifab_buf *buf, struct ifab_view text)
{
    if (!ifab_redact_hits_text(text)) {
        ifab_buf_view(buf, text);
        return;
    }
    size_t limit = text.size > SIZE_MAX / 16 - 64 ? SIZE_MAX : text.size * 16 + 64; /* the mark is 14 bytes, a secret at least one */
    struct ifab_buf now = IFAB_BUF_INIT(limit), next = now;
    one_pass(&now, text);
    bool settled = !ifab_redact_hits_text(ifab_buf_as_view(&now));
    for (int pass = 1; pass < PASSES_MAX && !settled && ifab_buf_status(&now) == IFAB_OK; pass++) {
        struct ifab_buf before = now;
        ifab_buf_clear(&next);
        one_pass(&next, ifab_buf_as_view(&before));
        now = next;
        next = before;
        settled = !ifab_redact_hits_text(ifab_buf_as_view(&now));
    }
    if (ifab_buf_status(&now) != IFAB_OK) {
        if (buf->failed == IFAB_OK)
            buf->failed = ifab_buf_status(&now); /* nothing is shown rather than too much */
    } else if (settled) {
        ifab_buf_view(buf, ifab_buf_as_view(&now));
    } else {
        ifab_buf_str(buf, IFAB_REDACTED);
    }
    ifab_buf_fini(&now);
    ifab_buf_fini(&next);
}
