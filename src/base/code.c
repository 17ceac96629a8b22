/* The table of wire codes (SURFACE section 6), and the one place where a refusal is filled in. */
#include "base/code.h"

#include "base/mem.h"
#include "trim.h"

#include <stdarg.h>
#include <stdio.h>

#define CODE_ROW(name, number, class_, retry, http, exit_, text, hint) \
    {IFAB_CODE_##name, #name, #class_, (retry) != 0, (http), (exit_), text, hint},
static const struct ifab_code_info rows[] = {IFAB_CODE_MAP(CODE_ROW)};

const struct ifab_code_info *ifab_code_info(enum ifab_code code)
{
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

const struct ifab_code_info *ifab_code_at(size_t i)
{
    return i < IFAB_COUNT(rows) ? &rows[i] : NULL;
}

enum ifab_code ifab_refuse(struct ifab_refusal *ret, enum ifab_code code, const char *field, const char *format, ...)
{
    if (ret == NULL)
        return code;
    memset(ret, 0, sizeof *ret);
    ret->code = code;
    ret->offset = -1;
    ret->retry_after_ms = -1;
    if (field != NULL) {
        snprintf(ret->field, sizeof ret->field, "%s", field);
        ifab_base__trim_utf8(ret->field);
    }
    va_list args;
    va_start(args, format);
    vsnprintf(ret->message, sizeof ret->message, format, args);
    va_end(args);
    ifab_base__trim_utf8(ret->message);
    return code;
}

enum ifab_code ifab_refuse_hint(struct ifab_refusal *ret, enum ifab_code code, const char *hint)
{
    if (ret != NULL)
        ret->hint = hint;
    return code;
}

const char *ifab_decision_name(enum ifab_decision decision)
{
    switch (decision) {
    case IFAB_DECISION_DENY:
        return "DENY";
    case IFAB_DECISION_ESCALATE:
        return "ESCALATE";
    case IFAB_DECISION_HOLD:
        return "HOLD";
    case IFAB_DECISION_SHARE:
        return "SHARE";
    }
    return "DENY"; /* a value outside the enum grants nothing */
}
