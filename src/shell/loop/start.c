/*
 * A start: lock, keys, store, head under its HMAC, cores from records and tags, trust root, anchors. Nothing is served before all of it agrees
 * (INV-05, INV-16). Costs by what is live, never by the length of the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/id.h"
#include "node.h"

ifab_status node_lock(struct node *self, struct ifab_error *err)
{
    char path[1100], holder[32] = "";
    struct ifab_buf text = IFAB_BUF_INIT(64);
    snprintf(path, sizeof path, "%s/lock", self->config.data_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ifab_fail(err, errno == ENOENT ? IFAB_NOT_FOUND : IFAB_DENIED, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
        close(fd);
        holder[n > 0 ? n : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        return ifab_fail(err, IFAB_AGAIN, "%s is held by another ifd, pid %s", path, holder[0] != '\0' ? holder : "unknown");
    }
    ifab_buf_i64(&text, getpid());
    ifab_buf_char(&text, '\n');
    bool good = ftruncate(fd, 0) == 0 && pwrite(fd, text.data, text.size, 0) == (ssize_t)text.size;
    ifab_buf_fini(&text);
    if (!good) {
        close(fd);
        return ifab_fail(err, IFAB_IO, "%s cannot be written: %s", path, strerror(errno));
    }
    self->lock_fd = fd;
    return IFAB_OK;
}

void node_guard_settings(const struct ifab_config *config, struct ifab_guard_rules *rules)
{
    rules->hold_deadline = config->hold_deadline_usec;
    rules->escalate_deadline = config->escalate_deadline_usec;
    rules->hold_burst = (uint32_t)config->hold_burst;
    rules->escalate_burst = (uint32_t)config->escalate_burst;
    rules->hold_refill = config->hold_refill_usec;
    rules->escalate_refill = config->escalate_refill_usec;
}

void node_log_level(const struct ifab_config *config)
{
    struct ifab_view level = ifab_view_str(config->log_level);
    ifab_log_open(2, ifab_view_is(level, "debug")  ? IFAB_LOG_DEBUG
                     : ifab_view_is(level, "warn") ? IFAB_LOG_WARN
                     : ifab_view_is(level, "error") ? IFAB_LOG_ERROR
                                                    : IFAB_LOG_INFO);
}

ifab_status node_settings(struct node *self, struct ifab_error *err)
{
    struct ifab_fabric_settings *s = &self->settings;
    const struct ifab_config *c = &self->config;
    ifab_fabric_settings_default(s);
    memcpy(s->origin, self->origin, sizeof s->origin);
    snprintf(s->log, sizeof s->log, "%s", c->log_name);
    snprintf(s->fabric_actor, sizeof s->fabric_actor, "if://fabric/%s", self->origin);
    s->skew = c->time_skew_usec;
    node_guard_settings(c, &s->rules);
    s->replay.per_talent = (uint32_t)c->replay_per_talent;
    s->replay.total = (uint32_t)c->replay_total;
    s->rate_per_second = (uint32_t)c->rate_messages;
    s->rate_burst = (uint32_t)c->rate_burst;
    s->cost_rate = (uint32_t)c->rate_costs;
    s->cost_burst = (uint32_t)c->rate_costs_burst;
    s->sensitive_scopes = c->sensitive_scopes;
    s->sensitive_count = c->sensitive_count;
    memcpy(s->tag_key16, self->tag_key16, 16);
    ifab_random(&s->seed, sizeof s->seed);
    struct ifab_error why = {0};
    if (ifab_rules_read(c->rules_file, &self->ruleset, s->rules.digest32, &why) == IFAB_OK) {
        s->rules.set = self->ruleset;
        s->rules.loaded = true;
    } else { /* no rules: every message is denied and the daemon is not ready */
        IFAB_LOG(IFAB_LOG_ERROR, "rules: not loaded, every message is denied", IFAB_F_TEXT("error", why.text));
    }
    (void)err;
    return IFAB_OK;
}

struct load {
    struct node *node;
    struct ifab_meta meta;
    struct ifab_head head; /* as stored; believed once META has come */
    bool has_meta;
    ifab_usec wall;
};

/* It comes first. Before anything is made of it, it must be what this fabric wrote: it sets clocks and sizes of loops. */
static ifab_status take_meta(struct load *load, const struct ifab_record *record, struct ifab_error *err)
{
    uint8_t mac[32];
    node_mac(load->node->mac_key32, &load->head, record->bytes, mac);
    if (!ifab_equal_ct(mac, load->head.mac32, 32) && !log_key_is_next(load->node, &load->head, record->bytes))
        return ifab_fail(err, IFAB_CORRUPT,
                         "the stored head or META record is not the one this fabric wrote (its HMAC differs): the database was edited, or keys/log.key is "
                         "another's (of a backup from before a change of the key: it goes with log.key.before-N)");
    load->has_meta = ifab_meta_unpack(record->bytes, &load->meta);
    return load->has_meta ? IFAB_OK : ifab_fail(err, IFAB_CORRUPT, "record META does not parse");
}

static ifab_status load_record(void *user, const struct ifab_record *record, struct ifab_error *err)
{
    struct load *load = user;
    if (record->kind == KIND_ERASING) {
        if (load->node->erasing_count < IFAB_COUNT(load->node->erasing))
            load->node->erasing[load->node->erasing_count++] = record->number;
        return IFAB_OK;
    }
    if (record->kind == KIND_ANCHORED) {
        struct ifab_reader r = {record->bytes.data, record->bytes.data + record->bytes.size, false};
        load->node->anchored_size = ifab_get_u64(&r);
        return r.bad ? ifab_fail(err, IFAB_CORRUPT, "record ANCHORED does not parse") : IFAB_OK;
    }
    if (record->kind == KIND_TAG_KEY)
        return log_key_load_tag_key(load->node, record->bytes, err);
    if (record->kind == IFAB_KIND_META)
        IFAB_TRY(take_meta(load, record, err));
    return ifab_fabric_load_record(load->node->fabric, record->kind, record->number, record->bytes, err);
}

static ifab_status load_tags(void *user, struct ifab_view tags, struct ifab_error *err)
{
    struct load *load = user;
    return ifab_fabric_load_tags(load->node->fabric, tags, load->wall, err);
}

static ifab_status load_head(struct node *self, const struct load *load, struct ifab_error *err)
{
    const struct ifab_head head = load->head;
    struct ifab_fabric_head mine;
    if (!load->has_meta) /* else its HMAC was compared */
        return ifab_fail(err, IFAB_CORRUPT, "the record META is missing: the database was edited");
    if (head.edge.size > sizeof mine.edge)
        return ifab_fail(err, IFAB_CORRUPT, "the stored edge of the tree is too long");
    mine.size = head.size;
    mine.time = head.time;
    memcpy(mine.root32, head.root32, 32);
    memcpy(mine.last_hash32, head.last_hash32, 32);
    memcpy(mine.trust_root32, head.trust_root32, 32);
    memcpy(mine.edge, head.edge.data, head.edge.size);
    mine.edge_size = head.edge.size;
    IFAB_TRY(ifab_fabric_load_head(self->fabric, &mine, err));
    self->committed_size = head.size;
    memcpy(self->committed_root32, head.root32, 32);
    return IFAB_OK;
}

/* The newest entry must be there and be the one whose hash the head holds: a database put together from two is found here. */
static ifab_status check_newest(struct node *self, struct ifab_arena *arena, struct ifab_error *err)
{
    struct ifab_stored_entry entry;
    struct ifab_fabric_head head;
    uint8_t hash[32];
    size_t count = 0;
    ifab_fabric_head(self->fabric, &head);
    if (head.size == 0)
        return ifab_fail(err, IFAB_CORRUPT, "the stored log has no entry");
    IFAB_TRY(ifab_store_read(self->store, head.size - 1, 1, false, arena, &entry, &count, err));
    if (count == 1)
        ifab_sha256(entry.entry, hash);
    if (count != 1 || memcmp(hash, head.last_hash32, 32) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "the newest stored entry is not the one the head covers");
    return IFAB_OK;
}

/* An intent without an outcome: whoever was doing it is gone, and only a person can say what became of it (INV-04). */
static void say_dangling(const struct node *self)
{
    const struct ifab_plans *plans = ifab_fabric_plans(self->fabric);
    for (const struct ifab_plan *p = ifab_plan_next(plans, 0); p != NULL; p = ifab_plan_next(plans, p->number)) {
        char close[160] = "ifctl capability close plan-";
        size_t at = strlen(close);
        if (p->state != IFAB_PLAN_APPLYING && p->state != IFAB_PLAN_DANGLING) /* the fabric's first tick makes the one the other, with its entry */
            continue;
        ifab_uuid_format(p->id16, close + at);
        snprintf(close + at + 36, sizeof close - at - 36, " --outcome done|not-done --why ...");
        IFAB_LOG(IFAB_LOG_WARN, "dangling: a call was cut off, and may or may not have been done", IFAB_F_VIEW("capability", p->capability),
                 IFAB_F_VIEW("operation", p->operation), IFAB_F_NUM("intent", p->intent), IFAB_F_TEXT("close", close));
    }
}

ifab_status node_load(struct node *self, struct ifab_error *err)
{
    struct load load = {.node = self};
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)1 << 20);
    ifab_fabric_free(self->fabric);
    self->fabric = NULL;
    self->erasing_count = 0; /* told again by their records */
    self->has_tag_key = false;
    ifab_status status = ifab_store_head(self->store, &arena, &load.head, err);
    if (status == IFAB_NOT_FOUND)
        status = ifab_fail(err, IFAB_NOT_FOUND, "%s holds no fabric yet: run ifctl init", self->config.data_dir);
    if (status == IFAB_OK)
        status = ifab_fabric_new(&self->settings, &self->fabric, err);
    if (status == IFAB_OK)
        status = ifab_store_records(self->store, load_record, &load, err);
    if (status == IFAB_OK && !self->serving)
        clock_start(&self->clock, clock_real(), clock_boot(), load.has_meta ? load.meta.wall : clock_real(), load.has_meta ? load.meta.run : 0,
                    load.meta.clock_doubt);
    self->stored_wall = load.meta.wall;
    load.wall = clock_now(&self->clock, NULL).wall; /* the course that is believed: what it drops is dropped for good (W) */
    if (status == IFAB_OK)
        status = log_key_loaded(self, err);
    if (status == IFAB_OK) /* every row: those too old to be remembered raise W */
        status = ifab_store_tags(self->store, INT64_MIN, load_tags, &load, err);
    if (status == IFAB_OK)
        status = load_head(self, &load, err);
    if (status == IFAB_OK)
        status = check_newest(self, &arena, err);
    if (status == IFAB_OK)
        ifab_fabric_resume(self->fabric, clock_now(&self->clock, NULL), !self->serving);
    if (status == IFAB_OK && !self->serving)
        say_dangling(self);
    ifab_arena_fini(&arena);
    return status;
}

ifab_status node_finish_erasing(struct node *self, struct ifab_error *err)
{
    for (size_t i = 0; i < self->erasing_count; i++) {
        struct ifab_error why = {0};
        ifab_status status = ifab_store_erase(self->store, self->erasing[i], &why);
        if (status == IFAB_AGAIN || status == IFAB_FULL) /* a reader, or no room: tried again while it runs */
            IFAB_LOG(IFAB_LOG_WARN, "erase: not done yet", IFAB_F_NUM("entry", self->erasing[i]), IFAB_F_TEXT("error", why.text));
        else if (status != IFAB_OK && status != IFAB_NOT_FOUND)
            return ifab_fail(err, status, "%s", why.text);
    }
    return IFAB_OK;
}

/* A store behind or beside its newest anchor is not served: 505. */
static ifab_status check_anchor(struct node *self, const struct ifab_anchor_item *item, struct ifab_error *err)
{
    struct ifab_checkpoint checkpoint;
    struct ifab_view text;
    uint8_t public32[32], root[32];
    log_key_of(self, item->size, public32);
    if (ifab_note_verify(item->note, ifab_view_str(self->origin), public32, &text, NULL) != IFAB_OK ||
        ifab_checkpoint_read(text, &checkpoint, NULL) != IFAB_OK || !ifab_view_is(checkpoint.origin, self->origin) || checkpoint.size != item->size)
        return ifab_fail(err, IFAB_CORRUPT, "an anchor of this log (size %llu) does not verify", (unsigned long long)item->size);
    if (checkpoint.size > self->committed_size) {
        err->status = IFAB_OK;
        err->text[0] = '\0';
        return ifab_fail(err, IFAB_CORRUPT, "the store has %llu entries, its newest anchor %llu: this is an old copy; restore instead (ifctl restore)",
                         (unsigned long long)self->committed_size, (unsigned long long)checkpoint.size);
    }
    IFAB_TRY(follower_wait(self, checkpoint.size));
    IFAB_TRY(follower_root(self, checkpoint.size, root, err));
    if (memcmp(root, checkpoint.root32, 32) != 0) { /* the tiles are a cache: the entries decide */
        follower_distrust(self);
        IFAB_TRY(follower_root(self, checkpoint.size, root, err));
    }
    if (memcmp(root, checkpoint.root32, 32) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "the first %llu entries are not those of the anchor: another history", (unsigned long long)checkpoint.size);
    return IFAB_OK;
}

ifab_status node_check_anchors(struct node *self, struct ifab_error *err)
{
    ifab_status status = IFAB_OK;
    for (size_t i = 0; i < self->anchor_count && status == IFAB_OK; i++) {
        struct ifab_arena arena;
        struct ifab_anchor_item newest;
        size_t count = 0;
        ifab_arena_init(&arena, (size_t)1 << 20);
        status = ifab_anchor_list(self->anchors[i], ifab_view_str(self->origin), 1, &arena, &newest, &count, err);
        if (status == IFAB_OK && count == 1 && newest.size < self->anchored_size)
            status = ifab_fail(err, IFAB_CORRUPT, "%s: its newest anchor of this log has %llu entries, but one of %llu was made: it is gone, or was altered",
                               self->config.anchor_dirs[i], (unsigned long long)newest.size, (unsigned long long)self->anchored_size);
        else if (status == IFAB_OK && count == 1)
            status = check_anchor(self, &newest, err);
        else if (status == IFAB_OK && self->anchored_size > 0)
            status = ifab_fail(err, IFAB_CORRUPT, "%s holds no anchor of this log, which was anchored at %llu entries: is it mounted?",
                               self->config.anchor_dirs[i], (unsigned long long)self->anchored_size);
        ifab_arena_fini(&arena);
    }
    return status;
}
