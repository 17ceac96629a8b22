#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H
/*
 * What the measuring programs share: clocks, and messages as agents send them, about 1 KB, signed by eight keys in turn. A sender is a key and an
 * instance, so that each of many connections can keep its own order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/time.h"
#include "make_envelope.h"

#define BENCH_KEYS 8

static inline double bench_clock(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static inline double bench_wall(void) { return bench_clock(CLOCK_MONOTONIC); }
static inline double bench_cpu(void) { return bench_clock(CLOCK_THREAD_CPUTIME_ID); } /* of this thread: others on the machine do not count */

static inline void bench_must(bool good, const char *what, const struct ifab_error *err)
{
    if (good)
        return;
    fprintf(stderr, "bench: %s%s%s\n", what, err != NULL && err->text[0] != '\0' ? ": " : "", err != NULL ? err->text : "");
    exit(1);
}

static inline int bench_by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}
/* Sorts values. */
static inline double bench_quantile(double *values, size_t count, double q)
{
    qsort(values, count, sizeof *values, bench_by_value);
    size_t at = (size_t)((double)count * q);
    return values[at < count ? at : count - 1];
}

static inline struct ifab_signer *bench_signer(unsigned key) { return make_signer((uint8_t)(0xb0 + key)); }

static inline void bench_message_with(struct ifab_buf *text, const struct ifab_signer *signer, unsigned key, unsigned instance, unsigned n, unsigned seq,
                                      const char *more)
{
    static const char claim[] =
        "The nightly settlement of region 7 is complete: 18,204 postings balanced, 3 were routed to a person, none was dropped; "
        "the totals agree with the ledger of the bank as of 04:00 UTC and with the figures published on the status page.";
    struct ifab_buf body = IFAB_BUF_INIT(4096);
    uint8_t nonce16[16] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24), (uint8_t)key, (uint8_t)instance, 7};
    char now[25];
    ifab_time_format((ifab_usec)(bench_clock(CLOCK_REALTIME) * 1e6), now);
    ifab_buf_format(&body, "{\"id\":\"msg-01930000-0000-7000-8000-%012x\",\"performative\":\"inform\",", n);
    ifab_buf_format(&body, "\"conversation_id\":\"conv-01930000-0000-7%03x-8%03x-%012x\",", key, instance, seq / 50);
    ifab_buf_str(&body, "\"topic_hash\":\"sha256:d45a1dfdd90023d002540b703adc912e8e5658758bb0d381a4f342afcb428752\",");
    ifab_buf_format(&body, "\"sender\":\"if://agent/Bench.%u/i%u\",\"receiver\":\"if://agent/Bench.%u\",", key, instance, (key + 1) % BENCH_KEYS);
    ifab_buf_format(&body, "\"issued_at\":\"%s\",\"ttl_s\":3600,\"seq\":%u,\"nonce\":\"", now, seq + 1);
    ifab_buf_base64url(&body, nonce16, sizeof nonce16);
    ifab_buf_format(&body, "\",\"content\":{\"claim\":\"%s\",\"claim_id\":\"settlement-%u\",\"confidence\":{\"raw\":0.93,\"normalized\":0.91},",
                    claim, n);
    ifab_buf_str(&body, more);
    ifab_buf_str(&body,
                 "\"scope\":{\"region\":\"7\",\"year\":2025},\"evidence\":[{\"type\":\"web\",\"url\":\"https://status.example.org/settlement\","
                 "\"hash\":\"sha256:a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\"}]}");
    ifab_buf_char(&body, '\0');
    bench_must(ifab_buf_status(&body) == IFAB_OK, "a message", NULL);
    ifab_buf_clear(text);
    make_envelope(text, signer, (const char *)body.data);
    ifab_buf_fini(&body);
}

/* Message n of all, sequence number seq of its sender; text is cleared first. Conversations: one for every 50 messages of a sender. */
static inline void bench_message(struct ifab_buf *text, const struct ifab_signer *signer, unsigned key, unsigned instance, unsigned n, unsigned seq)
{
    bench_message_with(text, signer, key, instance, n, seq, "");
}
/* One that a person must decide about. */
static inline void bench_escalation(struct ifab_buf *text, const struct ifab_signer *signer, unsigned key, unsigned instance, unsigned n, unsigned seq)
{
    bench_message_with(text, signer, key, instance, n, seq, "\"hazards\":[\"legal\"],");
}
#endif
