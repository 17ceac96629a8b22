#ifndef BASE_ARENA_H
#define BASE_ARENA_H
/*
 * An arena: one per message or request, dropped whole. Pieces are aligned to 16. Under sanitizers (ASan) each piece is
 * its own malloc, so that an overrun is seen. Threads: one at a time.
 */
#include "base/status.h"
#include "base/view.h"

struct ifab_arena_chunk;
struct ifab_arena {
    struct ifab_arena_chunk *chunks; /* newest first; owned */
    size_t used, limit;              /* bytes handed out; most that may be */
};

void ifab_arena_init(struct ifab_arena *self, size_t limit);
void *ifab_arena_alloc(struct ifab_arena *self, size_t size);  /* NULL: out of memory or limit; size 0 gives a valid pointer */
void *ifab_arena_calloc(struct ifab_arena *self, size_t count, size_t size); /* zeroed; NULL also on overflow */
ifab_status ifab_arena_copy(struct ifab_arena *self, struct ifab_view from, struct ifab_view *ret_copy); /* IFAB_NOMEM */
void ifab_arena_reset(struct ifab_arena *self); /* drops all pieces, keeps one chunk for reuse */
void ifab_arena_fini(struct ifab_arena *self);  /* accepts a zeroed one */
#endif
