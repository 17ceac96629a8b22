#ifndef GUARD_TABLE_H
#define GUARD_TABLE_H
/* Inside of guard: the table of open decisions, shared by decisions.c, deadline.c and bucket.c. */
#include "base/map.h"
#include "guard/guard.h"

enum { CHAIN_ID, CHAIN_CLAIM, CHAIN_COUNT }; /* by id16; by (claim key, scope), held ones only */

struct decision_node {
    struct ifab_open_decision decision;
    size_t heap_at; /* its place in the heap */
    struct {
        struct decision_node *prev, *next; /* ascending by number */
        uint64_t key;
        bool linked;
    } chain[CHAIN_COUNT];
    struct decision_node *next_spare;
};

struct talent_row { /* what is kept of a talent: rows are never dropped, at most one a talent */
    struct ifab_bucket bucket;
    uint32_t open; /* decisions of it in the table */
    bool has_bucket;
};

struct ifab_decisions {
    uint64_t seed;
    struct decision_node **ordered; /* by number */
    struct decision_node **heap;    /* by (deadline, number), smallest first */
    size_t count, capacity;         /* of both */
    struct decision_node *spare;    /* made by reserve, linked by next_spare */
    size_t spare_count;
    struct ifab_u64map chains[CHAIN_COUNT]; /* keyed hash -> first node of its chain */
    struct talent_row *talents;
    size_t talent_count, talent_capacity;
    struct ifab_u64map talent_index; /* talent number -> place in talents */
    size_t held, escalated;
};

/* deadline.c; room in heap[] is the caller's business. count is the number of nodes in the heap. */
void ifab_guard__heap_insert(struct decision_node **heap, size_t count, struct decision_node *node);
void ifab_guard__heap_remove(struct decision_node **heap, size_t count, struct decision_node *node);

/* bucket.c */
ifab_status ifab_guard__talents_reserve(struct ifab_decisions *self, size_t n);
struct talent_row *ifab_guard__talent_row(struct ifab_decisions *self, uint32_t talent);               /* makes one; after reserve */
const struct talent_row *ifab_guard__talent_find(const struct ifab_decisions *self, uint32_t talent); /* NULL: none */

/* Our own mistake, such as a put without a reserve: stop rather than go on with a table that lacks something. */
static inline void ifab_guard__must(bool condition)
{
    if (!condition)
        __builtin_trap();
}
#endif
