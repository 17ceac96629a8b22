/* Messages, receipts, decisions, votes. */
#include <string.h>

#include "base/encode.h"
#include "follow.h"

#define LINES_MAX 10000

static bool ndjson(const struct request *r)
{
    return ifab_view_starts(ifab_http_header(r->raw, "content-type"), IFAB_VIEW("application/x-ndjson"));
}

/* Every line takes a ticket in the order of the body, so a stream keeps its order whoever verifies which line. */
static void handle_lines(struct node *node, struct request *r)
{
    struct ifab_view rest = ifab_buf_as_view(&r->body);
    size_t lines = 0;
    while (rest.size > 0 && rest.data[rest.size - 1] == '\n')
        rest.size--;
    for (size_t i = 0; i < rest.size; i++)
        lines += rest.data[i] == '\n';
    lines += rest.size > 0;
    if (lines == 0 || lines > LINES_MAX) {
        reply_code(node, r, lines == 0 ? IFAB_CODE_INVALID_PARAMS : IFAB_CODE_TOO_LARGE, NULL, lines == 0 ? "no line" : "more than 10,000 lines");
        return;
    }
    if (!pipeline_room_for(node, &r->peer, lines)) { /* all or none: a stream that is cut would lose its order */
        reply_code(node, r, IFAB_CODE_QUEUE_FULL, NULL, "too much waits to be decided");
        return;
    }
    struct group *group = ifab_calloc(1, sizeof *group);
    if (group == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    group->request = r;
    group->lines = lines;
    ifab_buf_init(&group->answers, (size_t)64 << 20);
    ifab_map_init(&group->refused, node->settings.seed);
    for (size_t line = 0; line < lines; line++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end != NULL ? (size_t)(end - rest.data) : rest.size;
        struct ticket *t = ticket_new(node, r);
        if (t == NULL) { /* the lines before are on their way: their outcome is unknown to the caller */
            group->lines = line;
            if (line == 0) {
                ifab_map_fini(&group->refused);
                ifab_free(group);
                reply_out_of_memory(node, r);
            }
            return;
        }
        t->group = group;
        t->line = line;
        t->verify = VERIFY_MESSAGE;
        t->bytes = ifab_view_of(rest.data, size);
        ticket_queue(node, t);
        rest = end != NULL ? ifab_view_of(end + 1, rest.size - size - 1) : ifab_view_of(NULL, 0);
    }
}

void handle_message(struct node *node, struct request *r)
{
    uint64_t proof;
    if (!request_query_u64(node, r, "proof", 0, 1, 0, &proof))
        return;
    if (ndjson(r) && proof != 0) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "proof", "lines are answered without proofs: ask for each with GET /v1/messages/{id}?proof=1");
        return;
    }
    if (ndjson(r)) {
        handle_lines(node, r);
        return;
    }
    r->proof = proof != 0;
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    t->verify = VERIFY_MESSAGE;
    t->bytes = ifab_buf_as_view(&r->body);
    t->command.idempotency = r->idempotency;
    ticket_queue(node, t);
}

void handle_vote(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    t->verify = VERIFY_VOTE;
    t->bytes = ifab_buf_as_view(&r->body);
    set_idempotency(t, r);
    ticket_queue(node, t);
}

/* ---- receipts ---- */

static void copy_member(struct ifab_buf *out, const struct ifab_json *object, const char *name, const char *as)
{
    const struct ifab_json *value = ifab_json_get(object, name);
    if (value == NULL)
        return;
    ifab_buf_format(out, ",\"%s\":", as);
    ifab_json_write(out, value);
}

static enum ifab_decision decision_of(struct ifab_view name)
{
    enum ifab_decision decision = IFAB_DECISION_SHARE;
    while (decision != IFAB_DECISION_DENY && !ifab_view_is(name, ifab_decision_name(decision)))
        decision--;
    return decision;
}

static bool receipt_of(const struct node *node, const struct ifab_json *tree, const struct ifab_stored_entry *entry, struct ifab_buf *out)
{
    const struct ifab_json *payload = ifab_json_get(tree, "payload");
    struct ifab_view decision;
    uint8_t hash[32];
    if (!ifab_json_string(ifab_json_get(payload, "decision"), &decision))
        return false;
    ifab_sha256(entry->entry, hash);
    ifab_buf_str(out, "{\"decision\":");
    ifab_json_put_string(out, decision);
    ifab_buf_str(out, ",\"entry\":{\"hash\":\"sha256:");
    ifab_buf_hex(out, hash, 32);
    ifab_buf_format(out, "\",\"index\":%llu,\"log\":\"%s\"}", (unsigned long long)entry->index, node->settings.log);
    copy_member(out, payload, "expires_at", "expires_at");
    copy_member(out, payload, "id", "id");
    copy_member(out, payload, "message_digest", "message_digest");
    copy_member(out, payload, "policy_digest", "policy_digest");
    copy_member(out, payload, "reason", "reason");
    copy_member(out, payload, "rule", "rule");
    copy_member(out, tree, "trace", "trace");
    ifab_buf_char(out, '}');
    return true;
}

struct receipt_job {
    uint8_t expect32[32];
    bool has_expect, replayed, proof;
    int status;
    struct ifab_view receipt; /* given already: only the proof is wanted */
};

/* receipt without its last brace, then checkpoint and proof at the newest size. The canonical entry stands in the proof: its hash is the receipt's. */
static ifab_status put_proof(struct node *node, struct ifab_store *store, struct job *job, uint64_t index, struct ifab_view receipt,
                             struct ifab_error *err)
{
    uint8_t path[64][32], root[32], leaf[32];
    size_t count = 0, got = 0;
    struct ifab_stored_entry entry;
    struct ifab_buf note = IFAB_BUF_INIT(4096);
    struct follower_source source = {node, store};
    uint64_t size;
    follower_head(node, &size, root);
    IFAB_TRY(ifab_store_read(store, index, 1, false, &job->arena, &entry, &got, err));
    if (got != 1)
        return ifab_fail(err, IFAB_NOT_FOUND, "entry %llu", (unsigned long long)index);
    ifab_leaf_hash(entry.entry, leaf);
    IFAB_TRY(ifab_proof_inclusion(index, size, follower_node, &source, path, &count, err));
    if (!ifab_proof_inclusion_verify(index, size, leaf, (const uint8_t(*)[32])path, count, root)) { /* a tile file is wrong: the entries decide */
        follower_distrust(node);
        IFAB_TRY(ifab_proof_inclusion(index, size, follower_node, &source, path, &count, err));
    }
    ifab_status status = node_checkpoint(node, size, root, &note, NULL, err);
    if (status == IFAB_OK) {
        ifab_leaf_hash(entry.entry, leaf);
        ifab_buf_put(&job->out, receipt.data, receipt.size - 1);
        ifab_buf_str(&job->out, ",\"checkpoint\":");
        ifab_json_put_string(&job->out, ifab_buf_as_view(&note));
        ifab_buf_str(&job->out, ",\"proof\":{\"entry\":");
        ifab_json_put_string(&job->out, entry.entry);
        ifab_buf_format(&job->out, ",\"index\":%llu,\"leaf\":\"", (unsigned long long)index);
        ifab_buf_hex(&job->out, leaf, 32);
        ifab_buf_str(&job->out, "\",\"path\":[");
        for (size_t i = 0; i < count; i++) {
            ifab_buf_str(&job->out, i == 0 ? "\"" : ",\"");
            ifab_buf_hex(&job->out, path[i], 32);
            ifab_buf_char(&job->out, '"');
        }
        ifab_buf_format(&job->out, "],\"size\":%llu}}", (unsigned long long)size);
    }
    ifab_buf_fini(&note);
    return status;
}

static void run_receipt(struct node *node, struct ifab_store *store, struct job *job)
{
    struct receipt_job *wanted = job->user;
    struct ifab_json_limits limits = {0};
    struct ifab_error err = {0};
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    struct ifab_view digest = {NULL, 0}, decision = {NULL, 0}, receipt = wanted->receipt;
    struct ifab_buf text = IFAB_BUF_INIT((size_t)1 << 20);
    uint8_t digest32[32];
    size_t count = 0;
    ifab_status status = IFAB_OK;
    if (receipt.size == 0) {
        status = ifab_store_read(store, job->a, 1, false, &job->arena, &entry, &count, &err);
        if (status == IFAB_OK && count == 1)
            status = ifab_json_read(entry.entry, &limits, &job->arena, &tree, &err);
        if (status != IFAB_OK || count != 1) {
            job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "entry %llu cannot be read", (unsigned long long)job->a);
            ifab_buf_fini(&text);
            return;
        }
        const struct ifab_json *payload = ifab_json_get(tree, "payload");
        if (receipt_of(node, tree, &entry, &text)) {
            (void)ifab_json_string(ifab_json_get(payload, "message_digest"), &digest);
            (void)ifab_json_string(ifab_json_get(payload, "decision"), &decision);
            wanted->status = decision_status(decision_of(decision));
            receipt = ifab_buf_as_view(&text);
        } /* else what used the id up was refused: it has no receipt, and an empty digest equals none */
    }
    if (wanted->has_expect && (digest.size != 71 || ifab_hex_decode(ifab_view_of(digest.data + 7, 64), digest32, 32) != IFAB_OK ||
                               memcmp(digest32, wanted->expect32, 32) != 0)) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_REPLAY_DETECTED, "id",
                                "this id was used already, by other content or by a message that was refused");
        job->refusal.has_first = true;
        job->refusal.first_index = job->a;
        job->refusal.first_decision = (int)decision_of(decision);
    } else if (wanted->proof) {
        status = put_proof(node, store, job, job->a, receipt, &err);
        if (status != IFAB_OK)
            job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "no proof yet: %s", err.text);
    } else {
        ifab_buf_view(&job->out, receipt);
    }
    ifab_buf_fini(&text);
    job->status = wanted->status;
}

static void finish_receipt(struct node *node, struct job *job)
{
    struct receipt_job *wanted = job->user;
    struct request *r = job->request;
    if (job->code != IFAB_CODE_NONE) {
        job_reply(node, job);
        return;
    }
    (void)ifab_http_reply(node->http, r->http, job->status, "application/json",
                          wanted->replayed ? IFAB_VIEW("Idempotent-Replayed: true\r\n") : IFAB_VIEW(""), ifab_buf_as_view(&job->out));
    request_free(r);
    job_free(job);
}

static void push_receipt(struct node *node, struct request *r, uint64_t index, struct ifab_view receipt, struct ifab_view expect, int status, bool replayed)
{
    struct job *job = job_new(r);
    struct receipt_job *wanted = job == NULL ? NULL : ifab_arena_calloc(&job->arena, 1, sizeof *wanted);
    if (wanted == NULL || (receipt.size > 0 && ifab_arena_copy(&job->arena, receipt, &wanted->receipt) != IFAB_OK)) {
        job_free(job);
        reply_out_of_memory(node, r);
        return;
    }
    wanted->has_expect = expect.size == 32;
    if (wanted->has_expect)
        memcpy(wanted->expect32, expect.data, 32);
    wanted->replayed = replayed;
    wanted->proof = r->proof;
    wanted->status = status;
    job->user = wanted;
    job->a = index;
    job->needs = wanted->proof ? index + 1 : 0;
    job->run = run_receipt;
    job->finish = finish_receipt;
    job_push(node, job);
}

void receipt_from_entry(struct node *node, struct request *r, uint64_t index, struct ifab_view expect_digest, bool replayed)
{
    push_receipt(node, r, index, IFAB_VIEW(""), expect_digest, 200, replayed);
}

void receipt_with_proof(struct node *node, struct request *r, struct ifab_view receipt, uint64_t index, int status, bool replayed)
{
    r->proof = true;
    push_receipt(node, r, index, receipt, IFAB_VIEW(""), status, replayed);
}

/* ---- by id ---- */

/* Is uri the sender, or one of the instances of it? Not one whose name merely begins alike. */
bool of_sender(struct ifab_view uri, struct ifab_view sender)
{
    return ifab_view_starts(uri, sender) && (uri.size == sender.size || uri.data[sender.size] == '/');
}

/* Empty: any. An agent sees what it sent, nothing else. */
static struct ifab_view own_sender(struct request *r, struct ifab_arena *arena)
{
    struct ifab_view sender = {NULL, 0};
    if (r->principal.role == IFAB_ROLE_AGENT && ifab_arena_copy(arena, ifab_view_str(r->principal.actor), &sender) != IFAB_OK)
        sender = IFAB_VIEW("nobody"); /* memory ended: less is seen, never more */
    return sender;
}

#define FIND_PAGE 512
#define FIND_MOST 65536 /* entries looked at: others may use an id as well, and be refused for it */
struct about {
    uint64_t index; /* UINT64_MAX: none yet */
    char digest[80];
};

/* Is this entry the decision that is looked for, or a later one about it? */
static ifab_status look_at(struct ifab_store *store, struct ifab_arena *scratch, uint64_t index, struct ifab_view sender, struct about *about, struct ifab_error *err)
{
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    struct ifab_view actor = {NULL, 0}, type = {NULL, 0}, decision, digest = {NULL, 0};
    size_t got = 0;
    ifab_arena_reset(scratch);
    IFAB_TRY(ifab_store_read(store, index, 1, false, scratch, &entry, &got, err));
    if (got != 1 || ifab_json_read(entry.entry, NULL, scratch, &tree, NULL) != IFAB_OK)
        return IFAB_OK;
    const struct ifab_json *payload = ifab_json_get(tree, "payload");
    if (!ifab_json_string(ifab_json_get(payload, "decision"), &decision) || decision.size > 9)
        return IFAB_OK; /* a refusal or a vote */
    (void)ifab_json_string(ifab_json_get(payload, "message_digest"), &digest);
    (void)ifab_json_string(ifab_json_get(tree, "type"), &type);
    (void)ifab_json_string(ifab_json_get(tree, "actor"), &actor);
    bool known = about->index != UINT64_MAX;
    if (sender.size > 0 && !(ifab_view_is(type, "message") ? of_sender(actor, sender) : known && ifab_view_is(digest, about->digest)))
        return IFAB_OK;
    about->index = index;
    snprintf(about->digest, sizeof about->digest, IFAB_FMT, IFAB_ARG(digest));
    return IFAB_OK;
}

/*
 * Entries about a message id, by index.db; the newest decision entry (or the first, the admission) of that sender. What became of it later names no
 * sender, so it is followed by the message's digest: ids are unique per talent only. IFAB_NOT_FOUND: there is none.
 */
static ifab_status find_by_id(struct node *node, struct ifab_store *store, struct job *job, struct ifab_view sender, bool newest,
                              struct ifab_stored_entry *ret_entry, const struct ifab_json **ret_tree, struct ifab_error *err)
{
    struct about about = {.index = UINT64_MAX};
    uint64_t indexes[FIND_PAGE], from = 0, seen = 0;
    size_t count = FIND_PAGE, got = 0;
    uint8_t id16[16];
    if (ifab_id_parse(job->request->params[0], "msg-", id16) != IFAB_OK)
        return IFAB_NOT_FOUND;
    while (count == FIND_PAGE && (newest || about.index == UINT64_MAX)) {
        if (seen >= FIND_MOST) /* never "no such message" about one that may be there */
            return ifab_fail(err, IFAB_AGAIN, "more than %d entries are about this id", FIND_MOST);
        IFAB_TRY(follower_query(node, IFAB_INDEX_SUBJECT, ifab_view_of(id16, 16), from, job->a, FIND_PAGE, indexes, &count, err));
        for (size_t i = 0; i < count && (newest || about.index == UINT64_MAX); i++)
            IFAB_TRY(look_at(store, &job->scratch, indexes[i], sender, &about, err));
        from = count > 0 ? indexes[count - 1] + 1 : from;
        seen += count;
    }
    if (about.index == UINT64_MAX)
        return IFAB_NOT_FOUND;
    IFAB_TRY(ifab_store_read(store, about.index, 1, true, &job->arena, ret_entry, &got, err));
    return got == 1 ? ifab_json_read(ret_entry->entry, NULL, &job->arena, ret_tree, err) : IFAB_NOT_FOUND;
}

/* What cannot be looked up now is not "no such message": a sender would take it for not accepted. */
static void not_found(struct job *job, ifab_status status, const struct ifab_error *err, const char *message)
{
    if (status == IFAB_OK || status == IFAB_NOT_FOUND)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_NOT_FOUND, "id", "%s", message);
    else
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "cannot be looked up now: %s", err->text);
}

static void run_message_get(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    struct ifab_buf text = IFAB_BUF_INIT((size_t)1 << 20);
    struct ifab_error err = {0};
    ifab_status status = find_by_id(node, store, job, job->text, false, &entry, &tree, &err);
    if (status != IFAB_OK || !receipt_of(node, tree, &entry, &text))
        not_found(job, status, &err, "no decision about this message");
    else if (!job->request->proof)
        ifab_buf_view(&job->out, ifab_buf_as_view(&text));
    else if (put_proof(node, store, job, entry.index, ifab_buf_as_view(&text), &err) != IFAB_OK)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "no proof yet: %s", err.text);
    ifab_buf_fini(&text);
}

void handle_message_get(struct node *node, struct request *r)
{
    struct ifab_buf text = IFAB_BUF_INIT(512);
    uint64_t proof;
    if (!request_query_u64(node, r, "proof", 0, 1, 0, &proof))
        return;
    struct job *job = job_new(r);
    if (job == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    r->proof = proof != 0;
    job->text = own_sender(r, &job->arena);
    if (job->text.size == 0 && request_query(r, "sender", &text))
        (void)ifab_arena_copy(&job->arena, ifab_buf_as_view(&text), &job->text);
    ifab_buf_fini(&text);
    job->a = job->needs = node->committed_size;
    job->run = run_message_get;
    job_push(node, job);
}

/* ---- decisions ---- */

static void step_decisions(struct node *node, struct ticket *t)
{
    struct request *r = t->request;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)8 << 20), text = IFAB_BUF_INIT(64);
    const struct ifab_decisions *decisions = ifab_fabric_decisions(node->fabric);
    uint64_t after = 0, limit = 50;
    size_t count = 0;
    bool filter = request_query(r, "state", &text);
    bool held = filter && ifab_view_is(ifab_buf_as_view(&text), "held");
    if (request_query(r, "cursor", &text))
        for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            after = after * 10 + (uint64_t)(text.data[i] - '0');
    if (request_query(r, "limit", &text)) {
        limit = 0;
        for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            limit = limit * 10 + (uint64_t)(text.data[i] - '0');
    }
    ifab_buf_fini(&text);
    ifab_buf_str(&b, "{\"items\":[");
    const struct ifab_open_decision *d = ifab_decisions_after(decisions, after);
    for (; d != NULL && count < limit; d = ifab_decisions_after(decisions, after)) {
        after = d->number;
        if (filter && held != (d->state == IFAB_DECISION_HOLD))
            continue;
        if (count++ > 0)
            ifab_buf_char(&b, ',');
        ifab_fabric_decision_json(node->fabric, d, &b);
    }
    if (d != NULL)
        ifab_buf_format(&b, "],\"next\":\"%llu\"}", (unsigned long long)after);
    else
        ifab_buf_str(&b, "],\"next\":null}");
    if (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(&b);
}

void handle_decisions(struct node *node, struct request *r)
{
    uint64_t number;
    struct ifab_buf state = IFAB_BUF_INIT(1024);
    bool good = !request_query(r, "state", &state) || ifab_view_is(ifab_buf_as_view(&state), "held") ||
                ifab_view_is(ifab_buf_as_view(&state), "escalated");
    ifab_buf_fini(&state);
    if (!good) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "state", "held or escalated");
        return;
    }
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &number) || !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 53, 0, &number))
        return;
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    t->step = step_decisions;
    ticket_queue(node, t);
}

/*
 * What a message asks to have done, as the entry of its plan has it: redacted and bounded when that was written. why is the caller's word and summary and
 * said_effects are the guest's: plan_hash covers none of the three.
 */
static ifab_status put_plan(struct ifab_store *store, struct job *job, uint64_t index, struct ifab_error *err)
{
    static const char *const names[] = {"capability", "cost",      "effect",  "expires_at",    "manifest_digest", "operation",
                                        "params",     "plan_hash", "plan_id", "policy_digest", "talent"};
    static const char *const said[] = {"said_effects", "summary"};
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    size_t count = 0;
    IFAB_TRY(ifab_store_read(store, index, 1, false, &job->arena, &entry, &count, err));
    if (count != 1)
        return ifab_fail(err, IFAB_NOT_FOUND, "the plan's entry");
    IFAB_TRY(ifab_json_read(entry.entry, NULL, &job->arena, &tree, err));
    const struct ifab_json *payload = ifab_json_get(tree, "payload"), *plan = ifab_json_get(payload, "plan"), *why = ifab_json_get(tree, "why"), *value;
    if (plan == NULL) /* another entry stands there: nothing is said of it */
        return IFAB_OK;
    ifab_buf_str(&job->out, ",\"plan\":{\"why\":");
    if (why != NULL)
        ifab_json_write(&job->out, why);
    else
        ifab_buf_str(&job->out, "null");
    for (size_t i = 0; i < IFAB_COUNT(names) + IFAB_COUNT(said); i++) {
        const char *name = i < IFAB_COUNT(names) ? names[i] : said[i - IFAB_COUNT(names)];
        value = ifab_json_get(i < IFAB_COUNT(names) ? plan : payload, name);
        if (value == NULL)
            continue;
        ifab_buf_format(&job->out, ",\"%s\":", name);
        ifab_json_write(&job->out, value);
    }
    ifab_buf_char(&job->out, '}');
    return IFAB_OK;
}

/* An open one from memory with its envelope from the store, and with the plan that it asks for; else how it ended, from the log. */
static void run_decision(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_stored_entry entry;
    struct ifab_error err = {0};
    size_t count = 0;
    if (job->text.size > 0) { /* it was open: add the bytes that wait */
        if (ifab_store_read(store, job->b, 1, true, &job->arena, &entry, &count, &err) != IFAB_OK || count != 1) {
            job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
            return;
        }
        ifab_buf_put(&job->out, job->text.data, job->text.size - 1);
        ifab_buf_str(&job->out, ",\"envelope\":");
        ifab_buf_view(&job->out, job->c != 0 && entry.message.size > 0 ? entry.message : IFAB_VIEW("null"));
        if (job->c != 0 && job->d != 0 && put_plan(store, job, job->d - 1, &err) != IFAB_OK) /* whoever votes still has envelope and plan_hash */
            IFAB_LOG(IFAB_LOG_WARN, "decision: its plan cannot be shown", IFAB_F_TEXT("error", err.text));
        ifab_buf_char(&job->out, '}');
        return;
    }
    const struct ifab_json *tree;
    struct ifab_buf text = IFAB_BUF_INIT((size_t)1 << 20);
    ifab_status status = find_by_id(node, store, job, own_sender(job->request, &job->arena), true, &entry, &tree, &err);
    if (status != IFAB_OK || !receipt_of(node, tree, &entry, &text)) {
        not_found(job, status, &err, "no decision of this id");
    } else {
        ifab_buf_put(&job->out, text.data, text.size - 1);
        ifab_buf_str(&job->out, ",\"state\":\"decided\"}");
    }
    ifab_buf_fini(&text);
}

/* Runs at its turn in the order of steps: what it saw is durable when it goes on. */
/* Whose bytes they are, and who must judge them; readonly sees that something waits, not what. */
static bool may_read_envelope(const struct request *r, uint32_t proposer)
{
    return (ROLE_BIT(r->principal.role) & ROLES_AUDIT) != 0 || (r->principal.role == IFAB_ROLE_AGENT && r->principal.talent == proposer);
}

static void decision_done(struct node *node, struct ticket *t)
{
    struct request *r = t->request;
    struct job *job = t->reply.code != IFAB_CODE_NONE ? NULL : job_new(r);
    if (job == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    (void)ifab_arena_copy(&job->arena, t->reply.body, &job->text);
    job->a = node->committed_size;
    job->needs = job->text.size > 0 ? 0 : job->a;
    job->b = t->reply.first_index;
    job->c = may_read_envelope(r, (uint32_t)(uintptr_t)t->user);
    job->d = t->reply.intent;
    job->run = run_decision;
    job_push(node, job);
}

static void step_decision(struct node *node, struct ticket *t)
{
    uint8_t id16[16];
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    (void)ifab_id_parse(t->request->params[0], "msg-", id16);
    const struct ifab_decisions *decisions = ifab_fabric_decisions(node->fabric);
    const struct ifab_open_decision *d = ifab_decisions_find(decisions, id16);
    const struct ifab_principal *who = &t->request->principal;
    if (d != NULL && who->role == IFAB_ROLE_AGENT) /* its own, which may not be the first of this id */
        for (d = ifab_decisions_after(decisions, 0); d != NULL; d = ifab_decisions_after(decisions, d->number))
            if (d->talent == who->talent && memcmp(d->id16, id16, 16) == 0)
                break;
    if (d != NULL) {
        ifab_fabric_decision_json(node->fabric, d, &b);
        const struct ifab_plan *plan = ifab_plan_by_message(ifab_fabric_plans(node->fabric), d->message_digest32);
        t->reply.first_index = d->index;
        t->reply.intent = plan != NULL ? plan->index + 1 : 0; /* where the entry of its plan stands, and one */
        t->user = (void *)(uintptr_t)d->talent;
        if (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK)
            t->reply.code = IFAB_CODE_SYSTEM_ERROR;
    }
    ifab_buf_fini(&b);
}

void handle_decision(struct node *node, struct request *r)
{
    uint8_t id16[16];
    if (ifab_id_parse(r->params[0], "msg-", id16) != IFAB_OK) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "id", "a decision's id is the message's id, msg- and a UUIDv7");
        return;
    }
    uint64_t wait_ms;
    if (!request_query_u64(node, r, "wait_ms", 0, 30000, 0, &wait_ms))
        return;
    if (wait_ms > 0 && !node->stopping && ifab_decisions_find(ifab_fabric_decisions(node->fabric), id16) != NULL) {
        wait_decision(node, r);
        return;
    }
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    t->step = step_decision;
    t->done = decision_done;
    ticket_queue(node, t);
}

void handle_inbox(struct node *node, struct request *r)
{
    if (r->accept.size > 0 && ifab_view_equal_nocase(r->accept, IFAB_VIEW("text/event-stream")))
        wait_events(node, r, true);
    else
        wait_inbox(node, r);
}

void handle_events(struct node *node, struct request *r) { wait_events(node, r, false); }
