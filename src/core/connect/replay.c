/*
 * Replay memory (INV-03).
 *
 * Records of 48 bytes lie in chunks of 64; a chunk belongs to one bucket of a ring of 128 minutes, by expiry. A message lives at most
 * 3,600 s + twice the skew, so about 75 buckets are in use and a bucket holds one minute. One slot_index holds two references a
 * message: to its id tag and to its nonce tag; the first four bytes of a keyed tag are the hash.
 *
 * 1. A record leaves only when its whole minute lies before wall - skew; nothing is evicted for room.
 * 2. What left raises dropped_until, so that "not found" is never taken for "never seen": check() answers QUOTA at or below it.
 * 3. A minute ends at once for everybody who asks (counts, verdicts), but its references leave the index a few at a time, in later calls:
 *    a sender with short messages ends a million in one minute, and nobody should wait for that. find() does not see dead chunks.
 *    While a store is loaded there is no index: it is made once, of the right size, at the end; until then check() answers QUOTA.
 * 4. After reserve(n), n adds allocate nothing. Even an add that check() would have refused (a bucket in use by another minute, at load
 *    time after a clock was set) is kept: in that bucket, for the longer of both times.
 */
#include "connect/replay.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/slot_index.h"

#define RING 128
#define CHUNK 64
#define SPARE_KEPT (RING + 16) /* chunks kept for reuse when a minute ends; the rest goes back */
#define NONCE_REF UINT32_C(0x80000000)
#define DECISION_SHIFT 26 /* below: microseconds within the minute, < 2^26 */
#define SWEEP_EXPIRE 16 /* dead records that leave the index in a call; add() alone clears more than it adds */
#define SWEEP_ADD 4
#define MOST_TOTAL (UINT32_C(1) << 28)

struct record {
    uint8_t id_tag16[16], nonce_tag16[16];
    uint64_t index;
    uint32_t talent;
    uint32_t when; /* decision << 26 | expiry within its minute, µs */
};
struct chunk {
    struct chunk *next;    /* of its bucket, of the dead or of the spare ones */
    uint32_t number, used; /* number: its place in `chunks`; records are numbered from it */
    int64_t minute;        /* what `when` counts from */
    uint32_t swept;        /* once dead: so many of its records have left the index */
    bool dead;
    struct record records[CHUNK];
};
_Static_assert(sizeof(struct record) == 48, "80 bytes a live message");

struct bucket {
    struct chunk *chunks; /* the first one has room, the others are full; NULL: unused */
    int64_t minute;
    ifab_usec max_expiry;
};
struct ifab_replay {
    struct ifab_replay_limits limits;
    struct ifab_slot_index index;
    struct ifab_u64map talents; /* talent → live messages */
    struct bucket ring[RING];
    int64_t earliest; /* no bucket in use is of an earlier minute */
    struct chunk **chunks; /* by number; NULL: number is free */
    uint32_t *free_numbers;
    uint32_t chunk_room, chunk_end, free_number_count;
    struct chunk *spare, *dead;
    uint32_t spare_count, used_chunks; /* used: live or dead */
    uint64_t count;
    ifab_usec dropped_until;
    bool loading; /* nothing is in the index yet */
};

static uint32_t hash_of(const uint8_t tag16[16])
{
    uint32_t hash;
    memcpy(&hash, tag16, sizeof hash); /* which bytes come first does not matter: it never leaves this memory */
    return hash;
}

static int64_t minute_of(ifab_usec expiry)
{
    return expiry < 0 ? 0 : expiry / IFAB_MINUTE;
}

ifab_status ifab_replay_new(const struct ifab_replay_limits *limits, struct ifab_replay **ret_replay)
{
    if (limits->total == 0 || limits->per_talent == 0 || limits->total > MOST_TOTAL)
        return IFAB_INVALID;
    struct ifab_replay *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->limits = *limits;
    self->earliest = INT64_MAX;
    self->dropped_until = INT64_MIN;
    *ret_replay = self;
    return IFAB_OK;
}

static void free_chunks(struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        ifab_free(chunk);
        chunk = next;
    }
}

void ifab_replay_free(struct ifab_replay *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < RING; i++)
        free_chunks(self->ring[i].chunks);
    free_chunks(self->spare);
    free_chunks(self->dead);
    ifab_free(self->chunks);
    ifab_free(self->free_numbers);
    ifab_slot_index_fini(&self->index);
    ifab_u64map_fini(&self->talents);
    ifab_free(self);
}

static bool reserve_numbers(struct ifab_replay *self)
{
    if (self->chunk_end < self->chunk_room)
        return true;
    uint32_t room = self->chunk_room + self->chunk_room / 4 + 64;
    struct chunk **chunks = ifab_realloc(self->chunks, (size_t)room * sizeof(struct chunk *));
    if (chunks == NULL)
        return false;
    self->chunks = chunks;
    uint32_t *numbers = ifab_realloc(self->free_numbers, (size_t)room * sizeof *numbers);
    if (numbers == NULL)
        return false;
    self->free_numbers = numbers;
    self->chunk_room = room;
    return true;
}

static bool add_spare(struct ifab_replay *self)
{
    if (self->free_number_count == 0 && !reserve_numbers(self))
        return false;
    struct chunk *chunk = ifab_malloc(sizeof *chunk);
    if (chunk == NULL)
        return false;
    chunk->number = self->free_number_count > 0 ? self->free_numbers[--self->free_number_count] : self->chunk_end++;
    self->chunks[chunk->number] = chunk;
    chunk->next = self->spare;
    self->spare = chunk;
    self->spare_count++;
    return true;
}

ifab_status ifab_replay_reserve(struct ifab_replay *self, size_t n)
{
    if (n > MOST_TOTAL)
        return IFAB_NOMEM;
    if (!self->loading && !ifab_slot_index_reserve(&self->index, 2 * n))
        return IFAB_NOMEM;
    IFAB_TRY(ifab_u64map_reserve(&self->talents, n));
    /* at worst each of the first 128 opens a chunk in a bucket of its own; after that 64 are needed to open another */
    size_t chunks = n <= RING ? n : RING + (n - RING) / CHUNK;
    while (self->spare_count < chunks) {
        if (!add_spare(self))
            return IFAB_NOMEM;
    }
    return IFAB_OK;
}

static struct record *record_at(const struct ifab_replay *self, uint32_t number)
{
    return &self->chunks[number / CHUNK]->records[number % CHUNK];
}

static bool find(const struct ifab_replay *self, const uint8_t tag16[16], uint32_t kind, uint32_t *ret_number)
{
    uint32_t hash = hash_of(tag16), at = ifab_slot_index_home(&self->index, hash), ref;
    while ((ref = ifab_slot_index_next(&self->index, hash, &at)) != 0) {
        if ((ref & NONCE_REF) != kind)
            continue;
        uint32_t number = (ref & ~NONCE_REF) - 1;
        if (self->chunks[number / CHUNK]->dead)
            continue;
        const struct record *record = record_at(self, number);
        if (memcmp(kind == 0 ? record->id_tag16 : record->nonce_tag16, tag16, 16) == 0) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

static void read_record(const struct ifab_replay *self, uint32_t number, struct ifab_replay_tag *ret_tag)
{
    const struct record *record = record_at(self, number);
    memset(ret_tag, 0, sizeof *ret_tag);
    memcpy(ret_tag->id_tag16, record->id_tag16, 16);
    memcpy(ret_tag->nonce_tag16, record->nonce_tag16, 16);
    ret_tag->expiry = self->chunks[number / CHUNK]->minute * IFAB_MINUTE + (record->when & ((UINT32_C(1) << DECISION_SHIFT) - 1));
    ret_tag->index = record->index;
    ret_tag->talent = record->talent;
    ret_tag->decision = (uint8_t)(record->when >> DECISION_SHIFT);
}

enum ifab_replay_verdict ifab_replay_check(const struct ifab_replay *self, const struct ifab_replay_tag *tag,
                                           struct ifab_replay_tag *ret_first, bool *ret_same_id)
{
    uint32_t number;
    if (self->loading) /* nobody can say yet whether it was here */
        return IFAB_REPLAY_QUOTA;
    bool same_id = find(self, tag->id_tag16, 0, &number);
    if (same_id || find(self, tag->nonce_tag16, NONCE_REF, &number)) {
        if (ret_first != NULL)
            read_record(self, number, ret_first);
        if (ret_same_id != NULL)
            *ret_same_id = same_id;
        return IFAB_REPLAY_SEEN;
    }
    if (tag->expiry <= self->dropped_until || tag->expiry < 0)
        return IFAB_REPLAY_QUOTA; /* it may have been here and left: time is checked before and says 102; fail closed all the same */
    const struct bucket *bucket = &self->ring[minute_of(tag->expiry) % RING];
    if (bucket->chunks != NULL && bucket->minute != minute_of(tag->expiry))
        return IFAB_REPLAY_QUOTA; /* further away than any message of this time can be */
    if (self->count >= self->limits.total || ifab_replay_count_talent(self, tag->talent) >= self->limits.per_talent)
        return IFAB_REPLAY_QUOTA;
    return IFAB_REPLAY_FRESH;
}

void ifab_replay_set_decision(struct ifab_replay *self, const uint8_t id_tag16[16], uint8_t decision)
{
    uint32_t number;
    if (!find(self, id_tag16, 0, &number))
        return;
    struct record *record = record_at(self, number);
    record->when = (record->when & ((UINT32_C(1) << DECISION_SHIFT) - 1)) | (uint32_t)(decision & 0x3F) << DECISION_SHIFT;
}

static void release_chunk(struct ifab_replay *self, struct chunk *chunk)
{
    self->used_chunks--;
    if (self->spare_count < SPARE_KEPT) {
        chunk->next = self->spare;
        self->spare = chunk;
        self->spare_count++;
        return;
    }
    self->chunks[chunk->number] = NULL;
    self->free_numbers[self->free_number_count++] = chunk->number;
    ifab_free(chunk);
}

/* Takes up to n references of dead records out of the index; an empty chunk goes back. */
static void sweep(struct ifab_replay *self, unsigned n)
{
    for (; n > 0 && self->dead != NULL; n--) {
        struct chunk *chunk = self->dead;
        const struct record *record = &chunk->records[chunk->swept];
        uint32_t ref = chunk->number * CHUNK + chunk->swept + 1;
        (void)ifab_slot_index_remove(&self->index, hash_of(record->id_tag16), ref);
        (void)ifab_slot_index_remove(&self->index, hash_of(record->nonce_tag16), ref | NONCE_REF);
        if (++chunk->swept == chunk->used) {
            self->dead = chunk->next;
            release_chunk(self, chunk);
        }
    }
}

static void drop_bucket(struct ifab_replay *self, struct bucket *bucket)
{
    struct chunk *next;
    for (struct chunk *chunk = bucket->chunks; chunk != NULL; chunk = next) {
        next = chunk->next;
        for (uint32_t i = 0; i < chunk->used; i++) {
            uint32_t talent = chunk->records[i].talent, left = ifab_replay_count_talent(self, talent);
            if (left > 1)
                (void)ifab_u64map_put(&self->talents, talent, left - 1); /* replaces: cannot fail */
            else
                (void)ifab_u64map_remove(&self->talents, talent);
        }
        self->count -= chunk->used;
        chunk->dead = true;
        chunk->next = self->dead;
        self->dead = chunk;
    }
    ifab_replay_set_dropped_until(self, bucket->max_expiry);
    *bucket = (struct bucket){.chunks = NULL};
}

void ifab_replay_expire(struct ifab_replay *self, ifab_usec wall, ifab_usec skew)
{
    if (wall < skew)
        return;
    int64_t horizon = minute_of(wall - skew); /* minutes before this one have ended, skew included */
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < RING && self->earliest < horizon; i++) {
        struct bucket *bucket = &self->ring[i];
        if (bucket->chunks != NULL && bucket->minute < horizon)
            drop_bucket(self, bucket);
        if (bucket->chunks != NULL && bucket->minute < earliest)
            earliest = bucket->minute;
    }
    if (self->earliest < horizon)
        self->earliest = earliest;
    sweep(self, SWEEP_EXPIRE);
}

/* The chunk of this bucket that has room; a spare one is there since reserve. */
static struct chunk *open_chunk(struct ifab_replay *self, struct bucket *bucket)
{
    struct chunk *chunk = bucket->chunks;
    if (chunk != NULL && chunk->used < CHUNK)
        return chunk;
    chunk = self->spare;
    self->spare = chunk->next;
    self->spare_count--;
    self->used_chunks++;
    chunk->next = bucket->chunks;
    chunk->used = chunk->swept = 0;
    chunk->dead = false;
    chunk->minute = bucket->minute;
    bucket->chunks = chunk;
    return chunk;
}

static void insert(struct ifab_replay *self, const struct record *record, uint32_t number)
{
    ifab_slot_index_insert(&self->index, hash_of(record->id_tag16), number + 1);
    ifab_slot_index_insert(&self->index, hash_of(record->nonce_tag16), (number + 1) | NONCE_REF);
}

void ifab_replay_load(struct ifab_replay *self)
{
    if (self->count == 0 && self->dead == NULL)
        self->loading = true;
}

ifab_status ifab_replay_loaded(struct ifab_replay *self)
{
    if (!self->loading)
        return IFAB_OK;
    if (!ifab_slot_index_reserve(&self->index, 2 * (size_t)self->count + (size_t)self->count / 64))
        return IFAB_NOMEM;
    for (size_t i = 0; i < RING; i++)
        for (const struct chunk *chunk = self->ring[i].chunks; chunk != NULL; chunk = chunk->next)
            for (uint32_t k = 0; k < chunk->used; k++)
                insert(self, &chunk->records[k], chunk->number * CHUNK + k);
    self->loading = false;
    return IFAB_OK;
}

void ifab_replay_add(struct ifab_replay *self, const struct ifab_replay_tag *tag)
{
    int64_t minute = minute_of(tag->expiry);
    struct bucket *bucket = &self->ring[minute % RING];
    uint32_t within = tag->expiry < 0 ? 0 : (uint32_t)(tag->expiry % IFAB_MINUTE);
    if (bucket->chunks == NULL) {
        bucket->minute = minute;
        bucket->max_expiry = tag->expiry;
    } else if (bucket->minute != minute) { /* invariant 4: kept for the longer of both times */
        if (bucket->minute < minute)
            bucket->chunks->minute = bucket->minute = minute;
        else
            within = 0;
    }
    if (bucket->max_expiry < tag->expiry)
        bucket->max_expiry = tag->expiry;
    if (self->earliest > bucket->minute)
        self->earliest = bucket->minute;

    struct chunk *chunk = open_chunk(self, bucket);
    uint32_t number = chunk->number * CHUNK + chunk->used;
    struct record *record = &chunk->records[chunk->used++];
    memcpy(record->id_tag16, tag->id_tag16, 16);
    memcpy(record->nonce_tag16, tag->nonce_tag16, 16);
    record->index = tag->index;
    record->talent = tag->talent;
    record->when = (uint32_t)(tag->decision & 0x3F) << DECISION_SHIFT | within;
    if (!self->loading)
        insert(self, record, number);
    (void)ifab_u64map_put(&self->talents, tag->talent, (uint64_t)ifab_replay_count_talent(self, tag->talent) + 1); /* room since reserve */
    self->count++;
    sweep(self, SWEEP_ADD);
}

ifab_usec ifab_replay_dropped_until(const struct ifab_replay *self)
{
    return self->dropped_until;
}

void ifab_replay_set_dropped_until(struct ifab_replay *self, ifab_usec w)
{
    if (w > self->dropped_until)
        self->dropped_until = w;
}

uint64_t ifab_replay_count(const struct ifab_replay *self)
{
    return self->count;
}

uint32_t ifab_replay_count_talent(const struct ifab_replay *self, uint32_t talent)
{
    uint64_t count = 0;
    (void)ifab_u64map_get(&self->talents, talent, &count);
    return (uint32_t)count;
}

size_t ifab_replay_bytes(const struct ifab_replay *self)
{
    size_t chunks = (size_t)self->used_chunks + self->spare_count;
    return sizeof *self + chunks * sizeof(struct chunk) + self->chunk_room * (sizeof(struct chunk *) + sizeof(uint32_t)) +
           ifab_slot_index_bytes(&self->index) + self->talents.capacity * sizeof(struct ifab_u64map_slot);
}
