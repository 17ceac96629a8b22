/*
 * Records for systemd's journal in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a record, each field under a name of
 * its own, so that `journalctl IFAB_EVENT=ready -o json` finds what it asks for. Values come redacted and cut from log.c.
 */
#include "log_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "json/json.h"

#define NAME_MAX_JOURNAL 64 /* of a field, as journald takes them */
#define PREFIX "IFAB_"

static int socket_fd = -1;
static struct sockaddr_un address;

bool ifab_log_is_journal(const char *text, uint64_t device, uint64_t inode)
{
    char own[48];
    snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)device, (unsigned long long)inode);
    return text != NULL && strcmp(text, own) == 0;
}

bool ifab_log_journal(const char *path)
{
    size_t size = strlen(path);
    if (socket_fd >= 0)
        close(socket_fd);
    socket_fd = -1;
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (size == 0 || size >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, size);
    socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return socket_fd >= 0;
}

bool ifab_log_find_journal(void)
{
    struct stat here;
    return fstat(STDERR_FILENO, &here) == 0 && ifab_log_is_journal(getenv("JOURNAL_STREAM"), (uint64_t)here.st_dev, (uint64_t)here.st_ino) &&
           ifab_log_journal("/run/systemd/journal/socket");
}

bool ifab_log__has_journal(void)
{
    return socket_fd >= 0;
}

/* NAME=value, or with a line break in it NAME, its size in eight bytes, the value. */
static void put(struct ifab_buf *to, const char *prefix, const char *name, struct ifab_view value)
{
    size_t begin = to->size;
    ifab_buf_str(to, prefix);
    for (; *name != '\0' && to->size - begin < NAME_MAX_JOURNAL; name++)
        ifab_buf_char(to, isalnum((unsigned char)*name) ? (char)toupper((unsigned char)*name) : '_');
    if (value.size == 0 || memchr(value.data, '\n', value.size) == NULL) {
        ifab_buf_char(to, '=');
    } else {
        ifab_buf_char(to, '\n');
        for (int shift = 0; shift < 64; shift += 8)
            ifab_buf_char(to, (char)(uint8_t)((uint64_t)value.size >> shift));
    }
    ifab_buf_view(to, value);
    ifab_buf_char(to, '\n');
}

static void put_number(struct ifab_buf *to, const char *name, int64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)number);
    put(to, PREFIX, name, ifab_view_of(text, (size_t)size));
}

/* One field, and " name=value" for the line that people read: texts there as JSON strings, so that none looks like a second line. */
static void put_field(struct ifab_buf *to, struct ifab_buf *message, const struct ifab_log_field *field)
{
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_LOG__CLEAN_MAX);
    ifab_buf_char(message, ' ');
    ifab_buf_str(message, field->name);
    ifab_buf_char(message, '=');
    if (ifab_log__value(&text, field)) {
        put(to, PREFIX, field->name, ifab_buf_as_view(&text));
        ifab_json_put_string(message, ifab_buf_as_view(&text));
    } else {
        put_number(to, field->name, field->number);
        ifab_buf_i64(message, field->number);
    }
    if (ifab_buf_status(&text) != IFAB_OK)
        to->failed = IFAB_NOMEM;
    ifab_buf_fini(&text);
}

/* A field that finds no room is left out, and the record says so. */
static void compose(struct ifab_buf *to, struct ifab_buf *message, enum ifab_log_level level, const struct ifab_log_field *fields, size_t count)
{
    static const char *const priorities[] = {"7", "6", "4", "3"};
    bool truncated = false;
    put(to, "", "PRIORITY", ifab_view_str(priorities[level]));
    put(to, "", "SYSLOG_IDENTIFIER", IFAB_VIEW("ifd"));
    for (size_t i = 0; i < count; i++) {
        size_t before = to->size, said = message->size;
        put_field(to, message, &fields[i]);
        if (to->failed == IFAB_OK && message->failed == IFAB_OK && to->size + message->size <= IFAB_LOG__JOURNAL_MAX - 256)
            continue;
        if (to->failed == IFAB_NOMEM || message->failed == IFAB_NOMEM)
            return;
        to->size = before;
        message->size = said;
        to->failed = message->failed = IFAB_OK;
        truncated = true;
    }
    if (truncated)
        put(to, PREFIX, "TRUNCATED", IFAB_VIEW("1"));
    put(to, "", "MESSAGE", ifab_buf_as_view(message));
}

bool ifab_log__to_journal(enum ifab_log_level level, const char *event, const struct ifab_log_field *fields, size_t count)
{
    struct ifab_buf record = IFAB_BUF_INIT(2 * IFAB_LOG__JOURNAL_MAX), message = IFAB_BUF_INIT(IFAB_LOG__JOURNAL_MAX);
    const struct ifab_log_field said = IFAB_F_TEXT("event", event);
    struct ifab_buf clean = IFAB_BUF_INIT(IFAB_LOG__CLEAN_MAX);
    (void)ifab_log__value(&clean, &said);
    ifab_buf_view(&message, ifab_buf_as_view(&clean));
    put(&record, PREFIX, "EVENT", ifab_buf_as_view(&clean));
    compose(&record, &message, level, fields, count);
    bool sent = ifab_buf_status(&record) == IFAB_OK && ifab_buf_status(&message) == IFAB_OK && ifab_buf_status(&clean) == IFAB_OK;
    ssize_t n = -1;
    while (sent && (n = sendto(socket_fd, record.data, record.size, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address)) < 0 && errno == EINTR)
        ;
    ifab_buf_fini(&record);
    ifab_buf_fini(&message);
    ifab_buf_fini(&clean);
    return sent && n >= 0;
}
