#ifndef SUPPORT_TASK_RIG_H
#define SUPPORT_TASK_RIG_H
/* A fabric with talents Ann, Bob, Eve (agents), Ops, Adm, and the swarms data (sql, Ann) and code (rust, Bob); and what is done to tasks, in few words. */
#include "rig.h"

static struct rig rig;
enum { ANN = 2, BOB, EVE, OPS, ADM };
static uint64_t fence; /* of the last claim */

static inline struct ifab_principal as(uint32_t talent)
{
    struct ifab_principal p = rig.principal;
    if (talent == 0)
        return p; /* the socket's operator */
    p = (struct ifab_principal){.kind = IFAB_PRINCIPAL_TALENT, .talent = talent, .role = talent == OPS ? IFAB_ROLE_OPERATOR : IFAB_ROLE_AGENT};
    snprintf(p.actor, sizeof p.actor, "if://agent/%s", rig.talents[talent].name);
    return p;
}

static inline enum ifab_code swarm(const char *id, const char *skill, const char *member, uint32_t concurrency)
{
    struct ifab_view skills[] = {ifab_view_str(skill)}, members[] = {ifab_view_str(member)};
    struct ifab_command c = {.type = IFAB_COMMAND_SWARM, .principal = &rig.principal, .why = IFAB_VIEW("a swarm")};
    c.u.swarm.request = (struct ifab_swarm_request){.id = ifab_view_str(id), .skills = skills, .skill_count = 1, .members = members, .member_count = 1,
                                                    .concurrency = concurrency};
    return rig_do(&rig, &c)->code;
}

static inline int setup(void **state)
{
    (void)state;
    rig_new(&rig, NULL);
    assert_int_equal(rig_add(&rig, "Ann", "alice", IFAB_ROLE_AGENT, 12, IFAB_ORDER_STRICT), ANN);
    assert_int_equal(rig_add(&rig, "Bob", "bert", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT), BOB);
    assert_int_equal(rig_add(&rig, "Eve", "emil", IFAB_ROLE_AGENT, 11, IFAB_ORDER_STRICT), EVE);
    assert_int_equal(rig_add(&rig, "Ops", "olga", IFAB_ROLE_OPERATOR, 13, IFAB_ORDER_STRICT), OPS);
    assert_int_equal(rig_add(&rig, "Adm", "adam", IFAB_ROLE_ADMIN, 14, IFAB_ORDER_STRICT), ADM);
    assert_int_equal(swarm("data", "sql", "Ann", 5), IFAB_CODE_NONE);
    assert_int_equal(swarm("code", "rust", "Bob", 1), IFAB_CODE_NONE);
    fence = 0;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

static inline struct ifab_command new_task(const char *id, const char *need)
{
    static struct ifab_view needs[1];
    needs[0] = ifab_view_str(need);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_CREATE, .principal = &rig.principal, .why = IFAB_VIEW("the quarter ends")};
    c.u.task.id = ifab_view_str(id);
    c.u.task.type = IFAB_VIEW("report");
    c.u.task.needs = needs;
    c.u.task.need_count = need == NULL ? 0 : 1;
    c.u.task.priority = 2;
    c.u.task.deadline = IFAB_NEVER;
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
        c.u.task.budget[i] = -1;
    return c;
}

static inline enum ifab_code create(const char *id, const char *need)
{
    struct ifab_command c = new_task(id, need);
    return rig_do(&rig, &c)->code;
}

static inline enum ifab_code claim(uint32_t talent, const char *of, const char *id)
{
    struct ifab_principal p = as(talent);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_CLAIM, .principal = &p};
    c.u.claim.swarm = ifab_view_str(of);
    c.u.claim.id = ifab_view_str(id);
    const struct ifab_reply *reply = rig_do(&rig, &c);
    if (reply->code == IFAB_CODE_NONE && reply->http == 200)
        fence = reply->fence.n;
    return reply->code == IFAB_CODE_NONE && reply->http == 204 ? IFAB_CODE_NOT_FOUND : reply->code;
}

static inline enum ifab_code act(uint32_t talent, const char *id, enum ifab_task_event event, uint64_t with)
{
    static const struct ifab_view needs[] = {{(const uint8_t *)"go", 2}};
    struct ifab_principal p = as(talent);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    if (event == IFAB_TASK_CANCEL || event == IFAB_TASK_REPLAY)
        c.why = IFAB_VIEW("no longer wanted");
    c.u.task_act.id = ifab_view_str(id);
    c.u.task_act.event = event;
    c.u.task_act.fence.n = with;
    c.u.task_act.percent = -1;
    c.u.task_act.needs = needs;
    c.u.task_act.need_count = event == IFAB_TASK_BLOCK ? 1 : 0;
    return rig_do(&rig, &c)->code;
}

static inline enum ifab_task_state state_of(const char *id)
{
    const struct ifab_task *t = ifab_task_find(ifab_fabric_coordinator(rig.fabric), ifab_view_str(id));
    const struct ifab_closed_task *closed = ifab_closed_task_find(ifab_fabric_coordinator(rig.fabric), ifab_view_str(id));
    return t != NULL ? t->state : closed != NULL ? closed->state : IFAB_TASK_NONE;
}

static inline const struct ifab_task *task(const char *id) { return ifab_task_find(ifab_fabric_coordinator(rig.fabric), ifab_view_str(id)); }

static inline const struct ifab_task *helper_of(const char *id, size_t i)
{
    const struct ifab_task *t = task(id);
    return t == NULL || t->helpers[i] == 0 ? NULL : ifab_task_at(ifab_fabric_coordinator(rig.fabric), (struct ifab_task_number){t->helpers[i]});
}

static inline size_t entries_with(const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < rig.entry_count; i++)
        count += strstr(rig_entry_text(&rig, i), text) != NULL;
    return count;
}

static inline enum ifab_code end_with(uint32_t talent, const char *id, enum ifab_task_event event, uint64_t with, uint64_t usd_micro)
{
    struct ifab_principal p = as(talent);
    struct ifab_command c = {.type = IFAB_COMMAND_TASK_ACT, .principal = &p};
    c.u.task_act.id = ifab_view_str(id);
    c.u.task_act.event = event;
    c.u.task_act.fence.n = with;
    c.u.task_act.percent = -1;
    c.u.task_act.has_cost = true;
    c.u.task_act.cost = (struct ifab_cost){.has_usd = true, .usd_micro = usd_micro};
    return rig_do(&rig, &c)->code;
}
#endif
