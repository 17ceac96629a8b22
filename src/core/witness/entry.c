/*
 * The canonical entry, laid out by hand: the names stand here in the order RFC 8785 wants (none of them has an escape), so one pass of
 * appends gives the bytes that are hashed. A test reads them back and writes them again through the general writer.
 */
#include "witness/witness.h"

#include "base/id.h"
#include "json/json.h"

#define PUT(buf, literal) ifab_buf_put(buf, literal, sizeof(literal) - 1)
#define INDEX_MAX         ((uint64_t)9007199254740991) /* 2^53-1: the index is a JSON integer */

static void put_refs(struct ifab_buf *buf, const struct ifab_entry *entry)
{
    if (entry->ref_count == 0)
        return;
    PUT(buf, ",\"refs\":[");
    for (size_t i = 0; i < entry->ref_count; i++) {
        if (i > 0)
            ifab_buf_char(buf, ',');
        ifab_json_put_string(buf, entry->refs[i]);
    }
    ifab_buf_char(buf, ']');
}

static void put_trace(struct ifab_buf *buf, const uint8_t trace16[16])
{
    static const uint8_t none16[16];
    char text[37];

    PUT(buf, ",\"trace\":");
    if (memcmp(trace16, none16, sizeof none16) == 0) {
        PUT(buf, "null");
        return;
    }
    ifab_uuid_format(trace16, text);
    ifab_buf_char(buf, '"');
    ifab_buf_put(buf, text, 36);
    ifab_buf_char(buf, '"');
}

static void put_cost(struct ifab_buf *buf, const struct ifab_entry_cost *cost)
{
    if (cost == NULL)
        return;
    PUT(buf, ",\"cost\":{\"calls\":");
    ifab_buf_u64(buf, cost->calls);
    if (cost->model.size > 0) {
        PUT(buf, ",\"model\":");
        ifab_json_put_string(buf, cost->model);
    }
    if (cost->rates32 != NULL) {
        PUT(buf, ",\"rates\":\"sha256:");
        ifab_buf_hex(buf, cost->rates32, 32);
        ifab_buf_char(buf, '"');
    }
    PUT(buf, ",\"tokens_in\":");
    ifab_buf_u64(buf, cost->tokens_in);
    PUT(buf, ",\"tokens_out\":");
    ifab_buf_u64(buf, cost->tokens_out);
    PUT(buf, ",\"usd_micro\":");
    ifab_buf_u64(buf, cost->usd_micro);
    ifab_buf_char(buf, '}');
}

static void put_entry(struct ifab_buf *buf, const struct ifab_entry *entry, const struct ifab_event_info *event)
{
    PUT(buf, "{\"actor\":");
    ifab_json_put_string(buf, entry->actor);
    PUT(buf, ",\"component\":\"");
    ifab_buf_str(buf, event->component); /* words of our own table: nothing to escape */
    ifab_buf_char(buf, '"');
    put_cost(buf, entry->cost);
    PUT(buf, ",\"index\":");
    ifab_buf_u64(buf, entry->index);
    PUT(buf, ",\"log\":");
    ifab_json_put_string(buf, entry->log);
    PUT(buf, ",\"operation\":\"");
    ifab_buf_str(buf, event->operation);
    PUT(buf, "\",\"payload\":");
    ifab_buf_view(buf, entry->payload.size > 0 ? entry->payload : IFAB_VIEW("{}"));
    PUT(buf, ",\"prev_hash\":\"");
    ifab_buf_hex(buf, entry->prev_hash32, 32);
    ifab_buf_char(buf, '"');
    put_refs(buf, entry);
    PUT(buf, ",\"severity\":\"");
    ifab_buf_str(buf, event->severity);
    PUT(buf, "\",\"subject\":");
    ifab_json_put_string(buf, entry->subject);
    PUT(buf, ",\"time\":\"");
    ifab_buf_time(buf, entry->time);
    ifab_buf_char(buf, '"');
    put_trace(buf, entry->trace16);
    PUT(buf, ",\"type\":\"");
    ifab_buf_str(buf, event->type);
    PUT(buf, "\",\"v\":1");
    if (entry->has_why_from) {
        PUT(buf, ",\"why_from\":");
        ifab_buf_u64(buf, entry->why_from);
    } else {
        PUT(buf, ",\"why\":");
        ifab_json_put_string(buf, entry->why);
    }
    ifab_buf_char(buf, '}');
}

static bool cost_valid(const struct ifab_entry_cost *cost) /* JSON integers, as the index */
{
    return cost == NULL || (cost->usd_micro <= INDEX_MAX && cost->tokens_in <= INDEX_MAX && cost->tokens_out <= INDEX_MAX && cost->calls <= INDEX_MAX);
}

/* Bytes of text alone, which the entry cannot be shorter than: an enormous one is refused before it is copied. */
static size_t text_size(const struct ifab_entry *entry)
{
    const struct ifab_view parts[] = {entry->log, entry->actor, entry->why, entry->subject, entry->payload};
    size_t sum = 0;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        sum += parts[i].size > IFAB_ENTRY_MAX ? IFAB_ENTRY_MAX + 1 : parts[i].size;
    for (size_t i = 0; i < entry->ref_count; i++)
        sum += entry->refs[i].size > IFAB_ENTRY_MAX ? IFAB_ENTRY_MAX + 1 : entry->refs[i].size;
    return sum;
}

ifab_status ifab_entry_write(const struct ifab_entry *entry, struct ifab_buf *buf)
{
    const struct ifab_event_info *event = ifab_event_info(entry->event);
    const size_t start = buf->size;
    ifab_status status;

    if (event == NULL || entry->ref_count > sizeof entry->refs / sizeof entry->refs[0] || entry->index > INDEX_MAX ||
        (entry->has_why_from && entry->why_from >= entry->index) || !cost_valid(entry->cost))
        return IFAB_INVALID;
    if (text_size(entry) > IFAB_ENTRY_MAX)
        return IFAB_TOO_LARGE;
    IFAB_TRY(ifab_buf_status(buf));
    put_entry(buf, entry, event);
    status = ifab_buf_status(buf);
    if (status == IFAB_OK && buf->size - start > IFAB_ENTRY_MAX)
        status = IFAB_TOO_LARGE;
    if (status != IFAB_OK) { /* all or nothing */
        buf->size = start;
        buf->failed = IFAB_OK;
    }
    return status;
}
