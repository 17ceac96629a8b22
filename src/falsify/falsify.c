/* One row a challenge: which refusals of the act itself prove it right, and which change of it must be refused. */
#include "falsify/falsify.h"

#include "json/json.h"

#include <stdio.h>
#include <string.h>

#define EVIDENCE_MAX 640 /* the longest words and the longest refusal */

struct examination { /* what all challenges look at */
    const struct ifab_fabric *fabric;
    const struct ifab_command *command;
    const struct ifab_plan *plan; /* NULL: the caller has none with this hash, and of another's nothing is told */
    struct ifab_now now;
    struct ifab_arena *arena;
    bool secret_found;
    struct ifab_reply base; /* what the act itself was answered */
    enum ifab_challenge stopped; /* the row that names its refusal; IFAB_CHALLENGE_COUNT: it would go through */
};
struct finding {
    enum ifab_falsified verdict;
    char evidence[EVIDENCE_MAX];
};

const char *ifab_falsified_name(enum ifab_falsified verdict)
{
    return verdict == IFAB_SURVIVED ? "survived" : verdict == IFAB_FALSIFIED ? "falsified" : "inconclusive";
}

static struct ifab_reply ask(const struct examination *x, const struct ifab_command *command, struct ifab_now now)
{
    struct ifab_outcome outcome;
    ifab_outcome_init(&outcome, x->arena);
    ifab_outcome_begin(&outcome, x->arena);
    ifab_fabric_decide(x->fabric, command, now, &outcome);
    struct ifab_reply reply = outcome.reply;
    ifab_outcome_fini(&outcome);
    return reply;
}

static bool passes(const struct ifab_reply *reply) { return reply->code == IFAB_CODE_NONE && reply->plan != 0; }

static void say(struct finding *f, enum ifab_falsified verdict, const char *text)
{
    f->verdict = verdict;
    snprintf(f->evidence, sizeof f->evidence, "%s", text);
}

/* What was answered, in words. */
static void say_reply(struct finding *f, enum ifab_falsified verdict, const char *what, const struct ifab_reply *reply)
{
    f->verdict = verdict;
    if (reply->is_decision)
        snprintf(f->evidence, sizeof f->evidence, "%s: DENY by a rule", what);
    else if (reply->code == IFAB_CODE_NONE)
        snprintf(f->evidence, sizeof f->evidence, "%s: it would be done", what);
    else
        snprintf(f->evidence, sizeof f->evidence, "%s: IF_ERR_%03d, %.180s", what, (int)reply->code, reply->refusal.message);
}

/* A changed act must be refused. */
static void must_refuse(const struct examination *x, const struct ifab_command *changed, struct ifab_now now, const char *what, struct finding *f)
{
    struct ifab_reply reply = ask(x, changed, now);
    bool no_news = x->stopped != IFAB_CHALLENGE_COUNT && reply.code == x->base.code && strcmp(reply.refusal.message, x->base.refusal.message) == 0;
    if (!no_news) /* else: what refuses the act itself refuses this one, and nothing is shown */
        say_reply(f, passes(&reply) ? IFAB_FALSIFIED : IFAB_SURVIVED, what, &reply);
}

static void try_authority(const struct examination *x, struct finding *f)
{
    static const struct ifab_principal socket = {.kind = IFAB_PRINCIPAL_UID, .role = IFAB_ROLE_OPERATOR, .actor = "uid:0"};
    struct ifab_command changed = *x->command;
    changed.principal = &socket;
    must_refuse(x, &changed, x->now, "by the socket's operator, who is no talent", f);
}

static void try_stale_plan(const struct examination *x, struct finding *f)
{
    struct ifab_now later = x->now;
    if (x->plan == NULL)
        return;
    later.wall = x->plan->expires > later.wall ? x->plan->expires : later.wall;
    must_refuse(x, x->command, later, "when the plan has expired", f);
}

static void try_secret(const struct examination *x, struct finding *f)
{
    if (x->plan == NULL)
        return;
    say(f, x->secret_found ? IFAB_FALSIFIED : IFAB_SURVIVED, x->secret_found ? "a parameter looks like a secret" : "no parameter looks like a secret");
}

static void try_tampered_module(const struct examination *x, struct finding *f)
{
    struct ifab_command changed = *x->command;
    struct ifab_module module;
    if (changed.u.apply.module == NULL)
        return;
    module = *changed.u.apply.module;
    module.sha256[31] ^= 1;
    changed.u.apply.module = &module;
    must_refuse(x, &changed, x->now, "with one bit of the module changed", f);
}

static uint32_t another_talent(const struct examination *x)
{
    const struct ifab_talents *talents = ifab_fabric_talents(x->fabric);
    for (uint32_t n = 1; n <= ifab_talents_count(talents); n++) {
        const struct ifab_talent *t = ifab_talents_at(talents, n);
        if (n != x->command->principal->talent && t != NULL && t->removed_at == IFAB_NEVER)
            return n;
    }
    return 0;
}

/* Another talent must be refused; but it is so for having no such plan: that grants are looked at shows only the act itself, where it comes so far. */
static void try_grant(const struct examination *x, struct finding *f)
{
    struct ifab_principal other = *x->command->principal;
    struct ifab_command changed = *x->command;
    other.talent = another_talent(x);
    other.role = IFAB_ROLE_AGENT;
    changed.principal = &other;
    struct ifab_reply reply = {.code = IFAB_CODE_NOT_FOUND};
    if (other.talent != 0)
        reply = ask(x, &changed, x->now);
    if (passes(&reply))
        say_reply(f, IFAB_FALSIFIED, "by another talent", &reply);
    else if (x->stopped > IFAB_CHALLENGE_GRANT)
        say(f, IFAB_SURVIVED, other.talent != 0 ? "the step looked for the grant and every scope and found them; another talent is refused"
                                                : "the step looked for the grant and every scope and found them");
}

static void try_approval(const struct examination *x, struct finding *f)
{
    if (x->plan == NULL)
        return;
    if (x->plan->votes == 0)
        say(f, IFAB_SURVIVED, "its effect needs no approval under the rules in force");
    else if (x->plan->approved)
        say(f, IFAB_SURVIVED, "it was approved by vote");
    else if (passes(&x->base))
        say(f, IFAB_FALSIFIED, "it needs an approval, has none, and would be done");
}

#define IFAB_X_(name, text, question) {text, question},
static const struct {
    const char *name, *question;
} words[IFAB_CHALLENGE_COUNT] = {IFAB_CHALLENGE_MAP(IFAB_X_)};
#undef IFAB_X_

static const struct row {
    enum ifab_code refusals[6]; /* of the act itself, that this challenge is about */
    const char *field;          /* and of this field; NULL: any */
    void (*attempt)(const struct examination *x, struct finding *f); /* NULL: nothing about it can be changed from here */
} rows[IFAB_CHALLENGE_COUNT] = {
    [IFAB_CHALLENGE_AUTHORITY] = {.refusals = {IFAB_CODE_INVALID_SIGNATURE, IFAB_CODE_INVALID_TOKEN, IFAB_CODE_KEY_REVOKED, IFAB_CODE_TALENT_NOT_FOUND},
                                  .attempt = try_authority},
    [IFAB_CHALLENGE_STALE_PLAN] = {.refusals = {IFAB_CODE_NOT_FOUND, IFAB_CODE_CONFLICT}, .attempt = try_stale_plan},
    [IFAB_CHALLENGE_SECRET] = {.attempt = try_secret},
    [IFAB_CHALLENGE_MANIFEST_DRIFT] = {.refusals = {IFAB_CODE_CAPABILITY_NOT_ALLOWED, IFAB_CODE_VERSION_NOT_ALLOWED, IFAB_CODE_DIGEST_MISMATCH,
                                                    IFAB_CODE_UNTRUSTED_PUBLISHER, IFAB_CODE_INVALID_MANIFEST}},
    [IFAB_CHALLENGE_TAMPERED_MODULE] = {.attempt = try_tampered_module},
    [IFAB_CHALLENGE_GRANT] = {.refusals = {IFAB_CODE_GRANT_MISSING}, .attempt = try_grant},
    [IFAB_CHALLENGE_APPROVAL] = {.refusals = {IFAB_CODE_PERMISSION_DENIED}, .field = "plan_hash", .attempt = try_approval},
    [IFAB_CHALLENGE_RATE] = {.refusals = {IFAB_CODE_RATE_LIMIT_EXCEEDED, IFAB_CODE_QUEUE_FULL, IFAB_CODE_QUOTA_EXCEEDED}},
    [IFAB_CHALLENGE_BREAKER] = {.refusals = {IFAB_CODE_CIRCUIT_BREAKER_OPEN}},
    [IFAB_CHALLENGE_BUDGET] = {.refusals = {IFAB_CODE_BUDGET_EXCEEDED}},
};

static bool names(const struct row *row, const struct ifab_reply *reply)
{
    bool hit = false;
    for (size_t i = 0; i < sizeof row->refusals / sizeof row->refusals[0]; i++)
        hit |= row->refusals[i] != IFAB_CODE_NONE && row->refusals[i] == reply->code;
    return hit && (row->field == NULL || strcmp(reply->refusal.field, row->field) == 0);
}

/* A rule that denies, and what no row names, is about authority: the caller may not. */
static enum ifab_challenge stops_at(const struct ifab_reply *base)
{
    if (passes(base))
        return IFAB_CHALLENGE_COUNT;
    for (enum ifab_challenge c = 0; c < IFAB_CHALLENGE_COUNT; c++)
        if (!base->is_decision && names(&rows[c], base))
            return c;
    return IFAB_CHALLENGE_AUTHORITY;
}

static struct finding examine(const struct examination *x, enum ifab_challenge c)
{
    struct finding f;
    say_reply(&f, IFAB_INCONCLUSIVE, "not reached", &x->base);
    if (c == x->stopped) {
        say_reply(&f, IFAB_FALSIFIED, "as it is", &x->base);
        return f;
    }
    if (rows[c].attempt != NULL)
        rows[c].attempt(x, &f);
    else if (c < x->stopped)
        say(&f, IFAB_SURVIVED, "the step looked at it and found nothing");
    return f;
}

enum ifab_falsified ifab_falsify_apply(const struct ifab_fabric *fabric, const struct ifab_command *command, struct ifab_now now, bool secret_found,
                                       struct ifab_arena *arena, struct ifab_buf *buf)
{
    struct examination x = {.fabric = fabric, .command = command, .now = now, .arena = arena, .secret_found = secret_found,
                                 .plan = ifab_plan_by_hash(ifab_fabric_plans(fabric), command->u.apply.hash32)};
    enum ifab_falsified whole = IFAB_SURVIVED;
    if (x.plan != NULL && x.plan->talent != command->principal->talent)
        x.plan = NULL;
    x.base = ask(&x, command, now);
    x.stopped = stops_at(&x.base);
    ifab_buf_str(buf, "{\"challenges\":[");
    for (enum ifab_challenge c = 0; c < IFAB_CHALLENGE_COUNT; c++) {
        struct finding f = examine(&x, c);
        if (f.verdict == IFAB_FALSIFIED || whole == IFAB_SURVIVED)
            whole = f.verdict;
        ifab_buf_str(buf, c > 0 ? ",{\"challenge\":" : "{\"challenge\":");
        ifab_json_put_cstr(buf, words[c].name);
        ifab_buf_str(buf, ",\"evidence\":");
        ifab_json_put_cstr(buf, f.evidence);
        ifab_buf_str(buf, ",\"question\":");
        ifab_json_put_cstr(buf, words[c].question);
        ifab_buf_format(buf, ",\"verdict\":\"%s\"}", ifab_falsified_name(f.verdict));
    }
    ifab_buf_format(buf, "],\"verdict\":\"%s\"}", ifab_falsified_name(whole));
    return whole;
}
