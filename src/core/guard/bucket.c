/*
 * Storms: a token bucket a talent and state, in run time; DESIGN section 5. A talent without a bucket has a full one.
 * Invariants: never more tokens than the burst in force; run going back gives nothing and takes nothing; no refill time = no refill.
 * 302 = this talent's rate, 305 = its quota, 304 = the daemon is full (SURFACE section 8); where both are full the daemon's is told.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "table.h"

static void refill(uint32_t burst, ifab_usec every, ifab_usec run, uint32_t *tokens, ifab_usec *from)
{
    ifab_usec passed;
    if (*tokens >= burst) { /* full, or the rules have become stricter */
        *tokens = burst;
        *from = run;
        return;
    }
    if (__builtin_sub_overflow(run, *from, &passed) || passed < 0) {
        *from = run;
        return;
    }
    if (every <= 0)
        return;
    int64_t gained = passed / every;
    if (gained >= (int64_t)burst - *tokens) {
        *tokens = burst;
        *from = run;
    } else {
        *tokens += (uint32_t)gained;
        *from += gained * every; /* what is left of the way to the next one is kept */
    }
}

/* Milliseconds until there is a token, at least 1; -1 when there will be none. */
static int64_t wait_ms(uint32_t burst, ifab_usec every, ifab_usec run, ifab_usec from)
{
    if (burst == 0 || every <= 0)
        return -1;
    ifab_usec left = every - (run - from); /* refill() has left 0 <= run - from < every */
    return left / 1000 + 1;
}

enum ifab_code ifab_decisions_admit(const struct ifab_decisions *self, const struct ifab_guard_rules *rules, enum ifab_decision state,
                                    uint32_t talent, ifab_usec run, struct ifab_bucket *ret_next, struct ifab_refusal *ret_refusal)
{
    if (state != IFAB_DECISION_HOLD && state != IFAB_DECISION_ESCALATE)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "only held and escalated messages wait");
    bool hold = state == IFAB_DECISION_HOLD;
    const struct talent_row *row = ifab_guard__talent_find(self, talent);
    struct ifab_bucket next = {talent, rules->hold_burst, rules->escalate_burst, run, run};
    if (row != NULL && row->has_bucket)
        next = row->bucket;

    uint32_t burst = hold ? rules->hold_burst : rules->escalate_burst;
    ifab_usec every = hold ? rules->hold_refill : rules->escalate_refill;
    uint32_t *tokens = hold ? &next.hold_tokens : &next.escalate_tokens;
    ifab_usec *from = hold ? &next.hold_from : &next.escalate_from;
    refill(burst, every, run, tokens, from);
    if (*tokens == 0) {
        (void)ifab_refuse(ret_refusal, IFAB_CODE_RATE_LIMIT_EXCEEDED, "", "too many %s messages of this talent, at most %u at once",
                          hold ? "held" : "escalated", burst);
        if (ret_refusal != NULL)
            ret_refusal->retry_after_ms = wait_ms(burst, every, run, *from);
        return IFAB_CODE_RATE_LIMIT_EXCEEDED;
    }
    if (self->count >= rules->open_max)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUEUE_FULL, "", "%zu decisions wait for votes or sources, at most %u may", self->count,
                           rules->open_max);
    if ((row == NULL ? 0 : row->open) >= rules->open_max_talent)
        return ifab_refuse(ret_refusal, IFAB_CODE_QUOTA_EXCEEDED, "", "%u decisions of this talent wait, at most %u may",
                           row == NULL ? 0 : row->open, rules->open_max_talent);
    (*tokens)--;
    *ret_next = next;
    return IFAB_CODE_NONE;
}

void ifab_decisions_put_bucket(struct ifab_decisions *self, const struct ifab_bucket *bucket)
{
    struct talent_row *row = ifab_guard__talent_row(self, bucket->talent);
    row->bucket = *bucket;
    row->has_bucket = true;
}

size_t ifab_bucket_pack(const struct ifab_bucket *bucket, uint8_t ret_bytes[IFAB_BUCKET_PACKED])
{
    uint8_t *at = ret_bytes;
    ifab_put_u32(&at, bucket->talent);
    ifab_put_u32(&at, bucket->hold_tokens);
    ifab_put_u32(&at, bucket->escalate_tokens);
    ifab_put_u64(&at, (uint64_t)bucket->hold_from);
    ifab_put_u64(&at, (uint64_t)bucket->escalate_from);
    return (size_t)(at - ret_bytes);
}

bool ifab_bucket_unpack(struct ifab_view bytes, uint32_t talent, struct ifab_bucket *ret_bucket)
{
    if (bytes.size != IFAB_BUCKET_PACKED)
        return false;
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    struct ifab_bucket bucket;
    bucket.talent = ifab_get_u32(&r);
    bucket.hold_tokens = ifab_get_u32(&r);
    bucket.escalate_tokens = ifab_get_u32(&r);
    bucket.hold_from = (ifab_usec)ifab_get_u64(&r);
    bucket.escalate_from = (ifab_usec)ifab_get_u64(&r);
    if (r.bad || bucket.talent != talent || bucket.hold_from < 0 || bucket.escalate_from < 0)
        return false;
    *ret_bucket = bucket;
    return true;
}

ifab_status ifab_guard__talents_reserve(struct ifab_decisions *self, size_t n)
{
    IFAB_TRY(ifab_u64map_reserve(&self->talent_index, n));
    if (n <= self->talent_capacity - self->talent_count)
        return IFAB_OK;
    size_t capacity = self->talent_capacity * 2 > self->talent_count + n ? self->talent_capacity * 2 : self->talent_count + n;
    if (capacity > SIZE_MAX / sizeof *self->talents)
        return IFAB_NOMEM;
    struct talent_row *talents = ifab_realloc(self->talents, capacity * sizeof *talents);
    if (talents == NULL)
        return IFAB_NOMEM;
    self->talents = talents;
    self->talent_capacity = capacity;
    return IFAB_OK;
}

struct talent_row *ifab_guard__talent_row(struct ifab_decisions *self, uint32_t talent)
{
    uint64_t at;
    if (ifab_u64map_get(&self->talent_index, talent, &at))
        return &self->talents[at];
    ifab_guard__must(self->talent_count < self->talent_capacity || ifab_guard__talents_reserve(self, 1) == IFAB_OK);
    ifab_guard__must(ifab_u64map_put(&self->talent_index, talent, self->talent_count) == IFAB_OK);
    struct talent_row *row = &self->talents[self->talent_count++];
    memset(row, 0, sizeof *row);
    return row;
}

const struct talent_row *ifab_guard__talent_find(const struct ifab_decisions *self, uint32_t talent)
{
    uint64_t at;
    return ifab_u64map_get(&self->talent_index, talent, &at) ? &self->talents[at] : NULL;
}
