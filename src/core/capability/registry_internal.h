#ifndef REGISTRY_INTERNAL_H
#define REGISTRY_INTERNAL_H
/* Inside of the registry: the table, its rows, readers and writers of records. */
#include "base/map.h"
#include "capability/registry.h"
#include "capability_internal.h"

#define IFAB_REGISTRY__KINDS 3
#define IFAB_REGISTRY__WALL_MAX ((ifab_usec)253402300799999999) /* 9999-12-31T23:59:59.999999Z */

struct registry_row { /* one record; never moved. Everything it points to lies in its arena */
    enum ifab_registry_kind kind;
    uint64_t number;
    struct ifab_arena arena;
    struct ifab_view record;
    uint8_t record32[32]; /* its SHA-256 */
    uint8_t bytes32[32];  /* a revocation's digest or key */
    struct ifab_manifest manifest;
    bool verified; /* its signature was found good, by the key in it; neither changes while the row lives */
    union {
        struct ifab_publisher publisher;
        struct ifab_allowed allowed;
        struct ifab_revocation revocation;
    } u;
};
struct registry_rows {
    struct registry_row **items; /* in order of number */
    size_t count, capacity;
};
struct ifab_registry {
    struct registry_rows rows[IFAB_REGISTRY__KINDS];
    struct ifab_map index; /* a letter and what it is known by -> pointer of its row; keys.c of the letters: see ifab_registry__key() */
    size_t allowed_bytes;
};

/*
 * Keys of the index: 'n' a publisher's name in lower case · 'k' its key · 'a' id@version · 'I' revoked id · 'V' revoked id@version ·
 * 'D' revoked digest · 'K' revoked key.
 */
#define IFAB_REGISTRY__KEY_MAX (2 + IFAB_CAPABILITY_ID_MAX + IFAB_CAPABILITY_VERSION_MAX)
struct ifab_view ifab_registry__key(uint8_t storage[IFAB_REGISTRY__KEY_MAX], char letter, struct ifab_view a, struct ifab_view b);
struct registry_row *ifab_registry__lookup(const struct ifab_registry *self, char letter, struct ifab_view a, struct ifab_view b);
struct ifab_view ifab_registry__revocation_key(uint8_t storage[IFAB_REGISTRY__KEY_MAX], const struct ifab_revocation *revocation);

/* registry_record.c: strict; what read takes, write gives back. IFAB_CORRUPT, IFAB_NOMEM. record lies in the row's arena already. */
void ifab_registry__write_publisher(struct ifab_buf *buf, const struct ifab_publisher *publisher);
void ifab_registry__write_allowed(struct ifab_buf *buf, const struct ifab_manifest *manifest, struct ifab_view publisher, ifab_usec allowed_at);
void ifab_registry__write_revocation(struct ifab_buf *buf, const struct ifab_revocation *revocation);
ifab_status ifab_registry__read(struct registry_row *row, struct ifab_error *err);
bool ifab_registry__namespace_valid(struct ifab_view text);
#endif
