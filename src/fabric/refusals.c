/*
 * Refusals before a valid signature: counted per (code, source) in 1,024 rows, in one entry at most once a minute. The only thing that unauthenticated
 * bytes may change (INV-01): so the table is bounded, and what finds no row is counted together.
 */
#include "base/encode.h"
#include "fabric_internal.h"

#include <string.h>

#define FLUSH_EVERY IFAB_MINUTE
#define ROWS_IN_ENTRY 256
#define COUNTS_IN_ENTRY 49152 /* bytes: a source may need six for one of its own, and an entry that is too long would never be written */

/* At most max bytes, cut between characters; what is no text is not shown: entries are JSON. */
struct ifab_view ifab_fabric__readable(struct ifab_view text, size_t max)
{
    if (text.size > max) {
        text.size = max;
        while (text.size > 0 && (text.data[text.size] & 0xC0) == 0x80)
            text.size--;
    }
    return ifab_utf8_valid(text) ? text : IFAB_VIEW("(not text)");
}

static void count(struct ifab_fabric *self, enum ifab_code code, struct ifab_view source, const uint8_t sample16[16], uint64_t times, ifab_usec run)
{
    size_t size = source.size;
    if (self->rows_first == IFAB_NEVER)
        self->rows_first = run;
    for (size_t i = 0; i < self->row_count; i++) {
        struct ifab_refusal_row *row = &self->rows[i];
        if (row->code == code && ifab_view_equal(ifab_view_of(row->source, row->source_size), source)) {
            row->count += times;
            return;
        }
    }
    if (self->row_count == IFAB_REFUSAL_ROWS) {
        self->rows_overflow += times;
        return;
    }
    struct ifab_refusal_row *row = &self->rows[self->row_count++];
    *row = (struct ifab_refusal_row){.code = code, .source_size = (uint8_t)size, .count = times};
    if (size > 0)
        memcpy(row->source, source.data, size);
    memcpy(row->sample16, sample16, 16);
}

void ifab_fabric_count_refusal(struct ifab_fabric *self, enum ifab_code code, struct ifab_view source, const uint8_t sample16[16], ifab_usec run)
{
    count(self, code, ifab_fabric__readable(source, sizeof self->rows[0].source), sample16, 1, run);
}

static void count_all(struct ifab_fabric *self, const struct ifab_refusal_row *rows, size_t n, uint64_t overflow, ifab_usec run)
{
    for (size_t i = 0; i < n; i++)
        count(self, rows[i].code, ifab_view_of(rows[i].source, rows[i].source_size), rows[i].sample16, rows[i].count, run);
    self->rows_overflow += overflow;
}

void ifab_fabric_keep_counts(struct ifab_fabric *self, const struct ifab_fabric *old)
{
    self->loaded_size = old->loaded_size; /* what runs goes on */
    ifab_usec first = old->rows_first != IFAB_NEVER ? old->rows_first : old->rows_since;
    bool lost = false;
    self->access_version += old->access_version + 1; /* who waits looks again whether they may stay */
    for (size_t i = 2; i-- > 0;) { /* the oldest first: it keeps its place in the table */
        const struct ifab_flushed *flushed = &old->flushed[i];
        if (flushed->size <= self->tree.size)
            continue;
        count_all(self, flushed->rows, flushed->row_count, flushed->overflow, first);
        lost = true;
    }
    count_all(self, old->rows, old->row_count, old->rows_overflow, first);
    if (self->row_count > 0 || self->rows_overflow > 0)
        self->rows_first = first;
    if (!lost) /* an entry that never was does not delay the next one */
        self->rows_since = old->rows_since;
}

ifab_usec ifab_fabric__refusals_due(const struct ifab_fabric *self)
{
    if (self->rows_first == IFAB_NEVER)
        return IFAB_NEVER;
    ifab_usec next = self->rows_since + FLUSH_EVERY;
    return next > self->rows_first ? next : self->rows_first;
}

/* They stand in the entry that made the log this long; kept until that is surely durable. */
void ifab_fabric__refusals_clear(struct ifab_fabric *self, ifab_usec run)
{
    struct ifab_refusal_row *rows = self->flushed[1].rows;
    self->flushed[1] = self->flushed[0];
    self->flushed[0] = (struct ifab_flushed){self->rows, self->row_count, self->rows_overflow, self->tree.size};
    self->rows = rows;
    self->row_count = 0;
    self->rows_overflow = 0;
    self->rows_since = run;
    self->rows_first = IFAB_NEVER;
}

bool ifab_fabric__flush_refusals(const struct ifab_fabric *self, struct ifab_outcome *o)
{
    struct ifab_buf *p = &o->payload;
    uint64_t total = self->rows_overflow, unlisted = self->rows_overflow;
    for (size_t i = 0; i < self->row_count; i++)
        total += self->rows[i].count;
    ifab_buf_clear(p);
    ifab_buf_str(p, "{\"counts\":[");
    for (size_t i = 0; i < self->row_count; i++) {
        const struct ifab_refusal_row *row = &self->rows[i];
        if (i >= ROWS_IN_ENTRY || p->size > COUNTS_IN_ENTRY) {
            unlisted += row->count;
            continue;
        }
        ifab_buf_format(p, "%s{\"code\":\"IF_ERR_%03d\",\"count\":%llu,\"sample\":\"", i == 0 ? "" : ",", (int)row->code,
                        (unsigned long long)row->count);
        ifab_buf_hex(p, row->sample16, 16);
        ifab_buf_str(p, "\",\"source\":");
        ifab_json_put_string(p, ifab_view_of(row->source, row->source_size));
        ifab_buf_char(p, '}');
    }
    ifab_buf_format(p, "],\"total\":%llu,\"unlisted\":%llu}", (unsigned long long)total, (unsigned long long)unlisted);
    struct ifab_entry fields = {
        .event = IFAB_EVENT_REFUSALS_COUNTED,
        .actor = ifab_view_str(self->settings.fabric_actor),
        .why = IFAB_VIEW("refused, and counted instead of written one by one"),
        .subject = ifab_view_str(self->settings.fabric_actor),
        .payload = ifab_buf_as_view(p),
    };
    memcpy(fields.trace16, o->reply.trace16, 16);
    o->flush_refusals = true;
    return ifab_fabric__entry(self, o, &fields, IFAB_VIEW(""), NULL);
}
