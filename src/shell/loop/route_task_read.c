/* Reads of tasks and swarms: one, lists, what came of a closed one. Who sees what: an agent its own and what its swarms may take. */
#include <string.h>

#include "node.h"

/* An agent sees what it made, what its swarms have or may take: what is open to all, as long as nobody has it. The others see all. */
static bool sees(const struct node *node, const struct ifab_principal *p, const struct ifab_task *t)
{
    return p->role != IFAB_ROLE_AGENT || t->creator.talent == p->talent || (t->queue.n == 0 && t->state == IFAB_TASK_QUEUED) ||
           who_is_member(node, p, t->queue) || who_is_member(node, p, t->owner);
}

/* Its payload: who made it, who works on it, and who answers for the whole. */
static bool sees_payload(const struct node *node, const struct ifab_principal *p, const struct ifab_task *t)
{
    if (p->role == IFAB_ROLE_AGENT)
        return t->creator.talent == p->talent || who_is_member(node, p, t->owner);
    return p->role != IFAB_ROLE_READONLY;
}

struct task_filter {
    unsigned states; /* bits; 0: any */
    char swarm[IFAB_NAME_MAX + 1];
};

#define LOOKED_AT_MOST 4096 /* in one step: then the cursor */

/* "counts":{…}, of all tasks that are not closed, whatever the filter: for those who see all. */
static void put_counts(const struct ifab_coordinator *coordinator, struct ifab_buf *b)
{
    for (int s = IFAB_TASK_NONE + 1; s < IFAB_TASK_STATE_COUNT; s++)
        if (ifab_task_open((enum ifab_task_state)s))
            ifab_buf_format(b, "%s\"%s\":%zu", b->size == 0 ? "\"counts\":{" : ",", ifab_task_state_name((enum ifab_task_state)s),
                            ifab_task_count(coordinator, (enum ifab_task_state)s));
    ifab_buf_str(b, "},");
}

static void step_tasks(struct node *node, struct ticket *t)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    struct ifab_buf counts = IFAB_BUF_INIT(512);
    if (t->request->principal.role != IFAB_ROLE_AGENT)
        put_counts(coordinator, &counts);
    struct list *list = list_begin(t, &counts);
    const struct task_filter *filter = list->filter;
    const struct ifab_swarm *swarm = ifab_swarm_find(coordinator, ifab_view_str(filter->swarm));
    struct ifab_now now = clock_now(&node->clock, NULL);
    uint64_t looked = 0;
    for (const struct ifab_task *task; (task = ifab_task_after(coordinator, (struct ifab_task_number){list->last})) != NULL; list->last = task->number.n) {
        list->more = looked++ == LOOKED_AT_MOST;
        if (list->more)
            break;
        if ((filter->states != 0 && (filter->states >> task->state & 1) == 0) || !sees(node, &t->request->principal, task))
            continue;
        if (filter->swarm[0] != '\0' && (swarm == NULL || (task->owner.n != swarm->number.n && task->queue.n != swarm->number.n)))
            continue;
        if (!list_next(list))
            break;
        ifab_fabric_task_json(node->fabric, task, now, &list->buf);
    }
    list_end(t, list);
}

/* Names of states of open tasks, a comma between. 0: something else. */
static unsigned states_of(struct ifab_view text)
{
    unsigned states = 0;
    for (bool more = true; more;) {
        const uint8_t *comma = text.size == 0 ? NULL : memchr(text.data, ',', text.size);
        size_t size = comma == NULL ? text.size : (size_t)(comma - text.data);
        enum ifab_task_state state = ifab_task_state_parse(ifab_view_of(text.data, size));
        if (state == IFAB_TASK_NONE || !ifab_task_open(state))
            return 0;
        states |= 1U << state;
        more = comma != NULL;
        text = ifab_view_of(text.data + size + more, text.size - size - more);
    }
    return states;
}

void handle_tasks(struct node *node, struct request *r)
{
    struct task_filter filter = {0};
    struct ifab_buf text = IFAB_BUF_INIT(1024);
    const char *wrong = NULL;
    if (request_query(r, "state", &text)) {
        filter.states = states_of(ifab_buf_as_view(&text));
        wrong = filter.states == 0 ? "state" : NULL;
    }
    if (request_query(r, "swarm", &text)) {
        wrong = wrong == NULL && !ifab_name_valid(ifab_buf_as_view(&text)) ? "swarm" : wrong;
        if (wrong == NULL)
            memcpy(filter.swarm, text.data, text.size);
    }
    ifab_buf_fini(&text);
    if (wrong != NULL)
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, wrong, wrong[1] == 't' ? "queued, claimed, running, blocked or dead, a comma between" : "a swarm's name");
    else
        list_queue(node, r, step_tasks, &filter, sizeof filter);
}

static bool closed_is_of(const struct node *node, const struct ifab_principal *p, const struct ifab_closed_task *closed)
{
    return (closed->creator != 0 && closed->creator == p->talent) || who_is_member(node, p, closed->owner);
}

/* An id may be used again after 30 days: an entry from before the task that has it now is about another, and nobody is left to say whose. */
bool task_is_of(const struct node *node, const struct ifab_principal *p, struct ifab_view id, uint64_t entry)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    const struct ifab_task *t = ifab_task_find(coordinator, id);
    const struct ifab_closed_task *closed = t != NULL ? NULL : ifab_closed_task_find(coordinator, id);
    if (entry < (t != NULL ? t->created_index : closed != NULL ? closed->created_index : UINT64_MAX))
        return false;
    if (t != NULL)
        return (t->creator.talent != 0 && t->creator.talent == p->talent) || who_is_member(node, p, t->queue) || who_is_member(node, p, t->owner);
    return closed != NULL && closed_is_of(node, p, closed);
}

/* A closed one: the entry that closed it, and what came of it. */
static void run_closed(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_stored_entry entry;
    struct ifab_error err = {0};
    const struct ifab_json *tree;
    struct ifab_json_limits limits = {0};
    struct ifab_view text;
    uint8_t hash[32];
    size_t count = 0;
    if (ifab_store_read(store, job->a, 1, job->c != 0, &job->arena, &entry, &count, &err) != IFAB_OK || count != 1 ||
        ifab_json_read(entry.entry, &limits, &job->arena, &tree, &err) != IFAB_OK) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
        return;
    }
    ifab_sha256(entry.entry, hash);
    ifab_buf_str(&job->out, "{\"closed_at\":");
    ifab_json_put_string(&job->out, ifab_json_string(ifab_json_get(tree, "time"), &text) ? text : IFAB_VIEW(""));
    ifab_buf_str(&job->out, ",\"entry\":{\"hash\":\"sha256:");
    ifab_buf_hex(&job->out, hash, 32);
    ifab_buf_format(&job->out, "\",\"index\":%llu,\"log\":\"%s\"},\"id\":", (unsigned long long)job->a, node->settings.log);
    ifab_json_put_string(&job->out, job->text);
    if (job->c != 0 && entry.message.size > 0) {
        ifab_buf_str(&job->out, ",\"result\":");
        ifab_buf_view(&job->out, entry.message);
    }
    ifab_buf_format(&job->out, ",\"state\":\"%s\"}", ifab_task_state_name((enum ifab_task_state)job->b));
}

static void no_such_task(struct node *node, struct request *r)
{
    reply_code(node, r, IFAB_CODE_TASK_NOT_FOUND, "id", "no task with this id, or you may not see it");
}

/* Closed before a restore: the entry that says when, and the result, stand in the lost log. */
static void reply_lost(struct node *node, struct request *r, const struct ifab_closed_task *closed)
{
    struct ifab_buf b = IFAB_BUF_INIT(1024);
    ifab_buf_str(&b, "{\"id\":");
    ifab_json_put_string(&b, r->params[0]);
    ifab_buf_format(&b, ",\"state\":\"%s\"}", ifab_task_state_name(closed->state));
    if (ifab_buf_status(&b) == IFAB_OK)
        reply_text(node, r, 200, "application/json", ifab_buf_as_view(&b));
    else
        reply_out_of_memory(node, r);
    ifab_buf_fini(&b);
}

static void closed_done(struct node *node, struct request *r)
{
    const struct ifab_closed_task *closed = ifab_closed_task_find(ifab_fabric_coordinator(node->fabric), r->params[0]);
    const struct ifab_principal *p = &r->principal;
    if (closed == NULL || (p->role == IFAB_ROLE_AGENT && !closed_is_of(node, p, closed))) {
        no_such_task(node, r);
        return;
    }
    if (closed->index == 0) {
        reply_lost(node, r, closed);
        return;
    }
    struct job *job = job_new(r);
    if (job == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    job->a = closed->index;
    job->b = (uint64_t)closed->state;
    job->c = p->role != IFAB_ROLE_READONLY;
    job->text = r->params[0];
    job->run = run_closed;
    job->finish = job_reply;
    job_push(node, job);
}

static void task_done(struct node *node, struct ticket *t)
{
    if (t->reply.code != IFAB_CODE_NONE)
        reply_ticket(node, t);
    else if (t->reply.body.size == 0)
        closed_done(node, t->request);
    else if (t->reply.with_payload) {
        struct job *job = task_payload_job(t->request, t->reply.body, t->reply.payload_index, 1);
        if (job == NULL)
            reply_out_of_memory(node, t->request);
        else
            job_push(node, job);
    } else {
        reply_ticket(node, t);
    }
}

static void step_task(struct node *node, struct ticket *t)
{
    const struct ifab_task *task = ifab_task_find(ifab_fabric_coordinator(node->fabric), t->request->params[0]);
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    if (task == NULL)
        return; /* closed, or none: after the commit */
    if (!sees(node, &t->request->principal, task)) {
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_TASK_NOT_FOUND, "id", "no task with this id, or you may not see it");
        return;
    }
    ifab_fabric_task_json(node->fabric, task, clock_now(&node->clock, NULL), &b);
    reply_body(t, &b);
    t->reply.with_payload = task->payload_size > 0 && sees_payload(node, &t->request->principal, task);
    t->reply.payload_index = task->created_index;
}

void handle_task(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    t->step = step_task;
    t->done = task_done;
    ticket_queue(node, t);
}
