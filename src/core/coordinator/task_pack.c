/*
 * The stored form of a task and of a closed one, little-endian. docs/formats/store.md.
 * A task: version 2, state 1, priority 1, flags 1 (1 minted, 2 early, 4 told), percent 1, then texts as u16 size and bytes (id, type, needs, note), then
 * wants (in version 2) and numbers in the order below. What unpack takes of version 2, pack gives back byte for byte.
 */
#include "coordinator/coordinator.h"

#include "base/encode.h"
#include "crypto/crypto.h"

#define VERSION 2
#define CLOSED_VERSION 2
enum { FLAG_MINTED = 1, FLAG_EARLY = 2, FLAG_TOLD = 4, FLAG_ALL = 7 };

/* Texts with their sizes, then numbers; who is blocked waits for no other task, so wants and depends_on are not both there. */
#define TEXTS (4 + 1 + 5 * 2 + 2 * IFAB_NAME_MAX + 128)
#define FIGURES (153 + 16 + 4 + 32 + 8 * IFAB_COUNT_OF_UNITS + 8 + 1)
_Static_assert(TEXTS + IFAB_TASK_SKILLS_SIZE + FIGURES <= IFAB_TASK_PACKED_MAX, "a blocked task has room");
_Static_assert(TEXTS + IFAB_TASK_NEEDS_SIZE + FIGURES + 8 * IFAB_TASK_DEPENDS_MAX <= IFAB_TASK_PACKED_MAX, "a task that waits for others has room");

static void put_text(uint8_t **at, const void *text, size_t size)
{
    ifab_put_u8(at, (uint8_t)size);
    ifab_put_u8(at, (uint8_t)(size >> 8));
    ifab_put_bytes(at, text, size);
}

static void put_i64(uint8_t **at, int64_t v) { ifab_put_u64(at, (uint64_t)v); }

size_t ifab_task_pack(const struct ifab_task *task, uint8_t ret_bytes[IFAB_TASK_PACKED_MAX])
{
    uint8_t *at = ret_bytes;
    ifab_put_u8(&at, VERSION);
    ifab_put_u8(&at, (uint8_t)task->state);
    ifab_put_u8(&at, task->priority);
    ifab_put_u8(&at, (uint8_t)((task->minted ? FLAG_MINTED : 0) | (task->early ? FLAG_EARLY : 0) | (task->told ? FLAG_TOLD : 0)));
    ifab_put_u8(&at, task->percent);
    put_text(&at, task->id, strlen(task->id));
    put_text(&at, task->type, strlen(task->type));
    put_text(&at, task->needs, task->needs_size);
    put_text(&at, task->note, strlen(task->note));
    put_text(&at, task->needs + task->needs_size, task->wants_size);
    ifab_put_u64(&at, task->queue.n);
    ifab_put_u32(&at, task->creator.talent);
    ifab_put_u32(&at, task->creator.uid);
    ifab_put_u64(&at, task->created_index);
    put_i64(&at, task->created);
    ifab_put_u64(&at, task->queued_index);
    put_i64(&at, task->queued_run);
    ifab_put_u64(&at, task->owner.n);
    ifab_put_u32(&at, task->worker.talent);
    ifab_put_u32(&at, task->worker.uid);
    ifab_put_u64(&at, task->fence.n);
    put_i64(&at, task->lease);
    put_i64(&at, task->lease_until);
    ifab_put_u32(&at, task->attempt);
    ifab_put_u32(&at, task->max_attempts);
    put_i64(&at, task->not_before);
    put_i64(&at, task->deadline);
    put_i64(&at, task->retry_at);
    ifab_put_u64(&at, task->parent);
    for (size_t i = 0; i < IFAB_TASK_HELPERS_MAX; i++)
        ifab_put_u64(&at, task->helpers[i]);
    ifab_put_u8(&at, task->depth);
    ifab_put_bytes(&at, task->trace16, 16);
    ifab_put_u32(&at, task->payload_size);
    if (task->payload_size > 0)
        ifab_put_bytes(&at, task->payload32, 32);
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++)
        put_i64(&at, task->budget[i]);
    ifab_put_u64(&at, task->reservation);
    ifab_put_u8(&at, task->depends_count);
    for (size_t i = 0; i < task->depends_count; i++)
        ifab_put_u64(&at, task->depends_on[i]);
    return (size_t)(at - ret_bytes);
}

static struct ifab_view get_text(struct ifab_reader *r)
{
    size_t low = ifab_get_u8(r), high = ifab_get_u8(r);
    return ifab_get_bytes(r, low | high << 8);
}

/* A text without NUL into room for max + 1. */
static bool get_string(struct ifab_reader *r, char *ret_text, size_t max)
{
    struct ifab_view text = get_text(r);
    if (r->bad || text.size > max || (text.size > 0 && memchr(text.data, '\0', text.size) != NULL))
        return false;
    if (text.size > 0)
        memcpy(ret_text, text.data, text.size);
    ret_text[text.size] = '\0';
    return true;
}

/* Version 1 had none. */
static bool get_wants(struct ifab_reader *r, unsigned version, struct ifab_task *t)
{
    struct ifab_names names;
    struct ifab_view wants = version == 1 ? (struct ifab_view){NULL, 0} : get_text(r);
    return !r->bad && (wants.size == 0 || (ifab_names_read(wants, &names) && ifab_task_set_wants(t, &names)));
}

static bool get_texts(struct ifab_reader *r, struct ifab_task *t)
{
    struct ifab_names names;
    if (!get_string(r, t->id, IFAB_NAME_MAX) || !get_string(r, t->type, IFAB_NAME_MAX))
        return false;
    struct ifab_view needs = get_text(r);
    if (r->bad || needs.size > IFAB_TASK_NEEDS_SIZE || !ifab_names_read(needs, &names) || names.count > IFAB_TASK_NEEDS_MAX)
        return false;
    if (needs.size > 0)
        memcpy(t->needs, needs.data, needs.size);
    t->needs_size = (uint16_t)needs.size;
    return get_string(r, t->note, sizeof t->note - 1) && ifab_utf8_valid(ifab_view_str(t->note)) &&
           ifab_name_valid(ifab_view_str(t->id)) && ifab_name_valid(ifab_view_str(t->type));
}

static void get_numbers(struct ifab_reader *r, struct ifab_task *t)
{
    t->queue.n = ifab_get_u64(r);
    t->creator.talent = ifab_get_u32(r);
    t->creator.uid = ifab_get_u32(r);
    t->created_index = ifab_get_u64(r);
    t->created = (ifab_usec)ifab_get_u64(r);
    t->queued_index = ifab_get_u64(r);
    t->queued_run = (ifab_usec)ifab_get_u64(r);
    t->owner.n = ifab_get_u64(r);
    t->worker.talent = ifab_get_u32(r);
    t->worker.uid = ifab_get_u32(r);
    t->fence.n = ifab_get_u64(r);
    t->lease = (ifab_usec)ifab_get_u64(r);
    t->lease_until = (ifab_usec)ifab_get_u64(r);
    t->attempt = ifab_get_u32(r);
    t->max_attempts = ifab_get_u32(r);
    t->not_before = (ifab_usec)ifab_get_u64(r);
    t->deadline = (ifab_usec)ifab_get_u64(r);
    t->retry_at = (ifab_usec)ifab_get_u64(r);
    t->parent = ifab_get_u64(r);
    for (size_t i = 0; i < IFAB_TASK_HELPERS_MAX; i++)
        t->helpers[i] = ifab_get_u64(r);
    t->depth = ifab_get_u8(r);
}

/* What always holds, whatever happened before: the invariants of a task. */
bool ifab_task_consistent(const struct ifab_task *t)
{
    bool owned = ifab_task_owned(t->state), waiting = t->early || t->retry_at != 0;
    if (t->state <= IFAB_TASK_NONE || !ifab_task_open(t->state) || t->priority >= IFAB_PRIORITIES || t->percent > 100)
        return false;
    if (t->attempt < 1 || t->attempt > t->max_attempts || t->max_attempts > IFAB_TASK_ATTEMPTS_MAX || t->payload_size > IFAB_TASK_PAYLOAD_MAX)
        return false;
    if (owned && (t->fence.n == 0 || t->owner.n == 0 || t->lease < IFAB_TASK_LEASE_MIN || t->lease > IFAB_TASK_LEASE_MAX || t->depends_count > 0))
        return false; /* an owner has a fence and a lease, and nothing is claimed that waits for another */
    if (!owned && (t->owner.n != 0 || t->worker.talent != 0 || t->worker.uid != 0 || t->lease_until != 0 || t->lease != 0))
        return false;
    if ((waiting && t->state != IFAB_TASK_QUEUED) || (t->told && !owned))
        return false;
    if (t->depth > IFAB_TASK_DEPTH_MAX || (t->depth > 0) != (t->parent != 0) || (t->state != IFAB_TASK_BLOCKED && (t->helpers[0] != 0 || t->helpers[1] != 0)))
        return false; /* help lasts as long as the block */
    if (t->wants_size > 0 && (t->state != IFAB_TASK_BLOCKED || t->helpers[0] != 0 || t->helpers[1] != 0))
        return false; /* nobody helps whom nobody could be asked for */
    for (size_t i = 0; i < t->depends_count; i++)
        if (t->depends_on[i] >= t->number.n || t->depends_on[i] == 0 || (i > 0 && t->depends_on[i] <= t->depends_on[i - 1]))
            return false; /* only on older ones, so there is no circle; ascending, each once */
    return t->not_before >= 0 && t->deadline >= 0 && t->retry_at >= 0 && t->created >= 0;
}

bool ifab_task_unpack(struct ifab_view bytes, uint64_t number, struct ifab_task *ret_task)
{
    struct ifab_reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    struct ifab_task t = {.number = {number}};
    unsigned version = ifab_get_u8(&r);
    if (bytes.size > IFAB_TASK_PACKED_MAX || version < 1 || version > VERSION)
        return false;
    unsigned state = ifab_get_u8(&r);
    t.state = state < IFAB_TASK_STATE_COUNT ? (enum ifab_task_state)state : IFAB_TASK_NONE;
    t.priority = ifab_get_u8(&r);
    unsigned flags = ifab_get_u8(&r);
    t.minted = (flags & FLAG_MINTED) != 0;
    t.early = (flags & FLAG_EARLY) != 0;
    t.told = (flags & FLAG_TOLD) != 0;
    t.percent = ifab_get_u8(&r);
    if (flags > FLAG_ALL || !get_texts(&r, &t) || !get_wants(&r, version, &t))
        return false;
    get_numbers(&r, &t);
    struct ifab_view trace = ifab_get_bytes(&r, 16);
    t.payload_size = ifab_get_u32(&r);
    struct ifab_view payload = ifab_get_bytes(&r, t.payload_size > 0 ? 32 : 0);
    for (size_t i = 0; i < IFAB_COUNT_OF_UNITS; i++) {
        t.budget[i] = (int64_t)ifab_get_u64(&r);
        if (t.budget[i] < -1 || t.budget[i] > IFAB_AMOUNT_MAX)
            return false;
    }
    t.reservation = ifab_get_u64(&r);
    t.depends_count = ifab_get_u8(&r);
    if (r.bad || t.depends_count > IFAB_TASK_DEPENDS_MAX)
        return false;
    for (size_t i = 0; i < t.depends_count; i++)
        t.depends_on[i] = ifab_get_u64(&r);
    if (r.bad || r.at != r.end)
        return false;
    memcpy(t.trace16, trace.data, 16);
    if (t.payload_size > 0)
        memcpy(t.payload32, payload.data, 32);
    if (!ifab_task_consistent(&t))
        return false;
    *ret_task = t;
    return true;
}

struct ifab_names ifab_task_needs(const struct ifab_task *task)
{
    struct ifab_names names = {.text = task->needs};
    (void)ifab_names_read(ifab_view_of(task->needs, task->needs_size), &names);
    return names;
}

struct ifab_names ifab_task_wants(const struct ifab_task *task)
{
    struct ifab_names names = {.text = task->needs + task->needs_size};
    (void)ifab_names_read(ifab_view_of(task->needs + task->needs_size, task->wants_size), &names);
    return names;
}

bool ifab_task_set_wants(struct ifab_task *task, const struct ifab_names *wants)
{
    if (wants != NULL && (wants->count > IFAB_TASK_NEEDS_MAX || wants->size > IFAB_TASK_NEEDS_SIZE || wants->size > sizeof task->needs - task->needs_size))
        return false;
    memset(task->needs + task->needs_size, 0, sizeof task->needs - task->needs_size);
    task->wants_size = wants == NULL ? 0 : wants->size;
    if (task->wants_size > 0)
        memcpy(task->needs + task->needs_size, wants->text, wants->size);
    return true;
}

bool ifab_task_ready(const struct ifab_task *task)
{
    return task->state == IFAB_TASK_QUEUED && task->depends_count == 0 && !task->early && task->retry_at == 0;
}

void ifab_task_id16(struct ifab_view id, uint8_t ret_id16[16])
{
    uint8_t digest[32];
    ifab_sha256(id, digest);
    memcpy(ret_id16, digest, 16);
}

/* version 1, state 1, minted 1, id 16, fence 8, creator 4, owner 8, index 8, closed 8, created index 8 */
size_t ifab_closed_task_pack(const struct ifab_closed_task *closed, uint8_t ret_bytes[IFAB_CLOSED_TASK_PACKED])
{
    uint8_t *at = ret_bytes;
    ifab_put_u8(&at, CLOSED_VERSION);
    ifab_put_u8(&at, (uint8_t)closed->state);
    ifab_put_u8(&at, closed->minted);
    ifab_put_bytes(&at, closed->id16, 16);
    ifab_put_u64(&at, closed->fence.n);
    ifab_put_u32(&at, closed->creator);
    ifab_put_u64(&at, closed->owner.n);
    ifab_put_u64(&at, closed->index);
    ifab_put_u64(&at, (uint64_t)closed->closed);
    ifab_put_u64(&at, closed->created_index);
    return (size_t)(at - ret_bytes);
}

/* Version 1 ended before the last field: what is known to be about this task begins with the entry that closed it. */
bool ifab_closed_task_unpack(struct ifab_view bytes, uint64_t number, struct ifab_closed_task *ret_closed)
{
    struct ifab_reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    struct ifab_closed_task c = {.number = number};
    unsigned version = ifab_get_u8(&r);
    if (!(version == CLOSED_VERSION && bytes.size == IFAB_CLOSED_TASK_PACKED) && !(version == 1 && bytes.size == IFAB_CLOSED_TASK_PACKED - 8))
        return false;
    unsigned state = ifab_get_u8(&r), minted = ifab_get_u8(&r);
    struct ifab_view id = ifab_get_bytes(&r, 16);
    c.fence.n = ifab_get_u64(&r);
    c.creator = ifab_get_u32(&r);
    c.owner.n = ifab_get_u64(&r);
    c.index = ifab_get_u64(&r);
    c.closed = (ifab_usec)ifab_get_u64(&r);
    c.created_index = version == 1 ? c.index : ifab_get_u64(&r);
    if (c.created_index > c.index)
        return false;
    if ((state != IFAB_TASK_DONE && state != IFAB_TASK_CANCELLED) || minted > 1 || c.closed < 0)
        return false;
    c.state = (enum ifab_task_state)state;
    c.minted = minted == 1;
    memcpy(c.id16, id.data, 16);
    *ret_closed = c;
    return true;
}
