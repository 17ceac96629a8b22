/*
 * SIGHUP: ifd.yaml and rules.yaml again, all or nothing, under load; and after a change of rules every open decision anew, with its message.
 *
 * 1. Both files are read and judged before anything changes; a setting that needs a restart refuses the whole. The old ones stay in force, said in the log.
 * 2. The new set is in force from the step that enters it; the old one lives until that step is over.
 * 3. Decisions are routed some at a time: readers fetch and parse their messages, the step judges. Which are left the fabric knows.
 */
#include "node.h"

#include <stdio.h>
#include <string.h>

#define ROUTED_AT_ONCE 64
#define ROUTE_AGAIN IFAB_SECOND

struct open_one { /* a decision to be routed, and its message */
    uint64_t number, index;
    struct ifab_envelope *envelope; /* NULL: its bytes are gone */
    struct ifab_guard_facts *facts;
};
struct routing {
    struct job *job;
    size_t count, left;
    bool refused;
    struct open_one open[ROUTED_AT_ONCE];
};

/* ---- open decisions under changed rules ---- */

static bool fetch(struct node *node, struct ifab_store *store, struct job *job, struct open_one *open)
{
    struct ifab_stored_entry entry;
    struct ifab_error err = {0};
    size_t count = 0;
    ifab_status status = ifab_store_read(store, open->index, 1, true, &job->arena, &entry, &count, &err);
    if (status != IFAB_OK)
        return false;
    if (count == 0 || entry.message.size == 0)
        return true; /* erased */
    open->envelope = ifab_arena_calloc(&job->arena, 1, sizeof *open->envelope);
    open->facts = ifab_arena_calloc(&job->arena, 1, sizeof *open->facts);
    if (open->envelope == NULL || open->facts == NULL)
        return false;
    if (ifab_envelope_read(entry.message, ticket_message_max, &job->arena, open->envelope, NULL) != IFAB_CODE_NONE ||
        !ifab_admit_facts(open->envelope, node->tag_key16, &job->arena, open->facts))
        open->envelope = NULL; /* what cannot be read cannot be judged: denied */
    return true;
}

static void run_fetch(struct node *node, struct ifab_store *store, struct job *job)
{
    struct routing *routing = job->user;
    for (size_t i = 0; i < routing->count; i++)
        if (!fetch(node, store, job, &routing->open[i])) {
            job->code = IFAB_CODE_SYSTEM_ERROR;
            return;
        }
}

static void end(struct node *node, bool again)
{
    struct job *job = node->routing_job;
    node->routing_job = NULL;
    job_free(job);
    node->route_next = again ? clock_now(&node->clock, NULL).run + ROUTE_AGAIN : 0;
}

static void routed(struct node *node, struct ticket *t)
{
    struct routing *routing = t->user;
    routing->refused |= t->reply.code != IFAB_CODE_NONE;
    if (--routing->left == 0)
        end(node, routing->refused); /* on_turn goes on */
}

static void fetched(struct node *node, struct job *job)
{
    struct routing *routing = job->user;
    node->fetching = false;
    node->routing_job = job;
    routing->left = 1;
    for (size_t i = 0; job->code == IFAB_CODE_NONE && i < routing->count; i++) {
        struct ticket *t = ticket_new(node, NULL);
        if (t == NULL) {
            routing->refused = true;
            break;
        }
        t->command.type = IFAB_COMMAND_ROUTE;
        t->command.principal = &node->self;
        t->command.u.route.number = routing->open[i].number;
        t->command.u.route.envelope = routing->open[i].envelope;
        t->command.u.route.facts = routing->open[i].facts;
        t->user = routing;
        t->done = routed;
        routing->left++;
        ticket_queue(node, t);
    }
    if (--routing->left == 0)
        end(node, job->code != IFAB_CODE_NONE || routing->refused);
}

void route_open(struct node *node, ifab_usec run)
{
    const struct ifab_open_decision *d = node->fetching || node->routing_job != NULL || run < node->route_next
                                             ? NULL
                                             : ifab_fabric_unrouted(node->fabric, 0);
    if (d == NULL || node->stopping)
        return;
    struct job *job = job_new(NULL);
    struct routing *routing = job != NULL ? ifab_arena_calloc(&job->arena, 1, sizeof *routing) : NULL;
    if (routing == NULL) {
        job_free(job);
        node->route_next = run + ROUTE_AGAIN;
        return;
    }
    for (; d != NULL && routing->count < ROUTED_AT_ONCE; d = ifab_fabric_unrouted(node->fabric, d->number))
        routing->open[routing->count++] = (struct open_one){.number = d->number, .index = d->index};
    job->user = routing;
    job->run = run_fetch;
    job->finish = fetched;
    node->fetching = true;
    job_push(node, job);
}

/* ---- reload ---- */

/*
 * The set before is read until the new one stands in an entry. What could not be entered (no room, no memory) is due again: the set before stays in
 * force, or, where the cores were loaded again with the new one meanwhile, nothing is stepped until then.
 */
static void entered(struct node *node, struct ticket *t)
{
    struct ifab_ruleset *before = t->user;
    if (t->reply.code == IFAB_CODE_NONE || ifab_fabric_settings(node->fabric)->rules.set == node->ruleset) {
        ifab_ruleset_free(before);
        before = NULL;
    }
    node->rules_before = before;
    node->rules_due = t->reply.code != IFAB_CODE_NONE;
    node->reloading = node->rules_due;
    if (node->rules_due)
        IFAB_LOG(IFAB_LOG_ERROR, "reload: the rule set cannot be recorded yet", IFAB_F_TEXT("error", t->reply.refusal.message));
}

/* The set that was read becomes the one in force. */
static void enter_set(struct node *node, struct ticket *t, struct ifab_ruleset *before)
{
    struct ifab_view why = ifab_ruleset_why(node->ruleset);
    t->user = before;
    t->command.type = IFAB_COMMAND_RULES;
    t->command.principal = &node->self;
    t->command.why = why.size > 0 ? why : IFAB_VIEW("rules.yaml was read again");
    t->command.u.rules.rules = &node->settings.rules;
    t->done = entered;
    ticket_queue(node, t);
}

void node_enter_due(struct node *node)
{
    struct ticket *t = ticket_new(node, NULL);
    if (t == NULL)
        return; /* at the next turn */
    node->rules_due = false;
    enter_set(node, t, node->rules_before);
    node->rules_before = NULL;
}

static bool same_guard(const struct ifab_guard_rules *a, const struct ifab_guard_rules *b)
{
    return a->loaded == b->loaded && memcmp(a->digest32, b->digest32, 32) == 0 && a->hold_deadline == b->hold_deadline &&
           a->escalate_deadline == b->escalate_deadline && a->hold_burst == b->hold_burst && a->escalate_burst == b->escalate_burst &&
           a->hold_refill == b->hold_refill && a->escalate_refill == b->escalate_refill;
}

/* What needs a restart refuses all of it, rules too: each is named, so that one look at the log is enough. */
static ifab_status check_fixed(const struct node *node, const struct ifab_config *config, struct ifab_error *err)
{
    char names[128] = "";
    size_t at = 0, used = 0, more = 0;
    for (const char *name; (name = ifab_config_fixed(&node->config, config, &at)) != NULL;) {
        bool fits = used + strlen(name) + 3 < sizeof names;
        more += !fits;
        used += fits ? (size_t)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", name) : 0;
    }
    if (used == 0 && more == 0)
        return IFAB_OK;
    return ifab_fail(err, IFAB_UNSUPPORTED,
                     "%s%s cannot change while the daemon runs: nothing of ifd.yaml and rules.yaml was taken; put back what it was, or restart ifd", names,
                     more > 0 ? " and more" : "");
}

static ifab_status judge(const struct node *node, struct ifab_config *config, struct ifab_guard_rules *rules, struct ifab_ruleset **ret_set,
                         struct ifab_tls_context **ret_tls, struct ifab_error *err)
{
    IFAB_TRY(ifab_config_load(node->config_path, config, err));
    IFAB_TRY(check_fixed(node, config, err));
    *rules = node->settings.rules;
    IFAB_TRY(serve_tls(config, ret_tls, err));
    IFAB_TRY(ifab_rules_read(config->rules_file, ret_set, rules->digest32, err));
    node_guard_settings(config, rules);
    rules->set = *ret_set;
    rules->loaded = true;
    return IFAB_OK;
}

static void enter(struct node *node, struct ticket *t, const struct ifab_config *config, const struct ifab_guard_rules *rules, struct ifab_ruleset *set)
{
    ifab_config_take(&node->config, config);
    node_log_level(config);
    ifab_fabric_tune(node->fabric, &(struct ifab_fabric_tuning){config->time_skew_usec, (uint32_t)config->rate_messages, (uint32_t)config->rate_burst,
                                                                  (uint32_t)config->rate_costs, (uint32_t)config->rate_costs_burst,
                                                                  config->sensitive_count});
    if (same_guard(&node->settings.rules, rules)) {
        ifab_ruleset_free(set);
        ticket_free(node, t);
        node->reloading = false;
        return;
    }
    struct ifab_ruleset *before = node->ruleset;
    node->ruleset = set;
    node->settings.rules = *rules;
    enter_set(node, t, before);
}

void node_reload(struct node *node)
{
    struct ifab_error err = {0};
    struct ifab_guard_rules rules;
    struct ifab_ruleset *set = NULL;
    struct ifab_tls_context *tls = NULL;
    if (node->stopping)
        return;
    if (node->reloading) { /* once more when the one before is through */
        node->reload_again = true;
        return;
    }
    node->reload_again = false;
    supervise_reloading();
    struct ifab_config *config = ifab_calloc(1, sizeof *config);
    struct ticket *t = ticket_new(node, NULL);
    ifab_status status = config != NULL && t != NULL ? judge(node, config, &rules, &set, &tls, &err) : ifab_fail(&err, IFAB_NOMEM, "out of memory");
    if (status == IFAB_OK) {
        node->reloading = true;
        enter(node, t, config, &rules, set);
        serve_use_tls(node, tls);
        char digest[80] = "sha256:";
        for (size_t i = 0; i < 32; i++)
            snprintf(digest + 7 + 2 * i, 3, "%02x", rules.digest32[i]);
        IFAB_LOG(IFAB_LOG_INFO, "reload: done", IFAB_F_TEXT("policy_digest", digest));
    } else {
        IFAB_LOG(IFAB_LOG_ERROR, "reload: refused, everything stays as it was", IFAB_F_TEXT("error", err.text));
        ifab_tls_context_free(tls);
        if (t != NULL)
            ticket_free(node, t);
    }
    ifab_free(config);
    supervise_tell("READY=1"); /* as before, or with what is new */
}
