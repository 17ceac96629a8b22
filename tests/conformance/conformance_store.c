/*
 * One suite over every store back-end: what the contract in store/store.h promises, whoever keeps it. A back-end is a row of `backends`.
 * Included by its test program.
 */
#include "store_support.h"

#include <ftw.h>
#include <unistd.h>

struct backend {
    const char *name;
    bool durable; /* reopening shows the same; backup works */
    bool wrapped; /* by store_fault that never fails */
    char directory[300];
    struct ifab_store_fault plan;
    struct ifab_store *store;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void temporary(char ret_path[300])
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(ret_path, 300, "%s/ifab-store-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(ret_path));
}

static void remove_tree(const char *path) { (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static struct ifab_store *open_sqlite(const char *directory, bool create)
{
    struct ifab_store_options options = {.directory = directory, .create = create, .wal_bytes = 128 * 1024};
    struct ifab_store *store = NULL;
    struct ifab_error err = {0};
    ifab_status status = ifab_store_sqlite_open(&options, &store, &err);
    if (status != IFAB_OK)
        fprintf(stderr, "# %s: %s\n", ifab_status_name(status), err.text);
    assert_int_equal(status, IFAB_OK);
    return store;
}

static void wrap(struct backend *b)
{
    struct ifab_store *outer = NULL;
    if (!b->wrapped)
        return;
    b->plan = (struct ifab_store_fault){0};
    assert_int_equal(ifab_store_fault_open(b->store, &b->plan, &outer, NULL), IFAB_OK);
    b->store = outer;
}

static void open_backend(struct backend *b)
{
    if (b->durable) {
        temporary(b->directory);
        b->store = open_sqlite(b->directory, true);
    } else {
        assert_int_equal(ifab_store_memory_open(&b->store, NULL), IFAB_OK);
    }
    wrap(b);
}

static void close_backend(struct backend *b)
{
    ifab_store_closep(&b->store);
    if (b->durable)
        remove_tree(b->directory);
}

static uint64_t digest_of(struct ifab_store *store)
{
    uint64_t digest = 0;
    assert_int_equal(support_digest(store, &digest, NULL), IFAB_OK);
    return digest;
}

static void begins_empty(struct backend *b)
{
    struct ifab_arena arena;
    struct ifab_head head = {.size = 42};
    struct ifab_stored_entry entry;
    size_t count = 9;
    uint64_t wal = 1;
    ifab_arena_init(&arena, 1 << 16);
    assert_int_equal(ifab_store_head(b->store, &arena, &head, NULL), IFAB_NOT_FOUND);
    assert_int_equal(head.size, 42); /* results are written on success only */
    assert_int_equal(ifab_store_read(b->store, 0, 1, true, &arena, &entry, &count, NULL), IFAB_OK);
    assert_int_equal(count, 0);
    assert_int_equal(digest_of(b->store), 1);
    assert_int_equal(ifab_store_checkpoint(b->store, &wal, NULL), IFAB_OK);
    assert_int_equal(wal, 0);
    assert_int_equal(ifab_store_erase(b->store, 0, NULL), IFAB_NOT_FOUND);
    ifab_arena_fini(&arena);
}

static void reads_back_what_was_committed(struct backend *b)
{
    struct support_commit s;
    struct ifab_arena arena;
    struct ifab_head head;
    struct ifab_stored_entry got[8];
    size_t count = 0;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_store_commit(b->store, support_make(&s, 0, 7, 5, 1), NULL), IFAB_OK);
    assert_int_equal(ifab_store_head(b->store, &arena, &head, NULL), IFAB_OK);
    assert_int_equal(head.size, 7);
    assert_memory_equal(head.root32, s.head.root32, 32);
    assert_memory_equal(head.last_hash32, s.head.last_hash32, 32);
    assert_memory_equal(head.trust_root32, s.head.trust_root32, 32);
    assert_memory_equal(head.mac32, s.head.mac32, 32);
    assert_true(head.time == s.head.time);
    assert_true(ifab_view_equal(head.edge, s.head.edge));
    assert_int_equal(ifab_store_read(b->store, 2, 3, true, &arena, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(got[i].index, i + 2);
        assert_true(ifab_view_equal(got[i].entry, s.entries[i + 2].entry));
        assert_true(ifab_view_equal(got[i].message, s.entries[i + 2].message));
        assert_false(got[i].erased);
    }
    assert_int_equal(got[0].message.size, 0); /* entry 2 has none */
    assert_int_equal(ifab_store_read(b->store, 5, 8, false, &arena, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 2); /* up to the end */
    assert_int_equal(got[1].message.size, 0);
    assert_int_equal(ifab_store_read(b->store, 7, 8, true, &arena, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 0);
    assert_int_equal(ifab_store_read(b->store, UINT64_MAX, 8, true, &arena, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 0);
    ifab_arena_fini(&arena);
}

static void refuses_a_commit_that_does_not_follow(struct backend *b)
{
    assert_int_equal(support_commit(b->store, 0, 4, 4, 1), IFAB_OK);
    uint64_t before = digest_of(b->store);
    const uint64_t wrong[] = {0, 3, 5, 1000};
    for (size_t i = 0; i < IFAB_COUNT(wrong); i++) {
        assert_int_equal(support_commit(b->store, wrong[i], 2, 4, 9), IFAB_CONFLICT);
        assert_true(digest_of(b->store) == before);
    }
    assert_int_equal(support_commit(b->store, 4, 2, 4, 9), IFAB_OK);
    assert_true(digest_of(b->store) != before);
}

static void refuses_misuse_by_its_shape(struct backend *b)
{
    struct support_commit s;
    struct ifab_commit *c = support_make(&s, 0, 3, 2, 1);
    s.head.size = 4; /* counts other entries */
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    c = support_make(&s, 0, 3, 2, 1);
    s.entries[1].index = 2;
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    c = support_make(&s, 0, 3, 2, 1);
    s.entries[1].entry.size = 0;
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    c = support_make(&s, 0, 3, 2, 1);
    s.records[0].number = (uint64_t)INT64_MAX + 1;
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    c = support_make(&s, 0, 3, 2, 1);
    s.records[0].kind = 0;
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    c = support_make(&s, 0, 3, 2, 1);
    c->head = NULL;
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    c = support_make(&s, 0, 3, 2, 1);
    c->records = NULL;
    assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_INVALID);
    assert_int_equal(ifab_store_head(b->store, NULL, NULL, NULL), IFAB_INVALID);
    assert_int_equal(ifab_store_records(b->store, NULL, NULL, NULL), IFAB_INVALID);
    assert_int_equal(ifab_store_tags(b->store, 0, NULL, NULL, NULL), IFAB_INVALID);
    assert_int_equal(ifab_store_reader(b->store, NULL, NULL), IFAB_INVALID);
    assert_int_equal(ifab_store_backup(b->store, "", NULL), IFAB_INVALID);
    assert_int_equal(ifab_store_checkpoint(b->store, NULL, NULL), IFAB_INVALID);
    assert_int_equal(digest_of(b->store), 1);
}

struct list {
    struct ifab_record records[16];
    char bytes[16][64];
    size_t count, stop_at;
};
static ifab_status collect(void *user, const struct ifab_record *record, struct ifab_error *err)
{
    struct list *l = user;
    if (l->stop_at > 0 && l->count == l->stop_at)
        return ifab_fail(err, IFAB_TOO_LARGE, "enough");
    assert_true(l->count < 16 && record->bytes.size < 64);
    memcpy(l->bytes[l->count], record->bytes.data, record->bytes.size);
    l->records[l->count] = *record;
    l->records[l->count].bytes = ifab_view_of(l->bytes[l->count], record->bytes.size);
    l->count++;
    return IFAB_OK;
}

static void put_records(struct ifab_store *store, const struct ifab_record *records, size_t count)
{
    struct support_commit s;
    struct ifab_commit *c = support_make(&s, 0, 0, 0, 1);
    c->records = records;
    c->record_count = count;
    assert_int_equal(ifab_store_commit(store, c, NULL), IFAB_OK);
}

static void keeps_the_last_value_of_records_in_order(struct backend *b)
{
    const struct ifab_record first[] = {{2, 7, IFAB_VIEW("two-seven")}, {1, 300, IFAB_VIEW("one-300")},
                                        {1, 2, IFAB_VIEW("one-two")},   {7, INT64_MAX, IFAB_VIEW("largest")},
                                        {1, 40, IFAB_VIEW("gone")},     {255, 0, IFAB_VIEW("kind 255")}};
    const struct ifab_record second[] = {{1, 40, {NULL, 0}}, {1, 2, IFAB_VIEW("changed")}, {3, 9, {NULL, 0}}};
    static const struct {
        uint8_t kind;
        uint64_t number;
        const char *bytes;
    } want[] = {{1, 2, "changed"}, {1, 300, "one-300"}, {2, 7, "two-seven"}, {7, INT64_MAX, "largest"}, {255, 0, "kind 255"}};
    put_records(b->store, first, IFAB_COUNT(first));
    put_records(b->store, second, IFAB_COUNT(second)); /* the third deletes what is not there */
    struct list l = {0};
    assert_int_equal(ifab_store_records(b->store, collect, &l, NULL), IFAB_OK);
    assert_int_equal(l.count, IFAB_COUNT(want));
    for (size_t i = 0; i < IFAB_COUNT(want); i++) {
        assert_int_equal(l.records[i].kind, want[i].kind);
        assert_int_equal(l.records[i].number, want[i].number);
        assert_true(ifab_view_is(l.records[i].bytes, want[i].bytes));
    }
    struct list few = {.stop_at = 2}; /* the function's own failure ends the walk */
    assert_int_equal(ifab_store_records(b->store, collect, &few, NULL), IFAB_TOO_LARGE);
    assert_int_equal(few.count, 2);
}

struct tags_seen {
    char text[64][8];
    size_t count;
};
static ifab_status see_tags(void *user, struct ifab_view tags, struct ifab_error *err)
{
    struct tags_seen *t = user;
    (void)err;
    assert_true(t->count < 64 && tags.size < 8);
    memcpy(t->text[t->count], tags.data, tags.size);
    t->text[t->count++][tags.size] = '\0';
    return IFAB_OK;
}

static void commit_tags(struct ifab_store *store, const char *text, ifab_usec until, ifab_usec dropped)
{
    struct support_commit s;
    struct ifab_commit *c = support_make(&s, 0, 0, 0, 1);
    c->tags = ifab_view_str(text);
    c->tags_until = until;
    c->tags_dropped = dropped;
    assert_int_equal(ifab_store_commit(store, c, NULL), IFAB_OK);
}

/* INV-03: every row that may still matter comes back. */
static void gives_tags_newest_first_from_a_time_on(struct backend *b)
{
    commit_tags(b->store, "a", 100, INT64_MIN);
    commit_tags(b->store, "b", 50, INT64_MIN);
    commit_tags(b->store, "c", 100, INT64_MIN);
    commit_tags(b->store, "d", 200, INT64_MIN);
    struct tags_seen all = {0}, some = {0}, none = {0};
    assert_int_equal(ifab_store_tags(b->store, INT64_MIN, see_tags, &all, NULL), IFAB_OK);
    assert_int_equal(all.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(all.text[i][0], 'd' - (int)i);
    assert_int_equal(ifab_store_tags(b->store, 100, see_tags, &some, NULL), IFAB_OK);
    assert_int_equal(some.count, 3);
    assert_string_equal(some.text[2], "a");
    assert_int_equal(ifab_store_tags(b->store, 201, see_tags, &none, NULL), IFAB_OK);
    assert_int_equal(none.count, 0);
}

static void drops_old_tags_a_few_per_commit_and_no_other(struct backend *b)
{
    for (int i = 0; i < 30; i++)
        commit_tags(b->store, "old", 10, INT64_MIN);
    commit_tags(b->store, "edge", 20, INT64_MIN);
    size_t before = 31;
    for (int i = 0; i < 5; i++) {
        struct tags_seen seen = {0};
        commit_tags(b->store, "", 0, 20);
        assert_int_equal(ifab_store_tags(b->store, INT64_MIN, see_tags, &seen, NULL), IFAB_OK);
        assert_in_range(before - seen.count, 0, 8);
        assert_string_equal(seen.text[0], "edge"); /* until is not below */
        before = seen.count;
    }
    assert_int_equal(before, 1);
}

static void erases_message_bytes_and_keeps_the_entry(struct backend *b)
{
    struct support_commit s;
    struct ifab_arena arena;
    struct ifab_stored_entry got[3];
    size_t count = 0;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_store_commit(b->store, support_make(&s, 0, 3, 0, 1), NULL), IFAB_OK);
    assert_int_equal(ifab_store_erase(b->store, 1, NULL), IFAB_OK);
    assert_int_equal(ifab_store_read(b->store, 0, 3, true, &arena, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 3);
    assert_true(got[1].erased);
    assert_int_equal(got[1].message.size, 0);
    assert_true(ifab_view_equal(got[1].entry, s.entries[1].entry));
    assert_false(got[0].erased);
    assert_true(ifab_view_equal(got[0].message, s.entries[0].message));
    assert_int_equal(ifab_store_erase(b->store, 1, NULL), IFAB_NOT_FOUND); /* gone already */
    assert_int_equal(ifab_store_erase(b->store, 2, NULL), IFAB_NOT_FOUND); /* had none */
    assert_int_equal(ifab_store_erase(b->store, 3, NULL), IFAB_NOT_FOUND);
    assert_int_equal(ifab_store_erase(b->store, UINT64_MAX, NULL), IFAB_NOT_FOUND);
    assert_int_equal(support_commit(b->store, 3, 2, 0, 1), IFAB_OK); /* and it goes on */
    ifab_arena_fini(&arena);
}

static void gives_readers_that_see_commits_and_make_none(struct backend *b)
{
    struct ifab_store *reader = NULL;
    assert_int_equal(support_commit(b->store, 0, 3, 3, 1), IFAB_OK);
    assert_int_equal(ifab_store_reader(b->store, &reader, NULL), IFAB_OK);
    assert_true(digest_of(reader) == digest_of(b->store));
    assert_int_equal(support_commit(b->store, 3, 3, 3, 2), IFAB_OK);
    assert_true(digest_of(reader) == digest_of(b->store));
    assert_int_equal(support_commit(reader, 6, 1, 1, 3), IFAB_DENIED);
    assert_int_equal(ifab_store_erase(reader, 0, NULL), IFAB_DENIED);
    assert_true(digest_of(reader) == digest_of(b->store));
    ifab_store_close(reader);
}

static void matches_the_reference_over_a_long_course(struct backend *b)
{
    struct ifab_store *reference = NULL;
    uint64_t first = 0;
    assert_int_equal(ifab_store_memory_open(&reference, NULL), IFAB_OK);
    for (uint64_t i = 0; i < 120; i++) {
        struct support_commit s;
        struct ifab_commit *c = support_make(&s, first, (size_t)(i * 7 % 6), (size_t)(i * 5 % 9), i);
        c->tags_dropped = i % 4 == 0 ? (ifab_usec)(first / 2) * IFAB_SECOND : INT64_MIN;
        assert_int_equal(ifab_store_commit(b->store, c, NULL), IFAB_OK);
        assert_int_equal(ifab_store_commit(reference, c, NULL), IFAB_OK);
        first += c->entry_count;
        if (i % 10 == 3)
            assert_int_equal(ifab_store_erase(b->store, i % (first + 1), NULL), ifab_store_erase(reference, i % (first + 1), NULL));
        if (i % 8 == 0)
            assert_true(digest_of(b->store) == digest_of(reference));
    }
    assert_true(digest_of(b->store) == digest_of(reference));
    if (b->durable) { /* and the same after a restart */
        ifab_store_close(b->store);
        b->store = open_sqlite(b->directory, false);
        wrap(b);
        assert_true(digest_of(b->store) == digest_of(reference));
        assert_int_equal(support_commit(b->store, first, 1, 1, 5), IFAB_OK);
    }
    ifab_store_close(reference);
}

/* Each allocation fails once: the commit is there whole or not at all, and the same call then works. */
static void survives_every_failing_allocation(struct backend *b)
{
    uint64_t first = 0;
    for (uint64_t n = 1; n < 200; n++) {
        uint64_t before = digest_of(b->store);
        ifab_mem_fail_at(n);
        ifab_status status = support_commit(b->store, first, 2, 3, n);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (status == IFAB_OK) {
            first += 2;
            if (!failed)
                break;
        } else {
            assert_int_equal(status, IFAB_NOMEM);
            assert_true(digest_of(b->store) == before);
            assert_int_equal(support_commit(b->store, first, 2, 3, n), IFAB_OK);
            first += 2;
        }
    }
    for (uint64_t n = 1; n < 20; n++) {
        struct ifab_store *reader = NULL;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_store_reader(b->store, &reader, NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_true(status == IFAB_OK || (status == IFAB_NOMEM && reader == NULL));
        ifab_store_close(reader);
        if (!failed)
            break;
    }
}

/* store_fault over this back-end: whichever call fails, a caller that looks again finds one of two states. */
static void shows_every_planned_failure_and_stays_whole(struct backend *b)
{
    struct ifab_store_fault plan = {0};
    struct ifab_store *outer = NULL, *inner = b->store;
    uint64_t first = 0, wal = 0;
    assert_int_equal(ifab_store_fault_open(inner, &plan, &outer, NULL), IFAB_OK);
    b->store = outer; /* moved into it */
    for (uint64_t n = 1; n <= 12; n++) {
        plan = (struct ifab_store_fault){.at = n, .sticky = n % 2 == 0, .status = n % 3 == 0 ? IFAB_IO : IFAB_FULL};
        for (uint64_t call = 1; call <= 12; call++) {
            uint64_t before = digest_of(inner);
            bool fails = call == n || (plan.sticky && call > n);
            assert_int_equal(support_commit(outer, first, 1, 2, n), fails ? plan.status : IFAB_OK);
            assert_int_equal(plan.calls, call);
            assert_int_equal(digest_of(inner) == before, fails);
            first += !fails;
        }
    }
    plan = (struct ifab_store_fault){.at = 1, .sticky = true, .status = IFAB_AGAIN};
    struct ifab_store *reader = NULL;
    struct list l = {0};
    assert_int_equal(ifab_store_records(outer, collect, &l, NULL), IFAB_AGAIN);
    assert_int_equal(ifab_store_tags(outer, 0, see_tags, &l, NULL), IFAB_AGAIN);
    assert_int_equal(ifab_store_erase(outer, 0, NULL), IFAB_AGAIN);
    assert_int_equal(ifab_store_checkpoint(outer, &wal, NULL), IFAB_AGAIN);
    assert_int_equal(ifab_store_backup(outer, "/nowhere", NULL), IFAB_AGAIN);
    assert_int_equal(ifab_store_reader(outer, &reader, NULL), IFAB_AGAIN);
    assert_null(reader);
    plan = (struct ifab_store_fault){0};
}

static struct backend backends[] = {
    {.name = "memory"},
    {.name = "sqlite", .durable = true},
    {.name = "fault over memory", .wrapped = true},
    {.name = "fault over sqlite", .durable = true, .wrapped = true},
};
typedef void backend_case(struct backend *b);

/* Each case on each back-end, fresh. */
static void on_all(backend_case *fn)
{
    for (size_t i = 0; i < IFAB_COUNT(backends); i++) {
        open_backend(&backends[i]);
        fn(&backends[i]);
        close_backend(&backends[i]);
    }
}
#define ON_ALL(fn)                     \
    static void all_##fn(void **state) \
    {                                  \
        (void)state;                   \
        on_all(fn);                    \
    }
ON_ALL(begins_empty)
ON_ALL(reads_back_what_was_committed)
ON_ALL(refuses_a_commit_that_does_not_follow)
ON_ALL(refuses_misuse_by_its_shape)
ON_ALL(keeps_the_last_value_of_records_in_order)
ON_ALL(gives_tags_newest_first_from_a_time_on)
ON_ALL(drops_old_tags_a_few_per_commit_and_no_other)
ON_ALL(erases_message_bytes_and_keeps_the_entry)
ON_ALL(gives_readers_that_see_commits_and_make_none)
ON_ALL(matches_the_reference_over_a_long_course)
ON_ALL(survives_every_failing_allocation)
ON_ALL(shows_every_planned_failure_and_stays_whole)

static const struct CMUnitTest store_suite[] = {
    cmocka_unit_test(all_begins_empty),
    cmocka_unit_test(all_reads_back_what_was_committed),
    cmocka_unit_test(all_refuses_a_commit_that_does_not_follow),
    cmocka_unit_test(all_refuses_misuse_by_its_shape),
    cmocka_unit_test(all_keeps_the_last_value_of_records_in_order),
    cmocka_unit_test(all_gives_tags_newest_first_from_a_time_on),
    cmocka_unit_test(all_drops_old_tags_a_few_per_commit_and_no_other),
    cmocka_unit_test(all_erases_message_bytes_and_keeps_the_entry),
    cmocka_unit_test(all_gives_readers_that_see_commits_and_make_none),
    cmocka_unit_test(all_matches_the_reference_over_a_long_course),
    cmocka_unit_test(all_survives_every_failing_allocation),
    cmocka_unit_test(all_shows_every_planned_failure_and_stays_whole),
};
