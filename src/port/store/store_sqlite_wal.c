/*
 * What concerns the write-ahead log: moving it into the database, growing it once, and emptying it so that erased bytes leave it also.
 * Limit, said plainly: erasing reaches the bytes of the files; what a flash disk or a copy-on-write file system keeps below them, it
 * cannot.
 */
#include "store_sqlite.h"

#include "base/mem.h"

#define FRAME     (IFAB_STORE__PAGE + 24) /* a page and its frame header, sqlite.org/fileformat2.html section 4.1 */
#define WAIT_MSEC 500                     /* for readers to leave the WAL; they may hold a snapshot for 50 ms */

static ifab_status checkpoint_failed(struct ifab_store__sqlite *self, int rc, struct ifab_error *err)
{
    ifab_status status = ifab_store__fail(self, rc, "checkpoint", err);
    if (status == IFAB_IO || status == IFAB_CORRUPT || status == IFAB_INTERNAL)
        ifab_store__poison(self);
    return status;
}

static ifab_status refuse_poisoned(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    if (self->shared->read_only)
        return ifab_fail(err, IFAB_DENIED, "store: opened read-only");
    if (atomic_load(&self->shared->poisoned))
        return ifab_fail(err, IFAB_INTERNAL, "store: an earlier write ended without a known outcome: start again");
    return IFAB_OK;
}

static ifab_status move_wal(struct ifab_store__sqlite *self, int *ret_all, int *ret_moved, struct ifab_error *err)
{
    IFAB_TRY(refuse_poisoned(self, err));
    int rc = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_PASSIVE, ret_all, ret_moved);
    return rc == SQLITE_OK ? IFAB_OK : checkpoint_failed(self, rc, err);
}

ifab_status ifab_store__checkpoint(struct ifab_store *base, uint64_t *ret_wal_bytes, struct ifab_error *err)
{
    int all = 0, moved = 0;
    IFAB_TRY(move_wal(ifab_store__of(base), &all, &moved, err));
    *ret_wal_bytes = all <= 0 || moved >= all ? 0 : (uint64_t)all * FRAME;
    return IFAB_OK;
}

uint64_t ifab_store__wal_bytes(struct ifab_store *base) { return ifab_store__of(base)->wal_frames * FRAME; }

static uint32_t big_endian(const uint8_t *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

/* How many different pages of (from, to] the first `frames` frames of the WAL hold. */
static ifab_status count_pages(struct ifab_store__sqlite *self, int frames, uint32_t from, uint32_t to, uint32_t *ret_count,
                               struct ifab_error *err)
{
    sqlite3_file *wal = NULL;
    uint8_t header[24];
    uint32_t count = 0;
    int rc = sqlite3_file_control(self->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    uint8_t *seen = ifab_calloc(1, (size_t)(to - from) / 8 + 1);
    if (seen == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store: look through the WAL");
    for (int i = 0; rc == SQLITE_OK && i < frames; i++) {
        rc = wal->pMethods->xRead(wal, header, sizeof header, 32 + (sqlite3_int64)i * FRAME);
        uint32_t page = big_endian(header);
        if (rc != SQLITE_OK || page <= from || page > to)
            continue;
        uint32_t bit = page - from - 1;
        count += (seen[bit / 8] >> bit % 8 & 1) == 0;
        seen[bit / 8] |= (uint8_t)(1U << bit % 8);
    }
    ifab_free(seen);
    if (rc != SQLITE_OK)
        return ifab_fail(err, IFAB_IO, "store: read the WAL: %s", sqlite3_errstr(rc));
    *ret_count = count;
    return IFAB_OK;
}

/* SQLite takes pages behind the end of the file for zeros and goes on. They may be missing only when the WAL has them: a checkpoint that
 * was cut short. Else somebody shortened the file, and rows would be gone without a word. */
ifab_status ifab_store__first_checkpoint(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    sqlite3_stmt *q = NULL;
    uint32_t pages = 0, found = 0;
    int all = 0, moved = 0, rc = sqlite3_file_control(self->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK)
        rc = file->pMethods->xFileSize(file, &size);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(self->db, "PRAGMA page_count", -1, &q, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        pages = (uint32_t)sqlite3_column_int64(q, 0);
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(q);
    if (rc != SQLITE_OK)
        return ifab_store__fail(self, rc, "compare the file with its header", err);
    IFAB_TRY(move_wal(self, &all, &moved, err));
    if (size / IFAB_STORE__PAGE >= pages)
        return IFAB_OK;
    uint32_t there = (uint32_t)(size / IFAB_STORE__PAGE);
    if (all > 0 && pages - there <= (uint32_t)all)
        IFAB_TRY(count_pages(self, all, there, pages, &found, err));
    if (found != pages - there) {
        /* moving the WAL made the file as long as its header says: it is put back, so that the next start finds the same, and nothing is moved at the close */
        (void)file->pMethods->xTruncate(file, size);
        ifab_store__poison(self);
    }
    if (found != pages - there)
        return ifab_fail(err, IFAB_CORRUPT, "store: %s is cut short: %u pages of %u", self->shared->path, there, pages);
    return IFAB_OK;
}

static ifab_status sync_wal(struct ifab_store__sqlite *self, sqlite3_file *wal, struct ifab_error *err)
{
    int rc = self->shared->unsafe_no_sync ? SQLITE_OK : wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
    if (rc == SQLITE_OK)
        return IFAB_OK;
    ifab_store__poison(self);
    return ifab_fail(err, IFAB_IO, "store: cannot sync the WAL: %s", sqlite3_errstr(rc));
}

static ifab_status put_zeros(struct ifab_store__sqlite *self, sqlite3_file *wal, sqlite3_int64 from, sqlite3_int64 to,
                             struct ifab_error *err)
{
    enum { PIECE = 1 << 16 }; /* the unix VFS writes 17 bits of a size and drops the rest */
    uint8_t *zeros = ifab_calloc(1, PIECE);
    if (zeros == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store: grow the WAL");
    int rc = SQLITE_OK;
    for (sqlite3_int64 at = from; rc == SQLITE_OK && at < to; at += PIECE)
        rc = wal->pMethods->xWrite(wal, zeros, to - at < PIECE ? (int)(to - at) : PIECE, at);
    ifab_free(zeros);
    if ((rc & 0xff) == SQLITE_FULL) /* nothing that counts was written; growth is for speed alone */
        return IFAB_OK;
    if (rc != SQLITE_OK) {
        ifab_store__poison(self);
        return ifab_fail(err, IFAB_IO, "store: cannot grow the WAL: %s", sqlite3_errstr(rc));
    }
    return sync_wal(self, wal, err);
}

/* Zeros behind the last byte: a frame of them has not the salt of the header, so recovery stops before it. */
ifab_status ifab_store__grow_wal(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    sqlite3_file *wal = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(self->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (rc != SQLITE_OK || wal == NULL || wal->pMethods == NULL)
        return ifab_fail(err, IFAB_INTERNAL, "store: no WAL is open");
    rc = wal->pMethods->xFileSize(wal, &size);
    if (rc != SQLITE_OK)
        return ifab_fail(err, IFAB_IO, "store: size of the WAL: %s", sqlite3_errstr(rc));
    if ((uint64_t)size >= self->shared->wal_bytes)
        return IFAB_OK;
    /* Cut by a wipe: synced before zeros come. Else a power cut could keep them and lose the cut, and recovery would put the old frames
     * that stand before them over a newer database. */
    if (size == 0)
        IFAB_TRY(sync_wal(self, wal, err));
    return put_zeros(self, wal, size, (sqlite3_int64)self->shared->wal_bytes, err);
}

static ifab_status set_wipe(struct ifab_store__sqlite *self, int outstanding, struct ifab_error *err)
{
    int rc = sqlite3_bind_int(self->statements[IFAB_STORE__SET_WIPE], 1, outstanding);
    if (rc == SQLITE_OK)
        rc = ifab_store__run(self, IFAB_STORE__SET_WIPE);
    return rc == SQLITE_OK ? IFAB_OK : ifab_store__fail(self, rc, "note the wipe", err);
}

static ifab_status get_wipe(struct ifab_store__sqlite *self, bool *ret_outstanding, struct ifab_error *err)
{
    sqlite3_stmt *q = self->statements[IFAB_STORE__GET_WIPE];
    int rc = sqlite3_step(q);
    bool outstanding = rc == SQLITE_ROW && sqlite3_column_int(q, 0) != 0;
    ifab_status status = rc == SQLITE_ROW || rc == SQLITE_DONE ? IFAB_OK : ifab_store__fail(self, rc, "read the wipe", err);
    (void)sqlite3_reset(q);
    if (status == IFAB_OK)
        *ret_outstanding = outstanding;
    return status;
}

/* Moves the whole WAL into the database and cuts it to nothing, so that no reader can still be sent into it. Then grows it. */
static ifab_status wipe(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    int rc = SQLITE_BUSY;
    for (int waited = 0; waited < WAIT_MSEC; waited += 10) {
        rc = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        if ((rc & 0xff) != SQLITE_BUSY)
            break;
        (void)sqlite3_sleep(10);
    }
    if (rc != SQLITE_OK)
        return checkpoint_failed(self, rc, err);
    return ifab_store__grow_wal(self, err);
}

ifab_status ifab_store__finish_wipe(struct ifab_store__sqlite *self, struct ifab_error *err)
{
    bool outstanding = false;
    IFAB_TRY(get_wipe(self, &outstanding, err));
    if (!outstanding)
        return IFAB_OK;
    IFAB_TRY(wipe(self, err));
    IFAB_TRY(ifab_store__begin(self, err));
    return ifab_store__end(self, set_wipe(self, 0, err), err);
}

/* Sets *ret_size to 0 when there are no such bytes. */
static ifab_status message_size(struct ifab_store__sqlite *self, uint64_t index, int64_t *ret_size, struct ifab_error *err)
{
    sqlite3_stmt *q = self->statements[IFAB_STORE__LENGTH];
    int64_t size = 0;
    int rc = sqlite3_bind_int64(q, 1, (int64_t)index);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        size = sqlite3_column_int64(q, 0);
    ifab_status status = rc == SQLITE_ROW || rc == SQLITE_DONE ? IFAB_OK : ifab_store__fail(self, rc, "look for the message", err);
    (void)sqlite3_reset(q);
    if (status == IFAB_OK)
        *ret_size = size;
    return status;
}

static ifab_status erase_row(struct ifab_store__sqlite *self, uint64_t index, int64_t size, struct ifab_error *err)
{
    sqlite3_stmt *q = self->statements[IFAB_STORE__ERASE];
    int rc = sqlite3_bind_int64(q, 1, (int64_t)index);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 2, size);
    if (rc == SQLITE_OK)
        rc = ifab_store__run(self, IFAB_STORE__ERASE);
    if (rc != SQLITE_OK)
        return ifab_store__fail(self, rc, "erase", err);
    return set_wipe(self, 1, err);
}

ifab_status ifab_store__erase(struct ifab_store *base, uint64_t index, struct ifab_error *err)
{
    struct ifab_store__sqlite *self = ifab_store__of(base);
    bool outstanding = false;
    int64_t size = 0;
    IFAB_TRY(ifab_store__begin(self, err));
    ifab_status status = message_size(self, index, &size, err);
    if (status == IFAB_OK)
        status = get_wipe(self, &outstanding, err);
    if (status == IFAB_OK && size > 0)
        status = erase_row(self, index, size, err);
    IFAB_TRY(ifab_store__end(self, status, err));
    if (size == 0 && !outstanding) /* with one outstanding this is the second call of an erase that answered IFAB_AGAIN */
        return ifab_fail(err, IFAB_NOT_FOUND, "store: entry %llu has no message bytes", (unsigned long long)index);
    return ifab_store__finish_wipe(self, err);
}
