/*
 * Power cuts. A workload over the real store code records what reached the disk and which commits were acknowledged when; then, for many
 * crash points, the files are rebuilt as the cut might have left them, opened with the real code and compared with the reference back-end.
 * IFAB_CRASH_POINTS: how many (default 10,000); IFAB_SEED: another course.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/store_support.h"
#include "../powercut/powercut_vfs.h"

#define COMMITS   300
#define WAL_BYTES (96 * 1024) /* some dozen frames: it is overwritten many times */
#define ERASED    "the-bytes-that-were-erased"

struct step {
    uint64_t digest;     /* of the whole state after it */
    size_t acknowledged; /* event number at which the call had returned OK */
};
struct course {
    struct step steps[COMMITS * 2];
    size_t count;
    size_t erased_at; /* event number from which ERASED must be in no file */
};
static struct pc_disk live, after;
static struct course course;

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static struct ifab_store *open_on(const char *vfs, bool create, bool no_sync, ifab_status *ret_status)
{
    struct ifab_store_options options = {
        .directory = "/pc", .create = create, .vfs = vfs, .unsafe_no_sync = no_sync, .wal_bytes = WAL_BYTES};
    struct ifab_store *store = NULL;
    struct ifab_error err = {0};
    *ret_status = ifab_store_sqlite_open(&options, &store, &err);
    if (getenv("IFAB_TRACE") != NULL && *ret_status != IFAB_OK)
        fprintf(stderr, "# %s\n", err.text);
    return store;
}

static void note(struct ifab_store *reference)
{
    struct step *s = &course.steps[course.count++];
    assert_int_equal(support_digest(reference, &s->digest, NULL), IFAB_OK);
    s->acknowledged = live.event_count;
}

static void commit_both(struct ifab_store *store, struct ifab_store *reference, uint64_t first, uint64_t *seed)
{
    struct support_commit s;
    uint64_t count = pc_next(seed) % 5, records = pc_next(seed) % 6;
    struct ifab_commit *commit = support_make(&s, first, (size_t)count, (size_t)records, pc_next(seed) % 1000);
    if (first == 0 && count > 0) {
        memcpy(s.message_bytes[0], ERASED, sizeof ERASED - 1);
        s.entries[0].message.size = 300;
    }
    if (pc_next(seed) % 3 == 0)
        commit->tags_dropped = (ifab_usec)(first / 2) * IFAB_SECOND;
    assert_int_equal(ifab_store_commit(store, commit, NULL), IFAB_OK);
    assert_int_equal(ifab_store_commit(reference, commit, NULL), IFAB_OK);
}

/* Fills `course` and the events of `live`. */
static void run_workload(bool no_sync, uint64_t seed)
{
    struct ifab_store *reference = NULL;
    ifab_status status;
    uint64_t size = 0, wal = 0, digest = 0;
    memset(&course, 0, sizeof course);
    pc_init(&live, "powercut");
    live.record = true;
    struct ifab_store *store = open_on("powercut", true, no_sync, &status);
    assert_int_equal(status, IFAB_OK);
    assert_int_equal(ifab_store_memory_open(&reference, NULL), IFAB_OK);
    note(reference);
    for (int i = 0; i < COMMITS; i++) {
        commit_both(store, reference, size, &seed);
        note(reference);
        assert_int_equal(support_digest(reference, &digest, &size), IFAB_OK);
        if (pc_next(&seed) % 9 == 0)
            assert_int_equal(ifab_store_checkpoint(store, &wal, NULL), IFAB_OK);
        if (pc_next(&seed) % 60 == 0 || (i == 20)) { /* erase something: entry 0 in any case */
            uint64_t index = i == 20 ? 0 : pc_next(&seed) % (size + 1);
            status = ifab_store_erase(store, index, NULL);
            assert_int_equal(ifab_store_erase(reference, index, NULL), status);
            note(reference);
            if (i == 20)
                course.erased_at = live.event_count;
        }
        if (pc_next(&seed) % 50 == 0) {
            ifab_store_close(store);
            store = open_on("powercut", false, no_sync, &status);
            assert_int_equal(status, IFAB_OK);
        }
    }
    assert_int_equal(support_digest(store, &digest, NULL), IFAB_OK);
    assert_true(digest == course.steps[course.count - 1].digest);
    ifab_store_close(store);
    ifab_store_close(reference);
}

static int by_value(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool anywhere(const struct pc_disk *d, const char *needle)
{
    for (int f = 0; f < d->file_count; f++) {
        const struct pc_image *i = &d->files[f].now;
        if (i->exists && i->size > 0 && memmem(i->data, i->size, needle, strlen(needle)) != NULL)
            return true;
    }
    return false;
}

/* What one cut at event `at` shows. true: all that was acknowledged is there, and nothing half. */
static bool survives(size_t at, bool no_sync, bool write_on)
{
    size_t acknowledged = SIZE_MAX;
    for (size_t i = 0; i < course.count && course.steps[i].acknowledged <= at; i++)
        acknowledged = i;
    if (at >= course.erased_at && !no_sync && anywhere(&after, ERASED)) {
        fprintf(stderr, "# erased bytes are back at event %zu\n", at);
        return false;
    }
    ifab_status status;
    uint64_t digest = 0, size = 0;
    struct ifab_store *store = open_on("powercut-after", false, no_sync, &status);
    if (acknowledged == SIZE_MAX) { /* init had not answered: anything but a crash is right */
        ifab_store_close(store);
        return true;
    }
    bool good = status == IFAB_OK && support_digest(store, &digest, &size) == IFAB_OK;
    /* the present step is either there whole or not at all; an older state would be a loss */
    good = good && (digest == course.steps[acknowledged].digest ||
                    (acknowledged + 1 < course.count && digest == course.steps[acknowledged + 1].digest));
    if (good && write_on) {
        uint64_t changed = 0;
        good = support_commit(store, size, 3, 3, 77) == IFAB_OK && support_digest(store, &changed, NULL) == IFAB_OK && changed != digest;
    }
    ifab_store_close(store);
    return good;
}

static size_t cut_many(size_t points, bool no_sync, uint64_t seed, size_t *ret_lost)
{
    struct pc_base base;
    size_t *at = calloc(points, sizeof *at), *cuts = calloc(live.event_count + 1, sizeof *cuts), cut_count = 0, lost = 0, first_lost = 0;
    memset(&base, 0, sizeof base);
    assert_true(at != NULL && cuts != NULL);
    for (size_t i = 0; i < live.event_count; i++) {
        if (live.events[i].type == PC_TRUNCATE)
            cuts[cut_count++] = i;
    }
    for (size_t i = 0; i < points; i++) {
        at[i] = (size_t)(pc_next(&seed) % (live.event_count + 1));
        /* a third of them where a checkpoint or an erase cuts a file: there the order of few writes decides */
        if (i % 3 == 0 && cut_count > 0) {
            at[i] = cuts[pc_next(&seed) % cut_count] + (size_t)(pc_next(&seed) % 8);
            at[i] = at[i] > live.event_count ? live.event_count : at[i];
        }
    }
    qsort(at, points, sizeof *at, by_value);
    for (size_t i = 0; i < points; i++) {
        pc_base_advance(&base, &live, at[i]);
        pc_init(&after, "powercut-after");
        pc_cut(&base, &live, &after, &seed);
        if (!survives(at[i], no_sync, i % 40 == 0)) {
            if (lost++ == 0)
                first_lost = at[i];
        }
        pc_fini(&after);
    }
    pc_base_fini(&base);
    free(at);
    free(cuts);
    *ret_lost = lost;
    return first_lost;
}

/* INV-04 INV-05 */
static void keeps_every_acknowledged_commit_over_a_power_cut(void **state)
{
    uint64_t seed = number("IFAB_SEED", 20240117), otherwise = 10000;
    size_t lost = 0;
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    otherwise = 1500;
#endif
    run_workload(false, seed);
    size_t points = (size_t)number("IFAB_CRASH_POINTS", otherwise);
    size_t first = cut_many(points, false, seed, &lost);
    if (lost > 0)
        fprintf(stderr, "# seed %llu: %zu of %zu power cuts lost something, the first at event %zu of %zu\n", (unsigned long long)seed,
                lost, points, first, live.event_count);
    pc_fini(&live);
    assert_int_equal(lost, 0);
}

/* The control: without fsync the same test must fail, or it could not see a missing one. */
static void loses_acknowledged_commits_without_fsync(void **state)
{
    uint64_t seed = number("IFAB_SEED", 20240117);
    size_t lost = 0;
    (void)state;
    run_workload(true, seed);
    (void)cut_many(100, true, seed, &lost);
    pc_fini(&live);
    assert_true(lost > 0);
}

/* ---- an older schema is upgraded ---- */

#define TO_SCHEMA_1 "DROP TABLE upgrades; UPDATE meta SET value=1 WHERE name='schema'; PRAGMA user_version=1"

static int64_t ask(const char *vfs, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t answer = -1;
    assert_int_equal(sqlite3_open_v2("/pc/main.db", &db, SQLITE_OPEN_READWRITE, vfs), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        answer = sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    return answer;
}

/* A store of schema 1 on `live`; its digest. */
static uint64_t older_store(void)
{
    ifab_status status;
    uint64_t digest = 0;
    sqlite3 *db = NULL;
    pc_init(&live, "powercut");
    live.record = true;
    struct ifab_store *store = open_on("powercut", true, false, &status);
    assert_int_equal(status, IFAB_OK);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(support_commit(store, i * 3, 3, 3, i), IFAB_OK);
    assert_int_equal(support_digest(store, &digest, NULL), IFAB_OK);
    ifab_store_close(store);
    assert_int_equal(sqlite3_open_v2("/pc/main.db", &db, SQLITE_OPEN_READWRITE, "powercut"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous=FULL; " TO_SCHEMA_1, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return digest;
}

/* The old schema whole or the new one whole, and nothing of the log lost; then it is opened, and upgraded if it was not. */
static void expect_either(const char *vfs, uint64_t digest, const char *when, uint64_t at, size_t ret_seen[3])
{
    ifab_status status;
    uint64_t now = 0;
    int64_t version = ask(vfs, "PRAGMA user_version");
    int64_t named = ask(vfs, "SELECT value FROM meta WHERE name='schema'");
    int64_t table = ask(vfs, "SELECT count(*) FROM sqlite_schema WHERE name='upgrades'");
    if (version != named || version != 1 + table)
        fail_msg("%s %llu: user_version %lld, schema %lld, table %lld", when, (unsigned long long)at, (long long)version, (long long)named, (long long)table);
    ret_seen[version]++;
    struct ifab_store *store = open_on(vfs, false, false, &status);
    if (status != IFAB_OK || support_digest(store, &now, NULL) != IFAB_OK || now != digest)
        fail_msg("%s %llu: status %d", when, (unsigned long long)at, (int)status);
    ifab_store_close(store);
    assert_int_equal(ask(vfs, "PRAGMA user_version"), IFAB_STORE_SCHEMA);
}

static void a_power_cut_leaves_the_old_schema_or_the_new_one(void **state)
{
    uint64_t digest = older_store(), seed = number("IFAB_SEED", 20240117);
    size_t ready = live.event_count, seen[3] = {0};
    ifab_status status;
    struct pc_base base;
    (void)state;
    ifab_store_close(open_on("powercut", false, false, &status));
    assert_int_equal(status, IFAB_OK);
    assert_true(live.event_count > ready);
    memset(&base, 0, sizeof base);
    for (size_t at = ready; at <= live.event_count; at++) {
        pc_base_advance(&base, &live, at);
        for (int course_of = 0; course_of < 4; course_of++) { /* other subsets of what was not synced */
            pc_init(&after, "powercut-after");
            pc_cut(&base, &live, &after, &seed);
            expect_either("powercut-after", digest, "cut at event", at, seen);
            pc_fini(&after);
        }
    }
    assert_true(seen[1] > 0 && seen[2] > 0);
    pc_base_fini(&base);
    pc_fini(&live);
}

static void a_disk_that_fails_at_any_operation_leaves_the_old_schema_or_the_new_one(void **state)
{
    size_t seen[3] = {0}, failures = 0;
    bool through = false;
    (void)state;
    for (uint64_t n = 1; !through; n++) {
        ifab_status status;
        uint64_t digest = older_store();
        live.fail_kinds = PC_FAIL_WRITE | PC_FAIL_SYNC;
        live.operations = 0;
        live.fail_at = n;
        live.fail_sticky = true;
        live.fail_errno = EIO;
        ifab_store_close(open_on("powercut", false, false, &status));
        through = status == IFAB_OK;
        failures += !through;
        live.fail_at = 0;
        live.failed = false;
        live.fail_sticky = false;
        live.fail_kinds = 0;
        expect_either("powercut", digest, "failure", n, seen);
        pc_fini(&live);
        assert_true(n < 1000);
    }
    assert_true(failures > 1 && seen[1] > 0 && seen[2] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_acknowledged_commit_over_a_power_cut),
        cmocka_unit_test(loses_acknowledged_commits_without_fsync),
        cmocka_unit_test(a_power_cut_leaves_the_old_schema_or_the_new_one),
        cmocka_unit_test(a_disk_that_fails_at_any_operation_leaves_the_old_schema_or_the_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
