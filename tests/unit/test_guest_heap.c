/* The guest's allocator over a region of the test's: blocks never overlap, come back, and a wrong pointer traps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest_internal.h"
#include "support.h"

#define REGION ((size_t)1 << 20)
static _Alignas(64) unsigned char region[REGION];
static size_t end_ = 100; /* an odd beginning: blocks are aligned all the same */
static jmp_buf trapped;

uintptr_t ifg_platform_heap_begin(void) { return (uintptr_t)region + 3; }
uintptr_t ifg_platform_heap_end(void) { return (uintptr_t)region + end_; }
bool ifg_platform_grow(size_t bytes)
{
    if (bytes > REGION - end_)
        return false;
    end_ += bytes;
    return true;
}
_Noreturn void ifg_platform_trap(void) { longjmp(trapped, 1); }

#define assert_traps(statement)         \
    do {                                \
        if (setjmp(trapped) == 0) {     \
            statement;                  \
            fail_msg("%s", #statement); \
        }                               \
    } while (0)

static void blocks_keep_what_was_written_into_them(void **state)
{
    (void)state;
    struct {
        unsigned char *at;
        size_t size;
    } held[64] = {{NULL, 0}};
    struct test_random random = {7};
    for (int round = 0; round < 20000; round++) {
        size_t i = (size_t)test_random_below(&random, 64);
        for (size_t k = 0; k < held[i].size; k++)
            assert_int_equal(held[i].at[k], (unsigned char)(i + k));
        if (held[i].at != NULL)
            ifg_free(held[i].at);
        held[i].size = (size_t)test_random_below(&random, 3000);
        held[i].at = ifg__heap_take(held[i].size);
        assert_non_null(held[i].at);
        assert_int_equal((uintptr_t)held[i].at % 16, 0);
        assert_true(held[i].at >= region && held[i].at + held[i].size <= region + end_);
        for (size_t k = 0; k < held[i].size; k++)
            held[i].at[k] = (unsigned char)(i + k);
    }
    for (size_t i = 0; i < 64; i++)
        ifg_free(held[i].at);
    assert_true(end_ < REGION); /* what was given back was used again */
}

static void no_room_is_null_and_then_a_trap(void **state)
{
    (void)state;
    assert_null(ifg__heap_take(REGION));
    assert_null(ifg__heap_take(SIZE_MAX));
    assert_null(ifg__heap_take(SIZE_MAX - 8));
    assert_traps((void)ifg_alloc(REGION));
    assert_non_null(ifg__heap_take(10)); /* a small one still fits */
}

static void what_is_no_block_in_use_traps(void **state)
{
    (void)state;
    unsigned char *block = ifg__heap_take(100), *other = ifg__heap_take(100);
    assert_traps(ifg_free(block + 1));
    assert_traps(ifg_free(block + 16));
    assert_traps(ifg_free(region + REGION - 16));
    assert_traps(ifg_free(&end_));
    ifg_free(block);
    assert_traps(ifg_free(block)); /* a second time */
    ifg_free(other);
    other[-16] = 0; /* written in front of a block that is free: found when it is taken again */
    assert_traps((void)ifg__heap_take(100));
    ifg_free(NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(blocks_keep_what_was_written_into_them),
    cmocka_unit_test(no_room_is_null_and_then_a_trap),
    cmocka_unit_test(what_is_no_block_in_use_traps),
};
TEST_MAIN(tests)
