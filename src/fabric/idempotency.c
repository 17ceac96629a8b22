/*
 * Idempotency-Key of changing calls other than messages: kept per (principal, method, route, key) with the body's digest in the
 * transaction of the effect, 24 h, at most 10,000 a principal (305); another body under the same key is 409. SURFACE section 8. Authority
 * is checked first; an admin act that was used up by this very request does not keep its sender from reading the answer again. Record:
 * request digest 16, body digest 32, expires u64, principal u32, http u32, reply bytes.
 */
#include "base/encode.h"
#include "fabric_internal.h"

#include <string.h>

#define KEPT_TOTAL 1000000
#define KEPT_PER_PRINCIPAL 10000
#define KEPT_LIFE IFAB_DAY
#define KEPT_SECRET        409 /* in place of the status: there is no answer to give again */
#define KEPT_HEAD (16 + 32 + 8 + 4 + 4)

static struct ifab_kept_reply *by_number(const struct ifab_fabric *self, uint64_t number)
{
    uint64_t pointer;
    return ifab_u64map_get(&self->kept_by_number, number, &pointer) ? (struct ifab_kept_reply *)(uintptr_t)pointer : NULL;
}

bool ifab_fabric__idempotent(const struct ifab_fabric *self, const struct ifab_command *command, enum ifab_code authority, struct ifab_outcome *o)
{
    uint64_t number, held = 0;
    bool permitted = authority == IFAB_CODE_NONE;
    if (command->idempotency.size == 0 || command->principal == NULL || (!permitted && authority != IFAB_CODE_REPLAY_DETECTED))
        return false;
    if (!ifab_map_get(&self->kept_by_request, ifab_view_of(command->request16, 16), &number)) {
        (void)ifab_u64map_get(&self->kept_per_principal, command->principal->uid, &held);
        if (!permitted || (held < KEPT_PER_PRINCIPAL && self->kept_by_number.count < KEPT_TOTAL))
            return false;
        ifab_refuse(&o->reply.refusal, IFAB_CODE_QUOTA_EXCEEDED, "Idempotency-Key", "%d idempotency keys of this caller are kept; they end after 24 h",
                    KEPT_PER_PRINCIPAL);
        ifab_fabric__refused(o, IFAB_CODE_QUOTA_EXCEEDED);
        o->tag_count = 0;
        return true;
    }
    const struct ifab_kept_reply *kept = by_number(self, number);
    bool same = kept != NULL && memcmp(kept->body32, command->body32, 32) == 0;
    if (kept == NULL || kept->expires <= o->now.wall || (!permitted && !same))
        return false;
    o->tag_count = 0; /* nothing is done: a fresh act is not used up */
    if (!same) {
        ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "Idempotency-Key", "this key was used with another body");
        ifab_fabric__refused(o, IFAB_CODE_CONFLICT);
        return true;
    }
    if (kept->http == KEPT_SECRET) {
        ifab_refuse(&o->reply.refusal, IFAB_CODE_CONFLICT, "Idempotency-Key", "this was done; its answer held a secret and is not kept");
        o->reply.refusal.hint = "Make a new one with another key, and revoke the one whose answer was lost.";
        ifab_fabric__refused(o, IFAB_CODE_CONFLICT);
        return true;
    }
    if (ifab_arena_copy(o->arena, ifab_view_of(kept->body, kept->body_size), &o->reply.body) != IFAB_OK) {
        o->failed = true;
        return true;
    }
    o->reply.code = IFAB_CODE_NONE;
    o->reply.http = (int)kept->http;
    o->reply.replayed = true;
    return true;
}

static void keep(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, uint32_t uid, uint32_t http, struct ifab_view body);

void ifab_fabric__keep_reply(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    if (command->principal != NULL)
        ifab_fabric__keep_reply_of(self, command, o, command->principal->uid);
}

void ifab_fabric__keep_reply_of(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, uint32_t uid)
{
    if (o->reply.body.size <= IFAB_KEPT_REPLY_BODY_MAX)
        keep(self, command, o, uid, (uint32_t)o->reply.http, o->reply.body);
}

void ifab_fabric__keep_secret(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o)
{
    if (command->principal != NULL)
        keep(self, command, o, command->principal->uid, KEPT_SECRET, (struct ifab_view){NULL, 0});
}

static void keep(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, uint32_t uid, uint32_t http, struct ifab_view body)
{
    uint64_t number;
    if (command->idempotency.size == 0 || o->failed)
        return;
    if (ifab_map_get(&self->kept_by_request, ifab_view_of(command->request16, 16), &number))
        ifab_fabric__change(o, IFAB_KIND_IDEMPOTENCY, number, NULL, 0); /* an ended one gives way */
    uint8_t *bytes = ifab_fabric__alloc(o, KEPT_HEAD + body.size);
    if (bytes == NULL)
        return;
    uint8_t *at = bytes;
    ifab_put_bytes(&at, command->request16, 16);
    ifab_put_bytes(&at, command->body32, 32);
    ifab_put_u64(&at, (uint64_t)(o->now.wall + KEPT_LIFE));
    ifab_put_u32(&at, uid);
    ifab_put_u32(&at, http);
    ifab_put_bytes(&at, body.data, body.size);
    ifab_fabric__change(o, IFAB_KIND_IDEMPOTENCY, o->next_number++, bytes, KEPT_HEAD + body.size);
}

static void count_principal(struct ifab_fabric *self, uint32_t principal, bool up)
{
    uint64_t held = 0;
    (void)ifab_u64map_get(&self->kept_per_principal, principal, &held);
    held = up ? held + 1 : held - (held > 0);
    if (held == 0)
        ifab_u64map_remove(&self->kept_per_principal, principal);
    else
        (void)ifab_u64map_put(&self->kept_per_principal, principal, held); /* room reserved */
}

static void forget(struct ifab_fabric *self, uint64_t number)
{
    struct ifab_kept_reply *kept = by_number(self, number);
    if (kept == NULL)
        return;
    ifab_map_remove(&self->kept_by_request, ifab_view_of(kept->request16, 16));
    ifab_u64map_remove(&self->kept_by_number, number);
    count_principal(self, kept->principal, false);
    *(kept->older != NULL ? &kept->older->newer : &self->kept_oldest) = kept->newer;
    *(kept->newer != NULL ? &kept->newer->older : &self->kept_newest) = kept->older;
    ifab_free(kept->body);
    ifab_free(kept);
}

/* Numbers grow: the place is at the end, or near it. */
static void enlist(struct ifab_fabric *self, struct ifab_kept_reply *kept)
{
    kept->older = self->kept_newest;
    while (kept->older != NULL && kept->older->number > kept->number)
        kept->older = kept->older->older;
    kept->newer = kept->older != NULL ? kept->older->newer : self->kept_oldest;
    *(kept->older != NULL ? &kept->older->newer : &self->kept_oldest) = kept;
    *(kept->newer != NULL ? &kept->newer->older : &self->kept_newest) = kept;
}

ifab_status ifab_fabric__load_kept(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes)
{
    forget(self, number);
    if (bytes.size == 0)
        return IFAB_OK;
    if (bytes.size < KEPT_HEAD || bytes.size > KEPT_HEAD + IFAB_KEPT_REPLY_BODY_MAX)
        return IFAB_CORRUPT;
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    struct ifab_kept_reply *kept = ifab_calloc(1, sizeof *kept);
    if (kept == NULL)
        return IFAB_NOMEM;
    kept->number = number;
    memcpy(kept->request16, ifab_get_bytes(&r, 16).data, 16);
    memcpy(kept->body32, ifab_get_bytes(&r, 32).data, 32);
    kept->expires = (ifab_usec)ifab_get_u64(&r);
    kept->principal = ifab_get_u32(&r);
    kept->http = ifab_get_u32(&r);
    kept->body_size = bytes.size - KEPT_HEAD;
    kept->body = ifab_malloc(kept->body_size + 1);
    if (kept->body == NULL || ifab_map_put(&self->kept_by_request, ifab_view_of(kept->request16, 16), number) != IFAB_OK ||
        ifab_u64map_put(&self->kept_by_number, number, (uint64_t)(uintptr_t)kept) != IFAB_OK) {
        ifab_free(kept->body);
        ifab_free(kept);
        return IFAB_NOMEM;
    }
    if (kept->body_size > 0)
        memcpy(kept->body, r.at, kept->body_size);
    count_principal(self, kept->principal, true);
    enlist(self, kept);
    return IFAB_OK;
}

/*
 * The oldest ends first: they live equally long. After the clock was set back a younger one may wait for it; it answers nobody meanwhile.
 */
ifab_usec ifab_fabric__kept_due(const struct ifab_fabric *self)
{
    return self->kept_oldest == NULL ? IFAB_NEVER : self->kept_oldest->expires;
}

size_t ifab_fabric__kept_dead(const struct ifab_fabric *self, ifab_usec wall, uint64_t *ret_numbers, size_t max)
{
    size_t count = 0;
    for (const struct ifab_kept_reply *kept = self->kept_oldest; kept != NULL && count < max && kept->expires <= wall; kept = kept->newer)
        ret_numbers[count++] = kept->number;
    return count;
}

void ifab_fabric__kept_free(struct ifab_fabric *self)
{
    size_t cursor = 0;
    uint64_t number, pointer;
    while (ifab_u64map_next(&self->kept_by_number, &cursor, &number, &pointer)) {
        struct ifab_kept_reply *kept = (struct ifab_kept_reply *)(uintptr_t)pointer;
        ifab_free(kept->body);
        ifab_free(kept);
    }
    ifab_map_fini(&self->kept_by_request);
    ifab_u64map_fini(&self->kept_by_number);
    ifab_u64map_fini(&self->kept_per_principal);
}
