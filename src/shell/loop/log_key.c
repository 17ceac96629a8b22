/*
 * The log's key: where it lies, what is derived from it, and how another takes its place.
 *
 *   keys/log.key               the key in use
 *   keys/log.key.next          made by POST /v1/log-keys, waits for an admin's act
 *   keys/log.key.before-<n>    what log.key was for trees of up to n entries; a backup from then is restored with it
 *
 * 1. The commit that holds the handover is the first whose head stands under the new key. So the store tells which of the two files is the
 *    key, whenever a crash comes; the files are renamed after it.
 * 2. A tree is signed by the key that answers for its size, and by no other: the old key is kept until tiles and index have come past the
 *    handover, then wiped.
 * 3. Replay tags are under the first key's derived key for good (they cannot be made anew): it is kept, masked and under a MAC of the key
 *    in use, as the record TAG_KEY.
 * key_lock guards log_key, next_key and their sizes: the loop writes them, readers sign.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json/schema.h"
#include "node.h"

#define NOT_YET UINT64_MAX

static ifab_status read_key(const char *path, struct ifab_buf *text, struct ifab_view *ret_name, struct ifab_signer **ret_key, struct ifab_error *err)
{
    struct stat st;
    IFAB_TRY(node_read_file(path, 4000, text, err));
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s can be read by others: chmod 600 it", path);
    while (text->size > 0 && text->data[text->size - 1] == '\n')
        text->size--;
    return ifab_note_skey_read(ifab_buf_as_view(text), ret_name, ret_key, err);
}

static void forget(struct ifab_buf *text)
{
    if (text->data != NULL)
        ifab_wipe(text->data, text->capacity);
    ifab_buf_fini(text);
}

/* What commits are sealed and told by. */
static void derive(struct node *self, const struct ifab_signer *key)
{
    struct ifab_buf vkey = IFAB_BUF_INIT(sizeof self->vkey - 1);
    uint8_t public32[32];
    ifab_signer_public(key, public32);
    (void)ifab_note_vkey_write(ifab_view_str(self->origin), public32, &vkey);
    memset(self->vkey, 0, sizeof self->vkey);
    if (vkey.size > 0)
        memcpy(self->vkey, vkey.data, vkey.size);
    ifab_buf_fini(&vkey);
    ifab_signer_derive(key, "head", self->mac_key32);
    ifab_signer_derive(key, "kept tag key", self->mask32);
    ifab_signer_derive(key, "kept tag key check", self->check32);
}

/* One that waits. A file that is none is left alone: it stands in nobody's way until a key is asked for. */
static void load_next(struct node *self)
{
    char path[1200];
    struct ifab_view name;
    struct ifab_error why = {0};
    struct ifab_signer *key = NULL;
    struct ifab_buf text = IFAB_BUF_INIT(4096);
    snprintf(path, sizeof path, "%s/log.key.next", self->key_dir);
    ifab_status status = read_key(path, &text, &name, &key, &why);
    if (status == IFAB_OK && ifab_view_is(name, self->origin)) {
        self->next_key = key;
        key = NULL;
    } else if (status != IFAB_NOT_FOUND) {
        IFAB_LOG(IFAB_LOG_WARN, "log key: the file of the next one is not used", IFAB_F_TEXT("path", path), IFAB_F_TEXT("error", why.text));
    }
    ifab_signer_free(key);
    forget(&text);
}

ifab_status node_keys(struct node *self, const char *keys_dir, struct ifab_error *err)
{
    char path[1200];
    uint8_t derived[32];
    struct ifab_view name;
    struct ifab_buf text = IFAB_BUF_INIT(4096);
    if (uv_mutex_init(&self->key_lock) != 0)
        return ifab_fail(err, IFAB_INTERNAL, "lock");
    self->key_lock_made = true;
    self->next_key_from = NOT_YET;
    snprintf(self->key_dir, sizeof self->key_dir, "%s", keys_dir);
    snprintf(path, sizeof path, "%s/log.key", keys_dir);
    ifab_status status = read_key(path, &text, &name, &self->log_key, err);
    if (status == IFAB_OK && name.size >= sizeof self->origin)
        status = ifab_fail(err, IFAB_INVALID, "%s: origin too long", path);
    if (status == IFAB_OK) {
        memcpy(self->origin, name.data, name.size);
        self->origin[name.size] = '\0';
        derive(self, self->log_key);
        ifab_signer_derive(self->log_key, "replay tags", derived);
        memcpy(self->tag_key16, derived, 16);
        ifab_wipe(derived, sizeof derived);
        load_next(self);
    }
    forget(&text);
    return status;
}

void log_key_fini(struct node *self)
{
    ifab_signer_free(self->log_key);
    ifab_signer_free(self->next_key);
    self->log_key = self->next_key = NULL;
    ifab_wipe(self->mac_key32, sizeof self->mac_key32);
    ifab_wipe(self->mask32, sizeof self->mask32);
    ifab_wipe(self->check32, sizeof self->check32);
    if (self->key_lock_made)
        uv_mutex_destroy(&self->key_lock);
    self->key_lock_made = false;
}

/* ---- at a start ---- */

/* The head is not under log.key: a crash came between the handover's commit and the renaming, and log.key.next is the key. */
bool log_key_is_next(struct node *self, const struct ifab_head *head, struct ifab_view meta)
{
    uint8_t mac_key32[32], mac32[32];
    if (self->serving || self->next_key == NULL)
        return false;
    ifab_signer_derive(self->next_key, "head", mac_key32);
    node_mac(mac_key32, head, meta, mac32);
    ifab_wipe(mac_key32, sizeof mac_key32);
    if (!ifab_equal_ct(mac32, head->mac32, 32))
        return false;
    ifab_signer_free(self->log_key);
    self->log_key = self->next_key;
    self->next_key = NULL;
    self->rename_key = true;
    derive(self, self->log_key);
    return true;
}

/* TAG_KEY: 16 bytes under the mask, 32 bytes HMAC over them. */
static void pack_tag_key(const uint8_t mask32[32], const uint8_t check32[32], const uint8_t tag_key16[16], uint8_t ret_packed[TAG_KEY_PACKED])
{
    for (size_t i = 0; i < 16; i++)
        ret_packed[i] = tag_key16[i] ^ mask32[i];
    ifab_hmac_sha256(ifab_view_of(check32, 32), ifab_view_of(ret_packed, 16), ret_packed + 16);
}

ifab_status log_key_load_tag_key(struct node *self, struct ifab_view packed, struct ifab_error *err)
{
    uint8_t mac32[32];
    if (packed.size != TAG_KEY_PACKED)
        return ifab_fail(err, IFAB_CORRUPT, "record TAG_KEY does not parse");
    ifab_hmac_sha256(ifab_view_of(self->check32, 32), ifab_view_of(packed.data, 16), mac32);
    if (!ifab_equal_ct(mac32, packed.data + 16, 32))
        return ifab_fail(err, IFAB_CORRUPT, "record TAG_KEY is not the one this fabric wrote (its HMAC differs)");
    for (size_t i = 0; i < 16; i++)
        self->tag_key16[i] = packed.data[i] ^ self->mask32[i];
    memcpy(self->settings.tag_key16, self->tag_key16, 16);
    ifab_fabric_set_tag_key(self->fabric, self->tag_key16);
    self->has_tag_key = true;
    return IFAB_OK;
}

/* Records and files agree on whose log this is. */
ifab_status log_key_loaded(struct node *self, struct ifab_error *err)
{
    size_t count;
    const struct ifab_log_key_change *changes = ifab_fabric_log_keys(self->fabric, &count);
    uint8_t public32[32];
    if (self->has_tag_key != (count > 0))
        return ifab_fail(err, IFAB_CORRUPT, "the records of the log's keys are not whole: the database was edited");
    if (count == 0 || self->serving)
        return IFAB_OK;
    ifab_signer_public(self->log_key, public32);
    if (memcmp(public32, changes[count - 1].to32, 32) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "%s/log.key is not the key that the log was handed over to", self->key_dir);
    self->log_key_from = changes[count - 1].index;
    return IFAB_OK;
}

/* The newest handover's files. Done again after a crash it comes to the same. */
static ifab_status rename_files(struct node *self, struct ifab_error *err)
{
    char now[1200], next[1200], before[1300];
    size_t count;
    const struct ifab_log_key_change *changes = ifab_fabric_log_keys(self->fabric, &count);
    if (count == 0)
        return IFAB_OK;
    snprintf(now, sizeof now, "%s/log.key", self->key_dir);
    snprintf(next, sizeof next, "%s/log.key.next", self->key_dir);
    snprintf(before, sizeof before, "%s/log.key.before-%llu", self->key_dir, (unsigned long long)changes[count - 1].index);
    if (link(now, before) != 0 && errno != EEXIST)
        return ifab_fail(err, IFAB_IO, "%s: %s", before, strerror(errno));
    if (rename(next, now) != 0)
        return ifab_fail(err, IFAB_IO, "%s: %s", now, strerror(errno));
    return node_sync_dir(self->key_dir, err);
}

ifab_status log_key_finish(struct node *self, struct ifab_error *err)
{
    if (!self->rename_key)
        return IFAB_OK;
    IFAB_TRY(rename_files(self, err));
    self->rename_key = false;
    IFAB_LOG(IFAB_LOG_WARN, "log key: its change was recorded, but not finished; it is now", IFAB_F_TEXT("vkey", self->vkey));
    return IFAB_OK;
}

/* Whose signature a tree of so many entries has. */
void log_key_of(const struct node *self, uint64_t size, uint8_t ret_public32[32])
{
    size_t count;
    const struct ifab_log_key_change *changes = ifab_fabric_log_keys(self->fabric, &count);
    for (size_t i = 0; i < count; i++)
        if (size <= changes[i].index) {
            memcpy(ret_public32, changes[i].from32, 32);
            return;
        }
    ifab_signer_public(self->log_key, ret_public32);
}

/* ---- signing: any thread ---- */

ifab_status node_checkpoint(struct node *self, uint64_t size, const uint8_t root32[32], struct ifab_buf *note, struct ifab_buf *vkey, struct ifab_error *err)
{
    struct ifab_buf text = IFAB_BUF_INIT(1024);
    struct ifab_checkpoint checkpoint = {.origin = ifab_view_str(self->origin), .size = size};
    uint8_t public32[32];
    memcpy(checkpoint.root32, root32, 32);
    ifab_status status = ifab_checkpoint_write(&checkpoint, &text);
    uv_mutex_lock(&self->key_lock);
    const struct ifab_signer *key = size > self->next_key_from ? self->next_key : self->log_key;
    bool gone = self->log_key_from > 0 && size <= self->log_key_from;
    if (status == IFAB_OK && !gone)
        status = ifab_note_sign(ifab_buf_as_view(&text), checkpoint.origin, key, note);
    ifab_signer_public(key, public32);
    uv_mutex_unlock(&self->key_lock);
    ifab_buf_fini(&text);
    if (status == IFAB_OK && gone)
        return ifab_fail(err, IFAB_AGAIN, "the log's key changed meanwhile: ask again");
    if (status == IFAB_OK && vkey != NULL)
        status = ifab_note_vkey_write(checkpoint.origin, public32, vkey);
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "checkpoint");
}

/* ---- the handover ---- */

/* Before the step: both keys, if the one that was asked for waits. */
void log_key_lend(struct node *node, struct ticket *t)
{
    struct ifab_buf vkey = IFAB_BUF_INIT(512);
    const struct ifab_view *wanted = t->user;
    uint8_t public32[32];
    t->command.u.log_key.from = t->command.u.log_key.to = NULL;
    if (node->next_key == NULL || node->next_key_from != NOT_YET)
        return;
    ifab_signer_public(node->next_key, public32);
    if (ifab_note_vkey_write(ifab_view_str(node->origin), public32, &vkey) == IFAB_OK && ifab_view_equal(ifab_buf_as_view(&vkey), *wanted)) {
        t->command.u.log_key.from = node->log_key;
        t->command.u.log_key.to = node->next_key;
    }
    ifab_buf_fini(&vkey);
}

/* It is in the batch: from this commit on the head stands under the new key. */
void log_key_stepped(struct node *node, struct batch *batch)
{
    size_t count;
    const struct ifab_log_key_change *changes = ifab_fabric_log_keys(node->fabric, &count);
    uint8_t mask32[32], check32[32];
    ifab_signer_derive(node->next_key, "kept tag key", mask32);
    ifab_signer_derive(node->next_key, "kept tag key check", check32);
    pack_tag_key(mask32, check32, node->tag_key16, batch->tag_key);
    ifab_wipe(mask32, sizeof mask32);
    ifab_wipe(check32, sizeof check32);
    (void)batch_record(batch, KIND_TAG_KEY, 0, ifab_view_of(batch->tag_key, TAG_KEY_PACKED)); /* batch_add() left room */
    batch->key = node->next_key;
    uv_mutex_lock(&node->key_lock);
    node->next_key_from = changes[count - 1].index;
    uv_mutex_unlock(&node->key_lock);
}

void log_key_committed(struct node *node)
{
    struct ifab_error err = {0};
    derive(node, node->next_key);
    node->has_tag_key = node->key_committed = true;
    IFAB_LOG(IFAB_LOG_WARN, "log key: the log is signed by a new key from here on", IFAB_F_NUM("entry", node->next_key_from), IFAB_F_TEXT("vkey", node->vkey));
    if (rename_files(node, &err) != IFAB_OK) /* nothing is lost: the next start finishes it */
        IFAB_LOG(IFAB_LOG_ERROR, "log key: the file of the new one has not got its name yet", IFAB_F_TEXT("error", err.text));
}

/* The disk was full: what was stepped is not so. The new key waits as before. */
void log_key_undone(struct node *node)
{
    if (node->key_committed)
        return;
    uv_mutex_lock(&node->key_lock);
    node->next_key_from = NOT_YET;
    uv_mutex_unlock(&node->key_lock);
}

/* Nobody signs a tree of the old key's any more: it goes. */
void log_key_turn(struct node *node)
{
    if (!node->key_committed || follower_size(node) <= node->next_key_from)
        return;
    uv_mutex_lock(&node->key_lock);
    struct ifab_signer *old = node->log_key;
    node->log_key = node->next_key;
    node->log_key_from = node->next_key_from;
    node->next_key = NULL;
    node->next_key_from = NOT_YET;
    uv_mutex_unlock(&node->key_lock);
    node->key_committed = false;
    ifab_signer_free(old);
}

/* ---- routes ---- */

static void reply_next(struct node *node, struct request *r)
{
    struct ifab_buf body = IFAB_BUF_INIT(2048), vkey = IFAB_BUF_INIT(512);
    uint8_t public32[32];
    if (node->next_key_from != NOT_YET) {
        reply_code(node, r, IFAB_CODE_CONFLICT, NULL, "a change of the log's key is just being finished: ask again");
        return;
    }
    ifab_signer_public(node->next_key, public32);
    (void)ifab_note_vkey_write(ifab_view_str(node->origin), public32, &vkey);
    ifab_buf_str(&body, "{\"from\":");
    ifab_json_put_cstr(&body, node->vkey);
    ifab_buf_str(&body, ",\"to\":");
    ifab_json_put_string(&body, ifab_buf_as_view(&vkey));
    ifab_buf_char(&body, '}');
    reply_json(node, r, 200, ifab_buf_as_view(&body));
    ifab_buf_fini(&body);
    ifab_buf_fini(&vkey);
}

/* It is made where it stays. */
static void run_make(struct node *node, struct ifab_store *store, struct job *job)
{
    char path[1200];
    struct ifab_error err = {0};
    struct ifab_signer *key = NULL;
    struct ifab_buf text = IFAB_BUF_INIT(4096);
    (void)store;
    snprintf(path, sizeof path, "%s/log.key.next", node->key_dir);
    ifab_status status = ifab_signer_new_random(&key, &err);
    if (status == IFAB_OK)
        status = ifab_note_skey_write(ifab_view_str(node->origin), key, &text);
    ifab_buf_char(&text, '\n');
    if (status == IFAB_OK)
        status = ifab_buf_status(&text);
    if (status == IFAB_OK)
        status = node_write_file(path, ifab_buf_as_view(&text), 0600, &err);
    if (status == IFAB_OK && (status = node_sync_dir(node->key_dir, &err)) != IFAB_OK)
        unlink(path);
    forget(&text);
    if (status != IFAB_OK) {
        ifab_signer_free(key);
        job->code = ifab_refuse(&job->refusal, status == IFAB_CONFLICT ? IFAB_CODE_CONFLICT : IFAB_CODE_STORE_UNAVAILABLE, NULL, "no new key: %s",
                                err.text[0] != '\0' ? err.text : ifab_status_text(status));
        return;
    }
    job->user = key;
}

static void finish_make(struct node *node, struct job *job)
{
    struct request *r = job->request;
    if (node->next_key == NULL && job->code == IFAB_CODE_NONE) {
        uv_mutex_lock(&node->key_lock);
        node->next_key = job->user;
        uv_mutex_unlock(&node->key_lock);
        job->user = NULL;
    }
    ifab_signer_free(job->user);
    job->user = NULL;
    if (node->next_key == NULL) {
        job_reply(node, job);
        return;
    }
    job_free(job); /* another made it at the same time, perhaps: one waits */
    reply_next(node, r);
}

static const struct ifab_schema none_schema = {"request", NULL, 0};
static const struct ifab_schema_field rotate_fields[] = {
    {.name = "to", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 400, .check = ifab_schema_printable},
};
static const struct ifab_schema rotate_schema = {"new log key", rotate_fields, IFAB_COUNT(rotate_fields)};

void handle_log_key_make(struct node *node, struct request *r)
{
    if (act_body(node, r, &none_schema) == NULL)
        return;
    if (node->next_key != NULL) {
        reply_next(node, r);
        return;
    }
    struct job *job = job_new(r);
    if (job == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    job->run = run_make;
    job->finish = finish_make;
    job_push(node, job);
}

/* The bytes of the request go into the log, so that the act over them can be proven: one spelling. */
static bool is_spelled(struct ifab_view body, struct ifab_view to)
{
    struct ifab_buf text = IFAB_BUF_INIT(4096);
    ifab_buf_str(&text, "{\"to\":");
    ifab_json_put_string(&text, to);
    ifab_buf_char(&text, '}');
    bool same = ifab_buf_status(&text) == IFAB_OK && ifab_view_equal(ifab_buf_as_view(&text), body);
    ifab_buf_fini(&text);
    return same;
}

void handle_log_key_rotate(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &rotate_schema);
    struct ifab_view to = {NULL, 0};
    if (body == NULL)
        return;
    (void)ifab_json_string(ifab_json_get(body, "to"), &to);
    if (!is_spelled(ifab_buf_as_view(&r->body), to)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "to", "the body is {\"to\":\"KEY\"}, without a blank: it stands in the log as it was signed");
        return;
    }
    struct ticket *t = ticket_new(node, r);
    struct ifab_view *wanted = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *wanted);
    if (wanted == NULL) {
        if (t != NULL)
            ticket_free(node, t);
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    *wanted = to; /* in the request's arena, as its body is */
    t->user = wanted;
    t->command.type = IFAB_COMMAND_LOG_KEY;
    t->command.u.log_key.request = ifab_buf_as_view(&r->body);
    queue_act(node, r, t);
}
