/* What only the SQLite back-end promises: files, modes, locks, full and failing disks, damage, erasing, backup. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/conformance_store.c"
#include "../powercut/powercut_vfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WAL 131072

static ifab_status open_with(struct ifab_store_options options, struct ifab_store **ret)
{
    options.wal_bytes = options.wal_bytes == 0 ? WAL : options.wal_bytes;
    *ret = NULL;
    return ifab_store_sqlite_open(&options, ret, NULL);
}

static const char *in(const char *directory, const char *name)
{
    static char path[2][400];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", directory, name);
    return path[turn];
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static int64_t pragma(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    int64_t value = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

/* In a child: what fn returns is its exit code. A lock, a uid, a limit are of a process. */
static int in_child(int (*fn)(const char *directory), const char *directory)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(fn(directory));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void makes_private_files_and_keeps_a_grown_wal(void **state)
{
    char directory[300];
    struct stat st;
    (void)state;
    temporary(directory);
    struct ifab_store *store = open_sqlite(directory, true);
    assert_int_equal(stat(in(directory, "main.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(in(directory, "main.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, WAL);
    for (uint64_t i = 0; i < 40; i++) {
        uint64_t wal = 0;
        assert_int_equal(support_commit(store, i * 3, 3, 3, i), IFAB_OK);
        assert_int_equal(ifab_store_checkpoint(store, &wal, NULL), IFAB_OK);
        assert_int_equal(wal, 0);
    }
    assert_int_equal(size_of(in(directory, "main.db-wal")), WAL); /* overwritten, not grown */
    uint64_t digest = digest_of(store);
    ifab_store_close(store);
    assert_int_equal(size_of(in(directory, "main.db-wal")), WAL);
    store = open_sqlite(directory, false);
    assert_true(digest_of(store) == digest);
    ifab_store_close(store);
    assert_int_equal(pragma(in(directory, "main.db"), "PRAGMA page_size"), 8192);
    assert_int_equal(pragma(in(directory, "main.db"), "PRAGMA application_id"), 0x49464142);
    assert_int_equal(pragma(in(directory, "main.db"), "PRAGMA user_version"), IFAB_STORE_SCHEMA);
    remove_tree(directory);
}

/* What the program before made: its words for the tables are still ours, less what came since. */
#define TO_SCHEMA_1 "DROP TABLE upgrades; UPDATE meta SET value=1 WHERE name='schema'; PRAGMA user_version=1"

static void an_older_schema_is_upgraded_and_a_reader_leaves_it(void **state)
{
    char directory[300];
    sqlite3 *db = NULL;
    int from = 7;
    (void)state;
    temporary(directory);
    struct ifab_store *store = open_sqlite(directory, true);
    assert_int_equal(support_commit(store, 0, 3, 2, 1), IFAB_OK);
    uint64_t digest = digest_of(store);
    ifab_store_close(store);
    assert_int_equal(sqlite3_open(in(directory, "main.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, TO_SCHEMA_1, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory, .read_only = true, .ret_upgraded_from = &from}, &store), IFAB_OK);
    assert_true(digest_of(store) == digest && from == 0);
    ifab_store_close(store);
    assert_int_equal(pragma(in(directory, "main.db"), "PRAGMA user_version"), 1);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(open_with((struct ifab_store_options){.directory = directory, .ret_upgraded_from = &from}, &store), IFAB_OK);
        assert_int_equal(from, again == 0 ? 1 : 0);
        assert_true(digest_of(store) == digest);
        ifab_store_close(store);
        assert_int_equal(pragma(in(directory, "main.db"), "PRAGMA user_version"), IFAB_STORE_SCHEMA);
        assert_int_equal(pragma(in(directory, "main.db"), "SELECT value FROM meta WHERE name='schema'"), IFAB_STORE_SCHEMA);
        assert_int_equal(pragma(in(directory, "main.db"), "SELECT count(*) FROM upgrades WHERE schema=2 AND at>1700000000"), 1);
    }
    remove_tree(directory);
}

/* Only what is whole is upgraded: nothing of a damaged store is changed. */
static void a_damaged_older_schema_is_left_as_it_is(void **state)
{
    char directory[300];
    sqlite3 *db = NULL;
    struct ifab_store *store = NULL;
    (void)state;
    temporary(directory);
    store = open_sqlite(directory, true);
    assert_int_equal(support_commit(store, 0, 3, 2, 1), IFAB_OK);
    ifab_store_close(store);
    assert_int_equal(sqlite3_open(in(directory, "main.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, TO_SCHEMA_1 "; CREATE TABLE extra(x)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory}, &store), IFAB_CORRUPT);
    assert_int_equal(pragma(in(directory, "main.db"), "PRAGMA user_version"), 1);
    remove_tree(directory);
}

static void tells_apart_why_it_does_not_open(void **state)
{
    static const struct {
        const char *sql;
        ifab_status want;
    } damage[] = {
        {"PRAGMA user_version=3", IFAB_UNSUPPORTED},
        {"PRAGMA user_version=1", IFAB_CORRUPT}, /* with the tables of another */
        {"DROP TABLE upgrades", IFAB_CORRUPT},
        {"PRAGMA user_version=0", IFAB_CORRUPT},
        {"PRAGMA application_id=7", IFAB_CORRUPT},
        {"CREATE TABLE extra(x)", IFAB_CORRUPT},
        {"CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM head; END", IFAB_CORRUPT},
        {"CREATE INDEX i ON entries(entry)", IFAB_CORRUPT},
        {"ALTER TABLE tags RENAME TO labels", IFAB_CORRUPT},
        {"DROP TABLE head", IFAB_CORRUPT},
        {"UPDATE meta SET value=9 WHERE name='schema'", IFAB_CORRUPT},
        {"DELETE FROM entries WHERE idx=2", IFAB_CORRUPT},
        {"UPDATE head SET size=2", IFAB_CORRUPT},
        {"DELETE FROM head", IFAB_CORRUPT},
        {"UPDATE head SET time=time", IFAB_OK},
    };
    char directory[300];
    struct ifab_store *store = NULL;
    (void)state;
    temporary(directory);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory}, &store), IFAB_NOT_FOUND);
    assert_int_equal(open_with((struct ifab_store_options){.directory = "/nonexistent/x"}, &store), IFAB_NOT_FOUND);
    assert_int_equal(open_with((struct ifab_store_options){.directory = "/nonexistent/x", .create = true}, &store), IFAB_NOT_FOUND);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory, .create = true, .read_only = true}, &store),
                     IFAB_INVALID);
    assert_int_equal(open_with((struct ifab_store_options){.directory = ""}, &store), IFAB_INVALID);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory, .vfs = "no such"}, &store), IFAB_UNSUPPORTED);
    for (size_t i = 0; i < IFAB_COUNT(damage); i++) {
        char one[300];
        sqlite3 *db = NULL;
        temporary(one);
        store = open_sqlite(one, true);
        assert_int_equal(support_commit(store, 0, 3, 2, 1), IFAB_OK);
        ifab_store_close(store);
        assert_int_equal(open_with((struct ifab_store_options){.directory = one, .create = true}, &store), IFAB_CONFLICT);
        assert_int_equal(sqlite3_open(in(one, "main.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, damage[i].sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        ifab_status status = open_with((struct ifab_store_options){.directory = one}, &store);
        if (status != damage[i].want)
            fprintf(stderr, "# %s: %s\n", damage[i].sql, ifab_status_name(status));
        assert_int_equal(status, damage[i].want);
        ifab_store_close(store);
        remove_tree(one);
    }
    remove_tree(directory);
}

static void follows_no_link_in_place_of_its_files(void **state)
{
    char directory[300], elsewhere[300];
    struct ifab_store *store = NULL;
    (void)state;
    temporary(directory);
    temporary(elsewhere);
    ifab_store_close(open_sqlite(elsewhere, true));
    char target[400];
    (void)snprintf(target, sizeof target, "%s/main.db", elsewhere);
    assert_int_equal(symlink(target, in(directory, "main.db")), 0);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory}, &store), IFAB_DENIED);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory, .read_only = true}, &store), IFAB_DENIED);
    assert_int_equal(unlink(in(directory, "main.db")), 0);
    assert_int_equal(symlink(in(elsewhere, "made"), in(directory, "main.db")), 0); /* dangling: nothing is made through it */
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory, .create = true}, &store), IFAB_CONFLICT);
    assert_int_equal(size_of(in(elsewhere, "made")), -1);
    remove_tree(directory);
    remove_tree(elsewhere);
}

static int hold_lock(const char *directory) /* until its parent closes the pipe in descriptor 100 */
{
    sqlite3 *db = NULL;
    char path[400], byte = 'x';
    (void)snprintf(path, sizeof path, "%s/main.db", directory);
    if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return 1;
    (void)!write(101, &byte, 1);
    (void)!read(100, &byte, 1);
    return 0;
}

static void says_again_while_another_process_holds_the_lock(void **state)
{
    char directory[300], byte;
    int down[2], up[2], status = 0;
    struct ifab_store *store = NULL;
    (void)state;
    temporary(directory);
    ifab_store_close(open_sqlite(directory, true));
    assert_true(pipe(down) == 0 && pipe(up) == 0);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (dup2(down[0], 100) < 0 || dup2(up[1], 101) < 0)
            _exit(2);
        (void)close(down[1]);
        _exit(hold_lock(directory));
    }
    (void)close(up[1]);
    assert_int_equal(read(up[0], &byte, 1), 1);
    assert_int_equal(open_with((struct ifab_store_options){.directory = directory}, &store), IFAB_AGAIN);
    (void)close(down[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* and while it is open: nothing is written, the same call works later */
    store = open_sqlite(directory, false);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(in(directory, "main.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(support_commit(store, 0, 1, 1, 1), IFAB_AGAIN);
    assert_int_equal(digest_of(store), 1);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(support_commit(store, 0, 1, 1, 1), IFAB_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    ifab_store_close(store);
    (void)close(down[0]);
    (void)close(up[0]);
    remove_tree(directory);
}

/* A backup, a shell or the process before this one has the lock for a moment: that is no reason not to start, or to give up a commit. */
static void waits_for_a_lock_that_is_held_for_a_moment(void **state)
{
    char directory[300];
    struct ifab_store *store = NULL;
    (void)state;
    temporary(directory);
    ifab_store_close(open_sqlite(directory, true));
    for (int turn = 0; turn < 2; turn++) { /* while it opens; while it commits */
        int up[2], status = 0;
        char byte;
        assert_int_equal(pipe(up), 0);
        (void)fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            sqlite3 *db = NULL;
            bool held = sqlite3_open(in(directory, "main.db"), &db) == SQLITE_OK &&
                        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;
            _exit(held && write(up[1], "x", 1) == 1 && usleep(200000) == 0 ? 0 : 1);
        }
        assert_int_equal(read(up[0], &byte, 1), 1);
        if (turn == 0)
            assert_int_equal(open_with((struct ifab_store_options){.directory = directory}, &store), IFAB_OK);
        else
            assert_int_equal(support_commit(store, 0, 1, 1, 1), IFAB_OK);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        (void)close(up[0]);
        (void)close(up[1]);
    }
    ifab_store_close(store);
    remove_tree(directory);
}

static int open_as_nobody(const char *directory) /* bit 0: writer refused; bit 1: reader served */
{
    struct ifab_store *store = NULL;
    uint64_t digest = 0;
    int result = 0;
    if (geteuid() == 0 && seteuid(65534) != 0)
        return 64;
    if (open_with((struct ifab_store_options){.directory = directory}, &store) == IFAB_DENIED)
        result |= 1;
    if (open_with((struct ifab_store_options){.directory = directory, .read_only = true}, &store) == IFAB_OK) {
        if (support_digest(store, &digest, NULL) == IFAB_OK && digest > 1 && support_commit(store, 3, 1, 1, 1) == IFAB_DENIED)
            result |= 2;
        ifab_store_close(store);
    }
    return result;
}

static void is_denied_a_read_only_directory_but_reads_it(void **state)
{
    char directory[300], backup[300];
    (void)state;
    temporary(directory);
    temporary(backup);
    struct ifab_store *store = open_sqlite(directory, true);
    assert_int_equal(support_commit(store, 0, 3, 3, 1), IFAB_OK);
    assert_int_equal(ifab_store_backup(store, backup, NULL), IFAB_OK);
    ifab_store_close(store);
    assert_int_equal(chmod(in(backup, "main.db"), 0444), 0);
    assert_int_equal(chmod(backup, 0555), 0);
    assert_int_equal(in_child(open_as_nobody, backup), 3);
    assert_int_equal(size_of(in(backup, "main.db-wal")), -1); /* reading left nothing beside it */
    assert_int_equal(chmod(backup, 0755), 0);
    remove_tree(directory);
    remove_tree(backup);
}

static int commit_under_a_file_limit(const char *directory)
{
    struct ifab_store *store = NULL;
    struct rlimit limit = {64 * 1024, RLIM_INFINITY};
    uint64_t before = 0, now = 0, first = 0;
    ifab_status status = IFAB_OK;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (open_with((struct ifab_store_options){.directory = directory, .wal_bytes = 1}, &store) != IFAB_OK ||
        setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 10;
    while (status == IFAB_OK && first < 1000) {
        if (support_digest(store, &before, NULL) != IFAB_OK)
            return 11;
        status = support_commit(store, first, 4, 2, 1);
        first += status == IFAB_OK ? 4 : 0;
    }
    if (status != IFAB_FULL || support_digest(store, &now, NULL) != IFAB_OK || now != before)
        return 12;
    limit.rlim_cur = RLIM_INFINITY; /* room is made */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || support_commit(store, first, 4, 2, 1) != IFAB_OK)
        return 13;
    ifab_store_close(store);
    return 0;
}

static void rolls_back_when_the_disk_is_full_and_goes_on_later(void **state)
{
    char directory[300];
    (void)state;
    temporary(directory);
    ifab_store_close(open_sqlite(directory, true));
    assert_int_equal(unlink(in(directory, "main.db-wal")), 0); /* a short WAL: it has to grow */
    assert_int_equal(in_child(commit_under_a_file_limit, directory), 0);
    ifab_store_close(open_sqlite(directory, false));
    remove_tree(directory);
}

static struct pc_disk disk;
static struct ifab_store *open_on_disk(bool create)
{
    struct ifab_store *store = NULL;
    ifab_status status =
        open_with((struct ifab_store_options){.directory = "/pc", .create = create, .vfs = "failing", .wal_bytes = 1}, &store);
    assert_int_equal(status, IFAB_OK);
    return store;
}

/* A store with some entries on a disk whose n-th operation of these kinds will fail. The first commit after it begins a WAL of its own. */
static struct ifab_store *on_failing_disk(unsigned kinds, uint64_t n, bool sticky, int cause, uint64_t *ret_digest)
{
    pc_init(&disk, "failing");
    struct ifab_store *store = open_on_disk(true);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(support_commit(store, i * 5, 5, 4, i), IFAB_OK);
    *ret_digest = digest_of(store);
    disk.fail_kinds = kinds;
    disk.fail_at = n;
    disk.fail_sticky = sticky;
    disk.fail_errno = cause;
    disk.record = true;
    return store;
}

/* The process dies: nothing is closed, the next one opens what the kernel has. */
static uint64_t digest_after_a_kill(void)
{
    static struct pc_disk copy;
    struct ifab_store *store = NULL;
    uint64_t digest = 0;
    pc_init(&copy, "killed");
    copy.file_count = disk.file_count;
    for (int f = 0; f < disk.file_count; f++) {
        memcpy(copy.files[f].name, disk.files[f].name, sizeof copy.files[f].name);
        pc_image_copy(&copy.files[f].now, &disk.files[f].now);
    }
    assert_int_equal(open_with((struct ifab_store_options){.directory = "/pc", .vfs = "killed", .wal_bytes = 1}, &store), IFAB_OK);
    assert_int_equal(support_digest(store, &digest, NULL), IFAB_OK);
    ifab_store_close(store);
    pc_fini(&copy);
    return digest;
}

static void writes_nothing_when_any_write_finds_no_room(void **state)
{
    static const int causes[] = {ENOSPC, EDQUOT, EFBIG};
    (void)state;
    for (size_t c = 0; c < IFAB_COUNT(causes); c++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            uint64_t before = 0;
            struct ifab_store *store = on_failing_disk(PC_FAIL_WRITE, n, n % 2 == 0, causes[c], &before);
            ifab_status status = support_commit(store, 20, 8, 6, 9);
            failed = disk.failed;
            disk.fail_at = 0; /* room is made */
            assert_int_equal(status, failed ? IFAB_FULL : IFAB_OK);
            if (failed) {
                assert_true(digest_of(store) == before);
                assert_true(digest_after_a_kill() == before); /* it cannot come back either */
                assert_int_equal(support_commit(store, 20, 8, 6, 9), IFAB_OK);
            }
            uint64_t now = digest_of(store);
            assert_true(now != before);
            ifab_store_close(store);
            store = open_on_disk(false);
            assert_true(digest_of(store) == now);
            ifab_store_close(store);
            pc_fini(&disk);
        }
    }
}

/* INV-04: after a failure with unknown outcome nothing is written or synced again, and the next start finds one of two states. */
static void stops_for_good_when_a_write_or_sync_fails(void **state)
{
    static const unsigned kinds[] = {PC_FAIL_WRITE, PC_FAIL_SYNC, PC_FAIL_WRITE | PC_FAIL_SYNC};
    uint64_t after = 0, ignored = 0;
    (void)state;
    struct ifab_store *store = on_failing_disk(0, 0, false, EIO, &ignored);
    assert_int_equal(support_commit(store, 20, 8, 6, 9), IFAB_OK);
    after = digest_of(store);
    ifab_store_close(store);
    pc_fini(&disk);
    for (size_t k = 0; k < IFAB_COUNT(kinds); k++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            uint64_t before = 0, wal = 0;
            store = on_failing_disk(kinds[k], n, false, EIO, &before);
            ifab_status status = support_commit(store, 20, 8, 6, 9);
            failed = disk.failed;
            assert_int_equal(status, failed ? IFAB_IO : IFAB_OK);
            if (failed) {
                size_t events = disk.event_count;
                struct ifab_store *reader = NULL;
                assert_int_equal(support_commit(store, 20, 8, 6, 9), IFAB_INTERNAL);
                assert_int_equal(ifab_store_erase(store, 0, NULL), IFAB_INTERNAL);
                assert_int_equal(ifab_store_checkpoint(store, &wal, NULL), IFAB_INTERNAL);
                assert_int_equal(ifab_store_reader(store, &reader, NULL), IFAB_OK);
                assert_int_equal(ifab_store_checkpoint(reader, &wal, NULL), IFAB_INTERNAL); /* of every handle */
                ifab_store_close(reader);
                uint64_t found = digest_after_a_kill();
                assert_true(found == before || found == after);
                ifab_store_close(store);
                for (size_t i = events; i < disk.event_count; i++)
                    assert_int_not_equal(disk.events[i].type, PC_SYNC);
            } else {
                ifab_store_close(store);
            }
            pc_fini(&disk);
        }
    }
}

/* Before COMMIT, too: what a failed read leaves behind in the connection is not known. */
static void stops_for_good_when_a_commit_cannot_read(void **state)
{
    (void)state;
    uint64_t stopped = 0;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        uint64_t before = 0;
        ifab_store_close(on_failing_disk(0, 0, false, EIO, &before));
        struct ifab_store *store = open_on_disk(false); /* nothing cached: the commit has to read */
        disk.fail_kinds = PC_FAIL_READ;
        disk.operations = 0;
        disk.fail_at = n;
        ifab_status status = support_commit(store, 20, 8, 6, 9);
        failed = disk.failed;
        disk.fail_at = 0;
        assert_int_equal(status, failed ? IFAB_IO : IFAB_OK);
        if (failed) {
            stopped++;
            assert_int_equal(support_commit(store, 20, 8, 6, 9), IFAB_INTERNAL);
            assert_true(digest_after_a_kill() == before);
        }
        ifab_store_close(store);
        pc_fini(&disk);
    }
    assert_true(stopped > 0);
}

static void stops_for_good_when_a_checkpoint_fails(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        uint64_t before = 0, wal = 0;
        struct ifab_store *store = on_failing_disk(PC_FAIL_WRITE | PC_FAIL_SYNC, n, false, EIO, &before), *reader = NULL;
        assert_int_equal(ifab_store_reader(store, &reader, NULL), IFAB_OK);
        ifab_status status = ifab_store_checkpoint(reader, &wal, NULL);
        failed = disk.failed;
        disk.fail_at = 0;
        assert_int_equal(status, failed ? IFAB_IO : IFAB_OK);
        assert_int_equal(support_commit(store, 20, 1, 1, 1), failed ? IFAB_INTERNAL : IFAB_OK);
        if (failed)
            assert_true(digest_after_a_kill() == before);
        ifab_store_close(reader);
        ifab_store_close(store);
        pc_fini(&disk);
    }
}

static void reports_reads_that_fail(void **state)
{
    (void)state;
    uint64_t before = 0, digest = 0;
    struct ifab_store *store = on_failing_disk(0, 0, false, EIO, &before);
    ifab_store_close(store);
    bool failed = true;
    for (uint64_t n = 1; failed && n < 300; n++) {
        struct ifab_store_options options = {.directory = "/pc", .vfs = "failing", .wal_bytes = 1};
        disk.fail_kinds = PC_FAIL_READ;
        disk.operations = 0;
        disk.failed = false;
        disk.fail_at = n;
        store = NULL;
        ifab_status status = ifab_store_sqlite_open(&options, &store, NULL);
        if (status == IFAB_OK)
            status = support_digest(store, &digest, NULL);
        failed = disk.failed;
        disk.fail_at = 0;
        assert_true(status == IFAB_OK || failed);
        assert_true(status != IFAB_OK || digest == before); /* a wrong answer is never given */
        ifab_store_close(store);
    }
    assert_false(failed);
    pc_fini(&disk);
}

/* Cuts one file of a copy to a length and opens it: an earlier state, whole, or a refusal. */
static void finds_truncated_files_out(void **state)
{
    static uint64_t states[64];
    size_t count = 0, refused = 0, earlier = 0;
    (void)state;
    pc_init(&disk, "failing");
    struct ifab_store *store = open_on_disk(true);
    uint64_t wal = 0;
    for (uint64_t i = 0; i < 30; i++) {
        states[count++] = digest_of(store);
        assert_int_equal(support_commit(store, i * 4, 4, 3, i), IFAB_OK);
        if (i == 18)
            assert_int_equal(ifab_store_checkpoint(store, &wal, NULL), IFAB_OK);
    }
    states[count++] = digest_of(store);
    for (int f = 0; f < disk.file_count; f++) {
        size_t size = disk.files[f].now.size, step = size / 150 + 1;
        for (size_t cut = 0; cut < size; cut += step) {
            static struct pc_disk copy;
            pc_init(&copy, "truncated");
            copy.file_count = disk.file_count;
            for (int g = 0; g < disk.file_count; g++) {
                memcpy(copy.files[g].name, disk.files[g].name, sizeof copy.files[g].name);
                pc_image_copy(&copy.files[g].now, &disk.files[g].now);
            }
            pc_image_truncate(&copy.files[f].now, cut);
            struct ifab_store *other = NULL;
            uint64_t digest = 0;
            ifab_status status = open_with((struct ifab_store_options){.directory = "/pc", .vfs = "truncated", .wal_bytes = 1}, &other);
            if (status == IFAB_OK)
                status = support_digest(other, &digest, NULL);
            bool known = false;
            for (size_t i = 0; i < count; i++)
                known = known || states[i] == digest;
            if (status == IFAB_OK && !known)
                fprintf(stderr, "# file %s cut at %zu of %zu\n", disk.files[f].name, cut, size);
            if (status == IFAB_OK)
                assert_true(known);
            else
                assert_true(status == IFAB_CORRUPT || (cut == 0 && status == IFAB_NOT_FOUND));
            refused += status != IFAB_OK;
            earlier += status == IFAB_OK;
            ifab_store_close(other);
            pc_fini(&copy);
        }
    }
    assert_true(refused > 50 && earlier > 50);
    ifab_store_close(store);
    pc_fini(&disk);
}

static const char *needle;
static int look_for_needle(const char *directory)
{
    DIR *d = opendir(directory);
    const struct dirent *e;
    bool found = false;
    if (d == NULL)
        return 2;
    while ((e = readdir(d)) != NULL) {
        const char *path = in(directory, e->d_name);
        off_t size = size_of(path);
        int fd = open(path, O_RDONLY);
        uint8_t *bytes = malloc((size_t)size + 1);
        ssize_t got = e->d_type == DT_REG ? read(fd, bytes, (size_t)size) : 0;
        found = found || (got > 0 && memmem(bytes, (size_t)got, needle, strlen(needle)) != NULL);
        free(bytes);
        (void)close(fd);
    }
    (void)closedir(d);
    return found;
}

/* In a child: closing a descriptor of an open database would drop its locks. */
static bool in_any_file(const char *directory, const char *text)
{
    needle = text;
    int result = in_child(look_for_needle, directory);
    assert_true(result == 0 || result == 1);
    return result == 1;
}

static void leaves_erased_bytes_in_no_file(void **state)
{
    static char small[200], large[30000];
    char directory[300];
    (void)state;
    temporary(directory);
    struct ifab_store *store = open_sqlite(directory, true), *reader = NULL;
    support_fill(small, sizeof small, "SECRET-OF-ENTRY-ONE", 1);
    support_fill(large, sizeof large, "x", 2);
    for (size_t i = 0; i + 40 < sizeof large; i += 500) /* in every overflow page */
        memcpy(large + i, "SECRET-OF-ENTRY-TWO", 19);
    struct support_commit s;
    struct ifab_commit *c = support_make(&s, 0, 4, 0, 1);
    s.entries[1].message = ifab_view_of(small, sizeof small);
    s.entries[2].message = ifab_view_of(large, sizeof large);
    assert_int_equal(ifab_store_commit(store, c, NULL), IFAB_OK);
    for (uint64_t i = 1; i < 10; i++) /* so that pages fill and split around them */
        assert_int_equal(support_commit(store, i * 4, 4, 4, i), IFAB_OK);
    assert_true(in_any_file(directory, "SECRET-OF-ENTRY-ONE") && in_any_file(directory, "SECRET-OF-ENTRY-TWO"));
    assert_int_equal(ifab_store_reader(store, &reader, NULL), IFAB_OK);
    assert_true(digest_of(reader) == digest_of(store));
    assert_int_equal(ifab_store_erase(store, 1, NULL), IFAB_OK);
    assert_false(in_any_file(directory, "SECRET-OF-ENTRY-ONE"));
    assert_true(in_any_file(directory, "SECRET-OF-ENTRY-TWO"));
    assert_int_equal(ifab_store_erase(store, 2, NULL), IFAB_OK);
    assert_false(in_any_file(directory, "SECRET-OF-ENTRY-TWO"));
    assert_int_equal(size_of(in(directory, "main.db-wal")), WAL); /* grown again */
    ifab_store_close(reader);
    ifab_store_close(store);
    remove_tree(directory);
}

/* A reader that still needs the WAL: the erase says so, and the next call, or the next start, finishes it. */
static void finishes_an_erase_that_a_reader_held_up(void **state)
{
    char directory[300];
    (void)state;
    for (int round = 0; round < 2; round++) {
        sqlite3 *db = NULL;
        struct support_commit s;
        temporary(directory);
        struct ifab_store *store = open_sqlite(directory, true);
        struct ifab_commit *c = support_make(&s, 0, 2, 0, 1);
        memcpy(s.message_bytes[0], "SECRET-HELD-UP", 14);
        assert_int_equal(ifab_store_commit(store, c, NULL), IFAB_OK);
        assert_int_equal(sqlite3_open(in(directory, "main.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM entries", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(ifab_store_erase(store, 0, NULL), IFAB_AGAIN);
        assert_true(in_any_file(directory, "SECRET-HELD-UP"));
        assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        if (round == 0) {
            assert_int_equal(ifab_store_erase(store, 0, NULL), IFAB_OK);
        } else {
            ifab_store_close(store);
            store = open_sqlite(directory, false);
        }
        assert_false(in_any_file(directory, "SECRET-HELD-UP"));
        assert_int_equal(ifab_store_erase(store, 0, NULL), IFAB_NOT_FOUND);
        ifab_store_close(store);
        remove_tree(directory);
    }
}

struct writing {
    struct ifab_store *store;
    atomic_bool stop;
    uint64_t written;
    ifab_status status;
};
static void *write_on(void *user)
{
    struct writing *w = user;
    while (!atomic_load(&w->stop) && w->status == IFAB_OK) {
        w->status = support_commit(w->store, w->written, 4, 4, w->written);
        w->written += 4;
    }
    return NULL;
}

static void backs_up_a_whole_state_while_commits_go_on(void **state)
{
    char directory[300], backup[300];
    pthread_t thread;
    (void)state;
    temporary(directory);
    struct writing w = {.store = open_sqlite(directory, true), .status = IFAB_OK};
    struct ifab_store *reader = NULL, *copy = NULL;
    assert_int_equal(ifab_store_reader(w.store, &reader, NULL), IFAB_OK);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    uint64_t last = 0;
    for (int i = 0; i < 12; i++) {
        uint64_t digest = 0, size = 0, wal = 0;
        temporary(backup);
        (void)usleep(4000);
        assert_int_equal(ifab_store_backup(reader, backup, NULL), IFAB_OK);
        ifab_status moved = ifab_store_checkpoint(reader, &wal, NULL);
        assert_true(moved == IFAB_OK || moved == IFAB_AGAIN);
        assert_int_equal(open_with((struct ifab_store_options){.directory = backup, .read_only = i % 2 == 0}, &copy), IFAB_OK);
        assert_int_equal(support_digest(copy, &digest, &size), IFAB_OK); /* head and entries agree */
        assert_true(size % 4 == 0 && size >= last);
        last = size;
        ifab_store_close(copy);
        assert_int_equal(ifab_store_backup(reader, backup, NULL), IFAB_CONFLICT); /* not empty */
        assert_int_equal(ifab_store_backup(reader, "/nonexistent/x", NULL), IFAB_NOT_FOUND);
        remove_tree(backup);
    }
    atomic_store(&w.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.status, IFAB_OK);
    assert_true(last > 0);
    ifab_store_close(reader);
    ifab_store_close(w.store);
    remove_tree(directory);
}

/* SQLite's own memory: its n-th allocation fails. */
static sqlite3_mem_methods real_memory;
static uint64_t memory_calls, memory_fail_at;
static void *failing_malloc(int size) { return memory_fail_at != 0 && ++memory_calls == memory_fail_at ? NULL : real_memory.xMalloc(size); }
static void *failing_realloc(void *old, int size)
{
    return memory_fail_at != 0 && ++memory_calls == memory_fail_at ? NULL : real_memory.xRealloc(old, size);
}

static void survives_sqlite_out_of_memory(void **state)
{
    char directory[300];
    (void)state;
    temporary(directory);
    struct ifab_store *store = open_sqlite(directory, true);
    uint64_t first = 0, failures = 0;
    for (uint64_t n = 1; n < 400; n++) {
        uint64_t before = digest_of(store), now = 0;
        memory_calls = 0;
        memory_fail_at = n;
        ifab_status status = support_commit(store, first, 8, 12, n);
        bool done = memory_calls < n;
        memory_fail_at = 0;
        failures += status != IFAB_OK;
        assert_true(status == IFAB_OK || status == IFAB_NOMEM || status == IFAB_INTERNAL);
        if (status == IFAB_INTERNAL) { /* outcome unknown: start again and look */
            ifab_store_close(store);
            store = open_sqlite(directory, false);
        }
        assert_int_equal(support_digest(store, &now, &first), IFAB_OK);
        assert_true(status != IFAB_NOMEM || now == before);
        assert_true(status != IFAB_OK || now != before);
        if (done)
            break;
    }
    assert_true(failures > 0);
    ifab_store_close(store);
    remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_private_files_and_keeps_a_grown_wal),
        cmocka_unit_test(an_older_schema_is_upgraded_and_a_reader_leaves_it),
        cmocka_unit_test(a_damaged_older_schema_is_left_as_it_is),
        cmocka_unit_test(tells_apart_why_it_does_not_open),
        cmocka_unit_test(follows_no_link_in_place_of_its_files),
        cmocka_unit_test(waits_for_a_lock_that_is_held_for_a_moment),
        cmocka_unit_test(says_again_while_another_process_holds_the_lock),
        cmocka_unit_test(is_denied_a_read_only_directory_but_reads_it),
        cmocka_unit_test(rolls_back_when_the_disk_is_full_and_goes_on_later),
        cmocka_unit_test(writes_nothing_when_any_write_finds_no_room),
        cmocka_unit_test(stops_for_good_when_a_write_or_sync_fails),
        cmocka_unit_test(stops_for_good_when_a_commit_cannot_read),
        cmocka_unit_test(stops_for_good_when_a_checkpoint_fails),
        cmocka_unit_test(reports_reads_that_fail),
        cmocka_unit_test(finds_truncated_files_out),
        cmocka_unit_test(leaves_erased_bytes_in_no_file),
        cmocka_unit_test(finishes_an_erase_that_a_reader_held_up),
        cmocka_unit_test(backs_up_a_whole_state_while_commits_go_on),
        cmocka_unit_test(survives_sqlite_out_of_memory),
    };
    (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods failing = real_memory;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
