/*
 * The stored form of a conversation record, little-endian: version 1 (2), flags 1 (1 ended, 2 open to all, 4 answered), opened_by 1,
 * parties 1, said 1, hazards 1, opener 4, last_speaker 4, idle_from 8, id 16, then 4 bytes a party, ascending.
 */
#include "base/encode.h"
#include "connect/order.h"

#define VERSION 2
#define HAZARDS_ALL 31
enum { FLAG_ENDED = 1, FLAG_OPEN_TO_ALL = 2, FLAG_ANSWERED = 4, FLAG_ALL = 7 };

size_t ifab_conversation_pack(const struct ifab_conversation *conversation, uint8_t ret_bytes[IFAB_CONVERSATION_PACKED_MAX])
{
    uint8_t *at = ret_bytes;
    unsigned flags = (conversation->ended ? FLAG_ENDED : 0U) | (conversation->open_to_all ? FLAG_OPEN_TO_ALL : 0U) |
                     (conversation->answered ? FLAG_ANSWERED : 0U);
    ifab_put_u8(&at, VERSION);
    ifab_put_u8(&at, (uint8_t)flags);
    ifab_put_u8(&at, conversation->opened_by);
    ifab_put_u8(&at, (uint8_t)conversation->party_count);
    ifab_put_u8(&at, conversation->said);
    ifab_put_u8(&at, conversation->hazards);
    ifab_put_u32(&at, conversation->opener);
    ifab_put_u32(&at, conversation->last_speaker);
    ifab_put_u64(&at, (uint64_t)conversation->idle_from);
    ifab_put_bytes(&at, conversation->id16, 16);
    for (uint32_t i = 0; i < conversation->party_count && i < IFAB_RECEIVER_MAX; i++)
        ifab_put_u32(&at, conversation->parties[i]);
    return (size_t)(at - ret_bytes);
}

static bool is_opener(uint8_t performative)
{
    switch (performative) {
    case IFAB_PERFORMATIVE_AGREE:
    case IFAB_PERFORMATIVE_REFUSE:
    case IFAB_PERFORMATIVE_ACCEPT_PROPOSAL:
    case IFAB_PERFORMATIVE_REJECT_PROPOSAL:
        return false;
    }
    return performative < IFAB_PERFORMATIVE_COUNT;
}

bool ifab_conversation_unpack(struct ifab_view bytes, uint64_t number, struct ifab_conversation *ret_conversation)
{
    struct ifab_reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    struct ifab_conversation c = {.number = number};
    if (bytes.size == 0 || bytes.size > IFAB_CONVERSATION_PACKED_MAX || ifab_get_u8(&r) != VERSION)
        return false;
    unsigned flags = ifab_get_u8(&r);
    c.ended = (flags & FLAG_ENDED) != 0;
    c.open_to_all = (flags & FLAG_OPEN_TO_ALL) != 0;
    c.answered = (flags & FLAG_ANSWERED) != 0;
    c.opened_by = ifab_get_u8(&r);
    c.party_count = ifab_get_u8(&r);
    c.said = ifab_get_u8(&r);
    c.hazards = ifab_get_u8(&r);
    c.opener = ifab_get_u32(&r);
    c.last_speaker = ifab_get_u32(&r);
    c.idle_from = (ifab_usec)ifab_get_u64(&r);
    struct ifab_view id = ifab_get_bytes(&r, 16);
    if (r.bad || flags > FLAG_ALL || !is_opener(c.opened_by) || c.party_count > IFAB_RECEIVER_MAX || c.idle_from < 0 ||
        c.said == 0 || c.said > IFAB_PERFORMATIVE_COUNT || c.hazards > HAZARDS_ALL)
        return false;
    memcpy(c.id16, id.data, 16);
    for (uint32_t i = 0; i < c.party_count; i++) {
        c.parties[i] = ifab_get_u32(&r);
        if (c.parties[i] == c.opener || (i > 0 && c.parties[i] <= c.parties[i - 1]))
            return false; /* ascending, each once, the opener not among them */
    }
    if (r.bad || r.at != r.end)
        return false;
    *ret_conversation = c;
    return true;
}
