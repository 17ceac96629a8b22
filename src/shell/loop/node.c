/* The daemon's life: start in order, serve, stop in order. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"
#include "vault.h"

#define TURN_MS 50
#define STOP_WAIT (5 * IFAB_SECOND) /* for answers to leave, after SIGTERM; a client that does not read is not waited for any longer */

static bool queue_own(struct node *node, enum ifab_command_type type, struct ifab_view text, struct ifab_view why)
{
    struct ticket *t = ticket_new(node, NULL);
    if (t == NULL)
        return false; /* due again at the next turn */
    t->command.type = type;
    t->command.principal = &node->self;
    t->command.u.note.subject = ifab_view_str(node->settings.fabric_actor);
    (void)ifab_arena_copy(&t->arena, text, &t->command.u.note.text);
    (void)ifab_arena_copy(&t->arena, why, &t->command.why);
    ticket_queue(node, t);
    return true;
}

void node_clock_jumped(struct node *node)
{
    node->clock.untold = false;
    IFAB_LOG(IFAB_LOG_ERROR, "clock: the wall clock jumped by more than 60 s and is not believed; ifctl clock accept --why … ends it", IFAB_F_NUM("real", clock_real()));
    ifab_fabric_set_clock_doubt(node->fabric, true);
    (void)queue_own(node, IFAB_COMMAND_CLOCK_JUMP, IFAB_VIEW(""), IFAB_VIEW("the wall clock jumped by more than 60 s"));
}

/* Bytes that a reader or a full disk kept from going: tried again until they are gone; then their record goes with the next commit. */
static void erase_again(struct node *node)
{
    struct ifab_error err = {0};
    uint64_t index = node->erasing[node->erasing_count - 1];
    ifab_status status = ifab_store_erase(node->store, index, &err);
    if (status == IFAB_AGAIN || status == IFAB_FULL)
        return;
    if (status != IFAB_OK && status != IFAB_NOT_FOUND) {
        pipeline_fatal(node, status, &err);
        return;
    }
    node->erasing_count--;
    (void)batch_record(node->current, KIND_ERASING, index, IFAB_VIEW("")); /* left behind without memory: erased again at the next start */
}

/* What was refused and only counted is written down in a last commit. false: there is nothing to wait for. */
static bool last_words(struct node *node)
{
    if (node->said_last || node->closed_full)
        return false;
    node->said_last = true;
    struct ticket *t = ticket_new(node, NULL);
    if (t == NULL)
        return false;
    t->command.type = IFAB_COMMAND_TICK;
    t->command.principal = &node->self;
    t->command.ending = true;
    ticket_queue(node, t);
    return true;
}

static void on_turn(uv_timer_t *timer)
{
    struct node *node = timer->data;
    bool jumped;
    struct ifab_now now = clock_now(&node->clock, &jumped);
    if (jumped)
        node_clock_jumped(node);
    if (node->closed_full && now.run - node->room_checked >= IFAB_SECOND) {
        node->room_checked = now.run - IFAB_SECOND; /* looked at now: */
        node->closed_full = !pipeline_room(node, now.run); /* a commit that fails closes it once more */
    }
    ifab_fabric_set_clock_doubt(node->fabric, node->clock.doubt); /* one truth: the clock's */
    if (!node->tick_queued && !node->closed_full && ifab_fabric_deadline(node->fabric, now) <= now.run)
        node->tick_queued = queue_own(node, IFAB_COMMAND_TICK, IFAB_VIEW(""), IFAB_VIEW(""));
    if (node->erasing_count > 0 && !node->commit_running && node->current != NULL && now.run >= node->erase_next) {
        node->erase_next = now.run + IFAB_SECOND;
        erase_again(node);
    }
    log_key_turn(node);
    jobs_unpark(node);
    order_let_in(&node->order);
    wait_tick(node, now.run);
    calls_turn(node);
    if (node->watchdog > 0 && now.run >= node->watchdog_next) {
        node->watchdog_next = now.run + node->watchdog;
        supervise_tell("WATCHDOG=1");
    }
    if (node->rules_due && !node->closed_full)
        node_enter_due(node);
    if (node->reload_again && !node->reloading)
        node_reload(node);
    if (!node->closed_full)
        route_open(node, now.run);
    if (node->config.anchor_every_usec > 0 && node->anchor_count > 0 && now.run >= node->anchor_next && !node->stopping) {
        node->anchor_next = now.run + node->config.anchor_every_usec;
        /* the entry about an anchor alone is no reason for the next one */
        if (node->committed_size > node->anchored_size + 1)
            anchor_now(node, NULL, IFAB_VIEW("anchor.every"));
    }
    if (node->stopping && !node->http_closed && now.run >= node->stop_deadline && pipeline_idle(node))
        ifab_http_server_kill(node->http);
    if (node->stopping && (node->http_closed || now.run >= node->stop_deadline))
        calls_stop(node); /* each ends in an outcome, which is still recorded */
    if (node->stopping && node->http_closed && calls_stopped(node) && calls_idle(node) && pipeline_idle(node) && !last_words(node))
        uv_stop(&node->loop);
}

static void on_after_io(uv_check_t *handle) { pipeline_run(handle->data); }

static void on_verified(uv_async_t *handle) { (void)handle; } /* waking the loop is enough: the pipeline runs once a turn */

static void on_written(uv_async_t *handle)
{
    struct node *node = handle->data;
    uv_mutex_lock(&node->writer_lock);
    struct batch *batch = node->has_written;
    node->has_written = NULL;
    uv_mutex_unlock(&node->writer_lock);
    if (batch != NULL)
        pipeline_written(node);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    (void)number;
    node_reload(handle->data);
}

static void on_closed(void *user) { ((struct node *)user)->http_closed = true; }

static void on_signal(uv_signal_t *handle, int number)
{
    struct node *node = handle->data;
    (void)number;
    if (node->stopping) { /* the second one: at once */
        ifab_http_server_kill(node->http);
        uv_stop(&node->loop);
        return;
    }
    node->stopping = true;
    node->stop_deadline = clock_now(&node->clock, NULL).run + STOP_WAIT;
    supervise_tell("STOPPING=1");
    IFAB_LOG(IFAB_LOG_INFO, "stopping", IFAB_F_NUM("entries", node->committed_size));
    wait_stop(node);
    ifab_http_server_stop(node->http, on_closed, node);
}

static ifab_status start_loop(struct node *node, struct ifab_error *err)
{
    uv_async_t *asyncs[] = {&node->verified, &node->written};
    uv_async_cb callbacks[] = {on_verified, on_written};
    for (size_t i = 0; i < 2; i++) {
        if (uv_async_init(&node->loop, asyncs[i], callbacks[i]) != 0)
            return ifab_fail(err, IFAB_INTERNAL, "loop");
        asyncs[i]->data = node;
    }
    uv_check_init(&node->loop, &node->after_io);
    uv_idle_init(&node->loop, &node->spin);
    uv_timer_init(&node->loop, &node->timer);
    uv_signal_init(&node->loop, &node->sigterm);
    uv_signal_init(&node->loop, &node->sigint);
    uv_signal_init(&node->loop, &node->sighup);
    node->after_io.data = node->spin.data = node->timer.data = node->sigterm.data = node->sigint.data = node->sighup.data = node;
    uv_check_start(&node->after_io, on_after_io);
    uv_timer_start(&node->timer, on_turn, TURN_MS, TURN_MS);
    uv_signal_start(&node->sigterm, on_signal, SIGTERM);
    uv_signal_start(&node->sigint, on_signal, SIGINT);
    uv_signal_start(&node->sighup, on_hangup, SIGHUP);
    size_t workers = node->config.verify_workers > 0 ? (size_t)node->config.verify_workers : uv_available_parallelism() - 1;
    return pool_start(&node->pool, workers < 1 ? 1 : workers > 64 ? 64 : workers, &node->verified, err);
}

static ifab_status open_anchors(struct node *node, struct ifab_error *err)
{
    for (size_t i = 0; i < node->config.anchor_dir_count; i++) {
        IFAB_TRY(ifab_anchor_directory_open(node->config.anchor_dirs[i], &node->anchors[i], err));
        node->anchor_count++;
    }
    return IFAB_OK;
}

/* The rule set in force must stand in an entry before anything is decided under it. */
ifab_status node_enter_rules(struct node *self, struct ifab_error *err)
{
    struct ticket *t = ticket_new(self, NULL);
    if (t == NULL)
        return ifab_fail(err, IFAB_NOMEM, "rules");
    t->command.type = IFAB_COMMAND_RULES;
    t->command.principal = &self->self;
    t->command.why = self->ruleset != NULL && ifab_ruleset_why(self->ruleset).size > 0 ? ifab_ruleset_why(self->ruleset) : IFAB_VIEW("start");
    t->command.u.rules.rules = &self->settings.rules;
    ticket_queue(self, t);
    pipeline_run(self);
    if (self->fatal_status != IFAB_OK || !pipeline_idle(self) || self->closed_full)
        return ifab_fail(err, IFAB_IO, "the rule set cannot be recorded: %s", self->fatal.text);
    return IFAB_OK;
}

static ifab_status start(struct node *node, const struct ifab_run_options *options, struct ifab_error *err)
{
    int upgraded_from = 0;
    struct ifab_store_options store = {.directory = node->config.data_dir, .wal_bytes = WAL_MADE, .ret_upgraded_from = &upgraded_from};
    node_log_level(&node->config);
    IFAB_TRY(node_check_modes(&node->config, err));
    IFAB_TRY(ifab_crypto_init(err));
    IFAB_TRY(ifab_admit_init(err));
    IFAB_TRY(node_lock(node, err));
    IFAB_TRY(node_keys(node, node->config.keys_dir, err));
    IFAB_TRY(node_settings(node, err));
    ticket_message_max = (size_t)node->config.message_max;
    ticket_tag_key16 = node->tag_key16;
    ticket_origin = node->origin;
    node->self = (struct ifab_principal){.kind = IFAB_PRINCIPAL_UID, .role = IFAB_ROLE_OPERATOR};
    snprintf(node->self.actor, sizeof node->self.actor, "if://fabric/%.80s", node->origin);
    ifab_metrics_init(&node->metrics, options->version);
    struct ifab_http_limits limits;
    serve_limits(&node->config, &limits);
    if (order_init(&node->order, ifab_http_slots(&limits)) != IFAB_OK || charges_init(&node->charges, node->settings.seed) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "queue");
    ifab_map_init(&node->inboxes, node->settings.seed);
    IFAB_TRY(ifab_store_sqlite_open(&store, &node->store, err));
    if (upgraded_from > 0)
        IFAB_LOG(IFAB_LOG_WARN, "store: an older schema was upgraded; older programs refuse it from now on", IFAB_F_NUM("from", upgraded_from), IFAB_F_NUM("to", IFAB_STORE_SCHEMA));
    IFAB_TRY(node_load(node, err));
    IFAB_TRY(log_key_finish(node, err));
    IFAB_TRY(open_anchors(node, err));
    node->current = batch_new();
    if (node->current == NULL)
        return ifab_fail(err, IFAB_NOMEM, "batch");
    ifab_outcome_init(&node->outcome, &node->current->arena);
    node_refresh_keyring(node);
    IFAB_TRY(writer_start(node, err));
    node->threads_running = true;
    IFAB_TRY(readers_start(node, err));
    node->readers_running = true;
    IFAB_TRY(follower_start(node, err));
    IFAB_TRY(node_check_anchors(node, err));
    IFAB_TRY(vault_open(node, options->vault_passphrase, err));
    IFAB_TRY(node_finish_erasing(node, err));
    IFAB_TRY(start_loop(node, err));
    node->serving = true;
    if (ifab_fabric_rules_stale(node->fabric))
        IFAB_TRY(node_enter_rules(node, err));
    if (node->clock.doubt)
        node_clock_jumped(node);
    return serve_start(node, err);
}

static void say_ready(const struct node *node, int fd)
{
    struct ifab_buf line = IFAB_BUF_INIT(4096);
    ifab_buf_format(&line, "ready unix:%s/ifd.sock", node->config.run_dir);
    if (node->config.http_listen[0] != '\0') {
        const char *colon = strrchr(node->config.http_listen, ':');
    ifab_buf_format(&line, node->tls != NULL ? " https://%.*s:%u" : " http://%.*s:%u", (int)(colon - node->config.http_listen), node->config.http_listen, node->http_port);
    }
    ifab_buf_char(&line, '\n');
    if (fd >= 0)
        ifab_log_plain(fd, ifab_buf_as_view(&line));
    ifab_buf_fini(&line);
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void stop(struct node *node)
{
    follower_halt(node); /* wakes readers that wait for it; its handles close after they have gone */
    if (node->readers_running)
        readers_stop(node);
    pool_stop(&node->pool);
    if (node->threads_running)
        writer_stop(node);
    if (node->http != NULL)
        ifab_http_server_kill(node->http);
    uv_run(&node->loop, UV_RUN_NOWAIT);
    uv_walk(&node->loop, close_handle, NULL);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    if (node->http != NULL)
        ifab_http_server_free(node->http);
    ifab_tls_context_free(node->tls);
    uv_loop_close(&node->loop);
    wait_free(node);
    calls_free(node);
    pipeline_free(node);
    charges_fini(&node->charges);
    follower_free(node);
    ifab_outcome_fini(&node->outcome);
    ifab_keyring_unref(node->keyring);
    ifab_fabric_free(node->fabric);
    ifab_ruleset_free(node->ruleset);
    ifab_ruleset_free(node->rules_before);
    job_free(node->routing_job);
    for (size_t i = 0; i < node->anchor_count; i++)
        ifab_anchor_close(node->anchors[i]);
    vault_close(node);
    ifab_store_close(node->store);
    log_key_fini(node);
    if (node->lock_fd >= 0)
        close(node->lock_fd);
}

ifab_status ifab_node_run(const struct ifab_run_options *options, struct ifab_error *err)
{
    struct node *node = ifab_calloc(1, sizeof *node);
    if (node == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    node->lock_fd = -1;
    node->version = options->version;
    node->config_path = options->config;
    signal(SIGPIPE, SIG_IGN);
    ifab_status status = ifab_config_load(options->config, &node->config, err);
    if (status != IFAB_OK) {
        ifab_free(node);
        return status;
    }
    uv_loop_init(&node->loop);
    status = start(node, options, err);
    if (status == IFAB_OK) {
        say_ready(node, options->ready_fd);
        node->watchdog = supervise_interval();
        supervise_tell("READY=1");
        IFAB_LOG(IFAB_LOG_INFO, "ready", IFAB_F_NUM("entries", node->committed_size), IFAB_F_TEXT("origin", node->origin));
        uv_run(&node->loop, UV_RUN_DEFAULT);
        if (node->fatal_status != IFAB_OK)
            status = ifab_fail(err, node->fatal_status, "%s", node->fatal.text);
    }
    if (node->fatal_status != IFAB_OK)
        _exit(20); /* nobody is answered: what is in memory is not what is on disk */
    stop(node);
    ifab_free(node);
    return status;
}
