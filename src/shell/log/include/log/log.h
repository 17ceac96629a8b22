#ifndef LOG_LOG_H
#define LOG_LOG_H
/* The one log writer: a line of JSON a record on a descriptor, typed fields, redacted. Not the witness log: this one is for the operator. */
#include "base/status.h"
#include "base/view.h"

enum ifab_log_level { IFAB_LOG_DEBUG, IFAB_LOG_INFO, IFAB_LOG_WARN, IFAB_LOG_ERROR };
struct ifab_log_field {
    const char *name;
    enum { IFAB_LOG_TEXT, IFAB_LOG_NUMBER, IFAB_LOG_VIEW } kind;
    const char *text;
    int64_t number;
    struct ifab_view view;
};
#define IFAB_F_TEXT(name_, text_) {.name = (name_), .kind = IFAB_LOG_TEXT, .text = (text_)}
#define IFAB_F_NUM(name_, number_) {.name = (name_), .kind = IFAB_LOG_NUMBER, .number = (int64_t)(number_)}
#define IFAB_F_VIEW(name_, view_) {.name = (name_), .kind = IFAB_LOG_VIEW, .view = (view_)}
void ifab_log_open(int fd, enum ifab_log_level least); /* fd borrowed; before threads */
/* Records go to the journal whose datagram socket path is, and to fd only when it does not take one. false: no socket. Before threads. */
bool ifab_log_journal(const char *path);
bool ifab_log_find_journal(void); /* the same, when stderr is the stream that journald gave us */
bool ifab_log_is_journal(const char *text, uint64_t device, uint64_t inode); /* is text, of JOURNAL_STREAM, that file? */
/* Threads: any; one write(2) a record, at most 4,096 bytes. event: short static text, "store: commit failed". */
void ifab_log(enum ifab_log_level level, const char *event, const struct ifab_log_field *fields, size_t count);
#define IFAB_LOG(level, event, ...)                                                                              \
    ifab_log(level, event, (const struct ifab_log_field[]){__VA_ARGS__},                                         \
             sizeof((const struct ifab_log_field[]){__VA_ARGS__}) / sizeof(struct ifab_log_field))
/* Plain text for people on a descriptor: the one "ready …" line and --help of ifd. */
void ifab_log_plain(int fd, struct ifab_view text);
#endif
