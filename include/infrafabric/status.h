#ifndef INFRAFABRIC_STATUS_H
#define INFRAFABRIC_STATUS_H
/*
 * How a call went, and the small types every header of libinfrafabric uses. C17 and C++.
 * Statuses say only how the call went; data comes out through ret_ arguments, which are written on IFAB_OK only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef IFAB_API
#define IFAB_API __attribute__((visibility("default")))
#endif
#ifndef IFAB_MUST_CHECK
#define IFAB_MUST_CHECK __attribute__((warn_unused_result))
#endif

#ifndef BASE_STATUS_H /* inside the library the same types come from base/status.h; tests compare the two */
typedef enum ifab_status {
    IFAB_OK = 0,
    IFAB_INVALID = -1,     /* malformed input */
    IFAB_TOO_LARGE = -2,   /* input above its limit */
    IFAB_NOT_FOUND = -3,   /* no such thing; nobody listens there */
    IFAB_CONFLICT = -4,    /* exists already or changed meanwhile */
    IFAB_DENIED = -5,      /* not permitted; wrong passphrase */
    IFAB_AGAIN = -6,       /* temporarily unavailable: the same call may be made again */
    IFAB_FULL = -7,        /* no room; nothing was written */
    IFAB_UNSUPPORTED = -8, /* not supported here */
    IFAB_IO = -9,          /* input/output error, outcome unknown */
    IFAB_CORRUPT = -10,    /* stored data fails verification */
    IFAB_INTERNAL = -11,   /* internal error */
    IFAB_NOMEM = -12       /* out of memory */
} ifab_status;

/* Cause of a failure; caller's storage, zeroed before the call. The first cause recorded is kept. */
struct ifab_error {
    ifab_status status;
    uint32_t offset; /* byte offset in the input where it applies, else 0 */
    uint32_t line;   /* 1-based line of a text file where it applies, else 0 */
    char text[320];  /* UTF-8, ends with NUL: what is wrong, where, what to do next */
};
#endif

#ifndef BASE_VIEW_H
/* Borrowed bytes: a pointer and its length. data may be NULL only when size is 0. */
struct ifab_view {
    const uint8_t *data;
    size_t size;
};
#endif

/* Bytes owned by the caller. data ends with a NUL that size does not count. Zeroed = none. */
struct ifab_text {
    char *data;
    size_t size;
};
IFAB_API void ifab_text_free(struct ifab_text *self); /* wipes and frees; accepts NULL and a zeroed one */
/* Static text for a status, never NULL. */
IFAB_API const char *ifab_status_describe(ifab_status status);

#ifdef __cplusplus
}
#endif
#endif
