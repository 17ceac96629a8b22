/* The operator's log: one line of JSON a record, typed, redacted, bounded, never waiting long. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* ---- the journal: a datagram socket that reads as journald does ---- */

static struct {
    char folder[64], path[96];
    int fd;
} journal;

static int journal_setup(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    setup(state);
    snprintf(journal.folder, sizeof journal.folder, "/tmp/ifab-log-XXXXXX");
    assert_non_null(mkdtemp(journal.folder));
    snprintf(journal.path, sizeof journal.path, "%s/socket", journal.folder);
    memcpy(address.sun_path, journal.path, strlen(journal.path));
    journal.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(journal.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(ifab_log_journal(journal.path));
    return 0;
}

static int journal_teardown(void **state)
{
    (void)ifab_log_journal("");
    unlink(journal.path);
    rmdir(journal.folder);
    if (journal.fd >= 0)
        close(journal.fd);
    return teardown(state);
}

/* The next record's value of name, -1 without one. Every field must be well formed and none may be there twice. */
static ssize_t field_of(const char *record, size_t size, const char *name, char *value, size_t room)
{
    ssize_t found = -1;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(record + at, '\n', size - at), *is = memchr(record + at, '=', size - at);
        assert_non_null(end);
        bool plain = is != NULL && is < end;
        size_t head = (size_t)((plain ? is : end) - (record + at)), begin = at + head + 1, length = plain ? (size_t)(end - is) - 1 : 0;
        assert_true(head > 0 && head <= 64 && record[at] != '_');
        for (size_t i = 0; i < head; i++)
            assert_non_null(memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", record[at + i], 37));
        if (!plain) {
            assert_true(begin + 8 <= size);
            for (size_t i = 0; i < 8; i++)
                length |= (size_t)(uint8_t)record[begin + i] << (8 * i);
            begin += 8;
        }
        assert_true(begin + length < size && record[begin + length] == '\n');
        if (strlen(name) == head && memcmp(record + at, name, head) == 0) {
            assert_int_equal(found, -1);
            found = (ssize_t)length;
            assert_true(length < room);
            memcpy(value, record + begin, length);
            value[length] = '\0';
        }
        at = begin + length + 1;
    }
    return found;
}

static size_t next_record(char *record, size_t room)
{
    ssize_t n = recv(journal.fd, record, room, 0);
    return n < 0 ? 0 : (size_t)n;
}

static void assert_field(const char *record, size_t size, const char *name, const char *wanted)
{
    char value[8192];
    assert_true(field_of(record, size, name, value, sizeof value) >= 0);
    assert_string_equal(value, wanted);
}

static void gives_the_journal_typed_fields_of_their_own(void **state)
{
    char record[9000], line[64], value[8192];
    (void)state;
    IFAB_LOG(IFAB_LOG_WARN, "store: commit failed", IFAB_F_TEXT("cause", "disk \"full\"\nMESSAGE=forged"), IFAB_F_NUM("entries", -12),
             IFAB_F_VIEW("id", IFAB_VIEW("a=b")), IFAB_F_TEXT("retry after-ms", "x"), IFAB_F_TEXT("none", NULL));
    size_t size = next_record(record, sizeof record);
    assert_field(record, size, "PRIORITY", "4");
    assert_field(record, size, "SYSLOG_IDENTIFIER", "ifd");
    assert_field(record, size, "IFAB_EVENT", "store: commit failed");
    assert_field(record, size, "IFAB_CAUSE", "disk \"full\"\nMESSAGE=forged");
    assert_field(record, size, "IFAB_ENTRIES", "-12");
    assert_field(record, size, "IFAB_ID", "a=b");
    assert_field(record, size, "IFAB_RETRY_AFTER_MS", "x");
    assert_field(record, size, "IFAB_NONE", "");
    assert_field(record, size, "MESSAGE",
                 "store: commit failed cause=\"disk \\\"full\\\"\\nMESSAGE=forged\" entries=-12 id=\"a=b\" retry after-ms=\"x\" none=\"\"");
    assert_int_equal(field_of(record, size, "IFAB_TRUNCATED", value, sizeof value), -1);
    assert_int_equal(taken(line, sizeof line), 0); /* not twice */
    ifab_log(IFAB_LOG_DEBUG, "loop: turn", NULL, 0);
    assert_int_equal(next_record(record, sizeof record), 0);
    static const char *const priorities[] = {"6", "4", "3"};
    for (int level = IFAB_LOG_INFO; level <= IFAB_LOG_ERROR; level++) {
        ifab_log((enum ifab_log_level)level, "t", NULL, 0);
        size = next_record(record, sizeof record);
        assert_field(record, size, "PRIORITY", priorities[level - 1]);
    }
}

static void gives_the_journal_no_secret(void **state)
{
    char record[9000];
    (void)state;
    IFAB_LOG(IFAB_LOG_INFO, "Bearer abcdefghijklmnopqrstuvwxyz0123456789", IFAB_F_TEXT("header", "x\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789"),
             IFAB_F_TEXT("password", "hunter2"), IFAB_F_NUM("token", 4711));
    size_t size = next_record(record, sizeof record);
    assert_true(size > 0);
    assert_null(memmem(record, size, "abcdefghij", 10));
    assert_null(memmem(record, size, "hunter2", 7));
    assert_null(memmem(record, size, "4711", 4));
    assert_field(record, size, "IFAB_PASSWORD", "***REDACTED***");
}

static void bounds_what_the_journal_gets(void **state)
{
    static char huge[70000];
    char record[65536], value[8192], name[200];
    (void)state;
    memset(huge, '\n', sizeof huge);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct ifab_log_field fields[40];
    for (size_t i = 0; i < IFAB_COUNT(fields); i++)
        fields[i] = (struct ifab_log_field)IFAB_F_VIEW(i == 0 ? name : "a", ifab_view_of(huge, i == 0 ? 3 : 2000));
    fields[39] = (struct ifab_log_field)IFAB_F_VIEW("z", ifab_view_of(huge, sizeof huge));
    ifab_log(IFAB_LOG_INFO, "t", fields, 2);
    size_t size = next_record(record, sizeof record);
    assert_int_equal(field_of(record, size, "IFAB_A", value, sizeof value), 1024);
    for (size_t i = 1; i < IFAB_COUNT(fields) - 1; i++)
        fields[i].name = i % 2 ? "b1" : "b2";
    ifab_log(IFAB_LOG_INFO, "t", fields, IFAB_COUNT(fields));
    size = next_record(record, sizeof record);
    assert_true(size > 1000 && size <= 16384);
    assert_non_null(memmem(record, size, "IFAB_TRUNCATED=1\n", 17));
    assert_non_null(memmem(record, size, "IFAB_Z=(too long to show)\n", 26));
}

static void falls_back_to_stderr_when_the_journal_takes_nothing(void **state)
{
    char line[65536], record[9000];
    (void)state;
    int sent = 0;
    while (sent < 100000 && taken(line, sizeof line) == 0) { /* nobody reads the socket: it fills */
        ifab_log(IFAB_LOG_INFO, "loop: turn", NULL, 0);
        sent++;
    }
    assert_true(sent < 100000);
    assert_non_null(strstr(line, "\"event\":\"loop: turn\""));
    while (next_record(record, sizeof record) > 0)
        ;
    ifab_log(IFAB_LOG_INFO, "loop: again", NULL, 0);
    assert_true(next_record(record, sizeof record) > 0);
    close(journal.fd);
    unlink(journal.path);
    journal.fd = -1;
    errno = EDOM;
    ifab_log(IFAB_LOG_INFO, "loop: gone", NULL, 0);
    assert_int_equal(errno, EDOM);
    assert_true(taken(line, sizeof line) > 0);
    assert_non_null(strstr(line, "loop: gone"));
}

static void tells_the_journal_or_stderr_under_any_failing_allocation(void **state)
{
    char line[4200], record[9000], value[8192];
    (void)state;
    for (uint64_t n = 1; n < 200; n++) {
        ifab_mem_fail_at(n);
        IFAB_LOG(IFAB_LOG_INFO, "t", IFAB_F_TEXT("a", "some text"), IFAB_F_VIEW("b", IFAB_VIEW("\xff")));
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        size_t size = next_record(record, sizeof record), plain = taken(line, sizeof line);
        assert_true(failed ? size == 0 || plain == 0 : size > 0 && plain == 0);
        if (size > 0)
            (void)field_of(record, size, "MESSAGE", value, sizeof value);
        if (!failed)
            return;
    }
    fail();
}

static void knows_the_journal_by_device_and_inode(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is;
    } cases[] = {{"8:4711", true}, {"8:4712", false}, {"9:4711", false}, {"8:4711 ", false}, {"08:4711", false}, {"8:", false}, {"", false}, {NULL, false}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++)
        assert_int_equal(ifab_log_is_journal(cases[i].text, 8, 4711), cases[i].is);
    char path[300];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_false(ifab_log_journal(path));
    assert_false(ifab_log_journal(""));
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
        cmocka_unit_test_setup_teardown(gives_the_journal_typed_fields_of_their_own, journal_setup, journal_teardown),
        cmocka_unit_test_setup_teardown(gives_the_journal_no_secret, journal_setup, journal_teardown),
        cmocka_unit_test_setup_teardown(bounds_what_the_journal_gets, journal_setup, journal_teardown),
        cmocka_unit_test_setup_teardown(falls_back_to_stderr_when_the_journal_takes_nothing, journal_setup, journal_teardown),
        cmocka_unit_test_setup_teardown(tells_the_journal_or_stderr_under_any_failing_allocation, journal_setup, journal_teardown),
        cmocka_unit_test(knows_the_journal_by_device_and_inode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
