/* What stands in one field of one message: a set of scalars, or something that cannot be compared. */
#include "rule_internal.h"

static void add(struct rule_values *values, struct rule_value value)
{
    values->present = true;
    if (values->count < IFAB_RULE_VALUES_MAX)
        values->items[values->count++] = value;
    else
        values->opaque = true; /* more than are looked at: the strict reading */
}

static void add_string(struct rule_values *values, struct ifab_view string)
{
    add(values, (struct rule_value){.type = VALUE_STRING, .string = string});
}

static void add_optional(struct rule_values *values, struct ifab_view string)
{
    if (string.data != NULL)
        add_string(values, string);
}

static void add_number(struct rule_values *values, bool present, double number)
{
    if (!present)
        return;
    if (number - number == 0) /* finite */
        add(values, (struct rule_value){.type = VALUE_NUMBER, .number = number});
    else
        values->present = values->opaque = true;
}

static void add_json(struct rule_values *values, const struct ifab_json *value, bool nested)
{
    switch (value->type) {
    case IFAB_JSON_NULL:
        add(values, (struct rule_value){.type = VALUE_NULL});
        return;
    case IFAB_JSON_FALSE:
        add(values, (struct rule_value){.type = VALUE_FALSE});
        return;
    case IFAB_JSON_TRUE:
        add(values, (struct rule_value){.type = VALUE_TRUE});
        return;
    case IFAB_JSON_NUMBER:
        add_number(values, true, value->u.number.value);
        return;
    case IFAB_JSON_STRING:
        add_string(values, value->u.string);
        return;
    case IFAB_JSON_ARRAY: /* a set: any element may match */
        values->present = true;
        for (size_t i = 0; !nested && i < value->u.array.count && i <= IFAB_RULE_VALUES_MAX; i++) /* one more than fits: then it is opaque */
            add_json(values, &value->u.array.items[i], true);
        values->opaque |= nested;
        return;
    case IFAB_JSON_OBJECT:
        values->present = values->opaque = true;
        return;
    }
}

static const struct ifab_json *member(const struct ifab_json *object, struct ifab_view name)
{
    for (size_t i = 0; i < object->u.object.count; i++)
        if (ifab_view_equal(object->u.object.members[i].name, name))
            return &object->u.object.members[i].value;
    return NULL;
}

/* a.b.c through objects. Something else on the way: nobody knows what the writer meant. */
static void add_path(struct rule_values *values, const struct ifab_json *at, struct ifab_view path)
{
    while (at != NULL && path.size > 0) {
        const uint8_t *dot = memchr(path.data, '.', path.size);
        struct ifab_view name = {path.data, dot != NULL ? (size_t)(dot - path.data) : path.size};
        path = dot != NULL ? ifab_view_of(dot + 1, path.size - name.size - 1) : ifab_view_of(NULL, 0);
        if (at->type != IFAB_JSON_OBJECT) {
            values->present = values->opaque = true;
            return;
        }
        at = member(at, name);
    }
    if (at != NULL)
        add_json(values, at, false);
}

static void add_bits(struct rule_values *values, unsigned bits)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{IFAB_HAZARD_LEGAL, "legal"}, {IFAB_HAZARD_SAFETY, "safety"}, {IFAB_HAZARD_CONFLICT, "conflict>20%"},
                 {IFAB_HAZARD_UNKNOWN, "unknown"}, {IFAB_HAZARD_OTHER, "other"}};
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        if ((bits & names[i].bit) != 0)
            add_string(values, ifab_view_str(names[i].name));
}

static void add_evidence(struct rule_values *values, const struct ifab_rule_subject *s, enum field_id id)
{
    for (size_t i = 0; i < s->evidence_count; i++) {
        const struct ifab_rule_evidence *e = &s->evidence[i];
        struct ifab_view text = id == FIELD_EVIDENCE_TYPE ? e->type : id == FIELD_EVIDENCE_URL ? e->url : e->domain;
        if (text.size > 0)
            add_string(values, text);
    }
}

void ifab_rule__values(const struct rule_context *context, const struct rule_field *field, struct ifab_view path, struct rule_values *ret_values)
{
    const struct ifab_rule_subject *s = context->subject;
    struct rule_values *v = ret_values;
    v->count = 0;
    v->present = v->opaque = false;
    switch (field->id) {
    case FIELD_PERFORMATIVE: add_optional(v, s->performative); return;
    case FIELD_SENDER: add_optional(v, s->sender); return;
    case FIELD_INSTANCE: add_optional(v, s->instance); return;
    case FIELD_ROLE: add_optional(v, s->role); return;
    case FIELD_OWNER: add_optional(v, s->owner); return;
    case FIELD_RECEIVER:
        for (size_t i = 0; i < s->receiver_count; i++)
            add_string(v, s->receivers[i]);
        return;
    case FIELD_RECEIVER_COUNT: add_number(v, true, (double)s->receiver_count); return;
    case FIELD_TOPIC: add_optional(v, s->topic_hash); return;
    case FIELD_CLAIM: add_optional(v, s->claim); return;
    case FIELD_CLAIM_ID: add_optional(v, s->claim_id); return;
    case FIELD_IS_CLAIM: add(v, (struct rule_value){.type = s->is_claim ? VALUE_TRUE : VALUE_FALSE}); return;
    case FIELD_CONFIDENCE: add_number(v, s->has_confidence, s->confidence); return;
    case FIELD_CONFIDENCE_RAW: add_number(v, s->has_confidence_raw, s->confidence_raw); return;
    case FIELD_HAZARDS:
        for (size_t i = 0; i < s->hazard_count; i++)
            add_string(v, s->hazards[i]);
        for (size_t i = 0; i < context->derived_count; i++)
            add_string(v, context->derived[i]);
        return;
    case FIELD_EVIDENCE_COUNT: add_number(v, true, (double)s->evidence_count); return;
    case FIELD_EVIDENCE_TYPE:
    case FIELD_EVIDENCE_URL:
    case FIELD_EVIDENCE_DOMAIN: add_evidence(v, s, field->id); return;
    case FIELD_DOMAIN_UNIQUE: add_number(v, s->has_domain_unique, s->domain_unique); return;
    case FIELD_TTL: add_number(v, true, s->ttl_s); return;
    case FIELD_SIZE: add_number(v, true, s->size); return;
    case FIELD_PARENT_PERFORMATIVE: add_optional(v, s->parent_performative); return;
    case FIELD_PARENT_HAZARDS: add_bits(v, s->parent_hazards); return;
    case FIELD_SCOPE: add_path(v, s->scope, path); return;
    case FIELD_DATA: add_path(v, s->data, path); return;
    case FIELD_CAPABILITY: add_optional(v, s->capability); return;
    case FIELD_VERSION: add_optional(v, s->version); return;
    case FIELD_OPERATION: add_optional(v, s->operation); return;
    case FIELD_EFFECT: add_optional(v, s->effect); return;
    case FIELD_COST_USD: add_number(v, true, s->cost_usd_micro); return;
    case FIELD_COST_TOKENS: add_number(v, true, s->cost_tokens); return;
    case FIELD_COST_CALLS: add_number(v, true, s->cost_calls); return;
    case FIELD_PARAM: add_path(v, s->params, path); return;
    }
}
