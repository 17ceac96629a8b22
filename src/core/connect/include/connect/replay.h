#ifndef CONNECT_REPLAY_H
#define CONNECT_REPLAY_H
/*
 * Replay memory (DESIGN section 4 table, section 5 Connect): for every live message one 16-byte keyed tag of (talent number, id) and one of
 * (talent number, nonce), until its expiry + skew. INV-03.
 *
 * Layout: records of 40-48 bytes {id tag, nonce tag, entry index, talent, decision} in chunks that belong to a ring of minutes by
 * expiry; an open-addressing index of {record number, hash fragment} (8 bytes a slot, two slots a message). <= 80 bytes a live message.
 * Bounds: 65,536 a sender (talent), 4 M in all: full is 305, nothing live is ever evicted. When a minute has passed its records are
 * dropped and dropped_until (W, DESIGN section 5) becomes the largest expiry ever dropped.
 */
#include "base/code.h"
#include "base/time.h"

struct ifab_replay;
struct ifab_replay_limits {
    uint32_t per_talent; /* 65,536 */
    uint32_t total;      /* 4 M */
};
struct ifab_replay_tag { /* one message; what the packed row of a commit holds */
    uint8_t id_tag16[16], nonce_tag16[16];
    ifab_usec expiry;  /* wall: issued_at + ttl_s; without skew */
    uint64_t index;    /* of its entry */
    uint32_t talent;   /* number */
    uint8_t decision;  /* enum ifab_decision at admission */
};
#define IFAB_REPLAY_TAG_SIZE 56 /* packed, little-endian: see docs/formats/store.md */

ifab_status ifab_replay_new(const struct ifab_replay_limits *limits, struct ifab_replay **ret_replay);
void ifab_replay_free(struct ifab_replay *self);
/* Room for n more; afterwards n ifab_replay_add() cannot fail. IFAB_NOMEM. */
ifab_status ifab_replay_reserve(struct ifab_replay *self, size_t n);
/* The tags of a message under this fabric's key; pure. */
void ifab_replay_tags(const uint8_t key16[16], uint32_t talent, const uint8_t id16[16], const uint8_t *nonce, size_t nonce_size,
                      struct ifab_replay_tag *ret_tag);
enum ifab_replay_verdict { IFAB_REPLAY_FRESH, IFAB_REPLAY_SEEN, IFAB_REPLAY_QUOTA };
/* SEEN: ret_first (may be NULL) holds what was kept of the earlier message with that id (or, if only the nonce was seen, of that).
 * *ret_same_id tells which. QUOTA: per talent or total. Replay is judged before quota. */
enum ifab_replay_verdict ifab_replay_check(const struct ifab_replay *self, const struct ifab_replay_tag *tag,
                                           struct ifab_replay_tag *ret_first, bool *ret_same_id);
void ifab_replay_add(struct ifab_replay *self, const struct ifab_replay_tag *tag); /* after reserve; cannot fail */
/* Around the adds of a start, on an empty one: they are found once loaded() has returned IFAB_OK (IFAB_NOMEM: it may be called again). Without
 * it nothing is admitted. */
void ifab_replay_load(struct ifab_replay *self);
ifab_status ifab_replay_loaded(struct ifab_replay *self);
/* Updates the decision kept for an id tag (released or denied later). Absent: nothing. */
void ifab_replay_set_decision(struct ifab_replay *self, const uint8_t id_tag16[16], uint8_t decision);
/* Drops what ended before wall - skew, whole minutes at a time. Deterministic in (state, wall). */
void ifab_replay_expire(struct ifab_replay *self, ifab_usec wall, ifab_usec skew);
ifab_usec ifab_replay_dropped_until(const struct ifab_replay *self); /* W; INT64_MIN at first */
void ifab_replay_set_dropped_until(struct ifab_replay *self, ifab_usec w); /* at load: max of both */
uint64_t ifab_replay_count(const struct ifab_replay *self);
uint32_t ifab_replay_count_talent(const struct ifab_replay *self, uint32_t talent);
size_t ifab_replay_bytes(const struct ifab_replay *self); /* memory held */
void ifab_replay_tag_pack(const struct ifab_replay_tag *tag, uint8_t ret_bytes[IFAB_REPLAY_TAG_SIZE]);
bool ifab_replay_tag_unpack(struct ifab_view bytes, struct ifab_replay_tag *ret_tag); /* false: wrong size or nonsense */
#endif
