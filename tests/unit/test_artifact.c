/* Artifacts on disk: only what this daemon wrote for this very module and engine comes back. INV-08 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "pool/artifact.h"
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX ((size_t)1 << 20)

static struct {
    char dir[64], path[96];
    struct ifab_artifact_cache *cache;
    uint8_t mac_key[32], key[32];
} w;

static void open_cache(uint64_t max_bytes)
{
    struct ifab_error err = {.text = ""};
    if (ifab_artifact_cache_open(w.path, w.mac_key, max_bytes, &w.cache, &err) != IFAB_OK)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    snprintf(w.dir, sizeof w.dir, "/tmp/ifab-artifact-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.path, sizeof w.path, "%s/cache", w.dir);
    memset(w.mac_key, 7, sizeof w.mac_key);
    memset(w.key, 9, sizeof w.key);
    open_cache(MAX);
    return 0;
}

/* Names of files; each is unlinked when `remove_them`. */
static size_t files(bool remove_them, char ret_last[128])
{
    size_t count = 0;
    char path[384];
    DIR *dir = opendir(w.path);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", w.path, e->d_name);
        if (ret_last != NULL)
            snprintf(ret_last, 128, "%.127s", e->d_name);
        if (remove_them && unlink(path) != 0)
            rmdir(path);
    }
    closedir(dir);
    return count;
}

static int teardown(void **state)
{
    (void)state;
    ifab_artifact_cache_close(w.cache);
    chmod(w.path, 0700);
    (void)files(true, NULL);
    assert_int_equal(rmdir(w.path), 0);
    assert_int_equal(rmdir(w.dir), 0);
    return 0;
}

static ifab_status get(const uint8_t key[32], struct ifab_view expected)
{
    struct ifab_buf buf = IFAB_BUF_INIT(MAX);
    struct ifab_error err = {.text = ""};
    ifab_status status = ifab_artifact_cache_get(w.cache, key, &buf, &err);
    if (status == IFAB_OK)
        assert_true(ifab_view_equal(ifab_buf_as_view(&buf), expected));
    else
        assert_int_equal(buf.size, 0);
    ifab_buf_fini(&buf);
    return status;
}

static void put(const uint8_t key[32], struct ifab_view artifact)
{
    struct ifab_error err = {.text = ""};
    if (ifab_artifact_cache_put(w.cache, key, artifact, &err) != IFAB_OK)
        fail_msg("%s", err.text);
}

static char *file_path(void)
{
    static char path[384];
    char name[128] = "";
    assert_int_equal(files(false, name), 1);
    snprintf(path, sizeof path, "%s/%s", w.path, name);
    return path;
}

static void what_was_put_comes_back_after_a_restart(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(get(w.key, IFAB_VIEW("")), IFAB_NOT_FOUND);
    put(w.key, IFAB_VIEW("native code"));
    put(w.key, IFAB_VIEW("native code, newer"));
    assert_int_equal(stat(file_path(), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    ifab_artifact_cache_close(w.cache);
    open_cache(MAX);
    assert_int_equal(get(w.key, IFAB_VIEW("native code, newer")), IFAB_OK);
}

static void every_changed_bit_is_found_and_the_file_removed(void **state)
{
    (void)state;
    struct ifab_view artifact = IFAB_VIEW("native code");
    for (size_t bit = 0; bit < 8 * (32 + artifact.size); bit++) {
        put(w.key, artifact);
        int fd = open(file_path(), O_RDWR | O_CLOEXEC);
        uint8_t byte = 0;
        assert_int_equal(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
        byte = (uint8_t)(byte ^ 1U << bit % 8);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
        close(fd);
        assert_int_equal(get(w.key, artifact), IFAB_CORRUPT);
        assert_int_equal(get(w.key, artifact), IFAB_NOT_FOUND);
    }
}

static void a_file_of_another_size_key_or_kind_is_not_used(void **state)
{
    (void)state;
    uint8_t other[32] = {1};
    static const off_t sizes[] = {0, 31, 32, 33, 42, 44, (off_t)MAX + 33};
    char moved[384];
    for (size_t i = 0; i < IFAB_COUNT(sizes); i++) {
        put(w.key, IFAB_VIEW("native code"));
        assert_int_equal(truncate(file_path(), sizes[i]), 0);
        assert_int_equal(get(w.key, IFAB_VIEW("")), IFAB_CORRUPT);
        assert_int_equal(files(false, NULL), 0);
    }
    put(w.key, IFAB_VIEW("native code")); /* a good file under another name: an older version put in the place of a newer */
    const char *path = file_path();
    snprintf(moved, sizeof moved, "%s/%062d01.artifact", w.path, 0);
    memset(other, 0, sizeof other);
    other[31] = 1;
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(get(other, IFAB_VIEW("")), IFAB_CORRUPT);
    put(other, IFAB_VIEW("x"));
    unlink(moved);
    assert_int_equal(symlink("/etc/passwd", moved), 0);
    assert_int_equal(get(other, IFAB_VIEW("")), IFAB_CORRUPT);
    assert_int_equal(files(false, NULL), 0);
    assert_int_equal(mkfifo(moved, 0600), 0); /* must not wait for a writer */
    assert_int_equal(get(other, IFAB_VIEW("")), IFAB_CORRUPT);
    assert_int_equal(mkdir(moved, 0700), 0);
    assert_int_equal(get(other, IFAB_VIEW("")), IFAB_CORRUPT);
    assert_int_equal(files(false, NULL), 0);
}

/* Its bytes are right; where they lie is not ours to trust. */
static void a_link_to_a_good_file_is_not_followed(void **state)
{
    (void)state;
    char elsewhere[96], name[384];
    put(w.key, IFAB_VIEW("native code"));
    snprintf(name, sizeof name, "%s", file_path());
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", w.dir);
    assert_int_equal(rename(name, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, name), 0);
    assert_int_equal(get(w.key, IFAB_VIEW("")), IFAB_CORRUPT);
    assert_int_equal(get(w.key, IFAB_VIEW("")), IFAB_NOT_FOUND);
    assert_int_equal(unlink(elsewhere), 0); /* the link went, not what it named */
}

static void another_daemons_key_is_of_no_use(void **state)
{
    (void)state;
    put(w.key, IFAB_VIEW("native code"));
    ifab_artifact_cache_close(w.cache);
    w.mac_key[31] ^= 1;
    open_cache(MAX);
    assert_int_equal(get(w.key, IFAB_VIEW("")), IFAB_CORRUPT);
}

static void the_key_covers_module_engine_version_and_configuration(void **state)
{
    (void)state;
    struct ifab_view parts[][3] = {
        {IFAB_VIEW("wasmtime"), IFAB_VIEW("48.0.8"), IFAB_VIEW("fuel 1\n")}, {IFAB_VIEW("wasmtime4"), IFAB_VIEW("8.0.8"), IFAB_VIEW("fuel 1\n")},
        {IFAB_VIEW("wasmtime"), IFAB_VIEW("48.0.9"), IFAB_VIEW("fuel 1\n")}, {IFAB_VIEW("wasmtime"), IFAB_VIEW("48.0.8"), IFAB_VIEW("fuel 0\n")},
        {IFAB_VIEW("wasmtime"), IFAB_VIEW("48.0.8f"), IFAB_VIEW("uel 1\n")},
    };
    uint8_t keys[IFAB_COUNT(parts) + 1][32], module[32] = {1};
    for (size_t i = 0; i < IFAB_COUNT(parts); i++)
        ifab_artifact_key(module, parts[i][0], parts[i][1], parts[i][2], keys[i]);
    module[0] = 2;
    ifab_artifact_key(module, parts[0][0], parts[0][1], parts[0][2], keys[IFAB_COUNT(parts)]);
    for (size_t i = 0; i <= IFAB_COUNT(parts); i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(keys[i], keys[k], 32);
}

static void room_is_made_by_the_least_recently_used(void **state)
{
    (void)state;
    uint8_t keys[4][32] = {{1}, {2}, {3}, {4}}, bytes[100] = {0};
    ifab_artifact_cache_close(w.cache);
    open_cache(3 * (100 + 32));
    for (size_t i = 0; i < 3; i++) {
        put(keys[i], ifab_view_of(bytes, sizeof bytes));
        usleep(20000); /* file times may be coarse */
    }
    assert_int_equal(get(keys[0], ifab_view_of(bytes, sizeof bytes)), IFAB_OK); /* used: not the oldest any more */
    usleep(20000);
    put(keys[3], ifab_view_of(bytes, sizeof bytes));
    assert_int_equal(files(false, NULL), 3);
    assert_int_equal(get(keys[1], IFAB_VIEW("")), IFAB_NOT_FOUND);
    assert_int_equal(get(keys[0], ifab_view_of(bytes, sizeof bytes)), IFAB_OK);
    struct ifab_error err = {.text = ""};
    uint8_t large[400] = {0};
    assert_int_equal(ifab_artifact_cache_put(w.cache, w.key, ifab_view_of(large, sizeof large), &err), IFAB_TOO_LARGE);
    assert_int_equal(ifab_artifact_cache_put(w.cache, w.key, IFAB_VIEW(""), &err), IFAB_TOO_LARGE);
    assert_int_equal(files(false, NULL), 3);
}

static void what_a_crash_left_is_removed_and_foreign_directories_refused(void **state)
{
    (void)state;
    char path[160];
    struct ifab_artifact_cache *cache = NULL;
    struct ifab_error err = {.text = ""};
    snprintf(path, sizeof path, "%s/new-0123456789abcdef", w.path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ifab_artifact_cache_close(w.cache);
    open_cache(MAX);
    assert_int_equal(files(false, NULL), 0);
    for (mode_t bit = 1; bit <= 040; bit <<= 1) { /* nothing in it is anybody else's business */
        assert_int_equal(chmod(w.path, 0700 | bit), 0);
        assert_int_equal(ifab_artifact_cache_open(w.path, w.mac_key, MAX, &cache, &err), IFAB_DENIED);
    }
    snprintf(path, sizeof path, "%s/link", w.dir);
    assert_int_equal(symlink(w.path, path), 0);
    assert_int_equal(ifab_artifact_cache_open(path, w.mac_key, MAX, &cache, &err), IFAB_IO);
    unlink(path);
    snprintf(path, sizeof path, "%s/none/cache", w.dir);
    assert_int_equal(ifab_artifact_cache_open(path, w.mac_key, MAX, &cache, &err), IFAB_IO);
    assert_null(cache);
}

static void survive_no_memory(void)
{
    struct ifab_buf buf = IFAB_BUF_INIT(MAX);
    struct ifab_error err = {.text = ""};
    struct ifab_artifact_cache *cache = NULL;
    if (ifab_artifact_cache_open(w.path, w.mac_key, MAX, &cache, &err) == IFAB_OK) {
        ifab_status stored = ifab_artifact_cache_put(cache, w.key, IFAB_VIEW("native code"), &err);
        ifab_status found = ifab_artifact_cache_get(cache, w.key, &buf, &err);
        assert_true(stored == IFAB_OK || stored == IFAB_NOMEM);
        assert_true(found == IFAB_OK || found == IFAB_NOMEM || found == IFAB_NOT_FOUND);
    }
    ifab_artifact_cache_close(cache);
    ifab_buf_fini(&buf);
}

static void no_memory_is_no_artifact(void **state)
{
    (void)state;
    TEST_SWEEP_ALLOCATIONS(survive_no_memory());
    assert_int_equal(get(w.key, IFAB_VIEW("native code")), IFAB_OK);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static const struct CMUnitTest tests[] = {
    TEST(what_was_put_comes_back_after_a_restart),
    TEST(every_changed_bit_is_found_and_the_file_removed),
    TEST(a_file_of_another_size_key_or_kind_is_not_used),
    TEST(a_link_to_a_good_file_is_not_followed),
    TEST(another_daemons_key_is_of_no_use),
    TEST(the_key_covers_module_engine_version_and_configuration),
    TEST(room_is_made_by_the_least_recently_used),
    TEST(what_a_crash_left_is_removed_and_foreign_directories_refused),
    TEST(no_memory_is_no_artifact),
};
TEST_MAIN(tests)
