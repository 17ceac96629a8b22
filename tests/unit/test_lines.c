/* Lines of guests: by whole names, newest kept, and nobody's noise pushes out another's. INV-12 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/lines.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static struct lines lines;
static const struct line *found[LINES_MAX];

static int tear_down(void **state)
{
    (void)state;
    lines_free(&lines);
    return 0;
}

/* Its number is its time and its text. */
static void put(const char *capability, unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    lines_put(&lines, number, ifab_view_str(capability), 7, 1, ifab_view_str(text));
}

static size_t of(const char *id, size_t most) { return lines_of(&lines, ifab_view_str(id), most, found); }

static void a_name_is_a_whole_one(void **state)
{
    (void)state;
    assert_int_equal(of("if://capability/a", 10), 0);
    put("if://capability/ab@1.0.0", 1);
    put("if://capability/ab@1.10.0", 2);
    put("if://capability/abc@1.0.0", 3);
    assert_int_equal(of("if://capability/a", 10), 0);
    assert_int_equal(of("if://capability/", 10), 0);
    assert_int_equal(of("if://capability/ab@1.0.0", 10), 0);
    assert_int_equal(of("if://capability/ab", 10), 2); /* of all its versions, oldest first */
    assert_string_equal(found[0]->capability, "if://capability/ab@1.0.0");
    assert_true(found[0]->wall == 1 && found[1]->wall == 2 && found[0]->talent == 7 && found[0]->level == 1);
    assert_int_equal(of("if://capability/abc", 10), 1);
    assert_true(found[0]->size == 1 && found[0]->text[0] == '3');
}

static void the_newest_are_kept_and_shown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * LINES_MAX; i++)
        put("if://capability/a@1.0.0", i);
    assert_int_equal(of("if://capability/a", LINES_MAX), LINES_MAX); /* alone it has all of it */
    for (unsigned i = 0; i < LINES_MAX; i++)
        assert_int_equal(found[i]->wall, 2 * LINES_MAX + i);
    assert_int_equal(of("if://capability/a", 2), 2);
    assert_int_equal(found[1]->wall, 3 * LINES_MAX - 1);
    assert_int_equal(found[0]->wall, 3 * LINES_MAX - 2);
}

static void who_writes_much_pushes_out_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        put("if://capability/quiet@1.0.0", i);
    for (unsigned i = 0; i < 5000; i++)
        put(i % 2 == 0 ? "if://capability/noisy@1.0.0" : "if://capability/noisy@2.0.0", i); /* another version is the same capability */
    assert_int_equal(of("if://capability/quiet", LINES_MAX), 10);
    assert_int_equal(of("if://capability/noisy", LINES_MAX), LINES_SHARE);
    assert_int_equal(found[LINES_SHARE - 1]->wall, 4999);
    assert_int_equal(found[0]->wall, 5000 - LINES_SHARE);
}

static void the_largest_makes_room(void **state)
{
    char name[64];
    (void)state;
    for (unsigned i = 0; i < LINES_MAX; i++)
        put("if://capability/first@1.0.0", i); /* all of it, while it is alone */
    for (unsigned i = 0; i < 20; i++)
        put("if://capability/second@1.0.0", i);
    assert_int_equal(of("if://capability/first", LINES_MAX), LINES_MAX - 20);
    assert_int_equal(of("if://capability/second", LINES_MAX), 20);
    put("if://capability/first@1.0.0", 9999);
    assert_int_equal(of("if://capability/first", LINES_MAX), LINES_SHARE);
    for (unsigned n = 0; n < 40; n++) /* many noisy ones share what there is */
        for (unsigned i = 0; i < 200; i++) {
            snprintf(name, sizeof name, "if://capability/n%u@1.0.0", n);
            put(name, i);
        }
    assert_true(of("if://capability/second", LINES_MAX) > 0);
    for (unsigned n = 0; n < 39; n++) {
        snprintf(name, sizeof name, "if://capability/n%u", n);
        assert_true(of(name, LINES_MAX) > 0);
    }
}

static void every_line_has_its_own_owner(void **state) /* more names than lines: the oldest names go */
{
    char name[64];
    (void)state;
    for (unsigned n = 0; n < 3 * LINES_MAX; n++) {
        snprintf(name, sizeof name, "if://capability/n%u@1.0.0", n);
        put(name, n);
        snprintf(name, sizeof name, "if://capability/n%u", n);
        assert_int_equal(of(name, LINES_MAX), 1);
        assert_int_equal(found[0]->wall, n);
    }
}

static void long_texts_are_cut_and_odd_ones_taken(void **state)
{
    uint8_t text[2 * LINE_SIZE];
    (void)state;
    memset(text, 'x', sizeof text);
    lines_put(&lines, 1, IFAB_VIEW("if://capability/a@1.0.0"), 1, 9, ifab_view_of(text, sizeof text));
    lines_put(&lines, 2, IFAB_VIEW("if://capability/a@1.0.0"), 1, 9, IFAB_VIEW(""));
    lines_put(&lines, 3, ifab_view_of(text, sizeof text), 1, 9, IFAB_VIEW("t")); /* no capability is called so */
    assert_int_equal(of("if://capability/a", 10), 2);
    assert_int_equal(found[0]->size, LINE_SIZE);
    assert_int_equal(found[1]->size, 0);
    assert_true(strlen(found[0]->capability) < sizeof found[0]->capability);
    ifab_mem_fail_at(1);
    lines_free(&lines);
    put("if://capability/a@1.0.0", 1); /* no room for any: lost */
    ifab_mem_fail_at(0);
    assert_int_equal(of("if://capability/a", 10), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
static const struct CMUnitTest tests[] = {TEST(a_name_is_a_whole_one), TEST(the_newest_are_kept_and_shown), TEST(who_writes_much_pushes_out_its_own),
                                          TEST(the_largest_makes_room), TEST(every_line_has_its_own_owner), TEST(long_texts_are_cut_and_odd_ones_taken)};
TEST_MAIN(tests)
