/* What operators and admins do to the fabric itself: erase, anchor, backup, accept a clock. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/encode.h"
#include "follow.h"
#include "json/schema.h"

#define FIELD_WHY {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable}
static const struct ifab_schema_field erase_fields[] = {
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .min = 40, .max = 40, .check = ifab_schema_printable}, /* of a message, or */
    {.name = "entry", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = (int64_t)1 << 52}, /* of one with a task's payload or result beside it */
    {.name = "sender", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 200, .check = ifab_schema_uri},
    FIELD_WHY,
};
static const struct ifab_schema_field why_fields[] = {FIELD_WHY};
static const struct ifab_schema_field backup_fields[] = {
    {.name = "directory", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 2, .max = 900, .check = ifab_schema_printable},
    FIELD_WHY,
};
static const struct ifab_schema erase_schema = {"erase", erase_fields, IFAB_COUNT(erase_fields)};
static const struct ifab_schema why_schema = {"request", why_fields, IFAB_COUNT(why_fields)};
static const struct ifab_schema backup_schema = {"backup", backup_fields, IFAB_COUNT(backup_fields)};

/* ---- erase: find the entry whose message it is (a reader), then an act with an admin's signature, then the bytes go ---- */

#define ERASE_PAGE 256
#define ERASE_MOST 65536 /* entries looked at: others may use an id as well, and be refused for it */

/* Bytes of a message by that sender (size 0: any) beside this entry? */
static bool holds_message(struct ifab_store *store, struct ifab_arena *scratch, uint64_t index, struct ifab_view sender)
{
    struct ifab_stored_entry entry;
    const struct ifab_json *tree;
    size_t got = 0;
    ifab_arena_reset(scratch);
    return ifab_store_read(store, index, 1, true, scratch, &entry, &got, NULL) == IFAB_OK && got == 1 && entry.message.size > 0 &&
           ifab_json_read(entry.entry, NULL, scratch, &tree, NULL) == IFAB_OK && (sender.size == 0 || of_sender(ifab_json_text(tree, "actor"), sender));
}

static void run_erase(struct node *node, struct ifab_store *store, struct job *job)
{
    const struct ifab_view *sender = job->user;
    uint64_t indexes[ERASE_PAGE], from = 0, seen = 0;
    size_t count = ERASE_PAGE;
    struct ifab_error err = {0};
    uint8_t id16[16];
    job->b = UINT64_MAX;
    if (ifab_id_parse(job->text, "msg-", id16) != IFAB_OK)
        return;
    ifab_status status = follower_wait(node, job->a);
    while (status == IFAB_OK && count == ERASE_PAGE && job->b == UINT64_MAX) {
        status = seen >= ERASE_MOST ? ifab_fail(&err, IFAB_AGAIN, "more than %d entries are about this id", ERASE_MOST)
                                    : follower_query(node, IFAB_INDEX_SUBJECT, ifab_view_of(id16, 16), from, job->a, ERASE_PAGE, indexes, &count, &err);
        for (size_t i = 0; status == IFAB_OK && i < count && job->b == UINT64_MAX; i++)
            if (holds_message(store, &job->scratch, indexes[i], *sender))
                job->b = indexes[i];
        from = status == IFAB_OK && count > 0 ? indexes[count - 1] + 1 : from;
        seen += count;
    }
    if (status != IFAB_OK)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "cannot be looked up now: %s", err.text);
}

/* A task's payload or result beside this entry; what stands beside others (a rule set, an old checkpoint) stays. Its subject is the act's. */
static void run_erase_entry(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_stored_entry entry;
    struct ifab_error err = {0};
    const struct ifab_json *tree;
    size_t count = 0;
    uint64_t index = job->c;
    (void)node;
    job->b = UINT64_MAX;
    if (index >= job->a)
        return;
    if (ifab_store_read(store, index, 1, true, &job->arena, &entry, &count, &err) != IFAB_OK || count != 1 ||
        ifab_json_read(entry.entry, NULL, &job->arena, &tree, &err) != IFAB_OK) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "cannot be looked up now: %s", err.text);
        return;
    }
    job->text = ifab_json_text(tree, "subject");
    if (entry.message.size > 0 && ifab_view_is(ifab_json_text(tree, "type"), "task"))
        job->b = index;
}

static void finish_erase(struct node *node, struct job *job)
{
    struct request *r = job->request;
    struct ifab_buf payload = IFAB_BUF_INIT(256);
    if (job->code != IFAB_CODE_NONE) {
        job_reply(node, job);
        return;
    }
    bool missing = job->b == UINT64_MAX;
    if (missing && r->idempotency.size == 0) {
        reply_code(node, r, IFAB_CODE_NOT_FOUND, job->user == NULL ? "entry" : "id",
                   job->user == NULL ? "no payload and no result of a task stands beside an entry of this index" : "no stored bytes of a message with this id");
        job_free(job);
        return;
    }
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        job_free(job);
        return;
    }
    if (!missing)
        ifab_buf_format(&payload, "{\"entry\":%llu}", (unsigned long long)job->b);
    t->command.u.note.missing = missing; /* this very request may have erased them: then its answer is kept */
    t->command.type = IFAB_COMMAND_ERASE;
    t->user = (void *)(uintptr_t)job->b;
    (void)ifab_arena_copy(&t->arena, ifab_buf_as_view(&payload), &t->command.u.note.text);
    (void)ifab_arena_copy(&t->arena, job->text, &t->command.u.note.subject);
    ifab_buf_fini(&payload);
    job_free(job);
    queue_act(node, r, t);
}

void handle_erase(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &erase_schema);
    int64_t entry = 0;
    if (body == NULL)
        return;
    bool by_entry = ifab_json_integer(ifab_json_get(body, "entry"), &entry);
    if (by_entry == (ifab_json_get(body, "id") != NULL) || (by_entry && ifab_json_get(body, "sender") != NULL)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, by_entry ? "entry" : "id", "say which: the id of a message, and its sender, or the index of an entry");
        return;
    }
    struct job *job = job_new(r);
    struct ifab_view *sender = job == NULL ? NULL : ifab_arena_alloc(&job->arena, sizeof *sender);
    if (sender == NULL) {
        job_free(job);
        reply_out_of_memory(node, r);
        return;
    }
    *sender = ifab_json_text(body, "sender");
    job->user = by_entry ? NULL : sender;
    job->text = ifab_json_text(body, "id");
    job->a = job->needs = node->committed_size;
    job->c = (uint64_t)entry;
    job->run = by_entry ? run_erase_entry : run_erase;
    job->finish = finish_erase;
    job_push(node, job);
}

/* ---- anchors ---- */

struct anchor_job {
    struct ifab_view why;
    uint64_t size;
    uint8_t root32[32];
};

static void run_anchor(struct node *node, struct ifab_store *store, struct job *job)
{
    struct anchor_job *a = job->user;
    struct ifab_error err = {0};
    struct ifab_buf note = IFAB_BUF_INIT(4096);
    (void)store;
    ifab_status status = follower_wait(node, job->a);
    follower_head(node, &a->size, a->root32);
    if (status == IFAB_OK)
        status = node_checkpoint(node, a->size, a->root32, &note, NULL, &err);
    for (size_t i = 0; i < node->anchor_count && status == IFAB_OK; i++)
        status = ifab_anchor_put(node->anchors[i], ifab_view_str(node->origin), a->size, ifab_buf_as_view(&note), &err);
    ifab_buf_fini(&note);
    if (status != IFAB_OK)
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "anchor not written: %s", err.text);
}

static void finish_anchor(struct node *node, struct job *job)
{
    struct anchor_job *a = job->user;
    struct request *r = job->request;
    struct ifab_buf payload = IFAB_BUF_INIT(512);
    if (job->code != IFAB_CODE_NONE) {
        IFAB_LOG(IFAB_LOG_ERROR, "anchor: not written", IFAB_F_TEXT("error", job->refusal.message));
        if (r != NULL)
            reply_error(node, r, &job->refusal);
        job_free(job);
        return;
    }
    struct ticket *t = ticket_new(node, r);
    uint64_t *size = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *size);
    if (size == NULL && t != NULL) {
        ticket_free(node, t);
        t = NULL;
    }
    if (t != NULL) {
        *size = a->size; /* told as made by the step, with its entry (pipeline.c) */
        t->user = size;
        ifab_buf_format(&payload, "{\"root\":\"sha256:");
        ifab_buf_hex(&payload, a->root32, 32);
        ifab_buf_format(&payload, "\",\"size\":%llu,\"stores\":%zu}", (unsigned long long)a->size, node->anchor_count);
        t->command.type = IFAB_COMMAND_ANCHORED;
        if (r == NULL)
            t->command.principal = &node->self;
        (void)ifab_arena_copy(&t->arena, ifab_buf_as_view(&payload), &t->command.u.note.text);
        (void)ifab_arena_copy(&t->arena, a->why, &t->command.why);
        t->command.u.note.subject = ifab_view_str(node->settings.fabric_actor);
        ifab_buf_fini(&payload);
        if (r != NULL)
            queue_act(node, r, t);
        else
            ticket_queue(node, t);
    } else if (r != NULL) {
        reply_out_of_memory(node, r);
    }
    job_free(job);
}

void anchor_now(struct node *node, struct request *r, struct ifab_view why)
{
    struct job *job = job_new(r);
    struct anchor_job *a = job == NULL ? NULL : ifab_arena_calloc(&job->arena, 1, sizeof *a);
    if (a == NULL) {
        job_free(job);
        if (r != NULL)
            reply_out_of_memory(node, r);
        return;
    }
    (void)ifab_arena_copy(&job->arena, why, &a->why);
    job->user = a;
    job->a = job->needs = node->committed_size;
    job->run = run_anchor;
    job->finish = finish_anchor;
    job_push(node, job);
}

void handle_anchor_create(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &why_schema);
    if (body == NULL)
        return;
    if (node->anchor_count == 0) {
        struct ifab_refusal refusal;
        ifab_refuse(&refusal, IFAB_CODE_INVALID_CONFIG, NULL, "no anchor store is configured: set anchor.directories and restart ifd");
        refusal.hint = "Set anchor.directories in ifd.yaml to places outside this machine's disk, then restart ifd.";
        reply_error(node, r, &refusal);
        return;
    }
    anchor_now(node, r, ifab_json_text(body, "why"));
}

static void run_anchors(struct node *node, struct ifab_store *store, struct job *job)
{
    struct ifab_anchor_item *items = ifab_arena_calloc(&job->arena, 1000, sizeof *items);
    struct ifab_error err = {0};
    bool some = false;
    (void)store;
    ifab_buf_format(&job->out, "{\"anchored_size\":%llu,\"directories\":%zu,\"items\":[", (unsigned long long)job->a, node->anchor_count);
    for (size_t i = 0; i < node->anchor_count && items != NULL; i++) {
        size_t count = 0;
        if (ifab_anchor_list(node->anchors[i], ifab_view_str(node->origin), 1000, &job->arena, items, &count, &err) != IFAB_OK) {
            job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
            return;
        }
        for (size_t k = 0; k < count; k++, some = true) {
            ifab_buf_format(&job->out, "%s{\"checkpoint\":", some ? "," : "");
            ifab_json_put_string(&job->out, items[k].note);
            ifab_buf_format(&job->out, ",\"size\":%llu,\"store\":", (unsigned long long)items[k].size);
            ifab_json_put_cstr(&job->out, node->config.anchor_dirs[i]);
            ifab_buf_char(&job->out, '}');
        }
    }
    ifab_buf_str(&job->out, "],\"next\":null}");
}

void handle_anchors(struct node *node, struct request *r)
{
    struct job *job = job_new(r);
    if (job == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    job->a = node->anchored_size;
    job->run = run_anchors;
    job_push(node, job);
}

/* ---- backup ---- */

static ifab_status write_checkpoint(struct node *node, const char *directory, uint64_t *ret_size, struct ifab_error *err)
{
    struct ifab_store_options options = {.directory = directory, .read_only = true};
    struct ifab_store *copy = NULL;
    struct ifab_arena arena;
    struct ifab_head head;
    struct ifab_buf note = IFAB_BUF_INIT(4096), vkey = IFAB_BUF_INIT(4096);
    char path[1100];
    ifab_arena_init(&arena, (size_t)1 << 20);
    ifab_status status = ifab_store_sqlite_open(&options, &copy, err);
    if (status == IFAB_OK)
        status = ifab_store_head(copy, &arena, &head, err);
    if (status == IFAB_OK)
        status = node_checkpoint(node, head.size, head.root32, &note, &vkey, err);
    if (status == IFAB_OK)
        *ret_size = head.size;
    snprintf(path, sizeof path, "%s/checkpoint", directory);
    if (status == IFAB_OK)
        status = node_write_file(path, ifab_buf_as_view(&note), 0600, err);
    snprintf(path, sizeof path, "%s/vkey", directory);
    if (status == IFAB_OK)
        status = node_write_file(path, ifab_buf_as_view(&vkey), 0600, err);
    if (status == IFAB_OK)
        status = node_sync_dir(directory, err);
    ifab_store_close(copy);
    ifab_buf_fini(&note);
    ifab_buf_fini(&vkey);
    ifab_arena_fini(&arena);
    return status;
}

struct backup_job {
    struct ifab_view why, rules; /* rules: canonical form of the set in force when it was asked for; size 0: none */
    uint64_t size;
};

/*
 * What policy was, so that a restore is not laxer than what was lost: the rule set in force, which the database names by its digest, and the settings as
 * they stand in the file. A set that was exchanged meanwhile is not the one that the copy names: then it has to be asked for again.
 */
static ifab_status write_policy(struct node *node, const struct backup_job *b, const char *directory, struct ifab_error *err)
{
    char path[1100];
    uint8_t digest32[32], entered32[32];
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf settings = IFAB_BUF_INIT((size_t)1 << 20);
    IFAB_TRY(backup_rules_digest(directory, entered32, err));
    ifab_sha256(b->rules, digest32);
    if (b->rules.size > 0 && memcmp(digest32, entered32, 32) != 0)
        return ifab_fail(err, IFAB_AGAIN, "the rules changed while the backup was made: ask for it again");
    snprintf(path, sizeof path, "%s/" BACKUP_RULES, directory);
    if (b->rules.size > 0)
        IFAB_TRY(node_write_file(path, b->rules, 0600, err));
    snprintf(path, sizeof path, "%s/" BACKUP_SETTINGS, directory);
    IFAB_TRY(node_read_file(node->config_path, (size_t)1 << 20, &settings, err));
    return node_write_file(path, ifab_buf_as_view(&settings), 0600, err);
}

static void run_backup(struct node *node, struct ifab_store *store, struct job *job)
{
    struct backup_job *b = job->user;
    char directory[1000];
    struct ifab_error err = {0};
    snprintf(directory, sizeof directory, IFAB_FMT, IFAB_ARG(job->text));
    if (mkdir(directory, 0700) != 0) {
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_CONFLICT, "directory", "%s: %s; a backup needs a new directory", directory, strerror(errno));
        return;
    }
    ifab_status status = ifab_store_backup(store, directory, &err);
    if (status == IFAB_OK)
        status = write_policy(node, b, directory, &err);
    if (status == IFAB_OK)
        status = write_checkpoint(node, directory, &b->size, &err); /* syncs the directory */
    if (status != IFAB_OK) { /* half a backup looks like one */
        node_discard(directory, true);
        job->code = ifab_refuse(&job->refusal, IFAB_CODE_STORE_UNAVAILABLE, "directory", "%s", err.text);
    }
}

/* What cannot be recorded is not done. */
static void backup_recorded(struct node *node, struct ticket *t)
{
    char directory[1000];
    snprintf(directory, sizeof directory, IFAB_FMT, IFAB_ARG(*(struct ifab_view *)t->user));
    if (t->reply.code != IFAB_CODE_NONE || t->reply.replayed) /* replayed: the first one's answer, the first one's directory */
        node_discard(directory, true);
    reply_ticket(node, t);
}

/* The copy is made; who asked for it, why and what it holds stand in an entry before anyone is told (INV-13). */
static void finish_backup(struct node *node, struct job *job)
{
    struct request *r = job->request;
    struct backup_job *b = job->user;
    if (job->code != IFAB_CODE_NONE) {
        job_reply(node, job);
        return;
    }
    struct ifab_buf payload = IFAB_BUF_INIT(4096);
    struct ticket *t = ticket_new(node, r);
    struct ifab_view *directory = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *directory);
    ifab_buf_str(&payload, "{\"directory\":");
    ifab_json_put_string(&payload, job->text);
    ifab_buf_format(&payload, ",\"size\":%llu}", (unsigned long long)b->size);
    if (directory == NULL || ifab_arena_copy(&t->arena, job->text, directory) != IFAB_OK ||
        ifab_arena_copy(&t->arena, ifab_buf_as_view(&payload), &t->command.u.note.text) != IFAB_OK ||
        ifab_arena_copy(&t->arena, b->why, &t->command.why) != IFAB_OK) {
        if (t != NULL)
            ticket_free(node, t);
        reply_out_of_memory(node, r); /* the copy stays: nobody was told of it, its directory is in the request */
    } else {
        t->command.type = IFAB_COMMAND_BACKUP;
        t->command.u.note.subject = ifab_view_str(node->settings.fabric_actor);
        t->user = directory;
        t->done = backup_recorded;
        queue_act(node, r, t);
    }
    ifab_buf_fini(&payload);
    job_free(job);
}

void handle_backup(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &backup_schema);
    if (body == NULL)
        return;
    struct ifab_view directory = ifab_json_text(body, "directory"), why = ifab_json_text(body, "why");
    if (why.size == 0) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "why", "say why");
        return;
    }
    if (directory.data[0] != '/' || memmem(directory.data, directory.size, "/../", 4) != NULL || !r->peer.unix_socket) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "directory", "an absolute path without .., over the Unix socket");
        return;
    }
    struct job *job = job_new(r);
    struct backup_job *b = job == NULL ? NULL : ifab_arena_calloc(&job->arena, 1, sizeof *b);
    if (b == NULL) {
        job_free(job);
        reply_out_of_memory(node, r);
        return;
    }
    b->why = why;
    if (node->ruleset != NULL && ifab_arena_copy(&job->arena, ifab_ruleset_canonical(node->ruleset), &b->rules) != IFAB_OK) {
        job_free(job);
        reply_out_of_memory(node, r);
        return;
    }
    job->user = b;
    job->text = directory;
    job->run = run_backup;
    job->finish = finish_backup;
    IFAB_LOG(IFAB_LOG_INFO, "backup", IFAB_F_TEXT("actor", r->principal.actor), IFAB_F_VIEW("directory", directory), IFAB_F_VIEW("why", why));
    job_push(node, job);
}

/* ---- clock ---- */

static void accepted(struct node *node, struct ticket *t)
{
    if (t->reply.code == IFAB_CODE_NONE && !t->reply.replayed) { /* a repeated answer accepts no later doubt */
        clock_accept(&node->clock, clock_real(), clock_boot());
        ifab_fabric_set_clock_doubt(node->fabric, false);
    }
    reply_ticket(node, t);
}

void handle_clock_accept(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &why_schema);
    struct ticket *t = body == NULL ? NULL : ticket_new(node, r);
    if (t == NULL) {
        if (body != NULL)
            reply_out_of_memory(node, r);
        return;
    }
    t->command.type = IFAB_COMMAND_CLOCK_ACCEPT;
    t->command.why = ifab_json_text(body, "why");
    t->command.u.note.subject = ifab_view_str(node->settings.fabric_actor);
    t->done = accepted;
    queue_act(node, r, t);
}
