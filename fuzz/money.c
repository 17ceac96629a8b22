/*
 * What the governor reads: records of budgets, states, reservations, breakers and prices (first byte: which). Whatever load takes is kept byte for byte,
 * and what follows from it can be done with it.
 */
#include "governor/breaker.h"
#include "governor/prices.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static void budget(struct ifab_view bytes)
{
    struct ifab_money *money = NULL;
    struct ifab_money_plan plan;
    require(ifab_money_new(1, &money) == IFAB_OK);
    if (ifab_money_load_budget(money, 3, bytes, NULL) == IFAB_OK && bytes.size > 0) {
        const struct ifab_budget *b = ifab_money_budget_at(money, 3);
        require(b != NULL && ifab_view_equal(b->record, bytes) && ifab_money_budget(money, b->id) == b && b->limit <= IFAB_MONEY_MAX);
        require(ifab_money_load_budget(money, 4, bytes, NULL) == IFAB_CORRUPT); /* its id and subject are taken */
        struct ifab_spend spend = {0};
        spend.subjects[b->subject] = b->name;
        spend.amounts[b->unit] = 1;
        enum ifab_code code = ifab_money_reserve(money, &spend, true, b->created, NULL, NULL, &plan, NULL);
        require(code == (b->limit > 0 ? IFAB_CODE_NONE : IFAB_CODE_BUDGET_EXCEEDED) && plan.count == (b->limit > 0 ? 1 : 0));
        ifab_money_charge(money, &spend, b->created, NULL, NULL, &plan);
        uint8_t packed[IFAB_BUDGET_STATE_PACKED];
        require(plan.count == 1 && plan.lines[0].next.settled + plan.lines[0].next.overrun == 1);
        require(ifab_money_load_state(money, 3, ifab_view_of(packed, ifab_budget_state_pack(&plan.lines[0].next, packed)), NULL) == IFAB_OK);
        struct ifab_buf record = IFAB_BUF_INIT(4096);
        struct ifab_budget_request again = {b->id, b->name, b->subject, b->unit, b->period, b->limit, b->created};
        uint64_t number;
        if (b->version < IFAB_MONEY_MAX) {
            require(ifab_budget_set(money, &again, &record, &number, NULL) == IFAB_CODE_NONE && number == 3);
            require(ifab_money_load_budget(money, 3, ifab_buf_as_view(&record), NULL) == IFAB_OK);
        }
        ifab_buf_fini(&record);
    }
    ifab_money_free(money);
}

static void reservation(struct ifab_view bytes)
{
    struct ifab_reservation *v = malloc(sizeof *v);
    uint8_t again[IFAB_RESERVATION_PACKED_MAX];
    struct ifab_money *money = NULL;
    require(v != NULL && ifab_money_new(1, &money) == IFAB_OK);
    if (bytes.size > 0 && ifab_money_load_reservation(money, 9, bytes, NULL) == IFAB_OK) {
        require(ifab_money_reservation_at(money, 9, v) && ifab_view_equal(ifab_view_of(again, ifab_reservation_pack(v, again)), bytes));
        struct ifab_money_plan plan;
        ifab_money_settle(money, v, v->spend.amounts, 0, NULL, NULL, &plan);
        require(plan.count == 0 && ifab_money_load_reservation(money, 9, (struct ifab_view){NULL, 0}, NULL) == IFAB_OK);
    }
    ifab_money_free(money);
    free(v);
}

static void packed(struct ifab_view bytes, bool breaker)
{
    struct ifab_budget_state s;
    struct ifab_breaker b, next;
    uint8_t again[IFAB_BREAKER_PACKED_MAX];
    if (!breaker && ifab_budget_state_unpack(bytes, &s))
        require(ifab_view_equal(ifab_view_of(again, ifab_budget_state_pack(&s, again)), bytes) && ifab_budget_left(IFAB_MONEY_MAX, &s) <= IFAB_MONEY_MAX);
    if (breaker && ifab_breaker_unpack(bytes, 1, &b)) {
        struct ifab_slo slo = {950, 500};
        struct ifab_ratio ratio = ifab_service_reputation(&b.service, &slo);
        require(ifab_view_equal(ifab_view_of(again, ifab_breaker_pack(&b, again)), bytes) && ratio.den > 0 && ratio.num <= ratio.den);
        (void)ifab_breaker_admit(&b, b.opened, &next, NULL);
        (void)ifab_breaker_note(&b, IFAB_VERDICT_FAILED, 0, b.opened);
        require(ifab_breaker_unpack(ifab_view_of(again, ifab_breaker_pack(&b, again)), 1, &next));
    }
}

static void prices(struct ifab_view bytes)
{
    struct ifab_prices *table = NULL;
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_buf record = IFAB_BUF_INIT(4 * IFAB_PRICE_RECORD_MAX);
    ifab_arena_init(&arena, (size_t)8 << 20);
    require(ifab_prices_new(&table) == IFAB_OK);
    if (bytes.size > 0 && ifab_prices_load(table, bytes, NULL) == IFAB_OK)
        require(ifab_view_equal(ifab_prices_record(table), bytes));
    const struct ifab_json_limits limits = {.max_size = IFAB_PRICE_RECORD_MAX};
    if (ifab_json_read(bytes, &limits, &arena, &tree, NULL) == IFAB_OK && ifab_prices_set(tree, &record, NULL) == IFAB_CODE_NONE) {
        require(ifab_prices_load(table, ifab_buf_as_view(&record), NULL) == IFAB_OK); /* what was set can be loaded */
        for (size_t i = 0; i < ifab_prices_count(table); i++) {
            const struct ifab_price *p = ifab_prices_at(table, i);
            uint64_t usd;
            require(ifab_prices_find(table, p->model, p->from) == p);
            (void)ifab_price_cost(p, IFAB_MONEY_MAX, IFAB_MONEY_MAX, IFAB_MONEY_MAX, &usd);
        }
    }
    ifab_prices_free(table);
    ifab_buf_fini(&record);
    ifab_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct ifab_view bytes = {data + 1, size - 1};
    switch (data[0] % 5) {
    case 0:
        budget(bytes);
        break;
    case 1:
        packed(bytes, false);
        break;
    case 2:
        reservation(bytes);
        break;
    case 3:
        packed(bytes, true);
        break;
    default:
        prices(bytes);
        break;
    }
    return 0;
}
