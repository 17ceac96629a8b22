/* Conversations: who may say what where, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "connect/order.h"

#include <stdlib.h>

enum { A = 10, B = 20, C = 30, D = 40 }; /* talents */
#define IDLE 1000

static struct ifab_conversations *make(uint32_t total, uint32_t per_talent)
{
    const struct ifab_conversation_limits limits = {.total = total, .per_talent = per_talent, .idle = IDLE, .seed = 77};
    struct ifab_conversations *conversations = NULL;
    assert_int_equal(ifab_conversations_new(&limits, &conversations), IFAB_OK);
    return conversations;
}

static struct ifab_envelope envelope; /* only what a conversation looks at */

static enum ifab_code check(const struct ifab_conversations *c, uint64_t id, enum ifab_performative performative, uint32_t talent,
                            const uint32_t *receivers, size_t count, ifab_usec wall, struct ifab_conversation *ret_next)
{
    static uint64_t number; /* each its own */
    memset(envelope.conversation16, 0, 16);
    memcpy(envelope.conversation16, &id, sizeof id);
    envelope.performative = performative;
    return ifab_conversations_check(c, &envelope, talent, receivers, count, wall, ++number, ret_next, NULL);
}

static enum ifab_code say(struct ifab_conversations *c, uint64_t id, enum ifab_performative performative, uint32_t talent,
                          const uint32_t *receivers, size_t count, ifab_usec wall)
{
    struct ifab_conversation next;
    enum ifab_code code = check(c, id, performative, talent, receivers, count, wall, &next);
    if (code == IFAB_CODE_NONE) {
        assert_int_equal(ifab_conversations_reserve(c, 1), IFAB_OK);
        ifab_conversations_put(c, &next);
    }
    return code;
}

#define REQUEST IFAB_PERFORMATIVE_REQUEST
#define PROPOSE IFAB_PERFORMATIVE_PROPOSE
#define INFORM IFAB_PERFORMATIVE_INFORM
#define AGREE IFAB_PERFORMATIVE_AGREE
#define REFUSE IFAB_PERFORMATIVE_REFUSE
#define ACCEPT IFAB_PERFORMATIVE_ACCEPT_PROPOSAL
#define REJECT IFAB_PERFORMATIVE_REJECT_PROPOSAL
#define QUERY IFAB_PERFORMATIVE_QUERY_IF
#define NONE IFAB_CODE_NONE
#define VIOLATION IFAB_CODE_PROTOCOL_VIOLATION

static const bool opens[IFAB_PERFORMATIVE_COUNT] = {
    [IFAB_PERFORMATIVE_REQUEST] = true,  [IFAB_PERFORMATIVE_QUERY_IF] = true,   [IFAB_PERFORMATIVE_QUERY_REF] = true,
    [IFAB_PERFORMATIVE_PROPOSE] = true,  [IFAB_PERFORMATIVE_INFORM] = true,     [IFAB_PERFORMATIVE_CONTRADICT] = true,
    [IFAB_PERFORMATIVE_ESCALATE] = true, [IFAB_PERFORMATIVE_SHARE] = true,      [IFAB_PERFORMATIVE_HOLD] = true,
};

static void only_these_performatives_open_one(void **state)
{
    (void)state;
    const uint32_t to[] = {B};
    for (unsigned p = 0; p < IFAB_PERFORMATIVE_COUNT; p++) {
        struct ifab_conversations *c = make(100, 100);
        assert_int_equal(say(c, 1, (enum ifab_performative)p, A, to, 1, 0), opens[p] ? NONE : VIOLATION);
        assert_int_equal(ifab_conversations_count(c), opens[p] ? 1 : 0);
        ifab_conversations_free(c);
    }
}

/* Opened by A to B with `opened`; then each step; the last one must give `code`. 0 ends the list. */
struct step {
    uint32_t who;
    enum ifab_performative what;
};
static const struct {
    enum ifab_performative opened;
    struct step steps[4];
    enum ifab_code code;
} exchanges[] = {
    {REQUEST, {{B, AGREE}}, NONE},
    {REQUEST, {{A, AGREE}}, VIOLATION}, /* nobody else has spoken */
    {REQUEST, {{A, INFORM}}, NONE},
    {REQUEST, {{B, INFORM}, {A, AGREE}}, NONE},
    {REQUEST, {{B, INFORM}, {A, INFORM}, {A, AGREE}}, NONE}, /* somebody has, if not last */
    {REQUEST, {{C, INFORM}}, VIOLATION},
    {REQUEST, {{C, AGREE}}, VIOLATION},
    {REQUEST, {{B, REFUSE}, {A, INFORM}}, VIOLATION}, /* ended */
    {REQUEST, {{B, REFUSE}, {B, INFORM}}, VIOLATION},
    {REQUEST, {{B, REFUSE}, {A, REQUEST}}, VIOLATION}, /* and not opened again */
    {REQUEST, {{B, REJECT}, {A, INFORM}}, VIOLATION},
    {REQUEST, {{B, AGREE}, {B, INFORM}}, NONE},
    {REQUEST, {{B, ACCEPT}, {A, INFORM}}, NONE}, /* ends only what propose opened */
    {REQUEST, {{B, PROPOSE}, {A, REJECT}, {B, PROPOSE}}, NONE}, /* the opener refuses a counter-proposal and goes on */
    {PROPOSE, {{B, ACCEPT}, {A, INFORM}}, VIOLATION},
    {PROPOSE, {{B, REJECT}, {A, PROPOSE}}, VIOLATION},
    {PROPOSE, {{B, REFUSE}, {A, INFORM}}, VIOLATION},
    {PROPOSE, {{B, AGREE}, {A, INFORM}}, NONE},
    {PROPOSE, {{A, ACCEPT}}, VIOLATION},
    {PROPOSE, {{B, PROPOSE}, {A, ACCEPT}, {B, INFORM}}, VIOLATION},
    {QUERY, {{B, REFUSE}, {A, INFORM}}, NONE}, /* refuse ends request and propose only */
    {QUERY, {{B, INFORM}, {A, QUERY}}, NONE},
    {INFORM, {{B, AGREE}, {B, REFUSE}, {A, INFORM}}, NONE},
    {INFORM, {{B, INFORM}}, NONE},
};

static void plays_the_automaton(void **state)
{
    (void)state;
    const uint32_t to[] = {B};
    for (size_t i = 0; i < IFAB_COUNT(exchanges); i++) {
        struct ifab_conversations *c = make(100, 100);
        assert_int_equal(say(c, 1, exchanges[i].opened, A, to, 1, 0), NONE);
        for (size_t s = 0; s < 4 && exchanges[i].steps[s].who != 0; s++) {
            bool last = s == 3 || exchanges[i].steps[s + 1].who == 0;
            enum ifab_code code = say(c, 1, exchanges[i].steps[s].what, exchanges[i].steps[s].who, to, 1, 0);
            if (code != (last ? exchanges[i].code : NONE))
                fail_msg("exchange %zu, step %zu: %d", i, s, (int)code);
        }
        ifab_conversations_free(c);
    }
}

static void belongs_to_its_opener_and_first_receivers(void **state)
{
    (void)state;
    struct ifab_conversations *c = make(100, 100);
    const uint32_t to[] = {C, B, C, A}, later[] = {D};
    struct ifab_conversation next;
    assert_int_equal(say(c, 1, REQUEST, A, to, 4, 0), NONE);
    assert_int_equal(check(c, 1, INFORM, A, later, 1, 0, &next), NONE);
    assert_int_equal(next.party_count, 2); /* each once, ascending, without the opener */
    assert_int_equal(next.parties[0], B);
    assert_int_equal(next.parties[1], C);
    assert_int_equal(next.opener, A);
    assert_int_equal(next.opened_by, REQUEST);
    assert_int_equal(say(c, 1, INFORM, A, later, 1, 0), NONE);
    assert_int_equal(say(c, 1, AGREE, D, to, 1, 0), VIOLATION); /* naming D later joins nobody */
    assert_int_equal(say(c, 1, INFORM, B, later, 1, 0), NONE);
    assert_int_equal(say(c, 1, AGREE, D, to, 1, 0), VIOLATION);
    assert_int_equal(say(c, 1, AGREE, C, to, 1, 0), NONE);
    const uint32_t self[] = {A};
    assert_int_equal(say(c, 2, INFORM, A, self, 1, 0), NONE);
    assert_int_equal(say(c, 2, INFORM, B, self, 1, 0), VIOLATION);
    ifab_conversations_free(c);
}

static void is_open_to_all_without_receivers_or_to_a_topic(void **state)
{
    (void)state;
    struct ifab_conversations *c = make(100, 100);
    const uint32_t to[] = {B};
    assert_int_equal(say(c, 1, QUERY, A, NULL, 0, 0), NONE);
    assert_int_equal(say(c, 1, AGREE, D, NULL, 0, 0), NONE);
    assert_int_equal(say(c, 1, AGREE, A, NULL, 0, 0), NONE);
    envelope.receiver_count = 1;
    envelope.receivers[0].kind = IFAB_RECEIVER_TOPIC;
    assert_int_equal(say(c, 2, QUERY, A, to, 1, 0), NONE);
    assert_int_equal(say(c, 2, AGREE, D, NULL, 0, 0), NONE);
    envelope.receivers[0].kind = IFAB_RECEIVER_FABRIC;
    assert_int_equal(say(c, 3, QUERY, A, to, 1, 0), NONE);
    assert_int_equal(say(c, 3, AGREE, D, NULL, 0, 0), VIOLATION);
    envelope.receiver_count = 0;
    ifab_conversations_free(c);
}

static void ends_when_idle(void **state)
{
    (void)state;
    struct ifab_conversations *c = make(100, 100);
    const uint32_t to[] = {B};
    uint64_t number = 0;
    assert_int_equal(say(c, 1, REQUEST, A, to, 1, 500), NONE);
    assert_int_equal(say(c, 1, AGREE, B, to, 1, 500 + IDLE), NONE); /* keeps it awake */
    assert_false(ifab_conversations_dead(c, 500 + 2 * IDLE, &number, 1));
    assert_true(ifab_conversations_dead(c, 501 + 2 * IDLE, &number, 1));
    assert_int_equal(say(c, 1, AGREE, B, to, 1, 501 + 2 * IDLE), VIOLATION); /* not removed yet, but over */
    struct ifab_conversation next;
    assert_int_equal(check(c, 1, REQUEST, B, NULL, 0, 501 + 2 * IDLE, &next), NONE);
    assert_int_equal(next.number, number); /* its record is used again, by the new opener */
    assert_int_equal(next.opener, B);
    assert_false(next.answered || next.ended);
    ifab_conversations_remove(c, number);
    ifab_conversations_remove(c, number);
    assert_int_equal(ifab_conversations_count(c), 0);
    assert_false(ifab_conversations_dead(c, INT64_MAX, &number, 1));
    assert_int_equal(say(c, 1, AGREE, B, to, 1, 501 + 2 * IDLE), VIOLATION);
    assert_int_equal(say(c, 2, REQUEST, A, to, 1, 900), NONE);
    assert_int_equal(say(c, 2, AGREE, B, to, 1, 100), NONE); /* a clock that falls back makes nothing older */
    assert_false(ifab_conversations_dead(c, 900 + IDLE, &number, 1));
    ifab_conversations_free(c);
}

static void names_the_dead_in_one_order(void **state)
{
    (void)state; /* INV-14 */
    struct ifab_conversations *c = make(1000, 1000);
    ifab_usec before = -1;
    uint64_t number = 0, last = 0;
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(say(c, i, INFORM, A, NULL, 0, (ifab_usec)(i * 7919 % 100)), NONE);
    for (int i = 0; i < 300; i++) {
        assert_true(ifab_conversations_dead(c, 100 + IDLE, &number, 1));
        while (!ifab_conversations_dead(c, before + IDLE + 1, &number, 1))
            before++, last = 0;
        assert_true(number > last);
        last = number;
        ifab_conversations_remove(c, number);
    }
    assert_int_equal(ifab_conversations_count(c), 0);
    ifab_conversations_free(c);
}

static void answers_quota_when_full(void **state)
{
    (void)state;
    struct ifab_conversations *c = make(5, 3);
    const uint32_t to[] = {B};
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(say(c, i, REQUEST, A, to, 1, 0), NONE);
    assert_int_equal(say(c, 4, REQUEST, A, to, 1, 0), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(say(c, 1, AGREE, B, to, 1, 0), NONE); /* going on is not opening */
    assert_int_equal(say(c, 4, REQUEST, B, to, 1, 0), NONE);
    assert_int_equal(say(c, 5, REQUEST, C, to, 1, 0), NONE);
    assert_int_equal(say(c, 6, REQUEST, D, to, 1, 0), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(say(c, 6, AGREE, D, to, 1, 0), VIOLATION);
    assert_int_equal(say(c, 4, REQUEST, D, to, 1, 1 + IDLE), NONE); /* in the place of a dead one */
    assert_int_equal(ifab_conversations_count(c), 5);
    assert_int_equal(say(c, 7, REQUEST, B, to, 1, 1 + IDLE), IFAB_CODE_QUOTA_EXCEEDED);
    uint64_t number = 0;
    while (ifab_conversations_dead(c, 1 + IDLE, &number, 1))
        ifab_conversations_remove(c, number);
    assert_int_equal(ifab_conversations_count(c), 1);
    assert_int_equal(say(c, 8, REQUEST, A, to, 1, 1 + IDLE), NONE);
    for (uint64_t i = 10; i <= 11; i++)
        assert_int_equal(say(c, i, REQUEST, A, to, 1, 1 + IDLE), NONE);
    assert_int_equal(say(c, 12, REQUEST, A, to, 1, 1 + IDLE), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(say(c, 10, REQUEST, A, to, 1, 2 + 2 * IDLE), NONE); /* its own dead one does not count against it */
    ifab_conversations_free(c);
}

static void keeps_64_receivers_and_packs_every_field(void **state)
{
    (void)state;
    struct ifab_conversations *c = make(2000, 2000);
    uint32_t to[IFAB_RECEIVER_MAX + 1];
    for (uint32_t i = 0; i <= IFAB_RECEIVER_MAX; i++)
        to[i] = 100 + i;
    for (uint64_t round = 0; round < 500; round++) { /* short and long lists in turn, replaced and removed: none is lost or mixed up */
        for (uint64_t i = 0; i <= IFAB_RECEIVER_MAX; i += 4) {
            struct ifab_conversation next;
            assert_int_equal(say(c, i + 1, REQUEST, A, to, i, (ifab_usec)round * 3 * IDLE), NONE);
            assert_int_equal(check(c, i + 1, INFORM, A, NULL, 0, (ifab_usec)round * 3 * IDLE, &next), NONE);
            assert_int_equal(next.party_count, i);
            assert_memory_equal(next.parties, to, i * sizeof to[0]);
            uint8_t bytes[IFAB_CONVERSATION_PACKED_MAX + 1] = {0};
            struct ifab_conversation back;
            size_t size = ifab_conversation_pack(&next, bytes);
            assert_true(size <= IFAB_CONVERSATION_PACKED_MAX);
            assert_true(ifab_conversation_unpack(ifab_view_of(bytes, size), next.number, &back));
            assert_int_equal(next.parent_said, 1 + REQUEST);
            assert_int_equal(next.said, 1 + INFORM);
            next.parent_said = 0; /* of this message, not of the record */
            assert_memory_equal(&back, &next, sizeof back);
            assert_false(ifab_conversation_unpack(ifab_view_of(bytes, size + 1), next.number, &back));
            if (round % 3 == 0)
                ifab_conversations_remove(c, next.number);
        }
    }
    struct ifab_conversation next;
    assert_int_equal(check(c, 9999, REQUEST, A, to, IFAB_RECEIVER_MAX + 1, 0, &next), VIOLATION);
    ifab_conversations_free(c);
}

static void refuses_packed_nonsense(void **state)
{
    (void)state;
    struct ifab_conversation full = {.number = 5, .opener = 7, .opened_by = IFAB_PERFORMATIVE_HOLD, .ended = true, .open_to_all = true,
                                     .answered = true, .idle_from = INT64_MAX, .party_count = 3, .parties = {1, 2, 0xffffffff},
                                     .last_speaker = 0xfffffffe, .said = IFAB_PERFORMATIVE_COUNT, .hazards = 31};
    struct ifab_conversation back;
    uint8_t bytes[IFAB_CONVERSATION_PACKED_MAX];
    memset(full.id16, 0xa5, 16);
    size_t size = ifab_conversation_pack(&full, bytes);
    assert_true(ifab_conversation_unpack(ifab_view_of(bytes, size), 5, &back));
    assert_memory_equal(&back, &full, sizeof back);
    for (size_t i = 0; i < size; i++) {
        uint8_t *copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, i);
        assert_false(ifab_conversation_unpack(ifab_view_of(copy, i), 5, &back));
        free(copy);
    }
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 0}, {0, 1}, {0, 3}, {1, 8}, {4, 0}, {4, IFAB_PERFORMATIVE_COUNT + 1}, {5, 32}, {2, IFAB_PERFORMATIVE_COUNT},
               {2, IFAB_PERFORMATIVE_AGREE}, {3, 2}, {3, 65}, {21, 0x80},
               {38, 7}, {38, 2}, {42, 1}, {42, 0}, {42, 7}};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        uint8_t was = bytes[bad[i].at];
        bytes[bad[i].at] = bad[i].value;
        if (ifab_conversation_unpack(ifab_view_of(bytes, size), 5, &back))
            fail_msg("byte %zu = %u was taken", bad[i].at, bad[i].value);
        bytes[bad[i].at] = was;
    }
    bytes[3] = IFAB_RECEIVER_MAX + 1; /* whole, ascending, and one too many */
    for (uint32_t i = 0; i <= IFAB_RECEIVER_MAX; i++)
        memcpy(&bytes[38 + 4 * (size_t)i], (const uint8_t[]){(uint8_t)(i + 10), 0, 0, 0}, 4);
    assert_false(ifab_conversation_unpack(ifab_view_of(bytes, 38 + 4 * (IFAB_RECEIVER_MAX + 1)), 5, &back));
    bytes[3] = IFAB_RECEIVER_MAX;
    assert_true(ifab_conversation_unpack(ifab_view_of(bytes, 38 + 4 * IFAB_RECEIVER_MAX), 5, &back));
}

static void puts_without_allocating_after_reserve(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 700; n = n * 3 + 1) {
        struct ifab_conversations *c = make(10000, 10000);
        for (uint64_t round = 0; round < 3; round++) {
            assert_int_equal(ifab_conversations_reserve(c, n), IFAB_OK);
            ifab_mem_fail_at(1);
            for (uint64_t i = 0; i < n; i++) {
                struct ifab_conversation one = {.number = round * 1000 + i + 1, .opener = (uint32_t)(round * 1000 + i), .party_count = 64};
                memcpy(one.id16, &one.number, 8);
                for (uint32_t p = 0; p < 64; p++)
                    one.parties[p] = 5000 + p;
                ifab_conversations_put(c, &one);
            }
            assert_false(ifab_mem_failed());
            ifab_mem_fail_at(0);
        }
        assert_int_equal(ifab_conversations_count(c), 3 * n);
        for (uint64_t number = 1; number < 4000; number++)
            ifab_conversations_remove(c, number);
        assert_int_equal(ifab_conversations_count(c), 0);
        ifab_mem_fail_at(1); /* what was removed is room again, long lists of parties too */
        assert_int_equal(ifab_conversations_reserve(c, 3 * n), IFAB_OK);
        assert_false(ifab_mem_failed());
        ifab_mem_fail_at(0);
        ifab_conversations_free(c);
    }
    for (uint64_t n = 1;; n++) {
        const struct ifab_conversation_limits limits = {.total = 1, .per_talent = 1, .idle = 1};
        struct ifab_conversations *c = NULL;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_conversations_new(&limits, &c);
        if (status == IFAB_OK)
            status = ifab_conversations_reserve(c, 500);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        ifab_conversations_free(c);
        if (!failed)
            break;
        assert_true(n < 100);
    }
    ifab_conversations_free(NULL);
}

static void refuses_limits_that_would_keep_nothing(void **state)
{
    (void)state;
    struct ifab_conversations *c = NULL;
    const struct ifab_conversation_limits bad[] = {{0, 1, 1, 0}, {1, 0, 1, 0}, {1, 1, 0, 0}, {1, 1, -1, 0}};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_int_equal(ifab_conversations_new(&bad[i], &c), IFAB_INVALID);
    assert_null(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_these_performatives_open_one),
        cmocka_unit_test(plays_the_automaton),
        cmocka_unit_test(belongs_to_its_opener_and_first_receivers),
        cmocka_unit_test(is_open_to_all_without_receivers_or_to_a_topic),
        cmocka_unit_test(ends_when_idle),
        cmocka_unit_test(names_the_dead_in_one_order),
        cmocka_unit_test(answers_quota_when_full),
        cmocka_unit_test(keeps_64_receivers_and_packs_every_field),
        cmocka_unit_test(refuses_packed_nonsense),
        cmocka_unit_test(puts_without_allocating_after_reserve),
        cmocka_unit_test(refuses_limits_that_would_keep_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
