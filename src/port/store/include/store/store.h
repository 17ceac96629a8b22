#ifndef STORE_STORE_H
#define STORE_STORE_H
/*
 * Durable state of one log: entries with their message bytes, records, replay tags, the head. DESIGN section 4 "Store and threads", section 6.
 * A versioned table of functions; callers use the wrappers, which check arguments.
 */
#include "base/arena.h"
#include "base/status.h"
#include "base/time.h"

#define IFAB_STORE_ABI 2
#define IFAB_STORE_SCHEMA 2
#define IFAB_STORE_WAL_BYTES ((uint64_t)32 << 20) /* DESIGN section 4: a growing WAL costs 1.7 x raw, an overwritten one 1.15 */

/* Kinds of records. Trust kinds are covered by the head's trust_root (INV-16). Numbers are on disk: never reuse one. */
enum ifab_record_kind {
    IFAB_RECORD_META = 1,         /* number 0: the fabric's own state, packed */
    IFAB_RECORD_TALENT = 2,       /* trust */
    IFAB_RECORD_SEQUENCE = 3,
    IFAB_RECORD_CONVERSATION = 4,
    IFAB_RECORD_DECISION = 5,
    IFAB_RECORD_BUCKET = 6,
    IFAB_RECORD_IDEMPOTENCY = 7,
    IFAB_RECORD_TOKEN = 10,       /* trust; 8 and 9 are the shell's own */
    IFAB_RECORD_INVITE = 11,      /* trust */
    IFAB_RECORD_LOG_KEY = 12,     /* trust; 13 is the shell's own */
};

struct ifab_stored_entry {
    uint64_t index;
    struct ifab_view entry;   /* canonical JSON */
    struct ifab_view message; /* exact envelope bytes it is about; size 0: none */
    bool erased;              /* its message was erased */
};
struct ifab_record {
    uint8_t kind;
    uint64_t number;
    struct ifab_view bytes; /* size 0: deleted */
};
struct ifab_head {
    uint64_t size;              /* entries */
    uint8_t root32[32], last_hash32[32], trust_root32[32];
    uint8_t mac32[32];          /* HMAC over all fields above and time, under a key of the log key */
    ifab_usec time;             /* wall of the newest entry */
    struct ifab_view edge;      /* ifab_tree_pack() */
};
struct ifab_commit { /* everything borrowed until the call returns */
    uint64_t first;                           /* index of entries[0]; must be the present size */
    const struct ifab_stored_entry *entries;
    size_t entry_count;
    struct ifab_view tags;                    /* packed replay tags of these entries; size 0: none */
    ifab_usec tags_until;                     /* wall: largest expiry among them */
    ifab_usec tags_dropped;                   /* wall: rows whose tags_until is below may be deleted now (a few per commit); INT64_MIN: none */
    const struct ifab_record *records;        /* each (kind, number) once: the last value */
    size_t record_count;
    const struct ifab_head *head;
};

struct ifab_store;
typedef ifab_status ifab_record_fn(void *user, const struct ifab_record *record, struct ifab_error *err);
typedef ifab_status ifab_tags_fn(void *user, struct ifab_view tags, struct ifab_error *err);

struct ifab_store_ops {
    unsigned abi;
    const char *name;
    /* All or nothing, on stable storage when it returns IFAB_OK. IFAB_FULL: rolled back, nothing written, may go on after room is made.
     * IFAB_IO, IFAB_CORRUPT, IFAB_INTERNAL: outcome unknown, never call commit again (INV-04: an fsync is not tried twice).
     * IFAB_AGAIN: another process holds the lock; nothing written. IFAB_CONFLICT: first is not the present size; nothing written. */
    ifab_status (*commit)(struct ifab_store *self, const struct ifab_commit *commit, struct ifab_error *err);
    /* The head as committed. IFAB_NOT_FOUND: an empty store. IFAB_CORRUPT. */
    ifab_status (*head)(struct ifab_store *self, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err);
    /* Entries [first, first + *ret_count), *ret_count <= max; messages only with_messages. Past the end: count 0. Any thread that has its own
     * reader; consistent. */
    ifab_status (*read)(struct ifab_store *self, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                        struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err);
    /* Every record, by kind then number. */
    ifab_status (*records)(struct ifab_store *self, ifab_record_fn *fn, void *user, struct ifab_error *err);
    /* Every packed tags row whose tags_until >= since, newest first. */
    ifab_status (*tags)(struct ifab_store *self, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err);
    /* Deletes the message bytes beside an entry, securely, durably. IFAB_NOT_FOUND: no such bytes. IFAB_AGAIN: a reader still needs the WAL
     * that holds a copy; the same call may be made again (the next start also finishes it). */
    ifab_status (*erase)(struct ifab_store *self, uint64_t index, struct ifab_error *err);
    /* Moves the log's WAL on (PASSIVE); no-op elsewhere. Called by the checkpointer on its own handle. ret_wal_bytes: what the WAL still
     * holds; 0 when all of it is in the database (the next commit then starts it over). IFAB_AGAIN: another checkpoint is running.
     * IFAB_IO: poisons every handle of this store, as a failed commit does. */
    ifab_status (*checkpoint)(struct ifab_store *self, uint64_t *ret_wal_bytes, struct ifab_error *err);
    /* Length of the WAL as this handle's last commit left it, counted from where it was last begun anew; 0 elsewhere, and before a commit. */
    uint64_t (*wal_bytes)(struct ifab_store *self);
    /* A consistent copy into a new directory (which must exist and be empty), while commits go on. Own handle. */
    ifab_status (*backup)(struct ifab_store *self, const char *directory, struct ifab_error *err);
    /* A second handle on the same data for another thread: read-only. */
    ifab_status (*reader)(struct ifab_store *self, struct ifab_store **ret_reader, struct ifab_error *err);
    void (*close)(struct ifab_store *self); /* accepts NULL through the wrapper */
};
struct ifab_store { /* every back-end's object begins with it */
    const struct ifab_store_ops *ops;
};

struct ifab_store_options {
    const char *directory; /* holds main.db, …; must exist */
    bool read_only;        /* verify, doctor */
    bool create;           /* init: IFAB_CONFLICT when there is one already */
    const char *vfs;       /* SQLite VFS by name; NULL = default. Tests: the power-cut VFS */
    bool unsafe_no_sync;   /* tests only: synchronous=OFF, the control run that must fail */
    uint64_t wal_bytes;    /* size the WAL is grown to once and keeps; 0 = IFAB_STORE_WAL_BYTES */
    int *ret_upgraded_from; /* the older schema that it had, 0: none; may be NULL */
};
/* An older schema is upgraded in one transaction, but not by read_only, which reads it as it is.
 * Once per process and directory (its own descriptors would drop the locks of an earlier handle); further handles are readers.
 * Opens at a start: fsync the WAL, drop its cached pages, open, checkpoint; quick check of the schema. IFAB_NOT_FOUND: no database;
 * IFAB_CORRUPT; IFAB_AGAIN: locked by another process; IFAB_UNSUPPORTED: newer schema (506); IFAB_DENIED: read-only disk or no right. */
IFAB_MUST_CHECK ifab_status ifab_store_sqlite_open(const struct ifab_store_options *options, struct ifab_store **ret_store, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_memory_open(struct ifab_store **ret_store, struct ifab_error *err); /* the readable reference */
/* Wraps another (moved in). The n-th call of any kind fails with `status`: once, or from then on. n = 0: never. */
struct ifab_store_fault {
    uint64_t at;
    bool sticky;
    ifab_status status;
    uint64_t calls; /* counted so far */
};
IFAB_MUST_CHECK ifab_status ifab_store_fault_open(struct ifab_store *inner, struct ifab_store_fault *plan /* borrowed */, struct ifab_store **ret_store,
                                                  struct ifab_error *err);

IFAB_MUST_CHECK ifab_status ifab_store_commit(struct ifab_store *self, const struct ifab_commit *commit, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_head(struct ifab_store *self, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_read(struct ifab_store *self, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                                            struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_records(struct ifab_store *self, ifab_record_fn *fn, void *user, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_tags(struct ifab_store *self, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_erase(struct ifab_store *self, uint64_t index, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_checkpoint(struct ifab_store *self, uint64_t *ret_wal_bytes, struct ifab_error *err);
uint64_t ifab_store_wal_bytes(struct ifab_store *self);
IFAB_MUST_CHECK ifab_status ifab_store_backup(struct ifab_store *self, const char *directory, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_store_reader(struct ifab_store *self, struct ifab_store **ret_reader, struct ifab_error *err);
void ifab_store_close(struct ifab_store *self);
void ifab_store_closep(struct ifab_store **self);

/*
 * What can still be read of a damaged main.db, of a copy of it (with its WAL): nothing is believed and nothing repaired. Threads: one.
 */
struct ifab_salvage;
IFAB_MUST_CHECK ifab_status ifab_salvage_open(const char *copy, struct ifab_salvage **ret_salvage, struct ifab_error *err); /* also of a file that is none */
void ifab_salvage_close(struct ifab_salvage *self); /* accepts NULL */
bool ifab_salvage_entry(struct ifab_salvage *self, uint64_t index, struct ifab_arena *arena, struct ifab_stored_entry *ret_entry); /* message: when it can be read */
bool ifab_salvage_head(struct ifab_salvage *self, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_view *ret_meta); /* without its edge */
#endif
