/* Values that are known to be secrets, found byte for byte by whoever keeps them: the vault. Set while threads run; taken away when none does. */
#include "internal.h"

#include <stdatomic.h>

static _Atomic(ifab_redact_exact_fn *) exact;
static void *exact_user; /* written before exact is */

void ifab_redact_set_exact(ifab_redact_exact_fn *find, void *user)
{
    exact_user = user;
    atomic_store_explicit(&exact, find, memory_order_release);
}

/* What comes first; where both begin at one byte, the longer. */
bool ifab_redact__find(struct ifab_view text, size_t from, size_t *ret_begin, size_t *ret_end)
{
    size_t at = 0, size = 0;
    bool pattern = ifab_redact__find_pattern(text, from, ret_begin, ret_end);
    ifab_redact_exact_fn *find = atomic_load_explicit(&exact, memory_order_acquire);
    if (find == NULL || from >= text.size || !find(exact_user, text, from, &at, &size))
        return pattern;
    if (!pattern || at < *ret_begin || (at == *ret_begin && at + size > *ret_end)) {
        *ret_begin = at;
        *ret_end = at + size;
    } else if (at < *ret_end && at + size > *ret_end) {
        *ret_end = at + size; /* they overlap: neither end is shown */
    }
    return true;
}
