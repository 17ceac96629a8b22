/* The table of statuses as text, and the one place where the cause of a failure is recorded. */
#include "base/status.h"

#include "trim.h"

#include <stdarg.h>
#include <stdio.h>

struct status_row {
    ifab_status status;
    enum ifab_status_class class_;
    const char *name, *text;
};

#define STATUS_ROW(name, value, class_, text) {IFAB_##name, IFAB_CLASS_##class_, #name, text},
static const struct status_row rows[] = {IFAB_STATUS_MAP(STATUS_ROW)};

static const struct status_row *row_of(ifab_status status)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return &rows[i];
    return NULL;
}

ifab_status ifab_fail(struct ifab_error *err, ifab_status status, const char *format, ...)
{
    if (err == NULL || err->status != IFAB_OK)
        return status; /* the first cause is kept: what follows is only its consequence */
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    ifab_base__trim_utf8(err->text);
    return status;
}

const char *ifab_status_text(ifab_status status)
{
    const struct status_row *row = row_of(status);
    return row == NULL ? "unknown status" : row->text;
}

const char *ifab_status_name(ifab_status status)
{
    const struct status_row *row = row_of(status);
    return row == NULL ? "UNKNOWN" : row->name;
}

enum ifab_status_class ifab_status_class(ifab_status status)
{
    const struct status_row *row = row_of(status);
    return row == NULL ? IFAB_CLASS_FATAL : row->class_; /* unknown: as bad as it gets */
}
