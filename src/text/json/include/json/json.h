#ifndef JSON_JSON_H
#define JSON_JSON_H
/*
 * Strict I-JSON (RFC 7493, RFC 8259) in one pass into an arena, and its RFC 8785 (JCS) form. SURFACE section 1.
 * Refused, never repaired: BOM, invalid UTF-8, lone surrogates, duplicate names (after unescaping), integer literals
 * beyond ±(2^53-1) (with all_numbers_safe: every number, after rounding), non-finite, -0 in any spelling, a non-zero literal
 * that rounds to 0, depth > 32, > 1,024 names in an object, trailing bytes, control characters, comments.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

enum ifab_json_type {
    IFAB_JSON_NULL,
    IFAB_JSON_FALSE,
    IFAB_JSON_TRUE,
    IFAB_JSON_NUMBER,
    IFAB_JSON_STRING,
    IFAB_JSON_ARRAY,
    IFAB_JSON_OBJECT,
};

struct ifab_json_member;
struct ifab_json {
    enum ifab_json_type type;
    uint32_t offset; /* of its first byte in the input */
    union {
        struct {
            double value;
            bool integer;      /* value is integral and |value| <= 2^53-1 */
            struct ifab_view literal; /* borrowed: as it stood in the input */
        } number;
        struct ifab_view string; /* unescaped UTF-8; borrowed from the input where it had no escape, else in the arena */
        struct {
            struct ifab_json *items;
            size_t count;
        } array;
        struct {
            struct ifab_json_member *members; /* sorted by UTF-16 code units of the name (RFC 8785 3.2.3) */
            size_t count;
        } object;
    } u;
};
struct ifab_json_member {
    struct ifab_view name; /* unescaped */
    uint32_t offset;       /* of the name's opening quote */
    struct ifab_json value;
};

#define IFAB_JSON_MAX_DEPTH 32
#define IFAB_JSON_MAX_NAMES 1024
struct ifab_json_limits {
    size_t max_size;       /* bytes; 0 = 1 MiB */
    bool all_numbers_safe; /* signed documents: every number within ±(2^53-1) after rounding */
};

/*
 * Read one document. bytes must outlive the tree. err->offset is where it went wrong.
 * IFAB_OK; IFAB_INVALID: malformed; IFAB_TOO_LARGE: above max_size; IFAB_NOMEM: arena exhausted.
 */
IFAB_MUST_CHECK ifab_status ifab_json_read(struct ifab_view bytes, const struct ifab_json_limits *limits, struct ifab_arena *arena,
                                           const struct ifab_json **ret_value, struct ifab_error *err);

/* Member of an object by name; NULL when absent or not an object. */
const struct ifab_json *ifab_json_get(const struct ifab_json *object, const char *name);
/* Its string / integer when it is one. */
bool ifab_json_string(const struct ifab_json *value, struct ifab_view *ret_string);
bool ifab_json_integer(const struct ifab_json *value, int64_t *ret_integer);
/* Text of a member; empty when it is absent, no string, or "". Borrowed from the tree. */
struct ifab_view ifab_json_text(const struct ifab_json *object, const char *name);

/*
 * For makers of trees: copies `count` members (at most IFAB_JSON_MAX_NAMES) into their order. NULL; or the member whose name an earlier one
 * has, the first such by offset, and then ret_sorted is not written.
 */
const struct ifab_json_member *ifab_json_sort_members(const struct ifab_json_member *members, size_t count,
                                                      struct ifab_json_member *ret_sorted);

/* Append the RFC 8785 form. Ask ifab_buf_status() afterwards. */
void ifab_json_write(struct ifab_buf *buf, const struct ifab_json *value);
/* The same, leaving out the member at path of one or two names, e.g. {"signature", "sig"}: signed bytes. */
void ifab_json_write_without(struct ifab_buf *buf, const struct ifab_json *object, const char *outer, const char *inner);
/* Pieces, for writers that lay out an object by hand in sorted order. */
void ifab_json_put_string(struct ifab_buf *buf, struct ifab_view utf8); /* quoted and escaped as RFC 8785 */
void ifab_json_put_cstr(struct ifab_buf *buf, const char *text);
void ifab_json_put_number(struct ifab_buf *buf, double value);          /* ECMAScript Number::toString; finite (assert) */
/* Shortest round-trip form of a finite double; returns its length, at most 32, no NUL. ECMA-262 6.1.6.1.20. */
size_t ifab_json_format_double(double value, char ret_text[32]);
#endif
