#ifndef BASE_STATUS_H
#define BASE_STATUS_H
/* How a call went, for a C caller. What the wire says is base/code.h; only shells map one to the other. */
#include <stddef.h>
#include <stdint.h>

/* X(name, value, class, text) */
#define IFAB_STATUS_MAP(X)                                            \
    X(OK, 0, NONE, "success")                                         \
    X(INVALID, -1, CALLER, "malformed input")                         \
    X(TOO_LARGE, -2, CALLER, "input above its limit")                 \
    X(NOT_FOUND, -3, CALLER, "no such thing")                         \
    X(CONFLICT, -4, CALLER, "exists already or changed meanwhile")    \
    X(DENIED, -5, CALLER, "not permitted")                            \
    X(AGAIN, -6, RETRY, "temporarily unavailable")                    \
    X(FULL, -7, RETRY, "no room; nothing was written")                \
    X(UNSUPPORTED, -8, CALLER, "not supported here")                  \
    X(IO, -9, FATAL, "input/output error, outcome unknown")           \
    X(CORRUPT, -10, FATAL, "stored data fails verification")          \
    X(INTERNAL, -11, FATAL, "internal error")                         \
    X(NOMEM, -12, RETRY, "out of memory")

#define IFAB_STATUS_ENUM_(name, value, class_, text) IFAB_##name = (value),
typedef enum ifab_status { IFAB_STATUS_MAP(IFAB_STATUS_ENUM_) } ifab_status;
#undef IFAB_STATUS_ENUM_

enum ifab_status_class { IFAB_CLASS_NONE, IFAB_CLASS_CALLER, IFAB_CLASS_RETRY, IFAB_CLASS_FATAL };

#define IFAB_MUST_CHECK __attribute__((warn_unused_result))

/* Cause of a failure; caller's storage. The first cause recorded is kept. Zeroed = empty. */
struct ifab_error {
    ifab_status status;
    uint32_t offset;    /* byte offset in the input where it applies, else 0 */
    uint32_t line;      /* 1-based line of a text file where it applies, else 0 */
    char text[320];     /* UTF-8, ends with NUL; what is wrong, where, what to do next */
};

/* Records the cause (err may be NULL) and returns status, so that a failure is one line. */
ifab_status ifab_fail(struct ifab_error *err, ifab_status status, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));
const char *ifab_status_text(ifab_status status); /* static text, never NULL */
const char *ifab_status_name(ifab_status status); /* "OK", "INVALID", … */
enum ifab_status_class ifab_status_class(ifab_status status);

#define IFAB_TRY(call)                \
    do {                              \
        ifab_status status_ = (call); \
        if (status_ != IFAB_OK)       \
            return status_;           \
    } while (0)
#endif
