/* Anchor back-ends against their suite, and what only the directory promises. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/conformance_anchor.c"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct anchor_backend directory = {.name = "directory", .directory = true};

static const char *in(const char *name)
{
    static char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", directory.path, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    int fd = open(in(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static size_t files_in(const char *path)
{
    DIR *d = opendir(path);
    size_t count = 0;
    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    (void)closedir(d);
    return count - 2;
}

static void needs_a_directory_that_is_there(void **state)
{
    struct ifab_anchor *anchor = NULL;
    (void)state;
    assert_int_equal(ifab_anchor_directory_open("/nonexistent/anchors", &anchor, NULL), IFAB_NOT_FOUND);
    assert_int_equal(ifab_anchor_directory_open("/etc/passwd", &anchor, NULL), IFAB_NOT_FOUND);
    assert_int_equal(ifab_anchor_directory_open("", &anchor, NULL), IFAB_INVALID);
    assert_null(anchor);
    open_anchor(&directory);
    assert_int_equal(rmdir(directory.path), 0);
    struct ifab_arena arena;
    struct ifab_anchor_item item;
    size_t count = 5;
    ifab_arena_init(&arena, 1000); /* vanished while open: not an empty one */
    assert_int_equal(ifab_anchor_list(directory.anchor, IFAB_VIEW("o"), 1, &arena, &item, &count, NULL), IFAB_NOT_FOUND);
    assert_int_equal(put(directory.anchor, "o", 1, "x"), IFAB_NOT_FOUND);
    ifab_arena_fini(&arena);
    ifab_anchor_close(directory.anchor);
    ifab_anchor_close(NULL);
}

static void writes_the_name_that_is_promised(void **state)
{
    struct stat st;
    (void)state;
    open_anchor(&directory);
    assert_int_equal(put(directory.anchor, "fabric.example/a1b2c3d4", 65536, "x"), IFAB_OK);
    assert_int_equal(stat(in("fabric.example_a1b2c3d4-00000000000000065536.checkpoint"), &st), 0);
    assert_int_equal(put(directory.anchor, "..", 1, "x"), IFAB_OK);
    assert_int_equal(stat(in("..-00000000000000000001.checkpoint"), &st), 0);
    assert_int_equal(files_in(directory.path), 2); /* nothing temporary is left */
    close_anchor(&directory);
}

static void tells_origins_with_one_name_apart_by_their_notes(void **state)
{
    (void)state;
    open_anchor(&directory);
    assert_int_equal(put(directory.anchor, "a/b", 7, "x"), IFAB_OK);
    assert_int_equal(put(directory.anchor, "a_b", 8, "x"), IFAB_OK);
    assert_int_equal(put(directory.anchor, "a_b", 7, "x"), IFAB_CONFLICT); /* never overwritten */
    assert_string_equal(listed(directory.anchor, "a/b", 5), "7");
    assert_string_equal(listed(directory.anchor, "a_b", 5), "8");
    close_anchor(&directory);
}

static void skips_foreign_files(void **state)
{
    static const char *const names[] = {
        "o-0000000000000000001.checkpoint",   "o-000000000000000000001.checkpoint", "o-99999999999999999999.checkpoint",
        "o-0000000000000000000x.checkpoint",  "o-00000000000000000001.checkpoint~", "o-00000000000000000001.Checkpoint",
        "oo-00000000000000000001.checkpoint", ".anchor-0123456789abcdef.tmp",       "README"};
    (void)state;
    open_anchor(&directory);
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        write_file(names[i], "o\n1\n");
    write_file("o-00000000000000000003.checkpoint", "other\n3\n");
    assert_int_equal(put(directory.anchor, "o", 9, "x"), IFAB_OK);
    assert_string_equal(listed(directory.anchor, "o", 5), "9");
    assert_int_equal(put(directory.anchor, "o", 3, "x"), IFAB_CONFLICT); /* and nothing is written over them */
    close_anchor(&directory);
}

/* INV-05: an anchor of ours that cannot be read must not look like none, or an old copy would be served. */
static void refuses_anchors_that_cannot_be_read(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        struct ifab_anchor_item items[5];
        struct ifab_arena arena;
        struct stat st;
        size_t count = 77;
        const char *name = "o-00000000000000000008.checkpoint";
        open_anchor(&directory);
        assert_int_equal(put(directory.anchor, "o", 7, "x"), IFAB_OK);
        write_file("elsewhere", "o\n8\n");
        if (kind == 0)
            write_file(name, "");
        else if (kind == 1)
            write_file(name, "o");
        else if (kind == 2)
            assert_int_equal(mkdir(in(name), 0700), 0);
        else if (kind == 3)
            assert_int_equal(mkfifo(in(name), 0600), 0);
        else
            assert_int_equal(symlink(kind == 4 ? "elsewhere" : "nowhere", in(name)), 0);
        ifab_arena_init(&arena, 1 << 20);
        assert_int_equal(ifab_anchor_list(directory.anchor, IFAB_VIEW("o"), 5, &arena, items, &count, NULL), IFAB_CORRUPT);
        ifab_arena_fini(&arena);
        ifab_status status = put(directory.anchor, "o", 8, "x"); /* nothing is written through or over it */
        assert_true(status == IFAB_CONFLICT || status == IFAB_DENIED);
        assert_int_equal(stat(in("nowhere"), &st), -1);
        close_anchor(&directory);
    }
}

static int put_under_a_limit(void)
{
    struct rlimit limit = {1000, RLIM_INFINITY};
    static uint8_t note[5000] = "o\n5\n";
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 2;
    return ifab_anchor_put(directory.anchor, IFAB_VIEW("o"), 5, ifab_view_of(note, sizeof note), NULL) == IFAB_IO ? 0 : 1;
}

static void leaves_nothing_half_when_a_write_fails(void **state)
{
    int status = 0;
    (void)state;
    open_anchor(&directory);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(put_under_a_limit());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(files_in(directory.path), 0);
    assert_string_equal(listed(directory.anchor, "o", 5), "");
    close_anchor(&directory);
}

/* Two writers at once with different notes: each size is kept once, and who was told OK finds its own. INV-05 */
static void lets_one_of_two_writers_win(void **state)
{
    enum { SIZES = 200 };
    static unsigned char won[2][SIZES];
    int ends[2], status = 0;
    (void)state;
    open_anchor(&directory);
    assert_int_equal(pipe(ends), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    for (uint64_t size = 0; size < SIZES; size++)
        won[child == 0][size] = put(directory.anchor, "o", size, child == 0 ? "child" : "parent") == IFAB_OK;
    if (child == 0)
        _exit(write(ends[1], won[1], SIZES) != SIZES);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], won[1], SIZES), SIZES);
    for (uint64_t size = 0; size < SIZES; size++) {
        assert_int_equal(won[0][size] + won[1][size], 1);
        assert_int_equal(put(directory.anchor, "o", size, won[0][size] ? "parent" : "child"), IFAB_OK);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(files_in(directory.path), SIZES);
    close_anchor(&directory);
}

/* A writer that is killed at any moment: what has a name is whole. */
static void leaves_nothing_half_when_it_is_killed(void **state)
{
    (void)state;
    open_anchor(&directory);
    for (unsigned i = 0; i < 25; i++) {
        int status = 0;
        (void)fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            for (uint64_t size = i * 1000;; size++) {
                if (put(directory.anchor, "o", size, "the same rest of every note") != IFAB_OK)
                    _exit(1);
            }
        }
        (void)usleep(500 + i * 300);
        (void)kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
    }
    DIR *d = opendir(directory.path);
    const struct dirent *e;
    size_t whole = 0;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char text[200], *end = NULL;
        if (strncmp(e->d_name, "o-", 2) != 0)
            continue;
        int fd = open(in(e->d_name), O_RDONLY);
        ssize_t size = read(fd, text, sizeof text - 1), want;
        (void)close(fd);
        text[size < 0 ? 0 : size] = '\0';
        char note[200];
        want = snprintf(note, sizeof note, "o\n%llu\nthe same rest of every note\n", strtoull(e->d_name + 2, &end, 10));
        assert_int_equal(size, want);
        assert_string_equal(text, note);
        whole++;
    }
    (void)closedir(d);
    assert_true(whole > 0);
    close_anchor(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_lists_what_was_put_by_size),
        cmocka_unit_test(all_takes_the_same_again_and_no_other),
        cmocka_unit_test(all_refuses_malformed_origins_and_notes),
        cmocka_unit_test(all_keeps_origins_with_tricky_names_apart),
        cmocka_unit_test(all_survives_failing_allocations),
        cmocka_unit_test(needs_a_directory_that_is_there),
        cmocka_unit_test(writes_the_name_that_is_promised),
        cmocka_unit_test(tells_origins_with_one_name_apart_by_their_notes),
        cmocka_unit_test(skips_foreign_files),
        cmocka_unit_test(refuses_anchors_that_cannot_be_read),
        cmocka_unit_test(leaves_nothing_half_when_a_write_fails),
        cmocka_unit_test(lets_one_of_two_writers_win),
        cmocka_unit_test(leaves_nothing_half_when_it_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
