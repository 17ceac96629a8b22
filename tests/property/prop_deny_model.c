/*
 * No sequence of votes, changed rules, second sources, deadlines and restarts turns a DENY into something shared (INV-06). Random courses of a fabric
 * with real rule sets; what its log says of each message is judged by a naive reader that knows the messages and the rules as numbers and shares
 * nothing with the guard: what is released must be SHARE or, with its votes, ESCALATE under the rules in force at that moment, and must have its
 * source or its votes. Then the same with faults planted in the fabric's state: each must be found. IFAB_SEED=N repeats a run, IFAB_COURSES=N makes it
 * longer (4; some 8,000 messages each), IFAB_STEPS each course (20,000; it ends sending after 20,000 messages).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "guard/ruleset.h"
#include "rig.h"

enum { MESSAGES = 20000, SETS = 4000, RULES = 5, HAZARDS = 2, TALENTS = 8, OPEN = 16, KEYS = 24 };
enum verdict { DENY, ESCALATE, HOLD, SHARE };
enum state { UNKNOWN, HELD, ESCALATED, SHARED, DENIED };
enum fault { NO_FAULT, DENIED_COMES_BACK, RULES_THAT_DO_NOT_BITE, HAZARDS_NOT_DERIVED, VOTES_NOT_COUNTED, NOT_JUDGED_AGAIN, FAULTS };

struct rule { /* of the model: its place is its id */
    enum verdict effect;
    int kind, sender, above; /* -1: any */
    unsigned votes;
};
struct set {
    struct rule rules[RULES], hazards[HAZARDS]; /* hazards: derived ones, all of which escalate */
    unsigned count, hazard_count;
    struct ifab_ruleset *compiled;
};
struct message { /* of the model */
    enum state state;
    unsigned talent, kind, usd, claim, confidence; /* confidence: hundredths */
    bool hazard, secret, met;
    unsigned need, approved; /* approved: bits of owners */
    uint8_t *bytes;
    size_t size;
};
struct course {
    struct rig rig;
    struct test_random random;
    struct message messages[MESSAGES];
    uint64_t first; /* id of messages[0] */
    unsigned count;
    struct set sets[SETS];
    unsigned set_count;
    const struct set *now; /* in force, as the model knows it */
    uint8_t revoked32[TALENTS + 2][32]; /* the last key of a voter that was replaced without overlap, if there was one */
    bool has_revoked[TALENTS + 2];
    unsigned keys, by_revoked_key;      /* made; votes that were refused */
    enum fault fault;
    unsigned planted;
    const char *wanted; /* in a control run: nothing else counts */
    char found[256];    /* the first thing that must not be; empty: nothing */
    unsigned by_votes, by_source, denied_by_rules, denied_by_vote, reopened, deadlines;
};
static struct course *course;

static const char *const names[TALENTS + 2] = {NULL, "operator", "A", "B", "C", "A2", "V1", "V2", "V3", "V4"};
static const char *const owners[TALENTS + 2] = {NULL, "operator", "alice", "bob", "carol", "alice", "vera", "victor", "vera", "bob"};

static unsigned pick(unsigned below) { return (unsigned)test_random_below(&course->random, below); }

static void wrong(const struct message *m, const char *what)
{
    if (course->found[0] == '\0' && (course->wanted == NULL || strstr(what, course->wanted) != NULL))
        snprintf(course->found, sizeof course->found, "message %u: %s", (unsigned)(m - course->messages), what);
}

static bool same_owner(unsigned a, unsigned b) { return strcmp(owners[a], owners[b]) == 0; }
static unsigned owner_bit(unsigned talent)
{
    unsigned first = 1;
    while (!same_owner(first, talent))
        first++;
    return 1U << first;
}

static struct message *message_of(const struct ifab_open_decision *d)
{
    uint64_t id = 0;
    for (size_t i = 10; i < 16; i++)
        id = id << 8 | d->id16[i];
    return &course->messages[id - course->first];
}

/* ---- the naive reader ---- */

static bool matches(const struct rule *r, const struct message *m)
{
    return (r->kind < 0 || (unsigned)r->kind == m->kind) && (r->sender < 0 || (unsigned)r->sender == m->talent) && (int)m->usd > r->above;
}

static enum verdict judge(const struct message *m, bool met, unsigned *ret_votes)
{
    enum verdict verdict = SHARE;
    *ret_votes = 1;
    for (unsigned i = 0; i < course->now->count; i++) {
        const struct rule *r = &course->now->rules[i];
        if (!matches(r, m))
            continue;
        verdict = r->effect == HOLD && met ? SHARE : r->effect; /* the first that matches, and no other */
        *ret_votes = r->effect == ESCALATE && r->votes > 1 ? r->votes : 1;
        break;
    }
    bool hazard = m->hazard;
    for (unsigned i = 0; i < course->now->hazard_count; i++)
        hazard |= matches(&course->now->hazards[i], m);
    enum verdict own = m->secret ? DENY : hazard ? ESCALATE : met ? SHARE : m->confidence < 20 ? ESCALATE : m->confidence < 30 ? HOLD : SHARE;
    return own < verdict ? own : verdict;
}

static void opens(struct message *m, enum state state)
{
    (void)judge(m, m->met, &m->need);
    m->state = state;
    m->approved = 0;
}

static void released(struct message *m)
{
    unsigned votes, given = 0;
    enum verdict verdict = judge(m, true, &votes);
    for (unsigned bits = m->approved; bits != 0; bits &= bits - 1)
        given++;
    if (m->state == DENIED)
        wrong(m, "was denied, and is released");
    else if (m->state != HELD && m->state != ESCALATED)
        wrong(m, "is released, but does not wait");
    else if (verdict == DENY)
        wrong(m, "the rules in force deny it, and it is released");
    else if (m->state == HELD && verdict != SHARE)
        wrong(m, "its source is not enough, and it is released");
    else if (m->state == HELD && !m->met)
        wrong(m, "it has no source, and is released");
    else if (m->state == ESCALATED && given < m->need)
        wrong(m, "too few approved, and it is released");
    course->by_votes += m->state == ESCALATED;
    course->by_source += m->state == HELD;
    m->state = SHARED;
}

static struct message *named(const char *entry)
{
    static const char subject[] = "\"subject\":\"msg-01930000-0000-7000-8000-";
    const char *at = strstr(entry, subject);
    uint64_t id = at == NULL ? 0 : strtoull(at + sizeof subject - 1, NULL, 16);
    return id < course->first || id - course->first >= MESSAGES ? NULL : &course->messages[id - course->first];
}

static bool says(const char *entry, const char *operation)
{
    char text[64];
    snprintf(text, sizeof text, "\"operation\":\"%s\"", operation);
    return strstr(entry, text) != NULL;
}

/* In order: a source's own entry comes before what it releases. */
static void read_entry(const char *entry)
{
    struct message *m = named(entry);
    unsigned votes;
    if (m == NULL)
        return;
    bool first = says(entry, "share") || says(entry, "hold") || says(entry, "escalate") || says(entry, "deny");
    if (first && m->state != UNKNOWN)
        wrong(m, "decided a second time");
    enum verdict verdict = first ? judge(m, false, &votes) : SHARE;
    if (says(entry, "share")) {
        if (verdict != SHARE)
            wrong(m, "shared at once, and must not be");
        m->state = SHARED;
        for (unsigned i = 0; i < course->count; i++) { /* whom it is a source for */
            struct message *other = &course->messages[i];
            if (other->state == HELD && other->claim == m->claim && other->kind == m->kind && other->usd == m->usd &&
                !same_owner(other->talent, m->talent))
                other->met = true;
        }
    } else if (says(entry, "hold") || says(entry, "escalate")) {
        if (verdict < (says(entry, "hold") ? HOLD : ESCALATE))
            wrong(m, "waits, and must be stricter");
        opens(m, says(entry, "hold") ? HELD : ESCALATED);
    } else if (says(entry, "deny") || says(entry, "denied")) {
        if (m->state == DENIED || m->state == SHARED)
            wrong(m, "ended already, and is denied");
        course->denied_by_rules += says(entry, "denied") && strstr(entry, "the rule set changed") != NULL;
        course->denied_by_vote += strstr(entry, "refused by vote") != NULL;
        m->state = DENIED;
    } else if (says(entry, "escalated") || says(entry, "reopened")) {
        if (m->state != HELD && m->state != ESCALATED)
            wrong(m, "does not wait, and is opened again");
        if (judge(m, true, &votes) == DENY && says(entry, "reopened"))
            wrong(m, "the rules in force deny it, and it is opened again");
        course->reopened += says(entry, "reopened");
        course->deadlines += says(entry, "escalated");
        if (m->state != DENIED) /* for good, whatever is said of it */
            opens(m, strstr(entry, "\"decision\":\"HOLD\"") != NULL ? HELD : ESCALATED);
    } else if (says(entry, "released")) {
        released(m);
    }
}

/* ---- faults in the fabric's state ---- */

static void put_decision(const struct ifab_open_decision *d)
{
    uint8_t packed[IFAB_OPEN_DECISION_PACKED_MAX];
    struct ifab_view bytes = ifab_view_of(packed, ifab_open_decision_pack(d, packed));
    assert_int_equal(ifab_fabric_load_record(course->rig.fabric, IFAB_KIND_DECISION, d->number, bytes, NULL), IFAB_OK);
    rig_keep_record(&course->rig, IFAB_KIND_DECISION, d->number, bytes);
    course->planted++;
}

static struct ifab_open_decision before[OPEN * TALENTS];
static size_t before_count;

static void remember(void)
{
    before_count = 0;
    const struct ifab_decisions *open = ifab_fabric_decisions(course->rig.fabric);
    for (const struct ifab_open_decision *d = ifab_decisions_after(open, 0); d != NULL && course->fault != NO_FAULT;
         d = ifab_decisions_after(open, d->number))
        before[before_count++] = *d;
}

static void plant(void)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(course->rig.fabric);
    for (size_t i = 0; i < before_count; i++) {
        struct ifab_open_decision d = before[i];
        const struct ifab_open_decision *now = ifab_decisions_at(open, d.number);
        const struct message *m = message_of(&d);
        if (course->fault == DENIED_COMES_BACK && now == NULL && m->state == DENIED && pick(4) == 0) {
            put_decision(&d);
        } else if (course->fault == VOTES_NOT_COUNTED && now != NULL && now->state == IFAB_DECISION_ESCALATE && now->votes_needed > 1) {
            d = *now;
            d.votes_needed = 1;
            put_decision(&d);
        } else if (course->fault == NOT_JUDGED_AGAIN && now != NULL && memcmp(now->policy_digest32, course->rig.settings.rules.digest32, 32) != 0) {
            d = *now;
            memcpy(d.policy_digest32, course->rig.settings.rules.digest32, 32);
            put_decision(&d);
        }
    }
}

/* ---- the course ---- */

static void step(struct ifab_command *command)
{
    struct rig *rig = &course->rig;
    size_t from = rig->entry_count;
    remember();
    rig_step(rig, command);
    for (size_t i = from; i < rig->entry_count; i++)
        read_entry(rig_entry_text(rig, i));
    plant();
}

static void send(void)
{
    struct rig *rig = &course->rig;
    static const unsigned confidences[] = {90, 90, 90, 25, 25, 10};
    if (course->count == MESSAGES)
        return;
    struct message *m = &course->messages[course->count];
    char sender[40], content[512];
    m->talent = 2 + pick(4);
    m->kind = pick(4);
    m->usd = pick(3) * 100;
    m->claim = pick(3);
    m->confidence = confidences[pick(IFAB_COUNT(confidences))];
    m->hazard = pick(8) == 0;
    m->secret = pick(16) == 0;
    snprintf(sender, sizeof sender, "if://agent/%s", names[m->talent]);
    snprintf(
        content, sizeof content,
        "{\"claim\":\"x\",\"claim_id\":\"C-%u\",\"confidence\":{\"normalized\":0.%02u,\"raw\":0.%02u}%s%s,\"scope\":{\"kind\":\"k%u\",\"usd\":%u}}",
        m->claim, m->confidence, m->confidence, m->secret ? ",\"data\":{\"password\":\"correct horse battery staple\"}" : "",
        m->hazard ? ",\"hazards\":[\"legal\"]" : "", m->kind, m->usd);
    struct rig_message text = rig_message(rig, sender, content);
    text.id = course->first + course->count++;
    struct ifab_command command;
    ifab_arena_reset(&rig->arena);
    struct ifab_view bytes = rig_text(rig, &text);
    m->bytes = rig_copy(bytes);
    m->size = bytes.size;
    assert_int_equal(rig_admit(rig, ifab_view_of(m->bytes, m->size), &command), IFAB_CODE_NONE);
    step(&command);
}

static const struct ifab_open_decision *some_open(void)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(course->rig.fabric);
    size_t count = ifab_decisions_count(open, IFAB_DECISION_HOLD) + ifab_decisions_count(open, IFAB_DECISION_ESCALATE);
    const struct ifab_open_decision *d = ifab_decisions_after(open, 0);
    for (unsigned skip = count == 0 ? 0 : pick((unsigned)count); skip > 0 && d != NULL; skip--)
        d = ifab_decisions_after(open, d->number);
    return d;
}

/* As admission hands it in once its signature was good. What it says is told to the model before, and taken back when it is refused. */
static void vote(void)
{
    struct rig *rig = &course->rig;
    const struct ifab_open_decision *d = some_open();
    if (d == NULL)
        return;
    struct message *m = message_of(d), was = *m;
    struct ifab_command command = {.type = IFAB_COMMAND_VOTE};
    uint32_t voter = 1 + pick(TALENTS + 1);
    uint64_t n = ++rig->n;
    ifab_signer_public(rig->talents[voter].signer, command.u.vote.pubkey32);
    command.u.vote.talent = voter;
    memcpy(command.u.vote.digest16, &n, 8);
    command.u.vote.digest16[15] = 0x0E;
    memcpy(command.u.vote.nonce, &n, 8);
    command.u.vote.nonce_size = 16;
    memcpy(command.u.vote.decision_id16, d->id16, 16);
    memcpy(command.u.vote.message_digest32, d->message_digest32, 32);
    memcpy(command.u.vote.policy_digest32, d->policy_digest32, 32);
    command.u.vote.id_text = IFAB_VIEW("msg-x");
    command.u.vote.log = ifab_view_str(rig->settings.origin);
    command.u.vote.why = IFAB_VIEW("looked at it");
    command.u.vote.verdict = pick(8) == 0                     ? (enum ifab_vote_verdict)pick(3)
                             : d->state == IFAB_DECISION_HOLD ? IFAB_VOTE_SCOPE_OK
                             : pick(2) == 0                   ? IFAB_VOTE_REFUSE
                                                              : IFAB_VOTE_APPROVE;
    command.u.vote.issued_at = rig->now.wall;
    command.u.vote.expires_at = rig->now.wall + IFAB_MINUTE;
    bool revoked = course->has_revoked[voter] && pick(6) == 0;
    if (revoked)
        memcpy(command.u.vote.pubkey32, course->revoked32[voter], 32);
    bool may = !same_owner(voter, m->talent) && !revoked;
    if (may && command.u.vote.verdict == IFAB_VOTE_APPROVE && m->state == ESCALATED && (voter == 1 || voter >= 6))
        m->approved |= owner_bit(voter);
    if (may && command.u.vote.verdict == IFAB_VOTE_SCOPE_OK && m->state == HELD && voter == 3)
        m->met = true;
    ifab_arena_reset(&rig->arena);
    step(&command);
    if (revoked && rig->outcome.reply.code == IFAB_CODE_NONE)
        wrong(m, "a vote by a revoked key counts");
    course->by_revoked_key += revoked;
    if (rig->outcome.reply.code != IFAB_CODE_NONE)
        *m = was;
}

/* A voter gets another key, and the one before is revoked: the votes that it gave stand, and it gives no more. */
static void new_key(void)
{
    struct rig *rig = &course->rig;
    uint32_t voter = 6 + pick(4);
    uint8_t new32[32];
    if (course->keys == KEYS)
        return;
    struct ifab_signer *signer = make_signer((uint8_t)(100 + course->keys++));
    struct ifab_command command = rig_talent_command(rig, IFAB_ACT_ROTATE, names[voter]);
    ifab_signer_public(signer, new32);
    ifab_signer_public(rig->talents[voter].signer, course->revoked32[voter]);
    course->has_revoked[voter] = true;
    command.u.talent.request.pubkey32 = new32;
    command.act = rig_act(rig, 1);
    ifab_arena_reset(&rig->arena);
    step(&command);
    assert_int_equal(rig->outcome.reply.code, IFAB_CODE_NONE);
    ifab_signer_free(rig->talents[voter].signer);
    rig->talents[voter].signer = signer;
}

static void draw_when(struct rule *r)
{
    r->kind = (int)pick(5) - 1;
    r->sender = pick(3) == 0 ? 2 + (int)pick(4) : -1;
    r->above = (int)pick(3) * 60 - 1;
}

static void put_when(struct ifab_buf *text, const struct rule *r)
{
    ifab_buf_format(text, ",\"when\":{\"scope.usd\":{\"above\":%d}", r->above);
    if (r->kind >= 0)
        ifab_buf_format(text, ",\"scope.kind\":\"k%d\"", r->kind);
    if (r->sender >= 0)
        ifab_buf_format(text, ",\"sender\":\"%s\"", names[r->sender]);
    ifab_buf_str(text, "}}");
}

static void put_hazards(struct ifab_buf *text, struct set *set)
{
    static const char *const hazards[] = {"legal", "safety", "conflict>20%"}; /* those that escalate */
    set->hazard_count = pick(4) == 0 ? 1 + pick(HAZARDS) : 0;
    for (unsigned i = 0; i < set->hazard_count; i++) {
        draw_when(&set->hazards[i]);
        if (course->fault == HAZARDS_NOT_DERIVED) {
            course->planted++;
            continue;
        }
        ifab_buf_format(text, "%s{\"id\":\"h%u\",\"hazard\":\"%s\"", i > 0 ? "," : "", i, hazards[pick(IFAB_COUNT(hazards))]);
        put_when(text, &set->hazards[i]);
    }
}

static void new_rules(void)
{
    static const char *const effects[] = {[DENY] = "deny", [ESCALATE] = "escalate", [HOLD] = "hold", [SHARE] = "pass"};
    struct rig *rig = &course->rig;
    if (course->set_count == SETS)
        return;
    struct set *set = &course->sets[course->set_count++];
    struct ifab_buf text = IFAB_BUF_INIT(8192);
    struct ifab_arena arena;
    const struct ifab_json *root, *where;
    ifab_buf_format(&text, "{\"v\":1,\"why\":\"%u\",\"hazards\":[", course->set_count);
    put_hazards(&text, set);
    ifab_buf_str(&text, "],\"rules\":[");
    set->count = pick(RULES + 1);
    bool lax = course->fault == RULES_THAT_DO_NOT_BITE && pick(2) == 0;
    for (unsigned i = 0, put = 0; i < set->count; i++) {
        struct rule *r = &set->rules[i];
        r->effect = (enum verdict)pick(4);
        draw_when(r);
        r->votes = r->effect == ESCALATE ? 1 + pick(3) : 0;
        if (lax && r->effect == DENY) {
            course->planted++;
            continue;
        }
        ifab_buf_format(&text, "%s{\"id\":\"r%u\",\"effect\":\"%s\"", put++ > 0 ? "," : "", i, effects[r->effect]);
        if (r->votes > 0)
            ifab_buf_format(&text, ",\"votes\":%u", r->votes);
        put_when(&text, r);
    }
    ifab_buf_str(&text, "]}");
    ifab_arena_init(&arena, 1 << 20);
    struct ifab_error err = {0};
    assert_int_equal(ifab_json_read(ifab_buf_as_view(&text), NULL, &arena, &root, &err), IFAB_OK);
    const struct ifab_rule_source source = {.root = root};
    if (ifab_ruleset_compile(&source, &set->compiled, &where, &err) != IFAB_OK)
        fail_msg("%s", err.text);
    ifab_arena_fini(&arena);
    ifab_buf_fini(&text);
    struct ifab_guard_rules rules = ifab_fabric_settings(rig->fabric)->rules;
    rules.set = set->compiled;
    ifab_sha256(ifab_ruleset_canonical(set->compiled), rules.digest32);
    rig->settings.rules = rules;
    struct ifab_command command = {.type = IFAB_COMMAND_RULES, .why = IFAB_VIEW("because")};
    command.u.rules.rules = &rules;
    course->now = set;
    ifab_arena_reset(&rig->arena);
    step(&command);
}

static void route(void)
{
    const struct ifab_open_decision *d = ifab_fabric_unrouted(course->rig.fabric, 0);
    struct rig *rig = &course->rig;
    if (d == NULL)
        return;
    struct ifab_command command, admitted;
    const struct message *m = message_of(d);
    ifab_arena_reset(&rig->arena);
    assert_int_equal(rig_admit(rig, ifab_view_of(m->bytes, m->size), &admitted), IFAB_CODE_NONE);
    command = (struct ifab_command){.type = IFAB_COMMAND_ROUTE};
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
    static const ifab_usec spans[] = {IFAB_SECOND, 10 * IFAB_SECOND, IFAB_MINUTE, 6 * IFAB_MINUTE};
    ifab_usec by = spans[pick(IFAB_COUNT(spans))];
    course->rig.now.run += by;
    course->rig.now.wall += by;
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
    settings.rules.hold_deadline = 5 * IFAB_MINUTE;
    settings.rules.escalate_deadline = 20 * IFAB_MINUTE;
    course = calloc(1, sizeof *course);
    assert_non_null(course);
    course->random.state = seed;
    course->fault = fault;
    rig_new(&course->rig, &settings);
    course->rig.unsigned_ok = true;
    for (uint32_t i = 2; i < TALENTS + 2; i++)
        rig_add(&course->rig, names[i], owners[i], i < 6 ? IFAB_ROLE_AGENT : IFAB_ROLE_OPERATOR, (uint8_t)(10 + i), IFAB_ORDER_STRICT);
    rig_grant(&course->rig, "B", "guard:scope");
    course->first = 0x100000;
    course->now = &course->sets[course->set_count++]; /* no rules yet */
}

static void end(void)
{
    rig_free(&course->rig);
    for (unsigned i = 0; i < course->count; i++)
        free(course->messages[i].bytes);
    for (unsigned i = 0; i < course->set_count; i++)
        ifab_ruleset_free(course->sets[i].compiled);
    free(course);
    course = NULL;
}

static void run(uint64_t steps)
{
    for (uint64_t i = 0; i < steps && course->found[0] == '\0'; i++) {
        unsigned kind = pick(100);
        if (kind < 40)
            send();
        else if (kind < 70)
            vote();
        else if (kind < 74)
            new_rules();
        else if (kind < 90)
            route();
        else if (kind < 98)
            pass();
        else if (kind < 99 && pick(10) == 0)
            new_key();
        else if (kind < 99)
            tick();
        else
            rig_restart(&course->rig);
    }
}

/* INV-06 */
static void nothing_that_is_denied_is_ever_shared(void **state)
{
    (void)state;
    uint64_t seed = test_env_u64("IFAB_SEED", 20261121), steps = test_env_u64("IFAB_STEPS", 20000), courses = test_env_u64("IFAB_COURSES", 4), sent = 0;
    unsigned by_votes = 0, by_source = 0, by_rules = 0, by_vote = 0, reopened = 0, deadlines = 0, by_revoked_key = 0;
    for (uint64_t i = 0; i < courses; i++) {
        begin(seed + i, NO_FAULT);
        run(steps);
        if (course->found[0] != '\0')
            fail_msg("seed %llu: %s\n%s", (unsigned long long)(seed + i), course->found, rig_last(&course->rig));
        sent += course->count;
        by_votes += course->by_votes;
        by_source += course->by_source;
        by_rules += course->denied_by_rules;
        by_vote += course->denied_by_vote;
        reopened += course->reopened;
        deadlines += course->deadlines;
        by_revoked_key += course->by_revoked_key;
        end();
    }
    print_message("# %llu courses, %llu messages\n", (unsigned long long)courses, (unsigned long long)sent);
    print_message("# released by votes %u, by a source %u; denied by changed rules %u, by a vote %u; reopened %u, escalated %u; votes by a revoked key %u\n",
                  by_votes, by_source, by_rules, by_vote, reopened, deadlines, by_revoked_key);
    if (getenv("IFAB_STEPS") == NULL) /* a course that meets none of them proves nothing */
        assert_true(sent >= 7500 * courses && by_votes > 500 && by_source > 200 && by_rules > 500 && by_vote > 0 && reopened > 500 && deadlines > 200 &&
                    by_revoked_key > 100);
}

/* The control: the reader above finds what it is there to find. */
static void planted_faults_are_found(void **state)
{
    static const char *const finds[FAULTS] = {[DENIED_COMES_BACK] = "was denied",
                                              [RULES_THAT_DO_NOT_BITE] = "must",
                                              [HAZARDS_NOT_DERIVED] = "must",
                                              [VOTES_NOT_COUNTED] = "too few approved",
                                              [NOT_JUDGED_AGAIN] = "the rules in force deny it"};
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
        cmocka_unit_test(nothing_that_is_denied_is_ever_shared),
        cmocka_unit_test(planted_faults_are_found),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
