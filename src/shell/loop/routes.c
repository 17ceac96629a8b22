/*
 * The one table of routes: method, path, roles, flags, largest body, handler, names of its query parameters. SURFACE section 8. A NULL handler is a
 * part that comes later (509).
 */
#include <string.h>

#include "node.h"

#define KIB ((size_t)1024)
#define BODY (256 * KIB)
#define G IFAB_HTTP_GET
#define P IFAB_HTTP_POST

static const struct route routes[] = {
    {P, "/v1/messages", ROLES_ALL, ROUTE_OPEN | ROUTE_NDJSON | ROUTE_CHANGES, 1024 * KIB, handle_message, "proof"},
    {G, "/v1/messages/{}", ROLES_ALL, 0, 0, handle_message_get, "sender proof"},
    {G, "/v1/inbox", ROLES_ALL, 0, 0, handle_inbox, "as after wait_ms limit"},
    {G, "/v1/decisions", ROLES_LIST, 0, 0, handle_decisions, "state limit cursor"},
    {G, "/v1/decisions/{}", ROLES_ALL, 0, 0, handle_decision, "wait_ms"},
    {P, "/v1/decisions/{}/votes", ROLES_ACT, ROUTE_CHANGES, 16 * KIB, handle_vote, NULL},
    {P, "/v1/guard/explain", ROLES_AUDIT, 0, 1024 * KIB, handle_guard_explain, NULL},
    {G, "/v1/talents", ROLES_LIST, 0, 0, handle_talents, "limit cursor"},
    {P, "/v1/talents", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_talent_add, NULL},
    {G, "/v1/talents/{}", ROLES_LIST, 0, 0, handle_talent, NULL},
    {G, "/v1/talents/{}/sequences", ROLES_ALL, 0, 0, handle_sequences, NULL},
    {P, "/v1/talents/{}/grants", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_talent_grant, NULL},
    {P, "/v1/talents/{}/keys", ROLES_ALL, ROUTE_CHANGES, BODY, handle_talent_keys, NULL},
    {P, "/v1/talents/{}/revoke", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_talent_revoke, NULL},
    {P, "/v1/invites", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_invite, NULL},
    {P, "/v1/enroll", 0, ROUTE_OPEN | ROUTE_CHANGES, 4 * KIB, handle_enroll, NULL},
    {G, "/v1/tokens", ROLES_ALL, 0, 0, handle_tokens, "limit cursor"},
    {P, "/v1/tokens", ROLES_OPERATE, ROUTE_SIGNED | ROUTE_CHANGES, BODY, handle_token_create, NULL},
    {P, "/v1/tokens/{}/revoke", ROLES_OPERATE, ROUTE_SIGNED | ROUTE_CHANGES, BODY, handle_token_revoke, NULL},
    {P, "/v1/costs", ROLES_ACT, ROUTE_CHANGES, 16 * KIB, handle_cost, NULL},
    {G, "/v1/rates", ROLES_ALL, 0, 0, handle_rates, NULL},
    {P, "/v1/rates", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_rates_set, NULL},
    {G, "/v1/budgets", ROLES_ALL, 0, 0, handle_budgets, "limit cursor"},
    {P, "/v1/budgets", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_budget_set, NULL},
    {P, "/v1/budgets/{}/remove", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_budget_remove, NULL},
    {G, "/v1/reservations", ROLES_ALL, 0, 0, handle_reservations, "limit cursor"},
    {P, "/v1/reservations", ROLES_ACT, ROUTE_CHANGES, 16 * KIB, handle_reserve, NULL},
    {P, "/v1/reservations/{}/settle", ROLES_ACT, ROUTE_CHANGES, 16 * KIB, handle_settle, NULL},
    {P, "/v1/reservations/{}/release", ROLES_ACT, ROUTE_CHANGES, 16 * KIB, handle_release, NULL},
    {G, "/v1/governor/match", ROLES_LIST, 0, 0, handle_match, "needs for strategy"},
    {G, "/v1/governor/waste", ROLES_LIST, 0, 0, handle_waste, "limit cursor"},
    {G, "/v1/breakers", ROLES_LIST, 0, 0, handle_breakers, "limit cursor"},
    {P, "/v1/breakers/reset", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_breaker_reset, NULL},
    {G, "/v1/vault", ROLES_OPERATE, 0, 0, handle_vault, NULL},
    {G, "/v1/secrets", ROLES_OPERATE, 0, 0, handle_secrets, "limit cursor"},
    {P, "/v1/secrets", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_secret_set, NULL},
    {P, "/v1/secrets/{}/rotate", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_secret_rotate, NULL},
    {P, "/v1/secrets/{}/revoke", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_secret_revoke, NULL},
    {P, "/v1/secrets/{}/check", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_secret_check, NULL},
    {G, "/v1/witness/entries", ROLES_OWN, 0, 0, handle_entries, "trace component type from to limit cursor"},
    {G, "/v1/witness/entries/{}", ROLES_OWN, 0, 0, handle_entry, NULL},
    {G, "/v1/witness/messages/{}", ROLES_OWN, 0, 0, handle_entry_message, NULL},
    {G, "/v1/witness/proof", ROLES_ALL, 0, 0, handle_proof, "index size"},
    {G, "/v1/witness/consistency", ROLES_ALL, 0, 0, handle_consistency, "old new"},
    {P, "/v1/tasks", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_create, NULL},
    {G, "/v1/tasks", ROLES_ALL, 0, 0, handle_tasks, "state swarm limit cursor"},
    {P, "/v1/tasks/claim", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_claim_next, NULL},
    {G, "/v1/tasks/{}", ROLES_ALL, 0, 0, handle_task, NULL},
    {P, "/v1/tasks/{}/claim", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_claim, NULL},
    {P, "/v1/tasks/{}/renew", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/progress", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/complete", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/fail", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/block", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/unblock", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/cancel", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/tasks/{}/replay", ROLES_ACT, ROUTE_CHANGES, BODY, handle_task_act, NULL},
    {P, "/v1/swarms", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_swarm_register, NULL},
    {G, "/v1/swarms", ROLES_LIST, 0, 0, handle_swarms, "limit cursor"},
    {G, "/v1/publishers", ROLES_LIST, 0, 0, handle_publishers, "limit cursor"},
    {P, "/v1/publishers", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_publisher_add, NULL},
    {P, "/v1/publishers/{}/revoke", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_publisher_revoke, NULL},
    {G, "/v1/capabilities", ROLES_ALL, 0, 0, handle_capabilities, "granted limit cursor"},
    {P, "/v1/capabilities", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_capability_allow, NULL},
    {G, "/v1/capabilities/{}", ROLES_ALL, 0, 0, handle_capability, "version"},
    {P, "/v1/capabilities/{}/load", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_capability_load, NULL},
    {P, "/v1/capabilities/{}/plan", ROLES_ACT, ROUTE_CHANGES, BODY, handle_capability_plan, NULL},
    {P, "/v1/capabilities/{}/apply", ROLES_ACT, ROUTE_CHANGES, 16 * KIB, handle_capability_apply, NULL},
    {P, "/v1/capabilities/{}/health", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_capability_health, NULL},
    {G, "/v1/capabilities/{}/logs", ROLES_LIST, 0, 0, handle_capability_logs, "limit"},
    {G, "/v1/plans", ROLES_ALL, 0, 0, handle_plans, "state limit cursor"},
    {G, "/v1/plans/{}", ROLES_ALL, 0, 0, handle_plan, NULL},
    {P, "/v1/plans/{}/close", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_plan_close, NULL},
    {G, "/v1/revocations", ROLES_ALL, 0, 0, handle_revocations, "limit cursor"},
    {P, "/v1/revocations", ROLES_OPERATE, ROUTE_CHANGES, 16 * KIB, handle_revocation, NULL},
    {G, "/v1/swarms/{}", ROLES_ALL, 0, 0, handle_swarm, NULL},
    {P, "/v1/swarms/{}/heartbeat", ROLES_ACT, ROUTE_CHANGES, 4 * KIB, handle_heartbeat, NULL},
    {P, "/v1/witness/erase", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_erase, NULL},
    {G, "/v1/anchors", ROLES_AUDIT, 0, 0, handle_anchors, NULL},
    {P, "/v1/anchors", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_anchor_create, NULL},
    {P, "/v1/backup", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_backup, NULL},
    {P, "/v1/log-keys", ROLES_OPERATE, ROUTE_CHANGES, 4 * KIB, handle_log_key_make, NULL},
    {P, "/v1/log-keys/rotate", ROLES_OPERATE, ROUTE_CHANGES, 4 * KIB, handle_log_key_rotate, NULL},
    {P, "/v1/clock/accept", ROLES_OPERATE, ROUTE_CHANGES, BODY, handle_clock_accept, NULL},
    {G, "/v1/events", ROLES_OWN, 0, 0, handle_events, "component type trace"},
    {G, "/v1/fabric", ROLES_ALL, ROUTE_OPEN, 0, handle_fabric, NULL},
    {G, "/v1/slo", ROLES_LIST, 0, 0, handle_slo, NULL},
    {G, "/metrics", ROLES_LIST, 0, 0, handle_metrics, NULL},
    {G, "/healthz", 0, ROUTE_OPEN, 0, handle_healthz, NULL},
    {G, "/readyz", 0, ROUTE_OPEN, 0, handle_readyz, NULL},
    {G, "/openapi.json", 0, ROUTE_OPEN, 0, handle_openapi, NULL},
    {G, "/checkpoint", 0, ROUTE_OPEN, 0, handle_checkpoint, NULL},
    {G, "/tile/{*}", 0, ROUTE_OPEN, 0, handle_tile, NULL},
    {G, "/log/{}/checkpoint", 0, ROUTE_OPEN, 0, handle_checkpoint, NULL},
    {G, "/log/{}/tile/{*}", 0, ROUTE_OPEN, 0, handle_tile, NULL},
    /* parts that come later */
    {P, "/v1/bus/{*}", ROLES_ACT, ROUTE_CHANGES, BODY, NULL, NULL},
    {G, "/v1/bus/dlq", ROLES_OPERATE, 0, 0, NULL, NULL},
    {P, "/mcp", ROLES_ALL, ROUTE_CHANGES, BODY, NULL, NULL},
    {G, "/", 0, ROUTE_OPEN, 0, NULL, NULL},
};

const struct route *route_at(size_t i) { return i < IFAB_COUNT(routes) ? &routes[i] : NULL; }

/* Segments are compared as they are: nothing is decoded, so "%2e" is no dot and an encoded slash no slash. */
static bool path_matches(const char *pattern, struct ifab_view path, struct ifab_view params[PARAM_MAX])
{
    size_t at = 0, param = 0;
    while (*pattern != '\0') {
        if (*pattern == '{' && pattern[1] == '*') { /* {*}: all the rest */
            params[param] = ifab_view_of(path.data + at, path.size - at);
            return path.size > at;
        }
        if (*pattern == '{') { /* {}: one segment */
            size_t from = at;
            while (at < path.size && path.data[at] != '/')
                at++;
            if (at == from)
                return false;
            params[param++] = ifab_view_of(path.data + from, at - from);
            pattern += 2;
            continue;
        }
        if (at >= path.size || path.data[at] != (uint8_t)*pattern)
            return false;
        at++;
        pattern++;
    }
    return at == path.size;
}

const struct route *route_find(enum ifab_http_method method, struct ifab_view path, struct ifab_view params[PARAM_MAX], bool *ret_path_known)
{
    *ret_path_known = false;
    for (size_t i = 0; i < IFAB_COUNT(routes); i++) {
        memset(params, 0, PARAM_MAX * sizeof params[0]);
        if (!path_matches(routes[i].path, path, params))
            continue;
        *ret_path_known = true;
        if (routes[i].method == method)
            return &routes[i];
    }
    return NULL;
}

/* What stands in Allow beside a 405. */
void routes_allowed(struct ifab_view path, struct ifab_buf *methods)
{
    static const char *const names[] = {[G] = "GET, HEAD", [P] = "POST"};
    struct ifab_view params[PARAM_MAX];
    for (size_t i = 0; i < IFAB_COUNT(routes); i++)
        if (path_matches(routes[i].path, path, params)) {
            ifab_buf_str(methods, methods->size > 0 ? ", " : "");
            ifab_buf_str(methods, names[routes[i].method]);
        }
}

static const char *const role_words[] = {"none", "agent", "readonly", "auditor", "operator", "admin"};

/* The same rows, for programs: which routes there are and who may use them. */
void handle_openapi(struct node *node, struct request *r)
{
    struct ifab_buf b = IFAB_BUF_INIT((size_t)1 << 20);
    const char *open = NULL;
    ifab_buf_str(&b, "{\"info\":{\"title\":\"InfraFabric\",\"version\":");
    ifab_json_put_cstr(&b, node->version);
    ifab_buf_str(&b, "},\"openapi\":\"3.1.0\",\"paths\":{");
    for (size_t i = 0; i < IFAB_COUNT(routes); i++) {
        bool seen = false; /* a path is one object with a member for each method */
        for (size_t j = 0; j < i; j++)
            seen = seen || strcmp(routes[j].path, routes[i].path) == 0;
        if (seen)
            continue;
        if (open != NULL)
            ifab_buf_char(&b, ',');
        open = routes[i].path;
        ifab_json_put_cstr(&b, open);
        ifab_buf_char(&b, ':');
        for (size_t j = i, first = 1; j < IFAB_COUNT(routes); j++) {
            if (strcmp(routes[j].path, open) != 0)
                continue;
            ifab_buf_format(&b, "%s\"%s\":{\"responses\":{\"default\":{\"description\":\"see docs/formats\"}},\"x-built\":%s,\"x-open\":%s,\"x-roles\":[",
                            first ? "{" : ",", routes[j].method == P ? "post" : "get", routes[j].handle != NULL ? "true" : "false",
                            (routes[j].flags & ROUTE_OPEN) != 0 ? "true" : "false");
            first = 0;
            for (unsigned role = IFAB_ROLE_AGENT, some = 0; role <= IFAB_ROLE_ADMIN; role++)
                if ((routes[j].roles & ROLE_BIT(role)) != 0)
                    ifab_buf_format(&b, "%s\"%s\"", some++ ? "," : "", role_words[role]);
            ifab_buf_str(&b, "]}");
        }
        ifab_buf_char(&b, '}');
    }
    ifab_buf_str(&b, "}}");
    reply_json(node, r, 200, ifab_buf_as_view(&b));
    ifab_buf_fini(&b);
}
