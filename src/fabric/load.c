/*
 * What the store kept becomes the fabric's memory again, one record at a time; what a step decided goes the same way. A kind of record is a row of the
 * table at the end.
 */
#include "fabric_internal.h"

#include <string.h>

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

static ifab_status load_talent(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    (void)kind;
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

static ifab_status load_swarm(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    (void)kind;
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

static ifab_status load_meta(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    (void)kind;
    (void)number;
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
    case IFAB_KIND_LACK:
        good = ifab_fabric__load_lack(self, number, bytes);
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

static ifab_status load_plan(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    (void)kind;
    IFAB_TRY(ifab_plans_load(self->plans, number, bytes, err));
    if (number >= self->next_number)
        self->next_number = number + 1;
    return IFAB_OK;
}
static ifab_status load_log_key(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    (void)kind;
    return ifab_fabric__load_log_key(self, number, bytes, err);
}

typedef ifab_status load_fn(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
#define LIVE {load_live, 0} /* finds room reserved */
static const struct {
    load_fn *load;
    unsigned roots; /* IFAB_TRUST_*: what is to be computed anew once it has changed */
} kinds[] = {
    [IFAB_KIND_META] = {load_meta, 0},
    [IFAB_KIND_TALENT] = {load_talent, IFAB_TRUST_ROOT | IFAB_TRUST_TALENTS},
    [IFAB_KIND_SEQUENCE] = LIVE,
    [IFAB_KIND_CONVERSATION] = LIVE,
    [IFAB_KIND_DECISION] = LIVE,
    [IFAB_KIND_BUCKET] = LIVE,
    [IFAB_KIND_IDEMPOTENCY] = LIVE,
    [IFAB_KIND_TOKEN] = {load_access, IFAB_TRUST_ROOT},
    [IFAB_KIND_INVITE] = {load_access, IFAB_TRUST_ROOT},
    [IFAB_KIND_LOG_KEY] = {load_log_key, IFAB_TRUST_ROOT},
    [IFAB_KIND_SWARM] = {load_swarm, IFAB_TRUST_ROOT | IFAB_TRUST_SWARMS},
    [IFAB_KIND_TASK] = LIVE,
    [IFAB_KIND_TASK_CLOSED] = LIVE,
    [IFAB_KIND_SWARM_HELP] = LIVE,
    [IFAB_KIND_BUDGET] = {ifab_fabric__load_money, IFAB_TRUST_ROOT | IFAB_TRUST_MONEY},
    [IFAB_KIND_BUDGET_STATE] = {ifab_fabric__load_money, 0},
    [IFAB_KIND_RESERVATION] = {ifab_fabric__load_money, 0},
    [IFAB_KIND_BREAKER] = {ifab_fabric__load_money, 0},
    [IFAB_KIND_PRICES] = {ifab_fabric__load_money, IFAB_TRUST_ROOT | IFAB_TRUST_MONEY},
    [IFAB_KIND_PUBLISHER] = {ifab_fabric__load_registry, IFAB_TRUST_ROOT | IFAB_TRUST_REGISTRY},
    [IFAB_KIND_ALLOWED] = {ifab_fabric__load_registry, IFAB_TRUST_ROOT | IFAB_TRUST_REGISTRY},
    [IFAB_KIND_REVOCATION] = {ifab_fabric__load_registry, IFAB_TRUST_ROOT | IFAB_TRUST_REGISTRY},
    [IFAB_KIND_PLAN] = {load_plan, 0},
    [IFAB_KIND_SECRET] = {load_secret, IFAB_TRUST_ROOT | IFAB_TRUST_SECRETS},
    [IFAB_KIND_VAULT] = {load_secret, IFAB_TRUST_ROOT | IFAB_TRUST_SECRETS},
};
#undef LIVE

ifab_status ifab_fabric__load(struct ifab_fabric *self, const struct ifab_change *change, unsigned *roots)
{
    if (change->kind >= IFAB_COUNT(kinds) || kinds[change->kind].load == NULL || change->kind == IFAB_KIND_META)
        return load_live(self, change->kind, change->number, change->bytes, NULL);
    *roots |= kinds[change->kind].roots;
    return kinds[change->kind].load(self, change->kind, change->number, change->bytes, NULL);
}

ifab_status ifab_fabric_load_record(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    if (kind >= IFAB_COUNT(kinds) || kinds[kind].load == NULL)
        return ifab_fail(err, IFAB_CORRUPT, "record of unknown kind %u", kind);
    if (kinds[kind].load == load_live && ifab_fabric_prepare(self) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "records: out of memory");
    return kinds[kind].load(self, kind, number, bytes, err);
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
