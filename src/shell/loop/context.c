/*
 * What a request brings along for the log (INV-13): `IF-Ref`, at most 16 references, and `traceparent`, the W3C trace. Refused, never repaired: 208.
 */
#include <string.h>

#include "base/encode.h"
#include "json/schema.h"
#include "node.h"
#include "redact/redact.h"

#define REF_MAX 512
#define COMMIT_LEAST 7
#define COMMIT_MOST 64
#define TRACEPARENT 55

static bool path_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("._~+=:-", c) != NULL);
}

static bool lower_hex(struct ifab_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return true;
}

/* /SEGMENT/…[@COMMIT]: no segment is empty, `.` or `..`; COMMIT is 7 to 64 lower-case hex digits. */
static bool repo_path(struct ifab_view text)
{
    const uint8_t *at = text.size > 0 ? memchr(text.data, '@', text.size) : NULL;
    if (at != NULL) {
        struct ifab_view commit = {at + 1, (size_t)(text.data + text.size - (at + 1))};
        if (commit.size < COMMIT_LEAST || commit.size > COMMIT_MOST || !lower_hex(commit))
            return false;
        text.size = (size_t)(at - text.data);
    }
    if (text.size < 2 || text.data[0] != '/')
        return false;
    for (size_t from = 1; from <= text.size;) {
        const uint8_t *slash = from < text.size ? memchr(text.data + from, '/', text.size - from) : NULL;
        size_t to = slash != NULL ? (size_t)(slash - text.data) : text.size;
        struct ifab_view segment = {text.data + from, to - from};
        if (segment.size == 0 || ifab_view_is(segment, ".") || ifab_view_is(segment, ".."))
            return false;
        for (size_t i = 0; i < segment.size; i++)
            if (!path_char(segment.data[i]))
                return false;
        from = to + 1;
    }
    return true;
}

bool context_ref_valid(struct ifab_view ref)
{
    const char *why;
    struct ifab_view repo = IFAB_VIEW("repo:");
    if (ref.size == 0 || ref.size > REF_MAX)
        return false;
    if (ifab_view_starts(ref, repo))
        return repo_path(ifab_view_of(ref.data + repo.size, ref.size - repo.size));
    return ifab_schema_uri(ref, &why);
}

bool context_trace(struct ifab_view text, uint8_t ret_trace16[16])
{
    static const uint8_t none[16];
    uint8_t version[1], parent[8], flags[1], trace[16];
    if (text.size < TRACEPARENT || text.data[2] != '-' || text.data[35] != '-' || text.data[52] != '-' ||
        !lower_hex(ifab_view_of(text.data, 2)) || !lower_hex(ifab_view_of(text.data + 3, 32)) || !lower_hex(ifab_view_of(text.data + 36, 16)) ||
        !lower_hex(ifab_view_of(text.data + 53, 2)))
        return false;
    if (ifab_hex_decode(ifab_view_of(text.data, 2), version, 1) != IFAB_OK || ifab_hex_decode(ifab_view_of(text.data + 3, 32), trace, 16) != IFAB_OK ||
        ifab_hex_decode(ifab_view_of(text.data + 36, 16), parent, 8) != IFAB_OK || ifab_hex_decode(ifab_view_of(text.data + 53, 2), flags, 1) != IFAB_OK)
        return false;
    /* a later version may say more behind a dash; version 0 says no more */
    if (version[0] == 0xFF || (text.size > TRACEPARENT && (version[0] == 0 || text.data[TRACEPARENT] != '-')))
        return false;
    if (memcmp(trace, none, 16) == 0 || memcmp(parent, none, 8) == 0)
        return false;
    memcpy(ret_trace16, trace, 16);
    return true;
}

/* Everything that we write is redacted before the command enters (DESIGN section 5, Witness). Out of memory: nothing of it is shown. */
struct ifab_view context_redacted(struct ifab_arena *arena, struct ifab_view text)
{
    struct ifab_view kept = IFAB_VIEW(IFAB_REDACTED);
    if (!ifab_redact_hits_text(text))
        return text;
    struct ifab_buf clean = IFAB_BUF_INIT(65536);
    ifab_redact_text(&clean, text);
    if (ifab_buf_status(&clean) != IFAB_OK || ifab_arena_copy(arena, ifab_buf_as_view(&clean), &kept) != IFAB_OK)
        kept = IFAB_VIEW(IFAB_REDACTED);
    ifab_buf_fini(&clean);
    return kept;
}

/* One header line: references with commas and spaces between. They stand in neither form, so a proxy may join lines. */
static bool take_refs(struct request *r, struct ifab_view line)
{
    while (line.size > 0) {
        const uint8_t *comma = memchr(line.data, ',', line.size);
        struct ifab_view ref = {line.data, comma != NULL ? (size_t)(comma - line.data) : line.size};
        line = comma != NULL ? ifab_view_of(comma + 1, line.size - ref.size - 1) : ifab_view_of(NULL, 0);
        while (ref.size > 0 && ref.data[0] == ' ')
            ref = ifab_view_of(ref.data + 1, ref.size - 1);
        while (ref.size > 0 && ref.data[ref.size - 1] == ' ')
            ref.size--;
        if (r->ref_count == IFAB_COUNT(r->refs) || !context_ref_valid(ref) || ifab_redact_hits_text(ref) ||
            ifab_arena_copy(&r->arena, ref, &r->refs[r->ref_count]) != IFAB_OK)
            return false;
        r->ref_count++;
    }
    return true;
}

bool context_take(struct request *r, const char **ret_field, const char **ret_why)
{
    size_t traces = 0;
    for (size_t i = 0; i < r->raw->header_count; i++) {
        const struct ifab_http_header *h = &r->raw->headers[i];
        if (ifab_view_equal_nocase(h->name, IFAB_VIEW("if-ref"))) {
            *ret_field = "IF-Ref";
            *ret_why = "at most 16 references, each repo:/PATH[@COMMIT] or if://…";
            if (h->value.size == 0 || !take_refs(r, h->value))
                return false;
        } else if (ifab_view_equal_nocase(h->name, IFAB_VIEW("traceparent"))) {
            *ret_field = "traceparent";
            *ret_why = "one W3C trace: 00-<32 hex>-<16 hex>-<2 hex>, lower case, not all zeros";
            if (++traces > 1 || !context_trace(h->value, r->trace16))
                return false;
        }
    }
    /* The signature of a message does not cover a header: who brings it says who they are (INV-01). */
    *ret_field = "IF-Ref";
    *ret_why = "references are taken from callers that are known: over the Unix socket";
    return r->ref_count == 0 || r->principal.role != IFAB_ROLE_NONE;
}
