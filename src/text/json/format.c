/*
 * Doubles to text: ECMA-262 6.1.6.1.20, Number::toString, as RFC 8785 section 3.2.2.3 asks: the fewest digits that read back as the same
 * double, and of those the nearest to it.
 *
 * Why this finds them. A decimal of at most 15 digits survives the way to a double and back, so at most one such decimal, up to trailing
 * zeros, reads as a given normal double, and rounding to 15 digits finds it. With 16 digits the nearest decimal is the right one if any
 * is, as long as the double's interval is symmetric; below a power of two it is half as wide, so there the neighbours are tried too.
 * Subnormal doubles have fewer digits: all lengths are tried. 17 digits always read back.
 */
#include "json/json.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct decimal { /* 0.DIGITS x 10^point, no trailing zeros */
    char digits[20];
    int count, point;
};

static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

static void strip_zeros(struct decimal *d)
{
    while (d->count > 1 && d->digits[d->count - 1] == '0')
        d->count--;
}

static void from_integer(uint64_t value, int scale, struct decimal *ret)
{
    char reversed[20];
    int count = 0;
    for (; value > 0; value /= 10)
        reversed[count++] = (char)('0' + value % 10);
    for (int i = 0; i < count; i++)
        ret->digits[i] = reversed[count - 1 - i];
    ret->count = count;
    ret->point = count - scale;
    strip_zeros(ret);
}

/* Decimals as people write them: an integer of at most 15 digits over a small power of ten. One division of exact operands rounds as
 * reading the decimal does, so equality proves it. */
static bool short_decimal(double value, struct decimal *ret)
{
    for (int scale = 1; scale <= 15; scale++) {
        double scaled = value * powers[scale] + 0.5;
        if (scaled >= 1e15)
            return false;
        uint64_t integer = (uint64_t)scaled;
        if (integer > 0 && (double)integer / powers[scale] == value) {
            from_integer(integer, scale, ret);
            return true;
        }
    }
    return false;
}

static bool reads_back(const struct decimal *d, double value)
{
    char text[40];
    memcpy(text, d->digits, (size_t)d->count);
    snprintf(text + d->count, sizeof text - (size_t)d->count, "e%d", d->point - d->count);
    return strtod(text, NULL) == value; /* no decimal point: the locale has no say */
}

/* One unit up in the last place. 99 becomes 10 with the point moved. */
static void step_up(struct decimal *d)
{
    int at = d->count - 1;
    while (at >= 0 && d->digits[at] == '9')
        d->digits[at--] = '0';
    if (at >= 0) {
        d->digits[at]++;
    } else {
        d->digits[0] = '1'; /* the zeros behind it stay: same count */
        d->point++;
    }
}

static void step_down(struct decimal *d)
{
    int at = d->count - 1;
    while (at >= 0 && d->digits[at] == '0')
        d->digits[at--] = '9';
    if (at >= 0)
        d->digits[at]--;
    if (d->digits[0] == '0' && d->count > 1) { /* 100 became 099: 99 with one place fewer */
        memmove(d->digits, d->digits + 1, (size_t)d->count - 1);
        d->count--;
        d->point--;
    }
}

/* value rounded to `count` digits. Between the first digit and the 'e' stands the locale's point, however long it is. */
static void round_to(double value, int count, struct decimal *ret)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", count - 1, value);
    const char *e = strchr(text, 'e');
    assert(e != NULL);
    ret->digits[0] = text[0];
    memcpy(ret->digits + 1, e - (count - 1), (size_t)count - 1);
    ret->count = count;
    ret->point = (int)strtol(e + 1, NULL, 10) + 1;
}

static bool try_length(double value, int count, bool lopsided, struct decimal *ret)
{
    round_to(value, count, ret);
    if (reads_back(ret, value))
        return true;
    if (!lopsided)
        return false;
    struct decimal nearest = *ret;
    step_up(ret);
    if (reads_back(ret, value))
        return true;
    *ret = nearest;
    step_down(ret);
    return ret->digits[0] != '0' && reads_back(ret, value);
}

static void shortest(double value, struct decimal *ret)
{
    if (value >= 1e-6 && value < 1e15 && short_decimal(value, ret))
        return;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bool lopsided = (bits & 0xfffffffffffffULL) == 0; /* a power of two */
    int count = lopsided || value < DBL_MIN ? 1 : 15;
    while (count < 17 && !try_length(value, count, lopsided, ret))
        count++;
    if (count == 17)
        round_to(value, 17, ret);
    strip_zeros(ret);
}

static char *put_zeros(char *at, int count)
{
    memset(at, '0', (size_t)count);
    return at + count;
}

static char *put_digits(char *at, const struct decimal *d, int from, int to)
{
    memcpy(at, d->digits + from, (size_t)(to - from));
    return at + (to - from);
}

static char *put_exponent(char *at, int exponent)
{
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    exponent = exponent < 0 ? -exponent : exponent;
    if (exponent >= 100)
        *at++ = (char)('0' + exponent / 100);
    if (exponent >= 10)
        *at++ = (char)('0' + exponent / 10 % 10);
    *at++ = (char)('0' + exponent % 10);
    return at;
}

/* Steps 6 to 10 of Number::toString; k and n are the specification's names for count and point. */
static char *layout(char *at, const struct decimal *d)
{
    int k = d->count, n = d->point;
    if (k <= n && n <= 21)
        return put_zeros(put_digits(at, d, 0, k), n - k);
    if (0 < n && n <= 21) {
        at = put_digits(at, d, 0, n);
        *at++ = '.';
        return put_digits(at, d, n, k);
    }
    if (-6 < n && n <= 0) {
        *at++ = '0';
        *at++ = '.';
        return put_digits(put_zeros(at, -n), d, 0, k);
    }
    *at++ = d->digits[0];
    if (k > 1) {
        *at++ = '.';
        at = put_digits(at, d, 1, k);
    }
    return put_exponent(at, n - 1);
}

size_t ifab_json_format_double(double value, char ret_text[32])
{
    assert(isfinite(value));
    char *at = ret_text;
    if (value == 0) { /* -0 too: step 2 */
        *at = '0';
        return 1;
    }
    if (value < 0) {
        *at++ = '-';
        value = -value;
    }
    struct decimal d;
    if (value <= 9007199254740991.0 && value == (double)(uint64_t)value)
        from_integer((uint64_t)value, 0, &d);
    else
        shortest(value, &d);
    return (size_t)(layout(at, &d) - ret_text);
}
