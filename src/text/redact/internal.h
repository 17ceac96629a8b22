#ifndef REDACT_INTERNAL_H
#define REDACT_INTERNAL_H
#include "redact/redact.h"

/* The next secret at or behind `from`: its first byte and the one behind its last. false: none. Linear over a whole text. */
bool ifab_redact__find_pattern(struct ifab_view text, size_t from, size_t *ret_begin, size_t *ret_end); /* by form alone */
bool ifab_redact__find(struct ifab_view text, size_t from, size_t *ret_begin, size_t *ret_end);
#endif
