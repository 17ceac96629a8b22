#ifndef GOVERNOR_BREAKER_H
#define GOVERNOR_BREAKER_H
/*
 * Token buckets, circuit breakers and the service record from which reputation comes. DESIGN section 5 Governor. Pure; integers only.
 *
 *   of a capability:  CLOSED --5 failures in a row--> OPEN --60 s--> HALF_OPEN --one probe: good--> CLOSED, bad--> OPEN
 *   of a swarm:       CLOSED --3 failures in a row, or its budget passed--> OPEN --a person, with a why--> CLOSED
 *
 * What the caller did wrong is no failure. A probe that never comes back counts as failed after IFAB_BREAKER_OPEN_FOR.
 */
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"
#include "governor/money.h"

#define IFAB_BREAKER_MAX           10000
#define IFAB_BREAKER_FAILURES      5
#define IFAB_BREAKER_SWARM_FAILURES 3
#define IFAB_BREAKER_OPEN_FOR      (60 * IFAB_SECOND)

enum ifab_breaker_kind { IFAB_BREAKER_CAPABILITY = 1, IFAB_BREAKER_SWARM = 2 };
enum ifab_breaker_state { IFAB_BREAKER_CLOSED, IFAB_BREAKER_OPEN, IFAB_BREAKER_HALF_OPEN };
enum ifab_breaker_cause { IFAB_CAUSE_NONE, IFAB_CAUSE_FAILURES, IFAB_CAUSE_BUDGET };
const char *ifab_breaker_kind_name(enum ifab_breaker_kind kind);    /* "capability", "swarm" */
const char *ifab_breaker_state_name(enum ifab_breaker_state state); /* "closed", "open", "half-open" */
const char *ifab_breaker_cause_name(enum ifab_breaker_cause cause); /* "repeated_failures", "budget_exceeded"; "" */

/* The last outcomes of a swarm or capability, oldest overwritten. */
#define IFAB_SERVICE_WINDOW 100
struct ifab_service {
    uint8_t count, next;                      /* outcomes kept, place of the next one */
    bool good[IFAB_SERVICE_WINDOW];
    uint32_t took_ms[IFAB_SERVICE_WINDOW];    /* saturating */
};
void ifab_service_note(struct ifab_service *self, bool good, ifab_usec took);
struct ifab_slo {
    unsigned success_permille; /* 950 */
    uint32_t p99_ms;           /* 500 */
};
/*
 * (good + 7) / (count + 10): a prior of 0.70 with the weight of ten outcomes; x 8/10 when the share of good ones is below its objective,
 * x 9/10 when the p99 (nearest rank) is above it, both only from ten outcomes on. As a fraction num / den, 0 <= num <= den.
 */
struct ifab_ratio {
    uint32_t num, den; /* den > 0 */
};
/* What is left of the error budget over the window: of the failures that the objective allows, the share that has not happened; 1,000 without outcomes, 0..1,000. */
uint32_t ifab_service_budget_permille(const struct ifab_service *self, const struct ifab_slo *slo);
struct ifab_ratio ifab_service_reputation(const struct ifab_service *self, const struct ifab_slo *slo); /* self NULL: the prior */
uint32_t ifab_service_p95_ms(const struct ifab_service *self);                                          /* 0 without outcomes */
uint32_t ifab_service_p99_ms(const struct ifab_service *self);                                          /* 0 without outcomes */

struct ifab_breaker { /* record kind 19, packed */
    uint64_t number;
    enum ifab_breaker_kind kind;
    enum ifab_breaker_state state;
    enum ifab_breaker_cause cause;
    uint32_t failures;       /* in a row */
    ifab_usec opened, probe; /* run: when it opened; when the probe went out, 0: none is out */
    uint64_t index;          /* of the entry that opened it */
    struct ifab_view name;
    struct ifab_service service;
};
#define IFAB_BREAKER_PACKED_MAX 1024
size_t ifab_breaker_pack(const struct ifab_breaker *breaker, uint8_t ret_bytes[IFAB_BREAKER_PACKED_MAX]);
bool ifab_breaker_unpack(struct ifab_view bytes, uint64_t number, struct ifab_breaker *ret_breaker); /* name points into bytes */

/* May a call go out now? *ret_next: the breaker as it is then (a probe went out). NONE, or 303 with retry_after_ms,
 * IFAB_RETRY_UNKNOWN where a person must. */
enum ifab_code ifab_breaker_admit(const struct ifab_breaker *self, ifab_usec run, struct ifab_breaker *ret_next, struct ifab_refusal *ret_refusal);
enum ifab_verdict { IFAB_VERDICT_GOOD, IFAB_VERDICT_FAILED, IFAB_VERDICT_CALLER }; /* of a call; CALLER: the caller's own mistake */
/* true: it opened now. */
bool ifab_breaker_note(struct ifab_breaker *self, enum ifab_verdict verdict, ifab_usec took, ifab_usec run);
void ifab_breaker_trip(struct ifab_breaker *self, enum ifab_breaker_cause cause, ifab_usec run);
void ifab_breaker_reset(struct ifab_breaker *self);

/* All of them: found by (kind, name). */
struct ifab_breakers;
ifab_status ifab_breakers_new(uint64_t seed, struct ifab_breakers **ret);
void ifab_breakers_free(struct ifab_breakers *self);
IFAB_MUST_CHECK ifab_status ifab_breakers_load(struct ifab_breakers *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
const struct ifab_breaker *ifab_breakers_find(const struct ifab_breakers *self, enum ifab_breaker_kind kind, struct ifab_view name);
const struct ifab_breaker *ifab_breakers_next(const struct ifab_breakers *self, uint64_t number); /* above this number, in order */
size_t ifab_breakers_count(const struct ifab_breakers *self);

/* Wait before attempt n (0 the first) is made again: 1 2 5 10 30 s, full jitter: random in [0, that]. The last one repeats. */
ifab_usec ifab_backoff(unsigned attempt, uint64_t random);

/* A token bucket: starts full, refills rate tokens a second up to burst. Integer, without drift: what is not a whole token is kept as time. */
struct ifab_tokens {
    uint64_t held;
    ifab_usec since; /* run */
};
struct ifab_tokens ifab_tokens_full(uint32_t burst, ifab_usec run);
/* NONE and one fewer; 302 with retry_after_ms. rate and burst at least 1. */
enum ifab_code ifab_tokens_take(struct ifab_tokens *self, uint32_t rate, uint32_t burst, ifab_usec run, struct ifab_refusal *ret_refusal);

/* Buckets by (owner, name). They start full, so one that has refilled need not be kept. */
#define IFAB_TOKEN_BUCKETS_MAX 65536
struct ifab_token_table;
ifab_status ifab_token_table_new(uint64_t seed, struct ifab_token_table **ret);
void ifab_token_table_free(struct ifab_token_table *self);
/* NONE: there is, or may be, a bucket. 302: so many are in use that this one has no place. */
enum ifab_code ifab_token_table_take(const struct ifab_token_table *self, uint32_t owner, struct ifab_view name, uint32_t rate, uint32_t burst, ifab_usec run,
                                     struct ifab_tokens *ret_next, struct ifab_refusal *ret_refusal);
/* Keeps what take gave. IFAB_NOMEM: it stays as it was. */
ifab_status ifab_token_table_put(struct ifab_token_table *self, uint32_t owner, struct ifab_view name, uint32_t rate, uint32_t burst,
                                 const struct ifab_tokens *tokens);
size_t ifab_token_table_count(const struct ifab_token_table *self);
#endif
