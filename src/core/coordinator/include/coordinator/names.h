#ifndef COORDINATOR_NAMES_H
#define COORDINATOR_NAMES_H
/*
 * Sets of names: what a task needs, what a swarm can do. Packed: the names in bytewise order, each once, each ended by NUL; so equal sets are equal
 * bytes, and two sets are compared in one walk. A skill is [A-Za-z0-9][A-Za-z0-9._:-]{0,63}.
 */
#include "base/view.h"

#define IFAB_SKILL_MAX 64

struct ifab_names {
    const char *text; /* packed; borrowed from whoever holds the set */
    uint16_t size, count;
    uint64_t bits; /* one bit a name, by its hash: what is missing here is missing there */
};

bool ifab_skill_valid(struct ifab_view name);
/* Packs names (any order; doubles count once) into room. False: one is no skill, or they do not fit. */
bool ifab_names_pack(const struct ifab_view *names, size_t count, char *room, size_t room_size, struct ifab_names *ret_names);
/* The set that these packed bytes spell. False: not in packed form. */
bool ifab_names_read(struct ifab_view packed, struct ifab_names *ret_names);
/* The next name after *at (0 at first); false at the end. */
bool ifab_names_next(const struct ifab_names *self, size_t *at, struct ifab_view *ret_name);
bool ifab_names_has(const struct ifab_names *self, struct ifab_view name);
uint32_t ifab_names_common(const struct ifab_names *a, const struct ifab_names *b); /* how many stand in both */
/* |have and need| / |need| >= 0.70; an empty need is met by everybody. DESIGN section 5, Governor. */
bool ifab_names_cover(const struct ifab_names *have, const struct ifab_names *need);
#endif
