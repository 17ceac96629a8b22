/*
 * No sequence of votes, changed rules, second sources, deadlines, tries and restarts brings a plan that the rules deny to be applied (INV-06). Random
 * courses of a fabric with two capabilities and real rule sets; a naive reader, which knows plans, messages and rules as numbers and shares nothing with the
 * guard, says of every plan what it must be, and of every apply that goes through whether it may: under the rules in force at that moment, planned under
 * them, with its approvals, not refused by a vote, in time, once. Then the same with faults planted in the fabric's state: each must be found.
 * IFAB_SEED=N repeats a run, IFAB_COURSES=N makes it longer (4; some 1,500 plans each), IFAB_STEPS each course (20,000).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "capability_support.h"
#include "course.h"

enum { PLANS = 12000, MESSAGES = 12000, SETS = 2000, RULES = 5, OPEN = 64, RECENT = 8 };
enum talent { OPERATOR = 1, A, B, C, V1, V2, V3, V4, TALENTS };
enum cost { USD, TOKENS, CALLS, COSTS };
enum verdict { DENY, ESCALATE, HOLD, SHARE };
enum state { UNKNOWN, HELD, ESCALATED, SHARED, DENIED };
enum fault { NO_FAULT, DENIED_COMES_BACK, APPROVED_BY_NOBODY, RULES_THAT_DO_NOT_BITE, PLANNED_UNDER_OTHERS, APPLIED_AGAIN, FAULTS };

struct call_rule { /* of the model: its place is its id; -1: any */
    enum verdict effect;
    int capability, version, operation, word, sender, owner, role, above; /* word: the operation's effect */
    unsigned cost[COSTS], votes; /* at least */
};
struct message_rule {
    enum verdict effect;
    int sender, asks; /* asks: 1: content.data.apply is there, 0: it is not */
    unsigned votes;
};
struct set {
    struct call_rule calls[RULES];
    struct message_rule messages[RULES];
    unsigned call_count, message_count;
    struct ifab_ruleset *compiled;
    uint8_t digest32[32];
};
struct message {
    enum state state;
    unsigned talent, claim, confidence; /* claim: 0: none; confidence: hundredths */
    bool hazard, secret, asks, fit, met;
    struct plan *plan; /* which it asks for */
    unsigned need, approved; /* approved: bits of owners */
    uint8_t *bytes;
    size_t size;
};
struct plan {
    uint8_t hash32[32];
    unsigned talent, capability, operation, cost[COSTS];
    int n; /* -1: not said */
    const struct set *set;
    unsigned need;
    ifab_usec expires;
    struct message *asked;
    bool begun, lost, refused; /* an apply went through; its end was not seen; a vote or changed rules ended it */
};
struct course {
    struct rig rig;
    struct test_random random;
    struct plan plans[PLANS];
    struct message messages[MESSAGES];
    struct set sets[SETS];
    uint64_t first; /* id of messages[0] */
    unsigned plan_count, message_count, set_count;
    const struct set *now;
    enum fault fault;
    unsigned planted;
    const char *wanted; /* in a control run: nothing else counts */
    char found[256];    /* the first thing that must not be; empty: nothing */
    unsigned denied, escalated, applied, by_votes, tried, again, void_, refused, late, returned, by_source;
};
static struct course *course;

static const char *const names[TALENTS] = {NULL, "operator", "A", "B", "C", "V1", "V2", "V3", "V4"};
static const char *const owners[TALENTS] = {NULL, "operator", "alice", "bob", "carol", "vera", "victor", "vera", "alice"};
static const char *const capabilities[] = {"studio.one", "studio.two"}; /* the second has a sensitive scope */
static const char *const words[] = {"read", "write", "physical", "payment"};
static const struct operation {
    const char *name;
    int word;
    unsigned cost[COSTS];
    bool idempotent;
} operations[] = {{"look", 0, {0, 0, 1}, true}, {"cut", 1, {100, 10, 1}, false}, {"strobe", 2, {0, 0, 1}, false}, {"pay", 3, {300, 0, 2}, true}};
static const char *const costs[COSTS] = {"usd_micro", "tokens", "calls"}, *const versions[] = {"1.0.0", "2.0.0"}; /* the second is none's */
static const char *const roles[] = {"agent", "operator"};
#define PARAMS "\"params\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}"
#define OPERATIONS                                                                                                            \
    "\"operations\":{\"look\":{" PARAMS ",\"effect\":\"read\",\"idempotent\":true},"                                         \
    "\"cut\":{" PARAMS ",\"effect\":\"write\",\"cost_estimate\":{\"usd_micro\":100,\"tokens\":10}},"                                       \
    "\"strobe\":{" PARAMS ",\"effect\":\"physical\"},"                                                                       \
    "\"pay\":{" PARAMS ",\"effect\":\"payment\",\"idempotent\":true,\"cost_estimate\":{\"usd_micro\":300,\"calls\":2}}},"                 \
    "\"default_operation\":\"cut\",\"limits\":{\"rps\":10000,\"burst\":10000,\"backoff\":[1],\"concurrency\":256}"
static const char sensitive[1][129] = {"studio:danger"};

static unsigned pick(unsigned below) { return (unsigned)test_random_below(&course->random, below); }
static int any_or(unsigned below) { return (int)pick(below + 1) - 1; }

static void wrong(const struct plan *p, const char *what)
{
    if (course->found[0] == '\0' && (course->wanted == NULL || strstr(what, course->wanted) != NULL))
        snprintf(course->found, sizeof course->found, "plan %d: %s", p == NULL ? -1 : (int)(p - course->plans), what);
}

static unsigned owner_bit(unsigned talent)
{
    unsigned first = 1;
    while (strcmp(owners[first], owners[talent]) != 0)
        first++;
    return 1U << first;
}

static unsigned ones(unsigned bits)
{
    unsigned count = 0;
    for (; bits != 0; bits &= bits - 1)
        count++;
    return count;
}

/* ---- the naive reader ---- */

static bool speaks_of(const struct call_rule *r, const struct plan *p, int role)
{
    const struct operation *o = &operations[p->operation];
    for (unsigned i = 0; i < COSTS; i++)
        if (p->cost[i] < r->cost[i])
            return false;
    return r->version <= 0 && (r->capability < 0 || r->capability == (int)p->capability) && (r->operation < 0 || r->operation == (int)p->operation) &&
           (r->word < 0 || r->word == o->word) && (r->sender < 0 || r->sender == (int)p->talent) && (r->owner < 0 || r->owner == (int)p->talent) &&
           (r->role < 0 || r->role == role) && (r->above < 0 || p->n > r->above);
}

/* What the rules in force say of a plan; *ret_need: its approvals. */
static enum verdict judge_call(const struct plan *p, int role, unsigned *ret_need)
{
    enum verdict verdict = DENY;
    unsigned votes = 0;
    for (unsigned i = 0; i < course->now->call_count; i++) {
        const struct call_rule *r = &course->now->calls[i];
        if (!speaks_of(r, p, role))
            continue;
        verdict = r->effect;
        votes = r->votes;
        break;
    }
    if (verdict == SHARE && operations[p->operation].word >= 2)
        verdict = ESCALATE;
    unsigned least = p->capability == 1 ? 2 : 1;
    *ret_need = verdict != ESCALATE ? 0 : votes > least ? votes : least;
    return verdict;
}

/* What a message must be; what asks for a plan is void with it, and needs no fewer votes. */
static enum verdict judge_message(const struct message *m, bool met, unsigned *ret_need)
{
    enum verdict verdict = SHARE;
    *ret_need = 1;
    for (unsigned i = 0; i < course->now->message_count; i++) {
        const struct message_rule *r = &course->now->messages[i];
        if ((r->sender >= 0 && r->sender != (int)m->talent) || (r->asks >= 0 && r->asks != (int)m->asks))
            continue;
        verdict = r->effect == HOLD && met ? SHARE : r->effect;
        *ret_need = r->effect == ESCALATE && r->votes > 1 ? r->votes : 1;
        break;
    }
    bool lives = m->asks && course->rig.now.wall < m->plan->expires; /* what has expired is forgotten, and the message is one as any other */
    if (m->asks && (!m->fit || (lives && m->plan->set != course->now)))
        return DENY;
    if (lives && m->plan->need > 0) {
        verdict = verdict < ESCALATE ? verdict : ESCALATE;
        *ret_need = *ret_need > m->plan->need ? *ret_need : m->plan->need;
    }
    enum verdict own = m->secret                     ? DENY
                       : m->hazard                   ? ESCALATE
                       : m->claim == 0 || met        ? SHARE
                       : m->confidence < 20          ? ESCALATE
                       : m->confidence < 30          ? HOLD
                                                     : SHARE;
    return own < verdict ? own : verdict;
}

static void opens(struct message *m, enum state state)
{
    (void)judge_message(m, m->met, &m->need);
    m->state = state;
    m->approved = 0;
}

static void released(struct message *m)
{
    unsigned need;
    enum verdict verdict = judge_message(m, true, &need);
    if (m->state != HELD && m->state != ESCALATED)
        wrong(m->plan, "its message is released, but does not wait");
    else if (verdict == DENY)
        wrong(m->plan, "the rules in force deny its message, and it is released");
    else if (m->state == HELD && (verdict != SHARE || !m->met))
        wrong(m->plan, "no source is enough for its message, and it is released");
    else if (m->state == ESCALATED && ones(m->approved) < m->need)
        wrong(m->plan, "too few approved its message, and it is released");
    course->by_source += m->state == HELD;
    m->state = SHARED;
}

static struct message *named(const char *entry)
{
    uint64_t id = course_subject(entry);
    return id < course->first || id - course->first >= MESSAGES ? NULL : &course->messages[id - course->first];
}

static void first_decision(struct message *m, const char *entry)
{
    unsigned need;
    enum verdict due = judge_message(m, false, &need);
    enum verdict said = course_says(entry, "share") ? SHARE : course_says(entry, "hold") ? HOLD : course_says(entry, "escalate") ? ESCALATE : DENY;
    if (said > due)
        wrong(m->plan, "its message must be stricter");
    if (said < due && strstr(entry, "builtin.plan") == NULL) /* a plan that is being tried cannot be asked for */
        wrong(m->plan, "its message need not be so strict");
    if (said == SHARE) {
        m->state = SHARED;
        for (unsigned i = 0; i < course->message_count && !m->asks; i++) { /* whom it is a source for */
            struct message *other = &course->messages[i];
            if (other->state == HELD && m->claim != 0 && other->claim == m->claim && owner_bit(other->talent) != owner_bit(m->talent))
                other->met = true;
        }
    } else if (said == DENY) {
        m->state = DENIED;
    } else {
        opens(m, said == HOLD ? HELD : ESCALATED);
    }
    if (m->asks && m->fit && m->state != DENIED)
        m->plan->asked = m;
}

static void read_entry(const char *entry)
{
    struct message *m = named(entry);
    if (m == NULL)
        return;
    if (course_says(entry, "share") || course_says(entry, "hold") || course_says(entry, "escalate") || course_says(entry, "deny")) {
        first_decision(m, entry);
    } else if (course_says(entry, "denied")) {
        m->state = DENIED;
        if (m->asks && m->plan->asked == m)
            m->plan->refused = true; /* for good */
    } else if (course_says(entry, "escalated") || course_says(entry, "reopened")) {
        if (m->state != HELD && m->state != ESCALATED)
            wrong(m->plan, "its message does not wait, and is opened again");
        opens(m, strstr(entry, "\"decision\":\"HOLD\"") != NULL ? HELD : ESCALATED);
    } else if (course_says(entry, "released")) {
        released(m);
    }
}

/* An apply went through. */
static void applied(struct plan *p, unsigned talent, int role, bool dry)
{
    unsigned need, given = p->asked == NULL || p->asked->state != SHARED ? 0 : ones(p->asked->approved);
    enum verdict verdict = judge_call(p, role, &need);
    if (verdict == DENY)
        wrong(p, "the rules in force deny it, and it is applied");
    if (p->set != course->now)
        wrong(p, "planned under other rules, and is applied");
    if (p->talent != talent)
        wrong(p, "another's, and is applied");
    if (p->refused)
        wrong(p, "was refused, and is applied");
    if (p->begun && !(operations[p->operation].idempotent && p->lost && !dry))
        wrong(p, "applied twice");
    if (course->rig.now.wall >= p->expires)
        wrong(p, "has expired, and is applied");
    if (!dry && verdict == ESCALATE && given < need)
        wrong(p, "too few approved, and it is applied");
    if (p->asked != NULL && p->asked->state != SHARED)
        wrong(p, "applied while a vote is open");
    course->tried += dry;
    course->applied += !dry;
    course->by_votes += !dry && need > 0;
    course->again += p->begun;
    p->begun |= !dry;
}

/* ---- faults in the fabric's state ---- */

static void put_plan(const struct ifab_plan *p)
{
    static uint8_t packed[IFAB_PLAN_PACKED_MAX];
    struct ifab_view bytes = ifab_view_of(packed, ifab_plan_pack(p, packed));
    assert_int_equal(ifab_fabric_load_record(course->rig.fabric, IFAB_KIND_PLAN, p->number, bytes, NULL), IFAB_OK);
    rig_keep_record(&course->rig, IFAB_KIND_PLAN, p->number, bytes);
    course->planted++;
}

static void plant(void)
{
    const uint8_t *now32 = course->now->digest32;
    unsigned from = course->plan_count < RECENT ? 0 : course->plan_count - RECENT;
    for (unsigned i = from; i < course->plan_count && course->fault != NO_FAULT; i++) {
        const struct ifab_plan *found = ifab_plan_by_hash(ifab_fabric_plans(course->rig.fabric), course->plans[i].hash32);
        if (found == NULL)
            continue;
        struct ifab_plan p = *found;
        if (course->fault == DENIED_COMES_BACK && p.state == IFAB_PLAN_DENIED) {
            p.state = IFAB_PLAN_PLANNED;
            p.approved = true;
        } else if (course->fault == APPROVED_BY_NOBODY && p.state == IFAB_PLAN_PLANNED && p.votes > 0 && !p.approved) {
            p.approved = true;
        } else if (course->fault == PLANNED_UNDER_OTHERS && p.state == IFAB_PLAN_PLANNED && memcmp(p.policy32, now32, 32) != 0) {
            memcpy(p.policy32, now32, 32);
        } else if (course->fault == APPLIED_AGAIN && p.state == IFAB_PLAN_DONE) {
            p.state = IFAB_PLAN_PLANNED;
        } else {
            continue;
        }
        put_plan(&p);
    }
}

/* ---- the course ---- */

static void step(struct ifab_command *command)
{
    struct rig *rig = &course->rig;
    size_t from = rig->entry_count;
    rig_step(rig, command);
    for (size_t i = from; i < rig->entry_count; i++)
        read_entry(rig_entry_text(rig, i));
    plant();
}

static struct ifab_principal by(unsigned talent, int role)
{
    struct ifab_principal p = {.kind = IFAB_PRINCIPAL_TALENT, .role = role == 0 ? IFAB_ROLE_AGENT : IFAB_ROLE_OPERATOR, .talent = talent, .uid = 0x80000000U | talent};
    snprintf(p.actor, sizeof p.actor, "if://agent/%s", names[talent]);
    return p;
}

static struct ifab_view id_of(unsigned capability)
{
    static char text[64];
    snprintf(text, sizeof text, "if://capability/%s", capabilities[capability]);
    return ifab_view_str(text);
}

static bool body_has(const char *text)
{
    struct ifab_view body = course->rig.outcome.reply.body;
    return memmem(body.data, body.size, text, strlen(text)) != NULL;
}

/* The step's answer against what it must be; it agrees in both directions. */
static void planned(struct plan *p, int role)
{
    static const char *const said[] = {[DENY] = "", [ESCALATE] = "\"decision\":\"ESCALATE\"", [HOLD] = "", [SHARE] = "\"decision\":\"SHARE\""};
    const struct ifab_reply *reply = &course->rig.outcome.reply;
    enum verdict verdict = judge_call(p, role, &p->need);
    bool denied = reply->code == IFAB_CODE_NONE && reply->is_decision && reply->http == 403;
    char votes[32];
    snprintf(votes, sizeof votes, "\"votes\":%u}", p->need);
    course->denied += denied;
    if (denied != (verdict == DENY))
        wrong(p, denied ? "the rules let it pass, and it is denied" : "the rules deny it, and it is planned");
    if (denied || reply->code != IFAB_CODE_NONE)
        return;
    if (verdict != DENY && (!body_has(said[verdict]) || !body_has(votes)))
        wrong(p, "its decision or its votes are not those of the rules");
    const char *at = memmem(reply->body.data, reply->body.size, "\"plan_hash\":\"sha256:", 20);
    assert_non_null(at);
    assert_int_equal(ifab_hex_decode(ifab_view_of((const uint8_t *)at + 20, 64), p->hash32, 32), IFAB_OK);
    p->set = course->now;
    p->expires = course->rig.now.wall / 1000 * 1000 + IFAB_PLAN_LIFE;
    course->escalated += verdict == ESCALATE;
    course->plan_count++;
}

static void make_plan(void)
{
    struct ifab_module module = capability_module();
    struct plan *p = &course->plans[course->plan_count];
    struct ifab_arena arena;
    char params[32];
    if (course->plan_count == PLANS)
        return;
    *p = (struct plan){.talent = pick(2) ? A : C, .capability = pick(2), .operation = pick(IFAB_COUNT(operations)), .n = any_or(4)};
    int role = (int)pick(2);
    struct ifab_principal principal = by(p->talent, role);
    struct ifab_command command = {.type = IFAB_COMMAND_PLAN, .principal = &principal, .why = IFAB_VIEW("the show begins")};
    memcpy(p->cost, operations[p->operation].cost, sizeof p->cost);
    command.u.plan.has_cost = pick(3) == 0;
    if (command.u.plan.has_cost) { /* the guest may say more, never less */
        unsigned said[COSTS] = {[USD] = pick(3) * 200, [TOKENS] = pick(3) * 20, [CALLS] = pick(5)};
        command.u.plan.usd_micro = said[USD];
        command.u.plan.tokens = said[TOKENS];
        command.u.plan.calls = said[CALLS];
        for (unsigned i = 0; i < COSTS; i++)
            p->cost[i] = said[i] > p->cost[i] ? said[i] : p->cost[i];
    }
    snprintf(params, sizeof params, p->n < 0 ? "{}" : "{\"n\":%d}", p->n);
    ifab_arena_init(&arena, 65536);
    assert_int_equal(ifab_json_read(ifab_view_str(params), NULL, &arena, &command.u.plan.params, NULL), IFAB_OK);
    command.u.plan.id = id_of(p->capability);
    command.u.plan.operation = ifab_view_str(operations[p->operation].name);
    command.u.plan.module = &module;
    ifab_arena_reset(&course->rig.arena);
    step(&command);
    planned(p, role);
    ifab_arena_fini(&arena);
}

static struct plan *some_plan(void)
{
    unsigned recent = course->plan_count < RECENT ? course->plan_count : RECENT;
    return recent == 0 ? NULL : &course->plans[course->plan_count - 1 - pick(recent)];
}

static void apply(void)
{
    struct ifab_module module = capability_module();
    struct plan *p = some_plan();
    if (p == NULL)
        return;
    unsigned talent = pick(16) == 0 ? (p->talent == A ? C : A) : p->talent;
    int role = (int)pick(2);
    struct ifab_principal principal = by(talent, role);
    struct ifab_command command = {.type = IFAB_COMMAND_APPLY, .principal = &principal};
    command.u.apply.id = id_of(p->capability);
    memcpy(command.u.apply.hash32, p->hash32, 32);
    command.u.apply.module = &module;
    command.u.apply.dry_run = pick(5) == 0;
    ifab_arena_reset(&course->rig.arena);
    step(&command);
    const struct ifab_reply *reply = &course->rig.outcome.reply;
    if (reply->code == IFAB_CODE_NONE && reply->plan != 0) {
        applied(p, talent, role, command.u.apply.dry_run);
        return;
    }
    course->void_ += strstr(reply->refusal.message, "the rules have changed") != NULL;
    course->refused += strstr(reply->refusal.message, "refused by a vote") != NULL;
    course->late += reply->code == IFAB_CODE_NOT_FOUND || strstr(reply->refusal.message, "has expired") != NULL;
}

static void end_call(void)
{
    static const enum ifab_call_end how[] = {IFAB_CALL_OK, IFAB_CALL_OK, IFAB_CALL_CALLER, IFAB_CALL_NOT_DONE};
    struct plan *p = some_plan();
    const struct ifab_plan *found = p == NULL ? NULL : ifab_plan_by_hash(ifab_fabric_plans(course->rig.fabric), p->hash32);
    if (found == NULL || !ifab_plan_is_running(found))
        return;
    struct ifab_command command = {.type = IFAB_COMMAND_OUTCOME};
    command.u.called.number = found->number;
    command.u.called.intent = found->intent;
    command.u.called.end = how[pick(IFAB_COUNT(how))];
    command.u.called.output = IFAB_VIEW("{}");
    bool undone = command.u.called.end == IFAB_CALL_NOT_DONE && found->state == IFAB_PLAN_APPLYING;
    bool done = command.u.called.end != IFAB_CALL_NOT_DONE && found->state != IFAB_PLAN_TRYING;
    ifab_arena_reset(&course->rig.arena);
    step(&command);
    assert_int_equal(course->rig.outcome.reply.code, IFAB_CODE_NONE);
    p->begun &= !undone;
    p->lost &= !done;
}

static void restart(void)
{
    for (unsigned i = 0; i < course->plan_count; i++) {
        const struct ifab_plan *found = ifab_plan_by_hash(ifab_fabric_plans(course->rig.fabric), course->plans[i].hash32);
        course->plans[i].lost |= found != NULL && ifab_plan_is_running(found) && found->state != IFAB_PLAN_TRYING;
    }
    rig_restart(&course->rig);
}

/* asks NULL: a plain message, which may be a source. */
static void send(struct plan *asks)
{
    static const unsigned confidences[] = {90, 90, 25, 25, 10};
    struct rig *rig = &course->rig;
    struct ifab_buf content = IFAB_BUF_INIT(1024);
    char sender[40];
    if (course->message_count == MESSAGES)
        return;
    struct message *m = &course->messages[course->message_count];
    *m = (struct message){.talent = asks == NULL ? B + pick(2) : pick(16) == 0 ? (unsigned)B : asks->talent, .asks = asks != NULL, .plan = asks};
    m->claim = asks == NULL ? 1 + pick(2) : pick(3);
    m->confidence = asks == NULL ? 90 : confidences[pick(IFAB_COUNT(confidences))];
    m->hazard = pick(12) == 0;
    m->secret = pick(24) == 0;
    m->fit = asks != NULL && asks->talent == m->talent && asks->asked == NULL && !asks->begun && !asks->refused && asks->set == course->now &&
             rig->now.wall < asks->expires;
    ifab_buf_char(&content, '{');
    if (m->claim != 0)
        ifab_buf_format(&content, "\"claim\":\"x\",\"claim_id\":\"C-%u\",\"confidence\":{\"normalized\":0.%02u,\"raw\":0.%02u},", m->claim, m->confidence,
                        m->confidence);
    ifab_buf_str(&content, "\"data\":{");
    if (asks != NULL) {
        ifab_buf_str(&content, "\"apply\":{\"plan_hash\":\"sha256:");
        ifab_buf_hex(&content, asks->hash32, 32);
        ifab_buf_str(&content, "\"}");
    }
    ifab_buf_format(&content, "%s%s}%s%s}", m->secret && asks != NULL ? "," : "", m->secret ? "\"password\":\"correct horse battery staple\"" : "",
                    m->hazard ? ",\"hazards\":[\"legal\"]" : "", m->claim != 0 ? ",\"scope\":{\"kind\":\"k\"}" : "");
    ifab_buf_char(&content, '\0');
    snprintf(sender, sizeof sender, "if://agent/%s", names[m->talent]);
    struct rig_message text = rig_message(rig, sender, (const char *)content.data);
    text.id = course->first + course->message_count++;
    if (asks != NULL) {
        text.performative = "request";
        text.receiver = "\"if://fabric/" RIG_ORIGIN "\"";
    }
    struct ifab_command command;
    ifab_arena_reset(&rig->arena);
    struct ifab_view bytes = rig_text(rig, &text);
    m->bytes = rig_copy(bytes);
    m->size = bytes.size;
    assert_int_equal(rig_admit(rig, ifab_view_of(m->bytes, m->size), &command), IFAB_CODE_NONE);
    step(&command);
    ifab_buf_fini(&content);
}

static struct message *message_of(const struct ifab_open_decision *d) { return &course->messages[course_number(d) - course->first]; }

/* As admission hands it in once its signature was good. What it says is told to the model before, and taken back when it is refused. */
static void vote(void)
{
    struct rig *rig = &course->rig;
    const struct ifab_open_decision *d = course_open(rig, &course->random);
    if (d == NULL)
        return;
    struct message *m = message_of(d);
    unsigned approved = m->approved, voter = 1 + pick(TALENTS - 1);
    bool met = m->met, may = owner_bit(voter) != owner_bit(m->talent);
    struct ifab_command command = course_vote(rig, d, voter);
    command.u.vote.verdict = d->state == IFAB_DECISION_HOLD || pick(16) == 0 ? IFAB_VOTE_SCOPE_OK : pick(4) == 0 ? IFAB_VOTE_REFUSE : IFAB_VOTE_APPROVE;
    if (may && command.u.vote.verdict == IFAB_VOTE_APPROVE && m->state == ESCALATED && (voter == OPERATOR || voter >= V1))
        m->approved |= owner_bit(voter);
    if (may && command.u.vote.verdict == IFAB_VOTE_SCOPE_OK && m->state == HELD && voter == B)
        m->met = true;
    ifab_arena_reset(&rig->arena);
    step(&command);
    if (rig->outcome.reply.code == IFAB_CODE_NONE)
        return;
    m->approved = approved;
    m->met = met;
}

static void draw_call_rule(struct call_rule *r, bool holds_always)
{
    static const enum verdict effects[] = {DENY, ESCALATE, ESCALATE, SHARE, SHARE};
    *r = (struct call_rule){.effect = effects[pick(IFAB_COUNT(effects))], .capability = -1, .version = -1, .operation = -1, .word = -1, .sender = -1,
                            .owner = -1, .role = -1, .above = -1};
    r->votes = r->effect == ESCALATE ? pick(4) : 0;
    if (holds_always)
        return;
    if (pick(4) == 0)
        r->capability = any_or(2);
    if (pick(3) == 0)
        r->operation = any_or(IFAB_COUNT(operations));
    else if (pick(3) == 0)
        r->word = any_or(IFAB_COUNT(words));
    if (pick(8) == 0)
        r->version = any_or(2);
    if (pick(4) == 0)
        r->sender = pick(2) ? A : C;
    if (pick(4) == 0)
        r->owner = pick(2) ? A : C;
    if (pick(3) == 0)
        r->role = (int)pick(2);
    if (pick(3) == 0)
        r->above = (int)pick(4);
    if (pick(8) == 0)
        r->cost[USD] = 100 * (1 + pick(4));
    if (pick(8) == 0)
        r->cost[TOKENS] = 10 * (1 + pick(4));
    if (pick(8) == 0)
        r->cost[CALLS] = 1 + pick(4);
}

/* One more member of a condition, unless the number says any. */
static void put_word(struct ifab_buf *b, unsigned *count, const char *field, const char *const *from, int which)
{
    if (which >= 0)
        ifab_buf_format(b, "%s\"%s\":\"%s\"", (*count)++ > 0 ? "," : "", field, from[which]);
}

static void put_call_rule(struct ifab_buf *b, unsigned i, const struct call_rule *r)
{
    static const char *const effects[] = {[DENY] = "deny", [ESCALATE] = "escalate", [HOLD] = "", [SHARE] = "share"};
    unsigned count = 0;
    ifab_buf_format(b, "{\"id\":\"c%u\",\"effect\":\"%s\",", i, effects[r->effect]);
    if (r->votes > 0)
        ifab_buf_format(b, "\"votes\":%u,", r->votes);
    ifab_buf_str(b, "\"when\":{");
    put_word(b, &count, "capability", capabilities, r->capability);
    if (r->operation >= 0)
        put_word(b, &count, "operation", &operations[r->operation].name, 0);
    put_word(b, &count, "effect", words, r->word);
    put_word(b, &count, "sender", names, r->sender);
    put_word(b, &count, "sender.role", roles, r->role);
    put_word(b, &count, "sender.owner", owners, r->owner);
    put_word(b, &count, "version", versions, r->version);
    if (r->above >= 0)
        ifab_buf_format(b, "%s\"param.n\":{\"above\":%d}", count++ > 0 ? "," : "", r->above);
    for (unsigned k = 0; k < COSTS; k++)
        if (r->cost[k] > 0)
            ifab_buf_format(b, "%s\"cost.%s\":{\"at_least\":%u}", count++ > 0 ? "," : "", costs[k], r->cost[k]);
    ifab_buf_str(b, "}}");
}

static void put_message_rules(struct ifab_buf *b, struct set *set)
{
    static const char *const effects[] = {[DENY] = "deny", [ESCALATE] = "escalate", [HOLD] = "hold", [SHARE] = "pass"};
    set->message_count = pick(3) == 0 ? 1 + pick(2) : 0;
    for (unsigned i = 0; i < set->message_count; i++) {
        struct message_rule *r = &set->messages[i];
        unsigned count = 0;
        *r = (struct message_rule){.effect = (enum verdict)pick(4), .sender = pick(2) ? -1 : A + (int)pick(3), .asks = any_or(2)};
        r->votes = r->effect == ESCALATE ? 1 + pick(3) : 0;
        ifab_buf_format(b, "%s{\"id\":\"m%u\",\"effect\":\"%s\",", i > 0 ? "," : "", i, effects[r->effect]);
        if (r->votes > 0)
            ifab_buf_format(b, "\"votes\":%u,", r->votes);
        ifab_buf_str(b, "\"when\":{");
        put_word(b, &count, "sender", names, r->sender);
        if (r->asks >= 0)
            ifab_buf_format(b, "%s\"data.apply.plan_hash\":{\"exists\":%s}", count > 0 ? "," : "", r->asks ? "true" : "false");
        ifab_buf_str(b, "}}");
    }
}

static void compile(struct set *set)
{
    struct ifab_buf text = IFAB_BUF_INIT(8192);
    ifab_buf_format(&text, "{\"v\":1,\"why\":\"%u\",\"capabilities\":[", course->set_count);
    set->call_count = 1 + pick(RULES);
    bool lax = course->fault == RULES_THAT_DO_NOT_BITE && pick(2) == 0;
    for (unsigned i = 0, put = 0; i < set->call_count; i++) {
        draw_call_rule(&set->calls[i], i + 1 == set->call_count && pick(2) == 0);
        if (lax && set->calls[i].effect == DENY) {
            course->planted++;
            continue;
        }
        ifab_buf_str(&text, put++ > 0 ? "," : "");
        put_call_rule(&text, i, &set->calls[i]);
    }
    ifab_buf_str(&text, "],\"rules\":[");
    put_message_rules(&text, set);
    ifab_buf_str(&text, "]}");
    set->compiled = course_compile(&text);
    ifab_sha256(ifab_ruleset_canonical(set->compiled), set->digest32);
    ifab_buf_fini(&text);
}

/* A new set, or one that was in force before and comes back. */
static void reload(void)
{
    struct rig *rig = &course->rig;
    struct set *set = course->set_count > 0 && pick(3) == 0 ? &course->sets[course->set_count - 1 - pick(course->set_count < 3 ? course->set_count : 3)] : NULL;
    if (set == NULL && course->set_count == SETS)
        return;
    course->returned += set != NULL && set != course->now;
    if (set == NULL) {
        set = &course->sets[course->set_count++];
        compile(set);
    }
    struct ifab_guard_rules rules;
    struct ifab_command command;
    course_rules(rig, set->compiled, &rules, &command);
    course->now = set;
    ifab_arena_reset(&rig->arena);
    step(&command);
}

static void route(void)
{
    struct rig *rig = &course->rig;
    const struct ifab_open_decision *d = ifab_fabric_unrouted(rig->fabric, 0);
    struct ifab_command command = {.type = IFAB_COMMAND_ROUTE}, admitted;
    if (d == NULL)
        return;
    const struct message *m = message_of(d);
    ifab_arena_reset(&rig->arena);
    assert_int_equal(rig_admit(rig, ifab_view_of(m->bytes, m->size), &admitted), IFAB_CODE_NONE);
    command.u.route.number = d->number;
    command.u.route.envelope = pick(64) == 0 ? NULL : admitted.u.message.envelope; /* or its bytes were erased */
    command.u.route.facts = admitted.u.message.facts;
    step(&command);
}

static void tick(void)
{
    struct ifab_command command = {.type = IFAB_COMMAND_TICK};
    ifab_arena_reset(&course->rig.arena);
    step(&command);
}

static void pass(void)
{
    static const ifab_usec spans[] = {IFAB_SECOND, 10 * IFAB_SECOND, 30 * IFAB_SECOND, 4 * IFAB_MINUTE};
    ifab_usec by_ = spans[pick(IFAB_COUNT(spans))];
    course->rig.now.run += by_;
    course->rig.now.wall += by_;
    for (unsigned i = 0; i < 100 && ifab_fabric_deadline(course->rig.fabric, course->rig.now) <= course->rig.now.run; i++)
        tick();
}

static void begin(uint64_t seed, enum fault fault)
{
    struct ifab_fabric_settings settings;
    rig_settings(&settings);
    settings.rules.hold_burst = settings.rules.escalate_burst = 1000;
    settings.rules.hold_refill = settings.rules.escalate_refill = 1000;
    settings.rules.open_max_talent = OPEN;
    settings.rules.hold_deadline = 2 * IFAB_MINUTE;
    settings.rules.escalate_deadline = 7 * IFAB_MINUTE;
    course = calloc(1, sizeof *course);
    assert_non_null(course);
    course->random.state = seed;
    course->fault = fault;
    struct rig *rig = &course->rig;
    rig_new(rig, &settings);
    rig->unsigned_ok = true;
    for (unsigned i = A; i < TALENTS; i++)
        rig_add(rig, names[i], owners[i], i < V1 ? IFAB_ROLE_AGENT : i == V4 ? IFAB_ROLE_ADMIN : IFAB_ROLE_OPERATOR, (uint8_t)(10 + i), IFAB_ORDER_STRICT);
    capability_publish(rig, OPERATOR);
    capability_allow(rig, OPERATOR, capabilities[0], "1.0.0", OPERATIONS);
    capability_allow(rig, OPERATOR, capabilities[1], "1.0.0", OPERATIONS ",\"scopes\":[\"studio:danger\"]");
    rig_grant(rig, "B", "guard:scope");
    for (unsigned i = A; i <= C; i += C - A) {
        rig_grant(rig, names[i], "if://capability/studio.one");
        rig_grant(rig, names[i], "if://capability/studio.two");
        rig_grant(rig, names[i], sensitive[0]);
    }
    rig->settings.sensitive_scopes = sensitive; /* from the next start on */
    rig->settings.sensitive_count = 1;
    rig_restart(rig);
    course->first = 0x100000;
    reload();
}

static void end(void)
{
    rig_free(&course->rig);
    for (unsigned i = 0; i < course->message_count; i++)
        free(course->messages[i].bytes);
    for (unsigned i = 0; i < course->set_count; i++)
        ifab_ruleset_free(course->sets[i].compiled);
    free(course);
    course = NULL;
}

static void run(uint64_t steps)
{
    for (uint64_t i = 0; i < steps && course->found[0] == '\0'; i++) {
        unsigned kind = pick(1000);
        if (kind < 250)
            make_plan();
        else if (kind < 380 && course->plan_count > 0)
            send(some_plan());
        else if (kind < 420)
            send(NULL);
        else if (kind < 600)
            apply();
        else if (kind < 700)
            end_call();
        else if (kind < 910)
            vote();
        else if (kind < 920)
            reload();
        else if (kind < 960)
            route();
        else if (kind < 985)
            pass();
        else if (kind < 992)
            tick();
        else
            restart();
    }
}

/* INV-06 */
static void no_plan_that_is_denied_is_ever_applied(void **state)
{
    (void)state;
    uint64_t seed = test_env_u64("IFAB_SEED", 20261122), steps = test_env_u64("IFAB_STEPS", 20000), courses = test_env_u64("IFAB_COURSES", 4), plans = 0;
    uint64_t denied = 0, escalated = 0, applied_ = 0, by_votes = 0, tried = 0, again = 0, void_ = 0, refused = 0, late = 0, returned = 0, by_source = 0;
    for (uint64_t i = 0; i < courses; i++) {
        begin(seed + i, NO_FAULT);
        run(steps);
        if (course->found[0] != '\0')
            fail_msg("seed %llu: %s\n%s", (unsigned long long)(seed + i), course->found, rig_last(&course->rig));
        plans += course->plan_count;
        denied += course->denied;
        escalated += course->escalated;
        applied_ += course->applied;
        by_votes += course->by_votes;
        tried += course->tried;
        again += course->again;
        void_ += course->void_;
        refused += course->refused;
        late += course->late;
        returned += course->returned;
        by_source += course->by_source;
        end();
    }
#define N(number) (unsigned long long)(number)
    print_message("# %llu courses, %llu plans, %llu to be approved, %llu denied\n", N(courses), N(plans), N(escalated), N(denied));
    print_message("# applied %llu, with votes %llu, again %llu, tried %llu; not applied: rules changed %llu, refused by a vote %llu, too late %llu\n", N(applied_),
                  N(by_votes), N(again), N(tried), N(void_), N(refused), N(late));
    print_message("# sets that came back %llu, messages released by a source %llu\n", N(returned), N(by_source));
    if (getenv("IFAB_STEPS") == NULL) /* a course that meets none of them proves nothing */
        assert_true(plans >= 1000 * courses && denied > 200 * courses && escalated > 200 * courses && applied_ > 100 * courses && by_votes > 20 * courses &&
                    tried > 50 * courses && again > 0 && void_ > 200 * courses && refused > 50 * courses && late > 100 * courses && returned > 10 * courses &&
                    by_source > 5 * courses);
}

/* The control: the reader above finds what it is there to find. */
static void planted_faults_are_found(void **state)
{
    static const char *const finds[FAULTS] = {[DENIED_COMES_BACK] = "was refused",
                                              [APPROVED_BY_NOBODY] = "too few approved",
                                              [RULES_THAT_DO_NOT_BITE] = "the rules deny it, and it is planned",
                                              [PLANNED_UNDER_OTHERS] = "planned under other rules",
                                              [APPLIED_AGAIN] = "applied twice"};
    (void)state;
    for (unsigned fault = NO_FAULT + 1; fault < FAULTS; fault++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            begin(seed, (enum fault)fault);
            course->wanted = finds[fault];
            run(20000);
            if (course->planted == 0 || course->found[0] == '\0')
                fail_msg("fault %u, seed %llu: planted %u times; found: \"%s\"", fault, (unsigned long long)seed, course->planted, course->found);
            end();
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_plan_that_is_denied_is_ever_applied),
        cmocka_unit_test(planted_faults_are_found),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
