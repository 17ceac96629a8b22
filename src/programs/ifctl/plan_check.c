/* A plan as whoever approves it must see it: computed here, not believed. */
#include "call.h"

#include "base/encode.h"
#include "base/id.h"
#include "capability/plan.h"

#include <stdarg.h>

const char cli_plan_unfit[] = "CANNOT BE SHOWN, or is not the one asked for: do not approve";

__attribute__((format(printf, 3, 4))) static int unfit(struct cli *cli, bool silent, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return silent ? ifab_code_info(IFAB_CODE_DIGEST_MISMATCH)->exit : cli_refuse(cli, IFAB_CODE_DIGEST_MISMATCH, "%s: nothing was signed", text);
}

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

struct ifab_view cli_plan_asked(const struct ifab_json *envelope)
{
    const struct ifab_json *apply = ifab_json_get(ifab_json_get(ifab_json_get(envelope, "content"), "data"), "apply");
    struct ifab_view hash = text_of(apply, "plan_hash");
    return apply != NULL && hash.size == 0 ? IFAB_VIEW("none") : hash; /* something is asked for, and it is no plan */
}

static int get(struct cli *cli, struct ifab_buf *target, bool silent, struct ifab_arena *arena, const struct ifab_json **ret)
{
    ifab_buf_char(target, '\0');
    int code = ifab_buf_status(target) != IFAB_OK ? EXIT_SYSTEM
               : silent                           ? cli_get_quietly(cli, (const char *)target->data, arena, ret)
                                                  : cli_get_json(cli, (const char *)target->data, arena, ret);
    ifab_buf_fini(target);
    return code;
}

static bool digest_of(struct ifab_view text, uint8_t ret32[32])
{
    return text.size == 71 && ifab_view_starts(text, IFAB_VIEW("sha256:")) && ifab_hex_decode(ifab_view_of(text.data + 7, 64), ret32, 32) == IFAB_OK;
}

static bool amount_of(const struct ifab_json *cost, const char *name, uint64_t *ret)
{
    int64_t value;
    bool good = ifab_json_integer(ifab_json_get(cost, name), &value) && value >= 0;
    *ret = good ? (uint64_t)value : 0;
    return good;
}

/* Is this the plan that has this hash? Every member that is shown goes in, scopes and effect by way of the manifest's digest. */
static bool hash_is(const struct ifab_json *plan, const struct ifab_manifest *manifest, const uint8_t wanted32[32])
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf params = IFAB_BUF_INIT(4 * IFAB_PLAN_PARAMS_MAX), canonical = IFAB_BUF_INIT(8 * IFAB_PLAN_PARAMS_MAX);
    const struct ifab_json *cost = ifab_json_get(plan, "cost"), *tree = ifab_json_get(plan, "params");
    struct ifab_view id = text_of(plan, "plan_id");
    struct ifab_plan p = {.capability = text_of(plan, "capability"), .operation = text_of(plan, "operation")};
    const struct ifab_plan_facts facts = {.log = IFAB_VIEW("main"), .talent = text_of(plan, "talent"), .scopes = manifest->scopes, .scope_count = manifest->scope_count};
    uint8_t hash32[32];
    memcpy(p.manifest32, manifest->digest32, 32);
    if (tree == NULL || tree->type != IFAB_JSON_OBJECT || ifab_id_parse(id, "plan-", p.id16) != IFAB_OK || !digest_of(text_of(plan, "policy_digest"), p.policy32) ||
        ifab_time_parse(text_of(plan, "expires_at"), &p.expires) != IFAB_OK || !amount_of(cost, "usd_micro", &p.usd_micro) ||
        !amount_of(cost, "tokens", &p.tokens) || !amount_of(cost, "calls", &p.calls))
        return false;
    ifab_json_write(&params, tree);
    p.params = ifab_buf_as_view(&params);
    return ifab_buf_status(&params) == IFAB_OK && ifab_plan_hash(&p, &facts, &canonical, hash32) == IFAB_OK && memcmp(hash32, wanted32, 32) == 0;
}

/* The manifest that the plan is of, as the registry has it. */
static int get_manifest(struct cli *cli, struct ifab_view capability, bool silent, struct ifab_arena *arena, struct ifab_manifest *ret)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct ifab_view prefix = IFAB_VIEW("if://capability/");
    struct ifab_refusal refusal = {.offset = -1};
    const struct ifab_json *tree;
    char name[IFAB_CAPABILITY_ID_MAX + IFAB_CAPABILITY_VERSION_MAX + 2], *at;
    if (!ifab_view_starts(capability, prefix) ||
        !cli_path(name, sizeof name, "%.*s", (int)(capability.size - prefix.size), (const char *)capability.data + prefix.size) || (at = strchr(name, '@')) == NULL)
        return unfit(cli, silent, "the plan names no capability");
    *at = '\0';
    ifab_buf_str(&target, "/v1/capabilities");
    cli_put_segment(&target, name);
    cli_put_query(&target, "version", at + 1);
    int code = get(cli, &target, silent, arena, &tree);
    if (code != 0)
        return code;
    tree = ifab_json_get(tree, "manifest");
    return tree != NULL && ifab_manifest_from_tree(tree, arena, ret, &refusal) == IFAB_CODE_NONE ? 0 : unfit(cli, silent, "the plan's manifest cannot be read");
}

int cli_plan_check(struct cli *cli, const struct ifab_json *decision, bool silent, struct ifab_arena *arena, struct plan_checked *ret)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    const struct ifab_json *envelope = ifab_json_get(decision, "envelope"), *said = ifab_json_get(decision, "plan");
    struct ifab_view hash = cli_plan_asked(envelope), sender = text_of(envelope, "sender"), name, instance;
    uint8_t wanted32[32];
    char text[72];
    if (!digest_of(hash, wanted32) || !cli_path(text, sizeof text, IFAB_FMT, IFAB_ARG(hash)))
        return unfit(cli, silent, "content.data.apply names no plan");
    ifab_buf_str(&target, "/v1/plans");
    cli_put_segment(&target, text);
    int code = get(cli, &target, silent, arena, &ret->plan);
    if (code == 0)
        code = get_manifest(cli, text_of(ret->plan, "capability"), silent, arena, &ret->manifest);
    if (code != 0) {
        if (!silent)
            cli_say(cli, "the plan that it asks for cannot be shown: nothing was signed");
        return code;
    }
    if (!hash_is(ret->plan, &ret->manifest, wanted32))
        return unfit(cli, silent, "the plan shown is not the one the message asks for");
    if (ifab_sender_parse(sender, &name, &instance) != IFAB_OK || !ifab_view_equal(name, text_of(ret->plan, "talent")))
        return unfit(cli, silent, "the plan is another talent's than the message");
    ret->said = ifab_view_equal(text_of(said, "plan_hash"), hash) ? said : NULL;
    ret->operation = ifab_manifest_operation(&ret->manifest, text_of(ret->plan, "operation"));
    return ret->operation != NULL ? 0 : unfit(cli, silent, "the plan's operation is none of its manifest");
}

void cli_plan_rows(const struct plan_checked *plan, struct ifab_arena *arena, cli_plan_row_fn *row, void *user)
{
    static const char *const rows[][2] = {{"plan", "plan_id"},     {"capability", "capability"}, {"operation", "operation"},
                                          {"params", "params"},   {"cost", "cost"},             {"plan until", "expires_at"}};
    static const char *const told[][2] = {{"why", "why"}, {"plan says", "summary"}, {"effects", "said_effects"}};
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        row(user, rows[i][0], cli_path_text(plan->plan, rows[i][1], strlen(rows[i][1]), arena));
        if (i == 2)
            row(user, "effect", ifab_view_str(ifab_effect_name(plan->operation->effect)));
    }
    for (size_t i = 0; i < IFAB_COUNT(told); i++) {
        struct ifab_view text = cli_path_text(plan->said, told[i][1], strlen(told[i][1]), arena);
        if (!ifab_view_is(text, "-"))
            row(user, told[i][0], text);
    }
    row(user, "summary", plan->manifest.summary);
}
