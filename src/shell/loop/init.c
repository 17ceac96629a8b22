/*
 * A new fabric on disk. Its configuration bears another name until entry 0 is durable and is given its own last: a directory half made
 * cannot be started. What fails takes away what it made; what a crash left is named and refused, never repaired.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"

static const char rules_text[] = "# Rules of this fabric. The built-in steps (hazards, confidence, scope) always hold; rules may only tighten.\n"
                                 "v: 1\n"
                                 "rules: []\n";

static ifab_status make_dir(const char *base, const char *name, struct ifab_error *err)
{
    char path[1200];
    snprintf(path, sizeof path, "%s%s%s", base, name[0] != '\0' ? "/" : "", name);
    if (mkdir(path, 0700) != 0)
        return ifab_fail(err, errno == EEXIST ? IFAB_CONFLICT : IFAB_DENIED, "%s: %s", path, strerror(errno));
    return IFAB_OK;
}

static ifab_status take_directory(struct making *making, struct ifab_error *err)
{
    const char *path = making->directory;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        char parent[1200];
        snprintf(parent, sizeof parent, "%s", path);
        for (char *slash = strchr(parent + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
            *slash = '\0';
            (void)mkdir(parent, 0700);
            *slash = '/';
        }
        IFAB_TRY(make_dir(path, "", err));
        making->taken = making->made = true;
        return IFAB_OK;
    }
    bool used = false, unfinished = false;
    for (struct dirent *e; (e = readdir(dir)) != NULL; unfinished = unfinished || strcmp(e->d_name, UNFINISHED) == 0)
        used = used || (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0);
    closedir(dir);
    if (unfinished)
        return ifab_fail(err, IFAB_CONFLICT, "%s holds what an init or restore that did not end has left: remove it (rm -r) and run this again", path);
    if (used)
        return ifab_fail(err, IFAB_CONFLICT, "%s is used already: init makes a new fabric in a new or empty directory", path);
    if (chmod(path, 0700) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s: %s", path, strerror(errno));
    making->taken = true;
    return IFAB_OK;
}

static ifab_status put_file(const char *base, const char *name, struct ifab_view bytes, struct ifab_error *err)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", base, name);
    return node_write_file(path, bytes, 0600, err);
}

/* The text, read back as a start would: a bad name or address is said before anything is made. */
static ifab_status make_config(const char *directory, const char *http, const char *name, struct ifab_buf *ret_text, struct ifab_error *err)
{
    struct ifab_config *config = ifab_calloc(1, sizeof *config);
    if (config == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    ifab_buf_str(ret_text, "# InfraFabric daemon. Settings and their meaning: ifctl config schema. Paths are relative to this file.\nname: ");
    ifab_buf_format(ret_text, "\"%s\"\nhttp:\n  listen: \"%s\"\n", name, http);
    ifab_buf_str(ret_text, "roles:\n  analyst: agent   # own names for roles\ntime:\n  skew: 60s\nanchor:\n  every: 1h\n  directories: []   # checkpoints kept elsewhere, e.g. a mounted share\n");
    ifab_status status = ifab_buf_status(ret_text);
    if (status == IFAB_OK)
        status = ifab_config_parse(ifab_buf_as_view(ret_text), directory, config, err);
    ifab_free(config);
    return status;
}

/* Origin = configured name + "/" + 8 random hex, fixed for ever by the log's key. */
static ifab_status make_log_key(const char *directory, const char *name, struct ifab_error *err)
{
    struct ifab_signer *key = NULL;
    struct ifab_buf origin = IFAB_BUF_INIT(290), text = IFAB_BUF_INIT(4096);
    uint8_t random[4];
    ifab_random(random, sizeof random);
    ifab_buf_str(&origin, name);
    ifab_buf_char(&origin, '/');
    ifab_buf_hex(&origin, random, sizeof random);
    ifab_status status = ifab_buf_status(&origin) == IFAB_OK ? ifab_signer_new_random(&key, err) : ifab_fail(err, IFAB_INVALID, "name is too long");
    if (status == IFAB_OK)
        status = ifab_note_skey_write(ifab_buf_as_view(&origin), key, &text);
    ifab_buf_char(&text, '\n');
    if (status == IFAB_OK)
        status = put_file(directory, "keys/log.key", ifab_buf_as_view(&text), err);
    ifab_wipe(text.data, text.size);
    ifab_signer_free(key);
    ifab_buf_fini(&origin);
    ifab_buf_fini(&text);
    return status;
}

static ifab_status make_operator_key(const char *directory, struct ifab_view passphrase, uint8_t ret_public32[32], struct ifab_error *err)
{
    struct ifab_signer *key = NULL;
    struct ifab_buf pem = IFAB_BUF_INIT(8192);
    ifab_status status = ifab_signer_new_random(&key, err);
    if (status == IFAB_OK)
        status = ifab_key_pem_write(key, passphrase, &pem, err);
    if (status == IFAB_OK)
        status = put_file(directory, "keys/operator.pem", ifab_buf_as_view(&pem), err);
    if (status == IFAB_OK)
        ifab_signer_public(key, ret_public32);
    if (pem.data != NULL)
        ifab_wipe(pem.data, pem.size);
    ifab_signer_free(key);
    ifab_buf_fini(&pem);
    return status;
}

/* One command into an empty store, outside of any loop: init and restore. */
/* One step into the batch, before anything is served: no queue, no waiting. */
ifab_status node_step_into(struct node *node, struct batch *batch, struct ifab_command *command, struct ifab_error *err)
{
    struct ifab_now now = {.wall = clock_real(), .run = 0};
    if (ifab_fabric_prepare(node->fabric) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    ifab_outcome_begin(&node->outcome, &batch->arena);
    mint(now, command->mint16);
    command->why = context_redacted(&batch->arena, command->why);
    ifab_fabric_decide(node->fabric, command, now, &node->outcome);
    if (node->outcome.reply.code != IFAB_CODE_NONE)
        return ifab_fail(err, IFAB_INTERNAL, "entry %llu: %s", (unsigned long long)ifab_fabric_size(node->fabric), node->outcome.reply.refusal.message);
    if (!batch_add(batch, &node->outcome))
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    ifab_fabric_apply(node->fabric, &node->outcome);
    return IFAB_OK;
}

/* Durable, and the batch is empty again. */
ifab_status node_commit_batch(struct node *node, struct batch *batch, struct ifab_error *err)
{
    batch_seal(node, batch, (struct ifab_now){.wall = clock_real(), .run = 0});
    batch_commit(node, batch);
    ifab_status status = batch->status == IFAB_OK ? IFAB_OK : ifab_fail(err, batch->status, "%s", batch->err.text);
    batch_clear(batch);
    return status;
}

ifab_status node_first_commit(struct node *node, struct ifab_command *command, struct ifab_error *err)
{
    struct batch *batch = batch_new();
    ifab_status status = ifab_fabric_new(&node->settings, &node->fabric, err);
    if (batch == NULL || status != IFAB_OK) {
        batch_free(batch);
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    }
    ifab_outcome_init(&node->outcome, &batch->arena);
    status = node_step_into(node, batch, command, err);
    if (status == IFAB_OK)
        status = node_commit_batch(node, batch, err);
    ifab_outcome_fini(&node->outcome);
    batch_free(batch);
    return status;
}

static ifab_status first_entry(const struct ifab_init_options *options, const uint8_t operator32[32], struct ifab_error *err)
{
    struct node *node = ifab_calloc(1, sizeof *node);
    char path[1200];
    if (node == NULL)
        return ifab_fail(err, IFAB_NOMEM, "out of memory");
    snprintf(path, sizeof path, "%s/" UNFINISHED, options->directory);
    ifab_status status = ifab_config_load(path, &node->config, err);
    struct ifab_store_options store = {.directory = node->config.data_dir, .create = true, .wal_bytes = WAL_MADE};
    if (status == IFAB_OK)
        status = node_keys(node, node->config.keys_dir, err);
    if (status == IFAB_OK)
        status = node_settings(node, err);
    if (status == IFAB_OK)
        status = ifab_store_sqlite_open(&store, &node->store, err);
    if (status == IFAB_OK) {
        struct ifab_command command = {.type = IFAB_COMMAND_INIT, .why = options->why};
        memcpy(command.u.init.operator_key32, operator32, 32);
        command.u.init.version = options->version;
        status = node_first_commit(node, &command, err);
    }
    ifab_fabric_free(node->fabric);
    ifab_ruleset_free(node->ruleset);
    ifab_store_close(node->store);
    log_key_fini(node);
    ifab_free(node);
    return status;
}

/* Durable below, then the configuration gets its name, then that is durable. */
static ifab_status finish(const char *directory, struct ifab_error *err)
{
    static const char *const folders[] = {"/keys", "/data", "/data/tiles", "/run", ""};
    char from[1200], to[1200], parent[1200];
    for (size_t i = 0; i < IFAB_COUNT(folders); i++) {
        snprintf(to, sizeof to, "%s%s", directory, folders[i]);
        IFAB_TRY(node_sync_dir(to, err));
    }
    snprintf(from, sizeof from, "%s/" UNFINISHED, directory);
    snprintf(to, sizeof to, "%s/ifd.yaml", directory);
    if (rename(from, to) != 0)
        return ifab_fail(err, IFAB_IO, "%s: %s", to, strerror(errno));
    snprintf(parent, sizeof parent, "%s/..", directory);
    IFAB_TRY(node_sync_dir(directory, err));
    (void)node_sync_dir(parent, NULL); /* one that may be entered but not read cannot be synced by us */
    return IFAB_OK;
}

ifab_status node_made(struct making *making, ifab_status status, struct ifab_error *err)
{
    if (status == IFAB_OK)
        status = finish(making->directory, err);
    if (status != IFAB_OK && making->taken)
        node_discard(making->directory, making->made);
    return status;
}

ifab_status node_prepare_directory(struct making *making, const char *http, const char *name, struct ifab_error *err)
{
    const char *directory = making->directory;
    static const char *const folders[] = {"keys", "data", "data/tiles", "run"};
    struct ifab_buf config = IFAB_BUF_INIT(8192);
    ifab_status status = make_config(directory, http != NULL ? http : "127.0.0.1:8474", name, &config, err);
    if (status == IFAB_OK)
        status = take_directory(making, err);
    if (status == IFAB_OK) /* first, so that what a crash leaves is known for what it is */
        status = put_file(directory, UNFINISHED, ifab_buf_as_view(&config), err);
    for (size_t i = 0; i < IFAB_COUNT(folders) && status == IFAB_OK; i++)
        status = make_dir(directory, folders[i], err);
    ifab_buf_fini(&config);
    IFAB_TRY(status);
    IFAB_TRY(put_file(directory, "rules.yaml", ifab_view_str(rules_text), err));
    return make_log_key(directory, name, err);
}

ifab_status ifab_node_init(const struct ifab_init_options *options, struct ifab_error *err)
{
    uint8_t operator32[32];
    struct making making = {.directory = options->directory};
    IFAB_TRY(ifab_crypto_init(err));
    ifab_status status = node_prepare_directory(&making, options->http, options->name != NULL ? options->name : "infrafabric.local/main", err);
    if (status == IFAB_OK)
        status = make_operator_key(options->directory, options->passphrase, operator32, err);
    if (status == IFAB_OK)
        status = first_entry(options, operator32, err);
    return node_made(&making, status, err);
}

/* Mode and owner of DIR and keys are checked at every start. */
ifab_status node_check_modes(const struct ifab_config *config, struct ifab_error *err)
{
    const char *paths[] = {config->directory, config->keys_dir, config->data_dir, config->run_dir};
    static const char *const mends[] = {"make a fabric with ifctl init", "put it back from where you keep it",
                                        "if it was moved, put it back, else restore a backup: ifctl restore", "make it: mkdir -m 700"};
    for (size_t i = 0; i < IFAB_COUNT(paths); i++) {
        struct stat st;
        if (stat(paths[i], &st) != 0)
            return ifab_fail(err, IFAB_NOT_FOUND, "%s: %s; %s", paths[i], strerror(errno), mends[i]);
        if (!S_ISDIR(st.st_mode))
            return ifab_fail(err, IFAB_INVALID, "%s is not a directory", paths[i]);
        if (st.st_uid != geteuid())
            return ifab_fail(err, IFAB_DENIED, "%s belongs to uid %u, ifd runs as uid %u", paths[i], st.st_uid, geteuid());
        if (paths[i] != config->run_dir && (st.st_mode & 077) != 0)
            return ifab_fail(err, IFAB_DENIED, "%s is open to others (mode %03o): chmod 700 it", paths[i], (unsigned)st.st_mode & 0777U);
    }
    return IFAB_OK;
}
