/*
 * The state and its one way in: load (load.c). A start loads what the store kept, apply loads what a step decided.
 *
 * Invariants:
 * 1. decide takes a const fabric: nothing changes before apply.
 * 2. apply finds room ready (prepare), so it cannot fail half-way.
 * 3. Every durable change of memory is a record change, a tag or an entry of the outcome: replaying outcomes rebuilds the state.
 */
#include "fabric_internal.h"

#include <assert.h>
#include <string.h>

void ifab_fabric_settings_default(struct ifab_fabric_settings *ret_settings)
{
    memset(ret_settings, 0, sizeof *ret_settings);
    memcpy(ret_settings->log, "main", 5);
    ret_settings->skew = 60 * IFAB_SECOND;
    ifab_guard_rules_default(&ret_settings->rules);
    ret_settings->replay = (struct ifab_replay_limits){.per_talent = 65536, .total = 4U << 20};
    ret_settings->conversations = (struct ifab_conversation_limits){.total = 100000, .per_talent = 10000, .idle = 24 * IFAB_HOUR};
    ret_settings->rate_per_second = 20000;
    ret_settings->rate_burst = 40000;
    ret_settings->cost_rate = 100;
    ret_settings->cost_burst = 1000;
    ret_settings->slo = (struct ifab_slo){.success_permille = 950, .p99_ms = 500};
    ret_settings->refusals_per_second = 10;
    ret_settings->refusal_bytes_per_day = 16U << 20;
}

ifab_status ifab_fabric_new(const struct ifab_fabric_settings *settings, struct ifab_fabric **ret_fabric, struct ifab_error *err)
{
    struct ifab_fabric *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "fabric");
    self->settings = *settings;
    struct ifab_conversation_limits limits = settings->conversations;
    limits.seed = settings->seed ^ 2; /* senders choose these ids */
    self->rows_first = IFAB_NEVER;
    self->rows_since = self->ticked = self->looked = INT64_MIN / 2;
    self->next_number = 1;
    self->fence_offset = settings->fence_offset;
    self->skew_most = settings->skew;
    ifab_map_init(&self->kept_by_request, settings->seed ^ 4);
    self->rows = ifab_calloc(IFAB_REFUSAL_ROWS, sizeof *self->rows);
    self->flushed[0].rows = ifab_calloc(IFAB_REFUSAL_ROWS, sizeof *self->rows);
    self->flushed[1].rows = ifab_calloc(IFAB_REFUSAL_ROWS, sizeof *self->rows);
    ifab_status status = self->rows == NULL || self->flushed[0].rows == NULL || self->flushed[1].rows == NULL ? IFAB_NOMEM : IFAB_OK;
    if (status == IFAB_OK)
        status = ifab_talents_new(settings->seed, &self->talents);
    if (status == IFAB_OK)
        status = ifab_accesses_new(settings->seed ^ 5, &self->accesses);
    if (status == IFAB_OK)
        status = ifab_replay_new(&settings->replay, &self->replay);
    if (status == IFAB_OK)
        status = ifab_sequences_new(settings->seed ^ 1, &self->sequences);
    if (status == IFAB_OK)
        status = ifab_conversations_new(&limits, &self->conversations);
    if (status == IFAB_OK)
        status = ifab_decisions_new(settings->seed ^ 3, &self->decisions);
    struct ifab_coordinator_limits tasks;
    ifab_coordinator_limits_default(&tasks);
    tasks.seed = settings->seed ^ 9;
    if (status == IFAB_OK)
        status = ifab_coordinator_new(&tasks, &self->coordinator);
    if (status == IFAB_OK)
        status = ifab_money_new(settings->seed ^ 6, &self->money);
    if (status == IFAB_OK)
        status = ifab_breakers_new(settings->seed ^ 7, &self->breakers);
    if (status == IFAB_OK)
        status = ifab_prices_new(&self->prices);
    if (status == IFAB_OK)
        status = ifab_registry_new(settings->seed ^ 10, &self->registry);
    if (status == IFAB_OK)
        status = ifab_secrets_new(&self->secrets);
    if (status == IFAB_OK)
        status = ifab_token_table_new(settings->seed ^ 8, &self->tokens);
    if (status == IFAB_OK)
        status = ifab_token_table_new(settings->seed ^ 12, &self->calls);
    if (status == IFAB_OK)
        status = ifab_plans_new(settings->seed ^ 11, &self->plans);
    if (status != IFAB_OK) {
        ifab_fabric_free(self);
        return ifab_fail(err, status, "fabric: out of memory");
    }
    self->issued_after = INT64_MIN;
    ifab_fabric__trust_root(self, IFAB_TRUST_ALL, self->trust_root32);
    *ret_fabric = self;
    return IFAB_OK;
}

void ifab_fabric_free(struct ifab_fabric *self)
{
    if (self == NULL)
        return;
    ifab_talents_free(self->talents);
    ifab_accesses_free(self->accesses);
    ifab_replay_free(self->replay);
    ifab_sequences_free(self->sequences);
    ifab_conversations_free(self->conversations);
    ifab_decisions_free(self->decisions);
    ifab_coordinator_free(self->coordinator);
    ifab_money_free(self->money);
    ifab_breakers_free(self->breakers);
    ifab_prices_free(self->prices);
    ifab_registry_free(self->registry);
    ifab_secrets_free(self->secrets);
    ifab_token_table_free(self->tokens);
    ifab_token_table_free(self->calls);
    ifab_plans_free(self->plans);
    ifab_fabric__kept_free(self);
    ifab_free(self->lacks);
    ifab_free(self->log_keys);
    ifab_free(self->approvers);
    ifab_free(self->meters);
    ifab_free(self->rows);
    ifab_free(self->flushed[0].rows);
    ifab_free(self->flushed[1].rows);
    ifab_free(self);
}

/* One more kind of trust record joins the root, under its name. */
static void join(const char *name, const uint8_t part32[32], uint8_t root32[32])
{
    uint8_t before32[32];
    memcpy(before32, root32, 32);
    ifab_sha256_3(ifab_view_str(name), ifab_view_of(before32, 32), ifab_view_of(part32, 32), root32);
}

/* INV-16, without money. */
static void first_root(struct ifab_fabric *self, bool talents, uint8_t ret_root32[32])
{
    struct ifab_view rules = ifab_view_of(self->rules32, 32);
    uint8_t accesses[32];
    if (talents)
        ifab_talents_trust_root(self->talents, self->talents_root32);
    if (ifab_accesses_next(self->accesses, 0) == NULL) {
        ifab_sha256_2(ifab_view_of(self->talents_root32, 32), rules, ret_root32);
    } else {
        ifab_accesses_trust_root(self->accesses, accesses);
        ifab_sha256_3(ifab_view_of(self->talents_root32, 32), rules, ifab_view_of(accesses, 32), ret_root32);
    }
    if (self->log_key_count > 0)
        join("log keys", self->log_keys_root32, ret_root32);
    if (ifab_swarm_count(self->coordinator) > 0)
        join("swarms", self->swarms_root32, ret_root32);
    if (!ifab_fabric__registry_empty(self))
        join("capabilities", self->registry_root32, ret_root32);
    if (ifab_secrets_count(self->secrets) > 0 || ifab_secrets_mark(self->secrets)->counter > 0)
        join("secrets", self->secrets_root32, ret_root32);
}

/*
 * What INV-16 covers: every talent's record, the rule set in force, every token and invite, every key of the log, swarm, secret
 * (what is known of it, and which vault holds its value), publisher, allowed capability, revocation and budget, and the price table. Without any of one kind it
 * is what it was before there were any.
 */
void ifab_fabric__trust_root(struct ifab_fabric *self, unsigned anew, uint8_t ret_root32[32])
{
    first_root(self, (anew & IFAB_TRUST_TALENTS) != 0, ret_root32);
    ifab_fabric__money_root(self, (anew & IFAB_TRUST_MONEY) != 0, self->money_root32, ret_root32);
}

const struct ifab_guard_rules *ifab_fabric__rules(const struct ifab_fabric *self, const struct ifab_outcome *o)
{
    return o->set_rules ? &o->rules : &self->settings.rules;
}

bool ifab_fabric_rules_stale(const struct ifab_fabric *self)
{
    return self->settings.rules.loaded && memcmp(self->settings.rules.digest32, self->rules32, 32) != 0;
}

void ifab_fabric_tune(struct ifab_fabric *self, const struct ifab_fabric_tuning *tuning)
{
    self->settings.skew = tuning->skew;
    self->skew_most = self->skew_most > tuning->skew ? self->skew_most : tuning->skew;
    self->settings.rate_per_second = tuning->rate_per_second;
    self->settings.rate_burst = tuning->rate_burst;
    self->settings.cost_rate = tuning->cost_rate;
    self->settings.cost_burst = tuning->cost_burst;
    self->settings.sensitive_count = tuning->sensitive_count;
}

void ifab_fabric_head(const struct ifab_fabric *self, struct ifab_fabric_head *ret_head)
{
    ret_head->size = self->tree.size;
    ifab_tree_root(&self->tree, ret_head->root32);
    memcpy(ret_head->last_hash32, self->last_hash32, 32);
    memcpy(ret_head->trust_root32, self->trust_root32, 32);
    ret_head->time = self->last_time;
    ret_head->edge_size = ifab_tree_pack(&self->tree, ret_head->edge);
}

/* Meters are an array by talent number: a talent's first message finds its place here. */
static ifab_status grow_meters(struct ifab_fabric *self)
{
    size_t wanted = (size_t)ifab_talents_count(self->talents) + 1;
    if (wanted <= self->meter_room)
        return IFAB_OK;
    size_t room = self->meter_room == 0 ? 64 : self->meter_room * 2;
    if (room < wanted)
        room = wanted;
    struct ifab_meter *bigger = ifab_realloc(self->meters, room * sizeof *bigger);
    if (bigger == NULL)
        return IFAB_NOMEM;
    memset(bigger + self->meter_room, 0, (room - self->meter_room) * sizeof *bigger);
    self->meters = bigger;
    self->meter_room = room;
    return IFAB_OK;
}

ifab_status ifab_fabric_prepare(struct ifab_fabric *self)
{
    IFAB_TRY(ifab_replay_reserve(self->replay, 2));
    IFAB_TRY(ifab_sequences_reserve(self->sequences, 1));
    IFAB_TRY(ifab_conversations_reserve(self->conversations, 1));
    IFAB_TRY(ifab_decisions_reserve(self->decisions, 1));
    IFAB_TRY(ifab_coordinator_reserve(self->coordinator, IFAB_FABRIC_TASKS_IN_STEP));
    IFAB_TRY(ifab_map_reserve(&self->kept_by_request, 1));
    IFAB_TRY(ifab_u64map_reserve(&self->kept_by_number, 1));
    IFAB_TRY(ifab_u64map_reserve(&self->kept_per_principal, 1));
    return grow_meters(self);
}

void ifab_fabric_decide(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_now now, struct ifab_outcome *o)
{
    static const uint8_t none16[16];
    o->now = now;
    o->next_index = self->tree.size;
    memcpy(o->last_hash32, self->last_hash32, 32);
    o->last_time = self->last_time;
    o->command = command;
    o->next_number = self->next_number;
    o->issued_after = INT64_MIN;
    memcpy(o->reply.trace16, memcmp(command->trace16, none16, 16) != 0 ? command->trace16 : command->mint16, 16);
    switch (command->type) {
    case IFAB_COMMAND_NONE:
        break;
    case IFAB_COMMAND_INIT:
        ifab_fabric__decide_init(self, command, o);
        break;
    case IFAB_COMMAND_MESSAGE:
        ifab_fabric__decide_message(self, command, o);
        break;
    case IFAB_COMMAND_VOTE:
        ifab_fabric__decide_vote(self, command, o);
        break;
    case IFAB_COMMAND_TALENT:
        ifab_fabric__decide_talent(self, command, o);
        break;
    case IFAB_COMMAND_TOKEN:
    case IFAB_COMMAND_INVITE:
        ifab_fabric__decide_access(self, command, o);
        break;
    case IFAB_COMMAND_ENROLL:
        ifab_fabric__decide_enroll(self, command, o);
        break;
    case IFAB_COMMAND_ERASE:
    case IFAB_COMMAND_ANCHORED:
    case IFAB_COMMAND_CLOCK_JUMP:
    case IFAB_COMMAND_CLOCK_ACCEPT:
    case IFAB_COMMAND_BACKUP:
        ifab_fabric__decide_note(self, command, o);
        break;
    case IFAB_COMMAND_LOG_KEY:
        ifab_fabric__decide_log_key(self, command, o);
        break;
    case IFAB_COMMAND_RULES:
        ifab_fabric__decide_rules(self, command, o);
        break;
    case IFAB_COMMAND_ROUTE:
        ifab_fabric__decide_route(self, command, o);
        break;
    case IFAB_COMMAND_SWARM:
        ifab_fabric__decide_swarm(self, command, o);
        break;
    case IFAB_COMMAND_TASK_CREATE:
        ifab_fabric__decide_task_create(self, command, o);
        break;
    case IFAB_COMMAND_TASK_CLAIM:
        ifab_fabric__decide_task_claim(self, command, o);
        break;
    case IFAB_COMMAND_HEARTBEAT:
        ifab_fabric__decide_heartbeat(self, command, o);
        break;
    case IFAB_COMMAND_TASK_ACT:
        ifab_fabric__decide_task_act(self, command, o);
        break;
    case IFAB_COMMAND_TICK:
        ifab_fabric__decide_tick(self, command, o);
        break;
    case IFAB_COMMAND_RESTATE:
        ifab_fabric__decide_restate(self, command, o);
        break;
    case IFAB_COMMAND_RESTORE:
        ifab_fabric__decide_restore(self, command, o);
        break;
    case IFAB_COMMAND_BUDGET:
    case IFAB_COMMAND_RATES:
        ifab_fabric__decide_budget(self, command, o);
        break;
    case IFAB_COMMAND_COST:
    case IFAB_COMMAND_RESERVE:
    case IFAB_COMMAND_SETTLE:
        ifab_fabric__decide_cost(self, command, o);
        break;
    case IFAB_COMMAND_BREAKER_RESET:
        ifab_fabric__decide_breaker_reset(self, command, o);
        break;
    case IFAB_COMMAND_PUBLISHER:
    case IFAB_COMMAND_CAPABILITY:
        ifab_fabric__decide_capability(self, command, o);
        break;
    case IFAB_COMMAND_CAPABILITY_LOAD:
        ifab_fabric__decide_load(self, command, o);
        break;
    case IFAB_COMMAND_PLAN:
        ifab_fabric__decide_plan(self, command, o);
        break;
    case IFAB_COMMAND_APPLY:
        ifab_fabric__decide_apply(self, command, o);
        break;
    case IFAB_COMMAND_OUTCOME:
        ifab_fabric__decide_outcome(self, command, o);
        break;
    case IFAB_COMMAND_PLAN_CLOSE:
        ifab_fabric__decide_plan_close(self, command, o);
        break;
    case IFAB_COMMAND_SECRET:
        ifab_fabric__decide_secret(self, command, o);
        break;
    case IFAB_COMMAND_SECRET_GET:
        ifab_fabric__decide_secret_get(self, command, o);
        break;
    }
    if (o->failed) { /* INV-15: nothing half decided is applied */
        o->entry_count = o->change_count = o->tag_count = 0;
        o->set_rules = o->flush_refusals = o->no_circles = false;
        o->looked_count = 0;
        o->routing = IFAB_ROUTING_AS_BEFORE;
        o->next_number = self->next_number;
        o->issued_after = INT64_MIN;
        o->count_code = IFAB_CODE_NONE;
        memset(&o->reply, 0, sizeof o->reply);
        o->reply.refusal.offset = o->reply.refusal.retry_after_ms = -1;
        o->reply.refusal.code = IFAB_CODE_NONE;
        ifab_fabric__refused(o, IFAB_CODE_SYSTEM_ERROR);
    }
}

void ifab_fabric_apply(struct ifab_fabric *self, const struct ifab_outcome *o)
{
    unsigned roots = 0;
    for (size_t i = 0; i < o->entry_count; i++)
        ifab_tree_append(&self->tree, o->entries[i].leaf32);
    if (o->entry_count > 0) {
        memcpy(self->last_hash32, o->last_hash32, 32);
        self->last_time = o->last_time;
    }
    for (size_t i = 0; i < o->change_count; i++) {
        ifab_status status = ifab_fabric__load(self, &o->changes[i], &roots);
        assert(status == IFAB_OK); /* our own bytes, room reserved: see the header */
    }
    if (o->issued_after != INT64_MIN)
        self->issued_after = o->issued_after;
    if (o->set_rules) {
        self->settings.rules = o->rules;
        memcpy(self->rules32, o->rules.digest32, 32);
    }
    if (roots & IFAB_TRUST_SWARMS)
        ifab_swarms_trust_root(self->coordinator, self->swarms_root32);
    if (roots & IFAB_TRUST_REGISTRY)
        ifab_registry_trust_root(self->registry, self->registry_root32);
    if (roots & IFAB_TRUST_SECRETS)
        ifab_secrets_trust_root(self->secrets, self->secrets_root32);
    if ((roots & IFAB_TRUST_ROOT) || o->set_rules)
        ifab_fabric__trust_root(self, roots, self->trust_root32);
    for (size_t i = 0; i < o->tag_count; i++)
        ifab_replay_add(self->replay, &o->tags[i]);
    ifab_replay_expire(self->replay, o->now.wall, self->settings.skew);
    if (o->ticked)
        self->ticked = o->now.run;
    if (o->no_circles)
        self->waits = false;
    ifab_fabric__looked(self, o);
    if (o->routing != IFAB_ROUTING_AS_BEFORE)
        self->routing = o->routing == IFAB_ROUTING_MORE;
    if (o->flush_refusals)
        ifab_fabric__refusals_clear(self, o->now.run);
    if (o->count_code != IFAB_CODE_NONE)
        ifab_fabric_count_refusal(self, o->count_code, o->count_source, o->count_sample16, o->now.run);
    if (o->next_number > self->next_number)
        self->next_number = o->next_number;
}

const struct ifab_fabric_settings *ifab_fabric_settings(const struct ifab_fabric *self) { return &self->settings; }
const struct ifab_talents *ifab_fabric_talents(const struct ifab_fabric *self) { return self->talents; }
const struct ifab_accesses *ifab_fabric_accesses(const struct ifab_fabric *self) { return self->accesses; }
uint64_t ifab_fabric_access_version(const struct ifab_fabric *self) { return self->access_version; }
const struct ifab_secrets *ifab_fabric_secrets(const struct ifab_fabric *self) { return self->secrets; }
const struct ifab_coordinator *ifab_fabric_coordinator(const struct ifab_fabric *self) { return self->coordinator; }
const struct ifab_decisions *ifab_fabric_decisions(const struct ifab_fabric *self) { return self->decisions; }
const struct ifab_sequences *ifab_fabric_sequences(const struct ifab_fabric *self) { return self->sequences; }
const struct ifab_money *ifab_fabric_money(const struct ifab_fabric *self) { return self->money; }
const struct ifab_breakers *ifab_fabric_breakers(const struct ifab_fabric *self) { return self->breakers; }
const struct ifab_prices *ifab_fabric_prices(const struct ifab_fabric *self) { return self->prices; }
const struct ifab_plans *ifab_fabric_plans(const struct ifab_fabric *self) { return self->plans; }
const struct ifab_replay *ifab_fabric_replay(const struct ifab_fabric *self) { return self->replay; }
uint64_t ifab_fabric_size(const struct ifab_fabric *self) { return self->tree.size; }
uint64_t ifab_fabric_trust_version(const struct ifab_fabric *self) { return self->trust_version; }
