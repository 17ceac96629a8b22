/* Packed records: state of a budget, reservation. Little-endian, one spelling each: docs/formats/store.md. */
#include "base/encode.h"
#include "base/mem.h"
#include "money_internal.h"

#define LEVELS_ALL ((1U << IFAB_LEVEL_COUNT) - 1)
#define VERSION 1

size_t ifab_budget_state_pack(const struct ifab_budget_state *state, uint8_t ret_bytes[IFAB_BUDGET_STATE_PACKED])
{
    uint8_t *at = ret_bytes;
    ifab_put_u64(&at, (uint64_t)state->period_start);
    ifab_put_u64(&at, state->settled);
    ifab_put_u64(&at, state->overrun);
    ifab_put_u64(&at, state->reserved);
    ifab_put_u64(&at, (uint64_t)state->used_at);
    ifab_put_u8(&at, (uint8_t)state->levels);
    return (size_t)(at - ret_bytes);
}

bool ifab_budget_state_unpack(struct ifab_view bytes, struct ifab_budget_state *ret)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    struct ifab_budget_state s;
    if (bytes.size != IFAB_BUDGET_STATE_PACKED)
        return false;
    s.period_start = (ifab_usec)ifab_get_u64(&r);
    s.settled = ifab_get_u64(&r);
    s.overrun = ifab_get_u64(&r);
    s.reserved = ifab_get_u64(&r);
    s.used_at = (ifab_usec)ifab_get_u64(&r);
    s.levels = ifab_get_u8(&r);
    if (r.bad || s.period_start < 0 || s.used_at < s.period_start || s.used_at > IFAB_MONEY__WALL_MAX || s.levels > LEVELS_ALL ||
        s.settled > IFAB_MONEY_MAX || s.overrun > IFAB_MONEY_MAX || s.reserved > IFAB_MONEY_MAX - s.settled)
        return false;
    *ret = s;
    return true;
}

/* Trace apart: that one stands in trace16. */
#define NAMED IFAB_SUBJECT_TRACE

size_t ifab_reservation_pack(const struct ifab_reservation *v, uint8_t ret_bytes[IFAB_RESERVATION_PACKED_MAX])
{
    uint8_t *at = ret_bytes;
    ifab_put_u8(&at, VERSION);
    ifab_put_u8(&at, v->dangling ? 1 : 0);
    ifab_put_bytes(&at, v->id16, 16);
    ifab_put_bytes(&at, v->trace16, 16);
    ifab_put_u32(&at, v->owner);
    ifab_put_u64(&at, (uint64_t)v->made);
    ifab_put_u64(&at, (uint64_t)v->deadline);
    ifab_put_u64(&at, v->index);
    for (size_t i = 0; i < IFAB_UNIT_COUNT; i++)
        ifab_put_u64(&at, v->spend.amounts[i]);
    for (size_t i = 0; i < NAMED; i++) {
        ifab_put_u8(&at, (uint8_t)v->spend.subjects[i].size);
        ifab_put_bytes(&at, v->spend.subjects[i].data, v->spend.subjects[i].size);
    }
    ifab_put_u8(&at, (uint8_t)v->line_count);
    for (size_t i = 0; i < v->line_count; i++) {
        ifab_put_u64(&at, v->lines[i].budget);
        ifab_put_u64(&at, (uint64_t)v->lines[i].period_start);
    }
    return (size_t)(at - ret_bytes);
}
/* Largest: 86 fixed, 4 names, 1, 75 lines. */
_Static_assert(86 + NAMED * (1 + IFAB_SUBJECT_NAME_MAX) + 1 + IFAB_BUDGET_LINES_MAX * 16 <= IFAB_RESERVATION_PACKED_MAX, "room");

static bool read_spend(struct ifab_reader *r, struct ifab_spend *spend)
{
    bool good = true;
    for (size_t i = 0; i < IFAB_UNIT_COUNT; i++) {
        spend->amounts[i] = ifab_get_u64(r);
        good = good && spend->amounts[i] <= IFAB_MONEY_MAX;
    }
    for (size_t i = 0; i < NAMED; i++) {
        spend->subjects[i] = ifab_get_bytes(r, ifab_get_u8(r));
        good = good && !r->bad && (spend->subjects[i].size == 0 || ifab_subject_valid((enum ifab_subject)i, spend->subjects[i]));
    }
    return good;
}

bool ifab_reservation_unpack(struct ifab_view bytes, uint64_t number, struct ifab_reservation *ret)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    uint8_t version = ifab_get_u8(&r), flags = ifab_get_u8(&r);
    struct ifab_view id = ifab_get_bytes(&r, 16), trace = ifab_get_bytes(&r, 16);
    if (r.bad || version != VERSION || flags > 1)
        return false;
    memset(&ret->spend, 0, sizeof ret->spend);
    ret->number = number;
    ret->dangling = flags == 1;
    memcpy(ret->id16, id.data, 16);
    memcpy(ret->trace16, trace.data, 16);
    ret->owner = ifab_get_u32(&r);
    ret->made = (ifab_usec)ifab_get_u64(&r);
    ret->deadline = (ifab_usec)ifab_get_u64(&r);
    ret->index = ifab_get_u64(&r);
    bool good = read_spend(&r, &ret->spend) && ret->made >= 0 && ret->made <= IFAB_MONEY__WALL_MAX && ret->deadline >= 0 &&
                ret->index <= IFAB_MONEY_MAX;
    ret->line_count = ifab_get_u8(&r);
    if (!good || r.bad || ret->line_count > IFAB_BUDGET_LINES_MAX)
        return false;
    for (size_t i = 0; i < ret->line_count; i++) {
        ret->lines[i].budget = ifab_get_u64(&r);
        ret->lines[i].period_start = (ifab_usec)ifab_get_u64(&r);
        good = good && ret->lines[i].period_start >= 0 && ret->lines[i].budget > (i == 0 ? 0 : ret->lines[i - 1].budget); /* in order, each once */
    }
    return good && !r.bad && r.at == r.end;
}
