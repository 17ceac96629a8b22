#ifndef LOOP_MODULES_H
#define LOOP_MODULES_H
/* Modules of capabilities as they were read, bounded by number and by bytes: the one that was used longest ago makes room. */
#include "capability/registry.h"

struct ifab_chassis_module;

#define MODULES_MAX       64
#define MODULES_BYTES_MAX ((uint64_t)256 << 20)

/* A module's bytes as they were read, once; found by the digest of its manifest. */
struct call_module {
    uint8_t manifest32[32];
    struct ifab_module about;
    struct ifab_chassis_module *bytes; /* a reference of the cache's; NULL: a free place */
    uint64_t used;                     /* for who has to make room */
};
struct modules { /* zeroed: none */
    struct call_module rows[MODULES_MAX];
    uint64_t used, bytes;
};
/* NULL: it is not there. It counts as used now. */
const struct call_module *modules_find(struct modules *self, const uint8_t manifest32[32]);
/* bytes: moved, dropped where there is one of this manifest already. About has at most MODULES_BYTES_MAX bytes. */
const struct call_module *modules_put(struct modules *self, const uint8_t manifest32[32], const struct ifab_module *about, struct ifab_chassis_module *bytes);
void modules_drop(struct modules *self, struct call_module *module); /* one of rows that is no free place */
void modules_free(struct modules *self);
#endif
