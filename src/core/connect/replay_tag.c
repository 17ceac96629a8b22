/* Tags of a message and the packed row of one tag. What a replay memory keeps stands in replay.c. */
#include "base/encode.h"
#include "connect/replay.h"
#include "crypto/crypto.h"

#define NONCE_MAX 64

void ifab_replay_tags(const uint8_t key16[16], uint32_t talent, const uint8_t id16[16], const uint8_t *nonce, size_t nonce_size,
                      struct ifab_replay_tag *ret_tag)
{
    /* one letter, the talent, the value: an id never meets a nonce, nor one talent's another's */
    uint8_t text[1 + 4 + NONCE_MAX], *at = text;
    if (nonce_size > NONCE_MAX)
        nonce_size = NONCE_MAX;
    memset(ret_tag, 0, sizeof *ret_tag);
    ret_tag->talent = talent;
    ifab_put_u8(&at, 'i');
    ifab_put_u32(&at, talent);
    ifab_put_bytes(&at, id16, 16);
    ifab_tag16(key16, ifab_view_of(text, (size_t)(at - text)), ret_tag->id_tag16);
    at = text;
    ifab_put_u8(&at, 'n');
    ifab_put_u32(&at, talent);
    ifab_put_bytes(&at, nonce, nonce_size);
    ifab_tag16(key16, ifab_view_of(text, (size_t)(at - text)), ret_tag->nonce_tag16);
}

/* id tag 16, nonce tag 16, expiry 8, index 8, talent 4, decision 1, zeros 3; little-endian */
void ifab_replay_tag_pack(const struct ifab_replay_tag *tag, uint8_t ret_bytes[IFAB_REPLAY_TAG_SIZE])
{
    uint8_t *at = ret_bytes;
    ifab_put_bytes(&at, tag->id_tag16, 16);
    ifab_put_bytes(&at, tag->nonce_tag16, 16);
    ifab_put_u64(&at, (uint64_t)tag->expiry);
    ifab_put_u64(&at, tag->index);
    ifab_put_u32(&at, tag->talent);
    ifab_put_u8(&at, tag->decision);
    memset(at, 0, 3);
}

bool ifab_replay_tag_unpack(struct ifab_view bytes, struct ifab_replay_tag *ret_tag)
{
    static const uint8_t zeros[3] = {0};
    if (bytes.size != IFAB_REPLAY_TAG_SIZE)
        return false;
    struct ifab_reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    struct ifab_replay_tag tag = {.expiry = 0};
    memcpy(tag.id_tag16, ifab_get_bytes(&r, 16).data, 16);
    memcpy(tag.nonce_tag16, ifab_get_bytes(&r, 16).data, 16);
    tag.expiry = (ifab_usec)ifab_get_u64(&r);
    tag.index = ifab_get_u64(&r);
    tag.talent = ifab_get_u32(&r);
    tag.decision = ifab_get_u8(&r);
    if (tag.expiry < 0 || tag.decision > IFAB_DECISION_SHARE || !ifab_view_equal(ifab_get_bytes(&r, 3), ifab_view_of(zeros, 3)))
        return false;
    *ret_tag = tag;
    return true;
}
