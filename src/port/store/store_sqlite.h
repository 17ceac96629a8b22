#ifndef STORE_STORE_SQLITE_H
#define STORE_STORE_SQLITE_H
/*
 * Inside of the SQLite back-end. One writer handle and any number of readers, each with its own connection and its own thread.
 * 1. Poisoned: once a commit, an fsync or a checkpoint failed in a way that leaves its outcome unknown, no handle of this store writes
 * again (a COMMIT that failed in fsync came back as committed in the next process; a second fsync of the same pages reports success for
 * nothing).
 * 2. Database and WAL are changed by SQLite only, except that zeros are appended to a WAL to grow it.
 */
#include "store/store.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define IFAB_STORE__LOG         1          /* the one log of version 1: column `log` */
#define IFAB_STORE__APPLICATION 0x49464142 /* "IFAB" */
#define IFAB_STORE__PAGE        8192       /* 8 KiB pages: +26 % at batch 100 */
#define IFAB_STORE__BUSY_MSEC   2000       /* so long a lock is waited for that somebody outside holds: a backup, a shell, an old process */
#define IFAB_STORE__BUSY_STEP   10
#define IFAB_STORE__TAG_ROWS    8          /* oldest tag rows a commit looks at */

enum ifab_store__statement {
    IFAB_STORE__BEGIN,
    IFAB_STORE__COMMIT,
    IFAB_STORE__ROLLBACK,
    IFAB_STORE__SIZE,
    IFAB_STORE__ADD_ENTRY,
    IFAB_STORE__ADD_TAGS,
    IFAB_STORE__DROP_TAGS,
    IFAB_STORE__PUT_RECORD,
    IFAB_STORE__DROP_RECORD,
    IFAB_STORE__PUT_HEAD,
    IFAB_STORE__GET_HEAD,
    IFAB_STORE__READ,
    IFAB_STORE__READ_SHORT, /* without messages */
    IFAB_STORE__RECORDS,
    IFAB_STORE__TAGS,
    IFAB_STORE__LENGTH, /* of a message that is there */
    IFAB_STORE__ERASE,
    IFAB_STORE__GET_WIPE,
    IFAB_STORE__SET_WIPE,
    IFAB_STORE__STATEMENT_COUNT
};

struct ifab_store__vfs { /* store_sqlite_vfs.c */
    sqlite3_vfs vfs;
    sqlite3_vfs *below; /* NULL: not registered */
    char name[40];
};
struct ifab_store__shared { /* by all handles of one store; freed with the last */
    atomic_uint refs;
    atomic_bool poisoned;
    char *directory, *path, *vfs; /* owned; vfs may be NULL */
    bool read_only, unsafe_no_sync, immutable;
    uint64_t wal_bytes;
    struct ifab_store__vfs writer_vfs;
};
struct ifab_store__sqlite {
    struct ifab_store base;
    struct ifab_store__shared *shared; /* referenced */
    sqlite3 *db;
    bool writer;
    bool cache_grown;    /* with the first commit: a start reads much once, and should keep none of it */
    uint64_t wal_frames; /* after the writer's last commit */
    int upgraded_from;   /* schema found at the open; 0: this one */
    sqlite3_stmt *statements[IFAB_STORE__STATEMENT_COUNT];
};

static inline struct ifab_store__sqlite *ifab_store__of(struct ifab_store *base) { return (struct ifab_store__sqlite *)(void *)base; }

/* What a result of SQLite means, by the last error of the WAL for "no room". Never IFAB_OK unless rc is SQLITE_OK, ROW or DONE. */
ifab_status ifab_store__status(sqlite3 *db, int rc);
/* Records the cause and returns ifab_store__status(). */
ifab_status ifab_store__fail(struct ifab_store__sqlite *self, int rc, const char *what, struct ifab_error *err);
/* Steps a statement that gives no rows and resets it. */
int ifab_store__run(struct ifab_store__sqlite *self, enum ifab_store__statement which);
void ifab_store__poison(struct ifab_store__sqlite *self);
/* IFAB_DENIED: a reader; IFAB_INTERNAL: poisoned. */
ifab_status ifab_store__may_write(struct ifab_store__sqlite *self, struct ifab_error *err);
/* Waits for the lock, at most IFAB_STORE__BUSY_MSEC; the other one does not. */
ifab_status ifab_store__begin(struct ifab_store__sqlite *self, struct ifab_error *err);
ifab_status ifab_store__begin_at_once(struct ifab_store__sqlite *self, struct ifab_error *err);
/* Commits, or rolls back and says why; with `status` != IFAB_OK it only rolls back. Poisons when the outcome is unknown. */
ifab_status ifab_store__end(struct ifab_store__sqlite *self, ifab_status status, struct ifab_error *err);

void ifab_store__pause(const struct ifab_store__shared *shared); /* IFAB_STORE__BUSY_STEP, as the VFS sleeps */
/* store_sqlite_open.c: a second connection; NULL-safe close. */
ifab_status ifab_store__reader(struct ifab_store *base, struct ifab_store **ret_reader, struct ifab_error *err);
void ifab_store__close(struct ifab_store *base);
/* store_sqlite_schema.c */
extern const char *const ifab_store__sql[IFAB_STORE__STATEMENT_COUNT];
ifab_status ifab_store__create_schema(struct ifab_store__sqlite *self, struct ifab_error *err);
ifab_status ifab_store__check_schema(struct ifab_store__sqlite *self, struct ifab_error *err);
/* store_sqlite_read.c */
ifab_status ifab_store__head(struct ifab_store *base, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err);
ifab_status ifab_store__read(struct ifab_store *base, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                             struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err);
ifab_status ifab_store__records(struct ifab_store *base, ifab_record_fn *fn, void *user, struct ifab_error *err);
ifab_status ifab_store__tags(struct ifab_store *base, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err);
/* store_sqlite_wal.c */
uint64_t ifab_store__wal_bytes(struct ifab_store *base);
ifab_status ifab_store__checkpoint(struct ifab_store *base, uint64_t *ret_wal_bytes, struct ifab_error *err);
ifab_status ifab_store__first_checkpoint(struct ifab_store__sqlite *self,
                                         struct ifab_error *err); /* of a start; IFAB_CORRUPT: file cut short */
ifab_status ifab_store__grow_wal(struct ifab_store__sqlite *self, struct ifab_error *err);
ifab_status ifab_store__erase(struct ifab_store *base, uint64_t index, struct ifab_error *err);
ifab_status ifab_store__finish_wipe(struct ifab_store__sqlite *self, struct ifab_error *err); /* if one is outstanding */
/* store_sqlite_vfs.c: the writer's connection uses it. Removed only after that connection is closed; removing twice is fine. */
ifab_status ifab_store__vfs_add(struct ifab_store__vfs *self, const char *lower_name, struct ifab_error *err);
void ifab_store__vfs_remove(struct ifab_store__vfs *self);
/* store_sqlite_backup.c */
ifab_status ifab_store__backup(struct ifab_store *base, const char *directory, struct ifab_error *err);

extern const struct ifab_store_ops ifab_store__sqlite_ops;
#endif
