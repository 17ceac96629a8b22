/* Reads of tasks and swarms: one, lists, what came of a closed one. Who sees what: an agent its own and what its swarms may take. */
#include <string.h>

#include "node.h"

static void out_of_memory(struct node *node, struct request *r) { reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory"); }

static bool member_of(const struct node *node, const struct ifab_principal *p, struct ifab_swarm_number number)
{
    const struct ifab_swarm *swarm = ifab_swarm_at(ifab_fabric_coordinator(node->fabric), number);
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), p->talent);
    return swarm != NULL && talent != NULL && ifab_swarm_has_member(swarm, talent->name);
}

/* An agent sees what it made, what its swarms have or may take; the others see all. */
static bool sees(const struct node *node, const struct ifab_principal *p, const struct ifab_task *t)
{
    return p->role != IFAB_ROLE_AGENT || t->creator.talent == p->talent || t->queue.n == 0 || member_of(node, p, t->queue) || member_of(node, p, t->owner);
}

/* Its payload: who made it, who works on it, and who answers for the whole. */
static bool sees_payload(const struct node *node, const struct ifab_principal *p, const struct ifab_task *t)
{
    if (p->role == IFAB_ROLE_AGENT)
        return t->creator.talent == p->talent || member_of(node, p, t->owner);
    return p->role != IFAB_ROLE_READONLY;
}

struct page {
    uint64_t after, limit;
    enum ifab_task_state state; /* NONE: any */
    char swarm[IFAB_NAME_MAX + 1];
};

static void finish_list(struct ticket *t, struct ifab_buf *b, bool more, uint64_t last)
{
    if (more)
        ifab_buf_format(b, "],\"next\":\"%llu\"}", (unsigned long long)last);
    else
        ifab_buf_str(b, "],\"next\":null}");
    if (ifab_buf_status(b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(b);
}

#define LOOKED_AT_MOST 4096 /* in one step: then the cursor */

static void step_tasks(struct node *node, struct ticket *t)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    const struct page *page = t->user;
    const struct ifab_swarm *swarm = ifab_swarm_find(coordinator, ifab_view_str(page->swarm));
    struct ifab_now now = clock_now(&node->clock, NULL);
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    struct ifab_task_number at = {page->after};
    uint64_t shown = 0, looked = 0;
    const struct ifab_task *task;
    ifab_buf_str(&b, "{\"items\":[");
    while ((task = ifab_task_after(coordinator, at)) != NULL && shown < page->limit && looked++ < LOOKED_AT_MOST) {
        at = task->number;
        if ((page->state != IFAB_TASK_NONE && task->state != page->state) || !sees(node, &t->request->principal, task))
            continue;
        if (page->swarm[0] != '\0' && (swarm == NULL || (task->owner.n != swarm->number.n && task->queue.n != swarm->number.n)))
            continue;
        ifab_buf_str(&b, shown++ > 0 ? "," : "");
        ifab_fabric_task_json(node->fabric, task, now, &b);
    }
    finish_list(t, &b, task != NULL, at.n);
}

static void step_swarms(struct node *node, struct ticket *t)
{
    const struct ifab_coordinator *coordinator = ifab_fabric_coordinator(node->fabric);
    const struct page *page = t->user;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    struct ifab_swarm_number at = {page->after};
    uint64_t shown = 0;
    const struct ifab_swarm *swarm;
    ifab_buf_str(&b, "{\"items\":[");
    while ((swarm = ifab_swarm_after(coordinator, at)) != NULL && shown < page->limit && b.size < (size_t)3 << 20) {
        at = swarm->number;
        ifab_buf_str(&b, shown++ > 0 ? "," : "");
        ifab_fabric_swarm_json(node->fabric, swarm, &b);
    }
    finish_list(t, &b, swarm != NULL, at.n);
}

static void queue_list(struct node *node, struct request *r, ticket_step_fn *step, const struct page *filter)
{
    uint64_t limit, cursor;
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit) || !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 53, 0, &cursor))
        return;
    struct ticket *t = ticket_new(node, r);
    struct page *page = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *page);
    if (page == NULL) {
        if (t != NULL)
            ticket_free(node, t);
        out_of_memory(node, r);
        return;
    }
    *page = *filter;
    page->after = cursor;
    page->limit = limit;
    t->user = page;
    t->step = step;
    ticket_queue(node, t);
}

void handle_tasks(struct node *node, struct request *r)
{
    struct page page = {0};
    struct ifab_buf text = IFAB_BUF_INIT(1024);
    const char *wrong = NULL;
    if (request_query(r, "state", &text)) {
        page.state = ifab_task_state_parse(ifab_buf_as_view(&text));
        wrong = page.state == IFAB_TASK_NONE || !ifab_task_open(page.state) ? "state" : NULL;
    }
    if (request_query(r, "swarm", &text)) {
        wrong = wrong == NULL && !ifab_name_valid(ifab_buf_as_view(&text)) ? "swarm" : wrong;
        if (wrong == NULL)
            memcpy(page.swarm, text.data, text.size);
    }
    ifab_buf_fini(&text);
    if (wrong != NULL)
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, wrong, wrong[1] == 't' ? "queued, claimed, running, blocked or dead" : "a swarm's name");
    else
        queue_list(node, r, step_tasks, &page);
}

void handle_swarms(struct node *node, struct request *r) { queue_list(node, r, step_swarms, &(struct page){0}); }

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

static void closed_done(struct node *node, struct request *r)
{
    const struct ifab_closed_task *closed = ifab_closed_task_find(ifab_fabric_coordinator(node->fabric), r->params[0]);
    const struct ifab_principal *p = &r->principal;
    bool mine = closed != NULL && p->role == IFAB_ROLE_AGENT && ((closed->creator != 0 && closed->creator == p->talent) || member_of(node, p, closed->owner));
    if (closed == NULL || (p->role == IFAB_ROLE_AGENT && !mine)) {
        no_such_task(node, r);
        return;
    }
    struct job *job = job_new(r);
    if (job == NULL) {
        out_of_memory(node, r);
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
            out_of_memory(node, t->request);
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
    if (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    t->reply.with_payload = task->payload_size > 0 && sees_payload(node, &t->request->principal, task);
    t->reply.payload_index = task->created_index;
    ifab_buf_fini(&b);
}

void handle_task(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        out_of_memory(node, r);
        return;
    }
    t->step = step_task;
    t->done = task_done;
    ticket_queue(node, t);
}

/* ---- who could help ---- */

static void step_match(struct node *node, struct ticket *t)
{
    struct ifab_view needs[IFAB_TASK_NEEDS_MAX + 1], *asked = t->user, rest = asked[0];
    struct ifab_buf b = IFAB_BUF_INIT((size_t)4 << 20);
    size_t count = 0;
    while (rest.size > 0 && count <= IFAB_TASK_NEEDS_MAX) {
        const uint8_t *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma == NULL ? rest.size : (size_t)(comma - rest.data);
        needs[count++] = ifab_view_of(rest.data, size);
        rest = ifab_view_of(rest.data + size + (comma != NULL), rest.size - size - (comma != NULL));
    }
    t->reply.code = ifab_fabric_match(node->fabric, needs, count, asked[1], clock_now(&node->clock, NULL), &t->arena, &b, &t->reply.refusal);
    if (t->reply.code == IFAB_CODE_NONE && (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK))
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(&b);
}

void handle_match(struct node *node, struct request *r)
{
    struct ifab_buf needs = IFAB_BUF_INIT(2048), blocked = IFAB_BUF_INIT(256);
    (void)request_query(r, "needs", &needs);
    (void)request_query(r, "for", &blocked);
    struct ticket *t = ticket_new(node, r);
    struct ifab_view *asked = t == NULL ? NULL : ifab_arena_calloc(&t->arena, 2, sizeof *asked);
    if (asked == NULL || ifab_arena_copy(&t->arena, ifab_buf_as_view(&needs), &asked[0]) != IFAB_OK ||
        ifab_arena_copy(&t->arena, ifab_buf_as_view(&blocked), &asked[1]) != IFAB_OK) {
        if (t != NULL)
            ticket_free(node, t);
        out_of_memory(node, r);
    } else {
        t->user = asked;
        t->step = step_match;
        ticket_queue(node, t);
    }
    ifab_buf_fini(&needs);
    ifab_buf_fini(&blocked);
}
