/*
 * Durable append, batch 100 rows of 1.1 KB: the store against a bare SQLite insert loop with the same batch, row and safety, and against
 * one write and fdatasync of a preallocated file. The three take turns in short segments, so that a disk that slows down slows all; the
 * median segment counts. Usage: bench_store DIRECTORY [segments]. Checkpoints stand between segments and are not timed.
 */
#include "base/mem.h"
#include "store/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 100, ENTRY = 560, MESSAGE = 560, BATCHES = 16, RECORDS = 8, TAGS = 40 * ROWS, MOST = 200 };
static uint8_t bytes[ROWS][ENTRY + MESSAGE], tags[TAGS], edge[400];

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

/* One segment; the seconds it took. full: with tags and changed records, as a batch of messages has them. */
static double store_segment(struct ifab_store *store, uint64_t *first, bool full)
{
    struct ifab_stored_entry entries[ROWS];
    struct ifab_record records[RECORDS];
    struct ifab_head head = {.edge = ifab_view_of(edge, sizeof edge)};
    uint64_t wal = 0;
    double begin = now();
    for (int b = 0; b < BATCHES; b++) {
        for (size_t i = 0; i < ROWS; i++)
            entries[i] =
                (struct ifab_stored_entry){*first + i, ifab_view_of(bytes[i], ENTRY), ifab_view_of(bytes[i] + ENTRY, MESSAGE), false};
        for (size_t i = 0; i < RECORDS; i++)
            records[i] = (struct ifab_record){3, (*first / ROWS * 7 + i * 131) % 2000, ifab_view_of(bytes[i], 120)};
        head.size = *first + ROWS;
        struct ifab_commit commit = {.first = *first, .entries = entries, .entry_count = ROWS, .tags_dropped = INT64_MIN, .head = &head};
        if (full) {
            commit.tags = ifab_view_of(tags, sizeof tags);
            commit.tags_until = (ifab_usec)*first;
            commit.tags_dropped = (ifab_usec)*first - 100 * ROWS;
            commit.records = records;
            commit.record_count = RECORDS;
        }
        must(ifab_store_commit(store, &commit, NULL) == IFAB_OK, "commit");
        *first += ROWS;
    }
    double took = now() - begin;
    must(ifab_store_checkpoint(store, &wal, NULL) == IFAB_OK, "checkpoint");
    return took;
}

static double bare_segment(sqlite3 *db, sqlite3_stmt *insert, int64_t *first)
{
    double begin = now();
    for (int b = 0; b < BATCHES; b++) {
        must(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK, "begin");
        for (size_t i = 0; i < ROWS; i++) {
            (void)sqlite3_bind_int64(insert, 1, (*first)++);
            (void)sqlite3_bind_blob(insert, 2, bytes[i], ENTRY, SQLITE_STATIC);
            (void)sqlite3_bind_blob(insert, 3, bytes[i] + ENTRY, MESSAGE, SQLITE_STATIC);
            must(sqlite3_step(insert) == SQLITE_DONE, "insert");
            (void)sqlite3_reset(insert);
        }
        must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "commit");
    }
    double took = now() - begin;
    must(sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK, "checkpoint");
    return took;
}

static double raw_segment(int fd, off_t size)
{
    double begin = now();
    for (int b = 0; b < BATCHES; b++) {
        off_t at = (off_t)b * (off_t)sizeof bytes % (size - (off_t)sizeof bytes);
        must(pwrite(fd, bytes, sizeof bytes, at) == (ssize_t)sizeof bytes && fdatasync(fd) == 0, "write");
    }
    return now() - begin;
}

static sqlite3 *open_bare(const char *path, const char *page, sqlite3_stmt **ret_insert)
{
    sqlite3 *db = NULL;
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%s; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
                   "CREATE TABLE entries(idx INTEGER PRIMARY KEY, entry BLOB, message BLOB)",
                   page);
    must(sqlite3_open(path, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "bare database");
    must(sqlite3_prepare_v2(db, "INSERT INTO entries VALUES(?,?,?)", -1, ret_insert, NULL) == SQLITE_OK, "prepare");
    return db;
}

int main(int argc, char **argv)
{
    enum { STORE, STORE_FULL, BARE_4K, BARE_8K, RAW, KINDS };
    static const char *const names[] = {"store, entries and head", "store, with tags and records", "bare SQLite, 4 KiB pages",
                                        "bare SQLite, 8 KiB pages", "raw pwrite + fdatasync"};
    static double took[KINDS][MOST];
    size_t segments = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
    must(argc > 1 && segments > 0 && segments <= MOST, "usage: bench_store EMPTY-DIRECTORY [segments]");
    char path[4][1000];
    static const char *const parts[] = {"store", "full", "bare4.db", "bare8.db"};
    for (size_t i = 0; i < 4; i++)
        (void)snprintf(path[i], sizeof path[i], "%s/%s", argv[1], parts[i]);
    for (size_t i = 0; i < sizeof bytes; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(i * 2654435761U >> 13);
    struct ifab_store *store = NULL, *full = NULL;
    sqlite3_stmt *insert4 = NULL, *insert8 = NULL;
    must(mkdir(path[0], 0700) == 0 && mkdir(path[1], 0700) == 0, "the directory is not empty");
    struct ifab_store_options options = {.directory = path[0], .create = true};
    double begin = now();
    must(ifab_store_sqlite_open(&options, &store, NULL) == IFAB_OK, "store");
    double opened = now() - begin;
    options.directory = path[1];
    must(ifab_store_sqlite_open(&options, &full, NULL) == IFAB_OK, "store");
    sqlite3 *db4 = open_bare(path[2], "4096", &insert4), *db8 = open_bare(path[3], "8192", &insert8);
    char raw_path[1000];
    (void)snprintf(raw_path, sizeof raw_path, "%s/raw", argv[1]);
    int raw = open(raw_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    off_t size = 16 << 20;
    for (off_t at = 0; at < size; at += (off_t)sizeof bytes)
        must(pwrite(raw, bytes, sizeof bytes, at) == (ssize_t)sizeof bytes, "raw file");
    must(fsync(raw) == 0, "raw file");
    uint64_t first = 0, full_first = 0;
    int64_t first4 = 0, first8 = 0;
    for (size_t s = 0; s < segments; s++) {
        took[RAW][s] = raw_segment(raw, size);
        took[STORE][s] = store_segment(store, &first, false);
        took[BARE_8K][s] = bare_segment(db8, insert8, &first8);
        took[STORE_FULL][s] = store_segment(full, &full_first, true);
        took[BARE_4K][s] = bare_segment(db4, insert4, &first4);
    }
    double value[KINDS];
    for (size_t k = 0; k < KINDS; k++) {
        value[k] = median(took[k], segments) / (BATCHES * ROWS) * 1e6;
        printf("%-30s %7.2f us a row, best %7.2f; %9.0f rows/s\n", names[k], value[k], took[k][0] / (BATCHES * ROWS) * 1e6, 1e6 / value[k]);
    }
    printf("create with 32 MiB WAL: %.1f ms\n", opened * 1e3);
    printf("ratio to bare SQLite (8 KiB) %.2f, with tags and records %.2f; to bare SQLite (4 KiB) %.2f; to raw %.2f, with tags and records "
           "%.2f\n",
           value[BARE_8K] / value[STORE], value[BARE_8K] / value[STORE_FULL], value[BARE_4K] / value[STORE], value[RAW] / value[STORE],
           value[RAW] / value[STORE_FULL]);
    ifab_store_close(store);
    ifab_store_close(full);
    (void)sqlite3_finalize(insert4);
    (void)sqlite3_finalize(insert8);
    (void)sqlite3_close(db4);
    (void)sqlite3_close(db8);
    (void)close(raw);
    return 0;
}
