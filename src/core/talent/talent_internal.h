#ifndef TALENT_INTERNAL_H
#define TALENT_INTERNAL_H
/* Inside of talent: the table and its nodes, the record's reader and writer. */
#include "base/map.h"
#include "talent/access.h"
#include "talent/talent.h"

#include <stdatomic.h>

#define IFAB_TALENT__WALL_MAX ((ifab_usec)253402300799999999) /* 9999-12-31T23:59:59.999999Z */

/* One version of one talent: a single block, immutable once made. The table holds a reference, each keyring another. */
struct talent_node {
    atomic_uint refs;
    struct ifab_talent talent; /* its arrays and views point behind it, into this block */
};

struct ifab_talents {
    uint64_t seed;
    struct talent_node **nodes; /* number - 1 */
    size_t count, capacity;
    struct ifab_map names;  /* lower case -> number */
    struct ifab_map owners; /* lower case -> number of a talent with this owner */
    struct ifab_map keys;   /* 32 bytes -> number << 8 | place in keys; of every talent ever */
    struct ifab_map spkis;  /* SPKI digest of every key of either use -> number << 8 | place in tls_keys, or SPKI_SIGNS */
};

#define IFAB_TALENT__SPKI_SIGNS 0xffU /* in place of a place: a key that signs */

/* table.c */
/* Who holds or held a key with this digest, for whatever use; NULL: nobody. */
const struct ifab_talent *ifab_talents__spki_holder(const struct ifab_talents *self, const uint8_t spki32[32]);
void ifab_talent__node_unref(struct talent_node *node);
/* Is the name free, and how an owner may be spelled, given every talent ever. */
bool ifab_talents__name_free(const struct ifab_talents *self, struct ifab_view name);
struct ifab_view ifab_talents__owner_known(const struct ifab_talents *self, struct ifab_view owner, struct ifab_view own_name); /* its spelling here */
bool ifab_talents__owner_fits(const struct ifab_talents *self, struct ifab_view owner, struct ifab_view own_name);

/* access.c */
void ifab_access__write(struct ifab_buf *buf, const struct ifab_access_item *item);
/* Strict; views into record. IFAB_CORRUPT, IFAB_NOMEM. */
ifab_status ifab_access__read(enum ifab_access_kind kind, struct ifab_view record, struct ifab_arena *arena, struct ifab_access_item *ret_item,
                              struct ifab_error *err);

/* record.c */
/* A built-in role's name means that role and nothing else; another name may mean any. */
bool ifab_talent__role_fits(struct ifab_view role_name, enum ifab_role role);
void ifab_talent__write(struct ifab_buf *buf, const struct ifab_talent *talent);
/* Strict; arrays in arena, views into record. IFAB_CORRUPT, IFAB_NOMEM. */
ifab_status ifab_talent__read(struct ifab_view record, struct ifab_arena *arena, struct ifab_talent *ret_talent, struct ifab_error *err);
#endif
