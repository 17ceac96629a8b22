#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H
/* Between log.c and journal.c. */
#include "base/buf.h"
#include "log/log.h"

#define IFAB_LOG__CLEAN_MAX ((size_t)4 * 65536) /* room for a value while it is redacted */
#define IFAB_LOG__JOURNAL_MAX ((size_t)8192)    /* bytes of a record */

/* The value of a field as it may leave: redacted, valid UTF-8, cut. false: it is a number. to: empty. */
bool ifab_log__value(struct ifab_buf *to, const struct ifab_log_field *field);
bool ifab_log__has_journal(void);
/* false: not taken, and nothing of it. */
bool ifab_log__to_journal(enum ifab_log_level level, const char *event, const struct ifab_log_field *fields, size_t count);
#endif
