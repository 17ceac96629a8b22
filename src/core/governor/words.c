/* Words of budgets, and the periods of the UTC calendar. */
#include "governor/money.h"

#include "base/mem.h"

#define IFAB_G_(name, text) text,
static const char *const units[] = {IFAB_UNIT_MAP(IFAB_G_)}, *const subjects[] = {IFAB_SUBJECT_MAP(IFAB_G_)},
                         *const periods[] = {IFAB_PERIOD_MAP(IFAB_G_)};
#undef IFAB_G_
static const struct {
    const char *name;
    unsigned percent;
} levels[] = {
#define IFAB_G_(name, percent, text) {text, percent},
    IFAB_LEVEL_MAP(IFAB_G_)
#undef IFAB_G_
};

static bool find(const char *const *words, size_t count, struct ifab_view text, int *ret)
{
    for (size_t i = 0; i < count; i++)
        if (ifab_view_is(text, words[i])) {
            *ret = (int)i;
            return true;
        }
    return false;
}

const char *ifab_unit_name(enum ifab_unit unit) { return (size_t)unit < IFAB_UNIT_COUNT ? units[unit] : ""; }
const char *ifab_subject_name(enum ifab_subject subject) { return (size_t)subject < IFAB_SUBJECT_COUNT ? subjects[subject] : ""; }
const char *ifab_period_name(enum ifab_period period) { return (size_t)period < IFAB_PERIOD_COUNT ? periods[period] : ""; }
const char *ifab_level_name(enum ifab_level level) { return (size_t)level < IFAB_LEVEL_COUNT ? levels[level].name : ""; }
unsigned ifab_level_percent(enum ifab_level level) { return levels[level].percent; }

bool ifab_unit_parse(struct ifab_view text, enum ifab_unit *ret_unit)
{
    int found;
    if (!find(units, IFAB_UNIT_COUNT, text, &found))
        return false;
    *ret_unit = (enum ifab_unit)found;
    return true;
}

bool ifab_subject_parse(struct ifab_view text, enum ifab_subject *ret_subject)
{
    int found;
    if (!find(subjects, IFAB_SUBJECT_COUNT, text, &found))
        return false;
    *ret_subject = (enum ifab_subject)found;
    return true;
}

bool ifab_period_parse(struct ifab_view text, enum ifab_period *ret_period)
{
    int found;
    if (!find(periods, IFAB_PERIOD_COUNT, text, &found))
        return false;
    *ret_period = (enum ifab_period)found;
    return true;
}

bool ifab_subject_valid(enum ifab_subject subject, struct ifab_view name)
{
    static const uint8_t none16[16];
    struct ifab_uri uri;
    uint8_t uuid16[16];
    if (name.size == 0 || name.size > IFAB_SUBJECT_NAME_MAX)
        return false;
    if (subject == IFAB_SUBJECT_TRACE)
        return ifab_uuid_parse(name, uuid16) == IFAB_OK && memcmp(uuid16, none16, 16) != 0;
    if (ifab_name_valid(name))
        return true;
    return subject == IFAB_SUBJECT_CAPABILITY && ifab_uri_parse(name, &uri, NULL) == IFAB_OK && ifab_view_is(uri.type, "capability");
}

/* The first day of the month that holds this time, or of the one after it. */
static ifab_usec month(ifab_usec wall, bool next)
{
    char text[25];
    ifab_usec start = 0;
    ifab_time_format(wall, text);
    if (next) {
        int of_year = (text[5] - '0') * 10 + (text[6] - '0'), number = (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
        number += of_year == 12;
        of_year = of_year == 12 ? 1 : of_year + 1;
        if (number > 9999)
            return IFAB_NEVER;
        for (int i = 3; i >= 0; i--, number /= 10)
            text[i] = (char)('0' + number % 10);
        text[5] = (char)('0' + of_year / 10);
        text[6] = (char)('0' + of_year % 10);
    }
    memcpy(text + 8, "01T00:00:00.000Z", 16);
    (void)ifab_time_parse(ifab_view_of(text, 24), &start); /* a date of our own */
    return start;
}

ifab_usec ifab_period_start(enum ifab_period period, ifab_usec wall)
{
    switch (period) {
    case IFAB_PERIOD_HOUR:
        return wall - wall % IFAB_HOUR;
    case IFAB_PERIOD_DAY:
        return wall - wall % IFAB_DAY;
    case IFAB_PERIOD_WEEK: /* 1970-01-01 was a Thursday; the days before the first Monday are its first week */
        return wall < 4 * IFAB_DAY ? 0 : wall - (wall - 4 * IFAB_DAY) % (7 * IFAB_DAY);
    case IFAB_PERIOD_MONTH:
        return month(wall, false);
    case IFAB_PERIOD_TOTAL:
    case IFAB_PERIOD_COUNT:
        break;
    }
    return 0;
}

ifab_usec ifab_period_end(enum ifab_period period, ifab_usec wall)
{
    switch (period) {
    case IFAB_PERIOD_HOUR:
        return ifab_period_start(period, wall) + IFAB_HOUR;
    case IFAB_PERIOD_DAY:
        return ifab_period_start(period, wall) + IFAB_DAY;
    case IFAB_PERIOD_WEEK:
        return wall < 4 * IFAB_DAY ? 4 * IFAB_DAY : ifab_period_start(period, wall) + 7 * IFAB_DAY;
    case IFAB_PERIOD_MONTH:
        return month(wall, true);
    case IFAB_PERIOD_TOTAL:
    case IFAB_PERIOD_COUNT:
        break;
    }
    return IFAB_NEVER;
}
