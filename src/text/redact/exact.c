/* Values that are known to be secrets, found byte for byte by whoever keeps them: the vault. Set once, before there are threads. */
#include "internal.h"

static ifab_redact_exact_fn *exact;
static void *exact_user;

void ifab_redact_set_exact(ifab_redact_exact_fn *find, void *user)
{
    exact = find;
    exact_user = user;
}

/* What comes first; where both begin at one byte, the longer. */
bool ifab_redact__find(struct ifab_view text, size_t from, size_t *ret_begin, size_t *ret_end)
{
    size_t at = 0, size = 0;
    bool pattern = ifab_redact__find_pattern(text, from, ret_begin, ret_end);
    if (exact == NULL || from >= text.size || !exact(exact_user, text, from, &at, &size))
        return pattern;
    if (!pattern || at < *ret_begin || (at == *ret_begin && at + size > *ret_end)) {
        *ret_begin = at;
        *ret_end = at + size;
    } else if (at < *ret_end && at + size > *ret_end) {
        *ret_end = at + size; /* they overlap: neither end is shown */
    }
    return true;
}
