/*
 * Tickets in order of arrival -> step -> batch -> commit -> replies in step order. The rules of the step, DESIGN section 4:
 * nothing uncommitted is served; a step is never undone in memory; at most one batch is stepped ahead of the one being committed;
 * disk full: cores are loaded from the store again and everything not answered gets 504; anything else: nobody is answered and the process ends with 20.
 */
#include "base/encode.h"
#include "node.h"
#include "vault.h"

#include <string.h>
#include <sys/statvfs.h>

#define SPARE_MAX 256
#define TICKET_ARENA ((size_t)4 << 20)
#define ROOM_EVERY IFAB_SECOND
#define WORTH_A_COMMIT 8 /* tickets; fewer wait for what the replies bring: four clients in two commits of two took 10 % longer */

static void reply_batch(struct node *node, struct batch *batch);

/* Random bytes are drawn a page at a time (one system call for 400 ids), each used once. Threads: the loop. */
void mint(struct ifab_now now, uint8_t ret_uuid16[16])
{
    static uint8_t drawn[4000];
    static size_t left;
    if (left == 0) {
        ifab_random(drawn, sizeof drawn);
        left = sizeof drawn;
    }
    left -= 10;
    ifab_uuid7_make(now.wall, drawn + left, ret_uuid16);
}

struct ticket *ticket_new(struct node *node, struct request *request)
{
    struct ticket *t = node->spare;
    if (!order_ready(&node->order))
        return NULL;
    if (t != NULL) {
        struct ifab_arena arena = t->arena;
        node->spare = t->next;
        node->spare_count--;
        memset(t, 0, sizeof *t);
        t->arena = arena;
    } else {
        t = ifab_calloc(1, sizeof *t);
        if (t == NULL)
            return NULL;
        ifab_arena_init(&t->arena, TICKET_ARENA);
    }
    t->request = request;
    t->refusal.offset = t->refusal.retry_after_ms = -1;
    if (request != NULL) {
        t->command.principal = &request->principal;
        memcpy(t->command.trace16, request->trace16, 16);
        if (request->ref_count > 0)
            memcpy(t->command.refs, request->refs, sizeof t->command.refs);
        t->command.ref_count = request->ref_count;
    }
    return t;
}

void ticket_free(struct node *node, struct ticket *t)
{
    if (t->keyring != NULL)
        ifab_keyring_unref(t->keyring);
    ifab_arena_reset(&t->arena);
    if (node->spare_count < SPARE_MAX) {
        t->next = node->spare;
        node->spare = t;
        node->spare_count++;
        return;
    }
    ifab_arena_fini(&t->arena);
    ifab_free(t);
}

bool pipeline_room_for(const struct node *node, const struct ifab_http_peer *peer, size_t tickets)
{
    return node->queue_count < ORDER_MAX && order_room(&node->order, peer->slot, peer->connection, tickets);
}

bool pipeline_room_single(const struct node *node, const struct ifab_http_peer *peer)
{
    return node->queue_count < ORDER_MAX && order_room_single(&node->order, peer->slot, peer->connection);
}

bool pipeline_idle(const struct node *node)
{
    return node->queue_count == 0 && !node->commit_running && (node->current == NULL || node->current->tickets == 0);
}

void node_refresh_keyring(struct node *node)
{
    uint64_t version = ifab_fabric_trust_version(node->fabric);
    struct ifab_keyring *next = NULL;
    if (node->keyring != NULL && version == node->keyring_version)
        return;
    if (ifab_keyring_new(ifab_fabric_talents(node->fabric), &next) != IFAB_OK)
        return; /* the old snapshot stays: the step checks keys again */
    ifab_keyring_unref(node->keyring);
    node->keyring = next;
    node->keyring_version = version;
}

/* Late ones may wait: they are nobody's reason to hand work over. */
static bool nobody_in_turn(const struct node *node) { return order_nobody_in_turn(&node->order) && node->verified_first == NULL; }

void ticket_queue(struct node *node, struct ticket *t)
{
    bool alone = nobody_in_turn(node) && !node->commit_running;
    uint32_t slot = t->request != NULL ? t->request->peer.slot : UINT32_MAX;
    uint64_t connection = t->request != NULL ? t->request->peer.connection : 0;
    ifab_usec run = clock_now(&node->clock, NULL).run;
    if (t->verify == VERIFY_MESSAGE && order_names_late(&node->order, slot, connection, node->keyring, t->bytes, run) &&
        !order_put_named(&node->order, slot, connection, run)) {
        t->verify = VERIFY_NONE;
        t->full = true;
    }
    struct lane *lane = order_add(&node->order, t, slot, connection, run);
    bool late = atomic_load_explicit(&lane->late, memory_order_relaxed);
    node->queue_count++;
    t->came = run;
    if (!late)
        pool_in_turn(&node->pool, lane);
    if (t->request != NULL) {
        ifab_http_slow(node->http, t->request->http, late ? ORDER_LATE_UNANSWERED : 0);
        if (!late)
            atomic_store_explicit(&node->pool.others_ns, uv_now(&node->loop) * 1000000, memory_order_relaxed);
    }
    if (t->verify == VERIFY_NONE) {
        atomic_store_explicit(&t->state, TICKET_VERIFIED, memory_order_relaxed);
        return;
    }
    t->wall = clock_now(&node->clock, NULL).wall;
    t->keyring = ifab_keyring_ref(node->keyring);
    t->alone = alone && !late && lane->first == t; /* no hand-over when nobody waits */
    if (!t->alone)
        pool_push(&node->pool, lane, t);
}

/* May this change be recorded? Below disk.reserve new messages get 504; votes and shutdown still pass. */
bool pipeline_room(struct node *node, ifab_usec run)
{
    struct statvfs fs;
    if (run - node->room_checked >= ROOM_EVERY || node->room_checked == 0) {
        node->room_checked = run;
        if (statvfs(node->config.data_dir, &fs) == 0)
            node->room_low = (uint64_t)fs.f_bavail * fs.f_frsize < (uint64_t)node->config.disk_reserve;
    }
    return !node->room_low;
}

static void refuse_ticket(struct ticket *t, enum ifab_code code, const char *message)
{
    memset(&t->reply, 0, sizeof t->reply);
    t->reply.code = ifab_refuse(&t->reply.refusal, code, NULL, "%s", message);
}

/* A refusal before a valid signature: counted by (code, source) (INV-01). The verifier has charged it. */
static void refuse_unverified(struct node *node, struct ticket *t, struct ifab_now now)
{
    memset(&t->reply, 0, sizeof t->reply);
    t->reply.code = t->code;
    t->reply.refusal = t->refusal;
    if (t->overdrawn)
        return; /* it was not looked at */
    uint8_t digest[32];
    ifab_sha256(t->bytes, digest);
    struct ifab_view source = t->request == NULL                ? IFAB_VIEW("self")
                              : t->request->peer.unix_socket ? ifab_view_str(t->request->principal.actor)
                                                             : ifab_view_str(t->request->peer.address);
    const uint8_t *colon = source.size > 0 && t->request != NULL && !t->request->peer.unix_socket ? memrchr(source.data, ':', source.size) : NULL;
    if (colon != NULL) /* the address, not the port */
        source.size = (size_t)(colon - source.data);
    ifab_fabric_count_refusal(node->fabric, t->code, source, digest, now.run);
    ifab_metrics_add(&node->metrics, IFAB_METRIC_VERIFY_FAILURES, 0, 1);
}

/* After a retryable refusal the rest of that sender's lines in this stream get the same answer, untried. */
static bool refused_in_stream(struct ticket *t)
{
    uint64_t code;
    if (t->group == NULL || t->verify != VERIFY_MESSAGE || t->code != IFAB_CODE_NONE || t->group->refused.count == 0 ||
        !ifab_map_get(&t->group->refused, t->admitted->envelope.sender, &code))
        return false;
    refuse_ticket(t, (enum ifab_code)code, "an earlier line of this sender got this answer; this one was not tried");
    return true;
}

static void note_in_stream(struct ticket *t)
{
    const struct ifab_code_info *info = t->reply.code == IFAB_CODE_NONE ? NULL : ifab_code_info(t->reply.code);
    if (t->group != NULL && info != NULL && info->retryable && t->admitted != NULL && t->code == IFAB_CODE_NONE)
        (void)ifab_map_put(&t->group->refused, t->admitted->envelope.sender, (uint64_t)t->reply.code);
}

/* Below disk.reserve nothing new is begun; what is under way can still be ended, and what is spent is still recorded. */
static bool makes_more(enum ifab_command_type type)
{
    return type == IFAB_COMMAND_MESSAGE || type == IFAB_COMMAND_TASK_CREATE || type == IFAB_COMMAND_RESERVE || type == IFAB_COMMAND_PLAN || type == IFAB_COMMAND_APPLY;
}

static bool changes_tasks(const struct ifab_outcome *o)
{
    for (size_t i = 0; i < o->change_count; i++)
        if (o->changes[i].kind == IFAB_KIND_TASK || o->changes[i].kind == IFAB_KIND_SWARM)
            return true;
    return false;
}

/*
 * So that a start knows what must be there: an anchor store that is empty, or lost its newest, is not taken for a young one. The anchor is in every
 * store before its entry is stepped, and entry and record are one commit: neither tells of one that was not written.
 */
static void note_anchored(struct node *node, struct batch *batch, uint64_t size)
{
    uint8_t *bytes = ifab_arena_alloc(&batch->arena, 8), *at = bytes;
    if (bytes == NULL || size <= node->anchored_size)
        return;
    node->anchored_size = size;
    ifab_put_u64(&at, size);
    (void)batch_record(batch, KIND_ANCHORED, 0, ifab_view_of(bytes, 8)); /* batch_add() left room */
}

static void step_command(struct node *node, struct ticket *t, struct batch *batch, struct ifab_now now)
{
    struct ifab_outcome *o = &node->outcome;
    if (node->closed_full || (makes_more(t->command.type) && !pipeline_room(node, now.run))) {
        refuse_ticket(t, IFAB_CODE_STORE_UNAVAILABLE, node->closed_full ? "the disk is full" : "less than disk.reserve is free");
        return;
    }
    if (t->command.type != IFAB_COMMAND_RULES && ifab_fabric_rules_stale(node->fabric)) { /* its entry was lost with a full disk */
        refuse_ticket(t, IFAB_CODE_STORE_UNAVAILABLE, "the rule set in force is not recorded yet");
        return;
    }
    ifab_outcome_begin(o, &batch->arena);
    if (ifab_fabric_prepare(node->fabric) != IFAB_OK) {
        refuse_ticket(t, IFAB_CODE_SYSTEM_ERROR, "out of memory");
        return;
    }
    mint(now, t->mint16);
    memcpy(t->command.mint16, t->mint16, 16);
    if (t->command.type == IFAB_COMMAND_LOG_KEY)
        log_key_lend(node, t);
    if (t->command.type == IFAB_COMMAND_SECRET)
        vault_lend(node, t);
    ifab_fabric_decide(node->fabric, &t->command, now, o);
    if (!batch_add(batch, o)) {
        vault_unstep(node);
        refuse_ticket(t, IFAB_CODE_SYSTEM_ERROR, "out of memory");
        return;
    }
    ifab_fabric_apply(node->fabric, o);
    if (t->command.type == IFAB_COMMAND_SECRET)
        vault_stepped(node, batch, o->reply.code == IFAB_CODE_NONE && !o->reply.replayed);
    batch->tasks = batch->tasks || changes_tasks(o);
    batch->delivers_others |= o->entry_count > (t->command.type == IFAB_COMMAND_MESSAGE ? 1 : 0);
    t->reply = o->reply;
    node->stepped++;
    if (t->command.type == IFAB_COMMAND_ERASE && o->reply.code == IFAB_CODE_NONE && !o->reply.replayed) { /* no effect without its entry */
        batch->erase_index = (uint64_t)(uintptr_t)t->user;
        batch->erase = batch_record(batch, KIND_ERASING, batch->erase_index, IFAB_VIEW("1")); /* a crash before the deletion is made up for at the start */
    }
    if (t->command.type == IFAB_COMMAND_ANCHORED && o->reply.code == IFAB_CODE_NONE && !o->reply.replayed)
        note_anchored(node, batch, *(const uint64_t *)t->user);
    if (t->command.type == IFAB_COMMAND_LOG_KEY && o->reply.code == IFAB_CODE_NONE && !o->reply.replayed)
        log_key_stepped(node, batch);
    if (o->reply.is_decision)
        ifab_metrics_add(&node->metrics, IFAB_METRIC_MESSAGES, (size_t)o->reply.decision, 1);
    else if (o->reply.code == IFAB_CODE_REPLAY_DETECTED)
        node->duplicates++;
    node_refresh_keyring(node);
}

/* Of a good signature, or of nothing signed. */
static void note_lateness(struct node *node, const struct ticket *t, ifab_usec run)
{
    const struct ifab_http_peer *peer = &t->request->peer;
    if (t->reply.code == IFAB_CODE_RATE_LIMIT_EXCEEDED) {
        order_put_late(&node->order, peer->slot, peer->connection, run);
        if (t->verify == VERIFY_MESSAGE)
            order_talent_late(&node->order, t->command.u.message.talent, run);
        ifab_http_slow(node->http, t->request->http, ORDER_LATE_UNANSWERED);
    } else if (t->verify == VERIFY_MESSAGE && t->reply.code == IFAB_CODE_NONE) {
        order_talent_good(&node->order, t->command.u.message.talent);
        struct lane *lane = order_put_good(&node->order, peer->slot, peer->connection);
        if (lane != NULL)
            pool_in_turn(&node->pool, lane);
    }
}

static void step(struct node *node, struct ticket *t, struct batch *batch, struct ifab_now now)
{
    if (t->code != IFAB_CODE_NONE)
        refuse_unverified(node, t, now);
    else if (refused_in_stream(t))
        ;
    else if (t->full)
        refuse_ticket(t, IFAB_CODE_QUEUE_FULL, "too much of this talent waits to be recorded");
    else if (t->step != NULL)
        t->step(node, t);
    else
        step_command(node, t, batch, now);
    note_in_stream(t);
    if (t->command.type == IFAB_COMMAND_TICK)
        node->tick_queued = false;
    if (t->request != NULL && t->code == IFAB_CODE_NONE)
        note_lateness(node, t, now.run);
    if (t->reply.code != IFAB_CODE_NONE)
        ifab_metrics_add(&node->metrics, IFAB_METRIC_REFUSALS, ifab_metrics_code(t->reply.code), 1);
    t->next = NULL;
    if (batch->last == NULL)
        batch->first = t;
    else
        batch->last->next = t;
    batch->last = t;
    batch->tickets++;
}

/* The loop lends a hand: verifies what nobody has taken yet. false: nothing waits. */
static bool verify_some(struct node *node)
{
    size_t count;
    struct ticket *head = order_head(&node->order);
    if (head->alone && atomic_load_explicit(&head->state, memory_order_relaxed) == TICKET_WAITS) {
        ticket_verify(head);
        atomic_store_explicit(&head->state, TICKET_VERIFIED, memory_order_release);
        return true;
    }
    struct ticket *t = pool_take(&node->pool, false, 0, &count);
    if (t == NULL)
        return false;
    while (t != NULL) {
        struct ticket *next = t->job_next;
        ticket_verify(t);
        atomic_store_explicit(&t->state, TICKET_VERIFIED, memory_order_release);
        t = next;
    }
    return true;
}

static bool head_waits(const struct node *node)
{
    const struct ticket *head = order_head(&node->order);
    return head != NULL && atomic_load_explicit(&head->state, memory_order_acquire) != TICKET_VERIFIED;
}

/* Finished tickets, in ticket order. From here on it is known whose message it is: the places before the step are shared by talent. */
static void take_verified(struct node *node)
{
    while (order_head(&node->order) != NULL && !head_waits(node)) {
        struct ticket *t = order_take(&node->order);
        if (t->verify == VERIFY_MESSAGE && t->code == IFAB_CODE_NONE) {
            t->shared = order_share_take(&node->order, t->admitted->talent);
            t->full = !t->shared;
        }
        if (node->verified_first == NULL)
            node->verified_first = t;
        else
            node->verified_last->next = t;
        node->verified_last = t;
    }
}

static void fill(struct node *node, struct batch *batch)
{
    bool jumped;
    struct ifab_now now = clock_now(&node->clock, &jumped);
    if (jumped)
        node_clock_jumped(node);
    take_verified(node);
    while (node->verified_first != NULL && batch->tickets < BATCH_COMMANDS && batch->bytes < BATCH_BYTES && !batch->erase) {
        struct ticket *t = node->verified_first;
        node->verified_first = t->next;
        if (t->shared)
            order_share_give(&node->order, t->admitted->talent);
        node->queue_count--;
        step(node, t, batch, now);
    }
}

static void spin(uv_idle_t *handle) { (void)handle; }

static void set_spin(struct node *node, bool on)
{
    if (on == node->spinning)
        return;
    node->spinning = on;
    if (on)
        uv_idle_start(&node->spin, spin);
    else
        uv_idle_stop(&node->spin);
}

static bool changes_nothing(const struct batch *batch)
{
    return batch->entry_count == 0 && batch->record_count == 0 && batch->tags.size == 0;
}

/* What was stepped becomes what is committed, and what is stepped from here on is another batch. false: no memory, and the process ends. */
static bool seal_current(struct node *node)
{
    struct batch *batch = node->current;
    node->committing = batch;
    node->current = node->idle_batch != NULL ? node->idle_batch : batch_new();
    node->idle_batch = NULL;
    if (node->current == NULL) {
        pipeline_fatal(node, IFAB_NOMEM, &(struct ifab_error){.text = "out of memory for a batch"});
        return false;
    }
    if (!changes_nothing(batch))
        batch_seal(node, batch, clock_now(&node->clock, NULL));
    return true;
}

static void give_sealed(struct node *node)
{
    node->commit_running = true;
    writer_give(node, node->committing);
}

static void begin_commit(struct node *node)
{
    if (!seal_current(node))
        return;
    struct batch *batch = node->committing;
    if (changes_nothing(batch)) { /* reads and refusals only: everything before is durable, since nothing runs */
        reply_batch(node, batch);
        return;
    }
    if (nobody_in_turn(node) && batch->tickets <= 2 && !writer_must_wait(node)) { /* nobody waits: no hand-over */
        batch_commit(node, batch);
        writer_wrote(node);
        node->commit_running = true;
        pipeline_written(node);
        return;
    }
    give_sealed(node);
}

/*
 * Behind a commit and before its replies, which take as long as half a commit: the disk need not wait for them. Replies stay in step order, since those
 * of the next batch are the loop's work as well, when the writer has told of it.
 */
static void begin_next_early(struct node *node)
{
    bool store_wanted = node->erasing_count > 0; /* erase_again() has the store to itself between two commits */
    if (node->current->tickets >= WORTH_A_COMMIT && !changes_nothing(node->current) && !store_wanted && seal_current(node))
        give_sealed(node);
}

void pipeline_run(struct node *node)
{
    for (int turn = 0; turn < 64 && node->fatal_status == IFAB_OK; turn++) {
        if (node->current == NULL)
            return;
        if (head_waits(node) && (!verify_some(node) || turn > 2)) {
            fill(node, node->current);
            if (!node->commit_running && node->current->tickets > 0)
                begin_commit(node);
            break; /* a worker has it and will wake the loop; or others want the loop as well */
        }
        fill(node, node->current);
        if (!node->commit_running && node->current->tickets > 0)
            begin_commit(node);
        else
            break;
    }
    /* something unverified that no worker took: come back after I/O */
    bool more = false;
    if (node->queue_count > 0 && node->fatal_status == IFAB_OK) {
        uv_mutex_lock(&node->pool.lock);
        more = node->pool.turns[0].first != NULL;
        uv_mutex_unlock(&node->pool.lock);
    }
    set_spin(node, more);
}

static void reply_batch(struct node *node, struct batch *batch)
{
    struct ticket *t = batch->first;
    while (t != NULL) {
        struct ticket *next = t->next;
        if (t->done != NULL)
            t->done(node, t);
        else
            reply_ticket(node, t);
        ticket_free(node, t);
        t = next;
    }
    batch_clear(batch);
    if (node->committing == batch)
        node->committing = NULL;
    if (node->idle_batch == NULL)
        node->idle_batch = batch;
    else
        batch_free(batch);
}

/* Everything stepped and not durable is answered 504; state is what the store holds. */
static void refuse_batch(struct node *node, struct batch *batch)
{
    for (struct ticket *t = batch->first; t != NULL; t = t->next)
        if (t->code == IFAB_CODE_NONE) {
            refuse_ticket(t, IFAB_CODE_STORE_UNAVAILABLE, "the disk is full; nothing was recorded");
            note_in_stream(t);
        }
    reply_batch(node, batch);
}

static void disk_full(struct node *node, struct batch *batch)
{
    struct ifab_error err = {0};
    struct batch *ahead = node->current;
    IFAB_LOG(IFAB_LOG_ERROR, "store: disk full", IFAB_F_TEXT("error", batch->err.text));
    node->closed_full = true;
    node->current = batch_new();
    struct ifab_fabric *before = node->fabric;
    node->fabric = NULL;
    log_key_undone(node);
    ifab_status status = node_load(node, &err);
    if (status == IFAB_OK)
        ifab_fabric_keep_counts(node->fabric, before); /* refusals counted before a signature stand nowhere else */
    ifab_fabric_free(before);
    if (status == IFAB_OK)
        vault_unstep(node);
    if (status != IFAB_OK || node->current == NULL) {
        pipeline_fatal(node, status, &err);
        return;
    }
    node_refresh_keyring(node);
    refuse_batch(node, batch);
    refuse_batch(node, ahead);
}

/* The entry stands; the bytes may have to wait for a reader to go. Then the record stays, it is tried again, and who asked is told so. */
static bool erased(struct node *node, struct batch *batch)
{
    if (batch->erase_status == IFAB_OK) {
        (void)batch_record(node->current, KIND_ERASING, batch->erase_index, IFAB_VIEW(""));
        return true;
    }
    if (batch->erase_status != IFAB_AGAIN && batch->erase_status != IFAB_FULL) {
        pipeline_fatal(node, batch->erase_status, &batch->err);
        return false;
    }
    if (node->erasing_count < IFAB_COUNT(node->erasing))
        node->erasing[node->erasing_count++] = batch->erase_index;
    for (struct ticket *t = batch->first; t != NULL; t = t->next)
        if (t->command.type == IFAB_COMMAND_ERASE && t->reply.code == IFAB_CODE_NONE)
            refuse_ticket(t, IFAB_CODE_STORE_UNAVAILABLE, "recorded; the bytes go as soon as no reader holds them (a backup, or the disk is full)");
    return true;
}

/* What was new in it, and what it took from the last byte of each to here, where it is durable. */
static void measure_batch(struct node *node, const struct batch *batch)
{
    ifab_usec run = clock_boot() + node->clock.run_offset;
    for (const struct ticket *t = batch->first; t != NULL; t = t->next) {
        const struct ifab_reply *reply = &t->reply;
        if (reply->code != IFAB_CODE_NONE || reply->replayed || reply->first)
            continue;
        if (reply->is_decision)
            ifab_metrics_observe(&node->metrics, IFAB_METRIC_DECISION_SECONDS, 0, run - t->came);
        if (reply->fence.n != 0)
            ifab_metrics_observe(&node->metrics, IFAB_METRIC_CLAIM_SECONDS, 0, run - t->came);
        if (reply->decided_after > 0)
            ifab_metrics_observe(&node->metrics, IFAB_METRIC_HUMAN_DECISION_SECONDS, 0, reply->decided_after);
    }
}

void pipeline_written(struct node *node)
{
    struct batch *batch = node->committing;
    if (!node->commit_running || batch == NULL)
        return;
    node->commit_running = false;
    if (batch->status == IFAB_FULL) {
        disk_full(node, batch);
        return;
    }
    if (batch->status != IFAB_OK) {
        pipeline_fatal(node, batch->status, &batch->err);
        return;
    }
    node->closed_full = false;
    node->committed_size = batch->head.size;
    memcpy(node->committed_root32, batch->head.root32, 32);
    if (batch->key != NULL)
        log_key_committed(node);
    if (batch->erase && !erased(node, batch))
        return;
    begin_next_early(node);
    if (node->fatal_status != IFAB_OK)
        return;
    ifab_metrics_observe(&node->metrics, IFAB_METRIC_COMMIT_SECONDS, 0, batch->commit_usec);
    ifab_metrics_observe(&node->metrics, IFAB_METRIC_COMMIT_BATCH, 0, (int64_t)batch->tickets);
    measure_batch(node, batch);
    uint64_t size = batch->head.size;
    bool entries = batch->entry_count > 0, decided = batch->delivers_others, tasks = batch->tasks;
    calls_changed(node); /* who revokes is told when it has ended */
    if (batch->vault_counter != 0)
        calls_secrets(node);
    wait_delivered(node, batch);
    reply_batch(node, batch);
    if (tasks)
        wait_tasks(node);
    if (entries) {
        follower_wake(node, size);
        wait_committed(node, decided);
    }
}

void pipeline_fatal(struct node *node, ifab_status status, const struct ifab_error *err)
{
    node->fatal_status = status == IFAB_OK ? IFAB_INTERNAL : status;
    node->fatal = *err;
    IFAB_LOG(IFAB_LOG_ERROR, "store: the outcome of a commit is unknown; ending", IFAB_F_TEXT("status", ifab_status_name(node->fatal_status)),
             IFAB_F_TEXT("error", err->text));
    uv_stop(&node->loop);
}

/* At the end: what was never answered is dropped with its connections. */
void pipeline_free(struct node *node)
{
    struct batch *batches[] = {node->current, node->committing, node->idle_batch};
    for (size_t i = 0; i < 3; i++) {
        if (batches[i] == NULL)
            continue;
        for (struct ticket *t = batches[i]->first, *next; t != NULL; t = next) {
            next = t->next;
            if (t->group == NULL)
                request_free(t->request);
            ticket_free(node, t);
        }
        batch_free(batches[i]);
    }
    for (struct ticket *t; (t = order_take(&node->order)) != NULL;) {
        if (t->group == NULL)
            request_free(t->request);
        ticket_free(node, t);
    }
    for (struct ticket *t = node->verified_first, *next; t != NULL; t = next) {
        next = t->next;
        if (t->group == NULL)
            request_free(t->request);
        ticket_free(node, t);
    }
    order_fini(&node->order);
    for (struct ticket *t = node->spare, *next; t != NULL; t = next) {
        next = t->next;
        ifab_arena_fini(&t->arena);
        ifab_free(t);
    }
}
