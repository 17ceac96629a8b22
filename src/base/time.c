/* The one written form of a time. Civil dates after Hinnant, "chrono-compatible low-level date algorithms": years begin in March. */
#include "base/time.h"

#define DAY_MAX 2932896 /* 9999-12-31 */

static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in_month(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool digits(const uint8_t *at, int count, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        value = value * 10 + (at[i] - '0');
    }
    *ret_value = value;
    return true;
}

ifab_status ifab_time_parse(struct ifab_view text, ifab_usec *ret_wall)
{
    const uint8_t *t = text.data;
    int year, month, day, hour, minute, second, milli = 0;
    if ((text.size != 20 && text.size != 24) || t[text.size - 1] != 'Z')
        return IFAB_INVALID;
    if (t[4] != '-' || t[7] != '-' || t[10] != 'T' || t[13] != ':' || t[16] != ':')
        return IFAB_INVALID;
    if (!digits(t, 4, &year) || !digits(t + 5, 2, &month) || !digits(t + 8, 2, &day) || !digits(t + 11, 2, &hour) ||
        !digits(t + 14, 2, &minute) || !digits(t + 17, 2, &second))
        return IFAB_INVALID;
    if (text.size == 24 && (t[19] != '.' || !digits(t + 20, 3, &milli)))
        return IFAB_INVALID;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return IFAB_INVALID;
    if (hour > 23 || minute > 59 || second > 59) /* no leap second: a time of ours names one instant */
        return IFAB_INVALID;
    *ret_wall = days_from_civil(year, month, day) * IFAB_DAY + hour * IFAB_HOUR + minute * IFAB_MINUTE + second * IFAB_SECOND +
                milli * (IFAB_SECOND / 1000);
    return IFAB_OK;
}

static char *put_digits(char *at, int64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + count;
}

void ifab_time_format(ifab_usec wall, char ret_text[25])
{
    /* Outside the years that can be written the nearest one that can: a formatter has no way to refuse. */
    if (wall < 0)
        wall = 0;
    if (wall >= (DAY_MAX + 1) * IFAB_DAY)
        wall = (DAY_MAX + 1) * IFAB_DAY - 1;
    int64_t days = wall / IFAB_DAY + 719468, rest = wall % IFAB_DAY;
    int64_t era = days / 146097, of_era = days % 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * of_year + 2) / 153, day = of_year - (153 * shifted + 2) / 5 + 1;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    char *at = put_digits(ret_text, year_of_era + era * 400 + (month <= 2), 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day, 2);
    *at++ = 'T';
    at = put_digits(at, rest / IFAB_HOUR, 2);
    *at++ = ':';
    at = put_digits(at, rest / IFAB_MINUTE % 60, 2);
    *at++ = ':';
    at = put_digits(at, rest / IFAB_SECOND % 60, 2);
    *at++ = '.';
    at = put_digits(at, rest / 1000 % 1000, 3);
    *at++ = 'Z';
    *at = '\0';
}

void ifab_buf_time(struct ifab_buf *buf, ifab_usec wall)
{
    char text[25];
    ifab_time_format(wall, text);
    ifab_buf_put(buf, text, 24);
}
