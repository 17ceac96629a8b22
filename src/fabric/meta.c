/* The fabric's own small record: clocks, W, numbers. 88 bytes, little-endian: wall, run, dropped_until,
 * next_number, fence_offset, issued_after, flags, digest of the rules. */
#include "base/encode.h"
#include "fabric_internal.h"

#include <string.h>

#define SKEW_MAX (300 * IFAB_SECOND) /* of time.skew */

size_t ifab_meta_pack(const struct ifab_meta *meta, uint8_t ret_bytes[IFAB_META_PACKED])
{
    uint8_t *at = ret_bytes;
    ifab_put_u64(&at, (uint64_t)meta->wall);
    ifab_put_u64(&at, (uint64_t)meta->run);
    ifab_put_u64(&at, (uint64_t)meta->dropped_until);
    ifab_put_u64(&at, meta->next_number);
    ifab_put_u64(&at, meta->fence_offset);
    ifab_put_u64(&at, (uint64_t)meta->issued_after);
    ifab_put_u64(&at, (meta->clock_doubt ? 1U : 0U) | (1 + (uint64_t)((meta->skew_most + IFAB_SECOND - 1) / IFAB_SECOND)) << 1);
    ifab_put_bytes(&at, meta->rules32, 32);
    return IFAB_META_PACKED;
}

bool ifab_meta_unpack(struct ifab_view bytes, struct ifab_meta *ret_meta)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    ret_meta->wall = (ifab_usec)ifab_get_u64(&r);
    ret_meta->run = (ifab_usec)ifab_get_u64(&r);
    ret_meta->dropped_until = (ifab_usec)ifab_get_u64(&r);
    ret_meta->next_number = ifab_get_u64(&r);
    ret_meta->fence_offset = ifab_get_u64(&r);
    ret_meta->issued_after = (ifab_usec)ifab_get_u64(&r);
    uint64_t flags = ifab_get_u64(&r);
    ret_meta->clock_doubt = (flags & 1) != 0;
    ret_meta->skew_most = flags < 2 ? SKEW_MAX : (ifab_usec)((flags >> 1) - 1) * IFAB_SECOND; /* written before it was kept: as large as may be */
    struct ifab_view rules = ifab_get_bytes(&r, 32);
    if (!r.bad)
        memcpy(ret_meta->rules32, rules.data, 32);
    return !r.bad && r.at == r.end && flags >> 1 <= 1 + SKEW_MAX / IFAB_SECOND && ret_meta->wall >= 0 && ret_meta->run >= 0;
}

void ifab_fabric_meta(const struct ifab_fabric *self, struct ifab_now now, struct ifab_meta *ret_meta)
{
    *ret_meta = (struct ifab_meta){
        .wall = now.wall,
        .run = now.run,
        .dropped_until = ifab_replay_dropped_until(self->replay),
        .next_number = self->next_number,
        .fence_offset = self->fence_offset,
        .issued_after = self->issued_after,
        .clock_doubt = self->clock_doubt,
        .skew_most = self->skew_most,
    };
    memcpy(ret_meta->rules32, self->rules32, 32);
}

void ifab_fabric_set_clock_doubt(struct ifab_fabric *self, bool doubt) { self->clock_doubt = doubt; }
