/*
 * Number literals to doubles, exactly rounded. Up to 15 digits and powers of ten up to 10^22 both operands are exact doubles, so one
 * multiplication or division rounds once (Clinger, "How to read floating point numbers accurately"). Everything else goes to strtod as
 * DIGITSeEXPONENT, without a decimal point, whose sign the caller's locale could have changed.
 */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "double arithmetic must round to double: build with SSE2 or its like"
#endif

#define LITERAL_MAX 1100 /* no double needs more than 767 significant digits to be told from its neighbours */
#define SAFE_MAX 9007199254740991.0
#define EXPONENT_MAX 100000 /* far outside doubles even after LITERAL_MAX digits of shift */

struct literal {
    uint64_t mantissa;  /* the first 19 significant digits */
    size_t significant; /* digits after leading zeros */
    int exponent;       /* of ten, for all digits read as one integer */
    bool negative, whole; /* whole: neither fraction nor exponent was written */
};

static bool digit(const uint8_t *at, const uint8_t *end)
{
    return at != end && *at >= '0' && *at <= '9';
}

static const uint8_t *scan_digits(const uint8_t *at, const uint8_t *end, struct literal *lit)
{
    for (; digit(at, end); at++) {
        if (lit->significant == 0 && *at == '0')
            continue;
        if (lit->significant < 19)
            lit->mantissa = lit->mantissa * 10 + (uint64_t)(*at - '0');
        lit->significant++;
    }
    return at;
}

/* RFC 8259 section 6. Sets r->at behind the literal. */
static ifab_status scan(struct ifab_json__reader *r, struct literal *lit)
{
    const uint8_t *start = r->at, *at = start, *end = r->end;
    if (end - start > LITERAL_MAX)
        end = start + LITERAL_MAX + 1; /* enough to see that it is too long */
    lit->negative = *at == '-';
    at += lit->negative;
    if (!digit(at, end))
        return IFAB_JSON__REFUSE(r, start, "'-' without a digit");
    if (*at == '0' && digit(at + 1, end))
        return IFAB_JSON__REFUSE(r, start, "number with a leading zero");
    at = scan_digits(at, end, lit);
    lit->whole = true;
    if (at != end && *at == '.') {
        const uint8_t *fraction = ++at;
        at = scan_digits(at, end, lit);
        if (at == fraction)
            return IFAB_JSON__REFUSE(r, start, "number without a digit after its point");
        lit->exponent = -(int)(at - fraction);
        lit->whole = false;
    }
    if (at != end && (*at | 0x20) == 'e') {
        at++;
        bool down = at != end && *at == '-';
        at += at != end && (*at == '-' || *at == '+');
        if (!digit(at, end))
            return IFAB_JSON__REFUSE(r, start, "number without a digit in its exponent");
        int exponent = 0;
        for (; digit(at, end); at++)
            exponent = exponent < EXPONENT_MAX ? exponent * 10 + (*at - '0') : EXPONENT_MAX;
        lit->exponent += down ? -exponent : exponent;
        lit->whole = false;
    }
    if (at - start > LITERAL_MAX)
        return IFAB_JSON__REFUSE(r, start, "number literal longer than %d characters", LITERAL_MAX);
    r->at = at;
    return IFAB_OK;
}

static double convert_slowly(struct ifab_view text, const struct literal *lit)
{
    char plain[LITERAL_MAX + 16];
    size_t size = 0;
    for (size_t i = 0; i < text.size && (text.data[i] | 0x20) != 'e'; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9')
            plain[size++] = (char)text.data[i];
    snprintf(plain + size, sizeof plain - size, "e%d", lit->exponent);
    return strtod(plain, NULL);
}

static double convert(struct ifab_view text, const struct literal *lit)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (lit->significant <= 15 && lit->exponent >= -22 && lit->exponent <= 22) {
        double value = (double)lit->mantissa;
        return lit->exponent < 0 ? value / powers[-lit->exponent] : value * powers[lit->exponent];
    }
    return convert_slowly(text, lit);
}

ifab_status ifab_json__read_number(struct ifab_json__reader *r, struct ifab_json *ret_value)
{
    const uint8_t *start = r->at;
    struct literal lit = {0};
    IFAB_TRY(scan(r, &lit));
    struct ifab_view text = {start, (size_t)(r->at - start)};
    double value = 0;
    if (lit.significant == 0) {
        if (lit.negative)
            return IFAB_JSON__REFUSE(r, start, "-0 is refused: write 0");
    } else if (lit.whole) {
        if (lit.significant > 16 || lit.mantissa > (uint64_t)SAFE_MAX)
            return IFAB_JSON__REFUSE(r, start, "integer outside -9007199254740991 to 9007199254740991: write it as a string");
        value = (double)lit.mantissa;
    } else {
        value = convert(text, &lit);
        if (!isfinite(value))
            return IFAB_JSON__REFUSE(r, start, "number too large for a double");
        if (value == 0)
            return IFAB_JSON__REFUSE(r, start, "number too small for a double: it would become 0");
        if (r->all_numbers_safe && value > SAFE_MAX)
            return IFAB_JSON__REFUSE(r, start, "number outside -9007199254740991 to 9007199254740991 in a signed document");
    }
    ret_value->type = IFAB_JSON_NUMBER;
    ret_value->u.number.literal = text;
    ret_value->u.number.value = lit.negative ? -value : value;
    ret_value->u.number.integer = lit.whole || (value <= SAFE_MAX && value == (double)(int64_t)value);
    return IFAB_OK;
}
