/*
 * The state and its one way in: load. A start loads what the store kept, apply loads what a step decided.
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
    self->rows_since = self->ticked = INT64_MIN / 2;
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
    ifab_free(self->log_keys);
    ifab_free(self->approvers);
    ifab_free(self->meters);
    ifab_free(self->rows);
    ifab_free(self->flushed[0].rows);
    ifab_free(self->flushed[1].rows);
    ifab_free(self);
}

/* Keeps the ascending list of those who may vote. A talent's role never changes, so it is only ever added. */
static ifab_status note_approver(struct ifab_fabric *self, const struct ifab_talent *talent)
{
    if (talent->role != IFAB_ROLE_OPERATOR && talent->role != IFAB_ROLE_ADMIN)
        return IFAB_OK;
    for (size_t i = 0; i < self->approver_count; i++)
        if (self->approvers[i] == talent->number)
            return IFAB_OK;
    if (self->approver_count == self->approver_room) {
        size_t room = self->approver_room == 0 ? 16 : self->approver_room * 2;
        uint32_t *bigger = ifab_realloc(self->approvers, room * sizeof *bigger);
        if (bigger == NULL)
            return IFAB_NOMEM;
        self->approvers = bigger;
        self->approver_room = room;
    }
    size_t at = self->approver_count++;
    while (at > 0 && self->approvers[at - 1] > talent->number) {
        self->approvers[at] = self->approvers[at - 1];
        at--;
    }
    self->approvers[at] = talent->number;
    return IFAB_OK;
}

static ifab_status load_talent(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    if (number == 0 || number > IFAB_TALENT_MAX)
        return ifab_fail(err, IFAB_CORRUPT, "talent record %llu: impossible number", (unsigned long long)number);
    IFAB_TRY(ifab_talents_load(self->talents, (uint32_t)number, bytes, err));
    self->trust_version++;
    self->access_version++;
    return note_approver(self, ifab_talents_at(self->talents, (uint32_t)number));
}

static ifab_status load_access(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    enum ifab_access_kind which = kind == IFAB_KIND_TOKEN ? IFAB_ACCESS_TOKEN : IFAB_ACCESS_INVITE;
    IFAB_TRY(ifab_accesses_load(self->accesses, which, number, bytes, err));
    self->access_version++;
    if (number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}
_Static_assert((int)IFAB_KIND_TOKEN == (int)IFAB_ACCESS_TOKEN && (int)IFAB_KIND_INVITE == (int)IFAB_ACCESS_INVITE, "one number for both");

static ifab_status load_swarm(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    IFAB_TRY(ifab_swarm_load(self->coordinator, number, bytes, err));
    self->waits = true; /* it may have fewer hands now */
    if (number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}

static ifab_status load_secret(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    if (kind == IFAB_KIND_VAULT)
        return ifab_secrets_load_mark(self->secrets, bytes, err);
    IFAB_TRY(ifab_secrets_load(self->secrets, number, bytes, err));
    if (number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}

static ifab_status load_meta(struct ifab_fabric *self, struct ifab_view bytes, struct ifab_error *err)
{
    struct ifab_meta meta;
    if (!ifab_meta_unpack(bytes, &meta))
        return ifab_fail(err, IFAB_CORRUPT, "record META does not parse");
    if (meta.next_number > self->next_number)
        self->next_number = meta.next_number;
    self->fence_offset = meta.fence_offset;
    self->clock_doubt = meta.clock_doubt;
    if (meta.skew_most > self->skew_most)
        self->skew_most = meta.skew_most;
    self->issued_after = meta.issued_after;
    memcpy(self->rules32, meta.rules32, 32);
    ifab_replay_set_dropped_until(self->replay, meta.dropped_until);
    return IFAB_OK;
}

/* One kind of record each; a size of 0 deletes. Room has been reserved, or is made here at a start. */
static ifab_status load_live(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    union {
        struct ifab_sequence sequence;
        struct ifab_conversation conversation;
        struct ifab_open_decision decision;
        struct ifab_bucket bucket;
    } u;
    bool good = true;
    switch ((enum ifab_kind)kind) {
    case IFAB_KIND_SEQUENCE:
        if (bytes.size == 0)
            ifab_sequences_remove(self->sequences, number);
        else if ((good = ifab_sequence_unpack(bytes, number, &u.sequence)))
            ifab_sequences_put(self->sequences, &u.sequence);
        break;
    case IFAB_KIND_CONVERSATION:
        if (bytes.size == 0)
            ifab_conversations_remove(self->conversations, number);
        else if ((good = ifab_conversation_unpack(bytes, number, &u.conversation)))
            ifab_conversations_put(self->conversations, &u.conversation);
        break;
    case IFAB_KIND_DECISION:
        if (bytes.size == 0)
            ifab_decisions_remove(self->decisions, number);
        else if ((good = ifab_open_decision_unpack(bytes, number, &u.decision)))
            ifab_decisions_put(self->decisions, &u.decision);
        break;
    case IFAB_KIND_BUCKET:
        if (bytes.size > 0 && (good = number <= IFAB_TALENT_MAX && ifab_bucket_unpack(bytes, (uint32_t)number, &u.bucket)))
            ifab_decisions_put_bucket(self->decisions, &u.bucket);
        break;
    case IFAB_KIND_IDEMPOTENCY:
        good = ifab_fabric__load_kept(self, number, bytes) == IFAB_OK;
        break;
    case IFAB_KIND_TASK:
    case IFAB_KIND_TASK_CLOSED:
        good = ifab_fabric__load_task(self, kind, number, bytes) == IFAB_OK;
        break;
    case IFAB_KIND_SWARM_HELP:
        good = ifab_fabric__load_help(self, number, bytes);
        break;
    case IFAB_KIND_METER:
        ifab_fabric__load_meter(self, number, bytes);
        break;
    case IFAB_KIND_COURSE:
        good = ifab_course_load(self->coordinator, bytes);
        break;
    case IFAB_KIND_TOKENS:
        ifab_fabric__load_tokens(self, bytes);
        break;
    case IFAB_KIND_CALLS:
        ifab_fabric__load_calls(self, bytes);
        break;
    case IFAB_KIND_HEARD:
        good = ifab_fabric__load_heard(self, number, bytes);
        break;
    case IFAB_KIND_PLAN:
    case IFAB_KIND_BUDGET:
    case IFAB_KIND_BUDGET_STATE:
    case IFAB_KIND_RESERVATION:
    case IFAB_KIND_BREAKER:
    case IFAB_KIND_PRICES:
    case IFAB_KIND_META:
    case IFAB_KIND_TALENT:
    case IFAB_KIND_TOKEN:
    case IFAB_KIND_INVITE:
    case IFAB_KIND_LOG_KEY:
    case IFAB_KIND_SWARM:
    case IFAB_KIND_PUBLISHER:
    case IFAB_KIND_ALLOWED:
    case IFAB_KIND_REVOCATION:
    case IFAB_KIND_SECRET:
    case IFAB_KIND_VAULT:
        good = false;
        break;
    }
    if (!good)
        return ifab_fail(err, IFAB_CORRUPT, "record of kind %u, number %llu does not parse", kind, (unsigned long long)number);
    if (kind < IFAB_KIND_METER && kind != IFAB_KIND_BUCKET && number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}

static ifab_status load_plan(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    IFAB_TRY(ifab_plans_load(self->plans, number, bytes, err));
    if (number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}

static bool is_money(uint8_t kind)
{
    return (kind >= IFAB_KIND_BUDGET && kind <= IFAB_KIND_BREAKER) || kind == IFAB_KIND_PRICES;
}

static bool is_registry(uint8_t kind)
{
    return kind >= IFAB_KIND_PUBLISHER && kind <= IFAB_KIND_REVOCATION;
}

ifab_status ifab_fabric_load_record(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    if (kind == IFAB_KIND_META)
        return load_meta(self, bytes, err);
    if (kind == IFAB_KIND_TALENT)
        return load_talent(self, number, bytes, err);
    if (kind == IFAB_KIND_TOKEN || kind == IFAB_KIND_INVITE)
        return load_access(self, kind, number, bytes, err);
    if (kind == IFAB_KIND_LOG_KEY)
        return ifab_fabric__load_log_key(self, number, bytes, err);
    if (kind == IFAB_KIND_SWARM)
        return load_swarm(self, number, bytes, err);
    if (kind == IFAB_KIND_PLAN)
        return load_plan(self, number, bytes, err);
    if (kind == IFAB_KIND_SECRET || kind == IFAB_KIND_VAULT)
        return load_secret(self, kind, number, bytes, err);
    if (is_money(kind))
        return ifab_fabric__load_money(self, kind, number, bytes, err);
    if (is_registry(kind))
        return ifab_fabric__load_registry(self, kind, number, bytes, err);
    if (kind != IFAB_KIND_SEQUENCE && kind != IFAB_KIND_CONVERSATION && kind != IFAB_KIND_DECISION && kind != IFAB_KIND_BUCKET &&
        kind != IFAB_KIND_IDEMPOTENCY && kind != IFAB_KIND_TASK && kind != IFAB_KIND_TASK_CLOSED && kind != IFAB_KIND_SWARM_HELP)
        return ifab_fail(err, IFAB_CORRUPT, "record of unknown kind %u", kind);
    if (ifab_fabric_prepare(self) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "records: out of memory");
    return load_live(self, kind, number, bytes, err);
}

ifab_status ifab_fabric_load_tags(struct ifab_fabric *self, struct ifab_view packed, ifab_usec wall, struct ifab_error *err)
{
    if (packed.size % IFAB_REPLAY_TAG_SIZE != 0)
        return ifab_fail(err, IFAB_CORRUPT, "row of replay tags has %zu bytes", packed.size);
    size_t count = packed.size / IFAB_REPLAY_TAG_SIZE;
    ifab_replay_load(self->replay); /* until the head is loaded */
    if (ifab_replay_reserve(self->replay, count) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "replay tags: out of memory");
    for (size_t i = 0; i < count; i++) {
        struct ifab_replay_tag tag;
        if (!ifab_replay_tag_unpack(ifab_view_of(packed.data + i * IFAB_REPLAY_TAG_SIZE, IFAB_REPLAY_TAG_SIZE), &tag))
            return ifab_fail(err, IFAB_CORRUPT, "replay tag does not parse");
        if (tag.expiry <= ifab_replay_dropped_until(self->replay))
            continue;
        /* By whole minutes, as the running fabric would have dropped it; and W says so, or it could pass again under a clock set back (INV-03). */
        if (tag.expiry / IFAB_MINUTE < (wall - self->settings.skew) / IFAB_MINUTE)
            ifab_replay_set_dropped_until(self->replay, tag.expiry);
        else
            ifab_replay_add(self->replay, &tag);
    }
    return IFAB_OK;
}

ifab_status ifab_fabric_load_head(struct ifab_fabric *self, const struct ifab_fabric_head *head, struct ifab_error *err)
{
    uint8_t root[32], trust[32];
    if (!ifab_tree_unpack(ifab_view_of(head->edge, head->edge_size), &self->tree) || self->tree.size != head->size)
        return ifab_fail(err, IFAB_CORRUPT, "the stored edge of the tree does not parse");
    ifab_tree_root(&self->tree, root);
    if (memcmp(root, head->root32, 32) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "the stored edge of the tree does not give the stored root");
    ifab_swarms_trust_root(self->coordinator, self->swarms_root32);
    ifab_registry_trust_root(self->registry, self->registry_root32);
    ifab_secrets_trust_root(self->secrets, self->secrets_root32);
    ifab_fabric__trust_root(self, IFAB_TRUST_ALL, trust);
    if (memcmp(trust, head->trust_root32, 32) != 0) /* INV-16 */
        return ifab_fail(err, IFAB_CORRUPT,
                         "a stored trust record (talent, key, grant, role, token, invite, swarm, secret, budget, prices, publisher, capability, rules or key of the log) is not the one that the "
                         "log covers");
    if (ifab_replay_loaded(self->replay) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "replay tags: out of memory");
    IFAB_TRY(ifab_money_loaded(self->money, err)); /* INV-10 */
    memcpy(self->last_hash32, head->last_hash32, 32);
    memcpy(self->trust_root32, trust, 32);
    self->last_time = head->time;
    self->loaded_size = head->size;
    const struct ifab_open_decision *d = ifab_decisions_after(self->decisions, 0);
    for (; d != NULL && !self->routing; d = ifab_decisions_after(self->decisions, d->number))
        self->routing = memcmp(d->policy_digest32, self->rules32, 32) != 0 || ifab_fabric__unreachable(self, d); /* half done when it ended */
    return IFAB_OK;
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
    bool trust = false, swarms = false, registry = false, secrets = false;
    unsigned anew = 0;
    for (size_t i = 0; i < o->entry_count; i++)
        ifab_tree_append(&self->tree, o->entries[i].leaf32);
    if (o->entry_count > 0) {
        memcpy(self->last_hash32, o->last_hash32, 32);
        self->last_time = o->last_time;
    }
    for (size_t i = 0; i < o->change_count; i++) {
        const struct ifab_change *c = &o->changes[i];
        ifab_status status;
        if (c->kind == IFAB_KIND_TALENT) {
            status = load_talent(self, c->number, c->bytes, NULL);
            anew |= IFAB_TRUST_TALENTS;
            trust = true;
        } else if (c->kind == IFAB_KIND_TOKEN || c->kind == IFAB_KIND_INVITE) {
            status = load_access(self, c->kind, c->number, c->bytes, NULL);
            trust = true;
        } else if (c->kind == IFAB_KIND_LOG_KEY) {
            status = ifab_fabric__load_log_key(self, c->number, c->bytes, NULL);
            trust = true;
        } else if (c->kind == IFAB_KIND_SWARM) {
            status = load_swarm(self, c->number, c->bytes, NULL);
            trust = swarms = true;
        } else if (is_registry(c->kind)) {
            status = ifab_fabric__load_registry(self, c->kind, c->number, c->bytes, NULL);
            trust = registry = true;
        } else if (c->kind == IFAB_KIND_PLAN) {
            status = load_plan(self, c->number, c->bytes, NULL);
        } else if (c->kind == IFAB_KIND_SECRET || c->kind == IFAB_KIND_VAULT) {
            status = load_secret(self, c->kind, c->number, c->bytes, NULL);
            trust = secrets = true;
        } else if (is_money(c->kind)) {
            status = ifab_fabric__load_money(self, c->kind, c->number, c->bytes, NULL);
            if (c->kind == IFAB_KIND_BUDGET || c->kind == IFAB_KIND_PRICES) {
                anew |= IFAB_TRUST_MONEY;
                trust = true;
            }
        } else {
            status = load_live(self, c->kind, c->number, c->bytes, NULL);
        }
        assert(status == IFAB_OK); /* our own bytes, room reserved: see the header */
    }
    if (o->issued_after != INT64_MIN)
        self->issued_after = o->issued_after;
    if (o->set_rules) {
        self->settings.rules = o->rules;
        memcpy(self->rules32, o->rules.digest32, 32);
    }
    if (swarms)
        ifab_swarms_trust_root(self->coordinator, self->swarms_root32);
    if (registry)
        ifab_registry_trust_root(self->registry, self->registry_root32);
    if (secrets)
        ifab_secrets_trust_root(self->secrets, self->secrets_root32);
    if (trust || o->set_rules)
        ifab_fabric__trust_root(self, anew, self->trust_root32);
    for (size_t i = 0; i < o->tag_count; i++)
        ifab_replay_add(self->replay, &o->tags[i]);
    ifab_replay_expire(self->replay, o->now.wall, self->settings.skew);
    if (o->ticked)
        self->ticked = o->now.run;
    if (o->no_circles)
        self->waits = false;
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
