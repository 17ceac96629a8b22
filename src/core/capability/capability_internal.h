#ifndef CAPABILITY_INTERNAL_H
#define CAPABILITY_INTERNAL_H
/* Inside of capability: what its files share. */
#include "base/mem.h"
#include "capability/manifest.h"

/* Out of memory, as an answer. */
enum ifab_code ifab_capability__nomem(struct ifab_refusal *ret_refusal);

/* The schema has been checked: a field is absent or of its kind. */
struct ifab_view ifab_capability__string(const struct ifab_json *object, const char *name); /* size 0 when absent */
int64_t ifab_capability__integer(const struct ifab_json *object, const char *name, int64_t absent);

/* schema_check.c: is it a schema of the subset, root an object; field is its path, "operations.take.params". 207. */
enum ifab_code ifab_params__schema_check(const struct ifab_json *schema, const char *field, struct ifab_refusal *ret_refusal);

/* http.c */
bool ifab_http__pattern_valid(struct ifab_view path, const char **ret_why);
bool ifab_http__host_valid(struct ifab_view host, const char **ret_why);
bool ifab_origin__scheme_parse(struct ifab_view text, enum ifab_origin_scheme *ret_scheme); /* "wss", as a row spells it */
uint16_t ifab_origin__port(enum ifab_origin_scheme scheme);
bool ifab_origin__is_socket(enum ifab_origin_scheme scheme);

/* sign.c: canonical form, signed bytes, digest; key and signature out of the object. */
enum ifab_code ifab_manifest__seal(struct ifab_arena *arena, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal);
/* The tree, with a signature in the form "ed25519:KEY:SIG" turned into the object. 207, 500. */
enum ifab_code ifab_manifest__signature_object(const struct ifab_json *tree, struct ifab_arena *arena, const struct ifab_json **ret_tree,
                                               struct ifab_refusal *ret_refusal);
#endif
