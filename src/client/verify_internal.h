#ifndef CLIENT_VERIFY_INTERNAL_H
#define CLIENT_VERIFY_INTERNAL_H
/* Shared by verify_*.c only. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "client/verify.h"
#include "connect/envelope.h"
#include "crypto/crypto.h"
#include "json/json.h"
#include "witness/witness.h"

#define VERIFY_NOTE_MAX    65536
#define VERIFY_MESSAGE_MAX (1 << 20)
#define VERIFY_TILE        256 /* hashes in a full tile, entries in a full bundle */

/* Fills report->integrity (first cause kept), clears intact; returns false, so that a broken thing is one line. */
bool ifab_verify__broken(struct ifab_verify_report *report, const char *format, ...) __attribute__((format(__printf__, 2, 3)));
bool ifab_verify__broken_at(struct ifab_verify_report *report, uint64_t index, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));
bool ifab_verify__distrust(struct ifab_verify_report *report, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

/* Replaces what buf holds by the file's bytes; dir_fd may be AT_FDCWD. Statuses as ifab_verify_read_file(). */
ifab_status ifab_verify__file(int dir_fd, const char *path, size_t max, struct ifab_buf *buf, struct ifab_error *err);

/* A checkpoint and who signed it. */
struct verify_head {
    struct ifab_view note; /* borrowed */
    struct ifab_checkpoint body;
    /* the key that the caller trusts */
    bool has_key;
    struct ifab_view key_name; /* borrowed from the options */
    uint8_t key32[32];
    /* an older head of the same log, once its signature was good; where entries are read (reads_keys) that is judged at the end, when each key is known */
    bool reads_keys, has_old, old_unsigned, old_differs;
    bool old_foreign; /* it is not this log's: no verdict is good */
    struct ifab_checkpoint old;
};
/* Reads options.vkey. IFAB_INVALID. */
ifab_status ifab_verify__key(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_error *err);
/* A receipt or bundle is of one tree: no changes of key to follow; reads the checkpoint seen before. IFAB_INVALID. */
ifab_status ifab_verify__one_tree(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_error *err);
/* Found whole: is it of the size wanted, and of the tree seen before? IFAB_INVALID: that cannot be told from it alone. */
ifab_status ifab_verify__seen_before(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_verify_report *report, struct ifab_error *err);
/* The body of a note whose signature is judged later: form only. */
bool ifab_verify__head_read(struct ifab_view note, struct verify_head *head, struct ifab_verify_report *report);
/* By the key that is trusted, as the log that it names; false: report->trust says why not. */
bool ifab_verify__signed(struct verify_head *head, struct ifab_verify_report *report);
/* Signature by the trusted key, origin, size, and the older checkpoint (checked by that key, else by fallback_key32 of fallback_name). */
ifab_status ifab_verify__head_trust(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_view fallback_name,
                                    const uint8_t *fallback_key32, struct ifab_verify_report *report, struct ifab_error *err);
/* The older checkpoint whose signature was left for the end: by the key that answers for its size. */
void ifab_verify__old_end(const struct ifab_verify_options *options, struct verify_head *head, const uint8_t key32[32], struct ifab_verify_report *report);
/* The log holds other entries than the older checkpoint says. */
void ifab_verify__rewritten(const struct verify_head *head, struct ifab_verify_report *report);
/* Everything was checked: verdict and the words for what went well. */
void ifab_verify__conclude(const struct verify_head *head, struct ifab_verify_report *report);

/* verify_proof.c: an entry and its place in the tree. */
#define VERIFY_PATH_MAX 64
struct verify_proof {
    struct ifab_view entry;          /* its bytes, borrowed */
    const struct ifab_json *logged;  /* parsed */
    uint8_t leaf32[32], path[VERIFY_PATH_MAX][32];
    size_t path_count;
    int64_t index, size;
};
bool ifab_verify__proof_read(const struct ifab_json *tree, struct verify_proof *ret_proof, struct ifab_verify_report *report); /* tree may be NULL */
bool ifab_verify__proof_check(const struct verify_proof *proof, const struct verify_head *head, struct ifab_verify_report *report);
ifab_status ifab_verify__proof_parse(struct verify_proof *proof, struct ifab_arena *arena, struct ifab_verify_report *report, struct ifab_error *err);

/* Leaf hashes against hash tiles of every level, and the root over them. */
struct verify_tree;
ifab_status ifab_verify__tree_new(int dir_fd, uint64_t size, struct verify_tree **ret_tree); /* size: leaves to come */
void ifab_verify__tree_free(struct verify_tree *self);
/* IFAB_OK also when a tile is wrong: then report is no longer intact. IFAB_IO, IFAB_NOMEM. */
ifab_status ifab_verify__tree_add(struct verify_tree *self, const uint8_t leaf32[32], struct ifab_verify_report *report,
                                  struct ifab_error *err);
ifab_status ifab_verify__tree_end(struct verify_tree *self, struct ifab_verify_report *report,
                                  struct ifab_error *err); /* partial tiles above the leaves */
void ifab_verify__tree_root(const struct verify_tree *self, uint8_t ret_root32[32]);

/* verify_rotation.c: changes of the log's key, oldest first. */
#define VERIFY_ROTATIONS_MAX 256
struct verify_rotations {
    bool some;
    size_t count;
    uint64_t indexes[VERIFY_ROTATIONS_MAX];
    uint8_t keys[VERIFY_ROTATIONS_MAX + 1][32]; /* keys[i] until entry indexes[i], the last one since */
};

/* What entries say: canonical form, index, chain, time; enrolled keys; messages beside the log. */
struct verify_entries {
    int dir_fd;
    int messages_fd;    /* -1: no such folder */
    uint8_t prev32[32]; /* hash of the entry before */
    ifab_usec time;
    char log[65];            /* of entry 0 */
    struct ifab_arena arena; /* of one entry */
    struct ifab_buf canonical, file;
    struct ifab_map talents; /* name -> place in enrolled */
    struct verify_talent *enrolled;
    size_t enrolled_count, enrolled_room;
    struct ifab_u64map erased;    /* index -> enum verify_erased, from erased.json */
    struct ifab_map erased_id;    /* subjects of erase entries */
    struct ifab_u64map erased_at; /* indexes that erase entries name */
    struct verify_gone *gone;     /* listed messages that are absent: to be found in those two at the end */
    size_t gone_count, gone_room;
    uint64_t rules_good; /* files of rules/ */
    struct ifab_view origin;        /* of the checkpoint, borrowed */
    const struct verify_tree *tree; /* of the entries before this one */
    struct verify_rotations rotations;
};
ifab_status ifab_verify__entries_init(struct verify_entries *self, int dir_fd, struct ifab_verify_report *report, struct ifab_error *err);
void ifab_verify__entries_fini(struct verify_entries *self);
ifab_status ifab_verify__entry(struct verify_entries *self, uint64_t index, struct ifab_view entry, struct ifab_verify_report *report,
                               struct ifab_error *err);

/* verify_rotation.c */
void ifab_verify__rotation(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_verify_report *report);
const uint8_t *ifab_verify__key_of(const struct verify_rotations *rotations, uint64_t size, const uint8_t own32[32]);
/* The key that signs must be the last one; an earlier one that the caller trusts is followed, or told of. */
void ifab_verify__rotations_end(const struct verify_rotations *rotations, const struct verify_head *head, struct ifab_view own_name,
                                const uint8_t own32[32], bool follow, struct ifab_verify_report *report);

/* verify_talents.c */
struct verify_enrolled_key {
    uint8_t pubkey32[32];
    ifab_usec not_before, not_after;
    bool revoked; /* already so when the entry was written */
};
struct verify_talent {
    struct verify_enrolled_key *keys; /* owned */
    size_t key_count;
    bool admin; /* and not removed */
};
ifab_status ifab_verify__enrol(struct verify_entries *self, uint64_t index, const struct ifab_json *record,
                               struct ifab_verify_report *report, struct ifab_error *err);
const struct verify_talent *ifab_verify__enrolled(const struct verify_entries *self, struct ifab_view name);

/* verify_message.c */
struct verify_gone {
    uint64_t index;
    uint8_t subject_hash32[32];
};
ifab_status ifab_verify__erased_read(struct verify_entries *self, struct ifab_verify_report *report, struct ifab_error *err);
ifab_status ifab_verify__erasure(struct verify_entries *self, const struct ifab_json *entry, struct ifab_error *err);
/* Are these the bytes that were accepted, each of them? By bytes_digest, and where there is none by the canonical form. */
bool ifab_verify__exact(const struct ifab_json *payload, const struct ifab_envelope *envelope);
/* An entry of type "message": its bytes, when they are here. */
ifab_status ifab_verify__rules(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_verify_report *report,
                               struct ifab_error *err);
ifab_status ifab_verify__message(struct verify_entries *self, uint64_t index, const struct ifab_json *entry,
                                 struct ifab_verify_report *report, struct ifab_error *err);
ifab_status ifab_verify__messages_end(struct verify_entries *self, struct ifab_verify_report *report, struct ifab_error *err);

/* String member of an object, "" when absent or of another type. */
struct ifab_view ifab_verify__text(const struct ifab_json *object, const char *name);
/* "sha256:" + 64 hex. */
bool ifab_verify__digest(struct ifab_view text, uint8_t ret_digest32[32]);
#endif
