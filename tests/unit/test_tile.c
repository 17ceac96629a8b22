/* Tile paths and bundle framing of C2SP tlog-tiles. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "witness/witness.h"

static void names_tiles_as_the_specification_does(void **state)
{
    static const struct {
        struct ifab_tile tile;
        const char *path;
    } rows[] = {
        {{false, 0, 0, 256}, "tile/0/000"},
        {{false, 0, 273, 112}, "tile/0/273.p/112"},
        {{false, 1, 1, 17}, "tile/1/001.p/17"},
        {{false, 0, 999, 1}, "tile/0/999.p/1"},
        {{false, 0, 1000, 256}, "tile/0/x001/000"},
        {{false, 3, 1234067, 256}, "tile/3/x001/x234/067"},
        {{true, 0, 1234067, 255}, "tile/entries/x001/x234/067.p/255"},
        {{true, 0, 0, 256}, "tile/entries/000"},
        {{false, 63, UINT64_C(999999999999999999), 255}, "tile/63/x999/x999/x999/x999/x999/999.p/255"},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_tile tile = {0};
        char path[64];
        ifab_tile_format(&rows[i].tile, path);
        assert_string_equal(path, rows[i].path);
        assert_true(ifab_tile_parse(ifab_view_str(path), &tile));
        assert_int_equal(tile.entries, rows[i].tile.entries);
        assert_int_equal(tile.level, rows[i].tile.level);
        assert_true(tile.number == rows[i].tile.number);
        assert_int_equal(tile.width, rows[i].tile.width);
    }
}

static void refuses_other_paths(void **state)
{
    static const char *const bad[] = {
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/x001/x002",
        "tile/0/X001/000",
        "tile/0/x01/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1/",
        "tile/0/000.p/1 ",
        "tile/0/000 ",
        "tile/0/000/",
        "/tile/0/000",
        "tile/../0/000",
        "tile/0/../000",
        "tile/entries",
        "tile/entries/",
        "tile/entries/0",
        "tile/entries/entries/000",
        "tile/data/000",
        "tile/0/000.p/1000",
        "tile/0/00a",
        "tile/0x/000",
        "tile/0/x001/x001/x001/x001/x001/x001/000",
        "tile/99999999999/000",
        "tile/0/000.p/4294967297",
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        struct ifab_tile tile;
        if (ifab_tile_parse(ifab_view_str(bad[i]), &tile))
            fail_msg("took \"%s\"", bad[i]);
    }
}

static void round_trips_numbers_of_every_length(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < UINT64_C(99999999999999999); n = n * 7 + 3) {
        struct ifab_tile tile = {.number = n, .level = (unsigned)(n % 64), .width = (unsigned)(n % 256 + 1)}, read;
        char path[64];
        ifab_tile_format(&tile, path);
        assert_true(strlen(path) < 64);
        assert_true(ifab_tile_parse(ifab_view_str(path), &read));
        assert_true(read.number == n && read.width == tile.width && read.level == tile.level);
    }
}

static void frames_entries_and_takes_them_off_again(void **state)
{
    struct ifab_buf buf = IFAB_BUF_INIT(200000);
    uint8_t *big = ifab_calloc(1, IFAB_ENTRY_MAX + 1);
    struct ifab_view bundle, entry;

    (void)state;
    ifab_bundle_put(&buf, IFAB_VIEW("one"));
    ifab_bundle_put(&buf, IFAB_VIEW(""));
    ifab_bundle_put(&buf, ifab_view_of(big, IFAB_ENTRY_MAX));
    assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
    assert_memory_equal(buf.data, "\0\3one\0\0\xff\xff", 9);
    bundle = ifab_buf_as_view(&buf);
    assert_true(ifab_bundle_next(&bundle, &entry) && ifab_view_is(entry, "one"));
    assert_true(ifab_bundle_next(&bundle, &entry) && entry.size == 0);
    assert_true(ifab_bundle_next(&bundle, &entry) && entry.size == IFAB_ENTRY_MAX);
    assert_false(ifab_bundle_next(&bundle, &entry));
    assert_int_equal(bundle.size, 0);
    ifab_bundle_put(&buf, ifab_view_of(big, IFAB_ENTRY_MAX + 1));
    assert_int_equal(ifab_buf_status(&buf), IFAB_TOO_LARGE);
    ifab_free(big);
    ifab_buf_fini(&buf);
}

static void tells_a_cut_bundle_from_its_end(void **state)
{
    static const char two[] = "\0\3one\0\2hi";

    (void)state;
    for (size_t size = 0; size <= 9; size++) {
        uint8_t *cut = ifab_malloc(size + 1);
        struct ifab_view bundle = ifab_view_of(cut, size), entry;
        memcpy(cut, two, size);
        while (ifab_bundle_next(&bundle, &entry))
            ;
        assert_int_equal(bundle.size == 0, size == 0 || size == 5 || size == 9);
        ifab_free(cut);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tiles_as_the_specification_does), cmocka_unit_test(refuses_other_paths),
        cmocka_unit_test(round_trips_numbers_of_every_length),   cmocka_unit_test(frames_entries_and_takes_them_off_again),
        cmocka_unit_test(tells_a_cut_bundle_from_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
