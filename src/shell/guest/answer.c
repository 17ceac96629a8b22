/* What a guest answered: {"result"}, {"summary","effects","cost"?}, or {"error":{"kind","message"}}. Refused, never repaired; everything is redacted. */
#include "guest_internal.h"

#include "base/arena.h"
#include "base/mem.h"
#include "capability/plan.h"
#include "json/json.h"
#include "json/schema.h"
#include "redact/redact.h"

#define MESSAGE_MAX 512
#define EFFECTS_MAX 64

static const struct ifab_schema_field error_fields[] = {
    {.name = "kind", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 16},
    {.name = "message", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 0, .max = MESSAGE_MAX},
};
static const struct ifab_schema error_schema = {"error", error_fields, IFAB_COUNT(error_fields)};
static const struct ifab_schema_field effect_fields[] = {
    {.name = "target", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 0, .max = 512},
    {.name = "type", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64},
};
static const struct ifab_schema effect_schema = {"effect", effect_fields, IFAB_COUNT(effect_fields)};
static const struct ifab_schema_field effect_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &effect_schema};
static const struct ifab_schema_field cost_fields[] = {
    {.name = "calls", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = (int64_t)IFAB_MONEY_MAX},
    {.name = "tokens_in", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = (int64_t)IFAB_MONEY_MAX},
    {.name = "tokens_out", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = (int64_t)IFAB_MONEY_MAX},
    {.name = "usd_micro", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = (int64_t)IFAB_MONEY_MAX},
};
static const struct ifab_schema cost_schema = {"cost", cost_fields, IFAB_COUNT(cost_fields)};
static const struct ifab_schema_field failed_fields[] = {{.name = "error", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &error_schema}};
static const struct ifab_schema_field plan_fields[] = {
    {.name = "cost", .kind = IFAB_SCHEMA_OBJECT, .sub = &cost_schema},
    {.name = "effects", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 0, .max = EFFECTS_MAX, .item = &effect_item},
    {.name = "summary", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 0, .max = MESSAGE_MAX},
};
static const struct ifab_schema_field result_fields[] = {
    {.name = "cost", .kind = IFAB_SCHEMA_OBJECT, .sub = &cost_schema},
    {.name = "result", .kind = IFAB_SCHEMA_ANY, .required = true},
};
static const struct ifab_schema failed_schema = {"answer", failed_fields, IFAB_COUNT(failed_fields)};
static const struct ifab_schema plan_schema = {"answer", plan_fields, IFAB_COUNT(plan_fields)};
static const struct ifab_schema result_schema = {"answer", result_fields, IFAB_COUNT(result_fields)};

static bool fits(const struct ifab_json *tree, const struct ifab_schema *schema)
{
    struct ifab_refusal refusal = {.offset = -1};
    return ifab_schema_check(schema, tree, IFAB_CODE_INVALID_PARAMS, &refusal) == IFAB_CODE_NONE;
}

static uint64_t amount(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value); /* the schema has looked */
    return (uint64_t)value;
}

static void take_cost(const struct ifab_json *tree, struct ifab_guest_answer *ret)
{
    const struct ifab_json *cost = ifab_json_get(tree, "cost");
    if (cost == NULL || cost->u.object.count == 0)
        return; /* what is not said is as it was planned, each member for itself */
    ret->has_cost = true;
    ret->cost = (struct ifab_cost){.has_usd = ifab_json_get(cost, "usd_micro") != NULL, .usd_micro = amount(cost, "usd_micro"),
                                   .tokens_in = amount(cost, "tokens_in"), .tokens_out = amount(cost, "tokens_out"), .calls = amount(cost, "calls")};
}

struct ifab_view ifab_guest__cut(struct ifab_view text, size_t most)
{
    size_t size = text.size > most ? most : text.size;
    while (size > 0 && size < text.size && (text.data[size] & 0xC0) == 0x80)
        size--;
    return ifab_view_of(text.data, size);
}

struct ifab_view ifab_guest__text(struct ifab_view text, struct ifab_arena *arena)
{
    struct ifab_buf clean = IFAB_BUF_INIT(65536);
    struct ifab_view kept = IFAB_VIEW(IFAB_REDACTED);
    ifab_redact_text(&clean, text);
    if (ifab_buf_status(&clean) != IFAB_OK || ifab_arena_copy(arena, ifab_guest__cut(ifab_buf_as_view(&clean), IFAB_GUEST_TEXT_MAX), &kept) != IFAB_OK)
        kept = IFAB_VIEW(IFAB_REDACTED);
    ifab_buf_fini(&clean);
    return kept;
}

static struct ifab_view text_of(const struct ifab_json *object, const char *name, struct ifab_arena *arena)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return ifab_guest__text(text, arena);
}

static bool take_error(const struct ifab_json *tree, struct ifab_arena *arena, struct ifab_guest_answer *ret)
{
    struct ifab_view kind;
    const struct ifab_json *error = ifab_json_get(tree, "error");
    if (!fits(tree, &failed_schema) || !ifab_json_string(ifab_json_get(error, "kind"), &kind))
        return false;
    if (ifab_view_is(kind, "caller"))
        ret->end = IFAB_CALL_CALLER;
    else if (ifab_view_is(kind, "provider") || ifab_view_is(kind, "transient"))
        ret->end = IFAB_CALL_PROVIDER;
    else
        return false;
    ret->text = text_of(error, "message", arena);
    return true;
}

static bool put_redacted(const struct ifab_json *value, struct ifab_arena *arena, struct ifab_view *ret)
{
    struct ifab_buf out = IFAB_BUF_INIT(IFAB_CALL_OUTPUT_MAX);
    ifab_redact_json(&out, value);
    bool good = ifab_buf_status(&out) == IFAB_OK && ifab_arena_copy(arena, ifab_buf_as_view(&out), ret) == IFAB_OK;
    ifab_buf_fini(&out);
    return good;
}

bool ifab_guest_read(enum ifab_guest_task task, struct ifab_view output, struct ifab_arena *arena, struct ifab_guest_answer *ret)
{
    const struct ifab_json *tree;
    const struct ifab_json_limits limits = {.max_size = 2 * IFAB_CALL_OUTPUT_MAX};
    if (ifab_json_read(output, &limits, arena, &tree, NULL) != IFAB_OK || tree->type != IFAB_JSON_OBJECT)
        return false;
    if (ifab_json_get(tree, "error") != NULL)
        return take_error(tree, arena, ret);
    if (!fits(tree, task == IFAB_GUEST_PLAN ? &plan_schema : &result_schema))
        return false;
    ret->end = IFAB_CALL_OK;
    take_cost(tree, ret);
    if (task == IFAB_GUEST_PLAN)
        ret->summary = text_of(tree, "summary", arena);
    return put_redacted(task == IFAB_GUEST_PLAN ? ifab_json_get(tree, "effects") : ifab_json_get(tree, "result"), arena, &ret->output) &&
           (task != IFAB_GUEST_PLAN || ret->output.size <= IFAB_PLAN_EFFECTS_MAX);
}
