/* Numbers as people write them in ifd.yaml: a whole decimal number and its unit, nothing else. Strict, so that a misread unit cannot pass.
 */
#include "settings.h"

static ifab_status number(struct ifab_view text, size_t *ret_digits, int64_t *ret_value)
{
    int64_t value = 0;
    size_t i = 0;
    for (; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        if (value > (INT64_MAX - 9) / 10)
            return IFAB_TOO_LARGE;
        value = value * 10 + (text.data[i] - '0');
    }
    if (i == 0 || (i > 1 && text.data[0] == '0')) /* "007" is a mistake more often than a number */
        return IFAB_INVALID;
    *ret_digits = i;
    *ret_value = value;
    return IFAB_OK;
}

struct unit {
    const char *name;
    int64_t factor;
};

static ifab_status with_unit(struct ifab_view text, const struct unit *units, size_t count, int64_t *ret_value)
{
    size_t digits;
    int64_t value;
    IFAB_TRY(number(text, &digits, &value));
    struct ifab_view name = ifab_view_of(text.data + digits, text.size - digits);
    for (size_t i = 0; i < count; i++) {
        if (!ifab_view_is(name, units[i].name))
            continue;
        if (value > INT64_MAX / units[i].factor)
            return IFAB_TOO_LARGE;
        *ret_value = value * units[i].factor;
        return IFAB_OK;
    }
    return IFAB_INVALID;
}

ifab_status ifab_units__usec(struct ifab_view text, int64_t *ret_usec)
{
    static const struct unit units[] = {{"us", 1},           {"ms", 1000},      {"s", IFAB_SECOND}, {"min", IFAB_MINUTE},
                                        {"h", IFAB_HOUR}, {"d", IFAB_DAY}};
    if (ifab_view_is(text, "0")) {
        *ret_usec = 0;
        return IFAB_OK;
    }
    return with_unit(text, units, sizeof units / sizeof units[0], ret_usec);
}

ifab_status ifab_units__bytes(struct ifab_view text, int64_t *ret_bytes)
{
    static const struct unit units[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", INT64_C(1) << 40}};
    return with_unit(text, units, sizeof units / sizeof units[0], ret_bytes);
}

ifab_status ifab_units__count(struct ifab_view text, int64_t *ret_count)
{
    static const struct unit units[] = {{"", 1}};
    return with_unit(text, units, 1, ret_count);
}
