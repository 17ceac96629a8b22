/*
 * A compiled set over one message. Invariants:
 * 1. The answer is that of asking every rule in order of id; the index only leaves out rules that cannot match.
 * 2. Work is counted; past the bound the message is denied when any rule denies, else escalated; never shared.
 */
#include "rule_internal.h"

static void context_init(struct rule_context *ret, const struct ifab_rule_subject *subject)
{
    ret->subject = subject;
    ret->asked_field = NULL;
    ret->derived_count = 0;
    ret->work = 0;
}

static enum ifab_rule_match negate(enum ifab_rule_match match)
{
    return match == IFAB_RULE_UNKNOWN ? match : match == IFAB_RULE_YES ? IFAB_RULE_NO : IFAB_RULE_YES;
}

static bool text_holds(enum rule_operator op, struct ifab_view text, struct ifab_view part)
{
    if (part.size > text.size)
        return false;
    if (op == OPERATOR_STARTS_WITH)
        return ifab_view_starts(text, part);
    if (op == OPERATOR_ENDS_WITH)
        return memcmp(text.data + text.size - part.size, part.data, part.size) == 0;
    for (size_t i = 0; i + part.size <= text.size; i++) { /* not memmem: a pure room knows C only */
        const uint8_t *at = memchr(text.data + i, part.data[0], text.size - part.size - i + 1);
        if (at == NULL)
            return false;
        i = (size_t)(at - text.data);
        if (memcmp(at, part.data, part.size) == 0)
            return true;
    }
    return false;
}

static bool number_holds(enum rule_operator op, double value, double limit)
{
    return op == OPERATOR_ABOVE ? value > limit : op == OPERATOR_AT_LEAST ? value >= limit : op == OPERATOR_BELOW ? value < limit : value <= limit;
}

/* One value against the literals of a test; of a bound there is one. */
static enum ifab_rule_match compare(struct rule_context *context, const struct rule_test *test, const struct rule_value *value)
{
    const struct rule_value *literal = test->literals;
    bool numeric = test->op >= OPERATOR_ABOVE && test->op <= OPERATOR_AT_MOST;
    bool textual = test->op >= OPERATOR_STARTS_WITH && test->op <= OPERATOR_CONTAINS;
    if ((numeric && value->type != VALUE_NUMBER) || (textual && value->type != VALUE_STRING))
        return IFAB_RULE_UNKNOWN;
    if (numeric) {
        context->work++;
        return number_holds(test->op, value->number, literal->number) ? IFAB_RULE_YES : IFAB_RULE_NO;
    }
    for (size_t i = 0; i < test->literal_count; i++, literal++) {
        context->work += 1 + (textual ? value->string.size * (1 + literal->string.size / 32) / 64 : 0);
        if (textual ? text_holds(test->op, value->string, literal->string) : ifab_rule__equal(value, literal))
            return IFAB_RULE_YES;
    }
    return IFAB_RULE_NO;
}

static enum ifab_rule_match ask_test(struct rule_context *context, const struct rule_test *test)
{
    struct rule_values *values = &context->asked;
    enum ifab_rule_match match = IFAB_RULE_NO;
    if (context->asked_field != test->field || (context->asked_path.data != test->path.data && !ifab_view_equal(context->asked_path, test->path))) {
        ifab_rule__values(context, test->field, test->path, values);
        context->asked_field = test->field;
        context->asked_path = test->path;
    }
    context->work += 1 + values->count;
    if (test->op == OPERATOR_EXISTS)
        return values->present == test->wanted ? IFAB_RULE_YES : IFAB_RULE_NO;
    for (size_t i = 0; i < values->count && match != IFAB_RULE_YES; i++) {
        enum ifab_rule_match one = compare(context, test, &values->items[i]);
        match = one == IFAB_RULE_NO ? match : one;
    }
    if (match == IFAB_RULE_NO && values->opaque)
        match = IFAB_RULE_UNKNOWN;
    return test->op == OPERATOR_NOT ? negate(match) : match;
}

static enum ifab_rule_match ask(struct rule_context *context, const struct rule_condition *c)
{
    if (c->kind == CONDITION_TEST)
        return ask_test(context, &c->test);
    if (c->kind == CONDITION_NOT)
        return negate(ask(context, c->parts[0]));
    enum ifab_rule_match settles = c->kind == CONDITION_ALL ? IFAB_RULE_NO : IFAB_RULE_YES, match = negate(settles);
    for (size_t i = 0; i < c->part_count; i++) {
        enum ifab_rule_match one = ask(context, c->parts[i]);
        if (one == settles)
            return settles;
        if (one == IFAB_RULE_UNKNOWN)
            match = IFAB_RULE_UNKNOWN;
    }
    return match;
}

static bool applies(struct rule_context *context, const struct rule *rule)
{
    enum ifab_rule_match match = ask(context, rule->when);
    return match == IFAB_RULE_YES || (match == IFAB_RULE_UNKNOWN && rule->effect != IFAB_RULE_PASS);
}

static void derive(struct rule_context *context, const struct ifab_ruleset *set, unsigned *ret_bits)
{
    for (size_t i = 0; i < set->hazard_count && context->work <= IFAB_RULE_WORK_MAX; i++) {
        const struct rule *rule = &set->hazards[i];
        if (!applies(context, rule))
            continue;
        *ret_bits |= rule->hazards;
        context->asked_field = NULL; /* `hazards` has another value now */
        for (size_t n = 0; n < rule->hazard_count; n++) {
            size_t at = 0;
            while (at < context->derived_count && !ifab_view_equal(context->derived[at], rule->hazard_names[n]))
                at++;
            if (at == context->derived_count && at < IFAB_COUNT(context->derived))
                context->derived[context->derived_count++] = rule->hazard_names[n];
        }
    }
}

/* The first of these rules, ascending, that applies and stands before `best`. */
static size_t first_of(struct rule_context *context, const struct ifab_ruleset *set, const uint32_t *rules, size_t count, size_t best)
{
    for (size_t i = 0; i < count && rules[i] < best && context->work <= IFAB_RULE_WORK_MAX; i++)
        if (applies(context, &set->rules[rules[i]]))
            return rules[i];
    return best;
}

static size_t first_under_key(struct rule_context *context, const struct ifab_ruleset *set, size_t key, size_t best)
{
    const struct rule_index *index = &set->index;
    const struct rule_key *k = &index->keys[key];
    struct rule_values *values = &context->key;
    ifab_rule__values(context, k->field, k->path, values);
    context->work += 1 + values->count;
    if (values->opaque)
        return first_of(context, set, k->rules, k->rule_count, best);
    for (size_t i = 0; i < values->count; i++) {
        uint64_t hash = ifab_rule__literal_hash(key, &values->items[i]);
        size_t at = (size_t)hash & (index->slot_count - 1);
        while (index->slots[at].hash != 0 && index->slots[at].hash != hash)
            at = (at + 1) & (index->slot_count - 1);
        if (index->slots[at].hash == hash)
            best = first_of(context, set, index->postings + index->slots[at].first, index->slots[at].count, best);
    }
    return best;
}

static void answer_with(struct ifab_rule_answer *ret, enum ifab_rule_effect effect, uint32_t votes, const char *id, const char *reason)
{
    ret->effect = effect;
    ret->votes = votes;
    memcpy(ret->id, id, strlen(id) + 1); /* both were measured when they were compiled */
    memcpy(ret->reason, reason, strlen(reason) + 1);
}

void ifab_ruleset_evaluate(const struct ifab_ruleset *self, const struct ifab_rule_subject *subject, struct ifab_rule_answer *ret_answer)
{
    struct rule_context context IFAB_RULE__RAW;
    context_init(&context, subject);
    *ret_answer = (struct ifab_rule_answer){.effect = IFAB_RULE_NONE};
    if (self == NULL)
        return;
    derive(&context, self, &ret_answer->hazards);
    size_t best = self->rule_count;
    for (size_t key = 0; key < self->index.key_count && best > 0; key++)
        best = first_under_key(&context, self, key, best);
    best = first_of(&context, self, self->index.others, self->index.other_count, best);
    if (context.work > IFAB_RULE_WORK_MAX) { /* as the strictest of them would: to be expensive must not be a way around a deny */
        answer_with(ret_answer, self->denies ? IFAB_RULE_DENY : IFAB_RULE_ESCALATE, 0, "builtin.rules-work",
                    "the rules need too much work for this message");
        return;
    }
    if (best < self->rule_count)
        answer_with(ret_answer, self->rules[best].effect, self->rules[best].votes, self->rules[best].id, self->rules[best].reason);
}

void ifab_ruleset_capability(const struct ifab_ruleset *self, const struct ifab_rule_subject *subject, struct ifab_rule_answer *ret_answer)
{
    struct rule_context context IFAB_RULE__RAW;
    context_init(&context, subject);
    *ret_answer = (struct ifab_rule_answer){.effect = IFAB_RULE_NONE};
    for (size_t i = 0; self != NULL && i < self->capability_count; i++) {
        const struct rule *rule = &self->capabilities[i];
        bool holds = applies(&context, rule);
        if (context.work > IFAB_RULE_WORK_MAX) { /* what could not be asked to its end allows nothing */
            answer_with(ret_answer, IFAB_RULE_DENY, 0, "builtin.rules-work", "the rules need too much work for this call");
            return;
        }
        if (holds) {
            answer_with(ret_answer, rule->effect, rule->votes, rule->id, rule->reason);
            return;
        }
    }
}

bool ifab_ruleset_at(const struct ifab_ruleset *self, size_t i, struct ifab_rule_info *ret_info)
{
    if (i >= self->hazard_count + self->rule_count)
        return false;
    const struct rule *rule = i < self->hazard_count ? &self->hazards[i] : &self->rules[i - self->hazard_count];
    *ret_info = (struct ifab_rule_info){rule->id, rule->reason, rule->effect, rule->votes, rule->hazards};
    return true;
}

enum ifab_rule_match ifab_ruleset_match(const struct ifab_ruleset *self, size_t i, const struct ifab_rule_subject *subject)
{
    struct rule_context context IFAB_RULE__RAW;
    unsigned bits = 0;
    context_init(&context, subject);
    if (i >= self->hazard_count + self->rule_count)
        return IFAB_RULE_NO;
    if (i < self->hazard_count)
        return ask(&context, self->hazards[i].when);
    derive(&context, self, &bits);
    return ask(&context, self->rules[i - self->hazard_count].when);
}
