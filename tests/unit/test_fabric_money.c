/* Budgets, costs, reservations, prices and breakers as commands: authority, numbers, what stands in the log, what a start finds, what time ends.
 * INV-10, INV-13, INV-16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "capability_support.h"

#include "base/id.h"
#include "json/json.h"

static struct rig rig;
static struct ifab_principal agent_a, agent_b;
enum { ADM = 2, A, B };
static char id[41]; /* of the last reservation */

static struct ifab_principal agent(uint32_t number, const char *name)
{
    struct ifab_principal p = {.kind = IFAB_PRINCIPAL_TALENT, .role = IFAB_ROLE_AGENT, .talent = number, .uid = 0x80000000U | number};
    snprintf(p.actor, sizeof p.actor, "if://agent/%s", name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    assert_int_equal(rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT), ADM);
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT), A);
    assert_int_equal(rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT), B);
    agent_a = agent(A, "A");
    agent_b = agent(B, "B");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

/* ---- acts ---- */

static void swarm(const char *name)
{
    struct ifab_view skills[] = {IFAB_VIEW("sql")};
    struct ifab_command c = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    c.u.swarm.request = (struct ifab_swarm_request){.id = ifab_view_str(name), .skills = skills, .skill_count = 1};
    assert_int_equal(rig_do(&rig, &c)->code, IFAB_CODE_NONE);
}

static enum ifab_code set(const char *budget, enum ifab_subject subject, const char *name, enum ifab_unit unit, enum ifab_period period, uint64_t limit,
                          uint32_t signer)
{
    struct ifab_command command = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.budget.request = (struct ifab_budget_request){
        .id = ifab_view_str(budget), .name = ifab_view_str(name), .subject = subject, .unit = unit, .period = period, .limit = limit};
    command.act = signer == 0 ? NULL : rig_act(&rig, signer);
    return rig_do(&rig, &command)->code;
}

static void have(const char *budget, enum ifab_subject subject, const char *name, enum ifab_unit unit, enum ifab_period period, uint64_t limit)
{
    if (set(budget, subject, name, unit, period, limit, ADM) != IFAB_CODE_NONE)
        fail_msg("%s", rig.outcome.reply.refusal.message);
}

static struct ifab_command cost_command(enum ifab_command_type type, const struct ifab_principal *who, uint64_t usd)
{
    struct ifab_command command = {.type = type, .principal = who};
    command.u.cost.cost = (struct ifab_cost){.has_usd = true, .usd_micro = usd};
    command.u.cost.operation = IFAB_VIEW("chat");
    command.u.cost.ttl = 60 * IFAB_SECOND;
    return command;
}

static enum ifab_code spend(const struct ifab_principal *who, uint64_t usd)
{
    struct ifab_command command = cost_command(IFAB_COMMAND_COST, who, usd);
    return rig_do(&rig, &command)->code;
}

static enum ifab_code reserve(const struct ifab_principal *who, uint64_t usd)
{
    struct ifab_command command = cost_command(IFAB_COMMAND_RESERVE, who, usd);
    const struct ifab_reply *reply = rig_do(&rig, &command);
    if (reply->code == IFAB_CODE_NONE) {
        const char *at = memmem(reply->body.data, reply->body.size, "rsv-", 4);
        assert_non_null(at);
        memcpy(id, at, 40);
        id[40] = '\0';
    }
    return reply->code;
}

static enum ifab_code end(const struct ifab_principal *who, const char *reservation, bool release, uint64_t usd)
{
    struct ifab_command command = cost_command(IFAB_COMMAND_SETTLE, who, usd);
    command.u.cost.id = ifab_view_str(reservation);
    command.u.cost.release = release;
    return rig_do(&rig, &command)->code;
}

static struct ifab_budget_state state_of(const char *budget)
{
    const struct ifab_budget *b = ifab_money_budget(ifab_fabric_money(rig.fabric), ifab_view_str(budget));
    assert_non_null(b);
    return ifab_budget_now(b->period, &b->state, rig.now.wall);
}

#define EXPECT(budget, settled_, reserved_, overrun_)                     \
    do {                                                                  \
        struct ifab_budget_state s_ = state_of(budget);                   \
        assert_int_equal(s_.settled, settled_);                           \
        assert_int_equal(s_.reserved, reserved_);                         \
        assert_int_equal(s_.overrun, overrun_);                           \
    } while (0)

static size_t entries_with(const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < rig.entry_count; i++)
        count += memmem(rig.entries[i].bytes, rig.entries[i].size, text, strlen(text)) != NULL;
    return count;
}

static bool body_has(const char *text)
{
    struct ifab_view body = rig.outcome.reply.body;
    return memmem(body.data, body.size, text, strlen(text)) != NULL;
}

/* Sum of usd_micro over all entries that carry a cost: what a report sums. */
static uint64_t logged(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < rig.entry_count; i++) {
        struct ifab_arena arena;
        const struct ifab_json *tree;
        int64_t usd = 0;
        ifab_arena_init(&arena, (size_t)1 << 20);
        assert_int_equal(ifab_json_read(ifab_view_of(rig.entries[i].bytes, rig.entries[i].size), NULL, &arena, &tree, NULL), IFAB_OK);
        struct ifab_buf again = IFAB_BUF_INIT(70000);
        ifab_json_write(&again, tree);
        assert_true(ifab_view_equal(ifab_buf_as_view(&again), ifab_view_of(rig.entries[i].bytes, rig.entries[i].size))); /* canonical */
        ifab_buf_fini(&again);
        (void)ifab_json_integer(ifab_json_get(ifab_json_get(tree, "cost"), "usd_micro"), &usd);
        sum += (uint64_t)usd;
        ifab_arena_fini(&arena);
    }
    return sum;
}

/* ---- tests ---- */

/* INV-16: a limit is an admin's, stands whole in its entry, and an edited one is found at a start. */
static void a_limit_takes_an_admin_and_stands_in_the_log(void **state)
{
    (void)state;
    assert_int_equal(set("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1000, 0), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(set("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1000, A), IFAB_CODE_PERMISSION_DENIED);
    assert_null(ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("a")));
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1000);
    assert_int_equal(rig.outcome.reply.http, 201);
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 2000);
    assert_int_equal(rig.outcome.reply.http, 200);
    const struct ifab_budget *b = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("a"));
    char whole[1200];
    snprintf(whole, sizeof whole, "\"payload\":{\"record\":" IFAB_FMT "}", IFAB_ARG(b->record));
    assert_non_null(strstr(rig_last(&rig), whole));
    uint64_t number = b->number;
    rig_restart(&rig);
    struct ifab_fabric *fabric = NULL;
    struct rig_record *record = rig_record(&rig, IFAB_KIND_BUDGET, number);
    for (size_t i = 0; i < record->size; i++) {
        record->bytes[i] ^= 1;
        assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
        record->bytes[i] ^= 1;
    }
    uint8_t *bytes = record->bytes; /* gone, with its state: nobody has a limit any more */
    struct rig_record *kept_state = rig_record(&rig, IFAB_KIND_BUDGET_STATE, number);
    uint8_t *state_bytes = kept_state->bytes;
    record->bytes = kept_state->bytes = NULL;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
    record->bytes = bytes;
    kept_state->bytes = state_bytes;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_OK);
    ifab_fabric_free(fabric);
}

static void a_budget_counts_one_thing_for_good(void **state)
{
    (void)state;
    swarm("A");
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1000);
    static const struct {
        const char *id, *name;
        enum ifab_subject subject;
        enum ifab_unit unit;
        enum ifab_period period;
        uint64_t limit;
        enum ifab_code code;
    } cases[] = {
        {"a", "B", IFAB_SUBJECT_TALENT, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1, IFAB_CODE_CONFLICT},
        {"a", "A", IFAB_SUBJECT_SWARM, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1, IFAB_CODE_CONFLICT},
        {"a", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_TOKENS, IFAB_PERIOD_DAY, 1, IFAB_CODE_CONFLICT},
        {"a", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_WEEK, 1, IFAB_CODE_CONFLICT},
        {"A", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1, IFAB_CODE_CONFLICT}, /* differs only in case */
        {"b", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1, IFAB_CODE_CONFLICT}, /* counts the same */
        {"b", "nobody", IFAB_SUBJECT_TALENT, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1, IFAB_CODE_TALENT_NOT_FOUND},
        {"b", "nobody", IFAB_SUBJECT_SWARM, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 1, IFAB_CODE_NOT_FOUND}, /* it would bind nobody */
        {"b..c", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_CALLS, IFAB_PERIOD_DAY, 1, IFAB_CODE_INVALID_PARAMS},
        {"b", "a b", IFAB_SUBJECT_PROVIDER, IFAB_UNIT_CALLS, IFAB_PERIOD_DAY, 1, IFAB_CODE_INVALID_PARAMS},
        {"b", "if://agent/A", IFAB_SUBJECT_CAPABILITY, IFAB_UNIT_CALLS, IFAB_PERIOD_DAY, 1, IFAB_CODE_INVALID_PARAMS},
        {"b", "not-a-trace", IFAB_SUBJECT_TRACE, IFAB_UNIT_CALLS, IFAB_PERIOD_DAY, 1, IFAB_CODE_INVALID_PARAMS},
        {"b", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_CALLS, IFAB_PERIOD_DAY, IFAB_MONEY_MAX + 1, IFAB_CODE_INVALID_PARAMS},
        {"b", "A", IFAB_SUBJECT_TALENT, IFAB_UNIT_CALLS, IFAB_PERIOD_DAY, IFAB_MONEY_MAX, IFAB_CODE_NONE},
        {"c", "if://capability/vmix.switcher", IFAB_SUBJECT_CAPABILITY, IFAB_UNIT_CALLS, IFAB_PERIOD_HOUR, 0, IFAB_CODE_NONE},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        enum ifab_code code = set(cases[i].id, cases[i].subject, cases[i].name, cases[i].unit, cases[i].period, cases[i].limit, ADM);
        if (code != cases[i].code)
            fail_msg("case %zu: %d, expected %d: %s", i, (int)code, (int)cases[i].code, rig.outcome.reply.refusal.message);
    }
    rig_restart(&rig);
}

/* INV-10: reserve, settle less, equal, more; release; what was spent stands in the log once. */
static void reserved_settled_released(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 1000);
    assert_int_equal(reserve(&agent_a, 400), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 201);
    EXPECT("a", 0, 400, 0);
    assert_int_equal(reserve(&agent_a, 601), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(end(&agent_a, id, false, 300), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 200);
    EXPECT("a", 300, 0, 0);
    assert_int_equal(end(&agent_a, id, false, 300), IFAB_CODE_NOT_FOUND); /* twice */
    assert_int_equal(end(&agent_a, id, true, 0), IFAB_CODE_NOT_FOUND);
    EXPECT("a", 300, 0, 0);
    assert_int_equal(reserve(&agent_a, 100), IFAB_CODE_NONE);
    assert_int_equal(end(&agent_a, id, true, 0), IFAB_CODE_NONE);
    EXPECT("a", 300, 0, 0);
    assert_int_equal(end(&agent_a, id, true, 0), IFAB_CODE_NOT_FOUND);
    assert_int_equal(reserve(&agent_a, 100), IFAB_CODE_NONE);
    assert_int_equal(end(&agent_a, id, false, 500), IFAB_CODE_NONE); /* more than reserved, and it fits */
    EXPECT("a", 800, 0, 0);
    assert_int_equal(reserve(&agent_a, 100), IFAB_CODE_NONE);
    assert_int_equal(end(&agent_a, id, false, 250), IFAB_CODE_NONE); /* does not fit: recorded all the same, and the answer says so */
    assert_int_equal(rig.outcome.reply.http, 402);
    assert_true(body_has("\"error\":{\"code\":\"IF_ERR_301\"") && body_has("\"over\":[\"a\"]"));
    EXPECT("a", 1000, 0, 50);
    assert_int_equal(entries_with("\"operation\":\"budget_overrun\""), 1);
    assert_int_equal(reserve(&agent_a, 1), IFAB_CODE_BUDGET_EXCEEDED); /* it blocks the next */
    assert_int_equal(spend(&agent_a, 5), IFAB_CODE_NONE); /* what was spent is never lost */
    assert_int_equal(rig.outcome.reply.http, 402);
    EXPECT("a", 1000, 0, 55);
    assert_int_equal(logged(), 300 + 500 + 250 + 5);
    rig_restart(&rig);
    EXPECT("a", 1000, 0, 55);
    assert_int_equal(spend(&agent_b, 7), IFAB_CODE_NONE);
    assert_int_equal(rig.outcome.reply.http, 201);
    EXPECT("a", 1000, 0, 55); /* another's */
}

/* Several budgets at once: all or none. */
static void all_budgets_or_none(void **state)
{
    (void)state;
    have("talent", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 1000);
    have("provider", IFAB_SUBJECT_PROVIDER, "openai", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_DAY, 100);
    have("calls", IFAB_SUBJECT_PROVIDER, "openai", IFAB_UNIT_CALLS, IFAB_PERIOD_HOUR, 2);
    struct ifab_command command = cost_command(IFAB_COMMAND_RESERVE, &agent_a, 101);
    command.u.cost.provider = IFAB_VIEW("openai");
    command.u.cost.cost.calls = 1;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_BUDGET_EXCEEDED);
    assert_non_null(strstr(rig.outcome.reply.refusal.message, "provider"));
    EXPECT("talent", 0, 0, 0);
    EXPECT("calls", 0, 0, 0);
    command.u.cost.cost.usd_micro = 40;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    command.u.cost.cost.usd_micro = 1;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_BUDGET_EXCEEDED); /* calls */
    EXPECT("talent", 0, 80, 0);
    EXPECT("provider", 0, 80, 0);
    EXPECT("calls", 0, 2, 0);
    rig_restart(&rig);
    EXPECT("calls", 0, 2, 0);
}

static void whose_money_it_is(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 1000);
    struct ifab_command command = cost_command(IFAB_COMMAND_COST, &agent_b, 900);
    command.u.cost.talent = IFAB_VIEW("A");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_PERMISSION_DENIED); /* in another's name */
    command = cost_command(IFAB_COMMAND_COST, &agent_b, 900);
    command.u.cost.swarm = IFAB_VIEW("s");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_PERMISSION_DENIED);
    for (unsigned type = IFAB_COMMAND_COST; type <= IFAB_COMMAND_RESERVE; type += IFAB_COMMAND_RESERVE - IFAB_COMMAND_COST) { /* an operator's: nobody's */
        command = cost_command((enum ifab_command_type)type, &rig.principal, 900);
        command.u.cost.swarm = IFAB_VIEW("s");
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NOT_FOUND);
        assert_true(ifab_view_is(ifab_view_str(rig.outcome.reply.refusal.field), "swarm"));
    }
    assert_int_equal(reserve(&agent_a, 100), IFAB_CODE_NONE);
    assert_int_equal(end(&agent_b, id, false, 1), IFAB_CODE_PERMISSION_DENIED); /* another's reservation */
    assert_int_equal(end(&agent_b, id, true, 0), IFAB_CODE_PERMISSION_DENIED);
    EXPECT("a", 0, 100, 0);
    assert_int_equal(end(&rig.principal, id, false, 60), IFAB_CODE_NONE); /* an operator may */
    EXPECT("a", 60, 0, 0);
    command = cost_command(IFAB_COMMAND_COST, &rig.principal, 40);
    command.u.cost.talent = IFAB_VIEW("A");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    EXPECT("a", 100, 0, 0);
    command.u.cost.talent = IFAB_VIEW("nobody");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_TALENT_NOT_FOUND);
    struct ifab_principal reader = agent_a;
    reader.role = IFAB_ROLE_READONLY;
    assert_int_equal(spend(&reader, 1), IFAB_CODE_PERMISSION_DENIED);
    struct ifab_principal nobody = {.kind = IFAB_PRINCIPAL_NONE};
    assert_int_equal(spend(&nobody, 1), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(spend(&agent_a, IFAB_COST_REPORT_USD_MAX + 1), IFAB_CODE_INVALID_PARAMS); /* a lie cannot use up everybody's budget */
    assert_int_equal(spend(&rig.principal, IFAB_COST_REPORT_USD_MAX + 1), IFAB_CODE_NONE);
    assert_int_equal(spend(&agent_a, 0), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(reserve(&agent_a, 0), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(end(&agent_a, "rsv-00000000-0000-7000-8000-000000000000", true, 0), IFAB_CODE_NOT_FOUND);
    assert_int_equal(end(&agent_a, "nonsense", true, 0), IFAB_CODE_NOT_FOUND);
}

/* The same request again, with its key: told again, counted once. */
static void a_replayed_report_counts_once(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 100);
    struct ifab_command command = cost_command(IFAB_COMMAND_COST, &agent_a, 150);
    command.idempotency = IFAB_VIEW("once");
    command.request16[0] = 7;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        assert_int_equal(rig.outcome.reply.http, 402);
        assert_int_equal(rig.outcome.reply.replayed, i > 0);
        EXPECT("a", 100, 0, 50);
        rig_restart(&rig);
    }
    command.body32[0] = 1;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_CONFLICT);
    EXPECT("a", 100, 0, 50);
    assert_int_equal(logged(), 150);
}

/* As many budgets as one act can touch, with the longest names: its answer is still kept, so it counts once. */
static void an_act_on_many_budgets_is_kept_too(void **state)
{
    (void)state;
    static const char long_name[] = "N234567890123456789012345678901234567890123456789012345678901234";
    size_t made = 0;
    swarm(long_name);
    for (enum ifab_subject s = IFAB_SUBJECT_PROVIDER; s <= IFAB_SUBJECT_SWARM; s++)
        for (enum ifab_unit unit = 0; unit < IFAB_UNIT_COUNT; unit++)
            for (enum ifab_period period = 0; period < IFAB_PERIOD_COUNT; period++, made++) {
                char budget[65];
                snprintf(budget, sizeof budget, "%02zu%062d", made, 7);
                have(budget, s, s == IFAB_SUBJECT_TALENT ? "A" : long_name, unit, period, 10);
            }
    for (int reserves = 1; reserves >= 0; reserves--) {
        struct ifab_command command = cost_command(reserves ? IFAB_COMMAND_RESERVE : IFAB_COMMAND_COST, &rig.principal, reserves ? 1 : 50);
        command.u.cost.talent = IFAB_VIEW("A");
        command.u.cost.provider = command.u.cost.capability = command.u.cost.swarm = ifab_view_str(long_name);
        command.u.cost.cost.tokens_in = command.u.cost.cost.calls = reserves ? 1 : 50;
        command.idempotency = IFAB_VIEW("many");
        command.request16[0] = (uint8_t)(9 + reserves);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        assert_int_equal(rig.outcome.reply.http, reserves ? 201 : 402);
        size_t entries = rig.entry_count;
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        assert_true(rig.outcome.reply.replayed);
        assert_int_equal(rig.entry_count, entries);
    }
    assert_int_equal(made, 60);
    assert_int_equal(entries_with("\"operation\":\"budget_overrun\""), 60);
    assert_int_equal(entries_with("\"operation\":\"budget_stop\""), 60);
}

/* 50, 80, 95, 100 %: each once a period, and again under a changed limit. At 95 % only what is urgent goes on. */
static void levels_stand_once_in_the_log(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR, 100);
    static const struct {
        uint64_t usd;
        size_t notice, warn, pause, stop;
    } steps[] = {{49, 0, 0, 0, 0}, {1, 1, 0, 0, 0}, {29, 1, 0, 0, 0}, {1, 1, 1, 0, 0}, {14, 1, 1, 0, 0}, {1, 1, 1, 1, 0}, {4, 1, 1, 1, 0}};
    for (size_t i = 0; i < IFAB_COUNT(steps); i++) {
        assert_int_equal(spend(&agent_a, steps[i].usd), IFAB_CODE_NONE);
        assert_int_equal(entries_with("\"operation\":\"budget_notice\""), steps[i].notice);
        assert_int_equal(entries_with("\"operation\":\"budget_warn\""), steps[i].warn);
        assert_int_equal(entries_with("\"operation\":\"budget_pause\""), steps[i].pause);
        assert_int_equal(entries_with("\"operation\":\"budget_stop\""), steps[i].stop);
        rig_restart(&rig);
    }
    assert_int_equal(reserve(&agent_a, 1), IFAB_CODE_BUDGET_EXCEEDED); /* paused: 99 of 100 */
    assert_non_null(strstr(rig.outcome.reply.refusal.message, "paused"));
    struct ifab_command urgent = cost_command(IFAB_COMMAND_RESERVE, &agent_a, 1);
    urgent.u.cost.urgent = true;
    assert_int_equal(rig_do(&rig, &urgent)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &urgent)->code, IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(spend(&agent_a, 1), IFAB_CODE_NONE); /* the place is held: this one has no room */
    EXPECT("a", 99, 1, 1);
    assert_int_equal(entries_with("\"operation\":\"budget_stop\""), 1);
    assert_int_equal(spend(&agent_a, 1), IFAB_CODE_NONE);
    assert_int_equal(entries_with("\"operation\":\"budget_stop\""), 1);
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR, 1000); /* raised: begins anew */
    assert_int_equal(spend(&agent_a, 450), IFAB_CODE_NONE);
    assert_int_equal(entries_with("\"operation\":\"budget_notice\""), 2);
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR, 500); /* lowered below what was spent */
    assert_int_equal(entries_with("\"operation\":\"budget_stop\""), 2);
    assert_int_equal(reserve(&agent_a, 1), IFAB_CODE_BUDGET_EXCEEDED);
    have("none", IFAB_SUBJECT_TALENT, "B", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR, 0); /* nothing at all */
    assert_int_equal(reserve(&agent_b, 1), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(entries_with("\"operation\":\"budget_stop\""), 3);
}

/* By the UTC calendar and the times of entries: a period ends once, also when the clock goes back afterwards. */
static void a_period_ends_once(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR, 100);
    have("b", IFAB_SUBJECT_TALENT, "B", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_HOUR, 100);
    assert_int_equal(spend(&agent_b, 60), IFAB_CODE_NONE);
    assert_int_equal(spend(&agent_a, 60), IFAB_CODE_NONE);
    assert_int_equal(reserve(&agent_a, 40), IFAB_CODE_NONE); /* held over the end of the period */
    assert_int_equal(reserve(&agent_a, 1), IFAB_CODE_BUDGET_EXCEEDED);
    rig.now.wall += 38 * IFAB_MINUTE - IFAB_SECOND; /* 10:59:59 */
    assert_int_equal(reserve(&agent_a, 1), IFAB_CODE_BUDGET_EXCEEDED);
    rig.now.wall += IFAB_SECOND;
    char first[41];
    memcpy(first, id, sizeof first);
    assert_int_equal(reserve(&agent_a, 100), IFAB_CODE_NONE); /* a new hour */
    assert_int_equal(end(&agent_a, first, false, 40), IFAB_CODE_NONE); /* paid from the hour in which it was reserved */
    EXPECT("a", 0, 100, 0);
    assert_int_equal(end(&agent_a, id, false, 100), IFAB_CODE_NONE);
    EXPECT("a", 100, 0, 0);
    rig.now.wall -= IFAB_HOUR; /* back: the hour before does not come again */
    assert_int_equal(reserve(&agent_a, 1), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(spend(&agent_a, 3), IFAB_CODE_NONE);
    EXPECT("a", 100, 0, 3);
    assert_int_equal(spend(&agent_b, 7), IFAB_CODE_NONE); /* nor for one that was not used in the new one: the log has gone on */
    EXPECT("b", 7, 0, 0);
    rig_restart(&rig);
    rig.now.wall += 2 * IFAB_HOUR;
    assert_int_equal(reserve(&agent_a, 100), IFAB_CODE_NONE); /* nothing is carried over */
}

/* INV-10: a crash between reserve and settle. What is held stays held, is settled afterwards, or is reported and free again at its deadline. */
static void what_a_crash_leaves_is_reported_and_released(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 100);
    assert_int_equal(reserve(&agent_a, 30), IFAB_CODE_NONE);
    char first[41];
    memcpy(first, id, sizeof first);
    assert_int_equal(reserve(&agent_a, 30), IFAB_CODE_NONE);
    assert_int_equal(reserve(&agent_a, 30), IFAB_CODE_NONE);
    rig_restart(&rig);
    EXPECT("a", 0, 90, 0);
    assert_int_equal(reserve(&agent_a, 11), IFAB_CODE_BUDGET_EXCEEDED);
    assert_int_equal(end(&agent_a, first, false, 10), IFAB_CODE_NONE);
    EXPECT("a", 10, 60, 0);
    rig_pass(&rig, 59 * IFAB_SECOND);
    EXPECT("a", 10, 60, 0);
    rig_pass(&rig, 2 * IFAB_SECOND); /* both in one step: each sees what the other gave back */
    EXPECT("a", 10, 0, 0);
    assert_int_equal(entries_with("\"operation\":\"expired\""), 2);
    assert_int_equal(end(&agent_a, id, false, 30), IFAB_CODE_NOT_FOUND);
    assert_non_null(rig.outcome.reply.refusal.hint);
    assert_int_equal(ifab_money_reservation_count(ifab_fabric_money(rig.fabric)), 0);
    rig_restart(&rig);
}

/* A stored state that is not the sum of its reservations is found. */
static void edited_states_are_found_at_a_start(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 100);
    assert_int_equal(reserve(&agent_a, 30), IFAB_CODE_NONE);
    struct ifab_fabric *fabric = NULL;
    uint64_t number = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("a"))->number;
    struct rig_record *record = rig_record(&rig, IFAB_KIND_BUDGET_STATE, number);
    record->bytes[24] ^= 1; /* reserved */
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
    record->bytes[24] ^= 1;
    record->size--;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
    record->size++;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_OK);
    ifab_fabric_free(fabric);
}

static const char sonnet[] = "{\"rows\":[{\"from\":\"2025-01-01T00:00:00Z\",\"in_usd_micro_per_mtok\":3000000,\"model\":\"claude-sonnet-4.5\","
                             "\"out_usd_micro_per_mtok\":15000000,\"provider\":\"anthropic\"},{\"from\":\"2030-01-01T00:00:00Z\","
                             "\"in_usd_micro_per_mtok\":1,\"model\":\"claude-sonnet-4.5\",\"out_usd_micro_per_mtok\":1}]}";

static enum ifab_code rates(const char *text, uint32_t signer)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, (size_t)1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(text), NULL, &arena, &tree, NULL), IFAB_OK);
    struct ifab_command command = {.type = IFAB_COMMAND_RATES, .principal = &rig.principal, .why = IFAB_VIEW("new prices")};
    command.u.rates.table = tree;
    command.act = signer == 0 ? NULL : rig_act(&rig, signer);
    enum ifab_code code = rig_do(&rig, &command)->code;
    ifab_arena_fini(&arena);
    return code;
}

/* FL-OPT-4, FL-OPT-5: by a dated table, whose version stands in the entry. */
static void priced_by_a_dated_table(void **state)
{
    (void)state;
    struct ifab_command command = cost_command(IFAB_COMMAND_COST, &agent_a, 0);
    command.u.cost.cost = (struct ifab_cost){.tokens_in = 1000000, .tokens_out = 1000000, .model = IFAB_VIEW("claude-sonnet-4.5")};
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_INVALID_PARAMS); /* no price holds: nothing is guessed */
    assert_int_equal(rates(sonnet, 0), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(rates("{\"rows\":[]}", ADM), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(rates(sonnet, ADM), IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), "\"payload\":{\"record\":{\"rows\":[{\"from\":\"2025-01-01T00:00:00.000Z\""));
    rig_restart(&rig);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    struct ifab_buf expected = IFAB_BUF_INIT(512);
    ifab_buf_str(&expected, "\"cost\":{\"calls\":0,\"model\":\"claude-sonnet-4.5\",\"rates\":\"sha256:");
    ifab_buf_hex(&expected, ifab_prices_digest(ifab_fabric_prices(rig.fabric)), 32);
    ifab_buf_str(&expected, "\",\"tokens_in\":1000000,\"tokens_out\":1000000,\"usd_micro\":18000000}");
    assert_int_equal(expected.failed, IFAB_OK);
    ifab_buf_char(&expected, '\0');
    assert_non_null(strstr(rig_last(&rig), (const char *)expected.data));
    ifab_buf_fini(&expected);
    struct ifab_fabric *fabric = NULL;
    struct rig_record *record = rig_record(&rig, IFAB_KIND_PRICES, 1);
    for (size_t i = 0; i < record->size; i += 7) {
        record->bytes[i] ^= 1;
        assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
        record->bytes[i] ^= 1;
    }
    assert_int_equal(logged(), 18000000);
}

/* Of a trace: kept until it was idle for a day and holds nothing. */
static void a_trace_budget_ends_when_idle(void **state)
{
    (void)state;
    static const char trace[] = "0190a000-0000-7000-8000-000000000001";
    have("t", IFAB_SUBJECT_TRACE, trace, IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 100);
    struct ifab_command command = cost_command(IFAB_COMMAND_RESERVE, &agent_a, 60);
    command.u.cost.ttl = IFAB_HOUR;
    assert_int_equal(ifab_uuid_parse(ifab_view_str(trace), command.trace16), IFAB_OK);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    EXPECT("t", 0, 60, 0);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_BUDGET_EXCEEDED);
    rig_pass(&rig, IFAB_HOUR + IFAB_SECOND); /* released: idle from here */
    EXPECT("t", 0, 0, 0);
    rig_pass(&rig, IFAB_DAY - 10 * IFAB_SECOND);
    assert_int_equal(ifab_money_budget_count(ifab_fabric_money(rig.fabric), true), 1);
    rig_pass(&rig, 20 * IFAB_SECOND);
    assert_int_equal(ifab_money_budget_count(ifab_fabric_money(rig.fabric), true), 0);
    assert_int_equal(entries_with("\"operation\":\"budget_ended\""), 1);
    rig_restart(&rig);
}

static enum ifab_code reset(const char *name, const struct ifab_principal *who, const char *why)
{
    struct ifab_command command = {.type = IFAB_COMMAND_BREAKER_RESET, .principal = who, .why = ifab_view_str(why)};
    command.u.breaker.kind = IFAB_BREAKER_SWARM;
    command.u.breaker.name = ifab_view_str(name);
    return rig_do(&rig, &command)->code;
}

/* FL-GOV-7, FL-GOV-8: a swarm that passed its budget is stopped until a person says why it may go on. The account stays as it is. */
static void a_swarm_over_its_budget_is_stopped_by_its_breaker(void **state)
{
    (void)state;
    swarm("alpha");
    have("s", IFAB_SUBJECT_SWARM, "alpha", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 10);
    assert_int_equal(reset("alpha", &rig.principal, "no reason"), IFAB_CODE_NOT_FOUND);
    struct ifab_command command = cost_command(IFAB_COMMAND_COST, &rig.principal, 8);
    command.u.cost.swarm = IFAB_VIEW("alpha");
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    const struct ifab_breakers *breakers = ifab_fabric_breakers(rig.fabric);
    assert_null(ifab_breakers_find(breakers, IFAB_BREAKER_SWARM, IFAB_VIEW("alpha")));
    command.u.cost.cost.usd_micro = 5;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
        assert_int_equal(rig.outcome.reply.http, 402);
        assert_int_equal(ifab_breakers_find(breakers, IFAB_BREAKER_SWARM, IFAB_VIEW("alpha"))->state, IFAB_BREAKER_OPEN);
        assert_int_equal(entries_with("\"component\":\"CircuitBreaker\""), 1); /* tripped once */
    }
    assert_int_equal(entries_with("\"severity\":\"HIGH\",\"subject\":\"swarm:alpha\""), 1);
    rig_restart(&rig);
    assert_int_equal(reset("alpha", &agent_a, "please"), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(reset("alpha", &rig.principal, ""), IFAB_CODE_INVALID_PARAMS);
    EXPECT("s", 10, 0, 8);
    assert_int_equal(reset("alpha", &rig.principal, "the bill was wrong"), IFAB_CODE_NONE);
    assert_non_null(strstr(rig_last(&rig), "\"why\":\"the bill was wrong\""));
    EXPECT("s", 10, 0, 8);
    assert_int_equal(reset("alpha", &rig.principal, "again"), IFAB_CODE_CONFLICT);
    rig_restart(&rig);
    assert_int_equal(ifab_breakers_find(ifab_fabric_breakers(rig.fabric), IFAB_BREAKER_SWARM, IFAB_VIEW("alpha"))->state, IFAB_BREAKER_CLOSED);
}

/* Floods are bounded: a rate of a (talent, capability), a number of reservations of one talent. */
static void floods_are_bounded(void **state)
{
    (void)state;
    struct ifab_command command = cost_command(IFAB_COMMAND_COST, &agent_a, 1);
    for (uint32_t i = 0; i < rig.settings.cost_burst; i++)
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_RATE_LIMIT_EXCEEDED);
    assert_true(rig.outcome.reply.refusal.retry_after_ms > 0);
    assert_int_equal(spend(&agent_b, 1), IFAB_CODE_NONE); /* another is not affected */
    capability_publish(&rig, ADM);
    capability_allow(&rig, ADM, "vmix.switcher", "1.0.0", CAPABILITY_SWITCHER);
    static const char *const spelled[] = {"vmix.switcher", "if://capability/vmix.switcher", "if://capability/vmix.switcher@1.0.0"};
    for (uint32_t i = 0; i <= rig.settings.cost_burst; i++) { /* nor another capability, which has one bucket by all its names */
        command.u.cost.capability = ifab_view_str(spelled[i % IFAB_COUNT(spelled)]);
        assert_int_equal(rig_do(&rig, &command)->code, i < rig.settings.cost_burst ? IFAB_CODE_NONE : IFAB_CODE_RATE_LIMIT_EXCEEDED);
    }
    size_t before = rig.entry_count;
    for (int i = 0; i < 1000; i++) { /* and a word that names none is no way around it */
        char word[48];
        snprintf(word, sizeof word, i % 2 == 0 ? "x%d" : "if://capability/x%d", i / 4);
        command.u.cost.capability = ifab_view_str(i < 10 ? "" : word);
        assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_RATE_LIMIT_EXCEEDED);
    }
    assert_true(rig.entry_count - before <= 10);
    rig_pass(&rig, IFAB_SECOND);
    for (uint32_t i = 0; i < rig.settings.cost_rate; i++)
        assert_int_equal(spend(&agent_a, 1), IFAB_CODE_NONE);
    assert_int_equal(spend(&agent_a, 1), IFAB_CODE_RATE_LIMIT_EXCEEDED);
    enum ifab_code code = IFAB_CODE_NONE;
    size_t made = 0;
    for (; code == IFAB_CODE_NONE && made < 2 * IFAB_RESERVATION_PER_OWNER; made++) {
        command = cost_command(IFAB_COMMAND_RESERVE, &agent_b, 1);
        command.u.cost.ttl = IFAB_HOUR;
        rig.now.run += 20000;
        code = rig_do(&rig, &command)->code;
    }
    assert_int_equal(code, IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(made, IFAB_RESERVATION_PER_OWNER + 1);
    rig_restart(&rig);
}

static void a_budget_is_removed_by_an_admin(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 100);
    assert_int_equal(reserve(&agent_a, 30), IFAB_CODE_NONE);
    struct ifab_command command = {.type = IFAB_COMMAND_BUDGET, .principal = &rig.principal, .why = IFAB_VIEW("over")};
    command.u.budget.request.id = IFAB_VIEW("a");
    command.u.budget.remove = true;
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_PERMISSION_DENIED);
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    rig_restart(&rig);
    assert_null(ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("a")));
    assert_int_equal(end(&agent_a, id, false, 30), IFAB_CODE_NONE); /* what was held of it is held of nothing */
    command.act = rig_act(&rig, ADM);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NOT_FOUND);
}

/* A restore: limits stand in the new log, what was spent stays spent, what was held comes back as dangling and ends. */
static void a_restore_goes_on_with_the_accounts(void **state)
{
    (void)state;
    have("a", IFAB_SUBJECT_TALENT, "A", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 100);
    swarm("alpha");
    have("s", IFAB_SUBJECT_SWARM, "alpha", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 1);
    assert_int_equal(rates(sonnet, ADM), IFAB_CODE_NONE);
    struct ifab_command trip = cost_command(IFAB_COMMAND_COST, &rig.principal, 5);
    trip.u.cost.swarm = IFAB_VIEW("alpha");
    assert_int_equal(rig_do(&rig, &trip)->code, IFAB_CODE_NONE);
    assert_int_equal(spend(&agent_a, 20), IFAB_CODE_NONE);
    assert_int_equal(reserve(&agent_a, 30), IFAB_CODE_NONE);
    struct rig old = rig;
    rig_begin(&rig, &old.settings);
    for (uint32_t i = 0; i < RIG_TALENTS; i++) {
        rig.talents[i] = old.talents[i];
        old.talents[i].signer = NULL;
    }
    rig.n = old.n;
    rig.now = old.now;
    struct ifab_command command = {.type = IFAB_COMMAND_RESTORE, .why = IFAB_VIEW("the disk died")};
    command.u.restore.old_checkpoint = IFAB_VIEW("x");
    command.u.restore.old_origin = IFAB_VIEW("test.local/main/00000001");
    command.u.restore.old_size = old.entry_count;
    command.u.restore.version = "0.1.0";
    command.u.restore.talents = ifab_fabric_talents(old.fabric);
    command.u.restore.money = ifab_fabric_money(old.fabric);
    command.u.restore.breakers = ifab_fabric_breakers(old.fabric);
    command.u.restore.prices = ifab_fabric_prices(old.fabric);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_NONE);
    const struct ifab_budget *b = ifab_money_budget(ifab_fabric_money(rig.fabric), IFAB_VIEW("a"));
    assert_non_null(b);
    char whole[1200];
    snprintf(whole, sizeof whole, "\"payload\":{\"record\":" IFAB_FMT ",\"state\":{\"overrun\":0,\"period_start\":\"1970-01-01T00:00:00.000Z\",\"settled\":20}}",
             IFAB_ARG(b->record));
    assert_int_equal(entries_with(whole), 1);
    assert_int_equal(entries_with("\"operation\":\"dangling\""), 1);
    assert_int_equal(entries_with("\"operation\":\"rates_set\""), 1);
    (void)logged(); /* every entry is canonical */
    rig_free(&old);
    rig_restart(&rig);
    EXPECT("a", 20, 30, 0);
    assert_int_equal(ifab_breakers_find(ifab_fabric_breakers(rig.fabric), IFAB_BREAKER_SWARM, IFAB_VIEW("alpha"))->state, IFAB_BREAKER_OPEN);
    assert_int_equal(ifab_prices_count(ifab_fabric_prices(rig.fabric)), 2);
    rig_pass(&rig, IFAB_HOUR + IFAB_SECOND);
    EXPECT("a", 20, 0, 0);
    assert_int_equal(entries_with("\"dangling\":true"), 1);
    have("new", IFAB_SUBJECT_TALENT, "B", IFAB_UNIT_USD_MICRO, IFAB_PERIOD_TOTAL, 1); /* numbers do not collide */
    rig_restart(&rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_limit_takes_an_admin_and_stands_in_the_log),
        T(a_budget_counts_one_thing_for_good),
        T(reserved_settled_released),
        T(all_budgets_or_none),
        T(whose_money_it_is),
        T(a_replayed_report_counts_once),
        T(an_act_on_many_budgets_is_kept_too),
        T(levels_stand_once_in_the_log),
        T(a_period_ends_once),
        T(what_a_crash_leaves_is_reported_and_released),
        T(edited_states_are_found_at_a_start),
        T(priced_by_a_dated_table),
        T(a_trace_budget_ends_when_idle),
        T(a_swarm_over_its_budget_is_stopped_by_its_breaker),
        T(floods_are_bounded),
        T(a_budget_is_removed_by_an_admin),
        T(a_restore_goes_on_with_the_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
