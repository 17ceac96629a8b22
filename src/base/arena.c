/*
 * The arena. Chunks grow from 4 KiB to 64 KiB; a larger piece gets a chunk of its own size. `used` counts what was handed out, rounded
 * up to 16, so the limit holds whatever the chunks are. Under ASan each piece is its own malloc of the exact size.
 */
#include "base/arena.h"

#include "base/mem.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_EXACT 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_EXACT 1
#endif
#ifndef ARENA_EXACT
#define ARENA_EXACT 0
#endif

#define ALIGNMENT ((size_t)16)
#define FIRST_CHUNK ((size_t)4096)
#define LARGEST_CHUNK ((size_t)65536)

struct ifab_arena_chunk {
    _Alignas(16) struct ifab_arena_chunk *next;
    size_t size, used; /* of the bytes behind this header */
};

static uint8_t *bytes_of(struct ifab_arena_chunk *chunk)
{
    return (uint8_t *)(chunk + 1);
}

void ifab_arena_init(struct ifab_arena *self, size_t limit)
{
    *self = (struct ifab_arena){NULL, 0, limit};
}

static struct ifab_arena_chunk *add_chunk(struct ifab_arena *self, size_t rounded, size_t exact)
{
    size_t size = exact;
    if (!ARENA_EXACT) {
        size = self->chunks == NULL ? FIRST_CHUNK : self->chunks->size * 2;
        size = size > LARGEST_CHUNK ? LARGEST_CHUNK : size;
        size = size < rounded ? rounded : size;
    }
    if (size > SIZE_MAX - sizeof(struct ifab_arena_chunk))
        return NULL;
    struct ifab_arena_chunk *chunk = ifab_malloc(sizeof *chunk + size);
    if (chunk == NULL)
        return NULL;
    *chunk = (struct ifab_arena_chunk){self->chunks, size, 0};
    self->chunks = chunk;
    return chunk;
}

void *ifab_arena_alloc(struct ifab_arena *self, size_t size)
{
    if (size == 0)
        size = 1;
    if (size > SIZE_MAX - ALIGNMENT)
        return NULL;
    size_t rounded = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (self->used > self->limit || rounded > self->limit - self->used)
        return NULL;
    struct ifab_arena_chunk *chunk = self->chunks;
    if (ARENA_EXACT || chunk == NULL || rounded > chunk->size - chunk->used) {
        chunk = add_chunk(self, rounded, size);
        if (chunk == NULL)
            return NULL;
    }
    uint8_t *piece = bytes_of(chunk) + chunk->used;
    chunk->used += ARENA_EXACT ? size : rounded;
    self->used += rounded;
    return piece;
}

void *ifab_arena_calloc(struct ifab_arena *self, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *piece = ifab_arena_alloc(self, total);
    if (piece != NULL && total > 0)
        memset(piece, 0, total);
    return piece;
}

ifab_status ifab_arena_copy(struct ifab_arena *self, struct ifab_view from, struct ifab_view *ret_copy)
{
    uint8_t *piece = ifab_arena_alloc(self, from.size);
    if (piece == NULL)
        return IFAB_NOMEM;
    if (from.size > 0)
        memcpy(piece, from.data, from.size);
    *ret_copy = (struct ifab_view){piece, from.size};
    return IFAB_OK;
}

void ifab_arena_reset(struct ifab_arena *self)
{
    /* Keep the largest ordinary chunk; one that a single large piece asked for goes back, so that it is not held for ever. */
    struct ifab_arena_chunk *kept = NULL;
    while (self->chunks != NULL) {
        struct ifab_arena_chunk *chunk = self->chunks;
        self->chunks = chunk->next;
        bool better = !ARENA_EXACT && chunk->size <= LARGEST_CHUNK && (kept == NULL || chunk->size > kept->size);
        if (better) {
            ifab_free(kept);
            kept = chunk;
        } else {
            ifab_free(chunk);
        }
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = 0;
    }
    self->chunks = kept;
    self->used = 0;
}

void ifab_arena_fini(struct ifab_arena *self)
{
    while (self->chunks != NULL) {
        struct ifab_arena_chunk *next = self->chunks->next;
        ifab_free(self->chunks);
        self->chunks = next;
    }
    self->used = 0;
}
