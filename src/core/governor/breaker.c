/* Circuit breakers, their record, and what a service record says about reputation. */
#include "governor/breaker.h"

#include "base/encode.h"
#include "base/mem.h"

#define VERSION 1
#define PROBE_AFTER IFAB_BREAKER_OPEN_FOR

static const char *const kinds[] = {"", "capability", "swarm"}, *const states[] = {"closed", "open", "half-open"},
                         *const causes[] = {"", "repeated_failures", "budget_exceeded"};

const char *ifab_breaker_kind_name(enum ifab_breaker_kind kind) { return (size_t)kind < IFAB_COUNT(kinds) ? kinds[kind] : ""; }
const char *ifab_breaker_state_name(enum ifab_breaker_state state) { return (size_t)state < IFAB_COUNT(states) ? states[state] : ""; }
const char *ifab_breaker_cause_name(enum ifab_breaker_cause cause) { return (size_t)cause < IFAB_COUNT(causes) ? causes[cause] : ""; }

/* ---- the service record ---- */

void ifab_service_note(struct ifab_service *self, bool good, ifab_usec took)
{
    ifab_usec ms = took <= 0 ? 0 : took / 1000;
    self->good[self->next] = good;
    self->took_ms[self->next] = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
    self->next = (uint8_t)((self->next + 1) % IFAB_SERVICE_WINDOW);
    if (self->count < IFAB_SERVICE_WINDOW)
        self->count++;
}

/* Nearest rank: the ceil(share × n)-th smallest. */
static uint32_t quantile(const struct ifab_service *self, uint32_t percent)
{
    uint32_t sorted[IFAB_SERVICE_WINDOW];
    if (self == NULL || self->count == 0)
        return 0;
    for (size_t i = 0; i < self->count; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > self->took_ms[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = self->took_ms[i];
    }
    return sorted[(self->count * percent + 99) / 100 - 1];
}
uint32_t ifab_service_p95_ms(const struct ifab_service *self) { return quantile(self, 95); }
uint32_t ifab_service_p99_ms(const struct ifab_service *self) { return quantile(self, 99); }

uint32_t ifab_service_budget_permille(const struct ifab_service *self, const struct ifab_slo *slo)
{
    uint64_t failed = 0, allowed = 0; /* in thousandths of an outcome */
    for (size_t i = 0; self != NULL && i < self->count; i++) {
        failed += self->good[i] ? 0 : 1000;
        allowed += slo->success_permille < 1000 ? 1000 - slo->success_permille : 0;
    }
    return failed == 0 ? 1000 : failed >= allowed ? 0 : (uint32_t)(1000 - failed * 1000 / allowed);
}

#define PRIOR_GOOD 7 /* of */
#define PRIOR_COUNT 10

struct ifab_ratio ifab_service_reputation(const struct ifab_service *self, const struct ifab_slo *slo)
{
    struct ifab_ratio ratio = {PRIOR_GOOD, PRIOR_COUNT};
    uint32_t good = 0;
    if (self == NULL || self->count == 0)
        return ratio;
    for (size_t i = 0; i < self->count; i++)
        good += self->good[i];
    ratio = (struct ifab_ratio){good + PRIOR_GOOD, self->count + (uint32_t)PRIOR_COUNT};
    if (self->count < PRIOR_COUNT) /* too few to say that an objective was missed */
        return ratio;
    if (good * 1000 < slo->success_permille * self->count)
        ratio = (struct ifab_ratio){ratio.num * 8, ratio.den * 10};
    if (ifab_service_p99_ms(self) > slo->p99_ms)
        ratio = (struct ifab_ratio){ratio.num * 9, ratio.den * 10};
    return ratio;
}

/* ---- states ---- */

enum ifab_code ifab_breaker_admit(const struct ifab_breaker *self, ifab_usec run, struct ifab_breaker *ret_next, struct ifab_refusal *r)
{
    ifab_usec wait = 0;
    *ret_next = *self;
    if (self->state == IFAB_BREAKER_CLOSED)
        return IFAB_CODE_NONE;
    if (self->kind == IFAB_BREAKER_SWARM) {
        (void)ifab_refuse(r, IFAB_CODE_CIRCUIT_BREAKER_OPEN, "breaker", "swarm " IFAB_FMT " is stopped (%s) until a person resets it", IFAB_ARG(self->name),
                          ifab_breaker_cause_name(self->cause));
        if (r != NULL) {
            r->hint = "Find out why, then: ifctl governor reset swarm:NAME --why TEXT.";
            r->retry_after_ms = IFAB_RETRY_UNKNOWN;
        }
        return IFAB_CODE_CIRCUIT_BREAKER_OPEN;
    }
    if (self->state == IFAB_BREAKER_OPEN)
        wait = self->opened + IFAB_BREAKER_OPEN_FOR - run;
    else if (self->probe != 0)
        wait = self->probe + PROBE_AFTER - run;
    if (wait > 0) {
        (void)ifab_refuse(r, IFAB_CODE_CIRCUIT_BREAKER_OPEN, "breaker", "the breaker of " IFAB_FMT " is %s", IFAB_ARG(self->name),
                          self->state == IFAB_BREAKER_OPEN ? "open" : "half open, and its one probe is out");
        if (r != NULL)
            r->retry_after_ms = (wait + 999) / 1000;
        return IFAB_CODE_CIRCUIT_BREAKER_OPEN;
    }
    ret_next->state = IFAB_BREAKER_HALF_OPEN;
    ret_next->probe = run == 0 ? 1 : run; /* 0: none is out */
    return IFAB_CODE_NONE;
}

void ifab_breaker_trip(struct ifab_breaker *self, enum ifab_breaker_cause cause, ifab_usec run)
{
    self->state = IFAB_BREAKER_OPEN;
    self->cause = cause;
    self->opened = run;
    self->probe = 0;
}

void ifab_breaker_reset(struct ifab_breaker *self)
{
    self->state = IFAB_BREAKER_CLOSED;
    self->cause = IFAB_CAUSE_NONE;
    self->failures = 0;
    self->opened = self->probe = 0;
}

bool ifab_breaker_note(struct ifab_breaker *self, enum ifab_verdict verdict, ifab_usec took, ifab_usec run)
{
    bool swarm = self->kind == IFAB_BREAKER_SWARM, probed = self->state == IFAB_BREAKER_HALF_OPEN;
    if (verdict == IFAB_VERDICT_CALLER) { /* says nothing about the other side: another probe may go */
        if (probed)
            self->probe = 0;
        return false;
    }
    ifab_service_note(&self->service, verdict == IFAB_VERDICT_GOOD, took);
    if (verdict == IFAB_VERDICT_GOOD) {
        if (probed)
            ifab_breaker_reset(self);
        else if (self->state == IFAB_BREAKER_CLOSED)
            self->failures = 0;
        return false; /* open: a late answer of an earlier call closes nothing */
    }
    if (self->failures < UINT32_MAX)
        self->failures++;
    bool opens = probed || (self->state == IFAB_BREAKER_CLOSED &&
                            self->failures >= (uint32_t)(swarm ? IFAB_BREAKER_SWARM_FAILURES : IFAB_BREAKER_FAILURES));
    if (opens)
        ifab_breaker_trip(self, IFAB_CAUSE_FAILURES, run);
    return opens;
}

/* ---- record: docs/formats/store.md ---- */

size_t ifab_breaker_pack(const struct ifab_breaker *b, uint8_t ret_bytes[IFAB_BREAKER_PACKED_MAX])
{
    uint8_t *at = ret_bytes;
    ifab_put_u8(&at, VERSION);
    ifab_put_u8(&at, (uint8_t)b->kind);
    ifab_put_u8(&at, (uint8_t)b->state);
    ifab_put_u8(&at, (uint8_t)b->cause);
    ifab_put_u32(&at, b->failures);
    ifab_put_u64(&at, (uint64_t)b->opened);
    ifab_put_u64(&at, (uint64_t)b->probe);
    ifab_put_u64(&at, b->index);
    ifab_put_u8(&at, (uint8_t)b->name.size);
    ifab_put_bytes(&at, b->name.data, b->name.size);
    ifab_put_u8(&at, b->service.count);
    ifab_put_u8(&at, b->service.next);
    for (size_t i = 0; i < b->service.count; i++) {
        ifab_put_u8(&at, b->service.good[i] ? 1 : 0);
        ifab_put_u32(&at, b->service.took_ms[i]);
    }
    return (size_t)(at - ret_bytes);
}
_Static_assert(35 + IFAB_SUBJECT_NAME_MAX + 5 * IFAB_SERVICE_WINDOW <= IFAB_BREAKER_PACKED_MAX, "room");

static bool read_service(struct ifab_reader *r, struct ifab_service *s)
{
    memset(s, 0, sizeof *s);
    s->count = ifab_get_u8(r);
    s->next = ifab_get_u8(r);
    if (s->count > IFAB_SERVICE_WINDOW || s->next != (s->count < IFAB_SERVICE_WINDOW ? s->count : s->next % IFAB_SERVICE_WINDOW))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        uint8_t good = ifab_get_u8(r);
        s->good[i] = good == 1;
        s->took_ms[i] = ifab_get_u32(r);
        if (good > 1)
            return false;
    }
    return true;
}

static bool plausible(const struct ifab_breaker *b)
{
    bool swarm = b->kind == IFAB_BREAKER_SWARM;
    if ((!swarm && b->kind != IFAB_BREAKER_CAPABILITY) || !ifab_subject_valid(swarm ? IFAB_SUBJECT_SWARM : IFAB_SUBJECT_CAPABILITY, b->name))
        return false;
    if (b->opened < 0 || b->probe < 0 || b->index > IFAB_MONEY_MAX)
        return false;
    if (b->state == IFAB_BREAKER_CLOSED)
        return b->cause == IFAB_CAUSE_NONE && b->opened == 0 && b->probe == 0;
    return b->cause != IFAB_CAUSE_NONE && (b->state == IFAB_BREAKER_HALF_OPEN ? !swarm : b->probe == 0);
}

bool ifab_breaker_unpack(struct ifab_view bytes, uint64_t number, struct ifab_breaker *ret)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    uint8_t version = ifab_get_u8(&r), kind = ifab_get_u8(&r), state = ifab_get_u8(&r), cause = ifab_get_u8(&r);
    if (r.bad || version != VERSION || state > IFAB_BREAKER_HALF_OPEN || cause > IFAB_CAUSE_BUDGET)
        return false;
    ret->number = number;
    ret->kind = (enum ifab_breaker_kind)kind;
    ret->state = (enum ifab_breaker_state)state;
    ret->cause = (enum ifab_breaker_cause)cause;
    ret->failures = ifab_get_u32(&r);
    ret->opened = (ifab_usec)ifab_get_u64(&r);
    ret->probe = (ifab_usec)ifab_get_u64(&r);
    ret->index = ifab_get_u64(&r);
    ret->name = ifab_get_bytes(&r, ifab_get_u8(&r));
    return !r.bad && read_service(&r, &ret->service) && !r.bad && r.at == r.end && plausible(ret);
}
