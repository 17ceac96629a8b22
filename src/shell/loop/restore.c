/*
 * Going on after a loss: a new directory with a new origin whose entry 0 holds the old checkpoint. Talents, keys and grants are stated anew, each in an entry;
 * what waited is void, each named in an entry; older messages are 102; fences jump beyond all that were given (restore_fence_offset, INV-11).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "node.h"

void restore_close(struct node *node)
{
    if (node == NULL)
        return;
    ifab_fabric_free(node->fabric);
    ifab_ruleset_free(node->ruleset);
    ifab_store_close(node->store);
    log_key_fini(node);
    ifab_free(node);
}

/* The backup, opened and verified as a start would. */
static ifab_status open_old(const struct ifab_restore_options *options, struct node *node, struct ifab_error *err)
{
    char keys[1100];
    struct ifab_store_options store = {.directory = options->backup, .read_only = true};
    snprintf(keys, sizeof keys, "%s/keys", options->backup);
    ifab_status status = node_keys(node, options->keys != NULL ? options->keys : keys, err);
    if (status == IFAB_NOT_FOUND && options->keys == NULL) {
        *err = (struct ifab_error){0};
        return ifab_fail(err, IFAB_NOT_FOUND, "a backup holds no keys: give --keys DIR, the keys directory of the lost fabric (log.key, operator.pem)");
    }
    IFAB_TRY(status);
    ifab_fabric_settings_default(&node->settings);
    memcpy(node->settings.origin, node->origin, sizeof node->settings.origin);
    memcpy(node->settings.tag_key16, node->tag_key16, 16);
    snprintf(node->config.data_dir, sizeof node->config.data_dir, "%s", options->backup);
    IFAB_TRY(ifab_store_sqlite_open(&store, &node->store, err));
    return node_load(node, err);
}

/*
 * INV-11. A fabric's fences are its offset plus an index. With the wall clock's microseconds as the offset, every fence that any fabric before this one
 * gave is below it, as long as none of them wrote more than a million entries a second: those of the backup, those after it, and those of another fabric
 * that went on from the same backup before. So the clock must be ahead of what the lost fabric wrote.
 */
#define FENCE_OFFSET_MAX ((ifab_usec)1 << 52) /* in the year 2112; what is left below 2^53 is for entries */
ifab_status restore_fence_offset(ifab_usec wall, const struct restore_old *old, uint64_t *ret_offset, struct ifab_error *err)
{
    uint64_t least = old->fence_offset + old->size;
    if (wall <= old->wall || wall <= 0 || (uint64_t)wall <= least || wall > FENCE_OFFSET_MAX)
        return ifab_fail(err, IFAB_INVALID, "this machine's clock is %s: it says %lld s, and the lost fabric wrote at %lld s; set it, then again",
                         wall > FENCE_OFFSET_MAX ? "beyond belief" : "behind", (long long)(wall / IFAB_SECOND), (long long)(old->wall / IFAB_SECOND));
    *ret_offset = (uint64_t)wall;
    return IFAB_OK;
}

ifab_status restore_open_new(const struct ifab_restore_options *options, const struct restore_old *old, struct node *node, struct ifab_error *err)
{
    char path[1200];
    uint64_t fence_offset;
    IFAB_TRY(restore_fence_offset(clock_real(), old, &fence_offset, err));
    snprintf(path, sizeof path, "%s/" UNFINISHED, options->directory);
    IFAB_TRY(ifab_config_load(path, &node->config, err));
    struct ifab_store_options store = {.directory = node->config.data_dir, .create = true, .wal_bytes = WAL_MADE};
    IFAB_TRY(node_keys(node, node->config.keys_dir, err));
    IFAB_TRY(node_settings(node, err));
    node->settings.fence_offset = fence_offset;
    return ifab_store_sqlite_open(&store, &node->store, err);
}

/* One thing of the old fabric into the batch, which is committed when it is large: there may be many tasks, and each may have a payload. */
static ifab_status restate(struct node *new, struct batch *batch, struct ifab_command *command, struct ifab_error *err)
{
    IFAB_TRY(node_step_into(new, batch, command, err));
    return batch->bytes < BATCH_BYTES && batch->record_count < BATCH_COMMANDS ? IFAB_OK : node_commit_batch(new, batch, err);
}

static ifab_status restate_task(struct node *old, struct node *new, struct batch *batch, const struct ifab_task *task, struct ifab_error *err)
{
    struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
    struct ifab_stored_entry entry = {0};
    size_t count = 0;
    command.u.restate.task = task;
    if (task->payload_size > 0) {
        IFAB_TRY(ifab_store_read(old->store, task->created_index, 1, true, &batch->arena, &entry, &count, err));
        command.u.restate.payload = count == 1 ? entry.message : IFAB_VIEW(""); /* empty: it was erased */
    }
    return restate(new, batch, &command, err);
}

static ifab_status restate_all(struct node *old, struct node *new, struct batch *batch, struct ifab_error *err)
{
    const struct ifab_coordinator *c = ifab_fabric_coordinator(old->fabric);
    const struct ifab_swarm *swarm = ifab_swarm_after(c, (struct ifab_swarm_number){0});
    const struct ifab_task *task = ifab_task_after(c, (struct ifab_task_number){0});
    const struct ifab_closed_task *closed;
    uint32_t at = 0;
    for (; swarm != NULL; swarm = ifab_swarm_after(c, swarm->number)) {
        struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
        command.u.restate.swarm = swarm;
        command.u.restate.help = ifab_swarm_help(c, swarm->number);
        IFAB_TRY(restate(new, batch, &command, err));
    }
    for (; task != NULL; task = ifab_task_after(c, task->number)) /* in order of number: what one waits for comes before it */
        IFAB_TRY(restate_task(old, new, batch, task, err));
    while ((closed = ifab_closed_task_next(c, &at)) != NULL) {
        struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
        command.u.restate.closed = closed;
        IFAB_TRY(restate(new, batch, &command, err));
    }
    const struct ifab_plans *plans = ifab_fabric_plans(old->fabric);
    for (const struct ifab_plan *p = ifab_plan_next(plans, 0); p != NULL; p = ifab_plan_next(plans, p->number)) {
        struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
        if (!ifab_plan_is_running(p) && p->state != IFAB_PLAN_DANGLING)
            continue;
        command.u.restate.plan = p;
        IFAB_TRY(restate(new, batch, &command, err));
    }
    const struct ifab_secrets *secrets = ifab_fabric_secrets(old->fabric);
    for (const struct ifab_secret *s = ifab_secrets_next(secrets, 0); s != NULL; s = ifab_secrets_next(secrets, s->number)) {
        struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
        if (s->revoked_at != IFAB_NEVER)
            continue;
        command.u.restate.secret = s; /* void: set anew, with its value */
        IFAB_TRY(restate(new, batch, &command, err));
    }
    return batch->record_count + batch->entry_count == 0 ? IFAB_OK : node_commit_batch(new, batch, err);
}

static ifab_status restate_one(struct node *new, struct batch *batch, enum ifab_kind kind, struct ifab_view subject, struct ifab_view bytes,
                               struct ifab_error *err)
{
    const struct ifab_registered registered = {.kind = (uint8_t)kind, .subject = subject, .bytes = bytes};
    struct ifab_command command = {.type = IFAB_COMMAND_RESTATE};
    command.u.restate.registered = &registered;
    return restate(new, batch, &command, err);
}

static ifab_status restate_registry(const struct ifab_registry *registry, struct node *new, struct batch *batch, struct ifab_error *err)
{
    const struct ifab_publisher *p = ifab_registry_publisher_next(registry, 0);
    const struct ifab_allowed *a = ifab_registry_allowed_next(registry, 0);
    const struct ifab_revocation *v = ifab_registry_revocation_next(registry, 0);
    for (; p != NULL; p = ifab_registry_publisher_next(registry, p->number))
        IFAB_TRY(restate_one(new, batch, IFAB_KIND_PUBLISHER, p->name, p->record, err));
    for (; v != NULL; v = ifab_registry_revocation_next(registry, v->number))
        IFAB_TRY(restate_one(new, batch, IFAB_KIND_REVOCATION, v->id.size > 0 ? v->id : v->digest32 != NULL ? IFAB_VIEW("digest") : IFAB_VIEW("key"), v->record, err));
    for (; a != NULL; a = ifab_registry_allowed_next(registry, a->number))
        IFAB_TRY(restate_one(new, batch, IFAB_KIND_ALLOWED, a->manifest->id, a->record, err));
    return batch->record_count == 0 ? IFAB_OK : node_commit_batch(new, batch, err);
}

ifab_status restore_take_registry(const struct ifab_registry *registry, struct node *new, struct ifab_error *err)
{
    struct batch *batch = batch_new();
    if (batch == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    ifab_outcome_init(&new->outcome, &batch->arena);
    ifab_status status = restate_registry(registry, new, batch, err);
    ifab_outcome_fini(&new->outcome);
    batch_free(batch);
    return status;
}

/* Swarms and tasks go on; who held one, holds it no more. */
static ifab_status take_tasks(struct node *old, struct node *new, struct ifab_error *err)
{
    struct batch *batch = batch_new();
    if (batch == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    ifab_outcome_init(&new->outcome, &batch->arena);
    ifab_status status = restate_all(old, new, batch, err);
    ifab_outcome_fini(&new->outcome);
    batch_free(batch);
    return status;
}

static ifab_usec wrote_until(const struct node *old)
{
    struct ifab_fabric_head head;
    ifab_fabric_head(old->fabric, &head);
    return head.time > old->stored_wall ? head.time : old->stored_wall;
}

static ifab_status go_on(const struct ifab_restore_options *options, struct node *old, struct node *new, struct ifab_error *err)
{
    struct ifab_buf note = IFAB_BUF_INIT(4096);
    ifab_status status = node_checkpoint(old, old->committed_size, old->committed_root32, &note, NULL, err);
    struct ifab_command command = {.type = IFAB_COMMAND_RESTORE, .why = options->why};
    command.u.restore.old_checkpoint = ifab_buf_as_view(&note);
    command.u.restore.old_origin = ifab_view_str(old->origin);
    command.u.restore.old_size = old->committed_size;
    struct ifab_meta meta;
    ifab_fabric_meta(old->fabric, (struct ifab_now){0}, &meta);
    command.u.restore.old_skew = meta.skew_most;
    command.u.restore.old_issued_after = meta.issued_after;
    command.u.restore.old_wall = wrote_until(old);
    command.u.restore.version = options->version;
    command.u.restore.talents = ifab_fabric_talents(old->fabric);
    const struct ifab_accesses *accesses = ifab_fabric_accesses(old->fabric);
    command.u.restore.tokens = ifab_accesses_count(accesses, IFAB_ACCESS_TOKEN);
    command.u.restore.invites = ifab_accesses_count(accesses, IFAB_ACCESS_INVITE);
    command.u.restore.open = ifab_fabric_decisions(old->fabric);
    command.u.restore.money = ifab_fabric_money(old->fabric);
    command.u.restore.breakers = ifab_fabric_breakers(old->fabric);
    command.u.restore.prices = ifab_fabric_prices(old->fabric);
    command.u.restore.dangling = old->erasing;
    command.u.restore.dangling_count = old->erasing_count;
    if (status == IFAB_OK)
        status = node_first_commit(new, &command, err);
    ifab_buf_fini(&note);
    return status;
}

static ifab_status take_meta(void *user, const struct ifab_record *record, struct ifab_error *err)
{
    struct ifab_meta meta;
    if (record->kind != IFAB_KIND_META)
        return IFAB_OK;
    if (!ifab_meta_unpack(record->bytes, &meta))
        return ifab_fail(err, IFAB_CORRUPT, "record META does not parse");
    memcpy(user, meta.rules32, 32);
    return IFAB_OK;
}

ifab_status backup_rules_digest(const char *directory, uint8_t ret_digest32[32], struct ifab_error *err)
{
    const struct ifab_store_options options = {.directory = directory, .read_only = true};
    struct ifab_store *copy = NULL;
    memset(ret_digest32, 0, 32);
    IFAB_TRY(ifab_store_sqlite_open(&options, &copy, err));
    ifab_status status = ifab_store_records(copy, take_meta, ret_digest32, err);
    ifab_store_close(copy);
    return status;
}

/* The set that was in force: without it the new fabric would decide by none, and share what the lost one refused. */
static ifab_status take_rules(const struct ifab_restore_options *options, const struct node *old, struct ifab_error *err)
{
    char from[1100], to[1100], digest[80] = "sha256:";
    uint8_t digest32[32];
    struct ifab_meta meta;
    struct ifab_ruleset *set = NULL;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT((size_t)8 << 20);
    ifab_fabric_meta(old->fabric, (struct ifab_now){0}, &meta);
    snprintf(from, sizeof from, "%s/" BACKUP_RULES, options->backup);
    snprintf(to, sizeof to, "%s/rules.yaml", options->directory);
    for (size_t i = 0; i < 32; i++)
        snprintf(digest + 7 + 2 * i, 3, "%02x", meta.rules32[i]);
    ifab_status status = ifab_rules_parse(IFAB_VIEW("{\"rules\":[],\"v\":1}"), "none", &set, digest32, NULL);
    ifab_ruleset_free(set);
    set = NULL;
    if (status == IFAB_OK && memcmp(digest32, meta.rules32, 32) == 0)
        return IFAB_OK; /* it had none: as the new one */
    if (ifab_rules_read(from, &set, digest32, NULL) != IFAB_OK || memcmp(digest32, meta.rules32, 32) != 0) {
        ifab_ruleset_free(set);
        return ifab_fail(err, IFAB_INVALID, "%s is missing or altered: the lost fabric decided by the rule set %s; put that file there", from, digest);
    }
    ifab_buf_view(&text, ifab_ruleset_canonical(set));
    ifab_buf_char(&text, '\n');
    ifab_ruleset_free(set);
    if (unlink(to) != 0)
        return ifab_fail(err, IFAB_IO, "%s: %s", to, strerror(errno));
    return node_write_file(to, ifab_buf_as_view(&text), 0600, err);
}

/* Settings may name paths and addresses that are not here: they are laid beside, for a person to compare. */
ifab_status restore_take_settings(const struct ifab_restore_options *options, struct ifab_error *err)
{
    char from[1100], to[1100];
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT((size_t)1 << 20);
    snprintf(from, sizeof from, "%s/" BACKUP_SETTINGS, options->backup);
    snprintf(to, sizeof to, "%s/ifd.yaml.lost", options->directory);
    ifab_status status = node_read_file(from, (size_t)1 << 20, &text, NULL);
    if (status == IFAB_NOT_FOUND)
        return IFAB_OK;
    return status == IFAB_OK ? node_write_file(to, ifab_buf_as_view(&text), 0600, err) : ifab_fail(err, status, "%s cannot be read", from);
}

/* The operator's key goes along when it is there; it may well be kept elsewhere. */
ifab_status restore_copy_operator_key(const struct ifab_restore_options *options, struct ifab_error *err)
{
    char from[1100], to[1100];
    struct ifab_buf pem = IFAB_BUF_INIT(16384);
    snprintf(from, sizeof from, "%s%s/operator.pem", options->keys != NULL ? options->keys : options->backup, options->keys != NULL ? "" : "/keys");
    snprintf(to, sizeof to, "%s/keys/operator.pem", options->directory);
    ifab_status status = node_read_file(from, 16000, &pem, NULL);
    if (status == IFAB_OK)
        status = node_write_file(to, ifab_buf_as_view(&pem), 0600, err);
    else if (status == IFAB_NOT_FOUND)
        status = IFAB_OK;
    else
        status = ifab_fail(err, status, "%s cannot be read", from);
    if (pem.data != NULL)
        ifab_wipe(pem.data, pem.size);
    ifab_buf_fini(&pem);
    return status;
}

ifab_status ifab_node_restore(const struct ifab_restore_options *options, struct ifab_error *err)
{
    struct node *old = ifab_calloc(1, sizeof *old), *new = ifab_calloc(1, sizeof *new);
    struct making making = {.directory = options->directory};
    char name[300];
    if (old == NULL || new == NULL) {
        ifab_free(old);
        ifab_free(new);
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    }
    ifab_status status = ifab_crypto_init(err);
    if (status == IFAB_OK)
        status = open_old(options, old, err);
    if (status == IFAB_OK) {
        snprintf(name, sizeof name, "%s", old->origin);
        char *slash = strrchr(name, '/');
        if (slash != NULL)
            *slash = '\0';
        status = node_prepare_directory(&making, NULL, name, err);
    }
    if (status == IFAB_OK)
        status = restore_copy_operator_key(options, err);
    if (status == IFAB_OK)
        status = take_rules(options, old, err);
    if (status == IFAB_OK)
        status = restore_take_settings(options, err);
    struct ifab_meta meta = {0};
    if (status == IFAB_OK) {
        ifab_fabric_meta(old->fabric, (struct ifab_now){0}, &meta);
        const struct restore_old was = {.fence_offset = meta.fence_offset, .size = old->committed_size, .wall = wrote_until(old)};
        status = restore_open_new(options, &was, new, err);
    }
    if (status == IFAB_OK)
        status = go_on(options, old, new, err);
    if (status == IFAB_OK)
        status = restore_take_registry(ifab_fabric_registry(old->fabric), new, err);
    if (status == IFAB_OK)
        status = take_tasks(old, new, err);
    restore_close(old);
    restore_close(new); /* the store is whole before the directory gets its name */
    return node_made(&making, status, err);
}
