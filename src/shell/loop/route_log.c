/* The log as outsiders see it: entries, proofs, checkpoint, tiles. Answered by readers from committed state. */
#include <string.h>

#include "follow.h"

static struct job *start_job(struct node *node, struct request *r, void (*run)(struct node *, struct ifab_store *, struct job *))
{
    struct job *job = job_new(r);
    if (job == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return NULL;
    }
    job->run = run;
    return job;
}

static bool number_of(struct ifab_view text, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.size > 0 && text.size <= 16;
}

static void no_memory(struct node *node, struct job *job)
{
    job->code = ifab_refuse(&job->refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    job_reply(node, job);
}

static void fail(struct job *job, enum ifab_code code, const char *message) { job->code = ifab_refuse(&job->refusal, code, NULL, "%s", message); }

/* ---- one entry, its message ---- */

/* An agent sees what it did, and what was done to it. */
bool entry_own(const struct ifab_principal *principal, const struct ifab_json *tree)
{
    return who_reads_log(principal) || of_sender(ifab_json_text(tree, "actor"), ifab_view_str(principal->actor)) ||
           ifab_view_is(ifab_json_text(tree, "subject"), principal->actor);
}

/* *ret_task: of one about a task: whose it is, the loop knows. */
static bool may_see(struct job *job, struct ifab_view bytes, struct ifab_view *ret_task)
{
    struct ifab_json_limits limits = {0};
    const struct ifab_json *tree;
    if (who_reads_log(&job->request->principal))
        return true;
    if (ifab_json_read(bytes, &limits, &job->arena, &tree, NULL) != IFAB_OK)
        return false;
    if (ifab_view_is(ifab_json_text(tree, "type"), "task") && !entry_own(&job->request->principal, tree))
        *ret_task = ifab_json_text(tree, "subject");
    return ret_task->size > 0 || entry_own(&job->request->principal, tree);
}

static void run_entry(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_stored_entry entry;
    struct ifab_error err = {0};
    struct ifab_view task = {NULL, 0};
    size_t count = 0;
    (void)node;
    if (ifab_store_read(store, job->a, 1, job->b != 0, &job->arena, &entry, &count, &err) != IFAB_OK)
        fail(job, IFAB_CODE_STORE_UNAVAILABLE, err.text);
    else if (count == 0 || job->a >= job->c)
        fail(job, IFAB_CODE_NOT_FOUND, "no entry of this index");
    else if (!may_see(job, entry.entry, &task) || (job->b != 0 && task.size > 0)) /* its bytes: by the task's own route */
        fail(job, IFAB_CODE_NOT_FOUND, "no entry of this index");
    else if (job->b != 0 && entry.message.size == 0)
        fail(job, IFAB_CODE_NOT_FOUND, entry.erased ? "its message was erased" : "no message bytes stand beside this entry");
    else
        ifab_buf_view(&job->out, job->b != 0 ? entry.message : entry.entry);
    job->text = task;
}

static void finish_entry(struct node *node, struct job *job)
{
    if (job->code == IFAB_CODE_NONE && job->text.size > 0 && !task_is_of(node, &job->request->principal, job->text, job->a))
        fail(job, IFAB_CODE_NOT_FOUND, "no entry of this index");
    job_reply(node, job);
}

static void queue_entry(struct node *node, struct request *r, bool message)
{
    uint64_t index;
    if (!number_of(r->params[0], &index)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "index", "an index is a number");
        return;
    }
    struct job *job = start_job(node, r, run_entry);
    if (job == NULL)
        return;
    job->a = index;
    job->b = message;
    job->c = node->committed_size;
    job->finish = finish_entry;
    job_push(node, job);
}

void handle_entry(struct node *node, struct request *r) { queue_entry(node, r, false); }
void handle_entry_message(struct node *node, struct request *r) { queue_entry(node, r, true); }

/* ---- queries ---- */

#define SCAN_MAX 1000
struct query {
    struct ifab_view key;
    enum ifab_index_kind kind;
    bool indexed, has_trace, has_from, has_to;
    char component[64], type[64];
    uint8_t trace16[16];
    ifab_usec from, to;
    uint64_t limit, first, end;
};

static bool time_of(const struct ifab_stored_entry *entry, struct ifab_arena *arena, const struct ifab_json **ret_tree, ifab_usec *ret_time)
{
    struct ifab_json_limits limits = {0};
    struct ifab_view text;
    return ifab_json_read(entry->entry, &limits, arena, ret_tree, NULL) == IFAB_OK &&
           ifab_json_string(ifab_json_get(*ret_tree, "time"), &text) && ifab_time_parse(text, ret_time) == IFAB_OK;
}

/* First index whose time is at least `when`: entry times never decrease. */
static uint64_t search_time(struct ifab_store *store, ifab_usec when, uint64_t size)
{
    uint64_t low = 0, high = size;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        struct ifab_arena arena;
        struct ifab_stored_entry entry;
        const struct ifab_json *tree;
        ifab_usec time = 0;
        size_t count = 0;
        ifab_arena_init(&arena, (size_t)1 << 20);
        bool good = ifab_store_read(store, mid, 1, false, &arena, &entry, &count, NULL) == IFAB_OK && count == 1 &&
                    time_of(&entry, &arena, &tree, &time);
        ifab_arena_fini(&arena);
        if (!good)
            return low;
        if (time < when)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool fits(const struct query *q, const struct ifab_json *tree)
{
    struct ifab_view text;
    uint8_t trace16[16];
    if (q->component[0] != '\0' && (!ifab_json_string(ifab_json_get(tree, "component"), &text) || !ifab_view_is(text, q->component)))
        return false;
    if (q->type[0] != '\0' && (!ifab_json_string(ifab_json_get(tree, "type"), &text) || !ifab_view_is(text, q->type)))
        return false;
    return !q->has_trace || (ifab_json_string(ifab_json_get(tree, "trace"), &text) && ifab_uuid_parse(text, trace16) == IFAB_OK &&
                             memcmp(trace16, q->trace16, 16) == 0);
}

static void run_entries(struct node *node, struct ifab_store *store, struct job *job)
{
    struct query *q = job->user;
    struct ifab_error err = {0};
    uint64_t indexes[SCAN_MAX], next = q->first, shown = 0;
    size_t count = 0;
    if (q->has_from) {
        uint64_t at = search_time(store, q->from, q->end);
        next = at > next ? at : next;
    }
    if (q->has_to)
        q->end = search_time(store, q->to + 1, q->end);
    ifab_status status = IFAB_OK;
    if (q->indexed) {
        status = follower_query(node, q->kind, q->key, next, q->end, SCAN_MAX, indexes, &count, &err);
    } else {
        for (; count < SCAN_MAX && next + count < q->end; count++)
            indexes[count] = next + count;
    }
    if (status != IFAB_OK) {
        fail(job, IFAB_CODE_STORE_UNAVAILABLE, err.text);
        return;
    }
    ifab_usec began = clock_boot();
    ifab_buf_str(&job->out, "{\"items\":[");
    size_t i = 0;
    for (; i < count && shown < q->limit && clock_boot() - began < 50000; i++) {
        struct ifab_stored_entry entry;
        const struct ifab_json *tree;
        ifab_usec time;
        size_t got = 0;
        if (ifab_store_read(store, indexes[i], 1, false, &job->arena, &entry, &got, &err) != IFAB_OK || got != 1) {
            fail(job, IFAB_CODE_STORE_UNAVAILABLE, err.text);
            return;
        }
        next = indexes[i] + 1;
        if (!time_of(&entry, &job->arena, &tree, &time) || !fits(q, tree) || !entry_own(&job->request->principal, tree))
            continue;
        if (shown++ > 0)
            ifab_buf_char(&job->out, ',');
        ifab_buf_view(&job->out, entry.entry);
    }
    bool more = i < count || count == SCAN_MAX;
    if (more)
        ifab_buf_format(&job->out, "],\"next\":\"%llu\"}", (unsigned long long)next);
    else
        ifab_buf_str(&job->out, "],\"next\":null}");
}

static const char *read_query(struct request *r, struct query *q, struct job *job)
{
    struct ifab_buf text = IFAB_BUF_INIT(1024);
    const char *bad = NULL;
    if (request_query(r, "component", &text)) {
        bad = text.size == 0 || text.size >= sizeof q->component ? "component" : bad;
        if (bad == NULL)
            memcpy(q->component, text.data, text.size);
        q->kind = IFAB_INDEX_COMPONENT;
        q->indexed = ifab_arena_copy(&job->arena, ifab_buf_as_view(&text), &q->key) == IFAB_OK;
    }
    if (request_query(r, "type", &text)) {
        bad = text.size == 0 || text.size >= sizeof q->type ? "type" : bad;
        if (bad == NULL)
            memcpy(q->type, text.data, text.size);
        q->kind = IFAB_INDEX_TYPE;
        q->indexed = ifab_arena_copy(&job->arena, ifab_buf_as_view(&text), &q->key) == IFAB_OK;
    }
    if (request_query(r, "trace", &text)) {
        q->has_trace = true;
        q->kind = IFAB_INDEX_TRACE;
        q->indexed = true;
        q->key = ifab_view_of(q->trace16, 16);
        if (ifab_uuid_parse(ifab_buf_as_view(&text), q->trace16) != IFAB_OK)
            bad = "trace";
    } else if (text.size > 0) {
        bad = "trace";
    }
    if (request_query(r, "from", &text)) {
        q->has_from = true;
        bad = ifab_time_parse(ifab_buf_as_view(&text), &q->from) != IFAB_OK ? "from" : bad;
    }
    if (request_query(r, "to", &text)) {
        q->has_to = true;
        bad = ifab_time_parse(ifab_buf_as_view(&text), &q->to) != IFAB_OK ? "to" : bad;
    }
    if (request_query(r, "cursor", &text))
        bad = !number_of(ifab_buf_as_view(&text), &q->first) ? "cursor" : bad;
    ifab_buf_fini(&text);
    return bad;
}

void handle_entries(struct node *node, struct request *r)
{
    uint64_t limit;
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit))
        return;
    struct job *job = start_job(node, r, run_entries);
    if (job == NULL)
        return;
    struct query *q = ifab_arena_calloc(&job->arena, 1, sizeof *q);
    if (q == NULL) {
        no_memory(node, job);
        return;
    }
    q->limit = limit;
    q->end = node->committed_size;
    job->user = q;
    const char *bad = read_query(r, q, job);
    if (bad != NULL) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_INVALID_PARAMS, bad,
                                "%s: expected a UUID, a short word, a time as 2025-11-12T10:21:00Z, or the cursor of an earlier answer", bad);
        job_reply(node, job);
        return;
    }
    job->needs = q->indexed ? q->end : 0;
    job_push(node, job);
}

/* ---- proofs ---- */

static void put_path(struct ifab_buf *out, uint8_t path[][32], size_t count)
{
    ifab_buf_str(out, "\"path\":[");
    for (size_t i = 0; i < count; i++) {
        ifab_buf_str(out, i == 0 ? "\"" : ",\"");
        ifab_buf_hex(out, path[i], 32);
        ifab_buf_char(out, '"');
    }
    ifab_buf_char(out, ']');
}

static void run_proof(struct node *node, struct ifab_store *store, struct job *job)
{
    struct follower_source source = {node, store};
    struct ifab_error err = {0};
    uint8_t path[64][32], leaf[32];
    size_t count = 0;
    bool inclusion = job->c == 0;
    ifab_status status = inclusion ? ifab_proof_inclusion(job->a, job->b, follower_node, &source, path, &count, &err)
                                   : ifab_proof_consistency(job->a, job->b, follower_node, &source, path, &count, &err);
    if (status == IFAB_OK && inclusion)
        status = follower_node(&source, 0, job->a, leaf, &err);
    if (status == IFAB_INVALID) {
        fail(job, IFAB_CODE_INVALID_PARAMS, err.text);
    } else if (status != IFAB_OK) {
        fail(job, IFAB_CODE_STORE_UNAVAILABLE, err.text);
    } else if (inclusion) {
        ifab_buf_format(&job->out, "{\"index\":%llu,\"leaf\":\"", (unsigned long long)job->a);
        ifab_buf_hex(&job->out, leaf, 32);
        ifab_buf_str(&job->out, "\",");
        put_path(&job->out, path, count);
        ifab_buf_format(&job->out, ",\"size\":%llu}", (unsigned long long)job->b);
    } else {
        ifab_buf_format(&job->out, "{\"new\":%llu,\"old\":%llu,", (unsigned long long)job->b, (unsigned long long)job->a);
        put_path(&job->out, path, count);
        ifab_buf_char(&job->out, '}');
    }
}

static void queue_proof(struct node *node, struct request *r, const char *a, const char *b, bool consistency)
{
    uint64_t first, second;
    if (!request_query_u64(node, r, a, 0, (uint64_t)1 << 52, UINT64_MAX, &first))
        return;
    if (!request_query_u64(node, r, b, 1, node->committed_size, node->committed_size, &second))
        return;
    if (first == UINT64_MAX || (consistency ? first > second || first == 0 : first >= second)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, a, "out of the log's range");
        return;
    }
    struct job *job = start_job(node, r, run_proof);
    if (job == NULL)
        return;
    job->a = first;
    job->b = job->needs = second;
    job->c = consistency;
    job_push(node, job);
}

void handle_proof(struct node *node, struct request *r) { queue_proof(node, r, "index", "size", false); }
void handle_consistency(struct node *node, struct request *r) { queue_proof(node, r, "old", "new", true); }

/* ---- checkpoint and tiles (C2SP) ---- */

static bool this_log(const struct node *node, const struct request *r)
{
    return strncmp(r->route->path, "/log/", 5) != 0 || ifab_view_is(r->params[0], node->settings.log);
}

/* Over what the tiles cover, so that a client never sees a checkpoint whose tiles are not there yet. */
static void run_checkpoint(struct node *node, struct ifab_store *store, struct job *job)
{
    (void)store;
    struct ifab_error err = {0};
    uint8_t root[32];
    uint64_t size;
    follower_head(node, &size, root);
    ifab_status status = node_checkpoint(node, size, root, &job->out, NULL, &err);
    if (status != IFAB_OK)
        fail(job, IFAB_CODE_STORE_UNAVAILABLE, err.text);
    job->content_type = "text/plain; charset=utf-8";
}

void handle_checkpoint(struct node *node, struct request *r)
{
    if (!this_log(node, r)) {
        reply_code(node, r, IFAB_CODE_NOT_FOUND, NULL, "no such log");
        return;
    }
    struct job *job = start_job(node, r, run_checkpoint);
    if (job == NULL)
        return;
    job->a = job->needs = node->committed_size;
    job_push(node, job);
}

static void run_tile(struct node *node, struct ifab_store *store, struct job *job)
{
    const struct ifab_tile *tile = job->user;
    struct ifab_error err = {0};
    ifab_status status = IFAB_NOT_FOUND;
    if (!tile->entries) {
        status = follower_tile(node, store, tile, &job->out, &err);
    } else if (tile->number < ((uint64_t)1 << 48) && tile->number * 256 + tile->width <= job->a) {
        status = follower_bundle(node, store, tile->number, tile->width, &job->out, &err);
    }
    if (status == IFAB_NOT_FOUND)
        fail(job, IFAB_CODE_NOT_FOUND, "the log has no such tile yet");
    else if (status != IFAB_OK)
        fail(job, IFAB_CODE_STORE_UNAVAILABLE, err.text);
    job->content_type = "application/octet-stream";
}

void handle_tile(struct node *node, struct request *r)
{
    struct ifab_tile tile;
    struct ifab_buf path = IFAB_BUF_INIT(256);
    bool log_form = strncmp(r->route->path, "/log/", 5) == 0;
    ifab_buf_str(&path, "tile/");
    ifab_buf_view(&path, r->params[log_form ? 1 : 0]);
    bool good = this_log(node, r) && ifab_buf_status(&path) == IFAB_OK && ifab_tile_parse(ifab_buf_as_view(&path), &tile);
    ifab_buf_fini(&path);
    if (!good) {
        reply_code(node, r, IFAB_CODE_NOT_FOUND, NULL, "no such tile");
        return;
    }
    if (tile.entries && !who_reads_log(&r->principal)) {
        if (r->principal.kind == IFAB_PRINCIPAL_NONE)
            reply_code(node, r, IFAB_CODE_INVALID_TOKEN, NULL, "entries over TCP need a token or a client certificate of an auditor");
        else
            reply_code(node, r, IFAB_CODE_PERMISSION_DENIED, NULL, "this role may not use this route for entries: the whole log is an auditor's");
        return;
    }
    struct job *job = start_job(node, r, run_tile);
    if (job == NULL)
        return;
    struct ifab_tile *kept = ifab_arena_alloc(&job->arena, sizeof *kept);
    if (kept == NULL) {
        no_memory(node, job);
        return;
    }
    *kept = tile;
    job->user = kept;
    job->a = node->committed_size;
    job_push(node, job);
}
