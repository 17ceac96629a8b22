/*
 * Policy: what the operator's rules cost a message, beside one bare verify, at 1, 100, 1,000 and 10,000 rules. None of them matches: one that does
 * ends it earlier. Two sets of each size:
 *
 * rulesN is a set as people write them. A quarter of the rules, at most 100, ask for amounts alone: they have no exact test and are asked for every
 * message. A quarter name the sender, the rest a value of the message's scope exactly: an index spares nearly all of those.
 *
 * In aboveN all ask for amounts: no index spares any, each is asked for every message.
 *
 * CPU time of this thread; the median of 41 chunks. Prints "name value" lines, µs.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "guard/guard.h"
#include "guard/ruleset.h"

enum { CHUNKS = 41, KEYS = 8, MESSAGE = 900, AMOUNTS = 100 };

static double now_usec(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *samples)
{
    qsort(samples, CHUNKS, sizeof *samples, by_value);
    return samples[CHUNKS / 2];
}

static struct ifab_ruleset *make_set(unsigned count, bool amounts_alone)
{
    struct ifab_buf text = IFAB_BUF_INIT(64 << 20);
    struct ifab_arena arena;
    const struct ifab_json *root, *where;
    struct ifab_ruleset *set = NULL;
    ifab_buf_str(&text, "{\"v\":1,\"rules\":[");
    for (unsigned i = 0; i < count; i++) {
        ifab_buf_format(&text, "%s{\"id\":\"r%05u\",\"effect\":\"escalate\",\"when\":", i > 0 ? "," : "", i);
        if (amounts_alone || (i % 4 == 0 && i < 4 * AMOUNTS))
            ifab_buf_format(&text, "{\"scope.usd\":{\"above\":%u}}}", 100000 + i);
        else if (i % 4 == 1)
            ifab_buf_format(&text, "{\"sender\":\"Agent.%u\",\"performative\":\"request\"}}", i);
        else
            ifab_buf_format(&text, "{\"scope.environment\":\"site-%u\",\"scope.usd\":{\"above\":10},\"hazards\":\"financial\"}}", i);
    }
    ifab_buf_str(&text, "]}");
    ifab_arena_init(&arena, (size_t)512 << 20);
    const struct ifab_json_limits limits = {.max_size = 64 << 20};
    struct ifab_error err = {0};
    if (ifab_json_read(ifab_buf_as_view(&text), &limits, &arena, &root, &err) != IFAB_OK ||
        ifab_ruleset_compile(&(struct ifab_rule_source){.root = root}, &set, &where, &err) != IFAB_OK) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(1);
    }
    ifab_arena_fini(&arena);
    ifab_buf_fini(&text);
    return set;
}

static double verify_once(void)
{
    static unsigned char keys[KEYS][32], secret[64], messages[KEYS * 8][MESSAGE], signatures[KEYS * 8][64];
    double samples[CHUNKS];
    for (unsigned i = 0; i < KEYS * 8; i++) {
        if (i % 8 == 0)
            crypto_sign_keypair(keys[i / 8], secret);
        randombytes_buf(messages[i], MESSAGE);
        crypto_sign_detached(signatures[i], NULL, messages[i], MESSAGE, secret);
    }
    for (unsigned c = 0; c < CHUNKS; c++) {
        double begin = now_usec();
        for (unsigned i = 0; i < KEYS * 8; i++)
            if (crypto_sign_verify_detached(signatures[i], messages[i], MESSAGE, keys[i / 8]) != 0)
                exit(1);
        samples[c] = (now_usec() - begin) / (KEYS * 8);
    }
    return median(samples);
}

static double evaluate_once(const struct ifab_ruleset *set, unsigned rounds)
{
    static const char content[] = "{\"environment\":\"staging\",\"usd\":1500,\"region\":\"eu\",\"tags\":[\"a\",\"b\"]}";
    struct ifab_view receiver = IFAB_VIEW("Legal.Agent"), hazard = IFAB_VIEW("technical");
    struct ifab_rule_subject subject = {.performative = IFAB_VIEW("inform"), .sender = IFAB_VIEW("Finance.Agent"), .role = IFAB_VIEW("agent"),
                                        .owner = IFAB_VIEW("finance"), .claim = IFAB_VIEW("revenue is up"), .receivers = &receiver, .receiver_count = 1,
                                        .hazards = &hazard, .hazard_count = 1, .has_confidence = true, .confidence = 0.9, .ttl_s = 60, .size = MESSAGE};
    struct ifab_arena arena;
    double samples[CHUNKS];
    ifab_arena_init(&arena, 1 << 20);
    if (ifab_json_read(ifab_view_str(content), NULL, &arena, &subject.scope, NULL) != IFAB_OK)
        exit(1);
    for (unsigned c = 0; c < CHUNKS; c++) {
        double begin = now_usec();
        for (unsigned i = 0; i < rounds; i++) {
            struct ifab_rule_answer answer;
            ifab_ruleset_evaluate(set, &subject, &answer);
            if (answer.effect != IFAB_RULE_NONE)
                exit(1);
        }
        samples[c] = (now_usec() - begin) / rounds;
    }
    ifab_arena_fini(&arena);
    return median(samples);
}

int main(void)
{
    static const unsigned counts[] = {1, 100, 1000, 10000};
    if (sodium_init() < 0)
        return 1;
    printf("bare %.3f\n", verify_once());
    for (size_t i = 0; i < IFAB_COUNT(counts); i++) {
        struct ifab_ruleset *mixed = make_set(counts[i], false), *amounts = make_set(counts[i], true);
        printf("rules%u %.4f\n", counts[i], evaluate_once(mixed, 1000));
        printf("above%u %.4f\n", counts[i], evaluate_once(amounts, counts[i] > 1000 ? 50 : 1000)); /* some 100 µs each */
        ifab_ruleset_free(mixed);
        ifab_ruleset_free(amounts);
    }
    return 0;
}
