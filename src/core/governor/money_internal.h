#ifndef GOVERNOR_MONEY_INTERNAL_H
#define GOVERNOR_MONEY_INTERNAL_H
/* Inside of the governor: the table of budgets and reservations, reader and writer of the budget's record. */
#include "base/arena.h"
#include "base/map.h"
#include "governor/money.h"
#include "heap.h"

#define IFAB_MONEY__WALL_MAX ((ifab_usec)253402300799999999) /* 9999-12-31T23:59:59.999999Z */

struct budget_node {
    struct ifab_budget budget; /* its views point into bytes */
    struct budget_node *next;  /* of the same subject */
    uint8_t *bytes;            /* owned: the record */
    uint8_t digest32[32];      /* of it */
    uint32_t idle;             /* place in the heap of idle traces */
};
struct reservation_node {
    uint64_t number;
    uint8_t id16[16];
    uint32_t owner, due;
    size_t size;
    uint8_t bytes[]; /* as packed */
};
struct ifab_money {
    struct budget_node **budgets; /* in order of number */
    size_t budget_count, budget_room, trace_count;
    struct ifab_map by_id;      /* lower case -> pointer */
    struct ifab_map by_subject; /* subject byte and name -> pointer to the first node */
    struct due_heap idle;       /* traces that hold nothing: used_at */
    struct reservation_node **reservations; /* in order of number */
    size_t reservation_count, reservation_room;
    struct ifab_map reservation_by_id;
    struct ifab_u64map per_owner;
    struct due_heap due;
};
#define SUBJECT_KEY_MAX (1 + IFAB_SUBJECT_NAME_MAX)
struct ifab_view ifab_money__subject_key(uint8_t storage[SUBJECT_KEY_MAX], enum ifab_subject subject, struct ifab_view name);
const struct budget_node *ifab_money__of_subject(const struct ifab_money *self, enum ifab_subject subject, struct ifab_view name);

/* budget.c */
void ifab_budget__write(struct ifab_buf *buf, const struct ifab_budget *budget);
/* Strict; views into record. IFAB_CORRUPT, IFAB_NOMEM. */
ifab_status ifab_budget__read(struct ifab_view record, struct ifab_arena *arena, struct ifab_budget *ret_budget, struct ifab_error *err);
struct ifab_view ifab_budget__lower(struct ifab_view id, uint8_t storage[IFAB_NAME_MAX]);
#endif
