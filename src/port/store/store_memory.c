/*
 * The readable reference: what a store has to do, in memory. Nothing is durable.
 * 1. A commit makes everything ready first and then changes the state in steps that cannot fail: all or nothing.
 * 2. Handles share one state under a mutex; a reader sees commits only whole.
 */
#include "base/mem.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>

#define TAG_ROWS_LOOKED_AT 8 /* oldest rows a commit may drop: a bounded part of its time */

struct bytes {
    uint8_t *data; /* owned; NULL = none */
    size_t size;
};
struct row {
    struct bytes entry, message;
    bool erased;
};
struct tag_row {
    ifab_usec until;
    struct bytes tags;
};
struct kept {
    uint8_t kind;
    uint64_t number;
    struct bytes bytes;
};
struct state {
    pthread_mutex_t lock;
    unsigned handles;
    struct row *rows;
    size_t row_count, row_room;
    struct tag_row *tags; /* oldest first */
    size_t tag_count, tag_room;
    struct kept *records; /* by kind, then number */
    size_t record_count, record_room;
    bool has_head;
    struct ifab_head head; /* edge: not used; it is below */
    struct bytes edge;
};
struct memory {
    struct ifab_store base;
    struct state *state;
    bool read_only;
};
/* What a commit made ready: moved into the state, or freed whole. */
struct ready {
    struct row *rows;
    struct kept *records;
    size_t row_count, record_count;
    struct bytes tags, edge;
};

static struct memory *of(struct ifab_store *base) { return (struct memory *)(void *)base; }

static bool copy(struct ifab_view from, struct bytes *ret)
{
    *ret = (struct bytes){NULL, 0};
    if (from.size == 0)
        return true;
    ret->data = ifab_malloc(from.size);
    if (ret->data == NULL)
        return false;
    memcpy(ret->data, from.data, from.size);
    ret->size = from.size;
    return true;
}

static struct ifab_view view(struct bytes b) { return ifab_view_of(b.data, b.size); }

static bool room(void **array, size_t *have, size_t need, size_t each)
{
    if (need <= *have)
        return true;
    size_t more = need < 16 ? 16 : need * 2;
    void *grown = ifab_realloc(*array, more * each);
    if (grown == NULL)
        return false;
    *array = grown;
    *have = more;
    return true;
}

/* First record that is not below (kind, number). */
static size_t place(const struct state *s, uint8_t kind, uint64_t number)
{
    size_t low = 0, high = s->record_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct kept *k = &s->records[middle];
        if (k->kind < kind || (k->kind == kind && k->number < number))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void put_record(struct state *s, struct kept *record) /* takes its bytes; room was made */
{
    size_t at = place(s, record->kind, record->number);
    bool there = at < s->record_count && s->records[at].kind == record->kind && s->records[at].number == record->number;
    if (there)
        ifab_free(s->records[at].bytes.data);
    size_t behind = s->record_count - at;
    if (record->bytes.size == 0 && there) {
        memmove(&s->records[at], &s->records[at + 1], (behind - 1) * sizeof *s->records);
        s->record_count--;
    } else if (record->bytes.size > 0) {
        if (!there) {
            memmove(&s->records[at + 1], &s->records[at], behind * sizeof *s->records);
            s->record_count++;
        }
        s->records[at] = *record;
        record->bytes.data = NULL; /* moved */
    }
}

static void drop_tags(struct state *s, ifab_usec below)
{
    size_t look = s->tag_count < TAG_ROWS_LOOKED_AT ? s->tag_count : TAG_ROWS_LOOKED_AT, kept = 0;
    for (size_t i = 0; i < look; i++) {
        if (s->tags[i].until < below)
            ifab_free(s->tags[i].tags.data);
        else
            s->tags[kept++] = s->tags[i];
    }
    memmove(&s->tags[kept], &s->tags[look], (s->tag_count - look) * sizeof *s->tags);
    s->tag_count -= look - kept;
}

static void ready_fini(struct ready *r)
{
    for (size_t i = 0; r->rows != NULL && i < r->row_count; i++) {
        ifab_free(r->rows[i].entry.data);
        ifab_free(r->rows[i].message.data);
    }
    for (size_t i = 0; r->records != NULL && i < r->record_count; i++)
        ifab_free(r->records[i].bytes.data);
    ifab_free(r->rows);
    ifab_free(r->records);
    ifab_free(r->tags.data);
    ifab_free(r->edge.data);
}

static bool make_ready(struct state *s, const struct ifab_commit *c, struct ready *r)
{
    r->row_count = c->entry_count;
    r->record_count = c->record_count;
    if (c->entry_count > 0 && (r->rows = ifab_calloc(c->entry_count, sizeof *r->rows)) == NULL)
        return false;
    if (c->record_count > 0 && (r->records = ifab_calloc(c->record_count, sizeof *r->records)) == NULL)
        return false;
    for (size_t i = 0; i < c->entry_count; i++) {
        if (!copy(c->entries[i].entry, &r->rows[i].entry) || !copy(c->entries[i].message, &r->rows[i].message))
            return false;
    }
    for (size_t i = 0; i < c->record_count; i++) {
        r->records[i].kind = c->records[i].kind;
        r->records[i].number = c->records[i].number;
        if (!copy(c->records[i].bytes, &r->records[i].bytes))
            return false;
    }
    void *rows = s->rows, *tags = s->tags, *records = s->records;
    bool ok = copy(c->tags, &r->tags) && copy(c->head->edge, &r->edge) &&
              room(&rows, &s->row_room, s->row_count + c->entry_count, sizeof *s->rows);
    s->rows = rows;
    ok = ok && room(&tags, &s->tag_room, s->tag_count + 1, sizeof *s->tags);
    s->tags = tags;
    ok = ok && room(&records, &s->record_room, s->record_count + c->record_count, sizeof *s->records);
    s->records = records;
    return ok;
}

static ifab_status commit_locked(struct state *s, const struct ifab_commit *c, struct ifab_error *err)
{
    if (c->first != s->row_count)
        return ifab_fail(err, IFAB_CONFLICT, "store: commit starts at %llu, the log has %llu entries", (unsigned long long)c->first,
                         (unsigned long long)s->row_count);
    struct ready r = {0};
    if (!make_ready(s, c, &r)) {
        ready_fini(&r);
        return ifab_fail(err, IFAB_NOMEM, "store: commit");
    }
    if (c->entry_count > 0) /* nothing fails from here on */
        memcpy(&s->rows[s->row_count], r.rows, c->entry_count * sizeof *r.rows);
    s->row_count += c->entry_count;
    r.row_count = 0; /* moved */
    if (s->tag_count > 0)
        drop_tags(s, c->tags_dropped);
    if (r.tags.size > 0) {
        s->tags[s->tag_count++] = (struct tag_row){c->tags_until, r.tags};
        r.tags.data = NULL;
    }
    for (size_t i = 0; i < c->record_count; i++)
        put_record(s, &r.records[i]);
    ifab_free(s->edge.data);
    s->edge = r.edge;
    r.edge.data = NULL;
    s->head = *c->head;
    s->has_head = true;
    ready_fini(&r);
    return IFAB_OK;
}

static ifab_status memory_commit(struct ifab_store *base, const struct ifab_commit *commit, struct ifab_error *err)
{
    struct memory *self = of(base);
    if (self->read_only)
        return ifab_fail(err, IFAB_DENIED, "store: commit on a reader");
    pthread_mutex_lock(&self->state->lock);
    ifab_status status = commit_locked(self->state, commit, err);
    pthread_mutex_unlock(&self->state->lock);
    return status;
}

static ifab_status memory_head(struct ifab_store *base, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err)
{
    struct state *s = of(base)->state;
    ifab_status status;
    pthread_mutex_lock(&s->lock);
    if (!s->has_head) {
        status = ifab_fail(err, IFAB_NOT_FOUND, "store: empty");
    } else {
        struct ifab_head head = s->head;
        status = ifab_arena_copy(arena, view(s->edge), &head.edge);
        if (status == IFAB_OK)
            *ret_head = head;
        else
            (void)ifab_fail(err, status, "store: head");
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static ifab_status memory_read(struct ifab_store *base, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                               struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err)
{
    struct state *s = of(base)->state;
    ifab_status status = IFAB_OK;
    size_t count = 0;
    pthread_mutex_lock(&s->lock);
    for (; status == IFAB_OK && count < max && first + count < s->row_count; count++) {
        const struct row *row = &s->rows[first + count];
        struct ifab_stored_entry *e = &ret_entries[count];
        *e = (struct ifab_stored_entry){.index = first + count, .erased = row->erased};
        status = ifab_arena_copy(arena, view(row->entry), &e->entry);
        if (status == IFAB_OK && with_messages)
            status = ifab_arena_copy(arena, view(row->message), &e->message);
    }
    pthread_mutex_unlock(&s->lock);
    if (status != IFAB_OK)
        return ifab_fail(err, status, "store: read");
    *ret_count = count;
    return IFAB_OK;
}

static ifab_status memory_records(struct ifab_store *base, ifab_record_fn *fn, void *user, struct ifab_error *err)
{
    struct state *s = of(base)->state;
    ifab_status status = IFAB_OK;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; status == IFAB_OK && i < s->record_count; i++) {
        struct ifab_record record = {s->records[i].kind, s->records[i].number, view(s->records[i].bytes)};
        status = fn(user, &record, err);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static ifab_status memory_tags(struct ifab_store *base, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err)
{
    struct state *s = of(base)->state;
    ifab_status status = IFAB_OK;
    pthread_mutex_lock(&s->lock);
    for (size_t i = s->tag_count; status == IFAB_OK && i-- > 0;) {
        if (s->tags[i].until >= since)
            status = fn(user, view(s->tags[i].tags), err);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static ifab_status memory_erase(struct ifab_store *base, uint64_t index, struct ifab_error *err)
{
    struct state *s = of(base)->state;
    if (of(base)->read_only)
        return ifab_fail(err, IFAB_DENIED, "store: erase on a reader");
    ifab_status status = IFAB_NOT_FOUND;
    pthread_mutex_lock(&s->lock);
    if (index < s->row_count && s->rows[index].message.size > 0) {
        struct row *row = &s->rows[index];
        explicit_bzero(row->message.data, row->message.size);
        ifab_free(row->message.data);
        row->message = (struct bytes){NULL, 0};
        row->erased = true;
        status = IFAB_OK;
    }
    pthread_mutex_unlock(&s->lock);
    if (status != IFAB_OK)
        return ifab_fail(err, status, "store: entry %llu has no message bytes", (unsigned long long)index);
    return IFAB_OK;
}

static ifab_status memory_checkpoint(struct ifab_store *base, uint64_t *ret_wal_bytes, struct ifab_error *err)
{
    (void)base;
    (void)err;
    *ret_wal_bytes = 0;
    return IFAB_OK;
}

static uint64_t memory_wal_bytes(struct ifab_store *base)
{
    (void)base;
    return 0;
}

static ifab_status memory_backup(struct ifab_store *base, const char *directory, struct ifab_error *err)
{
    (void)base;
    (void)directory;
    return ifab_fail(err, IFAB_UNSUPPORTED, "store: the memory back-end has no backup");
}

static ifab_status memory_reader(struct ifab_store *base, struct ifab_store **ret_reader, struct ifab_error *err)
{
    struct state *s = of(base)->state;
    struct memory *reader = ifab_calloc(1, sizeof *reader);
    if (reader == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store: reader");
    *reader = (struct memory){{base->ops}, s, true};
    pthread_mutex_lock(&s->lock);
    s->handles++;
    pthread_mutex_unlock(&s->lock);
    *ret_reader = &reader->base;
    return IFAB_OK;
}

static void memory_close(struct ifab_store *base)
{
    struct state *s = of(base)->state;
    ifab_free(base);
    pthread_mutex_lock(&s->lock);
    unsigned left = --s->handles;
    pthread_mutex_unlock(&s->lock);
    if (left > 0)
        return;
    for (size_t i = 0; i < s->row_count; i++) {
        ifab_free(s->rows[i].entry.data);
        ifab_free(s->rows[i].message.data);
    }
    for (size_t i = 0; i < s->tag_count; i++)
        ifab_free(s->tags[i].tags.data);
    for (size_t i = 0; i < s->record_count; i++)
        ifab_free(s->records[i].bytes.data);
    ifab_free(s->rows);
    ifab_free(s->tags);
    ifab_free(s->records);
    ifab_free(s->edge.data);
    pthread_mutex_destroy(&s->lock);
    ifab_free(s);
}

static const struct ifab_store_ops memory_ops = {
    .abi = IFAB_STORE_ABI,
    .name = "memory",
    .commit = memory_commit,
    .head = memory_head,
    .read = memory_read,
    .records = memory_records,
    .tags = memory_tags,
    .erase = memory_erase,
    .checkpoint = memory_checkpoint,
    .wal_bytes = memory_wal_bytes,
    .backup = memory_backup,
    .reader = memory_reader,
    .close = memory_close,
};

ifab_status ifab_store_memory_open(struct ifab_store **ret_store, struct ifab_error *err)
{
    assert(ret_store != NULL);
    struct state *s = ifab_calloc(1, sizeof *s);
    struct memory *self = ifab_calloc(1, sizeof *self);
    if (s == NULL || self == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        ifab_free(s);
        ifab_free(self);
        return ifab_fail(err, IFAB_NOMEM, "store: memory");
    }
    s->handles = 1;
    *self = (struct memory){{&memory_ops}, s, false};
    *ret_store = &self->base;
    return IFAB_OK;
}
