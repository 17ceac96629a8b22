#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H
/* What the files of the reader share. One reader a document; `at` only moves forward. */
#include "json/json.h"

struct ifab_json__reader {
    const uint8_t *start, *at, *end;
    struct ifab_arena *arena;
    struct ifab_error *err; /* may be NULL */
    bool all_numbers_safe;
};

/* Records the offset of the first fault, before ifab_fail() records its text. */
static inline void ifab_json__mark(const struct ifab_json__reader *r, const uint8_t *where)
{
    if (r->err != NULL && r->err->status == IFAB_OK)
        r->err->offset = (uint32_t)(where - r->start);
}
#define IFAB_JSON__REFUSE(r, where, ...) (ifab_json__mark((r), (where)), ifab_fail((r)->err, IFAB_INVALID, __VA_ARGS__))
#define IFAB_JSON__NOMEM(r) (ifab_json__mark((r), (r)->at), ifab_fail((r)->err, IFAB_NOMEM, "document needs more memory than its limit"))

/* At an opening quote: unescaped content; `at` moves behind the closing quote. */
ifab_status ifab_json__read_string(struct ifab_json__reader *r, struct ifab_view *ret_string);
/* At '-' or a digit: fills type and number; `at` moves behind the literal. */
ifab_status ifab_json__read_number(struct ifab_json__reader *r, struct ifab_json *ret_value);
/* The shape of a UTF-8 name's order: by UTF-16 code units (RFC 8785 section 3.2.3), <0, 0, >0. */
int ifab_json__compare(struct ifab_view a, struct ifab_view b);
/*
 * Puts pointers to the members of one object into order. NULL, or of all members whose name an earlier member has the one that comes
 * first in the document.
 */
struct ifab_json__ranked {
    uint64_t prefix; /* the first eight units of the name, so that most comparisons are of two words */
    const struct ifab_json_member *member;
};
const struct ifab_json_member *ifab_json__sort(struct ifab_json__ranked *ranked, size_t count);
uint64_t ifab_json__prefix(struct ifab_view name);
#endif
