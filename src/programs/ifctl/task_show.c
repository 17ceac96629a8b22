/*
 * task show for people. The answer about a closed task names the entry that closed it and what came of it; the one about a dead task no longer names who
 * had it. What else there is to know stands in the log, in the entries of its trace: they are read as well, and what the caller may not read is left out.
 * Only here: in the other forms the answer is printed as it came.
 */
#include "task.h"

#define PAGES 20 /* of a thousand entries: of what renewed itself for longer, the beginning is told */

enum fact { STATE, TYPE, ATTEMPT, SWARM, WORKER, CREATED_AT, CREATOR, ENDED_AT, ENDED_BY, NOTE, WHY, COST, TRACE, FACTS };
static const char *const names[FACTS] = {"state", "type", "attempt", "swarm", "worker", "created_at", "creator", "ended_at", "ended_by", "note", "why", "cost", "trace"};

struct shown {
    struct ifab_view id, facts[FACTS]; /* texts; size 0: not known */
    int64_t attempt, max_attempts;
    uint64_t usd_micro, tokens, calls;
    bool priced;
    struct ifab_arena *arena;
};

static void keep(struct shown *s, enum fact fact, struct ifab_view text)
{
    if (text.size > 0)
        s->facts[fact] = text;
}

static uint64_t amount(const struct ifab_json *cost, const char *name)
{
    int64_t value = 0;
    return ifab_json_integer(ifab_json_get(cost, name), &value) && value > 0 ? (uint64_t)value : 0;
}

static void add_cost(struct shown *s, const struct ifab_json *cost)
{
    s->priced = true;
    s->usd_micro += amount(cost, "usd_micro");
    s->tokens += amount(cost, "tokens_in") + amount(cost, "tokens_out");
    s->calls += amount(cost, "calls");
}

static void attempts(struct shown *s, const struct ifab_json *object)
{
    (void)ifab_json_integer(ifab_json_get(object, "attempt"), &s->attempt);
    (void)ifab_json_integer(ifab_json_get(object, "max_attempts"), &s->max_attempts);
}

static void made(struct shown *s, const struct ifab_json *entry, const struct ifab_json *payload)
{
    const struct ifab_json *task = ifab_json_get(payload, "task");
    *s = (struct shown){.id = s->id, .facts[TRACE] = s->facts[TRACE], .arena = s->arena}; /* one of this name before it is another's */
    attempts(s, task);
    keep(s, TYPE, ifab_json_text(task, "type"));
    keep(s, CREATED_AT, ifab_json_text(entry, "time"));
    keep(s, CREATOR, ifab_json_text(entry, "actor"));
}

static void claimed(struct shown *s, const struct ifab_json *entry, const struct ifab_json *payload)
{
    attempts(s, payload);
    keep(s, SWARM, ifab_json_text(payload, "swarm"));
    keep(s, WORKER, ifab_json_text(entry, "actor"));
}

static void ended(struct shown *s, const struct ifab_json *entry, const struct ifab_json *payload)
{
    attempts(s, payload);
    keep(s, ENDED_AT, ifab_json_text(entry, "time"));
    keep(s, ENDED_BY, ifab_json_text(entry, "actor"));
    s->facts[NOTE] = ifab_json_text(payload, ifab_json_get(payload, "note") != NULL ? "note" : "cause"); /* not that of a life before */
    s->facts[WHY] = ifab_json_text(entry, "why");
}

/* An entry of its trace, in order: the last one counts, for a dead task may have had another life. */
static void learn(struct shown *s, const struct ifab_json *entry)
{
    static const struct {
        const char *operation;
        void (*learn)(struct shown *s, const struct ifab_json *entry, const struct ifab_json *payload);
    } kinds[] = {{"create", made}, {"claim", claimed}, {"complete", ended}, {"cancel", ended}, {"dead", ended}};
    struct ifab_view operation = ifab_json_text(entry, "operation");
    if (!ifab_view_equal(ifab_json_text(entry, "subject"), s->id))
        return;
    if (ifab_view_is(operation, "cost_incurred"))
        add_cost(s, ifab_json_get(entry, "cost"));
    for (size_t i = 0; i < IFAB_COUNT(kinds) && ifab_view_is(ifab_json_text(entry, "component"), "IF.coordinator"); i++)
        if (ifab_view_is(operation, kinds[i].operation))
            kinds[i].learn(s, entry, ifab_json_get(entry, "payload"));
}

static void learn_trace(struct cli *cli, struct shown *s)
{
    const struct ifab_json *tree;
    char target[1024];
    bool more = cli_path(target, sizeof target, "/v1/witness/entries?trace=" IFAB_FMT "&limit=1000", IFAB_ARG(s->facts[TRACE]));
    for (size_t page = 0; more && page < PAGES && cli_get_quietly(cli, target, s->arena, &tree) == 0; page++) {
        const struct ifab_json *items = ifab_json_get(tree, "items");
        for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++)
            learn(s, &items->u.array.items[i]);
        struct ifab_view next = ifab_json_text(tree, "next");
        more = next.size > 0 && cli_path(target, sizeof target, "/v1/witness/entries?trace=" IFAB_FMT "&limit=1000&cursor=" IFAB_FMT,
                                         IFAB_ARG(s->facts[TRACE]), IFAB_ARG(next));
    }
}

/* The answer about a closed one names no trace: the entry that closed it does. */
static void learn_all(struct cli *cli, struct shown *s, const struct ifab_json *answer)
{
    const struct ifab_json *closing = NULL;
    int64_t index;
    char target[64];
    if (ifab_json_integer(ifab_json_get(ifab_json_get(answer, "entry"), "index"), &index) &&
        cli_path(target, sizeof target, "/v1/witness/entries/%lld", (long long)index) && cli_get_quietly(cli, target, s->arena, &closing) != 0)
        closing = NULL;
    keep(s, TRACE, ifab_json_text(closing != NULL ? closing : answer, "trace"));
    if (s->facts[TRACE].size > 0)
        learn_trace(cli, s);
    if (closing != NULL)
        learn(s, closing);
}

static struct ifab_view kept_text(struct shown *s, const char *text)
{
    struct ifab_view copy = {NULL, 0};
    (void)!ifab_arena_copy(s->arena, ifab_view_str(text), &copy);
    return copy;
}

static void count_up(struct shown *s)
{
    char text[160];
    if (s->attempt > 0 && s->max_attempts > 0)
        snprintf(text, sizeof text, "%lld of %lld", (long long)s->attempt, (long long)s->max_attempts);
    else
        snprintf(text, sizeof text, "%lld", (long long)s->attempt);
    if (s->attempt > 0)
        keep(s, ATTEMPT, kept_text(s, text));
    snprintf(text, sizeof text, "usd %llu.%06llu, tokens %llu, calls %llu", (unsigned long long)(s->usd_micro / 1000000),
             (unsigned long long)(s->usd_micro % 1000000), (unsigned long long)s->tokens, (unsigned long long)s->calls);
    if (s->priced)
        keep(s, COST, kept_text(s, text));
}

/* What is known, and whatever else the answer says. */
static void put_shown(const struct shown *s, const struct ifab_json *answer, struct ifab_buf *b)
{
    ifab_buf_str(b, "{\"id\":");
    ifab_json_put_string(b, s->id);
    for (size_t i = 0; i < FACTS; i++) {
        if (s->facts[i].size == 0)
            continue;
        ifab_buf_format(b, ",\"%s\":", names[i]);
        ifab_json_put_string(b, s->facts[i]);
    }
    for (size_t i = 0; i < answer->u.object.count; i++) {
        const struct ifab_json_member *m = &answer->u.object.members[i];
        bool said = ifab_view_is(m->name, "id");
        for (size_t k = 0; k < FACTS && !said; k++)
            said = s->facts[k].size > 0 && ifab_view_is(m->name, names[k]);
        if (said || (s->facts[ATTEMPT].size > 0 && ifab_view_is(m->name, "max_attempts")))
            continue;
        ifab_buf_char(b, ',');
        ifab_json_put_string(b, m->name);
        ifab_buf_char(b, ':');
        ifab_json_write(b, &m->value);
    }
    ifab_buf_char(b, '}');
}

int task_show_ended(struct cli *cli, const char *target)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *answer;
    ifab_arena_init(&arena, (size_t)256 << 20);
    int code = cli_get_json(cli, target, &arena, &answer);
    if (code != 0)
        return code;
    struct ifab_view state = ifab_json_text(answer, "state");
    if (answer->type != IFAB_JSON_OBJECT || !(ifab_view_is(state, "done") || ifab_view_is(state, "cancelled") || ifab_view_is(state, "dead"))) {
        cli_print_tree(cli, answer, NULL);
        return 0;
    }
    struct shown s = {.id = ifab_json_text(answer, "id"), .arena = &arena};
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    learn_all(cli, &s, answer);
    attempts(&s, answer);
    for (enum fact i = STATE; i < FACTS; i++) /* what the daemon says of it itself goes before */
        if (i != ATTEMPT)
            keep(&s, i, ifab_json_text(answer, names[i]));
    if (ifab_json_get(answer, "closed_at") != NULL) /* that is when */
        s.facts[ENDED_AT] = (struct ifab_view){NULL, 0};
    count_up(&s);
    put_shown(&s, answer, &b);
    code = ifab_buf_status(&b) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&b), NULL) : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&b);
    return code;
}
