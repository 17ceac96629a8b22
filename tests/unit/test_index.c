/* index.db: answers in order, one transaction with its position, and thrown away at any doubt. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "store/index.h"

#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[300];
static const uint8_t identity[32] = {1, 2, 3}, foreign[32] = {9};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    (void)snprintf(directory, sizeof directory, "%s/ifab-index-XXXXXX", base == NULL ? "/tmp" : base);
    return mkdtemp(directory) == NULL;
}
static int tear_down(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct ifab_index *open_it(const uint8_t *whose, uint64_t store_size)
{
    struct ifab_index_options options = {.directory = directory, .identity32 = whose, .store_size = store_size};
    struct ifab_index *index = NULL;
    struct ifab_error err = {0};
    if (ifab_index_open(&options, &index, &err) != IFAB_OK)
        fprintf(stderr, "# %s\n", err.text);
    assert_non_null(index);
    return index;
}

static uint64_t position(struct ifab_index *index)
{
    uint64_t at = UINT64_MAX;
    assert_int_equal(ifab_index_position(index, &at, NULL), IFAB_OK);
    return at;
}

/* Entry i: trace i / 4, component i % 3, a receiver now and then. */
static void add(struct ifab_index *index, uint64_t from, uint64_t to)
{
    struct ifab_index_item items[400];
    uint64_t traces[400], receivers[400][2];
    size_t count = 0;
    static const char *const components[] = {"guard", "witness", "talent"};
    for (uint64_t i = from; i < to; i++) {
        traces[count] = i / 4;
        items[count] = (struct ifab_index_item){i, IFAB_INDEX_TRACE, ifab_view_of(&traces[count], 8)};
        count++;
        items[count++] = (struct ifab_index_item){i, IFAB_INDEX_COMPONENT, ifab_view_str(components[i % 3])};
        if (i % 5 == 0) {
            receivers[count][0] = i % 2;
            items[count] = (struct ifab_index_item){i, IFAB_INDEX_RECEIVER, ifab_view_of(receivers[count], 8)};
            count++;
        }
    }
    assert_int_equal(ifab_index_add(index, items, count, to, NULL), IFAB_OK);
}

static void check_answers(struct ifab_index *index, uint64_t size)
{
    uint64_t got[300], trace = 2, want = 0;
    size_t count = 99;
    assert_int_equal(ifab_index_query(index, IFAB_INDEX_TRACE, ifab_view_of(&trace, 8), 0, UINT64_MAX, 300, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(got[i], 8 + i);
    assert_int_equal(ifab_index_query(index, IFAB_INDEX_COMPONENT, IFAB_VIEW("witness"), 0, size, 300, got, &count, NULL), IFAB_OK);
    for (uint64_t i = 1; i < size; i += 3)
        assert_int_equal(got[want++], i);
    assert_int_equal(count, want);
    assert_int_equal(ifab_index_query(index, IFAB_INDEX_COMPONENT, IFAB_VIEW("witness"), 7, 16, 300, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 3); /* 7 10 13: `to` is not in it */
    assert_int_equal(got[0], 7);
    assert_int_equal(ifab_index_query(index, IFAB_INDEX_COMPONENT, IFAB_VIEW("witness"), 8, UINT64_MAX, 2, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 2);
    assert_int_equal(got[1], 13);
    assert_int_equal(ifab_index_query(index, IFAB_INDEX_TYPE, IFAB_VIEW("witness"), 0, size, 300, got, &count, NULL), IFAB_OK);
    assert_int_equal(count, 0); /* kinds do not mix */
    assert_int_equal(ifab_index_query(index, IFAB_INDEX_TYPE, IFAB_VIEW(""), 0, size, 300, got, &count, NULL), IFAB_INVALID);
}

static void answers_in_order_and_after_a_restart(void **state)
{
    (void)state;
    struct ifab_index *index = open_it(identity, 0), *reader = NULL;
    assert_int_equal(position(index), 0);
    assert_int_equal(ifab_index_reader(index, &reader, NULL), IFAB_OK);
    for (uint64_t i = 0; i < 120; i += 40)
        add(index, i, i + 40);
    check_answers(index, 120);
    check_answers(reader, 120);
    assert_int_equal(position(reader), 120);
    assert_int_equal(ifab_index_add(reader, NULL, 0, 130, NULL), IFAB_DENIED);
    ifab_index_close(reader);
    ifab_index_close(index);
    index = open_it(identity, 120);
    assert_int_equal(position(index), 120);
    check_answers(index, 120);
    ifab_index_close(index);
    ifab_index_close(NULL);
}

/* Rows hold many entries: cut anywhere, answers are the same; more keys than are put together, out of order, the same entry twice. */
static void keeps_many_entries_of_a_key_in_order(void **state)
{
    (void)state;
    enum { ENTRIES = 900, KEYS = 100 };
    static struct ifab_index_item items[ENTRIES * 2];
    static uint16_t keys[KEYS];
    uint64_t got[ENTRIES];
    size_t count = 0, n = 0;
    struct ifab_index *index = open_it(identity, 0);
    for (uint16_t k = 0; k < KEYS; k++)
        keys[k] = k;
    for (uint64_t i = 0; i < ENTRIES; i++) { /* receivers in turn; from 300 on the gaps need two bytes; each entry twice */
        uint64_t k = i < 300 ? i % KEYS : i % 450 == 0 ? 7 : 8 + i % 3;
        items[count++] = (struct ifab_index_item){i, IFAB_INDEX_RECEIVER, ifab_view_of(&keys[k], 2)};
        items[count++] = (struct ifab_index_item){i, IFAB_INDEX_RECEIVER, ifab_view_of(&keys[k], 2)};
    }
    assert_int_equal(ifab_index_add(index, items, 600, 300, NULL), IFAB_OK);
    for (size_t i = 0; i < 300; i++) { /* the second call: backwards, so a row each */
        struct ifab_index_item swap = items[600 + i];
        items[600 + i] = items[1199 - i];
        items[1199 - i] = swap;
    }
    assert_int_equal(ifab_index_add(index, items + 600, 600, 600, NULL), IFAB_OK);
    assert_int_equal(ifab_index_add(index, items + 1200, 600, ENTRIES, NULL), IFAB_OK);
    const struct {
        uint64_t from, to;
        size_t limit;
    } asked[] = {{0, ENTRIES, ENTRIES}, {5, 700, ENTRIES}, {450, 451, ENTRIES}, {299, 640, 17}, {308, ENTRIES, 1}, {899, UINT64_MAX, 9}, {0, 0, 9}};
    for (size_t a = 0; a < IFAB_COUNT(asked); a++)
        for (uint64_t k = 0; k < KEYS; k += k < 12 ? 1 : 40) {
            size_t want = 0;
            assert_int_equal(ifab_index_query(index, IFAB_INDEX_RECEIVER, ifab_view_of(&keys[k], 2), asked[a].from, asked[a].to,
                                              asked[a].limit, got, &n, NULL),
                             IFAB_OK);
            for (uint64_t i = asked[a].from; i < ENTRIES && i < asked[a].to && want < asked[a].limit; i++) {
                uint64_t of = i < 300 ? i % KEYS : i % 450 == 0 ? 7 : 8 + i % 3;
                if (of == k)
                    assert_int_equal(got[want++], i);
            }
            assert_int_equal(n, want);
        }
    ifab_index_close(index);
}

static void count_call(void *user) { ++*(size_t *)user; }

/* A long addition lets its caller go first now and then, and is whole all the same. */
static void pauses_behind_every_few_rows(void **state)
{
    (void)state;
    enum { ENTRIES = 320 };
    static struct ifab_index_item items[ENTRIES];
    static uint64_t keys[ENTRIES], got[2];
    size_t calls = 0, n = 0;
    struct ifab_index_options options = {.directory = directory, .identity32 = identity, .between = count_call, .user = &calls};
    struct ifab_index *index = NULL;
    assert_int_equal(ifab_index_open(&options, &index, NULL), IFAB_OK);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        keys[i] = i;
        items[i] = (struct ifab_index_item){i, IFAB_INDEX_TRACE, ifab_view_of(&keys[i], 8)};
    }
    assert_int_equal(ifab_index_add(index, items, ENTRIES, ENTRIES, NULL), IFAB_OK);
    assert_int_equal(calls, ENTRIES / 64);
    for (size_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(ifab_index_query(index, IFAB_INDEX_TRACE, items[i].key, 0, ENTRIES, 2, got, &n, NULL), IFAB_OK);
        assert_int_equal(n, 1);
        assert_int_equal(got[0], i);
    }
    ifab_index_close(index);
}

static void refuses_items_outside_of_what_is_added(void **state)
{
    (void)state;
    static const char long_key[IFAB_INDEX_KEY_MAX + 1] = "x";
    struct ifab_index *index = open_it(identity, 0);
    add(index, 0, 20);
    const struct ifab_index_item wrong[] = {{19, IFAB_INDEX_TYPE, IFAB_VIEW("a")},
                                            {30, IFAB_INDEX_TYPE, IFAB_VIEW("a")},
                                            {20, IFAB_INDEX_TYPE, IFAB_VIEW("")},
                                            {20, IFAB_INDEX_TYPE, ifab_view_of(long_key, sizeof long_key)}};
    for (size_t i = 0; i < IFAB_COUNT(wrong); i++)
        assert_int_equal(ifab_index_add(index, &wrong[i], 1, 30, NULL), IFAB_INVALID);
    assert_int_equal(ifab_index_add(index, NULL, 0, 19, NULL), IFAB_INVALID);
    const struct ifab_index_item twice[] = {{20, IFAB_INDEX_TYPE, IFAB_VIEW("a")},
                                            {20, IFAB_INDEX_TYPE, IFAB_VIEW("a")},
                                            {20, IFAB_INDEX_TYPE, ifab_view_of(long_key, IFAB_INDEX_KEY_MAX)}};
    assert_int_equal(position(index), 20);
    assert_int_equal(ifab_index_add(index, twice, 3, 21, NULL), IFAB_OK);
    assert_int_equal(position(index), 21);
    ifab_index_close(index);
}

static void execute(const char *sql)
{
    char path[400];
    sqlite3 *db = NULL;
    (void)snprintf(path, sizeof path, "%s/index.db", directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void begins_anew_at_any_doubt(void **state)
{
    static const struct {
        const uint8_t *whose;
        uint64_t store_size;
        const char *sql;
        uint64_t want;
    } cases[] = {
        {identity, 50, "", 50},
        {identity, 60, "", 50},
        {identity, 49, "", 0},                                            /* knows more than the store */
        {foreign, 50, "", 0},                                             /* of another log */
        {identity, 50, "UPDATE state SET clean=0, boot='of another'", 0}, /* open when the machine went down */
        {identity, 50, "UPDATE state SET clean=0", 50},                   /* killed: the cache had its writes */
        {identity, 50, "UPDATE state SET position=-1", 0},
        {identity, 50, "DELETE FROM state", 0},
        {identity, 50, "DROP TABLE state", 0},
        {identity, 50, "PRAGMA user_version=1", 0},
        {identity, 50, "PRAGMA application_id=2", 0},
        {identity, 50, "DROP TABLE postings", 0},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct ifab_index *index = open_it(identity, UINT64_MAX);
        if (position(index) < 50)
            add(index, position(index), 50);
        ifab_index_close(index);
        execute(cases[i].sql);
        index = open_it(cases[i].whose, cases[i].store_size);
        assert_int_equal(position(index), cases[i].want);
        if (cases[i].want == 0)
            add(index, 0, 50);
        check_answers(index, 50);
        ifab_index_close(index);
        if (cases[i].whose == foreign)
            ifab_index_close(open_it(identity, 0));
    }
}

static void begins_anew_when_the_file_is_damaged(void **state)
{
    char path[400];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/index.db", directory);
    for (off_t cut = 0; cut < 16384; cut += 1000) {
        struct ifab_index *index = open_it(identity, 300);
        if (position(index) < 300)
            for (uint64_t i = position(index); i < 300; i += 50)
                add(index, i, i + 50);
        ifab_index_close(index);
        if (cut % 3000 == 0) { /* noise instead of a cut */
            int fd = open(path, O_RDWR);
            assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, cut), 8);
            (void)close(fd);
        } else {
            assert_int_equal(truncate(path, cut), 0);
        }
        index = open_it(identity, 300);
        uint64_t at = position(index);
        assert_true(at == 0 || at == 300);
        /* damage that shows only later: an error, and the next open begins anew */
        uint64_t got[300];
        size_t count = 0;
        struct ifab_index_item item = {300, IFAB_INDEX_TYPE, IFAB_VIEW("t")};
        ifab_status status = ifab_index_query(index, IFAB_INDEX_COMPONENT, IFAB_VIEW("guard"), 0, 300, 300, got, &count, NULL);
        if (status == IFAB_OK && at == 300)
            status = ifab_index_add(index, &item, 1, 301, NULL);
        assert_true(status == IFAB_OK || status == IFAB_CORRUPT || status == IFAB_IO);
        ifab_index_close(index);
        if (status != IFAB_OK) {
            index = open_it(identity, 301);
            assert_int_equal(position(index), 0);
            ifab_index_close(index);
        }
        assert_int_equal(unlink(path), 0);
    }
}

static void keeps_what_a_killed_process_added(void **state)
{
    int status = 0;
    (void)state;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        add(open_it(identity, 0), 0, 40);
        _exit(0); /* nothing is closed */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct ifab_index *index = open_it(identity, 40);
    assert_int_equal(position(index), 40);
    check_answers(index, 40);
    ifab_index_close(index);
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 20; n++) {
        struct ifab_index_options options = {.directory = directory, .identity32 = identity};
        struct ifab_index *index = NULL;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_index_open(&options, &index, NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        ifab_index_close(index);
        if (!failed)
            break;
    }
    struct ifab_index_options nowhere = {.directory = "/nonexistent/x", .identity32 = identity};
    struct ifab_index *index = NULL;
    assert_int_equal(ifab_index_open(&nowhere, &index, NULL), IFAB_NOT_FOUND);
    assert_int_equal(ifab_index_open(NULL, &index, NULL), IFAB_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_in_order_and_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_many_entries_of_a_key_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pauses_behind_every_few_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_items_outside_of_what_is_added, set_up, tear_down),
        cmocka_unit_test_setup_teardown(begins_anew_at_any_doubt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(begins_anew_when_the_file_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_what_a_killed_process_added, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_failing_allocations, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
