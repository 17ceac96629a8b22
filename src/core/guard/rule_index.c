/*
 * Which rules can match at all: of each rule one exact test at its top (`field: literal`, or a list) is chosen, the one that the fewest rules share,
 * and the rule stands under (field, literal). A message is then asked only what stands under its own values, and the rules without such a test.
 * Equal hashes of different literals cost a question, never an answer: every rule is asked in full.
 */
#include "rule_internal.h"

#include "base/map.h"

#include <stdlib.h>

#define LITERAL_SEED 0x1f0f3c5a96d2b871ULL

struct posting {
    uint64_t hash;
    uint32_t key, rule;
};
struct builder {
    struct ifab_ruleset *set;
    struct ifab_u64map shared; /* (field, literal) -> how many tests ask for it */
    struct posting *postings;  /* owned by the arena */
    size_t posting_count;
};

uint64_t ifab_rule__literal_hash(size_t key, const struct rule_value *value)
{
    uint64_t hash = ifab_rule__hash(value, LITERAL_SEED + key * 0x9e3779b97f4a7c15ULL);
    return hash == 0 ? 1 : hash;
}

static uint64_t field_hash(const struct rule_test *test)
{
    return ifab_hash64(test->path, LITERAL_SEED ^ ((uint64_t)test->field->id << 32));
}

static bool exact(const struct rule_condition *c) { return c->kind == CONDITION_TEST && c->test.op == OPERATOR_IS; }

/* Calls visit for each exact test that must hold for the rule to match. */
static bool each_exact(const struct rule *rule, bool (*visit)(const struct rule_test *test, void *user), void *user)
{
    const struct rule_condition *top = rule->when;
    if (exact(top))
        return visit(&top->test, user);
    for (size_t i = 0; top->kind == CONDITION_ALL && i < top->part_count; i++)
        if (exact(top->parts[i]) && !visit(&top->parts[i]->test, user))
            return false;
    return true;
}

static bool count_test(const struct rule_test *test, void *user)
{
    struct builder *b = user;
    for (size_t i = 0; i < test->literal_count; i++) {
        uint64_t hash = ifab_rule__hash(&test->literals[i], field_hash(test)), count = 0;
        (void)ifab_u64map_get(&b->shared, hash, &count);
        if (ifab_u64map_put(&b->shared, hash, count + 1) != IFAB_OK)
            return false;
    }
    return true;
}

struct choice {
    struct builder *builder;
    const struct rule_test *best;
    uint64_t cost;
};

static bool choose_test(const struct rule_test *test, void *user)
{
    struct choice *choice = user;
    uint64_t cost = 0;
    for (size_t i = 0; i < test->literal_count; i++) {
        uint64_t count = 0;
        (void)ifab_u64map_get(&choice->builder->shared, ifab_rule__hash(&test->literals[i], field_hash(test)), &count);
        cost += count;
    }
    if (choice->best == NULL || cost < choice->cost) {
        choice->best = test;
        choice->cost = cost;
    }
    return true;
}

static size_t key_of(struct rule_index *index, const struct rule_test *test)
{
    for (size_t i = 0; i < index->key_count; i++)
        if (index->keys[i].field == test->field && ifab_view_equal(index->keys[i].path, test->path))
            return i;
    index->keys[index->key_count] = (struct rule_key){.field = test->field, .path = test->path};
    return index->key_count++;
}

static int by_hash(const void *a, const void *b)
{
    const struct posting *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* The postings of one literal side by side, and a table from the hash to them. */
static bool fill_slots(struct builder *b)
{
    struct rule_index *index = &b->set->index;
    qsort(b->postings, b->posting_count, sizeof *b->postings, by_hash);
    index->slot_count = 16;
    while (index->slot_count < b->posting_count * 2)
        index->slot_count *= 2;
    index->slots = ifab_arena_calloc(&b->set->arena, index->slot_count, sizeof *index->slots);
    index->postings = ifab_arena_calloc(&b->set->arena, b->posting_count + 1, sizeof *index->postings);
    if (index->slots == NULL || index->postings == NULL)
        return false;
    for (size_t i = 0; i < b->posting_count; i++) {
        size_t at = (size_t)b->postings[i].hash & (index->slot_count - 1);
        while (index->slots[at].hash != 0 && index->slots[at].hash != b->postings[i].hash)
            at = (at + 1) & (index->slot_count - 1);
        if (index->slots[at].hash == 0)
            index->slots[at] = (struct rule_slot){b->postings[i].hash, (uint32_t)i, 0};
        index->slots[at].count++;
        index->postings[i] = b->postings[i].rule;
    }
    return true;
}

static bool fill_keys(struct builder *b, const uint32_t *key_of_rule)
{
    struct ifab_ruleset *set = b->set;
    for (size_t k = 0; k < set->index.key_count; k++) {
        struct rule_key *key = &set->index.keys[k];
        uint32_t *rules = ifab_arena_calloc(&set->arena, key->rule_count + 1, sizeof *rules);
        if (rules == NULL)
            return false;
        key->rule_count = 0;
        key->rules = rules;
    }
    for (uint32_t i = 0; i < set->rule_count; i++) {
        if (key_of_rule[i] == UINT32_MAX) {
            set->index.others[set->index.other_count++] = i;
            continue;
        }
        struct rule_key *key = &set->index.keys[key_of_rule[i]];
        uint32_t *rules;
        memcpy(&rules, &key->rules, sizeof rules); /* ours until the set is done */
        rules[key->rule_count++] = i;
    }
    return true;
}

static bool build(struct builder *b)
{
    struct ifab_ruleset *set = b->set;
    struct rule_index *index = &set->index;
    size_t literals = 0;
    for (size_t i = 0; i < set->rule_count; i++)
        if (!each_exact(&set->rules[i], count_test, b))
            return false;
    uint32_t *key_of_rule = ifab_arena_calloc(&set->arena, set->rule_count + 1, sizeof *key_of_rule);
    const struct rule_test **tests = ifab_arena_calloc(&set->arena, set->rule_count + 1, sizeof *tests);
    index->keys = ifab_arena_calloc(&set->arena, set->rule_count + 1, sizeof *index->keys);
    index->others = ifab_arena_calloc(&set->arena, set->rule_count + 1, sizeof *index->others);
    if (key_of_rule == NULL || tests == NULL || index->keys == NULL || index->others == NULL)
        return false;
    for (size_t i = 0; i < set->rule_count; i++) {
        struct choice choice = {.builder = b};
        (void)each_exact(&set->rules[i], choose_test, &choice);
        tests[i] = choice.best;
        key_of_rule[i] = choice.best == NULL ? UINT32_MAX : (uint32_t)key_of(index, choice.best);
        if (choice.best != NULL) {
            index->keys[key_of_rule[i]].rule_count++;
            literals += choice.best->literal_count;
        }
    }
    b->postings = ifab_arena_calloc(&set->arena, literals + 1, sizeof *b->postings);
    if (b->postings == NULL)
        return false;
    for (uint32_t i = 0; i < set->rule_count; i++)
        for (size_t n = 0; tests[i] != NULL && n < tests[i]->literal_count; n++)
            b->postings[b->posting_count++] =
                (struct posting){ifab_rule__literal_hash(key_of_rule[i], &tests[i]->literals[n]), key_of_rule[i], i};
    return fill_slots(b) && fill_keys(b, key_of_rule);
}

ifab_status ifab_rule__index(struct ifab_ruleset *set, struct ifab_error *err)
{
    struct builder b = {.set = set};
    bool good = build(&b);
    ifab_u64map_fini(&b.shared);
    return good ? IFAB_OK : ifab_fail(err, IFAB_NOMEM, "out of memory for the rules");
}
