/*
 * Long polls and event streams: readers of committed entries after an index. Nothing is stored for them; a client resumes by its index (DESIGN section 4,
 * One stream). Bounds: twice as many waiters as connections (4,096), 30 s a poll, 256 KiB waiting on a stream.
 */
#include <string.h>

#include "follow.h"
#include "waiter.h"

#define STAGGER 128 /* heartbeats of streams that began together are spread over half of the time between two */
#define POLL_PAGE_BYTES ((size_t)4 << 20)
#define HEARTBEAT (15 * IFAB_SECOND)
#define AT_ONCE 64 /* of them on the readers; the others wait their turn, so that none is lost and other reads get on */

static void run_due(struct node *node);

static bool of_inbox(const struct waiter *w) { return w->kind == WAIT_INBOX || w->kind == STREAM_INBOX; }

/* Inboxes that somebody waits for: name -> first waiter. */
static bool link_inbox(struct node *node, struct waiter *w)
{
    struct ifab_view name = ifab_view_str(w->name);
    uint64_t pointer = 0;
    (void)ifab_map_get(&node->inboxes, name, &pointer);
    w->same = (struct waiter *)(uintptr_t)pointer;
    if (ifab_map_put(&node->inboxes, name, (uint64_t)(uintptr_t)w) != IFAB_OK)
        return false;
    if (w->same != NULL)
        w->same->same_before = w;
    return true;
}

static void unlink_inbox(struct node *node, struct waiter *w)
{
    if (w->same != NULL)
        w->same->same_before = w->same_before;
    if (w->same_before != NULL)
        w->same_before->same = w->same;
    else if (w->same != NULL)
        (void)ifab_map_put(&node->inboxes, ifab_view_str(w->name), (uint64_t)(uintptr_t)w->same); /* replaced: no memory needed */
    else
        ifab_map_remove(&node->inboxes, ifab_view_str(w->name));
}

void waiter_drop(struct node *node, struct waiter *w)
{
    if (of_inbox(w))
        unlink_inbox(node, w);
    audience_leave(w);
    if (w->previous != NULL)
        w->previous->next = w->next;
    else
        node->waiters[w->kind] = w->next;
    if (w->next != NULL)
        w->next->previous = w->previous;
    node->waiter_count--;
    ifab_u64map_remove(&node->waiter_of, w->http);
    request_free(w->request);
    ifab_free(w);
}

/* ---- pages, on a reader's thread ---- */

static ifab_status one_entry(struct ifab_store *store, uint64_t index, bool message, struct ifab_arena *arena, struct ifab_stored_entry *ret,
                             struct ifab_error *err)
{
    size_t count = 0;
    IFAB_TRY(ifab_store_read(store, index, 1, message, arena, ret, &count, err));
    return count == 1 ? IFAB_OK : ifab_fail(err, IFAB_NOT_FOUND, "entry %llu", (unsigned long long)index);
}

/* {cursor, envelope, decision, entry} of a delivery; envelope is the exact bytes, null when erased. */
static ifab_status put_item(const struct node *node, struct ifab_store *store, struct ifab_arena *arena, const struct ifab_stored_entry *entry,
                     struct ifab_buf *out)
{
    const struct ifab_json *tree, *payload, *admitted;
    struct ifab_json_limits limits = {0};
    struct ifab_view message = entry->message, text;
    struct ifab_stored_entry first;
    uint8_t hash[32];
    int64_t index;
    IFAB_TRY(ifab_json_read(entry->entry, &limits, arena, &tree, NULL));
    payload = ifab_json_get(tree, "payload");
    admitted = ifab_json_get(payload, "admitted");
    if (admitted != NULL && ifab_json_integer(ifab_json_get(admitted, "index"), &index)) {
        IFAB_TRY(one_entry(store, (uint64_t)index, true, arena, &first, NULL)); /* null below means erased, never "no memory" */
        message = first.message;
    }
    ifab_buf_format(out, "{\"cursor\":\"%llu\",\"decision\":{\"decision\":\"SHARE\"", (unsigned long long)entry->index);
    if (admitted != NULL) {
        ifab_buf_str(out, ",\"admitted\":");
        ifab_json_write(out, admitted);
        if (ifab_json_string(ifab_json_get(payload, "reason"), &text)) {
            ifab_buf_str(out, ",\"reason\":");
            ifab_json_put_string(out, text);
        }
        if (ifab_json_string(ifab_json_get(tree, "time"), &text)) {
            ifab_buf_str(out, ",\"released_at\":");
            ifab_json_put_string(out, text);
        }
    }
    ifab_sha256(entry->entry, hash);
    ifab_buf_format(out, "},\"entry\":{\"hash\":\"sha256:");
    ifab_buf_hex(out, hash, 32);
    ifab_buf_format(out, "\",\"index\":%llu,\"log\":\"%s\"},\"envelope\":", (unsigned long long)entry->index, node->settings.log);
    if (message.size > 0)
        ifab_buf_view(out, message);
    else
        ifab_buf_str(out, "null");
    ifab_buf_char(out, '}');
    return ifab_buf_status(out);
}

/* A line break in the whitespace of an envelope would end the event's line: a space says the same (in strings JSON has none). */
static void one_line(struct ifab_buf *out, size_t from)
{
    for (size_t i = from; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
}

static void inbox_page(struct node *node, struct ifab_store *store, struct job *job)
{
    struct waiter_page *page = job->user;
    struct waiter *w = page->waiter;
    uint64_t indexes[1000], upto = job->a;
    size_t count = 0, limit = w->kind == STREAM_INBOX ? PAGE : (size_t)w->limit;
    struct ifab_error err = {0};
    bool stream = w->kind == STREAM_INBOX;
    ifab_status status = follower_query(node, IFAB_INDEX_RECEIVER, ifab_view_str(w->name), job->b, upto, limit, indexes, &count, &err);
    page->more = count == limit;
    page->next = count == limit && count > 0 ? indexes[count - 1] + 1 : upto;
    if (!stream)
        ifab_buf_str(&job->out, "{\"items\":[");
    for (size_t i = 0; i < count && status == IFAB_OK; i++) {
        struct ifab_stored_entry entry;
        if (job->out.size > (stream ? STREAM_PAGE_BYTES : POLL_PAGE_BYTES)) { /* the rest comes with the next page */
            page->more = true;
            page->next = indexes[i];
            break;
        }
        ifab_arena_reset(&job->scratch);
        status = one_entry(store, indexes[i], true, &job->scratch, &entry, &err);
        if (status != IFAB_OK)
            break;
        if (stream)
            ifab_buf_format(&job->out, "id: %llu\nevent: message\ndata: ", (unsigned long long)indexes[i]);
        else if (i > 0)
            ifab_buf_char(&job->out, ',');
        size_t from = job->out.size;
        status = put_item(node, store, &job->scratch, &entry, &job->out);
        if (stream) {
            one_line(&job->out, from);
            ifab_buf_str(&job->out, "\n\n");
        }
        page->items++;
    }
    if (!stream && page->next > 0)
        ifab_buf_format(&job->out, "],\"next\":\"%llu\"}", (unsigned long long)(page->next - 1));
    else if (!stream)
        ifab_buf_str(&job->out, "],\"next\":null}");
    if (status != IFAB_OK)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
}

static void run_page(struct node *node, struct ifab_store *store, struct job *job)
{
    struct waiter_page *page = job->user;
    if (page->waiter->kind == STREAM_EVENTS)
        events_page(node, store, job);
    else
        inbox_page(node, store, job);
}

/* ---- on the loop ---- */

/* A token or a key that ended or was revoked, a talent that was removed: what its holder waits for ends with it. Looked up again only when
 * something changed. */
bool waiter_may_stay(const struct node *node, struct waiter *w, ifab_usec wall)
{
    uint64_t version = ifab_fabric_access_version(node->fabric);
    if (w->access_version == version && wall < w->request->ends)
        return true;
    w->access_version = version;
    return who_stays(node, w->request, wall, &w->request->ends);
}

void waiter_expired(struct node *node, struct waiter *w)
{
    if (w->kind == STREAM_INBOX || w->kind == STREAM_EVENTS) {
        (void)ifab_http_stream_write(node->http, w->request->http, IFAB_VIEW("event: expired\ndata: {}\n\n"), true);
        ifab_http_stream_end(node->http, w->request->http);
    } else {
        struct request *r = w->request;
        w->request = NULL;
        reply_code(node, r, IFAB_CODE_INVALID_TOKEN, NULL, "the token, or the key of the certificate, has ended while this request waited");
    }
    waiter_drop(node, w);
}

static void lagged(struct node *node, struct waiter *w)
{
    (void)ifab_http_stream_write(node->http, w->request->http, IFAB_VIEW("event: lagged\ndata: {}\n\n"), true);
    ifab_http_stream_end(node->http, w->request->http);
    waiter_drop(node, w);
}

static void stream_page(struct node *node, struct job *job, struct waiter *w, const struct waiter_page *page)
{
    w->after = page->next;
    if (w->own)
        events_keep_own(node, w, job, page);
    if (job->out.size > 0) {
        ifab_status status = ifab_http_stream_write(node->http, w->request->http, ifab_buf_as_view(&job->out), false);
        if (status == IFAB_FULL) {
            lagged(node, w);
            return;
        }
        if (status != IFAB_OK) {
            waiter_drop(node, w);
            return;
        }
    }
    if (node->stopping) { /* it was busy when the others were ended; its client resumes by index */
        ifab_http_stream_end(node->http, w->request->http);
        waiter_drop(node, w);
    } else if (page->more || w->again || (w->kind == STREAM_EVENTS && w->after < w->audience->wanted)) {
        wait_wake(node, w);
    } else {
        w->current = w->kind == STREAM_EVENTS;
    }
}

static void on_page(struct node *node, struct job *job)
{
    struct waiter_page *page = job->user;
    struct waiter *w = page->waiter;
    bool stream = w->kind == STREAM_INBOX || w->kind == STREAM_EVENTS;
    w->busy = false;
    node->waiters_running--;
    if (w->gone) {
        waiter_drop(node, w);
    } else if (!waiter_may_stay(node, w, clock_now(&node->clock, NULL).wall)) { /* before what was found is told */
        waiter_expired(node, w);
    } else if (job->code != IFAB_CODE_NONE) {
        if (stream) {
            lagged(node, w);
        } else {
            struct request *r = w->request;
            w->request = NULL;
            reply_error(node, r, &job->refusal);
            waiter_drop(node, w);
        }
    } else if (stream) {
        stream_page(node, job, w, page);
    } else if (page->items > 0 || node->stopping || clock_now(&node->clock, NULL).run >= w->deadline) {
        struct request *r = w->request;
        w->request = NULL;
        reply_json(node, r, 200, ifab_buf_as_view(&job->out));
        waiter_drop(node, w);
    } else {
        w->after = page->next;
        if (w->again)
            wait_wake(node, w);
    }
    job_free(job);
}

static void finish_page(struct node *node, struct job *job)
{
    on_page(node, job);
    run_due(node);
}

static bool run_job(struct node *node, struct waiter *w)
{
    struct job *job = job_new(NULL);
    struct waiter_page *page = job == NULL ? NULL : ifab_arena_calloc(&job->arena, 1, sizeof *page);
    if (page == NULL) {
        job_free(job);
        return false;
    }
    page->waiter = w;
    page->next = w->after;
    job->user = page;
    job->run = run_page;
    job->finish = finish_page;
    job->always = true;
    job->a = node->committed_size;
    job->needs = w->kind == STREAM_EVENTS ? 0 : job->a;
    job->b = w->after < node->committed_size ? w->after : node->committed_size;
    w->busy = true;
    w->again = false;
    node->waiters_running++;
    ifab_metrics_add(&node->metrics, IFAB_METRIC_WAITER_READS, 0, 1);
    job_push(node, job);
    return true;
}

static void run_due(struct node *node)
{
    while (node->due_first != NULL && node->waiters_running < AT_ONCE) {
        struct waiter *w = node->due_first, *next = w->due_next;
        if (!w->gone && !run_job(node, w))
            return; /* no memory: it stays the first, and is tried again at the next turn */
        node->due_first = next;
        if (next == NULL)
            node->due_last = NULL;
        w->due = false;
        w->due_next = NULL;
        if (w->gone)
            waiter_drop(node, w);
    }
}

/* There may be something for it: as soon as a reader has time. */
void wait_wake(struct node *node, struct waiter *w)
{
    if (w->busy) {
        w->again = true;
    } else if (!w->due) {
        w->due = true;
        if (node->due_last == NULL)
            node->due_first = w;
        else
            node->due_last->due_next = w;
        node->due_last = w;
    }
}

struct waiter *waiter_new(struct node *node, struct request *r, enum waiter_kind kind, uint64_t wait_ms, const char *name)
{
    if (node->waiter_count >= 2 * (size_t)(node->config.connections + node->config.socket_connections)) {
        reply_code(node, r, IFAB_CODE_QUEUE_FULL, NULL, "twice as many requests as there may be connections wait already");
        return NULL;
    }
    struct waiter *w = ifab_calloc(1, sizeof *w);
    if (w == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return NULL;
    }
    w->request = r;
    w->http = r->http;
    w->kind = kind;
    w->access_version = UINT64_MAX;
    w->deadline = clock_now(&node->clock, NULL).run + (ifab_usec)wait_ms * 1000;
    memcpy(w->name, name, strlen(name) + 1);
    if (ifab_u64map_put(&node->waiter_of, r->http, (uint64_t)(uintptr_t)w) != IFAB_OK || (of_inbox(w) && !link_inbox(node, w))) {
        ifab_u64map_remove(&node->waiter_of, r->http);
        ifab_free(w);
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return NULL;
    }
    w->next = node->waiters[kind];
    if (w->next != NULL)
        w->next->previous = w;
    node->waiters[kind] = w;
    node->waiter_count++;
    return w;
}

/* The talent whose inbox it is: the caller's; an operator of the socket names it with as=. */
static bool inbox_owner(struct node *node, struct request *r, char ret_name[IFAB_NAME_MAX + 1])
{
    struct ifab_buf as = IFAB_BUF_INIT(1024);
    const struct ifab_talents *talents = ifab_fabric_talents(node->fabric);
    const struct ifab_talent *talent = NULL;
    bool named = request_query(r, "as", &as);
    if (named && (ROLE_BIT(r->principal.role) & ROLES_OPERATE) != 0)
        talent = ifab_talents_find(talents, ifab_buf_as_view(&as));
    else if (!named && r->principal.kind == IFAB_PRINCIPAL_TALENT)
        talent = ifab_talents_at(talents, r->principal.talent);
    const struct ifab_talent *own = r->principal.kind == IFAB_PRINCIPAL_TALENT ? ifab_talents_at(talents, r->principal.talent) : NULL;
    if (talent == NULL && named && own != NULL && ifab_view_equal(own->name, ifab_buf_as_view(&as))) /* one's own, by name */
        talent = own;
    ifab_buf_fini(&as);
    if (talent == NULL || talent->removed_at != IFAB_NEVER) {
        if (named)
            reply_code(node, r, IFAB_CODE_TALENT_NOT_FOUND, "as", "no such talent, or you may not read for it");
        else
            reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "as", "say whose inbox: as=NAME");
        return false;
    }
    memcpy(ret_name, talent->name.data, talent->name.size);
    ret_name[talent->name.size] = '\0';
    return true;
}

void wait_inbox(struct node *node, struct request *r)
{
    char name[IFAB_NAME_MAX + 1];
    uint64_t after, wait_ms, limit;
    struct ifab_buf text = IFAB_BUF_INIT(64);
    if (!inbox_owner(node, r, name) || !request_query_u64(node, r, "wait_ms", 0, 30000, 0, &wait_ms) ||
        !request_query_u64(node, r, "limit", 1, 1000, 50, &limit))
        return;
    bool has_after = request_query(r, "after", &text) && text.size > 0;
    ifab_buf_fini(&text);
    if (!request_query_u64(node, r, "after", 0, (uint64_t)1 << 52, 0, &after))
        return;
    struct waiter *w = waiter_new(node, r, WAIT_INBOX, r->head_only ? 0 : wait_ms, name);
    if (w == NULL)
        return;
    w->after = has_after ? after + 1 : 0;
    w->limit = limit;
    wait_wake(node, w);
    run_due(node);
}

void wait_events(struct node *node, struct request *r, bool inbox)
{
    struct waiter filter = {0};
    if (r->head_only) { /* a stream has no head without its body */
        (void)ifab_http_reply(node->http, r->http, 405, "application/json", IFAB_VIEW("Allow: GET\r\n"), IFAB_VIEW(""));
        request_free(r);
        return;
    }
    uint64_t after = node->committed_size;
    struct ifab_view last = r->last_event;
    if (inbox ? !inbox_owner(node, r, filter.name) : !event_filters(node, r, &filter))
        return;
    bool own = !inbox && !who_reads_log(&r->principal);
    if (own && !events_room(node, r))
        return;
    const uint8_t *slash = last.size > 0 ? memrchr(last.data, '/', last.size) : NULL;
    if (slash != NULL)
        last = ifab_view_of(slash + 1, last.size - (size_t)(slash + 1 - last.data));
    if (last.size > 0 && last.size <= 16) {
        after = 0;
        for (size_t i = 0; i < last.size; i++)
            after = last.data[i] >= '0' && last.data[i] <= '9' ? after * 10 + (uint64_t)(last.data[i] - '0') : UINT64_MAX / 16;
        after++;
    }
    struct waiter *w = waiter_new(node, r, inbox ? STREAM_INBOX : STREAM_EVENTS, HEARTBEAT / 1000, filter.name);
    if (w == NULL)
        return;
    memcpy(w->component, filter.component, sizeof w->component);
    memcpy(w->type, filter.type, sizeof w->type);
    memcpy(w->trace16, filter.trace16, 16);
    w->has_trace = filter.has_trace;
    w->own = own;
    w->deadline -= (ifab_usec)(node->waiter_count % STAGGER) * (HEARTBEAT / STAGGER / 2);
    w->after = after < node->committed_size ? after : node->committed_size;
    if (!ifab_http_stream(node->http, r->http, 200, "text/event-stream")) {
        waiter_drop(node, w);
        return;
    }
    if (!inbox)
        audience_join(node, w);
    wait_wake(node, w);
    run_due(node);
}

void wait_decision(struct node *node, struct request *r)
{
    uint64_t wait_ms;
    if (!request_query_u64(node, r, "wait_ms", 0, 30000, 0, &wait_ms))
        return;
    struct waiter *w = waiter_new(node, r, WAIT_DECISION, wait_ms, "");
    if (w != NULL)
        (void)ifab_id_parse(r->params[0], "msg-", w->id16);
}

/* Who waits for an inbox into which this batch delivers. Before its tickets are freed: their envelopes say the receivers. */
void wait_delivered(struct node *node, const struct batch *batch)
{
    audience_wake(node, batch);
    if (node->inboxes.count == 0)
        return;
    for (const struct ticket *t = batch->first; t != NULL && !batch->delivers_others; t = t->next) {
        if (t->verify != VERIFY_MESSAGE || t->code != IFAB_CODE_NONE || !t->reply.is_decision || t->reply.decision != IFAB_DECISION_SHARE)
            continue;
        const struct ifab_envelope *envelope = &t->admitted->envelope;
        for (size_t i = 0; i < envelope->receiver_count; i++) {
            struct ifab_view name = envelope->receivers[i].name;
            const uint8_t *slash = name.size > 0 ? memchr(name.data, '/', name.size) : NULL;
            uint64_t first;
            if (slash != NULL) /* an inbox is the talent's, whichever instance was meant */
                name.size = (size_t)(slash - name.data);
            if (envelope->receivers[i].kind != IFAB_RECEIVER_AGENT || !ifab_map_get(&node->inboxes, name, &first))
                continue;
            for (struct waiter *w = (struct waiter *)(uintptr_t)first; w != NULL; w = w->same)
                wait_wake(node, w);
        }
    }
    if (!batch->delivers_others) /* else something was released: whose it was does not stand in the batch */
        return;
    for (int kind = WAIT_INBOX; kind <= STREAM_INBOX; kind++)
        for (struct waiter *w = node->waiters[kind]; w != NULL; w = w->next)
            if (of_inbox(w))
                wait_wake(node, w);
}

/* Its poll ends: handle_decision() looks once more, in the order of steps. */
static void answer_decision(struct node *node, struct waiter *w)
{
    struct request *r = w->request;
    w->request = NULL;
    waiter_drop(node, w);
    r->query.size = 0; /* it has waited */
    handle_decision(node, r);
}

void wait_committed(struct node *node, bool decided)
{
    struct waiter *next;
    for (struct waiter *w = decided ? node->waiters[WAIT_DECISION] : NULL; w != NULL; w = next) {
        next = w->next;
        if (ifab_decisions_find(ifab_fabric_decisions(node->fabric), w->id16) != NULL)
            continue;
        if (waiter_may_stay(node, w, clock_now(&node->clock, NULL).wall))
            answer_decision(node, w);
        else
            waiter_expired(node, w);
    }
    run_due(node);
}

static void heartbeat(struct node *node, struct waiter *w, ifab_usec run)
{
    w->deadline = run + HEARTBEAT;
    if (ifab_http_stream_write(node->http, w->request->http, IFAB_VIEW(": \n\n"), false) != IFAB_OK)
        lagged(node, w);
}

void wait_tick(struct node *node, ifab_usec run)
{
    struct waiter *next;
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    bool streams = run >= node->streams_next || node->streams_version != ifab_fabric_access_version(node->fabric);
    if (streams) { /* there may be many, and nothing of theirs needs more than that */
        node->streams_next = run + IFAB_SECOND;
        node->streams_version = ifab_fabric_access_version(node->fabric);
    }
    for (int kind = 0; kind < (streams ? WAITER_KINDS : STREAM_INBOX); kind++)
        for (struct waiter *w = node->waiters[kind]; w != NULL; w = next) {
            next = w->next;
            if (w->busy || w->due)
                continue;
            if (!waiter_may_stay(node, w, wall))
                waiter_expired(node, w);
            else if (w->deadline > run)
                ;
            else if (w->kind == WAIT_DECISION)
                answer_decision(node, w);
            else if (w->kind == WAIT_TASK)
                waiter_answer_nothing(node, w);
            else if (w->kind == WAIT_ROOM)
                w->busy = task_create_again(node, w->request, w->claim, true);
            else if (w->kind == WAIT_INBOX)
                wait_wake(node, w); /* past its deadline: answered even when empty */
            else
                heartbeat(node, w, run);
        }
    run_due(node);
}

void wait_gone(struct node *node, ifab_http_id id)
{
    uint64_t pointer;
    if (!ifab_u64map_get(&node->waiter_of, id, &pointer))
        return;
    struct waiter *w = (struct waiter *)(uintptr_t)pointer;
    if (w->request == NULL)
        return; /* being answered */
    if (w->busy || w->due)
        w->gone = true; /* its job, or its place in the line, holds it */
    else
        waiter_drop(node, w);
}

void wait_stop(struct node *node)
{
    struct waiter *next;
    for (int kind = 0; kind < WAITER_KINDS; kind++)
        for (struct waiter *w = node->waiters[kind]; w != NULL; w = next) {
            next = w->next;
            if (w->busy || w->due)
                continue;
            if (w->kind == STREAM_INBOX || w->kind == STREAM_EVENTS) {
                ifab_http_stream_end(node->http, w->request->http);
                waiter_drop(node, w);
            } else {
                w->deadline = 0;
            }
        }
    wait_tick(node, clock_now(&node->clock, NULL).run);
}

void wait_free(struct node *node)
{
    for (int kind = 0; kind < WAITER_KINDS; kind++)
        while (node->waiters[kind] != NULL) {
            if ((kind == WAIT_TASK || kind == WAIT_ROOM) && node->waiters[kind]->busy)
                node->waiters[kind]->request = NULL; /* its ticket's */
            waiter_drop(node, node->waiters[kind]);
        }
    ifab_map_fini(&node->inboxes);
    ifab_u64map_fini(&node->waiter_of);
}
