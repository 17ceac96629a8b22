/* The record of a budget: its one spelling, and the act that makes the next one. */
#include "base/mem.h"
#include "json/schema.h"
#include "money_internal.h"

static bool check_subject(struct ifab_view text, const char **ret_why)
{
    enum ifab_subject unused;
    *ret_why = "provider, capability, talent, swarm or trace";
    return ifab_subject_parse(text, &unused);
}

static bool check_unit(struct ifab_view text, const char **ret_why)
{
    enum ifab_unit unused;
    *ret_why = "usd_micro, tokens or calls";
    return ifab_unit_parse(text, &unused);
}

static bool check_period(struct ifab_view text, const char **ret_why)
{
    enum ifab_period unused;
    *ret_why = "hour, day, week, month or total";
    return ifab_period_parse(text, &unused);
}

#define TEXT(name_, max_, check_)                                                                                      \
    {                                                                                                                  \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = (max_), .check = (check_)       \
    }
#define INTEGER(name_, min_, max_)                                                                               \
    {                                                                                                            \
        .name = (name_), .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = (min_), .max = (max_)             \
    }
static const struct ifab_schema_field fields[] = {
    TEXT("created_at", 24, ifab_schema_time),
    TEXT("id", IFAB_NAME_MAX, ifab_schema_name),
    INTEGER("limit", 0, (int64_t)IFAB_MONEY_MAX),
    TEXT("name", IFAB_SUBJECT_NAME_MAX, NULL),
    TEXT("period", 8, check_period),
    TEXT("subject", 16, check_subject),
    TEXT("unit", 16, check_unit),
    INTEGER("v", 1, 1),
    INTEGER("version", 1, (int64_t)IFAB_MONEY_MAX),
};
static const struct ifab_schema schema = {"budget record", fields, IFAB_COUNT(fields)};

void ifab_budget__write(struct ifab_buf *buf, const struct ifab_budget *budget)
{
    ifab_buf_str(buf, "{\"created_at\":\"");
    ifab_buf_time(buf, budget->created);
    ifab_buf_str(buf, "\",\"id\":");
    ifab_json_put_string(buf, budget->id);
    ifab_buf_format(buf, ",\"limit\":%llu,\"name\":", (unsigned long long)budget->limit);
    ifab_json_put_string(buf, budget->name);
    ifab_buf_format(buf, ",\"period\":\"%s\",\"subject\":\"%s\",\"unit\":\"%s\",\"v\":1,\"version\":%llu}", ifab_period_name(budget->period),
                    ifab_subject_name(budget->subject), ifab_unit_name(budget->unit), (unsigned long long)budget->version);
}

static uint64_t integer_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return (uint64_t)value;
}

ifab_status ifab_budget__read(struct ifab_view record, struct ifab_arena *arena, struct ifab_budget *ret, struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = IFAB_BUDGET_RECORD_MAX, .all_numbers_safe = true};
    const struct ifab_json *tree;
    struct ifab_buf again = IFAB_BUF_INIT(2 * IFAB_BUDGET_RECORD_MAX);
    struct ifab_refusal refusal = {0};
    ifab_status status = ifab_json_read(record, &limits, arena, &tree, err);
    if (status != IFAB_OK)
        return status == IFAB_NOMEM ? status : IFAB_CORRUPT;
    if (ifab_schema_check(&schema, tree, IFAB_CODE_INVALID_PARAMS, &refusal) != IFAB_CODE_NONE)
        return ifab_fail(err, IFAB_CORRUPT, "budget: %s: %s", refusal.field, refusal.message);
    *ret = (struct ifab_budget){
        .id = ifab_json_text(tree, "id"), .name = ifab_json_text(tree, "name"), .limit = integer_of(tree, "limit"), .version = integer_of(tree, "version"), .record = record};
    (void)ifab_subject_parse(ifab_json_text(tree, "subject"), &ret->subject); /* the schema has looked */
    (void)ifab_unit_parse(ifab_json_text(tree, "unit"), &ret->unit);
    (void)ifab_period_parse(ifab_json_text(tree, "period"), &ret->period);
    (void)ifab_time_parse(ifab_json_text(tree, "created_at"), &ret->created);
    ifab_budget__write(&again, ret);
    bool same = ifab_view_equal(ifab_buf_as_view(&again), record);
    status = ifab_buf_status(&again);
    ifab_buf_fini(&again);
    if (status != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "budget");
    if (!same || !ifab_subject_valid(ret->subject, ret->name)) /* one budget has one spelling; names need no escape, so they point into record */
        return ifab_fail(err, IFAB_CORRUPT, "budget: not the spelling that its record has");
    return IFAB_OK;
}

struct ifab_view ifab_budget__lower(struct ifab_view id, uint8_t storage[IFAB_NAME_MAX])
{
    size_t size = id.size < IFAB_NAME_MAX ? id.size : IFAB_NAME_MAX;
    for (size_t i = 0; i < size; i++)
        storage[i] = (uint8_t)(id.data[i] >= 'A' && id.data[i] <= 'Z' ? id.data[i] + 32 : id.data[i]);
    return ifab_view_of(storage, size);
}

/* Who else counts the same thing: one budget a subject, unit and period, so that an act can never touch more than IFAB_BUDGET_LINES_MAX. */
static const struct ifab_budget *same_thing(const struct ifab_money *self, const struct ifab_budget_request *request)
{
    const struct budget_node *node = ifab_money__of_subject(self, request->subject, request->name);
    while (node != NULL && (node->budget.unit != request->unit || node->budget.period != request->period))
        node = node->next;
    return node != NULL ? &node->budget : NULL;
}

static enum ifab_code check_request(const struct ifab_budget_request *request, struct ifab_refusal *r)
{
    if (request->wall < 0 || request->wall > IFAB_MONEY__WALL_MAX)
        return ifab_refuse(r, IFAB_CODE_SYSTEM_ERROR, "", "the clock is outside the years 1970 to 9999");
    if (!ifab_name_valid(request->id))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "id", "not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, no \"..\"");
    if ((size_t)request->subject >= IFAB_SUBJECT_COUNT || (size_t)request->unit >= IFAB_UNIT_COUNT || (size_t)request->period >= IFAB_PERIOD_COUNT)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "subject", "no such subject, unit or period");
    if (!ifab_subject_valid(request->subject, request->name))
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "name", "not the name of a %s", ifab_subject_name(request->subject));
    if (request->limit > IFAB_MONEY_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "limit", "at most 2^53-1");
    return IFAB_CODE_NONE;
}

static enum ifab_code check_room(const struct ifab_money *self, const struct ifab_budget_request *request, struct ifab_refusal *r)
{
    bool trace = request->subject == IFAB_SUBJECT_TRACE;
    size_t most = trace ? IFAB_TRACE_BUDGET_MAX : IFAB_BUDGET_MAX;
    if (ifab_money_budget_count(self, trace) < most)
        return IFAB_CODE_NONE;
    return ifab_refuse(r, IFAB_CODE_QUOTA_EXCEEDED, "", "%zu budgets %s are the most", most, trace ? "of traces" : "in all");
}

enum ifab_code ifab_budget_set(const struct ifab_money *self, const struct ifab_budget_request *request, struct ifab_buf *record,
                               uint64_t *ret_number, struct ifab_refusal *r)
{
    uint8_t storage[IFAB_NAME_MAX];
    uint64_t pointer = 0;
    enum ifab_code code = check_request(request, r);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_budget next = {
        .id = request->id,
        .name = request->name,
        .subject = request->subject,
        .unit = request->unit,
        .period = request->period,
        .limit = request->limit,
        .version = 1,
        .created = request->wall - request->wall % 1000,
    };
    *ret_number = 0;
    if (ifab_map_get(&self->by_id, ifab_budget__lower(request->id, storage), &pointer)) {
        const struct ifab_budget *old = &((const struct budget_node *)(uintptr_t)pointer)->budget;
        bool same = ifab_view_equal(old->id, request->id) && old->subject == request->subject && old->unit == request->unit &&
                    old->period == request->period && ifab_view_equal(old->name, request->name);
        if (!same)
            return ifab_refuse(r, IFAB_CODE_CONFLICT, "id", "budget " IFAB_FMT " counts %s of %s " IFAB_FMT " a %s; only its limit can be changed", IFAB_ARG(old->id),
                               ifab_unit_name(old->unit), ifab_subject_name(old->subject), IFAB_ARG(old->name), ifab_period_name(old->period));
        next.version = old->version + 1;
        next.created = old->created;
        *ret_number = old->number;
    } else {
        const struct ifab_budget *other = same_thing(self, request);
        if (other != NULL)
            return ifab_refuse(r, IFAB_CODE_CONFLICT, "id", "budget " IFAB_FMT " counts the same: change its limit", IFAB_ARG(other->id));
        code = check_room(self, request, r);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    ifab_budget__write(record, &next);
    return ifab_buf_status(record) == IFAB_OK ? IFAB_CODE_NONE : ifab_refuse(r, IFAB_CODE_SYSTEM_ERROR, "", "no memory for the record");
}
