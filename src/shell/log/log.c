/*
 * The operator's log (log/log.h). Invariants:
 * 1. No value leaves without having passed the redaction, and it passes whole: it is cut only afterwards.
 * 2. A reader that does not read costs lines, not time: a record that cannot be written soon is dropped and counted, the next one says
 * how many. The journal, where there is one, gets it first (journal.c); a record it does not take comes here.
 */
#include "log_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/time.h"
#include "json/json.h"
#include "redact/redact.h"

#define RECORD_MAX 4096          /* as PIPE_BUF: a pipe takes it whole or not at all */
#define VALUE_MAX 1024           /* bytes of one value, before escaping */
#define INPUT_MAX ((size_t)65536) /* of a value that is looked at at all */
#define TAIL_MAX 24              /* room kept for "truncated":true}\n */
#define WAIT_MS 20               /* for a full pipe, once; afterwards not at all until it moves again */

static struct {
    pthread_mutex_t lock;
    int fd;
    atomic_int least;
    bool stalled;
    uint64_t dropped;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .least = IFAB_LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void ifab_log_open(int fd, enum ifab_log_level least)
{
    pthread_mutex_lock(&sink.lock);
    sink.fd = fd;
    sink.stalled = false;
    sink.dropped = 0;
    atomic_store(&sink.least, (int)least);
    pthread_mutex_unlock(&sink.lock);
}

static bool writable(int fd, int wait_ms)
{
    struct pollfd now = {.fd = fd, .events = POLLOUT};
    return poll(&now, 1, wait_ms) == 1 && (now.revents & POLLOUT) != 0;
}

/* All of it, or false. The rest of a record that was begun is waited for once more: half a line would spoil the next one too. */
static bool write_whole(int fd, struct ifab_view bytes, int wait_ms)
{
    if (!writable(fd, wait_ms)) /* a signal ends the wait early: then this record is dropped, no harm */
        return false;
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno != EAGAIN || !writable(fd, WAIT_MS)))
            return false;
        if (n > 0)
            bytes = ifab_view_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return true;
}

static void put_time(struct ifab_buf *line)
{
    struct timespec now = {.tv_sec = 0};
    char text[25];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ifab_time_format((ifab_usec)now.tv_sec * IFAB_SECOND + now.tv_nsec / 1000, text);
    ifab_json_put_cstr(line, text);
}

/* Cut to VALUE_MAX bytes where a character ends. */
static struct ifab_view cut(struct ifab_view text)
{
    if (text.size <= VALUE_MAX)
        return text;
    size_t size = VALUE_MAX;
    while (size > 0 && (text.data[size] & 0xc0) == 0x80)
        size--;
    return ifab_view_of(text.data, size);
}

/* The text of a value: redacted, then valid UTF-8, then cut. Bytes that are not UTF-8 come out as '?'. */
static void clean_text(struct ifab_buf *to, struct ifab_view text)
{
    if (text.size > INPUT_MAX) {
        ifab_buf_str(to, "(too long to show)");
        return;
    }
    struct ifab_buf valid = IFAB_BUF_INIT(2 * INPUT_MAX);
    bool whole = ifab_utf8_valid(text);
    for (size_t i = 0; i < text.size && !whole; i++)
        ifab_buf_char(&valid, (char)(text.data[i] < 0x80 ? text.data[i] : '?'));
    ifab_redact_text(to, whole ? text : ifab_buf_as_view(&valid));
    if (ifab_buf_status(&valid) != IFAB_OK || ifab_buf_status(to) != IFAB_OK) {
        ifab_buf_clear(to);
        ifab_buf_str(to, "(out of memory)");
    } else {
        to->size = cut(ifab_buf_as_view(to)).size;
    }
    ifab_buf_fini(&valid);
}

bool ifab_log__value(struct ifab_buf *to, const struct ifab_log_field *field)
{
    if (ifab_redact_secret_name(ifab_view_str(field->name))) {
        ifab_buf_str(to, IFAB_REDACTED);
        return true;
    }
    switch (field->kind) {
    case IFAB_LOG_TEXT: clean_text(to, ifab_view_str(field->text)); return true;
    case IFAB_LOG_VIEW: clean_text(to, field->view); return true;
    case IFAB_LOG_NUMBER: break;
    }
    return false;
}

static void put_field(struct ifab_buf *line, const struct ifab_log_field *field)
{
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_LOG__CLEAN_MAX);
    ifab_buf_char(line, ',');
    ifab_json_put_cstr(line, field->name);
    ifab_buf_char(line, ':');
    if (ifab_log__value(&text, field))
        ifab_json_put_string(line, ifab_buf_as_view(&text));
    else
        ifab_buf_i64(line, field->number);
    ifab_buf_fini(&text);
}

/* One line. Fields that find no room are left out, and the line says so. */
static void compose(struct ifab_buf *line, enum ifab_log_level level, const char *event, const struct ifab_log_field *fields, size_t count)
{
    bool truncated = false;
    ifab_buf_str(line, "{\"time\":");
    put_time(line);
    ifab_buf_str(line, ",\"level\":");
    ifab_json_put_cstr(line, level_names[level]);
    ifab_buf_str(line, ",\"event\":");
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_LOG__CLEAN_MAX);
    clean_text(&text, ifab_view_str(event));
    ifab_json_put_string(line, ifab_buf_as_view(&text));
    ifab_buf_fini(&text);
    for (size_t i = 0; i < count; i++) {
        size_t before = line->size;
        put_field(line, &fields[i]);
        if (line->failed != IFAB_TOO_LARGE && line->size <= RECORD_MAX - TAIL_MAX)
            continue;
        line->size = before;
        line->failed = IFAB_OK;
        truncated = true;
    }
    ifab_buf_str(line, truncated ? ",\"truncated\":true}\n" : "}\n");
}

/* Under the lock. Records dropped before are told in the same write, where both find room in what a pipe takes whole. */
static void deliver(struct ifab_view line)
{
    char text[RECORD_MAX];
    struct ifab_view first = line;
    if (sink.dropped > 0) {
        int size = snprintf(text, sizeof text, "{\"level\":\"warn\",\"event\":\"log: records dropped\",\"count\":%llu}\n",
                            (unsigned long long)sink.dropped);
        first = ifab_view_of(text, (size_t)size);
        if (first.size + line.size <= sizeof text) {
            memcpy(text + first.size, line.data, line.size);
            first.size += line.size;
            line.size = 0;
        }
    }
    bool written = write_whole(sink.fd, first, sink.stalled ? 0 : WAIT_MS);
    sink.dropped = written ? 0 : sink.dropped + 1;
    if (written && first.data != line.data && line.size > 0 && !write_whole(sink.fd, line, WAIT_MS)) {
        sink.dropped = 1;
        written = false;
    }
    sink.stalled = !written;
}

void ifab_log(enum ifab_log_level level, const char *event, const struct ifab_log_field *fields, size_t count)
{
    int kept = errno; /* logging a failure may not change it */
    if ((int)level < atomic_load(&sink.least) || (size_t)level >= sizeof level_names / sizeof level_names[0])
        return;
    if (ifab_log__has_journal() && ifab_log__to_journal(level, event, fields, count)) {
        errno = kept;
        return;
    }
    struct ifab_buf line = IFAB_BUF_INIT(RECORD_MAX);
    ifab_buf_reserve(&line, RECORD_MAX);
    compose(&line, level, event, fields, count);
    pthread_mutex_lock(&sink.lock);
    if (sink.fd >= 0 && ifab_buf_status(&line) == IFAB_OK)
        deliver(ifab_buf_as_view(&line));
    else if (sink.fd >= 0)
        sink.dropped++;
    pthread_mutex_unlock(&sink.lock);
    ifab_buf_fini(&line);
    errno = kept;
}

void ifab_log_plain(int fd, struct ifab_view text)
{
    while (text.size > 0) {
        ssize_t n = write(fd, text.data, text.size);
        if (n < 0 && errno == EAGAIN && writable(fd, 1000))
            continue;
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0)
            text = ifab_view_of(text.data + n, text.size - (size_t)n);
    }
}
