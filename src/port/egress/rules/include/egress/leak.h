#ifndef EGRESS_LEAK_H
#define EGRESS_LEAK_H
/*
 * Finds live secret values in what a provider answers, whatever chunks it comes in (INV-09). A value is found raw, reversed, in hex of either
 * case, in base64 and base64url at each of the three alignments; all of these also percent-encoded (in part, once or twice, '+' for a space),
 * JSON-escaped (in part, and percent-encoded within), escaped as in HTML and XML (in part), and with line breaks put in between.
 * It is a net for honest mistakes and simple echoes: a provider that has the secret can always write it in a form nobody looks for.
 * Pure; a set may be read by any number of scanners at once, a scanner belongs to one thread at a time.
 */
#include "base/status.h"
#include "base/view.h"

#define IFAB_LEAK_VALUE_MIN  4     /* bytes: what is shorter cannot be told from chance; adding it is IFAB_INVALID */
#define IFAB_LEAK_BASE64_MIN 6     /* bytes: shorter ones are not looked for in base64 */
#define IFAB_LEAK_WINDOW     256   /* bytes: of a longer value the first and the last so many are looked for */
#define IFAB_LEAK_VALUE_MAX  65536 /* bytes */
#define IFAB_LEAK_VALUES_MAX 2048

struct ifab_leak_set;
IFAB_MUST_CHECK ifab_status ifab_leak_set_new(struct ifab_leak_set **ret_set); /* IFAB_NOMEM */
/* value: borrowed for the call. IFAB_INVALID: too short; IFAB_TOO_LARGE: value or set; IFAB_NOMEM: the set finds nothing more, free it. */
IFAB_MUST_CHECK ifab_status ifab_leak_set_add(struct ifab_leak_set *self, struct ifab_view value);
/* After the last value, before the first scanner. IFAB_NOMEM. */
IFAB_MUST_CHECK ifab_status ifab_leak_set_seal(struct ifab_leak_set *self);
void ifab_leak_set_free(struct ifab_leak_set *self); /* wipes; accepts NULL */

#define IFAB_LEAK_STREAMS 7
struct ifab_leak_scanner { /* caller's storage; zero it with ifab_leak_begin() */
    const struct ifab_leak_set *set;
    uint32_t state[IFAB_LEAK_STREAMS], folded[IFAB_LEAK_STREAMS];
    struct ifab_leak_decoder {
        uint8_t have[12]; /* bytes of an escape that is not whole yet */
        uint8_t count;
    } decoder[5];
    struct ifab_leak_step {
        uint32_t state, folded, next_state, next_folded;
        uint8_t byte;
        bool known;
    } last;
    bool found;
};
void ifab_leak_begin(struct ifab_leak_scanner *self, const struct ifab_leak_set *set); /* set: sealed, borrowed; NULL finds nothing */
bool ifab_leak_feed(struct ifab_leak_scanner *self, struct ifab_view bytes);           /* true: found, now or before */
bool ifab_leak_end(struct ifab_leak_scanner *self);                                    /* what waited for more bytes is looked at too */
#endif
