/*
 * Going on from a log whose store cannot be served any more (a torn tail, damaged pages). What is kept: the entries from 0 on that can be
 * read, hang together, and are proven by something that the log's key signed. The rest is given up, and entry 0 of the new log says how
 * much. Nothing is written in the old directory, and no tree is signed that was not there.
 */
#include "salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK "/salvage.work"
#define SKEW_MOST (300 * IFAB_SECOND) /* time.skew's largest value: where nothing says which it was */

static ifab_status copy_file(const char *from, const char *to, bool needed, struct ifab_error *err)
{
    static uint8_t chunk[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return errno == ENOENT && !needed ? IFAB_OK : ifab_fail(err, errno == ENOENT ? IFAB_NOT_FOUND : IFAB_DENIED, "%s: %s", from, strerror(errno));
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = out >= 0;
    ssize_t n = 0;
    while (good && (n = read(in, chunk, sizeof chunk)) > 0)
        good = write(out, chunk, (size_t)n) == n;
    int cause = errno;
    close(in);
    if (out >= 0)
        close(out);
    return good && n == 0 ? IFAB_OK : ifab_fail(err, cause == ENOSPC ? IFAB_FULL : IFAB_IO, "%s to %s: %s", from, to, strerror(cause));
}

/*
 * Of a file shorter than its head says SQLite reads nothing at all: the copy gets the missing pages, empty, and only what stood on them is
 * lost. Bytes 16 and 28 of the file: page size and number of pages, big-endian.
 */
static ifab_status fill_up(const char *path, struct ifab_error *err)
{
    uint8_t head[32];
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
    bool good = fstat(fd, &st) == 0;
    if (good && pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head) {
        uint64_t page = (uint64_t)head[16] << 8 | head[17];
        uint64_t count = (uint64_t)head[28] << 24 | (uint64_t)head[29] << 16 | (uint64_t)head[30] << 8 | head[31];
        if (page == 8192 && page * count > (uint64_t)st.st_size) /* sparse: costs nothing */
            good = ftruncate(fd, (off_t)(page * count)) == 0;
    }
    close(fd);
    return good ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
}

/* SQLite moves what is whole of the WAL into the database: into a copy. */
static ifab_status open_copy(struct salvage *s, struct ifab_error *err)
{
    char work[1200], from[1300], to[1300];
    static const char *const names[] = {"main.db", "main.db-wal"};
    snprintf(work, sizeof work, "%s" WORK, s->options->directory);
    if (mkdir(work, 0700) != 0)
        return ifab_fail(err, IFAB_IO, "%s: %s", work, strerror(errno));
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        snprintf(from, sizeof from, "%s/%s", s->old->config.data_dir, names[i]);
        snprintf(to, sizeof to, "%s/%s", work, names[i]);
        IFAB_TRY(copy_file(from, to, false, err)); /* without any, the tiles may still have full bundles */
    }
    snprintf(to, sizeof to, "%s/main.db", work);
    IFAB_TRY(fill_up(to, err));
    return ifab_salvage_open(work, &s->source, err);
}

static ifab_status open_old(struct salvage *s, struct ifab_error *err)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/ifd.yaml", s->options->lost);
    IFAB_TRY(ifab_config_load(path, &s->old->config, err));
    IFAB_TRY(node_lock(s->old, err)); /* nobody serves it */
    IFAB_TRY(node_keys(s->old, s->options->keys != NULL ? s->options->keys : s->old->config.keys_dir, err));
    ifab_fabric_settings_default(&s->old->settings);
    memcpy(s->old->settings.origin, s->old->origin, sizeof s->old->settings.origin);
    return IFAB_OK;
}

/* How many are gone on from. */
static ifab_status choose(struct salvage *s, uint64_t *ret_size, struct ifab_error *err)
{
    const struct ifab_salvage_report *r = &s->report;
    *ret_size = s->options->unproven ? r->readable : r->proven;
    if (r->readable == 0)
        return ifab_fail(err, IFAB_CORRUPT, "no entry can be read, neither in %s/main.db nor in its tiles: restore a backup (ifctl restore)", s->old->config.data_dir);
    if (*ret_size == 0)
        return ifab_fail(err, IFAB_CORRUPT,
                         "%" PRIu64 " entries can be read, but none is proven: no head, anchor or --checkpoint that the log's key signed covers a beginning of "
                         "them, so anybody may have written them. Give such a checkpoint, or take them on your own judgement with --unproven",
                         r->readable);
    return IFAB_OK;
}

/* Talents and keys as the entries left them: what a start would have loaded. */
static ifab_status load_state(struct salvage *s, uint64_t size, struct ifab_error *err)
{
    struct node *old = s->old;
    uint8_t public32[32];
    size_t count;
    IFAB_TRY(ifab_fabric_new(&old->settings, &old->fabric, err));
    for (size_t i = 1; i < IFAB_COUNT(s->records); i++)
        if (s->records[i].size > 0)
            IFAB_TRY(ifab_fabric_load_record(old->fabric, IFAB_KIND_TALENT, i, s->records[i], err));
    for (size_t i = 0; i < s->change_count; i++)
        IFAB_TRY(ifab_fabric_load_record(old->fabric, IFAB_KIND_LOG_KEY, i + 1, ifab_buf_as_view(&s->changes[i]), err));
    const struct ifab_log_key_change *changes = ifab_fabric_log_keys(old->fabric, &count);
    ifab_signer_public(old->log_key, public32);
    if (count > 0 && memcmp(changes[count - 1].to32, public32, 32) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s/log.key is not the key that the kept entries name last: give the keys of then with --keys", old->key_dir);
    if (!s->has_fence)
        return ifab_fail(err, IFAB_CORRUPT, "where its fences stood can be read nowhere: restore a backup (ifctl restore)");
    old->committed_size = size;
    ifab_tree_root(&s->tree, old->committed_root32);
    return IFAB_OK;
}

/* The export's head, by the log's own key: a beginning of what it signed before, so nothing forks. */
static ifab_status sign(struct salvage *s, struct ifab_buf *note, struct ifab_error *err)
{
    struct ifab_buf vkey = IFAB_BUF_INIT(600);
    char path[1300];
    ifab_status status = node_checkpoint(s->old, s->old->committed_size, s->old->committed_root32, note, &vkey, err);
    ifab_buf_char(&vkey, '\n');
    snprintf(path, sizeof path, "%s/keys", s->export);
    if (status == IFAB_OK && mkdir(path, 0700) != 0)
        status = ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/keys/vkey", s->export);
    if (status == IFAB_OK)
        status = node_write_file(path, ifab_buf_as_view(&vkey), 0600, err);
    snprintf(path, sizeof path, "%s/checkpoint", s->export);
    if (status == IFAB_OK)
        status = node_write_file(path, ifab_buf_as_view(note), 0600, err);
    ifab_buf_fini(&vkey);
    return status == IFAB_OK ? node_sync_dir(s->export, err) : status;
}

/* The set that the kept entries name last, or none is gone on by: without it the new fabric would share what the lost one refused. */
static ifab_status take_rules(struct salvage *s, struct ifab_error *err)
{
    char from[1200], to[1200];
    uint8_t digest32[32];
    struct ifab_ruleset *set = NULL;
    ifab_status status = ifab_rules_parse(IFAB_VIEW("{\"rules\":[],\"v\":1}"), "none", &set, digest32, NULL);
    ifab_ruleset_free(set);
    set = NULL;
    if (!s->has_rules || (status == IFAB_OK && memcmp(digest32, s->rules32, 32) == 0))
        return IFAB_OK;
    snprintf(from, sizeof from, "%s", s->old->config.rules_file);
    snprintf(to, sizeof to, "%s/rules.yaml", s->options->directory);
    status = s->rules.size > 0 ? ifab_rules_parse(s->rules, "entry", &set, digest32, NULL) : ifab_rules_read(from, &set, digest32, NULL);
    if (status != IFAB_OK || memcmp(digest32, s->rules32, 32) != 0) {
        ifab_ruleset_free(set);
        return ifab_fail(err, IFAB_INVALID, "%s is not the rule set that the kept entries name last, and its bytes in the log are gone: put it there", from);
    }
    struct ifab_buf text = IFAB_BUF_INIT((size_t)8 << 20);
    ifab_buf_view(&text, ifab_ruleset_canonical(set));
    ifab_buf_char(&text, '\n');
    ifab_ruleset_free(set);
    status = unlink(to) == 0 ? node_write_file(to, ifab_buf_as_view(&text), 0600, err) : ifab_fail(err, IFAB_IO, "%s: %s", to, strerror(errno));
    ifab_buf_fini(&text);
    return status;
}

static ifab_usec wrote_until(const struct salvage *s) { return s->has_head && s->meta.wall > s->time ? s->meta.wall : s->time; }

static ifab_status go_on(struct salvage *s, struct node *new, struct ifab_view note, struct ifab_error *err)
{
    const struct ifab_salvage_report *r = &s->report;
    struct ifab_buf words = IFAB_BUF_INIT(1024);
    struct ifab_command command = {.type = IFAB_COMMAND_RESTORE, .why = s->options->why};
    ifab_buf_format(&words, "{\"committed\":");
    if (r->committed_known)
        ifab_buf_format(&words, "%" PRIu64, r->committed);
    else
        ifab_buf_str(&words, "null");
    ifab_buf_format(&words, ",\"kept\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"proven\":%" PRIu64 ",\"readable\":%" PRIu64 "}", r->kept, r->messages, r->proven, r->readable);
    command.u.restore.salvage = ifab_buf_as_view(&words);
    command.u.restore.old_checkpoint = note;
    command.u.restore.old_origin = ifab_view_str(s->old->origin);
    command.u.restore.old_size = r->kept;
    command.u.restore.old_skew = s->has_head ? s->meta.skew_most : SKEW_MOST;
    command.u.restore.old_issued_after = s->has_head ? s->meta.issued_after : 0;
    command.u.restore.old_wall = wrote_until(s);
    command.u.restore.version = s->options->version;
    command.u.restore.talents = ifab_fabric_talents(s->old->fabric);
    command.u.restore.money = s->money;
    command.u.restore.breakers = s->breakers;
    command.u.restore.prices = s->prices;
    ifab_status status = ifab_buf_status(&words) == IFAB_OK ? node_first_commit(new, &command, err) : IFAB_NOMEM;
    ifab_buf_fini(&words);
    return status;
}

static ifab_status make(struct salvage *s, struct node *new, struct making *making, struct ifab_error *err)
{
    char name[300];
    uint64_t size;
    struct ifab_buf note = IFAB_BUF_INIT(4096);
    const struct ifab_restore_options like = {.backup = s->options->lost, .directory = s->options->directory, .keys = s->old->key_dir, .why = s->options->why};
    snprintf(name, sizeof name, "%s", s->old->origin);
    char *slash = strrchr(name, '/');
    if (slash != NULL)
        *slash = '\0';
    IFAB_TRY(node_prepare_directory(making, NULL, name, err));
    IFAB_TRY(open_copy(s, err));
    IFAB_TRY(salvage_survey(s, err));
    IFAB_TRY(choose(s, &size, err));
    snprintf(s->export, sizeof s->export, "%s/salvaged", s->options->directory);
    if (mkdir(s->export, 0700) != 0)
        return ifab_fail(err, IFAB_IO, "%s: %s", s->export, strerror(errno));
    IFAB_TRY(salvage_keep(s, size, err));
    s->report.kept = size;
    IFAB_TRY(load_state(s, size, err));
    ifab_status status = sign(s, &note, err);
    if (status == IFAB_OK)
        status = restore_copy_operator_key(&like, err);
    if (status == IFAB_OK)
        status = take_rules(s, err);
    if (status == IFAB_OK)
        status = restore_take_settings(&like, err);
    const struct restore_old was = {.fence_offset = s->fence_offset, .size = s->report.readable, .wall = wrote_until(s)};
    if (status == IFAB_OK)
        status = restore_open_new(&like, &was, new, err);
    if (status == IFAB_OK)
        status = go_on(s, new, ifab_buf_as_view(&note), err);
    if (status == IFAB_OK)
        status = restore_take_registry(s->registry, new, err);
    ifab_buf_fini(&note);
    return status;
}

static void salvage_fini(struct salvage *s)
{
    char work[1200];
    snprintf(work, sizeof work, "%s" WORK, s->options->directory);
    ifab_salvage_close(s->source);
    node_discard(work, true); /* a copy that was worked on: nobody may take it for the store */
    for (size_t i = 0; i < s->change_count; i++)
        ifab_buf_fini(&s->changes[i]);
    for (size_t i = 0; i < IFAB_COUNT(s->hashes); i++)
        ifab_free(s->hashes[i]);
    ifab_money_free(s->money);
    ifab_breakers_free(s->breakers);
    ifab_prices_free(s->prices);
    ifab_registry_free(s->registry);
    ifab_u64map_fini(&s->messages);
    ifab_u64map_fini(&s->erased);
    ifab_arena_fini(&s->arena);
    ifab_arena_fini(&s->kept);
    ifab_buf_fini(&s->canonical);
    ifab_buf_fini(&s->bundle);
    ifab_buf_fini(&s->out);
}

ifab_status ifab_node_salvage(const struct ifab_salvage_options *options, struct ifab_salvage_report *ret_report, struct ifab_error *err)
{
    struct node *old = ifab_calloc(1, sizeof *old), *new = ifab_calloc(1, sizeof *new);
    struct salvage *s = ifab_calloc(1, sizeof *s);
    struct making making = {.directory = options->directory};
    ifab_status status = old == NULL || new == NULL || s == NULL ? ifab_fail(err, IFAB_NOMEM, "out of memory") : ifab_crypto_init(err);
    if (s != NULL && old != NULL && new != NULL) {
        old->lock_fd = new->lock_fd = -1;
        s->options = options;
        s->old = old;
        ifab_arena_init(&s->arena, (size_t)64 << 20);
        ifab_arena_init(&s->kept, (size_t)1 << 30);
        ifab_buf_init(&s->canonical, (size_t)1 << 20);
        ifab_buf_init(&s->bundle, (size_t)256 * (IFAB_ENTRY_MAX + 2) + 1);
        ifab_buf_init(&s->out, (size_t)256 * (IFAB_ENTRY_MAX + 2) + 1);
        if (status == IFAB_OK)
            status = open_old(s, err);
        if (status == IFAB_OK)
            status = make(s, new, &making, err);
        salvage_fini(s);
        *ret_report = s->report;
        snprintf(ret_report->origin, sizeof ret_report->origin, "%s", old->origin);
        if (old->lock_fd >= 0)
            close(old->lock_fd);
    }
    ifab_free(s);
    restore_close(old);
    restore_close(new);
    return node_made(&making, status, err);
}
