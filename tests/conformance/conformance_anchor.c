/* One suite over every anchor back-end. Included by its test program. */
#include "anchor/anchor.h"
#include "base/mem.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct anchor_backend {
    const char *name;
    bool directory;
    char path[300];
    struct ifab_anchor *anchor;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void open_anchor(struct anchor_backend *b)
{
    const char *base = getenv("TMPDIR");
    if (!b->directory) {
        assert_int_equal(ifab_anchor_memory_open(&b->anchor, NULL), IFAB_OK);
        return;
    }
    (void)snprintf(b->path, sizeof b->path, "%s/ifab-anchor-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(b->path));
    assert_int_equal(ifab_anchor_directory_open(b->path, &b->anchor, NULL), IFAB_OK);
}

static void close_anchor(struct anchor_backend *b)
{
    ifab_anchor_close(b->anchor);
    if (b->directory)
        (void)nftw(b->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static ifab_status put(struct ifab_anchor *anchor, const char *origin, uint64_t size, const char *rest)
{
    char note[1000];
    int used = snprintf(note, sizeof note, "%s\n%llu\n%s\n", origin, (unsigned long long)size, rest);
    return ifab_anchor_put(anchor, ifab_view_str(origin), size, ifab_view_of(note, (size_t)used), NULL);
}

/* The sizes of an origin, as "3 5 9"; also checks that each note is the one of its size. */
static const char *listed(struct ifab_anchor *anchor, const char *origin, size_t max)
{
    static char text[1000];
    struct ifab_anchor_item items[50];
    struct ifab_arena arena;
    size_t count = 77, used = 0;
    assert_true(max <= 50);
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_anchor_list(anchor, ifab_view_str(origin), max, &arena, items, &count, NULL), IFAB_OK);
    assert_true(count <= max);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char begin[400];
        int size = snprintf(begin, sizeof begin, "%s\n%llu\n", origin, (unsigned long long)items[i].size);
        assert_true(ifab_view_starts(items[i].note, ifab_view_of(begin, (size_t)size)));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%llu", i == 0 ? "" : " ", (unsigned long long)items[i].size);
    }
    ifab_arena_fini(&arena);
    return text;
}

static void lists_what_was_put_by_size(struct anchor_backend *b)
{
    assert_string_equal(listed(b->anchor, "example.org/log", 10), "");
    assert_int_equal(put(b->anchor, "example.org/log", 9, "x"), IFAB_OK);
    assert_int_equal(put(b->anchor, "example.org/log", 100, "x"), IFAB_OK);
    assert_int_equal(put(b->anchor, "example.org/log", 0, "x"), IFAB_OK);
    assert_int_equal(put(b->anchor, "example.org/log", UINT64_MAX, "x"), IFAB_OK);
    assert_int_equal(put(b->anchor, "other", 50, "x"), IFAB_OK);
    assert_string_equal(listed(b->anchor, "example.org/log", 10), "0 9 100 18446744073709551615");
    assert_string_equal(listed(b->anchor, "example.org/log", 2), "100 18446744073709551615"); /* the newest */
    assert_string_equal(listed(b->anchor, "example.org/log", 0), "");
    assert_string_equal(listed(b->anchor, "other", 10), "50");
    assert_string_equal(listed(b->anchor, "othe", 10), "");
}

static void takes_the_same_again_and_no_other(struct anchor_backend *b)
{
    assert_int_equal(put(b->anchor, "o", 9, "first"), IFAB_OK);
    assert_int_equal(put(b->anchor, "o", 9, "first"), IFAB_OK);
    assert_int_equal(put(b->anchor, "o", 9, "forked"), IFAB_CONFLICT);
    assert_int_equal(put(b->anchor, "o", 9, "first and more"), IFAB_CONFLICT);
    assert_int_equal(put(b->anchor, "o", 10, "forked"), IFAB_OK);
    assert_string_equal(listed(b->anchor, "o", 10), "9 10");
    assert_int_equal(put(b->anchor, "o", 9, "first"), IFAB_OK);
}

static void refuses_malformed_origins_and_notes(struct anchor_backend *b)
{
    char origin[IFAB_ANCHOR_ORIGIN_MAX + 2];
    static uint8_t large[IFAB_ANCHOR_NOTE_MAX + 1] = "o\n";
    memset(origin, 'a', sizeof origin);
    origin[sizeof origin - 1] = '\0';
    assert_int_equal(put(b->anchor, origin, 1, "x"), IFAB_INVALID);
    origin[sizeof origin - 2] = '\0';
    assert_int_equal(put(b->anchor, origin, 1, "x"), IFAB_OK);
    assert_string_equal(listed(b->anchor, origin, 5), "1");
    assert_int_equal(put(b->anchor, "", 1, "x"), IFAB_INVALID);
    assert_int_equal(put(b->anchor, "a\nb", 1, "x"), IFAB_INVALID);
    assert_int_equal(put(b->anchor, "a\x7f", 1, "x"), IFAB_INVALID);
    assert_int_equal(ifab_anchor_put(b->anchor, ifab_view_of("a\0b", 3), 1, IFAB_VIEW("a\0b\n1\n"), NULL), IFAB_INVALID);
    assert_int_equal(ifab_anchor_put(b->anchor, IFAB_VIEW("o"), 1, IFAB_VIEW("other\n1\n"), NULL), IFAB_INVALID);
    assert_int_equal(ifab_anchor_put(b->anchor, IFAB_VIEW("o"), 1, IFAB_VIEW("o"), NULL), IFAB_INVALID);
    assert_int_equal(ifab_anchor_put(b->anchor, IFAB_VIEW("o"), 1, IFAB_VIEW(""), NULL), IFAB_INVALID);
    assert_int_equal(ifab_anchor_put(b->anchor, IFAB_VIEW("o"), 1, ifab_view_of(large, sizeof large), NULL), IFAB_TOO_LARGE);
    assert_int_equal(ifab_anchor_put(b->anchor, IFAB_VIEW("o"), 1, ifab_view_of(large, sizeof large - 1), NULL), IFAB_OK);
    assert_int_equal(ifab_anchor_list(b->anchor, IFAB_VIEW("o"), 1, NULL, NULL, NULL, NULL), IFAB_INVALID);
}

static void keeps_origins_with_tricky_names_apart(struct anchor_backend *b)
{
    static const char *const origins[] = {"..", ".", "../../etc/x", "/abs", "a/../b", "-", "~", "a b", "log%2f", "\xc3\xa4"};
    for (size_t i = 0; i < IFAB_COUNT(origins); i++) {
        assert_int_equal(put(b->anchor, origins[i], 10 + i, "x"), IFAB_OK);
        char want[10];
        (void)snprintf(want, sizeof want, "%zu", 10 + i);
        assert_string_equal(listed(b->anchor, origins[i], 5), want);
    }
}

static void survives_failing_allocations(struct anchor_backend *b)
{
    struct ifab_anchor_item items[5];
    struct ifab_arena arena;
    size_t count = 0;
    for (uint64_t size = 1; size < 100; size++) {
        ifab_mem_fail_at(size % 6 + 1);
        ifab_status status = put(b->anchor, "o", size, "x");
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_true(status == IFAB_OK || (failed && status == IFAB_NOMEM));
        assert_int_equal(put(b->anchor, "o", size, "x"), IFAB_OK);
    }
    for (uint64_t n = 1; n < 50; n++) {
        ifab_arena_init(&arena, 1 << 20);
        ifab_mem_fail_at(n);
        ifab_status status = ifab_anchor_list(b->anchor, IFAB_VIEW("o"), 5, &arena, items, &count, NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_true(status == IFAB_OK || (failed && status == IFAB_NOMEM));
        ifab_arena_fini(&arena);
        if (!failed)
            break;
    }
    assert_string_equal(listed(b->anchor, "o", 3), "97 98 99");
}

static struct anchor_backend anchor_backends[] = {{.name = "memory"}, {.name = "directory", .directory = true}};
#define ON_ALL(fn)                                                 \
    static void all_##fn(void **state)                             \
    {                                                              \
        (void)state;                                               \
        for (size_t i = 0; i < IFAB_COUNT(anchor_backends); i++) { \
            open_anchor(&anchor_backends[i]);                      \
            fn(&anchor_backends[i]);                               \
            close_anchor(&anchor_backends[i]);                     \
        }                                                          \
    }
ON_ALL(lists_what_was_put_by_size)
ON_ALL(takes_the_same_again_and_no_other)
ON_ALL(refuses_malformed_origins_and_notes)
ON_ALL(keeps_origins_with_tricky_names_apart)
ON_ALL(survives_failing_allocations)
