#ifndef JSON_SCHEMA_H
#define JSON_SCHEMA_H
/*
 * Schema tables: one row a field. A document is checked against rows before anything reads it, so readers may take fields for
 * granted. Unknown names are refused in every object but the OPEN ones.
 */
#include "base/code.h"
#include "json/json.h"

enum ifab_schema_kind {
    IFAB_SCHEMA_STRING,  /* min..max bytes; check, if given, decides on the content */
    IFAB_SCHEMA_INTEGER, /* min..max */
    IFAB_SCHEMA_NUMBER,  /* finite; min..max as doubles: num_min, num_max */
    IFAB_SCHEMA_BOOL,
    IFAB_SCHEMA_OBJECT, /* closed: sub */
    IFAB_SCHEMA_OPEN,   /* any object */
    IFAB_SCHEMA_ANY,    /* any value */
    IFAB_SCHEMA_LIST,   /* min..max items, each as item */
    IFAB_SCHEMA_STRING_OR_LIST, /* a string as `item`, or a list of them (min..max) */
    IFAB_SCHEMA_CONST,  /* string equal to text */
};
struct ifab_schema;
/* true when the string is right; otherwise *ret_why may point to static text that says what is expected. */
typedef bool ifab_schema_check_fn(struct ifab_view text, const char **ret_why);

/* min and max both 0: no limit. max 0 with STRING and lists: no upper limit. num_min and num_max both 0: no limit. */
struct ifab_schema_field {
    const char *name; /* NULL for an item of a list */
    enum ifab_schema_kind kind;
    bool required;
    int64_t min, max;
    double num_min, num_max;
    ifab_schema_check_fn *check;
    const struct ifab_schema *sub;
    const struct ifab_schema_field *item;
    const char *text;
};
struct ifab_schema {
    const char *what; /* "envelope", for messages */
    const struct ifab_schema_field *fields;
    size_t count;
};
/*
 * First violation in the order of the table (unknown names last, by offset) becomes a refusal with the given code, field path and
 * offset. IFAB_CODE_NONE when the document fits.
 */
enum ifab_code ifab_schema_check(const struct ifab_schema *schema, const struct ifab_json *document, enum ifab_code code,
                                 struct ifab_refusal *ret_refusal);
/* Common checks */
bool ifab_schema_name(struct ifab_view text, const char **ret_why);
bool ifab_schema_time(struct ifab_view text, const char **ret_why);
bool ifab_schema_sha256(struct ifab_view text, const char **ret_why);
bool ifab_schema_key32(struct ifab_view text, const char **ret_why);    /* base64url of 32 bytes */
bool ifab_schema_sig64(struct ifab_view text, const char **ret_why);    /* base64url of 64 bytes */
bool ifab_schema_key_id(struct ifab_view text, const char **ret_why);   /* k- + 16 hex */
bool ifab_schema_nonce(struct ifab_view text, const char **ret_why);    /* base64url of 12..64 bytes */
bool ifab_schema_trace(struct ifab_view text, const char **ret_why);    /* UUID text, not all zero */
bool ifab_schema_uri(struct ifab_view text, const char **ret_why);
bool ifab_schema_printable(struct ifab_view text, const char **ret_why); /* no C0, DEL, C1 */
#endif
