/* Status: what the fabric is, how it does, whether it is ready. */
#include <string.h>

#include "calls.h"
#include "node.h"

void handle_fabric(struct node *node, struct request *r)
{
    struct ifab_buf b = IFAB_BUF_INIT(4096);
    ifab_buf_str(&b, "{\"log\":");
    ifab_json_put_cstr(&b, node->settings.log);
    ifab_buf_str(&b, ",\"origin\":");
    ifab_json_put_cstr(&b, node->origin);
    ifab_buf_format(&b, ",\"size\":%llu,\"time\":\"", (unsigned long long)node->committed_size);
    ifab_buf_time(&b, clock_now(&node->clock, NULL).wall);
    ifab_buf_str(&b, "\",\"version\":");
    ifab_json_put_cstr(&b, node->version);
    ifab_buf_str(&b, ",\"vkey\":");
    ifab_json_put_cstr(&b, node->vkey);
    ifab_buf_char(&b, '}');
    reply_json(node, r, 200, ifab_buf_as_view(&b));
    ifab_buf_fini(&b);
}

void handle_healthz(struct node *node, struct request *r) { reply_json(node, r, 200, IFAB_VIEW("{\"status\":\"ok\"}")); }

void handle_readyz(struct node *node, struct request *r)
{
    struct ifab_buf b = IFAB_BUF_INIT(1024);
    const char *why = node->stopping               ? "stopping"
                      : node->clock.doubt          ? "clock"
                      : !node->settings.rules.loaded ? "rules"
                      : node->closed_full || node->room_low ? "disk"
                                                     : NULL;
    ifab_buf_str(&b, why == NULL ? "{\"ready\":true" : "{\"ready\":false");
    if (why != NULL)
        ifab_buf_format(&b, ",\"why\":\"%s\"", why);
    ifab_buf_char(&b, '}');
    reply_json(node, r, why == NULL ? 200 : 503, ifab_buf_as_view(&b));
    ifab_buf_fini(&b);
}

/* Of each by itself: kept nowhere, since a period's end changes them without a step. */
static void measure_money(struct node *node, struct ifab_metrics *m)
{
    const struct ifab_money *money = ifab_fabric_money(node->fabric);
    const struct ifab_breakers *breakers = ifab_fabric_breakers(node->fabric);
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    uint64_t levels[IFAB_METRIC_LEVEL_COUNT] = {0}, open = 0;
    for (const struct ifab_budget *b = ifab_money_budget_next(money, 0); b != NULL; b = ifab_money_budget_next(money, b->number)) {
        struct ifab_budget_state s = ifab_budget_now(b->period, &b->state, wall);
        size_t level = IFAB_METRIC_LEVEL_OPEN;
        for (enum ifab_level l = 0; l < IFAB_LEVEL_COUNT; l++)
            level = ifab_budget_spent(&s) * 100 >= b->limit * ifab_level_percent(l) ? (size_t)l + 1 : level;
        levels[level]++;
    }
    for (const struct ifab_breaker *b = ifab_breakers_next(breakers, 0); b != NULL; b = ifab_breakers_next(breakers, b->number))
        open += b->state != IFAB_BREAKER_CLOSED;
    for (size_t i = 0; i < IFAB_METRIC_LEVEL_COUNT; i++)
        ifab_metrics_set(m, IFAB_METRIC_BUDGETS, i, levels[i]);
    ifab_metrics_set(m, IFAB_METRIC_RESERVATIONS, 0, ifab_money_reservation_count(money));
    ifab_metrics_set(m, IFAB_METRIC_BREAKERS_OPEN, 0, open);
}
_Static_assert(IFAB_METRIC_LEVEL_COUNT == (int)IFAB_LEVEL_COUNT + 1 && IFAB_METRIC_LEVEL_STOP == (int)IFAB_LEVEL_STOP + 1, "open, then the levels");

_Static_assert(IFAB_METRIC_SWARM_COUNT == (int)IFAB_SWARM_STATE_COUNT && IFAB_METRIC_SWARM_OFFLINE == (int)IFAB_SWARM_OFFLINE, "a label for each state");
_Static_assert(IFAB_METRIC_TASK_COUNT == (int)IFAB_TASK_DEAD && IFAB_METRIC_TASK_DEAD + 1 == (int)IFAB_TASK_DEAD, "open states, from the first on");

static void measure_work(struct node *node, struct ifab_metrics *m)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    struct ifab_swarm_help help = ifab_swarm_help_total(coordinator);
    ifab_usec run = clock_now(&node->clock, NULL).run;
    uint64_t states[IFAB_METRIC_SWARM_COUNT] = {0};
    const struct ifab_swarm *swarm = ifab_swarm_after(coordinator, (struct ifab_swarm_number){0});
    for (; swarm != NULL; swarm = ifab_swarm_after(coordinator, swarm->number))
        states[ifab_fabric_swarm_state(node->fabric, swarm, run)]++;
    for (size_t i = 0; i < IFAB_METRIC_SWARM_COUNT; i++)
        ifab_metrics_set(m, IFAB_METRIC_SWARMS, i, states[i]);
    for (size_t i = 0; i < IFAB_METRIC_TASK_COUNT; i++)
        ifab_metrics_set(m, IFAB_METRIC_TASKS, i, ifab_task_count(coordinator, (enum ifab_task_state)(i + 1)));
    ifab_metrics_set(m, IFAB_METRIC_HELP_ASKED, 0, help.asked);
    ifab_metrics_set(m, IFAB_METRIC_HELP_COMPLETED, 0, help.completed);
    ifab_metrics_set(m, IFAB_METRIC_HELP_COST, 0, help.cost);
    ifab_metrics_set(m, IFAB_METRIC_HELP_WASTED, 0, help.wasted);
}

#define TEXT(name, text) text,
static const char *const walls[] = {IFAB_METRIC_WALL_MAP(TEXT)};
#undef TEXT
_Static_assert(IFAB_COUNT(walls) == IFAB_GUEST_WALLS, "a label for each");

static void measure_sandbox(const struct node *node, struct ifab_metrics *m)
{
    struct ifab_guest_sandbox s;
    if (!calls_sandbox(node, &s))
        return;
    ifab_metrics_engine(m, s.engine);
    for (size_t i = 0; i < IFAB_COUNT(walls); i++)
        ifab_metrics_set(m, IFAB_METRIC_SANDBOX_WALL, i, (s.walls & ifab_guests_wall(walls[i])) != 0);
    ifab_metrics_set(m, IFAB_METRIC_SANDBOX_WORKERS, 0, s.workers);
    ifab_metrics_set(m, IFAB_METRIC_SANDBOX_REFUSED_WALLS, 0, s.refused_walls);
    ifab_metrics_set(m, IFAB_METRIC_SANDBOX_WRONG_FRAMES, 0, s.wrong_frames);
    ifab_metrics_set(m, IFAB_METRIC_SANDBOX_DEADLINE_KILLS, 0, s.deadline_kills);
    ifab_metrics_set(m, IFAB_METRIC_SANDBOX_CACHE_BAD, 0, s.cache_bad);
}

void handle_metrics(struct node *node, struct request *r)
{
    struct ifab_metrics *m = &node->metrics;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)1 << 20);
    const struct ifab_decisions *decisions = ifab_fabric_decisions(node->fabric);
    uv_mutex_lock(&node->pool.lock);
    size_t verifying = node->pool.waiting[0] + node->pool.waiting[1];
    uv_mutex_unlock(&node->pool.lock);
    ifab_metrics_set(m, IFAB_METRIC_LOG_ENTRIES, 0, node->committed_size);
    ifab_metrics_set(m, IFAB_METRIC_CONNECTIONS, 0, ifab_http_connections(node->http));
    ifab_metrics_set(m, IFAB_METRIC_WAITERS, 0, node->waiter_count);
    ifab_metrics_set(m, IFAB_METRIC_QUEUE_DEPTH, IFAB_METRIC_QUEUE_VERIFY, verifying);
    ifab_metrics_set(m, IFAB_METRIC_QUEUE_DEPTH, IFAB_METRIC_QUEUE_STEP, node->queue_count);
    ifab_metrics_set(m, IFAB_METRIC_QUEUE_DEPTH, IFAB_METRIC_QUEUE_COMMIT, node->current != NULL ? node->current->tickets : 0);
    ifab_metrics_set(m, IFAB_METRIC_OPEN_DECISIONS, IFAB_METRIC_STATE_HELD, ifab_decisions_count(decisions, IFAB_DECISION_HOLD));
    ifab_metrics_set(m, IFAB_METRIC_OPEN_DECISIONS, IFAB_METRIC_STATE_ESCALATED, ifab_decisions_count(decisions, IFAB_DECISION_ESCALATE));
    ifab_metrics_set(m, IFAB_METRIC_REPLAY_TAGS, 0, ifab_replay_count(ifab_fabric_replay(node->fabric)));
    ifab_metrics_set(m, IFAB_METRIC_WAL_BYTES, 0, atomic_load(&node->wal_bytes));
    ifab_metrics_set(m, IFAB_METRIC_WAL_WAIT, 0, atomic_load(&node->wal_waited_usec));
    measure_money(node, m);
    measure_work(node, m);
    measure_sandbox(node, m);
    ifab_metrics_write(m, &b);
    reply_text(node, r, 200, "text/plain; version=0.0.4; charset=utf-8", ifab_buf_as_view(&b));
    ifab_buf_fini(&b);
}

static void put_quantiles(struct ifab_buf *b, const struct ifab_metrics *m, enum ifab_metric metric)
{
    static const unsigned permille[] = {500, 950, 990};
    static const char *const names[] = {"p50_us", "p95_us", "p99_us"};
    for (size_t i = 0; i < 3; i++) {
        int64_t value = ifab_metrics_quantile(m, metric, permille[i]);
        ifab_buf_format(b, "%s\"%s\":", i == 0 ? "{" : ",", names[i]);
        if (value < 0)
            ifab_buf_str(b, "null");
        else
            ifab_buf_i64(b, value);
    }
    ifab_buf_char(b, '}');
}

/* SLIs since the start of this process: DESIGN section 5. Shares are in permille: integers. A capability's and a swarm's own stand in GET /v1/breakers. */
void handle_slo(struct node *node, struct request *r)
{
    const struct ifab_metrics *m = &node->metrics;
    struct ifab_buf b = IFAB_BUF_INIT(8192);
    uint64_t total = 0, escalated = ifab_metrics_value(m, IFAB_METRIC_MESSAGES, IFAB_DECISION_ESCALATE);
    for (size_t i = 0; i < 4; i++)
        total += ifab_metrics_value(m, IFAB_METRIC_MESSAGES, i);
    static const struct {
        const char *name;
        enum ifab_metric metric;
    } series[] = {{"claim", IFAB_METRIC_CLAIM_SECONDS},
                  {"commit", IFAB_METRIC_COMMIT_SECONDS},
                  {"decision_automatic", IFAB_METRIC_DECISION_SECONDS},
                  {"decision_human", IFAB_METRIC_HUMAN_DECISION_SECONDS}};
    for (size_t i = 0; i < IFAB_COUNT(series); i++) {
        ifab_buf_format(&b, "%s\"%s\":", i == 0 ? "{" : ",", series[i].name);
        put_quantiles(&b, m, series[i].metric);
    }
    ifab_buf_format(&b, ",\"decisions\":%llu,\"duplicates_suppressed\":%llu,\"escalation_permille\":", (unsigned long long)total,
                    (unsigned long long)node->duplicates);
    if (total == 0)
        ifab_buf_str(&b, "null}");
    else
        ifab_buf_format(&b, "%llu}", (unsigned long long)(escalated * 1000 / total));
    reply_json(node, r, 200, ifab_buf_as_view(&b));
    ifab_buf_fini(&b);
}
