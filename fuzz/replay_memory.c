/*
 * Replay memory as a program in bytes, eight an operation: what was added and lies above dropped_until is never fresh again (INV-03),
 * counts agree, dropped_until only grows. The other input form, exactly 56 bytes, is a packed tag.
 */
#include "connect/replay.h"

#include "base/mem.h"
#include "crypto/crypto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEPT 512

static void require(int right)
{
    if (!right)
        abort();
}

static void unpack(const uint8_t *data, size_t size)
{
    struct ifab_replay_tag tag;
    uint8_t bytes[IFAB_REPLAY_TAG_SIZE];
    if (!ifab_replay_tag_unpack(ifab_view_of(data, size), &tag))
        return;
    ifab_replay_tag_pack(&tag, bytes);
    require(size == sizeof bytes && memcmp(bytes, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key16[16] = {1};
    static struct ifab_replay_tag kept[KEPT];
    size_t kept_count = 0;
    uint64_t added = 0;
    const struct ifab_replay_limits limits = {.per_talent = 100, .total = 300};
    struct ifab_replay *replay;
    ifab_usec wall = 1000 * IFAB_HOUR, dropped = INT64_MIN;
    unpack(data, size);
    require(ifab_crypto_init(NULL) == IFAB_OK && ifab_replay_new(&limits, &replay) == IFAB_OK);
    for (; size >= 8; data += 8, size -= 8) {
        int64_t when = ((int64_t)(int8_t)data[4] * 256 + data[5]) * IFAB_SECOND + data[6] * 3907;
        struct ifab_replay_tag tag;
        uint8_t id16[16] = {data[2]}, nonce12[12] = {data[3]};
        ifab_replay_tags(key16, data[1] % 8, id16, nonce12, sizeof nonce12, &tag);
        tag.expiry = wall + when;
        tag.decision = data[7] % 4;
        if (data[0] % 8 == 7) { /* the clock moves, both ways */
            wall += when;
            ifab_replay_expire(replay, wall, (ifab_usec)(data[7] % 60) * IFAB_SECOND);
            require(ifab_replay_dropped_until(replay) >= dropped);
            dropped = ifab_replay_dropped_until(replay);
        } else if (data[0] % 8 == 6) {
            ifab_replay_set_decision(replay, tag.id_tag16, tag.decision);
        } else {
            enum ifab_replay_verdict verdict = ifab_replay_check(replay, &tag, NULL, NULL);
            if (verdict == IFAB_REPLAY_FRESH || (verdict == IFAB_REPLAY_QUOTA && data[0] % 8 == 5)) { /* loading does not ask */
                require(ifab_replay_reserve(replay, 1) == IFAB_OK);
                ifab_replay_add(replay, &tag);
                added++;
                require(ifab_replay_check(replay, &tag, NULL, NULL) == IFAB_REPLAY_SEEN);
                if (kept_count < KEPT)
                    kept[kept_count++] = tag;
            }
        }
        require(ifab_replay_count(replay) <= added);
    }
    uint64_t of_talents = 0;
    for (uint32_t talent = 0; talent < 8; talent++)
        of_talents += ifab_replay_count_talent(replay, talent);
    require(of_talents == ifab_replay_count(replay));
    for (size_t i = 0; i < kept_count; i++) /* seen, or refused because it lies at or below what was dropped */
        require(ifab_replay_check(replay, &kept[i], NULL, NULL) != IFAB_REPLAY_FRESH);
    ifab_replay_expire(replay, wall + 10000 * IFAB_HOUR, 0);
    require(ifab_replay_count(replay) == 0);
    ifab_replay_free(replay);
    return 0;
}
