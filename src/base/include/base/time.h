#ifndef BASE_TIME_H
#define BASE_TIME_H
/* Times are int64 microseconds. wall: since 1970-01-01T00:00:00Z, no leap seconds. run: since the fabric was made, while it ran. */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

typedef int64_t ifab_usec;
#define IFAB_SECOND ((ifab_usec)1000000)
#define IFAB_MINUTE (60 * IFAB_SECOND)
#define IFAB_HOUR (60 * IFAB_MINUTE)
#define IFAB_DAY (24 * IFAB_HOUR)
#define IFAB_NEVER INT64_MAX

struct ifab_now { /* comes in with every command: cores have no clock */
    ifab_usec wall; /* freshness, validity, periods, what is printed */
    ifab_usec run;  /* leases, deadlines, buckets, breakers */
};

/* YYYY-MM-DDThh:mm:ss[.mmm]Z, upper case, seconds <= 59, real dates, years 1970..9999. IFAB_INVALID. */
ifab_status ifab_time_parse(struct ifab_view text, ifab_usec *ret_wall);
/* Always with milliseconds: 2025-11-12T10:21:00.000Z (truncated). wall in years 1970..9999. */
void ifab_time_format(ifab_usec wall, char ret_text[25]); /* 24 characters and NUL */
void ifab_buf_time(struct ifab_buf *buf, ifab_usec wall);
#endif
