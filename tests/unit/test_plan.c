/* Plans: one spelling a record, what may follow what, bounds, and a table that agrees with a plain list over random courses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "capability/plan.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ifab_plan plan_of(uint64_t number, uint32_t talent)
{
    struct ifab_plan p = {.number = number, .talent = talent, .created = 1000, .expires = 1000 + IFAB_PLAN_LIFE, .calls = 1, .effect = 2, .index = number + 7,
                          .capability = IFAB_VIEW("if://capability/vmix.switcher@1.0.0"), .operation = IFAB_VIEW("cut"), .params = IFAB_VIEW("{\"input\":1}")};
    for (size_t i = 0; i < 8; i++)
        p.id16[i] = p.hash32[i] = (uint8_t)(number >> (8 * i));
    p.hash32[31] = 1;
    return p;
}

static ifab_status load(struct ifab_plans *plans, const struct ifab_plan *p)
{
    static uint8_t bytes[IFAB_PLAN_PACKED_MAX];
    return ifab_plans_load(plans, p->number, ifab_view_of(bytes, ifab_plan_pack(p, bytes)), NULL);
}

static void a_record_has_one_spelling(void **state)
{
    (void)state;
    uint8_t bytes[IFAB_PLAN_PACKED_MAX], again[IFAB_PLAN_PACKED_MAX];
    struct ifab_plan p = plan_of(3, 9), q;
    p.state = IFAB_PLAN_DANGLING;
    p.approved = p.idempotent = true;
    p.votes = 2;
    p.message16[3] = 4;
    p.message32[30] = 6;
    p.usd_micro = 1500;
    p.tokens = 7;
    p.reservation = 11;
    p.intent = 99;
    p.started = 5;
    size_t size = ifab_plan_pack(&p, bytes);
    assert_true(ifab_plan_unpack(ifab_view_of(bytes, size), 3, &q));
    assert_int_equal(ifab_plan_pack(&q, again), size);
    assert_memory_equal(bytes, again, size);
    assert_int_equal(q.state, IFAB_PLAN_DANGLING);
    assert_true(ifab_view_equal(q.params, p.params));
    for (size_t cut = 0; cut < size; cut++)
        assert_false(ifab_plan_unpack(ifab_view_of(bytes, cut), 3, &q));
    bytes[size] = 0;
    assert_false(ifab_plan_unpack(ifab_view_of(bytes, size + 1), 3, &q));
    for (size_t at = 0; at < size; at++) /* whatever is read back is what was read */
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1U << bit);
            if (ifab_plan_unpack(ifab_view_of(bytes, size), 3, &q)) {
                assert_int_equal(ifab_plan_pack(&q, again), size);
                assert_memory_equal(bytes, again, size);
            }
            bytes[at] ^= (uint8_t)(1U << bit);
        }
}

static void the_hash_covers_all_that_apply_looks_at(void **state)
{
    (void)state;
    static const struct ifab_view scopes[] = {{(const uint8_t *)"studio:control", 14}};
    struct ifab_plan_facts facts = {.log = IFAB_VIEW("main"), .talent = IFAB_VIEW("Studio.Agent"), .scopes = scopes, .scope_count = 1};
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    uint8_t first[32], other[32];
    struct ifab_plan p = plan_of(3, 9);
    assert_int_equal(ifab_plan_hash(&p, &facts, &b, first), IFAB_OK);
    static const char said[] = "{\"capability\":\"if://capability/vmix.switcher@1.0.0\",\"cost\":{\"calls\":1,\"tokens\":0,\"usd_micro\":0},\"expires_at\":"
                               "\"1970-01-01T00:10:00.001Z\",\"log\":\"main\",\"manifest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\","
                               "\"operation\":\"cut\",\"params\":{\"input\":1},\"plan_id\":\"plan-03000000-0000-0000-0000-000000000000\",\"policy_digest\":"
                               "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"scopes\":[\"studio:control\"],\"talent\":\"Studio.Agent\",\"v\":1}";
    assert_int_equal(b.size, sizeof said - 1);
    assert_memory_equal(b.data, said, b.size);
    for (int what = 0; what < 13; what++) {
        struct ifab_plan q = plan_of(3, 9);
        struct ifab_plan_facts f = facts;
        switch (what) {
        case 0: q.capability = IFAB_VIEW("if://capability/vmix.switcher@1.0.1"); break;
        case 1: q.operation = IFAB_VIEW("fade"); break;
        case 2: q.params = IFAB_VIEW("{\"input\":2}"); break;
        case 3: q.usd_micro = 1; break;
        case 4: q.tokens = 1; break;
        case 5: q.calls = 2; break;
        case 6: q.expires += 1000; break;
        case 7: q.manifest32[0] = 1; break;
        case 8: q.policy32[31] = 1; break;
        case 9: q.id16[15] = 1; break;
        case 10: f.talent = IFAB_VIEW("Other.Agent"); break;
        case 11: f.log = IFAB_VIEW("other"); break;
        default: f.scope_count = 0; break;
        }
        ifab_buf_clear(&b);
        assert_int_equal(ifab_plan_hash(&q, &f, &b, other), IFAB_OK);
        if (memcmp(first, other, 32) == 0)
            fail_msg("change %d does not change the hash", what);
    }
    ifab_buf_fini(&b);
}

static void a_plan_is_followed_by_itself_alone(void **state)
{
    (void)state;
    struct ifab_plans *plans;
    assert_int_equal(ifab_plans_new(1, &plans), IFAB_OK);
    struct ifab_plan p = plan_of(3, 9), q;
    assert_int_equal(load(plans, &p), IFAB_OK);
    p.state = IFAB_PLAN_APPLYING;
    p.message32[0] = 8;
    assert_int_equal(load(plans, &p), IFAB_OK);
    assert_int_equal(ifab_plans_open(plans), 1);
    assert_int_equal(ifab_plans_applying(plans, IFAB_VIEW("if://capability/vmix.switcher")), 1);
    assert_int_equal(ifab_plans_applying(plans, IFAB_VIEW("if://capability/vmix.switch")), 0);
    for (int what = 0; what < 7; what++) {
        q = p;
        switch (what) {
        case 0: q.talent = 10; break;
        case 1: q.hash32[5] ^= 1; break;
        case 2: q.id16[5] ^= 1; break;
        case 3: q.params = IFAB_VIEW("{}"); break;
        case 4: q.message32[0] = 9; break;
        case 5: q.manifest32[0] ^= 1; break;
        default: q.capability = IFAB_VIEW("if://capability/a@1.0.0"); break;
        }
        assert_int_equal(load(plans, &q), IFAB_CORRUPT);
    }
    q = plan_of(4, 9); /* another plan with its hash, or its message */
    memcpy(q.hash32, p.hash32, 32);
    assert_int_equal(load(plans, &q), IFAB_CORRUPT);
    q = plan_of(4, 9);
    q.message32[0] = 8;
    assert_int_equal(load(plans, &q), IFAB_CORRUPT);
    assert_int_equal(ifab_plans_load(plans, 4, IFAB_VIEW(""), NULL), IFAB_CORRUPT);
    assert_ptr_equal(ifab_plan_by_message(plans, p.message32), ifab_plan_at(plans, 3));
    assert_ptr_equal(ifab_plan_by_hash(plans, p.hash32), ifab_plan_at(plans, 3));
    ifab_plans_free(plans);
}

static void rooms_and_ends(void **state)
{
    (void)state;
    struct ifab_plans *plans;
    struct ifab_refusal r = {.offset = -1, .retry_after_ms = -1};
    uint64_t numbers[8];
    ifab_usec due;
    assert_int_equal(ifab_plans_new(1, &plans), IFAB_OK);
    for (uint64_t i = 1; i <= IFAB_PLAN_PER_TALENT; i++) {
        assert_int_equal(ifab_plans_room(plans, 9, 400, &r), IFAB_CODE_NONE);
        struct ifab_plan p = plan_of(i, 9);
        p.expires += (ifab_usec)i * 1000;
        p.state = i == 1 ? IFAB_PLAN_APPLYING : i == 2 ? IFAB_PLAN_DANGLING : IFAB_PLAN_PLANNED;
        assert_int_equal(load(plans, &p), IFAB_OK);
    }
    assert_int_equal(ifab_plans_room(plans, 9, 400, &r), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(ifab_plans_room(plans, 10, 400, &r), IFAB_CODE_NONE);
    assert_int_equal(ifab_plans_room(plans, 10, IFAB_PLAN_BYTES_MAX, &r), IFAB_CODE_QUOTA_EXCEEDED);
    ifab_usec end = 1000 + IFAB_PLAN_LIFE + 5000;
    assert_int_equal(ifab_plans_expired(plans, end, numbers, 8, &due), 3); /* not those whose outcome nobody knows */
    assert_int_equal(numbers[0], 3);
    assert_int_equal(numbers[2], 5);
    assert_int_equal(due, end + 1000);
    assert_int_equal(ifab_plans_expired(plans, end, numbers, 2, &due), 2);
    assert_int_equal(due, end); /* one is left over */
    ifab_plans_free(plans);
}

static void the_oldest_that_ended_makes_room(void **state)
{
    (void)state;
    struct ifab_plans *plans;
    struct ifab_refusal r = {.offset = -1, .retry_after_ms = -1};
    assert_int_equal(ifab_plans_new(1, &plans), IFAB_OK);
    for (uint64_t i = 1; i <= IFAB_PLAN_ENDED_MAX + 1; i++) {
        struct ifab_plan p = plan_of(i, 9);
        p.state = i == 1 ? IFAB_PLAN_DANGLING : i % 2 == 0 ? IFAB_PLAN_DENIED : IFAB_PLAN_DONE;
        assert_int_equal(load(plans, &p), IFAB_OK);
        assert_int_equal(ifab_plans_spare(plans), i <= IFAB_PLAN_ENDED_MAX ? 0 : 2); /* what waits is passed over */
    }
    assert_int_equal(ifab_plans_room(plans, 9, 400, &r), IFAB_CODE_NONE); /* and those that have ended are in nobody's way */
    assert_int_equal(ifab_plans_load(plans, 2, IFAB_VIEW(""), NULL), IFAB_OK);
    assert_int_equal(ifab_plans_spare(plans), 0);
    ifab_plans_free(plans);
}

static void agrees_with_a_list(void **state)
{
    (void)state;
    struct ifab_plans *plans;
    static struct ifab_plan list[64];
    static bool there[64];
    unsigned seed = 7;
    assert_int_equal(ifab_plans_new(3, &plans), IFAB_OK);
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1103515245U + 12345U;
        size_t i = (seed >> 16) % 64;
        if (there[i] && (seed >> 24) % 3 == 0) {
            assert_int_equal(ifab_plans_load(plans, i + 1, IFAB_VIEW(""), NULL), IFAB_OK);
            there[i] = false;
        } else {
            list[i] = there[i] ? list[i] : plan_of(i + 1, (uint32_t)(i % 5 + 1));
            list[i].state = (enum ifab_plan_state)((seed >> 20) % IFAB_PLAN_STATE_COUNT);
            assert_int_equal(load(plans, &list[i]), IFAB_OK);
            there[i] = true;
        }
        size_t count = 0, open = 0;
        for (size_t n = 0; n < 64; n++) {
            count += there[n];
            open += there[n] && ifab_plan_is_running(&list[n]);
        }
        assert_int_equal(ifab_plans_count(plans), count);
        assert_int_equal(ifab_plans_open(plans), open);
        assert_int_equal(ifab_plans_applying(plans, IFAB_VIEW("if://capability/vmix.switcher")), open);
        assert_int_equal(ifab_plan_by_hash(plans, plan_of(i + 1, 1).hash32) != NULL, there[i]);
    }
    uint64_t before = 0;
    for (const struct ifab_plan *p = ifab_plan_next(plans, 0); p != NULL; p = ifab_plan_next(plans, p->number)) {
        assert_true(p->number > before && there[p->number - 1]);
        before = p->number;
    }
    ifab_plans_free(plans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_one_spelling),
        cmocka_unit_test(the_hash_covers_all_that_apply_looks_at),
        cmocka_unit_test(a_plan_is_followed_by_itself_alone),
        cmocka_unit_test(rooms_and_ends),
        cmocka_unit_test(the_oldest_that_ended_makes_room),
        cmocka_unit_test(agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
