/*
 * Replay memory against a naive model: random adds, checks and expiries under a clock that runs, stands, jumps ahead and falls back.
 * INV-03: an id or nonce that was once added is never fresh again while its expiry lies above dropped_until. IFAB_SEED repeats a run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "connect/replay.h"
#include "crypto/crypto.h"

#include <stdlib.h>

#define OPERATIONS 1000000
#define TALENTS 5
#define IDS 4000 /* a talent; nonces too */
#define PER_TALENT 900
#define TOTAL 2500
#define RING 128 /* minutes that can be held apart */

struct live {
    uint32_t talent, id, nonce;
    ifab_usec expiry;
};
static struct live live[TOTAL]; /* the model: a plain list */
static size_t live_count;
static ifab_usec model_dropped = INT64_MIN;
static uint32_t id_owner[TALENTS][IDS], nonce_owner[TALENTS][IDS]; /* place in the list, from 1 */
static uint64_t state64;

static uint64_t roll(uint64_t below)
{
    state64 += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    uint64_t z = state64;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static struct ifab_replay_tag tag_of(const struct live *message)
{
    static const uint8_t key16[16] = {7};
    uint8_t id16[16] = {(uint8_t)message->id, (uint8_t)(message->id >> 8)};
    uint8_t nonce12[12] = {(uint8_t)message->nonce, (uint8_t)(message->nonce >> 8)};
    struct ifab_replay_tag tag;
    ifab_replay_tags(key16, message->talent, id16, nonce12, sizeof nonce12, &tag);
    tag.expiry = message->expiry;
    tag.index = (uint64_t)message->id << 32 | message->nonce;
    return tag;
}

static enum ifab_replay_verdict model_check(const struct live *message, bool *ret_same_id, size_t *ret_first)
{
    size_t of_talent = 0;
    uint32_t owner = id_owner[message->talent][message->id];
    *ret_same_id = owner != 0;
    if (owner == 0)
        owner = nonce_owner[message->talent][message->nonce];
    if (owner != 0) {
        *ret_first = owner - 1;
        return IFAB_REPLAY_SEEN;
    }
    if (message->expiry <= model_dropped || live_count >= TOTAL)
        return IFAB_REPLAY_QUOTA;
    for (size_t i = 0; i < live_count; i++) {
        int64_t a = live[i].expiry / IFAB_MINUTE, b = message->expiry / IFAB_MINUTE;
        if (a != b && a % RING == b % RING)
            return IFAB_REPLAY_QUOTA;
        of_talent += live[i].talent == message->talent;
    }
    return of_talent >= PER_TALENT ? IFAB_REPLAY_QUOTA : IFAB_REPLAY_FRESH;
}

static void model_add(const struct live *message)
{
    live[live_count++] = *message;
    id_owner[message->talent][message->id] = nonce_owner[message->talent][message->nonce] = (uint32_t)live_count;
}

static void model_expire(ifab_usec wall, ifab_usec skew)
{
    for (size_t i = 0; i < live_count;) {
        if (wall < skew || (live[i].expiry / IFAB_MINUTE + 1) * IFAB_MINUTE > wall - skew) {
            i++;
            continue;
        }
        if (live[i].expiry > model_dropped)
            model_dropped = live[i].expiry;
        id_owner[live[i].talent][live[i].id] = nonce_owner[live[i].talent][live[i].nonce] = 0;
        live[i] = live[--live_count];
        if (i < live_count)
            id_owner[live[i].talent][live[i].id] = nonce_owner[live[i].talent][live[i].nonce] = (uint32_t)i + 1;
    }
}

static void move_clock(ifab_usec *wall)
{
    switch (roll(100)) {
    case 0:
        *wall += (ifab_usec)roll(5 * IFAB_HOUR);
        break;
    case 1:
        *wall -= (ifab_usec)roll(2 * IFAB_HOUR);
        break;
    default:
        *wall += (ifab_usec)roll(4 * IFAB_SECOND);
        break;
    }
    if (*wall < IFAB_HOUR)
        *wall = IFAB_HOUR;
}

static void agrees_with_a_naive_model(void **state)
{
    (void)state; /* INV-03, INV-14 */
    const struct ifab_replay_limits limits = {.per_talent = PER_TALENT, .total = TOTAL};
    const char *seed = getenv("IFAB_SEED");
    state64 = seed == NULL ? 20251112 : strtoull(seed, NULL, 10);
    print_message("# IFAB_SEED=%llu\n", (unsigned long long)state64);
    assert_int_equal(ifab_crypto_init(NULL), IFAB_OK);
    struct ifab_replay *replay = NULL;
    assert_int_equal(ifab_replay_new(&limits, &replay), IFAB_OK);
    ifab_usec wall = 1000 * IFAB_HOUR, skew = IFAB_MINUTE;
    uint64_t counts[3] = {0}, expired = 0;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (roll(20) == 0) {
            size_t before = live_count;
            move_clock(&wall);
            model_expire(wall, skew);
            ifab_replay_expire(replay, wall, skew);
            expired += before - live_count;
        }
        struct live message = {.talent = (uint32_t)roll(TALENTS), .id = (uint32_t)roll(IDS), .nonce = (uint32_t)roll(IDS)};
        message.expiry = wall - 2 * IFAB_MINUTE + (ifab_usec)roll(roll(50) == 0 ? 4 * IFAB_HOUR : 63 * IFAB_MINUTE);
        if (message.expiry < 0)
            message.expiry = 0;
        if (live_count > 0 && roll(4) == 0) { /* a replay, whole or in part */
            const struct live *old = &live[roll(live_count)];
            message = roll(2) == 0 ? *old : (struct live){old->talent, roll(2) ? old->id : message.id, old->nonce, message.expiry};
        }
        struct ifab_replay_tag tag = tag_of(&message), first;
        bool same_id = false, want_same_id = false;
        size_t want_first = 0;
        enum ifab_replay_verdict want = model_check(&message, &want_same_id, &want_first);
        enum ifab_replay_verdict got = ifab_replay_check(replay, &tag, &first, &same_id);
        assert_int_equal(got, want);
        counts[got]++;
        if (got == IFAB_REPLAY_SEEN) {
            assert_int_equal(same_id, want_same_id);
            assert_int_equal(first.expiry, live[want_first].expiry);
            assert_int_equal(first.index, (uint64_t)live[want_first].id << 32 | live[want_first].nonce);
        } else if (got == IFAB_REPLAY_FRESH) {
            if (roll(8) == 0)
                assert_int_equal(ifab_replay_reserve(replay, (size_t)roll(40) + 1), IFAB_OK);
            assert_int_equal(ifab_replay_reserve(replay, 1), IFAB_OK);
            ifab_replay_add(replay, &tag);
            model_add(&message);
        }
        assert_int_equal(ifab_replay_count(replay), live_count);
        assert_int_equal(ifab_replay_dropped_until(replay), model_dropped);
    }
    size_t of_talent[TALENTS] = {0};
    for (size_t i = 0; i < live_count; i++)
        of_talent[live[i].talent]++;
    for (uint32_t t = 0; t < TALENTS; t++)
        assert_int_equal(ifab_replay_count_talent(replay, t), of_talent[t]);
    print_message("# %llu fresh, %llu seen, %llu quota, %llu expired\n", (unsigned long long)counts[IFAB_REPLAY_FRESH],
                  (unsigned long long)counts[IFAB_REPLAY_SEEN], (unsigned long long)counts[IFAB_REPLAY_QUOTA], (unsigned long long)expired);
    assert_true(counts[0] > OPERATIONS / 100 && counts[1] > OPERATIONS / 10 && counts[2] > OPERATIONS / 100 && expired > OPERATIONS / 100);
    ifab_replay_free(replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_a_naive_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
