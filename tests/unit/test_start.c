/* A start believes nothing that is stored before it agrees: head under its MAC, newest entry, the key it all hangs on (INV-05, INV-16). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/shell/loop/node.h"
#include "support.h"

static char directory[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void make(char *path, size_t size)
{
    struct ifab_error err = {0};
    snprintf(path, size, "/tmp/ifab-start-XXXXXX");
    assert_non_null(mkdtemp(path));
    struct ifab_init_options init = {.directory = path, .http = "", .version = "test", .why = IFAB_VIEW("test")};
    if (ifab_node_init(&init, &err) != IFAB_OK)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    make(directory, sizeof directory);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* As ifd begins, up to the state in memory. */
static ifab_status start(struct ifab_error *err)
{
    struct node *node = ifab_calloc(1, sizeof *node);
    char path[128];
    assert_non_null(node);
    snprintf(path, sizeof path, "%s/ifd.yaml", directory);
    ifab_status status = ifab_config_load(path, &node->config, err);
    struct ifab_store_options store = {.directory = node->config.data_dir, .wal_bytes = 1 << 20};
    if (status == IFAB_OK)
        status = node_keys(node, node->config.keys_dir, err);
    if (status == IFAB_OK)
        status = node_settings(node, err);
    if (status == IFAB_OK)
        status = ifab_store_sqlite_open(&store, &node->store, err);
    if (status == IFAB_OK)
        status = node_load(node, err);
    ifab_fabric_free(node->fabric);
    ifab_store_close(node->store);
    log_key_fini(node);
    ifab_ruleset_free(node->ruleset);
    ifab_free(node);
    return status;
}

static void edit(const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/data/main.db", directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_true(sqlite3_changes(db) > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void what_was_written_is_taken(void **state)
{
    struct ifab_error err = {0};
    (void)state;
    assert_int_equal(start(&err), IFAB_OK);
}

/* A time that nobody but the MAC covers: everything else about this head still agrees. */
static void a_head_edited_under_its_mac_is_corrupt(void **state) /* INV-16 */
{
    struct ifab_error err = {0};
    (void)state;
    edit("UPDATE head SET time = time + 1");
    assert_int_equal(start(&err), IFAB_CORRUPT);
    assert_non_null(strstr(err.text, "HMAC"));
}

static void every_part_of_the_head_is_under_the_mac(void **state)
{
    static const char *const edits[] = {"UPDATE head SET root = zeroblob(32)", "UPDATE head SET last_hash = zeroblob(32)",
                                        "UPDATE head SET trust_root = zeroblob(32)", "UPDATE head SET mac = zeroblob(32)",
                                        "INSERT INTO entries VALUES (1, x'7b7d', NULL, 0); UPDATE head SET size = 2"};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(edits); i++) {
        struct ifab_error err = {0};
        if (i > 0) {
            tear_down(NULL);
            set_up(NULL);
        }
        edit(edits[i]);
        assert_int_equal(start(&err), IFAB_CORRUPT);
        assert_non_null(strstr(err.text, "HMAC"));
    }
}

static void an_edited_newest_entry_is_corrupt(void **state) /* INV-05 */
{
    struct ifab_error err = {0};
    (void)state;
    edit("UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), '\"why\":\"test\"', '\"why\":\"best\"') AS BLOB)");
    assert_int_equal(start(&err), IFAB_CORRUPT);
    assert_non_null(strstr(err.text, "newest stored entry"));
}

static void an_edited_trust_record_is_corrupt(void **state) /* INV-16 */
{
    struct ifab_error err = {0};
    (void)state;
    edit("UPDATE records SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"owner\":\"operator\"', '\"owner\":\"somebody\"') AS BLOB) WHERE kind = 2");
    assert_int_equal(start(&err), IFAB_CORRUPT);
}

static void a_store_under_another_log_key_is_corrupt(void **state)
{
    struct ifab_error err = {0};
    char other[64], from[128], to[128];
    (void)state;
    make(other, sizeof other);
    snprintf(from, sizeof from, "%s/keys/log.key", other);
    snprintf(to, sizeof to, "%s/keys/log.key", directory);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(start(&err), IFAB_CORRUPT);
    assert_int_equal(nftw(other, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void a_tag_key_that_nobody_wrote_is_corrupt(void **state) /* INV-04, INV-16 */
{
    struct ifab_error err = {0};
    (void)state;
    edit("INSERT INTO records(log, kind, number, bytes) VALUES(1, 13, 0, zeroblob(48))");
    assert_int_equal(start(&err), IFAB_CORRUPT);
    assert_non_null(strstr(err.text, "HMAC"));
}

/* A key that waits beside it is tried when the head is not under log.key, and believed only when it is under that one. */
static void a_next_key_that_the_head_is_not_under_is_not_taken(void **state)
{
    struct ifab_error err = {0};
    char other[64], from[128], to[128], next[128];
    (void)state;
    make(other, sizeof other);
    snprintf(from, sizeof from, "%s/keys/log.key", other);
    snprintf(to, sizeof to, "%s/keys/log.key", directory);
    snprintf(next, sizeof next, "%s/keys/log.key.next", directory);
    assert_int_equal(link(from, next), 0);
    assert_int_equal(start(&err), IFAB_OK); /* it only waits, and is another log's */
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(start(&err), IFAB_CORRUPT);
    assert_int_equal(nftw(other, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void a_log_key_that_others_can_read_is_refused(void **state)
{
    struct ifab_error err = {0};
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/keys/log.key", directory);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(start(&err), IFAB_DENIED);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(what_was_written_is_taken, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_head_edited_under_its_mac_is_corrupt, set_up, tear_down),
    cmocka_unit_test_setup_teardown(every_part_of_the_head_is_under_the_mac, set_up, tear_down),
    cmocka_unit_test_setup_teardown(an_edited_newest_entry_is_corrupt, set_up, tear_down),
    cmocka_unit_test_setup_teardown(an_edited_trust_record_is_corrupt, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_store_under_another_log_key_is_corrupt, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_tag_key_that_nobody_wrote_is_corrupt, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_next_key_that_the_head_is_not_under_is_not_taken, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_log_key_that_others_can_read_is_refused, set_up, tear_down),
};
TEST_MAIN(tests)
