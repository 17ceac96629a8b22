/* Rules from any bytes: whatever compiles has a canonical form that compiles to itself, and answers every message alike. */
#include "guard/ruleset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static struct ifab_ruleset *compile(struct ifab_view text, struct ifab_arena *arena)
{
    const struct ifab_json *root, *where;
    struct ifab_ruleset *set = NULL;
    if (ifab_json_read(text, NULL, arena, &root, NULL) != IFAB_OK)
        return NULL;
    const struct ifab_rule_source source = {.root = root};
    return ifab_ruleset_compile(&source, &set, &where, NULL) == IFAB_OK ? set : NULL;
}

/* Input: rules, a NUL, and what a message holds in scope and data. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_arena arena;
    const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
    struct ifab_view rules = {data, cut != NULL ? (size_t)(cut - data) : size};
    struct ifab_view content = cut != NULL ? ifab_view_of(cut + 1, size - rules.size - 1) : IFAB_VIEW("{}");
    const struct ifab_json *tree = NULL;
    ifab_arena_init(&arena, 64 << 20);
    struct ifab_ruleset *set = compile(rules, &arena);
    if (set != NULL) {
        struct ifab_ruleset *again = compile(ifab_ruleset_canonical(set), &arena);
        require(again != NULL && ifab_view_equal(ifab_ruleset_canonical(set), ifab_ruleset_canonical(again)));
        if (ifab_json_read(content, NULL, &arena, &tree, NULL) != IFAB_OK || tree->type != IFAB_JSON_OBJECT)
            tree = NULL;
        struct ifab_view views[] = {IFAB_VIEW("a"), IFAB_VIEW("legal")};
        struct ifab_rule_subject subject = {.sender = views[0], .receivers = views, .receiver_count = 2, .hazards = views + 1, .hazard_count = 1,
                                            .has_confidence = true, .confidence = 0.5, .scope = tree, .data = tree};
        struct ifab_rule_answer first, second;
        ifab_ruleset_evaluate(set, &subject, &first);
        ifab_ruleset_evaluate(again, &subject, &second);
        require(first.effect == second.effect && first.hazards == second.hazards && first.votes == second.votes && strcmp(first.id, second.id) == 0);
        ifab_ruleset_free(again);
    }
    ifab_ruleset_free(set);
    ifab_arena_fini(&arena);
    return 0;
}
