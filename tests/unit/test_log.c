/* The operator's log: one line of JSON a record, typed, redacted, bounded, never waiting long. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "json/json.h"
#include "log/log.h"

static int ends[2];

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    ifab_log_open(ends[1], IFAB_LOG_INFO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ifab_log_open(-1, IFAB_LOG_INFO);
    close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return 0;
}

/* What stands in the pipe. */
static size_t taken(char *text, size_t room)
{
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ssize_t n = read(ends[0], text, room - 1);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void is_json(const char *line, size_t size)
{
    struct ifab_arena arena;
    const struct ifab_json *value = NULL;
    ifab_arena_init(&arena, 1 << 20);
    assert_int_equal(ifab_json_read(ifab_view_of(line, size), NULL, &arena, &value, NULL), IFAB_OK);
    assert_non_null(ifab_json_get(value, "time"));
    assert_non_null(ifab_json_get(value, "level"));
    assert_non_null(ifab_json_get(value, "event"));
    ifab_arena_fini(&arena);
}

static void writes_one_line_of_json_with_typed_fields(void **state)
{
    char line[4200];
    (void)state;
    IFAB_LOG(IFAB_LOG_WARN, "store: commit failed", IFAB_F_TEXT("cause", "disk \"full\"\n"), IFAB_F_NUM("entries", -12),
             IFAB_F_VIEW("id", IFAB_VIEW("a\0b")), IFAB_F_TEXT("none", NULL));
    size_t size = taken(line, sizeof line);
    assert_true(size > 0 && line[size - 1] == '\n' && memchr(line, '\n', size) == line + size - 1);
    is_json(line, size - 1);
    assert_non_null(strstr(line, "\"level\":\"warn\",\"event\":\"store: commit failed\",\"cause\":\"disk "
                                 "\\\"full\\\"\\n\",\"entries\":-12,\"id\":\"a\\u0000b\",\"none\":\"\"}"));
}

static void leaves_out_what_is_below_the_level(void **state)
{
    char line[512];
    (void)state;
    ifab_log(IFAB_LOG_DEBUG, "loop: turn", NULL, 0);
    assert_int_equal(taken(line, sizeof line), 0);
    ifab_log(IFAB_LOG_INFO, "loop: turn", NULL, 0);
    assert_true(taken(line, sizeof line) > 0);
}

static void redacts_by_pattern_and_by_name(void **state)
{
    char line[4200];
    (void)state;
    IFAB_LOG(IFAB_LOG_INFO, "http: request", IFAB_F_TEXT("header", "Bearer abcdefghijklmnopqrstuvwxyz0123456789"),
             IFAB_F_TEXT("password", "hunter2"));
    taken(line, sizeof line);
    assert_null(strstr(line, "abcdefghij"));
    assert_null(strstr(line, "hunter2"));
    assert_non_null(strstr(line, "***REDACTED***"));
}

static void bounds_a_record_and_keeps_it_json(void **state)
{
    static char huge[70000];
    char line[8400];
    (void)state;
    memset(huge, 'x', sizeof huge);
    for (size_t cut = 1020; cut < 1028; cut++) { /* characters of three bytes around the cut */
        memset(huge, 'x', cut);
        for (size_t i = 0; i < 100; i++)
            memcpy(huge + cut + 3 * i, "\xe2\x82\xac", 3);
        IFAB_LOG(IFAB_LOG_INFO, "t", IFAB_F_VIEW("a", ifab_view_of(huge, cut + 300)));
        size_t size = taken(line, sizeof line);
        is_json(line, size - 1);
    }
    memset(huge, '\x01', sizeof huge); /* six bytes each, escaped */
    IFAB_LOG(IFAB_LOG_INFO, "t", IFAB_F_VIEW("a", ifab_view_of(huge, 600)), IFAB_F_VIEW("b", ifab_view_of(huge, 600)), IFAB_F_NUM("c", 3),
             IFAB_F_VIEW("d", ifab_view_of(huge, sizeof huge)), IFAB_F_VIEW("e", IFAB_VIEW("\xff\xfe")));
    size_t size = taken(line, sizeof line);
    assert_true(size <= 4096);
    is_json(line, size - 1);
    assert_non_null(strstr(line, "\"c\":3"));
    assert_non_null(strstr(line, "(too long to show)"));
    assert_non_null(strstr(line, "\"e\":\"??\""));
    assert_non_null(strstr(line, "\"truncated\":true}"));
}

static void drops_and_counts_when_nobody_reads(void **state)
{
    static char room[1 << 17];
    struct timespec begin, end;
    (void)state;
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0); /* a blocking descriptor: a plain write would wait for ever */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 2000; i++)
        IFAB_LOG(IFAB_LOG_INFO, "loop: turn", IFAB_F_NUM("i", i));
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 5);
    assert_true(taken(room, sizeof room) > 0);
    ifab_log(IFAB_LOG_INFO, "loop: again", NULL, 0);
    taken(room, sizeof room);
    assert_non_null(strstr(room, "\"event\":\"log: records dropped\",\"count\":"));
    assert_non_null(strstr(room, "loop: again"));
    ifab_log(IFAB_LOG_INFO, "loop: third", NULL, 0);
    taken(room, sizeof room);
    assert_non_null(strstr(room, "loop: third"));
    assert_null(strstr(room, "dropped"));
}

static void keeps_errno_and_survives_any_failing_allocation(void **state)
{
    char line[4200];
    (void)state;
    for (uint64_t n = 1; n < 100; n++) {
        errno = EDOM;
        ifab_mem_fail_at(n);
        IFAB_LOG(IFAB_LOG_INFO, "t", IFAB_F_TEXT("a", "some text"), IFAB_F_VIEW("b", IFAB_VIEW("\xff")));
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(errno, EDOM);
        size_t size = taken(line, sizeof line);
        assert_true(failed || size > 0);
        if (!failed)
            return;
    }
    fail();
}

static void writes_plain_text_whole(void **state)
{
    char line[64];
    (void)state;
    ifab_log_plain(ends[1], IFAB_VIEW("ready unix:/x\n"));
    assert_int_equal(taken(line, sizeof line), 14);
    assert_string_equal(line, "ready unix:/x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_one_line_of_json_with_typed_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_out_what_is_below_the_level, setup, teardown),
        cmocka_unit_test_setup_teardown(redacts_by_pattern_and_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_a_record_and_keeps_it_json, setup, teardown),
        cmocka_unit_test_setup_teardown(drops_and_counts_when_nobody_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_errno_and_survives_any_failing_allocation, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_plain_text_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
