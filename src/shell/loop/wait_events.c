/*
 * What an event stream shows: the entries that its filter names; to an agent those of its own, and of its own tasks (made by it, or of a swarm that names
 * it). Which tasks those are stands in memory: a reader gathers, and the loop leaves out what is another's just before it is told.
 */
#include <string.h>

#include "waiter.h"

#define OWN_STREAMS 256   /* of agents, in all: each looks at every entry that it may want */
#define OWN_STREAMS_EACH 4

static bool wanted(const struct waiter *w, const struct ifab_json *tree, struct ifab_view *ret_component, struct ifab_view *ret_operation)
{
    struct ifab_view type = {NULL, 0}, trace = {NULL, 0};
    uint8_t trace16[16];
    (void)ifab_json_string(ifab_json_get(tree, "component"), ret_component);
    (void)ifab_json_string(ifab_json_get(tree, "operation"), ret_operation);
    (void)ifab_json_string(ifab_json_get(tree, "type"), &type);
    if (w->component[0] != '\0' && !ifab_view_is(*ret_component, w->component))
        return false;
    if (w->type[0] != '\0' && !ifab_view_is(type, w->type))
        return false;
    if (!w->has_trace)
        return true;
    return ifab_json_string(ifab_json_get(tree, "trace"), &trace) && ifab_uuid_parse(trace, trace16) == IFAB_OK && memcmp(trace16, w->trace16, 16) == 0;
}

void events_page(struct node *node, struct ifab_store *store, struct job *job)
{
    struct waiter_page *page = job->user;
    struct ifab_stored_entry entries[PAGE];
    struct ifab_error err = {0};
    struct ifab_json_limits limits = {0};
    size_t count = 0;
    uint64_t upto = job->a, from = job->b;
    size_t max = upto - from > PAGE ? PAGE : (size_t)(upto - from);
    if (ifab_store_read(store, from, max, false, &job->arena, entries, &count, &err) != IFAB_OK) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
        return;
    }
    page->parts = page->waiter->own ? ifab_arena_calloc(&job->arena, PAGE, sizeof *page->parts) : NULL;
    if (page->waiter->own && page->parts == NULL) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ifab_json *tree;
        struct ifab_view component = {NULL, 0}, operation = {NULL, 0};
        if (ifab_json_read(entries[i].entry, &limits, &job->arena, &tree, NULL) != IFAB_OK || !wanted(page->waiter, tree, &component, &operation))
            continue;
        size_t from_byte = job->out.size;
        bool mine = !page->waiter->own || entry_own(&page->waiter->request->principal, tree);
        if (!mine && !ifab_view_is(ifab_json_text(tree, "type"), "task"))
            continue;
        ifab_buf_format(&job->out, "id: %s/%llu\nevent: " IFAB_FMT "." IFAB_FMT "\ndata: ", node->settings.log,
                        (unsigned long long)entries[i].index, IFAB_ARG(component), IFAB_ARG(operation));
        ifab_buf_view(&job->out, entries[i].entry); /* canonical JSON has no line break */
        ifab_buf_str(&job->out, "\n\n");
        if (!mine) /* whose task it is, the loop knows */
            page->parts[page->part_count++] = (struct waiter_part){from_byte, job->out.size - from_byte, ifab_json_text(tree, "subject"), entries[i].index};
        if (job->out.size > STREAM_PAGE_BYTES)
            count = i + 1;
    }
    page->items = count;
    page->next = from + count;
    page->more = page->next < upto;
}

/* On the loop: tasks and members as they are now. */
void events_keep_own(const struct node *node, const struct waiter *w, struct job *job, const struct waiter_page *page)
{
    size_t to = 0, at = 0;
    for (size_t i = 0; i <= page->part_count; i++) {
        const struct waiter_part *part = i < page->part_count ? &page->parts[i] : NULL;
        size_t end = part != NULL ? part->from : job->out.size;
        if (end > at) { /* between two parts: the agent's own */
            memmove(job->out.data + to, job->out.data + at, end - at);
            to += end - at;
        }
        if (part == NULL)
            break;
        if (task_is_of(node, &w->request->principal, part->subject, part->index)) {
            memmove(job->out.data + to, job->out.data + part->from, part->size);
            to += part->size;
        }
        at = part->from + part->size;
    }
    job->out.size = to;
}

/* One more stream of this agent? false: answered. */
bool events_room(struct node *node, struct request *r)
{
    size_t all = 0, mine = 0;
    for (const struct waiter *w = node->waiters[STREAM_EVENTS]; w != NULL; w = w->next) {
        all += w->own;
        mine += w->own && w->request->principal.talent == r->principal.talent;
    }
    if (mine >= OWN_STREAMS_EACH)
        reply_code(node, r, IFAB_CODE_QUOTA_EXCEEDED, NULL, "an agent may have four event streams at once");
    else if (all >= OWN_STREAMS)
        reply_code(node, r, IFAB_CODE_QUEUE_FULL, NULL, "as many agents follow events as may at once");
    return mine < OWN_STREAMS_EACH && all < OWN_STREAMS;
}

bool event_filters(struct node *node, struct request *r, struct waiter *filter)
{
    struct ifab_buf text = IFAB_BUF_INIT(1024);
    const char *bad = NULL;
    if (request_query(r, "component", &text)) {
        bad = text.size == 0 || text.size >= sizeof filter->component ? "component" : bad;
        if (bad == NULL)
            memcpy(filter->component, text.data, text.size);
    }
    if (request_query(r, "type", &text)) {
        bad = text.size == 0 || text.size >= sizeof filter->type ? "type" : bad;
        if (bad == NULL)
            memcpy(filter->type, text.data, text.size);
    }
    if (request_query(r, "trace", &text)) {
        filter->has_trace = true;
        bad = ifab_uuid_parse(ifab_buf_as_view(&text), filter->trace16) != IFAB_OK ? "trace" : bad;
    }
    ifab_buf_fini(&text);
    if (bad != NULL)
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, bad, "no such filter value: component and type are short words, trace is a UUID");
    return bad == NULL;
}
