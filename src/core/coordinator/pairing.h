#ifndef COORDINATOR_PAIRING_H
#define COORDINATOR_PAIRING_H
/*
 * A pairing heap (Fredman et al. 1986) of slots: what is in it carries its links, so nothing is allocated and any member can be taken out.
 * The order must be total and must not change for a member while it is in a heap: then what comes first does not depend on history (INV-14).
 */
#include <stdbool.h>
#include <stdint.h>

struct pairing_links { /* zeroed: in no heap */
    uint32_t child, next, previous; /* previous: the one before it, or its parent when it is the first child */
};
struct pairing_order { /* of one kind of heap */
    struct pairing_links *(*links)(const void *owner, uint32_t slot);
    bool (*before)(const void *owner, uint32_t a, uint32_t b);
};
/* All return the heap's new root; root 0: empty. */
uint32_t ifab_pairing__insert(const struct pairing_order *order, const void *owner, uint32_t root, uint32_t slot);
/* Each member once, in no order that means anything: from the root on, 0 at the end. */
uint32_t ifab_pairing__next(const struct pairing_order *order, const void *owner, uint32_t root, uint32_t slot);
uint32_t ifab_pairing__remove(const struct pairing_order *order, const void *owner, uint32_t root, uint32_t slot);
#endif
