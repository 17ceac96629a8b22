#ifndef STORE_SUPPORT_H
#define STORE_SUPPORT_H
/* Commits made from numbers, and a digest of all a store says: shared by the store's tests. */
#include "base/map.h"
#include "base/mem.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUPPORT_ENTRIES 16
#define SUPPORT_RECORDS 16

struct support_commit { /* storage of one commit */
    struct ifab_commit commit;
    struct ifab_head head;
    struct ifab_stored_entry entries[SUPPORT_ENTRIES];
    struct ifab_record records[SUPPORT_RECORDS];
    char entry_bytes[SUPPORT_ENTRIES][1200], message_bytes[SUPPORT_ENTRIES][1200], record_bytes[SUPPORT_RECORDS][200], edge[64], tags[80];
};

/* Fills size bytes from a number, so that the same number gives the same bytes. */
static inline void support_fill(char *to, size_t size, const char *label, uint64_t number)
{
    int used = snprintf(to, size, "{\"%s\":%llu,\"x\":\"", label, (unsigned long long)number);
    uint64_t state = number * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = used < 0 ? 0 : (size_t)used; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        to[i] = (char)('a' + (state >> 59) % 26);
    }
}

/* A commit of count entries after `first`. Every third entry has no message; records follow from first and salt. */
static inline struct ifab_commit *support_make(struct support_commit *s, uint64_t first, size_t count, size_t record_count, uint64_t salt)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < count; i++) {
        uint64_t index = first + i;
        size_t size = 100 + (size_t)(index * 37 % 700), message = index % 3 == 2 ? 0 : 80 + (size_t)(index * 53 % 900);
        support_fill(s->entry_bytes[i], size, "entry", index + salt);
        support_fill(s->message_bytes[i], message == 0 ? 1 : message, "message", index + salt);
        s->entries[i] =
            (struct ifab_stored_entry){index, ifab_view_of(s->entry_bytes[i], size), ifab_view_of(s->message_bytes[i], message), false};
    }
    for (size_t i = 0; i < record_count; i++) {
        size_t size = 20 + (size_t)((first + i + salt) % 150);
        support_fill(s->record_bytes[i], size, "record", first * 31 + i + salt);
        bool drop = (first + i + salt) % 5 == 4;
        s->records[i] = (struct ifab_record){(uint8_t)(1 + i % 4), (first + salt * 7 + i * 13) % 40 + i * 40,
                                             ifab_view_of(s->record_bytes[i], drop ? 0 : size)};
    }
    support_fill(s->edge, sizeof s->edge, "edge", first + count);
    support_fill(s->tags, sizeof s->tags, "tags", first);
    s->head.size = first + count;
    memset(s->head.root32, (int)((first + count) & 0xff), 32);
    for (size_t i = 0; i < 4; i++) {
        uint64_t h = ifab_hash64(count == 0 ? IFAB_VIEW("none") : s->entries[count - 1].entry, i);
        memcpy(s->head.last_hash32 + 8 * i, &h, 8);
    }
    memset(s->head.trust_root32, 3, 32);
    memset(s->head.mac32, count == 0 ? 0xEE : (int)(salt % 0xEE), 32); /* 0xEE: last_hash32 says nothing */
    s->head.time = (ifab_usec)(first + count) * IFAB_SECOND;
    s->head.edge = ifab_view_of(s->edge, sizeof s->edge);
    s->commit = (struct ifab_commit){.first = first,
                                     .entries = s->entries,
                                     .entry_count = count,
                                     .tags = ifab_view_of(s->tags, count == 0 ? 0 : sizeof s->tags),
                                     .tags_until = (ifab_usec)first * IFAB_SECOND,
                                     .tags_dropped = INT64_MIN,
                                     .records = s->records,
                                     .record_count = record_count,
                                     .head = &s->head};
    return &s->commit;
}

static inline ifab_status support_commit(struct ifab_store *store, uint64_t first, size_t count, size_t record_count, uint64_t salt)
{
    struct support_commit s;
    return ifab_store_commit(store, support_make(&s, first, count, record_count, salt), NULL);
}

static inline uint64_t support_mix(uint64_t digest, struct ifab_view v)
{
    return ifab_hash64(v, digest) ^ (v.size * UINT64_C(0x100000001B3));
}

static inline ifab_status support_mix_record(void *user, const struct ifab_record *record, struct ifab_error *err)
{
    uint64_t *digest = user, name[2] = {record->kind, record->number};
    (void)err;
    *digest = support_mix(support_mix(*digest, ifab_view_of(name, sizeof name)), record->bytes);
    return IFAB_OK;
}

static inline ifab_status support_mix_tags(void *user, struct ifab_view tags, struct ifab_error *err)
{
    uint64_t *digest = user;
    (void)err;
    *digest = support_mix(*digest, tags);
    return IFAB_OK;
}

/* Everything a store says, as one number; an empty one gives 1. Also checks that head and entries agree. */
static inline ifab_status support_digest(struct ifab_store *store, uint64_t *ret_digest, uint64_t *ret_size)
{
    struct ifab_arena arena;
    struct ifab_head head;
    struct ifab_stored_entry entries[64];
    uint64_t digest = 1, at = 0;
    size_t count = 0;
    ifab_arena_init(&arena, (size_t)1 << 28);
    ifab_status status = ifab_store_head(store, &arena, &head, NULL);
    if (status == IFAB_NOT_FOUND) {
        head = (struct ifab_head){0};
        status = IFAB_OK;
    } else if (status == IFAB_OK) {
        digest = support_mix(digest, ifab_view_of(head.root32, 32 * 4));
        digest = support_mix(digest, head.edge) ^ (uint64_t)head.time;
    }
    while (status == IFAB_OK) {
        ifab_arena_reset(&arena);
        status = ifab_store_read(store, at, 64, true, &arena, entries, &count, NULL);
        if (status != IFAB_OK || count == 0)
            break;
        for (size_t i = 0; i < count; i++)
            digest =
                support_mix(support_mix(digest, entries[i].entry), entries[i].message) ^ (entries[i].erased ? entries[i].index + 1 : 0);
        at += count;
        if (at == head.size) { /* the head's hash is of the newest entry */
            for (size_t i = 0; i < 4; i++) {
                uint64_t h = ifab_hash64(entries[count - 1].entry, i);
                if (memcmp(head.last_hash32 + 8 * i, &h, 8) != 0 && head.mac32[0] != 0xEE)
                    status = IFAB_CORRUPT;
            }
        }
    }
    if (status == IFAB_OK && at != head.size)
        status = IFAB_CORRUPT;
    if (status == IFAB_OK)
        status = ifab_store_records(store, support_mix_record, &digest, NULL);
    if (status == IFAB_OK)
        status = ifab_store_tags(store, INT64_MIN, support_mix_tags, &digest, NULL);
    ifab_arena_fini(&arena);
    if (status == IFAB_OK) {
        *ret_digest = digest;
        if (ret_size != NULL)
            *ret_size = head.size;
    }
    return status;
}
#endif
