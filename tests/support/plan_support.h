#ifndef SUPPORT_PLAN_SUPPORT_H
#define SUPPORT_PLAN_SUPPORT_H
/* Plan, vote, apply, outcome in the in-process fabric of rig.h: an operator, an admin and two agents, of whom A may call. Header only. */
#include "capability_support.h"

#include "base/encode.h"
#include "guard/ruleset.h"
#include "json/json.h"

static struct rig rig;
static struct ifab_principal agent_a, agent_b;
static struct ifab_ruleset *rules;
enum { ADM = 2, OPS, A, B };
static uint8_t hash32[32]; /* of the last plan */
static char plan_text[80];
static const struct ifab_cost *cost_said; /* by the guest, at the next plan or outcome alone; NULL: nothing */

static const char RULES[] = "{\"v\":1,\"rules\":[],\"capabilities\":["
                            "{\"id\":\"10-not-nine\",\"effect\":\"deny\",\"reason\":\"input 9 is on air\",\"when\":{\"param.input\":9}},"
                            "{\"id\":\"20-studio\",\"effect\":\"share\",\"when\":{\"capability\":\"vmix.switcher\"}},"
                            "{\"id\":\"30-asked\",\"effect\":\"escalate\",\"when\":{\"capability\":\"asked.first\"}},"
                            "{\"id\":\"40-priced\",\"effect\":\"share\",\"when\":{\"capability\":\"studio.priced\"}}]}";

static inline struct ifab_principal agent(uint32_t number, const char *name)
{
    struct ifab_principal p = {.kind = IFAB_PRINCIPAL_TALENT, .role = IFAB_ROLE_AGENT, .talent = number, .uid = 0x80000000U | number};
    snprintf(p.actor, sizeof p.actor, "if://agent/%s", name);
    return p;
}

static inline struct ifab_guard_rules rule_set(const char *text)
{
    struct ifab_guard_rules set = rig.settings.rules;
    struct ifab_arena arena;
    const struct ifab_json *root = NULL, *where = NULL;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_str(text), NULL, &arena, &root, NULL), IFAB_OK);
    const struct ifab_rule_source source = {.root = root};
    ifab_ruleset_free(rules);
    assert_int_equal(ifab_ruleset_compile(&source, &rules, &where, NULL), IFAB_OK);
    ifab_arena_fini(&arena);
    set.set = rules;
    ifab_sha256(ifab_ruleset_canonical(rules), set.digest32);
    return set;
}

static inline int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    assert_int_equal(rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 12, IFAB_ORDER_STRICT), ADM);
    assert_int_equal(rig_add(&rig, "Ops", "olga", IFAB_ROLE_OPERATOR, 13, IFAB_ORDER_STRICT), OPS);
    assert_int_equal(rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT), A);
    assert_int_equal(rig_add(&rig, "B", "bob", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT), B);
    agent_a = agent(A, "A");
    agent_b = agent(B, "B");
    struct ifab_guard_rules set = rule_set(RULES);
    rig_rules(&rig, &set);
    capability_publish(&rig, ADM);
    capability_allow(&rig, ADM, "vmix.switcher", "1.0.0", CAPABILITY_SWITCHER);
    capability_allow(&rig, ADM, "asked.first", "1.0.0", CAPABILITY_ASKED);
    rig_grant(&rig, "A", "if://capability/vmix.switcher");
    rig_grant(&rig, "A", "studio:control");
    rig_grant(&rig, "A", "if://capability/asked.first");
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    ifab_ruleset_free(rules);
    rules = NULL;
    return 0;
}

static inline bool body_has(const char *text)
{
    struct ifab_view body = rig.outcome.reply.body;
    return memmem(body.data, body.size, text, strlen(text)) != NULL;
}

static inline size_t entries_with(const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < rig.entry_count; i++)
        count += memmem(rig.entries[i].bytes, rig.entries[i].size, text, strlen(text)) != NULL;
    return count;
}

/* params: NULL: none were said */
static inline enum ifab_code plan(const struct ifab_principal *who, const char *name, const char *operation, const char *params)
{
    static struct ifab_module module;
    struct ifab_arena arena;
    const struct ifab_json *tree = NULL;
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_PLAN, .principal = who, .why = IFAB_VIEW("the show begins")};
    ifab_arena_init(&arena, 1 << 20);
    if (params != NULL)
        assert_int_equal(ifab_json_read(ifab_view_str(params), NULL, &arena, &tree, NULL), IFAB_OK);
    if (cost_said != NULL) {
        command.u.plan.has_cost = true;
        command.u.plan.usd_micro = cost_said->usd_micro;
        command.u.plan.tokens = cost_said->tokens_in + cost_said->tokens_out;
        command.u.plan.calls = cost_said->calls;
    }
    cost_said = NULL;
    module = capability_module();
    command.u.plan.id = ifab_view_str(id);
    command.u.plan.operation = ifab_view_str(operation);
    command.u.plan.params = tree;
    command.u.plan.module = &module;
    const struct ifab_reply *reply = rig_do(&rig, &command);
    if (reply->code == IFAB_CODE_NONE && !reply->is_decision) {
        const char *at = memmem(reply->body.data, reply->body.size, "\"plan_hash\":\"", 13);
        assert_non_null(at);
        memcpy(plan_text, at + 13, 71);
        plan_text[71] = '\0';
        assert_int_equal(ifab_hex_decode(ifab_view_of((const uint8_t *)at + 20, 64), hash32, 32), IFAB_OK);
    }
    ifab_arena_fini(&arena);
    return reply->code;
}

static struct ifab_module good_module;
static inline enum ifab_code apply_with(const struct ifab_principal *who, const char *name, bool dry, const struct ifab_module *module)
{
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_APPLY, .principal = who};
    command.u.apply.id = ifab_view_str(id);
    memcpy(command.u.apply.hash32, hash32, 32);
    command.u.apply.module = module;
    command.u.apply.dry_run = dry;
    return rig_do(&rig, &command)->code;
}

static inline enum ifab_code apply(const struct ifab_principal *who, const char *name)
{
    good_module = capability_module();
    return apply_with(who, name, false, &good_module);
}

static inline enum ifab_code outcome(enum ifab_call_end end, uint32_t host_calls, const char *output)
{
    const struct ifab_plan *p = ifab_plan_by_hash(ifab_fabric_plans(rig.fabric), hash32);
    struct ifab_command command = {.type = IFAB_COMMAND_OUTCOME};
    assert_non_null(p);
    command.u.called.number = p->number;
    command.u.called.intent = p->intent;
    command.u.called.end = end;
    command.u.called.fuel = 12345;
    command.u.called.took = 7000;
    command.u.called.host_calls = host_calls;
    command.u.called.output = ifab_view_str(output);
    if (cost_said != NULL) {
        command.u.called.has_cost = true;
        command.u.called.cost = *cost_said;
    }
    cost_said = NULL;
    return rig_do(&rig, &command)->code;
}

static inline uint64_t ask(const char *sender, const char *hash)
{
    char content[256];
    snprintf(content, sizeof content, "{\"data\":{\"apply\":{\"plan_hash\":\"%s\"}}}", hash);
    struct rig_message m = rig_message(&rig, sender, content);
    m.performative = "request";
    m.receiver = "\"if://fabric/" RIG_ORIGIN "\"";
    assert_int_equal(rig_send(&rig, &m), IFAB_CODE_NONE);
    return m.id;
}
#endif
