/*
 * The stored form of a sequence record, little-endian: version 1, talent 4, epoch 4, last_seq 8, live_until 8, window words w (1 byte:
 * 0 in strict mode, else as many as are not zero), w × 8, instance to the end (its size 1, then 0..64 bytes).
 */
#include "base/encode.h"
#include "base/mem.h"
#include "connect/order.h"

#define VERSION 1
#define SEQ_MAX UINT64_C(9007199254740991)

size_t ifab_sequence_pack(const struct ifab_sequence *sequence, uint8_t ret_bytes[IFAB_SEQUENCE_PACKED_MAX])
{
    uint8_t *at = ret_bytes;
    size_t words = IFAB_COUNT(sequence->window);
    while (words > 0 && sequence->window[words - 1] == 0)
        words--;
    ifab_put_u8(&at, VERSION);
    ifab_put_u32(&at, sequence->talent);
    ifab_put_u32(&at, sequence->epoch);
    ifab_put_u64(&at, sequence->last_seq);
    ifab_put_u64(&at, (uint64_t)sequence->live_until);
    ifab_put_u8(&at, (uint8_t)words);
    for (size_t i = 0; i < words; i++)
        ifab_put_u64(&at, sequence->window[i]);
    ifab_put_u8(&at, sequence->instance_size);
    ifab_put_bytes(&at, sequence->instance, sequence->instance_size);
    return (size_t)(at - ret_bytes);
}

bool ifab_sequence_unpack(struct ifab_view bytes, uint64_t number, struct ifab_sequence *ret_sequence)
{
    struct ifab_reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    struct ifab_sequence s = {.number = number};
    if (bytes.size == 0 || bytes.size > IFAB_SEQUENCE_PACKED_MAX || ifab_get_u8(&r) != VERSION)
        return false;
    s.talent = ifab_get_u32(&r);
    s.epoch = ifab_get_u32(&r);
    s.last_seq = ifab_get_u64(&r);
    s.live_until = (ifab_usec)ifab_get_u64(&r);
    size_t words = ifab_get_u8(&r);
    if (r.bad || words > IFAB_COUNT(s.window))
        return false;
    for (size_t i = 0; i < words; i++)
        s.window[i] = ifab_get_u64(&r);
    /* one spelling only: no zero words at the end, and a window knows its own last number */
    if (words > 0 && (s.window[words - 1] == 0 || (s.window[0] & 1) == 0))
        return false;
    s.instance_size = ifab_get_u8(&r);
    if (r.bad || s.instance_size > IFAB_NAME_MAX)
        return false;
    struct ifab_view instance = ifab_get_bytes(&r, s.instance_size);
    if (r.bad || r.at != r.end || (instance.size > 0 && !ifab_name_valid(instance)))
        return false;
    if (instance.size > 0)
        memcpy(s.instance, instance.data, instance.size);
    if (s.last_seq == 0 || s.last_seq > SEQ_MAX || s.live_until < 0)
        return false;
    *ret_sequence = s;
    return true;
}
