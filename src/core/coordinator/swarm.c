/*
 * Swarms: who works, what they can do, and how they are bounded. See coordinator.h.
 *
 * 1. What read takes, write gives back byte for byte: one swarm has one spelling.
 * 2. load is all or nothing; id, number and time of making stay what they were.
 */
#include "coordinator_internal.h"

#include "crypto/crypto.h"
#include "json/schema.h"

#define CONCURRENCY 5
#define CONCURRENCY_MAX 1000
#define WEIGHT_MAX 16
#define QUEUE_LIMIT 10000
#define QUEUE_LIMIT_MAX 100000
#define COST_MAX INT64_C(1000000000000) /* a million a hour */

static const char *const policies[] = {"reject", "block", "shed-lowest"};

static bool check_skill(struct ifab_view text, const char **ret_why)
{
    *ret_why = "a skill: letters, digits and . _ : -, at most 64";
    return ifab_skill_valid(text);
}

static bool check_policy(struct ifab_view text, const char **ret_why)
{
    *ret_why = "reject, block or shed-lowest";
    for (size_t i = 0; i < IFAB_COUNT(policies); i++)
        if (ifab_view_is(text, policies[i]))
            return true;
    return false;
}

static const struct ifab_schema_field skill_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_SKILL_MAX, .check = check_skill};
static const struct ifab_schema_field member_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name};
static const struct ifab_schema_field cost_fields[] = {
    {.name = "usd_micro_per_hour", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 0, .max = COST_MAX},
};
static const struct ifab_schema cost_schema = {"cost", cost_fields, IFAB_COUNT(cost_fields)};
static const struct ifab_schema_field queue_fields[] = {
    {.name = "limit", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = QUEUE_LIMIT_MAX},
    {.name = "policy", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 5, .max = 11, .check = check_policy},
};
static const struct ifab_schema queue_schema = {"queue", queue_fields, IFAB_COUNT(queue_fields)};
static const struct ifab_schema_field swarm_fields[] = {
    {.name = "concurrency", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = CONCURRENCY_MAX},
    {.name = "cost", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &cost_schema},
    {.name = "created_at", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 24, .max = 24, .check = ifab_schema_time},
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "members", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 0, .max = IFAB_SWARM_MEMBERS_MAX, .item = &member_item},
    {.name = "model", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "queue", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &queue_schema},
    {.name = "skills", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 1, .max = IFAB_SWARM_SKILLS_MAX, .item = &skill_item},
    {.name = "v", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 1},
    {.name = "weight", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = WEIGHT_MAX},
};
static const struct ifab_schema swarm_schema = {"swarm record", swarm_fields, IFAB_COUNT(swarm_fields)};

static void put_names(struct ifab_buf *buf, const struct ifab_names *names)
{
    struct ifab_view name;
    size_t at = 0;
    ifab_buf_char(buf, '[');
    while (ifab_names_next(names, &at, &name)) {
        if (at > name.size + 1)
            ifab_buf_char(buf, ',');
        ifab_json_put_string(buf, name);
    }
    ifab_buf_char(buf, ']');
}

static void write_record(struct ifab_buf *buf, const struct ifab_swarm *swarm)
{
    ifab_buf_format(buf, "{\"concurrency\":%u,\"cost\":{\"usd_micro_per_hour\":%lld},\"created_at\":\"", swarm->concurrency,
                    (long long)swarm->cost_per_hour);
    ifab_buf_time(buf, swarm->created);
    ifab_buf_str(buf, "\",\"id\":");
    ifab_json_put_string(buf, swarm->id);
    ifab_buf_str(buf, ",\"members\":");
    put_names(buf, &swarm->members);
    if (swarm->model.size > 0) {
        ifab_buf_str(buf, ",\"model\":");
        ifab_json_put_string(buf, swarm->model);
    }
    ifab_buf_format(buf, ",\"queue\":{\"limit\":%u,\"policy\":\"%s\"},\"skills\":", swarm->queue_limit, policies[swarm->queue_policy]);
    put_names(buf, &swarm->skills);
    ifab_buf_format(buf, ",\"v\":1,\"weight\":%u}", swarm->weight);
}

/* ---- reading ---- */

static int64_t integer_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return value;
}

static bool names_of(const struct ifab_json *list, char *room, size_t size, struct ifab_names *ret_names)
{
    struct ifab_view names[IFAB_SWARM_MEMBERS_MAX];
    size_t count = list->u.array.count;
    for (size_t i = 0; i < count; i++)
        (void)ifab_json_string(&list->u.array.items[i], &names[i]);
    return ifab_names_pack(names, count, room, size, ret_names);
}

static enum ifab_queue_policy policy_of(struct ifab_view text)
{
    for (size_t i = 0; i < IFAB_COUNT(policies); i++)
        if (ifab_view_is(text, policies[i]))
            return (enum ifab_queue_policy)i;
    return IFAB_QUEUE_REJECT;
}

#define SKILLS_ROOM (IFAB_SWARM_SKILLS_MAX * (IFAB_SKILL_MAX + 1))
#define MEMBERS_ROOM (IFAB_SWARM_MEMBERS_MAX * (IFAB_NAME_MAX + 1))

/* Everything of ret_swarm is borrowed from the arena. */
static ifab_status read_record(struct ifab_view record, struct ifab_arena *arena, struct ifab_swarm *ret_swarm, struct ifab_error *err)
{
    static const struct ifab_json_limits limits = {.max_size = IFAB_SWARM_RECORD_MAX, .all_numbers_safe = true};
    const struct ifab_json *tree = NULL;
    struct ifab_refusal refusal;
    ifab_status status = ifab_json_read(record, &limits, arena, &tree, err);
    if (status != IFAB_OK)
        return status == IFAB_NOMEM ? IFAB_NOMEM : ifab_fail(err, IFAB_CORRUPT, "swarm record: not JSON");
    enum ifab_code code = ifab_schema_check(&swarm_schema, tree, IFAB_CODE_LOG_CORRUPT, &refusal);
    if (code != IFAB_CODE_NONE)
        return ifab_fail(err, code == IFAB_CODE_LOG_CORRUPT ? IFAB_CORRUPT : IFAB_NOMEM, "swarm record: %s: %s", refusal.field, refusal.message);
    char *skills = ifab_arena_alloc(arena, SKILLS_ROOM), *members = ifab_arena_alloc(arena, MEMBERS_ROOM);
    if (skills == NULL || members == NULL)
        return ifab_fail(err, IFAB_NOMEM, "swarm record");
    const struct ifab_json *queue = ifab_json_get(tree, "queue");
    struct ifab_swarm s = {
        .id = ifab_json_text(tree, "id"),
        .model = ifab_json_text(tree, "model"),
        .cost_per_hour = integer_of(ifab_json_get(tree, "cost"), "usd_micro_per_hour"),
        .concurrency = (uint32_t)integer_of(tree, "concurrency"),
        .weight = (uint32_t)integer_of(tree, "weight"),
        .queue_limit = (uint32_t)integer_of(queue, "limit"),
        .queue_policy = policy_of(ifab_json_text(queue, "policy")),
        .record = record,
    };
    if (ifab_time_parse(ifab_json_text(tree, "created_at"), &s.created) != IFAB_OK ||
        !names_of(ifab_json_get(tree, "skills"), skills, SKILLS_ROOM, &s.skills) ||
        !names_of(ifab_json_get(tree, "members"), members, MEMBERS_ROOM, &s.members))
        return ifab_fail(err, IFAB_CORRUPT, "swarm record: its fields do not fit each other");
    struct ifab_buf buf = IFAB_BUF_INIT(2 * IFAB_SWARM_RECORD_MAX);
    write_record(&buf, &s);
    status = ifab_buf_status(&buf) != IFAB_OK ? ifab_fail(err, IFAB_NOMEM, "swarm record")
             : ifab_view_equal(ifab_buf_as_view(&buf), record)
                 ? IFAB_OK
                 : ifab_fail(err, IFAB_CORRUPT, "swarm record: not in its canonical form");
    ifab_buf_fini(&buf);
    *ret_swarm = s;
    return status;
}

/* ---- the table ---- */

static size_t place_of(const struct ifab_coordinator *self, uint64_t number) /* first one not below it */
{
    size_t low = 0, high = self->swarm_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->swarms[middle]->swarm.number.n < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t ifab_coordinator__swarm_place(const struct ifab_coordinator *self, uint64_t number)
{
    size_t place = number == 0 ? self->swarm_count : place_of(self, number);
    return place < self->swarm_count && self->swarms[place]->swarm.number.n == number ? place : self->swarm_count;
}

struct swarm_node *ifab_coordinator__swarm(const struct ifab_coordinator *self, uint64_t number)
{
    size_t place = ifab_coordinator__swarm_place(self, number);
    return place < self->swarm_count ? self->swarms[place] : NULL;
}

static struct ifab_view lower(struct ifab_view id, char storage[IFAB_NAME_MAX])
{
    size_t size = id.size < IFAB_NAME_MAX ? id.size : IFAB_NAME_MAX;
    for (size_t i = 0; i < size; i++)
        storage[i] = (char)(id.data[i] >= 'A' && id.data[i] <= 'Z' ? id.data[i] + 32 : id.data[i]);
    return ifab_view_of(storage, size);
}

static struct swarm_node *node_by_id(const struct ifab_coordinator *self, struct ifab_view id) /* whatever its case */
{
    char storage[IFAB_NAME_MAX];
    uint64_t pointer;
    if (id.size > IFAB_NAME_MAX || !ifab_map_get(&self->swarm_by_id, lower(id, storage), &pointer))
        return NULL;
    return (struct swarm_node *)(uintptr_t)pointer; /* NOLINT(performance-no-int-to-ptr) */
}

const struct ifab_swarm *ifab_swarm_find(const struct ifab_coordinator *self, struct ifab_view id)
{
    const struct swarm_node *node = node_by_id(self, id);
    return node != NULL && ifab_view_equal(node->swarm.id, id) ? &node->swarm : NULL;
}

const struct ifab_swarm *ifab_swarm_at(const struct ifab_coordinator *self, struct ifab_swarm_number number)
{
    const struct swarm_node *node = ifab_coordinator__swarm(self, number.n);
    return node == NULL ? NULL : &node->swarm;
}

const struct ifab_swarm *ifab_swarm_after(const struct ifab_coordinator *self, struct ifab_swarm_number number)
{
    size_t place = number.n == UINT64_MAX ? self->swarm_count : place_of(self, number.n + 1);
    return place < self->swarm_count ? &self->swarms[place]->swarm : NULL;
}

size_t ifab_swarm_count(const struct ifab_coordinator *self) { return self->swarm_count; }

uint32_t ifab_swarm_in_flight(const struct ifab_coordinator *self, struct ifab_swarm_number swarm)
{
    const struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    return node == NULL ? 0 : node->in_flight;
}

uint32_t ifab_swarm_queued(const struct ifab_coordinator *self, struct ifab_swarm_number swarm)
{
    const struct account *account = ifab_queue__account(self, swarm.n);
    return account == NULL ? 0 : account->queued;
}

uint32_t ifab_swarm_room(const struct ifab_coordinator *self, struct ifab_swarm_number swarm)
{
    const struct swarm_node *node = ifab_coordinator__swarm(self, swarm.n);
    uint32_t queued = ifab_swarm_queued(self, swarm);
    if (node == NULL || node->swarm.queue_policy != IFAB_QUEUE_BLOCK)
        return UINT32_MAX;
    return queued < node->swarm.queue_limit ? node->swarm.queue_limit - queued : 0;
}

bool ifab_swarm_has_member(const struct ifab_swarm *swarm, struct ifab_view talent) { return ifab_names_has(&swarm->members, talent); }

static char *copy(char **at, const void *bytes, size_t size)
{
    char *here = *at;
    if (size > 0)
        memcpy(here, bytes, size);
    *at += size;
    return here;
}

static struct swarm_node *node_new(const struct ifab_swarm *swarm, uint64_t number)
{
    size_t size = swarm->record.size + swarm->skills.size + swarm->members.size + swarm->id.size + swarm->model.size;
    struct swarm_node *node = ifab_malloc(sizeof *node + size);
    if (node == NULL)
        return NULL;
    char *at = (char *)node->text;
    node->swarm = *swarm;
    node->swarm.number.n = number;
    node->in_flight = node->blocked = 0;
    node->heard = 0;
    node->looked = 0;
    node->help = (struct ifab_swarm_help){0};
    node->swarm.record = ifab_view_of(copy(&at, swarm->record.data, swarm->record.size), swarm->record.size);
    node->swarm.skills.text = copy(&at, swarm->skills.text, swarm->skills.size);
    node->swarm.members.text = copy(&at, swarm->members.text, swarm->members.size);
    node->swarm.id = ifab_view_of(copy(&at, swarm->id.data, swarm->id.size), swarm->id.size);
    node->swarm.model = ifab_view_of(copy(&at, swarm->model.data, swarm->model.size), swarm->model.size);
    ifab_sha256(swarm->record, node->record32);
    return node;
}

static ifab_status insert(struct ifab_coordinator *self, struct swarm_node *node, size_t place)
{
    char storage[IFAB_NAME_MAX];
    if (self->swarm_count == self->swarm_room) {
        size_t room = self->swarm_room == 0 ? 16 : self->swarm_room * 2;
        struct swarm_node **bigger = ifab_realloc(self->swarms, room * sizeof *bigger);
        if (bigger == NULL)
            return IFAB_NOMEM;
        self->swarms = bigger;
        self->swarm_room = room;
    }
    IFAB_TRY(ifab_map_put(&self->swarm_by_id, lower(node->swarm.id, storage), (uint64_t)(uintptr_t)node));
    memmove(self->swarms + place + 1, self->swarms + place, (self->swarm_count - place) * sizeof *self->swarms);
    self->swarms[place] = node;
    self->swarm_count++;
    return IFAB_OK;
}

static ifab_status take_in(struct ifab_coordinator *self, uint64_t number, const struct ifab_swarm *swarm, struct ifab_error *err)
{
    char storage[IFAB_NAME_MAX];
    size_t place = place_of(self, number);
    struct swarm_node *old = ifab_coordinator__swarm(self, number), *same = node_by_id(self, swarm->id);
    if (same != old || (old != NULL && (!ifab_view_equal(old->swarm.id, swarm->id) || old->swarm.created != swarm->created)))
        return ifab_fail(err, IFAB_CORRUPT, "swarm %llu: its id belongs to another, or has changed", (unsigned long long)number);
    struct swarm_node *node = node_new(swarm, number);
    if (node == NULL)
        return ifab_fail(err, IFAB_NOMEM, "swarm");
    self->places++;
    if (old != NULL) {
        node->looked = old->looked;
        node->in_flight = old->in_flight;
        node->blocked = old->blocked;
        node->heard = old->heard;
        node->help = old->help;
        self->swarms[place] = node;
        (void)ifab_map_put(&self->swarm_by_id, lower(node->swarm.id, storage), (uint64_t)(uintptr_t)node); /* its key is there */
        ifab_free(old);
        return IFAB_OK;
    }
    ifab_status status = insert(self, node, place);
    if (status != IFAB_OK)
        ifab_free(node);
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "swarm");
}

ifab_status ifab_swarm_load(struct ifab_coordinator *self, uint64_t number, struct ifab_view record, struct ifab_error *err)
{
    struct ifab_swarm swarm;
    struct ifab_arena arena;
    if (number == 0)
        return ifab_fail(err, IFAB_CORRUPT, "swarm record without a number");
    ifab_arena_init(&arena, (size_t)1 << 20);
    ifab_status status = read_record(record, &arena, &swarm, err);
    if (status == IFAB_OK)
        status = take_in(self, number, &swarm, err);
    ifab_arena_fini(&arena);
    return status;
}

void ifab_swarms_trust_root(const struct ifab_coordinator *self, uint8_t ret_root32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    for (size_t i = 0; i < self->swarm_count; i++) {
        uint8_t row[40];
        for (size_t b = 0; b < 8; b++)
            row[b] = (uint8_t)(self->swarms[i]->swarm.number.n >> (8 * b));
        memcpy(row + 8, self->swarms[i]->record32, 32);
        ifab_sha256_add(&hash, ifab_view_of(row, sizeof row));
    }
    ifab_sha256_end(&hash, ret_root32);
}

/* ---- the act ---- */

static enum ifab_code check_request(const struct ifab_coordinator *self, const struct ifab_swarm_request *r, const struct swarm_node *there,
                                    struct ifab_refusal *refusal)
{
    if (!ifab_name_valid(r->id))
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "id", "a name: letters, digits and . _ -, at most 64");
    if (r->model.size > 0 && !ifab_name_valid(r->model))
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "model", "a name: letters, digits and . _ -, at most 64");
    if (there != NULL && !ifab_view_equal(there->swarm.id, r->id))
        return ifab_refuse(refusal, IFAB_CODE_CONFLICT, "id", "differs only in case from the swarm " IFAB_FMT, IFAB_ARG(there->swarm.id));
    if (there == NULL && self->swarm_count >= IFAB_SWARM_MAX)
        return ifab_refuse(refusal, IFAB_CODE_QUOTA_EXCEEDED, NULL, "%d swarms are registered, which is the limit", IFAB_SWARM_MAX);
    if (r->skill_count == 0 || r->skill_count > IFAB_SWARM_SKILLS_MAX)
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "skills", "1 to %d skills", IFAB_SWARM_SKILLS_MAX);
    if (r->member_count > IFAB_SWARM_MEMBERS_MAX)
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "members", "at most %d members", IFAB_SWARM_MEMBERS_MAX);
    if (r->concurrency > CONCURRENCY_MAX || r->weight > WEIGHT_MAX || r->queue_limit > QUEUE_LIMIT_MAX || r->cost_per_hour < 0 ||
        r->cost_per_hour > COST_MAX)
        return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS,
                           r->concurrency > CONCURRENCY_MAX ? "concurrency" : r->weight > WEIGHT_MAX ? "weight" : r->queue_limit > QUEUE_LIMIT_MAX ? "queue" : "cost",
                           "above its limit");
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_swarm_register(const struct ifab_coordinator *self, const struct ifab_swarm_request *request, struct ifab_buf *record,
                                   struct ifab_swarm_number *ret_number, struct ifab_refusal *ret_refusal)
{
    char skills[SKILLS_ROOM], members[MEMBERS_ROOM];
    const struct swarm_node *there = node_by_id(self, request->id);
    enum ifab_code code = check_request(self, request, there, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_swarm swarm = {
        .id = request->id,
        .model = request->model,
        .cost_per_hour = request->cost_per_hour,
        .concurrency = request->concurrency == 0 ? CONCURRENCY : request->concurrency,
        .weight = request->weight == 0 ? 1 : request->weight,
        .queue_limit = request->queue_limit == 0 ? QUEUE_LIMIT : request->queue_limit,
        .queue_policy = request->queue_policy,
        .created = there == NULL ? request->wall - request->wall % 1000 : there->swarm.created,
    };
    if (!ifab_names_pack(request->skills, request->skill_count, skills, sizeof skills, &swarm.skills))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "skills", "letters, digits and . _ : -, at most %d each", IFAB_SKILL_MAX);
    if (!ifab_names_pack(request->members, request->member_count, members, sizeof members, &swarm.members))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "members", "names of talents");
    write_record(record, &swarm);
    *ret_number = there == NULL ? (struct ifab_swarm_number){0} : there->swarm.number;
    return IFAB_CODE_NONE;
}
